"""Zoom Video SDK: tokens with which a person joins a session.

Sources: see `roomkey.platforms.zoom`.
"""

import re
from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256, zoom
from roomkey.platforms.base import Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.platforms.fields import RequestField, TokenSpec, check_id, digest_unless, matching, one_of
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems

_SESSION = re.compile(r"[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,\\]{1,200}")
_check_session = matching(
    _SESSION.pattern,
    r"must be 1 to 200 ASCII letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~,\ ",
    also=check_id,
)
_IDENTITY = re.compile(r".{1,35}")
_REGIONS = frozenset(["AU", "BR", "CA", "CN", "DE", "HK", "IN", "JP", "MX", "NL", "SG", "US"])


class ZoomVideo(JwtPlatform):
    """Zoom's Video SDK. Its REST API takes a JSON Web Token of another form, which is not minted here."""

    name = "zoom-video"
    title = "Zoom Video SDK"
    example = {"room_id": "class 7b", "role": "participant", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_session, required=True),
                RequestField("role", one_of(*zoom.ROLES), required=True),
                RequestField("user_id", check_id),
            ),
            zoom.LIFETIME,
        ),
    }
    credential_fields = zoom.CREDENTIAL_FIELDS
    public_fields = ("sdk_key",)
    fold_room_case = True
    recognizing_claims = (
        frozenset(("app_key", "tpc")),
        frozenset(("app_key", "role_type")),
        frozenset(("tpc", "role_type")),
    )
    known_claims = frozenset(
        (
            *("app_key", "role_type", "tpc", "version", "iat", "exp", "user_identity", "session_key", "geo_regions"),
            *("cloud_recording_option", "cloud_recording_election"),
        )
    )
    required_times = ("iat", "exp")
    max_validity = zoom.LIFETIME.maximum
    invalid_token = "200 SESSION_FETCH_INFO_ERROR: Verify JWT failed"  # noqa: S105 - Zoom's name of the error.

    def expressible(self, grant: Grant) -> Grant:
        return grant._replace(user_id=_identity(grant.user_id))

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        return {
            "app_key": credentials["sdk_key"],
            "role_type": zoom.ROLES[str(grant.role)],
            "tpc": grant.room_id,
            "version": 1,
            "user_identity": _identity(grant.user_id),
            "iat": int(context.minted_at),
            "exp": grant.expires_at,
        }

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        problems = issuer_problems(claims, "app_key", credentials["sdk_key"] if credentials else None)
        problems += zoom.role_problems(claims, "role_type")
        problems += zoom.lifetime_problems(claims)
        if not isinstance(tpc := claims.get("tpc"), str) or not _SESSION.fullmatch(tpc):
            problems.append("tpc is missing or not a session name of at most 200 documented characters")
        if "version" in claims and not (hs256.is_int(claims["version"]) and claims["version"] == 1):
            problems.append("version is not the number 1")
        for name, longest in (("user_identity", 35), ("session_key", 36)):
            if name in claims and not (isinstance(claims[name], str) and len(claims[name]) <= longest):
                problems.append(f"{name} is not a string of at most {longest} characters")
        regions = claims.get("geo_regions", "US")
        if not isinstance(regions, str) or not set(regions.split(",")) <= _REGIONS:
            problems.append("geo_regions is not a list of Zoom's regions, joined by commas")
        for name in ("cloud_recording_option", "cloud_recording_election"):
            if name in claims and not (hs256.is_int(claims[name]) and claims[name] in (0, 1)):
                problems.append(f"{name} is not the number 0 or 1")
        return problems

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        del content
        return not claims.keys() & {"session_key", "geo_regions", "cloud_recording_option", "cloud_recording_election"}

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        return TokenContent(
            kind=TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(claims.get("tpc")),
            role=zoom.role_of(claims.get("role_type")),
            user_id=hs256.string(claims.get("user_identity")),
        )


def _identity(user_id: str | None) -> str | None:
    return digest_unless(_IDENTITY, user_id)
