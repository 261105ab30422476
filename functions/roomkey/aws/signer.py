"""AWS Signature Version 4 for a POST to a service's root, with a JSON body.

The format is AWS's: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple

from roomkey.aws.role_credentials import AwsCredentials

_ALGORITHM = "AWS4-HMAC-SHA256"


class Scope(NamedTuple):
    """Where a signature is valid: one service in one region."""

    region: str
    service: str


def sign(
    headers: Mapping[str, str], body: bytes, scope: Scope, credentials: AwsCredentials, unix_seconds: float
) -> dict[str, str]:
    """Return `headers` with the date, the session token and the signature added.

    Sign every header in `headers`, which has lower-case names in any order and contains `host`.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(unix_seconds))
    signed = {**headers, "x-amz-date": moment}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token

    names = sorted(signed)
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
    joined_names = ";".join(names)
    canonical_request = f"POST\n/\n\n{lines}\n{joined_names}\n{hashlib.sha256(body).hexdigest()}"

    steps = (moment[:8], scope.region, scope.service, "aws4_request")
    scope_text = "/".join(steps)
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    key = b"AWS4" + credentials.secret_key.encode()
    for step in steps:
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{moment}\n{scope_text}\n{digest}".encode(), "sha256").hex()

    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope_text}, "
        f"SignedHeaders={joined_names}, Signature={signature}"
    )
    return signed
