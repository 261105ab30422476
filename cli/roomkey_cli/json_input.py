"""Read a JSON object that a user gives: precise errors, with position and reason, that never quote the content."""

import json
import math
from pathlib import Path
from typing import Any

from roomkey import strict_json

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class InvalidInput(ValueError):
    """The input is not one JSON object. The message contains the reason and never the content."""


def read_file(path: Path) -> dict[str, Any]:
    """Read a file. A UTF-8 byte order mark is dropped. Raises `InvalidInput`, whose message begins with the path."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    return parse(content.removeprefix(_UTF8_BOM), str(path))


def parse(content: bytes, source: str) -> dict[str, Any]:
    """Parse bytes. `source` begins each message. Raises `InvalidInput`."""
    if problem := encoding_problem(content):
        raise InvalidInput(f"{source}: {problem}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source}: is not UTF-8 (byte {error.start + 1})") from None
    return parse_text(text, source)


def encoding_problem(content: bytes) -> str | None:
    """Return why `content` is not UTF-8 text without a byte order mark, apart from invalid bytes; None if it may be."""
    if not content.strip():
        return "is empty"
    if content.startswith(_UTF16_BOMS) or b"\0" in content[:4]:
        return "is UTF-16 or UTF-32 text: save it as UTF-8"
    if content.startswith(_UTF8_BOM):
        return "begins with a byte order mark: save it without one"
    return None


def syntax_problem(error: json.JSONDecodeError) -> str:
    """Return where and why text is not JSON."""
    reason = error.msg.strip(" :")
    return f"is not JSON: line {error.lineno}, column {error.colno}: {reason[0].lower()}{reason[1:]}"


def parse_text(text: str, source: str) -> dict[str, Any]:
    """Parse text. `source` begins each message. Raises `InvalidInput`."""
    if not text.strip():
        raise InvalidInput(f"{source}: is empty")
    try:
        document = strict_json.loads(text)
    except ValueError:
        raise InvalidInput(f"{source}: {_reason(text)}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{source}: is {_kind(document)}, and must be an object")
    return document


def _reason(text: str) -> str:
    """Return why `strict_json` rejects `text`."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return syntax_problem(error)
    except (ValueError, RecursionError):
        return "has a number that is too long, or is nested too deeply"
    try:
        json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except ValueError:
        return "has NaN, an infinity or a number that is too large"
    return "has a duplicate key"


def _refuse_number(_: str) -> float:
    raise ValueError("not a number of JSON")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse_number(text)


def _kind(document: object) -> str:
    match document:
        case list():
            return "a JSON array"
        case str():
            return "a JSON string"
        case None:
            return "null"
        case bool():
            return "a JSON boolean"
    return "a JSON number"
