#!/usr/bin/env python
"""A storm: many execution environments start in the same second, and SSM answers 40 calls a second.

A simulation in virtual time, without sockets and without sleeping. Each environment runs the project's own code, from
`EnvironmentState.read` and `CredentialSource.read` down to botocore's client, which is where the simulation begins:
`Refreshed`, `twice`, `Budget` and all bounds are the ones that are deployed. Chance comes from a seed, so that the
same command prints the same numbers.
"""

import argparse
import heapq
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table

from roomkey import freshness, stores
from roomkey.api import GRACE_SECONDS, WAITING_SECONDS
from roomkey.clock import Budget, Instant
from roomkey.credentials import CredentialSource
from roomkey.deadline_transport import DeadlineTransport, OutOfTime, Unreachable
from roomkey.errors import DependencyFailure, Fault
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.state import EnvironmentState
from roomkey.stores import READ_TIMEOUT, AwsApi, ParameterStore, SecretStore

SSM_PER_SECOND = 40.0
SECRETS_PER_SECOND = 10_000.0
"""AWS's default quotas, for each account and region. SSM's is shared with everybody else who reads parameters."""

OWN_WORK = 0.01
"""Seconds that a request takes beside waiting for AWS."""

PLATFORM = PLATFORMS["100ms"]
FLAG, POLICY = "/roomkey/storm/disabled", "/roomkey/storm/policy"
OPEN_POLICY = (Path(__file__).parents[1] / "docs/policies/open.json").read_text()
SECRET = json.dumps({"app_access_key": "5f1e3a7c9d2b4860af13c5e7", "app_secret": "MadeUp7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"})


@dataclass(frozen=True, slots=True)
class Storm:
    """What is simulated. Times are in seconds, `requests` a second and environment, quotas in calls a second."""

    environments: int = 500
    requests: float = 2.0
    within: float = 1.0
    """All environments start within so many seconds, each because of a request."""

    lasts: float = 30.0
    latency: float = 0.04
    """The mean of a call; each takes half of it to one and a half times as long."""

    ssm: float = SSM_PER_SECOND
    burst: float | None = None
    """What SSM lets through at once after a pause; None is one second's worth."""

    refused_count: bool = False
    """Whether calls that SSM refuses use up its quota too."""

    outage: tuple[float, float] | None = None
    """From when to when SSM answers everything with 500."""

    seed: int = 1


# --- virtual time --------------------------------------------------------------------------------------------------


class LocalClock:
    """One environment's time, in virtual seconds since the simulation began: it passes only by what is slept."""

    EPOCH = 1_800_000_000.0

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> Instant:
        return Instant(self.EPOCH + self.at, self.at)

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class Turns:
    """Threads that take turns, one at a time, in the order of their own virtual times.

    Environments meet nowhere but at the services. So each may run ahead of the others until it calls one, and waits
    there until nobody can call earlier.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int]] = []
        self._gates: list[threading.Lock] = []
        self._all_done = threading.Lock()
        self._errors: list[BaseException] = []

    def run(self, work: Sequence[Callable[[], None]]) -> None:
        """Runs all of `work` to its end. Raises the first exception that any of it raised."""
        self._due = [(0.0, number) for number in range(len(work))]
        self._gates = [threading.Lock() for _ in work]
        for gate in (self._all_done, *self._gates):
            gate.acquire()
        for number, piece in enumerate(work):
            threading.Thread(target=self._run, args=(number, piece), daemon=True).start()
        self._next()
        self._all_done.acquire()
        if self._errors:
            raise self._errors[0]

    def wait(self, number: int, until: float) -> None:
        """Lets everybody go first who is due before `until`, where `number` goes on."""
        _, first = heapq.heappushpop(self._due, (until, number))
        if first != number:
            self._gates[first].release()
            self._gates[number].acquire()

    def _run(self, number: int, piece: Callable[[], None]) -> None:
        self._gates[number].acquire()
        try:
            piece()
        except BaseException as error:
            self._errors.append(error)
        self._next()

    def _next(self) -> None:
        gate = self._gates[heapq.heappop(self._due)[1]] if self._due else self._all_done
        gate.release()


# --- the services --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Service:
    """SSM or Secrets Manager as an account sees it: a token bucket, and for a time perhaps nothing but errors."""

    operation: str
    document: Mapping[str, Any]
    per_second: float
    burst: float
    refused_count: bool = False
    outage: tuple[float, float] | None = None
    calls: list[float] = field(default_factory=list)
    admitted: list[float] = field(default_factory=list)
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def answer(self, at: float) -> Mapping[str, Any]:
        """What the service says to a call that reaches it at `at`. Raises `ClientError` as botocore does."""
        self.calls.append(at)
        if self.outage and self.outage[0] <= at < self.outage[1]:
            raise self._error("InternalServerError", 500)
        self._tokens, self._at = min(self.burst, self._tokens + (at - self._at) * self.per_second), at
        if self._tokens < 1:
            self._tokens -= min(self._tokens, 1.0) if self.refused_count else 0.0
            raise self._error("ThrottlingException", 400)
        self._tokens -= 1
        self.admitted.append(at)
        return self.document

    def _error(self, code: str, status: int) -> ClientError:
        metadata: Any = {"HTTPStatusCode": status}
        return ClientError({"Error": {"Code": code, "Message": ""}, "ResponseMetadata": metadata}, self.operation)


class SimulatedTransport(DeadlineTransport):
    """Knows what time there is for a call, and sends nothing."""

    @property
    def budget(self) -> Budget:
        return self._budget.get()


@dataclass(frozen=True, slots=True)
class SimulatedClient:
    """As much of a botocore client as `stores` uses. A call takes its time, and happens in its turn."""

    service: Service
    call: Callable[[Service], Mapping[str, Any]]

    def get_parameters(self, **_: Any) -> Mapping[str, Any]:
        return self.call(self.service)

    def get_secret_value(self, **_: Any) -> Mapping[str, Any]:
        return self.call(self.service)


class SimulatedAws(AwsApi):
    """The project's way to AWS, down to the client."""

    def __init__(
        self,
        clock: LocalClock,
        chance: random.Random,
        clients: Mapping[str, Service],
        wait: Callable[[float], None],
        latency: float,
    ) -> None:
        super().__init__(clock, chance.random)
        self._transport: SimulatedTransport = SimulatedTransport(stores.CONNECT_TIMEOUT, READ_TIMEOUT)
        self._local, self._chance, self._wait, self._latency = clock, chance, wait, latency
        self._simulated = {name: SimulatedClient(service, self._call) for name, service in clients.items()}

    def _client(self, service: str) -> Any:
        return self._simulated[service]

    def _call(self, service: Service) -> Mapping[str, Any]:
        takes = self._latency * (0.5 + self._chance.random())
        left = self._transport.budget.remaining()
        sent = self._local.at
        self._wait(sent + takes / 2)
        if takes >= min(left, READ_TIMEOUT):
            self._local.sleep(min(left, READ_TIMEOUT))
            raise OutOfTime if left <= READ_TIMEOUT else Unreachable
        self._local.sleep(takes)
        return service.answer(sent + takes / 2)


