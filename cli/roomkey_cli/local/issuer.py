"""Who may come in with a bearer token, as API Gateway's JWT authorizer decides it; and an issuer to try it.

`JwtAuthorizer` judges tokens of any OpenID Connect issuer. `DemoIssuer` is one that needs no account anywhere: it
lives in the local stack, knows a teacher and a student, and signs with a key that dies with the process.
"""

import json
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

ISSUER_TIMEOUT_S = 1.5
"""How long an issuer may take to answer, in seconds: API Gateway's own limit."""
KEYS_LIFE_S = 2 * 3600
"""How long an issuer's keys are kept, in seconds: as long as API Gateway may keep them."""
UNKNOWN_KEY_COOLDOWN_S = 5
"""The least time between two looks at the issuer for a key id that it did not have, in seconds."""
DEMO_TOKEN_LIFE_S = 3600
DEMO_AUDIENCE = "roomkey"
DEMO_GROUPS = {"teacher": ["teachers"], "student": ["students"]}
"""The users whom the demo issuer knows, and their groups."""

_ALGORITHM = "RS256"
_ISSUER_FAULTS = (jwt.PyJWTError, HTTPException, OSError, ValueError, RecursionError)
"""All that can go wrong on the way to an issuer's document and in reading it."""
_BEARER = re.compile(r"(?:bearer +)?([\w-]+\.[\w-]+\.[\w-]+)", re.ASCII | re.IGNORECASE)

type KeySource = Callable[[str], jwt.PyJWK | None]
"""Finds an issuer's public key by its id; None if there is none. Raises `KeysUnavailable` if it cannot tell."""


class KeysUnavailable(Exception):
    """The issuer's keys cannot be read; the text is API Gateway's own for it."""


class TokenRefused(Exception):
    """The caller's token does not let them in.

    `status` is 401, or 403 for want of a scope; `challenge` is the `www-authenticate` header that goes with it, and
    quotes nothing that the caller sent.
    """

    def __init__(self, status: int, challenge: str) -> None:
        super().__init__(challenge)
        self.status = status
        self.challenge = challenge


class JwtAuthorizer:
    """API Gateway's JWT authorizer for one issuer.

    `issuer` is compared with the `iss` claim as it stands, a slash at the end included. `audience` are the values of
    which the token's `aud` (or, without one, `client_id`) must hold one. If `scopes` are given, the token must have
    one of them in `scope` or `scp`. `keys` defaults to what the issuer publishes, for which it must be an http(s)
    URL, else `ValueError`. `clock` gives Unix seconds; there is no leeway.
    """

    def __init__(
        self,
        issuer: str,
        audience: Collection[str],
        scopes: Sequence[str] = (),
        keys: KeySource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(audience, str) or isinstance(scopes, str):
            raise TypeError("audience and scopes are collections of strings, not one string")
        self.issuer = issuer
        self.audience = frozenset(audience)
        self.scopes = tuple(scopes)
        self._keys = keys or PublishedKeys(issuer)
        self._clock = clock

    def authorize(self, authorization: Sequence[str]) -> dict[str, object]:
        """Judge the values of all `Authorization` headers of a request, of which there must be exactly one.

        Returns the `authorizer.jwt` block of API Gateway's payload format 2.0. Raises `TokenRefused`. May wait for
        the issuer, so it does not belong on an event loop.
        """
        if not any(authorization):
            raise TokenRefused(401, "Bearer")
        token = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        if token is None:
            raise self._unauthorized("token contains an invalid number of segments")
        claims = self._signed_claims(token[1])
        self._check_claims(claims)
        granted = _scopes(claims)
        if self.scopes and not set(self.scopes) & set(granted):
            raise TokenRefused(403, self._challenge("insufficient_scope", "the token has none of the scopes"))
        return {
            "claims": {name: go_text(value) for name, value in claims.items() if value is not None},
            "scopes": granted if self.scopes else None,
        }

    def _signed_claims(self, token: str) -> dict[str, Any]:
        """The token's claims, once its signature is proved. Nothing in the token chooses how it is judged."""
        signer = jwt.PyJWS()
        try:
            header = signer.get_unverified_header(token)
            kid = header.get("kid")
            if header.get("alg") != _ALGORITHM or not isinstance(kid, str):
                raise self._unauthorized("the token is not signed with RS256 and a key id")
            key = self._keys(kid)
            if key is None:
                raise self._unauthorized("the token's key id is not the issuer's")
            claims = json.loads(signer.decode_complete(token, key, algorithms=[_ALGORITHM])["payload"])
        except KeysUnavailable as error:
            raise self._unauthorized(str(error)) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise self._unauthorized("the token is malformed or its signature is wrong") from error
        if not isinstance(claims, dict):
            raise self._unauthorized("the token's payload is not an object")
        return claims

    def _check_claims(self, claims: dict[str, Any]) -> None:
        """Check what API Gateway documents that it checks: iss, aud or client_id, exp, nbf, iat."""
        if claims.get("iss") != self.issuer:
            raise self._unauthorized("the issuer does not match")
        audience = claims["aud"] if "aud" in claims else claims.get("client_id")
        named = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(one, str) and one in self.audience for one in named):
            raise self._unauthorized("the token does not have a valid audience")
        now = self._clock()
        # Asked as "is it good", so that what is no number, NaN included, is not.
        if not (_is_number(claims.get("exp")) and now < claims["exp"]):
            raise self._unauthorized("the token has expired")
        for name in ("nbf", "iat"):
            if name in claims and not (_is_number(claims[name]) and claims[name] <= now):
                raise self._unauthorized("the token is not valid yet")

    def _unauthorized(self, description: str) -> TokenRefused:
        return TokenRefused(401, self._challenge("invalid_token", description))

    def _challenge(self, error: str, description: str) -> str:
        # No commas between them: not RFC 9110's grammar, but API Gateway's.
        return f'Bearer scope="{" ".join(self.scopes)}" error="{error}" error_description="{description}"'


