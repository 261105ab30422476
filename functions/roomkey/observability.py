"""What operators see beside the audit trail: log lines about faults, and metrics to alarm on.

A log line says what failed, by closed words of ours (docs/operations.md), and where in our code. It never holds the
text of an exception: those of the SDK hold ARNs and account ids, those of a JSON decoder the whole secret.
"""

import functools
import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from roomkey.clock import Usage
from roomkey.errors import DependencyFailure, Fault, RoomkeyError
from roomkey.platforms.base import TokenKind

NAMESPACE = "Roomkey"
SERVICE = "roomkey"
MINTED = "minted"
"""The code of a request that got its token, beside those of `roomkey.errors`."""


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is at the time, as `print` does, and not to what it was at import."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass


_UNITS = {
    "TokenMinted": MetricUnit.Count,
    "TokenRefused": MetricUnit.Count,
    "Fault": MetricUnit.Count,
    "ManagementTokenMinted": MetricUnit.Count,
    "Duration": MetricUnit.Milliseconds,
    "KillSwitchStaleSeconds": MetricUnit.Seconds,
    "CredentialsStaleSeconds": MetricUnit.Seconds,
    "DependencyFailure": MetricUnit.Count,
}
"""The metrics that there are."""

_STALE_METRICS = {"kill-switch": "KillSwitchStaleSeconds", "credentials": "CredentialsStaleSeconds"}


@functools.cache
def _form(environment: str, platform: str, kind: str, code: str, metrics: tuple[str, ...]) -> str:
    """A line of CloudWatch's embedded format with places, in the way of `%`, for `Timestamp` and the metrics' numbers.

    Made by Powertools, once for each form that there is, which closed lists of words keep few: made for every request
    it takes more time than anything else there (docs/performance.md). An alarm in CloudWatch cannot add up over
    dimensions, so there is a set of them for each question that one asks: how is this environment (Powertools' default
    dimensions), which platform and kind, and what came of it.
    """
    # An empty service is none: the namespace says as much.
    made = EphemeralMetrics(namespace=NAMESPACE, service="", default_dimensions={"environment": environment})
    made.add_dimensions(platform=platform, kind=kind)
    made.add_dimensions(code=code)
    for name in metrics:
        made.add_metric(name, _UNITS[name], 0)
    line: dict[str, Any] = dict(made.serialize_metric_set())
    line["_aws"]["Timestamp"] = "%d"
    line |= {name: ["%r"] for name in metrics}
    return re.sub(r'"(%[dr])"', r"\1", json.dumps(line, separators=(",", ":"))) + "\n"


@dataclass(frozen=True, slots=True)
class Observability:
    """Logs and metrics of one environment. Dimensions are few words each: no user, room or token among them."""

    environment: str
    logger: Logger

    @classmethod
    def of(cls, environment: str, log_level: str) -> "Observability":
        logger = Logger(service=SERVICE, level=log_level, logger_handler=_StdoutHandler())
        logger.setLevel(log_level)  # Powertools leaves a logger that is set up already as it is.
        return cls(environment, logger)

    def fault(self, fault: Fault, request_id: str) -> None:
        """One line about a fault that a caller was answered with."""
        self._line("error", fault.code, request_id, fault.failure)

    def served_stale(self, what: str, failure: DependencyFailure, request_id: str) -> None:
        """One line about a read that failed without harm: the token was minted with what was known before."""
        self._line("warning", f"{what}-stale", request_id, failure)

    def unexpected(self, error: BaseException, request_id: str) -> None:
        """One line about a mistake of ours: the kind of exception and the way it came, without its words."""
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        self.logger.error(
            "internal-error", extra={"request_id": request_id, "error": type(error).__name__, "at": frames}
        )

    def _line(self, level: str, code: str, request_id: str, failure: DependencyFailure | None) -> None:
        extra: dict[str, object] = {"request_id": request_id}
        if failure:
            extra |= {"dependency": failure.dependency, "reason": failure.reason, "problems": failure.problems}
        getattr(self.logger, level)(code, extra=extra)

    def count(
        self,
        platform: str,
        kind: str,
        failure: RoomkeyError | None,
        usage: Usage,
        stale_seconds: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """The metrics of one request to a minting route, as one line of CloudWatch's embedded format.

        They count for the time at which it started, as its audit line has it, and its duration is what it has spent.
        `stale_seconds` is the age of what could not be read again and was used all the same, by `switch` and
        `credentials`.
        """
        outcome = "TokenMinted" if failure is None else "Fault" if isinstance(failure, Fault) else "TokenRefused"
        failed_reads = len(stale_seconds) + (isinstance(failure, Fault) and _is_a_read(failure.failure))
        metrics: dict[str, float] = {outcome: 1.0}
        if failure is None and kind == TokenKind.MANAGEMENT:
            # For an alarm, which could not add up over the platforms.
            metrics["ManagementTokenMinted"] = 1.0
        metrics["Duration"] = usage.seconds * 1000
        for what, age in stale_seconds.items():
            metrics[_STALE_METRICS[what]] = float(age)
        if failed_reads:
            metrics["DependencyFailure"] = float(failed_reads)

        form = _form(self.environment, platform, kind, failure.code if failure else MINTED, tuple(metrics))
        sys.stdout.write(form % (usage.since * 1000, *metrics.values()))


def _is_a_read(failure: DependencyFailure | None) -> bool:
    return failure is not None and failure.dependency in ("ssm", "secretsmanager")
