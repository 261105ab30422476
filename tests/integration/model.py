"""A model of the caches and the rules, and an environment that compares the real API with it. `test_model` runs both.

`Model` sees each AWS call and its response, and computes the expected answer: "How a value is kept fresh" of
docs/architecture.md as code. `Environment` is the real API, its caches and its AWS client in front of an AWS in virtual
time. It compares every answer with the model and with the invariants."""

import contextlib
import hashlib
import io
import json
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from roomkey.api import Api
from roomkey.aws import client
from roomkey.invites import Invite, InviteKeys
from support import token_readers
from support.audit_lines import checked
from support.aws import faulty as faults
from support.aws.faulty import Behaviour, Operation
from support.aws.virtual import ENVIRON, Call, VirtualAws
from support.events import HEALTH, LambdaContext, token_event
from support.invites import KEY_SECRET, KEYS
from support.stack import SECRETS as FIRST_SECRETS
from support.stack import Answer, build_dependencies

SSM, SM = Operation.GET_PARAMETERS, Operation.GET_SECRET_VALUE
FLAG, POLICY, BLOCKED = "/roomkey/dev/disabled", "/roomkey/dev/policy", "/roomkey/dev/blocked"
PLATFORMS, KINDS = tuple(FIRST_SECRETS), ("app", "management")

# --- the operator's data ---------------------------------------------------------------------------------------------

SWITCHED = (*KINDS, "invite")
SCOPES = [*SWITCHED, *PLATFORMS, *(f"{platform}/{kind}" for platform in PLATFORMS for kind in SWITCHED)]
ENCRYPTED = "encrypted"
"""Stands for a value of another type (`SecureString`)."""

NOT_FLAGS = ["", "TRUE", " false", "false\n", "off", "0", "null", "true,app", "app,app", "app, agora", "nosuch"]


def off_by(flag: str | None, platforms: Iterable[str] = PLATFORMS) -> set[tuple[str, str]] | None:
    """Return the platforms and kinds that `flag` switches off, None for an invalid kill switch."""
    everything = {(platform, kind) for platform in platforms for kind in SWITCHED}
    if flag in ("true", "false"):
        return everything if flag == "true" else set()
    scopes = (flag or "").split(",")
    known = {*SWITCHED, *platforms, *(f"{platform}/{kind}" for platform, kind in everything)}
    if not set(scopes) <= known or len(set(scopes)) < len(scopes):
        return None
    return {(platform, kind) for platform, kind in everything if {platform, kind, f"{platform}/{kind}"} & set(scopes)}


BACKEND = "arn:aws:iam::999999999999:role/Sentinel-backend"


class Caller(NamedTuple):
    """A caller, and the result of API Gateway's authorizers: nothing, a JWT's claims or an IAM principal."""

    kind: str
    authorizer: Mapping[str, Any] | None
    user: str = "Sentinel-anybody"


def _signed_in(user: str, group: str) -> Caller:
    return Caller("app", {"jwt": {"claims": {"sub": user, "groups": f"[{group} everybody]"}}}, user)


TEACHER, STUDENT = _signed_in("Sentinel-teacher", "teachers"), _signed_in("Sentinel-student", "students")
SERVER = Caller("management", {"iam": {"userArn": BACKEND}})
STRANGER = Caller("management", {"iam": {"userArn": "arn:aws:iam::888888888888:role/Sentinel-stranger"}})
GUEST = Caller("app", None, "guest-Sentinel-anybody")
"""A caller with an invite."""
CALLERS = (TEACHER, STUDENT, SERVER, STRANGER, Caller("app", None), Caller("management", None))

_ANYTHING = {"who": ["anyone"], "kinds": ["*"], "platforms": ["*"], "roles": ["*"], "services": ["*"], "rooms": ["*"]}
_GUESTS = _ANYTHING | {"who": ["invite"], "kinds": ["app"], "max_lifetime": 900}
_SHORT = _ANYTHING | {"max_lifetime": 600}
_TEACHERS = _SHORT | {"who": [{"group": "teachers"}], "kinds": ["app"]}
_BACKEND = {"who": [{"principal": BACKEND}], "kinds": ["management"], "platforms": ["100ms"], "roles": ["*"]}

