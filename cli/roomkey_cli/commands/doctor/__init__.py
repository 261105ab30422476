"""`roomkey doctor`: check everything that a deploy and a running environment need, with the fix for each finding."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from roomkey_cli.aws.client import DENIED, AwsError
from roomkey_cli.commands.doctor import deployed, stored, workplace
from roomkey_cli.commands.doctor.examination import Examination, Finding
from roomkey_cli.commands.options import EnvironmentArgument, Url
from roomkey_cli.commands.session import Session
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, WARN, print_json, print_line

__all__ = ("Examination", "doctor", "examine", "show")

_CHECKS: Mapping[str, Callable[[Examination], Iterator[Finding]]] = {
    "kill switch": stored.kill_switch,
    "policy": stored.policy,
    "block list": stored.block_list,
    "secrets": stored.secrets,
    "stack": deployed.stack,
    "function": deployed.function,
    "health": deployed.health,
}

_BEFORE_DEPLOY = {name: _CHECKS[name] for name in ("kill switch", "policy", "block list", "secrets", "stack")}


def doctor(
    environment: EnvironmentArgument,
    session: Session,
    url: Url = None,
    before_deploy: Annotated[
        bool, typer.Option("--before-deploy", help="Check only what a deploy needs, not what it repairs.")
    ] = False,
) -> None:
    """Check everything that a deploy and a running environment need, and print the fix for each finding.

    Checks this machine's tools, config/ENV.yaml, your AWS credentials and clock, kill switch, policy, block list,
    secrets, stack, function and health. Changes nothing. Exit status 1 if a check fails; warnings do not count.

    Example: roomkey doctor prod
    """
    findings = []
    for finding in examine(Examination(environment, session.aws, url, before_deploy=before_deploy)):
        findings.append(finding)
        if not session.as_json:
            show(finding)
    count = {level: sum(finding.level == level for finding in findings) for level in (OK, WARN, FAIL)}
    if session.as_json:
        summary = {"environment": environment.name, "good": not count[FAIL], **count}
        print_json({**summary, "findings": [asdict(finding) for finding in findings]})
    else:
        print_line(
            f"{count[OK]} ok, {count[WARN]} {'warning' if count[WARN] == 1 else 'warnings'}, {count[FAIL]} failed"
        )
    if count[FAIL]:
        raise typer.Exit(REFUSED)


def show(finding: Finding) -> None:
    """Print a finding and its fix."""
    print_line(f"{finding.check:<12} {finding.message}", mark=f"{finding.level:<5} ", style=STYLES[finding.level])
    if finding.fix:
        print_line(finding.fix, mark=f"{'':<19}-> ", style="bold")


def examine(examination: Examination) -> Iterator[Finding]:
    """Yield the findings of all checks, or only of those before a deploy."""
    before_deploy = examination.before_deploy
    yield from workplace.tools(examination)
    yield from workplace.config(examination)
    try:
        yield from workplace.caller(examination)
    except AwsError as error:
        yield Finding("credentials", FAIL, str(error), "the other checks need AWS")
        return
    for name, check in (_BEFORE_DEPLOY if before_deploy else _CHECKS).items():
        try:
            yield from check(examination)
        except AwsError as error:
            # A deployer may not read operator data, and deploys without it.
            level = WARN if before_deploy and error.code in DENIED else FAIL
            yield Finding(name, level, str(error), "fix the permission or the network, and repeat")
