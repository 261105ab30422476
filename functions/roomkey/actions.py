"""The steps behind each route: identify the caller, read the request, check kill switch, block list and policy, sign.

Each step adds to the record of the request, so that the audit line shows how far the request came.
"""

from collections.abc import Mapping
from typing import Any

from roomkey import identity, request_body, token_requests
from roomkey.clock import Budget
from roomkey.dependencies import Dependencies
from roomkey.errors import Blocked, FieldError, InvalidRequest, InviteInvalid, NotAllowed, RoomkeyError
from roomkey.event import ApiEvent
from roomkey.identity import Caller
from roomkey.invites import Invite, InviteRequest, Redemption, UnverifiedInvite
from roomkey.minting import mint
from roomkey.operator_config import OperatorConfig
from roomkey.platforms.base import Platform, TokenKind
from roomkey.platforms.fields import GUEST_PREFIX
from roomkey.policy import Decision, Mode
from roomkey.record import CreatedInvite, RequestRecord
from roomkey.routes import Action, MintingRoute
from roomkey.settings import Access, LifetimeLimits
from roomkey.token_requests import INVITE, TokenRequest


class Actions:
    """The actions of the routes. Each raises the `RoomkeyError` that the caller receives."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._deps = dependencies

    def mint(
        self, event: ApiEvent, route: MintingRoute, platform: Platform, record: RequestRecord, budget: Budget
    ) -> None:
        """Mint a token for the caller."""
        settings = self._deps.settings

        access = route.access or settings.app_token_access
        caller = record.caller = identity.from_authorizer(event.authorizer, access, settings.claim_names)
        caller.require_user()

        signed_in = caller.user_id is not None
        token_request = record.token_request = self._token_request(event, route, platform, signed_in=signed_in)
        if caller.user_id is not None:
            token_request = token_requests.bind_to_user(token_request, caller.user_id, caller.claims)
            record.token_request = token_request

        config = self._read_config(record, budget)
        config.kill_switch.require_on(platform.name, route.kind)
        self._issue(token_request, caller, config, record, budget)

    def _token_request(
        self, event: ApiEvent, route: MintingRoute, platform: Platform, *, signed_in: bool
    ) -> TokenRequest:
        """Parse the body, in the format of the route."""
        content_type = event.headers.get("content-type")
        body: Mapping[str, Any]
        if route.lenient:
            body = request_body.read_lenient(event.raw, content_type)
        else:
            may_be_empty = route.kind is TokenKind.MANAGEMENT
            body = request_body.read_strict(event.raw, content_type, may_be_empty=may_be_empty)
        endpoint = platform.endpoint if route.vendor_format else None
        return token_requests.parse(
            platform,
            TokenKind(route.kind),
            endpoint.fields(body, event.query, self._deps.randomness) if endpoint else body,
            lifetimes=self._deps.settings.lifetimes,
            mode=token_requests.LENIENT if route.lenient else token_requests.STRICT,
            signed_in=signed_in,
            spec=endpoint.spec if endpoint else None,
        )

    def create_invite(self, event: ApiEvent, record: RequestRecord, budget: Budget) -> None:
        """Create an invite, if the policy grants the caller one."""
        settings = self._deps.settings

        access = settings.app_token_access
        caller = record.caller = identity.from_authorizer(event.authorizer, access, settings.claim_names)
        caller.require_user()

        body = request_body.read_strict(event.raw, event.headers.get("content-type"), may_be_empty=False)
        request = InviteRequest.parse(body)
        platform = self._deps.platforms.get(request.platform) if isinstance(request.platform, str) else None
        if platform is None or TokenKind.APP not in platform.kinds:
            raise InvalidRequest(FieldError("platform", f"must be one of {', '.join(self._deps.platforms)}"))
        record.platform = platform.name
        token_request = _guest_token_request(platform, request.target, settings.lifetimes)
        token_request = token_request._replace(for_invite=True, expires_in=request.expires_in)
        record.token_request = token_request

        config = self._read_config(record, budget)
        config.kill_switch.require_on(platform.name, INVITE)
        decision = self._decide(token_request, caller, config, record, budget)

        record.invite_keys = self._deps.invite_keys.read(budget)
        now = int(budget.require_time().wall)
        expires_in = request.lifetime(decision.max_lifetime if decision.allowed else None)
        invite = Invite(
            platform=platform.name,
            room_id=token_request.room_id,
            role=token_request.role,
            services=token_request.services,
            expires_at=now + expires_in,
            id=self._deps.randomness.invite_id(),
            guest_name=request.guest_name,
        )
        text = record.invite_keys.value.sign(invite, settings.environment)
        record.created_invite = CreatedInvite(invite, text, expires_in)

    def redeem_invite(self, event: ApiEvent, route: MintingRoute, record: RequestRecord, budget: Budget) -> None:
        """Mint a token for a guest, if the policy grants it to invites."""
        settings = self._deps.settings
        room_code = route.action is Action.REDEEM_ROOM_CODE
        record.caller = Caller(Access.OPEN)

        content_type = event.headers.get("content-type")
        if route.lenient:
            body = request_body.read_lenient(event.raw, content_type)
        else:
            body = request_body.read_strict(event.raw, content_type, may_be_empty=False)
        redemption = Redemption.parse(
            body, invite_field="code" if room_code else "invite", ignore_unknown_fields=route.lenient
        )
        unverified = UnverifiedInvite.decode(redemption.invite)
        platform = self._deps.platforms.get(unverified.invite.platform)
        if platform is None or route.platform not in (None, platform.name):
            raise InviteInvalid

        config = self._read_config(record, budget)
        config.kill_switch.require_on(platform.name, INVITE, TokenKind.APP)
        record.invite_keys = self._deps.invite_keys.read(budget)
        invite = record.invite = record.invite_keys.value.verify(
            unverified, settings.environment, budget.require_time().wall
        )
        record.platform = platform.name
        caller = record.caller = Caller(Access.OPEN, invite_id=invite.id)

        target = {"room_id": invite.room_id, "role": invite.role, "services": list(invite.services)}
        user_id = redemption.user_id or GUEST_PREFIX + self._deps.randomness.guest()
        guest_name = redemption.guest_name or invite.guest_name
        try:
            token_request = record.token_request = _guest_token_request(
                platform, target, settings.lifetimes, user_id=user_id, guest_name=guest_name
            )
        except InvalidRequest as invalid:
            if all(error.field in ("user_id", "display_name") for error in invalid.errors):
                raise
            raise InviteInvalid from None  # The platform's rules have changed since the invite was created.
        self._issue(token_request, caller, config, record, budget)

    def _read_config(self, record: RequestRecord, budget: Budget) -> OperatorConfig:
        config = self._deps.operator_config.read(budget)
        record.kill_switch = config.kill_switch
        return config

    def _decide(
        self,
        token_request: TokenRequest,
        caller: Caller,
        config: OperatorConfig,
        record: RequestRecord,
        budget: Budget,
    ) -> Decision:
        """Ask the block list and the policy."""
        if config.require_block_list().blocks(token_request, caller, budget.started.wall):
            raise Blocked
        policy = config.require_policy()
        decision = record.decision = policy.decide(token_request, caller)
        record.policy_mode = policy.mode
        if policy.mode is Mode.ENFORCE and not decision.allowed:
            raise _refusal(decision, token_request.platform)
        return decision

    def _issue(
        self,
        token_request: TokenRequest,
        caller: Caller,
        config: OperatorConfig,
        record: RequestRecord,
        budget: Budget,
    ) -> None:
        """Mint the token if the block list and the policy allow it."""
        decision = self._decide(token_request, caller, config, record, budget)
        allowed_lifetime = decision.max_lifetime if decision.allowed else None
        expires_in = token_requests.resolve_lifetime(token_request, self._deps.settings.lifetimes, allowed_lifetime)

        record.credentials = self._deps.credentials.read(token_request.platform, budget)
        record.minted = mint(
            token_request,
            expires_in,
            record.credentials.value.credentials,
            at=budget.require_time().wall,
            randomness=self._deps.randomness,
        )


def _refusal(decision: Decision, platform: Platform) -> RoomkeyError:
    """Return the refusal. If only `may_set` fails, it names the values that the client must leave out."""
    if not decision.forbidden_values:
        return NotAllowed()
    fields = platform.endpoint.spec.fields if platform.endpoint else ()
    names = {field.maps_to_field: field.name for field in fields}
    why = "must not be set: the policy does not allow it"
    return InvalidRequest(*(FieldError(names.get(value, value), why) for value in decision.forbidden_values))


def _guest_token_request(
    platform: Platform,
    target: Mapping[str, object],
    lifetimes: LifetimeLimits,
    *,
    user_id: str | None = None,
    guest_name: str | None = None,
) -> TokenRequest:
    """Return the token request of a guest. `target` has room, role and services.

    Raises:
        InvalidRequest: The platform does not accept the fields.
    """
    spec = platform.kinds[TokenKind.APP]
    values = {**target, "user_id": user_id, "display_name": guest_name}
    optional = ("user_id", "display_name")
    body = {
        name: value
        for name, value in values.items()
        if value not in (None, []) and (name not in optional or spec.field(name))
    }
    request = token_requests.parse(platform, TokenKind.APP, body, lifetimes=lifetimes, signed_in=user_id is None)
    if request.opens_every_room:
        raise InvalidRequest(FieldError("room_id", "is missing"))
    return request
