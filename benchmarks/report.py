#!/usr/bin/env python
"""From what `bench.py` measured to what people read: tables, a plot, what a million tokens cost.

Run by itself it writes docs/performance.md, its plot and the README's table anew, from benchmarks/results.json: for a
change of words or prices that needs no new run.
"""

import json
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
PAGES = (ROOT / "docs/performance.md", ROOT / "README.md")
PLOT = ROOT / "docs/images/performance.png"

# --- inputs of the arithmetic, to be changed by whoever knows better -----------------------------------------------

PRICES_OF = "us-east-1, list prices as of 2025"
GB_SECOND = 0.0000133334
"""Dollars: Lambda on arm64."""
MILLION_REQUESTS = 0.20
MILLION_SECRET_READS = 5.00
LOG_GIGABYTE = 0.50
SNAPSHOT_GB_SECOND = 0.0000015046
"""Dollars: SnapStart's cache, for as long as a version is published."""
RESTORED_GB = 0.0001397998

MEMORY_SIZES = (256, 512, 1024, 1769)
WHOLE_PROCESSOR = 1769
"""MB at which Lambda gives one whole processor; less memory gets its share of one."""
COLD_SHARE = 0.005
"""Of all requests, those that start an environment."""
SECONDS_BETWEEN = 1.0
"""Between two requests to one environment: what is kept for 300 s is read once in so many, and by each start."""
KEPT_SECONDS = 300.0


# --- figures --------------------------------------------------------------------------------------------------------


class Figure(NamedTuple):
    """A median, and between what the middle half of the values lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        return cls(median, low, high)

    def text(self, digits: int) -> str:
        return f"{self.median:,.{digits}f} <sub>{self.low:,.{digits}f} to {self.high:,.{digits}f}</sub>"


@dataclass(frozen=True, slots=True)
class Contender:
    """One contender's figures. Milliseconds, MiB and bytes."""

    name: str
    title: str
    bytecode: str
    size: int
    init: Figure
    first: Figure
    cold: Figure
    cold_cpu: Figure
    warm: Figure
    warm_p99: Figure
    warm_cpu: Figure
    memory: Figure
    cold_calls: float
    warm_calls: float
    log_bytes: float

    @classmethod
    def of(cls, measured: Mapping[str, Any]) -> Self:
        lifetimes = measured["lives"]

        def figure(of: Callable[[Mapping[str, Any]], float]) -> Figure:
            return Figure.of([of(lifetime) for lifetime in lifetimes])

        return cls(
            name=measured["name"],
            title=measured["title"],
            bytecode=measured["bytecode"],
            size=measured["size"],
            init=figure(lambda lifetime: lifetime["init"]),
            first=figure(lambda lifetime: lifetime["first"]),
            cold=figure(lambda lifetime: lifetime["init"] + lifetime["first"]),
            cold_cpu=figure(lambda lifetime: lifetime["cold_cpu"]),
            warm=figure(lambda lifetime: lifetime["warm"]),
            warm_p99=figure(lambda lifetime: lifetime["warm_p99"]),
            warm_cpu=figure(lambda lifetime: lifetime["warm_cpu"]),
            memory=figure(lambda lifetime: lifetime["memory"]),
            cold_calls=statistics.median(lifetime["cold_calls"] for lifetime in lifetimes),
            warm_calls=statistics.median(lifetime["warm_calls"] for lifetime in lifetimes),
            log_bytes=statistics.median(lifetime["log_bytes"] for lifetime in lifetimes),
        )

    @property
    def is_floor(self) -> bool:
        return self.cold_calls == 0

    @property
    def calls_per_thousand(self) -> float:
        """Calls to AWS for a thousand tokens from one environment, in a run too short for anything to grow old."""
        return self.cold_calls + 999 * self.warm_calls

    def dollars(self, memory: int) -> float:
        """What a million tokens cost with so many MB: Lambda, reads of secrets, logs. The API costs all the same."""
        share = min(1, memory / WHOLE_PROCESSOR)

        def billed(wall: float, cpu: float) -> float:
            return math.ceil(max(wall - cpu, 0) + cpu / share) / 1000 * memory / 1024 * GB_SECOND

        warm = billed(self.warm.median, self.warm_cpu.median)
        cold = billed(self.cold.median, self.cold_cpu.median)
        kept = max(COLD_SHARE, SECONDS_BETWEEN / KEPT_SECONDS) if self.cold_calls else 0
        reads = self.warm_calls / 2 if self.warm_calls else kept
        return (
            MILLION_REQUESTS
            + 1e6 * ((1 - COLD_SHARE) * warm + COLD_SHARE * cold)
            + reads * MILLION_SECRET_READS
            + self.log_bytes * 1e6 / 1e9 * LOG_GIGABYTE
        )


