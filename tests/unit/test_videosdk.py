"""VideoSDK tokens: those of its own SDK are reproduced and explained; forged and damaged ones are refused."""

import base64
import hashlib
import hmac
import itertools
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from roomkey import minting, token_requests
from roomkey.errors import InvalidRequest
from roomkey.minting import MintedToken
from roomkey.platforms.base import Randomness, Signature, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.platforms.videosdk import VideoSdk
from roomkey.settings import DEFAULT_LIFETIMES

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
VIDEOSDK = VideoSdk()
KEYS = Credentials({"api_key": "c5ccedaa-1fe7-4ba6-80c3-3a2f4343a7c4", "secret": "c9795fffbc0c3c70" * 4})
NOW = 1700000000.75
PERSON = UUID("1b4e28ba-2fa1-41d2-883f-0016d3cca427")


def vectors(name: str) -> dict[str, dict[str, Any]]:
    document = json.loads((Path(__file__).parent / "vectors" / name).read_text())
    return {vector["id"]: vector for vector in document["vectors"]}


GOOD = vectors("videosdk.json")
NEGATIVE = vectors("negative_videosdk.json")


def keys_of(vector: dict[str, Any]) -> Credentials:
    return Credentials({name: vector["inputs"][name] for name in ("api_key", "secret")})


def mint(kind: TokenKind, body: dict[str, Any], at: float = NOW, keys: Credentials = KEYS) -> MintedToken:
    request = token_requests.parse(VIDEOSDK, kind, body, lifetimes=DEFAULT_LIFETIMES)
    lifetime = token_requests.resolve_lifetime(request, DEFAULT_LIFETIMES)
    return minting.mint(request, lifetime, keys, at=at, randomness=Randomness(uuid=lambda: str(PERSON)))


