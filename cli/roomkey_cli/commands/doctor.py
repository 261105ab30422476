"""`roomkey doctor`: everything that a deploy and a running environment need, each finding with its cure."""

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

import typer

from roomkey import __version__
from roomkey.platforms import PLATFORMS
from roomkey.settings import Settings, SettingsError
from roomkey_cli.aws import endpoint, kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.options import AsJson, EnvironmentArgument, Profile, Region, Url
from roomkey_cli.environment import ALIAS, Environment
from roomkey_cli.policy import lint
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, WARN, say, say_json
from roomkey_cli.tokens import verify_secret

SOME_SKEW = 30
"""Seconds: so much is a clock that nobody sets."""

LEAST_TIMEOUT = 5
"""Seconds. The function gives up by itself after 3; Lambda must not be quicker."""

_SAM = Path(__file__).parents[3] / ".tools" / "sam" / "bin" / "sam"
_AWS_OWN_KEY = "alias/aws/secretsmanager"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `ok`, `warn` or `fail`, what was found, and what to do about it."""

    check: str
    level: str
    says: str
    cure: str = ""


class _Patient:
    """An environment, looked at once, whichever finding asks first."""

    def __init__(self, environment: Environment, aws: Aws, url: str | None) -> None:
        self.environment = environment
        self.aws = aws
        self._url = url

    @cached_property
    def state(self) -> parameters.EnvironmentSnapshot:
        return parameters.read(self.aws, self.environment)

    @cached_property
    def stack(self) -> stacks.Stack | None:
        return stacks.stack(self.aws, self.environment)

    @cached_property
    def function(self) -> stacks.Function | None:
        return stacks.function(self.aws, self.environment)

    @property
    def url(self) -> str:
        return (self._url or (self.stack.url if self.stack else "")).rstrip("/")

    @property
    def served(self) -> tuple[str, ...]:
        """The platforms of the stack, none where there is no function that says so."""
        listed = self.function.variables.get("PLATFORMS", "") if self.function else ""
        return tuple(listed.split(",")) if listed else ()


def doctor(
    environment: EnvironmentArgument,
    url: Url = None,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Look at everything that a deploy and a running environment need, and say what to do about each finding.

    This machine's tools, your AWS credentials and clock, flag, policy, secrets, stack, function and health. Changes
    nothing. Exit status 1 if something is wrong; what is only to be known of (warn) is not.

    Example: roomkey doctor prod
    """
    findings = []
    for finding in _findings(_Patient(environment, Aws(profile, region), url)):
        findings.append(finding)
        if not as_json:
            _show(finding)
    count = {level: sum(one.level == level for one in findings) for level in (OK, WARN, FAIL)}
    if as_json:
        facts = {"environment": environment.name, "good": not count[FAIL], **count}
        say_json({**facts, "findings": [asdict(one) for one in findings]})
    else:
        say(f"{count[OK]} ok, {count[WARN]} to know of, {count[FAIL]} wrong")
    if count[FAIL]:
        raise typer.Exit(REFUSED)


def _show(finding: Finding) -> None:
    say(f"{finding.check:<12} {finding.says}", mark=f"{finding.level:<5} ", style=STYLES[finding.level])
    if finding.cure:
        say(finding.cure, mark=f"{'':<19}-> ", style="bold")


def _findings(patient: _Patient) -> Iterator[Finding]:
    yield from _tools(patient)
    try:
        yield from _caller(patient)
    except AwsError as error:
        yield Finding("credentials", FAIL, str(error), "without AWS, nothing else can be looked at")
        return
    for check, look in _CHECKS.items():
        try:
            yield from look(patient)
        except AwsError as error:
            yield Finding(check, FAIL, str(error), "see to the permission or the network, and look again")


# --- this machine ----------------------------------------------------------------------------------------------------


def _tools(_: _Patient) -> Iterator[Finding]:
    import boto3

    yield Finding("roomkey", OK, f"{__version__}, Python {machine.python_version()}, boto3 {boto3.__version__}")
    if sys.version_info[:2] != (3, 13) and not shutil.which("python3.13"):
        yield Finding("python", WARN, "there is no python3.13 here", "make build needs it: it is the Lambda's own")
    sam = str(_SAM) if _SAM.exists() else shutil.which("sam")
    said = _output([sam, "--version"]) if sam else ""
    if said:
        yield Finding("sam", OK, said)
    else:
        yield Finding("sam", WARN, "the SAM CLI is not here", "make build installs it; deploys need it")


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _caller(patient: _Patient) -> Iterator[Finding]:
    answer = patient.aws.call("sts", "get_caller_identity")
    yield Finding("credentials", OK, f"{answer['Arn']}, region {patient.aws.region}")
    yield from _clock(answer["ResponseMetadata"]["HTTPHeaders"], time.time())


