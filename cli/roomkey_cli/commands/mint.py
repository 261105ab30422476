"""`roomkey mint`: a token without an endpoint."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer

from roomkey.block_list import BlockList
from roomkey.errors import Blocked, BlockListUnavailable, KillSwitchUnavailable, MintingDisabled, RoomkeyError
from roomkey.identity import Caller
from roomkey.minting import MintedToken, mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Randomness, TokenKind
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.settings import DEFAULT_LIFETIMES, Access
from roomkey.token_requests import TokenRequest, parse, resolve_lifetime
from roomkey_cli import credential_file, json_input
from roomkey_cli.aws import kill_switch, parameters, secret_store, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.parameters import Parameter
from roomkey_cli.commands import files
from roomkey_cli.commands.options import At, CredentialsFile, EnvironmentOption, KindArgument, PlatformArgument, url
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import REFUSED, SWITCHED_OFF, USAGE, fail, iso, note, print_json
from roomkey_cli.tokens import curl, operator_audit, pages

LOCAL_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class _Key:
    """Credentials and the version id of their secret, None for a file."""

    credentials: Credentials
    version_id: str | None = None


def mint_command(
    platform: PlatformArgument,
    kind: KindArgument,
    session: Session,
    credentials: CredentialsFile = None,
    environment: EnvironmentOption = None,
    room: Annotated[str | None, typer.Option(metavar="ID", help="The room or channel.", show_default=False)] = None,
    role: Annotated[str | None, typer.Option(metavar="NAME", help="The role.", show_default=False)] = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="The user. Default: a random id.", show_default=False)
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A service; repeatable.", show_default=False)
    ] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="The lifetime. Default: the platform's.", show_default=False),
    ] = None,
    body: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help="JSON body of the request; the options above are added to it. @FILE reads a file, @- standard input.",
        ),
    ] = "{}",
    show_curl: Annotated[
        bool,
        typer.Option(
            "--curl",
            help="Print a curl command that sends this request, and mint nothing. To --url, else to the deployed stack "
            f"of --env, else to {LOCAL_URL}. Not with --credentials.",
        ),
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", parser=url, help="With --curl: the API's URL.", show_default=False),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help=f"Join in the browser, on the vendor's test page: {', '.join(pages.PAGES)}.")
    ] = False,
    at: At = None,
    token_id: Annotated[
        UUID | None, typer.Option("--id", metavar="UUID", help="The token's jti or nonce.", show_default=False)
    ] = None,
    salt: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=99_999_999, help="Agora's salt.", show_default=False)
    ] = None,
    ignore_kill_switch: Annotated[
        bool, typer.Option("--ignore-kill-switch", help="With --env: mint although minting is off.")
    ] = False,
) -> None:
    """Mint a token without an endpoint, and print it.

    The key comes from a file (--credentials) or from a deployed environment (--env), if your AWS permissions let you
    read it. With --env, kill switch and block list apply, the policy does not, and the token is recorded in
    ~/.local/state/roomkey/audit.jsonl on this machine, or under $XDG_STATE_HOME.

    The same request and credentials with the same --at, --id and --salt give the same token.

    Exit status: 0 minted, 1 refused (the reasons are printed on standard error), 2 wrong usage, 3 AWS failed, 4
    minting is off.

    Example: roomkey mint 100ms app --credentials keys.json --room abc --role host

    Example: roomkey mint 100ms management --env prod
    """
    vendor = PLATFORMS[platform]
    if show_curl and credentials is not None:
        fail("--curl and --credentials cannot be combined", USAGE)
    if base_url and not show_curl:
        fail("--url needs --curl", USAGE)
    if not show_curl and (credentials is None) == (environment is None):
        fail("use either --credentials or --env", USAGE)
    if environment is None and (ignore_kill_switch or session.profile is not None or session.region is not None):
        fail("--ignore-kill-switch, --profile and --region need --env", USAGE)
    _check_platform_options(vendor, kind, salt=salt, open_page=open_page)
    key = _checked(credentials, vendor) if credentials else None  # A missing file is reported first.

    options = {"room_id": room, "role": role, "user_id": user, "services": service, "expires_in": expires_in}
    document = _document(body, {name: value for name, value in options.items() if value is not None})
    request = _parsed(vendor, kind, document)
    if show_curl:
        print(_curl(session.aws if environment else None, environment, base_url, request, document))
        return

    randomness = _randomness(token_id, salt)

    def minted_with(key: Credentials) -> MintedToken:
        moment = time.time() if at is None else at
        try:
            return mint(request, resolve_lifetime(request, DEFAULT_LIFETIMES), key, at=moment, randomness=randomness)
        except RoomkeyError as refusal:
            _refuse(refusal)

    if environment:
        minted = MintSession(environment, session.aws, request).mint(minted_with, ignore_kill_switch=ignore_kill_switch)
    else:
        assert key is not None  # noqa: S101 - checked above
        minted = minted_with(key.credentials)
    _print(minted, vendor, as_json=session.as_json)
    if open_page:
        note(f"opening {pages.host(vendor.name, minted)} with the token in the URL")
        typer.launch(pages.PAGES[vendor.name](minted))


def _check_platform_options(platform: Platform, kind: TokenKind, *, salt: int | None, open_page: bool) -> None:
    if kind not in platform.kinds:
        fail(f"{platform.title} has no {kind} tokens", USAGE)
    if salt is not None and platform.name != "agora":
        fail(f"--salt is for agora: {platform.name} tokens have none", USAGE)
    if open_page and platform.name not in pages.PAGES:
        fail(f"{platform.title} has no page that takes a token; --open works with {', '.join(pages.PAGES)}", USAGE)


def _randomness(token_id: UUID | None, salt: int | None) -> Randomness:
    """Return the values that the user chose, and random ones for the others."""
    random = Randomness()
    return Randomness(
        uuid=(lambda: str(token_id)) if token_id else random.uuid, salt=(lambda: salt) if salt else random.salt
    )


def _document(body: str, options: Mapping[str, object]) -> dict[str, Any]:
    """Return the request's body: the fields of `--body` and the options."""
    source = f"--body {body}" if body.startswith("@") else "--body"
    try:
        if body == "@-":
            document = json_input.parse(sys.stdin.buffer.read(), "standard input")
        elif body.startswith("@"):
            document = json_input.read_file(Path(body[1:]))
        else:
            document = json_input.parse(body.encode(errors="surrogateescape"), source)
    except json_input.InvalidInput as error:
        fail(str(error), USAGE)
    if duplicates := sorted(document.keys() & options.keys()):
        fail(f"{', '.join(duplicates)}: given in --body and as an option", USAGE)
    return {**document, **options}


