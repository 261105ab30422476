"""The metrics: one line in CloudWatch's embedded format for each request, with dimensions for alarms."""

import json
import threading
from typing import Any

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics

from roomkey import errors
from roomkey.errors import (
    AuditUnavailable,
    CredentialsInvalid,
    DependencyFailure,
    Fault,
    InternalError,
    KillSwitchUnavailable,
    MintingDisabled,
    NotAllowed,
    RoomkeyError,
)
from roomkey.observability import MINTED, NAMESPACE, Observability
from roomkey.platforms.base import TokenKind
from support.records import NOW, arrived, minted, stale, usage


@pytest.fixture
def observability() -> Observability:
    return Observability("prod", "INFO")


def _metric_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def _failed(dependency: str) -> DependencyFailure:
    return DependencyFailure(dependency, "throttled", transient=True)


def test_a_minted_token_counts_in_every_set_of_dimensions(
    observability: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    observability.request_finished(minted(), usage(NOW + 0.5, 1.5))

    (line,) = _metric_lines(capsys)
    directive = line.pop("_aws")
    assert directive["Timestamp"] == NOW * 1000 + 500
    assert directive["CloudWatchMetrics"] == [
        {
            "Namespace": "Roomkey",
            "Dimensions": [["environment"], ["environment", "platform", "kind"], ["environment", "code"]],
            "Metrics": [{"Name": "TokenMinted"}, {"Name": "Duration", "Unit": "Milliseconds"}],
        }
    ]
    assert line == {
        "environment": "prod",
        "platform": "agora",
        "kind": "app",
        "code": MINTED,
        "TokenMinted": 1,
        "Duration": 1500.0,
    }


def test_the_line_is_the_one_that_powertools_writes(
    observability: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    observability.request_finished(stale(minted(), kill_switch=61.5, credentials=900.0), usage(NOW + 0.5, 1.5))
    (line,) = _metric_lines(capsys)

    metrics = EphemeralMetrics(namespace=NAMESPACE, service="", default_dimensions={"environment": "prod"})
    metrics.add_dimensions(platform=line["platform"], kind=line["kind"])
    metrics.add_dimensions(code=line["code"])
    for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
        metrics.add_metric(metric["Name"], metric.setdefault("Unit", "Count"), line[metric["Name"]])
    theirs: dict[str, Any] = dict(metrics.serialize_metric_set())
    theirs["_aws"]["Timestamp"] = NOW * 1000 + 500
    # Powertools writes each value as a list.
    assert line == {name: value[0] if isinstance(value, list) else value for name, value in theirs.items()}


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (MintingDisabled(), "TokenRefused"),
        (NotAllowed(), "TokenRefused"),
        (KillSwitchUnavailable(), "Fault"),
        (AuditUnavailable(), "Fault"),
        (InternalError(), "Fault"),
    ],
)
def test_a_failure_counts_once_with_its_code(
    observability: Observability, capsys: pytest.CaptureFixture[str], failure: RoomkeyError, outcome: str
) -> None:
    observability.request_finished(arrived(kind=TokenKind.MANAGEMENT, failure=failure), usage())

    (line,) = _metric_lines(capsys)
    assert line["code"] == failure.code
    assert line.keys() & {"TokenMinted", "TokenRefused", "Fault"} == {outcome}


@pytest.mark.threat("A2")
def test_stale_values_are_counted_with_their_age(
    observability: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    observability.request_finished(stale(minted(), kill_switch=61.5, credentials=900.0), usage())

    (line,) = _metric_lines(capsys)
    units = {metric["Name"]: metric.get("Unit") for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert (line["KillSwitchStaleSeconds"], line["CredentialsStaleSeconds"]) == (61.5, 900.0)
    assert (units["KillSwitchStaleSeconds"], units["CredentialsStaleSeconds"]) == ("Seconds", "Seconds")
    assert line["DependencyFailure"] == 2


def test_stale_invite_keys_count_as_credentials_and_are_logged(
    observability: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    observability.request_finished(stale(minted(), credentials=40.0, invite_keys=700.0), usage())

    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["message"] for line in lines if "message" in line] == ["credentials-stale", "invite-keys-stale"]
    assert lines[-1]["CredentialsStaleSeconds"] == 700.0
    assert lines[-1]["DependencyFailure"] == 2


@pytest.mark.parametrize(
    ("failure", "age", "reads"),
    [
        (KillSwitchUnavailable(_failed("ssm")), None, 1),
        (CredentialsInvalid(_failed("secretsmanager")), 40.0, 2),
        (InternalError(_failed("minting")), None, None),
        (KillSwitchUnavailable(_failed("budget")), None, None),
        (NotAllowed(), None, None),
        (NotAllowed(), 40.0, 1),
        (None, None, None),
    ],
)
def test_only_failed_reads_count_as_dependency_failures(
    observability: Observability,
    capsys: pytest.CaptureFixture[str],
    failure: RoomkeyError | None,
    age: float | None,
    reads: int | None,
) -> None:
    record = stale(arrived(failure=failure) if failure else minted(), kill_switch=age)
    observability.request_finished(record, usage())

    (line,) = _metric_lines(capsys)
    assert line.get("DependencyFailure") == reads


def test_a_line_that_could_not_be_printed_is_not_printed_later(
    observability: Observability, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("sys.stdout", _Full())
        with pytest.raises(OSError, match="No space left"):
            observability.request_finished(minted(), usage())
    observability.request_finished(minted(), usage(seconds=2.0))

    (line,) = _metric_lines(capsys)
    assert (line["TokenMinted"], line["Duration"]) == (1, 2000.0)


def test_concurrent_requests_are_counted_separately(
    observability: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the local stack, one environment answers concurrent requests."""
    platforms = ["100ms", "videosdk", "agora", "agora-whiteboard"]
    together = threading.Barrier(len(platforms))

    def count(number: int, platform: str) -> None:
        together.wait()
        for _ in range(50):
            observability.request_finished(minted(platform=platform), usage(seconds=float(number)))

    threads = [threading.Thread(target=count, args=each) for each in enumerate(platforms)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = _metric_lines(capsys)
    assert len(lines) == 200
    assert {(line["platform"], line["Duration"], line["TokenMinted"]) for line in lines} == {
        (platform, 1000.0 * number, 1.0) for number, platform in enumerate(platforms)
    }


@pytest.mark.threat("H8")
def test_there_are_few_codes() -> None:
    """Every value of a dimension is a metric that CloudWatch charges for."""
    kinds = [kind for base in (errors.Refusal, Fault) for kind in base.__subclasses__()]

    assert len({kind.code for kind in kinds} | {MINTED}) < 22
