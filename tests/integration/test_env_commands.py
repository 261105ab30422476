"""`roomkey env` against AWS's own interfaces: what it writes, what it says, and what it leaves alone."""

import json

import pytest

from roomkey.kill_switch import KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.policy import parse_policy
from roomkey_cli.aws import parameters
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.commands.env.stop import TAG
from support.aws.moto_proxy import SSM, Failure
from support.commands import DEMO, Account, roomkey

FLAG = "/roomkey/{}/disabled"

# --- init ------------------------------------------------------------------------------------------------------------


def test_an_environment_is_born_switched_off_and_refusing_everybody(account: Account) -> None:
    name = account.environment()

    result = roomkey("env", "init", name)

    assert result.status == 0, result.err
    assert account.flag(name) == "true"
    assert parse_policy(account.policy(name) or "").rules == ()
    assert f"roomkey secret put {name} PLATFORM" in result.out
    kinds = account.aws.ssm.get_parameters(Names=[f"/roomkey/{name}/disabled", f"/roomkey/{name}/policy"])
    assert [one["Type"] for one in kinds["Parameters"]] == ["String", "String"]


@pytest.mark.parametrize("there", ["flag", "policy", "both"])
def test_what_is_there_stays_as_it_is(account: Account, there: str) -> None:
    name = account.environment()
    if there in ("flag", "both"):
        account.aws.put_flag(name, "100ms")
    if there in ("policy", "both"):
        account.aws.put_policy(name, "oops")

    told = roomkey("env", "init", name, "--json").told

    assert account.flag(name) == ("true" if there == "policy" else "100ms")
    assert (account.policy(name) == "oops") == (there != "flag")
    assert told["changed"] is (there != "both")
    assert len(told["changes"]) == {"flag": 1, "policy": 1, "both": 0}[there]


def test_one_who_comes_second_does_not_overwrite(account: Account) -> None:
    """Somebody else may have switched on between the look and the write."""
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
        ("true", "enable 100ms agora", "videosdk,agora-whiteboard"),
        ("what is this", "disable", "true"),
        ("what is this", "enable", "false"),
    ],
)
def test_the_switch_is_turned(account: Account, before: str, command: str, after: str) -> None:
    name = account.born(flag=before)
    verb, *scopes = command.split()

    told = roomkey("env", verb, name, *scopes, "--json").told

    assert account.flag(name) == after
    assert KillSwitch.parse(after)
    assert (told["before"], told["flag"], told["changed"], told["seconds"]) == (before, after, True, 36)


def test_turning_says_what_is_off_and_how_long_it_takes(account: Account) -> None:
    name = account.born()

    assert roomkey("env", "disable", name, "100ms", "agora/app").lines == [
        f"done: write /roomkey/{name}/disabled: 100ms,agora/app (it is false)",
        "Off is now: 100ms, agora/app. It counts everywhere within 36 s.",
        f"Off was before: nothing. The way back: roomkey env enable {name} 100ms agora/app.",
    ]


@pytest.mark.parametrize(
    ("before", "scopes", "way"),
    [
        ("false", [], "enable NAME"),
        ("agora,100ms/app", [], "enable NAME videosdk agora-whiteboard 100ms/management"),
        ("app,100ms", [], "enable NAME videosdk/management agora/management agora-whiteboard/management"),
        ("100ms/app", ["100ms"], "enable NAME 100ms, then roomkey env disable NAME 100ms/app"),
        ("app", ["100ms"], "enable NAME 100ms"),
    ],
)
def test_the_way_back_is_said_and_leads_there(account: Account, before: str, scopes: list[str], way: str) -> None:
    name = account.born(flag=before)

    said = roomkey("env", "disable", name, *scopes).lines[-1].split(" The way back: ")[1].rstrip(".")

    assert said == f"roomkey env {way.replace('NAME', name)}"
    for command in said.split(", then "):
        assert roomkey(*command.split()[1:]).status == 0
    assert _off(account.flag(name) or "") == _off(before)


def _off(text: str) -> set[tuple[str, TokenKind]]:
    flag = KillSwitch.parse(text)
    return {(platform, kind) for platform in PLATFORMS for kind in TokenKind if flag.is_off(platform, kind)}


def test_where_all_was_off_there_is_no_way_back(account: Account) -> None:
    name = account.born(flag="app,management")

    assert roomkey("env", "disable", name).lines[-1].endswith("The way back: there is none to go.")


