"""The audit trail: what a line says, that it is one, that it was written, and what its schema lets pass."""

import copy
import hashlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roomkey import __version__, audit
from roomkey.api import DEFAULT_ROUTE, MINTING_ROUTES, STATUS
from roomkey.audit import AuditRecord, AuditTrail
from roomkey.cache import CachedValue
from roomkey.clock import Usage
from roomkey.credentials import VersionedCredentials
from roomkey.errors import (
    AuditUnavailable,
    DependencyFailure,
    Fault,
    KillSwitchUnavailable,
    MethodNotAllowed,
    MintingDisabled,
    NotAllowed,
    NotFound,
    Refusal,
    RoomkeyError,
)
from roomkey.identity import Caller
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.limits import MIN_LIFETIME
from roomkey.minting import MintedToken
from roomkey.platforms import PLATFORMS, SERVICES
from roomkey.platforms.base import Grant, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.policy import Decision, Mode
from roomkey.settings import Access
from roomkey.token_requests import TokenRequest
from support.audit_lines import SCHEMA, VALIDATOR, checked

NOW = 1_800_000_000
TOKEN = "007not-a-token-but-called-one"
TOKEN_ID = "0b34bd25-5d0a-4e3c-9f0c-0d6c1a4b7a10"
VERSION = "11111111-2222-4333-8444-555555555555"
PRINCIPAL = "arn:aws:iam::111122223333:role/backend"
DOWN = DependencyFailure("ssm", "throttled", transient=True)


def arrived(**known: Any) -> AuditRecord:
    """What is known of a request when nothing has been looked at yet."""
    fields: dict[str, Any] = {
        "request_id": "Ky_G7rsLq_1-WJs=",
        "lambda_request_id": "8f507cfc-0000-4697-b07a-ac58fc914c95",
        "route": "POST /v1/{platform}/app-token",
        "kind": TokenKind.APP,
        "platform": "agora",
        "source_ip": "203.0.113.7",
        "user_agent": "curl/8.5.0",
        "cold_start": False,
    }
    return AuditRecord(**fields | known)


def minted(token: str = TOKEN, **known: Any) -> AuditRecord:
    """All that is known of a request once its token is there."""
    grant = Grant(TokenKind.APP, NOW + 600, room_id="room", role="publisher", user_id="granted", services=("rtc",))
    steps: dict[str, Any] = {
        "trace_id": "Root=1-65a3b1c2-0123456789abcdef01234567",
        "caller": Caller(
            Access.JWT, user_id="verified", issuer="https://issuer.example", groups=("g",), claims={"sub": "verified"}
        ),
        "request": TokenRequest(PLATFORMS["agora"], TokenKind.APP, "room", "publisher", "asked", ("rtc", "rtm"), 600),
        "switch": KillSwitchReading(KillSwitch(everything=False), 12.34, None),
        "policy_mode": Mode.ENFORCE,
        "decision": Decision(allowed=True, rule="teachers publish", max_lifetime=3600),
        "credentials": CachedValue(
            VersionedCredentials(Credentials({"app_certificate": "s3cret" * 8}), VERSION), 56.78
        ),
        "minted": MintedToken(token, TOKEN_ID, grant, NOW, 600, {"token": token}, {}, None),
    }
    return arrived(**steps | known)


def usage(since: float = NOW + 0.25, **calls: int) -> Usage:
    return Usage(since, 0.0123, calls)


def written(
    record: AuditRecord, *, status: int = 200, fault: bool = False, user_ids: bool = True, after: Usage | None = None
) -> str:
    """What `record` puts into the stream."""
    stream = io.StringIO()
    AuditTrail("prod", user_ids, stream).write(record, status=status, fault=fault, usage=after or usage())
    return stream.getvalue()


# --- what a line says ----------------------------------------------------------------------------------------------

ARRIVED = {
    "log_type": "audit",
    "schema": 1,
    "ts": "2027-01-15T08:00:00.250Z",
    "environment": "prod",
    "version": __version__,
    "request_id": "Ky_G7rsLq_1-WJs=",
    "lambda_request_id": "8f507cfc-0000-4697-b07a-ac58fc914c95",
    "trace_id": None,
    "cold_start": False,
    "route": "POST /v1/{platform}/app-token",
    "platform": "agora",
    "kind": "app",
    "decision": "denied",
    "reason": "not-allowed",
    "status": 403,
    "source_ip": "203.0.113.7",
    "user_agent": "curl/8.5.0",
    "calls": {"ssm": 0, "secretsmanager": 0},
    "duration_ms": 12.3,
}

