"""`roomkey policy`: a policy as a file, checked, tested and explained, without anything in AWS."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from roomkey.callers import Caller, normalised_principal
from roomkey.errors import InvalidRequest, NotAllowed
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind, check_id
from roomkey.policy import Mode, Policy, Rule
from roomkey.settings import STANDARD_LIVES, Access, Lives
from roomkey.token_requests import TokenRequest, bind, parse
from roomkey_cli import policy_files
from roomkey_cli.policy_files import Finding, PolicyFile
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless

app = typer.Typer(help="Check, test and explain a policy: who may have which token.", no_args_is_help=True)

_LIVES = Lives(default=STANDARD_LIVES.default, longest=90 * 86400)
"""The widest bounds that a stack can have. Which lives it really takes, its own parameters say."""

_PolicyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The policy: a JSON document.")]


# --- check -----------------------------------------------------------------------------------------------------------


@app.command()
def check(
    file: _PolicyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Say what is wrong with a policy and on which line, what it can hardly mean, and how large it is.

    Exit status: 0 good, warnings or not; 1 there are problems; 2 wrong usage.

    Example: roomkey policy check policy.json
    """
    read = _read(file)
    if as_json:
        print(json.dumps(_report(file, read)))
    else:
        for finding in read.problems:
            print(harmless(f"{file}:{finding.line}: {finding}"))
        for finding in read.warnings:
            print(harmless(f"{file}:{finding.line}: warning: {finding}"))
        if read.policy:
            print(harmless(f"{file}: {_in_short(read.policy)}, {read.size} bytes minified ({read.tier} tier)"))
    if read.problems:
        raise typer.Exit(REFUSED)


def _in_short(policy: Policy) -> str:
    return f"{len(policy.rules)} {'rule' if len(policy.rules) == 1 else 'rules'}, mode {policy.mode}"


def _report(file: Path, read: PolicyFile) -> dict[str, object]:
    def listed(findings: Sequence[Finding]) -> list[dict[str, object]]:
        return [{"line": one.line, "where": one.where, "why": one.why} for one in findings]

    return {
        "file": str(file),
        "mode": read.policy.mode if read.policy else None,
        "rules": len(read.policy.rules) if read.policy else None,
        "bytes": read.size,
        "tier": read.tier,
        "problems": listed(read.problems),
        "warnings": listed(read.warnings),
    }


def _read(file: Path) -> PolicyFile:
    try:
        return policy_files.read(file)
    except OSError as error:
        fail(harmless(f"{file}: {error.strerror}"), USAGE)


def _policy(file: Path) -> Policy:
    read = _read(file)
    if read.policy is None:
        first = read.problems[0]
        fail(harmless(f"{file}:{first.line}: {first}"), USAGE)
    return read.policy


