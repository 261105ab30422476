"""An environment that was frozen or copied uses no old value and repeats no random one.

Lambda freezes environments between and during requests. SnapStart makes many out of one that has never answered a
request. These tests use real processes, stopped and forked, where that matters, and one process with a fake clock
otherwise. `test_model` covers the other effects of time."""

import base64
import contextlib
import http.client
import io
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

import pytest

from roomkey.api import Api
from support.audit_lines import checked
from support.aws import faulty as faults
from support.aws.faulty import Behaviour, Exchange, FaultyAws, Operation, Port
from support.aws.virtual import ENVIRON, VirtualAws
from support.clocks import FakeClock
from support.events import LambdaContext, token_event
from support.stack import OPEN_POLICY, SECRET_TEXTS, SECRETS, Answer, build_dependencies, claims_of

TESTS = Path(__file__).parents[1]
FUNCTIONS = TESTS.parent / "functions"
SSM, SM = Operation.GET_PARAMETERS, Operation.GET_SECRET_VALUE
FLAG, POLICY, SECRET = "/roomkey/dev/disabled", "/roomkey/dev/policy", "roomkey/dev/100ms"
BLOCKED = "/roomkey/dev/blocked"
OTHER_KEY = "Sentinel2Jd8Wk5Rm1Qx7Zt4Pv9Nb6Lc3Gh0Fs"
OTHER_SECRET = json.dumps({**SECRETS["100ms"], "app_secret": OTHER_KEY})

ASKED: Mapping[str, Mapping[str, str]] = {
    "100ms": {"room_id": "physics", "role": "guest"},
    "videosdk": {"room_id": "physics", "role": "guest"},
    "agora": {"room_id": "physics", "role": "publisher", "user_id": "alice"},
    "agora-whiteboard": {"room_id": "0123456789abcdef0123456789abcdef", "role": "writer"},
}
LAMBDA = {
    "ENVIRONMENT": "dev",
    "APP_TOKEN_ACCESS": "open",
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AWS_LAMBDA_FUNCTION_NAME": "roomkey-dev",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_REGION": faults.REGION,
    "AWS_DEFAULT_REGION": faults.REGION,
    "LAMBDA_TASK_ROOT": "/var/task",
    "TZ": ":UTC",
}
"""The variables that Lambda sets, besides the role's credentials."""


def event(platform: str = "100ms", kind: str = "app") -> dict[str, Any]:
    """Return a request for a token."""
    body = ASKED[platform] if kind == "app" else {}
    return token_event(platform, kind, body, authorizer={"iam": {"userArn": "arn:aws:iam::999999999999:role/backend"}})


def set_up(aws: faults.AwsState) -> None:
    """Turn minting on, with valid credentials for every platform."""
    aws.put_parameter(FLAG, "false")
    aws.put_parameter(POLICY, OPEN_POLICY)
    aws.put_parameter(BLOCKED, "{}")
    for platform, text in SECRET_TEXTS.items():
        aws.put_secret(f"roomkey/dev/{platform}", text)


@contextlib.contextmanager
def working_stand_in() -> Iterator[FaultyAws]:
    with FaultyAws() as stand_in:
        set_up(stand_in)
        yield stand_in


@pytest.fixture
def stand_in() -> Iterator[FaultyAws]:
    with working_stand_in() as stand_in:
        yield stand_in


# --- a process as an environment -------------------------------------------------------------------------------------

_ENVIRONMENT = """
import json, logging, os, sys, time
replies, sys.stdout = sys.stdout, sys.stderr
logging.getLogger().addHandler(logging.StreamHandler())  # As Lambda's runtime does: all that warns, is logged.
sys.path.insert(0, sys.argv[1])
import roomkey.handler

sys.path.append(sys.argv[2])
from support.events import LambdaContext

print(json.dumps("ready"), file=replies, flush=True)
for line in sys.stdin:
    command = json.loads(line)
    os.environ.update(command["environ"])
    begun = time.monotonic()
    response = roomkey.handler.handler(command["event"], LambdaContext(command["remaining_ms"]))
    print(json.dumps([response, time.monotonic() - begun]), file=replies, flush=True)
"""


