"""The function's AWS client compared with botocore: signatures, endpoints, the role's credentials, error codes."""

import json
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import botocore.credentials
import pytest
from botocore.awsrequest import AWSRequest
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader
from botocore.parsers import JSONParser, RestJSONParser
from botocore.utils import ContainerMetadataFetcher
from hypothesis import given, settings
from hypothesis import strategies as st

from roomkey.aws import endpoints, role_credentials
from roomkey.aws.client import AwsClient, error_code
from roomkey.aws.role_credentials import AwsCredentials, NoCredentials, RoleCredentials
from roomkey.aws.signer import Scope, sign
from roomkey.aws.stores import ParameterStore, Secret
from roomkey.aws.transport import ConnectionFailed, Response
from roomkey.clock import Budget
from roomkey.errors import DependencyFailure
from support.clocks import FakeClock

TARGETS = {"ssm": "AmazonSSM.GetParameters", "secretsmanager": "secretsmanager.GetSecretValue"}
LOADER = Loader()

# --- signatures ----------------------------------------------------------------------------------------------------

_text = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=64)


@settings(max_examples=200)
@given(
    service=st.sampled_from(sorted(TARGETS)),
    region=st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
    host=st.sampled_from(["ssm.eu-central-1.amazonaws.com", "127.0.0.1:8001", "[::1]:4566"]),
    body=st.binary(max_size=300),
    key=st.tuples(_text, _text, st.just("") | _text),
    moment=st.integers(min_value=0, max_value=4_102_444_800),
)
def test_a_signature_equals_botocores(
    service: str, region: str, host: str, *, body: bytes, key: tuple[str, str, str], moment: int
) -> None:
    headers = {"content-type": "application/x-amz-json-1.1", "host": host, "x-amz-target": TARGETS[service]}
    judge = AWSRequest("POST", f"http://{host}/", data=body, headers=headers)
    with pytest.MonkeyPatch.context() as patch:
        now = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
        patch.setattr(botocore.auth, "get_current_datetime", lambda **_: now)
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(*key), service, region).add_auth(judge)

    signed = sign(headers, body, Scope(region, service), AwsCredentials(*key), moment + 0.9)

    assert signed == {name.lower(): value for name, value in judge.headers.items()}


def test_repr_hides_credentials_and_secrets() -> None:
    shown = repr([AwsCredentials("AKIASentinel", "Sentinel", "Sentinel"), Secret("Sentinel", "v1")])

    assert "Sentinel" not in shown


# --- endpoints -----------------------------------------------------------------------------------------------------


