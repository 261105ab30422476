"""What operators see beside the audit trail: log lines about faults, and metrics to alarm on.

A log line says what failed, by closed words of ours (docs/operations.md), and where in our code. It never holds the
text of an exception: those of the SDK hold ARNs and account ids, those of a JSON decoder the whole secret.
"""

import logging
import sys
import traceback
from dataclasses import dataclass
from typing import TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from roomkey.errors import DependencyFailure, Fault, RoomkeyError

NAMESPACE = "Roomkey"
SERVICE = "roomkey"


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is at the time, as `print` does, and not to what it was at import."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass


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

    def count(self, platform: str, kind: str, failure: RoomkeyError | None, duration_ms: float) -> None:
        """The metrics of one request to a minting route, as one line of CloudWatch's embedded format."""
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
        metrics.add_dimension("environment", self.environment)
        metrics.add_dimension("platform", platform)
        metrics.add_dimension("kind", kind)
        outcome = "TokenMinted" if failure is None else "Fault" if isinstance(failure, Fault) else "TokenRefused"
        metrics.add_metric(outcome, MetricUnit.Count, 1)
        metrics.add_metric("Duration", MetricUnit.Milliseconds, duration_ms)
        metrics.add_metadata("reason", failure.code if failure else "minted")
        metrics.flush_metrics()
