"""The "007" format compared with tokens of Agora's own builders: the packed bytes, not the compressed text.

The "meta" of vectors/agora.json and vectors/agora_vendor_tests.json names the source of each known answer."""

import base64
import hashlib
import json
import string
import struct
import tracemalloc
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.platforms.access_token2 import (
    CHAT,
    RTC,
    RTM,
    RTM2,
    SERVICE_TYPES,
    AccessToken2,
    FormatError,
    Service,
    pack,
    read,
    sign,
)

VECTORS = Path(__file__).parent / "vectors"
BUILT, ASSERTED = (
    json.loads((VECTORS / name).read_text())["vectors"] for name in ("agora.json", "agora_vendor_tests.json")
)
KNOWN = {vector["id"]: vector for vector in (*BUILT, *ASSERTED)}

APP_ID = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
TOKEN = AccessToken2(
    app_id=APP_ID,
    issue_ts=1_700_000_000,
    expire=600,
    salt=1,
    services=(
        Service(RTC, {1: 600, 2: 600}, {"channel_name": "lobby", "uid": "5"}),
        Service(RTM, {1: 600}, {"user_id": "r"}),
    ),
)


def service_of(fact: Mapping[str, Any]) -> Service:
    """Return a service in the form and order of the known answers."""
    fields = {name: fact[name] for name in fact.keys() - {"type", "name", "privileges"}}
    for name in fields.keys() & {"uid", "account"}:
        fields[name] = "" if fields[name] == 0 else str(fields[name])
    if "permissions" in fields:
        permissions: dict[int, dict[int, tuple[str, ...]]] = {}
        for resource, permission, names in fields["permissions"]:
            permissions.setdefault(resource, {})[permission] = tuple(names)
        fields["permissions"] = permissions
    return Service(fact["type"], {int(number): lifetime for number, lifetime in fact["privileges"].items()}, fields)


def token_of(vector: Mapping[str, Any]) -> AccessToken2:
    says = vector["expect"]
    services = tuple(service_of(fact) for fact in says["services"])
    return AccessToken2(says["app_id"], says["issue_ts"], says["expire"], says["salt"], services)


def texts_of(vector: Mapping[str, Any]) -> set[str]:
    """Return the token in every compression that Agora's builders and tests have: not every builder makes each."""
    says = vector["expect"]
    built = {says[name] for name in says if name.startswith("token_")} - {None}
    return built | {one["token"] for one in says.get("tokens", ())}


def content_of(text: str) -> bytes:
    assert text.startswith("007")
    return zlib.decompress(base64.b64decode(text[3:], validate=True))


def text_of(content: bytes) -> str:
    return "007" + base64.b64encode(zlib.compress(content)).decode()


def resigned(info: bytes, token: AccessToken2 = TOKEN) -> str:
    """Return `info` with a genuine signature, so that only its form can be wrong."""
    key = hashed(struct.pack("<I", token.salt), hashed(struct.pack("<I", token.issue_ts), CERTIFICATE.encode()))
    return text_of(struct.pack("<H", 32) + hashed(key, info) + info)


