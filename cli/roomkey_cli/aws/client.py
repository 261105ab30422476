"""Call AWS with the user's profile and region, and turn every failure into one sentence.

boto3 finds credentials, region and endpoint as usual, so `AWS_ENDPOINT_URL` directs the same commands to the local
stack or an emulated AWS. The function has its own client with a deadline (`roomkey.aws`).
"""

import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from roomkey_cli.terminal import AWS_FAILED, CommandError, progress

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

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_UNREACHABLE = "AWS cannot be reached (check the network and the region)"
_NOT_AWS = "the response did not come from AWS: check AWS_ENDPOINT_URL"
_SIGN_IN = "sign in again (for example: aws sso login)"


class AwsError(CommandError):
    """AWS refused a call, or cannot be reached. `code` is AWS's error code, empty if there was no response."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence, AWS_FAILED, aws_code=code)
        self.code = code


class _Response(dict[str, Any]):
    """A response of AWS. botocore returns an empty dict for some bodies that AWS never sends."""

    def __missing__(self, key: str) -> Any:
        raise AwsError(_NOT_AWS)


class Aws:
    """Calls AWS, or a stand-in at `endpoint`, for one user. Safe to share between threads."""

    def __init__(self, profile: str | None = None, region: str | None = None, *, endpoint: str | None = None) -> None:
        self._profile = profile
        self._region = region
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def session(self) -> Any:
        """Return boto3's session. Raises `AwsError`."""
        import boto3  # Takes 250 ms, and many commands do not need AWS.

        # The AWS CLI reads AWS_REGION too; boto3 reads AWS_DEFAULT_REGION only.
        region = self._region or os.environ.get("AWS_REGION") or None
        try:
            return boto3.Session(profile_name=self._profile or None, region_name=region)
        except Exception as error:
            raise _translate_error(error) from None

    @property
    def profile(self) -> str:
        """Return the profile that the user named, empty if none."""
        return self._profile or ""

    @property
    def region(self) -> str:
        """Return the region, empty if none is configured."""
        return str(self.session.region_name or "")

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Call `operation`, spelled as in boto3. Raises `AwsError`."""
        try:
            method = getattr(self._client(service), operation)
            if self._endpoint:  # A stand-in on this machine answers at once.
                return _Response(method(**parameters))
            with progress(f"Calling AWS ({service} {operation.replace('_', ' ')}) ..."):
                return _Response(method(**parameters))
        except Exception as error:
            raise _translate_error(error) from None

    def find(
        self, service: str, operation: str, /, *, missing: Collection[str] = NOT_FOUND, **parameters: Any
    ) -> dict[str, Any] | None:
        """Call `operation`, and return None if AWS answers with an error code in `missing`. Raises `AwsError`."""
        try:
            return self.call(service, operation, **parameters)
        except AwsError as error:
            if error.code in missing:
                return None
            raise

    def pages(self, service: str, operation: str, /, items: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the `items` of every page of an operation that has a `NextToken`. Raises `AwsError`."""
        token: dict[str, str] = {}
        while True:
            page = self.call(service, operation, **parameters, **token)
            yield from page[items]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def signed(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return `headers` with a SigV4 signature for API Gateway. Raises `AwsError`."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import NoCredentialsError, NoRegionError

        # The default domain contains the region; a custom domain does not.
        region = re.search(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.", url)
        try:
            if not (region or self.region):
                raise NoRegionError
            credentials = self.session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            _check_credentials(credentials)
            request = AWSRequest(method, url, data=body, headers=dict(headers))
            frozen = credentials.get_frozen_credentials()
            SigV4Auth(frozen, "execute-api", region[1] if region else self.region).add_auth(request)
        except Exception as error:
            raise _translate_error(error) from None
        return dict(request.headers.items())

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        with self._lock:  # boto3 sessions are not thread-safe while they create a client.
            if service not in self._clients:
                _check_credentials(self.session.get_credentials())
                config = Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                )
                self._clients[service] = self.session.client(service, config=config, endpoint_url=self._endpoint)
            return self._clients[service]


_SENTENCES = {
    "NoCredentialsError": "no AWS credentials found: sign in, or use --profile or AWS_PROFILE",
    "ProfileNotFound": "unknown AWS profile: {text}",
    "NoRegionError": "no AWS region configured: use --region or AWS_REGION",
    "InvalidRegionError": "--region (or AWS_REGION) is not the name of a region",
    "SSOTokenLoadError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "UnauthorizedSSOTokenError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "TokenRetrievalError": f"the AWS sign-in has expired: {_SIGN_IN}",
    "PartialCredentialsError": "the AWS credentials cannot be used: {text}",
    "CredentialRetrievalError": "the AWS credentials cannot be used: {text}",
    "ConfigParseError": "the AWS configuration cannot be read: {text}",
    "ConfigNotFound": "the AWS configuration cannot be read: {text}",
    "ConnectionError": f"{_UNREACHABLE}: {{text}}",
    "HTTPClientError": _UNREACHABLE,  # Its text can quote the headers, which contain credentials.
    "BotoCoreError": "error in the AWS SDK: {text}",
    "ResponseParserError": _NOT_AWS,
    # botocore's parsers raise these for bodies that AWS never sends.
    "AttributeError": _NOT_AWS,
    "KeyError": _NOT_AWS,
    "TypeError": _NOT_AWS,
    "ValueError": _NOT_AWS,
}
"""Messages by the name of botocore's exception. The most specific class wins."""


def _check_credentials(credentials: Any) -> None:
    """Raise `AwsError` if no header can contain the credentials: the HTTP client's own error would quote them."""
    if credentials is None:
        return
    for name, value in zip(_CREDENTIALS, credentials.get_frozen_credentials()[:3], strict=True):
        if value and not re.fullmatch("[!-~]+", value):
            where = name if credentials.method == "env" else name.lower()
            line = "a line break" if re.search("[\\r\\n]", value) else "a space or a character outside ASCII"
            raise AwsError(f"{where} contains {line}")


def _translate_error(error: Exception) -> AwsError:
    """Describe an exception in one sentence. Raises the exception itself if it is not about AWS."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _translate_refusal(error.response.get("Error", {}), error.operation_name)
    if isinstance(error, ValueError) and "endpoint" in str(error):
        return AwsError("AWS_ENDPOINT_URL must begin with http:// or https://")
    if sentence := next(
        (_SENTENCES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _SENTENCES), None
    ):
        return AwsError(sentence.format(text=" ".join(str(error).split())))
    raise error


def _translate_refusal(details: Mapping[str, Any], operation: str) -> AwsError:
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    if code in _EXPIRED:
        sentence = f"the AWS credentials have expired: {_SIGN_IN}"
    elif code in _UNKNOWN_KEY:
        sentence = f"AWS does not recognize these credentials: {_SIGN_IN}"
    elif code in _BAD_SIGNATURE:
        sentence = "AWS rejects the signature: the secret key or this machine's clock is wrong"
    elif code in DENIED and "local stack" in message:
        sentence = message
    elif code in DENIED:
        action = re.search(r"perform: (\S+)", message)
        sentence = f"access denied: your AWS credentials do not allow {action[1] if action else operation}"
    elif "Throttl" in code or code in ("TooManyRequestsException", "TooManyUpdates", "RequestLimitExceeded"):
        sentence = f"AWS throttles {operation}: retry in a few seconds"
    elif code.isdecimal() or not code:
        sentence = _NOT_AWS
    else:
        sentence = f"AWS rejects {operation}: {code}: {' '.join(message.split())}"
    return AwsError(sentence, code)