# --- what is written ------------------------------------------------------------------------------------------------


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the pages that are written from the figures, by the names of their markers."""
    of = {one.name: one for one in map(Contender.of, results["contenders"])}
    machine = results["machine"]
    round_trip = statistics.median(lifetime["round_trip"] for one in results["contenders"] for lifetime in one["lives"])
    return {
        "run": (
            f"{results['rounds']} rounds on {machine['date']}: {machine['processor']}, {machine['system']}, "
            f"Python {machine['python']}, Node {machine['node']}. A call to the stand-in takes "
            f"{round_trip:.1f} ms on a new connection."
        ),
        "summary": _table(
            ["", "cold start", "first request after init", "warm, median", "its processor time", "memory", "package"],
            (
                [one.title, f"{one.cold.median:,.0f} ms", f"{one.first.median:.0f} ms", f"{one.warm.median:.1f} ms",
                 f"{one.warm_cpu.median:.1f} ms", f"{one.memory.median:.0f} MiB", _megabytes(one.size)]
                for one in of.values()
            ),
        ),
        "times": _table(
            ["", "cold start", "its processor time", "first request after init", "warm, median", "warm, p99",
             "warm, processor time"],
            (
                [one.title, one.cold.text(0), one.cold_cpu.text(0), one.first.text(1), one.warm.text(2),
                 one.warm_p99.text(2), one.warm_cpu.text(2)]
                for one in of.values()
            ),
        ),
        "sizes": _table(
            ["", "memory, MiB", "AWS calls for 1000 tokens", "package", "bytecode in it"],
            (
                [one.title, one.memory.text(0), f"{one.calls_per_thousand:,.0f}", _megabytes(one.size), one.bytecode]
                for one in of.values()
            ),
        ),
        "dollars": _table(
            ["", *(f"{memory} MB" for memory in MEMORY_SIZES)],
            ([one.title, *(f"${one.dollars(memory):.2f}" for memory in MEMORY_SIZES)] for one in of.values()),
        ),
        "goals": _table(
            ["", "goal", "measured"],
            ([goal.what, goal.bound, goal.text + ("" if goal.met else " **(missed)**")] for goal in goals(results)),
        ),
        "snapstart": _snapstart(of["roomkey"]) if "roomkey" in of else "",
    }  # fmt: skip


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.0f} KB"


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach, and what was measured: of the values of all rounds the median and the middle half."""

    what: str
    most: float
    measured: Figure
    unit: str = ""
    strictly: bool = False

    @property
    def bound(self) -> str:
        return f"{'below' if self.strictly else 'at most'} {self.most:g}{self.unit}"

    @property
    def met(self) -> bool:
        return self.measured.median < self.most or (self.measured.median == self.most and not self.strictly)

    @property
    def text(self) -> str:
        median, low, high = (f"{value:.3g}" for value in self.measured)
        return f"{median}{self.unit}" + ("" if low == high else f" <sub>{low} to {high}</sub>")


def goals(results: Mapping[str, Any]) -> list[Goal]:
    """What there is to reach; nothing where a contender is missing. Ratios are of contenders in the same round."""
    lifetimes = {one["name"]: one["lives"] for one in results["contenders"]}
    if not {"roomkey", "powertools", "node", "hs256", "constant"} <= lifetimes.keys():
        return []

    def ratio(other: str, of: Callable[[Mapping[str, float]], float], less: str | None = None) -> Figure:
        floor = [of(lifetime) for lifetime in lifetimes[less]] if less else [0.0] * len(lifetimes[other])
        rounds = zip(map(of, lifetimes["roomkey"]), map(of, lifetimes[other]), floor, strict=True)
        return Figure.of([(ours - least) / (theirs - least) for ours, theirs, least in rounds])

    def cold(lifetime: Mapping[str, float]) -> float:
        return lifetime["init"] + lifetime["first"]

    def cpu(lifetime: Mapping[str, float]) -> float:
        return lifetime["warm_cpu"]

    [size] = (one["size"] for one in results["contenders"] if one["name"] == "roomkey")
    ours = lifetimes["roomkey"]
    careful = "of Powertools with validation"
    return [
        Goal(f"cold start, {careful}", 0.7, ratio("powertools", cold)),
        Goal(f"its processor time, {careful}", 0.7, ratio("powertools", lambda lifetime: lifetime["cold_cpu"])),
        Goal("cold start, of Node", 1, ratio("node", cold), strictly=True),
        Goal("first request after init, beyond two round trips", 10,
             Figure.of([lifetime["first"] - 2 * lifetime["round_trip"] for lifetime in ours]), " ms"),
        Goal(f"warm processor time, {careful}", 0.7, ratio("powertools", cpu)),
        Goal("the same, without what the constant takes", 0.7, ratio("powertools", cpu, less="constant")),
        Goal("warm median, of the HS256 floor", 1.6, ratio("hs256", lambda lifetime: lifetime["warm"])),
        Goal("AWS calls on a cold start", 2, Figure.of([lifetime["cold_calls"] for lifetime in ours])),
        Goal("AWS calls on a warm request", 0, Figure.of([lifetime["warm_calls"] for lifetime in ours])),
        Goal("package, unzipped", 10, Figure.of([size / 1e6]), " MB"),
    ]  # fmt: skip


