"""Write the generated parts of the documentation and of template.yaml.

Run `make docs`; `--check` only compares and exits with 1 if a file is out of date. A generated part stands between
`<!-- NAME -->` and `<!-- /NAME -->`. The infrastructure tests run the comparison.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infrastructure.template import EVERYTHING, source, stack
from roomkey.platforms import PLATFORMS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def parameters() -> str:
    """Return the table of the template's parameters."""
    return _table(
        ("parameter", "default", "meaning"),
        (
            (f"`{name}`", f"`{declared['Default']}`" if declared["Default"] != "" else "empty", _meaning(declared))
            for name, declared in source()["Parameters"].items()
        ),
    )


def _meaning(declared: Mapping[str, Any]) -> str:
    description = str(declared["Description"])
    if "AllowedValues" in declared and len(declared["AllowedValues"]) < 10:
        return f"{description} One of {', '.join(f'`{value}`' for value in declared['AllowedValues'])}."
    if "MaxValue" in declared:
        return f"{description} {declared['MinValue']} to {declared['MaxValue']}."
    return description


def alarms() -> str:
    """Return the table of the alarms of a stack with every resource."""
    properties = [alarm["Properties"] for alarm in stack(**EVERYTHING).of_type("AWS::CloudWatch::Alarm").values()]
    rows = []
    for alarm in properties:
        condition, _, runbook = alarm["AlarmDescription"].partition(" Runbook: ")
        anchor = runbook.partition("#")[2]
        rows.append((f"`{alarm['AlarmName']}`", condition, f"[{anchor}](../runbooks.md#{anchor})"))
    return _table(("alarm", "fires when", "runbook"), rows)


def audit_fields() -> str:
    """Return the table of the audit line's fields, from its JSON Schema."""
    (path,) = [path for folder in ("docs", "cli") for path in (ROOT / folder).rglob("audit.schema.json")]
    schema = json.loads(path.read_text())
    return _table(("field", "meaning"), _fields(schema["properties"], ""))


def _fields(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in properties.items():
        yield f"`{prefix}{name}`", str(field.get("description", ""))
        yield from _fields(field.get("properties", {}), f"{prefix}{name}.")


def platforms_pattern() -> str:
    """Return the two lines of the parameter Platforms that name every platform."""
    names = list(PLATFORMS)
    one_of = f"({'|'.join(names)})"
    pattern = f"^(?!(.*,)?([^,]+),(.*,)?\\\\2(,|$)){one_of}(,{one_of}){{0,{len(names) - 1}}}$"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return "\n".join(
        [
            f'    AllowedPattern: "{pattern}"',
            f"    ConstraintDescription: any of {listed}, joined by commas, without spaces or repeats",
        ]
    )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]] | Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    REFERENCE / "parameters.md": {"parameters": parameters},
    REFERENCE / "alarms.md": {"alarms": alarms},
    REFERENCE / "audit-log.md": {"fields": audit_fields},
}
"""The generated parts of each page."""


def generated(path: Path) -> str:
    """Return the text of a page with its generated parts up to date."""
    text = path.read_text()
    for name, produce in PARTS[path].items():
        parts = re.split(rf"(<!-- /?{name} -->\n?)", text)
        if len(parts) != 5:
            raise ValueError(f"{path} needs one part {name}")
        parts[2] = f"{produce()}\n"
        text = "".join(parts)
    return text


def generated_template() -> str:
    """Return template.yaml with the platforms of the registry."""
    text, found = re.subn(
        r"(registry\..*\n)    AllowedPattern: (?:.|\n)*?    ConstraintDescription: .*\n",
        lambda match: f"{match[1]}{platforms_pattern()}\n",
        (ROOT / "template.yaml").read_text(),
    )
    if found != 1:
        raise ValueError("template.yaml needs one generated AllowedPattern")
    return text


def main(arguments: list[str]) -> int:
    """Write every generated part, or with `--check` report those that are out of date."""
    wanted = {ROOT / "template.yaml": generated_template(), **{path: generated(path) for path in PARTS}}
    outdated = [path for path, text in wanted.items() if path.read_text() != text]
    if "--check" not in arguments:
        for path in outdated:
            path.write_text(wanted[path])
        return 0
    for path in outdated:
        print(f"{path.relative_to(ROOT)} is out of date: run `make docs`.")
    return 1 if outdated else 0


if __name__ == "__main__":
    logging.disable()  # The translator's remarks about its feature toggles.
    sys.exit(main(sys.argv[1:]))
