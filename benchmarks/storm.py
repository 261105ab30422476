#!/usr/bin/env python
"""A storm: many execution environments start in the same second, and SSM answers 40 calls a second.

A simulation in virtual time, without sockets and without sleeping. Each environment runs the project's own code, from
`EnvironmentState.read` and `CredentialSource.read` down to botocore's client, which is where the simulation begins:
`Refreshed`, `twice`, `Budget` and all bounds are the ones that are deployed. Chance comes from a seed, so that the
same command prints the same numbers.

Without arguments it prints the tables of docs/capacity.md, with arguments one storm of your own (`--help`).
"""

import argparse
import gc
import heapq
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich import box
from rich.console import Console
from rich.table import Table

from roomkey import freshness, stores
from roomkey.api import GRACE_SECONDS, WAITING_SECONDS
from roomkey.clock import Budget, Instant
from roomkey.credentials import CredentialSource
from roomkey.deadline_transport import DeadlineTransport, OutOfTime, Unreachable
from roomkey.errors import Fault
from roomkey.kill_switch import ON_FOR_SECONDS
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.state import FRESH_SECONDS, EnvironmentState
from roomkey.stores import CONNECT_TIMEOUT, READ_TIMEOUT, AwsApi, ParameterStore, SecretStore

SSM_PER_SECOND = 40.0
SECRETS_PER_SECOND = 10_000.0
"""AWS's default quotas, for each account and region. SSM's is shared with everybody else who reads parameters."""

MEAN_LATENCY = 0.04
"""Seconds that a call to AWS takes: half of this to one and a half times as long."""

SLACK = 5.0
"""Seconds that a storm may last beyond environments / SSM's rate: the bound that the tables hold it against."""

OWN_WORK = 0.01
"""Seconds that a request takes beside waiting for AWS."""

RETURN = 20.0
"""Seconds within which callers come back after a quiet time, so that their refreshes do not keep step."""

ONE_ATTEMPT = 1e9
"""A pause that no request has time for, so that there is no second attempt."""

PLATFORM = PLATFORMS["100ms"]
FLAG, POLICY = "/roomkey/storm/disabled", "/roomkey/storm/policy"
OPEN_POLICY = (Path(__file__).parents[1] / "docs/policies/open.json").read_text()
SECRET = json.dumps(
    {"app_access_key": "5f1e3a7c9d2b4860af13c5e7", "app_secret": "MadeUp7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"}
)

type Span = tuple[float, float]
"""From when to when, in virtual seconds."""


@dataclass(frozen=True, slots=True)
class Storm:
    """What is simulated. Times are in seconds, `requests` a second and environment, quotas in calls a second."""

    environments: int = 500
    requests: float = 1.0
    within: float = 1.0
    """All environments start within so many seconds, each because of a request."""

    lasts: float | None = None
    """None is two seconds more than the bound."""

    latency: float = MEAN_LATENCY
    ssm: float = SSM_PER_SECOND
    burst: float | None = None
    """What SSM lets through at once after a pause; None is one second's worth."""

    refused_count: bool = False
    """Whether calls that SSM refuses use up its quota too."""

    outage: Span | None = None
    """While SSM answers everything with 500."""

    quiet: Span | None = None
    """While nobody asks for anything. Each environment's next request comes at some time in `RETURN` after it."""

    pause: float | None = None
    jitter: float | None = None
    rest: float | None = None
    """In place of `stores.LONGEST_PAUSE`, `freshness.JITTER` and `freshness.REST_SECONDS`."""

    seed: int = 1

    @property
    def bound(self) -> float:
        """When a storm must be over, in seconds since it began."""
        return self.environments / self.ssm + SLACK

    @property
    def end(self) -> float:
        return self.bound + 2 if self.lasts is None else self.lasts

    @contextmanager
    def constants(self) -> Iterator[None]:
        """The project's constants are the storm's for as long as this lasts."""
        constants: list[tuple[Any, str, float | None]] = [
            (stores, "LONGEST_PAUSE", self.pause),
            (freshness, "JITTER", self.jitter),
            (freshness, "REST_SECONDS", self.rest),
        ]
        before = [getattr(module, name) for module, name, _ in constants]
        try:
            for module, name, value in constants:
                if value is not None:
                    setattr(module, name, value)
            yield
        finally:
            for (module, name, _), value in zip(constants, before, strict=True):
                setattr(module, name, value)


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
        self._transport = self._simulated_transport = SimulatedTransport(CONNECT_TIMEOUT, READ_TIMEOUT)
        self._local, self._chance, self._wait, self._latency = clock, chance, wait, latency
        self._simulated = {name: SimulatedClient(service, self._call) for name, service in clients.items()}

    def _client(self, service: str) -> Any:
        return self._simulated[service]

    def _call(self, service: Service) -> Mapping[str, Any]:
        takes = self._latency * (0.5 + self._chance.random())
        left = self._simulated_transport.budget.remaining()
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
    """An answer of 503: when, and whether it said that it may pass by itself (`Retry-After: 5`)."""

    at: float
    transient: bool


