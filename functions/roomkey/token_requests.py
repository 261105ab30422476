"""From a request body to a token request that can be judged: known fields, right types, a life in bounds."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roomkey.errors import FieldError, InvalidRequest, NotAllowed, UserMismatch
from roomkey.platforms.base import Platform, RequestField, TokenKind

SHORTEST_LIFE = 60
"""Seconds. A shorter token may be dead before a slow phone has joined."""

_MOST_ERRORS = 20
"""A body of sixteen KiB can hold thousands of wrong fields; nobody reads more than this many."""


@dataclass(frozen=True, slots=True)
class Lives:
    """How long the tokens of this stack live, in seconds: where a request does not say, and at the longest."""

    default: Mapping[TokenKind, int]
    longest: int

    def cap(self, platform: Platform) -> int:
        """The most that a request may ask for: the stack's longest life or the vendor's, whichever is less."""
        return min(self.longest, platform.longest_life or self.longest)

    def granted(self, platform: Platform, kind: TokenKind, asked: int | None, allowed: int | None = None) -> int:
        """The life that a token gets. `allowed` is the matching rule's longest life, None where there is none.

        Raises `NotAllowed` where more is asked for than the rule grants: nothing is ever clamped.
        """
        if asked is None:
            return min(self.default[kind], self.cap(platform), allowed or self.longest)
        if allowed is not None and asked > allowed:
            raise NotAllowed
        return asked


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked for, in words that all platforms share. What a kind or platform has not is None or empty."""

    platform: Platform
    kind: TokenKind
    room_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    services: tuple[str, ...] = ()
    expires_in: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How strictly a route reads a body: the drop-in for 100ms's endpoint takes what that one took.

    `stray_fields`: fields nobody knows are passed over. `empty_user`: a `user_id` of null or "" counts as none.
    """

    stray_fields: bool
    empty_user: bool


STRICT = Form(stray_fields=False, empty_user=False)
LENIENT = Form(stray_fields=True, empty_user=True)


def parse(
    platform: Platform,
    kind: TokenKind,
    body: Mapping[str, Any],
    *,
    lives: Lives,
    form: Form = STRICT,
    signed_in_user: str | None = None,
) -> TokenRequest:
    """The token request that `body` spells. With `signed_in_user`, the token is for that user and nobody else.

    Raises `InvalidRequest` with every field that is at fault, `UserMismatch` where the body names another user, and
    `NotAllowed` where the signed-in user's id is none that the platform takes.
    """
    life = RequestField("expires_in", _life_between(SHORTEST_LIFE, lives.cap(platform)))
    fields = {field.name: field for field in (*platform.request_fields[kind], life)}
    sent = dict(body)
    if form.empty_user and sent.get("user_id") in (None, ""):
        sent.pop("user_id", None)
    binds = signed_in_user is not None and platform.binds_user(kind)
    if binds:
        sent.setdefault("user_id", signed_in_user)
        if not _passes(fields["user_id"], signed_in_user):
            raise NotAllowed

    errors = [] if form.stray_fields else [_unknown(name) for name in sent if name not in fields]
    values: dict[str, Any] = {}
    for name, value in sent.items():
        if name in fields:
            try:
                values[fields[name].target] = fields[name].check(value)
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
    errors += _missing_or_doubled(fields.values(), sent)
    errors = errors or [FieldError(*conflict) for conflict in platform.conflicts(values)]
    if errors:
        raise InvalidRequest(*sorted(errors, key=lambda error: error.field)[:_MOST_ERRORS])
    if binds and values["user_id"] != signed_in_user:
        raise UserMismatch
    return TokenRequest(platform, kind, **values)


def _life_between(shortest: int, longest: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number of seconds")
        if not shortest <= value <= longest:
            raise ValueError(f"must be from {shortest} to {longest} seconds")
        return value

    return check


def _passes(field: RequestField, value: object) -> bool:
    try:
        field.check(value)
    except ValueError:
        return False
    return True


def _missing_or_doubled(fields: Iterable[RequestField], sent: Mapping[str, Any]) -> list[FieldError]:
    """Of the fields that mean the same thing, exactly one may be sent, and one must be if they are required."""
    by_target: dict[str, list[RequestField]] = {}
    for field in fields:
        by_target.setdefault(field.target, []).append(field)
    errors = []
    for alternatives in by_target.values():
        found = sum(field.name in sent for field in alternatives)
        if found > 1 or (found == 0 and alternatives[0].required):
            words = "exactly one of " + " and ".join(field.name for field in alternatives) + " must be sent"
            errors.append(FieldError(alternatives[0].name, words if len(alternatives) > 1 else "is missing"))
    return errors


_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _unknown(name: str) -> FieldError:
    # A field is named so that it can be found, unless its name is itself something to smuggle in.
    shown = name if _PRINTABLE_NAME.fullmatch(name) else "(unprintable)"
    return FieldError(shown, "is not a field of this request")
