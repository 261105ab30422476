"""A stand-in for SSM and Secrets Manager that fails on command, for tests that need AWS to misbehave.

Two small HTTP servers of our own speak as much of the two JSON protocols as Roomkey uses: `GetParameters` and
`GetSecretValue`. What they know is set in `parameters` and `secrets`; how each operation behaves is set with `behave`,
at any time, also while requests are running. A behaviour is a function that is given the `Exchange` and answers it,
wrongly, late, in part or not at all.
"""

import base64
import http.client
import itertools
import json
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Self

REGION = "eu-west-1"
ACCOUNT_ID = "123456789012"
ROLE_ARN = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/roomkey-function/roomkey"
JSON = "application/x-amz-json-1.1"


class Operation(StrEnum):
    """What the stand-in understands, by its `X-Amz-Target`."""

    GET_PARAMETERS = "AmazonSSM.GetParameters"
    GET_SECRET_VALUE = "secretsmanager.GetSecretValue"


# --- what the two services know ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Parameter:
    """A parameter of SSM. A `SecureString` read without decryption is answered as ciphertext, as AWS does."""

    value: str
    type: str = "String"
    version: int = 1


@dataclass(slots=True)
class SecretMetadata:
    """A secret: its versions by id, and which of them each staging label is on."""

    versions: dict[str, str | bytes] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    deleted: bool = False

    def put(self, value: str | bytes, stage: str = "AWSCURRENT") -> str:
        """Adds a version under `stage`; what was current before becomes previous. Gives the version's id."""
        version_id = str(uuid.uuid4())
        self.versions[version_id] = value
        self._move(stage, version_id)
        return version_id

    def promote(self) -> None:
        """Ends a rotation: the pending version becomes the current one."""
        self._move("AWSCURRENT", self.stages.pop("AWSPENDING"))

    def _move(self, stage: str, version_id: str) -> None:
        if stage == "AWSCURRENT" and stage in self.stages:
            self.stages["AWSPREVIOUS"] = self.stages[stage]
        self.stages[stage] = version_id


class Answer(NamedTuple):
    """A status and a document."""

    status: int
    document: Any


def error_answer(code: str, message: str, status: int = 400) -> Answer:
    return Answer(status, {"__type": code, "message": message})


class Stored:
    """What the two services have been told to keep, and what they say of it when they are well."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.secrets: dict[str, SecretMetadata] = {}

    def put_parameter(self, name: str, value: str, **more: Any) -> None:
        """Creates the parameter or overwrites it."""
        self.parameters[name] = Parameter(value, **more)

    def put_secret(self, name: str, value: str | bytes, stage: str = "AWSCURRENT") -> str:
        """Creates the secret or gives it a further version; the version's id."""
        return self.secrets.setdefault(name, SecretMetadata()).put(value, stage)

    def healthy(self, operation: str, asked: Mapping[str, Any]) -> Answer:
        match operation:
            case Operation.GET_PARAMETERS:
                return self._get_parameters(asked)
            case Operation.GET_SECRET_VALUE:
                return self._get_secret_value(asked)
        return error_answer("UnknownOperationException", "")

    def _get_parameters(self, asked: Mapping[str, Any]) -> Answer:
        found = {name: self.parameters[name] for name in asked["Names"] if name in self.parameters}
        return Answer(
            200,
            {
                "Parameters": [
                    {
                        "ARN": f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter{name}",
                        "DataType": "text",
                        "LastModifiedDate": 1_700_000_000.123,
                        "Name": name,
                        "Type": one.type,
                        "Value": f"AQICAH{one.value.encode().hex()}"
                        if one.type == "SecureString" and not asked.get("WithDecryption")
                        else one.value,
                        "Version": one.version,
                    }
                    for name, one in sorted(found.items())
                ],
                "InvalidParameters": [name for name in asked["Names"] if name not in found],
            },
        )

    def _get_secret_value(self, asked: Mapping[str, Any]) -> Answer:
        name, stage = asked["SecretId"], asked.get("VersionStage", "AWSCURRENT")
        secret = self.secrets.get(name)
        if secret is None:
            return error_answer("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        if secret.deleted:
            return error_answer(
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
            )
        version_id = asked.get("VersionId") or secret.stages.get(stage)
        if version_id not in secret.versions:
            words = f"Secrets Manager can't find the specified secret value for staging label: {stage}"
            return error_answer("ResourceNotFoundException", words)
        value = secret.versions[version_id]
        return Answer(
            200,
            {
                "ARN": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-AbCdEf",
                "CreatedDate": 1_700_000_000.123,
                "Name": name,
                "VersionId": version_id,
                "VersionStages": [label for label, on in secret.stages.items() if on == version_id],
                **({"SecretString": value} if isinstance(value, str) else {"SecretBinary": _base64(value)}),
            },
        )


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


# --- one request, and ways to answer it ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that has been read and not been answered. `healthy` is what the service says when it is well."""

    operation: str
    asked: Mapping[str, Any]
    healthy: Callable[[], Answer]
    connection: socket.socket
    stopping: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, answer: Answer) -> None:
        """Answers as the services do."""
        self.reply_bytes(answer.status, json.dumps(answer.document).encode())

    def reply_bytes(self, status: int, body: bytes, content_type: str = JSON, *, length: int | None = None) -> None:
        """Answers with any body; `length` is the Content-Length to claim, if not the body's own."""
        self.send(http_head(status, content_type, len(body) if length is None else length) + body)

    def wait(self, seconds: float) -> bool:
        """Waits; whether it is still worth answering."""
        return not self.stopping.wait(seconds)

    def wait_for_hang_up(self) -> None:
        """Waits until the other side gives up."""
        while self.connection.recv(4096):
            pass

    @property
    def action(self) -> str:
        service, name = self.operation.split(".", 1)
        return f"{'ssm' if service == 'AmazonSSM' else service}:{name}"


