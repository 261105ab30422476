"""Mint a token for an allowed request: sign it, read it back, and return it only if it is right.

A token that does not express exactly the grant, as far as its format can, or that the platform would refuse, is never
returned.
"""

from collections.abc import Mapping

from roomkey.errors import CredentialsInvalid, DependencyFailure, InternalError
from roomkey.platforms.base import Grant, MintContext, Randomness, Signature, TokenContent
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.token_requests import TokenRequest


class MintedToken:
    """A checked token, its grant, and its members of the response. A plain class: its repr shows no token.

    `minted_at` is in Unix seconds, `expires_in` in seconds from then. `response_members` return the token, `connect`
    has the platform's public values, `renew_in` the seconds until a client fetches the next token.
    """

    __slots__ = ("connect", "expires_in", "grant", "minted_at", "renew_in", "response_members", "token", "token_id")

    def __init__(
        self,
        token: str,
        token_id: str | None,
        grant: Grant,
        *,
        minted_at: int,
        expires_in: int,
        response_members: Mapping[str, object],
        connect: Mapping[str, object],
        renew_in: int | None,
    ) -> None:
        self.token = token
        self.token_id = token_id
        self.grant = grant
        self.minted_at = minted_at
        self.expires_in = expires_in
        self.response_members = response_members
        self.connect = connect
        self.renew_in = renew_in


def mint(
    request: TokenRequest, expires_in: int, credentials: Credentials, *, at: float, randomness: Randomness
) -> MintedToken:
    """Mint a token for `request` that is valid for `expires_in` seconds from `at`, the current Unix time.

    If the token is bound to a user and the request names none, a random id is generated.

    Raises:
        InternalError: The token does not contain exactly what was granted.
        CredentialsInvalid: The secret lacks a value that this request needs.
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
        metadata=request.metadata,
        attributes=request.attributes,
        agent=request.agent,
    )
    if grant.user_id is None and platform.binds_user(request.kind):
        grant = grant._replace(user_id=randomness.uuid())
    try:
        token = platform.token(credentials, grant, MintContext(at, randomness))
    except InvalidCredentials as error:
        problems = tuple(f"{platform.name}.{problem}" for problem in error.problems)
        raise CredentialsInvalid(
            DependencyFailure("minting", "not-usable", transient=False, problems=problems)
        ) from None

    report = platform.explain(token, credentials, at)
    if (
        report is None
        or report.problems
        or report.warnings
        or not report.complete
        or report.signature is not Signature.VALID
        or type(report.content.expires_at) is not int
        or report.content != TokenContent(*platform.expressible(grant))
    ):
        problems = (*report.problems, *report.warnings) if report else ("not a token of this platform",)
        raise InternalError(DependencyFailure("minting", "self-check-failed", transient=False, problems=problems))
    return MintedToken(
        token,
        report.token_id,
        grant,
        minted_at=int(at),
        expires_in=expires_in,
        response_members=platform.response_members(credentials, grant, token),
        connect=credentials.public(platform.public_fields),
        renew_in=platform.renew_in(expires_in),
    )
