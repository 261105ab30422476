"""Mint a token for an allowed request: sign it, read it back, and return it only if it is right.

A token that does not express exactly the grant, as far as its format can, or that the platform would refuse, is never
returned.
"""

from collections.abc import Mapping
from typing import NamedTuple

from roomkey.errors import DependencyFailure, InternalError
from roomkey.platforms.base import Grant, MintContext, Randomness, Signature, TokenContent
from roomkey.platforms.credentials import Credentials
from roomkey.token_requests import TokenRequest


class MintedToken(NamedTuple):
    """A checked token, its grant, and what the reply holds about it. `repr` hides all of it.

    Times are in Unix seconds; `expires_in` counts from `minted_at`. `reply` holds the members that hand out the token,
    `connect` the platform's public values, `renew_in` the seconds until a client fetches the next one.
    """

    token: str
    token_id: str | None
    grant: Grant
    minted_at: int
    expires_in: int
    reply: Mapping[str, object]
    connect: Mapping[str, object]
    renew_in: int | None

    def __repr__(self) -> str:
        return object.__repr__(self)


def mint(
    request: TokenRequest, expires_in: int, credentials: Credentials, *, at: float, randomness: Randomness
) -> MintedToken:
    """Return a token for `request` that lives `expires_in` seconds from `at`, the current Unix time.

    If the token is bound to a user and the request names none, a random id is generated.

    Raises `InternalError` if the token is not exactly what was granted.
    """
    platform = request.platform
    grant = Grant(
        kind=request.kind,
        expires_at=int(at) + expires_in,
        room_id=request.room_id,
        role=request.role,
        user_id=request.user_id,
        services=request.services,
        display_name=request.display_name,
        email=request.email,
        avatar_url=request.avatar_url,
    )
    if grant.user_id is None and platform.binds_user(request.kind):
        grant = grant._replace(user_id=randomness.uuid())
    token = platform.token(credentials, grant, MintContext(at, randomness))

    report = platform.explain(token, credentials, at)
    if (
        report is None
        or report.problems
        or report.warnings
        or not report.complete
        or report.signature is not Signature.VALID
        or report.content != TokenContent(*platform.expressible(grant))
    ):
        found = (*report.problems, *report.warnings) if report else ("it is not a token of the platform",)
        raise InternalError(DependencyFailure("minting", "self-check-failed", transient=False, problems=found))
    return MintedToken(
        token=token,
        token_id=report.token_id,
        grant=grant,
        minted_at=int(at),
        expires_in=expires_in,
        reply=platform.reply(credentials, grant, token),
        connect=credentials.public(platform.public_fields),
        renew_in=platform.renew_in(expires_in),
    )
