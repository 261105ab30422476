"""Shared cases of tests over all platforms: each kind of token, and each value of a demo secret."""

from collections.abc import Iterator, Mapping

import pytest

from roomkey.platforms import PLATFORMS

EVERY_TOKEN = [(name, kind) for name, platform in PLATFORMS.items() for kind in platform.kinds]
every_token = pytest.mark.parametrize(("platform", "kind"), EVERY_TOKEN)


def secret_values(platform: str, secret: Mapping[str, object]) -> Iterator[str]:
    """Yield the values of a secret that nothing may print: all that clients do not get anyway."""
    public = PLATFORMS[platform].public_fields
    for field in PLATFORMS[platform].credential_fields:
        if field.name in secret and field.name not in public and not field.demo:
            yield str(secret[field.name])
