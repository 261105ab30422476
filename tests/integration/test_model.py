"""Operators, AWS and time change the state of an environment at random; hypothesis looks for a wrong answer.

`integration.model` decides which answer is wrong. `BREAKS` are bugs, each with the steps that reveal it.

`ROOMKEY_MODEL_EXAMPLES=2000` makes a long run with other examples each time."""

import __future__

import contextlib
import inspect
import itertools
import json
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from jsonschema import ValidationError

from integration.model import (
    BLOCK_LISTS,
    BLOCKED,
    CALLERS,
    CREDENTIALS_FOR,
    ENCRYPTED,
    FLAG,
    FRESH,
    GUEST,
    INVITES,
    KEY_NAMES,
    LASTING,
    NOT_BLOCK_LISTS,
    NOT_FLAGS,
    NOT_POLICIES,
    ON_FOR,
    OPEN_POLICY,
    PASSING,
    PLATFORMS,
    POLICIES,
    POLICY,
    REST,
    SCOPES,
    SERVER,
    SM,
    SPOILED,
    SSM,
    TEACHER,
    TTL_JITTER,
    Ask,
    Caller,
    Environment,
    secret,
)
from roomkey import actions, api, block_list, cache, clock, invites, kill_switch, limits, operator_config
from roomkey.aws import client
from roomkey.platforms import base
from roomkey.policy import rules
from support.aws import faulty as faults
from support.aws.faulty import Behaviour, Operation, Parameter, SecretMetadata
from support.aws.virtual import VirtualAws
from support.clocks import FakeClock
from support.invites import KEY_SECRET

MOVES = ("promote", "delete", "mark as deleted", "leave without a value")
EXAMPLES = int(os.environ.get("ROOMKEY_MODEL_EXAMPLES", "0"))

# --- the machine ---------------------------------------------------------------------------------------------------

# No sum of these is exactly a time limit: whether the limit itself is included is undefined.
A_WHILE = st.sampled_from([0.113, 1.07, 5.23, 7.19, 31.37, 61.41, 301.59, 1201.61, 3607.67, 8 * 3600.71, 10 * 86400.73])
HELD_UP = st.sampled_from([0.91, 1.79, 2.71, 7.29, 47.31, 307.37, 7200.41, 3 * 86400.43])
type Clocks = tuple[int, int]

CLOCKS = st.sampled_from([(1, 1), (1, 1), (1, 0), (1, 0), (0, 1), (-1, 0), (-1, 1)])
"""The advance of wall clock and monotonic clock: both run, an environment is frozen, the wall clock is set back."""

flags = st.one_of(
    st.just("false"),
    st.just("false"),
    st.sampled_from(["true", *SCOPES]),
    st.lists(st.sampled_from(SCOPES), min_size=1, max_size=4).map(",".join),
    st.sampled_from([*NOT_FLAGS, None, ENCRYPTED]) | st.text(),
)
operations, platforms = st.sampled_from(list(Operation)), st.sampled_from(PLATFORMS)
behaviours = st.sampled_from([*PASSING, *PASSING, *LASTING])
bounds, around = st.sampled_from(["fresh", "rest", "kept"]), st.sampled_from([-0.17, 0.43])
clocks_that_move = st.sampled_from([(1, 1), (1, 0), (0, 1)])
SEEN: Counter[str] = Counter()
"""The number of times that each answer was seen."""


