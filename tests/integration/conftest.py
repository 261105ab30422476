"""The real handler's API over moto's server; every test has an environment of its own."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.aws.moto_proxy import Aws, aws_double
from support.commands import Account, Interleaved
from support.stack import Deploy, Deployed


@pytest.fixture(scope="session")
def aws_for_all() -> Iterator[Aws]:
    """AWS, as long as there are tests. `aws` is it as one test wants it."""
    with aws_double() as aws:
        yield aws


@pytest.fixture
def aws(aws_for_all: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """AWS without a failure and with no calls yet; the SDK's own variables lead to it and nowhere else."""
    aws_for_all.lead_here(monkeypatch)
    aws_for_all.forget()
    return aws_for_all


@pytest.fixture
def deploy(aws: Aws) -> Deploy:
    """Makes stacks, each in an environment of its own."""
    return functools.partial(Deployed.on, aws)


@pytest.fixture
def account(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """AWS as the commands reach it, all its services; what they write down is written down elsewhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.moto_url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Account(aws, monkeypatch)


@pytest.fixture
def interleaved(monkeypatch: pytest.MonkeyPatch) -> Interleaved:
    """Another operator, who acts in the middle of a command."""
    return Interleaved(monkeypatch)
