"""Roomkey's two stores in AWS: the parameters in SSM and the secrets in Secrets Manager.

The only file that talks to AWS. A read is at most two attempts, each within what is left of the request's budget;
it ends with the text that is stored, or with a `DependencyFailure` that says whether it may pass by itself. Nothing is
connected before the first read: a snapshot of this process holds no connection and no credentials of the role.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from roomkey.clock import Budget, Clock
from roomkey.deadline_transport import DeadlineTransport, OutOfTime
from roomkey.errors import DependencyFailure
from roomkey.freshness import OUT_OF_TIME

CONNECT_TIMEOUT = 0.5
READ_TIMEOUT = 1.0
ATTEMPTS = 2
LONGEST_PAUSE = 0.3
"""Seconds, at most, between the two attempts; drawn from zero up, so that a fleet does not knock in step."""

_REASONS = {
    "AccessDenied": "access-denied",
    "AccessDeniedException": "access-denied",
    "DecryptionFailure": "undecryptable",
    "InvalidKeyId": "undecryptable",
    "InvalidRequestException": "deleted",  # Secrets Manager's answer for a secret that is marked for deletion.
    "ParameterNotFound": "not-found",
    "ResourceNotFoundException": "not-found",
}


class AwsApi:
    """boto3 clients whose calls are bounded in time and number, and whose errors are ours."""

    def __init__(self, clock: Clock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._transport = DeadlineTransport(CONNECT_TIMEOUT, READ_TIMEOUT)
        self._clients: dict[str, Any] = {}

    @cached_property
    def _session(self) -> boto3.session.Session:
        return boto3.session.Session()

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            # The transport and the attempts below take the place of these settings. They are set all the same, so
            # that a call that should ever get past the transport is not left with botocore's sixty seconds.
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": 1},
            )
            client = self._session.client(service, config=config)
            client.meta.events.register("before-send", self._transport.send)
            self._clients[service] = client
        return self._clients[service]

    def call[T](
        self, service: str, operation: str, understand: Callable[[Any], T | None], budget: Budget, **parameters: Any
    ) -> T:
        """What `understand` makes of the answer to `operation`.

        botocore turns a 200 with a foreign, empty or truncated body into an empty dict: `understand` answers None
        to what the service cannot have said. Raises `DependencyFailure`.
        """
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                return self._attempt(service, operation, understand, budget, parameters)
            except DependencyFailure as failure:
                pause = LONGEST_PAUSE * self._random()
                if not (failure.transient and attempts_left and pause < budget.remaining()):
                    raise
            self._clock.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt[T](
        self,
        service: str,
        operation: str,
        understand: Callable[[Any], T | None],
        budget: Budget,
        parameters: Mapping[str, Any],
    ) -> T:
        budget.calls[service] += 1
        try:
            with self._transport.within(budget):
                answer = getattr(self._client(service), operation)(**parameters)
        except OutOfTime:
            raise DependencyFailure(service, OUT_OF_TIME, transient=True) from None
        except ClientError as error:
            raise _failure_of(service, error) from None
        except HTTPClientError:
            raise DependencyFailure(service, "unreachable", transient=True) from None
        except BotoCoreError:
            # Not the service's answer and not the way there: no credentials, no region ...
            raise DependencyFailure(service, "unusable-client", transient=False) from None
        understood = understand(answer)
        if understood is None:
            raise DependencyFailure(service, "foreign-answer", transient=True)
        return understood


def _failure_of(service: str, error: ClientError) -> DependencyFailure:
    """The failure without the service's own words, which hold ARNs and account ids. Codes tell, statuses rarely."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if "Throttl" in code or code in ("TooManyRequestsException", "RequestLimitExceeded") or status == 429:
        return DependencyFailure(service, "throttled", transient=True)
    if code in _REASONS:
        return DependencyFailure(service, _REASONS[code], transient=False)
    if status >= 500 or code.startswith(("Internal", "ServiceUnavailable")):
        return DependencyFailure(service, "server-error", transient=True)
    return DependencyFailure(service, "refused", transient=False)


@dataclass(frozen=True, slots=True)
class ParameterStore:
    """Plain-text parameters of SSM."""

    aws: AwsApi

    def read(self, names: Sequence[str], budget: Budget) -> Mapping[str, str | None]:
        """The value of each of `names`, None where SSM says there is none. One call. Raises `DependencyFailure`."""

        def understand(answer: Any) -> Mapping[str, str | None] | None:
            found = {parameter.get("Name"): parameter.get("Value") for parameter in answer.get("Parameters", ())}
            missing = answer.get("InvalidParameters", ())
            if not all(isinstance(found.get(name), str) or name in missing for name in names):
                return None
            return {name: found.get(name) for name in names}

        return self.aws.call("ssm", "get_parameters", understand, budget, Names=list(names))


@dataclass(frozen=True, slots=True)
class Secret:
    """A stored secret: its text, kept out of `repr`, and the id of the version that it is."""

    text: str = field(repr=False)
    version_id: str


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Secrets of Secrets Manager, in their current version (AWSCURRENT, never a pending one)."""

    aws: AwsApi

    def read(self, name: str, budget: Budget) -> Secret:
        """The secret called `name`. Raises `DependencyFailure`."""

        def understand(answer: Any) -> Secret | None:
            if answer.get("Name") != name or not isinstance(answer.get("VersionId"), str):
                return None
            # A binary secret has no text: an empty one, which no platform's check lets pass.
            return Secret(answer.get("SecretString") or "", answer["VersionId"])

        return self.aws.call("secretsmanager", "get_secret_value", understand, budget, SecretId=name)
