"""The built stack in Lambda's own container, by the SAM CLI: `sam local invoke` and `sam local start-api`."""

import json
import os
import platform
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.stacks import ROOT, LocalStack, started
from e2e.test_local_stack import ASKS, claims_of, post

pytestmark = pytest.mark.docker

IMAGE = "public.ecr.aws/lambda/python:3.13"
MACHINE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
OPTIONS = [
    "--skip-pull-image",
    "--parameter-overrides",
    f"Environment=local AppTokenAccess=open Architecture={MACHINE}",
]


def _sam() -> str | None:
    own = ROOT / ".tools/sam/bin/sam"
    return str(own) if own.exists() else shutil.which("sam")


def _why_not() -> str | None:
    """Return why these tests cannot run here, None if they can."""
    if _sam() is None:
        return "the SAM CLI is not here (make build installs it)"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "no Docker engine answers"
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        return f"Docker has no {IMAGE} (docker pull it)"
    return None


@pytest.fixture(scope="module")
def sam() -> str:
    """The SAM CLI, with the stack built. Skips if either is missing."""
    if reason := _why_not():
        pytest.skip(reason)
    subprocess.run(["make", "build"], cwd=ROOT, check=True, capture_output=True)
    found = _sam()
    assert found
    return found


@pytest.fixture(scope="module")
def aws(sam: str) -> Iterator[LocalStack]:
    """Secrets Manager and SSM at an address that containers reach."""
    with started("--aws-host", "0.0.0.0") as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(aws: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of `sam local` that point the function to the stand-in."""
    port = aws.aws.rpartition(":")[2]
    path = tmp_path_factory.mktemp("sam") / "env.json"
    path.write_text(json.dumps({"Parameters": {"AWS_ENDPOINT_URL": f"http://host.docker.internal:{port}"}}))
    return [*OPTIONS, "--env-vars", str(path)]


def _with_key(aws: LocalStack) -> dict[str, str]:
    """Return the environment in which `sam local` passes this run's key to the container."""
    key_id, secret = aws.key
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def invoke(sam: str, aws: LocalStack, environment: list[str], event: str) -> Any:
    command = [sam, "local", "invoke", "-e", str(ROOT / "events" / event), *environment]
    done = subprocess.run(
        command, cwd=ROOT, env=_with_key(aws), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_build_carries_bytecode(sam: str) -> None:
    for module in (ROOT / ".aws-sam/build/Function/roomkey").glob("*.py"):
        assert list(module.parent.glob(f"__pycache__/{module.stem}.cpython-313.pyc")), module


def test_invoke_mints_an_app_token(sam: str, aws: LocalStack, environment: list[str]) -> None:
    answer = invoke(sam, aws, environment, "api-token-flutter.json")
    assert answer["statusCode"] == 200
    assert claims_of(json.loads(answer["body"])["token"])["type"] == "app"


def test_invoke_mints_a_management_token(sam: str, aws: LocalStack, environment: list[str]) -> None:
    answer = invoke(sam, aws, environment, "management-token-iam-role.json")
    assert claims_of(json.loads(answer["body"])["token"])["type"] == "management"


@pytest.fixture(scope="module")
def api(sam: str, aws: LocalStack, environment: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `sam local start-api`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("api") / "log"
    command = [sam, "local", "start-api", "--port", str(port), "--warm-containers", "EAGER", *environment]
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=_with_key(aws)) as process,
    ):
        try:
            yield _ready(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _ready(url: str, log: Path) -> str:
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{url}/v1/health", timeout=30) as response:
                if response.status == 200:
                    return url
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise AssertionError(log.read_text())


def test_start_api_answers_each_route(api: str) -> None:
    status, answer, headers = post(f"{api}/api/token", json.dumps(ASKS).encode(), {"Content-Type": "application/json"})
    assert status == 200
    assert claims_of(answer["token"])["user_id"] == ASKS["user_id"]
    assert headers["cache-control"] == "no-store"

    # `sam local` has no authorizers.
    assert post(f"{api}/v1/100ms/management-token", b"", {})[1]["code"] == "unauthenticated"
    assert post(f"{api}/v1/nothing", b"{}", {})[1]["code"] == "not-found"
    assert post(f"{api}/api/token", b"[]", {"Content-Type": "application/json"})[1]["code"] == "malformed-body"
