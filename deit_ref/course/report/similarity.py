"""Which submissions of a class have more in common than chance would have it: a list to look at, never a verdict.

Two submissions are compared by their `grading.fingerprints`. What everybody got and what the reference has does not
count. The rest counts by its rarity: n students of whom m have a fingerprint give it log2((n + 1) / m), and
what more than half of them have is how one writes this function.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deit_ref.course import cut
from deit_ref.course.assignments import later
from deit_ref.course.grading.fingerprints import fingerprints, marks
from deit_ref.course.task import Assignment, messages

Pieces = Mapping[str, str]  # of one submission, as the details hold them: definition -> fingerprints

SHARE = 0.6  # of the smaller submission's rare pieces that must be common
LEAST = 10  # rare pieces that must be common, each of them two or three lines long; they overlap
MOST = 50  # pairs


class Pair(NamedTuple):
    """Two submissions to look at.

    Attributes:
        first, second: the students.
        share: of the rare pieces of the one that has fewer, by weight, those that the other has too.
        common: how many these are.
        functions: of the first, those of which at least half is in the second, with the share.
    """

    first: str
    second: str
    share: float
    common: int
    functions: Mapping[str, float]


def common_knowledge(assignment: Assignment) -> frozenset[str]:
    """The fingerprints of what students got, and of the reference's own text."""
    empty = cut.release(messages(assignment), later=later(assignment))
    solved = cut.release(messages(assignment), solved=True)
    texts = [empty.given, empty.student, solved.student]
    return frozenset().union(*(marks(joined) for text in texts for joined in fingerprints(text)[0].values()))


def similar_pairs(class_: Mapping[str, Pieces], known: frozenset[str] = frozenset()) -> list[Pair]:
    """The pairs to look at, first those that have most in common.

    Args:
        class_: the pieces of each student.
        known: fingerprints that do not count.
    """
    from scipy.sparse import csr_array

    own = {
        student: {name: marks(joined) - known for name, joined in pieces.items()} for student, pieces in class_.items()
    }
    all_of = {student: frozenset[str]().union(*functions.values()) for student, functions in own.items()}
    had = Counter(mark for found in all_of.values() for mark in found)
    students = len(class_)
    rare = {mark: n for mark, n in had.items() if n <= max(2, students / 2)}
    if not rare:
        return []
    places = {mark: place for place, mark in enumerate(rare)}
    weights = np.log2((students + 1) / np.array([*rare.values()], np.float64))
    columns = [sorted(places[mark] for mark in found if mark in rare) for found in all_of.values()]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([place for found in columns for place in found], np.int64)
    has = csr_array((np.ones(len(flat)), flat, ends), shape=(students, len(rare)))
    weighed = csr_array((weights[flat], flat, ends), shape=(students, len(rare)))
    weight, count = (weighed @ has.T).toarray(), (has @ has.T).toarray()
    least = np.minimum.outer(np.diag(weight), np.diag(weight))
    share = np.divide(weight, least, out=np.zeros_like(weight), where=least > 0)
    found = np.argwhere(np.triu((count >= LEAST) & (share >= SHARE), 1))
    order = np.argsort([-weight[i, j] for i, j in found], kind="stable")[:MOST]
    names, pairs = list(class_), []
    for i, j in found[order]:
        functions = _functions(own[names[i]], all_of[names[j]], rare)
        pairs.append(Pair(names[i], names[j], round(float(share[i, j]), 3), int(count[i, j]), functions))
    return pairs


def _functions(
    first: Mapping[str, frozenset[str]], second: frozenset[str], rare: Mapping[str, int]
) -> Mapping[str, float]:
    shares = {}
    for name, found in first.items():
        if mine := [mark for mark in found if mark in rare]:
            shares[name] = sum(mark in second for mark in mine) / len(mine)
    return {name: round(share, 3) for name, share in shares.items() if share >= 0.5}
