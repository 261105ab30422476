"""The switch that operators turn minting off with.

The disable flag is a text in SSM: `false` (nothing is off), `true` (everything is) or the scopes that are off, joined
by commas: a kind of token (`app`, `management`), a platform (`100ms`), or one kind on one platform (`agora/app`). Any
other text is not "on". See docs/operations.md for how to turn it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from roomkey.clock import Budget, Clock
from roomkey.errors import DependencyFailure, Fault, MintingDisabled, SwitchUnavailable
from roomkey.freshness import Reading, Refreshed
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.stores import ParameterStore

FRESH_SECONDS = 30.0
ON_FOR_SECONDS = 300.0
"""How long "on" may be believed while the flag cannot be read again. "Off" is believed until a read says otherwise."""

_SCOPES = frozenset([*TokenKind, *PLATFORMS, *(f"{platform}/{kind}" for platform in PLATFORMS for kind in TokenKind)])


@dataclass(frozen=True, slots=True)
class DisableFlag:
    """What is off: everything, or the scopes named."""

    everything: bool
    scopes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "DisableFlag":
        """The flag that `text` spells, to the letter. Raises `ValueError` on anything else."""
        if text in ("true", "false"):
            return cls(everything=text == "true")
        scopes = text.split(",")
        if not _SCOPES.issuperset(scopes) or len(set(scopes)) != len(scopes):
            raise ValueError("not a disable flag")
        return cls(everything=False, scopes=frozenset(scopes))

    def is_off(self, platform: str, kind: TokenKind) -> bool:
        """Whether tokens of this kind for this platform may not be made."""
        return self.everything or not self.scopes.isdisjoint((kind, platform, f"{platform}/{kind}"))


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The flag as it is known: `age` seconds old, and not to be had newer because of `failure`, if that is not None."""

    flag: DisableFlag
    age: float
    failure: DependencyFailure | None

    @property
    def too_old_for_on(self) -> bool:
        return self.age > ON_FOR_SECONDS

    def require_on(self, platform: str, kind: TokenKind) -> None:
        """Raises `MintingDisabled` where tokens of this kind are off, `SwitchUnavailable` where that cannot be told."""
        if self.flag.is_off(platform, kind):
            raise MintingDisabled
        if self.too_old_for_on:
            raise SwitchUnavailable(self.failure)


class KillSwitch:
    """The disable flag of one environment, kept fresh."""

    def __init__(
        self, parameters: ParameterStore, parameter_name: str, *, clock: Clock, random: Callable[[], float]
    ) -> None:
        def load(budget: Budget) -> DisableFlag:
            text = parameters.read([parameter_name], budget)[parameter_name]
            if text is None:
                raise DependencyFailure("ssm", "not-found", transient=False)
            try:
                return DisableFlag.parse(text)
            except ValueError:
                raise DependencyFailure("ssm", "not-a-flag", transient=False) from None

        self._flag = Refreshed(load, fresh_for=FRESH_SECONDS, keep_for=math.inf, clock=clock, random=random)

    def state(self, budget: Budget) -> SwitchState:
        """The flag, refreshed if it is not fresh. Raises `SwitchUnavailable` or `DeadlineExceeded`."""
        return self._state(self._flag.read, budget)

    def minting(self, platforms: Iterable[str], budget: Budget) -> str:
        """`on`, `off`, `partly-off` or `unknown`, over the platforms given. Reads at most once per fresh bound."""
        try:
            state = self._state(self._flag.glance, budget)
        except Fault:
            return "unknown"
        off = {state.flag.is_off(platform, kind) for platform in platforms for kind in TokenKind}
        if off == {True}:
            return "off"
        if state.too_old_for_on:
            return "unknown"
        return "on" if off == {False} else "partly-off"

    @staticmethod
    def _state(read: Callable[[Budget], Reading[DisableFlag]], budget: Budget) -> SwitchState:
        try:
            reading = read(budget)
        except DependencyFailure as failure:
            raise SwitchUnavailable(failure) from None
        return SwitchState(reading.value, reading.age, reading.failure)
