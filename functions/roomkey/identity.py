"""The caller, from what API Gateway's authorizers verified.

A missing authorizer block always means "unauthenticated", also locally.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from roomkey import strict_json
from roomkey.errors import NotAllowed, Unauthenticated
from roomkey.platforms.fields import GUEST_PREFIX, check_id
from roomkey.settings import Access, ClaimNames, GroupsFormat


class Caller(NamedTuple):
    """The caller. `user_id`, `groups` and `claims` come from a JWT, `principal` from SigV4, `invite_id` from an invite.

    `principal` is an ARN: of a role, without the session's name, or of a user.
    """

    access: Access
    user_id: str | None = None
    issuer: str | None = None
    groups: tuple[str, ...] = ()
    claims: Mapping[str, str] = MappingProxyType({})
    principal: str | None = None
    invite_id: str | None = None

    def require_user(self) -> None:
        """Return if the caller has a user id or needs none.

        Raises:
            NotAllowed: The JWT contains no usable user id.
        """
        if self.access is Access.JWT and self.user_id is None:
            raise NotAllowed


def from_authorizer(authorizer: Mapping[str, Any], access: Access, names: ClaimNames) -> Caller:
    """Return the caller in the event's `requestContext.authorizer`.

    Raises:
        Unauthenticated: `access` requires an authorizer block that is missing.
    """
    match access:
        case Access.OPEN:
            return Caller(access)
        case Access.JWT:
            return _from_jwt(_required_object(_required_object(authorizer, "jwt"), "claims"), names)
        case Access.IAM:
            return _from_iam(_required_object(authorizer, "iam"))


def _required_object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict) or not value:
        raise Unauthenticated
    return value


def _from_jwt(claims: Mapping[str, Any], names: ClaimNames) -> Caller:
    # The gateway delivers every claim as text.
    texts = {name: value for name, value in claims.items() if isinstance(value, str)}
    return Caller(
        access=Access.JWT,
        user_id=_valid_user_id(texts.get(names.user_id)),
        issuer=texts.get("iss"),
        groups=_GROUPS[names.groups_format](texts.get(names.groups, "")),
        claims=texts,
    )


def check_user_id(value: object) -> str:
    """Return the id of a user who can sign in. Raises `ValueError`."""
    user_id = check_id(value)
    if user_id.lower().startswith(GUEST_PREFIX):
        raise ValueError(f"must not begin with {GUEST_PREFIX}: such ids are of guests")
    return user_id


def _valid_user_id(claim: str | None) -> str | None:
    try:
        return check_user_id(claim)
    except ValueError:
        return None


def _gateway_groups(text: str) -> tuple[str, ...]:
    """Parse a claim as API Gateway prints it: `[a b]` for a list, `[]` for an empty one, else one name.

    Brackets inside are a nested claim (`[map[name:x teachers]]`), which contains no groups.
    """
    listed = text.startswith("[") and text.endswith("]")
    inside = text[1:-1] if listed else text
    if "[" in inside or "]" in inside:
        return ()
    return tuple(filter(None, inside.split(" ") if listed else [inside]))


def _comma_separated_groups(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip(" ") for name in text.split(","))))


def _json_groups(text: str) -> tuple[str, ...]:
    try:
        names = strict_json.loads(text)
    except ValueError:
        return ()
    return tuple(name for name in names if isinstance(name, str) and name) if isinstance(names, list) else ()


_GROUPS = {
    GroupsFormat.LIST: _gateway_groups,
    GroupsFormat.COMMA: _comma_separated_groups,
    GroupsFormat.JSON: _json_groups,
}

_ASSUMED_ROLE = re.compile(r"arn:(?P<partition>[a-z-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")


def _from_iam(iam: Mapping[str, Any]) -> Caller:
    arn = iam.get("userArn")
    if not isinstance(arn, str) or not arn:
        raise Unauthenticated
    return Caller(access=Access.IAM, principal=normalised_principal(arn))


def normalised_principal(arn: str) -> str:
    """Return the ARN of an assumed role without its session name, which the caller chooses. Others stay as they are."""
    if role := _ASSUMED_ROLE.fullmatch(arn):
        return f"arn:{role['partition']}:iam::{role['account']}:role/{role['role']}"
    return arn
