"""`roomkey env` against moto: what it writes, prints and leaves unchanged."""

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from roomkey.kill_switch import KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.policy import parse_policy
from roomkey.token_requests import KINDS
from roomkey_cli.aws import endpoint, parameters
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.commands.env import disable
from roomkey_cli.commands.env.stop import TAG
from support.aws.moto_proxy import SSM, Failure
from support.commands import DEMO, Account, Interleaved, roomkey

FLAG = "/roomkey/{}/disabled"

# --- list and init ---------------------------------------------------------------------------------------------------


def test_list_shows_each_environment_with_its_state(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on, off = account.create(), account.create(flag="100ms")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "soon.yaml").write_text("Environment: soon")
    monkeypatch.chdir(tmp_path)

    listed = {row["environment"]: row for row in roomkey("env", "list", "--json").json["environments"]}
    shown = roomkey("env", "list").out

    assert (listed[on]["minting"]["state"], listed[off]["minting"]) == ("on", {"state": "partly-off", "off": ["100ms"]})
    assert listed["soon"] == {"environment": "soon", "minting": None, "config": True}
    assert re.search(rf"^{off} +minting is OFF for 100ms *$", shown, re.MULTILINE)
    assert "soon" in shown


def test_list_reads_every_page(account: Account) -> None:
    names = {account.create() for _ in range(20)}  # 60 parameters; SSM returns at most 50 on a page.

    assert names <= {row["environment"] for row in roomkey("env", "list", "--json").json["environments"]}


def test_a_new_environment_is_off_and_denies_everything(account: Account) -> None:
    name = account.environment()

    result = roomkey("env", "init", name)

    assert result.status == 0, result.err
    assert account.flag(name) == "true"
    assert parse_policy(account.policy(name) or "").rules == ()
    assert account.block_list(name) == {}
    assert f"roomkey secret put {name} PLATFORM" in result.out


@pytest.mark.parametrize("existing", [{"disabled"}, {"policy"}, {"blocked"}, {"disabled", "policy", "blocked"}])
def test_init_creates_only_what_is_missing(account: Account, existing: set[str]) -> None:
    name = account.environment()
    for part in existing:
        account.put(f"/roomkey/{name}/{part}", "oops")

    document = roomkey("env", "init", name, "--json").json

    assert {
        part for part in ("disabled", "policy", "blocked") if account.parameter(f"/roomkey/{name}/{part}") == "oops"
    } == existing
    assert (document["changed"], len(document["changes"])) == (len(existing) < 3, 3 - len(existing))


def test_create_does_not_overwrite(account: Account) -> None:
    """Another operator may have created the parameter in the meantime."""
    name = account.environment()
    account.aws.put_flag(name, "false")

    parameters.create(Aws(), FLAG.format(name), "true")

    assert account.flag(name) == "false"


# --- disable and enable ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        ("false", "disable", "true"),
        ("100ms", "disable", "true"),
        ("false", "disable 100ms", "100ms"),
        ("app", "disable agora/management 100ms", "app,100ms,agora/management"),
        ("true", "enable", "false"),
        ("100ms,agora/app", "enable", "false"),
        ("100ms,agora/app", "enable 100ms", "agora/app"),
        ("100ms", "disable all", "true"),
        ("false", "disable app agora", "app,agora"),
        ("agora", "enable everything", "false"),
        ("what is this", "disable", "true"),
        ("what is this", "enable", "false"),
    ],
)
def test_the_kill_switch_is_written(account: Account, before: str, command: str, after: str) -> None:
    name = account.create(flag=before)
    verb, *scopes = command.split()

    document = roomkey("env", verb, name, *scopes, "--json").json

    assert account.flag(name) == after
    assert document["changed"] is True
    assert document["minting"]["state"] == KillSwitch.parse(after).minting(PLATFORMS)
    assert document["effective_within_seconds"] == 36


def test_from_everything_off_only_the_named_scope_comes_on(account: Account) -> None:
    name = account.create(flag="true")

    assert roomkey("env", "enable", name, "100ms", "agora").status == 0

    assert _off(account.flag(name) or "") == _off("true") - _off("100ms,agora")


