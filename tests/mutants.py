#!/usr/bin/env python
"""Mutants: the code that decides, changed in one place at a time, and whether the tests see it (`make mutants`).

For each change that `mutants_of` can think of, a child process imports the changed module in place of the real one and
runs that module's unit tests. Where they all pass, the mutant has survived, and something is not tested. Nothing is
written: a mutant is a syntax tree in the memory of one child.

A survivor must be explained at the end of the module's test file, in a block that this command reads and that begins
with the line `HEADING`: for each reason the mutants it holds for, as they are printed here. It fails for a survivor
that is not explained, and for an explanation of something that does not survive.

Why not a library: mutmut leaves alone what stands outside of functions and in properties, which is where the bounds
are; cosmic-ray changes files where they lie, takes away no statements, and starts a pytest anew for each mutant.
"""

import argparse
import ast
import contextlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).parents[1]
CODE = ROOT / "functions" / "roomkey"
UNIT = ROOT / "tests" / "unit"

SUBJECTS = {
    "policy": ["test_policy.py"],
    "callers": ["test_callers.py"],
    "token_requests": ["test_token_requests.py"],
    "settings": ["test_settings.py"],
    "kill_switch": ["test_kill_switch.py"],
    "state": ["test_state.py", "test_kill_switch.py"],
    "freshness": ["test_freshness.py"],
    "credentials": ["test_credentials.py", "test_credential_checks.py"],
    "clock": ["test_clock.py"],
}
"""The modules, and the files in tests/unit that must see every mutant. The first holds the explanations."""

HEADING = "# --- mutants that no test can kill, and why "

_WIDTH = 34
"""Characters of code that a mutant is shown by, either side of the arrow."""

# --- what is changed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its name (where it is, what stood there, what stands there now), and how to make it in the tree."""

    name: str
    make: Callable[[], None]


_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "startswith": "endswith",
    "endswith": "startswith",
    "find": "rfind",
    "issuperset": "issubset",
    "issubset": "issuperset",
    "removeprefix": "removesuffix",
    "fullmatch": "match",
    "search": "match",
}
_REMOVED = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Raise, ast.Continue, ast.Break)
_HEADS = (ast.If, ast.IfExp, ast.While, ast.Assert)


def mutants_of(tree: ast.Module) -> Iterator[Mutant]:
    """Every change to `tree` that is tried. Annotations, docstrings and decorators are left alone."""
    names: Counter[str] = Counter()
    for mutant in _within(tree, "module"):
        names[mutant.name] += 1
        number = names[mutant.name]
        yield mutant if number == 1 else replace(mutant, name=f"{mutant.name} ({number})")


def _within(parent: ast.AST, where: str) -> Iterator[Mutant]:
    for name, content in ast.iter_fields(parent):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        nodes = content if isinstance(content, list) else [content]
        for index, node in enumerate(nodes):
            if not isinstance(node, ast.AST) or _is_docstring(node):
                continue
            place = _Place(parent, name, index if isinstance(content, list) else None)
            for new in _changes(node, place, inside=where != "module" and not isinstance(parent, ast.ClassDef)):
                yield Mutant(f"{where}: {' → '.join(_shown(node, new))}", _setter(place, new))
            inner = where
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                inner = node.name if where == "module" else f"{where}.{node.name}"
            yield from _within(node, inner)


@dataclass(frozen=True, slots=True)
class _Place:
    parent: ast.AST
    field: str
    index: int | None


def _setter(place: _Place, new: ast.AST | None) -> Callable[[], None]:
    def make() -> None:
        if place.index is None:
            setattr(place.parent, place.field, new)
        elif new is None:
            del getattr(place.parent, place.field)[place.index]
        else:
            getattr(place.parent, place.field)[place.index] = new

    return make


def _changes(node: ast.AST, place: _Place, *, inside: bool) -> Iterator[ast.AST | None]:
    """What may stand in the place of `node`; None for nothing at all, in a list."""
    if isinstance(node, ast.stmt):
        yield from _other_statements(node, place, inside=inside)
    elif isinstance(node, ast.expr):
        yield from _other_expressions(node, place)
    elif isinstance(node, ast.keyword) or (isinstance(node, ast.match_case) and len(place.parent.cases) > 1):  # type: ignore[attr-defined]
        yield None
    elif isinstance(node, ast.ExceptHandler):
        yield _with(node, body=[ast.Raise()])


