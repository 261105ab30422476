"""`roomkey mint --env`: an operator who may read the secret mints a token of a deployed environment, with a record."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Signature, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey_cli.tokens.minimal_request import minimal_request
from support.aws.moto_proxy import GET_SECRET, SECRETS_MANAGER, Failure
from support.commands import DEMO, Account, Result, roomkey
from support.platforms import every_token

every_platform = pytest.mark.parametrize("platform", PLATFORMS)


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of the records."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "roomkey" / "audit.jsonl"


def lines(trail: Path) -> list[Any]:
    return [json.loads(line) for line in trail.read_text().splitlines()]


def mint(name: str, platform: str = "100ms", kind: str = "management", *options: str) -> Result:
    body = json.dumps(minimal_request(PLATFORMS[platform], TokenKind(kind)))
    return roomkey("mint", platform, kind, "--env", name, "--body", body, *options)


@every_token
def test_a_token_is_good_and_written_down(account: Account, trail: Path, platform: str, kind: str) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO[platform], platform)

    result = mint(name, platform, kind)

    assert result.status == 0, result.err
    [token] = result.lines
    told = PLATFORMS[platform].explain(token, Credentials(json.loads(DEMO[platform])), 0)
    assert told
    assert told.signature is Signature.VALID
    [line] = lines(trail)
    assert result.err == f"roomkey: recorded in {trail}\n"
    assert (line["log_type"], line["environment"], line["decision"], line["reason"]) == (
        *("operator-audit", name),
        *("minted", None),
    )
    assert (line["platform"], line["kind"], line["kill_switch"]) == (platform, kind, {"value": "false"})
    assert line["token"]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert line["caller"]["principal"].startswith("arn:aws:sts::123456789012:")
    version = account.aws.secrets.get_secret_value(SecretId=f"roomkey/{name}/{platform}")["VersionId"]
    assert line["credentials"] == {"version_id": version}


def test_files_are_private_and_contain_no_token(account: Account, trail: Path) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])

    tokens = [mint(name).lines[0] for _ in range(2)]

    assert len(lines(trail)) == 2
    assert stat.S_IMODE(trail.stat().st_mode) == 0o600
    assert stat.S_IMODE(trail.parent.stat().st_mode) == 0o700
    assert not any(token in trail.read_text() for token in tokens)
    assert not any(value in trail.read_text() for value in json.loads(DEMO["100ms"]).values())


def test_without_a_state_folder_of_ones_own(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The standard ignores a relative path in XDG_STATE_HOME."""
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert mint(name).status == 0
    assert (tmp_path / ".local" / "state" / "roomkey" / "audit.jsonl").exists()


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("true", "minting-disabled"),
        ("100ms", "minting-disabled"),
        ("100ms/management,agora", "minting-disabled"),
        ("what", "kill-switch-unavailable"),
    ],
)
def test_the_kill_switch_applies_by_default(account: Account, trail: Path, flag: str, reason: str) -> None:
    name = account.create(flag=flag)
    account.aws.put_secret(name, DEMO["100ms"])
    account.fail("SECRETS_MANAGER")

    result = mint(name)

    assert (result.status, result.out) == (4, "")
    assert f"management tokens for 100ms are off in {name}" in result.err
    assert (lines(trail)[0]["decision"], lines(trail)[0]["reason"]) == ("denied", reason)
    assert account.aws.operations == [], "a service that is off reads no secret"

    assert mint(name, "100ms", "management", "--ignore-kill-switch").status == 0
    assert account.aws.operations == [GET_SECRET]
    assert lines(trail)[1]["decision"] == "minted"


@pytest.mark.parametrize(
    ("stored", "reason", "message"),
    [
        ('{"users":{"u-7":{}}}', "blocked", "u-7 is blocked in"),
        ("{", "blocklist-unavailable", "the block list is missing or invalid"),
    ],
)
def test_the_block_list_applies(account: Account, trail: Path, stored: str, reason: str, message: str) -> None:
    name = account.create()
    account.put(f"/roomkey/{name}/blocked", stored)
    account.aws.put_secret(name, DEMO["100ms"])
    words = ("mint", "100ms", "app", "--env", name, "--room", "r", "--role", "host", "--user")

    result = roomkey(*words, "u-7")

    assert (result.status, result.out) == (1, "")
    assert message in result.err
    assert (lines(trail)[0]["decision"], lines(trail)[0]["reason"]) == ("denied", reason)
    assert (roomkey(*words, "u-8").status == 0) == (reason == "blocked")


@pytest.mark.parametrize("options", [[], ["--ignore-kill-switch"]])
def test_an_environment_that_is_not_there_is_refused(account: Account, trail: Path, options: list[str]) -> None:
    name = account.environment()
    account.aws.put_secret(name, DEMO["100ms"])

    result = mint(name, "100ms", "management", *options)

    assert (result.status, result.out, trail.exists()) == (1, "", False)
    assert f"environment {name} is unknown in eu-central-1" in result.err


def test_another_scope_is_not_in_the_way(account: Account, trail: Path) -> None:
    name = account.create(flag="100ms/app,agora")
    account.aws.put_secret(name, DEMO["100ms"])

    assert mint(name).status == 0


def test_a_token_that_cannot_be_written_down_is_not_handed_out(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    result = mint(name)

    assert (result.status, result.out) == (1, "")
    assert "the token is withheld, since it cannot be recorded" in result.err


def test_a_secret_that_is_not_there_or_not_good(account: Account, trail: Path) -> None:
    name = account.create()
    assert f"secret roomkey/{name}/100ms is missing in eu-central-1" in mint(name).err

    account.aws.put_secret(name, '{"app_access_key": "a", "app_secret": "correct-horse"}')
    result = mint(name)
    assert (result.status, result.out) == (1, "")
    assert "app_secret: is shorter" in result.err
    assert "correct-horse" not in result.err


def test_without_read_permission_there_is_no_token(account: Account, trail: Path) -> None:
    name = account.create()
    account.fail("SECRETS_MANAGER")
    account.aws.fail(SECRETS_MANAGER, Failure.error(400, "AccessDeniedException", "no"))

    result = mint(name)

    assert (result.status, result.out) == (3, "")
    assert "your AWS credentials do not allow GetSecretValue" in result.err


@pytest.mark.parametrize("options", [[], ["--credentials", "x.json", "--env", "dev"]])
def test_one_of_two_keys_signs(account: Account, options: list[str]) -> None:
    result = roomkey("mint", "100ms", "management", *options)

    assert (result.status, result.err) == (2, "roomkey: use either --credentials or --env\n")


def test_a_curl_command_needs_a_stack_or_a_url(account: Account) -> None:
    name = account.create()
    ask = ["mint", "100ms", "app", "--env", name, "--room", "r", "--role", "host", "--curl"]

    refused = roomkey(*ask)
    assert (refused.status, f"stack roomkey-{name} with an output ApiUrl is missing" in refused.err) == (1, True)
    assert refused.err.endswith(": use --url\n")
    assert "curl -s http://127.0.0.1:8000/v1/100ms/app-token" in roomkey(*ask, "--url", "http://127.0.0.1:8000").out

    account.stack(name, ApiUrl="https://abc.example")
    assert "curl -s https://abc.example/v1/100ms/app-token" in roomkey(*ask).out
    signed_in = roomkey(*ask, "--url", "https://token.example").out
    assert "curl -s https://token.example/v1/100ms/app-token" in signed_in
    assert "Bearer $ACCESS_TOKEN" in signed_in
