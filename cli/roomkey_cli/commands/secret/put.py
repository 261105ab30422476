"""`roomkey secret put`: credentials, checked and stored."""

import json
import sys
from functools import partial
from typing import Annotated, Any

import typer

from roomkey import strict_json
from roomkey.platforms.base import Platform
from roomkey_cli import credential_file
from roomkey_cli.aws import parameters, secret_store
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import (
    AsJson,
    DryRun,
    EnvironmentArgument,
    PlatformArgument,
    Profile,
    Region,
    Yes,
)
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, note
from roomkey_cli.tokens import verify_secret

_MAX_BYTES = 65536
"""Bytes: what Secrets Manager holds."""


def put(
    environment: EnvironmentArgument,
    platform: PlatformArgument,
    kms_key: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="Encrypt it with this KMS key, the stack's KmsKeyArn. Default: AWS's own, or the one it has.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Store a platform's credentials, from a hidden prompt or as JSON from standard input.

    Before they are stored, a token of each kind is minted with them and verified. No deploy is needed.

    Example: roomkey secret put prod 100ms

    Example: jq '.["100ms"]' keys.json | roomkey secret put prod 100ms --yes
    """
    secret = _prompted(platform) if sys.stdin.isatty() else _piped(platform)
    text = credential_file.as_text(secret)
    if problems := verify_secret.problems_of(text, platform):
        fail("\n  ".join(["not stored, since nothing good can be signed with it:", *problems]), REFUSED)
    if stray := secret.keys() - {field.name for field in platform.credential_fields}:
        note(f"stored too, and passed over by the function: {', '.join(sorted(stray))}")

    aws = Aws(profile, region)
    there = secret_store.find(aws, environment, platform.name)
    if there is None:
        _look_for(environment, aws)
    facts: dict[str, object] = {"platform": platform.name, "version_id": there.version_id if there else None}
    changes = _changes(aws, environment, platform, text, there, facts, kms_key)
    apply(
        environment,
        changes,
        ApplyOptions(dry_run, yes, as_json),
        already=f"{environment.secret_name(platform.name)} holds exactly this; nothing was changed",
        notes=_notes(environment, platform, rotates=there is not None),
        facts=facts,
    )


def _look_for(environment: Environment, aws: Aws) -> None:
    """Ends the command where there is no such environment, as far as whoever keeps the secrets may know."""
    try:
        parameters.born(aws, environment)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        note(f"{error}; so see for yourself that {environment} is the right name")


def _prompted(platform: Platform) -> dict[str, Any]:
    try:
        return {
            field.name: typer.prompt(f"{platform.title} {field.name}", hide_input=True, err=True)
            for field in platform.credential_fields
        }
    except typer.Abort:
        print(file=sys.stderr)
        fail("nothing was stored", REFUSED)


def _piped(platform: Platform) -> dict[str, Any]:
    fields = {field.name: "..." for field in platform.credential_fields}
    try:
        document = strict_json.loads(sys.stdin.buffer.read(_MAX_BYTES + 1))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        fail(f"standard input is not a JSON object such as {json.dumps(fields)}", USAGE)
    if isinstance(document.get(platform.name), dict):
        only = f"jq '.[\"{platform.name}\"]' FILE | roomkey secret put ENV {platform.name}"
        fail(f"nothing was stored: pipe only what is under {platform.name}, {only}", USAGE)
    return document


def _changes(
    aws: Aws,
    environment: Environment,
    platform: Platform,
    text: str,
    there: SecretMetadata | None,
    facts: dict[str, object],
    kms_key: str | None,
) -> list[Change]:
    name = environment.secret_name(platform.name)

    def store(operation: str, **which: str) -> None:
        facts["version_id"] = aws.call("secretsmanager", operation, **which, SecretString=text)["VersionId"]

    key = {"KmsKeyId": kms_key} if kms_key else {}
    if there is None:
        return [Change(f"create the secret {name}", partial(store, "create_secret", Name=name, **key))]
    put_version = Change(f"store a new version of the secret {name}", partial(store, "put_secret_value", SecretId=name))
    if there.deleted:
        restore = partial(aws.call, "secretsmanager", "restore_secret", SecretId=name)
        return [Change(f"take back the deletion of {name}", restore), put_version]
    if kms_key and there.kms_key != kms_key:
        encrypt = partial(aws.call, "secretsmanager", "update_secret", SecretId=name, KmsKeyId=kms_key)
        return [Change(f"encrypt the secret {name} with {kms_key}", encrypt), put_version]
    return [] if _is_stored(aws, environment, platform, text) else [put_version]


def _is_stored(aws: Aws, environment: Environment, platform: Platform, text: str) -> bool:
    """Whether exactly this is stored. Who may write and not read is believed to bring something new."""
    try:
        value = secret_store.read(aws, environment, platform.name)
    except AwsError as error:
        if error.code in DENIED:
            return False
        raise
    try:
        return value is not None and strict_json.loads(value.text) == strict_json.loads(text)
    except ValueError:
        return False


def _notes(environment: Environment, platform: Platform, *, rotates: bool) -> list[str]:
    from roomkey_cli.aws import propagation

    if not rotates:
        return [f"It is used from the next request for {platform.title} on."]
    return [
        f"New tokens are signed with it everywhere within {propagation.SECRET_SECONDS} s, "
        "some with the old key till then.",
        "Tokens that the old key signed live on until they expire, or until the key is revoked at the vendor.",
        f"Which version signs: credentials.version_id in the audit lines of {environment}.",
    ]
