"""Hostile requests: each gets 4xx, never 5xx and never a token that it may not have.

The sections are those of tests/threats.toml: C the runtime, D the body, E routes and headers, F authorization."""

import base64
import copy
import gzip
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.events import EVENTS, load_event
from support.stack import Answer, Deploy, Deployed, claims_of

STRICT, LENIENT, MANAGEMENT = "app-token-open.json", "api-token-json.json", "management-token-iam-user.json"
ASK = {"room_id": "633fcdd84208780bf665346a", "role": "guest"}
MODES = ("open", "jwt", "iam")
JSON = "application/json"


@pytest.fixture(scope="module")
def stacks(aws_for_all: Any) -> Iterable[Mapping[str, Deployed]]:
    """A stack of each access with a full cache. Tests share them, since a refused request leaves nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        aws_for_all.lead_here(monkeypatch)
        stacks = {access: Deployed.on(aws_for_all, access) for access in MODES}
        for deployed in stacks.values():
            assert deployed.answer(load_event(MANAGEMENT)).token
        yield stacks


@pytest.fixture(scope="module")
def anyone(stacks: Mapping[str, Deployed]) -> Deployed:
    """A stack with open access and a full cache."""
    return stacks["open"]


def _with_body(name: str, body: object, content_type: str | None = JSON, *, encoded: bool | None = None) -> Any:
    """Return the event of `name` with another body, encoded as API Gateway does by default."""
    event = load_event(name)
    event["headers"].pop("content-type", None)
    if content_type is not None:
        event["headers"]["content-type"] = content_type
    raw = body if isinstance(body, bytes) else None
    if encoded is None:
        encoded = raw is not None
    event["isBase64Encoded"] = encoded
    event["body"] = base64.b64encode(raw).decode() if raw is not None else body
    return event


def _refused(deployed: Deployed, event: Any, status: int, *codes: str) -> Answer:
    before = len(deployed.operations)
    answer = deployed.answer(event)
    assert answer.status == status
    assert not codes or answer.code in codes
    assert len(deployed.operations) == before
    return answer


def _last_line(deployed: Deployed) -> Any:
    return json.loads(deployed.stream.getvalue().splitlines()[-1])


both = pytest.mark.parametrize("name", [STRICT, LENIENT], ids=["strict", "lenient"])


# --- D: the body ---------------------------------------------------------------------------------------------------

NO_OBJECT = [
    *("", " ", "null", "true", "false", "0", "1", "-1.5", '""', '"{}"', '"text"', "[]", "[{}]", "[null]"),
    '[["room_id"]]',
    *("{", "}", "{]", '{"room_id"', '{"room_id":}', '{room_id:"r"}', "{'room_id':'r'}", "undefined", "<xml/>", "\x00"),
]
UNREADABLE = {
    "d2-repeated-key": '{"room_id":"r","role":"guest","role":"host"}',
    "d2-repeated-key-that-differs-by-an-escape": '{"room_id":"r","role":"guest","\\u0072ole":"host"}',
    "d2-repeated-key-nested": '{"room_id":"r","role":"guest","stray":{"a":1,"a":2}}',
    "d2-repeated-key-nested-in-a-list": '{"room_id":"r","role":"guest","stray":[{"a":1,"a":2}]}',
    "d3-nan": '{"room_id":"r","role":"guest","expires_in":NaN}',
    "d3-infinity": '{"room_id":"r","role":"guest","expires_in":Infinity}',
    "d3-minus-infinity": '{"room_id":"r","role":"guest","expires_in":-Infinity}',
    "d3-a-float-that-becomes-infinite": '{"room_id":"r","role":"guest","expires_in":1e999}',
    "d3-nan-nested": '{"room_id":"r","role":"guest","stray":[NaN]}',
    "d4-five-thousand-digits": '{"room_id":"r","role":"guest","expires_in":%s}' % ("9" * 5000),
    "d5-deep-list": "[" * 16_000,
    "d5-deep-list-closed": "[" * 8_000 + "]" * 8_000,
    "d5-deep-object": '{"a":' * 3_000 + "1" + "}" * 1_000,
    "d8-byte-order-mark": '\ufeff{"room_id":"r","role":"guest"}',
    "d8-trailing-garbage": '{"room_id":"r","role":"guest"}x',
    "d8-trailing-nul": '{"room_id":"r","role":"guest"}\x00',
    "d8-two-documents": '{"room_id":"r","role":"guest"}{"room_id":"r","role":"host"}',
    "d8-two-lines": '{"room_id":"r","role":"guest"}\n{"room_id":"r","role":"host"}',
    "d8-comment": '{"room_id":"r","role":"guest"/* host */}',
    "d8-line-comment": '{"room_id":"r","role":"guest"} // host',
    "d8-trailing-comma": '{"room_id":"r","role":"guest",}',
    "d8-single-quotes": "{'room_id':'r','role':'guest'}",
    "d8-leading-nul": '\x00{"room_id":"r","role":"guest"}',
    "d8-raw-newline-in-a-string": '{"room_id":"a\nb","role":"guest"}',
    "d8-another-space": '\u00a0{"room_id":"r","role":"guest"}',
    "d8-hexadecimal": '{"room_id":"r","role":"guest","expires_in":0x258}',
    "d8-leading-zero": '{"room_id":"r","role":"guest","expires_in":0600}',
}


@pytest.mark.threat("D1")
@both
@pytest.mark.parametrize("body", NO_OBJECT)
def test_a_body_that_is_not_an_object_is_malformed(anyone: Deployed, name: str, body: str) -> None:
    answer = _refused(anyone, _with_body(name, body), 400, "malformed-body")

    assert answer.faulty_fields == ["body"]


@pytest.mark.threat("D1")
@both
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_no_body_is_malformed(anyone: Deployed, name: str, absent: bool) -> None:
    event = _with_body(name, None)
    if absent:
        del event["body"]

    _refused(anyone, event, 400, "malformed-body")


@pytest.mark.threat("D2", "D3", "D4", "D5", "D8")
@both
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_ambiguous_body_is_malformed(anyone: Deployed, name: str, body: str) -> None:
    _refused(anyone, _with_body(name, body), 400, "malformed-body")


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_management_request_is_read_as_strictly(anyone: Deployed, body: str) -> None:
    _refused(anyone, _with_body(MANAGEMENT, body), 400, "malformed-body")


GOOD = json.dumps(ASK).encode()
BAD_ENCODINGS: dict[str, tuple[object, bool | None]] = {
    "d7-no-base64-at-all": ("!!!!", True),
    "d7-bad-padding": (base64.b64encode(GOOD).decode().rstrip("=") + "===", True),
    "d7-no-padding": (base64.b64encode(b"{}  ").decode().rstrip("="), True),
    "d7-the-other-alphabet": (
        base64.urlsafe_b64encode(b'{"room_id":"\xc3\xbf\xc3\xbe?","role":"g"}~~~').decode(),
        True,
    ),
    "d7-a-line-break-inside": (base64.b64encode(GOOD).decode()[:8] + "\n" + base64.b64encode(GOOD).decode()[8:], True),
    "d7-a-space-inside": ("e3 0=", True),
    "d7-too-much-padding": ("e30==", True),
    "d7-two-values": ("e30=e30=", True),
    "d7-letters-after-the-padding": (base64.b64encode(GOOD + b"  ").decode() + "AAAA", True),
    "d7-not-ascii": ("é" * 8, True),
    "d7-json-that-says-it-is-base64": (GOOD.decode(), True),
    "d7-latin-1": ('{"room_id":"é","role":"guest"}'.encode("latin-1"), None),
    "d7-utf-16": (GOOD.decode().encode("utf-16"), None),
    "d7-utf-16-without-a-mark": (GOOD.decode().encode("utf-16-le"), None),
    "d7-utf-32": (GOOD.decode().encode("utf-32"), None),
    "d7-overlong": (b'{"room_id":"\xc0\xaf","role":"guest"}', None),
    "d7-encoded-surrogate": (b'{"room_id":"\xed\xa0\x80","role":"guest"}', None),
    "d7-byte-order-mark": (b"\xef\xbb\xbf" + GOOD, None),
    "d7-gzip": (gzip.compress(GOOD), None),
    "d7-twice-encoded": (base64.b64encode(GOOD), None),
    "d6-lone-surrogate-in-the-raw-body": ('{"room_id":"\ud800","role":"guest"}', False),
}


@pytest.mark.threat("D6", "D7")
@both
@pytest.mark.parametrize(("body", "encoded"), BAD_ENCODINGS.values(), ids=BAD_ENCODINGS)
def test_bytes_that_are_not_text_are_malformed(anyone: Deployed, name: str, body: object, encoded: bool | None) -> None:
    _refused(anyone, _with_body(name, body, encoded=encoded), 400, "malformed-body")


@pytest.mark.threat("D7")
@both
@pytest.mark.parametrize("flag", ["true", "false", "", 2, [], {}, "1"], ids=repr)
def test_an_encoding_flag_of_another_type_is_malformed(anyone: Deployed, name: str, flag: object) -> None:
    event = load_event(name)
    event["isBase64Encoded"] = flag

    _refused(anyone, event, 400, "malformed-body")


@pytest.mark.threat("C11")
@both
@pytest.mark.parametrize("body", [{"room_id": "r", "role": "guest"}, ["room_id"], 5, 0, True, False, 1.5], ids=repr)
def test_a_body_that_was_parsed_on_the_way_is_malformed(anyone: Deployed, name: str, body: object) -> None:
    event = load_event(name)
    event["body"] = body

    _refused(anyone, event, 400, "malformed-body")


BAD_TEXT = {
    "d6-lone-high-surrogate": "\ud800",
    "d6-lone-low-surrogate": "a\udfff",
    "d6-surrogates-in-the-wrong-order": "\ude00\ud83d",
    "d6-nul": "a\x00b",
    "d6-c0": "a\x1fb",
    "d6-escape": "\x1b[2J",
    "d6-delete": "a\x7fb",
    "d6-c1": "a\x85b",
    "d6-tab": "a\tb",
    "d6-line-feed-inside": "a\nb",
    "d6-line-feed-at-the-end": "a\n",
    "d6-line-separator": "a\u2028b",
    "d6-paragraph-separator": "a\u2029b",
    **{f"d6-bidi-{point:04x}": f"a{chr(point)}b" for point in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    "d6-private-use": "a\ue000b",
    "d6-noncharacter": "a\uffffb",
    "d6-unassigned": "a\U0003fffeb",
    "d6-blank": " ",
    "d6-another-blank": "\u3000",
    "d6-nothing-but-joiners": "\u200b\u200d",
    "d6-space-before": " a",
    "d6-space-after": "a ",
    "d6-no-break-space-after": "a\u00a0",
    "d6-empty": "",
    "d12-number": 42,
    "d12-float": 1.5,
    "d12-true": True,
    "d12-list": ["r"],
    "d12-object": {"$ne": ""},
}


@pytest.mark.threat("D6", "D12")
@both
@pytest.mark.parametrize("value", BAD_TEXT.values(), ids=BAD_TEXT)
def test_an_id_that_is_not_plain_text_is_refused_by_name(anyone: Deployed, name: str, value: object) -> None:
    for field in ("room_id", "role", "user_id"):
        if (name, field, value) != (LENIENT, "user_id", ""):  # It counts as missing there.
            answer = _refused(anyone, _with_body(name, json.dumps({**ASK, field: value})), 400, "invalid-request")
            assert answer.faulty_fields == [field]


@pytest.mark.threat("D6")
@both
@pytest.mark.parametrize(("field", "longest"), [("room_id", 256), ("user_id", 256), ("role", 128)])
def test_the_longest_id_is_accepted_and_a_longer_one_refused(
    anyone: Deployed, name: str, field: str, longest: int
) -> None:
    taken = anyone.answer(_with_body(name, json.dumps({**ASK, field: "é" * longest})))
    assert taken.token
    assert claims_of(taken.token)[field] == "é" * longest

    refused = _refused(anyone, _with_body(name, json.dumps({**ASK, field: "é" * (longest + 1)})), 400)
    assert refused.faulty_fields == [field]


@pytest.mark.threat("D6")
@pytest.mark.parametrize("name", [STRICT, LENIENT, "api-token-flutter.json"], ids=["strict", "lenient", "form"])
@pytest.mark.parametrize(
    "text",
    ["Zoë", "Zoe\u0308", "👩‍👩‍👧", "ab?", ">>>", "~~~", "a b", "北京", "ꯍꯥꯏ", "O'Brien\\\"", "</script>", "a+b&c=d"],
)
def test_text_stays_exactly_as_sent(anyone: Deployed, name: str, text: str) -> None:
    """Two spellings are two ids: nothing is normalised, stripped or folded."""
    asked = {"room_id": text, "role": text, "user_id": text}
    form = name == "api-token-flutter.json"
    body = urlencode(asked).encode() if form else json.dumps(asked)

    answer = anyone.answer(_with_body(name, body, "application/x-www-form-urlencoded" if form else JSON))

    assert answer.token
    claims = claims_of(answer.token)
    assert {field: claims[field] for field in asked} == asked
    assert answer.body["user_id"] == text


WRONG_TYPES = [
    *(None, "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "text/json", "text/html"),
    *("application/problem+json", "application/json+x", "application/jsonp", "multipart/form-data; boundary=x", "json"),
    *("application/json; charset=utf-16", "application/json; charset=iso-8859-1", "application/json; boundary=x"),
    *("application/json; charset=utf-8; charset=utf-16", "application/ld+json"),
    *("application/json, text/plain", "text/plain, application/json", "*/*", ""),
]


@pytest.mark.threat("D9")
@pytest.mark.parametrize("content_type", WRONG_TYPES)
def test_v1_accepts_the_json_type_only(anyone: Deployed, content_type: str | None) -> None:
    _refused(anyone, _with_body(STRICT, json.dumps(ASK), content_type), 415, "unsupported-media-type")
    _refused(anyone, _with_body(MANAGEMENT, "{}", content_type), 415, "unsupported-media-type")


def test_a_body_without_a_type_is_answered_with_the_type_to_send(anyone: Deployed) -> None:
    answer = anyone.answer(_with_body(STRICT, json.dumps(ASK), None))
    assert answer.body["msg"].endswith("send Content-Type: application/json.")


@pytest.mark.threat("D9")
@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "APPLICATION/JSON", "Application/Json; Charset=UTF-8", "application/json;charset=utf-8"),
        *('application/json; charset="utf-8"', " application/json ", "application/json;"),
        *("application/json ; charset=utf-8", "application/json, application/json; charset=utf-8"),
    ],
)
def test_the_json_type_may_have_any_form_that_http_allows(anyone: Deployed, content_type: str) -> None:
    assert anyone.answer(_with_body(STRICT, json.dumps(ASK), content_type)).token


@pytest.mark.threat("D9")
@pytest.mark.parametrize("content_type", WRONG_TYPES)
def test_an_empty_management_request_is_accepted_with_any_type(anyone: Deployed, content_type: str | None) -> None:
    assert anyone.answer(_with_body(MANAGEMENT, "", content_type)).token
    assert anyone.answer(_with_body(MANAGEMENT, b"", content_type)).token


@pytest.mark.threat("D9")
@pytest.mark.parametrize("content_type", WRONG_TYPES)
def test_on_the_drop_in_route_a_brace_means_json_for_every_type(anyone: Deployed, content_type: str | None) -> None:
    assert anyone.answer(_with_body(LENIENT, " \r\n\t" + json.dumps(ASK), content_type)).token
    assert anyone.answer(_with_body(LENIENT, json.dumps(ASK).encode(), content_type)).token


@pytest.mark.threat("D9")
@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/octet-stream", "image/png"])
def test_on_the_drop_in_route_any_other_body_is_415(anyone: Deployed, content_type: str) -> None:
    _refused(anyone, _with_body(LENIENT, b"--x\r\n", content_type), 415, "unsupported-media-type")


LIMIT = 16 * 1024


@pytest.mark.threat("D10")
@pytest.mark.parametrize("name", [STRICT, LENIENT, MANAGEMENT])
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 2, LIMIT + 3, 100_000, 6_000_000])
def test_a_body_over_the_limit_is_413_before_it_is_parsed(
    anyone: Deployed, name: str, encoded: bool, size: int
) -> None:
    body = "[" * size  # Parsed, it would be 400.

    _refused(anyone, _with_body(name, body.encode() if encoded else body), 413, "body-too-large")


@pytest.mark.threat("D10")
@both
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
def test_a_body_at_the_limit_is_read(anyone: Deployed, name: str, encoded: bool) -> None:
    body = json.dumps(ASK).ljust(LIMIT)

    assert anyone.answer(_with_body(name, body.encode() if encoded else body)).token


@pytest.mark.threat("D10")
@both
def test_the_limit_counts_bytes_and_not_characters(anyone: Deployed, name: str) -> None:
    body = json.dumps({**ASK, "stray": "é" * 9_000}, ensure_ascii=False)
    assert len(body) < LIMIT

    _refused(anyone, _with_body(name, body), 413, "body-too-large")


@pytest.mark.threat("D10")
@both
@pytest.mark.parametrize("length", ["0", "-1", "999999999", "x", ""])
def test_a_wrong_content_length_has_no_effect(anyone: Deployed, name: str, length: str) -> None:
    event = load_event(name)
    event["headers"]["content-length"] = length

    assert anyone.answer(event).token


STRAY = {
    "type": "management",
    "exp": 4102444800,
    "iat": 0,
    "nbf": 0,
    "jti": "mine",
    "version": 3,
    "access_key": "other",
    "apikey": "k",
    "permissions": ["allow_mod"],
    "roles": ["crawler"],
    "services": ["rtc"],
    "alg": "none",
    "kid": "k",
    "typ": "JWT",
    "app_secret": "s",
    "sub": "root",
    "iss": "me",
    "aud": "you",
    "__proto__": {"role": "host"},
    "constructor": 1,
    "Role": "host",
    "ROOM_ID": "r2",
    "userId": "u",
    "expiresIn": 60,
    "api_version": "9",
    "platform": "agora",
    "kind": "management",
    "env": "prod",
} | {"": 1, "role ": "host", "role\x00": "host"}


@pytest.mark.threat("D11")
@pytest.mark.parametrize(("field", "value"), STRAY.items(), ids=[repr(name) for name in STRAY])
def test_v1_refuses_an_unknown_field(anyone: Deployed, field: str, value: object) -> None:
    answer = _refused(anyone, _with_body(STRICT, json.dumps({**ASK, field: value})), 400, "invalid-request")

    printable = field.isprintable() and field.strip() == field != ""
    assert answer.faulty_fields == [field if printable else "(unprintable)"]


@pytest.mark.threat("D11")
@pytest.mark.parametrize(("field", "value"), STRAY.items(), ids=[repr(name) for name in STRAY])
def test_on_the_drop_in_a_stray_field_never_becomes_a_claim(anyone: Deployed, field: str, value: object) -> None:
    answer = anyone.answer(_with_body(LENIENT, json.dumps({**ASK, "user_id": "u", field: value})))

    assert answer.token
    claims, plain = claims_of(answer.token), anyone.answer(_with_body(LENIENT, json.dumps({**ASK, "user_id": "u"})))
    assert plain.token
    assert {**claims, "jti": ""} == {**claims_of(plain.token), "jti": ""}
    assert answer.body | {"token": ""} == plain.body | {"token": ""}


@pytest.mark.threat("D11")
def test_a_thousand_unknown_fields_are_not_listed_one_by_one(anyone: Deployed) -> None:
    body = json.dumps({**ASK, **{f"f{number}": 0 for number in range(1000)}})

    assert len(_refused(anyone, _with_body(STRICT, body), 400).faulty_fields) == 20


@pytest.mark.threat("D11", "I7")
@pytest.mark.parametrize(
    "field", ["a<script>", "a b", "é", "a\nb", "\ud800", "x" * 65, "\u202eelor", "{{7*7}}", "${jndi:x}"]
)
def test_the_name_of_a_field_is_not_a_way_to_say_things(anyone: Deployed, field: str) -> None:
    assert _refused(anyone, _with_body(STRICT, json.dumps({**ASK, field: 1})), 400).faulty_fields == ["(unprintable)"]


@pytest.mark.threat("D12")
def test_every_wrong_field_is_named(anyone: Deployed) -> None:
    body = json.dumps({"room_id": 42, "user_id": [], "expires_in": "60", "stray": 1})

    answer = _refused(anyone, _with_body(STRICT, body), 400, "invalid-request")

    assert sorted(answer.faulty_fields) == ["expires_in", "role", "room_id", "stray", "user_id"]
    assert all("42" not in error["reason"] for error in answer.body["errors"])


@pytest.mark.threat("D12")
@pytest.mark.parametrize("name", [LENIENT, STRICT])
@pytest.mark.parametrize("missing", ["room_id", "role"])
@pytest.mark.parametrize("value", [None, ""], ids=["null", "empty"])
def test_a_required_field_that_is_null_or_empty_never_mints(
    anyone: Deployed, name: str, missing: str, value: object
) -> None:
    answer = _refused(anyone, _with_body(name, json.dumps({**ASK, missing: value})), 400, "invalid-request")

    assert answer.faulty_fields == [missing]


@pytest.mark.threat("D13")
@both
def test_the_query_has_no_effect(anyone: Deployed, name: str) -> None:
    event = _with_body(name, json.dumps(ASK))
    event["rawQueryString"] = "room_id=other&role=host&user_id=root&expires_in=86400&platform=agora"
    event["queryStringParameters"] = {"room_id": "other", "role": "host", "user_id": "root", "expires_in": "86400"}

    answer = anyone.answer(event)

    assert answer.token
    claims = claims_of(answer.token)
    assert (claims["room_id"], claims["role"]) == (ASK["room_id"], ASK["role"])
    assert claims["user_id"] != "root"
    assert answer.body["expires_in"] == 3600


@pytest.mark.threat("D13")
def test_the_query_fills_no_gap(anyone: Deployed) -> None:
    event = _with_body(LENIENT, json.dumps({"room_id": "r"}))
    event["queryStringParameters"] = {"role": "host"}

    assert _refused(anyone, event, 400).faulty_fields == ["role"]


@pytest.mark.threat("D13")
def test_the_platform_is_the_paths(anyone: Deployed) -> None:
    _refused(anyone, _with_body(STRICT, json.dumps({**ASK, "platform": "100ms"})), 400, "invalid-request")

    event = _with_body(LENIENT, json.dumps(ASK))
    event["pathParameters"] = {"platform": "carrier-pigeon"}
    assert anyone.answer(event).token, "a route that names its platform has no use for a parameter"


# --- forms ---------------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"
BAD_FORMS = {
    "d2-repeated": b"room_id=r&role=guest&role=host",
    "d2-repeated-by-an-escape": b"room_id=r&role=guest&%72ole=host",
    "d2-repeated-stray": b"room_id=r&role=guest&x=1&x=2",
    "d7-not-utf-8": b"room_id=r&role=%ff",
    "d7-raw-bytes": b"room_id=r&role=\xff",
}


@pytest.mark.threat("D2")
@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS)
def test_an_ambiguous_form_is_malformed(anyone: Deployed, body: bytes) -> None:
    _refused(anyone, _with_body(LENIENT, body, FORM), 400, "malformed-body")


@pytest.mark.threat("D1")
@pytest.mark.parametrize("body", [b"", b"room_id", b"room_id=&role=", b"&&&", b"=", b"room_id;role"])
def test_an_empty_form_misses_every_required_field(anyone: Deployed, body: bytes) -> None:
    answer = _refused(anyone, _with_body(LENIENT, body, FORM), 400, "invalid-request")

    assert sorted(answer.faulty_fields) == ["role", "room_id"]


@pytest.mark.threat("D6")
@pytest.mark.parametrize("name", ["room_id", "role"])
@pytest.mark.parametrize("value", ["", "%00", "%ED%A0%80", "+", "a%0Ab", "%E2%80%A8"])
def test_a_form_has_the_same_rules(anyone: Deployed, name: str, value: str) -> None:
    pairs = {"room_id": "r", "role": "guest", name: value}
    body = "&".join(f"{key}={text}" for key, text in pairs.items()).encode()

    _refused(anyone, _with_body(LENIENT, body, FORM), 400)


# --- F8: lifetimes ---------------------------------------------------------------------------------------------------


@pytest.mark.threat("F8")
@both
@pytest.mark.parametrize("seconds", [60, 61, 3600, 86399, 86400])
def test_a_life_within_bounds_is_the_life_of_the_token(anyone: Deployed, name: str, seconds: int) -> None:
    answer = anyone.answer(_with_body(name, json.dumps({**ASK, "expires_in": seconds})))

    assert answer.token
    assert answer.body["expires_in"] == seconds
    assert claims_of(answer.token)["exp"] == answer.body["expires_at"]


BAD_LIVES = [
    *(59, 86401, 0, -1, -3600, 10**9, 2**31, 2**63, 2**64, 10**100, -(2**63)),
    *(60.0, 3600.5, 1e3, "60", "3600", "", True, False, None, [60], {"seconds": 60}),
]


@pytest.mark.threat("F8")
@pytest.mark.parametrize("seconds", BAD_LIVES, ids=repr)
def test_any_other_is_refused_and_never_clamped(anyone: Deployed, seconds: object) -> None:
    for name in (STRICT, LENIENT):
        answer = _refused(anyone, _with_body(name, json.dumps({**ASK, "expires_in": seconds})), 400, "invalid-request")
        assert answer.faulty_fields == ["expires_in"]
    answer = _refused(anyone, _with_body(MANAGEMENT, json.dumps({"expires_in": seconds})), 400, "invalid-request")
    assert answer.faulty_fields == ["expires_in"]


@pytest.mark.threat("F8")
@pytest.mark.parametrize("seconds", ["60", "600", "86400", "0600"])
def test_in_a_form_digits_are_a_number(anyone: Deployed, seconds: str) -> None:
    answer = anyone.answer(_with_body(LENIENT, urlencode({**ASK, "expires_in": seconds}).encode(), FORM))

    assert answer.body["expires_in"] == int(seconds)


@pytest.mark.threat("F8")
@pytest.mark.parametrize(
    "seconds",
    [
        *("59", "86401", "0", "-60", "+60", " 60", "60 ", "6_0", "60.0", "6e2", "0x60", "", "null", "NaN", "true"),
        *("\u0666\u0660", "\uff16\uff10", "\xb2", "9" * 11, "9" * 5000),
    ],
)
def test_in_a_form_nothing_else_is(anyone: Deployed, seconds: str) -> None:
    body = urlencode({**ASK, "expires_in": seconds}).encode()

    assert _refused(anyone, _with_body(LENIENT, body, FORM), 400).faulty_fields == ["expires_in"]


# --- E: routes, methods, headers -----------------------------------------------------------------------------------

IAM = {"iam": {"userArn": "arn:aws:iam::111122223333:user/rooms-backend", "accountId": "111122223333"}}
JWT = {"jwt": {"claims": {"sub": "teacher-1", "iss": "https://login.example.com/"}, "scopes": None}}
MANAGEMENT_ROUTE = "POST /v1/{platform}/management-token"
APP_ROUTES = ("POST /api/token", "POST /v1/{platform}/app-token")
ROUTE_KEYS = (
    *APP_ROUTES,
    *("$default", "OPTIONS /{proxy+}", "GET /v1/health", "POST /v1/100ms/management-token", "ANY /{proxy+}"),
    *("post /v1/{platform}/management-token", "POST /v1/{platform}/management-token ", ""),
    "GET " + MANAGEMENT_ROUTE[5:],
    *("POST /v1/{platform}/Management-Token", "POST /v1/{platform}/management-token/", "PUT /v1/{platform}/app-token"),
)
PATHS = (
    *("/v1/100ms/management-token", "/v1/100ms/management-token/", "//v1/100ms/management-token"),
    "/V1/100MS/MANAGEMENT-TOKEN",
    *("/v1/100ms/app-token/../management-token", "/v1/100ms/%6danagement-token", "/v1/100ms/management-token;x=y"),
    *("/v1/100ms%2Fmanagement-token", "/v1//management-token", "/v1/100ms/management-token\n"),
    "/v1/100ms/management-token?x",
    *("/v1/./100ms/management-token", "/v1/100ms/management-token/app-token"),
    "/api/token/../../v1/100ms/management-token",
    *("/api/token", "//api/token", "/api/token/", "/v1/100ms/app-token", "", "/", "*"),
)
METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "post", "PoSt", "")
AUTHORIZERS: dict[str, Any] = {"neither": None, "iam": IAM, "jwt": JWT, "both": {**IAM, **JWT}}


NO_ARN: list[Any] = ["", None, [], {}, 0, True, ["arn:aws:iam::111122223333:user/x"]]


def _spelt(route_key: str, path: str, method: str, authorizer: Any, body: str | None = None) -> Any:
    event = load_event(STRICT)
    event |= {"routeKey": route_key, "rawPath": path, "body": json.dumps(ASK) if body is None else body}
    event["requestContext"] |= {"routeKey": route_key, "authorizer": authorizer}
    event["requestContext"]["http"] |= {"path": path, "method": method}
    return event


@pytest.mark.threat("E1")
@pytest.mark.parametrize("access", MODES)
@pytest.mark.parametrize("who", AUTHORIZERS)
def test_no_spelling_leads_from_another_route_to_a_management_token(
    stacks: Mapping[str, Deployed], access: str, who: str
) -> None:
    """The function runs the authorised route: with any other route key, path and method lead nowhere."""
    deployed, minted = stacks[access], set[str]()
    for route_key, path, method, body in itertools.product(
        ROUTE_KEYS, PATHS, ("POST", "GET", "OPTIONS"), (json.dumps(ASK), "{}")
    ):
        answer = deployed.answer(_spelt(route_key, path, method, AUTHORIZERS[who], body))
        assert answer.status < 500
        if answer.token:
            assert claims_of(answer.token)["type"] == "app"
            old_spelling = access == "open" and path in ("//api/token", "/api/token/") and method == "POST"
            assert route_key in APP_ROUTES or (route_key == "$default" and old_spelling)
            minted.add(route_key)

    proved = access == "open" or who in (access, "both")
    assert minted == (set(APP_ROUTES) if proved else set()) | ({"$default"} if access == "open" else set())


@pytest.mark.threat("F5")
@pytest.mark.parametrize("access", MODES)
@pytest.mark.parametrize(
    "authorizer",
    [
        *(None, {}, [], "iam", 1, {"iam": None}, {"iam": {}}, {"iam": []}),
        *({"iam": "arn:aws:iam::111122223333:user/x"}, JWT),
        *({"iam": {"userArn": value}} for value in NO_ARN),
        *({"iam": {"UserArn": "arn:aws:iam::111122223333:user/x"}}, {"userArn": "arn:aws:iam::111122223333:user/x"}),
        *({"IAM": IAM["iam"]}, {"lambda": IAM["iam"]}),
        {"iam": {"accessKey": "AKIAIOSFODNN7EXAMPLE", "userId": "AIDA"}},
    ],
    ids=repr,
)
def test_a_management_token_requires_an_iam_block_with_a_principal(
    stacks: Mapping[str, Deployed], access: str, authorizer: Any
) -> None:
    for path, method in itertools.product(("/v1/100ms/management-token", "/api/token", ""), ("POST", "GET", "")):
        _refused(stacks[access], _spelt(MANAGEMENT_ROUTE, path, method, authorizer, "{}"), 401, "unauthenticated")


@pytest.mark.threat("F5")
def test_headers_prove_nothing(anyone: Deployed) -> None:
    """Under `sam local` there is no authorizer, so a signature is not verified and authenticates no caller."""
    event = load_event(MANAGEMENT)
    assert event["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 ")
    del event["requestContext"]["authorizer"]
    event["headers"] |= {"x-amzn-iam-user-arn": IAM["iam"]["userArn"], "x-forwarded-user": "root"}
    event["requestContext"]["identity"] = {"userArn": IAM["iam"]["userArn"]}

    _refused(anyone, event, 401, "unauthenticated")


@pytest.mark.threat("E1", "E2", "E4")
@pytest.mark.parametrize(
    "path",
    [
        *("/v1/100ms/app-token/", "/v1/100ms/app-token///", "/v1/100ms/app-token\n", "/v1/100ms/app-token%0A"),
        *("/api/token//", "///api/token", "/api//token", "/api/token\n", "/api/token?", "api/token", "/API/TOKEN"),
        "//api/token/",
        *("/v1/../v1/100ms/app-token", "/v1/%2e%2e/app-token", "/v1/100ms%00/app-token", "/v1/100ms /app-token"),
        "/v1//app-token",
        *("/dev/api/token", "/prod/v1/100ms/app-token", "/v1/health/", "/health", "/v2/100ms/app-token", "/v1"),
        *("/..", "\ud800"),
    ],
)
@pytest.mark.parametrize("access", MODES)
def test_by_default_there_is_nothing(stacks: Mapping[str, Deployed], access: str, path: str) -> None:
    deployed = stacks[access]
    before = deployed.stream.tell()

    for method, authorizer in itertools.product(("POST", "GET"), AUTHORIZERS.values()):
        _refused(deployed, _spelt("$default", path, method, authorizer), 404, "not-found")

    assert deployed.audit_lines(before) == []


@pytest.mark.threat("E2", "E3")
@pytest.mark.parametrize(
    "platform",
    [
        "..",
        "%00",
        "a%2fb",
        "100MS",
        "100ms ",
        " 100ms",
        "",
        "100ms\x00",
        "\uff11\uff10\uff10ms",
        "__class__",
        100,
        None,
    ],
)
@pytest.mark.parametrize("name", [STRICT, MANAGEMENT])
def test_a_platform_is_one_of_a_list(anyone: Deployed, name: str, platform: object) -> None:
    event = load_event(name)
    event["pathParameters"] = {"platform": platform}

    _refused(anyone, event, 404, "not-found")


@pytest.mark.threat("E2", "F15")
def test_a_platform_that_this_stack_does_not_serve_is_not_there(deploy: Deploy) -> None:
    """A known and an unknown one get the same answer to the byte, except for the request id."""
    event, unknown = load_event(STRICT), load_event(STRICT)
    event["pathParameters"], unknown["pathParameters"] = {"platform": "agora"}, {"platform": "carrier-pigeon"}
    deployed = deploy()

    assert deployed.answer(event) == deployed.answer(unknown)


ALLOWED = {
    "/api/token": "POST",
    "/v1/100ms/app-token": "POST",
    "/v1/100ms/management-token": "POST",
    "/v1/health": "GET",
}


@pytest.mark.threat("E5")
@pytest.mark.parametrize("access", MODES)
@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_405_with_the_allowed_one(stacks: Mapping[str, Deployed], access: str, path: str) -> None:
    deployed = stacks[access]
    before = deployed.stream.tell()
    for method in METHODS:
        if method not in (ALLOWED[path], "OPTIONS"):
            answer = _refused(deployed, _spelt("$default", path, method, IAM), 405, "method-not-allowed")
            assert answer.headers["allow"] == ALLOWED[path]

    assert deployed.audit_lines(before) == []


@pytest.mark.threat("E5")
@pytest.mark.parametrize("path", ["//api/token", "/api/token/"])
def test_the_old_spellings_answer_post_alone(stacks: Mapping[str, Deployed], path: str) -> None:
    for method in METHODS:
        if method not in ("POST", "OPTIONS"):
            answer = _refused(stacks["open"], _spelt("$default", path, method, None), 405, "method-not-allowed")
            assert answer.headers["allow"] == "POST"
            _refused(stacks["jwt"], _spelt("$default", path, method, JWT), 404, "not-found")


@pytest.mark.threat("E2", "E5")
@pytest.mark.parametrize("path", ["//v1/100ms/app-token", "//v1/100ms/management-token", "/v1/100ms/management-token/"])
def test_no_other_route_has_an_old_spelling(anyone: Deployed, path: str) -> None:
    _refused(anyone, _spelt("$default", path, "POST", IAM), 404, "not-found")


OVERRIDES = (
    ("x-http-method-override", "POST"),
    ("x-http-method", "POST"),
    ("x-method-override", "POST"),
    ("_method", "POST"),
    ("x-original-url", "/v1/100ms/management-token"),
    ("x-rewrite-url", "/v1/100ms/management-token"),
    ("x-forwarded-path", "/v1/100ms/management-token"),
    ("x-forwarded-host", "evil.example"),
    ("host", "evil.example"),
    ("forwarded", "for=127.0.0.1"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-real-ip", "::1"),
)


@pytest.mark.threat("E6")
@pytest.mark.parametrize(("header", "value"), OVERRIDES)
def test_no_header_changes_the_route(anyone: Deployed, header: str, value: str) -> None:
    for name in (
        "api-token-get.json",
        "app-token-open.json",
        "management-token-unauthenticated.json",
        "not-found.json",
    ):
        plain, event = load_event(name), load_event(name)
        event["headers"][header] = value
        if header == "_method":
            event["rawQueryString"] = "_method=POST"

        expected, answer = anyone.answer(plain), anyone.answer(event)

        assert (answer.status, answer.code, answer.headers) == (expected.status, expected.code, expected.headers)
        if answer.token and expected.token:
            assert {**claims_of(answer.token), "jti": ""} == {**claims_of(expected.token), "jti": ""}
            assert _last_line(anyone)["source_ip"] == "203.0.113.7"


@pytest.mark.threat("E10")
@pytest.mark.parametrize(
    "header",
    [
        {"x-request-id": "a\r\nSet-Cookie: x"},
        {"x-request-id": "x" * 8192},
        {"x-request-id": "é\ud800"},
        {"x-amzn-trace-id": "Root=\r\nSet-Cookie: x"},
        {"user-agent": "\r\nSet-Cookie: x" * 500},
        {"origin": "https://app.example.com\r\nSet-Cookie: x"},
        {"set-cookie": "x"},
        {"content-encoding": "gzip"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_no_header_comes_back(anyone: Deployed, header: Mapping[str, str]) -> None:
    event = load_event(STRICT)
    event["headers"] |= header
    event["requestContext"]["http"]["userAgent"] = event["headers"]["user-agent"]

    answer = anyone.answer(event)

    assert answer.headers["x-request-id"] == event["requestContext"]["requestId"]
    assert answer.headers.keys() == {"cache-control", "content-type", "x-content-type-options", "x-request-id"}
    assert "Set-Cookie" not in json.dumps(answer.headers)


@pytest.mark.threat("E10")
@pytest.mark.parametrize(
    "request_id",
    ["a\r\nSet-Cookie: x", "a b", "é", "\ud800", "x" * 129, "", "\x7f", None, 5, ["x"], {"a": "b"}],
    ids=repr,
)
@pytest.mark.parametrize("name", [STRICT, "app-token-unknown-field.json"])
def test_an_invalid_request_id_is_not_repeated(anyone: Deployed, name: str, request_id: object) -> None:
    event = load_event(name)
    event["requestContext"]["requestId"] = request_id

    answer = anyone.answer(event)

    assert answer.headers["x-request-id"] == "8f507cfc-0000-4697-b07a-ac58fc914c95"  # Lambda's own
    assert _last_line(anyone)["request_id"] == answer.headers["x-request-id"]


# --- F: authorization ------------------------------------------------------------------------------------------------

UNPROVEN: dict[str, Any] = {
    "nothing": None,
    "empty": {},
    "text": "jwt",
    "list": [JWT],
    "null-jwt": {"jwt": None},
    "empty-jwt": {"jwt": {}},
    "null-claims": {"jwt": {"claims": None}},
    "empty-claims": {"jwt": {"claims": {}}},
    "claims-in-a-list": {"jwt": {"claims": [{"sub": "teacher-1"}]}},
    "claims-as-text": {"jwt": {"claims": '{"sub":"teacher-1"}'}},
    "rest-api": {"claims": {"sub": "teacher-1"}},
    "rest-api-principal": {"principalId": "teacher-1"},
    "lambda-authorizer": {"lambda": {"sub": "teacher-1"}},
    "another-case": {"JWT": {"claims": {"sub": "teacher-1"}}},
    "iam": IAM,
}


@pytest.mark.threat("F1")
@pytest.mark.parametrize("authorizer", UNPROVEN.values(), ids=UNPROVEN)
@pytest.mark.parametrize("name", ["app-token-jwt.json", "api-token-jwt.json"])
def test_without_an_authorizer_block_the_caller_is_unauthenticated(
    stacks: Mapping[str, Deployed], name: str, authorizer: Any
) -> None:
    """The event still contains the caller's bearer token, which the function never reads."""
    event = load_event(name)
    assert event["headers"]["authorization"].startswith("Bearer ")
    event["requestContext"]["authorizer"] = authorizer

    _refused(stacks["jwt"], event, 401, "unauthenticated")


