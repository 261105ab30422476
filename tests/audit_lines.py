"""Audit lines, held against their published schema."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "docs" / "audit.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def checked(line: str) -> dict[str, Any]:
    """What `line` says. Raises `AssertionError` or `ValidationError` where it is no audit line."""
    assert line.isascii()
    assert "\n" not in line.removesuffix("\n")
    said: dict[str, Any] = json.loads(line)
    VALIDATOR.validate(said)
    return said
