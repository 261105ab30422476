"""moto's server behind a proxy that records every call and can be set to fail."""

import functools
import http.client
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "example-of-a-secret-access-key"}

_numbers = itertools.count()  # moto keeps one state per process, so names are unique over all doubles.

_loader = functools.cache(botocore.loaders.create_loader)
"""botocore's loader, which remembers the service models that it has read: one for all clients of the tests."""


SSM = "AmazonSSM"
SECRETS_MANAGER = "secretsmanager"
GET_FLAG = f"{SSM}.GetParameters"
GET_SECRET = f"{SECRETS_MANAGER}.GetSecretValue"


@dataclass(frozen=True, slots=True)
class Failure:
    """A response instead of moto's."""

    status: int
    body: str

    @classmethod
    def error(cls, status: int, code: str, message: str) -> "Failure":
        return cls(status, json.dumps({"__type": code, "message": message, "Message": message}))


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the operation and its arguments."""

    operation: str
    asked: dict[str, Any]


@dataclass
class Aws:
    """One AWS for all tests. Each test uses its own environment name."""

    url: str
    moto_url: str
    calls: list[Call] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known: dict[str, Any] = {
            "endpoint_url": self.moto_url,
            "region_name": REGION,
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        self.ssm = boto3.client("ssm", **known)
        self.secrets = boto3.client("secretsmanager", **known)

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that point the function here."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION}

    @property
    def operations(self) -> list[str]:
        """The operations called, in order."""
        return [call.operation for call in self.calls]

    def new_environment(self) -> str:
        """Return a new environment name."""
        return f"test-{next(_numbers)}"

    def lead_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the SDK here, whatever this machine has configured."""
        for name, value in {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        for name in (
            *("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
            *("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(botocore.session, "create_loader", _loader)

    def forget(self) -> None:
        """Clear the recorded calls and the failures."""
        self.calls.clear()
        self.failures.clear()

    def put_flag(self, environment: str, text: str) -> None:
        self.ssm.put_parameter(Name=f"/roomkey/{environment}/disabled", Value=text, Type="String", Overwrite=True)

    def put_policy(self, environment: str, text: str) -> None:
        self.ssm.put_parameter(Name=f"/roomkey/{environment}/policy", Value=text, Type="String", Overwrite=True)

    def put_block_list(self, environment: str, text: str) -> None:
        self.ssm.put_parameter(Name=f"/roomkey/{environment}/blocked", Value=text, Type="String", Overwrite=True)

    def put_secret(self, environment: str, text: str, platform: str = "100ms") -> None:
        self.secrets.create_secret(Name=f"roomkey/{environment}/{platform}", SecretString=text)

    def fail(self, service: str, failure: Failure) -> None:
        """Answer `service` (`SSM` or `SECRETS_MANAGER`) or one of its operations with `failure`."""
        self.failures[service] = failure


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def aws_double() -> Iterator[Aws]:
    """Run an AWS until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It logs every request.
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            operation = self.headers["x-amz-target"]
            aws.calls.append(Call(operation, json.loads(body)))
            failure = aws.failures.get(operation) or aws.failures.get(operation.split(".")[0])
            status, answer = (failure.status, failure.body.encode()) if failure else self._ask_moto(body)
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _ask_moto(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(host, port, timeout=10)
            try:
                connection.request("POST", self.path, body, dict(self.headers))
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Do not log."""

    with _Server(("127.0.0.1", 0), Door) as door:
        aws = Aws(url=f"http://127.0.0.1:{door.server_port}", moto_url=f"http://{host}:{port}")
        thread = Thread(target=door.serve_forever, daemon=True)
        thread.start()
        try:
            yield aws
        finally:
            door.shutdown()
            thread.join()
            aws.ssm.close()
            aws.secrets.close()
            moto.stop()
