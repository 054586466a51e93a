"""The command line: classify, inspect and compare, printed for people or as JSON lines for programs.

Results go to standard output, all else to standard error. Exit codes: 0 all went well; 1 a file could not be read, or
the backends do not agree; 2 the command could not be carried out; 130 and 141 interrupted, or nobody reads on.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

import deit_ref
from deit_ref.config import TASKS
from deit_ref.outputs import as_numpy
from deit_ref.photos import bundled_photo, exif_orientation, find_images
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights, named_arrays

_EPILOG = """examples:
  deit-ref classify                        the photo that comes with the package
  deit-ref classify cat.jpg photos/ --top 3 --json
  deit-ref inspect cat.jpg --backend torch
  deit-ref compare cat.jpg --weights my_checkpoint/

deit-ref COMMAND --help shows the options of a command."""

_CLASSIFY_EPILOG = """examples:
  deit-ref classify cat.jpg                five most probable classes
  deit-ref classify photos/ 'more/*.png'   every image in a folder and below it, and of a pattern
  deit-ref classify photos/ --json | head  one JSON object per line

A file that cannot be read is reported and the rest goes on; the exit code is then 1."""

_INSPECT_EPILOG = """examples:
  deit-ref inspect cat.jpg                 every step from pixels to logits
  deit-ref inspect cat.jpg --json --backend torch --dtype bfloat16"""

_COMPARE_EPILOG = """examples:
  deit-ref compare                         NumPy against torch, step by step, on the bundled photo
  deit-ref compare cat.jpg --dtype float64