def http_head(status: int, content_type: str, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}",
        f"x-amzn-RequestId: {uuid.uuid4()}",
        f"Content-Type: {content_type}",
        f"Content-Length: {length}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


type Behaviour = Callable[[Exchange], None]

_HTML = b"<html><head><title>Sorry</title></head><body><h1>We will be back soon</h1></body></html>"


def ok(exchange: Exchange) -> None:
    """As a healthy service."""
    exchange.reply(exchange.healthy())


def failing(code: str, message: str = "", status: int = 400) -> Behaviour:
    """An error of the service's protocol."""

    def behave(exchange: Exchange) -> None:
        exchange.reply(error_answer(code, message, status))

    return behave


throttled = failing("ThrottlingException", "Rate exceeded")
server_error = failing("InternalServerError", f"An error occurred on the server side for {ROLE_ARN}.", 500)
undecryptable = failing("DecryptionFailure", f"Secrets Manager can't decrypt with arn:aws:kms:::{ACCOUNT_ID}:key/k.")
kms_denied = failing("AccessDeniedException", "Access to KMS is not allowed")
deleted = failing(
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
)


def bare_429(exchange: Exchange) -> None:
    """Throttled by something in front of the service, which does not speak its protocol."""
    exchange.reply_bytes(429, b"", "text/plain")


def denied(exchange: Exchange) -> None:
    """Not allowed, in IAM's words: with who asked and for what."""
    resource = f"arn:aws:{exchange.action.split(':', maxsplit=1)[0]}:{REGION}:{ACCOUNT_ID}:roomkey"
    words = f"User: {ROLE_ARN} is not authorized to perform: {exchange.action} on resource: {resource}"
    exchange.reply(error_answer("AccessDeniedException", words))


def not_found(exchange: Exchange) -> None:
    """There is no such thing, as each of the services puts it."""
    if exchange.operation == Operation.GET_PARAMETERS:
        exchange.reply(Answer(200, {"Parameters": [], "InvalidParameters": exchange.asked["Names"]}))
    else:
        exchange.reply(error_answer("ResourceNotFoundException", "Secrets Manager can't find the specified secret."))


def page(status: int, body: bytes = _HTML, content_type: str = "text/html") -> Behaviour:
    """A page that is none of the service's: a proxy's, a captive portal's."""

    def behave(exchange: Exchange) -> None:
        exchange.reply_bytes(status, body, content_type)

    return behave


html = page(200)
server_error_html = page(500)
unavailable_html = page(503)
empty = page(200, b"", JSON)
not_utf8 = page(200, b"\x1f\x8b\x08\x00\xff\xfe", JSON)


