"""The HTTP API: route a request, run its action, write its records and respond."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from roomkey.actions import Actions
from roomkey.clock import Budget
from roomkey.dependencies import Dependencies
from roomkey.errors import (
    AuditUnavailable,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RoomkeyError,
)
from roomkey.event import ApiEvent
from roomkey.limits import AWS_BUDGET_SECONDS, GRACE_SECONDS
from roomkey.platforms.base import Platform, TokenKind
from roomkey.record import RequestRecord
from roomkey.responses import STATUS, Responses
from roomkey.routes import (
    DEFAULT_ROUTE,
    HEALTH_ROUTE,
    LEGACY_100MS_ROUTE,
    LEGACY_SPELLINGS,
    MINTING_ROUTES,
    PREFLIGHT_ROUTE,
    Action,
    MintingRoute,
)
from roomkey.settings import Access

_REDEEMING = (Action.REDEEM_INVITE, Action.REDEEM_ROOM_CODE)


class Api:
    """Answers the events of API Gateway."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._deps = dependencies
        self._actions = Actions(dependencies)
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
            return self._failed(api_event, failure)
        except RoomkeyError as failure:
            return self._failed(api_event, failure)
        except Exception as error:
            return self._failed(api_event, self._unexpected(error, api_event))

    def _answer(self, event: ApiEvent, budget: Budget) -> dict[str, Any]:
        cold, self._cold = self._cold, False
        if event.route_key == PREFLIGHT_ROUTE or event.method == "OPTIONS":
            return self._responses.preflight(event)
        if event.route_key == HEALTH_ROUTE:
            minting = self._deps.operator_config.minting(self._deps.platforms, budget)
            return self._responses.health(event, tuple(self._deps.platforms), minting)
        route = self._route(event)
        platform = self._platform(event, route)
        record = RequestRecord(
            event,
            platform=platform.name if platform else None,
            kind=route.kind,
            cold_start=cold,
            redeems_invite=route.action in _REDEEMING,
            endpoint=platform.endpoint if platform and route.vendor_format else None,
        )
        try:
            match route.action:
                case Action.MINT if platform:
                    self._actions.mint(event, route, platform, record, budget)
                case Action.CREATE_INVITE:
                    self._actions.create_invite(event, record, budget)
                case _:
                    self._actions.redeem_invite(event, route, record, budget)
        except RoomkeyError as failure:
            record.failure = failure.without_traceback()
        except Exception as error:
            record.failure = self._unexpected(error, event)
        return self._finish(record, budget)

    # --- routes ----------------------------------------------------------------------------------------------------

    def _route(self, event: ApiEvent) -> MintingRoute:
        """Return the route with the event's `routeKey`: API Gateway authorized exactly this key."""
        route = MINTING_ROUTES.get(event.route_key)
        if event.route_key == DEFAULT_ROUTE:
            route = self._legacy_route(event)
        if route is None or (route.action is Action.CREATE_INVITE and not self._creates_invites):
            raise NotFound
        return route

    def _platform(self, event: ApiEvent, route: MintingRoute) -> Platform | None:
        """Return the platform of the route or its path, None for the routes of invites without one."""
        if route.action is not Action.MINT and route.platform is None:
            return None
        platform = self._deps.platforms.get(route.platform or event.platform)
        if platform is None or TokenKind(route.kind) not in platform.kinds:
            raise NotFound
        return platform

    @property
    def _creates_invites(self) -> bool:
        return self._deps.settings.app_token_access is not Access.OPEN

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
        """Return the method that `path` answers, None for an unknown path."""
        match path.split("/"):
            case ["", "v1", "health"]:
                return "GET"
            case ["", "api" | "v2", "token"] | ["", "v1", "100ms", "room-code"] if "100ms" in self._deps.platforms:
                return "POST"
            case ["", "v1", "invites"] | ["", "v1", "invites", "redeem"]:
                return "POST"
            case ["", "v1", "livekit", "token"] if "livekit" in self._deps.platforms:
                return "POST"
            case ["", "v1", name, "app-token" | "management-token" as kind]:
                platform = self._deps.platforms.get(name)
                return "POST" if platform and TokenKind(kind.removesuffix("-token")) in platform.kinds else None
        return None

    # --- records and response ---------------------------------------------------------------------------------------

    def _finish(self, record: RequestRecord, budget: Budget) -> dict[str, Any]:
        """Write the audit line, then the log and the metrics, and only then return the response."""
        event, usage = record.event, budget.usage()
        try:
            status = STATUS[record.failure.code] if record.failure else record.success_status
            self._deps.audit.write(record, status=status, usage=usage)
        except Exception:
            unwritten = AuditUnavailable()
            with self._never_fail(event):
                self._deps.observability.fault(unwritten, event.request_id)
            # A refusal stays a refusal: it returns nothing that needs a record.
            record.failure = record.failure or unwritten
        with self._never_fail(event):
            self._deps.observability.request_finished(record, usage)
        return self._response(record)

    def _response(self, record: RequestRecord) -> dict[str, Any]:
        event, responses = record.event, self._responses
        if record.created_invite and not record.failure:
            return responses.invited(event, record.created_invite, self._deps.settings.invite_url)
        if record.failure or record.minted is None or record.token_request is None:
            return self._failed(event, record.failure or InternalError())
        if record.endpoint:
            return responses.minted_in_vendor_format(record.endpoint, event, record.minted)
        if record.redeems_invite:
            return responses.redeemed(event, record.token_request, record.minted)
        return responses.minted(event, record.token_request, record.minted)

    def _failed(self, event: ApiEvent, failure: RoomkeyError) -> dict[str, Any]:
        route = MINTING_ROUTES.get(event.route_key)
        room_code = route is not None and route.action is Action.REDEEM_ROOM_CODE
        respond = self._responses.room_code_failed if room_code else self._responses.failed
        return respond(event, failure)

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
