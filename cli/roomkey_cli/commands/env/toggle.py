"""`roomkey env disable` and `roomkey env enable`: the kill switch."""

from collections.abc import Sequence
from functools import partial

from roomkey.kill_switch import KillSwitch
from roomkey_cli.aws import kill_switch, parameters
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import AsJson, DryRun, EnvironmentArgument, Profile, Region, ScopesArgument, Yes
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, fail


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
    after = kill_switch.turned_off(_readable(found, environment), scopes) if scopes else KillSwitch(everything=True)
    notes = _way_back(environment, found.flag, after) if found.flag else []
    _turn(aws, environment, found, after, ApplyOptions(dry_run, yes, as_json), notes)


def _way_back(environment: Environment, before: KillSwitch, after: KillSwitch) -> list[str]:
    steps = [
        " ".join(("roomkey env", word, environment.name, *scopes))
        for word, scopes in kill_switch.way_back(before, after)
    ]
    return [
        f"Off was before: {kill_switch.off(before)}. The way back: {', then '.join(steps) or 'there is none to go'}."
    ]


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
            after = kill_switch.turned_on(_readable(found, environment), scopes)
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
    from roomkey_cli.aws import propagation

    before = found.text if found.flag else "no disable flag"
    does = f"write {found.name}: {after.text} (it is {before})"
    changes = [Change(does, partial(parameters.put, aws, found.name, after.text))]
    apply(
        environment,
        changes if found.flag != after else [],
        manner,
        already=f"{found.name} is {before} already; nothing was changed",
        notes=[
            f"Off is now: {kill_switch.off(after)}. It counts everywhere within {propagation.STATE_SECONDS} s.",
            *notes,
        ],
        facts={"before": found.text, "flag": after.text, "seconds": propagation.STATE_SECONDS},
    )