class RoomkeyMachine(RuleBasedStateMachine):
    """One environment at a time, mostly asked about `platform`, so that events coincide."""

    @initialize(access=st.sampled_from(["jwt", "open"]), chance=st.sampled_from([0.5, 0.0, 1.0]), platform=platforms)
    def deploy(self, access: str, chance: float, platform: str) -> None:
        self.aws = VirtualAws(FakeClock())
        self.access, self.chance, self.platform = access, chance, platform
        self._installed = contextlib.ExitStack()
        self._installed.enter_context(self.aws.installed())
        self.start_anew()
        self.put_everything_right()

    def teardown(self) -> None:
        self._installed.close()

    # Operators.

    @rule(text=flags, counts=st.booleans())
    def turn_the_flag(self, text: str | None, counts: bool) -> None:
        self._put(FLAG, text)
        if counts:
            self._pass(37.07, (1, 0))
            self.mint_both()

    @rule(text=st.sampled_from([*[OPEN_POLICY] * 9, *POLICIES, *POLICIES, *NOT_POLICIES, None, ENCRYPTED]))
    def change_the_policy(self, text: str | None) -> None:
        self._put(POLICY, text)
        self._pass(37.07, (1, 0))
        for caller in CALLERS:
            self._mint(Ask(caller, self.platform))

    @rule(text=st.sampled_from([*BLOCK_LISTS, *BLOCK_LISTS, *NOT_BLOCK_LISTS, None, ENCRYPTED]))
    def block(self, text: str | None) -> None:
        self._put(BLOCKED, text)
        self._pass(37.07, (1, 0))
        for caller in CALLERS:
            self._mint(Ask(caller, self.platform))

    def _put(self, name: str, text: str | None) -> None:
        self.aws.parameters.pop(name, None)
        if text == ENCRYPTED:
            self.aws.parameters[name] = Parameter({FLAG: "false", POLICY: OPEN_POLICY}.get(name, "{}"), "SecureString")
        elif text is not None:
            self.aws.put_parameter(name, text)

    @rule(
        what=st.one_of(st.integers(0, 2), st.sampled_from(list(SPOILED))),
        stage=st.sampled_from(["AWSCURRENT", "AWSCURRENT", "AWSPENDING"]),
    )
    def put_a_secret(self, what: int | str, stage: str) -> None:
        """Return a valid secret by its number, or an invalid one."""
        good = secret(self.platform, what if isinstance(what, int) else 0)
        text = json.dumps(good) if isinstance(what, int) else SPOILED[what](good, KEY_NAMES[self.platform])
        self.aws.put_secret(f"roomkey/dev/{self.platform}", text, stage)
        self._pass(361.61, (1, 0))
        self.mint_both()

    @rule(how=st.sampled_from(["promote", *MOVES]))
    def move_the_secret(self, how: str) -> None:
        name = f"roomkey/dev/{self.platform}"
        stored = self.aws.secrets.setdefault(name, SecretMetadata())
        if how == "promote" and "AWSPENDING" in stored.stages:
            stored.promote()
        elif how == "delete":
            del self.aws.secrets[name]
        elif how == "mark as deleted":
            stored.deleted = True
        elif how == "leave without a value":
            stored.stages.pop("AWSCURRENT", None)
        self._pass(361.61, (1, 0))
        self.mint_both()

    @rule()
    def put_everything_right(self) -> None:
        """Make everything valid and cached."""
        self._put(FLAG, "false")
        self._put(POLICY, OPEN_POLICY)
        self._put(BLOCKED, "{}")
        self.aws.secrets.clear()
        for platform in PLATFORMS:
            self.aws.put_secret(f"roomkey/dev/{platform}", json.dumps(secret(platform, 1)))
        self.aws.put_secret(INVITES, KEY_SECRET)
        self.aws.heal()
        self._pass(601.61, (1, 1))
        self.mint_both()

    # AWS and Lambda.

    @rule(operation=operations, behaviour=behaviours)
    def fail_once(self, operation: Operation, behaviour: Behaviour) -> None:
        self.aws.once[operation].append(behaviour)

    @rule()
    def heal(self) -> None:
        self.aws.heal()

    @rule(operation=operations, seconds=HELD_UP, clocks=CLOCKS, known=st.booleans())
    def hold_up_an_answer(self, operation: Operation, seconds: float, clocks: Clocks, known: bool) -> None:
        """Delay a response, since AWS is slow or Lambda freezes the environment, and turn minting off meanwhile."""

        def happen() -> None:
            self._put(FLAG, "true")
            self._pass(seconds, clocks)

        self._pass(FRESH[operation] * 1.3 if known else 8 * 3600, (1, 0))
        self.aws.once[operation].append(faults.meanwhile(happen))
        self.mint_both()

    @rule(full=st.sampled_from([False, False, True]))
    def fill_the_disk(self, full: bool) -> None:
        self.environment.audit.full = full

    @rule()
    def start_anew(self) -> None:
        """Start another environment, with an empty cache."""
        self.environment = Environment(self.aws, self.access, self.chance)

    # Time.

    @rule(seconds=A_WHILE, clocks=CLOCKS)
    def let_time_pass(self, seconds: float, clocks: Clocks) -> None:
        self._pass(seconds, clocks)

    def _pass(self, seconds: float, clocks: Clocks) -> None:
        self.aws.clock.wall += seconds * clocks[0]
        self.aws.clock.monotonic += seconds * clocks[1]

    @rule(operation=operations, bound=bounds, by=around, clocks=clocks_that_move)
    def wait_for_a_bound(self, operation: Operation, bound: str, by: float, clocks: Clocks) -> None:
        """Advance until just before or just after a time limit, and send a request."""
        model = self.environment.model
        known = model.state if operation is SSM else model.credentials[self.platform]
        since, seconds = {
            "fresh": (known.asked, model.ttl(known)),
            "rest": (known.failed, REST * (1 + TTL_JITTER * self.chance)),
            "kept": (known.asked, ON_FOR if operation is SSM else CREDENTIALS_FOR),
        }[bound]
        if since and (ahead := seconds + by - since.age(self.environment.now)) > 0:
            self._pass(ahead, clocks)
        self.mint_both()

    @rule(
        operation=operations,
        behaviour=behaviours,
        flag=st.sampled_from(["false", "false", "true", "app", "nosuch"]),
        bound=bounds,
        by=around,
        clocks=clocks_that_move,
        over=st.booleans(),
    )
    def live_through_an_outage(  # noqa: PLR0917 - hypothesis passes them by name
        self, operation: Operation, behaviour: Behaviour, flag: str, bound: str, by: float, clocks: Clocks, over: bool
    ) -> None:
        """Cache everything, turn the kill switch, then fail every read for a long time."""
        self.put_everything_right()
        self.turn_the_flag(flag, counts=True)
        self.aws.always[operation] = behaviour
        for reached in ("fresh", bound, bound):
            self.wait_for_a_bound(operation, reached, by, clocks)
        self.ask_health()
        if over:
            self.aws.heal()

    # Callers.

    @rule(
        caller=st.sampled_from(CALLERS),
        platform=platforms,
        expires_in=st.sampled_from([None, 600, 7200]),
        well_formed=st.sampled_from([True] * 5 + [False]),
    )
    def mint(self, caller: Caller, platform: str, expires_in: int | None, well_formed: bool) -> None:
        self._mint(Ask(caller, platform, expires_in, well_formed))

    @rule()
    def mint_both(self) -> None:
        """Request all tokens: the first request may call AWS, the second then need not."""
        for caller in (TEACHER, SERVER):
            self._mint(Ask(caller, self.platform))
        self.redeem(self.platform, "good")

    @rule(platform=platforms, invite=st.sampled_from(["good", "forged", "expired", "malformed"]))
    def redeem(self, platform: str, invite: str) -> None:
        self._mint(Ask(GUEST, platform, invite=invite))

    def _mint(self, ask: Ask) -> None:
        SEEN[self.environment.mint(ask)] += 1

    @rule()
    def ask_health(self) -> None:
        """Send it twice: a request for a token may try to read again by then, one for health may not."""
        for _ in range(2):
            SEEN[self.environment.health()] += 1
            self._pass(7.19, (1, 1))


