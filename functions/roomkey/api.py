"""The HTTP API: which route a request is for, the order of work, and the one place that makes responses.

The only file that knows status codes. Everything it answers has one of two shapes, success or failure (docs/api.md).
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from roomkey import __version__, identity, request_body, strict_json, token_requests
from roomkey.audit import AuditRecord
from roomkey.clock import Budget, Usage
from roomkey.dependencies import Dependencies
from roomkey.errors import AuditUnavailable, Fault, InternalError, MethodNotAllowed, NotAllowed, NotFound, RoomkeyError
from roomkey.limits import AWS_BUDGET_SECONDS, GRACE_SECONDS
from roomkey.minting import MintedToken, mint
from roomkey.observability import Observability
from roomkey.platforms.base import Platform, TokenKind
from roomkey.policy import Mode
from roomkey.settings import Access

STATUS = {
    "malformed-body": 400,
    "invalid-request": 400,
    "unauthenticated": 401,
    "minting-disabled": 403,
    "user-mismatch": 403,
    "not-allowed": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "internal-error": 500,
    "kill-switch-unavailable": 503,
    "policy-unavailable": 503,
    "credentials-unavailable": 503,
    "credentials-invalid": 503,
    "audit-unavailable": 503,
    "deadline-exceeded": 503,
}

_RETRY_AFTER = {True: "5", False: "60"}
"""Seconds, by whether the fault is likely to pass by itself."""

CORS_HEADERS = {
    "access-control-allow-headers": "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-content-sha256",
    "access-control-allow-methods": "POST,GET",
    "access-control-max-age": "600",
}
CORS_EXPOSED = "x-request-id,retry-after"


@dataclass(frozen=True, slots=True)
class MintingRoute:
    """A route that mints. `platform` is None where the path names it."""

    kind: TokenKind
    lenient: bool = False
    platform: str | None = None


_100MS_ENDPOINT = MintingRoute(TokenKind.APP, lenient=True, platform="100ms")

MINTING_ROUTES = {
    "POST /api/token": _100MS_ENDPOINT,
    "POST /v1/{platform}/app-token": MintingRoute(TokenKind.APP),
    "POST /v1/{platform}/management-token": MintingRoute(TokenKind.MANAGEMENT),
}
HEALTH_ROUTE = "GET /v1/health"
PREFLIGHT_ROUTE = "OPTIONS /{proxy+}"
DEFAULT_ROUTE = "$default"

_OTHER_SPELLINGS = ("//api/token", "/api/token/")
"""Old 100ms clients send these. The gateway has no route for them, so it has authorised nobody: open stacks only."""


_HEADERS = frozenset({"content-type", "origin", "x-amzn-trace-id"})
"""Those that are read. The others, the caller's credentials among them, stay in the event."""


