"""Local stacks for the tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from e2e.stacks import LocalStack, started


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., LocalStack]]:
    """Starts local stacks that live as long as the test session."""
    with ExitStack() as stacks:
        yield lambda *arguments: stacks.enter_context(started(*arguments))


@pytest.fixture(scope="session")
def local_stack(start: Callable[..., LocalStack]) -> LocalStack:
    """A local stack as `make run` starts it."""
    return start()
