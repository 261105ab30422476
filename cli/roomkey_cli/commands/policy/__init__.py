"""`roomkey policy`: check, test, explain and put a policy."""

import typer

from roomkey_cli.commands.policy import check, explain, put, test

app = typer.Typer(
    help="""Check, test, explain and put a policy: who may have which token.

    Example: roomkey policy check policy.json

    Example: roomkey policy put prod policy.json --dry-run
    """,
    no_args_is_help=True,
)

app.command()(check.check)
app.command("test")(test.run_cases)
app.command()(explain.explain)
app.command()(put.put)
