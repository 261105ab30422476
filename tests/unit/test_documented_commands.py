"""Every `roomkey` command that a page for operators shows is one that the command line understands."""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from infrastructure.template import ROOT
from roomkey_cli.main import app

PAGES = ["README.md", "docs/cli.md", "docs/deploy.md", "docs/operations.md", "docs/policy.md", "docs/capacity.md"]


def _in_blocks(page: str) -> Iterator[str]:
    """Commands in blocks of code, without comments and without what is piped in or out."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", _text(page), flags=re.DOTALL | re.MULTILINE))
    for line in re.sub(r"\\\n *", " ", blocks).splitlines():
        found = re.search(r"(?:^|[|] )(?:\.venv/bin/)?(roomkey .*)", re.sub(r" +#.*", "", line))
        if found:
            yield re.split(r" [|<>] ", found[1])[0].strip()


def _in_sentences(page: str) -> Iterator[str]:
    """Commands that a sentence names, perhaps without what they work on."""
    plain = re.sub(r"```.*?```", "", _text(page), flags=re.DOTALL)
    for shown in re.findall(r"`(?:\.venv/bin/)?(roomkey [^`]*)`", plain):
        command = " ".join(shown.split())
        if not re.search(r"…|\[", command):
            yield command.replace("PLATFORM", "100ms")


def _text(page: str) -> str:
    return (ROOT / page).read_text()


_WRONG: Any = typer.BadParameter.__base__
"""What the command line raises where it does not understand: its parser is Typer's own, and not exported."""


def _parsed(words: list[str]) -> None:
    """Reads the words as the command line would, and does nothing. Raises `_WRONG`."""
    command: Any = typer.main.get_command(app)
    parent, name = None, "roomkey"
    while isinstance(command, TyperGroup) and words:
        parent = typer.Context(command, parent=parent, info_name=name)
        name, command, words = command.resolve_command(parent, words)
    if not isinstance(command, TyperGroup):
        command.make_context(name, words, parent=parent)


def _shown(find: Callable[[str], Iterator[str]]) -> list[tuple[str, str]]:
    return sorted({(page, command) for page in PAGES for command in find(page)})


@pytest.mark.parametrize(("page", "command"), _shown(_in_blocks))
def test_a_command_in_a_block_can_be_typed_as_it_is(page: str, command: str) -> None:
    _parsed(shlex.split(command)[1:])


@pytest.mark.parametrize(("page", "command"), _shown(_in_sentences))
def test_a_command_in_a_sentence_exists(page: str, command: str) -> None:
    try:
        _parsed(shlex.split(command)[1:])
    except _WRONG as error:
        if type(error).__name__ != "MissingParameter":
            raise


def test_the_pages_show_the_commands_that_an_incident_takes() -> None:
    shown = " ".join(_in_blocks("docs/operations.md"))

    for command in ("env disable", "env enable", "env stop", "env start", "policy put", "secret put", "secret check"):
        assert f"roomkey {command}" in shown


@pytest.mark.parametrize("wrong", ["env disable prod zoom", "env halt prod", "secret put prod", "probe Prod"])
def test_what_cannot_be_typed_is_found(wrong: str) -> None:
    with pytest.raises(_WRONG):
        _parsed(wrong.split())
