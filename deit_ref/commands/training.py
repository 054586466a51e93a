"""What `train-teacher`, `train` and `finetune` share: their arguments, a run, and what is said of it.

torch is imported once a run begins: help, mistakes and `--show` do without.
"""

import argparse
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import deit_ref
from deit_ref.commands.arguments import count, natural
from deit_ref.commands.recipes import changed_recipe, recipe_table
from deit_ref.commands.terminal import say
from deit_ref.photos import write_png
from deit_ref.training.recipe import DISTILLATIONS, RECIPES, Recipe

OUT = """Ctrl-C finishes the step and writes a checkpoint; the same command with --resume goes on from it. OUT gets the
weights, checkpoint.pt, metrics.jsonl (a line per epoch) and metrics.png. For several GPUs or machines:
torchrun --nproc-per-node 2 -m deit_ref COMMAND ..."""

_OPTIONS = ("epochs", "batch_size", "image_size", "distillation")  # options that stand for a field of the recipe


def add_training(parser: argparse.ArgumentParser, *, recipe: str | None = None, student: bool = True) -> None:
    """What may follow every command that trains; `recipe` is what it trains by if none is named."""
    usual = f" (default: {recipe})" if recipe else ""
    parser.add_argument("--recipe", metavar="NAME", default=recipe, help=f"how it is trained{usual}")
    parser.add_argument("--data", metavar="DATA", help="photos in class folders")
    parser.add_argument("--out", metavar="OUT", help="a folder for what is trained; made if it is not there")
    if student:
        parser.add_argument("--teacher", metavar="SOURCE", help="what to learn from: of train-teacher, or weights")
        parser.add_argument("--distillation", choices=DISTILLATIONS, help="(default: as in the recipe)")
    parser.add_argument("--epochs", type=count, metavar="N", help="(default: as in the recipe)")
    parser.add_argument("--batch-size", type=count, metavar="N", help="photos per step (default: as in the recipe)")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        type=_change,
        default=[],
        metavar="FIELD=VALUE",
        help="change other fields of the recipe; --show lists them",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--device", help="of torch (default: cuda if there is one, else cpu)")
    parser.add_argument("--no-bfloat16", action="store_true", help="compute in float32 where bfloat16 is faster, too")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    parser.add_argument("--show", action="store_true", help="print the recipe with all changes, and stop")


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected field=value, such as epochs=3, got {text!r}")
    return name, value


def train(args: argparse.Namespace, *, tasks: Sequence[str]) -> int:
    """Train by a recipe of one of these tasks, or show the recipe."""
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
    need("torch", "tqdm", *(["kornia"] if recipe.rand_augment else []))
    from deit_ref.training import run
    from deit_ref.training.state import NAME

    if (out / "config.json").exists() and not (out / NAME).exists():
        raise ValueError(f"--out {out} holds other weights, which would be lost: choose another folder.")
    _let_the_first_process_speak()
    task = None
    if weights is not None:
        weights = deit_ref.load_weights(weights)
        task = "classification" if recipe.distillation == "none" else "classification-with-teacher"
    try:
        run.train(
            recipe,
            args.data,
            out,
            teacher=teacher,
            start=weights,
            task=task,
            seed=args.seed,
            resume=args.resume,
            device=args.device,
            bfloat16=False if args.no_bfloat16 else None,
            report=lambda line: _write(_line(line, recipe)),
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
    from deit_ref import plots
    from deit_ref.training.metrics import read_metrics

    if find_spec("matplotlib") is None:
        say("the run is not drawn: matplotlib is not installed.")
    else:
        write_png(out / "metrics.png", plots.rendered(plots.training_curves(read_metrics(out))))
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


def _is_missing(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name, "") is None and not (args.show and name != "recipe")


def need(*packages: str) -> None:
    """Raise a ValueError that says how to install what is not there."""
    for name in packages:
        if find_spec(name) is None:
            raise ValueError(
                f"This command needs {name}, which is not installed: pip install -c constraints.txt '.[train]'."
            )


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _let_the_first_process_speak() -> None:
    """Under torchrun, what all processes would say is said once; errors are not held back."""
    if not _is_first_process():
        logging.getLogger("deit_ref").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
