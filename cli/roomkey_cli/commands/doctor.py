"""`roomkey doctor`: check everything that a deploy and a running environment need, with the fix for each finding."""

import os
import platform as machine
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from roomkey import __version__, limits
from roomkey.platforms import PLATFORMS
from roomkey.settings import Access, Settings, SettingsError
from roomkey_cli import config_file, issuer_check
from roomkey_cli.aws import block_list, endpoint, kill_switch, kms, parameters, secret_store, stacks
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.options import EnvironmentArgument, Url
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import ALIAS, Environment
from roomkey_cli.policy import lint
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, WARN, say, say_json
from roomkey_cli.tokens import verify_secret

MAX_USUAL_SKEW_SECONDS = 30
"""A clock that is synchronized differs by less."""

MAX_SIGNATURE_SKEW_SECONDS = 300
"""AWS rejects signatures with a greater difference."""

MIN_TIMEOUT = 5
"""Seconds. The function's own deadline is 3; Lambda must not stop it earlier."""

SAM = Path(".tools") / "sam" / "bin" / "sam"
MIN_SAM = (1, 152)
"""The first release of the SAM CLI that reads `--parameter-overrides file://`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's result: `ok`, `warn` or `fail`, the message, and the fix."""

    check: str
    level: str
    message: str
    fix: str = ""


class Examination:
    """An environment, each part read once when a check first needs it.

    With `before_deploy`, the environment is the one that the next deploy of config/ENV.yaml creates.
    """

    def __init__(
        self, environment: Environment, aws: Aws, url: str | None = None, *, before_deploy: bool = False
    ) -> None:
        self.environment = environment
        self.aws = aws
        self.before_deploy = before_deploy
        self._url = url

    @cached_property
    def snapshot(self) -> parameters.EnvironmentSnapshot:
        return parameters.read(self.aws, self.environment)

    @cached_property
    def stack(self) -> stacks.Stack | None:
        return stacks.find_stack(self.aws, self.environment)

    @cached_property
    def function(self) -> stacks.Function | None:
        return stacks.find_function(self.aws, self.environment)

    @cached_property
    def config(self) -> dict[str, str] | None:
        """Return the stack parameters in config/ENV.yaml, None without a valid file."""
        try:
            return config_file.read(self.environment)
        except config_file.InvalidConfig:
            return None

    @property
    def url(self) -> str:
        return (self._url or (self.stack.url if self.stack else "")).rstrip("/")

    @property
    def access(self) -> Access | None:
        """Return the AppTokenAccess of the file in config/, else of the stack, None if neither is known."""
        try:
            if self.config is not None:
                return config_file.access(self.config)
            return config_file.access(self.stack.parameters) if self.stack else None
        except ValueError:
            return None

    @property
    def served(self) -> tuple[str, ...]:
        """Return the platforms of the deployed function or of the file in config/, empty if neither names any."""
        deployed = self.function.variables.get("PLATFORMS", "") if self.function else ""
        configured = (self.config or {}).get("Platforms", "")
        listed = (configured or deployed) if self.before_deploy else (deployed or configured)
        return tuple(listed.split(",")) if listed else ()


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
        say_json({**summary, "findings": [asdict(finding) for finding in findings]})
    else:
        say(f"{count[OK]} ok, {count[WARN]} {'warning' if count[WARN] == 1 else 'warnings'}, {count[FAIL]} failed")
    if count[FAIL]:
        raise typer.Exit(REFUSED)


def show(finding: Finding) -> None:
    """Print a finding and its fix."""
    say(f"{finding.check:<12} {finding.message}", mark=f"{finding.level:<5} ", style=STYLES[finding.level])
    if finding.fix:
        say(finding.fix, mark=f"{'':<19}-> ", style="bold")


def examine(examination: Examination) -> Iterator[Finding]:
    """Yield the findings of all checks, or only of those before a deploy."""
    before_deploy = examination.before_deploy
    yield from _tools(examination)
    yield from _config(examination)
    try:
        yield from _caller(examination)
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


# --- this machine ----------------------------------------------------------------------------------------------------