def _clock(headers: Mapping[str, str], now: float) -> Iterator[Finding]:
    from roomkey_cli.aws import propagation

    try:
        skew = now - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return
    says = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's"
    if abs(skew) > SOME_SKEW:
        level = FAIL if abs(skew) > propagation.SIGNATURE_SKEW_SECONDS else WARN
        yield Finding("clock", level, says, "set this machine's clock: signatures and tokens carry its time")
    else:
        yield Finding("clock", OK, says)


# --- state -----------------------------------------------------------------------------------------------------------


def _flag(patient: _Patient) -> Iterator[Finding]:
    found, name = patient.state.flag, patient.environment
    if found is None:
        yield Finding("flag", FAIL, f"{name.kill_switch_name} does not exist", f"roomkey env init {name}")
    elif found.type != "String":
        cure = f"delete it; it takes the type String: roomkey env init {name}"
        yield Finding("flag", FAIL, f"{found.name} is a {found.type}", cure)
    elif found.flag is None:
        yield Finding("flag", FAIL, f"{found.name} holds no disable flag", f"roomkey env disable {name}, or enable")
    else:
        yield Finding("flag", OK, f"{found.text} (off: {kill_switch.off(found.flag)})")


def _policy(patient: _Patient) -> Iterator[Finding]:
    found, name = patient.state.policy, patient.environment
    cure = f"roomkey policy put {name} FILE"
    if found is None:
        yield Finding("policy", FAIL, f"{name.policy_name} does not exist", f"roomkey env init {name}")
    elif found.type != "String":
        yield Finding("policy", FAIL, f"{found.name} is a {found.type}", f"delete it; it takes the type String: {cure}")
    else:
        read = lint.parse(found.text.encode())
        if read.policy:
            yield Finding("policy", OK, lint.in_short(read.policy))
        for problem in read.problems:
            yield Finding("policy", FAIL, str(problem), cure)
        for warning in read.warnings:
            yield Finding("policy", WARN, str(warning), cure)


def _secrets(patient: _Patient) -> Iterator[Finding]:
    stored = 0
    for platform in PLATFORMS.values():
        there = secret_store.find(patient.aws, patient.environment, platform.name)
        stored += there is not None
        yield from _secret(patient, platform.name, there)
    if not stored and not patient.served:
        cure = f"roomkey secret put {patient.environment} PLATFORM, for each that will be served"
        yield Finding("secrets", WARN, "none is stored", cure)


def _secret(patient: _Patient, platform: str, there: SecretMetadata | None) -> Iterator[Finding]:
    name = patient.environment.secret_name(platform)
    cure = f"roomkey secret put {patient.environment} {platform}"
    if there is None:
        if platform in patient.served:
            yield Finding("secrets", FAIL, f"{platform} is served, and {name} does not exist", cure)
        return
    if there.deleted:
        level = FAIL if platform in patient.served else WARN
        yield Finding("secrets", level, f"{name} is marked for deletion", cure)
        return
    key = patient.stack.parameters.get("KmsKeyArn", "") if patient.stack else ""
    if there.kms_key not in (None, _AWS_OWN_KEY, key) and patient.stack:
        says = f"{name} is encrypted with {there.kms_key}, which the function may not use"
        yield Finding("secrets", FAIL, says, "deploy with that key as KmsKeyArn, or encrypt it with AWS's own")
    try:
        problems = verify_secret.examined(patient.aws, patient.environment, PLATFORMS[platform])["problems"]
    except AwsError as error:
        if error.code not in DENIED:
            raise
        cure = f"somebody who may: roomkey secret check {patient.environment}"
        yield Finding("secrets", WARN, f"{name} is stored, and not yours to read", cure)
        return
    for problem in problems:
        yield Finding("secrets", FAIL, f"{name}: {problem}", cure)
    if not problems:
        yield Finding("secrets", OK, f"{name}: a token of each kind minted and verified")


# --- what is deployed ------------------------------------------------------------------------------------------------