def _other_statements(node: ast.stmt, place: _Place, *, inside: bool) -> Iterator[ast.AST | None]:
    # What a condition's only statement does is not done either where the condition is made False.
    alone = isinstance(place.parent, ast.If) and len(place.parent.body) == 1 and place.field == "body"
    if inside and isinstance(node, _REMOVED) and not alone:
        yield ast.Pass()
    if isinstance(node, ast.Raise) and node.cause is not None:
        yield _with(node, cause=None)
    if isinstance(node, ast.Return) and node.value is not None and not _is(node.value, None):
        yield _with(node, value=ast.Constant(None))
    if isinstance(node, ast.For):
        yield _with(node, iter=ast.Tuple([], ast.Load()))


def _other_expressions(node: ast.expr, place: _Place) -> Iterator[ast.AST | None]:
    if (isinstance(place.parent, _HEADS) and place.field == "test") or place.field == "ifs":
        yield ast.Constant(True)
        yield ast.Constant(False)
    match node:
        case ast.Constant():
            yield from map(ast.Constant, _other_values(node.value))
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.BinOp():
            yield from _other_operators(node)
        case ast.Call(_, arguments):
            for index in range(len(arguments)):
                yield _with(node, args=[*arguments[:index], *arguments[index + 1 :]])
        case ast.Lambda():
            yield _with(node, body=ast.Constant(None))
        case ast.Name(name) if name in _NAMES:
            yield _with(node, id=_NAMES[name])
        case ast.Attribute(_, name) if name in _NAMES:
            yield _with(node, attr=_NAMES[name])


def _other_operators(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(_, operators):
            for index, operator in enumerate(operators):
                for other in _COMPARISONS[type(operator)]:
                    yield _with(node, ops=[*operators[:index], other(), *operators[index + 1 :]])
        case ast.BoolOp(operator, values):
            yield _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.BinOp(_, operator) if type(operator) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(operator)]())


def _other_values(value: object) -> Iterator[object]:
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
            yield value - 1
        case str():
            yield from _other_texts(value)


def _other_texts(text: str) -> Iterator[str]:
    yield "" if text else "mutant"
    if text:
        yield f"{text}X"
    # In a regular expression, the bounds of a repetition.
    for found in re.finditer(r"(?<=[{,])[0-9]+(?=[,}])", text):
        for other in {int(found[0]) + 1, max(int(found[0]) - 1, 0)} - {int(found[0])}:
            yield f"{text[: found.start()]}{other}{text[found.end() :]}"


