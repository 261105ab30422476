"""Whiteboard tokens: those of the vendor's own package are reproduced; forged and damaged ones are refused."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roomkey import minting, token_requests
from roomkey.errors import InvalidRequest
from roomkey.minting import MintedToken
from roomkey.platforms.agora_whiteboard import AgoraWhiteboard, pack, unpack
from roomkey.platforms.base import Grant, MintContext, Randomness, Signature, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.settings import DEFAULT_LIFETIMES

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
WHITEBOARD = AgoraWhiteboard()
KEYS = Credentials({"access_key": "9b281f2bee03d346", "secret_key": "ELPPZUl6J5e1D8xYIgUxmNyzQn2jxNYm"})
ROOM = "534c08ca3f52a55f27bb471e3eccb305"
NONCE = UUID("4a721344-b208-12a4-8477-0a572af19ac6")
NOW = 1700000000.75
PREFIXES = {"room": "NETLESSROOM_", "sdk": "NETLESSSDK_", "task": "NETLESSTASK_"}
NUMBERS = {"admin": "0", "writer": "1", "reader": "2"}
REFUSED = " (401 Unauthorized: the token is incorrect)"


def vectors(name: str) -> dict[str, dict[str, Any]]:
    document = json.loads((Path(__file__).parent / "vectors" / name).read_text())
    return {vector["id"]: vector for vector in document["vectors"]}


GOOD = vectors("whiteboard.json")
NEGATIVE = vectors("negative_whiteboard.json")


def keys_of(vector: dict[str, Any]) -> Credentials:
    return Credentials({name: vector["inputs"][name] for name in ("access_key", "secret_key")})


def mint(
    kind: TokenKind, body: dict[str, Any], at: float = NOW, keys: Credentials = KEYS, nonce: UUID = NONCE
) -> MintedToken:
    request = token_requests.parse(WHITEBOARD, kind, body, lifetimes=DEFAULT_LIFETIMES)
    lifetime = token_requests.resolve_lifetime(request, DEFAULT_LIFETIMES)
    return minting.mint(request, lifetime, keys, at=at, randomness=Randomness(uuid=lambda: str(nonce)))


def written(kind: str, query: str) -> str:
    return PREFIXES[kind] + base64.urlsafe_b64encode(query.encode()).decode().rstrip("=")


def signed(kind: str, **fields: str) -> str:
    """Return a token made without the code under test; its values need no percent-encoding."""
    message = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    sig = hmac.new(KEYS["secret_key"].encode(), message.encode(), hashlib.sha256).hexdigest()
    return written(kind, "&".join(f"{name}={value}" for name, value in {**fields, "sig": sig}.items()))


def room(**other: str | None) -> dict[str, str]:
    """Return the fields of a valid room token at `NOW`, with `other` fields; None removes one."""
    fields = {
        "ak": KEYS["access_key"],
        "expireAt": "1700003600750",
        "nonce": str(NONCE),
        "role": "2",
        "uuid": ROOM,
    }
    return {name: value for name, value in (fields | other).items() if value is not None}


def decoded(token: str, kind: str, keys: Credentials = KEYS) -> dict[str, str]:
    """Check the signature and the form without the code under test, and return the token's fields."""
    assert token.startswith(PREFIXES[kind])
    body = token.removeprefix(PREFIXES[kind])
    query = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode()
    pairs = parse_qsl(query, strict_parsing=True)
    assert pairs == sorted(pairs)
    fields = dict(pairs)
    sig = fields.pop("sig")
    message = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert sig == hmac.new(keys["secret_key"].encode(), message.encode(), hashlib.sha256).hexdigest()
    return fields


# --- what the vendor's own package mints -----------------------------------------------------------------------------


@pytest.mark.parametrize("vector", GOOD.values(), ids=GOOD)
def test_the_format_is_the_vendors_to_the_letter(vector: dict[str, Any]) -> None:
    prefix = PREFIXES[vector["kind"]]
    fields = {name: value for name, value in vector["fields"].items() if name != "sig"}
    shuffled = dict(reversed(fields.items()))
    assert pack(prefix, shuffled, vector["inputs"]["secret_key"]) == vector["token"]
    assert unpack(vector["token"].removeprefix(prefix)) == vector["fields"]


