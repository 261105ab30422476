"""HTTP to API Gateway's payload format 2.0 and back, over a real server, with the handler of each test."""

import asyncio
import base64
import json
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from roomkey.routes import MINTING_ROUTES
from roomkey.settings import Access
from roomkey_cli.local.demo_issuer import DemoIssuer
from roomkey_cli.local.gateway import FUNCTION_TIMEOUT_S, MAX_BODY_BYTES, ROUTES, Gateway, LambdaContext
from roomkey_cli.local.jwt_authorizer import JwtAuthorizer
from support.http import Reply, send, serve

WEB = "https://app.example.com"
OK: dict[str, Any] = {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": "{}"}


class Function:
    """A handler that records its calls, and returns the test's `result`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.contexts: list[LambdaContext] = []
        self.result: Callable[[], object] = lambda: OK

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> object:
        self.events.append(json.loads(json.dumps(event)))  # Lambda's events are JSON.
        self.contexts.append(context)
        return self.result()

    @property
    def event(self) -> dict[str, Any]:
        assert len(self.events) == 1
        return self.events[0]


@pytest.fixture(scope="module")
def demo() -> DemoIssuer:
    return DemoIssuer("http://localhost:8000")


class Local:
    """One gateway on one port, with a new handler for each test."""

    def __init__(self, **options: Any) -> None:
        self.function = Function()
        self.gateway = Gateway(self.handler, **options)
        self.url = ""

    def handler(self, event: dict[str, Any], context: LambdaContext) -> object:
        return self.function(event, context)

    def send(self, method: str, target: str, headers: Any = None, body: bytes | None = None) -> Reply:
        return send(self.url, method, target, headers, body)

    def event(self, method: str, target: str, headers: Any = None, body: bytes | None = None) -> dict[str, Any]:
        self.function = Function()
        assert self.send(method, target, headers, body).status == 200
        return self.function.event

    def answer(self, result: object) -> Reply:
        """Return the response if the handler returns or raises `result`."""
        self.function = Function()

        def respond() -> object:
            if isinstance(result, BaseException):
                raise result
            return result

        self.function.result = respond
        return self.send("GET", "/v1/health")


@contextmanager
def local(**options: Any) -> Iterator[Local]:
    running = Local(**options)
    with serve(lambda _url: running.gateway) as running.url:
        yield running


@pytest.fixture(scope="module")
def the_open() -> Iterator[Local]:
    with local() as running:
        yield running


@pytest.fixture(scope="module")
def the_web() -> Iterator[Local]:
    with local(allowed_origins=[WEB, "http://localhost:3000"]) as running:
        yield running


@pytest.fixture
def opened(the_open: Local) -> Local:
    the_open.function = Function()
    return the_open


@pytest.fixture
def web(the_web: Local) -> Local:
    the_web.function = Function()
    return the_web


# Routes


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", "/api/token", ("POST /api/token", "/api/token", None)),
        (
            "POST",
            "/v1/100ms/app-token",
            ("POST /v1/{platform}/app-token", "/v1/100ms/app-token", {"platform": "100ms"}),
        ),
        ("POST", "/v1/a%20b/app-token", ("POST /v1/{platform}/app-token", "/v1/a b/app-token", {"platform": "a b"})),
        ("POST", "/v1/a%2Fb/app-token", ("POST /v1/{platform}/app-token", "/v1/a/b/app-token", {"platform": "a/b"})),
        ("POST", "/v1/%252F/app-token", ("POST /v1/{platform}/app-token", "/v1/%2F/app-token", {"platform": "%2F"})),
        ("POST", "/v1/%FF/app-token", ("POST /v1/{platform}/app-token", "/v1/�/app-token", {"platform": "�"})),
        ("GET", "/v1/health", ("GET /v1/health", "/v1/health", None)),
        ("GET", "/v1/health?x=/y", ("GET /v1/health", "/v1/health", None)),
        ("OPTIONS", "/api/token", ("OPTIONS /{proxy+}", "/api/token", {"proxy": "api/token"})),
        ("OPTIONS", "/a%20b//c/", ("OPTIONS /{proxy+}", "/a b//c/", {"proxy": "a b//c/"})),
        ("OPTIONS", "/", ("$default", "/", None)),
        ("OPTIONS", "*", ("$default", "*", None)),
        # Another number of slashes, another case, dots, escapes: another path.
        ("POST", "//api/token", ("$default", "//api/token", None)),
        ("POST", "/api/token/", ("$default", "/api/token/", None)),
        ("POST", "/api//token", ("$default", "/api//token", None)),
        ("POST", "/API/token", ("$default", "/API/token", None)),
        ("POST", "/api/token;x", ("$default", "/api/token;x", None)),
        ("POST", "/api/token%0A", ("$default", "/api/token\n", None)),
        ("POST", "/%61pi/token", ("$default", "/api/token", None)),
        ("POST", "/api%2Ftoken", ("$default", "/api/token", None)),
        ("POST", "/v1/../api/token", ("$default", "/v1/../api/token", None)),
        ("POST", "/./api/token", ("$default", "/./api/token", None)),
        ("POST", "/%2e%2e/api/token", ("$default", "/../api/token", None)),
        ("POST", "/v1//app-token", ("$default", "/v1//app-token", None)),
        ("POST", "/v1//100ms/app-token", ("$default", "/v1//100ms/app-token", None)),
        ("POST", "/v1/100ms/app-token/", ("$default", "/v1/100ms/app-token/", None)),
        ("POST", "/v1/100ms/management-token/", ("$default", "/v1/100ms/management-token/", None)),
        ("POST", "/prod/api/token", ("$default", "/prod/api/token", None)),
        ("GET", "/", ("$default", "/", None)),
        ("GET", "http://elsewhere/v1/health", ("GET /v1/health", "/v1/health", None)),
        # Another method: another route.
        ("GET", "/api/token", ("$default", "/api/token", None)),
        ("post", "/api/token", ("$default", "/api/token", None)),
        ("HEAD", "/v1/health", ("$default", "/v1/health", None)),
        ("TRACE", "/v1/health", ("$default", "/v1/health", None)),
        ("DELETE", "/v1/100ms/management-token", ("$default", "/v1/100ms/management-token", None)),
        ("M-SEARCH", "/v1/health", ("$default", "/v1/health", None)),
    ],
)
def test_a_request_matches_one_route(opened: Local, method: str, target: str, expected: tuple[Any, ...]) -> None:
    route_key, raw_path, parameters = expected
    event = opened.event(method, target)
    assert event["routeKey"] == event["requestContext"]["routeKey"] == route_key
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == raw_path
    assert event.get("pathParameters") == parameters
    assert event["requestContext"]["http"]["method"] == method


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://api.example:8000/v1/health?a=1", "/v1/health", "a=1"),
        ("HTTPS://api.example:8000/v1/a%20b", "/v1/a b", ""),
        ("http://api.example:8000", "/", ""),
        ("http://api.example:8000?a=1", "/", "a=1"),
        ("http://api.example:8000//v1//health", "//v1//health", ""),
    ],
)
def test_a_target_in_absolute_form_replaces_the_host(opened: Local, target: str, path: str, query: str) -> None:
    event = opened.event("GET", target, {"Host": "other.example"})
    assert (event["rawPath"], event["rawQueryString"]) == (path, query)
    assert event["headers"]["host"] == "api.example:8000"


@pytest.mark.parametrize("target", ["*", "ftp://api.example/v1/health", "http:/v1/health", "/http://a/v1/health"])
def test_a_target_in_another_form_matches_no_route(opened: Local, target: str) -> None:
    assert opened.event("GET", target)["routeKey"] == "$default"


def test_the_table_holds_the_routes_of_the_function() -> None:
    assert {
        **{route_key: route.access for route_key, route in MINTING_ROUTES.items()},
        "GET /v1/health": "open",
        "OPTIONS /{proxy+}": "open",
        "$default": "open",
    } == ROUTES


# The event


def test_a_whole_event(opened: Local) -> None:
    before = int(time.time() * 1000)
    reply = opened.send(
        "POST",
        "/v1/100ms/app-token?a=1&b=2",
        {"Host": "localhost:8000", "User-Agent": "test/1", "Content-Type": "application/json"},
        b'{"room_id": "\xc3\xa9"}',
    )
    after = int(time.time() * 1000)

    event = opened.function.event
    context = event["requestContext"]
    assert before <= context["timeEpoch"] <= after
    assert int(datetime.strptime(context["time"], "%d/%b/%Y:%H:%M:%S %z").timestamp()) == context["timeEpoch"] // 1000
    assert context["requestId"] == reply.header("apigw-requestid")
    trace_id = event["headers"].pop("x-amzn-trace-id")
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", trace_id)
    assert event == {
        "version": "2.0",
        "routeKey": "POST /v1/{platform}/app-token",
        "rawPath": "/v1/100ms/app-token",
        "rawQueryString": "a=1&b=2",
        "headers": {
            "host": "localhost:8000",
            "user-agent": "test/1",
            "content-type": "application/json",
            "content-length": "17",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": opened.url.rpartition(":")[2],
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"a": "1", "b": "2"},
        "pathParameters": {"platform": "100ms"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "localhost",
            "domainPrefix": "localhost",
            "http": {
                "method": "POST",
                "path": "/v1/100ms/app-token",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test/1",
            },
            "requestId": context["requestId"],
            "routeKey": "POST /v1/{platform}/app-token",
            "stage": "$default",
            "time": context["time"],
            "timeEpoch": context["timeEpoch"],
        },
        "body": '{"room_id": "é"}',
        "isBase64Encoded": False,
    }


def test_request_ids_are_unique(opened: Local) -> None:
    replies = [opened.send("GET", "/v1/health") for _ in range(3)]
    assert len({reply.header("apigw-requestid") for reply in replies}) == 3


def test_headers_are_lower_case_and_repeats_are_joined(opened: Local) -> None:
    headers = opened.event("GET", "/v1/health", [("X-Twice", "a"), ("x-other", ""), ("x-TWICE", "b, c")])["headers"]
    assert headers["x-twice"] == "a,b, c"
    assert headers["x-other"] == ""


def test_cookies_are_set_apart(opened: Local) -> None:
    event = opened.event("GET", "/v1/health", [("Cookie", "a=1; b=2"), ("Cookie", "c=3;")])
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert "cookie" not in event["headers"]


def test_a_caller_cannot_choose_where_it_comes_from(opened: Local) -> None:
    spoofed = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "Host": "evil"}
    event = opened.event("GET", "/v1/health", spoofed)
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["domainName"] == "localhost"
    assert event["headers"]["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert event["headers"]["x-forwarded-proto"] == "http"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("a=1&a=2&b=&c=x%20y", {"a": "1,2", "b": "", "c": "x y"}),
        ("flag", {"flag": ""}),
        ("q=%C3%A9+%26", {"q": "é &"}),
    ],
)
def test_query_strings(opened: Local, query: str, parameters: dict[str, str]) -> None:
    event = opened.event("GET", f"/v1/health?{query}")
    assert (event["rawQueryString"], event["queryStringParameters"]) == (query, parameters)


def test_empty_values_are_left_out(opened: Local) -> None:
    event = opened.event("GET", "/v1/health")
    assert event["rawQueryString"] == ""
    assert not event.keys() & {"body", "cookies", "queryStringParameters", "pathParameters", "stageVariables"}
    assert event["isBase64Encoded"] is False
    assert event["requestContext"]["http"]["userAgent"] == ""
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "text/html", "text/csv", "text/xml"),
        *("application/json", "application/xml", "application/javascript", "application/graphql"),
        *("application/json; charset=utf-8", "text/plain;charset=UTF-8", 'text/plain; charset="utf-8"'),
        *("Application/JSON", "application/json; profile=x", "application/json ;charset=utf-8"),
    ],
)
def test_text_is_delivered_as_text(opened: Local, content_type: str) -> None:
    event = opened.event("POST", "/api/token", {"Content-Type": content_type}, '{"é": 1}'.encode())
    assert (event["body"], event["isBase64Encoded"]) == ('{"é": 1}', False)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"{}"),
        ("", b"{}"),
        ("application/x-www-form-urlencoded", b"room_id=a"),
        ("multipart/form-data; boundary=b", b"--b--"),
        ("application/octet-stream", b"x"),
        ("application/vnd.api+json", b"{}"),
        ("text/javascript", b"x"),
        ("image/png", b"\x89PNG"),
        ("text/plain; charset=iso-8859-1", b"x"),
        ("application/json; charset=utf-16", b"{}"),
        ("application/json; charset=utf-8; charset=utf-16", b"{}"),
        ("application/json, text/plain", b"{}"),
        ("json", b"{}"),
        ("application/json", b"\xff\xfe"),
        ("text/plain", b"caf\xe9"),
    ],
)
def test_other_bodies_are_delivered_as_base64(opened: Local, content_type: str | None, body: bytes) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    event = opened.event("POST", "/api/token", headers, body)
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"], validate=True) == body


def test_a_chunked_body_arrives_whole(opened: Local) -> None:
    chunks = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    host, port = opened.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        )
        assert connection.makefile("rb").readline().split()[1] == b"200"
    assert opened.function.event["body"] == "abcdefg"


def test_a_body_of_ten_megabytes_passes_and_a_byte_more_does_not(opened: Local) -> None:
    event = opened.event("POST", "/", {"Content-Type": "text/plain"}, b"x" * MAX_BODY_BYTES)
    assert len(event["body"]) == 10 * 1024 * 1024

    opened.function = Function()
    reply = opened.send("POST", "/", {"Content-Type": "text/plain"}, b"x" * (MAX_BODY_BYTES + 1))
    assert (reply.status, reply.body) == (413, b'{"message":"Request Entity Too Large"}')
    assert reply.header("content-type") == "application/json"
    assert reply.header("apigw-requestid")
    assert opened.function.events == []


def test_a_caller_who_disconnects_causes_no_error(opened: Local, caplog: pytest.LogCaptureFixture) -> None:
    host, port = opened.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /api/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert opened.send("GET", "/v1/health").status == 200
    assert opened.function.event["routeKey"] == "GET /v1/health"
    assert caplog.records == []


# The context


def test_the_context_has_the_attributes_of_lambda(opened: Local) -> None:
    opened.event("GET", "/v1/health")
    (first,) = opened.function.contexts
    opened.event("GET", "/v1/health")
    (second,) = opened.function.contexts

    assert uuid.UUID(first.aws_request_id) != uuid.UUID(second.aws_request_id)
    assert first.function_name == "roomkey-local"
    assert first.function_version == "$LATEST"
    assert first.invoked_function_arn == "arn:aws:lambda:us-east-1:000000000000:function:roomkey-local"
    assert first.memory_limit_in_mb == "512"


def test_the_context_counts_down_to_the_functions_timeout() -> None:
    now = [100.0]
    context = LambdaContext(clock=lambda: now[0])
    assert context.get_remaining_time_in_millis() == FUNCTION_TIMEOUT_S * 1000
    now[0] += 4.5
    assert context.get_remaining_time_in_millis() == 5500
    now[0] += 60
    assert context.get_remaining_time_in_millis() == 0


def test_slow_handlers_run_in_parallel(opened: Local) -> None:
    def slow() -> object:
        time.sleep(0.3)
        return OK

    opened.function.result = slow
    started = time.monotonic()

    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(asyncio.to_thread(opened.send, "GET", "/v1/health") for _ in range(4)))

    assert [reply.status for reply in asyncio.run(all_at_once())] == [200] * 4
    assert time.monotonic() - started < 1


# The response


def test_an_answer_becomes_a_response(opened: Local) -> None:
    reply = opened.answer(
        {
            "statusCode": 405,
            "headers": {"Content-Type": "application/json", "Allow": " POST\t", "X-Number": 5, "X-True": True},
            "cookies": ["a=1; Secure ", "b=2"],
            "body": '{"é": 1}',
            "isBase64Encoded": False,
        }
    )
    assert (reply.status, reply.body) == (405, '{"é": 1}'.encode())
    assert [name for name, _ in reply.headers if name not in ("date", "server")] == [
        *("content-type", "allow", "x-number", "x-true"),
        *("apigw-requestid", "content-length", "set-cookie", "set-cookie"),
    ]
    assert [reply.header(name) for name in ("allow", "x-number", "x-true")] == ["POST", "5", "true"]
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1; Secure", "b=2"]


def test_a_base64_answer_becomes_bytes(opened: Local) -> None:
    body = base64.b64encode(bytes(range(256))).decode()
    reply = opened.answer({"statusCode": 200, "body": body, "isBase64Encoded": True})
    assert reply.body == bytes(range(256))


@pytest.mark.parametrize("empty", [{}, {"body": None, "headers": None, "cookies": None}, {"body": ""}])
def test_an_answer_without_a_body(opened: Local, empty: dict[str, Any]) -> None:
    reply = opened.answer({"statusCode": 200} | empty)
    assert (reply.status, reply.body, reply.header("content-length")) == (200, b"", "0")
    assert reply.header("content-type") is None


def test_a_body_without_a_type_is_text(opened: Local) -> None:
    assert opened.answer({"statusCode": 200, "body": "x"}).header("content-type") == "text/plain;charset=UTF-8"


@pytest.mark.parametrize("status", [204, 304])
def test_a_bodiless_status_has_no_body(opened: Local, status: int) -> None:
    reply = opened.answer({"statusCode": status, "body": "dropped"})
    assert (reply.status, reply.body, reply.header("content-length")) == (status, b"", None)


def test_the_gateway_sets_framing_and_request_id(opened: Local) -> None:
    lies = {"Content-Length": "3", "Transfer-Encoding": "chunked", "Connection": "upgrade", "Upgrade": "h2c"}
    assert opened.answer(OK | {"headers": {"Apigw-Requestid": "mine"}}).header("apigw-requestid") != "mine"
    reply = opened.answer({"statusCode": 200, "headers": lies, "body": "whole body"})
    assert (reply.body, reply.header("content-length")) == (b"whole body", "10")
    assert not {name for name, _ in reply.headers} & {"transfer-encoding", "connection", "upgrade"}


def test_head_returns_headers_only(opened: Local) -> None:
    opened.function.result = lambda: {"statusCode": 405, "headers": {"Allow": "GET"}, "body": "no"}
    reply = opened.send("HEAD", "/v1/health")
    assert (reply.status, reply.body, reply.header("allow"), reply.header("content-length")) == (405, b"", "GET", "2")


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(None, id="nothing"),
        pytest.param("SENTINEL", id="text"),
        pytest.param([OK], id="list"),
        pytest.param({}, id="no status"),
        pytest.param({"message": "SENTINEL"}, id="no status, though AWS would guess one"),
        pytest.param({"statusCode": "200"}, id="status as text"),
        pytest.param({"statusCode": True}, id="status as boolean"),
        pytest.param({"statusCode": 200.0}, id="status as float"),
        pytest.param({"statusCode": 199}, id="status too low"),
        pytest.param({"statusCode": 600}, id="status too high"),
        pytest.param({"statusCode": 200, "body": {"SENTINEL": 1}}, id="body not text"),
        pytest.param({"statusCode": 200, "body": b"SENTINEL"}, id="body as bytes"),
        pytest.param({"statusCode": 200, "body": "\ud800"}, id="lone surrogate"),
        pytest.param({"statusCode": 200, "body": "SENTINEL!", "isBase64Encoded": True}, id="bad base64"),
        pytest.param({"statusCode": 200, "body": "x", "isBase64Encoded": "true"}, id="flag as text"),
        pytest.param({"statusCode": 200, "headers": ["SENTINEL"]}, id="headers as list"),
        pytest.param({"statusCode": 200, "headers": {"x": None}}, id="null header"),
        pytest.param({"statusCode": 200, "headers": {"x": ["SENTINEL"]}}, id="header as list"),
        pytest.param({"statusCode": 200, "headers": {"x": "SENTINEL\r\nset-cookie: a=1"}}, id="header injection"),
        pytest.param({"statusCode": 200, "headers": {"x": "SENTINEL\n"}}, id="newline at the end"),
        pytest.param({"statusCode": 200, "headers": {"x": "€"}}, id="header beyond latin-1"),
        pytest.param({"statusCode": 200, "headers": {"x y": "SENTINEL"}}, id="bad header name"),
        pytest.param({"statusCode": 200, "headers": {5: "SENTINEL"}}, id="number as header name"),
        pytest.param({"statusCode": 200, "cookies": "SENTINEL=1"}, id="cookies as text"),
        pytest.param({"statusCode": 200, "cookies": ["SENTINEL=1\r\nx: y"]}, id="cookie injection"),
    ],
)
def test_an_answer_of_another_format_is_500(opened: Local, result: object, capsys: pytest.CaptureFixture[str]) -> None:
    reply = opened.answer(result)
    assert (reply.status, reply.body) == (500, b'{"message":"Internal Server Error"}')
    assert reply.header("content-type") == "application/json"
    assert reply.header("x") is None
    printed = capsys.readouterr().err
    assert printed.startswith("roomkey: the handler returned an invalid response on GET /v1/health: ")
    assert "SENTINEL" not in printed


@pytest.mark.parametrize("error", [KeyError("SENTINEL"), RuntimeError("SENTINEL"), SystemExit("SENTINEL")])
def test_a_handler_that_raises_is_500_and_the_log_shows_where(
    opened: Local, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = opened.answer(error)
    assert (reply.status, reply.body) == (500, b'{"message":"Internal Server Error"}')
    printed = capsys.readouterr().err
    assert printed.startswith(
        f"roomkey: the handler raised an exception on GET /v1/health: builtins.{type(error).__name__}\n"
    )
    assert re.search(r"test_gateway\.py:\d+ in respond\n$", printed)
    assert "SENTINEL" not in printed
    assert opened.answer(OK).status == 200


# Authentication


@pytest.fixture(scope="module")
def gateways(demo: DemoIssuer) -> Iterator[dict[str, Local]]:
    with (
        local() as opened,
        local(access=Access.JWT, authorizer=demo.authorizer()) as with_jwt,
        local(access=Access.IAM) as with_iam,
    ):
        yield {"open": opened, "jwt": with_jwt, "iam": with_iam}


MINTING = [("POST", "/api/token"), ("POST", "/v1/100ms/app-token"), ("POST", "/v1/agora/app-token")]
MANAGEMENT = [("POST", "/v1/100ms/management-token")]
OTHERS = [
    ("GET", "/v1/health"),
    ("OPTIONS", "/api/token"),
    ("POST", "//api/token"),
    ("GET", "/api/token"),
    ("GET", "/"),
]


@pytest.mark.parametrize(
    ("access", "requests", "status"),
    [
        ("open", MINTING, 200),
        ("open", MANAGEMENT, 403),
        ("open", OTHERS, 200),
        ("jwt", MINTING, 401),
        ("jwt", MANAGEMENT, 403),
        ("jwt", OTHERS, 200),
        ("iam", MINTING, 403),
        ("iam", MANAGEMENT, 403),
        ("iam", OTHERS, 200),
    ],
)
def test_access_without_credentials(
    gateways: dict[str, Local], access: str, requests: list[tuple[str, str]], status: int
) -> None:
    gateway = gateways[access]
    for method, target in requests:
        gateway.function = Function()
        reply = gateway.send(method, target)
        assert reply.status == status, (method, target)
        assert len(gateway.function.events) == (1 if status == 200 else 0)
        if status == 200:
            assert "authorizer" not in gateway.function.event["requestContext"]
        else:
            assert json.loads(reply.body) == {"message": {401: "Unauthorized", 403: "Forbidden"}[status]}
            assert reply.header("content-type") == "application/json"
            assert reply.header("www-authenticate") == ("Bearer" if status == 401 else None)
            assert reply.header("apigw-requestid")


def test_a_token_opens_the_app_routes_only(gateways: dict[str, Local], demo: DemoIssuer) -> None:
    gateway, bearer = gateways["jwt"], {"Authorization": f"Bearer {demo.token('teacher')}"}
    for method, target in MINTING:
        event = gateway.event(method, target, bearer)
        jwt_block = event["requestContext"]["authorizer"]["jwt"]
        assert event["requestContext"]["authorizer"].keys() == {"jwt"}
        assert (jwt_block["claims"]["sub"], jwt_block["claims"]["groups"]) == ("teacher", "[teachers]")
        assert jwt_block["scopes"] is None
        assert event["headers"]["authorization"] == bearer["Authorization"]
    for method, target in OTHERS:
        assert "authorizer" not in gateway.event(method, target, bearer)["requestContext"]
    assert gateway.send("POST", "/v1/100ms/management-token", bearer).status == 403


def test_a_bad_token_is_401(gateways: dict[str, Local]) -> None:
    reply = gateways["jwt"].send("POST", "/api/token", {"Authorization": "Bearer not-a-token"})
    assert (reply.status, reply.body) == (401, b'{"message":"Unauthorized"}')
    assert reply.header("www-authenticate") == (
        'Bearer scope="" error="invalid_token" error_description="token contains an invalid number of segments"'
    )


@pytest.mark.threat("E7")
def test_two_tokens_are_401(gateways: dict[str, Local], demo: DemoIssuer) -> None:
    bearer = ("Authorization", f"Bearer {demo.token('teacher')}")
    assert gateways["jwt"].send("POST", "/api/token", [bearer]).status == 200
    assert gateways["jwt"].send("POST", "/api/token", [bearer, bearer]).status == 401
    assert gateways["jwt"].send("POST", "/api/token", [bearer, ("authorization", "")]).status == 401


def test_a_token_without_the_scope_is_403(demo: DemoIssuer) -> None:
    bearer = {"Authorization": f"Bearer {demo.token('teacher')}"}
    with local(access=Access.JWT, authorizer=demo.authorizer(scopes=["rooms:join"])) as gateway:
        reply = gateway.send("POST", "/api/token", bearer)
        assert (reply.status, reply.body) == (403, b'{"message":"Forbidden"}')
        assert 'error="insufficient_scope"' in (reply.header("www-authenticate") or "")


def test_access_jwt_needs_an_authorizer() -> None:
    with pytest.raises(ValueError, match="authorizer"):
        Gateway(lambda _event, _context: OK, access=Access.JWT)


def test_an_authorizer_that_fails_admits_no_caller(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_kid: str) -> None:
        raise ZeroDivisionError("SENTINEL")

    authorizer = JwtAuthorizer("https://example.com", ["roomkey"], keys=broken)
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"k"}').decode().rstrip("=")
    with local(access=Access.JWT, authorizer=authorizer) as gateway:
        reply = gateway.send("POST", "/api/token", {"Authorization": f"Bearer {head}.e30.AAAA"})
        assert reply.status == 500
        assert gateway.function.events == []
    assert "SENTINEL" not in capsys.readouterr().err


# CORS

PREFLIGHT = {"Origin": WEB, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


def cors_headers(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers if name.startswith("access-control-") or name == "vary"}


@pytest.mark.parametrize("target", ["/api/token", "/v1/100ms/management-token", "/nowhere", "/"])
def test_a_preflight_runs_the_function_and_cors_headers_are_laid_over(web: Local, target: str) -> None:
    web.function.result = lambda: {"statusCode": 204, "headers": {"Access-Control-Allow-Origin": "*"}}
    reply = web.send("OPTIONS", target, PREFLIGHT)
    assert (reply.status, reply.body) == (204, b"")
    assert cors_headers(reply) == {
        "access-control-allow-origin": WEB,
        "access-control-allow-methods": "POST,GET",
        "access-control-allow-headers": (
            "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-content-sha256"
        ),
        "access-control-expose-headers": "x-request-id,retry-after",
        "access-control-max-age": "600",
        "vary": "Origin",
    }
    assert reply.header("apigw-requestid")
    assert len(web.function.events) == 1


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "*", "", WEB + ".evil", WEB + "/", WEB + ":443", WEB.upper()),
        *("http://app.example.com", f"{WEB},http://localhost:3000"),
    ],
)
def test_another_origin_gets_no_cors_headers(web: Local, origin: str) -> None:
    reply = web.send("GET", "/v1/health", {"Origin": origin})
    assert (reply.status, reply.body) == (200, b"{}")
    assert cors_headers(reply) == {"vary": "Origin"}

    web.function = Function()
    reply = web.send("OPTIONS", "/api/token", PREFLIGHT | {"Origin": origin})
    assert cors_headers(reply) == {"vary": "Origin"}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        *(("http://127.0.0.1:5500", True), ("http://[::1]:5500", True), ("http://127a0b0c1", False)),
        *(("http://localhost", True), ("http://localhost:5173", True), ("https://localhost:8443", True)),
        *(
            ("http://localhost.evil.example", False),
            ("http://127.0.0.1.evil.example", False),
            ("ftp://localhost", False),
        ),
        *(("http://localhost:5173/x", False), ("http://evil.example#http://localhost", False), ("null", False)),
    ],
)
def test_this_machine_may_call_a_local_stack(origin: str, allowed: bool) -> None:
    with local(allow_loopback=True) as gateway:
        reply = gateway.send("OPTIONS", "/api/token", PREFLIGHT | {"Origin": origin})
    assert (reply.header("access-control-allow-origin") == origin) is allowed
    assert (reply.header("access-control-allow-methods") == "POST,GET") is allowed


def test_two_origins_get_no_cors_headers(web: Local) -> None:
    assert cors_headers(web.send("GET", "/v1/health", [("Origin", WEB), ("Origin", WEB)])) == {"vary": "Origin"}


@pytest.mark.parametrize("origin", [WEB, "http://localhost:3000"])
def test_the_gateway_replaces_the_functions_cors_headers(web: Local, origin: str) -> None:
    web.function.result = lambda: (
        OK
        | {
            "headers": {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Credentials": "true",
                "Vary": "Accept, origin",
                "X-Request-Id": "kept",
            }
        }
    )
    reply = web.send("POST", "/api/token", {"Origin": origin})
    assert cors_headers(reply) == {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "x-request-id,retry-after",
        "vary": "Accept, Origin",
    }
    assert reply.header("x-request-id") == "kept"


def test_a_native_app_sends_no_origin_and_gets_its_answer(web: Local) -> None:
    reply = web.send("POST", "/api/token")
    assert (reply.status, cors_headers(reply)) == (200, {"vary": "Origin"})


@pytest.mark.parametrize("headers", [{}, {"Origin": WEB}, {"Access-Control-Request-Method": "POST"}])
def test_options_without_preflight_headers_reaches_the_function(web: Local, headers: dict[str, str]) -> None:
    assert web.event("OPTIONS", "/api/token", headers)["routeKey"] == "OPTIONS /{proxy+}"


def test_a_refusal_can_be_read_in_a_browser(web: Local) -> None:
    reply = web.send("POST", "/v1/100ms/management-token", {"Origin": WEB})
    assert (reply.status, reply.header("access-control-allow-origin")) == (403, WEB)


def test_without_origins_the_function_sets_cors_headers(opened: Local) -> None:
    opened.function.result = lambda: {"statusCode": 204, "headers": {"Access-Control-Allow-Origin": WEB}}
    reply = opened.send("OPTIONS", "/api/token", PREFLIGHT)
    assert cors_headers(reply) == {"access-control-allow-origin": WEB}
    assert opened.function.event["routeKey"] == "OPTIONS /{proxy+}"


# The local stack's own pages, and invalid HTTP


def test_extra_routes_come_first_and_keep_their_methods() -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"page of {request.path_params['name']}")

    with local(extra_routes=[Route("/demo/{name}", page)], access=Access.IAM) as gateway:
        assert gateway.send("GET", "/demo/console").body == b"page of console"
        assert gateway.send("POST", "/demo/console").status == 405
        assert gateway.function.events == []
        assert gateway.event("GET", "/demo/console/")["routeKey"] == "$default"
        assert gateway.event("GET", "/demo")["routeKey"] == "$default"


def test_the_demo_issuer_and_the_gateway_share_a_port() -> None:
    running: list[Local] = []

    def app(url: str) -> Gateway:
        issuer = DemoIssuer(url)
        running.append(Local(access=Access.JWT, authorizer=issuer.authorizer(), extra_routes=issuer.routes()))
        return running[0].gateway

    with serve(app) as url:
        answer = json.loads(send(url, "POST", "/demo/token", body=b'{"user": "student"}').body)
        reply = send(url, "POST", "/api/token", {"Authorization": f"Bearer {answer['access_token']}"})
        assert reply.status == 200
        assert running[0].function.event["requestContext"]["authorizer"]["jwt"]["claims"]["iss"] == f"{url}/demo"


def test_a_websocket_is_refused() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def keep(message: Any) -> None:
        sent.append(message)

    function = Function()
    scope = {"type": "websocket", "path": "/v1/health", "raw_path": b"/v1/health", "headers": [], "query_string": b""}
    asyncio.run(Gateway(function)(scope, receive, keep))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert function.events == []


def test_an_unsupported_upgrade_is_an_ordinary_request(opened: Local) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    assert opened.event("GET", "/v1/health", headers)["routeKey"] == "GET /v1/health"
