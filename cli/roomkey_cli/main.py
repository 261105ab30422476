"""`roomkey`: the command line."""

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import typer

from roomkey import __version__
from roomkey.bodies import json_object
from roomkey.clock import Instant, SystemClock
from roomkey.errors import RoomkeyError
from roomkey.minting import Randomness, mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Explanation, TokenKind
from roomkey.policy import Policy, PolicyProblems
from roomkey.settings import STANDARD_LIVES
from roomkey.token_requests import granted_life, parse
from roomkey_cli import credential_files, policy_commands

app = typer.Typer(
    name="roomkey",
    help="The token endpoint for real-time video that your team owns.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(policy_commands.app, name="policy")

REFUSED = 1
USAGE = 2


class _Access(StrEnum):
    OPEN = "open"
    JWT = "jwt"
    IAM = "iam"


_CredentialsFile = Annotated[
    Path | None, typer.Option("--credentials", help="JSON file with the platforms' credentials.", show_default=False)
]
_At = Annotated[
    float | None,
    typer.Option("--at", metavar="SECONDS", help="Unix time to act at, instead of now.", show_default=False),
]


def _fail(message: str, status: int) -> NoReturn:
    print(f"roomkey: {message}", file=sys.stderr)
    raise typer.Exit(status)


def _secrets(path: Path) -> credential_files.Secrets:
    try:
        secrets, unknown = credential_files.read(path)
    except credential_files.CredentialFileError as error:
        _fail(str(error), USAGE)
    for name in unknown:
        print(f"roomkey: {path}: {name} is no platform that Roomkey knows; passed over", file=sys.stderr)
    return secrets


def _policy(path: Path) -> str:
    """The policy in the file, as it will be stored. Anything but a policy ends the command."""
    try:
        text = path.read_text()
        Policy.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{path}: {error.strerror if isinstance(error, OSError) else 'is not text'}", USAGE)
    except PolicyProblems as error:
        _fail("\n  ".join([f"{path} is not a policy:", *(f"{where}: {why}" for where, why in error.problems)]), USAGE)
    return text


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False) -> None:
    if version:
        print(f"roomkey {__version__}")
        raise typer.Exit


@app.command()
def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    credentials: _CredentialsFile = None,
    policy: Annotated[
        Path | None, typer.Option(help="JSON file with the policy. Default: everything to anyone.", show_default=False)
    ] = None,
    access: Annotated[
        _Access, typer.Option(help="Who may ask for app tokens, as the stack's AppTokenAccess.")
    ] = _Access.OPEN,
    issuer: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --access jwt: whose tokens count. Default: a demo issuer.", show_default=False
        ),
    ] = None,
    audience: Annotated[str, typer.Option(help="With --issuer: the audience its tokens must be for.")] = "roomkey",
    origin: Annotated[
        list[str] | None, typer.Option(help="Web origin whose pages may call. May be repeated.", show_default=False)
    ] = None,
    aws_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for Secrets Manager and SSM; 0 takes a free one.")
    ] = 0,
    aws_host: Annotated[str, typer.Option(help="Address for them; 0.0.0.0 lets containers in.")] = "127.0.0.1",
) -> None:
    """Run the whole stack on this machine, with demo credentials, no cloud account and no Docker.

    Example: roomkey run --port 8200 --access jwt
    """
    from roomkey_cli import local_stack  # It loads a web server and moto, which no other command needs.

    if issuer and access is not _Access.JWT:
        _fail("--issuer goes with --access jwt", USAGE)
    secrets = credential_files.demo()
    if credentials:
        secrets = _secrets(credentials)
    options = local_stack.Options(
        listen=local_stack.Address(host, port),
        aws=local_stack.Address(aws_host, aws_port),
        secrets=secrets,
        policy=_policy(policy or local_stack.OPEN_POLICY),
        access=access.value,
        issuer=issuer,
        audience=audience,
        origins=origin or [],
    )
    try:
        local_stack.run(options)
    except OSError as error:
        _fail(f"cannot listen: {error.strerror}", REFUSED)


