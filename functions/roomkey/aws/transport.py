"""HTTP for botocore that ends on time, even against a server that sends one byte now and then.

botocore's read timeout is per read: a server that drips holds a call for as long as it likes. Here every wait on the
socket, from connecting to the last byte of the body, gets what is left of the request's budget, or less. The
transport hooks into botocore's `before-send` event, so that signing, endpoints, parsing and errors stay botocore's.

A connection serves one call: there is no pooled socket to find dead after a thaw. Looking up a name cannot be
interrupted; `RES_OPTIONS` in the function's environment bounds it.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import get_cert_path

from roomkey.clock import Budget

MAX_RESPONSE_BYTES = 256 * 1024
"""Bytes. Flag, policy and secrets are a few KiB; a server that never stops sending must not eat the memory."""


class BudgetExceeded(Exception):
    """The budget was used up in the middle of a call."""


class ConnectionFailed(Exception):
    """The server could not be reached, broke off, or said nothing in time."""


class DeadlineTransport:
    """Sends botocore's prepared requests within the budget that `within` has set.

    `connect_timeout` and `read_timeout`, in seconds, bound each wait; the budget bounds all of them together.
    """

    def __init__(self, connect_timeout: float, read_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._budget: ContextVar[Budget | None] = ContextVar("budget")

    def prepare(self) -> None:
        """Does ahead what a first call would wait for, and connects to nothing."""
        _ = self._tls
        "a.name".encode("idna")  # Python loads the codec, through which every host name passes, when it is first used.

    @contextmanager
    def within(self, budget: Budget | None) -> Iterator[None]:
        """Calls made inside the block end when `budget` does, with `OutOfTime`.

        None is for a rehearsal: calls go nowhere, and are answered with an empty document.
        """
        token = self._budget.set(budget)
        try:
            yield
        finally:
            self._budget.reset(token)

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Answers botocore's `before-send` event. Raises `Unreachable` or `OutOfTime`, and nothing of botocore's."""
        budget, url = self._budget.get(), urlsplit(request.url)
        if budget is None:
            return AWSResponse(request.url, http.client.OK, {}, _ReadBody(b"{}"))
        try:
            sock = self._connect(url.hostname or "", url.port, tls=url.scheme == "https", budget=budget)
        except OSError:
            raise ConnectionFailed from None

        connection = http.client.HTTPConnection(url.netloc)
        connection.sock = _TimedSocket(sock, lambda: _wait(self._read_timeout, budget))
        # As botocore signs it: without the port that the scheme implies.
        host = url.netloc.removesuffix(":443" if url.scheme == "https" else ":80")
        target = (url.path or "/") + ("?" + url.query if url.query else "")
        try:
            connection.request(request.method, target, body=request.body, headers={**request.headers, "Host": host})
            with connection.getresponse() as response:
                body = response.read(MAX_RESPONSE_BYTES + 1)
                if (
                    len(body) > MAX_RESPONSE_BYTES or response.length
                ):  # What is missing of the length that was promised.
                    raise ConnectionFailed
        except (OSError, http.client.HTTPException):
            raise ConnectionFailed from None
        finally:
            connection.close()
            sock.close()
        return AWSResponse(request.url, response.status, response.headers, _ReadBody(body))

    def _connect(self, host: str, port: int | None, *, tls: bool, budget: Budget) -> socket.socket:
        addresses = socket.getaddrinfo(host, port or (443 if tls else 80), type=socket.SOCK_STREAM)
        for remaining, (family, kind, protocol, _, address) in zip(range(len(addresses))[::-1], addresses, strict=True):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_wait(self._connect_timeout, budget))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls:
                    sock.settimeout(_wait(self._read_timeout, budget))
                    sock = self._tls.wrap_socket(sock, server_hostname=host)
                return sock
            except OSError:
                sock.close()
                if not remaining:
                    raise
            except BaseException:
                sock.close()
                raise
        raise OSError("the name has no address")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # The authorities that botocore trusts. Loaded once: reading them takes longer than a token does.
        return ssl.create_default_context(cafile=get_cert_path(True))


def _wait(longest: float, budget: Budget) -> float:
    """Seconds that the next wait may take. Raises `OutOfTime` when there are none."""
    remaining = budget.remaining()
    if remaining <= 0:
        raise BudgetExceeded
    return min(longest, remaining)


class _TimedSocket:
    """As much of a socket as `http.client` uses, with a new timeout before every wait."""

    def __init__(self, sock: socket.socket, wait: Callable[[], float]) -> None:
        self._sock = sock
        self._wait = wait

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._wait())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._wait))

    def close(self) -> None:
        """Leaves the socket open: `http.client` closes its end before the body is read. `send` closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, wait: Callable[[], float]) -> None:
        self._sock = sock
        self._wait = wait

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._wait())
        try:
            return self._sock.recv_into(buffer)
        except TimeoutError:
            self._wait()  # The budget's end, seen as a timeout, is not the dependency's.
            raise


class _ReadBody:
    """A body that has been read already, as botocore takes it from an `AWSResponse`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content
