"""SSM and Secrets Manager fail in every way, and the real API answers.

The ids of the cases are rows of tests/threats.toml: A secrets, B the kill switch, C the runtime. `Stack.ask` checks the
invariants on every answer."""

import base64
import contextlib
import hashlib
import hmac
import io
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from roomkey.api import Api
from roomkey_cli.data import POLICIES
from support.aws import faulty as faults
from support.aws.faulty import Behaviour, FaultyAws, Operation
from support.clocks import FakeClock, ShiftedClock
from support.events import HEALTH, LambdaContext, token_event
from support.stack import build_dependencies

SSM, SECRETS = Operation.GET_PARAMETERS, Operation.GET_SECRET_VALUE
FLAG, POLICY, SECRET = "/roomkey/dev/disabled", "/roomkey/dev/policy", "roomkey/dev/100ms"
BLOCKED = "/roomkey/dev/blocked"
OPEN_POLICY = (POLICIES / "open.json").read_text()

ACCESS_KEY = "5f1e3a7c9d2b4860af13c5e7"
APP_SECRET = "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"
OTHER_SECRET = "Sentinel2Jd8Wk5Rm1Qx7Zt4Pv9Nb6Lc3Gh0Fs"
CALLER = "arn:aws:iam::999999999999:role/backend"

FRESH = {SSM: 30.0, SECRETS: 300.0}
CODE = {SSM: "kill-switch-unavailable", SECRETS: "credentials-unavailable"}
NAME = {SSM: "ssm", SECRETS: "sm"}

type Clock = FakeClock | ShiftedClock


def secret(app_secret: str = APP_SECRET) -> str:
    return json.dumps({"app_access_key": ACCESS_KEY, "app_secret": app_secret})


# --- a stack and its invariants --------------------------------------------------------------------------------------


class Calls(NamedTuple):
    ssm: int
    secrets: int

    def of(self, operation: Operation) -> int:
        return self.ssm if operation == SSM else self.secrets


NO_CALLS = Calls(0, 0)


@dataclass(frozen=True)
class Reply:
    """An answer and its cost. `problem` is the status, code and Retry-After that a refused caller sees."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    calls: Calls
    audit: Mapping[str, Any]
    seconds: float

    @property
    def problem(self) -> tuple[int, str, str | None]:
        return self.status, self.body.get("code", ""), self.headers.get("retry-after")

    @property
    def minted(self) -> bool:
        return self.status == 200

    @property
    def claims(self) -> dict[str, Any]:
        segment = self.body["token"].split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))))

    def signed_with(self, key: str) -> bool:
        signed, _, signature = self.body["token"].rpartition(".")
        digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == str(signature)


@dataclass
class Stack:
    """An environment in front of the faulty AWS. Unlike `support.stack.Deployed`, it counts arrived calls."""

    stand_in: FaultyAws
    clock: Clock
    jitter: float = 0.5
    environment: str = "dev"
    audit: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        environ, jitter = self.stand_in.environ, lambda: self.jitter
        self.api = Api(build_dependencies(environ, self.clock, self.audit, environment=self.environment, jitter=jitter))

    def ask(self, kind: str = "app", context: LambdaContext | None = None) -> Reply:
        """Request a token, and check the invariants on the answer."""
        event, context = _event(kind), context or LambdaContext()
        with self.stand_in.counting() as arrived:
            started = time.monotonic()
            response = self.api.answer(event, context)
            seconds = time.monotonic() - started
        line = json.loads(self.audit.getvalue().splitlines()[-1])
        reply = _reply(response, line, seconds)
        assert arrived[SSM] <= reply.calls.ssm
        assert arrived[SECRETS] <= reply.calls.secrets
        return reply

    def health(self) -> str:
        response = self.api.answer(HEALTH, LambdaContext())
        assert response["statusCode"] == 200
        return str(json.loads(response["body"])["minting"])


def _event(kind: str) -> dict[str, Any]:
    if kind == "app":
        return token_event(body={"room_id": "physics", "role": "guest"})
    return token_event(kind=kind, authorizer={"iam": {"userArn": CALLER}})


def _reply(response: Mapping[str, Any], line: Mapping[str, Any], seconds: float) -> Reply:
    status, body, headers = response["statusCode"], json.loads(response["body"]), response["headers"]
    counted = line.get("calls", {})
    calls = Calls(counted.get("ssm", 0), counted.get("secretsmanager", 0))
    assert headers["cache-control"] == "no-store"
    assert seconds < 3.0
    assert max(calls) <= 2, "more than two attempts in one request"
    assert (line["log_type"], line["status"], line.get("reason")) == ("audit", status, body.get("code"))
    if status == 200:
        assert line["token"]["sha256"] == hashlib.sha256(body["token"].encode()).hexdigest()
    else:
        assert "token" not in body
        assert_nothing_leaks(response["body"])
    return Reply(status, body, headers, calls, line, seconds)


_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.")
_NEVER_SHOWN = (APP_SECRET, OTHER_SECRET, ACCESS_KEY, faults.ACCOUNT_ID, "AKIASTANDIN", "Sentinel")


def assert_nothing_leaks(text: str) -> None:
    assert [shown for shown in _NEVER_SHOWN if shown in text] == []
    assert not _TOKEN.search(text)


@contextlib.contextmanager
def working_stand_in() -> Iterator[FaultyAws]:
    """Return a faulty AWS with minting on and valid credentials."""
    with FaultyAws() as stand_in:
        stand_in.put_parameter(FLAG, "false")
        stand_in.put_parameter(POLICY, OPEN_POLICY)
        stand_in.put_parameter(BLOCKED, "{}")
        stand_in.put_secret(SECRET, secret())
        yield stand_in


@pytest.fixture
def stand_in() -> Iterator[FaultyAws]:
    with working_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def stack(stand_in: FaultyAws, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> Iterator[Stack]:
    stack = Stack(stand_in, clock)
    yield stack
    printed = capsys.readouterr()
    assert_nothing_leaks(printed.out + printed.err + stack.audit.getvalue())


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the log lines so far without metrics. They stay for the check at the end of the test."""
    printed = capsys.readouterr().out
    assert_nothing_leaks(printed)
    return [line for line in map(json.loads, printed.splitlines()) if "level" in line]


