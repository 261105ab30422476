"""An environment's deployed side: the stack and its function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import ALIAS, Environment


@dataclass(frozen=True, slots=True)
class Stack:
    """A CloudFormation stack that is there."""

    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def url(self) -> str:
        """The API's address, empty where the stack does not say one."""
        return self.outputs.get("ApiUrl", "")


def stack(aws: Aws, environment: Environment) -> Stack | None:
    """The environment's stack, None where there is none. Raises `AwsError`."""
    # CloudFormation's word for a stack that does not exist.
    found = aws.find(
        "cloudformation", "describe_stacks", missing=("ValidationError",), StackName=environment.stack_name
    )
    if found is None:
        return None
    [one] = found["Stacks"]
    return Stack(
        status=one["StackStatus"],
        outputs={output["OutputKey"]: output["OutputValue"] for output in one.get("Outputs", [])},
        parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in one.get("Parameters", [])},
    )


def log_groups(aws: Aws, environment: Environment) -> Iterator[str]:
    """The environment's log groups that are there, whether or not the stack is. Raises `AwsError`."""
    for group in environment.log_groups:
        answer = aws.call("logs", "describe_log_groups", logGroupNamePrefix=group)
        if any(one["logGroupName"] == group for one in answer["logGroups"]):
            yield group


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function. `version` is what its alias `live` points at, None without one.

    `reserved` is its reserved concurrency: None for none, 0 where it is stopped. `variables` are those of the version
    that serves.
    """

    arn: str
    version: str | None
    reserved: int | None
    tags: Mapping[str, str]
    timeout: int
    variables: Mapping[str, str]
    runtime: str


def function(aws: Aws, environment: Environment) -> Function | None:
    """The environment's function, None where there is none. Raises `AwsError`."""
    name = environment.function_name
    found = aws.find("lambda", "get_function", FunctionName=name)
    if found is None:
        return None
    alias = aws.find("lambda", "get_alias", FunctionName=name, Name=ALIAS)
    concurrency = aws.call("lambda", "get_function_concurrency", FunctionName=name)
    serves: dict[str, Any] = found["Configuration"]
    if alias:
        serves = aws.call("lambda", "get_function_configuration", FunctionName=name, Qualifier=ALIAS)
    return Function(
        arn=found["Configuration"]["FunctionArn"],
        version=alias["FunctionVersion"] if alias else None,
        reserved=concurrency.get("ReservedConcurrentExecutions"),
        tags=found.get("Tags", {}),
        timeout=serves["Timeout"],
        variables=serves.get("Environment", {}).get("Variables", {}),
        runtime=serves.get("Runtime", ""),
    )
