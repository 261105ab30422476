"""Verify SigV4 signatures as API Gateway does on a route with IAM authorization, and sign with the local key.

`roomkey run` draws one key for each run. With it, `curl --aws-sigv4` and the AWS SDKs sign in to the local stack as
they would to a deployed one. Presigned URLs are not accepted.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPMessage
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

DEMO_ACCOUNT = "000000000000"
DEMO_PRINCIPAL = f"arn:aws:iam::{DEMO_ACCOUNT}:user/roomkey-demo"
DEMO_USER_ID = "AIDAROOMKEYDEMO"

SERVICE = "execute-api"
MAX_SKEW_SECONDS = 300
"""How far a signature's time may be from this machine's clock, as on AWS."""

_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +"
    r"Credential=(?P<key>[^/,\s]+)/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request, *"
    r"SignedHeaders=(?P<headers>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_AMZ_DATE = "%Y%m%dT%H%M%SZ"


class SignatureRefused(Exception):
    """The request is not signed with the local key; the text is a fixed sentence that quotes nothing from it."""


class LocalKey:
    """An access key of the local stack: its id and its secret, which `repr` hides."""

    __slots__ = ("id", "secret")

    def __init__(self, key_id: str, secret: str) -> None:
        self.id = key_id
        self.secret = secret

    def __repr__(self) -> str:
        return f"LocalKey({self.id!r})"

    @classmethod
    def generate(cls) -> "LocalKey":
        """Return a random key, both parts safe in a shell."""
        return cls("ROOMKEY" + "".join(secrets.choice(_ID_LETTERS) for _ in range(13)), secrets.token_hex(20))


class _Signer(SigV4Auth):  # type: ignore[misc]
    """botocore's signer, restricted to the headers that the client signed.

    botocore would choose the headers itself, and skip some that a client may sign (user-agent).
    """

    def __init__(self, key: LocalKey, service: str, region: str, signed: HTTPMessage) -> None:
        super().__init__(Credentials(key.id, key.secret), service, region)
        self._signed = signed

    def headers_to_sign(self, _request: Any) -> HTTPMessage:
        return self._signed


def verify(
    key: LocalKey,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    services: Collection[str] = (SERVICE,),
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Check that `key` signed this request, and return the `authorizer.iam` block of payload format 2.0.

    Args:
        key: The only key that is accepted.
        method: The HTTP method.
        target: The request target as sent, query included.
        headers: All headers, names in lower case, repeats kept.
        body: The whole body.
        services: The services that the signature may be for.
        clock: Returns Unix seconds.

    Raises:
        SignatureRefused: The request is not signed by `key`, for one of `services`, now.
    """
    if not any(name == "authorization" for name, _ in headers):
        raise SignatureRefused("the request is not signed (AWS SigV4)")
    authorization = _only(headers, "authorization")
    claimed = _AUTHORIZATION.fullmatch(authorization)
    if claimed is None:
        raise SignatureRefused("the Authorization header is not a SigV4 signature")
    if claimed["service"] not in services:
        raise SignatureRefused(f"the signature is for another service than {' or '.join(services)}")
    if claimed["key"] != key.id:
        raise SignatureRefused("the access key is unknown")

    amz_date = _only(headers, "x-amz-date")
    _check_time(amz_date, claimed["day"], clock())
    # botocore trusts a signed x-amz-content-sha256, so a body swapped afterwards would pass.
    for name, value in headers:
        if name == "x-amz-content-sha256" and value != hashlib.sha256(body).hexdigest():
            raise SignatureRefused("x-amz-content-sha256 is not the body's hash")
    if "#" in target:  # The URL parser would cut the path here and leave the rest unsigned.
        raise SignatureRefused("the request target contains a fragment")

    signed = _signed_headers(headers, claimed["headers"])
    # Host is signed as a header; plain http makes botocore hash the body.
    request = AWSRequest(method, f"http://localhost{target}", data=body, headers=dict(signed.items()))
    request.context["timestamp"] = amz_date
    signer = _Signer(key, claimed["service"], claimed["region"], signed)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if not hmac.compare_digest(expected, claimed["signature"]):
        raise SignatureRefused("the signature does not match the request")
    return _demo_identity(key)


def sign(key: LocalKey, method: str, url: str, headers: Mapping[str, str], body: bytes, region: str) -> dict[str, str]:
    """Return the headers to add to a request so that it is signed with `key`, now."""
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    SigV4Auth(Credentials(key.id, key.secret), SERVICE, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in headers}


def _demo_identity(key: LocalKey) -> dict[str, object]:
    """Return the demo principal as API Gateway describes an IAM user."""
    return {
        "accessKey": key.id,
        "accountId": DEMO_ACCOUNT,
        "callerId": DEMO_USER_ID,
        "cognitoIdentity": None,
        "principalOrgId": "aws:PrincipalOrgID",
        "userArn": DEMO_PRINCIPAL,
        "userId": DEMO_USER_ID,
    }


def _only(headers: Sequence[tuple[str, str]], name: str) -> str:
    values = [value for key, value in headers if key == name]
    if len(values) != 1:
        raise SignatureRefused(f"exactly one {name} header is expected")
    return values[0]


def _check_time(amz_date: str, day: str, now: float) -> None:
    if not re.fullmatch(day + "T[0-9]{6}Z", amz_date):
        raise SignatureRefused("x-amz-date is not a time on the credential's day")
    try:
        signed_at = datetime.strptime(amz_date, _AMZ_DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise SignatureRefused("x-amz-date is not a time") from None
    if abs(now - signed_at) > MAX_SKEW_SECONDS:
        raise SignatureRefused("the signature's time is more than five minutes from this machine's")


def _signed_headers(headers: Sequence[tuple[str, str]], names: str) -> HTTPMessage:
    wanted = names.split(";")
    if wanted != sorted(set(wanted)) or "host" not in wanted:
        raise SignatureRefused("SignedHeaders is not a sorted list with host in it")
    signed = HTTPMessage()
    for name, value in headers:
        if name in wanted:
            signed[name] = value
    if set(signed) != set(wanted):
        raise SignatureRefused("a signed header is missing from the request")
    return signed
