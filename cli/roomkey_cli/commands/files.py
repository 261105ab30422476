"""Files that commands are given. One that cannot be read as what it must be ends the command as wrong usage."""

from pathlib import Path

from roomkey.policy import Policy
from roomkey_cli import credential_file
from roomkey_cli.policy import lint
from roomkey_cli.policy.lint import PolicyFile
from roomkey_cli.terminal import USAGE, fail, note


def secrets(path: Path) -> credential_file.Secrets:
    """The secrets in a credentials file."""
    try:
        found, unknown = credential_file.read(path)
    except credential_file.CredentialFileError as error:
        fail(str(error), USAGE)
    for name in unknown:
        note(f"{path}: {name} is no platform that Roomkey knows; passed over")
    return found


def policy_file(path: Path) -> PolicyFile:
    """What is in a file that is to hold a policy, be it one or not."""
    try:
        return lint.read(path)
    except OSError as error:
        fail(f"{path}: {error.strerror}", USAGE)


def policy(path: Path) -> Policy:
    """The policy in a file."""
    return _checked(path, policy_file(path))[0]


def policy_to_store(path: Path) -> tuple[Policy, str]:
    """The policy in a file, and its text as it is stored. Doubts about it are said."""
    read = policy_file(path)
    for finding in read.warnings:
        note(f"{path}:{finding.line}: warning: {finding}")
    return _checked(path, read)


def _checked(path: Path, read: PolicyFile) -> tuple[Policy, str]:
    if read.policy is None or read.minified is None:
        problems = [f"{path}:{finding.line}: {finding}" for finding in read.problems]
        fail("\n  ".join(["this is not a policy:", *problems]), USAGE)
    return read.policy, read.minified
