"""The client packages of clients/: one conformance suite for those that run here, against scripted servers.

The local stack confirms that the real endpoint behaves like the script. Swift, Kotlin and Dart are not compiled."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from e2e.npm import NODE, install, run_npm
from e2e.stacks import ROOT, LocalStack
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind

sys.path.insert(0, str(ROOT / "clients" / "python"))
import roomkey_client

ASKS = {"room_id": "633fcdd84208780bf665346a", "role": "guest", "user_id": "student-7"}

type Reply = tuple[int, Mapping[str, str], Any]


@dataclass
class ScriptedServer:
    """A server that sends `replies` one after the other, the last one forever, and records each request."""

    replies: list[Reply]
    url: str = ""
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)


@contextmanager
def scripted(*replies: Reply) -> Iterator[ScriptedServer]:
    script, lock = ScriptedServer(list(replies)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.requests.append((self.path, headers, json.loads(body or b"null")))
                status, reply_headers, document = (
                    script.replies.pop(0) if len(script.replies) > 1 else script.replies[0]
                )
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**reply_headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = reply  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield script
        finally:
            server.shutdown()


def token(name: str = "token", expires_in: int = 900, **more: Any) -> Reply:
    authorization = {"header": "Authorization", "prefix": "Bearer "}
    times = {"expires_at": int(time.time()) + expires_in, "expires_in": expires_in}
    return 200, {}, {"success": True, "status": 200, "token": name, "authorization": authorization, **times, **more}


def refusal(status: int, code: str, *, retry_after: str = "", errors: tuple[Any, ...] = ()) -> Reply:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return status, headers, {"success": False, "code": code, "msg": "refused", "request_id": "r-1", "errors": errors}


def gateway(status: int, message: str) -> Reply:
    return status, {}, {"message": message}


@dataclass
class Outcome:
    """The token, or the refusal's code and field errors, and the pauses between attempts in seconds."""

    token: str | None
    code: str | None
    errors: list[dict[str, str]]
    pauses: list[float]
    text: str = field(default="", compare=False)
    """The exception as text."""


type Client = Callable[[str, str, Mapping[str, Any]], Outcome]
"""Request a token from the stack at an address, for a platform, with a body."""


def python_client(url: str, platform: str, request: Mapping[str, Any]) -> Outcome:
    pauses: list[float] = []
    client = roomkey_client.Roomkey(url, sleep=pauses.append, jitter=lambda: 0.5)
    try:
        return Outcome(client.app_token(platform, **request)["token"], None, [], pauses)
    except roomkey_client.RoomkeyError as error:
        return Outcome(None, error.code, error.errors, pauses, str(error))
    except requests.RequestException:
        return Outcome(None, None, [], pauses)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which the command of clients/README.md installed the TypeScript package."""
    clone, folder = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("app")
    built = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(ROOT / "clients", clone / "clients", ignore=built)
    (command,) = re.findall("^npm .*", (ROOT / "clients" / "README.md").read_text(), re.MULTILINE)
    run_npm(folder, command, ROOMKEY=str(clone))
    return folder


_HARNESS = """
import { createInterface } from 'node:readline';
import { Roomkey, RoomkeyError } from 'roomkey-client';

