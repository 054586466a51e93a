"""What `train-teacher`, `train` and `finetune` share: their arguments, a run, and what is said of it.

torch is imported once a run begins: help, mistakes and `--show` do without.
"""

import argparse
import errno
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
from deit_ref import checks
from deit_ref.commands.arguments import count, natural
from deit_ref.commands.evaluation import chosen_device, in_words, judged, torch_model, write_confusion
from deit_ref.commands.labeled import add_data, add_val_split, given_data, opened
from deit_ref.commands.recipes import changed_recipe, recipe_table
from deit_ref.commands.terminal import json_line, printable, say
from deit_ref.data.images import ImageSet
from deit_ref.photos import write_png
from deit_ref.training.recipe import DISTILLATIONS, RECIPES, Recipe

OUT = """Ctrl-C finishes the step and writes a checkpoint; the same command with --resume goes on from it. OUT gets the
weights, checkpoint.pt, metrics.jsonl (a line per epoch) and metrics.png. For several GPUs or machines:
torchrun --nproc-per-node 2 -m deit_ref COMMAND ..."""

logger = logging.getLogger("deit_ref")

OWN_PHOTOS = "own-photos"  # the recipe that takes the size of the weights

_NEEDED = {"recipe": "--recipe", "data": "DATA", "out": "--out"}
_OPTIONS = ("epochs", "batch_size", "image_size", "distillation")  # options that stand for a field of the recipe


def add_training(
    parser: argparse.ArgumentParser,
    *,
    recipe: str | None = None,
    student: bool = True,
    val_split: float = 0.0,
    usual_exif: str = "as stored",
) -> None:
    """What may follow every command that trains; `recipe` and `val_split` are what it takes if none is given."""
    usual = f" (default: {recipe})" if recipe else ""
    parser.add_argument("--recipe", metavar="NAME", default=recipe, help=f"how it is trained{usual}")
    add_data(parser, usual_exif=usual_exif)
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
    add_val_split(parser, usual=val_split)
    parser.add_argument(
        "--evaluate-every",
        type=count,
        metavar="N",
        help="epochs between looks at the test photos (default: 1, or more of many short ones)",
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
    args.data = given_data(args)
    if missing := [word for name, word in _NEEDED.items() if _is_missing(args, name)]:
        raise ValueError(f"{args.command} needs {' and '.join(missing)} (see deit-ref {args.command} --help)")
    recipe, given = _chosen_recipe(args, tasks)
    if args.show:
        print(recipe_table(recipe))
        return 0
    _check_teacher(args, recipe)
    need("torch", "tqdm", *(["kornia"] if recipe.rand_augment else []))
    from deit_ref.arrays import as_device
    from deit_ref.training import run
    from deit_ref.training.fitted import fitted
    from deit_ref.training.state import NAME, checkpoint_of
    from deit_ref.training.student import processing_of

    out, weights, task = Path(args.out), None, None
    # Before photos are read, which may take a while.
    as_device(args.device or "cpu")
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"--out {out} must be a folder that can be written into: choose another folder.")
    if (out / NAME).exists() and not args.resume:
        raise ValueError(f"--out {out} holds a run already: go on with --resume, or choose another folder.")
    if args.resume:
        checkpoint_of(out)
    if (out / "config.json").exists() and not (out / NAME).exists():
        raise ValueError(f"--out {out} holds other weights, which would be lost: choose another folder.")
    _let_the_first_process_speak()
    if args.command == "finetune":
        weights = deit_ref.load_weights(args.weights)
        task = "classification" if recipe.distillation == "none" else "classification-with-teacher"
        if args.recipe == OWN_PHOTOS:
            recipe = recipe.of_size(weights.config.image_shape[0], given)
    splits, held_out = opened(args, processing_of(recipe, weights), recipe.image_size)
    recipe, said = fitted(recipe, len(splits["train"]), given=given, processes=int(os.environ.get("WORLD_SIZE", 1)))
    if said:
        logger.info("the recipe %s is fitted: %s.", args.recipe, ", ".join(said))
    every = args.evaluate_every or _epochs_per_line(recipe, len(splits["train"]))

    def report(line: Mapping[str, Any]) -> None:
        if line["epoch"] % every == 0 or line["epoch"] == recipe.epochs:
            _write(_line(line, recipe))

    try:
        run.train(
            recipe,
            splits,
            out,
            teacher=getattr(args, "teacher", None),
            start=weights,
            task=task,
            seed=args.seed,
            resume=args.resume,
            device=args.device,
            bfloat16=False if args.no_bfloat16 else None,
            held_out=held_out,
            assess_every=every,
            report=report,
        )
        if _is_first_process():
            _finish(args, recipe, out, splits.get("test"), held_out)
    except KeyboardInterrupt:
        if _is_first_process():
            kept = (out / NAME).exists()
            say(f"interrupted: {f'the same command with --resume goes on in {out}' if kept else 'nothing is kept'}.")
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not (out / NAME).exists():
            raise
        raise OSError(
            f"{out} could not be written ({error.strerror}), but the checkpoint there is whole: make room, and the "
            "same command with --resume goes on."
        ) from error
    return 0


