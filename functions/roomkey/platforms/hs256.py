"""JSON Web Tokens signed with HMAC-SHA256. The only module of the function that imports `jwt`.

The key is the UTF-8 bytes of the secret exactly as the vendor issued it, never decoded, even if it looks like hex.
Times are Unix seconds. Sources: RFC 7519, RFC 7518 section 3.2, and the vendors' own server SDKs.
"""

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt

from roomkey import strict_json
from roomkey.platforms.base import Signature, expired, wrong_unit
from roomkey.platforms.credentials import Credentials, InvalidCredentials

_ALGORITHM = "HS256"
_UNSUPPORTED = ("crit", "b64", "enc", "zip")
"""Header parameters that change how a token is read (RFC 7515, 7516 and 7797)."""
MAX_NUMBER = 2**53
_MAX_NANOSECONDS = 10**19
_SIGNATURE_BYTES = hashlib.sha256().digest_size
_SIGNATURE_LENGTH = math.ceil(_SIGNATURE_BYTES * 4 / 3)
"""Characters of a signature in base64url."""
NOT_HS256 = "its signature is not an HS256 signature"

# 100ms's web client decodes the payload with `atob`, which accepts neither "-" nor "_" and reads bytes as Latin-1. JSON
# in printable ASCII needs the two only for these characters, which it has only inside strings.
_UNSAFE_FOR_ATOB = ">?~"


class _AtobSafeEncoder(json.JSONEncoder):
    """Writes JSON whose base64url form is also valid base64."""

    def encode(self, o: Any) -> str:
        text = super().encode(o)
        for character in _UNSAFE_FOR_ATOB:
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text


def sign(claims: Mapping[str, object], key: str, headers: Mapping[str, object] | None = None) -> str:
    """Return `claims` as a signed token (RFC 7515, section 3.1), with `headers` added to alg and typ.

    Raises `jwt.InvalidKeyError` if the key is shorter than the hash or belongs to another algorithm.
    """
    if len(key.encode()) < _SIGNATURE_BYTES:
        raise jwt.InvalidKeyError("a key for HMAC-SHA256 must be at least as long as the hash")
    return jwt.encode(
        dict(claims), key, _ALGORITHM, headers=None if headers is None else dict(headers), json_encoder=_AtobSafeEncoder
    )


def check_key(name: str, credentials: Credentials) -> None:
    """Raise `InvalidCredentials` if PyJWT does not accept the value called `name` as a key."""
    try:
        sign({}, credentials[name])
    except jwt.PyJWTError:
        raise InvalidCredentials(f"{name}: is not a key for HMAC-SHA256") from None


class Decoded(NamedTuple):
    """A token's parts, genuine or not. `flaws` are errors of form: with one, the parts are only what is readable.

    A `header` of None cannot be read.
    """

    header: Mapping[str, Any] | None
    claims: Mapping[str, Any]
    signature: Signature
    payload: bytes
    payload_segment: str
    flaws: tuple[str, ...] = ()
    incomplete: bool = False
    """Whether claims are missing because the token is cut short or damaged."""


def read(token: str, key: str | None) -> Decoded | None:
    """Decode `token` and verify its signature with `key`, if there is one. Return None without a readable claim.

    PyJWT signs, so it does not verify here.
    """
    segments = token.split(".")
    if len(segments) > 3:
        return None
    header_segment, payload_segment, signature_segment = (*segments, "", "")[:3]
    (_, header, header_fault), (payload, claims, claims_fault) = map(_part, (header_segment, payload_segment))
    flaws = [f"its header contains {header_fault}"] if header_fault else []
    flaws += [f"its claims contain {claims_fault}"] if claims_fault else []
    if header is not None and claims is not None and len(segments) == 3:
        flaw, signature = _verify(token, signature_segment, key)
        return Decoded(header, claims, signature, payload, payload_segment, (*([flaw] if flaw else ()), *flaws))
    incomplete = claims is None
    if header is None:
        flaws.append("its header cannot be read: it is cut short at the start, or damaged")
    if claims is None:
        claims = _readable_claims(payload_segment)
        flaws.append("it is cut short: its claims end early" if len(segments) < 3 else "its claims are damaged")
    elif len(segments) < 3:
        flaws.append("it is cut short: its signature is missing")
    return (
        Decoded(header, claims, Signature.IMPOSSIBLE, payload, payload_segment, tuple(flaws), incomplete)
        if claims
        else None
    )


