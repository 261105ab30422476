"""100ms: auth tokens ("app tokens") for its client SDKs, management tokens for its REST API.

Both are JSON Web Tokens signed with the workspace's `app_secret`. Sources: 100ms's documentation ("Authentication and
tokens"), its server SDK (@100mslive/server-sdk 0.3.0, AuthService), and its web client's decoder
(@100mslive/hms-video-store 0.15.2, jwt.ts).
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import AuthHeader, Grant, MintContext, Platform, TokenContent, TokenKind, TokenReport
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec, check_id, check_role

_COMMON_CLAIMS = frozenset(
    ("access_key", "type", "version", "jti", "iat", "nbf", "exp", "iss", "sub", "app_data", "app_id")
)
_CLAIMS: Mapping[str, Set[str]] = {
    TokenKind.APP: _COMMON_CLAIMS | {"room_id", "role", "user_id"},
    TokenKind.MANAGEMENT: _COMMON_CLAIMS,
}
"""The claims of Roomkey's tokens, and those that 100ms's own API writes."""

_KINDS = tuple(TokenKind)
_BAD_TOKEN = "40109 Bad JWT Token"  # noqa: S105 - 100ms's name of the error.


_MAX_VALIDITY = 90 * 86400
"""Seconds from `nbf` to `exp` that the vendor allows."""


class Hms(Platform):
    """100ms, whose package names say "hms": a Python name cannot begin with a digit."""

    name = "100ms"
    title = "100ms"
    generated_rooms = ("x" * 24,)
    example = {"room_id": "633fcdd84208780bf665346a", "role": "guest", "user_id": "1234"}
    backdate_seconds = 30
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", check_id, required=True),
                RequestField("role", check_role, required=True),
                RequestField("user_id", check_id),
            ),
            Lifetime(maximum=_MAX_VALIDITY - backdate_seconds),
        ),
        TokenKind.MANAGEMENT: TokenSpec(lifetime=Lifetime(maximum=_MAX_VALIDITY - backdate_seconds)),
    }
    auth_header = AuthHeader("Authorization", "Bearer ")
    recognizing_claims = tuple(frozenset(("access_key", name)) for name in ("type", "version", "room_id"))
    credential_fields = (
        CredentialField("app_access_key", pattern=r"[0-9a-f]{24}"),
        CredentialField("app_secret", signs=True),
    )

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        hs256.check_key("app_secret", credentials)
        return credentials

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        joins = {"room_id": grant.room_id, "role": grant.role, "user_id": grant.user_id}
        valid_from = int(context.minted_at) - self.backdate_seconds
        claims = {
            "access_key": credentials["app_access_key"],
            "type": str(grant.kind),
            "version": 2,
            **(joins if grant.kind is TokenKind.APP else {}),
            "jti": context.randomness.uuid(),
            "iat": valid_from,
            "nbf": valid_from,
            "exp": grant.expires_at,
        }
        return hs256.sign(claims, credentials["app_secret"])

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        without_key = claims.get("type") in _KINDS and claims.get("version") == 2 and "iss" not in claims
        return without_key or super().recognizes(claims)

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials["app_secret"] if credentials else None)
        if read is None or not self.recognizes(read.claims):
            return None
        claims = read.claims
        problems = [
            *hs256.signature_problems(read, f"the signature is not this secret's ({_BAD_TOKEN})"),
            *hs256.header_problems(read.header),
            *([] if read.incomplete else _claim_problems(claims, credentials)),
            *hs256.time_problems(claims, at, required=() if read.incomplete else ("exp",), max_validity=_MAX_VALIDITY),
        ]
        return TokenReport(
            platform=self.name,
            content=_content(claims),
            signature=read.signature,
            claims=claims,
            problems=tuple(problems),
            warnings=(
                *hs256.client_warnings(read),
                *hs256.time_warnings(claims),
                *(() if read.incomplete else _warnings(claims)),
            ),
            issued_at=hs256.number(claims.get("iat")),
            token_id=hs256.string(claims.get("jti")),
        )


def _claim_problems(claims: Mapping[str, Any], credentials: Credentials | None) -> Iterator[str]:
    if not hs256.is_text(claims.get("access_key")):
        yield "access_key is missing or not a string (40101 Invalid Access Key)"
    elif credentials and claims["access_key"] != credentials["app_access_key"]:
        yield "access_key is not these credentials' (40101 Invalid Access Key)"
    if not hs256.is_int(claims.get("version")) or claims["version"] != 2:
        yield f"version is not the number 2 ({_BAD_TOKEN})"
    if not hs256.is_text(claims.get("jti")):
        yield f"jti is missing or not a string ({_BAD_TOKEN})"
    match claims.get("type"):
        case TokenKind.APP:
            if not hs256.is_text(claims.get("room_id")):
                yield "room_id is missing or not a string (40102 Invalid Room Id)"
            if not hs256.is_text(claims.get("role")):
                yield "role is missing or not a string (40108 Invalid Role)"
            if "user_id" in claims and not hs256.is_text(claims["user_id"]):
                yield "user_id is not a string (40107 Invalid User Id)"
        case TokenKind.MANAGEMENT:
            pass
        case _:
            yield f'type is neither "app" nor "management" ({_BAD_TOKEN})'


def _warnings(claims: Mapping[str, Any]) -> Iterator[str]:
    if missing := [name for name in ("iat", "nbf") if name not in claims]:
        yield f"it has no {' and no '.join(missing)}: 100ms accepts that, and its documentation requires both"
    kind = claims.get("type")
    known = _CLAIMS.get(kind) if isinstance(kind, str) else None
    if known and (unknown := claims.keys() - known):
        yield f"it has claims that 100ms does not know: {', '.join(sorted(unknown))}"


def _content(claims: Mapping[str, Any]) -> TokenContent:
    kind = claims.get("type")
    return TokenContent(
        kind=TokenKind(kind) if kind in _KINDS else None,
        expires_at=hs256.number(claims.get("exp")),
        room_id=hs256.string(claims.get("room_id")),
        role=hs256.string(claims.get("role")),
        user_id=hs256.string(claims.get("user_id")),
    )
