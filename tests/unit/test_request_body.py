"""The request body: how valid ones are read. test_hostile_requests.py has the table of invalid ones."""

import base64
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey import request_body
from roomkey.errors import BodyTooLarge, MalformedBody, RoomkeyError, UnsupportedMediaType

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
LIMIT = 16 * 1024

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=6)
EVENTS: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "body": st.none() | st.text(st.characters()) | st.binary().map(lambda b: base64.b64encode(b).decode()) | VALUES,
        "isBase64Encoded": st.booleans() | VALUES,
    },
)


def _text(body: str) -> dict[str, object]:
    return {"body": body, "isBase64Encoded": False}


def _encoded(body: bytes | str) -> dict[str, object]:
    raw = body.encode() if isinstance(body, str) else body
    return {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}


def _strict(event: dict[str, object], content_type: str | None = JSON) -> dict[str, Any]:
    return request_body.read_strict(event, content_type, may_be_empty=False)


# --- JSON ----------------------------------------------------------------------------------------------------------


@given(OBJECTS)
def test_any_object_is_read_unchanged(fields: dict[str, Any]) -> None:
    for body in (json.dumps(fields), json.dumps(fields, ensure_ascii=False, indent=1)):
        for event in (_text(body), _encoded(body)):
            assert _strict(event) == fields
            assert request_body.read_lenient(event, None) == fields


@given(OBJECTS, st.none() | TEXT)
def test_on_the_drop_in_route_a_body_with_a_brace_is_json_for_every_type(
    fields: dict[str, Any], content_type: str | None
) -> None:
    assert request_body.read_lenient(_encoded(" \n\t\r" + json.dumps(fields)), content_type) == fields


@pytest.mark.parametrize("event", [{}, {"body": None}, _text(""), _encoded(""), {"body": "", "isBase64Encoded": None}])
def test_an_empty_body_has_no_fields_if_it_may_be_empty(event: dict[str, object]) -> None:
    for content_type in (None, JSON, FORM, "image/png"):
        assert request_body.read_strict(event, content_type, may_be_empty=True) == {}

    with pytest.raises(MalformedBody):
        _strict(event)
    with pytest.raises(MalformedBody):
        request_body.read_lenient(event, None)


@pytest.mark.parametrize("body", [" ", "null", "[]"])
def test_a_body_that_only_seems_empty_is_malformed(body: str) -> None:
    with pytest.raises(MalformedBody):
        request_body.read_strict(_text(body), JSON, may_be_empty=True)
    with pytest.raises(UnsupportedMediaType):
        request_body.read_strict(_text(body), None, may_be_empty=True)


def test_an_integer_of_any_size_stays_an_integer() -> None:
    fields = _strict(_text('{"whole": 60, "fraction": 60.0, "exponent": 6e1, "large": 9223372036854775808}'))

    assert fields == {"whole": 60, "fraction": 60.0, "exponent": 60.0, "large": 2**63}
    assert [type(value) for value in fields.values()] == [int, float, float, int]


# --- the type ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "failure"),
    [
        (None, MalformedBody),
        ("", MalformedBody),
        ("application/json", MalformedBody),
        ("text/plain;charset=UTF-8", MalformedBody),
        ("Text/Plain", MalformedBody),
        ("text/html", UnsupportedMediaType),
        ("multipart/form-data; boundary=x", UnsupportedMediaType),
        ("application/octet-stream", UnsupportedMediaType),
        ("nonsense", UnsupportedMediaType),
    ],
)
def test_the_drop_in_route_distinguishes_a_malformed_body_from_an_unsupported_type(
    content_type: str | None, failure: type[RoomkeyError]
) -> None:
    with pytest.raises(failure):
        request_body.read_lenient(_text("room_id=r"), content_type)


# --- forms ---------------------------------------------------------------------------------------------------------


@given(st.dictionaries(TEXT.filter(lambda name: name != "expires_in"), TEXT, max_size=6))
def test_any_form_is_read_unchanged(fields: dict[str, str]) -> None:
    for content_type in (FORM, "Application/X-WWW-Form-URLencoded; charset=utf-8"):
        assert request_body.read_lenient(_encoded(urlencode(fields)), content_type) == fields


@pytest.mark.parametrize(
    ("sent", "read"),
    [("60", 60), ("0060", 60), ("0", 0), ("9999999999", 9999999999)]
    + [(text, text) for text in ("", "-60", "+60", "60.0", "6e1", "60 ", "\u0666\u0660", "\xb2", "1" * 11, "sixty")],
)
def test_only_digits_are_a_number_in_a_form(sent: str, read: object) -> None:
    fields = request_body.read_lenient(_encoded(urlencode({"expires_in": sent, "room_id": "60"})), FORM)

    assert fields == {"expires_in": read, "room_id": "60"}


# --- bytes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 1, 2, 3, 4])
def test_the_size_limit_applies_to_the_decoded_body(padding: int) -> None:
    fits = '{"a":1}'.ljust(LIMIT - padding)
    too_long = '{"a":1}'.ljust(LIMIT + 1 + padding)

    for event in (_text(fits), _encoded(fits)):
        assert _strict(event) == {"a": 1}
    for event in (_text(too_long), _encoded(too_long), _text("\U0001f511" * (LIMIT // 4 + 1))):
        with pytest.raises(BodyTooLarge):
            _strict(event)
        with pytest.raises(BodyTooLarge):
            request_body.read_lenient(event, "image/png")


# --- any body ------------------------------------------------------------------------------------------------------


@pytest.mark.threat("D14")
@given(EVENTS, st.none() | st.sampled_from([JSON, FORM, "text/plain"]) | st.text(st.characters()), st.booleans())
def test_any_body_is_read_or_refused(event: Any, content_type: str | None, may_be_empty: bool) -> None:
    with suppress(BodyTooLarge, MalformedBody, UnsupportedMediaType):
        assert isinstance(request_body.read_strict(event, content_type, may_be_empty=may_be_empty), dict)
    with suppress(BodyTooLarge, MalformedBody, UnsupportedMediaType):
        assert isinstance(request_body.read_lenient(event, content_type), dict)


@pytest.mark.parametrize("body", ['{"a": SENTINEL}', "SENTINEL", '{"SENTINEL":1,"SENTINEL":2}', '["SENTINEL"]'])
def test_a_refusal_repeats_nothing_of_the_body(body: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        _strict(_text(body))

    (error,) = caught.value.errors
    assert error.field == "body"
    assert "SENTINEL" not in f"{caught.value} {caught.value.args} {error}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
