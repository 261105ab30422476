"""Verifies SigV4 signatures as API Gateway does on a route that demands IAM, and signs with the one key there is.

Under `roomkey run` there is one principal, whose key is public: it lets `curl --aws-sigv4` and the AWS SDKs sign in
to the local stack exactly as they would to a deployed one. A signature in the query string (a presigned URL) is not
taken.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPMessage
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from roomkey_cli.aws.propagation import SIGNATURE_SKEW_SECONDS

DEMO_ACCESS_KEY = "ROOMKEYDEMO"
DEMO_SECRET_KEY = "roomkey-demo"  # noqa: S105 (no secret: it opens the local stack alone)
DEMO_ACCOUNT = "000000000000"
DEMO_PRINCIPAL = f"arn:aws:iam::{DEMO_ACCOUNT}:user/roomkey-demo"

SERVICE = "execute-api"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +"
    r"Credential=(?P<key>[^/,\s]+)/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request, *"
    r"SignedHeaders=(?P<headers>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_AMZ_DATE = "%Y%m%dT%H%M%SZ"


class SignatureRefused(Exception):
    """The request is not signed by the demo key; the text is a fixed sentence that quotes none of it."""


class _Signer(SigV4Auth):  # type: ignore[misc]
    """botocore's signer, signing exactly the headers that the client named.

    Left alone it would choose them itself, and leave out some that a client may have signed (user-agent).
    """

    def __init__(self, region: str, signed: HTTPMessage) -> None:
        super().__init__(Credentials(DEMO_ACCESS_KEY, DEMO_SECRET_KEY), SERVICE, region)
        self._signed = signed

    def headers_to_sign(self, _request: Any) -> HTTPMessage:
        return self._signed


def verify(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    clock: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Check that the demo key signed this request, and say who that is.

    `target` is the request target as it was sent, query included; `headers` are all of them, names in lower case,
    with repeats; `clock` gives Unix seconds. Returns the `authorizer.iam` block of API Gateway's payload format 2.0.
    Raises `SignatureRefused` for everything else.
    """
    authorization = _the_only(headers, "authorization")
    claimed = _AUTHORIZATION.fullmatch(authorization)
    if claimed is None:
        raise SignatureRefused("the Authorization header is not a SigV4 signature")
    if claimed["service"] != SERVICE:
        raise SignatureRefused("the signature is for another service than execute-api")
    if claimed["key"] != DEMO_ACCESS_KEY:
        raise SignatureRefused("the access key is unknown")

    amz_date = _the_only(headers, "x-amz-date")
    _check_time(amz_date, claimed["day"], clock())
    # botocore believes a signed x-amz-content-sha256, and would vouch for a body that was swapped afterwards.
    for name, value in headers:
        if name == "x-amz-content-sha256" and value != hashlib.sha256(body).hexdigest():
            raise SignatureRefused("x-amz-content-sha256 is not the body's hash")
    if "#" in target:  # the URL parser would cut the path here, and the rest would go unsigned
        raise SignatureRefused("the request target holds a fragment")

    signed = _signed_headers(headers, claimed["headers"])
    # Host takes part as a header; the URL lends its path and query, and its plain http makes botocore hash the body.
    request = AWSRequest(method, f"http://localhost{target}", data=body, headers=dict(signed.items()))
    request.context["timestamp"] = amz_date
    signer = _Signer(claimed["region"], signed)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if not hmac.compare_digest(expected, claimed["signature"]):
        raise SignatureRefused("the signature does not match the request")
    return _demo_identity()


def sign(method: str, url: str, headers: Mapping[str, str], body: bytes, region: str) -> dict[str, str]:
    """The headers that a request with these `headers` needs beside them to be signed by the demo key, now."""
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    SigV4Auth(Credentials(DEMO_ACCESS_KEY, DEMO_SECRET_KEY), SERVICE, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in headers}


def _demo_identity() -> dict[str, object]:
    """The demo principal as API Gateway describes an IAM user, with the literal it gives for an organisation."""
    user_id = "AIDAROOMKEYDEMO"
    return {
        "accessKey": DEMO_ACCESS_KEY,
        "accountId": DEMO_ACCOUNT,
        "callerId": user_id,
        "cognitoIdentity": None,
        "principalOrgId": "aws:PrincipalOrgID",
        "userArn": DEMO_PRINCIPAL,
        "userId": user_id,
    }


def _the_only(headers: Sequence[tuple[str, str]], name: str) -> str:
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
    if abs(now - signed_at) > SIGNATURE_SKEW_SECONDS:
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
