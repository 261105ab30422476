"""An environment's name, and the names of its resources in AWS."""

import os
import re
from dataclasses import dataclass

from roomkey.settings import Settings, SettingsError

INVITES = "invites"
"""The last part of the name of the secret with the keys of invites."""

LOCAL = "local"
"""The name of the local stack's environment."""

ALIAS = "live"
"""The function's alias, which the API invokes."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The names of one environment's resources. The function's own settings derive the parameters' and secrets'."""

    name: str
    settings: Settings

    @classmethod
    def from_name(cls, name: str) -> "Environment":
        """Return the environment called `name`. Raises `ValueError` if the name is invalid."""
        try:
            return cls(name, Settings.from_environment({"ENVIRONMENT": name}))
        except SettingsError:
            raise ValueError(
                "is not a valid environment name: use a lower-case letter, then at most 15 lower-case letters, digits "
                "or hyphens"
            ) from None

    def __str__(self) -> str:
        return self.name

    @property
    def kill_switch_name(self) -> str:
        return self.settings.kill_switch_name

    @property
    def policy_name(self) -> str:
        return self.settings.policy_name

    @property
    def block_list_name(self) -> str:
        return self.settings.block_list_name

    @property
    def parameter_names(self) -> list[str]:
        """Return the names of kill switch, policy and block list, in this order."""
        return [self.kill_switch_name, self.policy_name, self.block_list_name]

    def secret_name(self, platform: str) -> str:
        return self.settings.secret_name(platform)

    @property
    def stack_name(self) -> str:
        return f"roomkey-{self.name}"

    @property
    def function_name(self) -> str:
        return f"roomkey-{self.name}"

    @property
    def layer_name(self) -> str:
        return f"roomkey-{self.name}-dependencies"

    @property
    def log_groups(self) -> tuple[str, ...]:
        """Return the function's log group, which has the audit lines, and API Gateway's access log."""
        return f"/aws/lambda/{self.function_name}", f"/aws/vendedlogs/{self.function_name}"

    @property
    def is_local_stack(self) -> bool:
        """Check whether these are the names of the local stack, and AWS calls go to an endpoint such as its."""
        return self.name == LOCAL and bool(os.environ.get("AWS_ENDPOINT_URL"))

    @property
    def is_prod(self) -> bool:
        """Check whether the name means production: `prod`, `production`, `prod-eu`, `eu-prod` and so on."""
        return re.search(r"(?:^|-)prod", self.name) is not None
