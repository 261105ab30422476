"""Stream: known answers of its server SDKs (stream.json), bad tokens (negative_stream.json)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, assert_refused_for, assert_same, explained, minted, opened, signed, vectors

STREAM = platform("stream")
KNOWN, NEGATIVE = vectors("stream"), vectors("negative_stream")
SECRET = {"api_key": "9e6549b84cf4", "api_secret": "MadeUp0Secret1For2The3Tests4Of5Stream6"}
NOW = 1_800_000_000

LEFT_OUT = {
    "stream-user_no_exp-01": "a token always expires",
    "stream-chat_legacy-01": "a token always expires",
    "stream-chat_exp_iat-01": "iat is the moment of minting, less 5 s",
    "stream-call-01": "a call token is for one call, in a role",
}


def secret_of(vector: Any) -> dict[str, str]:
    return {name: vector["inputs"][name] for name in SECRET}


def test_known_answer_claim_for_claim() -> None:
    (name,) = KNOWN.keys() - LEFT_OUT.keys()
    vector = KNOWN[name]
    body = {"user_id": vector["inputs"]["user_id"], "expires_in": vector["inputs"]["expiration"]}
    token = minted(STREAM, secret_of(vector), body, at=vector["inputs"]["now"] + 0.5).token
    header, claims = opened(token, vector["inputs"]["api_secret"])
    assert_same(header, vector["expect"]["header"])
    assert_same(claims, vector["expect"]["claims"])


@pytest.mark.parametrize("name", KNOWN)
def test_tokens_of_the_vendors_sdks_are_understood(name: str) -> None:
    vector = KNOWN[name]
    report = explained(
        STREAM, vector["expect"]["token"], STREAM.check_credentials(secret_of(vector)), vector["inputs"]["now"]
    )
    assert (report.problems, report.signature) == ((), Signature.VALID)
    assert any("never expires" in warning for warning in report.warnings) is ("exp" not in vector["expect"]["claims"])


ABOUT = {
    **dict.fromkeys(("payload_changed_signature_kept", "signature_bit_flipped", "wrong_secret"), "signature"),
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "user_id_number": "user_id",
    "iat_future": "iat",
    "expired": "expired",
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_bad_tokens_are_refused_for_the_right_reason(name: str) -> None:
    vector = NEGATIVE[name]
    secret = secret_of(KNOWN[vector["from"]]) | {"api_secret": vector["verify"]["secret"]}
    credentials = STREAM.check_credentials(secret)
    if vector["why"] == "no_user_id":
        assert STREAM.explain(vector["token"], credentials, vector["now"]) is None, "nothing in it is Stream's"
        return
    assert_refused_for(explained(STREAM, vector["token"], credentials, vector["now"]), ABOUT[vector["why"]])


@pytest.mark.parametrize(
    ("kind", "body", "claims"),
    [
        ("app", {"user_id": "ada"}, {"user_id": "ada"}),
        (
            "app",
            {"user_id": "ada", "room_id": "default:physics", "role": "host"},
            {"user_id": "ada", "call_cids": ["default:physics"], "role": "host"},
        ),
        ("management", {}, {"server": True}),
    ],
)
def test_claims_of_each_kind(kind: str, body: dict[str, Any], claims: dict[str, Any]) -> None:
    token = minted(STREAM, SECRET, body | {"expires_in": 600}, at=NOW, kind=kind).token
    assert_same(opened(token, SECRET["api_secret"])[1], claims | {"iat": NOW - 5, "exp": NOW + 600})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"room_id": "default:physics"}, "role"),
        ({"role": "host"}, "role"),
        ({"room_id": "physics", "role": "host"}, "room_id"),
        ({"room_id": "default:*", "role": "host"}, "room_id"),
        ({"room_id": "a:b:c", "role": "host"}, "room_id"),
        ({"user_id": "ada lovelace"}, "user_id"),
        ({"user_id": "*"}, "user_id"),
    ],
)
def test_requests_that_cannot_work_are_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(STREAM, TokenKind.APP, body, lifetimes=LIFETIMES)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_user_token_opens_every_room() -> None:
    call = {"room_id": "default:physics", "role": "host"}
    assert parse(STREAM, TokenKind.APP, {}, lifetimes=LIFETIMES).opens_every_room
    assert not parse(STREAM, TokenKind.APP, call, lifetimes=LIFETIMES).opens_every_room


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(st.sampled_from(["user_id", "call_cids", "role", "server", "iat", "exp"]), VALUES))
def test_explaining_never_fails_and_accepts_no_user_that_is_not_text(claims: dict[str, Any]) -> None:
    report = STREAM.explain(signed(claims, SECRET["api_secret"]), STREAM.check_credentials(SECRET), NOW)
    of_stream = "user_id" in claims or claims.get("server") is True
    assert (report is not None) is (of_stream and ("role" not in claims or "call_cids" in claims))
    if report and not report.problems and claims.get("server") is not True:
        assert isinstance(claims["user_id"], str)
