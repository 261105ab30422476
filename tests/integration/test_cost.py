"""What a start and a request cost, in counts that are the same on every machine: modules loaded, bytecode executed.

docs/performance.md has the times. A time is different on every machine and in every minute; these numbers change only
when what is done changes. A number that is too small by now is one to write down here, with what it bought.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from roomkey.platforms.base import Randomness
from support.events import LambdaContext, load_event
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

functions, deployed = sys.argv[1], sys.stdlib_module_names | set(json.loads(sys.argv[2]))
sys.path.insert(0, functions)
sys.meta_path.insert(0, OnlyWhatIsDeployed)
import roomkey.handler
print(json.dumps(sorted(sys.modules)))
"""

IN_LAMBDA = ("aws_lambda_powertools", "jmespath", "jwt", "roomkey", "typing_extensions")
"""Packages that are there: the function and its layer. No start finds another one."""

PACKAGES_MODULES = 110
"""Modules of ours and of packages that a start loads: a question of the packages' versions, not of Python's."""

STANDARD_MODULES = {(3, 13): 169}
"""Modules of the standard library that a start loads, the interpreter's own among them, by Python's version."""

FORBIDDEN = {
    "asyncio": "nothing here waits for two things at once",
    "aws_lambda_powertools.event_handler": "the routes are a table of ours; its resolver alone is a quarter of a start",
    "aws_lambda_powertools.utilities.parameters": "it brings boto3, and keeps a value that an operator has withdrawn",
    "aws_lambda_powertools.utilities.validation": "it brings fastjsonschema",
    "aws_xray_sdk": "nothing is traced",
    "boto3": "a third of a cold start; the function signs its two calls itself",
    "botocore": "as boto3",
    "cryptography": "no platform signs with anything but HMAC, and the layer has no compiled package",
    "multiprocessing": "nothing here is a second process",
    "pydantic": "compiled, 5 MB, and as long to load as all of this function",
    "requests": "http.client is enough for two calls",
    "sqlite3": "only a tool would want it",
    "unittest": "only a test would want it",
}
"""Modules that a start must not load, and why."""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that are there after a start as in Lambda."""
    started = subprocess.run(
        [sys.executable, "-I", "-c", _START, str(ROOT / "functions"), json.dumps(IN_LAMBDA)],
        env={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_REGION": "eu-central-1", "ENVIRONMENT": "dev"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    return set(json.loads(started.stdout))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_start_does_not_load(name: str, loaded: set[str]) -> None:
    found = {module for module in loaded if module == name or module.startswith(f"{name}.")}

    assert not found, FORBIDDEN[name]


def test_a_start_loads_all_that_the_first_request_needs(loaded: set[str]) -> None:
    """What is loaded later, somebody waits for."""
    assert {"encodings.idna", "ssl", "http.client", "jwt.algorithms"} <= loaded


def test_a_start_loads_no_more_modules_than_before(loaded: set[str]) -> None:
    ours = {module for module in loaded if module.partition(".")[0] in IN_LAMBDA}

    assert len(ours) <= PACKAGES_MODULES, f"{len(ours)}: find out with `python -X importtime` which ones, and why"


@pytest.mark.skipif(sys.version_info[:2] not in STANDARD_MODULES, reason="no count was written down for this Python")
def test_a_start_loads_no_more_of_the_standard_library_than_before(loaded: set[str]) -> None:
    standard = {module for module in loaded if module.partition(".")[0] not in {*IN_LAMBDA, "__main__"}}

    assert len(standard) <= STANDARD_MODULES[sys.version_info[:2]], f"{len(standard)}"


BUILT = ROOT / ".aws-sam/build"


@pytest.mark.skipif(not (BUILT / "Function").exists(), reason="nothing is built: `make build`")
def test_what_is_deployed_stays_small() -> None:
    """A start fetches and unpacks it. With bytecode, as `make build` leaves it."""
    files = (file for part in ("Function", "Dependencies") for file in (BUILT / part).rglob("*"))

    assert sum(file.stat().st_size for file in files if file.is_file()) < 3_000_000


# --- a request -----------------------------------------------------------------------------------------------------

MAX_INSTRUCTIONS = 14_500
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
"""The same each time: how often the system is asked for another number is chance as well."""


class Counter:
    """Counts the bytecode instructions that this thread executes."""

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
    """Those of one warm request, the same as long as nothing changes in what is done."""
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
