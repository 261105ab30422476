"""Change the block list (docs/api.md). The function's own parser decides whether a list is valid."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roomkey import block_list, strict_json
from roomkey.errors import InviteInvalid
from roomkey.invites import PREFIX, UnverifiedInvite
from roomkey.platforms.fields import check_id
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import iso

MAX_REASON = 200
YEAR_2020, YEAR_2100 = 1_577_836_800, 4_102_444_800
"""Unix seconds. A time before the first is probably a lifetime, one after the second in milliseconds."""

_INVITE_ID = re.compile(r"[A-Za-z0-9_-]{12}")


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
        """Return the list without expired entries. An end before 2020 is a mistake, so its entry stays."""
        now = time.time()
        users = {
            user: block
            for user, block in self.users.items()
            if block.until is None or block.until > now or block.until < YEAR_2020
        }
        return BlockList(users, self.invites)


@dataclass(frozen=True, slots=True)
class StoredList:
    """A stored list: its valid entries, the problems of the other entries, and those of whole members.

    The problem of an entry contains the entry. A repair can drop entries, and never a whole member: `{"user": ...}`
    may be a list of blocked users.
    """

    valid: BlockList = BlockList()
    entry_problems: tuple[str, ...] = ()
    member_problems: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Return all problems. The list is invalid if there is one."""
        return self.member_problems + self.entry_problems

    def repair(self, environment: Environment) -> str:
        """Return how to correct an invalid list."""
        if not self.member_problems:
            return f"roomkey unblock {environment} --invalid"
        put = f"aws ssm put-parameter --name {environment.block_list_name} --type String --overwrite --value"
        return f"""{put} '{{"users": {{"USER": {{}}}}, "invites": ["ID"]}}'"""


def examine(text: str) -> StoredList:
    """Parse a stored list that may be invalid."""
    try:
        document = strict_json.loads(text)
    except ValueError as error:
        return StoredList(member_problems=(f"the list is {error}",))
    if not isinstance(document, dict):
        return StoredList(member_problems=(_problem(document),))
    valid, problems = BlockList(), []
    for function_place, place, entry, one in _entries(document):
        if problem := _problem(one):
            problems.append(f"{problem.replace(function_place, place, 1)}: {_quoted(entry)}")
        else:
            added = _block_list(one)
            valid = BlockList({**valid.users, **added.users}, valid.invites + added.invites)
    return StoredList(valid, tuple(problems), tuple(_member_problems(document)))


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, str, object, dict[str, Any]]]:
    """Yield each entry: its place to the function and to the operator, its value, and a list of only this entry."""
    users, invites = document.get("users"), document.get("invites")
    for user, entry in users.items() if isinstance(users, dict) else ():
        yield "users[0]", _place(user), entry, {"users": {user: entry}}
    for index, invite in enumerate(invites if isinstance(invites, list) else ()):
        yield "invites[0]", f"invites[{index}]", invite, {"invites": [invite]}


def _member_problems(document: Mapping[str, Any]) -> Iterator[str]:
    for member, value in document.items():
        if member not in ("users", "invites"):
            yield f"{_quoted(member)} is neither users nor invites"
        elif not isinstance(value, dict if member == "users" else list):
            yield _problem({member: value})


def _problem(document: object) -> str:
    """Return the function's error for a list, empty if it is valid."""
    try:
        block_list.BlockList.parse(json.dumps(document))
    except ValueError as error:
        return str(error)
    return ""


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _place(user: str) -> str:
    return f"users[{_quoted(user)}]"


def parse(text: str) -> BlockList:
    """Parse a stored list. Raises `ValueError` if it is invalid."""
    stored = examine(text)
    if stored.problems:
        raise ValueError("; ".join(stored.problems))
    return stored.valid


def warnings(blocked: BlockList) -> Iterator[str]:
    """Yield probable mistakes in a valid list: entries that never apply, or not as they seem to."""
    for user, block in blocked.users.items():
        for why in (*_user_warnings(user), *_until_warnings(block.until)):
            yield f"{_place(user)} {why}"
        for index, room in enumerate(block.rooms):
            if why := _id_problem(room.replace("*", "x")):
                yield f"{_place(user)}.rooms[{index}] matches no room: an id {why}"
    for index, invite in enumerate(blocked.invites):
        if (found := invite_id(invite)) != invite:
            yield f"invites[{index}] matches no invite: write only its id, {found}"
        elif not is_invite_id(invite):
            yield f"invites[{index}] matches no invite: an id has 12 letters, digits, - or _"


def _user_warnings(user: str) -> Iterator[str]:
    if is_invite(user):
        yield "is an invite, not a user: block it with --invite"
    elif why := _id_problem(user):
        yield f"matches no user: an id {why}"
    elif "*" in user:
        yield "matches only this id: * is not a pattern here"


def _until_warnings(until: int | None) -> Iterator[str]:
    if until is not None and until < YEAR_2020:
        yield f"never applies: until is {iso(until)}, and must be a time in Unix seconds"
    elif until is not None and until >= YEAR_2100:
        yield "ends after 2100: until must be in seconds, not milliseconds"


def _id_problem(text: str) -> str:
    try:
        check_id(text)
    except ValueError as error:
        return str(error)
    return ""


def is_invite_id(text: str) -> bool:
    """Check whether the text has the form of an invite's id."""
    return _INVITE_ID.fullmatch(text) is not None


def is_invite(text: str) -> bool:
    """Check whether the text begins as an invite does, or is the URL of one."""
    return _without_url(text).startswith(f"{PREFIX}.")


def invite_id(invite: str) -> str:
    """Return the id in an invite or its URL; other text stays as it is."""
    try:
        return UnverifiedInvite.decode(_without_url(invite)).invite.id
    except InviteInvalid:
        return invite


def _without_url(invite: str) -> str:
    return invite.strip().rpartition("#")[2]


def _block_list(document: Mapping[str, Any]) -> BlockList:
    users = {user: _block(entry) for user, entry in document.get("users", {}).items()}
    return BlockList(users, tuple(document.get("invites", ())))


def _block(entry: Mapping[str, Any]) -> Block:
    lists: dict[str, tuple[str, ...]] = {name: tuple(entry[name]) for name in ("rooms", "platforms") if name in entry}
    return Block(**lists, until=entry.get("until"), reason=entry.get("reason", ""))


def is_valid(text: str) -> bool:
    """Check whether a stored list is valid."""
    return not examine(text).problems


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


def block_words(block: Block) -> str:
    """Describe a block in one line."""
    parts = [
        _scope_words("room", block.rooms),
        _scope_words("platform", block.platforms),
        f"until {iso(block.until)}" if block.until is not None else "without end",
    ]
    return ", ".join(parts) + (f": {block.reason}" if block.reason else "")


def _scope_words(noun: str, names: Sequence[str]) -> str:
    return f"every {noun}" if "*" in names else f"{noun} {', '.join(names)}"
