"""The fields of a token request, and checks for their values."""

import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from roomkey.limits import MIN_LIFETIME


class RequestField(NamedTuple):
    """A field of a token request.

    `check` returns the value to use, or raises `ValueError` with a reason that does not repeat the value. `maps_to` is
    the field of `TokenRequest` that receives it, if its name differs. `default` is used when the field is absent.
    """

    name: str
    check: Callable[[object], object]
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


_FORBIDDEN_CATEGORIES = frozenset(("Cc", "Cs", "Cn", "Co", "Zl", "Zp"))
_BIDI_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def text(max_length: int) -> Callable[[object], str]:
    """Return a check for names and ids of 1 to `max_length` visible code points.

    The value is never normalised: two spellings are two ids. Refused are control characters, surrogates, unassigned
    and private code points, line and paragraph separators, bidirectional controls, blanks, and spaces at either end.
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
            categories = {unicodedata.category(character) for character in value}
            if categories & _FORBIDDEN_CATEGORIES or not _BIDI_CONTROLS.isdisjoint(value):
                raise ValueError("must not hold control, private or unassigned characters")
            if categories <= {"Cf", "Zs"}:
                raise ValueError("must not be blank")
        return value

    return check


check_id = text(256)
check_role = text(128)
check_display_value = text(256)

DISPLAY_FIELDS = {"display_name": "name", "email": "email", "avatar_url": "picture"}
"""Fields that a platform shows to other participants, and the OpenID Connect claim that overrides each."""


def one_of(*words: str) -> Callable[[object], str]:
    """Return a check for a closed list of words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return value

    return check
