"""A value that belongs to somebody else and is read again when it has grown old.

The disable flag and the credentials are both held this way, so that one set of rules (docs/architecture.md) says how
old a value may be, what happens when it cannot be read again, and how often that is tried:

- While a value is fresh it is answered without any call. Past that, the caller waits for the refresh.
- When the refresh fails *transiently*, the stale value is answered, with its age and the failure: whoever asked
  decides whether it is still good for the purpose. The next try is some seconds away.
- When the refresh fails *authoritatively*, the value is forgotten.
- What has never been read is tried by every request.
- Age counts from when the request for the value was sent. An answer that comes after its deadline is dropped.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from roomkey import limits
from roomkey.clock import Budget, Clock, Instant
from roomkey.errors import BUDGET_EXCEEDED, DeadlineExceeded, DependencyFailure


class CachedValue[T](NamedTuple):
    """A value, how old it is in seconds, and why it could not be refreshed where it is stale (else None)."""

    value: T
    age: float
    failure: DependencyFailure | None = None


@dataclass(frozen=True, slots=True)
class _Entry[T]:
    value: T
    sent: Instant
    ttl: float


@dataclass(frozen=True, slots=True)
class _LastFailure:
    failure: DependencyFailure
    tried: Instant
    at: Instant
    retry_after: float


class RefreshingCache[T]:
    """One value, kept fresh. Safe to share between threads: one of them reads, the others wait for what it finds.

    `load` reads the value within a budget and raises `DependencyFailure`. `fresh_for` is in seconds; past `keep_for`
    seconds a value that cannot be refreshed is forgotten. `random` gives numbers from 0 to 1 and must not be seeded
    at import: environments restored from one snapshot would refresh in step.
    """

    def __init__(
        self,
        load: Callable[[Budget], T],
        *,
        ttl: float,
        max_stale: float,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._load = load
        self._fresh_for = ttl
        self._keep_for = max_stale
        self._clock = clock
        self._jitter = jitter
        self._reading = threading.Lock()
        self._entry: _Entry[T] | None = None
        self._failed: _LastFailure | None = None
        self._ever_read = False

    def read(self, budget: Budget) -> CachedValue[T]:
        """The value, refreshed if it is not fresh.

        Raises `DependencyFailure` where there is no value to answer, `DeadlineExceeded` where there was no time to
        find out.
        """
        return self._fresh_reading() or self._refreshed_reading(budget, least_seconds_between_tries=0)

    def peek(self, budget: Budget) -> CachedValue[T]:
        """As `read`, but tries at most once per fresh bound, even what was never read: for questions anyone may ask."""
        return self._fresh_reading() or self._refreshed_reading(budget, least_seconds_between_tries=self._fresh_for)

    def _fresh_reading(self) -> CachedValue[T] | None:
        entry, now = self._entry, self._clock.now()
        if entry is None or entry.sent.is_after(now):
            return None
        age = entry.sent.age(now)
        return CachedValue(entry.value, age) if age < entry.ttl else None

    def _refreshed_reading(self, budget: Budget, least_seconds_between_tries: float) -> CachedValue[T]:
        if not self._reading.acquire(timeout=max(budget.remaining(), 0)):
            return self._stale_reading(_no_time_left())
        try:
            # Whoever held the lock before may have read it.
            return self._fresh_reading() or self._try(budget, least_seconds_between_tries)
        finally:
            self._reading.release()

    def _try(self, budget: Budget, least_seconds_between_tries: float) -> CachedValue[T]:
        now = self._clock.now()
        failed = self._failed
        if failed is not None:
            resting = self._ever_read and failed.at.age(now) < failed.retry_after
            if resting or failed.tried.age(now) < least_seconds_between_tries:
                return self._stale_reading(failed.failure)
        if budget.remaining() <= 0:
            return self._stale_reading(_no_time_left())
        try:
            value = self._load(budget)
            if budget.remaining() <= 0:  # A frozen environment thaws with old answers.
                raise _no_time_left()
        except DependencyFailure as failure:
            return self._after(failure, tried=now)
        ttl = self._fresh_for * (1 + limits.TTL_JITTER * (2 * self._jitter() - 1))
        self._entry = _Entry(value, sent=now, ttl=ttl)
        self._failed = None
        self._ever_read = True
        return CachedValue(value, now.age(self._clock.now()))

    def _after(self, failure: DependencyFailure, *, tried: Instant) -> CachedValue[T]:
        if not failure.transient:
            self._entry = None
        retry_after = limits.RETRY_BACKOFF_SECONDS * (1 + limits.TTL_JITTER * self._jitter())
        # To whoever asks later it is the dependency that was slow: their own time is not used up.
        lasting = DependencyFailure(failure.dependency, "timeout", transient=True) if _ran_out(failure) else failure
        self._failed = _LastFailure(lasting, tried, self._clock.now(), retry_after)
        return self._stale_reading(failure)

    def _stale_reading(self, failure: DependencyFailure) -> CachedValue[T]:
        entry = self._entry
        if entry is not None:
            age = entry.sent.age(self._clock.now())
            if age < self._keep_for:
                return CachedValue(entry.value, age, failure)
        if _ran_out(failure):
            raise DeadlineExceeded(failure)
        raise failure.with_traceback(None)  # Raised again and again, it would drag every earlier traceback along.


def _ran_out(failure: DependencyFailure) -> bool:
    return failure.reason == BUDGET_EXCEEDED


def _no_time_left() -> DependencyFailure:
    return DependencyFailure("budget", BUDGET_EXCEEDED, transient=True)
