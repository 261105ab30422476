"""`roomkey`: the command line."""

import errno
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from roomkey import __version__
from roomkey.policy import Policy, PolicyProblems
from roomkey.settings import Settings, SettingsError
from roomkey_cli import credential_files
from roomkey_cli.aws import AwsError
from roomkey_cli.commands import doctor, env, policy, policy_put, probe, secret, tokens
from roomkey_cli.endpoint import is_address
from roomkey_cli.options import CredentialsFile
from roomkey_cli.terminal import AWS_FAILED, REFUSED, USAGE, fail, harmless

_HELP = """The token endpoint for real-time video that your team owns.

Try it on this machine: roomkey run

A new environment: roomkey env init staging, roomkey secret put staging 100ms, roomkey policy put staging policy.json,
deploy it, roomkey env enable staging, roomkey probe staging.

An incident: roomkey env disable prod --yes

Exit status of every command: 0 done, or good; 1 refused, or found bad; 2 wrong usage; 3 AWS said no or could not be
asked; 4 minting is switched off.
"""


class _Commands(TyperGroup):
    """The commands, and the one place where an AWS that says no ends one of them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AwsError as error:
            fail(str(error), AWS_FAILED)


app = typer.Typer(
    name="roomkey",
    cls=_Commands,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Access(StrEnum):
    OPEN = "open"
    JWT = "jwt"
    IAM = "iam"


def _policy(path: Path) -> str:
    """The policy in the file, as it will be stored. Anything but a policy ends the command."""
    try:
        text = path.read_text()
        Policy.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: {error.strerror if isinstance(error, OSError) else 'is not text'}", USAGE)
    except PolicyProblems as error:
        fail("\n  ".join([f"{path} is not a policy:", *(f"{where}: {why}" for where, why in error.problems)]), USAGE)
    return text


def _can_listen(host: str, port: int) -> None:
    """Raises `OSError` where nothing can listen, which one of the servers takes for the end, and the other for ever."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # A port that was left a minute ago is free.
        try:
            one.bind((host, port))
            one.listen()
        except (UnicodeError, TypeError):  # Either is Python's word for it.
            raise OSError(errno.EINVAL, "that is no name of a host") from None


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False) -> None:
    if version:
        print(f"roomkey {__version__}")
        raise typer.Exit


def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    credentials: CredentialsFile = None,
    policy: Annotated[
        Path | None, typer.Option(help="JSON file with the policy. Default: everything to anyone.", show_default=False)
    ] = None,
    access: Annotated[
        _Access, typer.Option(help="Who may ask for app tokens, as the stack's AppTokenAccess.")
    ] = _Access.OPEN,
    issuer: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --access jwt: whose tokens count. Default: a demo issuer.", show_default=False
        ),
    ] = None,
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
    from roomkey_cli.local import stack  # It loads a web server and moto, which no other command needs.

    if issuer and access is not _Access.JWT:
        fail("--issuer goes with --access jwt", USAGE)
    if issuer and not is_address(issuer):
        fail(harmless(f"--issuer: {issuer!r} is no address that begins with https:// or http://"), USAGE)
    secrets = credential_files.demo()
    if credentials:
        secrets = tokens.secrets_in(credentials)
    options = stack.Options(
        listen=stack.Address(host, port),
        aws=stack.Address(aws_host, aws_port),
        secrets=secrets,
        policy=_policy(policy or stack.OPEN_POLICY),
        access=access.value,
        issuer=issuer,
        audience=audience,
        origins=origin or [],
    )
    try:
        Settings.from_environment(stack.function_environment("", options))
        _can_listen(host, port)
        _can_listen(aws_host, aws_port)
        stack.run(options)
    except SettingsError as error:
        fail(str(error), USAGE)
    except BrokenPipeError:  # Nobody reads what it prints: no fault of the address.
        raise
    except OSError as error:
        fail(f"cannot listen: {error.strerror}", REFUSED)


policy.app.command()(policy_put.put)

_HERE, _DEPLOYED = "On this machine", "Deployed environments"
app.command(rich_help_panel=_HERE)(run)
app.command("mint", rich_help_panel=_HERE)(tokens.mint_command)
app.command(rich_help_panel=_HERE)(tokens.explain)
app.add_typer(env.app, name="env", rich_help_panel=_DEPLOYED)
app.add_typer(secret.app, name="secret", rich_help_panel=_DEPLOYED)
app.add_typer(policy.app, name="policy", rich_help_panel=_DEPLOYED)
app.command(rich_help_panel=_DEPLOYED)(probe.probe)
app.command(rich_help_panel=_DEPLOYED)(doctor.doctor)


def main() -> None:
    """The entry point of the `roomkey` command."""
    app()