def test_a_dry_run_promises_nothing(account: Account) -> None:
    name = account.born()

    assert roomkey("env", "disable", name, "--dry-run").lines == [
        f"would write /roomkey/{name}/disabled: true (it is false)"
    ]
    assert roomkey("env", "disable", name, "--dry-run", "--json").told["notes"] == []


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
def test_what_is_so_already_is_not_written_again(account: Account, flag: str, command: str) -> None:
    name = account.born(flag=flag)
    account.fail("SSM")
    verb, *scopes = command.split()

    result = roomkey("env", verb, name, *scopes)

    assert (result.status, result.lines) == (0, [f"/roomkey/{name}/disabled is {flag} already; nothing was changed"])
    assert account.aws.operations == [f"{SSM}.GetParameters"]


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_a_misspelt_name_is_no_switch_that_was_turned(account: Account, verb: str) -> None:
    name = account.environment()

    result = roomkey("env", verb, name)

    assert result.status == 1
    assert f"there is no environment {name} in eu-central-1" in result.err
    assert account.flag(name) is None


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_scopes_of_what_is_no_flag_are_not_guessed(account: Account, verb: str) -> None:
    name = account.born(flag="ture")

    result = roomkey("env", verb, name, "100ms")

    assert result.status == 1
    assert "holds no disable flag" in result.err
    assert account.flag(name) == "ture"


def test_a_scope_that_another_keeps_off_is_refused(account: Account) -> None:
    name = account.born(flag="100ms")

    result = roomkey("env", "enable", name, "100ms/app")

    assert (result.status, result.err) == (
        1,
        "roomkey: 100ms/app is off with 100ms, which is a switch of its own\n",
    )
    assert account.flag(name) == "100ms"


# --- dry run and confirmation ----------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_does_nothing(account: Account) -> None:
    name = account.born("prod")
    account.fail("SSM")

    result = roomkey("env", "disable", name, "--dry-run")
    told = roomkey("env", "disable", name, "--dry-run", "--json").told

    assert result.lines[0] == f"would write /roomkey/{name}/disabled: true (it is false)"
    assert (told["dry_run"], told["changed"], len(told["changes"])) == (True, False, 1)
    assert set(account.aws.operations) == {f"{SSM}.GetParameters"}


@pytest.mark.parametrize("prefix", ["prod", "production", "eu-prod"])
@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "prod\n", "test-0\n"])
def test_production_is_not_changed_by_a_slip(account: Account, prefix: str, typed: str) -> None:
    name = account.born(prefix)

    result = roomkey("env", "disable", name, stdin=typed)

    assert result.status == 1
    assert f"about to write /roomkey/{name}/disabled: true" in result.err
    assert f"nothing was changed: {name} was not typed (--yes goes on without)" in result.err
    assert account.flag(name) == "false"


def test_production_is_changed_by_its_name(account: Account) -> None:
    name = account.born("prod")

    assert roomkey("env", "disable", name, stdin=f"{name}\n").status == 0
    assert account.flag(name) == "true"


def test_or_without_being_asked(account: Account) -> None:
    name = account.born("prod")

    assert roomkey("env", "disable", name, "--yes").status == 0
    assert account.flag(name) == "true"


def test_nothing_to_do_needs_no_confirmation(account: Account) -> None:
    assert roomkey("env", "enable", account.born("prod")).status == 0


# --- status and show -------------------------------------------------------------------------------------------------


def test_status_of_an_environment(account: Account) -> None:
    name = account.born(flag="100ms,agora/app")
    account.aws.put_secret(name, DEMO["100ms"])

    result = roomkey("env", "status", name)

    assert result.status == 0, result.err
    assert f"{name} in eu-central-1" in result.out
    assert "partly-off (off: 100ms, agora/app)" in result.out
    assert "0 rules, mode enforce, 41 bytes; version 1" in result.out
    assert "videosdk          none" in result.out
    assert json.loads(DEMO["100ms"])["app_secret"] not in result.out


