"""The HTTP API: the route of a request, the order of work, and what happens when a step fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from roomkey import identity, request_body, token_requests
from roomkey.clock import Budget
from roomkey.dependencies import Dependencies
from roomkey.errors import (
    AuditUnavailable,
    Blocked,
    InternalError,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    RoomkeyError,
)
from roomkey.event import ApiEvent
from roomkey.limits import AWS_BUDGET_SECONDS, GRACE_SECONDS
from roomkey.minting import mint
from roomkey.platforms.base import Platform, TokenKind
from roomkey.policy import Mode
from roomkey.record import RequestRecord
from roomkey.responses import STATUS, Responses
from roomkey.routes import (
    DEFAULT_ROUTE,
    HEALTH_ROUTE,
    LEGACY_100MS_ROUTE,
    LEGACY_SPELLINGS,
    MINTING_ROUTES,
    PREFLIGHT_ROUTE,
    MintingRoute,
)
from roomkey.settings import Access


class Api:
    """Answers the events of API Gateway."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._deps = dependencies
        self._responses = Responses(dependencies.settings.allowed_origins)
        self._cold = True

    def answer(self, event: Any, context: Any) -> dict[str, Any]:
        """Return the response to an event of payload format 2.0. Raises nothing."""
        api_event = ApiEvent(event, context)
        try:
            return self._answer(api_event, Budget.start(self._deps.clock, _waiting_seconds(context), GRACE_SECONDS))
        except NotFound as failure:
            with self._never_fail(api_event):
                if source := api_event.foreign_source:
                    self._deps.observability.foreign_event(source, api_event.request_id)
            return self._responses.failed(api_event, failure)
        except RoomkeyError as failure:
            return self._responses.failed(api_event, failure)
        except Exception as error:
            return self._responses.failed(api_event, self._unexpected(error, api_event))

    def _answer(self, event: ApiEvent, budget: Budget) -> dict[str, Any]:
        cold, self._cold = self._cold, False
        if event.route_key == PREFLIGHT_ROUTE or event.method == "OPTIONS":
            return self._responses.preflight(event)
        if event.route_key == HEALTH_ROUTE:
            minting = self._deps.operator_config.minting(self._deps.platforms, budget)
            return self._responses.health(event, tuple(self._deps.platforms), minting)
        route, platform = self._route(event)
        record = RequestRecord(event, platform=platform.name, kind=route.kind, cold_start=cold)
        try:
            self._mint(event, route, platform, record, budget)
        except RoomkeyError as failure:
            record.failure = failure.without_traceback()
        except Exception as error:
            record.failure = self._unexpected(error, event)
        return self._finish(record, budget)

    # --- routes ----------------------------------------------------------------------------------------------------

    def _route(self, event: ApiEvent) -> tuple[MintingRoute, Platform]:
        """Return the route that the gateway chose, by its key alone: what was authorized is what runs."""
        route = MINTING_ROUTES.get(event.route_key)
        if event.route_key == DEFAULT_ROUTE:
            route = self._legacy_route(event)
        platform = self._deps.platforms.get(route.platform or event.platform) if route else None
        if route is None or platform is None or route.kind not in platform.kinds:
            raise NotFound
        return route, platform

    def _legacy_route(self, event: ApiEvent) -> MintingRoute:
        path = event.path
        if self._deps.settings.app_token_access is Access.OPEN and path in LEGACY_SPELLINGS:
            if event.method == "POST":
                return LEGACY_100MS_ROUTE
            path = "/api/token"
        allowed = self._method_of(path)
        if allowed and allowed != event.method:
            raise MethodNotAllowed(allowed)
        raise NotFound

    def _method_of(self, path: str) -> str | None:
        """Return the method that `path` answers, None if there is no such path."""
        match path.split("/"):
            case ["", "v1", "health"]:
                return "GET"
            case ["", "api", "token"] if LEGACY_100MS_ROUTE.platform in self._deps.platforms:
                return "POST"
            case ["", "v1", name, "app-token" | "management-token" as kind]:
                platform = self._deps.platforms.get(name)
                return "POST" if platform and TokenKind(kind.removesuffix("-token")) in platform.kinds else None
        return None

    # --- the order of work -----------------------------------------------------------------------------------------

    def _mint(
        self, event: ApiEvent, route: MintingRoute, platform: Platform, record: RequestRecord, budget: Budget
    ) -> None:
        settings = self._deps.settings

        access = route.access or settings.app_token_access
        caller = record.caller = identity.from_authorizer(event.authorizer, access, settings.claim_names)
        caller.require_user()

        content_type = event.headers.get("content-type")
        if route.lenient:
            body, mode = request_body.read_lenient(event.event, content_type), token_requests.LENIENT
        else:
            may_be_empty = route.kind is TokenKind.MANAGEMENT
            body = request_body.read_strict(event.event, content_type, may_be_empty=may_be_empty)
            mode = token_requests.STRICT
        signed_in = caller.user_id is not None
        token_request = record.token_request = token_requests.parse(
            platform, route.kind, body, lifetimes=settings.lifetimes, mode=mode, signed_in=signed_in
        )
        if caller.user_id is not None:
            token_request = token_requests.bind_to_user(token_request, caller.user_id, caller.claims)
            record.token_request = token_request

        config = self._deps.operator_config.read(budget)
        record.kill_switch = config.kill_switch
        config.kill_switch.require_on(platform.name, route.kind)

        if config.require_block_list().blocks(token_request, caller, budget.started.wall):
            raise Blocked

        policy = config.require_policy()
        decision = record.decision = policy.decide(token_request, caller)
        record.policy_mode = policy.mode
        if policy.mode is Mode.ENFORCE and not decision.allowed:
            raise NotAllowed
        allowed_lifetime = decision.max_lifetime if decision.allowed else None
        expires_in = token_requests.resolve_lifetime(token_request, settings.lifetimes, allowed_lifetime)

        record.credentials = self._deps.credentials.read(platform, budget)
        record.minted = mint(
            token_request,
            expires_in,
            record.credentials.value.credentials,
            at=budget.check().wall,
            randomness=self._deps.randomness,
        )

    def _finish(self, record: RequestRecord, budget: Budget) -> dict[str, Any]:
        """Write the audit line, then the log and the metrics, and only then return the response."""
        event, usage = record.event, budget.usage()
        try:
            status = STATUS[record.failure.code] if record.failure else 200
            self._deps.audit.write(record, status=status, usage=usage)
        except Exception:
            unwritten = AuditUnavailable()
            with self._never_fail(event):
                self._deps.observability.fault(unwritten, event.request_id)
            # A refusal stays a refusal: it returns nothing that needs a record.
            record.failure = record.failure or unwritten
        with self._never_fail(event):
            self._deps.observability.request_finished(record, usage)
        if record.failure or record.minted is None or record.token_request is None:
            return self._responses.failed(event, record.failure or InternalError())
        return self._responses.minted(event, record.token_request, record.minted)

    @contextmanager
    def _never_fail(self, event: ApiEvent) -> Iterator[None]:
        """Catch all exceptions: logging and metrics must not fail a request whose audit line is written."""
        try:
            yield
        except Exception as error:
            self._unexpected(error, event)

    def _unexpected(self, error: Exception, event: ApiEvent) -> InternalError:
        with suppress(Exception):  # If logging itself fails, there is nowhere left to report it.
            self._deps.observability.unexpected(error, event.request_id)
        return InternalError()


def _waiting_seconds(context: Any) -> float:
    """Return the time for waiting on AWS, which leaves part of Lambda's own timeout unused."""
    remaining: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None:
        return AWS_BUDGET_SECONDS
    return min(AWS_BUDGET_SECONDS, remaining() / 1000 - 2 * GRACE_SECONDS)
