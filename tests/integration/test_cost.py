"""The cost of a start and a request, in counts that are the same on every machine (times: docs/performance.md)."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from roomkey.platforms.base import Randomness
from support.events import LambdaContext, load_event
from support.scripts import loaded as loaded_script
from support.stack import EVERY_PLATFORM, Deploy

ROOT = Path(__file__).parents[2]

# --- a start -------------------------------------------------------------------------------------------------------

_START = """
import json, sys

class OnlyWhatIsDeployed:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in deployed:
            raise ModuleNotFoundError(f"No module named {name!r}: it is not in Lambda", name=name)

deployed = sys.stdlib_module_names | set(json.loads(sys.argv[1]))
sys.path[:0] = sys.argv[2:]
sys.meta_path.insert(0, OnlyWhatIsDeployed)
import roomkey.handler
print(json.dumps(sorted(sys.modules)))
"""

IN_LAMBDA = ("aws_lambda_powertools", "jmespath", "jwt", "roomkey", "typing_extensions")
"""The packages of the function and its layer. A start finds no other."""

MAX_PACKAGE_MODULES = 65
MAX_STANDARD_MODULES = 160
MAX_START_INSTRUCTIONS = 390_000_000
"""Machine instructions of a start from the built package, the interpreter's own included (a tenth)."""
MAX_PACKAGE_BYTES = 3_000_000

FORBIDDEN = {
    "asyncio": "nothing here waits for two things at once",
    "aws_lambda_powertools": "a seventh of a cold start; the first fault loads its logger",
    "aws_xray_sdk": "nothing is traced",
    "boto3": "a third of a cold start; the function signs its two calls itself",
    "botocore": "as boto3",
    "encodings.idna": "2 ms; no host name of AWS needs it",
    "cryptography": "no platform signs with anything but HMAC, and the layer has no compiled package",
    "multiprocessing": "nothing here is a second process",
    "pydantic": "compiled, 5 MB, and as long to load as all of this function",
    "requests": "http.client is enough for two calls",
    "sqlite3": "only a tool would want it",
    "unittest": "only a test would want it",
}
"""Modules that a start must not load, with the reason."""


