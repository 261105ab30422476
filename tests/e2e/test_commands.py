"""The commands for operators against a running local stack."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.stacks import ROOMKEY, ROOT, LocalStack
from roomkey_cli import credential_file


@dataclass(frozen=True)
class Operator:
    """A terminal with the variables that the local stack printed."""

    stack: LocalStack
    home: Path

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        surroundings |= {
            "AWS_ENDPOINT_URL": self.stack.aws,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.stack.key[0],
            "AWS_SECRET_ACCESS_KEY": self.stack.key[1],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "XDG_STATE_HOME": str(self.home),
        }
        command = [str(ROOMKEY), *words]
        return subprocess.run(
            command, input=stdin, env=surroundings, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def probe(self, *options: str) -> int:
        return self("probe", "local", "--url", self.stack.url, *options).returncode


@pytest.fixture(scope="module")
def operator(start: Callable[..., LocalStack], tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Another stack: other tests need minting on."""
    return Operator(start("--json-logs"), tmp_path_factory.mktemp("home"))


@pytest.mark.threat("B1")
def test_the_kill_switch_stops_minting(operator: Operator) -> None:
    """The first test here, while the kill switch has not been read."""
    off = operator("env", "disable", "local", "100ms")
    assert (off.returncode, "OFF for 100ms" in off.stdout) == (0, True), off.stderr
    assert (operator.probe("--platform", "100ms"), operator.probe("--platform", "agora")) == (4, 0)
    assert operator("mint", "100ms", "management", "--env", "local").returncode == 4
    status = json.loads(operator("env", "status", "local", "--json").stdout)
    assert status["minting"] == "partly-off"
    assert operator("env", "enable", "local").returncode == 0


def test_policy_and_secret_are_put(operator: Operator) -> None:
    new = json.dumps({**credential_file.demo()["videosdk"], "secret": "the-new-key-that-nobody-has-leaked-yet"})
    assert operator("secret", "put", "local", "videosdk", stdin=new).returncode == 0
    assert operator("secret", "check", "local").returncode == 0
    assert operator("policy", "put", "local", "cli/roomkey_cli/data/policies/classroom.json").returncode == 0
    assert operator("policy", "put", "local", "cli/roomkey_cli/data/policies/open.json").returncode == 0


def test_a_probe_of_everything_that_is_served(operator: Operator) -> None:
    for platform in ("agora", "videosdk", "agora-whiteboard"):  # The function may still have the old value cached.
        assert operator.probe("--platform", platform) == 0
    assert operator.probe("--platform", "agora", "--kind", "app", "--anonymous") == 0


def test_a_probe_finds_that_anyone_is_let_in(operator: Operator) -> None:
    """App tokens need no authentication here, so the probe reports an unauthenticated caller."""
    done = operator("probe", "local", "--url", operator.stack.url, "--kind", "app", "--platform", "agora")

    assert (done.returncode, "GOT A TOKEN" in done.stdout) == (1, True), done.stdout


def test_the_doctor_finds_no_failure(local_stack: LocalStack, tmp_path: Path) -> None:
    done = Operator(local_stack, tmp_path)("doctor", "local", "--url", local_stack.url, "--json")
    findings = json.loads(done.stdout)["findings"]
    assert [one for one in findings if one["level"] == "fail" and one["check"] != "sam"] == []
    assert {"kill switch", "secrets", "health"} <= {one["check"] for one in findings if one["level"] == "ok"}


def test_a_bearer_token_of_the_demo_issuer(start: Callable[..., LocalStack], tmp_path: Path) -> None:
    stack = start("--access", "jwt")
    operator = Operator(stack, tmp_path)
    with urllib.request.urlopen(f"{stack.url}/demo/token", data=b'{"user": "teacher"}') as answer:
        token = json.load(answer)["access_token"]

    done = operator(
        *("probe", "local", "--url", stack.url, "--platform", "100ms", "--kind", "app", "--bearer-stdin"),
        *("--body", '{"room_id": "room-1", "role": "host"}'),
        stdin=token,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert token not in done.stdout + done.stderr
