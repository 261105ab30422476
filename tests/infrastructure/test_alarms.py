"""What is watched: the alarms, what each of them takes for trouble, where each says what to do, and the dashboard."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infrastructure.template import EVERYTHING, JWT, ROOT, Stack, stack
from roomkey.api import STATUS
from roomkey.clock import Usage
from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled, NotAllowed
from roomkey.observability import Observability
from roomkey_cli.commands.probe import MINTED_METRIC, REFUSED_METRIC

OPERATIONS = ROOT / "docs" / "operations.md"
TOPIC = {"AlarmTopic": EVERYTHING["AlarmTopic"]}
ROLLOUT = {"RolloutErrorsAlarm", "RolloutFaultsAlarm"}

Numbers = Mapping[str, float | None]


def _alarms(deployed: Stack) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in deployed.of_type("AWS::CloudWatch::Alarm").items()}


ALARMS = _alarms(stack(**EVERYTHING))


@pytest.mark.parametrize("rollout", ["AllAtOnce", "Linear10PercentEvery1Minute"])
def test_without_a_topic_there_are_the_rollout_s_two_alarms_which_tell_nobody_and_nothing_feeds_others(
    rollout: str,
) -> None:
    deployed = stack(Rollout=rollout, **JWT)
    alarms = _alarms(deployed)

    assert alarms.keys() == ROLLOUT
    assert not [alarm for alarm in alarms.values() if "AlarmActions" in alarm]
    assert not deployed.of_type("AWS::Logs::MetricFilter")


def test_the_rollout_s_alarms_stay_when_all_moves_at_once_and_tell_nobody() -> None:
    """CodeDeploy may still name them: gone, they would keep it from the next deploy."""
    alarms = _alarms(stack(**EVERYTHING | {"Rollout": "AllAtOnce"}))

    assert alarms.keys() == ALARMS.keys()
    assert {name for name, alarm in alarms.items() if "AlarmActions" not in alarm} == ROLLOUT


def test_how_much_of_the_reserve_is_used_is_watched_only_where_there_is_one() -> None:
    assert "ConcurrencyAlarm" not in _alarms(stack(**TOPIC, **JWT))
    assert "ConcurrencyAlarm" in ALARMS


def test_a_probe_is_missed_only_where_one_is_said_to_run() -> None:
    """Every probe counts a refusal, whether minting is on or not, so that is what must not fall silent."""
    assert "ProbeMissingAlarm" not in _alarms(stack(**TOPIC, **JWT))
    missing = ALARMS["ProbeMissingAlarm"]

    assert (missing["Statistic"], missing["MetricName"]) == ("SampleCount", MINTED_METRIC)
    assert missing["TreatMissingData"] == "breaching"


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_is_named_after_its_environment_and_is_quiet_without_data(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmActions"] == [TOPIC["AlarmTopic"]]
    assert alarm["AlarmName"].startswith("roomkey-prod-")
    assert alarm["TreatMissingData"] == ("breaching" if name == "ProbeMissingAlarm" else "notBreaching")


def test_an_alarm_leads_to_the_team_s_own_copy_of_the_page() -> None:
    url = "https://git.example/roomkey/docs/operations.md"
    deployed = stack(**EVERYTHING, RunbookUrl=url)

    for alarm in _alarms(deployed).values():
        assert re.search(rf"What to do: {re.escape(url)}#[a-z0-9-]+$", alarm["AlarmDescription"])
    assert f"{url}." in deployed.only("AWS::CloudWatch::Dashboard")["DashboardBody"]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_where_to_read_what_to_do(name: str) -> None:
    found = re.search(r"What to do: docs/operations\.md#([a-z0-9-]+)$", ALARMS[name]["AlarmDescription"])

    assert found
    assert found[1] in _anchors()


def _anchors() -> set[str]:
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_lists_every_alarm_and_no_other() -> None:
    section = re.search(r"^## Alarms$(.*?)^## ", OPERATIONS.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert section
    listed = re.findall(r"^\| `roomkey-prod-([a-z-]+)` \|", section[1], flags=re.MULTILINE)

    assert sorted(listed) == sorted(alarm["AlarmName"].removeprefix("roomkey-prod-") for alarm in ALARMS.values())


# --- what the alarms look at ---------------------------------------------------------------------------------------


def _asked(alarm: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of every metric that an alarm looks at."""
    metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one] or [alarm]
    for metric in metrics:
        dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], dimensions


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> set[tuple[str, tuple[str, ...]]]:
    """Every metric that the function writes, with each set of dimensions that it has."""
    seen = Observability.of("prod", "INFO")
    failed = KillSwitchUnavailable(DependencyFailure("ssm", "throttled", transient=True))
    for failure in (None, NotAllowed(), failed):
        seen.count(
            "100ms",
            "management",
            failure,
            Usage(1_800_000_000.5, 0.1, {}),
            {"switch": 40.0, "credentials": 400.0},
        )
    lines = [json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in capsys.readouterr().out.splitlines()]
    return {
        (metric["Name"], tuple(sorted(names)))
        for line in lines
        for metric in line["Metrics"]
        for names in line["Dimensions"]
    }


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_at_metrics_that_there_are(name: str, written: set[tuple[str, tuple[str, ...]]]) -> None:
    """An alarm on a metric that nobody writes is quiet for ever, and looks like peace."""
    for namespace, metric, dimensions in _asked(ALARMS[name]):
        if metric == "TokenInLog-prod":
            (filters,) = stack(**EVERYTHING).only("AWS::Logs::MetricFilter")["MetricTransformations"]
            assert (filters["MetricNamespace"], filters["MetricName"]) == (namespace, metric)
        elif metric in (MINTED_METRIC, REFUSED_METRIC):
            assert (namespace, dimensions) == ("Roomkey", {"environment": "prod"})
        elif namespace == "Roomkey":
            assert (metric, tuple(sorted(dimensions))) in written
            assert dimensions["environment"] == "prod"
            assert dimensions.get("code", "internal-error") in STATUS
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
def test_every_503_and_the_500_have_an_alarm_of_their_own() -> None:
    watched = {
        dimensions["code"] for alarm in ALARMS.values() for *_, dimensions in _asked(alarm) if "code" in dimensions
    }

    assert watched >= {code for code, status in STATUS.items() if status >= 500}


