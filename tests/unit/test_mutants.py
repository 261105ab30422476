"""The changes that `make mutants` tries, and the record of those that no test can see."""

import ast

import pytest

import mutants
from mutants import SUBJECTS, UNIT, explained_in, mutants_of

CODE = '''\
"""A docstring."""
LONGEST: int = 3

def short(text: str) -> bool:
    """Another."""
    if not text:
        raise ValueError("empty") from None
    return len(text) <= LONGEST and text.startswith("x")
'''

NAMES = [
    "module: 3 → 4",
    "module: 3 → 2",
    "short: not text → True",
    "short: not text → False",
    "short: not text → text",
    "short: …lueError('empty') from None → …lueError('empty')",
    "short: ValueError('empty') → ValueError()",
    "short: 'empty' → ''",
    "short: 'empty' → 'emptyX'",
    "short: return len(text) <= LONGEST and te… → return None",
    "short: …text) <= LONGEST and text.startswi… → …text) <= LONGEST or text.startswit…",
    "short: len(text) <= LONGEST and text.star… → text.startswith('x')",
    "short: …(text) <= LONGEST and text.startsw… → …(text) <= LONGEST",
    "short: len(text) <= LONGEST → len(text) < LONGEST",
    "short: len(text) <= LONGEST → len(text) > LONGEST",
    "short: len(text) → len()",
    "short: text.startswith('x') → text.startswith()",
    "short: text.startswith → text.endswith",
    "short: 'x' → ''",
    "short: 'x' → 'xX'",
]


def test_one_place_is_changed_at_a_time() -> None:
    tree = ast.parse(CODE)
    assert [mutant.name for mutant in mutants_of(tree)] == NAMES
    assert ast.unparse(tree) == ast.unparse(ast.parse(CODE))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("module: 3 → 4", "LONGEST: int = 4"),
        ("short: not text → False", "    if False:"),
        ("short: 'x' → 'xX'", "    return len(text) <= LONGEST and text.startswith('xX')"),
    ],
)
def test_a_mutant_differs_in_what_its_name_says(name: str, line: str) -> None:
    tree = ast.parse(CODE)
    next(mutant for mutant in mutants_of(tree) if mutant.name == name).make()

    changed = ast.unparse(tree).splitlines()
    before = ast.unparse(ast.parse(CODE)).splitlines()
    assert [now for now, then in zip(changed, before, strict=True) if now != then] == [line]


def test_the_same_change_in_two_places_has_two_names() -> None:
    names = [mutant.name for mutant in mutants_of(ast.parse("a = 1\nb = 1\n"))]
    assert names == ["module: 1 → 2", "module: 1 → 0", "module: 1 → 2 (2)", "module: 1 → 0 (2)"]


@pytest.mark.parametrize("module", SUBJECTS)
def test_what_is_explained_is_a_change_that_is_tried(module: str) -> None:
    """Whether it still survives, `make mutants` tells."""
    tried = {mutant.name for mutant in mutants_of(ast.parse((mutants.CODE / f"{module}.py").read_text()))}

    assert explained_in((UNIT / SUBJECTS[module][0]).read_text(), module) <= tried
