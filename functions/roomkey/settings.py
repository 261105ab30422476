"""What the stack's parameters say, read once from the function's environment, all mistakes reported together."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roomkey.callers import Access, ClaimNames
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.token_requests import SHORTEST_LIFE, Lives


class SettingsError(ValueError):
    """The function's environment does not make sense. The message names every variable that is at fault."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One stack's settings. Names in AWS derive from `environment` alone, so that no stack can reach another's."""

    environment: str
    platforms: tuple[str, ...]
    app_token_access: Access
    claim_names: ClaimNames
    lives: Lives
    allowed_origins: tuple[str, ...]
    audit_user_ids: bool
    log_level: str

    @property
    def disable_flag_name(self) -> str:
        return f"/roomkey/{self.environment}/disabled"

    def secret_name(self, platform: str) -> str:
        return f"roomkey/{self.environment}/{platform}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings that `environ` holds. Unset and empty are the same: the default. Raises `SettingsError`."""
        problems: list[str] = []

        def read[T](name: str, parse: Callable[[str], T], default: str) -> T | None:
            try:
                return parse(environ.get(name) or default)
            except ValueError as error:
                problems.append(f"{name} {error}")
                return None

        settings = cls(
            environment=read("ENVIRONMENT", _environment, ""),  # type: ignore[arg-type]
            platforms=read("PLATFORMS", _platforms, ",".join(PLATFORMS)),  # type: ignore[arg-type]
            app_token_access=read("APP_TOKEN_ACCESS", _access, "jwt"),  # type: ignore[arg-type]
            claim_names=ClaimNames(environ.get("USER_ID_CLAIM") or "sub", environ.get("GROUPS_CLAIM") or "groups"),
            lives=Lives(
                default={
                    TokenKind.APP: read("APP_TOKEN_LIFE", _seconds, "3600") or 0,
                    TokenKind.MANAGEMENT: read("MANAGEMENT_TOKEN_LIFE", _seconds, "900") or 0,
                },
                longest=read("LONGEST_TOKEN_LIFE", _seconds, "86400") or 0,
            ),
            allowed_origins=tuple(filter(None, environ.get("ALLOWED_ORIGINS", "").split(","))),
            audit_user_ids=read("AUDIT_USER_IDS", _plain_or_omit, "plain"),  # type: ignore[arg-type]
            log_level=read("LOG_LEVEL", _log_level, "INFO"),  # type: ignore[arg-type]
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
    if not PLATFORMS.keys() >= set(names) or len(set(names)) < len(names):
        raise ValueError(f"must be one or more of {', '.join(PLATFORMS)}, joined by commas without spaces or repeats")
    return names


def _access(text: str) -> Access:
    try:
        return Access(text)
    except ValueError:
        raise ValueError("must be jwt, iam or open") from None


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text) or int(text) < SHORTEST_LIFE:
        raise ValueError(f"must be a whole number of seconds, at least {SHORTEST_LIFE}")
    return int(text)


def _log_level(text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return text


def _plain_or_omit(text: str) -> bool:
    if text not in ("plain", "omit"):
        raise ValueError("must be plain or omit")
    return text == "plain"
