"""The vendors' credentials, one secret per platform, read when a token for that platform is asked for.

A secret is a JSON object with the names that the vendor gives its values (docs/tokens.md). It is checked when it is
loaded: what cannot sign a token that works is refused there and then, by field and reason, never by value.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from roomkey import limits
from roomkey.aws.stores import SecretStore
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import CredentialsInvalid, CredentialsUnavailable, DependencyFailure
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import Credentials, InvalidCredentials

_NOT_USABLE = "not-usable"


@dataclass(frozen=True, slots=True)
class VersionedCredentials:
    """Credentials that have passed their check, and the id of the secret's version that they are."""

    credentials: Credentials
    version_id: str


class CredentialSource:
    """The credentials of one environment's platforms, kept fresh."""

    def __init__(
        self,
        secrets: SecretStore,
        secret_name: Callable[[str], str],
        platforms: Iterable[Platform],
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def refreshed(platform: Platform) -> RefreshingCache[VersionedCredentials]:
            def load(budget: Budget) -> VersionedCredentials:
                secret = secrets.read(secret_name(platform.name), budget)
                return VersionedCredentials(_understood(secret.text, platform), secret.version_id)

            return RefreshingCache(
                load,
                ttl=limits.CREDENTIALS_TTL_SECONDS,
                max_stale=limits.CREDENTIALS_MAX_STALE_SECONDS,
                clock=clock,
                jitter=jitter,
            )

        self._by_platform = {platform.name: refreshed(platform) for platform in platforms}

    def read(self, platform: Platform, budget: Budget) -> CachedValue[VersionedCredentials]:
        """The platform's credentials. Raises `CredentialsUnavailable`, `CredentialsInvalid` or `DeadlineExceeded`."""
        try:
            return self._by_platform[platform.name].read(budget)
        except DependencyFailure as failure:
            raise (CredentialsInvalid if failure.reason == _NOT_USABLE else CredentialsUnavailable)(failure) from None


def _understood(text: str, platform: Platform) -> Credentials:
    try:
        return platform.parse_secret(text)
    except InvalidCredentials as error:
        problems = tuple(f"{platform.name}.{problem}" for problem in error.problems)
        raise DependencyFailure("secretsmanager", _NOT_USABLE, transient=False, problems=problems) from None
