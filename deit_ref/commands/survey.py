"""Photos looked at before a command uses them: the report, with the progress of reading, and what is left to use."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from deit_ref.commands.terminal import progress, say
from deit_ref.data.images import ImageSet
from deit_ref.data.report import Report
from deit_ref.data.survey import readable, report_on


def add_no_check(parser: argparse.ArgumentParser) -> None:
    """Whether photos are looked at before they are used."""
    words = "do not read every photo first: for millions of them; only their names are looked at"
    parser.add_argument("--no-check", action="store_true", help=words)


def surveyed(sets: Mapping[str, ImageSet], **options: Any) -> Report:
    """`report_on`, with a progress display; options are its own."""
    count = sum(map(len, sets.values()))
    every = max(count // 10 // 1000, 1) * 1000
    with progress(range(count), count, unit="photo", every=every) as (things, _):
        steps = iter(things)
        return report_on(sets, **options, progress=lambda done: [next(steps, None) for _ in range(done)])


def looked_over(
    sets: Mapping[str, ImageSet], args: argparse.Namespace, *, apply_exif: bool, image_shape: tuple[int, int]
) -> dict[str, ImageSet]:
    """Say what there is; the photos of each split that can be read.

    With --no-check, and under torchrun, where each of the processes would read all of them, only names are looked at.

    Raises:
        ValueError: no photo of some class can be read.
    """
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    report = surveyed(sets, read=alone and not args.no_check, apply_exif=apply_exif, image_shape=image_shape)
    if os.environ.get("RANK", "0") == "0":
        for line in report.short():
            say(line)
    return {split: readable(images, report.splits[split]) for split, images in sets.items()}
