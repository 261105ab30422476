"""`roomkey env status`: kill switch, policy, block list, function and secrets of an environment."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import typer

from roomkey.platforms import PLATFORMS
from roomkey_cli import config_file
from roomkey_cli.aws import block_list as block_lists
from roomkey_cli.aws import kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.parameters import EnvironmentSnapshot, Parameter
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import INVITES, Environment
from roomkey_cli.policy import lint
from roomkey_cli.terminal import REFUSED, iso, iso_or_none, note, print_json, print_line

type Metadata = Mapping[str, Mapping[str, Any]]
"""SSM's metadata by the parameter's name; empty without permission to read it."""


def status(environment: EnvironmentArgument, session: Session) -> None:
    """Show the state of an environment: kill switch, policy, block list, function, secrets. No secret value is shown.

    Exit status 1 if the kill switch, the policy or the block list is missing or invalid, so that nothing is minted.

    Example: roomkey env status prod
    """
    aws = session.aws
    snapshot = parameters.read(aws, environment)
    metadata = parameters.describe(aws, environment.parameter_names)
    function = _function(aws, environment)
    secrets = served_or_stored_secrets(aws, environment, function)
    if session.as_json:
        print_json(
            {
                "environment": environment.name,
                "region": aws.region,
                "minting": _minting(snapshot),
                "kill_switch": _kill_switch_json(environment, snapshot, metadata),
                "policy": _policy_json(environment, snapshot, metadata),
                "block_list": _block_list_json(environment, snapshot, metadata),
                "function": function_json(environment, function),
                "secrets": [_secret_json(environment, platform, secret) for platform, secret in secrets.items()],
            }
        )
    else:
        print_line(f"{environment} in {aws.region}")
        for label, name, parameter, text in (
            ("minting", environment.kill_switch_name, snapshot.kill_switch, _kill_switch_words(snapshot.kill_switch)),
            ("policy", environment.policy_name, snapshot.policy, _policy_words(snapshot.policy)),
            ("blocked", environment.block_list_name, snapshot.block_list, _block_list_words(snapshot.block_list)),
        ):
            print_line(_parameter_words(name, parameter, metadata, text), mark=f"  {label:<8} ")
        print_line(function_words(function), mark="  function ")
        for platform, secret in secrets.items():
            print_line(f"{platform:<17} {_secret_words(secret)}", mark="  secret   ")
    if not is_usable(snapshot):
        raise typer.Exit(REFUSED)


def is_usable(snapshot: EnvironmentSnapshot) -> bool:
    """Check whether the function can mint with these parameters."""
    return bool(
        snapshot.kill_switch
        and snapshot.kill_switch.kill_switch
        and snapshot.policy
        and snapshot.policy.policy
        and snapshot.block_list
        and block_lists.is_valid(snapshot.block_list.text)
    )


def _function(aws: Aws, environment: Environment) -> stacks.Function | None:
    """Return the deployed function, or None if it is missing or hidden from the user."""
    try:
        return stacks.find_function(aws, environment)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        note(str(error))
        return None


def served_or_stored_secrets(
    aws: Aws, environment: Environment, function: stacks.Function | None
) -> Mapping[str, SecretMetadata | None]:
    """Return the secrets that exist and, as None, the missing ones of platforms that are served."""
    secrets = {name: secret_store.find(aws, environment, name) for name in (*PLATFORMS, INVITES)}
    deployed = function.variables.get("PLATFORMS") if function else None
    served = (deployed or config_file.read_valid(environment).get("Platforms", "")).split(",")
    return {name: secret for name, secret in secrets.items() if secret or name in served}


def _minting(snapshot: EnvironmentSnapshot) -> str:
    switch = snapshot.kill_switch.kill_switch if snapshot.kill_switch else None
    return switch.minting(PLATFORMS) if switch else "unknown"


def _kill_switch_words(parameter: Parameter | None) -> str:
    if parameter is None or parameter.kill_switch is None:
        return "INVALID kill switch: nothing is minted (repair it with roomkey env disable or enable)"
    return kill_switch.state_words(parameter.kill_switch)


def _policy_words(parameter: Parameter | None) -> str:
    if parameter is None or parameter.policy is None:
        problems = parameter.policy_problems[:3] if parameter else []
        return f"INVALID policy: nothing is minted ({'; '.join(problems)})"
    return f"{lint.summary(parameter.policy)}, {len(parameter.text.encode())} bytes"


def _block_list_words(parameter: Parameter | None) -> str:
    if parameter is None or not block_lists.is_valid(parameter.text):
        return "INVALID block list: nothing is minted"
    return block_lists.summary(block_lists.parse(parameter.text))


def function_words(function: stacks.Function | None) -> str:
    """Describe the deployed function in a few words."""
    if function is None:
        return "not deployed"
    version = f"version {function.version}" if function.version else "NOT SERVING: it has no alias live"
    if function.reserved == 0:
        return f"STOPPED (undo with roomkey env start); {version}"
    return f"{version}; reserved concurrency {'none' if function.reserved is None else function.reserved}"


def function_json(environment: Environment, function: stacks.Function | None) -> dict[str, object]:
    """Return the members of `function` in the JSON output."""
    return {
        "name": environment.function_name,
        "arn": function.arn if function else None,
        "version": function.version if function else None,
        "reserved_concurrency": function.reserved if function else None,
    }


def _parameter_words(name: str, parameter: Parameter | None, metadata: Metadata, text: str) -> str:
    if parameter is None:
        return f"MISSING: {name} does not exist (roomkey env init creates it)"
    user = _user(metadata.get(name, {}))
    since = iso(parameter.changed) if parameter.changed else "an unknown time"
    return f"{text}; version {parameter.version}, {since}{f' by {user}' if user else ''}"


def _kill_switch_json(environment: Environment, snapshot: EnvironmentSnapshot, metadata: Metadata) -> dict[str, object]:
    parameter = snapshot.kill_switch
    return {
        "name": environment.kill_switch_name,
        "value": parameter.text if parameter else None,
        "valid": bool(parameter and parameter.kill_switch),
        **kill_switch.as_json(parameter.kill_switch if parameter else None),
        **_version_json(parameter, metadata.get(environment.kill_switch_name, {})),
    }


def _policy_json(environment: Environment, snapshot: EnvironmentSnapshot, metadata: Metadata) -> dict[str, object]:
    parameter = snapshot.policy
    policy = parameter.policy if parameter else None
    more = metadata.get(environment.policy_name, {})
    return {
        "name": environment.policy_name,
        "valid": policy is not None,
        "mode": policy.mode if policy else None,
        "rules": len(policy.rules) if policy else None,
        "bytes": len(parameter.text.encode()) if parameter else None,
        "tier": more.get("Tier"),
        "problems": parameter.policy_problems if parameter else ["is missing"],
        **_version_json(parameter, more),
    }


def _block_list_json(environment: Environment, snapshot: EnvironmentSnapshot, metadata: Metadata) -> dict[str, object]:
    parameter = snapshot.block_list
    return {
        "name": environment.block_list_name,
        "valid": bool(parameter and block_lists.is_valid(parameter.text)),
        "bytes": len(parameter.text.encode()) if parameter else None,
        **_version_json(parameter, metadata.get(environment.block_list_name, {})),
    }


def _version_json(parameter: Parameter | None, metadata: Mapping[str, Any]) -> dict[str, object]:
    return {
        "version": parameter.version if parameter else None,
        "changed": iso_or_none(parameter.changed) if parameter else None,
        "by": _user(metadata),
    }


def _user(metadata: Mapping[str, Any]) -> str | None:
    """Return the ARN of the user who changed a parameter. The local stack has `N/A` instead."""
    user = metadata.get("LastModifiedUser")
    return user if user != "N/A" else None


def _secret_words(secret: SecretMetadata | None) -> str:
    if secret is None:
        return "not stored"
    if secret.deleted:
        return f"DELETED, finally on {iso(secret.deleted)} (undo with roomkey secret put)"
    stored = iso(secret.changed) if secret.changed else "at an unknown time"
    return f"version {secret.version_id}, stored {stored}, last read {_day(secret.used)}"


def _day(time: datetime | None) -> str:
    """Return the day of a secret's last read. Secrets Manager has no time of day."""
    return "never or unknown" if time is None else f"on {time:%Y-%m-%d}"


def _secret_json(environment: Environment, platform: str, secret: SecretMetadata | None) -> dict[str, object]:
    return {
        "platform": platform,
        "name": environment.secret_name(platform),
        "stored": secret is not None and secret.deleted is None,
        "version_id": secret.version_id if secret else None,
        "changed": iso_or_none(secret.changed) if secret else None,
        "deleted": iso_or_none(secret.deleted) if secret else None,
    }
