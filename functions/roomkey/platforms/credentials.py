"""A platform's credentials: the fields of its secret, and checks that reject values that cannot sign working tokens."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from roomkey import strict_json

MIN_KEY_BYTES = 32
"""RFC 7518, section 3.2: a key for HMAC-SHA256 must be at least as long as the hash."""


class InvalidCredentials(ValueError):
    """The credentials cannot be used. `problems` contains field names and reasons, never values."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CredentialField(NamedTuple):
    """One value of a platform's secret.

    `signs` marks the signing key. `pattern` is the format in which the vendor issues the value. With `form`, which
    describes it after "must be", any other format is refused; otherwise it only detects two values in each other's
    place. `many` is a list of such values. `demo` is the local stack's value, with `{}` for hex digits; without it, hex
    digits alone have the format.
    """

    name: str
    signs: bool = False
    pattern: str = r"\S+"
    form: str = ""
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
    problems = [f"{field.name}: {why}" for field in fields for why in field_problems(field, values)]
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


def field_problems(field: CredentialField, values: Mapping[str, object]) -> Iterator[str]:
    """Yield why the field's value in `values` cannot be used. No reason repeats it."""
    value = values.get(field.name)
    if value is None:
        if field.required:
            variable = _variable(field.name, values)
            yield f"is missing; rename {variable} to {field.name}" if variable else "is missing"
    elif not field.many:
        yield from _text_problems(field, value)
    elif not isinstance(value, list) or not value:
        yield "must be a list with at least one value"
    else:
        yield from dict.fromkeys(why for item in value for why in _text_problems(field, item))


_VARIABLE = re.compile(r"[A-Z][A-Z_]{0,40}")


def _variable(name: str, values: Mapping[str, object]) -> str | None:
    """Return the vendor's name of an environment variable in `values` for the field `name`, such as LIVEKIT_URL."""
    _, _, word = name.rpartition("_")
    similar = [other for other in values if _VARIABLE.fullmatch(other) and other.endswith(f"_{word.upper()}")]
    return max(similar, key=lambda other: other.endswith(name.upper()), default=None)


_REFUSED = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"[\u2022\u25cf\u2219\u00b7]|[*]{3}|\.{3}|\u2026|x{8}", "is masked or shortened, as a dashboard shows it"),
        (r"""^["'`\u2018-\u201f\u00ab\u00bb]|["'`\u2018-\u201f\u00ab\u00bb]$""", "is wrapped in quotes"),
        (r"[<>{}]", "looks like a placeholder"),
        (r"^[(\[]|[)\]]$", "is wrapped in brackets"),
        (r"^(authorization\s*[:=]\s*)?bearer\b", "begins with Bearer, which belongs to a header"),
        (r"^ey[\w-]{8,}\.", "is a token (JWT), not a value that the vendor issues for signing"),
        (
            r"^(007eJ|006[0-9a-f]{32}(?-i:IA)|NETLESS(ROOM|SDK|TASK)_|T1==|rki1\.)",
            "is a token, not a value for signing",
        ),
        (r"^(-----BEGIN|LS0tLS1CRUdJTi|ssh-)", "is a key of another algorithm"),
        (r"^(export\s+)?[a-z_][\w.-]*\s*=(?!=*$)", "is an assignment: only what follows the = belongs here"),
        (
            r"^\w*(secret|key|id|certificate|token)\w*\s*:",
            "begins with a name: only the value belongs here",
        ),
        (r"""["`\\]""", "contains a quote or a backslash"),
        (r"%[0-9a-f]{2}", "is URL-encoded"),
        (r"&(quot|apos|amp|lt|gt|#[0-9x]+);", "is HTML-encoded"),
        (r"^[,;:=]|[,;:.]$", "begins or ends with punctuation of the text around it"),
        (
            r"change[-_]?(me|it)|replace[-_]?me|place[-_]?holder|(?<![a-z0-9])your[-_]|insert[-_]|paste[-_]|[-_]here$|undefined"
            r"|redacted|process\.env|os\.environ|^\$|^(null|none|nan|nil|true|false)$",
            "looks like a placeholder",
        ),
        (r"(?-i:(.)\1{7})", "repeats one character"),
    )
)
"""Text that no vendor issues: what pasting adds, tokens in place of keys, and placeholders."""

_ELSEWHERE = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"^arn:|^[a-z][a-z0-9+.-]*:[/@]|^!\w|^(projects|gopass)/", "is a reference to a secret, or a URL"),
        (r"^(www\.|[a-z0-9-]+(\.[a-z0-9-]+)+/)", "is a URL"),
        (r"^[a-z][\w.+/@-]*:", "begins with a name: only the value belongs here"),
        (r"(?-i:^A(KI|SI|RO|ID)A[A-Z0-9]{16})", "is a key or token of another service"),
    )
)
"""Text that a field without a fixed format never contains: references and URLs."""

