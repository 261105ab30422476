"""The block list: its grammar, and the requests that an entry covers. test_operator_config.py tests its reading."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.block_list import BlockList
from roomkey.identity import Caller
from roomkey.invites import Invite, InviteKeys
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest
from roomkey_cli.aws import block_list as commands_list

NOW = 1_800_000_000
ANYONE = Caller(Access.OPEN)
JOIN = TokenRequest(PLATFORMS["100ms"], TokenKind.APP, room_id="Room-1", role="host", user_id="u-7")
MANAGE = TokenRequest(PLATFORMS["100ms"], TokenKind.MANAGEMENT)


def blocks(document: Any, request: TokenRequest = JOIN, caller: Caller = ANYONE, now: float = NOW) -> bool:
    return BlockList.parse(json.dumps(document)).blocks(request, caller, now)


@pytest.mark.parametrize(
    ("entry", "blocked"),
    [
        ({}, True),
        ({"rooms": ["*"], "platforms": ["*"], "reason": "rude"}, True),
        ({"rooms": ["Room-1"]}, True),
        ({"rooms": ["room-*"]}, True),
        ({"rooms": ["Room-2", "x"]}, False),
        ({"rooms": ["{Room}", "a"]}, False),
        ({"platforms": ["agora", "100ms"]}, True),
        ({"platforms": ["agora"]}, False),
        ({"until": NOW + 1}, True),
        ({"until": NOW}, False),
        ({"until": NOW + 1, "platforms": ["agora"]}, False),
    ],
)
def test_an_entry_covers_its_rooms_and_platforms_until_its_end(entry: dict[str, Any], blocked: bool) -> None:
    assert blocks({"users": {"u-7": entry}}) is blocked
    assert not blocks({"users": {"u-8": entry}})


def test_a_block_applies_to_the_signed_in_user_too() -> None:
    signed_in = Caller(Access.JWT, user_id="u-7")
    board = TokenRequest(PLATFORMS["agora-whiteboard"], TokenKind.APP, room_id="0" * 32, role="reader")

    assert blocks({"users": {"u-7": {}}}, board, signed_in)
    assert not blocks({"users": {"u-7": {}}}, board)


def test_a_block_for_any_room_covers_a_token_without_a_room() -> None:
    assert blocks({"users": {"u-7": {"rooms": ["x"]}}}, MANAGE._replace(user_id="u-7"))


def test_an_invite_is_blocked_by_its_id() -> None:
    guest = Caller(Access.OPEN, invite_id="k3F")

    assert blocks({"invites": ["x", "k3F"]}, caller=guest)
    assert not blocks({"invites": ["k3"]}, caller=guest)
    assert not blocks({"invites": ["k3F"]})


INVALID = [
    *("", "{", "[]", "null", '"x"', '{"users":{},"users":{}}', '{"user":{}}', '{"users":[]}', '{"users":{"":{}}}'),
    *('{"invites":{}}', '{"invites":[1]}', '{"invites":[""]}', '{"users":{"a":[]}}', '{"users":{"a":{"room":[]}}}'),
    *('{"users":{"a":{"rooms":[]}}}', '{"users":{"a":{"rooms":"x"}}}', '{"users":{"a":{"rooms":[1]}}}'),
    *('{"users":{"a":{"platforms":["zoom"]}}}', '{"users":{"a":{"until":-1}}}', '{"users":{"a":{"until":1.5}}}'),
    *('{"users":{"a":{"until":"1"}}}', '{"users":{"a":{"until":true}}}', '{"users":{"a":{"reason":1}}}'),
]


@pytest.mark.parametrize("text", INVALID)
def test_an_invalid_list_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Za-z, 0-9.\[\]]+$") as caught:
        BlockList.parse(text)
    assert "zoom" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"users": {"u-7": {}, "u-8": {"until": -1}}}, "users[1].until is not a time in Unix seconds"),
        ({"users": {"u-7": {"platforms": ["*", "Agora"]}}}, "users[0].platforms[1] is an unknown platform"),
        ({"users": {"u-7": {}, "": {}}}, "users[1] has an empty user id"),
        ({"users": {"u-7": []}}, "users[0] is not an object with platforms, reason, rooms, until"),
        ({"invites": ["k3F", 5]}, "invites[1] is not an invite id"),
    ],
)
def test_an_error_names_the_position_of_the_entry(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        BlockList.parse(json.dumps(document))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["users", "invites", "x"]), JSON))
def test_function_and_commands_accept_the_same_lists(document: Any) -> None:
    text = json.dumps(document)
    try:
        BlockList.parse(text)
    except ValueError:
        assert not commands_list.is_valid(text)
        return
    assert commands_list.is_valid(text)
    assert document.keys() <= {"users", "invites"}


MISSING = "must not be the text that a program prints for a missing value"
INVITE = InviteKeys({"a": "k" * 43}, "a").sign(Invite("100ms", "r", "guest", (), 1, "k3FhYz0qVbA1", None), "prod")


@pytest.mark.parametrize(
    ("document", "warnings"),
    [
        ({"users": {"u-7": {"rooms": ["*", "a-*"], "until": NOW}}, "invites": ["k3FhYz0qVbA1"]}, []),
        *(
            ({"users": {user: {}}}, [f'users["{user}"] {warning}'])
            for user, warning in {
                "u-7 ": "matches no user: an id must not begin or end with a space",
                **dict.fromkeys(("undefined", "null"), f"matches no user: an id {MISSING}"),
                "u-*": "matches only this id: * is not a pattern here",
                INVITE: "is an invite, not a user: block it with --invite",
                "https://app.example.org/join#rki1.cut": "is an invite, not a user: block it with --invite",
            }.items()
        ),
        *(
            ({"users": {"u-7": {"until": until}}}, [f'users["u-7"] {warning}'])
            for until, warning in {
                3600: "never applies: until is 1970-01-01T01:00:00Z, and must be a time in Unix seconds",
                NOW * 1000: "ends after 2100: until must be in seconds, not milliseconds",
            }.items()
        ),
        (
            {"users": {"u-7": {"rooms": ["r", "null"]}}},
            [f'users["u-7"].rooms[1] matches no room: an id {MISSING}'],
        ),
        (
            {"invites": ["k3FhYz0qVbA1", INVITE, "k3F"]},
            [
                "invites[1] matches no invite: write only its id, k3FhYz0qVbA1",
                "invites[2] matches no invite: an id has 12 letters, digits, - or _",
            ],
        ),
    ],
)
def test_entries_that_never_apply_are_warnings(document: Any, warnings: list[str]) -> None:
    assert list(commands_list.warnings(commands_list.parse(json.dumps(document)))) == warnings
