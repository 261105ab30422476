"""The platforms that Roomkey mints tokens for."""

from roomkey.platforms.agora import Agora
from roomkey.platforms.agora_whiteboard import AgoraWhiteboard
from roomkey.platforms.base import Platform
from roomkey.platforms.hms import Hms
from roomkey.platforms.videosdk import VideoSdk

PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Hms(),
        VideoSdk(),
        Agora(),
        AgoraWhiteboard(),
    )
}
"""By name. The flag's grammar, the schema checks, health and the local stack all derive from this."""