def truncated(exchange: Exchange) -> None:
    """The connection ends in the middle of the body."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body[: len(body) // 2], length=len(body))


def short(exchange: Exchange) -> None:
    """A whole document, and a Content-Length that promises more than is sent."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body, length=len(body) + 100)


def oversized(exchange: Exchange) -> None:
    """The right document in a body of half a megabyte."""
    exchange.reply_bytes(200, json.dumps(exchange.healthy().document).encode() + b" " * 512 * 1024)


def cut(exchange: Exchange) -> None:
    """The document ends in the middle, and the response says that this was all."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body[: len(body) // 2])


def odd(document: Any, status: int = 200) -> Behaviour:
    """A JSON document that the service never sends."""

    def behave(exchange: Exchange) -> None:
        exchange.reply(Answer(status, document))

    return behave


def amended(amend: Callable[[dict[str, Any]], object]) -> Behaviour:
    """The healthy answer, changed in place by `amend`."""

    def behave(exchange: Exchange) -> None:
        document = json.loads(json.dumps(exchange.healthy().document))
        amend(document)
        exchange.reply(Answer(200, document))

    return behave


@amended
def foreign_name(document: dict[str, Any]) -> None:
    """Somebody else's answer: right in form, about another name."""
    for one in document.get("Parameters", [document]):
        one["Name"] = "somebody-elses"


def reset(exchange: Exchange) -> None:
    """The connection is reset (RST)."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()


def closed(exchange: Exchange) -> None:
    """The connection is closed (FIN) without a word, as one that had been idle for too long."""
    del exchange


def hang(exchange: Exchange) -> None:
    """Never answers."""
    exchange.wait_for_hang_up()


def endless(exchange: Exchange) -> None:
    """The right document in a body that goes on for as long as anybody reads it."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n\r\n")
    exchange.send(json.dumps(exchange.healthy().document).encode())
    while not exchange.stopping.is_set():
        exchange.send(b" " * 65536)


def not_http(exchange: Exchange) -> None:
    """Another protocol's greeting."""
    exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n")


DRIP_SECONDS = 0.25


def drip_body(exchange: Exchange) -> None:
    """The head at once, then one byte of the body at a time: never silent for as long as a read may take."""
    _drip(exchange, at_once=True)


def drip_header(exchange: Exchange) -> None:
    """One byte of the status line and the headers at a time."""
    _drip(exchange, at_once=False)


def _drip(exchange: Exchange, *, at_once: bool) -> None:
    body = json.dumps(exchange.healthy().document).encode()
    head = http_head(200, JSON, len(body))
    if at_once:
        exchange.send(head)
    for byte in body if at_once else head + body:
        exchange.send(bytes([byte]))
        if not exchange.wait(DRIP_SECONDS):
            return


def slow(seconds: float, then: Behaviour = ok) -> Behaviour:
    """Silent for so long, and then `then`."""

    def behave(exchange: Exchange) -> None:
        if exchange.wait(seconds):
            then(exchange)

    return behave


