"""The keys that sign invites: one secret, `{"keys": {"a": ..., "b": ...}, "current": "b"}`."""

import json
import secrets
from string import ascii_lowercase
from typing import Any

from roomkey.invites import InviteKeys

MAX_KEYS = 8
KEY_BYTES = 32


def rotated(text: str | None, *, only_new: bool) -> str:
    """Return the secret with a new current key. Older keys stay, unless `only_new`.

    Raises:
        ValueError: If the stored text is invalid, or has `MAX_KEYS` keys.
    """
    keys = {} if text is None or only_new else _keys(text)
    used = keys if text is None else _keys_or_none(text)
    name = next(letter for letter in ascii_lowercase if letter not in used)
    if len(keys) >= MAX_KEYS:
        raise ValueError(f"has {MAX_KEYS} keys already")
    return json.dumps({"keys": {**keys, name: secrets.token_urlsafe(KEY_BYTES)}, "current": name})


def key_ids(text: str) -> tuple[list[str], str]:
    """Return the ids of all keys and of the current one. Raises `ValueError`."""
    document = _document(text)
    return list(document["keys"]), str(document["current"])


def _document(text: str) -> dict[str, Any]:
    InviteKeys.parse(text)
    return dict(json.loads(text))


def _keys(text: str) -> dict[str, str]:
    return dict(_document(text)["keys"])


def _keys_or_none(text: str) -> dict[str, str]:
    try:
        return _keys(text)
    except ValueError:
        return {}
