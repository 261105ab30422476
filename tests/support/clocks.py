"""Clocks for tests: one that stands still, and one that runs with an offset."""

import time
from dataclasses import dataclass

from roomkey.clock import Instant


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only by `advance` or `sleep`, which returns at once."""

    wall: float = 1_800_000_000.0
    monotonic: float = 5_000.0

    def now(self) -> Instant:
        return Instant(self.wall, self.monotonic)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self.wall += seconds
        self.monotonic += seconds


@dataclass(slots=True)
class ShiftedClock:
    """The machine's clocks, each with an offset in seconds that can change at any time."""

    wall_offset: float = 0.0
    monotonic_offset: float = 0.0

    def now(self) -> Instant:
        return Instant(time.time() + self.wall_offset, time.monotonic() + self.monotonic_offset)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self.wall_offset += seconds
        self.monotonic_offset += seconds
