"""From a finished run to a folder that ships with the package: float16 weights, evaluated as they are, and a card.

    python -m deit_ref.training.bundle runs/distilled deit_ref/pretrained/cifar10-distilled --data cifar10/ \\
        --stamps /usr/share/tuxpaint/stamps --photographs /usr/share/gcompris-qt/rcc --hardware "2 cores"
"""

import argparse
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from deit_ref.arrays import digest_of_arrays
from deit_ref.checkpoints.files import write
from deit_ref.checkpoints.huggingface import save_weights
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_images
from deit_ref.data.strangers import photographs, stamps
from deit_ref.torch_backend.model import TASKS
from deit_ref.training.card import card
from deit_ref.training.evaluate import reconstruction_error
from deit_ref.training.measures import classifier, measured
from deit_ref.training.recipe import Recipe
from deit_ref.training.state import load_state
from deit_ref.training.teacher import is_teacher, load_teacher, save_teacher
from deit_ref.weights import map_weights, named_arrays


def bundle(
    run: Path,
    target: Path,
    data: Path,
    *,
    hardware: str,
    begun_from: Sequence[Path] = (),
    commit: str | None = None,
    strangers: Mapping[str, ImageSet] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write the weights as float16 and the card, and return what was measured on the test photos.

    Args:
        run: a folder that `train` has written.
        target: the new folder.
        data: photos with a test part.
        hardware: what the run was made on, in words.
        begun_from: if it began with another run's weights, that run; before it the one that that began with, and so on.
        commit: of the code that made it, for the card.
        strangers: other pictures by which what classifies is judged; see `measures.measured`.

    Raises:
        ValueError: a run began with other weights than those of the run before it.
    """
    state = load_state(run, device=torch.device("cpu"))
    recipe = Recipe(**state["recipe"])
    before = [load_state(folder, device=torch.device("cpu")) for folder in begun_from]
    for folder, one, its in zip([None, *begun_from], [*before, state], [*begun_from, run], strict=True):
        start = None if folder is None else digest_of_arrays(named_arrays(load_weights(folder)))
        if one["runs_on"]["start"] != start:
            what = "with new weights" if folder is None else f"with those of {folder}"
            raise ValueError(f"{its} did not begin {what}: give all runs before it as begun_from, the first one first.")
    images = open_images(data, "test", recipe.image_processing)
    if is_teacher(run):
        teacher, class_names = load_teacher(run)
        save_teacher(teacher, target, class_names=class_names)
    else:
        save_weights(map_weights(lambda array: array.astype(np.float16), load_weights(run)), target)
    if recipe.task == "masked-image-modeling":
        weights = load_weights(target).to("torch")
        model, processing = functools.partial(TASKS[weights.task], weights), weights.image_processing
        found = reconstruction_error(model, images, processing, recipe, weights.config, device=torch.device("cpu"))
        count = weights.num_parameters
    else:
        asked = classifier(target)
        found = measured(asked, images, strangers=strangers)
        count = asked.parameters
    text = card(target.name, state, found, count=count, hardware=hardware, before=before, commit=commit)
    write(target / "README.md", text.encode())
    return found


def main(argv: list[str] | None = None) -> int:
    """Bundle one run and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.training.bundle", description=__doc__)
    parser.add_argument("run", type=Path, help="a folder that train or train-teacher has written")
    parser.add_argument("target", type=Path, help="the folder to write")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a test part")
    parser.add_argument("--stamps", type=Path, metavar="DIR", help="of Debian's tuxpaint-stamps-default, for the card")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="of Debian's gcompris-qt-data, for the card")
    words = "if it began with another run's weights, that run; before it the one that that began with, and so on"
    parser.add_argument("--begun-from", nargs="+", default=[], type=Path, metavar="RUN", help=words)
    parser.add_argument("--commit", metavar="HASH", help="of the code that made the run, for the card")
    parser.add_argument("--hardware", required=True, help="what the run was made on, for the card")
    args = parser.parse_args(argv)
    strangers = {}
    if args.stamps is not None:
        strangers["cut-outs on white (tuxpaint-stamps-default)"] = stamps(args.stamps)
    if args.photographs is not None:
        strangers["photographs of animals (gcompris-qt-data)"] = photographs(args.photographs)
    told = {"hardware": args.hardware, "begun_from": args.begun_from, "commit": args.commit, "strangers": strangers}
    print(bundle(args.run, args.target, args.data, **told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
