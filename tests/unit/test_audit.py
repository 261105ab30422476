"""The audit trail: the content of a line, that it was written, and what its schema accepts."""

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
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roomkey import __version__, audit
from roomkey.audit import AuditTrail
from roomkey.clock import Usage
from roomkey.errors import (
    AuditUnavailable,
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
from roomkey.invites import Invite
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.limits import MIN_LIFETIME
from roomkey.platforms import PLATFORMS, SERVICES
from roomkey.platforms.base import TokenKind
from roomkey.policy import Decision, Mode
from roomkey.record import CreatedInvite, RequestRecord
from roomkey.responses import STATUS
from roomkey.routes import DEFAULT_ROUTE, MINTING_ROUTES
from roomkey.settings import Access
from roomkey.token_requests import KINDS, TokenRequest
from support.audit_lines import SCHEMA, VALIDATOR, checked
from support.records import DOWN, NOW, TOKEN, TOKEN_ID, VERSION, arrived, minted, stale, usage

PRINCIPAL = "arn:aws:iam::111122223333:role/backend"


def written(record: RequestRecord, *, status: int = 200, user_ids: bool = True, after: Usage | None = None) -> str:
    """Return the text that `record` writes to the stream."""
    stream = io.StringIO()
    AuditTrail("prod", user_ids, stream).write(record, status=status, usage=after or usage())
    return stream.getvalue()


# --- the content of a line -------------------------------------------------------------------------------------------

ARRIVED = {
    "log_type": "audit",
    "schema": 1,
    "ts": "2027-01-15T08:00:00.250Z",
    "environment": "prod",
    "version": __version__,
    "request_id": "Ky_G7rsLq_1-WJs=",
    "lambda_request_id": "8f507cfc-0000-4697-b07a-ac58fc914c95",
    "route": "POST /v1/{platform}/app-token",
    "platform": "agora",
    "kind": "app",
    "decision": "denied",
    "reason": "not-allowed",
    "status": 403,
    "source_ip": "203.0.113.7",
    "user_agent": "curl/8.5.0",
    "duration_ms": 12.3,
}
MINTED: dict[str, Any] = {name: value for name, value in ARRIVED.items() if name != "reason"} | {
    "decision": "minted",
    "status": 200,
    "calls": {"ssm": 2, "secretsmanager": 1},
    "caller": {"access": "jwt", "issuer": "https://issuer.example", "user_id": "verified"},
    "requested": {"room_id": "room", "role": "publisher", "services": ["rtc", "rtm"]},
    "kill_switch": {"age_s": 12.3},
    "policy": {"mode": "enforce", "allowed": True, "rule": "teachers publish", "max_lifetime": 3600},
    "credentials": {"version_id": VERSION, "age_s": 56.8},
    "token": {
        "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "id": TOKEN_ID,
        "user_id": "granted",
        "expires_at": NOW + 600,
    },
}


def test_a_line_contains_all_that_is_known() -> None:
    assert checked(written(minted(), after=usage(ssm=2, secretsmanager=1))) == MINTED


def test_a_step_that_was_not_reached_is_missing() -> None:
    assert checked(written(arrived(failure=NotAllowed()), status=403)) == ARRIVED


def test_a_line_and_its_metrics_have_about_1100_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    from roomkey.observability import Observability  # noqa: PLC0415

    Observability("prod", "INFO").request_finished(minted(), usage())
    assert len(capsys.readouterr().out) + len(written(minted(), after=usage(ssm=1))) < 1500


@pytest.mark.parametrize(
    ("fraction", "seconds"), [(0.0, "00.000"), (0.25, "00.250"), (0.123, "00.123"), (0.9996, "00.999")]
)
def test_the_timestamp_is_cut_to_milliseconds(fraction: float, seconds: str) -> None:
    assert json.loads(written(minted(), after=usage(NOW + fraction)))["ts"] == f"2027-01-15T08:00:{seconds}Z"


@pytest.mark.parametrize(
    ("failure", "decision"),
    [(None, "minted"), (MintingDisabled(), "denied"), (KillSwitchUnavailable(DOWN), "error")],
)
def test_a_line_contains_the_outcome(failure: RoomkeyError | None, decision: str) -> None:
    status = STATUS[failure.code] if failure else 200
    line = checked(written(arrived(failure=failure) if failure else minted(), status=status))
    assert (line["decision"], line.get("reason"), line["status"]) == (
        decision,
        failure.code if failure else None,
        status,
    )


@pytest.mark.parametrize(("allowed", "rule"), [(True, "rules[0]"), (False, "rules[0]"), (False, None)])
def test_audit_mode_records_the_refusal(allowed: bool, rule: str | None) -> None:
    line = checked(written(minted(policy_mode=Mode.AUDIT, decision=Decision(allowed, rule))))
    assert line["decision"] == "minted"
    assert line["policy"] == {"mode": "audit", "allowed": allowed} | ({"rule": rule} if rule else {})


def test_stale_values_are_marked() -> None:
    line = checked(written(stale(minted(), kill_switch=31.0, credentials=400.0)))
    assert (line["kill_switch"]["stale"], line["credentials"]["stale"]) == (True, True)


def test_a_refused_request_names_the_user_it_asked_for() -> None:
    line = checked(written(minted(minted=None, credentials=None, failure=NotAllowed()), status=403))
    assert (line["requested"]["user_id"], line["requested"]["expires_in"]) == ("asked", 600)


@pytest.mark.threat("F9")
def test_an_iam_caller_is_identified_by_the_principal() -> None:
    line = checked(written(minted(caller=Caller(Access.IAM, principal=PRINCIPAL))))
    assert line["caller"] == {"access": "iam", "principal": PRINCIPAL}


@pytest.mark.threat("H7")
def test_user_ids_are_omitted_on_request() -> None:
    line = written(minted(), user_ids=False, after=usage(ssm=2, secretsmanager=1))
    expected = copy.deepcopy(MINTED)
    for block in ("caller", "token"):
        del expected[block]["user_id"]
    assert checked(line) == expected
    assert not any(user in line for user in ("verified", "asked", "granted"))


def test_the_default_stream_is_the_current_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, later = AuditTrail("prod", user_ids=True), io.StringIO()
    trail.write(minted(), status=200, usage=usage())
    monkeypatch.setattr(sys, "stdout", later)
    trail.write(minted(), status=200, usage=usage())
    assert capsys.readouterr().out == later.getvalue() == written(minted())


# --- one line of ASCII -----------------------------------------------------------------------------------------------

ids = st.text(st.characters(exclude_categories=()), min_size=1, max_size=128)
AWKWARD = "\r\n\x00\x1b[2J\x7f\x85\u2028\u2029\u202e\ufeff\U0001f511\"\\'{}<"


@pytest.mark.threat("H5")
@given(room=ids, role=ids, user=ids, issuer=ids, principal=ids)
@example(room=AWKWARD, role=AWKWARD, user=AWKWARD, issuer=AWKWARD, principal=AWKWARD)
@example(room="\ud800", role="\udfff", user="\udc80x", issuer="\ud83d", principal="\udd11\ud83d")
def test_any_ids_give_one_line_of_ascii(room: str, role: str, user: str, issuer: str, principal: str) -> None:
    """Also ids that no check accepts: the line must not depend on the checks."""
    caller = Caller(Access.JWT, user_id=user, issuer=issuer, principal=principal)
    request = TokenRequest(PLATFORMS["agora"], TokenKind.APP, room, role, "other")
    line = written(minted(caller=caller, token_request=request))

    assert line.endswith("}\n")
    assert re.fullmatch(r"[\x20-\x7e]+", line.removesuffix("\n"))
    content = checked(line)
    assert content["caller"] == {"access": "jwt", "issuer": issuer, "user_id": user, "principal": principal}
    assert (content["requested"]["room_id"], content["requested"]["role"]) == (room, role)


@pytest.mark.threat("H1", "H9")
@given(token=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_token_appears_only_as_its_hash(token: str) -> None:
    token += TOKEN  # A token of one letter would be found in any line.
    line = written(minted(token))
    assert json.loads(line)["token"]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert TOKEN not in line


def test_a_new_invite_is_recorded_by_its_id() -> None:
    invite = Invite("agora", "room", "publisher", ("rtc",), NOW + 300, "k3F9xw2Lq0aZ", None)
    record = minted(minted=None, credentials=None, created_invite=CreatedInvite(invite, "rki1.SENTINEL", 300))
    record.kind = "invite"
    line = written(record, status=201)
    content = checked(line)
    assert (content["decision"], content["invite_id"]) == ("invited", "k3F9xw2Lq0aZ")
    assert content["invite"] == {"expires_at": NOW + 300}
    assert "SENTINEL" not in line


def test_a_guest_is_recorded_by_the_id_of_the_invite() -> None:
    invite = Invite("agora", "room", "publisher", ("rtc",), NOW + 300, "k3F9xw2Lq0aZ", None)
    content = checked(written(minted(caller=Caller(Access.OPEN, invite_id=invite.id), invite=invite)))
    assert (content["decision"], content["invite_id"], content["caller"]) == (
        "minted",
        invite.id,
        {"access": "open"},
    )


@pytest.mark.threat("H1")
def test_secrets_claims_and_groups_never_appear() -> None:
    line = written(minted(caller=Caller(Access.JWT, "u", groups=("G-SENTINEL",), claims={"org": "C-SENTINEL"})))
    assert "SENTINEL" not in line
    assert "s3cret" not in line


NOT_JSON: Mapping[str, Callable[[], RequestRecord]] = {
    "a lone surrogate in a token": lambda: minted("eyJ\ud800"),
    "an age that is not a number": lambda: minted(kill_switch=KillSwitchReading(KillSwitch(False), math.nan, None)),
    "an infinite age": lambda: minted(kill_switch=KillSwitchReading(KillSwitch(False), math.inf, None)),
    "a lifetime that is not a number": lambda: minted(decision=Decision(True, "r", math.nan)),  # type: ignore[arg-type]
    "an infinite lifetime": lambda: minted(decision=Decision(True, "r", math.inf)),  # type: ignore[arg-type]
}


@pytest.mark.threat("H4", "H6")
@pytest.mark.parametrize("record", NOT_JSON.values(), ids=NOT_JSON)
def test_a_value_outside_json_is_not_written(record: Callable[[], RequestRecord]) -> None:
    stream = io.StringIO()
    with pytest.raises(AuditUnavailable):
        AuditTrail("prod", user_ids=True, stream=stream).write(record(), status=200, usage=usage())
    assert stream.getvalue() == ""


# --- failed writes ---------------------------------------------------------------------------------------------------


@contextmanager
def pipe_without_a_reader() -> Iterator[TextIO]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w")
    try:
        yield stream
    finally:
        with suppress(OSError):  # The failed write is not repeated.
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
def test_a_failing_stream_is_always_reported(broken: Callable[[], AbstractContextManager[TextIO]]) -> None:
    if broken is full_disk and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with broken() as stream, pytest.raises(AuditUnavailable) as caught:
        AuditTrail("prod", user_ids=True, stream=stream).write(minted(), status=200, usage=usage())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert str(caught.value) == "audit-unavailable"


class Torn(io.StringIO):
    """A stream that accepts the start of the first line."""

    def write(self, text: str) -> int:
        if not self.getvalue():
            super().write(text[:20])
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.mark.threat("H4")
def test_the_line_after_a_torn_one_begins_on_a_new_line() -> None:
    trail = AuditTrail("prod", user_ids=True, stream=(stream := Torn()))
    with pytest.raises(AuditUnavailable):
        trail.write(minted(), status=200, usage=usage())
    trail.write(minted(), status=200, usage=usage())
    trail.write(minted(), status=200, usage=usage())

    torn, *whole = stream.getvalue().splitlines(keepends=True)
    assert not torn.endswith("}\n")
    assert whole == [written(minted())] * 2


def test_a_written_line_is_flushed() -> None:
    """Every buffer is flushed: a frozen environment loses buffered text."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw, buffer_size=1 << 20), write_through=False)
    AuditTrail("prod", user_ids=True, stream=stream).write(minted(), status=200, usage=usage())
    assert raw.getvalue().decode() == written(minted())


# --- the schema ------------------------------------------------------------------------------------------------------

BLOCKS = {
    "calls": (),
    "caller": ("access",),
    "requested": (),
    "kill_switch": ("age_s",),
    "policy": ("mode", "allowed"),
    "credentials": ("version_id", "age_s"),
    "token": ("sha256", "expires_at"),
}
"""The blocks of a line, with the fields that each always has."""
ALWAYS = (
    *("log_type", "schema", "ts", "environment", "version", "route", "kind", "decision", "status"),
    "duration_ms",
)


def parts(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the objects of a line, each with its name and its part of the schema."""
    yield "", line, SCHEMA
    for name in BLOCKS:
        yield name, line[name], SCHEMA["properties"][name]


def test_the_schema_is_valid_and_has_the_number_of_the_lines() -> None:
    VALIDATOR.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == audit.SCHEMA


def test_the_schema_describes_every_field() -> None:
    sometimes = {
        "": {"reason", "cold_start", "invite_id", "invite", "invite_keys"},
        "caller": {"principal"},
        "requested": {"user_id", "sets", "agent", "expires_in"},
        "kill_switch": {"stale"},
        "credentials": {"stale"},
    }
    for name, part, schema in parts(MINTED):
        assert schema["properties"].keys() == part.keys() | sometimes.get(name, set()), name
        assert schema["type"] == "object"
        assert all(field["description"].endswith(".") for field in schema["properties"].values()), name
        assert tuple(schema.get("required", ())) == BLOCKS.get(name, ALWAYS), name


def test_the_schema_rejects_unknown_missing_and_empty_fields() -> None:
    for name, part, schema in parts(MINTED):
        line = copy.deepcopy(MINTED)
        (line[name] if name else line)["body"] = "x"
        assert not VALIDATOR.is_valid(line), name
        for field in part:
            for empty in (None, "", [], {}):
                line = copy.deepcopy(MINTED)
                (line[name] if name else line)[field] = empty
                assert not VALIDATOR.is_valid(line), (name, field, empty)
            line = copy.deepcopy(MINTED)
            del (line[name] if name else line)[field]
            assert VALIDATOR.is_valid(line) is (
                field not in schema.get("required", ())
                and field not in ("caller", "kill_switch", "token", "rule")
                and field not in ("policy", "credentials")
            ), (name, field)


def test_the_schema_has_the_words_of_the_code() -> None:
    properties = SCHEMA["properties"]
    refused = {kind.code for kind in Refusal.__subclasses__()} - {NotFound.code, MethodNotAllowed.code}
    faults = {kind.code for kind in Fault.__subclasses__()} - {AuditUnavailable.code}
    assert set(properties["reason"]["enum"]) == refused | faults
    assert set(properties["status"]["enum"]) == {STATUS[code] for code in refused | faults} | {200, 201}
    assert properties["platform"]["enum"] == list(PLATFORMS)
    assert properties["kind"]["enum"] == list(KINDS)
    assert properties["route"]["enum"] == [*MINTING_ROUTES, DEFAULT_ROUTE]
    assert properties["caller"]["properties"]["access"]["enum"] == list(Access)
    assert properties["policy"]["properties"]["mode"]["enum"] == list(Mode)
    assert properties["requested"]["properties"]["services"]["items"]["enum"] == list(SERVICES)
    for block, field in (("requested", "expires_in"), ("policy", "max_lifetime")):
        assert properties[block]["properties"][field]["minimum"] == MIN_LIFETIME

    _, _, denied, error = SCHEMA["oneOf"]
    for part, codes in ((denied, refused), (error, faults)):
        assert set(part["properties"]["reason"]["enum"]) == codes
        assert set(part["properties"]["status"]["enum"]) == {STATUS[code] for code in codes}


def but(line: Mapping[str, Any], *without: str, **changes: Any) -> dict[str, Any]:
    """Return `line` with some fields changed or removed. A field of a block is named `block__field`."""
    changed = copy.deepcopy(dict(line))
    for name in (*without, *changes):
        block, _, field = name.rpartition("__")
        target = changed[block] if block else changed
        if name in changes:
            target[field] = changes[name]
        else:
            del target[field]
    return changed


TOKENLESS = but(MINTED, "token")
REFUSED = but(TOKENLESS, "credentials")
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
    "invited-without-an-invite": but(TOKENLESS, decision="invited", status=201),
    "minted-with-201": but(MINTED, status=201),
    "a-status-as-text": but(MINTED, status="200"),
    "an-id-with-a-line-break": but(MINTED, request_id="a\n"),
    "a-user-agent-beyond-ascii": but(MINTED, user_agent="é"),
    "a-user-agent-too-long": but(MINTED, user_agent="x" * 257),
    "calls-by-halves": but(MINTED, calls__ssm=0.5),
    "a-negative-duration": but(MINTED, duration_ms=-0.1),
    "an-unknown-access": but(MINTED, caller__access="key"),
    "an-empty-user": but(MINTED, caller__user_id=""),
    "a-room-too-long": but(MINTED, requested__room_id="x" * 257),
    "a-role-too-long": but(MINTED, requested__role="x" * 129),
    "an-unknown-service": but(MINTED, requested__services=["rtc", "sms"]),
    "a-lifetime-too-short": but(MINTED, policy__max_lifetime=59),
    "an-unknown-mode": but(MINTED, policy__mode="off"),
    "a-rule-with-a-line-break": but(MINTED, policy__rule="a\n"),
    "a-rule-too-long": but(MINTED, policy__rule="x" * 65),
    "granted-without-a-rule": but(MINTED, "policy__rule", "policy__max_lifetime"),
    "a-lifetime-without-a-rule": but(MINTED, "policy__rule", policy__mode="audit", policy__allowed=False),
    "minted-although-refused": but(MINTED, policy__allowed=False),
    "a-hash-in-capitals": but(MINTED, token__sha256=MINTED["token"]["sha256"].upper()),
    "a-hash-too-long": but(MINTED, token__sha256=MINTED["token"]["sha256"] + "\n"),
    "an-empty-token-id": but(MINTED, token__id=""),
    "minted-with-a-reason": but(MINTED, reason="not-allowed"),
    "minted-with-403": but(MINTED, status=403),
    "minted-without-a-token": TOKENLESS,
    "denied-with-a-token": but(MINTED, decision="denied", reason="not-allowed", status=403),
    "denied-with-a-fault": but(ARRIVED, reason="deadline-exceeded", status=503),
    "denied-without-a-reason": but(ARRIVED, "reason"),
    "an-error-with-a-token": but(MINTED, decision="error", reason="internal-error", status=500),
    "an-error-by-a-refusal": but(ARRIVED, decision="error", status=503),
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_the_schema_rejects_impossible_lines(line: Mapping[str, Any]) -> None:
    assert not VALIDATOR.is_valid(line)


RIGHT: Mapping[str, Mapping[str, Any]] = {
    "refused-for-its-lifetime": but(
        REFUSED, decision="denied", reason="not-allowed", status=403, policy__allowed=False
    ),
    "refused-in-audit-mode": but(MINTED, policy__mode="audit", policy__allowed=False),
    "a-fault-in-the-last-step": but(TOKENLESS, decision="error", reason="internal-error", status=500),
    "no-lambda": but(MINTED, "lambda_request_id", "request_id"),
}


@pytest.mark.parametrize("line", RIGHT.values(), ids=RIGHT)
def test_the_schema_accepts_possible_lines(line: Mapping[str, Any]) -> None:
    VALIDATOR.validate(line)
