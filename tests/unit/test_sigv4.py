"""Signatures by botocore and curl are accepted, others refused."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from roomkey_cli.local.gateway import Gateway
from roomkey_cli.local.sigv4 import LocalKey, SignatureRefused, verify
from support.http import send, serve

KEY = LocalKey("ROOMKEYDEMO", "roomkey-demo")
TARGET = "/v1/100ms/management-token"
SHA256_OF_BRACES = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
IDENTITY = {
    "accessKey": "ROOMKEYDEMO",
    "accountId": "000000000000",
    "callerId": "AIDAROOMKEYDEMO",
    "cognitoIdentity": None,
    "principalOrgId": "aws:PrincipalOrgID",
    "userArn": "arn:aws:iam::000000000000:user/roomkey-demo",
    "userId": "AIDAROOMKEYDEMO",
}


@dataclass(frozen=True)
class Signed:
    """A signed request as the gateway receives it."""

    method: str = "POST"
    target: str = TARGET
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b"{}"

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def having(self, name: str, value: str) -> "Signed":
        return replace(self, headers=[*((n, v) for n, v in self.headers if n != name), (name, value)])

    def edited(self, name: str, old: str, new: str) -> "Signed":
        assert old in self.header(name)
        return self.having(name, self.header(name).replace(old, new))

    def verify(self, later_s: float = 0) -> dict[str, object]:
        return verify(KEY, self.method, self.target, self.headers, self.body, clock=lambda: time.time() + later_s)


def sign(
    *,
    method: str = "POST",
    target: str = TARGET,
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    key: str = KEY.id,
    secret: str = KEY.secret,
    token: str | None = None,
    service: str = "execute-api",
    region: str = "eu-west-3",
    signer: type[Any] = SigV4Auth,
) -> Signed:
    host = {"Host": "localhost:8000"}
    request = AWSRequest(method, f"http://localhost:8000{target}", data=body, headers=host | (headers or {}))
    signer(Credentials(key, secret, token), service, region).add_auth(request)
    sent = [(name.lower(), value) for name, value in request.headers.items()]
    return Signed(method, target, sent, body)


class SignsAll(SigV4Auth):  # type: ignore[misc]
    """A client that signs every header it sends, as curl does; botocore omits some."""

    def headers_to_sign(self, request: Any) -> HTTPMessage:
        headers = HTTPMessage()
        for name, value in request.headers.items():
            headers[name.lower()] = value
        return headers


class SignsNoHost(SigV4Auth):  # type: ignore[misc]
    def headers_to_sign(self, request: Any) -> Any:
        headers = super().headers_to_sign(request)
        del headers["host"]
        return headers


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(sign, id="json"),
        pytest.param(lambda: sign(region="us-gov-west-1"), id="any region"),
        pytest.param(lambda: sign(body=b""), id="no body"),
        pytest.param(lambda: sign(method="GET", body=b""), id="get"),
        pytest.param(lambda: sign(body=bytes(range(256))), id="bytes"),
        pytest.param(lambda: sign(target=TARGET + "?b=2&a=1&a=0&empty=&flag"), id="query"),
        pytest.param(lambda: sign(target="/v1/a%20b/management-token"), id="escaped path"),
        pytest.param(lambda: sign(headers={"Content-Type": "application/json"}), id="signed header"),
        pytest.param(lambda: sign(headers={"X-Odd": "  two   blanks "}), id="blanks"),
        pytest.param(lambda: sign(headers={"User-Agent": "me/1"}, signer=SignsAll), id="signed user-agent"),
        pytest.param(lambda: sign(token="a session"), id="session token"),
        pytest.param(lambda: sign(headers={"X-Amz-Content-SHA256": SHA256_OF_BRACES}), id="true content hash"),
        pytest.param(lambda: sign().edited("authorization", ", ", ","), id="commas without blanks"),
        pytest.param(lambda: sign().having("x-unsigned", "anything"), id="unsigned header"),
    ],
)
def test_a_request_signed_by_botocore_is_accepted(signed: Any) -> None:
    assert signed().verify() == IDENTITY


def test_a_repeated_signed_header_is_signed_in_full() -> None:
    signed = sign(headers={"X-Twice": "a,b"})
    headers = [(name, value) for name, value in signed.headers if name != "x-twice"]

    assert replace(signed, headers=[*headers, ("x-twice", "a"), ("x-twice", "b")]).verify() == IDENTITY
    with pytest.raises(SignatureRefused, match="does not match"):
        replace(signed, headers=[*headers, ("x-twice", "a,b"), ("x-twice", "c")]).verify()


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        pytest.param(lambda s: replace(s, method="GET"), "does not match", id="method"),
        pytest.param(lambda s: replace(s, target="/v1/agora/management-token"), "does not match", id="path"),
        pytest.param(lambda s: replace(s, target=TARGET + "?role=admin"), "does not match", id="query"),
        pytest.param(lambda s: replace(s, target=TARGET + "#x"), "fragment", id="fragment"),
        pytest.param(lambda s: replace(s, body=b'{"expires_in":86400}'), "does not match", id="body"),
        pytest.param(lambda s: s.having("host", "example.com"), "does not match", id="host"),
        pytest.param(lambda s: s.edited("authorization", "/eu-west-3/", "/us-east-1/"), "does not match", id="region"),
        pytest.param(lambda s: s.having("authorization", ""), "not a SigV4", id="empty"),
        pytest.param(lambda s: s.having("authorization", "Bearer a.b.c"), "not a SigV4", id="bearer"),
        pytest.param(lambda s: s.edited("authorization", "HMAC-SHA256", "HMAC-SHA1"), "not a SigV4", id="algorithm"),
        pytest.param(lambda s: s.edited("authorization", "Signature=", "Signature=0"), "not a SigV4", id="length"),
        pytest.param(lambda s: s.having("authorization", s.header("authorization") + ", x"), "not a SigV4", id="tail"),
        pytest.param(lambda s: replace(s, headers=s.headers[:0]), "is not signed", id="nothing"),
        pytest.param(lambda s: replace(s, headers=s.headers * 2), "exactly one authorization", id="twice"),
        pytest.param(
            lambda s: replace(s, headers=[*s.headers, ("x-amz-date", s.header("x-amz-date"))]),
            "exactly one x-amz-date",
            id="two dates",
        ),
        # The others have a correct signature, and break one rule.
        pytest.param(lambda s: s.edited("authorization", "host;x", "x-amz-date;host;x"), "sorted", id="unsorted"),
        pytest.param(lambda s: s.edited("authorization", "host;", "host;host;"), "sorted", id="repeated"),
        pytest.param(lambda s: s.edited("authorization", "host;x", "host;not-sent;x"), "missing", id="header not sent"),
        pytest.param(
            lambda s: s.edited("authorization", s.header("x-amz-date")[:8], "20200101"), "day", id="another day"
        ),
    ],
)
def test_a_request_changed_after_signing_is_refused(tamper: Any, reason: str) -> None:
    signed = sign()
    assert signed.verify()
    with pytest.raises(SignatureRefused, match=reason):
        tamper(signed).verify()


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        pytest.param(lambda: sign(secret="roomkey-dem0"), "does not match", id="wrong secret"),
        pytest.param(lambda: sign(key="AKIAIOSFODNN7EXAMPLE"), "unknown", id="unknown key"),
        pytest.param(lambda: sign(service="s3"), "another service", id="another service"),
        pytest.param(lambda: sign(signer=SignsNoHost), "host", id="host unsigned"),
        pytest.param(lambda: sign(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}), "hash", id="unsigned payload"),
        pytest.param(
            lambda: replace(sign(headers={"X-Amz-Content-SHA256": SHA256_OF_BRACES}), body=b"[]"),
            "hash",
            id="body swapped under its signed hash",
        ),
        pytest.param(lambda: sign(headers={"Date": "now"}), "exactly one x-amz-date", id="Date in place of X-Amz-Date"),
    ],
)
def test_a_wrongly_signed_request_is_refused(signed: Any, reason: str) -> None:
    with pytest.raises(SignatureRefused, match=reason):
        signed().verify()


@pytest.mark.parametrize("nonsense", ["20260231T000000Z", "20261301T000000Z"])
def test_an_invalid_day_is_refused(nonsense: str) -> None:
    signed = sign()
    day = signed.header("x-amz-date")[:8]
    with pytest.raises(SignatureRefused, match="not a time"):
        signed.having("x-amz-date", nonsense).edited("authorization", day, nonsense[:8]).verify()


def test_a_signature_is_good_for_five_minutes_either_way() -> None:
    signed = sign()
    assert signed.verify(later_s=297) == signed.verify(later_s=-297) == IDENTITY
    for off_s in (302, -302):
        with pytest.raises(SignatureRefused, match="five minutes"):
            signed.verify(later_s=off_s)


def test_a_key_is_drawn_for_each_run_and_hides_its_secret() -> None:
    one, other = LocalKey.generate(), LocalKey.generate()
    assert (one.id, one.secret) != (other.id, other.secret)
    assert one.secret not in repr(one)
    assert re.fullmatch(r"ROOMKEY[A-Z2-7]{13} [0-9a-f]{40}", f"{one.id} {one.secret}")


def test_the_service_must_be_one_of_those_served() -> None:
    signed = sign(service="ssm")
    with pytest.raises(SignatureRefused, match="another service than execute-api"):
        signed.verify()
    assert verify(KEY, signed.method, signed.target, signed.headers, signed.body, services=("ssm", "secretsmanager"))


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        return {"statusCode": 200, "body": event["requestContext"]["authorizer"]["iam"]["userArn"]}

    with serve(lambda _url: Gateway(handler, key=KEY)) as url:
        yield url


CURL = [
    pytest.param(["-X", "POST", "-H", "Content-Type: application/json", "--data-binary", "{}"], id="the README's"),
    pytest.param(["-d", '{"expires_in": 600}'], id="-d, form type unsigned"),
    pytest.param(["-X", "POST"], id="no body"),
    pytest.param(["-d", "{}", "-A", "my-agent/1"], id="-A"),
    pytest.param(["-d", "{}", "-H", "User-Agent: signed/1", "-H", "Accept: */*"], id="signed user-agent"),
    pytest.param(["-d", "{}", "-H", "X-Amz-Security-Token: session"], id="session token"),
]


def curl_version() -> tuple[int, ...]:
    """Return the installed curl's version; (0,) without curl."""
    if shutil.which("curl") is None:
        return (0,)
    shown = subprocess.run(["curl", "-q", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    return tuple(int(part) for part in re.findall(r"[0-9]+", shown.split()[1])[:2])


needs_curl = pytest.mark.skipif(curl_version() < (7, 75), reason="curl 7.75 or newer is not installed")


@needs_curl
@pytest.mark.parametrize("arguments", CURL)
def test_curl_signs_in(gateway_url: str, arguments: list[str]) -> None:
    assert curl(gateway_url, "ROOMKEYDEMO:roomkey-demo", arguments) == (
        "arn:aws:iam::000000000000:user/roomkey-demo",
        200,
    )


@needs_curl
def test_curl_with_another_secret_is_refused(gateway_url: str) -> None:
    assert curl(gateway_url, "ROOMKEYDEMO:roomkey-dem0", ["-d", "{}"]) == ('{"message":"Forbidden"}', 403)


def curl(base_url: str, user: str, arguments: list[str]) -> tuple[str, int]:
    command = ["curl", "-q", "-sS", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", user]
    url = base_url + TARGET
    done = subprocess.run(
        [*command, "-w", "\n%{http_code}", *arguments, url], capture_output=True, text=True, timeout=30, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return body, int(status)


def test_botocore_signs_in_over_http(gateway_url: str) -> None:
    signed = sign(headers={"Content-Type": "application/json"})
    reply = send(gateway_url, signed.method, signed.target, signed.headers, signed.body)
    assert (reply.status, reply.body) == (200, b"arn:aws:iam::000000000000:user/roomkey-demo")

    tampered = send(gateway_url, signed.method, signed.target, signed.headers, b"[]")
    assert (tampered.status, tampered.body) == (403, b'{"message":"Forbidden"}')
