"""An environment's two parameters in SSM, the disable flag and the policy, for those who write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roomkey.kill_switch import KillSwitch
from roomkey.policy import InvalidPolicy, Policy, parse_policy
from roomkey_cli.aws.client import DENIED, Aws, AwsError
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, fail

EMPTY_POLICY = '{"version":1,"mode":"enforce","rules":[]}'
"""The policy that an environment is born with: it refuses everybody."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as it is stored. `arn` is empty where AWS does not say it."""

    name: str
    text: str
    type: str
    version: int
    changed: datetime | None
    arn: str

    @property
    def flag(self) -> KillSwitch | None:
        """The flag that this is, None where it is none, as what SSM answers for a SecureString is."""
        try:
            return KillSwitch.parse(self.text)
        except ValueError:
            return None

    @property
    def policy(self) -> Policy | None:
        """The policy that this is, None where it is none."""
        try:
            return parse_policy(self.text)
        except InvalidPolicy:
            return None

    @property
    def policy_problems(self) -> list[str]:
        """What keeps it from being a policy."""
        try:
            parse_policy(self.text)
        except InvalidPolicy as error:
            return [f"{where} {why}" for where, why in error.problems]
        return []


@dataclass(frozen=True, slots=True)
class EnvironmentSnapshot:
    """Flag and policy as they stand in SSM, None where there is none."""

    flag: Parameter | None
    policy: Parameter | None


def read(aws: Aws, environment: Environment) -> EnvironmentSnapshot:
    """Both, in the one call that the function makes too. Raises `AwsError`."""
    names = [environment.kill_switch_name, environment.policy_name]
    found = {
        one["Name"]: Parameter(
            name=one["Name"],
            text=one["Value"],
            type=one["Type"],
            version=one["Version"],
            changed=one.get("LastModifiedDate"),
            arn=one.get("ARN", ""),
        )
        for one in aws.call("ssm", "get_parameters", Names=names)["Parameters"]
    }
    return EnvironmentSnapshot(found.get(environment.kill_switch_name), found.get(environment.policy_name))


def born(aws: Aws, environment: Environment) -> tuple[Parameter, Parameter | None]:
    """Flag and policy of an environment that is there: one without a flag ends the command. Raises `AwsError`.

    A name that is misspelt, in an incident above all, must not look like a change that was made.
    """
    state = read(aws, environment)
    if state.flag is None:
        fail(
            f"there is no environment {environment} in {aws.region}: {environment.kill_switch_name} is missing: "
            f"nothing is minted without it (another --region or --profile? roomkey env init {environment} creates it)",
            REFUSED,
        )
    return state.flag, state.policy


def told(aws: Aws, environment: Environment) -> Mapping[str, Mapping[str, Any]]:
    """What SSM tells of each of the two beside its value: who changed it last, its tier. Empty without permission."""
    names = [environment.kill_switch_name, environment.policy_name]
    wanted = [{"Key": "Name", "Option": "Equals", "Values": names}]
    try:
        answer = aws.call("ssm", "describe_parameters", ParameterFilters=wanted)
    except AwsError as error:
        if error.code in DENIED:
            return {}
        raise
    return {one["Name"]: one for one in answer["Parameters"]}


def create(aws: Aws, name: str, text: str) -> None:
    """Creates a parameter; one that is there by now stays as it is. Raises `AwsError`."""
    aws.find(
        "ssm", "put_parameter", missing=("ParameterAlreadyExists",), Name=name, Value=text, Type="String", Tier=_TIER
    )


def put(aws: Aws, name: str, text: str) -> Mapping[str, object]:
    """Writes a parameter, whether it is there or not, and answers its version. Raises `AwsError`."""
    answer = aws.call("ssm", "put_parameter", Name=name, Value=text, Type="String", Tier=_TIER, Overwrite=True)
    return {"version": answer["Version"]}


_TIER = "Intelligent-Tiering"
"""AWS takes the standard tier up to 4096 bytes, the advanced one above, and stays with the advanced one after that."""