def _parsed(platform: Platform, kind: Any, document: Mapping[str, Any]) -> TokenRequest:
    try:
        request = parse(platform, kind, document, lifetimes=DEFAULT_LIFETIMES)
        resolve_lifetime(request, DEFAULT_LIFETIMES)
    except RoomkeyError as refusal:
        _refuse(refusal)
    return request


def _refuse(refusal: RoomkeyError) -> NoReturn:
    fail("\n  ".join([refusal.msg, *(f"{error.field}: {error.reason}" for error in refusal.errors)]), REFUSED)


def _checked(file: Path, platform: Platform) -> _Key:
    try:
        return _Key(credential_file.checked(files.secrets(file, platform), platform))
    except credential_file.CredentialFileError as error:
        fail(f"{file}: {error}", USAGE)


def _print(minted: MintedToken, platform: Platform, *, as_json: bool) -> None:
    if not as_json:
        print(minted.token)
        return
    grant = minted.grant
    document = {
        "platform": platform.name,
        "kind": grant.kind,
        **minted.response_members,
        "token_id": minted.token_id,
        "room_id": grant.room_id,
        "role": grant.role,
        "user_id": grant.user_id,
        "services": grant.services,
        "issued_at": iso(minted.minted_at),
        "expires_at": iso(grant.expires_at),
        "expires_in": minted.expires_in,
        "renew_in": minted.renew_in,
        "connect": minted.connect,
    }
    print_json({name: value for name, value in document.items() if value not in (None, (), {})})


