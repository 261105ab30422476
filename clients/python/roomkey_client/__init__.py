"""A client of a Roomkey stack, for backends. Threads may share one `Roomkey`."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.auth import AuthBase

__all__ = ["IamAuth", "Roomkey", "RoomkeyError"]

ATTEMPTS = 3
MAX_RETRY_AFTER_SECONDS = 5.0
SPARE_SECONDS = 60.0


class RoomkeyError(Exception):
    """Roomkey, or API Gateway in front of it, refused the request.

    `code` is Roomkey's, or `gateway-STATUS` if API Gateway refused by itself. `errors` lists the fields at fault as
    `{"field", "reason"}`. `retry_after` is in seconds, 0 if the header is missing.
    """

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float = 0.0) -> None:
        code = body.get("code")
        self.status = status
        self.code: str = code if isinstance(code, str) else body.get("reason") or f"gateway-{status}"
        self.message: str = body.get("msg") or body.get("message") or f"HTTP {status}"
        self.request_id: str | None = body.get("request_id")
        self.errors: list[dict[str, str]] = body.get("errors") or []
        self.retry_after = retry_after
        reasons = ";".join(f" {error['field']}: {error['reason']}" for error in self.errors)
        request = f" (request {self.request_id})" if self.request_id else ""
        super().__init__(f"{self.code}: {self.message}{reasons}{request}")

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 429 or self.status >= 500


class IamAuth(AuthBase):
    """Sign each attempt with AWS credentials (SigV4): by default those of the process. Needs boto3."""

    def __init__(self, session: Any = None) -> None:
        import boto3  # Only callers that sign need it.

        self._session = session or boto3.Session()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        signed = AWSRequest("POST", request.url, {"Content-Type": "application/json"}, request.body)
        SigV4Auth(self._session.get_credentials(), "execute-api", self._session.region_name).add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


class Roomkey:
    """A stack at `api`, its output `ApiUrl`.

    `auth` is `IamAuth()` for management tokens and where access is `iam`. `timeout` is in seconds, for each attempt.
    Tests replace `sleep` and `jitter`, which returns a number from 0 to 1.
    """

    def __init__(
        self,
        api: str,
        auth: AuthBase | None = None,
        *,
        timeout: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._api = api.rstrip("/")
        self._auth = auth
        self._timeout = timeout
        self._sleep = sleep
        self._jitter = jitter
        self._cached: dict[str, dict[str, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}

    def app_token(self, platform: str, **request: Any) -> dict[str, Any]:
        """Return the reply with a token for `request`, such as `room_id="r", role="guest", user_id="u"`.

        Raises:
            RoomkeyError: the request was refused.
            requests.RequestException: no reply, or an incomplete one.
        """
        return self.post(f"/v1/{platform}/app-token", request)

    def management_header(self, platform: str, **request: Any) -> dict[str, str]:
        """Return the header that authorizes a server at the platform's API, cached while 60 s are left."""
        key = platform + json.dumps(request, sort_keys=True)
        with self._locks.setdefault(key, threading.Lock()):
            reply = self._cached.get(key)
            if reply is None or reply["expires_at"] - time.time() < SPARE_SECONDS:
                reply = self._cached[key] = self.post(f"/v1/{platform}/management-token", request)
        return {reply["authorization"]["header"]: reply["authorization"]["prefix"] + reply["token"]}

    def forget(self) -> None:
        """Drop cached management tokens, after the vendor refused one."""
        self._cached.clear()

    def create_invite(self, **request: Any) -> dict[str, Any]:
        """Return the reply with an invite for `request`: platform, room_id, role, expires_in. Raises as above."""
        return self.post("/v1/invites", request)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST `body` to `path`. Retry network errors, 429 and 5xx up to twice. Raises as above."""
        for attempt in range(1, ATTEMPTS + 1):
            pause = 2.0 ** (attempt - 1)
            try:
                return self._once(path, body)
            except RoomkeyError as error:
                if not error.retryable or error.retry_after > MAX_RETRY_AFTER_SECONDS or attempt == ATTEMPTS:
                    raise
                pause = error.retry_after or pause
            except requests.RequestException:
                if attempt == ATTEMPTS:
                    raise
            self._sleep(pause * (1 + self._jitter()))
        raise AssertionError("unreachable")

    def _once(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = requests.post(
            self._api + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            auth=self._auth,
            timeout=self._timeout,
            allow_redirects=False,
        )
        try:
            reply = response.json()
        except ValueError:
            reply = {}
        reply = reply if isinstance(reply, dict) else {}
        if response.ok and reply.get("success"):
            return reply
        raise RoomkeyError(response.status_code, reply, float(response.headers.get("Retry-After") or 0))
