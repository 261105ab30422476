#!/usr/bin/env python
"""Turn the measurements of `bench.py` into figures, goals and the tables of the pages.

Run alone, it writes the tables again from benchmarks/results.json: for a change of words or prices.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))
import cost

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
PAGES = (ROOT / "docs/performance.md", ROOT / "README.md")
MEMORY_SIZES = (256, 512, 1024, 1769)
FIRST_REQUEST = "first request after init, beyond two round trips"

type Start = Mapping[str, float]
"""One start of a contender (`bench.Start`), with `cold`."""


def summarize(machine: Mapping[str, str], starts: Mapping[str, Sequence[Start]], facts: Mapping[str, Any]) -> Any:
    """Return what results.json keeps: for each contender the quartiles of its figures, and the goals.

    `starts` has one value per round for each contender; `facts` has its `title` and `size`.
    """
    return {
        "machine": machine,
        "rounds": len(starts["roomkey"]),
        "contenders": {
            name: {
                **facts[name],
                "figures": {of: quartiles([start[of] for start in starts[name]]) for of in starts[name][0]},
            }
            for name in starts
        },
        "goals": goals(starts, facts["roomkey"]["size"]),
    }


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    found = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return [round(value, 3) for value in found]


def goals(starts: Mapping[str, Sequence[Start]], size: int) -> list[dict[str, Any]]:
    """Return each goal with its bound and what was measured. Ratios are of contenders in the same round."""
    ours = starts["roomkey"]
    found: list[dict[str, Any]] = []

    def goal(name: str, most: float, values: Iterable[float], unit: str = "") -> None:
        found.append({"name": name, "most": most, "unit": unit, "measured": quartiles(list(values))})

    def ratio(of: str, other: str) -> list[float]:
        return [start[of] / peer[of] for start, peer in zip(ours, starts[other], strict=True)]

    peers = [("before", "Roomkey with the SDK", 0.65), ("node", "Node", 0.9), ("boto3", "boto3", 0.45)]
    for other, title, most in [*peers, ("powertools", "Powertools with validation", 0.35)]:
        if other in starts:
            goal(f"cold start, of {title}", most, ratio("cold", other))
    goal(FIRST_REQUEST, 8, (start["first"] - 2 * start["round_trip"] for start in ours), " ms")
    if "hs256" in starts:
        goal("warm median, of the HS256 floor", 2.0, ratio("warm", "hs256"))
    if "powertools" in starts:
        goal("warm processor time, of Powertools with validation", 0.85, ratio("warm_cpu", "powertools"))
    goal("memory", 32, (start["memory"] for start in ours), " MiB")
    goal("package, unzipped", 3, [size / 1e6], " MB")
    medians = {of: statistics.median(start[of] for start in ours) for of in ours[0]}
    goal("a million tokens, without Lambda's and API Gateway's logs", 0.90, [cost.function_cost(medians, 512)], " USD")
    goal("AWS calls on a cold start", 2, (start["cold_calls"] for start in ours))
    goal("AWS calls on a warm request", 0, (start["warm_calls"] for start in ours))
    return found


def is_met(goal: Mapping[str, Any]) -> bool:
    return bool(goal["measured"][1] <= goal["most"])


# --- tables ---------------------------------------------------------------------------------------------------------


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the generated parts of the pages by the names of their markers."""
    machine = results["machine"]
    contenders = [one for name, one in results["contenders"].items() if name != "before"]

    def table(first: str, columns: Mapping[str, Callable[[Mapping[str, Any]], str]]) -> str:
        rows = ([one["title"], *(cell(one) for cell in columns.values())] for one in contenders)
        return _table([first, *columns], rows)

    def median(of: str, unit: str, digits: int = 0) -> Callable[[Mapping[str, Any]], str]:
        return lambda one: f"{one['figures'][of][1]:,.{digits}f} {unit}"

    def spread(of: str, digits: int) -> Callable[[Mapping[str, Any]], str]:
        return lambda one: _spread(one["figures"][of], digits)

    ours = results["contenders"]["roomkey"]["figures"]
    medians = {of: values[1] for of, values in ours.items()}
    month, restores, saved = cost.snapstart_cost(medians["init"], 512)
    return {
        "run": (
            f"{results['rounds']} rounds on {machine['date']}: {machine['processor']}, {machine['system']}, "
            f"Python {machine['python']}, Node {machine['node']}. A call to the simulated AWS takes "
            f"{medians['round_trip']:.1f} ms on a new connection."
        ),
        "summary": table(
            "",
            {
                "cold start": median("cold", "ms"),
                "first request": median("first", "ms"),
                "warm, median": median("warm", "ms", 1),
                "memory": median("memory", "MiB"),
                "package": lambda one: _megabytes(one["size"]),
            },
        ),
        "times": table(
            "ms",
            {
                "cold start": spread("cold", 0),
                "its processor time": spread("cold_cpu", 0),
                "first request": spread("first", 1),
                "warm, median": spread("warm", 2),
                "warm, p99": spread("warm_p99", 2),
                "warm, processor time": spread("warm_cpu", 2),
            },
        ),
        "sizes": table(
            "",
            {
                "memory, MiB": spread("memory", 0),
                "package": lambda one: _megabytes(one["size"]),
                "log per request, bytes": median("log_bytes", ""),
                **{
                    f"per million, {size} MB": lambda one, size=size: _dollars(
                        cost.function_cost({of: values[1] for of, values in one["figures"].items()}, size)
                    )
                    for size in MEMORY_SIZES
                },
            },
        ),
        "goals": _table(
            ["", "goal", "measured"],
            (
                [
                    goal["name"],
                    f"at most {goal['most']:g}{goal['unit']}",
                    _spread(goal["measured"], 2) + goal["unit"] + ("" if is_met(goal) else " **(missed)**"),
                ]
                for goal in results["goals"]
            ),
        ),
        "bill": _table(["per million tokens, 512 MB", "USD"], bill(medians).items()),
        "month": _table(["per month, without a request", "USD"], month_at_rest().items()),
        "snapstart": (
            f"With 512 MB a snapshot costs {month:.2f} USD a month for each published version, and a million restores "
            f"{restores:,.0f} USD. The init that they save costs {saved:.2f} USD, so SnapStart never saves money. It "
            f"replaces {medians['init']:.0f} ms of init by the restore, whose time an emulator cannot show. The "
            f"{medians['first']:.0f} ms of the first request stay."
        ),
    }