@pytest.mark.threat("E7", "F1")
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer null", "Bearer undefined", "Basic cm9vdDpyb290"])
def test_an_authorization_header_alone_authenticates_no_caller(stacks: Mapping[str, Deployed], header: str) -> None:
    event = load_event("app-token-unauthenticated.json")
    event["headers"]["authorization"] = header

    for access in ("jwt", "iam"):
        _refused(stacks[access], event, 401, "unauthenticated")


@pytest.mark.threat("F1")
@pytest.mark.parametrize("name", ["app-token-iam-role.json", "api-token-iam.json"])
@pytest.mark.parametrize("authorizer", [None, {}, JWT, {"iam": None}, {"iam": {}}, {"iam": {"userArn": ""}}], ids=repr)
def test_iam_takes_an_iam_block(stacks: Mapping[str, Deployed], name: str, authorizer: Any) -> None:
    event = load_event(name)
    event["requestContext"]["authorizer"] = authorizer

    _refused(stacks["iam"], event, 401, "unauthenticated")


@pytest.mark.threat("F3")
@pytest.mark.parametrize(
    "other",
    ["student-7", "Teacher-1", "teacher\u200b-1", "teacher-10", "teacher", "\uff54eacher-1", "*", "root"],
)
@pytest.mark.parametrize("name", ["app-token-jwt.json", "api-token-jwt.json"])
def test_a_signed_in_user_gets_a_token_for_themselves_only(
    stacks: Mapping[str, Deployed], name: str, other: str
) -> None:
    event = load_event(name)
    event["body"] = json.dumps({**ASK, "user_id": other})

    _refused(stacks["jwt"], event, 403, "user-mismatch")


