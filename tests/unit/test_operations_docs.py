"""The documents for operators, held against the code: parameters, audit fields, words in the log, bounds, links."""

import ast
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import audit_lines
from infrastructure.template import ROOT, source
from roomkey import api, audit, credentials, errors, freshness, kill_switch, state
from roomkey.clock import Spent
from roomkey.errors import DependencyFailure, MintingDisabled, SwitchUnavailable
from roomkey.kill_switch import DisableFlag
from roomkey.observability import NAMESPACE, Observability
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.policy import Mode, Policy
from roomkey.settings import STANDARD_LIVES

FUNCTION = ROOT / "functions" / "roomkey"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DEPLOY = ROOT / "docs" / "deploy.md"
OPERATIONS = ROOT / "docs" / "operations.md"
SECURITY = ROOT / "docs" / "security.md"


# --- reading a document --------------------------------------------------------------------------------------------


def without_code(text: str) -> str:
    """The document without what stands in code blocks, where `#` and `|` mean something else."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


def section(document: Path, heading: str) -> str:
    """What stands under `heading` ("## Parameters"), up to the next heading of its level or a higher one."""
    level = heading.index(" ")
    found = re.search(
        rf"^{re.escape(heading)}$(?P<text>.*?)(?=^#{{1,{level}}} |\Z)",
        document.read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert found, f"{document.name} has no {heading!r}"
    return found["text"]


def rows(document: Path, heading: str) -> list[list[str]]:
    """The first table under `heading`, without its head."""
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), section(document, heading).splitlines())
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def words(cell: str) -> list[str]:
    """What a cell shows as code."""
    return re.findall(r"`([^`]+)`", cell)


def first_words(document: Path, heading: str) -> list[str]:
    """The word that each row of the table under `heading` is about."""
    return [word for row in rows(document, heading) for word in words(row[0])]


# --- parameters ----------------------------------------------------------------------------------------------------


def test_every_parameter_is_in_the_table_with_its_default() -> None:
    written = {row[0].strip("`"): row[1].strip("`") for row in rows(DEPLOY, "## Parameters")}
    declared = {name: str(parameter["Default"]) or "empty" for name, parameter in source()["Parameters"].items()}
    assert written == declared


@pytest.mark.parametrize("bound", ["MinValue", "MaxValue", "AllowedValues"])
def test_the_table_names_the_bounds_of_a_parameter(bound: str) -> None:
    table = {row[0].strip("`"): row[2] for row in rows(DEPLOY, "## Parameters")}
    rates = {
        name for name in table if name.endswith(("Rate", "Burst"))
    }  # Whatever suits: nobody needs to know 1 and 5000.
    for name, parameter in source()["Parameters"].items():
        allowed = parameter.get(bound, [])
        if name not in {"LogRetentionDays", "LogLevel", "SnapStart", *rates}:
            values = allowed if isinstance(allowed, list) else [allowed]
            assert [value for value in values if str(value) not in table[name]] == [], name


# --- the audit line ------------------------------------------------------------------------------------------------


def paths(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of all fields in a JSON Schema, those of an object within it behind a dot."""
    for name, field in schema["properties"].items():
        if "properties" in field:
            yield from paths(field, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_of_the_audit_line_is_in_the_table_and_no_other() -> None:
    assert sorted(first_words(OPERATIONS, "## The audit line")) == sorted(paths(audit_lines.SCHEMA))


def test_the_table_says_which_fields_are_always_there() -> None:
    always = {words(row[0])[0].split(".")[0] for row in rows(OPERATIONS, "## The audit line") if row[1] == "always"}
    assert sorted(always) == sorted(audit_lines.SCHEMA["required"])


def test_the_table_says_which_schema_the_audit_line_has() -> None:
    (meaning,) = [row[2] for row in rows(OPERATIONS, "## The audit line") if words(row[0]) == ["schema"]]
    assert meaning.startswith(f"{audit.SCHEMA}. ")


def test_the_queries_ask_for_fields_that_there_are() -> None:
    known = {*first_words(OPERATIONS, "## The audit line"), "level", "message", "dependency"}
    asked = set(re.findall(r"[a-z]+\.[a-z_0-9]+|(?<=filter )[a-z_]+|(?<=and )[a-z_]+", queries()))
    assert asked - known == set()


def queries() -> str:
    return "\n".join(re.findall(r"```\n(.*?)```", section(OPERATIONS, "## Queries"), flags=re.DOTALL))


# --- words in the log ----------------------------------------------------------------------------------------------


def modules() -> Iterator[ast.Module]:
    for path in sorted(FUNCTION.rglob("*.py")):
        yield ast.parse(path.read_text(), str(path))


def calls(name: str) -> Iterator[ast.Call]:
    """Every call in the function's code of something that is called `name`."""
    for node in itertools.chain.from_iterable(map(ast.walk, modules())):
        if isinstance(node, ast.Call) and name in (
            getattr(node.func, "id", None),
            getattr(node.func, "attr", None),
        ):
            yield node


def constants() -> dict[str, Any]:
    """Every module's own names for texts, and for tables of texts."""
    found: dict[str, Any] = {}
    for module in modules():
        for node in module.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    found[node.targets[0].id] = ast.literal_eval(node.value)
                except ValueError:
                    continue
    return found


def texts(node: ast.expr) -> set[str]:
    """The texts that an expression can be; an error where that cannot be told from the code."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name):
            return {constants()[name]}
        case ast.Subscript(value=ast.Name(id=name)):
            return set(constants()[name].values())
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body) | texts(orelse)
    raise AssertionError(f"{ast.unparse(node)}: which words can this be?")


def argument(call: ast.Call, position: int, name: str) -> ast.expr:
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    return by_name[name] if name in by_name else call.args[position]


def test_every_reason_is_in_the_table_and_no_other() -> None:
    used = set().union(*(texts(argument(call, 1, "reason")) for call in calls("DependencyFailure")))
    assert sorted(first_words(OPERATIONS, "### Reasons")) == sorted(used)


def test_the_table_says_which_reasons_pass_by_themselves() -> None:
    written = {words(row[0])[0]: row[1] == "yes" for row in rows(OPERATIONS, "### Reasons")}
    for call in calls("DependencyFailure"):
        transient = argument(call, 2, "transient")
        assert isinstance(transient, ast.Constant)
        for reason in texts(argument(call, 1, "reason")):
            assert written[reason] is transient.value, reason


def test_every_word_that_a_log_line_begins_with_is_in_the_table_and_no_other() -> None:
    stale = {f"{what}-stale" for what in stale_words()}
    assert sorted(first_words(OPERATIONS, "## Log lines")) == sorted(stale | answered_faults())


def stale_words() -> set[str]:
    """What can be served stale, as `served_stale` is told: by the call itself, or by the loop around it."""
    told: set[str] = set()
    for node in itertools.chain.from_iterable(map(ast.walk, modules())):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple) and "served_stale" in ast.dump(node):
            told |= {word for pair in node.iter.elts if isinstance(pair, ast.Tuple) for word in texts(pair.elts[0])}
    named = (call.args[0] for call in calls("served_stale"))
    return told | {word for name in named if isinstance(name, ast.Constant) for word in texts(name)}


def answered_faults() -> set[str]:
    """The codes of faults that something in the function raises."""
    named = {node.id for module in modules() for node in ast.walk(module) if isinstance(node, ast.Name)}
    faults = [kind for kind in errors.Fault.__subclasses__() if kind.__name__ in named]
    return {kind.code for kind in faults}


def test_there_is_something_to_do_for_each_503_and_nothing_else() -> None:
    headings = re.findall(r"^### (.+)$", section(OPERATIONS, "## What to do for each 503"), flags=re.MULTILINE)
    assert sorted(headings) == sorted(code for code in answered_faults() if api.STATUS[code] == 503)


# --- metrics, secrets, bounds --------------------------------------------------------------------------------------


def test_every_metric_is_in_the_table_with_its_unit_and_its_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Observability.of("prod", "INFO")
    for failure in (None, MintingDisabled(), SwitchUnavailable(DependencyFailure("ssm", "throttled", transient=True))):
        seen.count("100ms", "management", failure, Spent(1_800_000_000.5, 0.1, {}), dict.fromkeys(stale_words(), 40.0))
    lines = [json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in capsys.readouterr().out.splitlines()]
    emitted = {metric["Name"]: metric["Unit"] for line in lines for metric in line["Metrics"]}
    assert {words(row[0])[0]: row[1] for row in rows(OPERATIONS, "### What is counted")} == emitted

    assert {line["Namespace"] for line in lines} == {NAMESPACE}
    assert words(section(OPERATIONS, "## Metrics"))[0] == NAMESPACE
    sets = [words(row[0]) for row in rows(OPERATIONS, "## Metrics")]
    assert all(line["Dimensions"] == sets for line in lines)


def test_every_platform_has_its_secret_in_the_table() -> None:
    written = {words(row[0])[0]: (words(row[1]), words(row[2])) for row in rows(OPERATIONS, "## The secrets")}
    assert written == {
        platform.name: ([f"roomkey/prod/{platform.name}"], [field.name for field in platform.credential_fields])
        for platform in PLATFORMS.values()
    }


def test_what_the_flag_may_say_it_may_say() -> None:
    written = first_words(OPERATIONS, "### What the flag may say")
    for text in written:
        if text != ",":
            DisableFlag.parse(text)
    assert {*TokenKind, *PLATFORMS, "true", "false"} <= set(written)


BORN = re.compile(r"--name /roomkey/prod/policy[^']*--value '([^']+)'")


def test_an_environment_is_born_with_a_policy_that_refuses_everybody() -> None:
    (text,) = BORN.findall(OPERATIONS.read_text())
    assert Policy.parse(text) == Policy(Mode.ENFORCE, ())


def test_the_files_that_are_put_are_there() -> None:
    named = [
        name for path in (DEPLOY, OPERATIONS) for name in re.findall(r" put \w+ (docs/[\w./-]+\w)", path.read_text())
    ]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_bounds_are_the_code_s() -> None:
    table = {row[0]: row for row in rows(ARCHITECTURE, "## Every cache")}
    spread = f"± {freshness.JITTER:.0%}".replace("%", " %")
    assert table["disable flag"][2] == f"{state.FRESH_SECONDS:g} s {spread}"
    assert f"to {kill_switch.ON_FOR_SECONDS:g} s" in table["disable flag"][3]
    assert table["policy"][2:4] == [table["disable flag"][2], f"{state.POLICY_FOR_SECONDS:g} s"]
    assert table["that the policy is missing, or is none"][2] == table["policy"][2]
    assert table["credentials"][2] == f"{credentials.FRESH_SECONDS:g} s {spread}"
    assert table["credentials"][3] == f"{credentials.KEEP_SECONDS:g} s"
    rest = freshness.REST_SECONDS
    assert table["that a read failed"][2] == f"{rest:g} s to {rest * (1 + freshness.JITTER):g} s"


def test_the_promises_are_the_code_s() -> None:
    flag = f"{state.FRESH_SECONDS * (1 + freshness.JITTER):g} s"
    secret = f"{credentials.FRESH_SECONDS * (1 + freshness.JITTER):g} s"
    on, policy = f"{kill_switch.ON_FOR_SECONDS:g} s", f"{state.POLICY_FOR_SECONDS:g} s"
    kept, answered = f"{credentials.KEEP_SECONDS:g} s", f"{math.ceil(api.WAITING_SECONDS + api.GRACE_SECONDS):g} s"
    told = "from the first read that tells, {} at the latest"

    promised = {row[0]: row[1:3] for row in rows(SECURITY, "## Promises")}
    assert list(promised.values()) == [
        [flag, on],
        ["always", "always"],
        [flag, told.format(on)],
        [flag, policy],
        [flag, told.format(policy)],
        [secret, kept],
        [secret, told.format(kept)],
        [answered, f"{answered}; 4 s if names cannot be looked up"],
        [f"{STANDARD_LIVES.longest} s by default", "the same"],
    ]
    off, _, misspelt, changed, gone, new, unusable, *_ = promised
    assert "flag is set" in off
    assert "flag" in misspelt
    assert "policy is changed" in changed
    assert "policy" in gone
    assert "old one signs no more" in new
    assert "secret" in unusable
    assert f"**It counts within {flag}**" in section(OPERATIONS, "### Change it")
    assert f"more than {on} ago" in section(SECURITY, "## What fails closed")


def test_the_table_of_switches_keeps_the_promises() -> None:
    takes = {words(row[0])[0]: row[1:] for row in rows(OPERATIONS, "## How long each switch takes") if words(row[0])}
    off, _, _, changed, _, new, *_ = (row[1:3] for row in rows(SECURITY, "## Promises"))

    assert takes["roomkey env disable"] == off
    assert takes["roomkey env enable"][0] == off[0]
    assert takes["roomkey policy put"] == changed
    assert takes["roomkey secret put"] == new


def test_the_table_of_vendors_has_every_platform() -> None:
    table = section(OPERATIONS, "## How long each switch takes").partition("To end them sooner")[2]
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:]

    assert titles == [platform.title for platform in PLATFORMS.values()]


def test_there_is_something_to_do_for_each_thing_that_can_be_down() -> None:
    down = [row[0] for row in rows(OPERATIONS, "## What happens when it is down")]
    assert [row[0] for row in rows(SECURITY, "## What to do when something is down")] == down


def test_every_promise_says_what_proves_it() -> None:
    for row in rows(SECURITY, "## Promises"):
        proofs = re.findall(r"\[([A-Z]\d+)\]\(threats\.md#([a-z]\d+)\)", row[3])
        assert proofs, row[0]
        assert all(name.lower() == anchor for name, anchor in proofs)


def test_the_page_on_security_and_the_one_for_reports_know_each_other() -> None:
    assert "docs/security.md" in links(ROOT / "SECURITY.md")
    assert "../SECURITY.md" in links(SECURITY)


# --- the house -----------------------------------------------------------------------------------------------------


def house() -> list[str]:
    """The modules of the package that a request runs through: all that the handler imports, and they in turn."""
    found = ["handler"]
    for name in found:
        found += sorted(set().union(*map(imported, files(name))) - set(found))
    return found


def files(name: str) -> list[Path]:
    module = FUNCTION / f"{name}.py"
    return [module] if module.exists() else sorted((FUNCTION / name).glob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, by their first name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "roomkey":
            found |= {name.name for name in node.names if name.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("roomkey."):
            found.add(str(node.module).split(".")[1])
    return found


def test_the_tree_names_every_file_of_the_function() -> None:
    (tree,) = re.findall(r"```\n(.*?)```", section(ARCHITECTURE, "## The house"), flags=re.DOTALL)
    assert {path.name for name in house() for path in files(name) if path.parent == FUNCTION} == set(
        re.findall(r"\b[a-z_]+\.py\b", tree)
    )


def test_imports_point_down_the_list() -> None:
    text = without_code(section(ARCHITECTURE, "## The house"))
    lines = [words(line) for line in re.findall(r"^\d+\. (.+)$", text, flags=re.MULTILINE)]
    height = {name: number for number, names in enumerate(lines) for name in names}
    assert sorted(height) == sorted(house())
    for name in house():
        for path in files(name):
            assert [other for other in imported(path) if height[other] < height[name]] == [], path


@pytest.mark.parametrize(
    ("package", "files"),
    [
        ("botocore", {"stores.py", "deadline_transport.py"}),
        ("jwt", {"platforms/hs256.py"}),
    ],
)
def test_what_only_some_files_know_no_other_imports(package: str, files: set[str]) -> None:
    imports = re.compile(rf"^\s*(import|from) {package}\b", flags=re.MULTILINE)
    found = {
        path.relative_to(FUNCTION).as_posix() for path in FUNCTION.rglob("*.py") if imports.search(path.read_text())
    }
    assert found == files
    assert all(f"`{file}`" in section(ARCHITECTURE, "## The house") for file in files)


# --- links ---------------------------------------------------------------------------------------------------------


def documents() -> list[Path]:
    """Every Markdown file of the project: not those of environments and caches, whose folders begin with a dot."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(
        path for path in found if not any(part.startswith(".") or part == "node_modules" for part in path.parts)
    )


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    given: list[str] = []
    for heading in re.findall(r"^#{1,6} (.+)$", without_code(document.read_text()), flags=re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        kept = [letter for letter in text if letter in "-_ " or unicodedata.category(letter)[0] in "LN"]
        slug = "".join(kept).replace(" ", "-")
        repeats = sum(re.fullmatch(re.escape(slug) + r"(-\d+)?", one) is not None for one in given)
        given.append(f"{slug}-{repeats}" if repeats else slug)
    return set(given)


def links(document: Path) -> Iterator[str]:
    """Where a document's links lead, those to other sites left out."""
    text = re.sub(r"`[^`\n]*`", "", without_code(document.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("document", [pytest.param(path, id=str(path)) for path in documents()])
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in links(ROOT / document):
        name, _, anchor = link.partition("#")
        target = (ROOT / document.parent / name).resolve() if name else ROOT / document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    assert list(links(folder / "README.md")) == sorted(path.name for path in folder.glob("[0-9]*.md"))
