"""The guard in front of every local listener: Host, Origin, the key of the run, and timeouts."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from roomkey.settings import Settings
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.local import guard
from roomkey_cli.local.aws_stand_in import AwsStandIn
from roomkey_cli.local.sigv4 import DEMO_PRINCIPAL, LocalKey
from support.http import Reply, send, serve

LOCAL = "127.0.0.1:8000"
WEB = "https://app.example.com"
EVIL = "http://evil.example"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the path after the whole request has arrived."""
    if scope["type"] == "lifespan":
        return
    request = Request(scope, receive)
    await request.body()
    await asyncio.sleep(float(request.query_params.get("seconds", 0)))
    await JSONResponse({"path": request.url.path, "prefix": guard.prefix(scope)})(scope, receive, send)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with serve(lambda _: guard.Guard(echo, hosts=guard.LOOPBACK_HOSTS, origins=[WEB])) as url:
        yield url


@pytest.fixture(scope="module")
def keyed() -> Iterator[str]:
    with serve(lambda _: guard.Guard(echo, hosts=guard.LOOPBACK_HOSTS, path_key="k3y")) as url:
        yield url


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/api/token", {"Host": LOCAL}),
        ("POST", "/api/token", {"Host": "localhost:8000"}),
        ("POST", "/api/token", {"Host": "LOCALHOST"}),
        ("POST", "/api/token", {"Host": "[::1]:8000"}),
        ("POST", "/api/token", {"Host": "10.0.2.2:8000"}),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": f"http://{LOCAL}"}),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": WEB, "Sec-Fetch-Site": "cross-site"}),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": "http://localhost:5173", "Sec-Fetch-Site": "cross-site"}),
        ("POST", "/api/token", {"Host": "localhost:8000", "Origin": "http://127.0.0.1:5500"}),
        ("PUT", "/console/api/policy", {"Host": LOCAL, "Origin": f"http://{LOCAL}"}),
        ("GET", "/console", {"Host": LOCAL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        ("GET", "/console/console.js", {"Host": LOCAL, "Sec-Fetch-Site": "same-origin"}),
        ("OPTIONS", "/api/token", {"Host": LOCAL, "Origin": EVIL}),
    ],
)
def test_a_request_of_this_machine_passes(guarded: str, method: str, path: str, headers: dict[str, str]) -> None:
    assert send(guarded, method, path, headers).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "reason"),
    [
        ("POST", "/api/token", {"Host": "evil.example"}, "is not this stack"),
        ("GET", "/v1/health", {"Host": "evil.example:8000"}, "is not this stack"),
        ("GET", "/", {"Host": "127.0.0.1.evil.example"}, "is not this stack"),
        ("GET", "/", {"Host": "localhost.evil.example"}, "is not this stack"),
        ("GET", "/", {"Host": "evil.example@127.0.0.1"}, "is not this stack"),
        ("GET", "/", {"Host": "127.0.0.1:abc"}, "is not this stack"),
        ("GET", "/", {"Host": "192.168.1.2"}, "is not this stack"),
        ("GET", "/", {"Host": "[::1"}, "is not this stack"),
        ("GET", "/", {"Host": ""}, "is not this stack"),
        ("POST", "/demo/token", {"Host": LOCAL, "Origin": EVIL}, "may not call /demo/token"),
        ("POST", "/demo/token", {"Host": LOCAL, "Origin": WEB}, "may not call /demo/token"),
        ("POST", "/demo/token", {"Host": LOCAL, "Origin": "http://localhost:1"}, "may not call /demo/token"),
        ("GET", "/console/api/stack", {"Host": LOCAL, "Origin": "http://127.0.0.1:1"}, "may not call /console"),
        ("PUT", "/console/api/flag", {"Host": LOCAL, "Origin": "http://localhost:1"}, "may not call /console"),
        ("GET", "/console/api/state", {"Host": LOCAL, "Origin": "null"}, "may not call /console"),
        ("OPTIONS", "/console/api/flag", {"Host": LOCAL, "Origin": EVIL}, "may not call /console"),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": EVIL}, f"start with --origin {EVIL}"),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": "null"}, "CORS: null is not allowed"),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": "http://localhost.evil.example"}, "is not allowed"),
        ("POST", "/api/token", {"Host": LOCAL, "Origin": "http://127.0.0.1.evil.example"}, "is not allowed"),
        ("GET", "/console/console.js", {"Host": LOCAL, "Sec-Fetch-Site": "cross-site"}, "of another site"),
    ],
)
def test_a_foreign_request_is_refused(
    guarded: str, method: str, path: str, headers: dict[str, str], reason: str
) -> None:
    reply = send(guarded, method, path, headers)
    assert reply.status == 403
    assert reason in json.loads(reply.body)["message"]
    assert reply.header("access-control-allow-origin") is None


