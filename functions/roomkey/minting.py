"""From a request that has been allowed to a token that works: sign it, read it back, hand it on.

A token that does not say exactly what was granted, as far as its format can say it, or that the platform would refuse,
never leaves this file.
"""

from typing import NamedTuple

from roomkey.errors import DependencyFailure, InternalError
from roomkey.platforms.base import Credentials, Grant, MintContext, Randomness, TokenKind
from roomkey.token_requests import TokenRequest


class MintedToken(NamedTuple):
    """A token that has been read back and found right, what it grants, and its own id where it has one.

    Times are Unix seconds, `expires_in` counts from `minted_at`. Never shown by `repr`.
    """

    token: str
    token_id: str | None
    grant: Grant
    minted_at: int
    expires_in: int

    def __repr__(self) -> str:
        return object.__repr__(self)


def mint(
    request: TokenRequest, expires_in: int, credentials: Credentials, *, at: float, randomness: Randomness
) -> MintedToken:
    """A token for `request` that lives `expires_in` seconds from `at` (Unix seconds), which is to be now.

    Who names no user gets a random one.

    Raises `InternalError` where the token does not say what it should.
    """
    platform = request.platform
    grant = Grant(
        kind=request.kind,
        expires_at=int(at) + expires_in,
        room_id=request.room_id,
        role=request.role,
        user_id=request.user_id,
        services=request.services,
    )
    if grant.user_id is None and platform.binds_user(request.kind):
        grant = grant._replace(user_id=randomness.uuid())
    make = platform.app_token if request.kind is TokenKind.APP else platform.management_token
    token = make(credentials, grant, MintContext(at, randomness))

    report = platform.explain(token, credentials, at)
    if (
        report is None
        or report.problems
        or report.warnings
        or report.signature is not True
        or report.grant != platform.expressible(grant)
    ):
        found = (*report.problems, *report.warnings) if report else ("it is none of the platform's",)
        raise InternalError(DependencyFailure("minting", "self-check-failed", transient=False, problems=found))
    return MintedToken(token, report.token_id, grant, int(at), expires_in)
