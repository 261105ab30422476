"""JSON Web Tokens signed with HMAC-SHA256: keys, headers, signatures and times, each checked without the library."""

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.platforms import hs256
from roomkey.platforms.base import Signature, expired
from roomkey.platforms.credentials import Credentials, InvalidCredentials

KEY = "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"
NOW = 1_800_000_000
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def signature(signed: str, key: str = KEY, digest: Any = hashlib.sha256) -> str:
    return encoded(hmac.digest(key.encode(), signed.encode(), digest))


def token_of(claims: object, header: object = HEADER, key: str = KEY, digest: Any = hashlib.sha256) -> str:
    """Make a token with the standard library alone."""
    return token_of_text(json.dumps(header), json.dumps(claims), key, digest)


def token_of_text(header: str, claims: str, key: str = KEY, digest: Any = hashlib.sha256) -> str:
    signed = f"{encoded(header.encode())}.{encoded(claims.encode())}"
    return f"{signed}.{signature(signed, key, digest)}"


_CLAIMS = st.dictionaries(st.text().filter("iss".__ne__), st.text() | st.integers() | st.booleans() | st.none())


# --- signing -------------------------------------------------------------------------------------------------------


@pytest.mark.threat("G5")
@given(
    _CLAIMS,
    st.text(min_size=32, max_size=64).filter(lambda key: "\x00" not in key and "-" not in key and "{" not in key),
)
def test_a_signature_is_the_hmac_of_the_first_two_parts(claims: dict[str, Any], key: str) -> None:
    token = hs256.sign(claims, key)

    header, payload, signed = token.split(".")
    assert signed == signature(f"{header}.{payload}", key)
    assert json.loads(decoded(payload)) == claims
    assert json.loads(decoded(header)) == HEADER
    assert token == jwt.PyJWS().encode(decoded(payload), key, algorithm="HS256")


@pytest.mark.threat("G1")
def test_the_header_has_alg_and_typ_and_no_claim() -> None:
    token = hs256.sign({"alg": "none", "kid": "x", "header": {"alg": "none"}, "typ": "at+jwt"}, KEY)
    assert json.loads(decoded(token.split(".")[0])) == HEADER


@pytest.mark.threat("A14")
@pytest.mark.parametrize("key", ["", "k", "k" * 31, "\u00e9" * 15, "\u00e9" * 15 + "k"])
def test_a_key_shorter_than_the_hash_signs_nothing(key: str) -> None:
    assert len(key.encode()) < 32
    with pytest.raises(jwt.InvalidKeyError):
        hs256.sign({}, key)


@pytest.mark.parametrize("key", ["k" * 32, "\u00e9" * 16, "0123456789abcdef" * 2, "YzJm" * 8])
def test_a_key_is_its_utf8_bytes_and_never_decoded(key: str) -> None:
    signed, _, made = hs256.sign({"a": 1}, key).rpartition(".")
    assert made == signature(signed, key)


@given(st.text(st.sampled_from('>?~\x7f\u00ff\u00e9\U0001f3a5a"\\\n'), max_size=12), st.integers(0, 3))
def test_the_payload_is_plain_base64_of_ascii(text: str, shift: int) -> None:
    segment = hs256.sign({"k" * shift: text, text: [text, {"nested": text}]}, KEY).split(".")[1]
    assert re.fullmatch("[A-Za-z0-9]+", segment)
    payload = decoded(segment)
    assert payload.isascii()
    assert json.loads(payload) == {"k" * shift: text, text: [text, {"nested": text}]}


PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"


@pytest.mark.threat("A14", "A15", "G6")
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(PEM, id="A15-pem"),
        pytest.param("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 me@here", id="A15-ssh"),
        pytest.param(json.dumps({"kty": "oct", "k": KEY}), id="A15-jwk"),
        pytest.param("short", id="A14-short"),
        pytest.param("", id="A14-empty"),
    ],
)
def test_a_key_of_another_kind_is_named_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidCredentials) as caught:
        hs256.check_key("secret", Credentials({"secret": key}))
    assert caught.value.problems == ("secret: is not a key for HMAC-SHA256",)