# --- temporary failures ----------------------------------------------------------------------------------------------

TRANSIENT: Mapping[str, tuple[Behaviour, str, str, str]] = {
    # The fault, what the log calls it, its row for secrets, its row for the switch.
    "throttled": (faults.throttled, "throttled", "A1-A2", "B8"),
    "bare-429": (faults.bare_429, "throttled", "A1-A2", "B8"),
    "500": (faults.server_error, "server-error", "A3", "B3"),
    "500-html": (faults.server_error_html, "server-error", "A3", "B3"),
    "503-html": (faults.unavailable_html, "server-error", "A3", "B3"),
    "html": (faults.html, "unexpected-response", "A5", "B3"),
    "empty": (faults.empty, "unexpected-response", "A5", "B3"),
    "not-utf8": (faults.not_utf8, "unexpected-response", "A5", "B3"),
    "cut": (faults.cut, "unexpected-response", "A5", "B3"),
    "foreign-name": (faults.foreign_name, "unexpected-response", "A5", "B3"),
    "truncated": (faults.truncated, "unreachable", "A5", "B3"),
    "short": (faults.short, "unreachable", "A5", "B3"),
    "oversized": (faults.oversized, "unreachable", "A5", "B3"),
    "endless": (faults.endless, "unreachable", "A5", "B3"),
    "reset": (faults.reset, "unreachable", "A4", "B3"),
    "closed": (faults.closed, "unreachable", "A4", "B3"),
    "refused": (faults.refused, "unreachable", "A4", "B3"),
}

every_transient_fault = pytest.mark.parametrize(
    ("at", "fault", "reason"),
    [
        pytest.param(at, fault, reason, id=f"{rows[at == SSM]}-{NAME[at]}-{name}")
        for name, (fault, reason, *rows) in TRANSIENT.items()
        for at in Operation
    ],
)
every_transient_fault_of_ssm = pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=f"B3-{name}") for name, (fault, *_) in TRANSIENT.items()],
)


@pytest.mark.threat("A1", "A4", "A5", "I4", "I8")
@every_transient_fault
def test_with_an_empty_cache_a_temporary_failure_is_503_and_every_request_retries(
    stack: Stack, capsys: pytest.CaptureFixture[str], at: Operation, fault: Behaviour, reason: str
) -> None:
    stack.stand_in.behave(at, fault)
    for _ in range(2):
        reply = stack.ask()
        assert reply.problem == (503, CODE[at], "5")
        assert reply.calls.of(at) == 2
        assert at == SECRETS or reply.calls.secrets == 0, "a secret was read before it was known that minting is on"
    assert [(line["message"], line["reason"]) for line in logged(capsys)] == [(CODE[at], reason)] * 2

    stack.stand_in.heal()
    reply = stack.ask()
    assert reply.minted
    assert reply.calls.of(at) == 1
    assert stack.ask().calls == NO_CALLS


@pytest.mark.threat("A2", "A4", "A5", "I8")
@every_transient_fault
def test_warm_a_transient_fault_is_bridged_and_the_next_try_rests(
    stack: Stack,
    clock: FakeClock,
    *,
    capsys: pytest.CaptureFixture[str],
    at: Operation,
    fault: Behaviour,
    reason: str,
) -> None:
    assert stack.ask().calls == (1, 1)
    clock.advance(FRESH[at] + 1)
    stack.stand_in.behave(at, fault)

    reply = stack.ask()
    assert reply.minted
    assert reply.calls.of(at) == 2
    failed = clock.monotonic
    assert reply.audit["kill_switch"].get("stale", False) is (at == SSM)
    assert reply.audit["credentials" if at == SECRETS else "kill_switch"]["age_s"] > FRESH[at]
    what = "credentials" if at == SECRETS else "kill-switch"
    assert [(line["message"], line["reason"]) for line in logged(capsys)] == [(f"{what}-stale", reason)]

    for _ in range(20):
        reply = stack.ask()
        assert (reply.minted, reply.calls) == (True, NO_CALLS)
    clock.advance(failed + 4.9 - clock.monotonic)
    assert stack.ask().calls == NO_CALLS
    clock.advance(1.2)
    assert stack.ask().calls.of(at) == 2

    stack.stand_in.heal()
    clock.advance(6.1)
    reply = stack.ask()
    assert (reply.minted, reply.calls.of(at)) == (True, 1)
    assert stack.ask().calls == NO_CALLS
    clock.advance(FRESH[at] - 1)
    assert stack.ask().calls.of(at) == 0


@pytest.mark.threat("A3")
def test_credentials_that_cannot_be_read_again_sign_for_an_hour(stack: Stack, clock: FakeClock) -> None:
    stack.jitter = 0  # No pause between attempts: the clock moves only here.
    stack.ask()
    stack.stand_in.behave(SECRETS, faults.server_error)
    clock.advance(3599.9)
    assert stack.ask().minted
    clock.advance(0.2)
    assert stack.ask().problem == (503, "credentials-unavailable", "5")
    clock.wall -= 3000
    clock.advance(10)
    assert stack.ask().problem == (503, "credentials-unavailable", "5")

    stack.stand_in.heal()
    clock.advance(6)
    assert stack.ask().minted


@pytest.mark.threat("B3", "I3")
@every_transient_fault_of_ssm
def test_on_is_believed_for_300_seconds_and_no_longer(stack: Stack, clock: FakeClock, fault: Behaviour) -> None:
    stack.jitter = 0
    stack.ask()
    stack.stand_in.behave(SSM, fault)
    clock.advance(299.9)
    assert stack.ask().minted
    clock.advance(0.2)
    for _ in range(3):
        reply = stack.ask()
        assert reply.problem == (503, "kill-switch-unavailable", "5")
        assert reply.calls.secrets == 0
        clock.advance(86400)

    stack.stand_in.heal()
    assert stack.ask().minted


@pytest.mark.threat("B3", "I3")
@every_transient_fault_of_ssm
def test_off_stays_off_for_ever_while_ssm_is_down(stack: Stack, clock: FakeClock, fault: Behaviour) -> None:
    stack.stand_in.put_parameter(FLAG, "true")
    assert stack.ask().problem == (403, "minting-disabled", None)
    stack.stand_in.behave(SSM, fault)
    stack.stand_in.put_parameter(FLAG, "false")
    for seconds in (31, 1, 299, 301, 3601, 10 * 86400):
        clock.advance(seconds)
        reply = stack.ask()
        assert reply.problem == (403, "minting-disabled", None)
        assert reply.calls.secrets == 0

    stack.stand_in.heal()
    clock.advance(6.1)
    assert stack.ask().minted


