"""From the bytes of a request body to the fields in it.

`/v1/...` takes one JSON object called by its name. `/api/token` takes what 100ms's endpoint took: web clients that name
no type or text/plain, Flutter's forms. Neither takes anything that could be read in two ways.
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
    """The fields of a body that must be JSON and say so.

    Raises `BodyTooLarge`, `UnsupportedMediaType` or `MalformedBody`.
    """
    body = _bytes(event)
    if not body and may_be_empty:
        return {}
    media_type, parameters = _media_type(content_type)
    if media_type != _JSON or parameters not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise UnsupportedMediaType
    return json_object(body)


def read_lenient(event: Mapping[str, Any], content_type: str | None) -> dict[str, Any]:
    """The fields of a body that is JSON, whatever its type says, or a form.

    Raises `BodyTooLarge`, `UnsupportedMediaType` or `MalformedBody`.
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
        raise MalformedBody("is not what API Gateway delivers")
    longest = (MAX_BODY_BYTES + 2) // 3 * 4 if encoded else MAX_BODY_BYTES
    if len(body) > longest:
        raise BodyTooLarge
    try:
        content = base64.b64decode(body, validate=True) if encoded else body.encode()
    except ValueError:  # A bad alphabet or padding, a lone surrogate.
        raise MalformedBody("is not valid base64 or UTF-8") from None
    if len(content) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return content


def _media_type(content_type: str | None) -> tuple[str, str]:
    media_type, _, parameters = (content_type or "").lower().partition(";")
    return media_type.strip(), parameters.strip("; ")


def json_object(body: bytes) -> dict[str, Any]:
    """The one JSON object that `body` is, read without any leeway. Raises `MalformedBody`."""
    try:
        document = strict_json.loads(body)
    except ValueError:
        raise MalformedBody("is not a JSON document") from None
    if not isinstance(document, dict):
        raise MalformedBody("is not a JSON object")
    return document


def _form(body: bytes) -> dict[str, Any]:
    try:
        fields = strict_json.without_repeats(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise MalformedBody("is not a form without repeated fields") from None
    seconds = fields.get("expires_in", "")
    # A form knows only text: what is all digits is the number that JSON would have sent.
    if seconds.isascii() and seconds.isdigit() and len(seconds) <= 10:
        fields["expires_in"] = int(seconds)
    return fields
