"""LiveKit: tokens with which participants join a room, and tokens for its server APIs.

Sources: LiveKit's server SDKs (npm livekit-server-sdk 2.19.2, PyPI livekit-api 1.2.2), its server (github
livekit/livekit, pkg/service/auth.go), and github livekit/protocol#1576 on tokens of a removed participant.
"""

from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import Agent, AuthHeader, Grant, MintContext, TokenContent, TokenKind
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec, check_display_value, check_id, one_of
from roomkey.platforms.jwt_platform import JwtPlatform, issuer_problems, mapping, text_problems
from roomkey.platforms.livekit_endpoint import LiveKitEndpoint

_ROLES: Mapping[str, Mapping[str, object]] = {
    "viewer": {"canPublish": False, "canPublishData": False},
    "speaker": {"canPublishSources": ["microphone"]},
    "participant": {},
    "moderator": {"roomAdmin": True},
    "observer": {"canPublish": False, "canPublishData": False, "hidden": True},
}
_JOIN: Mapping[str, object] = {
    "roomJoin": True,
    "canPublish": True,
    "canSubscribe": True,
    "canPublishData": True,
    "canUpdateOwnMetadata": False,
    "hidden": False,
    "roomAdmin": False,
}
"""The grants of a participant. All are written, since LiveKit's server allows publishing if `canPublish` is absent."""

_SERVER: Mapping[str, Mapping[str, Mapping[str, bool]]] = {
    "rooms": {"video": {"roomCreate": True, "roomList": True, "roomAdmin": True}},
    "room": {"video": {"roomCreate": False, "roomList": False, "roomAdmin": True}},
    "egress": {"video": {"roomRecord": True}},
    "ingress": {"video": {"ingressAdmin": True}},
    "sip": {"sip": {"admin": True, "call": True}},
}
"""The grants of a management token by role. `room` is the role `rooms` for one room: `roomCreate` would let its holder
delete every other room."""

_BOOLEANS = (
    *(
        "roomJoin",
        "canPublish",
        "canSubscribe",
        "canPublishData",
        "canUpdateOwnMetadata",
        "hidden",
        "recorder",
        "agent",
    ),
    *(
        "roomAdmin",
        "roomCreate",
        "roomList",
        "roomRecord",
        "ingressAdmin",
        "canSubscribeMetrics",
        "canManageAgentSession",
    ),
)
_SOURCES = frozenset(("camera", "microphone", "screen_share", "screen_share_audio"))
_NOT_FOR_PARTICIPANTS = frozenset(("roomCreate", "roomList", "roomRecord", "ingressAdmin", "recorder", "agent"))
_NOT_FOR_PARTICIPANT_TOKENS = frozenset(("sip", "inference", "observability", "agent", "kind", "roomPreset"))