@pytest.mark.threat("F3")
def test_a_spelling_of_the_same_name_is_another_name(stacks: Mapping[str, Deployed]) -> None:
    event = load_event("app-token-jwt.json")
    event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = "Zo\u00eb"
    event["body"] = json.dumps({**ASK, "user_id": "Zoe\u0308"})

    _refused(stacks["jwt"], event, 403, "user-mismatch")


@pytest.mark.threat("F3")
@pytest.mark.parametrize(
    "sub",
    [None, "", " ", " teacher-1", "a\x00b", "\ud800", "x" * 257, "\u202eroot", 5, True, ["teacher-1"], {"a": "b"}],
    ids=repr,
)
@pytest.mark.parametrize("name", ["app-token-jwt.json", "api-token-jwt.json"])
def test_an_invalid_user_id_in_the_claim_is_refused(stacks: Mapping[str, Deployed], name: str, sub: object) -> None:
    event = load_event(name)
    event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub

    _refused(stacks["jwt"], event, 403, "not-allowed")


@pytest.mark.threat("F3")
@pytest.mark.parametrize("stray", ["sub", "userId", "USER_ID", "user-id", "customer_user_id", "peer_id"])
def test_on_the_drop_in_only_user_id_is_the_user(stacks: Mapping[str, Deployed], stray: str) -> None:
    event = load_event("api-token-jwt.json")
    event["body"] = json.dumps({**ASK, stray: "root"})

    answer = stacks["jwt"].answer(event)

    assert answer.token
    assert claims_of(answer.token)["user_id"] == "teacher-1"


