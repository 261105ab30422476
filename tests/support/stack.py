"""A stack for tests: the real API over moto, a clock that stands still, and an audit stream."""

import base64
import hashlib
import hmac
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import pytest
from jsonschema import Draft202012Validator

from roomkey import __version__
from roomkey.api import Api
from roomkey.clock import Clock
from roomkey.dependencies import Dependencies
from roomkey.platforms import PLATFORM_NAMES
from roomkey_cli.data import POLICIES
from support.audit_lines import checked
from support.aws.moto_proxy import Aws
from support.clocks import FakeClock
from support.events import LambdaContext

ACCESS_KEY = "5f8d0a3c2b1e4f6a7c9d0e1f"
SECRET = "Sentinel0Secret0That0Nothing0May0Ever0Print"
SECRETS: Mapping[str, Mapping[str, str]] = {
    "100ms": {"app_access_key": ACCESS_KEY, "app_secret": SECRET},
    "videosdk": {
        "api_key": "c3f1a7d2-6b58-4e09-9a41-7d20e5b8f613",
        "secret": "Sentinel1Secret1That1Nothing1May1Ever1Print",
    },
    "agora": {"app_id": "0a1D5e7c93B84f26a0c7E2b94d6f8135", "app_certificate": "5e9714e1Ce27717e5eC4e7d00d0a7e11"},
    "agora-whiteboard": {
        "access_key": "Wb7hT2kQzN4sVfYc",
        "secret_key": "Sentinel3Secret3That3Nothing3May3Ever3Print",
    },
}
"""The credentials of the tests' stacks, by platform. The last value of each is the key, which nothing may print."""

SECRET_TEXTS = {platform: json.dumps(secret) for platform, secret in SECRETS.items()}
SECRET_TEXT = SECRET_TEXTS["100ms"]
SIGNING_KEYS = tuple(list(secret.values())[-1] for secret in SECRETS.values())
EVERY_PLATFORM = tuple(SECRETS)
OPEN_POLICY = (POLICIES / "open.json").read_text()

NOW = 1_795_253_400
"""Unix seconds: when the events were sent. The tests' clock starts half a second later."""


# --- answers -------------------------------------------------------------------------------------------------------

CODES: Mapping[int, frozenset[str]] = {
    400: frozenset({"malformed-body", "invalid-request"}),
    401: frozenset({"unauthenticated"}),
    403: frozenset({"minting-disabled", "user-mismatch", "not-allowed", "blocked"}),
    404: frozenset({"not-found", "invite-invalid"}),
    405: frozenset({"method-not-allowed"}),
    413: frozenset({"body-too-large"}),
    415: frozenset({"unsupported-media-type"}),
    500: frozenset({"internal-error"}),
    503: frozenset(
        {
            "kill-switch-unavailable",
            "policy-unavailable",
            "blocklist-unavailable",
            "credentials-unavailable",
            "credentials-invalid",
            "audit-unavailable",
            "deadline-exceeded",
        }
    ),
}
"""The contract's error codes by status, independent of the code."""