def _deps(**fields: Any) -> Behaviour:
    """Return the healthy response with some fields replaced."""
    return faults.amended(lambda document: document.update(fields))


def _parameter_with(**fields: Any) -> Behaviour:
    """Return the healthy response with some fields of the kill switch replaced."""
    return faults.amended(lambda document: document["Parameters"][0].update(fields))


def _without(*path: Any) -> Behaviour:
    """Return the healthy response without one field."""

    def amend(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return faults.amended(amend)


def _also(**fields: Any) -> Behaviour:
    """Return the healthy response with another parameter: a duplicate of the kill switch, or an unknown one."""
    return faults.amended(
        lambda document: document["Parameters"].append({**document["Parameters"][0], "Value": "false", **fields})
    )


_NO_OBJECTS: Mapping[str, Any] = {
    "list": [],
    "string": "healthy",
    "number": 5,
    "null": None,
    "true": True,
    "list-of-null": [None],
}
_NO_ERRORS: Mapping[str, Any] = {"list": [], "string": "no", "null": None, "empty": {}, "type-number": {"__type": 5}}
NO_ANSWERS: Mapping[str, Behaviour] = {
    **{f"200-{name}": faults.odd(document) for name, document in _NO_OBJECTS.items()},
    **{f"{status}-{name}": faults.odd(_NO_ERRORS[name], status) for status in (400, 500) for name in _NO_ERRORS},
    **{f"{status}-html": faults.page(status) for status in (301, 400, 403, 404, 408, 502)},
    "200-deep": faults.page(200, b"[" * 100_000),
    "200-huge-number": faults.page(200, b'{"a":' + b"9" * 10_000 + b"}"),
    "204": faults.page(204, b""),
    "503-not-utf8": faults.page(503, b"\xff\xfe"),
    "not-http": faults.not_http,
}
ODD_PARAMETERS: Mapping[str, Behaviour] = {
    "parameters-missing": _without("Parameters"),
    "parameters-null": _deps(Parameters=None),
    "parameters-object": _deps(Parameters={}),
    "parameters-text": _deps(Parameters="false"),
    "parameters-number": _deps(Parameters=5),
    "parameters-null-within": _deps(Parameters=[None]),
    "parameters-text-within": _deps(Parameters=["false"]),
    "parameters-list-within": _deps(Parameters=[["false"]]),
    "name-missing": _without("Parameters", 0, "Name"),
    "name-list": _parameter_with(Name=[FLAG]),
    "name-object": _parameter_with(Name={}),
    "value-missing": _without("Parameters", 0, "Value"),
    "value-null": _parameter_with(Value=None),
    "value-list": _parameter_with(Value=["false"]),
    "value-bool": _parameter_with(Value=False),
    "name-in-neither-list": _deps(Parameters=[]),
    "policy-in-neither-list": _without("Parameters", 1),
    "name-in-both-lists": _deps(InvalidParameters=[FLAG]),
    "missing-number": _deps(Parameters=[], InvalidParameters=5),
    "missing-text": _deps(Parameters=[], InvalidParameters=FLAG),
    "missing-nested": _deps(Parameters=[], InvalidParameters=[[FLAG]]),
    "missing-another": _deps(InvalidParameters=["/roomkey/prod/disabled"]),
    "found-twice": _also(),
    "found-another": _also(Name="/roomkey/prod/disabled"),
}
ODD_SECRETS: Mapping[str, Behaviour] = {
    "name-missing": _without("Name"),
    "name-list": _deps(Name=[SECRET]),
    "version-missing": _without("VersionId"),
    "version-number": _deps(VersionId=5),
    "secret-list": _deps(SecretString=["x"]),
    "secret-number": _deps(SecretString=5),
    "secret-object": _deps(SecretString={"app_access_key": ACCESS_KEY, "app_secret": APP_SECRET}),
    "secret-empty-object": _deps(SecretString={}),
    "stages-missing": _without("VersionStages"),
    "stages-number": _deps(VersionStages=5),
    "A16-stage-pending": _deps(VersionStages=["AWSPENDING"]),
}


@pytest.mark.threat("A5", "A16", "I4")
@pytest.mark.parametrize(
    ("at", "fault"),
    [
        pytest.param(at, fault, id=f"{row}-{NAME[at]}-{name}")
        for at, row, cases in ((SSM, "B3", ODD_PARAMETERS), (SECRETS, "A5", ODD_SECRETS))
        for name, fault in {**NO_ANSWERS, **cases}.items()
    ],
)
def test_an_unknown_response_is_a_temporary_failure(stack: Stack, at: Operation, fault: Behaviour) -> None:
    stack.stand_in.behave(at, fault)
    reply = stack.ask()
    assert reply.problem == (503, CODE[at], "5")
    assert reply.calls.of(at) == 2


# --- definite refusals -----------------------------------------------------------------------------------------------

NO: Mapping[str, tuple[Operation, Behaviour, str]] = {
    "B4-ssm-not-found": (SSM, faults.not_found, "not-found"),
    "A6-ssm-denied": (SSM, faults.denied, "access-denied"),
    "A6-ssm-another-error": (SSM, faults.failing("UnrecognizedClientException", faults.ROLE_ARN), "refused"),
    "A6-sm-denied": (SECRETS, faults.denied, "access-denied"),
    "A7-sm-deleted": (SECRETS, faults.deleted, "deleted"),
    "A8-sm-not-found": (SECRETS, faults.not_found, "not-found"),
    "A9-sm-undecryptable": (SECRETS, faults.undecryptable, "undecryptable"),
    "A9-sm-kms-denied": (SECRETS, faults.kms_denied, "access-denied"),
}
every_no = pytest.mark.parametrize(("at", "fault", "reason"), NO.values(), ids=NO)


@pytest.mark.threat("A6", "A7", "A8", "A9", "B4", "I4")
@every_no
def test_cold_an_authoritative_no_is_asked_once_and_answered_503(
    stack: Stack, capsys: pytest.CaptureFixture[str], at: Operation, fault: Behaviour, reason: str
) -> None:
    stack.stand_in.behave(at, fault)
    for _ in range(2):
        reply = stack.ask()
        assert reply.problem == (503, CODE[at], "60")
        assert reply.calls.of(at) == 1
    assert {(line["level"], line["message"], line["reason"]) for line in logged(capsys)} == {
        ("ERROR", CODE[at], reason)
    }

    stack.stand_in.heal()
    assert stack.ask().minted


@pytest.mark.threat("A6", "A7", "A8", "A9", "B4", "I4")
@every_no
def test_a_definite_refusal_is_503_at_once_and_drops_the_cached_value(
    stack: Stack, clock: FakeClock, at: Operation, fault: Behaviour, reason: str
) -> None:
    stack.ask()
    clock.advance(FRESH[at] + 1)
    stack.stand_in.behave(at, fault)
    reply = stack.ask()
    assert reply.problem == (503, CODE[at], "60")
    assert reply.calls.of(at) == 1

    stack.stand_in.behave(at, faults.server_error)  # A dropped value cannot be served.
    assert stack.ask().calls.of(at) == 0
    clock.advance(6.1)
    reply = stack.ask()
    assert reply.problem == (503, CODE[at], "5")
    assert reply.calls.of(at) == 2

    stack.stand_in.heal()
    assert not stack.ask().minted, "the rest after a failed refresh was not kept"
    clock.advance(6.1)
    assert stack.ask().minted


@pytest.mark.threat("A8")
def test_a_secret_that_never_had_a_value(stack: Stack) -> None:
    stack.stand_in.secrets[SECRET].stages.clear()
    reply = stack.ask()
    assert reply.problem == (503, "credentials-unavailable", "60")
    assert reply.calls == (1, 1)


@pytest.mark.threat("B4")
def test_a_flag_that_is_deleted_while_minting_is_on(stack: Stack, clock: FakeClock) -> None:
    stack.ask()
    del stack.stand_in.parameters[FLAG]
    clock.advance(31)
    reply = stack.ask()
    assert reply.problem == (503, "kill-switch-unavailable", "60")
    assert reply.calls == (1, 0)


NOT_A_FLAG = [
    *(
        "TRUE",
        "False",
        "true ",
        " false",
        "false\n",
        "1",
        "0",
        "yes",
        "off",
        "on",
        "null",
        "none",
        "enabled",
        "app/100ms",
    ),
    *(
        '{"disabled":false}',
        '"false"',
        "\u200bfalse",
        "\ufefffalse",
        "\uff46\uff41\uff4c\uff53\uff45",
        "nowhere",
        "app,",
        ",app",
        "app,app",
    ),
    *(
        "app, management",
        "true,app",
        "false,app",
        "100ms/",
        "/app",
        "100ms/app/app",
        "100MS",
        "nosuch",
        "*",
        "",
        "-",
    ),
]


@pytest.mark.threat("B5", "I4")
@pytest.mark.parametrize("text", NOT_A_FLAG, ids=[f"B5-{text!a}" for text in NOT_A_FLAG])
def test_a_flag_outside_the_grammar_is_not_on(stack: Stack, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    stack.stand_in.put_parameter(FLAG, text)
    reply = stack.ask()
    assert reply.problem == (503, "kill-switch-unavailable", "60")
    assert reply.calls == (1, 0)
    assert [line["reason"] for line in logged(capsys)] == ["invalid-kill-switch"]


@pytest.mark.threat("B5")
def test_a_flag_that_stops_making_sense_is_not_on(stack: Stack, clock: FakeClock) -> None:
    stack.ask()
    stack.stand_in.put_parameter(FLAG, "flase")
    clock.advance(31)
    assert stack.ask().problem == (503, "kill-switch-unavailable", "60")


NO_POLICY: Mapping[str, Callable[[FaultyAws], object]] = {
    "B4-policy-missing": lambda stand_in: stand_in.parameters.pop(POLICY),
    "B4-policy-malformed": lambda stand_in: stand_in.put_parameter(POLICY, "{"),
    "B4-policy-empty": lambda stand_in: stand_in.put_parameter(POLICY, ""),
    "B7-policy-encrypted": lambda stand_in: stand_in.put_parameter(POLICY, OPEN_POLICY, type="SecureString"),
    "B4-block-list-missing": lambda stand_in: stand_in.parameters.pop(BLOCKED),
    "B4-block-list-malformed": lambda stand_in: stand_in.put_parameter(BLOCKED, "{"),
    "B7-block-list-encrypted": lambda stand_in: stand_in.put_parameter(BLOCKED, "{}", type="SecureString"),
}


@pytest.mark.threat("B4", "B7", "I4")
@pytest.mark.parametrize("name", NO_POLICY)
def test_a_missing_or_invalid_policy_or_block_list_grants_nothing(stack: Stack, clock: FakeClock, name: str) -> None:
    spoil, code = NO_POLICY[name], "blocklist-unavailable" if "block" in name else "policy-unavailable"
    stack.ask()
    spoil(stack.stand_in)
    clock.advance(31)
    for cold_or_warm in (stack, Stack(stack.stand_in, clock)):
        reply = cold_or_warm.ask()
        assert reply.problem == (503, code, "60")
        assert reply.calls == (1, 0)

    stack.stand_in.put_parameter(FLAG, "true")
    clock.advance(31)
    assert stack.ask().problem == (403, "minting-disabled", None)

    stack.stand_in.put_parameter(FLAG, "false")
    stack.stand_in.put_parameter(POLICY, OPEN_POLICY)
    stack.stand_in.put_parameter(BLOCKED, "{}")
    clock.advance(31)
    assert stack.ask().minted


@pytest.mark.threat("B7")
def test_a_flag_that_is_stored_encrypted_is_not_on(stack: Stack) -> None:
    stack.stand_in.put_parameter(FLAG, "false", type="SecureString")
    assert stack.ask().problem == (503, "kill-switch-unavailable", "60")


NOT_CREDENTIALS: Mapping[str, str | bytes] = {
    "A10-malformed": '{"app_secret": "Sentinel", oops',
    "A11-list": json.dumps([ACCESS_KEY, APP_SECRET]),
    "A11-null": "null",
    "A11-empty-object": "{}",
    "A11-missing-secret": json.dumps({"app_access_key": ACCESS_KEY}),
    "A11-number": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": 10**40}),
    "A11-duplicate": f'{{"app_access_key":"{ACCESS_KEY}","app_secret":"{APP_SECRET}","app_secret":"{APP_SECRET}"}}',
    "A12-plain-text": APP_SECRET,
    "A13-binary": b"\xff\x00\xff",
    "A13-binary-json": secret().encode(),
    "A13-newline": secret(APP_SECRET + "\n"),
    "A14-placeholder": secret("REPLACE_ME" * 4),
    "A15-pem": secret("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"),
    "A18-empty": "",
}


@pytest.mark.threat("A10", "A11", "A12", "A13", "A14", "A15", "A18", "I5")
@pytest.mark.parametrize("stored", NOT_CREDENTIALS.values(), ids=NOT_CREDENTIALS)
def test_an_invalid_secret_is_refused_cold_and_warm_without_its_value_in_the_log(
    stack: Stack, clock: FakeClock, capsys: pytest.CaptureFixture[str], stored: str | bytes
) -> None:
    good = stack.stand_in.secrets[SECRET].stages["AWSCURRENT"]
    stack.stand_in.put_secret(SECRET, stored)
    reply = stack.ask()
    assert reply.problem == (503, "credentials-invalid", "60")
    assert reply.calls == (1, 1)
    (line,) = logged(capsys)
    assert (line["message"], line["reason"]) == ("credentials-invalid", "not-usable")
    assert line["problems"]
    assert all(problem.startswith("100ms.") for problem in line["problems"])

    stages = stack.stand_in.secrets[SECRET].stages
    bad, stages["AWSCURRENT"] = stages["AWSCURRENT"], good
    assert stack.ask().minted
    stages["AWSCURRENT"] = bad
    clock.advance(301)
    assert stack.ask().problem == (503, "credentials-invalid", "60")


# --- kill switch and rotation without failures -----------------------------------------------------------------------


@pytest.mark.threat("B1", "I3")
@pytest.mark.parametrize(
    ("flag", "off"),
    [
        ("true", {"app", "management"}),
        ("app", {"app"}),
        ("management", {"management"}),
        ("100ms", {"app", "management"}),
        ("100ms/app", {"app"}),
        ("100ms/management,app", {"app", "management"}),
        ("false", set()),
    ],
    ids=lambda value: f"B1-{value}" if isinstance(value, str) else "",
)
def test_a_disabled_scope_reads_no_secret(stack: Stack, flag: str, off: set[str]) -> None:
    stack.stand_in.put_parameter(FLAG, flag)
    for kind in ("app", "management"):
        reply = stack.ask(kind)
        if kind in off:
            assert reply.problem == (403, "minting-disabled", None)
            assert reply.calls.secrets == 0
            assert reply.audit["decision"] == "denied"
        else:
            assert reply.minted


@pytest.mark.threat("B2")
@pytest.mark.parametrize(("jitter", "longest"), [(0.0, 24), (0.5, 30), (1.0, 36)], ids=["B2-least", "B2", "B2-most"])
def test_a_flag_that_is_turned_off_bites_within_its_fresh_bound(
    stack: Stack, clock: FakeClock, jitter: float, longest: int
) -> None:
    stack.jitter = jitter
    stack.ask()
    stack.stand_in.put_parameter(FLAG, "true")
    for second in range(1, 61):
        clock.advance(1)
        if stack.ask().status == 403:
            assert second == longest
            return
    pytest.fail("still on after a minute")


NO_RULES = '{"version": 1, "mode": "enforce", "rules": []}'


@pytest.mark.threat("B15")
@pytest.mark.parametrize(("jitter", "longest"), [(0.0, 24), (1.0, 36)], ids=["B15-least", "B15-most"])
def test_a_policy_that_is_changed_bites_within_its_fresh_bound(
    stack: Stack, clock: FakeClock, jitter: float, longest: int
) -> None:
    stack.jitter = jitter
    stack.ask()
    stack.stand_in.put_parameter(POLICY, NO_RULES)
    clock.advance(longest - 0.1)
    assert stack.ask().minted
    clock.advance(0.2)
    assert stack.ask().problem == (403, "not-allowed", None)


@pytest.mark.threat("B15")
def test_a_caller_removed_from_the_policy_gets_tokens_for_at_most_300_seconds(stack: Stack, clock: FakeClock) -> None:
    stack.jitter = 0
    stack.ask()
    stack.stand_in.put_parameter(POLICY, NO_RULES)
    stack.stand_in.behave(SSM, faults.throttled)
    clock.advance(299.9)
    assert stack.ask().minted
    clock.advance(0.2)
    assert stack.ask().problem == (503, "kill-switch-unavailable", "5")
    stack.stand_in.heal()
    clock.advance(6.1)
    assert stack.ask().problem == (403, "not-allowed", None)


@pytest.mark.threat("A16", "A17")
def test_a_rotated_secret_signs_within_its_ttl(stack: Stack, clock: FakeClock) -> None:
    stack.jitter = 1.0
    old = stack.stand_in.secrets[SECRET].stages["AWSCURRENT"]
    new = stack.stand_in.put_secret(SECRET, secret(OTHER_SECRET), stage="AWSPENDING")
    reply = stack.ask()
    assert reply.signed_with(APP_SECRET)
    assert reply.audit["credentials"]["version_id"] == old

    stack.stand_in.secrets[SECRET].promote()
    clock.advance(359)
    assert stack.ask().signed_with(APP_SECRET)
    clock.advance(2)
    reply = stack.ask()
    assert reply.signed_with(OTHER_SECRET)
    assert reply.audit["credentials"]["version_id"] == new
    assert {asked.get("VersionStage", "AWSCURRENT") for name, asked in stack.stand_in.requests if name == SECRETS} == {
        "AWSCURRENT"
    }


@pytest.mark.threat("A19")
def test_a_new_environment_holds_nothing_of_the_old_one(stack: Stack, clock: FakeClock) -> None:
    assert stack.ask().signed_with(APP_SECRET)
    stack.stand_in.put_secret(SECRET, secret(OTHER_SECRET))
    assert stack.ask().signed_with(APP_SECRET)
    assert Stack(stack.stand_in, clock).ask().signed_with(OTHER_SECRET)


@pytest.mark.threat("A20")
def test_an_environment_reads_only_its_own_parameters_and_secret(stack: Stack, clock: FakeClock) -> None:
    stack.stand_in.put_parameter("/roomkey/prod/disabled", "false")
    stack.stand_in.put_parameter("/roomkey/prod/policy", OPEN_POLICY)
    stack.stand_in.put_parameter("/roomkey/prod/blocked", "{}")
    stack.stand_in.put_secret("roomkey/prod/100ms", secret(OTHER_SECRET))
    assert Stack(stack.stand_in, clock, environment="prod").ask().signed_with(OTHER_SECRET)
    assert stack.stand_in.requests == [
        (SSM, {"Names": ["/roomkey/prod/disabled", "/roomkey/prod/policy", "/roomkey/prod/blocked"]}),
        (SECRETS, {"SecretId": "roomkey/prod/100ms"}),
    ]


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.threat("B10")
@pytest.mark.parametrize(
    ("wall", "monotonic"),
    [
        pytest.param(3600, 0, id="B10-thawed-after-an-hour"),
        pytest.param(31, 0, id="B10-wall-alone"),
        pytest.param(0, 31, id="B10-monotonic-alone"),
        pytest.param(-86400, 31, id="B10-wall-set-back-a-day"),
        pytest.param(-1, 0, id="B10-wall-set-back-a-second"),
        pytest.param(-86400, 0, id="B10-wall-set-back-at-once"),
        pytest.param(86400, 0, id="B10-wall-set-forward-a-day"),
    ],
)
def test_a_kill_switch_that_is_stale_by_either_clock_is_read_again(
    stack: Stack, clock: FakeClock, wall: float, monotonic: float
) -> None:
    stack.ask()
    stack.stand_in.put_parameter(FLAG, "true")
    clock.wall += wall
    clock.monotonic += monotonic
    reply = stack.ask()
    assert reply.problem == (403, "minting-disabled", None)
    assert reply.calls == (1, 0)


@pytest.mark.threat("B10")
@pytest.mark.parametrize("wall", [pytest.param(-86400, id="B10-back"), pytest.param(3601, id="B10-forward")])
def test_credentials_are_read_again_when_the_wall_clock_jumps(stack: Stack, clock: FakeClock, wall: float) -> None:
    stack.ask()
    stack.stand_in.put_secret(SECRET, secret(OTHER_SECRET))
    clock.wall += wall
    reply = stack.ask()
    assert reply.signed_with(OTHER_SECRET)
    assert reply.calls == (1, 1)
    assert stack.ask().calls == NO_CALLS


@pytest.mark.threat("C2")
def test_a_thaw_after_hours_refreshes_before_it_mints(stack: Stack, clock: FakeClock) -> None:
    stack.ask()
    stack.stand_in.put_secret(SECRET, secret(OTHER_SECRET))
    clock.wall += 8 * 3600
    reply = stack.ask()
    assert reply.signed_with(OTHER_SECRET)
    assert reply.calls == (1, 1)

    stack.stand_in.behave(SSM, faults.server_error)
    clock.wall += 8 * 3600
    assert stack.ask().problem == (503, "kill-switch-unavailable", "5")

    stack.stand_in.heal()
    stack.stand_in.behave(SECRETS, faults.server_error)
    clock.advance(6.1)
    assert stack.ask().problem == (503, "credentials-unavailable", "5")


class TestAnAnswerThatComesAfterAThaw:
    """The environment freezes during a read, and thaws with a response that is hours old."""

    def freeze_during(self, stack: Stack, at: Operation, happen: Callable[[], object]) -> None:
        def freeze() -> None:
            happen()
            stack.clock.wall += 7200  # type: ignore[union-attr]  # The monotonic clock stands still in a freeze.

        stack.stand_in.behave(at, faults.in_turn(faults.meanwhile(freeze), faults.ok))

    @pytest.mark.threat("C2")
    def test_on_is_dropped_by_a_cold_environment(self, stack: Stack) -> None:
        self.freeze_during(stack, SSM, lambda: stack.stand_in.put_parameter(FLAG, "true"))
        assert stack.ask().problem == (503, "deadline-exceeded", "5")
        assert stack.ask().problem == (403, "minting-disabled", None)

    @pytest.mark.threat("C2")
    def test_on_is_dropped_by_a_warm_environment(self, stack: Stack, clock: FakeClock) -> None:
        stack.ask()
        clock.advance(31)
        self.freeze_during(stack, SSM, lambda: stack.stand_in.put_parameter(FLAG, "true"))
        assert stack.ask().problem == (503, "kill-switch-unavailable", "5")
        clock.advance(6.1)
        assert stack.ask().problem == (403, "minting-disabled", None)

    @pytest.mark.threat("C2")
    def test_a_stale_on_does_not_turn_on_what_was_off(self, stack: Stack, clock: FakeClock) -> None:
        stack.stand_in.put_parameter(FLAG, "true")
        stack.ask()
        clock.advance(31)
        stack.stand_in.put_parameter(FLAG, "false")
        self.freeze_during(stack, SSM, lambda: stack.stand_in.put_parameter(FLAG, "true"))
        assert stack.ask().problem == (403, "minting-disabled", None)
        clock.advance(6.1)
        assert stack.ask().problem == (403, "minting-disabled", None)

    @pytest.mark.threat("C2")
    def test_credentials_are_dropped(self, stack: Stack) -> None:
        self.freeze_during(stack, SECRETS, lambda: stack.stand_in.put_secret(SECRET, secret(OTHER_SECRET)))
        assert stack.ask().problem == (503, "deadline-exceeded", "5")
        reply = stack.ask()
        assert reply.signed_with(OTHER_SECRET)
        assert reply.calls == (1, 1)


@pytest.mark.threat("C3")
def test_no_two_tokens_are_alike_for_any_seed(stack: Stack) -> None:
    replies = []
    for _ in range(50):
        random.seed(0)
        replies.append(stack.ask())
    assert len({reply.claims["jti"] for reply in replies}) == 50
    assert len({reply.claims["user_id"] for reply in replies}) == 50


@pytest.mark.threat("C4")
@pytest.mark.parametrize("fault", [faults.closed, faults.reset])
@pytest.mark.parametrize("at", [pytest.param(SSM, id="C4-ssm"), pytest.param(SECRETS, id="C4-sm")])
def test_a_dead_connection_after_a_thaw_costs_a_retry_and_no_token(
    stack: Stack, clock: FakeClock, at: Operation, fault: Behaviour
) -> None:
    stack.ask()
    clock.wall += 3600
    stack.stand_in.behave(at, faults.in_turn(fault, faults.ok))
    reply = stack.ask()
    assert reply.minted
    assert reply.calls.of(at) == 2


@pytest.mark.threat("C8", "I6")
def test_a_request_takes_at_most_the_time_that_lambda_has_left(stack: Stack) -> None:
    running = Stack(stack.stand_in, ShiftedClock())
    stack.stand_in.behave(SSM, faults.server_error)
    running.ask()  # Make the client, which takes a while once.
    stack.stand_in.behave(SSM, faults.hang)
    reply = running.ask(context=LambdaContext(remaining_ms=700))
    assert reply.problem == (503, "deadline-exceeded", "5")
    assert reply.seconds < 0.65
    reply = running.ask(context=LambdaContext(remaining_ms=250))
    assert reply.problem == (503, "deadline-exceeded", "5")
    assert reply.calls == NO_CALLS


@pytest.mark.threat("C8")
def test_a_warm_request_without_time_is_not_answered_with_a_token(stack: Stack) -> None:
    stack.ask()
    assert stack.ask(context=LambdaContext(remaining_ms=250)).problem == (503, "deadline-exceeded", "5")
    assert stack.ask().minted


@pytest.mark.threat("C10")
def test_a_token_is_valid_for_a_vendor_whose_clock_is_30_seconds_behind(stack: Stack, clock: FakeClock) -> None:
    claims = stack.ask().claims
    assert claims["iat"] == claims["nbf"] == int(clock.wall) - 30
    assert claims["exp"] == int(clock.wall) + 3600


# --- concurrent requests ---------------------------------------------------------------------------------------------


def _all_at_once(number: int, do: Callable[[int], Reply]) -> list[Reply]:
    barrier = threading.Barrier(number)

    def run(index: int) -> Reply:
        barrier.wait(timeout=10)
        return do(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))


def _statuses(stack: Stack, number: int) -> list[int]:
    """Return the statuses of so many requests to one environment at the same time."""
    barrier = threading.Barrier(number)

    def ask(_: int) -> int:
        barrier.wait(timeout=10)
        return int(stack.api.answer(_event("app"), LambdaContext())["statusCode"])

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(ask, range(number)))


