"""Why a request gets no token.

Each failure that a caller can see is a class here, with the `code` and the fixed sentence of the API's contract. The
codes are a closed list (docs/api.md); `roomkey.responses` maps them to HTTP statuses. A sentence never contains input
of the caller, a name in AWS, or the text of another exception.
"""

from typing import ClassVar, NamedTuple, Self


class FieldError(NamedTuple):
    """One invalid field of a request and the reason, which never repeats the field's value."""

    field: str
    reason: str


class RoomkeyError(Exception):
    """The request gets no token. Subclasses give the reason."""

    code: ClassVar[str]
    msg: ClassVar[str]

    def __init__(self, *errors: FieldError) -> None:
        super().__init__(self.code)
        self.errors = errors

    def without_traceback(self) -> Self:
        """Drop the traceback: its frames refer to the record that keeps this error, a reference cycle."""
        self.__context__ = None
        return self.with_traceback(None)


class Refusal(RoomkeyError):
    """A 4xx. Repeating the request does not help."""


class MalformedBody(Refusal):
    """The body does not parse as its declared type."""

    code = "malformed-body"
    msg = "The request body could not be read."

    def __init__(self, reason: str) -> None:
        super().__init__(FieldError("body", reason))


class InvalidRequest(Refusal):
    """The body parses, and one or more of its fields are invalid."""

    code = "invalid-request"
    msg = "The request has fields that are missing, unknown or invalid."


class Unauthenticated(Refusal):
    """The route requires a signed-in caller, and the gateway authenticated none."""

    code = "unauthenticated"
    msg = "This endpoint requires a signed-in caller."


class MintingDisabled(Refusal):
    """The kill switch turns this kind of token off. The sentence is the one of 100ms's endpoint."""

    code = "minting-disabled"
    msg = "Generating token using the room_id and role is disabled."


class UserMismatch(Refusal):
    """The body names another user than the signed-in one."""

    code = "user-mismatch"
    msg = "The user_id in the request is not the signed-in user."


class NotAllowed(Refusal):
    """The policy does not grant this token. The response is the same whether the room exists or not."""

    code = "not-allowed"
    msg = "The caller is not allowed to have this token."


class Blocked(Refusal):
    """The user or the invite is on the block list."""

    code = "blocked"
    msg = "This user or invite is blocked."


class NotFound(Refusal):
    """The path is unknown."""

    code = "not-found"
    msg = "This path does not exist."


class InviteInvalid(Refusal):
    """The invite is unknown, forged, malformed or expired. The response does not show which."""

    code = "invite-invalid"
    msg = "This invite is invalid or has expired."


class MethodNotAllowed(Refusal):
    """The path exists for another method, `allowed`."""

    code = "method-not-allowed"
    msg = "This path does not accept this method."

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class BodyTooLarge(Refusal):
    """The body is larger than the limit."""

    code = "body-too-large"
    msg = "The request body is larger than 16 KiB."


class UnsupportedMediaType(Refusal):
    """The body has no type or one that the route does not read. Every route reads JSON."""

    code = "unsupported-media-type"
    msg = "The Content-Type is missing or not accepted: send Content-Type: application/json."


class Fault(RoomkeyError):
    """A 5xx: the request is fine, and the stack or one of its dependencies failed."""

    def __init__(self, failure: "DependencyFailure | None" = None) -> None:
        super().__init__()
        self.failure = failure

    @property
    def transient(self) -> bool:
        """Whether a retry in a few seconds is likely to succeed."""
        return self.failure is not None and self.failure.transient

    def without_traceback(self) -> Self:
        """Drop the traceback, also of the failure behind this fault."""
        if self.failure:
            self.failure.__traceback__ = self.failure.__context__ = None
        return super().without_traceback()


class InternalError(Fault):
    """A defect of Roomkey."""

    code = "internal-error"
    msg = "The token could not be issued because of an internal error."


class KillSwitchUnavailable(Fault):
    """The kill switch is unknown, so minting is off."""

    code = "kill-switch-unavailable"
    msg = "The kill switch could not be read, so no token is issued."


class PolicyUnavailable(Fault):
    """The policy is unknown, so it allows nothing."""

    code = "policy-unavailable"
    msg = "The policy could not be read, so no token is issued."


class BlockListUnavailable(Fault):
    """The block list is unknown, so everyone counts as blocked."""

    code = "blocklist-unavailable"
    msg = "The block list could not be read, so no token is issued."


class CredentialsUnavailable(Fault):
    """The platform's credentials could not be read."""

    code = "credentials-unavailable"
    msg = "The credentials to sign this token could not be read."


class CredentialsInvalid(Fault):
    """The platform's credentials cannot sign a token that works."""

    code = "credentials-invalid"
    msg = "The credentials to sign this token are invalid."


class AuditUnavailable(Fault):
    """The audit line could not be written, so the token is not returned."""

    code = "audit-unavailable"
    msg = "The audit line could not be written, so the token is withheld."


class DeadlineExceeded(Fault):
    """The time for the request was used up before there was a token."""

    code = "deadline-exceeded"
    msg = "The token could not be issued in time."

    @property
    def transient(self) -> bool:
        return True


BUDGET_EXCEEDED = "budget-exceeded"
"""The reason of a failure caused by the request's own deadline, not by the dependency."""


class DependencyFailure(Exception):
    """Reading from SSM or Secrets Manager failed.

    `reason` is a word of a closed list (docs/reference/audit-log.md) and safe to log. A `transient` failure passes by
    itself (throttled, timed out, 5xx, connection, unexpected response). Any other is authoritative (not found, access
    denied, deleted, undecryptable, invalid), and a cached value may not be used after it. `problems` describe the value
    that was read and never contain it.
    """

    def __init__(self, dependency: str, reason: str, *, transient: bool, problems: tuple[str, ...] = ()) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason
        self.transient = transient
        self.problems = problems
