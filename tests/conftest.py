"""For all tests: an audit line that the function writes, in whichever of them, is one that the schema allows."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("support")
pytest_plugins = ["support.threats"]

import support.old_names  # noqa: E402, F401
from roomkey.audit import AuditTrail  # noqa: E402
from support.audit_lines import checked  # noqa: E402


@pytest.fixture(scope="session")
def wrong_audit_lines() -> Iterator[list[str]]:
    """Invalid audit lines with the reason. An exception at the place of writing would become a response."""
    wrong: list[str] = []
    line = AuditTrail.line

    def checked_line(trail: AuditTrail, *arguments: Any) -> str:
        text = line(trail, *arguments)
        try:
            checked(text)
        except Exception as error:
            wrong.append(f"{error}\n{text}")
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditTrail, "line", checked_line)
        yield wrong


@pytest.fixture(autouse=True)
def _audit_lines_keep_to_their_schema(wrong_audit_lines: list[str]) -> Iterator[None]:
    yield
    found = wrong_audit_lines[:]
    wrong_audit_lines.clear()
    assert found == []
