"""Evaluate a policy for one request, described by the columns of a table of cases."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roomkey.errors import InvalidRequest, NotAllowed
from roomkey.identity import Caller, check_user_id, normalised_principal
from roomkey.invites import InviteRequest
from roomkey.limits import MAX_INVITE_LIFETIME, MIN_INVITE_LIFETIME
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Agent, Platform, Randomness, TokenKind
from roomkey.platforms.fields import GUEST_PREFIX
from roomkey.policy import Mode, Policy, Rule, Subject
from roomkey.settings import DEFAULT_LIFETIMES, Access, LifetimeLimits
from roomkey.token_requests import INVITE, KINDS, RESTRICTED_VALUES, TokenRequest, bind_to_user, parse, resolve_lifetime

_LIFETIMES = LifetimeLimits(default=DEFAULT_LIFETIMES.default, longest=90 * 86400)
"""The widest limits that a stack can have; its parameters may narrow them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A caller and a request. `barred` is the reason if the endpoint refuses it before the policy, else None."""

    caller: Caller
    request: TokenRequest
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on a question, the rule that decided, and the reason."""

    allowed: bool
    rule: str | None
    why: str


def parse_question(columns: Mapping[str, str]) -> Question:
    """Return the question that `columns` describe; a missing column is empty.

    Raises:
        ValueError: If no caller can send this request. The message begins with the name of the column.
    """
    caller = _caller(columns)
    word = columns.get("kind", "")
    kind, platform = _kind_and_platform(word, columns.get("platform", ""))
    body = _body(columns)
    for_invite, guest = word == INVITE, caller.invite_id is not None
    _check_no_invite_has(columns, ("permissions",) if for_invite else _NOT_IN_INVITES if guest else ())
    lifetime = _invite_lifetime(body) if for_invite else None
    if platform.binds_user(kind) and caller.user_id is None:
        # A policy does not check the token's user.
        body["user_id"] = GUEST_PREFIX + Randomness().guest() if guest else "1"
    try:
        request = parse(platform, kind, body, lifetimes=_LIFETIMES, signed_in=caller.user_id is not None)
    except InvalidRequest as invalid:
        why = (f"{_COLUMNS.get(error.field, error.field)} {error.reason}" for error in invalid.errors)
        raise ValueError("; ".join(why)) from None
    if (for_invite or guest) and request.opens_every_room:
        raise ValueError("room is missing")
    request = request._replace(**_endpoint_values(columns, platform, word))
    if for_invite:
        request = request._replace(for_invite=True, user_id=None, expires_in=lifetime)
        barred = "a guest cannot create invites" if guest else "with open access, invites cannot be created"
        return Question(caller, request, barred if caller.access is Access.OPEN else None)
    if kind is TokenKind.MANAGEMENT and caller.principal is None:
        return Question(caller, request, "a management token always needs an IAM principal")
    if caller.user_id is not None:
        try:
            request = bind_to_user(request, caller.user_id)
        except NotAllowed:
            return Question(caller, request, f"{platform.name} does not accept this user id")
    return Question(caller, request)


_NOT_IN_INVITES = ("permissions", "lifetime", "sets", "agent")
"""Columns of an app token that a guest cannot request."""


def _check_no_invite_has(columns: Mapping[str, str], names: Collection[str]) -> None:
    if used := [name for name in names if columns.get(name)]:
        raise ValueError(f"{used[0]} must be empty: an invite does not have it")


def _kind_and_platform(word: str, name: str) -> tuple[TokenKind, Platform]:
    if word not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}{did_you_mean(word, KINDS)}")
    if name not in PLATFORMS:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}{did_you_mean(name, PLATFORMS)}")
    kind, platform = TokenKind.APP if word == INVITE else TokenKind(word), PLATFORMS[name]
    if kind not in platform.kinds:
        raise ValueError(f"kind must be {' or '.join(platform.kinds)} for {platform.name}")
    return kind, platform


def endpoint_words(platform: Platform) -> list[str]:
    """Return the members of a rule that are for the platform's own endpoint: `may_set`, `agents` or neither."""
    fields = {field.maps_to_field for field in platform.endpoint.spec.fields} if platform.endpoint else set()
    members = {"may_set": fields & {*RESTRICTED_VALUES}, "agents": fields & {"agent"}}
    return [name for name, applies in members.items() if applies]


def _endpoint_values(columns: Mapping[str, str], platform: Platform, kind: str) -> dict[str, Any]:
    """Return the values of a request to the platform's own endpoint: those in `sets`, and the agent."""
    sets, agent = columns.get("sets", "").split(), columns.get("agent", "")
    members = endpoint_words(platform) if kind == TokenKind.APP else []
    for column, used, member in (("sets", sets, "may_set"), ("agent", agent, "agents")):
        if used and member not in members:
            raise ValueError(f"{column} must be empty: {platform.name} has no such {kind} token")
    if not {*sets} <= {*RESTRICTED_VALUES}:
        raise ValueError(f"sets must be of {', '.join(RESTRICTED_VALUES)}, separated by spaces")
    # The policy looks at which values are set, not at the values.
    values: dict[str, Any] = {"metadata": "x", "attributes": (("x", "x"),)}
    return {name: values[name] for name in sets} | ({"agent": _agent(platform, agent)} if agent else {})


