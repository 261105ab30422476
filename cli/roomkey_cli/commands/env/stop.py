"""`roomkey env stop` and `roomkey env start`: stop and start the function with Lambda alone, for when SSM is down.

With a reserved concurrency of 0, Lambda does not run the function. A tag on the function stores the previous value: the
tag needs no other service, is deleted with the function, and survives a deploy.
"""

import re
from functools import partial
from typing import Annotated

import typer

from roomkey_cli.aws import stacks
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, note

TAG = "roomkey:reserved-concurrency"
"""The reserved concurrency before the stop: a number, or `none`."""

NONE = "none"


def stop(environment: EnvironmentArgument, session: Session, options: ApplyOptions) -> None:
    """Stop the function: set its reserved concurrency to 0. Needs no SSM.

    All callers, health checks included, get an error from AWS. Prefer roomkey env disable. Do not deploy while the
    function is stopped: a deploy that sets the reserved concurrency starts it.

    Example: roomkey env stop prod
    """
    aws = session.aws
    function = _function(aws, environment)
    before = _words(function.reserved)
    description = f"set the reserved concurrency of {environment.function_name} to 0 (now: {before})"
    changes = (
        [] if function.reserved == 0 else [Change(description, partial(_stop, aws, environment, function.arn, before))]
    )
    report(
        apply(environment, changes, options),
        as_json=session.as_json,
        unchanged=f"{environment.function_name} is already stopped; nothing was changed",
        notes=[
            f"No new request is served from now on; running requests finish. To undo: roomkey env start {environment}."
        ],
        details={"before": before, "reserved_concurrency": "0"},
    )


def _stop(aws: Aws, environment: Environment, arn: str, before: str) -> None:
    try:
        aws.call("lambda", "tag_resource", Resource=arn, Tags={TAG: before})
    except AwsError as error:  # Stopping matters more than a convenient start.
        note(f"{error}. To start again, use: roomkey env start {environment} --reserved {before}")
    name = environment.function_name
    aws.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=0)


def start(
    environment: EnvironmentArgument,
    session: Session,
    options: ApplyOptions,
    reserved: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Reserved concurrency to set: a number or none. Default: its value before the stop.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start the function: restore the reserved concurrency that it had before the stop.

    The kill switch does not change: what is off stays off.

    Example: roomkey env start prod
    """
    if reserved is not None and not re.fullmatch(r"none|[1-9][0-9]{0,5}", reserved):
        fail("--reserved must be none or a whole number above zero", USAGE)
    aws = session.aws
    function = _function(aws, environment)
    target = reserved or function.tags.get(TAG)
    stopped = function.reserved == 0
    if stopped and (target is None or not re.fullmatch(r"none|[1-9][0-9]{0,5}", target)):
        fail(
            f"{environment.function_name} was not stopped by roomkey env stop, and its previous reserved concurrency "
            "is unknown: use --reserved none, or a number",
            REFUSED,
        )
    description = f"set the reserved concurrency of {environment.function_name} to {target} (now: 0)"
    changes = [Change(description, partial(_start, aws, environment, function.arn, target or NONE))] if stopped else []
    report(
        apply(environment, changes, options),
        as_json=session.as_json,
        unchanged=f"{environment.function_name} is not stopped; nothing was changed",
        notes=[f"Requests are served again. See the kill switch with roomkey env status {environment}."],
        details={
            "before": _words(function.reserved),
            "reserved_concurrency": target if stopped else _words(function.reserved),
        },
    )


def _start(aws: Aws, environment: Environment, arn: str, target: str) -> None:
    name = environment.function_name
    if target == NONE:
        aws.call("lambda", "delete_function_concurrency", FunctionName=name)
    else:
        aws.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=int(target))
    try:
        aws.call("lambda", "untag_resource", Resource=arn, TagKeys=[TAG])
    except AwsError as error:  # The tag is read only while the function is stopped; the next stop overwrites it.
        note(str(error))


def _words(reserved: int | None) -> str:
    return NONE if reserved is None else str(reserved)


def _function(aws: Aws, environment: Environment) -> stacks.Function:
    function = stacks.find_function(aws, environment)
    if function is None:
        fail(
            f"function {environment.function_name} is missing in {aws.region}: is the environment deployed there?",
            REFUSED,
        )
    return function
