"""AccessToken2, the format of Agora's tokens that begin with "007": packing, signing, reading.

A token is "007" + base64(zlib(signature + info)). `info` holds the App ID, the time of issue (Unix seconds), the life
and each privilege's life (seconds from the time of issue), a salt, and the services in ascending order of their type.
All numbers are little-endian. One token can be compressed in many ways: compare what is inside, never the text.

This file knows the format of every service and not what is wise to put in. Sources: Agora's own builders, in Python
(github AgoraIO/Tools at da06bfb, DynamicKey/AgoraDynamicKey/python3/src/AccessToken2.py) and in JavaScript
(npm agora-token 2.0.6, src/AccessToken2.js; ConvoAI and STT are only there).
"""

import base64
import hmac
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "007"

RTC, RTM, STREAMING, FPA, CHAT, FCDN, APAAS, RTM2, CONVO_AI, STT = range(1, 11)

LARGEST_CONTENT = 64 * 1024
"""Bytes. A token is some hundred bytes, one with hundreds of permissions some thousand: what inflates to this much is
a bomb, and is inflated no further."""

_SIGNATURE_BYTES = 32
_NO_SERVICE = "it holds no service"

type Permissions = Mapping[int, Mapping[int, tuple[str, ...]]]
"""What RTM2 may do: resource type (0 message channels, 1 stream channels, 2 group channels, 3 server groups, 4 users),
then permission (0 read, 1 write), then the names of the resources."""

type FieldValue = str | int | Permissions


class FormatError(ValueError):
    """What is no AccessToken2, or cannot be packed into one. The message repeats nothing that a token says."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service that a token opens: its type, its privileges' lives by number, and its fields by name."""

    type: int
    privileges: Mapping[int, int]
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessToken2:
    """What a token says. `issue_ts` is in Unix seconds, `expire` in seconds from then: not a moment, as it was in the
    older format. Services of one type keep the order that they are given in."""

    app_id: str
    issue_ts: int
    expire: int
    salt: int
    services: tuple[Service, ...]


# --- packing -------------------------------------------------------------------------------------------------------


def _u16(value: int) -> bytes:
    return struct.pack("<H", value)


def _i16(value: int) -> bytes:
    return struct.pack("<h", value)


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _sized(value: bytes) -> bytes:
    return _u16(len(value)) + value


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _names(names: tuple[str, ...]) -> bytes:
    return _u16(len(names)) + b"".join(map(_text, names))


def _map[T](entries: Mapping[int, T], pack_value: Callable[[T], bytes]) -> bytes:
    return _u16(len(entries)) + b"".join(_u16(key) + pack_value(entries[key]) for key in sorted(entries))


def _permissions(value: Permissions) -> bytes:
    return _map(value, lambda by_permission: _map(by_permission, _names))


class _Reader:
    """Bytes, taken from the front in the order in which they were packed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._position : self._position + count]
        if len(taken) < count:
            raise FormatError("it ends in the middle")
        self._position += count
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def i16(self) -> int:
        return int.from_bytes(self.take(2), "little", signed=True)

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def sized(self) -> bytes:
        return self.take(self.u16())

    def text(self) -> str:
        try:
            return self.sized().decode()
        except UnicodeDecodeError:
            raise FormatError("it holds text that is not UTF-8") from None

    def names(self) -> tuple[str, ...]:
        return tuple(self.text() for _ in range(self.u16()))

    def map[T](self, read_value: Callable[[], T]) -> dict[int, T]:
        return {self.u16(): read_value() for _ in range(self.u16())}

    def permissions(self) -> Permissions:
        return self.map(lambda: self.map(self.names))


# --- the services --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Codec:
    pack: Callable[[Any], bytes]
    read: Callable[[_Reader], FieldValue]


_TEXT = _Codec(_text, _Reader.text)
_NUMBER = _Codec(_i16, _Reader.i16)
_PERMISSIONS = _Codec(_permissions, _Reader.permissions)


@dataclass(frozen=True, slots=True)
class ServiceType:
    """A kind of service: what it is called, its privileges' names (numbered from 1), and its fields in order."""

    name: str
    privileges: tuple[str, ...] = ()
    fields: Mapping[str, _Codec] = field(default_factory=dict)

    def privilege(self, number: int) -> str:
        """The privilege's name, or its number where it has none."""
        return self.privileges[number - 1] if 1 <= number <= len(self.privileges) else str(number)


SERVICE_TYPES: Mapping[int, ServiceType] = {
    RTC: ServiceType(
        "rtc",
        ("joinChannel", "publishAudioStream", "publishVideoStream", "publishDataStream"),
        {"channel_name": _TEXT, "uid": _TEXT},
    ),
    RTM: ServiceType("rtm", ("login",), {"user_id": _TEXT}),
    STREAMING: ServiceType(
        "streaming", ("publishMixStream", "publishRawStream"), {"channel_name": _TEXT, "account": _TEXT}
    ),
    FPA: ServiceType("fpa", ("login",)),
    CHAT: ServiceType("chat", ("user", "app"), {"user_id": _TEXT}),
    FCDN: ServiceType("fcdn", ("publish", "play"), {"channel_name": _TEXT, "account": _TEXT}),
    APAAS: ServiceType("apaas", ("roomUser", "user", "app"), {"room_uuid": _TEXT, "user_uuid": _TEXT, "role": _NUMBER}),
    RTM2: ServiceType("rtm2", ("login",), {"user_id": _TEXT, "permissions": _PERMISSIONS}),
    CONVO_AI: ServiceType("convoai"),
    STT: ServiceType("stt"),
}
"""By number, as in `Service.type`."""


