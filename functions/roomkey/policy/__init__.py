"""The policy, which decides who gets which token: a JSON document in SSM, compiled each time it is read."""

from roomkey.policy.parser import InvalidPolicy, parse_policy
from roomkey.policy.pattern import Pattern, PatternSet
from roomkey.policy.rules import Decision, Mode, Policy, Rule, Subject

__all__ = [
    "Decision",
    "InvalidPolicy",
    "Mode",
    "Pattern",
    "PatternSet",
    "Policy",
    "Rule",
    "Subject",
    "parse_policy",
]
