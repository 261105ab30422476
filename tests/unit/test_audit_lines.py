"""The function's standard output in the local stack."""

import io
import json
from typing import Any

import pytest

from roomkey_cli.local.audit_lines import FunctionOutput


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError("no space left")


def audit(number: int) -> str:
    return json.dumps({"log_type": "audit", "request_id": f"r{number}"}) + "\n"


def test_a_line_that_cannot_be_written_is_not_kept() -> None:
    output = FunctionOutput(Full(), as_json=True)
    with pytest.raises(OSError, match="no space"):
        output.write(audit(1))
    assert output.audit_after(0) == []


@pytest.mark.parametrize("as_json", [True, False])
def test_the_last_audit_lines_are_kept_and_numbered(as_json: bool) -> None:
    stream = io.StringIO()
    output = FunctionOutput(stream, as_json=as_json)
    for number in range(1, 601):
        output.write(audit(number))

    assert len(stream.getvalue().splitlines()) == (600 if as_json else 0)
    assert len(output.audit_after(0)) == 500
    last: Any = output.audit_after(598)
    assert [(entry["number"], entry["line"]["request_id"]) for entry in last] == [(599, "r599"), (600, "r600")]
    assert output.audit_line("r600") == {"log_type": "audit", "request_id": "r600"}
    assert output.audit_line("r1") is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"_aws": {}, "TokenMinted": [1.0]}', ""),
        ('{"level": "INFO", "message": "started"}', ""),
        (
            '{"level": "ERROR", "message": "credentials-invalid", "reason": "no-secret", "timestamp": "now"}',
            'error: credentials-invalid reason="no-secret"',
        ),
        ("not JSON", "not JSON"),
        ("{not JSON", "{not JSON"),
    ],
)
def test_a_terminal_shows_warnings_and_errors_only(line: str, shown: str) -> None:
    readable, as_json = io.StringIO(), io.StringIO()
    FunctionOutput(readable, as_json=False).write(f"{line}\n")
    FunctionOutput(as_json, as_json=True).write(f"{line}\n")
    assert readable.getvalue().strip() == shown
    assert as_json.getvalue() == f"{line}\n"


def test_a_line_may_come_in_pieces() -> None:
    output = FunctionOutput(io.StringIO(), as_json=False)
    text = audit(1)
    for piece in (text[:10], text[10:], "\n" + audit(2)):
        output.write(piece)
    assert len(output.audit_after(0)) == 2
