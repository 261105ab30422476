"""Clocks for tests: one that stands still until it is told to move, and one that runs and can be set."""

import time
from dataclasses import dataclass

from roomkey.clock import Instant


@dataclass(slots=True)
class FakeClock:
    """Time that passes only when told to, its two clocks together or apart. `sleep` passes it at once."""

    wall: float = 1_800_000_000.0
    monotonic: float = 5_000.0

    def now(self) -> Instant:
        return Instant(self.wall, self.monotonic)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Lets time pass: both clocks move."""
        self.wall += seconds
        self.monotonic += seconds


@dataclass(slots=True)
class ShiftedClock:
    """The machine's clocks, running, each ahead or behind by an offset that can be changed at any time."""

    wall_offset: float = 0.0
    monotonic_offset: float = 0.0

    def now(self) -> Instant:
        return Instant(time.time() + self.wall_offset, time.monotonic() + self.monotonic_offset)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Makes it that much later on both clocks."""
        self.wall_offset += seconds
        self.monotonic_offset += seconds
