"""The console: pages of the local stack at `/console`, to mint, inspect, control and follow.

The deployed function does not have them. The pages get tokens from the same routes as any client; the routes here
read and write the state of the stand-in for AWS, as the command line does.

The guard refuses other sites before a request arrives here. In addition, every route that is not a page requires a
header that a page of another origin cannot set. Tokens arrive in bodies; they are not stored or logged.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from roomkey import __version__, limits, strict_json
from roomkey.clock import Budget
from roomkey.dependencies import Dependencies
from roomkey.errors import Fault, KillSwitchUnavailable, MalformedBody
from roomkey.kill_switch import KillSwitch
from roomkey.limits import MIN_LIFETIME
from roomkey.platforms import PLATFORMS, hs256
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.platforms.fields import RequestField
from roomkey.request_body import json_object
from roomkey_cli.aws import parameters, secret_store
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.data import POLICIES
from roomkey_cli.environment import Environment
from roomkey_cli.local import guard, sigv4
from roomkey_cli.local.audit_lines import FunctionOutput
from roomkey_cli.local.demo_issuer import DEMO_GROUPS
from roomkey_cli.local.sigv4 import LocalKey
from roomkey_cli.policy import lint, simulate
from roomkey_cli.tokens import explain

HEADER = "x-roomkey-console"
"""Required on every route that is not a page. A page of another origin cannot set it."""

_PAGES = Path(__file__).with_name("static")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_MAX_BODY_BYTES = 64 * 1024
_READING_SECONDS = 2.6

type _Answer = Callable[[Request, Mapping[str, Any]], object]


class Refused(ValueError):
    """The page's request is invalid; the text gives the reason and repeats nothing from it."""


