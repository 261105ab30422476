"""HTTP responses: the only module that contains status codes and bodies (docs/api.md)."""

from collections.abc import Mapping
from typing import Any

from roomkey import __version__, strict_json
from roomkey.errors import Fault, MethodNotAllowed, RoomkeyError
from roomkey.event import ApiEvent
from roomkey.minting import MintedToken
from roomkey.platforms.base import Endpoint, TokenKind
from roomkey.record import CreatedInvite
from roomkey.routes import CORS_ALLOW_HEADERS, CORS_ALLOW_METHODS, CORS_EXPOSE_HEADERS, CORS_MAX_AGE_SECONDS
from roomkey.token_requests import TokenRequest

STATUS = {
    "malformed-body": 400,
    "invalid-request": 400,
    "unauthenticated": 401,
    "minting-disabled": 403,
    "user-mismatch": 403,
    "not-allowed": 403,
    "blocked": 403,
    "not-found": 404,
    "invite-invalid": 404,
    "method-not-allowed": 405,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "internal-error": 500,
    "kill-switch-unavailable": 503,
    "policy-unavailable": 503,
    "blocklist-unavailable": 503,
    "credentials-unavailable": 503,
    "credentials-invalid": 503,
    "audit-unavailable": 503,
    "deadline-exceeded": 503,
}

_RETRY_AFTER_SECONDS = {True: "5", False: "60"}
"""By whether the fault is transient."""


class Responses:
    """Builds the responses of one stack."""

    __slots__ = ("_allowed_origins",)

    def __init__(self, allowed_origins: tuple[str, ...]) -> None:
        self._allowed_origins = allowed_origins

    def preflight(self, event: ApiEvent) -> dict[str, Any]:
        """Answer an OPTIONS request."""
        return self._respond(event, 204, None)

    def health(self, event: ApiEvent, platforms: tuple[str, ...], minting: str) -> dict[str, Any]:
        """Answer a health check. `minting` is `on`, `off`, `partly-off` or `unknown`."""
        body = {"success": True, "status": 200, "version": __version__, "platforms": platforms, "minting": minting}
        return self._respond(event, 200, body)

    def minted(self, event: ApiEvent, request: TokenRequest, minted: MintedToken) -> dict[str, Any]:
        """Answer with a token."""
        return self._respond(event, 200, self._token(request, minted))

    def minted_in_vendor_format(self, endpoint: Endpoint, event: ApiEvent, minted: MintedToken) -> dict[str, Any]:
        """Answer with a token in the vendor's own format."""
        body = {
            **endpoint.response_members(minted.token, minted.grant, minted.connect),
            "expires_at": minted.grant.expires_at,
            "expires_in": minted.expires_in,
            "renew_in": minted.renew_in,
        }
        return self._respond(event, endpoint.status, body)

    @staticmethod
    def _token(request: TokenRequest, minted: MintedToken) -> dict[str, Any]:
        body: dict[str, Any] = {
            "success": True,
            "status": 200,
            "msg": "token generated successfully",
            "api_version": __version__,
            **minted.response_members,
            "expires_at": minted.grant.expires_at,
            "expires_in": minted.expires_in,
        }
        if minted.renew_in is not None:
            body["renew_in"] = minted.renew_in
        if minted.connect:
            body["connect"] = minted.connect
        if minted.grant.user_id is not None:
            body["user_id"] = minted.grant.user_id
        if request.platform.fold_room_case and minted.grant.room_id is not None:
            body["room_id"] = minted.grant.room_id
        if request.kind is TokenKind.MANAGEMENT and request.platform.auth_header:
            body["authorization"] = request.platform.auth_header._asdict()
        return body

    def redeemed(self, event: ApiEvent, request: TokenRequest, minted: MintedToken) -> dict[str, Any]:
        """Answer a guest with a token, and with the room and role that it is for."""
        details = {
            "platform": request.platform.name,
            "room_id": minted.grant.room_id,
            "role": minted.grant.role,
            "guest_name": request.display_name,
        }
        present = {name: value for name, value in details.items() if value}
        return self._respond(event, 200, {**self._token(request, minted), **present})

    def invited(self, event: ApiEvent, created: CreatedInvite, invite_url: str) -> dict[str, Any]:
        """Answer with an invite. In the URL it is the fragment, which browsers do not send to the server."""
        body: dict[str, Any] = {
            "success": True,
            "status": 201,
            "invite": created.text,
            "invite_id": created.invite.id,
            "expires_at": created.invite.expires_at,
            "expires_in": created.expires_in,
        }
        if invite_url:
            body["url"] = f"{invite_url}#{created.text}"
        return self._respond(event, 201, body)

    def room_code_failed(self, event: ApiEvent, failure: RoomkeyError) -> dict[str, Any]:
        """Answer a client of 100ms's room codes, which reads an integer `code` and `message`.

        For a `code` of 429 or 500 to 511 it repeats the request four times at once, so none of these is sent.
        """
        fault = isinstance(failure, Fault)
        status = 503 if fault else 403 if STATUS[failure.code] == 403 else 404
        body = {
            "success": False,
            "code": 4503 if fault else status,
            "message": failure.msg,
            "reason": failure.code,
            "api_version": __version__,
            "request_id": event.request_id,
        }
        retry = {"retry-after": _RETRY_AFTER_SECONDS[failure.transient]} if isinstance(failure, Fault) else {}
        return self._respond(event, status, body, retry)

    def failed(self, event: ApiEvent, failure: RoomkeyError) -> dict[str, Any]:
        """Answer with the error."""
        status = STATUS[failure.code]
        body: dict[str, Any] = {
            "success": False,
            "status": status,
            "code": failure.code,
            "msg": failure.msg,
            "api_version": __version__,
            "request_id": event.request_id,
            "errors": [{"field": error.field, "reason": error.reason} for error in failure.errors],
        }
        headers = {}
        if isinstance(failure, MethodNotAllowed):
            headers["allow"] = failure.allowed
        if status == 503 and isinstance(failure, Fault):
            headers["retry-after"] = _RETRY_AFTER_SECONDS[failure.transient]
        return self._respond(event, status, body, headers)

    def _respond(
        self,
        event: ApiEvent,
        status: int,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        return {
            "statusCode": status,
            "headers": {
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "x-request-id": event.request_id,
                **({} if body is None else {"content-type": "application/json"}),
                **(headers or {}),
                **self._cors(event),
            },
            "isBase64Encoded": False,
            "body": "" if body is None else strict_json.dumps(body),
        }

    def _cors(self, event: ApiEvent) -> dict[str, str]:
        """Return the CORS headers that API Gateway sets on AWS, for `sam local` and the local stack."""
        if not self._allowed_origins:
            return {}
        headers = {"vary": "Origin"}
        if event.headers.get("origin") in self._allowed_origins:
            headers["access-control-allow-origin"] = event.headers["origin"]
            headers["access-control-expose-headers"] = CORS_EXPOSE_HEADERS
            if event.method == "OPTIONS":
                headers["access-control-allow-headers"] = CORS_ALLOW_HEADERS
                headers["access-control-allow-methods"] = CORS_ALLOW_METHODS
                headers["access-control-max-age"] = str(CORS_MAX_AGE_SECONDS)
        return headers
