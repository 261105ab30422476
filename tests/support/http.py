"""A real HTTP server for tests that need real requests."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serve(make_app: Callable[[str], ASGIApp], http: Any = "h11", lifespan: Any = "auto") -> Iterator[str]:
    """Serve `make_app(base_url)` on a free port and yield the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            make_app(base_url), http=http, lifespan=lifespan, proxy_headers=False, log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield base_url
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive(), "the server did not stop"


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the header's value, or None. Raises AssertionError if it is repeated."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


def send(
    base_url: str,
    method: str,
    target: str,
    headers: list[tuple[str, str]] | dict[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send one request with this target and these headers, adding only Host and Content-Length."""
    connection = HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    try:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        names = {name.lower() for name, _ in pairs}
        connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in pairs:
            connection.putheader(name, value)
        if body is not None and "content-length" not in names:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read())
    finally:
        connection.close()
