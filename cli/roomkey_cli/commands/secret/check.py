"""`roomkey secret check`: whether stored credentials sign valid tokens."""

from collections.abc import Mapping
from typing import Any

import typer

from roomkey.platforms import PLATFORMS
from roomkey_cli.aws.client import Aws
from roomkey_cli.commands.options import (
    AsJson,
    EnvironmentArgument,
    PlatformsArgument,
    Profile,
    Region,
)
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, WARN, note, say, say_json
from roomkey_cli.tokens import verify_secret


def check(
    environment: EnvironmentArgument,
    platforms: PlatformsArgument = None,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Say whether each stored secret is good: its shape, and a token of each kind, minted with it and verified.

    Nothing that is secret is shown. Exit status 1 if one is not good, if one that is named is missing, or if there is
    none at all.

    Example: roomkey secret check prod
    """
    aws = Aws(profile, region)
    wanted = platforms or list(PLATFORMS.values())
    found = {platform.name: verify_secret.examined(aws, environment, platform) for platform in wanted}
    stored = [one for one in found.values() if one["stored"]]
    bad = any(one["problems"] for one in stored) or not stored or (platforms and len(stored) < len(found))
    if as_json:
        say_json({"environment": environment.name, "good": not bad, "secrets": list(found.values())})
    else:
        for name, one in found.items():
            _show(name, one)
        if not stored and not platforms:
            note(f"there is no secret at all: roomkey secret put {environment} PLATFORM")
    if bad:
        raise typer.Exit(REFUSED)


def _show(name: str, one: Mapping[str, Any]) -> None:
    if not one["stored"]:
        say(f"{name}: none stored", mark="none  ", style=STYLES[WARN])
    elif one["problems"]:
        for problem in one["problems"]:
            say(f"{name}: {problem}", mark="fail  ", style=STYLES[FAIL])
    else:
        says = f"{name}: well-formed, an app and a management token minted and verified (version {one['version_id']})"
        say(says, mark="ok    ", style=STYLES[OK])
