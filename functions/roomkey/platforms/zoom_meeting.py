"""Zoom Meeting SDK: signatures with which a web or native app joins a meeting.

Sources: see `roomkey.platforms.zoom`.
"""

import re
from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256, zoom
from roomkey.platforms.base import Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.platforms.fields import RequestField, TokenSpec, matching, one_of
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems

_MEETING = re.compile("[0-9]{9,11}")
_REQUIRED = {"web SDK": frozenset(("sdkKey", "mn", "role")), "native SDK": frozenset(("appKey", "tokenExp"))}
"""The claims that each SDK requires besides iat and exp (Zoom's documentation, "Meeting SDK authorization")."""
_check_meeting = matching(_MEETING.pattern, "must be a meeting number: 9 to 11 digits without spaces, as text")


class ZoomMeeting(JwtPlatform):
    """Zoom's Meeting SDK. Its REST API uses OAuth instead of a management token."""

    name = "zoom-meeting"
    title = "Zoom Meeting SDK"
    example = {"room_id": "81234567891", "role": "participant"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_meeting, required=True),
                RequestField("role", one_of(*zoom.ROLES), required=True),
            ),
            zoom.LIFETIME,
        ),
    }
    credential_fields = zoom.CREDENTIAL_FIELDS
    public_fields = ("sdk_key",)
    recognizing_claims = (
        frozenset(("sdkKey", "mn")),
        frozenset(("appKey", "mn")),
        frozenset(("appKey", "tokenExp")),
        frozenset(("sdkKey", "tokenExp")),
    )
    known_claims = frozenset(("appKey", "sdkKey", "mn", "role", "iat", "exp", "tokenExp"))
    required_times = ("iat", "exp")
    max_validity = zoom.LIFETIME.maximum
    invalid_token = "3712 Signature is invalid"  # noqa: S105 - Zoom's name of the error.

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        return {
            "appKey": credentials["sdk_key"],
            "sdkKey": credentials["sdk_key"],
            "mn": grant.room_id,
            "role": zoom.ROLES[str(grant.role)],
            "iat": int(context.minted_at),
            "exp": grant.expires_at,
            "tokenExp": grant.expires_at,
        }

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        key = credentials["sdk_key"] if credentials else None
        keys = [name for name in ("appKey", "sdkKey") if name in claims]
        problems = [problem for name in keys for problem in issuer_problems(claims, name, key)]
        problems += zoom.lifetime_problems(claims)
        if not any(required <= claims.keys() for required in _REQUIRED.values()):
            problems.append("appKey with tokenExp (native SDKs) or sdkKey with mn and role (web SDK) is missing")
        if "tokenExp" in claims and claims["tokenExp"] != claims.get("exp"):
            problems.append("tokenExp is not the same as exp")
        if ("mn" in claims) != ("role" in claims):
            problems.append("mn and role must both be present, or both absent")
        if "role" in claims:
            problems += zoom.role_problems(claims, "role")
        if "mn" in claims and not _MEETING.fullmatch(hs256.string_or_integer(claims["mn"]) or ""):
            problems.append("mn is not a meeting number")
        return problems

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        warnings = [
            f"it does not work in the {sdk}, which also requires {' and '.join(sorted(missing))}"
            for sdk, required in _REQUIRED.items()
            if (missing := required - claims.keys())
        ]
        if hs256.is_int(claims.get("mn")):
            warnings.append("its mn is a number: Zoom's samples write text")
        if "mn" not in claims:
            warnings.append("it names no meeting: the native SDKs join every meeting with it")
        return warnings

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        return TokenContent(
            kind=TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string_or_integer(claims.get("mn")),
            role=zoom.role_of(claims.get("role")),
        )
