#!/usr/bin/env python
"""Measure what Roomkey costs and what others would: cold start, warm requests, memory, calls to AWS, money.

Every contender runs under AWS's runtime interface emulator, Python with AWS's own runtime client, against a simulated
Secrets Manager and SSM that take the same time for every answer. All are started and asked in turn, round after round,
so that whatever else the machine does affects all of them. `report.py` makes the tables.
"""

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import report
from aws_stand_in import ENVIRONMENT
from packages import CERTIFICATE, ROOT, Contender, contenders, emulator

EVENT = ROOT / "events/app-token-jwt-same-user.json"
LATENCY = 0.010
"""Seconds that the simulated AWS takes for an answer, without network and TLS."""
SLICES = 20
"""Turns of each contender in a round."""

_INVOKE = "/2015-03-31/functions/function/invocations"
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_DONE = re.compile(r"INVOKE RTDONE\(status: success, .*?duration: ([0-9.]+)ms\)")
_EMULATORS_OWN = re.compile(r"^(START|END|REPORT) RequestId|\[(INFO|WARNING|ERROR)\] \(rapid\)")


def main() -> None:
    arguments = _arguments()
    if sys.version_info[:2] != (3, 13):
        sys.exit("The built function has bytecode for Python 3.13: measure with that version.")
    if not (ROOT / ".aws-sam/build/Function").exists():
        sys.exit("Nothing is built yet: run `make build`.")
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        sys.exit("One contender runs on Node: install Node.js 20 or later, with npm.")
    all_of_them = contenders(npm, arguments.before)
    chosen = [one for one in all_of_them if one.name in ("roomkey", *(arguments.only or [one.name]))]
    starts: dict[str, list[dict[str, float]]] = {one.name: [] for one in chosen}
    with simulated_aws() as aws:
        for number in range(1, arguments.rounds + 1):
            print(f"round {number} of {arguments.rounds}", flush=True)
            for one, start in zip(chosen, _round(chosen, node, aws, arguments.warm), strict=True):
                starts[one.name].append(start)
    facts = {one.name: {"title": one.title, "size": one.size} for one in chosen}
    results = report.summarize(_machine(node), starts, facts)
    report.show(results)
    if arguments.publish:
        one_figure_a_line = re.sub(
            r"\[\s+([^]{}]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", json.dumps(results, indent=1)
        )
        report.RESULTS.write_text(one_figure_a_line + "\n")
        report.publish(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="starts of each contender")
    parser.add_argument("--warm", type=int, default=200, help="requests after the first, in each round")
    parser.add_argument("--only", action="append", metavar="NAME", help="Roomkey and this contender (repeatable)")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="a built checkout of Roomkey with the SDK, to compare"
    )
    parser.add_argument("--publish", action="store_true", help="write the pages and benchmarks/results.json")
    return parser.parse_args()


# --- a round --------------------------------------------------------------------------------------------------------


