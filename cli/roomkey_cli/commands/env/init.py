"""`roomkey env init`: create what an environment lacks."""

from functools import partial

from roomkey_cli.aws import parameters
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import AsJson, DryRun, EnvironmentArgument, Profile, Region, Yes


def init(
    environment: EnvironmentArgument,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Create what an environment lacks: the disable flag, at off, and a policy without rules.

    Nothing that is there is changed. Secrets are created by roomkey secret put.

    Example: roomkey env init prod
    """
    aws = Aws(profile, region)
    state = parameters.read(aws, environment)
    changes = []
    if state.flag is None:
        does = f"create {environment.kill_switch_name}: true (everything is off)"
        changes.append(Change(does, partial(parameters.create, aws, environment.kill_switch_name, "true")))
    if state.policy is None:
        does = f"create {environment.policy_name}: a policy without rules (everybody is refused)"
        create = partial(parameters.create, aws, environment.policy_name, parameters.EMPTY_POLICY)
        changes.append(Change(does, create))
    apply(
        environment,
        changes,
        ApplyOptions(dry_run, yes, as_json),
        already=f"{environment} has its flag and its policy; nothing was changed",
        notes=[
            f"Next: roomkey secret put {environment} PLATFORM, roomkey policy put {environment} FILE, deploy, and "
            f"roomkey env enable {environment}."
        ],
    )