def _agent(platform: Platform, name: str) -> Agent:
    """Return the agent, checked by the field of the platform's own endpoint."""
    fields = platform.endpoint.spec.by_meaning() if platform.endpoint else {}
    try:
        agent: Agent = fields["agent"][0].check([{"agent_name": name}])
    except ValueError as error:
        raise ValueError(str(error).replace("agent_name", "agent", 1)) from None
    return agent


def _invite_lifetime(body: dict[str, Any]) -> int | None:
    """Remove the lifetime of an invite from `body`, where it would be the token's, and return it."""
    lifetime = body.pop("expires_in", None)
    if lifetime is None or (type(lifetime) is int and MIN_INVITE_LIFETIME <= lifetime <= MAX_INVITE_LIFETIME):
        return lifetime
    raise ValueError(f"lifetime must be from {MIN_INVITE_LIFETIME} to {MAX_INVITE_LIFETIME} seconds")


_FIELDS = {
    "room": "room_id",
    "role": "role",
    "permissions": "permissions",
    "services": "services",
    "lifetime": "expires_in",
}
"""The field of a request, by its column."""

_COLUMNS = {field: column for column, field in _FIELDS.items()}

COLUMNS = ("as", "groups", "claims", "kind", "platform", *_FIELDS, "sets", "agent")
"""The columns of a table of cases that describe the request."""


