"""Agora Interactive Whiteboard ("Netless"): room tokens ("app tokens") for its clients, SDK tokens for its REST API.

The format is a prefix and, in base64url without padding, a query string with the fields in the order of their names.
The signature is one of them. Every field is a string, numbers included:

    NETLESSROOM_ + base64url("ak=…&expireAt=1700002340500&nonce=…&role=2&sig=…&uuid=…")

`sig` is HMAC-SHA256, in hexadecimal, of the other fields as one JSON object without spaces; its key is the UTF-8 bytes
of the secret key. `expireAt` counts **milliseconds**; without it a token never expires. A token names no user.

Sources: github netless-io/netless-token (README and the packages for each language), npm netless-token 1.0.2, Agora's
documentation of the whiteboard ("Generate tokens", "RESTful API: status codes"), and the web client (npm
white-web-sdk 2.16.56).
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from roomkey.platforms.base import (
    AuthHeader,
    Grant,
    MintContext,
    Platform,
    Signature,
    TokenContent,
    TokenKind,
    TokenReport,
    expired,
    wrong_unit,
)
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import RequestField, TokenSpec, matching, one_of

ROLES: Mapping[str, str] = {"admin": "0", "writer": "1", "reader": "2"}
"""A smaller number grants more. The web client lets admin and writer draw alike."""

DEFAULT_ROLE = "admin"
"""The role of a management token whose request names none."""

_SDK, _ROOM, _TASK = "NETLESSSDK_", "NETLESSROOM_", "NETLESSTASK_"
_KINDS = {_ROOM: TokenKind.APP, _SDK: TokenKind.MANAGEMENT, _TASK: None}
"""By prefix. Task tokens, for converting one file, are read and never minted."""
_LABELS = {_ROOM: "room token", _SDK: "SDK token", _TASK: "task token"}

_ROLE_WORDS = {number: word for word, number in ROLES.items()}
_FIELDS = {"ak", "nonce", "role", "uuid", "expireAt", "sig"}

_ROOM_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 32
_MILLISECONDS = re.compile(r"[1-9][0-9]{0,15}")
_DIGITS_OF_SECONDS = 10

_MALFORMED = "what follows the prefix is not a query string in base64url without padding, written as the vendor does"
_REFUSED = "{} (401 Unauthorized: the token is incorrect)"


_check_room_uuid = matching(
    _ROOM_UUID.pattern,
    "must be the room's uuid: 32 hexadecimal digits in lower case, with or without dashes",
)
"""A room's uuid, as the vendor's API gave it. Its implementations sign other text differently."""


# --- the format ----------------------------------------------------------------------------------------------------


def pack(prefix: str, fields: Mapping[str, str], secret_key: str) -> str:
    """Return a signed token with `fields`."""
    signed = {**fields, "sig": _signature(fields, secret_key)}
    return prefix + _body(sorted(signed.items()))


def unpack(body: str) -> dict[str, str] | None:
    """Return the fields of the part after a token's prefix, `sig` included, in their order.

    Return None for padding, another alphabet, another percent-encoding or a repeated field: no implementation writes
    them.
    """
    try:
        query = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("ascii")
        halves = (pair.partition("=") for pair in query.split("&"))
        pairs = [(unquote(name), unquote(value)) for name, _, value in halves]
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) and _body(pairs) == body else None


def _readable(body: str) -> dict[str, str]:
    """Return the fields at the start of a body that is damaged or cut short."""
    start = re.match(r"[A-Za-z0-9_-]*", body)
    usable = start.group() if start else ""
    usable = usable[: len(usable) // 4 * 4]
    *pairs, _ = base64.urlsafe_b64decode(usable).decode("ascii", "replace").split("&")
    halves = (pair.partition("=") for pair in pairs)
    return {unquote(name): unquote(value) for name, _, value in halves if name}


def _body(pairs: Iterable[tuple[str, str]]) -> str:
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)
    return base64.urlsafe_b64encode(query.encode()).decode().rstrip("=")


def _encoded(text: str) -> str:
    """Encode as JavaScript's `encodeURIComponent`: a space is %20, never +."""
    return quote(text, safe="-_.!~*'()")


