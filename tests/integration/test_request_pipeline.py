"""The order of work: which step calls AWS, which reads a secret, and which answers are not returned.

Route and method, identity, body, kill switch, credentials, mint, verify, audit line, response."""

import gc
import io
import json
from collections.abc import Callable
from typing import Any, Never
from unittest.mock import Mock

import pytest

from roomkey.platforms.hms import Hms
from support.aws.moto_proxy import GET_FLAG, GET_SECRET, SECRETS_MANAGER, SSM, Aws, Failure
from support.events import LambdaContext, load_event
from support.stack import Answer, Deploy, Deployed, claims_of

COLD = [GET_FLAG, GET_SECRET]
DISABLED = "Generating token using the room_id and role is disabled."
MINTING = ("api-token-web.json", "app-token-open.json", "management-token-iam-user.json")
DOWN = Failure(503, "Service Unavailable")


# --- one step after the other ----------------------------------------------------------------------------------------


def test_a_request_with_every_fault_is_refused_for_the_first(deploy: Deploy) -> None:
    """A request with all faults, corrected one by one, is refused for the next fault until it succeeds."""
    deployed = deploy("jwt", flag="true", secret="nonsense")
    event = load_event("app-token-jwt.json")
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    refusals = []

    def send() -> None:
        answer = deployed.answer(event)
        refusals.append((answer.status, answer.code))

    event["requestContext"]["authorizer"] = {}
    event["pathParameters"] = {"platform": "carrier-pigeon"}
    event["headers"]["content-type"] = "text/plain"
    event["body"] = "{" * 17_000
    send()
    event["pathParameters"] = {"platform": "100ms"}
    send()
    event["requestContext"]["authorizer"] = {"jwt": {"claims": claims | {"sub": ""}}}
    send()
    event["requestContext"]["authorizer"] = {"jwt": {"claims": claims}}
    send()
    event["body"] = "{"
    send()
    event["headers"]["content-type"] = "application/json"
    send()
    event["body"] = json.dumps({"room_id": "r", "user_id": "another-user"})
    send()
    event["body"] = json.dumps({"room_id": "r", "role": "guest", "user_id": "another-user"})
    send()
    assert deployed.operations == []
    event["body"] = json.dumps({"room_id": "r", "role": "guest"})
    send()
    assert deployed.operations == [GET_FLAG]
    deployed.aws.put_flag(deployed.environment, "false")
    deployed.clock.advance(31)
    send()

    assert refusals == [
        (404, "not-found"),
        (401, "unauthenticated"),
        (403, "not-allowed"),
        (413, "body-too-large"),
        (415, "unsupported-media-type"),
        (400, "malformed-body"),
        (400, "invalid-request"),
        (403, "user-mismatch"),
        (403, "minting-disabled"),
        (503, "credentials-invalid"),
    ]
    assert deployed.operations == [GET_FLAG, GET_FLAG, GET_SECRET]


# --- AWS calls -----------------------------------------------------------------------------------------------------


