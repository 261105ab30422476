"""100ms: auth tokens ("app tokens") for its client SDKs, management tokens for its REST API.

Both are JSON Web Tokens signed with the workspace's `app_secret`. Sources: 100ms's documentation ("Authentication and
tokens"), its server SDK (@100mslive/server-sdk 0.3.0, AuthService), and what its web client does with a token
(@100mslive/hms-video-store 0.15.2, jwt.ts).
"""

from collections.abc import Mapping, Set
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import AuthHeader, Grant, MintContext, Platform, TokenContent, TokenKind, TokenReport
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec, check_id, check_role

_CLAIMS: Mapping[str, Set[str]] = {
    TokenKind.APP: {"access_key", "type", "version", "room_id", "role", "user_id", "jti", "iat", "nbf", "exp"},
    TokenKind.MANAGEMENT: {"access_key", "type", "version", "jti", "iat", "nbf", "exp"},
}


_MAX_VALIDITY = 90 * 86400
"""Seconds from `nbf` to `exp` that the vendor allows."""


class Hms(Platform):
    """100ms, whose package names say "hms": a Python name cannot begin with a digit."""

    name = "100ms"
    title = "100ms"
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
    recognizing_claims = tuple(map(frozenset, (("access_key", "type"), ("access_key", "version"), ("type", "version"))))
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

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials["app_secret"] if credentials else None)
        if read is None or not self.recognizes(read.claims):
            return None
        problems = hs256.signature_problems(read, "the signature is not this secret's (40109 Bad JWT Token)")
        problems += hs256.header_problems(read.header)
        problems += _claim_problems(read.claims, credentials["app_access_key"] if credentials else None)
        problems += hs256.time_problems(read.claims, at, required=("iat", "nbf", "exp"), max_validity=_MAX_VALIDITY)
        warnings = hs256.client_warnings(read)
        kind = read.claims.get("type")
        known = _CLAIMS.get(kind) if isinstance(kind, str) else None
        if known and (unknown := [name for name in read.claims if name not in known]):
            warnings.append(f"it has claims that 100ms does not know: {', '.join(sorted(unknown))}")
        return TokenReport(
            platform=self.name,
            content=_content(read.claims),
            signature=read.signature,
            claims=read.claims,
            problems=tuple(problems),
            warnings=tuple(warnings),
            issued_at=hs256.number(read.claims.get("iat")),
            token_id=hs256.string(read.claims.get("jti")),
        )


def _claim_problems(claims: Mapping[str, Any], access_key: str | None) -> list[str]:
    problems = []
    if not hs256.is_text(claims.get("access_key")):
        problems.append("access_key is missing or not a string (40101 Invalid Access Key)")
    elif access_key is not None and claims["access_key"] != access_key:
        problems.append("access_key is not these credentials' (40101 Invalid Access Key)")
    if not hs256.is_int(claims.get("version")) or claims["version"] != 2:
        problems.append("version is not the number 2 (40109 Bad JWT Token)")
    if not hs256.is_text(claims.get("jti")):
        problems.append("jti is missing or not a string (40109 Bad JWT Token)")
    match claims.get("type"):
        case TokenKind.APP:
            if not hs256.is_text(claims.get("room_id")):
                problems.append("room_id is missing or not a string (40102 Invalid Room Id)")
            if not hs256.is_text(claims.get("role")):
                problems.append("role is missing or not a string (40108 Invalid Role)")
            if "user_id" in claims and not hs256.is_text(claims["user_id"]):
                problems.append("user_id is not a string (40107 Invalid User Id)")
        case TokenKind.MANAGEMENT:
            pass
        case _:
            problems.append('type is neither "app" nor "management" (40109 Bad JWT Token)')
    return problems


def _content(claims: Mapping[str, Any]) -> TokenContent:
    kind = claims.get("type")
    return TokenContent(
        kind=TokenKind(kind) if kind in list(TokenKind) else None,
        expires_at=hs256.number(claims.get("exp")),
        room_id=hs256.string(claims.get("room_id")),
        role=hs256.string(claims.get("role")),
        user_id=hs256.string(claims.get("user_id")),
    )
