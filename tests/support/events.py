"""Events and contexts as Lambda passes them to the handler. Imports nothing: a bare process can load it too."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[2] / "events"
HEALTH: Mapping[str, Any] = {"routeKey": "GET /v1/health", "requestContext": {"http": {"method": "GET"}}}


@dataclass
class LambdaContext:
    """The part of Lambda's context that the function reads."""

    remaining_ms: int = 10_000
    aws_request_id: str = "8f507cfc-0000-4697-b07a-ac58fc914c95"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def load_event(name: str) -> Any:
    """Read `events/<name>`."""
    return json.loads((EVENTS / name).read_text())


def token_event(
    platform: str = "100ms",
    kind: str = "app",
    body: str | Mapping[str, Any] = "{}",
    *,
    authorizer: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build the event of `POST /v1/{platform}/{kind}-token`, in payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": f"POST /v1/{{platform}}/{kind}-token",
        "rawPath": f"/v1/{platform}/{kind}-token",
        "pathParameters": {"platform": platform},
        "headers": {"content-type": "application/json", **(headers or {})},
        "requestContext": {
            "requestId": "JKJaXmPLvHcESHA=",
            "http": {"method": "POST", "sourceIp": "192.0.2.1", "userAgent": "test"},
            "authorizer": authorizer,
        },
        "body": body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
