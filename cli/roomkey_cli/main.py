"""`roomkey`: the command line."""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from roomkey import __version__
from roomkey_cli.commands import block, doctor, env, explain, iam, invite, mint, policy, probe, run, secret, up
from roomkey_cli.commands.options import did_you_mean
from roomkey_cli.commands.session import Group, command
from roomkey_cli.terminal import REFUSED, USAGE, CommandError, note, print_json

_HELP = """A self-hosted token server for video apps, in your own AWS account.

Try it on this machine: roomkey run

Deploy: roomkey up staging

Incident: roomkey env disable prod --yes

Exit status of every command: 0 done or valid; 1 refused or invalid; 2 wrong usage; 3 AWS failed; 4 minting is off.
"""

_ORDER = (
    "run",
    "mint",
    "explain",
    "up",
    "probe",
    "doctor",
    "env",
    "secret",
    "policy",
    "invite",
    "block",
    "unblock",
    "blocks",
    "iam",
)


_UsageError: Any = typer.BadParameter.__base__  # Typer does not export it by name.


class _Commands(Group):
    """Lists the commands in the order of their use, and reports usage errors."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            error.message = error.message.removeprefix("Value error, ")
            error.message += _suggestion(error.message)
            if ctx.obj:
                print_json({"error": CommandError(error.format_message(), USAGE).as_json()})
            raise


_KILL_SWITCH_WORDS = {
    **dict.fromkeys(("disable", "off", "kill"), "env disable"),
    **dict.fromkeys(("enable", "on"), "env enable"),
}
"""The command that an operator means, by the word that they try in an incident."""


def _suggestion(message: str) -> str:
    """Return ` Did you mean ...?` if a usage error has an unknown choice or command, and a known one is close."""
    if command := re.match(r"No such command '(.*)'\.$", message):
        meant = _KILL_SWITCH_WORDS.get(command[1])
        return f" Did you mean 'roomkey {meant}'?" if meant else ""
    choice = re.match(r"'(.*)' is not one of (.*)\.$", message)
    return did_you_mean(choice[1], re.findall("'([^']*)'", choice[2])) if choice else ""


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
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"roomkey {__version__}")
        raise typer.Exit


_HERE, _DEPLOYED = "On this machine", "Deployed environments"
command(app, "run", run.run, rich_help_panel=_HERE)
command(app, "mint", mint.mint_command, rich_help_panel=_HERE)
command(app, "explain", explain.explain_command, rich_help_panel=_HERE)
command(app, "up", up.up, rich_help_panel=_DEPLOYED)
command(app, "probe", probe.probe, rich_help_panel=_DEPLOYED)
command(app, "doctor", doctor.doctor, rich_help_panel=_DEPLOYED)
app.add_typer(env.app, name="env", cls=Group, rich_help_panel=_DEPLOYED)
app.add_typer(secret.app, name="secret", cls=Group, rich_help_panel=_DEPLOYED)
app.add_typer(policy.app, name="policy", cls=Group, rich_help_panel=_DEPLOYED)
app.add_typer(invite.app, name="invite", cls=Group, rich_help_panel=_DEPLOYED)
command(app, "block", block.block, rich_help_panel=_DEPLOYED)
command(app, "unblock", block.unblock, rich_help_panel=_DEPLOYED)
command(app, "blocks", block.blocks, rich_help_panel=_DEPLOYED)
command(app, "iam", iam.iam, rich_help_panel=_DEPLOYED)


def _open_closed_streams() -> None:
    """Replace streams that the shell has closed. Reading the closed input raises `io.UnsupportedOperation`."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the end.


def main() -> None:
    """Run the `roomkey` command."""
    _open_closed_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python would report the same error again while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno != errno.EPIPE:
            note(error.strerror or str(error))
        sys.exit(REFUSED)