@pytest.mark.parametrize("name", ["Origin", "Host"])
def test_a_repeated_header_is_refused(guarded: str, name: str) -> None:
    value = {"Origin": WEB, "Host": LOCAL}[name]
    assert send(guarded, "GET", "/", [("Host", LOCAL), ("Origin", WEB), (name, value)]).status in (400, 403)


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost:8000/api/token", LOCAL, 200),
        ("http://localhost:8000/api/token", "evil.example", 200),
        ("http://evil.example/api/token", LOCAL, 403),
        ("http://ada@localhost/api/token", LOCAL, 403),
        ("http://localhost:8000", LOCAL, 200),
    ],
)
def test_the_host_of_a_target_in_absolute_form_counts(guarded: str, target: str, host: str, status: int) -> None:
    assert send(guarded, "GET", target, {"Host": host}).status == status


def test_a_path_key_is_found_in_a_target_in_absolute_form(keyed: str) -> None:
    assert send(keyed, "GET", "http://localhost/k3y/v1/health").status == 200
    assert send(keyed, "GET", "http://localhost/v1/health").status == 403


def test_a_path_key_is_required_and_removed(keyed: str) -> None:
    assert json.loads(send(keyed, "GET", "/k3y/v1/health").body) == {"path": "/v1/health", "prefix": "/k3y"}
    assert json.loads(send(keyed, "GET", "/k3y").body)["path"] == "/"
    for path in ("/v1/health", "/", "/k3z/v1/health", "/k3yx/v1/health", "//k3y/v1/health"):
        reply = send(keyed, "GET", path)
        assert (reply.status, "lacks the key of this run" in reply.body.decode()) == (403, True)


# The stand-in for AWS

KEY = LocalKey("ROOMKEYTESTKEY", "s3cret")
SETTINGS = Settings.from_environment({"ENVIRONMENT": "local"})
PARAMETER = b'{"Name":"/roomkey/local/disabled"}'
GET_PARAMETER = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    stand_in = AwsStandIn("127.0.0.1", 0, key=KEY, hosts=[guard.CONTAINER_HOST])
    url = stand_in.start()
    stand_in.seed(url, SETTINGS, '{"rules": []}', {"100ms": {"app_secret": "hidden"}}, "us-east-1")
    yield url
    stand_in.stop()


def client(service: str, url: str, *, secret: str = KEY.secret, key_id: str = KEY.id) -> Any:
    config = Config(retries={"total_max_attempts": 1})
    return boto3.Session(key_id, secret, region_name="us-east-1").client(service, endpoint_url=url, config=config)


def call(
    url: str, changed: dict[str, str], body: bytes = PARAMETER, *, target: str = "/", method: str = "POST"
) -> Reply:
    """Return a signed call of SSM; `changed` headers are added after signing."""
    request = AWSRequest(method, url + target, data=body, headers=dict(GET_PARAMETER))
    SigV4Auth(Credentials(KEY.id, KEY.secret), "ssm", "us-east-1").add_auth(request)
    return send(url, method, target, dict(request.headers.items()) | changed, body)