def segment(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def signed(claims: dict[str, Any], secret: str = KEYS["secret"], header: dict[str, Any] | None = None) -> str:
    """Make a token without the code under test."""
    head = segment(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode())
    message = f"{head}.{segment(json.dumps(claims).encode())}"
    return f"{message}.{segment(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


def decoded(token: str, secret: str = KEYS["secret"]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a token without the code under test, and return header and claims."""
    head, payload, signature = token.split(".")
    assert signature == segment(hmac.digest(secret.encode(), f"{head}.{payload}".encode(), hashlib.sha256))
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, payload))
    return header, claims


def participant(**other: Any) -> dict[str, Any]:
    """Return the claims of a valid participant token at `NOW`, with `other` claims; None removes one."""
    claims = {
        "apikey": KEYS["api_key"],
        "permissions": ["allow_join"],
        "version": 2,
        "roles": ["rtc"],
        "roomId": "bmej-gdmc-dchc",
        "participantId": "p-0",
        "iat": 1699999970,
        "exp": 1700003600,
    }
    return {name: value for name, value in (claims | other).items() if value is not ...}


# --- what the vendor's own SDK mints ---------------------------------------------------------------------------------

LEFT_OUT = {
    "videosdk-api_expiry-03": "lives for seven days, longer than any stack allows",
    "videosdk-participant_default-01": "a moderator of every room, by default",
    "videosdk-participant_grants-01": "opens every room, for anybody",
    "videosdk-participant_grants-03": "opens every room, for anybody",
    "videosdk-participant_grants-05": "allow_mod without allow_join does not admit; opens every room",
    "videosdk-participant_id-01": "opens every room",
    "videosdk-participant_id-03": "opens every room",
    "videosdk-roles-01": "joins rooms and calls the REST API",
    "videosdk-custom_claims-01": "claims of the caller's own in a management token",
    "videosdk-docs_minimal-01": "opens every room and calls the REST API, for anybody",
    "videosdk-docs_minimal-03": "opens every room and calls the REST API, for anybody",
    "videosdk-docs_scoped-01": "opens its room for anybody",
    "videosdk-docs_scoped-03": "opens its room for anybody",
}
"""The vectors that no request expresses, each with the reason. All others are reproduced."""


def reproduction(vector: dict[str, Any]) -> MintedToken:
    """Mint the vector's token, 30 s after its iat: Roomkey sets iat 30 s back."""
    claims = vector["claims"]
    kind = MANAGEMENT if claims.get("roles") == ["crawler"] else APP
    body = {"expires_in": claims["exp"] - claims["iat"] - 30}
    if kind is APP:
        body["permissions"] = claims["permissions"]
        named = {"room_id": claims.get("roomId"), "user_id": claims.get("participantId")}
        body |= {name: value for name, value in named.items() if value is not None}
    return mint(kind, body, at=claims["iat"] + 30, keys=keys_of(vector))


@pytest.mark.threat("G2", "G5")
@pytest.mark.parametrize("vector", [GOOD[name] for name in GOOD if name not in LEFT_OUT], ids=lambda v: v["id"])
def test_minting_reproduces_the_tokens_of_the_vendors_sdk(vector: dict[str, Any]) -> None:
    header, claims = decoded(reproduction(vector).token, vector["inputs"]["secret"])
    assert header == vector["header"]
    assert json.dumps(claims, sort_keys=True) == json.dumps(vector["claims"], sort_keys=True)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_only_vectors_that_no_request_expresses_are_omitted(name: str) -> None:
    try:
        token = reproduction(GOOD[name]).token
    except InvalidRequest:
        return
    assert decoded(token, GOOD[name]["inputs"]["secret"])[1] != GOOD[name]["claims"]


UNLIMITED = "its roles are not limited: it joins rooms and calls the REST API"
EVERY_ROOM = "it names no roomId: it opens every room"
ANYBODY = "it names no participantId: anyone can use it"
WARNINGS = {
    "videosdk-participant_default-01": (EVERY_ROOM, ANYBODY),
    "videosdk-participant_grants-01": (EVERY_ROOM, ANYBODY),
    "videosdk-participant_grants-03": (EVERY_ROOM, ANYBODY),
    "videosdk-participant_grants-05": (
        "its permissions do not admit (allow_mod also needs allow_join)",
        EVERY_ROOM,
        ANYBODY,
    ),
    "videosdk-participant_id-01": (EVERY_ROOM,),
    "videosdk-participant_id-03": (EVERY_ROOM,),
    "videosdk-roles-01": (UNLIMITED, EVERY_ROOM, ANYBODY),
    "videosdk-custom_claims-01": ("it has claims that VideoSDK does not know: plan",),
    "videosdk-docs_minimal-01": (
        UNLIMITED,
        EVERY_ROOM,
        ANYBODY,
        "it has no version: the REST API's version 2 refuses it",
    ),
    "videosdk-docs_minimal-03": (
        UNLIMITED,
        EVERY_ROOM,
        ANYBODY,
        "it has no version: the REST API's version 2 refuses it",
    ),
    "videosdk-docs_scoped-01": (ANYBODY,),
    "videosdk-docs_scoped-03": (ANYBODY,),
}


@pytest.mark.parametrize("vector", GOOD.values(), ids=GOOD)
def test_explain_accepts_the_vendors_tokens(vector: dict[str, Any]) -> None:
    report = VIDEOSDK.explain(vector["token"], keys_of(vector), vector["inputs"]["now"])
    assert report is not None
    assert report.problems == ()
    assert report.warnings == WARNINGS.get(vector["id"], ())
    assert report.signature is Signature.VALID
    assert report.claims == vector["claims"]
    assert report.issued_at == vector["claims"]["iat"]
    assert report.token_id is None


# --- refused tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NEGATIVE.values(), ids=lambda bad: bad["why"])
def test_refuses(bad: dict[str, Any]) -> None:
    keys = Credentials({"api_key": GOOD[bad["from"]]["inputs"]["api_key"], "secret": bad["verify"]["secret"]})
    report = VIDEOSDK.explain(bad["token"], keys, bad["now"])
    assert report is not None
    assert report.problems


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"apikey": ...}, "apikey is missing or not a string (4001 INVALID_API_KEY)"),
        ({"apikey": "24f0cc83-775d-4edf-88ad-d473d61a6779"}, "apikey is not these credentials' (4001 INVALID_API_KEY)"),
        (
            {"permissions": ["ask_join", "allow_join"]},
            "permissions has ask_join beside others; it works alone (4008 INVALID_PERMISSIONS)",
        ),
        *(
            (
                {"permissions": permissions},
                "permissions is not a list of ask_join, allow_join and allow_mod (4008 INVALID_PERMISSIONS)",
            )
            for permissions in (..., [], "allow_join", ["allow_all"], [["allow_join"]], None)
        ),
        *(
            ({"roles": roles}, "roles is not a list of rtc and crawler (4024 UNAUTHORIZED_ROLE)")
            for roles in ([], "rtc", ["admin"], [{}], None)
        ),
        *(
            ({"roomId": room}, "roomId is not a string with something in it (4003 INVALID_MEETING_ID)")
            for room in (None, "", 7)
        ),
        *(
            ({"participantId": one}, "participantId is not a string with something in it (4004 INVALID_PARTICIPANT_ID)")
            for one in (None, "", 7)
        ),
        *(
            (
                {"version": version},
                "version is not the number 2 (4002 INVALID_TOKEN: Token is invalid or expired)",
            )
            for version in (..., "2", True, 2.0, 1, None)
        ),
        ({"exp": ...}, "exp is missing (4002 INVALID_TOKEN: Token is invalid or expired)"),
        ({"exp": 1700000000}, "expired 2023-11-14 (4002 INVALID_TOKEN: Token is invalid or expired)"),
    ],
)
def test_explain_names_the_problem_as_the_vendor_does(claims: dict[str, Any], problem: str) -> None:
    report = VIDEOSDK.explain(signed(participant(**claims)), KEYS, NOW)
    assert report is not None
    assert report.problems == (problem,)
    assert report.warnings == ()