for await (const line of createInterface({ input: process.stdin })) {
  const { url, platform, request } = JSON.parse(line);
  const pauses = [];
  const options = { wait: async (seconds) => { pauses.push(seconds); }, random: () => 0.5 };
  const outcome = await new Roomkey(url, options).appToken(platform, request).then(
    ({ token }) => ({ token, code: null, errors: [], text: '' }),
    (error) => {
      const { code = null, errors = [] } = error instanceof RoomkeyError ? error : {};
      return { token: null, code, errors, text: String(error) };
    },
  );
  console.log(JSON.stringify({ ...outcome, pauses }));
}
"""


@pytest.fixture(scope="module")
def typescript_client(app: Path) -> Iterator[Client]:
    (app / "harness.mjs").write_text(_HARNESS)
    with subprocess.Popen(
        [NODE or "node", "harness.mjs"], cwd=app, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def client(url: str, platform: str, request: Mapping[str, Any]) -> Outcome:
            stdin.write(json.dumps({"url": url, "platform": platform, "request": request}) + "\n")
            return Outcome(**json.loads(stdout.readline()))

        yield client
        process.kill()


@pytest.fixture(params=["python", "typescript"])
def client(request: pytest.FixtureRequest) -> Client:
    if request.param == "python":
        return python_client
    found: Client = request.getfixturevalue("typescript_client")
    return found


def claims(text: str) -> Any:
    payload = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def run_node(folder: Path, program: str, *arguments: str) -> Any:
    """Return the last line that `program` prints, which is JSON."""
    (folder / "program.mjs").write_text(program)
    done = subprocess.run(
        [NODE or "node", "program.mjs", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# --- every client --------------------------------------------------------------------------------------------------


def test_the_local_stack_issues_a_token(client: Client, local_stack: LocalStack) -> None:
    outcome = client(local_stack.url + "/", "100ms", ASKS)

    assert outcome.token, outcome
    assert {name: claims(outcome.token)[name] for name in ASKS} == ASKS


def test_field_errors_reach_the_app(client: Client, local_stack: LocalStack) -> None:
    outcome = client(local_stack.url, "100ms", {"role": "guest", "expires_in": 1})

    assert outcome.code == "invalid-request"
    assert {error["field"] for error in outcome.errors} == {"room_id", "expires_in"}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refusal(400, "invalid-request", errors=({"field": "role", "reason": "is missing"},)), "invalid-request"),
        (refusal(401, "unauthenticated"), "unauthenticated"),
        (refusal(403, "blocked"), "blocked"),
        (gateway(401, "Unauthorized"), "gateway-401"),
        (gateway(403, "Forbidden"), "gateway-403"),
        (refusal(503, "credentials-invalid", retry_after="60"), "credentials-invalid"),
        ((404, {}, {"success": False, "code": 4404, "reason": "invite-invalid"}), "invite-invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_final_refusal_is_not_retried(client: Client, reply: Reply, code: str) -> None:
    with scripted(reply, token()) as server:
        outcome = client(server.url, "100ms", {})

    assert (outcome.token, outcome.code, outcome.pauses) == (None, code, [])
    assert len(server.requests) == 1


def test_the_error_text_names_the_fields(client: Client) -> None:
    errors = ({"field": "role", "reason": "must be one of host, guest"}, {"field": "room_id", "reason": "is missing"})
    with scripted(refusal(400, "invalid-request", errors=errors), gateway(401, "Unauthorized")) as server:
        ours, theirs = (client(server.url, "100ms", {}).text for _ in range(2))

    assert "refused role: must be one of host, guest; room_id: is missing" in ours
    assert theirs.endswith(": Unauthorized")


@pytest.mark.parametrize(
    ("replies", "pauses"),
    [
        ([refusal(503, "kill-switch-unavailable", retry_after="5")], [7.5]),
        ([gateway(429, "Too Many Requests"), gateway(503, "Service Unavailable")], [1.5, 3]),
        ([refusal(500, "internal-error"), refusal(503, "deadline-exceeded", retry_after="5")], [1.5, 7.5]),
        ([(502, {}, b"<html>")], [1.5]),
    ],
    ids=["retry-after", "429-503", "500-503", "html"],
)
def test_a_transient_refusal_is_retried_with_jitter(client: Client, replies: list[Reply], pauses: list[float]) -> None:
    with scripted(*replies, token("at-last")) as server:
        outcome = client(server.url, "100ms", {})

    assert (outcome.token, outcome.code, outcome.pauses) == ("at-last", None, pauses)


def test_it_gives_up_after_three_attempts(client: Client) -> None:
    with scripted(refusal(503, "kill-switch-unavailable", retry_after="5")) as server:
        outcome = client(server.url, "100ms", {})

    assert (outcome.code, outcome.pauses, len(server.requests)) == ("kill-switch-unavailable", [7.5, 7.5], 3)


def test_network_errors_are_retried(client: Client) -> None:
    with scripted(token()) as server:
        closed = server.url

    assert client(closed, "100ms", {}) == Outcome(None, None, [], [1.5, 3])


# --- TypeScript ----------------------------------------------------------------------------------------------------


_NAMES_OF_THE_APP = """
declare const API_URL: string, room_id: string, userName: string;
declare const roomkey: import('roomkey-client').Roomkey;
declare const session: { accessToken(): Promise<string> };
declare class HMSReactiveStore {
  getActions(): { join(config: { userName: string; authToken: string }): Promise<void> };
}
declare const client: {
  connectionState: string;
  renewToken(token: string): Promise<void>;
  join(appId: string, channel: string, token: string | null, uid?: string | number | null): Promise<string | number>;
};
"""


def test_the_snippets_of_the_web_page_compile(app: Path) -> None:
    page = (ROOT / "docs" / "clients" / "web.md").read_text()
    snippets = re.findall(r"^```ts\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (app / "app.d.ts").write_text(_NAMES_OF_THE_APP)
    for number, snippet in enumerate(snippets):
        (app / f"snippet{number}.ts").write_text(f"{snippet}export {{}};\n")
    compiler = (app / "node_modules" / "roomkey-client").resolve() / "node_modules" / ".bin" / "tsc"
    options = ["--strict", "--noEmit", "--target", "ES2022", "--module", "ESNext", "--moduleResolution", "Bundler"]
    files = ["app.d.ts", *(f"snippet{number}.ts" for number in range(len(snippets)))]

    done = subprocess.run([compiler, *options, *files], cwd=app, capture_output=True, text=True, check=False)

    assert len(snippets) == 3
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "member"),
    [("typescript/src/index.ts", r"^  (\w+)\?: "), ("swift/Roomkey.swift", r"^    public var (\w+): ")],
)
def test_a_request_has_the_fields_of_every_platform(file: str, member: str) -> None:
    (request,) = re.findall(
        r"(?:interface|struct) AppTokenRequest\b.*?\n}", (ROOT / "clients" / file).read_text(), re.DOTALL
    )
    fields = {field.name for platform in PLATFORMS.values() for field in platform.kinds[TokenKind.APP].fields}

    assert {*re.findall(member, request, re.MULTILINE)} == fields | {"expires_in"}


def test_a_session_is_renewed_with_the_same_user(app: Path) -> None:
    replies = (
        token("first", renew_in=840, user_id="drawn"),
        refusal(403, "minting-disabled"),
    )
    program = """
    import { Roomkey } from 'roomkey-client';
    const tokens = [], waits = [];
    const wait = async (seconds) => { waits.push(seconds); };
    const failed = await new Promise((resolve) => {
      const onToken = ({ token }) => { tokens.push(token); };
      const roomkey = new Roomkey(process.argv[2], { wait, random: () => 0 });
      roomkey.keepRenewed('agora', { room_id: 'r' }, onToken, ({ code }) => resolve(code));
    });
    console.log(JSON.stringify([tokens, waits, failed]));
    """
    with scripted(replies[0], token("second", renew_in=1000, user_id="drawn"), replies[1]) as server:
        assert run_node(app, program, server.url) == [["first", "second"], [840, 1000], "minting-disabled"]
    assert [body.get("user_id") for _, _, body in server.requests] == [None, "drawn", "drawn"]


def test_the_access_token_and_the_invite_are_sent(app: Path) -> None:
    program = """
    import { Roomkey } from 'roomkey-client';
    const roomkey = new Roomkey(process.argv[2], { accessToken: async () => 'theirs' });
    await roomkey.redeemInvite('rki1.x.y', { guest_name: 'Ada' });
    console.log('null');
    """
    with scripted(token()) as server:
        run_node(app, program, server.url)
    ((path, headers, body),) = server.requests
    assert (path, headers["authorization"]) == ("/v1/invites/redeem", "Bearer theirs")
    assert body == {"invite": "rki1.x.y", "guest_name": "Ada"}


def test_the_typescript_management_token_is_cached_until_a_minute_before_expiry(app: Path) -> None:
    program = """
    import { Roomkey } from 'roomkey-client';
    let now = 0;
    const roomkey = new Roomkey(process.argv[2], { now: () => now });
    const seen = [];
    for (now of [0, 838, 842]) {
      const both = await Promise.all([1, 2].map(() => roomkey.managementHeader('100ms')));
      seen.push(...new Set(both.map(({ Authorization }) => Authorization)));
    }
    roomkey.forget();
    seen.push((await roomkey.managementHeader('100ms')).Authorization);
    console.log(JSON.stringify(seen));
    """
    with scripted(token("first"), token("second"), token("third")) as server:
        seen = run_node(app, program, server.url)
    assert seen == ["Bearer first", "Bearer first", "Bearer second", "Bearer third"]


@pytest.fixture(scope="module")
def with_packages(app: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built client, below one with the packages of e2e/node."""
    source, parent = ROOT / "tests" / "e2e" / "node", tmp_path_factory.mktemp("node")
    folder = shutil.copytree(source, install(source, parent) / "client")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "roomkey-client").symlink_to((app / "node_modules" / "roomkey-client").resolve())
    return folder


