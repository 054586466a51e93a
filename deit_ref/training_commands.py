"""What the commands that train and evaluate do; torch is imported once one of them runs."""

import argparse
import dataclasses
import json
import logging
import math
import os
import shlex
import sys
import types
import typing
import warnings
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import deit_ref
from deit_ref import checks, plots
from deit_ref.commands import say
from deit_ref.photos import write_png
from deit_ref.training.recipe import FIELDS, RECIPES, Recipe

_OPTIONS = ("epochs", "batch_size", "image_size", "distillation")  # options that stand for a field of the recipe
_TYPES = {field.name: field.type for field in dataclasses.fields(Recipe)}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def train_teacher(args: argparse.Namespace) -> int:
    """Train a convolutional network to learn from."""
    return _train(args, tasks=("teacher",))


def train(args: argparse.Namespace) -> int:
    """Train a DeiT from random weights: to classify, or to guess hidden patches."""
    return _train(args, tasks=("classification", "masked-image-modeling"))


def finetune(args: argparse.Namespace) -> int:
    """Train a checkpoint further: on the class token alone, or with a teacher on both tokens."""
    return _train(args, tasks=("classification",))


def evaluate(args: argparse.Namespace) -> int:
    """Print how well weights or a teacher do on labelled photos."""
    _need("torch")
    from deit_ref.training.data import open_images
    from deit_ref.training.teacher import is_teacher

    images = open_images(args.data, args.split)
    if args.weights is not None and is_teacher(args.weights):
        found = _evaluate_teacher(args, images)
    else:
        found = _evaluate_weights(args, images)
    found = {"weights": args.weights, "data": args.data, "split": args.split, **found}
    print(json.dumps(_without_nan(found)) if args.json else _report(found))
    return 0


def changed_recipe(name: str, changes: Iterable[tuple[str, str]]) -> Recipe:
    """A named recipe with fields changed by words, such as ("epochs", "3") or ("clip_norm", "none").

    Raises:
        ValueError: there is no such recipe or field, a field is given twice, or a word is none of its type.
    """
    recipe = RECIPES[checks.choice("--recipe", name, RECIPES)]
    values: dict[str, Any] = {}
    for field, word in changes:
        if field in values:
            raise ValueError(f"{field} is given twice, {values[field]!r} and {word!r}: give it once.")
        values[field] = _converted(field, word) if field in FIELDS else word
    return recipe.with_changes(**values)


def recipe_table(recipe: Recipe) -> str:
    """Every field and its value; what differs from DeiT's own recipe stands beside that."""
    own = Recipe()
    rows = []
    for name in FIELDS:
        value, usual = getattr(recipe, name), getattr(own, name)
        note = "" if value == usual else f"  (deit-300: {usual})"
        rows.append(f"{name:<22}{value!s:<10}{note}".rstrip())
    return "\n".join(rows)