def _epochs_per_line(recipe: Recipe, photos: int) -> int:
    """Of many short epochs not each is judged and told: one in about 25 steps, but ten of a run."""
    return max(1, min(25 * recipe.batch_size // photos, recipe.epochs // 10))


def _chosen_recipe(args: argparse.Namespace, tasks: Sequence[str]) -> tuple[Recipe, set[str]]:
    """The recipe with all changes, and the names of the fields that were given."""
    options = {name: getattr(args, name, None) for name in _OPTIONS}
    options["apply_exif"] = args.exif
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    recipe = changed_recipe(args.recipe, [*given, *args.set])
    if recipe.task not in tasks:
        fitting = [name for name, known in RECIPES.items() if known.task in tasks]
        raise ValueError(
            f"{args.command} does not train the task {recipe.task!r} of the recipe {args.recipe}: choose one of "
            f"{', '.join(fitting)}, or another command."
        )
    return recipe, {name for name, _ in (*given, *args.set)}


def _check_teacher(args: argparse.Namespace, recipe: Recipe) -> None:
    """What was said of weights and teacher goes together."""
    teacher = getattr(args, "teacher", None)
    if args.command == "finetune" and "model" in dict(args.set):
        raise ValueError("--set model is not for finetune: the model is that of --weights.")
    if recipe.distillation != "none" and teacher is None:
        raise ValueError(
            f"The recipe learns from a teacher (distillation {recipe.distillation}): give one by --teacher, or learn "
            "without by --distillation none."
        )
    if recipe.distillation == "none" and teacher is not None:
        raise ValueError("The recipe learns without a teacher: leave out --teacher, or add --distillation hard.")


def _finish(args: argparse.Namespace, recipe: Recipe, out: Path, test: ImageSet | None, held_out: float) -> None:
    """Draw the run, judge what came of it, and say where the weights are and what to do with them."""
    from deit_ref import plots
    from deit_ref.training.metrics import read_metrics

    drawn, files = find_spec("matplotlib") is not None, ["metrics.jsonl", "checkpoint.pt"]
    if drawn:
        files.insert(1, "metrics.png")
        write_png(out / "metrics.png", plots.rendered(plots.training_curves(read_metrics(out))))
    else:
        say("the run is not drawn: matplotlib is not installed.")
    if recipe.task == "classification" and test is not None:
        # What was written is judged, not what was trained.
        where = chosen_device(args)
        weights = deit_ref.load_weights(out).to("torch", device=where)
        found = judged(torch_model(weights), test, weights.image_processing, device=where)
        (out / "evaluation.json").write_text(json_line(found) + "\n", encoding="utf-8")
        files.insert(0, "evaluation.json")
        if drawn:
            write_confusion(out / "confusion.png", found["confusion"])
            files.insert(1, "confusion.png")
        print(f"{checks.amount(len(test), 'photo that was', 'photos that were')} not learned from\n{in_words(found)}")
    folder, data = shlex.quote(str(out)), shlex.quote(str(args.data))
    unseen = "NEW" if test is None else data
    by_the_same = f" --val-split {held_out} --seed {args.seed}" if held_out else ""
    following = {
        "teacher": [f"train --recipe cifar10-distilled --data {data} --teacher {folder} --out NEW"],
        "masked-image-modeling": [
            f"reconstruct photo.jpg --weights {folder} --out guess.png",
            f"finetune {data} --weights {folder} --recipe cifar10-finetune --out NEW",
        ],
        "classification": [
            f"classify photo.jpg --weights {folder}",
            f"evaluate {unseen} --weights {folder}{by_the_same}",
        ],
    }[recipe.task]
    what = "teacher" if recipe.task == "teacher" else "weights"
    print(printable(f"{out}: the {what}, {', '.join(files[:-1])} and {files[-1]}."))
    print("\n".join(printable(f"  deit-ref {words}") for words in following))


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
            raise ValueError(f"This command needs {name}, which is not installed: {checks.install('train')}.")


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _let_the_first_process_speak() -> None:
    """Under torchrun, what all processes would say is said once; errors are not held back."""
    if not _is_first_process():
        logger.setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
