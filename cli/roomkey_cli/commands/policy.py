"""`roomkey policy`: a policy as a file, checked, tested and explained without anything in AWS, and put there."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from roomkey.platforms.base import TokenKind
from roomkey.policy import Mode, Policy
from roomkey_cli import inputs, policy_files, policy_questions
from roomkey_cli.commands import policy_put
from roomkey_cli.options import AsJson, KindOption, NeededPlatformOption, PolicyArgument
from roomkey_cli.policy_questions import Question, Verdict
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, say_json

app = typer.Typer(
    help="""Check, test, explain and put a policy: who may have which token.

    Example: roomkey policy check policy.json

    Example: roomkey policy put prod policy.json --dry-run
    """,
    no_args_is_help=True,
)


# --- check -----------------------------------------------------------------------------------------------------------


@app.command()
def check(file: PolicyArgument, as_json: AsJson = False) -> None:
    """Say what is wrong with a policy and on which line, what it can hardly mean, and how large it is.

    Exit status: 0 good, warnings or not; 1 there are problems; 2 wrong usage.

    Example: roomkey policy check policy.json
    """
    read = inputs.policy_file(file)
    if as_json:
        say_json({"file": str(file), **policy_files.as_json(read)})
    else:
        for finding in read.problems:
            print(harmless(f"{file}:{finding.line}: {finding}"))
        for finding in read.warnings:
            print(harmless(f"{file}:{finding.line}: warning: {finding}"))
        if read.policy:
            size = f"{read.size} bytes minified ({read.tier} tier)"
            print(harmless(f"{file}: {policy_files.in_short(read.policy)}, {size}"))
    if read.problems:
        raise typer.Exit(REFUSED)


# --- test ------------------------------------------------------------------------------------------------------------

_NEEDED = ("as", "kind", "platform", "expect")
_KNOWN = ("as", "groups", "claims", "kind", "platform", "room", "role", "permissions", "services", "life", "expect")


@app.command("test")
def hold(
    file: PolicyArgument,
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="What is expected: a CSV table.")],
    as_json: AsJson = False,
) -> None:
    """Hold a policy against a table of who asks for what, and what is expected.

    The table has a header with the columns as, groups, claims, kind, platform, room, role, permissions, services, life
    and expect, in any order; only as, kind, platform and expect are needed. docs/policy.md says what goes into each.

    Exit status: 0 all is as expected, 1 something is not, 2 wrong usage.

    Example: roomkey policy test policy.json policy.cases.csv
    """
    policy = inputs.policy(file)
    table = _table(cases)
    if not table:
        fail(f"{cases}: there are no cases in it", USAGE)
    failures = [(line, failure) for line, columns in table if (failure := _failure(policy, columns))]
    if as_json:
        listed = [{"line": line, "why": why} for line, why in failures]
        say_json({"file": str(file), "cases": len(table), "good": not failures, "failures": listed})
    else:
        for line, failure in failures:
            print(harmless(f"{cases}:{line}: {failure}"))
        count = f"{len(table)} {'case' if len(table) == 1 else 'cases'}"
        print(f"{count}, {f'{len(failures)} not' if failures else 'all'} as expected")
    if failures:
        raise typer.Exit(REFUSED)


def _table(cases: Path) -> list[tuple[int, dict[str, str]]]:
    """The cases in the file, each with its line."""
    try:
        with cases.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            table = [(rows.line_num, [cell.strip() for cell in row]) for row in rows if any(row)]
    except OSError as error:
        fail(f"{cases}: {error.strerror}", USAGE)
    except (UnicodeDecodeError, csv.Error):
        fail(f"{cases}: is not CSV in UTF-8", USAGE)
    header = table[0][1] if table else []
    if not set(_NEEDED) <= set(header) <= set(_KNOWN) or len(set(header)) < len(header):
        fail(f"{cases}: needs a header with {', '.join(_NEEDED)}, and may have {', '.join(_KNOWN)}", USAGE)
    wrong = next((line for line, row in table if len(row) != len(header)), None)
    if wrong:
        fail(f"{cases}:{wrong}: has more or fewer cells than the header", USAGE)
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
    file: PolicyArgument,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="anyone, user:ID or principal:ARN.")],
    platform: NeededPlatformOption,
    kind: KindOption = TokenKind.APP,
    groups: Annotated[str, typer.Option(metavar="NAMES", help="The user's groups, with a space between them.")] = "",
    claims: Annotated[
        str, typer.Option(metavar="CLAIMS", help="The user's other claims: NAME=VALUE, joined by ;")
    ] = "",
    room: Annotated[str, typer.Option(metavar="ID", help="The room or channel.")] = "",
    role: Annotated[str, typer.Option(metavar="NAME", help="The role.")] = "",
    permissions: Annotated[
        str, typer.Option(metavar="NAMES", help="VideoSDK's permissions instead, with a space between them.")
    ] = "",
    services: Annotated[str, typer.Option(metavar="NAMES", help="Agora's services, with a space between them.")] = "",
    lifetime: Annotated[str, typer.Option(metavar="SECONDS", help="expires_in, if the request says so.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what a policy decides for one request, which rule decided, and why each other one does not grant it.

    Exit status: 0 allowed, 1 refused, 2 wrong usage, or a policy or request that is none.

    Example: roomkey policy explain policy.json --as user:ada --groups teachers --platform 100ms --room r1 --role host
    """
    policy = inputs.policy(file)
    columns = {
        "as": who,
        "groups": groups,
        "claims": claims,
        "kind": kind,
        "platform": platform.name,
        "room": room,
        "role": role,
        "permissions": permissions,
        "services": services,
        "life": lifetime,
    }
    try:
        question = policy_questions.ask(columns)
    except ValueError as error:
        fail(f"nobody can ask this: {error}", USAGE)
    verdict = policy_questions.decide(policy, question)
    if as_json:
        say_json(policy_questions.as_json(policy, question, verdict))
    else:
        print("\n".join(map(harmless, _in_words(policy, question, verdict))))
    if not verdict.allowed:
        raise typer.Exit(REFUSED)


def _in_words(policy: Policy, question: Question, verdict: Verdict) -> Iterator[str]:
    yield f"{'allowed' if verdict.allowed else 'refused'}: {verdict.why}"
    if not verdict.allowed and not question.barred and policy.mode is Mode.AUDIT:
        yield "The policy's mode is audit: the token is minted all the same, and recorded."
    for _, says in policy_questions.rule_by_rule(policy, question):
        yield from (f"  {line}" for line in says)


app.command()(policy_put.put)
