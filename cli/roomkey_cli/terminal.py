"""Exit statuses, safe output, prompts and errors of all commands."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

REFUSED = 1
USAGE = 2
AWS_FAILED = 3
SWITCHED_OFF = 4

CODES = {REFUSED: "refused", USAGE: "usage", AWS_FAILED: "aws", SWITCHED_OFF: "switched-off"}
"""`error.code` of the JSON output, by exit status."""

OK, WARN, FAIL = "ok", "warn", "fail"
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


class CommandError(Exception):
    """A command cannot go on. `aws_code` is AWS's error code, empty for other errors."""

    def __init__(self, message: str, status: int, *, aws_code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.aws_code = aws_code

    def as_json(self) -> dict[str, object]:
        """Return the `error` object of the JSON output."""
        error = {"code": CODES[self.status], "message": str(self), "exit_status": self.status}
        return error | ({"aws_code": self.aws_code} if self.aws_code else {})


def fail(message: str, status: int) -> NoReturn:
    """End the command with `status` and `message`, which may have several lines."""
    raise CommandError(message, status)


def note(message: str) -> None:
    """Print a remark on standard error."""
    print(f"roomkey: {harmless(message)}", file=sys.stderr)


def print_line(line: str = "", *, mark: str = "", style: str = "") -> None:
    """Print a line on standard output: `mark` in a style of rich, then `line`."""
    text = Text(harmless(line))
    if mark:
        text = Text.assemble((harmless(mark), style), harmless(line))
    Console(highlight=False, soft_wrap=True).print(text)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON object on standard output. Raises `ValueError` for NaN and infinities, which are not JSON."""
    print(json.dumps(document, default=str, allow_nan=False))


def print_error(error: CommandError, *, as_json: bool) -> None:
    """Print an error on standard error and, with `--json`, as an object on standard output too."""
    print("\n".join(map(harmless, f"roomkey: {error}".split("\n"))), file=sys.stderr)
    if as_json:
        print_json({"error": error.as_json()})


def harmless(text: str) -> str:
    """Escape control characters, which a terminal would execute."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def iso(time: datetime | float) -> str:
    """Format a time, or Unix seconds, as ISO 8601 in UTC: `2026-11-28T15:53:45Z`."""
    late = isinstance(time, datetime) or time > 0
    return iso_or_none(time) or ("after 9999-12-31T23:59:59Z" if late else "before 0001-01-01T00:00:00Z")


def iso_or_none(time: datetime | float | None) -> str | None:
    """Format a time for the JSON output. None stays None, as does a time outside the years 1 to 9999."""
    if time is None:
        return None
    try:
        moment = datetime.fromtimestamp(time, UTC) if isinstance(time, float | int) else time.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def iso_in(seconds: float) -> str:
    """Format the time `seconds` from now."""
    return iso(datetime.now(UTC) + timedelta(seconds=seconds))


@contextmanager
def progress(activity: str) -> Iterator[None]:
    """Show `activity` on a terminal while the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(activity)):
        yield


def confirm_by_name(name: str, *, alternative: str) -> None:
    """Ask the user to type `name`, and end the command if they do not. `alternative` ends the error message."""
    try:
        answer = typer.prompt(f"Type {name} to continue", err=True)
    except typer.Abort:
        print(file=sys.stderr)
        answer = ""
    if answer.strip() != name:
        fail(f"nothing was changed: {name} was not typed{alternative}", REFUSED)
