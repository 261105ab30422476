"""`roomkey run`: the whole stack on this machine."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from roomkey.settings import Access, Settings, SettingsError
from roomkey_cli import credential_file
from roomkey_cli.commands import files
from roomkey_cli.commands.options import CredentialsFile, IssuerUrl
from roomkey_cli.data import OPEN_POLICY
from roomkey_cli.terminal import REFUSED, USAGE, fail


def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    credentials: CredentialsFile = None,
    policy: Annotated[
        Path | None, typer.Option(help="JSON file with the policy. Default: everything to anyone.", show_default=False)
    ] = None,
    access: Annotated[
        Access, typer.Option(help="Who may ask for app tokens, as the stack's AppTokenAccess.")
    ] = Access.OPEN,
    issuer: IssuerUrl = None,
    audience: Annotated[str, typer.Option(help="With --issuer: the audience its tokens must be for.")] = "roomkey",
    origin: Annotated[
        list[str] | None, typer.Option(help="Web origin whose pages may call. May be repeated.", show_default=False)
    ] = None,
    aws_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for Secrets Manager and SSM; 0 takes a free one.")
    ] = 0,
    aws_host: Annotated[str, typer.Option(help="Address for them; 0.0.0.0 lets containers in.")] = "127.0.0.1",
) -> None:
    """Run the whole stack on this machine, with demo credentials, no cloud account and no Docker.

    Example: roomkey run --port 8200 --access jwt
    """
    try:
        from roomkey_cli.local import stack  # Only this command needs a web server and moto.
    except ModuleNotFoundError as error:
        fail(f"the local stack needs the package {error.name}: pip install 'roomkey[local]'", USAGE)

    if issuer and access is not Access.JWT:
        fail("--issuer goes with --access jwt", USAGE)
    options = stack.Options(
        listen=stack.Address(host, port),
        aws=stack.Address(aws_host, aws_port),
        secrets=files.secrets(credentials) if credentials else credential_file.demo(),
        policy=files.policy_to_store(policy or OPEN_POLICY)[1],
        access=access.value,
        issuer=issuer,
        audience=audience,
        origins=origin or [],
    )
    try:
        Settings.from_environment(stack.function_environment("", options))
    except SettingsError as error:
        fail(str(error).replace("ALLOWED_ORIGINS", "--origin"), USAGE)
    _can_listen(host, port, "--host, --port")
    _can_listen(aws_host, aws_port, "--aws-host, --aws-port")
    stack.run(options)


def _can_listen(host: str, port: int, options: str) -> None:
    """Ends the command where nothing can listen, which one of the servers takes for the end, the other for ever."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # A port that was left a minute ago is free.
            one.bind((host, port))
            one.listen()
    except (UnicodeError, TypeError):  # Either is Python's word for it.
        fail(f"cannot listen at {host}, port {port} ({options}): that is no name of a host", REFUSED)
    except OSError as error:
        fail(f"cannot listen at {host}, port {port} ({options}): {error.strerror}", REFUSED)
