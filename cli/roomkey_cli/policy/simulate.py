"""A question to a policy, in the words of a table of cases: who asks for what, what is decided, and why."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roomkey.errors import InvalidRequest, NotAllowed
from roomkey.identity import Caller, normalised_principal
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.platforms.fields import check_id
from roomkey.policy import Policy, Rule
from roomkey.settings import DEFAULT_LIFETIMES, Access, LifetimeLimits
from roomkey.token_requests import TokenRequest, bind_to_user, parse

_LIFETIMES = LifetimeLimits(default=DEFAULT_LIFETIMES.default, longest=90 * 86400)
"""The widest bounds that a stack can have. Which lives it really takes, its own parameters say."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks for. `barred` is why the endpoint refuses it before any policy, where it does."""

    caller: Caller
    request: TokenRequest
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a question: whether it is allowed, the rule that decided, and why, in words."""

    allowed: bool
    rule: str | None
    why: str


def ask(columns: Mapping[str, str]) -> Question:
    """The question that the texts in `columns` ask, which are those of a table of cases; what is not there is empty.

    Raises `ValueError`, whose text begins with the column that is at fault.
    """
    caller = _caller(columns)
    try:
        kind = TokenKind(columns.get("kind", ""))
    except ValueError:
        raise ValueError(f"kind must be {' or '.join(TokenKind)}") from None
    platform = PLATFORMS.get(columns.get("platform", ""))
    if platform is None:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}")
    if kind not in platform.kinds:
        raise ValueError(f"kind must be {' or '.join(platform.kinds)} for {platform.name}")
    body = _body(columns)
    if platform.binds_user(kind) and caller.user_id is None:
        body["user_id"] = "1"  # Whose token it is to be does not matter to a policy.
    try:
        request = parse(platform, kind, body, lifetimes=_LIFETIMES, signed_in=caller.user_id is not None)
    except InvalidRequest as invalid:
        why = (f"{_COLUMNS.get(one.field, one.field)} {one.reason}" for one in invalid.errors)
        raise ValueError("; ".join(why)) from None
    if kind is TokenKind.MANAGEMENT and caller.principal is None:
        return Question(caller, request, "a management token takes an IAM principal, whatever the policy says")
    if caller.user_id is not None:
        try:
            request = bind_to_user(request, caller.user_id)
        except NotAllowed:
            return Question(caller, request, f"the user's id is none that {platform.name} takes")
    return Question(caller, request)


_FIELDS = {
    "room": "room_id",
    "role": "role",
    "permissions": "permissions",
    "services": "services",
    "lifetime": "expires_in",
}
"""The field of a request, by the column that it stands in."""

_COLUMNS = {field: column for column, field in _FIELDS.items()}


def _body(columns: Mapping[str, str]) -> dict[str, Any]:
    """The request as the endpoint takes it, with what is in the columns."""
    body: dict[str, Any] = {field: columns[column] for column, field in _FIELDS.items() if columns.get(column)}
    for field in ("permissions", "services"):
        if field in body:
            body[field] = body[field].split()
    if re.fullmatch("[0-9]{1,9}", body.get("expires_in", "")):
        body["expires_in"] = int(body["expires_in"])
    return body


def _caller(columns: Mapping[str, str]) -> Caller:
    """The caller in the columns `as`, `groups` and `claims`, as the endpoint would know them."""
    who, _, name = columns.get("as", "").partition(":")
    groups = tuple(columns.get("groups", "").split(" ")) if columns.get("groups") else ()
    claims = _claims(columns.get("claims", ""))
    if (groups or claims) and who != "user":
        raise ValueError("groups and claims are a user's: as must be user:ID")
    if any(not group or re.search(r"[\[\]]", group) for group in groups):
        raise ValueError("groups must be names without brackets, with one space between them")
    match who:
        case "anyone" if not name:
            return Caller(Access.OPEN)
        case "user":
            try:
                return Caller(Access.JWT, user_id=check_id(name), groups=groups, claims=claims)
            except ValueError as error:
                raise ValueError(f"as is no user: the id {error}") from None
        case "principal" if name.startswith("arn:"):
            principal = normalised_principal(name)
            if re.search(r":role/.*/", principal):
                raise ValueError("as is no caller: a role is known without its path")
            return Caller(Access.IAM, principal=principal)
    raise ValueError("as must be anyone, user:ID or principal:ARN")


def _claims(text: str) -> dict[str, str]:
    claims = {}
    for pair in text.split(";") if text else ():
        name, equals, value = pair.partition("=")
        if not equals or not name or name in claims:
            raise ValueError("claims must be NAME=VALUE, joined by ; and each name once")
        claims[name] = value
    return claims


def decide(policy: Policy, question: Question) -> Verdict:
    if question.barred:
        return Verdict(False, None, question.barred)
    decision = policy.decide(question.request, question.caller)
    if decision.rule is None:
        return Verdict(False, None, "no rule grants it")
    if not decision.allowed:
        return Verdict(False, decision.rule, f'"{decision.rule}" grants it for {decision.max_lifetime} s at most')
    lifetime = "" if decision.max_lifetime is None else f", for {decision.max_lifetime} s at most"
    return Verdict(True, decision.rule, f'by "{decision.rule}"{lifetime}')


def rule_by_rule(policy: Policy, question: Question) -> list[tuple[bool, list[str]]]:
    """For each rule whether it grants it, and what it has to say; empty where the policy is not asked."""
    if question.barred:
        return []
    return [
        (rule.grants(question.request, question.caller), list(reasons(index, rule, question)))
        for index, rule in enumerate(policy.rules)
    ]


def as_json(policy: Policy, question: Question, verdict: Verdict) -> dict[str, object]:
    """What becomes of a question, as JSON has it."""
    return {
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "why": verdict.why,
        "mode": policy.mode,
        "rules": [{"grants": grants, "says": says} for grants, says in rule_by_rule(policy, question)],
    }


def reasons(index: int, rule: Rule, question: Question) -> Iterator[str]:
    """What a rule has to say to a question, a line for the rule and one for each field that does not name it."""
    lacking = [name for name, named in rule.checks(question.request, question.caller) if not named]
    place = f"rules[{index}]"
    title = place if rule.name == place else f'{place} "{rule.name}"'
    lifetime = "" if rule.max_lifetime is None else f", for {rule.max_lifetime} s at most"
    yield f"{title} {'does not grant it' if lacking else f'grants it{lifetime}'}"
    for name in lacking:
        yield f"  {name}: {_reason(name, rule, question)}"


def _reason(name: str, rule: Rule, question: Question) -> str:
    request, caller = question.request, question.caller
    match name:
        case "kinds":
            return f"{request.kind} is not among them"
        case "platforms":
            return f"{request.platform.name} is not among them"
        case "services":
            missing = [service for service in request.services if service not in rule.services]
            return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not among them"
        case "who":
            return f"none of them is {_in_words(caller)}"
        case "roles":
            return f'none of them fits "{request.role}"' if rule.roles else f'it has none, for "{request.role}"'
    if not rule.rooms:
        return f'it has none, for "{request.room_id}"'
    unknown = dict.fromkeys(placeholder for room in rule.rooms for placeholder in room.unresolved(caller))
    nothing = f"; the caller has nothing that could stand for {', '.join(f'{{{one}}}' for one in unknown)}"
    return f'none of them fits "{request.room_id}"{nothing if unknown else ""}'


def _in_words(caller: Caller) -> str:
    if caller.principal is not None:
        return caller.principal
    if caller.user_id is None:
        return "someone who has not signed in"
    return f"the user {caller.user_id}, {f'in {" and ".join(caller.groups)}' if caller.groups else 'in no group'}"
