"""The policy: who may have which token.

A JSON document in SSM, beside the disable flag (docs/policy.md, docs/policy.schema.json). Its rules only grant, and
what no rule grants is refused. A rule grants a request whose every part it names: who asks, the kind of token, the
platform, and, where the request has them, the role, the services and the room. Compiled once for each time it is
read, so that deciding takes microseconds.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from roomkey import strict_json
from roomkey.identity import Caller
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import MIN_LIFETIME
from roomkey.token_requests import TokenRequest

MAX_POLICY_BYTES = 8192
"""Bytes, minified: what SSM's advanced tier holds."""

MAX_ERRORS = 20
"""Eight KiB can hold thousands of mistakes, and all that are reported go into one line of the log."""

SERVICES = tuple(dict.fromkeys(service for platform in PLATFORMS.values() for service in platform.services))
"""What a rule's `services` may name."""


class Mode(StrEnum):
    """What a refusal by the rules means: in `audit` the token is minted all the same, and the refusal recorded."""

    ENFORCE = "enforce"
    AUDIT = "audit"


class InvalidPolicy(ValueError):
    """What is wrong with a policy: where (`rules[2].who[0]`), and why, in words that quote nothing."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{where}: {why}" for where, why in problems))
        self.problems = problems


# --- patterns --------------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"\{(sub|claim:[!-z|~]+)\}")
"""A claim's name is printable ASCII, as in the stack's parameters, but for the braces."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text in which `*` stands for any run of characters, `{sub}` and `{claim:x}` for what is known of the caller.

    Nothing else is special. What is inserted is text, never a pattern: a caller whose claim is missing, empty or
    holds a `*` matches nothing.
    """

    text: str
    pieces: tuple[str, ...] = field(repr=False)
    """The text and the names of placeholders in it, in turn, beginning and ending with text."""

    @classmethod
    def parse(cls, text: str, *, placeholders: bool) -> "Pattern":
        """Raises `ValueError` for a brace that is no placeholder, and for placeholders where there can be none."""
        pieces = tuple(_PLACEHOLDER.split(text)) if placeholders else (text,)
        if not text or any("{" in piece or "}" in piece for piece in pieces):
            raise ValueError(
                "must be text with * for anything" + (", {sub} or {claim:name}" if placeholders else " and no braces")
            )
        return cls(text, pieces)

    def matches(self, value: str, caller: Caller) -> bool:
        """Whether the whole of `value` fits, as it is: nothing is normalised, and upper case is not lower case."""
        pieces = list(self.pieces)
        for index in range(1, len(pieces), 2):
            pieces[index] = _resolve(pieces[index], caller)
            if not pieces[index]:
                return False
        return _glob_match("".join(pieces).split("*"), value)

    def unknown(self, caller: Caller) -> list[str]:
        """The placeholders (`sub`, `claim:x`) for which `caller` has nothing that could be inserted."""
        return [name for name in self.pieces[1::2] if not _resolve(name, caller)]


_NO_PATTERN = Pattern("", ())
"""In the place of a pattern where there is none."""


def _resolve(name: str, caller: Caller) -> str:
    """What a placeholder is to insert, empty if nothing can be: a `*` would count as one of the rule's own."""
    text = caller.user_id or "" if name == "sub" else caller.claims.get(name.removeprefix("claim:"), "")
    return "" if "*" in text else text


def _glob_match(parts: Sequence[str], value: str) -> bool:
    """Whether `value` is the parts in order with anything between them. Never looks at a character twice in vain."""
    first, *middle = parts
    if not middle:
        return value == first
    *middle, last = middle
    if not (value.startswith(first) and value.endswith(last) and len(value) >= len(first) + len(last)):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


