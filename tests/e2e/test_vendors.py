"""Tokens of the newer platforms, verified by the vendors' own code: their SDKs, Prosody's module, a TURN server.

Each test skips with a reason where the vendor's code is not installed. The lock file of `vendors/` is made there by

    npm install --package-lock-only --omit-lockfile-registry-resolved
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.npm import install
from e2e.stacks import ROOT
from roomkey.platforms import platform
from support.known_answers import minted, opened, signed

VENDORS = Path(__file__).parent / "vendors"
PYTHON = ROOT / ".tools" / "vendors" / "bin" / "python"

SECRETS: dict[str, dict[str, Any]] = {
    "livekit": {
        "api_key": "APIq2w3e4r5t6y7",
        "api_secret": "MadeUp0Secret1For2The3Tests4Of5LiveKit6",
        "server_url": "wss://lk.example.com",
    },
    "twilio": {
        "account_sid": "AC35dde73a4499b1a19b861efd6bcf1b2b",
        "api_key_sid": "SK2bf09322c2c60ef426f5eb146dc28710",
        "api_key_secret": "MadeUp0Secret1For2Tests3Of4Twilio",
    },
    "stream": {"api_key": "9e6549b84cf4", "api_secret": "MadeUp0Secret1For2The3Tests4Of5Stream6"},
    "zoom-meeting": {"sdk_key": "BV2cBYB8e4i9GPs-LrwOUw", "sdk_secret": "MadeUp0Secret1For2The3Tests4Of5Zoom6"},
    "jitsi": {
        "app_id": "app_1",
        "app_secret": "MadeUp0Secret1For2The3Tests4Of5Jitsi6",
        "domain": "meet.example.com",
    },
    "turn": {"static_auth_secret": "MadeUp0Secret1For2The3Tests4Of5Turn6", "urls": ["turn:127.0.0.1:3478"]},
}
BODIES = {
    "livekit": {"room_id": "physics", "role": "viewer", "user_id": "h\u00f4te", "display_name": "Ad\u00e0"},
    "twilio": {"room_id": "physics", "user_id": "h\u00f4te"},
    "stream": {"room_id": "default:physics", "role": "host", "user_id": "ada"},
    "zoom-meeting": {"room_id": "81234567891", "role": "host"},
    "jitsi": {"room_id": "physics", "role": "moderator", "user_id": "h\u00f4te", "display_name": "Ad\u00e0"},
}


def token_of(name: str, body: dict[str, Any] | None = None, kind: str = "app") -> str:
    return minted(
        platform(name), SECRETS[name], BODIES[name] if body is None else body, at=time.time(), kind=kind
    ).token


def key_of(name: str) -> str:
    return next(str(SECRETS[name][field.name]) for field in platform(name).credential_fields if field.signs)


def damaged(name: str) -> str:
    return signed(opened(token_of(name), key_of(name))[1], "Another0Secret1For2The3Tests4Of5All6")


def expired(name: str) -> str:
    _, claims = opened(token_of(name), key_of(name))
    return signed(claims | {"exp": int(time.time()) - 120, "nbf": int(time.time()) - 600}, key_of(name))


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


# --- Python and JavaScript SDKs ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the vendors' npm packages and `verify.mjs`."""
    return install(VENDORS, tmp_path_factory.mktemp("vendors"))


def in_python(vendor: str, token: str, key: str, secret: str) -> str:
    if not PYTHON.exists():
        pytest.skip("needs `make .tools/vendors/.installed`")
    return run(PYTHON, VENDORS / "verify.py", vendor, token, key, secret)


def test_livekits_python_sdk_verifies_tokens() -> None:
    key, secret = SECRETS["livekit"]["api_key"], SECRETS["livekit"]["api_secret"]
    tokens = [token_of("livekit"), token_of("livekit", {}, "management"), damaged("livekit"), expired("livekit")]
    verdicts = [in_python("livekit", token, key, secret).split(":")[0] for token in tokens]
    assert verdicts == ["ok", "ok", "InvalidSignatureError", "ExpiredSignatureError"]


def test_livekits_javascript_sdk_verifies_tokens(node: Path) -> None:
    key, secret = SECRETS["livekit"]["api_key"], SECRETS["livekit"]["api_secret"]
    tokens = [token_of("livekit"), token_of("livekit", {}, "management"), damaged("livekit"), expired("livekit")]
    verdicts = [run("node", node / "verify.mjs", "livekit", token, key, secret).split(":")[0] for token in tokens]
    assert verdicts == ["ok", "ok", "JWSSignatureVerificationFailed", "JWTExpired"]


def test_twilios_sdk_verifies_tokens() -> None:
    secret = SECRETS["twilio"]["api_key_secret"]
    tokens = [token_of("twilio"), damaged("twilio"), expired("twilio")]
    verdicts = [in_python("twilio", token, "", secret).split(":")[0] for token in tokens]
    assert verdicts[0] == "ok"
    assert "ok" not in verdicts[1:]


