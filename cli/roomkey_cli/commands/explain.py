"""`roomkey explain`: a token decoded, verified and judged."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Signature, TokenReport
from roomkey.platforms.credentials import Credentials
from roomkey_cli import credential_file
from roomkey_cli.commands import files
from roomkey_cli.commands.options import At, CredentialsFile
from roomkey_cli.commands.session import Output
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, iso, note, print_json
from roomkey_cli.tokens import clipboard, explain
from roomkey_cli.tokens.foreign import ForeignToken


def explain_command(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or - to read it from standard input.")],
    output: Output,
    credentials: CredentialsFile = None,
    at: At = None,
) -> None:
    """Decode a token, verify its signature, and list why its vendor or a client would refuse it.

    TOKEN can be pasted text that contains one: a header, a JSON response, wrapped lines. Nothing leaves this machine.
    With --credentials, the signature is verified.

    Exit status: 0 valid, 1 invalid, 2 wrong usage.

    Example: roomkey explain --credentials keys.json "$TOKEN"
    """
    text = clipboard.decode(sys.stdin.buffer.read()) if token == "-" else token  # noqa: S105 - a dash, no password.
    moment = time.time() if at is None else at
    explanation = _explained(text, moment, credentials)
    if output.as_json:
        print_json(explain.as_json(explanation))
    elif explanation.report:
        print(_report_text(explanation, explanation.report, moment))
    elif explanation.foreign:
        print(_foreign_text(explanation, explanation.foreign, moment))
    else:
        fail(explanation.problems[0], REFUSED)
    if explanation.problems:
        raise typer.Exit(REFUSED)


def _explained(text: str, at: float, file: Path | None) -> explain.Explanation:
    """Explain the token in `text` with the credentials in `file`.

    Invalid credentials end the command if they can be the reason for a problem of the token.
    """
    if file is None:
        return explain.explain(text, at, lambda _: None)
    secrets = files.secrets(file)
    if not secrets:
        fail(f"{file}: has credentials for no platform", USAGE)
    faults: dict[str, str] = {}

    def keys_of(platform: Platform) -> Credentials | None:
        if platform.name not in secrets:
            return None
        try:
            return credential_file.checked(secrets, platform)
        except credential_file.CredentialFileError as error:
            faults[platform.name] = f"{file}: {error}"
        return credential_file.unchecked(secrets, platform)

    explanation = explain.explain(text, at, keys_of)
    if explanation.report and (fault := faults.get(explanation.report.platform)):
        if _depends_on_credentials(explanation.token, explanation.report, at):
            fail(fault, USAGE)
        note(fault)
    return explanation


def _depends_on_credentials(token: str, report: TokenReport, at: float) -> bool:
    """Return whether invalid credentials can be the reason for a problem in `report`."""
    without = PLATFORMS[report.platform].explain(token, None, at)
    return report.signature is not Signature.VALID or without is None or without.problems != report.problems


_SIGNATURES = {
    Signature.VALID: "valid",
    Signature.INVALID: "INVALID with these credentials",
    Signature.IMPOSSIBLE: "INVALID with any credentials",
    Signature.NOT_CHECKABLE: "cannot be checked from the token alone",
    Signature.UNCHECKED: "not checked: no credentials for this platform were given",
}


def _report_text(explanation: explain.Explanation, report: TokenReport, at: float) -> str:
    content = report.content
    name = report.label or (f"{content.kind} token" if content.kind else "a token")
    shown = {
        "note": "; ".join(explanation.notes),
        "kind": content.kind if report.label else None,
        "room": content.room_id,
        "role": content.role,
        "user": content.user_id,
        "for": ", ".join(content.services),
        "expires": "never" if explanation.never_expires else _expiry(content.expires_at, at),
        "signature": _SIGNATURES[report.signature],
    }
    lines = [f"{PLATFORMS[report.platform].title}: {name}"]
    lines += [f"  {label:<10} {value}" for label, value in shown.items() if value]
    lines += _claim_lines(report.claims)
    lines += [f"  warning    {warning}" for warning in report.warnings]
    lines += [f"  REFUSED    {problem}" for problem in report.problems]
    return "\n".join(map(harmless, lines))


def _foreign_text(explanation: explain.Explanation, foreign: ForeignToken, at: float) -> str:
    shown = {
        "note": "; ".join(explanation.notes),
        "expires": _expiry(foreign.expires_at, at),
        "form": "; ".join(foreign.flaws),
        "hint": foreign.hint,
    }
    lines = [f"{foreign.summary[0].upper()}{foreign.summary[1:]}"]
    lines += [f"  {label:<10} {value}" for label, value in shown.items() if value]
    lines += _claim_lines(foreign.claims)
    return "\n".join(map(harmless, lines))


_MAX_SHOWN = 1000
"""Characters of one claim that are printed; --json prints all."""


def _claim_lines(claims: Mapping[str, object]) -> list[str]:
    texts = {claim: json.dumps(value) for claim, value in claims.items()}
    shown = [
        f"    {claim[:_MAX_SHOWN]:<12} {text[:_MAX_SHOWN]}{'...' if len(text) > _MAX_SHOWN else ''}"
        for claim, text in texts.items()
    ]
    return ["  content", *shown] if shown else []


def _expiry(expires_at: float | None, at: float) -> str:
    return "" if expires_at is None else f"{iso(expires_at)}, {_span(expires_at - at)}"


_MAX_SPAN_YEARS = 1000
_MAX_SPAN = _MAX_SPAN_YEARS * 365.25 * 86400


def _span(seconds: float) -> str:
    if abs(seconds) > _MAX_SPAN:
        return f"in more than {_MAX_SPAN_YEARS} years" if seconds > 0 else f"more than {_MAX_SPAN_YEARS} years ago"
    units = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
    size, unit = next(((size, unit) for size, unit in units if abs(seconds) >= 2 * size), units[-1])
    count = f"{abs(seconds) / size:.0f} {unit}"
    return f"in {count}" if seconds > 0 else f"{count} ago"