@pytest.mark.threat("G1")
@pytest.mark.parametrize("algorithm", ["none", "HS512", "hs256"])
def test_takes_no_other_algorithm_even_unchecked(algorithm: str) -> None:
    report = VIDEOSDK.explain(signed(participant(), header={"alg": algorithm}), None, NOW)
    assert report is not None
    assert report.signature is Signature.UNCHECKED
    assert report.problems == ("the header's alg is not HS256 (4002 INVALID_TOKEN: Token is invalid or expired)",)


def test_a_time_that_is_not_a_number_is_not_the_time_of_issue() -> None:
    report = VIDEOSDK.explain(signed(participant(iat="1699999970")), KEYS, NOW)
    assert report is not None
    assert report.issued_at is None
    assert report.problems == ("iat is not a number of seconds (4002 INVALID_TOKEN: Token is invalid or expired)",)


# --- minting ---------------------------------------------------------------------------------------------------------


@pytest.mark.threat("F6", "G2", "G7")
def test_an_app_token_has_exactly_these_claims() -> None:
    minted = mint(APP, {"room_id": "bmej-gdmc-dchc", "user_id": "p-0", "role": "participant"})
    assert decoded(minted.token) == (
        {"alg": "HS256", "typ": "JWT"},
        {
            "apikey": KEYS["api_key"],
            "permissions": ["allow_join"],
            "version": 2,
            "roles": ["rtc"],
            "roomId": "bmej-gdmc-dchc",
            "participantId": "p-0",
            "iat": 1699999970,
            "exp": 1700003600,
        },
    )
    assert minted.token_id is None


@pytest.mark.threat("F6", "G2", "G7")
def test_a_management_token_has_exactly_these_claims_and_is_sent_without_a_prefix() -> None:
    minted = mint(MANAGEMENT, {})
    assert decoded(minted.token)[1] == {
        "apikey": KEYS["api_key"],
        "permissions": ["allow_join", "allow_mod"],
        "version": 2,
        "roles": ["crawler"],
        "iat": 1699999970,
        "exp": 1700000900,
    }
    assert VIDEOSDK.auth_header == ("Authorization", "")


ROLES = {"guest": {"ask_join"}, "participant": {"allow_join"}, "moderator": {"allow_join", "allow_mod"}}
WORDS = ("ask_join", "allow_join", "allow_mod")


@pytest.mark.parametrize(
    "listed", [list(one) for size in range(4) for one in itertools.product((*WORDS, "allow_all"), repeat=size)]
)
def test_only_the_three_sets_of_permissions_are_a_role(listed: list[str]) -> None:
    body = {"room_id": "bmej-gdmc-dchc", "permissions": listed}
    role = next((role for role, words in ROLES.items() if set(listed) == words and len(listed) == len(words)), None)
    if role is None:
        with pytest.raises(InvalidRequest) as refusal:
            mint(APP, body)
        assert [error.field for error in refusal.value.errors] == ["permissions"]
    else:
        minted = mint(APP, body)
        assert minted.grant.role == role
        assert set(decoded(minted.token)[1]["permissions"]) == ROLES[role]


def sent(name: str, good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A field of a request: (name, value, whether it is valid). None removes a valid value."""
    return good.map(lambda value: (name, value, True)) | bad.map(lambda value: (name, value, False))


# --- credentials -----------------------------------------------------------------------------------------------------