def test_a_key_that_can_sign_passes() -> None:
    hs256.check_key("secret", Credentials({"secret": KEY}))


# --- reading -------------------------------------------------------------------------------------------------------


@given(_CLAIMS)
def test_signed_claims_are_read_back(claims: dict[str, Any]) -> None:
    read = hs256.read(hs256.sign(claims, KEY), KEY)
    assert read is not None
    assert (read.header, read.claims, read.signature) == (HEADER, claims, Signature.VALID)


def test_a_signature_is_valid_for_its_key_only_and_unchecked_without_one() -> None:
    token = token_of({"a": 1})
    states = [read.signature for key in (KEY, KEY + "x", None) if (read := hs256.read(token, key))]
    assert states == [Signature.VALID, Signature.INVALID, Signature.UNCHECKED]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_change_of_one_character_anywhere_is_noticed(part: int) -> None:
    segments = token_of({"room_id": "physics", "role": "guest"}).split(".")
    for at in range(len(segments[part]) - 1):  # The low bits of the last character may be unused.
        changed = segments.copy()
        other = "A" if changed[part][at] != "A" else "B"
        changed[part] = changed[part][:at] + other + changed[part][at + 1 :]
        read = hs256.read(".".join(changed), KEY)
        assert read is None or read.signature in (Signature.INVALID, Signature.IMPOSSIBLE)


@pytest.mark.threat("G1")
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(token_of({"a": 1}, {"alg": "none", "typ": "JWT"}).rpartition(".")[0] + ".", id="none-unsigned"),
        pytest.param(token_of({"a": 1}).rpartition(".")[0] + ".", id="signature-removed"),
        pytest.param(token_of({"a": 1}, {"alg": "HS512", "typ": "JWT"}, digest=hashlib.sha512), id="hs512"),
        pytest.param(token_of({"a": 1}, {"alg": "HS384", "typ": "JWT"}, digest=hashlib.sha384), id="hs384"),
        pytest.param(token_of({"a": 1}, key=""), id="empty-key"),
    ],
)
def test_only_hmac_sha256_with_the_key_is_valid(token: str) -> None:
    for key in (KEY, None):
        read = hs256.read(token, key)
        assert read is None or read.signature is not Signature.VALID


@pytest.mark.threat("G1")
@pytest.mark.parametrize("alg", ["none", "None", "HS512", "hs256", "RS256", "", None, 5, ["HS256"], {"alg": "HS256"}])
def test_another_algorithm_in_the_header_is_a_problem_even_with_a_valid_signature(alg: object) -> None:
    read = hs256.read(token_of({"a": 1}, {"alg": alg, "typ": "JWT"}), KEY)
    assert read is None or hs256.header_problems(read.header)


TYP = "the header's typ is not JWT"


@pytest.mark.threat("G1")
@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({}, "the header's alg is not HS256"),
        ({"typ": "JWT"}, "the header's alg is not HS256"),
        *((HEADER | {"typ": typ}, TYP) for typ in ("JWE", "", "id+jwt", None, 5, {"a": 1}, ["JWT"])),
        *((HEADER | {name: "DEF"}, f"the header has {name}, ") for name in ("crit", "b64", "enc", "zip")),
        (HEADER, None),
        (HEADER | {"typ": "jwt", "kid": "1"}, None),
        ({"alg": "HS256"}, None),
    ],
)
def test_a_header_is_plain_hs256(header: dict[str, Any], problem: str | None) -> None:
    read = hs256.read(token_of({"a": 1}, header), KEY)
    assert read is not None
    found = hs256.header_problems(read.header)
    assert found == [] if problem is None else len(found) == 1 and found[0].startswith(problem)


DUPLICATE, NOT_JSON = "contain a duplicate key", "contain NaN or Infinity, which are not JSON"


