"""Check a secret: its format, and whether the tokens that it signs are valid."""

import time
from typing import Any

from roomkey.errors import InternalError
from roomkey.minting import mint
from roomkey.platforms.base import Platform, Randomness
from roomkey.platforms.credentials import InvalidCredentials
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import parse, resolve_lifetime
from roomkey_cli.aws import secret_store
from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import Environment
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


def examined(aws: Aws, environment: Environment, platform: Platform) -> dict[str, Any]:
    """Return the state of a platform's stored secret for the output. Raises `AwsError`."""
    stored = secret_store.find(aws, environment, platform.name)
    value = None
    if stored and not stored.deleted:
        value = secret_store.read(aws, environment, platform.name)
    return {
        "platform": platform.name,
        "name": environment.secret_name(platform.name),
        "stored": value is not None,
        "version_id": value.version_id if value else None,
        "problems": problems_of(value.text, platform) if value else [],
    }
