"""Name tokens that belong to none of Roomkey's platforms: other vendors' tokens, and JSON Web Tokens of any issuer."""

import base64
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from roomkey.invites import PREFIX
from roomkey.platforms import hs256
from roomkey.platforms.fields import is_missing_value


class ForeignToken(NamedTuple):
    """A token that no platform recognises. `summary` names its issuer, `hint` the next step."""

    summary: str
    vendor: str | None = None
    issuer: str | None = None
    expires_at: float | None = None
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    hint: str = ""
    flaws: tuple[str, ...] = ()


type _Test = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


def _has(*names: str) -> _Test:
    return lambda _, claims: claims.keys() >= set(names)


_JSON_WEB_TOKENS: tuple[tuple[str, _Test], ...] = (
    ("LiveKit", lambda _, claims: isinstance(claims.get("video", claims.get("sip")), dict) and "iss" in claims),
    ("Twilio", lambda header, claims: "twilio" in str(header.get("cty")) or isinstance(claims.get("grants"), dict)),
    ("Zoom Video SDK", _has("app_key", "tpc")),
    ("Zoom Meeting SDK", _has("appKey", "tokenExp")),
    ("Zoom Meeting SDK", _has("sdkKey", "tokenExp")),
    ("JaaS (8x8)", lambda header, claims: "vpaas-magic-cookie" in f"{header.get('kid')} {claims.get('sub')}"),
    ("Jitsi", lambda _, claims: "room" in claims and ("context" in claims or claims.get("aud") == "jitsi")),
    ("Vonage Video", _has("application_id", "scope")),
    ("Vonage Video", _has("application_id", "acl")),
    ("Cloudflare RealtimeKit", _has("orgId", "participantId")),
    ("Cloudflare RealtimeKit", _has("meetingId", "participantId")),
    ("Amazon IVS", lambda _, claims: "capabilities" in claims and "ivs" in str(claims.get("resource"))),
    ("Azure Communication Services", _has("skypeid")),
    ("Daily", _has("r", "d")),
    ("Stream", _has("user_id", "call_cids")),
    ("Stream", lambda _, claims: claims.keys() - {"iat", "exp"} == {"user_id"} and hs256.is_text(claims["user_id"])),
    ("Stream", lambda _, claims: claims.keys() - {"iat", "exp"} == {"server"}),
)
_WITH_KEY_PAIRS = ("Jitsi", "JaaS (8x8)")


def has_foreign_issuer(text: str) -> bool:
    """Return whether `text` is a JSON Web Token that another issuer signed, although its claims fit a platform.

    The issuer has a URL and another algorithm, or a user_id that is no string, or a key pair for Jitsi, which also
    accepts RS256 (jitsi-meet, token/util.lib.lua, asap_key_server).
    """
    decoded = hs256.read(text, None)
    if decoded is None or decoded.header is None:
        return False
    if decoded.header.get("alg") == "HS256":
        claims = decoded.claims
        return claims.keys() - {"iat", "exp"} == {"user_id"} and not isinstance(claims["user_id"], str)
    of_jitsi = _vendor(decoded) in _WITH_KEY_PAIRS and _key_pair(decoded) is not None
    return of_jitsi or "://" in str(decoded.claims.get("iss"))


def identify_foreign(text: str) -> ForeignToken | None:
    """Return whose token `text` is, as far as its form tells, or None for an unknown form."""
    if re.fullmatch(rf"{PREFIX}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", text):
        return ForeignToken("an invite of Roomkey, not a token: roomkey invite show reads it", "Roomkey")
    decoded = hs256.read(text, None)
    if decoded is not None:
        return _json_web_token(decoded)
    if text.startswith("ey") and "." in text:
        segments = text.split(".")
        if len(segments) == 5 and "enc" in _header(segments[0]):
            return ForeignToken("an encrypted JSON Web Token (JWE): only its issuer can read it")
        return ForeignToken("a JSON Web Token that cannot be read: it is cut short or damaged")
    if re.fullmatch(r"ey[A-Za-z0-9_-]+", text):
        return ForeignToken("the start of a JSON Web Token: it is cut short in its header")
    if re.fullmatch(r"T1==[A-Za-z0-9+/]+={0,2}", text):
        return _opentok(text)
    if re.fullmatch(r"\S+|\[object \w+\]", text) and is_missing_value(text):
        return ForeignToken(f"the text {text}: a program printed a variable that has no value")
    if _is_user_sig(text):
        return ForeignToken("a UserSig of Tencent RTC", "Tencent RTC")
    if re.fullmatch(r"04AAAA[A-Za-z0-9+/=]{40,}", text):
        return ForeignToken("a token of ZEGOCLOUD (token04)", "ZEGOCLOUD")
    return None


def _header(segment: str) -> Mapping[str, Any]:
    decoded = hs256.read(f"{segment}.e30.", None)  # With empty claims, since JWE has none in the clear.
    return (decoded and decoded.header) or {}


def _vendor(decoded: hs256.Decoded) -> str | None:
    return next((name for name, test in _JSON_WEB_TOKENS if test(decoded.header or {}, decoded.claims)), None)


def _key_pair(decoded: hs256.Decoded) -> str | None:
    """Return the algorithm of a token that is signed with a private key (RFC 7518, section 3.1, and RFC 8037)."""
    algorithm = str((decoded.header or {}).get("alg"))
    return algorithm if re.fullmatch(r"(?:RS|PS|ES)(?:256|384|512)|EdDSA", algorithm) else None


def _json_web_token(decoded: hs256.Decoded) -> ForeignToken:
    header, claims = decoded.header or {}, decoded.claims
    issuer, vendor = hs256.string(claims.get("iss")), _vendor(decoded)
    of_another = f"a JWT of another issuer ({f'iss {issuer}' if issuer else 'it has no iss'})"
    flaws = decoded.flaws
    if algorithm := _key_pair(decoded):
        of_another += f"; its {algorithm} signature cannot be checked with a shared secret"
        flaws = tuple(flaw for flaw in flaws if flaw != hs256.NOT_HS256)
    hint = ""
    if vendor is None and {"sub", "aud"} & claims.keys():
        hint = "if you sign in with it, pass the token that Roomkey returned instead"
    return ForeignToken(
        summary=f"a {vendor} token: {of_another}" if vendor else of_another,
        vendor=vendor,
        issuer=issuer,
        expires_at=hs256.number(claims.get("exp")),
        header=header,
        claims=claims,
        hint=hint,
        flaws=(*flaws, *hs256.time_warnings(claims)),
    )


def _opentok(text: str) -> ForeignToken:
    encoded = text.removeprefix("T1==").rstrip("=")
    content = base64.b64decode(encoded[: len(encoded) // 4 * 4] if len(encoded) % 4 == 1 else encoded + "==")
    found = re.match(rb"partner_id=([0-9]+)", content)
    whole = found and b"&sig=" in content and content.isascii()
    return ForeignToken(
        "an OpenTok token (T1==), of Vonage's older video API",
        "OpenTok",
        claims={"partner_id": found[1].decode()} if found else {},
        flaws=() if whole else ("it is cut short or damaged",),
    )


def _is_user_sig(text: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9*-]+_{0,2}", text):
        return False
    encoded = text.translate(str.maketrans("*-_", "+/="))
    try:
        document = json.loads(zlib.decompressobj().decompress(base64.b64decode(encoded), 65536))
    except (ValueError, zlib.error):
        return False
    return isinstance(document, dict) and "TLS.identifier" in document
