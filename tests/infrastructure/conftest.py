"""A stack for every way that a team can deploy."""

import pytest

from infrastructure.template import ACCESS, Stack, stack

ORIGINS = {"no-origins": "", "origins": "https://app.example,http://localhost:5173"}


@pytest.fixture(params=ACCESS)
def access(request: pytest.FixtureRequest) -> str:
    """One of the ways to let callers in."""
    return str(request.param)


@pytest.fixture(params=ORIGINS)
def origins(request: pytest.FixtureRequest) -> str:
    """With CORS, and without."""
    return ORIGINS[request.param]


@pytest.fixture
def deployed(access: str, origins: str) -> Stack:
    """The stack of this access and these origins."""
    return stack(**ACCESS[access], AllowedOrigins=origins)