@dataclass(slots=True)
class Seen:
    """What one environment's callers saw, at which times."""

    answered: list[float] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    """When a read of the state worked."""

    waited: list[tuple[float, float]] = field(default_factory=list)
    """Of requests that called AWS: when they were answered, and after how many seconds."""

    most_calls: int = 0
    """The most calls that one request made to one service."""

    oldest: float = 0.0
    """The greatest age of a flag that a request was granted by, in seconds."""


class Environment:
    """One execution environment: one request at a time, the next some time after the last was answered.

    Requests come as a Poisson process would bring them. What comes while one is under way is not seen here: Lambda
    gives it to another environment.
    """

    def __init__(self, number: int, storm: Storm, services: Mapping[str, Service], turns: Turns) -> None:
        self.seen = Seen()
        self._storm = storm
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
        quiet_from, quiet_to = self._storm.quiet or (math.inf, math.inf)
        while self._clock.at < self._storm.end:
            self._request()
            until_next = self._chance.expovariate(self._storm.requests)
            if quiet_from <= self._clock.at + until_next < quiet_to:
                until_next = quiet_to + RETURN * self._chance.random() - self._clock.at
            self._clock.sleep(until_next)

    def _request(self) -> None:
        """The order of work of a request for an app token, as far as it is about state that others own."""
        budget = Budget.starting_now(self._clock, WAITING_SECONDS, GRACE_SECONDS)
        seen = self.seen
        try:
            state = self._state.read(budget)
            if state.switch.failure is None and budget.calls:
                seen.read.append(self._clock.at)
            state.switch.require_on(PLATFORM.name, TokenKind.APP)
            state.policy_in_force()
            self._credentials.read(PLATFORM, budget)
            budget.check()
        except Fault as fault:
            seen.refused.append(Refusal(self._clock.at, fault.transient))
        else:
            seen.answered.append(self._clock.at)
            seen.oldest = max(seen.oldest, state.switch.age)
        if budget.calls:
            seen.waited.append((self._clock.at, budget.spent().seconds))
            seen.most_calls = max(seen.most_calls, *budget.calls.values())
        self._clock.sleep(OWN_WORK)