def _closed(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


SUCCESS = _closed(
    {
        "success": {"const": True},
        "status": {"const": 200},
        "msg": {"const": "token generated successfully"},
        "api_version": {"const": __version__},
        "token": {"type": "string", "minLength": 1},
        "ice_servers": {
            "type": "array",
            "items": _closed(
                {
                    "urls": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "username": {"type": "string", "minLength": 1},
                    "credential": {"type": "string", "minLength": 1},
                }
            ),
            "minItems": 1,
        },
        "expires_at": {"type": "integer"},
        "expires_in": {"type": "integer", "minimum": 60},
        "user_id": {"type": "string", "minLength": 1},
        "renew_in": {"type": "integer", "minimum": 30},
        "platform": {"enum": list(PLATFORM_NAMES)},
        "room_id": {"type": "string", "minLength": 1},
        "role": {"type": "string", "minLength": 1},
        "guest_name": {"type": "string", "minLength": 1},
        "connect": {"type": "object", "additionalProperties": {"type": ["string", "array"]}, "minProperties": 1},
        "authorization": _closed({"header": {"enum": ["Authorization", "token"]}, "prefix": {"enum": ["Bearer ", ""]}}),
    },
    optional=(
        *("token", "ice_servers", "user_id", "authorization", "renew_in", "connect"),
        *("platform", "room_id", "role", "guest_name"),
    ),
) | {"oneOf": [{"required": ["token"]}, {"required": ["ice_servers"]}]}
LIVEKIT_SUCCESS = _closed(
    {
        "server_url": {"type": "string", "pattern": "^wss?://"},
        "participant_token": {"type": "string", "minLength": 1},
        "room_name": {"type": "string", "minLength": 1},
        "participant_identity": {"type": "string", "minLength": 1},
        "participant_name": {"type": "string", "minLength": 1},
        "expires_at": {"type": "integer"},
        "expires_in": {"type": "integer", "minimum": 120},
        "renew_in": {"type": "integer", "minimum": 60},
    },
    optional=("participant_name",),
)
FAILURE = _closed(
    {
        "success": {"const": False},
        "status": {"enum": list(CODES)},
        "code": {"enum": sorted(set[str]().union(*CODES.values()))},
        "msg": {"type": "string", "pattern": r"^[A-Z][^<>{}]*\.$"},
        "api_version": {"const": __version__},
        "request_id": {"type": "string", "pattern": r"^[!-~]{0,128}$"},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": _closed({"field": {"type": "string"}, "reason": {"type": "string", "minLength": 1}}),
        },
    }
)
HEALTH = _closed(
    {
        "success": {"const": True},
        "status": {"const": 200},
        "version": {"const": __version__},
        "platforms": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "minting": {"enum": ["on", "off", "partly-off", "unknown"]},
    }
)
INVITED = _closed(
    {
        "success": {"const": True},
        "status": {"const": 201},
        "invite": {"type": "string", "pattern": r"^rki1\.[\w-]+\.[\w-]{43}$"},
        "invite_id": {"type": "string", "pattern": r"^[\w-]{12}$"},
        "expires_at": {"type": "integer"},
        "expires_in": {"type": "integer", "minimum": 60},
        "url": {"type": "string", "pattern": "#rki1"},
    },
    optional=("url",),
)
_VALIDATORS = {
    200: Draft202012Validator({"oneOf": [SUCCESS, HEALTH]}),
    201: Draft202012Validator({"oneOf": [INVITED, LIVEKIT_SUCCESS]}),
} | dict.fromkeys(CODES, Draft202012Validator(FAILURE))

_CORS_HEADERS = {
    "vary",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
}
_HEADERS = {"cache-control", "x-content-type-options", "x-request-id", "content-type", "allow", "retry-after"}


@dataclass(frozen=True)
class Answer:
    """A response of payload format 2.0 that AWS can deliver and the contract allows."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    text: str

    @classmethod
    def checked(cls, response: Any) -> Self:
        """Check what holds for every response, and parse it."""
        assert_marshals(response)
        assert response.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert response["isBase64Encoded"] is False
        status, headers, text = response["statusCode"], response["headers"], response["body"]
        assert type(status) is int
        assert isinstance(text, str)
        assert text.isascii()

        assert headers.keys() <= _HEADERS | _CORS_HEADERS
        for value in headers.values():
            assert isinstance(value, str)
            assert re.fullmatch(r"[\x20-\x7e]*", value)
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "x-request-id" in headers
        assert ("allow" in headers) == (status == 405)
        assert headers.get("retry-after") in (("5", "60") if status == 503 else (None,))

        if status == 204:
            assert text == ""
            assert "content-type" not in headers
            return cls(status, headers, {}, text)
        assert headers["content-type"] == "application/json"
        body = json.loads(text)
        _VALIDATORS[status].validate(body)
        assert body.get("status", 201) == status
        if status not in (200, 201):
            assert body["code"] in CODES[status]
            assert body["request_id"] == headers["x-request-id"]
            assert bool(body["errors"]) == (status == 400)
        return cls(status, headers, body, text)

    @property
    def code(self) -> str | None:
        return self.body.get("code")

    @property
    def token(self) -> str | None:
        """Return the token of the audit line, None if it is missing."""
        if servers := self.body.get("ice_servers"):
            return f"{servers[0]['username']}:{servers[0]['credential']}"
        token: str | None = self.body.get("token") or self.body.get("participant_token")
        return token

    @property
    def faulty_fields(self) -> list[str]:
        return [error["field"] for error in self.body["errors"]]


def assert_marshals(response: Any) -> None:
    """Check that Lambda's runtime can send `response` unchanged. Unlike `json`, it writes UTF-8."""
    if sys.platform != "linux":  # Lambda's runtime client exists only on Linux.
        assert json.loads(json.dumps(response, ensure_ascii=False).encode()) == response
        return
    from awslambdaric.lambda_runtime_marshaller import to_json  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
        assert json.loads(to_json(response).encode()) == response