@pytest.mark.threat("B14")
def test_fifty_threads_make_one_call(stack: Stack, clock: FakeClock) -> None:
    for operation in Operation:
        stack.stand_in.behave(operation, faults.slow(0.1))
    for _ in ("cold", "thawed"):
        with stack.stand_in.counting() as arrived:
            assert _statuses(stack, 50) == [200] * 50
        assert arrived == {SSM: 1, SECRETS: 1}
        clock.wall += 3600


@pytest.mark.threat("B14")
def test_fifty_threads_share_one_failed_refresh(stack: Stack, clock: FakeClock) -> None:
    stack.ask()
    clock.advance(31)
    stack.stand_in.behave(SSM, faults.slow(0.1, then=faults.throttled))
    with stack.stand_in.counting() as arrived:
        assert _statuses(stack, 50) == [200] * 50
    assert arrived == {SSM: 2}


@pytest.mark.threat("C12", "I8")
def test_an_environment_reads_each_once_for_all_its_requests(stack: Stack, clock: FakeClock) -> None:
    for _ in range(20):
        for kind in ("app", "management"):
            assert stack.ask(kind).minted
        assert stack.health() == "on"
        clock.advance(1)
    assert stack.stand_in.calls == {SSM: 1, SECRETS: 1}


@pytest.mark.threat("B8")
def test_a_starting_fleet_makes_two_calls_per_environment_and_recovers(stand_in: FaultyAws) -> None:
    environments = 16
    stacks = [Stack(stand_in, ShiftedClock(), jitter=index / environments) for index in range(environments)]

    def ask(index: int) -> Reply:
        stack, started = stacks[index], time.monotonic()
        response = stack.api.answer(_event("app"), LambdaContext())
        line = json.loads(stack.audit.getvalue().splitlines()[-1])
        return _reply(response, line, time.monotonic() - started)

    def ask_until_served(index: int) -> Reply:
        while not (reply := ask(index)).minted:
            assert reply.problem == (503, "kill-switch-unavailable", "5")
            time.sleep(0.1)
        return reply

    with contextlib.redirect_stdout(io.StringIO()):
        stand_in.behave(SSM, faults.server_error)
        for index in range(environments):
            ask(index)  # Make the clients one after the other, which takes a while.

        stand_in.behave(SSM, faults.limited(per_second=0, burst=6))
        with stand_in.counting() as arrived:
            replies = _all_at_once(environments, ask)
        assert [reply.status for reply in replies].count(200) == 6
        assert {reply.problem for reply in replies if not reply.minted} == {(503, "kill-switch-unavailable", "5")}
        assert arrived[SSM] <= 2 * environments

        stand_in.behave(SSM, faults.limited(per_second=40, burst=4))
        began = time.monotonic()
        _all_at_once(environments, ask_until_served)
        assert time.monotonic() - began < environments / 40 + 5