class Reply(NamedTuple):
    """An answer, and its duration in seconds by the process's own clock."""

    answer: Answer
    seconds: float

    @property
    def problem(self) -> tuple[int, str | None, str | None]:
        return self.answer.status, self.answer.code, self.answer.headers.get("retry-after")

    def signed_with(self, key: str) -> bool:
        assert self.answer.token is not None, self.problem
        return bool(claims_of(self.answer.token, key))


class Environment:
    """The function in another process, imported as Lambda imports it, with the AWS of `environ`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._printed = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed when the process ends
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _ENVIRONMENT, str(FUNCTIONS), str(TESTS)],
            env={**LAMBDA, "PLATFORMS": ",".join(ASKED), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._read(60) == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._printed.close()

    def ask(self, environ: Mapping[str, str] = {}, *, remaining_ms: int = 10_000, frozen: bool = False) -> Reply:
        """Request a token. First set `environ` in the process: after a snapshot, it has another environment.

        The answer must come within three seconds, or less if Lambda has less left, unless the process is `frozen`."""
        assert self._process.stdin is not None
        command = {"event": event(), "environ": dict(environ), "remaining_ms": remaining_ms}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        response, seconds = self._read(30)
        reply = Reply(Answer.checked(response), seconds)
        audit = [line for line in self.printed.splitlines() if line.startswith('{"log_type":"audit"')]
        assert checked(audit[-1])["status"] == reply.answer.status
        assert reply.seconds < min(3, remaining_ms / 1000) or frozen
        return reply

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @property
    def printed(self) -> str:
        """Return its output: audit lines, log, metrics and the other streams."""
        return Path(self._printed.name).read_text()

    def _read(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        assert line, f"nothing came from the process, which printed {self.printed}"
        return json.loads(line)


# --- import --------------------------------------------------------------------------------------------------------

_IMPORT = """
import sys

FORBIDDEN = {
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"),
    *("socket.sendto", "socket.sendmsg", "urllib.Request", "http.client.connect", "subprocess.Popen", "os.system"),
}

def forbid(happens, arguments):
    if happens in FORBIDDEN:
        sys.stderr.write(f"{happens} at import\\n")
        raise SystemExit(9)

sys.addaudithook(forbid)
sys.path.insert(0, sys.argv[1])
import roomkey.handler

