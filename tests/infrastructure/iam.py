"""Evaluate IAM statements, as far as roles and documents need: an explicit denial wins, the default is denied."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

NOTHING: Mapping[str, str] = {}


def allowed(statements: Iterable[Any], action: str, arn: str, context: Mapping[str, str] = NOTHING) -> bool:
    """Return whether the statements allow `action` on `arn`. An unsupported element fails the test.

    `context` holds the request's condition keys.
    """
    verdict = False
    for statement in statements:
        unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not unknown, f"not supported by this evaluator: {unknown}"
        if _applies(statement, action, arn, context):
            if statement["Effect"] == "Deny":
                return False
            assert statement["Effect"] == "Allow"
            verdict = True
    return verdict


def as_list(value: Any) -> list[str]:
    """Return a policy's value, a single one or a list, as a list."""
    return value if isinstance(value, list) else [value]


def _applies(statement: Any, action: str, arn: str, context: Mapping[str, str]) -> bool:
    return (
        # Actions are compared without regard to case, resources are not.
        any(matches(pattern.lower(), action.lower()) for pattern in as_list(statement["Action"]))
        and any(matches(pattern, arn) for pattern in as_list(statement["Resource"]))
        and all(_holds(operator, keys, context) for operator, keys in statement.get("Condition", {}).items())
    )


def _holds(operator: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Return whether every key is in the request with one of its values."""
    compare = {"StringEquals": str.__eq__, "StringLike": matches}[operator]
    return all(key in context and any(compare(one, context[key]) for one in as_list(of)) for key, of in keys.items())


def matches(pattern: str, text: str) -> bool:
    """Match IAM's wildcards: `*` is any text, `?` one character. (`fnmatch` would also interpret `[`.)"""
    wild = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(wild, text, re.DOTALL) is not None