NOW = "2026-11-28T15:53:09Z"


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disable, "iso_in", lambda seconds: f"{NOW}+{seconds}")


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("before", "command", "headline"),
    [
        ("false", "disable", "Minting is now OFF for everything in NAME (was: ON)."),
        ("false", "disable 100ms agora/app", "Minting is now OFF for 100ms, agora/app in NAME (was: ON)."),
        ("100ms", "enable", "Minting is now ON in NAME (was: OFF for 100ms)."),
        ("ture", "enable", "Minting is now ON in NAME (was: INVALID)."),
        ("agora", "enable agora", "Minting is now ON in NAME (was: OFF for agora)."),
        (
            "app,agora",
            "enable agora",
            "Minting is now ON for agora in NAME; still OFF for app (was: OFF for app, agora).",
        ),
    ],
)
def test_the_change_is_reported_in_words_with_its_time(
    account: Account, before: str, command: str, headline: str
) -> None:
    name = account.create(flag=before)
    verb, *scopes = command.split()

    lines = roomkey("env", verb, name, *scopes).lines

    assert lines[0] == f"{headline.replace('NAME', name)} In effect everywhere within 36 s, by {NOW}+36."


@pytest.mark.parametrize(
    ("before", "scopes", "way"),
    [
        ("false", [], "enable NAME"),
        ("app,100ms", [], None),
        ("100ms/app", ["100ms"], "enable NAME 100ms, then roomkey env disable NAME 100ms/app"),
        ("app", ["100ms"], "enable NAME 100ms"),
    ],
)
def test_the_commands_that_undo_it_are_printed_and_work(
    account: Account, before: str, scopes: list[str], way: str | None
) -> None:
    name = account.create(flag=before)

    [undo] = [line for line in roomkey("env", "disable", name, *scopes).lines if line.startswith("To undo: ")]

    commands = undo.removeprefix("To undo: ").rstrip(".")
    assert way is None or commands == f"roomkey env {way.replace('NAME', name)}"
    for command in commands.split(", then "):
        assert roomkey(*command.split()[1:]).status == 0
    assert _off(account.flag(name) or "") == _off(before)


def _off(text: str) -> set[tuple[str, str]]:
    switch = KillSwitch.parse(text)
    return {(name, kind) for name in PLATFORMS for kind in KINDS if switch.is_off(name, kind)}


def test_without_an_undo_none_is_printed(account: Account) -> None:
    assert "To undo" not in roomkey("env", "disable", account.create(flag=",".join(KINDS))).out


@pytest.mark.parametrize(
    ("flag", "command"),
    [
        ("true", "disable"),
        ("true", "disable 100ms"),
        ("false", "enable"),
        ("false", "enable app"),
        ("app", "disable app"),
    ],
)
def test_nothing_to_change_writes_nothing(account: Account, flag: str, command: str) -> None:
    name = account.create(flag=flag)
    account.fail("SSM")
    verb, *scopes = command.split()

    result = roomkey("env", verb, name, *scopes)

    assert (result.status, result.lines[0].startswith("Minting is already ")) == (0, True)
    assert account.aws.operations == [f"{SSM}.GetParameters"]


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_a_misspelled_environment_is_an_error(account: Account, verb: str) -> None:
    name = account.environment()

    result = roomkey("env", verb, name)

    assert (result.status, account.flag(name)) == (1, None)
    assert f"environment {name} is unknown in eu-central-1" in result.err


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_scopes_need_a_valid_kill_switch(account: Account, verb: str) -> None:
    name = account.create(flag="ture")

    result = roomkey("env", verb, name, "100ms")

    assert (result.status, account.flag(name)) == (1, "ture")
    assert "does not contain a valid kill switch" in result.err


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_a_kind_after_a_platform_is_refused(account: Account, verb: str) -> None:
    name = account.create(flag="daily")

    result = roomkey("env", verb, name, "100ms", "agora", "app")

    assert (result.status, account.flag(name)) == (2, "daily")
    assert "did you mean agora/app?" in result.err


def test_a_scope_that_a_wider_one_keeps_off_is_an_error(account: Account) -> None:
    name = account.create(flag="100ms")

    result = roomkey("env", "enable", name, "100ms/app")

    assert (result.status, account.flag(name)) == (1, "100ms")
    assert "100ms/app is off because 100ms is off" in result.err


