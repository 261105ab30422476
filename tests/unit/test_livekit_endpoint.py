"""LiveKit's own contract for token endpoints: requests of its clients, and refused requests."""

import re
from typing import Any

import pytest

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Agent, Endpoint, Grant, Randomness, TokenKind
from roomkey.token_requests import TokenRequest, parse
from support.known_answers import LIFETIMES, assert_same, minted_request, opened, vectors

LIVEKIT = platform("livekit")
assert isinstance(LIVEKIT.endpoint, Endpoint)
ENDPOINT = LIVEKIT.endpoint
RANDOMNESS = Randomness(room=lambda: "rk-0123456789abcdefghijkl")
NOW = 1_800_000_000


def asked(body: dict[str, Any], **query: str) -> TokenRequest:
    fields = ENDPOINT.fields(body, query, RANDOMNESS)
    return parse(LIVEKIT, TokenKind.APP, fields, lifetimes=LIFETIMES, spec=ENDPOINT.spec)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"room_id": "rk-0123456789abcdefghijkl", "role": "participant"}),
        ({"room_name": None, "participant_name": None, "room_config": None, "participant_attributes": None}, {}),
        ({"room_config": {}, "participant_attributes": {}}, {}),
        ({"room_config": {"agents": []}}, {}),
        ({"room_config": {"agents": None, "name": None}}, {}),
        ({"room_name": "physics"}, {"room_id": "physics"}),
        ({"participant_identity": "ada", "participant_name": "Ada"}, {"user_id": "ada", "display_name": "Ada"}),
        ({"participant_metadata": "{}"}, {"metadata": "{}"}),
        ({"participant_attributes": {"b": "2", "a": ""}}, {"attributes": (("a", ""), ("b", "2"))}),
        ({"room_config": {"agents": [{"agent_name": "tutor"}]}}, {"agent": Agent("tutor")}),
        (
            {"room_config": {"agents": [{"agent_name": "tutor", "metadata": "{}", "deployment": "beta"}]}},
            {"agent": Agent("tutor", "{}", "beta")},
        ),
        ({"room_config": {"agents": [{"agent_name": "tutor", "metadata": None}]}}, {"agent": Agent("tutor")}),
    ],
)
def test_each_field_of_a_client_has_its_meaning(body: dict[str, Any], expected: dict[str, Any]) -> None:
    request = asked(body)
    found = {name: getattr(request, name) for name in expected}
    assert found == expected
    assert request.role == "participant"


def test_the_url_names_the_role() -> None:
    assert asked({}, role="viewer").role == "viewer"


