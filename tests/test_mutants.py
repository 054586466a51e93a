"""The catalog of tests/mutants is fresh: every mutant has its one place, compiles, and names tests that there are."""

import ast
from functools import cache
from pathlib import Path

import pytest
from mutants.catalog import AREAS

ROOT = Path(__file__).parents[1]


@cache
def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def functions(path):
    return {node.name for node in ast.parse(text(path)).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("area", AREAS)
def test_every_mutant_has_its_place_and_its_tests(area):
    seen = set()
    for mutant in AREAS[area]:
        planted = mutant.plant(text(mutant.file))  # its error names the file and the text that is gone
        if mutant.file.endswith(".py"):
            compile(planted, mutant.file, "exec")
        assert planted != text(mutant.file)
        assert (mutant.file, planted) not in seen, mutant
        seen.add((mutant.file, planted))
        assert mutant.differs
        for test in mutant.tests:
            path, _, name = test.partition("::")
            assert not name or name.partition("[")[0] in functions(path), test


def test_there_are_enough_of_them_and_of_new_ones():
    mutants = [mutant for area in AREAS.values() for mutant in area]
    assert len(mutants) >= 400
    assert sum(mutant.after for mutant in mutants) >= 100
    assert len(AREAS["traps"]) >= 27
    said = " ".join(text("README.md").split())
    assert f"plants {len(mutants)} of them" in said
    assert f"of the {sum(mutant.after for mutant in mutants)} that were written" in said
