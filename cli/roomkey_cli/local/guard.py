"""Refuse requests to the local stack that come from another website or from another machine.

A website in the developer's browser can send requests to this machine (cross-site requests) and can make its own
host name point here (DNS rebinding). Every listener of the local stack checks `Host` and `Origin` before anything
else. A listener that other machines can reach also requires the key of this run, as the first segment of the path;
the stand-in for AWS always requires a signature with it.
"""

import asyncio
import io
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from roomkey_cli.local import sigv4

LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "::1", "10.0.2.2"))
"""Names of this machine; 10.0.2.2 is this machine as Android's emulator reaches it."""
CONTAINER_HOST = "host.docker.internal"
REQUEST_TIMEOUT_SECONDS = 30
"""How long a client may take to send a request."""
AWS_TARGETS = ("AmazonSSM.", "secretsmanager.")
"""How `X-Amz-Target` begins for the services that the stand-in for AWS serves."""

_MAX_AWS_BODY_BYTES = 1024 * 1024
_LOOPBACK_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
_HOST = re.compile(r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"https?://[^\s,/*A-Z]+")
_ABSOLUTE_FORM = re.compile(r"https?://(?P<host>[^/?#]+)(?P<path>.*)", re.IGNORECASE)
_OWN_PAGES = ("/console", "/demo")
_SIGNED_SERVICES = ("ssm", "secretsmanager", "sts", "cloudformation", "lambda", "logs")
_FUNCTION = re.compile(r"/2015-03-31/functions/[\w-]+")
_NOT_SERVED = "the local stack serves ssm and secretsmanager only; Ctrl-C ends it, and nothing is kept"
_CALLER_IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult>"
    f"<Arn>{sigv4.DEMO_PRINCIPAL}</Arn><UserId>{sigv4.DEMO_USER_ID}</UserId><Account>{sigv4.DEMO_ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
_NOTES = "roomkey.notes"
_PREFIX = "roomkey.prefix"


class NotAllowed(Exception):
    """The request is refused; the text is for the developer."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a listener at `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_host(host: str) -> str:
    """Return `host` as a URL on this machine spells it: loopback for "any address", brackets around IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)


def own_addresses() -> list[str]:
    """Return the address by which other machines reach this one, as a list; empty without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Sends nothing: UDP only chooses the route.
        except OSError:
            return []
        address: str = probe.getsockname()[0]
        return [address]


def is_loopback_origin(origin: str) -> bool:
    """Return whether `origin` is a development server on this machine, at any port."""
    return _LOOPBACK_ORIGIN.fullmatch(origin) is not None


def host_name(host: str) -> str:
    """Return the name in a `Host` header, in lower case and without the port; empty if it is malformed."""
    match = _HOST.fullmatch(host.lower())
    return (match["name"] or match["address"]) if match else ""


def note(scope: Scope, **facts: str) -> None:
    """Attach facts about a request for the log: `reason`, `hint`, `prefix`, `path_key`."""
    scope.setdefault(_NOTES, {}).update(facts)


def notes(scope: Scope) -> dict[str, str]:
    """Return the facts that `note` attached."""
    found: dict[str, str] = scope.get(_NOTES, {})
    return found


def prefix(scope: Scope) -> str:
    """Return the part of the path that the guard removed: a slash and the path key, or nothing."""
    removed: str = scope.get(_PREFIX, "")
    return removed


def origin_form(target: str) -> tuple[str, str]:
    """Return the host of a request target and its path, with the query if `target` has it. Other forms have no host.

    A server must accept the absolute form, and use its host in the place of the header (RFC 9112, section 3.2.2).
    """
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        return "", target
    path = absolute["path"]
    return absolute["host"], path if path.startswith("/") else f"/{path}"


def in_origin_form(scope: Scope) -> Scope:
    """Return `scope` with the path and the `Host` of a target in absolute form."""
    host, path = origin_form(scope["raw_path"].decode("latin-1"))
    if not host:
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "raw_path": path.encode("latin-1"),
        "path": unquote(path),
        "headers": [(b"host", host.encode("latin-1")), *headers],
    }


class Guard:
    """ASGI middleware in front of the local API, the console and the demo issuer.

    Args:
        app: The application that it protects.
        hosts: Host names by which the listener may be called.
        origins: Exact origins of other sites whose pages may call the API. Pages at loopback always may.
        path_key: If not empty, the path must begin with this segment, which is removed.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str] = (), path_key: str = ""
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._path_key = path_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            scope = self._without_path_key(in_origin_form(scope))
            self._check(scope)
        except NotAllowed as refusal:
            note(scope, reason=str(refusal))
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await _refuse(send, str(refusal))
            return
        await self._app(scope, receive, send)

    def _without_path_key(self, scope: Scope) -> Scope:
        if not self._path_key:
            return scope
        note(scope, path_key=self._path_key)
        segment, _, rest = scope["raw_path"].decode("latin-1").removeprefix("/").partition("/")
        if not secrets.compare_digest(segment.encode(), self._path_key.encode()):
            raise NotAllowed("the address lacks the key of this run; use the printed address")
        removed = f"/{self._path_key}"
        note(scope, prefix=removed)
        return {
            **scope,
            _PREFIX: removed,
            "raw_path": f"/{rest}".encode("latin-1"),
            "path": scope["path"].removeprefix(removed) or "/",
        }

    def _check(self, scope: Scope) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        host = _single(headers, "host")
        if host_name(host) not in self._hosts:
            raise NotAllowed(f"the host {json.dumps(host)} is not this stack; start with --host to use another name")
        origin = _single(headers, "origin")
        own = f"{'https' if scope['scheme'] in ('https', 'wss') else 'http'}://{host}"
        if origin:
            if origin == own:
                return
            if scope["path"].startswith(_OWN_PAGES):
                raise NotAllowed(f"pages of {json.dumps(origin)} may not call {scope['path']}")
            if origin in self._origins or is_loopback_origin(origin):
                return
            shown = json.dumps(origin)[1:-1]
            way = f"start with --origin {shown}" if _ORIGIN.fullmatch(origin) else "open the page from http://localhost"
            hint = f"CORS: {shown} is not allowed, {way}"
            note(scope, hint=hint)
            if scope.get("method") != "OPTIONS":  # API Gateway answers such a preflight too, without CORS headers.
                raise NotAllowed(hint)
        elif _single(headers, "sec-fetch-site") == "cross-site" and _single(headers, "sec-fetch-mode") != "navigate":
            raise NotAllowed("pages of another site may not load this")


