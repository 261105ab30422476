"""Find a token in pasted text: a header, a URL, a JSON response, ICE servers, a line of code, wrapped lines."""

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from roomkey.platforms.fields import is_missing_value

_TURN_USER = r"[0-9]{9,19}(?::[!#-&(-\[\]-~]{1,256}?)?"
_TURN_CREDENTIAL = r"[A-Za-z0-9+/]{27}="
_TOKEN = re.compile(
    r"(?:ey[AJ]|ew[0ok])[A-Za-z0-9_-]{7,}(?:\.[A-Za-z0-9_-]*){0,4}"  # A JSON Web Token.
    r"|NETLESS(?:ROOM|SDK|TASK)_[A-Za-z0-9_-]+"
    r"|007e[A-Za-z0-9+/]+={0,2}"  # Agora: zlib's first byte is 0x78.
    r"|006[0-9A-Fa-f]{32}[A-Za-z0-9+/]*={0,2}"
    rf"|{_TURN_USER}:{_TURN_CREDENTIAL}"
    r"|T1==[A-Za-z0-9+/]+={0,2}"
    r"|04AAAA[A-Za-z0-9+/]{40,}={0,2}"
    r"|eJ[A-Za-z0-9*_-]{40,}"
    r"|rki1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
)
_MEMBERS = ("token", "participant_token", "signature", "authToken", "accessToken", "access_token", "jwt")
"""Members of a JSON response that contain a token, the likeliest first."""
_VALUE = re.compile(
    rf"""(?:bearer|{"|".join(_MEMBERS)})["']?(?:\s*[:=]\s*|\s+)["']?"""
    r"""(\[object Object\]|\$?\{{1,2}\w*\}{1,2}|[^\s"'&;,}]+)""",
    re.IGNORECASE,
)

_USER_MEMBER = rf"""(?:user(?:name)?|-u)["']?\s*[:=\s]\s*["']?(?P<user>{_TURN_USER})(?=["'\s,;&}}]|$)"""
_CREDENTIAL_MEMBER = rf"""(?:credential|password|-w)["']?\s*[:=\s]\s*["']?(?P<credential>{_TURN_CREDENTIAL})"""
_BETWEEN = ".{0,2000}?"
_ICE_SERVERS = [
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (_USER_MEMBER + _BETWEEN + _CREDENTIAL_MEMBER, _CREDENTIAL_MEMBER + _BETWEEN + _USER_MEMBER)
]

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    }
)
"""Characters that word processors and chats write in the place of ASCII."""
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{2,31});")
_CODE = re.compile(r"(?<!\\)\\(?:u([0-9a-fA-F]{4})|x([0-7][0-9a-fA-F]))")
_MAX_DECODINGS = 4
_JOINTS = (
    r"""["'`]\s*[+.\\]?\s*["'`]""",  # String literals that a program joins.
    r"=\r?\n(?=.)",  # Soft line breaks of e-mail (RFC 2045, section 6.7).
    r"[\s>|\u2502]+",  # Lines, quoted or in a table.
)
_REMOVED = (
    re.compile(r"<[^<>]{0,200}>"),  # Tags of HTML, such as <br> and <wbr>.
    re.compile(r"[+-][ \t]*$", re.MULTILINE),  # Signs of continuation, such as psql's.
)
_ANY = r"A-Za-z0-9_+/*=.-"
_LINE = re.compile(
    r"(?:.{0,40}?[|\u2502\u2503](?=.*\w)|[ \t]*[0-9]{1,6}[ \t])?"  # A border, a log's prefix, or a line number.
    rf"[^{_ANY}]*+([{_ANY}](?:.*[{_ANY}])?)"
)
_START = re.compile(r"(?:ey[AJ]|ew[0ok]|NETLESS|00[67]|[0-9]{9,19}:|T1==|04AAAA|eJ|rki1\.)\S*$")
_SIGNED = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
"""A JSON Web Token with a signature of HS256, which has 32 bytes."""
_MAX_LINES = 100
_MAX_WIDTH = 1000
"""Characters of a line of folded text; mail allows 998 (RFC 5322, section 2.1.1)."""
_MAX_NAME = 32
"""Characters of a shell prompt up to its first sign."""
_START_LENGTH = 12
"""Characters that differ between the header and the payload of a JSON Web Token."""


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
    """Yield the tokens that `text` may contain, each with a note of what was removed around it; the likeliest first."""
    seen = set()
    for token, removed in _all_candidates(text):
        if token and token not in seen:
            seen.add(token)
            yield token, removed