def _verify(token: str, segment: str, key: str | None) -> tuple[str | None, Signature]:
    """Return what is wrong with the form of a token's signature, and the result of verifying it."""
    if not segment:
        return "its signature is missing: it is cut short, or unsigned", Signature.IMPOSSIBLE
    if len(segment) < _SIGNATURE_LENGTH and re.fullmatch(r"[A-Za-z0-9_-]+", segment):
        missing = _SIGNATURE_LENGTH - len(segment)
        return f"it is cut short: its signature lacks {missing} of {_SIGNATURE_LENGTH} characters", Signature.IMPOSSIBLE
    try:
        size = len(_decoded(segment))
    except ValueError:
        size = 0
    if size != _SIGNATURE_BYTES:
        return NOT_HS256, Signature.IMPOSSIBLE
    if key is None:
        return None, Signature.UNCHECKED
    expected = _encoded(hmac.digest(key.encode(), token[: -len(segment) - 1].encode(), "sha256"))
    valid = hmac.compare_digest(expected.encode(), segment.encode())
    return None, Signature.VALID if valid else Signature.INVALID


def _part(segment: str) -> tuple[bytes, Mapping[str, Any] | None, str]:
    """Return a segment's bytes, its JSON object, and why strict readers refuse it. The object is None if unreadable."""
    content = b""
    try:
        content = _decoded(segment)
        document, fault = _document(content.decode())
    except (ValueError, RecursionError):
        return content, None, ""
    return (content, document, fault) if isinstance(document, dict) else (content, None, "")


def _document(text: str) -> tuple[Any, str]:
    """Return a JSON document, and why strict readers refuse it. Raises `ValueError` or `RecursionError`."""
    try:
        return _STRICT_DECODER.decode(text), ""
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        return _DECODER.decode(text), str(error)


def _number(text: str) -> float | str:
    """Return a JSON number, as text if no float has its value."""
    return int(text) if text.lstrip("-").isdigit() and len(text) < _MAX_DIGITS else _finite(text)


def _finite(text: str) -> float | str:
    return value if math.isfinite(value := float(text)) else text


_MAX_DIGITS = 300
_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_finite, parse_int=_number)
"""Reads NaN and infinities, which are not JSON, as text, and the last value of a duplicate key."""
_STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=strict_json.without_duplicates,
    parse_constant=strict_json.no_constant,
    parse_float=_finite,
    parse_int=_number,
)


def _readable_claims(segment: str) -> dict[str, Any]:
    """Return the claims at the start of a payload that is damaged or cut short."""
    longest = re.match(r"[A-Za-z0-9_-]*", segment)
    usable = longest.group() if longest else ""
    usable = usable[: len(usable) - (len(usable) % 4 == 1)]
    text = base64.urlsafe_b64decode(usable + "=" * (-len(usable) % 4)).decode(errors="replace")
    claims: dict[str, Any] = {}
    position = 1
    if not text.startswith("{"):
        return claims
    try:
        while True:
            name, position = _DECODER.raw_decode(text, _after_blanks(text, position))
            position = _after_blanks(text, position)
            if not isinstance(name, str) or text[position] != ":":
                return claims
            value, position = _DECODER.raw_decode(text, _after_blanks(text, position + 1))
            position = _after_blanks(text, position)
            if text[position] not in ",}":  # Without a separator a number may lack digits: IndexError if cut there.
                return claims
            claims[name] = value
            position += 1
    except (ValueError, IndexError, RecursionError):
        return claims