# --- what happens, and figures of it -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """A part of a storm in numbers. Times are in seconds since the part began, shares from 0 to 1.

    `bound` is how long refusals may go on. `last_refusal` is the last of all, `p99_refusal` the last of all but one
    in a hundred environments. `last_read` is when the last environment read the state for the first time, of those
    that did.
    """

    bound: float
    last_refusal: float
    p99_refusal: float
    last_read: float
    requests: int
    refused: int
    calls: int
    accepted: int
    most_calls: int
    peak: int
    """The most calls to SSM in any one second."""

    secrets_peak: int
    calls_a_second: float
    wait: float
    """The mean of what requests that called AWS waited for it."""

    longest_wait: float
    oldest: float
    """The greatest age of a flag that a request was granted by, from the very beginning."""

    lasted: float
    """How long this part was."""

    @property
    def refused_share(self) -> float:
        return self.refused / max(self.requests, 1)

    @property
    def accepted_share(self) -> float:
        return self.accepted / max(self.calls, 1)

    @property
    def in_bound(self) -> bool:
        """Whether nobody was refused after the bound."""
        return self.last_refusal <= self.bound


@dataclass(frozen=True)
class Outcome:
    """What happened in a storm."""

    storm: Storm
    ssm: Service
    secrets: Service
    seen: Sequence[Seen]

    def figures(self, since: float = 0.0, until: float | None = None) -> Figures:
        """From `since` to `until`, or to the bound. What is about refusals and first reads goes on to the end."""
        until = since + self.storm.bound if until is None else until

        def within(times: Sequence[float]) -> list[float]:
            return [at for at in times if since <= at < until]

        last_refusals = sorted(
            max((refusal.at - since for refusal in seen.refused if refusal.at >= since), default=0.0)
            for seen in self.seen
        )
        first_reads = [min((at - since for at in seen.read if at >= since), default=0.0) for seen in self.seen]
        refused = [at for seen in self.seen for at in within([refusal.at for refusal in seen.refused])]
        answered = sum(len(within(seen.answered)) for seen in self.seen)
        waits = [seconds for seen in self.seen for at, seconds in seen.waited if since <= at < until]
        calls = within(self.ssm.calls)
        return Figures(
            bound=self.storm.bound,
            last_refusal=last_refusals[-1],
            p99_refusal=last_refusals[math.ceil(0.99 * len(last_refusals)) - 1],
            last_read=max(first_reads),
            requests=len(refused) + answered,
            refused=len(refused),
            calls=len(calls),
            accepted=len(within(self.ssm.admitted)),
            most_calls=max(seen.most_calls for seen in self.seen),
            peak=_most_in_a_second(calls),
            secrets_peak=_most_in_a_second(within(self.secrets.calls)),
            calls_a_second=len(calls) / (until - since),
            wait=sum(waits) / max(len(waits), 1),
            longest_wait=max(waits, default=0.0),
            oldest=max(seen.oldest for seen in self.seen),
            lasted=self.storm.end - since,
        )


def _most_in_a_second(times: Sequence[float]) -> int:
    """`times` are in order."""
    most = first = 0
    for number, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, number - first + 1)
    return most


def simulate(storm: Storm) -> Outcome:
    """What happens in `storm`, with the constants as they stand in the code, or as the storm has them."""
    values = [{"Name": FLAG, "Value": "false"}, {"Name": POLICY, "Value": OPEN_POLICY}]
    burst = storm.ssm if storm.burst is None else storm.burst
    ssm = Service("GetParameters", {"Parameters": values}, storm.ssm, burst, storm.refused_count, storm.outage)
    secret = {"Name": "secret", "VersionStages": ["AWSCURRENT"], "SecretString": SECRET, "VersionId": "1"}
    secrets = Service("GetSecretValue", secret, SECRETS_PER_SECOND, SECRETS_PER_SECOND)
    services, turns = {"ssm": ssm, "secretsmanager": secrets}, Turns()
    environments = [Environment(number, storm, services, turns) for number in range(storm.environments)]
    collecting = gc.isenabled()
    gc.disable()  # With a stack for each environment to look through, it takes most of the time.
    try:
        with storm.constants():
            turns.run([environment.live for environment in environments])
    finally:
        if collecting:
            gc.enable()
    return Outcome(storm, ssm, secrets, [environment.seen for environment in environments])


# --- what is printed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what is simulated, which part of it counts, and what the line is called."""

    name: tuple[str, ...]
    storm: Storm
    since: float = 0.0
    until: float | None = None

    def figures(self) -> Figures:
        return simulate(self.storm).figures(self.since, self.until)


@dataclass(frozen=True, slots=True)
class Section:
    """A table: the heads of what names its rows, its rows, and the columns of `COLUMNS` that it shows."""

    title: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[Row]

    def cells(self, figures: Figures) -> list[str]:
        """What stands in a row beside its name."""
        return [COLUMNS[column](figures) for column in self.columns]


def _last_refusal(figures: Figures) -> str:
    if figures.last_refusal == 0:
        return "none"
    if figures.last_refusal > figures.lasted - 1:
        return f"goes on at {figures.lasted:.0f} s"
    return f"{figures.last_refusal:.1f} s" + ("" if figures.in_bound else " !")


