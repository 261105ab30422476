"""`roomkey env show`: the names and ARNs of an environment's resources."""

from typing import Any

from roomkey_cli.aws import parameters, stacks
from roomkey_cli.commands.env.status import function_json, function_words, served_or_stored_secrets
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import Session
from roomkey_cli.terminal import print_json, print_line


def show(environment: EnvironmentArgument, session: Session) -> None:
    """Show the names of an environment's resources: parameters, secrets, function, stack and its outputs.

    The secrets are those of the platforms that are served, and others that exist.

    Example: roomkey env show prod
    """
    aws = session.aws
    snapshot = parameters.read(aws, environment)
    function = stacks.find_function(aws, environment)
    secrets = served_or_stored_secrets(aws, environment, function)
    stack = stacks.find_stack(aws, environment)
    stored = {
        "kill_switch": (environment.kill_switch_name, snapshot.kill_switch),
        "policy": (environment.policy_name, snapshot.policy),
        "block_list": (environment.block_list_name, snapshot.block_list),
    }
    document: dict[str, Any] = {
        "environment": environment.name,
        "region": aws.region,
        "account": aws.call("sts", "get_caller_identity")["Account"],
        **{
            label: {"name": name, "arn": parameter.arn if parameter else None}
            for label, (name, parameter) in stored.items()
        },
        "secrets": {
            platform: {"name": environment.secret_name(platform), "arn": secret.arn if secret else None}
            for platform, secret in secrets.items()
        },
        "function": function_json(environment, function),
        "log_groups": list(environment.log_groups),
        "stack": {
            "name": environment.stack_name,
            "status": stack.status if stack else None,
            "outputs": dict(stack.outputs) if stack else {},
        },
    }
    if session.as_json:
        print_json(document)
        return
    print_line(f"{environment} in {aws.region}, account {document['account']}")
    for label in stored:
        _row(label.replace("_", " "), document[label]["name"], document[label]["arn"])
    for secret in document["secrets"].values():
        _row("secret", secret["name"], secret["arn"])
    _row("function", environment.function_name, document["function"]["arn"])
    if function:
        print_line(function_words(function), mark=" " * 14)
    for group in environment.log_groups:
        print_line(group, mark="  log group   ")
    print_line(f"{environment.stack_name}  {stack.status if stack else 'does not exist'}", mark="  stack       ")
    for name, value in (stack.outputs if stack else {}).items():
        print_line(f"{name} = {value}", mark=" " * 14)


def _row(label: str, name: str, arn: str | None) -> None:
    print_line(f"{name}  {arn if arn is not None else 'does not exist'}", mark=f"  {label:<11} ")
