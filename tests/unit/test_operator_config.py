"""The operator config: parameters that are read together and fail independently."""

import json
import math
import traceback

import pytest

from roomkey.clock import Budget
from roomkey.errors import (
    BlockListUnavailable,
    DependencyFailure,
    KillSwitchUnavailable,
    MintingDisabled,
    PolicyUnavailable,
)
from roomkey.identity import Caller
from roomkey.operator_config import OperatorConfig, OperatorConfigCache
from roomkey.platforms.base import TokenKind
from roomkey.platforms.hms import Hms
from roomkey.policy import Mode
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest
from support.clocks import FakeClock

KILL_SWITCH, POLICY, BLOCKED = "/roomkey/dev/disabled", "/roomkey/dev/policy", "/roomkey/dev/blocked"
DOWN = DependencyFailure("ssm", "throttled", transient=True)
RULE = {"name": "all", "who": ["anyone"], "kinds": ["*"], "platforms": ["*"]}


def _policy(*rules: object, mode: str = "enforce") -> str:
    return json.dumps({"version": 1, "mode": mode, "rules": rules})


class Parameters:
    """A reader that returns both parameters, or fails."""

    def __init__(self) -> None:
        self.kill_switch: str | None = "false"
        self.policy: str | None = _policy(RULE)
        self.block_list: str | None = "{}"
        self.failure: DependencyFailure | None = None
        self.calls = 0

    def read(self, names: list[str], budget: Budget) -> dict[str, str | None]:
        assert names == [KILL_SWITCH, POLICY, BLOCKED]
        self.calls += 1
        if self.failure:
            raise self.failure
        return {POLICY: self.policy, KILL_SWITCH: self.kill_switch, BLOCKED: self.block_list}


class Subject:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.parameters = Parameters()
        self.config = OperatorConfigCache(
            self.parameters,  # type: ignore[arg-type]
            kill_switch_name=KILL_SWITCH,
            policy_name=POLICY,
            block_list_name=BLOCKED,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def read(self) -> OperatorConfig:
        return self.config.read(Budget.start(self.clock, 2.8))

    def minting(self, *platforms: str) -> str:
        return self.config.minting(platforms or ("100ms",), Budget.start(self.clock, 2.8))

    def rule(self) -> str | None:
        """The rule that lets anyone manage rooms at 100ms."""
        return self.read().require_policy().decide(TokenRequest(Hms(), TokenKind.MANAGEMENT), Caller(Access.OPEN)).rule

    def without_policy(self) -> DependencyFailure:
        """The reason why no policy is available."""
        state = self.read()
        with pytest.raises(PolicyUnavailable) as caught:
            state.require_policy()
        assert caught.value.failure is not None
        return caught.value.failure


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_the_policy_that_is_stored_is_in_force(subject: Subject) -> None:
    assert subject.rule() == "all"
    subject.parameters.policy = _policy({**RULE, "name": "the same"}, mode="audit")
    subject.clock.advance(31)
    assert subject.rule() == "the same"
    assert subject.read().require_policy().mode is Mode.AUDIT


def test_without_a_stored_policy_there_is_none(subject: Subject) -> None:
    subject.parameters.policy = None

    failure = subject.without_policy()

    assert (failure.dependency, failure.reason, failure.transient) == ("ssm", "policy-missing", False)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ("policy: is not a JSON document without duplicate keys",)),
        (
            '{"version": 2, "mode": "off", "rules": []}',
            ("version: must be 1", "mode: must be enforce or audit"),
        ),
    ],
)
def test_an_invalid_policy_is_rejected_with_its_problems(
    subject: Subject, text: str, problems: tuple[str, ...]
) -> None:
    subject.parameters.policy = text

    failure = subject.without_policy()

    assert (failure.dependency, failure.reason, failure.transient) == ("ssm", "invalid-policy", False)
    assert failure.problems == problems


@pytest.mark.parametrize("text", [None, "no policy"])
def test_a_policy_that_became_invalid_is_dropped_without_the_kill_switch(subject: Subject, text: str | None) -> None:
    assert subject.rule() == "all"
    subject.parameters.policy = text
    subject.clock.advance(31)
    subject.without_policy()
    subject.read().kill_switch.require_on("100ms", TokenKind.APP)

    subject.parameters.kill_switch = "true"
    subject.clock.advance(31)
    with pytest.raises(MintingDisabled):
        subject.read().kill_switch.require_on("100ms", TokenKind.APP)


