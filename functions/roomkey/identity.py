"""Who is calling: what API Gateway proved, checked again here.

The gateway's authorizers do the proving, and put what they proved into the event. This file never takes its absence
for a local run: no authorizer block where one is due is a caller who has not signed in.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from roomkey.errors import NotAllowed, Unauthenticated
from roomkey.platforms.fields import check_id
from roomkey.settings import Access, ClaimNames


class Caller(NamedTuple):
    """Who is calling. `user_id` and `groups` come from a JWT, `principal` from SigV4; anyone at all has none of them.

    `principal` is an ARN: a role's, whatever the session is called, or a user's. Never shown by `repr`: claims are
    what an issuer knows of a person.
    """

    access: Access
    user_id: str | None = None
    issuer: str | None = None
    groups: tuple[str, ...] = ()
    claims: Mapping[str, str] = MappingProxyType({})
    principal: str | None = None

    def __repr__(self) -> str:
        return object.__repr__(self)

    def require_user(self) -> None:
        """Raises `NotAllowed` where somebody signed in whose token names no user that a token could be for."""
        if self.access is Access.JWT and self.user_id is None:
            raise NotAllowed


def from_authorizer(authorizer: Mapping[str, Any], access: Access, names: ClaimNames) -> Caller:
    """The caller, from the event's `requestContext.authorizer`.

    Raises `Unauthenticated` where `access` demands proof that is not there.
    """
    match access:
        case Access.OPEN:
            return Caller(access)
        case Access.JWT:
            return _from_jwt(_block(_block(authorizer, "jwt"), "claims"), names)
        case Access.IAM:
            return _from_iam(_block(authorizer, "iam"))


def _block(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = parent.get(name)
    if not isinstance(block, dict) or not block:
        raise Unauthenticated
    return block


def _from_jwt(claims: Mapping[str, Any], names: ClaimNames) -> Caller:
    # The gateway delivers every claim as text. Anything else did not come from there.
    texts = {name: value for name, value in claims.items() if isinstance(value, str)}
    return Caller(
        access=Access.JWT,
        user_id=_id(texts.get(names.user_id)),
        issuer=texts.get("iss"),
        groups=_groups(texts.get(names.groups, "")),
        claims=texts,
    )


def _id(claim: str | None) -> str | None:
    """The user's id, None where the claim is missing or breaks the rules for ids."""
    try:
        return check_id(claim)
    except ValueError:
        return None


def _groups(text: str) -> tuple[str, ...]:
    """The groups in a claim as API Gateway prints it: `[a b]` for a list, `[]` for an empty one, else one name.

    Brackets inside are a nested claim (`[map[name:x teachers]]`), from which no group is ever taken.
    """
    listed = text.startswith("[") and text.endswith("]")
    inside = text[1:-1] if listed else text
    if "[" in inside or "]" in inside:
        return ()
    return tuple(filter(None, inside.split(" ") if listed else [inside]))


_ASSUMED_ROLE = re.compile(r"arn:(?P<partition>[a-z-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")


def _from_iam(block: Mapping[str, Any]) -> Caller:
    arn = block.get("userArn")
    if not isinstance(arn, str) or not arn:
        raise Unauthenticated
    return Caller(access=Access.IAM, principal=normalised_principal(arn))


def normalised_principal(arn: str) -> str:
    """The ARN to know a caller by: without an assumed role's session name, which is the caller's own choice."""
    if role := _ASSUMED_ROLE.fullmatch(arn):
        return f"arn:{role['partition']}:iam::{role['account']}:role/{role['role']}"
    return arn