# --- two operators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["enable NAME agora", "enable NAME", "disable NAME 100ms"])
@pytest.mark.parametrize("moment", ["at the prompt", "between check and write"])
def test_a_whole_off_by_another_operator_stays(
    account: Account, interleaved: Interleaved, command: str, moment: str
) -> None:
    name = account.create("prod", flag="agora")
    # The command reads the parameter first, and again after the prompt; then it writes.
    operation, at = ("get_parameters", 2) if moment == "at the prompt" else ("put_parameter", 1)
    interleaved.when(operation, lambda: account.aws.put_flag(name, "true"), at=at)

    result = roomkey("env", *command.replace("NAME", name).split(), stdin=f"{name}\n")

    assert (result.status, account.flag(name)) == (1, "true")
    assert "was changed by another operator" in result.err


def test_a_whole_off_does_not_wait_for_others(account: Account, interleaved: Interleaved) -> None:
    name = account.create(flag="agora")
    interleaved.when("put_parameter", lambda: account.aws.put_flag(name, "false"))

    assert roomkey("env", "disable", name).status == 0
    assert account.flag(name) == "true"


def test_values_that_keep_changing_are_reported(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    name = account.create(flag="agora")
    call = Aws.call

    def busy(aws: Aws, service: str, operation: str, /, **arguments: Any) -> Any:
        if operation == "put_parameter":
            account.aws.put_flag(name, "true")
        return call(aws, service, operation, **arguments)

    monkeypatch.setattr(Aws, "call", busy)

    result = roomkey("env", "enable", name)

    assert (result.status, account.flag(name)) == (1, "true")
    assert "check it, and repeat the change" in result.err


# --- waiting ---------------------------------------------------------------------------------------------------------


@dataclass
class Health:
    """A clock, and a health endpoint that reports `minting` on from a moment on."""

    on_from: float
    now: float = 0

    def send(self, *_: object) -> endpoint.Response:
        minting = "on" if self.now >= self.on_from else "off"
        return endpoint.Response(200, {"minting": minting, "platforms": ["100ms"]}, 5)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("on_from", "status", "waited"), [(4, 0, 36), (50, 0, 50), (999, 1, 72)])
def test_wait_returns_once_the_change_is_in_effect_everywhere(
    account: Account, monkeypatch: pytest.MonkeyPatch, on_from: float, status: int, waited: float
) -> None:
    name = account.create(flag="true")
    account.stack(name, ApiUrl="https://abc.example")
    health = Health(on_from)
    monkeypatch.setattr(endpoint, "send", health.send)
    monkeypatch.setattr(time, "monotonic", lambda: health.now)
    monkeypatch.setattr(time, "sleep", health.sleep)

    result = roomkey("env", "enable", name, "--wait")

    assert (result.status, health.now, account.flag(name)) == (status, waited, "false")


# --- dry run and confirmation ----------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_change_and_makes_none(account: Account) -> None:
    name = account.create("prod")
    account.fail("SSM")

    result = roomkey("env", "disable", name, "--dry-run")
    document = roomkey("env", "disable", name, "--dry-run", "--json").json

    assert result.lines == [f"would turn minting OFF for everything in {name} (now: ON)"]
    assert (document["dry_run"], document["changed"], len(document["changes"])) == (True, False, 1)
    assert (document["notes"], document["effective_at"]) == ([], None)
    assert set(account.aws.operations) == {f"{SSM}.GetParameters"}


@pytest.mark.parametrize(("prefix", "typed"), [("prod", ""), ("production", "yes\n"), ("eu-prod", "prod\n")])
def test_production_needs_its_name(account: Account, prefix: str, typed: str) -> None:
    name = account.create(prefix)

    result = roomkey("env", "disable", name, stdin=typed)

    assert result.status == 1
    assert f"about to turn minting OFF for everything in {name}" in result.err
    assert f"nothing was changed: {name} was not typed (--yes skips this question)" in result.err
    assert account.flag(name) == "false"


def test_production_changes_with_its_name(account: Account) -> None:
    name = account.create("prod")

    assert roomkey("env", "disable", name, stdin=f"{name}\n").status == 0
    assert account.flag(name) == "true"


