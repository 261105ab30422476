"""The state of an environment that operators own, beside its secrets: the disable flag and the policy.

Both are needed for every decision, so both come from one call, and are as old as each other. They fail apart: a flag
that cannot be used leaves nothing to go on, while without a policy it can still be said that minting is off.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from roomkey import limits
from roomkey.aws.stores import ParameterStore
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import DependencyFailure, Fault, KillSwitchUnavailable, PolicyUnavailable
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.policy import InvalidPolicy, Policy, parse_policy


@dataclass(frozen=True, slots=True)
class _Found:
    flag: KillSwitch
    policy: Policy | DependencyFailure


class OperatorConfig(NamedTuple):
    """An environment's state as it is known. The policy is as old as the flag."""

    switch: KillSwitchReading
    policy: Policy | DependencyFailure

    def require_policy(self) -> Policy:
        """The policy to decide by. Raises `PolicyUnavailable` where there is none, or none that is new enough."""
        if isinstance(self.policy, DependencyFailure):
            raise PolicyUnavailable(self.policy)
        # The switch is no more patient, and asked first; this does not lean on it.
        if self.switch.age > limits.POLICY_MAX_STALE_SECONDS:
            raise PolicyUnavailable(self.switch.failure)
        return self.policy


class OperatorConfigCache:
    """The disable flag and the policy of one environment, kept fresh."""

    def __init__(
        self,
        parameters: ParameterStore,
        *,
        kill_switch_name: str,
        policy_name: str,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def load(budget: Budget) -> _Found:
            texts = parameters.read([kill_switch_name, policy_name], budget)
            return _Found(_flag(texts[kill_switch_name]), _policy(texts[policy_name]))

        self._found = RefreshingCache(
            load, ttl=limits.OPERATOR_CONFIG_TTL_SECONDS, max_stale=math.inf, clock=clock, jitter=jitter
        )

    def read(self, budget: Budget) -> OperatorConfig:
        """The state, refreshed if it is not fresh. Raises `KillSwitchUnavailable` or `DeadlineExceeded`."""
        return self._state(self._found.read, budget)

    def minting(self, platforms: Iterable[str], budget: Budget) -> str:
        """`on`, `off`, `partly-off` or `unknown`, over the platforms given. Reads at most once per fresh bound."""
        try:
            switch = self._state(self._found.peek, budget).switch
        except Fault:
            return "unknown"
        minting = switch.flag.minting(platforms)
        return "unknown" if switch.too_old_for_on and minting != "off" else minting

    @staticmethod
    def _state(read: Callable[[Budget], CachedValue[_Found]], budget: Budget) -> OperatorConfig:
        try:
            reading = read(budget)
        except DependencyFailure as failure:
            raise KillSwitchUnavailable(failure) from None
        return OperatorConfig(KillSwitchReading(reading.value.flag, reading.age, reading.failure), reading.value.policy)


def _flag(text: str | None) -> KillSwitch:
    if text is None:
        raise DependencyFailure("ssm", "not-found", transient=False)
    try:
        return KillSwitch.parse(text)
    except ValueError:
        raise DependencyFailure("ssm", "invalid-kill-switch", transient=False) from None


def _policy(text: str | None) -> Policy | DependencyFailure:
    if text is None:
        return DependencyFailure("ssm", "policy-missing", transient=False)
    try:
        return parse_policy(text)
    except InvalidPolicy as error:
        problems = tuple(f"{where}: {why}" for where, why in error.problems)
        return DependencyFailure("ssm", "invalid-policy", transient=False, problems=problems)
