"""An environment as operators know it: what its things are called in AWS."""

import re
from dataclasses import dataclass

from roomkey.settings import Settings, SettingsError

ALIAS = "live"
"""The function's alias, which the API calls."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The names of one environment. State is named by the function's own settings, the rest as in template.yaml."""

    name: str
    settings: Settings

    @classmethod
    def from_name(cls, name: str) -> "Environment":
        """The environment called `name`. Raises `ValueError` where none can be called so."""
        try:
            return cls(name, Settings.from_environment({"ENVIRONMENT": name}))
        except SettingsError:
            raise ValueError(
                "is no environment's name: a lower-case letter, then at most 15 lower-case letters, digits or hyphens"
            ) from None

    def __str__(self) -> str:
        return self.name

    @property
    def kill_switch_name(self) -> str:
        return self.settings.kill_switch_name

    @property
    def policy_name(self) -> str:
        return self.settings.policy_name

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
        """The function's, with the audit lines, and API Gateway's access log."""
        return f"/aws/lambda/{self.function_name}", f"/aws/vendedlogs/{self.function_name}"

    @property
    def is_prod(self) -> bool:
        """Whether people depend on it, by its name: `prod`, `production`, `prod-eu`, `eu-prod` ..."""
        return re.search(r"(?:^|-)prod", self.name) is not None
