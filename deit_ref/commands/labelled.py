"""DATA, photos in class folders: how a command is given them, and which of them it takes."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

DATA = """DATA is a folder with train and test, each with a folder per class; train.zip and test.zip of the same; a zip
of both; or cifar-10-python.tar.gz."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """The photos, in either way; `given_data` reads it."""
    parser.add_argument("place", nargs="?", metavar="DATA", help="photos in class folders")
    parser.add_argument("--data", metavar="DATA", help="the same, as an option")


def given_data(args: argparse.Namespace) -> str | None:
    """DATA, which may be missing.

    Raises:
        ValueError: it is given twice.
    """
    if args.place is not None and args.data is not None:
        raise ValueError(f"DATA is given twice, {args.place} and --data {args.data}: give it once.")
    place: str | None = args.data if args.place is None else args.place
    return place
