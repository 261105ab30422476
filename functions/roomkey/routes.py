"""The routes of the API, who may call each, and its CORS values. The local gateway derives its table from this."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from roomkey.platforms.base import TokenKind
from roomkey.settings import Access
from roomkey.token_requests import INVITE


class Action(StrEnum):
    """The action of a route: mint a token for its caller, create an invite, or mint a token for an invite."""

    MINT = "mint"
    CREATE_INVITE = "create-invite"
    REDEEM_INVITE = "redeem-invite"
    REDEEM_ROOM_CODE = "redeem-room-code"
    """Like `REDEEM_INVITE`, with the request and response of 100ms's room codes."""


class MintingRoute(NamedTuple):
    """A route that mints tokens or creates invites.

    `access` is None if the stack's AppTokenAccess decides, `platform` is None if the path or the body names it. A
    `lenient` route reads the bodies that 100ms's own endpoints accepted. With `vendor_format`, request and response
    have the platform's own format (`Platform.endpoint`).
    """

    kind: str
    action: Action = Action.MINT
    access: Access | None = None
    platform: str | None = None
    lenient: bool = False
    vendor_format: bool = False


LEGACY_100MS_ROUTE = MintingRoute(TokenKind.APP, platform="100ms", lenient=True)
_ROOM_CODE = MintingRoute(TokenKind.APP, Action.REDEEM_ROOM_CODE, Access.OPEN, platform="100ms", lenient=True)

MINTING_ROUTES: Mapping[str, MintingRoute] = {
    "POST /api/token": LEGACY_100MS_ROUTE,
    "POST /v1/livekit/token": MintingRoute(TokenKind.APP, platform="livekit", vendor_format=True),
    "POST /v1/{platform}/app-token": MintingRoute(TokenKind.APP),
    "POST /v1/{platform}/management-token": MintingRoute(TokenKind.MANAGEMENT, access=Access.IAM),
    "POST /v1/invites": MintingRoute(INVITE, Action.CREATE_INVITE),
    "POST /v1/invites/redeem": MintingRoute(TokenKind.APP, Action.REDEEM_INVITE, Access.OPEN),
    "POST /v1/100ms/room-code": _ROOM_CODE,
    "POST /v2/token": _ROOM_CODE,
}
"""By route key. `POST /v1/invites` answers 404 if AppTokenAccess is open: only a signed-in caller can invite."""

HEALTH_ROUTE = "GET /v1/health"
PREFLIGHT_ROUTE = "OPTIONS /{proxy+}"
DEFAULT_ROUTE = "$default"

LEGACY_SPELLINGS = ("//api/token", "/api/token/")
"""Paths of old 100ms clients. The gateway has no route for them and authorizes no caller: open stacks only."""

CORS_ALLOW_HEADERS = "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-content-sha256"
CORS_ALLOW_METHODS = "POST,GET"
CORS_EXPOSE_HEADERS = "x-request-id,retry-after"
CORS_MAX_AGE_SECONDS = 600
