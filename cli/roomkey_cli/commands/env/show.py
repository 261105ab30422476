"""`roomkey env show`: the names and ARNs of an environment's resources."""

from typing import Any

from roomkey.platforms import PLATFORMS
from roomkey_cli.aws import parameters, secret_store, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.env.status import function_facts, function_words
from roomkey_cli.commands.options import AsJson, EnvironmentArgument, Profile, Region
from roomkey_cli.terminal import say, say_json


def show(
    environment: EnvironmentArgument, as_json: AsJson = False, profile: Profile = None, region: Region = None
) -> None:
    """Say what an environment's things are called: parameters, secrets, function, stack and its outputs.

    Example: roomkey env show prod
    """
    aws = Aws(profile, region)
    state = parameters.read(aws, environment)
    secrets = {platform: secret_store.find(aws, environment, platform) for platform in PLATFORMS}
    function = stacks.function(aws, environment)
    stack = stacks.stack(aws, environment)
    facts: dict[str, Any] = {
        "environment": environment.name,
        "region": aws.region,
        "account": aws.call("sts", "get_caller_identity")["Account"],
        "flag": {"name": environment.kill_switch_name, "arn": state.flag.arn if state.flag else None},
        "policy": {"name": environment.policy_name, "arn": state.policy.arn if state.policy else None},
        "secrets": {
            platform: {"name": environment.secret_name(platform), "arn": one.arn if one else None}
            for platform, one in secrets.items()
        },
        "function": function_facts(environment, function),
        "log_groups": list(environment.log_groups),
        "stack": {
            "name": environment.stack_name,
            "status": stack.status if stack else None,
            "outputs": dict(stack.outputs) if stack else {},
        },
    }
    if as_json:
        say_json(facts)
        return
    say(f"{environment} in {aws.region}, account {facts['account']}")
    for what in ("flag", "policy"):
        _row(what, facts[what]["name"], facts[what]["arn"])
    for one in facts["secrets"].values():
        _row("secret", one["name"], one["arn"])
    _row("function", environment.function_name, facts["function"]["arn"])
    if function:
        say(function_words(function), mark=" " * 13)
    for group in environment.log_groups:
        say(group, mark="  log group  ")
    say(f"{environment.stack_name}  {stack.status if stack else 'there is none'}", mark="  stack      ")
    for name, value in (stack.outputs if stack else {}).items():
        say(f"{name} = {value}", mark=" " * 13)


def _row(what: str, name: str, arn: str | None) -> None:
    say(f"{name}  {arn if arn is not None else 'there is none'}", mark=f"  {what:<10} ")
