"""The registry: one line for each platform that Roomkey can serve.

A platform's module is imported when the platform is first asked for, so a stack loads only what it serves. Every list
of platforms in code, schemas and docs derives from here.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import NamedTuple

from roomkey.platforms.base import Platform


class _Entry(NamedTuple):
    """Where a platform's class is, and the names that its requests may list in `services`."""

    module: str
    class_name: str
    services: tuple[str, ...] = ()


_REGISTRY = {
    "100ms": _Entry("hms", "Hms"),
    "videosdk": _Entry("videosdk", "VideoSdk"),
    "agora": _Entry("agora", "Agora", services=("rtc", "rtm", "chat")),
    "agora-whiteboard": _Entry("agora_whiteboard", "AgoraWhiteboard"),
    "livekit": _Entry("livekit", "LiveKit"),
    "twilio": _Entry("twilio", "Twilio", services=("video", "voice", "chat", "sync")),
    "stream": _Entry("stream", "Stream"),
    "zoom-video": _Entry("zoom_video", "ZoomVideo"),
    "zoom-meeting": _Entry("zoom_meeting", "ZoomMeeting"),
    "jitsi": _Entry("jitsi", "Jitsi"),
    "daily": _Entry("daily", "Daily"),
    "turn": _Entry("turn", "Turn"),
}

PLATFORM_NAMES = tuple(_REGISTRY)
"""Every platform that Roomkey can serve."""

DEFAULT_PLATFORMS = ("100ms", "videosdk", "agora", "agora-whiteboard")
"""The platforms of a stack that names none: a new platform is served only where the stack names it."""

SERVICES = tuple(dict.fromkeys(service for entry in _REGISTRY.values() for service in entry.services))
"""Every service of every platform, for policy rules."""


@cache
def platform(name: str) -> Platform:
    """Return the platform called `name`. Raises `KeyError` for an unknown name."""
    entry = _REGISTRY[name]
    made: Platform = getattr(import_module(f"{__name__}.{entry.module}"), entry.class_name)()
    return made


class _Platforms(Mapping[str, Platform]):
    """Every platform by name, each imported when it is first looked up."""

    def __getitem__(self, name: str) -> Platform:
        return platform(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PLATFORM_NAMES)

    def __len__(self) -> int:
        return len(PLATFORM_NAMES)

    def __contains__(self, name: object) -> bool:
        return name in _REGISTRY


PLATFORMS = _Platforms()
"""For code that works on all platforms, such as the command line."""