type Grants = Callable[[Caller | None, str], float | None]
"""The longest lifetime that a caller (None: anyone) may have on a platform; None grants nothing."""


def _some(caller: Caller | None, platform: str) -> float | None:
    return 600 if caller is TEACHER else math.inf if caller is SERVER and platform == "100ms" else None


_RULES: Sequence[tuple[list[Any], Grants]] = (
    ([_ANYTHING, _GUESTS], lambda caller, _: 900 if caller is GUEST else math.inf),
    ([_SHORT], lambda caller, _: None if caller is GUEST else 600),
    ([_TEACHERS, _BACKEND], _some),
    ([], lambda _, __: None),
)
POLICIES = {
    json.dumps({"version": 1, "mode": mode, "rules": rules}): (mode, grants)
    for mode in ("enforce", "audit")
    for rules, grants in _RULES
}
OPEN_POLICY = next(iter(POLICIES))
NOT_POLICIES = ["", "{", "null", "[]", '{"version":1}', OPEN_POLICY + " x", OPEN_POLICY.replace("*", "", 1)]

type Blocks = Callable[[str, str, float], bool]
"""Return whether a user is blocked on a platform at a time on the wall clock."""

BLOCK_LISTS: Mapping[str, Blocks] = {
    "{}": lambda user, platform, at: False,
    '{"users":{"Sentinel-teacher":{}}}': lambda user, platform, at: user == "Sentinel-teacher",
    '{"users":{"Sentinel-student":{"platforms":["agora"]}},"invites":["x"]}': (
        lambda user, platform, at: (user == "Sentinel-student" and platform == "agora") or user == "invite x"
    ),
    '{"users":{"Sentinel-student":{"rooms":["another"]}}}': lambda user, platform, at: False,
    '{"users":{"Sentinel-teacher":{"rooms":["012*","x"],"until":1800500000,"reason":"rude"}}}': (
        lambda user, platform, at: user == "Sentinel-teacher" and at < 1_800_500_000
    ),
}
NOT_BLOCK_LISTS = ["", "[]", "null", '{"user":{}}', '{"users":[]}', '{"users":{"a":{"rooms":[]}}}', '{"users":{"":{}}}']

KEY_NAMES = {platform: list(values)[-1] for platform, values in FIRST_SECRETS.items()}


INVITES = "roomkey/dev/invites"


def secret(platform: str, number: int) -> dict[str, str]:
    """Return the platform's valid secret with this number."""
    digest = hashlib.sha256(f"{platform} {number}".encode()).hexdigest()
    key = digest[:32] if platform == "agora" else f"Sentinel{digest}"
    return {**FIRST_SECRETS[platform], KEY_NAMES[platform]: key}


GOOD = {(platform, json.dumps(secret(platform, number))): number for platform in PLATFORMS for number in range(3)}
GOOD["invites", KEY_SECRET] = 0
SPOILED: Mapping[str, Callable[[dict[str, str], str], str | bytes]] = {
    "short": lambda values, name: json.dumps({**values, name: "Sentinel-short"}),
    "newline": lambda values, name: json.dumps({**values, name: values[name] + "\n"}),
    "one-character": lambda values, name: json.dumps({**values, name: "x" * 32}),
    "missing": lambda values, name: json.dumps({key: value for key, value in values.items() if key != name}),
    "with_one_retry": lambda values, name: json.dumps(values)[:-1] + f', "{name}": "{values[name]}"}}',
    "cut": lambda values, _: json.dumps(values)[:-3],
    "plain": lambda values, name: values[name],
    "empty": lambda _, __: "",
    "binary": lambda values, _: json.dumps(values).encode(),
}

# --- AWS -------------------------------------------------------------------------------------------------------------

PASSING: Sequence[Behaviour] = (
    *(faults.throttled, faults.bare_429, faults.server_error, faults.html, faults.unavailable_html, faults.empty),
    *(faults.truncated, faults.cut, faults.not_utf8, faults.odd({}), faults.foreign_name, faults.endless),
    *(faults.reset, faults.closed, faults.refused, faults.not_http),
    *(faults.hang, faults.slow(1.3), faults.drip_body, faults.drip_header),
)
LASTING: Sequence[Behaviour] = (
    *(faults.denied, faults.not_found, faults.deleted, faults.undecryptable, faults.kms_denied),
)

