"""The parts that Zoom's two SDKs share: roles, the bounds of a token's lifetime, and the form of the secret.

Sources: developers.zoom.us ("Authorize" of both SDKs) and Zoom's sample endpoints (github
zoom/videosdk-auth-endpoint-sample at 098ef1e, zoom/meetingsdk-auth-endpoint-sample at 20910bc).
"""

from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.credentials import CredentialField
from roomkey.platforms.fields import Lifetime

ROLES: Mapping[str, int] = {"participant": 0, "host": 1}
LIFETIME = Lifetime(minimum=1800, default=7200, maximum=172800)
CREDENTIAL_FIELDS = (
    CredentialField("sdk_key", pattern=r"[A-Za-z0-9_-]{20,24}"),
    CredentialField("sdk_secret", signs=True),
)


def role_problems(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return why Zoom refuses the role in the claim `name`."""
    if not hs256.is_int(claims.get(name)) or claims[name] not in ROLES.values():
        return [f"{name} is not the number 0 or 1"]
    return []


def lifetime_problems(claims: Mapping[str, Any]) -> list[str]:
    """Return why Zoom refuses the lifetime, other than that it is too long."""
    iat: Any = claims.get("iat")
    exp: Any = claims.get("exp")
    if hs256.is_int(iat) and hs256.is_int(exp) and exp - iat < LIFETIME.minimum:
        return [f"it lives shorter than the {LIFETIME.minimum} s that Zoom demands"]
    return []


def role_of(value: object) -> str | None:
    """Return the role with this number."""
    return next((role for role, number in ROLES.items() if hs256.is_int(value) and number == value), None)
