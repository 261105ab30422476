"""A small OpenID Connect issuer for the local stack, so that `jwt` access needs no account anywhere.

It issues access tokens for a teacher and a student. Its key is made for each run.
"""

import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from roomkey.settings import GroupsFormat
from roomkey_cli.local.jwt_authorizer import JwtAuthorizer

TOKEN_LIFETIME_SECONDS = 3600
DEMO_AUDIENCE = "roomkey"
DEMO_GROUPS = {"teacher": ["teachers"], "student": ["students"]}
"""The demo users and their groups."""

_ALGORITHM = "RS256"
_WRITTEN: Mapping[GroupsFormat, Callable[[list[str]], object]] = {
    GroupsFormat.LIST: list,
    GroupsFormat.COMMA: ",".join,
    GroupsFormat.JSON: json.dumps,
}


class DemoIssuer:
    """An issuer at `base_url` + `/demo` that gives a token for a demo user to any caller.

    It shows how signing in works; it does not authenticate anyone. The claims of its tokens that name the user and
    the groups are `user_id_claim` and `groups_claim`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_id_claim: str = "sub",
        groups_claim: str = "groups",
        groups_format: GroupsFormat = GroupsFormat.LIST,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = base_url.rstrip("/") + "/demo"
        self._user_id_claim = user_id_claim
        self._groups_claim = groups_claim
        self._groups_format = groups_format
        self._scope = scope
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = f"demo-{secrets.token_hex(4)}"

    def authorizer(self, scopes: Sequence[str] = ()) -> JwtAuthorizer:
        """Return the authorizer for this issuer's tokens. It reads the key directly, not over HTTP."""
        key = jwt.PyJWK(self._jwk())
        return JwtAuthorizer(
            self.issuer,
            [DEMO_AUDIENCE],
            scopes,
            keys=lambda kid: key if kid == self._kid else None,
            clock=self._clock,
        )

    def token(self, user: str) -> str:
        """Return an access token for `user`, valid for one hour.

        Raises:
            KeyError: `user` is not a demo user.
        """
        groups = _WRITTEN[self._groups_format](DEMO_GROUPS[user])
        now = int(self._clock())
        claims = {
            "iss": self.issuer,
            "aud": DEMO_AUDIENCE,
            "sub": user,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFETIME_SECONDS,
            "jti": str(uuid.uuid4()),
            self._groups_claim: groups,
            self._user_id_claim: user,
        }
        if self._scope:
            claims["scope"] = self._scope
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._kid})

    def routes(self) -> list[BaseRoute]:
        """Return the discovery document, the keys and the token endpoint."""
        return [
            Route("/demo/.well-known/openid-configuration", self._discovery),
            Route("/demo/jwks.json", self._published_keys),
            Route("/demo/token", self._issue, methods=["POST"]),
        ]

    def _jwk(self) -> dict[str, Any]:
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"kty": "RSA", "n": key["n"], "e": key["e"], "alg": _ALGORITHM, "use": "sig", "kid": self._kid}

    async def _discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks.json",
                "token_endpoint": f"{self.issuer}/token",
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [_ALGORITHM],
            }
        )

    async def _published_keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self._jwk()]})

    async def _issue(self, request: Request) -> Response:
        headers = {"cache-control": "no-store"}
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            body = None
        user = body.get("user") if isinstance(body, dict) else None
        if not isinstance(user, str) or user not in DEMO_GROUPS:
            expected = 'send {"user": "teacher"} or {"user": "student"}'
            return JSONResponse({"error": "invalid_request", "error_description": expected}, 400, headers)
        answer = {"access_token": self.token(user), "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_SECONDS}
        return JSONResponse(answer, headers=headers)