def meanwhile(happen: Callable[[], object], then: Behaviour = ok) -> Behaviour:
    """While the request is in flight something else happens: the environment is frozen, a flag is turned ..."""

    def behave(exchange: Exchange) -> None:
        healthy = exchange.healthy()
        happen()
        then(Exchange(exchange.operation, exchange.asked, lambda: healthy, exchange.connection, exchange.stopping))

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each behaviour for one request, the last for all that follow."""
    requests, lock = itertools.count(), threading.Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            number = next(requests)
        behaviours[min(number, len(behaviours) - 1)](exchange)

    return behave


def limited(per_second: float, burst: float, beyond: Behaviour = throttled) -> Behaviour:
    """Healthy for so many requests a second, as a token bucket counts them; `beyond` for the excess."""
    lock, tokens, at = threading.Lock(), burst, time.monotonic()

    def behave(exchange: Exchange) -> None:
        nonlocal tokens, at
        with lock:
            now = time.monotonic()
            tokens, at = min(burst, tokens + (now - at) * per_second), now
            within = tokens >= 1
            tokens -= within
        (ok if within else beyond)(exchange)

    return behave


def refused(exchange: Exchange) -> None:
    """Nobody listens on the port. `AwsStandIn.behave` sees to it; this is for requests already under way."""
    reset(exchange)


def unreachable(exchange: Exchange) -> None:
    """Connections are not even refused. `AwsStandIn.behave` sees to it; this is for requests already under way."""
    hang(exchange)


# --- the stand-in --------------------------------------------------------------------------------------------------


class AwsStandIn(Stored):
    """Both services on ports of this machine, until the block ends."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, Mapping[str, Any]]] = []
        self.authorizations: list[str] = []
        self._behaviours: dict[str, Behaviour] = {}
        self._lock = threading.Lock()
        self._ports = {operation: Port(self._handle) for operation in Operation}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for port in self._ports.values():
            port.stop()

    @property
    def environ(self) -> dict[str, str]:
        """What sends the AWS SDK here, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL_SSM": self._ports[Operation.GET_PARAMETERS].url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self._ports[Operation.GET_SECRET_VALUE].url,
            "AWS_ACCESS_KEY_ID": "AKIASTANDIN",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def behave(self, operation: Operation, behaviour: Behaviour) -> None:
        """How `operation` is answered from now on. Requests already under way go on as they began."""
        self._behaviours[operation] = behaviour
        port = self._ports[operation]
        (port.shut if behaviour is refused else port.choke if behaviour is unreachable else port.open)()

    def heal(self) -> None:
        """Makes every operation well again."""
        for operation in Operation:
            self.behave(operation, ok)

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """The calls that arrive while the block runs, complete when it has ended."""
        before, during = self.calls.copy(), Counter[str]()
        yield during
        during.update(self.calls - before)

    def _handle(self, connection: socket.socket, stopping: threading.Event) -> None:
        with connection.makefile("rb") as reader:
            if not reader.readline():
                return
            headers = http.client.parse_headers(reader)
            operation = str(headers.get("X-Amz-Target", ""))
            asked = json.loads(reader.read(int(headers.get("Content-Length", 0))) or b"{}")
        with self._lock:
            self.calls[operation] += 1
            self.requests.append((operation, asked))
            self.authorizations.append(str(headers.get("Authorization", "")))
        behave = self._behaviours.get(operation, ok)
        behave(Exchange(operation, asked, lambda: self.healthy(operation, asked), connection, stopping))


class Port:
    """A port of this machine that is ours for as long as we want, and listens when it is told to."""

    def __init__(self, handle: Callable[[socket.socket, threading.Event], None]) -> None:
        self._handle = handle
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepting: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._choked: list[socket.socket] = []
        # Bound and never listening: it keeps the port ours while a connection to it is refused.
        self._reserved = _bound(0)
        self._port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.open()

    def open(self) -> None:
        """Listens, if it does not."""
        self._unchoke()
        if self._listener is None:
            self._listener = _bound(self._port)
            self._listener.listen(512)
            self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
            self._accepting.start()

    def shut(self) -> None:
        """Refuses connections from here on. Those that are there stay."""
        self._unchoke()
        if self._listener is None or self._accepting is None:
            return
        listener, self._listener = self._listener, None
        with suppress(OSError):  # Closing a socket does not wake who waits on it; one last connection does.
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        self._accepting.join()
        listener.close()

    def choke(self) -> None:
        """Leaves connections without any answer from here on: the queue of those not accepted is full."""
        self.shut()
        listener = _bound(self._port)
        listener.listen(0)
        self._choked = [listener]
        for _ in range(16):
            waiting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._choked.append(waiting)
            waiting.settimeout(0.1)
            try:
                waiting.connect(("127.0.0.1", self._port))
            except TimeoutError:
                return
        raise AssertionError("the queue does not fill up")

    def _unchoke(self) -> None:
        for sock in self._choked:
            sock.close()
        self._choked.clear()

    def stop(self) -> None:
        """Ends everything that is going on here."""
        self._stopping.set()
        self.shut()
        with self._lock:
            running = dict(self._connections)
        for connection in running.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in running:
            thread.join(timeout=5)
            assert not thread.is_alive(), "a connection did not end"
        self._reserved.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            if self._listener is not listener:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):  # The other side has gone: that is what many of these tests are about.
                self._handle(connection, self._stopping)
        with self._lock:
            self._connections.pop(threading.current_thread(), None)


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock
