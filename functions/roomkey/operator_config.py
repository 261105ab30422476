"""The SSM parameters that operators control: the kill switch, the policy and the block list.

Every decision needs all three, so one call reads them. An invalid kill switch invalidates the whole reading. Without a
policy or a block list, the kill switch can still refuse.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from roomkey import limits
from roomkey.aws.stores import ParameterStore
from roomkey.block_list import BlockList
from roomkey.cache import CachedValue, RefreshingCache
from roomkey.clock import Budget, Clock
from roomkey.errors import BlockListUnavailable, DependencyFailure, Fault, KillSwitchUnavailable, PolicyUnavailable
from roomkey.kill_switch import KillSwitch, KillSwitchReading
from roomkey.policy import InvalidPolicy, Policy, parse_policy


class _Parameters(NamedTuple):
    kill_switch: KillSwitch
    policy: Policy | DependencyFailure
    block_list: BlockList | DependencyFailure


class OperatorConfig(NamedTuple):
    """The parameters as last read. All have the age of the kill switch."""

    kill_switch: KillSwitchReading
    policy: Policy | DependencyFailure
    block_list: BlockList | DependencyFailure

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

    def require_block_list(self) -> BlockList:
        """Return the block list.

        Raises:
            BlockListUnavailable: It is missing, invalid or too old.
        """
        if isinstance(self.block_list, DependencyFailure):
            raise BlockListUnavailable(self.block_list)
        if self.kill_switch.age > limits.BLOCK_LIST_MAX_STALE_SECONDS:
            raise BlockListUnavailable(self.kill_switch.failure)
        return self.block_list


class OperatorConfigCache:
    """The operator config of one environment, cached."""

    def __init__(
        self,
        parameters: ParameterStore,
        *,
        kill_switch_name: str,
        policy_name: str,
        block_list_name: str,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        def load(budget: Budget) -> _Parameters:
            texts = parameters.read([kill_switch_name, policy_name, block_list_name], budget)
            return _Parameters(
                _parse_kill_switch(texts[kill_switch_name]),
                _parse_policy(texts[policy_name]),
                _parse_block_list(texts[block_list_name]),
            )

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
        return OperatorConfig(reading, cached.value.policy, cached.value.block_list)


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


def _parse_block_list(text: str | None) -> BlockList | DependencyFailure:
    if text is None:
        return DependencyFailure("ssm", "block-list-missing", transient=False)
    try:
        return BlockList.parse(text)
    except ValueError as error:
        return DependencyFailure("ssm", "invalid-block-list", transient=False, problems=(str(error),))