def _start(*folders: Path, before: Sequence[str] = (), options: Sequence[str] = ("-I",)) -> Any:
    """Import the handler as Lambda does, from `folders`, and return the ended process."""
    started = subprocess.run(
        [*before, sys.executable, *options, "-c", _START, json.dumps(IN_LAMBDA), *map(str, folders)],
        env={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_REGION": "eu-central-1", "ENVIRONMENT": "dev"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    return started


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a process after a start as in Lambda."""
    return set(json.loads(_start(ROOT / "functions").stdout))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_start_does_not_load(name: str, loaded: set[str]) -> None:
    found = {module for module in loaded if module == name or module.startswith(f"{name}.")}

    assert not found, FORBIDDEN[name]


def test_a_start_loads_all_that_the_first_request_needs(loaded: set[str]) -> None:
    """Modules that are loaded later delay a request."""
    assert {"ssl", "http.client", "jwt.algorithms"} <= loaded


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the bounds are for the Python of Lambda")
def test_a_start_loads_few_modules(loaded: set[str]) -> None:
    """`python -X importtime` shows which."""
    packages = {module for module in loaded if module.partition(".")[0] in IN_LAMBDA}

    assert len(packages) <= MAX_PACKAGE_MODULES
    assert len(loaded - packages) <= MAX_STANDARD_MODULES


BUILT = (ROOT / ".aws-sam/build/Function", ROOT / ".aws-sam/build/Dependencies/python")
built = pytest.mark.skipif(not BUILT[0].exists(), reason="nothing is built: `make build`")
NOTHING_INSTALLED = ("-I", "-S")


@built
def test_the_package_is_small_complete_and_has_its_authorities() -> None:
    files = [file for folder in BUILT for file in folder.rglob("*") if file.is_file()]
    authorities = [file for file in files if file.parent.name == "authorities"]

    assert sum(file.stat().st_size for file in files) < MAX_PACKAGE_BYTES
    assert len(authorities) > 100
    assert "roomkey.handler" in _start(*BUILT, options=NOTHING_INSTALLED).stdout


@built
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the package has bytecode for Lambda's Python")
def test_a_start_executes_few_instructions() -> None:
    valgrind = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    counted = _start(*BUILT, before=valgrind, options=NOTHING_INSTALLED).stderr
    (instructions,) = re.findall(r"I +refs: +([0-9,]+)", counted)

    assert int(instructions.replace(",", "")) <= MAX_START_INSTRUCTIONS


# --- a request -----------------------------------------------------------------------------------------------------

MAX_INSTRUCTIONS = 10_200
"""Bytecode instructions of a warm request for an app token, with audit line and metrics."""

EVENTS = {
    "100ms": "app-token-jwt-same-user.json",
    "videosdk": "app-token-videosdk-jwt.json",
    "agora": "app-token-agora-jwt.json",
    "agora-whiteboard": "app-token-whiteboard-jwt.json",
}
CLASSROOM = (ROOT / "cli/roomkey_cli/data/policies/classroom.json").read_text().replace('"class-*"', '"*"')
"""Nine rules, in every room."""

CHANCE = Randomness(uuid=lambda: "5f1e3a7c-9d2b-4860-af13-c5e7000000aa", salt=lambda: 12345)
"""The same each time: the number of random draws varies as well."""


class Counter:
    """Counts the bytecode instructions of this thread."""

    def __init__(self) -> None:
        self.count = 0
        self._thread = threading.get_ident()

    def __enter__(self) -> "Counter":
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.PROFILER_ID, "instructions")
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION, self._executed)
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION)
        return self

    def __exit__(self, *_: object) -> None:
        sys.monitoring.set_events(sys.monitoring.PROFILER_ID, sys.monitoring.events.NO_EVENTS)
        sys.monitoring.free_tool_id(sys.monitoring.PROFILER_ID)

    def _executed(self, _code: CodeType, _offset: int) -> None:
        self.count += threading.get_ident() == self._thread


def _instructions(deploy: Deploy, platform: str) -> int:
    """Return the instructions of one warm request: the same number for the same code."""
    deployed = deploy("jwt", platforms=EVERY_PLATFORM, policy=CLASSROOM).with_parts(randomness=CHANCE)
    event, context = load_event(EVENTS[platform]), LambdaContext()
    assert deployed.answer(event).token
    counts = []
    for _ in range(3):
        with Counter() as counter:
            response: dict[str, Any] = deployed.api.answer(event, context)
        assert response["statusCode"] == 200
        counts.append(counter.count)
    assert len(set(counts[1:])) == 1, counts
    return counts[-1]


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the bound is for the Python of Lambda")
@pytest.mark.parametrize("platform", EVERY_PLATFORM)
def test_a_warm_request_executes_few_instructions(platform: str, deploy: Deploy) -> None:
    assert _instructions(deploy, platform) <= MAX_INSTRUCTIONS


# --- log volume ----------------------------------------------------------------------------------------------------

MAX_LOG_BYTES = 1270
"""Return the audit line and the metrics line of a warm request for an app token."""


def test_a_request_logs_few_bytes(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = deploy("jwt", policy=CLASSROOM)
    deployed.answer(load_event(EVENTS["100ms"]))
    cold = len(deployed.stream.getvalue())
    capsys.readouterr()
    assert deployed.answer(load_event(EVENTS["100ms"])).token
    audit, metrics = deployed.stream.getvalue()[cold:], capsys.readouterr().out

    assert (audit.count("\n"), metrics.count("\n")) == (1, 1)
    assert len(audit) + len(metrics) <= MAX_LOG_BYTES


def test_the_monthly_bill_counts_the_metrics_that_a_stack_writes(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both kinds of token for one platform, and three reasons for a refusal."""
    deployed = deploy("jwt")
    capsys.readouterr()
    app, management = load_event(EVENTS["100ms"]), load_event("management-token-iam-role.json")
    not_json, anonymous = {**app, "body": "{"}, {**app, "requestContext": {**app["requestContext"], "authorizer": None}}
    body = {**json.loads(app["body"]), "user_id": "another"}
    other_user = {**app, "body": json.dumps(body)}
    statuses = [deployed.answer(event).status for event in (app, management, not_json, anonymous, other_user)]
    assert statuses == [200, 200, 400, 401, 403]
    series = set()
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in directive["Dimensions"]:
                place = tuple((name, line[name]) for name in names)
                series |= {(metric["Name"], place) for metric in directive["Metrics"]}

    assert len(series) == loaded_script("benchmarks/report.py").SERIES
