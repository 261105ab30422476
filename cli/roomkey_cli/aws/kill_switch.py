"""Turning the disable flag: what it says once some scopes are off, or on, that were not."""

from collections.abc import Collection, Iterable, Sequence

from roomkey.kill_switch import SCOPES, KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind

_ALL = frozenset((platform, kind) for platform in PLATFORMS for kind in TokenKind)


def turned_off(flag: KillSwitch, scopes: Iterable[str]) -> KillSwitch:
    """`flag` with `scopes` off beside what is off already."""
    return flag if flag.everything else _of(flag.scopes.union(scopes))


def turned_on(flag: KillSwitch, scopes: Collection[str]) -> KillSwitch:
    """`flag` with `scopes`, and what lies within them, taken out of it.

    Every scope is a switch of its own: what another one keeps off stays off. Where everything is off, all but `scopes`
    is off afterwards. Raises `ValueError` for a scope that is off by nothing but a wider or an overlapping one.
    """
    if flag.everything:
        return _all_but(scopes)
    left = set(flag.scopes)
    for scope in scopes:
        taken = {one for one in flag.scopes if _covered([one]) <= _covered([scope])}
        left -= taken
        if not taken and (others := [one for one in SCOPES if one in left and _covered([one]) & _covered([scope])]):
            raise ValueError(f"{scope} is off with {' and '.join(others)}, which is a switch of its own")
    return _of(left)


def way_back(before: KillSwitch, after: KillSwitch) -> list[tuple[str, Sequence[str]]]:
    """What takes the switch back from `after`, where more is off, to `before`: `enable` and `disable`, with scopes.

    Nothing comes on on the way that was off before, but for what lies within a wider scope and is named by itself too.
    """
    if before.everything or off_in(before) == off_in(after):
        return []
    if after.everything:
        on = _all_but(before.scopes).scopes
        return [("enable", [scope for scope in SCOPES if scope in on] if before.scopes else [])]
    new = [scope for scope in SCOPES if scope in after.scopes - before.scopes]
    lost = before.scopes - turned_on(after, new).scopes
    steps: list[tuple[str, Sequence[str]]] = [("enable", new)]
    return [*steps, ("disable", [scope for scope in SCOPES if scope in lost])] if lost else steps


def off(flag: KillSwitch) -> str:
    """What is off, in words."""
    if flag.everything:
        return "everything"
    return ", ".join(scope for scope in SCOPES if scope in flag.scopes) or "nothing"


def off_in(flag: KillSwitch) -> frozenset[tuple[str, TokenKind]]:
    """What is off, platform by platform and kind by kind."""
    return _ALL if flag.everything else _covered(flag.scopes)


def _of(scopes: Iterable[str]) -> KillSwitch:
    return KillSwitch(everything=False, scopes=frozenset(scopes))


def _covered(scopes: Iterable[str]) -> frozenset[tuple[str, TokenKind]]:
    flag = _of(scopes)
    return frozenset(pair for pair in _ALL if flag.is_off(*pair))


def _all_but(scopes: Iterable[str]) -> KillSwitch:
    """The flag that leaves nothing on but `scopes`, in few words of which no two overlap.

    Platforms come before kinds: what is off with its platform comes on with it, whatever else is off.
    """
    wanted, words = _ALL - _covered(scopes), list[str]()
    for scope in (*PLATFORMS, *SCOPES):
        if _covered([scope]) <= wanted and not _covered([scope]) & _covered(words):
            words.append(scope)
    return _of(words)