def test_that_minting_is_off_is_told() -> None:
    (asked,) = _asked(ALARMS["MintingOffAlarm"])

    assert asked == ("Roomkey", "TokenRefused", {"environment": "prod", "code": MintingDisabled.code})
    assert ALARMS["MintingOffAlarm"]["Threshold"] == 1


@pytest.mark.threat("J6")
def test_the_new_version_is_judged_by_its_own_errors() -> None:
    deployed = stack(**EVERYTHING)
    (version,) = deployed.of_type("AWS::Lambda::Version")
    ((*_, dimensions),) = _asked(ALARMS["RolloutErrorsAlarm"])

    assert dimensions == {
        "FunctionName": "roomkey-prod",
        "Resource": "roomkey-prod:live",
        "ExecutedVersion": f"{version}.Version",
    }


@pytest.mark.threat("J6")
def test_a_gradual_rollout_is_taken_back_by_both_alarms() -> None:
    group = stack(**EVERYTHING).only("AWS::CodeDeploy::DeploymentGroup")

    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent10Minutes"
    assert {one["Name"] for one in group["AlarmConfiguration"]["Alarms"]} == {
        ALARMS[name]["AlarmName"] for name in ROLLOUT
    }
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_an_immediate_rollout_waits_for_no_alarm() -> None:
    group = stack(**JWT).only("AWS::CodeDeploy::DeploymentGroup")

    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    assert not group.get("AlarmConfiguration", {}).get("Alarms")


# --- what the alarms take for trouble ------------------------------------------------------------------------------


def _goes_off(name: str, **numbers: float | None) -> bool:
    """Whether these numbers, None where there is no data, are trouble to the alarm."""
    alarm = ALARMS[name]
    (expression,) = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    value = _answer(expression, numbers)
    if value is None:
        return False
    threshold = float(alarm["Threshold"])
    return value >= threshold if alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold" else value > threshold


def _answer(expression: str, numbers: Numbers) -> float | None:
    """CloudWatch's arithmetic, as much as the alarms use: what is calculated with a missing number is missing."""
    functions = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, instead: instead if value is None else value,
    }
    try:
        return float(eval(expression.replace(" AND ", " and "), {"__builtins__": {}}, functions | dict(numbers)))  # noqa: S307
    except TypeError:
        return None


@pytest.mark.parametrize(
    ("name", "numbers", "trouble"),
    [
        ("FaultsAlarm", {"faults": 1, "requests": 2}, False),
        ("FaultsAlarm", {"faults": 4, "requests": 4}, False),
        ("FaultsAlarm", {"faults": 5, "requests": 5}, True),
        ("FaultsAlarm", {"faults": 6, "requests": 599}, True),
        ("FaultsAlarm", {"faults": 6, "requests": 601}, False),
        ("FaultsAlarm", {"faults": None, "requests": 1000}, False),
        ("RolloutFaultsAlarm", {"faults": 1, "requests": 1}, False),
        ("RolloutFaultsAlarm", {"faults": 2, "requests": 39}, True),  # What probing does by itself is enough.
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
def test_is_it_trouble(name: str, numbers: Numbers, trouble: bool) -> None:
    assert _goes_off(name, **numbers) is trouble


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_a_calculating_alarm_has_one_answer_and_names_only_what_it_asks_for(name: str) -> None:
    metrics = ALARMS[name]["Metrics"]
    (answer,) = [one for one in metrics if one.get("ReturnData", True)]
    words = set(re.findall(r"[a-z]+", answer["Expression"]))

    assert words == {one["Id"] for one in metrics} - {"answer"}


@pytest.mark.threat("H1")
def test_the_filter_for_tokens_knows_how_those_of_every_platform_begin() -> None:
    pattern = stack(**EVERYTHING).only("AWS::Logs::MetricFilter")["FilterPattern"]

    assert re.findall(r'\?"([^"]+)"', pattern) == ["eyJhbGciOi", "NETLESSROOM_", "NETLESSSDK_", "007eJ"]


# --- the dashboard -------------------------------------------------------------------------------------------------


def _widgets() -> list[Any]:
    body = stack(Environment="prod", **JWT).only("AWS::CloudWatch::Dashboard")["DashboardBody"]
    widgets: list[Any] = json.loads(body)["widgets"]
    return widgets


def test_the_dashboard_overlaps_nowhere_and_fits_its_width() -> None:
    cells = [
        (x, y)
        for widget in _widgets()
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("given", [JWT, TOPIC | JWT, EVERYTHING], ids=["bare", "watched", "everything"])
def test_the_dashboard_shows_the_state_of_every_alarm_that_there_is(given: dict[str, str]) -> None:
    deployed = stack(**given)
    body = json.loads(deployed.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    (widget,) = [one for one in body["widgets"] if one["type"] == "alarm"]

    assert sorted(widget["properties"]["alarms"]) == sorted(f"{name}.Arn" for name in _alarms(deployed))


def test_the_dashboard_shows_metrics_that_there_are(written: set[tuple[str, tuple[str, ...]]]) -> None:
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
