"""The vendors' credentials: one secret per platform, read when a token for that platform is requested.

A secret is a JSON object with the vendor's own names (docs/tokens.md). It is checked when it is loaded: credentials
that cannot sign a working token are refused with field and reason, never with a value.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from roomkey import limits
from roomkey.aws.stores import SecretStore
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import CredentialsInvalid, CredentialsUnavailable, DependencyFailure
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import Credentials, InvalidCredentials

_INVALID = "not-usable"


class VersionedCredentials(NamedTuple):
    """Checked credentials and the version id of their secret."""

    credentials: Credentials
    version_id: str


class CredentialSource:
    """The credentials of one environment's platforms, cached."""

    def __init__(
        self,
        secrets: SecretStore,
        secret_name: Callable[[str], str],
        platforms: Iterable[Platform],
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def cache_of(platform: Platform) -> RefreshingCache[VersionedCredentials]:
            def load(budget: Budget) -> VersionedCredentials:
                secret = secrets.read(secret_name(platform.name), budget)
                return VersionedCredentials(_parse(secret.text, platform), secret.version_id)

            return RefreshingCache(
                load,
                ttl=limits.CREDENTIALS_TTL_SECONDS,
                max_stale=limits.CREDENTIALS_MAX_STALE_SECONDS,
                clock=clock,
                jitter=jitter,
            )

        self._by_platform = {platform.name: cache_of(platform) for platform in platforms}

    def read(self, platform: Platform, budget: Budget) -> CachedValue[VersionedCredentials]:
        """Return the platform's credentials, refreshed if their TTL has expired.

        Raises:
            CredentialsUnavailable: They could not be read.
            CredentialsInvalid: They cannot sign a working token.
            DeadlineExceeded: The budget ended before the read did.
        """
        try:
            return self._by_platform[platform.name].read(budget)
        except DependencyFailure as failure:
            raise (CredentialsInvalid if failure.reason == _INVALID else CredentialsUnavailable)(failure) from None


def _parse(text: str, platform: Platform) -> Credentials:
    try:
        return platform.parse_secret(text)
    except InvalidCredentials as error:
        problems = tuple(f"{platform.name}.{problem}" for problem in error.problems)
        raise DependencyFailure("secretsmanager", _INVALID, transient=False, problems=problems) from None