@pytest.mark.threat("F3")
@pytest.mark.parametrize("empty", [None, ""], ids=["null", "empty"])
def test_an_empty_user_on_the_drop_in_route_is_the_signed_in_one(
    stacks: Mapping[str, Deployed], empty: str | None
) -> None:
    event = load_event("api-token-jwt.json")
    event["body"] = json.dumps({**ASK, "user_id": empty})

    assert stacks["jwt"].answer(event).body["user_id"] == "teacher-1"


# --- C: events that are not requests ---------------------------------------------------------------------------------

ELSEWHERE: dict[str, Any] = {
    "c11-rest-api-v1": {
        "resource": "/api/token",
        "path": "/api/token",
        "httpMethod": "POST",
        "headers": {"Content-Type": JSON},
        "requestContext": {"resourcePath": "/api/token", "httpMethod": "POST", "requestId": "r", "authorizer": IAM},
        "body": json.dumps(ASK),
        "isBase64Encoded": False,
    },
    "c11-load-balancer": {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
        "httpMethod": "POST",
        "path": "/api/token",
        "headers": {"content-type": JSON},
        "body": json.dumps(ASK),
        "isBase64Encoded": False,
    },
    "c11-function-url": {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/v1/100ms/management-token",
        "headers": {},
        "body": "{}",
        "requestContext": {
            "authorizer": {"iam": {"userArn": "arn:aws:iam::111122223333:user/x"}},
            "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws",
            "http": {"method": "POST", "path": "/v1/100ms/management-token", "sourceIp": "203.0.113.7"},
            "routeKey": "$default",
        },
    },
    "c11-websocket": {
        "requestContext": {"routeKey": "POST /api/token", "eventType": "MESSAGE"},
        "body": json.dumps(ASK),
    },
    "c11-direct": {**ASK, "user_id": "root", "platform": "100ms", "kind": "management"},
    "c11-warm-up": {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    "c11-queue": {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(ASK)}]},
    "c11-authorizer-request": {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:x",
        "identitySource": [],
    },
    "c6-empty": {},
    "c6-null": None,
    "c6-text": "POST /api/token",
    "c6-number": 7,
    "c6-true": True,
    "c6-list": [{"routeKey": "POST /api/token"}],
    "c6-route-in-a-list": {"routeKey": ["POST /api/token"], "body": json.dumps(ASK)},
    "c6-route-of-bytes": {"routeKey": b"POST /api/token", "body": json.dumps(ASK)},
    "c6-context-of-text": {"routeKey": "$default", "requestContext": "http", "rawPath": 5, "headers": []},
    "c6-keys-that-are-no-text": {1: 2, None: 3, "headers": {1: "a", "b": 2}, "requestContext": {3: 4}},
}


