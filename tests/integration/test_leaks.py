"""No secret and no unrequested input of a caller appears in an answer or a log.

Every event and every failure goes through the real API at the most verbose log level, with unique values, and a search
of all output and all answers looks for them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from roomkey.audit import AuditTrail
from support.aws.moto_proxy import CREDENTIALS, SECRETS_MANAGER, SSM, Failure
from support.events import EVENTS, LambdaContext, load_event
from support.stack import (
    ACCESS_KEY,
    EVERY_PLATFORM,
    SECRET,
    SECRET_TEXT,
    SECRETS,
    SIGNING_KEYS,
    Answer,
    Deploy,
    Deployed,
)

MODES = ("open", "jwt", "iam")
NAMES = sorted(path.name for path in EVENTS.glob("*.json"))
MARKER = "MARKER-OF-WHAT-A-CALLER-SENT"
ARN_ACCOUNT = "999988887777"
MESSAGE = (
    f"User: arn:aws:sts::{ARN_ACCOUNT}:assumed-role/roomkey-function/roomkey is not authorized to perform: "
    f"secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-central-1:{ARN_ACCOUNT}:secret:roomkey "
    f"SENTINEL-OF-A-DEPENDENCY"
)
MOTO_ACCOUNT, CALLERS_ACCOUNT = "123456789012", "111122223333"

NOWHERE = (
    *(*SIGNING_KEYS, CREDENTIALS["AWS_SECRET_ACCESS_KEY"], MARKER, "SENTINEL", ARN_ACCOUNT, MOTO_ACCOUNT),
    *("arn:aws:secretsmanager", "arn:aws:ssm", "arn:aws:sts", "AWS4-HMAC-SHA256", "Bearer ey"),
    *('app_secret":', '"secret":', 'app_certificate":', 'secret_key":'),
)
A_TOKEN = re.compile(
    r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}|007eJ[A-Za-z0-9+/]{10,}|NETLESS[A-Z]+_[A-Za-z0-9_-]{10,}"
)


def _sent_secrets() -> set[str]:
    """The private values in the events' headers: tokens, signatures, session tokens."""
    found: set[str] = set()
    for name in NAMES:
        headers = load_event(name)["headers"]
        for header in ("authorization", "x-amz-security-token"):
            if header in headers:
                found |= {word for word in re.split(r"[ ,=.]", headers[header]) if len(word) > 20}
    return found


SENT = _sent_secrets()


@dataclass
class Observed:
    """The output: the answers, and every printed line."""

    answers: list[Answer]
    out: str
    err: str

    @property
    def printed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [line for line in self.printed if line.get("log_type") == "audit"]

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [line for line in self.printed if "level" in line]

    def assert_clean(self) -> None:
        """Check that no private value appears. Only the audit line may contain the caller's principal."""
        assert self.err == ""
        for line in self.printed:
            assert isinstance(line, dict), "a line that is no JSON object"
        rest = [
            line | {"caller": line["caller"] | {"principal": None}} if line.get("caller") else line
            for line in self.printed
        ]
        answered = [
            json.dumps(answer.body | {"token": "..."} if answer.token else answer.body) + json.dumps(answer.headers)
            for answer in self.answers
        ]
        for text in (self.out, *answered):
            assert not [sentinel for sentinel in NOWHERE if sentinel in text]
            assert not [word for word in SENT if word in text]
            assert not A_TOKEN.search(text)
        for text in (json.dumps(rest), *answered):
            assert CALLERS_ACCOUNT not in text
            assert "arn:aws" not in text


def _to_stdout(deployed: Deployed) -> AuditTrail:
    return AuditTrail(deployed.environment, user_ids=True)


@pytest.fixture
def talkative(deploy: Deploy) -> Deploy:
    """Stacks of all platforms with the most verbose settings, which print to standard output as in Lambda."""

    def deploy_talkative(access: str = "open", **options: Any) -> Deployed:
        talk: dict[str, Any] = {"LOG_LEVEL": "DEBUG", "ALLOWED_ORIGINS": "https://app.example.com"}
        deployed = deploy(access, platforms=EVERY_PLATFORM, **talk, **options)
        return deployed.with_parts(audit=_to_stdout(deployed))

    return deploy_talkative


def _ask(deployed: Deployed, event: Any) -> Answer:
    return Answer.checked(deployed.api.answer(event, LambdaContext()))


def _observed(capfd: pytest.CaptureFixture[str], *answers: Answer) -> Observed:
    captured = capfd.readouterr()
    return Observed(list(answers), captured.out, captured.err)


