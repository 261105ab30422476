"""Calls to AWS's JSON services, bounded in time and number.

A call makes at most two attempts within the rest of the request's budget. It returns the parsed response or raises a
`DependencyFailure`, which states whether the failure is transient. Nothing connects before the first call: a snapshot
of this process contains no connection and no credentials.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from roomkey import strict_json
from roomkey.aws import endpoints, signer
from roomkey.aws.role_credentials import NoCredentials, RoleCredentials
from roomkey.aws.transport import BudgetExceeded, ConnectionFailed, DeadlineTransport, Response, host_header
from roomkey.clock import Budget, Clock
from roomkey.errors import BUDGET_EXCEEDED, DependencyFailure

CONNECT_TIMEOUT = 0.5
READ_TIMEOUT = 1.0
MAX_RETRY_DELAY = 1.0
"""Seconds. The delay before the second attempt is random, so that many environments do not retry in step."""

_REASONS = {
    "AccessDenied": "access-denied",
    "AccessDeniedException": "access-denied",
    "DecryptionFailure": "undecryptable",
    "InvalidKeyId": "undecryptable",
    "InvalidRequestException": "deleted",  # Secrets Manager's code for a secret marked for deletion.
    "ParameterNotFound": "not-found",
    "ResourceNotFoundException": "not-found",
}


class AwsClient:
    """Signs, sends and retries calls. Reads AWS's variables at each call: they change after a snapshot is restored."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._environ = environ
        self._transport = DeadlineTransport(CONNECT_TIMEOUT, READ_TIMEOUT)
        self._credentials = RoleCredentials(self._transport, clock, environ)

    def warm_up(self) -> None:
        """Do what the first call would wait for, without connecting."""
        self._transport.warm_up()

    def call[T](
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        parse: Callable[[Any], T | None],
        budget: Budget,
    ) -> T:
        """Call `operation`, named as in `X-Amz-Target`, and return its response, parsed.

        `parse` takes the response's document. It returns None, or raises, for one that the service cannot have sent.

        Raises:
            DependencyFailure: The call failed, or its response is unusable.
        """

        def attempt() -> T:
            budget.calls[service] = budget.calls.get(service, 0) + 1
            response = self._send(service, operation, json.dumps(arguments).encode(), budget)
            return _parse_response(service, response, parse)

        return with_one_retry(attempt, budget, self._clock, self._jitter)

    def _send(self, service: str, operation: str, body: bytes, budget: Budget) -> Response:
        try:
            url = endpoints.endpoint_url(service, self._environ)
            headers = {
                "content-type": "application/x-amz-json-1.1",
                "host": host_header(urlsplit(url)),
                "x-amz-target": operation,
            }
            scope = signer.Scope(endpoints.region(self._environ), service)
            credentials = self._credentials.read(budget)
            headers = signer.sign(headers, body, scope, credentials, self._clock.now().wall)
            return self._transport.send("POST", url, headers, body, budget)
        except BudgetExceeded:
            raise DependencyFailure(service, BUDGET_EXCEEDED, transient=True) from None
        except ConnectionFailed:
            raise DependencyFailure(service, "unreachable", transient=True) from None
        except (NoCredentials, ValueError):  # `ValueError`: the region or the endpoint is missing or invalid.
            raise DependencyFailure(service, "client-error", transient=False) from None


def with_one_retry[T](attempt: Callable[[], T], budget: Budget, clock: Clock, jitter: Callable[[], float]) -> T:
    """Return the result of `attempt`. After a transient `DependencyFailure`, wait shortly and try once more."""
    try:
        return attempt()
    except DependencyFailure as failure:
        pause = MAX_RETRY_DELAY * jitter()
        if not failure.transient or pause >= budget.remaining():
            raise
    clock.sleep(pause)
    return attempt()


def _parse_response[T](service: str, response: Response, parse: Callable[[Any], T | None]) -> T:
    if response.status != 200:
        raise _failure(service, response.status, error_code(response))
    try:
        result = parse(strict_json.loads(response.body))
    except (ValueError, TypeError, LookupError, AttributeError):
        result = None
    if result is None:
        raise DependencyFailure(service, "unexpected-response", transient=True)
    return result


def error_code(response: Response) -> str:
    """Return the service's error code without namespace and details, or "" if the answer contains none.

    The code is in a header or the body: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
    """
    code: object = response.headers.get("x-amzn-errortype")
    if not code:
        try:
            document = strict_json.loads(response.body)
        except ValueError:
            return ""
        if isinstance(document, dict):
            code = document.get("__type") or document.get("code")
    return code.partition(":")[0].rpartition("#")[2] if isinstance(code, str) else ""


def _failure(service: str, status: int, code: str) -> DependencyFailure:
    """Return the failure without the service's message, which contains ARNs and account ids."""
    if "Throttl" in code or code in {"TooManyRequestsException", "RequestLimitExceeded"} or status == 429:
        return DependencyFailure(service, "throttled", transient=True)
    if code in _REASONS:
        return DependencyFailure(service, _REASONS[code], transient=False)
    if status >= 500 or code.startswith(("Internal", "ServiceUnavailable", "RequestTimeout")):
        return DependencyFailure(service, "server-error", transient=True)
    if not code:  # Not the service's error format: a proxy or another server answered.
        return DependencyFailure(service, "unexpected-response", transient=True)
    return DependencyFailure(service, "refused", transient=False)
