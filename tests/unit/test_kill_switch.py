"""The kill switch: its grammar and its scopes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roomkey.errors import DependencyFailure, KillSwitchUnavailable, MintingDisabled
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
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
def test_a_kill_switch_turns_off_kinds_of_a_platform(text: str, app: bool, management: bool) -> None:
    flag = KillSwitch.parse(text)
    assert (flag.is_off("100ms", APP), flag.is_off("100ms", MANAGEMENT)) == (app, management)


def test_a_flag_for_one_platform_leaves_the_others_alone() -> None:
    for text in ("100ms", "100ms/app", "100ms/app,100ms/management"):
        assert not KillSwitch.parse(text).is_off("another", APP)
    assert KillSwitch.parse("app").is_off("another", APP)
    assert KillSwitch.parse("true").is_off("another", MANAGEMENT)


def test_everything_is_off_with_any_other_scope() -> None:
    flag = KillSwitch(everything=True, scopes=frozenset({"agora/app"}))

    assert flag.is_off("100ms", MANAGEMENT)
    assert flag.text == "true"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_can_be_named(platform: str) -> None:
    assert KillSwitch.parse(platform).is_off(platform, APP)
    assert KillSwitch.parse(f"{platform}/app").is_off(platform, APP)
    assert not KillSwitch.parse(f"{platform}/app").is_off(platform, MANAGEMENT)


@given(st.lists(st.sampled_from(SCOPES), min_size=1, unique=True))
def test_scopes_turn_off_only_themselves(scopes: list[str]) -> None:
    flag = KillSwitch.parse(",".join(scopes))
    for platform in PLATFORMS:
        for kind in TokenKind:
            named = not {str(kind), platform, f"{platform}/{kind}"}.isdisjoint(scopes)
            assert flag.is_off(platform, kind) is named


@pytest.mark.parametrize("text", ["false", "true", *SCOPES, "app,100ms/management", ",".join(SCOPES)])
def test_a_flag_is_stored_as_it_is_read(text: str) -> None:
    assert KillSwitch.parse(text).text == text


def test_scopes_are_stored_in_one_order() -> None:
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
def test_any_other_text_is_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a kill switch$"):
        KillSwitch.parse(text)


@pytest.mark.threat("B5")
@given(st.text() | st.lists(st.sampled_from([*SCOPES, "true", "false", ""])).map(",".join))
@example("false\x00")
@example("\u2028true")
def test_only_a_text_of_the_grammar_is_valid(text: str) -> None:
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


# --- scopes --------------------------------------------------------------------------------------------------------


def _state(text: str, age: float, failure: DependencyFailure | None = None) -> KillSwitchReading:
    return KillSwitchReading(KillSwitch.parse(text), age, failure)


@pytest.mark.parametrize("age", [0, 30, 299.9, 300])
def test_on_is_valid_for_300_seconds(age: float) -> None:
    _state("false", age, DOWN).require_on("100ms", APP)


@pytest.mark.threat("B3")
@pytest.mark.parametrize("age", [300.1, 3600, 10 * 86400])
def test_on_is_invalid_after_300_seconds(age: float) -> None:
    with pytest.raises(KillSwitchUnavailable) as caught:
        _state("false", age, DOWN).require_on("100ms", APP)
    assert caught.value.failure is DOWN
    assert caught.value.transient


@pytest.mark.threat("B3")
@pytest.mark.parametrize("age", [0, 300, 301, 10 * 86400])
@pytest.mark.parametrize("text", ["true", "app", "100ms", "100ms/app"])
def test_off_stays_valid(text: str, age: float) -> None:
    with pytest.raises(MintingDisabled):
        _state(text, age, DOWN).require_on("100ms", APP)


def test_a_partly_off_kill_switch_is_on_for_other_scopes_for_300_seconds() -> None:
    _state("app", 300, DOWN).require_on("100ms", MANAGEMENT)
    with pytest.raises(KillSwitchUnavailable):
        _state("app", 301, DOWN).require_on("100ms", MANAGEMENT)
