"""Instants on two clocks, and the time budget of a request."""

import time
from contextlib import nullcontext

import pytest

from roomkey.clock import Budget, Instant, SystemClock
from roomkey.errors import DeadlineExceeded
from support.clocks import FakeClock


@pytest.mark.threat("B10")
@pytest.mark.parametrize(
    ("wall", "monotonic", "age"),
    [
        pytest.param(10, 10, 10, id="both"),
        pytest.param(3600, 0, 3600, id="frozen"),
        pytest.param(0, 31, 31, id="wall-stood-still"),
        pytest.param(-86400, 31, 31, id="wall-set-back"),
        pytest.param(86400, 31, 86400, id="wall-set-forward"),
    ],
)
def test_an_age_is_that_of_the_clock_that_has_gone_further(wall: float, monotonic: float, age: float) -> None:
    then = Instant(wall=1_800_000_000, monotonic=50)
    assert then.age(Instant(wall=1_800_000_000 + wall, monotonic=50 + monotonic)) == age


@pytest.mark.parametrize(("wall", "after"), [(-1, True), (-0.001, True), (0, False), (1, False)])
def test_an_instant_is_after_now_when_the_wall_clock_was_set_back_behind_it(wall: float, after: bool) -> None:
    then = Instant(wall=1_800_000_000, monotonic=50)
    assert then.is_after(Instant(wall=1_800_000_000 + wall, monotonic=60)) is after


def test_the_system_clock_has_both_times_and_sleeps() -> None:
    clock = SystemClock()
    before = clock.now()
    assert abs(before.wall - time.time()) < 5
    assert abs(before.monotonic - time.monotonic()) < 5
    clock.sleep(0.02)
    assert clock.now().monotonic - before.monotonic >= 0.019


def test_a_budget_counts_down_from_its_start() -> None:
    clock = FakeClock()
    budget = Budget.start(clock, 2.5)
    assert (budget.usage().seconds, budget.remaining()) == (0, 2.5)
    clock.advance(1.0)
    assert (budget.usage().seconds, budget.remaining()) == (1.0, 1.5)
    clock.advance(1.499)
    assert budget.require_time() == clock.now()


@pytest.mark.parametrize(("wall", "monotonic"), [(2.5, 2.5), (2.5, 0), (0, 2.5), (-86400, 2.5), (7200, 0)])
def test_a_budget_is_used_up_by_either_clock(wall: float, monotonic: float) -> None:
    clock = FakeClock()
    budget = Budget.start(clock, 2.5)
    clock.wall += wall
    clock.monotonic += monotonic
    assert budget.remaining() <= 0
    with pytest.raises(DeadlineExceeded):
        budget.require_time()


def test_a_budget_that_has_less_than_nothing_fails_at_once() -> None:
    with pytest.raises(DeadlineExceeded):
        Budget.start(FakeClock(), -0.1).require_time()


@pytest.mark.parametrize(
    ("seconds", "over"), [(2.5, False), (2.75, False), (2.984375, False), (3.0, True), (3.5, True)]
)
def test_own_work_has_grace_that_waiting_has_not(seconds: float, over: bool) -> None:
    clock = FakeClock()
    budget = Budget.start(clock, 2.5, grace=0.5)
    clock.advance(seconds)
    assert budget.remaining() == 2.5 - seconds
    with pytest.raises(DeadlineExceeded) if over else nullcontext():
        budget.require_time()


def test_running_out_of_time_is_a_transient_fault() -> None:
    assert DeadlineExceeded().transient


def test_calls_are_counted_for_each_budget_apart() -> None:
    clock = FakeClock()
    first, second = Budget.start(clock, 1), Budget.start(clock, 1)
    first.calls["ssm"] = 1
    assert (first.usage().calls, second.usage().calls) == ({"ssm": 1}, {})
