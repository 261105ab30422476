"""JSON Web Tokens signed with HMAC-SHA256: what 100ms and VideoSDK both use. The only file that imports `jwt`.

The key is the UTF-8 bytes of the secret exactly as the vendor issued it, never decoded, even where it looks like hex.
Times are whole Unix seconds. Sources: RFC 7519, RFC 7518 section 3.2, and the vendors' own server SDKs.
"""

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode

from roomkey.platforms.base import Credentials, InvalidCredentials

BACKDATED_SECONDS = 30
"""`iat` (and `nbf`) lie this far back, so that a vendor whose clock runs behind ours does not refuse a new token."""

_ALGORITHM = "HS256"
_SIGNATURE_BYTES = hashlib.sha256().digest_size
_hmac = HMACAlgorithm(HMACAlgorithm.SHA256)


_HEADER = base64url_encode(json.dumps({"alg": _ALGORITHM, "typ": "JWT"}, separators=(",", ":")).encode())

# 100ms's web client decodes the payload with `atob`, which knows neither "-" nor "_" and reads bytes as Latin-1. In
# ASCII text that can be printed, which is all that the encoder writes, base64url needs the two only where one of these
# three stands, and JSON has them only inside strings.
_FOR_ATOB = {hostile: f"\\u{ord(hostile):04x}" for hostile in ">?~"}
_encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def sign(claims: Mapping[str, object], key: str) -> str:
    """`claims` as a token in JWS's compact form (RFC 7515, 3.1), signed by PyJWT with a key that `check_key` passed.

    `jwt.encode` would look for PEM, SSH and JWK in the key each time, and write the same header. Checked or not, a key
    that is shorter than the hash signs nothing: raises `jwt.InvalidKeyError`.
    """
    secret = key.encode()
    if len(secret) < _SIGNATURE_BYTES:
        raise jwt.InvalidKeyError("a key for HMAC-SHA256 is at least as long as the hash")
    payload = _encoder.encode(claims)
    for hostile, escaped in _FOR_ATOB.items():
        payload = payload.replace(hostile, escaped)
    signed = _HEADER + b"." + base64url_encode(payload.encode())
    return (signed + b"." + base64url_encode(_hmac.sign(signed, secret))).decode()


def check_key(name: str, credentials: Credentials) -> None:
    """Raises `CredentialProblems` where the value called `name` is too short, or a key of another algorithm.

    PyJWT knows a PEM, SSH or JWK key; one in DER, as base64, would pass for a secret.
    """
    key = credentials[name]
    try:
        _hmac.prepare_key(key)
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


class Unverified(NamedTuple):
    """What a token says, whether it is genuine or not. `signature` is None where there was no key to check it with."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signature: bool | None
    payload: bytes
    payload_segment: str


def read(token: str, key: str | None) -> Unverified | None:
    """`token` taken apart; None where it is no JSON Web Token at all.

    Not by PyJWT: what one library has signed, another piece of code checks. A signature that no HMAC-SHA256 can have
    made does not hold, whatever the key.
    """
    segments = token.split(".")
    if len(segments) != 3:
        return None
    try:
        header, payload = _header(segments[0]), _decoded(segments[1])
        claims = json.loads(payload.decode())
        holds = _holds(token, segments[2], key)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    return Unverified(header, claims, holds, payload, segments[1])


def _holds(token: str, signature: str, key: str | None) -> bool | None:
    """Whether a token's signature is the one that `key` gives, if there is a key. Raises `ValueError` if it is none."""
    if key is not None:
        right = _encoded(hmac.new(key.encode(), token[: -len(signature) - 1].encode(), hashlib.sha256).digest())
        if hmac.compare_digest(right.encode(), signature.encode()):
            return True
    return None if len(_decoded(signature)) == _SIGNATURE_BYTES and key is None else False


@functools.lru_cache(maxsize=16)  # All tokens of ours have the same one.
def _header(segment: str) -> Any:
    """The document in a token's first segment, for reading only. Raises `ValueError` or `RecursionError`."""
    return json.loads(_decoded(segment).decode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    """The bytes of a base64url segment. Raises `ValueError` for any spelling but the one that encoding them gives."""
    content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if _encoded(content) != segment:
        raise ValueError("not base64url, or not its shortest spelling")
    return content


def header_problems(header: Mapping[str, Any]) -> list[str]:
    """What is wrong with a token's header: anything but plain HS256."""
    problems = [] if header.get("alg") == _ALGORITHM else ["the header's alg is not HS256"]
    return [*problems, *(["the header has crit, which no vendor knows"] if "crit" in header else [])]


def time_problems(
    claims: Mapping[str, Any], at: float, *, required: tuple[str, ...], max_lifetime: int | None
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
    if max_lifetime is not None and exp is not None:
        begins = nbf if nbf is not None else iat
        if begins is not None and exp - begins > max_lifetime:
            problems.append(f"it lives longer than the {max_lifetime} s that the vendor allows")
    return problems


def is_text(value: object) -> bool:
    """Whether `value` is a string with something in it."""
    return isinstance(value, str) and value != ""


def is_int(value: object) -> bool:
    """Whether `value` is a JSON whole number: `true` is one to Python, and not to JSON."""
    return type(value) is int


def whole(value: object) -> int | None:
    """`value`, if it is a JSON whole number."""
    return value if type(value) is int else None


def client_warnings(token: Unverified) -> list[str]:
    """What would trip a web client that decodes the payload with plain `atob`."""
    segment = token.payload_segment
    if "-" in segment or "_" in segment:
        return ["its payload holds base64url's - or _: a web client that decodes it with atob throws"]
    if not token.payload.isascii():
        return ["its payload holds bytes outside ASCII: a web client that decodes it with atob garbles them"]
    return []
