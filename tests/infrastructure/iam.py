"""As much of IAM's evaluation as the role needs: allowed if one statement matches, denied otherwise."""

import re
from collections.abc import Iterable
from typing import Any


def allowed(statements: Iterable[Any], action: str, arn: str) -> bool:
    """Whether the statements let their holder do `action` to `arn`. Fails on one that it does not understand."""
    verdict = False
    for statement in statements:
        unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource"}
        assert not unknown, f"this evaluator knows nothing of {unknown}"
        assert statement["Effect"] == "Allow", "this evaluator knows only Allow"
        verdict = verdict or (
            # Actions are compared without regard to case, resources are not.
            any(_matches(pattern.lower(), action.lower()) for pattern in as_list(statement["Action"]))
            and any(_matches(pattern, arn) for pattern in as_list(statement["Resource"]))
        )
    return verdict


def as_list(value: Any) -> list[str]:
    """A policy's value, which may be one or a list of them, as a list."""
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` is any run of characters, `?` is one. (`fnmatch` would take `[` for a third.)"""
    wild = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(wild, text, re.DOTALL) is not None
