"""Read the files that users name. An unusable file ends the command with the exit status for wrong usage."""

from pathlib import Path

from roomkey.platforms.base import Platform
from roomkey.policy import Policy
from roomkey_cli import credential_file
from roomkey_cli.policy import lint
from roomkey_cli.policy.lint import PolicyFile
from roomkey_cli.terminal import USAGE, fail, note

_PACKAGE = Path(__file__).parents[1]


def secrets(path: Path, platform: Platform | None = None) -> credential_file.Secrets:
    """Read a credentials file. With `platform`, a file with only that platform's credentials is accepted."""
    try:
        found, unknown = credential_file.read(path, platform)
    except credential_file.CredentialFileError as error:
        fail(str(error), USAGE)
    for name in unknown:
        note(f"{path}: {name} is an unknown platform, ignored")
    return found


def policy_file(path: Path) -> PolicyFile:
    """Read a policy file, with its problems and warnings."""
    try:
        return lint.read(path)
    except OSError as error:
        fail(f"{path}: {error.strerror}", USAGE)


def policy(path: Path) -> Policy:
    """Read a valid policy."""
    return _require_valid(path, policy_file(path))[0]


def policy_to_store(path: Path) -> tuple[Policy, str]:
    """Read a valid policy, print its warnings, and return it with the text to store.

    Warnings about the packaged example policies are not printed.
    """
    read = policy_file(path)
    for finding in () if path.is_relative_to(_PACKAGE) else read.warnings:
        note(f"{path}:{finding.line}: warning: {finding}")
    return _require_valid(path, read)


def _require_valid(path: Path, read: PolicyFile) -> tuple[Policy, str]:
    if read.policy is None or read.minified is None:
        problems = [f"{path}:{finding.line}: {finding}" for finding in read.problems]
        fail("\n  ".join(["invalid policy:", *problems]), USAGE)
    return read.policy, read.minified
