#!/usr/bin/env python
"""Fuzz the function with atheris (`make fuzz`): each target for some seconds, several at a time.

    python tests/fuzz/run.py --seconds 360 [TARGET ...]

An input that fails a target is kept in tests/fuzz/found, and `test_fuzz` runs it from then on.
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
MISSING = (
    ""
    if importlib.util.find_spec("atheris")
    else "atheris is missing; it needs x86-64 Linux and Python 3.13 or earlier"
)
NAMES = ("bodies", "policy", "flag", "explain", "handler")


@dataclass(frozen=True)
class Outcome:
    """The result of fuzzing one target."""

    target: str
    seconds: int
    executions: int
    edges: int
    inputs: int
    crashed: bool
    log: str

    def __str__(self) -> str:
        result = "FAILED" if self.crashed else "no failure"
        return (
            f"{self.target:8} {self.executions:>11,} executions in {self.seconds} s, "
            f"{self.edges:,} edges, {self.inputs:,} inputs in the corpus: {result}"
        )


def fuzz(target: str, seconds: int) -> Outcome:
    """Fuzz `target` in a separate process."""
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
    """Fuzz until libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - only the child process needs it

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
    parser = argparse.ArgumentParser(description="Fuzz the function, each target for the same time.")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time")
    arguments = parser.parse_args()
    targets = arguments.targets or NAMES
    if unknown := set(targets) - set(NAMES):
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")

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
