"""Why a request gets no token.

Every way to fail that a caller can see is a class here, with the `code` and the fixed sentence of the API's
contract. The codes are a closed list (docs/api.md); which HTTP status each one has is known to `roomkey.api` alone.
A sentence never holds what the caller sent, a name of ours in AWS, or the text of another exception.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request that cannot be accepted, and why, in words that repeat nothing of its value."""

    field: str
    reason: str


class RoomkeyError(Exception):
    """The request gets no token. Subclasses say why."""

    code: ClassVar[str]
    msg: ClassVar[str]

    def __init__(self, *errors: FieldError) -> None:
        super().__init__(self.code)
        self.errors = errors


class Refusal(RoomkeyError):
    """The request is at fault, or somebody decided against it: asking again changes nothing."""


class MalformedBody(Refusal):
    """The body cannot be read as what its type says."""

    code = "malformed-body"
    msg = "The request body could not be read."

    def __init__(self, reason: str) -> None:
        super().__init__(FieldError("body", reason))


class InvalidRequest(Refusal):
    """The body can be read, and one or more of its fields cannot be accepted."""

    code = "invalid-request"
    msg = "The request has fields that are missing, unknown or not valid."


class Unauthenticated(Refusal):
    """Who is calling was not proved, on a route that demands it."""

    code = "unauthenticated"
    msg = "This endpoint needs a signed-in caller."


class MintingDisabled(Refusal):
    """The operators have switched this kind of token off. The sentence is the one that 100ms's endpoint answered."""

    code = "minting-disabled"
    msg = "Generating token using the room_id and role is disabled."


class UserMismatch(Refusal):
    """The body names another user than the one who signed in."""

    code = "user-mismatch"
    msg = "The user_id in the request is not the signed-in user."


class NotAllowed(Refusal):
    """The caller may not have this token, whether the room or the user exists or not."""

    code = "not-allowed"
    msg = "The caller is not allowed to have this token."


class NotFound(Refusal):
    """There is nothing at this path."""

    code = "not-found"
    msg = "There is nothing at this path."


class MethodNotAllowed(Refusal):
    """The path exists, for another method."""

    code = "method-not-allowed"
    msg = "This path does not answer this method."

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class BodyTooLarge(Refusal):
    """The body is longer than any token request needs."""

    code = "body-too-large"
    msg = "The request body is larger than 16 KiB."


class UnsupportedMediaType(Refusal):
    """The body is of a type that this route does not read."""

    code = "unsupported-media-type"
    msg = "The Content-Type of the request is not supported here."


class Fault(RoomkeyError):
    """Nothing is wrong with the request: something that the stack depends on, or the stack itself, is at fault."""

    def __init__(self, failure: "DependencyFailure | None" = None) -> None:
        super().__init__()
        self.failure = failure

    @property
    def transient(self) -> bool:
        """Whether asking again in a few seconds may well help."""
        return self.failure is not None and self.failure.transient


class InternalError(Fault):
    """A mistake in Roomkey: nothing that a caller or an operator did explains it."""

    code = "internal-error"
    msg = "The token could not be made because of an internal error."


class KillSwitchUnavailable(Fault):
    """Whether minting is on could not be established, so it is not on."""

    code = "kill-switch-unavailable"
    msg = "Whether tokens may be made cannot be established at the moment."


class PolicyUnavailable(Fault):
    """Who may ask for what could not be established, so nobody may."""

    code = "policy-unavailable"
    msg = "Who may have which token cannot be established at the moment."


class CredentialsUnavailable(Fault):
    """The platform's credentials could not be read."""

    code = "credentials-unavailable"
    msg = "The credentials to sign this token are not available at the moment."


class CredentialsInvalid(Fault):
    """The platform's credentials were read, and no token signed with them would work."""

    code = "credentials-invalid"
    msg = "The credentials to sign this token are not usable."


class AuditUnavailable(Fault):
    """The audit line could not be written, and a token without one is not handed out."""

    code = "audit-unavailable"
    msg = "The token could not be recorded and is therefore not given out."


class DeadlineExceeded(Fault):
    """The time that a request may take was used up before there was a token."""

    code = "deadline-exceeded"
    msg = "The token could not be made in time."

    @property
    def transient(self) -> bool:
        return True


BUDGET_EXCEEDED = "budget-exceeded"
"""The reason of a failure that is the request's own: its time was used up, whatever the dependency was doing."""


class DependencyFailure(Exception):
    """A read from SSM or Secrets Manager that gave nothing to go on.

    `reason` is one of a closed list of words (docs/operations.md), fit for logs. `transient` parts what passes by
    itself (throttled, timed out, 5xx, connection, foreign answer) from an authoritative no (not found, access
    denied, deleted, undecryptable, not usable), after which nothing that was known before may be used any more.
    `problems` name what is wrong with the thing that was read, never its value.
    """

    def __init__(self, dependency: str, reason: str, *, transient: bool, problems: tuple[str, ...] = ()) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason
        self.transient = transient
        self.problems = problems
