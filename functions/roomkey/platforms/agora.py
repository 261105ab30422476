"""Agora: tokens for RTC, RTM (Signaling) and Chat, singly or bundled, and for Chat's REST API.

All are of the format AccessToken2, signed with the project's App Certificate. Sources: Agora's own builders and their
comments (github AgoraIO/Tools at da06bfb, python3/src/*TokenBuilder2.py), its documentation ("Deploy a token server",
"Secure authentication with tokens" for Chat, "How to deal with token-related error codes"), and its SDKs' error enums.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from roomkey.platforms import access_token, access_token2
from roomkey.platforms.access_token2 import CHAT, RTC, RTM, SERVICE_TYPES, AccessToken2, FormatError, Service
from roomkey.platforms.base import (
    FIRST_TOKEN,
    AuthHeader,
    Grant,
    MintContext,
    Platform,
    Signature,
    TokenContent,
    TokenKind,
    TokenReport,
    expired,
)
from roomkey.platforms.credentials import CredentialField, Credentials
from roomkey.platforms.fields import (
    Check,
    Lifetime,
    RequestField,
    TokenSpec,
    identifier,
    matching,
    one_of,
    services_of,
)

MAX_UID = 2**32 - 1
_MAX_LIFETIME = 86400
"""Seconds that the vendor lets a token live."""

_SERVICES: Mapping[str, int] = {"rtc": RTC, "rtm": RTM, "chat": CHAT}
_DEFAULT_SERVICES = ("rtc",)

_LOGIN = 1
_CHAT_USER = 1
_CHAT_APP = 2
_ROLES: Mapping[str, tuple[int, ...]] = {
    "publisher": (1, 2, 3, 4),  # joinChannel, and publish audio, video and data.
    "subscriber": (1,),
}

_INVALID_TOKEN = "110 Invalid Token"  # noqa: S105 - Agora's name of the error.
_TOKEN_EXPIRED = "109 Token Expired"  # noqa: S105 - likewise.

_APP_ID = r"[0-9A-Fa-f]{32}"
_APP_ID_FORM = "32 hexadecimal digits"
_CERTIFICATE = r"(?!(.)\1*\Z)" + _APP_ID
"""The form of the App ID, but not one character repeated."""


# --- requests ----------------------------------------------------------------------------------------

_MAX_CHANNEL = 63
_MAX_ACCOUNT = 255
_MAX_LOGIN = 64
"""Characters of a user of RTM or Chat; Chat's SDK answers 105 USER_NAME_TOO_LONG to more."""

_DOCUMENTED_CHARACTERS = r"[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]+"
_NUMBER = re.compile(r"[+-]?[0-9]+")
_CHAT_USER_ID = re.compile(r"[a-z0-9_.-]{1,64}")
"""Chat compares users without case: `Ada` and `ada` would share one account."""


def _name(longest: int) -> Check[str]:
    """Return a check for names of channels and users: the characters that Agora documents, one byte each."""
    reason = "must contain only ASCII letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~,"
    return matching(_DOCUMENTED_CHARACTERS, reason, also=identifier(longest))


_check_channel = _name(_MAX_CHANNEL)
_check_account = _name(_MAX_ACCOUNT)


def _check_user_id(value: object) -> str:
    user = _check_account(value)
    # A number is a uid. 0 stands for any user, and clients wrap -5 and 4294967297 round to another uid. The text is
    # packed as it is: the client has to join with the same "00042".
    if _NUMBER.fullmatch(user) and not 1 <= int(user) <= MAX_UID:
        raise ValueError(f"must be from 1 to {MAX_UID} where it is a number")
    return user


_UID = (
    r"^\+?0*([1-9][0-9]{0,8}|[1-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|42949[0-5][0-9]{4}"
    r"|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5])$"
)
"""A number from 1 to `MAX_UID`, however it is written."""

_check_user = Check(
    _check_user_id, {**_check_account.schema, "anyOf": [{"pattern": _UID}, {"not": {"pattern": "^[+-]?[0-9]+$"}}]}
)


# --- the platform --------------------------------------------------------------------------------------------------