# --- the sentinels themselves --------------------------------------------------------------------------------------


def test_the_search_finds_its_marker() -> None:
    """A sentinel that is misspelt here, or that no event sends, would prove nothing."""
    assert len(SENT) >= 10
    assert SECRET in SECRET_TEXT
    token = A_TOKEN.search(load_event("app-token-jwt.json")["headers"]["authorization"])
    assert token
    for leak in (*SIGNING_KEYS, MARKER, token.group(), CALLERS_ACCOUNT, *SENT):
        with pytest.raises(AssertionError):
            Observed([], json.dumps({"level": "INFO", "message": f"oh: {leak}"}) + "\n", "").assert_clean()
    Observed([], json.dumps({"level": "INFO", "message": "nothing"}) + "\n", "").assert_clean()


# --- every event ---------------------------------------------------------------------------------------------------


@pytest.mark.threat("H1", "I7")
@pytest.mark.parametrize("flag", ["false", "true", None], ids=["on", "off", "unknown"])
@pytest.mark.parametrize("access", MODES)
def test_no_event_makes_anything_secret_come_out(
    talkative: Deploy,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    access: str,
    flag: str | None,
) -> None:
    deployed = talkative(access, flag=flag)

    answers = [_ask(deployed, load_event(name)) for name in NAMES]

    observed = _observed(capfd, *answers)
    observed.assert_clean()
    assert len(observed.audit) == len([answer for answer in answers if answer.status not in (204, 404, 405)]) - 1, (
        "health"
    )
    assert {record.name for record in caplog.records} <= {"roomkey"}, "Lambda would print these too"
    tokens = [answer.token for answer in answers if answer.token]
    assert bool(tokens) == (flag == "false")
    # VideoSDK's tokens have no id: two with equal claims within a second are equal.
    told_apart = [
        answer.token for answer, name in zip(answers, NAMES, strict=True) if answer.token and "videosdk" not in name
    ]
    assert len(set(told_apart)) == len(told_apart)
    assert [line["message"] for line in observed.logged] == (
        [] if flag else ["kill-switch-unavailable"] * sum(answer.status == 503 for answer in answers)
    )


