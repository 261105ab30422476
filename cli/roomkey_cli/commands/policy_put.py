"""`roomkey policy put`: a policy from a file into force."""

import difflib
import json
from pathlib import Path
from typing import Annotated

import typer

from roomkey import strict_json
from roomkey.policy import Policy
from roomkey_cli import parameters, policy_files
from roomkey_cli.aws import Aws
from roomkey_cli.changes import Change, Manner, carry_out
from roomkey_cli.options import AsJson, DryRun, EnvironmentArgument, Profile, Region, Yes
from roomkey_cli.parameters import Parameter
from roomkey_cli.policy_files import LARGEST_STANDARD
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, note, say

_COLOURS = {"+": "green", "-": "red"}


def put(
    environment: EnvironmentArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy: a JSON document.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Check a policy, show what it changes, and put it into force, minified.

    More than 4096 bytes take an advanced parameter, which AWS charges for; more than 8192 are refused.

    Example: roomkey policy put prod policy.json --dry-run
    """
    policy, minified = _checked(file)
    aws = Aws(profile, region)
    there = parameters.read(aws, environment).policy
    diff = _diff(there, minified)
    facts: dict[str, object] = {
        "mode": policy.mode,
        "rules": len(policy.rules),
        "bytes": len(minified.encode()),
        "version": there.version if there else None,
        "diff": diff,
    }
    if not as_json:
        for line in diff:
            say(mark=line, style=_COLOURS.get(line[:1], ""))
    count = f"{len(policy.rules)} {'rule' if len(policy.rules) == 1 else 'rules'}"
    does = f"write {environment.policy_name}: {count}, mode {policy.mode}, {facts['bytes']} bytes"
    change = Change(does, lambda: facts.update(parameters.put(aws, environment.policy_name, minified)))
    carry_out(
        environment,
        [] if there and _same(there, minified) else [change],
        Manner(dry_run, yes, as_json),
        already=f"{environment.policy_name} says exactly this; nothing was changed",
        notes=_notes(len(minified.encode())),
        facts=facts,
    )


def _checked(file: Path) -> tuple[Policy, str]:
    """The policy in the file, and its text as it is stored. Anything but a policy ends the command."""
    try:
        read = policy_files.read(file)
    except OSError as error:
        fail(harmless(f"{file}: {error.strerror}"), USAGE)
    for finding in read.warnings:
        note(f"{file}:{finding.line}: warning: {finding}")
    if read.policy is None or read.minified is None:
        problems = [harmless(f"{file}:{finding.line}: {finding}") for finding in read.problems]
        fail("\n  ".join(["not a policy that can be put:", *problems]), REFUSED)
    return read.policy, read.minified


def _same(there: Parameter, minified: str) -> bool:
    """Whether what is stored says the same, whatever the space between its parts."""
    return there.policy is not None and strict_json.loads(there.text) == strict_json.loads(minified)


def _diff(there: Parameter | None, minified: str) -> list[str]:
    """What changes, as `diff -u` shows it, without its head."""
    lines = difflib.unified_diff(_lines(there.text if there else ""), _lines(minified), lineterm="")
    return list(lines)[2:]


def _lines(text: str) -> list[str]:
    """A policy with each field of each rule on a line of its own: what is worth a line in a diff."""
    try:
        document = strict_json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):  # Whatever somebody has put there.
        return text.splitlines()
    rules = document.pop("rules", [])
    lines = [f"{name}: {_text(value)}" for name, value in document.items()]
    for rule in rules if isinstance(rules, list) else [rules]:
        lines.append("rule")
        fields = rule.items() if isinstance(rule, dict) else [("", rule)]
        lines += [f"  {name}: {_text(value)}" for name, value in fields]
    return lines


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _notes(size: int) -> list[str]:
    from roomkey_cli import bounds

    notes = [f"It counts everywhere within {bounds.STATE_SECONDS} s. Tokens that are out stay good until they expire."]
    if size > LARGEST_STANDARD:
        notes.append(f"More than {LARGEST_STANDARD} bytes: the parameter is an advanced one, which AWS charges for.")
    return notes
