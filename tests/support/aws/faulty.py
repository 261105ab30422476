"""SSM and Secrets Manager that fail on command: `GetParameters` and `GetSecretValue` over real sockets.

`parameters` and `secrets` are the state. `behave` sets the behaviour of an operation, also while requests run. A
behaviour is a function that answers an `Exchange`: correctly, wrongly, late, in part or not at all.
`support.aws.virtual` plays the same behaviours in virtual time.
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
    """The operations, by their `X-Amz-Target`."""

    GET_PARAMETERS = "AmazonSSM.GetParameters"
    GET_SECRET_VALUE = "secretsmanager.GetSecretValue"


# --- state ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Parameter:
    """An SSM parameter. Reading a `SecureString` without decryption returns ciphertext, as on AWS."""

    value: str
    type: str = "String"
    version: int = 1


@dataclass(slots=True)
class SecretMetadata:
    """A secret: its versions by id, and the version of each staging label."""

    versions: dict[str, str | bytes] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    deleted: bool = False

    def put(self, value: str | bytes, stage: str = "AWSCURRENT") -> str:
        """Add a version under `stage` and return its id. The current version becomes the previous one."""
        version_id = str(uuid.uuid4())
        self.versions[version_id] = value
        self._move(stage, version_id)
        return version_id

    def promote(self) -> None:
        """End a rotation: make the pending version the current one."""
        self._move("AWSCURRENT", self.stages.pop("AWSPENDING"))

    def _move(self, stage: str, version_id: str) -> None:
        if stage == "AWSCURRENT" and stage in self.stages:
            self.stages["AWSPREVIOUS"] = self.stages[stage]
        self.stages[stage] = version_id


class Answer(NamedTuple):
    """The status and the JSON document of a response."""

    status: int
    document: Any


def error_answer(code: str, message: str, status: int = 400) -> Answer:
    return Answer(status, {"__type": code, "message": message})


class AwsState:
    """The parameters and secrets, and the correct response to each request."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.secrets: dict[str, SecretMetadata] = {}

    def put_parameter(self, name: str, value: str, **more: Any) -> None:
        """Create or overwrite a parameter."""
        self.parameters[name] = Parameter(value, **more)

    def put_secret(self, name: str, value: str | bytes, stage: str = "AWSCURRENT") -> str:
        """Create a secret or add a version, and return the version's id."""
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


# --- behaviours ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that waits for its response. `healthy` builds the correct one."""

    operation: str
    asked: Mapping[str, Any]
    healthy: Callable[[], Answer]
    connection: socket.socket
    stopping: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, answer: Answer) -> None:
        """Send `answer` as the services do."""
        self.reply_bytes(answer.status, json.dumps(answer.document).encode())

    def reply_bytes(self, status: int, body: bytes, content_type: str = JSON, *, length: int | None = None) -> None:
        """Send any body. `length` overrides the Content-Length."""
        self.send(http_head(status, content_type, len(body) if length is None else length) + body)

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether the server still runs."""
        return not self.stopping.wait(seconds)

    def wait_for_hang_up(self) -> None:
        """Wait until the client closes the connection."""
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
    """Respond correctly."""
    exchange.reply(exchange.healthy())


def failing(code: str, message: str = "", status: int = 400) -> Behaviour:
    """Respond with an error of the service's protocol."""

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
    """Throttle like a proxy in front of the service, without its protocol."""
    exchange.reply_bytes(429, b"", "text/plain")


def denied(exchange: Exchange) -> None:
    """Deny like IAM, with the principal and the resource in the message."""
    resource = f"arn:aws:{exchange.action.split(':', maxsplit=1)[0]}:{REGION}:{ACCOUNT_ID}:roomkey"
    words = f"User: {ROLE_ARN} is not authorized to perform: {exchange.action} on resource: {resource}"
    exchange.reply(error_answer("AccessDeniedException", words))


def not_found(exchange: Exchange) -> None:
    """Report a missing parameter or secret, as each service does."""
    if exchange.operation == Operation.GET_PARAMETERS:
        exchange.reply(Answer(200, {"Parameters": [], "InvalidParameters": exchange.asked["Names"]}))
    else:
        exchange.reply(error_answer("ResourceNotFoundException", "Secrets Manager can't find the specified secret."))


def page(status: int, body: bytes = _HTML, content_type: str = "text/html") -> Behaviour:
    """Respond with the page of a proxy or a captive portal."""

    def behave(exchange: Exchange) -> None:
        exchange.reply_bytes(status, body, content_type)

    return behave


html = page(200)
server_error_html = page(500)
unavailable_html = page(503)
empty = page(200, b"", JSON)
not_utf8 = page(200, b"\x1f\x8b\x08\x00\xff\xfe", JSON)


def truncated(exchange: Exchange) -> None:
    """Close the connection in the middle of the body."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body[: len(body) // 2], length=len(body))


def short(exchange: Exchange) -> None:
    """Send a whole document with a Content-Length that is too large."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body, length=len(body) + 100)


