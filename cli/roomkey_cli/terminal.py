"""What commands share on a terminal: exit statuses, ways to speak, ask and fail, and text that is safe to show."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

REFUSED = 1
USAGE = 2
AWS_FAILED = 3
SWITCHED_OFF = 4

OK, WARN, FAIL = "ok", "warn", "fail"
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


def fail(message: str, status: int) -> NoReturn:
    """Says why on standard error, in one line or several, and ends the command."""
    print("\n".join(map(harmless, f"roomkey: {message}".split("\n"))), file=sys.stderr)
    raise typer.Exit(status)


def note(message: str) -> None:
    """Says something on standard error: what is worth knowing and is not the answer."""
    print(f"roomkey: {harmless(message)}", file=sys.stderr)


def say(line: str = "", *, mark: str = "", style: str = "") -> None:
    """Says one line on standard output: `mark` in `style` (of rich), then the rest."""
    text = Text(harmless(line))
    if mark:
        text = Text.assemble((harmless(mark), style), harmless(line))
    Console(highlight=False, soft_wrap=True).print(text)


def say_json(answer: Mapping[str, object]) -> None:
    """Says one JSON object on standard output, for scripts."""
    print(json.dumps(answer, default=str))


def harmless(text: str) -> str:
    """`text` without what a terminal would obey: it comes from anybody."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def moment(time: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "at an unknown time" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(time: datetime | None) -> str | None:
    """A time as JSON has it."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Shows on a terminal what is being waited for, while the block lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(what)):
        yield


def typed(word: str, *, otherwise: str) -> None:
    """Goes on if somebody types `word`, and else ends the command, saying how to go on without: `otherwise`."""
    try:
        answer = typer.prompt(f"Type {word} to go on", err=True)
    except typer.Abort:
        print(file=sys.stderr)
        answer = ""
    if answer.strip() != word:
        fail(f"nothing was changed: {word} was not typed{otherwise}", REFUSED)
