"""AccessToken2, the format of Agora's tokens that begin with "007": pack, sign and read.

A token is "007" + base64(zlib(signature + info)). `info` contains the App ID, the time of issue (Unix seconds), the
lifetime and each privilege's lifetime (seconds from the time of issue), a salt, and the services in ascending order of
their type. All numbers are little-endian. zlib can compress one token in many ways: compare the content, not the text.

Sources: Agora's own builders, in Python (github AgoraIO/Tools at da06bfb, DynamicKey/AgoraDynamicKey/python3/src/
AccessToken2.py) and in JavaScript (npm agora-token 2.0.6, src/AccessToken2.js; only that one has ConvoAI and STT).
"""

import base64
import hmac
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

PREFIX = "007"

RTC, RTM, STREAMING, FPA, CHAT, FCDN, APAAS, RTM2, CONVO_AI, STT = range(1, 11)

MAX_CONTENT_BYTES = 64 * 1024
"""Bytes. A token has some hundred, one with hundreds of permissions some thousand: more is a decompression bomb."""

_SIGNATURE_BYTES = 32
_NO_SERVICE = "it contains no service"

type Permissions = Mapping[int, Mapping[int, tuple[str, ...]]]
"""RTM2's rights: resource type (0 message channels, 1 stream channels, 2 group channels, 3 server groups, 4 users),
then permission (0 read, 1 write), then the names of the resources."""

type FieldValue = str | int | Permissions


class FormatError(ValueError):
    """The text is not an AccessToken2, or a value does not fit into one. The message repeats nothing of the token."""


class Service(NamedTuple):
    """One service of a token: its type, its privileges' lifetimes by number, and its fields by name."""

    type: int
    privileges: Mapping[int, int]
    fields: Mapping[str, FieldValue] = MappingProxyType({})


class AccessToken2(NamedTuple):
    """A token's content. `issue_ts` is in Unix seconds, `expire` in seconds from then. Services of one type keep
    their order."""

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
    """Takes values from the front of some bytes. Raises `FormatError` where a value is missing or invalid."""

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
            raise FormatError("it contains text that is not UTF-8") from None

    def names(self) -> tuple[str, ...]:
        return tuple(self.text() for _ in range(self.u16()))

    def map[T](self, read_value: Callable[[], T]) -> dict[int, T]:
        return {self.u16(): read_value() for _ in range(self.u16())}

    def permissions(self) -> Permissions:
        return self.map(lambda: self.map(self.names))


# --- the services --------------------------------------------------------------------------------------------------


class _Codec(NamedTuple):
    pack: Callable[[Any], bytes]
    read: Callable[[_Reader], FieldValue]


_TEXT = _Codec(_text, _Reader.text)
_NUMBER = _Codec(_i16, _Reader.i16)
_PERMISSIONS = _Codec(_permissions, _Reader.permissions)


class ServiceType(NamedTuple):
    """A type of service: its name, its privileges' names (numbered from 1), and its fields in order."""

    name: str
    privileges: tuple[str, ...] = ()
    fields: Mapping[str, _Codec] = MappingProxyType({})

    def privilege(self, number: int) -> str:
        """Return the privilege's name, or its number if it has none."""
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
    # A service does not state its length, so nothing after one of an unknown type can be read.
    if number not in SERVICE_TYPES:
        raise FormatError("it contains a service of an unknown type")
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
    """Return the bytes that are signed. Raises `FormatError` without a service or for a value that is too large."""
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
    """Return `token` signed with the App Certificate, as a client gets it. Raises `FormatError` as `pack` does."""
    info = pack(token)
    content = _sized(_signature(certificate, token, info)) + info
    return PREFIX + base64.b64encode(zlib.compress(content)).decode()


def _signature(certificate: str, token: AccessToken2, info: bytes) -> bytes:
    # The numbers are the keys. The certificate is a message: its 32 letters, never decoded from hex.
    key = hmac.digest(_u32(token.issue_ts), certificate.encode(), "sha256")
    key = hmac.digest(_u32(token.salt), key, "sha256")
    return hmac.digest(key, info, "sha256")


class Reading(NamedTuple):
    """A token's content, genuine or not.

    `fault` is the error in its format, None for a well-formed token. With a fault, `token` contains the services that
    can be read, as in Agora's own reader.
    """

    token: AccessToken2
    fault: str | None
    signature: bytes
    info: bytes

    def is_signed_with(self, certificate: str) -> bool:
        """Return whether the signature is that of `certificate`, in constant time."""
        return hmac.compare_digest(self.signature, _signature(certificate, self.token, self.info))


def read(text: str) -> Reading:
    """Decode a token. Raises `FormatError` if the values in front of the services cannot be read."""
    inflated, fault = _inflate(text)
    content = _Reader(inflated)
    try:
        signature, info = content.sized(), content.rest()
        if len(signature) != _SIGNATURE_BYTES:
            raise FormatError("its signature is not 32 bytes long")
        reader = _Reader(info)
        head = reader.text(), reader.u32(), reader.u32(), reader.u32()
    except FormatError as error:
        raise FormatError(fault or str(error)) from None
    services, service_fault = _read_services(reader)
    token = AccessToken2(*head, services)
    fault = fault or service_fault
    # Agora's builders never write another order, a repeated key or extra bytes: one comparison finds all of them.
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


def _inflate(text: str) -> tuple[bytes, str | None]:
    """Return a token's content, and what is wrong with its outer form. Raises `FormatError` if there is no content."""
    if not text.startswith(PREFIX):
        raise FormatError(f"it does not begin with {PREFIX}")
    encoded, fault = text.removeprefix(PREFIX), None
    try:
        compressed = base64.b64decode(encoded)
    except ValueError:
        compressed = b""
    # A decoder ignores line breaks, stray bits and foreign letters; an encoder writes none of them.
    if base64.b64encode(compressed).decode() != encoded:
        fault = "it is not base64 of the standard alphabet, with padding and nothing else"
        compressed = decode_start(encoded)
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(compressed, MAX_CONTENT_BYTES)
    except zlib.error:
        raise FormatError(fault or "it is not compressed with zlib") from None
    if len(content) >= MAX_CONTENT_BYTES:
        raise FormatError("it is larger than any token")
    if not inflater.eof:
        fault = "it is cut short"
    elif inflater.unused_data:
        fault = fault or "something follows its end"
    return content, fault


def decode_start(encoded: str) -> bytes:
    """Decode the start of a text that is base64 up to where it is damaged or cut."""
    start = re.match(r"[A-Za-z0-9+/]*", encoded)
    usable = start.group() if start else ""
    return base64.b64decode(usable[: len(usable) // 4 * 4])
