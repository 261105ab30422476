"""The kill switch as `roomkey env disable` and `enable` compute it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.kill_switch import SCOPES, KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.token_requests import KINDS
from roomkey_cli.aws import kill_switch

EVERY = list(PLATFORMS)

PAIRS = [(platform, kind) for platform in PLATFORMS for kind in KINDS]

flags = st.one_of(
    st.just(KillSwitch(everything=True)),
    st.frozensets(st.sampled_from(SCOPES)).map(lambda scopes: KillSwitch(everything=False, scopes=scopes)),
)
some_scopes = st.lists(st.sampled_from(SCOPES), min_size=1, unique=True)


def off(flag: KillSwitch) -> set[tuple[str, str]]:
    return {pair for pair in PAIRS if flag.is_off(*pair)}


def scoped(*scopes: str) -> set[tuple[str, str]]:
    return off(KillSwitch(everything=False, scopes=frozenset(scopes)))


@given(flags)
def test_the_text_of_a_flag_is_that_flag(flag: KillSwitch) -> None:
    assert KillSwitch.parse(flag.text) == flag


@given(flags, some_scopes)
def test_a_further_scope_is_off_besides_the_others(flag: KillSwitch, scopes: list[str]) -> None:
    assert off(kill_switch.turned_off(flag, scopes)) == off(flag) | scoped(*scopes)


@given(flags, some_scopes)
def test_turning_on_changes_no_other_scope(flag: KillSwitch, scopes: list[str]) -> None:
    try:
        after = kill_switch.turned_on(flag, scopes)
    except ValueError:
        assert off(flag) & scoped(*scopes)
        return
    assert off(flag) - scoped(*scopes) <= off(after) <= off(flag)


@given(some_scopes)
def test_from_everything_off_exactly_the_named_scope_turns_on(scopes: list[str]) -> None:
    after = kill_switch.turned_on(KillSwitch(everything=True), scopes)

    assert off(after) == set(PAIRS) - scoped(*scopes)


@pytest.mark.parametrize(("platform", "kind"), PAIRS)
def test_from_everything_off_one_kind_of_a_platform_turns_on_and_then_the_others(platform: str, kind: str) -> None:
    one = kill_switch.turned_on(KillSwitch(everything=True), [f"{platform}/{kind}"])

    others = [f"{platform}/{other}" for other in KINDS if other != kind]
    for more in ([platform], others):
        assert off(kill_switch.turned_on(one, more)) == set(PAIRS) - scoped(platform)


@given(flags, st.lists(st.sampled_from(SCOPES), unique=True))
def test_the_undo_restores_the_state(before: KillSwitch, scopes: list[str]) -> None:
    after = kill_switch.turned_off(before, scopes) if scopes else KillSwitch(everything=True)

    flag = after
    for word, named in kill_switch.undo_commands(before, after):
        flag = kill_switch.turned_off(flag, named) if word == "disable" else _enabled(flag, named)

    assert off(flag) == off(before)


def _enabled(flag: KillSwitch, scopes: Sequence[str]) -> KillSwitch:
    return kill_switch.turned_on(flag, scopes) if scopes else KillSwitch(everything=False)


@pytest.mark.parametrize(
    ("flag", "scopes", "after"),
    [
        ("false", ["100ms"], "false"),
        ("100ms", ["100ms"], "false"),
        ("100ms,agora/app", ["100ms"], "agora/app"),
        ("100ms/app,100ms/management", ["100ms"], "false"),
        ("app,100ms", ["app"], "100ms"),
        ("app,100ms", ["100ms"], "app"),
        ("app,agora/management", ["agora/management"], "app"),
        ("agora", ["100ms"], "agora"),
        ("true", ["app"], "management,invite"),
        ("true", ["app", "management", "invite"], "false"),
        ("true", list(PLATFORMS), "false"),
    ],
)
def test_turning_on(flag: str, scopes: list[str], after: str) -> None:
    assert kill_switch.turned_on(KillSwitch.parse(flag), scopes).text == after


@pytest.mark.parametrize(
    ("flag", "scope", "others"),
    [("100ms", "100ms/app", "100ms"), ("app", "100ms", "app"), ("app,100ms", "100ms/app", "app and 100ms")],
)
def test_a_scope_that_another_keeps_off_is_reported(flag: str, scope: str, others: str) -> None:
    with pytest.raises(ValueError, match=f"^{scope} is off because {others} is off: enable that scope instead$"):
        kill_switch.turned_on(KillSwitch.parse(flag), [scope])


@pytest.mark.parametrize(
    ("flag", "minting", "words"),
    [
        ("false", "on", "nothing"),
        ("true", "off", "everything"),
        ("app,management,invite", "off", "app, management, invite"),
        (",".join(PLATFORMS), "off", ", ".join(PLATFORMS)),
        ("invite", "on", "invite"),
        ("agora/app", "partly-off", "agora/app"),
    ],
)
def test_the_state_is_shown_in_words(flag: str, minting: str, words: str) -> None:
    assert KillSwitch.parse(flag).minting(PLATFORMS) == minting
    assert kill_switch.off_words(KillSwitch.parse(flag)) == words
