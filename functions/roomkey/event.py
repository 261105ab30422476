"""The HTTP request, as API Gateway delivers it to the function (HTTP API, payload format 2.0)."""

import re
from collections.abc import Mapping
from typing import Any

_HEADERS = frozenset({"content-type", "origin"})
"""The headers that are read. All others, such as the caller's credentials, are ignored."""

_PLAIN = re.compile(r"[\x21-\x7e]{1,128}")


class ApiEvent:
    """The parts of an event that the API reads. A part that is missing or has another type is empty."""

    __slots__ = (
        "authorizer",
        "headers",
        "lambda_request_id",
        "method",
        "path",
        "platform",
        "query",
        "raw",
        "request_id",
        "route_key",
        "source_ip",
        "user_agent",
    )

    def __init__(self, event: Any, context: Any) -> None:
        event = _mapping(event)
        request_context = _mapping(event.get("requestContext"))
        http = _mapping(request_context.get("http"))
        self.raw = event
        self.route_key = _text(event.get("routeKey"))
        self.method = _text(http.get("method"))
        self.path = _text(event.get("rawPath"))
        self.platform = _text(_mapping(event.get("pathParameters")).get("platform"))
        self.query = {
            name: value
            for name, value in _mapping(event.get("queryStringParameters")).items()
            if isinstance(value, str)
        }
        self.headers = {
            lower: value
            for name, value in _mapping(event.get("headers")).items()
            if (lower := str(name).lower()) in _HEADERS and isinstance(value, str)
        }
        self.authorizer = _mapping(request_context.get("authorizer"))
        self.lambda_request_id = _plain(getattr(context, "aws_request_id", None))
        self.request_id = _plain(request_context.get("requestId")) or self.lambda_request_id
        self.source_ip = _plain(http.get("sourceIp"))
        self.user_agent = _text(http.get("userAgent")).encode("ascii", "replace").decode()[:256]

    @property
    def foreign_source(self) -> str | None:
        """Return the sender of an event that no HTTP API with payload format 2.0 sent, for the log; else None."""
        request_context = _mapping(self.raw.get("requestContext"))
        if ".lambda-url." in _text(request_context.get("domainName")):
            return "function-url"
        if self.raw.get("version") == "1.0" or "httpMethod" in self.raw:
            return "payload-format-1.0"
        if self.raw.get("version") != "2.0" or not self.route_key:
            return "not-an-http-api"
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _plain(value: Any) -> str:
    """Return `value` if it is safe in headers and logs, else ""."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""