def test_the_key_of_the_run_opens_parameters_and_secrets(aws: str) -> None:
    assert client("ssm", aws).get_parameter(Name="/roomkey/local/disabled")["Parameter"]["Value"] == "false"
    secret = client("secretsmanager", aws).get_secret_value(SecretId="roomkey/local/100ms")
    assert json.loads(secret["SecretString"]) == {"app_secret": "hidden"}
    assert call(aws, {}).status == 200


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("any", "any"), (KEY.id, "any"), ("ROOMKEYOTHERRUN", KEY.secret), ("ROOMKEYDEMO", "roomkey-demo")],
)
def test_another_key_opens_nothing(aws: str, key_id: str, secret: str) -> None:
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client("secretsmanager", aws, key_id=key_id, secret=secret).get_secret_value(SecretId="roomkey/local/100ms")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:5173"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "evil.example"},
        {"Host": "evil.example:4566"},
        {"Host": ""},
    ],
    ids=str,
)
def test_a_browser_or_another_name_is_refused_even_with_the_key(aws: str, headers: dict[str, str]) -> None:
    reply = call(aws, headers)
    assert (reply.status, reply.header("x-amzn-errortype")) == (403, "AccessDeniedException")
    assert reply.header("access-control-allow-origin") is None


@pytest.mark.parametrize(
    "request_",
    [
        {"target": "/moto-api/data.json", "method": "GET"},
        {"target": "/moto-api/reset"},
        {"target": "/latest/meta-data/", "method": "GET"},
        {"changed": {"X-Amz-Target": "AWSCognitoIdentityProviderService.ListUserPools"}},
        {"body": b"x" * (1024 * 1024 + 1)},
    ],
    ids=str,
)
def test_only_calls_of_two_services_are_served(aws: str, request_: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # The connection may close during the large body.
        assert call(aws, request_.pop("changed", {}), **request_).status == 403


@pytest.mark.parametrize(
    ("service", "operation"),
    [("cloudformation", "create_stack"), ("s3", "list_buckets"), ("iam", "list_users"), ("lambda", "list_functions")],
)
def test_other_services_are_refused(aws: str, service: str, operation: str) -> None:
    parameters = {"StackName": "evil", "TemplateBody": "{}"} if operation == "create_stack" else {}
    with pytest.raises(ClientError, match=r"AccessDenied|UnrecognizedClient|403"):
        getattr(client(service, aws), operation)(**parameters)


def test_a_command_learns_that_it_is_the_local_stack(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)

    with pytest.raises(AwsError, match="the local stack serves ssm and secretsmanager only; Ctrl-C ends it"):
        Aws(region="us-east-1", endpoint=aws).call("lambda", "list_layer_versions", LayerName="layer")


def test_the_doctor_sees_its_identity_and_no_stack(aws: str) -> None:
    assert client("sts", aws).get_caller_identity()["Arn"] == DEMO_PRINCIPAL
    with pytest.raises(ClientError, match="ValidationError"):
        client("cloudformation", aws).describe_stacks(StackName="roomkey-local")
    assert client("logs", aws).describe_log_groups(logGroupNamePrefix="/aws")["logGroups"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client("lambda", aws).get_function(FunctionName="roomkey-local")


def test_an_unsigned_call_is_refused(aws: str) -> None:
    for headers in ({}, GET_PARAMETER, GET_PARAMETER | {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}):
        assert send(aws, "POST", "/", headers, PARAMETER).status == 403
    assert send(aws, "OPTIONS", "/", {"Origin": EVIL, "Access-Control-Request-Method": "POST"}).status == 403


# Half-sent requests


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST / HTTP/1.1\r\nHost: 127", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf"],
)
def test_a_half_sent_request_is_closed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.TimedProtocol, "request_timeout", 0.3)
    with serve(lambda _: echo, http=guard.TimedProtocol) as url:
        _assert_closed(url, sent)


def test_a_half_sent_call_to_aws_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_TIMEOUT_SECONDS", 0.3)
    stand_in = AwsStandIn("127.0.0.1", 0, key=KEY)
    url = stand_in.start()
    try:
        _assert_closed(url, b"POST / HTTP/1.1\r\nHost: 127")
        _assert_closed(url, b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf")
    finally:
        stand_in.stop()


def test_a_slow_answer_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.TimedProtocol, "request_timeout", 0.2)
    with serve(lambda _: echo, http=guard.TimedProtocol) as url:
        assert send(url, "POST", "/?seconds=0.5", body=b"{}").status == 200


def _assert_closed(url: str, sent: bytes) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    assert time.monotonic() - began < 5
    assert b" 200 " not in received
