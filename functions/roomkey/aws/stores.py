"""The two stores that the function reads: parameters in SSM and secrets in Secrets Manager."""

from collections.abc import Mapping, Sequence
from typing import Any

from roomkey.aws.client import AwsClient
from roomkey.clock import Budget


class ParameterStore:
    """Plain-text parameters of SSM."""

    __slots__ = ("_client",)

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    def read(self, names: Sequence[str], budget: Budget) -> Mapping[str, str | None]:
        """Return the value of each name, None for a parameter that does not exist. Make one call.

        Raises `DependencyFailure`.
        """

        def parse(document: Any) -> Mapping[str, str | None] | None:
            values = [(parameter["Name"], parameter["Value"]) for parameter in document["Parameters"]]
            missing = [(name, None) for name in document.get("InvalidParameters", [])]
            # A valid answer has every name exactly once, and text for values.
            if sorted(name for name, _ in values + missing) != sorted(names):
                return None
            return dict(values + missing) if all(isinstance(value, str) for _, value in values) else None

        return self._client.call("ssm", "AmazonSSM.GetParameters", {"Names": list(names)}, parse, budget)


class Secret:
    """The text of a secret and the id of its version. `repr` hides the text."""

    __slots__ = ("text", "version_id")

    def __init__(self, text: str, version_id: str) -> None:
        self.text = text
        self.version_id = version_id


class SecretStore:
    """Secrets of Secrets Manager, in the version labelled AWSCURRENT."""

    __slots__ = ("_client",)

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    def read(self, name: str, budget: Budget) -> Secret:
        """Return the secret called `name`. Raises `DependencyFailure`."""

        def parse(document: Any) -> Secret | None:
            if document["Name"] != name or "AWSCURRENT" not in document["VersionStages"]:
                return None
            # A binary secret has no text. An empty one fails every platform's check.
            text, version_id = document.get("SecretString", ""), document["VersionId"]
            return Secret(text, version_id) if isinstance(text, str) and isinstance(version_id, str) else None

        return self._client.call("secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": name}, parse, budget)