COLUMNS: Mapping[str, Callable[[Figures], str]] = {
    "bound": lambda figures: f"{figures.bound:.1f} s",
    "last 503": _last_refusal,
    "99 % by": lambda figures: f"{figures.p99_refusal:.1f} s",
    "last read": lambda figures: f"{figures.last_read:.1f} s",
    "refused": lambda figures: f"{figures.refused_share:.1%}",
    "SSM calls": lambda figures: f"{figures.calls}",
    "most in 1 s": lambda figures: f"{figures.peak}",
    "accepted": lambda figures: f"{figures.accepted_share:.0%}",
    "calls/s": lambda figures: f"{figures.calls_a_second:.1f}",
    "wait": lambda figures: f"{figures.wait:.2f} s",
    "longest wait": lambda figures: f"{figures.longest_wait:.2f} s",
    "oldest flag": lambda figures: f"{figures.oldest:.0f} s",
    "most Secrets Manager in 1 s": lambda figures: f"{figures.secrets_peak}",
}

STORM = ("bound", "last 503", "99 % by", "last read", "refused", "SSM calls", "most in 1 s", "accepted")

LEGEND = """\
bound        environments / SSM's rate + {slack:g} s: a storm must be over by then
last 503     when the last caller was refused, since the beginning; "!" is beyond the bound
99 % by      by when all but one in a hundred environments had refused their last caller
last read    when the last environment had read flag and policy for the first time
refused      share of the requests up to the bound that were answered 503 with Retry-After: 5
SSM calls    up to the bound, attempts counted
accepted     share of them that SSM answered: what anybody else's call is worth meanwhile
wait         what a request that called AWS waited for it, on average"""


def cold(environments: int, requests: float = 1.0, **more: Any) -> Storm:
    return Storm(environments=environments, requests=requests, **more)


def after_outage(environments: int, **more: Any) -> Row:
    """SSM has failed for five minutes, and every flag is older than "on" may be.

    For most of that time nobody asks, which saves work and changes nothing: a failed refresh is forgotten within
    seconds.
    """
    warm = environments / (0.9 * SSM_PER_SECOND)
    down = warm + 20
    healed = down + 300
    quiet = (warm + 10, healed - 2 * RETURN)
    storm = Storm(environments=environments, within=warm, outage=(down, healed), quiet=quiet, **more)
    return Row((), replace(storm, lasts=healed + storm.bound + 10), since=healed)


def without_storm(environments: int) -> Row:
    """Environments that started one after the other, for one fresh bound, when each has refreshed once."""
    started = environments / (0.9 * SSM_PER_SECOND)
    since = started + (1 + freshness.JITTER) * FRESH_SECONDS
    storm = Storm(environments=environments, requests=0.5, within=started, lasts=since + FRESH_SECONDS)
    return Row((), storm, since=since, until=since + FRESH_SECONDS)


def named(row: Row, *name: str) -> Row:
    return replace(row, name=name)


def sections() -> list[Section]:
    """The tables of docs/capacity.md."""

    def seconds(value: float, ours: float) -> str:
        return "one attempt" if value == ONE_ATTEMPT else f"{value:g} s{' (ours)' * (value == ours)}"

    storms = ((100, (0.2, 1, 5)), (200, (0.2, 1, 5)), (500, (0.2, 1, 5)), (1000, (1,)))
    return [
        Section(
            "A cold storm: all start within one second",
            ("environments", "requests/s each"),
            STORM,
            [
                Row((str(environments), f"{requests:g}"), cold(environments, requests))
                for environments, rates in storms
                for requests in rates
            ],
        ),
        Section(
            "The pause between the two attempts, 1 request/s each",
            ("environments", "longest pause"),
            ("last 503", "refused", "SSM calls", "most in 1 s", "accepted", "wait", "longest wait"),
            [
                Row((str(environments), seconds(value, stores.LONGEST_PAUSE)), cold(environments, pause=value))
                for environments in (100, 500)
                for value in (ONE_ATTEMPT, 0.3, 1.0, 2.0)
            ],
        ),
        Section(
            "After SSM failed for five minutes, 1 request/s each",
            ("environments", "rest after a failure"),
            ("bound", "last 503", "99 % by", "refused", "SSM calls", "most in 1 s", "accepted"),
            [
                named(after_outage(environments, rest=value), str(environments), seconds(value, freshness.REST_SECONDS))
                for environments, rests in ((100, (2.0, 5.0, 10.0, 20.0)), (500, (2.0, 5.0)))
                for value in rests
            ],
        ),
        Section(
            "The first refresh of 500 environments that read in one second, SSM raised to 1000/s",
            ("jitter",),
            ("most in 1 s", "oldest flag"),
            [
                Row(
                    (f"± {value:.0%}{' (ours)' * (value == freshness.JITTER)}",),
                    cold(500, ssm=1000.0, jitter=value, lasts=45.0),
                    since=5.0,
                    until=45.0,
                )
                for value in (0.0, 0.2, 0.3)
            ],
        ),
        Section(
            "Without a storm, one request in 2 s each",
            ("environments", f"environments / {FRESH_SECONDS:g} s"),
            ("calls/s", "most in 1 s", "accepted", "refused", "oldest flag"),
            [
                named(without_storm(environments), str(environments), f"{environments / FRESH_SECONDS:.1f}/s")
                for environments in (800, 1200, 1400)
            ],
        ),
        Section(
            "What it rests on",
            ("environments", "requests/s each", "what is different"),
            ("bound", "last 503", "refused", "SSM calls", "accepted"),
            [
                Row(("500", "1", "all start within 1 ms"), cold(500, within=0.001)),
                Row(("500", "1", "SSM saves up nothing"), cold(500, burst=1.0)),
                Row(("500", "1", "SSM saves up 100 calls"), cold(500, burst=100.0)),
                Row(("1000", "0.2", "started over 10 s"), cold(1000, 0.2, within=10.0)),
                Row(("1500", "0.2", "too many to keep fresh"), cold(1500, 0.2, lasts=65.0)),
                Row(("500", "1", "SSM raised to 1000/s"), cold(500, ssm=1000.0)),
                Row(("500", "1", "SSM counts what it refuses"), cold(500, refused_count=True)),
            ],
        ),
    ]


