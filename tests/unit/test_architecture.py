"""The house rules: who may import whom, and who knows what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "functions"

LAYERS = (
    {"handler"},
    {"api"},
    {"dependencies"},
    {"audit"},
    {"state", "credentials", "minting"},
    {"kill_switch", "policy"},
    {"callers", "token_requests", "bodies", "stores", "observability"},
    {"settings", "freshness", "deadline_transport"},
    {"platforms"},
    {"platforms.*"},
    {"platforms.hs256", "platforms.access_token2"},
    {"platforms.base", "clock"},
    {"errors", "strict_json", ""},
)
"""From what knows most to what knows least. A module imports what stands below it: never its own row, never above.

`platforms.*` are the vendors, which know nothing of each other; "" is `roomkey` itself, which holds its version.
"""

ONLY = {
    "boto3": {"stores", "deadline_transport"},
    "botocore": {"stores", "deadline_transport"},
    "urllib3": {"stores", "deadline_transport"},
    "jwt": {"platforms.hs256"},
    "aws_lambda_powertools": {"observability"},
    "socket": {"deadline_transport"},
    "ssl": {"deadline_transport"},
    "http": {"deadline_transport"},
    "os": {"handler"},
}
"""Packages that are the business of a few modules, and of which."""

NEVER = {"roomkey_cli", "moto", "pytest", "requests", "pydantic", "subprocess", "pickle", "threading.Thread"}

STATUSES = {200, 204, 400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503}


@dataclass(frozen=True)
class Module:
    """A module of the function: its name without `roomkey.`, and its syntax."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def imports(self) -> Iterator[str]:
        """The full names of all modules that it imports, wherever in it, and of what it takes from them."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: a relative import"
                assert node.module
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    @property
    def siblings(self) -> set[str]:
        """The modules of the function that it imports."""
        return {_module_of(name) for name in self.imports if name.split(".")[0] == "roomkey"}


@cache
def _modules() -> dict[str, Module]:
    modules = {}
    for path in sorted(FUNCTIONS.rglob("*.py")):
        parts = path.relative_to(FUNCTIONS / "roomkey").with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        modules[name] = Module(name, path, ast.parse(path.read_text()))
    return modules


def _module_of(imported: str) -> str:
    """The module that an import of `imported` (a module, or something in one) leads to."""
    name = imported.removeprefix("roomkey").removeprefix(".")
    while name not in _modules():
        name = name.rpartition(".")[0]
    return name


def _layer(name: str) -> int:
    rows = [row for row, names in enumerate(LAYERS) if name in names]
    if not rows and name.startswith("platforms."):
        rows = [row for row, names in enumerate(LAYERS) if "platforms.*" in names]
    assert rows, f"{name} has no place in the layers: give it one"
    return rows[0]


every_module = pytest.mark.parametrize("module", _modules().values(), ids=lambda module: module.name or "roomkey")


def test_there_is_something_to_look_at() -> None:
    assert {"handler", "api", "platforms.hms", "errors"} <= _modules().keys()
    assert set().union(*ONLY.values()) <= _modules().keys()


@every_module
def test_imports_point_one_way(module: Module) -> None:
    own = _layer(module.name)

    # `from roomkey.platforms import hs256` leads to hs256, and through the package: what counts is what it wants.
    upwards = {name for name in module.siblings - {module.name} if _layer(name) <= own}
    if module.name.startswith("platforms."):
        upwards.discard("platforms")

    assert not upwards


@every_module
def test_a_vendor_knows_no_other(module: Module) -> None:
    shared = {"platforms", "platforms.base", "platforms.hs256", "platforms.access_token2", "strict_json", ""}
    if module.name.startswith("platforms."):
        assert module.siblings <= shared | {module.name}


@every_module
def test_some_packages_are_the_business_of_a_few(module: Module) -> None:
    for imported in module.imports:
        package = imported.split(".")[0]
        assert package not in NEVER
        assert imported not in NEVER
        assert module.name in ONLY.get(package, {module.name}), f"{module.name} imports {imported}"


@pytest.mark.threat("J5")
@every_module
def test_nothing_else_is_installed_where_the_function_runs(module: Module) -> None:
    for imported in module.imports:
        package = imported.split(".")[0]
        assert package in sys.stdlib_module_names | ONLY.keys() | {"roomkey"}


@every_module
def test_only_the_api_knows_http(module: Module) -> None:
    """`stores` judges the statuses of AWS's answers; nobody else has a status in mind, of any answer."""
    if module.name == "api":
        return
    constants = [node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant)]
    numbers = {value for value in constants if type(value) is int}
    words = " ".join(value for value in constants if isinstance(value, str) and not value.count("\n"))

    assert not numbers & (STATUSES - ({429, 500} if module.name == "stores" else set()))
    for word in ("statusCode", "access-control-", "cache-control", "retry-after", "rawPath"):
        assert word not in words


