"""HTTP requests that end on time, even against a server that sends one byte now and then.

Timeouts of sockets apply to each read, so such a server could hold a call without end. Here every wait, from connecting
to the last byte of the body, is limited to the rest of the request's budget.

A connection serves one request, so no pooled connection is dead after a thaw. A DNS lookup cannot be interrupted;
`RES_OPTIONS` in the function's environment bounds it.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from roomkey.clock import Budget

MAX_RESPONSE_BYTES = 256 * 1024
"""Kill switch, policy and secrets have a few KiB; an endless body must not fill the memory."""

AUTHORITIES = Path(__file__).with_name("authorities")
"""Folder of certificate authorities by subject hash, which `make build` writes (scripts/authorities.py)."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class BudgetExceeded(Exception):
    """The budget was used up during a call."""


class ConnectionFailed(Exception):
    """The server was unreachable, broke off, or did not answer in time."""


class Response(NamedTuple):
    """A complete HTTP response. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def host_header(url: SplitResult) -> str:
    """Return the `Host` header for `url`: without its default port and the dot of an absolute name.

    Raises `ValueError` if `url` is not an HTTP URL of a host.
    """
    host, port = (url.hostname or "").removesuffix("."), url.port
    if url.scheme not in _DEFAULT_PORTS or not host or url.username is not None:
        raise ValueError("not an HTTP URL")
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _DEFAULT_PORTS[url.scheme]) else f"{host}:{port}"


class DeadlineTransport:
    """Sends requests within a budget.

    `connect_timeout` and `read_timeout`, in seconds, bound each wait; the budget bounds all of them together.
    """

    def __init__(self, connect_timeout: float, read_timeout: float, authorities: Path = AUTHORITIES) -> None:
        self._authorities = authorities
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout

    def warm_up(self) -> None:
        """Do what the first request would wait for, without connecting."""
        _ = self._tls

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, budget: Budget) -> Response:
        """Send a request and return the response. Do not follow redirects.

        Raises `ConnectionFailed`, `BudgetExceeded`, or `ValueError` for an invalid URL or header.
        """
        parts = urlsplit(url)
        headers = {**headers, "host": host_header(parts)}
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        tls = parts.scheme == "https"
        try:
            sock = self._connect(parts.hostname or "", parts.port, tls=tls, budget=budget)
        except OSError:
            raise ConnectionFailed from None

        connection = http.client.HTTPConnection("")
        connection.sock = _TimedSocket(sock, lambda: _wait(self._read_timeout, budget))
        try:
            connection.request(method, target, body=body or None, headers=headers)
            with connection.getresponse() as response:
                content = response.read(MAX_RESPONSE_BYTES + 1)
                received = {name.lower(): value for name, value in response.getheaders()}
                # `length` is what is missing of the promised Content-Length.
                if len(content) > MAX_RESPONSE_BYTES or response.length:
                    raise ConnectionFailed
            return Response(response.status, received, content)
        except (OSError, http.client.HTTPException):
            raise ConnectionFailed from None
        finally:
            connection.close()
            sock.close()

    def _connect(self, host: str, port: int | None, *, tls: bool, budget: Budget) -> socket.socket:
        name = host.encode("ascii")  # For text Python loads the codec for international names, which takes 2 ms.
        addresses = socket.getaddrinfo(name, port or (443 if tls else 80), type=socket.SOCK_STREAM)
        for remaining, (family, kind, protocol, _, address) in zip(range(len(addresses))[::-1], addresses, strict=True):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_wait(self._connect_timeout, budget))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls:
                    sock.settimeout(_wait(self._read_timeout, budget))
                    sock = self._tls.wrap_socket(sock, server_hostname=name.removesuffix(b"."))
                return sock
            except OSError as error:
                sock.close()
                if isinstance(error, ssl.SSLCertVerificationError):
                    # The folder may lack a new authority. The caller's next attempt also finds the system's.
                    self._tls.load_default_certs()
                if not remaining:
                    raise
            except BaseException:
                sock.close()
                raise
        raise OSError("the name has no address")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(capath=self._authorities if self._authorities.is_dir() else None)


def _wait(longest: float, budget: Budget) -> float:
    """Return the seconds that the next wait may take. Raises `BudgetExceeded` if none are left."""
    remaining = budget.remaining()
    if remaining <= 0:
        raise BudgetExceeded
    return min(longest, remaining)


class _TimedSocket:
    """The part of a socket that `http.client` uses, with a new timeout before every wait."""

    def __init__(self, sock: socket.socket, wait: Callable[[], float]) -> None:
        self._sock = sock
        self._wait = wait

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._wait())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._wait))

    def close(self) -> None:
        """Leave the socket open: `http.client` closes it before the body is read. `send` closes it."""


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
            self._wait()  # Prefer `BudgetExceeded` if the budget ended the wait.
            raise
