"""Pytest plugin: fail a full run if a row of tests/threats.toml has no test that proves it.

A test names its rows with `@pytest.mark.threat("A1", "B3")`. A row that does not apply has a reason, `not_here`.
`--threats` prints every row with its tests.
"""

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

TABLE = Path(__file__).parents[1] / "threats.toml"
MAKE_TEST = "not docker and not emulated"
"""The tests that `make test` selects. They prove every row."""


class ThreatTable:
    """The rows, and the outcome of each test that names one."""

    def __init__(self, config: pytest.Config) -> None:
        self.rows: dict[str, dict[str, str]] = {
            name: row
            for section in tomllib.loads(TABLE.read_text()).values()
            for name, row in section.items()
            if isinstance(row, dict)
        }
        self.outcomes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._print_all = config.getoption("--threats")
        # Another selection of tests cannot prove every row.
        self._full_run = (
            config.args_source is pytest.Config.ArgsSource.TESTPATHS
            and config.getoption("markexpr") in ("", MAKE_TEST)
            and not any(config.getoption(option) for option in ("keyword", "deselect", "lf", "maxfail", "collectonly"))
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome. With xdist, reports arrive here from all workers."""
        if report.when == "call" or report.outcome != "passed":
            for name, row in report.user_properties:
                if name == "threat":
                    self.outcomes[str(row)][report.nodeid] = report.outcome

    def errors(self) -> list[str]:
        """Describe the rows without a test, and the tests that name a row wrongly."""
        messages = [
            f"{row}: unknown row, named by {next(iter(self.outcomes[row]))}" for row in self.outcomes - self.rows.keys()
        ]
        for row, texts in self.rows.items():
            if "not_here" in texts and row in self.outcomes:
                messages.append(f"{row}: has both a test and a reason why it does not apply")
            if "not_here" not in texts and row not in self.outcomes and self._full_run:
                messages.append(f"{row}: no test proves it: {texts['must']}")
        return messages

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.errors() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for row, texts in self.rows.items() if self._print_all else ():
            terminalreporter.write_line(f"\n{row}  {texts['threat']}\n    Required: {texts['must']}")
            for test, outcome in sorted(self.outcomes.get(row, {}).items()):
                terminalreporter.write_line(f"    {outcome}: {test}")
        if messages := self.errors():
            terminalreporter.section("threats", red=True)
            for message in messages:
                terminalreporter.write_line(message)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threats", action="store_true", help="print the table of threats with the tests that prove it")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # A worker of xdist does not see the other workers' tests.
        config.pluginmanager.register(ThreatTable(config), "threat-table")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        rows: list[Any] = [row for marker in item.iter_markers("threat") for row in marker.args]
        item.user_properties.extend(("threat", row) for row in rows)
