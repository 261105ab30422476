"""`roomkey policy`: a policy as a file, checked, tested and explained, without anything in AWS."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.policy import Mode, Policy
from roomkey_cli import policy_files, policy_questions
from roomkey_cli.policy_files import Finding, PolicyFile
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless

app = typer.Typer(help="Check, test and explain a policy: who may have which token.", no_args_is_help=True)

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
        question = policy_questions.ask(columns)
    except ValueError as error:
        return f"nobody can ask this: {error}"
    verdict = policy_questions.decide(policy, question)
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
        question = policy_questions.ask(columns)
    except ValueError as error:
        fail(harmless(f"nobody can ask this: {error}"), USAGE)
    verdict = policy_questions.decide(policy, question)
    lines = [f"{'allowed' if verdict.allowed else 'refused'}: {verdict.why}"]
    if not verdict.allowed and not question.barred and policy.mode is Mode.AUDIT:
        lines.append("The policy's mode is audit: the token is minted all the same, and recorded.")
    if not question.barred:
        lines += [
            f"  {line}"
            for index, rule in enumerate(policy.rules)
            for line in policy_questions.reasons(index, rule, question)
        ]
    print("\n".join(map(harmless, lines)))
    if not verdict.allowed:
        raise typer.Exit(REFUSED)
