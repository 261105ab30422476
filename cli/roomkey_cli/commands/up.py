"""`roomkey up`: deploy an environment step by step, from the configuration to a first token."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from roomkey.identity import normalised_principal
from roomkey.kill_switch import KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import Access
from roomkey_cli import config_file, credential_file, issuer_check
from roomkey_cli.aws import kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.endpoint import is_url
from roomkey_cli.commands import doctor, files, probe
from roomkey_cli.commands.changes import Change, apply
from roomkey_cli.commands.env import disable, init
from roomkey_cli.commands.options import CredentialsFile, EnvironmentArgument, PlatformName, did_you_mean, url
from roomkey_cli.commands.secret.put import prompt
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import Environment
from roomkey_cli.policy import starter
from roomkey_cli.terminal import (
    FAIL,
    OK,
    REFUSED,
    STYLES,
    SWITCHED_OFF,
    USAGE,
    CommandError,
    fail,
    note,
    print_json,
    print_line,
)
from roomkey_cli.tokens import curl, verify_secret
from roomkey_cli.tokens.minimal_request import minimal_request


@dataclass
class _Run:
    """The options and the state of one run of the command."""

    environment: Environment
    aws: Aws
    yes: bool
    as_json: bool
    values: dict[str, str]
    account: str = ""
    principal: str = ""

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and not self.yes

    @property
    def options(self) -> ApplyOptions:
        return ApplyOptions(yes=self.yes)

    @property
    def access(self) -> Access:
        return config_file.access(self.values)

    @property
    def platforms(self) -> list[str]:
        return self.values["Platforms"].split(",")


def up(
    environment: EnvironmentArgument,
    session: Session,
    access: Annotated[
        Access | None,
        typer.Option(metavar="MODE", help="Who may request app tokens: jwt, iam or open.", show_default=False),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", parser=url, help="With jwt: the issuer of your access tokens.", show_default=False),
    ] = None,
    audience: Annotated[
        str | None, typer.Option(metavar="NAME", help="With jwt: your access tokens' audience.", show_default=False)
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Web origin whose pages may call; repeatable.", show_default=False),
    ] = None,
    platform: Annotated[
        list[PlatformName] | None,
        typer.Option(metavar="PLATFORM", help="A platform to serve; repeatable.", show_default=False),
    ] = None,
    credentials: CredentialsFile = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The policy. Default: a starter policy.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: use options, config/ and defaults.")] = False,
    skip_deploy: Annotated[bool, typer.Option("--skip-deploy", help="Prepare everything, and do not deploy.")] = False,
) -> None:
    """Deploy an environment step by step, or continue where an earlier run stopped.

    Asks for the access mode, issuer, audience, origins and platforms, and writes config/ENV.yaml. Creates kill switch,
    policy and block list. Asks for each platform's credentials, and verifies them. Suggests a first policy. Runs
    roomkey doctor. Builds, shows the change set and deploys, with make deploy. Turns minting on, unless an operator
    turned it off, waits until that is in effect everywhere, runs roomkey probe, and prints the URL with a curl command.
    Run it in the repository. It can be repeated.

    Example: roomkey up staging

    Example: roomkey up dev --access open --platform 100ms --credentials keys.json --yes
    """
    if not config_file.TEMPLATE.is_file() or not Path("Makefile").is_file():
        fail("run this command in Roomkey's repository: it needs template.yaml and Makefile", USAGE)
    try:
        existing = config_file.read(environment) or {}
    except config_file.InvalidConfig as error:
        fail(str(error), USAGE)
    run = _Run(environment, session.aws, yes, session.as_json, dict(existing))
    given = {
        "AppTokenAccess": access.value if access else None,
        "JwtIssuer": issuer,
        "JwtAudience": audience,
        "AllowedOrigins": ",".join(origin) if origin else None,
        "Platforms": ",".join(str(name) for name in platform) if platform else None,
    }
    _configure(run, {name: value for name, value in given.items() if value is not None}, existing)
    _sign_in(run)
    _apply(run, init.missing(run.aws, environment))
    _store_secrets(run, files.secrets(credentials) if credentials else {})
    _store_policy(run, policy)
    _run_doctor(run)
    if skip_deploy:
        note("Everything is ready for make deploy.")
        return
    _deploy(run)
    _enable_and_probe(run)


# --- configuration ---------------------------------------------------------------------------------------------------


def _configure(run: _Run, given: Mapping[str, str], existing: Mapping[str, str]) -> None:
    """Complete the stack parameters with options and answers, and write the file."""
    values = run.values
    values.update({"Environment": run.environment.name, **given})
    _ask(run, "AppTokenAccess", "Who may request app tokens: jwt, iam or open", given, _access, default="jwt")
    if run.access is Access.JWT:
        _ask(run, "JwtIssuer", "The issuer of your access tokens (https://...)", given, _issuer)
        _ask(run, "JwtAudience", "The audience of your access tokens", given, str.strip)
    _ask(run, "AllowedOrigins", "Web origins that may call (empty: none)", given, partial(_origins, run), default="")
    _ask(run, "Platforms", f"Platforms to serve ({', '.join(PLATFORMS)})", given, _platforms)
    for problem in config_file.problems(run.environment, values):
        fail(f"{config_file.path(run.environment)}: {problem}", USAGE)
    if values != existing:
        file = config_file.write(run.environment, values)
        note(f"Wrote {file}.")


def _ask(
    run: _Run,
    name: str,
    question: str,
    given: Mapping[str, str],
    checked: Callable[[str], str],
    default: str | None = None,
) -> None:
    """Set a stack parameter: from an option, by asking until the answer is valid, else from the file or the default.

    `checked` returns the value as it is stored. Raises `CommandError` if it is invalid and no question can be asked.
    """
    current = run.values.get(name) or default
    ask = run.interactive and name not in given
    if current is None and not ask:
        option = {"JwtIssuer": "--issuer", "JwtAudience": "--audience", "Platforms": "--platform"}[name]
        fail(f"{name} is unknown: use {option}", USAGE)
    while True:
        try:
            run.values[name] = checked(str(typer.prompt(question, default=current, err=True) if ask else current))
        except CommandError as error:
            if not ask:
                raise
            note(str(error))
        else:
            return


def _access(text: str) -> str:
    if text.strip() not in list(Access):
        fail(f"AppTokenAccess must be jwt, iam or open, not {text!r}", USAGE)
    return text.strip()


def _issuer(text: str) -> str:
    issuer = text.strip()
    if not (is_url(issuer) and issuer.startswith("https://")):
        fail(f"JwtIssuer must be an https:// URL, not {issuer!r}", USAGE)
    note(f"Checking {issuer} ...")
    for problem in issuer_check.problems(issuer):
        fail(f"JwtIssuer: {problem}", REFUSED)
    return issuer


def _origins(run: _Run, text: str) -> str:
    origins = ",".join(_words(text))
    for problem in config_file.problems(run.environment, {**run.values, "AllowedOrigins": origins}):
        if problem.startswith("AllowedOrigins"):
            fail(problem, USAGE)
    return origins


def _platforms(text: str) -> str:
    names = _words(text)
    for name in names:
        if name not in PLATFORMS:
            fail(f"Platforms: {name!r} is unknown.{did_you_mean(name, PLATFORMS)}", USAGE)
    return ",".join(dict.fromkeys(names))


def _words(text: str) -> list[str]:
    """Split at commas and spaces."""
    return text.replace(",", " ").split()


def _sign_in(run: _Run) -> None:
    caller = run.aws.call("sts", "get_caller_identity")
    run.account, run.principal = caller["Account"], normalised_principal(caller["Arn"])
    note(f"Account {run.account}, region {run.aws.region}, as {caller['Arn']}.")


def _apply(run: _Run, changes: list[Change]) -> None:
    for change in apply(run.environment, changes, run.options).changes:
        _print_line(run, change.description, mark="done: ", style=STYLES[OK])


def _print_line(run: _Run, text: str, **style: str) -> None:
    """Print a line on standard output or, with `--json`, on standard error."""
    if run.as_json:
        note(text)
    else:
        print_line(text, **style)


# --- secrets and policy ----------------------------------------------------------------------------------------------


def _store_secrets(run: _Run, secrets: credential_file.Secrets) -> None:
    """Store the credentials of each platform that has none, and verify all."""
    for name in run.platforms:
        secret_name = run.environment.secret_name(name)
        stored = secret_store.find(run.aws, run.environment, name)
        if stored and stored.deleted:
            fail(f"{secret_name} is marked for deletion: roomkey secret put {run.environment} {name}", REFUSED)
        if stored and name not in secrets:
            continue
        if name not in secrets and not run.interactive:
            alternative = f"roomkey secret put {run.environment} {name}"
            fail(f"no credentials for {name}: use --credentials, or {alternative}", REFUSED)
        secret = secrets[name] if name in secrets else prompt(PLATFORMS[name])
        text = credential_file.as_text(secret)
        if problems := verify_secret.problems_of(text, PLATFORMS[name]):
            fail("\n  ".join([f"the credentials for {name} cannot sign a valid token:", *problems]), REFUSED)
        current = secret_store.read(run.aws, run.environment, name) if stored else None
        if current and json.loads(current.text) == json.loads(text):
            continue
        operation, key = ("put_secret_value", "SecretId") if stored else ("create_secret", "Name")
        encryption = {"KmsKeyId": run.values["KmsKeyArn"]} if not stored and run.values.get("KmsKeyArn") else {}
        call = partial(run.aws.call, "secretsmanager", operation, **{key: secret_name}, **encryption, SecretString=text)
        _apply(run, [Change(f"store the secret {secret_name}, verified with a token of each kind", call)])


def _store_policy(run: _Run, file: Path | None) -> None:
    """Store `file`, or a starter policy if the stored one has no rules."""
    stored = parameters.read(run.aws, run.environment).policy
    if file:
        _, text = files.policy_to_store(file)
        if stored and stored.text == text:
            return
    else:
        if stored and (stored.policy is None or stored.policy.rules):
            return
        document = starter.policy(run.access, run.platforms, account=run.account, operator=run.principal)
        text = json.dumps(document, separators=(",", ":"))
        for line in json.dumps(document, indent=2).split("\n"):
            _print_line(run, line)
        if run.interactive and not typer.confirm("Store this policy?", default=True, err=True):
            fail(f"no policy: roomkey policy put {run.environment} FILE, then repeat roomkey up", REFUSED)
    size = len(text.encode())
    if size > parameters.MAX_ADVANCED_BYTES:
        fail(f"the policy has {size} bytes; SSM's limit is {parameters.MAX_ADVANCED_BYTES}", REFUSED)
    replace = partial(parameters.replace, run.aws, run.environment.policy_name, stored, text)
    _apply(run, [Change(f"write {run.environment.policy_name}: {size} bytes", replace)])


# --- deploy ----------------------------------------------------------------------------------------------------------


def _run_doctor(run: _Run) -> None:
    failed = 0
    for finding in doctor.examine(doctor.Examination(run.environment, run.aws, before_deploy=True)):
        if run.as_json:
            note(f"{finding.level}: {finding.check}: {finding.message}")
        else:
            doctor.show(finding)
        failed += finding.level == FAIL
    if failed:
        fail(f"{failed} failed: fix that and repeat roomkey up {run.environment}", REFUSED)


def _deploy(run: _Run) -> None:
    """Build and deploy with `make deploy`, which shows the change set."""
    make = shutil.which("make")
    if make is None:
        fail("make is not installed: install it (on Windows in WSL), and repeat", REFUSED)
    confirm = "--confirm-changeset" if run.interactive else "--no-confirm-changeset"
    variables = dict(os.environ)
    if run.aws.profile:
        variables["AWS_PROFILE"] = run.aws.profile
    variables["AWS_REGION"] = variables["AWS_DEFAULT_REGION"] = run.aws.region
    done = subprocess.run(  # noqa: S603
        [make, "deploy", f"ENV={run.environment}", f"ARGS={confirm}"], env=variables, check=False, stdout=2
    )
    if done.returncode:
        stack = stacks.find_stack(run.aws, run.environment)
        reasons = stacks.failure_reasons(run.aws, run.environment)[:3] if stack else []
        first_step = (
            f"run {stacks.delete_command(run.aws, run.environment)} first, then "
            if stack and stack.status == "ROLLBACK_COMPLETE"
            else ""
        )
        fail("\n  ".join(["the deploy failed:", *reasons, f"{first_step}repeat roomkey up {run.environment}"]), REFUSED)


def _enable_and_probe(run: _Run) -> None:
    stack = stacks.find_stack(run.aws, run.environment)
    if stack is None or not stack.url:
        fail(f"{run.environment.stack_name} has no output ApiUrl", REFUSED)
    found, _ = parameters.require_environment(run.aws, run.environment)
    on = KillSwitch(everything=False)
    if found.kill_switch != on:
        if found.version > 1:  # Not as `env init` created it.
            state = kill_switch.state_words(found.kill_switch) if found.kill_switch else "INVALID"
            fail(
                f"deployed, and minting is {state}, as an operator left it: roomkey env enable {run.environment} "
                "turns it on",
                SWITCHED_OFF,
            )
        write = partial(parameters.replace, run.aws, found.name, found, on.text)
        _apply(run, [Change(f"turn minting ON in {run.environment}", write)])
    disable.wait_until_effective(run.aws, run.environment, on, stack.url)
    name = run.platforms[0]
    signed = TokenKind.MANAGEMENT in PLATFORMS[name].kinds and run.access is not Access.OPEN
    kind = TokenKind.MANAGEMENT if signed else TokenKind.APP
    verdicts = _probe(run, stack.url, name, kind)
    body = minimal_request(PLATFORMS[name], TokenKind.APP)
    command = curl.command(stack.url, name, TokenKind.APP, body, run.access, run.aws.region)
    if run.as_json:
        print_json({"environment": run.environment.name, "url": stack.url, "curl": command, "probe": _levels(verdicts)})
    else:
        probe.show(verdicts)
        print_line(stack.url, mark=f"{run.environment} is up: ", style="bold green")
        for line in command.split("\n"):
            print_line(line)
    if any(verdict.level == FAIL for verdict in verdicts.values()):
        raise typer.Exit(REFUSED)


def _probe(run: _Run, base: str, name: str, kind: TokenKind) -> dict[str, probe.Verdict]:
    """Request a token in the access mode of the stack, and send a request that must be refused."""
    platform = PLATFORMS[name]
    call = probe.Call(base, platform, kind, minimal_request(platform, kind))
    verdicts = {}
    if run.access is not Access.JWT or kind is TokenKind.MANAGEMENT:
        sign_in = probe.sign_in(run.aws, kind, anonymous=run.access is Access.OPEN)
        verdicts["minted"] = probe.mints(call, sign_in(call))
    refused = call if run.access is not Access.OPEN else probe.unsigned(call)
    if refused:
        verdicts["refused"] = probe.refuses(refused)
    return verdicts


def _levels(verdicts: Mapping[str, probe.Verdict]) -> dict[str, Any]:
    return {name: {"level": verdict.level, "message": verdict.message} for name, verdict in verdicts.items()}
