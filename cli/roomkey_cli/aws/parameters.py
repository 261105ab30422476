"""The three parameters of an environment in SSM: kill switch, policy and block list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roomkey.kill_switch import KillSwitch
from roomkey.policy import InvalidPolicy, Policy, parse_policy
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, CommandError, fail

EMPTY_POLICY = '{"version":1,"mode":"enforce","rules":[]}'
"""The policy that `env init` creates: it denies every request."""

EMPTY_BLOCK_LIST = "{}"

MAX_STANDARD_BYTES = 4096
"""Size of SSM's standard tier, which is free of charge."""

MAX_ADVANCED_BYTES = 8192

_TIER = "Intelligent-Tiering"
"""AWS uses the standard tier up to 4096 bytes and the advanced one above; a parameter never returns to standard."""

_RESTORE_ATTEMPTS = 3


class Conflict(CommandError):
    """Another operator changed the parameter after this command had read it."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} was changed by another operator in the meantime: {detail}", REFUSED)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A stored parameter. `arn` is empty where AWS does not return it."""

    name: str
    text: str
    type: str
    version: int
    changed: datetime | None
    arn: str

    @property
    def kill_switch(self) -> KillSwitch | None:
        """Return the kill switch, or None if the text is invalid, as the ciphertext of a SecureString is."""
        try:
            return KillSwitch.parse(self.text)
        except ValueError:
            return None

    @property
    def policy(self) -> Policy | None:
        """Return the policy, or None if the text is invalid."""
        try:
            return parse_policy(self.text)
        except InvalidPolicy:
            return None

    @property
    def policy_problems(self) -> list[str]:
        """Return what makes the policy invalid."""
        try:
            parse_policy(self.text)
        except InvalidPolicy as error:
            return [f"{where} {why}" for where, why in error.problems]
        return []


@dataclass(frozen=True, slots=True)
class EnvironmentSnapshot:
    """The stored parameters of an environment, None where one is missing."""

    kill_switch: Parameter | None
    policy: Parameter | None
    block_list: Parameter | None


def read(aws: Aws, environment: Environment) -> EnvironmentSnapshot:
    """Read all three in one call, as the function does. Raises `AwsError`."""
    found = {parameter.name: parameter for parameter in _read_all(aws, environment.parameter_names)}
    return EnvironmentSnapshot(*(found.get(name) for name in environment.parameter_names))


def read_one(aws: Aws, name: str) -> Parameter | None:
    """Read one parameter by its name, or one of its versions (`NAME:7`). Raises `AwsError`."""
    return next(iter(_read_all(aws, [name])), None)


def _read_all(aws: Aws, names: list[str]) -> list[Parameter]:
    return [
        Parameter(
            name=parameter["Name"],
            text=parameter["Value"],
            type=parameter["Type"],
            version=parameter["Version"],
            changed=parameter.get("LastModifiedDate"),
            arn=parameter.get("ARN", ""),
        )
        for parameter in aws.call("ssm", "get_parameters", Names=names)["Parameters"]
    ]


def require_environment(aws: Aws, environment: Environment) -> tuple[Parameter, EnvironmentSnapshot]:
    """Return the kill switch and all parameters. End the command if the kill switch is missing. Raises `AwsError`.

    In an incident, a misspelled name must not look like a successful change.
    """
    snapshot = read(aws, environment)
    if snapshot.kill_switch is None:
        fail(
            f"environment {environment} is unknown in {aws.region}: {environment.kill_switch_name} is missing "
            f"(wrong --region or --profile? roomkey env init {environment} creates it)",
            REFUSED,
        )
    return snapshot.kill_switch, snapshot


def describe(aws: Aws, names: list[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return SSM's metadata by name: who changed the parameter last, and its tier. Empty without permission."""
    filters = [{"Key": "Name", "Option": "Equals", "Values": names}]
    try:
        pages = list(aws.pages("ssm", "describe_parameters", "Parameters", ParameterFilters=filters))
    except AwsError as error:
        if error.code in DENIED:
            return {}
        raise
    return {parameter["Name"]: parameter for parameter in pages}


def environment_names(aws: Aws) -> list[str]:
    """List the environments that have a kill switch in this account and region. Raises `AwsError`."""
    filters = [{"Key": "Path", "Option": "Recursive", "Values": ["/roomkey"]}]
    names = [
        parameter["Name"].split("/")
        for parameter in aws.pages("ssm", "describe_parameters", "Parameters", ParameterFilters=filters)
    ]
    return sorted(parts[2] for parts in names if len(parts) == 4 and parts[3] == "disabled")


def create(aws: Aws, name: str, text: str) -> None:
    """Create a parameter, unless it exists. Raises `AwsError`."""
    aws.find(
        "ssm", "put_parameter", missing=("ParameterAlreadyExists",), Name=name, Value=text, Type="String", Tier=_TIER
    )


def put(aws: Aws, name: str, text: str) -> int:
    """Overwrite a parameter unconditionally, and return its version. Raises `AwsError`."""
    response = aws.call("ssm", "put_parameter", Name=name, Value=text, Type="String", Tier=_TIER, Overwrite=True)
    return int(response["Version"])


def replace(aws: Aws, name: str, read_before: Parameter | None, text: str) -> int:
    """Write `text` if the parameter has not changed since it was read, and return its version.

    SSM has no conditional write. The version that the write returns shows whether another write came between; this
    function then restores the other write's value. Raises `Conflict` and `AwsError`.
    """
    current = read_one(aws, name)
    expected = read_before.version if read_before else 0
    if (current.version if current else 0) != expected:
        raise Conflict(name, f"version {expected} was read, and now it has version {current.version if current else 0}")
    version = put(aws, name, text)
    if version != expected + 1:
        _restore(aws, name, version)
        raise Conflict(name, f"version {version - 1} was written at the same moment, and is in effect")
    return version


def _restore(aws: Aws, name: str, version: int) -> None:
    """Restore the value that the write with this version replaced. Raises `Conflict` if others keep writing."""
    for _ in range(_RESTORE_ATTEMPTS):
        replaced = read_one(aws, f"{name}:{version - 1}")
        if replaced is None:
            break
        restored = put(aws, name, replaced.text)
        if restored == version + 1:
            return
        version = restored
    raise Conflict(name, "its value may be wrong: check it, and repeat the change")
