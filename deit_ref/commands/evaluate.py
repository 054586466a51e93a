"""Print how well weights or a teacher do on labeled photos."""

import argparse
from collections.abc import Mapping
from typing import Any

from deit_ref import checks
from deit_ref.commands.arguments import add_force, count, natural, new_file, refuse_to_replace, share
from deit_ref.commands.evaluation import chosen_device, in_words, judged, torch_model, watched, write_confusion
from deit_ref.commands.labeled import DATA, add_data, given_data, part
from deit_ref.commands.learned import Run, run_of
from deit_ref.commands.shared import loaded_weights
from deit_ref.commands.survey import looked_over
from deit_ref.commands.terminal import counting, json_line, say
from deit_ref.commands.training import need
from deit_ref.data.classes import labelled_as
from deit_ref.data.held_out import divided
from deit_ref.data.images import ImageSet
from deit_ref.data.layout import MissingSplit
from deit_ref.data.opening import open_images
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.recipe import Recipe

EXAMPLES = f"""examples:
  deit-ref evaluate cifar10/ --weights my_checkpoint/
  deit-ref evaluate cifar10/ --weights my_checkpoint/ --confusion confusion.png
  deit-ref evaluate photos/ --weights mine/ --val-split 0.2   what was held out
  deit-ref evaluate cifar10/ --weights my_teacher/ --json
  deit-ref evaluate cifar10/ --weights my_simmim/ --block 2

Weights that classify: top-1, top-5, each head, each class, what was taken for what, and the surest mistakes. There may
be photos of some of the classes alone. Weights of the task masked-image-modeling: the masked L1, beside that of two
guesses without a model.

{DATA}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, usual_exif="as the weights say")
    parser.add_argument(
        "--weights",
        metavar="SOURCE",
        help="a checkpoint or a teacher's folder (default: the bundled cifar10-distilled)",
    )
    parser.add_argument("--split", choices=("train", "test"), help="(default: test)")
    parser.add_argument(
        "--val-split", type=part, metavar="R", help="instead of a split: the share that finetune held out of train"
    )
    parser.add_argument("--seed", type=natural, metavar="N", help="of --val-split: that finetune had (default: 0)")
    parser.add_argument("--device", help="of torch (default: cuda if there is one, else cpu)")
    parser.add_argument("--batch-size", type=count, default=256, metavar="N", help="photos at a time (default: 256)")
    words = "of masked-image-modeling:"
    parser.add_argument("--mask-ratio", type=share, metavar="R", help=f"{words} share hidden (default: 0.6)")
    parser.add_argument("--block", type=count, metavar="N", help=f"{words} in NxN patches (default: 1)")
    parser.add_argument("--confusion", type=new_file(".png"), metavar="FILE.png", help="draw what was taken for what")
    add_force(parser, help="replace FILE.png if it is there")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    need("torch")
    from deit_ref.training.teacher import is_teacher

    args.data = given_data(args)
    if args.data is None:
        raise ValueError("evaluate needs DATA, photos in class folders (see deit-ref evaluate --help)")
    if args.val_split is not None and args.split is not None:
        raise ValueError("--val-split judges by a share of the split train: leave out --split.")
    if args.seed is not None and args.val_split is None:
        raise ValueError("--seed chooses what --val-split holds out: add --val-split R, or leave out --seed.")
    if args.val_split == 0:
        raise ValueError("--val-split 0 holds out no photo to judge by: give the share that finetune held out, as 0.2.")
    refuse_to_replace(args.confusion, force=args.force)
    is_one = args.weights is not None and is_teacher(args.weights)
    found = _of_teacher(args) if is_one else _of_weights(args)
    found = {"weights": args.weights, "data": args.data, **found}
    if args.confusion is not None:
        write_confusion(args.confusion, found["confusion"])
        say(f"{args.confusion}: what was taken for what.")
    print(json_line(found) if args.json else _report(found))
    return 0


def _of_teacher(args: argparse.Namespace) -> dict[str, Any]:
    from deit_ref.training.teacher import load_teacher

    _refuse_masks(args)
    teacher, names = load_teacher(args.weights)
    teacher.apply_exif = teacher.apply_exif if args.exif is None else args.exif
    where, processing = chosen_device(args), teacher.image_processing
    part, images = _photos(args, processing, (teacher.image_size, teacher.image_size), (names, len(names)))
    return {"split": part, **judged(teacher.to(where), images, processing, device=where, batch_size=args.batch_size)}


def _of_weights(args: argparse.Namespace) -> dict[str, Any]:
    from deit_ref.training.evaluate import reconstruction_error
    from deit_ref.training.prepared import of_channels

    weights = loaded_weights(args)
    config, processing, where = weights.config, weights.image_processing, chosen_device(args)
    if weights.task == "features":
        raise ValueError("evaluate needs weights that classify or guess hidden patches, got the task 'features'.")
    model = torch_model(weights.to("torch", device=where))
    if weights.task != "masked-image-modeling":
        _refuse_masks(args)
        if config.problem_type == "regression":
            raise ValueError("evaluate needs weights that classify, got the problem_type 'regression'.")
        part, images = _photos(args, processing, config.image_shape, (weights.class_names, config.num_labels))
        images = of_channels(images, config.num_channels)
        return {"split": part, **judged(model, images, processing, device=where, batch_size=args.batch_size)}
    if args.confusion is not None:
        raise ValueError(f"--confusion is of weights that classify, got the task {weights.task!r}: leave it out.")
    part, images = _photos(args, processing, config.image_shape)
    images = of_channels(images, config.num_channels)
    ratio, block = 0.6 if args.mask_ratio is None else args.mask_ratio, args.block or 1
    recipe = Recipe(task=weights.task, mask_ratio=ratio, mask_block=block)
    with counting(len(images)) as done:
        found = reconstruction_error(
            model, watched(images, done), processing, recipe, config, device=where, batch_size=args.batch_size
        )
    return {"split": part, **found, "mask_ratio": ratio, "block": block}


def _refuse_masks(args: argparse.Namespace) -> None:
    for name, value in (("--mask-ratio", args.mask_ratio), ("--block", args.block)):
        if value is not None:
            raise ValueError(f"{name} is of weights that guess hidden patches, and these classify: leave it out.")


def _photos(
    args: argparse.Namespace,
    processing: ImageProcessing,
    image_shape: tuple[int, int],
    known: tuple[tuple[str, ...] | None, int] | None = None,
) -> tuple[str, ImageSet]:
    """Which photos to judge by, and they themselves, looked over.

    Args:
        args: of the command.
        processing, image_shape: of the model.
        known: names and number of its classes, whose labels the photos get.
    """
    run = run_of(args.weights)
    split = args.split or ("test" if args.val_split is None else "train")
    missing = None
    try:
        images = open_images(args.data, split, processing, one_class=known is not None)
    except MissingSplit as error:
        if split == "train" or args.split is not None:
            raise
        if run is None:
            raise ValueError(f"{error} Or judge by --split train, or by a share of it, --val-split 0.2.") from error
        split, missing = "train", error
        images = open_images(args.data, split, processing, one_class=known is not None)
    if known is not None:
        labelled_as(images, *known)  # what is wrong with the classes is said before the photos are read
    images = looked_over({split: images}, args, apply_exif=processing.apply_exif, image_shape=image_shape)[split]
    part, images = _not_learned_from(images, args, run, split=split, missing=missing)
    if known is None:
        return part, images
    images, said = labelled_as(images, *known)
    if said:
        say(said)
    return part, images


def _not_learned_from(
    images: ImageSet, args: argparse.Namespace, run: Run | None, *, split: str, missing: MissingSplit | None
) -> tuple[str, ImageSet]:
    """The share to judge by that was asked for or, if a test part is `missing`, that the run has held out; all is said.

    A share is of the photos that are there: if there are others than the run was given, it holds out others.
    """
    learned = None if run is None else run.learned_from(images)
    share, seed = args.val_split, args.seed or 0
    if run is not None and missing is not None:
        if learned is None:
            say(
                "warning: there are no test photos, and these are not those that the run of these weights was given "
                f"({run.photos + run.tests}, here {len(images)}): all are judged by. Those that were learned from make "
                "the result too good."
            )
        elif not run.held_out:
            raise ValueError(f"{missing} The weights have learned from all photos that are there: judge by others.")
        else:
            share, seed = run.held_out, run.seed
            say(f"there are no test photos: judged by the {share:g} that the run of these weights has held out.")
    part = split if share is None else f"train, {share:g} of it held out"
    if share is not None:
        images = divided(images, share=share, seed=seed)[1]
        if run is not None and learned is None:
            say(
                "warning: the run of these weights was given other photos than these: what is held out here may have "
                "been learned from."
            )
    if learned is not None and (seen := len({*learned.names} & {*images.names})):
        say(f"warning: the weights have learned from {seen} of these {len(images)} photos: others go less well.")
    return part, images


def _report(found: Mapping[str, Any]) -> str:
    first = f"{checks.amount(found['photos'], 'photo')}, split {found['split']}"
    if "masked_l1" not in found:
        return f"{first}\n{in_words(found)}"
    names = {"masked_l1": "masked L1", "mean_color": "by the mean color", "neighbors": "by the neighbors"}
    first += f", {found['mask_ratio']:.0%} hidden in squares of {found['block']}x{found['block']} patches"
    return "\n".join([first, *(f"  {words:<20} {found[name]:.4f}" for name, words in names.items())])
