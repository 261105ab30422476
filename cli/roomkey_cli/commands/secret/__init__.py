"""`roomkey secret`: a platform's credentials, checked and stored."""

import typer

from roomkey_cli.commands.secret import check, put

app = typer.Typer(
    help="""Store and check the platforms' credentials. No command shows them.

    Example: roomkey secret put prod 100ms

    Example: roomkey secret check prod
    """,
    no_args_is_help=True,
)

app.command()(put.put)
app.command()(check.check)
