"""`roomkey run`: the whole stack on this machine."""

import errno
import socket
from pathlib import Path
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey.settings import Access, GroupsFormat, Settings, SettingsError
from roomkey_cli import credential_file
from roomkey_cli.commands import files
from roomkey_cli.commands.options import CredentialsFile, IssuerUrl
from roomkey_cli.data import OPEN_POLICY
from roomkey_cli.terminal import REFUSED, USAGE, fail

_NEEDS_EXTRA = """the local stack needs the extra `local`. Install roomkey with it, from the PATH that it came from:
  pip install 'PATH[local]'
  pipx install --force 'PATH[local]'
  uv tool install --force 'PATH[local]'"""


def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    credentials: CredentialsFile = None,
    policy: Annotated[
        Path | None, typer.Option(help="JSON file with the policy. Default: everything to anyone.", show_default=False)
    ] = None,
    access: Annotated[Access, typer.Option(help="Access to app tokens, as the stack's AppTokenAccess.")] = Access.OPEN,
    issuer: IssuerUrl = None,
    audience: Annotated[str, typer.Option(help="With --issuer: accepted audiences, joined by commas.")] = "roomkey",
    user_id_claim: Annotated[str, typer.Option(help="Claim with the user's id, as the stack's UserIdClaim.")] = "sub",
    groups_claim: Annotated[
        str, typer.Option(help="Claim with the user's groups, as the stack's GroupsClaim.")
    ] = "groups",
    groups_format: Annotated[
        GroupsFormat, typer.Option(help="How the groups claim is written, as the stack's GroupsFormat.")
    ] = GroupsFormat.LIST,
    invite_url: Annotated[
        str,
        typer.Option(metavar="URL", help="Page that invites link to, as the stack's InviteUrl.", show_default=False),
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Scope of which an access token must have one. May be repeated.", show_default=False),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Web origin whose pages may call, besides localhost. May be repeated.", show_default=False),
    ] = None,
    aws_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for Secrets Manager and SSM; 0 takes a free one.")
    ] = 0,
    aws_host: Annotated[
        str, typer.Option(help="Address for Secrets Manager and SSM; containers need 0.0.0.0.")
    ] = "127.0.0.1",
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Listen on this machine's network address, with TLS and a key in the path, for phones.",
        ),
    ] = False,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Print JSON lines, as on AWS.")] = False,
) -> None:
    """Run the whole stack on this machine, with demo credentials, no cloud account and no Docker.

    Example: roomkey run --port 8200 --access jwt
    """
    try:
        from roomkey_cli.local import guard, sigv4, stack  # Only this command needs a web server and moto.
    except ModuleNotFoundError:
        fail(_NEEDS_EXTRA, USAGE)

    if access is not Access.JWT and (issuer or scope):
        fail("--issuer and --scope need --access jwt", USAGE)
    if lan:
        host = _lan_address(host)
    if credentials and not ((lan or guard.is_loopback(host)) and guard.is_loopback(aws_host)):
        fail(
            "--credentials cannot be combined with a network address in --host or --aws-host; use --lan",
            USAGE,
        )
    secrets = files.secrets(credentials) if credentials else credential_file.demo()
    if not secrets:
        fail(f"{credentials}: has credentials for no platform", USAGE)
    for name in secrets:
        try:
            credential_file.checked(secrets, PLATFORMS[name])
        except credential_file.CredentialFileError as error:
            fail(f"{credentials}: {error}", USAGE)
    options = stack.Options(
        listen=stack.Address(host, port),
        aws=stack.Address(aws_host, aws_port),
        secrets=secrets,
        policy=files.policy_to_store(policy or OPEN_POLICY)[1],
        access=access,
        issuer=issuer,
        audience=audience,
        user_id_claim=user_id_claim,
        groups_claim=groups_claim,
        groups_format=groups_format,
        invite_url=invite_url,
        scopes=scope or [],
        origins=origin or [],
        json_logs=json_logs,
        lan=lan,
    )
    try:
        Settings.from_environment(stack.function_environment(options, "", sigv4.LocalKey("", "")))
    except SettingsError as error:
        fail(_in_option_names(str(error)), USAGE)
    _check_can_listen(host, port, "--host", "--port")
    _check_can_listen(aws_host, aws_port, "--aws-host", "--aws-port")
    stack.run(options)


def _lan_address(host: str) -> str:
    """Return the address that other machines reach, or `host` if the user chose one."""
    from roomkey_cli.local import guard

    if not guard.is_loopback(host):
        return host
    addresses = guard.own_addresses()
    if not addresses:
        fail("--lan needs a network; give the address with --host", REFUSED)
    return addresses[0]


def _in_option_names(message: str) -> str:
    for variable, option in (
        ("ALLOWED_ORIGINS", "--origin"),
        ("USER_ID_CLAIM", "--user-id-claim"),
        ("GROUPS_CLAIM", "--groups-claim"),
        ("INVITE_URL", "--invite-url"),
    ):
        message = message.replace(variable, option)
    return message


def _check_can_listen(host: str, port: int, host_option: str, port_option: str) -> None:
    """End the command if the address is not available; the servers would report it less clearly."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Accept a port that was closed a minute ago.
            probe.bind((host, port))
            probe.listen()
    except (UnicodeError, TypeError):  # Python raises either for an invalid host name.
        reason = "the host name is invalid"
    except OSError as error:
        reason = str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            other = f"{port_option} {port + 200 if port < 65336 else 0}"
            reason = f'the port is in use; try roomkey run {other}, or make run ARGS="{other}"'
    else:
        return
    fail(f"cannot listen at {host}, port {port} ({host_option}, {port_option}): {reason}", REFUSED)
