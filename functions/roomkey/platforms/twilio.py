"""Twilio: access tokens for the client SDKs of Video, Voice, Conversations (chat) and Sync.

Sources: Twilio's documentation ("Access Tokens", the error dictionary) and its server SDK (PyPI twilio 9.13.0,
jwt/access_token).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec, check_id, identifier, services_of
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems, mapping

_CONTENT_TYPE = "twilio-fpa;v=1"
_MAX_VALIDITY = 86400

_GRANTS: Mapping[str, str] = {"video": "video", "voice": "voice", "chat": "chat", "sync": "data_sync"}
"""The name of each service's grant."""
_NEEDS: Mapping[str, str] = {
    "voice": "outgoing_application_sid",
    "chat": "chat_service_sid",
    "sync": "sync_service_sid",
}
"""The value of the secret without which a service does not work."""

_VOICE_IDENTITY = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/:@-]+")
"""Twilio's error 31105: no control characters, spaces, delimiters or unwise characters (RFC 2396, section 2.4.3)."""


def _sid(name: str, prefix: str, *, required: bool = True) -> CredentialField:
    form = f"{prefix} and 32 hexadecimal digits in lower case"
    return CredentialField(name, pattern=prefix + "[0-9a-f]{32}", form=form, required=required, demo=prefix + "{}")


