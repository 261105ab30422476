"""A model of what an environment knows, and hypothesis looking for a way to get a token past it.

The real API stands in front of a stand-in for AWS that fails on command, on clocks that move apart. Whatever operators,
AWS and time do to it, every answer is held against two statements of the rules, neither of which is the code's:

- `Model` says beforehand what will be answered: token or code, how long to wait, what is asked of AWS, what is logged.
- `Witness` keeps what AWS said and when, and knows nothing of caches: a token needs a word from AWS that is new enough.

`ROOMKEY_MODEL_EXAMPLES=2000` makes it a long run, by chance, and prints how often it met what.
"""

import contextlib
import copy
import hashlib
import hmac
import io
import json
import math
import os
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import botocore.loaders
import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import faults
from audit_lines import checked
from clocks import FakeClock
from faults import AwsStandIn, Behaviour, Exchange, Operation, Parameter, StoredSecret
from integration.deployed import Answer as CheckedAnswer
from integration.deployed import FakeContext
from roomkey.api import Api
from roomkey.dependencies import Dependencies

SSM, SECRETS = Operation.GET_PARAMETERS, Operation.GET_SECRET_VALUE
FLAG, POLICY = "/roomkey/dev/disabled", "/roomkey/dev/policy"
PLATFORMS, KINDS = ("100ms", "videosdk"), ("app", "management")

# --- what the documents say, in numbers ----------------------------------------------------------------------------

FRESH = {SSM: 30.0, SECRETS: 300.0}
ON_FOR = POLICY_FOR = 300.0
CREDENTIALS_FOR = 3600.0
JITTER = 0.2
REST = 5.0
LONGEST_PAUSE = 0.3
WAITING, GRACE, ANSWERED_WITHIN = 2.6, 0.3, 3.0
ATTEMPTS = 2
DEFAULT_LIFE = {"app": 3600, "management": 900}
REFUSALS = {"malformed-body": 400, "unauthenticated": 401, "minting-disabled": 403, "not-allowed": 403}
UNAVAILABLE = {SSM: "switch-unavailable", SECRETS: "credentials-unavailable"}


# --- what operators may have stored, and what it means -------------------------------------------------------------

FLAGS: tuple[str, ...] = (
    *("false", "true", "app", "management", "100ms", "videosdk", "100ms/app", "videosdk/management"),
    *("agora", "agora/app,100ms/management", "videosdk/app,management", "100ms,videosdk"),
)
NOT_FLAGS: tuple[str, ...] = ("", "TRUE", "False", " false", "false\n", "off", "0", "true,app", "app,app", "livekit", "null")


def is_off(flag: str, platform: str, kind: str) -> bool:
    """Whether `flag`, one of `FLAGS`, switches these tokens off."""
    return flag == "true" or not {kind, platform, f"{platform}/{kind}"}.isdisjoint(flag.split(","))


@dataclass(frozen=True)
class Caller:
    """Somebody who asks, as API Gateway's authorizers describe them."""

    authorizer: Mapping[str, Any] | None
    kind: str
    user: str = ""
    group: str = ""
    principal: str = ""


def _signed_in(user: str, group: str) -> Caller:
    return Caller({"jwt": {"claims": {"sub": user, "groups": f"[{group} everybody]"}}}, "app", user, group)


def _signing(principal: str) -> Caller:
    return Caller({"iam": {"userArn": principal}}, "management", principal=principal)


BACKEND = "arn:aws:iam::999999999999:role/backend-of-Sentinel"
TEACHER, STUDENT = _signed_in("teacher-of-Sentinel", "teachers"), _signed_in("student-of-Sentinel", "students")
SERVER, STRANGER = _signing(BACKEND), _signing("arn:aws:iam::888888888888:role/stranger-of-Sentinel")
NOBODY = {kind: Caller(None, kind) for kind in KINDS}
APP_CALLERS, MANAGEMENT_CALLERS = (TEACHER, STUDENT, NOBODY["app"]), (SERVER, STRANGER, NOBODY["management"])
ROOM = "room-of-Sentinel"


@dataclass(frozen=True)
class Policy:
    """A policy as it is stored, and the longest life that it grants to whoever asks: None is nothing at all."""

    text: str
    grants: Callable[[Caller, str], float | None] = lambda _, __: None
    enforced: bool = True


def _policy_text(mode: str, *rules: Mapping[str, Any]) -> str:
    return json.dumps({"version": 1, "mode": mode, "rules": list(rules)})


_ANYTHING = {"who": ["anyone"], "kinds": ["*"], "platforms": ["*"], "roles": ["*"], "rooms": ["*"]}
_TEACHERS = {"who": [{"group": "teachers"}], "kinds": ["app"], "platforms": ["*"], "roles": ["*"], "rooms": ["*"]}
_BACKEND = {"who": [{"principal": BACKEND}], "kinds": ["management"], "platforms": ["100ms"]}
_SHORT = {"longest_life": 600}


def _teachers_and_backend(caller: Caller, platform: str) -> float | None:
    if caller.group == "teachers":
        return 600
    return math.inf if caller.principal == BACKEND and platform == "100ms" else None


POLICIES: Mapping[str, Policy] = {
    "open": Policy(_policy_text("enforce", _ANYTHING), lambda _, __: math.inf),
    "open-for-short": Policy(_policy_text("enforce", _ANYTHING | _SHORT), lambda _, __: 600),
    "some": Policy(_policy_text("enforce", _TEACHERS | _SHORT, _BACKEND), _teachers_and_backend),
    "nobody": Policy(_policy_text("enforce")),
    "audit-nobody": Policy(_policy_text("audit"), enforced=False),
    "audit-some": Policy(_policy_text("audit", _TEACHERS | _SHORT, _BACKEND), _teachers_and_backend, enforced=False),
}
POLICY_OF = {policy.text: policy for policy in POLICIES.values()}
NOT_POLICIES: tuple[str, ...] = ("", "{", "null", "[]", '{"version":1}', _policy_text("enforce", _ANYTHING) + " x")

