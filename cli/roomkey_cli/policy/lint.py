"""Check a policy file: problems and warnings with their lines, and its size."""

import json
import math
import re
import string
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from roomkey.identity import check_user_id
from roomkey.limits import MAX_POLICY_BYTES, MIN_INVITE_LIFETIME
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.platforms.fields import RequestField, is_blank
from roomkey.policy import InvalidPolicy, Mode, Pattern, PatternSet, Policy, Rule, parse_policy
from roomkey.settings import DEFAULT_LIFETIMES, Access
from roomkey.token_requests import INVITE, KINDS
from roomkey_cli import json_input
from roomkey_cli.aws.parameters import MAX_STANDARD_BYTES
from roomkey_cli.policy.simulate import did_you_mean, endpoint_words


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """A problem or warning: its place in the document (`rules[2].who[0]`), its line in the file, and the reason."""

    line: int
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where} {self.why}"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file. `policy` is None if there are problems; warnings come with a valid policy only.

    `minified` is the document without whitespace between its parts, None if the file is not JSON.
    """

    policy: Policy | None = None
    minified: str | None = None
    problems: tuple[PolicyFinding, ...] = ()
    warnings: tuple[PolicyFinding, ...] = ()

    @property
    def size(self) -> int | None:
        """Return the minified size in bytes."""
        return None if self.minified is None else len(self.minified.encode())

    @property
    def tier(self) -> str | None:
        """Return the policy's tier in SSM, None if it is too large for both."""
        if self.size is None or self.size > MAX_POLICY_BYTES:
            return None
        return "standard" if self.size <= MAX_STANDARD_BYTES else "advanced"


def read(path: Path) -> PolicyFile:
    """Read a policy file. Raises `OSError`."""
    return parse(path.read_bytes())


def parse(content: bytes) -> PolicyFile:
    """Check the content of a policy file."""
    if why := json_input.encoding_problem(content):
        return PolicyFile(problems=(PolicyFinding(1, "policy", why),))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return PolicyFile(problems=(PolicyFinding(content.count(b"\n", 0, error.start) + 1, "policy", "is not UTF-8"),))
    try:
        json.loads(text)
        source = _Source(text)
    except json.JSONDecodeError as error:
        return PolicyFile(problems=(PolicyFinding(error.lineno, "policy", json_input.syntax_problem(error)),))
    except (ValueError, RecursionError):
        why = "has a number that is too long, or is nested too deeply"
        return PolicyFile(problems=(PolicyFinding(1, "policy", why),))
    if source.flaws:
        return PolicyFile(problems=tuple(source.flaws))
    try:
        policy = parse_policy(text)
    except InvalidPolicy as error:
        problems = _explained(error.problems, json.loads(text))
        return PolicyFile(
            minified=source.minified, problems=_in_order(source.finding(*problem) for problem in problems)
        )
    size = len(source.minified.encode())
    if size > MAX_POLICY_BYTES:
        why = f"has {size} bytes minified; SSM's limit is {MAX_POLICY_BYTES}"
        return PolicyFile(minified=source.minified, problems=(PolicyFinding(1, "policy", why),))
    warnings = _in_order(source.finding(*warning) for warning in _warnings(policy, json.loads(text)))
    return PolicyFile(policy, source.minified, warnings=warnings)


SUBJECTS = {
    Access.OPEN: ("anyone",),
    Access.JWT: ("anyone", "signed-in", "user", "group"),
    Access.IAM: ("anyone", "signed-in", "principal"),
}
"""The subjects of a rule that match callers, by the stack's AppTokenAccess."""


def grants_app_tokens(policy: Policy, access: Access) -> bool:
    """Check whether a rule for app tokens can match a caller with this access."""
    return any(
        TokenKind.APP in rule.kinds and any(subject.kind in SUBJECTS[access] for subject in rule.who)
        for rule in policy.rules
    )


def summary(policy: Policy) -> str:
    """Return the number of rules and the mode, in words."""
    return f"{len(policy.rules)} {'rule' if len(policy.rules) == 1 else 'rules'}, mode {policy.mode}"