@pytest.mark.threat("C11")
@pytest.mark.parametrize("access", MODES)
@pytest.mark.parametrize("event", ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_event_from_elsewhere_is_not_found(stacks: Mapping[str, Deployed], access: str, event: Any) -> None:
    deployed = stacks[access]
    before = deployed.stream.tell()

    _refused(deployed, event, 404, "not-found")

    assert deployed.audit_lines(before) == []


SOURCES = {
    "payload-format-1.0": ["c11-rest-api-v1", "c11-load-balancer"],
    "function-url": ["c11-function-url"],
    "not-an-http-api": [name for name in ELSEWHERE if name.startswith("c6-") or name == "c11-queue"],
}


@pytest.mark.parametrize(("source", "name"), [(source, name) for source, names in SOURCES.items() for name in names])
def test_the_log_names_the_source_of_such_an_event(
    anyone: Deployed, capsys: pytest.CaptureFixture[str], source: str, name: str
) -> None:
    anyone.answer(ELSEWHERE[name])

    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (line["level"], line["message"], line["reason"]) == ("WARNING", "foreign-event", source)


def test_an_unknown_path_of_the_http_api_is_not_logged(anyone: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    event = load_event("api-token-web.json") | {"routeKey": "$default", "rawPath": "/nothing"}

    assert anyone.answer(event).status == 404
    assert capsys.readouterr().out == ""


@pytest.mark.threat("C11")
@pytest.mark.parametrize("name", [STRICT, LENIENT, MANAGEMENT])
@pytest.mark.parametrize("access", ["jwt", "iam"])
def test_a_direct_invocation_that_names_a_route_is_not_signed_in(
    stacks: Mapping[str, Deployed], access: str, name: str
) -> None:
    whole = load_event(name)
    event = {"routeKey": whole["routeKey"], "pathParameters": {"platform": "100ms"}, "body": json.dumps(ASK)}

    _refused(stacks[access], event, 401, "unauthenticated")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _places(child, (*path, key))
    elif isinstance(value, str):
        yield path


def _put(event: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of `event` with `value` at `path`."""
    changed = place = copy.deepcopy(event)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.threat("C7")
@pytest.mark.parametrize("surrogate", ["\ud800", "a\udfffb"], ids=["high", "low"])
@pytest.mark.parametrize(
    ("access", "name"),
    [("open", LENIENT), ("jwt", "app-token-jwt.json"), ("iam", "app-token-iam-role.json"), ("open", MANAGEMENT)],
)
def test_a_lone_surrogate_anywhere_ends_in_an_answer_that_can_be_sent(
    stacks: Mapping[str, Deployed], access: str, name: str, surrogate: str
) -> None:
    """`Deployed.answer` sends every answer through the runtime's own marshaller."""
    event = load_event(name)
    for path in _places(event):
        answer = stacks[access].answer(_put(event, path, surrogate))

        assert answer.status < 500
        assert stacks[access].stream.getvalue().isascii()


# --- any event -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "POST", "100ms", "$default", *PATHS, *ROUTE_KEYS]
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=10,
)
FILES = [
    event
    for event in (load_event(path.name) for path in sorted(EVENTS.glob("*.json")))
    if event.get("pathParameters", {}).get("platform", "100ms")
    == "100ms"  # test_platforms.py changes the others' events.
]


def _all_places(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _all_places(child, (*path, key))


@st.composite
def bent_events(draw: st.DrawFn) -> Any:
    """An event of events/ with up to three values replaced by anything."""
    event = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(_all_places(event)) or [()]))
        if place:
            event = _put(event, place, draw(ANYTHING))
    return event


SHAPED = st.fixed_dictionaries(
    {
        "routeKey": st.sampled_from([*ROUTE_KEYS, MANAGEMENT_ROUTE]) | ANYTHING,
        "rawPath": st.sampled_from(PATHS) | ANYTHING,
        "requestContext": ANYTHING
        | st.fixed_dictionaries(
            {
                "http": ANYTHING | st.fixed_dictionaries({"method": st.sampled_from(METHODS) | ANYTHING}),
                "authorizer": st.sampled_from(list(AUTHORIZERS.values())) | ANYTHING,
                "requestId": ANYTHING,
            }
        ),
    },
    optional={
        "headers": ANYTHING | st.dictionaries(st.sampled_from(["content-type", "origin", "Content-Type"]), TEXT),
        "pathParameters": ANYTHING | st.just({"platform": "100ms"}),
        "body": ANYTHING
        | st.just(json.dumps(ASK))
        | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode()),
        "isBase64Encoded": st.booleans() | ANYTHING,
    },
)