def _stack(patient: _Patient) -> Iterator[Finding]:
    name, stack = patient.environment.stack_name, patient.stack
    events = f"aws cloudformation describe-stack-events --stack-name {name}"
    if stack is None:
        yield Finding("stack", WARN, f"{name} is not deployed", f"make deploy ENV={patient.environment}")
        yield from _left_behind(patient)
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Finding("stack", WARN, f"{name}: {stack.status}", "wait until the deploy is over, and look again")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield Finding("stack", WARN, f"{name}: the last deploy was rolled back", events)
    elif stack.status.endswith("FAILED") or "ROLLBACK" in stack.status:
        yield Finding("stack", FAIL, f"{name}: {stack.status}", events)
    else:
        yield Finding("stack", OK, f"{name}: {stack.status}")


def _left_behind(patient: _Patient) -> Iterator[Finding]:
    for group in stacks.log_groups(patient.aws, patient.environment):
        cure = "a first deploy fails while it is there: import it or delete it (docs/deploy.md)"
        yield Finding("stack", WARN, f"the log group {group} is left from an earlier stack", cure)


def _function(patient: _Patient) -> Iterator[Finding]:
    function, name = patient.function, patient.environment.function_name
    if function is None:
        if patient.stack:
            yield Finding("function", FAIL, f"there is no function {name}", "deploy again")
        return
    flaws = list(_flaws(function, patient.environment))
    yield from flaws
    if not flaws:
        yield Finding("function", OK, f"{name}: version {function.version}, {function.runtime}")


def _flaws(function: stacks.Function, environment: Environment) -> Iterator[Finding]:
    if function.version is None:
        yield Finding("function", FAIL, f"it has no alias {ALIAS}, which the API calls", "deploy again")
    if function.reserved == 0:
        yield Finding("function", FAIL, "it is stopped (reserved concurrency 0)", f"roomkey env start {environment}")
    if function.timeout < LEAST_TIMEOUT:
        says = f"its timeout is {function.timeout} s, less than the {LEAST_TIMEOUT} s that an answer may take"
        yield Finding("function", FAIL, says, "deploy again: the template says more")
    variables = function.variables
    if variables.get("ENVIRONMENT") != environment.name:
        says = f"its ENVIRONMENT is {variables.get('ENVIRONMENT')!r}: it reads another environment's state"
        yield Finding("function", FAIL, says, f"deploy with Environment={environment}")
    if variables.get("AWS_ENDPOINT_URL"):
        yield Finding("function", FAIL, "its AWS_ENDPOINT_URL leads away from AWS", "deploy again: it belongs empty")
    try:
        Settings.from_environment(variables)
    except SettingsError as error:
        yield Finding("function", FAIL, f"its variables make no sense: {error}", "deploy again with parameters that do")


def _health(patient: _Patient) -> Iterator[Finding]:
    from roomkey_cli.aws import propagation

    if not patient.url:
        return
    try:
        answer = endpoint.ask("GET", f"{patient.url}/v1/health", {})
    except endpoint.ConnectionFailed as error:
        yield Finding("health", FAIL, f"{patient.url} does not answer: {error}", "is this the right address?")
        return
    minting, version = answer.body.get("minting"), answer.body.get("version")
    if answer.status != 200 or not isinstance(minting, str):
        says = f"{patient.url}/v1/health answers {answer.in_words}"
        yield Finding("health", FAIL, says, "look at the function's log: docs/operations.md, Log lines")
        return
    if version != __version__:
        cure = "use the release that is deployed, or deploy this one"
        yield Finding("health", WARN, f"it runs version {version}, this command is {__version__}", cure)
    flag = patient.state.flag.flag if patient.state.flag else None
    expected = flag.minting(platform.name for platform in answer.platforms) if flag else "unknown"
    if minting == expected:
        yield Finding("health", OK, f"{patient.url} answers: minting {minting}")
    elif minting == "unknown":
        yield Finding("health", FAIL, "minting unknown: it cannot read the flag", "look at the function's log")
    else:
        cure = (
            f"wait {propagation.STATE_SECONDS} s after a change; after that, see whether --region and --url are this "
            "environment's"
        )
        yield Finding("health", WARN, f"minting {minting}, while the flag says {expected}", cure)


_CHECKS: Mapping[str, Callable[[_Patient], Iterator[Finding]]] = {
    "flag": _flag,
    "policy": _policy,
    "secrets": _secrets,
    "stack": _stack,
    "function": _function,
    "health": _health,
}