# --- the model -----------------------------------------------------------------------------------------------------

FRESH = {SSM: 30.0, SM: 300.0}
ON_FOR, CREDENTIALS_FOR = 300.0, 3600.0
REST, TTL_JITTER = 5.0, 0.2
WAITING, GRACE = 2.6, 0.3
DEFAULT_LIFE = {"app": 3600, "management": 900}


class Moment(NamedTuple):
    """A moment on two clocks."""

    wall: float
    monotonic: float

    def age(self, now: "Moment") -> float:
        """Return the age by the clock that advanced further."""
        return max(now.wall - self.wall, now.monotonic - self.monotonic)


class Problem(Exception):
    """The error code of an unavailable value, and whether the failure is temporary."""

    def __init__(self, code: str, *, passes: bool = False) -> None:
        super().__init__(code)
        self.code, self.passes = code, passes


BUDGET_EXCEEDED = Problem("deadline-exceeded", passes=True)


@dataclass
class Known:
    """The cached value and the result of the last attempt to read it. Empty at first."""

    of: Operation
    value: Any = None
    asked: Moment | None = None
    ever_read: bool = False
    tried: Moment | None = None
    failed: Moment | None = None
    problem: Problem | None = None


class Found(NamedTuple):
    """The value in use, its age, and the reason if a newer one was due."""

    value: Any
    age: float
    problem: Problem | None = None


@dataclass(frozen=True)
class Ask:
    """A request for a token."""

    caller: Caller
    platform: str
    expires_in: int | None = None
    well_formed: bool = True
    invite: str = ""
    """For a guest: `good`, `forged`, `expired` or `malformed`."""

    @property
    def kind(self) -> str:
        return self.caller.kind

    def users(self, access: str) -> list[str]:
        """Return the users of the token and of the authentication, and the invite."""
        if self.invite:
            return ["invite x", self.caller.user]
        bound = self.kind == "app" and (access == "jwt" or self.platform != "agora-whiteboard")
        return [self.caller.user] if bound else []


class Granted(NamedTuple):
    """The expected token: the secret that signs it, its lifetime, and the expected log line."""

    number: int
    version_id: str
    expires_in: int
    stale: list[str]


