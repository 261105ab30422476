"""`roomkey secret put`: credentials, or the keys of invites, checked and stored."""

import json
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import typer

from roomkey import limits
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey.platforms.credential_checks import field_problems
from roomkey.platforms.credentials import CredentialField
from roomkey_cli import credential_file, invite_keys, json_input
from roomkey_cli.aws import kms, parameters, secret_store
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument, SecretArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import INVITES, Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, note
from roomkey_cli.tokens import verify_secret

_MAX_BYTES = 65536
"""The size limit of Secrets Manager."""


def put(
    environment: EnvironmentArgument,
    name: SecretArgument,
    session: Session,
    options: ApplyOptions,
    generate: Annotated[
        bool, typer.Option("--generate", help="With invites: create a new signing key and keep the older ones.")
    ] = False,
    only_new: Annotated[
        bool,
        typer.Option(
            "--revoke-older", help="With --generate: delete the older keys, which ends all invites made so far."
        ),
    ] = False,
    kms_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Encrypt with this KMS key (id, ARN or alias), the stack's KmsKeyArn. Default: the current key, or "
            "AWS's own.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Store a platform's credentials, from a prompt that hides signing keys, or as JSON from standard input.

    Before it stores them, the command mints and verifies a token of each kind. A deploy is not needed. The keys that
    sign invites are generated, never typed: roomkey secret put prod invites --generate.

    Example: roomkey secret put prod 100ms

    Example: jq '.["100ms"]' keys.json | roomkey secret put prod 100ms --yes
    """
    if (generate, only_new) != (name == INVITES, only_new and generate):
        fail("--generate goes with invites, invites take --generate, and --revoke-older needs both", USAGE)
    aws = session.aws
    text = "" if generate else _checked_credentials(PLATFORMS[name])
    stored = secret_store.find(aws, environment, name)
    if stored is None:
        _require_environment(environment, aws)
    rotates = stored is not None
    notes = _credential_notes(environment, name, rotates=rotates)
    if generate:
        current = secret_store.read(aws, environment, name) if stored and not stored.deleted else None
        try:
            text = invite_keys.rotated(current.text if current else None, only_new=only_new)
        except ValueError as error:
            fail(f"{environment.secret_name(name)} {error}: --revoke-older replaces it", REFUSED)
        notes = _invite_notes(text, rotates=rotates)
    store = _Store(aws, environment, name, text, stored, kms_key)
    applied = apply(environment, store.changes(), options)
    report(
        applied,
        as_json=session.as_json,
        unchanged=f"{environment.secret_name(name)} already contains exactly this; nothing was changed",
        notes=notes,
        details={"platform": name, "version_id": store.version_id},
    )


def _checked_credentials(platform: Platform) -> str:
    """Read credentials, verify them, and return them as they are stored."""
    secret = prompt(platform) if sys.stdin.isatty() else _piped(platform)
    text = credential_file.as_text(secret)
    if problems := verify_secret.problems_of(text, platform):
        fail("\n  ".join(["not stored, since these credentials cannot sign a valid token:", *problems]), REFUSED)
    if unknown := secret.keys() - {field.name for field in platform.credential_fields}:
        note(f"stored, but ignored by the function: {', '.join(sorted(unknown))}")
    return text


def _require_environment(environment: Environment, aws: Aws) -> None:
    """End the command if the environment does not exist, as far as the user may see that."""
    try:
        parameters.require_environment(aws, environment)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        note(f"{error}; check that {environment} is the right name")


def prompt(platform: Platform) -> dict[str, Any]:
    """Ask for each credential, for signing keys without echo, until it has the platform's format."""
    note(f"Credentials of {platform.title}. Input for signing keys is not shown.")
    try:
        answers = {field.name: _answer(platform, field) for field in platform.credential_fields}
    except typer.Abort:
        print(file=sys.stderr)
        fail("nothing was stored", REFUSED)
    return {name: answer for name, answer in answers.items() if answer}


def _answer(platform: Platform, field: CredentialField) -> str | list[str]:
    marks = {"separated by commas": field.many, "hidden": field.signs, "optional": not field.required}
    remarks = ", ".join(words for words, applies in marks.items() if applies)
    label = f"{platform.title} {field.name}{f' ({remarks})' if remarks else ''}"
    default = None if field.required else ""
    while True:
        text = str(typer.prompt(label, default=default, hide_input=field.signs, show_default=False, err=True))
        answer = text.split(",") if field.many and text else text
        problems = list(field_problems(field, {field.name: answer})) if answer else []
        if not problems:
            return answer
        note(f"{field.name} {', '.join(problems)}")


def _piped(platform: Platform) -> dict[str, Any]:
    """Read one platform's credentials from standard input, with or without the platform's name around them."""
    try:
        document = json_input.parse(sys.stdin.buffer.read(_MAX_BYTES + 1), "standard input")
    except json_input.InvalidInput as error:
        example = json.dumps({field.name: "..." for field in platform.credential_fields if field.required})
        fail(f"{error}\n  expected: {example}", USAGE)
    return credential_file.unwrapped(document, platform)


@dataclass
class _Store:
    """The calls that store one secret. `version_id` is the stored version, after the changes the new one."""

    aws: Aws
    environment: Environment
    platform: str
    text: str = field(repr=False)
    stored: SecretMetadata | None
    kms_key: str | None
    version_id: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.version_id = self.stored.version_id if self.stored else None

    def changes(self) -> list[Change]:
        """Return what is needed to store the text. Raises `AwsError`."""
        name = self.environment.secret_name(self.platform)
        if self.stored is None:
            key = {"KmsKeyId": self.kms_key} if self.kms_key else {}
            return [Change(f"create the secret {name}", partial(self._write, "create_secret", Name=name, **key))]
        write = Change(
            f"store a new version of the secret {name}", partial(self._write, "put_secret_value", SecretId=name)
        )
        if self.stored.deleted:
            restore = partial(self.aws.call, "secretsmanager", "restore_secret", SecretId=name)
            return [Change(f"cancel the deletion of {name}", restore), write]
        if self.kms_key and not kms.same_key(self.aws, self.stored.kms_key, self.kms_key):
            encrypt = partial(self.aws.call, "secretsmanager", "update_secret", SecretId=name, KmsKeyId=self.kms_key)
            return [Change(f"encrypt the secret {name} with {self.kms_key}", encrypt), write]
        return [] if self._is_stored() else [write]

    def _write(self, operation: str, **arguments: str) -> None:
        current = secret_store.find(self.aws, self.environment, self.platform) if self.stored else None
        if current and current.version_id != self.version_id:
            raise parameters.Conflict(current.name, f"its version is now {current.version_id}")
        response = self.aws.call("secretsmanager", operation, **arguments, SecretString=self.text)
        self.version_id = response["VersionId"]

    def _is_stored(self) -> bool:
        """Check whether the stored value is the same. A user who may not read it always writes."""
        try:
            value = secret_store.read(self.aws, self.environment, self.platform)
        except AwsError as error:
            if error.code in DENIED:
                return False
            raise
        try:
            return value is not None and json.loads(value.text) == json.loads(self.text)
        except ValueError:
            return False


def _credential_notes(environment: Environment, platform: str, *, rotates: bool) -> list[str]:
    if not rotates:
        return [f"In use from the next request for {platform}."]
    return [
        f"In use everywhere within {limits.CREDENTIALS_BOUND_SECONDS} s; until then some tokens are signed with the "
        "old key.",
        "Tokens signed with the old key stay valid until they expire, or until you revoke the key at the vendor.",
        f"credentials.version_id in the audit lines of {environment} shows which version signed.",
    ]


def _invite_notes(text: str, *, rotates: bool) -> list[str]:
    keys, current = invite_keys.key_ids(text)
    if not rotates:
        return ["In use from the next invite."]
    return [
        f"New invites are signed with key {current} within {limits.CREDENTIALS_BOUND_SECONDS} s.",
        f"Invites signed with {', '.join(keys)} are valid; invites signed with any other key are not.",
    ]