def test_status_as_json(account: Account) -> None:
    name = account.born(flag="100ms,agora/app")
    account.aws.put_secret(name, DEMO["100ms"])

    told = roomkey("env", "status", name, "--json").told

    assert list(told) == ["environment", "region", "minting", "flag", "policy", "function", "secrets"]
    assert told["minting"] == "partly-off"
    flag = told["flag"]
    assert (flag["value"], flag["valid"], flag["off"], flag["version"]) == (
        "100ms,agora/app",
        True,
        ["100ms", "agora/app"],
        1,
    )
    assert flag["changed"].endswith("Z")
    assert (told["policy"]["mode"], told["policy"]["rules"], told["policy"]["problems"]) == ("enforce", 0, [])
    assert [one["stored"] for one in told["secrets"]] == [True, False, False, False]
    assert json.loads(DEMO["100ms"])["app_secret"] not in json.dumps(told)


@pytest.mark.parametrize(
    ("flag", "policy", "says"),
    [
        (None, None, "MISSING: /roomkey/{}/disabled does not exist"),
        ("false", None, "MISSING: /roomkey/{}/policy does not exist"),
        ("False", "{}", "NO DISABLE FLAG: nothing is minted"),
        ("false", '{"version": 2, "mode": "enforce", "rules": []}', "NO POLICY: nothing is minted (version must be 1)"),
    ],
)
def test_status_is_bad_where_nothing_can_be_minted(
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


def test_a_flag_of_the_wrong_type_is_none(account: Account) -> None:
    name = account.environment()
    account.aws.ssm.put_parameter(Name=FLAG.format(name), Value="false", Type="SecureString")

    told = roomkey("env", "status", name, "--json").told

    assert (told["minting"], told["flag"]["valid"]) == ("unknown", False)


def test_status_does_without_the_permission_to_know_who(account: Account) -> None:
    name = account.born()
    account.fail("SSM")
    account.aws.fail(f"{SSM}.DescribeParameters", Failure.error(400, "AccessDeniedException", "no"))

    result = roomkey("env", "status", name)

    assert result.status == 0, result.err
    assert " by " not in result.out


def test_status_says_what_runs(account: Account) -> None:
    name = account.born()
    assert "function none is known" in roomkey("env", "status", name).out

    account.function(name)
    assert "function version 1; reserved concurrency none" in roomkey("env", "status", name).out

    roomkey("env", "stop", name)
    assert "function STOPPED (roomkey env start takes that back); version 1" in roomkey("env", "status", name).out
    function = roomkey("env", "status", name, "--json").told["function"]
    assert (function["version"], function["reserved_concurrency"]) == ("1", 0)


def test_status_does_without_the_permission_to_see_the_function(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Aws.call

    def without_functions(aws: Aws, service: str, operation: str, **parameters: object) -> dict[str, object]:
        if service == "lambda":
            raise AwsError("AWS denies it", "AccessDeniedException")
        return call(aws, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", without_functions)

    result = roomkey("env", "status", account.born())

    assert (result.status, "function none is known" in result.out) == (0, True)
    assert "AWS denies it" in result.err


def test_show_names_everything(account: Account) -> None:
    name = account.born()
    account.aws.put_secret(name, DEMO["agora"], "agora")
    arn = account.function(name)
    account.stack(name, ApiUrl="https://abc.example")

    told = roomkey("env", "show", name, "--json").told
    shown = roomkey("env", "show", name).out

    assert told["flag"]["arn"].endswith(f":parameter/roomkey/{name}/disabled")
    assert told["secrets"]["agora"]["arn"].startswith("arn:aws:secretsmanager:eu-central-1:123456789012:secret:")
    assert told["secrets"]["100ms"]["arn"] is None
    assert told["function"]["arn"] in (arn, arn.removesuffix(":1"))
    assert (told["function"]["version"], told["function"]["reserved_concurrency"]) == ("1", None)
    assert told["stack"] == {
        "name": f"roomkey-{name}",
        "status": "CREATE_COMPLETE",
        "outputs": {"ApiUrl": "https://abc.example"},
    }
    for text in (FLAG.format(name), "ApiUrl = https://abc.example", f"/aws/lambda/roomkey-{name}", told["flag"]["arn"]):
        assert text in shown


# --- stop and start --------------------------------------------------------------------------------------------------


def reserved(account: Account, name: str) -> int | None:
    found = account.client("lambda").get_function_concurrency(FunctionName=f"roomkey-{name}")
    value = found.get("ReservedConcurrentExecutions")
    return None if value is None else int(value)


@pytest.mark.parametrize("before", [None, 7])
def test_a_stop_is_taken_back_to_what_it_was(account: Account, before: int | None) -> None:
    name = account.environment()
    arn = account.function(name)
    functions = account.client("lambda")
    if before is not None:
        functions.put_function_concurrency(FunctionName=f"roomkey-{name}", ReservedConcurrentExecutions=before)

    stopped = roomkey("env", "stop", name, "--json").told
    assert (stopped["changed"], reserved(account, name)) == (True, 0)
    again = roomkey("env", "stop", name, "--json").told
    assert (again["changed"], reserved(account, name)) == (False, 0)
    started = roomkey("env", "start", name, "--json").told
    assert (started["changed"], reserved(account, name)) == (True, before)
    assert started["reserved_concurrency"] == ("none" if before is None else str(before))
    assert TAG not in functions.list_tags(Resource=arn.removesuffix(":1"))["Tags"]
    assert roomkey("env", "start", name, "--json").told["changed"] is False


def test_stop_and_start_need_no_ssm(account: Account) -> None:
    name = account.environment()
    account.function(name)
    account.monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")

    assert roomkey("env", "stop", name).status == 0
    assert roomkey("env", "start", name).status == 0


def test_a_function_that_somebody_else_stopped_is_started_by_a_number_only(account: Account) -> None:
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
            raise AwsError("AWS denies it", "AccessDeniedException")
        return call(aws, service, operation, **parameters)

    monkeypatch.setattr(Aws, "call", without_tags)

    result = roomkey("env", "stop", name)

    assert (result.status, reserved(account, name)) == (0, 0)
    assert f"roomkey env start {name} --reserved none" in result.err


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_no_function_is_said(account: Account, verb: str) -> None:
    result = roomkey("env", verb, account.environment())

    assert result.status == 1
    assert "there is no function roomkey-" in result.err


# --- destroy ---------------------------------------------------------------------------------------------------------


def test_destroy_takes_what_a_stack_leaves_behind_and_nothing_of_others(account: Account) -> None:
    name = account.born()
    other = f"{name}-x"
    for one in (name, other):
        account.aws.put_secret(one, DEMO["100ms"])
        account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{one}")
    account.aws.put_flag(other, "false")

    would = roomkey("env", "destroy", name, "--dry-run", "--json").told
    assert account.flag(name) == "false"
    result = roomkey("env", "destroy", name, stdin=f"{name}\n")

    assert result.status == 0, result.err
    assert would["changes"] == [
        f"delete the parameter /roomkey/{name}/disabled",
        f"delete the parameter /roomkey/{name}/policy",
        f"delete the secret roomkey/{name}/100ms, for good in 30 days",
        f"delete the log group /aws/lambda/roomkey-{name} and all that is in it",
    ]
    assert [line.removeprefix("done: ") for line in result.lines if line.startswith("done: ")] == would["changes"]
    assert (account.flag(name), account.policy(name), account.secret(name, "100ms")) == (None, None, None)
    assert (account.flag(other), account.secret(other, "100ms")) == ("false", DEMO["100ms"])
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/roomkey-{name}")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [f"/aws/lambda/roomkey-{other}"]
    assert roomkey("env", "destroy", name).lines == [f"nothing of {name} is left in eu-central-1"]


def test_the_audit_trail_may_stay(account: Account) -> None:
    name = account.born()
    account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{name}")

    told = roomkey("env", "destroy", name, "--keep-logs", "--dry-run", "--json").told

    assert not any("log group" in change for change in told["changes"])


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n"])
def test_nothing_is_destroyed_but_by_name(account: Account, typed: str) -> None:
    name = account.born("dev")

    assert roomkey("env", "destroy", name, stdin=typed).status == 1
    assert roomkey("env", "destroy", name, "--yes", stdin=typed).status == 2
    assert account.flag(name) == "false"


def test_an_environment_with_a_stack_is_not_destroyed(account: Account) -> None:
    name = account.born()
    account.stack(name)

    result = roomkey("env", "destroy", name, stdin=f"{name}\n")

    assert result.status == 1
    assert f"sam delete --stack-name roomkey-{name}" in result.err
    assert account.flag(name) == "false"


def test_a_secret_that_was_destroyed_can_be_stored_again(account: Account) -> None:
    name = account.born()
    account.aws.put_secret(name, DEMO["100ms"])
    assert roomkey("env", "destroy", name, stdin=f"{name}\n").status == 0
    assert "DELETED, for good at" in roomkey("env", "status", name).out

    assert roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"]).status == 0
    assert account.secret(name, "100ms") == DEMO["100ms"]
