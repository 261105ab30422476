"""The metrics: one line of CloudWatch's embedded format for each request, with dimensions that alarms can be set on."""

import json
import threading
from typing import Any

import pytest

from roomkey import errors
from roomkey.clock import Usage
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
from roomkey.observability import MINTED, Observability

NOW = 1_800_000_000.5


def _after(seconds: float) -> Usage:
    """What a request has spent that has taken so long."""
    return Usage(NOW, seconds, {})


@pytest.fixture
def seen() -> Observability:
    return Observability.of("prod", "INFO")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _failed(dependency: str) -> DependencyFailure:
    return DependencyFailure(dependency, "throttled", transient=True)


def test_a_minted_token_is_one_line_that_counts_in_every_set(
    seen: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    seen.count("100ms", "app", None, _after(1.5))

    (line,) = _lines(capsys)
    directive = line.pop("_aws")
    assert directive["Timestamp"] == NOW * 1000
    assert directive["CloudWatchMetrics"] == [
        {
            "Namespace": "Roomkey",
            "Dimensions": [["environment"], ["environment", "platform", "kind"], ["environment", "code"]],
            "Metrics": [{"Name": "TokenMinted", "Unit": "Count"}, {"Name": "Duration", "Unit": "Milliseconds"}],
        }
    ]
    assert line == {
        "environment": "prod",
        "platform": "100ms",
        "kind": "app",
        "code": MINTED,
        "TokenMinted": [1.0],
        "Duration": [1500.0],
    }


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
def test_a_refusal_is_no_fault_and_both_say_their_code(
    seen: Observability, capsys: pytest.CaptureFixture[str], failure: RoomkeyError, outcome: str
) -> None:
    seen.count("agora", "management", failure, _after(1.0))

    (line,) = _lines(capsys)
    assert line["code"] == failure.code
    assert line.keys() & {"TokenMinted", "TokenRefused", "Fault"} == {outcome}


@pytest.mark.threat("A2")
def test_what_was_used_though_stale_is_counted_with_its_age(
    seen: Observability, capsys: pytest.CaptureFixture[str]
) -> None:
    seen.count("100ms", "app", None, _after(1.0), {"kill-switch": 61.5, "credentials": 900.0})

    (line,) = _lines(capsys)
    units = {metric["Name"]: metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert (line["KillSwitchStaleSeconds"], line["CredentialsStaleSeconds"]) == ([61.5], [900.0])
    assert (units["KillSwitchStaleSeconds"], units["CredentialsStaleSeconds"]) == ("Seconds", "Seconds")
    assert line["DependencyFailure"] == [2.0]


@pytest.mark.parametrize(
    ("failure", "stale", "reads"),
    [
        (KillSwitchUnavailable(_failed("ssm")), {}, 1),
        (CredentialsInvalid(_failed("secretsmanager")), {"kill-switch": 40.0}, 2),
        (InternalError(_failed("minting")), {}, None),
        (KillSwitchUnavailable(_failed("budget")), {}, None),
        (NotAllowed(), {}, None),
        (NotAllowed(), {"kill-switch": 40.0}, 1),
        (None, {}, None),
    ],
)
def test_reads_that_failed_are_counted_and_nothing_else_is(
    seen: Observability,
    capsys: pytest.CaptureFixture[str],
    failure: RoomkeyError | None,
    stale: dict[str, float],
    reads: int | None,
) -> None:
    seen.count("100ms", "app", failure, _after(1.0), stale)

    (line,) = _lines(capsys)
    assert line.get("DependencyFailure") == (None if reads is None else [float(reads)])


def test_no_request_leaves_anything_to_the_next(seen: Observability, capsys: pytest.CaptureFixture[str]) -> None:
    seen.count("100ms", "app", KillSwitchUnavailable(_failed("ssm")), _after(1.0), {"kill-switch": 61.5})
    seen.count("agora", "management", None, _after(2.0))

    before, after = _lines(capsys)
    assert before.keys() - after.keys() == {"Fault", "KillSwitchStaleSeconds", "DependencyFailure"}
    assert (after["TokenMinted"], after["Duration"], after["platform"]) == ([1.0], [2000.0], "agora")


def test_a_line_that_could_not_be_printed_is_not_printed_later(
    seen: Observability, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("sys.stdout", _Full())
        with pytest.raises(OSError, match="No space left"):
            seen.count("100ms", "app", None, _after(1.0))
    seen.count("100ms", "app", None, _after(2.0))

    (line,) = _lines(capsys)
    assert (line["TokenMinted"], line["Duration"]) == ([1.0], [2000.0])


def test_requests_at_the_same_time_are_counted_apart(seen: Observability, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the local stack, where one environment answers many at once."""
    platforms = ["100ms", "videosdk", "agora", "agora-whiteboard"]
    together = threading.Barrier(len(platforms))

    def count(number: int, platform: str) -> None:
        together.wait()
        for _ in range(50):
            seen.count(platform, "app", None, _after(float(number)))

    threads = [threading.Thread(target=count, args=each) for each in enumerate(platforms)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = _lines(capsys)
    assert len(lines) == 200
    assert {(line["platform"], *line["Duration"], *line["TokenMinted"]) for line in lines} == {
        (platform, 1000.0 * number, 1.0) for number, platform in enumerate(platforms)
    }


@pytest.mark.threat("H8")
def test_the_codes_are_few() -> None:
    """Every value of a dimension is a metric that CloudWatch charges for."""
    kinds = [kind for base in (errors.Refusal, Fault) for kind in base.__subclasses__()]

    assert len({kind.code for kind in kinds} | {MINTED}) < 20
