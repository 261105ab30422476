"""Changes to an environment: show them, confirm them in production, and apply them in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from roomkey_cli.commands.session import ApplyOptions
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import OK, STYLES, CommandError, confirm_by_name, note, print_json, print_line


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its `description` in the imperative ("create ..."), and the call that applies it."""

    description: str
    apply: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply`. `changed` is false after a dry run and if there was nothing to change."""

    environment: Environment
    changes: Sequence[Change]
    dry_run: bool
    changed: bool


def apply(
    environment: Environment, changes: Sequence[Change], options: ApplyOptions, *, always_ask: bool = False
) -> Applied:
    """Apply `changes`, unless it is a dry run. Raises `CommandError` if the user does not confirm.

    A change in a production environment is confirmed by typing its name; with `always_ask`, in every environment.
    """
    changing = bool(changes) and not options.dry_run
    if changing and (always_ask or (environment.is_prod and not options.yes)):
        for change in changes:
            note(f"about to {change.description}")
        confirm_by_name(environment.name, alternative="" if always_ask else " (--yes skips this question)")
    if changing:
        _make(changes)
    return Applied(environment, changes, options.dry_run, changing)


def _make(changes: Sequence[Change]) -> None:
    done = []
    try:
        for change in changes:
            change.apply()
            done.append(change)
    except CommandError:
        for change in done:
            note(f"done before the error: {change.description}")
        raise


def report(
    applied: Applied,
    *,
    as_json: bool,
    unchanged: str,
    headline: str = "",
    notes: Sequence[str] = (),
    details: Mapping[str, object] | None = None,
) -> None:
    """Print the changes, applied or planned, as text or as one JSON object.

    `unchanged` replaces everything if there is nothing to change. `headline` replaces the list of applied changes, and
    `notes` follow it. `details` are further members of the JSON object.
    """
    render = _as_json if as_json else _as_text
    render(applied, [unchanged] if not applied.changes else notes if applied.changed else [], headline, details or {})


def _as_text(applied: Applied, notes: Sequence[str], headline: str, _: Mapping[str, object]) -> None:
    if headline and applied.changed:
        print_line(headline, style=STYLES[OK])
    else:
        for change in applied.changes:
            style = STYLES[OK] if applied.changed else "bold"
            print_line(change.description, mark="done: " if applied.changed else "would ", style=style)
    for line in notes:
        print_line(line)


def _as_json(applied: Applied, notes: Sequence[str], headline: str, details: Mapping[str, object]) -> None:
    lines = [headline, *notes] if headline and applied.changed else list(notes)
    print_json(
        {
            "environment": applied.environment.name,
            "dry_run": applied.dry_run,
            "changed": applied.changed,
            "changes": [change.description for change in applied.changes],
            "notes": lines,
            **details,
        }
    )
