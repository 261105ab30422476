"""Who is calling: what API Gateway proved, checked again here.

The gateway's authorizers do the proving, and put what they proved into the event. This file never takes its absence
for a local run: no authorizer block where one is due is a caller who has not signed in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from roomkey.errors import NotAllowed, Unauthenticated
from roomkey.platforms.base import check_id


class Access(StrEnum):
    """How a route lets callers in: with a verified JWT, with a SigV4 signature, or anyone at all."""

    JWT = "jwt"
    IAM = "iam"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `user_id` and `groups` come from a JWT, `principal` from SigV4; anyone at all has none of them.

    `principal` is an ARN: a role's, whatever the session is called, or a user's.
    """

    access: Access
    user_id: str | None = None
    issuer: str | None = None
    groups: tuple[str, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict, repr=False)
    principal: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claims of a JWT say who the user is and which groups they are in."""

    user_id: str
    groups: str


def identify(authorizer: Mapping[str, Any], access: Access, names: ClaimNames) -> Caller:
    """The caller, from the event's `requestContext.authorizer`.

    Raises `Unauthenticated` where `access` demands proof that is not there, and `NotAllowed` where a signed-in user
    has no id that a token could be for.
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
    if not isinstance(block, Mapping) or not block:
        raise Unauthenticated
    return block


def _from_jwt(claims: Mapping[str, Any], names: ClaimNames) -> Caller:
    # The gateway delivers every claim as text. Anything else did not come from there.
    texts = {name: value for name, value in claims.items() if isinstance(value, str)}
    try:
        user_id = check_id(texts.get(names.user_id))
    except ValueError:
        raise NotAllowed from None
    return Caller(
        access=Access.JWT,
        user_id=user_id,
        issuer=texts.get("iss"),
        groups=_groups(texts.get(names.groups, "")),
        claims=texts,
    )


def _groups(text: str) -> tuple[str, ...]:
    """The groups in a claim as API Gateway prints it: `[a b]` for a list, `[]` for an empty one, else one name."""
    if text.startswith("[") and text.endswith("]"):
        return tuple(text[1:-1].split())
    return (text,) if text else ()


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
