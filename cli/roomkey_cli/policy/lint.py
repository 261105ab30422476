"""A policy as a file: what is wrong with it and on which line, how large it is, and what its rules cannot mean."""

import json
import math
import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from roomkey.limits import MAX_POLICY_BYTES
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.platforms.fields import RequestField
from roomkey.policy import InvalidPolicy, Mode, Pattern, PatternSet, Policy, Rule, parse_policy
from roomkey.settings import DEFAULT_LIFETIMES

LARGEST_STANDARD = 4096
"""Bytes: what SSM's standard tier holds, which costs nothing. Above it the parameter is an advanced one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a policy: where in the document (`rules[2].who[0]`), on which line of the file, and what."""

    line: int
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where} {self.why}"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy's file. `policy` is None where there are problems; where there is a policy, there may be warnings.

    `minified` is the document without the space between its parts, None where it is no JSON document.
    """

    policy: Policy | None = None
    minified: str | None = None
    problems: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes, minified."""
        return None if self.minified is None else len(self.minified.encode())

    @property
    def tier(self) -> str | None:
        """SSM's tier that holds it, None where none does."""
        if self.size is None or self.size > MAX_POLICY_BYTES:
            return None
        return "standard" if self.size <= LARGEST_STANDARD else "advanced"


def read(path: Path) -> PolicyFile:
    """The policy in the file at `path`. Raises `OSError` where there is no file to read."""
    return parse(path.read_bytes())


