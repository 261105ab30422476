"""The kill switch: an SSM parameter with which operators turn minting off.

Its text is `false` (minting is on), `true` (minting is off) or the scopes that are off, joined by commas: a kind
(`app`, `management`, `invite`), a platform (`100ms`), or one kind on one platform (`agora/app`). Any other text is
invalid and fails closed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from roomkey import limits
from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled
from roomkey.platforms import PLATFORM_NAMES
from roomkey.platforms.base import TokenKind
from roomkey.token_requests import KINDS

SCOPES = (*KINDS, *PLATFORM_NAMES, *(f"{platform}/{kind}" for platform in PLATFORM_NAMES for kind in KINDS))
"""The scopes, the widest first."""


class KillSwitch(NamedTuple):
    """The scopes for which minting is off, or `everything`."""

    everything: bool
    scopes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "KillSwitch":
        """Parse the parameter's text.

        Raises:
            ValueError: The text is not exactly of the documented form.
        """
        if text in ("true", "false"):
            return cls(everything=text == "true")
        scopes = text.split(",")
        if not set(SCOPES).issuperset(scopes) or len(set(scopes)) != len(scopes):
            raise ValueError("not a kill switch")
        return cls(everything=False, scopes=frozenset(scopes))

    @property
    def text(self) -> str:
        """The parameter's text, which `parse` reads."""
        if self.everything:
            return "true"
        return ",".join(scope for scope in SCOPES if scope in self.scopes) or "false"

    def is_off(self, platform: str, kind: str) -> bool:
        """Return whether minting this kind of token, or creating invites, is off for this platform."""
        return self.everything or not self.scopes.isdisjoint((kind, platform, f"{platform}/{kind}"))

    def minting(self, platforms: Iterable[str]) -> str:
        """Return `on`, `off` or `partly-off` for all kinds of token of these platforms."""
        off = {self.is_off(platform, kind) for platform in platforms for kind in TokenKind}
        return "off" if off == {True} else "on" if off == {False} else "partly-off"


class KillSwitchReading(NamedTuple):
    """The last kill switch read, its age in seconds, and why the last refresh failed, if it did."""

    switch: KillSwitch
    age: float
    failure: DependencyFailure | None

    @property
    def too_old_for_on(self) -> bool:
        """Whether the reading is too old to allow minting. "Off" has no such limit."""
        return self.age > limits.KILL_SWITCH_MAX_STALE_SECONDS

    def require_on(self, platform: str, *kinds: str) -> None:
        """Return if minting is on for all `kinds`.

        Raises:
            MintingDisabled: Minting is off for one of them.
            KillSwitchUnavailable: The reading is too old.
        """
        if any(self.switch.is_off(platform, kind) for kind in kinds):
            raise MintingDisabled
        if self.too_old_for_on:
            raise KillSwitchUnavailable(self.failure)
