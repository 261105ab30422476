"""100ms: known answers, tokens that its vendor would refuse, and tokens that its web client can read.

The vectors come from the vendor's own server SDK (`hms.json`), the recipe of its documentation
(`hms_docs_style.json`), ids that its web client cannot read (`hms_client_hostile.json`), and damaged tokens
(`negative_hms.json`). Each file names its source."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from roomkey.minting import MintedToken, mint
from roomkey.platforms.base import Grant, MintContext, Randomness, Signature, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.platforms.fields import check_id, check_role
from roomkey.platforms.hms import Hms
from roomkey.token_requests import TokenRequest

HMS = Hms()
DAY = 86400


def _vectors(name: str) -> dict[str, dict[str, Any]]:
    text = (Path(__file__).parent / "vectors" / f"{name}.json").read_text()
    return {vector["id"]: vector for vector in json.loads(text)["vectors"]}


def _claims_of(vector: Mapping[str, Any]) -> dict[str, Any]:
    return dict(vector["expect"].get("claims") or vector["inputs"]["claims"])


SDK, DOCS, HOSTILE = _vectors("hms"), _vectors("hms_docs_style"), _vectors("hms_client_hostile")
GOOD = {**SDK, **DOCS, **HOSTILE}

NOT_EXPRESSIBLE = {
    "hms-app_no_user-01": "an app token is always for a user",
    "hms-app_no_user-03": "an app token is always for a user",
    "hms-app_nbf-01": "iat and nbf are one moment",
    "hms-app_iat_nbf-01": "iat and nbf are one moment",
    "hms-mgmt_iat_nbf-01": "iat and nbf are one moment",
}


def _expressible(vector: Mapping[str, Any]) -> bool:
    claims = _claims_of(vector)
    return claims["iat"] == claims["nbf"] and (claims["type"] == "management" or "user_id" in claims)


def _credentials(vector: Mapping[str, Any]) -> Credentials:
    return HMS.check_credentials(
        {"app_access_key": _claims_of(vector)["access_key"], "app_secret": vector["inputs"]["secret"]}
    )


def _minted(claims: Mapping[str, Any], credentials: Credentials) -> MintedToken:
    """Mint a token with `claims` as every token is minted and verified."""
    at = claims["iat"] + 30
    for name, check in {"room_id": check_id, "user_id": check_id, "role": check_role}.items():
        assert name not in claims or check(claims[name]) == claims[name]
    return mint(
        TokenRequest(
            HMS,
            TokenKind(claims["type"]),
            room_id=claims.get("room_id"),
            role=claims.get("role"),
            user_id=claims.get("user_id"),
        ),
        claims["exp"] - at,
        credentials,
        at=at + 0.75,
        randomness=Randomness(uuid=lambda: claims["jti"]),
    )


def opened(token: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a token with the standard library and `key`, and return header and claims."""
    signed, _, signature = token.rpartition(".")
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == signature
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in signed.split("."))
    return header, claims


def test_the_omitted_vectors_are_exactly_those_that_no_request_expresses() -> None:
    assert {name for name, vector in GOOD.items() if not _expressible(vector)} == set(NOT_EXPRESSIBLE)
    assert len(GOOD) == 31
    assert {one["expect"]["plain_has_base64url_specials"] for one in HOSTILE.values()} == {True, False}


@pytest.mark.threat("G2", "G5")
@pytest.mark.parametrize("name", [name for name, vector in GOOD.items() if _expressible(vector)])
def test_known_answers_claim_for_claim(name: str) -> None:
    vector = GOOD[name]
    expected, credentials = _claims_of(vector), _credentials(vector)
    minted = _minted(expected, credentials)

    header, claims = opened(minted.token, vector["inputs"]["secret"])
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims == expected
    assert {key: type(value) for key, value in claims.items()} == {key: type(value) for key, value in expected.items()}
    assert re.fullmatch("[A-Za-z0-9]+", minted.token.split(".")[1])
    assert minted.token_id == expected["jti"]
    assert minted.grant.expires_at == expected["exp"]


