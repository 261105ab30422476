"""The contract that each platform implements.

A further vendor is one module with a subclass of `Platform`, and one line in `roomkey.platforms`.
"""

import secrets
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from roomkey.platforms.credential_checks import check_credentials, read_secret
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.platforms.fields import TokenSpec


class TokenKind(StrEnum):
    """An app token lets a person join a room; a management token lets a server call the vendor's API."""

    APP = "app"
    MANAGEMENT = "management"


class Agent(NamedTuple):
    """An agent that the vendor sends into the room, with text for it."""

    name: str
    metadata: str | None = None
    deployment: str | None = None


class Grant(NamedTuple):
    """The rights that a token grants. Fields that the kind or the platform does not have are None or empty.

    `expires_at` is in Unix seconds. A `room_id` of None on a platform with rooms grants every room.
    """

    kind: TokenKind
    expires_at: int
    room_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    services: tuple[str, ...] = ()
    display_name: str | None = None
    email: str | None = None
    avatar_url: str | None = None
    metadata: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    agent: Agent | None = None


class Randomness(NamedTuple):
    """The sources of random values, by default the operating system's. Tests pass their own.

    `uuid` gives a jti, a nonce or a user id, `room` a room that cannot be guessed, `salt` Agora's salt (1 to
    99 999 999), `invite_id` 72 bits as text, `guest` the rest of a guest's user id, short and in lower case so that
    every platform takes it as it is.
    """

    uuid: Callable[[], str] = lambda: str(uuid.uuid4())
    room: Callable[[], str] = lambda: f"rk-{secrets.token_urlsafe(16)}"
    salt: Callable[[], int] = lambda: 1 + secrets.randbelow(99_999_999)
    invite_id: Callable[[], str] = lambda: secrets.token_urlsafe(9)
    guest: Callable[[], str] = lambda: secrets.token_hex(14)


class MintContext(NamedTuple):
    """Time and randomness for one token. `minted_at` is in Unix seconds with a fraction."""

    minted_at: float
    randomness: Randomness


class AuthHeader(NamedTuple):
    """The header in which a server sends a management token to the vendor, and the text before the token in it."""

    header: str
    prefix: str


class Signature(StrEnum):
    """The result of checking a token's signature.

    INVALID is wrong for these credentials, IMPOSSIBLE is wrong for any, NOT_CHECKABLE covers values that are not in the
    token, and UNCHECKED had no credentials to check with.
    """

    VALID = "valid"
    INVALID = "invalid"
    IMPOSSIBLE = "impossible"
    NOT_CHECKABLE = "not-checkable"
    UNCHECKED = "unchecked"


class TokenContent(NamedTuple):
    """The readable part of a token's grant, valid or not. The fields are those of `Grant`, None if unreadable.

    An `expires_at` of None in a token without problems means that it never expires.
    """

    kind: TokenKind | None = None
    expires_at: float | None = None
    room_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    services: tuple[str, ...] = ()
    display_name: str | None = None
    email: str | None = None
    avatar_url: str | None = None
    metadata: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    agent: Agent | None = None


class TokenReport(NamedTuple):
    """A token decoded, verified and judged.

    `claims` is its content in the token's own words, `label` the vendor's name for it if `content.kind` has no name.
    The vendor refuses it for `problems`; `warnings` are other reasons not to hand it out, and a minted token has
    neither. `token_id` is its jti or nonce.
    """

    platform: str
    content: TokenContent
    signature: Signature
    claims: Mapping[str, object]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    issued_at: float | None = None
    token_id: str | None = None
    label: str = ""
    complete: bool = True
    """Whether `content` is all that the token grants."""


def expired(expires_at: float, guess: str | None = None) -> str:
    """Return the problem of a token that expired at this Unix time. `guess` is the likely mistake, if it is known."""
    if guess is None and 0 < expires_at < FIRST_TOKEN:
        guess = "a lifetime, not a Unix time?"
    try:
        return time.strftime("expired %Y-%m-%d", time.gmtime(expires_at)) + (f" ({guess})" if guess else "")
    except (OverflowError, ValueError, OSError):
        return "expired before the first year"


FIRST_TOKEN = 10**9
"""A Unix time of 2001: no token ended earlier."""
_UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def wrong_unit(time: float) -> str | None:
    """Return the unit in which `time` lies between 2001 and 2286, None if it can be in seconds."""
    return next((unit for unit, scale in _UNITS.items() if FIRST_TOKEN <= time / scale < 10 * FIRST_TOKEN), None)


JWT_SCHEMA: Mapping[str, object] = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$",
}
"""The JSON Schema of a JSON Web Token."""