def test_health_reads_no_secret_and_calls_a_failing_ssm_once_per_ttl(stack: Stack, clock: FakeClock) -> None:
    stack.stand_in.behave(SSM, faults.server_error)
    for _ in range(29):
        assert stack.health() == "unknown"
        clock.advance(1)
    assert stack.stand_in.calls == {SSM: 2}
    stack.stand_in.heal()
    assert stack.ask().minted, "a health check must not keep a request from trying"
    assert stack.health() == "on"
    assert stack.stand_in.calls == {SSM: 3, SECRETS: 1}


# --- a slow service: real time, all cases at once --------------------------------------------------------------------

UNAVAILABLE = frozenset((CODE[SSM], CODE[SECRETS], "deadline-exceeded"))


@dataclass(frozen=True)
class Wait:
    """A case in real time: the cached values, their age, the delay, the answer.

    `known` are the operations that answered before; `flag` is the kill switch at that time."""

    faults: Mapping[Operation, Behaviour]
    expected: int
    known: frozenset[Operation] = frozenset()
    flag: str = "false"
    age: float = 0
    jitter: float = 0.5
    calls: Calls | None = None


_ALL = frozenset(Operation)
_SWITCH = frozenset([SSM])
_WAITING = {
    "hang": faults.hang,
    "drip-body": faults.drip_body,
    "drip-header": faults.drip_header,
    "slow": faults.slow(5),
}
WAITS: Mapping[str, Wait] = {
    **{f"B9-cold-ssm-{name}": Wait({SSM: fault}, 503) for name, fault in _WAITING.items()},
    **{f"A4-cold-sm-{name}": Wait({SECRETS: fault}, 503, _SWITCH) for name, fault in _WAITING.items()},
    "B9-cold-ssm-unreachable": Wait({SSM: faults.unreachable}, 503, calls=Calls(2, 0)),
    "A4-both-slow-and-in-time": Wait({SSM: faults.slow(0.7), SECRETS: faults.slow(0.7)}, 200, _SWITCH, age=31),
    "A4-ssm-slow-then-sm-drips": Wait({SSM: faults.slow(0.7), SECRETS: faults.drip_header}, 503, _SWITCH, age=31),
    "A4-ssm-slow-then-sm-hangs": Wait({SSM: faults.slow(0.7), SECRETS: faults.hang}, 503, _SWITCH, age=31),
    "A4-sm-silent-for-longer-than-a-read-then-well": Wait(
        {SECRETS: faults.in_turn(faults.slow(1.4), faults.ok)}, 200, _SWITCH, calls=Calls(0, 2)
    ),
    "A4-warm-sm-hang": Wait({SECRETS: faults.hang}, 200, _ALL, age=301),
    "B9-warm-ssm-hang": Wait({SSM: faults.hang}, 200, _ALL, age=31),
    "B3-off-ssm-hang": Wait({SSM: faults.hang}, 403, _ALL, flag="true", age=31),
    "B3-off-ssm-drip": Wait({SSM: faults.drip_header}, 403, _ALL, flag="true", age=31),
    "B3-off-ssm-unreachable": Wait({SSM: faults.unreachable}, 403, _ALL, flag="true", age=31),
    "B3-too-old-ssm-hang": Wait({SSM: faults.hang}, 503, _ALL, age=301),
    "B3-too-old-ssm-drip": Wait({SSM: faults.drip_body}, 503, _ALL, age=301),
    "A4-warm-sm-drip": Wait({SECRETS: faults.drip_body}, 200, _ALL, age=301),
    "A4-warm-sm-drip-header": Wait({SECRETS: faults.drip_header}, 200, _ALL, age=301),
    "B9-warm-ssm-drip": Wait({SSM: faults.drip_body}, 200, _ALL, age=31),
    # With the least jitter and no pause, both are stale, and the kill switch is still valid after the timeout.
    "A4-warm-both-hang": Wait({SSM: faults.hang, SECRETS: faults.hang}, 200, _ALL, age=250, jitter=0),
    "A4-warm-sm-unreachable": Wait({SECRETS: faults.unreachable}, 200, _ALL, age=301),
}


