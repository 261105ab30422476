"""The secrets of one environment: each platform's credentials and the keys of invites, read on demand.

A secret is checked when it is read. The error for an invalid secret names field and reason, never a value.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from roomkey import limits
from roomkey.aws.stores import SecretStore
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import CredentialsInvalid, CredentialsUnavailable, DependencyFailure
from roomkey.invites import InviteKeys
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import Credentials, InvalidCredentials

_INVALID = "not-usable"


class VersionedCredentials(NamedTuple):
    """Checked credentials and the version id of their secret."""

    credentials: Credentials
    version_id: str


class CachedSecret[T]:
    """One secret, parsed and cached. `parse` takes its text and version id, and raises `DependencyFailure`."""

    def __init__(
        self,
        secrets: SecretStore,
        name: str,
        parse: Callable[[str, str], T],
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def load(budget: Budget) -> T:
            secret = secrets.read(name, budget)
            return parse(secret.text, secret.version_id)

        self._cache = RefreshingCache(
            load,
            ttl=limits.CREDENTIALS_TTL_SECONDS,
            max_stale=limits.CREDENTIALS_MAX_STALE_SECONDS,
            clock=clock,
            jitter=jitter,
        )

    def read(self, budget: Budget) -> CachedValue[T]:
        """Return the secret, refreshed if its TTL has expired.

        Raises:
            CredentialsUnavailable: It could not be read.
            CredentialsInvalid: It cannot sign.
            DeadlineExceeded: The budget ended before the read did.
        """
        try:
            return self._cache.read(budget)
        except DependencyFailure as failure:
            raise (CredentialsInvalid if failure.reason == _INVALID else CredentialsUnavailable)(failure) from None


class CredentialSource:
    """The credentials of one environment's platforms."""

    def __init__(
        self,
        secrets: SecretStore,
        secret_name: Callable[[str], str],
        platforms: Iterable[Platform],
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def secret_of(platform: Platform) -> CachedSecret[VersionedCredentials]:
            def parse(text: str, version_id: str) -> VersionedCredentials:
                try:
                    return VersionedCredentials(platform.parse_secret(text), version_id)
                except InvalidCredentials as error:
                    raise _invalid(f"{platform.name}.{problem}" for problem in error.problems) from None

            return CachedSecret(secrets, secret_name(platform.name), parse, clock=clock, jitter=jitter)

        self._by_platform = {platform.name: secret_of(platform) for platform in platforms}

    def read(self, platform: Platform, budget: Budget) -> CachedValue[VersionedCredentials]:
        """Return the platform's credentials. Raises as `CachedSecret.read` does."""
        return self._by_platform[platform.name].read(budget)


def parse_invite_keys(text: str, _: str) -> InviteKeys:
    """Parse the secret with the keys of invites, for `CachedSecret`."""
    try:
        return InviteKeys.parse(text)
    except ValueError as error:
        raise _invalid([f"invites: {error}"]) from None


def _invalid(problems: Iterable[str]) -> DependencyFailure:
    return DependencyFailure("secretsmanager", _INVALID, transient=False, problems=tuple(problems))