@pytest.mark.parametrize("name", [name for name, vector in {**SDK, **DOCS}.items() if "token" in vector["expect"]])
def test_tokens_of_the_vendors_own_tools_are_understood(name: str) -> None:
    vector = GOOD[name]
    claims = _claims_of(vector)
    report = HMS.explain(vector["expect"]["token"], _credentials(vector), at=claims["nbf"])
    assert report is not None
    assert (report.problems, report.signature, report.claims) == ((), Signature.VALID, claims)
    assert report.token_id == claims["jti"]
    assert report.content == Grant(
        TokenKind(claims["type"]),
        claims["exp"],
        room_id=claims.get("room_id"),
        role=claims.get("role"),
        user_id=claims.get("user_id"),
    )
    hostile = "-" in vector["expect"]["token"].split(".")[1] or "_" in vector["expect"]["token"].split(".")[1]
    raw = vector["expect"].get("payload_json", "")
    assert bool(report.warnings) is (hostile or not raw.isascii())


@pytest.mark.parametrize("name", HOSTILE)
def test_tokens_that_the_web_client_chokes_on_are_warned_of(name: str) -> None:
    vector = HOSTILE[name]
    at = _claims_of(vector)["nbf"]
    plain = HMS.explain(vector["expect"]["token_plain"], _credentials(vector), at)
    assert plain is not None
    assert plain.problems == ()
    hostile = vector["expect"]["plain_has_base64url_specials"] or vector["expect"]["plain_is_non_ascii"]
    assert bool(plain.warnings) is hostile


# --- tokens that the vendor would refuse ---------------------------------------------------------------------------

NEGATIVE = _vectors("negative_hms")
ABOUT = {  # The text that each refusal must contain: a token must be refused for its own damage.
    "payload_changed_signature_kept": "signature",
    "signature_bit_flipped": "signature",
    "signature_removed": "signature",
    "alg_none": "alg",
    "alg_hs512": "alg",
    "wrong_secret": "signature",
    "version_string": "version",
    "version_1": "version",
    "type_wrong": "type",
    "type_missing": "type",
    "no_access_key": "access_key",
    "no_room_id": "room_id",
    "room_id_number": "room_id",
    "no_role": "role",
    "user_id_null": "user_id",
    "user_id_number": "user_id",
    "no_jti": "jti",
    "exp_string": "exp",
    "iat_milliseconds": "iat",
    "over_90_days": "lives longer",
    "exp_before_nbf": "expires before",
    "no_exp": "exp",
    "expired": "expired",
    "before_nbf": "nbf",
}


ACCEPTED = {"exp_float": "RFC 7519 allows it", "no_nbf": "100ms issues such tokens itself"}
"""Damage that the vendor accepts. Roomkey's own tokens never have it."""


@pytest.mark.parametrize("name", [name for name, vector in NEGATIVE.items() if vector["why"] in ABOUT])
def test_a_token_that_the_vendor_would_refuse_is_refused_with_the_same_reason(name: str) -> None:
    vector = NEGATIVE[name]
    good = GOOD[vector["from"]]
    credentials = _credentials({**good, "inputs": {**good["inputs"], "secret": vector["verify"]["secret"]}})
    report = HMS.explain(vector["token"], credentials, vector["now"])
    assert report is not None
    assert any(ABOUT[vector["why"]] in problem for problem in report.problems)
    if ABOUT[vector["why"]] not in ("signature", "alg"):
        assert report.signature is Signature.VALID, "the test is about a token whose signature holds"


def test_there_is_a_vector_for_every_reason() -> None:
    assert {vector["why"] for vector in NEGATIVE.values()} == ABOUT.keys() | ACCEPTED.keys()
    assert len(NEGATIVE) == 37


ACCESS_KEY, SECRET = "5f1e3a7c9d2b4860af13c5e7", "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"
CREDENTIALS = HMS.check_credentials({"app_access_key": ACCESS_KEY, "app_secret": SECRET})
NOW = 1_800_000_000
TOKEN_ID = UUID("8e1f3c52-9d47-4b1a-a0c6-2f7d5e9b3a10")
IMPRINT = MintContext(minted_at=NOW + 0.5, randomness=Randomness(uuid=lambda: str(TOKEN_ID)))


def _app_token(room_id: str = "physics", role: str = "guest", user_id: str = "ada") -> str:
    grant = Grant(TokenKind.APP, NOW + 3600, room_id=room_id, role=role, user_id=user_id)
    return HMS.token(CREDENTIALS, grant, IMPRINT)


def problems(token: str, at: float = NOW, credentials: Credentials | None = CREDENTIALS) -> tuple[str, ...]:
    report = HMS.explain(token, credentials, at)
    assert report is not None
    return report.problems