def _body(columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the request's body."""
    body: dict[str, Any] = {field: columns[column] for column, field in _FIELDS.items() if columns.get(column)}
    for field in ("permissions", "services"):
        if field in body:
            body[field] = body[field].split()
    if re.fullmatch("[0-9]{1,9}", body.get("expires_in", "")):
        body["expires_in"] = int(body["expires_in"])
    return body


def _caller(columns: Mapping[str, str]) -> Caller:
    """Return the caller that the columns `as`, `groups` and `claims` describe."""
    who, _, name = columns.get("as", "").partition(":")
    groups = _groups(columns.get("groups", ""))
    claims = _claims(columns.get("claims", ""))
    if (groups or claims) and who != "user":
        raise ValueError("as must be user:ID if there are groups or claims")
    if any(not group or re.search(r"[\[\]]", group) for group in groups):
        raise ValueError("groups must be names without brackets, separated by one space, or by commas")
    match who:
        case "anyone" if not name:
            return Caller(Access.OPEN)
        case "invite" if not name:
            return Caller(Access.OPEN, invite_id="invite")
        case "user":
            try:
                return Caller(Access.JWT, user_id=check_user_id(name), groups=groups, claims=claims)
            except ValueError as error:
                raise ValueError(f"as has an invalid user id: it {error}") from None
        case "principal" if name.startswith("arn:"):
            principal = normalised_principal(name)
            if re.search(r":role/.*/", principal):
                raise ValueError("as must name a role without its path")
            return Caller(Access.IAM, principal=principal)
    raise ValueError("as must be anyone, invite, user:ID or principal:ARN")


def _groups(text: str) -> tuple[str, ...]:
    """Return names that commas separate, as names with spaces need, or one space each."""
    if "," in text:
        return tuple(name.strip() for name in text.removesuffix(",").split(","))
    return tuple(text.split(" ")) if text else ()


def _claims(text: str) -> dict[str, str]:
    claims = {}
    for pair in text.split(";") if text else ():
        name, equals, value = pair.partition("=")
        if not equals or not name or name in claims:
            raise ValueError("claims must be NAME=VALUE, separated by ; with each name once")
        claims[name] = value
    return claims


def decide(policy: Policy, question: Question) -> Outcome:
    """Return the policy's decision on a question."""
    if question.barred:
        return Outcome(False, None, question.barred)
    decision = policy.decide(question.request, question.caller)
    if decision.rule is None:
        return Outcome(False, None, "no rule grants it")
    if not decision.allowed:
        return Outcome(False, decision.rule, f'"{decision.rule}" grants it for at most {decision.max_lifetime} s')
    try:
        _check_lifetime(question.request, decision.max_lifetime)
    except NotAllowed:
        why = f'"{decision.rule}" grants it for at most {decision.max_lifetime} s, less than the minimum'
        return Outcome(False, decision.rule, why)
    lifetime = "" if decision.max_lifetime is None else f", for at most {decision.max_lifetime} s"
    return Outcome(True, decision.rule, f'by "{decision.rule}"{lifetime}')


def is_only_recorded(policy: Policy, question: Question) -> bool:
    """Return whether the rules refuse the request, and the mode lets it pass.

    A lifetime below the platform's minimum is refused in every mode.
    """
    if question.barred or policy.mode is not Mode.AUDIT:
        return False
    return not policy.decide(question.request, question.caller).allowed


def _check_lifetime(request: TokenRequest, allowed: int | None) -> None:
    """Raise `NotAllowed` if the policy grants less than the minimum lifetime."""
    if request.for_invite:
        InviteRequest(request.platform.name, {}, request.expires_in, None).lifetime(allowed)
    else:
        resolve_lifetime(request, _LIFETIMES, allowed)


def rule_by_rule(policy: Policy, question: Question) -> list[tuple[bool, list[str]]]:
    """Return for each rule whether it grants the request, and its reasons; empty if the policy is not asked."""
    if question.barred:
        return []
    return [
        (rule.grants(question.request, question.caller), list(reasons(index, rule, question)))
        for index, rule in enumerate(policy.rules)
    ]


def nearest(policy: Policy, question: Question, limit: int = 3) -> list[str]:
    """Return the reasons of the rules that fail in the fewest conditions, at most `limit` rules.

    Empty if the policy is not asked, or a rule grants the request.
    """
    if question.barred:
        return []
    failures = [_failing(rule, question) for rule in policy.rules]
    fewest = min(map(len, failures), default=0)
    if not fewest:
        return []
    near = [index for index, failing in enumerate(failures) if len(failing) == fewest][:limit]
    return [line for index in near for line in reasons(index, policy.rules[index], question)]


def as_json(policy: Policy, question: Question, outcome: Outcome) -> dict[str, object]:
    """Return the decision for the JSON output."""
    return {
        "allowed": outcome.allowed,
        "rule": outcome.rule,
        "why": outcome.why,
        "mode": policy.mode,
        "rules": [{"grants": grants, "reasons": lines} for grants, lines in rule_by_rule(policy, question)],
    }


def did_you_mean(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Return `: did you mean X?` for a word at least `cutoff` similar to a known one, else an empty text."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f": did you mean {close[0]}?" if close else ""


def _failing(rule: Rule, question: Question) -> list[str]:
    return [name for name, passed in rule.checks(question.request, question.caller) if not passed]


def reasons(index: int, rule: Rule, question: Question) -> Iterator[str]:
    """Yield one line about the rule, and one for each member that does not match the request."""
    failing = _failing(rule, question)
    place = f"rules[{index}]"
    title = place if rule.name == place else f'{place} "{rule.name}"'
    lifetime = "" if rule.max_lifetime is None else f", for at most {rule.max_lifetime} s"
    yield f"{title} {'does not grant it' if failing else f'grants it{lifetime}'}"
    for name in failing:
        yield f"  {name}: {_reason(name, rule, question)}"


def _reason(name: str, rule: Rule, question: Question) -> str:
    request, caller = question.request, question.caller
    match name:
        case "kinds":
            return f"{request.policy_kind} is not in the list"
        case "platforms":
            return f"{request.platform.name} is not in the list"
        case "services":
            missing = [service for service in request.services if service not in rule.services]
            return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in the list"
        case "who":
            return f"needs {' or '.join(_subject_words(subject) for subject in rule.who)}; {_caller_words(caller)}"
        case "roles":
            return (
                f'no pattern matches "{request.role}"' if rule.roles else f'missing, and the role is "{request.role}"'
            )
        case "rooms":
            return _room_reason(rule, question)
        case "may_set":
            return f"{' and '.join(v for v in request.restricted_values if v not in rule.may_set)} is not in the list"
        case "agents" if request.agent:
            agent = request.agent.name
            return f'no pattern matches "{agent}"' if rule.agents else f'missing, and the agent is "{agent}"'
    return "does not match"


def _room_reason(rule: Rule, question: Question) -> str:
    if question.request.room_id is None:
        return "the request names no room, so it needs the pattern *"
    if not rule.rooms:
        return f'missing, and the room is "{question.request.room_id}"'
    unknown = dict.fromkeys(name for room in rule.rooms for name in room.unresolved(question.caller))
    without = f"; the caller has no value for {', '.join(f'{{{name}}}' for name in unknown)}" if unknown else ""
    return f'no pattern matches "{question.request.room_id}"{without}'


def _subject_words(subject: Subject) -> str:
    return (
        subject.kind if subject.kind in ("anyone", "signed-in", "invite") else f"{subject.kind} {subject.pattern.text}"
    )


def _caller_words(caller: Caller) -> str:
    if caller.principal is not None:
        return f"the caller is {caller.principal}"
    if caller.invite_id is not None:
        return "the caller is a guest with an invite"
    if caller.user_id is None:
        return "the caller is not signed in"
    return f"{caller.user_id} is in {' and '.join(caller.groups) if caller.groups else 'no group'}"
