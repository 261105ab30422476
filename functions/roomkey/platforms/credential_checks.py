"""Read a platform's secret and reject values that cannot sign working tokens."""

import re
from collections.abc import Iterator, Mapping

from roomkey import strict_json
from roomkey.platforms.credential_values import value_problems
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials


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
        problems += _joined(fields, texts) or _swapped(fields, texts)
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
        yield from value_problems(field, value)
    elif not isinstance(value, list) or not value:
        yield "must be a list with at least one value"
    else:
        yield from dict.fromkeys(why for item in value for why in value_problems(field, item))
        if any(value.count(item) > 1 for item in value):
            yield "must not repeat a value"


_VARIABLE = re.compile(r"[A-Z][A-Z_]{0,40}")


def _variable(name: str, values: Mapping[str, object]) -> str | None:
    """Return the vendor's name of an environment variable in `values` for the field `name`, such as LIVEKIT_URL."""
    _, _, word = name.rpartition("_")
    similar = [other for other in values if _VARIABLE.fullmatch(other) and other.endswith(f"_{word.upper()}")]
    return max(similar, key=lambda other: other.endswith(name.upper()), default=None)


def _joined(fields: tuple[CredentialField, ...], texts: Mapping[str, str]) -> list[str]:
    """Return values that contain another one, as in KEY:SECRET. Tokens would publish a secret in an id."""
    keys = [field.name for field in fields if field.signs]
    return [
        f"{outer}: contains {inner}"
        for outer in texts
        for inner in texts
        if outer != inner and (inner in keys or (outer in keys and len(texts[inner]) >= _MIN_JOINED))
        if texts[inner] in texts[outer]
    ]


_MIN_JOINED = 8
"""A shorter id can occur in a random key."""


def _swapped(fields: tuple[CredentialField, ...], texts: Mapping[str, str]) -> list[str]:
    return [
        f"{key.name}: looks like {other.name}; are the two swapped?"
        for key in fields
        if key.signs
        for other in fields
        if not other.signs and other.name in texts
        if other.matches_format(texts[key.name]) and not other.matches_format(texts[other.name])
    ]
