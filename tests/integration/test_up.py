"""`roomkey up` and `roomkey iam` against moto. A stand-in for `make deploy` creates the stack."""

import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from roomkey.platforms import PLATFORMS
from roomkey.policy import parse_policy
from roomkey.settings import Access
from roomkey_cli import config_file, iam_documents, issuer_check
from roomkey_cli.aws import endpoint
from roomkey_cli.commands import probe, up
from roomkey_cli.commands.doctor import workplace
from roomkey_cli.commands.env import disable
from roomkey_cli.environment import Environment
from roomkey_cli.policy import lint, starter
from support.commands import DEMO, Account, Result, roomkey

MAKE = f"""#!{sys.executable}
import os, sys, boto3
name = next(word.partition("=")[2] for word in sys.argv if word.startswith("ENV="))
open("deploys", "a").write(" ".join(sys.argv[1:]) + "\\n")
if os.path.exists("broken"):
    sys.exit(2)
stacks = boto3.client("cloudformation")
body = '{{"Resources": {{"T": {{"Type": "AWS::SNS::Topic"}}}}, "Outputs": {{"ApiUrl": {{"Value": "https://abc.example"}}}}}}'
try:
    stacks.create_stack(StackName="roomkey-" + name, TemplateBody=body)
except stacks.exceptions.AlreadyExistsException:
    pass
"""
CREDENTIALS = {"100ms": json.loads(DEMO["100ms"]), "agora": json.loads(DEMO["agora"])}


@dataclass
class Repository:
    """A directory with what `up` needs, and the requests that it sent."""

    account: Account
    path: Path
    sent: list[tuple[str, str, bool]] = field(default_factory=list)

    def up(self, name: str, *words: object, stdin: str = "") -> Result:
        return roomkey("up", name, *words, stdin=stdin)

    def config(self, name: str) -> Any:
        return yaml.safe_load((self.path / "config" / f"{name}.yaml").read_text())

    @property
    def deploys(self) -> list[str]:
        file = self.path / "deploys"
        return file.read_text().splitlines() if file.exists() else []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> endpoint.Response:
        self.sent.append((method, url, "Authorization" in headers))
        if url.endswith("/health"):
            return endpoint.Response(200, {"minting": "on", "platforms": ["100ms"]}, 1)
        return endpoint.Response(403, {"message": "Forbidden"}, 1)