_PREFIXES = (
    "ghp_ gho_ ghr_ ghs_ ghu_ github_pat_ glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glsa_ "
    "xoxa- xoxb- xoxc- xoxd- xoxe- xoxp- xoxr- xoxs- xapp- IQoJb3JpZ2lu FwoGZXIvYXdz AQICAH "
    "AIza ya29. 1//0 GOCSPX- pk_live_ pk_test_ rk_live_ rk_test_ sk_live_ sk_test_ whsec_ sk-proj- sk-ant- sk-or- "
    "sk-admin- sk-svcacct- SG. sl. npm_ pypi-A doo_v1_ dop_v1_ dor_v1_ shpat_ shpca_ shppa_ shpss_ hvb. hvr. hvs. "
    "dckr_pat_ sntrys_ sntryu_ figd_ lin_api_ ntn_ phc_ PMAK- NRAK- ATATT3 sq0atp- sq0csp- sq0idp- AGE-SECRET-KEY- "
    "PuTTY- ops_ey sha256~ v2.local. v2.public. v4.local. v4.public."
)
"""How keys and tokens of other services begin. None is likely at the start of a random key."""
_OTHER_SERVICES = tuple(_PREFIXES.split())

_WEAK = re.compile(
    r"^%\w+%$|^@+\w+@+$|^__\w+__$|^(secrets?|env|vars?|config|import|settings)\.[a-z]"
    r"|(?-i:^[A-Z]{2,}[A-Z0-9]*(_[A-Z0-9]+){2,}$)"  # The name of an environment variable.
    r"|(^|[-_.])(todo|fixme|tbd|dummy|fake|sample|test|none|unset|hidden|fill)[-_.]"
    r"|example|password|passw0rd|loremipsum|0123456789|1234567890|abcdefghij|qwertyuiop"
    r"|(api|app|auth|client|my|shared|static|super|your)[-_]?secret|secret[-_]?key",
    re.IGNORECASE,
)
"""Placeholders for signing keys. No random key of a vendor contains such a word."""
_MIN_DISTINCT = 7
"""A random key of 32 hexadecimal digits has fewer different characters once in a billion."""


def _text_problems(field: CredentialField, value: object) -> list[str]:
    if not isinstance(value, str) or not value:
        return ["must be a string with something in it"]
    if reason := _first(_REFUSED, value):
        return [reason]
    if field.form and field.matches_format(value):
        return _key_problems(value) if field.signs else []
    if not field.form:
        if value.startswith(_OTHER_SERVICES):
            return ["is a key or token of another service"]
        if reason := _first(_ELSEWHERE, value):
            return [reason]
    if not (value.isascii() and value.isprintable()) or " " in value:
        return ["contains a space, a line break or a character outside ASCII"]
    if field.form:
        return [f"must be {field.form}"]
    return _key_problems(value) if field.signs else []


def _first(patterns: tuple[tuple[re.Pattern[str], str], ...], value: str) -> str | None:
    return next((reason for pattern, reason in patterns if pattern.search(value)), None)


def _key_problems(key: str) -> list[str]:
    """Return why `key` is not a random key."""
    if len(key) < MIN_KEY_BYTES:
        return [f"is shorter than {MIN_KEY_BYTES} bytes (another value in its place?)"]
    if _WEAK.search(key):
        return ["looks like a placeholder"]
    if len(set(key)) < _MIN_DISTINCT:
        return ["repeats few characters"]
    return [problem] if (problem := _encoded_problem(key)) else []


def _encoded_problem(key: str) -> str | None:
    """Return what `key` is if it is base64 of something else than random bytes."""
    text = key.rstrip("=").translate(_STANDARD_ALPHABET)
    text = text[: len(text) - (len(text) % 4 == 1)]  # One that is cut short.
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).lstrip()
    except ValueError:
        return None
    if content.startswith((b"-----BEGIN", *_SSH_BLOBS)) or _is_der(content):
        return "is a key of another algorithm"
    if re.match(rb'\{\s*"\w+"\s*:', content):
        return "is JSON in base64"
    return "is a token (JWT) in base64" if content.startswith(b"eyJ") else None


_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_SSH_BLOBS = (b"\0\0\0\7ssh-", b"\0\0\0\x0bssh-", b"\0\0\0\x13ecdsa-", b"openssh-key")


def _is_der(content: bytes) -> bool:
    """Return whether `content` is an ASN.1 sequence, the form of RSA and EC keys, or begins as one that is cut short.

    Sources: X.690 section 8.1.3, RFC 5915, RFC 5958.
    """
    if len(content) < 8 or content[0] != 0x30:
        return False
    size = content[1] & 0x7F if content[1] & 0x80 else 0
    length = int.from_bytes(content[2 : 2 + size]) if size else content[1]
    whole = 2 + size + length == len(content) or content[1] == 0x82  # A long one can be cut short.
    version = content[2 + size : 5 + size] in (b"\2\1\0", b"\2\1\1")
    return version or _OID in content[:40] or (whole and content[2 + size : 3 + size] in (b"\x02", b"\x30"))


_OID = b"\x2a\x86\x48"
"""How the identifiers of RSA and EC keys begin: 1.2.840."""


def _swapped(fields: tuple[CredentialField, ...], texts: Mapping[str, str]) -> list[str]:
    return [
        f"{key.name}: looks like {other.name}; are the two swapped?"
        for key in fields
        if key.signs
        for other in fields
        if not other.signs and other.name in texts
        if other.matches_format(texts[key.name]) and not other.matches_format(texts[other.name])
    ]