def test_encodes_as_javascript_does() -> None:
    token = pack("NETLESSTASK_", {"uuid": "-_.!~*'() /+&=%"}, "k")
    query = base64.urlsafe_b64decode(token.removeprefix("NETLESSTASK_") + "==").decode()
    assert query.partition("&uuid=")[2] == "-_.!~*'()%20%2F%2B%26%3D%25"


NEVER_EXPIRES = "never expires"
TOO_SHORT = "lives for a second or less"
LEFT_OUT = {
    "whiteboard-sdk_role0-01": NEVER_EXPIRES,
    "whiteboard-sdk_role1-01": NEVER_EXPIRES,
    "whiteboard-sdk_role2-01": NEVER_EXPIRES,
    "whiteboard-room_role0-01": NEVER_EXPIRES,
    "whiteboard-room_role1-01": NEVER_EXPIRES,
    "whiteboard-room_role2-01": NEVER_EXPIRES,
    "whiteboard-task_role0-01": NEVER_EXPIRES,
    "whiteboard-task_role1-01": NEVER_EXPIRES,
    "whiteboard-task_role2-01": NEVER_EXPIRES,
    "whiteboard-negative_lifespan-01": NEVER_EXPIRES,
    "whiteboard-numeric_role-01": TOO_SHORT,
    "whiteboard-numeric_role-03": TOO_SHORT,
    "whiteboard-lifespan-01": TOO_SHORT,
    "whiteboard-lifespan-03": "lives for a year, longer than any stack allows",
    "whiteboard-uuid_ascii_special-01": "its uuid is invalid",
    "whiteboard-uuid_ascii_special-03": "its uuid is invalid",
    "whiteboard-uuid_unicode-01": "its uuid is invalid",
    "whiteboard-no_role-01": "names no role: ours is then admin, and says so",
    "whiteboard-extra_fields-01": "is a task token, with fields of the caller's own",
}
"""The vectors that no request expresses, each with the reason. All others are reproduced."""


