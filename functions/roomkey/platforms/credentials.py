"""A platform's credentials and the fields of its secret."""

import re
from collections.abc import Mapping
from typing import NamedTuple


class InvalidCredentials(ValueError):
    """The credentials cannot be used. `problems` contains field names and reasons, never values."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CredentialField(NamedTuple):
    """One value of a platform's secret.

    `signs` marks the signing key. `pattern` is the format in which the vendor issues the value. With `form`, which
    describes it after "must be", any other format is refused; otherwise it only detects two values in each other's
    place. `many` is a list of such values. `chosen` marks a password that the operator chooses, of any printable ASCII
    characters except spaces, `host` a host or a URL with one. `demo` is the local stack's value, with `{}` for hex
    digits; without it, hex digits alone have the format.
    """

    name: str
    signs: bool = False
    pattern: str = r"\S+"
    form: str = ""
    required: bool = True
    many: bool = False
    chosen: bool = False
    host: bool = False
    demo: str = ""

    def matches_format(self, value: str) -> bool:
        """Return whether `value` has the format that the vendor issues."""
        return re.fullmatch(self.pattern, value) is not None and (not self.host or _has_valid_host(value))


def _has_valid_host(value: str) -> bool:
    """Return whether the labels of the host in `value` are valid, and its port is from 1 to 65535."""
    parts = re.match(r"(?:wss?://|(?:stun|turn)s?:)?(?:\[.*\]|([^:/?]+))(?::([0-9]+))?", value)
    host, port = parts.groups() if parts else ("", None)
    labels = host.split(".") if host is not None else []
    valid = all(label and len(label) <= 63 and label == label.strip("-") for label in labels)
    return valid and (port is None or 1 <= int(port) <= 65535)


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
