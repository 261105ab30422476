"""`roomkey`: the command line."""

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from roomkey import __version__
from roomkey_cli.aws.client import AwsError
from roomkey_cli.commands import doctor, env, explain, mint, policy, probe, run, secret
from roomkey_cli.terminal import AWS_FAILED, REFUSED, fail, note

_HELP = """The token endpoint for real-time video that your team owns.

Try it on this machine: roomkey run

A new environment: roomkey env init staging, roomkey secret put staging 100ms, roomkey policy put staging policy.json,
deploy it, roomkey env enable staging, roomkey probe staging.

An incident: roomkey env disable prod --yes

Exit status of every command: 0 done, or good; 1 refused, or found bad; 2 wrong usage; 3 AWS said no or could not be
asked; 4 minting is switched off.
"""


_ORDER = ("run", "mint", "explain", "probe", "env", "secret", "policy", "doctor")


class _Commands(TyperGroup):
    """The commands, and the one place where an AWS that says no ends one of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

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


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False) -> None:
    if version:
        print(f"roomkey {__version__}")
        raise typer.Exit


_HERE, _DEPLOYED = "On this machine", "Deployed environments"
app.command(rich_help_panel=_HERE)(run.run)
app.command("mint", rich_help_panel=_HERE)(mint.mint_command)
app.command("explain", rich_help_panel=_HERE)(explain.explain_command)
app.command(rich_help_panel=_DEPLOYED)(probe.probe)
app.add_typer(env.app, name="env", rich_help_panel=_DEPLOYED)
app.add_typer(secret.app, name="secret", rich_help_panel=_DEPLOYED)
app.add_typer(policy.app, name="policy", rich_help_panel=_DEPLOYED)
app.command(rich_help_panel=_DEPLOYED)(doctor.doctor)


def main() -> None:
    """The entry point of the `roomkey` command."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # What is still to be written has nowhere to go, and Python would say so once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno != errno.EPIPE:
            note(error.strerror or str(error))
        sys.exit(REFUSED)
