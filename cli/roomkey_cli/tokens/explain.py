"""A token explained: whose it is, and what it says, for a terminal, a script or the console."""

from collections.abc import Callable, Mapping

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, TokenReport
from roomkey.platforms.credentials import Credentials

NO_TOKEN = f"this is not a token of {', '.join(platform.title for platform in PLATFORMS.values())}"


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
    content = report.content
    return {
        "platform": report.platform,
        "kind": content.kind,
        "room": content.room_id,
        "role": content.role,
        "user": content.user_id,
        "services": content.services,
        "issued_at": report.issued_at,
        "expires_at": content.expires_at,
        "signature": report.signature,
        "problems": report.problems,
        "warnings": report.warnings,
        "claims": report.claims,
    }