def _due(event: Any, access: str) -> str | None:
    """Return the kind of token that `event` may get, by the rules of docs/api.md and independent of the code."""

    def at(*path: str) -> Any:
        value = event
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    route, context = at("routeKey"), ("requestContext", "authorizer")
    if at("requestContext", "http", "method") == "OPTIONS":
        return None
    if route == MANAGEMENT_ROUTE:
        named = at(*context, "iam", "userArn")
        return (
            "management" if isinstance(named, str) and named and at("pathParameters", "platform") == "100ms" else None
        )
    if route == "$default":
        old = at("rawPath") in ("//api/token", "/api/token/") and at("requestContext", "http", "method") == "POST"
        return "app" if old and access == "open" else None
    if route == "POST /v1/{platform}/app-token" and at("pathParameters", "platform") != "100ms":
        return None
    if route not in APP_ROUTES:
        return None
    proof = {"open": "anyone", "jwt": at(*context, "jwt", "claims", "sub"), "iam": at(*context, "iam", "userArn")}[
        access
    ]
    return "app" if isinstance(proof, str) and proof else None


@pytest.mark.threat("C6", "C11", "D14")
@pytest.mark.parametrize("access", MODES)
@settings(max_examples=150)
@given(event=ANYTHING | SHAPED | bent_events())
def test_any_event_is_answered_below_500_and_gets_only_the_token_it_may_have(
    stacks: Mapping[str, Deployed], access: str, event: Any
) -> None:
    deployed = stacks[access]
    before = deployed.stream.tell()

    answer = deployed.answer(event)

    assert answer.status < 500
    lines = deployed.audit_lines(before)
    assert len(lines) == (answer.status not in (204, 404, 405) and "minting" not in answer.body)
    if answer.token:
        claims = claims_of(answer.token)
        assert claims["type"] == _due(event, access)
        if access == "jwt" and claims["type"] == "app":
            assert claims["user_id"] == event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]


@pytest.mark.threat("D14")
@settings(max_examples=100)
@given(
    body=st.text(st.characters(), max_size=300)
    | st.binary(max_size=300)
    | ANYTHING.map(json.dumps)
    | st.dictionaries(st.sampled_from(["room_id", "role", "user_id", "expires_in"]) | TEXT, ANYTHING).map(json.dumps),
    content_type=st.none() | st.sampled_from([JSON, FORM, "text/plain;charset=UTF-8", "multipart/form-data"]) | TEXT,
    name=st.sampled_from([STRICT, LENIENT, MANAGEMENT]),
)
def test_any_body_is_accepted_or_refused(
    stacks: Mapping[str, Deployed], body: str | bytes, content_type: str | None, name: str
) -> None:
    answer = stacks["open"].answer(_with_body(name, body, content_type))

    assert answer.status in (200, 400, 413, 415)