ACCESS_KEYS = {"100ms": "5f1e3a7c9d2b4860af13c5e7", "videosdk": "4d0c1b6e-7f3a-4b2d-9c8e-1a2b3c4d5e6f"}
_NAMES = {"100ms": ("app_access_key", "app_secret"), "videosdk": ("api_key", "secret")}


def signing_key(platform: str, number: int) -> str:
    """The key of the platform's `number`-th good secret."""
    return f"Sentinel{hashlib.sha256(f'{platform} {number}'.encode()).hexdigest()}"


def secret_text(platform: str, key: str) -> str:
    """A secret as it is stored, good if `key` is."""
    return json.dumps(dict(zip(_NAMES[platform], (ACCESS_KEYS[platform], key), strict=True)))


KEY_OF = {
    secret_text(platform, signing_key(platform, number)): signing_key(platform, number)
    for platform in PLATFORMS
    for number in range(4)
}
"""The key in each good secret. Every other secret is none to sign with."""


def bad_secret(platform: str, how: str) -> str | bytes:
    """A secret that nothing may be signed with."""
    key = signing_key(platform, 9)
    names = _NAMES[platform]
    spoiled: Mapping[str, str | bytes] = {
        "short": secret_text(platform, "Sentinel-short"),
        "newline": secret_text(platform, key + "\n"),
        "one-character": secret_text(platform, "x" * 64),
        "placeholder": secret_text(platform, "REPLACE_ME" * 4),
        "swapped": json.dumps({names[0]: key, names[1]: ACCESS_KEYS[platform] * 2}).replace(key, "", 1),
        "twice": secret_text(platform, key)[:-1] + f', "{names[1]}": "{key}"}}',
        "half": secret_text(platform, key)[:-3],
        "plain": key,
        "empty": "",
        "null": "null",
        "list": json.dumps([key]),
        "binary": secret_text(platform, key).encode(),
    }
    return spoiled[how]


BAD = ("short", "newline", "one-character", "placeholder", "swapped", "twice", "half", "plain", "empty", "null", "list")
BAD += ("binary",)


class Stored(Protocol):
    """What operators own: the stand-in's own, or a copy of it."""

    parameters: dict[str, Parameter]
    secrets: dict[str, StoredSecret]


@dataclass
class Copied:
    parameters: dict[str, Parameter]
    secrets: dict[str, StoredSecret]


type Change = Callable[[Stored], object]


def set_parameter(name: str, value: str | None, kind: str = "String") -> Change:
    """Stores a parameter, or deletes it."""

    def change(stored: Stored) -> None:
        stored.parameters.pop(name, None)
        if value is not None:
            stored.parameters[name] = Parameter(value, kind)

    return change


def set_secret(platform: str, value: str | bytes, version: str, stage: str = "AWSCURRENT") -> Change:
    """Puts a version of a platform's secret under `stage`; a secret of which all versions are gone begins anew."""

    def change(stored: Stored) -> None:
        secret = stored.secrets.setdefault(_secret_name(platform), StoredSecret())
        secret.deleted = False
        secret.versions[version], secret.stages[stage] = value, version

    return change


def _secret_name(platform: str) -> str:
    return f"roomkey/dev/{platform}"


# --- what AWS may do -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """A way to be answered. `passes`: whether the fault is one that passes by itself; None where there is no fault."""

    name: str
    behaviour: Behaviour
    passes: bool | None


WELL = Way("well", faults.ok, None)
REFUSED = Way("refused", faults.refused, True)
PASSING = tuple(
    Way(name, behaviour, True)
    for name, behaviour in {
        "throttled": faults.throttled,
        "429": faults.bare_429,
        "500": faults.server_error,
        "500-html": faults.server_error_html,
        "503-html": faults.unavailable_html,
        "html": faults.html,
        "empty": faults.empty,
        "truncated": faults.truncated,
        "cut": faults.cut,
        "not-utf8": faults.not_utf8,
        "reset": faults.reset,
        "closed": faults.closed,
        "odd-list": faults.odd([]),
        "odd-object": faults.odd({}),
        "odd-neither": faults.odd({"Parameters": [], "InvalidParameters": []}),
        "odd-other": faults.odd({"Name": "roomkey/prod/100ms", "VersionId": "v", "VersionStages": ["AWSCURRENT"]}),
    }.items()
)
LASTING = tuple(
    Way(name, behaviour, False)
    for name, behaviour in {
        "denied": faults.denied,
        "not-found": faults.not_found,
        "deleted": faults.deleted,
        "undecryptable": faults.undecryptable,
        "kms-denied": faults.kms_denied,
        "no-such-client": faults.failing("UnrecognizedClientException", faults.ROLE_ARN),
    }.items()
)


@dataclass(frozen=True)
class Held:
    """An answer that is held up: meanwhile the clocks move on, and something else may change."""

    way: Way
    wall: float
    monotonic: float
    change: Change


class Moment(NamedTuple):
    """A moment on two clocks."""

    wall: float
    monotonic: float

    def age(self, now: "Moment") -> float:
        """The age of what is of this moment: the older one of the two that the clocks tell."""
        return max(now.wall - self.wall, now.monotonic - self.monotonic)

    def later(self, wall: float, monotonic: float) -> "Moment":
        return Moment(self.wall + wall, self.monotonic + monotonic)


class Word(NamedTuple):
    """What AWS said: when it was asked, and when it answered. `said` is None for what is no answer at all."""

    operation: Operation
    about: str
    asked: Moment
    answered: Moment
    way: Way
    said: Mapping[str, Any]


