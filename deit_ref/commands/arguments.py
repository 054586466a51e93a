"""What the words of a command may be: types, and arguments that several commands share."""

import argparse
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from deit_ref import checks
from deit_ref.commands.terminal import say
from deit_ref.photos import bundled_photo


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Wraps what is said around the options to the width of the terminal; lines that begin with a space stay."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        prose = re.compile(r"^\S.*(?:\n\S.*)*", re.MULTILINE)  # lines up to one that is empty or begins with a space
        return prose.sub(lambda found: textwrap.fill(" ".join(found[0].split()), width), text)


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it, and which word may have been meant."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (see {self.prog} --help)")
        self.exit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, strange = super().parse_known_args(args, namespace)
        if strange:  # not left to the parser above, which knows neither these options nor this command's name
            self.error(f"unrecognized arguments: {' '.join(strange)}.{self._meant(strange[0])}")
        return found, strange

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(word) for word in action.choices]
            words = f"expected one of {', '.join(known)}; got {value!r}.{checks.did_you_mean(value, known)}"
            raise argparse.ArgumentError(action, words)

    def _meant(self, word: str) -> str:
        names = [option.lstrip("-") for option in self._option_string_actions]
        close = checks.did_you_mean(word.partition("=")[0].lstrip("-"), names) if word.startswith("--") else ""
        return close.replace("'", "'--", 1)


def add_commands(parser: argparse.ArgumentParser, dest: str) -> Any:
    """What `add_command` adds to; where no command is named, the help is shown."""

    def show_help(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=show_help)
    return parser.add_subparsers(title="commands", metavar="COMMAND", dest=dest)


def add_command(parsers: Any, name: str, summary: str, examples: str | None = None) -> argparse.ArgumentParser:
    """One more command among those of `add_subparsers`."""
    added: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=HelpText,
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
    add_force(parser)
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


def new_file(*suffixes: str, makes_folder: bool = False) -> Callable[[str], str]:
    """A name with one of these endings that can be written, found out before anything is computed.

    Args:
        suffixes: the endings.
        makes_folder: whoever writes it makes its folder, too.
    """

    def checked(text: str) -> str:
        if not text.lower().endswith(suffixes):
            raise argparse.ArgumentTypeError(f"expected a name that ends in {' or '.join(suffixes)}, got {text!r}")
        if os.path.isdir(text):
            raise argparse.ArgumentTypeError(f"expected a file, got {text!r}, which is a folder: choose another name")
        folder = os.path.dirname(text) or "."
        while makes_folder and not os.path.lexists(folder):
            folder = os.path.dirname(folder) or "."
        if not os.path.isdir(folder):
            raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got {text!r}")
        return text

    return checked


def add_force(parser: argparse.ArgumentParser, *, help: str = "replace a file that is there") -> None:
    """Whether `refuse_to_replace` lets what is there be lost."""
    parser.add_argument("--force", action="store_true", help=help)


def refuse_to_replace(out: str | None, *, force: bool, images: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Raise a ValueError if the file to write is there and would be lost without --force, or if a photo would."""
    if out is None or not os.path.exists(out):
        return
    if any(os.path.exists(image) and os.path.samefile(image, out) for image in images):
        raise ValueError(f"{out} is the image itself, which would be lost: choose another name.")
    if not force:
        raise ValueError(f"{out} is there already: choose another name, or add --force to replace it.")


def _size(text: str) -> tuple[int, int]:
    height, x, width = text.partition("x")
    if not x:
        raise argparse.ArgumentTypeError(f"expected height x width in pixels, such as 224x448, got {text!r}")
    return count(height), count(width)
