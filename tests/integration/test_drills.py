"""Drills: the commands of docs/runbooks.md, and their effect on the function. Time is the function's clock.

A moved alias and a rolled-back deploy need AWS and are not tested here.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from roomkey.platforms import PLATFORM_NAMES
from roomkey_cli.data import POLICIES
from support.aws.moto_proxy import SSM, Failure
from support.commands import DEMO, Account, roomkey
from support.events import load_event
from support.stack import SECRET, Answer, Deploy, Deployed, claims_of

TAKES_EFFECT = 36
"""Seconds until a kill switch, policy or block list takes effect (docs/failure-modes.md)."""

SECRET_TAKES_EFFECT = 360
NEW_KEY = json.loads(DEMO["100ms"])["app_secret"]


def _ask(deployed: Deployed, platform: str = "100ms") -> Answer:
    event = load_event("app-token-open.json")
    event["pathParameters"]["platform"] = platform
    if platform == "videosdk":
        event["body"] = json.dumps({"room_id": "r", "role": "guest"})
    return deployed.answer(event)


def _ask_as_a_backend(deployed: Deployed) -> Answer:
    return deployed.answer(load_event("management-token-iam-role.json"))


def _kill_switch(account: Account, deployed: Deployed) -> str:
    found = account.aws.ssm.get_parameter(Name=f"/roomkey/{deployed.environment}/disabled")
    return str(found["Parameter"]["Value"])


def _run(*command: object, stdin: str = "") -> Any:
    result = roomkey(*command, stdin=stdin)
    assert result.status == 0, result.err
    return result


@pytest.mark.usefixtures("account")
def test_a_leaked_secret(deploy: Deploy) -> None:
    deployed = deploy()
    claims_of(_ask(deployed).token or "", SECRET)

    _run("env", "disable", deployed.environment, "100ms")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed).code == "minting-disabled"

    _run("secret", "put", deployed.environment, "100ms", stdin=DEMO["100ms"])
    _run("secret", "check", deployed.environment, "100ms")
    deployed.clock.advance(SECRET_TAKES_EFFECT)
    _run("env", "enable", deployed.environment, "100ms")
    deployed.clock.advance(TAKES_EFFECT)

    claims_of(_ask(deployed).token or "", NEW_KEY)


@pytest.mark.usefixtures("account")
def test_without_the_wait_a_leaked_secret_still_signs(deploy: Deploy) -> None:
    """The runbook waits before it enables minting: an instance may still have the revoked key."""
    deployed = deploy()
    _ask(deployed)

    _run("secret", "put", deployed.environment, "100ms", stdin=DEMO["100ms"])
    deployed.clock.advance(TAKES_EFFECT)

    claims_of(_ask(deployed).token or "", SECRET)


@pytest.mark.usefixtures("account")
def test_a_leaked_management_token(deploy: Deploy) -> None:
    deployed = deploy()
    leaked = _ask_as_a_backend(deployed).token or ""

    explained = roomkey("explain", "--at", int(deployed.clock.wall), "-", stdin=leaked)
    assert "100ms" in explained.out
    (line,) = [one for one in deployed.audit_lines() if one.get("token")]
    assert line["caller"]["principal"] == "arn:aws:iam::111122223333:role/rooms-backend"

    _run("env", "disable", deployed.environment, "100ms/management")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask_as_a_backend(deployed).code == "minting-disabled"
    assert _ask(deployed).token

    _run("env", "enable", deployed.environment, "100ms/management")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask_as_a_backend(deployed).token


@pytest.mark.usefixtures("account")
def test_a_vendor_outage(deploy: Deploy) -> None:
    deployed = deploy(platforms=("100ms", "videosdk"))
    assert _ask(deployed, "videosdk").token

    _run("env", "disable", deployed.environment, "videosdk")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed, "videosdk").code == "minting-disabled"
    assert _ask(deployed).token

    _run("env", "enable", deployed.environment, "videosdk")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed, "videosdk").token


def test_a_flood(deploy: Deploy, account: Account) -> None:
    deployed = deploy()
    account.function(deployed.environment)

    _run("env", "disable", deployed.environment, "app")
    assert _ask(deployed).code == "minting-disabled"
    assert _ask_as_a_backend(deployed).token

    _run("env", "stop", deployed.environment)
    functions, name = account.client("lambda"), f"roomkey-{deployed.environment}"
    assert functions.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    _run("env", "start", deployed.environment)
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName=name)


def test_ssm_is_down(deploy: Deploy, account: Account) -> None:
    account.fail("SSM")
    deployed = deploy()
    account.function(deployed.environment)
    assert _ask(deployed).token

    account.aws.fail(SSM, Failure.error(500, "InternalServerError", "down"))
    deployed.clock.advance(299)
    assert _ask(deployed).token
    deployed.clock.advance(10)
    assert _ask(deployed).code == "kill-switch-unavailable"
    refused = roomkey("env", "disable", deployed.environment)
    assert refused.status == 3
    _run("env", "stop", deployed.environment)  # It needs Lambda alone.
    _run("env", "start", deployed.environment)

    account.aws.forget()
    deployed.clock.advance(10)
    assert _ask(deployed).token


def test_a_mistaken_policy(deploy: Deploy, account: Account, tmp_path: Path) -> None:
    deployed = deploy(policy='{"version": 1, "mode": "enforce", "rules": []}')
    assert _ask(deployed).code == "not-allowed"
    _run("env", "disable", deployed.environment, "agora")  # Another incident turned these off before.

    _run("policy", "put", deployed.environment, POLICIES / "open.json")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed).token

    _run("env", "disable", deployed.environment, "--yes")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed).code == "minting-disabled"

    # As the runbook's `aws ssm get-parameter --name …:6 --query Parameter.Value --output text > before.json`.
    version = _run("env", "status", deployed.environment, "--json").json["policy"]["version"]
    name = f"/roomkey/{deployed.environment}/policy:{version - 1}"
    before = tmp_path / "before.json"
    before.write_text(account.aws.ssm.get_parameter(Name=name)["Parameter"]["Value"] + "\n")
    _run("policy", "put", deployed.environment, before)
    _run("env", "enable", deployed.environment, *(name for name in PLATFORM_NAMES if name != "agora"))
    deployed.clock.advance(TAKES_EFFECT)
    assert _kill_switch(account, deployed) == "agora"  # Off for another reason, and still off.
    assert _ask(deployed).code == "not-allowed"
    (minted,) = [line for line in deployed.audit_lines() if line["decision"] == "minted"]
    assert minted["policy"]["rule"] in {
        rule["name"] for rule in json.loads((POLICIES / "open.json").read_text())["rules"]
    }


@pytest.mark.usefixtures("account")
def test_a_person_is_removed(deploy: Deploy) -> None:
    deployed = deploy()
    user = _ask(deployed).body["user_id"]

    _run("block", deployed.environment, user, "--platform", "100ms", "--reason", "abuse report 311")
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed).code == "blocked"

    _run("unblock", deployed.environment, user)
    deployed.clock.advance(TAKES_EFFECT)
    assert _ask(deployed).token


def test_every_incident_has_its_drill_or_needs_aws() -> None:
    page = (Path(__file__).parents[2] / "docs/runbooks.md").read_text()
    incidents = re.search(r"^## Incidents$(.*?)^## ", page, flags=re.DOTALL | re.MULTILINE)
    assert incidents
    named = {
        f"test_{title.lower().replace(' ', '_')}" for title in re.findall(r"^### (.+)$", incidents[1], re.MULTILINE)
    }

    assert named - globals().keys() == {"test_a_bad_deploy", "test_a_failed_first_deploy"}
