"""docs/cli.md, held against the commands: each of them, each option, each field of the JSON."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.commands import DEMO, Account, roomkey
from integration.test_command_line import COMMANDS
from roomkey_cli import local_audit, terminal
from roomkey_cli.commands import doctor

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text()
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)

SHARED = ("--dry-run", "--yes", "--json", "--profile", "--region")
"""Options that one section tells of for all commands."""

every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def section(heading: str) -> str:
    """What stands under `heading`, up to the next one of its level."""
    level = heading.index(" ")
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"there is no {heading!r}"
    return found[1]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", CODE.sub("", text))


def json_fields(heading: str) -> list[str]:
    """The fields that the table headed JSON names first, each of which may name several."""
    [table] = re.findall(r"^\| JSON \| \|\n\|---\|---\|\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    return [name for row in table.splitlines() for name in code(row.split("|")[1])]


def test_the_commands_are_those_of_the_code() -> None:
    headings = re.findall(r"^## roomkey (.*)$", PAGE, re.MULTILINE)

    assert sorted(headings) == sorted(" ".join(path) for path in COMMANDS)


@every_command
def test_every_command_has_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    words = " ".join(("roomkey", *path))
    examples = [line for line in _shell(section(f"## {words}")) if words in line]

    assert examples
    for example in examples:
        options = set(re.findall(r"(?<= )--[a-z-]+", example.split(words)[1].split("|")[0]))
        assert options <= {name for one in COMMANDS[path].params for name in one.opts}, example


def _shell(text: str) -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()


@every_command
def test_every_option_is_told_and_no_other(path: tuple[str, ...]) -> None:
    known = {one.opts[0] for one in COMMANDS[path].params if one.param_type_name == "option"} - {"--help"}
    rows = re.findall(r"^\| (`--.*?) \| ", section(f"## roomkey {' '.join(path)}"), re.MULTILINE)

    assert {name for row in rows for name in code(row)} == known


def test_the_exit_statuses() -> None:
    rows = re.findall(r"^\| (\d) \| ", section("## What all of them share"), re.MULTILINE)

    constants = (terminal.REFUSED, terminal.USAGE, terminal.AWS_FAILED, terminal.SWITCHED_OFF)
    assert list(map(int, rows)) == [0, *constants]


@pytest.mark.parametrize("command", ["env status", "env show", "secret check", "doctor", "probe"])
def test_the_json_of_a_look(account: Account, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(doctor, "_output", lambda _: "SAM CLI")
    name = account.born()
    account.aws.put_secret(name, DEMO["100ms"])
    options = ["--url", "http://127.0.0.1:1", "--platform", "100ms"] if command == "probe" else []

    told = roomkey(*command.split(), name, "--json", *options).told

    text = section(f"## roomkey {command}")
    assert list(told) == json_fields(f"## roomkey {command}")
    for field, value in told.items():
        inner = value[0] if isinstance(value, list) else value
        if command == "env show" and field == "secrets":
            inner = value["100ms"]
        if isinstance(inner, dict):
            [row] = re.findall(rf"^\| [^|]*`{field}`[^|]* \| (.*)$", text, re.MULTILINE)
            assert [name for name in code(row) if name in inner] == list(inner), field


@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        ("env init NAME", ""),
        ("env disable NAME", ""),
        ("env stop NAME", ""),
        ("env destroy NAME", ""),
        ("secret put NAME 100ms", DEMO["100ms"]),
        (f"policy put NAME {DOCS / 'policies' / 'open.json'}", ""),
    ],
)
def test_the_json_of_a_change(account: Account, command: str, stdin: str) -> None:
    name = account.born()
    account.function(name)
    words = command.replace("NAME", name).split()

    told = roomkey(*words, "--dry-run", "--json", stdin=stdin).told

    shared = re.findall(r"^\| `(\w+)` \| ", section("## What all of them share"), re.MULTILINE)
    text = section(f"## roomkey {' '.join(command.split()[:2])}")
    added = re.search(r"The JSON adds (.*?)\.\n", text, re.DOTALL)
    assert list(told) == [*shared, *(code(added[1]) if added else [])]


def test_what_is_written_down_is_told() -> None:
    assert f"`{local_audit.LOG_TYPE}`" in section("## roomkey mint")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        page = (DOCS / file).read_text() if file else PAGE
        if anchor:
            headings = re.findall(r"^#+ (.*)$", CODE.sub("", page), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, target


def test_lines_are_not_too_long() -> None:
    prose = [line for line in CODE.sub("", PAGE).splitlines() if not line.startswith("|")]

    assert [line for line in prose if len(line) > 120] == []