class Model:
    """The cached values and the expected answers. `chance` is the result of every random draw, from 0 to 1."""

    def __init__(self, access: str, chance: float) -> None:
        self.access, self.chance = access, chance
        self.state = Known(SSM)
        self.credentials = {platform: Known(SM) for platform in PLATFORMS}
        self.keys = Known(SM)
        self.started = self.now = Moment(0, 0)
        self.calls: deque[Call] = deque()

    # One request. The expected AWS calls are compared in order: a remaining one is an error.

    def health(self, started: Moment, calls: Sequence[Call]) -> str:
        """Return the expected health. It depends on the kill switch alone, which it reads at most once per TTL."""
        self.started, self.now, self.calls = started, started, deque(calls)
        try:
            state = self._read(self.state, _state_said, between_tries=FRESH[SSM])
        except Problem:
            return "unknown"
        off, *_ = state.value
        off = {(platform, kind) for platform, kind in off if kind in KINDS}
        if len(off) == len(PLATFORMS) * len(KINDS):
            return "off"
        return "unknown" if state.age > ON_FOR else "partly-off" if off else "on"

    def mint(self, ask: Ask, started: Moment, calls: Sequence[Call]) -> Granted:
        """The order of work. Raises `Problem`."""
        self.started, self.now, self.calls = started, started, deque(calls)
        proved = not ask.invite and (ask.kind == "management" or self.access == "jwt")
        self._read_request(ask, proved)

        state = self._read(self.state, _state_said)
        off, policy_found, blocks = state.value
        if (ask.platform, ask.kind) in off or (ask.invite and (ask.platform, "invite") in off):
            raise Problem("minting-disabled")
        if state.age > ON_FOR:
            raise Problem("kill-switch-unavailable", passes=True)
        keys = self._verify(ask) if ask.invite else None
        if blocks is None:
            raise Problem("blocklist-unavailable")
        if any(blocks(user, ask.platform, started.wall) for user in ask.users(self.access)):
            raise Problem("blocked")
        if policy_found is None:
            raise Problem("policy-unavailable")
        mode, grants = policy_found
        longest = grants(ask.caller if proved or ask.invite else None, ask.platform)
        allowed = longest is not None and (ask.expires_in or 0) <= longest
        if mode == "enforce" and not allowed:
            raise Problem("not-allowed")

        signing = self._read(self.credentials[ask.platform], _secret_said)
        if self._left() + GRACE <= 0:
            raise BUDGET_EXCEEDED
        expires_in = ask.expires_in or int(min(DEFAULT_LIFE[ask.kind], longest or math.inf))
        reads = (("kill-switch", state), ("credentials", signing), ("invite-keys", keys))
        stale = [f"{name}-stale" for name, found in reads if found and found.problem]
        number, version_id = signing.value
        return Granted(number, version_id, expires_in, stale)

    @staticmethod
    def _read_request(ask: Ask, proved: bool) -> None:
        if proved and ask.caller.authorizer is None:
            raise Problem("unauthenticated")
        if not ask.well_formed:
            raise Problem("malformed-body")
        if ask.invite == "malformed":
            raise Problem("invite-invalid")

    def _verify(self, ask: Ask) -> Found:
        keys = self._read(self.keys, _secret_said)
        if self._left() + GRACE <= 0:
            raise BUDGET_EXCEEDED
        if ask.invite != "good":
            raise Problem("invite-invalid")
        return keys

    # How a value is kept fresh.

    def ttl(self, known: Known) -> float:
        return FRESH[known.of] * (1 - TTL_JITTER + 2 * TTL_JITTER * self.chance)

    def _left(self) -> float:
        return WAITING - self.started.age(self.now)

    def _read(self, known: Known, understand: Callable[[Any], Any], between_tries: float = 0) -> Found:
        asked, now = known.asked, self.now
        if asked and now.wall >= asked.wall and asked.age(now) < self.ttl(known):
            return Found(known.value, asked.age(now))
        if known.problem and known.failed and known.tried:
            rests = known.ever_read and known.failed.age(now) < REST * (1 + TTL_JITTER * self.chance)
            if rests or known.tried.age(now) < between_tries:
                return self._old(known, known.problem)
        if self._left() <= 0:
            return self._old(known, BUDGET_EXCEEDED)
        known.tried = now
        try:
            value = self._asked(known.of, understand)
        except Problem as problem:
            if not problem.passes:  # A definite refusal.
                known.value = known.asked = None
            # A timeout does not count against later requests.
            known.problem = Problem(_unavailable(known.of), passes=True) if problem is BUDGET_EXCEEDED else problem
            known.failed = self.now
            return self._old(known, problem)
        known.value, known.asked, known.ever_read, known.failed, known.problem = value, now, True, None, None
        return Found(value, now.age(self.now))

    def _old(self, known: Known, problem: Problem) -> Found:
        """Return the previous value. The age limit of "on" is checked later: "off" has none."""
        age = known.asked.age(self.now) if known.asked else math.inf
        if age == math.inf or (known.of is SM and age >= CREDENTIALS_FOR):
            raise problem
        return Found(known.value, age, problem)

    def _asked(self, operation: Operation, understand: Callable[[Any], Any]) -> Any:
        """Return the response of AWS: one attempt, and another if the first failure is temporary and time remains."""
        try:
            return self._attempt(operation, understand)
        except Problem as problem:
            pause = client.MAX_RETRY_DELAY * self.chance
            if not problem.passes or self._left() <= pause:
                raise
        return self._attempt(operation, understand)

    def _attempt(self, operation: Operation, understand: Callable[[Any], Any]) -> Any:
        assert self.calls, f"{operation} has to be asked and was not"
        call = self.calls.popleft()
        assert call.operation is operation
        self.now = Moment(call.answered.wall, call.answered.monotonic)
        late = self._left() <= 0
        if call.behaviour in PASSING:
            raise BUDGET_EXCEEDED if late else Problem(_unavailable(operation), passes=True)
        if call.behaviour in LASTING:
            raise Problem(_unavailable(operation))
        value = understand(call)  # A refusal counts however late it comes.
        if late:  # A success does not.
            raise BUDGET_EXCEEDED
        return value


