"""Request records, from which audit lines and metrics are written."""

from typing import Any

from roomkey.cache import CachedValue
from roomkey.clock import Usage
from roomkey.credentials import VersionedCredentials
from roomkey.errors import DependencyFailure
from roomkey.event import ApiEvent
from roomkey.identity import Caller
from roomkey.invites import InviteKeys
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.minting import MintedToken
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Grant, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.policy import Decision, Mode
from roomkey.record import RequestRecord
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest
from support.events import LambdaContext

NOW = 1_800_000_000
TOKEN = "007not-a-token-but-called-one"
TOKEN_ID = "0b34bd25-5d0a-4e3c-9f0c-0d6c1a4b7a10"
VERSION = "11111111-2222-4333-8444-555555555555"
DOWN = DependencyFailure("ssm", "throttled", transient=True)


def arrived(
    *, platform: str = "agora", kind: TokenKind = TokenKind.APP, trace: str | None = None, **known: Any
) -> RequestRecord:
    """Return the record of a request of which nothing but its event and `known` is known."""
    event = {
        "version": "2.0",
        "routeKey": "POST /v1/{platform}/app-token",
        "headers": {"x-amzn-trace-id": trace} if trace else {},
        "requestContext": {
            "requestId": "Ky_G7rsLq_1-WJs=",
            "http": {"method": "POST", "sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
        },
    }
    record = RequestRecord(ApiEvent(event, LambdaContext()), platform=platform, kind=kind, cold_start=False)
    for name, value in known.items():
        setattr(record, name, value)
    return record


def minted(token: str = TOKEN, **known: Any) -> RequestRecord:
    """Return the record of a request with a token, changed by `known`."""
    grant = Grant(TokenKind.APP, NOW + 600, room_id="room", role="publisher", user_id="granted", services=("rtc",))
    credentials = VersionedCredentials(Credentials({"app_certificate": "s3cret" * 8}), VERSION)
    steps: dict[str, Any] = {
        "trace": "Root=1-65a3b1c2-0123456789abcdef01234567",
        "caller": Caller(
            Access.JWT, user_id="verified", issuer="https://issuer.example", groups=("g",), claims={"sub": "verified"}
        ),
        "token_request": TokenRequest(
            PLATFORMS["agora"], TokenKind.APP, "room", "publisher", "asked", ("rtc", "rtm"), 600
        ),
        "kill_switch": KillSwitchReading(KillSwitch(everything=False), 12.34, None),
        "policy_mode": Mode.ENFORCE,
        "decision": Decision(allowed=True, rule="teachers publish", max_lifetime=3600),
        "credentials": CachedValue(credentials, 56.78),
        "minted": MintedToken(
            token,
            TOKEN_ID,
            grant,
            minted_at=NOW,
            expires_in=600,
            response_members={"token": token},
            connect={},
            renew_in=None,
        ),
    }
    return arrived(**steps | known)


def stale(
    record: RequestRecord,
    *,
    kill_switch: float | None = None,
    credentials: float | None = None,
    invite_keys: float | None = None,
) -> RequestRecord:
    """Return `record` with readings of these ages that could not be refreshed."""
    if kill_switch is not None:
        record.kill_switch = KillSwitchReading(KillSwitch(everything=False), kill_switch, DOWN)
    if credentials is not None:
        keys = VersionedCredentials(Credentials({"app_certificate": "s3cret" * 8}), VERSION)
        record.credentials = CachedValue(keys, credentials, DOWN)
    if invite_keys is not None:
        record.invite_keys = CachedValue(InviteKeys({"a": "s3cret" * 8}, "a"), invite_keys, DOWN)
    return record


def usage(since: float = NOW + 0.25, seconds: float = 0.0123, **calls: int) -> Usage:
    return Usage(since, seconds, calls)
