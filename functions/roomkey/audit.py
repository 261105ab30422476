"""The audit trail: one line of JSON for each request to a minting route (docs/reference/audit-log.md).

The line is written and flushed before the response, and a token whose line cannot be written is not returned. Loggers
hide write errors, so none is used. The fields are an allow-list: a token appears as its SHA-256, and secrets, headers
and bodies never appear. A field without a value is left out.
"""

import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from roomkey import __version__, strict_json
from roomkey.clock import Usage
from roomkey.errors import AuditUnavailable, Fault
from roomkey.record import RequestRecord

SCHEMA = 1


class AuditTrail:
    """Writes the lines of one environment to `stream`; None means standard output.

    With `user_ids` false the lines contain no user ids.
    """

    __slots__ = ("_torn", "environment", "stream", "user_ids")

    def __init__(self, environment: str, user_ids: bool, stream: TextIO | None = None) -> None:
        self.environment = environment
        self.user_ids = user_ids
        self.stream = stream
        self._torn = False

    def write(self, record: RequestRecord, *, status: int, usage: Usage) -> None:
        """Write and flush one line.

        Raises:
            AuditUnavailable: The line could not be written, or not completely.
        """
        try:
            line = self.line(record, status, usage)
            stream = self.stream or sys.stdout
            # After a failed write the stream may end in the middle of a line.
            start, self._torn = "\n" if self._torn else "", True
            stream.write(f"{start}{line}\n")
            stream.flush()
            self._torn = False
        except (OSError, ValueError, OverflowError):
            raise AuditUnavailable from None

    def line(self, record: RequestRecord, status: int, usage: Usage) -> str:
        """Return the line for `record`.

        Raises:
            ValueError: A value cannot be represented in JSON.
        """
        event, failure = record.event, record.failure
        created = record.created_invite
        granted = "invited" if created else "minted"
        decision = granted if failure is None else "error" if isinstance(failure, Fault) else "denied"
        invite = created.invite if created else record.invite
        return strict_json.dumps(
            _present(
                log_type="audit",
                schema=SCHEMA,
                ts=_timestamp(usage.since),
                environment=self.environment,
                version=__version__,
                request_id=event.request_id,
                lambda_request_id=event.lambda_request_id,
                cold_start=record.cold_start,
                route=event.route_key,
                platform=record.platform,
                kind=record.kind,
                decision=decision,
                reason=failure.code if failure else None,
                status=status,
                source_ip=event.source_ip,
                user_agent=event.user_agent,
                calls=usage.calls,
                duration_ms=round(usage.seconds * 1000, 1),
                invite_id=invite and invite.id,
                caller=self._caller(record),
                requested=self._requested(record),
                kill_switch=record.kill_switch and _reading(record.kill_switch.age, record.kill_switch.failure),
                policy=_policy(record),
                invite_keys=record.invite_keys and _reading(record.invite_keys.age, record.invite_keys.failure),
                credentials=_credentials(record),
                token=self._token(record),
                invite=created and {"expires_at": created.invite.expires_at},
            )
        )

    def _caller(self, record: RequestRecord) -> Mapping[str, object] | None:
        if record.caller is None:
            return None
        return _present(
            access=record.caller.access,
            issuer=record.caller.issuer,
            user_id=self._user_id(record.caller.user_id),
            principal=record.caller.principal,
        )

    def _requested(self, record: RequestRecord) -> Mapping[str, object] | None:
        """Return the request, without the values that `_caller` and `_token` contain."""
        request, granted = record.token_request, record.minted or record.created_invite
        if request is None:
            return None
        asked_for_another_user = record.caller is None or request.user_id != record.caller.user_id
        return _present(
            room_id=request.room_id,
            role=request.role,
            user_id=self._user_id(request.user_id) if granted is None and asked_for_another_user else None,
            services=request.services,
            sets=request.restricted_values,
            agent=request.agent.name if request.agent else None,
            expires_in=request.expires_in if granted is None else None,
        )

    def _token(self, record: RequestRecord) -> Mapping[str, object] | None:
        minted = record.minted
        if minted is None:
            return None
        return _present(
            sha256=hashlib.sha256(minted.token.encode()).hexdigest(),
            id=minted.token_id,
            user_id=self._user_id(minted.grant.user_id),
            expires_at=minted.grant.expires_at,
        )

    def _user_id(self, user_id: str | None) -> str | None:
        return user_id if self.user_ids else None


def _policy(record: RequestRecord) -> Mapping[str, object] | None:
    decision = record.decision
    if decision is None:
        return None
    optional = _present(rule=decision.rule, max_lifetime=decision.max_lifetime)
    return {"mode": record.policy_mode, "allowed": decision.allowed, **optional}


def _credentials(record: RequestRecord) -> Mapping[str, object] | None:
    if record.credentials is None:
        return None
    reading = _reading(record.credentials.age, record.credentials.failure)
    return {"version_id": record.credentials.value.version_id, **reading}


def _reading(age: float, failure: object) -> dict[str, object]:
    return {"age_s": round(age, 1)} | _present(stale=failure is not None)


def _present(**fields: object) -> dict[str, object]:
    """Return the fields that have a value: not None, not False, not empty. Zero is a value."""
    return {name: value for name, value in fields.items() if value or type(value) in (int, float)}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
