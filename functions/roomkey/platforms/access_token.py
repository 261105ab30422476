"""AccessToken, the format of Agora's tokens that begin with "006". Read only: Roomkey mints AccessToken2 ("007").

A token is "006" + App ID + base64(signature + checksum of the channel + checksum of the user + message), and the
message contains a salt, the end of the token and each privilege's end, all in Unix seconds. The signature also covers
the names of channel and user, which the token does not contain. Source: Agora's builder (github AgoraIO/Tools at
15b9eb2, DynamicKey/AgoraDynamicKey/python3/src/AccessToken.py).
"""

import base64
import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

from roomkey.platforms.access_token2 import FormatError, decode_start

PREFIX = "006"
OLD_FORMAT = (
    "its format is AccessToken (006), which Agora still accepts; its signature covers the names of channel and user, "
    "which are not in the token. Roomkey mints its successor, AccessToken2 (007)"
)

_APP_ID_LENGTH = 32
_RTM_LOGIN = 1000
_PRIVILEGES = {
    1: "joinChannel",
    2: "publishAudioStream",
    3: "publishVideoStream",
    4: "publishDataStream",
    _RTM_LOGIN: "login",
}


class OldToken(NamedTuple):
    """A token's content. `ends` is its own end and `privileges` each one's, 0 for that of the token, in Unix seconds.

    `fault` is what is wrong with its form. A checksum of 0 stands for any user.
    """

    app_id: str
    salt: int
    ends: int
    privileges: Mapping[int, int]
    channel_checksum: int
    user_checksum: int
    fault: str | None

    @property
    def is_rtm(self) -> bool:
        """Whether the token is for Signaling, whose user stands in the place of the channel."""
        return _RTM_LOGIN in self.privileges

    @property
    def expires_at(self) -> int:
        """The end of the token, or of its first privilege if that is earlier."""
        first = next(iter(sorted(self.privileges.items())), (0, 0))[1]
        return min(first or self.ends, self.ends)

    def claims(self) -> dict[str, object]:
        """Return the content in the format's words."""
        return {
            "app_id": self.app_id,
            "salt": self.salt,
            "ts": self.ends,
            "privileges": {_PRIVILEGES.get(number, str(number)): end for number, end in self.privileges.items()},
            "crc_channel_name": self.channel_checksum,
            "crc_uid": self.user_checksum,
        }


def is_one(text: str) -> bool:
    """Return whether `text` begins as a token of this format."""
    return re.match(rf"{PREFIX}[0-9A-Za-z+/]{{{_APP_ID_LENGTH}}}", text) is not None


def read(text: str) -> OldToken:
    """Decode a token. Raises `FormatError` if its message cannot be read."""
    app_id, encoded = text[len(PREFIX) :][:_APP_ID_LENGTH], text[len(PREFIX) + _APP_ID_LENGTH :]
    content, fault = decode_start(encoded), None
    try:
        if base64.b64decode(encoded, validate=True) != content:
            fault = "it is not base64 with padding"
    except ValueError:
        fault = "it is cut short, or not base64 with padding"
    try:
        (size,) = struct.unpack_from("<H", content)
        channel, user, message_size, salt, ends, count = struct.unpack_from("<IIHIIH", content, 2 + size)
    except struct.error:
        raise FormatError("it is cut short, or not an AccessToken (006)") from None
    first = 2 + size + struct.calcsize("<IIHIIH")
    entries = content[first : first + 6 * count]
    privileges = dict(struct.iter_unpack("<HI", entries[: len(entries) // 6 * 6]))
    if len(privileges) < count or message_size != 10 + 6 * count or len(content) != first + 6 * count:
        fault = "it is cut short" if len(entries) < 6 * count else "something in it is repeated or left over"
    return OldToken(app_id, salt, ends, privileges, channel, user, fault)
