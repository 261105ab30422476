"""For all tests: an audit line that the function writes, in whichever of them, is one that the schema allows."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

import pytest

pytest.register_assert_rewrite("support")
pytest_plugins = ["support.threats"]

import support.old_names  # noqa: E402, F401
from roomkey.audit import AuditTrail  # noqa: E402
from support.audit_lines import checked  # noqa: E402


class _Overheard:
    """A stream that passes on what is written to it, and keeps it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.text = ""

    def write(self, text: str) -> None:
        self._stream.write(text)
        self.text += text

    def flush(self) -> None:
        self._stream.flush()


@pytest.fixture(scope="session")
def wrong_audit_lines() -> Iterator[list[str]]:
    """Audit lines that are none, each with the reason. Raised where they are written, it would become an answer."""
    wrong: list[str] = []
    write = AuditTrail.write

    def overheard(trail: AuditTrail, *arguments: Any, **named: Any) -> None:
        stream: Any = _Overheard(trail.stream or sys.stdout)
        write(replace(trail, stream=stream), *arguments, **named)
        try:
            assert stream.text.endswith("\n")
            checked(stream.text)
        except Exception as error:
            wrong.append(f"{error}\n{stream.text}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditTrail, "write", overheard)
        yield wrong


@pytest.fixture(autouse=True)
def _audit_lines_keep_to_their_schema(wrong_audit_lines: list[str]) -> Iterator[None]:
    yield
    found = wrong_audit_lines[:]
    wrong_audit_lines.clear()
    assert found == []