MINTED = ARRIVED | {
    "trace_id": "Root=1-65a3b1c2-0123456789abcdef01234567",
    "decision": "minted",
    "reason": None,
    "status": 200,
    "calls": {"ssm": 2, "secretsmanager": 1},
    "caller": {"access": "jwt", "issuer": "https://issuer.example", "user_id": "verified", "principal": None},
    "requested": {
        "room_id": "room",
        "role": "publisher",
        "user_id": "asked",
        "services": ["rtc", "rtm"],
        "expires_in": 600,
    },
    "switch": {"age_s": 12.3, "stale": False},
    "policy": {"mode": "enforce", "allowed": True, "rule": "teachers publish", "max_lifetime": 3600},
    "credentials": {"version_id": VERSION, "age_s": 56.8, "stale": False},
    "token": {
        "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "id": TOKEN_ID,
        "user_id": "granted",
        "minted_at": NOW,
        "expires_at": NOW + 600,
        "expires_in": 600,
    },
}


def test_a_line_says_everything_that_became_known_and_nothing_else() -> None:
    assert checked(written(minted(), after=usage(ssm=2, secretsmanager=1))) == MINTED


@pytest.mark.parametrize(
    ("fraction", "said"), [(0.0, "00.000"), (0.25, "00.250"), (0.123, "00.123"), (0.9996, "00.999")]
)
def test_a_line_says_when_its_request_came_to_the_millisecond_that_had_passed(fraction: float, said: str) -> None:

    assert json.loads(written(minted(), after=usage(NOW + fraction)))["ts"] == f"2027-01-15T08:00:{said}Z"


def test_what_was_not_reached_is_not_there() -> None:
    assert checked(written(arrived(failure=NotAllowed()), status=403)) == ARRIVED


@pytest.mark.parametrize(
    ("failure", "fault", "decision"),
    [(None, False, "minted"), (MintingDisabled(), False, "denied"), (KillSwitchUnavailable(DOWN), True, "error")],
)
def test_a_line_says_how_it_ended_and_by_which_code(failure: RoomkeyError | None, fault: bool, decision: str) -> None:
    status = STATUS[failure.code] if failure else 200
    record = arrived(failure=failure) if failure else minted()
    said = checked(written(record, status=status, fault=fault))
    assert (said["decision"], said["reason"], said["status"]) == (decision, failure.code if failure else None, status)


@pytest.mark.parametrize(("allowed", "rule"), [(True, "rules[0]"), (False, "rules[0]"), (False, None)])
def test_in_audit_mode_a_line_says_what_would_have_been_refused(allowed: bool, rule: str | None) -> None:
    record = minted(policy_mode=Mode.AUDIT, decision=Decision(allowed, rule))
    said = checked(written(record))
    assert said["decision"] == "minted"
    assert said["policy"] == {"mode": "audit", "allowed": allowed, "rule": rule, "max_lifetime": None}


def test_what_was_served_stale_is_called_so() -> None:
    record = minted()
    assert record.switch
    assert record.credentials
    record.switch, record.credentials = record.switch._replace(failure=DOWN), record.credentials._replace(failure=DOWN)
    said = checked(written(record))
    assert (said["switch"]["stale"], said["credentials"]["stale"]) == (True, True)


@pytest.mark.threat("F9")
def test_an_iam_caller_is_known_by_the_principal() -> None:
    said = checked(written(minted(caller=Caller(Access.IAM, principal=PRINCIPAL))))
    assert said["caller"] == {"access": "iam", "issuer": None, "user_id": None, "principal": PRINCIPAL}


@pytest.mark.threat("H7")
def test_user_ids_are_left_out_where_the_stack_says_so_and_nothing_else_is() -> None:
    line = written(minted(), user_ids=False, after=usage(ssm=2, secretsmanager=1))
    expected = copy.deepcopy(MINTED)
    for block in ("caller", "requested", "token"):
        expected[block]["user_id"] = None
    assert checked(line) == expected
    assert not any(user in line for user in ("verified", "asked", "granted"))


def test_without_a_stream_of_its_own_it_writes_to_standard_output_as_it_is_by_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, later = AuditTrail("prod", user_ids=True), io.StringIO()
    trail.write(minted(), status=200, fault=False, usage=usage())
    monkeypatch.setattr(sys, "stdout", later)
    trail.write(minted(), status=200, fault=False, usage=usage())
    assert capsys.readouterr().out == later.getvalue() == written(minted())


# --- one line of ASCII ---------------------------------------------------------------------------------------------

ids = st.text(st.characters(exclude_categories=()), min_size=1, max_size=128)
AWKWARD = "\r\n\x00\x1b[2J\x7f\x85\u2028\u2029\u202e\ufeff\U0001f511\"\\'{}<"


