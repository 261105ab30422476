"""Cache a remote value and refresh it when its TTL expires.

The operator config and the credentials use the same rules (docs/architecture.md):

- Within its TTL the value is returned without a call. After that, the caller waits for the refresh.
- If the refresh fails transiently, the stale value is returned with its age and the failure, and the caller decides
  whether it may be used. The next attempt waits for a backoff.
- If the refresh fails authoritatively, the value is dropped.
- A value that was never read is tried by every request.
- Age counts from the moment when the read was sent. A response after its deadline is dropped.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

from roomkey import limits
from roomkey.clock import Budget, Clock, Instant
from roomkey.errors import BUDGET_EXCEEDED, DeadlineExceeded, DependencyFailure


class CachedValue[T](NamedTuple):
    """A value, its age in seconds, and the failure of the last refresh if the value is stale."""

    value: T
    age: float
    failure: DependencyFailure | None = None


class _Entry[T](NamedTuple):
    value: T
    sent: Instant
    ttl: float


class _LastFailure(NamedTuple):
    failure: DependencyFailure
    tried: Instant
    at: Instant
    retry_after: float


class RefreshingCache[T]:
    """One cached value, shared between threads: one thread refreshes it, the others wait for the result.

    `load` reads the value within a budget and raises `DependencyFailure`. `ttl` and `max_stale` are in seconds; a value
    older than `max_stale` is dropped if it cannot be refreshed. `jitter` returns numbers from 0 to 1. It must not be
    seeded at import: environments restored from one snapshot would refresh at the same moments.
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
        self._ttl = ttl
        self._max_stale = max_stale
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._entry: _Entry[T] | None = None
        self._failed: _LastFailure | None = None
        self._ever_read = False

    def read(self, budget: Budget) -> CachedValue[T]:
        """Return the value, refreshed if its TTL has expired.

        Raises:
            DependencyFailure: The value is unknown.
            DeadlineExceeded: The value is unknown, and the budget ended before the read did.
        """
        return self._fresh() or self._refresh(budget, min_interval=0)

    def peek(self, budget: Budget) -> CachedValue[T]:
        """Like `read`, but refresh at most once per TTL. For the unauthenticated health endpoint."""
        return self._fresh() or self._refresh(budget, min_interval=self._ttl)

    def _fresh(self) -> CachedValue[T] | None:
        entry, now = self._entry, self._clock.now()
        if entry is None or entry.sent.is_after(now):
            return None
        age = entry.sent.age(now)
        return CachedValue(entry.value, age) if age < entry.ttl else None

    def _refresh(self, budget: Budget, min_interval: float) -> CachedValue[T]:
        if not self._lock.acquire(timeout=max(budget.remaining(), 0)):
            return self._stale(_budget_exceeded())
        try:
            # Another thread may have refreshed it while we waited.
            return self._fresh() or self._try(budget, min_interval)
        finally:
            self._lock.release()

    def _try(self, budget: Budget, min_interval: float) -> CachedValue[T]:
        now = self._clock.now()
        failed = self._failed
        if failed is not None:
            backing_off = self._ever_read and failed.at.age(now) < failed.retry_after
            if backing_off or failed.tried.age(now) < min_interval:
                return self._stale(failed.failure)
        if budget.remaining() <= 0:
            return self._stale(_budget_exceeded())
        try:
            value = self._load(budget)
            if budget.remaining() <= 0:  # A thawed environment receives old responses.
                raise _budget_exceeded()
        except DependencyFailure as failure:
            return self._after(failure, tried=now)
        ttl = self._ttl * (1 + limits.TTL_JITTER * (2 * self._jitter() - 1))
        self._entry = _Entry(value, sent=now, ttl=ttl)
        self._failed = None
        self._ever_read = True
        return CachedValue(value, now.age(self._clock.now()))

    def _after(self, failure: DependencyFailure, *, tried: Instant) -> CachedValue[T]:
        if not failure.transient:
            self._entry = None
        retry_after = limits.RETRY_BACKOFF_SECONDS * (1 + limits.TTL_JITTER * self._jitter())
        # A later request has time left: for it, the dependency was slow.
        slow = DependencyFailure(failure.dependency, "timeout", transient=True)
        later = slow if failure.reason == BUDGET_EXCEEDED else failure
        self._failed = _LastFailure(later, tried, self._clock.now(), retry_after)
        return self._stale(failure)

    def _stale(self, failure: DependencyFailure) -> CachedValue[T]:
        entry = self._entry
        if entry is not None:
            age = entry.sent.age(self._clock.now())
            if age < self._max_stale:
                return CachedValue(entry.value, age, failure)
        if failure.reason == BUDGET_EXCEEDED:
            raise DeadlineExceeded(failure)
        raise failure.with_traceback(None)  # The same exception is raised repeatedly; drop the old traceback.


def _budget_exceeded() -> DependencyFailure:
    return DependencyFailure("budget", BUDGET_EXCEEDED, transient=True)
