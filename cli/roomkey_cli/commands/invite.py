"""`roomkey invite`: links with which guests join a room."""

import sys
import time
from typing import Annotated, Any

import typer

from roomkey.errors import InviteInvalid, RoomkeyError
from roomkey.invites import Invite, InviteKeys, UnverifiedInvite, check_guest_name
from roomkey.limits import DEFAULT_INVITE_LIFETIME, MAX_INVITE_LIFETIME, MIN_INVITE_LIFETIME
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Randomness, TokenKind
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import INVITE, TokenRequest, parse
from roomkey_cli.aws import block_list, kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.block_list import seconds
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.commands.options import EnvironmentArgument, EnvironmentOption, RequiredPlatformOption
from roomkey_cli.commands.session import Session, command
from roomkey_cli.environment import INVITES, Environment
from roomkey_cli.terminal import REFUSED, SWITCHED_OFF, USAGE, fail, harmless, iso, iso_or_none, note, print_json

app = typer.Typer(
    help="""Create invites for guests, and show what an invite grants.

    Example: roomkey invite create prod --platform 100ms --room lobby --role guest

    Example: roomkey invite show rki1.eyJ...
    """,
    no_args_is_help=True,
)


def create(
    environment: EnvironmentArgument,
    platform: RequiredPlatformOption,
    session: Session,
    room: Annotated[str | None, typer.Option(metavar="ID", help="The room or channel.", show_default=False)] = None,
    role: Annotated[str | None, typer.Option(metavar="NAME", help="The guests' role.", show_default=False)] = None,
    service: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A service; repeatable.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long, such as 2h or 7d. Default: 1d.", show_default=False),
    ] = None,
    guest_name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The guest's display name.", show_default=False)
    ] = None,
) -> None:
    """Create an invite with the environment's keys, and print it, or its URL if the stack has an InviteUrl.

    The kill switch applies. The policy does not apply to you, who can read the keys; it decides when a guest redeems
    the invite: without a rule for invites, no invite works. Everyone with the invite can read its room and role.

    Exit status: 0 created, 1 refused, 2 wrong usage, 3 AWS failed, 4 invites are off.

    Example: roomkey invite create prod --platform 100ms --room lobby --role guest --for 7d
    """
    aws, vendor = session.aws, PLATFORMS[platform]
    lifetime = _lifetime(duration)
    if guest_name is not None:
        try:
            check_guest_name(guest_name)
        except ValueError as error:
            fail(f"--guest-name {error}", USAGE)
    request = _guest_request(vendor, {"room_id": room, "role": role, "services": service})
    found, _ = parameters.require_environment(aws, environment)
    if found.kill_switch is None or found.kill_switch.is_off(vendor.name, INVITE):
        state = kill_switch.state_words(found.kill_switch) if found.kill_switch else "INVALID"
        fail(f"invites for {vendor.name} are off in {environment}: minting is {state}", SWITCHED_OFF)
    invite = Invite(
        platform=vendor.name,
        room_id=request.room_id,
        role=request.role,
        services=request.services,
        expires_at=int(time.time()) + lifetime,
        id=Randomness().invite_id(),
        guest_name=guest_name,
    )
    text = _keys(aws, environment).sign(invite, environment.name)
    url = _invite_url(aws, environment)
    if session.as_json:
        link = {"url": f"{url}#{text}"} if url else {}
        print_json({"invite": text, **_json(invite), "expires_in": lifetime, **link})
        return
    print(f"{url}#{text}" if url else text)
    revoke = f"roomkey block {environment} --invite {invite.id}"
    note(f"id {invite.id}, valid until {iso(invite.expires_at)}; to revoke: {revoke}")


