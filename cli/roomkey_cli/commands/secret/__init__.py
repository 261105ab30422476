"""`roomkey secret`: credentials and invite keys, checked and stored."""

import typer

from roomkey_cli.commands.secret import check, put
from roomkey_cli.commands.session import command

app = typer.Typer(
    help="""Store and check the platforms' credentials. No command prints them.

    Example: roomkey secret put prod 100ms

    Example: roomkey secret check prod
    """,
    no_args_is_help=True,
)

command(app, "put", put.put)
command(app, "check", check.check)
