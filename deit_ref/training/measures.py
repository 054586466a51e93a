"""What a card tells of files that classify: accuracy, what JPEG costs, whether confidence is deserved, cut-outs."""

import dataclasses
import functools
import io
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from deit_ref import checks
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.classes import composed_names
from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.torch_backend.model import TASKS
from deit_ref.training.answers import Answers, shares
from deit_ref.training.calibration import expected_calibration_error, fitted_temperature
from deit_ref.training.evaluate import answered
from deit_ref.training.teacher import is_teacher, load_teacher

QUALITIES = (75, 95)


class Classifier(NamedTuple):
    """model: pixel_values to logits, or to an output that has some. parameters: how many numbers were learned."""

    model: Callable[..., Any]
    processing: ImageProcessing
    class_names: tuple[str, ...]
    parameters: int


def classifier(source: str | os.PathLike[str]) -> Classifier:
    """A teacher, or weights that classify, as torch asks them.

    Raises:
        ValueError: there are none, or they do not classify.
    """
    if is_teacher(source):
        teacher, names = load_teacher(source)
        return Classifier(teacher, teacher.image_processing, names, sum(p.numel() for p in teacher.parameters()))
    weights = load_weights(source)
    if weights.head is None:
        raise ValueError(f"{source} must classify, it is of the task {weights.task!r}: give other weights.")
    model = functools.partial(TASKS[weights.task], weights.to("torch"))
    return Classifier(model, weights.image_processing, weights.class_names or (), weights.num_parameters)


def answers_to(asked: Classifier, images: ImageSet) -> tuple[Answers, torch.Tensor]:
    """What it answers to photos of its classes, and its logits (photos, classes) in float64.

    Raises:
        ValueError: the photos are of other classes.
    """
    if composed_names(asked.class_names) != composed_names(images.class_names):
        raise ValueError(
            f"The weights know {checks.some(asked.class_names)}, the pictures are of "
            f"{checks.some(images.class_names)}: give weights that know these classes, in this order."
        )
    kept = []

    def model(pixel_values: torch.Tensor) -> Any:
        output = asked.model(pixel_values)
        kept.append((output if isinstance(output, torch.Tensor) else output.logits).double())
        return output

    found = answered(model, images, asked.processing, device=torch.device("cpu"))
    return found, torch.cat(kept)


def measured(
    asked: Classifier, test: ImageSet, *, strangers: Mapping[str, ImageSet] = MappingProxyType({})
) -> dict[str, Any]:
    """All that a card tells.

    Args:
        asked: what is judged.
        test: photos of the kind that it learned from, which it has not seen.
        strangers: pictures of other kinds, such as those of `data.strangers`, by what they are called.

    Returns:
        What `answers.shares` tells of the test photos. "jpeg": for each quality the top-1 of the photos saved again.
        "calibration": "photos" to measure with, every other one; their expected calibration "error"; the "temperature"
        that was fitted on the others, and the "error_with_it". "strangers": `answers.shares` of each of these.
    """
    found, logits = answers_to(asked, test)
    labels = torch.from_numpy(test.labels)
    seen, of_seen, temperature = logits[1::2], labels[1::2], fitted_temperature(logits[::2], labels[::2])
    return {
        **shares(found, test.class_names),
        "jpeg": {q: float(answers_to(asked, saved_again(test, q))[0].is_right.mean()) for q in QUALITIES},
        "calibration": {
            "photos": len(seen),
            "error": expected_calibration_error(seen, of_seen),
            "temperature": temperature,
            "error_with_it": expected_calibration_error(seen / temperature, of_seen),
        },
        "strangers": {
            name: shares(answers_to(asked, pictures)[0], pictures.class_names) for name, pictures in strangers.items()
        },
    }


def saved_again(images: ImageSet, quality: int) -> ImageSet:
    """The photos after they were saved as JPEG once more, by Pillow, with colors of half the resolution."""
    from PIL import Image

    def read(i: int) -> np.ndarray[Any, Any]:
        file = io.BytesIO()
        Image.fromarray(images.read(i)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        return np.asarray(Image.open(file))

    return dataclasses.replace(images, read=read)