@pytest.mark.parametrize(
    ("body", "query", "field"),
    [
        ({"room_name": ""}, {}, "room_name"),
        ({"room_name": 7}, {}, "room_name"),
        ({"participant_identity": ""}, {}, "participant_identity"),
        ({"participant_name": "a" * 257}, {}, "participant_name"),
        ({"participant_metadata": ""}, {}, "participant_metadata"),
        ({"participant_metadata": "\u00e9" * 2049}, {}, "participant_metadata"),
        ({"participant_metadata": "\ud800"}, {}, "participant_metadata"),
        ({"participant_attributes": {"a": 1}}, {}, "participant_attributes"),
        ({"participant_attributes": []}, {}, "participant_attributes"),
        ({"participant_attributes": {f"{n}": "" for n in range(65)}}, {}, "participant_attributes"),
        ({"participant_attributes": {"a": "b" * 4096}}, {}, "participant_attributes"),
        ({"room_config": []}, {}, "room_config"),
        ({"room_config": {"egress": {}}}, {}, "room_config.egress"),
        ({"room_config": {"max_participants": 2}}, {}, "room_config.max_participants"),
        ({"room_config": {"metadata": "x"}}, {}, "room_config.metadata"),
        ({"room_config": {"agents": [{"agent_name": "a"}, {"agent_name": "b"}]}}, {}, "room_config.agents"),
        ({"room_config": {"agents": [{}]}}, {}, "room_config.agents"),
        ({"room_config": {"agents": [{"agent_name": ""}]}}, {}, "room_config.agents"),
        ({"room_config": {"agents": [{"agent_name": "a", "metadata": "x" * 4097}]}}, {}, "room_config.agents"),
        ({"room_config": {"agents": [{"agent_name": "a", "role": "x"}]}}, {}, "room_config.agents"),
        ({"room_config": {"agents": {}}}, {}, "room_config.agents"),
        ({"role": "moderator"}, {}, "body.role"),
        ({"room_id": "physics"}, {}, "room_id"),
        ({"roomName": "physics"}, {}, "roomName"),
        ({"participant_kind": "agent"}, {}, "participant_kind"),
        ({"expires_in": 600}, {}, "expires_in"),
        ({}, {"role": "host"}, "role"),
        ({}, {"role": "viewer,moderator"}, "role"),
        ({}, {"room_name": "physics"}, "query.room_name"),
    ],
)
def test_each_wrong_field_is_refused_by_name(body: dict[str, Any], query: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(body, **query)
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize("values", ["\ud800", "x" * 5000, {"secret": 1}])
def test_a_refusal_does_not_repeat_the_value(values: Any) -> None:
    for field in ("participant_metadata", "participant_attributes", "room_config"):
        with pytest.raises(InvalidRequest) as refused:
            asked({field: {"agents": values} if field == "room_config" else values})
        assert not re.search("secret|\ud800|xxxx", str([error.reason for error in refused.value.errors]))


def test_known_answer_of_a_profile() -> None:
    vector = vectors("livekit")["livekit-profile-01"]
    inputs, claims = vector["inputs"], vector["expect"]["claims"]
    body = {"room_name": "r", "participant_identity": inputs["identity"], "participant_name": inputs["name"]}
    body |= {"participant_metadata": inputs["metadata"], "participant_attributes": inputs["attributes"]}
    secret = {"api_key": inputs["api_key"], "api_secret": inputs["api_secret"], "server_url": "wss://lk.example.com"}
    request = asked(body)._replace(expires_in=inputs["ttl_seconds"])
    written_out = {"canUpdateOwnMetadata": False, "hidden": False, "roomAdmin": False}
    token = minted_request(request, secret, at=inputs["now"]).token
    assert_same(opened(token, inputs["api_secret"])[1], claims | {"video": claims["video"] | written_out})


def test_an_agent_is_the_only_part_of_the_room_that_a_token_configures() -> None:
    request = asked({"room_config": {"agents": [{"agent_name": "tutor", "metadata": "{}"}]}})
    secret = {"api_key": "APIq2w3e4r5t6y7", "api_secret": "MadeUp0Secret1For2The3Tests4Of5LiveKit6"}
    minted = minted_request(request, secret | {"server_url": "wss://lk.example.com"}, at=NOW)
    _, claims = opened(minted.token, secret["api_secret"])
    assert claims["roomConfig"] == {"agents": [{"agentName": "tutor", "metadata": "{}"}]}


def test_the_reply_has_the_members_of_the_contract() -> None:
    grant = Grant(TokenKind.APP, NOW, room_id="physics", user_id="ada")
    reply = {
        "server_url": "wss://lk.example.com",
        "participant_token": "token",
        "room_name": "physics",
        "participant_identity": "ada",
    }
    assert ENDPOINT.response_members("token", grant, {"server_url": "wss://lk.example.com"}) == reply
    named = grant._replace(display_name="Ada")
    assert ENDPOINT.response_members("token", named, {"server_url": "wss://lk.example.com"}) == reply | {
        "participant_name": "Ada"
    }


def test_a_drawn_room_cannot_be_guessed() -> None:
    rooms = {Randomness().room() for _ in range(100)}
    assert len(rooms) == 100
    assert all(re.fullmatch("rk-[A-Za-z0-9_-]{22}", room) for room in rooms)