def show(
    invite: Annotated[str, typer.Argument(metavar="INVITE", help="The invite or its URL, or - for standard input.")],
    session: Session,
    environment: EnvironmentOption = None,
) -> None:
    """Show what an invite grants. With --env, verify its signature and check whether it is blocked.

    Exit status: 0 valid, 1 invalid, expired or blocked, 2 wrong usage, 3 AWS failed.

    Example: roomkey invite show --env prod rki1.eyJ...
    """
    text = (sys.stdin.read() if invite == "-" else invite).strip().rpartition("#")[2]
    try:
        unverified = UnverifiedInvite.decode(text)
    except InviteInvalid:
        fail("this is not an invite", REFUSED)
    content = unverified.invite
    problems = [f"expired {iso(content.expires_at)}"] if content.expires_at <= time.time() else []
    signature = "unchecked"
    if environment:
        signature = "valid"
        try:
            _keys(session.aws, environment).verify(unverified, environment.name, 0)
        except InviteInvalid:
            signature = "invalid"
            problems.append(f"not signed with a key of {environment}")
        if content.id in _blocked(session.aws, environment):
            problems.append("blocked")
    if session.as_json:
        print_json({**_json(content), "key_id": unverified.key_id, "signature": signature, "problems": problems})
    else:
        print("\n".join(map(harmless, _lines(content, unverified.key_id, signature, problems))))
    if problems:
        raise typer.Exit(REFUSED)


def _lifetime(duration: str | None) -> int:
    try:
        lifetime = seconds(duration) if duration else DEFAULT_INVITE_LIFETIME
    except ValueError as error:
        fail(f"--for {error}", USAGE)
    if not MIN_INVITE_LIFETIME <= lifetime <= MAX_INVITE_LIFETIME:
        fail(f"--for must be from {MIN_INVITE_LIFETIME} s to {MAX_INVITE_LIFETIME // 86400} d", USAGE)
    return lifetime


def _guest_request(platform: Platform, target: dict[str, Any]) -> TokenRequest:
    """Return the app-token request that the invite stands for. Ends the command if the platform rejects it."""
    body = {name: value for name, value in target.items() if value}
    try:
        request = parse(platform, TokenKind.APP, body, lifetimes=DEFAULT_LIFETIMES, signed_in=True)
    except RoomkeyError as refusal:
        fail("\n  ".join([refusal.msg, *(f"{error.field}: {error.reason}" for error in refusal.errors)]), REFUSED)
    if request.opens_every_room:
        fail("room_id: is missing, and an invite is for one room", REFUSED)
    return request


def _keys(aws: Aws, environment: Environment) -> InviteKeys:
    value = secret_store.read(aws, environment, INVITES)
    name = environment.secret_name(INVITES)
    if value is None:
        fail(f"secret {name} is missing: roomkey secret put {environment} {INVITES} --generate", REFUSED)
    try:
        return InviteKeys.parse(value.text)
    except ValueError as error:
        fail(f"the secret {name} {error}", REFUSED)


def _invite_url(aws: Aws, environment: Environment) -> str:
    """Return the stack's InviteUrl, empty without one or without the permission to see the stack."""
    try:
        stack = stacks.find_stack(aws, environment)
    except AwsError:
        return ""
    return stack.parameters.get("InviteUrl", "") if stack else ""


def _blocked(aws: Aws, environment: Environment) -> tuple[str, ...]:
    stored = parameters.require_environment(aws, environment)[1].block_list
    try:
        return block_list.parse(stored.text).invites if stored else ()
    except ValueError:
        return ()


def _json(invite: Invite) -> dict[str, object]:
    document = {
        "invite_id": invite.id,
        "platform": invite.platform,
        "room_id": invite.room_id,
        "role": invite.role,
        "services": list(invite.services),
        "guest_name": invite.guest_name,
        "expires_at": iso_or_none(invite.expires_at),
    }
    return {name: value for name, value in document.items() if value not in (None, [])}


def _lines(invite: Invite, key_id: str, signature: str, problems: list[str]) -> list[str]:
    shown = {
        "id": invite.id,
        "room": invite.room_id,
        "role": invite.role,
        "for": ", ".join(invite.services),
        "guest": invite.guest_name,
        "expires": iso(invite.expires_at),
        "signature": f"{signature} (key {key_id})",
    }
    lines = [f"{invite.platform} invite", *(f"  {label:<10} {value}" for label, value in shown.items() if value)]
    return lines + [f"  INVALID    {problem}" for problem in problems]


command(app, "create", create)
command(app, "show", show)