def reproduction(vector: dict[str, Any]) -> MintedToken:
    """Mint the vector's token at the vector's millisecond."""
    inputs = vector["inputs"]
    content = {"role": "0", **inputs["content"]}
    role = next(word for word, number in NUMBERS.items() if number == str(content["role"]))
    body = {"role": role, "expires_in": inputs["lifespan_ms"] // 1000}
    if "uuid" in content:
        body["room_id"] = content["uuid"]
    kind = MANAGEMENT if vector["kind"] == "sdk" else APP
    return mint(kind, body, inputs["now_ms"] / 1000, keys_of(vector), UUID(inputs["nonce"]))


@pytest.mark.threat("G2", "G5")
@pytest.mark.parametrize("vector", [GOOD[name] for name in GOOD if name not in LEFT_OUT], ids=lambda v: v["id"])
def test_minting_reproduces_the_tokens_of_the_vendors_package(vector: dict[str, Any]) -> None:
    assert reproduction(vector).token == vector["token"]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_only_vectors_that_no_request_expresses_are_omitted(name: str) -> None:
    try:
        token = reproduction(GOOD[name]).token
    except InvalidRequest:
        return
    assert token != GOOD[name]["token"]


@pytest.mark.parametrize("name", ["whiteboard-numeric_role-01", "whiteboard-numeric_role-03", "whiteboard-lifespan-03"])
def test_reproduces_lives_that_no_request_may_have(name: str) -> None:
    vector = GOOD[name]
    inputs = vector["inputs"]
    at = inputs["now_ms"] / 1000
    grant = Grant(
        APP if vector["kind"] == "room" else MANAGEMENT,
        int(at) + inputs["lifespan_ms"] // 1000,
        room_id=inputs["content"].get("uuid"),
        role={0: "admin", 2: "reader"}[int(inputs["content"]["role"])],
    )
    assert (
        WHITEBOARD.token(keys_of(vector), grant, MintContext(at, Randomness(uuid=lambda: inputs["nonce"])))
        == vector["token"]
    )


FOR_EVER = "it never expires: nothing but disabling its access key ends it"
ODD_UUID = "its uuid has not the vendor's form; the vendor's own packages sign such text differently"
WARNINGS = {
    **{name: (FOR_EVER,) for name, why in LEFT_OUT.items() if why == NEVER_EXPIRES},
    **{name: (ODD_UUID,) for name, why in LEFT_OUT.items() if why == "its uuid is invalid"},
    "whiteboard-no_role-01": ("it names no role",),
    "whiteboard-extra_fields-01": ("it has fields that the vendor does not know: alpha, zeta",),
}


@pytest.mark.parametrize("vector", GOOD.values(), ids=GOOD)
def test_explain_accepts_the_vendors_tokens(vector: dict[str, Any]) -> None:
    report = WHITEBOARD.explain(vector["token"], keys_of(vector), vector["inputs"]["now_ms"] / 1000)
    assert report is not None
    assert report.problems == ()
    assert report.warnings == WARNINGS.get(vector["id"], ())
    assert report.signature is Signature.VALID
    assert {**report.claims, "sig": vector["fields"]["sig"]} == vector["fields"]
    assert "sig" not in report.claims
    assert report.token_id == vector["inputs"]["nonce"]
    assert report.issued_at is None


# --- refused tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NEGATIVE.values(), ids=lambda bad: bad["why"])
def test_refuses(bad: dict[str, Any]) -> None:
    report = WHITEBOARD.explain(bad["token"], Credentials(bad["verify"]), bad["now"] / 1000)
    if bad["why"] == "prefix_unknown":
        assert report is None
    else:
        assert report is not None
        assert report.problems


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("room", {"ak": None}, "ak is missing"),
        ("room", {"ak": "9b281f2bee03d347"}, "ak is not these credentials'"),
        ("room", {"nonce": None}, "nonce is missing"),
        ("room", {"uuid": None}, "uuid is missing"),
        ("task", {"uuid": ""}, "uuid is missing"),
        ("room", {"role": None}, "role is neither 0 (admin), 1 (writer) nor 2 (reader)"),
        *(
            ("sdk", {"role": role}, "role is neither 0 (admin), 1 (writer) nor 2 (reader)")
            for role in ("", "3", "00", "admin", "-1")
        ),
        *(
            ("room", {"expireAt": at}, "expireAt is not a whole number of milliseconds")
            for at in ("", "0", "-1", "1700003600750.5", "1e15", "01700003600750", "9" * 17, "1٣")
        ),
        ("room", {"expireAt": "1700000000750"}, "expired 2023-11-14"),
        ("room", {"expireAt": "1700003600"}, "expired 1970-01-20 (expireAt in seconds?)"),
    ],
)
def test_explain_names_the_problem(kind: str, fields: dict[str, str | None], problem: str) -> None:
    token = pack(PREFIXES[kind], room(**fields), KEYS["secret_key"])
    report = WHITEBOARD.explain(token, KEYS, NOW)
    assert report is not None
    assert report.signature is Signature.VALID
    assert report.problems == (problem + REFUSED,)
    assert report.warnings == ()


def test_expires_to_the_millisecond() -> None:
    explanations = [WHITEBOARD.explain(signed("room", **room()), KEYS, at) for at in (1700003600.749, 1700003600.75)]
    assert [one.problems for one in explanations if one] == [(), ("expired 2023-11-14" + REFUSED,)]
    assert [one.content for one in explanations if one] == [Grant(APP, 1700003600, ROOM, "reader")] * 2


def test_the_order_of_the_query_does_not_matter_and_anything_else_does() -> None:
    good = signed("room", **room())
    query = base64.urlsafe_b64decode(good.removeprefix("NETLESSROOM_") + "==").decode()
    backwards = written("room", "&".join(reversed(query.split("&"))))
    report = WHITEBOARD.explain(backwards, KEYS, NOW)
    assert backwards != good
    assert report is not None
    assert report.problems == report.warnings == ()
    malformed = (
        "NETLESSROOM_",
        good + "=",
        good.replace("NETLESSROOM_", "NETLESSROOM_\n"),
        good + "é",
        written("room", query + "&role=0"),
        written("room", query + "&"),
        written("room", query + "&flag"),
        written("room", query.replace("-", "%2D")),
        written("room", query.replace(ROOM, ROOM + "+")),
        written("room", query.replace(ROOM, ROOM + "%ff")),
        written("room", query.replace(ROOM, ROOM + "%2f")),
        written("room", query.replace(ROOM, ROOM + "é")),
    )
    for token in malformed:
        report = WHITEBOARD.explain(token, KEYS, NOW)
        assert report is not None
        assert report.signature is not Signature.VALID
        assert report.problems
        assert report.problems[0].startswith(("what follows the prefix is not", "it is cut short or damaged"))


