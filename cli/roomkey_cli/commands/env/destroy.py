"""`roomkey env destroy`: what `sam delete` leaves behind."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey_cli.aws import parameters, secret_store, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import AsJson, DryRun, EnvironmentArgument, Profile, Region
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, fail


def destroy(
    environment: EnvironmentArgument,
    keep_logs: Annotated[bool, typer.Option("--keep-logs", help="Leave the log groups, audit trail included.")] = False,
    recovery_days: Annotated[
        int, typer.Option(min=7, max=30, help="How long the secrets can still be taken back, in days.")
    ] = 30,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Delete what sam delete leaves behind: flag, policy, secrets, log groups with the audit trail, layer versions.

    Take the stack down first. Always asks for the environment's name to be typed. Secrets can be taken back for some
    days (roomkey secret put does); the rest is gone at once. Tokens that are out stay good until they expire.

    Example: roomkey env destroy dev --dry-run
    """
    aws = Aws(profile, region)
    if stacks.stack(aws, environment) is not None:
        fail(
            f"the stack {environment.stack_name} is still there: sam delete --stack-name {environment.stack_name}",
            REFUSED,
        )
    changes = [
        *_state(aws, environment),
        *_secrets(aws, environment, recovery_days),
        *([] if keep_logs else _logs(aws, environment)),
        *_layers(aws, environment),
    ]
    apply(
        environment,
        changes,
        ApplyOptions(dry_run, yes=False, as_json=as_json),
        already=f"nothing of {environment} is left in {aws.region}",
        notes=["What the vendors' keys have signed lives on until it expires: revoke the keys there to end it."],
        always_ask=True,
    )


def _state(aws: Aws, environment: Environment) -> Iterator[Change]:
    state = parameters.read(aws, environment)
    for one in (state.flag, state.policy):
        if one:
            delete = partial(aws.find, "ssm", "delete_parameter", Name=one.name)
            yield Change(f"delete the parameter {one.name}", delete)


def _secrets(aws: Aws, environment: Environment, days: int) -> Iterator[Change]:
    for platform in PLATFORMS:
        one = secret_store.find(aws, environment, platform)
        if one and not one.deleted:
            delete = partial(aws.find, "secretsmanager", "delete_secret", SecretId=one.name, RecoveryWindowInDays=days)
            yield Change(f"delete the secret {one.name}, for good in {days} days", delete)


def _logs(aws: Aws, environment: Environment) -> Iterator[Change]:
    for group in stacks.log_groups(aws, environment):
        delete = partial(aws.find, "logs", "delete_log_group", logGroupName=group)
        yield Change(f"delete the log group {group} and all that is in it", delete)


def _layers(aws: Aws, environment: Environment) -> Iterator[Change]:
    name = environment.layer_name
    marker: dict[str, str] = {}
    while True:
        answer = aws.call("lambda", "list_layer_versions", LayerName=name, **marker)
        for one in answer["LayerVersions"]:
            version = one["Version"]
            delete = partial(aws.find, "lambda", "delete_layer_version", LayerName=name, VersionNumber=version)
            yield Change(f"delete version {version} of the layer {name}", delete)
        if not answer.get("NextMarker"):
            return
        marker = {"Marker": answer["NextMarker"]}
