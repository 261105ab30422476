"""Log lines about faults, and metrics to alarm on.

A log line names the failure by closed lists of words (docs/reference/audit-log.md) and the place in the code. It never
contains the text of an exception: AWS's texts contain ARNs and account ids, a JSON decoder's the whole secret.
"""

import functools
import logging
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from roomkey import strict_json
from roomkey.clock import Usage
from roomkey.errors import AuditUnavailable, DependencyFailure, Fault, InternalError
from roomkey.platforms.base import TokenKind
from roomkey.record import RequestRecord

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

NAMESPACE = "Roomkey"
SERVICE = "roomkey"
MINTED = "minted"
INVITED = "invited"
"""The values of the dimension `code` for a minted token and a new invite. Others are the codes of `roomkey.errors`."""
_NO_PLATFORM = "none"
"""The platform of a request whose invite could not be verified."""

_DIMENSIONS = (("environment",), ("environment", "platform", "kind"), ("environment", "code"))
"""An alarm cannot sum over dimensions, so there is one set of dimensions for each question."""
_UNITS = {"Duration": "Milliseconds", "KillSwitchStaleSeconds": "Seconds", "CredentialsStaleSeconds": "Seconds"}
"""The units of metrics that are not counts. A count needs no unit, and every request pays for its bytes."""


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stdout`, as `print` does, not to the one at import time."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass


@functools.cache
def _new_logger() -> "Logger":
    # Imported here: the import is a seventh of a cold start, and a request that succeeds logs nothing.
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    return Logger(service=SERVICE, logger_handler=_StdoutHandler())


class Observability:
    """Logs and metrics of one environment. No dimension contains a user, room or token."""

    __slots__ = ("_environment", "_log_level")

    def __init__(self, environment: str, log_level: str) -> None:
        self._environment = environment
        self._log_level = log_level

    @property
    def _logger(self) -> "Logger":
        logger = _new_logger()
        logger.setLevel(self._log_level)
        return logger

    def request_finished(self, record: RequestRecord, usage: Usage) -> None:
        """Log the fault or the stale reads of one request, and write its metrics."""
        failure = record.failure
        if isinstance(failure, Fault) and not _is_logged(failure):
            self.fault(failure, record.event.request_id)
        if record.minted or record.created_invite:
            for name, dependency_failure in _stale_reads(record):
                self._line("warning", f"{name}-stale", record.event.request_id, dependency_failure)
        self._write_metrics(record, usage)

    def fault(self, fault: Fault, request_id: str) -> None:
        """Log a fault that a caller received as the response."""
        self._line("error", fault.code, request_id, fault.failure)

    def unexpected(self, error: BaseException, request_id: str) -> None:
        """Log an exception that is a defect of Roomkey: its type and traceback, without its text."""
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        self._logger.error(
            "internal-error", extra={"request_id": request_id, "error": type(error).__name__, "at": frames}
        )

    def foreign_event(self, source: str, request_id: str) -> None:
        """Log an event that an HTTP API with payload format 2.0 did not send."""
        self._logger.warning("foreign-event", extra={"request_id": request_id, "reason": source})

    def _line(self, level: str, code: str, request_id: str, failure: DependencyFailure | None) -> None:
        extra: dict[str, object] = {"request_id": request_id}
        if failure:
            extra |= {"dependency": failure.dependency, "reason": failure.reason, "problems": failure.problems}
        getattr(self._logger, level)(code, extra=extra)

    def _write_metrics(self, record: RequestRecord, usage: Usage) -> None:
        """Write one line in CloudWatch's embedded metric format, at the time that the audit line has.

        Source: CloudWatch's "Specification: Embedded metric format". Tests compare the line with Powertools' own.
        """
        failure = record.failure
        granted = "InviteCreated" if record.created_invite else "TokenMinted"
        outcome = granted if failure is None else "Fault" if isinstance(failure, Fault) else "TokenRefused"
        values: dict[str, float] = {outcome: 1}
        # For alarms, which cannot sum over the platforms.
        if failure is None and record.kind == TokenKind.MANAGEMENT:
            values["ManagementTokenMinted"] = 1
        if record.redeems_invite and not isinstance(failure, Fault):
            values["InviteRefused" if failure else "InviteRedeemed"] = 1
        values["Duration"] = round(usage.seconds * 1000, 1)

        failed_reads = int(isinstance(failure, Fault) and _is_a_read(failure.failure))
        for metric, readings in (
            ("KillSwitchStaleSeconds", (record.kill_switch,)),
            ("CredentialsStaleSeconds", (record.credentials, record.invite_keys)),
        ):
            if ages := [reading.age for reading in readings if reading and reading.failure]:
                values[metric] = round(max(ages), 1)
                failed_reads += len(ages)
        if failed_reads:
            values["DependencyFailure"] = failed_reads

        metrics = [{"Name": name, **({"Unit": _UNITS[name]} if name in _UNITS else {})} for name in values]
        directive = {"Namespace": NAMESPACE, "Dimensions": _DIMENSIONS, "Metrics": metrics}
        line = {
            "_aws": {"Timestamp": int(usage.since * 1000), "CloudWatchMetrics": [directive]},
            "environment": self._environment,
            "platform": record.platform or _NO_PLATFORM,
            "kind": record.kind,
            "code": failure.code if failure else INVITED if record.created_invite else MINTED,
            **values,
        }
        sys.stdout.write(strict_json.dumps(line) + "\n")


def _stale_reads(record: RequestRecord) -> list[tuple[str, DependencyFailure]]:
    reads = (
        ("kill-switch", record.kill_switch),
        ("credentials", record.credentials),
        ("invite-keys", record.invite_keys),
    )
    return [(name, reading.failure) for name, reading in reads if reading and reading.failure]


def _is_logged(fault: Fault) -> bool:
    """Return whether the fault was logged where it was caught."""
    return isinstance(fault, AuditUnavailable) or (isinstance(fault, InternalError) and fault.failure is None)


def _is_a_read(failure: DependencyFailure | None) -> bool:
    return failure is not None and failure.dependency in ("ssm", "secretsmanager")