def _after_blanks(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    """The bytes of a base64url segment. Raises `ValueError` for any spelling but the one that encoding them gives."""
    content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if _encoded(content) != segment:
        raise ValueError("not base64url, or not its shortest spelling")
    return content


def signature_problems(token: Decoded, invalid: str) -> list[str]:
    """Return what is wrong with a token's form and signature; `invalid` describes one that is not this key's."""
    return [*token.flaws, *([invalid] if token.signature is Signature.INVALID else [])]


def header_problems(header: Mapping[str, Any] | None) -> list[str]:
    """Return why vendors refuse a token's header: anything but plain HS256. An unreadable one is a flaw instead."""
    if header is None:
        return []
    problems = [] if header.get("alg") == _ALGORITHM else ["the header's alg is not HS256"]
    if str(header.get("typ", "JWT")).upper() not in ("JWT", "JOSE"):
        problems.append("the header's typ is not JWT")
    return [*problems, *(f"the header has {name}, which no vendor supports" for name in _UNSUPPORTED if name in header)]


def time_problems(
    claims: Mapping[str, Any], at: float, *, required: tuple[str, ...], max_validity: int | None = None
) -> list[str]:
    """Return why a vendor refuses `iat`, `nbf` and `exp` at the Unix time `at`, without leeway.

    A time may have a fraction (RFC 7519, section 2). Each time is judged, whatever is wrong with the others.
    """
    present = {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}
    problems = [f"{name} is missing" for name in required if name not in present]
    problems += [
        f"{name} is not a number of seconds{_unit(value, ' ({}?)')}"
        for name, value in present.items()
        if number(value) is None
    ]
    iat, nbf, exp = (number(present.get(name)) for name in ("iat", "nbf", "exp"))
    if exp is not None and exp <= at:
        problems.append(expired(exp))
    if nbf is not None and nbf > at:
        problems.append(f"it is not valid yet (nbf{_unit(nbf, '; {}?')})")
    if iat is not None and iat > at:
        problems.append(f"it was issued in the future (iat{_unit(iat, '; {}?')})")
    if exp is not None and max(nbf or 0, iat or 0) >= exp:
        problems.append("it expires before it becomes valid")
    start = iat if nbf is None else nbf
    if max_validity is not None and None not in (start, exp) and (exp or 0) - (start or 0) > max_validity:
        problems.append(f"it lives longer than the {max_validity} s that the vendor allows{_unit(exp, ' ({}?)')}")
    return problems


def time_warnings(claims: Mapping[str, Any]) -> list[str]:
    """Return why an `exp` that a vendor accepts is a mistake."""
    exp = number(claims.get("exp"))
    return [f"exp lies after the year 2286{unit}"] if (unit := _unit(exp, " ({}?)")) else []


def _unit(value: object, form: str) -> str:
    """Return a hint that `value` has another unit than seconds, in `form`; empty if it has not."""
    if isinstance(value, str) and value.isdecimal() and len(value) < _MAX_DIGITS:
        value = int(value)
    if not isinstance(value, int | float) or abs(value) > _MAX_NANOSECONDS:
        return ""
    unit = wrong_unit(value)
    return form.format(unit) if unit else ""


def is_text(value: object) -> bool:
    """Return whether `value` is a string with at least one character."""
    return isinstance(value, str) and value != ""


def is_int(value: object) -> bool:
    """Return whether `value` is a JSON integer. Python counts `true` as one."""
    return type(value) is int


def number(value: object) -> float | None:
    """Return `value` if it is a finite JSON number of at most 2^53, which is beyond every time."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return value
    return None


def string(value: object) -> str | None:
    """Return `value` if it is a string with at least one character."""
    return value if isinstance(value, str) and value else None


def string_or_integer(value: object) -> str | None:
    """Return `value` as text if it is a string with at least one character, or an integer."""
    return str(value) if is_int(value) else string(value)


def client_warnings(token: Decoded) -> list[str]:
    """Return what a web client that decodes the payload with plain `atob` fails on."""
    segment = token.payload_segment
    if "-" in segment or "_" in segment:
        return ["its payload contains base64url's - or _: a web client that decodes it with atob throws"]
    if not token.payload.isascii():
        return ["its payload contains bytes outside ASCII: a web client that decodes it with atob garbles them"]
    return []
