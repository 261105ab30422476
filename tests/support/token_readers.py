"""Read tokens of each platform by the vendors' formats, without Roomkey's code, and build what they must contain.

A reader uses the standard library and fails on anything that the vendor's own builder would not write. It checks random
parts (jti, nonce, salt) and leaves them out of its result.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from support.stack import NOW, SECRETS, claims_of

AT = NOW * 1000 + 500
"""Unix milliseconds: the start of the tests' clock."""

SEND = {
    "100ms": {"header": "Authorization", "prefix": "Bearer "},
    "videosdk": {"header": "Authorization", "prefix": ""},
    "agora": {"header": "Authorization", "prefix": "Bearer "},
    "agora-whiteboard": {"header": "token", "prefix": ""},
}
"""The header that carries a management token to the vendor's API."""


def beside_the_token(platform: str, kind: str, expires_in: int) -> dict[str, Any]:
    """Return the members of a reply that depend on its platform alone."""
    members: dict[str, Any] = {"authorization": SEND[platform]} if kind == "management" else {}
    renew_before = {"agora": 45, "agora-whiteboard": 60}.get(platform)
    if renew_before:
        members["renew_in"] = max(expires_in - renew_before, expires_in // 2)
    if platform == "agora":
        members["connect"] = {"app_id": SECRETS["agora"]["app_id"]}
    return members


PERMISSIONS: Mapping[str, list[str]] = {
    "guest": ["ask_join"],
    "participant": ["allow_join"],
    "moderator": ["allow_join", "allow_mod"],
}
_WHITEBOARD_ROLES = {"admin": "0", "writer": "1", "reader": "2"}
_AGORA_PRIVILEGES = {"publisher": (1, 2, 3, 4), "subscriber": (1,)}
_AGORA_SERVICES = {"rtc": 1, "rtm": 2, "chat": 5}
_AGORA_NAMES = {1: 2, 2: 1, 5: 1}
"""By service type: the number of texts after its privileges. RTC has channel and user, the others a user."""


@dataclass(frozen=True)
class CachedValue:
    """The content of a valid token, and its id, if its format has one."""

    says: dict[str, Any]
    token_id: str | None


def read(platform: str, token: str, secrets: Mapping[str, Mapping[str, str]] = SECRETS) -> CachedValue:
    """Read a token of `platform`, which must be complete and signed with its secret."""
    return {"100ms": _hms, "videosdk": _videosdk, "agora": _agora, "agora-whiteboard": _whiteboard}[platform](
        token, secrets[platform]
    )


def due(
    platform: str,
    kind: str,
    *,
    expires_in: int,
    room_id: str | None = None,
    role: str | None = None,
    user_id: str | None = None,
    services: Sequence[str] = (),
    at: int = AT,
    secrets: Mapping[str, Mapping[str, str]] = SECRETS,
) -> dict[str, Any]:
    """Return the expected content of a token, complete, requested with these values at `at` (Unix milliseconds)."""
    app, secret, now = kind == "app", secrets[platform], at // 1000
    match platform:
        case "100ms":
            return {
                "access_key": secret["app_access_key"],
                "type": kind,
                "version": 2,
                "iat": now - 30,
                "nbf": now - 30,
                "exp": now + expires_in,
            } | ({"room_id": room_id, "role": role, "user_id": user_id} if app else {})
        case "videosdk":
            return {
                "apikey": secret["api_key"],
                "permissions": PERMISSIONS[str(role) if app else "moderator"],
                "version": 2,
                "roles": ["rtc" if app else "crawler"],
                "iat": now - 30,
                "exp": now + expires_in,
            } | ({"roomId": room_id, "participantId": user_id} if app else {})
        case "agora":
            asked = sorted(_AGORA_SERVICES[name] for name in services)
            return {
                "app_id": secret["app_id"],
                "issue_ts": now,
                "expire": expires_in,
                "services": [_agora_service(number, room_id, role, user_id, expires_in) for number in asked]
                if app
                else [{"type": 5, "privileges": {2: expires_in}, "names": [""]}],
            }
        case _:
            return {
                "prefix": "NETLESSROOM_" if app else "NETLESSSDK_",
                "ak": secret["access_key"],
                "role": _WHITEBOARD_ROLES[str(role)],
                "expireAt": str(at + expires_in * 1000),
            } | ({"uuid": room_id} if app else {})


def assert_same(says: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check that both are equal, types included: 2 is not "2" or 2.0, and 1 is not true."""
    assert says == expected
    assert json.dumps(says, sort_keys=True) == json.dumps(expected, sort_keys=True)


def _random_uuid(text: str) -> str:
    assert UUID(text).version == 4
    assert str(UUID(text)) == text
    return text


# --- JSON Web Tokens -----------------------------------------------------------------------------------------------


def _hms(token: str, secret: Mapping[str, str]) -> CachedValue:
    claims = claims_of(token, secret["app_secret"])
    return CachedValue(claims, _random_uuid(claims.pop("jti")))


def _videosdk(token: str, secret: Mapping[str, str]) -> CachedValue:
    return CachedValue(claims_of(token, secret["secret"]), None)


# --- Agora's AccessToken2 ------------------------------------------------------------------------------------------


class _Packed:
    """Read Agora's packing: little-endian numbers, and texts after their length."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def number(self, form: str) -> int:
        (number,) = struct.unpack_from("<" + form, self._data, self._position)
        self._position += struct.calcsize("<" + form)
        return int(number)

    def sized(self) -> bytes:
        size, start = self.number("H"), self._position
        self._position += size
        assert self._position <= len(self._data), "it ends in the middle"
        return self._data[start : self._position]

    def rest(self) -> bytes:
        return self._data[self._position :]


def _agora(token: str, secret: Mapping[str, str]) -> CachedValue:
    assert token.startswith("007")
    inflater = zlib.decompressobj()
    content = _Packed(inflater.decompress(base64.b64decode(token[3:], validate=True)))
    assert inflater.eof
    assert not inflater.unused_data
    signature, info = content.sized(), content.rest()

    packed = _Packed(info)
    app_id, issue_ts, expire, salt = packed.sized().decode(), *(packed.number("I") for _ in range(3))
    services = [_read_service(packed) for _ in range(packed.number("H"))]
    assert packed.rest() == b""
    assert 1 <= salt <= 99_999_999

    key = hmac.digest(struct.pack("<I", issue_ts), secret["app_certificate"].encode(), hashlib.sha256)
    key = hmac.digest(struct.pack("<I", salt), key, hashlib.sha256)
    assert signature == hmac.digest(key, info, hashlib.sha256)
    return CachedValue({"app_id": app_id, "issue_ts": issue_ts, "expire": expire, "services": services}, None)


def _read_service(packed: _Packed) -> dict[str, Any]:
    number = packed.number("H")
    pairs = [(packed.number("H"), packed.number("I")) for _ in range(packed.number("H"))]
    privileges = dict(pairs)
    assert pairs == sorted(privileges.items())
    names = [packed.sized().decode() for _ in range(_AGORA_NAMES[number])]
    return {"type": number, "privileges": privileges, "names": names}


def _agora_service(
    number: int, channel: str | None, role: str | None, user: str | None, expires_in: int
) -> dict[str, Any]:
    rtc = number == _AGORA_SERVICES["rtc"]
    privileges = _AGORA_PRIVILEGES[str(role)] if rtc else (1,)
    names = [channel, user] if rtc else [user]
    return {"type": number, "privileges": dict.fromkeys(privileges, expires_in), "names": names}


# --- the whiteboard ------------------------------------------------------------------------------------------------


def _whiteboard(token: str, secret: Mapping[str, str]) -> CachedValue:
    found = re.fullmatch(r"(NETLESS[A-Z]+_)([A-Za-z0-9_-]+)", token)
    assert found
    prefix, body = found.groups()
    query = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("ascii")
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    fields = dict(pairs)
    assert pairs == sorted(fields.items())

    signature = fields.pop("sig")
    signed = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert signature == hmac.new(secret["secret_key"].encode(), signed.encode(), hashlib.sha256).hexdigest()
    token_id = _random_uuid(fields.pop("nonce"))
    return CachedValue({"prefix": prefix, **fields}, token_id)
