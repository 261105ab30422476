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
            ValueError: It is invalid. The message names the place and never repeats the text.
        """
        document = _object("the list", strict_json.loads(text), {"users", "invites"})
        users, invites = document.get("users", {}), document.get("invites", [])
        if not isinstance(users, dict) or "" in users:
            raise ValueError("users is not an object of users")
        if not isinstance(invites, list) or not all(isinstance(invite, str) and invite for invite in invites):
            raise ValueError("invites is not a list of invite ids")
        return cls({user: _user_block(entry) for user, entry in users.items()}, frozenset(invites))

    def blocks(self, request: TokenRequest, caller: Caller, now: float) -> bool:
        """Return whether the token's user, the signed-in user or the invite is blocked."""
        if caller.invite_id is not None and caller.invite_id in self.invites:
            return True
        blocks = (self.users.get(user) for user in (request.user_id, caller.user_id) if user is not None)
        return any(block.applies(request, now) for block in blocks if block)


def _object(name: str, value: Any, members: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= members:
        raise ValueError(f"{name} is not an object with {', '.join(sorted(members))}")
    return value


def _user_block(entry: Any) -> UserBlock:
    entry = _object("an entry of users", entry, {"rooms", "platforms", "until", "reason"})
    until = entry.get("until")
    if until is not None and (type(until) is not int or until < 0):
        raise ValueError("until is not a time in Unix seconds")
    if not isinstance(entry.get("reason", ""), str):
        raise ValueError("reason is not text")
    rooms, platforms = _texts("rooms", entry), _texts("platforms", entry)
    if not set(platforms) <= {"*", *PLATFORM_NAMES}:
        raise ValueError("platforms has an unknown platform")
    return UserBlock(
        PatternSet(Pattern(text, (text,)) for text in map(_room_key, rooms)),
        frozenset(PLATFORM_NAMES if "*" in platforms else platforms),
        until,
    )


def _texts(name: str, entry: Mapping[str, Any]) -> list[str]:
    texts = entry.get(name, ["*"])
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"{name} is not a list of names")
    return texts


def _room_key(room_id: str) -> str:
    # Some vendors ignore the case of room ids. A block that matches too much is safer than one that misses.
    return room_id.casefold()
