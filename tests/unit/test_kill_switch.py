"""The disable flag: its grammar, what it turns off, and how old it may be."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roomkey.clock import Budget
from roomkey.errors import DeadlineExceeded, DependencyFailure, KillSwitchUnavailable, MintingDisabled
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.operator_config import OperatorConfigCache
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from support.clocks import FakeClock

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
NAME, POLICY_NAME = "/roomkey/dev/disabled", "/roomkey/dev/policy"
NOBODY = '{"version": 1, "mode": "enforce", "rules": []}'

DOWN = DependencyFailure("ssm", "throttled", transient=True)
DENIED = DependencyFailure("ssm", "access-denied", transient=False)

SCOPES = [*TokenKind, *PLATFORMS, *(f"{platform}/{kind}" for platform in PLATFORMS for kind in TokenKind)]


# --- the grammar ---------------------------------------------------------------------------------------------------


@pytest.mark.threat("B6")
@pytest.mark.parametrize(
    ("text", "app", "management"),
    [
        pytest.param("false", False, False, id="B6-disabled-false-is-on"),
        pytest.param("true", True, True, id="B6-disabled-true-is-off"),
        ("app", True, False),
        ("management", False, True),
        ("app,management", True, True),
        ("management,app", True, True),
        ("100ms", True, True),
        ("100ms/app", True, False),
        ("100ms/management", False, True),
        ("100ms/app,100ms/management", True, True),
        ("100ms,100ms/app", True, True),
        ("100ms/management,app", True, True),
    ],
)
def test_what_a_flag_turns_off_on_a_platform(text: str, app: bool, management: bool) -> None:
    flag = KillSwitch.parse(text)
    assert (flag.is_off("100ms", APP), flag.is_off("100ms", MANAGEMENT)) == (app, management)


def test_a_flag_for_one_platform_leaves_the_others_alone() -> None:
    for text in ("100ms", "100ms/app", "100ms/app,100ms/management"):
        assert not KillSwitch.parse(text).is_off("another", APP)
    assert KillSwitch.parse("app").is_off("another", APP)
    assert KillSwitch.parse("true").is_off("another", MANAGEMENT)


def test_everything_is_off_whatever_is_named_beside_it() -> None:
    flag = KillSwitch(everything=True, scopes=frozenset({"agora/app"}))

    assert flag.is_off("100ms", MANAGEMENT)
    assert flag.text == "true"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_can_be_named(platform: str) -> None:
    assert KillSwitch.parse(platform).is_off(platform, APP)
    assert KillSwitch.parse(f"{platform}/app").is_off(platform, APP)
    assert not KillSwitch.parse(f"{platform}/app").is_off(platform, MANAGEMENT)


@settings(deadline=None)
@given(st.lists(st.sampled_from(SCOPES), min_size=1, unique=True))
def test_scopes_turn_off_what_they_name_and_nothing_else(scopes: list[str]) -> None:
    flag = KillSwitch.parse(",".join(scopes))
    for platform in PLATFORMS:
        for kind in TokenKind:
            named = not {str(kind), platform, f"{platform}/{kind}"}.isdisjoint(scopes)
            assert flag.is_off(platform, kind) is named


@pytest.mark.parametrize("text", ["false", "true", *SCOPES, "app,100ms/management", ",".join(SCOPES)])
def test_a_flag_is_stored_as_it_is_read(text: str) -> None:
    assert KillSwitch.parse(text).text == text


def test_a_flag_is_stored_in_one_order_whatever_it_was_written_in() -> None:
    assert KillSwitch.parse(",".join(SCOPES[::-1])).text == ",".join(SCOPES)


NOT_A_FLAG = [
    *("TRUE", "True", "FALSE", "False", "true ", " true", "false ", " false", "false\n", "true\n", "\tfalse"),
    *("'true'", "1", "0", "yes", "no", "on", "off", "null", "none", "None", "nil", "enabled", "disabled", "-", "*", ""),
    *('{"disabled":false}', '"false"', "[]", "\u200bfalse", "false\u200b", "\ufefffalse", "\uff46alse"),
    *("f\u0430lse", "app,", ",app", "app,,management", "app,app", "app, management", "app ,management"),
    *("app;management", "true,app", "app,true", "false,app", "true,true", "false,false", "true,false"),
    *("App", "100MS", "100ms/App", "100ms/", "/app", "100ms/app/app", "app/100ms", "100ms app", "100ms\\app"),
    *("nowhere", "nowhere/app", "100ms/nothing", "*/app", "100ms/*", "all"),
]


@pytest.mark.threat("B5")
@pytest.mark.parametrize("text", NOT_A_FLAG, ids=[f"B5-{text!a}" for text in NOT_A_FLAG])
def test_anything_else_is_no_flag(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a disable flag$"):
        KillSwitch.parse(text)


@pytest.mark.threat("B5")
@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from([*SCOPES, "true", "false", ""])).map(",".join))
@example("false\x00")
@example("\u2028true")
def test_a_text_is_a_flag_only_if_the_grammar_says_so(text: str) -> None:
    parts = text.split(",")
    valid = text in ("true", "false") or (set(parts) <= set(SCOPES) and len(parts) == len(set(parts)))
    try:
        flag = KillSwitch.parse(text)
    except ValueError:
        assert not valid
    else:
        assert valid
        on = text == "false"
        assert any(flag.is_off(platform, kind) for platform in PLATFORMS for kind in TokenKind) is not on


# --- what is known of it -------------------------------------------------------------------------------------------


def _state(text: str, age: float, failure: DependencyFailure | None = None) -> KillSwitchReading:
    return KillSwitchReading(KillSwitch.parse(text), age, failure)


@pytest.mark.parametrize("age", [0, 30, 299.9, 300])
def test_on_is_believed_for_300_seconds(age: float) -> None:
    _state("false", age, DOWN).require_on("100ms", APP)


@pytest.mark.threat("B3")
@pytest.mark.parametrize("age", [300.1, 3600, 10 * 86400])
def test_on_is_not_believed_for_longer(age: float) -> None:
    with pytest.raises(KillSwitchUnavailable) as caught:
        _state("false", age, DOWN).require_on("100ms", APP)
    assert caught.value.failure is DOWN
    assert caught.value.transient


@pytest.mark.threat("B3")
@pytest.mark.parametrize("age", [0, 300, 301, 10 * 86400])
@pytest.mark.parametrize("text", ["true", "app", "100ms", "100ms/app"])
def test_off_is_believed_for_ever(text: str, age: float) -> None:
    with pytest.raises(MintingDisabled):
        _state(text, age, DOWN).require_on("100ms", APP)


def test_a_flag_that_is_partly_off_is_on_for_the_rest_and_only_as_long() -> None:
    _state("app", 300, DOWN).require_on("100ms", MANAGEMENT)
    with pytest.raises(KillSwitchUnavailable):
        _state("app", 301, DOWN).require_on("100ms", MANAGEMENT)


class Parameters:
    """The injected reading: answers what it is told to, for the one name that is asked for."""

    def __init__(self) -> None:
        self.calls = 0
        self.says: str | Exception | None = "false"

    def read(self, names: list[str], budget: Budget) -> dict[str, str | None]:
        assert names == [NAME, POLICY_NAME]
        assert budget.remaining() > 0
        self.calls += 1
        if isinstance(self.says, Exception):
            raise self.says
        return {NAME: self.says, POLICY_NAME: NOBODY}


class Subject:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.parameters = Parameters()
        self.state = OperatorConfigCache(
            self.parameters,  # type: ignore[arg-type]
            kill_switch_name=NAME,
            policy_name=POLICY_NAME,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def budget(self, seconds: float = 2.8) -> Budget:
        return Budget.start(self.clock, seconds)

    def is_on(self, kind: TokenKind = APP) -> bool:
        """Whether a token of this kind may be made; False where it is known that it may not."""
        try:
            self.state.read(self.budget()).switch.require_on("100ms", kind)
        except MintingDisabled:
            return False
        return True

    def unavailable(self) -> DependencyFailure | None:
        with pytest.raises(KillSwitchUnavailable) as caught:
            self.is_on()
        return caught.value.failure

    def minting(self, *platforms: str) -> str:
        return self.state.minting(platforms or ("100ms",), self.budget())


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_the_flag_is_read_once_per_30_seconds(subject: Subject) -> None:
    assert subject.is_on()
    subject.parameters.says = "true"
    subject.clock.advance(29.9)
    assert subject.is_on()
    assert subject.parameters.calls == 1
    subject.clock.advance(0.2)
    assert not subject.is_on()
    assert subject.parameters.calls == 2


@pytest.mark.threat("B4", "B5")
@pytest.mark.parametrize(
    ("says", "reason"), [(None, "not-found"), ("maybe", "invalid-kill-switch"), ("", "invalid-kill-switch")]
)
def test_a_flag_that_is_missing_or_makes_no_sense_is_not_on_cold_or_warm(
    subject: Subject, says: str | None, reason: str
) -> None:
    for _ in range(2):
        subject.parameters.says = says
        failure = subject.unavailable()
        assert failure is not None
        assert (failure.dependency, failure.reason, failure.transient) == ("ssm", reason, False)
        assert "maybe" not in str(failure)

        subject.clock.advance(6)
        subject.parameters.says = "false"
        assert subject.is_on()
        subject.clock.advance(31)


@pytest.mark.threat("I4")
def test_what_was_never_read_is_not_on(subject: Subject) -> None:
    subject.parameters.says = DOWN
    assert subject.unavailable() is DOWN
    subject.clock.advance(10 * 86400)
    assert subject.unavailable() is DOWN


@pytest.mark.threat("B3", "I3")
def test_on_outlives_a_failing_ssm_for_300_seconds(subject: Subject) -> None:
    assert subject.is_on()
    subject.parameters.says = DOWN
    subject.clock.advance(300)
    assert subject.is_on()
    subject.clock.advance(0.1)
    assert subject.unavailable() is DOWN
    subject.clock.advance(86400)
    assert subject.unavailable() is DOWN


@pytest.mark.threat("B3", "I3")
def test_off_outlives_a_failing_ssm_for_ever(subject: Subject) -> None:
    subject.parameters.says = "true"
    assert not subject.is_on()
    subject.parameters.says = DOWN
    for seconds in (31, 301, 3601, 10 * 86400):
        subject.clock.advance(seconds)
        assert not subject.is_on()
    subject.parameters.says = "false"
    subject.clock.advance(6)
    assert subject.is_on()


def test_an_authoritative_no_ends_what_was_known_at_once(subject: Subject) -> None:
    assert subject.is_on()
    subject.clock.advance(31)
    subject.parameters.says = DENIED
    assert subject.unavailable() is DENIED


def test_without_time_to_find_out_it_is_not_on(subject: Subject) -> None:
    with pytest.raises(DeadlineExceeded):
        subject.state.read(subject.budget(0))
    assert subject.parameters.calls == 0


# --- what health says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
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
def test_health_says_whether_minting_is_on(subject: Subject, text: str, says: str) -> None:
    subject.parameters.says = text
    assert subject.minting() == says


def test_health_speaks_of_the_platforms_that_are_there(subject: Subject) -> None:
    subject.parameters.says = "100ms"
    assert subject.minting("100ms", "another") == "partly-off"
    assert subject.minting("another") == "on"


@pytest.mark.parametrize("says", [DOWN, DENIED, None, "maybe"])
def test_health_says_unknown_of_what_was_never_read_and_asks_seldom(
    subject: Subject, says: str | Exception | None
) -> None:
    subject.parameters.says = says
    for _ in range(29):
        assert subject.minting() == "unknown"
        subject.clock.advance(1)
    assert subject.parameters.calls == 1


@pytest.mark.parametrize(
    ("text", "until_300", "after"),
    [("false", "on", "unknown"), ("true", "off", "off"), ("app", "partly-off", "unknown")],
)
def test_health_says_what_is_known_while_ssm_is_down(subject: Subject, text: str, until_300: str, after: str) -> None:
    subject.parameters.says = text
    subject.minting()
    subject.parameters.says = DOWN
    subject.clock.advance(300)
    assert subject.minting() == until_300
    subject.clock.advance(1)
    assert subject.minting() == after


def test_health_says_unknown_without_time(subject: Subject) -> None:
    assert subject.state.minting(["100ms"], subject.budget(-math.inf)) == "unknown"