def _regions(partitions: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield every region of every partition, an unknown region, and the domain suffix."""
    yield "eu-west-99", "amazonaws.com"
    for partition in partitions:
        for region in partition["regions"]:
            yield region, partition["dnsSuffix"]


@pytest.mark.parametrize("service", TARGETS)
def test_the_endpoint_of_every_region_equals_botocores(service: str) -> None:
    rules = LOADER.load_service_model(service, "endpoint-rule-set-1")
    judge = EndpointProvider(rules, LOADER.load_data("partitions"))
    partitions = LOADER.load_data("endpoints")["partitions"]
    assert len(partitions) == 8
    for region, suffix in _regions(partitions):
        for fips in (False, True):
            environ = {"AWS_REGION": region, "URL_SUFFIX": suffix, "AWS_USE_FIPS_ENDPOINT": str(fips)}
            expected = judge.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=False).url

            # The dot makes the name absolute: the resolver skips its search list.
            assert endpoints.endpoint_url(service, environ) == f"{expected}."


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "https://ssm.eu-west-1.amazonaws.com."),
        (
            {"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SSM": "", "URL_SUFFIX": ""},
            "https://ssm.eu-west-1.amazonaws.com.",
        ),
        ({"AWS_ENDPOINT_URL": "http://here:1"}, "http://here:1"),
        ({"AWS_ENDPOINT_URL": "http://here:1", "AWS_ENDPOINT_URL_SSM": "http://there:2/"}, "http://there:2/"),
        ({"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://here:1"}, "https://ssm.eu-west-1.amazonaws.com."),
    ],
)
def test_variables_replace_an_endpoint(environ: Mapping[str, str], url: str) -> None:
    assert endpoints.endpoint_url("ssm", {"AWS_DEFAULT_REGION": "eu-west-1", **environ}) == url


# --- the role's credentials ----------------------------------------------------------------------------------------


class Answers:
    """A transport that returns each of `responses` once, and raises those that are exceptions."""

    def __init__(self, *responses: Response | Exception) -> None:
        self.responses = list(responses)
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, budget: Budget) -> Response:
        self.requests.append((method, url, headers))
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response


NOW = datetime(2036, 11, 28, 12, tzinfo=UTC)
URI = "http://127.0.0.1:9001/2021-04-23/credentials"
SNAPSTART = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": URI, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "proof"}


def role_document(key: str = "ASIA1", seconds: float = 21600, **fields: Any) -> Response:
    expires = (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    document = {"AccessKeyId": key, "SecretAccessKey": "secret", "Token": "session", "Expiration": expires, **fields}
    return Response(200, {}, json.dumps(document).encode())


def role(*responses: Response | Exception, environ: Mapping[str, str] = SNAPSTART) -> tuple[Answers, Callable[[], str]]:
    """Return the transport, and a function that reads the credentials and returns the access key."""
    answers, clock = Answers(*responses), FakeClock(wall=NOW.timestamp())
    transport: Any = answers
    credentials = RoleCredentials(transport, clock, environ)
    return answers, lambda: credentials.read(Budget.start(clock, 1.0)).access_key


def test_the_environments_key_needs_no_request() -> None:
    environ = {**SNAPSTART, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    answers, read = role(environ=environ)

    assert read() == "AKIA"
    assert answers.requests == []


def test_credentials_are_requested_as_botocore_requests_them() -> None:
    class Session:
        def send(self, request: Any) -> Any:
            asked.append((request.method, request.url, {name.lower(): text for name, text in request.headers.items()}))
            return type("Response", (), {"status_code": 200, "content": role_document().body})

    asked: list[Any] = []
    fetcher = ContainerMetadataFetcher(session=Session(), sleep=lambda _: None)
    judge = botocore.credentials.ContainerProvider(SNAPSTART, fetcher).load()
    answers, read = role(role_document())

    assert read() == judge.access_key
    assert answers.requests == asked


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/c", "http://127.9.9.9:1/c", "http://[::1]:1/c", "http://localhost/c", "https://anywhere/c"),
        *("http://169.254.170.2/c", "http://169.254.170.23/c", "http://[fd00:ec2::23]/c", "http://[0:0::1]/c"),
        *(
            "http://169.254.169.254/c",
            "http://127.0.0.1.evil.test/c",
            "http://localhost.evil.test/c",
            "http://10.0.0.1",
        ),
        *("http://127.0.0.1@evil.test/c", "http://[fd00:ec2::24]/c", "http://0.0.0.0/c", "http://LOCALHOST/c"),
    ],
)
def test_credentials_are_requested_from_the_hosts_that_botocore_allows(url: str) -> None:
    try:
        ContainerMetadataFetcher()._validate_allowed_url(url)
        allowed = True
    except ValueError:
        allowed = False
    answers, read = role(role_document(), environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})

    if allowed:
        assert read() == "ASIA1"
    else:
        with pytest.raises(NoCredentials):
            read()
    assert len(answers.requests) == allowed


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/c", "/credentials", "http://[::1", "https://"])
def test_a_url_that_is_invalid_is_not_requested(url: str) -> None:
    answers, read = role(environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})

    with pytest.raises(NoCredentials):
        read()
    assert answers.requests == []


def test_credentials_are_renewed_when_botocore_renews_them() -> None:
    judge = botocore.credentials.RefreshableCredentials

    assert judge._advisory_refresh_timeout == role_credentials.REFRESH_WANTED_SECONDS == 900
    assert judge._mandatory_refresh_timeout == role_credentials.REFRESH_NEEDED_SECONDS == 600


@pytest.mark.parametrize(
    ("seconds", "keys", "requests"),
    [(901, ["ASIA1", "ASIA1"], 1), (900, ["ASIA1", "ASIA2"], 2), (600, ["ASIA1", "ASIA2"], 2)],
)
def test_credentials_are_used_until_they_are_due(seconds: float, keys: list[str], requests: int) -> None:
    answers, read = role(role_document(seconds=seconds), role_document("ASIA2"))

    assert [read(), read()] == keys
    assert len(answers.requests) == requests


NO_CREDENTIALS = {
    "500": Response(500, {}, b"{}"),
    "no-json": Response(200, {}, b"<html>"),
    "list": Response(200, {}, b"[]"),
    "no-key": role_document(AccessKeyId=None),
    "empty-secret": role_document(SecretAccessKey=""),
    "number": role_document(Token=5),
    "no-date": role_document(Expiration="soon"),
    "no-time-zone": role_document(Expiration="2027-01-01T00:00:00"),
    "expired": role_document(seconds=0),
    "unreachable": ConnectionFailed(),
}


@pytest.mark.parametrize("failure", NO_CREDENTIALS.values(), ids=NO_CREDENTIALS)
def test_a_failed_renewal_is_an_error_only_ten_minutes_before_expiry(failure: Response | Exception) -> None:
    _, read = role(role_document(seconds=601), failure, role_document(seconds=600), failure, role_document("ASIA2"))

    assert [read(), read(), read()] == ["ASIA1"] * 3
    with pytest.raises(ConnectionFailed):
        read()
    assert read() == "ASIA2"


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        *("ThrottlingException", "com.amazonaws.ssm#InternalServerError", "a#b#AccessDeniedException"),
        *("AccessDeniedException:http://internal.amazon.com/coral/", "a.b#Code:http://x/#y", ""),
    ],
)
def test_an_error_code_equals_botocores(code: str) -> None:
    body = json.dumps({"__type": code, "message": "m"}).encode()
    judged = JSONParser().parse({"status_code": 400, "headers": {}, "body": body}, None)["Error"]["Code"]
    assert error_code(Response(400, {}, body)) == judged

    in_header = {"x-amzn-errortype": code}
    judged = RestJSONParser().parse({"status_code": 400, "headers": in_header, "body": b"{}"}, None)["Error"]["Code"]
    assert error_code(Response(400, in_header, b"{}")) == judged.rpartition("#")[2]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code": "ns#Code:uri"}', "Code"),
        (b'{"__type": "First", "code": "Second"}', "First"),
        *((body, "") for body in (b"", b"<html>", b"[]", b"null", b"{}", b'{"__type": 5}', b"\xff", b"[" * 10_000)),
    ],
)
def test_an_error_without_a_header(body: bytes, code: str) -> None:
    assert error_code(Response(400, {}, body)) == code


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_REGION": ""},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1/path"},
        {"AWS_ENDPOINT_URL": "127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": "http://user@127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:port"},
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.0.0.1/"},
    ],
)
def test_a_call_that_cannot_be_made_is_an_authoritative_failure(environ: Mapping[str, str]) -> None:
    clock = FakeClock()
    good = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}
    store = ParameterStore(AwsClient({**good, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", **environ}, clock, lambda: 0.5))

    with pytest.raises(DependencyFailure) as raised:
        store.read(["/a"], Budget.start(clock, 1.0))
    assert (raised.value.reason, raised.value.transient) == ("client-error", False)
