"""`roomkey mint` and `roomkey explain`: tokens at a terminal, made and read."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer

from roomkey.errors import KillSwitchUnavailable, MalformedBody, MintingDisabled, RoomkeyError
from roomkey.minting import MintedToken, mint
from roomkey.platforms.base import Platform, Randomness
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.request_body import json_object
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import TokenRequest, parse, resolve_lifetime
from roomkey_cli import credential_file
from roomkey_cli.aws import parameters, secret_store
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands import files
from roomkey_cli.commands.options import (
    At,
    CredentialsFile,
    EnvironmentOption,
    KindArgument,
    PlatformArgument,
    Profile,
    Region,
)
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, SWITCHED_OFF, USAGE, fail, note
from roomkey_cli.tokens import operator_audit


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
        return credential_file.checked(files.secrets(file), platform)
    except credential_file.CredentialFileError as error:
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
        platform = self.request.platform
        name = self.environment.secret_name(platform.name)
        value = secret_store.read(self.aws, self.environment, platform.name)
        if value is None:
            fail(f"there is no secret {name} in {self.aws.region}", REFUSED)
        try:
            return value.version_id, platform.parse_secret(value.text)
        except InvalidCredentials as error:
            fail(f"the secret {name} is not usable: {error}", REFUSED)

    def _write(self, **what: Any) -> Path:
        try:
            return operator_audit.write(self.environment, self.request, **what)
        except OSError as error:
            fail(
                f"a token that cannot be recorded is not handed out: {operator_audit.path()}: {error.strerror}", REFUSED
            )
