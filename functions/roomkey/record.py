"""The state of one request, completed step by step. The audit line and the metrics are written from it."""

from roomkey.cache import CachedValue
from roomkey.credentials import VersionedCredentials
from roomkey.errors import RoomkeyError
from roomkey.event import ApiEvent
from roomkey.identity import Caller
from roomkey.invites import Invite, InviteKeys
from roomkey.kill_switch import KillSwitchReading
from roomkey.minting import MintedToken
from roomkey.platforms.base import Endpoint
from roomkey.policy import Decision, Mode
from roomkey.token_requests import TokenRequest


class CreatedInvite:
    """A new invite, its text and its lifetime in seconds. A plain class: its repr shows no invite."""

    __slots__ = ("expires_in", "invite", "text")

    def __init__(self, invite: Invite, text: str, expires_in: int) -> None:
        self.invite = invite
        self.text = text
        self.expires_in = expires_in


class RequestRecord:
    """One request to a minting route. A step that was not reached leaves its attributes at None.

    `endpoint` is the vendor's own format, if the route has it, `invite` the verified invite of a guest, and
    `created_invite` the one that the request created.
    """

    __slots__ = (
        "caller",
        "cold_start",
        "created_invite",
        "credentials",
        "decision",
        "endpoint",
        "event",
        "failure",
        "invite",
        "invite_keys",
        "kill_switch",
        "kind",
        "minted",
        "platform",
        "policy_mode",
        "redeems_invite",
        "token_request",
    )

    def __init__(
        self,
        event: ApiEvent,
        *,
        platform: str | None,
        kind: str,
        cold_start: bool,
        redeems_invite: bool = False,
        endpoint: Endpoint | None = None,
    ) -> None:
        self.event = event
        self.endpoint = endpoint
        self.platform = platform
        self.kind = kind
        self.cold_start = cold_start
        self.redeems_invite = redeems_invite
        self.caller: Caller | None = None
        self.invite: Invite | None = None
        self.invite_keys: CachedValue[InviteKeys] | None = None
        self.created_invite: CreatedInvite | None = None
        self.token_request: TokenRequest | None = None
        self.kill_switch: KillSwitchReading | None = None
        self.policy_mode: Mode | None = None
        self.decision: Decision | None = None
        self.credentials: CachedValue[VersionedCredentials] | None = None
        self.minted: MintedToken | None = None
        self.failure: RoomkeyError | None = None

    @property
    def success_status(self) -> int:
        """The HTTP status of a response with a token or an invite."""
        if self.created_invite:
            return 201
        return self.endpoint.status if self.endpoint else 200