@pytest.mark.threat("H1", "I7")
@pytest.mark.parametrize(
    "name",
    [
        *("api-token-web.json", "app-token-videosdk-guest.json", "app-token-agora-account.json"),
        *("app-token-whiteboard-writer.json", "management-token-iam-role.json", "management-token-videosdk.json"),
        *("management-token-agora.json", "management-token-whiteboard.json"),
    ],
)
def test_a_token_comes_out_once_in_its_own_answer_and_in_no_other_place(
    talkative: Deploy, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    deployed = talkative()

    answer = _ask(deployed, load_event(name))

    observed = _observed(capfd, answer)
    assert answer.token
    assert A_TOKEN.match(answer.token), "a token that the search would not find"
    assert answer.text.count(answer.token) == 1
    assert answer.token[-40:] not in observed.out, "the signature, or most of it"
    assert answer.token not in json.dumps(answer.headers)


@pytest.mark.threat("H8")
def test_metrics_and_logs_name_no_user_room_or_token(talkative: Deploy, capfd: pytest.CaptureFixture[str]) -> None:
    """Only the audit line has it. Dimensions are words of closed lists, or every user would be a metric."""
    deployed = talkative("jwt")

    answers = [_ask(deployed, load_event(name)) for name in NAMES]

    observed = _observed(capfd, *answers)
    metrics = [line for line in observed.printed if "_aws" in line]
    assert len(metrics) == len(observed.audit)
    for line in metrics:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "Roomkey"
        assert directive["Dimensions"] == [
            ["environment"],
            ["environment", "platform", "kind"],
            ["environment", "code"],
        ]
    others = json.dumps([line for line in observed.printed if line.get("log_type") != "audit"])
    keys = [value for secret in SECRETS.values() for value in secret.values()]
    assert ACCESS_KEY in keys
    for word in ("student-7", "teacher-1", "633fcdd84208780bf665346a", "algebra-2", "guest", "203.0.113.7", *keys):
        assert word not in others


# --- unrequested input of a caller -----------------------------------------------------------------------------------

STRAY = {
    "a stray value": json.dumps({"room_id": "r", "role": "guest", "stray": MARKER}),
    "a stray name": json.dumps({"room_id": "r", "role": "guest", f"{MARKER} ": 1}),
    "a nested value": json.dumps({"room_id": "r", "role": "guest", "stray": [{"deep": {"er": MARKER}}]}),
    "a room of the wrong type": json.dumps({"room_id": [MARKER], "role": "guest"}),
    "an invalid room": json.dumps({"room_id": MARKER + "\n", "role": "guest"}),
    "an invalid role": json.dumps({"room_id": "r", "role": " " + MARKER}),
    "an invalid user": json.dumps({"room_id": "r", "role": "guest", "user_id": MARKER + "\ud800"}),
    "an invalid lifetime": json.dumps({"room_id": "r", "role": "guest", "expires_in": MARKER}),
    "a document that ends early": '{"room_id": "' + MARKER,
    "a repeated name": '{"room_id":"r","room_id":"' + MARKER + '"}',
    "two documents": '{"room_id":"r","role":"guest"} "' + MARKER + '"',
    "no JSON": MARKER,
    "a form": f"room_id={MARKER}&room_id=r",
}


@pytest.mark.threat("H1", "I7")
@pytest.mark.parametrize("body", STRAY.values(), ids=STRAY)
def test_additional_input_of_a_caller_appears_nowhere(
    talkative: Deploy, capfd: pytest.CaptureFixture[str], body: str
) -> None:
    deployed, answers = talkative(), []
    for name in ("api-token-web.json", "api-token-json.json", "app-token-open.json", "management-token-iam-user.json"):
        event = load_event(name)
        event["body"] = body
        event["headers"] |= {"x-secret": MARKER, "cookie": MARKER, "content-type": "application/json"}
        event["queryStringParameters"], event["rawQueryString"] = {"token": MARKER}, f"token={MARKER}"
        event["cookies"] = [MARKER]
        answers.append(_ask(deployed, event))

    _observed(capfd, *answers).assert_clean()


@pytest.mark.threat("H1")
def test_claims_beside_those_that_are_asked_for_come_out_nowhere(
    talkative: Deploy, capfd: pytest.CaptureFixture[str]
) -> None:
    event = load_event("app-token-jwt.json")
    event["requestContext"]["authorizer"]["jwt"]["claims"] |= {
        "email": MARKER,
        "nonce": MARKER,
        "groups": f"[{MARKER}]",
    }
    deployed = talkative("jwt")

    answer = _ask(deployed, event)

    observed = _observed(capfd, answer)
    observed.assert_clean()
    assert answer.token


@pytest.mark.threat("H5")
def test_no_line_can_be_forged(talkative: Deploy, capfd: pytest.CaptureFixture[str]) -> None:
    """A caller's values stay inside one line of ASCII in the audit log."""
    forged = 'x"}\n{"log_type": "audit", "decision": "minted"}\r\u2028\u2029\x1b[2J\x85'
    deployed = talkative()
    event = load_event("app-token-unknown-field.json")
    event["requestContext"]["http"] |= {"userAgent": forged, "sourceIp": forged}
    event["requestContext"]["requestId"] = forged
    event["headers"] |= {"x-amzn-trace-id": forged}

    answers = [_ask(deployed, event)]
    asked = load_event("app-token-open.json")
    asked["body"] = json.dumps({"room_id": 'Zoë \u200d/"}{', "role": '","role":"host', "user_id": "a}\\n{b"})
    answers.append(_ask(deployed, asked))

    observed = _observed(capfd, *answers)
    assert observed.out.isascii()
    assert len(observed.audit) == 2
    assert [line["decision"] for line in observed.audit] == ["denied", "minted"]
    assert observed.audit[1]["requested"]["role"] == '","role":"host'


# --- failures --------------------------------------------------------------------------------------------------------

FAILURES = {
    "denied": Failure.error(400, "AccessDeniedException", MESSAGE),
    "throttled": Failure.error(400, "ThrottlingException", MESSAGE),
    "down": Failure.error(500, "InternalServerError", MESSAGE),
    "not found": Failure.error(400, "ResourceNotFoundException", MESSAGE),
    "undecryptable": Failure.error(400, "DecryptionFailure", MESSAGE),
    "unknown code": Failure.error(400, "SomethingNew" + ARN_ACCOUNT, MESSAGE),
    "a page": Failure(200, f"<html>{MESSAGE}</html>"),
    "a page with an error": Failure(502, f"<html>{MESSAGE}</html>"),
    "nothing": Failure(200, ""),
    "an empty object": Failure(200, "{}"),
    "half an answer": Failure(200, '{"ARN": "' + MESSAGE),
    "another answer": Failure(200, json.dumps({"ARN": MESSAGE, "Name": MESSAGE, "SecretString": SECRET_TEXT})),
    "a list": Failure(200, json.dumps([MESSAGE])),
}


@pytest.mark.threat("A6", "H3", "I7")
@pytest.mark.parametrize("service", [SSM, SECRETS_MANAGER])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_the_words_of_a_dependency_come_out_nowhere(
    talkative: Deploy, capfd: pytest.CaptureFixture[str], service: str, failure: Failure
) -> None:
    deployed = talkative("iam")
    deployed.aws.fail(service, failure)

    answers = [
        _ask(deployed, load_event(name))
        for name in ("app-token-iam-role.json", "management-token-iam-user.json", "health.json")
    ]

    observed = _observed(capfd, *answers)
    observed.assert_clean()
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert len(observed.audit) == len(observed.logged) == 2
    assert observed.logged[0]["dependency"] in ("ssm", "secretsmanager")


PEM = "-----BEGIN PRIVATE KEY-----\nSENTINELc2VudGluZWwtc2VudGluZWwtc2VudGluZWw=\n-----END PRIVATE KEY-----\n"
UNUSABLE = {
    "cut off": SECRET_TEXT[:-1],
    "no JSON": SECRET,
    "a text": json.dumps(SECRET),
    "a list": json.dumps([SECRET]),
    "a repeated name": SECRET_TEXT[:-1] + f', "app_secret": "{SECRET}"}}',
    "too short": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": "SENTINEL-too-short"}),
    "with a line break": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": SECRET + "\n"}),
    "under another name": json.dumps({"app_access_key": ACCESS_KEY, "secret": SECRET}),
    "a name that is a secret": json.dumps({"app_access_key": ACCESS_KEY, SECRET: "x"}),
    "a number": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": 5}),
    "swapped": json.dumps({"app_access_key": SECRET, "app_secret": ACCESS_KEY}),
    "twice the same": json.dumps({"app_access_key": SECRET, "app_secret": SECRET}),
    "a placeholder": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": "<SENTINEL-put-your-own-secret-here>"}),
    "a key of another kind": json.dumps({"app_access_key": ACCESS_KEY, "app_secret": PEM}),
}


@pytest.mark.threat("A10", "H3", "I7")
@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_an_invalid_secret_is_reported_by_field_and_appears_nowhere(
    talkative: Deploy, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    deployed = talkative(secret=text)

    answer = _ask(deployed, load_event("app-token-open.json"))

    observed = _observed(capfd, answer)
    observed.assert_clean()
    assert (answer.status, answer.code) == (503, "credentials-invalid")
    (line,) = observed.logged
    assert line["message"] == "credentials-invalid"
    assert line["problems"]
    assert all(problem.startswith("100ms.") for problem in line["problems"])


class _Broken:
    """A part whose methods all raise with secrets in their arguments."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def broken(*arguments: object, **_: object) -> Any:
            raise RuntimeError(MESSAGE, SECRET_TEXT, arguments)

        return broken


@pytest.mark.threat("H3")
@pytest.mark.parametrize("part", ["operator_config", "credentials", "randomness", "platforms"])
def test_the_words_of_an_exception_come_out_nowhere(
    talkative: Deploy, capfd: pytest.CaptureFixture[str], part: str
) -> None:
    deployed = talkative().with_parts(**{part: _Broken()})

    answer = _ask(deployed, load_event("app-token-open.json"))

    observed = _observed(capfd, answer)
    observed.assert_clean()
    assert (answer.status, answer.code) == (500, "internal-error")
    assert "RuntimeError" in [line.get("error") for line in observed.logged]


@pytest.mark.threat("H3")
def test_nothing_shows_a_secret_when_it_is_printed(talkative: Deploy, capfd: pytest.CaptureFixture[str]) -> None:
    """`repr` puts values into logs, debuggers and tracebacks."""
    deployed = talkative("jwt")
    _ask(deployed, load_event("app-token-jwt.json"))
    capfd.readouterr()
    dependencies = deployed.dependencies
    seen: list[Any] = []

    class Watching:
        def write(self, record: Any, **more: Any) -> None:
            seen.append(record)
            dependencies.audit.write(record, **more)

    answer = _ask(deployed.with_parts(audit=Watching()), load_event("app-token-jwt.json"))
    (record,) = seen

    shown = repr(record) + repr(dependencies) + repr(record.minted) + repr(record.credentials)
    assert answer.token
    for secret in (SECRET, answer.token, answer.token.split(".")[2]):
        assert secret not in shown
