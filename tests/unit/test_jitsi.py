"""Jitsi Meet: known answers of the module that verifies tokens in Prosody (jitsi.json), and what it refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, assert_refused_for, assert_same, explained, minted, opened, signed, vectors

JITSI = platform("jitsi")
KNOWN = vectors("jitsi")
SECRET = {"app_id": "app_1", "app_secret": "MadeUp0Secret1For2The3Tests4Of5Jitsi6", "domain": "meet.example.com"}
NOW = 1_800_000_000
BODY = {"room_id": "Physics", "role": "moderator", "user_id": "ada"}

LEFT_OUT = {
    "jitsi-participant-01": "moderator is written also where it is false",
    "jitsi-moderator-01": "features are the server's default for moderators",
    "jitsi-bare-01": "a token is always for a user",
    "jitsi-group-01": "a request has no group",
}


def secret_of(vector: Any) -> dict[str, str]:
    return SECRET | {"app_secret": vector["inputs"]["app_secret"], "audience": vector["inputs"]["aud"]}


@pytest.mark.parametrize(
    ("name", "role", "differs"),
    [
        ("jitsi-participant-01", "participant", {"moderator": False}),
        ("jitsi-moderator-01", "moderator", {}),
    ],
)
def test_known_answers_match_except_for_omitted_members(name: str, role: str, differs: dict[str, bool]) -> None:
    vector = KNOWN[name]
    inputs, expected = vector["inputs"], vector["expect"]["claims"]
    user = inputs["context"]["user"]
    body = {"room_id": inputs["room"], "role": role, "user_id": user["id"], "display_name": user["name"]}
    body |= {"expires_in": inputs["ttl"], **({"email": user["email"]} if "email" in user else {})}
    token = minted(JITSI, secret_of(vector), body, at=inputs["now"] + 0.5).token
    header, claims = opened(token, inputs["app_secret"])
    assert_same(header, vector["expect"]["header"])
    assert_same(claims, expected | {"context": {"user": expected["context"]["user"] | differs}})


@pytest.mark.parametrize("name", KNOWN)
def test_tokens_of_jitsis_own_module_are_understood(name: str) -> None:
    vector = KNOWN[name]
    report = explained(
        JITSI, vector["expect"]["token"], JITSI.check_credentials(secret_of(vector)), vector["inputs"]["now"]
    )
    assert (report.problems, report.signature, report.content.room_id) == ((), Signature.VALID, "room-1")


def test_a_users_id_can_be_a_json_number() -> None:
    _, good = opened(minted(JITSI, SECRET, BODY, at=NOW).token, SECRET["app_secret"])
    token = signed(good | {"context": {"user": {"id": 1234}}}, SECRET["app_secret"])
    assert explained(JITSI, token, JITSI.check_credentials(SECRET), NOW).content.user_id == "1234"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iss": "other"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": ["jitsi"]}, "aud"),
        ({"sub": ""}, "sub"),
        ({"room": 7}, "room"),
        ({"exp": str(NOW + 60)}, "exp"),
        ({"exp": NOW}, "expired"),
        ({"nbf": NOW + 1}, "nbf"),
        ({"context": []}, "context"),
        ({"context": {"user": {"affiliation": 1}}}, "affiliation"),
    ],
)
def test_bad_tokens_are_refused_for_the_right_reason(change: dict[str, Any], reason: str) -> None:
    _, good = opened(minted(JITSI, SECRET, BODY, at=NOW).token, SECRET["app_secret"])
    report = explained(JITSI, signed(good | change, SECRET["app_secret"]), JITSI.check_credentials(SECRET), NOW)
    assert_refused_for(report, reason)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"room": "*"}, "pattern"),
        ({"room": "Physics"}, "lower case"),
        ({"context": {"room": {"regex": True}}}, "pattern"),
        ({"context": {"user": {"affiliation": "owner"}}}, "differ"),
    ],
)
def test_tokens_that_the_server_takes_for_something_else_are_warned_of(change: dict[str, Any], warning: str) -> None:
    _, good = opened(minted(JITSI, SECRET, BODY, at=NOW).token, SECRET["app_secret"])
    report = explained(JITSI, signed(good | change, SECRET["app_secret"]), JITSI.check_credentials(SECRET), NOW)
    assert any(warning in found for found in report.warnings), report


def test_a_header_without_typ_is_refused() -> None:
    _, good = opened(minted(JITSI, SECRET, BODY, at=NOW).token, SECRET["app_secret"])
    token = signed(good, SECRET["app_secret"], typ=None)
    assert_refused_for(explained(JITSI, token, JITSI.check_credentials(SECRET), NOW), "typ")


def test_a_room_is_lower_cased() -> None:
    minted_token = minted(JITSI, SECRET, BODY, at=NOW)
    assert opened(minted_token.token, SECRET["app_secret"])[1]["room"] == "physics"
    assert minted_token.grant.room_id == "physics"


@pytest.mark.parametrize("room", ["*", "a*", "a b", "a/b", "a@b", "[tenant]a", "a&b", "it's"])
def test_rooms_that_are_patterns_or_cannot_exist_are_refused(room: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(JITSI, TokenKind.APP, BODY | {"room_id": room}, lifetimes=LIFETIMES)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.dictionaries(st.sampled_from(["user", "room"]), st.none())
)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "context"]), VALUES), VALUES)
def test_explaining_never_fails_and_accepts_no_token_without_a_room(claims: dict[str, Any], room: object) -> None:
    token = signed({"iss": "app_1", "aud": "jitsi", "sub": "x"} | claims | {"room": room}, SECRET["app_secret"])
    report = JITSI.explain(token, JITSI.check_credentials(SECRET), NOW)
    assert report is None or report.problems or (isinstance(room, str) and room)
