"""The platforms that Roomkey mints tokens for."""

from roomkey.platforms.base import Platform
from roomkey.platforms.hms import Hms

PLATFORMS: dict[str, Platform] = {platform.name: platform for platform in (Hms(),)}
"""By name. The flag's grammar, the schema checks, health and the local stack all derive from this."""
