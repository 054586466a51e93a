"""What there is to learn from or to be judged by: counts, what is left out, what is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from deit_ref import checks


class Broken(NamedTuple):
    """A photo that cannot be read: its position among the others, what it is called, and why."""

    place: int
    name: str
    reason: str


@dataclass(frozen=True)
class SplitReport:
    """One split.

    Attributes:
        place: where it lies.
        classes: class name to number of photos, broken ones included.
        skipped: reason to number of files that are left out, and one of them, as in `ImageSet`.
        unused: other folders of the same split.
        broken: photos that cannot be read.
        turned: number of photos that are stored turned.
        smallest, largest: (height, width) by area; None where no photo was read.
        small: number of photos with less height or width than the model sees.
    """

    place: str
    classes: Mapping[str, int]
    skipped: Mapping[str, tuple[int, str]]
    unused: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()
    turned: int = 0
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    small: int = 0

    @property
    def photos(self) -> int:
        """How many there are, broken ones included."""
        return sum(self.classes.values())

    @property
    def sizes(self) -> str:
        """The smallest and the largest photo, height x width, to be put behind a place."""
        if self.smallest is None or self.largest is None:
            return ""
        low, high = (f"{height}x{width}" for height, width in (self.smallest, self.largest))
        return f", {low} pixels" if low == high else f", {low} to {high} pixels (height x width)"


@dataclass(frozen=True)
class Report:
    """What was found; `print(report)` shows all of it, `short` the lines that one reads before a run.

    Attributes:
        splits: "train", "test" or both.
        problems: what is wrong, a sentence each; none means that all is well.
        notes: what is good to know, a sentence each.
    """

    splits: Mapping[str, SplitReport]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        names = list(dict.fromkeys(name for split in self.splits.values() for name in split.classes))
        shown = [checks.one_line(name, most=60) for name in names]
        width = max(map(len, ["photos", *shown]))
        lines = [f"{split}: {found.place}{found.sizes}" for split, found in self.splits.items()]
        lines.append(" ".join([" " * width, *(f"{split:>8}" for split in self.splits)]))
        for name, label in zip(names, shown, strict=True):
            counts = (found.classes.get(name, 0) for found in self.splits.values())
            lines.append(" ".join([f"{label:<{width}}", *(f"{count:>8}" for count in counts)]))
        lines.append(" ".join([f"{'photos':<{width}}", *(f"{found.photos:>8}" for found in self.splits.values())]))
        return "\n".join([*lines, *self._broken(), *self._sentences()])

    def short(self) -> list[str]:
        """A line for each split, then the first broken photos of each, notes and problems."""
        lines: list[str] = []
        for split, found in self.splits.items():
            counts = checks.some((f"{name} {count}" for name, count in found.classes.items()), most=12)
            photos, classes = (
                checks.amount(found.photos, "photo"),
                checks.amount(len(found.classes), "class", "classes"),
            )
            lines.append(f"{split}: {photos} of {classes} ({counts}) in {found.place}{found.sizes}")
        return [*lines, *self._broken(most=5), *self._sentences()]

    def _broken(self, *, most: int | None = None) -> Iterator[str]:
        for found in self.splits.values():
            yield from (f"broken: {checks.one_line(broken.reason)}" for broken in found.broken[:most])
            if most is not None and len(found.broken) > most:
                yield f"broken: {len(found.broken) - most} more in {found.place}, which deit-ref check names."

    def _sentences(self) -> list[str]:
        return [*(f"note: {note}" for note in self.notes), *(f"warning: {problem}" for problem in self.problems)]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        splits = {}
        for split, found in self.splits.items():
            values = {**vars(found), "photos": found.photos, "classes": dict(found.classes)}
            values["skipped"] = {reason: {"files": n, "one": one} for reason, (n, one) in found.skipped.items()}
            values["broken"] = [{"name": broken.name, "reason": broken.reason} for broken in found.broken]
            splits[split] = values
        return {"ok": not self.problems, "splits": splits, "problems": [*self.problems], "notes": [*self.notes]}
