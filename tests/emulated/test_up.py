"""`roomkey up` against the emulated AWS: from nothing to a token, with the command that it prints."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.conftest import ROOMKEY, Cloud
from infrastructure.template import ROOT
from support.commands import DEMO

NAME = "guided"


@pytest.fixture
def _config() -> Iterator[None]:
    """Delete the file that the command writes."""
    yield
    (ROOT / "config" / f"{NAME}.yaml").unlink(missing_ok=True)


@pytest.mark.usefixtures("_config")
def test_up_leads_from_nothing_to_a_token(cloud: Cloud, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"100ms": json.loads(DEMO["100ms"])}))
    options = ["--access", "open", "--platform", "100ms", "--credentials", str(keys), "--yes", "--json"]

    done = subprocess.run(
        [ROOMKEY, "up", NAME, *options],
        env={**cloud.aws.environment(), "AWS": "emulated"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert {verdict["level"] for verdict in document["probe"].values()} == {"ok"}
    token = subprocess.run(shlex.split(document["curl"]), capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(token.stdout)["token"]
    assert cloud.aws.client("ssm").get_parameter(Name=f"/roomkey/{NAME}/disabled")["Parameter"]["Value"] == "false"
