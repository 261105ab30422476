"""Jitsi Meet, self-hosted with Prosody's token authentication.

Sources: github jitsi/luajwtjitsi at b0f3bdc, which verifies the token in Prosody, and jitsi/jitsi-meet
resources/prosody-plugins (token/util.lib.lua, mod_token_affiliation.lua).
"""

from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.platforms.fields import RequestField, TokenSpec, check_display_value, check_id, matching, one_of
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems, mapping, text_problems

_ROLES: Mapping[str, Mapping[str, object]] = {
    "moderator": {"affiliation": "owner", "moderator": True},
    "participant": {"affiliation": "member", "moderator": False},
}
"""Both claims, since each of Jitsi's modules reads one of the two."""

_AUDIENCE = "jitsi"

_check_room = matching(
    r"""[^\s"&'/:<>@*\[\]\\]+""",
    "must not contain spaces, quotes or any of & / : < > @ * [ ] \\",
    also=check_id,
)
"""The rest is not allowed in the local part of an XMPP address (RFC 7622), or is a pattern or tenant to Jitsi."""


class Jitsi(JwtPlatform):
    """A Jitsi Meet server. It has no API for management tokens."""

    name = "jitsi"
    title = "Jitsi Meet"
    example = {"room_id": "class-7b", "role": "participant", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_room, required=True),
                RequestField("role", one_of(*_ROLES), required=True),
                RequestField("user_id", check_id),
                RequestField("display_name", check_display_value),
                RequestField("email", check_display_value),
                RequestField("avatar_url", check_display_value),
            )
        ),
    }
    backdate_seconds = 30
    renew_before = 60
    fold_room_case = True
    credential_fields = (
        CredentialField("app_id", pattern=r"[A-Za-z0-9_.-]{1,64}", form="at most 64 letters, digits, _, . and -"),
        CredentialField("app_secret", signs=True, chosen=True),
        CredentialField(
            "domain",
            pattern=r"[a-z0-9-]+(\.[a-z0-9-]+)+",
            form="a host name in lower case",
            host=True,
            demo="meet.example.com",
        ),
        CredentialField(
            "audience",
            pattern=r"[!-~]{1,128}",
            form="at most 128 characters without spaces",
            required=False,
            demo="jitsi",
        ),
    )
    public_fields = ("domain",)
    recognizing_claims = (frozenset(("context", "room")), frozenset(("room", "aud")))
    known_claims = frozenset(("iss", "aud", "sub", "room", "iat", "nbf", "exp", "context"))
    required_times = ()

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        if credentials["app_id"].startswith("vpaas-magic-cookie-") or credentials["domain"].endswith("8x8.vc"):
            raise InvalidCredentials("app_id: is of JaaS (8x8.vc), which signs with RSA and is not supported")
        return credentials

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        # 8x8's own service writes the same claims with aud "jitsi" and iss "chat", signed with RS256.
        known = isinstance(claims.get("context"), dict) or claims.get("aud") == _AUDIENCE
        return claims.get("iss") != "chat" and known and super().recognizes(claims)

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        valid_from = int(context.minted_at) - self.backdate_seconds
        shown = {"name": grant.display_name, "email": grant.email, "avatar": grant.avatar_url}
        user = {"id": grant.user_id, **{name: value for name, value in shown.items() if value is not None}}
        return {
            "iss": credentials["app_id"],
            "aud": credentials.get("audience") or _AUDIENCE,
            "sub": credentials["domain"],
            "room": grant.room_id,
            "context": {"user": {**user, **_ROLES[str(grant.role)]}},
            "iat": valid_from,
            "nbf": valid_from,
            "exp": grant.expires_at,
        }

    def header_problems(self, header: Mapping[str, Any]) -> list[str]:
        return [] if header.get("typ") == "JWT" else ["the header's typ is not JWT (Invalid typ)"]

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        problems = issuer_problems(claims, "iss", credentials["app_id"] if credentials else None)
        expected = (credentials.get("audience") or _AUDIENCE) if credentials else None
        problems += issuer_problems(claims, "aud", expected)
        problems += issuer_problems(claims, "sub", None)
        if not hs256.is_text(claims.get("room")):
            problems.append("room is missing or not a string ('room' claim is missing)")
        context = claims.get("context", {})
        user = context.get("user", {}) if isinstance(context, dict) else None
        if not isinstance(user, dict):
            return [*problems, "context or context.user is not an object"]
        return problems + text_problems(user, "affiliation", prefix="context.user.")

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        warnings = []
        context = mapping(claims.get("context"))
        if claims["room"] == "*" or mapping(context.get("room")).get("regex") is True:
            warnings.append("its room is a pattern: it opens more than one room")
        if claims["room"] != claims["room"].lower():
            warnings.append("its room is not in lower case, as Jitsi compares it")
        user = mapping(context.get("user"))
        if user and (user.get("affiliation") == "owner") != (user.get("moderator") in (True, "true")):
            warnings.append("affiliation and moderator differ: which one counts depends on the server's modules")
        return warnings

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        return content.role is not None and mapping(claims.get("context")).keys() == {"user"}

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        user = mapping(mapping(claims.get("context")).get("user"))
        rights = {name: user[name] for name in ("affiliation", "moderator") if name in user}
        return TokenContent(
            kind=TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(claims.get("room")),
            role=next((role for role, written in _ROLES.items() if written == rights), None),
            user_id=hs256.string_or_integer(user.get("id")),
            display_name=hs256.string(user.get("name")),
            email=hs256.string(user.get("email")),
            avatar_url=hs256.string(user.get("avatar")),
        )
