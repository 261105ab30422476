"""Judge bearer tokens as API Gateway's JWT authorizer does, for any OpenID Connect issuer.

Sources: API Gateway's developer guide, "Controlling access to HTTP APIs with JWT authorizers", and its answers as
recorded in docs/deploy.md.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import jwt

ISSUER_TIMEOUT_SECONDS = 1.5
"""API Gateway's own limit for an issuer's response."""
KEYS_TTL_SECONDS = 2 * 3600
"""The longest time that API Gateway caches an issuer's keys."""
UNKNOWN_KEY_COOLDOWN_SECONDS = 5
"""The shortest time between two refreshes that an unknown key id causes."""
ALGORITHMS = ("RS256", "RS384", "RS512")
"""API Gateway accepts RSA-based algorithms only."""

_ISSUER_ERRORS = (jwt.PyJWTError, HTTPException, OSError, ValueError, RecursionError)
_BEARER = re.compile(r"(?:bearer +)?([\w-]+\.[\w-]+\.[\w-]+)", re.ASCII | re.IGNORECASE)

type KeySource = Callable[[str], jwt.PyJWK | None]
"""Return an issuer's public key by its id, None for an unknown id. Raises `KeysUnavailable`."""


class KeysUnavailable(Exception):
    """The issuer's keys cannot be read; the text is API Gateway's own description."""


class TokenRefused(Exception):
    """The access token is missing or not accepted.

    `status` is 401, or 403 for a missing scope. `challenge` is the `www-authenticate` header of the response; it
    and `description` quote nothing from the request.
    """

    def __init__(self, status: int, challenge: str, description: str = "it is missing") -> None:
        super().__init__(challenge)
        self.status = status
        self.challenge = challenge
        self.description = description


class JwtAuthorizer:
    """API Gateway's JWT authorizer for one issuer.

    Args:
        issuer: Compared with the `iss` claim exactly, trailing slash included.
        audience: The token's `aud` (or `client_id`, without `aud`) must contain one of these.
        scopes: If not empty, `scope` or `scp` must contain one of these.
        keys: Where the public keys come from. Default: the issuer's published keys.
        clock: Returns Unix seconds. There is no leeway.

    Raises:
        ValueError: `issuer` is not an http(s) URL, and `keys` is not given.
        TypeError: `audience` or `scopes` is one string.
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
        """Return the `authorizer.jwt` block of payload format 2.0 for a request.

        `authorization` has the values of all `Authorization` headers; exactly one is accepted. May block on the
        issuer, so call it in a worker thread.

        Raises:
            TokenRefused: The token is missing or not accepted.
        """
        if not any(authorization):
            raise TokenRefused(401, "Bearer")
        token = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        if token is None:
            raise self._unauthorized("token contains an invalid number of segments")
        claims = self._verified_claims(token[1])
        self._check_claims(claims)
        granted = _scopes(claims)
        if self.scopes and not set(self.scopes) & set(granted):
            description = "the token has none of the scopes"
            raise TokenRefused(403, self._challenge("insufficient_scope", description), description)
        return {
            "claims": {name: go_text(value) for name, value in claims.items() if value is not None},
            "scopes": granted if self.scopes else None,
        }

    def _verified_claims(self, token: str) -> dict[str, Any]:
        """Return the claims after verifying the signature."""
        verifier = jwt.PyJWS()
        try:
            header = verifier.get_unverified_header(token)
            kid, algorithm = header.get("kid"), header.get("alg")
            if algorithm not in ALGORITHMS or not isinstance(kid, str):
                raise self._unauthorized("the token is not signed with RS256, RS384 or RS512 and a key id")
            key = self._keys(kid)
            if key is None:
                raise self._unauthorized("the token's key id is not the issuer's")
            if key.key_type != "RSA":
                raise self._unauthorized("the token is malformed or its signature is wrong")
            # The bare key: a PyJWK without `alg` would allow RS256 only.
            claims = json.loads(verifier.decode_complete(token, key.key, algorithms=[algorithm])["payload"])
        except KeysUnavailable as error:
            raise self._unauthorized(str(error)) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise self._unauthorized("the token is malformed or its signature is wrong") from error
        if not isinstance(claims, dict):
            raise self._unauthorized("the token's payload is not an object")
        return claims

    def _check_claims(self, claims: dict[str, Any]) -> None:
        """Check the claims that API Gateway documents: iss, aud or client_id, exp, nbf, iat."""
        if claims.get("iss") != self.issuer:
            raise self._unauthorized("the issuer does not match")
        audience = claims["aud"] if "aud" in claims else claims.get("client_id")
        audiences = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(value, str) and value in self.audience for value in audiences):
            raise self._unauthorized("the token does not have a valid audience")
        now = self._clock()
        # Phrased positively, so that NaN fails.
        if not (_is_number(claims.get("exp")) and now < claims["exp"]):
            raise self._unauthorized("the token has expired")
        for name in ("nbf", "iat"):
            if name in claims and not (_is_number(claims[name]) and claims[name] <= now):
                raise self._unauthorized("the token is not valid yet")

    def _unauthorized(self, description: str) -> TokenRefused:
        return TokenRefused(401, self._challenge("invalid_token", description), description)

    def _challenge(self, error: str, description: str) -> str:
        # API Gateway puts no commas between the parameters, although RFC 9110 requires them.
        return f'Bearer scope="{" ".join(self.scopes)}" error="{error}" error_description="{description}"'


class PublishedKeys:
    """Cache of the keys that an OpenID Connect issuer publishes, found through its discovery document.

    An unknown key id refreshes the cache, at most once per cooldown. Safe to share between threads.

    Raises:
        ValueError: `issuer` is not an http(s) URL.
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
        except _ISSUER_ERRORS as error:
            raise KeysUnavailable("OIDC discovery endpoint communication error") from error
        try:
            return client.get_signing_key(kid)
        except _ISSUER_ERRORS as error:
            if type(error) is jwt.PyJWKClientError:  # The issuer answered, and does not have this key.
                return None
            raise KeysUnavailable("JWKS communication error") from error

    def _discover(self) -> jwt.PyJWKClient:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            with urlopen(url, timeout=ISSUER_TIMEOUT_SECONDS) as response:  # noqa: S310 (the constructor checks the scheme)
                document = json.load(response)
        except HTTPError as error:
            error.close()  # The error is the response, and keeps its connection open.
            raise
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("the discovery document names another issuer")
        return jwt.PyJWKClient(
            str(document.get("jwks_uri")),
            lifespan=KEYS_TTL_SECONDS,
            timeout=ISSUER_TIMEOUT_SECONDS,
            cooldown_duration=UNKNOWN_KEY_COOLDOWN_SECONDS,
        )


def go_text(value: object) -> str:
    """Return a claim as API Gateway delivers it: text, printed as Go prints it.

    Booleans are `true` and `false`, whole numbers have no fraction or exponent, lists are `[a b]`, objects `map[k:v]`
    sorted by key, and null inside either is `<nil>`.
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
    """Return the token's scopes: `scope`, or `scp` for some issuers; words in one text, or a list."""
    granted = claims.get("scope", claims.get("scp"))
    if isinstance(granted, str):
        return granted.split()
    return [scope for scope in granted if isinstance(scope, str)] if isinstance(granted, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
