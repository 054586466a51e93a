"""Print how well weights or a teacher do on labelled photos."""

import argparse
from collections.abc import Mapping
from typing import Any

import deit_ref
from deit_ref import checks
from deit_ref.commands.arguments import add_exif, count, share
from deit_ref.commands.shared import loaded_weights
from deit_ref.commands.terminal import json_line, say
from deit_ref.commands.training import DATA, need
from deit_ref.training.recipe import Recipe

EXAMPLES = f"""examples:
  deit-ref evaluate --data cifar10/ --weights my_checkpoint/
  deit-ref evaluate --data cifar10/ --weights my_teacher/ --json
  deit-ref evaluate --data cifar10/ --weights my_simmim/ --block 2

Weights that classify: top-1, top-5, each head, each class. Weights of the task masked-image-modeling: the masked L1,
beside that of two guesses without a model.

{DATA}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="DATA", help="photos in class folders")
    parser.add_argument(
        "--weights",
        metavar="SOURCE",
        help="a checkpoint or a teacher's folder (default: the bundled cifar10-distilled)",
    )
    parser.add_argument("--split", choices=("train", "test"), default="test", help="(default: test)")
    add_exif(parser)
    parser.add_argument("--device", help="of torch (default: cuda if there is one, else cpu)")
    parser.add_argument("--batch-size", type=count, default=256, metavar="N", help="photos at a time (default: 256)")
    words = "of masked-image-modeling:"
    parser.add_argument(
        "--mask-ratio", type=share, default=0.6, metavar="R", help=f"{words} share hidden (default: 0.6)"
    )
    parser.add_argument("--block", type=count, default=1, metavar="N", help=f"{words} in NxN patches (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    need("torch")
    from deit_ref.training.teacher import is_teacher

    if args.weights is not None and is_teacher(args.weights):
        found = _evaluate_teacher(args)
    else:
        found = _evaluate_weights(args)
    found = {"weights": args.weights, "data": args.data, "split": args.split, **found}
    print(json_line(found) if args.json else _report(found))
    return 0


def _evaluate_teacher(args: argparse.Namespace) -> dict[str, Any]:
    from deit_ref.data.opening import open_images
    from deit_ref.training.evaluate import evaluate
    from deit_ref.training.teacher import load_teacher

    teacher, names = load_teacher(args.weights)
    teacher.apply_exif = teacher.apply_exif if args.exif is None else args.exif
    where, processing = _device(args), teacher.image_processing
    images = open_images(args.data, args.split, processing)
    _check_classes(names, len(names), images)
    return evaluate(teacher.to(where), images, processing, device=where, batch_size=args.batch_size)


def _evaluate_weights(args: argparse.Namespace) -> dict[str, Any]:
    from deit_ref.data.opening import open_images
    from deit_ref.training.evaluate import evaluate, reconstruction_error

    weights = loaded_weights(args)
    if weights.task == "features":
        raise ValueError("evaluate needs weights that classify or guess hidden patches, got the task 'features'.")
    processing = weights.image_processing
    images = open_images(args.data, args.split, processing)
    if weights.task != "masked-image-modeling":
        _check_classes(weights.class_names, weights.config.num_labels, images)
    where = _device(args)
    weights = weights.to("torch", device=where)

    def model(pixel_values: Any, **options: Any) -> Any:
        return deit_ref.forward(weights, pixel_values=pixel_values, backend="torch", **options)

    if weights.task != "masked-image-modeling":
        return evaluate(model, images, processing, device=where, batch_size=args.batch_size)
    recipe = Recipe(task=weights.task, mask_ratio=args.mask_ratio, mask_block=args.block)
    found = reconstruction_error(
        model, images, processing, recipe, weights.config, device=where, batch_size=args.batch_size
    )
    return {**found, "mask_ratio": args.mask_ratio, "block": args.block}


def _device(args: argparse.Namespace) -> Any:
    import torch

    from deit_ref.arrays import as_device

    return as_device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _check_classes(names: tuple[str, ...] | None, number: int, images: Any) -> None:
    """Labels mean the same in both: the names are equal, or nothing but their number and order can be compared."""
    folders = images.class_names
    if names == folders:
        return
    if number != len(folders) or (names is not None and {*names} & {*folders}):
        known = "" if names is None else f" ({checks.some(names)})"
        raise ValueError(
            f"The weights know {number} classes{known}, the photos are of {len(folders)} ({checks.some(folders)}): "
            "both must be the same, in the same order."
        )
    first = "the weights' first class" if names is None else repr(names[0])
    say(f"warning: classes are compared by their order, not by name: {folders[0]!r} is taken for {first}.")


def _report(found: Mapping[str, Any]) -> str:
    lines = [f"{found['photos']} photos, split {found['split']}"]
    if "masked_l1" in found:
        lines[0] += f", {found['mask_ratio']:.0%} hidden in squares of {found['block']}x{found['block']} patches"
        names = {"masked_l1": "masked L1", "mean_color": "by the mean color", "neighbors": "by the neighbors"}
        return "\n".join([*lines, *(f"  {words:<20} {found[name]:.4f}" for name, words in names.items())])
    names = {"top1": "top-1", "top5": "top-5", "cls_top1": "class head", "distillation_top1": "distillation head"}
    lines += [f"  {words:<20} {found[name]:8.2%}" for name, words in names.items() if name in found]
    lines.append(f"  {'loss':<20} {found['loss']:8.4f}")
    lines.append("top-1 of each class")
    lines += [f"  {name:<20} {right:8.2%}" for name, right in found["per_class"].items()]
    return "\n".join(lines)
