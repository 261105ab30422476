"""The stack's parameters, read once from the function's environment variables. All errors are reported together."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from roomkey.limits import MAX_LIFETIME, MIN_LIFETIME
from roomkey.platforms import DEFAULT_PLATFORMS, PLATFORM_NAMES
from roomkey.platforms.base import TokenKind


class Access(StrEnum):
    """How a route authenticates callers: by a JWT, by a SigV4 signature, or not at all."""

    JWT = "jwt"
    IAM = "iam"
    OPEN = "open"


class GroupsFormat(StrEnum):
    """How the groups claim is written: as a list, as comma-separated text, or as text that is a JSON array."""

    LIST = "list"
    COMMA = "comma"
    JSON = "json"


class ClaimNames(NamedTuple):
    """The JWT claims with the user's id and groups."""

    user_id: str
    groups: str
    groups_format: GroupsFormat = GroupsFormat.LIST


class LifetimeLimits(NamedTuple):
    """Token lifetimes of this stack in seconds: the default for each kind, and the longest."""

    default: Mapping[TokenKind, int]
    longest: int


DEFAULT_LIFETIMES = LifetimeLimits(default={TokenKind.APP: 3600, TokenKind.MANAGEMENT: 900}, longest=86400)
"""The lifetimes of a stack whose parameters set none."""


class SettingsError(ValueError):
    """Environment variables of the function are invalid. The message names all of them."""


class Settings(NamedTuple):
    """The settings of one stack. Names in AWS derive from `environment`, so stacks do not share resources."""

    environment: str
    platforms: tuple[str, ...]
    app_token_access: Access
    claim_names: ClaimNames
    lifetimes: LifetimeLimits
    allowed_origins: tuple[str, ...]
    invite_url: str
    audit_user_ids: bool
    log_level: str

    @property
    def kill_switch_name(self) -> str:
        return f"/roomkey/{self.environment}/disabled"

    @property
    def policy_name(self) -> str:
        return f"/roomkey/{self.environment}/policy"

    @property
    def block_list_name(self) -> str:
        return f"/roomkey/{self.environment}/blocked"

    def secret_name(self, platform: str) -> str:
        """Return the name of the platform's secret."""
        return f"roomkey/{self.environment}/{platform}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings in `environ`. An empty variable counts as unset: it has its default.

        Raises:
            SettingsError: One or more variables are invalid.
        """
        problems: list[str] = []

        def read[T](name: str, parse: Callable[[str], T], default: T) -> T:
            text = environ.get(name)
            if not text:
                return default
            try:
                return parse(text)
            except ValueError as error:
                problems.append(f"{name} {error}")
                return default

        if not environ.get("ENVIRONMENT"):
            problems.append("ENVIRONMENT must be set")
        standard = DEFAULT_LIFETIMES
        settings = cls(
            environment=read("ENVIRONMENT", _environment, ""),
            platforms=read("PLATFORMS", _platforms, DEFAULT_PLATFORMS),
            app_token_access=read("APP_TOKEN_ACCESS", _access, Access.JWT),
            claim_names=ClaimNames(
                user_id=read("USER_ID_CLAIM", _claim, "sub"),
                groups=read("GROUPS_CLAIM", _claim, "groups"),
                groups_format=read("GROUPS_FORMAT", _groups_format, GroupsFormat.LIST),
            ),
            lifetimes=LifetimeLimits(
                default={
                    TokenKind.APP: read("APP_TOKEN_LIFETIME", _seconds, standard.default[TokenKind.APP]),
                    TokenKind.MANAGEMENT: read(
                        "MANAGEMENT_TOKEN_LIFETIME", _seconds, standard.default[TokenKind.MANAGEMENT]
                    ),
                },
                longest=read("MAX_TOKEN_LIFETIME", _seconds, standard.longest),
            ),
            allowed_origins=read("ALLOWED_ORIGINS", _origins, ()),
            invite_url=read("INVITE_URL", _invite_url, ""),
            audit_user_ids=read("AUDIT_USER_IDS", _plain_or_omit, True),
            log_level=read("LOG_LEVEL", _log_level, "INFO"),
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings


def _environment(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", text):
        raise ValueError("must be a name such as dev or prod-eu: a letter, then at most 15 letters, digits or hyphens")
    return text


def _platforms(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(PLATFORM_NAMES) or len(set(names)) < len(names):
        raise ValueError(
            f"must be one or more of {', '.join(PLATFORM_NAMES)}, joined by commas without spaces or repeats"
        )
    return names


def _access(text: str) -> Access:
    if text not in list(Access):
        raise ValueError("must be jwt, iam or open")
    return Access(text)


def _groups_format(text: str) -> GroupsFormat:
    if text not in list(GroupsFormat):
        raise ValueError("must be list, comma or json")
    return GroupsFormat(text)


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text) or not MIN_LIFETIME <= int(text) <= MAX_LIFETIME:
        raise ValueError(f"must be a whole number of seconds from {MIN_LIFETIME} to {MAX_LIFETIME}")
    return int(text)


def _claim(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,128}", text):
        raise ValueError("must be the name of a claim")
    if re.fullmatch(r"\w+(\.\w+)+", text):
        raise ValueError("must name a claim at the top level: API Gateway does not deliver the claims inside another")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(text.split(","))
    if not all(re.fullmatch(r"https?://[^\s,/*A-Z]+", origin) for origin in origins):
        raise ValueError(
            "must be origins such as https://app.example.com, joined by commas: lower case, no paths, no *"
        )
    return origins


def _invite_url(text: str) -> str:
    if not re.fullmatch(r"https://[\x21-\x7e]+|http://localhost(:[0-9]+)?(/[\x21-\x7e]*)?", text) or "#" in text:
        raise ValueError("must be the https URL of a page, without a fragment")
    return text


def _log_level(text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return text


def _plain_or_omit(text: str) -> bool:
    if text not in ("plain", "omit"):
        raise ValueError("must be plain or omit")
    return text == "plain"