def test_a_policy_outlives_a_failing_ssm_for_300_seconds(subject: Subject) -> None:
    assert subject.rule() == "all"
    subject.parameters.failure = DOWN
    subject.clock.advance(300)
    assert subject.rule() == "all"
    subject.clock.advance(1 / 64)
    assert subject.without_policy() is DOWN


@pytest.mark.parametrize(
    ("text", "reason", "problems"),
    [
        (None, "block-list-missing", ()),
        ("[]", "invalid-block-list", ("the list is not an object with invites, users",)),
        ("{", "invalid-block-list", ("not a JSON document without duplicate keys",)),
    ],
)
def test_a_missing_or_invalid_block_list_blocks_everyone(
    subject: Subject, text: str | None, reason: str, problems: tuple[str, ...]
) -> None:
    subject.read().require_block_list()
    subject.parameters.block_list = text
    subject.clock.advance(31)

    with pytest.raises(BlockListUnavailable) as caught:
        subject.read().require_block_list()

    assert caught.value.failure
    assert (caught.value.failure.reason, caught.value.failure.problems) == (reason, problems)
    assert subject.rule() == "all"


def test_a_block_list_may_be_300_seconds_stale(subject: Subject) -> None:
    subject.read()
    subject.parameters.failure = DOWN
    subject.clock.advance(300)
    subject.read().require_block_list()
    subject.clock.advance(1 / 64)
    with pytest.raises(BlockListUnavailable):
        subject.read().require_block_list()


@pytest.mark.threat("B4", "B5")
@pytest.mark.parametrize(
    ("text", "reason"), [(None, "not-found"), ("maybe", "invalid-kill-switch"), ("", "invalid-kill-switch")]
)
def test_a_missing_or_invalid_kill_switch_is_not_on_cold_or_warm(
    subject: Subject, text: str | None, reason: str
) -> None:
    for _ in range(2):
        subject.parameters.kill_switch = text
        with pytest.raises(KillSwitchUnavailable) as caught:
            subject.read()
        failure = caught.value.failure
        assert failure
        assert (failure.dependency, failure.reason, failure.transient) == ("ssm", reason, False)
        for error in (caught.value, failure):
            assert "another exception" not in "".join(traceback.format_exception(error))

        subject.clock.advance(6)
        subject.parameters.kill_switch = "false"
        subject.read().kill_switch.require_on("100ms", TokenKind.APP)
        subject.clock.advance(31)


@pytest.mark.threat("I4")
def test_a_config_that_was_never_read_allows_nothing(subject: Subject) -> None:
    subject.parameters.failure = DOWN
    with pytest.raises(KillSwitchUnavailable):
        subject.read()


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minting"),
    [
        ("false", "on"),
        ("true", "off"),
        ("100ms", "off"),
        ("app,management", "off"),
        ("100ms/app,management", "off"),
        ("app", "partly-off"),
        ("100ms/management", "partly-off"),
    ],
)
def test_health_reports_the_kill_switch(subject: Subject, text: str, minting: str) -> None:
    subject.parameters.kill_switch = text
    assert subject.minting() == minting


def test_health_reports_on_the_platforms_that_are_served(subject: Subject) -> None:
    subject.parameters.kill_switch = "100ms"
    assert subject.minting("100ms", "another") == "partly-off"
    assert subject.minting("another") == "on"


@pytest.mark.parametrize("text", [DOWN, None, "maybe"])
def test_health_reports_unknown_and_reads_once_per_ttl(subject: Subject, text: str | DependencyFailure | None) -> None:
    if isinstance(text, DependencyFailure):
        subject.parameters.failure = text
    else:
        subject.parameters.kill_switch = text
    for _ in range(29):
        assert subject.minting() == "unknown"
        subject.clock.advance(1)
    assert subject.parameters.calls == 1


@pytest.mark.threat("B3", "I3")
@pytest.mark.parametrize(
    ("text", "until_300", "after"),
    [("false", "on", "unknown"), ("true", "off", "off"), ("app", "partly-off", "unknown")],
)
def test_health_reports_the_last_reading_while_ssm_is_down(
    subject: Subject, text: str, until_300: str, after: str
) -> None:
    subject.parameters.kill_switch = text
    subject.minting()
    subject.parameters.failure = DOWN
    subject.clock.advance(300)
    assert subject.minting() == until_300
    subject.clock.advance(1)
    assert subject.minting() == after


def test_health_reports_unknown_without_time(subject: Subject) -> None:
    assert subject.config.minting(["100ms"], Budget.start(subject.clock, -math.inf)) == "unknown"