class Agora(Platform):
    """Agora. A `user_id` that is a number is a uid, any other a user account; the client joins with the same."""

    name = "agora"
    title = "Agora"
    example = {"room_id": "class-7b", "role": "subscriber", "user_id": "1234"}
    services = tuple(_SERVICES)
    kinds = {
        TokenKind.APP: TokenSpec(
            (
                RequestField("room_id", _check_channel, required=True),
                RequestField("role", one_of(*_ROLES), required=True),
                RequestField("user_id", _check_user, required=True),
                RequestField("services", services_of(*_SERVICES), default=_DEFAULT_SERVICES),
            ),
            Lifetime(minimum=120, maximum=_MAX_LIFETIME),
        ),
        TokenKind.MANAGEMENT: TokenSpec(lifetime=Lifetime(minimum=120, maximum=_MAX_LIFETIME)),
    }
    auth_header = AuthHeader("Authorization", "Bearer ")
    response_schemas = {"token": {"type": "string", "pattern": "^007[A-Za-z0-9+/]+={0,2}$"}}
    constraints = {
        TokenKind.APP: {
            "allOf": [
                {
                    "anyOf": [
                        {"properties": {"services": {"const": ["rtc"]}}},
                        {"properties": {"user_id": {"maxLength": _MAX_LOGIN}}},
                    ]
                },
                {
                    "anyOf": [
                        {"properties": {"services": {"not": {"contains": {"const": "chat"}}}}},
                        {"properties": {"user_id": {"pattern": f"^{_CHAT_USER_ID.pattern}$"}}},
                    ]
                },
            ]
        }
    }
    renew_before = 45
    public_fields = ("app_id",)
    credential_fields = (
        CredentialField("app_id", pattern=_APP_ID, form=_APP_ID_FORM),
        CredentialField("app_certificate", signs=True, pattern=_CERTIFICATE, form=_APP_ID_FORM),
    )

    def conflicts(self, values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
        services, user = values.get("services", _DEFAULT_SERVICES), values.get("user_id")
        # A valid user has one byte per character.
        if services != _DEFAULT_SERVICES and len(str(user)) > _MAX_LOGIN:
            yield "user_id", f"must not be longer than {_MAX_LOGIN} characters with rtm or chat among the services"
        elif isinstance(services, tuple) and "chat" in services and user and not _CHAT_USER_ID.fullmatch(str(user)):
            yield "user_id", "must contain only a-z, 0-9, _, . and - with chat among the services, which ignores case"

    def expressible(self, grant: Grant) -> Grant:
        """Return the part of `grant` that the token can express: RTM and Chat have neither channel nor role."""
        return grant if "rtc" in grant.services else grant._replace(room_id=None, role=None)

    def token(self, credentials: Credentials, grant: Grant, context: MintContext) -> str:
        lifetime = grant.expires_at - int(context.minted_at)
        token = AccessToken2(
            credentials["app_id"],
            int(context.minted_at),
            lifetime,
            context.randomness.salt(),
            _app_services(grant, lifetime) if grant.kind is TokenKind.APP else _management_services(lifetime),
        )
        return access_token2.sign(token, credentials["app_certificate"])

    def explain(self, token: str, credentials: Credentials | None, at: float) -> TokenReport | None:
        if access_token.is_one(token):
            return self._explain_old(token, credentials, at)
        if not token.startswith(access_token2.PREFIX):
            return None
        try:
            reading = access_token2.read(token)
        except FormatError as error:
            return self._unreadable(str(error))
        decoded = reading.token
        content, complete = _content(decoded)
        signature = Signature.UNCHECKED
        if credentials is not None:
            valid = reading.is_signed_with(credentials["app_certificate"])
            # A token that is cut short lacks a part of what was signed.
            wrong = Signature.IMPOSSIBLE if reading.fault else Signature.INVALID
            signature = Signature.VALID if valid else wrong
        problems = [
            *([f"the signature is not this certificate's ({_INVALID_TOKEN})"] * (signature is Signature.INVALID)),
            *_app_id_problems(decoded.app_id, credentials),
            *([f"{reading.fault} ({_INVALID_TOKEN})"] if reading.fault else []),
            *_time_problems(decoded, at),
            *_name_problems(decoded),
        ]
        return TokenReport(
            platform=self.name,
            content=content,
            signature=signature,
            claims=_facts(decoded),
            problems=tuple(problems),
            warnings=(*_name_warnings(decoded), *_lifetime_warnings(decoded)),
            issued_at=decoded.issue_ts,
            complete=complete,
        )

    def _unreadable(self, why: str) -> TokenReport:
        problems = (f"{why} ({_INVALID_TOKEN})",)
        return TokenReport(self.name, TokenContent(), Signature.IMPOSSIBLE, {}, problems)

    def _explain_old(self, token: str, credentials: Credentials | None, at: float) -> TokenReport:
        """Explain a token of the format before AccessToken2, which Agora still accepts and Roomkey never mints."""
        try:
            read = access_token.read(token)
        except FormatError as error:
            return self._unreadable(str(error))
        problems = [*_app_id_problems(read.app_id, credentials), *([read.fault] if read.fault else [])]
        if read.expires_at <= at:
            problems.append(f"{expired(read.expires_at)} ({_TOKEN_EXPIRED})")
        return TokenReport(
            platform=self.name,
            content=TokenContent(
                kind=TokenKind.APP,
                expires_at=read.expires_at,
                role=None if read.is_rtm else "publisher" if len(read.privileges) > 1 else "subscriber",
                services=("rtm",) if read.is_rtm else ("rtc",),
            ),
            signature=Signature.NOT_CHECKABLE,
            claims=read.claims(),
            problems=tuple(problems),
            warnings=(access_token.OLD_FORMAT,),
            label="AccessToken (006)",
            complete=False,
        )


# --- from a grant to services, and back ----------------------------------------------------------------------------


def _app_services(grant: Grant, lifetime: int) -> tuple[Service, ...]:
    if not (grant.room_id and grant.role and grant.user_id):
        raise ValueError("an app token needs a channel, a role and a user: an empty one would match any")
    return tuple(_app_service(_SERVICES[name], grant, lifetime) for name in grant.services)


def _app_service(number: int, grant: Grant | TokenContent, lifetime: int) -> Service:
    user = grant.user_id or ""
    if number == RTC:
        privileges = dict.fromkeys(_ROLES[grant.role or ""], lifetime)
        return Service(RTC, privileges, {"channel_name": grant.room_id or "", "uid": user})
    return Service(number, {_LOGIN if number == RTM else _CHAT_USER: lifetime}, {"user_id": user})


def _management_services(lifetime: int) -> tuple[Service, ...]:
    return (Service(CHAT, {_CHAT_APP: lifetime}, {"user_id": ""}),)


def _content(token: AccessToken2) -> tuple[TokenContent, bool]:
    """Return what `token` grants, and whether that is all. A wildcard is None, and so are rights that match no role."""
    services = tuple(_cut(service, token.expire) for service in token.services)
    expires_at = token.issue_ts + token.expire
    if services == _management_services(token.expire):
        return TokenContent(TokenKind.MANAGEMENT, expires_at), True
    by_type = {service.type: service for service in services}
    rtc = by_type.get(RTC)
    content = TokenContent(
        kind=TokenKind.APP,
        expires_at=expires_at,
        room_id=_text_of(rtc, "channel_name"),
        role=None if rtc is None else "publisher" if len(rtc.privileges) > 1 else "subscriber",
        user_id=_text_of(rtc, "uid") or _text_of(by_type.get(RTM), "user_id") or _text_of(by_type.get(CHAT), "user_id"),
        services=tuple(name for name, number in _SERVICES.items() if number in by_type),
    )
    # A role is right only if a grant with it has exactly these services.
    complete = services == tuple(_app_service(_SERVICES[name], content, token.expire) for name in content.services)
    return (content, True) if complete else (content._replace(role=None), False)


def _cut(service: Service, lifetime: int) -> Service:
    """Return `service` with each privilege ending with the token, at the latest. 0 means no earlier end."""
    return service._replace(
        privileges={number: min(own or lifetime, lifetime) for number, own in service.privileges.items()}
    )


def _text_of(service: Service | None, field: str) -> str | None:
    value = service.fields[field] if service else None
    return value if isinstance(value, str) and value else None


def _facts(token: AccessToken2) -> dict[str, object]:
    return {
        "app_id": token.app_id,
        "issue_ts": token.issue_ts,
        "expire": token.expire,
        "salt": token.salt,
        "services": [
            {
                "type": service.type,
                "name": (known := SERVICE_TYPES[service.type]).name,
                "privileges": {known.privilege(number): lifetime for number, lifetime in service.privileges.items()},
                **service.fields,
            }
            for service in token.services
        ],
    }


# --- problems of a token ------------------------------------------------------------------------------------


def _app_id_problems(app_id: str, credentials: Credentials | None) -> Iterator[str]:
    if not re.fullmatch(_APP_ID, app_id):
        yield "app_id is not 32 hexadecimal digits (101 Invalid App ID)"
    elif credentials and app_id != credentials["app_id"]:
        yield f"app_id is not these credentials' ({_INVALID_TOKEN})"


def _time_problems(token: AccessToken2, at: float) -> Iterator[str]:
    if token.issue_ts > at:
        yield f"it was issued in the future ({_INVALID_TOKEN})"
    if token.expire > _MAX_LIFETIME:
        guess = (
            ": a Unix time?" if token.expire >= FIRST_TOKEN else ": milliseconds?" if token.expire % 1000 == 0 else ""
        )
        yield f"it lives longer than the {_MAX_LIFETIME} s that Agora allows{guess} ({_INVALID_TOKEN})"
    if token.issue_ts + token.expire <= at:
        yield f"{expired(token.issue_ts + token.expire)} ({_TOKEN_EXPIRED})"
        return
    for service, privilege, lifetime in _privileges(token):
        if lifetime and token.issue_ts + lifetime <= at:  # 0 means no earlier end, as in Agora's FPA tokens.
            yield f"{service}: {privilege} has expired ({_TOKEN_EXPIRED})"


def _lifetime_warnings(token: AccessToken2) -> Iterator[str]:
    for service, privilege, lifetime in _privileges(token):
        if lifetime > _MAX_LIFETIME:
            yield f"{service}: {privilege} is granted for more than {_MAX_LIFETIME} s: the token's own end cuts it off"


def _privileges(token: AccessToken2) -> Iterator[tuple[str, str, int]]:
    for service in token.services:
        known = SERVICE_TYPES[service.type]
        for number, lifetime in service.privileges.items():
            yield known.name, known.privilege(number), lifetime


class _NameRule(NamedTuple):
    """The SDK answers `error` to a name of more than `longest` bytes. `check` is the documented format."""

    longest: int
    error: str
    check: Callable[[object], str]


# For the services that Roomkey mints. Limits of the others are not documented.
_NAME_RULES: Mapping[int, Mapping[str, _NameRule]] = {
    RTC: {
        "channel_name": _NameRule(_MAX_CHANNEL, "102 Invalid Channel Name", _check_channel),
        "uid": _NameRule(_MAX_ACCOUNT, "134 Invalid User Account", _check_user),
    },
    RTM: {"user_id": _NameRule(_MAX_LOGIN, "-10006 Invalid User ID", _check_user)},
    CHAT: {"user_id": _NameRule(_MAX_LOGIN, "105 User Name Too Long", _check_user)},
}


def _names(token: AccessToken2) -> Iterator[tuple[str, str, _NameRule]]:
    for service in token.services:
        for field, rule in _NAME_RULES.get(service.type, {}).items():
            if service.type != CHAT or _CHAT_USER in service.privileges:  # Chat's app token names no user.
                yield f"{SERVICE_TYPES[service.type].name}: {field}", _text_of(service, field) or "", rule


def _name_problems(token: AccessToken2) -> Iterator[str]:
    for label, name, rule in _names(token):
        if len(name.encode()) > rule.longest:
            yield f"{label} is longer than {rule.longest} bytes ({rule.error})"


def _name_warnings(token: AccessToken2) -> Iterator[str]:
    for label, name, rule in _names(token):
        if not name:
            yield f"{label} is empty: the token is valid for any"
        elif len(name.encode()) <= rule.longest:
            try:
                rule.check(name)
            except ValueError as error:
                yield f"{label} {error}"