# --- a question to a policy ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    """What somebody asks for. `barred` is why the endpoint refuses it before any policy, where it does."""

    caller: Caller
    request: TokenRequest
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What becomes of a question: whether it is allowed, the rule that decided, and why, in words."""

    allowed: bool
    rule: str | None
    why: str


def _question(columns: Mapping[str, str]) -> _Question:
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
    body = _body(columns)
    if platform.binds_user(kind) and caller.user_id is None:
        body["user_id"] = "1"  # Whose token it is to be does not matter to a policy.
    try:
        request = parse(platform, kind, body, lives=_LIVES, signed_in=caller.user_id is not None)
    except InvalidRequest as invalid:
        reasons = (f"{_COLUMNS.get(one.field, one.field)} {one.reason}" for one in invalid.errors)
        raise ValueError("; ".join(reasons)) from None
    if kind is TokenKind.MANAGEMENT and caller.principal is None:
        return _Question(caller, request, "a management token takes an IAM principal, whatever the policy says")
    if caller.user_id is not None:
        try:
            request = bind(request, caller.user_id)
        except NotAllowed:
            return _Question(caller, request, f"the user's id is none that {platform.name} takes")
    return _Question(caller, request)


_FIELDS = {
    "room": "room_id",
    "role": "role",
    "permissions": "permissions",
    "services": "services",
    "life": "expires_in",
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


def _verdict(policy: Policy, question: _Question) -> _Verdict:
    if question.barred:
        return _Verdict(False, None, question.barred)
    decision = policy.decide(question.request, question.caller)
    if decision.rule is None:
        return _Verdict(False, None, "no rule grants it")
    if not decision.allowed:
        return _Verdict(False, decision.rule, f'"{decision.rule}" grants it for {decision.longest_life} s at most')
    life = "" if decision.longest_life is None else f", for {decision.longest_life} s at most"
    return _Verdict(True, decision.rule, f'by "{decision.rule}"{life}')


# --- test ------------------------------------------------------------------------------------------------------------

_NEEDED = ("as", "kind", "platform", "expect")
_KNOWN = ("as", "groups", "claims", "kind", "platform", "room", "role", "permissions", "services", "life", "expect")


@app.command()
def test(
    file: _PolicyArgument,
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="What is expected: a CSV table.")],
) -> None:
    """Hold a policy against a table of who asks for what, and what is expected.

    The table has a header with the columns as, groups, claims, kind, platform, room, role, permissions, services, life
    and expect, in any order; only as, kind, platform and expect are needed. docs/policy.md says what goes into each.

    Exit status: 0 all is as expected, 1 something is not, 2 wrong usage.

    Example: roomkey policy test policy.json policy.cases.csv
    """
    policy = _policy(file)
    failures = count = 0
    for line, columns in _table(cases):
        count += 1
        if failure := _failure(policy, columns):
            failures += 1
            print(harmless(f"{cases}:{line}: {failure}"))
    if not count:
        fail(harmless(f"{cases}: there are no cases in it"), USAGE)
    print(f"{count} {'case' if count == 1 else 'cases'}, {f'{failures} not' if failures else 'all'} as expected")
    if failures:
        raise typer.Exit(REFUSED)


def _table(cases: Path) -> list[tuple[int, dict[str, str]]]:
    """The cases in the file, each with its line."""
    try:
        with cases.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            table = [(rows.line_num, [cell.strip() for cell in row]) for row in rows if any(row)]
    except OSError as error:
        fail(harmless(f"{cases}: {error.strerror}"), USAGE)
    except (UnicodeDecodeError, csv.Error):
        fail(harmless(f"{cases}: is not CSV in UTF-8"), USAGE)
    header = table[0][1] if table else []
    if not set(_NEEDED) <= set(header) <= set(_KNOWN) or len(set(header)) < len(header):
        fail(harmless(f"{cases}: needs a header with {', '.join(_NEEDED)}, and may have {', '.join(_KNOWN)}"), USAGE)
    wrong = next((line for line, row in table if len(row) != len(header)), None)
    if wrong:
        fail(harmless(f"{cases}:{wrong}: has more or fewer cells than the header"), USAGE)
    return [(line, dict(zip(header, row, strict=True))) for line, row in table[1:]]


def _failure(policy: Policy, columns: Mapping[str, str]) -> str | None:
    """What is not as expected, None if all is."""
    word, _, rule = columns["expect"].partition(" ")
    if word not in ("allow", "deny"):
        return "expect must be allow or deny, and may go on with a rule's name"
    try:
        question = _question(columns)
    except ValueError as error:
        return f"nobody can ask this: {error}"
    verdict = _verdict(policy, question)
    if verdict.allowed == (word == "allow") and rule.strip() in ("", verdict.rule):
        return None
    return f"{'allowed' if verdict.allowed else 'denied'}: {verdict.why}; expected {columns['expect']}"


# --- explain ---------------------------------------------------------------------------------------------------------


@app.command()
def explain(
    file: _PolicyArgument,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="anyone, user:ID or principal:ARN.")],
    platform: Annotated[str, typer.Option(help="One of: " + ", ".join(PLATFORMS))],
    kind: Annotated[TokenKind, typer.Option(help="The kind of token.")] = TokenKind.APP,
    groups: Annotated[str, typer.Option(help="The user's groups, with a space between them.")] = "",
    claims: Annotated[str, typer.Option(help="The user's other claims: NAME=VALUE, joined by ;")] = "",
    room: Annotated[str, typer.Option(help="The room or channel.")] = "",
    role: Annotated[str, typer.Option(help="The role.")] = "",
    permissions: Annotated[str, typer.Option(help="VideoSDK's permissions instead, with a space between them.")] = "",
    services: Annotated[str, typer.Option(help="Agora's services, with a space between them.")] = "",
    life: Annotated[str, typer.Option(metavar="SECONDS", help="expires_in, if the request says so.")] = "",
) -> None:
    """Say what a policy decides for one request, which rule decided, and why each other one does not grant it.

    Exit status: 0 allowed, 1 refused, 2 wrong usage, or a policy or request that is none.

    Example: roomkey policy explain policy.json --as user:ada --groups teachers --platform 100ms --room r1 --role host
    """
    policy = _policy(file)
    columns = {
        "as": who,
        "groups": groups,
        "claims": claims,
        "kind": kind,
        "platform": platform,
        "room": room,
        "role": role,
        "permissions": permissions,
        "services": services,
        "life": life,
    }
    try:
        question = _question(columns)
    except ValueError as error:
        fail(harmless(f"nobody can ask this: {error}"), USAGE)
    verdict = _verdict(policy, question)
    lines = [f"{'allowed' if verdict.allowed else 'refused'}: {verdict.why}"]
    if not verdict.allowed and not question.barred and policy.mode is Mode.AUDIT:
        lines.append("The policy's mode is audit: the token is minted all the same, and recorded.")
    if not question.barred:
        lines += [f"  {line}" for index, rule in enumerate(policy.rules) for line in _why(index, rule, question)]
    print("\n".join(map(harmless, lines)))
    if not verdict.allowed:
        raise typer.Exit(REFUSED)


def _why(index: int, rule: Rule, question: _Question) -> Iterator[str]:
    """What a rule has to say to a question, a line for the rule and one for each field that does not name it."""
    lacking = [name for name, named in rule.compare(question.request, question.caller) if not named]
    place = f"rules[{index}]"
    title = place if rule.name == place else f'{place} "{rule.name}"'
    life = "" if rule.longest_life is None else f", for {rule.longest_life} s at most"
    yield f"{title} {'does not grant it' if lacking else f'grants it{life}'}"
    for name in lacking:
        yield f"  {name}: {_reason(name, rule, question)}"


def _reason(name: str, rule: Rule, question: _Question) -> str:
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
    unknown = dict.fromkeys(placeholder for room in rule.rooms for placeholder in room.unknown(caller))
    nothing = f"; the caller has nothing that could stand for {', '.join(f'{{{one}}}' for one in unknown)}"
    return f'none of them fits "{request.room_id}"{nothing if unknown else ""}'


def _in_words(caller: Caller) -> str:
    if caller.principal is not None:
        return caller.principal
    if caller.user_id is None:
        return "someone who has not signed in"
    return f"the user {caller.user_id}, {f'in {" and ".join(caller.groups)}' if caller.groups else 'in no group'}"
