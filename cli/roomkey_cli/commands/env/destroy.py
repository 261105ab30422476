"""`roomkey env destroy`: delete the resources that `sam delete` keeps."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey_cli.aws import parameters, secret_store, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import INVITES, Environment
from roomkey_cli.terminal import REFUSED, fail


def destroy(
    environment: EnvironmentArgument,
    session: Session,
    keep_logs: Annotated[bool, typer.Option("--keep-logs", help="Keep the log groups with the audit trail.")] = False,
    recovery_days: Annotated[
        int, typer.Option(metavar="DAYS", min=7, max=30, help="Days during which the secrets can be restored.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
) -> None:
    """Delete the resources that sam delete keeps: parameters, secrets, log groups with the audit trail, layer versions.

    Delete the stack first. The command always asks for the environment's name. roomkey secret put restores a secret
    within the recovery days; everything else is deleted at once. Tokens already issued stay valid until they expire.

    Example: roomkey env destroy dev --dry-run
    """
    aws = session.aws
    if stacks.find_stack(aws, environment) is not None:
        delete = stacks.delete_command(aws, environment)
        fail(f"the stack {environment.stack_name} still exists: run {delete}", REFUSED)
    changes = [
        *_parameters(aws, environment),
        *_secrets(aws, environment, recovery_days),
        *([] if keep_logs else _logs(aws, environment)),
        *_layers(aws, environment),
    ]
    report(
        apply(environment, changes, ApplyOptions(dry_run), always_ask=True),
        as_json=session.as_json,
        unchanged=f"nothing is left of {environment} in {aws.region}",
        notes=[
            "Tokens already issued stay valid until they expire. To end them, revoke the keys at the vendor.",
            "AWS may refuse to create a parameter of the same name for 30 s.",
        ],
    )


def _parameters(aws: Aws, environment: Environment) -> Iterator[Change]:
    snapshot = parameters.read(aws, environment)
    for parameter in (snapshot.kill_switch, snapshot.policy, snapshot.block_list):
        if parameter:
            delete = partial(aws.find, "ssm", "delete_parameter", Name=parameter.name)
            yield Change(f"delete the parameter {parameter.name}", delete)


def _secrets(aws: Aws, environment: Environment, days: int) -> Iterator[Change]:
    for name in (*PLATFORMS, INVITES):
        secret = secret_store.find(aws, environment, name)
        if secret and not secret.deleted:
            delete = partial(
                aws.find, "secretsmanager", "delete_secret", SecretId=secret.name, RecoveryWindowInDays=days
            )
            yield Change(f"delete the secret {secret.name}, finally in {days} days", delete)


def _logs(aws: Aws, environment: Environment) -> Iterator[Change]:
    for group in stacks.log_groups(aws, environment):
        delete = partial(aws.find, "logs", "delete_log_group", logGroupName=group)
        yield Change(f"delete the log group {group} and its content", delete)


def _layers(aws: Aws, environment: Environment) -> Iterator[Change]:
    name = environment.layer_name
    marker: dict[str, str] = {}
    while True:
        response = aws.call("lambda", "list_layer_versions", LayerName=name, **marker)
        for layer in response["LayerVersions"]:
            version = layer["Version"]
            delete = partial(aws.find, "lambda", "delete_layer_version", LayerName=name, VersionNumber=version)
            yield Change(f"delete version {version} of the layer {name}", delete)
        if not response.get("NextMarker"):
            return
        marker = {"Marker": response["NextMarker"]}