@dataclass
class Plan:
    """How each operation is answered: first those in the queue, one for each request, and then always the same way."""

    steady: dict[Operation, Way] = field(default_factory=lambda: dict.fromkeys(Operation, WELL))
    queue: dict[Operation, deque[Way | Held]] = field(default_factory=lambda: {one: deque() for one in Operation})

    def next(self, operation: Operation) -> Way | Held:
        """The next one's turn. While connections are refused, nobody gets as far as the queue."""
        waiting, steady = self.queue[operation], self.steady[operation]
        return waiting.popleft() if waiting and steady is not REFUSED else steady


# --- the model -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """Why there is no value: the code that it is answered with, and whether it passes by itself."""

    code: str
    passes: bool


OUT_OF_TIME = Failure("deadline-exceeded", passes=True)


class Failed(Exception):
    """A read without a value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Reading(NamedTuple):
    """A value, its age, and why there is no newer one."""

    value: Any
    age: float
    failure: Failure | None


@dataclass
class Kept:
    """What is kept of one thing that is read."""

    operation: Operation
    about: str
    bound: float
    value: Any = None
    asked: Moment | None = None
    failed: Moment | None = None
    failure: Failure | None = None
    tried: Moment | None = None
    ever_read: bool = False


class StateRead(NamedTuple):
    """What one answer of SSM tells. `policy` is None where there is none to decide by."""

    flag: str
    policy: Policy | None


class Signing(NamedTuple):
    """What one answer of Secrets Manager tells."""

    key: str
    version: str


@dataclass(frozen=True)
class Ask:
    """A request for a token."""

    caller: Caller
    platform: str
    expires_in: int | None = None
    body: str = "good"

    @property
    def kind(self) -> str:
        return self.caller.kind


@dataclass(frozen=True)
class Outcome:
    """All that can be seen of a request. `attempts` is None where no audit line says it."""

    status: int
    code: str | None = None
    retry_after: str | None = None
    arrived: tuple[int, int] = (0, 0)
    attempts: tuple[int, int] | None = None
    key: str | None = None
    version: str | None = None
    expires_in: int | None = None
    logged: tuple[str, ...] = ()
    metric: str | None = None
    ends: Moment | None = None


@dataclass
class Model:
    """What an environment knows, and what it will therefore answer. `jitter` is what chance always says."""

    access: str
    jitter: float
    now: Moment
    stored: Stored
    plan: Plan
    audit_fails: bool = False
    late_is_read: bool = False
    """A late answer may be noticed to be late before it is read, or after: for a late fault that makes a difference."""

    def __post_init__(self) -> None:
        self.state = Kept(SSM, "", FRESH[SSM])
        self.credentials = {name: Kept(SECRETS, name, FRESH[SECRETS]) for name in PLATFORMS}
        self.attempts: Counter[Operation] = Counter()
        self.arrived: Counter[Operation] = Counter()
        self.started = self.now

    def fork(self, stored: Stored, plan: Plan, *, late_is_read: bool) -> "Model":
        """A copy that can be asked what would happen."""
        forked = copy.copy(self)
        forked.state = copy.copy(self.state)
        forked.credentials = {name: copy.copy(kept) for name, kept in self.credentials.items()}
        forked.stored = Copied(dict(stored.parameters), copy.deepcopy(stored.secrets))
        forked.plan = Plan(dict(plan.steady), {one: deque(queue) for one, queue in plan.queue.items()})
        forked.attempts, forked.arrived, forked.started = Counter(), Counter(), self.now
        forked.late_is_read = late_is_read
        return forked

    # What is answered.

    def minting(self) -> str:
        """What health says: it looks at the flag alone, and asks for it once in a fresh bound at most."""
        try:
            state = self._read(self.state, between_tries=FRESH[SSM])
        except Failed:
            return "unknown"
        off = {is_off(state.value.flag, platform, kind) for platform in PLATFORMS for kind in KINDS}
        if off == {True}:
            return "off"
        if state.age > ON_FOR:
            return "unknown"
        return "partly-off" if True in off else "on"

    def answer(self, ask: Ask) -> Outcome:
        """What a request for a token is answered."""
        stale: list[str] = []
        try:
            signing, expires_in = self._mint(ask, stale)
        except Failed as error:
            return self._refused(error.failure)
        if self.audit_fails:
            return self._seen(Outcome(503, "audit-unavailable", "60"), stale, "Fault")
        outcome = Outcome(200, key=signing.key, version=signing.version, expires_in=expires_in)
        return self._seen(outcome, stale, "TokenMinted")

    def _refused(self, failure: Failure) -> Outcome:
        if failure.code in REFUSALS:
            return self._seen(Outcome(REFUSALS[failure.code], failure.code), [], "TokenRefused")
        return self._seen(Outcome(503, failure.code, "5" if failure.passes else "60"), [failure.code], "Fault")

    def _seen(self, outcome: Outcome, logged: list[str], metric: str) -> Outcome:
        return replace(
            outcome,
            arrived=(self.arrived[SSM], self.arrived[SECRETS]),
            attempts=None if self.audit_fails else (self.attempts[SSM], self.attempts[SECRETS]),
            logged=("audit-unavailable", *logged) if self.audit_fails else tuple(logged),
            metric=metric,
            ends=self.now,
        )

    def _mint(self, ask: Ask, stale: list[str]) -> tuple[Signing, int]:
        """The order of work: who, the body, the flag, the policy, the credentials, the time that is left."""
        proof_is_due = ask.kind == "management" or self.access == "jwt"
        if proof_is_due and ask.caller.authorizer is None:
            raise Failed(Failure("unauthenticated", passes=False))
        if ask.body != "good":
            raise Failed(Failure("malformed-body", passes=False))

        state = self._read(self.state)
        if is_off(state.value.flag, ask.platform, ask.kind):
            raise Failed(Failure("minting-disabled", passes=False))
        if state.age > ON_FOR:
            raise Failed(Failure("switch-unavailable", passes=True))
        if state.value.policy is None or state.age > POLICY_FOR:
            raise Failed(Failure("policy-unavailable", passes=False))
        expires_in = self._life(state.value.policy, ask)

        credentials = self._read(self.credentials[ask.platform])
        if self._left() + GRACE <= 0:
            raise Failed(OUT_OF_TIME)
        stale += [name for name, of in (("switch-stale", state), ("credentials-stale", credentials)) if of.failure]
        return credentials.value, expires_in

    def _life(self, policy: Policy, ask: Ask) -> int:
        known = ask.caller if ask.kind == "management" or self.access == "jwt" else NOBODY["app"]
        granted = policy.grants(known, ask.platform)
        allowed = granted is not None and (ask.expires_in or 0) <= granted
        if policy.enforced and not allowed:
            raise Failed(Failure("not-allowed", passes=False))
        if ask.expires_in is not None:
            return ask.expires_in
        return int(min(DEFAULT_LIFE[ask.kind], granted if granted is not None else math.inf))

    # What is known, and how it is found out.

    def _left(self) -> float:
        return WAITING - self.started.age(self.now)

    def _read(self, kept: Kept, between_tries: float = 0) -> Reading:
        now, asked = self.now, kept.asked
        fresh_for = kept.bound * (1 - JITTER + 2 * JITTER * self.jitter)
        if asked is not None and now.wall >= asked.wall and asked.age(now) < fresh_for:
            return Reading(kept.value, asked.age(now), None)
        if kept.failed is not None and kept.failure is not None and kept.tried is not None:
            rests = kept.ever_read and kept.failed.age(now) < REST * (1 + JITTER * self.jitter)
            if rests or kept.tried.age(now) < between_tries:
                return self._old(kept, kept.failure)
        if self._left() <= 0:
            return self._old(kept, OUT_OF_TIME)
        kept.tried = now
        try:
            value = self._ask_aws(kept)
        except Failed as error:
            failure = error.failure
            if not failure.passes:
                kept.value = kept.asked = None
            # Whose time it was is nothing to those who ask later.
            kept.failure = Failure(UNAVAILABLE[kept.operation], passes=True) if failure is OUT_OF_TIME else failure
            kept.failed = self.now
            return self._old(kept, failure)
        kept.value, kept.asked, kept.failed, kept.failure, kept.ever_read = value, now, None, None, True
        return Reading(value, now.age(self.now), None)

    def _old(self, kept: Kept, failure: Failure) -> Reading:
        """What was known before. "Off" is known for ever: how long "on" and a policy are is looked at later."""
        if kept.asked is not None:
            age = kept.asked.age(self.now)
            if kept.operation == SSM or age < CREDENTIALS_FOR:
                return Reading(kept.value, age, failure)
        raise Failed(failure)

    def _ask_aws(self, kept: Kept) -> Any:
        try:
            return self._attempt(kept)
        except Failed as error:
            pause = LONGEST_PAUSE * self.jitter
            if not error.failure.passes or self._left() <= pause:
                raise
            self.now = self.now.later(pause, pause)
        return self._attempt(kept)

    def _attempt(self, kept: Kept) -> Any:
        way = self.plan.next(kept.operation)
        self.attempts[kept.operation] += 1
        self.arrived[kept.operation] += way is not REFUSED
        say = self._say(kept)
        if isinstance(way, Held):
            way.change(self.stored)
            self.now = self.now.later(way.wall, way.monotonic)
            way = way.way
        if self._left() <= 0 and (way is WELL or not self.late_is_read):
            raise Failed(OUT_OF_TIME)
        if way.passes is not None:
            raise Failed(Failure(UNAVAILABLE[kept.operation], way.passes))
        return say()

    def _say(self, kept: Kept) -> Callable[[], Any]:
        """What the stores hold now, to be looked at later."""
        parameters = dict(self.stored.parameters)
        secret = copy.deepcopy(self.stored.secrets.get(_secret_name(kept.about)))
        return (lambda: _state_in(parameters)) if kept.operation == SSM else (lambda: _signing_in(secret))


def _state_in(parameters: Mapping[str, Parameter]) -> StateRead:
    def text(name: str) -> str | None:
        one = parameters.get(name)
        return one.value if one and one.type == "String" else None

    flag, policy = text(FLAG), text(POLICY)
    if flag not in FLAGS:
        raise Failed(Failure("switch-unavailable", passes=False))
    return StateRead(flag, POLICY_OF.get(policy or ""))


def _signing_in(secret: StoredSecret | None) -> Signing:
    version = secret.stages.get("AWSCURRENT") if secret and not secret.deleted else None
    if secret is None or version is None:
        raise Failed(Failure("credentials-unavailable", passes=False))
    stored = secret.versions[version]
    key = KEY_OF.get(stored) if isinstance(stored, str) else None
    if key is None:
        raise Failed(Failure("credentials-invalid", passes=False))
    return Signing(key, version)


# --- the witness ---------------------------------------------------------------------------------------------------


class Witness:
    """Knows what AWS said and when, and what may be concluded from it. Knows no caches."""

    def __init__(self) -> None:
        self.last: dict[tuple[Operation, str], Word] = {}

    def forget(self) -> None:
        """Another environment: it has heard nothing yet."""
        self.last.clear()

    def hear(self, words: list[Word], started: Moment) -> None:
        """What was said during a request that began at `started`. What came too late was not said."""
        for word in words:
            late = started.age(word.answered) >= WAITING
            if word.way.passes or late:
                continue
            where = word.operation, word.about
            if word.way is WELL and "__type" not in word.said:
                self.last[where] = word
            else:
                self.last.pop(where, None)

    def may_be_silent_about(self, operation: Operation, about: str, now: Moment, jitter: float) -> bool:
        """Whether what was last said is so new that there is nothing to ask."""
        word = self.last.get((operation, about))
        bound = FRESH[operation] * (1 - JITTER + 2 * JITTER * jitter)
        return word is not None and now.wall >= word.asked.wall and word.asked.age(now) < bound and self._usable(word)

    def _usable(self, word: Word) -> bool:
        if word.operation == SECRETS:
            return word.said.get("SecretString") in KEY_OF
        return self._parameter(word, FLAG) in FLAGS

    @staticmethod
    def _parameter(word: Word, name: str) -> str | None:
        values = {one["Name"]: one["Value"] for one in word.said["Parameters"] if one["Type"] == "String"}
        return values.get(name)

    def assert_may_have(self, ask: Ask, outcome: Outcome, now: Moment) -> None:
        """A token is only for whom AWS has said so, in time and not too long ago."""
        state = self.last[SSM, ""]
        assert state.asked.age(now) <= ON_FOR, "minted on a flag that is too old"
        flag = self._parameter(state, FLAG)
        assert flag in FLAGS, "minted on a flag that is none"
        assert not is_off(flag, ask.platform, ask.kind), "minted what is switched off"
        assert self._parameter(state, POLICY) in POLICY_OF, "minted without a policy"

        secret = self.last[SECRETS, ask.platform]
        assert secret.asked.age(now) <= CREDENTIALS_FOR, "signed with credentials that are too old"
        assert secret.said["VersionStages"] == ["AWSCURRENT"]
        assert KEY_OF[secret.said["SecretString"]] == outcome.key, "signed with another key than the current one"
        assert secret.said["VersionId"] == outcome.version


# --- one environment of the function -------------------------------------------------------------------------------


class AuditStream(io.StringIO):
    """Where audit lines go, and at times cannot."""

    fails: str | None = None

    def write(self, text: str) -> int:
        if self.fails == "write":
            raise OSError(28, "No space left on device")
        return len(text) if self.fails else super().write(text)

    def flush(self) -> None:
        if self.fails == "flush":
            raise OSError(5, "Input/output error")


NEVER_SHOWN = ("Sentinel", *ACCESS_KEYS.values(), faults.ACCOUNT_ID, "AKIASTANDIN", "arn:aws", "999999999999")
NEVER_AUDITED = (*(key for key in KEY_OF.values()), *ACCESS_KEYS.values(), faults.ACCOUNT_ID, "AKIASTANDIN", "eyJ")
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.")

SEEN: Counter[str] = Counter()
"""What the runs so far have met."""


@dataclass
class Environment:
    """The real API, what it is connected to, and all that comes out of it."""

    stand_in: AwsStandIn
    clock: FakeClock
    access: str
    jitter: float
    plan: Plan
    words: list[Word] = field(default_factory=list)
    audit: AuditStream = field(default_factory=AuditStream)

    def __post_init__(self) -> None:
        environ = {"ENVIRONMENT": "dev", "APP_TOKEN_ACCESS": self.access, "PLATFORMS": ",".join(PLATFORMS)}
        self._api = Api(
            Dependencies.build(environ, clock=self.clock, jitter=lambda: self.jitter, stdout=self.audit),
        )
        for operation in Operation:
            self.stand_in.behave(operation, self._answer_aws)

    @property
    def now(self) -> Moment:
        return Moment(self.clock.wall, self.clock.monotonic)

    def _answer_aws(self, exchange: Exchange) -> None:
        """Answers a request to AWS, by plan, and remembers what was said."""
        operation = Operation(exchange.operation)
        way, asked, said = self.plan.next(operation), self.now, exchange.healthy().document
        about = exchange.asked.get("SecretId", "").rpartition("/")[2]
        if not isinstance(way, Held):
            self.words.append(Word(operation, about, asked, asked, way, said))
            way.behaviour(exchange)
            return
        answered = asked.later(way.wall, way.monotonic)
        self.words.append(Word(operation, about, asked, answered, way.way, said))

        def happen() -> None:
            way.change(self.stand_in)
            self.clock.wall, self.clock.monotonic = answered  # Last: from here on the request goes on by itself.

        faults.meanwhile(happen, way.way.behaviour)(exchange)

    def health(self) -> tuple[str, tuple[int, int]]:
        """What health says, and the calls that arrived for it."""
        event = {"routeKey": "GET /v1/health", "requestContext": {"http": {"method": "GET"}}}
        with self.stand_in.counting() as arrived:
            answer, printed = self._answer(event)
        assert_nothing_shown(printed + answer.text)
        return str(answer.body["minting"]), (arrived[SSM], arrived[SECRETS])

    def ask(self, ask: Ask) -> Outcome:
        """What a request is answered. What must hold of every answer, holds."""
        self.audit.seek(0)
        self.audit.truncate()
        with self.stand_in.counting() as arrived:
            answer, printed = self._answer(_event(ask))
        line = self._audit_line(answer)
        logs = [json.loads(text) for text in printed.splitlines()]
        (metrics,) = [one for one in logs if "_aws" in one]
        assert metrics["reason"] == (answer.code or "minted")
        assert_nothing_shown(printed)
        if answer.status != 200:
            assert answer.token is None
            assert_nothing_shown(answer.text)
        return Outcome(
            status=answer.status,
            code=answer.code,
            retry_after=answer.headers.get("retry-after"),
            arrived=(arrived[SSM], arrived[SECRETS]),
            attempts=line and (line["calls"]["ssm"], line["calls"]["secretsmanager"]),
            key=self._key_of(answer, ask),
            version=line and line.get("credentials", {}).get("version_id") if answer.token else None,
            expires_in=answer.body.get("expires_in"),
            logged=tuple(one["message"] for one in logs if "level" in one),
            metric=next(name for name in ("TokenMinted", "TokenRefused", "Fault") if name in metrics),
            ends=self.now,
        )

    def _answer(self, event: Mapping[str, Any]) -> tuple[CheckedAnswer, str]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            began = time.monotonic()
            response = self._api.answer(event, FakeContext())
            seconds = time.monotonic() - began
        assert seconds < ANSWERED_WITHIN
        return CheckedAnswer.checked(response), printed.getvalue()

    def _audit_line(self, answer: CheckedAnswer) -> Any:
        """The line of this answer, None where none could be written: then there is no token either."""
        lines = [checked(text) for text in self.audit.getvalue().splitlines()]
        assert len(lines) == (self.audit.fails is None), "every request has one audit line"
        assert not any(shown in self.audit.getvalue() for shown in NEVER_AUDITED)
        if not lines:
            assert answer.token is None, "minted without an audit line"
            return None
        (line,) = lines
        assert (line["status"], line["reason"]) == (answer.status, answer.code)
        assert (line.get("token", {}).get("sha256")) == (
            hashlib.sha256(answer.token.encode()).hexdigest() if answer.token else None
        )
        return line

    @staticmethod
    def _key_of(answer: CheckedAnswer, ask: Ask) -> str | None:
        """The key that the token is signed with, of all that there are."""
        if answer.token is None:
            return None
        signed, _, signature = answer.token.rpartition(".")
        keys = [key for key in KEY_OF.values() if _signature(signed, key) == signature]
        assert len(keys) == 1, f"a token of {ask.platform} is signed with no good key"
        return keys[0]


def _signature(signed: str, key: str) -> str:
    return faults.base64.urlsafe_b64encode(hmac.digest(key.encode(), signed.encode(), "sha256")).rstrip(b"=").decode()


def assert_nothing_shown(text: str) -> None:
    assert [shown for shown in NEVER_SHOWN if shown in text] == []
    assert not _TOKEN.search(text)


def _event(ask: Ask) -> dict[str, Any]:
    body = {"room_id": ROOM, "role": "guest"} if ask.kind == "app" else {}
    if ask.expires_in is not None:
        body |= {"expires_in": ask.expires_in}
    text = json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": f"POST /v1/{{platform}}/{ask.kind}-token",
        "rawPath": f"/v1/{ask.platform}/{ask.kind}-token",
        "pathParameters": {"platform": ask.platform},
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "requestId": "JKJaXmPLvHcESHA=",
            "http": {"method": "POST", "sourceIp": "192.0.2.1", "userAgent": "test"},
            "authorizer": ask.caller.authorizer,
        },
        "body": text if ask.body == "good" else text[:-1],
        "isBase64Encoded": False,
    }


# --- the machine ---------------------------------------------------------------------------------------------------

# No sum of these is one of the bounds to the second: whether a bound itself is in or out is nobody's promise.
A_WHILE = (0.113, 1.07, 4.31, 5.23, 7.19, 23.17, 31.37, 61.41, 233.53, 301.59, 1201.61, 3607.67, 8 * 3600.71, 10 * 86400.73)
HELD_UP = (0.91, 1.79, 2.71, 7.29, 47.31, 307.37, 1303.39, 7200.41, 3 * 86400.43)

operations = st.sampled_from(list(Operation))
platforms = st.sampled_from(PLATFORMS)
flag_texts = st.sampled_from([*FLAGS, "false", "false", "true"])
lives = st.sampled_from([None, None, 600, 7200])
bodies = st.sampled_from(["good"] * 9 + ["cut"])


class RoomkeyMachine(RuleBasedStateMachine):
    """One environment at a time; operators, AWS and time do to it what they like."""

    stand_in: AwsStandIn

    def __init__(self) -> None:
        super().__init__()
        self.versions = 0
        self.ids: set[str] = set()
        self.witness = Witness()

    @initialize(access=st.sampled_from(["jwt", "open"]), jitter=st.sampled_from([0.5, 0.0, 1.0]))
    def deploy(self, access: str, jitter: float) -> None:
        self.access, self.jitter = access, jitter
        self.stand_in.parameters.clear()
        self.stand_in.secrets.clear()
        set_parameter(FLAG, "false")(self.stand_in)
        set_parameter(POLICY, POLICIES["open"].text)(self.stand_in)
        for platform in PLATFORMS:
            set_secret(platform, secret_text(platform, signing_key(platform, 0)), self._version())(self.stand_in)
        self.clock = FakeClock()
        self._start(Plan(), None)

    def _start(self, plan: Plan, fails: str | None) -> None:
        self.environment = Environment(self.stand_in, self.clock, self.access, self.jitter, plan)
        self.environment.audit.fails = fails
        self.model = Model(
            self.access, self.jitter, self.environment.now, self.stand_in, plan, audit_fails=fails is not None
        )
        self.witness.forget()
        for operation in Operation:
            self._listen(operation)

    def _listen(self, operation: Operation) -> None:
        """Lets connections through, or not."""
        refused = self.plan.steady[operation] is REFUSED
        self.stand_in.behave(operation, faults.refused if refused else self.environment._answer_aws)

    def _version(self) -> str:
        self.versions += 1
        return f"version-{self.versions:032}"

    @property
    def plan(self) -> Plan:
        return self.environment.plan

    # What operators do.

    @rule(text=flag_texts)
    def turn_the_flag(self, text: str) -> None:
        set_parameter(FLAG, text)(self.stand_in)

    @rule(text=st.sampled_from(NOT_FLAGS))
    def spoil_the_flag(self, text: str) -> None:
        set_parameter(FLAG, text)(self.stand_in)

    @rule(encrypted=st.booleans())
    def lose_the_flag(self, encrypted: bool) -> None:
        set_parameter(FLAG, "false" if encrypted else None, "SecureString")(self.stand_in)

    @rule(name=st.sampled_from(list(POLICIES)))
    def put_a_policy(self, name: str) -> None:
        set_parameter(POLICY, POLICIES[name].text)(self.stand_in)

    @rule(text=st.sampled_from([None, "encrypted", *NOT_POLICIES]))
    def spoil_the_policy(self, text: str | None) -> None:
        if text == "encrypted":
            set_parameter(POLICY, POLICIES["open"].text, "SecureString")(self.stand_in)
        else:
            set_parameter(POLICY, text)(self.stand_in)

    @rule(platform=platforms, number=st.integers(0, 3), stage=st.sampled_from(["AWSCURRENT"] * 3 + ["AWSPENDING"]))
    def rotate(self, platform: str, number: int, stage: str) -> None:
        self._put_secret(platform, secret_text(platform, signing_key(platform, number)), stage)

    @rule(platform=platforms, how=st.sampled_from(BAD))
    def put_a_bad_secret(self, platform: str, how: str) -> None:
        self._put_secret(platform, bad_secret(platform, how))

    @rule(platform=platforms)
    def promote_what_is_pending(self, platform: str) -> None:
        secret = self.stand_in.secrets.get(_secret_name(platform))
        if secret and "AWSPENDING" in secret.stages:
            secret.stages["AWSCURRENT"] = secret.stages.pop("AWSPENDING")

    @rule(platform=platforms, how=st.sampled_from(["marked", "gone", "only-pending"]))
    def delete_a_secret(self, platform: str, how: str) -> None:
        secret = self.stand_in.secrets.get(_secret_name(platform))
        if how == "gone":
            self.stand_in.secrets.pop(_secret_name(platform), None)
        elif secret and how == "marked":
            secret.deleted = True
        elif secret and "AWSCURRENT" in secret.stages:
            secret.stages = {"AWSPENDING": secret.stages["AWSCURRENT"]}

    def _put_secret(self, platform: str, value: str | bytes, stage: str = "AWSCURRENT") -> None:
        set_secret(platform, value, self._version(), stage)(self.stand_in)

    @rule()
    def put_everything_right(self) -> None:
        """What an operator does in the end."""
        set_parameter(FLAG, "false")(self.stand_in)
        set_parameter(POLICY, POLICIES["open"].text)(self.stand_in)
        for platform in PLATFORMS:
            self._put_secret(platform, secret_text(platform, signing_key(platform, 1)))
            self.stand_in.secrets[_secret_name(platform)].stages.pop("AWSPENDING", None)
        for operation in Operation:
            self.plan.queue[operation].clear()
            self._behave(operation, WELL)
        self.environment.audit.fails = None
        self.model.audit_fails = False

    # What AWS does.

    def _behave(self, operation: Operation, way: Way) -> None:
        self.plan.steady[operation] = way
        self._listen(operation)

    @rule(operation=operations, way=st.sampled_from([*PASSING, REFUSED]))
    def fail_for_a_while(self, operation: Operation, way: Way) -> None:
        self._behave(operation, way)

    @rule(operation=operations, way=st.sampled_from(LASTING))
    def fail_for_good(self, operation: Operation, way: Way) -> None:
        self._behave(operation, way)

    @rule(operation=operations)
    def heal(self, operation: Operation) -> None:
        self._behave(operation, WELL)

    @rule(operation=operations, way=st.sampled_from([*PASSING, *LASTING]))
    def fail_once(self, operation: Operation, way: Way) -> None:
        self.plan.queue[operation].append(way)

    @rule(
        operation=operations,
        seconds=st.sampled_from(HELD_UP),
        clocks=st.sampled_from(["both", "wall", "wall", "monotonic", "back"]),
        way=st.sampled_from([WELL] * 4 + [PASSING[0], PASSING[-1], LASTING[0], LASTING[1]]),
        flag=flag_texts,
    )
    def hold_up_an_answer(self, operation: Operation, seconds: float, clocks: str, way: Way, flag: str) -> None:
        """The environment is frozen, or AWS slow, while an answer is under way; meanwhile the flag is turned."""
        wall, monotonic = {"both": (1, 1), "wall": (1, 0), "monotonic": (0, 1), "back": (-1, 0)}[clocks]
        held = Held(way, wall * seconds, monotonic * seconds, set_parameter(FLAG, flag))
        self.plan.queue[operation].append(held)

    @rule(fails=st.sampled_from([None, None, "write", "flush"]))
    def fill_the_disk(self, fails: str | None) -> None:
        self.environment.audit.fails = fails
        self.model.audit_fails = fails is not None

    # What time does.

    def _pass(self, wall: float, monotonic: float) -> None:
        self.clock.wall += wall
        self.clock.monotonic += monotonic
        self.model.now = self.model.now.later(wall, monotonic)

    @rule(seconds=st.sampled_from(A_WHILE))
    def wait(self, seconds: float) -> None:
        self._pass(seconds, seconds)

    @rule(seconds=st.sampled_from(A_WHILE))
    def freeze(self, seconds: float) -> None:
        """The monotonic clock stands still."""
        self._pass(seconds, 0)

    @rule(seconds=st.sampled_from(A_WHILE), moves=st.booleans())
    def set_the_wall_clock_back(self, seconds: float, moves: bool) -> None:
        self._pass(-seconds, seconds if moves else 0)

    @rule(seconds=st.sampled_from(A_WHILE))
    def move_the_monotonic_clock_alone(self, seconds: float) -> None:
        self._pass(0, seconds)

    @rule(
        what=st.sampled_from(["state", *PLATFORMS]),
        bound=st.sampled_from(["fresh", "rest", "kept"]),
        by=st.sampled_from([-0.37, 0.43]),
        frozen=st.booleans(),
    )
    def wait_for_a_bound(self, what: str, bound: str, by: float, frozen: bool) -> None:
        """To just before or just after the moment at which what is known changes its worth."""
        kept = self.model.state if what == "state" else self.model.credentials[what]
        since, seconds = {
            "fresh": (kept.asked, kept.bound * (1 - JITTER + 2 * JITTER * self.jitter)),
            "rest": (kept.failed, REST * (1 + JITTER * self.jitter)),
            "kept": (kept.asked, ON_FOR if what == "state" else CREDENTIALS_FOR),
        }[bound]
        ahead = seconds + by - since.age(self.model.now) if since else 0
        if ahead > 0:
            self._pass(ahead, 0 if frozen else ahead)

    @rule()
    def start_anew(self) -> None:
        """Lambda starts another environment, which knows nothing."""
        self._start(self.plan, self.environment.audit.fails)

    # What callers do.

    @rule(caller=st.sampled_from(APP_CALLERS), platform=platforms, expires_in=lives, body=bodies)
    def mint_for_the_app(self, caller: Caller, platform: str, expires_in: int | None, body: str) -> None:
        self._mint(Ask(caller, platform, expires_in, body))

    @rule(caller=st.sampled_from(MANAGEMENT_CALLERS), platform=platforms, expires_in=lives, body=bodies)
    def mint_for_the_backend(self, caller: Caller, platform: str, expires_in: int | None, body: str) -> None:
        self._mint(Ask(caller, platform, expires_in, body))

    @rule(platform=platforms)
    def mint_three_times(self, platform: str) -> None:
        """As much as one is let: the first may have to ask AWS, the others then need not."""
        for ask in (Ask(TEACHER, platform), Ask(SERVER, platform), Ask(TEACHER, platform)):
            self._mint(ask)

    @rule()
    def ask_health(self) -> None:
        candidates = self._candidates()
        expected = [(model.minting(), model) for model in candidates]
        said, arrived = self._watched(self.environment.health)
        assert arrived[1] == 0, "health read a secret"
        assert arrived[0] <= ATTEMPTS
        for minting, model in expected:
            if minting == said:
                assert arrived[0] == model.arrived[SSM]
                assert self.environment.now == model.now
                self._adopt(model)
                break
        else:
            raise AssertionError(f"health says {said}, not {[minting for minting, _ in expected]}")
        SEEN[f"health {said}"] += 1

    def _mint(self, ask: Ask) -> None:
        expected = [(model.answer(ask), model) for model in self._candidates()]
        started = self.environment.now
        silent = {
            operation: self.witness.may_be_silent_about(operation, about, started, self.jitter)
            for operation, about in ((SSM, ""), (SECRETS, ask.platform))
        }
        outcome = self._watched(lambda: self.environment.ask(ask))

        assert max(*outcome.arrived, *(outcome.attempts or ())) <= ATTEMPTS
        for index, operation in enumerate((SSM, SECRETS)):
            assert not (silent[operation] and outcome.arrived[index]), "asked for what it knows"
        if outcome.status == 200:
            self.witness.assert_may_have(ask, outcome, self.environment.now)
            assert started.age(self.environment.now) < ANSWERED_WITHIN, "minted too late"
        for predicted, model in expected:
            if predicted == outcome:
                self._note(outcome, ask, model, started)
                self._adopt(model)
                return
        raise AssertionError(f"{ask}:\n   {outcome}\nis not\n   " + "\nnor\n   ".join(str(one) for one, _ in expected))

    def _candidates(self) -> list[Model]:
        return [self.model.fork(self.stand_in, self.plan, late_is_read=late) for late in (False, True)]

    def _adopt(self, model: Model) -> None:
        self.model = model

    def _watched[T](self, do: Callable[[], T]) -> T:
        """Does something that AWS may be asked for, and lets the witness hear what it says."""
        words, started = self.environment.words, self.environment.now
        words.clear()
        done = do()
        self.witness.hear(words, started)
        return done

    def _note(self, outcome: Outcome, ask: Ask, model: Model, started: Moment) -> None:
        """Keeps count of what was met, so that it can be seen that the run was worth something."""
        SEEN[outcome.code or "minted"] += 1
        SEEN[f"{outcome.code or 'minted'} {outcome.retry_after or ''} {outcome.arrived}"] += 1
        for name in outcome.logged:
            if name.endswith("-stale"):
                SEEN[f"minted {name}"] += 1
        state = model.state.asked
        if outcome.code == "minting-disabled" and state and state.age(model.now) > ON_FOR:
            SEEN["off for longer than on would be believed"] += 1
        if any(started.age(word.answered) >= WAITING and word.way is WELL for word in self.environment.words):
            SEEN[f"late: {outcome.code or 'minted'}"] += 1


MET = (
    *("minted", "minted switch-stale", "minted credentials-stale", "malformed-body", "unauthenticated"),
    *("minting-disabled", "not-allowed", "switch-unavailable", "policy-unavailable", "credentials-unavailable"),
    *("credentials-invalid", "audit-unavailable", "deadline-exceeded", "off for longer than on would be believed"),
    *("late: deadline-exceeded", "late: switch-unavailable", "late: minting-disabled"),
    *("health on", "health off", "health partly-off", "health unknown"),
)
"""What a run that is worth something has met."""


@pytest.fixture
def stand_in() -> Iterator[AwsStandIn]:
    """AWS; the SDK's own variables lead to it. The SDK's models are read once and not for every environment."""
    loader = botocore.loaders.create_loader()
    with AwsStandIn() as stand_in, pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in stand_in.environ.items():
            patch.setenv(name, value)
        patch.setattr(botocore.session, "create_loader", lambda *_: loader)
        yield stand_in


def test_the_model(stand_in: AwsStandIn) -> None:
    RoomkeyMachine.stand_in = stand_in
    long_run = int(os.environ.get("ROOMKEY_MODEL_EXAMPLES", "0"))
    SEEN.clear()
    run_state_machine_as_test(
        RoomkeyMachine,
        settings=settings(
            max_examples=long_run or 60,
            stateful_step_count=50,
            deadline=None,
            derandomize=not long_run,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if long_run:
        for name, count in sorted(SEEN.items()):
            print(f"{count:8}  {name}")
    assert [name for name in MET if not SEEN[name]] == []
