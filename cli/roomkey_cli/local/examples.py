"""The first requests that `roomkey run` prints: only those that the stack's policy grants."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.policy import Policy, parse_policy
from roomkey.settings import Access
from roomkey_cli.local.demo_issuer import DEMO_GROUPS
from roomkey_cli.local.sigv4 import DEMO_PRINCIPAL
from roomkey_cli.policy import simulate

_ROLES = ("host", "participant", "publisher", "writer", "guest", "moderator", "subscriber", "reader")
_USER = "1234"


class Example:
    """A request that gets a token: the platform, its body, and the demo user who asks, if one signs in."""

    __slots__ = ("body", "platform", "user")

    def __init__(self, platform: str, body: Mapping[str, Any], user: str = "") -> None:
        self.platform = platform
        self.body = body
        self.user = user


def app_token(policy_text: str, access: Access, platforms: Collection[str], *, demo_users: bool) -> Example | None:
    """Return a request for an app token that the policy grants, None without one.

    With an issuer of the developer's own, the user is unknown: the example takes a demo user's place.
    """
    policy = parse_policy(policy_text)
    for caller in _callers(access):
        for platform in platforms:
            if TokenKind.APP not in PLATFORMS[platform].kinds:
                continue
            fields = _fields(platform, TokenKind.APP)
            for role, room in _roles_and_rooms(policy_text, platform, fields):
                columns = {**caller, "platform": platform, "kind": TokenKind.APP, "role": role, "room": room}
                if _granted(policy, columns):
                    user = caller["as"].partition(":")[2] if access is Access.JWT and demo_users else ""
                    named = {"user_id": _USER} if access is not Access.JWT and "user_id" in fields else {}
                    return Example(platform, _body(role, room) | named, user)
    return None


def why_no_app_token(policy_text: str, platforms: Collection[str]) -> str:
    """Return the line that the local stack prints instead of a request for an app token."""
    signed_in = app_token(policy_text, Access.JWT, platforms, demo_users=True)
    remedy = " Its rules need a signed-in user: add --access jwt." if signed_in else ""
    return f"The policy grants no app token that this stack can show.{remedy}"


def management_token(policy_text: str, platforms: Collection[str]) -> Example | None:
    """Return a request for a management token that the policy grants to the local key, None without one."""
    policy = parse_policy(policy_text)
    for platform in platforms:
        if TokenKind.MANAGEMENT not in PLATFORMS[platform].kinds:
            continue
        fields = _fields(platform, TokenKind.MANAGEMENT)
        for role, room in [("", ""), *_roles_and_rooms(policy_text, platform, fields)]:
            columns = {"as": f"principal:{DEMO_PRINCIPAL}", "platform": platform, "kind": TokenKind.MANAGEMENT}
            if _granted(policy, columns | {"role": role, "room": room}):
                return Example(platform, _body(role, room))
    return None


def _fields(platform: str, kind: TokenKind) -> frozenset[str]:
    """Return the names of the fields of a request for this kind of token."""
    return frozenset(field.name for field in PLATFORMS[platform].kinds[kind].fields)


def _body(role: str, room: str) -> dict[str, Any]:
    return {name: text for name, text in (("room_id", room), ("role", role)) if text}


def _callers(access: Access) -> list[dict[str, str]]:
    match access:
        case Access.OPEN:
            return [{"as": "anyone"}]
        case Access.IAM:
            return [{"as": f"principal:{DEMO_PRINCIPAL}"}]
        case Access.JWT:
            return [{"as": f"user:{user}", "groups": " ".join(groups)} for user, groups in DEMO_GROUPS.items()]


def _roles_and_rooms(policy_text: str, platform: str, fields: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs to try: the platform's example, then each rule's own, with `1` for a wildcard."""
    example = PLATFORMS[platform].example
    usual = {name: str(example.get(name, "")) if name in fields else "" for name in ("role", "room_id")}
    rules: list[Any] = json.loads(policy_text)["rules"]
    for rule in [{}, *rules]:
        roles = [role for role in rule.get("roles", ()) if "*" not in role] or _ROLES
        rooms = [room.replace("*", "1") for room in rule.get("rooms", ()) if room != "*"]
        for role in dict.fromkeys((usual["role"], *roles)) if "role" in fields else [""]:
            for room in dict.fromkeys((*rooms, usual["room_id"])) if "room_id" in fields else [""]:
                yield role, room


def _granted(policy: Policy, columns: Mapping[str, str]) -> bool:
    try:
        return simulate.decide(
            policy, simulate.parse_question({name: text for name, text in columns.items() if text})
        ).allowed
    except ValueError:  # Not a request that the platform takes.
        return False
