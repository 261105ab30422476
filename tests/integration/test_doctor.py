"""`roomkey doctor`: each thing that can be wrong is found, and comes with its cure."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from roomkey import __version__
from roomkey_cli.aws import stacks
from roomkey_cli.commands import doctor
from support.aws.moto_proxy import GET_SECRET, SSM, Failure
from support.commands import DEMO, Account, roomkey

OPEN = '{"version":1,"mode":"enforce","rules":[{"who":["anyone"],"kinds":["app"],"platforms":["100ms"],"roles":["*"],"rooms":["*"]}]}'  # fmt: skip # noqa: E501


def examine(name: str, *options: str) -> dict[str, list[tuple[str, str, str]]]:
    """What is found: by what was looked at, each finding's level, words and cure."""
    result = roomkey("doctor", name, "--json", *options)
    told = result.told
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in told["findings"]:
        found.setdefault(one["check"], []).append((one["level"], one["says"], one["cure"]))
    levels = [one["level"] for one in told["findings"]]
    assert told["good"] == ("fail" not in levels) == (result.status == 0)
    assert all(one["cure"] for one in told["findings"] if one["level"] != "ok")
    return found


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SAM CLI, whatever is installed here; the real one takes a second to say its version."""
    monkeypatch.setattr(doctor, "_SAM", Path(sys.executable))
    monkeypatch.setattr(doctor, "_output", lambda command: f"SAM CLI ({command[1]})")


@pytest.fixture
def healthy(account: Account) -> str:
    """An environment with everything that it needs, but for a stack."""
    name = account.born()
    account.aws.put_policy(name, OPEN)
    for platform, text in DEMO.items():
        account.aws.put_secret(name, text, platform)
    return name


@pytest.fixture
def health() -> Iterator[Callable[[Mapping[str, Any]], str]]:
    """Makes an endpoint whose health answers something, and answers its address."""
    servers = []

    def serving(body: Mapping[str, Any], status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serving
    for server in servers:
        server.shutdown()
        server.server_close()


def says(minting: str, *platforms: str, version: str = __version__) -> dict[str, Any]:
    return {"minting": minting, "platforms": list(platforms or DEMO), "version": version}


# --- all is well -----------------------------------------------------------------------------------------------------


def test_a_healthy_environment(account: Account, healthy: str, health: Callable[..., str]) -> None:
    account.stack(healthy, ApiUrl=health(says("on")))
    account.function(healthy)

    found = examine(healthy)

    assert {level for findings in found.values() for level, _, _ in findings} == {"ok"}
    assert list(found) == [
        *("roomkey", "sam", "credentials", "clock", "flag", "policy", "secrets", "stack", "function", "health"),
    ]


def test_before_the_first_deploy_there_is_something_to_do_and_nothing_wrong(account: Account) -> None:
    name = account.environment()
    roomkey("env", "init", name)

    result = roomkey("doctor", name)

    assert result.status == 0, result.out
    assert "true (off: everything)" in result.out
    assert f"-> roomkey secret put {name} PLATFORM" in result.out
    assert f"-> make deploy ENV={name}" in result.out
    assert "warn  policy       rules is empty: everybody is refused" in result.out


def test_no_secret_is_shown(healthy: str) -> None:
    out = roomkey("doctor", healthy).out + roomkey("doctor", healthy, "--json").out

    assert not any(value in out for text in DEMO.values() for value in json.loads(text).values())


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "type_", "words", "cure"),
    [
        (None, "", "does not exist", "roomkey env init"),
        ("off", "String", "holds no disable flag", "roomkey env disable"),
        ("false", "SecureString", "is a SecureString", "type String"),
    ],
)
def test_a_flag_that_cannot_be_used(account: Account, flag: str | None, type_: str, words: str, cure: str) -> None:
    name = account.environment()
    if flag:
        account.aws.ssm.put_parameter(Name=f"/roomkey/{name}/disabled", Value=flag, Type=type_)

    [(level, said, told)] = examine(name)["flag"]

    assert level == "fail"
    assert words in said
    assert cure in told


@pytest.mark.parametrize(
    ("policy", "type_", "words"),
    [
        (None, "", "does not exist"),
        ("{}", "String", "version is missing"),
        (OPEN, "SecureString", "is a SecureString"),
    ],
)
def test_a_policy_that_cannot_be_used(account: Account, policy: str | None, type_: str, words: str) -> None:
    name = account.environment()
    if policy:
        account.aws.ssm.put_parameter(Name=f"/roomkey/{name}/policy", Value=policy, Type=type_)

    findings = examine(name)["policy"]

    assert {level for level, _, _ in findings} == {"fail"}
    assert any(words in said for _, said, _ in findings)


def test_a_policy_with_doubts(account: Account) -> None:
    name = account.born()
    account.aws.put_policy(name, OPEN.replace("enforce", "audit"))

    levels = [(level, said[:20]) for level, said, _ in examine(name)["policy"]]

    assert levels == [("ok", "1 rule, mode audit"), ("warn", "mode refuses nobody:")]


def test_a_bad_secret(account: Account) -> None:
    name = account.born()
    account.aws.put_secret(name, '{"app_access_key": "a", "app_secret": "correct-horse"}')

    [(level, said, cure)] = examine(name)["secrets"]

    assert (level, cure) == ("fail", f"roomkey secret put {name} 100ms")
    assert "app_secret: is shorter than 32 bytes" in said


def test_a_platform_that_is_served_needs_its_secret(account: Account) -> None:
    name = account.born()
    account.aws.put_secret(name, DEMO["100ms"])
    account.aws.put_secret(name, DEMO["videosdk"], "videosdk")
    account.aws.secrets.delete_secret(SecretId=f"roomkey/{name}/videosdk", RecoveryWindowInDays=7)
    account.function(name, Environment={"Variables": {"ENVIRONMENT": name, "PLATFORMS": "100ms,agora,videosdk"}})

    found = {said: level for level, said, _ in examine(name)["secrets"]}

    assert found == {
        f"roomkey/{name}/100ms: a token of each kind minted and verified": "ok",
        f"roomkey/{name}/videosdk is marked for deletion": "fail",
        f"agora is served, and roomkey/{name}/agora does not exist": "fail",
    }


@pytest.mark.parametrize(("stack_key", "level"), [("", "fail"), ("arn:aws:kms:eu-central-1:1:key/k", "ok")])
def test_a_secret_under_a_key_that_the_function_may_not_use(account: Account, stack_key: str, level: str) -> None:
    name = account.born()
    key = "arn:aws:kms:eu-central-1:1:key/k"
    account.aws.secrets.create_secret(Name=f"roomkey/{name}/100ms", SecretString=DEMO["100ms"], KmsKeyId=key)
    template = {"Parameters": {"KmsKeyArn": {"Type": "String"}}, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    account.client("cloudformation").create_stack(
        StackName=f"roomkey-{name}",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "KmsKeyArn", "ParameterValue": stack_key}],
    )

    assert examine(name)["secrets"][0][0] == level


# --- what is deployed ------------------------------------------------------------------------------------------------


def test_log_groups_that_an_earlier_stack_left(account: Account) -> None:
    name = account.born()
    account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{name}")

    findings = examine(name)["stack"]

    assert [(level, said) for level, said, _ in findings] == [
        ("warn", f"roomkey-{name} is not deployed"),
        ("warn", f"the log group /aws/lambda/roomkey-{name} is left from an earlier stack"),
    ]


def test_a_stack_without_its_function(account: Account) -> None:
    name = account.born()
    account.stack(name)

    [(level, said, _)] = examine(name)["function"]

    assert (level, said) == ("fail", f"there is no function roomkey-{name}")


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("IMPORT_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_COMPLETE", "warn"),
        ("ROLLBACK_COMPLETE", "fail"),
        ("UPDATE_ROLLBACK_FAILED", "fail"),
        ("DELETE_FAILED", "fail"),
    ],
)
def test_the_state_of_the_stack(account: Account, monkeypatch: pytest.MonkeyPatch, status: str, level: str) -> None:
    found = stacks.Stack(status, {}, {})
    monkeypatch.setattr(stacks, "stack", lambda *_: found)

    assert examine(account.born())["stack"][0][0] == level


FLAWS = [
    ({"Timeout": 3}, "its timeout is 3 s"),
    ({"Environment": {"Variables": {"ENVIRONMENT": "other"}}}, "its ENVIRONMENT is 'other'"),
    ({"Environment": {"Variables": {}}}, "ENVIRONMENT must be set"),
    ({"Environment": {"Variables": {"ENVIRONMENT": "NAME", "APP_TOKEN_LIFETIME": "1"}}}, "APP_TOKEN_LIFETIME must be"),
    ({"Environment": {"Variables": {"ENVIRONMENT": "NAME", "AWS_ENDPOINT_URL": "http://x"}}}, "leads away from AWS"),
]


@pytest.mark.parametrize(("settings", "words"), FLAWS)
def test_a_function_that_is_not_as_deployed(account: Account, settings: Any, words: str) -> None:
    name = account.born()
    account.function(name, **json.loads(json.dumps(settings).replace("NAME", name)))

    findings = examine(name)["function"]

    assert {level for level, _, _ in findings} == {"fail"}
    assert any(words in said for _, said, _ in findings)


def test_a_stopped_function(account: Account) -> None:
    name = account.born()
    account.function(name)
    roomkey("env", "stop", name)

    [(level, said, cure)] = examine(name)["function"]

    assert (level, cure) == ("fail", f"roomkey env start {name}")
    assert "it is stopped" in said


def test_a_function_without_its_alias(account: Account) -> None:
    name = account.born()
    account.function(name)
    account.client("lambda").delete_alias(FunctionName=f"roomkey-{name}", Name="live")

    assert any("no alias live" in said for _, said, _ in examine(name)["function"])


@pytest.mark.parametrize(
    ("flag", "body", "finding"),
    [
        ("false", says("on"), ("ok", "minting on")),
        ("true", says("off"), ("ok", "minting off")),
        ("100ms", says("partly-off"), ("ok", "minting partly-off")),
        ("100ms", says("off", "100ms"), ("ok", "minting off")),
        ("agora", says("on", "100ms"), ("ok", "minting on")),
        ("true", says("on"), ("warn", "minting on, while the flag says off")),
        ("false", says("unknown"), ("fail", "cannot read the flag")),
        ("false", says("on", version="9.9.9"), ("warn", "it runs version 9.9.9")),
        ("false", {"hello": "world"}, ("fail", "/v1/health answers 200")),
    ],
)
def test_health_is_held_against_the_flag(
    account: Account, health: Callable[..., str], flag: str, body: dict[str, Any], finding: tuple[str, str]
) -> None:
    name = account.born(flag=flag)

    first = examine(name, "--url", health(body))["health"][0]

    assert first[0] == finding[0]
    assert finding[1] in first[1]


def test_health_that_does_not_answer(account: Account, health: Callable[..., str]) -> None:
    name = account.born()

    assert examine(name, "--url", "http://127.0.0.1:1")["health"][0][0] == "fail"
    assert examine(name, "--url", health({"message": "Service Unavailable"}, 503))["health"][0][0] == "fail"


# --- this machine, and who asks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0, "ok", "0 s"), (29, "ok", "29 s ahead"), (-31, "warn", "31 s behind"), (301, "fail", "301 s ahead of AWS's")],
)
def test_a_clock_that_is_wrong(ahead: int, level: str, words: str) -> None:
    now = time.time() // 1

    [finding] = doctor._clock({"date": formatdate(now, usegmt=True)}, now + ahead)

    assert finding.level == level
    assert words in finding.says


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_an_answer_without_a_time_says_nothing_of_the_clock(headers: dict[str, str]) -> None:
    assert list(doctor._clock(headers, time.time())) == []


def test_without_credentials_nothing_else_is_looked_at(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    found = examine("dev")

    assert list(found) == ["roomkey", "sam", "credentials"]
    assert found["credentials"][0][:2] == (
        "fail",
        "no AWS credentials were found: sign in, name a --profile, or set AWS_PROFILE",
    )


def test_one_permission_that_is_missing_hides_nothing_else(account: Account, healthy: str) -> None:
    account.fail("SSM")
    account.fail("SECRETS_MANAGER")
    account.aws.fail(
        SSM, Failure.error(400, "AccessDeniedException", "X is not authorized to perform: ssm:GetParameters")
    )

    found = examine(healthy)

    assert (
        found["flag"][0][1] == found["policy"][0][1] == ("AWS denies it: your credentials may not do ssm:GetParameters")
    )
    assert {level for level, _, _ in found["secrets"]} == {"ok"}


def test_an_operator_who_may_not_read_secrets_is_not_told_that_they_are_bad(account: Account, healthy: str) -> None:
    account.fail("SECRETS_MANAGER")
    account.aws.fail(GET_SECRET, Failure.error(400, "AccessDeniedException", "no"))

    findings = examine(healthy)["secrets"]

    assert [(level, said) for level, said, _ in findings] == [
        ("warn", f"roomkey/{healthy}/{platform} is stored, and not yours to read") for platform in DEMO
    ]


def test_a_machine_without_tools(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor, "_SAM", Path("/nowhere"))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))

    found = examine(account.born())

    assert (found["python"][0][0], found["sam"][0][0]) == ("warn", "warn")
