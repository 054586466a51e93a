"""How well a model does on labeled photos: found out, and put in words. `evaluate` and `finetune` say it alike."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deit_ref
from deit_ref import checks
from deit_ref.commands.terminal import counting, printable
from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.photos import write_png
from deit_ref.weights import DeiTWeights

_NAMES = {"top1": "top-1", "top5": "top-5", "cls_top1": "class head", "distillation_top1": "distillation head"}
_WIDEST = 100  # of a table


def chosen_device(args: argparse.Namespace) -> Any:
    """The device that was named, or a GPU if there is one."""
    import torch

    from deit_ref.arrays import as_device

    return as_device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def torch_model(weights: DeiTWeights) -> Callable[..., Any]:
    """A function from pixel_values to the output of `forward`."""

    def model(pixel_values: Any, **options: Any) -> Any:
        return deit_ref.forward(weights, pixel_values=pixel_values, backend="torch", **options)

    return model


def judged(
    model: Callable[..., Any], images: ImageSet, processing: ImageProcessing, *, device: Any, batch_size: int = 256
) -> dict[str, Any]:
    """What `evaluate --json` prints of a model that classifies: `answers.shares` and `answers.details`."""
    from deit_ref.training.answers import details, shares
    from deit_ref.training.evaluate import answered

    with counting(len(images)) as done:
        found = answered(model, watched(images, done), processing, device=device, batch_size=batch_size)
    return {**shares(found, images.class_names), **details(found, images.class_names, images.names)}


def watched(images: ImageSet, done: Callable[[], object]) -> ImageSet:
    """The photos, whose reading is told."""

    def read(i: int) -> Any:
        image = images.read(i)
        done()
        return image

    return dataclasses.replace(images, read=read)


def write_confusion(path: Any, confusion: Mapping[str, Any]) -> None:
    """Draw what was taken for what."""
    from deit_ref import plots

    write_png(path, plots.rendered(plots.confusion_matrix(confusion["counts"], confusion["classes"])))


def in_words(found: Mapping[str, Any]) -> str:
    """What `judged` found, over several lines; the classes' own shares stand beside their rows of the table."""
    (low, high), frequent, classes = found["interval"], found["most_frequent"], found["confusion"]["classes"]
    lines = [f"  {'top-1':<20} {found['top1']:8.2%}  {found['right']} of {checks.amount(found['photos'], 'photo')}"]
    lines.append(f"  {'95% interval':<20} {low:8.2%}  to {high:.2%}: so few photos say no more")
    lines.append(
        f"  {'without looking':<20} {frequent['share']:8.2%}  always {printable(checks.one_line(frequent['class']))}"
    )
    rest = [name for name in _NAMES if name in found and name != "top1" and (name != "top5" or len(classes) > 5)]
    lines += [f"  {_NAMES[name]:<20} {found[name]:8.2%}" for name in rest]
    lines.append(f"  {'loss':<20} {found['loss']:8.4f}")
    lines.append("top-1 of each class")
    lines += [f"  {printable(checks.one_line(name)):<20} {right:8.2%}" for name, right in found["per_class"].items()]
    lines += confusion_table(found["confusion"]["counts"], classes)
    if found["mistakes"]:
        lines.append("the surest mistakes")
        lines += [
            printable(
                f"  {wrong['photo']}: {checks.one_line(wrong['class'])}, taken for {checks.one_line(wrong['answer'])} "
                f"({wrong['probability']:.1%})"
            )
            for wrong in found["mistakes"]
        ]
    return "\n".join(lines)


def confusion_table(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    """Lines of a table, what the photos show downwards and the answers across; too wide, a list of what is confused."""
    names = [printable(checks.one_line(name, most=20)) for name in classes]
    widths = [max(len(name), *(len(str(row[column])) for row in counts)) + 2 for column, name in enumerate(names)]
    first = max(map(len, names)) + 2
    if first + sum(widths) <= _WIDEST:
        lines = ["what the photos show (rows), what was answered (columns)"]
        lines.append(" " * first + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)))
        for name, row in zip(names, counts, strict=True):
            if not any(row):  # answered, but there is no photo of it
                continue
            cells = (f"{count or '.':>{width}}" for count, width in zip(row, widths, strict=True))
            lines.append(f"  {name:<{first - 2}}{''.join(cells)}")
        return lines
    wrong = [
        (count, sum(row), name, names[column])
        for name, row in zip(names, counts, strict=True)
        for column, count in enumerate(row)
        if count and name != names[column]
    ]
    most = sorted(wrong, key=lambda one: -one[0])[:20]
    return ["most often confused", *(f"  {name}, taken for {other}: {n} of {of}" for n, of, name, other in most)]
