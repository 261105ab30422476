"""`roomkey env stop` and `roomkey env start`: the switch that asks Lambda alone, for when SSM is what is down.

Reserved concurrency 0 keeps Lambda from running the function at all. What it was before is written on the function, as
a tag: it needs no other service, goes with the function, and a deploy leaves it alone.
"""

import re
from functools import partial
from typing import Annotated

import typer

from roomkey_cli.aws import stacks
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.commands.changes import ApplyOptions, Change, apply
from roomkey_cli.commands.options import AsJson, DryRun, EnvironmentArgument, Profile, Region, Yes
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, note

TAG = "roomkey:reserved-concurrency"
"""What the reserved concurrency was before the stop: a number, or `none`."""

NONE = "none"


def stop(
    environment: EnvironmentArgument,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Keep Lambda from running the function at all: its reserved concurrency becomes 0. Needs no SSM.

    Callers get an error of AWS's own, health included. roomkey env disable is the friendlier switch. Deploy
    nothing while it is stopped: a deploy that sets the reserved concurrency starts it.

    Example: roomkey env stop prod
    """
    aws = Aws(profile, region)
    function = _function(aws, environment)
    was = _spelt(function.reserved)
    does = f"set the reserved concurrency of {environment.function_name} to 0 (it is {was})"
    apply(
        environment,
        [] if function.reserved == 0 else [Change(does, partial(_stop, aws, environment, function.arn, was))],
        ApplyOptions(dry_run, yes, as_json),
        already=f"{environment.function_name} is stopped already; nothing was changed",
        notes=[
            "No request is answered from now on; those that run go on to their end. "
            f"roomkey env start {environment} puts back what it was."
        ],
        facts={"before": was, "reserved_concurrency": "0"},
    )


def _stop(aws: Aws, environment: Environment, arn: str, was: str) -> None:
    try:
        aws.call("lambda", "tag_resource", Resource=arn, Tags={TAG: was})
    except AwsError as error:  # Stopping matters more than starting again without a thought.
        note(f"{error}; so write down: roomkey env start {environment} --reserved {was}")
    name = environment.function_name
    aws.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=0)


def start(
    environment: EnvironmentArgument,
    reserved: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="What to set, a number or none. Default: what it was when it was stopped.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Let Lambda run the function again: its reserved concurrency becomes what it was before the stop.

    The disable flag is not touched: what it switches off stays off.

    Example: roomkey env start prod
    """
    if reserved is not None and not re.fullmatch(r"none|[1-9][0-9]{0,5}", reserved):
        fail("--reserved must be none, or a whole number above zero", USAGE)
    aws = Aws(profile, region)
    function = _function(aws, environment)
    to = reserved or function.tags.get(TAG)
    stopped = function.reserved == 0
    if stopped and (to is None or not re.fullmatch(r"none|[1-9][0-9]{0,5}", to)):
        fail(
            f"{environment.function_name} was stopped by other means, and its reserved concurrency before that is not "
            "known: say --reserved none, or a number",
            REFUSED,
        )
    does = f"set the reserved concurrency of {environment.function_name} to {to} (it is 0)"
    apply(
        environment,
        [Change(does, partial(_start, aws, environment, function.arn, to or NONE))] if stopped else [],
        ApplyOptions(dry_run, yes, as_json),
        already=f"{environment.function_name} is not stopped; nothing was changed",
        notes=[f"Requests are answered again. What the disable flag says: roomkey env status {environment}."],
        facts={
            "before": _spelt(function.reserved),
            "reserved_concurrency": to if stopped else _spelt(function.reserved),
        },
    )


def _start(aws: Aws, environment: Environment, arn: str, to: str) -> None:
    name = environment.function_name
    if to == NONE:
        aws.call("lambda", "delete_function_concurrency", FunctionName=name)
    else:
        aws.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=int(to))
    try:
        aws.call("lambda", "untag_resource", Resource=arn, TagKeys=[TAG])
    except AwsError as error:  # It is only read while the function is stopped, and written again by the next stop.
        note(str(error))


def _spelt(reserved: int | None) -> str:
    return NONE if reserved is None else str(reserved)


def _function(aws: Aws, environment: Environment) -> stacks.Function:
    function = stacks.function(aws, environment)
    if function is None:
        fail(
            f"there is no function {environment.function_name} in {aws.region}: is the environment deployed here?",
            REFUSED,
        )
    return function