@pytest.fixture
def repository(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    declared = ("Environment", "AppTokenAccess", "JwtIssuer", "JwtAudience", "AllowedOrigins", "Platforms")
    (tmp_path / "template.yaml").write_text(yaml.safe_dump({"Parameters": {name: {} for name in declared}}))
    (tmp_path / "Makefile").write_text("")
    (tmp_path / "keys.json").write_text(json.dumps(CREDENTIALS))
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(MAKE)
    make.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    repository = Repository(account, tmp_path)
    monkeypatch.setattr(endpoint, "send", repository.send)
    monkeypatch.setattr(workplace, "_output", lambda _: "SAM CLI, version 1.152.0")
    monkeypatch.setattr(issuer_check, "problems", lambda issuer: [] if "good" in issuer else ["no discovery document"])
    monkeypatch.setattr(disable, "wait_until_effective", lambda *_: None)
    return repository


@pytest.fixture
def minting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the endpoint mint: other tests cover its tokens."""
    monkeypatch.setattr(probe, "mints", lambda call, _: probe.Verdict("ok", f"{call.kind} token", 1, 1))


OPEN = ("--access", "open", "--platform", "100ms", "--platform", "agora", "--credentials", "keys.json", "--yes")


@pytest.mark.usefixtures("minting")
def test_from_nothing_to_a_url_that_mints(repository: Repository, account: Account) -> None:
    name = account.environment()

    result = repository.up(name, *OPEN, "--origin", "https://app.example")

    assert result.status == 0, result.err
    assert repository.config(name) == {
        "Environment": name,
        "AppTokenAccess": "open",
        "AllowedOrigins": "https://app.example",
        "Platforms": "100ms,agora",
    }
    assert account.flag(name) == "false"
    assert account.block_list(name) == {}
    assert {platform: account.secret(name, platform) for platform in CREDENTIALS} == {
        platform: DEMO[platform] for platform in CREDENTIALS
    }
    assert {rule.name for rule in parse_policy(account.policy(name) or "").rules} >= {"every caller, 100ms"}
    assert repository.deploys == [f"deploy ENV={name} ARGS=--no-confirm-changeset"]
    assert f"{name} is up: https://abc.example" in result.out
    assert "curl -s https://abc.example/v1/100ms/app-token" in result.out


@pytest.mark.usefixtures("minting")
def test_the_printed_command_can_be_pasted(repository: Repository, account: Account) -> None:
    result = repository.up(account.environment(), "--access", "iam", *OPEN[2:])

    assert result.out.endswith(' \\\n  -H "x-amz-security-token: $AWS_SESSION_TOKEN"\n')


@pytest.mark.usefixtures("minting")
def test_a_second_run_changes_nothing_and_deploys_again(repository: Repository, account: Account) -> None:
    name = account.environment()
    repository.up(name, *OPEN)
    before = [account.policy(name), account.flag(name), repository.config(name)]

    result = repository.up(name, "--yes", "--json")

    assert result.status == 0, result.err
    assert [account.policy(name), account.flag(name), repository.config(name)] == before
    assert len(repository.deploys) == 2
    assert result.json["url"] == "https://abc.example"
    assert result.json["probe"]["minted"]["level"] == "ok"


@pytest.mark.usefixtures("minting")
@pytest.mark.parametrize("flag", ["true", "agora"])
def test_minting_that_an_operator_turned_off_stays_off(repository: Repository, account: Account, flag: str) -> None:
    name = account.environment()
    repository.up(name, *OPEN)
    account.aws.put_flag(name, flag)

    result = repository.up(name, "--yes")

    assert (result.status, account.flag(name), len(repository.deploys)) == (4, flag, 2)
    assert f"roomkey env enable {name} turns it on" in result.err


@pytest.mark.usefixtures("minting")
def test_a_run_continues_where_another_stopped(repository: Repository, account: Account) -> None:
    name = account.environment()
    first = repository.up(name, *OPEN[:-3], "--yes")  # Without credentials.
    assert (first.status, account.flag(name), repository.deploys) == (1, "true", [])
    assert f"roomkey secret put {name} 100ms" in first.err

    (repository.path / "broken").write_text("")
    second = repository.up(name, "--credentials", "keys.json", "--yes")
    assert (second.status, account.flag(name)) == (1, "true")
    assert f"repeat roomkey up {name}" in second.err

    (repository.path / "broken").unlink()
    assert repository.up(name, "--yes").status == 0
    assert account.flag(name) == "false"


@pytest.mark.usefixtures("minting")
def test_questions_are_asked_on_a_terminal(
    repository: Repository, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = account.environment()
    monkeypatch.setattr(up._Run, "interactive", property(lambda run: not run.yes))
    answers = ["foo", "jwt", "auth", "https://bad.example", "https://good.example", "app"]
    answers += ["*", "https://app.example", "100ms, zoom", "100ms agora, 100ms", "wrong key"]
    answers += [*CREDENTIALS["100ms"].values(), *CREDENTIALS["agora"].values(), "y"]

    result = repository.up(name, stdin="\n".join(answers) + "\n")

    assert result.status == 0, result.err
    assert (repository.config(name)["JwtIssuer"], repository.config(name)["JwtAudience"]) == (
        "https://good.example",
        "app",
    )
    assert repository.config(name)["Platforms"] == "100ms,agora"
    assert {platform: account.secret(name, platform) for platform in CREDENTIALS} == {
        platform: DEMO[platform] for platform in CREDENTIALS
    }
    assert repository.deploys == [f"deploy ENV={name} ARGS=--confirm-changeset"]
    for refusal in (
        "AppTokenAccess must be jwt, iam or open, not 'foo'",
        "JwtIssuer must be an https:// URL, not 'auth'",
        "JwtIssuer: no discovery document",
        "AllowedOrigins must be origins",
        "Platforms: 'zoom' is unknown. Did you mean 'zoom-video' or 'zoom-meeting'?",
        "app_access_key ",
    ):
        assert refusal in result.err
    assert "Authorization: Bearer $ACCESS_TOKEN" in result.out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "JwtIssuer is unknown: use --issuer"),
        (["--issuer", "https://bad.example"], 1, "JwtIssuer: no discovery document"),
        (["--issuer", "https://good.example"], 2, "JwtAudience is unknown: use --audience"),
        (["--access", "open"], 2, "Platforms is unknown: use --platform"),
        (["--access", "open", "--platform", "100ms", "--origin", "*"], 2, "AllowedOrigins must be origins"),
    ],
)
def test_a_pipeline_learns_which_option_is_missing(
    repository: Repository, account: Account, words: list[str], status: int, message: str
) -> None:
    name = account.environment()

    result = repository.up(name, *words, "--yes")

    assert (result.status, account.flag(name), repository.deploys) == (status, None, [])
    assert message in result.err


def test_bad_credentials_are_not_stored(repository: Repository, account: Account) -> None:
    name = account.environment()
    (repository.path / "keys.json").write_text(json.dumps({"100ms": {"app_access_key": "a", "app_secret": "short"}}))

    result = repository.up(name, "--access", "open", "--platform", "100ms", "--credentials", "keys.json", "--yes")

    assert (result.status, account.secret(name, "100ms")) == (1, None)
    assert "app_secret: is shorter" in result.err


def test_the_doctor_stops_a_deploy(repository: Repository, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "SAM", Path(sys.executable))
    monkeypatch.setattr(workplace, "_output", lambda _: "SAM CLI, version 1.100.0")

    result = repository.up(account.environment(), *OPEN)

    assert (result.status, repository.deploys) == (1, [])
    assert "1 failed: fix that" in result.err


def test_a_probe_that_fails_is_an_error(repository: Repository, account: Account) -> None:
    result = repository.up(account.environment(), *OPEN)

    assert result.status == 1
    assert "fail  minted   no token: 403 Forbidden" in result.out


def test_outside_the_repository_it_does_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert roomkey("up", "dev", "--yes").status == 2


# --- starter policies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", Access)
def test_a_starter_policy_is_valid_and_grants_to_its_callers(access: Access) -> None:
    document = starter.policy(
        access, list(PLATFORMS), account="111122223333", operator="arn:aws:iam::111122223333:role/ops"
    )

    read = lint.parse(json.dumps(document).encode())

    assert (read.problems, read.warnings) == ((), ())
    assert read.policy
    assert lint.grants_app_tokens(read.policy, access)


# --- config/ENV.yaml -------------------------------------------------------------------------------------------------


def test_a_written_config_is_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Environment.from_name("dev")
    values = {"Environment": "dev", "Tracing": "on", "JwtAudience": "123", "AllowedOrigins": "", "LogLevel": "DEBUG"}

    config_file.write(environment, values)

    assert config_file.read(environment) == values


def test_a_changed_config_keeps_comments_and_other_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Environment.from_name("dev")
    file = tmp_path / "config" / "dev.yaml"
    file.parent.mkdir()
    file.write_text("# Ours.\nEnvironment: dev\nPlatforms: 100ms,\n  agora\n\n# A month.\nLogRetentionDays: 30")

    config_file.write(environment, {**(config_file.read(environment) or {}), "Platforms": "agora", "Tracing": "on"})

    assert file.read_text() == (
        "# Ours.\nEnvironment: dev\nPlatforms: agora\n\n# A month.\nLogRetentionDays: 30\nTracing: 'on'\n"
    )


# --- iam -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", iam_documents.ROLES)
def test_iam_fills_in_the_document(account: Account, role: str) -> None:
    name = account.environment("eu-dev")
    account.stack(name, ApiId="abc123")

    result = roomkey("iam", role, name)

    assert result.status == 0, result.err
    document = json.loads(result.out)
    assert document["Version"] == "2012-10-17"
    assert not any(word in result.out for word in ("REGION", "ACCOUNT", "API/", "/KEY", "roomkey-prod", "roomkey/prod"))
    if "caller" in role:
        assert ":abc123/*/POST/" in result.out
    else:
        assert name in result.out


def test_iam_keeps_the_statement_about_a_key_if_there_is_one() -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:key/k"

    with_key = iam_documents.filled("secrets", "dev", account="1", region="eu-west-1", key_arn=arn)
    without = iam_documents.filled("secrets", "dev", account="1", region="eu-west-1")

    assert arn in json.dumps(with_key)
    assert "kms" not in json.dumps(without)
