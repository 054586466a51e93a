"""Write a checkpoint as transformers does, read it back and compare."""

import argparse
from pathlib import Path

import deit_ref
from deit_ref.checkpoints.inspection import differences
from deit_ref.commands.arguments import natural
from deit_ref.commands.shared import warn_of_weights
from deit_ref.commands.terminal import printable
from deit_ref.config import TASKS
from deit_ref.weights import named_arrays

EXAMPLES = """examples:
  deit-ref convert deit_tiny.pth my_checkpoint/
  deit-ref convert training.pth my_checkpoint/ --revision ema

Writes config.json, preprocessor_config.json and model.safetensors, which transformers and deit-ref load, then reads
them back and compares every array bit for bit."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint: a folder, a file, or a name on the hub")
    parser.add_argument("folder", metavar="FOLDER", help="where to write; made if it is not there")
    parser.add_argument(
        "--force", action="store_true", help="write into a folder that is not empty; files of other names stay"
    )
    parser.add_argument("--task", choices=TASKS, metavar="TASK", help=f"what to keep: {', '.join(TASKS)}")
    parser.add_argument("--seed", type=natural, metavar="N", help="draw a head that the task needs and SOURCE lacks")
    parser.add_argument("--revision", help="version of a name on the hub; ema for a training file's averaged weights")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    if folder.is_dir() and any(folder.iterdir()) and not args.force:
        raise ValueError(f"{folder} is not empty: choose another folder, or add --force to replace the files in it.")
    weights = deit_ref.load_weights(args.source, task=args.task, seed=args.seed, revision=args.revision)
    warn_of_weights(weights)
    deit_ref.save_weights(weights, folder)
    if wrong := differences(weights, deit_ref.load_weights(folder)):
        raise ValueError(f"{folder} does not read back as it was written, do not use it: {', '.join(wrong)} changed.")
    print(
        f"{printable(str(folder))}: {len(list(named_arrays(weights)))} arrays of {weights.num_parameters:,} "
        f"{weights.pos_embed.dtype} numbers, task {weights.task}; read back, and every array is equal bit for bit."
    )
    return 0
