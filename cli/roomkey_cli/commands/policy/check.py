"""`roomkey policy check`: problems and warnings with their lines, and the size."""

import typer

from roomkey_cli.commands import files
from roomkey_cli.commands.options import PolicyArgument
from roomkey_cli.commands.session import Output
from roomkey_cli.policy import lint
from roomkey_cli.terminal import REFUSED, harmless, print_json


def check(file: PolicyArgument, output: Output) -> None:
    """Check a policy: list problems and warnings with their lines, and print its size.

    Exit status: 0 valid, with or without warnings; 1 invalid; 2 wrong usage.

    Example: roomkey policy check policy.json
    """
    read = files.policy_file(file)
    if output.as_json:
        print_json({"file": str(file), **lint.as_json(read)})
    else:
        for finding in read.problems:
            print(harmless(f"{file}:{finding.line}: {finding}"))
        for finding in read.warnings:
            print(harmless(f"{file}:{finding.line}: warning: {finding}"))
        if read.policy:
            size = f"{read.size} bytes minified ({read.tier} tier)"
            print(harmless(f"{file}: {lint.summary(read.policy)}, {size}"))
    if read.problems:
        raise typer.Exit(REFUSED)