def _with(node: ast.AST, **fields: Any) -> Any:
    return ast.copy_location(type(node)(**{**dict(ast.iter_fields(node)), **fields}), node)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _shown(*nodes: ast.AST | None) -> Iterator[str]:
    """The code of two nodes: of what is long, where they begin to differ."""
    texts = [" ".join(ast.unparse(ast.fix_missing_locations(node)).split()) if node else "nothing" for node in nodes]
    same = len(os.path.commonprefix(texts))  # noqa: RUF071 - characters are meant
    start = max(same - _WIDTH // 2, 0) if max(map(len, texts)) > _WIDTH else 0
    for text in texts:
        yield "…" * (start > 0) + text[start : start + _WIDTH] + "…" * (len(text) > start + _WIDTH)


# --- what is explained -----------------------------------------------------------------------------------------------


def explained_in(text: str, module: str) -> set[str]:
    """The mutants of `module` that the block in a test file's `text` gives a reason for."""
    _, _, block = text.partition(f"\n{HEADING}")
    lines = re.findall(rf"^#   {module}\.(.+)$", block, re.MULTILINE)
    return set(lines)


# --- whether it is seen ----------------------------------------------------------------------------------------------


class _InPlaceOf(SourceFileLoader):
    """Finds and loads one module, as the tree says instead of as its file does."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        super().__init__(module, str(path))
        self._tree = tree

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, _: str) -> CodeType:
        return compile(ast.fix_missing_locations(self._tree), self.path, "exec")


def _load_what_is_not_ours() -> None:
    """Imports the packages that the function and the tests need, once for all children, and of ours nothing."""
    for name in ("roomkey.api", "jsonschema", "hypothesis.strategies"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "roomkey"]:
        del sys.modules[name]
    everything = list(HealthCheck)
    quick = settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=everything,
    )
    settings.register_profile("mutants", quick)
    settings.load_profile("mutants")


class _KillersFirst:
    """Runs the tests that saw other mutants before the others, the last one first: neighbours die of the same."""

    def __init__(self, killers: Path) -> None:
        self._killers = killers

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        known = {name: place for place, name in enumerate(self._killers.read_text().splitlines())}
        items.sort(key=lambda item: -known.get(item.nodeid, -1))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self._killers.open("a") as killers:
                killers.write(f"{report.nodeid}\n")


def _run_tests(module: str, tree: ast.Module, scratch: Path, limit: int) -> int:
    """pytest's exit code, in a child process: 0 where no test sees anything wrong."""
    signal.alarm(limit)  # Ends a mutant that never ends, whatever it is doing.
    output = os.open(scratch / f"output-{os.getpid()}", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.meta_path.insert(0, _InPlaceOf(f"roomkey.{module}", CODE / f"{module}.py", tree))  # type: ignore[arg-type]
    tests = [str(UNIT / name) for name in SUBJECTS[module]]
    arguments = ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *tests]
    return pytest.main(arguments, plugins=[_KillersFirst(scratch / "killers")])


_NOT_RUN = 70
"""The exit code of a child in which it was not pytest that failed."""


def _start(run: Callable[[], int]) -> int:
    """The id of a child process that ends with what `run` returns."""
    child = os.fork()
    if child == 0:
        code = _NOT_RUN
        with contextlib.suppress(BaseException):
            code = run()
        os._exit(code)
    return child


def survivors_of(module: str, only: str, jobs: int, scratch: Path) -> Iterator[Mutant | None]:
    """Runs the mutants of a module, those with `only` in their names, against its tests.

    For each, as they end: itself if it survives, else None. Exits where the tests do not pass without any.
    """
    tree = ast.parse((CODE / f"{module}.py").read_text())
    (scratch / "killers").write_text("")

    def run(mutant: Mutant | None, limit: int) -> int:
        if mutant:
            mutant.make()
        return _run_tests(module, tree, scratch, limit)

    started = time.monotonic()
    child = _start(lambda: run(None, 600))
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{(scratch / f'output-{child}').read_text()}\nThe tests of {module} do not pass as it is.")
    limit = int(10 + 5 * (time.monotonic() - started))

    waiting, running = [mutant for mutant in mutants_of(tree) if only in mutant.name][::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_start(lambda mutant=mutant: run(mutant, limit))] = mutant
        child, status = os.wait()
        mutant = running.pop(child)
        if status >> 8 == _NOT_RUN:
            sys.exit(f"{module}.{mutant.name} could not be tried.")
        yield None if status else mutant


def judge(module: str, only: str, jobs: int) -> bool:
    """Whether every mutant of a module is seen or explained, and everything that is explained is a survivor."""
    explained = {name for name in explained_in((UNIT / SUBJECTS[module][0]).read_text(), module) if only in name}
    started, tried, survivors = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory() as scratch:
        for survivor in survivors_of(module, only, jobs, Path(scratch)):
            tried += 1
            if survivor:
                survivors.append(survivor.name)
                if survivor.name not in explained:
                    print(f"survived: {module}.{survivor.name}", flush=True)
    stale = explained - set(survivors)
    for mutant in sorted(stale):
        print(f"explained, but seen by a test or not there: {module}.{mutant}")
    unseen = sum(survivor not in explained for survivor in survivors)
    print(
        f"{module}: {tried} mutants, {tried - len(survivors)} killed, {len(survivors) - unseen} explained, "
        f"{unseen} not explained, in {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return not (unseen or stale)


def main() -> int:
    parser = argparse.ArgumentParser(description="Changes the code in one place at a time: do its tests see it?")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(SUBJECTS)} (all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the mutants with this text in their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time (%(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(SUBJECTS):
        parser.error(f"no such module here: {', '.join(sorted(unknown))}")
    os.nice(10)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # None is needed, and some take a second to load.
    _load_what_is_not_ours()
    good = [judge(module, arguments.only, arguments.jobs) for module in arguments.modules or SUBJECTS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
