"""`roomkey policy put`: store a policy, and show the difference."""

import difflib
import json
from functools import partial

from roomkey import limits, strict_json
from roomkey_cli.aws import parameters
from roomkey_cli.aws.parameters import MAX_STANDARD_BYTES, Parameter
from roomkey_cli.commands import files
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument, PolicyArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.policy import lint
from roomkey_cli.terminal import iso_in, print_line

_COLOURS = {"+": "green", "-": "red"}


def put(environment: EnvironmentArgument, file: PolicyArgument, session: Session, options: ApplyOptions) -> None:
    """Check a policy, show the difference, and store it minified.

    The command fails if another operator changes the policy meanwhile. A policy of more than 4096 bytes needs an
    advanced parameter, for which AWS charges; 8192 bytes is the limit.

    Example: roomkey policy put prod policy.json --dry-run
    """
    policy, minified = files.policy_to_store(file)
    aws = session.aws
    _, snapshot = parameters.require_environment(aws, environment)
    stored = snapshot.policy
    diff = _diff(stored, minified)
    if not session.as_json:
        for line in diff:
            print_line(mark=line, style=_COLOURS.get(line[:1], ""))
    size = len(minified.encode())
    details: dict[str, object] = {
        "mode": policy.mode,
        "rules": len(policy.rules),
        "bytes": size,
        "version": stored.version if stored else None,
        "diff": diff,
        "effective_within_seconds": limits.OPERATOR_CONFIG_BOUND_SECONDS,
    }
    replace = partial(parameters.replace, aws, environment.policy_name, stored, minified)
    description = f"write {environment.policy_name}: {lint.summary(policy)}, {_size(size)}"
    changes = (
        [] if stored and _same(stored, minified) else [Change(description, lambda: details.update(version=replace()))]
    )
    applied = apply(environment, changes, options)
    report(
        applied,
        as_json=session.as_json,
        unchanged=f"{environment.policy_name} already contains this policy; nothing was changed",
        notes=[
            f"In effect everywhere by {iso_in(limits.OPERATOR_CONFIG_BOUND_SECONDS)}.",
            "Tokens already issued stay valid until they expire.",
        ],
        details=details,
    )


def _same(stored: Parameter, minified: str) -> bool:
    """Check whether the stored policy is the same document, apart from whitespace."""
    return stored.policy is not None and strict_json.loads(stored.text) == strict_json.loads(minified)


def _diff(stored: Parameter | None, minified: str) -> list[str]:
    """Return the differences as `diff -u` prints them, without its header."""
    lines = difflib.unified_diff(_lines(stored.text if stored else ""), _lines(minified), lineterm="")
    return list(lines)[2:]


def _lines(text: str) -> list[str]:
    """Return a policy with each member of each rule on its own line."""
    try:
        document = strict_json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return text.splitlines()
    rules = document.pop("rules", [])
    lines = [f"{name}: {_text(value)}" for name, value in document.items()]
    for rule in rules if isinstance(rules, list) else [rules]:
        lines.append("rule")
        members = rule.items() if isinstance(rule, dict) else [("", rule)]
        lines += [f"  {name}: {_text(value)}" for name, value in members]
    return lines


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _size(size: int) -> str:
    note = " (an advanced parameter, for which AWS charges)" if size > MAX_STANDARD_BYTES else ""
    return f"{size} bytes{note}"