def _tools(_: Examination) -> Iterator[Finding]:
    import boto3

    yield Finding("roomkey", OK, f"{__version__}, Python {machine.python_version()}, boto3 {boto3.__version__}")
    if sys.version_info[:2] != (3, 13) and not shutil.which("python3.13"):
        yield Finding("python", WARN, "python3.13 is not installed", "make build needs it, as Lambda runs 3.13")
    sam = str(SAM) if SAM.exists() else shutil.which("sam")
    version = _output([sam, "--version"]) if sam else ""
    if not version:
        yield Finding("sam", WARN, "the SAM CLI is not installed", "make build installs it; deploys need it")
    elif _sam_version(version) < MIN_SAM:
        needed = ".".join(map(str, MIN_SAM))
        yield Finding("sam", FAIL, f"{version} is too old", f"install {needed} or newer, or let make build install it")
    else:
        yield Finding("sam", OK, version)


def _sam_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.rsplit(" ", 1)[-1].split(".")[:2] if part.isdecimal())


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _config(examination: Examination) -> Iterator[Finding]:
    environment = examination.environment
    file = config_file.path(environment)
    try:
        values = config_file.read(environment)
    except config_file.InvalidConfig as error:
        yield Finding("config", FAIL, str(error), f"roomkey up {environment} writes it")
        return
    if values is None:
        fix = f"deploys need it: roomkey up {environment} writes it (run commands in the repository)"
        yield Finding("config", FAIL if examination.before_deploy else WARN, f"there is no {file} here", fix)
        return
    problems = config_file.problems(environment, values)
    for problem in problems:
        yield Finding("config", FAIL, f"{file}: {problem}", f"edit {file}")
    if problems:
        return
    yield Finding("config", OK, f"{file}: app tokens with {config_file.access(values)}")
    if config_file.access(values) is Access.JWT:
        yield from _issuer(values["JwtIssuer"], file)


def _issuer(issuer: str, file: Path) -> Iterator[Finding]:
    problems = issuer_check.problems(issuer)
    for problem in problems:
        yield Finding("issuer", FAIL, problem, f"edit JwtIssuer in {file}, or repair the issuer")
    if not problems:
        yield Finding("issuer", OK, f"{issuer}: discovery document and RSA keys")


def _caller(examination: Examination) -> Iterator[Finding]:
    response = examination.aws.call("sts", "get_caller_identity")
    yield Finding("credentials", OK, f"{response['Arn']}, region {examination.aws.region}")
    yield from _clock(response["ResponseMetadata"]["HTTPHeaders"], time.time())


def _clock(headers: Mapping[str, str], now: float) -> Iterator[Finding]:
    try:
        skew = now - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return
    message = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's"
    if abs(skew) > MAX_USUAL_SKEW_SECONDS:
        level = FAIL if abs(skew) > MAX_SIGNATURE_SKEW_SECONDS else WARN
        yield Finding("clock", level, message, "set this machine's clock: signatures and tokens contain its time")
    else:
        yield Finding("clock", OK, message)


# --- parameters and secrets ------------------------------------------------------------------------------------------


