"""From a request body to a token request that can be judged: known fields, right types, a life in bounds."""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from roomkey.errors import FieldError, InvalidRequest, NotAllowed, UserMismatch
from roomkey.limits import MAX_ERRORS, MIN_LIFETIME
from roomkey.platforms.base import Platform, RequestField, TokenKind
from roomkey.settings import LifetimeLimits


class TokenRequest(NamedTuple):
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
class ParseMode:
    """How strictly a route reads a body: the drop-in for 100ms's endpoint takes what that one took.

    `stray_fields`: fields nobody knows are passed over. `empty_user`: a `user_id` of null or "" counts as none.
    """

    ignore_unknown_fields: bool
    ignore_empty_user_id: bool


STRICT = ParseMode(ignore_unknown_fields=False, ignore_empty_user_id=False)
LENIENT = ParseMode(ignore_unknown_fields=True, ignore_empty_user_id=True)


def parse(
    platform: Platform,
    kind: TokenKind,
    body: Mapping[str, Any],
    *,
    lifetimes: LifetimeLimits,
    mode: ParseMode = STRICT,
    signed_in: bool = False,
) -> TokenRequest:
    """The token request that `body` spells. Who has `signed_in` need not say who they are: see `bind`.

    Raises `InvalidRequest` with every field that is at fault.
    """
    schema = _schema(platform, kind, lifetime_limit(platform, lifetimes))
    sent = dict(body)
    if mode.ignore_empty_user_id and sent.get("user_id") in ("", None):
        sent.pop("user_id", None)

    values: dict[str, Any] = {**schema.defaults}
    errors = []
    for maps_to_field, fields in schema.fields.items():
        found = [field for field in fields if field.name in sent]
        for field in found:
            try:
                values[maps_to_field] = field.check(sent[field.name])
            except ValueError as error:
                errors.append(FieldError(field.name, str(error)))
        # Of fields that mean the same, one at most may be sent, and one must be where they are required.
        if (len(found) > 1 or (not found and fields[0].required)) and not (signed_in and maps_to_field == "user_id"):
            errors.append(_one_of(fields))
    if not mode.ignore_unknown_fields:
        errors += map(_unknown, sorted(sent.keys() - schema.names))
    errors = errors or [FieldError(*conflict) for conflict in platform.conflicts(values)]
    if errors:
        raise InvalidRequest(*errors[:MAX_ERRORS])
    return TokenRequest(platform, kind, **values)


class _Schema(NamedTuple):
    """What a body may hold: its fields by what they mean, their names, and what is meant where none is sent."""

    fields: Mapping[str, Sequence[RequestField]]
    names: Set[str]
    defaults: Mapping[str, object]


@cache
def _schema(platform: Platform, kind: TokenKind, max_lifetime: int) -> _Schema:
    lifetime = RequestField("expires_in", _lifetime_between(MIN_LIFETIME, max_lifetime))
    fields = (*platform.request_fields[kind], lifetime)
    by_target: dict[str, list[RequestField]] = {}
    for field in fields:
        by_target.setdefault(field.maps_to_field, []).append(field)
    defaults = {field.maps_to_field: field.default for field in fields if field.default is not None}
    return _Schema(by_target, {field.name for field in fields}, defaults)


def bind_to_user(request: TokenRequest, user_id: str) -> TokenRequest:
    """`request` as one for the signed-in user, and nobody else. Tokens that are for nobody in particular stay so.

    Raises `UserMismatch` where the request names another user, and `NotAllowed` where the signed-in user's id is none
    that the platform takes.
    """
    if request.user_id == user_id:
        return request
    user = next((field for field in request.platform.request_fields[request.kind] if field.name == "user_id"), None)
    if user is None:
        return request
    if request.user_id is not None:
        raise UserMismatch
    bound = request._replace(user_id=user_id)
    try:
        user.check(user_id)
    except ValueError:
        raise NotAllowed from None
    if any(request.platform.conflicts(bound.values())):
        raise NotAllowed
    return bound


def lifetime_limit(platform: Platform, lifetimes: LifetimeLimits) -> int:
    """The most seconds that a request may ask for: the stack's longest life or the vendor's, whichever is less."""
    return min(lifetimes.longest, platform.max_lifetime or lifetimes.longest)


def resolve_lifetime(request: TokenRequest, lifetimes: LifetimeLimits, allowed: int | None = None) -> int:
    """The seconds that a token for `request` lives: what it asks for, else the stack's default within the cap.

    `allowed` is the most that the policy grants, None where it sets no bound. What is asked for has been held against
    it already.
    """
    if request.expires_in is not None:
        return request.expires_in
    most = lifetime_limit(request.platform, lifetimes)
    return min(lifetimes.default[request.kind], most, most if allowed is None else allowed)


def _lifetime_between(shortest: int, longest: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number of seconds")
        if not shortest <= value <= longest:
            raise ValueError(f"must be from {shortest} to {longest} seconds")
        return value

    return check


def _one_of(fields: Sequence[RequestField]) -> FieldError:
    """That not exactly one of the `fields`, which all mean the same thing, was sent."""
    words = "exactly one of " + " and ".join(field.name for field in fields) + " must be sent"
    return FieldError(fields[0].name, words if len(fields) > 1 else "is missing")


_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _unknown(name: str) -> FieldError:
    # A field is named so that it can be found, unless its name is itself something to smuggle in.
    shown = name if _PRINTABLE_NAME.fullmatch(name) else "(unprintable)"
    return FieldError(shown, "is not a field of this request")
