"""Train a DeiT from random weights: to classify, or to guess hidden patches."""

import argparse

from deit_ref.commands.labeled import DATA
from deit_ref.commands.recipes import listed_recipes
from deit_ref.commands.training import OUT, add_training, train

TASKS = ("classification", "masked-image-modeling")

EXAMPLES = f"""examples:
  deit-ref train --recipe cifar10-distilled --data cifar10/ \\
      --teacher cifar10-teacher --out my_checkpoint/
  deit-ref train --recipe cifar10-distilled --distillation none \\
      --data cifar10/ --out plain/
  deit-ref train --recipe cifar10-simmim --data cifar10/ --out my_simmim/ \\
      --set mask_ratio=0.5 clip_norm=none
  deit-ref train --recipe deit-300 --show      every field of a recipe

{listed_recipes(TASKS)}

{DATA}

{OUT}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_training(parser)


def run(args: argparse.Namespace) -> int:
    return train(args, tasks=TASKS)
