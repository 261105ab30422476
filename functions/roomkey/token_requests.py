"""Turn a request body into a token request: known fields, valid values, a lifetime within bounds."""

import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from typing import Any, NamedTuple

from roomkey.errors import FieldError, InvalidRequest, NotAllowed, UserMismatch
from roomkey.limits import MAX_ERRORS, MIN_LIFETIME
from roomkey.platforms.base import Agent, Platform, TokenKind
from roomkey.platforms.fields import DISPLAY_FIELDS, Check, RequestField, TokenSpec
from roomkey.settings import LifetimeLimits

INVITE = "invite"
"""The kind of a request to create an invite, in policy rules, the kill switch and audit lines."""

KINDS = (*TokenKind, INVITE)

RESTRICTED_VALUES = ("metadata", "attributes")
"""Values that other participants' apps may trust for rights. A request can set them only if `may_set` allows it."""


class TokenRequest(NamedTuple):
    """A request with the fields that all platforms share. A field that the kind or platform lacks is None or empty."""

    platform: Platform
    kind: TokenKind
    room_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    services: tuple[str, ...] = ()
    expires_in: int | None = None
    display_name: str | None = None
    email: str | None = None
    avatar_url: str | None = None
    metadata: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    agent: Agent | None = None
    for_invite: bool = False

    @property
    def policy_kind(self) -> str:
        """The kind by which the policy decides: that of the token, or `invite` for a request to create an invite."""
        return INVITE if self.for_invite else self.kind

    def values(self) -> Mapping[str, object]:
        """Return the platform's fields by name, for `Platform.conflicts`."""
        return {"room_id": self.room_id, "role": self.role, "user_id": self.user_id, "services": self.services}

    @property
    def restricted_values(self) -> tuple[str, ...]:
        """Those of `RESTRICTED_VALUES` that the request sets."""
        return tuple(name for name in RESTRICTED_VALUES if getattr(self, name))

    @property
    def opens_every_room(self) -> bool:
        """Whether the token is for every room, because the request names none."""
        return self.platform.opens_every_room(self.kind, self.values())


class ParseMode(NamedTuple):
    """How strictly a route reads a body. `ignore_empty_user_id` treats null and "" as no user id."""

    ignore_unknown_fields: bool
    ignore_empty_user_id: bool


STRICT = ParseMode(ignore_unknown_fields=False, ignore_empty_user_id=False)
LENIENT = ParseMode(ignore_unknown_fields=True, ignore_empty_user_id=True)
"""For the drop-in replacement of 100ms's endpoint."""


def parse(
    platform: Platform,
    kind: TokenKind,
    body: Mapping[str, Any],
    *,
    lifetimes: LifetimeLimits,
    mode: ParseMode = STRICT,
    signed_in: bool = False,
    spec: TokenSpec | None = None,
) -> TokenRequest:
    """Return the token request in `body`. A caller who is `signed_in` can omit the user id: see `bind_to_user`.
    `spec` replaces the platform's own fields and `expires_in`.

    Raises `InvalidRequest` with every invalid field.
    """
    schema = _schema(spec or platform.kinds[kind], None if spec else lifetime_bounds(platform, kind, lifetimes))
    sent = dict(body)
    if mode.ignore_empty_user_id and sent.get("user_id") in ("", None):
        sent.pop("user_id", None)

    values: dict[str, Any] = {**schema.defaults}
    errors = []
    for maps_to_field, fields in schema.fields.items():
        found = [field for field in fields if field.name in sent]
        for field in found:
            try:
                value = field.check(sent[field.name])
                if maps_to_field == "room_id" and platform.fold_room_case:
                    value = field.check(value.lower())
                values[maps_to_field] = value
            except ValueError as error:
                errors.append(FieldError(field.name, str(error)))
        # At most one of the fields with one meaning may be sent, and exactly one if they are required.
        if (len(found) > 1 or (not found and fields[0].required)) and not (signed_in and maps_to_field == "user_id"):
            errors.append(_one_of(fields))
    if not mode.ignore_unknown_fields:
        errors += map(unknown_field, sorted(sent.keys() - schema.names))
    errors = errors or [FieldError(*conflict) for conflict in platform.conflicts(values)]
    if errors:
        raise InvalidRequest(*errors[:MAX_ERRORS])
    return TokenRequest(platform, kind, **values)


