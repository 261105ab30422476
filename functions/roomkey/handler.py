"""Lambda's entry: builds the API once, answers one event at a time."""

import functools
import os
from typing import Any

from roomkey.api import Api
from roomkey.dependencies import Dependencies


@functools.cache
def _api() -> Api:
    return Api(Dependencies.build(os.environ))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answers an event of API Gateway's HTTP API, payload format 2.0, with a response of that format."""
    return _api().answer(event, context)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _api()  # Settings that make no sense fail here, in plain words, and under SnapStart stop the deployment.