def _train(args: argparse.Namespace, *, tasks: tuple[str, ...]) -> int:
    if missing := [f"--{name}" for name in ("recipe", "data", "out", "weights") if _is_missing(args, name)]:
        raise ValueError(f"{args.command} needs {' and '.join(missing)} (see deit-ref {args.command} --help)")
    options = {name: getattr(args, name, None) for name in _OPTIONS}
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    recipe = changed_recipe(args.recipe, [*given, *args.set])
    if recipe.task not in tasks:
        fitting = [name for name, known in RECIPES.items() if known.task in tasks]
        raise ValueError(
            f"{args.command} does not train the task {recipe.task!r} of the recipe {args.recipe}: choose one of "
            f"{', '.join(fitting)}, or another command."
        )
    if args.show:
        print(recipe_table(recipe))
        return 0
    teacher, weights, out = getattr(args, "teacher", None), getattr(args, "weights", None), Path(args.out)
    if weights is not None and "model" in dict(args.set):
        raise ValueError("--set model is not for finetune: the model is that of --weights.")
    if recipe.distillation != "none" and teacher is None:
        raise ValueError(
            f"The recipe learns from a teacher (distillation {recipe.distillation}): give one by --teacher, or learn "
            "without by --distillation none."
        )
    if recipe.distillation == "none" and teacher is not None:
        raise ValueError("The recipe learns without a teacher: leave out --teacher, or add --distillation hard.")
    _need("torch", "tqdm", *(["kornia"] if recipe.rand_augment else []))
    from deit_ref.training import run
    from deit_ref.training.state import NAME

    if (out / "config.json").exists() and not (out / NAME).exists():
        raise ValueError(f"--out {out} holds other weights, which would be lost: choose another folder.")
    _let_the_first_process_speak()
    begin: dict[str, Any] = {}
    if weights is not None:
        task = "classification" if recipe.distillation == "none" else "classification-with-teacher"
        begin = {"start": deit_ref.load_weights(weights), "task": task}
    try:
        run.train(
            recipe,
            args.data,
            out,
            teacher=teacher,
            seed=args.seed,
            resume=args.resume,
            device=args.device,
            bfloat16=False if args.no_bfloat16 else None,
            report=lambda line: _write(_line(line, recipe)),
            **begin,
        )
    except KeyboardInterrupt:
        if _is_first_process():
            kept = (out / NAME).exists()
            say(f"interrupted: {f'the same command with --resume goes on in {out}' if kept else 'nothing is kept'}.")
        raise
    if _is_first_process():
        _finish(args, recipe, out)
    return 0


def _finish(args: argparse.Namespace, recipe: Recipe, out: Path) -> None:
    """Draw the run, and say where the weights are and what to do with them."""
    from deit_ref.training.loop import METRICS

    lines = [json.loads(line) for line in (out / METRICS).read_text(encoding="utf-8").splitlines()]
    if find_spec("matplotlib") is None:
        say("the run is not drawn: matplotlib is not installed.")
    else:
        write_png(out / "metrics.png", plots.rendered(plots.training_curves(lines)))
    folder, data = shlex.quote(str(out)), shlex.quote(str(args.data))
    following = {
        "teacher": [f"train --recipe cifar10-distilled --data {data} --teacher {folder} --out NEW"],
        "masked-image-modeling": [
            f"reconstruct photo.jpg --weights {folder} --out guess.png",
            f"finetune --weights {folder} --recipe cifar10-finetune --data {data} --out NEW",
        ],
        "classification": [f"classify photo.jpg --weights {folder}"],
    }[recipe.task]
    print(f"{out}: the {'teacher' if recipe.task == 'teacher' else 'weights'}, metrics.jsonl and checkpoint.pt.")
    print("\n".join(f"  deit-ref {words}" for words in following))


def _line(line: Mapping[str, Any], recipe: Recipe) -> str:
    """One epoch, to be read."""
    parts = [f"epoch {line['epoch']:>{len(str(recipe.epochs))}}/{recipe.epochs}", f"loss {line['loss']:.4f}"]
    if "accuracy" in line:
        parts.append(f"accuracy {line['accuracy']:.2%}")
    test = line.get("test", {})
    if "top1" in test:
        parts.append(f"test top-1 {test['top1']:.2%}")
    if "masked_l1" in test:
        guesses = f"mean color {test['mean_color']:.4f}, neighbors {test['neighbors']:.4f}"
        parts.append(f"test masked L1 {test['masked_l1']:.4f} ({guesses})")
    return ", ".join([*parts, f"learning rate {line['learning_rate']:.3g}", f"{line['seconds']:.0f} s"])


