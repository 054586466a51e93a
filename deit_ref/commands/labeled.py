"""DATA, photos in class folders: how a command is given them, and which of them it takes."""

import argparse
import logging
from pathlib import Path

from deit_ref import checks
from deit_ref.commands.arguments import add_exif, share
from deit_ref.commands.survey import add_no_check, looked_over
from deit_ref.data.classes import check_same_classes
from deit_ref.data.held_out import divided
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_splits
from deit_ref.image_processing import ImageProcessing

logger = logging.getLogger("deit_ref")  # of many processes the first one's is heard

DATA = """DATA is a folder with train and test, each with a folder per class; train.zip and test.zip of the same; a zip
or tar of both; or cifar-10-python.tar.gz. Photos are looked at first, as deit-ref check does."""


def add_data(parser: argparse.ArgumentParser, *, usual_exif: str) -> None:
    """The photos, which `given_data` reads, and how they are taken."""
    parser.add_argument("place", nargs="?", metavar="DATA", help="photos in class folders")
    parser.add_argument("--data", metavar="DATA", help="the same, as an option")
    add_exif(parser, usual=usual_exif)
    add_no_check(parser)


def given_data(args: argparse.Namespace) -> str | None:
    """DATA, which may be missing.

    Raises:
        ValueError: it is given twice.
    """
    if args.place is not None and args.data is not None:
        raise ValueError(f"DATA is given twice, {args.place} and --data {args.data}: give it once.")
    place: str | None = args.data if args.place is None else args.place
    return place


def add_val_split(parser: argparse.ArgumentParser, *, usual: float) -> None:
    """How many photos are held out if there are none to judge by; `opened` reads it."""
    words = f"if there are no test photos: the share to hold out for it (default: {usual:g})"
    parser.add_argument("--val-split", type=part, metavar="R", help=words)
    parser.set_defaults(usual_val_split=usual)


def part(text: str) -> float:
    """A share that leaves something."""
    value = share(text)
    if value == 1:
        raise argparse.ArgumentTypeError(f"expected a share of less than 1, such as 0.2, got {text!r}")
    return value


def opened(args: argparse.Namespace, processing: ImageProcessing, image_size: int) -> tuple[dict[str, ImageSet], float]:
    """The photos of "train" and "test", and the share of train that is held out for want of a test.

    They are looked over first, for a model that sees so many pixels of a side. All is said.

    Raises:
        ValueError: a share was asked for, and there are test photos; those are of other classes; or what is learned
            shall be written among the photos.
    """
    splits = open_splits(args.data, processing)
    for images in splits.values():
        if images.open is not None and Path(args.out).resolve().is_relative_to(Path(images.place).resolve()):
            raise ValueError(
                f"--out {args.out} lies among the class folders of {images.place}, and would be taken for one of them: "
                "choose a folder elsewhere."
            )
    if "test" in splits and args.val_split:
        raise ValueError(
            f"{args.data} has {len(splits['test'])} test photos, so that none are held out: leave out --val-split."
        )
    if "test" in splits:
        check_same_classes(splits["train"], splits["test"])  # before photos are read
    splits = looked_over(splits, args, apply_exif=processing.apply_exif, image_shape=(image_size, image_size))
    held = args.usual_val_split if args.val_split is None else args.val_split
    if "test" in splits or not held:
        return splits, 0.0
    train, test = divided(splits["train"], share=held, seed=args.seed)
    lone = [name for label, name in enumerate(test.class_names) if label not in test.labels]
    also = f" All photos of {checks.some(lone)} are learned from: there is one of each." if lone else ""
    logger.info(
        "there are no test photos: %d of %d are held out to judge by, %g of each class (--val-split and --seed choose "
        "them).%s",
        len(test),
        len(train) + len(test),
        held,
        also,
    )
    return {"train": train, "test": test}, held