@pytest.mark.parametrize(
    ("header", "claims", "flaw"),
    [
        (json.dumps(HEADER), '{"exp": 1, "exp": 2}', f"its claims {DUPLICATE}"),
        (json.dumps(HEADER), '{"a": [{"b": 1, "\\u0062": 1}]}', f"its claims {DUPLICATE}"),
        (json.dumps(HEADER), '{"a": -Infinity}', f"its claims {NOT_JSON}"),
        (json.dumps(HEADER), '{"a": 1e999}', None),
        ('{"alg": "none", "alg": "HS256"}', '{"a": 1}', "its header contains a duplicate key"),
        ('{"alg": "HS256", "x": NaN}', '{"a": 1}', "its header contains NaN or Infinity, which are not JSON"),
    ],
)
def test_json_that_readers_disagree_about_is_a_flaw(header: str, claims: str, flaw: str | None) -> None:
    token = token_of_text(header, claims)
    for text in (token, token.rpartition(".")[0]):
        read = hs256.read(text, KEY)
        assert read is not None
        assert read.header
        assert read.claims
        assert [found for found in read.flaws if "contain" in found] == ([flaw] if flaw else [])


def test_an_empty_header_is_readable() -> None:
    headers = [read.header for text in ("e30", "e3", "W10") if (read := hs256.read(f"{text}.eyJhIjoxfQ.", None))]
    assert headers == [{}, None, None]


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "...", "a.b", "e30.e30", "e30.e30.e30.e30", "Bearer e30.e30.e30.", "e30=.e30", "\ud800.e30."),
        token_of([1, 2]),
        token_of("text"),
        token_of(None),
        f"{encoded(b'{}')}.{encoded(bytes([0xFF, 0xFE]))}.{encoded(b'x' * 32)}",
        f"{encoded(b'{}')}.{encoded(b'{' * 50_000)}.{encoded(b'x' * 32)}",
        f"{encoded(b'{}')}.{encoded(b'[' * 50_000)}.{encoded(b'x' * 32)}",
        f"{encoded(b'{}')}.{encoded(b'9' * 5_000)}.{encoded(b'x' * 32)}",
        f"{encoded(b'{}')}.{encoded(b'{} {}')}.{encoded(b'x' * 32)}",
    ],
)  # fmt: skip
def test_other_text_is_not_a_token(token: str) -> None:
    assert hs256.read(token, KEY) is None
    assert hs256.read(token, None) is None


@pytest.mark.parametrize("header", [[], "HS256", None, 5])
@pytest.mark.parametrize("damage", ["{}", "{}\n", "{}x", "x{}", "{}="])
def test_a_damaged_token_is_read_and_never_valid(header: object, damage: str) -> None:
    for token in (damage.format(token_of({"a": 1}, header=header)), damage.format(token_of({"a": 1})) + "."):
        read = hs256.read(token, KEY)
        assert read is None or (read.flaws and read.signature is Signature.IMPOSSIBLE)


@given(st.text())
def test_reading_never_fails(token: str) -> None:
    hs256.read(token, KEY)
    hs256.read(f"{encoded(b'{}')}.{token}.e30", KEY)


# --- times ---------------------------------------------------------------------------------------------------------

GOOD = {"iat": NOW - 30, "nbf": NOW - 30, "exp": NOW + 60}


def times(claims: dict[str, Any], *, at: float = NOW, longest: int | None = None) -> list[str]:
    return hs256.time_problems(claims, at, required=("iat", "nbf", "exp"), max_validity=longest)


def test_valid_times_are_not_a_problem() -> None:
    assert times(GOOD) == []
    assert times(GOOD, at=NOW + 59.999) == []
    assert times(GOOD, at=NOW - 30) == []


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
def test_a_time_that_is_due_and_missing_is_named(name: str) -> None:
    claims = {key: value for key, value in GOOD.items() if key != name}
    assert times(claims) == [f"{name} is missing"]
    required = tuple(claims)
    assert hs256.time_problems(claims, NOW, required=required, max_validity=None) == []


