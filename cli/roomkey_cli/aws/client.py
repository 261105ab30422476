"""AWS for the commands: the caller's own profile and region, and every way to fail as one sentence.

boto3 finds credentials, region and endpoint as it always does, `AWS_ENDPOINT_URL` included: that is how the same
commands reach the local stack. The function has its own client, bounded in time (`roomkey.aws`).
"""

import os
import re
import threading
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from roomkey_cli.terminal import harmless, progress

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 20
ATTEMPTS = 3

NOT_FOUND = frozenset(("ParameterNotFound", "ResourceNotFoundException"))
DENIED = frozenset(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"))

_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired"))
_UNKNOWN_KEY = frozenset(
    (
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "AuthFailure",
    )
)
_BAD_SIGNATURE = frozenset(
    (
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "RequestTimeTooSkewed",
    )
)

_FOREIGN = "what answered is not AWS: is AWS_ENDPOINT_URL right?"
_SIGN_IN = "sign in again (aws sso login, or however you get your credentials)"


class AwsError(Exception):
    """AWS said no, or could not be asked. The text is one sentence for people; `code` is AWS's word, empty without."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(harmless(sentence))
        self.code = code


class _Answer(dict[str, Any]):
    """An answer of AWS's, of which botocore leaves an empty dict if it was no such thing."""

    def __missing__(self, key: str) -> Any:
        raise AwsError(_FOREIGN)


class Aws:
    """AWS, as whoever runs the command sees it, or what stands in for it at `endpoint`. Threads may share one."""

    def __init__(self, profile: str | None = None, region: str | None = None, *, endpoint: str | None = None) -> None:
        self._profile = profile
        self._region = region
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def session(self) -> Any:
        """boto3's session. Raises `AwsError`."""
        import boto3  # It takes a quarter of a second, and many commands need no AWS.

        # As the AWS CLI does it; boto3 itself knows AWS_DEFAULT_REGION only.
        region = self._region or os.environ.get("AWS_REGION") or None
        try:
            return boto3.Session(profile_name=self._profile or None, region_name=region)
        except Exception as error:
            raise _understood(error) from None

    @property
    def region(self) -> str:
        """The region that is asked, empty where none is known."""
        return str(self.session.region_name or "")

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """The answer to `operation` (as boto3 spells it). Raises `AwsError`."""
        try:
            ask = getattr(self._client(service), operation)
            if self._endpoint:  # On this machine, where nobody waits for it.
                return _Answer(ask(**parameters))
            with progress(f"Asking AWS ({service} {operation.replace('_', ' ')}) ..."):
                return _Answer(ask(**parameters))
        except Exception as error:
            raise _understood(error) from None

    def find(
        self, service: str, operation: str, /, *, missing: Collection[str] = NOT_FOUND, **parameters: Any
    ) -> dict[str, Any] | None:
        """As `call`, None where AWS says that there is no such thing, by one of the codes in `missing`."""
        try:
            return self.call(service, operation, **parameters)
        except AwsError as error:
            if error.code in missing:
                return None
            raise

    def signed(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """`headers`, and those that sign the request for an API of API Gateway (SigV4). Raises `AwsError`."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import NoCredentialsError, NoRegionError

        # The address of an API says its region, unless it is a domain of one's own.
        region = re.search(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.", url)
        try:
            if not (region or self.region):
                raise NoRegionError
            credentials = self.session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            request = AWSRequest(method, url, data=body, headers=dict(headers))
            frozen = credentials.get_frozen_credentials()
            SigV4Auth(frozen, "execute-api", region[1] if region else self.region).add_auth(request)
        except Exception as error:
            raise _understood(error) from None
        return dict(request.headers.items())

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        with self._lock:  # A session is no thing to share while it makes a client.
            if service not in self._clients:
                config = Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                )
                self._clients[service] = self.session.client(service, config=config, endpoint_url=self._endpoint)
            return self._clients[service]


_SENTENCES = {
    "NoCredentialsError": "no AWS credentials were found: sign in, name a --profile, or set AWS_PROFILE",
    "ProfileNotFound": "there is no such AWS profile: {said}",
    "NoRegionError": "no AWS region is known: give --region, or set AWS_REGION",
    "InvalidRegionError": "--region (or AWS_REGION) is no name of a region",
    "SSOTokenLoadError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "UnauthorizedSSOTokenError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "TokenRetrievalError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "PartialCredentialsError": "the AWS credentials cannot be used: {said}",
    "CredentialRetrievalError": "the AWS credentials cannot be used: {said}",
    "ConfigParseError": "the AWS configuration cannot be read: {said}",
    "ConfigNotFound": "the AWS configuration cannot be read: {said}",
    "ConnectionError": "AWS cannot be reached (is there a network, and is the region right?): {said}",
    "HTTPClientError": "AWS cannot be reached (is there a network, and is the region right?): {said}",
    "BotoCoreError": "the AWS SDK says: {said}",
    "ResponseParserError": _FOREIGN,
    # There is no closed list of what botocore's parsers raise at bodies that AWS never sends.
    "AttributeError": _FOREIGN,
    "KeyError": _FOREIGN,
    "TypeError": _FOREIGN,
    "ValueError": _FOREIGN,
}
"""What to say, by the name of botocore's exception, of which the most special counts."""


def _understood(error: Exception) -> AwsError:
    """What went wrong, in a sentence. What is no error of the SDK's or of AWS's is raised as it is."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _refused(error.response.get("Error", {}), error.operation_name)
    if isinstance(error, ValueError) and "endpoint" in str(error):
        return AwsError("AWS_ENDPOINT_URL is not an address")
    if sentence := next((_SENTENCES[one.__name__] for one in type(error).__mro__ if one.__name__ in _SENTENCES), None):
        return AwsError(sentence.format(said=" ".join(str(error).split())))
    raise error


def _refused(said: Mapping[str, Any], operation: str) -> AwsError:
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    if code in _EXPIRED:
        sentence = f"the AWS credentials have expired: {_SIGN_IN}"
    elif code in _UNKNOWN_KEY:
        sentence = f"AWS does not know these credentials: {_SIGN_IN}"
    elif code in _BAD_SIGNATURE:
        sentence = "AWS does not accept the signature: the secret key is wrong, or this machine's clock is"
    elif code in DENIED:
        action = re.search(r"perform: (\S+)", message)
        sentence = f"AWS denies it: your credentials may not do {action[1] if action else operation}"
    elif "Throttl" in code or code in ("TooManyRequestsException", "TooManyUpdates", "RequestLimitExceeded"):
        sentence = f"AWS throttles {operation}: try again in a few seconds"
    elif code.isdecimal() or not code:
        sentence = _FOREIGN
    else:
        sentence = f"AWS refuses {operation}: {code}: {' '.join(message.split())}"
    return AwsError(sentence, code)