@pytest.mark.threat("F6", "G2", "G7")
def test_claims_are_exactly_those_of_each_kind() -> None:
    _, app = opened(_app_token(), SECRET)
    assert app == {
        "access_key": ACCESS_KEY,
        "type": "app",
        "version": 2,
        "room_id": "physics",
        "role": "guest",
        "user_id": "ada",
        "jti": str(TOKEN_ID),
        "iat": NOW - 30,
        "nbf": NOW - 30,
        "exp": NOW + 3600,
    }
    token = HMS.token(CREDENTIALS, Grant(TokenKind.MANAGEMENT, NOW + 900), IMPRINT)
    _, management = opened(token, SECRET)
    assert management == {
        "access_key": ACCESS_KEY,
        "type": "management",
        "version": 2,
        "jti": str(TOKEN_ID),
        "iat": NOW - 30,
        "nbf": NOW - 30,
        "exp": NOW + 900,
    }


@pytest.mark.threat("C10")
@pytest.mark.parametrize(
    ("at", "good"),
    [(NOW - 31, False), (NOW - 30, True), (NOW - 29, True), (NOW + 3599.9, True), (NOW + 3600, False)],
    ids=["before", "C10-half-a-minute-behind", "C10-29-seconds-behind", "last-moment", "expired"],
)
def test_when_a_token_is_good(at: float, good: bool) -> None:
    assert (problems(_app_token(), at) == ()) is good


def test_credentials_of_another_workspace_are_distinguished() -> None:
    others = HMS.check_credentials({"app_access_key": "0123456789abcdef01234567", "app_secret": SECRET})
    assert [problem for problem in problems(_app_token(), credentials=others) if "access_key" in problem]


def test_claims_that_100ms_does_not_know_are_warned_of() -> None:
    grant = Grant(TokenKind.APP, NOW + 3600, room_id="physics", role="guest", user_id="ada")
    header, payload, _ = HMS.token(CREDENTIALS, grant, IMPRINT).split(".")
    claims = {**json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))), "color": "red"}
    report = HMS.explain(_signed(header, claims), CREDENTIALS, NOW)
    assert report is not None
    assert report.problems == ()
    assert [warning for warning in report.warnings if "color" in warning]


def _signed(header: str, claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    digest = hmac.digest(SECRET.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
    return f"{header}.{payload}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


# --- tokens that the web client can read ---------------------------------------------------------------------------

_HOSTILE = st.text(st.sampled_from(">?~\u00ff\u00bf\u0fff\U0001f3a5ab/+-_\"\\'<&\u2026\u3000\u0301"), max_size=24)
_IDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")), max_size=60)


def _passes(check: Any, value: str) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


@given(_HOSTILE | _IDS, _HOSTILE | _IDS, _HOSTILE | _IDS)
@example("~~~", "???", ">>>")
@example("a~", "ab~", "abc~")
@example("\u00ff\u00ff\u00ff", "h\u00f4te", "\U0001f3a5\U0001f3a5")
def test_atob_reads_every_token_for_any_ids(room_id: str, role: str, user_id: str) -> None:
    assume(_passes(check_id, room_id) and _passes(check_role, role) and _passes(check_id, user_id))
    token = _app_token(room_id, role, user_id)
    segment = token.split(".")[1]
    assert re.fullmatch("[A-Za-z0-9]+", segment)
    payload = base64.b64decode(segment + "=" * (-len(segment) % 4)).decode("ascii")
    assert json.loads(payload)["room_id"] == room_id
    _, claims = opened(token, SECRET)
    assert (claims["room_id"], claims["role"], claims["user_id"]) == (room_id, role, user_id)
    assert problems(token) == ()


@pytest.mark.threat("G3", "G4")
@given(st.integers(0, 2**40), st.integers(60, 90 * DAY - 30), st.floats(0, 0.999))
@example(2**31 - 1, 3600, 0.999)
@example(253402300799, 60, 0.0)
def test_times_are_whole_seconds_in_order(minted_at: int, lifetime: int, fraction: float) -> None:
    assume(minted_at >= 30)
    context = MintContext(minted_at + fraction, Randomness())
    grant = Grant(TokenKind.MANAGEMENT, int(context.minted_at) + lifetime)
    token = HMS.token(CREDENTIALS, grant, context)
    _, claims = opened(token, SECRET)
    assert claims["iat"] == claims["nbf"] == int(context.minted_at) - 30
    assert claims["exp"] == int(context.minted_at) + lifetime
    assert {type(claims[name]) for name in ("iat", "nbf", "exp")} == {int}
    assert problems(token, at=context.minted_at) == ()
