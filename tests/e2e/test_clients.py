"""The code of docs/clients, run as it stands there: against a local stack, and against servers that refuse.

What is not JavaScript or Python is not run, and the pages say so. The packages that some of it needs are installed into
a scratch folder from `node/package-lock.json`, which is made anew in its folder by

    npm install --package-lock-only --omit-lockfile-registry-resolved
"""

import base64
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from e2e.stacks import ROOT, LocalStack

PAGES = ROOT / "docs" / "clients"
NODE = shutil.which("node")
PACKAGES = Path(__file__).parent / "node"
ASKS = {"room_id": "633fcdd84208780bf665346a", "role": "guest", "user_id": "student-7"}

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def snippet(page: str, file: str) -> str:
    """The block of code on `page` that begins with the name `file`."""
    text = (PAGES / f"{page}.md").read_text()
    (found,) = [
        block
        for block in re.findall(r"^```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        if file in block.split("\n")[0]
    ]
    return str(found)


# --- somebody who answers as told ----------------------------------------------------------------------------------


@dataclass
class Script:
    """A server that gives these answers one after the other, the last one for ever, and remembers what it was asked."""

    answers: list[tuple[int, Mapping[str, str], Any]]
    url: str = ""
    asked: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> tuple[int, Mapping[str, str], Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def token(name: str = "token", lifetime: int = 900) -> tuple[int, Mapping[str, str], Any]:
    send = {"header": "Authorization", "prefix": "Bearer "}
    answer = {
        "success": True,
        "status": 200,
        "token": name,
        "expires_at": int(time.time()) + lifetime,
        "expires_in": lifetime,
    }
    return 200, {}, answer | {"send": send}


def refusal(status: int, code: str, **headers: str) -> tuple[int, Mapping[str, str], Any]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"success": False, "code": code}


def gateways(status: int, message: str) -> tuple[int, Mapping[str, str], Any]:
    return status, {}, {"message": message}


@contextmanager
def told(*answers: tuple[int, Mapping[str, str], Any]) -> Iterator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with script.lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.asked.append((self.path, headers, body))
                status, headers, answer = script.next()
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield script
        finally:
            server.shutdown()


# --- the same of each client ---------------------------------------------------------------------------------------


@dataclass
class Asked:
    """What came of asking: the token, or the refusal's code, or neither; and the pauses between tries, in seconds."""

    token: str | None
    code: str | None
    pauses: list[float]


type Client = Callable[[str], Asked]
"""Asks the stack at an address for a token."""


def node(folder: Path, program: str, *arguments: str, seconds: float = 60) -> Any:
    """The last line that a program prints, which is JSON."""
    assert NODE
    (folder / "program.mjs").write_text(program)
    done = subprocess.run(
        [NODE, "program.mjs", *arguments], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# One line in is an address, one line out what came of asking it. Pauses are counted and not made, and chance is half.
# Timers of fetch itself are left alone, and so is that of the deadline.
_ASKER = """
import { createInterface } from 'node:readline';

let pauses = [];
const timer = globalThis.setTimeout;
globalThis.setTimeout = (done, ms, ...more) => {
  const ours = /(roomkey|management)\\.js/.test(new Error().stack.split('\\n')[2]) && ms !== 10000;
  if (ours) pauses.push(ms / 1000);
  return timer(done, ours ? 0 : ms, ...more);
};
Math.random = () => 0.5;

for await (const url of createInterface({ input: process.stdin })) {
  pauses = [];
  const [token, code] = await ask(url).then(({ token }) => [token, null], ({ code = null }) => [null, code]);
  console.log(JSON.stringify({ token, code, pauses }));
}
"""
_DEMO = """{
  region: 'us-east-1',
  credentials: async () => ({ accessKeyId: 'ROOMKEYDEMO', secretAccessKey: 'roomkey-demo' }),
}"""


@contextmanager
def asker(folder: Path, ask: str) -> Iterator[Client]:
    """The client that `ask` is, in JavaScript: one process for all that it is asked for."""
    assert NODE
    (folder / "asker.mjs").write_text(ask + _ASKER)
    with subprocess.Popen(
        [NODE, "asker.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin
        assert process.stdout
        lines, answers = process.stdin, process.stdout

        def ask_it(url: str) -> Asked:
            lines.write(f"{url}\n")
            return Asked(**json.loads(answers.readline()))

        try:
            yield ask_it
        finally:
            process.kill()


@pytest.fixture(scope="module")
def web_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of the web page."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "roomkey.js").write_text(snippet("web", "roomkey.js"))
    return folder


@pytest.fixture(scope="module")
def web(web_folder: Path) -> Iterator[Client]:
    """`appToken` of the web page."""
    ask = "import { appToken } from './roomkey.js';"
    ask += f"const ask = (url) => appToken(url, '100ms', {json.dumps(ASKS)});"
    with asker(web_folder, ask) as client:
        yield client


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of `node/`, as they are pinned there."""
    npm = shutil.which("npm")
    if NODE is None or npm is None:
        pytest.skip("Node or npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    for file in PACKAGES.iterdir():
        shutil.copy(file, folder)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT", done.stderr):
        pytest.skip("npm does not reach its registry")
    assert done.returncode == 0, done.stderr
    (folder / "roomkey.js").write_text(snippet("web", "roomkey.js"))
    (folder / "join.js").write_text(snippet("web", "join.js"))
    (folder / "management.js").write_text(snippet("node", "management.js"))
    (folder / "rooms.js").write_text(snippet("node", "rooms.js"))
    return folder


@pytest.fixture(scope="module")
def node_backend(packages: Path) -> Iterator[Client]:
    """`ask` of the backend in Node."""
    ask = "import { Roomkey } from './management.js';"
    ask += f"const ask = (url) => new Roomkey(url, {_DEMO}).ask('/v1/100ms/management-token', {{}});"
    with asker(packages, ask) as client:
        yield client


@pytest.fixture
def python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`roomkey.py` of the page on Python, under another name: `roomkey` is the function here."""
    (tmp_path / "snippet.py").write_text(snippet("python", "roomkey.py"))
    spec = importlib.util.spec_from_file_location("snippet", tmp_path / "snippet.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "snippet", module)
    spec.loader.exec_module(module)
    return module


def _demo() -> boto3.Session:
    return boto3.Session("ROOMKEYDEMO", "roomkey-demo", region_name="us-east-1")


@pytest.fixture
def python_backend(python_page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Client:
    """`ask` of the backend in Python."""

    def ask(url: str) -> Asked:
        pauses: list[float] = []
        monkeypatch.setattr(python_page.time, "sleep", pauses.append)
        monkeypatch.setattr(python_page.random, "random", lambda: 0.5)
        try:
            answer = python_page.Roomkey(url, _demo()).ask("/v1/100ms/management-token", {})
        except python_page.Refused as refused:
            return Asked(None, refused.code, pauses)
        except OSError:
            return Asked(None, None, pauses)
        finally:
            monkeypatch.undo()
        return Asked(answer["token"], None, pauses)

    return ask


@pytest.fixture(
    params=[
        pytest.param("web", marks=needs_node),
        pytest.param("node_backend", marks=needs_node),
        "python_backend",
    ]
)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.getfixturevalue(request.param)
    return found


def claims(text: str | None) -> Any:
    assert text
    payload = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_it_gets_a_token(client: Client, local_stack: LocalStack) -> None:
    asked = client(local_stack.url)

    assert claims(asked.token)["type"] in ("app", "management")
    assert asked.pauses == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(400, "invalid-request"), "invalid-request"),
        (refusal(401, "unauthenticated"), "unauthenticated"),
        (refusal(403, "minting-disabled"), "minting-disabled"),
        (refusal(403, "not-allowed"), "not-allowed"),
        (gateways(401, "Unauthorized"), "gateway-401"),
        (gateways(403, "Forbidden"), "gateway-403"),
        (refusal(503, "credentials-invalid", Retry_After="60"), "credentials-invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stays_refused_is_asked_once(client: Client, answer: Any, code: str) -> None:
    with told(answer, token()) as server:
        asked = client(server.url)

    assert (asked.token, asked.code, asked.pauses) == (None, code, [])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answers", "pauses"),
    [
        ([refusal(503, "kill-switch-unavailable", Retry_After="5")], [7.5]),
        ([gateways(429, "Too Many Requests")], [1.5]),
        ([gateways(429, "Too Many Requests"), gateways(503, "Service Unavailable")], [1.5, 3]),
        ([refusal(500, "internal-error"), refusal(503, "deadline-exceeded", Retry_After="5")], [1.5, 7.5]),
    ],
    ids=["retry-after", "429", "429-503", "500-503"],
)
def test_what_may_pass_is_asked_again_after_a_pause_with_jitter(
    client: Client, answers: list[Any], pauses: list[float]
) -> None:
    with told(*answers, token("at-last")) as server:
        asked = client(server.url)

    assert (asked.token, asked.code, asked.pauses) == ("at-last", None, pauses)
    assert len(server.asked) == len(answers) + 1


def test_after_three_tries_it_gives_up(client: Client) -> None:
    with told(refusal(503, "kill-switch-unavailable", Retry_After="5")) as server:
        asked = client(server.url)

    assert (asked.token, asked.code, asked.pauses) == (None, "kill-switch-unavailable", [7.5, 7.5])
    assert len(server.asked) == 3


def test_where_there_is_no_network_it_tries_again(client: Client) -> None:
    with told(token()) as server:
        nowhere = server.url

    assert client(nowhere) == Asked(None, None, [1.5, 3])


# --- the web -------------------------------------------------------------------------------------------------------


@needs_node
def test_an_answer_is_kept_until_a_minute_before_its_end(web_folder: Path) -> None:
    """Whatever the device's clock says: it is a year ahead here."""
    with told(token("first", 3600), token("second", 61), token("third", 3600)) as server:
        program = """
        import { appToken, kept } from './roomkey.js';
        let now = Date.now() + 365 * 86400e3;
        Date.now = () => now;
        const ask = kept(() => appToken(process.argv[2], '100ms', {}));
        const tokens = [];
        const note = async () => tokens.push((await ask()).token);
        await Promise.all([note(), note()]);
        now += 3539e3; await note();
        now += 2e3; await note();
        now += 2e3; await note();
        console.log(JSON.stringify(tokens));
        process.exit(0);
        """
        assert node(web_folder, program, server.url) == ["first", "first", "first", "second", "third"]
    assert len(server.asked) == 3


@needs_node
def test_what_failed_is_not_kept(web_folder: Path) -> None:
    with told(refusal(403, "not-allowed"), token("then")) as server:
        program = """
        import { appToken, kept } from './roomkey.js';
        const ask = kept(() => appToken(process.argv[2], '100ms', {}));
        const first = await ask().catch(({ code }) => code);
        console.log(JSON.stringify([first, (await ask()).token]));
        process.exit(0);
        """
        assert node(web_folder, program, server.url) == ["not-allowed", "then"]


@needs_node
def test_the_access_token_is_sent(web_folder: Path) -> None:
    with told(token()) as server:
        program = """
        import { appToken } from './roomkey.js';
        const { token } = await appToken(process.argv[2], 'agora', { room_id: 'r' }, async () => 'theirs');
        console.log(JSON.stringify(token));
        process.exit(0);
        """
        node(web_folder, program, server.url)
    ((path, headers, body),) = server.asked
    assert path == "/v1/agora/app-token"
    assert headers["authorization"] == "Bearer theirs"
    assert json.loads(body) == {"room_id": "r"}


@needs_node
def test_100mss_web_sdk_joins_with_it(packages: Path, local_stack: LocalStack) -> None:
    """Up to its first request, which goes to 100ms and so goes nowhere: the token has been read and is in it."""
    sent = node(packages, (packages / "join.mjs").read_text(), local_stack.url, json.dumps(ASKS))

    assert sent["url"].startswith("https://")
    prefix, _, sdks_token = sent["authorization"].partition(" ")
    assert prefix == "Bearer"
    said = claims(sdks_token)
    assert {name: said[name] for name in ASKS} == ASKS


# --- backends ------------------------------------------------------------------------------------------------------


@pytest.fixture
def python_rooms(python_page: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`rooms` of the page on Python."""
    namespace: dict[str, Any] = {}
    exec(snippet("python", "rooms.py").replace("from roomkey import", "from snippet import"), namespace)  # noqa: S102
    rooms: Callable[..., Any] = namespace["rooms"]
    return rooms


ROOMS = (200, {}, {"data": [{"id": "room"}]})


def test_python_opens_the_vendors_api_with_one_token(
    python_page: ModuleType, python_rooms: Callable[..., Any], local_stack: LocalStack
) -> None:
    roomkey = python_page.Roomkey(local_stack.url, _demo())
    with told(ROOMS) as vendor:
        assert [python_rooms(roomkey, vendor.url) for _ in range(3)] == [[{"id": "room"}]] * 3

    (sent,) = {headers["authorization"] for _, headers, _ in vendor.asked}
    assert claims(sent.removeprefix("Bearer "))["type"] == "management"


def test_python_asks_the_vendor_once_more_with_another_token(
    python_page: ModuleType, python_rooms: Callable[..., Any]
) -> None:
    with told(token("old"), token("new")) as stack, told((401, {}, {}), ROOMS) as vendor:
        assert python_rooms(python_page.Roomkey(stack.url, _demo()), vendor.url) == [{"id": "room"}]

    assert [headers["authorization"] for _, headers, _ in vendor.asked] == ["Bearer old", "Bearer new"]


def test_python_keeps_a_token_until_a_minute_before_its_end(
    python_page: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with told(token("first"), token("second")) as stack:
        roomkey = python_page.Roomkey(stack.url, _demo())
        with ThreadPoolExecutor(8) as threads:
            headers = list(threads.map(lambda _: roomkey.management_header("100ms"), range(8)))
        assert headers == [{"Authorization": "Bearer first"}] * 8
        now = time.time()
        for later, name in ((838, "first"), (842, "second")):
            monkeypatch.setattr(python_page.time, "time", lambda later=later: now + later)
            assert roomkey.management_header("100ms") == {"Authorization": f"Bearer {name}"}
            monkeypatch.undo()
    assert len(stack.asked) == 2


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", b"nonsense\r\n\r\n", None])
def test_python_asks_again_where_an_answer_was_cut_off_or_late(
    python_page: ModuleType, monkeypatch: pytest.MonkeyPatch, first: bytes | None
) -> None:
    """None is no answer at all, until the client has had enough."""
    _, _, answer = token("second")
    content = json.dumps(answer).encode()
    second = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(content), content)
    monkeypatch.setattr(python_page.time, "sleep", lambda _: None)
    monkeypatch.setattr(
        python_page, "urlopen", lambda request, timeout: urllib.request.urlopen(request, timeout=timeout / 20)
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as cut:
                cut.recv(65536)
                if first is not None:
                    cut.sendall(first)
                    cut.shutdown(socket.SHUT_RDWR)
                with server.accept()[0] as one:
                    one.recv(65536)
                    one.sendall(second)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        roomkey = python_page.Roomkey(f"http://127.0.0.1:{server.getsockname()[1]}", _demo())
        assert roomkey.management_header("100ms") == {"Authorization": "Bearer second"}
        thread.join(timeout=10)


def test_python_waits_for_no_other_platform(python_page: ModuleType) -> None:
    roomkey = python_page.Roomkey("http://127.0.0.1:1", _demo())
    waiting, done = threading.Event(), threading.Event()

    def ask(path: str, _: object) -> Any:
        if "100ms" in path:
            waiting.set()
            assert done.wait(10)
        return token(path)[2]

    roomkey.ask = ask
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(roomkey.management_header, "100ms")
        assert waiting.wait(10)
        assert "videosdk" in roomkey.management_header("videosdk")["Authorization"]
        done.set()
        assert "100ms" in slow.result(10)["Authorization"]


@needs_node
def test_node_opens_the_vendors_api_with_one_token(packages: Path, local_stack: LocalStack) -> None:
    program = f"""
    import {{ Roomkey }} from './management.js';
    import {{ rooms }} from './rooms.js';
    const roomkey = new Roomkey(process.argv[2], {_DEMO});
    const found = await Promise.all([1, 2, 3].map(() => rooms(roomkey, process.argv[3])));
    console.log(JSON.stringify(found));
    process.exit(0);
    """
    with told(ROOMS) as vendor:
        assert node(packages, program, local_stack.url, vendor.url) == [[{"id": "room"}]] * 3

    (sent,) = {headers["authorization"] for _, headers, _ in vendor.asked}
    assert claims(sent.removeprefix("Bearer "))["type"] == "management"


@needs_node
def test_node_keeps_a_token_until_a_minute_before_its_end_and_drops_one_that_is_refused(packages: Path) -> None:
    program = f"""
    import {{ Roomkey }} from './management.js';
    import {{ rooms }} from './rooms.js';
    let now = Date.now();
    Date.now = () => now;
    const roomkey = new Roomkey(process.argv[2], {_DEMO});
    const headers = [];
    for (const later of [0, 838e3, 4e3]) {{
      now += later;
      headers.push((await roomkey.managementHeader('100ms')).Authorization);
    }}
    console.log(JSON.stringify([headers, await rooms(roomkey, process.argv[3])]));
    process.exit(0);
    """
    with told(token("first"), token("second", 3600), token("third")) as stack, told((401, {}, {}), ROOMS) as vendor:
        headers, rooms = node(packages, program, stack.url, vendor.url)

    assert headers == ["Bearer first", "Bearer first", "Bearer second"]
    assert rooms == [{"id": "room"}]
    assert [headers["authorization"] for _, headers, _ in vendor.asked] == ["Bearer second", "Bearer third"]
    assert len(stack.asked) == 3


# --- what is not run -----------------------------------------------------------------------------------------------


@needs_node
@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("web", "agora.js"),
        ("react-native", "joinMeeting.js"),
        ("react-native", "agora.js"),
    ],
)
def test_javascript_that_nothing_else_runs_is_javascript(page: str, file: str, tmp_path: Path) -> None:
    assert NODE
    module = tmp_path / "module.mjs"
    module.write_text(snippet(page, file))
    subprocess.run([NODE, "--check", str(module)], check=True, timeout=60)


@pytest.mark.parametrize("page", ["ios", "android", "flutter"])
def test_a_page_that_is_not_compiled_says_so(page: str) -> None:
    assert "Not compiled by the tests." in (PAGES / f"{page}.md").read_text()
