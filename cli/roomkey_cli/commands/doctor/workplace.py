"""Checks of the operator's side: tools, config/ENV.yaml, the issuer, AWS credentials and the clock."""

import platform as machine
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

from roomkey import __version__
from roomkey.settings import Access
from roomkey_cli import config_file, issuer_check
from roomkey_cli.commands.doctor.examination import Examination, Finding
from roomkey_cli.terminal import FAIL, OK, WARN

MAX_USUAL_SKEW_SECONDS = 30
"""A clock that is synchronized differs by less."""

MAX_SIGNATURE_SKEW_SECONDS = 300
"""AWS rejects signatures with a greater difference."""

SAM = Path(".tools") / "sam" / "bin" / "sam"
MIN_SAM = (1, 152)
"""The first release of the SAM CLI that reads `--parameter-overrides file://`."""


def tools(examination: Examination) -> Iterator[Finding]:
    import boto3

    yield Finding("roomkey", OK, f"{__version__}, Python {machine.python_version()}, boto3 {boto3.__version__}")
    if examination.environment.is_local_stack:  # It needs no build.
        return
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


def config(examination: Examination) -> Iterator[Finding]:
    environment = examination.environment
    file = config_file.path(environment)
    try:
        values = config_file.read(environment)
    except config_file.InvalidConfig as error:
        yield Finding("config", FAIL, str(error), f"roomkey up {environment} writes it")
        return
    if values is None and environment.is_local_stack:
        return
    if values is None:
        fix = f"deploys need it: roomkey up {environment} writes it (run commands in the repository)"
        yield Finding("config", FAIL if examination.before_deploy else WARN, f"{file} is missing here", fix)
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


def caller(examination: Examination) -> Iterator[Finding]:
    response = examination.aws.call("sts", "get_caller_identity")
    yield Finding("credentials", OK, f"{response['Arn']}, region {examination.aws.region}")
    yield from clock(response["ResponseMetadata"]["HTTPHeaders"], time.time())


def clock(headers: Mapping[str, str], now: float) -> Iterator[Finding]:
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
