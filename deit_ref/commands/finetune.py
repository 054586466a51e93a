"""Train a checkpoint further: on the class token alone, or with a teacher on both tokens."""

import argparse

from deit_ref.commands.arguments import count
from deit_ref.commands.labelled import DATA
from deit_ref.commands.recipes import listed_recipes
from deit_ref.commands.training import OUT, add_training, train

TASKS = ("classification",)

EXAMPLES = f"""examples:
  deit-ref finetune --weights my_simmim/ --recipe cifar10-finetune --data cifar10/ --out tuned/
  deit-ref finetune --weights my_checkpoint/ --recipe cifar10-finetune --distillation hard --teacher my_teacher/ \\
      --data flowers/ --out tuned/ --image-size 48

Without a teacher the class token alone learns, with one both tokens do. Other classes than those of the weights get
new heads, another size gets interpolated positions; both are said.

{listed_recipes(TASKS)}

{DATA}

{OUT}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="SOURCE", help="the checkpoint to begin with")
    parser.add_argument("--image-size", type=count, metavar="N", help="pixels of a side (default: as in the recipe)")
    add_training(parser)


def run(args: argparse.Namespace) -> int:
    return train(args, tasks=TASKS)