# --- rules -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of caller that a rule is for: users and principals by a pattern, a group by its text to the letter."""

    kind: str
    pattern: Pattern

    def matches(self, caller: Caller) -> bool:
        match self.kind:
            case "anyone":
                return True
            case "signed-in":
                return caller.user_id is not None or caller.principal is not None
            case "group":
                return self.pattern.text in caller.groups
            case "user":
                return caller.user_id is not None and self.pattern.matches(caller.user_id, caller)
            case _:
                return caller.principal is not None and self.pattern.matches(caller.principal, caller)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is granted, to everyone that one of its subjects matches."""

    name: str
    who: tuple[Subject, ...]
    kinds: frozenset[TokenKind]
    platforms: frozenset[str]
    roles: tuple[Pattern, ...]
    services: frozenset[str]
    rooms: tuple[Pattern, ...]
    max_lifetime: int | None

    def grants(self, request: TokenRequest, caller: Caller) -> bool:
        """Whether every part of `request` but its life is named here."""
        return (
            request.kind in self.kinds
            and request.platform.name in self.platforms
            and self.services.issuperset(request.services)
            and self._is_for(caller)
            and _any_match(request.role, self.roles, caller)
            and _any_match(request.room_id, self.rooms, caller)
        )

    def checks(self, request: TokenRequest, caller: Caller) -> Mapping[str, bool]:
        """For each field of a rule, but the life: whether it names what `request` has there, if it has anything."""
        return {
            "kinds": request.kind in self.kinds,
            "platforms": request.platform.name in self.platforms,
            "services": self.services.issuperset(request.services),
            "who": self._is_for(caller),
            "roles": _any_match(request.role, self.roles, caller),
            "rooms": _any_match(request.room_id, self.rooms, caller),
        }

    def _is_for(self, caller: Caller) -> bool:
        for subject in self.who:
            if subject.matches(caller):
                return True
        return False


def _any_match(value: str | None, patterns: Iterable[Pattern], caller: Caller) -> bool:
    if value is None:
        return True
    for pattern in patterns:
        if pattern.matches(value, caller):
            return True
    return False


class Decision(NamedTuple):
    """What the rules say of a request: the rule that decided (None where there is none) and the longest life it grants.

    `allowed` is what the rules say. Whether the token is minted is the policy's mode's to say.
    """

    allowed: bool
    rule: str | None = None
    max_lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy."""

    mode: Mode
    rules: tuple[Rule, ...] = field(repr=False)
    _near: Mapping[tuple[TokenKind, str], Sequence[Rule]] = field(init=False, repr=False, compare=False)
    """The rules for each kind of token on each platform, those with the longest life first."""

    def __post_init__(self) -> None:
        rules = sorted(self.rules, key=lambda rule: -math.inf if rule.max_lifetime is None else -rule.max_lifetime)
        near = {
            (kind, platform): [rule for rule in rules if kind in rule.kinds and platform in rule.platforms]
            for kind in TokenKind
            for platform in PLATFORMS
        }
        object.__setattr__(self, "_near", near)

    def decide(self, request: TokenRequest, caller: Caller) -> Decision:
        """What the rules say of `request`: of those that grant it, the one with the longest life speaks."""
        for rule in self._near[request.kind, request.platform.name]:
            if rule.grants(request, caller):
                allowed = rule.max_lifetime is None or (request.expires_in or 0) <= rule.max_lifetime
                return Decision(allowed, rule.name, rule.max_lifetime)
        return Decision(allowed=False)

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """The policy that `text` is. Raises `PolicyProblems` with what is wrong with it, all at once."""
        try:
            document = strict_json.loads(text)
        except ValueError:
            raise InvalidPolicy(("policy", "is not a JSON document without duplicate keys")) from None
        reader = _Reader()
        policy = reader.policy(document)
        if reader.problems:
            raise InvalidPolicy(*reader.problems[:MAX_ERRORS])
        return policy