class Console:
    """The console of one local stack. `demo_users` is whether the stack's own issuer signs users in."""

    def __init__(
        self,
        dependencies: Dependencies,
        output: FunctionOutput,
        *,
        endpoint: str,
        region: str,
        key: LocalKey,
        demo_users: bool,
    ) -> None:
        self._deps = dependencies
        self._output = output
        self._key = key
        self._region = region
        self._demo_users = demo_users
        self._aws = Aws(region=region, endpoint=endpoint)
        self._environment = Environment(dependencies.settings.environment, dependencies.settings)

    def routes(self) -> list[BaseRoute]:
        """Return the pages and the routes that they call."""
        pages = {f"/console/{path.name}": path for path in _PAGES.iterdir() if path.suffix in _TYPES}
        pages["/console"] = _PAGES / "index.html"
        answers: Mapping[tuple[str, str], _Answer] = {
            ("GET", "stack"): self._stack,
            ("POST", "signature"): self._signature,
            ("POST", "explanation"): self._explanation,
            ("GET", "state"): self._state,
            ("PUT", "flag"): self._put_flag,
            ("PUT", "policy"): self._put_policy,
            ("POST", "policy/check"): self._check_policy,
            ("POST", "policy/decision"): self._decision,
            ("GET", "audit"): self._audit_lines,
        }
        return [
            *(Route(path, self._page(file)) for path, file in pages.items()),
            *(
                Route(f"/console/api/{name}", self._answer(answer), methods=[method])
                for (method, name), answer in answers.items()
            ),
        ]

    def _page(self, file: Path) -> Callable[[Request], Awaitable[Response]]:
        async def page(_request: Request) -> Response:
            return Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers=_HEADERS)

        return page

    def _answer(self, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if HEADER not in request.headers or request.headers.get("origin", _origin(request)) != _origin(request):
                return PlainTextResponse("The console answers its own page only.", 403, _HEADERS)
            try:
                asked = await _body(request)
                return _json(await run_in_threadpool(answer, request, asked))
            except Refused as refusal:
                return _json({"error": str(refusal)}, 400)
            except Exception as error:
                # The type only: the text may contain a token.
                print(f"roomkey: the console failed at {request.url.path}: {type(error).__name__}", file=sys.stderr)
                return _json({"error": "The console failed; its terminal shows where."}, 500)

        return endpoint

    def _stack(self, _request: Request, _asked: Mapping[str, Any]) -> object:
        settings = self._deps.settings
        return {
            "version": __version__,
            "environment": settings.environment,
            "access": settings.app_token_access,
            "users": DEMO_GROUPS if self._demo_users else {},
            "key": {"id": self._key.id, "secret": self._key.secret, "principal": sigv4.DEMO_PRINCIPAL},
            "region": self._region,
            "in_effect_within": limits.OPERATOR_CONFIG_BOUND_SECONDS,
            "lifetimes": {
                "shortest": MIN_LIFETIME,
                "longest": settings.lifetimes.longest,
                "default": settings.lifetimes.default,
            },
            "platforms": {name: _platform(platform) for name, platform in self._deps.platforms.items()},
            "policies": {path.stem: path.read_text() for path in sorted(POLICIES.glob("*.json"))},
        }

    def _signature(self, request: Request, asked: Mapping[str, Any]) -> object:
        """Return the headers that sign a request to mint with the local key."""
        path, body = _text(asked, "path"), _text(asked, "body")
        if not path.startswith(("/v1/", "/api/")):
            raise Refused("The local key signs requests to mint only.")
        headers = {"content-type": "application/json"} if body else {}
        return sigv4.sign(
            self._key,
            "POST",
            _origin(request) + guard.prefix(request.scope) + path,
            headers,
            body.encode(),
            self._region,
        )

    def _explanation(self, _request: Request, asked: Mapping[str, Any]) -> object:
        explanation = explain.explain(_text(asked, "token"), time.time(), self._credentials)
        if explanation.report is None:
            why = explanation.problems[0]
            raise Refused(f"This is {why}." if explanation.foreign else f"{why[0].upper()}{why[1:]}.")
        web_token = hs256.read(explanation.token, None)
        return {
            **explain.as_json(explanation),
            "title": PLATFORMS[explanation.report.platform].title,
            "header": web_token.header if web_token else None,
        }

    def _credentials(self, platform: Platform) -> Credentials | None:
        """Return the stored credentials, None if they are missing or invalid."""
        try:
            secret = secret_store.read(self._aws, self._environment, platform.name)
            if secret is None:
                return None
            return platform.parse_secret(secret.text)
        except (AwsError, InvalidCredentials):
            return None

    def _state(self, _request: Request, _asked: Mapping[str, Any]) -> object:
        """Return what is stored, and when the function last read it. Reads through its cache, as a request does."""
        config = parameters.read(self._aws, self._environment)
        stored = {
            name: {
                "text": parameter.text,
                "version": parameter.version,
                "changed_at": parameter.changed.timestamp() if parameter.changed else 0,
            }
            for name, parameter in (("flag", config.kill_switch), ("policy", config.policy))
            if parameter
        }
        read_at: float | None = None
        faults: dict[str, str | None] = dict.fromkeys(("flag", "policy"))
        try:
            state = self._deps.operator_config.read(Budget.start(self._deps.clock, _READING_SECONDS))
            read_at = time.time() - state.kill_switch.age
            state.require_policy()
        except KillSwitchUnavailable as fault:
            faults = dict.fromkeys(("flag", "policy"), _in_words(fault))
        except Fault as fault:
            faults["policy"] = _in_words(fault)
        return {"now": time.time(), **stored, "function": {"read_at": read_at, "faults": faults}}

    def _put_flag(self, _request: Request, asked: Mapping[str, Any]) -> object:
        text = _text(asked, "text")
        try:
            KillSwitch.parse(text)
        except ValueError:
            raise Refused("The kill switch is invalid.") from None
        return self._put(self._environment.kill_switch_name, text)

    def _put_policy(self, _request: Request, asked: Mapping[str, Any]) -> object:
        read = lint.parse(_text(asked, "text").encode())
        if read.policy is None or read.minified is None:
            raise Refused(f"The policy is invalid: line {read.problems[0].line}: {read.problems[0]}.")
        return self._put(self._environment.policy_name, read.minified)

    def _put(self, name: str, text: str) -> object:
        return {"version": parameters.put(self._aws, name, text), "now": time.time()}

    def _check_policy(self, _request: Request, asked: Mapping[str, Any]) -> object:
        return lint.as_json(lint.parse(_text(asked, "text").encode()))

    def _decision(self, _request: Request, asked: Mapping[str, Any]) -> object:
        """Evaluate a policy, applied or not, rule by rule."""
        policy = lint.parse(_text(asked, "text").encode()).policy
        columns = asked.get("question")
        if policy is None:
            raise Refused("The policy is invalid.")
        if not isinstance(columns, dict) or not all(isinstance(text, str) for text in columns.values()):
            raise Refused("The question must be an object of texts.")
        try:
            question = simulate.parse_question(columns)
        except ValueError as error:
            raise Refused(f"The question is invalid: {error}.") from None
        return simulate.as_json(policy, question, simulate.decide(policy, question))

    def _audit_lines(self, request: Request, _asked: Mapping[str, Any]) -> object:
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Refused("after must be the number of a line.")
        return {"now": time.time(), "lines": self._output.audit_after(int(after))}


def _json(document: object, status: int = 200) -> Response:
    """Return a response in ASCII, which can also write lone surrogates."""
    return Response(strict_json.dumps(document), status, _HEADERS, "application/json")


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object that was sent, empty where nothing was. Raises `Refused`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise Refused("The request is too large for the console.")
    if not body:
        return {}
    try:
        return json_object(bytes(body))
    except MalformedBody:
        raise Refused("The request is not a JSON object.") from None


def _text(asked: Mapping[str, Any], name: str) -> str:
    text = asked.get(name)
    if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused(f"{name} must be text.")
    return text


def _platform(platform: Platform) -> object:
    return {
        "title": platform.title,
        "services": platform.services,
        "response_member": next(iter(platform.response_schemas)),
        "example": platform.example,
        "authorization": platform.auth_header._asdict() if platform.auth_header else None,
        "fields": {
            kind: {field.name: {"required": field.required, "choices": _choices(field)} for field in spec.fields}
            for kind, spec in platform.kinds.items()
        },
    }


def _choices(field: RequestField) -> list[str] | None:
    """Return the words that a closed field accepts, None for an open one."""
    words = field.check.schema.get("enum")
    return list(words) if isinstance(words, tuple) else None


def _in_words(fault: Fault) -> str:
    return f"{fault.code} ({fault.failure.reason})" if fault.failure else fault.code
