"""`roomkey env status` and `roomkey env show`: what an environment's state says, and what its things are called."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import typer

from roomkey.kill_switch import KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey_cli.aws import kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.aws.parameters import EnvironmentSnapshot, Parameter
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.options import AsJson, EnvironmentArgument, Profile, Region
from roomkey_cli.environment import Environment
from roomkey_cli.policy import lint
from roomkey_cli.terminal import REFUSED, iso, moment, note, say, say_json


def status(
    environment: EnvironmentArgument, as_json: AsJson = False, profile: Profile = None, region: Region = None
) -> None:
    """Say what is on and what is off, which policy is in force, and which secrets are there. Never shows a secret.

    Exit status 1 if the flag or the policy is missing or cannot be used, so that nothing is minted.

    Example: roomkey env status prod
    """
    aws = Aws(profile, region)
    state = parameters.read(aws, environment)
    told = parameters.told(aws, environment)
    secrets = {platform: secret_store.find(aws, environment, platform) for platform in PLATFORMS}
    function = _function(aws, environment)
    flag = state.flag.flag if state.flag else None
    policy = state.policy.policy if state.policy else None
    minting = flag.minting(PLATFORMS) if flag else "unknown"

    if as_json:
        say_json(
            {
                "environment": environment.name,
                "region": aws.region,
                "minting": minting,
                "flag": _flag_facts(environment, state, told),
                "policy": _policy_facts(environment, state, told),
                "function": function_facts(environment, function),
                "secrets": [_secret_facts(environment, platform, one) for platform, one in secrets.items()],
            }
        )
    else:
        say(f"{environment} in {aws.region}")
        say(_minting_words(minting, flag), mark="  minting  ")
        say(_in_words(environment.kill_switch_name, state.flag, told, _flag_words(state.flag)), mark="  flag     ")
        say(_in_words(environment.policy_name, state.policy, told, _policy_words(state.policy)), mark="  policy   ")
        say(function_words(function), mark="  function ")
        for platform, one in secrets.items():
            say(f"{platform:<17} {_secret_words(one)}", mark="  secret   ")
    if flag is None or policy is None:
        raise typer.Exit(REFUSED)


def _function(aws: Aws, environment: Environment) -> stacks.Function | None:
    """What runs, None where nothing does, or where it is not yours to see: the state is, without it."""
    try:
        return stacks.function(aws, environment)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        note(str(error))
        return None


def _minting_words(minting: str, flag: KillSwitch | None) -> str:
    return minting if flag is None or minting == "on" else f"{minting} (off: {kill_switch.off(flag)})"


def _flag_words(flag: Parameter | None) -> str:
    if flag is None:
        return ""
    return flag.text if flag.flag else "NO DISABLE FLAG: nothing is minted (roomkey env disable or enable mends it)"


def _policy_words(policy: Parameter | None) -> str:
    if policy is None:
        return ""
    if policy.policy is None:
        return f"NO POLICY: nothing is minted ({'; '.join(policy.policy_problems[:3])})"
    return f"{lint.in_short(policy.policy)}, {len(policy.text.encode())} bytes"


def function_words(function: stacks.Function | None) -> str:
    if function is None:
        return "none is known"
    serves = f"version {function.version}" if function.version else "NOTHING SERVES: it has no alias live"
    if function.reserved == 0:
        return f"STOPPED (roomkey env start takes that back); {serves}"
    return f"{serves}; reserved concurrency {'none' if function.reserved is None else function.reserved}"


def function_facts(environment: Environment, function: stacks.Function | None) -> dict[str, object]:
    return {
        "name": environment.function_name,
        "arn": function.arn if function else None,
        "version": function.version if function else None,
        "reserved_concurrency": function.reserved if function else None,
    }


def _in_words(name: str, one: Parameter | None, told: Mapping[str, Mapping[str, Any]], says: str) -> str:
    if one is None:
        return f"MISSING: {name} does not exist (roomkey env init creates it)"
    by = told.get(name, {}).get("LastModifiedUser")
    return f"{says}; version {one.version}, {moment(one.changed)}{f' by {by}' if by else ''}"


def _flag_facts(
    environment: Environment, state: EnvironmentSnapshot, told: Mapping[str, Mapping[str, Any]]
) -> dict[str, object]:
    flag = state.flag
    return {
        "name": environment.kill_switch_name,
        "value": flag.text if flag else None,
        "valid": bool(flag and flag.flag),
        "off": kill_switch.off(flag.flag).split(", ") if flag and flag.flag and flag.flag.text != "false" else [],
        **_version_facts(flag, told.get(environment.kill_switch_name, {})),
    }


def _policy_facts(
    environment: Environment, state: EnvironmentSnapshot, told: Mapping[str, Mapping[str, Any]]
) -> dict[str, object]:
    policy = state.policy
    read = policy.policy if policy else None
    more = told.get(environment.policy_name, {})
    return {
        "name": environment.policy_name,
        "valid": read is not None,
        "mode": read.mode if read else None,
        "rules": len(read.rules) if read else None,
        "bytes": len(policy.text.encode()) if policy else None,
        "tier": more.get("Tier"),
        "problems": policy.policy_problems if policy else ["is missing"],
        **_version_facts(policy, more),
    }


def _version_facts(one: Parameter | None, told: Mapping[str, Any]) -> dict[str, object]:
    return {
        "version": one.version if one else None,
        "changed": iso(one.changed) if one else None,
        "by": told.get("LastModifiedUser"),
    }


def _secret_words(one: SecretMetadata | None) -> str:
    if one is None:
        return "none"
    if one.deleted:
        return f"DELETED, for good at {moment(one.deleted)} (roomkey secret put takes that back)"
    return f"version {one.version_id}, stored {moment(one.changed)}, last read {_day(one.used)}"


def _day(time: datetime | None) -> str:
    return "never, or not yet known" if time is None else f"{time:%Y-%m-%d}"


def _secret_facts(environment: Environment, platform: str, one: SecretMetadata | None) -> dict[str, object]:
    return {
        "platform": platform,
        "name": environment.secret_name(platform),
        "stored": one is not None and one.deleted is None,
        "version_id": one.version_id if one else None,
        "changed": iso(one.changed) if one else None,
        "deleted": iso(one.deleted) if one else None,
    }
