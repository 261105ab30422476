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

VISIBLE = ["a", "Zo\u00eb", "e\u0301", "\u0627\u0644", "\u5f20", "\U0001f469\u200d\U0001f469", "a\u200db", "\u3164a"]
VISIBLE += ["\u0600", "\u06dd", "\u070f", "\U000110bd"]  # Format characters that show a sign.
UNASSIGNED = ["\u0378", "\U0001fadf", "\U0001fac6", "\U0001fae9", "\U00034000", "\u05ff"]
"""Unassigned in some or all versions of Unicode; \\U0001fadf is an emoji of Unicode 16."""

PRINTED = [
    "undefined",
    "null",
    "None",
    "NaN",
    "[object Object]",
    "[object Promise]",
    "nil",
    "<nil>",
    "(null)",
    "<null>",
]


@pytest.mark.parametrize("value", BLANK, ids=ascii)
def test_text_that_shows_nothing_is_blank(value: str) -> None:
    for check in (check_id, check_role, check_display_value):
        with pytest.raises(ValueError, match="must not"):
            check(value)
    assert check_id(f"a{value}a") == f"a{value}a"


@pytest.mark.parametrize("value", FORBIDDEN, ids=ascii)
def test_controls_surrogates_private_use_and_noncharacters_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must not contain control or private characters"):
        check_id(value)


@pytest.mark.parametrize("value", [*VISIBLE, *UNASSIGNED], ids=ascii)
def test_visible_and_unassigned_text_passes_as_it_is(value: str) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize("value", PRINTED)
def test_null_of_a_program_is_not_an_id(value: str) -> None:
    for check in (check_id, identifier(64)):
        with pytest.raises(ValueError, match="prints for a missing value"):
            check(value)
    assert check_display_value(value) == value
    assert check_id(f"{value}1") == f"{value}1"
    assert check_id(value.swapcase())


@given(st.text(st.characters(categories=["Cn"]), min_size=1, max_size=8))
def test_no_unassigned_code_point_is_judged_by_the_interpreter(value: str) -> None:
    noncharacters = [c for c in value if ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF]
    ignorable = all(0xE0000 <= ord(c) < 0xE1000 or 0xFFF0 <= ord(c) <= 0xFFF8 or ord(c) == 0x2065 for c in value)
    assert {unicodedata.category(c) for c in value} == {"Cn"}
    if noncharacters or ignorable:
        with pytest.raises(ValueError, match="must not"):
            check_id(value)
    else:
        assert check_id(value) == value