@pytest.fixture(scope="module")
def waited() -> Mapping[str, Reply | BaseException]:
    """Return the answers of all `WAITS`, which wait at the same time."""
    with contextlib.ExitStack() as open_stacks, contextlib.redirect_stdout(io.StringIO()) as printed:
        stacks = {name: open_stacks.enter_context(_waiting_stack(wait)) for name, wait in WAITS.items()}

        def ask(name: str) -> Reply | BaseException:
            time.sleep(0.03 * list(WAITS).index(name))  # Spread the ends.
            try:
                return stacks[name].ask()
            except AssertionError as error:
                return error

        with ThreadPoolExecutor(len(stacks)) as threads:
            replies = dict(zip(stacks, threads.map(ask, stacks), strict=True))
    assert_nothing_leaks(printed.getvalue())
    return replies


@contextlib.contextmanager
def _waiting_stack(wait: Wait) -> Iterator[Stack]:
    with working_stand_in() as stand_in:
        stand_in.put_parameter(FLAG, wait.flag)
        for operation in _ALL - wait.known:
            stand_in.behave(operation, faults.server_error)
        clock = ShiftedClock()
        stack = Stack(stand_in, clock, wait.jitter)
        stack.ask()  # Fill the caches.
        clock.advance(wait.age)
        stand_in.heal()
        for operation, fault in wait.faults.items():
            stand_in.behave(operation, fault)
        yield stack