@app.command("mint")
def mint_command(
    platform: Annotated[str, typer.Argument(help="One of: " + ", ".join(PLATFORMS))],
    kind: Annotated[
        TokenKind, typer.Argument(help="app: a person joins a room. management: a server calls the vendor.")
    ],
    credentials: Annotated[Path, typer.Option(help="JSON file with the platforms' credentials.")],
    body: Annotated[str, typer.Option(metavar="JSON", help="The request, as the endpoint takes it.")] = "{}",
    at: _At = None,
    token_id: Annotated[
        UUID | None, typer.Option("--id", metavar="UUID", help="The token's jti or nonce.", show_default=False)
    ] = None,
    salt: Annotated[int | None, typer.Option(min=1, max=99_999_999, help="Agora's salt.", show_default=False)] = None,
) -> None:
    """Mint a token without an endpoint, and print it alone.

    The same request and credentials with the same --at, --id and --salt give the same token.

    Exit status: 0 minted, 1 refused (the reasons on standard error), 2 wrong usage.

    Example: roomkey mint 100ms app --credentials keys.json --body '{"room_id": "abc", "role": "host"}'
    """
    vendor = PLATFORMS.get(platform) or _fail(f"{platform} is none of {', '.join(PLATFORMS)}", USAGE)
    secrets = _secrets(credentials)
    drawn = Randomness()
    randomness = Randomness(
        uuid=(lambda: token_id) if token_id else drawn.uuid,
        salt=(lambda: salt) if salt else drawn.salt,
    )
    try:
        keys = credential_files.checked(secrets, vendor)
        request = parse(vendor, kind, json_object(body.encode()), lives=STANDARD_LIVES)
        life = granted_life(request, STANDARD_LIVES)
        minted = mint(request, life, keys, clock=_StoppedClock(at), randomness=randomness)
    except UnicodeEncodeError:
        _fail("the body is not text", REFUSED)
    except credential_files.CredentialFileError as error:
        _fail(str(error), REFUSED)
    except RoomkeyError as refusal:
        _fail("\n  ".join([refusal.msg, *(f"{one.field}: {one.reason}" for one in refusal.errors)]), REFUSED)
    print(minted.token)


class _StoppedClock(SystemClock):
    """Stands at one moment, if it was told one."""

    def __init__(self, at: float | None) -> None:
        self._at = at

    def now(self) -> Instant:
        now = super().now()
        return now if self._at is None else Instant(self._at, now.monotonic)


@app.command()
def explain(
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    credentials: _CredentialsFile = None,
    at: _At = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Say what a token is, what it is for, how long it lives, and what its vendor or a client would refuse it for.

    Nothing leaves this machine. With --credentials, the signature is checked too.

    Exit status: 0 a good token, 1 one that would be refused, 2 wrong usage.

    Example: roomkey explain --credentials keys.json "$TOKEN"
    """
    secrets = _secrets(credentials) if credentials else {}
    text = (sys.stdin.read() if token == "-" else token).strip()  # noqa: S105 - a dash, no password.
    moment = SystemClock().now().wall if at is None else at
    explanation = None
    for platform in PLATFORMS.values():
        try:
            keys = credential_files.unchecked(secrets, platform) if platform.name in secrets else None
        except credential_files.CredentialFileError as error:
            _fail(str(error), USAGE)
        explanation = explanation or platform.explain(text, keys, moment)
    if explanation is None:
        known = ", ".join(platform.title for platform in PLATFORMS.values())
        _fail(f"this is not a token of {known}", REFUSED)
    print(json.dumps(_as_json(explanation)) if as_json else _in_words(explanation, moment))
    if explanation.problems:
        raise typer.Exit(REFUSED)


def _as_json(explanation: Explanation) -> dict[str, object]:
    grant = explanation.grant
    return {
        "platform": explanation.platform,
        "kind": grant.kind if grant else None,
        "expires_at": grant.expires_at if grant else None,
        "signature": {True: "valid", False: "invalid", None: "unchecked"}[explanation.signature],
        "problems": explanation.problems,
        "warnings": explanation.warnings,
        "facts": explanation.facts,
    }


def _in_words(explanation: Explanation, at: float) -> str:
    title, grant = PLATFORMS[explanation.platform].title, explanation.grant
    lines = [f"{title}: {grant.kind} token" if grant else f"{title}: a token"]
    if grant:
        says = {"room": grant.room_id, "role": grant.role, "user": grant.user_id, "for": ", ".join(grant.services)}
        lines += [f"  {name:<10} {value}" for name, value in says.items() if value]
        lines.append(f"  expires    {_moment(grant.expires_at)}, {_span(grant.expires_at - at)}")
    signature = {
        True: "holds",
        False: "does NOT hold with these credentials",
        None: "not checked: no credentials for this platform were given",
    }
    lines.append(f"  signature  {signature[explanation.signature]}")
    lines += ["  it holds"] + [f"    {name:<12} {json.dumps(value)}" for name, value in explanation.facts.items()]
    lines += [f"  warning    {warning}" for warning in explanation.warnings]
    lines += [f"  REFUSED    {problem}" for problem in explanation.problems]
    return "\n".join(map(_harmless, lines))


def _harmless(line: str) -> str:
    """`line` without what a terminal would obey: a token's own words come from anybody."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in line)


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


def main() -> None:
    """The entry point of the `roomkey` command."""
    app()
