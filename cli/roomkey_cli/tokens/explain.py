"""A token explained: whose it is, and what it says, for a terminal, a script or the console."""

from collections.abc import Callable, Mapping

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Credentials, Platform, TokenReport

NO_TOKEN = f"this is not a token of {', '.join(platform.title for platform in PLATFORMS.values())}"

_SIGNATURE = {True: "valid", False: "invalid", None: "unchecked"}


def explain(token: str, at: float, keys_of: Callable[[Platform], Credentials | None]) -> TokenReport | None:
    """What the token says at Unix time `at`, None where it is no platform's.

    `keys_of` is asked for the credentials of the platform whose token it is, and of no other.
    """
    for platform in PLATFORMS.values():
        report = platform.explain(token, None, at)
        if report:
            keys = keys_of(platform)
            return platform.explain(token, keys, at) if keys else report
    return None


def as_json(report: TokenReport | None) -> Mapping[str, object]:
    """The explanation as JSON has it; for what is no platform's token that alone."""
    if report is None:
        return {"platform": None, "problems": [NO_TOKEN]}
    grant = report.grant
    return {
        "platform": report.platform,
        "kind": grant.kind if grant else None,
        "room": grant.room_id if grant else None,
        "role": grant.role if grant else None,
        "user": grant.user_id if grant else None,
        "services": grant.services if grant else (),
        "issued_at": report.issued_at,
        "expires_at": grant.expires_at if grant else None,
        "signature": _SIGNATURE[report.signature],
        "problems": report.problems,
        "warnings": report.warnings,
        "facts": report.claims,
    }
