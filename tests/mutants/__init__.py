"""Mutation tests: mistakes planted in the code, one at a time, and the tests that must notice each.

    python -m tests.mutants                         # all, with the rate by area
    python -m tests.mutants loop traps --jobs 2     # two areas, two at a time
    python -m tests.mutants --share 0.02 --seed 7   # a part, drawn by the seed

A mutant is one plausible mistake that changes what comes out for some valid input. It is killed when one of its tests
turns red. Linux only (fork).
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A change in one place.

    Attributes:
        file: what is changed, from the project's root.
        old: text that stands in it exactly once.
        new: what is planted instead.
        differs: the input whose result is another one, in words.
        tests: what pytest is given, single tests first; one of them must fail.
        after: written when the tests stood, without looking at them: what they catch of the unforeseen.
    """

    file: str
    old: str
    new: str
    differs: str
    tests: tuple[str, ...]
    after: bool = False

    def plant(self, source: str) -> str:
        """The source with the mistake; ValueError if its place is gone, or no longer the only one."""
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {count} times, not once: bring it up to date.")
        return source.replace(self.old, self.new)


def planted(file: str, tests: str, *changes: tuple[str, str, str], after: bool = False) -> list[Mutant]:
    """Mutants of one file that the same tests must kill.

    Args:
        file: below deit_ref/.
        tests: names below tests/, without .py, each with "::name" behind it if one will do; separated by spaces.
        changes: (old, new, differs) of each.
        after: see `Mutant`.
    """
    paths = tuple(_path(name) for name in tests.split())
    return [Mutant(f"deit_ref/{file}", old, new, differs, paths, after) for old, new, differs in changes]


def _path(name: str) -> str:
    module, separator, node = name.partition("::")
    return f"tests/{module}.py{separator}{node}"
