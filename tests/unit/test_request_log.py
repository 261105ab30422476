"""One line for each request to the local stack."""

import http.client
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from roomkey.platforms import PLATFORM_NAMES
from roomkey.responses import STATUS
from roomkey_cli.data import DATA
from roomkey_cli.local import guard, nearest_route
from roomkey_cli.local.audit_lines import FunctionOutput
from roomkey_cli.local.request_log import RequestLog
from support.http import send, serve

AUDIT = {
    "log_type": "audit",
    "request_id": "r1",
    "platform": "100ms",
    "kind": "app",
    "decision": "minted",
    "caller": {"access": "jwt", "user_id": "teacher"},
    "requested": {"room_id": "class-7b", "role": "host"},
    "token": {"user_id": "teacher"},
}


REQUIRED = json.loads((DATA / "audit.schema.json").read_text())["required"]
REFUSED = dict.fromkeys(REQUIRED, "x") | {"log_type": "audit", "request_id": "r1", "kind": "app", "decision": "denied"}


@contextmanager
def logged(*, as_json: bool = False, audit: Mapping[str, object] = AUDIT) -> Iterator[tuple[str, Callable[[], str]]]:
    """A guarded application behind the log: its URL, and a function that returns the lines so far."""
    stream = io.StringIO()
    output = FunctionOutput(io.StringIO(), as_json=as_json)
    output.write(json.dumps(audit) + "\n")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status = {"/missing": 404, "/invalid": 400}.get(scope["path"], 200)
        body: dict[str, object] = {"token": "secret"}
        if status != 200:
            errors = [{"field": "role", "reason": "is missing"}, {"field": "x\x1b", "reason": "is not a field"}]
            code, errors = ("not-found", []) if status == 404 else ("invalid-request", errors)
            body = {"code": code, "msg": "secret", "errors": errors}
        headers = {"apigw-requestid": "r1"} if scope["path"] == "/api/token" else {}
        await JSONResponse(body, status, headers)(scope, receive, send)

    def make(_: str) -> RequestLog:
        return RequestLog(guard.Guard(app, hosts=guard.LOOPBACK_HOSTS, path_key="k3y"), output, stream, as_json=as_json)

    with serve(make, lifespan="off") as url:
        yield url, stream.getvalue


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "/k3y/api/token",
            "200  POST /api/token  minted: 100ms app, room class-7b, role host, user teacher, by teacher",
        ),
        ("/k3y/missing", "404  POST /missing  not-found"),
        (
            "/k3y/invalid",
            r"400  POST /invalid  invalid-request; role: is missing; x\u001b: is not a field",
        ),
        ("/api/token", "403  POST /api/token  the address lacks the key of this run; use the printed address"),
        ("/k3y/%1b%5B31m", "200  POST /%1b%5B31m"),
    ],
)
def test_a_line_shows_status_path_and_result(path: str, line: str) -> None:
    with logged() as (url, lines):
        send(url, "POST", path)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {re.escape(line)}  \d+ ms\n", lines())


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("//k3y/v1/health", "//<key>/v1/health"),
        ("/k3y/k3y/v1/health", "/<key>/v1/health"),
        ("/k3yx/v1/health", "/<key>x/v1/health"),
        ("/v1/k3y", "/v1/<key>"),
        ("http://127.0.0.1//k3y/a", "//<key>/a"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_line_contains_the_path_key(path: str, shown: str, *, as_json: bool) -> None:
    with logged(as_json=as_json) as (url, lines):
        address = urlsplit(url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()

    assert "k3y" not in lines()
    assert shown in lines()


@pytest.mark.parametrize("code", STATUS)
def test_a_refusal_before_the_platform_is_known_has_a_line(code: str) -> None:
    with logged(audit=REFUSED | {"reason": code}) as (url, lines):
        assert send(url, "POST", "/k3y/api/token").status == 200
    assert f"{code}: app, by anyone" in lines()


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/zoom/app-token", "no such platform zoom: zoom-video, zoom-meeting"),
        ("/v1/Agora/app-token", "the nearest path is /v1/agora/app-token"),
        ("/v1/100ms/token", "the nearest path is /v1/100ms/app-token"),
        ("/v1/invite", "the nearest path is /v1/invites"),
        ("/v1/turn/management-token", "turn has no management tokens"),
        ("/v1/invites", "a stack with access open creates no invites: add --access jwt"),
        ("/favicon.png", ""),
    ],
)
def test_an_unknown_path_has_a_hint(path: str, hint: str) -> None:
    assert nearest_route.hint(path, PLATFORM_NAMES) == hint


def test_a_hint_names_only_what_the_stack_serves() -> None:
    assert nearest_route.hint("/v1/agora/app-token", ["turn"]) == "this stack has no credentials for agora"
    assert "livekit" not in nearest_route.hint("/v1/livekit/tokens", ["100ms"])


def test_json_lines_have_the_same_facts() -> None:
    with logged(as_json=True) as (url, lines):
        send(url, "POST", "/k3y/missing")
    line = json.loads(lines())
    assert (line["log_type"], line["status"], line["path"], line["result"]) == ("access", 404, "/missing", "not-found")


def test_the_console_does_not_fill_the_terminal() -> None:
    with logged() as (url, lines):
        send(url, "GET", "/k3y/console/api/state")
        send(url, "GET", "/k3y/v1/health", {"Sec-Fetch-Site": "same-origin"})
        assert lines() == ""
        send(url, "GET", "/k3y/v1/health")
    assert "GET /v1/health" in lines()
