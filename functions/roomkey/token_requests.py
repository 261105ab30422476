"""From a request body to a token request that can be judged: known fields, right types, a life in bounds."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from roomkey.errors import FieldError, InvalidRequest, NotAllowed, UserMismatch
from roomkey.platforms.base import Platform, RequestField, TokenKind
from roomkey.settings import SHORTEST_LIFE, Lives

_MOST_ERRORS = 20
"""A body of sixteen KiB can hold thousands of wrong fields; nobody reads more than this many."""


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

    def values(self) -> Mapping[str, object]:
        """Its fields by name, as `Platform.conflicts` takes them."""
        return {"room_id": self.room_id, "role": self.role, "user_id": self.user_id, "services": self.services}


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
    signed_in: bool = False,
) -> TokenRequest:
    """The token request that `body` spells. Who has `signed_in` need not say who they are: see `bind`.

    Raises `InvalidRequest` with every field that is at fault.
    """
    life = RequestField("expires_in", _life_between(SHORTEST_LIFE, cap(platform, lives)))
    fields = {field.name: field for field in (*platform.request_fields[kind], life)}
    sent = dict(body)
    if form.empty_user and sent.get("user_id") in ("", None):
        sent.pop("user_id", None)

    values: dict[str, Any] = {field.target: field.default for field in fields.values() if field.default is not None}
    errors = []
    for name, field in fields.items():
        if name in sent:
            try:
                values[field.target] = field.check(sent[name])
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
    expected = [field for field in fields.values() if not (signed_in and field.name == "user_id")]
    errors += _missing_or_doubled(expected, sent)
    if not form.stray_fields:
        errors += [_unknown(name) for name in sorted(sent) if name not in fields]
    errors = errors or [FieldError(*conflict) for conflict in platform.conflicts(values)]
    if errors:
        raise InvalidRequest(*errors[:_MOST_ERRORS])
    return TokenRequest(platform, kind, **values)


def bind(request: TokenRequest, user_id: str) -> TokenRequest:
    """`request` as one for the signed-in user, and nobody else. Tokens that are for nobody in particular stay so.

    Raises `UserMismatch` where the request names another user, and `NotAllowed` where the signed-in user's id is none
    that the platform takes.
    """
    user = next((field for field in request.platform.request_fields[request.kind] if field.name == "user_id"), None)
    if user is None:
        return request
    if request.user_id not in (None, user_id):
        raise UserMismatch
    bound = replace(request, user_id=user_id)
    try:
        user.check(user_id)
    except ValueError:
        raise NotAllowed from None
    if any(request.platform.conflicts(bound.values())):
        raise NotAllowed
    return bound


def cap(platform: Platform, lives: Lives) -> int:
    """The most seconds that a request may ask for: the stack's longest life or the vendor's, whichever is less."""
    return min(lives.longest, platform.longest_life or lives.longest)


def granted_life(request: TokenRequest, lives: Lives, allowed: int | None = None) -> int:
    """The seconds that a token for `request` lives: what it asks for, else the stack's default within the cap.

    `allowed` is the most that the policy grants, None where it sets no bound. What is asked for has been held against
    it already.
    """
    if request.expires_in is not None:
        return request.expires_in
    most = cap(request.platform, lives)
    return min(lives.default[request.kind], most, most if allowed is None else allowed)


def _life_between(shortest: int, longest: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number of seconds")
        if not shortest <= value <= longest:
            raise ValueError(f"must be from {shortest} to {longest} seconds")
        return value

    return check


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
