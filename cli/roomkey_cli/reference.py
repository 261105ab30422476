"""Generate the reference of all commands in docs/cli.md."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from roomkey.platforms import PLATFORMS

COMMON = ("--json", "--profile", "--region", "--dry-run", "--yes", "--help")
"""Options that the page explains once, as the argument ENV."""

_PLATFORMS = ", ".join(PLATFORMS)


def markdown(app: typer.Typer) -> str:
    """Return a section for each command of `app`."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="roomkey", obj=False)
    return "\n".join(line for path, child in _walk(command, context) for line in _section(path, child, command))


def _walk(command: Any, context: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in command.list_commands(context):
        child = command.commands[name]
        if hasattr(child, "commands"):
            yield from _walk(child, context, *path, name)
        else:
            yield (*path, name), child


def _section(path: tuple[str, ...], command: Any, root: Any) -> Iterator[str]:
    words = " ".join(("roomkey", *path))
    parent = typer.Context(root, info_name=" ".join(words.split(" ")[:-1]), obj=False)
    context = typer.Context(command, info_name=path[-1], parent=parent)
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    examples = [text.removeprefix("Example: ") for text in paragraphs if text.startswith("Example: ")]
    params = command.get_params(context)
    usage = " ".join(_usage(param) for param in params if param.param_type_name == "argument")
    yield from (f"## {words}", "", f"`{words} {usage}`".replace(" `", "`"), "")
    for text in paragraphs:
        if not text.startswith("Example: "):
            yield from (_escaped(text), "")
    yield from ("```sh", *examples, "```", "")
    rows = [row for param in params if (row := _row(param, context))]
    if rows:
        yield from ("| argument or option | |", "| --- | --- |", *rows, "")
    common = [option for option in COMMON[:-1] if any(option in param.opts for param in params)]
    if common:
        yield from (f"And {', '.join(f'`{option}`' for option in common)}.", "")


def _usage(param: Any) -> str:
    name = str(param.metavar or param.name).upper()
    return (name if param.required else f"[{name}]") + ("..." if param.nargs == -1 else "")


def _row(param: Any, context: Any) -> str | None:
    if any(option in COMMON for option in param.opts) or (
        param.param_type_name == "argument" and _usage(param) == "ENV"
    ):
        return None
    if param.param_type_name == "argument":
        label = f"`{_usage(param)}`"
    else:
        kind = param.display_type_rich(ctx=context) or ""
        label = ", ".join(f"`{option}{f' {kind}' if kind else ''}`" for option in param.opts)
    default = param.default
    shown = param.show_default and default not in (None, "", False, ()) and not callable(default)
    meaning = _escaped(param.help).replace(_PLATFORMS, "the [platforms](tokens.md)")
    return f"| {_escaped(label)} | {meaning}{f' Default: `{default}`.' if shown else ''} |"


def _escaped(text: str) -> str:
    return re.sub(r"\|", r"\\|", text)