@pytest.mark.parametrize("client", ["stream-chat", "stream-video"])
def test_streams_clients_take_a_token_of_their_user_only(node: Path, client: str) -> None:
    key, secret = SECRETS["stream"]["api_key"], SECRETS["stream"]["api_secret"]
    asked = [(token_of("stream"), "ada"), (token_of("stream"), "bob"), (expired("stream"), "ada")]
    verdicts = [run("node", node / "verify.mjs", client, token, key, secret, user) for token, user in asked]
    assert verdicts[0] == "ok"
    assert "is not matching with user.id" in verdicts[1]
    assert "jwt expired" in verdicts[2]


def test_the_signer_of_zooms_sample_gives_the_same_token(node: Path) -> None:
    key = key_of("zoom-meeting")
    verdicts = [
        run("node", node / "verify.mjs", "zoom-meeting", token, "", key)
        for token in (token_of("zoom-meeting"), damaged("zoom-meeting"))
    ]
    assert verdicts == ["ok", "Error: the signer of the sample gives another token"]


# --- Jitsi ---------------------------------------------------------------------------------------------------------


def in_prosody(token: str, issuer: str = "app_1", audience: str = "jitsi") -> str:
    """Return the verdict of the module with which Prosody verifies tokens."""
    lua = shutil.which("lua5.4")
    if lua is None:
        pytest.skip("needs Debian's lua5.4, lua-basexx, lua-cjson and lua-luaossl")
    path = 'package.path = "/usr/share/lua/5.2/?.lua;" .. package.path '
    modules = 'require "basexx" require "cjson" require "openssl.hmac"'
    if subprocess.run([lua, "-e", path + modules], capture_output=True, check=False).returncode:
        pytest.skip("needs Debian's lua-basexx, lua-cjson and lua-luaossl")
    return run(lua, VENDORS / "verify.lua", token, key_of("jitsi"), issuer, audience)


def test_prosodys_module_verifies_tokens() -> None:
    verdicts = [
        in_prosody(token_of("jitsi")),
        in_prosody(damaged("jitsi")),
        in_prosody(expired("jitsi")),
        in_prosody(token_of("jitsi"), issuer="app_2"),
        in_prosody(token_of("jitsi"), audience="other"),
    ]
    assert verdicts == [
        "ok",
        "Invalid signature",
        "Not acceptable by exp",
        "invalid 'iss' claim",
        "invalid 'aud' claim",
    ]


# --- TURN ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a coturn that shares the secret."""
    if shutil.which("turnserver") is None or shutil.which("turnutils_uclient") is None:
        pytest.skip("needs Debian's coturn")
    folder = tmp_path_factory.mktemp("coturn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["turnserver", "-n", "--use-auth-secret", f"--static-auth-secret={key_of('turn')}", "--realm=test"]
    command += ["--listening-ip=127.0.0.1", f"--listening-port={port}", "--no-tls", "--no-dtls", "--no-cli"]
    command += ["--allow-loopback-peers", f"--pidfile={folder}/pid", f"--log-file={folder}/log", "--simple-log"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int) -> None:
    """Return once a server accepts connections."""
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(port)


def allocates(port: int, username: str, credential: str) -> bool:
    """Return whether the server gives a relay for these credentials."""
    command = ["turnutils_uclient", "-y", "-c", "-n", "1", "-m", "1", "-u", username, "-w", credential, "-p", str(port)]
    return subprocess.run([*command, "127.0.0.1"], capture_output=True, timeout=60, check=False).returncode == 0


USERS = ("user-1", "h\u00f4te", "ada lovelace", 'say "hi"', "it's", "back\\slash", "a:b", "x" * 256)


def test_a_turn_server_takes_credentials_of_every_user(coturn: int) -> None:
    def takes(user: str) -> bool:
        username, _, credential = token_of("turn", {"user_id": user}).rpartition(":")
        return allocates(coturn, username, credential)

    with ThreadPoolExecutor(len(USERS)) as clients:  # Each client waits for seconds.
        assert dict(zip(USERS, clients.map(takes, USERS), strict=True)) == dict.fromkeys(USERS, True)


def test_a_turn_server_refuses_other_credentials(coturn: int) -> None:
    username, _, credential = token_of("turn", {"user_id": "user-1"}).rpartition(":")
    old = minted(platform("turn"), SECRETS["turn"], {"user_id": "user-1", "expires_in": 60}, at=time.time() - 120).token
    assert not allocates(coturn, username.replace("user-1", "user-2"), credential)
    assert not allocates(coturn, old.rpartition(":")[0], old.rpartition(":")[2])
