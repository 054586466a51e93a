"""Train a convolutional network to learn from."""

import argparse

from deit_ref.commands.labeled import DATA
from deit_ref.commands.training import OUT, add_training, train

EXAMPLES = f"""examples:
  deit-ref train-teacher --data cifar10/ --out my_teacher/
  deit-ref train-teacher --data cifar10/ --out my_teacher/ --epochs 5 --seed 1

{DATA}

{OUT}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_training(parser, recipe="cifar10-teacher", student=False)


def run(args: argparse.Namespace) -> int:
    return train(args, tasks=("teacher",))
