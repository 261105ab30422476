"""The transport over TLS: the names it looks up and sends, and the authorities it trusts."""

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roomkey.aws.transport import AUTHORITIES, ConnectionFailed, DeadlineTransport, Response, host_header
from roomkey.clock import Budget
from support.clocks import ShiftedClock
from support.scripts import loaded

HOST = "ssm.eu-west-1.amazonaws.com"
write_authorities = loaded("scripts/authorities.py").write


class Server:
    """A TLS server with a self-signed certificate for `HOST`. It answers each connection with its request."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Roomkey  Test AUTHORITY")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.authority = certificate.public_bytes(serialization.Encoding.PEM).decode()
        private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        chain = folder / "chain.pem"
        chain.write_text(self.authority + key.private_bytes(serialization.Encoding.PEM, *private).decode())
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain)
        self._tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.names: list[str | None] = []
        self.looked_up: list[bytes] = []
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def lookup(self, name: bytes, port: int, **_: Any) -> list[Any]:
        """Replaces `socket.getaddrinfo`."""
        self.looked_up.append(name)
        assert port == 443
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", self.port))]

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if connection.recv(4, socket.MSG_PEEK) == b"stop":
                    return
                try:
                    with self._tls.wrap_socket(connection, server_side=True) as stream:
                        request = b""
                        while not request.endswith(b"{}"):
                            request += stream.recv(65536)
                        self.requests.append(request)
                        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Case: Kept\r\n\r\n{}")
                except OSError:
                    continue  # The client refused the certificate.


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", server.lookup)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    yield server
    monkeypatch.undo()
    server.stop()


def send(transport: DeadlineTransport, url: str = f"https://{HOST}.") -> Response:
    return transport.send("POST", url, {"x-amz-target": "t"}, b"{}", Budget.start(ShiftedClock(), 5.0))


def test_an_absolute_name_is_looked_up_and_the_server_gets_it_without_the_dot(server: Server, tmp_path: Path) -> None:
    authorities = tmp_path / "authorities"
    assert write_authorities(f"# a comment\n{server.authority}", authorities) == 1

    response = send(DeadlineTransport(1.0, 2.0, authorities))

    assert response == (200, {"content-length": "2", "x-case": "Kept"}, b"{}")
    assert server.looked_up == [f"{HOST}.".encode()]
    assert server.names == [HOST]
    assert f"\r\nhost: {HOST}\r\n".encode() in server.requests[0]


def test_an_authority_missing_in_the_folder_is_found_in_the_systems_list(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_list, system = tmp_path / "authorities", tmp_path / "system.pem"
    old_list.mkdir()
    system.write_text(server.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    transport = DeadlineTransport(1.0, 2.0, old_list)

    with pytest.raises(ConnectionFailed):
        send(transport)
    assert send(transport).status == 200


def test_an_authority_in_neither_list_is_refused(server: Server, tmp_path: Path) -> None:
    transport = DeadlineTransport(1.0, 2.0, tmp_path)
    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            send(transport)
    assert server.requests == []


def test_another_hosts_certificate_is_refused(server: Server, tmp_path: Path) -> None:
    write_authorities(server.authority, tmp_path)

    with pytest.raises(ConnectionFailed):
        send(DeadlineTransport(1.0, 2.0, tmp_path), "https://ssm.eu-west-2.amazonaws.com.")
    assert server.requests == []


def test_without_a_folder_the_systems_list_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.pem").write_text(server.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))

    assert send(DeadlineTransport(1.0, 2.0, tmp_path / "nonexistent")).status == 200
    assert not AUTHORITIES.exists(), "the source tree has no folder of authorities"


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://ssm.test.", "ssm.test"),
        ("https://ssm.test.:443/", "ssm.test"),
        ("http://ssm.test:80", "ssm.test"),
        ("http://ssm.test:443", "ssm.test:443"),
        ("http://[::1]:4566", "[::1]:4566"),
    ],
)
def test_the_host_header_omits_the_default_port(url: str, header: str) -> None:
    assert host_header(urlsplit(url)) == header