def test_production_changes_with_yes(account: Account) -> None:
    name = account.create("prod")

    assert roomkey("env", "disable", name, "--yes").status == 0
    assert account.flag(name) == "true"


def test_nothing_to_do_needs_no_confirmation(account: Account) -> None:
    assert roomkey("env", "enable", account.create("prod")).status == 0


# --- status and show -------------------------------------------------------------------------------------------------


def test_status_of_an_environment(account: Account) -> None:
    name = account.create(flag="100ms,agora/app")
    account.aws.put_secret(name, DEMO["100ms"])

    result = roomkey("env", "status", name)

    assert result.status == 0, result.err
    assert f"{name} in eu-central-1" in result.out
    assert "OFF for 100ms, agora/app; version 1, 20" in result.out
    assert "0 rules, mode enforce, 41 bytes; version 1" in result.out
    assert "0 users and 0 invites blocked" in result.out
    assert [line.split()[1] for line in result.lines if line.startswith("  secret ")] == ["100ms"]
    assert " by " not in result.out  # moto records no user.
    assert json.loads(DEMO["100ms"])["app_secret"] not in result.out


def test_status_lists_the_secrets_that_a_served_platform_lacks(account: Account) -> None:
    name = account.create()
    account.function(name, Environment={"Variables": {"PLATFORMS": "100ms,agora"}})
    account.aws.put_secret(name, DEMO["100ms"])
    account.aws.put_secret(name, "{}", "invites")

    for command in ("status", "show"):
        lines = [line for line in roomkey("env", command, name).lines if line.startswith("  secret ")]
        assert [line.split()[1].removeprefix(f"roomkey/{name}/") for line in lines] == ["100ms", "agora", "invites"]
        assert lines[1].endswith(("not stored", "does not exist"))


