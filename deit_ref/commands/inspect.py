"""Print every traced step of one image: name, shape, dtype, min, mean, max."""

import argparse

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.commands.arguments import add_image, add_model
from deit_ref.commands.shared import chosen_weights, lies_turned, warn_of_turned, warn_of_weights
from deit_ref.commands.terminal import json_line, say
from deit_ref.trace import Trace

EXAMPLES = """examples:
  deit-ref inspect cat.jpg                 every step from pixels to logits
  deit-ref inspect cat.jpg --json --backend torch --dtype bfloat16"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image(parser)
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per step and line")


def run(args: argparse.Namespace) -> int:
    weights = chosen_weights(args)
    if lies_turned(args.image, weights):
        warn_of_turned([args.image], 1)
    trace = Trace()
    deit_ref.forward(weights, args.image, backend=args.backend, trace=trace)
    width = max(len(name) for name in trace)
    if not args.json:
        print(f"{'step':<{width}}  {'shape':<18} {'dtype':<8} {'min':>11} {'mean':>11} {'max':>11}")
    for name, array in trace.items():
        shape, dtype = tuple(array.shape), str(array.dtype).removeprefix("torch.")
        values = as_numpy(array).astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity minus infinity: the table shows nan
            numbers = {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
        bad = int((~np.isfinite(values)).sum())
        if args.json:
            print(json_line({"name": name, "shape": shape, "dtype": dtype, **numbers, "not_finite": bad}))
        else:
            columns = " ".join(f"{value:>11.5g}" for value in numbers.values())
            print(f"{name:<{width}}  {'x'.join(map(str, shape)):<18} {dtype:<8} {columns}")
        if bad:
            say(f"warning: {bad} of {values.size} values of {name} are NaN or infinite.")
    warn_of_weights(weights)
    return 0
