"""The state of an environment that operators own, beside its secrets: the disable flag and the policy.

Both are needed for every decision, so both come from one call, and are as old as each other. They fail apart: a flag
that cannot be used leaves nothing to go on, while without a policy it can still be said that minting is off.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from roomkey.clock import Budget, Clock
from roomkey.errors import DependencyFailure, Fault, PolicyUnavailable, SwitchUnavailable
from roomkey.freshness import Reading, Refreshed
from roomkey.kill_switch import DisableFlag, SwitchState
from roomkey.policy import Policy, PolicyProblems
from roomkey.stores import ParameterStore

FRESH_SECONDS = 30.0
POLICY_FOR_SECONDS = 300.0
"""How long a policy may be believed while it cannot be read again."""


@dataclass(frozen=True, slots=True)
class _Found:
    flag: DisableFlag
    policy: Policy | DependencyFailure


class State(NamedTuple):
    """An environment's state as it is known. The policy is as old as the flag."""

    switch: SwitchState
    policy: Policy | DependencyFailure

    def policy_in_force(self) -> Policy:
        """The policy to decide by. Raises `PolicyUnavailable` where there is none, or none that is new enough."""
        if isinstance(self.policy, DependencyFailure):
            raise PolicyUnavailable(self.policy)
        # The switch is no more patient, and asked first; this does not lean on it.
        if self.switch.age > POLICY_FOR_SECONDS:
            raise PolicyUnavailable(self.switch.failure)
        return self.policy


class EnvironmentState:
    """The disable flag and the policy of one environment, kept fresh."""

    def __init__(
        self,
        parameters: ParameterStore,
        *,
        flag_name: str,
        policy_name: str,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        def load(budget: Budget) -> _Found:
            texts = parameters.read([flag_name, policy_name], budget)
            return _Found(_flag(texts[flag_name]), _policy(texts[policy_name]))

        self._found = Refreshed(load, fresh_for=FRESH_SECONDS, keep_for=math.inf, clock=clock, random=random)

    def read(self, budget: Budget) -> State:
        """The state, refreshed if it is not fresh. Raises `SwitchUnavailable` or `DeadlineExceeded`."""
        return self._state(self._found.read, budget)

    def minting(self, platforms: Iterable[str], budget: Budget) -> str:
        """`on`, `off`, `partly-off` or `unknown`, over the platforms given. Reads at most once per fresh bound."""
        try:
            switch = self._state(self._found.glance, budget).switch
        except Fault:
            return "unknown"
        minting = switch.flag.minting(platforms)
        return "unknown" if switch.too_old_for_on and minting != "off" else minting

    @staticmethod
    def _state(read: Callable[[Budget], Reading[_Found]], budget: Budget) -> State:
        try:
            reading = read(budget)
        except DependencyFailure as failure:
            raise SwitchUnavailable(failure) from None
        return State(SwitchState(reading.value.flag, reading.age, reading.failure), reading.value.policy)


def _flag(text: str | None) -> DisableFlag:
    if text is None:
        raise DependencyFailure("ssm", "not-found", transient=False)
    try:
        return DisableFlag.parse(text)
    except ValueError:
        raise DependencyFailure("ssm", "not-a-flag", transient=False) from None


def _policy(text: str | None) -> Policy | DependencyFailure:
    if text is None:
        return DependencyFailure("ssm", "no-policy", transient=False)
    try:
        return Policy.parse(text)
    except PolicyProblems as error:
        problems = tuple(f"{where}: {why}" for where, why in error.problems)
        return DependencyFailure("ssm", "not-a-policy", transient=False, problems=problems)
