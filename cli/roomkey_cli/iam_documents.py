"""The packaged IAM policy documents, filled in for one environment."""

import json
import re
from collections.abc import Mapping
from typing import Any

from roomkey_cli.data import IAM_DOCUMENTS

ROLES = tuple(sorted(file.stem for file in IAM_DOCUMENTS.glob("*.json")))

_TEMPLATE_NAME = "prod"
"""The environment that the packaged documents name."""


def filled(
    role: str, environment: str, *, account: str, region: str, partition: str = "aws", api: str = "", key_arn: str = ""
) -> dict[str, Any]:
    """Return the document of `role`. `api` is the API's id; `key_arn` the KMS key of the secrets, empty without one.

    A statement about a KMS key is left out without `key_arn`. Without `api`, the document covers every API.
    """
    document = json.loads((IAM_DOCUMENTS / f"{role}.json").read_text(encoding="utf-8"))
    values = {"REGION": region, "ACCOUNT": account, "API": api or "*"}
    document["Statement"] = [
        _filled(statement, values, environment, partition, key_arn)
        for statement in document["Statement"]
        if key_arn or "/KEY" not in json.dumps(statement)
    ]
    return dict(document)


def _filled(value: Any, values: Mapping[str, str], environment: str, partition: str, key_arn: str) -> Any:
    if isinstance(value, list):
        return [_filled(item, values, environment, partition, key_arn) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, values, environment, partition, key_arn) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    if value.endswith(":key/KEY"):
        return key_arn
    text = re.sub(r"\b(REGION|ACCOUNT|API)\b", lambda found: values[found[1]], value)
    text = re.sub(rf"(?<=roomkey[/-]){_TEMPLATE_NAME}(?![a-z0-9])", environment, text)
    return re.sub(r"^arn:aws:", f"arn:{partition}:", text)
