"""Change the block list (docs/api.md). The function's own parser decides whether a list is valid."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roomkey import block_list, strict_json

MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Block:
    """The rooms and platforms where a user is blocked, the end in Unix seconds or None, and the reason."""

    rooms: tuple[str, ...] = ("*",)
    platforms: tuple[str, ...] = ("*",)
    until: int | None = None
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        document: dict[str, object] = {"rooms": list(self.rooms), "platforms": list(self.platforms)}
        if self.until is not None:
            document["until"] = self.until
        if self.reason:
            document["reason"] = self.reason
        return document


@dataclass(frozen=True, slots=True)
class BlockList:
    """The blocked users, by their id, and the ids of the blocked invites."""

    users: Mapping[str, Block] = field(default_factory=dict)
    invites: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the list as it is stored."""
        document: dict[str, object] = {}
        if self.users:
            document["users"] = {user: block.as_json() for user, block in self.users.items()}
        if self.invites:
            document["invites"] = list(self.invites)
        return json.dumps(document, separators=(",", ":"))

    def without_expired(self) -> "BlockList":
        """Return the list without expired entries."""
        now = time.time()
        users = {user: block for user, block in self.users.items() if block.until is None or block.until > now}
        return BlockList(users, self.invites)


def parse(text: str) -> BlockList:
    """Parse a stored list. Raises `ValueError` if it is invalid."""
    block_list.BlockList.parse(text)
    document = strict_json.loads(text)
    users = {user: _block(entry) for user, entry in document.get("users", {}).items()}
    return BlockList(users, tuple(document.get("invites", ())))


def valid_part(text: str) -> tuple[BlockList, list[str]]:
    """Return the valid entries of an invalid list, and the names of the others.

    Raises `ValueError` if the list is not an object.
    """
    document = strict_json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("is not an object")
    users, invites = document.get("users"), document.get("invites")
    entries: list[tuple[Any, object]] = []
    if isinstance(users, dict):
        entries += [(user, {"users": {user: entry}}) for user, entry in users.items()]
    if isinstance(invites, list):
        entries += [(invite, {"invites": [invite]}) for invite in invites]
    kept, invalid = BlockList(), []
    for name, entry in entries:
        try:
            valid = parse(json.dumps(entry))
            kept = BlockList({**kept.users, **valid.users}, (*kept.invites, *valid.invites))
        except ValueError:
            invalid.append(json.dumps(name, ensure_ascii=False))
    return kept, invalid


def _block(entry: Mapping[str, Any]) -> Block:
    lists: dict[str, tuple[str, ...]] = {name: tuple(entry[name]) for name in ("rooms", "platforms") if name in entry}
    return Block(**lists, until=entry.get("until"), reason=entry.get("reason", ""))


def is_valid(text: str) -> bool:
    """Check whether a stored list is valid."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def summary(blocked: BlockList) -> str:
    """Return the number of blocked users and invites, in words."""
    users, invites = len(blocked.users), len(blocked.invites)
    return (
        f"{users} {'user' if users == 1 else 'users'} and {invites} {'invite' if invites == 1 else 'invites'} blocked"
    )


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds(text: str) -> int:
    """Parse a duration such as `90s`, `2h` or `7d`. Raises `ValueError`."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if not found:
        raise ValueError("must be a number with s, m, h, d or w, such as 2h")
    return int(found[1]) * _UNITS[found[2]]


def block_words(block: Block, iso: Callable[[float], str]) -> str:
    """Describe a block in one line. `iso` formats Unix seconds."""
    parts = [
        _scope_words("room", block.rooms),
        _scope_words("platform", block.platforms),
        f"until {iso(block.until)}" if block.until is not None else "without end",
    ]
    return ", ".join(parts) + (f": {block.reason}" if block.reason else "")


def _scope_words(noun: str, names: Sequence[str]) -> str:
    return f"every {noun}" if "*" in names else f"{noun} {', '.join(names)}"
