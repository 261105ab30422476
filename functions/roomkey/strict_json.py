"""JSON read without leeway: what could be understood in two ways is not understood at all. And written as plainly."""

import json
import math
from collections.abc import Iterable
from typing import Any


def loads(text: str | bytes) -> Any:
    """The document that `text` is, which must be UTF-8 if it is bytes.

    Raises `ValueError`, whose words repeat nothing of the text, for anything but exactly one document: also for
    duplicate keys, NaN, infinities, a byte order mark, numbers too long and nesting too deep for Python.
    """
    try:
        return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        # The decoder's own exception holds the whole document: it must not be chained.
        raise ValueError("not a JSON document without duplicate keys") from None


def dumps(document: Any) -> str:
    """`document` in ASCII. Raises `ValueError` where it holds what JSON has no word for: NaN, infinities."""
    return _ENCODER.encode(document)


def without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`pairs` as a dict. Raises `ValueError` where a name stands twice."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError("a repeated name")
        fields[name] = value
    return fields


def _refused(_: str) -> float:
    raise ValueError("NaN and infinities are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


# Made once: with options, `json` makes them anew for every document.
_DECODER = json.JSONDecoder(object_pairs_hook=without_repeats, parse_constant=_refused, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False)
