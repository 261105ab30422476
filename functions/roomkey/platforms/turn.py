"""TURN: time-limited credentials for a TURN server with a shared secret, such as coturn's `use-auth-secret`.

Sources: draft-uberti-behave-turn-rest-00, and coturn 4.6.1, which refuses user names with spaces, quotes or
backslashes.
"""

import base64
import hmac
import re
from collections.abc import Mapping

from roomkey.platforms.base import (
    Grant,
    MintContext,
    Platform,
    Signature,
    TokenContent,
    TokenKind,
    TokenReport,
    expired,
    wrong_unit,
)
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec, check_id, digest_unless

_PLAIN_USER = re.compile(r"""[!#-&(-\[\]-~]{1,256}""")
"""ASCII that can be printed, without the characters that coturn refuses."""

_HOST = r"([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"
_TOKEN = re.compile(r"([0-9]{1,19})(?::(.*))?:([A-Za-z0-9+/]{27}=)", re.DOTALL)


class Turn(Platform):
    """A TURN server. Its credentials name a user and an end, and neither room nor role."""

    name = "turn"
    title = "TURN"
    example = {"user_id": "1234"}
    kinds = {
        TokenKind.APP: TokenSpec((RequestField("user_id", check_id),), Lifetime(default=4 * 3600, maximum=86400)),
    }
    renew_before = 60
    credential_fields = (
        CredentialField("static_auth_secret", signs=True, chosen=True),
        CredentialField(
            "urls",
            pattern=rf"(stuns?:{_HOST}|turns?:{_HOST}(\?transport=(udp|tcp))?)",
            form="a URL such as turn:turn.example.com:3478",
            many=True,
            host=True,
            demo="turn:turn.example.com:3478?transport=udp",
        ),
    )
    public_fields = ("urls",)
    response_schemas = {
        "ice_servers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "urls": {"type": "array", "items": {"type": "string", "pattern": "^(stun|turn)s?:"}},
                    "username": {"type": "string", "pattern": "^[0-9]+:"},
                    "credential": {"type": "string", "pattern": "^[A-Za-z0-9+/]{27}=$"},
                },
                "required": ["urls", "username", "credential"],
                "additionalProperties": False,
            },
        },
    }

    def check_credentials(self, values: Mapping[str, object]) -> Credentials:
        credentials = super().check_credentials(values)
        if not any(url.startswith("turn") for url in credentials.all("urls")):
            raise InvalidCredentials("urls: must contain a turn: or turns: address, which the credentials are for")
        return credentials

    def expressible(self, grant: Grant) -> Grant:
        return grant._replace(user_id=digest_unless(_PLAIN_USER, grant.user_id))

    def response_members(self, credentials: Credentials, grant: Grant, token: str) -> Mapping[str, object]:
        del grant
        username, _, credential = token.rpartition(":")
        server = {"urls": list(credentials.all("urls")), "username": username, "credential": credential}
        return {"ice_servers": [server]}

    def token_in(self, members: Mapping[str, object]) -> str | None:
        servers = members.get("ice_servers")
        server = servers[0] if isinstance(servers, list) and servers else None
        if not isinstance(server, dict):
            return None
        return f"{server.get('username')}:{server.get('credential')}"

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        """Return the user name and the credential, joined by a colon as in `user:password`."""
        del context
        username = f"{grant.expires_at}:{digest_unless(_PLAIN_USER, grant.user_id)}"
        return f"{username}:{_credential(credentials, username)}"

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        expiry, user, credential = parts.groups()
        username = token.rpartition(":")[0]
        signature = Signature.UNCHECKED
        problems, warnings = [], []
        if credentials is not None:
            expected = _credential(credentials, username)
            signature = Signature.VALID if hmac.compare_digest(expected, credential) else Signature.INVALID
        if signature is Signature.INVALID:
            problems.append("the credential is not this secret's (401 Unauthorized)")
        if int(expiry) <= at:
            problems.append(f"{expired(int(expiry))} (401 Unauthorized)")
        if user is not None and not _PLAIN_USER.fullmatch(user):
            problems.append("the user contains characters that coturn refuses (400 Bad Request)")
        if unit := wrong_unit(int(expiry)):
            warnings.append(f"its end lies after the year 2286 ({unit}?)")
        if not user:
            warnings.append("it names no user, so the relay's log does not show who used it")
        return TokenReport(
            platform=self.name,
            content=TokenContent(kind=TokenKind.APP, expires_at=int(expiry), user_id=user),
            signature=signature,
            claims={"username": username},
            problems=tuple(problems),
            warnings=tuple(warnings),
        )


def _credential(credentials: Credentials, username: str) -> str:
    digest = hmac.digest(credentials["static_auth_secret"].encode(), username.encode(), "sha1")
    return base64.b64encode(digest).decode()
