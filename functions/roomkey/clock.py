"""Time: two clocks, because either may be wrong, and the budget of time and calls that one request may spend.

An execution environment that was frozen for hours finds that its monotonic clock stood still; one whose wall clock is
set back finds values of the future. So an instant is read from both clocks and an age is the older of the two.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from roomkey.errors import DeadlineExceeded


class Instant(NamedTuple):
    """One moment on both clocks: Unix seconds, and seconds of a clock that is never set."""

    wall: float
    monotonic: float

    def age(self, now: "Instant") -> float:
        """Seconds from this instant to `now`, by the clock that has gone further."""
        return max(now.wall - self.wall, now.monotonic - self.monotonic)

    def is_after(self, now: "Instant") -> bool:
        """Whether the wall clock has been set back behind this instant, so that no wall age can be told."""
        return now.wall < self.wall


class Clock(Protocol):
    """Where the time comes from. Tests pass their own."""

    def now(self) -> Instant: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return Instant(time.time(), time.monotonic())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Usage(NamedTuple):
    """What one request has spent from `since` (Unix seconds): `seconds`, and `calls` to AWS, by service."""

    since: float
    seconds: float
    calls: Mapping[str, int]


@dataclass(slots=True)
class Budget:
    """What one request may spend, from `started`: `seconds` on waiting for others, `grace` more on its own work.

    A refresh may use up all the time there is for waiting; what was known before can still serve. `calls` are those to
    AWS, by service.
    """

    clock: Clock
    seconds: float
    started: Instant
    grace: float
    calls: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, clock: Clock, seconds: float, grace: float = 0.0) -> "Budget":
        return cls(clock, seconds, clock.now(), grace)

    def usage(self) -> Usage:
        """What has been spent up to now."""
        return Usage(self.started.wall, self.started.age(self.clock.now()), self.calls)

    def remaining(self) -> float:
        """Seconds left for waiting; zero or less when there are none."""
        return self.seconds - self.started.age(self.clock.now())

    def check(self) -> Instant:
        """Now. Raises `DeadlineExceeded` when there is no time left for anything."""
        now = self.clock.now()
        if self.started.age(now) >= self.seconds + self.grace:
            raise DeadlineExceeded
        return now
