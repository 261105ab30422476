"""What commands share on a terminal: exit statuses, the way to fail, and text that is safe to show."""

import sys
from typing import NoReturn

import typer

REFUSED = 1
USAGE = 2


def fail(message: str, status: int) -> NoReturn:
    """Says why on standard error, and ends the command."""
    print(f"roomkey: {message}", file=sys.stderr)
    raise typer.Exit(status)


def harmless(text: str) -> str:
    """`text` without what a terminal would obey: it comes from anybody."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)