def look(examples: int) -> None:
    """Run hypothesis. Raises its finding."""
    run_state_machine_as_test(
        RoomkeyMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=not EXAMPLES,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- the search finds nothing ----------------------------------------------------------------------------------------


@pytest.fixture
def machine() -> Iterator[RoomkeyMachine]:
    """A machine that tests drive step by step, through cases that random steps could miss."""
    SEEN.clear()
    machine = RoomkeyMachine()
    machine.deploy("jwt", 1.0, "100ms")
    yield machine
    machine.teardown()


class TestByHand:
    """Every case once: the answer is the model's."""

    @pytest.mark.threat("B1", "B3", "B4", "B5", "B7")
    def test_every_flag(self, machine: RoomkeyMachine) -> None:
        for text in ("false", "true", *SCOPES, *NOT_FLAGS, None, ENCRYPTED, "agora/app,100ms/management"):
            machine.put_everything_right()
            machine.turn_the_flag(text, counts=True)
            machine.ask_health()
        assert SEEN.keys() >= {"minted", "minting-disabled", "kill-switch-unavailable kill-switch-unavailable"}
        assert SEEN.keys() >= {"health on", "health off", "health partly-off", "health unknown"}

    def test_every_policy_and_caller(self, machine: RoomkeyMachine) -> None:
        for text in (*POLICIES, *NOT_POLICIES, None, ENCRYPTED):
            machine.change_the_policy(text)
            for caller, expires_in in itertools.product(CALLERS, (600, 7200)):
                machine.mint(caller, "videosdk", expires_in, well_formed=caller is not SERVER or expires_in == 600)
        assert SEEN.keys() >= {"minted", "not-allowed", "unauthenticated", "malformed-body"}
        assert SEEN["policy-unavailable policy-unavailable"]

    @pytest.mark.parametrize("access", ["jwt", "open"])
    def test_every_block_list(self, machine: RoomkeyMachine, access: str) -> None:
        machine.teardown()
        machine.deploy(access, 1.0, "100ms")
        for text in (*BLOCK_LISTS, *NOT_BLOCK_LISTS, None, ENCRYPTED):
            machine.block(text)
            for platform in PLATFORMS:
                machine.platform = platform
                machine.mint_both()
            machine.let_time_pass(864000.73, (1, 1))
            machine.mint_both()
            for invite in ("good", "forged", "expired", "malformed"):
                machine.redeem(machine.platform, invite)
            machine.turn_the_flag("true", counts=True)
            machine.turn_the_flag("false", counts=True)
        assert SEEN.keys() >= {"minted", "blocked", "blocklist-unavailable blocklist-unavailable", "minting-disabled"}
        assert SEEN["invite-invalid"]

    @pytest.mark.threat("A7", "A8", "A10", "A11", "A12", "A13", "A14", "A16", "A17", "A18")
    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_every_secret(self, machine: RoomkeyMachine, platform: str) -> None:
        machine.platform = platform
        for what in (0, *SPOILED):
            machine.put_a_secret(what, "AWSCURRENT")
        for how in MOVES:
            machine.put_everything_right()
            machine.put_a_secret(2, "AWSPENDING")
            machine.move_the_secret(how)
        assert SEEN.keys() >= {
            "minted",
            *(f"credentials-{why} credentials-{why}" for why in ("invalid", "unavailable")),
        }

    @pytest.mark.threat("A1", "A2", "A4", "A5", "A6", "A9", "B3", "B9")
    @pytest.mark.parametrize("operation", Operation)
    def test_every_fault(self, machine: RoomkeyMachine, operation: Operation) -> None:
        for behaviour in (*PASSING, *LASTING):
            machine.live_through_an_outage(operation, behaviour, "false", "rest", 0.43, (1, 1), over=True)
            machine.start_anew()
            machine.fail_once(operation, behaviour)
            machine.mint_both()
        why = "kill-switch" if operation is SSM else "credentials"
        assert SEEN.keys() >= {"minted", f"minted {why}-stale", f"{why}-unavailable {why}-unavailable"}

    @pytest.mark.threat("A2", "A3", "B2", "B3", "B10", "C2")
    @pytest.mark.parametrize("operation", Operation)
    def test_every_bound(self, machine: RoomkeyMachine, operation: Operation) -> None:
        every_clock = ((1, 1), (1, 0), (0, 1))
        cases = itertools.product(("false", "true"), ("fresh", "rest", "kept"), (-0.17, 0.43), every_clock)
        for flag, bound, by, clocks in cases:
            machine.live_through_an_outage(operation, faults.throttled, flag, bound, by, clocks, over=False)
        assert SEEN.keys() >= {"minted", "minting-disabled"}

    @pytest.mark.threat("C2", "B10")
    @pytest.mark.parametrize("operation", Operation)
    def test_every_answer_that_is_held_up(self, machine: RoomkeyMachine, operation: Operation) -> None:
        """With a cached value and without one."""
        every_clock = ((1, 1), (1, 0), (0, 1), (-1, 0))
        for seconds, clocks, known in itertools.product((0.91, 2.71, 7.29, 7200.41), every_clock, (True, False)):
            machine.put_everything_right()
            machine.hold_up_an_answer(operation, seconds, clocks, known)
            machine.ask_health()
        assert SEEN.keys() >= {"minted", "deadline-exceeded deadline-exceeded"}

    @pytest.mark.threat("H4")
    def test_a_full_disk(self, machine: RoomkeyMachine) -> None:
        for flag in ("false", "true", "nosuch"):
            machine.fill_the_disk(full=True)
            machine.turn_the_flag(flag, counts=True)
        assert SEEN.keys() >= {
            "audit-unavailable",
            "minting-disabled",
            "kill-switch-unavailable kill-switch-unavailable",
        }


@pytest.mark.threat("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "B3", "B10", "C2")
def test_no_chance_finds_an_answer_that_the_model_does_not_give() -> None:
    SEEN.clear()
    look(EXAMPLES or 20)
    for answer, times in sorted(SEEN.items()):
        print(f"{times:8}  {answer}")
    assert SEEN["minted"] > 100


# --- bugs ------------------------------------------------------------------------------------------------------------

type Break = Callable[[pytest.MonkeyPatch], None]


def setting(module: Any, name: str, value: float) -> Break:
    """Replace a number by a wrong one."""
    return lambda patch: patch.setattr(module, name, value)


def editing(owner: Any, name: str, old: str, new: str) -> Break:
    """Replace `old` in a function's source by `new`."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        source = textwrap.dedent(inspect.getsource(inspect.getattr_static(owner, name)))
        assert source.count(old) == 1, source
        code = compile(source.replace(old, new), "broken", "exec", flags=__future__.annotations.compiler_flag)
        made: dict[str, Any] = {}
        exec(code, vars(sys.modules[getattr(owner, "__module__", owner.__name__)]), made)  # noqa: S102
        patch.setattr(owner, name, made[name])

    return apply


_REFRESHED, _FLAG, _INSTANT = cache.RefreshingCache, kill_switch.KillSwitch, clock.Instant
_AGE = "max(now.wall - self.wall, now.monotonic - self.monotonic)"
_THIRD = "clock.sleep(pause)\n    try:\n        return attempt()\n    except DependencyFailure:\n        pass"
_ON = "KillSwitch(everything=False)"

type Steps = Callable[[RoomkeyMachine], None]


def outage(operation: Operation, behaviour: Behaviour, flag: str, bound: str) -> Steps:
    return lambda machine: machine.live_through_an_outage(operation, behaviour, flag, bound, 0.43, (1, 1), over=False)


def late(seconds: float) -> Steps:
    return lambda machine: machine.hold_up_an_answer(SSM, seconds, (1, 0), known=True)


def flag(text: str | None) -> Steps:
    return lambda machine: machine.turn_the_flag(text, counts=True)


def clocks_apart(seconds: float, clocks: Clocks) -> Steps:
    def steps(machine: RoomkeyMachine) -> None:
        machine.let_time_pass(seconds, clocks)
        machine.mint_both()

    return steps


def slow_answer(machine: RoomkeyMachine) -> None:
    machine.fail_once(SSM, faults.slow(0.9))
    machine.let_time_pass(61.41, (1, 1))
    machine.mint_both()
    machine.wait_for_a_bound(SSM, "fresh", 0.43, (1, 1))


def _redeem_by_each_policy(machine: RoomkeyMachine) -> None:
    for text in POLICIES:
        machine.change_the_policy(text)
        machine.redeem("100ms", "good")


def _outlast_a_block(machine: RoomkeyMachine) -> None:
    machine.block([*BLOCK_LISTS][-1])
    machine.let_time_pass(864000.73, (1, 1))
    machine.mint_both()


def full_disk(machine: RoomkeyMachine) -> None:
    machine.fill_the_disk(full=True)
    machine.mint_both()


_THROTTLED = outage(SSM, faults.throttled, "false", "fresh")
_DENIED = outage(SSM, faults.denied, "false", "fresh")
_NO_FLAG = ('raise DependencyFailure("ssm", "not-found", transient=False)', f"return {_ON}")
_NO_POLICY = ("raise PolicyUnavailable(self.policy)", 'return Policy("audit", ())')
_NO_BLOCK_LIST = ("raise BlockListUnavailable(self.block_list)", "return BlockList({}, frozenset())")
_NOBODY = [text for text, (mode, _) in POLICIES.items() if mode == "enforce"][-1]

BREAKS: Mapping[str, tuple[Break, Steps]] = {
    "on-is-valid-for-longer": (
        setting(limits, "KILL_SWITCH_MAX_STALE_SECONDS", 330.0),
        outage(SSM, faults.throttled, "false", "kept"),
    ),
    "the-kill-switch-is-fresh-for-longer": (setting(limits, "OPERATOR_CONFIG_TTL_SECONDS", 37.0), _THROTTLED),
    "credentials-serve-for-longer": (
        setting(limits, "CREDENTIALS_MAX_STALE_SECONDS", 3700.0),
        outage(SM, faults.throttled, "false", "kept"),
    ),
    "a-fleet-reads-in-step": (
        setting(limits, "TTL_JITTER", 0.0),
        lambda machine: machine.wait_for_a_bound(SSM, "fresh", -0.17, (1, 1)),
    ),
    "off-expires": (
        editing(operator_config.OperatorConfigCache, "__init__", "max_stale=math.inf", "max_stale=300"),
        outage(SSM, faults.throttled, "true", "kept"),
    ),
    "an-invalid-kill-switch-is-on": (
        editing(_FLAG, "parse", 'raise ValueError("not a kill switch")', f"return {_ON}"),
        flag("nosuch"),
    ),
    "a-missing-kill-switch-is-on": (editing(operator_config, "_parse_kill_switch", *_NO_FLAG), flag(None)),
    "a-scope-has-no-effect": (editing(_FLAG, "is_off", ', f"{platform}/{kind}"', ""), flag("100ms/app")),
    "policy-missing-lets-all-in": (
        editing(operator_config.OperatorConfig, "require_policy", *_NO_POLICY),
        lambda machine: machine.change_the_policy(None),
    ),
    "the-policy-grants-everything": (
        editing(actions.Actions, "_decide", "policy.mode is Mode.ENFORCE and not", "False and not"),
        lambda machine: machine.change_the_policy(_NOBODY),
    ),
    "block-list-missing-lets-all-in": (
        editing(operator_config.OperatorConfig, "require_block_list", *_NO_BLOCK_LIST),
        lambda machine: machine.block(None),
    ),
    "a-block-never-ends": (
        editing(block_list.UserBlock, "applies", "now >= self.until", "now < 0"),
        _outlast_a_block,
    ),
    "a-block-covers-no-room": (
        editing(block_list.UserBlock, "applies", "request.room_id is None or", "request.room_id is None and"),
        lambda machine: machine.block([*BLOCK_LISTS][1]),
    ),
    "a-block-covers-every-room": (
        editing(block_list.UserBlock, "applies", "request.room_id is None or", "True or"),
        lambda machine: machine.block([*BLOCK_LISTS][3]),
    ),
    "a-block-covers-every-platform": (
        editing(block_list.UserBlock, "applies", "request.platform.name not in self.platforms", "False"),
        lambda machine: machine.block([*BLOCK_LISTS][2]),
    ),
    "a-forged-invite-is-redeemed": (
        editing(invites.InviteKeys, "verify", "not genuine", "False"),
        lambda machine: machine.redeem("100ms", "forged"),
    ),
    "an-expired-invite-is-redeemed": (
        editing(invites.InviteKeys, "verify", "now >= unverified.invite.expires_at", "False"),
        lambda machine: machine.redeem("100ms", "expired"),
    ),
    "a-guest-is-a-member": (
        editing(rules.Subject, "matches", 'return self.kind == "invite"', "pass"),
        _redeem_by_each_policy,
    ),
    "the-wall-clock-is-ignored": (
        editing(_INSTANT, "age", _AGE, "now.monotonic - self.monotonic"),
        clocks_apart(61.41, (1, 0)),
    ),
    "the-monotonic-clock-is-ignored": (
        editing(_INSTANT, "age", _AGE, "now.wall - self.wall"),
        clocks_apart(61.41, (0, 1)),
    ),
    "a-clock-set-back-is-not-seen": (
        editing(_INSTANT, "is_after", "now.wall < self.wall", "False"),
        clocks_apart(7.19, (-1, 0)),
    ),
    "age-counts-from-the-answer": (editing(_REFRESHED, "_try", "sent=now", "sent=self._clock.now()"), slow_answer),
    "a-late-answer-is-stored": (
        editing(_REFRESHED, "_try", "if budget.remaining() <= 0:  #", "if False:  #"),
        late(7200.41),
    ),
    "a-refusal-changes-nothing": (editing(_REFRESHED, "_after", "if not failure.transient:", "if False:"), _DENIED),
    "every-failure-drops-the-value": (
        editing(_REFRESHED, "_after", "if not failure.transient:", "if True:"),
        _THROTTLED,
    ),
    "a-failure-is-tried-again-at-once": (
        editing(_REFRESHED, "_try", "backing_off = self._ever_read", "backing_off = False"),
        _THROTTLED,
    ),
    "health-tries-each-time": (
        editing(operator_config.OperatorConfigCache, "minting", "self._cache.peek", "self._cache.read"),
        outage(SSM, faults.throttled, "false", "rest"),
    ),
    "a-refusal-is-retried": (editing(client, "with_one_retry", "not failure.transient or ", ""), _DENIED),
    "a-third-attempt": (editing(client, "with_one_retry", "clock.sleep(pause)", _THIRD), _THROTTLED),
    "a-secret-is-read-too-early": (
        editing(
            actions.Actions,
            "mint",
            "config = self._read",
            "self._deps.credentials.read(platform, budget); config = self._read",
        ),
        flag("true"),
    ),
    "a-bad-secret-signs": (
        editing(base.Platform, "parse_secret", "self.check_credentials(values)", "Credentials(values)"),
        lambda machine: machine.put_a_secret("short", "AWSCURRENT"),
    ),
    "the-deadline-is-ignored": (
        editing(actions.Actions, "_issue", "budget.require_time().wall", "budget.clock.now().wall"),
        late(7.29),
    ),
    "no-audit-line": (
        editing(api.Api, "_finish", "self._deps.audit.write(", "status or self._deps.audit.write("),
        lambda machine: machine.mint_both(),
    ),
    "a-token-without-an-audit-line": (
        editing(api.Api, "_finish", "record.failure = record.failure or unwritten", "pass"),
        full_disk,
    ),
}


@pytest.mark.parametrize(("broken", "steps"), BREAKS.values(), ids=BREAKS)
def test_a_mistake_is_found(
    machine: RoomkeyMachine,
    broken: Break,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    invalid_audit_lines: list[str],
) -> None:
    def again() -> None:
        machine.start_anew()
        machine.put_everything_right()
        steps(machine)

    steps(machine)
    broken(monkeypatch)
    with pytest.raises((AssertionError, ValidationError)):
        again()
    invalid_audit_lines.clear()
