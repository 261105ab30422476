"""The block list: an SSM parameter with the users and invites that get no token.

`{"users": {"u-7": {"rooms": ["*"], "platforms": ["*"], "until": 1795900000, "reason": "..."}}, "invites": ["k3F"]}`.
All members are optional: the entry `{}` blocks the user everywhere, without end. `until` is in Unix seconds.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from roomkey import strict_json
from roomkey.identity import Caller
from roomkey.platforms import PLATFORM_NAMES
from roomkey.policy import Pattern, PatternSet
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest

_ANYONE = Caller(Access.OPEN)


class UserBlock(NamedTuple):
    """Where and until when one user is blocked."""

    rooms: PatternSet
    platforms: frozenset[str]
    until: int | None

    def applies(self, request: TokenRequest, now: float) -> bool:
        """Return whether the block covers `request` at `now` (Unix seconds).

        A block for any room also covers a token without a room, which may work in every room.
        """
        if self.until is not None and now >= self.until:
            return False
        if request.platform.name not in self.platforms:
            return False
        return request.room_id is None or self.rooms.match(_room_key(request.room_id), _ANYONE)


class BlockList(NamedTuple):
    """The blocked users by id, and the ids of the blocked invites."""

    users: Mapping[str, UserBlock]
    invites: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "BlockList":
        """Parse the parameter's text.

        Raises:
            ValueError: It is invalid. The message names the place by its position (`users[0].until`), and never
                repeats the text: user ids are personal data.
        """
        document = _object("the list", strict_json.loads(text), {"users", "invites"})
        users, invites = document.get("users", {}), document.get("invites", [])
        if not isinstance(users, dict):
            raise ValueError("users is not an object of users")
        if not isinstance(invites, list):
            raise ValueError("invites is not a list of invite ids")
        for index, invite in enumerate(invites):
            if not isinstance(invite, str) or not invite:
                raise ValueError(f"invites[{index}] is not an invite id")
        return cls(
            {user: _user_block(f"users[{index}]", user, entry) for index, (user, entry) in enumerate(users.items())},
            frozenset(invites),
        )

    def blocks(self, request: TokenRequest, caller: Caller, now: float) -> bool:
        """Return whether the token's user, the signed-in user or the invite is blocked."""
        if caller.invite_id is not None and caller.invite_id in self.invites:
            return True
        blocks = (self.users.get(user) for user in (request.user_id, caller.user_id) if user is not None)
        return any(block.applies(request, now) for block in blocks if block)


def _object(where: str, value: Any, members: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= members:
        raise ValueError(f"{where} is not an object with {', '.join(sorted(members))}")
    return value


def _user_block(where: str, user: str, entry: Any) -> UserBlock:
    if not user:
        raise ValueError(f"{where} has an empty user id")
    entry = _object(where, entry, {"rooms", "platforms", "until", "reason"})
    until = entry.get("until")
    if until is not None and (type(until) is not int or until < 0):
        raise ValueError(f"{where}.until is not a time in Unix seconds")
    if not isinstance(entry.get("reason", ""), str):
        raise ValueError(f"{where}.reason is not text")
    rooms, platforms = _names(where, "rooms", entry), _names(where, "platforms", entry)
    for index, name in enumerate(platforms):
        if name not in ("*", *PLATFORM_NAMES):
            raise ValueError(f"{where}.platforms[{index}] is an unknown platform")
    return UserBlock(
        PatternSet(Pattern(text, (text,)) for text in map(_room_key, rooms)),
        frozenset(PLATFORM_NAMES if "*" in platforms else platforms),
        until,
    )


def _names(where: str, member: str, entry: Mapping[str, Any]) -> list[str]:
    names = entry.get(member, ["*"])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{where}.{member} is not a list of names")
    return names


def _room_key(room_id: str) -> str:
    # Some vendors ignore the case of room ids. A block that matches too much is safer than one that misses.
    return room_id.casefold()