class Twilio(JwtPlatform):
    """Twilio's client SDKs. Its REST API uses basic authentication instead of a management token."""

    name = "twilio"
    title = "Twilio"
    example = {"room_id": "class-7b", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("user_id", check_id),
                RequestField("services", services_of(*_GRANTS), default=("video",)),
                RequestField("room_id", identifier(128)),
            ),
            # An expired token makes Video's reconnection fail, so the default covers a meeting.
            Lifetime(default=4 * 3600, maximum=_MAX_VALIDITY),
        ),
    }
    constraints = {
        TokenKind.APP: {
            "allOf": [
                {
                    "if": {"required": ["room_id", "services"]},
                    "then": {"properties": {"services": {"contains": {"const": "video"}}}},
                },
                {
                    "if": {"required": ["services"], "properties": {"services": {"contains": {"const": "voice"}}}},
                    "then": {"properties": {"user_id": {"pattern": f"^{_VOICE_IDENTITY.pattern}$"}}},
                },
            ]
        }
    }
    services = tuple(_GRANTS)
    renew_before = 60
    credential_fields = (
        _sid("account_sid", "AC"),
        _sid("api_key_sid", "SK"),
        _sid("chat_service_sid", "IS", required=False),
        _sid("sync_service_sid", "IS", required=False),
        _sid("outgoing_application_sid", "AP", required=False),
        _sid("push_credential_sid", "CR", required=False),
        CredentialField("region", pattern="[a-z]{2}[0-9]", form="a region such as us1", required=False, demo="us1"),
        CredentialField("api_key_secret", signs=True),
    )
    public_fields = ("region",)
    recognizing_claims = tuple(frozenset(("grants", other)) for other in ("jti", "nbf", "exp"))
    known_claims = frozenset(("jti", "iss", "sub", "iat", "nbf", "exp", "grants"))
    max_validity = _MAX_VALIDITY
    invalid_token = "20101 Invalid Access Token"  # noqa: S105 - Twilio's name of the error.

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        sids = str(claims.get("iss")), str(claims.get("sub"))
        by_grants = super().recognizes(claims) and isinstance(claims["grants"], dict)
        return by_grants or (sids[0].startswith("SK") and sids[1].startswith("AC"))

    def conflicts(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        services, user = values.get("services") or (), values.get("user_id")
        conflicts = []
        if values.get("room_id") is not None and "video" not in services:
            conflicts.append(("room_id", "belongs to the service video"))
        if "voice" in services and isinstance(user, str) and not _VOICE_IDENTITY.fullmatch(user):
            conflicts.append(("user_id", "must not contain spaces, delimiters or characters outside ASCII for voice"))
        return conflicts

    def opens_every_room(self, kind: TokenKind, values: Mapping[str, Any]) -> bool:
        del kind
        services = values.get("services") or ()
        return "video" in services and values.get("room_id") is None

    def headers(self, credentials: Credentials) -> Mapping[str, object]:
        region = credentials.get("region")
        return {"cty": _CONTENT_TYPE} | ({"twr": region} if region else {})

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        if missing := [
            name for service, name in _NEEDS.items() if service in grant.services and not credentials.get(name)
        ]:
            raise InvalidCredentials(*(f"{name}: is missing, and a requested service needs it" for name in missing))
        now = int(context.minted_at)
        grants = {_GRANTS[service]: _WRITERS[service](credentials, grant) for service in grant.services}
        return {
            "jti": f"{credentials['api_key_sid']}-{now}",
            "iss": credentials["api_key_sid"],
            "sub": credentials["account_sid"],
            "nbf": now,
            "exp": grant.expires_at,
            "grants": {"identity": grant.user_id, **grants},
        }

    def header_problems(self, header: Mapping[str, Any]) -> list[str]:
        if header.get("cty") != _CONTENT_TYPE:
            return [f"the header's cty is not {_CONTENT_TYPE} (20103 Invalid Access Token header)"]
        return []

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        key, account = (
            (credentials["api_key_sid"], credentials["account_sid"]) if credentials is not None else (None, None)
        )
        problems = [
            f"{problem} (20103 Invalid Access Token issuer/subject)"
            for problem in (*issuer_problems(claims, "iss", key), *issuer_problems(claims, "sub", account))
        ]
        for name, prefix in (("iss", "SK"), ("sub", "AC")):
            if isinstance(claims.get(name), str) and not claims[name].startswith(prefix):
                problems.append(f"{name} does not begin with {prefix} (20103 Invalid Access Token issuer/subject)")
        grants = claims.get("grants")
        if not isinstance(grants, dict):
            return [*problems, "grants is missing or not an object (20106 Invalid Access Token grants)"]
        if not hs256.is_text(grants.get("identity")):
            problems.append("grants.identity is missing or empty (20106 Invalid Access Token grants)")
        if not grants.keys() - {"identity"}:
            problems.append("grants names no service (20106 Invalid Access Token grants)")
        problems += [
            f"grants.{name} is not an object (20106 Invalid Access Token grants)"
            for name in _GRANTS.values()
            if name in grants and not isinstance(grants[name], dict)
        ]
        room = mapping(grants.get("video")).get("room")
        if room is not None and not hs256.is_text(room):
            problems.append("grants.video.room is not a string (20106 Invalid Access Token grants)")
        return problems

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        grants = mapping(claims.get("grants"))
        return TokenContent(
            kind=TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(mapping(grants.get("video")).get("room")),
            user_id=hs256.string(grants.get("identity")),
            services=tuple(service for service, name in _GRANTS.items() if name in grants),
        )


def _video(credentials: Credentials, grant: Grant) -> Mapping[str, object]:
    del credentials
    # Without a room the grant opens every room. The policy has granted exactly that.
    return {} if grant.room_id is None else {"room": grant.room_id}


def _voice(credentials: Credentials, grant: Grant) -> Mapping[str, object]:
    del grant
    calls = {
        "incoming": {"allow": True},
        "outgoing": {"application_sid": credentials["outgoing_application_sid"]},
    }
    return calls | _push(credentials)


def _chat(credentials: Credentials, grant: Grant) -> Mapping[str, object]:
    del grant
    return {"service_sid": credentials["chat_service_sid"]} | _push(credentials)


def _sync(credentials: Credentials, grant: Grant) -> Mapping[str, object]:
    del grant
    return {"service_sid": credentials["sync_service_sid"]}


def _push(credentials: Credentials) -> dict[str, Any]:
    sid = credentials.get("push_credential_sid")
    return {"push_credential_sid": sid} if sid else {}


_WRITERS: Mapping[str, Callable[[Credentials, Grant], Mapping[str, object]]] = {
    "video": _video,
    "voice": _voice,
    "chat": _chat,
    "sync": _sync,
}
