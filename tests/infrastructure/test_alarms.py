"""The alarms, their conditions and runbooks, and the dashboard."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infrastructure.template import EVERYTHING, JWT, ROOT, Stack, stack
from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled, NotAllowed
from roomkey.observability import Observability
from roomkey.platforms.base import TokenKind
from roomkey.responses import STATUS
from roomkey_cli.commands.probe import MINTED_METRIC, REFUSED_METRIC
from support.records import arrived, minted, stale, usage

RUNBOOKS = ROOT / "docs" / "reference" / "alarms.md"
TOPIC = {"AlarmTopic": EVERYTHING["AlarmTopic"]}
ROLLOUT = {"RolloutErrorsAlarm", "RolloutFaultsAlarm"}
SILENT = "QuietAlarm"
"""The alarm that CodeDeploy gets with AllAtOnce."""
CODES = {*STATUS, "invite-invalid"}

Numbers = Mapping[str, float | None]


def _alarms(deployed: Stack) -> dict[str, Any]:
    return {name: alarm["Properties"] for name, alarm in deployed.of_type("AWS::CloudWatch::Alarm").items()}


ALARMS = _alarms(stack(**EVERYTHING))


@pytest.mark.parametrize("rollout", ["AllAtOnce", "Linear10PercentEvery1Minute"])
def test_without_a_topic_only_codedeploy_s_alarms_exist_and_notify_no_one(rollout: str) -> None:
    deployed = stack(Rollout=rollout, **JWT)
    alarms = _alarms(deployed)

    assert alarms.keys() == ROLLOUT | {SILENT}
    assert not [alarm for alarm in alarms.values() if "AlarmActions" in alarm]
    assert not deployed.of_type("AWS::Logs::MetricFilter")


def test_with_all_at_once_the_rollout_s_alarms_exist_and_notify_no_one() -> None:
    """CodeDeploy may still name them from an earlier deploy."""
    alarms = _alarms(stack(**EVERYTHING | {"Rollout": "AllAtOnce"}))

    assert alarms.keys() == ALARMS.keys()
    assert {name for name, alarm in alarms.items() if "AlarmActions" not in alarm} == ROLLOUT | {SILENT}


def test_the_concurrency_alarm_needs_reserved_concurrency() -> None:
    assert "ConcurrencyAlarm" not in _alarms(stack(**TOPIC, **JWT))
    assert "ConcurrencyAlarm" in ALARMS


def test_a_missing_probe_fires_only_where_one_is_scheduled() -> None:
    """Every probe writes this metric, whether minting is on or not."""
    assert "ProbeMissingAlarm" not in _alarms(stack(**TOPIC, **JWT))
    missing = ALARMS["ProbeMissingAlarm"]

    assert (missing["Statistic"], missing["MetricName"]) == ("SampleCount", MINTED_METRIC)
    assert missing["TreatMissingData"] == "breaching"


@pytest.mark.parametrize("name", sorted(ALARMS.keys() - {SILENT}))
def test_an_alarm_notifies_the_topic_and_is_ok_without_data(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmActions"] == [TOPIC["AlarmTopic"]]
    assert alarm["AlarmName"].startswith("roomkey-prod-")
    assert alarm["TreatMissingData"] == ("breaching" if name == "ProbeMissingAlarm" else "notBreaching")


def test_an_alarm_links_the_team_s_own_runbooks() -> None:
    url = "https://git.example/roomkey/docs/reference/alarms.md"
    deployed = stack(**EVERYTHING, RunbookUrl=url)

    for alarm in _alarms(deployed).values():
        assert re.search(rf"Runbook: {re.escape(url)}#[a-z0-9-]+$", alarm["AlarmDescription"])
    assert url in deployed.only("AWS::CloudWatch::Dashboard")["DashboardBody"]


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_names_a_section_of_the_runbooks(name: str) -> None:
    found = re.search(r"Runbook: docs/reference/alarms\.md#([a-z0-9-]+)$", ALARMS[name]["AlarmDescription"])
    headings = re.findall(r"^#+ (.+)$", RUNBOOKS.read_text(), flags=re.MULTILINE)

    assert found
    assert found[1] in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- the alarms' metrics ---------------------------------------------------------------------------------------------


def _asked(alarm: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of every metric of an alarm."""
    metrics = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", []) if "MetricStat" in entry] or [alarm]
    for metric in metrics:
        dimensions = {entry["Name"]: entry["Value"] for entry in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], dimensions


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> set[tuple[str, tuple[str, ...]]]:
    """Return every metric that the function writes, with each set of its dimensions."""
    observability = Observability("prod", "INFO")
    failed = KillSwitchUnavailable(DependencyFailure("ssm", "throttled", transient=True))
    for record in (minted(), arrived(failure=NotAllowed()), arrived(failure=failed)):
        record.kind = TokenKind.MANAGEMENT
        observability.request_finished(stale(record, kill_switch=40.0, credentials=400.0), usage())
    metrics = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    lines = [json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in metrics]
    return {
        (metric["Name"], tuple(sorted(names)))
        for line in lines
        for metric in line["Metrics"]
        for names in line["Dimensions"]
    }


