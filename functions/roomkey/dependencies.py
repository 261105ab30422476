"""The composition root: everything a request needs, built once and passed down. Tests build their own."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from roomkey.audit import AuditTrail
from roomkey.aws.client import AwsClient
from roomkey.aws.stores import ParameterStore, SecretStore
from roomkey.clock import Clock, SystemClock
from roomkey.credentials import CredentialSource
from roomkey.observability import Observability
from roomkey.operator_config import OperatorConfigCache
from roomkey.platforms import platform
from roomkey.platforms.base import Platform, Randomness
from roomkey.settings import Settings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the API works with."""

    settings: Settings
    clock: Clock
    randomness: Randomness
    platforms: Mapping[str, Platform]
    state: OperatorConfigCache
    credentials: CredentialSource
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
        ahead: bool = False,
    ) -> "Dependencies":
        """The dependencies that `environ` asks for. Connects to nothing. Raises `SettingsError`.

        `ahead` is whether to do at once what the first request would wait for: where nobody waits yet. `jitter` gives
        numbers from 0 to 1. The system's own source stands behind it: a seeded one would be part of a snapshot, and
        every environment restored from it would refresh at the same moments.
        """
        settings = Settings.from_environment(environ)
        clock = clock or SystemClock()
        jitter = jitter or random.SystemRandom().random
        aws = AwsClient(environ, clock, jitter)
        if ahead:
            aws.warm_up()
        platforms = {name: platform(name) for name in settings.platforms}
        return cls(
            settings=settings,
            clock=clock,
            randomness=randomness or Randomness(),
            platforms=platforms,
            state=OperatorConfigCache(
                ParameterStore(aws),
                kill_switch_name=settings.kill_switch_name,
                policy_name=settings.policy_name,
                clock=clock,
                jitter=jitter,
            ),
            credentials=CredentialSource(
                SecretStore(aws), settings.secret_name, platforms.values(), clock=clock, jitter=jitter
            ),
            audit=AuditTrail(settings.environment, settings.audit_user_ids, stdout),
            observability=Observability.of(settings.environment, settings.log_level),
        )