def _kill_switch(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.kill_switch, examination.environment
    init = f"roomkey env init {environment}"
    if found is None:
        yield Finding("kill switch", FAIL, f"{environment.kill_switch_name} does not exist", init)
    elif found.type != "String":
        fix = f"delete it and run {init}: its type must be String"
        yield Finding("kill switch", FAIL, f"{found.name} is a {found.type}", fix)
    elif found.kill_switch is None:
        fix = f"roomkey env disable {environment}, or enable"
        yield Finding("kill switch", FAIL, f"{found.name} does not contain a valid kill switch", fix)
    else:
        yield Finding("kill switch", OK, f"minting is {kill_switch.state_words(found.kill_switch)}")


def _policy(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.policy, examination.environment
    fix = f"roomkey policy put {environment} FILE"
    if found is None:
        yield Finding("policy", FAIL, f"{environment.policy_name} does not exist", f"roomkey env init {environment}")
        return
    if found.type != "String":
        yield Finding("policy", FAIL, f"{found.name} is a {found.type}", f"delete it: its type must be String: {fix}")
        return
    read = lint.parse(found.text.encode())
    if read.policy:
        yield Finding("policy", OK, lint.summary(read.policy))
        access = examination.access
        if access and read.policy.rules and not lint.grants_app_tokens(read.policy, access):
            message = f"grants no app token to any caller, since AppTokenAccess is {access}"
            yield Finding("policy", FAIL, message, f"name {' or '.join(lint.SUBJECTS[access])} in who: {fix}")
    for problem in read.problems:
        yield Finding("policy", FAIL, str(problem), fix)
    for warning in read.warnings:
        yield Finding("policy", WARN, str(warning), fix)


def _block_list(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.block_list, examination.environment
    if found is None:
        message = f"{environment.block_list_name} does not exist"
        yield Finding("block list", FAIL, message, f"roomkey env init {environment}")
    elif not block_list.is_valid(found.text):
        yield Finding("block list", FAIL, f"{found.name} is invalid", f"roomkey unblock {environment} --all")
    else:
        yield Finding("block list", OK, block_list.summary(block_list.parse(found.text)))


def _secrets(examination: Examination) -> Iterator[Finding]:
    stored = 0
    for platform in PLATFORMS:
        secret = secret_store.find(examination.aws, examination.environment, platform)
        stored += secret is not None
        yield from _secret(examination, platform, secret)
    if not stored and not examination.served:
        fix = f"roomkey secret put {examination.environment} PLATFORM, for each platform that is served"
        yield Finding("secrets", WARN, "no secret is stored", fix)


def _secret(examination: Examination, platform: str, secret: SecretMetadata | None) -> Iterator[Finding]:
    name = examination.environment.secret_name(platform)
    fix = f"roomkey secret put {examination.environment} {platform}"
    if secret is None:
        if platform in examination.served:
            yield Finding("secrets", FAIL, f"{platform} is served, and {name} does not exist", fix)
        return
    if secret.deleted:
        level = FAIL if platform in examination.served else WARN
        yield Finding("secrets", level, f"{name} is marked for deletion", fix)
        return
    yield from _secret_key(examination, name, secret)
    try:
        problems = verify_secret.examined(examination.aws, examination.environment, PLATFORMS[platform])["problems"]
    except AwsError as error:
        if error.code not in DENIED:
            raise
        fix = f"ask someone with access to run roomkey secret check {examination.environment}"
        yield Finding("secrets", WARN, f"{name} is stored; you are not allowed to read it", fix)
        return
    for problem in problems:
        yield Finding("secrets", FAIL, f"{name}: {problem}", fix)
    if not problems:
        yield Finding("secrets", OK, f"{name}: a token of each kind minted and verified")


def _secret_key(examination: Examination, name: str, secret: SecretMetadata) -> Iterator[Finding]:
    if examination.stack is None:
        return
    key = examination.stack.parameters.get("KmsKeyArn", "")
    if kms.same_key(examination.aws, secret.kms_key, None) or (
        key and kms.same_key(examination.aws, secret.kms_key, key)
    ):
        return
    message = f"{name} is encrypted with {secret.kms_key}, which the function must not use"
    yield Finding("secrets", FAIL, message, "deploy with that key as KmsKeyArn, or encrypt it with AWS's own")


# --- deployed resources ----------------------------------------------------------------------------------------------


def _stack(examination: Examination) -> Iterator[Finding]:
    name, stack = examination.environment.stack_name, examination.stack
    events = f"aws cloudformation describe-stack-events --stack-name {name}"
    if stack is None:
        yield Finding("stack", WARN, f"{name} is not deployed", f"make deploy ENV={examination.environment}")
        yield from _left_behind(examination)
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Finding("stack", WARN, f"{name}: {stack.status}", "wait until the deploy has finished, and repeat")
    elif stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
        reason = next(iter(stacks.failure_reasons(examination.aws, examination.environment)), events)
        message = f"{name}: {stack.status}: the first deploy failed, and no deploy can follow ({reason})"
        yield Finding("stack", FAIL, message, f"fix the reason, run sam delete --stack-name {name}, and deploy again")
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


def _function(examination: Examination) -> Iterator[Finding]:
    function, name = examination.function, examination.environment.function_name
    if function is None:
        if examination.stack:
            yield Finding("function", FAIL, f"there is no function {name}", "deploy again")
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


def _health(examination: Examination) -> Iterator[Finding]:
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


_CHECKS: Mapping[str, Callable[[Examination], Iterator[Finding]]] = {
    "kill switch": _kill_switch,
    "policy": _policy,
    "block list": _block_list,
    "secrets": _secrets,
    "stack": _stack,
    "function": _function,
    "health": _health,
}

_BEFORE_DEPLOY = {name: _CHECKS[name] for name in ("kill switch", "policy", "block list", "secrets", "stack")}