def _snapstart(ours: Contender, memory: int = 512) -> str:
    gigabytes = memory / 1024
    month = gigabytes * 30 * 86400 * SNAPSHOT_GB_SECOND
    saved = math.ceil(ours.init.median) / 1000 * gigabytes * GB_SECOND
    restore = gigabytes * RESTORED_GB
    return (
        f"With {memory} MB a snapshot costs ${month:.2f} a month for each published version, and a million restores "
        f"${restore * 1e6:,.0f}. The init that they save costs ${saved * 1e6:.2f}: in money SnapStart never pays. What "
        f"it buys is that {ours.init.median:.0f} ms of init become the restore, whose time only AWS knows. The "
        f"{ours.first.median:.0f} ms of the first request stay."
    )


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """`text` with what stands between `<!-- NAME -->` and `<!-- /NAME -->` written anew, for each part by its name."""
    for name, part in parts.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda found, part=part: f"{found[1]}{part}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def show(results: Mapping[str, Any]) -> None:
    """Prints the tables, and beside each ratio the one that was published: another machine has others within noise."""
    published = goals(json.loads(RESULTS.read_text()))
    rows = ([here.what, here.text, there.text] for here, there in zip(goals(results), published, strict=False))
    tables = blocks(results) | {"published": _table(["", "here", "published"], rows)}
    for name, block in tables.items():
        print(f"\n{name}\n{re.sub('</?sub>', '', block)}")


def plot(results: Mapping[str, Any], to: Path) -> None:
    """Three panels: a cold start, a warm request, and its processor time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    contenders = list(reversed([Contender.of(one) for one in results["contenders"]]))
    titles = [one.title for one in contenders]
    hues = ["#0b6e4f" if one.name == "roomkey" else "#b8b8b8" if one.is_floor else "#7d8ca3" for one in contenders]
    figure, (cold, warm, cpu) = plt.subplots(1, 3, figsize=(12, 3.4), sharey=True, layout="constrained")

    cold.barh(titles, [one.init.median for one in contenders], color=hues)
    pale = {"color": hues, "alpha": 0.55}
    cold.barh(titles, [one.first.median for one in contenders], left=[one.init.median for one in contenders], **pale)
    warm.barh(titles, [one.warm.median for one in contenders], color=hues)
    cpu.barh(titles, [one.warm_cpu.median for one in contenders], color=hues)
    _finish(cold, "cold start, ms: init, and the first request (pale)", [one.cold for one in contenders], 0)
    # One contender waits for AWS in every request: to scale, nothing else could be told apart.
    kept = [not one.warm_calls for one in contenders]
    _finish(warm, "warm request, median, ms", [one.warm for one in contenders], 2, kept)
    _finish(cpu, "processor time of a warm request, ms", [one.warm_cpu for one in contenders], 2, kept)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _finish(panel: Any, title: str, figures: Sequence[Figure], digits: int, fit: Sequence[bool] = ()) -> None:
    """What all panels have: the middle half as a line, the number beside it. Those that need not `fit` are cut off."""
    medians = [one.median for one in figures]
    spread = [[one.median - one.low for one in figures], [one.high - one.median for one in figures]]
    panel.errorbar(medians, range(len(figures)), xerr=spread, fmt="none", ecolor="#222222", elinewidth=0.8, capsize=2)
    fitting = [one.high for one, fits in zip(figures, fit or [True] * len(figures), strict=True) if fits]
    limit = 1.25 * max(fitting)
    panel.set_xlim(0, limit)
    for row, one in enumerate(figures):
        cut = one.high > limit
        label = f"{one.median:,.{digits}f}" + (" →" if cut else "")
        where = {"ha": "right", "color": "white"} if cut else {"ha": "left"}
        panel.annotate(
            label,
            (limit if cut else one.high, row),
            xytext=(-6 if cut else 5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            **where,
        )
    panel.set_title(title, fontsize=9)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.tick_params(labelsize=8)


def publish(results: Mapping[str, Any]) -> None:
    """Writes the pages and the plot anew."""
    for path in PAGES:
        path.write_text(filled(path.read_text(), blocks(results)))
    plot(results, PLOT)
    print("\nWrote " + ", ".join(str(path.relative_to(ROOT)) for path in (*PAGES, PLOT)) + ".")


if __name__ == "__main__":
    measured = json.loads(RESULTS.read_text())
    show(measured)
    publish(measured)
