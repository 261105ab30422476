"""Many environments start at once: what their storm costs SSM, how long it lasts, and that docs/capacity.md says so."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from roomkey import freshness, stores
from roomkey.api import WAITING_SECONDS
from scripts import loaded

ROOT = Path(__file__).parents[2]
CAPACITY = (ROOT / "docs/capacity.md").read_text()


storm = loaded("benchmarks/storm.py")

SMALL = 100
"""Environments: more than SSM lets through in the second in which they start, and its saved up second."""


def calls_of(outcome: Any) -> tuple[list[float], list[float]]:
    return outcome.ssm.calls, outcome.secrets.calls


# --- the bound -----------------------------------------------------------------------------------------------------


@pytest.mark.threat("B8")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("environments", "requests"), [(40, 1), (SMALL, 0.2), (SMALL, 5), (200, 1)])
def test_b8_a_cold_storm_keeps_to_its_bound(environments: int, requests: float, seed: int) -> None:
    bound = environments / 40 + 5
    outcome = storm.simulate(storm.cold(environments, requests, seed=seed, lasts=bound + 5))
    figures = outcome.figures()

    assert figures.bound == bound
    assert figures.last_refusal <= bound
    assert all(refusal.transient for seen in outcome.seen for refusal in seen.refused), "Retry-After: 5"
    assert figures.most_calls <= 2
    assert len(outcome.ssm.calls) <= 2 * sum(len(seen.waited) for seen in outcome.seen)
    assert len(outcome.ssm.admitted) <= environments, "nobody reads again what is fresh"


@pytest.mark.threat("B8", "I6")
def test_b8_what_is_too_much_is_refused_in_time() -> None:
    figures = storm.simulate(storm.cold(200, 1)).figures()
    assert figures.refused > 0
    assert figures.calls > 200
    assert figures.accepted_share < 1
    assert figures.longest_wait <= WAITING_SECONDS


@pytest.mark.threat("B8")
def test_b8_nobody_is_locked_out_for_having_been_refused() -> None:
    outcome = storm.simulate(storm.cold(200, 1, lasts=20.0))
    refused = [seen for seen in outcome.seen if seen.refused]
    assert refused
    for seen in refused:
        assert max(seen.answered) > seen.refused[-1].at
        assert len(seen.read) == 1


@pytest.mark.threat("C12")
def test_c12_an_environment_reads_its_secret_once() -> None:
    outcome = storm.simulate(storm.cold(SMALL, 5))
    assert len(outcome.secrets.calls) == len(outcome.secrets.admitted) == SMALL
    assert outcome.figures().secrets_peak <= SMALL


@pytest.mark.threat("B8")
@pytest.mark.parametrize("seed", [1, 2])
def test_b8_the_storm_after_an_outage_ends_a_rest_later_at_most(seed: int) -> None:
    row = storm.after_outage(50)
    figures = storm.simulate(replace(row.storm, seed=seed)).figures(row.since)
    longest_rest = freshness.REST_SECONDS * (1 + freshness.JITTER)
    assert 0 < figures.last_refusal <= max(figures.bound, longest_rest)
    assert figures.most_calls <= 2


def test_b8_it_rests_on_refused_calls_that_do_not_count() -> None:
    """As docs/capacity.md says. Should SSM count them, a storm would go on for as long as its callers do."""
    figures = storm.simulate(storm.cold(200, 1, refused_count=True)).figures()
    assert not figures.in_bound


def test_slow_services_are_given_up_in_time() -> None:
    figures = storm.simulate(storm.cold(5, 1, latency=2.5, lasts=10.0)).figures()
    assert figures.refused > 0
    assert stores.READ_TIMEOUT < figures.longest_wait < WAITING_SECONDS + 0.001


# --- the simulation ------------------------------------------------------------------------------------------------


def test_a_seed_is_a_storm() -> None:
    first, again, other = (storm.simulate(storm.cold(SMALL, 1, seed=seed)) for seed in (7, 7, 8))
    assert first.seen == again.seen
    assert calls_of(first) == calls_of(again)
    assert calls_of(first) != calls_of(other)


@pytest.mark.parametrize(
    ("module", "constant", "value", "part"),
    [
        (stores, "LONGEST_PAUSE", 1e9, lambda: storm.Row((), storm.cold(SMALL, 1))),
        (freshness, "JITTER", 0.0, lambda: storm.Row((), storm.cold(10, 1, lasts=45.0), 0.0, 45.0)),
        (freshness, "REST_SECONDS", 20.0, lambda: storm.after_outage(10)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_constants_are_the_project_s(
    monkeypatch: pytest.MonkeyPatch, module: Any, constant: str, value: float, part: Callable[[], Any]
) -> None:
    ours = part().figures()
    monkeypatch.setattr(module, constant, value)
    assert part().figures() != ours


def test_the_code_is_the_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()

    def spy(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def called(*arguments: Any, **named: Any) -> Any:
            used.add(name)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, called)

    spy(stores, "twice")
    spy(stores, "_failure_of")
    spy(freshness.Refreshed, "read")
    spy(freshness.Refreshed, "_after")
    figures = storm.simulate(storm.cold(SMALL, 1)).figures()
    assert used == {"twice", "_failure_of", "read", "_after"}
    assert figures.most_calls == 2

    monkeypatch.setattr(stores, "LONGEST_PAUSE", storm.ONE_ATTEMPT)
    assert storm.simulate(storm.cold(SMALL, 1)).figures().most_calls == 1


def test_other_constants_last_as_long_as_their_storm() -> None:
    def constants() -> tuple[float, float, float]:
        return stores.LONGEST_PAUSE, freshness.JITTER, freshness.REST_SECONDS

    before = constants()
    with storm.Storm(pause=9.0, jitter=0.9, rest=99.0).constants():
        assert constants() == (9.0, 0.9, 99.0)
    assert constants() == before


def test_a_service_lets_through_what_it_saved_up_and_then_its_rate() -> None:
    service = storm.Service("GetParameters", {}, per_second=4.0, burst=2.0)

    def admitted(at: float) -> bool:
        try:
            service.answer(at)
        except ClientError:
            return False
        return True

    assert [admitted(at) for at in (0.0, 0.0, 0.0, 0.125, 0.25, 0.25, 9.0, 9.0, 9.0)] == [
        True, True, False, False, True, False, True, True, False,
    ]  # fmt: skip


def test_turns_are_taken_in_the_order_of_time() -> None:
    turns, order = storm.Turns(), []

    def worker(number: int) -> Callable[[], None]:
        def work() -> None:
            for step in range(3):
                at = 10 * step + (5 - number)
                turns.wait(number, at)
                order.append(at)

        return work

    turns.run([worker(number) for number in range(5)])
    assert order == sorted(order)
    assert len(order) == 15


def test_an_error_in_an_environment_is_not_lost() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storm.Turns().run([lambda: None, fails])


# --- docs/capacity.md ----------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```text\n(.*?)^```$", CAPACITY, re.DOTALL | re.MULTILINE)


def words(line: str) -> list[str]:
    """A line's cells: what two spaces or more part."""
    return re.split(r"\s{2,}", line.strip())


def test_the_page_has_every_table_with_every_line() -> None:
    documented = {
        (tuple(words(head)), *(words(line)[0] for line in lines)) for head, _, *lines in map(str.splitlines, BLOCKS)
    }
    printed = {
        ((*section.names, *section.columns), *(row.name[0] for row in section.rows)) for section in storm.sections()
    }
    assert documented == printed


def test_the_page_s_figures_are_those_that_the_command_prints() -> None:
    """Of the lines that take no time. `make storm` has the others."""
    lines = [words(line) for block in BLOCKS for line in block.splitlines()]
    sections = storm.sections()[:2]
    quick = [(section, row) for section in sections for row in section.rows if row.name[0] == str(SMALL)]
    assert len(quick) > 5
    for section, row in quick:
        assert [*row.name, *section.cells(row.figures())] in lines
