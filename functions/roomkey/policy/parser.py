"""The policy document (docs/policy.md, cli/roomkey_cli/data/policy.schema.json) and its compilation."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from roomkey import strict_json
from roomkey.limits import MAX_ERRORS, MIN_LIFETIME
from roomkey.platforms import PLATFORM_NAMES, SERVICES
from roomkey.policy.pattern import NO_PATTERN, Pattern, PatternSet
from roomkey.policy.rules import Mode, Policy, Rule, Subject
from roomkey.token_requests import KINDS, RESTRICTED_VALUES

_GROUP = re.compile(r"[^\s\[\]*{}]+( [^\s\[\]*{}]+)*")


class InvalidPolicy(ValueError):
    """The policy is invalid. `problems` are (path, message) pairs; messages never quote the document."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{where}: {why}" for where, why in problems))
        self.problems = problems


def parse_policy(text: str) -> Policy:
    """Compile the policy in `text`.

    Raises:
        InvalidPolicy: With all problems, up to `MAX_ERRORS`.
    """
    try:
        document = strict_json.loads(text)
    except ValueError:
        raise InvalidPolicy(("policy", "is not a JSON document without duplicate keys")) from None
    parser = _Parser()
    policy = parser.policy(document)
    if parser.problems:
        raise InvalidPolicy(*parser.problems[:MAX_ERRORS])
    return policy


class _Parser:
    """Compiles a document and collects all problems."""

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
        # An empty rule list is valid and denies everything; `env init` creates it.
        rules = [] if fields.get("rules") == [] else self._each("rules", fields.get("rules"), self._rule)
        names = [rule.name for rule in rules]
        for index, name in enumerate(names):
            if name in names[:index]:
                self._problem(f"rules[{index}].name", "is the name of another rule")
        return Policy(Mode(mode), tuple(rules))

    def _rule(self, where: str, rule: Any) -> Rule:
        optional = ("name", "roles", "services", "rooms", "max_lifetime", "may_set", "agents")
        fields = self._object(where, rule, required=("who", "kinds", "platforms"), optional=optional)
        kinds = self._words(f"{where}.kinds", fields.get("kinds"), KINDS)
        return Rule(
            name=self._name(where, fields),
            who=tuple(self._each(f"{where}.who", fields.get("who"), self._subject)),
            kinds=kinds,
            platforms=self._words(f"{where}.platforms", fields.get("platforms"), PLATFORM_NAMES),
            roles=PatternSet(self._each(f"{where}.roles", fields.get("roles"), self._pattern)),
            services=self._words(f"{where}.services", fields.get("services"), SERVICES),
            rooms=PatternSet(self._each(f"{where}.rooms", fields.get("rooms"), self._room_pattern)),
            max_lifetime=self._max_lifetime(where, fields),
            may_set=self._words(f"{where}.may_set", fields.get("may_set"), RESTRICTED_VALUES, wildcard=False),
            agents=PatternSet(self._each(f"{where}.agents", fields.get("agents"), self._pattern)),
        )

    def _name(self, where: str, fields: Mapping[str, Any]) -> str:
        name = fields.get("name", where)
        if isinstance(name, str) and re.fullmatch(r"[\x20-\x7e]{1,64}", name):
            return name
        self._problem(f"{where}.name", "must be 1 to 64 plain characters")
        return where

    def _max_lifetime(self, where: str, fields: Mapping[str, Any]) -> int | None:
        seconds = fields.get("max_lifetime")
        if seconds is None or (type(seconds) is int and seconds >= MIN_LIFETIME):
            return seconds
        self._problem(f"{where}.max_lifetime", f"must be a whole number of seconds, at least {MIN_LIFETIME}")
        return None

    def _subject(self, where: str, subject: Any) -> Subject:
        if subject in ("anyone", "signed-in", "invite"):
            return Subject(subject, NO_PATTERN)
        if not isinstance(subject, dict) or len(subject) != 1 or not subject.keys() <= {"user", "group", "principal"}:
            self._problem(
                where, 'must be "anyone", "signed-in", "invite", or one of {"user": …}, {"group": …}, {"principal": …}'
            )
            return Subject("", NO_PATTERN)
        [(kind, name)] = subject.items()
        if kind == "group" and not (isinstance(name, str) and _GROUP.fullmatch(name)):
            self._problem(where, "must name one group, without brackets, braces, * or outer spaces")
            return Subject(kind, NO_PATTERN)
        return Subject(kind, self._pattern(where, name))

    def _pattern(self, where: str, text: Any, *, placeholders: bool = False) -> Pattern:
        try:
            if not isinstance(text, str):
                raise ValueError("must be text")
            return Pattern.parse(text, placeholders=placeholders)
        except ValueError as error:
            self._problem(where, str(error))
            return NO_PATTERN

    def _room_pattern(self, where: str, text: Any) -> Pattern:
        return self._pattern(where, text, placeholders=True)

    def _words(self, where: str, words: Any, allowed: Sequence[str], *, wildcard: bool = True) -> frozenset[str]:
        chosen = self._list(where, words)
        if wildcard and chosen == ["*"]:
            return frozenset(allowed)
        everything = ", or * alone for all of them" if wildcard else ""
        for index, word in enumerate(chosen):
            if word not in allowed:
                self._problem(f"{where}[{index}]", f"must be one of {', '.join(allowed)}{everything}")
        return frozenset(word for word in allowed if word in chosen)

    def _each[T](self, where: str, items: Any, read: Callable[[str, Any], T]) -> list[T]:
        return [read(f"{where}[{index}]", item) for index, item in enumerate(self._list(where, items))]

    def _list(self, where: str, items: Any) -> list[Any]:
        if items is None:  # `_object` has already reported missing or null fields.
            return []
        if not isinstance(items, list) or not items:
            self._problem(where, "must be a list" + ("" if where == "rules" else " with at least one entry"))
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
            self._problem(where, f"must have only the fields {', '.join([*required, *optional])}")
        return {name: value for name, value in document.items() if value is not None}

    def _problem(self, where: str, why: str) -> None:
        self.problems.append((where, why))
