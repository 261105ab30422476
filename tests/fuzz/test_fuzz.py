"""The fuzzer's targets accept their seeds and every input that ever failed. `make fuzz` searches for more."""

import pytest

from fuzz import run
from fuzz.targets import TARGETS


def test_the_command_knows_every_target() -> None:
    assert tuple(TARGETS) == run.NAMES


@pytest.mark.threat("I1", "I2", "I7", "B5", "C5", "C6", "C7", "C11", "D2", "D3", "D4", "D5", "D7", "D8", "D14")
@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_past_findings_pass(target: str) -> None:
    seeds = list(TARGETS[target].seeds())
    assert len(seeds) > 10
    for data in (*seeds, *(path.read_bytes() for path in sorted((run.FOUND / target).glob("*")))):
        TARGETS[target].one(data)