class LiveKit(JwtPlatform):
    """LiveKit, on LiveKit Cloud or self-hosted."""

    name = "livekit"
    title = "LiveKit"
    example = {"room_id": "class-7b", "role": "viewer", "user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", check_id, required=True),
                RequestField("role", one_of(*_ROLES), required=True),
                RequestField("user_id", check_id),
                RequestField("display_name", check_display_value),
            ),
            Lifetime(minimum=120, default=600),
        ),
        TokenKind.MANAGEMENT: TokenSpec(
            (
                RequestField("role", one_of("rooms", "egress", "ingress", "sip"), default="rooms"),
                RequestField("room_id", check_id),
            ),
            Lifetime(minimum=120),
        ),
    }
    constraints = {
        TokenKind.MANAGEMENT: {
            "if": {"required": ["room_id"]},
            "then": {"properties": {"role": {"const": "rooms"}}},
        },
    }
    endpoint = LiveKitEndpoint(_ROLES)
    auth_header = AuthHeader("Authorization", "Bearer ")
    renew_before = 60
    credential_fields = (
        CredentialField("api_key", pattern=r"API[A-Za-z0-9]{8,}", demo="API{:.12}"),
        CredentialField("api_secret", signs=True, chosen=True),
        CredentialField(
            "server_url",
            pattern=r"wss?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?",
            form="a URL that begins with wss://",
            host=True,
            demo="wss://livekit.example.com",
        ),
    )
    public_fields = ("server_url",)
    recognizing_claims = tuple(frozenset((grant, time)) for grant in ("video", "sip") for time in ("nbf", "exp"))
    known_claims = frozenset(
        ("iss", "sub", "nbf", "exp", "iat", "jti", "video", "sip", "name", "metadata", "attributes", "roomConfig")
    )
    invalid_token = "401 invalid token"  # noqa: S105 - LiveKit's name of the error.

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        return super().recognizes(claims) and any(isinstance(claims.get(grant), dict) for grant in ("video", "sip"))

    def conflicts(self, values: Mapping[str, object]) -> list[tuple[str, str]]:
        if values.get("role") in ("egress", "ingress", "sip") and values.get("room_id") is not None:
            return [("room_id", "belongs to the role rooms: LiveKit cannot limit the others to a room")]
        return []

    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        claims: dict[str, object] = {
            "iss": credentials["api_key"],
            # The moment of minting, never earlier: LiveKit Cloud revokes by nbf.
            "nbf": int(context.minted_at),
            "exp": grant.expires_at,
        }
        if grant.kind is TokenKind.MANAGEMENT:
            role = "room" if grant.room_id is not None else str(grant.role)
            claims |= {name: dict(rights) for name, rights in _SERVER[role].items()}
            if grant.room_id is not None:
                claims["video"] = {**_SERVER[role]["video"], "room": grant.room_id}
            return claims
        claims["sub"] = grant.user_id
        claims["video"] = {**_JOIN, **_ROLES[str(grant.role)], "room": grant.room_id}
        if grant.display_name is not None:
            claims["name"] = grant.display_name
        if grant.metadata is not None:
            claims["metadata"] = grant.metadata
        if grant.attributes:
            claims["attributes"] = dict(grant.attributes)
        if grant.agent is not None:
            claims["roomConfig"] = _written_config(grant.agent)
        return claims

    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        problems = issuer_problems(claims, "iss", credentials["api_key"] if credentials else None)
        problems += text_problems(claims, "name", "metadata")
        if "attributes" in claims and _attributes(claims["attributes"]) is None:
            problems.append("attributes is not an object of strings")
        if "video" in claims:
            problems += _video_problems(claims["video"])
        video = mapping(claims.get("video"))
        if video.get("roomJoin") is True:
            if not hs256.is_text(claims.get("sub")):
                problems.append("sub is missing or empty (identity cannot be empty)")
            if not hs256.is_text(video.get("room")):
                problems.append("video.room is missing or empty (permissions denied)")
        return problems

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        video = mapping(claims.get("video"))
        if video.get("roomJoin") is not True:
            return []
        config = mapping(claims.get("roomConfig"))
        wide = [f"roomConfig.{name}" for name in config.keys() - {"agents"}]
        absent = [name for name in ("canPublish", "canSubscribe", "canPublishData") if name not in video]
        warnings = [f"{name} is absent, which allows it" for name in absent]
        wide += [f"video.{name}" for name in _NOT_FOR_PARTICIPANTS if video.get(name) is True]
        wide += _NOT_FOR_PARTICIPANT_TOKENS & claims.keys()
        return warnings + [f"it gives a participant a server's right: {name}" for name in sorted(wide)]

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        config = claims.get("roomConfig")
        return content.role is not None and (config is None or config == _written_config(content.agent))

    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        video = mapping(claims.get("video"))
        joins = video.get("roomJoin") is True
        return TokenContent(
            kind=TokenKind.APP if joins else TokenKind.MANAGEMENT,
            expires_at=hs256.number(claims.get("exp")),
            room_id=hs256.string(video.get("room")),
            role=_role_of_participant(video) if joins else _role_of_server(claims),
            user_id=hs256.string(claims.get("sub")),
            display_name=hs256.string(claims.get("name")),
            metadata=hs256.string(claims.get("metadata")),
            attributes=_attributes(claims.get("attributes")) or (),
            agent=_agent(claims.get("roomConfig")),
        )


def _written_config(agent: Agent | None) -> Mapping[str, object]:
    """Return the room configuration that dispatches `agent`."""
    if agent is None:
        return {}
    members = {"agentName": agent.name, "metadata": agent.metadata, "deployment": agent.deployment}
    return {"agents": [{name: value for name, value in members.items() if value is not None}]}


def _agent(config: object) -> Agent | None:
    """Return the one agent of a room configuration."""
    agents = mapping(config).get("agents")
    if not isinstance(agents, list) or len(agents) != 1 or not hs256.is_text(mapping(agents[0]).get("agentName")):
        return None
    agent = agents[0]
    return Agent(agent["agentName"], hs256.string(agent.get("metadata")), hs256.string(agent.get("deployment")))


def _attributes(value: object) -> tuple[tuple[str, str], ...] | None:
    """Return attributes in the order of their names. None if they are not an object of strings."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return None
    return tuple(sorted(value.items()))


def _video_problems(video: Any) -> list[str]:
    if not isinstance(video, dict):
        return ["video is not an object"]
    problems = [
        f"video.{name} is not true or false" for name in _BOOLEANS if name in video and type(video[name]) is not bool
    ]
    sources = video.get("canPublishSources", [])
    if not isinstance(sources, list) or not all(isinstance(source, str) and source in _SOURCES for source in sources):
        problems.append(f"video.canPublishSources is not a list of {', '.join(sorted(_SOURCES))}")
    if not any(video.get(name) is True for name in _BOOLEANS):
        problems.append("video grants nothing that LiveKit knows (permissions denied)")
    return problems


def _role_of_participant(video: Mapping[str, Any]) -> str | None:
    rights = {name: value for name, value in video.items() if name != "room"}
    return next((role for role, differs in _ROLES.items() if {**_JOIN, **differs} == rights), None)


def _role_of_server(claims: Mapping[str, Any]) -> str | None:
    video = {name: value for name, value in mapping(claims.get("video")).items() if name != "room"}
    rights = {name: value for name, value in (("video", video), ("sip", claims.get("sip"))) if value}
    found = next((role for role, grants in _SERVER.items() if grants == rights), None)
    return "rooms" if found == "room" else found