@pytest.mark.parametrize("name", sorted(ALARMS.keys() - {SILENT}))
def test_an_alarm_reads_metrics_that_are_written(name: str, written: set[tuple[str, tuple[str, ...]]]) -> None:
    """An alarm on a metric that is never written never fires."""
    for namespace, metric, dimensions in _asked(ALARMS[name]):
        if metric == "TokenInLog-prod":
            (filters,) = stack(**EVERYTHING).only("AWS::Logs::MetricFilter")["MetricTransformations"]
            assert (filters["MetricNamespace"], filters["MetricName"]) == (namespace, metric)
        elif metric in (MINTED_METRIC, REFUSED_METRIC):
            assert (namespace, dimensions) == ("Roomkey", {"environment": "prod"})
        elif namespace == "Roomkey":
            assert (metric, tuple(sorted(dimensions))) in written
            assert dimensions["environment"] == "prod"
            assert dimensions.get("code", "internal-error") in CODES
        else:
            assert (namespace, metric) in {
                ("AWS/Lambda", "Errors"),
                ("AWS/Lambda", "Throttles"),
                ("AWS/Lambda", "ConcurrentExecutions"),
                ("AWS/ApiGateway", "Count"),
                ("AWS/ApiGateway", "4xx"),
                ("AWS/ApiGateway", "5xx"),
            }
            assert dimensions.items() & {"FunctionName": "roomkey-prod", "ApiId": "Api"}.items()


@pytest.mark.threat("J7")
def test_every_5xx_code_has_its_alarm() -> None:
    watched = {
        dimensions["code"] for alarm in ALARMS.values() for *_, dimensions in _asked(alarm) if "code" in dimensions
    }

    assert watched >= {code for code, status in STATUS.items() if status >= 500}


def test_minting_switched_off_fires_an_alarm() -> None:
    (asked,) = _asked(ALARMS["MintingOffAlarm"])

    assert asked == ("Roomkey", "TokenRefused", {"environment": "prod", "code": MintingDisabled.code})
    assert ALARMS["MintingOffAlarm"]["Threshold"] == 1


@pytest.mark.threat("J6")
def test_a_rollout_watches_the_new_version_s_errors() -> None:
    deployed = stack(**EVERYTHING)
    (version,) = deployed.of_type("AWS::Lambda::Version")
    ((*_, dimensions),) = _asked(ALARMS["RolloutErrorsAlarm"])

    assert dimensions == {
        "FunctionName": "roomkey-prod",
        "Resource": "roomkey-prod:live",
        "ExecutedVersion": f"{version}.Version",
    }


@pytest.mark.threat("J6")
def test_either_alarm_rolls_a_gradual_rollout_back() -> None:
    group = stack(**EVERYTHING).only("AWS::CodeDeploy::DeploymentGroup")

    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent10Minutes"
    assert {alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]} == {
        ALARMS[name]["AlarmName"] for name in ROLLOUT
    }
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_all_at_once_replaces_the_rollout_s_alarms_by_one_that_never_fires() -> None:
    """CodeDeploy keeps the alarms of an earlier deployment if a deployment names none."""
    deployed = stack(**JWT)
    group = deployed.only("AWS::CodeDeploy::DeploymentGroup")

    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    assert group["AlarmConfiguration"]["Alarms"] == [{"Name": "roomkey-dev-quiet"}]
    assert ALARMS[SILENT]["MetricName"] == "NeverWritten"