@pytest.mark.threat("B13")
@every_module
def test_nobody_prints_and_nobody_asks_the_environment(module: Module) -> None:
    """Audit lines go through `audit`, logs through `observability`, and settings through `settings`."""
    calls = {
        node.func.id for node in ast.walk(module.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }

    assert calls.isdisjoint({"print", "eval", "exec", "input", "open", "breakpoint", "__import__"})
    assert "os.getenv" not in attributes
    assert "os.environ" not in attributes or module.name == "handler"
    assert "sys.stdout" not in attributes or module.name in ("audit", "observability")
    assert not {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow"} & attributes or module.name == "clock"


def test_what_is_deployed_shadows_nothing_of_the_standard_library() -> None:
    """The folder is the first on the function's path: a `token.py` in it would be everybody's `token`."""
    top_level = {path.stem for path in FUNCTIONS.iterdir() if path.name != "__pycache__"}

    assert top_level == {"roomkey"}
    assert top_level.isdisjoint(sys.stdlib_module_names)


_START = """
import sys
sys.path.insert(0, sys.argv[1])

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(forbid)
import roomkey.handler
from roomkey.dependencies import Dependencies
assert roomkey.handler.__file__.startswith(sys.argv[1])
"""


@pytest.mark.threat("C1")
@pytest.mark.parametrize("more", ["", 'Dependencies.build({"ENVIRONMENT": "dev"})'], ids=["imported", "built"])
def test_c1_starting_connects_to_nothing_and_needs_no_variable(more: str) -> None:
    started = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", _START + more, str(FUNCTIONS)],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")


@pytest.mark.threat("C1")
def test_c1_settings_that_make_no_sense_stop_the_deployment_and_not_the_first_caller() -> None:
    started = subprocess.run(
        [sys.executable, "-I", "-c", _START, str(FUNCTIONS)],
        env={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "APP_TOKEN_ACCESS": "anyone"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert started.returncode != 0
    assert "APP_TOKEN_ACCESS" in started.stderr
    assert "ENVIRONMENT" in started.stderr


CLI = Path(__file__).parents[2] / "cli" / "roomkey_cli"

ROOMS = {"main": {"main", "commands", "local", "shared"}, "commands": {"commands", "local", "shared"}}
"""Whom the command line's entry and its commands may import. The rest imports its own room and what all share."""


def _room(name: str) -> str:
    """Which part of the command line a module, named without `roomkey_cli.`, belongs to."""
    first = name.partition(".")[0]
    return first if first in ("main", "commands", "local") else "shared"


@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda path: str(path.relative_to(CLI)))
def test_the_command_line_points_one_way_too(path: Path) -> None:
    name = ".".join(path.relative_to(CLI).with_suffix("").parts)
    room = _room(name)
    imported = Module(name, path, ast.parse(path.read_text())).imports
    siblings = {one.removeprefix("roomkey_cli.") for one in imported if one.startswith("roomkey_cli.")}

    rooms = {_room(sibling) for sibling in siblings}
    assert rooms <= ROOMS.get(room, {room, "shared"})