def _all_candidates(text: str) -> Iterator[tuple[str, str]]:
    yield text.strip(), ""
    texts = list(_decodings(text))
    for plain in texts:
        yield from _in_json(plain)
        for pattern in _ICE_SERVERS:
            for match in pattern.finditer(plain):
                yield f"{match['user']}:{match['credential']}", "joined from username and credential"
        for word in sorted(plain.split(), key=len, reverse=True):
            for token in (*_found(word), *_before_prompt(word)):
                yield token, "taken from the text around it"
    for plain in texts:
        for joined, removed in _joined(plain):
            yield from ((token, removed) for token in _found(joined))
    base64url = _found(re.sub(r"[^A-Za-z0-9_.-]+", "", texts[-1]))
    yield from ((token, "joined from wrapped lines") for token in base64url if token.startswith(("e", "N")))
    for value in _VALUE.findall(texts[-1]):
        if is_missing_value(value):
            yield value, "taken from the text around it"


def _joined(text: str) -> Iterator[tuple[str, str]]:
    """Yield `text` with the parts of tokens joined in each way, and a note of that."""
    for unwrapped in (text, *(pattern.sub("", text) for pattern in _REMOVED)):
        yield from ((joined, "joined from wrapped lines") for joined in _unfolded(unwrapped))
    yield from ((re.sub(joint, "", text), "joined from wrapped lines") for joint in _JOINTS)
    yield text.replace(" ", "+"), "its blanks replaced by +"
    yield re.sub(r"=\r?\n(?=.)", "", text).replace("=3D", "="), "decoded from e-mail"


def _unfolded(text: str) -> Iterator[str]:
    """Yield each token that is folded over lines up to a blank line, at each line that can be its last.

    Quotes, borders, line numbers and prefixes of logs around each line are removed. The last line is shorter than the
    one before, or ends a signature.
    """
    lines = [match[1] if (match := _LINE.match(line)) else "" for line in text.splitlines()]
    for index, line in enumerate(lines):
        if len(line) > _MAX_WIDTH or not (start := _START.search(line)):
            continue
        joined, width = start.group(), len(start.group())
        for following in lines[index + 1 : index + _MAX_LINES]:
            if len(following.split()) != 1 or len(following) > _MAX_WIDTH or _SIGNED.fullmatch(joined):
                break
            joined += following
            if len(following) < width:
                yield joined
            width = len(following)
        yield joined


def _visible(text: str) -> str:
    """Return `text` without characters that show nothing, and with ASCII in the place of similar characters."""
    text = unicodedata.normalize("NFKC", _ANSI.sub("", text)).translate(_LOOKALIKES)
    return "".join(
        character
        for character in text
        if character.isascii()
        or not (unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f" or character == "\u034f")
    )


def _decodings(text: str) -> Iterator[str]:
    """Yield `text`, then its decoded forms: escapes of HTML, JSON, Markdown and URLs, one layer at a time."""
    for _ in range(_MAX_DECODINGS):
        text = _visible(text)
        yield text
        decoded = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        decoded = _CODE.sub(lambda match: chr(int(match[1] or match[2], 16)), decoded)
        decoded = re.sub(r"\\([/\"'._*=+\\-])", r"\1", re.sub(r"(?<!\\)\\(?:[nrt]|\r?\n)", "\n", decoded))
        if re.search(r"%[0-9A-Fa-f]{2}", decoded):
            decoded = unquote(decoded)
        if decoded == text:
            return
        text = decoded


def _found(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        token = match.group()
        yield token.rstrip(".") if token.count(".") > 2 or token.endswith("..") else token
        yield token.rstrip(".")  # A full stop after a token whose signature is missing.
        for end in ("_", "*", "__", "**"):  # The end of emphasis in Markdown.
            if token.endswith(end):
                yield token.removesuffix(end)
        if (again := token.find(token[:_START_LENGTH], 1)) > 0:  # A token that was pasted twice.
            yield from (token[:again], token[:again].rstrip("+"))


def _before_prompt(word: str) -> Iterator[str]:
    """Yield what can be a token that is directly followed by a shell's prompt, such as ada@host:~$."""
    for match in _TOKEN.finditer(word):
        if word[match.end() : match.end() + 1] in {"@", ":", "~", "$", "#"}:
            yield from (match.group()[:-length] for length in range(1, _MAX_NAME))


def _in_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(text)
        texts = [*_credentials(document), *_strings("", document)]
    except (ValueError, RecursionError):
        return
    texts.sort(key=lambda item: _MEMBERS.index(item[0]) if item[0] in _MEMBERS else len(_MEMBERS))
    for name, token in texts:
        yield token, f"taken from {name} of a JSON object" if name else "taken from the text around it"


def _credentials(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the user name and credential of each ICE server (RFC 8825), or of each reply of the TURN REST draft."""
    if isinstance(value, dict):
        user, credential = value.get("username"), value.get("credential", value.get("password"))
        if isinstance(user, str) and isinstance(credential, str):
            yield "username and credential", f"{user.strip()}:{credential.strip()}"
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _credentials(inner)


def _strings(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value.strip()
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(name, inner)
