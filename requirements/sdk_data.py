#!/usr/bin/env python
"""Writes functions/roomkey/sdk_data: what the function uses of botocore's descriptions of services and endpoints.

botocore reads the whole of them to make a client: 1 MB for SSM alone, 1.2 MB of endpoints. From what is installed here
this takes the operations that are called, the shapes that these need, and each partition's endpoints of the two
services. tests/unit/test_sdk_data.py tells when it is time to run it again.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

OPERATIONS = {"secretsmanager": "GetSecretValue", "ssm": "GetParameters"}
TARGET = Path(__file__).parents[1] / "functions/roomkey/sdk_data"


def files() -> Iterator[tuple[str, str]]:
    """Each file's path in `TARGET`, and its text."""
    loader = Loader()
    endpoints = loader.load_data("endpoints")
    for partition in endpoints["partitions"]:
        partition["services"] = {name: of for name, of in partition["services"].items() if name in OPERATIONS}
    yield "endpoints.json", _text(endpoints)
    for service, operation in OPERATIONS.items():
        version = loader.determine_latest_version(service, "service-2")
        yield (
            f"{service}/{version}/service-2.json",
            _text(_model(loader.load_service_model(service, "service-2"), operation)),
        )


def _model(model: Mapping[str, Any], operation: str) -> Any:
    """As much of a service's model as `operation` needs."""
    described = model["operations"][operation]
    names: set[str] = set()
    new = set(_shapes(described))
    while new:
        names |= new
        new = {name for known in new for name in _shapes(model["shapes"][known])} - names
    return _undocumented(
        {
            "version": model["version"],
            "metadata": model["metadata"],
            "operations": {operation: described},
            "shapes": {name: shape for name, shape in model["shapes"].items() if name in names},
        }
    )


def _shapes(part: Any) -> Iterator[str]:
    """The names of the shapes that `part` of a model refers to."""
    if isinstance(part, dict):
        if isinstance(name := part.get("shape"), str):
            yield name
        for value in part.values():
            yield from _shapes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _shapes(value)


def _undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _undocumented(value) for name, value in part.items() if name != "documentation"}
    return [_undocumented(value) for value in part] if isinstance(part, list) else part


def _text(document: Any) -> str:
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    shutil.rmtree(TARGET, ignore_errors=True)
    for name, text in files():
        (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
        (TARGET / name).write_text(text)