def parse(content: bytes) -> PolicyFile:
    """The policy that `content` is, as a file would hold it."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return PolicyFile(problems=(Finding(content.count(b"\n", 0, error.start) + 1, "policy", "is not UTF-8"),))
    try:
        json.loads(text)
        source = _Source(text)
    except json.JSONDecodeError as error:
        return PolicyFile(problems=(Finding(error.lineno, "policy", f"is not JSON: {error.msg.strip(' :')}"),))
    except (ValueError, RecursionError):
        why = "is not JSON that can be read: a number is too long, or it is nested too deep"
        return PolicyFile(problems=(Finding(1, "policy", why),))
    if source.flaws:
        return PolicyFile(problems=tuple(source.flaws))
    try:
        policy = parse_policy(text)
    except InvalidPolicy as error:
        return PolicyFile(minified=source.minified, problems=_in_order(source.finding(*one) for one in error.problems))
    size = len(source.minified.encode())
    if size > MAX_POLICY_BYTES:
        why = f"has {size} bytes minified, and SSM holds {MAX_POLICY_BYTES}"
        return PolicyFile(minified=source.minified, problems=(Finding(1, "policy", why),))
    warnings = _in_order(source.finding(*one) for one in _doubts(policy))
    return PolicyFile(policy, source.minified, warnings=warnings)


def in_short(policy: Policy) -> str:
    """How many rules it has, and its mode."""
    return f"{len(policy.rules)} {'rule' if len(policy.rules) == 1 else 'rules'}, mode {policy.mode}"


def as_json(read: PolicyFile) -> dict[str, object]:
    """What is to be said of a policy, as JSON has it."""

    def listed(findings: Iterable[Finding]) -> list[dict[str, object]]:
        return [{"line": one.line, "where": one.where, "why": one.why} for one in findings]

    return {
        "mode": read.policy.mode if read.policy else None,
        "rules": len(read.policy.rules) if read.policy else None,
        "bytes": read.size,
        "tier": read.tier,
        "problems": listed(read.problems),
        "warnings": listed(read.warnings),
    }


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.line))


# --- lines -----------------------------------------------------------------------------------------------------------


_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
"""A string, a sign, or another scalar, in text that is known to be JSON."""


class _Source:
    """A JSON document as text: on which line each part of it begins, and what Python's own reader lets pass.

    Raises `RecursionError` where it is nested too deep.
    """

    def __init__(self, text: str) -> None:
        breaks = [found.start() for found in re.finditer("\n", text)]
        parts = [(found[0], bisect(breaks, found.start()) + 1) for found in _PART.finditer(text)]
        self.minified = "".join(part for part, _ in parts)
        self.flaws: list[Finding] = []
        self._lines: dict[str, int] = {}
        self._parts = iter(parts)
        self._value("policy", *next(self._parts))

    def _value(self, where: str, part: str, line: int) -> None:
        self._lines.setdefault(where, line)
        if part == "[":
            self._list(where)
        elif part == "{":
            self._object(where)
        elif not _is_plain(part):
            self.flaws.append(Finding(line, where, "is no number that JSON knows"))

    def _list(self, where: str) -> None:
        index = 0
        for part, line in self._parts:
            if part == "]":
                return
            if part != ",":
                self._value(f"{where}[{index}]", part, line)
                index += 1

    def _object(self, where: str) -> None:
        names = set()
        for part, line in self._parts:
            if part == "}":
                return
            if part == ",":
                continue
            name = json.loads(part)
            if name in names:
                self.flaws.append(Finding(line, where, "holds this name twice"))
            names.add(name)
            inner = name if where == "policy" else f"{where}.{name}"
            self._lines.setdefault(inner, line)
            next(self._parts)  # The colon.
            self._value(inner, *next(self._parts))

    def finding(self, where: str, why: str) -> Finding:
        """`why` with its line: that of what is around it, where it is about something that is missing."""
        known = where
        while known and known not in self._lines:
            known = re.sub(r"(?:^|\.)[^.\[\]]*$|\[\d+\]$", "", known)
        return Finding(self._lines.get(known or "policy", 1), where, why)


def _is_plain(scalar: str) -> bool:
    if scalar[0] == '"' or scalar in ("true", "false", "null"):
        return True
    return scalar[-1].isdigit() and math.isfinite(float(scalar))


# --- doubts ----------------------------------------------------------------------------------------------------------

_NAMED_BY = {"services": "services", "role": "roles", "room_id": "rooms"}
"""The field of a rule, by what of a request it must name."""

_MAY_MANAGE = ("anyone", "signed-in", "principal")
_HAVE_CLAIMS = ("signed-in", "user", "group")


def _doubts(policy: Policy) -> Iterator[tuple[str, str]]:
    """What a policy says and can hardly mean: rules that never grant, patterns that match more than they seem to."""
    if policy.mode is Mode.AUDIT:
        yield "mode", "refuses nobody: what the rules do not grant is minted, and recorded"
    elif not policy.rules:
        yield "rules", "is empty: everybody is refused"
    for index, rule in enumerate(policy.rules):
        for doubts in (_never_granted, _idle_fields, _who, _names, _rooms, _lifetime):
            for where, why in doubts(rule):
                yield f"rules[{index}]{where}", why


def _requests(rule: Rule) -> list[tuple[TokenKind, str]]:
    names = [name for name in PLATFORMS if name in rule.platforms]
    return [
        (kind, name) for kind in TokenKind for name in names if kind in rule.kinds and kind in PLATFORMS[name].kinds
    ]


def _fields(kind: TokenKind, platform: str) -> dict[str, RequestField]:
    """The fields of a request that a rule can name, by what it must call them."""
    fields = PLATFORMS[platform].kinds[kind].fields
    return {_NAMED_BY[one.name]: one for one in fields if one.name in _NAMED_BY}


def _never_granted(rule: Rule) -> Iterator[tuple[str, str]]:
    never: dict[tuple[str, TokenKind], list[str]] = {}
    for kind, platform in _requests(rule):
        if why := ", ".join(_obstacles(rule, kind, platform)):
            never.setdefault((why, kind), []).append(platform)
    for (why, kind), platforms in never.items():
        yield "", f"never grants {kind} tokens for {', '.join(platforms)}: {why}"


def _obstacles(rule: Rule, kind: TokenKind, platform: str) -> Iterator[str]:
    if kind is TokenKind.MANAGEMENT and not any(subject.kind in _MAY_MANAGE for subject in rule.who):
        yield "they take an IAM principal, and it names none"
    for name, one in _fields(kind, platform).items():
        given = getattr(rule, name)
        always = one.required or one.default is not None
        if always and not given:
            yield f"it has no {name}"
        elif name != "services" and given and not any(_can_fit(pattern, one) for pattern in given):
            yield f"they have none of its {name}"


def _can_fit(pattern: Pattern, one: RequestField) -> bool:
    """Whether a request can have a value that fits; taken for granted where anything in the pattern is open."""
    if "*" in pattern.text or len(pattern.pieces) > 1:
        return True
    try:
        return bool(one.check(pattern.text))
    except ValueError:
        return False


def _idle_fields(rule: Rule) -> Iterator[tuple[str, str]]:
    asked = [_fields(*request) for request in _requests(rule)]
    for name in ("roles", "services"):
        if getattr(rule, name) and not any(name in fields for fields in asked):
            yield f".{name}", f"is of no use: what the rule is for has no {name}"


def _names(rule: Rule) -> Iterator[tuple[str, str]]:
    """Roles and rooms to the letter that no platform of the rule takes: misspelt, mostly."""
    asked = [_fields(*request) for request in _requests(rule)]
    for name in ("roles", "rooms"):
        patterns: PatternSet = getattr(rule, name)
        fields = [fields[name] for fields in asked if name in fields]
        for index, pattern in enumerate(patterns):
            if fields and not any(_can_fit(pattern, one) for one in fields):
                yield f".{name}[{index}]", "is none that the rule's platforms take"


def _who(rule: Rule) -> Iterator[tuple[str, str]]:
    for index, subject in enumerate(rule.who):
        where = f".who[{index}]"
        if subject.kind in ("anyone", "signed-in") and TokenKind.MANAGEMENT in rule.kinds:
            yield where, 'is, for management tokens, any IAM principal: say {"principal": "*"} in a rule for them alone'
        if subject.kind != "principal":
            continue
        arn = subject.pattern.text
        if not arn.startswith(("arn:", "*")):
            yield where, "matches nobody: it is no ARN"
        elif ":assumed-role/" in arn:
            yield where, "matches nobody: a session is known by its role, as arn:aws:iam::ACCOUNT:role/NAME"
        elif re.search(r":role/[^*/]+/", arn):
            yield where, "matches nobody who has assumed the role: it is then known without its path"


def _rooms(rule: Rule) -> Iterator[tuple[str, str]]:
    kinds = {subject.kind for subject in rule.who}
    for index, pattern in enumerate(rule.rooms):
        where = f".rooms[{index}]"
        if len(pattern.pieces) == 1:
            continue
        if kinds == {"principal"}:
            yield where, "matches nothing: an IAM principal has no user id and no claims"
        elif "anyone" in kinds:
            yield where, "is for callers who signed in with a JWT only: the others have no user id and no claims"
        if re.search(r"\}\*|\*\{|\}\{", pattern.text):
            yield where, "has no character between a placeholder and what is open beside it: one's rooms fit another's"


def _lifetime(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.max_lifetime is not None and rule.max_lifetime > DEFAULT_LIFETIMES.longest:
        yield (
            ".max_lifetime",
            f"is more than the stack's MaxTokenLifetime, {DEFAULT_LIFETIMES.longest} if nobody raised it",
        )