assert roomkey.handler._api.cache_info().currsize == int(sys.argv[2]), "built, or not"
"""

ROLE = {"AWS_ACCESS_KEY_ID": "ASIASENTINEL", "AWS_SECRET_ACCESS_KEY": "Sentinel-role", "AWS_SESSION_TOKEN": "Sentinel"}
SNAPSTART = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/2021-04-23/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Sentinel-authorization",
}


def run_script(script: str, *arguments: str, environ: Mapping[str, str], text: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(FUNCTIONS), *arguments],
        env=dict(environ),
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.threat("C1", "C2")
@pytest.mark.parametrize(
    ("environ", "built"),
    [
        pytest.param({}, 0, id="anywhere"),
        pytest.param({**LAMBDA, **ROLE}, 1, id="in-lambda"),
        pytest.param({**LAMBDA, **SNAPSTART}, 1, id="under-snapstart"),
    ],
)
def test_importing_connects_to_nothing_and_needs_no_aws(environ: Mapping[str, str], built: int) -> None:
    done = run_script(_IMPORT, str(built), environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.threat("C1")
def test_settings_that_make_no_sense_stop_a_snapshot_from_being_made() -> None:
    done = run_script(_IMPORT, "1", environ={**LAMBDA, **SNAPSTART, "APP_TOKEN_ACCESS": "everybody"})
    assert done.returncode == 1
    assert "APP_TOKEN_ACCESS must be jwt, iam or open" in done.stderr


# --- copies --------------------------------------------------------------------------------------------------------

DRAWN = [
    ("100ms", "app", "jti"),
    ("100ms", "app", "user_id"),
    ("100ms", "management", "jti"),
    ("videosdk", "app", "participantId"),
    ("agora", "app", "salt"),
    ("agora", "management", "salt"),
    ("agora-whiteboard", "app", "nonce"),
    ("agora-whiteboard", "management", "nonce"),
]
"""Return the random parts of all tokens. (VideoSDK's management tokens have none.)"""


def drawn_by_chance(platform: str, token: str, name: str) -> str:
    """Return the random parts of a token, by the vendor's names."""
    if platform == "agora":
        content = zlib.decompress(base64.b64decode(token.removeprefix("007")))
        (signature,) = struct.unpack_from("<H", content)
        (app_id,) = struct.unpack_from("<H", content, 2 + signature)
        return str(*struct.unpack_from("<I", content, 4 + signature + app_id + 8))
    segment = token.partition("_")[2] if platform == "agora-whiteboard" else token.split(".")[1]
    content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return str(parse_qs(content.decode())[name][0] if platform == "agora-whiteboard" else json.loads(content)[name])


_COPIES = """
import io, json, os, random, sys

sys.path[:0] = sys.argv[1:3]
import roomkey.handler
from support.clocks import FakeClock
from support.events import LambdaContext
from roomkey.api import Api
from roomkey.dependencies import Dependencies

asked = json.load(sys.stdin)
replies, sys.stdout = sys.stdout, open(os.devnull, "w")
clock, audit = FakeClock(), io.StringIO()
still = Api(Dependencies.build(os.environ, clock=clock, stdout=audit))

def minted(event):
    random.seed(0)
    response = roomkey.handler.handler(event, LambdaContext())
    assert response["statusCode"] == 200, response
    return json.loads(response["body"])["token"]

def refreshed_after():
    # Seconds from one refresh of the flag to the next, as finely as they are looked for.
    random.seed(0)
    begun = clock.wall
    clock.advance(23.9)
    while True:
        clock.advance(1 / 16)
        still.answer(asked[0], LambdaContext())
        if json.loads(audit.getvalue().splitlines()[-1]).get("calls", {}).get("ssm"):
            return clock.wall - begun

for _ in range(int(sys.argv[3])):
    read, write = os.pipe()
    if os.fork() == 0:
        random.seed(0)  # Python draws a new one where it sees a fork. Nobody sees a snapshot being restored.
        still.answer(asked[0], LambdaContext())
        told = {"tokens": [[minted(event) for event in asked] for _ in range(3)],
                "refreshed": [refreshed_after() for _ in range(3)]}
        with os.fdopen(write, "w") as stream:
            json.dump(told, stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        print(stream.read(), file=replies, flush=True)
    assert os.wait()[1] == 0
"""
COPIES = 4


@pytest.fixture(scope="module")
def copies() -> list[dict[str, Any]]:
    """The answers of copies of a process that was imported and built, and had answered no request."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    with working_stand_in() as stand_in:
        done = run_script(
            _COPIES,
            str(TESTS),
            str(COPIES),
            environ={**LAMBDA, "PLATFORMS": ",".join(ASKED), **stand_in.environ},
            text=json.dumps([event(platform, kind) for platform, kind, _ in DRAWN]),
        )
        assert done.returncode == 0, done.stderr
        assert stand_in.calls[SSM] >= COPIES, "the copies share what one of them has read"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.threat("C2", "C3")
@pytest.mark.parametrize(("platform", "kind", "name"), [pytest.param(*one, id="-".join(one)) for one in DRAWN])
def test_no_two_copies_of_a_process_draw_the_same(
    copies: list[dict[str, Any]], platform: str, kind: str, name: str
) -> None:
    which = DRAWN.index((platform, kind, name))
    tokens = [tokens[which] for copy in copies for tokens in copy["tokens"]]
    drawn = [drawn_by_chance(platform, token, name) for token in tokens]
    assert len(drawn) == len(set(drawn)) == 3 * COPIES


@pytest.mark.threat("C2", "B8")
def test_no_two_copies_of_a_process_refresh_in_step(copies: list[dict[str, Any]]) -> None:
    refreshed = [tuple(copy["refreshed"]) for copy in copies]
    assert len(set(refreshed)) == len(refreshed) == COPIES
    assert all(24 <= seconds <= 36.125 for copy in refreshed for seconds in copy)


# --- a thaw after hours, with a fake clock ---------------------------------------------------------------------------


@dataclass
class Stack:
    """The real API with a full cache. Unlike that of `support.stack.Deployed`, its AWS is in virtual time."""

    aws: VirtualAws
    audit: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.api = Api(build_dependencies(ENVIRON, self.aws.clock, self.audit, platforms=ASKED))
        assert self.ask().answer.status == 200
        assert self.calls == {"ssm": 1, "secretsmanager": 1}

    def ask(self, platform: str = "100ms", kind: str = "app") -> Reply:
        return Reply(Answer.checked(self.api.answer(event(platform, kind), LambdaContext())), 0)

    @property
    def calls(self) -> dict[str, int]:
        """The AWS calls of the last request."""
        calls: dict[str, int] = checked(self.audit.getvalue().splitlines()[-1]).get("calls", {})
        return {"ssm": 0, "secretsmanager": 0} | calls


@pytest.fixture
def stack() -> Iterator[Stack]:
    aws = VirtualAws(FakeClock())
    set_up(aws)
    with aws.installed():
        yield Stack(aws)


@pytest.mark.threat("C3")
@pytest.mark.parametrize(("platform", "kind", "name"), [pytest.param(*one, id="-".join(one)) for one in DRAWN])
def test_the_same_seed_at_the_same_moment_draws_another(stack: Stack, platform: str, kind: str, name: str) -> None:
    drawn = set()
    for _ in range(20):
        random.seed(0)
        drawn.add(drawn_by_chance(platform, str(stack.ask(platform, kind).answer.token), name))
    assert len(drawn) == 20


@pytest.mark.parametrize("hours", [1, 8, 24 * 30], ids=lambda hours: f"{hours}h")
class TestAThawAfterHours:
    """The monotonic clock stood still. The first request after the thaw sees every change."""

    @pytest.fixture(autouse=True)
    def _frozen(self, stack: Stack, hours: int) -> None:
        stack.aws.clock.wall += hours * 3600 + 1

    @pytest.mark.threat("B10", "C2")
    def test_it_reads_both_again_before_it_mints(self, stack: Stack) -> None:
        assert stack.ask().answer.body["expires_at"] == int(stack.aws.clock.wall) + 3600
        assert stack.calls == {"ssm": 1, "secretsmanager": 1}
        assert stack.ask().answer.status == 200
        assert stack.calls == {"ssm": 0, "secretsmanager": 0}

    @pytest.mark.threat("B2", "B10", "C2")
    def test_a_turned_off_scope_is_off(self, stack: Stack) -> None:
        stack.aws.put_parameter(FLAG, "100ms")
        assert stack.ask().problem == (403, "minting-disabled", None)
        assert stack.calls == {"ssm": 1, "secretsmanager": 0}

    @pytest.mark.threat("A7", "C2")
    def test_credentials_that_were_taken_away_sign_nothing(self, stack: Stack) -> None:
        stack.aws.secrets[SECRET].deleted = True
        assert stack.ask().problem == (503, "credentials-unavailable", "60")

    @pytest.mark.threat("A17", "C2")
    def test_it_signs_with_the_secret_of_now(self, stack: Stack) -> None:
        stack.aws.put_secret(SECRET, OTHER_SECRET)
        assert stack.ask().signed_with(OTHER_KEY)

    @pytest.mark.threat("A3", "B3", "C2")
    @pytest.mark.parametrize(("at", "code"), [(SSM, "kill-switch-unavailable"), (SM, "credentials-unavailable")])
    def test_an_expired_value_that_cannot_be_read_again_serves_nothing(
        self, stack: Stack, at: Operation, code: str
    ) -> None:
        stack.aws.always[at] = faults.throttled
        assert stack.ask().problem == (503, code, "5")

    @pytest.mark.threat("C4")
    @pytest.mark.parametrize("dead", [faults.closed, faults.reset], ids=["closed", "reset"])
    @pytest.mark.parametrize("at", Operation)
    def test_a_dead_connection_costs_one_more_attempt(self, stack: Stack, at: Operation, dead: Behaviour) -> None:
        stack.aws.once[at].append(dead)
        assert stack.ask().answer.status == 200
        assert stack.calls == {"ssm": 1 + (at is SSM), "secretsmanager": 1 + (at is SM)}


@pytest.mark.threat("C2")
def test_a_snapshot_wakes_on_another_machine_months_later(stack: Stack) -> None:
    """Neither clock is comparable with the other machine's."""
    stack.aws.clock.wall += 90 * 86400
    stack.aws.clock.monotonic = 3.0
    assert stack.ask().answer.body["expires_at"] == int(stack.aws.clock.wall) + 3600
    assert stack.calls == {"ssm": 1, "secretsmanager": 1}


@pytest.mark.threat("A4", "B9", "C2")
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
@pytest.mark.parametrize("at", [SSM, SM], ids=["ssm", "sm"])
def test_a_response_that_waited_through_a_freeze_is_dropped(stand_in: FaultyAws, at: Operation) -> None:
    """The response was valid at the time of the call, and is not now. For the stopped process it was immediate."""

    def turn() -> None:
        stand_in.put_parameter(FLAG, "true" if at is SSM else "false")
        stand_in.put_secret(SECRET, OTHER_SECRET)

    with Environment(stand_in.environ) as environment:

        def answer_while_frozen(exchange: Exchange) -> None:
            environment.freeze()
            faults.ok(exchange)
            exchange.wait(1.3)
            environment.thaw()

        stand_in.behave(at, faults.in_turn(faults.meanwhile(turn, answer_while_frozen), faults.ok))
        assert environment.ask(remaining_ms=1600, frozen=True).problem == (503, "deadline-exceeded", "5")
        now = environment.ask()
        assert now.problem == (403, "minting-disabled", None) if at is SSM else now.signed_with(OTHER_KEY)


# --- the role's credentials under SnapStart ------------------------------------------------------------------------

GOOD_FOR, GOOD_FOR_LITTLE, GOOD_FOR_MINUTES = timedelta(hours=6), timedelta(minutes=5), timedelta(minutes=12)
"""Valid until they expire. A call renews them fifteen minutes before, and fails without new ones ten minutes before."""


class RoleCredentials:
    """Lambda's endpoint under SnapStart: the role's credentials, a new access key each time."""

    def __init__(self, behaviour: Behaviour, good_for: timedelta = GOOD_FOR) -> None:
        self.behaviour, self._good_for = behaviour, good_for
        self.authorizations: list[str] = []
        self.port = Port(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.port.stop()

    @property
    def environ(self) -> dict[str, str]:
        return {**SNAPSTART, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.port.url}/2021-04-23/credentials"}

    def _handle(self, connection: socket.socket, stopping: threading.Event) -> None:
        with connection.makefile("rb") as reader:
            assert reader.readline().startswith(b"GET /2021-04-23/credentials ")
            self.authorizations.append(str(http.client.parse_headers(reader).get("Authorization")))
        expires = (datetime.now(UTC) + self._good_for).isoformat(timespec="seconds").replace("+00:00", "Z")
        document = {
            "AccessKeyId": f"ASIAROLE{len(self.authorizations):08}",
            "SecretAccessKey": "Sentinel-role-secret",
            "Token": "Sentinel-role-session",
            "Expiration": expires,
        }
        self.behaviour(Exchange("role.Credentials", {}, lambda: faults.Answer(200, document), connection, stopping))


@contextlib.contextmanager
def under_snapstart(stand_in: FaultyAws, role: RoleCredentials) -> Iterator[Environment]:
    """The variables with the address of the access keys. They never appear in output."""
    environ = {name: value for name, value in stand_in.environ.items() if "KEY" not in name}
    with Environment(environ | role.environ) as environment:
        yield environment
        shown = ("Sentinel", "ASIAROLE", faults.ACCOUNT_ID, "arn:aws:sts", "arn:aws:ssm", "arn:aws:secretsmanager")
        assert [word for word in shown if word in environment.printed] == []


@pytest.mark.threat("C1", "C2")
def test_the_roles_credentials_are_fetched_with_the_first_request(stand_in: FaultyAws) -> None:
    with RoleCredentials(faults.ok) as role, under_snapstart(stand_in, role) as environment:
        assert role.authorizations == []
        assert stand_in.requests == []

        # The snapshot has one authorization, and the copy wakes with another.
        reply = environment.ask({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "Sentinel-after-restore"})
        assert reply.signed_with(SECRETS["100ms"]["app_secret"])
        assert role.authorizations == ["Sentinel-after-restore"]
        assert len(stand_in.authorizations) == 2
        assert all("Credential=ASIAROLE00000001/" in signed for signed in stand_in.authorizations)

        assert environment.ask().answer.status == 200
        assert len(role.authorizations) == 1


_EXPIRED = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "x", "Token": "x", "Expiration": "2020-01-01T00:00:00Z"}
ROLE_FAULTS: Mapping[str, Behaviour] = {
    "hang": faults.hang,
    "drip-body": faults.drip_body,
    "500": faults.server_error,
    "403": faults.failing("AccessDenied", faults.ROLE_ARN, 403),
    "html": faults.html,
    "expired": faults.odd(_EXPIRED),
    "endless": faults.endless,
    "closed": faults.closed,
}


@pytest.mark.threat("C1", "C2", "H3", "I6")
@pytest.mark.parametrize("fault", ROLE_FAULTS.values(), ids=ROLE_FAULTS)
def test_credentials_that_cannot_be_had_are_a_fault_that_passes(stand_in: FaultyAws, fault: Behaviour) -> None:
    with RoleCredentials(fault) as role, under_snapstart(stand_in, role) as environment:
        status, code, retry_after = environment.ask(remaining_ms=1600).problem
        assert (status, retry_after) == (503, "5")
        assert code in {"kill-switch-unavailable", "deadline-exceeded"}
        assert stand_in.requests == [], "a request to AWS without a signature"

        role.behaviour = faults.ok
        assert environment.ask().signed_with(SECRETS["100ms"]["app_secret"]), "what failed once sticks"


@pytest.mark.threat("C2", "H3")
@pytest.mark.parametrize("fault", [faults.server_error, faults.hang], ids=["500", "hang"])
def test_valid_credentials_are_used_while_a_renewal_fails(stand_in: FaultyAws, fault: Behaviour) -> None:
    behaviour = faults.in_turn(faults.ok, fault)
    with (
        RoleCredentials(behaviour, GOOD_FOR_MINUTES) as role,
        under_snapstart(stand_in, role) as environment,
    ):
        assert environment.ask().signed_with(SECRETS["100ms"]["app_secret"])
        assert len(role.authorizations) == 2, "the second call tries to renew them"


@pytest.mark.threat("C2", "H3", "I6")
@pytest.mark.parametrize("fault", [faults.server_error, faults.drip_body], ids=["500", "drip"])
def test_expiring_credentials_that_cannot_be_renewed_are_a_failure(stand_in: FaultyAws, fault: Behaviour) -> None:
    behaviour = faults.in_turn(faults.ok, fault)
    with (
        RoleCredentials(behaviour, GOOD_FOR_LITTLE) as role,
        under_snapstart(stand_in, role) as environment,
    ):
        reply = environment.ask(remaining_ms=1600)
        assert reply.answer.code in {"credentials-unavailable", "deadline-exceeded"}
        assert reply.problem[::2] == (503, "5")
        assert [operation for operation, _ in stand_in.requests] == [SSM]
