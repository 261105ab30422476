"""A request that a platform takes, with nothing in it that need not be."""

from collections.abc import Callable

from roomkey.platforms.base import Platform, TokenKind

_VALUES = ("roomkey-trial", "0123456789abcdef0123456789abcdef", "guest", "subscriber", "reader")
"""One of these is right for every field that a request must have: ids, and each platform's least role."""


def minimal_request(platform: Platform, kind: TokenKind) -> dict[str, str]:
    """The least request for such a token, as the endpoint takes it."""
    asked: dict[str, str] = {}
    targets = set()
    for field in platform.kinds[kind].fields:
        if field.required and field.maps_to_field not in targets:
            asked[field.name] = next(value for value in _VALUES if _fits(field.check, value))
            targets.add(field.maps_to_field)
    return asked


def _fits(check: Callable[[object], object], value: str) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True
