"""100ms: auth tokens ("app tokens") for its client SDKs, management tokens for its REST API.

Both are JSON Web Tokens signed with the workspace's `app_secret`. Sources: 100ms's documentation ("Authentication and
tokens"), its server SDK (@100mslive/server-sdk 0.3.0, AuthService), and what its web client does with a token
(@100mslive/hms-video-store 0.15.2, jwt.ts).
"""

from collections.abc import Mapping, Set
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import (
    CredentialField,
    Credentials,
    Grant,
    MintContext,
    Platform,
    RequestField,
    Send,
    TokenKind,
    TokenReport,
    check_id,
    check_role,
)

_CLAIMS: Mapping[str, Set[str]] = {
    TokenKind.APP: {"access_key", "type", "version", "room_id", "role", "user_id", "jti", "iat", "nbf", "exp"},
    TokenKind.MANAGEMENT: {"access_key", "type", "version", "jti", "iat", "nbf", "exp"},
}


class Hms(Platform):
    """100ms, whose package names say "hms": a Python name cannot begin with a digit."""

    name = "100ms"
    title = "100ms"
    max_lifetime = 90 * 86400
    send = Send("Authorization", "Bearer ")
    request_fields = {
        TokenKind.APP: (
            RequestField("room_id", check_id, required=True),
            RequestField("role", check_role, required=True),
            RequestField("user_id", check_id),
        ),
        TokenKind.MANAGEMENT: (),
    }
    credential_fields = (
        CredentialField("app_access_key", usual=r"[0-9a-f]{24}"),
        CredentialField("app_secret", signs=True),
    )

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        hs256.check_key("app_secret", credentials)
        return credentials

    def app_token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        says = {"room_id": grant.room_id, "role": grant.role, "user_id": grant.user_id}
        return self._sign(credentials, grant, context, says)

    def management_token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        return self._sign(credentials, grant, context, {})

    def _sign(self, credentials: Credentials, grant: Grant, context: MintContext, says: Mapping[str, object]) -> str:
        begins = int(context.minted_at) - hs256.BACKDATED_SECONDS
        claims = {
            "access_key": credentials["app_access_key"],
            "type": str(grant.kind),
            "version": 2,
            **says,
            "jti": context.randomness.uuid(),
            "iat": begins,
            "nbf": begins,
            "exp": grant.expires_at,
        }
        return hs256.sign(claims, credentials["app_secret"])

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials["app_secret"] if credentials else None)
        if read is None or read.claims.keys().isdisjoint(("access_key", "type")):
            return None
        claim_problems = _claim_problems(read.claims, credentials["app_access_key"] if credentials else None)
        problems = ["the signature is not this secret's (40109 Bad JWT Token)"] if read.signature is False else []
        problems += hs256.header_problems(read.header)
        problems += claim_problems
        problems += hs256.time_problems(read.claims, at, required=("iat", "nbf", "exp"), max_lifetime=self.max_lifetime)
        warnings = hs256.client_warnings(read)
        kind = read.claims.get("type")
        known = _CLAIMS.get(kind) if isinstance(kind, str) else None
        if known and (unknown := [name for name in read.claims if name not in known]):
            warnings.append(f"it has claims that 100ms does not know: {', '.join(sorted(unknown))}")
        return TokenReport(
            platform=self.name,
            grant=None if claim_problems else _grant(read.claims),
            issued_at=hs256.whole(read.claims.get("iat")),
            signature=read.signature,
            claims=read.claims,
            problems=tuple(problems),
            warnings=tuple(warnings),
            token_id=jti if isinstance(jti := read.claims.get("jti"), str) else None,
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


def _grant(claims: Mapping[str, Any]) -> Grant | None:
    if not hs256.is_int(claims.get("exp")):
        return None
    return Grant(
        kind=TokenKind(claims["type"]),
        expires_at=claims["exp"],
        room_id=claims.get("room_id"),
        role=claims.get("role"),
        user_id=claims.get("user_id"),
    )