def as_json(read: PolicyFile) -> dict[str, object]:
    """Return the result of the check for the JSON output."""

    def listed(findings: Iterable[PolicyFinding]) -> list[dict[str, object]]:
        return [{"line": finding.line, "where": finding.where, "why": finding.why} for finding in findings]

    return {
        "mode": read.policy.mode if read.policy else None,
        "rules": len(read.policy.rules) if read.policy else None,
        "bytes": read.size,
        "tier": read.tier,
        "problems": listed(read.problems),
        "warnings": listed(read.warnings),
    }


def _in_order(findings: Iterable[PolicyFinding]) -> tuple[PolicyFinding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.line))


# --- lines -----------------------------------------------------------------------------------------------------------


_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
"""A string, a punctuation character or another scalar, in text that is valid JSON."""


class _Source:
    """The line on which each part of a JSON document begins, and the flaws that Python's parser accepts.

    Raises `RecursionError` if the document is nested too deeply.
    """

    def __init__(self, text: str) -> None:
        breaks = [found.start() for found in re.finditer("\n", text)]
        parts = [(found[0], bisect(breaks, found.start()) + 1) for found in _PART.finditer(text)]
        self.minified = "".join(part for part, _ in parts)
        self.flaws: list[PolicyFinding] = []
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
            self.flaws.append(PolicyFinding(line, where, "is not a number in JSON"))

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
                self.flaws.append(PolicyFinding(line, where, "has a duplicate key"))
            names.add(name)
            inner = name if where == "policy" else f"{where}.{name}"
            self._lines.setdefault(inner, line)
            next(self._parts)  # The colon.
            self._value(inner, *next(self._parts))

    def finding(self, where: str, why: str) -> PolicyFinding:
        """Return `why` with its line. A missing member has the line of the object around it."""
        known = where
        while known and known not in self._lines:
            known = re.sub(r"(?:^|\.)[^.\[\]]*$|\[\d+\]$", "", known)
        return PolicyFinding(self._lines.get(known or "policy", 1), where, why)


def _is_plain(scalar: str) -> bool:
    if scalar[0] == '"' or scalar in ("true", "false", "null"):
        return True
    return scalar[-1].isdigit() and math.isfinite(float(scalar))


# --- problems --------------------------------------------------------------------------------------------------------


_SUBJECT_WORDS = ("anyone", "signed-in", "invite")
_SUBJECT_FIELDS = ("user", "group", "principal")


def _explained(problems: Iterable[tuple[str, str]], document: Any) -> Iterator[tuple[str, str]]:
    """Name the unknown word in a problem, and suggest the closest valid one.

    The function's own messages never quote the document; a file on this machine may be quoted.
    """
    for where, why in problems:
        value = _value_at(document, where)
        members = re.fullmatch("must have only the fields (.*)", why)
        subjects = why.startswith('must be "anyone"')
        choices = re.fullmatch(r"must be (?:one of )?(enforce or audit|\S+(?:, \S+)+?)(?:, or \*.*)?", why)
        if members and isinstance(value, dict):
            known = members[1].split(", ")
            prefix = "" if where == "policy" else f"{where}."
            for name in value.keys() - set(known):
                hint = did_you_mean(name, known) or f": known are {', '.join(known)}"
                yield f"{prefix}{name}", f"is unknown{hint}"
        elif subjects and isinstance(value, str) and (hint := did_you_mean(value, _SUBJECT_WORDS, cutoff=0.5)):
            yield where, f'"{value}" is unknown{hint}'
        elif subjects and isinstance(value, dict) and (names := [*(value.keys() - {*_SUBJECT_FIELDS})]):
            for name in names:
                yield f"{where}.{name}", f"is unknown{did_you_mean(name, _SUBJECT_FIELDS) or f': the subject {why}'}"
        elif choices and isinstance(value, str):
            yield where, f'"{value}" is unknown{did_you_mean(value, re.split(", | or ", choices[1])) or f": it {why}"}'
        else:
            yield where, why


def _value_at(document: Any, where: str) -> Any:
    """Return the value at a place such as `rules[2].who[0]`, None if it is missing."""
    value = document
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", "" if where == "policy" else where):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return None
    return value


