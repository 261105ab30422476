"""The project's table of threats, the tests that prove its rows, and the page that shows both.

    python tests/threats.py

writes docs/threats.md. A test names the rows that it proves by `@pytest.mark.threat("A1", "A4")`.
"""

import ast
import itertools
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS / "threats.toml"
PAGE = TESTS.parent / "docs" / "threats.md"

INTRODUCTION = """\
# Threats

<!-- Written by `make threats` from tests/threats.toml and the tests. -->

What can happen to Roomkey, what must be true all the same, and the tests that prove it. What comes of it for whoever
deploys it is in [security.md](security.md).
"""


@dataclass(frozen=True)
class Threat:
    """A row: what can happen, what must be true all the same, and why it does not apply, if it does not."""

    id: str
    threat: str
    must: str
    not_here: str | None = None


@dataclass(frozen=True)
class Section:
    """Rows that belong together; their ids begin with the same letter."""

    letter: str
    title: str
    about: str
    threats: tuple[Threat, ...]


@dataclass(frozen=True, order=True)
class Test:
    """A test function, by its file under tests/ and its name, with that of its class before it."""

    file: str
    name: str


def sections() -> list[Section]:
    """The table.

    Raises TypeError for a row with a field too many or too few.
    """
    table = tomllib.loads(TABLE.read_text())
    return [
        Section(letter, rows.pop("title"), rows.pop("about"), tuple(Threat(id_, **row) for id_, row in rows.items()))
        for letter, rows in table.items()
    ]


def proofs() -> dict[str, list[Test]]:
    """The tests by the ids that they name, known or not."""
    found: dict[str, list[Test]] = defaultdict(list)
    for path in sorted(TESTS.glob("*/test_*.py")):
        for name, function in _tests(ast.parse(path.read_text())):
            for id_ in _named(function):
                found[id_].append(Test(path.relative_to(TESTS).as_posix(), name))
    return found


def _tests(module: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name.startswith("test_"):
                    yield f"{node.name}::{method.name}", method


def _named(function: ast.FunctionDef) -> list[str]:
    """What a function's markers name: pytest takes nothing but the decorators themselves into account here."""
    return [
        ast.literal_eval(argument)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.threat"
        for argument in decorator.args
    ]


def page() -> str:
    """The page, in Markdown."""
    table, tests = sections(), proofs()
    parts = [INTRODUCTION, "\n".join(f"- [{one.title}](#{_anchor(one.title)})" for one in table)]
    for section in table:
        parts.append(f"## {section.title}\n\n{section.about}")
        parts += [_entry(threat, tests.get(threat.id, [])) for threat in section.threats]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _entry(threat: Threat, tests: list[Test]) -> str:
    lines = [f"### {threat.id}", "", threat.threat, "", f"**Required:** {threat.must}", ""]
    if threat.not_here:
        return "\n".join([*lines, f"**Does not apply:** {threat.not_here}"])
    for file, group in itertools.groupby(sorted(tests), key=lambda test: test.file):
        lines += [f"- [{file}::{test.name}](../tests/{file})" for test in group]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
