"""An environment's secrets in Secrets Manager, for those who write them."""

from dataclasses import dataclass, field
from datetime import datetime

from roomkey_cli.aws.client import Aws
from roomkey_cli.environment import Environment


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """What is known of a secret without reading it. `deleted` is when it goes for good, if somebody deleted it."""

    name: str
    arn: str
    version_id: str | None
    changed: datetime | None
    used: datetime | None
    deleted: datetime | None
    kms_key: str | None


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret's current version."""

    text: str = field(repr=False)
    version_id: str


def find(aws: Aws, environment: Environment, platform: str) -> SecretMetadata | None:
    """The platform's secret, None where there is none. Raises `AwsError`."""
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
    """The current version, None where there is none. A binary one reads as an empty text. Raises `AwsError`."""
    found = aws.find("secretsmanager", "get_secret_value", SecretId=environment.secret_name(platform))
    return None if found is None else SecretValue(found.get("SecretString", ""), found["VersionId"])
