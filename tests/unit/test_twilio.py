"""Twilio: known answers of its server SDK (twilio.json), bad tokens (negative_twilio.json), and its services."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import CredentialsInvalid, InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, assert_refused_for, assert_same, explained, minted, opened, signed, vectors

TWILIO = platform("twilio")
KNOWN, NEGATIVE = vectors("twilio"), vectors("negative_twilio")
SECRET = {
    "account_sid": "AC35dde73a4499b1a19b861efd6bcf1b2b",
    "api_key_sid": "SK2bf09322c2c60ef426f5eb146dc28710",
    "api_key_secret": "MadeUp0Secret1For2Tests3Of4Twilio",
}
SIDS = {
    "chat_service_sid": "ISfa51fd49abf67705d6a35d18218c115f",
    "sync_service_sid": "IS0c67be53af9b1945af277f57426da0c5",
    "outgoing_application_sid": "AP81a68a52e6ffb9131d14cc3daf2f2738",
    "push_credential_sid": "CR22ed9b303bf36e076bf30e19182b97ce",
}
NOW = 1_800_000_000

LEFT_OUT = {"twilio-no_identity-01": "a token is always for a user"}


def secret_of(vector: Any) -> dict[str, str]:
    inputs = vector["inputs"]
    names = ("account_sid", "api_key_sid", "api_key_secret", "region")
    secret = {name: inputs[name] for name in names if inputs[name]}
    chat = inputs["grants"].get("chat")
    return secret | ({"chat_service_sid": chat["service_sid"]} if chat else {})


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - LEFT_OUT.keys()))
def test_known_answers_claim_for_claim(name: str) -> None:
    vector = KNOWN[name]
    inputs, secret = vector["inputs"], secret_of(vector)
    room = inputs["grants"]["video"].get("room")
    body = {"user_id": inputs["identity"], "services": list(inputs["grants"]), "expires_in": inputs["ttl"]}
    token = minted(TWILIO, secret, body | ({"room_id": room} if room else {}), at=inputs["now"] + 0.5).token
    header, claims = opened(token, secret["api_key_secret"])
    assert_same(header, vector["expect"]["header"])
    assert_same(claims, vector["expect"]["claims"])


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - LEFT_OUT.keys()))
def test_tokens_of_the_vendors_sdk_are_understood(name: str) -> None:
    vector = KNOWN[name]
    credentials = TWILIO.check_credentials(secret_of(vector))
    report = explained(TWILIO, vector["expect"]["token"], credentials, vector["inputs"]["now"])
    assert (report.problems, report.signature) == ((), Signature.VALID)
    assert report.content.user_id == vector["inputs"]["identity"]
    assert report.token_id == vector["expect"]["claims"]["jti"]


ABOUT = {
    **dict.fromkeys(("payload_changed_signature_kept", "signature_bit_flipped", "wrong_secret"), "signature"),
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "no_cty_header": "cty",
    "no_grants": "grants is missing",
    "no_identity": "identity",
    "identity_only": "no service",
    "iss_sub_swapped": "begin with SK",
    "over_24h": "lives longer",
    "no_exp": "exp is missing",
    "expired": "expired",
    "before_nbf": "nbf",
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_bad_tokens_are_refused_for_the_right_reason(name: str) -> None:
    vector = NEGATIVE[name]
    secret = secret_of(KNOWN[vector["from"]]) | {"api_key_secret": vector["verify"]["secret"]}
    report = explained(TWILIO, vector["token"], TWILIO.check_credentials(secret), vector["now"])
    assert_refused_for(report, ABOUT[vector["why"]])


def test_each_service_has_its_grant() -> None:
    body = {"user_id": "ada", "services": ["sync", "chat", "voice"]}
    minted_token = minted(TWILIO, SECRET | SIDS, body, at=NOW)
    _, claims = opened(minted_token.token, SECRET["api_key_secret"])
    push = {"push_credential_sid": SIDS["push_credential_sid"]}
    assert_same(
        claims["grants"],
        {
            "identity": "ada",
            "voice": {
                "incoming": {"allow": True},
                "outgoing": {"application_sid": SIDS["outgoing_application_sid"]},
                **push,
            },
            "chat": {"service_sid": SIDS["chat_service_sid"], **push},
            "data_sync": {"service_sid": SIDS["sync_service_sid"]},
        },
    )
    assert minted_token.expires_in == 4 * 3600


@pytest.mark.parametrize(
    ("service", "needed"),
    [("chat", "chat_service_sid"), ("sync", "sync_service_sid"), ("voice", "outgoing_application_sid")],
)
def test_a_service_that_the_secret_does_not_configure_is_not_minted(service: str, needed: str) -> None:
    with pytest.raises(CredentialsInvalid) as invalid:
        minted(TWILIO, SECRET, {"user_id": "ada", "services": [service]}, at=NOW)
    assert invalid.value.failure
    assert invalid.value.failure.problems == (f"twilio.{needed}: is missing, and a requested service needs it",)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_id": "ada", "services": []}, "services"),
        ({"user_id": "ada", "services": ["video", "video"]}, "services"),
        ({"user_id": "ada", "services": ["fax"]}, "services"),
        ({"user_id": "ada", "services": ["chat"], "room_id": "r"}, "room_id"),
        ({"user_id": "ada lovelace", "services": ["voice"]}, "user_id"),
        ({"user_id": "ada", "role": "host"}, "role"),
        ({"user_id": "ada", "room_id": "r" * 129}, "room_id"),
        ({"user_id": "ada", "expires_in": 86401}, "expires_in"),
    ],
)
def test_requests_that_cannot_work_are_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(TWILIO, TokenKind.APP, body, lifetimes=LIFETIMES)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_video_token_without_a_room_opens_every_room() -> None:
    every = [
        parse(TWILIO, TokenKind.APP, body, lifetimes=LIFETIMES).opens_every_room
        for body in ({}, {"room_id": "r"}, {"services": ["chat"]})
    ]
    assert every == [True, False, False]


@given(
    st.dictionaries(st.sampled_from(["jti", "iss", "sub", "nbf", "exp"]), st.none() | st.integers() | st.text()),
    st.data(),
)
def test_explaining_never_fails_and_accepts_no_token_without_identity(
    claims: dict[str, Any], data: st.DataObject
) -> None:
    grants = data.draw(
        st.none() | st.dictionaries(st.sampled_from(["identity", "video", "chat"]), st.text() | st.none())
    )
    token = signed(
        {"exp": NOW + 60} | claims | {"grants": grants, "iss": SECRET["api_key_sid"]},
        SECRET["api_key_secret"],
        cty="twilio-fpa;v=1",
    )
    report = TWILIO.explain(token, TWILIO.check_credentials(SECRET), NOW)
    assert report is None or report.problems or (grants or {})["identity"]