def _unavailable(operation: Operation) -> str:
    return "kill-switch-unavailable" if operation is SSM else "credentials-unavailable"


def _state_said(call: Call) -> Any:
    """Return kill switch and policy. A missing kill switch is an error; a missing policy is not."""
    said = {one["Name"]: one["Value"] for one in call.said["Parameters"] if one["Type"] == "String"}
    off = off_by(said.get(FLAG))
    if off is None:
        raise Problem("kill-switch-unavailable")
    return off, POLICIES.get(said.get(POLICY, "")), BLOCK_LISTS.get(said.get(BLOCKED, ""))


def _secret_said(call: Call) -> Any:
    """Return the secret and the id of its version."""
    if "__type" in call.said:
        raise Problem("credentials-unavailable")
    platform = call.asked["SecretId"].removeprefix("roomkey/dev/")
    number = GOOD.get((platform, call.said.get("SecretString", "")))
    if number is None:
        raise Problem("credentials-invalid")
    assert call.said["VersionStages"] == ["AWSCURRENT"]
    return number, call.said["VersionId"]


# --- the function --------------------------------------------------------------------------------------------------


class AuditStream(io.StringIO):
    """A stream of audit lines that can be set to fail."""

    full = False

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


NEVER_AUDITED = ("AKIASTANDIN", faults.ACCOUNT_ID, "eyJ", "NETLESS")
NEVER_SHOWN = ("Sentinel", "AKIASTANDIN", faults.ACCOUNT_ID, "999999999999", "arn:aws")
_TOKEN = re.compile(r"eyJ[\w-]{10,}\.|\b007[\w+/]{40}|NETLESS[A-Z]+_")
ROOM = "0123456789abcdef0123456789abcdef"
ROLES = {"100ms": "guest", "videosdk": "guest", "agora": "publisher", "agora-whiteboard": "writer"}
OUTCOMES = {503: "Fault", 200: "TokenMinted"}


