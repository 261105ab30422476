"""Zoom's two SDKs: known answers of its samples (zoom_video.json, zoom_meeting.json), bad tokens, and its bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, assert_refused_for, assert_same, explained, minted, opened, signed, vectors

VIDEO, MEETING = platform("zoom-video"), platform("zoom-meeting")
KNOWN, NEGATIVE = vectors("zoom_video") | vectors("zoom_meeting"), vectors("negative_zoom_video")
SECRET = {"sdk_key": "BV2cBYB8e4i9GPs-LrwOUw", "sdk_secret": "MadeUp0Secret1For2The3Tests4Of5Zoom6"}
NOW = 1_800_000_000
ROLES = {0: "participant", 1: "host"}

LEFT_OUT = {
    "zoom-role-01": "a token of the Video SDK is always for a user",
    "zoom-ttl-01": "a token of the Video SDK is always for a user",
    "zoom-full-01": "regions and recording are not part of a request",
    "zoom_meeting-native-01": "a signature is always for one meeting",
}


def secret_of(vector: Any) -> dict[str, str]:
    return {name: vector["inputs"][name] for name in SECRET}


def of(name: str) -> Any:
    return MEETING if "meeting" in name else VIDEO


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - LEFT_OUT.keys()))
def test_known_answers_claim_for_claim(name: str) -> None:
    inputs = KNOWN[name]["inputs"]
    body = {
        "room_id": inputs.get("tpc") or inputs["meeting_number"],
        "role": ROLES[inputs.get("role_type", inputs.get("role"))],
        "expires_in": inputs["ttl"],
        **({"user_id": inputs["user_identity"]} if "user_identity" in inputs else {}),
    }
    token = minted(of(name), secret_of(KNOWN[name]), body, at=inputs["now"] + 0.5).token
    header, claims = opened(token, inputs["sdk_secret"])
    assert_same(header, KNOWN[name]["expect"]["header"])
    assert_same(claims, KNOWN[name]["expect"]["claims"])


@pytest.mark.parametrize("name", KNOWN)
def test_tokens_of_the_vendors_samples_are_understood(name: str) -> None:
    vector = KNOWN[name]
    credentials = of(name).check_credentials(secret_of(vector))
    report = explained(of(name), vector["expect"]["token"], credentials, vector["inputs"]["now"])
    assert (report.problems, report.signature) == ((), Signature.VALID)
    assert bool(report.warnings) is (name == "zoom_meeting-native-01")


ABOUT = {
    **dict.fromkeys(("payload_changed_signature_kept", "signature_bit_flipped", "wrong_secret"), "signature"),
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "expired": "expired",
    "role_type_string": "role_type",
    "role_type_2": "role_type",
    "no_tpc": "tpc",
    "tpc_201": "tpc",
    "ttl_1799": "lives shorter",
    "ttl_172801": "lives longer",
    "identity_36": "user_identity",
    "session_key_37": "session_key",
    "geo_unknown": "geo_regions",
    "no_app_key": "app_key",
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_bad_tokens_of_the_video_sdk_are_refused_for_the_right_reason(name: str) -> None:
    vector = NEGATIVE[name]
    secret = secret_of(KNOWN[vector["from"]]) | {"sdk_secret": vector["verify"]["secret"]}
    report = explained(VIDEO, vector["token"], VIDEO.check_credentials(secret), vector["now"])
    assert_refused_for(report, ABOUT[vector["why"]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"role": "1"}, "role"),
        ({"role": True}, "role"),
        ({"mn": 8123}, "mn"),
        ({"mn": True}, "mn"),
        ({"mn": 81234567891.5}, "mn"),
        ({"mn": "812 3456 7891"}, "mn"),
        ({"tokenExp": NOW + 1}, "tokenExp"),
        ({"sdkKey": "another"}, "sdkKey"),
        ({"exp": NOW + 1799, "tokenExp": NOW + 1799}, "lives shorter"),
        ({"exp": NOW + 172801, "tokenExp": NOW + 172801}, "lives longer"),
    ],
)
def test_bad_signatures_of_the_meeting_sdk_are_refused_for_the_right_reason(change: Any, reason: str) -> None:
    body = {"room_id": "81234567891", "role": "host"}
    _, good = opened(minted(MEETING, SECRET, body, at=NOW).token, SECRET["sdk_secret"])
    token = signed(good | change, SECRET["sdk_secret"])
    assert_refused_for(explained(MEETING, token, MEETING.check_credentials(SECRET), NOW), reason)


WEB_ONLY = "it does not work in the native SDK, which also requires {}"
NATIVE_ONLY = [
    "it does not work in the web SDK, which also requires {}",
    "it names no meeting: the native SDKs join every meeting with it",
]


@pytest.mark.parametrize(
    ("names", "missing", "warnings"),
    [
        ("sdkKey mn role", "appKey and tokenExp", [WEB_ONLY]),
        ("sdkKey mn role tokenExp", "appKey", [WEB_ONLY]),
        ("sdkKey appKey mn role", "tokenExp", [WEB_ONLY]),
        ("appKey tokenExp", "mn and role and sdkKey", NATIVE_ONLY),
        ("appKey sdkKey tokenExp", "mn and role", NATIVE_ONLY),
        ("appKey mn role tokenExp", "sdkKey", NATIVE_ONLY[:1]),
        ("appKey sdkKey mn role tokenExp", "", []),
    ],
)
def test_a_signature_of_one_sdk_is_valid_with_a_warning(names: str, missing: str, warnings: list[str]) -> None:
    body = {"room_id": "81234567891", "role": "host"}
    _, good = opened(minted(MEETING, SECRET, body, at=NOW).token, SECRET["sdk_secret"])
    claims = {name: good[name] for name in (*names.split(), "iat", "exp")}
    report = explained(MEETING, signed(claims, SECRET["sdk_secret"]), MEETING.check_credentials(SECRET), NOW)
    assert (report.problems, list(report.warnings)) == ((), [warning.format(missing) for warning in warnings])


@pytest.mark.parametrize("names", ["sdkKey tokenExp", "appKey mn role"])
def test_a_signature_of_no_sdk_is_refused(names: str) -> None:
    body = {"room_id": "81234567891", "role": "host"}
    _, good = opened(minted(MEETING, SECRET, body, at=NOW).token, SECRET["sdk_secret"])
    claims = {name: good[name] for name in (*names.split(), "iat", "exp")}
    report = explained(MEETING, signed(claims, SECRET["sdk_secret"]), MEETING.check_credentials(SECRET), NOW)
    assert_refused_for(report, "is missing")


def test_a_meeting_number_can_be_a_json_number() -> None:
    _, good = opened(
        minted(MEETING, SECRET, {"room_id": "81234567891", "role": "host"}, at=NOW).token, SECRET["sdk_secret"]
    )
    token = signed(good | {"mn": 81234567891}, SECRET["sdk_secret"])
    report = explained(MEETING, token, MEETING.check_credentials(SECRET), NOW)
    assert (report.problems, report.content.room_id) == ((), "81234567891")
    assert report.warnings == ("its mn is a number: Zoom's samples write text",)


@pytest.mark.parametrize(
    ("sdk", "body", "field"),
    [
        (VIDEO, {"room_id": "a" * 201, "role": "host"}, "room_id"),
        (VIDEO, {"room_id": "h\u00f4te", "role": "host"}, "room_id"),
        (VIDEO, {"room_id": "standup", "role": "attendee"}, "role"),
        (VIDEO, {"room_id": "standup", "role": "host", "expires_in": 1799}, "expires_in"),
        (VIDEO, {"room_id": "standup", "role": "host", "expires_in": 172801}, "expires_in"),
        (MEETING, {"room_id": "812 3456 7891", "role": "host"}, "room_id"),
        (MEETING, {"room_id": 81234567891, "role": "host"}, "room_id"),
        (MEETING, {"room_id": "81234567891", "role": "host", "user_id": "ada"}, "user_id"),
    ],
)
def test_requests_that_cannot_work_are_refused(sdk: Any, body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(sdk, TokenKind.APP, body, lifetimes=LIFETIMES)
    assert [error.field for error in refused.value.errors] == [field]


def test_session_names_are_lower_cased_and_long_users_hashed() -> None:
    body = {"room_id": "Stand Up", "role": "host", "user_id": "3f1c8a52-9d47-4b1a-a0c6-2f7d5e9b3a10"}
    minted_token = minted(VIDEO, SECRET, body, at=NOW)
    _, claims = opened(minted_token.token, SECRET["sdk_secret"])
    assert (claims["tpc"], claims["user_identity"]) == ("stand up", "f480086e85b2f4d3e3af7eca274330e5")
    assert minted_token.grant.user_id == body["user_id"]


VALUES = st.none() | st.booleans() | st.integers() | st.text()


@given(
    st.dictionaries(
        st.sampled_from(["app_key", "tpc", "role_type", "user_identity", "geo_regions", "iat", "exp"]), VALUES
    )
)
def test_explaining_never_fails_and_accepts_no_session_without_a_name(claims: dict[str, Any]) -> None:
    token = signed({"app_key": SECRET["sdk_key"], "role_type": 1} | claims, SECRET["sdk_secret"])
    report = explained(VIDEO, token, VIDEO.check_credentials(SECRET), NOW)
    assert report.problems or claims["tpc"]
