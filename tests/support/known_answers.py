"""The vectors of `tests/unit/vectors`, and the steps that every platform's test of them shares.

A vector is a token of the vendor's own SDK with its inputs; the file describes its origin.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roomkey.minting import MintedToken, mint
from roomkey.platforms.base import Platform, Randomness, Signature, TokenKind, TokenReport
from roomkey.platforms.credentials import Credentials
from roomkey.settings import DEFAULT_LIFETIMES, LifetimeLimits
from roomkey.token_requests import TokenRequest, parse, resolve_lifetime

VECTORS = Path(__file__).parents[1] / "unit" / "vectors"
LIFETIMES = LifetimeLimits(default=DEFAULT_LIFETIMES.default, longest=400 * 86400)
"""A stack that leaves the bounds to the platform."""

type Claims = dict[str, Any]


def vectors(name: str) -> dict[str, Any]:
    """Return the vectors of `NAME.json` by id."""
    return {vector["id"]: vector for vector in json.loads((VECTORS / f"{name}.json").read_text())["vectors"]}


def minted(
    platform: Platform, secret: Mapping[str, object], body: Mapping[str, Any], *, at: float, kind: str = "app"
) -> MintedToken:
    """Return the token for a request with `body`, by the steps of the function: parse, mint, read back."""
    return minted_request(parse(platform, TokenKind(kind), body, lifetimes=LIFETIMES), secret, at=at)


def minted_request(request: TokenRequest, secret: Mapping[str, object], *, at: float) -> MintedToken:
    """Return the token for a parsed request."""
    credentials = request.platform.check_credentials(secret)
    return mint(request, resolve_lifetime(request, LIFETIMES), credentials, at=at, randomness=Randomness())


def explained(platform: Platform, token: str, credentials: Credentials | None, at: float) -> TokenReport:
    """Return the report on a token that `platform` must recognise."""
    report = platform.explain(token, credentials, at)
    assert report is not None, "the platform does not recognise the token"
    return report


def opened(token: str, key: str) -> tuple[Claims, Claims]:
    """Return header and claims of a token signed with `key`, verified with the standard library alone."""
    signed_part, _, signature = token.rpartition(".")
    digest = hmac.digest(key.encode(), signed_part.encode(), "sha256")
    assert _base64url(digest) == signature
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in signed_part.split("."))
    return header, claims


def signed(claims: Mapping[str, Any], key: str, **header: Any) -> str:
    """Return `claims` signed with `key`, by the standard library alone."""
    parts = ({"alg": "HS256", "typ": "JWT"} | header, claims)
    signed_part = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return f"{signed_part}.{_base64url(hmac.digest(key.encode(), signed_part.encode(), 'sha256'))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def assert_refused_for(report: TokenReport, reason: str) -> None:
    """Check that a bad token is refused for `reason`, and that a token with bad claims has a valid signature."""
    assert any(reason in problem for problem in report.problems), report.problems
    if reason not in ("signature", "alg"):
        assert report.signature is Signature.VALID


def assert_same(claims: object, expected: object) -> None:
    """Check that both are equal and of equal types: 1 is neither true nor "1"."""
    assert claims == expected
    assert json.dumps(claims, sort_keys=True) == json.dumps(expected, sort_keys=True)
