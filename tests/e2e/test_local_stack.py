"""`roomkey run` as a developer uses it."""

import base64
import hashlib
import hmac
import http.client
import json
import re
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette

from e2e.stacks import ROOMKEY, LocalStack, shell, started
from roomkey.settings import GroupsFormat
from roomkey_cli import credential_file
from roomkey_cli.local.demo_issuer import DemoIssuer
from support.http import serve

SECRET = str(credential_file.demo()["100ms"]["app_secret"])
ASKS = {"room_id": "room-1", "role": "host", "user_id": "zoë?"}


def claims_of(token: str, key: str = SECRET) -> dict[str, Any]:
    """Return the claims of a token, verified with the standard library."""
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
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


def ask(stack: LocalStack, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
    return post(f"{stack.url}/api/token", json.dumps(ASKS).encode(), {"Content-Type": "text/plain", **headers})


@dataclass(frozen=True)
class Guest:
    """A guest with nothing but a link, which was redeemed once and then blocked."""

    stack: LocalStack
    invite: str
    redeemed: tuple[int, Any, Mapping[str, str]]
    blocked_at: float
    """On the monotonic clock."""

    def redeem(self) -> tuple[int, Any, Mapping[str, str]]:
        return redeem(self.stack, self.invite)


def redeem(stack: LocalStack, invite: str) -> tuple[int, Any, Mapping[str, str]]:
    body = json.dumps({"invite": invite}).encode()
    return post(f"{stack.url}/v1/invites/redeem", body, {"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with started("--access", "jwt") as stack:
        asked = {"platform": "100ms", "room_id": "class-7b", "role": "guest"}
        status, invite, _ = post(f"{stack.url}/v1/invites", json.dumps(asked).encode(), sign_in(stack, "teacher"))
        assert status == 201, invite
        redeemed = redeem(stack, invite["invite"])
        blocked = json.dumps({"invites": [invite["invite_id"]]})
        stack.client("ssm").put_parameter(Name="/roomkey/local/blocked", Value=blocked, Overwrite=True)
        yield Guest(stack, invite["invite"], redeemed, time.monotonic())


def test_a_guest_with_a_link_joins_the_room(guest: Guest) -> None:
    status, reply, _ = guest.redeemed
    assert status == 200, reply
    claims = claims_of(reply["token"])
    assert (claims["room_id"], claims["role"]) == ("class-7b", "guest")
    assert claims["user_id"] == reply["user_id"]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_the_printed_lines_get_the_first_tokens(local_stack: LocalStack) -> None:
    app, management, health = (json.loads(shell(command)) for command in local_stack.commands())
    assert claims_of(app["token"])["type"] == "app"
    assert app["user_id"] == claims_of(app["token"])["user_id"] == "1234"
    assert claims_of(management["token"])["type"] == "management"
    assert health["minting"] == "on"


def test_a_token_over_http_has_the_claims_of_the_request(local_stack: LocalStack) -> None:
    status, answer, headers = ask(local_stack)
    claims = claims_of(answer["token"])
    assert status == 200
    assert {name: claims[name] for name in ASKS} == ASKS
    assert claims["exp"] == answer["expires_at"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.threat("E2")
def test_old_clients_with_two_slashes_work(local_stack: LocalStack) -> None:
    body = json.dumps(ASKS)
    command = f"curl -s --path-as-is {local_stack.url}//api/token -H 'Content-Type: application/json' -d '{body}'"
    assert claims_of(json.loads(shell(command))["token"])["room_id"] == "room-1"


APP_TOKENS = {
    "100ms": ASKS,
    "videosdk": {"room_id": "abcd-efgh-ijkl", "role": "participant"},
    "agora": {"room_id": "lobby", "role": "publisher", "user_id": "42", "services": ["rtc", "rtm", "chat"]},
    "agora-whiteboard": {"room_id": "0f3a7b1c9d2e4f5a8b6c7d8e9f0a1b2c", "role": "writer"},
}


@pytest.mark.parametrize("platform", APP_TOKENS)
def test_each_platform_mints_both_kinds(local_stack: LocalStack, platform: str, tmp_path: Path) -> None:
    body = json.dumps(APP_TOKENS[platform]).encode()
    url, headers = f"{local_stack.url}/v1/{platform}/app-token", {"Content-Type": "application/json"}
    app = post(url, body, headers)[1]["token"]
    signed = next(command for command in local_stack.commands() if "management-token" in command)
    management = json.loads(shell(signed.replace("/100ms/", f"/{platform}/")))["token"]

    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(credential_file.demo()))
    for token in (app, management):
        report = json.loads(shell(f"{ROOMKEY} explain --json --credentials {keys} '{token}'"))
        assert (report["platform"], report["signature"], report["problems"]) == (platform, "valid", [])


def test_the_management_route_requires_a_signature(local_stack: LocalStack) -> None:
    status, answer, _ = post(f"{local_stack.url}/v1/100ms/management-token", b"", {})
    assert (status, answer) == (403, {"message": "Forbidden"})


def test_a_kept_connection_answers_without_the_delay_of_nagle(local_stack: LocalStack) -> None:
    """With Nagle's algorithm each answer waits 40 ms for an acknowledgement."""
    connection = http.client.HTTPConnection(urlsplit(local_stack.url).netloc, timeout=10)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        connection.request("POST", "/api/token", json.dumps(ASKS).encode(), {"Content-Type": "text/plain"})
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
    connection.close()
    assert min(times) < 0.03


# --- authentication --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classroom(start: Callable[..., LocalStack]) -> LocalStack:
    """A stack with authentication, the claims of another issuer, and a policy for teachers and students."""
    return start(
        *("--access", "jwt", "--policy", "cli/roomkey_cli/data/policies/classroom.json"),
        *("--user-id-claim", "uid", "--groups-claim", "roles", "--scope", "rooms:join"),
        *("--groups-format", "json"),
    )


def sign_in(stack: LocalStack, user: str) -> dict[str, str]:
    _, answer, _ = post(f"{stack.url}/demo/token", json.dumps({"user": user}).encode(), {})
    return {"Authorization": f"Bearer {answer['access_token']}", "Content-Type": "application/json"}


def test_the_printed_lines_are_granted_by_the_policy(classroom: LocalStack) -> None:
    sign_in_line, app, *others = classroom.commands()
    answer = json.loads(shell(f"{sign_in_line}\n{app}"))
    assert claims_of(answer["token"])["user_id"] == "teacher"
    assert [command for command in others if "management" in command] == []


@pytest.mark.parametrize(
    ("user", "role", "status"), [("teacher", "host", 200), ("student", "host", 403), ("student", "guest", 200)]
)
def test_the_policy_sees_the_groups_of_the_user(classroom: LocalStack, user: str, role: str, status: int) -> None:
    body = json.dumps({"room_id": "class-7b", "role": role}).encode()
    assert post(f"{classroom.url}/v1/100ms/app-token", body, sign_in(classroom, user))[0] == status


def test_a_token_is_bound_to_the_signed_in_user(classroom: LocalStack) -> None:
    assert ask(classroom, **sign_in(classroom, "student"))[1]["code"] == "user-mismatch"
    assert ask(classroom)[:2] == (401, {"message": "Unauthorized"})


def test_an_issuer_of_your_own_is_accepted(start: Callable[..., LocalStack]) -> None:
    issuers = []

    def app(url: str) -> Starlette:
        issuers.append(
            DemoIssuer(
                url, user_id_claim="uid", groups_claim="roles", groups_format=GroupsFormat.COMMA, scope="rooms:join"
            )
        )
        return Starlette(routes=issuers[0].routes())

    with serve(app):
        stack = start(
            *("--access", "jwt", "--issuer", issuers[0].issuer, "--audience", "web,roomkey", "--scope", "rooms:join"),
            *("--user-id-claim", "uid", "--groups-claim", "roles", "--groups-format", "comma"),
            *("--policy", "cli/roomkey_cli/data/policies/classroom.json"),
        )
        headers = {"Authorization": f"Bearer {issuers[0].token('teacher')}", "Content-Type": "application/json"}
        body = json.dumps({"room_id": "class-7b", "role": "host"}).encode()
        status, reply, _ = post(f"{stack.url}/v1/100ms/app-token", body, headers)

    assert (status, reply.get("user_id")) == (200, "teacher")


def test_iam_access_accepts_the_key_of_the_run(start: Callable[..., LocalStack]) -> None:
    stack = start("--access", "iam", "--json-logs")
    answer = json.loads(shell(stack.commands()[0]))
    assert claims_of(answer["token"])["user_id"] == "1234"
    assert post(f"{stack.url}/api/token", b"{}", {})[0] == 403

    lines = [json.loads(line) for line in wait_for(stack, '"status": 403') if line.startswith("{")]
    audit = [line for line in lines if line.get("log_type") == "audit"]
    assert [line["token"]["sha256"] for line in audit] == [hashlib.sha256(answer["token"].encode()).hexdigest()]
    assert answer["token"] not in "".join(stack.since)
    access = [line for line in lines if line.get("log_type") == "access"]
    assert access[-1]["result"].startswith("the gateway refused the signature")


# --- foreign variables, one platform's credentials -------------------------------------------------------------------

SHELL = {
    "PATH": "/usr/bin:/bin",
    "PLATFORMS": "linux/amd64",
    "LOG_LEVEL": "debug",
    "GROUPS_CLAIM": "roles",
    "APP_TOKEN_LIFETIME": "never",
    "ALLOWED_ORIGINS": "*",
    "AUDIT_USER_IDS": "perhaps",
    "POWERTOOLS_LOG_LEVEL": "nonsense",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:9",
    "AWS_REGION": "mars-north-1",
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9"),
    "NO_PROXY": "",
    "no_proxy": "",
}


@pytest.fixture(scope="module")
def one_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    keys = {
        "100ms": {
            "app_access_key": "0123456789abcdef01234567",
            "app_secret": "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp",
        },
        "zoom": {},
    }
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(json.dumps(keys))
    with started("--credentials", str(path), "--origin", "https://app.example.com", shell_environ=SHELL) as stack:
        yield stack


def wait_for(stack: LocalStack, text: str) -> list[str]:
    """Return the output once it contains `text`."""
    for _ in range(100):
        if any(text in line for line in stack.since):
            return list(stack.since)
        time.sleep(0.1)
    raise AssertionError(f"{text} is not in {stack.since}")


def test_it_serves_the_platforms_that_it_has_keys_for(one_platform: LocalStack) -> None:
    assert "Serves 100ms\n" in one_platform.printed
    assert "zoom" in one_platform.printed
    with urllib.request.urlopen(f"{one_platform.url}/v1/health") as response:
        assert json.load(response)["platforms"] == ["100ms"]
    assert post(f"{one_platform.url}/v1/agora/app-token", b"{}", {"Content-Type": "application/json"})[0] == 404
    token = ask(one_platform)[1]["token"]
    assert claims_of(token, "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp")["access_key"] == "0123456789abcdef01234567"


def test_the_printed_variables_serve_sdks_and_the_command_in_one_account(one_platform: LocalStack) -> None:
    environ = dict(one_platform.environ)
    assert environ.pop("AWS_REGION") == environ["AWS_DEFAULT_REGION"]

    shown = json.loads(shell(f"env -u AWS_REGION -u AWS_PROFILE {ROOMKEY} env show local --json", environ=environ))

    assert f":{shown['account']}:" in shown["kill_switch"]["arn"]
    assert f":{shown['account']}:" in shown["secrets"]["100ms"]["arn"]
    assert list(shown["secrets"]) == ["100ms", "invites"]


def test_another_terminal_finds_the_command(one_platform: LocalStack) -> None:
    lines = [line for line in one_platform.printed.splitlines() if line.startswith("    export PATH=")]

    assert shell("\n".join([*lines, "command -v roomkey"]), environ={"PATH": "/usr/bin:/bin"}) == f"{ROOMKEY}\n"


def test_the_root_leads_to_the_console(one_platform: LocalStack) -> None:
    with urllib.request.urlopen(f"{one_platform.url}/") as response:
        assert (response.status, urlsplit(response.url).path) == (200, "/console")
        assert "Roomkey console" in response.read().decode()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://app.example.com", True), ("http://localhost:5173", True), ("https://evil.example", False)],
)
def test_cors_allows_localhost_and_the_named_origins(one_platform: LocalStack, origin: str, allowed: bool) -> None:
    status, _, headers = ask(one_platform, Origin=origin)
    assert (status, headers.get("access-control-allow-origin")) == ((200, origin) if allowed else (403, None))


def test_each_request_is_one_readable_line(one_platform: LocalStack) -> None:
    token = ask(one_platform)[1]["token"]
    post(f"{one_platform.url}/v1/nothing", b"{}", {})
    post(f"{one_platform.url}/v1/100ms/management-token", b"{}", {})
    ask(one_platform, Origin="https://evil.example")
    post(f"{one_platform.url}/api/token", b"[", {"Content-Type": "application/json"})
    preflight = {"Origin": "http://192.168.0.7:5173", "Access-Control-Request-Method": "POST"}
    shell(f"curl -s -X OPTIONS {' '.join(f"-H '{k}: {v}'" for k, v in preflight.items())} {one_platform.url}/api/token")

    printed = "".join(wait_for(one_platform, "--origin http://192.168.0.7:5173"))
    for line in (
        r"200  POST /api/token  minted: 100ms app, room room-1, role host, user zoë\?, by anyone",
        r"404  POST /v1/nothing  not-found",
        r"403  POST /v1/100ms/management-token  the gateway refused the signature: .*",
        r"403  POST /api/token  CORS: https://evil.example is not allowed, start with --origin https://evil.example",
        r"400  POST /api/token  malformed-body.*",
        r"204  OPTIONS /api/token",
    ):
        assert re.search(rf"^\d\d:\d\d:\d\d  {line}  \d+ ms$", printed, re.MULTILINE), (line, printed)
    assert "CORS: http://192.168.0.7:5173 is not allowed, start with --origin http://192.168.0.7:5173" in printed
    assert "{" not in printed
    assert token not in printed
    assert "Traceback" not in printed


def test_ctrl_c_ends_it_without_an_error(one_platform: LocalStack) -> None:
    """The last test of this stack: an open connection does not delay the end."""
    connection = http.client.HTTPConnection(urlsplit(one_platform.url).netloc, timeout=10)
    connection.putrequest("POST", "/api/token")
    connection.putheader("Content-Length", "5")
    connection.endheaders()
    one_platform.process.send_signal(signal.SIGINT)
    assert one_platform.process.wait(timeout=20) == 0
    assert "Traceback" not in "".join(one_platform.since)
    connection.close()


# --- other addresses -------------------------------------------------------------------------------------------------


def test_a_phone_reaches_the_network_address_with_tls_and_a_key(start: Callable[..., LocalStack]) -> None:
    stack = start("--lan")
    url = urlsplit(stack.url)
    assert url.scheme == "https"
    assert re.fullmatch("/[0-9a-f]{16}", url.path)
    assert "█" in stack.printed
    assert f"{stack.url}/console" in stack.printed

    authority = shell(f"curl -sk {stack.url}/ca.pem")
    trusting = ssl.create_default_context(cadata=authority)
    with urllib.request.urlopen(f"{stack.url}/v1/health", context=trusting) as response:
        assert json.load(response)["minting"] == "on"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(stack.url.removesuffix(url.path) + "/v1/health", context=trusting)
    for command in stack.commands():
        assert json.loads(shell(command))["success"] is True


@pytest.mark.parametrize("option", ["--host", "--aws-host"])
def test_real_credentials_stay_off_the_network(option: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(credential_file.demo()))
    with pytest.raises(AssertionError, match="use --lan"), started("--credentials", str(path), option, "0.0.0.0"):
        pass


def test_a_port_in_use_is_one_clear_line(local_stack: LocalStack) -> None:
    port = local_stack.url.rpartition(":")[2]
    with pytest.raises(AssertionError, match="in use"), started("--port", port):
        pass


# --- guests ----------------------------------------------------------------------------------------------------------


def test_a_blocked_link_gives_no_token(guest: Guest) -> None:
    """The last test here: the others run while the function still has the old block list cached."""
    deadline = guest.blocked_at + 38
    while guest.redeem()[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert guest.redeem()[1]["code"] == "blocked"
