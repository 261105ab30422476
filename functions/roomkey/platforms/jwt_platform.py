"""The parts that platforms with HS256 JSON Web Tokens have in common.

A subclass writes the claims, judges them, and maps them back to a grant. Signing, the signature, the header and the
times are handled here.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from roomkey.platforms import hs256
from roomkey.platforms.base import Grant, MintContext, Platform, TokenContent, TokenReport
from roomkey.platforms.credentials import Credentials


class JwtPlatform(Platform):
    """A platform whose tokens are JSON Web Tokens signed with one secret."""

    max_validity: int | None = None
    """Seconds from the start to the end of a token that the vendor allows. None for no bound."""
    required_times: tuple[str, ...] = ("exp",)
    """The times without which the vendor refuses a token."""
    known_claims: frozenset[str] = frozenset()
    """The claims that the vendor reads. Others are reported in a warning."""
    invalid_token = ""
    """The vendor's error for an invalid signature, header or time. Empty if it has no name."""
    decoded_with_atob = False
    """Whether the vendor's web client decodes the payload with `atob`, which does not know base64url."""

    @property
    def _key_name(self) -> str:
        return next(field.name for field in self.credential_fields if field.signs)

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        hs256.check_key(self._key_name, credentials)
        return credentials

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        claims = self.claims(credentials, grant, context)
        return hs256.sign(claims, credentials[self._key_name], self.headers(credentials))

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials[self._key_name] if credentials else None)
        if read is None or not self.recognizes(read.claims):
            return None
        claims = read.claims
        required = () if read.incomplete else self.required_times
        problems = [
            *hs256.signature_problems(read, "the signature is not this secret's"),
            *hs256.header_problems(read.header),
            *hs256.time_problems(claims, at, required=required, max_validity=self.max_validity),
        ]
        if self.invalid_token:
            problems = [f"{problem} ({self.invalid_token})" for problem in problems]
        claim_problems = [] if read.header is None else self.header_problems(read.header)
        if not read.incomplete:
            claim_problems += self.claim_problems(claims, credentials)
        warnings = hs256.time_warnings(claims)
        warnings += [] if claim_problems or read.incomplete else self.claim_warnings(claims)
        if "exp" not in claims and "exp" not in self.required_times and not read.incomplete:
            warnings.append("it has no exp: it never expires")
        if unknown := claims.keys() - self.known_claims:
            warnings.append(f"it has claims that {self.title} does not know: {', '.join(sorted(unknown))}")
        content = self.content(claims)
        return TokenReport(
            platform=self.name,
            content=content,
            signature=read.signature,
            claims=claims,
            problems=(*problems, *claim_problems),
            warnings=(*(hs256.client_warnings(read) if self.decoded_with_atob else ()), *warnings),
            issued_at=hs256.number(claims.get("iat", claims.get("nbf"))),
            token_id=hs256.string(claims.get("jti")),
            complete=not unknown and self.complete(claims, content),
        )

    def headers(self, credentials: Credentials) -> Mapping[str, object]:
        """Return header parameters in addition to alg and typ."""
        del credentials
        return {}

    def header_problems(self, header: Mapping[str, Any]) -> list[str]:
        """Return why the vendor refuses a header that is otherwise plain HS256."""
        del header
        return []

    @abstractmethod
    def claims(self, credentials: Credentials, grant: Grant, context: MintContext) -> Mapping[str, object]:
        """Return the claims of a token for `grant`. Each right is written out, also where it is refused."""

    @abstractmethod
    def claim_problems(self, claims: Mapping[str, Any], credentials: Credentials | None) -> list[str]:
        """Return why the vendor refuses these claims, times excluded."""

    def claim_warnings(self, claims: Mapping[str, Any]) -> list[str]:
        """Return why a token that the vendor accepts should not be handed out. Its claims have no problems."""
        del claims
        return []

    def complete(self, claims: Mapping[str, Any], content: TokenContent) -> bool:
        """Return whether `content` is all that these known claims grant."""
        del claims, content
        return True

    @abstractmethod
    def content(self, claims: Mapping[str, Any]) -> TokenContent:
        """Return what these claims grant, as far as it can be read."""


def issuer_problems(claims: Mapping[str, Any], name: str, expected: str | None) -> list[str]:
    """Return why the claim `name` is not the key id of these credentials. `expected` is None without credentials."""
    if not hs256.is_text(claims.get(name)):
        return [f"{name} is missing or not a string"]
    if expected is not None and claims[name] != expected:
        return [f"{name} is not these credentials'"]
    return []


def text_problems(values: Mapping[str, Any], *names: str, prefix: str = "") -> list[str]:
    """Return which of the optional `names` are not strings with at least one character."""
    return [
        f"{prefix}{name} is not a string with something in it"
        for name in names
        if name in values and not hs256.is_text(values[name])
    ]


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
