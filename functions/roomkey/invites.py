"""Invites: signed links with which guests get app tokens (docs/invites.md). Nothing is stored.

An invite is `rki1.PAYLOAD.SIGNATURE`. The payload is base64url of compact ASCII JSON; the signature is base64url of
HMAC-SHA256 over `rki1.ENVIRONMENT.PAYLOAD`. It is signed, not encrypted: everyone who has it can read room and role.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from roomkey import strict_json
from roomkey.errors import FieldError, InvalidRequest, InviteInvalid, NotAllowed
from roomkey.limits import DEFAULT_INVITE_LIFETIME, MAX_INVITE_LIFETIME, MIN_INVITE_LIFETIME
from roomkey.platforms.fields import GUEST_PREFIX, check_id, text
from roomkey.token_requests import unknown_field

PREFIX = "rki1"

_FORMAT = re.compile(rf"{PREFIX}\.([A-Za-z0-9_-]{{1,8000}})\.([A-Za-z0-9_-]{{43}})")
_KEY = re.compile(r"[A-Za-z0-9_-]{43,128}")
_KEY_ID = re.compile(r"[a-z0-9]{1,8}")
_NO_KEY = bytes(32)

check_guest_name = text(64)


class Invite(NamedTuple):
    """The grant of an invite: an app token for one room and role until `expires_at` (Unix seconds)."""

    platform: str
    room_id: str | None
    role: str | None
    services: tuple[str, ...]
    expires_at: int
    id: str
    guest_name: str | None


class InviteKeys:
    """The keys of one environment by their id, and the id of the one that signs. A plain class: its repr hides them."""

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: Mapping[str, str], current: str) -> None:
        self._keys = {name: key.encode() for name, key in keys.items()}
        self._current = current

    @classmethod
    def parse(cls, secret: str) -> "InviteKeys":
        """Parse the text of the secret: `{"keys": {"a": KEY, ...}, "current": "a"}`.

        Raises:
            ValueError: It is invalid. The message never repeats the text.
        """
        document = strict_json.loads(secret)
        if not isinstance(document, dict) or document.keys() != {"keys", "current"}:
            raise ValueError("is not an object with keys and current")
        keys, current = document["keys"], document["current"]
        if not isinstance(keys, dict) or not isinstance(current, str) or current not in keys:
            raise ValueError("current does not name one of keys")
        if not all(
            _KEY_ID.fullmatch(name) and isinstance(key, str) and _KEY.fullmatch(key) for name, key in keys.items()
        ):
            raise ValueError("keys has a key or an id that roomkey secret put --generate does not make")
        return cls(keys, current)

    def sign(self, invite: Invite, environment: str) -> str:
        """Return the text of `invite`, signed with the current key."""
        content = {
            "platform": invite.platform,
            "room_id": invite.room_id,
            "role": invite.role,
            "services": invite.services,
            "exp": invite.expires_at,
            "id": invite.id,
            "kid": self._current,
            "name": invite.guest_name,
        }
        present = {name: value for name, value in content.items() if value not in (None, ())}
        payload = _base64url(strict_json.dumps(present).encode())
        return f"{PREFIX}.{payload}.{_signature(self._keys[self._current], environment, payload)}"

    def verify(self, unverified: "UnverifiedInvite", environment: str, now: float) -> Invite:
        """Return the invite if its signature is valid and it has not expired at `now` (Unix seconds).

        The work is the same for an unknown key, a wrong signature and an expired invite.

        Raises:
            InviteInvalid: It is forged or expired.
        """
        key = self._keys.get(unverified.key_id)
        expected = _signature(key or _NO_KEY, environment, unverified.payload)
        genuine = hmac.compare_digest(expected, unverified.signature)
        if not genuine or key is None or now >= unverified.invite.expires_at:
            raise InviteInvalid
        return unverified.invite


class UnverifiedInvite(NamedTuple):
    """A well-formed invite whose signature has not been verified."""

    invite: Invite
    key_id: str
    payload: str
    signature: str

    @classmethod
    def decode(cls, invite: str) -> "UnverifiedInvite":
        """Decode the text of an invite.

        Raises:
            InviteInvalid: It is malformed.
        """
        parts = _FORMAT.fullmatch(invite)
        try:
            if parts is None:
                raise ValueError("not an invite")
            payload, signature = parts.groups()
            content = strict_json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return cls(_invite(content), content["kid"], payload, signature)
        except (ValueError, KeyError):
            _signature(_NO_KEY, "", invite[:1000])  # As much work as for a well-formed invite.
            raise InviteInvalid from None


def _invite(content: Any) -> Invite:
    if not isinstance(content, dict):
        raise ValueError("not an object")
    room_id, role, name = content.get("room_id"), content.get("role"), content.get("name")
    services, expires_at = content.get("services", []), content["exp"]
    if not isinstance(services, list) or type(expires_at) is not int:
        raise ValueError("a member of another type")
    texts = [content["platform"], content["id"], content["kid"], *services]
    if not all(isinstance(value, str) for value in (*texts, *filter(None, (room_id, role, name)))):
        raise ValueError("a member of another type")
    return Invite(content["platform"], room_id, role, tuple(services), expires_at, content["id"], name)


class InviteRequest(NamedTuple):
    """The body of a request for an invite. `target` has the fields of the token that guests will get."""

    platform: object
    target: Mapping[str, object]
    expires_in: int | None
    guest_name: str | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "InviteRequest":
        """Check the fields of the invite itself. The platform checks those of `target`.

        Raises:
            InvalidRequest: With all invalid fields.
        """
        errors, own = [], {"platform", "room_id", "role", "services", "expires_in", "guest_name"}
        expires_in = body.get("expires_in")
        if "expires_in" in body and (
            type(expires_in) is not int or not MIN_INVITE_LIFETIME <= expires_in <= MAX_INVITE_LIFETIME
        ):
            errors.append(
                FieldError("expires_in", f"must be from {MIN_INVITE_LIFETIME} to {MAX_INVITE_LIFETIME} seconds")
            )
        errors += _text_errors(body, {"guest_name": check_guest_name})
        errors += map(unknown_field, sorted(body.keys() - own))
        if errors:
            raise InvalidRequest(*errors)
        target = {name: body[name] for name in ("room_id", "role", "services") if name in body}
        return cls(body.get("platform"), target, expires_in, body.get("guest_name"))

    def lifetime(self, allowed: int | None) -> int:
        """Return the invite's lifetime in seconds. `allowed` is the policy's limit.

        Raises `NotAllowed` if the policy grants less than the minimum.
        """
        if self.expires_in is not None:
            return self.expires_in
        if allowed is not None and allowed < MIN_INVITE_LIFETIME:
            raise NotAllowed
        return min(DEFAULT_INVITE_LIFETIME, DEFAULT_INVITE_LIFETIME if allowed is None else allowed)


class Redemption(NamedTuple):
    """The body with which a guest redeems an invite. `user_id` begins with `guest-`; None for a new guest."""

    invite: str
    user_id: str | None
    guest_name: str | None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, invite_field: str, ignore_unknown_fields: bool) -> "Redemption":
        """Check the fields of the body. The invite itself is in `invite_field`.

        Raises:
            InvalidRequest: With all invalid fields.
        """
        invite, user_id = body.get(invite_field), body.get("user_id")
        reason = "must be a string" if invite_field in body else "is missing"
        errors = [] if isinstance(invite, str) else [FieldError(invite_field, reason)]
        if ignore_unknown_fields and user_id in ("", None):
            body = {name: value for name, value in body.items() if name != "user_id"}
        errors += _text_errors(body, {"user_id": _guest_id, "guest_name": check_guest_name})
        if not ignore_unknown_fields:
            errors += map(unknown_field, sorted(body.keys() - {invite_field, "user_id", "guest_name"}))
        if errors or not isinstance(invite, str):
            raise InvalidRequest(*errors)
        return cls(invite, _guest_id(user_id) if user_id else None, body.get("guest_name"))


def _guest_id(value: object) -> str:
    """Return the user id of a guest. A browser that repeats its id stays the same guest. Raises `ValueError`."""
    return GUEST_PREFIX + check_id(check_id(value).removeprefix(GUEST_PREFIX))


def _text_errors(body: Mapping[str, Any], checks: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    for name, check in checks.items():
        if name in body:
            try:
                check(body[name])
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
    return errors


def _signature(key: bytes, environment: str, payload: str) -> str:
    message = f"{PREFIX}.{environment}.{payload}".encode("ascii", "replace")
    return _base64url(hmac.digest(key, message, hashlib.sha256))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
