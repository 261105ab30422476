"""Patterns for rooms, roles, users and principals.

`*` stands for any run of characters, `{sub}` and `{claim:name}` for a value of the caller. Nothing else is special.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from roomkey.identity import Caller

_PLACEHOLDER = re.compile(r"\{(sub|claim:[!-z|~]+)\}")
"""A claim's name is printable ASCII without braces, as in the stack's parameters."""


class Pattern(NamedTuple):
    """One pattern, split at its placeholders: `pieces` alternates between text and placeholder names."""

    text: str
    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, placeholders: bool) -> "Pattern":
        """Parse `text`. Placeholders are valid only if `placeholders` is true.

        Raises:
            ValueError: The text is empty, or a brace is not part of a placeholder.
        """
        pieces = tuple(_PLACEHOLDER.split(text)) if placeholders else (text,)
        if not text or any("{" in piece or "}" in piece for piece in pieces):
            raise ValueError(
                "must be text with * for anything" + (", {sub} or {claim:name}" if placeholders else " and no braces")
            )
        return cls(text, pieces)

    def matches(self, value: str, caller: Caller) -> bool:
        """Compare the whole of `value`, case-sensitively and without normalisation.

        A placeholder inserts plain text. A caller whose claim is missing, empty or contains `*` matches nothing.
        """
        pieces = list(self.pieces)
        for index in range(1, len(pieces), 2):
            pieces[index] = _resolve(pieces[index], caller)
            if not pieces[index]:
                return False
        return _glob_match("".join(pieces).split("*"), value)

    def unresolved(self, caller: Caller) -> list[str]:
        """List the placeholders (`sub`, `claim:x`) that have no usable value for `caller`."""
        return [name for name in self.pieces[1::2] if not _resolve(name, caller)]


NO_PATTERN = Pattern("", ())
"""Replaces a pattern that is absent or invalid."""


class PatternSet:
    """Several patterns: a value matches the set if it matches one of them.

    Patterns without placeholders are compiled once, since one rule can have hundreds of them.
    """

    __slots__ = ("_globs", "_patterns", "_templates", "_texts")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)
        self._templates = [pattern for pattern in self._patterns if len(pattern.pieces) > 1]
        constant = [pattern.text for pattern in self._patterns if len(pattern.pieces) == 1]
        self._texts = frozenset(text for text in constant if "*" not in text)
        globs = [text.split("*") for text in constant if "*" in text]
        self._globs = [(max(parts, key=len), parts) for parts in globs]

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self._patterns)

    def __len__(self) -> int:
        return len(self._patterns)

    def match(self, value: str, caller: Caller) -> bool:
        """Return whether one of the patterns matches `value` for `caller`."""
        return (
            value in self._texts
            # The longest part is a quick test that most patterns of a long list fail.
            or any(_glob_match(parts, value) for longest, parts in self._globs if longest in value)
            or any(pattern.matches(value, caller) for pattern in self._templates)
        )


def _resolve(name: str, caller: Caller) -> str:
    """Return the placeholder's value, or "" if it is missing or contains `*` (it would act as a wildcard)."""
    text = caller.user_id or "" if name == "sub" else caller.claims.get(name.removeprefix("claim:"), "")
    return "" if "*" in text else text


def _glob_match(parts: Sequence[str], value: str) -> bool:
    """Match `value` against the parts between the `*` of a pattern, in linear time."""
    first, *middle = parts
    if not middle:
        return value == first
    *middle, last = middle
    if not (value.startswith(first) and value.endswith(last) and len(value) >= len(first) + len(last)):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:
        index = value.find(part, position, end)
        if index < 0:
            return False
        position = index + len(part)
    return True