# --- warnings --------------------------------------------------------------------------------------------------------

_MATCHED_BY = {"services": "services", "role": "roles", "room_id": "rooms"}
"""The member of a rule that matches a field of a request."""

_MAY_MANAGE = ("anyone", "signed-in", "principal")


def _warnings(policy: Policy, document: Any) -> Iterator[tuple[str, str]]:
    """Yield probable mistakes in a valid policy: rules that never grant, patterns that match too much."""
    if policy.mode is Mode.AUDIT:
        yield "mode", "denies nothing: requests that no rule grants are minted, and recorded"
    elif not policy.rules:
        yield "rules", "is empty: every request is denied"
    for index, rule in enumerate(policy.rules):
        if document["rules"][index].get("platforms") == ["*"]:
            yield f"rules[{index}].platforms", "includes every platform that a later deploy adds"
        for warnings in (_never_granted, _unused_members, _who, _unknown_names, _rooms, _lifetime):
            for where, why in warnings(rule):
                yield f"rules[{index}]{where}", why
        for where, why in _entries(document["rules"][index]):
            yield f"rules[{index}]{where}", why


def _entries(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the duplicates in the rule's lists, and the entries that only seem to be another text."""
    for name, entries in rule.items():
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            text = entry if isinstance(entry, str) else "".join(entry.values())
            if entry in entries[:index]:
                yield f".{name}[{index}]", "is a duplicate"
            if any(is_blank(character) and character != " " for character in text):
                yield f".{name}[{index}]", "has a character that shows nothing"


def _requests(rule: Rule) -> list[tuple[str, str]]:
    """Return the pairs of kind and platform that the rule is about."""
    names = [name for name in PLATFORMS if name in rule.platforms]
    kinds = [str(kind) for kind in KINDS if kind in rule.kinds]
    return [(kind, name) for kind in kinds for name in names if _token_kind(kind) in PLATFORMS[name].kinds]


def _token_kind(kind: str) -> TokenKind:
    """Return the kind of the token; an invite is for an app token."""
    return TokenKind.APP if kind == INVITE else TokenKind(kind)


def _fields(kind: str, platform: str) -> dict[str, RequestField]:
    """Return the fields of a request that a rule matches, by the rule's member."""
    fields = PLATFORMS[platform].kinds[_token_kind(kind)].fields
    return {_MATCHED_BY[field.name]: field for field in fields if field.name in _MATCHED_BY}


def _never_granted(rule: Rule) -> Iterator[tuple[str, str]]:
    never: dict[tuple[str, str], list[str]] = {}
    requests = _requests(rule)
    # A rule for all platforms need not grant something on each.
    if rule.platforms.issuperset(PLATFORMS) and not all(any(_obstacles(rule, *request)) for request in requests):
        return
    for kind, platform in requests:
        if why := ", ".join(_obstacles(rule, kind, platform)):
            never.setdefault((why, kind), []).append(platform)
    for (why, kind), platforms in never.items():
        yield "", f"never grants {_plural(kind)} for {', '.join(platforms)}: {why}"


def _plural(kind: str) -> str:
    return "invites" if kind == INVITE else f"{kind} tokens"


def _obstacles(rule: Rule, kind: str, platform: str) -> Iterator[str]:
    if kind == INVITE and all(subject.kind in ("anyone", "invite") for subject in rule.who):
        yield "they need a signed-in caller in who"
    if kind == TokenKind.MANAGEMENT and not any(subject.kind in _MAY_MANAGE for subject in rule.who):
        yield "they need an IAM principal in who"
    for name, field in _fields(kind, platform).items():
        patterns = getattr(rule, name)
        always = field.required or field.default is not None or (name == "rooms" and _needs_room(rule, kind, platform))
        if always and not patterns:
            yield f"the rule has no {name}"
        elif name != "services" and patterns and not any(_can_match(pattern, field) for pattern in patterns):
            yield f"none of its {name} exists there"
        elif name == "rooms" and patterns and not any(_can_match_generated(pattern, platform) for pattern in patterns):
            example = PLATFORMS[platform].example["room_id"]
            yield f"its rooms match no id that the vendor generates, such as {example}"
        elif name == "rooms" and patterns and PLATFORMS[platform].fold_room_case and all(map(_has_capitals, patterns)):
            yield "its rooms have capital letters, and rooms there are in lower case"


def _needs_room(rule: Rule, kind: str, platform: str) -> bool:
    """Check whether each request without a room asks for every room, so that no rule without rooms grants it."""
    opens_every_room = PLATFORMS[platform].opens_every_room
    return all(opens_every_room(_token_kind(kind), {"services": [name]}) for name in rule.services or [""])


def _has_capitals(pattern: Pattern) -> bool:
    """Check whether a pattern has capital letters outside placeholders."""
    literal = re.sub(r"\{[^}]*\}", "", pattern.text)
    return literal != literal.lower()


def _can_match(pattern: Pattern, field: RequestField) -> bool:
    """Check whether a valid value can match. Patterns with a wildcard or placeholder count as matching."""
    if "*" in pattern.text or len(pattern.pieces) > 1:
        return True
    try:
        return bool(field.check(pattern.text))
    except ValueError:
        return False


def _can_match_generated(pattern: Pattern, platform: str) -> bool:
    """Check whether a room id of the vendor can match. A placeholder can stand for any text."""
    forms = PLATFORMS[platform].generated_rooms
    glob = "*".join(pattern.pieces[::2])
    parts = ([_Part(_CHARACTERS.get(character, character)) for character in form] for form in forms)
    return not forms or any(_can_be(glob, form) for form in parts)


_CHARACTERS = {"x": string.digits + "abcdef", "a": string.digits + string.ascii_lowercase}
"""The characters that a letter of `generated_rooms` stands for."""


class _Part(NamedTuple):
    """One of these characters, or a run of them."""

    characters: str
    is_run: bool = False


def _can_be(glob: str, form: Sequence[_Part]) -> bool:
    """Check whether a text of this form can match a pattern with `*`."""
    ends = {0}  # The numbers of parts that the pattern so far can match.
    for character in glob:
        if character == "*":
            ends = set(range(min(ends), len(form) + 1))
        else:
            following = {end + 1 for end in ends if end < len(form) and character in form[end].characters}
            ends = following | {
                end for end in ends if end and form[end - 1].is_run and character in form[end - 1].characters
            }
        if not ends:
            return False
    return len(form) in ends


def _unused_members(rule: Rule) -> Iterator[tuple[str, str]]:
    requests = [_fields(*request) for request in _requests(rule)]
    for name in ("roles", "services"):
        if getattr(rule, name) and not any(name in fields for fields in requests):
            yield f".{name}", f"has no effect: the rule's tokens have no {name}"
    used = {
        name
        for kind, platform in _requests(rule)
        if kind == TokenKind.APP
        for name in endpoint_words(PLATFORMS[platform])
    }
    for name in ("may_set", "agents"):
        if getattr(rule, name) and name not in used:
            yield f".{name}", "has no effect: only an app token of livekit can have it"


def _unknown_names(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield roles and rooms without wildcard that no platform of the rule accepts."""
    requests = [_fields(*request) for request in _requests(rule)]
    for name in ("roles", "rooms"):
        patterns: PatternSet = getattr(rule, name)
        fields = [fields[name] for fields in requests if name in fields]
        for index, pattern in enumerate(patterns):
            if fields and not any(_can_match(pattern, field) for field in fields):
                yield f".{name}[{index}]", "is not accepted by any platform of the rule"


def _who(rule: Rule) -> Iterator[tuple[str, str]]:
    for index, subject in enumerate(rule.who):
        where = f".who[{index}]"
        if subject.kind in ("anyone", "signed-in") and TokenKind.MANAGEMENT in rule.kinds:
            yield where, 'means any IAM principal for management tokens: write {"principal": "*"} in a separate rule'
        if subject.kind == "group" and " " in subject.pattern.text:
            yield where, "matches only with GroupsFormat comma or json: API Gateway separates a list's names by spaces"
        if subject.kind == "user":
            try:
                check_user_id(subject.pattern.text.replace("*", "x"))
            except ValueError as error:
                yield where, f"matches no caller: a user id {error}"
        if subject.kind == "principal":
            for why in _principal(subject.pattern.text):
                yield where, why


_NAME = _Part(string.ascii_letters + string.digits + "_+=,.@-", is_run=True)
_PATH = _Part("".join(map(chr, range(ord("!"), ord("~") + 1))).replace(":", ""), is_run=True)
"""The path of an IAM user. It may contain colons, but a pattern with one after `user/` is a mistake."""


def _callers(service: str, resource: str, *name: _Part) -> list[list[_Part]]:
    """Return the forms of the principals of one kind, in the partition `aws` and the others."""
    rest = [*map(_Part, f":{service}::"), *[_Part(string.digits)] * 12, *map(_Part, f":{resource}"), *name]
    aws = list(map(_Part, "arn:aws"))
    return [[*aws, *rest], [*aws, _Part("-"), _Part(string.ascii_lowercase + "-", is_run=True), *rest]]


_FEDERATED_USERS = _callers("sts", "federated-user/", _NAME)
_CALLERS = [
    *_callers("iam", "role/", _NAME),
    *_callers("iam", "user/", _NAME),
    *_callers("iam", "user/", _PATH, _Part("/"), _NAME),
    *_callers("iam", "root"),
    *_FEDERATED_USERS,
]
"""The principals that `roomkey.identity` forms from the ARNs of callers.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
"""


def _principal(arn: str) -> Iterator[str]:
    if ":assumed-role/" in arn:
        yield "matches no caller: sessions are matched by their role, arn:aws:iam::ACCOUNT:role/NAME"
    elif re.search(r":role/[^*/]+/", arn):
        yield "matches no session of the role: the ARN of a session's role has no path"
    elif not _matches(arn, _CALLERS):
        yield "matches no caller: write arn:aws:iam::ACCOUNT:role/NAME, user/NAME or root, with the account's 12 digits"
    elif arn != "*":
        if not re.search(r":[0-9]{12}:|:[0-9]{12}\*|\*[0-9]{12}:", arn):
            yield "matches in every AWS account: write the account id"
        if "federated-user" not in arn and _matches(arn, _FEDERATED_USERS):
            yield "also matches federated users, whose names callers of sts:GetFederationToken choose"


def _matches(pattern: str, forms: Iterable[Sequence[_Part]]) -> bool:
    return any(_can_be(pattern, form) for form in forms)


def _rooms(rule: Rule) -> Iterator[tuple[str, str]]:
    kinds = {subject.kind for subject in rule.who}
    for index, pattern in enumerate(rule.rooms):
        where = f".rooms[{index}]"
        if len(pattern.pieces) == 1:
            continue
        if kinds <= {"principal", "invite"}:
            yield where, "matches no room: the callers in who have no user id and no claims"
        elif "anyone" in kinds:
            yield where, "matches only for callers with a JWT: other callers have no user id and no claims"
        if re.search(r"\}\*|\*\{|\}\{", pattern.text):
            yield where, "needs a separator between a placeholder and the wildcard or placeholder next to it"


def _lifetime(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.max_lifetime is None:
        return
    if INVITE in rule.kinds and rule.max_lifetime < MIN_INVITE_LIFETIME:
        yield ".max_lifetime", f"grants no invite: their lifetime is at least {MIN_INVITE_LIFETIME} s"
    for kind, name in _requests(rule):
        if kind == INVITE:
            continue
        limits = PLATFORMS[name].kinds[_token_kind(kind)].lifetime
        if rule.max_lifetime < limits.minimum:
            yield ".max_lifetime", f"grants no {kind} token for {name}: their lifetime is at least {limits.minimum} s"
        elif limits.maximum and rule.max_lifetime > limits.maximum:
            yield ".max_lifetime", f"is more than {name} allows: {limits.maximum} s"
    if rule.kinds != {INVITE} and rule.max_lifetime > DEFAULT_LIFETIMES.longest:
        yield (
            ".max_lifetime",
            f"is more than the stack's MaxTokenLifetime (default {DEFAULT_LIFETIMES.longest})",
        )
