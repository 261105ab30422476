"""Local stacks and a browser for the tests of this folder."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from e2e.browsers import Visit, chromium, visit
from e2e.stacks import LocalStack, started


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., LocalStack]]:
    """Start local stacks that live as long as the test session; the same arguments give the same stack."""
    with ExitStack() as stacks:
        yield functools.cache(lambda *arguments: stacks.enter_context(started(*arguments)))


@pytest.fixture(scope="session")
def local_stack(start: Callable[..., LocalStack]) -> LocalStack:
    """A local stack as `make run` starts it."""
    return start()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser: Browser, stack: LocalStack) -> Iterator[Visit]:
    """The browser on the console of the module's own `stack`."""
    with visit(browser, stack.url) as window:
        yield window


@pytest.fixture
def console(window: Visit) -> Iterator[Visit]:
    """The console without drafts. Afterwards, it has no complaint and called no other host."""
    window.open()
    yield window
    assert window.complaints == []
    assert window.hosts <= {urlsplit(window.url).netloc, ""}
