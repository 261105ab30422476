"""Changes to an environment: shown first, confirmed where it matters, carried out one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from roomkey_cli.environment import Environment
from roomkey_cli.terminal import OK, STYLES, note, say, say_json, typed


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: in words, as an order ("create ..."), and as a call."""

    does: str
    do: Callable[[], object]


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How somebody wants it: shown only, without being asked, told as JSON."""

    dry_run: bool
    yes: bool
    as_json: bool


def apply(
    environment: Environment,
    changes: Sequence[Change],
    manner: ApplyOptions,
    *,
    already: str,
    notes: Sequence[str] = (),
    facts: Mapping[str, object] | None = None,
    always_ask: bool = False,
) -> None:
    """Does `changes`, unless it is a dry run, and says so.

    `already` is what to say where there are none, `notes` what follows once they are made. `facts` goes into the JSON,
    with what the changes have added to it by then.
    A production environment is confirmed by typing its name, with `always_ask` every one.
    """
    doing = bool(changes) and not manner.dry_run
    if doing and (always_ask or (environment.is_prod and not manner.yes)):
        for change in changes:
            note(f"about to {change.does}")
        typed(environment.name, otherwise="" if always_ask else " (--yes goes on without)")
    for change in changes:
        if doing:
            change.do()
        if not manner.as_json:
            say(change.does, mark="done: " if doing else "would ", style=STYLES[OK] if doing else "bold")
    notes = [already] if not changes else notes if doing else []
    if manner.as_json:
        says = {"environment": environment.name, "dry_run": manner.dry_run, "changed": doing}
        say_json({**says, "changes": [change.does for change in changes], "notes": list(notes), **(facts or {})})
        return
    for line in notes:
        say(line)
