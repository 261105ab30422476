"""A first policy for the access mode of a stack."""

from collections.abc import Sequence
from typing import Any

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import Access


def policy(access: Access, platforms: Sequence[str], *, account: str, operator: str, partition: str = "aws") -> Any:
    """Return a policy document that grants app tokens to every caller and management tokens to the operator.

    `operator` is the IAM principal that deploys, so that `roomkey probe` gets a token.
    """
    who: object
    match access:
        case Access.OPEN:
            who = "anyone"
        case Access.JWT:
            who = "signed-in"
        case Access.IAM:
            who = {"principal": f"arn:{partition}:iam::{account}:*"}
    rules = [_rule(f"every caller, {name}", who, TokenKind.APP, name) for name in platforms]
    managed = [name for name in platforms if TokenKind.MANAGEMENT in PLATFORMS[name].kinds]
    rules += [_rule(f"the operator, {name}", {"principal": operator}, TokenKind.MANAGEMENT, name) for name in managed]
    return {"version": 1, "mode": "enforce", "rules": rules}


def _rule(name: str, who: object, kind: TokenKind, platform: str) -> dict[str, object]:
    rule: dict[str, object] = {"name": name, "who": [who], "kinds": [kind.value], "platforms": [platform]}
    fields = {field.name: field for field in PLATFORMS[platform].kinds[kind].fields}
    for field, member in (("role", "roles"), ("services", "services"), ("room_id", "rooms")):
        if field in fields:
            rule[member] = ["*"]
    return rule
