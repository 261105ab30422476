"""Compute a kill switch in which more, or fewer, scopes are off."""

from collections.abc import Collection, Iterable, Sequence

from roomkey.kill_switch import SCOPES, KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.token_requests import KINDS

_ALL = frozenset((platform, str(kind)) for platform in PLATFORMS for kind in KINDS)


def turned_off(switch: KillSwitch, scopes: Iterable[str]) -> KillSwitch:
    """Return `switch` with `scopes` off in addition."""
    return switch if switch.everything else _of(switch.scopes.union(scopes))


def turned_on(switch: KillSwitch, scopes: Collection[str]) -> KillSwitch:
    """Return `switch` without `scopes` and the scopes within them.

    Scopes are independent: tokens that another scope covers stay off. If everything is off, only `scopes` are turned
    on. Raises `ValueError` for a scope that is off only because of a wider or an overlapping scope.
    """
    if switch.everything:
        return _all_but(scopes)
    left = set(switch.scopes)
    for scope in scopes:
        within = {other for other in switch.scopes if _covered([other]) <= _covered([scope])}
        left -= within
        overlapping = [other for other in SCOPES if other in left and _covered([other]) & _covered([scope])]
        if not within and overlapping:
            raise ValueError(f"{scope} is off because {' and '.join(overlapping)} is off: enable that scope instead")
    return _of(left)


def undo_commands(before: KillSwitch, after: KillSwitch) -> list[tuple[str, Sequence[str]]]:
    """Return the commands (`enable` or `disable`, with scopes) that lead from `after` back to `before`.

    `after` has more scopes off than `before`. No step turns on a scope that was off before, except one within a wider
    scope that is off too.
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


def off_words(switch: KillSwitch) -> str:
    """Return the scopes that are off, in words."""
    if switch.everything:
        return "everything"
    return ", ".join(scope for scope in SCOPES if scope in switch.scopes) or "nothing"


def off_in(switch: KillSwitch) -> frozenset[tuple[str, str]]:
    """Return the pairs of platform and kind that are off."""
    return _ALL if switch.everything else _covered(switch.scopes)


def _of(scopes: Iterable[str]) -> KillSwitch:
    return KillSwitch(everything=False, scopes=frozenset(scopes))


def _covered(scopes: Iterable[str]) -> frozenset[tuple[str, str]]:
    switch = _of(scopes)
    return frozenset(pair for pair in _ALL if switch.is_off(*pair))


def _all_but(scopes: Iterable[str]) -> KillSwitch:
    """Return the kill switch that leaves only `scopes` on, with few scopes that do not overlap.

    Platforms come before kinds, so that `enable PLATFORM` turns on everything of that platform later.
    """
    wanted, words = _ALL - _covered(scopes), list[str]()
    for scope in (*PLATFORMS, *SCOPES):
        if _covered([scope]) <= wanted and not _covered([scope]) & _covered(words):
            words.append(scope)
    return _of(words)


def state_words(switch: KillSwitch) -> str:
    """Return `ON`, `OFF for everything` or `OFF for` the scopes."""
    off = off_words(switch)
    return "ON" if off == "nothing" else f"OFF for {off}"


def as_json(switch: KillSwitch | None) -> dict[str, object]:
    """Return the state (`on`, `off`, `partly-off` or `invalid`) and the scopes that are off."""
    if switch is None:
        return {"state": "invalid", "off": []}
    off = [] if off_words(switch) == "nothing" else off_words(switch).split(", ")
    state = switch.minting(PLATFORMS)
    return {"state": "partly-off" if off and state == "on" else state, "off": off}
