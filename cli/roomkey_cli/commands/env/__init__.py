"""`roomkey env`: an environment's state, from `init` to `destroy`."""

import typer

from roomkey_cli.commands.env import destroy, init, show, status, stop, toggle
from roomkey_cli.commands.env import list as list_
from roomkey_cli.commands.session import command

app = typer.Typer(
    help="""Create, inspect, switch off, switch on and remove environments.

    Example: roomkey env status prod

    Example: roomkey env disable prod 100ms agora/app
    """,
    no_args_is_help=True,
)

command(app, "list", list_.list_environments)
command(app, "init", init.init)
command(app, "disable", toggle.disable)
command(app, "enable", toggle.enable)
command(app, "status", status.status)
command(app, "show", show.show)
command(app, "stop", stop.stop)
command(app, "start", stop.start)
command(app, "destroy", destroy.destroy)
