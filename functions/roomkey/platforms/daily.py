"""Daily: self-signed meeting tokens.

The signing secret is the domain's API key itself. Source: docs.daily.co ("Self-signing meeting tokens", "Create
meeting token").
"""

import re
from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import (
    RequestField,
    TokenSpec,
    check_display_value,
    check_id,
    digest_unless,
    matching,
    one_of,
)
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems, text_problems

_ROLES: Mapping[str, bool] = {"owner": True, "participant": False}
_USER = re.compile(r".{1,36}")

_SHORT_NAMES = frozenset(
    (
        *("nbf", "exp", "iat", "d", "r", "ud", "u", "o", "k", "ctoe", "rome", "ij", "sr", "sro", "ast", "er", "ss"),
        *("vo", "ao", "mjh", "ejt", "eje", "uil", "erui", "p"),
    )
)
_LONG_NAMES = ("room_name", "domain_id", "user_id", "user_name", "is_owner", "enable_recording", "permissions")


_check_room = matching("[A-Za-z0-9_-]{1,128}", "must be 1 to 128 ASCII letters, digits, - and _", also=check_id)


class Daily(JwtPlatform):
    """Daily. Its REST API is called with the API key instead of a management token."""

    name = "daily"
    title = "Daily"
    example = {"room_id": "class-7b", "role": "participant", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_room, required=True),
                RequestField("role", one_of(*_ROLES), required=True),
                RequestField("user_id", check_id),
                RequestField("display_name", check_display_value),
            )
        ),
    }
    credential_fields = (
        CredentialField("domain_id", pattern=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", form="a UUID in lower case"),
        CredentialField("api_key", signs=True),
        CredentialField(
            "domain",
            pattern=r"[a-z0-9-]+",
            form="the part of the host before .daily.co",
            host=True,
            demo="example",
        ),
    )
    public_fields = ("domain",)
    recognizing_claims = (frozenset(("r", "d")), frozenset(("d", "o")), frozenset(("r", "o")))
    known_claims = _SHORT_NAMES
    required_times = ("iat",)

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        return super().recognizes(claims) and (isinstance(claims.get("d"), str) or type(claims.get("o")) is bool)

    def expressible(self, grant: Grant) -> Grant:
        return grant._replace(user_id=digest_unless(_USER, grant.user_id))

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        now = int(context.minted_at)
        name = {} if grant.display_name is None else {"u": grant.display_name}
        return {
            "r": grant.room_id,
            "d": credentials["domain_id"],
            "o": _ROLES[str(grant.role)],
            "ud": digest_unless(_USER, grant.user_id),
            **name,
            "iat": now,
            "nbf": now,
            "exp": grant.expires_at,
        }

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        problems = issuer_problems(claims, "d", credentials["domain_id"] if credentials else None)
        problems += text_problems(claims, "r", "u", "ud")
        problems += [
            f"{name} is not true or false"
            for name in ("o", "ss", "vo", "ao")
            if type(claims.get(name, True)) is not bool
        ]
        if unabbreviated := [name for name in _LONG_NAMES if name in claims]:
            problems.append(f"{', '.join(unabbreviated)}: a self-signed token has Daily's short names only")
        return problems

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        warnings = []
        if "r" not in claims:
            warnings.append("it names no room (r): it opens every room of the domain")
        return warnings

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        del content
        return claims.keys() <= {"r", "d", "o", "ud", "u", "iat", "nbf", "exp"}

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        return TokenContent(
            kind=TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(claims.get("r")),
            role=next((role for role, owns in _ROLES.items() if claims.get("o") is owns), None),
            user_id=hs256.string(claims.get("ud")),
            display_name=hs256.string(claims.get("u")),
        )
