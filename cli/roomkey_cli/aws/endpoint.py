"""A deployed endpoint as its callers reach it: over HTTP."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from roomkey import __version__
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey_cli.terminal import progress

TIMEOUT = 15
"""Seconds: more than a cold start and the function's own deadline together."""

_MAX_BYTES = 1 << 20


class ConnectionFailed(Exception):
    """Nothing answered. The text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the body is empty where it is no JSON object. `duration` is in milliseconds."""

    status: int
    body: Mapping[str, Any]
    duration: float

    @property
    def code(self) -> str:
        """The function's own word for a refusal, empty where it did not answer."""
        return str(self.body.get("code", ""))

    @property
    def in_words(self) -> str:
        """Status and reason."""
        return f"{self.status} {self.code or self.body.get('message') or ''}".rstrip()

    @property
    def platforms(self) -> list[Platform]:
        """Those that this answer of health's says are served, as far as they are known here."""
        named = self.body.get("platforms")
        names = named if isinstance(named, list) else []
        return [PLATFORMS[name] for name in names if isinstance(name, str) and name in PLATFORMS]


class _NoRedirects(HTTPRedirectHandler):
    """A token endpoint redirects nobody, and a signature or a bearer token goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def is_address(url: str) -> bool:
    """Whether `url` can be called: its host by name or number, in plain ASCII and without spaces."""
    if not re.fullmatch(r"[!-~]+", url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """Sends one request. Raises `Unreachable`."""
    agent = {"User-Agent": f"roomkey/{__version__}", "Accept": "application/json"}
    request = Request(url, data=body, headers={**agent, **headers}, method=method)  # noqa: S310 - see `is_address`
    started = time.monotonic()
    try:
        with progress(f"Asking {urlsplit(url).netloc} ..."):
            status, content = _send(request)
    except URLError as error:
        raise ConnectionFailed(str(error.reason)) from None
    except (OSError, ValueError, HTTPException) as error:
        raise ConnectionFailed(str(error) or type(error).__name__) from None
    duration = (time.monotonic() - started) * 1000
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    return Answer(status, document if isinstance(document, dict) else {}, duration)


def _send(request: Request) -> tuple[int, bytes]:
    try:
        with build_opener(_NoRedirects).open(request, timeout=TIMEOUT) as response:
            return response.status, response.read(_MAX_BYTES)
    except HTTPError as error:
        with error:
            return error.code, error.read(_MAX_BYTES)
