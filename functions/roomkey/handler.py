"""Lambda's entry point."""

import gc

gc.disable()  # Objects created during init live forever; collecting them only slows the cold start.

import functools
import os
from typing import Any

from roomkey.api import Api
from roomkey.dependencies import Dependencies

_IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ


@functools.cache
def _api() -> Api:
    return Api(Dependencies.build(os.environ, warm_up=_IN_LAMBDA))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer an event of an HTTP API (payload format 2.0)."""
    return _api().answer(event, context)


if _IN_LAMBDA:
    # Invalid settings fail during init, and under SnapStart during the deployment.
    _api()

gc.freeze()  # Exclude init-time objects from later collections.
gc.enable()
