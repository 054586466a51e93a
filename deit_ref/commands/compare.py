"""Print the largest difference between the backends on one image, step by step."""

import argparse

import deit_ref
from deit_ref.commands.arguments import add_image, add_model
from deit_ref.commands.shared import lies_turned, loaded_weights, warn_of_turned

EXAMPLES = """examples:
  deit-ref compare                      both backends on the bundled photo
  deit-ref compare cat.jpg --dtype float64

NumPy and torch compute every step, and the largest differences are listed. It needs the extra torch. The exit code is 0
if the two agree and 1 if not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image(parser)
    add_model(parser, backend=False)


def run(args: argparse.Namespace) -> int:
    weights = loaded_weights(args)
    if lies_turned(args.image, weights):
        warn_of_turned([args.image], 1)
    comparison = deit_ref.compare(weights, args.image, device=args.device, dtype=args.dtype)
    print(comparison)
    return 0 if comparison.agrees else 1
