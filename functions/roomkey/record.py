"""The state of one request, filled in step by step. The audit line and the metrics are written from it."""

from roomkey.cache import CachedValue
from roomkey.credentials import VersionedCredentials
from roomkey.errors import RoomkeyError
from roomkey.event import ApiEvent
from roomkey.identity import Caller
from roomkey.kill_switch import KillSwitchReading
from roomkey.minting import MintedToken
from roomkey.platforms.base import TokenKind
from roomkey.policy import Decision, Mode
from roomkey.token_requests import TokenRequest


class RequestRecord:
    """One request to a minting route. A step that was not reached leaves its attributes at None."""

    __slots__ = (
        "caller",
        "cold_start",
        "credentials",
        "decision",
        "event",
        "failure",
        "kill_switch",
        "kind",
        "minted",
        "platform",
        "policy_mode",
        "token_request",
    )

    def __init__(self, event: ApiEvent, *, platform: str, kind: TokenKind, cold_start: bool) -> None:
        self.event = event
        self.platform = platform
        self.kind = kind
        self.cold_start = cold_start
        self.caller: Caller | None = None
        self.token_request: TokenRequest | None = None
        self.kill_switch: KillSwitchReading | None = None
        self.policy_mode: Mode | None = None
        self.decision: Decision | None = None
        self.credentials: CachedValue[VersionedCredentials] | None = None
        self.minted: MintedToken | None = None
        self.failure: RoomkeyError | None = None
