#!/usr/bin/env python3
"""Measure the time and the disk space from nothing to a first token.

1. `make run` in a fresh clone, and again in the same clone.
2. `pip install` of the wheel with the extra `local` into an empty environment, and `roomkey run`.

Each is measured with pip and, if it is installed, with uv. The last row is the median of warm responses of the local
stack on one connection. Run it twice: the second run has a warm package cache.
Needs the environment of `make test-environment`. Prints a Markdown table.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.packages import build_wheel, install, running  # noqa: E402

REQUEST = {"room_id": "633fcdd84208780bf665346a", "role": "host", "user_id": "1234"}


def first_token(url: str) -> None:
    """Ask the local stack at `url` for a token."""
    request = urllib.request.Request(
        f"{url}/api/token", json.dumps(REQUEST).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        json.load(response)["token"]


def answer_seconds(url: str) -> float:
    """Return the median time of 300 tokens from the local stack at `url`, on one connection."""
    connection, times = http.client.HTTPConnection(urlsplit(url).netloc), []
    for _ in range(300):
        start = time.perf_counter()
        connection.request("POST", "/api/token", json.dumps(REQUEST), {"Content-Type": "application/json"})
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def make_run(clone: Path, *, use_uv: bool) -> tuple[float, float]:
    """Run `make run` until the first token. Return the seconds that it takes, and those of a later answer."""
    start = time.monotonic()
    command = ["make", "run", "ARGS=--port 0", f"PYTHON={sys.executable}", *([] if use_uv else ["UV="])]
    with running(command, cwd=clone, seconds=600) as url:
        first_token(url)
        return time.monotonic() - start, answer_seconds(url)


def install_and_run(environment: Path, wheel: Path, *, use_uv: bool) -> float:
    """Install the wheel and run it until the first token. Return the seconds that it takes."""
    start = time.monotonic()
    roomkey = install(environment, f"{wheel}[local]", use_uv=use_uv)
    with running([str(roomkey), "run", "--port", "0"]) as url:
        first_token(url)
        return time.monotonic() - start


def size(path: Path) -> str:
    """Return the disk space of a directory, hard links counted once."""
    used = subprocess.run(["du", "-sm", str(path)], capture_output=True, text=True, check=True).stdout
    return f"{used.split()[0]} MB"


def measure(installer: str) -> None:
    """Print the table's rows for pip or uv."""
    use_uv = installer == "uv"
    with tempfile.TemporaryDirectory() as directory:
        clone, environment = Path(directory, "clone"), Path(directory, "env")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        first, _ = make_run(clone, use_uv=use_uv)
        again, answer = make_run(clone, use_uv=use_uv)
        print(f"| `make run` in a fresh clone, {installer} | {first:.1f} s | {size(clone / '.venv')} |", flush=True)
        print(f"| `make run` again | {again:.1f} s | |", flush=True)
        seconds = install_and_run(environment, build_wheel(Path(directory)), use_uv=use_uv)
        print(
            f"| `{installer} install` of the wheel, `roomkey run` | {seconds:.1f} s | {size(environment)} |", flush=True
        )
        print(f"| a warm answer | {answer * 1000:.1f} ms | |", flush=True)


def main() -> None:
    """Print the table."""
    print("| from nothing to a first token | time | disk |\n|---|---:|---:|")
    measure("pip")
    if shutil.which("uv"):
        measure("uv")


if __name__ == "__main__":
    os.environ.pop("VIRTUAL_ENV", None)
    main()
