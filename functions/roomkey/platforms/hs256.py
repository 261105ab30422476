"""JSON Web Tokens signed with HMAC-SHA256. The only module of the function that imports `jwt`.

The key is the UTF-8 bytes of the secret exactly as the vendor issued it, never decoded, even if it looks like hex.
Times are Unix seconds. Sources: RFC 7519, RFC 7518 section 3.2, and the vendors' own server SDKs.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt

from roomkey.platforms.base import Signature
from roomkey.platforms.credentials import Credentials, InvalidCredentials

_ALGORITHM = "HS256"
_SIGNATURE_BYTES = hashlib.sha256().digest_size

# 100ms's web client decodes the payload with `atob`, which accepts neither "-" nor "_" and reads bytes as Latin-1. JSON
# in printable ASCII needs the two only for these characters, which it has only inside strings.
_UNSAFE_FOR_ATOB = str.maketrans({character: f"\\u{ord(character):04x}" for character in ">?~"})


class _AtobSafeEncoder(json.JSONEncoder):
    """Writes JSON whose base64url form is also valid base64."""

    def encode(self, o: Any) -> str:
        return super().encode(o).translate(_UNSAFE_FOR_ATOB)


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
    """Raise `InvalidCredentials` if the value called `name` is too short, or a key of another algorithm.

    PyJWT detects a PEM, SSH or JWK key; DER in base64 is detected here.
    """
    key = credentials[name]
    try:
        sign({}, key)
    except jwt.PyJWTError:
        raise InvalidCredentials(f"{name}: is no key for HMAC-SHA256") from None
    if _is_der(key):
        raise InvalidCredentials(f"{name}: is no key for HMAC-SHA256")


def _is_der(key: str) -> bool:
    """Whether `key` is base64 of exactly one ASN.1 sequence, as which RSA and EC keys are written (X.690, 8.1.3)."""
    try:
        content = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    if len(content) < 2 or content[0] != 0x30:
        return False
    size = content[1] & 0x7F if content[1] & 0x80 else 0
    length = int.from_bytes(content[2 : 2 + size]) if size else content[1]
    return 2 + size + length == len(content)


class Decoded(NamedTuple):
    """A token's parts, genuine or not."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signature: Signature
    payload: bytes
    payload_segment: str


def read(token: str, key: str | None) -> Decoded | None:
    """Decode `token` and verify its signature with `key`, if there is one. Return None if it is not a JSON Web Token.

    PyJWT signs, so it does not verify here.
    """
    segments = token.split(".")
    if len(segments) != 3:
        return None
    try:
        header, payload = json.loads(_decoded(segments[0]).decode()), _decoded(segments[1])
        claims = json.loads(payload.decode())
        signature = _verify(token, segments[2], key)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    return Decoded(header, claims, signature, payload, segments[1])


def _verify(token: str, signature: str, key: str | None) -> Signature:
    """Verify a token's signature. Raises `ValueError` if it is not base64url."""
    if len(_decoded(signature)) != _SIGNATURE_BYTES:
        return Signature.IMPOSSIBLE
    if key is None:
        return Signature.UNCHECKED
    expected = _encoded(hmac.digest(key.encode(), token[: -len(signature) - 1].encode(), "sha256"))
    return Signature.VALID if hmac.compare_digest(expected.encode(), signature.encode()) else Signature.INVALID


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    """The bytes of a base64url segment. Raises `ValueError` for any spelling but the one that encoding them gives."""
    content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if _encoded(content) != segment:
        raise ValueError("not base64url, or not its shortest spelling")
    return content


def signature_problems(token: Decoded, invalid: str) -> list[str]:
    """Return what is wrong with a token's signature; `invalid` describes one that is not this key's."""
    match token.signature:
        case Signature.INVALID:
            return [invalid]
        case Signature.IMPOSSIBLE:
            return ["the signature is not an HS256 signature"]
    return []


def header_problems(header: Mapping[str, Any]) -> list[str]:
    """What is wrong with a token's header: anything but plain HS256."""
    problems = [] if header.get("alg") == _ALGORITHM else ["the header's alg is not HS256"]
    return [*problems, *(["the header has crit, which no vendor knows"] if "crit" in header else [])]


def time_problems(
    claims: Mapping[str, Any], at: float, *, required: tuple[str, ...], max_validity: int | None = None
) -> list[str]:
    """What is wrong with `iat`, `nbf` and `exp`, without leeway, seen at `at`."""
    times = {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}
    problems = [f"{name} is missing" for name in required if name not in times]
    problems += [f"{name} is not a whole number of seconds" for name in times if not is_int(times[name])]
    if problems:
        return problems
    iat, nbf, exp = times.get("iat"), times.get("nbf"), times.get("exp")
    if exp is not None and exp <= at:
        problems.append("it has expired")
    if nbf is not None and nbf > at:
        problems.append("it is not valid yet (nbf)")
    if iat is not None and iat > at:
        problems.append("it was issued in the future (iat; milliseconds?)")
    if exp is not None and max(nbf or 0, iat or 0) >= exp:
        problems.append("it expires before it becomes valid")
    if max_validity is not None and exp is not None:
        begins = nbf if nbf is not None else iat
        if begins is not None and exp - begins > max_validity:
            problems.append(f"it lives longer than the {max_validity} s that the vendor allows")
    return problems


def is_text(value: object) -> bool:
    """Whether `value` is a string with something in it."""
    return isinstance(value, str) and value != ""


def is_int(value: object) -> bool:
    """Whether `value` is a JSON whole number: `true` is one to Python, and not to JSON."""
    return type(value) is int


def number(value: object) -> float | None:
    """Return `value` if it is a JSON number."""
    return value if type(value) in (int, float) else None  # type: ignore[return-value]


def string(value: object) -> str | None:
    """Return `value` if it is a string with at least one character."""
    return value if isinstance(value, str) and value else None


def client_warnings(token: Decoded) -> list[str]:
    """What would trip a web client that decodes the payload with plain `atob`."""
    segment = token.payload_segment
    if "-" in segment or "_" in segment:
        return ["its payload holds base64url's - or _: a web client that decodes it with atob throws"]
    if not token.payload.isascii():
        return ["its payload holds bytes outside ASCII: a web client that decodes it with atob garbles them"]
    return []