@pytest.mark.threat("G3")
@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [str(NOW), True, None, [NOW], {}, float("nan"), float("inf")])
def test_a_time_is_a_number(name: str, value: object) -> None:
    assert times({**GOOD, name: value}) == [f"{name} is not a number of seconds"]


@pytest.mark.parametrize(
    ("changes", "at", "problem"),
    [
        ({}, NOW + 60, expired(NOW + 60)),
        ({}, NOW + 60.001, expired(NOW + 60)),
        ({}, NOW - 30.001, "it is not valid yet (nbf)"),
        ({"nbf": NOW + 1}, NOW, "it is not valid yet (nbf)"),
        ({"iat": NOW + 1}, NOW, "it was issued in the future (iat)"),
        ({"iat": NOW * 1000}, NOW, "it was issued in the future (iat; milliseconds?)"),
        ({"nbf": NOW * 10**6}, NOW, "it is not valid yet (nbf; microseconds?)"),
        ({"exp": f"{NOW * 1000}"}, NOW, "exp is not a number of seconds (milliseconds?)"),
        ({"iat": NOW * 10**9}, NOW, "iat is not a number of seconds (nanoseconds?)"),
        ({"exp": 3600}, NOW, "expired 1970-01-01 (a lifetime, not a Unix time?)"),
        ({"exp": NOW - 30}, NOW, "it expires before it becomes valid"),
        ({"exp": NOW - 31}, NOW, "it expires before it becomes valid"),
        ({"exp": 0}, NOW, "expired 1970-01-01"),
        ({"exp": -(10**400)}, NOW, "exp is not a number of seconds"),
        ({"exp": 10**400}, NOW, "exp is not a number of seconds"),
        ({"exp": NOW + 59.5, "iat": NOW - 30.5}, NOW + 59.5, expired(NOW)),
    ],
)
def test_a_token_outside_its_time_has_the_reason(changes: dict[str, int], at: float, problem: str) -> None:
    assert problem in times({**GOOD, **changes}, at=at)


@pytest.mark.parametrize(("exp", "too_long"), [(NOW + 70, False), (NOW + 71, True)])
def test_a_life_longer_than_the_vendor_allows_counts_from_its_beginning(exp: int, too_long: bool) -> None:
    found = times({**GOOD, "exp": exp}, longest=100)
    assert found == (["it lives longer than the 100 s that the vendor allows"] if too_long else [])


def test_a_lifetime_counts_from_iat_without_nbf() -> None:
    claims = {"iat": NOW - 30, "exp": NOW + 71}
    assert hs256.time_problems(claims, NOW, required=("iat", "exp"), max_validity=100)
    assert hs256.time_problems({"exp": NOW + 10**6}, NOW, required=("exp",), max_validity=100) == []


# --- clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "warned"),
    [
        (b'{"user_id":"ada"}', False),
        ('{"user_id":"Zo\u00eb"}'.encode(), True),
        (b'{"user_id":"~~~"}', True),
        (b'{"user_id":"???"}', True),
        (b'{"user_id":">>>"}', True),
    ],
)
def test_a_token_that_atob_cannot_read_has_a_warning(payload: bytes, warned: bool) -> None:
    signed = f"{encoded(json.dumps(HEADER).encode())}.{encoded(payload)}"
    read = hs256.read(f"{signed}.{signature(signed)}", KEY)
    assert read is not None
    assert read.signature is Signature.VALID
    assert bool(hs256.client_warnings(read)) is warned


@pytest.mark.parametrize(
    ("value", "whole"),
    [(0, True), (-1, True), (2**70, True), (True, False), (False, False), (1.0, False), ("1", False)],
)
def test_a_whole_number_is_an_integer_of_json(value: object, whole: bool) -> None:
    assert hs256.is_int(value) is whole
