"""Lambda's entry: builds the API once, answers one event at a time."""

import gc

gc.disable()  # What a start makes, stays. Looking for garbage in it takes time, and finds none.

import functools
import os
from typing import Any

from roomkey.api import Api
from roomkey.dependencies import Dependencies

_IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ


@functools.cache
def _api() -> Api:
    return Api(Dependencies.build(os.environ, ahead=_IN_LAMBDA))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answers an event of API Gateway's HTTP API, payload format 2.0, with a response of that format."""
    return _api().answer(event, context)


if _IN_LAMBDA:
    # Ahead of the first request: under SnapStart nobody waits for this. Settings that make no sense fail here, in
    # plain words, and under SnapStart stop the deployment.
    _api()

gc.freeze()  # Nor will anybody look through it later, while a caller waits.
gc.enable()