def test_status_shows_the_day_on_which_a_secret_was_read(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets Manager returns midnight of that day; moto returns no time."""
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])
    assert roomkey("env", "status", name).lines[-1].endswith("last read never or unknown")
    call = Aws.call

    def with_time(aws: Aws, service: str, operation: str, **parameters: object) -> dict[str, object]:
        read = {"LastAccessedDate": datetime(2026, 11, 29, tzinfo=UTC)} if operation == "describe_secret" else {}
        return {**call(aws, service, operation, **parameters), **read}

    monkeypatch.setattr(Aws, "call", with_time)

    assert roomkey("env", "status", name).lines[-1].endswith("last read on 2026-11-29")


def test_status_as_json(account: Account) -> None:
    name = account.create(flag="100ms,agora/app")
    account.aws.put_secret(name, DEMO["100ms"])

    document = roomkey("env", "status", name, "--json").json

    assert list(document) == [
        "environment",
        "region",
        "minting",
        "kill_switch",
        "policy",
        "block_list",
        "function",
        "secrets",
    ]
    assert document["minting"] == "partly-off"
    flag = document["kill_switch"]
    assert (flag["value"], flag["valid"], flag["off"], flag["version"]) == (
        "100ms,agora/app",
        True,
        ["100ms", "agora/app"],
        1,
    )
    assert flag["changed"].endswith("Z")
    assert (document["policy"]["mode"], document["policy"]["rules"], document["policy"]["problems"]) == (
        "enforce",
        0,
        [],
    )
    assert [(one["platform"], one["stored"]) for one in document["secrets"]] == [("100ms", True)]
    assert json.loads(DEMO["100ms"])["app_secret"] not in json.dumps(document)


@pytest.mark.parametrize(
    ("flag", "policy", "says"),
    [
        (None, None, "MISSING: /roomkey/{}/disabled does not exist"),
        ("false", None, "MISSING: /roomkey/{}/policy does not exist"),
        ("False", "{}", "INVALID kill switch: nothing is minted"),
        (
            "false",
            '{"version": 2, "mode": "enforce", "rules": []}',
            "INVALID policy: nothing is minted (version must be 1)",
        ),
    ],
)
def test_status_fails_if_nothing_can_be_minted(
    account: Account, flag: str | None, policy: str | None, says: str
) -> None:
    name = account.environment()
    if flag is not None:
        account.aws.put_flag(name, flag)
    if policy is not None:
        account.aws.put_policy(name, policy)

    result = roomkey("env", "status", name)

    assert result.status == 1
    assert says.format(name) in result.out


def test_a_kill_switch_of_the_wrong_type_is_invalid(account: Account) -> None:
    name = account.environment()
    account.aws.ssm.put_parameter(Name=FLAG.format(name), Value="false", Type="SecureString")

    document = roomkey("env", "status", name, "--json").json

    assert (document["minting"], document["kill_switch"]["valid"]) == ("unknown", False)


def test_status_does_without_the_permission_to_know_who(account: Account) -> None:
    name = account.create()
    account.fail("SSM")
    account.aws.fail(f"{SSM}.DescribeParameters", Failure.error(400, "AccessDeniedException", "no"))

    result = roomkey("env", "status", name)

    assert result.status == 0, result.err
    assert " by " not in result.out


def test_status_shows_the_running_version(account: Account) -> None:
    name = account.create()
    assert "function not deployed" in roomkey("env", "status", name).out

    account.function(name)
    assert "function version 1; reserved concurrency none" in roomkey("env", "status", name).out

    roomkey("env", "stop", name)
    assert "function STOPPED (undo with roomkey env start); version 1" in roomkey("env", "status", name).out
    function = roomkey("env", "status", name, "--json").json["function"]
    assert (function["version"], function["reserved_concurrency"]) == ("1", 0)


def test_status_does_without_the_permission_to_see_the_function(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Aws.call

    def denied(aws: Aws, service: str, operation: str, **parameters: object) -> dict[str, object]:
        if service == "lambda":
            raise AwsError("access denied", "AccessDeniedException")
        return call(aws, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", denied)

    result = roomkey("env", "status", account.create())

    assert (result.status, "function not deployed" in result.out) == (0, True)
    assert "access denied" in result.err


def test_show_names_everything(account: Account) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO["agora"], "agora")
    arn = account.function(name)
    account.stack(name, ApiUrl="https://abc.example")

    document = roomkey("env", "show", name, "--json").json
    shown = roomkey("env", "show", name).out

    assert document["kill_switch"]["arn"].endswith(f":parameter/roomkey/{name}/disabled")
    assert document["secrets"]["agora"]["arn"].startswith("arn:aws:secretsmanager:eu-central-1:123456789012:secret:")
    assert list(document["secrets"]) == ["agora"]
    assert document["function"]["arn"] in (arn, arn.removesuffix(":1"))
    assert (document["function"]["version"], document["function"]["reserved_concurrency"]) == ("1", None)
    assert document["stack"] == {
        "name": f"roomkey-{name}",
        "status": "CREATE_COMPLETE",
        "outputs": {"ApiUrl": "https://abc.example"},
    }
    for text in (
        FLAG.format(name),
        "ApiUrl = https://abc.example",
        f"/aws/lambda/roomkey-{name}",
        document["kill_switch"]["arn"],
    ):
        assert text in shown


# --- stop and start --------------------------------------------------------------------------------------------------


def reserved(account: Account, name: str) -> int | None:
    found = account.client("lambda").get_function_concurrency(FunctionName=f"roomkey-{name}")
    value = found.get("ReservedConcurrentExecutions")
    return None if value is None else int(value)


@pytest.mark.parametrize("before", [None, 7])
def test_start_restores_the_state_before_stop(account: Account, before: int | None) -> None:
    name = account.environment()
    arn = account.function(name)
    functions = account.client("lambda")
    if before is not None:
        functions.put_function_concurrency(FunctionName=f"roomkey-{name}", ReservedConcurrentExecutions=before)

    stopped = roomkey("env", "stop", name, "--json").json
    assert (stopped["changed"], reserved(account, name)) == (True, 0)
    again = roomkey("env", "stop", name, "--json").json
    assert (again["changed"], reserved(account, name)) == (False, 0)
    started = roomkey("env", "start", name, "--json").json
    assert (started["changed"], reserved(account, name)) == (True, before)
    assert started["reserved_concurrency"] == ("none" if before is None else str(before))
    assert TAG not in functions.list_tags(Resource=arn.removesuffix(":1"))["Tags"]
    assert roomkey("env", "start", name, "--json").json["changed"] is False


def test_stop_and_start_need_no_ssm(account: Account) -> None:
    name = account.environment()
    account.function(name)
    account.monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")

    assert roomkey("env", "stop", name).status == 0
    assert roomkey("env", "start", name).status == 0


def test_a_function_that_another_tool_stopped_needs_a_number_to_start(account: Account) -> None:
    name = account.environment()
    account.function(name)
    account.client("lambda").put_function_concurrency(FunctionName=f"roomkey-{name}", ReservedConcurrentExecutions=0)

    refused = roomkey("env", "start", name)
    assert (refused.status, reserved(account, name)) == (1, 0)
    assert "--reserved none, or a number" in refused.err
    assert roomkey("env", "start", name, "--reserved", "5").status == 0
    assert reserved(account, name) == 5


def test_a_stop_that_cannot_be_written_down_stops_all_the_same(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = account.environment()
    account.function(name)
    call = Aws.call

    def without_tags(aws: Aws, service: str, operation: str, **parameters: object) -> dict[str, object]:
        if operation == "tag_resource":
            raise AwsError("access denied", "AccessDeniedException")
        return call(aws, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", without_tags)

    result = roomkey("env", "stop", name)

    assert (result.status, reserved(account, name)) == (0, 0)
    assert f"roomkey env start {name} --reserved none" in result.err


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_a_missing_function_is_reported(account: Account, verb: str) -> None:
    name = account.environment()
    result = roomkey("env", verb, name)

    assert result.status == 1
    assert f"function roomkey-{name} is missing" in result.err


# --- destroy ---------------------------------------------------------------------------------------------------------


def test_destroy_deletes_what_a_stack_leaves_and_nothing_of_other_environments(account: Account) -> None:
    name = account.create()
    other = f"{name}-x"
    for one in (name, other):
        account.aws.put_secret(one, DEMO["100ms"])
        account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{one}")
    account.aws.put_flag(other, "false")

    would = roomkey("env", "destroy", name, "--dry-run", "--json").json
    assert account.flag(name) == "false"
    result = roomkey("env", "destroy", name, stdin=f"{name}\n")

    assert result.status == 0, result.err
    assert would["changes"] == [
        f"delete the parameter /roomkey/{name}/disabled",
        f"delete the parameter /roomkey/{name}/policy",
        f"delete the parameter /roomkey/{name}/blocked",
        f"delete the secret roomkey/{name}/100ms, finally in 30 days",
        f"delete the log group /aws/lambda/roomkey-{name} and its content",
    ]
    assert [line.removeprefix("done: ") for line in result.lines if line.startswith("done: ")] == would["changes"]
    assert (account.flag(name), account.policy(name), account.secret(name, "100ms")) == (None, None, None)
    assert (account.flag(other), account.secret(other, "100ms")) == ("false", DEMO["100ms"])
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/roomkey-{name}")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [f"/aws/lambda/roomkey-{other}"]
    assert roomkey("env", "destroy", name).lines == [f"nothing is left of {name} in eu-central-1"]


def test_the_audit_trail_may_stay(account: Account) -> None:
    name = account.create()
    account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{name}")

    document = roomkey("env", "destroy", name, "--keep-logs", "--dry-run", "--json").json

    assert not any("log group" in change for change in document["changes"])


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n"])
def test_destroy_requires_the_name_of_the_environment(account: Account, typed: str) -> None:
    name = account.create("dev")

    assert roomkey("env", "destroy", name, stdin=typed).status == 1
    assert roomkey("env", "destroy", name, "--yes", stdin=typed).status == 2
    assert account.flag(name) == "false"


def test_an_environment_with_a_stack_is_not_destroyed(account: Account) -> None:
    name = account.create()
    account.stack(name)

    result = roomkey("env", "destroy", name, stdin=f"{name}\n")

    assert result.status == 1
    assert f".tools/sam/bin/sam delete --stack-name roomkey-{name} --region eu-central-1" in result.err
    assert account.flag(name) == "false"


def test_a_secret_that_was_destroyed_can_be_stored_again(account: Account) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])
    assert roomkey("env", "destroy", name, stdin=f"{name}\n").status == 0
    assert "DELETED, finally on" in roomkey("env", "status", name).out

    assert roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"]).status == 0
    assert account.secret(name, "100ms") == DEMO["100ms"]
