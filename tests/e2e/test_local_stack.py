"""`roomkey run`, as a developer meets it."""

import base64
import hashlib
import hmac
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.stacks import ROOMKEY, LocalStack, shell, started
from roomkey.platforms import PLATFORMS
from roomkey_cli import credential_file

SECRET = str(credential_file.demo()["100ms"]["app_secret"])
ASKS = {"room_id": "room-1", "role": "host", "user_id": "zoë?"}


def claims_of(token: str, key: str = SECRET) -> dict[str, Any]:
    """The claims of a token whose signature holds, checked without any library for tokens."""
    signed, _, signature = token.rpartition(".")
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == signature
    payload = signed.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True))
    return claims


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any, Mapping[str, str]]:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def test_the_printed_lines_get_the_first_tokens(local_stack: LocalStack) -> None:
    app, management, health = (json.loads(shell(command)) for command in local_stack.commands())
    assert claims_of(app["token"])["type"] == "app"
    assert app["user_id"] == claims_of(app["token"])["user_id"] == "1234"
    assert claims_of(management["token"])["type"] == "management"
    assert management["authorization"] == {"header": "Authorization", "prefix": "Bearer "}
    assert health["minting"] == "on"


def test_a_token_over_http_is_what_was_asked_for(local_stack: LocalStack) -> None:
    status, answer, headers = post(
        f"{local_stack.url}/api/token", json.dumps(ASKS).encode(), {"Content-Type": "text/plain"}
    )
    claims = claims_of(answer["token"])
    assert status == 200
    assert {name: claims[name] for name in ASKS} == ASKS
    assert claims["exp"] == answer["expires_at"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.threat("E2")
def test_old_clients_with_two_slashes_work(local_stack: LocalStack) -> None:
    host = local_stack.url.removeprefix("http://")
    body = json.dumps(ASKS)
    answer = shell(f"curl -s --path-as-is http://{host}//api/token -H 'Content-Type: application/json' -d '{body}'")
    assert claims_of(json.loads(answer)["token"])["room_id"] == "room-1"


APP_TOKENS = {
    "100ms": ASKS,
    "videosdk": {"room_id": "abcd-efgh-ijkl", "role": "participant"},
    "agora": {"room_id": "lobby", "role": "publisher", "user_id": "42", "services": ["rtc", "rtm", "chat"]},
    "agora-whiteboard": {"room_id": "0f3a7b1c9d2e4f5a8b6c7d8e9f0a1b2c", "role": "writer"},
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_mints_both_kinds(local_stack: LocalStack, platform: str, tmp_path: Path) -> None:
    body = json.dumps(APP_TOKENS[platform]).encode()
    url, headers = f"{local_stack.url}/v1/{platform}/app-token", {"Content-Type": "application/json"}
    app = post(url, body, headers)[1]["token"]
    signed = next(command for command in local_stack.commands() if "management-token" in command)
    management = json.loads(shell(signed.replace("/100ms/", f"/{platform}/")))["token"]

    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(credential_file.demo()))
    for token in (app, management):
        told = json.loads(shell(f"{ROOMKEY} explain --json --credentials {keys} '{token}'"))
        assert (told["platform"], told["signature"], told["problems"]) == (platform, "valid", [])


def test_the_management_route_wants_a_signature(local_stack: LocalStack) -> None:
    status, answer, _ = post(f"{local_stack.url}/v1/100ms/management-token", b"", {})
    assert (status, answer) == (403, {"message": "Forbidden"})


@pytest.mark.threat("B1")
def test_the_kill_switch_stops_minting() -> None:
    with started() as stack:
        ssm = stack.client("ssm")
        ssm.put_parameter(Name="/roomkey/local/disabled", Value="100ms/app", Type="String", Overwrite=True)
        status, answer, _ = post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), {})
    assert status == 403
    assert answer["code"] == "minting-disabled"
    assert answer["msg"] == "Generating token using the room_id and role is disabled."


def test_jwt_access_binds_the_signed_in_user(start: Callable[..., LocalStack]) -> None:
    stack = start("--access", "jwt")
    sign_in, ask, *_ = stack.commands()
    answer = json.loads(shell(f"{sign_in}\n{ask}"))
    assert claims_of(answer["token"])["user_id"] == "teacher"

    _, signed_in, _ = post(f"{stack.url}/demo/token", b'{"user": "student"}', {})
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    assert post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), headers)[1]["code"] == "user-mismatch"
    assert post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), {})[:2] == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    ("user", "role", "status"), [("teacher", "host", 200), ("student", "host", 403), ("student", "guest", 200)]
)
def test_a_policy_tells_a_teacher_from_a_student(classroom: LocalStack, user: str, role: str, status: int) -> None:
    _, signed_in, _ = post(f"{classroom.url}/demo/token", json.dumps({"user": user}).encode(), {})
    headers = {"Authorization": f"Bearer {signed_in['access_token']}", "Content-Type": "application/json"}
    body = json.dumps({"room_id": "class-7b", "role": role}).encode()
    assert post(f"{classroom.url}/v1/100ms/app-token", body, headers)[0] == status


@pytest.fixture(scope="module")
def classroom(start: Callable[..., LocalStack]) -> LocalStack:
    """A stack whose users sign in, with a policy for teachers and students."""
    return start("--access", "jwt", "--policy", "cli/roomkey_cli/data/policies/classroom.json")


def test_iam_access_takes_the_demo_key(start: Callable[..., LocalStack]) -> None:
    stack = start("--access", "iam")
    answer = json.loads(shell(stack.commands()[0]))
    assert claims_of(answer["token"])["user_id"] == "1234"
    assert post(f"{stack.url}/api/token", b"{}", {})[0] == 403


def test_own_credentials_and_origins(start: Callable[..., LocalStack], tmp_path: Path) -> None:
    keys = {"100ms": {"app_access_key": "0123456789abcdef01234567", "app_secret": "s" + "0123456789" * 4}, "zoom": {}}
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(keys))
    stack = start("--credentials", str(path), "--origin", "http://localhost:5173")
    assert "zoom is no platform" in stack.printed
    _, answer, headers = post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), {"Origin": "http://localhost:5173"})
    assert claims_of(answer["token"], keys["100ms"]["app_secret"])["access_key"] == "0123456789abcdef01234567"
    assert headers["access-control-allow-origin"] == "http://localhost:5173"


def test_an_audit_line_is_printed_for_each_request(start: Callable[..., LocalStack]) -> None:
    with started("--json-logs") as stack:
        _, answer, _ = post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), {})
        stack.process.send_signal(signal.SIGINT)
        stack.process.wait(timeout=20)
    printed = "".join(stack.since)
    [line] = [json.loads(line) for line in printed.splitlines() if '"log_type":"audit"' in line]
    assert line["token"]["sha256"] == hashlib.sha256(answer["token"].encode()).hexdigest()
    assert answer["token"] not in printed
    assert "Traceback" not in printed


def test_a_port_that_is_taken_is_one_clear_line(local_stack: LocalStack) -> None:
    port = local_stack.url.rpartition(":")[2]
    with pytest.raises(AssertionError, match="in use"), started("--port", port):
        pass


def test_it_is_ready_when_it_says_so() -> None:
    begun = time.monotonic()
    with started() as stack, urllib.request.urlopen(f"{stack.url}/v1/health") as response:
        assert response.status == 200
    assert time.monotonic() - begun < 60
