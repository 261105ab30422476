"""Every row of the table of threats is proved or given a reason, and docs/threats.md says so."""

import re

import pytest

import threats

ROWS = {threat.id: threat for section in threats.sections() for threat in section.threats}
PROOFS = threats.proofs()


def test_the_table_is_in_order() -> None:
    assert [one.letter for one in threats.sections()] == list("IABCDEFGHJ")
    for section in threats.sections():
        assert [row.id for row in section.threats] == [f"{section.letter}{n + 1}" for n in range(len(section.threats))]
        for row in section.threats:
            for text in (row.threat, row.must, row.not_here or "."):
                assert text.endswith((".", ".)")), row.id


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_a_test_or_a_reason_and_not_both(row: str) -> None:
    assert bool(PROOFS.get(row)) is not bool(ROWS[row].not_here)


def test_no_test_names_a_row_that_there_is_not() -> None:
    assert {id_: tests for id_, tests in PROOFS.items() if id_ not in ROWS} == {}


def test_a_test_that_is_called_after_rows_proves_them() -> None:
    """`test_b3_b10_no_chance_finds…`: whoever looks for a row by name finds all that the page has."""
    for test in {test for tests in PROOFS.values() for test in tests}:
        name = test.name.rpartition("::")[2]
        called = re.match(r"test_((?:[a-j]\d+_)*)", name)
        assert called
        for id_ in called[1].upper().split("_")[:-1]:
            assert test in PROOFS[id_], f"{test.name} is not marked with {id_}"


def test_every_marker_is_read() -> None:
    """One in another place than on a test function would count for nothing."""
    marker = re.compile(r"^ *@?pytest\.mark\.threat\(|= *pytest\.mark\.threat\(", flags=re.MULTILINE)
    written = sum(len(marker.findall(path.read_text())) for path in threats.TESTS.rglob("*.py"))
    assert written == len({test for tests in PROOFS.values() for test in tests})