def oversized(exchange: Exchange) -> None:
    """Pad the correct document to half a megabyte."""
    exchange.reply_bytes(200, json.dumps(exchange.healthy().document).encode() + b" " * 512 * 1024)


def cut(exchange: Exchange) -> None:
    """Cut the document in the middle, with a matching Content-Length."""
    body = json.dumps(exchange.healthy().document).encode()
    exchange.reply_bytes(200, body[: len(body) // 2])


def odd(document: Any, status: int = 200) -> Behaviour:
    """Respond with a JSON document that the service never sends."""

    def behave(exchange: Exchange) -> None:
        exchange.reply(Answer(status, document))

    return behave


def amended(amend: Callable[[dict[str, Any]], object]) -> Behaviour:
    """Respond with the correct document, changed in place by `amend`."""

    def behave(exchange: Exchange) -> None:
        document = json.loads(json.dumps(exchange.healthy().document))
        amend(document)
        exchange.reply(Answer(200, document))

    return behave


@amended
def foreign_name(document: dict[str, Any]) -> None:
    """Respond about another name."""
    for one in document.get("Parameters", [document]):
        one["Name"] = "somebody-elses"


def reset(exchange: Exchange) -> None:
    """Reset the connection (RST)."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()


def closed(exchange: Exchange) -> None:
    """Close the connection (FIN) without a response, like one that was idle for too long."""
    del exchange


def hang(exchange: Exchange) -> None:
    """Never respond."""
    exchange.wait_for_hang_up()


def endless(exchange: Exchange) -> None:
    """Send the correct document, then padding without an end."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n\r\n")
    exchange.send(json.dumps(exchange.healthy().document).encode())
    while not exchange.stopping.is_set():
        exchange.send(b" " * 65536)


def not_http(exchange: Exchange) -> None:
    """Send the greeting of another protocol."""
    exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n")


DRIP_SECONDS = 0.25


def drip_body(exchange: Exchange) -> None:
    """Send the head at once, then the body byte by byte, faster than any read timeout."""
    _drip(exchange, at_once=True)


def drip_header(exchange: Exchange) -> None:
    """Send everything byte by byte, the status line included."""
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
    """Wait, then behave like `then`."""

    def behave(exchange: Exchange) -> None:
        if exchange.wait(seconds):
            then(exchange)

    return behave


def meanwhile(happen: Callable[[], object], then: Behaviour = ok) -> Behaviour:
    """Call `happen` while the request is in flight, then behave like `then` with the state from before."""

    def behave(exchange: Exchange) -> None:
        healthy = exchange.healthy()
        happen()
        then(Exchange(exchange.operation, exchange.asked, lambda: healthy, exchange.connection, exchange.stopping))

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Use each behaviour for one request, and the last for all that follow."""
    requests, lock = itertools.count(), threading.Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            number = next(requests)
        behaviours[min(number, len(behaviours) - 1)](exchange)

    return behave


def limited(per_second: float, burst: float, beyond: Behaviour = throttled) -> Behaviour:
    """Respond correctly within a token bucket's rate, and like `beyond` above it."""
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
    """Refuse connections. `FaultyAws.behave` closes the port; this resets requests already in flight."""
    reset(exchange)


def unreachable(exchange: Exchange) -> None:
    """Leave connections unanswered. `FaultyAws.behave` blocks the port; this hangs requests already in flight."""
    hang(exchange)


# --- over sockets --------------------------------------------------------------------------------------------------


class FaultyAws(AwsState):
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
        """Return the environment variables that point the AWS SDK here."""
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
        """Set the behaviour of `operation`. Requests already in flight keep theirs."""
        self._behaviours[operation] = behaviour
        port = self._ports[operation]
        (port.shut if behaviour is refused else port.choke if behaviour is unreachable else port.open)()

    def heal(self) -> None:
        """Make every operation respond correctly."""
        for operation in Operation:
            self.behave(operation, ok)

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Count the calls that arrive while the block runs."""
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
    """A reserved port of this machine that can listen, refuse and block."""

    def __init__(self, handle: Callable[[socket.socket, threading.Event], None]) -> None:
        self._handle = handle
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepting: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._choked: list[socket.socket] = []
        # Bound and never listening, it reserves the port while connections are refused.
        self._reserved = _bound(0)
        self._port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.open()

    def open(self) -> None:
        """Listen."""
        self._unchoke()
        if self._listener is None:
            self._listener = _bound(self._port)
            self._listener.listen(512)
            self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
            self._accepting.start()

    def shut(self) -> None:
        """Refuse new connections. Open ones stay."""
        self._unchoke()
        if self._listener is None or self._accepting is None:
            return
        listener, self._listener = self._listener, None
        with suppress(OSError):  # Closing a socket does not wake accept(); one last connection does.
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        self._accepting.join()
        listener.close()

    def choke(self) -> None:
        """Leave new connections unanswered: fill the queue of connections not yet accepted."""
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
        """Close the port and end every connection."""
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
            with suppress(OSError):  # The client has gone, as many tests intend.
                self._handle(connection, self._stopping)
        with self._lock:
            self._connections.pop(threading.current_thread(), None)


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock
