"""`make deploy`: what it refuses, and how far it comes without a cloud: built, packaged, uploaded, a change set made.

The cloud is moto's server. It knows no transform, so the change set is of SAM's resources, unexpanded. What they become
is held by the other tests in this folder.
"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from infrastructure.template import ROOT, accepts, configured, default_parameters, refusals, stack
from infrastructure.translated import stacks

SAM = ROOT / ".tools/sam/bin/sam"
BUCKET = "artifacts"
REGION = "eu-central-1"
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))


def _make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # `-o`: whatever requirements are newer, the environment that these tests run in stays as it is.
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


def test_there_is_a_file_for_each_of_three_environments() -> None:
    assert ENVIRONMENTS == ["dev", "prod", "staging"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_its_parameters_exist_are_valid_and_are_this_environment_s(environment: str) -> None:
    given = configured(environment)

    assert given["Environment"] == environment
    assert given.keys() <= default_parameters().keys() - {"Release"}
    assert [name for name, value in given.items() if not accepts(name, value)] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_as_it_is_in_the_repository_it_deploys_or_is_refused_in_plain_words(environment: str) -> None:
    said = refusals(**configured(environment))

    assert (said == []) is (environment == "dev")
    assert all(sentence.startswith("AppTokenAccess is jwt, so Jwt") for sentence in said)


def test_prod_moves_slowly_and_dev_at_once() -> None:
    prod, dev = (stack(**stacks()[name]).only("AWS::CodeDeploy::DeploymentGroup") for name in ("prod", "dev"))

    assert "Canary" in prod["DeploymentConfigName"]
    assert dev["DeploymentConfigName"].endswith("AllAtOnce")


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["ENV="], ["ENV=nowhere"], ["ENV=../config/dev"], ["ENV=local.env"]])
def test_an_unknown_environment_is_refused_in_one_sentence_before_anything_is_built(arguments: list[str]) -> None:
    done = _make("deploy", *arguments, SAM="false")

    assert done.returncode != 0
    assert done.stdout == 'make deploy needs ENV=NAME and a file config/NAME.yaml with the line "Environment: NAME".\n'


def test_a_file_of_another_environment_is_refused(tmp_path: Path) -> None:
    """A copy whose name was not changed inside would be deployed over the environment that it was copied from."""
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/dev.yaml", tmp_path / "config/test.yaml")
    shutil.copy(ROOT / "Makefile", tmp_path)

    done = _make("-C", str(tmp_path), "environment", "ENV=test")

    assert done.returncode != 0
    assert "Environment: NAME" in done.stdout


# --- how far it comes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cloud:
    """moto's server: its address, and a client of it."""

    address: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=boto3.session.Config(s3={"addressing_style": "path"}),
        )


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        # By this name, or moto would not find a bucket in the address of the template.
        cloud = Cloud(f"http://localhost:{port}")
        try:
            _wait_for(cloud.address)
            cloud.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            yield cloud
        finally:
            server.terminate()


def _wait_for(address: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{address}/moto-api/").close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("moto's server does not answer")


@pytest.fixture(scope="module")
def deployed(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`make deploy ENV=dev` against the cloud, up to and with the change set: what it printed."""
    if not SAM.exists():
        pytest.skip("the SAM CLI is not here (make template installs it)")
    folder = tmp_path_factory.mktemp("deploy")
    # The project's own settings, but for the bucket that SAM would make: moto returns that one without its tags.
    settings = (ROOT / "samconfig.toml").read_text().replace("resolve_s3 = true", f's3_bucket = "{BUCKET}"')
    (folder / "samconfig.toml").write_text(settings)
    (folder / "aws").write_text("[default]\ns3 =\n  addressing_style = path\n")
    done = _make(
        "deploy",
        "ENV=dev",
        f"ARGS=--config-file {folder / 'samconfig.toml'} --no-execute-changeset --no-confirm-changeset",
        AWS_ENDPOINT_URL=cloud.address,
        AWS_CONFIG_FILE=str(folder / "aws"),
        AWS_ACCESS_KEY_ID="x",
        AWS_SECRET_ACCESS_KEY="x",
        AWS_DEFAULT_REGION=REGION,
        SAM_CLI_TELEMETRY="0",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_comes_to_a_change_set_for_the_environment_s_own_stack(cloud: Cloud, deployed: str) -> None:
    assert "Changeset created successfully" in deployed
    assert re.search(r"Stack name +: roomkey-dev\n", deployed)
    found = cloud.client("cloudformation").list_change_sets(StackName="roomkey-dev")["Summaries"]
    assert [(one["StackName"], one["Status"]) for one in found] == [("roomkey-dev", "CREATE_COMPLETE")]


def test_it_hands_on_the_file_s_parameters_and_a_release_of_this_moment(deployed: str) -> None:
    (shown,) = re.findall(r"Parameter overrides +: (\{.*\})", deployed)
    given = json.loads(shown)
    release = given.pop("Release")

    assert given == configured("dev")
    assert accepts("Release", release)
    assert abs(int(release) - time.time()) < 300


def test_it_uploads_two_templates_and_two_archives_with_bytecode(cloud: Cloud, deployed: str) -> None:
    s3 = cloud.client("s3")
    objects = {
        one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    }
    templates = [_loaded(body)["Resources"] for key, body in objects.items() if key.endswith(".template")]
    (resources,) = [resources for resources in templates if "Function" in resources]
    function, layer = (
        zipfile.ZipFile(io.BytesIO(objects[resources[name]["Properties"][uri].rpartition("/")[2]])).namelist()
        for name, uri in (("Function", "CodeUri"), ("Dependencies", "ContentUri"))
    )

    assert len(objects) == 4
    assert len(templates) == 2
    assert {name.split("/")[0] for name in function} == {"roomkey"}
    assert {"roomkey/handler.py", "roomkey/__pycache__/handler.cpython-313.pyc"} <= set(function)
    assert {name.split("/")[0] for name in layer} == {"python"}
    assert {"python/jwt/__init__.py", "python/aws_lambda_powertools/metrics/metrics.py"} <= set(layer)
    assert not [name for name in layer if name.startswith("python/boto")]


def _loaded(template: bytes) -> Any:
    """A template, CloudFormation's short forms left out."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    return yaml.load(template, Loader)  # noqa: S506  a safe loader, but for the tags
