"""LiveKit's own contract for token endpoints, which `TokenSource.endpoint` of its client SDKs speaks.

Sources: docs.livekit.io ("Endpoint token generation"), npm livekit-client 2.23.0 (src/room/token-source), and
livekit/client-sdk-swift, -android and -flutter, which always send `"room_config": {}`.
"""

from collections.abc import Collection, Mapping
from typing import Any

from roomkey.platforms.base import JWT_SCHEMA, Agent, Endpoint, Grant, Randomness
from roomkey.platforms.fields import Check, RequestField, TokenSpec, check_display_value, check_id, one_of, text

_MAX_BYTES = 4096
_MAX_ATTRIBUTES = 64


def _text_of(max_bytes: int) -> Check[str]:
    """Return a check for free text of at most `max_bytes` of UTF-8."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError("must be a string with at least one character")
        if _size(value) > max_bytes:
            raise ValueError(f"must not be longer than {max_bytes} bytes")
        return value

    return Check(check, {"type": "string", "minLength": 1, "maxLength": max_bytes})


def _size(value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("must not contain surrogates") from None


def _attributes(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("must be an object of strings")
    if len(value) > _MAX_ATTRIBUTES or sum(_size(name) + _size(text) for name, text in value.items()) > _MAX_BYTES:
        raise ValueError(f"must not have more than {_MAX_ATTRIBUTES} entries or {_MAX_BYTES} bytes")
    return tuple(sorted(value.items()))


_AGENT_FIELDS = {"agent_name": text(128), "metadata": _text_of(_MAX_BYTES), "deployment": text(128)}


def _agent(value: object) -> Agent:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise ValueError("must be a list of one object")
    agent = {name: field for name, field in value[0].items() if field is not None}
    if "agent_name" not in agent or not _AGENT_FIELDS.keys() >= agent.keys():
        raise ValueError(f"must have agent_name, and nothing but {', '.join(_AGENT_FIELDS)}")
    checked = {}
    for name, check in _AGENT_FIELDS.items():
        if name in agent:
            try:
                checked[name] = check(agent[name])
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
    return Agent(checked["agent_name"], checked.get("metadata"), checked.get("deployment"))


_check_attributes = Check(
    _attributes,
    {"type": "object", "maxProperties": _MAX_ATTRIBUTES, "additionalProperties": {"type": "string"}},
)
_check_agents = Check(
    _agent,
    {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {
            "type": "object",
            "properties": {name: check.schema for name, check in _AGENT_FIELDS.items()},
            "required": ["agent_name"],
            "additionalProperties": False,
        },
    },
)


class LiveKitEndpoint(Endpoint):
    """Reads `TokenSourceRequest` and writes `TokenSourceResponse`, both in snake case."""

    status = 201
    query_fields = ("role",)
    response_schemas = {
        "server_url": {"type": "string", "pattern": "^wss?://"},
        "participant_token": JWT_SCHEMA,
        "room_name": {"type": "string", "minLength": 1},
        "participant_identity": {"type": "string", "minLength": 1},
        "participant_name": {"type": "string", "minLength": 1},
    }
    optional_members = ("participant_name",)

    def __init__(self, roles: Collection[str]) -> None:
        self.spec = TokenSpec(
            (
                RequestField("room_name", check_id, maps_to="room_id"),
                RequestField("role", one_of(*roles), default="participant"),
                RequestField("participant_identity", check_id, maps_to="user_id"),
                RequestField("participant_name", check_display_value, maps_to="display_name"),
                RequestField("participant_metadata", _text_of(_MAX_BYTES), maps_to="metadata"),
                RequestField("participant_attributes", _check_attributes, maps_to="attributes"),
                RequestField("room_config.agents", _check_agents, maps_to="agent"),
            )
        )

    def fields(self, body: Mapping[str, Any], query: Mapping[str, str], randomness: Randomness) -> Mapping[str, Any]:
        # The role is named by the URL alone. Others are kept under names that no field has, so they are refused.
        sent = {"body.role" if name == "role" else name: value for name, value in body.items() if value is not None}
        sent |= {"role" if name == "role" else f"query.{name}": value for name, value in query.items()}
        if sent.get("participant_attributes") == {}:
            del sent["participant_attributes"]
        config = sent.get("room_config")
        if isinstance(config, dict):
            del sent["room_config"]
            sent |= {f"room_config.{name}": value for name, value in config.items() if value is not None}
        if sent.get("room_config.agents") == []:
            del sent["room_config.agents"]
        return {"room_name": randomness.room()} | sent

    def response_members(self, token: str, grant: Grant, connect: Mapping[str, object]) -> Mapping[str, object]:
        name = {} if grant.display_name is None else {"participant_name": grant.display_name}
        return {
            "server_url": connect["server_url"],
            "participant_token": token,
            "room_name": grant.room_id,
            "participant_identity": grant.user_id,
            **name,
        }
