"""`roomkey explain`: a token decoded, verified and judged."""

import json
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Signature, TokenReport
from roomkey.platforms.credentials import Credentials
from roomkey_cli import credential_file
from roomkey_cli.commands import files
from roomkey_cli.commands.options import (
    AsJson,
    At,
    CredentialsFile,
)
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, say_json
from roomkey_cli.tokens import explain


def explain_command(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input.")],
    credentials: CredentialsFile = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Say what a token is, what it is for, how long it lives, and what its vendor or a client would refuse it for.

    Nothing leaves this machine. With --credentials, the signature is checked too.

    Exit status: 0 a good token, 1 one that would be refused, 2 wrong usage.

    Example: roomkey explain --credentials keys.json "$TOKEN"
    """
    text = (sys.stdin.read() if token == "-" else token).strip()  # noqa: S105 - a dash, no password.
    moment = time.time() if at is None else at
    secrets = files.secrets(credentials) if credentials else {}

    def keys_of(platform: Platform) -> Credentials | None:
        try:
            return credential_file.unchecked(secrets, platform) if platform.name in secrets else None
        except credential_file.CredentialFileError as error:
            fail(f"{credentials}: {error}", USAGE)

    report = explain.explain(text, moment, keys_of)
    if as_json:
        say_json(explain.as_json(report))
    elif report:
        print(_in_words(report, moment))
    else:
        fail(explain.NO_TOKEN, REFUSED)
    if report is None or report.problems:
        raise typer.Exit(REFUSED)


def _in_words(report: TokenReport, at: float) -> str:
    title, content = PLATFORMS[report.platform].title, report.content
    lines = [f"{title}: {content.kind} token" if content.kind else f"{title}: a token"]
    shown = {"room": content.room_id, "role": content.role, "user": content.user_id, "for": ", ".join(content.services)}
    lines += [f"  {name:<10} {value}" for name, value in shown.items() if value]
    if content.expires_at is not None:
        lines.append(f"  expires    {_moment(content.expires_at)}, {_span(content.expires_at - at)}")
    signature = {
        Signature.VALID: "holds",
        Signature.INVALID: "does NOT hold with these credentials",
        Signature.IMPOSSIBLE: "is not an HS256 signature: no credentials can make it",
        Signature.UNCHECKED: "not checked: no credentials for this platform were given",
    }
    lines.append(f"  signature  {signature[report.signature]}")
    lines += ["  it holds"] + [f"    {name:<12} {json.dumps(value)}" for name, value in report.claims.items()]
    lines += [f"  warning    {warning}" for warning in report.warnings]
    lines += [f"  REFUSED    {problem}" for problem in report.problems]
    return "\n".join(map(harmless, lines))


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def _span(seconds: float) -> str:
    units = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
    size, unit = next(((size, unit) for size, unit in units if abs(seconds) >= 2 * size), units[-1])
    count = f"{abs(seconds) / size:.0f} {unit}"
    return f"in {count}" if seconds > 0 else f"{count} ago"