def hashed(key: bytes, message: bytes) -> bytes:
    """Compute HMAC-SHA256 by hand (RFC 2104)."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


# --- known answers -------------------------------------------------------------------------------------------------


def test_the_known_answers_hold_every_service() -> None:
    seen = {fact["type"] for vector in KNOWN.values() for fact in vector["expect"]["services"]}
    assert seen == set(SERVICE_TYPES) == set(range(1, 11))
    assert len(BUILT) == 57
    assert len(ASSERTED) == 12


@pytest.mark.parametrize("vector", KNOWN.values(), ids=KNOWN.keys())
def test_a_known_token_is_packed_and_signed_byte_for_byte(vector: Mapping[str, Any]) -> None:
    token, expected = token_of(vector), vector["expect"]
    assert pack(token).hex() == expected["signing_info_hex"]
    content = content_of(sign(token, vector["inputs"]["app_certificate"]))
    assert content.hex() == "2000" + expected["signature_hex"] + expected["signing_info_hex"]
    assert hashlib.sha256(content).hexdigest() == expected["content_sha256"]


@pytest.mark.parametrize("vector", KNOWN.values(), ids=KNOWN.keys())
def test_a_known_token_is_read_in_every_compression(vector: Mapping[str, Any]) -> None:
    certificate = vector["inputs"]["app_certificate"]
    texts = texts_of(vector)
    assert texts
    for text in texts:
        reading = read(text)
        assert reading.token == token_of(vector)
        assert reading.fault is None
        assert reading.signature.hex() == vector["expect"]["signature_hex"]
        assert reading.is_signed_with(certificate)
        assert not reading.is_signed_with(certificate.swapcase())


@pytest.mark.parametrize("vector", KNOWN.values(), ids=KNOWN.keys())
def test_the_order_in_which_a_token_is_put_together_does_not_matter(vector: Mapping[str, Any]) -> None:
    token = token_of(vector)
    by_type: dict[int, list[Service]] = {}
    for service in token.services:
        backwards = dict(reversed(list(service.privileges.items())))
        by_type.setdefault(service.type, []).append(service._replace(privileges=backwards))
    shuffled = tuple(service for number in sorted(by_type, reverse=True) for service in by_type[number])
    assert pack(token._replace(services=shuffled)) == pack(token)


@pytest.mark.parametrize("vector", [one for one in BUILT if "services" in one["inputs"]], ids=lambda one: one["id"])
def test_services_are_sorted_from_the_order_that_the_vendors_builder_was_given(vector: Mapping[str, Any]) -> None:
    given_order = tuple(service_of(fact) for fact in vector["inputs"]["services"])
    assert pack(token_of(vector)._replace(services=given_order)).hex() == vector["expect"]["signing_info_hex"]


# --- text that is not a token --------------------------------------------------------------------------------------

CONTENT = content_of(sign(TOKEN, CERTIFICATE))
COMPRESSED = zlib.compress(CONTENT)


def encoded(compressed: bytes) -> str:
    return "007" + base64.b64encode(compressed).decode()


def raw_deflated(content: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(content) + deflater.flush()


NOT_TOKENS = {
    "empty": "",
    "only the prefix": "007",
    "no prefix": encoded(COMPRESSED)[3:],
    "another prefix": "006" + encoded(COMPRESSED)[3:],
    "url-safe base64": "007" + base64.urlsafe_b64encode(b"\xfb\xff" + COMPRESSED).decode(),
    "a line break after it": encoded(COMPRESSED) + "\n",
    "a line break in it": encoded(COMPRESSED)[:40] + "\n" + encoded(COMPRESSED)[40:],
    "a space before it": " " + encoded(COMPRESSED),
    "not ASCII": encoded(COMPRESSED)[:-4] + "äöü=",
    "a lone surrogate": "007\udcff",
    "more padding": encoded(COMPRESSED) + "====",
    "cut off": encoded(COMPRESSED[:-1]),
    "raw deflate": encoded(raw_deflated(CONTENT)),
    "gzip": encoded(zlib.compress(CONTENT, wbits=31)),
    "not compressed": encoded(CONTENT),
    "a wrong checksum": encoded(COMPRESSED[:-1] + bytes((COMPRESSED[-1] ^ 1,))),
    "a byte after the stream": encoded(COMPRESSED + b"\0"),
    "two streams": encoded(COMPRESSED + COMPRESSED),
    "nothing inside": text_of(b""),
    "a short signature": text_of(struct.pack("<H", 31) + CONTENT[3:]),
    "a long signature": text_of(struct.pack("<H", 33) + b"\0" + CONTENT[2:]),
}


@pytest.mark.parametrize("text", NOT_TOKENS.values(), ids=NOT_TOKENS.keys())
def test_text_that_is_not_a_token_is_refused(text: str) -> None:
    assert fault_of(text)


def fault_of(text: str) -> str | None:
    """Return why `text` is not a token, whether or not a part of it can be read."""
    try:
        return read(text).fault
    except FormatError as error:
        return str(error)


def test_a_token_without_its_padding_is_refused() -> None:
    padded = next(text for size in range(20) if (text := encoded(zlib.compress(CONTENT + bytes(size)))).endswith("="))
    assert fault_of(padded.rstrip("="))


def test_base64_with_stray_bits_at_its_end_is_refused() -> None:
    padded = next(text for size in range(20) if (text := encoded(zlib.compress(CONTENT + bytes(size)))).endswith("="))
    body = padded.rstrip("=")
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    stray = body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + "=" * (len(padded) - len(body))
    assert base64.b64decode(stray[3:], validate=True) == base64.b64decode(padded[3:])
    assert fault_of(stray)


def test_a_bomb_is_refused_without_being_inflated() -> None:
    bomb = text_of(bytes(50 * 1024 * 1024))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="larger than any token"):
            read(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


# --- an invalid form with a genuine signature ----------------------------------------------------------------------


def test_a_signature_made_by_hand_is_taken() -> None:
    reading = read(resigned(pack(TOKEN)))
    assert reading.fault is None
    assert reading.is_signed_with(CERTIFICATE)


INFO = pack(TOKEN)
HEAD = INFO[: 2 + 32 + 12]
RTC_BYTES = struct.pack("<HHHIHI", 1, 2, 1, 600, 2, 600) + b"\5\0lobby\1\x005"
RTM_BYTES = struct.pack("<HHHI", 2, 1, 1, 600) + b"\1\0r"
RTM2_HEAD = struct.pack("<HHHI", 8, 1, 1, 600) + b"\1\0r"

FAULTS = {
    "bytes left over": (INFO + b"\0\0", "left over", 2),
    "no service": (HEAD + b"\0\0", "no service", 0),
    "services descending": (HEAD + b"\2\0" + RTM_BYTES + RTC_BYTES, "out of order", 2),
    "privileges descending": (
        HEAD + b"\1\0" + struct.pack("<HHHIHI", 2, 2, 2, 600, 1, 600) + b"\1\0r",
        "out of order",
        1,
    ),
    "a privilege twice": (HEAD + b"\1\0" + struct.pack("<HHHIHI", 2, 2, 1, 600, 1, 600) + b"\1\0r", "repeated", 1),
    "fewer services than it has": (HEAD + b"\1\0" + RTC_BYTES + RTM_BYTES, "left over", 1),
    "more services than it has": (HEAD + b"\3\0" + RTC_BYTES + RTM_BYTES, "ends in the middle", 2),
    "an unknown service": (HEAD + b"\2\0" + RTC_BYTES + struct.pack("<HHHI", 999, 1, 1, 600), "unknown type", 1),
    "service 0": (HEAD + b"\1\0" + struct.pack("<HHHI", 0, 1, 1, 600), "unknown type", 0),
    "service 11": (HEAD + b"\1\0" + struct.pack("<HHHI", 11, 1, 1, 600), "unknown type", 0),
    "text that is not UTF-8": (HEAD + b"\1\0" + RTM_BYTES[:-1] + b"\xff", "not UTF-8", 0),
    "a lone surrogate": (HEAD + b"\1\0" + RTM_BYTES[:-3] + b"\3\0\xed\xa0\x80", "not UTF-8", 0),
    "resources descending": (
        HEAD + b"\1\0" + RTM2_HEAD + struct.pack("<HHHHH", 2, 1, 0, 0, 0),
        "out of order",
        1,
    ),
    "permissions descending": (
        HEAD + b"\1\0" + RTM2_HEAD + struct.pack("<HHHHHHH", 1, 0, 2, 1, 0, 0, 0),
        "out of order",
        1,
    ),
    "a great many permissions and no bytes": (HEAD + b"\1\0" + RTM2_HEAD + b"\xff\xff", "ends in the middle", 0),
}


@pytest.mark.parametrize(("info", "fault", "services"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found_under_a_genuine_signature(info: bytes, fault: str, services: int) -> None:
    reading = read(resigned(info))
    assert reading.is_signed_with(CERTIFICATE)
    assert reading.fault is not None
    assert fault in reading.fault
    assert len(reading.token.services) == services
    assert (reading.token.app_id, reading.token.issue_ts, reading.token.expire) == (APP_ID, 1_700_000_000, 600)


def test_info_that_is_cut_off_anywhere_is_refused() -> None:
    for length in range(len(INFO)):
        try:
            reading = read(resigned(INFO[:length]))
        except FormatError:
            assert length < len(HEAD)
        else:
            assert length >= len(HEAD)
            assert reading.fault is not None


def test_a_flipped_bit_anywhere_in_the_content_is_found() -> None:
    for bit in range(8 * len(CONTENT)):
        changed = bytearray(CONTENT)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            reading = read(text_of(bytes(changed)))
        except FormatError:
            continue
        assert not reading.is_signed_with(CERTIFICATE)


# --- values that cannot be packed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        TOKEN._replace(services=()),
        TOKEN._replace(expire=2**32),
        TOKEN._replace(expire=-1),
        TOKEN._replace(issue_ts=-1),
        TOKEN._replace(salt=2**32),
        TOKEN._replace(services=(Service(RTM, {1: 2**32}, {"user_id": "r"}),)),
        TOKEN._replace(services=(Service(RTM, {2**16: 1}, {"user_id": "r"}),)),
        TOKEN._replace(services=(Service(RTM, {1: 1}, {"user_id": "r" * 2**16}),)),
        TOKEN._replace(services=(Service(7, {1: 1}, {"room_uuid": "", "user_uuid": "", "role": 2**15}),)),
        TOKEN._replace(services=(Service(11, {1: 1}),)),
    ],
)
def test_a_value_that_does_not_fit_is_never_wrapped_or_cut(token: AccessToken2) -> None:
    with pytest.raises(FormatError):
        sign(token, CERTIFICATE)


def test_the_largest_values_fit() -> None:
    services = (Service(CHAT, {65535: 2**32 - 1}, {"user_id": "c" * 65000}),)
    token = AccessToken2(APP_ID, 2**32 - 1, 2**32 - 1, 2**32 - 1, services)
    reading = read(sign(token, CERTIFICATE))
    assert reading.token == token
    assert reading.fault is None


# --- any content ---------------------------------------------------------------------------------------------------

u16, u32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
permissions = st.dictionaries(u16, st.dictionaries(u16, st.lists(texts, max_size=3).map(tuple), max_size=3), max_size=3)
FIELDS = {"role": st.integers(-(2**15), 2**15 - 1), "permissions": permissions}


@st.composite
def services(draw: st.DrawFn) -> Service:
    number = draw(st.sampled_from(sorted(SERVICE_TYPES)))
    fields: dict[str, Any] = {name: draw(FIELDS.get(name, texts)) for name in SERVICE_TYPES[number].fields}
    return Service(number, draw(st.dictionaries(u16, u32, max_size=5)), fields)


tokens = st.builds(AccessToken2, texts, u32, u32, u32, st.lists(services(), min_size=1, max_size=6).map(tuple))


@given(tokens, texts)
def test_a_packed_token_is_read_back(token: AccessToken2, certificate: str) -> None:
    reading = read(sign(token, certificate))
    ascending = tuple(sorted(token.services, key=lambda service: service.type))
    assert reading.token == token._replace(services=ascending)
    assert reading.fault is None
    assert reading.is_signed_with(certificate)
    assert not reading.is_signed_with(certificate + "0")


@given(st.binary(max_size=300))
def test_noise_under_a_genuine_signature_is_a_fault_or_a_token(noise: bytes) -> None:
    for text in (text_of(noise), resigned(HEAD + noise)):
        try:
            reading = read(text)
        except FormatError:
            continue
        assert reading.fault is not None or pack(reading.token) == reading.info


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        read("007" + text)


def test_a_privilege_without_a_name_is_called_by_its_number() -> None:
    assert [SERVICE_TYPES[RTC].privilege(number) for number in (0, 1, 4, 5)] == [
        "0",
        "joinChannel",
        "publishDataStream",
        "5",
    ]
    assert SERVICE_TYPES[RTM2].privilege(1) == "login"
