"""Read JSON strictly, so that a document has exactly one meaning, and write it compactly."""

import json
import math
from collections.abc import Sequence
from typing import Any


def loads(text: str | bytes) -> Any:
    """Return the document in `text`, which must be UTF-8 if it is bytes.

    Raises:
        ValueError: The text is not exactly one JSON document, or has duplicate keys, NaN, infinities, a byte order
            mark, or numbers or nesting beyond Python's limits. The message never repeats the text.
    """
    try:
        return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        # The decoder's exception contains the whole document: it must not be chained.
        raise ValueError("not a JSON document without duplicate keys") from None


def dumps(document: Any) -> str:
    """Return `document` as compact ASCII.

    Raises:
        ValueError: It contains NaN or an infinity.
    """
    return _ENCODER.encode(document)


def without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return `pairs` as a dict.

    Raises:
        ValueError: A name is repeated.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a duplicate key")
    return fields


def no_constant(_: str) -> float:
    """Refuse a number that JSON does not have. Raises `ValueError`."""
    raise ValueError("NaN or Infinity, which are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


# Created once: `json.loads` and `json.dumps` with options create one for each document.
_DECODER = json.JSONDecoder(object_pairs_hook=without_duplicates, parse_constant=no_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
