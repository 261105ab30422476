"""The deployed side of an environment: stack, function and log groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import ALIAS, Environment


@dataclass(frozen=True, slots=True)
class Stack:
    """An existing CloudFormation stack."""

    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def url(self) -> str:
        """Return the API's URL, empty if the stack has no such output."""
        return self.outputs.get("ApiUrl", "")


def find_stack(aws: Aws, environment: Environment) -> Stack | None:
    """Return the environment's stack, or None. Raises `AwsError`."""
    # ValidationError is CloudFormation's code for a stack that does not exist.
    found = aws.find(
        "cloudformation", "describe_stacks", missing=("ValidationError",), StackName=environment.stack_name
    )
    if found is None:
        return None
    [stack] = found["Stacks"]
    return Stack(
        status=stack["StackStatus"],
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        parameters={
            parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in stack.get("Parameters", [])
        },
    )


def delete_command(aws: Aws, environment: Environment) -> str:
    """Return the command that deletes the environment's stack. SAM does not read AWS_REGION."""
    return f".tools/sam/bin/sam delete --stack-name {environment.stack_name} --region {aws.region}"


def failure_reasons(aws: Aws, environment: Environment) -> list[str]:
    """Return why resources of the stack failed, the first failure first. Raises `AwsError`."""
    events = aws.call("cloudformation", "describe_stack_events", StackName=environment.stack_name)["StackEvents"]
    return [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
        and event.get("ResourceStatusReason")
        and "cancelled" not in event["ResourceStatusReason"]
    ]


def log_groups(aws: Aws, environment: Environment) -> Iterator[str]:
    """Yield the environment's log groups that exist, with or without a stack. Raises `AwsError`."""
    for name in environment.log_groups:
        found = aws.call("logs", "describe_log_groups", logGroupNamePrefix=name)["logGroups"]
        if any(group["logGroupName"] == name for group in found):
            yield name


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function.

    `version` is the target of the alias `live`, None without the alias. `reserved` is the reserved concurrency: None
    if unset, 0 if the function is stopped. `variables` are those of the version behind the alias.
    """

    arn: str
    version: str | None
    reserved: int | None
    tags: Mapping[str, str]
    timeout: int
    variables: Mapping[str, str]
    runtime: str


def find_function(aws: Aws, environment: Environment) -> Function | None:
    """Return the environment's function, or None. Raises `AwsError`."""
    name = environment.function_name
    found = aws.find("lambda", "get_function", FunctionName=name)
    if found is None:
        return None
    alias = aws.find("lambda", "get_alias", FunctionName=name, Name=ALIAS)
    concurrency = aws.call("lambda", "get_function_concurrency", FunctionName=name)
    live: dict[str, Any] = found["Configuration"]
    if alias:
        live = aws.call("lambda", "get_function_configuration", FunctionName=name, Qualifier=ALIAS)
    return Function(
        arn=found["Configuration"]["FunctionArn"],
        version=alias["FunctionVersion"] if alias else None,
        reserved=concurrency.get("ReservedConcurrentExecutions"),
        tags=found.get("Tags", {}),
        timeout=live["Timeout"],
        variables=live.get("Environment", {}).get("Variables", {}),
        runtime=live.get("Runtime", ""),
    )
