"""The published figures: the pages show the last run, and the arithmetic is right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infrastructure.template import EVERYTHING, stack
from support.scripts import loaded

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks/results.json").read_text())
PAGES = [(ROOT / name).read_text() for name in ("docs/performance.md", "README.md")]
report = loaded("benchmarks/report.py")
cost = report.cost


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_the_last_run(page: str) -> None:
    """Otherwise run `benchmarks/report.py`."""
    assert report.fill(page, report.blocks(RESULTS)) == page


def test_every_table_has_a_place() -> None:
    for name in report.blocks(RESULTS):
        assert re.search(rf"<!-- {name} -->\n(?s:.+)\n<!-- /{name} -->", "".join(PAGES)), name


def _start(**figures: float) -> dict[str, float]:
    usual = {"init": 80, "first": 20, "cold": 100, "cold_cpu": 60, "warm": 2, "warm_cpu": 1, "memory": 30}
    return {**usual, "round_trip": 8, "cold_calls": 2, "warm_calls": 0, "log_bytes": 0, **figures}


def test_ratios_are_of_the_same_round() -> None:
    """In the second round the machine is half as fast."""
    starts = {
        name: [_start(cold=slow * cold, warm=slow * cold) for slow in (1, 2)]
        for name, cold in {"roomkey": 30, "node": 60, "hs256": 20}.items()
    }
    found = {goal["name"]: goal["measured"] for goal in report.goals(starts, 2_000_000)}

    assert found["cold start, of Node"] == [0.5] * 3
    assert found["warm median, of the HS256 floor"] == [1.5] * 3
    assert found[report.FIRST_REQUEST] == [4] * 3
    assert "cold start, of boto3" not in found


@pytest.mark.parametrize(("median", "met"), [(0.64, True), (0.65, True), (0.66, False)])
def test_a_goal_is_met_up_to_its_bound(median: float, met: bool) -> None:
    assert report.is_met({"measured": [0.1, median, 0.9], "most": 0.65}) is met


GB_SECONDS = 1769 / 1024 * 0.0000133334


@pytest.mark.parametrize(
    ("memory", "figures", "dollars"),
    [
        # One vCPU: 2 ms warm, and 100 ms cold once in 200 requests, of which each start reads a secret.
        (1769, {}, 0.20 + GB_SECONDS * (0.995 * 2_000 + 0.005 * 100_000) + 5 / 200),
        # Half a vCPU: CPU time doubles, waiting does not.
        (884.5, {}, 0.20 + GB_SECONDS / 2 * (0.995 * 3_000 + 0.005 * 160_000) + 5 / 200),
        # 2 KB of log per request are 2 GB.
        (1769, {"log_bytes": 2000}, 1.20 + GB_SECONDS * (0.995 * 2_000 + 500) + 5 / 200),
    ],
)
def test_the_cost_of_a_million_tokens(memory: float, figures: dict[str, float], dollars: float) -> None:
    assert cost.function_cost(_start(**figures), memory) == pytest.approx(dollars)


def test_the_access_log_is_the_templates() -> None:
    bill = report.bill(_start())

    assert float(bill["API Gateway's access log"]) == pytest.approx(0.19, abs=0.05)
    with pytest.raises(KeyError):
        cost.access_log_cost("$context.unknown")


def test_alarms_are_counted_as_cloudformation_creates_them() -> None:
    deployed = stack(**EVERYTHING)
    alarms: list[Any] = [one["Properties"] for one in deployed.of_type("AWS::CloudWatch::Alarm").values()]
    expected = sum(max(1, sum("MetricStat" in metric for metric in alarm.get("Metrics", []))) for alarm in alarms)
    counted = sum(cost.alarm_metrics((ROOT / name).read_text()) for name in ("template.yaml", "monitoring.yaml"))

    assert counted == expected > 20
