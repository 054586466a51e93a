"""The card of a bundled checkpoint: what was measured of it, how it was trained, and where that is not the paper's."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from deit_ref.training.recipe import RECIPES, Recipe

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
_ORDINALS = ("first", "second", "third", "fourth")


def card(
    name: str,
    state: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    count: int,
    hardware: str,
    before: Sequence[Mapping[str, Any]] = (),
    commit: str | None = None,
) -> str:
    """The model card, in Markdown, of a run's state and of those before it, each begun with the last one's weights."""
    recipe = Recipe(**state["recipe"])
    runs = [*before, state]
    names = [*(_ORDINALS[i] for i in range(len(before))), name]
    commands = [
        f"`{_command(one, out, weights=start)}`" for one, out, start in zip(runs, names, [None, *names], strict=False)
    ]
    unused = [] if recipe.task == "masked-image-modeling" else ["mask_ratio", "mask_block"]
    unused += [] if recipe.distillation != "none" else ["alpha", "tau"]
    papers = dataclasses.asdict(Recipe())
    rows = [
        f"| {key} | {value} | {'' if value == papers[key] else papers[key]} |"
        for key, value in dataclasses.asdict(recipe).items()
        if key not in unused
    ]
    others = [
        f"the {ordinal} has {_differences(one['recipe'], state['recipe'])}"
        for ordinal, one in zip(_ORDINALS, before, strict=False)
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
            f"- Command: {', then '.join(commands)}{'' if commit is None else f', at commit {commit}'}",
            f"- Trained with {', then with '.join(map(_steps, runs))} on {hardware}.",
            f"- Limits: {_LIMITS[recipe.task]}",
            "",
            "## Recipe",
            "",
            *([f"Of the last command; {'; '.join(others)}.", ""] if others else []),
            "| field | value | the paper's, for ImageNet, where it differs |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in one.items() if value != other[key]) or "nothing else"


def _command(state: Mapping[str, Any], out: str, *, weights: str | None = None) -> str:
    recipe = Recipe(**state["recipe"])
    base, changes = _closest(recipe)
    command = "train-teacher" if recipe.task == "teacher" else "train" if weights is None else "finetune"
    words = ["deit-ref", command, *([] if weights is None else ["--weights", weights])]
    words += ["--recipe", base, "--data", "cifar10", "--out", out, "--seed", str(state["seed"])]
    words += ["--teacher", "cifar10-teacher"] if recipe.distillation != "none" else []
    return shlex.join(words + [word for key, value in changes.items() for word in ("--set", f"{key}={value}")])


def _steps(state: Mapping[str, Any]) -> str:
    return f"seed {state['seed']}: {state['step']:,} steps, {state['seconds'] / 60:.0f} minutes"


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
