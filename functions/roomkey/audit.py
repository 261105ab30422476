"""The audit trail: one line of JSON for every request to a minting route, whether it got a token or not.

A line is written and flushed before the answer goes out, and a token whose line cannot be written is not handed out.
It is written here and not by a logger: loggers swallow what goes wrong on the way. The fields are an allow-list; a
token is known by its SHA-256, and no secret, header or body has a place. docs/operations.md says what each field means.
"""

import functools
import hashlib
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

from roomkey import __version__, strict_json
from roomkey.cache import CachedValue
from roomkey.clock import Usage
from roomkey.credentials import VersionedCredentials
from roomkey.errors import AuditUnavailable, RoomkeyError
from roomkey.identity import Caller
from roomkey.kill_switch import KillSwitchReading
from roomkey.minting import MintedToken
from roomkey.platforms.base import TokenKind
from roomkey.policy import Decision, Mode
from roomkey.token_requests import TokenRequest

SCHEMA = 1


@dataclass(slots=True)
class AuditRecord:
    """What became known of one request, filled in on its way through the order of work."""

    request_id: str
    lambda_request_id: str
    route: str
    kind: TokenKind
    platform: str
    source_ip: str
    user_agent: str
    cold_start: bool
    trace_id: str | None = None
    caller: Caller | None = None
    request: TokenRequest | None = None
    switch: KillSwitchReading | None = None
    policy_mode: Mode | None = None
    decision: Decision | None = None
    credentials: CachedValue[VersionedCredentials] | None = None
    minted: MintedToken | None = None
    failure: RoomkeyError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Where the lines go. `user_ids` is whether they say which user a token is for, or leave it out."""

    environment: str
    user_ids: bool
    stream: TextIO | None = None
    """None is standard output, whatever it is at the time."""

    def write(self, record: AuditRecord, *, status: int, fault: bool, usage: Usage) -> None:
        """Writes one line, all of it, now. Raises `AuditUnavailable`."""
        try:
            line = strict_json.dumps(self._line(record, status, fault, usage))
            stream = self.stream or sys.stdout
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError, OverflowError):
            raise AuditUnavailable from None

    def _line(self, record: AuditRecord, status: int, fault: bool, usage: Usage) -> dict[str, object]:
        caller, request, minted = record.caller, record.request, record.minted
        code = record.failure.code if record.failure else None
        line: dict[str, object] = {
            "log_type": "audit",
            "schema": SCHEMA,
            "ts": _rfc3339(usage.since),
            "environment": self.environment,
            "version": __version__,
            "request_id": record.request_id,
            "lambda_request_id": record.lambda_request_id,
            "trace_id": record.trace_id,
            "cold_start": record.cold_start,
            "route": record.route,
            "platform": record.platform,
            "kind": record.kind,
            "decision": "error" if fault else "denied" if record.failure else "minted",
            "reason": code,
            "status": status,
            "source_ip": record.source_ip,
            "user_agent": record.user_agent,
            "calls": {service: usage.calls.get(service, 0) for service in ("ssm", "secretsmanager")},
            "duration_ms": _in_tenths(usage.seconds * 1000),
        }
        if caller:
            line["caller"] = {
                "access": caller.access,
                "issuer": caller.issuer,
                "user_id": caller.user_id if self.user_ids else None,
                "principal": caller.principal,
            }
        if request:
            line["requested"] = {
                "room_id": request.room_id,
                "role": request.role,
                "user_id": request.user_id if self.user_ids else None,
                "services": request.services,
                "expires_in": request.expires_in,
            }
        if record.switch:
            line["switch"] = {"age_s": _in_tenths(record.switch.age), "stale": record.switch.failure is not None}
        if record.decision:
            line["policy"] = {
                "mode": record.policy_mode,
                "allowed": record.decision.allowed,
                "rule": record.decision.rule,
                "max_lifetime": record.decision.max_lifetime,
            }
        if record.credentials:
            line["credentials"] = {
                "version_id": record.credentials.value.version_id,
                "age_s": _in_tenths(record.credentials.age),
                "stale": record.credentials.failure is not None,
            }
        if minted:
            line["token"] = {
                "sha256": hashlib.sha256(minted.token.encode()).hexdigest(),
                "id": minted.token_id,
                "user_id": minted.grant.user_id if self.user_ids else None,
                "minted_at": minted.minted_at,
                "expires_at": minted.grant.expires_at,
                "expires_in": minted.expires_in,
            }
        return line


def _in_tenths(number: float) -> float:
    """`number` to one digit. `round`, told so, goes by way of the number's text, and takes longer."""
    return round(number * 10) / 10


def _rfc3339(seconds: float) -> str:
    milliseconds = int(seconds * 1000)
    return f"{_minute(milliseconds // 60_000)}:{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}Z"


@functools.lru_cache(maxsize=2)
def _minute(minutes: int) -> str:
    """The part of a moment that many lines share, which is the one that takes time."""
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(minutes * 60))