class _Schema(NamedTuple):
    """The fields of a body by the field they map to, their names, and their defaults."""

    fields: Mapping[str, Sequence[RequestField]]
    names: Set[str]
    defaults: Mapping[str, object]


@cache
def _schema(spec: TokenSpec, bounds: "LifetimeBounds | None") -> _Schema:
    lifetime = [RequestField("expires_in", _lifetime_between(bounds.minimum, bounds.maximum))] if bounds else []
    fields = (*spec.fields, *lifetime)
    defaults = {field.maps_to_field: field.default for field in fields if field.default is not None}
    return _Schema(TokenSpec(fields).by_meaning(), {field.name for field in fields}, defaults)


def bind_to_user(request: TokenRequest, user_id: str, claims: Mapping[str, str] | None = None) -> TokenRequest:
    """Return `request` bound to the signed-in user. A token that names no user stays as it is.

    Display values come from the verified `claims`, if those have them, rather than from the request.

    Raises `UserMismatch` if the request names another user, and `NotAllowed` if the platform does not accept the id.
    """
    fields = {field.name: field for field in request.platform.kinds[request.kind].fields}
    request = request._replace(**_verified_display_values(fields, claims or {}))
    if request.user_id == user_id or "user_id" not in fields:
        return request
    if request.user_id is not None:
        raise UserMismatch
    bound = request._replace(user_id=user_id)
    try:
        fields["user_id"].check(user_id)
    except ValueError:
        raise NotAllowed from None
    if any(request.platform.conflicts(bound.values())):
        raise NotAllowed
    return bound


def _verified_display_values(fields: Mapping[str, RequestField], claims: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, claim in DISPLAY_FIELDS.items():
        if name in fields and claim in claims:
            try:
                values[name] = fields[name].check(claims[claim])
            except ValueError:
                values[name] = None  # The request must not replace a claim that cannot be shown.
    return values


class LifetimeBounds(NamedTuple):
    """The shortest and the longest lifetime of a token, and the default, in seconds."""

    minimum: int
    default: int
    maximum: int


def lifetime_bounds(platform: Platform, kind: TokenKind, lifetimes: LifetimeLimits) -> LifetimeBounds:
    """Return the bounds of the stack and of the platform together."""
    spec = platform.kinds[kind].lifetime
    minimum = max(MIN_LIFETIME, spec.minimum)
    maximum = min(lifetimes.longest, spec.maximum or lifetimes.longest)
    return LifetimeBounds(minimum, min(max(spec.default or lifetimes.default[kind], minimum), maximum), maximum)


def resolve_lifetime(request: TokenRequest, lifetimes: LifetimeLimits, allowed: int | None = None) -> int:
    """Return the token's lifetime in seconds: the requested one, else the default within the bounds.

    `allowed` is the longest lifetime that the policy grants, None for no bound. A longer request has been refused
    already. Raises `NotAllowed` if the policy grants less than the platform's minimum.
    """
    bounds = lifetime_bounds(request.platform, request.kind, lifetimes)
    lifetime = request.expires_in
    if lifetime is None:
        lifetime = bounds.default if allowed is None else min(bounds.default, allowed)
    if lifetime < bounds.minimum:
        raise NotAllowed
    return lifetime


def _lifetime_between(shortest: int, longest: int) -> Check[int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number of seconds")
        if not shortest <= value <= longest:
            raise ValueError(f"must be from {shortest} to {longest} seconds")
        return value

    return Check(check, {"type": "integer", "minimum": shortest, "maximum": longest})


def _one_of(fields: Sequence[RequestField]) -> FieldError:
    """Return the error for `fields` with one meaning, of which not exactly one was sent."""
    words = "exactly one of " + " and ".join(field.name for field in fields) + " must be sent"
    return FieldError(fields[0].name, words if len(fields) > 1 else "is missing")


_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def unknown_field(name: str) -> FieldError:
    """Return the error for a field that the request does not have."""
    # An unknown name is caller-controlled text: it is repeated only if it is harmless.
    shown = name if _PRINTABLE_NAME.fullmatch(name) else "(unprintable)"
    return FieldError(shown, "is not a field of this request")
