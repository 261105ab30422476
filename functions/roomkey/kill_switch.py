"""The switch that operators turn minting off with.

The disable flag is a text in SSM: `false` (nothing is off), `true` (everything is) or the scopes that are off, joined
by commas: a kind of token (`app`, `management`), a platform (`100ms`), or one kind on one platform (`agora/app`). Any
other text is not "on". See docs/operations.md for how to turn it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from roomkey import limits
from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled
from roomkey.platforms import PLATFORM_NAMES
from roomkey.platforms.base import TokenKind

SCOPES = (*TokenKind, *PLATFORM_NAMES, *(f"{platform}/{kind}" for platform in PLATFORM_NAMES for kind in TokenKind))
"""What can be off by itself, the widest first."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """What is off: everything, or the scopes named."""

    everything: bool
    scopes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "KillSwitch":
        """The flag that `text` spells, to the letter. Raises `ValueError` on anything else."""
        if text in ("true", "false"):
            return cls(everything=text == "true")
        scopes = text.split(",")
        if not set(SCOPES).issuperset(scopes) or len(set(scopes)) != len(scopes):
            raise ValueError("not a disable flag")
        return cls(everything=False, scopes=frozenset(scopes))

    @property
    def text(self) -> str:
        """The flag as it is stored, which `parse` reads."""
        if self.everything:
            return "true"
        return ",".join(scope for scope in SCOPES if scope in self.scopes) or "false"

    def is_off(self, platform: str, kind: TokenKind) -> bool:
        """Whether tokens of this kind for this platform may not be made."""
        return self.everything or not self.scopes.isdisjoint((kind, platform, f"{platform}/{kind}"))

    def minting(self, platforms: Iterable[str]) -> str:
        """`on`, `off` or `partly-off`, over both kinds of token for these platforms."""
        off = {self.is_off(platform, kind) for platform in platforms for kind in TokenKind}
        return "off" if off == {True} else "on" if off == {False} else "partly-off"


class KillSwitchReading(NamedTuple):
    """The flag as it is known: `age` seconds old, and not to be had newer because of `failure`, if that is not None."""

    flag: KillSwitch
    age: float
    failure: DependencyFailure | None

    @property
    def too_old_for_on(self) -> bool:
        return self.age > limits.KILL_SWITCH_MAX_STALE_SECONDS

    def require_on(self, platform: str, kind: TokenKind) -> None:
        """Raises `MintingDisabled` if this kind is off, `KillSwitchUnavailable` if that is unknown."""
        if self.flag.is_off(platform, kind):
            raise MintingDisabled
        if self.too_old_for_on:
            raise KillSwitchUnavailable(self.failure)
