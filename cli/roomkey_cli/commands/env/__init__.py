"""`roomkey env`: the commands for one environment, from `init` to `destroy`."""

import typer

from roomkey_cli.commands.env import destroy, disable, init, show, status, stop
from roomkey_cli.commands.env import list as list_
from roomkey_cli.commands.session import command

app = typer.Typer(
    help="""Create, inspect, disable, enable, stop, start and delete environments.

    Example: roomkey env status prod

    Example: roomkey env disable prod 100ms agora/app
    """,
    no_args_is_help=True,
)

command(app, "list", list_.list_environments)
command(app, "init", init.init)
command(app, "disable", disable.disable)
command(app, "enable", disable.enable)
command(app, "status", status.status)
command(app, "show", show.show)
command(app, "stop", stop.stop)
command(app, "start", stop.start)
command(app, "destroy", destroy.destroy)
