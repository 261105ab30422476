"""Stream (getstream.io): user tokens and call tokens for Video and Chat, server tokens for its REST API.

Sources: Stream's server SDKs (PyPI getstream 7.0.0, npm @stream-io/node-sdk, npm stream-chat 9.53.0), its web clients
(npm stream-chat and @stream-io/video-client 1.60.0, TokenManager) and its documentation ("Tokens & Authentication").
"""

from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import AuthHeader, Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import RequestField, TokenSpec, check_id, check_role, matching
from roomkey.platforms.jwt_platform import JwtPlatform

_check_call = matching(
    "[a-z0-9_-]{1,64}:[A-Za-z0-9_-]{1,64}",
    "must be type:id, such as default:physics-101, each of at most 64 letters, digits, - and _",
    also=check_id,
)
_check_user = matching("[A-Za-z0-9@_-]{1,255}", "must be 1 to 255 ASCII letters, digits and @ _ -", also=check_id)
_LISTS = frozenset(("call_cids", "channel_cids"))
"""The claims that limit a token to calls of Video and channels of Chat."""


class Stream(JwtPlatform):
    """Stream's Video and Chat."""

    name = "stream"
    title = "Stream"
    example = {"room_id": "default:class-7b", "role": "user", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("user_id", _check_user),
                RequestField("room_id", _check_call),
                RequestField("role", check_role),
            )
        ),
        TokenKind.MANAGEMENT: TokenSpec(),
    }
    constraints = {TokenKind.APP: {"dependentRequired": {"room_id": ["role"], "role": ["room_id"]}}}
    auth_header = AuthHeader("Authorization", "")
    backdate_seconds = 5
    renew_before = 60
    credential_fields = (
        CredentialField("api_key", pattern=r"[a-z0-9]{10,16}"),
        CredentialField("api_secret", signs=True),
    )
    public_fields = ("api_key",)
    recognizing_claims = (
        frozenset(("call_cids", "user_id")),
        frozenset(("user_id", "exp")),
        frozenset(("server", "exp")),
    )
    known_claims = frozenset(("user_id", *_LISTS, "role", "server", "iat", "nbf", "exp"))
    required_times = ()
    invalid_token = "JWTAuth error, codes 40 to 43"  # noqa: S105 - Stream's names of the errors.
    decoded_with_atob = True

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        # A token of the vendor's chat SDK may contain one claim only. A role belongs to calls or channels.
        return (
            claims.keys() <= self.known_claims
            and ("user_id" in claims or claims.get("server") is True)
            and ("role" not in claims or bool(_LISTS & claims.keys()))
        )

    def conflicts(self, values: Mapping[str, object]) -> list[tuple[str, str]]:
        room, role = values.get("room_id"), values.get("role")
        if room is not None and role is None:
            return [("role", "is missing: a call token has a role")]
        if room is None and role is not None:
            return [("role", "belongs to a call token: room_id is missing")]
        return []

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        del credentials
        times = {"iat": int(context.minted_at) - self.backdate_seconds, "exp": grant.expires_at}
        if grant.kind is TokenKind.MANAGEMENT:
            return {"server": True, **times}
        call = {} if grant.room_id is None else {"call_cids": [grant.room_id], "role": grant.role}
        return {"user_id": grant.user_id, **call, **times}

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        del credentials
        if claims.get("server") is True:
            return []
        problems = []
        if not hs256.is_text(claims.get("user_id")):
            problems.append("user_id is missing or not a string (43 JWT signature or claims are not valid)")
        problems += [
            f"{name} is not a list of strings"
            for name in sorted(_LISTS & claims.keys())
            if not isinstance(claims[name], list) or not all(isinstance(cid, str) for cid in claims[name])
        ]
        if "role" in claims and not hs256.is_text(claims["role"]):
            problems.append("role is not a string with something in it")
        return problems

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        return (
            ["it is a server token of a user: it may do everything"] if claims.keys() >= {"server", "user_id"} else []
        )

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        return "channel_cids" not in claims and ("call_cids" not in claims or content.room_id is not None)

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        calls = claims.get("call_cids")
        one_call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
        return TokenContent(
            kind=TokenKind.MANAGEMENT if claims.get("server") is True else TokenKind.APP,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(one_call),
            role=hs256.string(claims.get("role")),
            user_id=hs256.string(claims.get("user_id")),
        )
