"""The routes of the API, who may call each, and its CORS values. The local gateway derives its table from this."""

from collections.abc import Mapping
from typing import NamedTuple

from roomkey.platforms.base import TokenKind
from roomkey.settings import Access


class MintingRoute(NamedTuple):
    """A route that mints tokens.

    `access` is None where the stack's AppTokenAccess decides, `platform` is None where the path names it. A `lenient`
    route reads the bodies that 100ms's own endpoint accepted.
    """

    kind: TokenKind
    access: Access | None = None
    platform: str | None = None
    lenient: bool = False


LEGACY_100MS_ROUTE = MintingRoute(TokenKind.APP, platform="100ms", lenient=True)

MINTING_ROUTES: Mapping[str, MintingRoute] = {
    "POST /api/token": LEGACY_100MS_ROUTE,
    "POST /v1/{platform}/app-token": MintingRoute(TokenKind.APP),
    "POST /v1/{platform}/management-token": MintingRoute(TokenKind.MANAGEMENT, Access.IAM),
}
HEALTH_ROUTE = "GET /v1/health"
PREFLIGHT_ROUTE = "OPTIONS /{proxy+}"
DEFAULT_ROUTE = "$default"

LEGACY_SPELLINGS = ("//api/token", "/api/token/")
"""Old 100ms clients send these. The gateway has no route for them and authorizes no caller: open stacks only."""

CORS_ALLOW_HEADERS = "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-content-sha256"
CORS_ALLOW_METHODS = "POST,GET"
CORS_EXPOSE_HEADERS = "x-request-id,retry-after"
CORS_MAX_AGE_SECONDS = 600