def test_the_100ms_web_sdk_joins_with_the_token(with_packages: Path, local_stack: LocalStack) -> None:
    sent = run_node(with_packages, (with_packages / "join.mjs").read_text(), local_stack.url, json.dumps(ASKS))

    assert sent["url"].startswith("https://")
    said = claims(sent["authorization"].removeprefix("Bearer "))
    assert {name: said[name] for name in ASKS} == ASKS


def test_node_signs_for_a_management_token(with_packages: Path, local_stack: LocalStack) -> None:
    program = """
    import { AwsClient } from 'aws4fetch';
    import { Roomkey } from 'roomkey-client';
    const [accessKeyId, secretAccessKey] = process.argv.slice(3);
    const demo = { accessKeyId, secretAccessKey, region: 'us-east-1' };
    const aws = new AwsClient({ ...demo, service: 'execute-api', retries: 0 });
    const roomkey = new Roomkey(process.argv[2], { fetch: (url, init) => aws.fetch(url, init) });
    console.log(JSON.stringify(await roomkey.managementHeader('100ms')));
    """
    header = run_node(with_packages, program, local_stack.url, *local_stack.key)
    assert claims(header["Authorization"].removeprefix("Bearer "))["type"] == "management"


# --- Python --------------------------------------------------------------------------------------------------------


def test_python_signs_for_a_management_token(local_stack: LocalStack) -> None:
    session = boto3.Session(*local_stack.key, region_name="us-east-1")
    client = roomkey_client.Roomkey(local_stack.url, roomkey_client.IamAuth(session))
    header = client.management_header("100ms")

    assert claims(header["Authorization"].removeprefix("Bearer "))["type"] == "management"


def test_the_python_management_token_is_shared_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(token("first"), token("second"), token("third")) as server:
        client = roomkey_client.Roomkey(server.url)
        with ThreadPoolExecutor(8) as threads:
            headers = list(threads.map(lambda _: client.management_header("100ms"), range(8)))
        assert headers == [{"Authorization": "Bearer first"}] * 8
        now = time.time()
        monkeypatch.setattr(roomkey_client.time, "time", lambda: now + 842)
        assert client.management_header("100ms") == {"Authorization": "Bearer second"}
        client.forget()
        assert client.management_header("100ms") == {"Authorization": "Bearer third"}


def test_the_python_package_type_checks() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "clients/python/roomkey_client"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout
