#!/usr/bin/env python
"""Fuzzes the function with atheris (`make fuzz`): all targets at once, for as long as is asked, and a line about each.

    python tests/fuzz/run.py --seconds 360 [TARGET ...]

An input that a target cannot stand is kept in tests/fuzz/found, where `test_fuzz` tries it again for ever.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE / "found"
MISSING = "" if importlib.util.find_spec("atheris") else "atheris is missing: it is for x86-64 Linux, Python up to 3.13"
NAMES = ("bodies", "policy", "flag", "explain", "handler")


@dataclass(frozen=True)
class Outcome:
    """What came of fuzzing a target."""

    target: str
    seconds: int
    executions: int
    edges: int
    inputs: int
    crashed: bool
    log: str

    def __str__(self) -> str:
        what = "FOUND SOMETHING" if self.crashed else "nothing found"
        return (
            f"{self.target:8} {self.executions:>11,} executions in {self.seconds} s, "
            f"{self.edges:,} edges, {self.inputs:,} inputs worth keeping: {what}"
        )


def fuzz(target: str, seconds: int) -> Outcome:
    """Fuzzes `target` in a process of its own."""
    with tempfile.TemporaryDirectory() as room:
        corpus, found = Path(room) / "corpus", Path(room) / "found"
        corpus.mkdir()
        found.mkdir()
        done = subprocess.run(
            [
                *(sys.executable, __file__, "--child", target, corpus, f"-max_total_time={seconds}"),
                *(f"-artifact_prefix={found}/", "-print_final_stats=1", "-max_len=20000", "-timeout=10"),
                *("-rss_limit_mb=1500", "-len_control=20"),
            ],
            env={**os.environ, "PYTHONPATH": str(HERE.parent), "TZ": "UTC"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        for path in found.iterdir():
            (FOUND / target).mkdir(parents=True, exist_ok=True)
            shutil.move(path, FOUND / target / path.name)
    return Outcome(
        target=target,
        seconds=seconds,
        executions=_last(r"stat::number_of_executed_units:\s+(\d+)", done.stdout),
        edges=_last(r"cov: (\d+)", done.stdout),
        inputs=_last(r"corp: (\d+)", done.stdout),
        crashed=done.returncode != 0,
        log=done.stdout,
    )


def _last(pattern: str, text: str) -> int:
    return int((re.findall(pattern, text) or ["0"])[-1])


def _child(target: str, corpus: str, flags: Sequence[str]) -> None:
    """Fuzzes until libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - not where the targets are only told apart

    with atheris.instrument_imports(include=["roomkey", "fuzz.targets", "integration.model"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415

    for number, seed in enumerate(TARGETS[target].seeds()):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *flags, corpus], TARGETS[target].one)
    atheris.Fuzz()


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description="Fuzzes the function, each target for as long.")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    arguments = parser.parse_args()
    targets = arguments.targets or NAMES
    if unknown := set(targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")

    if MISSING:
        sys.exit(MISSING)
    crashed = False
    with ThreadPoolExecutor(arguments.jobs) as threads:
        for outcome in threads.map(lambda target: fuzz(target, arguments.seconds), targets):
            print(outcome, flush=True)
            if outcome.crashed:
                crashed = True
                print(outcome.log[outcome.log.find(" === ") :], flush=True)
    sys.exit(crashed)


if __name__ == "__main__":
    main()
