"""VideoSDK: participant tokens ("app tokens") for its client SDKs, management tokens for its REST API.

Both are JSON Web Tokens signed with the API key's secret. Sources: VideoSDK's documentation ("Authentication and
Tokens", "Meeting Error Codes", "Waiting Lobby"), its server SDK (@videosdk.live/server-sdk 0.1.1), its example servers
(videosdk-rtc-api-server-examples), and the errors that its web client knows (@videosdk.live/js-sdk 1.1.1, constants).
That client does not decode a token.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import AuthHeader, Grant, MintContext, Platform, TokenContent, TokenKind, TokenReport
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import Check, RequestField, TokenSpec, check_id, one_of

PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "guest": ("ask_join",),
    "participant": ("allow_join",),
    "moderator": ("allow_join", "allow_mod"),
}
"""The permissions of each role: ask to be admitted; enter; enter, and mute or remove others.

`ask_join` works only alone, and `allow_mod` alone does not admit.
"""

_PERMISSION_WORDS = ("ask_join", "allow_join", "allow_mod")

_ROLES: Mapping[TokenKind, str] = {TokenKind.APP: "rtc", TokenKind.MANAGEMENT: "crawler"}
"""The one word in the claim `roles`: "rtc" only joins rooms, "crawler" only calls the REST API."""

_CLAIMS = {"apikey", "permissions", "version", "roles", "roomId", "participantId", "iat", "exp"}
_NOT_VALID = "4002 INVALID_TOKEN: Token is invalid or expired"


def _role_of(permissions: Sequence[object]) -> str | None:
    """Return the role with exactly these permissions, in any order, or None."""
    for role, words in PERMISSIONS.items():
        if len(permissions) == len(words) and all(word in permissions for word in words):
            return role
    return None


def _role_of_permissions(value: object) -> str:
    role = _role_of(value) if isinstance(value, list) else None
    if role is None:
        sets = (f"[{', '.join(words)}]" for words in PERMISSIONS.values())
        raise ValueError("must be one of the lists " + ", ".join(sets))
    return role


_check_permissions = Check(
    _role_of_permissions,
    {"enum": [list(order) for words in PERMISSIONS.values() for order in itertools.permutations(words)]},
)


class VideoSdk(Platform):
    """VideoSDK (videosdk.live)."""

    name = "videosdk"
    title = "VideoSDK"
    generated_rooms = ("aaaa-aaaa-aaaa",)
    example = {"room_id": "bmej-gdmc-dchc", "role": "guest", "user_id": "1234"}
    backdate_seconds = 30
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", check_id, required=True),
                RequestField("role", one_of(*PERMISSIONS), required=True),
                RequestField("permissions", _check_permissions, required=True, maps_to="role"),
                RequestField("user_id", check_id),
            )
        ),
        TokenKind.MANAGEMENT: TokenSpec(),
    }
    auth_header = AuthHeader("Authorization", "")
    recognizing_claims = tuple(
        map(
            frozenset, (("apikey", "permissions"), ("apikey", "roomId"), ("apikey", "roles"), ("permissions", "roomId"))
        )
    )
    credential_fields = (
        CredentialField("api_key", pattern=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        CredentialField("secret", signs=True),
    )

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        without_key = _are_words(claims.get("permissions"), _PERMISSION_WORDS)
        return super().recognizes(claims) and ("apikey" in claims or without_key)

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        hs256.check_key("secret", credentials)
        return credentials

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        # Without a room a token opens every room, and without permissions it is a moderator's.
        app = grant.kind is TokenKind.APP
        claims = {
            "apikey": credentials["api_key"],
            "permissions": list(PERMISSIONS[str(grant.role) if app else "moderator"]),
            "version": 2,
            "roles": [_ROLES[grant.kind]],
            **({"roomId": grant.room_id, "participantId": grant.user_id} if app else {}),
            "iat": int(context.minted_at) - self.backdate_seconds,
            "exp": grant.expires_at,
        }
        return hs256.sign(claims, credentials["secret"])

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials["secret"] if credentials else None)
        if read is None or not self.recognizes(read.claims):
            return None
        claims = read.claims
        claim_problems = [] if read.incomplete else _claim_problems(claims, credentials)
        limited = claims.get("roles") in [[role] for role in _ROLES.values()]
        token_problems = [
            *hs256.signature_problems(read, "the signature is not this secret's"),
            *hs256.header_problems(read.header),
            *hs256.time_problems(claims, at, required=() if read.incomplete else ("exp",)),
        ]
        return TokenReport(
            platform=self.name,
            content=_content(claims),
            signature=read.signature,
            claims=claims,
            problems=(*(f"{problem} ({_NOT_VALID})" for problem in token_problems), *claim_problems),
            warnings=(
                *hs256.time_warnings(claims),
                *(() if claim_problems or read.incomplete else _warnings(claims)),
            ),
            issued_at=hs256.number(claims.get("iat")),
            label="" if limited else "token for rooms and the REST API",
            complete=limited,
        )


def _claim_problems(claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
    problems = []
    if not hs256.is_text(claims.get("apikey")):
        problems.append("apikey is missing or not a string (4001 INVALID_API_KEY)")
    elif credentials and claims["apikey"] != credentials["api_key"]:
        problems.append("apikey is not these credentials' (4001 INVALID_API_KEY)")
    permissions: Any = claims.get("permissions")
    if not _are_words(permissions, _PERMISSION_WORDS):
        problems.append("permissions is not a list of ask_join, allow_join and allow_mod (4008 INVALID_PERMISSIONS)")
    elif "ask_join" in permissions and set(permissions) != {"ask_join"}:
        problems.append("permissions has ask_join beside others; it works alone (4008 INVALID_PERMISSIONS)")
    if "roles" in claims and not _are_words(claims["roles"], _ROLES.values()):
        problems.append("roles is not a list of rtc and crawler (4024 UNAUTHORIZED_ROLE)")
    if "roomId" in claims and not hs256.is_text(claims["roomId"]):
        problems.append("roomId is not a string with something in it (4003 INVALID_MEETING_ID)")
    if "participantId" in claims and not hs256.is_text(claims["participantId"]):
        problems.append("participantId is not a string with something in it (4004 INVALID_PARTICIPANT_ID)")
    needs_version = {"version", "roles", "roomId", "participantId"} & claims.keys()
    if needs_version and not (hs256.is_int(claims.get("version")) and claims["version"] == 2):
        problems.append(f"version is not the number 2 ({_NOT_VALID})")
    return problems


def _are_words(value: object, known: Collection[str]) -> bool:
    return isinstance(value, list) and value != [] and all(word in known for word in value)


def _warnings(claims: Mapping[str, Any]) -> list[str]:
    """Return why a token that VideoSDK accepts should not be handed out. Its claims have no problems."""
    roles = set(claims.get("roles", _ROLES.values()))
    warnings = []
    if len(roles) > 1:
        warnings.append("its roles are not limited: it joins rooms and calls the REST API")
    if "rtc" in roles:
        if _role_of(claims["permissions"]) is None:
            warnings.append("its permissions do not admit (allow_mod also needs allow_join)")
        if "roomId" not in claims:
            warnings.append("it names no roomId: it opens every room")
        if "participantId" not in claims:
            warnings.append("it names no participantId: anyone can use it")
    if "version" not in claims:
        warnings.append("it has no version: the REST API's version 2 refuses it")
    if unknown := claims.keys() - _CLAIMS:
        warnings.append(f"it has claims that VideoSDK does not know: {', '.join(sorted(unknown))}")
    return warnings


def _content(claims: Mapping[str, Any]) -> TokenContent:
    roles, permissions = claims.get("roles"), claims.get("permissions")
    management = roles == [_ROLES[TokenKind.MANAGEMENT]]
    role = _role_of(permissions) if isinstance(permissions, list) and not management else None
    return TokenContent(
        kind=TokenKind.MANAGEMENT if management else TokenKind.APP,
        expires_at=hs256.number(claims.get("exp")),
        room_id=hs256.string(claims.get("roomId")),
        role=role,
        user_id=hs256.string(claims.get("participantId")),
    )