def _curl(
    aws: Aws | None,
    environment: Environment | None,
    base_url: str | None,
    request: TokenRequest,
    body: Mapping[str, Any],
) -> str:
    """Return the command, signed in as the stack requires, or without a sign-in if no stack is known."""
    base, access = base_url or LOCAL_URL, "open"
    if aws and environment:
        stack = stacks.find_stack(aws, environment)
        if not base_url and (stack is None or not stack.url):
            name = environment.stack_name
            fail(f"stack {name} with an output ApiUrl is missing in {aws.region}: use --url", REFUSED)
        if stack:
            base, access = base_url or stack.url, stack.parameters.get("AppTokenAccess", "jwt")
    return curl.command(base, request.platform.name, request.kind, body, access, aws.region if aws else "us-east-1")


@dataclass(frozen=True, slots=True)
class MintSession:
    """Mints with a deployed environment's secret, for a user who may read it."""

    environment: Environment
    aws: Aws
    request: TokenRequest

    def mint(self, minted_with: Callable[[Credentials], MintedToken], *, ignore_kill_switch: bool) -> MintedToken:
        """Return the token after recording it. Raises `CommandError` if it cannot be minted or recorded."""
        platform, kind = self.request.platform, self.request.kind
        principal = str(self.aws.call("sts", "get_caller_identity")["Arn"])
        found, stored = parameters.require_environment(self.aws, self.environment)
        switch = found.kill_switch
        text = found.text if switch else None
        if not ignore_kill_switch and (switch is None or switch.is_off(platform.name, kind)):
            failure = KillSwitchUnavailable if switch is None else MintingDisabled
            self._record(principal=principal, kill_switch=text, reason=failure.code)
            why = f"minting is {kill_switch.state_words(switch)}" if switch else "its kill switch is invalid"
            fail(
                f"{kind} tokens for {platform.name} are off in {self.environment}: {why}. "
                "--ignore-kill-switch mints anyway",
                SWITCHED_OFF,
            )
        self._require_unblocked(stored.block_list, principal=principal, kill_switch=text)
        key = self._key()
        minted = minted_with(key.credentials)
        file = self._record(principal=principal, kill_switch=text, version_id=key.version_id, minted=minted)
        note(f"recorded in {file}")
        return minted

    def _require_unblocked(self, stored: Parameter | None, **record: Any) -> None:
        try:
            block_list = BlockList.parse(stored.text if stored else "")
        except ValueError:
            self._record(**record, reason=BlockListUnavailable.code)
            fail(f"the block list is missing or invalid: run roomkey doctor {self.environment}", REFUSED)
        if block_list.blocks(self.request, Caller(Access.OPEN), time.time()):
            self._record(**record, reason=Blocked.code)
            fail(
                f"{self.request.user_id} is blocked in {self.environment}: see roomkey blocks {self.environment}",
                REFUSED,
            )

    def _key(self) -> _Key:
        platform = self.request.platform
        name = self.environment.secret_name(platform.name)
        value = secret_store.read(self.aws, self.environment, platform.name)
        if value is None:
            fail(f"secret {name} is missing in {self.aws.region}", REFUSED)
        try:
            return _Key(platform.parse_secret(value.text), value.version_id)
        except InvalidCredentials as error:
            fail(f"the secret {name} is invalid: {error}", REFUSED)

    def _record(self, **details: Any) -> Path:
        try:
            return operator_audit.write(self.environment, self.request, **details)
        except OSError as error:
            reason = f"{operator_audit.path()}: {error.strerror}"
            fail(f"the token is withheld, since it cannot be recorded: {reason}", REFUSED)