def _single(headers: Iterable[tuple[str, str]], name: str) -> str:
    """Return the header's value, empty if it is missing. Raises `NotAllowed` for repeats."""
    values = [value for key, value in headers if key == name]
    if len(values) > 1:
        raise NotAllowed(f"the {name} header is repeated")
    return values[0] if values else ""


async def _refuse(send: Send, reason: str) -> None:
    body = json.dumps({"message": f"Refused by roomkey run: {reason}"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol that closes connections whose request does not arrive in time."""

    request_timeout: float = REQUEST_TIMEOUT_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._start_timer()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_timer()

    def abort_unfinished(self) -> None:
        """Close the connection if its request has not arrived whole."""
        if self._timer:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.request_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


type WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class AwsGuard:
    """WSGI middleware in front of the stand-in for AWS: signed calls of SSM and Secrets Manager.

    For `roomkey doctor` and `roomkey env status` it also answers STS GetCallerIdentity, and reports that the
    CloudFormation stack, the Lambda function and its log groups do not exist. Everything else is refused.
    """

    def __init__(self, app: WsgiApp, *, key: sigv4.LocalKey, hosts: Collection[str]) -> None:
        self._app = app
        self._key = key
        self._hosts = frozenset(hosts)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            headers = self._check_source(environ)
            body = _read_body(environ)
            _, target = origin_form(str(environ.get("REQUEST_URI", "")))  # werkzeug has replaced the host.
            method = environ["REQUEST_METHOD"]
            sigv4.verify(self._key, method, target, headers, body, services=_SIGNED_SERVICES)
            if _FUNCTION.fullmatch(target) and method == "GET":
                return _aws_error(environ, start_response, "ResourceNotFoundException", "The function does not exist")
            if (method, target) != ("POST", "/"):
                raise NotAllowed(_NOT_SERVED)
            match parse_qs(body.decode("latin-1")).get("Action", [""])[0]:
                case "GetCallerIdentity":
                    return _xml(start_response, "200 OK", _CALLER_IDENTITY)
                case "DescribeStacks":
                    return _aws_error(environ, start_response, "ValidationError", "The stack does not exist")
            operation = _single(headers, "x-amz-target")
            if operation == "Logs_20140328.DescribeLogGroups":
                start_response("200 OK", [("Content-Type", "application/json")])
                return [b'{"logGroups": []}']
            if not operation.startswith(AWS_TARGETS):
                raise NotAllowed(_NOT_SERVED)
        except NotAllowed as refusal:
            return _aws_error(environ, start_response, "AccessDeniedException", str(refusal))
        except sigv4.SignatureRefused as refusal:
            return _aws_error(environ, start_response, "UnrecognizedClientException", str(refusal))
        return self._app({**environ, "HTTP_X_MOTO_ACCOUNT_ID": sigv4.DEMO_ACCOUNT}, start_response)

    def _check_source(self, environ: dict[str, Any]) -> Sequence[tuple[str, str]]:
        """Return the headers of a request that does not come from a browser."""
        headers = _headers(environ)
        if host_name(_single(headers, "host")) not in self._hosts:
            raise NotAllowed("the Host header is not this stack's")
        if any(name == "origin" or name.startswith("sec-fetch-") for name, _ in headers):
            raise NotAllowed("browsers may not call the AWS of the local stack")
        return headers


def _headers(environ: dict[str, Any]) -> Sequence[tuple[str, str]]:
    named = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
    return [
        (named.get(name) or name.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for name, value in environ.items()
        if isinstance(value, str) and (name.startswith("HTTP_") or (name in named and value))
    ]


def _read_body(environ: dict[str, Any]) -> bytes:
    """Read the body, and leave it in `environ` for the application."""
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdecimal()):
        raise NotAllowed("a body needs a Content-Length")
    if len(length) > 10 or int(length) > _MAX_AWS_BODY_BYTES:
        raise NotAllowed("the body is too large")
    try:
        body: bytes = environ["wsgi.input"].read(int(length))
    except OSError:
        body = b""
    if len(body) < int(length):
        raise NotAllowed("the body did not arrive in time")
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _aws_error(environ: dict[str, Any], start_response: Callable[..., Any], code: str, message: str) -> Iterable[bytes]:
    """Answer with an error as AWS writes it: JSON for JSON protocols, XML for the others."""
    if "HTTP_X_AMZ_TARGET" not in environ and environ["REQUEST_METHOD"] == "POST":
        error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return _xml(start_response, "403 Forbidden", f"<ErrorResponse>{error}</ErrorResponse>", code)
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("x-amzn-errortype", code),
        ("Connection", "close"),
    ]
    start_response("403 Forbidden", headers)
    return [body]


def _xml(start_response: Callable[..., Any], status: str, text: str, code: str = "") -> Iterable[bytes]:
    headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(text.encode()))), ("Connection", "close")]
    start_response(status, [*headers, *([("x-amzn-errortype", code)] if code else [])])
    return [text.encode()]
