"""What the words of a command may be: types, and arguments that several commands share."""

import argparse
import os
from collections.abc import Callable
from typing import Any, NoReturn

from deit_ref.commands.terminal import say
from deit_ref.photos import bundled_photo


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (see {self.prog} --help)")
        self.exit(2)


def add_command(parsers: Any, name: str, summary: str, examples: str | None = None) -> argparse.ArgumentParser:
    """One more command among those of `add_subparsers`."""
    added: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return added


def add_model(parser: argparse.ArgumentParser, *, backend: bool = True, dtype: bool = True) -> None:
    """Which weights, and where and in which numbers they work."""
    words = "a checkpoint, or cifar10-distilled or cifar10-simmim, which are bundled (default: the first)"
    parser.add_argument("--weights", metavar="SOURCE", help=words)
    if backend:
        parser.add_argument("--backend", choices=("numpy", "torch"), default="numpy", help="(default: numpy)")
    parser.add_argument("--device", help="of torch, such as cpu or cuda (default: cpu)")
    if dtype:
        parser.add_argument("--dtype", help="float32 or float64, with torch also float16 or bfloat16")
    add_exif(parser)


def add_exif(parser: argparse.ArgumentParser, *, usual: str = "as the weights say") -> None:
    """Whether photos are turned; None means that nothing was said."""
    words = "turn photos as their EXIF orientation says, or take them as they are stored"
    parser.add_argument("--exif", action=argparse.BooleanOptionalAction, help=f"{words} (default: {usual})")


def add_image(parser: argparse.ArgumentParser) -> None:
    """One photo, which may be left out."""
    parser.add_argument("image", nargs="?", default=bundled_photo(), metavar="IMAGE", help="(default: bundled photo)")


def add_picture(parser: argparse.ArgumentParser) -> None:
    """A photo, the picture to make of it, and the model."""
    add_image(parser)
    parser.add_argument("--out", type=new_file(".png"), required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help="resize to this height and width instead of the weights' resize and crop; positions are interpolated",
    )
    add_model(parser)


def natural(text: str, *, least: int = 0) -> int:
    """A whole number of at least 0."""
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """A whole number of at least 1."""
    return natural(text, least=1)


def share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def new_file(*suffixes: str) -> Callable[[str], str]:
    """A name with one of these endings that can be written, found out before anything is computed."""

    def checked(text: str) -> str:
        if not text.lower().endswith(suffixes):
            raise argparse.ArgumentTypeError(f"expected a name that ends in {' or '.join(suffixes)}, got {text!r}")
        if os.path.isdir(text):
            raise argparse.ArgumentTypeError(f"expected a file, got {text!r}, which is a folder: choose another name")
        if not os.path.isdir(os.path.dirname(text) or "."):
            raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got {text!r}")
        return text

    return checked


def _size(text: str) -> tuple[int, int]:
    height, x, width = text.partition("x")
    if not x:
        raise argparse.ArgumentTypeError(f"expected height x width in pixels, such as 224x448, got {text!r}")
    return count(height), count(width)
