"""`roomkey policy check`."""

import typer

from roomkey_cli.commands import files
from roomkey_cli.commands.options import AsJson, PolicyArgument
from roomkey_cli.policy import lint
from roomkey_cli.terminal import REFUSED, harmless, say_json


def check(file: PolicyArgument, as_json: AsJson = False) -> None:
    """Say what is wrong with a policy and on which line, what it can hardly mean, and how large it is.

    Exit status: 0 good, warnings or not; 1 there are problems; 2 wrong usage.

    Example: roomkey policy check policy.json
    """
    read = files.policy_file(file)
    if as_json:
        say_json({"file": str(file), **lint.as_json(read)})
    else:
        for finding in read.problems:
            print(harmless(f"{file}:{finding.line}: {finding}"))
        for finding in read.warnings:
            print(harmless(f"{file}:{finding.line}: warning: {finding}"))
        if read.policy:
            size = f"{read.size} bytes minified ({read.tier} tier)"
            print(harmless(f"{file}: {lint.in_short(read.policy)}, {size}"))
    if read.problems:
        raise typer.Exit(REFUSED)
