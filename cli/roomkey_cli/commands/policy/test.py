"""`roomkey policy test`: test a policy with a table of requests and expected decisions."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from roomkey.policy import Policy
from roomkey_cli.commands import files
from roomkey_cli.commands.options import PolicyArgument
from roomkey_cli.commands.session import Output
from roomkey_cli.policy import simulate
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, print_json

_REQUIRED = ("as", "kind", "platform", "expect")


def run_cases(
    file: PolicyArgument,
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="The expected decisions: a CSV table.")],
    output: Output,
) -> None:
    """Test a policy against a table of requests and expected decisions.

    The table has a header with the columns as, groups, claims, kind, platform, room, role, permissions, services,
    lifetime, sets, agent and expect, in any order. Only as, kind, platform and expect are required. docs/policy.md
    describes them.

    Exit status: 0 all as expected, 1 at least one not as expected, 2 wrong usage.

    Example: roomkey policy test policy.json policy.cases.csv
    """
    policy = files.policy(file)
    table = _table(cases)
    if not table:
        fail(f"{cases}: contains no cases", USAGE)
    failures = [(line, columns, reason) for line, columns in table if (reason := _failure(policy, columns))]
    if output.as_json:
        listed = [
            {"line": line, "case": {name: value for name, value in columns.items() if value}, "why": reason}
            for line, columns, reason in failures
        ]
        print_json({"file": str(file), "cases": len(table), "good": not failures, "failures": listed})
    else:
        for line, columns, reason in failures:
            print(harmless(f"{cases}:{line}: {_words(columns)}"))
            print("\n".join(harmless(f"  {line}") for line in reason.split("\n")))
        count = f"{len(table)} {'case' if len(table) == 1 else 'cases'}"
        print(f"{count}, {f'{len(failures)} not' if failures else 'all'} as expected")
    if failures:
        raise typer.Exit(REFUSED)


def _words(columns: Mapping[str, str]) -> str:
    """Return a case in one line, such as `as=user:ada kind=app platform=100ms role=host`."""
    return " ".join(
        f'{name}="{value}"' if " " in value else f"{name}={value}"
        for name, value in columns.items()
        if value and name != "expect"
    )


def _table(cases: Path) -> list[tuple[int, dict[str, str]]]:
    """Read the cases, each with its line."""
    try:
        with cases.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            table = [(rows.line_num, [cell.strip() for cell in row]) for row in rows if any(row)]
    except OSError as error:
        fail(f"{cases}: {error.strerror}", USAGE)
    except (UnicodeDecodeError, csv.Error):
        fail(f"{cases}: is not CSV in UTF-8", USAGE)
    header = table[0][1] if table else []
    known = (*simulate.COLUMNS, "expect")
    if unknown := [name for name in header if name not in known]:
        fail(f"{cases}:1: unknown column {unknown[0]}{simulate.did_you_mean(unknown[0], known)}", USAGE)
    if not set(_REQUIRED) <= set(header) or len(set(header)) < len(header):
        fail(f"{cases}:1: needs a header with {', '.join(_REQUIRED)}; optional: {', '.join(known)}", USAGE)
    wrong = next((line for line, row in table if len(row) != len(header)), None)
    if wrong:
        fail(f"{cases}:{wrong}: has more or fewer cells than the header", USAGE)
    return [(line, dict(zip(header, row, strict=True))) for line, row in table[1:]]


def _failure(policy: Policy, columns: Mapping[str, str]) -> str | None:
    """Return how the decision differs from the expected one, or None."""
    word, _, rule = columns["expect"].partition(" ")
    if word not in ("allow", "deny"):
        return "expect must be allow or deny, optionally followed by a rule's name"
    try:
        question = simulate.parse_question(columns)
    except ValueError as error:
        return f"invalid case: {error}"
    verdict = simulate.decide(policy, question)
    if verdict.allowed == (word == "allow") and rule.strip() in ("", verdict.rule):
        return None
    decision = "allowed" if verdict.allowed else "denied"
    lines = [f"{decision}, expected {columns['expect']}: {verdict.why}"]
    if not verdict.allowed:
        lines += simulate.nearest(policy, question)
    return "\n  ".join(lines)