def _write(text: str) -> None:
    """A line on standard output at once, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _evaluate_teacher(args: argparse.Namespace, images: Any) -> dict[str, Any]:
    from deit_ref.training import evaluate as evaluation
    from deit_ref.training.teacher import load_teacher

    teacher, names = load_teacher(args.weights)
    _check_classes(names, len(names), images)
    where, processing = _device(args), teacher.image_processing
    return evaluation.evaluate(teacher.to(where), images, processing, device=where, batch_size=args.batch_size)


def _evaluate_weights(args: argparse.Namespace, images: Any) -> dict[str, Any]:
    from deit_ref.training import evaluate as evaluation

    weights = deit_ref.load_weights(args.weights)
    if weights.task == "features":
        raise ValueError("evaluate needs weights that classify or guess hidden patches, got the task 'features'.")
    if weights.task != "masked-image-modeling":
        _check_classes(weights.class_names, weights.config.num_labels, images)
    where = _device(args)
    weights = weights.to("torch", device=where)

    def model(pixel_values: Any, **options: Any) -> Any:
        return deit_ref.forward(weights, pixel_values=pixel_values, backend="torch", **options)

    processing = weights.image_processing
    if weights.task != "masked-image-modeling":
        return evaluation.evaluate(model, images, processing, device=where, batch_size=args.batch_size)
    recipe = Recipe(task=weights.task, mask_ratio=args.mask_ratio, mask_block=args.block)
    found = evaluation.reconstruction_error(
        model, images, processing, recipe, weights.config, device=where, batch_size=args.batch_size
    )
    return {**found, "mask_ratio": args.mask_ratio, "block": args.block}


def _check_classes(names: tuple[str, ...] | None, count: int, images: Any) -> None:
    """Labels mean the same in both: the names are equal, or nothing but their number and order can be compared."""
    folders = images.class_names
    if names == folders:
        return
    if count != len(folders) or (names is not None and {*names} & {*folders}):
        known = "" if names is None else f" ({checks.some(names)})"
        raise ValueError(
            f"The weights know {count} classes{known}, the photos are of {len(folders)} ({checks.some(folders)}): both "
            "must be the same, in the same order."
        )
    first = "the weights' first class" if names is None else repr(names[0])
    say(f"warning: classes are compared by their order, not by name: {folders[0]!r} is taken for {first}.")


def _report(found: Mapping[str, Any]) -> str:
    lines = [f"{found['photos']} photos, split {found['split']}"]
    if "masked_l1" in found:
        lines[0] += f", {found['mask_ratio']:.0%} hidden in squares of {found['block']}x{found['block']} patches"
        names = {"masked_l1": "masked L1", "mean_color": "by the mean color", "neighbors": "by the neighbors"}
        return "\n".join([*lines, *(f"  {words:<20} {found[name]:.4f}" for name, words in names.items())])
    names = {"top1": "top-1", "top5": "top-5", "cls_top1": "class head", "distillation_top1": "distillation head"}
    lines += [f"  {words:<20} {found[name]:8.2%}" for name, words in names.items() if name in found]
    lines.append(f"  {'loss':<20} {found['loss']:8.4f}")
    lines.append("top-1 of each class")
    lines += [f"  {name:<20} {share:8.2%}" for name, share in found["per_class"].items()]
    return "\n".join(lines)


def _converted(field: str, word: str) -> Any:
    kinds = typing.get_args(_TYPES[field]) or (_TYPES[field],)
    if types.NoneType in kinds and word.lower() == "none":
        return None
    kind = kinds[0]
    try:
        return {"true": True, "false": False}[word.lower()] if kind is bool else kind(word)
    except (ValueError, KeyError):
        also = " or none" if types.NoneType in kinds else ""
        raise ValueError(f"{field} must be {_WORDS[kind]}{also}, got {word!r}.") from None


def _is_missing(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name, "") is None and not (args.show and name != "recipe")


def _need(*packages: str) -> None:
    for name in packages:
        if find_spec(name) is None:
            raise ValueError(
                f"This command needs {name}, which is not installed: pip install -c constraints.txt '.[train]'."
            )


def _device(args: argparse.Namespace) -> Any:
    import torch

    from deit_ref.arrays import as_device

    return as_device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _let_the_first_process_speak() -> None:
    """Under torchrun, what all processes would say is said once; errors are not held back."""
    if not _is_first_process():
        logging.getLogger("deit_ref").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
