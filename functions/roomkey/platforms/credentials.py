"""A platform's credentials: the fields of its secret, and checks that reject values that cannot sign working tokens."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from roomkey import strict_json

MIN_KEY_BYTES = 32
"""RFC 7518, section 3.2: a key for HMAC-SHA256 must be at least as long as the hash."""


class InvalidCredentials(ValueError):
    """The credentials cannot be used. `problems` holds field names and reasons, never values."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CredentialField(NamedTuple):
    """One value of a platform's secret.

    `signs` marks the signing key. `pattern` is the format in which the vendor issues the value: with `strict` any other
    format is refused, otherwise it only detects two values in each other's place. `many` is a list of such values.
    `demo` is the local stack's value, with `{}` for hex digits; without it, hex digits alone have the format.
    """

    name: str
    signs: bool = False
    pattern: str = r"\S+"
    strict: bool = False
    required: bool = True
    many: bool = False
    demo: str = ""

    def matches_format(self, value: str) -> bool:
        """Return whether `value` has the format that the vendor issues."""
        return re.fullmatch(self.pattern, value) is not None


class Credentials:
    """Checked credentials, by the vendor's names for them. `repr` hides the values."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, str | tuple[str, ...]]) -> None:
        self.values = values

    def __getitem__(self, name: str) -> str:
        """Return a value that is one text. Raises `KeyError` if it is missing."""
        value = self.values[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def get(self, name: str) -> str | None:
        """Return an optional value, or None."""
        return self[name] if name in self.values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return a value that is a list. Empty if it is missing."""
        value = self.values.get(name, ())
        return (value,) if isinstance(value, str) else value

    def public(self, names: tuple[str, ...]) -> dict[str, object]:
        """Return those of `names` that are present, in JSON's types."""
        found = ((name, self.values[name]) for name in names if name in self.values)
        return {name: value if isinstance(value, str) else list(value) for name, value in found}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self.values == other.values

    def __hash__(self) -> int:
        return hash(tuple(self.values.items()))


def read_secret(text: str) -> dict[str, object]:
    """Return the JSON object in a secret's text. Raises `InvalidCredentials`, which does not repeat the text."""
    if text.startswith("\ufeff"):
        raise InvalidCredentials("all: begins with a byte order mark")
    try:
        values = strict_json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise InvalidCredentials("all: is not a JSON object without duplicate keys")
    return values


def check_credentials(fields: tuple[CredentialField, ...], values: Mapping[str, object]) -> Credentials:
    """Return `values` as credentials with exactly `fields`; unknown fields are ignored and nothing is corrected.

    Raises `InvalidCredentials`.
    """
    problems = [f"{field.name}: {why}" for field in fields for why in _field_problems(field, values.get(field.name))]
    present = {field.name: value for field in fields if (value := values.get(field.name)) is not None}
    texts = {name: value for name, value in present.items() if isinstance(value, str)}
    if len(set(texts.values())) < len(texts):
        problems.append("all: two of the values are the same")
    elif not problems:
        problems += _swapped(fields, texts)
    if problems:
        raise InvalidCredentials(*problems)
    lists = {name: tuple(value) for name, value in present.items() if isinstance(value, list)}
    return Credentials({**texts, **lists})


def _field_problems(field: CredentialField, value: object) -> Iterator[str]:
    if value is None:
        if field.required:
            yield "is missing"
    elif not field.many:
        yield from _text_problems(field, value)
    elif not isinstance(value, list) or not value:
        yield "must be a list with at least one value"
    else:
        yield from dict.fromkeys(why for item in value for why in _text_problems(field, item))


_REFUSED = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"[\u2022\u25cf\u2219\u00b7]|[*]{3}|\.{3}|\u2026|x{8}", "is masked or shortened, as a dashboard shows it"),
        (r"""^["'`\u2018-\u201f\u00ab\u00bb]|["'`\u2018-\u201f\u00ab\u00bb]$""", "is wrapped in quotes"),
        (r"[<>{}]", "looks like a placeholder"),
        (r"^[(\[]|[)\]]$", "is wrapped in brackets"),
        (r"^(authorization\s*[:=]\s*)?bearer\b", "begins with Bearer, which belongs to a header"),
        (r"^ey[\w-]{8,}\.", "is a token (JWT), not a value that the vendor issues for signing"),
        (r"^(007eJ|006[0-9a-f]{32}|NETLESS(ROOM|SDK|TASK)_|T1==)", "is a token, not a value for signing"),
        (r"^(-----BEGIN|LS0tLS1CRUdJTi|ssh-)", "is a key of another algorithm"),
        (r"^(export\s+)?[a-z_][\w.-]*\s*=(?!=*$)", "is an assignment: only what follows the = belongs here"),
        (
            r"^\w*(secret|key|id|certificate|token)\w*\s*:",
            "begins with a name: only the value belongs here",
        ),
        (r"""["`\\]""", "holds a quote or a backslash"),
        (r"%[0-9a-f]{2}", "is URL-encoded"),
        (r"&(quot|apos|amp|lt|gt|#[0-9x]+);", "is HTML-encoded"),
        (r"^[,;:=]|[,;:.]$", "begins or ends with punctuation of the text around it"),
        (
            r"change[-_]?me|replace[-_]?me|place[-_]?holder|your[-_]|insert[-_]|paste[-_]|[-_]here$|undefined|redacted"
            r"|process\.env|os\.environ|^\$|^(null|none|nan|nil|true|false)$|^arn:aws|^(op|ssm|vault|env|file)://",
            "looks like a placeholder",
        ),
        (r"(?-i:(.)\1{7})", "repeats one character"),
    )
)
"""Text that no vendor issues: what pasting adds, tokens in place of keys, and placeholders."""


def _text_problems(field: CredentialField, value: object) -> list[str]:
    if not isinstance(value, str) or not value:
        return ["must be a string with something in it"]
    if reason := next((reason for pattern, reason in _REFUSED if pattern.search(value)), None):
        return [reason]
    if not (value.isascii() and value.isprintable()) or " " in value:
        return ["holds a space, a line break or a character outside ASCII"]
    if field.strict:
        return [] if field.matches_format(value) else ["is not of the form that the vendor issues"]
    if field.signs and len(value) < MIN_KEY_BYTES:
        return [f"is shorter than {MIN_KEY_BYTES} bytes (another value in its place?)"]
    if field.signs and _is_der(value):
        return ["is a key of another algorithm"]
    return []


def _is_der(key: str) -> bool:
    """Return whether `key` is base64 of one ASN.1 sequence, the form of RSA and EC keys (X.690, section 8.1.3)."""
    try:
        content = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    if len(content) < 2 or content[0] != 0x30:
        return False
    size = content[1] & 0x7F if content[1] & 0x80 else 0
    length = int.from_bytes(content[2 : 2 + size]) if size else content[1]
    return 2 + size + length == len(content)


def _swapped(fields: tuple[CredentialField, ...], texts: Mapping[str, str]) -> list[str]:
    return [
        f"{key.name}: looks like {other.name}; are the two swapped?"
        for key in fields
        if key.signs
        for other in fields
        if not other.signs and other.name in texts
        if other.matches_format(texts[key.name]) and not other.matches_format(texts[other.name])
    ]
