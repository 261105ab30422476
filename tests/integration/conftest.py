"""The real handler's API over moto's server; every test has its own environment."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.aws.moto_proxy import Aws, aws_double
from support.commands import Account, Interleaved
from support.stack import Deploy, Deployed


@pytest.fixture(scope="session")
def aws_for_all() -> Iterator[Aws]:
    """AWS for the whole run. `aws` prepares it for one test."""
    with aws_double() as aws:
        yield aws


@pytest.fixture
def aws(aws_for_all: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """AWS without failures and recorded calls; the SDK's variables point to it and nowhere else."""
    aws_for_all.lead_here(monkeypatch)
    aws_for_all.forget()
    return aws_for_all


@pytest.fixture
def deploy(aws: Aws) -> Deploy:
    """Create stacks, each in its own environment."""
    return functools.partial(Deployed.on, aws)


@pytest.fixture
def account(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """AWS with all its services, for the commands, whose local files are in a temporary directory."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.moto_url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Account(aws, monkeypatch)


@pytest.fixture
def interleaved(monkeypatch: pytest.MonkeyPatch) -> Interleaved:
    """Another operator, who acts during a command."""
    return Interleaved(monkeypatch)
