"""Roomkey's two stores in AWS: the parameters in SSM and the secrets in Secrets Manager.

The only file that talks to AWS. A read is at most two attempts, each within what is left of the request's budget;
it ends with the text that is stored, or with a `DependencyFailure` that says whether it may pass by itself. Nothing is
connected before the first read: a snapshot of this process holds no connection and no credentials of the role.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import ContainerMetadataFetcher, ContainerProvider, CredentialResolver, Credentials
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError
from botocore.loaders import Loader

from roomkey.aws.transport import BudgetExceeded, ConnectionFailed, DeadlineTransport
from roomkey.clock import Budget, Clock
from roomkey.errors import BUDGET_EXCEEDED, DependencyFailure

# botocore warns of role credentials that it could not renew, and shows what it was answered: that is for no log.
logging.getLogger("botocore").propagate = False

CONNECT_TIMEOUT = 0.5
READ_TIMEOUT = 1.0
MAX_RETRY_DELAY = 1.0
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


_REHEARSED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "secretsmanager": ("get_secret_value", {"SecretId": "-"}),
    "ssm": ("get_parameters", {"Names": ["-"]}),
}
"""A call of each kind that there is, by service."""
SERVICES = tuple(_REHEARSED)
SDK_DATA = Path(__file__).parent / "sdk_data"
"""Of botocore's descriptions of services and endpoints the part that is used here (`requirements/sdk_data.py`)."""


class _SdkData(Loader):  # type: ignore[misc]
    """Where botocore finds its descriptions: in `SDK_DATA` first, and what is not there among its own.

    Those are a hundred times as large, and reading them is most of what making a client takes (docs/performance.md).
    """

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[str(SDK_DATA)])

    def list_available_services(self, type_name: str) -> list[str]:
        """Without a look into the directories of hundreds of services."""
        del type_name
        return list(SERVICES)


class _RoleCredentials(Credentials):  # type: ignore[misc]
    """The role's credentials, looked for when a call is signed.

    botocore looks when a client is made. Under SnapStart that would be over HTTP and before the snapshot.
    """

    def __init__(self, providers: CredentialResolver) -> None:
        super().__init__(access_key="", secret_key="", method="role")  # Nobody reads these: see below.
        self._providers = providers

    def load_credentials(self) -> Credentials:
        """What botocore asks its own chain of providers for, in whose place this stands."""
        return self

    def get_frozen_credentials(self) -> Any:
        """What a call is signed with, refreshed where it has to be. Raises `NoCredentialsError`."""
        return self._found.get_frozen_credentials()

    @cached_property
    def _found(self) -> Credentials:
        found = self._providers.load_credentials()
        if found is None:
            raise NoCredentialsError
        return found


def _no_signer(**_: Any) -> object:
    """Answers botocore's `choose-signer` event."""
    return UNSIGNED


class AwsApi:
    """botocore clients whose calls are bounded in time and number, and whose errors are ours.

    botocore and not boto3: clients are all that is used, and they are the same ones, without what boto3 loads beside.
    """

    def __init__(self, clock: Clock, jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._transport = DeadlineTransport(CONNECT_TIMEOUT, READ_TIMEOUT)
        self._clients: dict[str, Any] = {}

    def prepare(self) -> None:
        """Does ahead what the first calls would wait for. Looks for no credentials, and connects to nothing."""
        # OpenSSL reads the authorities while Python makes clients, where there are two processors. The block waits for
        # both: no thread is left that a frozen environment could stop.
        with ThreadPoolExecutor(max_workers=1) as beside:
            beside.submit(self._transport.prepare)
            with suppress(Exception):  # No region, for one: each call will say so in its turn.
                for service, (operation, parameters) in _REHEARSED.items():
                    self._rehearse(self._client(service), operation, parameters)

    def _rehearse(self, client: Any, operation: str, parameters: Mapping[str, Any]) -> None:
        """Makes a call that goes nowhere, for all that botocore finds out with its first one and keeps.

        It is not signed, since the role's credentials may not be there yet.
        """
        client.meta.events.register("choose-signer", _no_signer)
        try:
            with self._transport.within(None):
                getattr(client, operation)(**parameters)
        finally:
            client.meta.events.unregister("choose-signer", _no_signer)

    @cached_property
    def _session(self) -> Any:
        # The handlers are botocore's hooks for other services, and for writing its documentation.
        session = botocore.session.Session(include_builtin_handlers=False)
        session.register_component("data_loader", _SdkData())
        # Under SnapStart the role's credentials come over HTTP, from inside a call: they get the call's time, no more.
        fetcher = ContainerMetadataFetcher(session=self._transport, sleep=lambda _: None)
        providers = session.get_component("credential_provider")
        providers.insert_before(ContainerProvider.METHOD, ContainerProvider(fetcher=fetcher))
        session.register_component("credential_provider", _RoleCredentials(providers))
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
            budget.calls[service] = budget.calls.get(service, 0) + 1
            return self._attempt(service, operation, understand, budget, parameters)

        return with_one_retry(attempt, budget, self._clock, self._jitter)

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
        except BudgetExceeded:
            raise DependencyFailure(service, BUDGET_EXCEEDED, transient=True) from None
        except (ConnectionFailed, CredentialRetrievalError):
            raise DependencyFailure(service, "unreachable", transient=True) from None
        except ClientError as error:
            raise _failure_of(service, error) from None
        except BotoCoreError:
            # Not the service's answer and not the way there: no credentials, no region ...
            raise DependencyFailure(service, "client-error", transient=False) from None
        except Exception:
            # What botocore's parser makes of bodies that the service never sends: there is no closed list of it.
            understood = None
        if understood is None:
            raise DependencyFailure(service, "unexpected-response", transient=True)
        return understood


def with_one_retry[T](attempt: Callable[[], T], budget: Budget, clock: Clock, jitter: Callable[[], float]) -> T:
    """What `attempt` gives, tried once more after a short pause where its `DependencyFailure` may pass by itself."""
    try:
        return attempt()
    except DependencyFailure as failure:
        pause = MAX_RETRY_DELAY * jitter()
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
        return DependencyFailure(service, "unexpected-response", transient=True)
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
