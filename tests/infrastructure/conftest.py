"""Stacks with every access mode, with and without CORS."""

import pytest

from infrastructure.template import ACCESS, Stack, stack

ORIGINS = {"no-origins": "", "origins": "https://app.example,http://localhost:5173"}


@pytest.fixture(params=ACCESS)
def access(request: pytest.FixtureRequest) -> str:
    """Return an access mode."""
    return str(request.param)


@pytest.fixture(params=ORIGINS)
def origins(request: pytest.FixtureRequest) -> str:
    """Return origins for CORS, or none."""
    return ORIGINS[request.param]


@pytest.fixture
def deployed(access: str, origins: str) -> Stack:
    """Return the stack with this access mode and these origins."""
    return stack(**ACCESS[access], AllowedOrigins=origins)
