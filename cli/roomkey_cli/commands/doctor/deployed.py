"""Checks of what is deployed: stack, function and health."""

import os
from collections.abc import Iterator

from roomkey import __version__, limits
from roomkey.settings import Settings, SettingsError
from roomkey_cli.aws import endpoint, stacks
from roomkey_cli.commands.doctor.examination import Examination, Finding
from roomkey_cli.environment import ALIAS, Environment
from roomkey_cli.terminal import FAIL, OK, WARN

MIN_TIMEOUT = 5
"""Seconds. The function's own deadline is 3; Lambda must not stop it earlier."""


def stack(examination: Examination) -> Iterator[Finding]:
    name, stack = examination.environment.stack_name, examination.stack
    events = f"aws cloudformation describe-stack-events --stack-name {name}"
    if stack is None and examination.environment.is_local_stack:
        yield Finding("stack", OK, "this is the local stack, which runs without a deploy")
    elif stack is None:
        yield Finding("stack", WARN, f"{name} is not deployed", f"make deploy ENV={examination.environment}")
        yield from _left_behind(examination)
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Finding("stack", WARN, f"{name}: {stack.status}", "wait until the deploy has finished, and repeat")
    elif stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
        reason = next(iter(stacks.failure_reasons(examination.aws, examination.environment)), events)
        message = f"{name}: {stack.status}: the first deploy failed, and no deploy can follow ({reason})"
        delete = stacks.delete_command(examination.aws, examination.environment)
        yield Finding("stack", FAIL, message, f"fix the reason, run {delete}, and deploy again")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield Finding("stack", WARN, f"{name}: the last deploy was rolled back", events)
    elif stack.status.endswith("FAILED") or "ROLLBACK" in stack.status:
        yield Finding("stack", FAIL, f"{name}: {stack.status}", events)
    else:
        yield Finding("stack", OK, f"{name}: {stack.status}")


def _left_behind(examination: Examination) -> Iterator[Finding]:
    for group in stacks.log_groups(examination.aws, examination.environment):
        fix = "a first deploy fails while it exists: import it or delete it (docs/deploy.md)"
        yield Finding("stack", WARN, f"the log group {group} is left from an earlier stack", fix)


def function(examination: Examination) -> Iterator[Finding]:
    function, name = examination.function, examination.environment.function_name
    if function is None:
        if examination.stack:
            yield Finding("function", FAIL, f"function {name} is missing", "deploy again")
        return
    flaws = list(_flaws(function, examination.environment))
    yield from flaws
    if not flaws:
        yield Finding("function", OK, f"{name}: version {function.version}, {function.runtime}")


def _flaws(function: stacks.Function, environment: Environment) -> Iterator[Finding]:
    if function.version is None:
        yield Finding("function", FAIL, f"it has no alias {ALIAS}, which the API invokes", "deploy again")
    if function.reserved == 0:
        yield Finding("function", FAIL, "it is stopped (reserved concurrency 0)", f"roomkey env start {environment}")
    if function.timeout < MIN_TIMEOUT:
        message = f"its timeout is {function.timeout} s, and must be at least {MIN_TIMEOUT} s"
        yield Finding("function", FAIL, message, "deploy again: the template has a longer one")
    variables = function.variables
    if variables.get("ENVIRONMENT") != environment.name:
        message = f"its ENVIRONMENT is {variables.get('ENVIRONMENT')!r}: it reads another environment's parameters"
        yield Finding("function", FAIL, message, f"deploy with Environment={environment}")
    if variables.get("AWS_ENDPOINT_URL") and not os.environ.get("AWS_ENDPOINT_URL"):
        yield Finding("function", FAIL, "its AWS_ENDPOINT_URL points away from AWS", "deploy again: it must be empty")
    try:
        Settings.from_environment(variables)
    except SettingsError as error:
        yield Finding("function", FAIL, f"invalid environment variables: {error}", "deploy again with valid parameters")


def health(examination: Examination) -> Iterator[Finding]:
    if not examination.url:
        return
    try:
        response = endpoint.send("GET", f"{examination.url}/v1/health", {})
    except endpoint.ConnectionFailed as error:
        yield Finding("health", FAIL, f"{examination.url} does not respond: {error}", "check the URL")
        return
    minting, version = response.body.get("minting"), response.body.get("version")
    if response.status != 200 or not isinstance(minting, str):
        message = f"{examination.url}/v1/health returned {response.summary}"
        yield Finding("health", FAIL, message, "read the function's log")
        return
    if version != __version__:
        fix = "use the deployed release of this command, or deploy this one"
        yield Finding("health", WARN, f"it runs version {version}, this command is {__version__}", fix)
    found = examination.snapshot.kill_switch
    switch = found.kill_switch if found else None
    expected = switch.minting(platform.name for platform in response.platforms) if switch else "unknown"
    if minting == expected:
        yield Finding("health", OK, f"{examination.url} responds: minting {minting}")
    elif minting == "unknown":
        yield Finding("health", FAIL, "minting unknown: it cannot read the kill switch", "read the function's log")
    else:
        fix = f"wait {limits.OPERATOR_CONFIG_BOUND_SECONDS} s after a change; if it stays, check --region and --url"
        yield Finding("health", WARN, f"minting {minting}, and the kill switch is {expected}", fix)