class PublishedKeys:
    """The keys that an OpenID Connect issuer publishes, found through its discovery document and kept.

    A key id that is not among them sends for the keys again, but not more often than every few seconds. Raises
    `ValueError` at once if `issuer` is no http(s) URL. Several threads may use one.
    """

    def __init__(self, issuer: str) -> None:
        if not issuer.startswith(("http://", "https://")):
            raise ValueError("an issuer is an http(s) URL")
        self._issuer = issuer
        self._client: jwt.PyJWKClient | None = None
        self._lock = threading.Lock()

    def __call__(self, kid: str) -> jwt.PyJWK | None:
        try:
            with self._lock:
                client = self._client = self._client or self._discover()
        except _ISSUER_FAULTS as error:
            raise KeysUnavailable("OIDC discovery endpoint communication error") from error
        try:
            return client.get_signing_key(kid)
        except _ISSUER_FAULTS as error:
            if type(error) is jwt.PyJWKClientError:  # it answered, and has no such key
                return None
            raise KeysUnavailable("JWKS communication error") from error

    def _discover(self) -> jwt.PyJWKClient:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            with urlopen(url, timeout=ISSUER_TIMEOUT_S) as response:  # noqa: S310 (the constructor checked the scheme)
                document = json.load(response)
        except HTTPError as error:
            error.close()  # it is the response too, and holds the connection
            raise
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("the discovery document is not this issuer's")
        return jwt.PyJWKClient(
            str(document.get("jwks_uri")),
            lifespan=KEYS_LIFE_S,
            timeout=ISSUER_TIMEOUT_S,
            cooldown_duration=UNKNOWN_KEY_COOLDOWN_S,
        )


class DemoIssuer:
    """A small OpenID Connect issuer for the local stack, at `base_url` + `/demo`.

    It hands a token to whoever asks, for a teacher or a student: it shows how signing in works, and keeps nobody out.
    """

    def __init__(self, base_url: str, audience: str = DEMO_AUDIENCE, clock: Callable[[], float] = time.time) -> None:
        self.issuer = base_url.rstrip("/") + "/demo"
        self.audience = audience
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = f"demo-{secrets.token_hex(4)}"

    def authorizer(self, scopes: Sequence[str] = ()) -> JwtAuthorizer:
        """The authorizer for this issuer's tokens; it takes the key from here, not over HTTP."""
        key = jwt.PyJWK(self._jwk())
        return JwtAuthorizer(
            self.issuer,
            [self.audience],
            scopes,
            keys=lambda kid: key if kid == self._kid else None,
            clock=self._clock,
        )

    def token(self, user: str) -> str:
        """An access token for `user`, good for an hour from now. Raises `KeyError` for a user it does not know."""
        groups = DEMO_GROUPS[user]
        now = int(self._clock())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": user,
            "groups": groups,
            "iat": now,
            "nbf": now,
            "exp": now + DEMO_TOKEN_LIFE_S,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._kid})

    def routes(self) -> list[BaseRoute]:
        """Its pages: discovery, keys, and the one that hands out tokens."""
        return [
            Route("/demo/.well-known/openid-configuration", self._discovery),
            Route("/demo/jwks.json", self._keys_page),
            Route("/demo/token", self._token_page, methods=["POST"]),
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

    async def _keys_page(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self._jwk()]})

    async def _token_page(self, request: Request) -> Response:
        headers = {"cache-control": "no-store"}
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError):
            asked = None
        user = asked.get("user") if isinstance(asked, dict) else None
        if not isinstance(user, str) or user not in DEMO_GROUPS:
            expected = 'send {"user": "teacher"} or {"user": "student"}'
            return JSONResponse({"error": "invalid_request", "error_description": expected}, 400, headers)
        answer = {"access_token": self.token(user), "token_type": "Bearer", "expires_in": DEMO_TOKEN_LIFE_S}
        return JSONResponse(answer, headers=headers)


def go_text(value: object) -> str:
    """A claim as API Gateway delivers it: text, printed as Go prints it.

    Booleans are `true` and `false`, whole numbers have no fraction or exponent, lists are `[a b]`, objects `map[k:v]`
    sorted by key, and a null inside either is `<nil>`. Spaces within an item cannot be told from those between.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return f"[{' '.join(map(go_text, value))}]"
        case dict():
            return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
        case None:
            return "<nil>"
        case _:
            return str(value)


def _scopes(claims: dict[str, Any]) -> list[str]:
    """The scopes that the token grants: `scope`, or for some issuers `scp`; words in one text, or a list."""
    granted = claims.get("scope", claims.get("scp"))
    if isinstance(granted, str):
        return granted.split()
    return [scope for scope in granted if isinstance(scope, str)] if isinstance(granted, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
