"""The behaviours of `support.aws.faulty` in virtual time: no sockets, no threads, no waiting.

The function runs whole, with its own transport. Only the transport's socket is replaced: it plays a behaviour and
advances a `FakeClock` instead of waiting.
"""

import json
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from roomkey.aws.transport import DeadlineTransport
from roomkey.clock import Instant
from support.aws import faulty as faults
from support.aws.faulty import Behaviour, Exchange, Operation
from support.clocks import FakeClock

HOSTS = {"ssm.test": Operation.GET_PARAMETERS, "secretsmanager.test": Operation.GET_SECRET_VALUE}
ENVIRON = {
    "AWS_ENDPOINT_URL_SSM": "http://ssm.test",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://secretsmanager.test",
    "AWS_ACCESS_KEY_ID": "AKIASTANDIN",
    "AWS_SECRET_ACCESS_KEY": "stand-in",
    "AWS_REGION": faults.REGION,
}

_LATER = 1e-3
"""Seconds by which every wait overruns its timeout."""


@dataclass
class Call:
    """A request to AWS. `answered` is when it ended. A `refused` request never arrives."""

    operation: Operation
    behaviour: Behaviour
    sent: Instant
    answered: Instant
    asked: Any = None
    said: Any = None


class VirtualAws(faults.AwsState):
    """Both services. An operation uses each behaviour of `once` for one request, then `always`."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.calls: list[Call] = []
        self.heal()

    def heal(self) -> None:
        """Make every operation respond correctly."""
        self.always: dict[Operation, Behaviour] = dict.fromkeys(Operation, faults.ok)
        self.once: dict[Operation, deque[Behaviour]] = {operation: deque() for operation in Operation}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Point the function's connections here while the block lasts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeadlineTransport, "_connect", lambda _, host, *__, **___: self._connect(HOSTS[host]))
            yield

    def _connect(self, operation: Operation) -> "_Socket":
        once = self.once[operation]
        now = self.clock.now()
        call = Call(operation, once.popleft() if once else self.always[operation], now, now)
        self.calls.append(call)
        if call.behaviour is faults.refused:
            raise ConnectionRefusedError
        return _Socket(self, call)


class _Tape:
    """Record what a behaviour does with its connection and event: bytes, seconds, or an error."""

    def __init__(self) -> None:
        self.pieces: deque[bytes | float | OSError] = deque()

    def sendall(self, data: bytes) -> None:
        self.pieces.append(data)

    def wait(self, seconds: float) -> bool:
        self.pieces.append(seconds)
        return False

    def is_set(self) -> bool:
        return len(self.pieces) > 16  # More than the client reads of an endless body.

    def recv(self, _: int) -> bytes:
        self.pieces.append(math.inf)
        return b""

    def setsockopt(self, *_: Any) -> None:
        self.pieces.append(ConnectionResetError())

    def close(self) -> None:
        """End the tape."""


class _Socket:
    """The client's side of a connection."""

    def __init__(self, aws: VirtualAws, call: Call) -> None:
        self._aws, self._call = aws, call
        self._received = b""
        self._timeout = 0.0
        self._pieces: deque[bytes | float | OSError] | None = None

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def sendall(self, data: bytes) -> None:
        self._received += data

    def recv_into(self, buffer: Any) -> int:
        if self._pieces is None:
            self._pieces = self._play()
        timeout = self._timeout
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, OSError):
                raise piece
            if isinstance(piece, bytes):
                size = min(len(buffer), len(piece))
                buffer[:size] = piece[:size]
                if piece[size:]:
                    self._pieces.appendleft(piece[size:])
                return size
            self._aws.clock.advance(min(piece, timeout + _LATER))
            if piece > timeout:
                self._pieces.appendleft(piece - timeout)
                raise TimeoutError
            timeout -= piece
        return 0

    def close(self) -> None:
        self._call.answered = self._aws.clock.now()

    def _play(self) -> deque[bytes | float | OSError]:
        asked = self._call.asked = json.loads(self._received.partition(b"\r\n\r\n")[2])
        healthy, tape = self._aws.healthy(self._call.operation, asked), _Tape()
        self._call.said = healthy.document
        connection: Any = tape
        self._call.behaviour(Exchange(self._call.operation, asked, lambda: healthy, connection, connection))
        return tape.pieces
