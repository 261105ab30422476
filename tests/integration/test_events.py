"""Every file in events/ through the real handler, compared with its row in events/answers.csv."""

import base64
import csv
import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from roomkey import __version__
from support.aws.moto_proxy import GET_SECRET, Aws
from support.events import EVENTS, load_event
from support.openapi import check_exchange
from support.stack import EVERY_PLATFORM, NOW, Answer, Deploy, Deployed, claims_of
from support.token_readers import assert_same, beside_the_token, due, read

MODES = ("open", "jwt", "iam")
RANDOM = "a random user_id"


@dataclass(frozen=True)
class Case:
    """A row of events/answers.csv under one access."""

    file: str
    access: str
    status: int
    code: str | None


def _cases() -> list[Case]:
    with (EVENTS / "answers.csv").open(newline="") as table:
        return [
            Case(row["file"], access, int(row["status"]), row["code"] or None)
            for row in csv.DictReader(table)
            for access in (MODES if row["AppTokenAccess"] == "any" else row["AppTokenAccess"].split())
        ]


CASES = _cases()
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{case.access}")


@dataclass(frozen=True)
class Says:
    """The claims of a token besides those that every token has."""

    room_id: str | None = "633fcdd84208780bf665346a"
    role: str | None = "guest"
    user_id: str | None = "student-7"
    services: tuple[str, ...] = ()
    expires_in: int = 3600


MANAGEMENT = Says(room_id=None, role=None, user_id=None, expires_in=900)
VIDEOSDK = Says(room_id="bmej-gdmc-dchc")
AGORA = Says(room_id="algebra-2", role="publisher", user_id="42", services=("rtc",))
WHITEBOARD = Says(room_id="534c08ca3f52a55f27bb471e3eccb305", role="writer", user_id=None)

TOKENS = {
    "api-token-web.json": Says(),
    "api-token-json.json": Says(),
    "api-token-no-content-type.json": Says(),
    "api-token-flutter.json": Says(),
    "api-token-flutter-expires-in.json": Says(expires_in=600),
    "api-token-react-native.json": Says(),
    "api-token-curl-data.json": Says(),
    "api-token-stray-keys.json": Says(),
    "api-token-without-user-id.json": Says(user_id=RANDOM),
    "api-token-empty-user-id.json": Says(user_id=RANDOM),
    "api-token-double-slash.json": Says(),
    "api-token-trailing-slash.json": Says(),
    "api-token-trailing-slash-routed.json": Says(),
    "api-token-jwt.json": Says(role="host", user_id="teacher-1"),
    "api-token-iam.json": Says(),
    "app-token-open.json": Says(),
    "app-token-open-expires-in.json": Says(expires_in=600),
    "app-token-jwt.json": Says(role="host", user_id="teacher-1"),
    "app-token-jwt-same-user.json": Says(role="host", user_id="teacher-1"),
    "app-token-jwt-cognito.json": Says(role="host", user_id="e3f4a8c2-90b1-70f5-2d6e-1c2b3a495867"),
    "app-token-iam-role.json": Says(),
    "app-token-iam-user.json": Says(),
    "management-token-iam-user.json": MANAGEMENT,
    "management-token-iam-role.json": replace(MANAGEMENT, expires_in=300),
    "app-token-videosdk-guest.json": VIDEOSDK,
    "app-token-videosdk-participant.json": replace(VIDEOSDK, role="participant"),
    "app-token-videosdk-moderator.json": replace(VIDEOSDK, role="moderator", user_id="teacher-1", expires_in=600),
    "app-token-videosdk-permissions-guest.json": replace(VIDEOSDK, user_id="student-8"),
    "app-token-videosdk-permissions-participant.json": replace(VIDEOSDK, role="participant", user_id="student-8"),
    "app-token-videosdk-permissions-moderator.json": replace(VIDEOSDK, role="moderator", user_id="teacher-2"),
    "app-token-videosdk-without-user-id.json": replace(VIDEOSDK, role="participant", user_id=RANDOM),
    "app-token-videosdk-jwt.json": replace(VIDEOSDK, role="moderator", user_id="teacher-1"),
    "app-token-videosdk-iam.json": replace(VIDEOSDK, role="participant", user_id="student-9"),
    "management-token-videosdk.json": MANAGEMENT,
    "management-token-videosdk-expires-in.json": replace(MANAGEMENT, expires_in=300),
    "app-token-agora-publisher.json": AGORA,
    "app-token-agora-subscriber.json": replace(AGORA, role="subscriber"),
    "app-token-agora-account.json": replace(AGORA, user_id="student-7"),
    "app-token-agora-leading-zeros.json": replace(AGORA, user_id="00042"),
    "app-token-agora-largest-uid.json": replace(AGORA, role="subscriber", user_id="4294967295"),
    "app-token-agora-bundle.json": replace(AGORA, user_id="student-7", services=("rtc", "rtm", "chat")),
    "app-token-agora-rtm.json": replace(AGORA, role="subscriber", user_id="student-7", services=("rtm",)),
    "app-token-agora-chat.json": replace(AGORA, role="subscriber", user_id="student-7", services=("chat",)),
    "app-token-agora-a-day.json": replace(AGORA, expires_in=86400),
    "app-token-agora-jwt.json": replace(AGORA, user_id="teacher-1"),
    "app-token-agora-iam.json": replace(AGORA, role="subscriber"),
    "management-token-agora.json": MANAGEMENT,
    "management-token-agora-expires-in.json": replace(MANAGEMENT, expires_in=300),
    "app-token-whiteboard-admin.json": replace(WHITEBOARD, role="admin"),
    "app-token-whiteboard-writer.json": WHITEBOARD,
    "app-token-whiteboard-reader.json": replace(WHITEBOARD, role="reader"),
    "app-token-whiteboard-dashes.json": replace(
        WHITEBOARD, room_id="9f1c2b3a-4d5e-46f7-8091-a2b3c4d5e6f7", expires_in=600
    ),
    "app-token-whiteboard-jwt.json": WHITEBOARD,
    "app-token-whiteboard-iam.json": replace(WHITEBOARD, role="reader"),
    "management-token-whiteboard.json": replace(MANAGEMENT, role="admin"),
    "management-token-whiteboard-reader.json": replace(MANAGEMENT, role="reader", expires_in=300),
}

FAULTY_FIELDS = {
    "api-token-role-missing.json": ["role"],
    "api-token-room-id-null.json": ["room_id"],
    "app-token-room-id-missing.json": ["room_id"],
    "app-token-wrong-types.json": ["role", "room_id", "user_id"],
    "app-token-unknown-field.json": ["type"],
    "app-token-expires-in-too-long.json": ["expires_in"],
    "app-token-lone-surrogate.json": ["user_id"],
    "management-token-room-id.json": ["room_id"],
    "app-token-videosdk-room-id-missing.json": ["room_id"],
    "app-token-videosdk-role-missing.json": ["role"],
    "app-token-videosdk-permissions-empty.json": ["permissions"],
    "app-token-videosdk-role-and-permissions.json": ["role"],
    "app-token-videosdk-ask-join-beside-allow-join.json": ["permissions"],
    "app-token-videosdk-allow-mod-alone.json": ["permissions"],
    "app-token-videosdk-unknown-role.json": ["role"],
    "management-token-videosdk-permissions.json": ["permissions"],
    "app-token-agora-user-id-missing.json": ["user_id"],
    "app-token-agora-user-id-empty.json": ["user_id"],
    "app-token-agora-uid-zero.json": ["user_id"],
    "app-token-agora-uid-zeros.json": ["user_id"],
    "app-token-agora-uid-too-large.json": ["user_id"],
    "app-token-agora-uid-negative.json": ["user_id"],
    "app-token-agora-uid-number.json": ["user_id"],
    "app-token-agora-account-too-long-for-rtm.json": ["user_id"],
    "app-token-agora-channel-too-long.json": ["room_id"],
    "app-token-agora-channel-characters.json": ["room_id"],
    "app-token-agora-unknown-role.json": ["role"],
    "app-token-agora-services-empty.json": ["services"],
    "app-token-agora-services-unknown.json": ["services"],
    "app-token-agora-services-repeated.json": ["services"],
    "app-token-agora-expires-in-too-long.json": ["expires_in"],
    "management-token-agora-services.json": ["services"],
    "app-token-whiteboard-user-id.json": ["user_id"],
    "app-token-whiteboard-jwt-user-id.json": ["user_id"],
    "app-token-whiteboard-room-name.json": ["room_id"],
    "app-token-whiteboard-room-upper-case.json": ["room_id"],
    "app-token-whiteboard-role-missing.json": ["role"],
    "app-token-whiteboard-role-number.json": ["role"],
    "management-token-whiteboard-unknown-role.json": ["role"],
    "management-token-whiteboard-room-id.json": ["room_id"],
}

ALLOW = {
    "api-token-get.json": "POST",
    "app-token-get.json": "POST",
    "management-token-get.json": "POST",
    "health-head.json": "GET",
}

PRINCIPALS = {
    "arn:aws:sts::111122223333:assumed-role/rooms-backend/i-0abc1234def567890": (
        "arn:aws:iam::111122223333:role/rooms-backend"
    ),
    "arn:aws:iam::111122223333:user/rooms-backend": "arn:aws:iam::111122223333:user/rooms-backend",
}


def _platform(event: Any) -> str:
    """Return the platform in the path, 100ms by default."""
    return str(event.get("pathParameters", {}).get("platform", "100ms"))


@dataclass(frozen=True)
class Exchange:
    """An event, its answer and its output."""

    event: Any
    answer: Answer
    environment: str
    written: str
    secrets_read: list[str]

    @property
    def platform(self) -> str:
        return _platform(self.event)

    @property
    def kind(self) -> str:
        return "management" if self.event["routeKey"].endswith("/management-token") else "app"


Exchanges = Callable[[Case], Exchange]


@pytest.fixture(scope="module")
def exchange(aws_for_all: Aws) -> Exchanges:
    """Send a case's event to a new stack of all platforms, once for all tests of the result.

    Of the secrets, only that of the event's own platform exists."""

    @functools.cache
    def send(case: Case) -> Exchange:
        with pytest.MonkeyPatch.context() as monkeypatch:
            aws_for_all.lead_here(monkeypatch)
            aws_for_all.forget()
            event = load_event(case.file)
            others = dict.fromkeys(set(EVERY_PLATFORM) - {_platform(event)})
            deployed = Deployed.on(aws_for_all, case.access, platforms=EVERY_PLATFORM, secrets=others)
            answer = deployed.answer(event)
            secrets = [call.asked["SecretId"] for call in aws_for_all.calls if call.operation == GET_SECRET]
            return Exchange(event, answer, deployed.environment, deployed.stream.getvalue(), secrets)

    return send


# --- documents and files ---------------------------------------------------------------------------------------------


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    assert {case.file for case in CASES} == {path.name for path in EVENTS.glob("*.json")}
    assert len({(case.file, case.access) for case in CASES}) == len(CASES), "two rows for one file and access"


def test_every_token_and_every_refusal_is_spelt_out_here() -> None:
    minted = {case.file for case in CASES if case.status == 200 and case.file != "health.json"}

    assert minted == TOKENS.keys()
    assert FAULTY_FIELDS.keys() == {case.file for case in CASES if case.code == "invalid-request"}
    assert ALLOW.keys() == {case.file for case in CASES if case.status == 405}


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.name)
def test_a_file_is_an_event_as_api_gateway_delivers_it(path: Any) -> None:
    event = load_event(path.name)
    context, headers = event["requestContext"], event["headers"]

    assert event.keys() >= {"version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext"}
    assert event["version"] == "2.0"
    assert all(name == name.lower() and isinstance(value, str) for name, value in headers.items())
    assert context["routeKey"] == event["routeKey"]
    assert context["http"]["path"] == event["rawPath"]
    assert context["http"]["userAgent"] == headers["user-agent"]
    assert context["stage"] == "$default"
    method, _, template = event["routeKey"].partition(" ")
    assert method in ("$default", context["http"]["method"])
    assert event.get("pathParameters", {}).keys() == set(re.findall(r"\{(\w+)\+?\}", template))
    if template.startswith("/v1/"):
        assert event["rawPath"] == template.format(**event.get("pathParameters", {}))
    assert event["isBase64Encoded"] == ("body" in event and not _delivered_as_text(headers.get("content-type")))
    if "body" in event:
        body = base64.b64decode(event["body"], validate=True) if event["isBase64Encoded"] else event["body"].encode()
        assert headers["content-length"] == str(len(body))


def _delivered_as_text(content_type: str | None) -> bool:
    return (content_type or "").split(";")[0] in ("text/plain", "application/json")


def test_no_two_files_have_the_same_request_id() -> None:
    ids = [load_event(path.name)["requestContext"]["requestId"] for path in EVENTS.glob("*.json")]

    assert len(set(ids)) == len(ids)


# --- the answers ---------------------------------------------------------------------------------------------------


@pytest.mark.threat("C6", "I2")
@every_case
def test_an_event_gets_the_response_of_its_row(exchange: Exchanges, case: Case) -> None:
    sent = exchange(case)
    event, answer = sent.event, sent.answer

    assert (answer.status, answer.code) == (case.status, case.code)
    assert answer.headers["x-request-id"] == event["requestContext"]["requestId"]
    assert answer.headers.get("allow") == ALLOW.get(case.file)
    assert not [name for name in answer.headers if name == "vary" or name.startswith("access-control-")]
    if case.code == "invalid-request":
        assert sorted(answer.faulty_fields) == FAULTY_FIELDS[case.file]
    if case.code == "malformed-body":
        assert answer.faulty_fields == ["body"]
    # A schema cannot exclude lone surrogates.
    if event["rawPath"].startswith("/v1/") and "health" not in case.file and "surrogate" not in case.file:
        check_exchange(event, answer, signed_in=case.access == "jwt")


@pytest.mark.threat("F6", "F10")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.file in TOKENS and case.status == 200], ids=lambda c: f"{c.file}-{c.access}"
)
def test_a_token_has_exactly_the_requested_claims(exchange: Exchanges, case: Case) -> None:
    sent, says = exchange(case), TOKENS[case.file]
    answer, token = sent.answer, sent.answer.token
    assert token

    user_id = answer.body.get("user_id")
    if says.user_id is RANDOM:
        assert UUID(user_id).version == 4
    else:
        assert user_id == says.user_id
    asked: dict[str, Any] = {"room_id": says.room_id, "role": says.role, "user_id": user_id, "services": says.services}
    assert_same(read(sent.platform, token).says, due(sent.platform, sent.kind, expires_in=says.expires_in, **asked))
    body: dict[str, Any] = {"expires_in": says.expires_in, "expires_at": NOW + says.expires_in}
    if user_id is not None:
        body["user_id"] = user_id
    body |= beside_the_token(sent.platform, sent.kind, says.expires_in)
    sentence = "token generated successfully"
    shape = {"success": True, "status": 200, "msg": sentence, "api_version": __version__, "token": token}
    assert answer.body == shape | body


@every_case
def test_a_secret_is_read_for_a_token_alone_and_it_is_its_platforms(exchange: Exchanges, case: Case) -> None:
    sent = exchange(case)

    assert sent.secrets_read == ([f"roomkey/{sent.environment}/{sent.platform}"] if sent.answer.token else [])


