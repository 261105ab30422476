"""The flag and the policy, read together and failing apart: what holds of the policy, and of both at once.

What holds of the flag alone is in test_kill_switch.py.
"""

import json
import traceback

import pytest

from roomkey.clock import Budget
from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled, PolicyUnavailable
from roomkey.identity import Caller
from roomkey.operator_config import OperatorConfig, OperatorConfigCache
from roomkey.platforms.base import TokenKind
from roomkey.platforms.hms import Hms
from roomkey.policy import Mode
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest
from support.clocks import FakeClock

FLAG, POLICY = "/roomkey/dev/disabled", "/roomkey/dev/policy"
DOWN = DependencyFailure("ssm", "throttled", transient=True)
RULE = {"name": "all", "who": ["anyone"], "kinds": ["*"], "platforms": ["*"]}


def _policy(*rules: object, mode: str = "enforce") -> str:
    return json.dumps({"version": 1, "mode": mode, "rules": rules})


class Parameters:
    """The injected reading: answers both parameters, or fails."""

    def __init__(self) -> None:
        self.flag: str | None = "false"
        self.policy: str | None = _policy(RULE)
        self.failure: DependencyFailure | None = None

    def read(self, names: list[str], budget: Budget) -> dict[str, str | None]:
        assert names == [FLAG, POLICY]
        if self.failure:
            raise self.failure
        return {POLICY: self.policy, FLAG: self.flag}


class Subject:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.parameters = Parameters()
        self.state = OperatorConfigCache(
            self.parameters,  # type: ignore[arg-type]
            kill_switch_name=FLAG,
            policy_name=POLICY,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def read(self) -> OperatorConfig:
        return self.state.read(Budget.start(self.clock, 2.8))

    def rule(self) -> str | None:
        """The rule by which anyone may manage rooms at 100ms."""
        return self.read().require_policy().decide(TokenRequest(Hms(), TokenKind.MANAGEMENT), Caller(Access.OPEN)).rule

    def without_policy(self) -> DependencyFailure:
        """Why there is no policy to decide by."""
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


def test_without_a_policy_there_is_none_in_force(subject: Subject) -> None:
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
def test_what_is_no_policy_is_not_in_force_and_says_what_is_wrong(
    subject: Subject, text: str, problems: tuple[str, ...]
) -> None:
    subject.parameters.policy = text

    failure = subject.without_policy()

    assert (failure.dependency, failure.reason, failure.transient) == ("ssm", "invalid-policy", False)
    assert failure.problems == problems


@pytest.mark.parametrize("text", [None, "no policy"])
def test_a_policy_that_is_none_any_more_is_forgotten_and_the_flag_is_not(subject: Subject, text: str | None) -> None:
    assert subject.rule() == "all"
    subject.parameters.policy = text
    subject.clock.advance(31)
    subject.without_policy()
    subject.read().switch.require_on("100ms", TokenKind.APP)

    subject.parameters.flag = "true"
    subject.clock.advance(31)
    with pytest.raises(MintingDisabled):
        subject.read().switch.require_on("100ms", TokenKind.APP)


def test_a_policy_outlives_a_failing_ssm_for_300_seconds(subject: Subject) -> None:
    assert subject.rule() == "all"
    subject.parameters.failure = DOWN
    subject.clock.advance(300)
    assert subject.rule() == "all"
    subject.clock.advance(1 / 64)
    assert subject.without_policy() is DOWN


def test_a_state_is_as_old_as_its_reading(subject: Subject) -> None:
    subject.read()
    subject.parameters.failure = DOWN
    subject.clock.advance(40)

    state = subject.read()

    assert (state.switch.age, state.switch.failure) == (40, DOWN)


@pytest.mark.parametrize("text", [None, "maybe"])
def test_a_fault_drags_no_other_exception_along(subject: Subject, text: str | None) -> None:
    subject.parameters.flag = text
    with pytest.raises(KillSwitchUnavailable) as caught:
        subject.read()

    for error in (caught.value, caught.value.failure):
        assert error is not None
        assert "another exception" not in "".join(traceback.format_exception(error))
