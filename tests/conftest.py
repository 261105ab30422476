"""Validate every audit line that any test makes the function write, and order the tests."""

import fcntl
import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("support")
pytest_plugins = ["support.threats"]

from roomkey.audit import AuditTrail  # noqa: E402
from support.audit_lines import checked  # noqa: E402

# Each run of a commit tries the same examples; `make fuzz` searches for others. No time limit for an example: parallel
# workers slow one another.
LIMITS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", LIMITS, max_examples=25, derandomize=True)
settings.register_profile("thorough", LIMITS, max_examples=100, derandomize=True)
settings.register_profile("random", LIMITS, max_examples=1000)
settings.load_profile("quick")

ORDER = ("unit", "integration", "infrastructure", "fuzz", "emulated", "e2e")
LONG = ("test_model.py", "test_local_stack.py", "test_console.py", "test_commands.py", "test_vendors.py")
"""Files that start first in their folder, so that no worker waits for another at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start one worker more than processors: many tests wait for processes, servers and timeouts."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and mark those that deploy."""
    tests = Path(__file__).parent
    folders = {path: path.relative_to(tests).parts[0] for path in {item.path for item in items}}
    items.sort(key=lambda item: (ORDER.index(folders[item.path]), item.path.name not in LONG))
    for item in items:
        if folders[item.path] == "emulated":
            item.add_marker("emulated")


@pytest.fixture(scope="session")
def invalid_audit_lines() -> Iterator[list[str]]:
    """Collect invalid audit lines with the reason. Raising where a line is written would only change the response."""
    invalid: list[str] = []
    line = AuditTrail.line

    def checked_line(trail: AuditTrail, *arguments: Any) -> str:
        text = line(trail, *arguments)
        try:
            checked(text)
        except Exception as error:
            invalid.append(f"{error}\n{text}")
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditTrail, "line", checked_line)
        yield invalid


@pytest.fixture(autouse=True)
def _audit_lines_match_their_schema(invalid_audit_lines: list[str]) -> Iterator[None]:
    yield
    found = invalid_audit_lines[:]
    invalid_audit_lines.clear()
    assert found == []


@pytest.fixture(scope="module", autouse=True)
def _one_build_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lock the build folder for modules that build or deploy: parallel workers would delete each other's build."""
    if request.path.parent.name != "emulated" and request.path.name != "test_sam_local.py":
        yield
        return
    with (Path(tempfile.gettempdir()) / "roomkey-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection, which would visit all of them each time."""
    gc.freeze()
