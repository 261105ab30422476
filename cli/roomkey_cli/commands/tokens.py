"""`roomkey mint` and `roomkey explain`: tokens at a terminal, made and read."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer

from roomkey.errors import KillSwitchUnavailable, MalformedBody, MintingDisabled, RoomkeyError
from roomkey.minting import MintedToken, mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Credentials, InvalidCredentials, Platform, Randomness, TokenReport
from roomkey.request_body import json_object
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import TokenRequest, parse, resolve_lifetime
from roomkey_cli import credential_files, explanations, inputs, local_audit, parameters, secrets_store
from roomkey_cli.aws import Aws
from roomkey_cli.environments import Environment
from roomkey_cli.options import (
    AsJson,
    At,
    CredentialsFile,
    EnvironmentOption,
    KindArgument,
    PlatformArgument,
    Profile,
    Region,
)
from roomkey_cli.terminal import REFUSED, SWITCHED_OFF, USAGE, fail, harmless, note, say_json


def mint_command(
    platform: PlatformArgument,
    kind: KindArgument,
    credentials: CredentialsFile = None,
    environment: EnvironmentOption = None,
    body: Annotated[str, typer.Option(metavar="JSON", help="The request, as the endpoint takes it.")] = "{}",
    at: At = None,
    token_id: Annotated[
        UUID | None, typer.Option("--id", metavar="UUID", help="The token's jti or nonce.", show_default=False)
    ] = None,
    salt: Annotated[int | None, typer.Option(min=1, max=99_999_999, help="Agora's salt.", show_default=False)] = None,
    even_though_off: Annotated[
        bool, typer.Option("--ignore-kill-switch", help="With --env: mint although the environment's flag says no.")
    ] = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Mint a token without an endpoint, and print it alone.

    The key is one in a file of yours (--credentials), or that of a deployed environment (--env), if your AWS
    permissions let you read it. With --env the disable flag counts and the policy does not, and the token is recorded
    in ~/.local/state/roomkey/audit.jsonl on this machine, or under $XDG_STATE_HOME.

    The same request and credentials with the same --at, --id and --salt give the same token.

    Exit status: 0 minted, 1 refused (the reasons on standard error), 2 wrong usage, 3 AWS said no or could not be
    asked, 4 switched off.

    Example: roomkey mint 100ms app --credentials keys.json --body '{"room_id": "abc", "role": "host"}'

    Example: roomkey mint 100ms management --env prod
    """
    if (credentials is None) == (environment is None):
        fail("either --credentials or --env says whose key signs", USAGE)
    if environment is None and (even_though_off or profile is not None or region is not None):
        fail("--ignore-kill-switch, --profile and --region go with --env", USAGE)
    if salt is not None and platform.name != "agora":
        fail(f"--salt is Agora's: a token of {platform.title} has none", USAGE)
    try:
        request = parse(platform, kind, json_object(body.encode()), lifetimes=DEFAULT_LIFETIMES)
        lifetime = resolve_lifetime(request, DEFAULT_LIFETIMES)
    except (UnicodeEncodeError, MalformedBody):
        fail("--body is not a JSON object without duplicate keys", USAGE)
    except RoomkeyError as refusal:
        _refuse(refusal)
    drawn = Randomness()
    randomness = Randomness(
        uuid=(lambda: str(token_id)) if token_id else drawn.uuid,
        salt=(lambda: salt) if salt else drawn.salt,
    )

    def minted_with(keys: Credentials) -> MintedToken:
        try:
            return mint(request, lifetime, keys, at=time.time() if at is None else at, randomness=randomness)
        except RoomkeyError as refusal:
            _refuse(refusal)

    if environment:
        operator = _Operator(environment, Aws(profile, region), request)
        print(operator.mint(minted_with, even_though_off=even_though_off).token)
    elif credentials:
        print(minted_with(_checked(credentials, platform)).token)


def _refuse(refusal: RoomkeyError) -> NoReturn:
    fail("\n  ".join([refusal.msg, *(f"{one.field}: {one.reason}" for one in refusal.errors)]), REFUSED)


def _checked(file: Path, platform: Platform) -> Credentials:
    try:
        return credential_files.checked(inputs.secrets(file), platform)
    except credential_files.CredentialFileError as error:
        fail(f"{file}: {error}", USAGE)


@dataclass(frozen=True, slots=True)
class _Operator:
    """Somebody who may read a deployed environment's secret, and wants a token of it."""

    environment: Environment
    aws: Aws
    request: TokenRequest

    def mint(self, minted_with: Callable[[Credentials], MintedToken], *, even_though_off: bool) -> MintedToken:
        """The token, once it is written down. Ends the command where there is none to be had."""
        platform, kind = self.request.platform, self.request.kind
        principal = str(self.aws.call("sts", "get_caller_identity")["Arn"])
        found, _ = parameters.born(self.aws, self.environment)
        flag = found.flag
        text = found.text if flag else None
        if not even_though_off and (flag is None or flag.is_off(platform.name, kind)):
            failure = KillSwitchUnavailable if flag is None else MintingDisabled
            self._write(principal=principal, flag=text, reason=failure.code)
            why = f"its flag says {text}" if flag else "its flag is none"
            off = f"{kind} tokens for {platform.name} are off in {self.environment}"
            fail(f"{off}: {why}; --ignore-kill-switch mints all the same", SWITCHED_OFF)
        version_id, keys = self._keys()
        minted = minted_with(keys)
        file = self._write(principal=principal, flag=text, version_id=version_id, minted=minted)
        note(f"recorded in {file}")
        return minted

    def _keys(self) -> tuple[str, Credentials]:
        from roomkey.credentials import parse_secret

        platform = self.request.platform
        name = self.environment.secret_name(platform.name)
        value = secrets_store.read(self.aws, self.environment, platform.name)
        if value is None:
            fail(f"there is no secret {name} in {self.aws.region}", REFUSED)
        try:
            return value.version_id, parse_secret(value.text, platform)
        except InvalidCredentials as error:
            fail(f"the secret {name} is not usable: {error}", REFUSED)

    def _write(self, **what: Any) -> Path:
        try:
            return local_audit.write(self.environment, self.request, **what)
        except OSError as error:
            fail(f"a token that cannot be recorded is not handed out: {local_audit.path()}: {error.strerror}", REFUSED)


def explain(
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
    secrets = inputs.secrets(credentials) if credentials else {}

    def keys_of(platform: Platform) -> Credentials | None:
        try:
            return credential_files.unchecked(secrets, platform) if platform.name in secrets else None
        except credential_files.CredentialFileError as error:
            fail(f"{credentials}: {error}", USAGE)

    report = explanations.explain(text, moment, keys_of)
    if as_json:
        say_json(explanations.as_json(report))
    elif report:
        print(_in_words(report, moment))
    else:
        fail(explanations.NO_TOKEN, REFUSED)
    if report is None or report.problems:
        raise typer.Exit(REFUSED)


def _in_words(report: TokenReport, at: float) -> str:
    title, grant = PLATFORMS[report.platform].title, report.grant
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
