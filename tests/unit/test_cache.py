"""The cache: the age of a value, failed reads, and the number of attempts."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget
from roomkey.errors import DeadlineExceeded, DependencyFailure
from support.clocks import FakeClock

DOWN = DependencyFailure("somewhere", "server-error", transient=True)
GONE = DependencyFailure("somewhere", "not-found", transient=False)

FRESH, KEEP = 30.0, 3600.0
A_MOMENT = 1 / 64
"""A short duration, exact on a clock that counts in binary fractions."""


class Somewhere:
    """A source with prepared answers, which counts its reads."""

    def __init__(self) -> None:
        self.calls = 0
        self.says: str | Exception = "one"
        self.meanwhile: Callable[[], object] = lambda: None

    def load(self, budget: Budget) -> str:
        assert budget.remaining() > 0, "asked without time to answer"
        self.calls += 1
        says = self.says
        self.meanwhile()
        if isinstance(says, Exception):
            raise says
        return says


class Subject:
    """A cached value with all its dependencies."""

    def __init__(self, chance: float = 0.5) -> None:
        self.clock = FakeClock()
        self.somewhere = Somewhere()
        self.chance = chance
        self.value = RefreshingCache(
            self.somewhere.load, ttl=FRESH, max_stale=KEEP, clock=self.clock, jitter=lambda: self.chance
        )

    def read(self, seconds: float = 2.8) -> CachedValue[str]:
        return self.value.read(Budget.start(self.clock, seconds))

    def peek(self) -> CachedValue[str]:
        return self.value.peek(Budget.start(self.clock, 2.8))

    def fails(self, *, within: float = 2.8) -> DependencyFailure:
        with pytest.raises(DependencyFailure) as caught:
            self.read(within)
        return caught.value


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_nothing_is_read_before_it_is_asked_for(subject: Subject) -> None:
    assert subject.somewhere.calls == 0


def test_a_fresh_value_costs_no_call(subject: Subject) -> None:
    assert subject.read() == CachedValue("one", 0.0)
    subject.somewhere.says = "two"
    for _ in range(100):
        subject.clock.advance(0.299)
        reading = subject.read()
    assert (reading.value, reading.failure) == ("one", None)
    assert reading.age == pytest.approx(29.9)
    assert subject.somewhere.calls == 1


def test_a_value_is_read_again_when_its_fresh_bound_is_reached(subject: Subject) -> None:
    subject.read()
    subject.somewhere.says = "two"
    subject.clock.advance(FRESH)
    assert subject.read() == CachedValue("two", 0.0)
    assert subject.read().value == "two"
    assert subject.somewhere.calls == 2


@pytest.mark.parametrize(("chance", "bound"), [(0.0, 24.0), (0.25, 27.0), (0.5, 30.0), (1.0, 36.0)])
def test_the_fresh_bound_is_jittered_by_a_fifth_either_way(chance: float, bound: float) -> None:
    subject = Subject(chance)
    subject.read()
    subject.clock.advance(bound - A_MOMENT)
    subject.read()
    assert subject.somewhere.calls == 1
    subject.clock.advance(2 * A_MOMENT)
    subject.read()
    assert subject.somewhere.calls == 2


def test_the_jitter_is_drawn_for_each_value_anew() -> None:
    subject = Subject(chance=0.0)
    subject.read()
    subject.clock.advance(24.1)
    subject.chance = 1.0
    subject.read()
    subject.clock.advance(35.9)
    subject.read()
    assert subject.somewhere.calls == 2


@pytest.mark.threat("B10")
@pytest.mark.parametrize(
    ("wall", "monotonic"),
    [(31, 0), (0, 31), (-86400, 31), (-86400, 0), (-0.001, 0), (86400, 0), (31, 31)],
)
def test_either_clock_can_end_freshness_and_one_set_back_does(subject: Subject, wall: float, monotonic: float) -> None:
    subject.read()
    subject.somewhere.says = "two"
    subject.clock.wall += wall
    subject.clock.monotonic += monotonic
    assert subject.read() == CachedValue("two", 0.0)
    assert subject.read().value == "two"
    assert subject.somewhere.calls == 2


def test_age_counts_from_when_the_request_was_sent(subject: Subject) -> None:
    subject.somewhere.meanwhile = lambda: subject.clock.advance(2.0)
    assert subject.read() == CachedValue("one", 2.0)
    subject.somewhere.meanwhile = lambda: None
    subject.clock.advance(27.9)
    assert subject.read().age == pytest.approx(29.9)
    assert subject.somewhere.calls == 1
    subject.clock.advance(0.2)
    subject.read()
    assert subject.somewhere.calls == 2


# --- refreshes that fail -------------------------------------------------------------------------------------------


def test_a_stale_value_is_answered_with_its_age_and_why_it_is_stale(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(40)
    subject.somewhere.says = DOWN
    assert subject.read() == CachedValue("one", 40.0, DOWN)


@pytest.mark.parametrize(("chance", "rest"), [(0.0, 5.0), (0.5, 5.5), (1.0, 6.0)])
def test_after_a_failed_refresh_the_next_try_rests(chance: float, rest: float) -> None:
    subject = Subject(chance)
    subject.read()
    subject.clock.advance(40)
    subject.somewhere.says = DOWN
    subject.read()
    assert subject.somewhere.calls == 2
    subject.clock.advance(rest - A_MOMENT)
    assert subject.read() == CachedValue("one", 40 + rest - A_MOMENT, DOWN)
    assert subject.somewhere.calls == 2
    subject.clock.advance(A_MOMENT)
    subject.read()
    assert subject.somewhere.calls == 3


def test_the_rest_counts_from_the_end_of_the_failed_try(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(40)
    subject.somewhere.says = DOWN
    subject.somewhere.meanwhile = lambda: subject.clock.advance(2.0)
    subject.read()
    subject.clock.advance(5.4)
    subject.read()
    assert subject.somewhere.calls == 2
    subject.clock.advance(0.2)
    subject.read()
    assert subject.somewhere.calls == 3


@pytest.mark.parametrize(("wall", "monotonic"), [(6, 0), (0, 6), (-86400, 6)])
def test_a_pause_ends_by_either_clock(subject: Subject, wall: float, monotonic: float) -> None:
    subject.read()
    subject.clock.advance(40)
    subject.somewhere.says = DOWN
    subject.read()
    subject.clock.wall += wall
    subject.clock.monotonic += monotonic
    subject.read()
    assert subject.somewhere.calls == 3


def test_a_refresh_that_succeeds_ends_the_rest_and_the_staleness(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(40)
    subject.somewhere.says = DOWN
    subject.read()
    subject.clock.advance(6)
    subject.somewhere.says = "two"
    assert subject.read() == CachedValue("two", 0.0)
    subject.clock.advance(1)
    assert subject.read() == CachedValue("two", 1.0)
    subject.clock.advance(FRESH)
    subject.read()
    assert subject.somewhere.calls == 4


def test_a_first_success_clears_the_failure(subject: Subject) -> None:
    subject.somewhere.says = DOWN
    subject.fails()
    subject.somewhere.says = "one"
    subject.read()
    subject.somewhere.says = "two"
    subject.clock.wall -= 1
    assert subject.read() == CachedValue("two", 0.0)


def test_a_value_is_kept_for_its_bound_and_no_longer(subject: Subject) -> None:
    subject.read()
    subject.somewhere.says = DOWN
    subject.clock.advance(KEEP - A_MOMENT)
    assert subject.read() == CachedValue("one", KEEP - A_MOMENT, DOWN)
    subject.clock.advance(A_MOMENT)
    assert subject.fails() is DOWN


@pytest.mark.threat("B10")
@pytest.mark.parametrize(("wall", "monotonic"), [(KEEP, 0), (0, KEEP)])
def test_either_clock_can_end_the_keeping(subject: Subject, wall: float, monotonic: float) -> None:
    subject.read()
    subject.somewhere.says = DOWN
    subject.clock.wall += wall
    subject.clock.monotonic += monotonic
    assert subject.fails() is DOWN


def test_an_authoritative_no_forgets_the_value_at_once(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    subject.somewhere.says = GONE
    assert subject.fails() is GONE

    subject.somewhere.says = DOWN
    assert subject.fails() is GONE, "the rest after a failed refresh was not kept"
    assert subject.somewhere.calls == 2
    subject.clock.advance(6)
    assert subject.fails() is DOWN
    subject.clock.advance(6)
    subject.somewhere.says = "two"
    assert subject.read() == CachedValue("two", 0.0)


def test_a_definite_refusal_after_temporary_failures_drops_the_value(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    subject.somewhere.says = DOWN
    assert subject.read().value == "one"
    subject.clock.advance(6)
    subject.somewhere.says = GONE
    assert subject.fails() is GONE


@pytest.mark.parametrize("failure", [DOWN, GONE], ids=["transient", "authoritative"])
def test_every_request_tries_to_read_an_empty_cache(subject: Subject, failure: DependencyFailure) -> None:
    subject.somewhere.says = failure
    for calls in range(1, 6):
        assert subject.fails() is failure
        assert subject.somewhere.calls == calls
    subject.somewhere.says = "one"
    assert subject.read() == CachedValue("one", 0.0)


def test_a_bug_in_loading_is_raised_and_blocks_no_thread(subject: Subject) -> None:
    subject.somewhere.says = KeyError("mistake")
    with pytest.raises(KeyError):
        subject.read()
    subject.somewhere.says = "one"
    assert subject.read().value == "one"


# --- time that runs out --------------------------------------------------------------------------------------------


def test_without_time_nothing_is_tried(subject: Subject) -> None:
    for seconds in (0, -1.0):
        with pytest.raises(DeadlineExceeded) as caught:
            subject.read(seconds)
        assert caught.value.failure is not None
        assert (caught.value.failure.dependency, caught.value.failure.reason) == ("budget", "budget-exceeded")
    assert subject.somewhere.calls == 0


def test_the_last_moment_is_time_enough_to_try(subject: Subject) -> None:
    assert subject.read(A_MOMENT) == CachedValue("one", 0.0)


def test_without_time_a_fresh_value_is_answered_and_a_stale_one_too(subject: Subject) -> None:
    subject.read()
    assert subject.read(0) == CachedValue("one", 0.0)
    subject.clock.advance(40)
    reading = subject.read(0)
    assert (reading.value, reading.age) == ("one", 40.0)
    assert reading.failure is not None
    assert reading.failure.transient
    assert subject.somewhere.calls == 1
    assert subject.read().failure is None, "a request without time must not make the next one rest"
    assert subject.somewhere.calls == 2


@pytest.mark.threat("C2")
@pytest.mark.parametrize(("wall", "monotonic"), [(2.75, 2.75), (7200, 0), (0, 3)])
def test_a_response_after_the_deadline_is_dropped_and_read_again(
    subject: Subject, wall: float, monotonic: float
) -> None:
    def freeze() -> None:
        subject.clock.wall += wall
        subject.clock.monotonic += monotonic

    subject.somewhere.meanwhile = freeze
    with pytest.raises(DeadlineExceeded):
        subject.read(2.75)
    subject.somewhere.meanwhile = lambda: None
    subject.somewhere.says = "two"
    assert subject.read() == CachedValue("two", 0.0)


def test_an_answer_just_before_the_deadline_counts(subject: Subject) -> None:
    subject.somewhere.meanwhile = lambda: subject.clock.advance(2.79)
    assert subject.read().value == "one"


@pytest.mark.threat("C2")
def test_a_late_response_neither_replaces_nor_renews_the_value(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    subject.somewhere.says = "late"
    subject.somewhere.meanwhile = lambda: subject.clock.advance(5)
    reading = subject.read()
    assert (reading.value, reading.age) == ("one", 36.0)
    assert reading.failure is not None
    assert reading.failure.transient
    subject.somewhere.meanwhile = lambda: None
    subject.somewhere.says = "two"
    assert subject.read().value == "one"
    subject.clock.advance(6)
    assert subject.read().value == "two"


def test_a_pause_after_another_threads_timeout_is_not_a_timeout(subject: Subject) -> None:
    """Later requests see the failure of the dependency, which was slow."""
    subject.read()
    subject.clock.advance(KEEP)
    subject.somewhere.meanwhile = lambda: subject.clock.advance(3)
    with pytest.raises(DeadlineExceeded):
        subject.read()
    subject.somewhere.meanwhile = lambda: None
    failure = subject.fails()
    assert (failure.dependency, failure.reason, failure.transient) == ("budget", "timeout", True)
    assert subject.somewhere.calls == 2


# --- health --------------------------------------------------------------------------------------------------------


def test_a_glance_at_an_empty_cache_tries_once_per_ttl(subject: Subject) -> None:
    subject.somewhere.says = DOWN
    for _ in range(29):
        with pytest.raises(DependencyFailure):
            subject.peek()
        subject.clock.advance(1)
    assert subject.somewhere.calls == 1
    subject.clock.advance(1.1)
    with pytest.raises(DependencyFailure):
        subject.peek()
    assert subject.somewhere.calls == 2


def test_a_glance_keeps_no_read_from_trying(subject: Subject) -> None:
    subject.somewhere.says = DOWN
    with pytest.raises(DependencyFailure):
        subject.peek()
    subject.somewhere.says = "one"
    assert subject.read().value == "one"
    assert subject.peek() == CachedValue("one", 0.0)
    assert subject.somewhere.calls == 2


def test_a_glance_at_a_stale_value_tries_once_per_ttl_and_returns_it(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    subject.somewhere.says = DOWN
    for second in range(29):
        assert subject.peek() == CachedValue("one", 31.0 + second, DOWN)
        subject.clock.advance(1)
    assert subject.somewhere.calls == 2
    subject.clock.advance(1.1)
    subject.peek()
    assert subject.somewhere.calls == 3


def test_a_glance_refreshes_an_expired_value(subject: Subject) -> None:
    subject.peek()
    subject.clock.advance(31)
    subject.somewhere.says = "two"
    assert subject.peek() == CachedValue("two", 0.0)


# --- threads -------------------------------------------------------------------------------------------------------


def _at_once[T](number: int, do: Callable[[], T]) -> list[T]:
    barrier = threading.Barrier(number)

    def run(_: int) -> T:
        barrier.wait(timeout=10)
        return do()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))


@pytest.mark.threat("B14")
def test_fifty_threads_share_one_call_and_its_result(subject: Subject) -> None:
    numbers = count(1)

    def load_slowly() -> None:
        subject.somewhere.says = str(next(numbers))
        time.sleep(0.05)

    subject.somewhere.meanwhile = load_slowly
    assert {reading.value for reading in _at_once(50, subject.read)} == {"one"}
    assert subject.somewhere.calls == 1


@pytest.mark.threat("B14")
def test_fifty_threads_share_a_failed_refresh(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    subject.somewhere.says = DOWN
    subject.somewhere.meanwhile = lambda: time.sleep(0.05)
    assert set(_at_once(50, subject.read)) == {CachedValue("one", 31.0, DOWN)}
    assert subject.somewhere.calls == 2


def test_a_thread_waits_for_another_at_most_its_own_time(subject: Subject) -> None:
    reading, release = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        assert release.wait(timeout=10)

    subject.somewhere.meanwhile = hang
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(subject.read)
        assert reading.wait(timeout=10)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            subject.read(0.1)
        assert time.monotonic() - started < 2
        release.set()
        assert first.result(timeout=10).value == "one"
    assert subject.somewhere.calls == 1


def test_a_thread_without_time_does_not_wait_for_another(subject: Subject) -> None:
    reading, release = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        assert release.wait(timeout=10)

    subject.somewhere.meanwhile = hang
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(subject.read)
        assert reading.wait(timeout=10)
        started = time.monotonic()
        for seconds in (0, -5.0):
            with pytest.raises(DeadlineExceeded):
                subject.read(seconds)
        assert time.monotonic() - started < 0.5
        release.set()
        first.result(timeout=10)


def test_a_wait_that_times_out_returns_the_stale_value(subject: Subject) -> None:
    subject.read()
    subject.clock.advance(31)
    reading, release = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        assert release.wait(timeout=10)

    subject.somewhere.meanwhile = hang
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(subject.read)
        assert reading.wait(timeout=10)
        stale = subject.read(0.1)
        assert (stale.value, stale.age) == ("one", 31.0)
        assert stale.failure is not None
        release.set()
        first.result(timeout=10)


# --- mutants that no test can kill -----------------------------------------------------------------------------------
#
# The check under the lock finds a fresh value as well. The one before only avoids the lock.
#   cache.Refreshed.read: self._fresh_reading() or self._ref… → self._refreshed_reading(budget, le…
#   cache.Refreshed.glance: self._fresh_reading() or self._ref… → self._refreshed_reading(budget, le…
#
# No age is below 0.
#   cache.Refreshed.read: 0 → -1
