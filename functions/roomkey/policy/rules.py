"""A compiled policy and its decisions.

Rules only grant: a request that no rule grants is refused. A rule grants a request if all its checks pass.
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from roomkey.identity import Caller
from roomkey.policy.pattern import Pattern, PatternSet
from roomkey.token_requests import TokenRequest


class Mode(StrEnum):
    """In `enforce` a refusal by the rules refuses the request. In `audit` it is only recorded."""

    ENFORCE = "enforce"
    AUDIT = "audit"


class Subject(NamedTuple):
    """One entry of a rule's `who`: a word, or a `user`, `group` or `principal` with its pattern.

    Guests with an invite match `invite` and nothing else: without a rule for them no invite works.
    """

    kind: str
    pattern: Pattern

    def matches(self, caller: Caller) -> bool:
        """Return whether `caller` matches. A group is compared literally, the others by pattern."""
        if caller.invite_id is not None:
            return self.kind == "invite"
        match self.kind:
            case "invite":
                return False
            case "anyone":
                return True
            case "signed-in":
                return caller.user_id is not None or caller.principal is not None
            case "group":
                return self.pattern.text in caller.groups
            case "user":
                return caller.user_id is not None and self.pattern.matches(caller.user_id, caller)
            case _:
                return caller.principal is not None and self.pattern.matches(caller.principal, caller)


class Rule(NamedTuple):
    """One grant, to every caller that matches one of its subjects."""

    name: str
    who: tuple[Subject, ...]
    kinds: frozenset[str]
    platforms: frozenset[str]
    roles: PatternSet
    services: frozenset[str]
    rooms: PatternSet
    max_lifetime: int | None
    may_set: frozenset[str] = frozenset()
    agents: PatternSet = PatternSet(())

    def checks(self, request: TokenRequest, caller: Caller) -> Iterator[tuple[str, bool]]:
        """Yield each member of the rule, and whether it covers `request`. A part that the request lacks is covered."""
        yield "kinds", request.policy_kind in self.kinds
        yield "platforms", request.platform.name in self.platforms
        yield "services", self.services.issuperset(request.services)
        yield "who", any(subject.matches(caller) for subject in self.who)
        yield "roles", request.role is None or self.roles.match(request.role, caller)
        yield "rooms", self._covers_room(request, caller)
        yield "may_set", self.may_set.issuperset(request.restricted_values)
        yield "agents", request.agent is None or self.agents.match(request.agent.name, caller)

    def _covers_room(self, request: TokenRequest, caller: Caller) -> bool:
        if request.room_id is not None:
            return self.rooms.match(request.room_id, caller)
        # Every room is granted only by the pattern `*`.
        return not request.opens_every_room or any(pattern.text == "*" for pattern in self.rooms)

    def grants(self, request: TokenRequest, caller: Caller) -> bool:
        """Return whether the rule grants `request`. The lifetime is not checked."""
        return all(covers for _, covers in self.checks(request, caller))


class Decision(NamedTuple):
    """The rules' decision: the rule that decided, if any, and the longest lifetime in seconds that it grants.

    `forbidden_values` are values of the request without which a rule would grant it. In audit mode the token is minted
    even if `allowed` is false.
    """

    allowed: bool
    rule: str | None = None
    max_lifetime: int | None = None
    forbidden_values: tuple[str, ...] = ()


class Policy(NamedTuple):
    """A compiled policy."""

    mode: Mode
    rules: tuple[Rule, ...]

    def decide(self, request: TokenRequest, caller: Caller) -> Decision:
        """Decide `request`. If several rules grant it, the one with the longest `max_lifetime` decides."""
        granting = [rule for rule in self.rules if rule.grants(request, caller)]
        if not granting:
            return Decision(allowed=False, forbidden_values=self._forbidden_values(request, caller))
        rule = max(granting, key=lambda rule: rule.max_lifetime or math.inf)
        return Decision((request.expires_in or 0) <= (rule.max_lifetime or math.inf), rule.name, rule.max_lifetime)

    def _forbidden_values(self, request: TokenRequest, caller: Caller) -> tuple[str, ...]:
        """Return the values whose `may_set` alone keeps a rule from granting `request`."""
        for rule in self.rules:
            if all(covers or name == "may_set" for name, covers in rule.checks(request, caller)):
                return tuple(value for value in request.restricted_values if value not in rule.may_set)
        return ()
