"""`roomkey env init`: create the missing parameters of an environment."""

from functools import partial

from roomkey_cli.aws import parameters
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import Environment


def init(environment: EnvironmentArgument, session: Session, options: ApplyOptions) -> None:
    """Create the missing parameters of an environment: kill switch (minting off), empty policy, empty block list.

    Existing parameters are not changed. roomkey secret put creates the secrets.

    Example: roomkey env init prod
    """
    applied = apply(environment, missing(session.aws, environment), options)
    report(
        applied,
        as_json=session.as_json,
        unchanged=f"{environment} has its kill switch, policy and block list; nothing was changed",
        notes=[
            f"Next: roomkey secret put {environment} PLATFORM, roomkey policy put {environment} FILE, deploy, and "
            f"roomkey env enable {environment}. roomkey up {environment} does it all."
        ],
    )


def missing(aws: Aws, environment: Environment) -> list[Change]:
    """Return the changes that create the missing parameters. Raises `AwsError`."""
    snapshot = parameters.read(aws, environment)
    wanted = [
        (snapshot.kill_switch, environment.kill_switch_name, "true", "minting is off for everything"),
        (snapshot.policy, environment.policy_name, parameters.EMPTY_POLICY, "no rules, every request is denied"),
        (snapshot.block_list, environment.block_list_name, parameters.EMPTY_BLOCK_LIST, "nothing is blocked"),
    ]
    return [
        Change(f"create {name} ({meaning})", partial(parameters.create, aws, name, text))
        for found, name, text, meaning in wanted
        if found is None
    ]
