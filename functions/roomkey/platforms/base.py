"""What a platform is to Roomkey: the words it uses, and four things it can do.

A further vendor is one file with a subclass of `Platform`, and one line in `roomkey.platforms`.
"""

import re
import secrets
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class TokenKind(StrEnum):
    """The two kinds of token: a person joins a room with one, a server calls the vendor's API with the other."""

    APP = "app"
    MANAGEMENT = "management"


# --- what a request may say ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a token request.

    `check` turns the value that was sent into the value that is meant, or raises `ValueError` with a reason that
    repeats nothing of it. `means` is the field of the `TokenRequest` that the value goes to, where the two differ.
    `default` is what is meant where the field is not sent, checked already; None where nothing is.
    """

    name: str
    check: Callable[[object], object]
    required: bool = False
    maps_to: str = ""
    default: object = None

    @property
    def maps_to_field(self) -> str:
        return self.maps_to or self.name


_FORBIDDEN_CATEGORIES = frozenset(("Cc", "Cs", "Cn", "Co", "Zl", "Zp"))
_BIDI_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def text(longest: int) -> Callable[[object], str]:
    """A check for names and ids: 1 to `longest` code points that can be shown, taken exactly as they are.

    No control character, surrogate, unassigned or private code point, line or paragraph separator or bidirectional
    control; not blank; no space at either end. Never normalised: two spellings are two ids.
    """

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        if not value:
            raise ValueError("must not be empty")
        if len(value) > longest:
            raise ValueError(f"must not be longer than {longest} characters")
        if value != value.strip():
            raise ValueError("must not begin or end with a space")
        if not (value.isascii() and value.isprintable()):
            categories = {unicodedata.category(character) for character in value}
            if categories & _FORBIDDEN_CATEGORIES or not _BIDI_CONTROLS.isdisjoint(value):
                raise ValueError("must not hold control, private or unassigned characters")
            if categories <= {"Cf", "Zs"}:
                raise ValueError("must not be blank")
        return value

    return check


check_id = text(256)
check_role = text(128)


def one_of(*words: str) -> Callable[[object], str]:
    """A check for a closed list of words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return value

    return check


# --- what a platform signs with ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One value of a platform's secret. `usual` is the shape that the vendor issues it in, where that is known.

    A signing key is checked for strength; of the others, `usual` tells when they stand in each other's place.
    """

    name: str
    signs: bool = False
    usual: str = r"\S+"
    strict: bool = False

    def matches_format(self, value: str) -> bool:
        """Whether `value` has the shape that the vendor issues."""
        return re.fullmatch(self.usual, value) is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A platform's credentials, checked, by the names that the vendor gives them. Never shown by `repr`."""

    values: Mapping[str, str] = field(repr=False)

    def __getitem__(self, name: str) -> str:
        return self.values[name]


MIN_KEY_BYTES = 32
"""RFC 7518 section 3.2: a key of HMAC-SHA256 must be at least as long as the hash."""

_PLACEHOLDER = re.compile(
    r"[<>{}]|change[-_]?me|replace[-_]?me|place[-_]?holder|your[-_]|x{8}|\*{3}|\.{3}", re.IGNORECASE
)


def check_credentials(fields: tuple[CredentialField, ...], values: Mapping[str, object]) -> Credentials:
    """`values` as credentials with exactly `fields`; what else is in there is ignored. Nothing is stripped or mended.

    Raises `CredentialProblems`.
    """
    problems = [f"{one.name}: {problem}" for one in fields for problem in _problems_of(one, values.get(one.name))]
    texts = {one.name: value for one in fields if isinstance(value := values.get(one.name), str)}
    if len(set(texts.values())) < len(texts):
        problems.append("all: two of the values are the same")
    elif not problems:
        problems += _swapped(fields, texts)
    if problems:
        raise InvalidCredentials(*problems)
    return Credentials(texts)


def _problems_of(one: CredentialField, value: object) -> list[str]:
    if value is None:
        return ["is missing"]
    if not isinstance(value, str) or not value:
        return ["must be a string with something in it"]
    if not (value.isascii() and value.isprintable()) or " " in value:
        return ["holds a space, a line break or a character outside ASCII"]
    if _PLACEHOLDER.search(value):
        return ["looks like a placeholder"]
    if one.strict:
        return [] if one.matches_format(value) else ["is not of the form that the vendor issues"]
    if one.signs and len(value) < MIN_KEY_BYTES:
        return [f"is shorter than {MIN_KEY_BYTES} bytes (another value in its place?)"]
    if one.signs and len(set(value)) == 1:
        return ["is one character repeated"]
    return []


