"""Daily: known answers of its documentation (daily.json), bad tokens (negative_daily.json), and its bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, assert_refused_for, assert_same, explained, minted, opened, signed, vectors

DAILY = platform("daily")
KNOWN, NEGATIVE = vectors("daily"), vectors("negative_daily")
SECRET = {
    "domain_id": "0247bab0-984e-090d-cfa4-1df00716d953",
    "api_key": "MadeUp0Secret1For2The3Tests4Of5Daily6",
    "domain": "acme",
}
NOW = 1_800_000_000

LEFT_OUT = {
    "daily-minimal-01": "a token always expires",
    "daily-exp-01": "a token is always for a user, and has o",
    "daily-features-01": "a request cannot set features",
}


def secret_of(vector: Any) -> dict[str, str]:
    return SECRET | {name: vector["inputs"][name] for name in ("domain_id", "api_key")}


def test_known_answer_claim_for_claim() -> None:
    (name,) = KNOWN.keys() - LEFT_OUT.keys()
    inputs, expected = KNOWN[name]["inputs"], KNOWN[name]["expect"]["claims"]
    body = {"room_id": "test", "role": "owner", "user_id": "user-1", "display_name": "Ann", "expires_in": 3600}
    token = minted(DAILY, secret_of(KNOWN[name]), body, at=inputs["now"] + 0.5).token
    header, claims = opened(token, inputs["api_key"])
    assert_same(header, KNOWN[name]["expect"]["header"])
    assert_same(claims, expected | {"nbf": inputs["now"]})


@pytest.mark.parametrize("name", KNOWN)
def test_tokens_of_the_vendors_recipe_are_understood(name: str) -> None:
    vector = KNOWN[name]
    report = explained(
        DAILY, vector["expect"]["token"], DAILY.check_credentials(secret_of(vector)), vector["inputs"]["now"]
    )
    assert (report.problems, report.signature, report.content.room_id) == ((), Signature.VALID, "test")


ABOUT = {
    **dict.fromkeys(("payload_changed_signature_kept", "signature_bit_flipped", "wrong_secret"), "signature"),
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "expired": "expired",
    "long_name": "short names",
    "no_domain": "d is missing",
    "owner_string": "o is not",
    "no_iat": "iat",
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_bad_tokens_are_refused_for_the_right_reason(name: str) -> None:
    vector = NEGATIVE[name]
    secret = secret_of(KNOWN[vector["from"]]) | {"api_key": vector["verify"]["secret"]}
    report = explained(DAILY, vector["token"], DAILY.check_credentials(secret), vector["now"])
    if vector["why"] == "no_room":
        assert any("every room" in warning for warning in report.warnings)
    else:
        assert_refused_for(report, ABOUT[vector["why"]])


@pytest.mark.parametrize(("role", "owns"), [("owner", True), ("participant", False)])
def test_ownership_is_written_for_refusals_too(role: str, owns: bool) -> None:
    token = minted(DAILY, SECRET, {"room_id": "test", "role": role, "user_id": "u" * 37}, at=NOW).token
    _, claims = opened(token, SECRET["api_key"])
    hashed = "106d210d502ebaed5c29a621fb234668"
    expected = {
        "r": "test",
        "d": SECRET["domain_id"],
        "o": owns,
        "ud": hashed,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
    }
    assert_same(claims, expected)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "owner"}, "room_id"),
        ({"room_id": "a room", "role": "owner"}, "room_id"),
        ({"room_id": "*", "role": "owner"}, "room_id"),
        ({"room_id": "r" * 129, "role": "owner"}, "room_id"),
        ({"room_id": "test", "role": "host"}, "role"),
        ({"room_id": "test"}, "role"),
    ],
)
def test_requests_that_cannot_work_are_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(DAILY, TokenKind.APP, body, lifetimes=LIFETIMES)
    assert [error.field for error in refused.value.errors] == [field]


VALUES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.dictionaries(st.sampled_from(["r", "d", "o", "u", "ud", "iat", "exp", "room_name"]), VALUES))
def test_explaining_never_fails_and_a_token_without_room_is_never_clean(claims: dict[str, Any]) -> None:
    token = signed({"d": SECRET["domain_id"], "o": True} | claims, SECRET["api_key"])
    report = DAILY.explain(token, DAILY.check_credentials(SECRET), NOW)
    assert report is None or report.problems or report.warnings or claims["r"]