class Endpoint(ABC):
    """A format of requests and responses that a vendor publishes for token endpoints, for app tokens."""

    spec: TokenSpec
    """All fields of a request, by the vendor's names."""
    status: int = 200
    """The status of a response with a token."""
    query_fields: tuple[str, ...] = ()
    """The fields of `spec` that are in the URL's query. The others are in the body."""
    response_schemas: Mapping[str, Mapping[str, object]]
    """The JSON Schemas of the members that `response_members` returns."""
    optional_members: tuple[str, ...] = ()
    """The members that can be absent from a response."""

    @abstractmethod
    def fields(self, body: Mapping[str, Any], query: Mapping[str, str], randomness: Randomness) -> Mapping[str, Any]:
        """Return the fields of a request by their names in `spec`. Unknown ones stay in, and are refused later."""

    @abstractmethod
    def response_members(self, token: str, grant: Grant, connect: Mapping[str, object]) -> Mapping[str, object]:
        """Return the members of the response, times excluded."""


class Platform(ABC):
    """A vendor whose tokens Roomkey mints."""

    name: str
    """The name in the path, the kill switch, the policy and the secret's name."""
    title: str
    """The vendor's name for people."""
    kinds: Mapping[TokenKind, TokenSpec]
    """The kinds of token. The route of a kind that is absent answers 404."""
    example: Mapping[str, str]
    """A request for an app token with the platform's least rights, for demonstrations and checks."""
    credential_fields: tuple[CredentialField, ...]
    public_fields: tuple[str, ...] = ()
    """Credential fields that clients need to connect: every response contains them in `connect`."""
    services: tuple[str, ...] = ()
    """The words that a request's `services` can name."""
    auth_header: AuthHeader | None = None
    """How a management token is sent. None for a platform without management tokens."""
    backdate_seconds: int = 0
    """How far back a token's start lies, for a vendor whose clock is behind and who allows no leeway."""
    renew_before: int | None = None
    """Seconds before expiry at which a client fetches the next token. None if a running session is never renewed."""
    endpoint: Endpoint | None = None
    """The vendor's own format for token endpoints, if it publishes one."""
    fold_room_case: bool = False
    """Whether the vendor compares rooms without case: room ids are lower-cased before the policy sees them."""
    generated_rooms: tuple[str, ...] = ()
    """Forms of room ids, if the vendor generates them: `x` is a hexadecimal digit, `a` a lower-case letter or digit."""
    recognizing_claims: tuple[frozenset[str], ...] = ()
    """Sets of at least two claims. A JSON Web Token with all claims of one set is this platform's."""

    response_schemas: Mapping[str, Mapping[str, object]] = {"token": JWT_SCHEMA}
    """The JSON Schemas of the members that `response_members` returns."""
    constraints: Mapping[TokenKind, Mapping[str, object]] = {}
    """The JSON Schema of what `conflicts` refuses, by kind."""

    def binds_user(self, kind: TokenKind) -> bool:
        """Return whether tokens of this kind name one user."""
        return self.kinds[kind].field("user_id") is not None

    def conflicts(self, values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
        """Return fields with reasons, for values that are valid one by one but not together."""
        del values
        return ()

    def opens_every_room(self, kind: TokenKind, values: Mapping[str, object]) -> bool:
        """Return whether a request with these values is for every room, since its room is left out."""
        return self.kinds[kind].field("room_id") is not None and values.get("room_id") is None

    def expressible(self, grant: Grant) -> Grant:
        """Return the part of `grant` that the token can express and `explain` reads back."""
        return grant

    def response_members(self, credentials: Credentials, grant: Grant, token: str) -> Mapping[str, object]:
        """Return the members of the response that contain the token."""
        del credentials, grant
        return {"token": token}

    def token_in(self, members: Mapping[str, object]) -> str | None:
        """Return the token that `response_members` put there, or None."""
        token = members.get("token")
        return token if isinstance(token, str) else None

    def renew_in(self, expires_in: int) -> int | None:
        """Return after how many seconds a client fetches the next token, at the earliest half of `expires_in`."""
        return None if self.renew_before is None else max(expires_in - self.renew_before, expires_in // 2)

    def recognizes(self, claims: Mapping[str, object]) -> bool:
        """Return whether a JSON Web Token with these claims is this platform's."""
        return any(names <= claims.keys() for names in self.recognizing_claims)

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        """Return `values` as credentials. Raises `InvalidCredentials` if tokens signed with them cannot work."""
        return check_credentials(self.credential_fields, values)

    def parse_secret(self, text: str) -> Credentials:
        """Return the credentials in a secret's text. Raises `InvalidCredentials`."""
        values = read_secret(text)
        if isinstance(values.get(self.name), dict):
            raise InvalidCredentials(f"all: contains an object for {self.name}: store that object alone")
        return self.check_credentials(values)

    @abstractmethod
    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        """Return a signed token for `grant`, whose kind is one of `kinds`."""

    @abstractmethod
    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        """Decode, verify and judge `token` at `at` (Unix seconds). Return None if it is not this platform's."""
