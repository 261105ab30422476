"""`roomkey policy`: check, test, explain and put a policy."""

import typer

from roomkey_cli.commands.policy import check, explain, put, test
from roomkey_cli.commands.session import command

app = typer.Typer(
    help="""Check, test, explain and store a policy, which decides who gets which token.

    Example: roomkey policy check policy.json

    Example: roomkey policy put prod policy.json --dry-run
    """,
    no_args_is_help=True,
)

command(app, "check", check.check)
command(app, "test", test.run_cases)
command(app, "explain", explain.explain)
command(app, "put", put.put)