@pytest.mark.threat("H5")
@settings(deadline=None)
@given(room=ids, role=ids, user=ids, issuer=ids, principal=ids)
@example(room=AWKWARD, role=AWKWARD, user=AWKWARD, issuer=AWKWARD, principal=AWKWARD)
@example(room="\ud800", role="\udfff", user="\udc80x", issuer="\ud83d", principal="\udd11\ud83d")
def test_whatever_is_in_the_ids_a_line_is_one_line_of_ascii(
    room: str, role: str, user: str, issuer: str, principal: str
) -> None:
    """With what no check of an id lets pass: the line must not depend on them."""
    caller = Caller(Access.JWT, user_id=user, issuer=issuer, principal=principal)
    request = TokenRequest(PLATFORMS["agora"], TokenKind.APP, room, role, user)
    line = written(minted(caller=caller, request=request))

    assert line.endswith("}\n")
    assert re.fullmatch(r"[\x20-\x7e]+", line.removesuffix("\n"))
    said = checked(line)
    assert said["caller"] == {"access": "jwt", "issuer": issuer, "user_id": user, "principal": principal}
    assert (said["requested"]["room_id"], said["requested"]["role"], said["requested"]["user_id"]) == (room, role, user)


@pytest.mark.threat("H1", "H9")
@settings(deadline=None)
@given(token=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_token_is_known_by_its_sha_256_alone(token: str) -> None:
    token += TOKEN  # Of one letter it would be found in any line.
    line = written(minted(token))
    assert json.loads(line)["token"]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert TOKEN not in line


@pytest.mark.threat("H1")
def test_no_secret_claim_or_group_has_a_place_in_a_line() -> None:
    line = written(minted(caller=Caller(Access.JWT, "u", groups=("G-SENTINEL",), claims={"org": "C-SENTINEL"})))
    assert "SENTINEL" not in line
    assert "s3cret" not in line


NOT_JSON: Mapping[str, Callable[[AuditRecord], AuditRecord]] = {
    "a lone surrogate in a token": lambda record: minted("eyJ\ud800"),
    "an age that is no number": lambda record: replace(
        record, switch=KillSwitchReading(KillSwitch(False), math.nan, None)
    ),
    "an infinite age": lambda record: replace(record, switch=KillSwitchReading(KillSwitch(False), math.inf, None)),
    "a life that is no number": lambda record: replace(record, decision=Decision(True, "r", math.nan)),
    "an infinite life": lambda record: replace(record, decision=Decision(True, "r", math.inf)),
}


@pytest.mark.threat("H4", "H6")
@pytest.mark.parametrize("spoil", NOT_JSON.values(), ids=NOT_JSON)
def test_what_json_cannot_say_is_not_written(spoil: Callable[[AuditRecord], AuditRecord]) -> None:
    stream = io.StringIO()
    with pytest.raises(AuditUnavailable):
        AuditTrail("prod", user_ids=True, stream=stream).write(spoil(minted()), status=200, fault=False, usage=usage())
    assert stream.getvalue() == ""


# --- it was written, or that is known ------------------------------------------------------------------------------


@contextmanager
def pipe_without_a_reader() -> Iterator[TextIO]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w")
    try:
        yield stream
    finally:
        with suppress(OSError):  # What was not written is not written now either.
            stream.close()


@contextmanager
def full_disk() -> Iterator[TextIO]:
    stream = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


@contextmanager
def closed() -> Iterator[TextIO]:
    stream = io.StringIO()
    stream.close()
    yield stream


@contextmanager
def read_only() -> Iterator[TextIO]:
    with Path(__file__).open() as stream:
        yield stream


@contextmanager
def detached() -> Iterator[TextIO]:
    stream = io.TextIOWrapper(io.BytesIO())
    with closing(stream.detach()):
        yield stream


class Raising(io.StringIO):
    """A stream of which one method raises."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        self._method, self._error = method, error

    def write(self, text: str) -> int:
        return self._do("write", super().write, text)

    def flush(self) -> None:
        self._do("flush", super().flush)

    def _do[T](self, method: str, do: Callable[..., T], *arguments: str) -> T:
        if method == self._method:
            raise self._error
        return do(*arguments)


@contextmanager
def raising(method: str, error: Exception) -> Iterator[TextIO]:
    yield Raising(method, error)


BROKEN: Mapping[str, Callable[[], AbstractContextManager[TextIO]]] = {
    "pipe-without-a-reader": pipe_without_a_reader,
    "full-disk": full_disk,
    "closed": closed,
    "read-only": read_only,
    "detached": detached,
    **{
        f"{method}-{type(error).__name__}": partial(raising, method, error)
        for method in ("write", "flush")
        for error in (
            OSError(5, "Input/output error"),
            BlockingIOError(11, "Resource temporarily unavailable"),
            InterruptedError(4, "Interrupted system call"),
            TimeoutError(110, "Connection timed out"),
            UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
            ValueError("I/O operation on closed file"),
        )
    },
}


@pytest.mark.threat("H4", "I1")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_stream_that_fails_is_never_taken_for_one_that_took_the_line(
    broken: Callable[[], AbstractContextManager[TextIO]],
) -> None:
    if broken is full_disk and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with broken() as stream, pytest.raises(AuditUnavailable) as caught:
        AuditTrail("prod", user_ids=True, stream=stream).write(minted(), status=200, fault=False, usage=usage())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert str(caught.value) == "audit-unavailable"


def test_a_line_is_out_when_it_has_been_written() -> None:
    """Through two buffers: what only lay in one of them would be lost with an environment that is frozen."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw, buffer_size=1 << 20), write_through=False)  # type: ignore[arg-type]
    AuditTrail("prod", user_ids=True, stream=stream).write(minted(), status=200, fault=False, usage=usage())
    assert raw.getvalue().decode() == written(minted())


# --- the schema ----------------------------------------------------------------------------------------------------

BLOCKS = ("calls", "caller", "requested", "switch", "policy", "credentials", "token")


def parts(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The objects of a line, each with its name and its part of the schema."""
    yield "", line, SCHEMA
    for name in BLOCKS:
        yield name, line[name], SCHEMA["properties"][name]


def test_the_schema_is_one_and_has_the_number_that_the_lines_have() -> None:
    VALIDATOR.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"] == {"const": audit.SCHEMA} | {
        "description": SCHEMA["properties"]["schema"]["description"]
    }


def test_the_schema_has_the_fields_of_a_whole_line_and_says_what_each_means() -> None:
    for name, part, schema in parts(MINTED):
        assert schema["properties"].keys() == part.keys(), name
        assert schema["type"] == "object"
        assert all(field["description"].endswith(".") for field in schema["properties"].values()), name


def test_it_demands_what_is_always_there_and_no_more() -> None:
    for name, part, schema in parts(MINTED):
        always = ARRIVED if part is MINTED else part
        assert schema["required"] == list(always), name


def test_it_refuses_what_it_does_not_know() -> None:
    for name, _, _ in parts(MINTED):
        line = copy.deepcopy(MINTED)
        (line[name] if name else line)["body"] = "x"
        assert not VALIDATOR.is_valid(line), name


@pytest.mark.parametrize("line", [ARRIVED, MINTED], ids=["arrived", "minted"])
def test_it_refuses_a_line_in_which_something_is_missing(line: dict[str, Any]) -> None:
    VALIDATOR.validate(line)
    for block in ("", *(name for name in BLOCKS if name in line)):
        for field in line[block] if block else line:
            less = copy.deepcopy(line)
            del (less[block] if block else less)[field]
            assert not VALIDATOR.is_valid(less), (block, field)


def test_its_words_are_those_of_the_code() -> None:
    properties = SCHEMA["properties"]
    refused = {kind.code for kind in Refusal.__subclasses__()} - {NotFound.code, MethodNotAllowed.code}
    faults = {kind.code for kind in Fault.__subclasses__()} - {AuditUnavailable.code}
    assert set(properties["reason"]["enum"]) == refused | faults | {None}
    assert set(properties["status"]["enum"]) == {STATUS[code] for code in refused | faults} | {200}
    assert properties["platform"]["enum"] == list(PLATFORMS)
    assert properties["kind"]["enum"] == list(TokenKind)
    assert properties["route"]["enum"] == [*MINTING_ROUTES, DEFAULT_ROUTE]
    assert properties["caller"]["properties"]["access"]["enum"] == list(Access)
    assert properties["policy"]["properties"]["mode"]["enum"] == list(Mode)
    assert properties["requested"]["properties"]["services"]["items"]["enum"] == list(SERVICES)
    for block, field in (("requested", "expires_in"), ("policy", "max_lifetime"), ("token", "expires_in")):
        assert properties[block]["properties"][field]["minimum"] == MIN_LIFETIME

    _, denied, error = SCHEMA["oneOf"]
    for part, codes in ((denied, refused), (error, faults)):
        assert set(part["properties"]["reason"]["enum"]) == codes
        assert set(part["properties"]["status"]["enum"]) == {STATUS[code] for code in codes}


def but(line: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """`line` with some fields changed, those of a block by its name, two underscores and theirs."""
    changed = copy.deepcopy(dict(line))
    for name, value in changes.items():
        block, _, field = name.rpartition("__")
        (changed[block] if block else changed)[field] = value
    return changed


TOKENLESS = {name: value for name, value in MINTED.items() if name != "token"}
REFUSED = {name: value for name, value in TOKENLESS.items() if name != "credentials"}
WRONG: Mapping[str, Mapping[str, Any]] = {
    "another-log-type": but(MINTED, log_type="log"),
    "another-schema": but(MINTED, schema=2),
    "a-local-time": but(MINTED, ts="2027-01-15T09:00:00.250+01:00"),
    "no-milliseconds": but(MINTED, ts="2027-01-15T08:00:00Z"),
    "no-such-day": but(MINTED, ts="2027-02-30T08:00:00.250Z"),
    "no-such-environment": but(MINTED, environment="Prod"),
    "an-unknown-route": but(MINTED, route="GET /v1/health"),
    "an-unknown-platform": but(MINTED, platform="zoom"),
    "an-unknown-kind": but(MINTED, kind="admin"),
    "an-unknown-decision": but(MINTED, decision="allowed"),
    "an-unknown-reason": but(ARRIVED, reason="not-found", status=404),
    "a-status-as-text": but(MINTED, status="200"),
    "an-id-with-a-line-break": but(MINTED, request_id="a\n"),
    "an-empty-trace-id": but(MINTED, trace_id=""),
    "a-user-agent-beyond-ascii": but(MINTED, user_agent="é"),
    "a-user-agent-too-long": but(MINTED, user_agent="x" * 257),
    "calls-by-halves": but(MINTED, calls__ssm=0.5),
    "a-negative-duration": but(MINTED, duration_ms=-0.1),
    "an-unknown-access": but(MINTED, caller__access="key"),
    "an-empty-user": but(MINTED, caller__user_id=""),
    "a-room-too-long": but(MINTED, requested__room_id="x" * 257),
    "a-role-too-long": but(MINTED, requested__role="x" * 129),
    "an-unknown-service": but(MINTED, requested__services=["rtc", "sms"]),
    "a-life-too-short": but(MINTED, token__expires_in=59),
    "an-unknown-mode": but(MINTED, policy__mode="off"),
    "a-rule-with-a-line-break": but(MINTED, policy__rule="a\n"),
    "a-rule-too-long": but(MINTED, policy__rule="x" * 65),
    "granted-by-no-rule": but(MINTED, policy__rule=None, policy__longest_life=None),
    "a-life-of-no-rule": but(MINTED, policy__mode="audit", policy__allowed=False, policy__rule=None),
    "minted-although-refused": but(MINTED, policy__allowed=False),
    "a-hash-in-capitals": but(MINTED, token__sha256=MINTED["token"]["sha256"].upper()),
    "a-hash-too-long": but(MINTED, token__sha256=MINTED["token"]["sha256"] + "\n"),
    "a-token-s-id-that-is-none": but(MINTED, token__id="x"),
    "minted-with-a-reason": but(MINTED, reason="not-allowed"),
    "minted-with-403": but(MINTED, status=403),
    "minted-without-a-token": TOKENLESS,
    "denied-with-a-token": but(MINTED, decision="denied", reason="not-allowed", status=403),
    "denied-with-a-fault": but(ARRIVED, reason="deadline-exceeded", status=503),
    "denied-without-a-reason": but(ARRIVED, reason=None),
    "an-error-with-a-token": but(MINTED, decision="error", reason="internal-error", status=500),
    "an-error-by-a-refusal": but(ARRIVED, decision="error", status=503),
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_it_refuses_what_cannot_be(line: Mapping[str, Any]) -> None:
    assert not VALIDATOR.is_valid(line)


RIGHT: Mapping[str, Mapping[str, Any]] = {
    "refused-by-a-rule-s-life": but(
        REFUSED, decision="denied", reason="not-allowed", status=403, policy__allowed=False
    ),
    "refused-in-audit-mode": but(MINTED, policy__mode="audit", policy__allowed=False),
    "a-fault-after-all-was-known": but(TOKENLESS, decision="error", reason="internal-error", status=500),
    "no-lambda": but(MINTED, lambda_request_id="", request_id=""),
}


@pytest.mark.parametrize("line", RIGHT.values(), ids=RIGHT)
def test_it_takes_what_can_be(line: Mapping[str, Any]) -> None:
    VALIDATOR.validate(line)
