"""`roomkey env`: an environment's state, from `init` to `destroy`."""

import typer

from roomkey_cli.commands.env import destroy, init, show, status, stop, toggle

app = typer.Typer(
    help="""Create an environment, see it, switch it off and on, take it away.

    Example: roomkey env status prod

    Example: roomkey env disable prod 100ms agora/app
    """,
    no_args_is_help=True,
)

app.command()(init.init)
app.command()(toggle.disable)
app.command()(toggle.enable)
app.command()(status.status)
app.command()(show.show)
app.command()(stop.stop)
app.command()(stop.start)
app.command()(destroy.destroy)
