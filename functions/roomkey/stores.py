"""Roomkey's two stores in AWS: the parameters in SSM and the secrets in Secrets Manager.

The only file that talks to AWS. A read is at most two attempts, each within what is left of the request's budget;
it ends with the text that is stored, or with a `DependencyFailure` that says whether it may pass by itself. Nothing is
connected before the first read: a snapshot of this process holds no connection and no credentials of the role.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import ContainerMetadataFetcher, ContainerProvider
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

from roomkey.clock import Budget, Clock
from roomkey.deadline_transport import DeadlineTransport, OutOfTime, Unreachable
from roomkey.errors import OUT_OF_TIME, DependencyFailure

CONNECT_TIMEOUT = 0.5
READ_TIMEOUT = 1.0
LONGEST_PAUSE = 1.0
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
    """botocore clients whose calls are bounded in time and number, and whose errors are ours.

    botocore and not boto3: clients are all that is used, and they are the same ones, without what boto3 loads beside.
    """

    def __init__(self, clock: Clock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._transport = DeadlineTransport(CONNECT_TIMEOUT, READ_TIMEOUT)
        self._clients: dict[str, Any] = {}

    @cached_property
    def _session(self) -> Any:
        session = botocore.session.get_session()
        # Under SnapStart the role's credentials come over HTTP, from inside a call: they get the call's time, no more.
        fetcher = ContainerMetadataFetcher(session=self._transport, sleep=lambda _: None)
        providers = session.get_component("credential_provider")
        providers.insert_before(ContainerProvider.METHOD, ContainerProvider(fetcher=fetcher))
        return session

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            # The transport and the attempts below take the place of these settings. They are set all the same, so
            # that a call that should ever get past the transport is not left with botocore's sixty seconds.
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": 1},
            )
            client = self._session.create_client(service, config=config)
            client.meta.events.register("before-send", self._transport.send)
            self._clients[service] = client
        return self._clients[service]

    def call[T](
        self, service: str, operation: str, understand: Callable[[Any], T | None], budget: Budget, **parameters: Any
    ) -> T:
        """What `understand` makes of the answer to `operation`, in at most two attempts.

        botocore turns a 200 with a foreign, empty or truncated body into an empty dict: `understand` answers None
        to what the service cannot have said. Raises `DependencyFailure`.
        """

        def attempt() -> T:
            budget.calls[service] += 1
            return self._attempt(service, operation, understand, budget, parameters)

        return twice(attempt, budget, self._clock, self._random)

    def _attempt[T](
        self,
        service: str,
        operation: str,
        understand: Callable[[Any], T | None],
        budget: Budget,
        parameters: Mapping[str, Any],
    ) -> T:
        try:
            with self._transport.within(budget):
                answer = getattr(self._client(service), operation)(**parameters)
            understood = understand(answer)
        except OutOfTime:
            raise DependencyFailure(service, OUT_OF_TIME, transient=True) from None
        except (Unreachable, CredentialRetrievalError):
            raise DependencyFailure(service, "unreachable", transient=True) from None
        except ClientError as error:
            raise _failure_of(service, error) from None
        except BotoCoreError:
            # Not the service's answer and not the way there: no credentials, no region ...
            raise DependencyFailure(service, "unusable-client", transient=False) from None
        except Exception:
            # What botocore's parser makes of bodies that the service never sends: there is no closed list of it.
            understood = None
        if understood is None:
            raise DependencyFailure(service, "foreign-answer", transient=True)
        return understood


def twice[T](attempt: Callable[[], T], budget: Budget, clock: Clock, random: Callable[[], float]) -> T:
    """What `attempt` gives, tried once more after a short pause where its `DependencyFailure` may pass by itself."""
    try:
        return attempt()
    except DependencyFailure as failure:
        pause = LONGEST_PAUSE * random()
        if not failure.transient or pause >= budget.remaining():
            raise
    clock.sleep(pause)
    return attempt()


def _failure_of(service: str, error: ClientError) -> DependencyFailure:
    """The failure without the service's own words, which hold ARNs and account ids. Codes tell, statuses rarely."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if "Throttl" in code or code in {"TooManyRequestsException", "RequestLimitExceeded"} or status == 429:
        return DependencyFailure(service, "throttled", transient=True)
    if code in _REASONS:
        return DependencyFailure(service, _REASONS[code], transient=False)
    if status >= 500 or code.startswith(("Internal", "ServiceUnavailable", "RequestTimeout")):
        return DependencyFailure(service, "server-error", transient=True)
    if code in {"", "Unknown", str(status)}:  # No error of the service's: something stands in between.
        return DependencyFailure(service, "foreign-answer", transient=True)
    return DependencyFailure(service, "refused", transient=False)


@dataclass(frozen=True, slots=True)
class ParameterStore:
    """Plain-text parameters of SSM."""

    aws: AwsApi

    def read(self, names: Sequence[str], budget: Budget) -> Mapping[str, str | None]:
        """The value of each of `names`, None where SSM says there is none. One call. Raises `DependencyFailure`."""

        def understand(answer: Any) -> Mapping[str, str | None] | None:
            found = [(parameter["Name"], parameter["Value"]) for parameter in answer["Parameters"]]
            missing = [(name, None) for name in answer.get("InvalidParameters", [])]
            values = dict(found + missing)
            # Every name once, in one of the two lists, and text: anything else is not SSM's answer to this question.
            exactly = sorted([name for name, _ in found + missing]) == sorted(names)
            return values if exactly and all(isinstance(value, str) for _, value in found) else None

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
            if answer["Name"] != name or "AWSCURRENT" not in answer["VersionStages"]:
                return None
            # A binary secret has no text: an empty one, which no platform's check lets pass.
            text, version_id = answer.get("SecretString", ""), answer["VersionId"]
            return Secret(text, version_id) if isinstance(text, str) and isinstance(version_id, str) else None

        return self.aws.call("secretsmanager", "get_secret_value", understand, budget, SecretId=name)
