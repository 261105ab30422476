"""`roomkey policy put`: a policy from a file into force."""

import difflib
import json

from roomkey import strict_json
from roomkey_cli.aws import parameters
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.parameters import Parameter
from roomkey_cli.commands import files
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import AsJson, DryRun, EnvironmentArgument, PolicyArgument, Profile, Region, Yes
from roomkey_cli.policy import lint
from roomkey_cli.policy.lint import LARGEST_STANDARD
from roomkey_cli.terminal import say

_COLOURS = {"+": "green", "-": "red"}


def put(
    environment: EnvironmentArgument,
    file: PolicyArgument,
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
    from roomkey_cli.aws import propagation

    policy, minified = files.policy_to_store(file)
    aws = Aws(profile, region)
    _, there = parameters.born(aws, environment)
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
    does = f"write {environment.policy_name}: {lint.in_short(policy)}, {_size(len(minified.encode()))}"
    change = Change(does, lambda: facts.update(parameters.put(aws, environment.policy_name, minified)))
    apply(
        environment,
        [] if there and _same(there, minified) else [change],
        ApplyOptions(dry_run, yes, as_json),
        already=f"{environment.policy_name} says exactly this; nothing was changed",
        notes=[
            f"It counts everywhere within {propagation.STATE_SECONDS} s. "
            "Tokens that are out stay good until they expire."
        ],
        facts=facts,
    )


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


def _size(size: int) -> str:
    advanced = size > LARGEST_STANDARD
    return f"{size} bytes{' (the parameter is an advanced one, which AWS charges for)' if advanced else ''}"
