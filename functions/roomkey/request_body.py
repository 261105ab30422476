"""Parse the bytes of a request body into fields.

`/v1/...` accepts one JSON object with its media type. `/api/token` accepts the bodies of 100ms's clients: web clients
send no type or text/plain, Flutter sends forms. Both reject ambiguous bodies, such as duplicate keys.
"""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from roomkey import strict_json
from roomkey.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from roomkey.limits import MAX_BODY_BYTES

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_JSON_SPACE = b" \t\r\n"


def read_strict(event: Mapping[str, Any], content_type: str | None, *, may_be_empty: bool) -> dict[str, Any]:
    """Return the fields of a body that must be JSON and declared as JSON.

    Raises:
        BodyTooLarge, UnsupportedMediaType, MalformedBody: The body is not acceptable.
    """
    body = _bytes(event)
    if not body and may_be_empty:
        return {}
    # LiveKit's clients repeat the header if an app sets it in another case, and the gateway joins the two.
    for declared in (content_type or "").split(","):
        media_type, parameters = _media_type(declared)
        if media_type != _JSON or parameters not in ("", "charset=utf-8", 'charset="utf-8"'):
            raise UnsupportedMediaType
    return json_object(body)


def read_lenient(event: Mapping[str, Any], content_type: str | None) -> dict[str, Any]:
    """Return the fields of a body that is a form, or JSON with any declared type.

    Raises:
        BodyTooLarge, UnsupportedMediaType, MalformedBody: The body is not acceptable.
    """
    body = _bytes(event)
    media_type, _ = _media_type(content_type)
    if body.lstrip(_JSON_SPACE).startswith(b"{"):
        return json_object(body)
    if media_type == _FORM:
        return _form(body)
    if media_type in ("", _JSON, "text/plain"):
        raise MalformedBody("is not a JSON object")
    raise UnsupportedMediaType


def _bytes(event: Mapping[str, Any]) -> bytes:
    body, encoded = event.get("body"), event.get("isBase64Encoded")
    if body is None:
        return b""
    if not isinstance(body, str) or encoded not in (True, False, None):
        raise MalformedBody("is not a body from API Gateway")
    max_length = (MAX_BODY_BYTES + 2) // 3 * 4 if encoded else MAX_BODY_BYTES
    if len(body) > max_length:
        raise BodyTooLarge
    try:
        content = base64.b64decode(body, validate=True) if encoded else body.encode()
    except ValueError:  # An invalid alphabet or padding, a lone surrogate.
        raise MalformedBody("is not valid base64 or UTF-8") from None
    if len(content) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return content


def _media_type(content_type: str | None) -> tuple[str, str]:
    media_type, _, parameters = (content_type or "").lower().partition(";")
    return media_type.strip(), parameters.strip("; ")


def json_object(body: bytes) -> dict[str, Any]:
    """Parse `body` as one JSON object without duplicate keys.

    Raises:
        MalformedBody: It is not.
    """
    try:
        document = strict_json.loads(body)
    except ValueError:
        raise MalformedBody("is not a JSON document") from None
    if not isinstance(document, dict):
        raise MalformedBody("is not a JSON object")
    return document


def _form(body: bytes) -> dict[str, Any]:
    try:
        fields = strict_json.without_duplicates(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise MalformedBody("is not a form without repeated fields") from None
    seconds = fields.get("expires_in", "")
    # A form contains only text, so digits mean a number.
    if seconds.isascii() and seconds.isdigit() and len(seconds) <= 10:
        fields["expires_in"] = int(seconds)
    return fields