@pytest.mark.threat("I8")
@pytest.mark.parametrize("name", MINTING)
def test_a_cold_request_reads_kill_switch_and_secret_and_a_warm_one_nothing(deploy: Deploy, name: str) -> None:
    deployed = deploy()
    assert deployed.operations == []

    answers = [deployed.answer(load_event(name)) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len({answer.token for answer in answers}) == 3
    assert deployed.operations == COLD
    flag, secret = deployed.aws.calls
    assert flag.asked == {
        "Names": [f"/roomkey/{deployed.environment}/{name}" for name in ("disabled", "policy", "blocked")]
    }
    assert secret.asked == {"SecretId": f"roomkey/{deployed.environment}/100ms"}
    assert [line.get("calls") for line in deployed.audit_lines()] == [{"ssm": 1, "secretsmanager": 1}, None, None]
    assert [line.get("cold_start") for line in deployed.audit_lines()] == [True, None, None]


def test_both_kinds_of_token_share_the_cache(deploy: Deploy) -> None:
    deployed = deploy()

    for name in MINTING:
        assert deployed.answer(load_event(name)).token

    assert deployed.operations == COLD


REFUSED_BEFORE_ANY_CALL = {
    "api-token-unauthenticated.json": "jwt",
    "app-token-jwt-without-sub.json": "jwt",
    "app-token-user-mismatch.json": "jwt",
    "management-token-jwt.json": "jwt",
    "app-token-iam-without-arn.json": "iam",
    "app-token-jwt-on-iam.json": "iam",
    "api-token-multipart.json": "open",
    "api-token-not-json.json": "open",
    "api-token-role-missing.json": "open",
    "app-token-expires-in-too-long.json": "open",
    "app-token-form.json": "open",
    "app-token-get.json": "open",
    "app-token-too-large.json": "open",
    "app-token-unknown-field.json": "open",
    "app-token-unknown-platform.json": "open",
    "not-found.json": "open",
    "preflight.json": "open",
}


@pytest.mark.threat("F13")
@pytest.mark.parametrize(("name", "access"), REFUSED_BEFORE_ANY_CALL.items())
def test_an_unauthenticated_or_unreadable_request_causes_no_aws_call(deploy: Deploy, name: str, access: str) -> None:
    """So its refusal is the same whether minting is on or off, or nothing is configured."""
    deployed = deploy(access, flag=None, secret=None)

    answer = deployed.answer(load_event(name))

    assert answer.status < 500
    assert deployed.operations == []


@pytest.mark.threat("B1")
@pytest.mark.parametrize("name", MINTING)
def test_switched_off_reads_no_secret(deploy: Deploy, name: str) -> None:
    deployed = deploy(flag="true")

    answers = [deployed.answer(load_event(name)) for _ in range(2)]

    for answer in answers:
        assert (answer.status, answer.code) == (403, "minting-disabled")
        assert answer.body["msg"] == DISABLED
        assert answer.body["success"] is False
        assert "token" not in answer.body
    assert deployed.operations == [GET_FLAG]
    assert [(line["decision"], line["reason"]) for line in deployed.audit_lines()] == [
        ("denied", "minting-disabled")
    ] * 2


@pytest.mark.threat("B4", "B5")
@pytest.mark.parametrize("flag", [None, "TRUE", "app,"])
def test_a_flag_that_is_missing_or_means_nothing_is_not_on(deploy: Deploy, flag: str | None) -> None:
    deployed = deploy(flag=flag)

    answer = deployed.answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (503, "kill-switch-unavailable")
    assert answer.headers["retry-after"] == "60"
    assert GET_SECRET not in deployed.operations
    (line,) = deployed.audit_lines()
    assert (line["decision"], line["reason"], line["status"]) == ("error", "kill-switch-unavailable", 503)


def test_a_temporary_failure_of_ssm_is_503_with_a_short_retry_after(deploy: Deploy) -> None:
    deployed = deploy()
    deployed.aws.fail(SSM, DOWN)

    answer = deployed.answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (503, "kill-switch-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert deployed.operations == [GET_FLAG] * 2


def test_a_temporary_failure_of_secrets_manager_is_503_with_a_short_retry_after(deploy: Deploy) -> None:
    deployed = deploy()
    deployed.aws.fail(SECRETS_MANAGER, DOWN)

    answer = deployed.answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (503, "credentials-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert deployed.operations == [GET_FLAG, GET_SECRET, GET_SECRET]


def test_a_missing_secret_has_a_long_retry_after(deploy: Deploy) -> None:
    deployed = deploy(secret=None)

    answer = deployed.answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (503, "credentials-unavailable")
    assert answer.headers["retry-after"] == "60"
    assert deployed.operations == COLD


# --- the audit line comes before the answer ------------------------------------------------------------------------


class _FullDisk(io.StringIO):
    """A stream that fails when set to."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        setattr(self, method, Mock(side_effect=error))


@pytest.mark.threat("H4", "I1")
@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("write", OSError(28, "No space left on device")),
        ("write", BrokenPipeError(32, "Broken pipe")),
        ("write", ValueError("I/O operation on closed file")),
        ("write", RuntimeError("reentrant call")),
        ("flush", OSError(28, "No space left on device")),
        ("flush", ValueError("I/O operation on closed file")),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_token_that_cannot_be_recorded_is_not_handed_out(deploy: Deploy, method: str, error: Exception) -> None:
    deployed = deploy(stream=_FullDisk(method, error))

    for name in MINTING:
        answer = Answer.checked(deployed.api.answer(load_event(name), LambdaContext()))

        assert (answer.status, answer.code) == (503, "audit-unavailable")
        assert "token" not in answer.body
        assert "eyJ" not in answer.text


def test_a_refusal_that_cannot_be_recorded_is_still_that_refusal(deploy: Deploy) -> None:
    deployed = deploy(stream=_FullDisk("write", OSError(28, "No space left on device")))

    answer = deployed.answer(load_event("api-token-role-missing.json"))

    assert (answer.status, answer.code) == (400, "invalid-request")


def test_recording_works_again_when_the_stream_does(deploy: Deploy) -> None:
    stream = _FullDisk("write", OSError(28, "No space left on device"))
    deployed = deploy(stream=stream)
    assert deployed.answer(load_event("api-token-web.json")).status == 503

    del stream.write

    assert deployed.answer(load_event("api-token-web.json")).token


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.threat("C8")
@pytest.mark.parametrize("remaining_ms", [0, 1, 200])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_request_whose_time_is_spent_gets_no_token(deploy: Deploy, remaining_ms: int, warm: bool) -> None:
    deployed = deploy()
    if warm:
        deployed.answer(load_event("api-token-web.json"))
    calls = list(deployed.operations)

    answer = deployed.answer(load_event("api-token-web.json"), LambdaContext(remaining_ms))

    assert (answer.status, answer.code) == (503, "deadline-exceeded")
    assert answer.headers["retry-after"] == "5"
    assert deployed.operations == calls
    line = deployed.audit_lines()[-1]
    assert (line["decision"], line["reason"]) == ("error", "deadline-exceeded")


def test_a_refusal_takes_no_time_that_a_late_request_would_lack(deploy: Deploy) -> None:
    answer = deploy().answer(load_event("api-token-role-missing.json"), LambdaContext(remaining_ms=0))

    assert (answer.status, answer.code) == (400, "invalid-request")


def test_a_context_without_remaining_time_is_accepted(deploy: Deploy) -> None:
    deployed = deploy()

    assert Answer.checked(deployed.api.answer(load_event("api-token-web.json"), None)).token


@pytest.mark.threat("C2")
def test_a_secret_that_arrives_after_the_deadline_signs_nothing(deploy: Deploy) -> None:
    """The environment freezes during the read and thaws an hour later."""
    deployed = deploy()
    real = deployed.dependencies.credentials

    class Frozen:
        def read(self, *arguments: Any) -> Any:
            loaded = real.read(*arguments)
            deployed.clock.wall += 3600
            return loaded

    answer = deployed.with_parts(credentials=Frozen()).answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (503, "deadline-exceeded")


# --- unexpected failures ---------------------------------------------------------------------------------------------

UNEXPECTED = "something with SENTINEL-IN-AN-EXCEPTION in it"


class _Broken:
    """A part whose methods all raise."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Never]:
        def broken(*_: Any, **__: Any) -> Never:
            raise self._error

        return broken


class _BrokenPlatform(Hms):
    def __init__(self, method: str, error: Exception) -> None:
        setattr(self, method, getattr(_Broken(error), method))


def _part(step: str, error: Exception) -> dict[str, Any]:
    """Return the parts of a stack in which `step` raises `error`."""
    if step in ("operator_config", "credentials", "randomness"):
        return {step: _Broken(error)}
    return {"platforms": {"100ms": _BrokenPlatform(step, error)}}


STEPS = ("conflicts", "operator_config", "credentials", "randomness", "token", "explain")


@pytest.mark.threat("C5")
@pytest.mark.parametrize(
    ("step", "error_type"),
    [
        *((step, ValueError) for step in STEPS),
        *(("operator_config", error) for error in (KeyError, TypeError, RecursionError, MemoryError, OSError)),
    ],
)
def test_an_unexpected_exception_is_500_with_one_audit_line(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], step: str, error_type: type[Exception]
) -> None:
    deployed = deploy().with_parts(**_part(step, error_type(UNEXPECTED)))

    answer = deployed.answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (500, "internal-error")
    assert answer.body["errors"] == []
    (line,) = deployed.audit_lines()
    assert (line["decision"], line["reason"], line["status"]) == ("error", "internal-error", 500)
    assert "token" not in line
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["error"] for entry in printed if "error" in entry] == [error_type.__name__]
    for text in (answer.text, deployed.stream.getvalue(), json.dumps(printed)):
        assert "SENTINEL" not in text


@pytest.mark.threat("F6")
def test_a_token_that_differs_from_the_grant_is_not_returned(deploy: Deploy) -> None:
    class Confused(Hms):
        def token(self, credentials: Any, grant: Any, context: Any) -> str:
            return super().token(credentials, grant._replace(role="host"), context)

    answer = deploy().with_parts(platforms={"100ms": Confused()}).answer(load_event("api-token-web.json"))

    assert (answer.status, answer.code) == (500, "internal-error")


@pytest.mark.threat("C5")
def test_a_fault_before_the_route_is_known_is_in_the_envelope_too(deploy: Deploy) -> None:
    deployed = deploy().with_parts(platforms=_Broken(ValueError(UNEXPECTED)))

    answer = deployed.answer(load_event("app-token-open.json"))

    assert (answer.status, answer.code) == (500, "internal-error")
    assert "SENTINEL" not in answer.text
    assert deployed.audit_lines() == []


@pytest.mark.threat("C5")
def test_health_fails_in_the_envelope(deploy: Deploy) -> None:
    deployed = deploy().with_parts(operator_config=_Broken(ValueError(UNEXPECTED)))

    answer = deployed.answer(load_event("health.json"))

    assert (answer.status, answer.code) == (500, "internal-error")
    assert "SENTINEL" not in answer.text


def test_failing_logs_and_metrics_prevent_no_recorded_token(deploy: Deploy) -> None:
    deployed = deploy().with_parts(observability=_Broken(OSError(28, "No space left on device")))

    answer = deployed.answer(load_event("api-token-web.json"))

    assert answer.token
    assert claims_of(answer.token)["user_id"] == "student-7"


# --- CORS ----------------------------------------------------------------------------------------------------------

ORIGINS = "https://app.example.com,http://localhost:5173"


def _from(name: str, origin: str | None) -> Any:
    event = load_event(name)
    event["headers"].pop("origin", None)
    if origin is not None:
        event["headers"]["origin"] = origin
    return event


def _cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.threat("E8")
@pytest.mark.parametrize("origin", ORIGINS.split(","))
def test_a_listed_origin_may_read_every_answer(deploy: Deploy, origin: str) -> None:
    deployed = deploy(ALLOWED_ORIGINS=ORIGINS)

    for name in ("api-token-web.json", "api-token-role-missing.json", "not-found.json", "health.json"):
        answer = deployed.answer(_from(name, origin))

        assert answer.headers["vary"] == "Origin"
        assert _cors(answer) == {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": "x-request-id,retry-after",
        }


@pytest.mark.threat("E8")
def test_a_listed_origin_passes_the_preflight(deploy: Deploy) -> None:
    answer = deploy(ALLOWED_ORIGINS=ORIGINS).answer(_from("preflight.json", "http://localhost:5173"))

    assert answer.status == 204
    assert answer.headers["vary"] == "Origin"
    assert _cors(answer) == {
        "access-control-allow-origin": "http://localhost:5173",
        "access-control-expose-headers": "x-request-id,retry-after",
        "access-control-allow-headers": (
            "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-content-sha256"
        ),
        "access-control-allow-methods": "POST,GET",
        "access-control-max-age": "600",
    }


@pytest.mark.threat("E8")
@pytest.mark.parametrize(
    "origin",
    [
        None,
        *("", "null", "*", "https://app.example.com.evil.example", "https://evil-app.example.com"),
        *("https://app.example.com/", "https://app.example.com:443", "http://app.example.com"),
        "https://APP.example.com",
        *("https://app.example.com,http://localhost:5173", " https://app.example.com"),
        "https://app.example.com\r\nx: y",
        *("https://example.com", "https://sub.app.example.com", "file://", "x" * 8192),
    ],
)
def test_any_other_origin_gets_the_answer_and_no_leave_to_read_it(deploy: Deploy, origin: str | None) -> None:
    deployed = deploy(ALLOWED_ORIGINS=ORIGINS)

    for name, status in {"api-token-role-missing.json": 400, "preflight.json": 204, "not-found.json": 404}.items():
        answer = deployed.answer(_from(name, origin))

        assert answer.status == status
        assert answer.headers["vary"] == "Origin"
        assert _cors(answer) == {}


@pytest.mark.threat("E8")
def test_an_origin_that_is_not_listed_still_gets_its_token(deploy: Deploy) -> None:
    """Native apps send none, and browsers enforce CORS, not the function."""
    answer = deploy(ALLOWED_ORIGINS=ORIGINS).answer(_from("api-token-web.json", "https://elsewhere.example"))

    assert answer.token
    assert _cors(answer) == {}


@pytest.mark.threat("E8")
@pytest.mark.parametrize("origin", [None, "https://app.example.com", "null", "*"])
def test_without_a_list_there_are_no_cors_headers(deploy: Deploy, origin: str | None) -> None:
    deployed = deploy()

    for name in ("preflight.json", "health.json", "not-found.json"):
        answer = deployed.answer(_from(name, origin))
        assert _cors(answer) == {}
        assert "vary" not in answer.headers


# --- health --------------------------------------------------------------------------------------------------------


def _minting(deployed: Deployed) -> str:
    answer = deployed.answer(load_event("health.json"))
    assert answer.status == 200
    return str(answer.body["minting"])


@pytest.mark.parametrize(
    ("flag", "minting"),
    [
        ("false", "on"),
        ("true", "off"),
        ("app", "partly-off"),
        ("100ms/management", "partly-off"),
        ("100ms", "off"),
        ("app,management", "off"),
        (None, "unknown"),
        ("TRUE", "unknown"),
        ("", "unknown"),
    ],
)
def test_health_shows_the_state_of_the_kill_switch(deploy: Deploy, flag: str | None, minting: str) -> None:
    deployed = deploy(flag=flag or None, secret=None)
    if flag == "":
        deployed.aws.fail(SSM, Failure(200, "{}"))

    assert _minting(deployed) == minting
    assert GET_SECRET not in deployed.operations
    assert deployed.audit_lines() == []


def test_health_reads_the_flag_once_per_fresh_bound(deploy: Deploy) -> None:
    deployed = deploy()

    for _ in range(50):
        assert _minting(deployed) == "on"
    deployed.clock.advance(29)
    assert _minting(deployed) == "on"
    assert deployed.operations == [GET_FLAG]

    deployed.aws.put_flag(deployed.environment, "true")
    deployed.clock.advance(2)
    for _ in range(50):
        assert _minting(deployed) == "off"
    assert deployed.operations == [GET_FLAG] * 2


@pytest.mark.parametrize(
    ("failure", "calls_a_read"),
    [(None, 1), (DOWN, 2), (Failure.error(400, "AccessDeniedException", "no"), 1)],
    ids=["missing", "down", "denied"],
)
def test_health_asks_no_oftener_for_a_flag_that_it_cannot_get(
    deploy: Deploy, failure: Failure | None, calls_a_read: int
) -> None:
    """Anyone may call it: a flood must not use up the account's forty reads a second."""
    deployed = deploy(flag=None)
    if failure:
        deployed.aws.fail(SSM, failure)

    for bound in range(1, 4):
        for _ in range(20):
            assert _minting(deployed) == "unknown"
        assert deployed.operations == [GET_FLAG] * calls_a_read * bound
        deployed.clock.advance(31)


def test_health_and_minting_share_the_cache(deploy: Deploy) -> None:
    deployed = deploy()

    assert deployed.answer(load_event("api-token-web.json")).token
    assert _minting(deployed) == "on"

    assert deployed.operations == COLD


def test_a_health_check_that_fails_does_not_hold_minting_up(deploy: Deploy) -> None:
    """Every request for a token tries to read an empty cache, however recently health has tried."""
    deployed = deploy()
    deployed.aws.fail(SSM, DOWN)
    assert _minting(deployed) == "unknown"

    deployed.aws.forget()

    assert deployed.answer(load_event("api-token-web.json")).token


def test_health_without_time_is_unknown(deploy: Deploy) -> None:
    deployed = deploy()

    answer = deployed.answer(load_event("health.json"), LambdaContext(remaining_ms=0))

    assert answer.body["minting"] == "unknown"
    assert deployed.operations == []


@pytest.mark.threat("A20", "J4")
def test_an_environment_reads_nothing_of_another(deploy: Deploy, aws: Aws) -> None:
    on, off = deploy(flag="false"), deploy(flag="true")

    assert on.answer(load_event("api-token-web.json")).token
    assert off.answer(load_event("api-token-web.json")).code == "minting-disabled"
    for deployed, calls in ((on, aws.calls[:2]), (off, aws.calls[2:])):
        names = [name for call in calls for name in call.asked.get("Names", [call.asked.get("SecretId")])]
        assert names
        assert all(name.lstrip("/").startswith(f"roomkey/{deployed.environment}/") for name in names)


@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_refused_request_leaves_no_reference_cycle(deploy: Deploy, flag: str) -> None:
    deployed = deploy(flag=flag, policy=None)
    request = load_event("app-token-open.json")
    deployed.api.answer(request, LambdaContext())
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert deployed.api.answer(request, LambdaContext())["statusCode"] in (403, 503)
        assert gc.collect() == 0
    finally:
        gc.enable()
