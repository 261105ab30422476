"""The local stand-in for API Gateway's HTTP API, in front of the handler in `roomkey run`.

A request becomes an event of payload format 2.0, as AWS builds it; the handler's result becomes a response. Where
`sam local` differs from AWS, this follows AWS: bodies are base64 by AWS's rule, `//` and dot segments stay in a path,
preflights invoke the function, and routes that require a token or a signature verify it.

The server must pass on the method and the target unchanged (uvicorn with `http="h11"`), and must not trust
`X-Forwarded-For` (`proxy_headers=False`).
"""

import base64
import json
import re
import secrets
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from roomkey.routes import (
    CORS_ALLOW_HEADERS,
    CORS_ALLOW_METHODS,
    CORS_EXPOSE_HEADERS,
    CORS_MAX_AGE_SECONDS,
    DEFAULT_ROUTE,
    HEALTH_ROUTE,
    MINTING_ROUTES,
    PREFLIGHT_ROUTE,
)
from roomkey.settings import Access
from roomkey_cli.local import guard, sigv4
from roomkey_cli.local.jwt_authorizer import JwtAuthorizer, TokenRefused

type Handler = Callable[[dict[str, Any], LambdaContext], object]
"""A Lambda handler: takes an event and a context, returns a result of payload format 2.0."""

ROUTES: Mapping[str, Access | None] = {
    **{route_key: route.access for route_key, route in MINTING_ROUTES.items()},
    **dict.fromkeys((HEALTH_ROUTE, PREFLIGHT_ROUTE, DEFAULT_ROUTE), Access.OPEN),
}
"""Every route key of the API and its access; None stands for the stack's `AppTokenAccess`."""

MAX_BODY_BYTES = 10 * 1024 * 1024
"""The largest request body that an HTTP API accepts."""
FUNCTION_TIMEOUT_S = 10
"""The function's timeout, for its context. A handler that takes longer is not stopped."""
FUNCTION_NAME = "roomkey-local"
FUNCTION_MEMORY_MB = 512

_TEXT_TYPES = frozenset(
    f"{kind}/{name}"
    for kind, names in {
        "text": ("plain", "html", "csv", "xml"),
        "application": ("json", "xml", "javascript", "graphql"),
    }.items()
    for name in names
)
_MESSAGES = {
    401: "Unauthorized",
    403: "Forbidden",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
}
_FRAMING = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})
"""Headers that the server sets; the handler's are dropped."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class LambdaContext:
    """The context of one invocation, which starts when the object is made."""

    function_name = FUNCTION_NAME
    function_version = "$LATEST"
    invoked_function_arn = f"arn:aws:lambda:us-east-1:{sigv4.DEMO_ACCOUNT}:function:{FUNCTION_NAME}"
    memory_limit_in_mb = str(FUNCTION_MEMORY_MB)  # A string, as in the runtime.
    log_group_name = f"/aws/lambda/{FUNCTION_NAME}"
    log_stream_name = "local"
    identity = None
    client_context = None

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._clock = clock
        self._deadline = clock() + FUNCTION_TIMEOUT_S

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function's timeout, never negative."""
        return max(0, int((self._deadline - self._clock()) * 1000))


class InvalidResult(ValueError):
    """The handler's result is not of payload format 2.0; the text is a fixed sentence that quotes nothing from it."""


@dataclass(frozen=True, slots=True)
class _Request:
    """An HTTP request as received: nothing decoded, header names in lower case, repeats kept."""

    method: str
    raw_path: str
    query: str
    protocol: str
    headers: Sequence[tuple[str, str]]
    client_ip: str
    scheme: str
    port: int
    prefix: str = ""
    """The part of the path that the guard removed. A signature includes it; the event does not."""
    body: bytes = b""

    @classmethod
    def from_scope(cls, scope: Scope) -> "_Request":
        return cls(
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            protocol=f"HTTP/{scope['http_version']}",
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            client_ip=(scope["client"] or ("127.0.0.1",))[0],
            scheme=scope["scheme"],
            port=(scope["server"] or ("", 80))[1] or 80,
            prefix=guard.prefix(scope),
        )

    @property
    def target(self) -> str:
        """The request target that the client sent and signed."""
        return f"{self.prefix}{self.raw_path}{'?' if self.query else ''}{self.query}"

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """Return the header as API Gateway delivers it, repeats joined; empty if it is missing."""
        return ",".join(self.values(name))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: tuple[str, ...] = ()

    @classmethod
    def message(cls, status: int, headers: Mapping[str, str] | None = None) -> "_Answer":
        """Return a response of API Gateway itself."""
        body = json.dumps({"message": _MESSAGES[status]}, separators=(",", ":")).encode()
        return cls(status, {"content-type": "application/json", **(headers or {})}, body)


