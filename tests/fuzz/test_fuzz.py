"""The targets of the fuzzer hold: for what they begin with, for all that was ever found, and for some seconds more."""

import hmac
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from fuzz import run
from fuzz.targets import TARGETS
from roomkey import strict_json
from roomkey.kill_switch import KillSwitch
from roomkey.platforms import hs256
from roomkey.policy import Decision, Policy


def test_every_target_can_be_asked_for() -> None:
    assert tuple(TARGETS) == run.NAMES


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_target_begins_with_and_what_was_ever_found_holds(target: str) -> None:
    seeds = list(TARGETS[target].seeds())
    assert len(seeds) > 10
    for data in (*seeds, *(path.read_bytes() for path in sorted((run.FOUND / target).glob("*")))):
        TARGETS[target].one(data)


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, run.Outcome]:
    """What comes of two seconds for each target."""
    if run.MISSING:
        pytest.skip(run.MISSING)
    with ThreadPoolExecutor(2) as threads:
        return {outcome.target: outcome for outcome in threads.map(run.fuzz, run.NAMES, [2] * len(run.NAMES))}


@pytest.mark.threat("I1", "I2", "I7", "B5", "C5", "C6", "C7", "C11", "D2", "D3", "D4", "D5", "D7", "D8", "D14")
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(outcomes: Mapping[str, run.Outcome], target: str) -> None:
    outcome = outcomes[target]
    print(outcome)
    assert not outcome.crashed, outcome.log
    assert outcome.executions > 100
    assert outcome.edges > 20, "the code is not instrumented"


def _read_as_python_does(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(strict_json, "loads", json.loads)


def _grant_everything(patch: pytest.MonkeyPatch) -> None:
    def decide(self: Policy, *_: object) -> Decision:
        return next((Decision(True, rule.name, rule.max_lifetime) for rule in self.rules), Decision(allowed=False))

    patch.setattr(Policy, "decide", decide)


def _switch_nothing_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KillSwitch, "is_off", lambda *_: False)


def _believe_every_signature(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hs256, "hmac", SimpleNamespace(new=hmac.new, compare_digest=lambda *_: True))


@pytest.mark.parametrize(
    ("target", "broken"),
    {
        "bodies": _read_as_python_does,
        "policy": _grant_everything,
        "flag": _switch_nothing_off,
        "explain": _believe_every_signature,
        "handler": _switch_nothing_off,
    }.items(),
)
def test_a_target_fails_where_the_code_is_wrong(
    target: str, broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = list(TARGETS[target].seeds())
    broken(monkeypatch)

    def hold() -> None:
        for seed in seeds:
            TARGETS[target].one(seed)

    with pytest.raises(AssertionError):
        hold()