def bill(medians: Mapping[str, float]) -> dict[str, str]:
    """Return the lines of the bill of a million tokens, in USD."""
    template = (ROOT / "template.yaml").read_text()
    found = re.search(r"AccessLogSettings:.*?Format: >-\n(.*?})\n", template, re.DOTALL)
    if not found:
        raise ValueError("template.yaml has no access log format")
    access_log = " ".join(line.strip() for line in found[1].splitlines())
    own_log = cost.log_cost(medians["log_bytes"])
    compute, total = cost.compute_cost(medians, 512), cost.function_cost(medians, 512)
    lines = {
        "Lambda: requests and time": compute,
        f"audit line and metrics: {medians['log_bytes']:,.0f} bytes": own_log,
        "reads of secrets": total - compute - own_log,
        "**together**": total,
        "Lambda's START, END and REPORT lines": cost.system_log_cost(),
        "API Gateway's access log": cost.access_log_cost(access_log),
        "API Gateway": cost.MILLION_API_CALLS,
    }
    lines["**with these**"] = sum(lines.values()) - total
    return {name: _dollars(value) for name, value in lines.items()}


SERIES = 19
"""Metrics with their dimensions in a stack that mints both kinds for one platform and refuses for three reasons."""


def month_at_rest() -> dict[str, str]:
    """Return the lines of a stack's bill per month, in USD."""
    rollout, watched = (cost.alarm_metrics((ROOT / name).read_text()) for name in ("template.yaml", "monitoring.yaml"))
    return {
        f"the alarms of the rollout ({rollout} metrics)": _dollars(rollout * cost.ALARM_METRIC_MONTH),
        f"with `AlarmTopic`: the other alarms ({watched} metrics)": _dollars(watched * cost.ALARM_METRIC_MONTH),
        "with `AlarmTopic`: the dashboard, beyond the account's first three": _dollars(cost.DASHBOARD_MONTH),
        "a platform's secret": _dollars(cost.SECRET_MONTH),
        f"while it mints: {SERIES} custom metrics": _dollars(SERIES * cost.METRIC_MONTH),
    }


def _dollars(value: float) -> str:
    return f"{value:.2f}"


def _spread(values: Sequence[float], digits: int) -> str:
    low, median, high = (f"{value:,.{digits}f}" for value in values)
    return median + ("" if low == high else f" <sub>{low} to {high}</sub>")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.0f} KB"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(text: str, parts: Mapping[str, str]) -> str:
    """Return `text` with each part between its markers `<!-- NAME -->` and `<!-- /NAME -->`."""
    for name, part in parts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    return text


def show(results: Mapping[str, Any]) -> None:
    """Print the tables."""
    for name, block in blocks(results).items():
        print(f"\n{name}\n{re.sub('</?sub>', '', block)}")


def publish(results: Mapping[str, Any]) -> None:
    """Write the pages."""
    for path in PAGES:
        path.write_text(fill(path.read_text(), blocks(results)))


if __name__ == "__main__":
    publish(json.loads(RESULTS.read_text()))
