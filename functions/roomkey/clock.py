"""The clocks, and the time budget of one request.

Either clock can be wrong: the monotonic clock stops while an execution environment is frozen, and the wall clock can be
set back. An instant is therefore read from both, and an age is the greater of the two.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from roomkey.errors import DeadlineExceeded


class Instant(NamedTuple):
    """One moment on both clocks: Unix seconds, and seconds of the monotonic clock."""

    wall: float
    monotonic: float

    def age(self, now: "Instant") -> float:
        """Return the seconds from this instant to `now`, by the clock that has advanced further."""
        return max(now.wall - self.wall, now.monotonic - self.monotonic)

    def is_after(self, now: "Instant") -> bool:
        """Return whether the wall clock was set back behind this instant, so that its age is unknown."""
        return now.wall < self.wall


class Clock(Protocol):
    """A source of time. Tests pass their own."""

    def now(self) -> Instant: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return Instant(time.time(), time.monotonic())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Usage(NamedTuple):
    """The time and calls of one request: `seconds` since `since` (Unix seconds), and `calls` to AWS by service."""

    since: float
    seconds: float
    calls: Mapping[str, int]


class Budget:
    """The limits of one request: `seconds` for waiting on others, then `grace` seconds for its own work.

    A refresh may use up all the time for waiting; a cached value can still serve. `calls` counts the calls to AWS by
    service.
    """

    __slots__ = ("calls", "clock", "grace", "seconds", "started")

    def __init__(self, clock: Clock, seconds: float, started: Instant, grace: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.started = started
        self.grace = grace
        self.calls: dict[str, int] = {}

    @classmethod
    def start(cls, clock: Clock, seconds: float, grace: float = 0.0) -> "Budget":
        """Return a budget that starts now."""
        return cls(clock, seconds, clock.now(), grace)

    def usage(self) -> Usage:
        """Return what has been used so far."""
        return Usage(self.started.wall, self.started.age(self.clock.now()), self.calls)

    def remaining(self) -> float:
        """Return the seconds left for waiting, zero or less if the time is used up."""
        return self.seconds - self.started.age(self.clock.now())

    def require_time(self) -> Instant:
        """Return the current time, if the request has time left.

        Raises:
            DeadlineExceeded: The time for waiting and the grace are used up.
        """
        now = self.clock.now()
        if self.started.age(now) >= self.seconds + self.grace:
            raise DeadlineExceeded
        return now