def _round(chosen: Sequence[Contender], node: str, aws: int, requests: int) -> Iterator[dict[str, float]]:
    """Start the contenders in turn and ask each once, then ask all in turn, a few requests at a time.

    A slow second of the machine then affects all of them, and ratios within a round keep.
    """
    with ExitStack() as until_the_end:
        started = []
        for one in chosen:
            round_trip, _ = _round_trip(aws), _calls(aws)
            running = _Running(one, round_trip, *until_the_end.enter_context(_emulated(one, node, aws)))
            running.ask(1)
            running.cold_cpu, running.cold_calls = running.processor.milliseconds(), _calls(aws)
            started.append(running)
        for _ in range(SLICES):
            for running in started:
                before = running.processor.milliseconds()
                running.ask(max(1, requests // SLICES))
                running.warm_cpu += running.processor.milliseconds() - before
                running.warm_calls += _calls(aws)
        yield from (running.figures() for running in started)


@dataclass(slots=True)
class _Running:
    """A started contender. Processor times in milliseconds."""

    contender: Contender
    round_trip: float
    connection: http.client.HTTPConnection
    processor: "_Processor"
    log: Path
    asked: int = 0
    cold_cpu: float = 0.0
    cold_calls: int = 0
    warm_cpu: float = 0.0
    warm_calls: int = 0

    def ask(self, times: int) -> None:
        for _ in range(times):
            _ask(self.connection)
        self.asked += times

    def figures(self) -> dict[str, float]:
        """Return the figures of this start. Times in milliseconds, memory in MiB."""
        text = self.log.read_text()
        first, *warm = (float(duration) for duration in _DONE.findall(text))
        if 1 + len(warm) != self.asked:
            raise RuntimeError(f"{self.contender.name}: {1 + len(warm)} requests in the emulator's log")
        init = float(*_INIT.findall(text))
        own = [line for line in text.splitlines() if not _EMULATORS_OWN.search(line)]
        return {
            "init": init,  # From the start of the process until it asks for a request: Lambda's "Init Duration".
            "first": first,  # The first request after that: Lambda's "Duration".
            "cold": init + first,
            "cold_cpu": self.cold_cpu,
            "round_trip": self.round_trip,  # A call to AWS just before, by a client with everything at hand.
            "cold_calls": self.cold_calls,
            "warm": statistics.median(warm),
            "warm_p99": statistics.quantiles(warm, n=100, method="inclusive")[98],
            "warm_cpu": self.warm_cpu / len(warm),
            "warm_calls": self.warm_calls / len(warm),
            "memory": self.processor.peak_memory(),
            "log_bytes": sum(len(line) + 1 for line in own) / self.asked,
        }


@contextmanager
def _emulated(
    contender: Contender, node: str, aws: int
) -> Iterator[tuple[http.client.HTTPConnection, "_Processor", Path]]:
    front, behind = _free_port(), _free_port()
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{front}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{behind}"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(emulator()), *addresses, *contender.command(node)],
                cwd=contender.folders[0],
                env=environ(aws) | contender.environ(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(front)
            connection = http.client.HTTPConnection("127.0.0.1", front, timeout=30)
            yield connection, _Processor(process.pid), log
        except Exception:
            print(log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(timeout=10)


def _ask(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", _INVOKE, body=EVENT.read_bytes())
    response = connection.getresponse()
    answer = json.loads(response.read())
    if answer.get("statusCode") != 200 or "token" not in answer["body"]:
        raise RuntimeError(f"no token: {answer}")


def environ(aws: int) -> dict[str, str]:
    """Return what Lambda and the template set, and the address of the simulated AWS."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIASTANDIN",
        "AWS_SECRET_ACCESS_KEY": "stand-in",
        "AWS_SESSION_TOKEN": "stand-in",
        "AWS_ENDPOINT_URL": f"https://localhost:{aws}",
        "ENVIRONMENT": ENVIRONMENT,
        "APP_TOKEN_ACCESS": "jwt",
        "RES_OPTIONS": "timeout:1 attempts:1",
    }


class _Processor:
    """Counts what the runtime's process uses, which is the emulator's only child."""

    def __init__(self, emulator: int) -> None:
        self._emulator = emulator

    def _pid(self) -> int:
        tasks = Path(f"/proc/{self._emulator}/task").iterdir()
        [child] = [child for task in tasks for child in (task / "children").read_text().split()]
        return int(child)

    def milliseconds(self) -> float:
        """Processor time of all its threads, including those that ended."""
        clock = (~self._pid() << 3) | 2  # Linux's number for another process's clock: see clock_getcpuclockid(3).
        return time.clock_gettime(clock) * 1000

    def peak_memory(self) -> float:
        """MiB held at once."""
        [kib] = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{self._pid()}/status").read_text())
        return int(kib) / 1024


# --- AWS ------------------------------------------------------------------------------------------------------------


@contextmanager
def simulated_aws() -> Iterator[int]:
    port = _free_port()
    stand_in = Path(__file__).parent / "aws_stand_in.py"
    process = subprocess.Popen([sys.executable, str(stand_in), str(port), str(CERTIFICATE), str(LATENCY)])
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def _to_aws(port: int) -> http.client.HTTPSConnection:
    trusted = ssl.create_default_context(cafile=str(CERTIFICATE))
    return http.client.HTTPSConnection("localhost", port, timeout=10, context=trusted)


def _calls(port: int) -> int:
    """Return the number of calls since the last time."""
    connection = _to_aws(port)
    connection.request("GET", "/calls")
    calls = int(connection.getresponse().read())
    connection.close()
    return calls


def _round_trip(port: int) -> float:
    """Return the median milliseconds of a call on a new connection, by a client with everything at hand."""
    taken = []
    for _ in range(3):
        connection = _to_aws(port)
        begun = time.perf_counter()
        headers = {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}
        connection.request("POST", "/", body='{"SecretId": "roomkey/bench/100ms"}', headers=headers)
        connection.getresponse().read()
        taken.append((time.perf_counter() - begun) * 1000)
        connection.close()
    return statistics.median(taken)


# --- the machine ----------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"nothing listens on port {port}")


def _machine(node: str) -> dict[str, str]:
    processor = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "processor": f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} of them",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": version.strip().removeprefix("v"),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