def test_a_signature_in_capitals_is_invalid() -> None:
    query = base64.urlsafe_b64decode(signed("room", **room()).removeprefix("NETLESSROOM_") + "==").decode()
    sig = dict(parse_qsl(query))["sig"]
    report = WHITEBOARD.explain(written("room", query.replace(sig, sig.upper())), KEYS, NOW)
    assert report is not None
    assert report.signature is Signature.INVALID


# --- minting ---------------------------------------------------------------------------------------------------------


@pytest.mark.threat("F6", "G2")
def test_a_room_token_has_exactly_these_claims() -> None:
    minted = mint(APP, {"room_id": ROOM, "role": "writer"})
    assert decoded(minted.token, "room") == {
        "ak": KEYS["access_key"],
        "nonce": str(NONCE),
        "role": "1",
        "expireAt": "1700003600750",
        "uuid": ROOM,
    }
    assert minted.token_id == str(NONCE)
    assert minted.grant == Grant(APP, 1700003600, ROOM, "writer")


@pytest.mark.threat("F6", "G2")
def test_a_management_token_has_exactly_these_claims_and_is_sent_as_token() -> None:
    minted = mint(MANAGEMENT, {"role": "reader"})
    assert decoded(minted.token, "sdk") == {
        "ak": KEYS["access_key"],
        "nonce": str(NONCE),
        "role": "2",
        "expireAt": "1700000900750",
    }
    assert WHITEBOARD.auth_header == ("token", "")


def test_a_management_token_has_the_admin_role_by_default() -> None:
    minted = mint(MANAGEMENT, {})
    assert minted.grant.role == "admin"
    assert decoded(minted.token, "sdk")["role"] == "0"


@given(st.integers(1_000_000_000_000, 9_999_999_999_999), st.integers(60, 86400))
def test_counts_milliseconds_exactly(now_ms: int, lifetime: int) -> None:
    minted = mint(MANAGEMENT, {"role": "admin", "expires_in": lifetime}, at=now_ms / 1000)
    assert int(decoded(minted.token, "sdk")["expireAt"]) == now_ms + lifetime * 1000
    assert minted.grant.expires_at == now_ms // 1000 + lifetime


@given(st.floats(1e9, 1e10), st.integers(60, 86400))
@example(1700000000.9999, 60)
def test_at_any_moment_a_token_expires_in_the_second_of_the_response(at: float, lifetime: int) -> None:
    minted = mint(MANAGEMENT, {"role": "admin", "expires_in": lifetime}, at=at)
    expires_ms = int(decoded(minted.token, "sdk")["expireAt"])
    assert expires_ms // 1000 == minted.grant.expires_at == int(at) + lifetime
    assert abs(expires_ms / 1000 - lifetime - at) < 0.001


@pytest.mark.parametrize(
    "room_id",
    [ROOM.upper(), ROOM[1:], ROOM[2:], ROOM + "0", f"{ROOM}\n", f"{{{NONCE}}}", NONCE.urn, f"{NONCE}"[:-1], "room-1"],
)
def test_a_room_is_named_by_its_uuid_alone(room_id: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        mint(APP, {"room_id": room_id, "role": "reader"})
    assert [error.field for error in refusal.value.errors] == ["room_id"]


def sent(name: str, good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A field of a request: (name, value, whether it is valid). None removes a valid value."""
    return good.map(lambda value: (name, value, True)) | bad.map(lambda value: (name, value, False))


# --- credentials -----------------------------------------------------------------------------------------------------