@pytest.mark.threat("A4", "B3", "B9", "I6")
@pytest.mark.parametrize("name", WAITS)
def test_a_slow_service_delays_a_response_by_at_most_three_seconds(
    waited: Mapping[str, Reply | BaseException], name: str
) -> None:
    reply = waited[name]
    if isinstance(reply, BaseException):
        raise reply
    assert reply.status == WAITS[name].expected
    if reply.status == 503:
        assert reply.body["code"] in UNAVAILABLE
        assert reply.headers["retry-after"] == "5"
    assert WAITS[name].calls in (None, reply.calls)


@pytest.mark.threat("B9", "I6")
def test_the_very_first_request_too(stand_in: FaultyAws) -> None:
    """No part exists yet, least of all the AWS clients."""
    stand_in.behave(SSM, faults.drip_header)
    with contextlib.redirect_stdout(io.StringIO()):
        reply = Stack(stand_in, ShiftedClock()).ask()
    assert reply.problem == (503, "deadline-exceeded", "5")


# --- import --------------------------------------------------------------------------------------------------------

_IMPORT = """
import sys

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"{event} at import")

sys.addaudithook(forbid)
import roomkey.handler
"""


@pytest.mark.threat("C1")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="C1-anywhere"),
        pytest.param(
            {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "ENVIRONMENT": "dev", "APP_TOKEN_ACCESS": "open"},
            id="C1-in-lambda",
        ),
    ],
)
def test_importing_connects_to_nothing_and_needs_no_aws(environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORT],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
