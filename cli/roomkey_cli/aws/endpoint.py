"""Send HTTP requests to a deployed endpoint."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from roomkey import __version__
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey_cli.terminal import progress

TIMEOUT = 15
"""Seconds: longer than a cold start and the function's own deadline together."""

_MAX_BYTES = 1 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ConnectionFailed(Exception):
    """The server did not answer. The message contains the reason."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `body` is empty unless it is a JSON object; `duration` is in milliseconds."""

    status: int
    body: Mapping[str, Any]
    duration: float

    @property
    def code(self) -> str:
        """Return the function's error code, empty if the response is not from the function."""
        return str(self.body.get("code", ""))

    @property
    def summary(self) -> str:
        """Return status and reason."""
        return f"{self.status} {self.code or self.body.get('message') or ''}".rstrip()

    @property
    def platforms(self) -> list[Platform]:
        """Return the platforms that a health response lists, without those that this release does not know."""
        listed = self.body.get("platforms")
        names = listed if isinstance(listed, list) else []
        return [PLATFORMS[name] for name in names if isinstance(name, str) and name in PLATFORMS]


def is_url(text: str) -> bool:
    """Check for an http(s) URL with a host, in printable ASCII without spaces."""
    if not re.fullmatch(r"[!-~]+", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def send(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
    """Send one request. Raises `ConnectionFailed`."""
    import requests  # Takes 100 ms, and most commands send no request.
    from urllib3.exceptions import HTTPError

    own = {"User-Agent": f"roomkey/{__version__}", "Accept": "application/json"}
    started = time.monotonic()
    try:
        with progress(f"Calling {urlsplit(url).netloc} ..."), requests.Session() as session:
            session.trust_env = urlsplit(url).hostname not in _LOOPBACK  # A proxy cannot reach this machine.
            response = session.request(
                method,
                url,
                data=body,
                headers={**own, **headers},
                auth=lambda request: request,  # Otherwise `requests` adds a password from ~/.netrc.
                allow_redirects=False,  # Neither a signature nor a bearer token goes to another host.
                timeout=TIMEOUT,
                stream=True,
            )
            with response:
                content = response.raw.read(_MAX_BYTES, decode_content=True)
    except (requests.RequestException, OSError, ValueError, HTTPError) as error:
        raise ConnectionFailed(_reason(error)) from None
    duration = (time.monotonic() - started) * 1000
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    return Response(response.status_code, document if isinstance(document, dict) else {}, duration)


def _reason(error: BaseException) -> str:
    """Return the innermost reason, without addresses of Python objects."""
    while (inner := getattr(error, "reason", None) or (error.args[0] if error.args else None)) and isinstance(
        inner, BaseException
    ):
        error = inner
    return re.sub(r"^<[^>]*>: |^HTTP\S*Connection\([^)]*\): ", "", str(error)) or type(error).__name__
