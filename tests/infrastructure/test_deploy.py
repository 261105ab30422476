"""`make deploy`: the environments of config/, its refusals, and its tools. tests/emulated runs it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulated.aws import next_steps
from infrastructure.template import (
    ROOT,
    accepts,
    configured,
    default_parameters,
    environments,
    parameters_in,
    refusals,
    stack,
)
from infrastructure.translated import stacks

SAM = ROOT / ".tools/sam/bin/sam"
BUCKET = "artifacts"
REGION = "eu-central-1"
ENVIRONMENTS = environments()


def _make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # `-o` keeps the environment that these tests run in.
    return subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# --- the environments ----------------------------------------------------------------------------------------------


def test_there_are_three_environments() -> None:
    assert ENVIRONMENTS == ["dev", "prod", "staging"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_s_parameters_are_valid(environment: str) -> None:
    given = configured(environment)

    assert given["Environment"] == environment
    assert given.keys() <= default_parameters().keys() - {"Release"}
    assert [name for name, value in given.items() if not accepts(name, value)] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_dev_deploys_as_it_is_and_the_others_need_an_issuer(environment: str) -> None:
    said = refusals(**configured(environment))

    assert (said == []) is (environment == "dev")
    assert all(sentence.startswith("AppTokenAccess is jwt, so Jwt") for sentence in said)


def test_prod_rolls_out_gradually_and_dev_at_once() -> None:
    prod, dev = (stack(**stacks()[name]).only("AWS::CodeDeploy::DeploymentGroup") for name in ("prod", "dev"))

    assert "Canary" in prod["DeploymentConfigName"]
    assert dev["DeploymentConfigName"].endswith("AllAtOnce")


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["ENV="], ["ENV=nowhere"], ["ENV=../config/dev"], ["ENV=local.env"]])
def test_an_unknown_environment_is_refused_before_the_build(arguments: list[str]) -> None:
    done = _make("deploy", *arguments, SAM="false")

    assert done.returncode != 0
    assert done.stdout == 'make deploy needs ENV=NAME and a file config/NAME.yaml with the line "Environment: NAME".\n'


def test_the_next_steps_find_the_command_from_any_folder(tmp_path: Path) -> None:
    exports = [line for line in next_steps("dev", "http://127.0.0.1:4566").splitlines() if "export" in line]

    found = subprocess.run(
        ["bash", "-c", "\n".join([*exports, "echo ${PATH%%:*} $AWS_ENDPOINT_URL $AWS_REGION $AWS_DEFAULT_REGION"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout.split() == [str(ROOT / ".venv/bin"), "http://127.0.0.1:4566", "us-east-1", "us-east-1"]


@pytest.mark.parametrize("variables", [{}, {"AWS_DEFAULT_REGION": "us-east-1"}])
def test_sam_deploys_to_the_region_that_roomkey_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    sam = tmp_path / "sam"
    sam.write_text("#!/bin/sh\necho $AWS_DEFAULT_REGION\n")
    sam.chmod(0o755)
    others = [word for target in ("before-deploy", "template", "build") for word in ("-o", target)]

    done = _make(*others, "-s", "deploy", "ENV=dev", f"SAM={sam}", AWS_REGION=REGION, **variables)

    assert done.stdout.split() == [REGION], done.stderr


def test_a_rehearsal_has_its_own_file_which_git_ignores(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/dev.yaml", tmp_path / "config")
    shutil.copy(ROOT / "Makefile", tmp_path)

    done = _make("-C", str(tmp_path), "environment", "ENV=rehearsal", "AWS=emulated")

    file = tmp_path / "config/rehearsal.yaml"
    assert done.returncode == 0, done.stdout
    assert parameters_in(file) == configured("dev") | {"Environment": "rehearsal"}
    assert "config/rehearsal.yaml" in (ROOT / ".gitignore").read_text().splitlines()


def test_stopping_the_emulated_aws_when_none_is_running_succeeds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    done = _make("stop-emulated-aws", EMULATED_AWS_PORT=str(port))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No emulated AWS is running")


def test_a_file_of_another_environment_is_refused(tmp_path: Path) -> None:
    """A copy with the old name inside would be deployed over the original environment."""
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/dev.yaml", tmp_path / "config/test.yaml")
    shutil.copy(ROOT / "Makefile", tmp_path)

    done = _make("-C", str(tmp_path), "environment", "ENV=test")

    assert done.returncode != 0
    assert "Environment: NAME" in done.stdout


# --- the tools -----------------------------------------------------------------------------------------------------

_READ_PARAMETERS = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert(tuple(sys.argv[1:]), None, None)))
"""


@pytest.mark.parametrize("sam", ["oldest-sam", "sam"])
def test_the_oldest_supported_and_the_newest_sam_cli_read_the_parameters(sam: str) -> None:
    python = ROOT / ".tools" / sam / "bin/python"
    if not python.exists():
        pytest.skip(f"this SAM CLI is missing (make .tools/{sam}/.installed)")

    done = subprocess.run(
        [python, "-c", _READ_PARAMETERS, "file://config/dev.yaml", "Release=1795891330"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == configured("dev") | {"Release": "1795891330"}


def test_the_example_workflows_are_sound() -> None:
    """Syntax, pinned actions, least permissions, no injection."""
    zizmor = ROOT / ".tools/zizmor/bin/zizmor"
    if not zizmor.exists():
        pytest.skip("zizmor is missing (make .tools/zizmor/.installed)")

    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--min-severity", "medium", "docs/examples", ".github/workflows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", ["deploy.yml", "deploy-environment.yml"])
def test_an_example_workflow_uses_targets_environments_and_inputs_that_exist(workflow: str) -> None:
    text = (ROOT / "docs/examples" / workflow).read_text()
    targets = re.findall(r"\bmake ([a-z-]+)", text)
    makefile = (ROOT / "Makefile").read_text()

    assert set(re.findall(r"^      environment: ([a-z]+)$", text, re.MULTILINE)) <= set(ENVIRONMENTS)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "AWS_SECRET" not in text
    assert "id-token: write" in text
