"""Vendors' test pages that join a room with a token in the URL."""

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode, urlsplit

from roomkey.minting import MintedToken


def _livekit(minted: MintedToken) -> str:
    query = urlencode({"liveKitUrl": _text(minted, "server_url"), "token": minted.token})
    return f"https://meet.livekit.io/custom?{query}"


def _agora(minted: MintedToken) -> str:
    grant = minted.grant
    query = {"appid": _text(minted, "app_id"), "channel": grant.room_id or "", "token": minted.token}
    return f"https://webdemo.agora.io/basicVideoCall/index.html?{urlencode({**query, 'uid': grant.user_id or ''})}"


def _jitsi(minted: MintedToken) -> str:
    return f"https://{_text(minted, 'domain')}/{quote(minted.grant.room_id or '')}?{urlencode({'jwt': minted.token})}"


def _daily(minted: MintedToken) -> str:
    return f"https://{_text(minted, 'domain')}/{quote(minted.grant.room_id or '')}?{urlencode({'t': minted.token})}"


PAGES: Mapping[str, Callable[[MintedToken], str]] = {
    "agora": _agora,
    "daily": _daily,
    "jitsi": _jitsi,
    "livekit": _livekit,
}
"""The page's URL for a token, by platform."""


def host(platform: str, minted: MintedToken) -> str:
    """Return the host of the page, which may be printed: the URL contains the token."""
    return str(urlsplit(PAGES[platform](minted)).hostname)


def _text(minted: MintedToken, name: str) -> str:
    return str(minted.connect.get(name, ""))
