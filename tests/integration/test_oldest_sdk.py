"""The function on an SDK that is older than any in Lambda's runtime, with the SDK's data that it carries itself."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from support.stack import EVENTS, Deploy

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".tools" / "oldest-sdk" / "bin" / "python"

ANSWER = """
import json, sys
from roomkey.handler import handler

for path in sys.argv[1:]:
    with open(path) as event:
        print("ANSWER", json.dumps(handler(json.load(event), None)))
print("SDK", __import__("botocore").__version__)
"""


@pytest.mark.threat("J5")
@pytest.mark.skipif(not PYTHON.exists(), reason="needs `make .tools/oldest-sdk/.installed`")
def test_the_oldest_sdk_reads_the_state_and_the_secret(deploy: Deploy) -> None:
    deployed = deploy("open")
    settings = {"ENVIRONMENT": deployed.environment, "PLATFORMS": "100ms", "APP_TOKEN_ACCESS": "open"}

    run = subprocess.run(
        [PYTHON, "-c", ANSWER, EVENTS / "api-token-json.json", EVENTS / "management-token-iam-user.json"],
        env=os.environ | settings | {"PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    words = [line.partition(" ") for line in run.stdout.splitlines() if line.startswith(("ANSWER", "SDK"))]
    answers = [json.loads(rest) for word, _, rest in words if word == "ANSWER"]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert words[-1][2] == (ROOT / "requirements/oldest-sdk.in").read_text().split("botocore==")[1].split()[0]