def _service_type(number: int) -> ServiceType:
    # A service says nothing about its own length: behind one of an unknown type nothing can be read.
    if number not in SERVICE_TYPES:
        raise FormatError("it holds a service of an unknown type")
    return SERVICE_TYPES[number]


def _service(service: Service) -> bytes:
    fields = _service_type(service.type).fields
    return b"".join(
        (
            _u16(service.type),
            _map(service.privileges, _u32),
            *(codec.pack(service.fields[name]) for name, codec in fields.items()),
        )
    )


def _read_service(reader: _Reader) -> Service:
    number = reader.u16()
    fields = _service_type(number).fields
    return Service(number, reader.map(reader.u32), {name: codec.read(reader) for name, codec in fields.items()})


# --- the token -----------------------------------------------------------------------------------------------------


def pack(token: AccessToken2) -> bytes:
    """`token` as the bytes that are signed. Raises `FormatError` where it holds no service or a value too large."""
    if not token.services:
        raise FormatError(_NO_SERVICE)
    ascending = sorted(token.services, key=lambda service: service.type)
    try:
        return b"".join(
            (
                _text(token.app_id),
                _u32(token.issue_ts),
                _u32(token.expire),
                _u32(token.salt),
                _u16(len(ascending)),
                *map(_service, ascending),
            )
        )
    except struct.error:
        raise FormatError("a number, a text or a list in it does not fit its field") from None


def sign(token: AccessToken2, certificate: str) -> str:
    """`token` signed with the App Certificate, as it goes to a client. Raises `FormatError` as `pack` does."""
    info = pack(token)
    content = _sized(_signature(certificate, token, info)) + info
    return PREFIX + base64.b64encode(zlib.compress(content)).decode()


def _signature(certificate: str, token: AccessToken2, info: bytes) -> bytes:
    # The numbers are the keys, and the certificate is a message: its 32 letters as they are, never decoded from hex.
    key = hmac.digest(_u32(token.issue_ts), certificate.encode(), "sha256")
    key = hmac.digest(_u32(token.salt), key, "sha256")
    return hmac.digest(key, info, "sha256")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in a token, genuine or not.

    `fault` is what is wrong with its form, None where nothing is. Where something is, `token` holds the services that
    stand before the fault, as Agora's own reader would have it.
    """

    token: AccessToken2
    fault: str | None
    signature: bytes
    info: bytes

    def is_signed_with(self, certificate: str) -> bool:
        """Whether the signature is that of `certificate`. Takes the same time whichever byte is wrong."""
        return hmac.compare_digest(self.signature, _signature(certificate, self.token, self.info))


def read(text: str) -> Reading:
    """A token taken apart. Raises `FormatError` where what comes before the services cannot be read."""
    content = _Reader(_inflate(text))
    signature, info = content.sized(), content.rest()
    if len(signature) != _SIGNATURE_BYTES:
        raise FormatError("its signature is not 32 bytes long")
    reader = _Reader(info)
    head = reader.text(), reader.u32(), reader.u32(), reader.u32()
    services, fault = _read_services(reader)
    token = AccessToken2(*head, services)
    # One comparison finds all that Agora's builders never write: another order, a repeated key, bytes left over.
    if fault is None and pack(token) != info:
        fault = "it is not packed as Agora packs: something is out of order, repeated or left over"
    return Reading(token, fault, signature, info)


def _read_services(reader: _Reader) -> tuple[tuple[Service, ...], str | None]:
    services: list[Service] = []
    try:
        for _ in range(reader.u16()):
            services.append(_read_service(reader))  # noqa: PERF401 - those before a fault are kept.
    except FormatError as error:
        return tuple(services), str(error)
    return tuple(services), None if services else _NO_SERVICE


def _inflate(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise FormatError(f"it does not begin with {PREFIX}")
    encoded = text.removeprefix(PREFIX)
    try:
        compressed = base64.b64decode(encoded)
    except ValueError:
        compressed = b""
    # A decoder passes over line breaks, stray bits and foreign letters; an encoder writes none of them.
    if base64.b64encode(compressed).decode() != encoded:
        raise FormatError("it is not base64 of the standard alphabet, with padding and nothing else")
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(compressed, LARGEST_CONTENT)
    except zlib.error:
        raise FormatError("it is not compressed with zlib") from None
    if len(content) >= LARGEST_CONTENT:
        raise FormatError("it is larger than any token")
    if not inflater.eof or inflater.unused_data:
        raise FormatError("it is cut off, or something follows it")
    return content
