"""LiveKit: known answers of its server SDK (livekit.json), bad tokens (negative_livekit.json), and its rights."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.platforms import platform
from roomkey.platforms.base import Signature
from support.known_answers import assert_refused_for, assert_same, explained, minted, opened, signed, vectors

LIVEKIT = platform("livekit")
KNOWN, NEGATIVE = vectors("livekit"), vectors("negative_livekit")
SECRET = {
    "api_key": "APIq2w3e4r5t6y7",
    "api_secret": "MadeUp0Secret1For2The3Tests4Of5LiveKit6",
    "server_url": "wss://lk.example.com",
}
NOW = 1_800_000_000

BODIES: dict[str, dict[str, Any]] = {
    "livekit-join-01": {"role": "participant", "room_id": "room-0", "user_id": "user-0", "expires_in": 21600},
    "livekit-join_ttl-01": {"role": "participant", "room_id": "r", "user_id": "u0", "expires_in": 600},
    "livekit-subscribe_only-01": {"role": "viewer", "room_id": "show", "user_id": "viewer0", "expires_in": 21600},
}
LEFT_OUT = {
    "livekit-sources-01": "no role publishes the camera alone",
    "livekit-server-01": "the role rooms has three rights",
    "livekit-server-03": "the SDK writes a participant's rights into a server's token",
    "livekit-profile-01": "metadata and attributes come through LiveKit's own endpoint (test_livekit_endpoint.py)",
    "livekit-hidden_agent-01": "a participant never gets the grant agent",
    "livekit-sip-01": "the role sip has both rights, and no identity",
    "livekit-room_config-01": "a request cannot configure the room",
}
WRITTEN_OUT = {"canUpdateOwnMetadata": False, "hidden": False, "roomAdmin": False}


def secret_of(vector: Any) -> dict[str, str]:
    return SECRET | {name: vector["inputs"][name] for name in ("api_key", "api_secret")}


def test_every_vector_is_used_or_left_out_for_a_reason() -> None:
    assert BODIES.keys() | LEFT_OUT.keys() == KNOWN.keys()


@pytest.mark.parametrize("name", BODIES)
def test_known_answers_claim_for_claim(name: str) -> None:
    vector = KNOWN[name]
    secret = secret_of(vector)
    token = minted(LIVEKIT, secret, BODIES[name], at=vector["inputs"]["now"] + 0.5).token
    header, claims = opened(token, secret["api_secret"])
    expected = vector["expect"]["claims"]
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert_same(claims, expected | {"video": expected["video"] | WRITTEN_OUT})


@pytest.mark.parametrize("name", KNOWN)
def test_tokens_of_the_vendors_sdk_are_understood(name: str) -> None:
    vector = KNOWN[name]
    credentials = LIVEKIT.check_credentials(secret_of(vector))
    report = explained(LIVEKIT, vector["expect"]["token"], credentials, vector["inputs"]["now"])
    assert (report.problems, report.signature) == ((), Signature.VALID)
    assert report.content.user_id == (vector["inputs"]["identity"] or None)


ABOUT = {
    **dict.fromkeys(("payload_changed_signature_kept", "signature_bit_flipped", "wrong_secret"), "signature"),
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "no_exp": "exp is missing",
    "expired": "expired",
    "before_nbf": "nbf",
    "wrong_issuer": "iss",
    "join_without_identity": "sub",
    "join_without_room": "room",
    "snake_case_grant": "grants nothing",
    "grant_string_bool": "canPublish",
    "unknown_source": "canPublishSources",
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_bad_tokens_are_refused_for_the_right_reason(name: str) -> None:
    vector = NEGATIVE[name]
    good = KNOWN[vector["from"]]
    secret = secret_of(good) | {"api_secret": vector["verify"]["secret"]}
    report = explained(LIVEKIT, vector["token"], LIVEKIT.check_credentials(secret), vector["now"])
    assert_refused_for(report, ABOUT[vector["why"]])


RIGHTS: dict[str, dict[str, Any]] = {
    "viewer": {"canPublish": False, "canSubscribe": True, "canPublishData": False},
    "speaker": {"canPublish": True, "canSubscribe": True, "canPublishData": True, "canPublishSources": ["microphone"]},
    "participant": {"canPublish": True, "canSubscribe": True, "canPublishData": True},
    "moderator": {"canPublish": True, "canSubscribe": True, "canPublishData": True, "roomAdmin": True},
    "observer": {"canPublish": False, "canSubscribe": True, "canPublishData": False, "hidden": True},
}


@pytest.mark.parametrize("role", RIGHTS)
def test_each_role_has_its_rights_and_all_are_written(role: str) -> None:
    body = {"room_id": "show", "role": role, "user_id": "ada", "display_name": "Ada"}
    _, claims = opened(minted(LIVEKIT, SECRET, body, at=NOW).token, SECRET["api_secret"])
    assert_same(
        claims,
        {
            "iss": SECRET["api_key"],
            "sub": "ada",
            "name": "Ada",
            "nbf": NOW,
            "exp": NOW + 600,
            "video": {"roomJoin": True, "room": "show"} | WRITTEN_OUT | RIGHTS[role],
        },
    )


@pytest.mark.parametrize(
    ("body", "grants"),
    [
        ({}, {"video": {"roomCreate": True, "roomList": True, "roomAdmin": True}}),
        (
            {"role": "rooms", "room_id": "show"},
            {"video": {"roomCreate": False, "roomList": False, "roomAdmin": True, "room": "show"}},
        ),
        ({"role": "egress"}, {"video": {"roomRecord": True}}),
        ({"role": "ingress"}, {"video": {"ingressAdmin": True}}),
        ({"role": "sip"}, {"sip": {"admin": True, "call": True}}),
    ],
)
def test_a_server_gets_the_rights_of_its_role(body: dict[str, Any], grants: dict[str, Any]) -> None:
    _, claims = opened(minted(LIVEKIT, SECRET, body, at=NOW, kind="management").token, SECRET["api_secret"])
    assert_same(claims, {"iss": SECRET["api_key"], "nbf": NOW, "exp": NOW + 900} | grants)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"video": {"roomJoin": True, "room": "r"}}, "canPublish is absent"),
        ({"video": {"roomJoin": True, "room": "r", "roomCreate": True}}, "video.roomCreate"),
        ({"kind": "agent"}, "kind"),
        ({"inference": {"perform": True}}, "inference"),
    ],
)
def test_tokens_that_are_too_wide_for_a_participant_are_warned_of(change: dict[str, Any], warning: str) -> None:
    _, good = opened(
        minted(LIVEKIT, SECRET, {"room_id": "r", "role": "viewer", "user_id": "u"}, at=NOW).token, SECRET["api_secret"]
    )
    token = signed(good | change, SECRET["api_secret"])
    report = explained(LIVEKIT, token, LIVEKIT.check_credentials(SECRET), NOW)
    assert any(warning in found for found in report.warnings), report.warnings


CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "nbf", "exp", "video", "sip", "name", "metadata"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.none()),
)


@given(
    CLAIMS,
    st.dictionaries(
        st.sampled_from(["roomJoin", "room", "canPublish", "canPublishSources"]), st.none() | st.booleans() | st.text()
    ),
)
def test_explaining_never_fails_and_accepts_no_join_without_room_and_identity(
    claims: dict[str, Any], video: dict[str, Any]
) -> None:
    token = signed({"iss": SECRET["api_key"], "video": video, "exp": NOW + 60} | claims, SECRET["api_secret"])
    report = LIVEKIT.explain(token, LIVEKIT.check_credentials(SECRET), NOW)
    assert (report is None) is not any(
        isinstance(grant, dict) for grant in (claims.get("video", video), claims.get("sip"))
    )
    if report and not report.problems and "video" not in claims and video.get("roomJoin"):
        assert claims["sub"]
        assert video["room"]
