"""The composition root: build the services that requests need, once. Tests build their own."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TextIO

from roomkey.audit import AuditTrail
from roomkey.aws.client import AwsClient
from roomkey.aws.stores import ParameterStore, SecretStore
from roomkey.clock import Clock, SystemClock
from roomkey.credentials import CachedSecret, CredentialSource, parse_invite_keys
from roomkey.invites import InviteKeys
from roomkey.observability import Observability
from roomkey.operator_config import OperatorConfigCache
from roomkey.platforms import platform
from roomkey.platforms.base import Platform, Randomness
from roomkey.settings import Settings, SettingsError


class Dependencies(NamedTuple):
    """The services that the API uses."""

    settings: Settings
    clock: Clock
    randomness: Randomness
    platforms: Mapping[str, Platform]
    operator_config: OperatorConfigCache
    credentials: CredentialSource
    invite_keys: CachedSecret[InviteKeys]
    audit: AuditTrail
    observability: Observability

    @classmethod
    def build(
        cls,
        environ: Mapping[str, str],
        *,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        jitter: Callable[[], float] | None = None,
        stdout: TextIO | None = None,
        warm_up: bool = False,
    ) -> "Dependencies":
        """Build the services for the settings in `environ`. Connects to nothing.

        `warm_up` does the slow part of the first request now. `jitter` returns numbers from 0 to 1; the default is the
        system's randomness, since a seed would become part of a snapshot, and all environments restored from it would
        refresh at the same moments.

        Raises:
            SettingsError: `environ` is invalid.
        """
        settings = Settings.from_environment(environ)
        clock = clock or SystemClock()
        jitter = jitter or random.SystemRandom().random
        aws = AwsClient(environ, clock, jitter)
        if warm_up:
            aws.warm_up()
        platforms = {name: platform(name) for name in settings.platforms}
        _check_lifetimes(platforms.values(), settings)
        return cls(
            settings=settings,
            clock=clock,
            randomness=randomness or Randomness(),
            platforms=platforms,
            operator_config=OperatorConfigCache(
                ParameterStore(aws),
                kill_switch_name=settings.kill_switch_name,
                policy_name=settings.policy_name,
                block_list_name=settings.block_list_name,
                clock=clock,
                jitter=jitter,
            ),
            credentials=CredentialSource(
                SecretStore(aws), settings.secret_name, platforms.values(), clock=clock, jitter=jitter
            ),
            invite_keys=CachedSecret(
                SecretStore(aws), settings.secret_name("invites"), parse_invite_keys, clock=clock, jitter=jitter
            ),
            audit=AuditTrail(settings.environment, settings.audit_user_ids, stdout),
            observability=Observability(settings.environment, settings.log_level),
        )


def _check_lifetimes(platforms: Iterable[Platform], settings: Settings) -> None:
    """Raise `SettingsError` if the stack allows no token of a kind that it serves."""
    longest = settings.lifetimes.longest
    problems = [
        f"MAX_TOKEN_LIFETIME must be at least {spec.lifetime.minimum} for {kind} tokens of {vendor.name}"
        for vendor in platforms
        for kind, spec in vendor.kinds.items()
        if spec.lifetime.minimum > longest
    ]
    if problems:
        raise SettingsError("; ".join(problems))
