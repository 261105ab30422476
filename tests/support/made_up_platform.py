"""A vendor that does not exist. A test adds it to a copy of Roomkey, as one file and one line of the registry."""

from collections.abc import Mapping

from roomkey.platforms import hs256
from roomkey.platforms.base import Grant, MintContext, Platform, TokenContent, TokenKind, TokenReport
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import (
    Lifetime,
    RequestField,
    TokenSpec,
    check_display_value,
    check_id,
    one_of,
    services_of,
)


class MadeUp(Platform):
    """A vendor with app tokens only, rooms without case, a room that can be left out, and values for clients."""

    name = "made-up"
    title = "Made Up"
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", check_id),
                RequestField("role", one_of("guest", "host"), required=True),
                RequestField("user_id", check_id),
                RequestField("services", services_of("waves"), default=("waves",)),
                RequestField("display_name", check_display_value),
            ),
            Lifetime(minimum=300, default=1200, maximum=7200),
        )
    }
    services = ("waves",)
    credential_fields = (
        CredentialField("mu_key", pattern=r"[0-9a-f]{24}"),
        CredentialField("mu_secret", signs=True),
        CredentialField("mu_region", pattern=r"[0-9a-f]{16}", required=False),
    )
    public_fields = ("mu_key", "mu_region")
    backdate_seconds = 5
    renew_before = 60
    fold_room_case = True
    recognizing_claims = (frozenset(("mu_key", "mu_role")),)
    example: Mapping[str, str] = {"role": "guest", "user_id": "ada"}

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        claims = {
            "mu_key": credentials["mu_key"],
            "mu_role": grant.role,
            "mu_room": grant.room_id,
            "mu_user": grant.user_id,
            "mu_name": grant.display_name,
            "iat": int(context.minted_at) - self.backdate_seconds,
            "exp": grant.expires_at,
        }
        present = {name: value for name, value in claims.items() if value is not None}
        return hs256.sign(present, credentials["mu_secret"])

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        read = hs256.read(token, credentials["mu_secret"] if credentials else None)
        if read is None or not self.recognizes(read.claims):
            return None
        claims = read.claims
        return TokenReport(
            platform=self.name,
            content=TokenContent(
                kind=TokenKind.APP,
                expires_at=hs256.number(claims.get("exp")),
                room_id=hs256.string(claims.get("mu_room")),
                role=hs256.string(claims.get("mu_role")),
                user_id=hs256.string(claims.get("mu_user")),
                services=("waves",),
                display_name=hs256.string(claims.get("mu_name")),
            ),
            signature=read.signature,
            claims=claims,
            problems=(
                *hs256.signature_problems(read, "the signature is not this secret's"),
                *hs256.header_problems(read.header),
                *hs256.time_problems(claims, at, required=("exp",)),
            ),
        )