class Environment:
    """The real API, its AWS, and the model of its state."""

    def __init__(self, aws: VirtualAws, access: str, chance: float) -> None:
        self.aws, self.audit, self.model = aws, AuditStream(), Model(access, chance)
        self._api = Api(
            build_dependencies(
                ENVIRON, aws.clock, self.audit, access=access, platforms=PLATFORMS, jitter=lambda: chance
            )
        )

    @property
    def now(self) -> Moment:
        return Moment(self.aws.clock.wall, self.aws.clock.monotonic)

    def health(self) -> str:
        started = self.now
        answer, _, calls = self._answer(HEALTH)
        minting = str(answer.body["minting"])
        assert minting == self.model.health(started, calls)
        assert not self.model.calls, "health asked AWS for what it knows, or for a secret"
        return f"health {minting}"

    def mint(self, ask: Ask) -> str:
        """Return the answer, which must be the model's, with a matching audit line."""
        started = self.now
        answer, logs, calls = self._answer(_event(ask, started), secrets=2 if ask.invite else 1)
        (metrics,) = [one for one in logs if "_aws" in one]
        logged = [one["message"] for one in logs if "level" in one]
        try:
            due: Granted | Problem = self.model.mint(ask, started, calls)
        except Problem as problem:
            due = problem
        assert not self.model.calls, "AWS was asked for what is known, or is of no use"  # I8

        full = self.audit.full
        if isinstance(due, Problem):
            retry_after = {True: "5", False: "60"}[due.passes] if answer.status == 503 else None
            assert (answer.code, answer.headers.get("retry-after")) == (due.code, retry_after)
            wrong = [due.code] if answer.status == 503 else []
        elif full:
            assert (answer.code, answer.headers.get("retry-after")) == ("audit-unavailable", "60")
            wrong = due.stale
        else:
            assert answer.status == 200, answer.code
            self._assert_is_due(ask, answer, due)
            wrong = due.stale
        assert logged == (["audit-unavailable"] if full else []) + wrong
        assert OUTCOMES.get(answer.status, "TokenRefused") in metrics
        assert metrics["code"] == (answer.code or "minted")
        if not full:
            self._assert_audited(answer, calls, due)
        return " ".join([answer.code or "minted", *wrong])

    def _answer(self, event: Mapping[str, Any], secrets: int = 1) -> tuple[Answer, list[Any], list[Call]]:
        """An answer that passed the invariants, with its log lines and AWS calls."""
        started, printed = self.now, io.StringIO()
        self.aws.calls.clear()
        self.audit.seek(0)
        self.audit.truncate()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            answer = Answer.checked(self._api.answer(event, LambdaContext()))  # I2, and more
        calls = list(self.aws.calls)
        asked = Counter(call.operation for call in calls)
        assert asked[SSM] <= 2  # I8
        assert asked[SM] <= 2 * secrets
        frozen = any(call.behaviour not in (*PASSING, *LASTING, faults.ok) for call in calls)
        assert started.age(self.now) < 3 or (frozen and answer.token is None)  # I6
        said = printed.getvalue() + ("" if answer.token else answer.text)
        assert [shown for shown in NEVER_SHOWN if shown in said] == []  # I7
        assert not _TOKEN.search(said)
        return answer, [json.loads(line) for line in printed.getvalue().splitlines()], calls

    def _assert_is_due(self, ask: Ask, answer: Answer, due: Granted) -> None:
        """Check that the token has exactly the granted claims and the signature of the right secret: I5."""
        secrets = {ask.platform: secret(ask.platform, due.number)}
        app, seconds = ask.kind == "app", int(self.now.wall)
        says = token_readers.due(
            ask.platform,
            ask.kind,
            expires_in=due.expires_in,
            room_id=ROOM,
            role=ROLES[ask.platform] if app else "admin",
            user_id=ask.caller.user,
            services=["rtc"],
            at=seconds * 1000 + min(round((self.now.wall - seconds) * 1000), 999),
            secrets=secrets,
        )
        token_readers.assert_same(token_readers.read(ask.platform, str(answer.token), secrets).says, says)
        assert (answer.body["expires_in"], answer.body["expires_at"]) == (due.expires_in, seconds + due.expires_in)

    def _assert_audited(self, answer: Answer, calls: list[Call], due: Granted | Problem) -> None:
        """Check that one audit line exists, matches the answer and contains no secret: I1 and I7."""
        text = self.audit.getvalue().removeprefix("\n")  # After a failed write.
        assert text.count("\n") == 1, "an answer has one audit line"
        line = checked(text)
        asked = Counter(call.operation for call in calls)
        assert (line["status"], line.get("reason")) == (answer.status, answer.code)
        counts = {"ssm": asked[SSM], "secretsmanager": asked[SM]}
        assert line.get("calls", {}) == {service: count for service, count in counts.items() if count}
        assert ("token" in line) == (answer.token is not None)
        if answer.token and isinstance(due, Granted):
            assert line["token"]["sha256"] == hashlib.sha256(answer.token.encode()).hexdigest()
            assert line["credentials"]["version_id"] == due.version_id
        keys = [value for platform in PLATFORMS for number in range(3) for value in secret(platform, number).values()]
        assert [shown for shown in (*NEVER_AUDITED, *keys) if shown in text] == []


def _event(ask: Ask, now: Moment) -> dict[str, Any]:
    if ask.invite:
        event = token_event(
            ask.platform, "app", json.dumps({"invite": _invite(ask, now), "user_id": "Sentinel-anybody"})
        )
        return {**event, "routeKey": "POST /v1/invites/redeem", "pathParameters": {}}
    body: dict[str, Any] = {}
    if ask.kind == "app":
        body |= {"room_id": ROOM, "role": ROLES[ask.platform]}
        body |= {} if ask.platform == "agora-whiteboard" else {"user_id": ask.caller.user}
    body |= {} if ask.expires_in is None else {"expires_in": ask.expires_in}
    text = json.dumps(body)
    text = text if ask.well_formed else text[:-1]
    return token_event(ask.platform, ask.kind, text, authorizer=ask.caller.authorizer)


def _invite(ask: Ask, now: Moment) -> str:
    if ask.invite == "malformed":
        return "rki1.e30.x"
    ends = int(now.wall) + (-5 if ask.invite == "expired" else 86400)
    services = ("rtc",) if ask.platform == "agora" else ()
    invite = Invite(ask.platform, ROOM, ROLES[ask.platform], services, ends, "x", None)
    return InviteKeys(KEYS, "a").sign(invite, "prod" if ask.invite == "forged" else "dev")