# --- tokens --------------------------------------------------------------------------------------------------------


def claims_of(token: str, secret: str = SECRET) -> dict[str, Any]:
    """Verify an HS256 token with the standard library and return its claims."""
    header, payload, signature = token.split(".")
    expected = hmac.digest(secret.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
    assert hmac.compare_digest(expected, _base64url(signature))
    assert json.loads(_base64url(header)) == {"alg": "HS256", "typ": "JWT"}
    assert re.fullmatch(r"[A-Za-z0-9]+", payload), "100ms's web client could not read it"
    claims = json.loads(_base64url(payload))
    assert isinstance(claims, dict)
    return claims


def _base64url(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


# --- the stack -----------------------------------------------------------------------------------------------------


def build_dependencies(
    environ: Mapping[str, str],
    clock: Clock,
    stream: Any,
    *,
    access: str = "open",
    platforms: Iterable[str] = ("100ms",),
    environment: str = "dev",
    jitter: Callable[[], float] = lambda: 0.5,
) -> Dependencies:
    """Build the function's parts as in a stack whose AWS is that of `environ`.

    `jitter` replaces random draws from 0 to 1; 0.5 leaves every TTL as documented.
    """
    stack = {"ENVIRONMENT": environment, "PLATFORMS": ",".join(platforms), "APP_TOKEN_ACCESS": access}
    return Dependencies.build({**stack, **environ}, clock=clock, jitter=jitter, stdout=stream)


@dataclass
class Deployed:
    """One stack in one environment, with its audit lines."""

    aws: Aws
    environment: str
    dependencies: Dependencies
    clock: FakeClock
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.api = Api(self.dependencies)

    @classmethod
    def on(
        cls,
        aws: Aws,
        access: str = "open",
        *,
        platforms: Sequence[str] = ("100ms",),
        flag: str | None = "false",
        policy: str | None = OPEN_POLICY,
        blocked: str | None = "{}",
        secret: str | None = SECRET_TEXT,
        secrets: Mapping[str, str | None] | None = None,
        stream: Any = None,
        **variables: str,
    ) -> Self:
        """Create a stack in a new environment of `aws`. `Deploy` describes the arguments."""
        environment, clock, stream = aws.new_environment(), FakeClock(wall=NOW + 0.5), stream or io.StringIO()
        if flag is not None:
            aws.put_flag(environment, flag)
        if policy is not None:
            aws.put_policy(environment, policy)
        if blocked is not None:
            aws.put_block_list(environment, blocked)
        stored = {**SECRET_TEXTS, "100ms": secret, **(secrets or {})}
        for platform in platforms:
            if (text := stored[platform]) is not None:
                aws.put_secret(environment, text, platform)
        environ = {**aws.environ, **variables}
        dependencies = build_dependencies(
            environ, clock, stream, access=access, platforms=platforms, environment=environment
        )
        return cls(aws, environment, dependencies, clock, stream)

    def with_parts(self, **parts: Any) -> "Deployed":
        """Return the same stack with some dependencies replaced."""
        return replace(self, dependencies=self.dependencies._replace(**parts))

    def answer(self, event: Any, context: Any = None) -> Answer:
        """Return the response to `event`. A token must have its audit line."""
        before = self.stream.tell()
        answer = Answer.checked(self.api.answer(event, context or LambdaContext()))
        if answer.token:
            (line,) = self.audit_lines(before)
            assert line["token"]["sha256"] == hashlib.sha256(answer.token.encode()).hexdigest()
        return answer

    def audit_lines(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the audit lines, or those after the position `since`."""
        self.stream.seek(since)
        return [checked(line) for line in self.stream.read().splitlines() if line]

    @property
    def operations(self) -> list[str]:
        """The AWS calls in order."""
        return self.aws.operations


class Deploy(Protocol):
    """Create a stack: `deploy("jwt", flag="true", LOG_LEVEL="DEBUG")`.

    `platforms` are served, each with its credentials of `SECRETS`. `flag`, `policy`, `secret` (100ms's) and `secrets`
    (by platform) replace the stored values, None stores nothing. The variables are the function's.
    """

    def __call__(
        self,
        access: str = "open",
        *,
        platforms: Sequence[str] = ("100ms",),
        flag: str | None = "false",
        policy: str | None = OPEN_POLICY,
        blocked: str | None = "{}",
        secret: str | None = SECRET_TEXT,
        secrets: Mapping[str, str | None] | None = None,
        stream: Any = None,
        **variables: str,
    ) -> Deployed: ...