class _Reader:
    """Takes a document apart and collects what is wrong on the way: one look shows everything."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []

    def policy(self, document: Any) -> Policy:
        fields = self._object("policy", document, required=("version", "mode", "rules"), optional=("$schema",))
        version, mode = fields.get("version", 1), fields.get("mode", Mode.ENFORCE)
        if version != 1 or isinstance(version, bool):
            self._problem("version", "must be 1")
        if mode not in list(Mode):
            self._problem("mode", "must be enforce or audit")
            mode = Mode.ENFORCE
        if not isinstance(fields.get("$schema", ""), str):
            self._problem("$schema", "must be text")
        # A policy without rules is one that refuses everybody: that is how an environment is born.
        rules = [] if fields.get("rules") == [] else self._each("rules", fields.get("rules"), self._rule)
        names = [rule.name for rule in rules]
        for index, name in enumerate(names):
            if name in names[:index]:
                self._problem(f"rules[{index}].name", "is another rule's name too")
        return Policy(Mode(mode), tuple(rules))

    def _rule(self, where: str, rule: Any) -> Rule:
        optional = ("name", "roles", "services", "rooms", "max_lifetime")
        fields = self._object(where, rule, required=("who", "kinds", "platforms"), optional=optional)
        kinds = self._words(f"{where}.kinds", fields.get("kinds"), list(TokenKind))
        if "rooms" in fields and kinds == {TokenKind.MANAGEMENT}:
            self._problem(f"{where}.rooms", "is of no use: a management token has no room")
        max_lifetime = fields.get("max_lifetime")
        if max_lifetime is not None and (type(max_lifetime) is not int or max_lifetime < MIN_LIFETIME):
            self._problem(f"{where}.max_lifetime", f"must be a whole number of seconds, at least {MIN_LIFETIME}")
            max_lifetime = None
        name = fields.get("name", where)
        if not isinstance(name, str) or not re.fullmatch(r"[\x20-\x7e]{1,64}", name):
            self._problem(f"{where}.name", "must be 1 to 64 plain characters")
            name = where
        return Rule(
            name=name,
            who=tuple(self._each(f"{where}.who", fields.get("who"), self._subject)),
            kinds=frozenset(TokenKind(kind) for kind in kinds),
            platforms=self._words(f"{where}.platforms", fields.get("platforms"), list(PLATFORMS)),
            roles=tuple(self._each(f"{where}.roles", fields.get("roles"), self._pattern)),
            services=self._words(f"{where}.services", fields.get("services"), SERVICES),
            rooms=tuple(self._each(f"{where}.rooms", fields.get("rooms"), self._room_pattern)),
            max_lifetime=max_lifetime,
        )

    def _subject(self, where: str, subject: Any) -> Subject:
        if subject in ("anyone", "signed-in"):
            return Subject(subject, _NO_PATTERN)
        if not isinstance(subject, dict) or len(subject) != 1 or not subject.keys() <= {"user", "group", "principal"}:
            self._problem(where, 'must be "anyone", "signed-in", or one of {"user": …}, {"group": …}, {"principal": …}')
            return Subject("", _NO_PATTERN)
        [(kind, name)] = subject.items()
        if kind == "group" and (not isinstance(name, str) or not name or re.search(r"[\s\[\]*{}]", name)):
            self._problem(where, "must name one group, without spaces, brackets, braces or *")
            return Subject(kind, _NO_PATTERN)
        return Subject(kind, self._pattern(where, name))

    def _pattern(self, where: str, text: Any, *, placeholders: bool = False) -> Pattern:
        try:
            if not isinstance(text, str):
                raise ValueError("must be text")
            return Pattern.parse(text, placeholders=placeholders)
        except ValueError as error:
            self._problem(where, str(error))
            return _NO_PATTERN

    def _room_pattern(self, where: str, text: Any) -> Pattern:
        return self._pattern(where, text, placeholders=True)

    def _words(self, where: str, words: Any, known: Sequence[str]) -> frozenset[str]:
        found = self._list(where, words)
        if found == ["*"]:
            return frozenset(known)
        for index, word in enumerate(found):
            if word not in known:
                self._problem(f"{where}[{index}]", f"must be one of {', '.join(known)}, or * alone for all of them")
        return frozenset(word for word in known if word in found)

    def _each[T](self, where: str, items: Any, read: Callable[[str, Any], T]) -> list[T]:
        return [read(f"{where}[{index}]", item) for index, item in enumerate(self._list(where, items))]

    def _list(self, where: str, items: Any) -> list[Any]:
        if items is None:  # That it is missing, or null, has been said where that is wrong.
            return []
        if not isinstance(items, list) or not items:
            self._problem(where, "must be a list with something in it")
            return []
        return items

    def _object(
        self, where: str, document: Any, *, required: Sequence[str], optional: Sequence[str]
    ) -> Mapping[str, Any]:
        if not isinstance(document, dict):
            self._problem(where, "must be an object")
            return {}
        prefix = "" if where == "policy" else f"{where}."
        for name in (*required, *optional):
            if name in required and name not in document:
                self._problem(f"{prefix}{name}", "is missing")
            if document.get(name, "") is None:
                self._problem(f"{prefix}{name}", "must not be null")
        if document.keys() - {*required, *optional}:
            self._problem(where, f"may hold {', '.join([*required, *optional])} and nothing else")
        return {name: value for name, value in document.items() if value is not None}

    def _problem(self, where: str, why: str) -> None:
        self.problems.append((where, why))
