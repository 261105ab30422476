"""The part of botocore's data that is deployed with the function: as botocore has it, and enough for every region."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.loaders import Loader

from roomkey.aws.client import SDK_DATA, SERVICES, AwsApi
from roomkey.clock import SystemClock
from support.scripts import loaded

ROOT = Path(__file__).parents[2]


script = loaded("requirements/sdk_data.py")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of AWS."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DATA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_it_is_what_the_installed_botocore_says() -> None:
    """If it is not: `make sdk-data`, and a look at what has changed."""
    expected = dict(script.files())

    assert {str(path.relative_to(SDK_DATA)) for path in SDK_DATA.rglob("*.json")} == expected.keys()
    for name, text in expected.items():
        assert (SDK_DATA / name).read_text() == text, name


def test_it_is_for_the_services_that_are_used() -> None:
    assert set(script.OPERATIONS) == set(SERVICES)


def test_it_is_small() -> None:
    """It is there to be quick to read."""
    assert sum(path.stat().st_size for path in SDK_DATA.rglob("*")) < 100_000


def _clients(region: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, Any]]:
    """For each service the function's client, and the one that botocore makes of all its data."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    ours, theirs = AwsApi(SystemClock(), lambda: 0.5), botocore.session.get_session()
    return {service: (ours._client(service), theirs.create_client(service)) for service in SERVICES}


@pytest.mark.parametrize(
    "region",
    ["us-east-1", "eu-central-1", "ap-southeast-7", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "eu-west-99"],
)
def test_every_region_has_the_endpoint_that_botocore_knows(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each partition, and in regions that are yet to be built."""
    for ours, theirs in _clients(region, monkeypatch).values():
        assert ours.meta.endpoint_url == theirs.meta.endpoint_url
        assert region in ours.meta.endpoint_url


def test_fips_endpoints_are_those_that_botocore_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    for ours, theirs in _clients("us-east-1", monkeypatch).values():
        assert ours.meta.endpoint_url == theirs.meta.endpoint_url
        assert "fips" in ours.meta.endpoint_url


def test_what_is_not_in_it_comes_from_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime's botocore that asks for a file which this one does not have, finds its own."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    loader = AwsApi(SystemClock(), lambda: 0.5)._session.get_component("data_loader")

    for name in ("partitions", "sdk-default-configuration", "_retry"):
        assert loader.load_data(name) == Loader().load_data(name)


def test_clients_are_made_and_tried_without_a_connection_or_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under SnapStart that is before the snapshot, and the role's credentials come over HTTP."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/credentials")
    aws = AwsApi(SystemClock(), lambda: 0.5)
    asked: list[AWSPreparedRequest] = []

    def send(request: AWSPreparedRequest, **how: object) -> AWSResponse:
        asked.append(request)
        return really_send(request, **how)

    def connect(*_: object, **__: object) -> None:
        raise AssertionError

    really_send = aws._transport.send
    monkeypatch.setattr(aws._transport, "send", send)
    monkeypatch.setattr(aws._transport, "_connect", connect)

    aws.prepare()

    assert aws._clients.keys() == set(SERVICES)
    assert [one.headers["X-Amz-Target"].decode() for one in asked] == [
        "secretsmanager.GetSecretValue",
        "AmazonSSM.GetParameters",
    ]
    assert not any("Authorization" in one.headers for one in asked)


def test_after_a_call_was_tried_calls_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws = AwsApi(SystemClock(), lambda: 0.5)
    aws.prepare()
    asked: list[AWSPreparedRequest] = []
    for service in SERVICES:
        aws._client(service).meta.events.register_first("before-send", lambda request, **_: asked.append(request))

    with aws._transport.within(None):
        aws._client("ssm").get_parameters(Names=["a"])
        aws._client("secretsmanager").get_secret_value(SecretId="a")

    assert [one.headers["Authorization"].decode()[:36] for one in asked] == 2 * ["AWS4-HMAC-SHA256 Credential=made-up/"]


def test_without_a_region_a_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call says then what is missing; the route for health is answered."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)

    AwsApi(SystemClock(), lambda: 0.5).prepare()