def _signature(fields: Mapping[str, str], secret_key: str) -> str:
    signed = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hmac.new(secret_key.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _milliseconds(seconds: float) -> int:
    """Round `seconds` to the nearest millisecond of the same second.

    1700001140.001 is a little less as a float: truncating would lose its millisecond.
    """
    whole = int(seconds)
    return whole * 1000 + min(round((seconds - whole) * 1000), 999)


# --- the platform --------------------------------------------------------------------------------------------------


class AgoraWhiteboard(Platform):
    """Agora Interactive Whiteboard, whose servers and packages are called Netless."""

    name = "agora-whiteboard"
    title = "Agora Interactive Whiteboard"
    generated_rooms = ("x" * 32, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    example = {"room_id": "534c08ca3f52a55f27bb471e3eccb305", "role": "reader"}
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_room_uuid, required=True),
                RequestField("role", one_of(*ROLES), required=True),
            )
        ),
        TokenKind.MANAGEMENT: TokenSpec((RequestField("role", one_of(*ROLES), default=DEFAULT_ROLE),)),
    }
    auth_header = AuthHeader("token", "")
    response_schemas = {"token": {"type": "string", "pattern": "^NETLESS(ROOM|SDK)_[A-Za-z0-9_-]+$"}}
    renew_before = 60
    credential_fields = (
        CredentialField("access_key"),
        CredentialField("secret_key", signs=True),
    )

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        app = grant.kind is TokenKind.APP
        lifetime = grant.expires_at - int(context.minted_at)
        fields = {
            "ak": credentials["access_key"],
            "nonce": context.randomness.uuid(),
            "role": ROLES[str(grant.role)],
            "expireAt": str(_milliseconds(context.minted_at) + lifetime * 1000),
            **({"uuid": str(grant.room_id)} if app else {}),
        }
        return pack(_ROOM if app else _SDK, fields, credentials["secret_key"])

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        prefix = next((prefix for prefix in _KINDS if token.startswith(prefix)), None)
        if prefix is None:
            return None
        fields = unpack(token.removeprefix(prefix))
        flaws = []
        if fields is None:
            fields = _readable(token.removeprefix(prefix))
            flaws = ["it is cut short or damaged"] if fields else [_MALFORMED]
            signature = Signature.IMPOSSIBLE
        else:
            signature = _verify(fields, credentials)
            if signature is not Signature.VALID and _is_cut(prefix, fields):
                flaws, signature = ["it is cut short"], Signature.IMPOSSIBLE
        claims = {name: value for name, value in fields.items() if name != "sig"}
        field_problems = _field_problems(prefix, fields, credentials["access_key"] if credentials else None)
        if flaws:  # The cut explains a missing field.
            field_problems = []
        problems = [
            *flaws,
            *(["the signature is not this secret key's"] * (signature is Signature.INVALID)),
            *field_problems,
            *_time_problems(claims, at),
        ]
        return TokenReport(
            platform=self.name,
            content=_content(prefix, claims),
            signature=signature,
            claims=claims,
            problems=tuple(map(_REFUSED.format, problems)),
            warnings=() if field_problems or flaws else tuple(_warnings(claims)),
            token_id=claims.get("nonce"),
            label=_LABELS[prefix],
        )


def _is_cut(prefix: str, fields: Mapping[str, str]) -> bool:
    """Return whether the last field of a token, by the order of names, lacks its end or is missing."""
    if prefix == _SDK:
        return re.fullmatch(r"[0-9a-f]{0,63}", fields.get("sig", "")) is not None and "uuid" not in fields
    uuid = fields.get("uuid", "")
    return len(uuid) < _UUID_LENGTH and re.fullmatch(r"[0-9a-f]*", uuid) is not None


def _verify(fields: Mapping[str, str], credentials: Credentials | None) -> Signature:
    claims = {name: value for name, value in fields.items() if name != "sig"}
    if credentials is None:
        return Signature.UNCHECKED
    expected = _signature(claims, credentials["secret_key"])
    valid = hmac.compare_digest(fields.get("sig", "").encode(), expected.encode())
    return Signature.VALID if valid else Signature.INVALID


def _field_problems(prefix: str, fields: Mapping[str, str], access_key: str | None) -> list[str]:
    required = ("ak", "nonce", "sig") if prefix == _SDK else ("ak", "nonce", "sig", "uuid")
    problems = [f"{name} is missing" for name in required if not fields.get(name)]
    if access_key is not None and fields.get("ak", access_key) != access_key:
        problems.append("ak is not these credentials'")
    # The web client reads a room token's role before it connects, and throws without one.
    if ("role" in fields or prefix == _ROOM) and fields.get("role") not in _ROLE_WORDS:
        problems.append("role is neither 0 (admin), 1 (writer) nor 2 (reader)")
    if "expireAt" in fields and not _MILLISECONDS.fullmatch(fields["expireAt"]):
        problems.append(f"expireAt is not a whole number of milliseconds{_unit(fields['expireAt'])}")
    return problems


def _time_problems(fields: Mapping[str, str], at: float) -> list[str]:
    expires_at = fields.get("expireAt", "")
    if not _MILLISECONDS.fullmatch(expires_at) or int(expires_at) > _milliseconds(at):
        return []
    in_seconds = len(expires_at) == _DIGITS_OF_SECONDS
    return [expired(int(expires_at) / 1000, "expireAt in seconds?" if in_seconds else None)]


def _unit(expires_at: str) -> str:
    """Return a hint that `expires_at` has a smaller unit than milliseconds; empty if it has not."""
    unit = wrong_unit(int(expires_at)) if re.fullmatch(r"[1-9][0-9]{13,18}", expires_at) else None
    return f" ({unit}?)" if unit else ""


def _warnings(fields: Mapping[str, str]) -> list[str]:
    """Return why a token that the vendor accepts should not be handed out. Its fields have no problems."""
    warnings = []
    if "expireAt" not in fields:
        warnings.append("it never expires: nothing but disabling its access key ends it")
    if unit := _unit(fields.get("expireAt", "")):
        warnings.append(f"its expireAt lies after the year 2286{unit}")
    if "role" not in fields:
        warnings.append("it names no role")
    if "uuid" in fields and not _ROOM_UUID.fullmatch(fields["uuid"]):
        warnings.append("its uuid has not the vendor's form; the vendor's own packages sign such text differently")
    if unknown := fields.keys() - _FIELDS:
        warnings.append(f"it has fields that the vendor does not know: {', '.join(sorted(unknown))}")
    return warnings


def _content(prefix: str, fields: Mapping[str, str]) -> TokenContent:
    expires_at = fields.get("expireAt", "")
    return TokenContent(
        kind=_KINDS[prefix],
        expires_at=int(expires_at) // 1000 if _MILLISECONDS.fullmatch(expires_at) else None,
        room_id=fields.get("uuid"),
        role=_ROLE_WORDS.get(fields.get("role", "")),
    )
