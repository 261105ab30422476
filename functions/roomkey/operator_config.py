"""The SSM parameters that operators control: the kill switch and the policy.

Every decision needs both, so one call reads both. They fail independently: an invalid kill switch makes the whole
reading useless, while without a policy the kill switch can still refuse.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from roomkey import limits
from roomkey.aws.stores import ParameterStore
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import DependencyFailure, Fault, KillSwitchUnavailable, PolicyUnavailable
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.policy import InvalidPolicy, Policy, parse_policy


class _Parameters(NamedTuple):
    kill_switch: KillSwitch
    policy: Policy | DependencyFailure


class OperatorConfig(NamedTuple):
    """The parameters as last read. All have the age of the kill switch."""

    kill_switch: KillSwitchReading
    policy: Policy | DependencyFailure

    def require_policy(self) -> Policy:
        """Return the policy.

        Raises:
            PolicyUnavailable: It is missing, invalid or too old.
        """
        if isinstance(self.policy, DependencyFailure):
            raise PolicyUnavailable(self.policy)
        if self.kill_switch.age > limits.POLICY_MAX_STALE_SECONDS:
            raise PolicyUnavailable(self.kill_switch.failure)
        return self.policy


class OperatorConfigCache:
    """The operator config of one environment, cached."""

    def __init__(
        self,
        parameters: ParameterStore,
        *,
        kill_switch_name: str,
        policy_name: str,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def load(budget: Budget) -> _Parameters:
            texts = parameters.read([kill_switch_name, policy_name], budget)
            return _Parameters(_parse_kill_switch(texts[kill_switch_name]), _parse_policy(texts[policy_name]))

        self._cache = RefreshingCache(
            load, ttl=limits.OPERATOR_CONFIG_TTL_SECONDS, max_stale=math.inf, clock=clock, jitter=jitter
        )

    def read(self, budget: Budget) -> OperatorConfig:
        """Return the config, refreshed if its TTL has expired.

        Raises:
            KillSwitchUnavailable: It is unknown.
            DeadlineExceeded: It is unknown, and the budget ended before the read did.
        """
        return self._config(self._cache.read, budget)

    def minting(self, platforms: Iterable[str], budget: Budget) -> str:
        """Return `on`, `off`, `partly-off` or `unknown` for these platforms. Refreshes at most once per TTL."""
        try:
            reading = self._config(self._cache.peek, budget).kill_switch
        except Fault:
            return "unknown"
        minting = reading.switch.minting(platforms)
        return "unknown" if reading.too_old_for_on and minting != "off" else minting

    @staticmethod
    def _config(read: Callable[[Budget], CachedValue[_Parameters]], budget: Budget) -> OperatorConfig:
        try:
            cached = read(budget)
        except DependencyFailure as failure:
            raise KillSwitchUnavailable(failure) from None
        reading = KillSwitchReading(cached.value.kill_switch, cached.age, cached.failure)
        return OperatorConfig(reading, cached.value.policy)


def _parse_kill_switch(text: str | None) -> KillSwitch:
    if text is None:
        raise DependencyFailure("ssm", "not-found", transient=False)
    try:
        return KillSwitch.parse(text)
    except ValueError:
        raise DependencyFailure("ssm", "invalid-kill-switch", transient=False) from None


def _parse_policy(text: str | None) -> Policy | DependencyFailure:
    if text is None:
        return DependencyFailure("ssm", "policy-missing", transient=False)
    try:
        return parse_policy(text)
    except InvalidPolicy as error:
        problems = tuple(f"{where}: {why}" for where, why in error.problems)
        return DependencyFailure("ssm", "invalid-policy", transient=False, problems=problems)
