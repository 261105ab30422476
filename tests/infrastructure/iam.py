"""As much of IAM's evaluation as roles and documents need: what no statement allows, or one denies, is denied."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

NOTHING: Mapping[str, str] = {}


def allowed(statements: Iterable[Any], action: str, arn: str, context: Mapping[str, str] = NOTHING) -> bool:
    """Whether the statements let their holder do `action` to `arn`. Fails on one that it does not understand.

    `context` is what the request says beside that, by condition key.
    """
    verdict = False
    for statement in statements:
        unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not unknown, f"this evaluator knows nothing of {unknown}"
        if _applies(statement, action, arn, context):
            if statement["Effect"] == "Deny":
                return False
            assert statement["Effect"] == "Allow"
            verdict = True
    return verdict


def as_list(value: Any) -> list[str]:
    """A policy's value, which may be one or a list of them, as a list."""
    return value if isinstance(value, list) else [value]


def _applies(statement: Any, action: str, arn: str, context: Mapping[str, str]) -> bool:
    return (
        # Actions are compared without regard to case, resources are not.
        any(matches(pattern.lower(), action.lower()) for pattern in as_list(statement["Action"]))
        and any(matches(pattern, arn) for pattern in as_list(statement["Resource"]))
        and all(_holds(*condition, context) for condition in statement.get("Condition", {}).items())
    )


def _holds(operator: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Every key must be in the request, and be one of the values."""
    compare = {"StringEquals": str.__eq__, "StringLike": matches}[operator]
    return all(key in context and any(compare(one, context[key]) for one in as_list(of)) for key, of in keys.items())


def matches(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` is any run of characters, `?` is one. (`fnmatch` would take `[` for a third.)"""
    wild = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(wild, text, re.DOTALL) is not None
