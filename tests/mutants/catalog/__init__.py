"""All mutants, by area; an area is a file."""

from collections.abc import Mapping, Sequence

from .. import Mutant
from . import backward, batches, chapters, commands, course, data, engine, inputs, learning, photos, traps
from .later import LATER

_FIRST = {
    "traps": traps.MUTANTS,
    "chapters": chapters.MUTANTS,
    "photos": photos.MUTANTS,
    "backward": backward.MUTANTS,
    "inputs": inputs.MUTANTS,
    "batches": batches.MUTANTS,
    "learning": learning.MUTANTS,
    "data": data.MUTANTS,
    "course": course.MUTANTS,
    "engine": engine.MUTANTS,
    "checkpoints": [],
    "commands": commands.MUTANTS,
}
AREAS: Mapping[str, Sequence[Mutant]] = {area: [*first, *LATER.get(area, [])] for area, first in _FIRST.items()}