# --- the alarms' conditions ----------------------------------------------------------------------------------------


def _fires(name: str, numbers: Numbers) -> bool:
    """Return whether an alarm is in state ALARM for these values; None is a missing value."""
    alarm = ALARMS[name]
    (expression,) = [entry["Expression"] for entry in alarm["Metrics"] if "Expression" in entry]
    value = _evaluate(expression, numbers)
    if value is None:
        return False
    threshold = float(alarm["Threshold"])
    return value >= threshold if alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold" else value > threshold


def _evaluate(expression: str, numbers: Numbers) -> float | None:
    """Evaluate metric math as CloudWatch documents it: a missing value is 0 unless all are missing.

    A division by 0 has no result.
    """
    if all(value is None for value in numbers.values()):
        return None
    functions = {"IF": lambda condition, then, otherwise: then() if condition else otherwise()}
    lazy = re.sub(r"IF\((.*), (.*), (.*)\)", r"IF(\1, lambda: \2, lambda: \3)", expression)
    values = {name: value or 0 for name, value in numbers.items()}
    try:
        return float(eval(lazy.replace(" AND ", " and "), {"__builtins__": {}, **functions, **values}))  # noqa: S307
    except ZeroDivisionError:
        return None


@pytest.mark.parametrize(
    ("name", "numbers", "fires"),
    [
        ("FaultsAlarm", {"faults": 1, "requests": 2}, False),
        ("FaultsAlarm", {"faults": 4, "requests": 4}, False),
        ("FaultsAlarm", {"faults": 5, "requests": 5}, True),
        ("FaultsAlarm", {"faults": 6, "requests": 599}, True),
        ("FaultsAlarm", {"faults": 6, "requests": 601}, False),
        ("FaultsAlarm", {"faults": None, "requests": 1000}, False),
        ("RolloutFaultsAlarm", {"faults": 1, "requests": 1}, False),
        ("RolloutFaultsAlarm", {"faults": 2, "requests": 39}, True),  # Probing alone is enough.
        ("RolloutFaultsAlarm", {"faults": 2, "requests": 41}, False),
        ("NothingMintedAlarm", {"minted": None, "requests": 20, "disabled": None}, True),
        ("NothingMintedAlarm", {"minted": 0, "requests": 19, "disabled": None}, False),
        ("NothingMintedAlarm", {"minted": 1, "requests": 200, "disabled": None}, False),
        ("NothingMintedAlarm", {"minted": None, "requests": 200, "disabled": 190}, False),
        ("NothingMintedAlarm", {"minted": None, "requests": None, "disabled": None}, False),
        ("SlowAlarm", {"duration": 2900, "requests": 19}, False),
        ("SlowAlarm", {"duration": 2001, "requests": 20}, True),
        ("SlowAlarm", {"duration": 1999, "requests": 2000}, False),
        ("RefusalsAlarm", {"requests": 99, "refused": 99, "disabled": None}, False),
        ("RefusalsAlarm", {"requests": 100, "refused": 51, "disabled": None}, True),
        ("RefusalsAlarm", {"requests": 100, "refused": 100, "disabled": 60}, False),
        ("GatewayFaultsAlarm", {"failed": 5, "faults": None}, True),
        ("GatewayFaultsAlarm", {"failed": 100, "faults": 96}, False),
        ("ConcurrencyAlarm", {"running": 40}, False),
        ("ConcurrencyAlarm", {"running": 41}, True),
    ],
)
def test_an_alarm_fires(name: str, numbers: Numbers, fires: bool) -> None:
    assert _fires(name, numbers) is fires


def test_no_alarm_fills_missing_data() -> None:
    """With FILL, the latest value of a late metric is always the filled one: the alarm cannot change its state."""
    assert not [name for name, alarm in ALARMS.items() if "FILL" in str(alarm.get("Metrics"))]


