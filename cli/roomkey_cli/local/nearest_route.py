"""Hints at requests to unknown paths, for the terminal only."""

import difflib
import re
from collections.abc import Collection

from roomkey.platforms import PLATFORMS
from roomkey.routes import MINTING_ROUTES

_TOKEN_PATH = re.compile(r"/v1/([^/]+)/(app|management)-token")


def hint(path: str, platforms: Collection[str]) -> str:
    """Return why `path` is unknown, or the nearest path of a stack with `platforms`; empty if none is near."""
    if path == "/v1/invites":
        return "a stack with access open creates no invites: add --access jwt"
    if asked := _TOKEN_PATH.fullmatch(path):
        name, kind = asked.groups()
        if name in platforms:
            return f"{name} has no {kind} tokens"
        if name in PLATFORMS:
            return f"this stack has no credentials for {name}"
        if similar := [platform for platform in platforms if name in platform]:
            return f"no such platform {name}: {', '.join(similar)}"
    paths = [
        route_key.partition(" ")[2].replace("{platform}", platform)
        for route_key, route in MINTING_ROUTES.items()
        for platform in platforms
        if route.platform in (None, platform)
    ]
    near = difflib.get_close_matches(path.lower(), ["/v1/health", *paths], n=1)
    return f"the nearest path is {near[0]}" if near else ""
