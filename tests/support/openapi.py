"""docs/openapi.yaml as a validator of requests and replies."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from support.stack import Answer

# The loader in C: the document has 2000 lines, and each worker reads it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DOCUMENT: dict[str, Any] = yaml.load((Path(__file__).parents[2] / "docs/openapi.yaml").read_text(), _LOADER)  # noqa: S506


def resolved(node: Any) -> Any:
    """Return `node`, or what it refers to."""
    while isinstance(node, dict) and node.keys() == {"$ref"}:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Return a validator of `schema`, which may refer to the document's components."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def check_exchange(event: Any, answer: Answer, *, signed_in: bool) -> None:
    """Check a request below /v1 and its reply: the reply is documented, and the schema agrees that it is a request."""
    if event["rawPath"] not in DOCUMENT["paths"]:
        assert answer.status == 404
        return
    operation = DOCUMENT["paths"][event["rawPath"]]["post"]
    response = resolved(operation["responses"][str(answer.status)])
    validator(response["content"]["application/json"]["schema"]).validate(answer.body)
    schema = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
    if answer.status < 300:
        # Where the schema requires a user_id, a caller who is signed in can still omit it.
        default = {"user_id": "1"} if signed_in and "user_id" in schema["properties"] else {}
        validator(schema).validate({**default, **_body(event)})
    elif answer.code == "invalid-request" and not any("policy" in error["reason"] for error in answer.body["errors"]):
        assert not validator(schema).is_valid(_body(event))


def _body(event: Any) -> Any:
    body = event.get("body") or "{}"
    return json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