The exit code is 0 if the two agree and 1 if not."""


def main(argv: list[str] | None = None) -> int:
    """Carry out one command.

    Args:
        argv: the words after `deit-ref`; None means those of this process.

    Returns:
        The exit code.
    """
    args = _parser().parse_args(argv)
    try:
        with _plain_messages():
            code: int = args.run(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is still in the buffer must go somewhere when Python exits, or it would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        _say(f"error: {error or type(error).__name__}")
        return 2


def classify(args: argparse.Namespace) -> int:
    """Print the most probable classes of each image."""
    names = find_images(args.images)
    if not names:
        names = [str(bundled_photo())]
        _say("no image was given: this is the bundled photo.")
    if not any(os.path.isfile(name) for name in names):
        exif_orientation(names[0])  # raises the error that says what this name is, before weights are loaded
    weights = _weights(args)
    if weights.head is None:
        raise ValueError(
            f"classify needs weights with a classification head, got the task {weights.task!r}: expected one of "
            f"{', '.join(task for task in TASKS if task.startswith('classification'))}. `inspect` takes any task."
        )
    failed = 0
    with _progress(names) as (steps, write):
        for name in steps:
            try:
                if exif_orientation(name) != 1 and not weights.image_processing.apply_exif:
                    _say(f"warning: {name} is stored turned and is classified as stored: turn it upright first.")
                output: Any = deit_ref.forward(weights, name, backend=args.backend)
            except (ValueError, OSError) as error:
                failed += 1
                _say(f"error: {error}")
                if args.json:
                    write(json.dumps({"image": name, "error": str(error)}))
                continue
            top = output.top(args.top)[0]
            if args.json:
                found = [{"class": label, "probability": _finite(probability)} for label, probability in top]
                write(json.dumps({"image": name, "top": found}))
            else:
                write("\n".join([_printable(name), *(f"  {p:7.2%}  {_printable(label)}" for label, p in top)]))
    return 1 if failed else 0


def inspect(args: argparse.Namespace) -> int:
    """Print every traced step of one image: name, shape, dtype, min, mean, max."""
    weights = _weights(args)
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
            finite = {key: _finite(value) for key, value in numbers.items()}
            print(json.dumps({"name": name, "shape": shape, "dtype": dtype, **finite, "not_finite": bad}))
        else:
            columns = " ".join(f"{value:>11.5g}" for value in numbers.values())
            print(f"{name:<{width}}  {'x'.join(map(str, shape)):<18} {dtype:<8} {columns}")
        if bad:
            _say(f"warning: {bad} of {values.size} values of {name} are NaN or infinite.")
    for name, array in named_arrays(weights):
        bad = int((~np.isfinite(as_numpy(array))).sum())
        if bad:
            _say(f"warning: {bad} of {as_numpy(array).size} values of the weights {name} are NaN or infinite.")
    return 0


def compare(args: argparse.Namespace) -> int:
    """Print the largest difference between the backends, step by step."""
    weights = deit_ref.load_weights(args.weights)
    comparison = deit_ref.compare(weights, args.image, device=args.device, dtype=args.dtype)
    print(comparison)
    return 0 if comparison.agrees else 1


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        _say(f"error: {message} (see {self.prog} --help)")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="deit-ref",
        description="DeiT image classification, step by step, in NumPy or torch.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deit-ref {deit_ref.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def command(run: Callable[[argparse.Namespace], int], summary: str, epilog: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            run.__name__,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        added.add_argument(
            "--weights", metavar="SOURCE", help="a checkpoint folder or file (default: the bundled weights)"
        )
        added.add_argument("--device", help="of torch, such as cpu or cuda (default: cpu)")
        added.add_argument("--dtype", help="float32 or float64, with torch also float16 or bfloat16")
        return added

    def add_backend(added: argparse.ArgumentParser) -> None:
        added.add_argument("--backend", choices=("numpy", "torch"), default="numpy", help="(default: numpy)")

    added = command(classify, "the most probable classes of images", _CLASSIFY_EPILOG)
    added.add_argument("images", nargs="*", metavar="IMAGE", help="files, folders or patterns (default: bundled photo)")
    add_backend(added)
    added.add_argument("--top", type=_count, default=5, metavar="K", help="how many classes to show (default: 5)")
    added.add_argument("--json", action="store_true", help="one JSON object per image and line")

    added = command(inspect, "every step of one image: name, shape, dtype, min, mean, max", _INSPECT_EPILOG)
    added.add_argument("image", nargs="?", default=bundled_photo(), metavar="IMAGE", help="(default: bundled photo)")
    add_backend(added)
    added.add_argument("--json", action="store_true", help="one JSON object per step and line")

    added = command(compare, "both backends on one image, step by step", _COMPARE_EPILOG)
    added.add_argument("image", nargs="?", default=bundled_photo(), metavar="IMAGE", help="(default: bundled photo)")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _weights(args: argparse.Namespace) -> DeiTWeights:
    """The weights, converted before the first image: an unknown dtype or device is no image's fault."""
    return deit_ref.load_weights(args.weights).to(args.backend, device=args.device, dtype=args.dtype)


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if np.isfinite(value) else None


def _printable(text: str) -> str:
    """File names are bytes; those that are no text are shown by their codes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _say(message: Any) -> None:
    """One line on standard error."""
    print(_printable(f"deit-ref: {' '.join(str(message).split())}"), file=sys.stderr)


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


@contextmanager
def _plain_messages() -> Iterator[None]:
    """Warnings and log lines, such as a guess made while loading, as plain lines; as before afterwards."""
    logger, handler = logging.getLogger("deit_ref"), _SayHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _progress(names: list[str]) -> Iterator[tuple[Iterable[str], Callable[[str], object]]]:
    """The names with a progress display beside them, and how to print below it.

    A bar on a terminal if tqdm is installed; else a line after every hundred images.
    """
    if len(names) > 1 and sys.stderr.isatty():
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError:
            pass
        else:
            with tqdm(names, unit="image", leave=False) as bar:
                yield bar, lambda text: tqdm.write(text, file=sys.stdout)
            return
    yield _counted(names), print


def _counted(names: list[str]) -> Iterator[str]:
    for i, name in enumerate(names):
        if i and i % 100 == 0:
            _say(f"{i} of {len(names)} images")
        yield name
