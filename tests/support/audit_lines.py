"""Validate audit lines against their published schema."""

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from roomkey_cli.data import DATA

SCHEMA: dict[str, Any] = json.loads((DATA / "audit.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def checked(line: str) -> dict[str, Any]:
    """Parse `line`. Raises AssertionError or ValidationError if it is not a valid audit line."""
    _check(line.removesuffix("\n"))
    said: dict[str, Any] = json.loads(line)
    return said


@functools.lru_cache(maxsize=4096)
def _check(line: str) -> None:
    """Validate each line once: it is checked when it is written and when a test reads it."""
    assert line.isascii()
    assert "\n" not in line
    VALIDATOR.validate(json.loads(line))
