"""An environment's secrets in Secrets Manager."""

from dataclasses import dataclass, field
from datetime import datetime

from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import Environment


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """A secret without its value. `deleted` is the time of the final deletion, if one is scheduled."""

    name: str
    arn: str
    version_id: str | None
    changed: datetime | None
    used: datetime | None
    deleted: datetime | None
    kms_key: str | None


@dataclass(frozen=True, slots=True)
class SecretValue:
    """The current version of a secret."""

    text: str = field(repr=False)
    version_id: str


def find(aws: Aws, environment: Environment, platform: str) -> SecretMetadata | None:
    """Return the metadata of a platform's secret, or None. Raises `AwsError`."""
    found = aws.find("secretsmanager", "describe_secret", SecretId=environment.secret_name(platform))
    if found is None:
        return None
    stages: dict[str, list[str]] = found.get("VersionIdsToStages") or {}
    return SecretMetadata(
        name=found["Name"],
        arn=found["ARN"],
        version_id=next((version for version, names in stages.items() if "AWSCURRENT" in names), None),
        changed=found.get("LastChangedDate"),
        used=found.get("LastAccessedDate"),
        deleted=found.get("DeletedDate"),
        kms_key=found.get("KmsKeyId"),
    )


def read(aws: Aws, environment: Environment, platform: str) -> SecretValue | None:
    """Return the current version, or None. A binary secret reads as an empty text. Raises `AwsError`."""
    found = aws.find("secretsmanager", "get_secret_value", SecretId=environment.secret_name(platform))
    return None if found is None else SecretValue(found.get("SecretString", ""), found["VersionId"])
