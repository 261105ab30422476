"""`roomkey policy test`: a policy against a table of cases."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from roomkey.policy import Policy
from roomkey_cli.commands import files
from roomkey_cli.commands.options import AsJson, PolicyArgument
from roomkey_cli.policy import simulate
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, say_json

_NEEDED = ("as", "kind", "platform", "expect")
_KNOWN = ("as", "groups", "claims", "kind", "platform", "room", "role", "permissions", "services", "lifetime", "expect")


def run_cases(
    file: PolicyArgument,
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="What is expected: a CSV table.")],
    as_json: AsJson = False,
) -> None:
    """Hold a policy against a table of who asks for what, and what is expected.

    The header names the columns as, groups, claims, kind, platform, room, role, permissions, services, lifetime and
    expect, in any order; only as, kind, platform and expect are required. docs/policy.md describes each.

    Exit status: 0 all is as expected, 1 something is not, 2 wrong usage.

    Example: roomkey policy test policy.json policy.cases.csv
    """
    policy = files.policy(file)
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
        question = simulate.ask(columns)
    except ValueError as error:
        return f"nobody can ask this: {error}"
    verdict = simulate.decide(policy, question)
    if verdict.allowed == (word == "allow") and rule.strip() in ("", verdict.rule):
        return None
    return f"{'allowed' if verdict.allowed else 'denied'}: {verdict.why}; expected {columns['expect']}"
