"""One line for each request to the local stack."""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from roomkey_cli.local import guard
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


@contextmanager
def logged(*, as_json: bool = False) -> Iterator[tuple[str, Callable[[], str]]]:
    """A guarded application behind the log: its URL, and a function that returns the lines so far."""
    stream = io.StringIO()
    output = FunctionOutput(io.StringIO(), as_json=as_json)
    output.write(json.dumps(AUDIT) + "\n")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status = 404 if scope["path"] == "/missing" else 200
        body = {"code": "not-found", "msg": "secret"} if status == 404 else {"token": "secret"}
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
        ("/api/token", "403  POST /api/token  the address lacks the key of this run; use the printed address"),
        ("/k3y/%1b%5B31m", "200  POST /%1b%5B31m"),
    ],
)
def test_a_line_shows_status_path_and_result(path: str, line: str) -> None:
    with logged() as (url, lines):
        send(url, "POST", path)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {re.escape(line)}  \d+ ms\n", lines())


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
