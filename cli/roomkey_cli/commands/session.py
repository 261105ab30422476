"""Groups of options that many commands share, and the error handling of all commands.

A command declares one parameter of type `Session`, `Output` or `ApplyOptions`. `command` replaces it with the options
that are the fields of that class. So `--json`, `--profile` and the others are declared once, and follow the command as
users expect: `roomkey env status prod --json`.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from io import UnsupportedOperation
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from roomkey_cli.aws.client import Aws
from roomkey_cli.terminal import USAGE, CommandError, print_error

_AWS_PANEL = "AWS"


@dataclass(frozen=True)
class Output:
    """The output format of a command."""

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False


@dataclass(frozen=True)
class Session(Output):
    """The output format and the AWS account of a command."""

    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", metavar="NAME", help="Your AWS profile.", show_default=False, rich_help_panel=_AWS_PANEL
        ),
    ] = None
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="NAME",
            help="The environment's AWS region.",
            show_default=False,
            rich_help_panel=_AWS_PANEL,
        ),
    ] = None

    @cached_property
    def aws(self) -> Aws:
        return Aws(self.profile, self.region)


@dataclass(frozen=True)
class ApplyOptions:
    """How to apply changes: only show them, or apply them without asking."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation in production environments.")] = False


GROUPS = (Output, Session, ApplyOptions)


class _Command(TyperCommand):
    """A command whose help shows no Python types."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose help shows no Python types."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def _without_types(params: Any) -> Any:
    """Replace Python types in the help, such as `<bool>` and `<Environment>`."""
    for param in params:
        described = param.type_descriptor
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""  # noqa: ARG005 - Typer's signature
        elif param.is_flag:
            param.metavar = ""
        elif param.metavar is None and not described.is_choice:
            param.metavar = "FILE" if described.is_path else "N" if described.is_ranged else "TEXT"
    return params


def command(app: typer.Typer, name: str, function: Callable[..., None], **settings: Any) -> None:
    """Register `function` as the command `name` of `app`."""
    app.command(name, cls=_Command, **settings)(_with_options(function))


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap `function`: replace each group of options with its options, and print errors."""
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hint in GROUPS}
    members = {
        group: {field.name: (get_type_hints(group, include_extras=True)[field.name], field) for field in fields(group)}
        for group in groups.values()
    }
    signature = inspect.signature(function)
    own = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in signature.parameters.values()
        if parameter.name not in groups
    ]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)
        for group in groups.values()
        for name, (hint, field) in members[group].items()
    ]

    @functools.wraps(function)
    def run(**values: Any) -> None:
        as_json = values.get("as_json", False)
        built = {name: group(**{key: values.pop(key) for key in members[group]}) for name, group in groups.items()}
        try:
            function(**values, **built)
        except CommandError as error:
            print_error(error, as_json=as_json)
            raise typer.Exit(error.status) from None
        except UnsupportedOperation:
            print_error(CommandError("standard input is closed", USAGE), as_json=as_json)
            raise typer.Exit(USAGE) from None

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *options]}
    return run
