"""`roomkey env`: an environment's state, from its birth to its end."""

from collections.abc import Sequence
from functools import partial

import typer

from roomkey.kill_switch import KillSwitch
from roomkey_cli import parameters, switch
from roomkey_cli.aws import Aws
from roomkey_cli.changes import ApplyOptions, Change, apply
from roomkey_cli.commands import env_destroy, env_status, env_stop
from roomkey_cli.environments import Environment
from roomkey_cli.options import AsJson, DryRun, EnvironmentArgument, Profile, Region, ScopesArgument, Yes
from roomkey_cli.terminal import REFUSED, fail

app = typer.Typer(
    help="""Create an environment, see it, switch it off and on, take it away.

    Example: roomkey env status prod

    Example: roomkey env disable prod 100ms agora/app
    """,
    no_args_is_help=True,
)


@app.command()
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


@app.command()
def disable(
    environment: EnvironmentArgument,
    scopes: ScopesArgument = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Switch minting off: the scopes that are named beside those that are off already; everything, if none is.

    Tokens that are out stay good until they expire.

    Example: roomkey env disable prod 100ms agora/app
    """
    aws = Aws(profile, region)
    found, _ = parameters.born(aws, environment)
    after = switch.turned_off(_readable(found, environment), scopes) if scopes else KillSwitch(everything=True)
    notes = _way_back(environment, found.flag, after) if found.flag else []
    _turn(aws, environment, found, after, ApplyOptions(dry_run, yes, as_json), notes)


def _way_back(environment: Environment, before: KillSwitch, after: KillSwitch) -> list[str]:
    steps = [
        " ".join(("roomkey env", word, environment.name, *scopes)) for word, scopes in switch.way_back(before, after)
    ]
    return [f"Off was before: {switch.off(before)}. The way back: {', then '.join(steps) or 'there is none to go'}."]


@app.command()
def enable(
    environment: EnvironmentArgument,
    scopes: ScopesArgument = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Switch minting on: the scopes that are named, and what lies within them; everything, if none is.

    Example: roomkey env enable prod 100ms
    """
    aws = Aws(profile, region)
    found, _ = parameters.born(aws, environment)
    after = KillSwitch(everything=False)
    if scopes:
        try:
            after = switch.turned_on(_readable(found, environment), scopes)
        except ValueError as error:
            fail(str(error), REFUSED)
    _turn(aws, environment, found, after, ApplyOptions(dry_run, yes, as_json))


def _readable(found: parameters.Parameter, environment: Environment) -> KillSwitch:
    if found.flag is None:
        fail(
            f"{found.name} holds no disable flag, so nothing is minted: roomkey env disable {environment}, or enable, "
            "mends it if no scope is named",
            REFUSED,
        )
    return found.flag


def _turn(
    aws: Aws,
    environment: Environment,
    found: parameters.Parameter,
    after: KillSwitch,
    manner: ApplyOptions,
    notes: Sequence[str] = (),
) -> None:
    from roomkey_cli import bounds

    before = found.text if found.flag else "no disable flag"
    does = f"write {found.name}: {after.text} (it is {before})"
    changes = [Change(does, partial(parameters.put, aws, found.name, after.text))]
    apply(
        environment,
        changes if found.flag != after else [],
        manner,
        already=f"{found.name} is {before} already; nothing was changed",
        notes=[f"Off is now: {switch.off(after)}. It counts everywhere within {bounds.STATE_SECONDS} s.", *notes],
        facts={"before": found.text, "flag": after.text, "seconds": bounds.STATE_SECONDS},
    )


app.command()(env_status.status)
app.command()(env_status.show)
app.command()(env_stop.stop)
app.command()(env_stop.start)
app.command()(env_destroy.destroy)
