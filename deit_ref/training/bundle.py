"""From a finished run to a folder that ships with the package: float16 weights, evaluated as they are, and a card.

    python -m deit_ref.training.bundle runs/distilled deit_ref/pretrained/cifar10-distilled --data cifar10/ \\
        --stamps /usr/share/tuxpaint/stamps --photographs /usr/share/gcompris-qt/rcc --hardware "2 cores"
"""

import argparse
import dataclasses
import functools
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from deit_ref.checkpoints.files import write
from deit_ref.checkpoints.huggingface import save_weights
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_images
from deit_ref.data.strangers import photographs, stamps
from deit_ref.torch_backend.model import TASKS
from deit_ref.training.evaluate import reconstruction_error
from deit_ref.training.measures import classifier, measured
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.state import load_state
from deit_ref.training.teacher import is_teacher, load_teacher, save_teacher
from deit_ref.weights import map_weights

_WHAT = {
    "teacher": "A small convolutional network that classifies photos of 32 x 32 pixels into ten classes: the teacher.",
    "classification": "A small DeiT with a class and a distillation token, which classifies photos into ten classes.",
    "masked-image-modeling": "A small DeiT that was shown photos with hidden patches and learned to draw them.",
}
_LIMITS = {
    "teacher": "Knows ten kinds of things and nothing else, and only at 32 x 32 pixels.",
    "classification": (
        "Knows ten kinds of things and nothing else: any photo becomes one of them, and the probabilities say little "
        "about photos of other things. It sees 32 x 32 pixels. A photo with its subject at the edge is cropped."
    ),
    "masked-image-modeling": "Draws colors and coarse shapes, no detail. It has no classes: fine-tune it for that.",
}


def bundle(
    run: Path,
    target: Path,
    data: Path,
    *,
    hardware: str,
    commit: str | None = None,
    strangers: Mapping[str, ImageSet] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write the weights as float16 and the card, and return what was measured on the test photos.

    Args:
        run: a folder that `train` has written.
        target: the new folder.
        data: photos with a test part.
        hardware: what the run was made on, in words.
        commit: of the code that made it, for the card.
        strangers: other pictures by which what classifies is judged; see `measures.measured`.
    """
    state = load_state(run, device=torch.device("cpu"))
    recipe = Recipe(**state["recipe"])
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
    text = card(target.name, recipe, state, found, count=count, hardware=hardware, commit=commit)
    write(target / "README.md", text.encode())
    return found


def card(
    name: str,
    recipe: Recipe,
    state: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    count: int,
    hardware: str,
    commit: str | None = None,
) -> str:
    """The model card, in Markdown."""
    base, changes = _closest(recipe)
    words = ["deit-ref", "train-teacher" if recipe.task == "teacher" else "train", "--recipe", base]
    words += ["--data", "cifar10", "--out", name, "--seed", str(state["seed"])]
    words += ["--teacher", "cifar10-teacher"] if recipe.distillation != "none" else []
    for key, value in changes.items():
        words += ["--set", f"{key}={value}"]
    unused = [] if recipe.task == "masked-image-modeling" else ["mask_ratio", "mask_block"]
    unused += [] if recipe.distillation != "none" else ["alpha", "tau"]
    papers = dataclasses.asdict(Recipe())
    rows = [
        f"| {key} | {value} | {'' if value == papers[key] else papers[key]} |"
        for key, value in dataclasses.asdict(recipe).items()
        if key not in unused
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{_WHAT[recipe.task]} {count:,} parameters, stored as float16. MIT, as the whole project.",
            "",
            "| what | measured |",
            "|---|---|",
            *_results(found),
            "",
            "All numbers are of these very files, on photos that training did not see.",
            "",
            "- Data: CIFAR-10 (Krizhevsky 2009), 50,000 photos for training and 10,000 for the test, as JPEG files.",
            f"- Command: `{shlex.join(words)}`{'' if commit is None else f', at commit {commit}'}",
            f"- Seed {state['seed']}, {state['step']:,} steps, {state['seconds'] / 60:.0f} minutes on {hardware}.",
            f"- Limits: {_LIMITS[recipe.task]}",
            "",
            "## Recipe",
            "",
            "| field | value | the paper's, for ImageNet, where it differs |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _results(found: Mapping[str, Any]) -> list[str]:
    if "masked_l1" in found:
        return [
            f"| masked L1 on {found['photos']:,} test photos, normalized units | {found['masked_l1']:.4f} |",
            f"| the same, guessing the mean color of what is visible | {found['mean_color']:.4f} |",
            f"| the same, interpolating between visible neighbors | {found['neighbors']:.4f} |",
        ]
    names = {"top1": "top-1", "top5": "top-5", "cls_top1": "top-1, class head alone"}
    names["distillation_top1"] = "top-1, distillation head alone"
    rows = [
        f"| {text}, {found['photos']:,} test photos | {found[key]:.2%} |" for key, text in names.items() if key in found
    ]
    rows += [f"| top-1, test photos saved again as JPEG of quality {q} | {v:.2%} |" for q, v in found["jpeg"].items()]
    told = found["calibration"]
    of = f"of {told['photos']:,} test photos, 15 bins"
    rows += [
        f"| expected calibration error, {of} | {told['error']:.4f} |",
        f"| the same, logits divided by {told['temperature']:.3f} (fitted on the other test photos) | "
        f"{told['error_with_it']:.4f} |",
    ]
    rows += [
        f"| top-1, {told['photos']} {name}, nothing learned from | {told['top1']:.1%} |"
        for name, told in found["strangers"].items()
    ]
    return [*rows, *(f"| {name} | {share:.1%} |" for name, share in found["per_class"].items())]


def _closest(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """The named recipe that differs least, and what differs."""

    def difference(base: Recipe) -> dict[str, Any]:
        before = dataclasses.asdict(base)
        return {key: value for key, value in dataclasses.asdict(recipe).items() if value != before[key]}

    return min(((name, difference(base)) for name, base in RECIPES.items()), key=lambda pair: len(pair[1]))


def main(argv: list[str] | None = None) -> int:
    """Bundle one run and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.training.bundle", description=__doc__)
    parser.add_argument("run", type=Path, help="a folder that train or train-teacher has written")
    parser.add_argument("target", type=Path, help="the folder to write")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a test part")
    parser.add_argument("--stamps", type=Path, metavar="DIR", help="of Debian's tuxpaint-stamps-default, for the card")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="of Debian's gcompris-qt-data, for the card")
    parser.add_argument("--commit", metavar="HASH", help="of the code that made the run, for the card")
    parser.add_argument("--hardware", required=True, help="what the run was made on, for the card")
    args = parser.parse_args(argv)
    strangers = {}
    if args.stamps is not None:
        strangers["cut-outs on white (tuxpaint-stamps-default)"] = stamps(args.stamps)
    if args.photographs is not None:
        strangers["photographs of animals (gcompris-qt-data)"] = photographs(args.photographs)
    print(bundle(args.run, args.target, args.data, hardware=args.hardware, commit=args.commit, strangers=strangers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
