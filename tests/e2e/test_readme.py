"""Every command of the README that needs no cloud, run as it stands there. tests/emulated runs the deploy block."""

import json
import re
import shlex
import socket
import time
from urllib.parse import urlsplit

import pytest

from e2e.stacks import ROOT, LocalStack, shell, started
from support.packages import running

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]

NEEDS_ENVIRONMENT = ("roomkey ", ".venv/bin/roomkey up ", "make deploy ")
IS_THIS = ("make test",)

RUNS = [command for command in COMMANDS if command.startswith("make run")]
CURLS = [command for command in COMMANDS if command.startswith("curl")]


def test_every_command_is_tested_somewhere() -> None:
    others = [command for command in COMMANDS if not command.startswith((*NEEDS_ENVIRONMENT, *IS_THIS))]
    assert sorted(others) == sorted([*RUNS, *CURLS])
    assert RUNS
    assert CURLS


@pytest.mark.parametrize("command", CURLS)
def test_a_request_succeeds(command: str, local_stack: LocalStack) -> None:
    answer = json.loads(shell(command.replace("http://127.0.0.1:8000", local_stack.url)))
    assert answer["success"] is True


def test_the_first_request_is_the_one_that_the_stack_prints(local_stack: LocalStack) -> None:
    assert local_stack.commands()[0].replace(local_stack.url, "http://127.0.0.1:8000") == CURLS[0]


@pytest.mark.parametrize("command", RUNS)
def test_the_stack_starts(command: str) -> None:
    arguments = dict(word.split("=", 1) for word in shlex.split(command)[2:]).get("ARGS", "")
    with started(*shlex.split(arguments)) as stack:
        assert json.loads(shell(f"curl -s {stack.url}/v1/health"))["minting"] == "on"


def test_make_run_is_roomkey_run() -> None:
    assert "roomkey run --port 1" in shell("env -u MAKEFLAGS -u MAKELEVEL make -n run ARGS='--port 1'")


@pytest.mark.skipif(not (ROOT / ".venv/.run").exists(), reason="make run would first install its environment")
def test_the_stack_ends_with_make() -> None:
    with running(["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "run", "ARGS=--port 0"], cwd=ROOT) as url:
        address = urlsplit(url)
        time.sleep(2)  # Until it has printed everything: a closed pipe would end it, too.

    for _ in range(100):
        time.sleep(0.1)
        with socket.socket() as client:
            if client.connect_ex((address.hostname, address.port)) != 0:
                return
    pytest.fail("it still answers")