# --- an environment ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of 503: when, by which environment, after how many calls to SSM, and whether it may pass by itself."""

    at: float
    environment: int
    calls: int
    transient: bool


@dataclass(slots=True)
class Seen:
    """What one environment's callers saw. `good` are the times of reads of the state that worked."""

    answered: list[float] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    good: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    most_calls: int = 0
    oldest: float = 0.0
    """The greatest age of a flag that a token was minted by, in seconds."""


class Environment:
    """One execution environment: one request at a time, the next some time after the last was answered.

    Requests come as a Poisson process would bring them. What comes while one is under way is not seen here: Lambda
    gives it to another environment.
    """

    def __init__(self, number: int, storm: Storm, services: Mapping[str, Service], turns: Turns) -> None:
        self.seen = Seen()
        self._number, self._storm = number, storm
        self._chance = random.Random(f"{storm.seed}/{number}")  # noqa: S311 - to be the same each time
        self._clock = LocalClock()
        aws = SimulatedAws(self._clock, self._chance, services, partial(turns.wait, number), storm.latency)
        clock, chance = self._clock, self._chance.random
        self._state = EnvironmentState(
            ParameterStore(aws), flag_name=FLAG, policy_name=POLICY, clock=clock, random=chance
        )
        self._credentials = CredentialSource(
            SecretStore(aws), lambda _: "secret", [PLATFORM], clock=clock, random=chance
        )

    def live(self) -> None:
        """From the start to the end of the simulation."""
        self._clock.sleep(self._storm.within * self._chance.random())
        while self._clock.at < self._storm.lasts:
            self._request()
            self._clock.sleep(self._chance.expovariate(self._storm.requests))

    def _request(self) -> None:
        """The order of work of a request for an app token, as far as it is about state that others own."""
        budget = Budget.starting_now(self._clock, WAITING_SECONDS, GRACE_SECONDS)
        seen = self.seen
        try:
            state = self._state.read(budget)
            if state.failure is None and budget.calls["ssm"]:
                seen.good.append(self._clock.at)
            state.switch.require_on(PLATFORM.name, TokenKind.APP)
            state.policy_in_force()
            self._credentials.read(PLATFORM, budget)
            budget.check()
        except Fault as fault:
            seen.refused.append(Refusal(self._clock.at, self._number, budget.calls["ssm"], fault.transient))
        else:
            seen.answered.append(self._clock.at)
            seen.oldest = max(seen.oldest, state.age)
        if budget.calls:
            seen.waited.append(budget.spent())
            seen.most_calls = max(seen.most_calls, *budget.calls.values())
        self._clock.sleep(OWN_WORK)


@dataclass(frozen=True)
class Outcome:
    """What happened in a storm."""

    storm: Storm
    ssm: Service
    secrets: Service
    seen: Sequence[Seen]


def simulate(storm: Storm) -> Outcome:
    """What happens in `storm`, with the constants as they stand in the code now."""
    values = [{"Name": FLAG, "Value": "false"}, {"Name": POLICY, "Value": OPEN_POLICY}]
    burst = storm.ssm if storm.burst is None else storm.burst
    ssm = Service(
        "GetParameters", {"Parameters": values}, storm.ssm, burst, storm.refused_count, storm.outage
    )
    secret = {"Name": "secret", "VersionStages": ["AWSCURRENT"], "SecretString": SECRET, "VersionId": "1"}
    secrets = Service("GetSecretValue", secret, SECRETS_PER_SECOND, SECRETS_PER_SECOND)
    services, turns = {"ssm": ssm, "secretsmanager": secrets}, Turns()
    environments = [Environment(number, storm, services, turns) for number in range(storm.environments)]
    turns.run([environment.live for environment in environments])
    return Outcome(storm, ssm, secrets, [environment.seen for environment in environments])