def test_the_gateway_s_faults_are_compared_over_more_than_one_period() -> None:
    """The function's metric arrives later than API Gateway's."""
    alarm = ALARMS["GatewayFaultsAlarm"]

    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_metric_math_returns_one_value_and_uses_every_metric(name: str) -> None:
    metrics = ALARMS[name]["Metrics"]
    (answer,) = [entry for entry in metrics if entry.get("ReturnData", True)]
    words = set(re.findall(r"[a-z]+", answer["Expression"]))

    assert words == {entry["Id"] for entry in metrics} - {"answer"}


TOKENS = {
    "100ms": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhY2Nlc3Nfa2V5IjoiNj",
    "videosdk": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJhcGlrZXkiOiJhNW",
    "agora": "007eJxTYBBbsMMnKq7p9Hf/HcIX5kce9b518kCiQgSr5Zrp4X1Tu6UUGJL",
    "agora-whiteboard": "NETLESSROOM_YWs9eWVTNGt0ZE4mZXhwaXJlQXQ9MTgwMDAwMzYwMC",
    "whiteboard sdk": "NETLESSSDK_YWs9eWVTNGt0ZE4mZXhwaXJlQXQ9MTgwMDAwMzYwMCZu",
    "an invite": "rki1.eyJwIjoiMTAwbXMifQ.c2lnbmF0dXJl",
}


def _token_filter() -> str:
    pattern: str = stack(**EVERYTHING).only("AWS::Logs::MetricFilter")["FilterPattern"]
    return pattern


@pytest.mark.threat("H1")
@pytest.mark.parametrize("token", TOKENS)
def test_the_token_filter_matches(token: str) -> None:
    assert re.search(_token_filter().strip("%"), f'{{"message": "x{TOKENS[token]}"}}')


def test_the_token_filter_is_a_regular_expression_that_cloudwatch_logs_accepts() -> None:
    """Only `^ $ ? [ ] { } | * + . \\` have a meaning there; parentheses do not."""
    assert re.fullmatch(r"%[A-Za-z0-9_\-^$?\[\]{}|*+.\\]+%", _token_filter())


def test_the_token_filter_ignores_an_ordinary_audit_line() -> None:
    line = '{"token":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","id":"5f1e3a7c"}}'

    assert not re.search(_token_filter().strip("%"), line)


# --- the dashboard -------------------------------------------------------------------------------------------------


def _widgets() -> list[Any]:
    body = stack(Environment="prod", **JWT).only("AWS::CloudWatch::Dashboard")["DashboardBody"]
    widgets: list[Any] = json.loads(body)["widgets"]
    return widgets


def test_the_dashboard_s_widgets_fit_and_do_not_overlap() -> None:
    cells = [
        (x, y)
        for widget in _widgets()
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("given", [JWT, TOPIC | JWT, EVERYTHING], ids=["bare", "watched", "everything"])
def test_the_dashboard_shows_every_alarm(given: dict[str, str]) -> None:
    deployed = stack(**given)
    body = json.loads(deployed.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    (widget,) = [widget for widget in body["widgets"] if widget["type"] == "alarm"]

    shown = sorted(widget["properties"]["alarms"])
    assert shown == sorted(f"{name}.Arn" for name in _alarms(deployed).keys() - {SILENT})


def test_the_dashboard_shows_metrics_that_are_written(written: set[tuple[str, tuple[str, ...]]]) -> None:
    shown = set()
    for widget in _widgets():
        before: list[str] = []
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                sets = re.findall(r"\{Roomkey,([a-z,]+)\}", metric[0]["expression"])
                names = re.findall(r"TokenMinted|TokenRefused|Fault", metric[0]["expression"])
                shown |= {(name, tuple(sorted(one.split(",")))) for one in sets for name in names}
                continue
            words = [word for word in metric if isinstance(word, str)]
            full = (
                before
                if words == ["..."]
                else [b if w == "." else w for w, b in zip(words, before or words, strict=True)]
            )
            before = full
            if full[0] == "Roomkey":
                assert full[2:] == ["environment", "prod"]
                shown.add((full[1], ("environment",)))

    assert shown <= written
    assert {name for name, _ in shown} == {name for name, _ in written}
