"""The credentials of the function's role: from the environment, or under SnapStart from Lambda's local endpoint.

The variables, the allowed hosts and the refresh times are the SDK's container credential provider's:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from roomkey import strict_json
from roomkey.aws.transport import ConnectionFailed, DeadlineTransport
from roomkey.clock import Budget, Clock

REFRESH_WANTED_SECONDS = 900
"""Before expiry: renew the credentials, but use the old ones if that fails."""
REFRESH_NEEDED_SECONDS = 600
"""Before expiry: renew the credentials or fail."""

_ALLOWED_HOSTS = ("localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")


class NoCredentials(Exception):
    """The environment contains no credentials and no allowed URL to fetch them from."""


class AwsCredentials:
    """An access key with its secret, and the session token if there is one. `repr` hides them."""

    __slots__ = ("access_key", "secret_key", "session_token")

    def __init__(self, access_key: str, secret_key: str, session_token: str) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = session_token


class RoleCredentials:
    """Reads the role's credentials when a call needs them; never at init, since a snapshot would contain them."""

    def __init__(self, transport: DeadlineTransport, clock: Clock, environ: Mapping[str, str]) -> None:
        self._transport = transport
        self._clock = clock
        self._environ = environ
        self._fetched: AwsCredentials | None = None
        self._expires_at = 0.0

    def read(self, budget: Budget) -> AwsCredentials:
        """Return valid credentials. Raises `NoCredentials`, `ConnectionFailed` or `BudgetExceeded`."""
        access_key, secret_key = (self._environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        if access_key and secret_key:
            return AwsCredentials(access_key, secret_key, self._environ.get("AWS_SESSION_TOKEN", ""))
        remaining = self._expires_at - self._clock.now().wall
        if self._fetched is None or remaining <= REFRESH_NEEDED_SECONDS:
            self._fetched = self._fetch(budget)
        elif remaining <= REFRESH_WANTED_SECONDS:
            with suppress(ConnectionFailed):  # The old credentials are valid for ten minutes or more.
                self._fetched = self._fetch(budget)
        return self._fetched

    def _fetch(self, budget: Budget) -> AwsCredentials:
        url = self._environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        if not _is_allowed(url):
            raise NoCredentials
        headers = {"accept": "application/json"}
        if token := self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["authorization"] = token
        response = self._transport.send("GET", url, headers, b"", budget)
        try:
            if response.status != 200:
                raise ValueError(response.status)
            credentials, expires_at = _parse(strict_json.loads(response.body))
        except (ValueError, TypeError, KeyError):
            raise ConnectionFailed from None
        if expires_at <= self._clock.now().wall:
            raise ConnectionFailed
        self._expires_at = expires_at
        return credentials


def _parse(document: Any) -> tuple[AwsCredentials, float]:
    values = [document[name] for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")]
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError("not credentials")
    expires = datetime.fromisoformat(values.pop())
    if expires.tzinfo is None:
        raise ValueError("an expiry without a time zone")
    return AwsCredentials(*values), expires.timestamp()


def _is_allowed(url: str) -> bool:
    """Return whether credentials may be fetched from `url`: with TLS from any host, else from this machine's hosts."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            return False
        return parts.scheme == "https" or host in _ALLOWED_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
