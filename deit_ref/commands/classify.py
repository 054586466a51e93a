"""Print the most probable classes of each image; of many images fast, and under torchrun in several processes."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from deit_ref import checks
from deit_ref.commands.arguments import add_force, add_model, count, natural, new_file, refuse_to_replace
from deit_ref.commands.pipeline import MANY, Answer, Pace, classify_files, default_workers
from deit_ref.commands.shared import chosen_weights, warn_of_turned
from deit_ref.commands.terminal import json_line, printable, progress, say
from deit_ref.config import TASKS
from deit_ref.photo_names import find_images
from deit_ref.photos import bundled_photo, exif_orientation

EXAMPLES = """examples:
  deit-ref classify cat.jpg                five most probable classes
  deit-ref classify photos/ 'more/*.png'   all below a folder, of a pattern
  deit-ref classify photos/ --json | head  one JSON object per line
  deit-ref classify photos/ --out answers.jsonl --backend torch \\
      --device cuda --dtype float16
  torchrun --nproc-per-node 4 -m deit_ref classify photos/ \\
      --out answers.jsonl --backend torch --device cuda

A file that cannot be read is reported and the rest goes on; the exit code is then 1, except under torchrun. Of many
files, processes decode some ahead and all cores compute a batch each, and at the end you are told the pace and what
sets it. Under torchrun each process takes a share, and the answers are merged in the files' order."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="files, folders or patterns (default: bundled photo)"
    )
    add_model(parser)
    parser.add_argument("--top", type=count, default=5, metavar="K", help="how many classes to show (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per image and line")
    parser.add_argument(
        "--out", type=new_file(".jsonl"), metavar="FILE.jsonl", help="write these lines to a file instead"
    )
    add_force(parser, help="replace FILE.jsonl if it is there")
    parser.add_argument("--batch-size", type=count, metavar="N", help="photos at a time (default: 8; 64 on a GPU)")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="of thousands of photos, with --backend torch on a CPU: compile the model first, for a minute",
    )
    parser.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help="processes that decode (default: one per processor, for many files)",
    )


def run(args: argparse.Namespace) -> int:
    refuse_to_replace(args.out, force=args.force)
    names = find_images(args.images)
    if not names:
        names = [str(bundled_photo())]
        say("no image was given: this is the bundled photo.")
    if not any(os.path.isfile(name) for name in names):
        exif_orientation(names[0])  # raises the error that says what this name is, before weights are loaded
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        failed = _classify(args, names, args.out)
        if args.out is not None:
            say(f"{args.out}: {checks.amount(len(names), 'answer')}, {failed} of them errors.")
        return 1 if failed else 0
    if args.out is None:
        raise ValueError("several processes need --out FILE.jsonl, into which their answers are merged.")
    from deit_ref.training.processes import gathered, processes

    with processes(args.device or "cpu") as (device, rank, world):
        if args.backend == "torch":
            args.device = device
        share = f"{args.out}.{rank}"
        _classify(args, names[rank::world], share)
        lines = gathered(Path(share).read_text(encoding="utf-8").splitlines(), rank=rank, world=world)
        if rank == 0:
            with _new_text(args.out) as file:
                file.writelines(f"{line}\n" for line in lines)
            failed = sum("error" in json.loads(line) for line in lines)
            say(f"{args.out}: {checks.amount(len(lines), 'answer')} of {world} processes, {failed} of them errors.")
        os.remove(share)
    return 0  # to torchrun anything else is a crash


def _classify(args: argparse.Namespace, names: list[str], out: str | None) -> int:
    """Answer to standard output or to a file; how many images could not be read."""
    if args.compile and args.backend != "torch":
        raise ValueError("--compile is a way of torch: add --backend torch, or leave it out.")
    weights = chosen_weights(args)
    if weights.config.num_labels == 0:
        raise ValueError(
            "classify needs weights with classes, got a model without labels (num_labels=0): fine-tune it."
        )
    if weights.head is None:
        raise ValueError(
            f"classify needs weights with a classification head, got the task {weights.task!r}: expected one of "
            f"{', '.join(task for task in TASKS if task.startswith('classification'))}. `inspect` takes any task."
        )
    workers = default_workers(len(names)) if args.workers is None else args.workers
    batch_size = args.batch_size or (64 if str(args.device).startswith("cuda") else 8)
    pace = Pace()
    answers = classify_files(
        weights,
        names,
        backend=args.backend,
        batch_size=batch_size,
        compiled=args.compile,
        workers=workers,
        top=args.top,
        pace=pace,
    )
    failed, turned = 0, []
    with ExitStack() as stack:
        steps, write = stack.enter_context(progress(answers, len(names)))
        file = None if out is None else stack.enter_context(_new_text(out))
        for answer in steps:
            if answer.turned:
                turned.append(answer.name)
            if answer.problem:
                failed += 1
                say(f"error: {answer.problem}")
            if file is not None:
                file.write(_as_json(answer) + "\n")
            elif args.json:
                write(_as_json(answer))
            elif not answer.problem:
                shown = (f"  {p:7.2%}  {printable(label)}" for label, p in answer.top)
                write("\n".join([printable(answer.name), *shown]))
    warn_of_turned(turned, len(names))
    if len(names) >= MANY:
        say(pace)
    return failed


def _as_json(answer: Answer) -> str:
    if answer.problem:
        return json_line({"image": answer.name, "error": answer.problem})
    return json_line({"image": answer.name, "top": [{"class": label, "probability": p} for label, p in answer.top]})


@contextmanager
def _new_text(path: str) -> Iterator[TextIO]:
    """A file that takes its name when it is complete."""
    with open(f"{path}.unfinished", "w", encoding="utf-8") as file:
        yield file
    os.replace(f"{path}.unfinished", path)
