"""LiveKit's real client fetches through a local stack's endpoint, and LiveKit's SDK verifies the token."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.npm import install
from e2e.stacks import LocalStack, started
from roomkey_cli import credential_file
from support.known_answers import opened

VENDORS = Path(__file__).parent / "vendors"
DEMO = credential_file.demo()["livekit"]
POLICY = {
    "version": 1,
    "mode": "enforce",
    "rules": [
        {
            "who": ["anyone"],
            "kinds": ["app"],
            "platforms": ["livekit"],
            "roles": ["viewer", "participant"],
            "rooms": ["rk-*", "class-*"],
            "may_set": ["attributes"],
            "agents": ["tutor-*"],
        }
    ],
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(VENDORS, tmp_path_factory.mktemp("livekit"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text(json.dumps(POLICY))
    with started("--policy", str(policy)) as running:
        yield running


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def fetch(node: Path, stack: LocalStack, *fetches: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the result of the client's TokenSource for each fetch, or its error."""
    lines = run("node", node / "fetch.mjs", f"{stack.url}/v1/livekit/token", *map(json.dumps, fetches)).splitlines()
    return [json.loads(line) for line in lines]


def test_the_client_fetches_tokens_that_livekits_sdk_verifies(node: Path, stack: LocalStack) -> None:
    named, unnamed, repeated_header, agent = fetch(
        node,
        stack,
        {
            "options": {"roomName": "class-7b", "participantIdentity": "ada", "participantName": "Adà"},
            "query": "?role=viewer",
        },
        {"options": {}},
        {
            "options": {"participantAttributes": {"seat": "1"}},
            "headers": {"content-type": "application/json; charset=utf-8"},
        },
        {"options": {"agentName": "tutor-math", "agentMetadata": '{"level":3}'}},
    )
    assert {response["serverUrl"] for response in (named, unnamed, repeated_header, agent)} == {DEMO["server_url"]}
    _, claims = opened(named["participantToken"], str(DEMO["api_secret"]))
    assert (claims["video"]["room"], claims["sub"], claims["name"]) == ("class-7b", "ada", "Adà")
    assert claims["video"]["canPublish"] is False
    _, claims = opened(unnamed["participantToken"], str(DEMO["api_secret"]))
    assert claims["video"]["room"].startswith("rk-")
    assert claims["sub"]
    _, claims = opened(agent["participantToken"], str(DEMO["api_secret"]))
    assert claims["roomConfig"] == {"agents": [{"agentName": "tutor-math", "metadata": '{"level":3}'}]}
    for response in (named, unnamed, repeated_header, agent):
        token = response["participantToken"]
        assert run("node", node / "verify.mjs", "livekit", token, DEMO["api_key"], DEMO["api_secret"]) == "ok"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"options": {"roomName": "staff-1"}}, 403, "not-allowed"),
        ({"options": {}, "query": "?role=moderator"}, 403, "not-allowed"),
        ({"options": {"agentName": "recorder"}}, 403, "not-allowed"),
        ({"options": {"participantMetadata": "{}"}}, 400, "invalid-request"),
        ({"options": {}, "query": "?role=host"}, 400, "invalid-request"),
        ({"options": {}, "headers": {"content-type": "text/plain"}}, 415, "unsupported-media-type"),
    ],
)
def test_a_refusal_reaches_the_client(
    node: Path, stack: LocalStack, asked: dict[str, Any], status: int, code: str
) -> None:
    [answer] = fetch(node, stack, asked)
    assert f"received {status}" in answer["error"]
    assert f'"code":"{code}"' in answer["error"].replace('": "', '":"')
    assert "server_url" not in answer["error"]
