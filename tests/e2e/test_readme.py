"""Every command of the README that needs no cloud, run as it stands there."""

import json
import re
import shlex
from pathlib import Path

import pytest

from e2e.stacks import ROOMKEY, ROOT, LocalStack, shell, started
from roomkey_cli import credential_file

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]

NEEDS_CLOUD = ("roomkey ", "make deploy ", "sleep ")
NEEDS_DOCKER = ("make build", "make sam-local")
IS_THIS = ("make test",)

RUNS = [command for command in COMMANDS if command.startswith("make run")]
CURLS = [command for command in COMMANDS if command.startswith("curl")]
TOOLS = [command for command in COMMANDS if command.startswith(".venv/bin/roomkey")]


def test_every_command_is_accounted_for() -> None:
    others = [command for command in COMMANDS if not command.startswith((*NEEDS_CLOUD, *NEEDS_DOCKER, *IS_THIS))]
    assert sorted(others) == sorted([*RUNS, *CURLS, *TOOLS])
    assert RUNS
    assert CURLS
    assert TOOLS


@pytest.mark.parametrize("command", CURLS)
def test_curl_is_answered(command: str, local_stack: LocalStack) -> None:
    answer = json.loads(shell(command.replace("http://127.0.0.1:8000", local_stack.url)))
    assert answer["success"] is True


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the `keys.json` that the README speaks of."""
    (tmp_path / "keys.json").write_text(json.dumps(credential_file.demo()))
    return tmp_path


@pytest.mark.parametrize("command", RUNS)
def test_make_run_starts(command: str, keys: Path) -> None:
    arguments = dict(word.split("=", 1) for word in shlex.split(command)[2:]).get("ARGS", "")
    words = [str(keys / word) if word == "keys.json" else word for word in shlex.split(arguments)]
    if "--port" in words:  # Some other stack may have that one.
        words[words.index("--port") + 1] = "0"
    with started(*words) as stack:
        assert json.loads(shell(f"curl -s {stack.url}/v1/health"))["minting"] == "on"


def test_make_run_is_roomkey_run() -> None:
    assert shell("env -u MAKEFLAGS -u MAKELEVEL make -n run ARGS='--port 1'").strip().endswith("roomkey run --port 1")


@pytest.mark.parametrize("command", TOOLS)
def test_tools_do_what_they_say(command: str, keys: Path) -> None:
    (keys / "docs").symlink_to(ROOT / "docs")
    assert shell(command.replace(".venv/bin/roomkey", str(ROOMKEY)), cwd=keys)


def test_the_answer_shown_has_the_shape_of_a_real_one(local_stack: LocalStack) -> None:
    [shown] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]
    real = json.loads(shell(CURLS[0].replace("http://127.0.0.1:8000", local_stack.url)))
    assert list(shown) == list(real)
    assert {name: shown[name] for name in ("success", "status", "msg", "api_version", "user_id")} == {
        name: real[name] for name in ("success", "status", "msg", "api_version", "user_id")
    }