class Gateway:
    """ASGI application that stands in for one HTTP API, its `$default` stage and its function.

    A request that the gateway refuses is answered `{"message": ...}`, as on AWS: 401 for a missing or invalid token,
    403 for a missing scope or an invalid signature, 413 for a body over 10 MiB, 500 if the handler raises or returns
    something other than payload format 2.0. Of an exception, the type and the place are printed, not the text, which
    may contain a secret.

    Args:
        handler: Called in a worker thread, once a request.
        access: The stack's `AppTokenAccess`.
        authorizer: Judges access tokens; required with `jwt`.
        key: The key that signs for `iam` routes. Default: a random one.
        allowed_origins: Origins whose pages may call. Their CORS headers replace the function's on every response.
        allow_loopback: Also allow `localhost`, `127.0.0.1` and `[::1]` at any port.
        extra_routes: Pages of the local stack alone; matched first.

    Raises:
        ValueError: `access` is `jwt`, and `authorizer` is missing.
    """

    def __init__(
        self,
        handler: Handler,
        access: Access = Access.OPEN,
        authorizer: JwtAuthorizer | None = None,
        *,
        key: sigv4.LocalKey | None = None,
        allowed_origins: Collection[str] = (),
        allow_loopback: bool = False,
        extra_routes: Sequence[BaseRoute] = (),
    ) -> None:
        if access is Access.JWT and authorizer is None:
            raise ValueError("access jwt needs an authorizer")
        self._handler = handler
        self._access = access
        self._authorizer = authorizer
        self._key = key or sigv4.LocalKey.generate()
        self._allowed_origins = frozenset(allowed_origins)
        self._allow_loopback = allow_loopback
        self._router = Router(extra_routes, redirect_slashes=False, default=self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(guard.in_origin_form(scope), receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        request = _Request.from_scope(scope)
        request_id = base64.urlsafe_b64encode(secrets.token_bytes(11)).decode()  # The shape of AWS's ids.
        try:
            body = await _read_body(scope, receive)
        except ClientDisconnect:
            return
        if body is None:
            answer = _Answer.message(413)
        else:
            answer, reason = await run_in_threadpool(self._answer, replace(request, body=body), request_id)
            if reason:
                guard.note(scope, reason=reason)
        if self._allowed_origins or self._allow_loopback:
            answer = self._with_cors(answer, request)
        await _send_answer(send, answer, request_id)

    def _answer(self, request: _Request, request_id: str) -> tuple[_Answer, str]:
        """Return the response, and why the gateway refused the request; empty if the function answered."""
        route_key, path_parameters = match_route(request.method, request.raw_path)
        try:
            authorizer = self._authorize(route_key, request)
            event = _event(request, request_id, route_key, path_parameters, authorizer)
            return _answer_of(self._handler(event, LambdaContext())), ""
        except TokenRefused as refusal:
            reason = f"the gateway refused the access token: {refusal.description}"
            return _Answer.message(refusal.status, {"www-authenticate": refusal.challenge}), reason
        except sigv4.SignatureRefused as refusal:
            return _Answer.message(403), f"the gateway refused the signature: {refusal}"
        except InvalidResult as error:
            print(f"roomkey: the handler returned an invalid response on {route_key}: {error}", file=sys.stderr)
        except BaseException as error:  # SystemExit too: it must not stop the server.
            print(f"roomkey: the handler raised an exception on {route_key}: {_type_and_place(error)}", file=sys.stderr)
        return _Answer.message(500), ""

    def _authorize(self, route_key: str, request: _Request) -> dict[str, object] | None:
        """Return the event's `authorizer` block, None where the route is open."""
        access = ROUTES[route_key] or self._access
        if access is Access.OPEN:
            return None
        if access is Access.IAM:
            return {"iam": sigv4.verify(self._key, request.method, request.target, request.headers, request.body)}
        if self._authorizer is None:
            raise TokenRefused(401, "Bearer")
        return {"jwt": self._authorizer.authorize(request.values("authorization"))}

    def _with_cors(self, answer: _Answer, request: _Request) -> _Answer:
        headers = {k: v for k, v in answer.headers.items() if not k.startswith("access-control-")}
        vary = [word.strip() for word in headers.get("vary", "").split(",")]
        headers["vary"] = ", ".join([*(word for word in vary if word.lower() not in ("", "origin")), "Origin"])
        origin = request.header("origin")
        if origin in self._allowed_origins or (self._allow_loopback and guard.is_loopback_origin(origin)):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = CORS_EXPOSE_HEADERS
            if _is_preflight(request):
                headers["access-control-allow-headers"] = CORS_ALLOW_HEADERS
                headers["access-control-allow-methods"] = CORS_ALLOW_METHODS
                headers["access-control-max-age"] = str(CORS_MAX_AGE_SECONDS)
        return replace(answer, headers=headers)


def match_route(method: str, raw_path: str) -> tuple[str, dict[str, str]]:
    """Return the route key that matches a request, and its decoded path parameters.

    `raw_path` is compared as it was sent: with a slash too many, in another case or with a letter escaped it is
    another path, and goes to `$default`.
    """
    for route_key, route_method, pattern in _PATTERNS:
        found = pattern.fullmatch(raw_path)
        if found and method == route_method:
            return route_key, {name: unquote(value) for name, value in found.groupdict().items()}
    return "$default", {}


def _pattern(path: str) -> re.Pattern[str]:
    """Return a route's path as a regular expression: `{name}` is one segment, `{name+}` the rest, neither empty."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return re.compile(re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", pattern))


_PATTERNS = [
    (route_key, method, _pattern(path))
    for route_key in ROUTES
    for method, separator, path in [route_key.partition(" ")]
    if separator
]


def _event(
    request: _Request,
    request_id: str,
    route_key: str,
    path_parameters: Mapping[str, str],
    authorizer: Mapping[str, object] | None,
) -> dict[str, Any]:
    """Return the event in payload format 2.0, without the keys that AWS leaves out when empty."""
    now = time.time()
    path = unquote(request.raw_path)
    headers, cookies = _event_headers(request, now)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": sigv4.DEMO_ACCOUNT,
            "apiId": "local",
            "domainName": "localhost",
            "domainPrefix": "localhost",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.client_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        **_event_body(request.body, headers.get("content-type", "")),
    }
    if cookies:
        event["cookies"] = cookies
    if parameters := _joined(parse_qsl(request.query, keep_blank_values=True)):
        event["queryStringParameters"] = parameters
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = authorizer
    return event


def _event_headers(request: _Request, now: float) -> tuple[dict[str, str], list[str]]:
    """Return the function's headers, repeats joined, and the cookies, which the event has separately."""
    headers = _joined((name, value) for name, value in request.headers if name != "cookie")
    cookies = [cookie.strip() for value in request.values("cookie") for cookie in value.split(";") if cookie.strip()]
    forwarded = [headers["x-forwarded-for"]] if "x-forwarded-for" in headers else []
    headers["x-forwarded-for"] = ", ".join([*forwarded, request.client_ip])
    headers["x-forwarded-port"] = str(request.port)
    headers["x-forwarded-proto"] = request.scheme
    headers.setdefault("x-amzn-trace-id", f"Root=1-{int(now):08x}-{secrets.token_hex(12)}")
    return headers, cookies


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _event_body(body: bytes, content_type: str) -> dict[str, object]:
    """Return the body by AWS's rule: text for some media types in UTF-8, otherwise base64, absent if empty."""
    if not body:
        return {"isBase64Encoded": False}
    if _is_text(content_type):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _is_text(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [parameter[8:].strip('"') for parameter in parameters if parameter.startswith("charset=")]
    return media_type in _TEXT_TYPES and all(charset == "utf-8" for charset in charsets)


def _answer_of(result: object) -> _Answer:
    """Return the handler's result as a response. Raises `InvalidResult`.

    AWS would make a 200 of an object without `statusCode`. Here that is an error: it can only be a bug.
    """
    if not isinstance(result, dict):
        raise InvalidResult("it is not an object")
    status = result.get("statusCode")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidResult("statusCode is not a number from 200 to 599")
    headers = _answer_headers(result.get("headers"))
    body = _answer_body(result.get("body"), result.get("isBase64Encoded"))
    cookies = result.get("cookies") or []
    if not isinstance(cookies, list):
        raise InvalidResult("cookies is not a list")
    if body:  # AWS adds this type if the function sets none.
        headers.setdefault("content-type", "text/plain;charset=UTF-8")
    return _Answer(status, headers, body, tuple(map(_header_value, cookies)))


def _answer_headers(headers: object) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise InvalidResult("headers is not an object")
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidResult("headers has an invalid name")
        if name.lower() not in _FRAMING:
            kept[name.lower()] = _header_value(value)
    return kept


def _header_value(value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool | int | float) else value
    if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
        raise InvalidResult("a header or a cookie has a value that cannot be one")
    return text.strip(" \t")


def _answer_body(body: object, is_base64: object) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str) or not isinstance(is_base64, bool | None):
        raise InvalidResult("body is not text, or isBase64Encoded is not true or false")
    try:
        return base64.b64decode(body, validate=True) if is_base64 else body.encode()
    except ValueError:  # Invalid base64, or a lone surrogate.
        raise InvalidResult("body cannot be decoded") from None


def _is_preflight(request: _Request) -> bool:
    """Return whether the request is a CORS preflight, as the Fetch standard defines it."""
    asked = request.values("origin") and request.values("access-control-request-method")
    return request.method == "OPTIONS" and bool(asked)


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the whole body, None if it is larger than an HTTP API accepts."""
    body = bytearray()
    async for chunk in Request(scope, receive).stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _send_answer(send: Send, answer: _Answer, request_id: str) -> None:
    bodiless = answer.status in (204, 304)
    headers = answer.headers | {"apigw-requestid": request_id}
    if not bodiless:
        headers["content-length"] = str(len(answer.body))
    pairs = [*headers.items(), *(("set-cookie", cookie) for cookie in answer.cookies)]
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})


def _type_and_place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return "\n  at ".join([f"{type(error).__module__}.{type(error).__qualname__}", *places])
