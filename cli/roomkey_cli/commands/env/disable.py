"""`roomkey env disable` and `roomkey env enable`: the kill switch."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated

import typer

from roomkey import limits
from roomkey.kill_switch import KillSwitch
from roomkey.platforms import PLATFORMS
from roomkey.token_requests import KINDS
from roomkey_cli.aws import endpoint, kill_switch, parameters, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.parameters import Parameter
from roomkey_cli.commands.changes import Change, apply, report
from roomkey_cli.commands.options import EVERYTHING, EnvironmentArgument, ScopesArgument
from roomkey_cli.commands.session import ApplyOptions, Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, USAGE, fail, iso_in, note, progress

POLL_SECONDS = 2
"""Time between two requests to health while `--wait` waits."""


def disable(
    environment: EnvironmentArgument, session: Session, options: ApplyOptions, scopes: ScopesArgument = None
) -> None:
    """Turn minting off for SCOPE (default: everything). Scopes that are off stay off.

    Tokens already issued stay valid until they expire.

    Example: roomkey env disable prod 100ms agora/app
    """
    scopes = _checked(scopes)
    aws = session.aws
    found, _ = parameters.require_environment(aws, environment)
    if scopes:
        after = kill_switch.turned_off(_require_valid(found, environment), scopes)
        write: Callable[[], object] = partial(parameters.replace, aws, found.name, found, after.text)
    else:
        after = KillSwitch(everything=True)
        # Unconditional: a concurrent write by another operator must not keep minting on.
        write = partial(parameters.put, aws, found.name, after.text)
    notes = _undo_notes(environment, found.kill_switch, after) if found.kill_switch else []
    _set(
        environment,
        found,
        after,
        write,
        session,
        options,
        [*notes, "Tokens already issued stay valid until they expire."],
    )


def _checked(scopes: list[str] | None) -> list[str]:
    """Return the scopes, empty for everything. Fail for a platform before a kind, which can be meant as one scope."""
    if not scopes or not EVERYTHING.isdisjoint(scopes):
        return []
    for platform, kind in pairwise(scopes):
        if platform in PLATFORMS and kind in KINDS:
            fail(
                f"{platform} {kind}: did you mean {platform}/{kind}? For all {kind} tokens and all of {platform}, "
                f"name the kind first: {kind} {platform}",
                USAGE,
            )
    return scopes


def _undo_notes(environment: Environment, before: KillSwitch, after: KillSwitch) -> list[str]:
    steps = [
        " ".join(("roomkey env", word, environment.name, *scopes))
        for word, scopes in kill_switch.undo_commands(before, after)
    ]
    return [f"To undo: {', then '.join(steps)}."] if steps else []


def enable(
    environment: EnvironmentArgument,
    session: Session,
    options: ApplyOptions,
    scopes: ScopesArgument = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the change is in effect everywhere.")] = False,
) -> None:
    """Turn minting on for SCOPE and the scopes within it (default: everything).

    If everything is off, only SCOPE is turned on. The command fails if another operator changes the kill switch
    meanwhile.

    Example: roomkey env enable prod 100ms
    """
    scopes = _checked(scopes)
    aws = session.aws
    found, _ = parameters.require_environment(aws, environment)
    after = KillSwitch(everything=False)
    if scopes:
        try:
            after = kill_switch.turned_on(_require_valid(found, environment), scopes)
        except ValueError as error:
            fail(str(error), REFUSED)
    write = partial(parameters.replace, aws, found.name, found, after.text)
    _set(environment, found, after, write, session, options, turned_on=scopes)
    if wait and not options.dry_run:
        wait_until_effective(aws, environment, after)


def _require_valid(found: Parameter, environment: Environment) -> KillSwitch:
    if found.kill_switch is None:
        fail(
            f"{found.name} does not contain a valid kill switch, so nothing is minted: run roomkey env disable "
            f"{environment}, or enable, without scopes",
            REFUSED,
        )
    return found.kill_switch


def _set(
    environment: Environment,
    found: Parameter,
    after: KillSwitch,
    write: Callable[[], object],
    session: Session,
    options: ApplyOptions,
    notes: Sequence[str] = (),
    turned_on: Sequence[str] = (),
) -> None:
    before = kill_switch.state_words(found.kill_switch) if found.kill_switch else "INVALID"
    now, still = kill_switch.state_words(after), ""
    if turned_on and now != "ON":
        now, still = f"ON for {', '.join(turned_on)}", f"; still {now}"
    changes = [Change(f"turn minting {now} in {environment}{still} (now: {before})", write)]
    applied = apply(environment, changes if found.kill_switch != after else [], options)
    effective_at = iso_in(limits.OPERATOR_CONFIG_BOUND_SECONDS) if applied.changed else None
    report(
        applied,
        as_json=session.as_json,
        unchanged=f"Minting is already {now} in {environment}{still}; nothing was changed.",
        headline=f"Minting is now {now} in {environment}{still} (was: {before}). "
        f"In effect everywhere within {limits.OPERATOR_CONFIG_BOUND_SECONDS} s, by {effective_at}.",
        notes=notes,
        details={
            "minting": kill_switch.as_json(after),
            "before": kill_switch.as_json(found.kill_switch),
            "effective_at": effective_at,
            "effective_within_seconds": limits.OPERATOR_CONFIG_BOUND_SECONDS,
        },
    )


def wait_until_effective(aws: Aws, environment: Environment, wanted: KillSwitch, url: str = "") -> None:
    """Wait until every copy of the function has read the kill switch: for its bound, and until health agrees.

    Raises `CommandError` if health does not agree in time.
    """
    if not url:
        stack = stacks.find_stack(aws, environment)
        url = stack.url if stack else ""
    started = time.monotonic()
    seen = "no response"
    with progress("Waiting until the kill switch is in effect everywhere ..."):
        while time.monotonic() - started < 2 * limits.OPERATOR_CONFIG_BOUND_SECONDS:
            agreed = not url
            if url:
                seen, agreed = _health(url, wanted)
            if agreed and time.monotonic() - started >= limits.OPERATOR_CONFIG_BOUND_SECONDS:
                note(f"in effect everywhere since {iso_in(0)}")
                return
            time.sleep(POLL_SECONDS)
    fail(
        f"the kill switch is not in effect after {2 * limits.OPERATOR_CONFIG_BOUND_SECONDS} s: {url} reports {seen}",
        REFUSED,
    )


def _health(url: str, wanted: KillSwitch) -> tuple[str, bool]:
    try:
        response = endpoint.send("GET", f"{url.rstrip('/')}/v1/health", {})
    except endpoint.ConnectionFailed as error:
        return str(error), False
    minting = response.body.get("minting")
    expected = wanted.minting(platform.name for platform in response.platforms)
    return f"minting {minting}" if minting else response.summary, minting == expected