@pytest.mark.threat("I1")
@every_case
def test_each_request_to_a_minting_route_leaves_one_audit_line(exchange: Exchanges, case: Case) -> None:
    """Compare the line with this request and its response. tests/unit/test_audit.py checks the fields."""
    sent = exchange(case)
    lines = [json.loads(line) for line in sent.written.splitlines()]

    if case.status in (204, 404, 405) or case.file == "health.json":
        assert lines == []
        return
    (line,) = lines
    event, http = sent.event, sent.event["requestContext"]["http"]
    assert sent.written.endswith("}\n")
    assert datetime.fromisoformat(line["ts"]).timestamp() == NOW + 0.5
    assert (line["environment"], line["cold_start"], line["duration_ms"]) == (sent.environment, True, 0.0)
    assert line["request_id"] == event["requestContext"]["requestId"]
    assert line["lambda_request_id"] == "8f507cfc-0000-4697-b07a-ac58fc914c95"
    assert (line["route"], line["platform"], line["kind"]) == (event["routeKey"], sent.platform, sent.kind)
    assert (line["source_ip"], line["user_agent"]) == (http["sourceIp"], http["userAgent"])
    assert (line["status"], line.get("reason")) == (case.status, case.code)
    assert line.get("caller") == _caller(event, case)
    if case.status == 200:
        _check_the_token(line, sent, TOKENS[case.file])
    else:
        assert line["decision"] == "denied"
        assert line.keys().isdisjoint({"calls", "kill_switch", "policy", "credentials", "token"})
        assert ("requested" in line) == (case.status == 403 and case.file != "app-token-jwt-without-sub.json")


def _caller(event: Any, case: Case) -> dict[str, Any] | None:
    if case.status == 401:
        return None
    authorizer = event["requestContext"].get("authorizer", {})
    access = "iam" if case.file.startswith("management") else case.access
    if access == "iam":
        return {"access": access, "principal": PRINCIPALS[authorizer["iam"]["userArn"]]}
    claims = authorizer["jwt"]["claims"] if access == "jwt" else {}
    names = {"issuer": "iss", "user_id": "sub"}
    return {"access": access} | {name: claims[claim] for name, claim in names.items() if claim in claims}


def _check_the_token(line: dict[str, Any], sent: Exchange, says: Says) -> None:
    answer, token = sent.answer, sent.answer.token
    assert token
    assert line["decision"] == "minted"
    assert line["calls"] == {"ssm": 1, "secretsmanager": 1}
    assert line["kill_switch"] == {"age_s": 0.0}
    rule = "any backend manages" if line["kind"] == "management" else "anyone joins anything"
    assert line["policy"] == {"mode": "enforce", "allowed": True, "rule": rule}
    assert line["credentials"] == {"version_id": str(UUID(line["credentials"]["version_id"])), "age_s": 0.0}
    requested = {"room_id": says.room_id, "role": says.role, "services": list(says.services)}
    assert line.get("requested", {}) == {name: value for name, value in requested.items() if value}
    written = {
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "id": read(sent.platform, token).token_id,
        "user_id": answer.body.get("user_id"),
        "expires_at": answer.body["expires_at"],
    }
    assert line["token"] == {name: value for name, value in written.items() if value is not None}


@pytest.mark.parametrize("platforms", [("100ms",), EVERY_PLATFORM], ids=["100ms", "all"])
@pytest.mark.parametrize("access", MODES)
def test_health_shows_version_and_platforms(deploy: Deploy, access: str, platforms: tuple[str, ...]) -> None:
    answer = deploy(access, platforms=platforms).answer(load_event("health.json"))

    assert answer.body == {
        "success": True,
        "status": 200,
        "version": __version__,
        "platforms": list(platforms),
        "minting": "on",
    }


def test_the_handler_that_lambda_calls_answers_the_same(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run `roomkey.handler`, built from the function's own environment and with the machine's clock."""
    deployed = deploy()
    monkeypatch.setenv("ENVIRONMENT", deployed.environment)
    monkeypatch.setenv("APP_TOKEN_ACCESS", "open")
    monkeypatch.setenv("PLATFORMS", "100ms")
    from roomkey import handler  # noqa: PLC0415

    handler._api.cache_clear()
    try:
        answer = Answer.checked(handler.handler(load_event("api-token-web.json"), None))
    finally:
        handler._api.cache_clear()

    assert answer.token
    assert claims_of(answer.token)["user_id"] == "student-7"
    assert '"log_type":"audit"' in capsys.readouterr().out


@pytest.mark.threat("H7")
def test_user_ids_are_omitted_from_the_audit_line_on_request(deploy: Deploy) -> None:
    deployed = deploy("jwt", AUDIT_USER_IDS="omit")

    answer = deployed.answer(load_event("app-token-jwt-same-user.json"))

    (line,) = deployed.audit_lines()
    assert answer.status == 200
    assert "teacher-1" not in json.dumps(line)