def _table(section: Section, results: Mapping[Row, Figures]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in (*section.names, *section.columns):
        table.add_column(name, justify="left" if name in section.names else "right", no_wrap=True)
    for row in section.rows:
        table.add_row(*row.name, *section.cells(results[row]))
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (
        ("environments", "how many start"),
        ("requests", "requests a second to each"),
        ("within", "seconds within which all of them start"),
        ("lasts", "seconds to simulate"),
        ("latency", "mean seconds of a call to AWS"),
        ("ssm", "SSM's quota, calls a second"),
        ("burst", "what SSM lets through at once after a pause"),
        ("pause", "in place of stores.LONGEST_PAUSE"),
        ("jitter", "in place of freshness.JITTER"),
        ("rest", "in place of freshness.REST_SECONDS"),
        ("seed", "of all chance"),
    ):
        kind = int if name in ("environments", "seed") else float
        parser.add_argument(f"--{name}", type=kind, default=None, help=text)
    return parser.parse_args()


def main() -> None:
    """Prints the tables, or one line of the storm that was asked for."""
    console, began = Console(width=120, highlight=False), time.perf_counter()
    asked = {name: value for name, value in vars(_arguments()).items() if value is not None}
    own = Section("A storm", (), (*STORM, "wait"), [Row((), Storm(**asked))])
    tables = [own] if asked else sections()
    shortest, longest = (MEAN_LATENCY * share for share in (0.5, 1.5))
    console.print(
        f"SSM answers {SSM_PER_SECOND:g} calls a second, Secrets Manager {SECRETS_PER_SECOND:g}; a call takes "
        f"{shortest:g} s to {longest:g} s.\n"
        f"Flag and policy are fresh for {FRESH_SECONDS:g} s ± {freshness.JITTER:.0%}, and count for "
        f"{ON_FOR_SECONDS:g} s if they cannot be read again; the next try is {freshness.REST_SECONDS:g} s later.\n"
        f"A request waits {WAITING_SECONDS:g} s at most, for an answer {READ_TIMEOUT:g} s, between two attempts up to "
        f"{stores.LONGEST_PAUSE:g} s.\n"
    )
    console.print(LEGEND.format(slack=SLACK) + "\n")
    rows = [row for section in tables for row in section.rows]
    rows.sort(key=lambda row: -row.storm.environments)  # The longest first, so that all end at much the same time.
    with ProcessPoolExecutor() as pool:
        results = dict(zip(rows, pool.map(Row.figures, rows), strict=True))
    for section in tables:
        console.print(section.title, style="bold")
        console.print(_table(section, results))
    most = max(figures.most_calls for figures in results.values())
    secrets = max(figures.secrets_peak for figures in results.values())
    console.print(
        f"No request made more than {most} calls to either service; Secrets Manager never had more than {secrets} in "
        f"one second. {time.perf_counter() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
