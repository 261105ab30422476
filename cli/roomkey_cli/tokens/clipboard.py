"""Find a token in pasted text: a header, a JSON reply, a line of code, wrapped lines."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
_TOKEN = re.compile(
    r"ey[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"  # A JSON Web Token.
    r"|NETLESS(?:ROOM|SDK|TASK)_[A-Za-z0-9_-]+"
    r"|007e[A-Za-z0-9+/]+={0,2}"  # Agora: zlib's first byte is 0x78.
    r"|006[0-9A-Fa-f]{32}[A-Za-z0-9+/]*={0,2}"
    r"|T1==[A-Za-z0-9+/]+={0,2}"
)
_MEMBERS = ("token", "participant_token", "signature", "authToken", "accessToken", "access_token", "jwt")
"""Members of a JSON reply that hold a token, the likeliest first."""


def decode(content: bytes) -> str:
    """Return the text of a file or pipe in UTF-8 or UTF-16, with or without a byte order mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if content[1:2] == b"\x00":
        return content.decode("utf-16-le", "replace")
    if content[:1] == b"\x00":
        return content.decode("utf-16-be", "replace")
    return content.decode("utf-8-sig", "replace")


def candidates(text: str) -> Iterator[tuple[str, str]]:
    """Yield the tokens that `text` may hold, each with what was removed around it; the likeliest first."""
    seen = set()
    for token, removed in _all_candidates(text):
        if token and token not in seen:
            seen.add(token)
            yield token, removed


def _all_candidates(text: str) -> Iterator[tuple[str, str]]:
    exact = text.strip()
    yield exact, ""
    visible = exact.translate(_INVISIBLE).replace("\u00a0", " ")
    around = "taken from the text around it"
    for name, token in _in_json(visible):
        yield token, f"taken from the member {name} of a JSON object" if name else around
    plain = re.sub(r"\\u00([0-9a-fA-F]{2})", r"%\1", visible.replace("\\/", "/"))
    plain = re.sub(r"\\[nrt]|\\\r?\n", "\n", plain)
    if re.search(r"%[0-9A-Fa-f]{2}", plain):
        plain = unquote(plain)
    for word in sorted(plain.split(), key=len, reverse=True):
        yield from ((token, around) for token in _found(word))
    wrapped = "joined from wrapped lines"
    yield from ((token, wrapped) for token in _found(re.sub(r"[ \t]*[\r\n]+[ \t>|]*", "", plain)))
    yield from ((token, "its blanks replaced by +") for token in _found(re.sub(r" ", "+", plain)))
    yield from ((token, wrapped) for token in _found(re.sub(r"\s+", "", plain)))
    base64url = _found(re.sub(r"[^A-Za-z0-9_.-]+", "", plain))
    yield from ((token, wrapped) for token in base64url if not token.startswith("00"))


def _found(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        token = match.group()
        yield token.rstrip(".") if token.count(".") > 2 or token.endswith("..") else token
        if token.endswith("."):  # A full stop after a token whose signature is missing.
            yield token.rstrip(".")


def _in_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    texts = list(_strings("", document))
    texts.sort(key=lambda item: _MEMBERS.index(item[0]) if item[0] in _MEMBERS else len(_MEMBERS))
    yield from texts


def _strings(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value.strip()
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(name, inner)
