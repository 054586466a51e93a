"""All mutants, by area; an area is a file."""

from collections.abc import Mapping, Sequence

from .. import Mutant
from . import batches, chapters, learning

AREAS: Mapping[str, Sequence[Mutant]] = {
    "chapters": chapters.MUTANTS,
    "batches": batches.MUTANTS,
    "learning": learning.MUTANTS,
}
