"""The published figures: the page says what was measured, and the arithmetic on it is right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts import loaded

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks/results.json").read_text())
PAGES = [(ROOT / name).read_text() for name in ("docs/performance.md", "README.md")]


report = loaded("benchmarks/report.py")
choices = loaded("benchmarks/choices.py")


def _measured(**values: float) -> dict[str, Any]:
    """One contender that was started twice, and did the same each time."""
    usual = {"init": 100, "first": 20, "cold_cpu": 60, "warm": 2, "warm_p99": 3, "warm_cpu": 1, "memory": 40}
    lifetime = {**usual, "cold_calls": 2, "warm_calls": 0, "log_bytes": 0, **values}
    return {"name": "one", "title": "One", "bytecode": "yes", "size": 10**6, "lives": [lifetime, lifetime]}


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_what_was_measured_last(page: str) -> None:
    """If not: `.tools/bench/bin/python benchmarks/report.py`."""
    assert report.filled(page, report.blocks(RESULTS)) == page


def test_the_page_says_what_each_choice_buys() -> None:
    """If not: `make choices ARGS=--publish`."""
    measured = json.loads((ROOT / "benchmarks/choices.json").read_text())

    assert report.filled(PAGES[0], choices.tables(measured)) == PAGES[0]
    assert measured.keys() == {one.name for one in choices.CHOICES}


def test_every_part_has_its_place_on_a_page() -> None:
    for name in report.blocks(RESULTS):
        assert re.search(rf"<!-- {name} -->\n(?s:.+)\n<!-- /{name} -->", "".join(PAGES)), name


def test_all_contenders_were_measured_as_often() -> None:
    names = {one["name"] for one in RESULTS["contenders"]}

    assert names == {"constant", "hs256", "simple", "powertools", "node", "roomkey"}
    assert {len(one["lives"]) for one in RESULTS["contenders"]} == {RESULTS["rounds"]}


def test_no_warm_request_called_aws_and_no_cold_one_more_than_twice() -> None:
    (ours,) = (one for one in RESULTS["contenders"] if one["name"] == "roomkey")

    assert {(lifetime["cold_calls"], lifetime["warm_calls"]) for lifetime in ours["lives"]} == {(2, 0)}


@pytest.mark.parametrize(
    ("memory", "values", "dollars"),
    [
        # A whole processor: 2 ms warm, and 120 ms cold once in 200 requests, of which each start reads a secret.
        (1769, {}, 0.20 + 1769 / 1024 * 0.0000133334 * (0.995 * 2_000 + 0.005 * 120_000) + 5 / 200),
        # Half of one: the processor time doubles, the wait does not.
        (884.5, {}, 0.20 + 884.5 / 1024 * 0.0000133334 * (0.995 * 3_000 + 0.005 * 180_000) + 5 / 200),
        # Both values read for every request: one of the two calls is to Secrets Manager.
        (1769, {"warm_calls": 2}, 0.20 + 1769 / 1024 * 0.0000133334 * (0.995 * 2_000 + 0.005 * 120_000) + 5),
        # A kilobyte of logs for each request is a gigabyte.
        (1769, {"log_bytes": 1000, "cold_calls": 0}, 0.70 + 1769 / 1024 * 0.0000133334 * (0.995 * 2_000 + 600)),
    ],
)
def test_what_a_million_tokens_cost(memory: float, values: dict[str, float], dollars: float) -> None:
    assert report.Contender.of(_measured(**values)).dollars(memory) == pytest.approx(dollars)


def test_a_figure_is_the_median_and_the_middle_half() -> None:
    assert report.Figure.of([1, 2, 3, 4, 100]).median == 3
    assert report.Figure.of([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("median", "strictly", "met"), [(0.69, False, True), (0.7, False, True), (0.7, True, False), (0.71, False, False)]
)
def test_a_goal_is_met_up_to_its_bound_and_below_it_where_that_is_asked(
    median: float, strictly: bool, met: bool
) -> None:
    goal = report.Goal("a ratio", 0.7, report.Figure(median, 0.6, 0.8), strictly=strictly)

    assert (goal.met, goal.bound) == (met, "below 0.7" if strictly else "at most 0.7")


def test_ratios_are_of_the_same_round_and_a_constant_can_be_left_out_of_both() -> None:
    """A machine that is half as quick in the second round leaves them as they are."""
    cpu = {"roomkey": 3, "powertools": 5, "constant": 1, "hs256": 2, "node": 4}
    results = {
        "contenders": [
            {
                "name": name,
                "size": 7_000_000,
                "lives": [
                    _measured(**dict.fromkeys(("init", "first", "cold_cpu", "warm", "warm_cpu"), slow * one))["lives"][
                        0
                    ]
                    | {"round_trip": 0.5}
                    for slow in (1, 2)
                ],
            }
            for name, one in cpu.items()
        ]
    }

    found = {goal.what: goal.measured for goal in report.goals(results)}

    assert found["warm processor time, of Powertools with validation"] == (0.6, 0.6, 0.6)
    assert found["the same, without what the constant takes"] == (0.5, 0.5, 0.5)
    assert found["warm median, of the HS256 floor"] == (1.5, 1.5, 1.5)
    assert report.goals({"contenders": results["contenders"][1:]}) == []
