"""Trying things out: a request that a platform takes, and whether credentials make tokens that work."""

from collections.abc import Callable

from roomkey.clock import SystemClock
from roomkey.errors import InternalError
from roomkey.minting import Randomness, mint
from roomkey.platforms.base import CredentialProblems, Platform, TokenKind
from roomkey.settings import STANDARD_LIVES
from roomkey.token_requests import granted_life, parse

_VALUES = ("roomkey-trial", "0123456789abcdef0123456789abcdef", "guest", "subscriber", "reader")
"""One of these is right for every field that a request must have: ids, and each platform's least role."""


def body(platform: Platform, kind: TokenKind) -> dict[str, str]:
    """The least request for such a token, as the endpoint takes it."""
    asked: dict[str, str] = {}
    targets = set()
    for field in platform.request_fields[kind]:
        if field.required and field.target not in targets:
            asked[field.name] = next(value for value in _VALUES if _fits(field.check, value))
            targets.add(field.target)
    return asked


def _fits(check: Callable[[object], object], value: str) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def of_secret(text: str, platform: Platform) -> list[str]:
    """What is wrong with a secret's text, never its values: its shape, or a token of either kind when it is minted."""
    from roomkey.credentials import parse_secret

    try:
        keys = parse_secret(text, platform)
    except CredentialProblems as error:
        return list(error.problems)
    problems = []
    for kind in TokenKind:
        request = parse(platform, kind, body(platform, kind), lives=STANDARD_LIVES)
        try:
            mint(request, granted_life(request, STANDARD_LIVES), keys, clock=SystemClock(), randomness=Randomness())
        except InternalError as error:
            found = error.failure.problems if error.failure else ()
            problems.append(f"the {kind} token that it signs is not good: {', '.join(found)}")
    return problems
