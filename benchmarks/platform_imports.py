"""Measure what the served platforms cost a cold start: python benchmarks/platform_imports.py [--rounds N].

Each round is a fresh process that loads the API, then the platforms that a stack serves.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

FUNCTIONS = Path(__file__).parents[1] / "functions"

PROGRAM = """
import sys, time
import roomkey.api
from roomkey.platforms import platform
before, started = set(sys.modules), time.process_time()
for name in sys.argv[1:]:
    platform(name)
print((time.process_time() - started) * 1000, len(set(sys.modules) - before))
"""


def cost(names: list[str]) -> tuple[float, int]:
    """Return the milliseconds of CPU and the modules that loading these platforms takes in a fresh process."""
    command = [sys.executable, "-c", PROGRAM, *names]
    printed = subprocess.run(command, env={"PYTHONPATH": str(FUNCTIONS)}, capture_output=True, text=True, check=True)
    milliseconds, modules = printed.stdout.split()
    return float(milliseconds), int(modules)


def main() -> None:
    sys.path.insert(0, str(FUNCTIONS))
    from roomkey.platforms import DEFAULT_PLATFORMS, PLATFORM_NAMES  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{'served':<36} {'ms':>6} {'modules':>8}")
    for title, names in (
        *((name, [name]) for name in PLATFORM_NAMES),
        (f"the {len(DEFAULT_PLATFORMS)} by default", list(DEFAULT_PLATFORMS)),
        (f"all {len(PLATFORM_NAMES)}", list(PLATFORM_NAMES)),
    ):
        costs = [cost(names) for _ in range(rounds)]
        print(f"{title:<36} {statistics.median(ms for ms, _ in costs):>6.1f} {costs[0][1]:>8}")


if __name__ == "__main__":
    main()
