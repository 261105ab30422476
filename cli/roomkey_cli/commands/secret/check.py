"""`roomkey secret check`: whether the stored secrets sign valid tokens and invites."""

from collections.abc import Mapping
from typing import Any

import typer

from roomkey.platforms import PLATFORMS
from roomkey_cli.commands.options import EnvironmentArgument, SecretsArgument
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import INVITES
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, WARN, note, print_json, print_line
from roomkey_cli.tokens import verify_secret


def check(environment: EnvironmentArgument, session: Session, platforms: SecretsArgument = None) -> None:
    """Check each stored secret: its format, and a token of each kind, minted and verified. No secret is shown.

    For the keys of invites, an invite is signed and verified.

    Exit status 1 if a secret is invalid, a named one is missing, or none is stored.

    Example: roomkey secret check prod
    """
    names = [str(name) for name in platforms or (*PLATFORMS, INVITES)]
    results = {name: verify_secret.examined(session.aws, environment, name) for name in names}
    stored = [result for result in results.values() if result["stored"]]
    missing = platforms and len(stored) < len(results)
    bad = any(result["problems"] for result in stored) or not stored or bool(missing)
    if session.as_json:
        print_json({"environment": environment.name, "good": not bad, "secrets": list(results.values())})
    else:
        for name, result in results.items():
            _show(name, result)
        if not stored and not platforms:
            note(f"no secret is stored: roomkey secret put {environment} PLATFORM")
    if bad:
        raise typer.Exit(REFUSED)


def _show(name: str, result: Mapping[str, Any]) -> None:
    if not result["stored"]:
        print_line(f"{name}: not stored", mark="-     ", style=STYLES[WARN])
    elif result["problems"]:
        for problem in result["problems"]:
            print_line(f"{name}: {problem}", mark="fail  ", style=STYLES[FAIL])
    else:
        proof = "an invite was signed" if name == INVITES else "a token of each kind was minted"
        text = f"{name}: valid; {proof} and verified (version {result['version_id']})"
        print_line(text, mark="ok    ", style=STYLES[OK])
