"""`roomkey block`, `unblock` and `blocks`: the users and invites that get no token."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from roomkey import block_list as function_list
from roomkey import limits
from roomkey.platforms.fields import Check, check_id, is_blank
from roomkey.platforms.fields import text as text_check
from roomkey_cli.aws import block_list, parameters
from roomkey_cli.aws.block_list import Block, BlockList
from roomkey_cli.aws.parameters import MAX_ADVANCED_BYTES, MAX_STANDARD_BYTES, Parameter
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EnvironmentArgument, PlatformName
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, iso_in, iso_or_none, note, print_json, print_line

_UserArgument = Annotated[
    str | None, typer.Argument(metavar="USER", help="The user's id, as in the tokens.", show_default=False)
]
_InviteOption = Annotated[
    str | None,
    typer.Option("--invite", metavar="ID", help="An invite, or its id, instead of a user.", show_default=False),
]


def block(
    environment: EnvironmentArgument,
    session: Session,
    options: ApplyOptions,
    user: _UserArgument = None,
    invite: _InviteOption = None,
    room: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only in this room; repeatable. Default: every room.", show_default=False),
    ] = None,
    platform: Annotated[
        list[PlatformName] | None,
        typer.Option(
            metavar="PLATFORM", help="Only on this platform; repeatable. Default: every one.", show_default=False
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long, such as 2h or 7d. Default: no end.", show_default=False),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The end, in ISO 8601, such as 2026-12-31T18:00:00Z.", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for other operators.")] = "",
) -> None:
    """Block a user or an invite: they get no more tokens.

    Tokens already issued stay valid until they expire. End a running session with the vendor's API (docs/runbooks.md).

    Example: roomkey block prod u-7 --for 2h --reason spam

    Example: roomkey block prod --invite k3FhYz0qVbA1
    """
    _one_of(user, invite)
    if invite is not None:
        if room or platform or duration is not None or until is not None or reason:
            fail("--room, --platform, --for, --until and --reason are for users", USAGE)
        invite = block_list.invite_id(invite)
        if not block_list.is_invite_id(invite):
            fail("--invite must be an invite, its URL or its id, which has 12 letters, digits, - or _", USAGE)
    if user is not None and block_list.is_invite(user):
        fail("USER is an invite: block it with --invite", USAGE)
    for name, value in (("USER", user), *(("--room", one) for one in room or ())):
        _check(name, value, check_id)
    _check("--reason", reason or None, _check_reason)
    entry = Block(
        rooms=tuple(room or ["*"]),
        platforms=tuple(str(name) for name in platform or ["*"]),
        until=_until(duration, until),
        reason=reason,
    )

    def change(blocked: BlockList) -> BlockList:
        if invite is not None:
            return BlockList(blocked.users, tuple(dict.fromkeys([*blocked.invites, invite])))
        return BlockList({**blocked.users, str(user): entry}, blocked.invites)

    if user is not None:
        words = block_list.block_words(entry)
        description = f"block {user} in {environment}: {words}"
        headline = f"{user} is now blocked in {environment}: {words}."
    else:
        description = f"block the invite {invite} in {environment}"
        headline = f"The invite {invite} is now blocked in {environment}."
    remark = " Tokens already issued stay valid until they expire."
    _write(environment, session, options, change, description, headline, remark=remark)


def unblock(
    environment: EnvironmentArgument,
    session: Session,
    options: ApplyOptions,
    user: _UserArgument = None,
    invite: _InviteOption = None,
    everyone: Annotated[bool, typer.Option("--all", help="Empty the block list, also if it is invalid.")] = False,
    invalid: Annotated[
        bool, typer.Option("--invalid", help="Print and remove the invalid entries; keep the others.")
    ] = False,
) -> None:
    """Remove a user or an invite from the block list.

    Example: roomkey unblock prod u-7
    """
    if everyone or invalid:
        if (everyone and invalid) or user is not None or invite is not None:
            fail("USER, --invite, --all and --invalid exclude each other", USAGE)
        description = f"empty the block list of {environment}"
        headline = f"The block list of {environment} is now empty."
        if invalid:
            description = f"remove the invalid entries from the block list of {environment}"
            headline = f"The block list of {environment} is now valid."
        read = _valid_part if invalid else lambda *_: BlockList()
        _write(environment, session, options, lambda kept: kept, description, headline, read=read)
        return
    _one_of(user, invite)
    invite_id = None if invite is None else block_list.invite_id(invite)

    def change(blocked: BlockList) -> BlockList:
        users = {name: entry for name, entry in blocked.users.items() if name != user}
        invites = tuple(name for name in blocked.invites if name not in (invite, invite_id))
        if len(users) == len(blocked.users) and len(invites) == len(blocked.invites):
            fail(f"{user if user is not None else invite_id} is not blocked in {environment}", REFUSED)
        return BlockList(users, invites)

    name = user if user is not None else f"the invite {invite_id}"
    subject = user if user is not None else f"The invite {invite_id}"
    headline = f"{subject} is no longer blocked in {environment}."
    _write(environment, session, options, change, f"unblock {name} in {environment}", headline)


def blocks(environment: EnvironmentArgument, session: Session) -> None:
    """List the blocked users and invites, and the size of the list.

    Example: roomkey blocks prod
    """
    stored = _require(parameters.require_environment(session.aws, environment)[1].block_list, environment)
    blocked = _parsed(stored, environment)
    size = len(stored.text.encode())
    if session.as_json:
        users = [{**block_json(entry), "user": name} for name, entry in blocked.users.items()]
        print_json(
            {
                "environment": environment.name,
                "users": users,
                "invites": list(blocked.invites),
                "warnings": list(block_list.warnings(blocked)),
                "bytes": size,
                "max_bytes": MAX_ADVANCED_BYTES,
                "version": stored.version,
            }
        )
        return
    for warning in block_list.warnings(blocked):
        note(f"warning: {warning}")
    for name, entry in blocked.users.items():
        over = entry.until is not None and entry.until <= time.time()
        print_line(f"{block_list.block_words(entry)}{' (expired)' if over else ''}", mark=f"{name:<24} ", style="bold")
    for invite in blocked.invites:
        print_line(invite, mark="invite ", style="bold")
    print_line(f"{block_list.summary(blocked)}; {_size(size)}")


def block_json(entry: Block) -> dict[str, object]:
    """Return an entry for the JSON output, with its time in ISO 8601."""
    return {**entry.as_json(), "until": iso_or_none(entry.until)}


def _one_of(user: str | None, invite: str | None) -> None:
    if (user is None) == (invite is None):
        fail("name either a USER or an --invite", USAGE)


_check_reason = text_check(block_list.MAX_REASON)


def _check(name: str, value: str | None, check: Check[str]) -> None:
    if value is None:
        return
    try:
        check(value)
    except ValueError as error:
        fail(f"{name} {error}", USAGE)
    if any(is_blank(character) and character != " " for character in value):
        note(f"{name} has characters that show nothing: {value}")


def _until(duration: str | None, until: str | None) -> int | None:
    if duration is not None and until is not None:
        fail("use --for or --until", USAGE)
    end = None
    if duration is not None:
        try:
            end = int(time.time()) + block_list.seconds(duration)
        except ValueError as error:
            fail(f"--for {error}", USAGE)
    elif until is not None:
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            fail("--until must be a time in ISO 8601, such as 2026-12-31T18:00:00Z", USAGE)
        end = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if end <= time.time():
            fail("--until must be in the future", USAGE)
    if end is not None and end >= block_list.YEAR_2100:
        fail("a block must end before 2100: without --for and --until it has no end", USAGE)
    return end


def _require(found: Parameter | None, environment: Environment) -> Parameter:
    if found is None:
        fail(f"{environment.block_list_name} is missing: run roomkey env init {environment}", REFUSED)
    return found


def _parsed(parameter: Parameter, environment: Environment) -> BlockList:
    stored = block_list.examine(parameter.text)
    if stored.problems:
        fail(f"{_problems(parameter, stored)}\ncorrect it: {stored.repair(environment)}", REFUSED)
    return stored.valid


def _valid_part(parameter: Parameter, environment: Environment) -> BlockList:
    """Return the valid entries, and print the others. Fail if a whole member is invalid: it may block users."""
    stored = block_list.examine(parameter.text)
    if stored.member_problems:
        fail(
            f"{_problems(parameter, stored)}\nnothing was changed. The list: {parameter.text}\n"
            f"correct it: {stored.repair(environment)}\nor empty it: roomkey unblock {environment} --all",
            REFUSED,
        )
    for problem in stored.entry_problems:
        note(f"removes {problem}")
    return stored.valid


def _problems(parameter: Parameter, stored: block_list.StoredList) -> str:
    return "\n".join(f"{parameter.name}: {problem}" for problem in stored.problems)


def _write(
    environment: Environment,
    session: Session,
    options: ApplyOptions,
    change: Callable[[BlockList], BlockList],
    description: str,
    headline: str,
    *,
    read: Callable[[Parameter, Environment], BlockList] = _parsed,
    remark: str = "",
) -> None:
    """Change the list and drop expired entries. Fail if another operator changes it meanwhile."""
    aws = session.aws
    stored = _require(parameters.require_environment(aws, environment)[1].block_list, environment)
    after = change(read(stored, environment)).without_expired()
    try:
        function_list.BlockList.parse(after.text)
    except ValueError as error:  # An invalid list would stop all minting.
        fail(f"the block list would be invalid ({error}); nothing was changed", REFUSED)
    for warning in block_list.warnings(after):
        note(f"warning: {warning}")
    size = len(after.text.encode())
    if size > MAX_ADVANCED_BYTES:
        fail(
            f"the block list would have {size} bytes, and SSM's limit is {MAX_ADVANCED_BYTES}: unblock users, or block "
            "them at your sign-in",
            REFUSED,
        )
    changes = [Change(description, partial(parameters.replace, aws, stored.name, stored, after.text))]
    applied = apply(environment, [] if after.text == stored.text else changes, options)
    report(
        applied,
        as_json=session.as_json,
        unchanged="The block list already contains this; nothing was changed.",
        headline=headline,
        notes=[
            f"In effect everywhere by {iso_in(limits.OPERATOR_CONFIG_BOUND_SECONDS)}.{remark}",
            f"{block_list.summary(after)}; {_size(size)}",
        ],
        details={
            "bytes": size,
            "max_bytes": MAX_ADVANCED_BYTES,
            "effective_within_seconds": limits.OPERATOR_CONFIG_BOUND_SECONDS,
        },
    )


def _size(size: int) -> str:
    tier = f"above {MAX_STANDARD_BYTES} AWS charges for the parameter" if size > MAX_STANDARD_BYTES else "free tier"
    return f"{size} of {MAX_ADVANCED_BYTES} bytes ({tier})"
