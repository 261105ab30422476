"""Check a secret: its format, and whether the tokens or invites that it signs are valid."""

import time
from typing import Any

from roomkey.errors import InternalError
from roomkey.invites import Invite, InviteKeys, UnverifiedInvite
from roomkey.minting import mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Randomness
from roomkey.platforms.credentials import InvalidCredentials
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import parse, resolve_lifetime
from roomkey_cli.aws import secret_store
from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import INVITES, Environment
from roomkey_cli.tokens.minimal_request import minimal_request


def problems_of(text: str, platform: Platform) -> list[str]:
    """Return the problems of a secret's text, without its values: its format, or a token of each kind that it signs."""
    try:
        keys = platform.parse_secret(text)
    except InvalidCredentials as error:
        return list(error.problems)
    problems = []
    for kind in platform.kinds:
        request = parse(platform, kind, minimal_request(platform, kind), lifetimes=DEFAULT_LIFETIMES)
        try:
            mint(request, resolve_lifetime(request, DEFAULT_LIFETIMES), keys, at=time.time(), randomness=Randomness())
        except InternalError as error:
            found = error.failure.problems if error.failure else ()
            problems.append(f"the {kind} token that it signs is not good: {', '.join(found)}")
    return problems


def invite_problems(text: str, environment: Environment) -> list[str]:
    """Return the problems of the keys of invites: their format, or an invite that they sign."""
    invite = Invite("100ms", "r", "guest", (), int(time.time()) + 60, Randomness().invite_id(), None)
    try:
        keys = InviteKeys.parse(text)
        keys.verify(UnverifiedInvite.decode(keys.sign(invite, environment.name)), environment.name, time.time())
    except ValueError as error:
        return [str(error)]
    return []


def examined(aws: Aws, environment: Environment, part: str) -> dict[str, Any]:
    """Return the state of a stored secret, a platform's or `invites`, for the output. Raises `AwsError`."""
    stored = secret_store.find(aws, environment, part)
    value = None
    if stored and not stored.deleted:
        value = secret_store.read(aws, environment, part)
    problems = []
    if value:
        is_invites = part == INVITES
        problems = invite_problems(value.text, environment) if is_invites else problems_of(value.text, PLATFORMS[part])
    return {
        "platform": part,
        "name": environment.secret_name(part),
        "stored": value is not None,
        "version_id": value.version_id if value else None,
        "problems": problems,
    }
