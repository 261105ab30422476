"""The fields of a token request, and checks for their values."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from roomkey.limits import MIN_LIFETIME


class Check[T]:
    """A check of a value. It returns the value to use, or raises `ValueError` with a reason that omits the value.

    `schema` is the JSON Schema of the accepted values. It can refer to the schemas in docs/openapi.yaml.
    """

    __slots__ = ("_check", "schema")

    def __init__(self, check: Callable[[object], T], schema: Mapping[str, object]) -> None:
        self._check = check
        self.schema = schema

    def __call__(self, value: object) -> T:
        """Return the value to use. Raises `ValueError`."""
        return self._check(value)


class RequestField(NamedTuple):
    """A field of a token request.

    `maps_to` is the field of `TokenRequest` that receives the checked value, if its name differs. `default` is used
    when the field is absent.
    """

    name: str
    check: Check[Any]
    required: bool = False
    maps_to: str = ""
    default: object = None

    @property
    def maps_to_field(self) -> str:
        """The field of `TokenRequest` that receives the value."""
        return self.maps_to or self.name


class Lifetime(NamedTuple):
    """Seconds that a token can live. A `default` of None is the stack's; a `maximum` of None has no bound."""

    minimum: int = MIN_LIFETIME
    default: int | None = None
    maximum: int | None = None


class TokenSpec(NamedTuple):
    """One kind of token of a platform: the request fields besides `expires_in`, and its lifetime."""

    fields: tuple[RequestField, ...] = ()
    lifetime: Lifetime = Lifetime()

    def field(self, name: str) -> RequestField | None:
        """Return the field called `name`, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def by_meaning(self) -> Mapping[str, Sequence[RequestField]]:
        """Return the fields by the field that they map to. A request has at most one of those with one meaning."""
        found: dict[str, list[RequestField]] = {}
        for field in self.fields:
            found.setdefault(field.maps_to_field, []).append(field)
        return found


_FORBIDDEN_CATEGORIES = frozenset(("Cc", "Cs", "Co", "Zl", "Zp"))
"""Control characters, surrogates, private use, line and paragraph separators.

