"""What is drawn by chance for a token: all of it, in the right form, from the operating system alone."""

import secrets
from uuid import RFC_4122, UUID

import pytest

from roomkey.platforms.base import Randomness, random_uuid

EVERY_BIT = (1 << 128) - 1
FIXED_BITS = 0xF << 76 | 0b11 << 62
"""The four of the version and the two of the variant."""


def test_a_uuid_is_one_of_version_4_as_the_standard_library_writes_it() -> None:
    for _ in range(1000):
        drawn = random_uuid()
        read = UUID(drawn)
        assert (str(read), read.version, read.variant) == (drawn, 4, RFC_4122)


def test_every_bit_of_a_uuid_that_may_is_drawn() -> None:
    drawn = [UUID(random_uuid()).int for _ in range(200)]

    ones, zeros = 0, 0
    for number in drawn:
        ones, zeros = ones | number, zeros | ~number
    assert ones & zeros & EVERY_BIT == EVERY_BIT ^ FIXED_BITS
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_a_uuid_is_what_the_operating_system_drew(monkeypatch: pytest.MonkeyPatch, byte: int) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: bytes([byte] * size))

    assert random_uuid() == str(UUID(bytes=bytes([byte] * 16), version=4))


def test_a_salt_is_from_one_to_what_agora_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = Randomness().salt
    monkeypatch.setattr(secrets, "randbelow", lambda bound: 0)
    assert salt() == 1
    monkeypatch.setattr(secrets, "randbelow", lambda bound: bound - 1)
    assert salt() == 99_999_999
