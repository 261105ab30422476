"""Ids and names: which are refused, and which are valid for every Unicode version of the interpreter."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.platforms.fields import check_display_value, check_id, check_role, identifier

BLANK = [
    *("\u3164", "\u2800", "\uffa0", "\u115f", "\u1160", "\u17b4", "\u17b5", "\ufe0f", "\u034f", "\U0001d159", "\u200b"),
    *("\u200d", "\u2060", "\u2064", "\u00ad", "\u061c", "\u180e", "\ufeff", "\U000e0020", "\U000e0100", "\ufff8"),
    *("\U0001bca0", "\U0001d173", "\u3164\u2800", "\u200d\ufe0f", "\ufffc"),
    *("\ufff9", "\U00013441"),
]
"""Text of code points that are default-ignorable, or blank in every font."""

FORBIDDEN = ["a\x00", "a\x7f", "a\x85b", "a\ud800", "a\ue000", "a\U000f0000b", "a\u2028b", "a\u2029b"]
FORBIDDEN += ["a\u202eb", "a\u2066b", "a\ufffe", "a\uffff", "a\U0001fffe", "a\ufdd0", "a\U0010ffff"]

VISIBLE = ["a", "Zo\u00eb", "e\u0301", "\u0627\u0644", "\u5f20", "\U0001f469\u200d\U0001f469", "a\u200db", "a\u3164a"]
VISIBLE += ["\u0600", "\u06dd", "\u070f", "\U000110bd"]  # Format characters that show a sign.
UNASSIGNED = ["\u0378", "\U0001fadf", "\U0001fac6", "\U0001fae9", "\U00034000", "\u05ff"]
"""Unassigned in some or all versions of Unicode; \\U0001fadf is an emoji of Unicode 16."""

INVISIBLE_ALONE = ["\u0301", "\u20dd", "\u1dc4", "\u17b4\u0301", "\U00013430", "\U00013440", "\U00016fe4"]
INVISIBLE_ALONE += ["\U0001107f", "\u0301\u3164"]

INVISIBLE_EDGES = ["\u200fa", "\u061ca", "\u1160a", "a\u3164", "a\u200b", "\ufff9a\ufffbb", "\ufe0fa", "\U000e0041a"]
INVISIBLE_EDGES += [
    "ada\ufe0f",
    "\u0430\U000e0100",
    "7\ufe0f",
    "a b\U000e0041",
    "ada\U000e0fff",
    "ada\u180b",
    "a\u200d",
]
VISIBLE_EDGES = ["\u2764\ufe0f", "\u845b\U000e0100", "\U0001f3f4\U000e0067\U000e007f", "e\u0301", "\u0301e"]
VISIBLE_EDGES += ["\u0d2e\u0d4b\u0d39\u0d28\u0d4d\u200d", "\u0d9a\u0dca\u200d", "\u0915\u094d\u200c", "\u2139\ufe0f"]

MISSING = [
    *("undefined", "null", "None", "NaN", "nil", "<nil>", "(null)", "<null>", "[object Object]", "[object Promise]"),
    *("NULL", "Null", "Undefined", "UNDEFINED", "<NIL>", "[OBJECT OBJECT]", "Instance of 'User'", "Optional(nil)"),
    *("undefined-undefined", "nullnull", "NaN-NaN", "null_undefined", "undefined undefined", "default:undefined"),
    *("${userId}", "{{userId}}", "{{ user.id }}", "%s", '"undefined"', "'None'", "[]", "map[]", "{}", "nu\u200bll"),
    *("%!s(<nil>)", "%!v(MISSING)", "<no value>", "[null]", "Optional.empty", "<NA>", "kotlin.Unit", "System.Object"),
    *("00000000-0000-0000-0000-000000000000", "Promise { <pending> }", "<class 'NoneType'>", '""', "%USER_ID%"),
    *("<app.User object at 0x7f8b>", "#{user.id}", "<%= user.id %>", "\\(userId)", "user-${id}", "user_{{id}}"),
    *("user-undefined", "room_NaN", "users/undefined", "user-[object Object]"),
]
POSSIBLE_IDS = [
    "nan",
    "Nan",
    "none",
    "NONE",
    "Nil",
    "nil-2",
    "Nullmeyer",
    "dev-null",
    "undefined1",
    "my-undefinedness",
    "user-nan",
    "100%-off%",
    "{sub}",
    "$cash",
    "-",
    "_",
    "user-null",
]
"""Names of people and rooms, and rooms about programming."""


@pytest.mark.parametrize("value", [*BLANK, *INVISIBLE_ALONE], ids=ascii)
def test_text_that_shows_nothing_is_blank(value: str) -> None:
    for check in (check_id, check_role, check_display_value):
        with pytest.raises(ValueError, match="must not"):
            check(value)
    assert check_id(f"a{value}a") == f"a{value}a"


@pytest.mark.parametrize("value", FORBIDDEN, ids=ascii)
def test_controls_surrogates_private_use_and_noncharacters_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must not contain control or private characters"):
        check_id(value)


@pytest.mark.parametrize("value", [*VISIBLE, *VISIBLE_EDGES, *UNASSIGNED], ids=ascii)
def test_visible_and_unassigned_text_passes_as_it_is(value: str) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize("value", INVISIBLE_EDGES, ids=ascii)
def test_an_id_neither_begins_nor_ends_with_an_invisible_character(value: str) -> None:
    for check in (check_id, check_display_value):
        with pytest.raises(ValueError, match="must not begin or end with an invisible character"):
            check(value)


@pytest.mark.parametrize("value", MISSING, ids=ascii)
def test_the_text_of_a_missing_value_is_not_an_id(value: str) -> None:
    for check in (check_id, identifier(64)):
        with pytest.raises(ValueError, match="prints for a missing value"):
            check(value)
    assert check_display_value(value) == value


@pytest.mark.parametrize("value", POSSIBLE_IDS)
def test_names_that_only_resemble_a_missing_value_are_ids(value: str) -> None:
    assert check_id(value) == value


@given(st.text(st.characters(categories=["Cn"]), min_size=1, max_size=8))
def test_no_unassigned_code_point_is_judged_by_the_interpreter(value: str) -> None:
    edges = any(0xFFF0 <= ord(c) <= 0xFFF8 or ord(c) == 0x2065 for c in (value[0], value[-1]))
    edges = edges or 0xE0000 <= ord(value[0]) < 0xE1000
    noncharacters = [c for c in value if ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF]
    ignorable = all(0xE0000 <= ord(c) < 0xE1000 or 0xFFF0 <= ord(c) <= 0xFFF8 or ord(c) == 0x2065 for c in value)
    assert {unicodedata.category(c) for c in value} == {"Cn"}
    if noncharacters or ignorable or edges:
        with pytest.raises(ValueError, match="must not"):
            check_id(value)
    else:
        assert check_id(value) == value