Unassigned code points pass: which ones those are depends on the interpreter's version of Unicode.
"""
_BIDI_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_BLANK = frozenset(
    chr(code)
    for first, last in (
        *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
        *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
        # Not ignorable, and blank in every font: Braille's empty cell, and symbols for nothing.
        *((0x2800, 0x2800), (0x1D159, 0x1D159), (0xFFFC, 0xFFFC)),
        # Joiners and controls of scripts, which Unicode 3.2 does not have.
        *((0x1A60, 0x1A60), (0x2D7F, 0x2D7F), (0xAAF6, 0xAAF6), (0x10A3F, 0x10A3F), (0x1107F, 0x1107F)),
        *((0x11133, 0x11133), (0x13430, 0x13442), (0x16FE4, 0x16FE4)),
    )
    for code in range(first, last + 1)
)
"""Code points that show nothing: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), below the last
plane, and others that are known to be blank."""
_IGNORABLE_PLANE = range(0xE0000, 0xE1000)
_VARIATION_SELECTORS = frozenset(map(chr, (*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_WITHOUT_VARIATIONS = ("Ll", "Lm", "Lt", "Lu", "Me", "Mn", "Nd", "Zs")
"""Categories without characters that a variation selector changes, except for U+2139."""
_BLACK_FLAG, _TAGS = "\U0001f3f4", "".join(map(chr, range(0xE0020, 0xE0080)))
_JOINERS, _VIRAMA_CLASS = "\u200c\u200d", 9
_COMBINING_BLOCKS = (range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100), range(0xFE20, 0xFE30))

GUEST_PREFIX = "guest-"
"""How the user id of every guest with an invite begins. A signed-in user with such an id would be a guest to others."""


def text(max_length: int) -> Check[str]:
    """Return a check for names and ids of 1 to `max_length` visible code points.

    The value is never normalised: two spellings are two ids. Refused are control characters, surrogates, private and
    noncharacter code points, line and paragraph separators, bidirectional controls, values without a visible
    character, and spaces and invisible characters at either end. An emoji or a Chinese character can end with a
    variation selector, the flag of a region with tags, and a word of an Indic script with a joiner.
    """

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        if not value:
            raise ValueError("must not be empty")
        if len(value) > max_length:
            raise ValueError(f"must not be longer than {max_length} characters")
        if value != value.strip():
            raise ValueError("must not begin or end with a space")
        if not (value.isascii() and value.isprintable()):
            _check_characters(value)
        return value

    return Check(check, {"$ref": "#/components/schemas/Text", "maxLength": max_length})


def _check_characters(value: str) -> None:
    """Raise `ValueError` for characters that are refused, or that show nothing, alone or at either end."""
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in value):
        raise ValueError("must not contain control or private characters")
    if not _BIDI_CONTROLS.isdisjoint(value) or any(map(_is_noncharacter, value)):
        raise ValueError("must not contain control or private characters")
    if not any(map(_is_visible, value)):
        raise ValueError("must not be blank")
    if is_blank(value[0]) or (is_blank(value[-1]) and not _changes_character(value)):
        raise ValueError("must not begin or end with an invisible character")


def _is_noncharacter(character: str) -> bool:
    code = ord(character)
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def is_blank(character: str) -> bool:
    """Return whether the character shows nothing."""
    return character in _BLANK or ord(character) in _IGNORABLE_PLANE or unicodedata.category(character) == "Zs"


def _changes_character(value: str) -> bool:
    """Return whether the last character changes how the one before it looks. Categories are those of Unicode 3.2."""
    before, last = value[-2:-1], value[-1]
    if last in _VARIATION_SELECTORS:
        unicode = unicodedata.ucd_3_2_0
        return before == "\u2139" or not (before.isascii() or unicode.category(before) in _WITHOUT_VARIATIONS)
    if last in _JOINERS:
        return unicodedata.ucd_3_2_0.combining(before) == _VIRAMA_CLASS
    return last in _TAGS and value.rstrip(_TAGS).endswith(_BLACK_FLAG)


def _is_visible(character: str) -> bool:
    """Return whether `character` shows something without another. Marks are those of Unicode 3.2, which is constant."""
    is_mark = unicodedata.ucd_3_2_0.category(character) in ("Mn", "Me")
    return not (is_mark or is_blank(character) or any(ord(character) in block for block in _COMBINING_BLOCKS))


_MISSING_VALUE = re.compile(
    r"(?:.*:)?[\"'`]*"
    r"(?:(?:[-_.@/ ]*(?:undefined|null|(?-i:None|NaN|nil)))+[-_.@/ ]*"
    r"|<(?:nil|null|na|no value)>|\(null\)|optional(?:\(nil\)|\.empty)|(?:map)?\[(?:null|<nil>)?\]|\{\}"
    r"|%[sdv@]|%!\w?\(.*\)|%[a-z]+_[a-z_]+%|kotlin\.unit|system\.object|(?:0+-){4}0+"
    r"|(?:\[object |instance of '|promise \{|<class '|<\w+(?:\.\w+)+ object |<%|\\\(\w).*)"
    r"[\"'`]*"
    r"|[\"'`]{2,}|.*[-_./ ](?:undefined|(?-i:NaN)|\[object \w+\])",
    re.IGNORECASE,
)
_TEMPLATE_MARKS = ("${", "{{", "#{")


def is_missing_value(value: str) -> bool:
    """Return whether programs print `value`, or its part after the last colon, for a missing value.

    As an id, it would be shared by everyone. `undefined` and `null` count in any case, and `None`, `NaN` and `nil` in
    this one: `none`, `Nan` and `Nil` can be names. Words count repeated as well. API Gateway prints an empty claim as
    `[]` or `map[]`. Text with the marks of a template was not filled in.
    """
    if "{" in value and any(mark in value for mark in _TEMPLATE_MARKS):
        return True
    if not value.isascii():
        value = "".join(character for character in value if not is_blank(character))
    return _MISSING_VALUE.fullmatch(value) is not None


def identifier(max_length: int) -> Check[str]:
    """Return a check for ids: as `text`, and not the text that a program prints for a missing value."""
    check_text = text(max_length)

    def check(value: object) -> str:
        checked = check_text(value)
        if is_missing_value(checked):
            raise ValueError("must not be the text that a program prints for a missing value")
        return checked

    return Check(check, {"$ref": "#/components/schemas/Id", "maxLength": max_length})


check_id = identifier(256)
check_role = identifier(128)
check_display_value = text(256)

DISPLAY_FIELDS = {"display_name": "name", "email": "email", "avatar_url": "picture"}
"""Fields that a platform shows to other participants, and the OpenID Connect claim that overrides each."""


def one_of(*words: str) -> Check[str]:
    """Return a check for a closed list of words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return value

    return Check(check, {"type": "string", "enum": words})


def matching(pattern: str, reason: str, *, also: Check[str] | None = None) -> Check[str]:
    """Return a check for text that matches all of `pattern`, a regular expression, after the check `also`."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        value = value if also is None else also(value)
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(reason)
        return value

    schema = {"type": "string"} if also is None else also.schema
    return Check(check, {**schema, "description": f"It {reason}.", "pattern": f"^({pattern})$"})


def services_of(*names: str) -> Check[tuple[str, ...]]:
    """Return a check for a list of at least one of `names`, each at most once. The order does not matter."""

    def check(value: object) -> tuple[str, ...]:
        chosen = value if isinstance(value, list) else []
        if not chosen or not all(isinstance(name, str) and name in names for name in chosen):
            raise ValueError("must be a list of one or more of " + ", ".join(names))
        if len(set(chosen)) < len(chosen):
            raise ValueError("must not name a service twice")
        return tuple(name for name in names if name in chosen)  # One order, so that equal requests compare equal.

    items = {"type": "string", "enum": names}
    return Check(check, {"type": "array", "items": items, "minItems": 1, "uniqueItems": True})


def digest_unless(pattern: re.Pattern[str], user_id: str | None) -> str | None:
    """Return `user_id` if it matches `pattern`, else 32 characters of its SHA-256 in hex: the same each time.

    The id of a guest keeps its prefix within them.
    """
    if user_id is None or pattern.fullmatch(user_id):
        return user_id
    prefix = GUEST_PREFIX if user_id.startswith(GUEST_PREFIX) else ""
    return (prefix + hashlib.sha256(user_id.encode()).hexdigest())[:32]
