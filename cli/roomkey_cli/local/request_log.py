"""Print one line for each request to the local stack, refusals of the gateway and of CORS included."""

import json
import time
from collections.abc import Collection, Mapping
from typing import Any, TextIO

import typer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roomkey.errors import NotFound
from roomkey_cli.local import guard, nearest_route
from roomkey_cli.local.audit_lines import FunctionOutput
from roomkey_cli.terminal import harmless, iso
from roomkey_cli.tokens import refusal

_MAX_ERROR_BYTES = 4096
_OWN_PAGES = ("/console", "/favicon.ico")


class RequestLog:
    """ASGI middleware outside the guard. `as_json` prints JSON lines instead of readable ones.

    `platforms` are those that the stack serves, for hints at unknown paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        output: FunctionOutput,
        stream: TextIO,
        *,
        platforms: Collection[str] = (),
        as_json: bool = False,
    ) -> None:
        self._app = app
        self._output = output
        self._stream = stream
        self._platforms = platforms
        self._as_json = as_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = guard.in_origin_form(scope)
        answer = _Answer()

        async def observe(message: Message) -> None:
            answer.observe(message)
            await send(message)

        guard.note(scope)
        started = time.monotonic()
        try:
            await self._app(scope, receive, observe)
        finally:
            path = scope["raw_path"].decode("latin-1").removeprefix(guard.notes(scope).get("prefix", ""))
            path = _without_key(path, scope)
            if answer.status >= 400 or not _is_polling(scope, path):
                self._print(scope, path, answer, time.monotonic() - started)

    def _print(self, scope: Scope, path: str, answer: "_Answer", seconds: float) -> None:
        notes = guard.notes(scope)
        audit = self._output.audit_line(answer.request_id)
        code, *reasons = answer.refusal()
        what = _audited(audit) if audit else (notes.get("reason") or code)
        what = _without_key("; ".join((what, *reasons)), scope)
        now = time.localtime()
        if self._as_json:
            line = {
                "log_type": "access",
                "time": iso(time.time()),
                "status": answer.status,
                "method": scope["method"],
                "path": path,
                "result": what,
                "duration_ms": round(seconds * 1000, 1),
            }
            print(
                json.dumps(line | ({"hint": notes["hint"]} if "hint" in notes else {})), file=self._stream, flush=True
            )
            return
        color = "red" if answer.status >= 500 else "yellow" if answer.status >= 400 else "green"
        status = str(answer.status or "---")
        if self._stream.isatty():
            status = typer.style(status, fg=color)
        request = harmless(f"{scope['method']} {path}")
        line_of_text = f"{time.strftime('%H:%M:%S', now)}  {status}  {request}  {harmless(what)}".rstrip()
        print(f"{line_of_text}  {seconds * 1000:.0f} ms", file=self._stream, flush=True)
        hint = nearest_route.hint(path, self._platforms) if code == NotFound.code else notes.get("hint")
        if hint and hint not in what:
            print(f"          {harmless(hint)}", file=self._stream, flush=True)


def _without_key(text: str, scope: Scope) -> str:
    """Replace the path key, which a wrongly joined path has in another place than the first segment."""
    key = guard.notes(scope).get("path_key")
    return text.replace(key, "<key>") if key else text


def _is_polling(scope: Scope, path: str) -> bool:
    """Return whether the console sends this request by itself, again and again."""
    if path.startswith(_OWN_PAGES):
        return True
    return path == "/v1/health" and (b"sec-fetch-site", b"same-origin") in scope["headers"]


class _Answer:
    """The parts of a response that the log needs. Tokens are not among them."""

    def __init__(self) -> None:
        self.status = 0
        self.request_id = ""
        self._body = b""

    def observe(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", ()):
                if name == b"apigw-requestid":
                    self.request_id = value.decode("latin-1")
        elif self.status >= 400 and len(self._body) < _MAX_ERROR_BYTES:
            self._body += message.get("body", b"")

    def refusal(self) -> list[str]:
        """Return the error's code or message, then each invalid field with the reason."""
        try:
            return refusal.parts(json.loads(self._body))
        except ValueError:
            return [""]


def _audited(line: Mapping[str, Any]) -> str:
    """Summarise an audit line: the result, the token and the caller."""
    requested, caller, token = (line.get(name) or {} for name in ("requested", "caller", "token"))
    user = requested.get("user_id") or token.get("user_id")
    facts = {"room": requested.get("room_id"), "role": requested.get("role"), "user": user}
    asked = " ".join(filter(None, (line.get("platform"), line["kind"])))
    what = ", ".join([asked, *(f"{name} {text}" for name, text in facts.items() if text)])
    by = caller.get("user_id") or caller.get("principal") or "anyone"
    return f"{line.get('reason') or line['decision']}: {what}, by {by}"
