"""A finding of `roomkey doctor`, and the environment that its checks read."""

from dataclasses import dataclass
from functools import cached_property

from roomkey.settings import Access
from roomkey.token_requests import INVITE
from roomkey_cli import config_file
from roomkey_cli.aws import parameters, stacks
from roomkey_cli.aws.client import Aws, AwsError
from roomkey_cli.environment import Environment
from roomkey_cli.policy import lint


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's result: `ok`, `warn` or `fail`, the message, and the fix."""

    check: str
    level: str
    message: str
    fix: str = ""


class Examination:
    """An environment, each part read once when a check first needs it.

    With `before_deploy`, the environment is the one that the next deploy of config/ENV.yaml creates.
    """

    def __init__(
        self, environment: Environment, aws: Aws, url: str | None = None, *, before_deploy: bool = False
    ) -> None:
        self.environment = environment
        self.aws = aws
        self.before_deploy = before_deploy
        self._url = url

    @cached_property
    def snapshot(self) -> parameters.EnvironmentSnapshot:
        return parameters.read(self.aws, self.environment)

    @cached_property
    def stack(self) -> stacks.Stack | None:
        return stacks.find_stack(self.aws, self.environment)

    @cached_property
    def function(self) -> stacks.Function | None:
        return stacks.find_function(self.aws, self.environment)

    @cached_property
    def config(self) -> dict[str, str] | None:
        """Return the stack parameters in config/ENV.yaml, None without a valid file."""
        try:
            return config_file.read(self.environment)
        except config_file.InvalidConfig:
            return None

    @property
    def url(self) -> str:
        return (self._url or (self.stack.url if self.stack else "")).rstrip("/")

    @property
    def access(self) -> Access | None:
        """Return the AppTokenAccess of the file in config/, else of the stack, None if neither is known."""
        try:
            if self.config is not None:
                return config_file.access(self.config)
            return config_file.access(self.stack.parameters) if self.stack else None
        except ValueError:
            return None

    @property
    def served(self) -> tuple[str, ...]:
        """Return the platforms of the deployed function or of the file in config/, empty if neither names any."""
        deployed = self.function.variables.get("PLATFORMS", "") if self.function else ""
        configured = (self.config or {}).get("Platforms", "")
        listed = (configured or deployed) if self.before_deploy else (deployed or configured)
        return tuple(listed.split(",")) if listed else ()

    @property
    def grants_invites(self) -> bool:
        """Return whether the policy grants invites, False if you may not read it."""
        try:
            found = self.snapshot.policy
        except AwsError:
            return False
        policy = lint.parse(found.text.encode()).policy if found else None
        return policy is not None and any(INVITE in rule.kinds for rule in policy.rules)
