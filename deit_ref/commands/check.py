"""Look at photos in class folders, or at a checkpoint, before they are used; say what is there and what is wrong."""

import argparse
import os
from pathlib import Path

from deit_ref import checks
from deit_ref.checkpoints.files import BUNDLED, RUN_STATE, locate, read_json
from deit_ref.checkpoints.huggingface import CONFIG
from deit_ref.checkpoints.inspection import CheckpointReport, inspect_weights
from deit_ref.checkpoints.load import load_weights
from deit_ref.checkpoints.sources import PICKLED
from deit_ref.commands.survey import surveyed
from deit_ref.commands.terminal import json_line, printable
from deit_ref.commands.training import need
from deit_ref.data.report import Report
from deit_ref.data.survey import look_at_both

EXAMPLES = """examples:
  deit-ref check photos/                     classes, counts, what is wrong
  deit-ref check photos.zip --weights mine/  and what that model makes of them
  deit-ref check mine/                       what is inside a checkpoint
  deit-ref check mine/ --json

Photos: in class folders, as train takes them; each is read once, and you are told which are left out, turned, broken
or there twice. A checkpoint: a folder or file, a teacher, the folder of a run, or the name of what is bundled; whether
its numbers are finite is said, and a copy is written to a temporary folder and read back.

The exit code is 0 if all is well, 1 if something is wrong, and 2 if nothing could be looked at."""

_WEIGHTS = (".safetensors", *PICKLED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="photos in class folders, or a checkpoint")
    parser.add_argument("--weights", metavar="SOURCE", help="of photos: a checkpoint that shall see them")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    path = locate(args.what)
    if not path.exists():
        raise ValueError(
            f"There is no {args.what}: expected photos in class folders, a checkpoint, or one of {', '.join(BUNDLED)}."
        )
    try:
        inside = os.listdir(path) if path.is_dir() else [path.name]
    except OSError:  # what reads it says why
        inside = []
    is_checkpoint = any(name == CONFIG or name.endswith(_WEIGHTS) for name in inside)
    if is_checkpoint and args.weights is not None:
        raise ValueError(f"--weights is for photos, and {args.what} is a checkpoint: leave it out.")
    report: Report | CheckpointReport
    try:
        report = _of_checkpoint(path) if is_checkpoint else _of_photos(args)
    except ValueError as error:  # it is there, and this is what is wrong with it
        report = CheckpointReport({}, problems=(str(error),))
    print(
        json_line({"what": args.what, **report.to_dict()})
        if args.json
        else "\n".join(map(printable, str(report).splitlines()))
    )
    return 1 if report.problems else 0


def _of_photos(args: argparse.Namespace) -> Report:
    weights = None if args.weights is None else load_weights(args.weights)
    processing = None if weights is None else weights.image_processing
    sets, problems = look_at_both(args.what, processing)
    return surveyed(
        sets,
        problems=problems,
        apply_exif=None if processing is None else processing.apply_exif,
        image_shape=None if weights is None else weights.config.image_shape,
    )


def _of_checkpoint(path: Path) -> CheckpointReport:
    """Of weights, a teacher or a run that has not ended; beside the first two the run that made them is looked at."""
    run = _of_run(path) if path.is_dir() and (path / RUN_STATE).exists() else None
    if run is not None and not (path / CONFIG).exists():
        notes = (*run.notes, "the run has not ended: the command that began it goes on with --resume.")
        return CheckpointReport(run.facts, run.values, run.problems, notes)
    try:
        kind = read_json(path / CONFIG).get("kind") if (path / CONFIG).exists() else None
        found = _of_teacher(path) if str(kind).startswith("deit_ref-") else inspect_weights(path)
    except ValueError as error:
        if run is None:
            raise
        again = "the run itself is whole: the command that began it writes the weights again with --resume."
        found = CheckpointReport({}, problems=(str(error),), notes=() if run.problems else (again,))
    if run is None:
        return found
    return CheckpointReport(
        {**found.facts, **run.facts},
        {**found.values, **run.values},
        (*found.problems, *run.problems),
        (*found.notes, *run.notes),
    )


def _of_teacher(path: Path) -> CheckpointReport:
    need("torch")
    from deit_ref.training.teacher import load_teacher

    teacher, names = load_teacher(path)
    count = sum(parameter.numel() for parameter in teacher.parameters())
    facts = {
        "task": "teacher",
        "model": f"convolutions of widths {', '.join(map(str, teacher.widths))}",
        "sees": f"{teacher.image_size}x{teacher.image_size} pixels, 3 channels",
        "numbers": f"{count:,}",
        "classes": f"{len(names)}: {checks.some(names, most=20)}",
    }
    values = {
        "task": "teacher",
        "parameters": count,
        "class_names": [*names],
        "image_processing": teacher.image_processing.to_dict(),
    }
    bad = [name for name, value in teacher.state_dict().items() if not bool(value.isfinite().all())]
    problems = (f"values of {checks.some(bad)} are NaN or infinite: train it again.",) if bad else ()
    return CheckpointReport(facts, values, problems)


def _of_run(path: Path) -> CheckpointReport:
    """How far a run has come, by its checkpoint and its metrics."""
    need("torch")
    import torch

    from deit_ref.training.metrics import disagreements, read_metrics
    from deit_ref.training.state import REMEDY, load_state

    try:
        state = load_state(path, device=torch.device("cpu"))
        lines = read_metrics(path)
        recipe, seed, step, learned = state["recipe"], state["seed"], state["step"], state["average"]
        epochs, photos, problems = lines[-1]["epoch"] if lines else 0, {}, []
        if runs_on := state.get("runs_on"):  # none of a loop that was called without
            photos = runs_on["photos"]
            epoch_steps = photos["train"]["count"] // recipe["batch_size"]
            epochs, ended = step // epoch_steps, (path / CONFIG).exists()
            problems = disagreements(lines, step=step, epochs=recipe["epochs"], epoch_steps=epoch_steps, ended=ended)
        words = f"{epochs} of {recipe['epochs']} epochs, step {step}, seed {seed}"
        words += "".join(f", {split} photos: {found['count']}" for split, found in photos.items())
        bad = [name for name, value in learned.items() if value.is_floating_point() and not value.isfinite().all()]
    except ValueError as error:
        return CheckpointReport({}, problems=(str(error),))
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        reason = f"{type(error).__name__} {error}"
        return CheckpointReport(
            {}, problems=(f"{path / RUN_STATE} is damaged, parts are missing ({reason}): {REMEDY}.",)
        )
    values = {"run": {"recipe": recipe, "seed": seed, "step": step, "epochs": epochs, "runs_on": runs_on}}
    if bad:
        problems.append(f"values of {checks.some(bad)} in {path / RUN_STATE} are NaN or infinite: {REMEDY}.")
    return CheckpointReport({"run": words}, values, tuple(problems))