def _swapped(fields: tuple[CredentialField, ...], texts: Mapping[str, str]) -> list[str]:
    key = next(one for one in fields if one.signs)
    ids = [one for one in fields if not one.signs]
    return [
        f"{key.name}: looks like {one.name}; are the two swapped?"
        for one in ids
        if one.matches_format(texts[key.name]) and not one.matches_format(texts[one.name])
    ]


class InvalidCredentials(ValueError):
    """What is wrong with a platform's credentials: field names and reasons, never values."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


# --- what is minted, and what a token says -------------------------------------------------------------------------


class Grant(NamedTuple):
    """What a token is to say. Fields that a kind or platform does not have are None or empty."""

    kind: TokenKind
    expires_at: int
    room_id: str | None = None
    role: str | None = None
    user_id: str | None = None
    services: tuple[str, ...] = ()


def random_uuid() -> str:
    """A random UUID as text (RFC 9562, 5.4): what `str(uuid.uuid4())` is, by way of an object that takes longer."""
    drawn = bytearray(secrets.token_bytes(16))
    drawn[6] = drawn[6] & 0x0F | 0x40  # Version 4.
    drawn[8] = drawn[8] & 0x3F | 0x80  # The RFC's variant.
    text = drawn.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Randomness:
    """Where chance comes from: the operating system, for each token anew, never a seed. Tests pass their own.

    `uuid` draws a jti, a nonce or a user's id, `salt` Agora's (1 to 99 999 999).
    """

    uuid: Callable[[], str] = random_uuid
    salt: Callable[[], int] = lambda: 1 + secrets.randbelow(99_999_999)


class MintContext(NamedTuple):
    """What makes one token differ from the next with the same grant: when it is minted, and chance to draw from.

    `minted_at` is in Unix seconds with a fraction.
    """

    minted_at: float
    randomness: Randomness


@dataclass(frozen=True, slots=True)
class Send:
    """How a management token goes to the vendor's API: the header, and what stands before the token in it."""

    header: str
    prefix: str


class TokenReport(NamedTuple):
    """What a token says and what its platform would make of it.

    `grant` is what it grants, as far as it can be read. `facts` are what it holds, in the token's own words.
    `problems` are what the vendor would refuse it for; `warnings` what a client may choke on. `signature` is None where
    there were no credentials to check it with. `token_id` is its jti or nonce, where it has one.
    """

    platform: str
    grant: Grant | None
    issued_at: float | None
    signature: bool | None
    claims: Mapping[str, object]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    token_id: str | None = None


class Platform(ABC):
    """A vendor whose tokens Roomkey mints."""

    name: str
    """As in the path, the disable flag, the policy and the secret's name."""
    title: str
    """As people call it."""
    max_lifetime: int | None
    """Seconds that the vendor lets a token live, None where it sets no bound."""
    send: Send
    request_fields: Mapping[TokenKind, tuple[RequestField, ...]]
    """The fields of a request beside `expires_in`. A kind without `user_id` among them binds nobody."""
    credential_fields: tuple[CredentialField, ...]
    services: tuple[str, ...] = ()
    """What a request's `services` may name, where the platform has that field."""

    def binds_user(self, kind: TokenKind) -> bool:
        """Whether tokens of this kind are for one user."""
        return any(field.name == "user_id" for field in self.request_fields[kind])

    def conflicts(self, values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
        """Fields, each with a reason, whose values are right one by one and wrong together."""
        del values
        return ()

    def expressible(self, grant: Grant) -> Grant:
        """What of `grant` its token says, and `explain` can read back: all of it, for most."""
        return grant

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        """`values`, if tokens signed with them can work. Raises `CredentialProblems`."""
        return check_credentials(self.credential_fields, values)

    @abstractmethod
    def app_token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        """The token with which the holder of `grant` joins a room."""

    @abstractmethod
    def management_token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        """The token with which a server calls the vendor's API."""

    @abstractmethod
    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        """What `token` is, seen at `at` (Unix seconds); None where it is none of this platform's."""