class Request(NamedTuple):
    """What the API reads from an event of payload format 2.0. Whatever is missing or of another type is empty.

    Never shown by `repr`: the event holds the caller's credentials.
    """

    event: Mapping[str, Any]
    route_key: str
    method: str
    path: str
    platform: str
    headers: Mapping[str, str]
    authorizer: Mapping[str, Any]
    request_id: str
    lambda_request_id: str
    source_ip: str
    user_agent: str

    def __repr__(self) -> str:
        return object.__repr__(self)

    @classmethod
    def from_event(cls, event: Any, context: Any) -> "Request":
        event = _mapping(event)
        request_context = _mapping(event.get("requestContext"))
        http = _mapping(request_context.get("http"))
        lambda_request_id = _plain(getattr(context, "aws_request_id", None))
        headers = {
            lower: value
            for name, value in _mapping(event.get("headers")).items()
            if (lower := str(name).lower()) in _HEADERS and isinstance(value, str)
        }
        return cls(
            event=event,
            route_key=_text(event.get("routeKey")),
            method=_text(http.get("method")),
            path=_text(event.get("rawPath")),
            platform=_text(_mapping(event.get("pathParameters")).get("platform")),
            headers=headers,
            authorizer=_mapping(request_context.get("authorizer")),
            request_id=_plain(request_context.get("requestId")) or lambda_request_id,
            lambda_request_id=lambda_request_id,
            source_ip=_plain(http.get("sourceIp")),
            user_agent=_text(http.get("userAgent")).encode("ascii", "replace").decode()[:256],
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_PLAIN = re.compile(r"[\x21-\x7e]{1,128}")


def _plain(value: Any) -> str:
    """`value`, if it can stand in a header and in a log as it is."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""


class Api:
    """Answers API Gateway's events."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._deps = dependencies
        self._cold = True

    def answer(self, event: Any, context: Any) -> dict[str, Any]:
        """The response to `event`, in payload format 2.0. Raises nothing."""
        request = Request.from_event(event, context)
        try:
            return self._answer(request, Budget.start(self._deps.clock, _waiting_seconds(context), GRACE_SECONDS))
        except RoomkeyError as failure:
            return self._refuse(request, failure)
        except Exception as error:
            return self._refuse(request, self._unexpected(error, request))

    def _answer(self, request: Request, budget: Budget) -> dict[str, Any]:
        cold, self._cold = self._cold, False
        if request.route_key == PREFLIGHT_ROUTE or request.method == "OPTIONS":
            return self._respond(request, 204, None)
        if request.route_key == HEALTH_ROUTE:
            return self._respond(request, 200, self._health(budget))
        route, platform = self._route(request)
        record = AuditRecord(
            request_id=request.request_id,
            lambda_request_id=request.lambda_request_id,
            route=request.route_key,
            kind=route.kind,
            platform=platform.name,
            source_ip=request.source_ip,
            user_agent=request.user_agent,
            cold_start=cold,
            trace_id=_plain(request.headers.get("x-amzn-trace-id")) or None,
        )
        try:
            self._mint(request, route, platform, record, budget)
        except RoomkeyError as failure:
            record.failure = failure
        except Exception as error:
            record.failure = self._unexpected(error, request)
        return self._conclude(request, record, budget)

    # --- routes ----------------------------------------------------------------------------------------------------

    def _route(self, request: Request) -> tuple[MintingRoute, Platform]:
        """The minting route that the gateway chose, by its key alone: what was authorised is what runs."""
        route = MINTING_ROUTES.get(request.route_key)
        if request.route_key == DEFAULT_ROUTE:
            route = self._route_of_old_spelling(request)
        if route is None:
            raise NotFound
        platform = self._deps.platforms.get(route.platform or request.platform)
        if platform is None or route.kind not in platform.kinds:
            raise NotFound
        return route, platform

    def _route_of_old_spelling(self, request: Request) -> MintingRoute:
        path = request.path
        if self._deps.settings.app_token_access is Access.OPEN and path in _OTHER_SPELLINGS:
            if request.method == "POST":
                return _100MS_ENDPOINT
            path = "/api/token"
        allowed = self._method_of(path)
        if allowed and allowed != request.method:
            raise MethodNotAllowed(allowed)
        raise NotFound

    def _method_of(self, path: str) -> str | None:
        """The method that `path` answers, None where there is nothing at it."""
        match path.split("/"):
            case ["", "v1", "health"]:
                return "GET"
            case ["", "api", "token"] if _100MS_ENDPOINT.platform in self._deps.platforms:
                return "POST"
            case ["", "v1", name, "app-token" | "management-token" as kind]:
                platform = self._deps.platforms.get(name)
                return "POST" if platform and TokenKind(kind.removesuffix("-token")) in platform.kinds else None
        return None

    def _health(self, budget: Budget) -> dict[str, Any]:
        return {
            "success": True,
            "status": 200,
            "version": __version__,
            "platforms": list(self._deps.platforms),
            "minting": self._deps.state.minting(self._deps.platforms, budget),
        }

    # --- the order of work -----------------------------------------------------------------------------------------

    def _mint(
        self, request: Request, route: MintingRoute, platform: Platform, record: AuditRecord, budget: Budget
    ) -> None:
        settings, kind = self._deps.settings, route.kind

        access = Access.IAM if kind is TokenKind.MANAGEMENT else settings.app_token_access
        caller = record.caller = identity.from_authorizer(request.authorizer, access, settings.claim_names)
        caller.require_user()

        content_type = request.headers.get("content-type")
        if route.lenient:
            body, mode = request_body.read_lenient(request.event, content_type), token_requests.LENIENT
        else:
            may_be_empty = kind is TokenKind.MANAGEMENT
            body = request_body.read_strict(request.event, content_type, may_be_empty=may_be_empty)
            mode = token_requests.STRICT
        signed_in = caller.user_id is not None
        record.request = token_requests.parse(
            platform, kind, body, lifetimes=settings.lifetimes, mode=mode, signed_in=signed_in
        )
        if caller.user_id is not None:
            record.request = token_requests.bind_to_user(record.request, caller.user_id, caller.claims)

        state = self._deps.state.read(budget)
        record.switch = state.switch
        record.switch.require_on(platform.name, kind)

        policy = state.require_policy()
        decision = record.decision = policy.decide(record.request, caller)
        record.policy_mode = policy.mode
        if policy.mode is Mode.ENFORCE and not decision.allowed:
            raise NotAllowed
        allowed_lifetime = decision.max_lifetime if decision.allowed else None
        expires_in = token_requests.resolve_lifetime(record.request, settings.lifetimes, allowed_lifetime)

        record.credentials = self._deps.credentials.read(platform, budget)
        record.minted = mint(
            record.request,
            expires_in,
            record.credentials.value.credentials,
            at=budget.check().wall,
            randomness=self._deps.randomness,
        )

    def _conclude(self, request: Request, record: AuditRecord, budget: Budget) -> dict[str, Any]:
        """Writes the audit line, and only then hands out what it is about."""
        failure, usage = record.failure, budget.usage()
        try:
            status = STATUS[failure.code] if failure else 200
            self._deps.audit.write(record, status=status, fault=isinstance(failure, Fault), usage=usage)
        except Exception:
            # A refusal stays what it is: nothing is handed out that a record would have to be kept of.
            unwritten = AuditUnavailable()
            self._observe(request, lambda seen: seen.fault(unwritten, request.request_id))
            failure = failure or unwritten
        self._observe(request, lambda seen: self._tell(seen, request, record, failure, usage))
        if failure or record.minted is None:
            return self._refuse(request, failure or InternalError())
        return self._respond(request, 200, _success(record.minted, record.request))

    @staticmethod
    def _tell(
        seen: Observability, request: Request, record: AuditRecord, failure: RoomkeyError | None, usage: Usage
    ) -> None:
        """Logs and counts what came of a request."""
        known_already = failure is None or isinstance(failure, AuditUnavailable) or _is_unexpected(failure)
        if isinstance(failure, Fault) and not known_already:
            seen.fault(failure, request.request_id)
        stale_seconds = {}
        for what, known in (("kill-switch", record.switch), ("credentials", record.credentials)):
            if known and known.failure:
                stale_seconds[what] = known.age
                if record.minted:
                    seen.served_stale(what, known.failure, request.request_id)
        seen.count(record.platform, record.kind, failure, usage, stale_seconds)

    def _observe(self, request: Request, tell: Callable[[Observability], None]) -> None:
        """What goes wrong in telling costs nobody their token: the audit line is already written."""
        try:
            tell(self._deps.observability)
        except Exception as error:
            self._unexpected(error, request)

    # --- responses -------------------------------------------------------------------------------------------------

    def _unexpected(self, error: Exception, request: Request) -> InternalError:
        with suppress(Exception):  # With the log gone there is nowhere left to say so.
            self._deps.observability.unexpected(error, request.request_id)
        return InternalError()

    def _refuse(self, request: Request, failure: RoomkeyError) -> dict[str, Any]:
        status = STATUS[failure.code]
        body: dict[str, Any] = {
            "success": False,
            "status": status,
            "code": failure.code,
            "msg": failure.msg,
            "api_version": __version__,
            "request_id": request.request_id,
            "errors": [{"field": error.field, "reason": error.reason} for error in failure.errors],
        }
        headers = {}
        if isinstance(failure, MethodNotAllowed):
            headers["allow"] = failure.allowed
        if status == 503 and isinstance(failure, Fault):
            headers["retry-after"] = _RETRY_AFTER[failure.transient]
        return self._respond(request, status, body, headers)

    def _respond(
        self, request: Request, status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        response: dict[str, Any] = {
            "statusCode": status,
            "headers": {
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "x-request-id": request.request_id,
                **(headers or {}),
                **self._cors(request),
            },
            "isBase64Encoded": False,
        }
        if body is None:
            response["body"] = ""
        else:
            response["headers"]["content-type"] = "application/json"
            response["body"] = strict_json.dumps(body)
        return response

    def _cors(self, request: Request) -> dict[str, str]:
        """As API Gateway sets them on AWS, for the places where it does not: `sam local` and the local stack."""
        origins = self._deps.settings.allowed_origins
        if not origins:
            return {}
        if request.headers.get("origin") not in origins:
            return {"vary": "Origin"}
        headers = {
            "vary": "Origin",
            "access-control-allow-origin": request.headers["origin"],
            "access-control-expose-headers": CORS_EXPOSED,
        }
        return headers | CORS_HEADERS if request.method == "OPTIONS" else headers


def _is_unexpected(failure: RoomkeyError) -> bool:
    """Whether `failure` stands for an exception that was logged when it was caught."""
    return isinstance(failure, InternalError) and failure.failure is None


def _success(minted: MintedToken, asked: token_requests.TokenRequest | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "success": True,
        "status": 200,
        "msg": "token generated successfully",
        "api_version": __version__,
        **minted.reply,
        "expires_at": minted.grant.expires_at,
        "expires_in": minted.expires_in,
    }
    if minted.renew_in is not None:
        body["renew_in"] = minted.renew_in
    if minted.connect:
        body["connect"] = minted.connect
    if minted.grant.user_id is not None:
        body["user_id"] = minted.grant.user_id
    if asked and asked.platform.fold_room_case and minted.grant.room_id is not None:
        body["room_id"] = minted.grant.room_id
    if asked and asked.kind is TokenKind.MANAGEMENT and asked.platform.auth_header:
        body["authorization"] = asked.platform.auth_header._asdict()
    return body


def _waiting_seconds(context: Any) -> float:
    remaining: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None:
        return AWS_BUDGET_SECONDS
    return min(AWS_BUDGET_SECONDS, remaining() / 1000 - 2 * GRACE_SECONDS)
