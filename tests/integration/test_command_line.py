"""The command line as a whole: help, completion, exit statuses, errors."""

import itertools
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import typer

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey_cli import credential_file, terminal
from roomkey_cli.commands import options
from roomkey_cli.commands.doctor import workplace
from roomkey_cli.data import OPEN_POLICY
from roomkey_cli.main import _ORDER, app
from roomkey_cli.tokens.minimal_request import minimal_request
from support.aws.moto_proxy import SSM, Failure
from support.commands import Account, command_tree, roomkey
from support.platforms import every_token

ROOT = Path(__file__).parents[2]
ROOMKEY = Path(sys.executable).with_name("roomkey")


def walk(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that is not a group, with its words."""
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, *path, name)
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(walk(typer.main.get_command(app)))

every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


# --- help ------------------------------------------------------------------------------------------------------------


@every_command
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    result = roomkey(*path, "--help")

    assert result.status == 0
    assert f"Example: roomkey {' '.join(path)}" in " ".join(result.out.split())


@every_command
def test_every_parameter_has_a_help_text(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_the_first_help_page_lists_every_command_in_order_of_use() -> None:
    shown = roomkey("--help").out

    named = re.findall(r"^│ (\w+) +[A-Z]", shown, re.MULTILINE)
    assert named == [name for name in _ORDER if name in {path[0] for path in COMMANDS}]
    assert set(named) == {path[0] for path in COMMANDS}


@pytest.mark.parametrize("group", ["env", "secret", "policy"])
def test_the_page_of_a_group_has_examples(group: str) -> None:
    assert roomkey(group, "--help").out.count(f"Example: roomkey {group} ") == 2


@every_command
def test_placeholders_are_in_capitals(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name == "argument" or parameter.metavar:
            assert parameter.metavar
            assert parameter.metavar.isupper(), parameter.name


@pytest.mark.parametrize("path", [*COMMANDS, *sorted({path[:-1] for path in COMMANDS})], ids=" ".join)
def test_help_names_no_python_type(path: tuple[str, ...]) -> None:
    assert not re.search(r"<(?:bool|str|int|float|path|list|Environment)[>\[]", roomkey(*path, "--help").out)


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("mint 100ms ap --env x", "app"),
        ("mint 100sm app --env x", "100ms"),
        ("env disable dev 100ms/ap", "100ms/app"),
        ("env stauts dev", "status"),
        ("plicy check x", "policy"),
        ("env disable dev zoom", "zoom-video' or 'zoom-meeting"),
        ("env off dev", "roomkey env disable"),
        ("env on dev", "roomkey env enable"),
        ("disable dev", "roomkey env disable"),
        ("kill dev", "roomkey env disable"),
    ],
)
def test_a_misspelled_word_gets_a_suggestion(words: str, suggestion: str) -> None:
    result = roomkey(*words.split())

    assert result.status == 2
    assert f"Did you mean '{suggestion}'" in re.sub(r"\s*│\n│\s*", " ", result.err)


def test_wrong_usage_is_reported_as_json_too() -> None:
    result = roomkey("env", "disable", "dev", "100sm", "--json")

    assert result.status == 2
    error = result.json["error"]
    assert (error["code"], error["exit_status"]) == ("usage", 2)
    assert error["message"].startswith("Invalid value for 'SCOPE': '100sm' is unknown. Did you mean '100ms'?")
    assert result.err


# --- completion ------------------------------------------------------------------------------------------------------


def completed(*words: str) -> set[str]:
    """Return the words that bash would offer for the last of `words`."""
    environ = {
        **os.environ,
        "_ROOMKEY_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("roomkey", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([str(ROOMKEY)], env=environ, capture_output=True, text=True, check=False, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["en"], {"env"}),
        (["env", "st"], {"status", "stop", "start"}),
        (["env", "status", "st"], {"staging"}),
        (["secret", "put", "prod", "a"], {"agora", "agora-whiteboard"}),
        (["env", "disable", "prod", "agora/"], {"agora/app", "agora/management", "agora/invite"}),
        (["env", "disable", "prod", "--d"], {"--dry-run"}),
        (["probe", "prod", "--platform", "v"], {"videosdk"}),
    ],
)
def test_the_shell_completes(words: list[str], offered: set[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    command_tree.cache_clear()  # The options for completion depend on this variable.
    result = roomkey("--show-completion", shell)

    assert result.status == 0
    assert "_ROOMKEY_COMPLETE" in result.out


# --- wrong usage -----------------------------------------------------------------------------------------------------

GARBAGE = ("", "-1", "/nowhere/at/all", "\udcff", "99999999999999999999", "ü\u202e", "{")


def slips(path: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield command lines with every simple mistake."""
    command = COMMANDS[path]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    yield from ([*["dev"] * count] for count in range(len(arguments) + 3))
    yield ["--nonsense"]
    yield ["-x"]
    for text in GARBAGE:
        yield [text] * len(arguments)
    for option, text in itertools.product(options, GARBAGE[:4]):
        yield [*["dev"] * len(arguments), option.opts[0], text]


@every_command
def test_no_wrong_usage_ends_in_a_traceback(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workplace, "_output", lambda _: "")  # The SAM CLI takes a second to print its version.
    for slip in slips(path):
        if path == ("run",) and not {"--nonsense", "-x", "--port", "--policy", "--credentials"} & set(slip):
            continue  # It would start.
        result = roomkey(*path, *slip)
        assert result.status in (0, 1, 2, 3, 4), slip
        assert result.status == 0 or result.err or result.out, slip
        assert result.status != 2 or result.out == "" or "--json" in slip, slip


@pytest.mark.parametrize(
    "options",
    [
        "--access jwt --issuer nonsense",
        "--access jwt --issuer http://",
        "--issuer https://x",
        "--origin *",
        "--origin ü",
        "--origin https://x/",
        "--access all",
        "--port 65536",
        "--credentials /nowhere",
        "--policy /nowhere",
    ],
)
def test_a_local_stack_with_invalid_options_does_not_start(options: str) -> None:
    result = roomkey("run", "--port", "0", *options.split())

    assert (result.status, result.out) == (2, "")


@pytest.mark.parametrize(
    "options", ["--host nonsense", "--aws-host nonsense", "--host 1.2.3.4", "--host ::2", "--host ü\udcff"]
)
def test_a_local_stack_that_cannot_listen_reports_its_address(options: str) -> None:
    result = roomkey("run", "--port", "0", *options.split())

    assert (result.status, result.out) == (1, "")
    which = "--aws-host, --aws-port" if "--aws-host" in options else "--host, --port"
    assert re.match(rf"roomkey: cannot listen at \S+, port 0 \({which}\): \w", result.err)


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = roomkey("run", "--port", port)

    assert result.status == 1
    assert f"cannot listen at 127.0.0.1, port {port} (--host, --port): the port is in use" in result.err
    assert re.search(r"try roomkey run --port \d+, or make run ARGS=\"--port \d+\"", result.err)


def test_an_invalid_origin_is_reported_with_its_option() -> None:
    assert roomkey("run", "--port", "0", "--origin", "*").err.startswith("roomkey: --origin must be origins such as ")


def test_a_policy_for_the_local_stack_is_read_as_any_other(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{\n"version": 1,\n"mode": "what",\n"rules": []}')

    result = roomkey("run", "--port", "0", "--policy", file)

    assert (result.status, result.out) == (2, "")
    assert f'\n  {file}:3: mode "what" is unknown' in result.err


# --- mint and explain ------------------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {name: dict(secret) for name, secret in credential_file.demo().items()}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS))
    return file


MOMENTS = ["nan", "inf", "-inf", "-1", "1e300", "1e9", "99999999999", "4294967295", "soon", "", "٣"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_outside_the_range_of_a_token_is_wrong_usage(keys: Path, moment: str) -> None:
    token = roomkey("mint", "agora", "management", "--credentials", keys).lines[0]

    for words in (["mint", "agora", "management"], ["explain", token]):
        result = roomkey(*words, "--credentials", keys, "--at", moment)
        assert (result.status, result.out) == (2, ""), words


@every_token
@pytest.mark.parametrize("moment", ["0", "1700000000.5", str(options.MAX_TIMESTAMP)])
def test_every_valid_moment_makes_a_token(keys: Path, platform: str, kind: TokenKind, moment: str) -> None:
    body = json.dumps({**minimal_request(PLATFORMS[platform], kind), "expires_in": DEFAULT_LIFETIMES.longest})
    words = ["--credentials", keys, "--at", moment]

    minted = roomkey("mint", platform, kind, "--body", body, *words)

    assert minted.status == 0, minted.err
    assert roomkey("explain", minted.lines[0], *words).status == 0


def test_an_unreadable_body_is_wrong_usage_and_an_invalid_one_is_refused(keys: Path) -> None:
    for body, status, words in (
        ("{", 2, "--body: is not JSON: line 1, column 2: expecting property name"),
        (
            "{room_id: abc}",
            2,
            "--body: is not JSON: line 1, column 2: expecting property name enclosed in double",
        ),
        ("[]", 2, "--body: is a JSON array, and must be an object"),
        ('{"a": 1, "a": 2}', 2, "--body: has a duplicate key"),
        ('{"a": NaN}', 2, "--body: has NaN, an infinity or a number that is too large"),
        ('{"a": 1e999}', 2, "--body: has NaN, an infinity or a number that is too large"),
        ("\udcff", 2, "--body: is not UTF-8"),
        ("@/nowhere.json", 2, "/nowhere.json: No such file"),
        ('{"nonsense": 1}', 1, "nonsense: "),
    ):
        result = roomkey("mint", "100ms", "management", "--credentials", keys, "--body", body)
        assert (result.status, result.out) == (status, ""), body
        assert words in result.err


def test_a_missing_credentials_file_is_reported_first() -> None:
    result = roomkey("mint", "100ms", "app", "--credentials", "/nowhere.json", "--body", "{")

    assert (result.status, result.err) == (2, "roomkey: /nowhere.json: No such file or directory\n")


def test_options_make_the_same_token_as_a_body(keys: Path, tmp_path: Path) -> None:
    fixed = ["--credentials", keys, "--at", "1700000000", "--id", "0f8fad5b-d9cb-469f-a165-70867728950e", "--salt", "7"]
    body = {"room_id": "abc", "role": "publisher", "user_id": "7", "services": ["rtc", "rtm"], "expires_in": 600}
    (tmp_path / "body.json").write_text(json.dumps(body))
    words = "--room abc --role publisher --user 7 --service rtc --service rtm --expires-in 600"
    options = words.split(" ")

    tokens = {
        roomkey("mint", "agora", "app", *fixed, *words).out
        for words in (options, ["--body", json.dumps(body)], ["--body", f"@{tmp_path / 'body.json'}"])
    }

    assert len(tokens) == 1
    assert tokens.pop()
    twice = roomkey("mint", "agora", "app", *fixed, "--room", "x", "--body", '{"room_id": "y"}')
    assert (twice.status, twice.err) == (2, "roomkey: room_id: given in --body and as an option\n")


def test_mint_as_json(keys: Path) -> None:
    words = ["--room", "r", "--role", "host", "--user", "u", "--at", "1700000000"]
    document = roomkey("mint", "100ms", "app", "--credentials", keys, *words, "--json").json

    assert document["token"].startswith("ey")
    assert (document["room_id"], document["role"], document["user_id"]) == ("r", "host", "u")
    assert (document["issued_at"], document["expires_in"]) == ("2023-11-14T22:13:20Z", 3600)
    assert document["expires_at"] == "2023-11-14T23:13:20Z"


def test_mint_prints_a_curl_command_for_the_local_stack() -> None:
    result = roomkey("mint", "100ms", "app", "--room", "r", "--role", "host", "--curl")

    assert result.status == 0, result.err
    words = shlex.split(result.out)
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8000/v1/100ms/app-token"]
    assert json.loads(words[-1]) == {"room_id": "r", "role": "host"}


def test_mint_prints_a_curl_command_for_a_url() -> None:
    ask = ["mint", "100ms", "app", "--room", "r", "--role", "host", "--url", "http://127.0.0.1:8200"]

    assert shlex.split(roomkey(*ask, "--curl").out)[2] == "http://127.0.0.1:8200/v1/100ms/app-token"
    refused = roomkey(*ask)
    assert (refused.status, refused.err) == (2, "roomkey: --url needs --curl\n")


def test_open_joins_on_the_vendors_page(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    words = ["--room", "lobby", "--role", "publisher", "--user", "7"]

    result = roomkey("mint", "agora", "app", "--credentials", keys, *words, "--open")

    assert result.status == 0, result.err
    page = urlsplit(opened[0])
    query = parse_qs(page.query)
    assert (page.hostname, query["appid"], query["channel"]) == (
        "webdemo.agora.io",
        [KEYS["agora"]["app_id"]],
        ["lobby"],
    )
    assert query["token"] == [result.lines[0]]
    assert roomkey("mint", "100ms", "app", "--credentials", keys, "--open").status == 2


@pytest.mark.parametrize("text", ["bare", "wrapped", "with a byte order mark"])
def test_a_credentials_file_may_hold_one_platforms_credentials(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    document: object = KEYS["100ms"] if text == "bare" else {"100ms": KEYS["100ms"]}
    file.write_text(json.dumps(document), encoding="utf-8-sig" if text == "with a byte order mark" else "utf-8")

    assert roomkey("mint", "100ms", "management", "--credentials", file).status == 0


def test_bare_credentials_need_a_known_platform(keys: Path, tmp_path: Path) -> None:
    token = roomkey("mint", "100ms", "management", "--credentials", keys).lines[0]
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(KEYS["100ms"]))

    for words in (["explain", token], ["mint", "agora", "management"]):
        result = roomkey(*words, "--credentials", bare)
        assert result.status == 2
        assert 'wrap them as {"100ms": {...}}' in result.err
    utf16 = tmp_path / "utf16.json"
    utf16.write_text(json.dumps(KEYS), encoding="utf-16")
    assert "is UTF-16" in roomkey("mint", "100ms", "management", "--credentials", utf16).err


@pytest.mark.parametrize(
    "options",
    [
        ["--credentials", "KEYS", "--profile", "x"],
        ["--credentials", "KEYS", "--region", "x"],
        ["--credentials", "KEYS", "--ignore-kill-switch"],
        ["--credentials", "KEYS", "--salt", "7"],
    ],
)
def test_an_option_without_effect_is_wrong_usage(keys: Path, options: list[str]) -> None:
    words = [str(keys) if word == "KEYS" else word for word in options]

    result = roomkey("mint", "100ms", "management", *words)

    assert (result.status, result.out) == (2, "")
    assert options[2] in result.err


def test_explain_reads_the_credentials_of_the_tokens_platform_alone(keys: Path) -> None:
    token = roomkey("mint", "100ms", "management", "--credentials", keys).lines[0]
    keys.write_text(json.dumps({**KEYS, "agora": {}, "videosdk": {"api_key": 7}}))
    assert roomkey("explain", token, "--credentials", keys, "--json").json["signature"] == "valid"

    keys.write_text(json.dumps({"100ms": {}}))
    result = roomkey("explain", token, "--credentials", keys)
    assert (result.status, result.out) == (2, "")
    assert f"{keys}: 100ms: " in result.err


BROKEN: Mapping[str, tuple[str, object, str]] = {
    "in-quotes": ("100ms", {"app_secret": '"' + KEYS["100ms"]["app_secret"] + '"'}, "app_secret: is wrapped in quotes"),
    "with-a-newline": ("100ms", {"app_secret": KEYS["100ms"]["app_secret"] + "\n"}, "app_secret: contains a space"),
    "a-url": (
        "100ms",
        {"app_secret": "https://dashboard.100ms.live"},
        "app_secret: is a reference to a secret, or a URL",
    ),
    "missing": ("100ms", {"app_secret": None}, "app_secret: is missing"),
    "a-number": ("100ms", {"app_secret": 17}, "app_secret: must be a string with something in it"),
    "lone-surrogate": ("100ms", {"app_secret": KEYS["100ms"]["app_secret"] + "\ud800"}, "app_secret: contains a space"),
    "key-in-quotes": ("100ms", {"app_access_key": "'x'"}, "app_access_key: is wrapped in quotes"),
    "surrogate-in-key": ("100ms", {"app_access_key": "\udfff"}, "app_access_key: contains a space"),
    "not-an-object": ("agora", "text", "agora is not a JSON object"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_credentials_file_is_not_blamed_on_the_token(keys: Path, name: str) -> None:
    platform, changed, reason = BROKEN[name]
    token = roomkey("mint", "100ms", "management", "--credentials", keys).lines[0]
    entry = {**KEYS[platform], **changed} if isinstance(changed, dict) else changed
    keys.write_text(json.dumps({**KEYS, platform: entry}))

    for words in (["explain", token], ["run"], ["mint", "100ms", "management"]):
        result = roomkey(*words, "--credentials", keys)
        assert (result.status, result.out) == (2, "")
        assert f"{keys}: " in result.err
        assert platform in result.err
        assert reason in result.err
    assert roomkey("explain", token, "--credentials", keys, "--json").json["error"]["code"] == "usage"


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_weak_credentials_that_made_the_token_are_a_note(keys: Path) -> None:
    pair = {"app_access_key": KEYS["100ms"]["app_access_key"], "app_secret": "short"}
    claims = {
        "access_key": pair["app_access_key"],
        "type": "management",
        "version": 2,
        "jti": "1",
        "exp": 4_000_000_000,
    }
    keys.write_text(json.dumps({"100ms": pair}))
    token = jwt.encode(claims, "short", "HS256")

    result = roomkey("explain", token, "--credentials", keys)
    assert (result.status, "signature  valid" in result.out) == (0, True)
    assert "app_secret: is shorter than 32 bytes" in result.err


@pytest.mark.parametrize("document", [{"\ud800": {}}, {"app_secret": "x"}, {}])
def test_a_file_without_a_platform_is_refused(keys: Path, document: object) -> None:
    token = roomkey("mint", "100ms", "management", "--credentials", keys).lines[0]
    keys.write_text(json.dumps(document))

    for words in (["explain", token], ["run"]):
        result = roomkey(*words, "--credentials", keys)
        assert result.status == 2
        assert f"{keys}: has credentials for no platform" in result.err


def test_an_invalid_token_is_reported_as_json_too() -> None:
    result = roomkey("explain", "abc", "--json")

    assert result.status == 1
    assert (result.json["platform"], len(result.json["problems"])) == (None, 1)
    assert roomkey("explain", "abc").err == f"roomkey: {result.json['problems'][0]}\n"


@pytest.mark.parametrize("words", [["--help"], ["explain", "TOKEN"], ["policy", "check", "FILE"]])
def test_a_full_disk_is_reported_in_one_line(keys: Path, words: list[str]) -> None:
    token = roomkey("mint", "100ms", "management", "--credentials", keys).lines[0]
    named = {"TOKEN": token, "FILE": str(OPEN_POLICY)}

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(ROOMKEY), *(named.get(word, word) for word in words)],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "roomkey: No space left on device\n")


@pytest.mark.parametrize(
    "command",
    [
        "explain - --json",
        "invite show -",
        "mint 100ms app --credentials {keys} --body @-",
        "secret put local 100ms --json",
        "probe dev --bearer-stdin --kind app --url http://127.0.0.1:9 --platform 100ms",
    ],
)
def test_a_closed_input_is_wrong_usage(keys: Path, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{ROOMKEY} {command.format(keys=keys)} <&-"], capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (2, b"roomkey: standard input is closed\n")
    assert (b'"standard input is closed"' in done.stdout) == ("--json" in command)


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_no_error(keys: Path, streams: str) -> None:
    command = f"{ROOMKEY} mint 100ms management --credentials {keys} --json {streams}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_pipe_causes_no_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run([str(ROOMKEY), "--help"], stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "environment", ["", "PROD", "Dev", "a" * 17, "1st", "../x", "a/b", "a b", "é", "prod\n", "*", "-", "a_b"]
)
@pytest.mark.parametrize("command", ["env status", "env disable", "secret check", "doctor", "probe", "mint"])
def test_an_invalid_environment_name_is_wrong_usage(account: Account, environment: str, command: str) -> None:
    account.fail("SSM")
    words = ["mint", "100ms", "app", "--env"] if command == "mint" else command.split()

    assert roomkey(*words, environment).status == 2
    assert account.aws.calls == []


# --- refusals of AWS -------------------------------------------------------------------------------------------------

REFUSALS = [
    (400, "AccessDeniedException", "X is not authorized to perform: ssm:GetParameters on resource: arn:aws:x",
     "access denied: your AWS credentials do not allow ssm:GetParameters"),
    (400, "AccessDeniedException", "", "access denied: your AWS credentials do not allow GetParameters"),
    (400, "ExpiredTokenException", "The security token is expired", "have expired: sign in again"),
    (400, "UnrecognizedClientException", "The security token is invalid", "AWS does not recognize these credentials"),
    (403, "InvalidSignatureException", "Signature expired", "AWS rejects the signature"),
    (400, "ThrottlingException", "Rate exceeded", "AWS throttles GetParameters: retry"),
    (400, "ValidationException", "1 error\n\x1b[31mdetected", "AWS rejects GetParameters: ValidationException: 1"),
    (500, "InternalServerError", "", "AWS rejects GetParameters: InternalServerError"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message", "sentence"), REFUSALS)
def test_a_refusal_of_aws_is_one_line(account: Account, status: int, code: str, message: str, sentence: str) -> None:
    account.fail("SSM")
    account.aws.fail(SSM, Failure.error(status, code, message))

    result = roomkey("env", "status", "dev")

    assert (result.status, result.out) == (3, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err
    account.aws.fail(SSM, Failure.error(status, code, message))
    error = roomkey("env", "status", "dev", "--json").json["error"]
    assert (error["code"], error["aws_code"], error["exit_status"]) == ("aws", code, 3)
    assert sentence in error["message"]


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<html>"), (200, "[]"), (404, "<html>"), (302, ""), (200, '{"Parameters": 7}')]
)
def test_a_response_that_is_not_from_aws_is_reported(account: Account, status: int, body: str) -> None:
    account.fail("SSM")
    account.aws.fail(SSM, Failure(status, body))

    result = roomkey("env", "status", "dev")

    assert (result.status, result.out) == (3, "")
    assert result.err.count("\n") == 1


SURROUNDINGS: list[tuple[dict[str, str | None], str]] = [
    ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials found"),
    ({"AWS_SECRET_ACCESS_KEY": None}, "the AWS credentials cannot be used"),
    ({"AWS_DEFAULT_REGION": None}, "no AWS region configured: use --region or AWS_REGION"),
    ({"AWS_DEFAULT_REGION": "not a region"}, "is not the name of a region"),
    ({"AWS_PROFILE": "nobody"}, "unknown AWS profile"),
    ({"AWS_ENDPOINT_URL": "nonsense"}, "AWS_ENDPOINT_URL must begin with http"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "AWS cannot be reached"),
    ({"AWS_CA_BUNDLE": "/nowhere", "AWS_ENDPOINT_URL": "https://127.0.0.1:1"}, "AWS"),
]


@pytest.mark.parametrize(("surroundings", "sentence"), SURROUNDINGS)
@pytest.mark.parametrize("command", ["env status", "probe"])
def test_a_machine_without_aws_credentials_is_reported(
    account: Account, monkeypatch: pytest.MonkeyPatch, surroundings: dict[str, str | None], sentence: str, command: str
) -> None:
    for name, value in surroundings.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    result = roomkey(*command.split(), "dev")

    assert (result.status, result.out) == (3, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["env status dev", "probe dev --url http://127.0.0.1:9 --platform 100ms"])
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIDSENTINEL\r", "a line break"),
        ("AWS_SESSION_TOKEN", "SENTINEL\r", "a line break"),
        ("AWS_SESSION_TOKEN", "a\nSENTINEL", "a line break"),
        ("AWS_SECRET_ACCESS_KEY", "SENTINEL\udcff", "a space or a character outside ASCII"),
        ("AWS_SECRET_ACCESS_KEY", "SENTINEL ", "a space or a character outside ASCII"),
    ],
)
def test_credentials_that_no_header_can_contain_are_reported_without_them(
    account: Account, monkeypatch: pytest.MonkeyPatch, command: str, *, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)

    result = roomkey(*command.split())

    assert (result.status, result.out, result.err) == (3, "", f"roomkey: {name} contains {reason}\n")


def test_credentials_of_a_profile_are_named_as_in_its_file(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile p]\naws_access_key_id = A\naws_secret_access_key = a b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    result = roomkey("env", "status", "dev", "--profile", "p")

    assert "aws_secret_access_key contains a space" in result.err


def test_an_unreadable_aws_configuration_is_reported(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile\nwhat")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    result = roomkey("env", "status", "dev")

    assert (result.status, "the AWS configuration cannot be read" in result.err) == (3, True)


@pytest.mark.parametrize(
    ("options", "environ", "region"),
    [
        ([], {}, "eu-central-1"),
        ([], {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        (["--region", "us-west-2"], {"AWS_REGION": "eu-west-1"}, "us-west-2"),
    ],
)
def test_the_region_is_found_as_the_aws_cli_finds_it(
    account: Account, monkeypatch: pytest.MonkeyPatch, options: list[str], environ: dict[str, str], region: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert roomkey("env", "status", "dev", "--json", *options).json["region"] == region


def test_the_named_profile_is_used(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile ops]\nregion = eu-north-1\naws_access_key_id = A\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert roomkey("env", "status", "dev", "--json", "--profile", "ops").json["region"] == "eu-north-1"


# --- output ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        ("env show", "A = \\u202ex"),
        (f"policy put --dry-run FILE {OPEN_POLICY}", "-\\u001b[31mno policy\\u0007"),
        ("env disable", "(was: INVALID)"),
        ("doctor", "does not contain a valid kill switch"),
        ("env status", "INVALID kill switch"),
    ],
)
def test_no_foreign_text_controls_the_terminal(account: Account, command: str, shows: str) -> None:
    name = account.environment()
    account.aws.put_flag(name, "\x1b[2Jtrue\x07")
    account.aws.put_policy(name, "\x1b[31mno policy\x07")
    account.stack(name, A="\u202ex")
    words, _, file = command.partition(" FILE ")

    result = roomkey(*words.split(), name, *([file] if file else []))

    assert shows in result.out
    assert not {"\x1b", "\x07", "\u202e"} & {*result.out, *result.err}


def test_help_documents_the_exit_statuses() -> None:
    assert (terminal.REFUSED, terminal.USAGE, terminal.AWS_FAILED, terminal.SWITCHED_OFF) == (1, 2, 3, 4)
    shown = " ".join(roomkey("--help").out.split())
    for said in (
        "0 done or valid",
        "1 refused or invalid",
        "2 wrong usage",
        "3 AWS failed",
        "4 minting is off",
    ):
        assert said in shown
