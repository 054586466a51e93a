"""Evaluation: what a model answers for labeled photos, and how well it draws what was hidden."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float

from deit_ref.api import preprocess
from deit_ref.config import DeiTConfig
from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import TeacherOutput
from deit_ref.torch_backend.losses import masked_l1
from deit_ref.training.answers import Answers, shares
from deit_ref.training.masking import random_masks
from deit_ref.training.prepared import prepared
from deit_ref.training.recipe import Recipe

Array: TypeAlias = torch.Tensor


def evaluate(
    model: Callable[[torch.Tensor], Any],
    images: ImageSet,
    image_processing: ImageProcessing,
    *,
    device: torch.device,
    batch_size: int = 256,
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Accuracy over labeled photos, processed as a user's photos are: `answers.shares` of what `answered` gives."""
    found = answered(model, images, image_processing, device=device, batch_size=batch_size, rank=rank, world=world)
    return shares(found, images.class_names)


def answered(
    model: Callable[[torch.Tensor], Any],
    images: ImageSet,
    image_processing: ImageProcessing,
    *,
    device: torch.device,
    batch_size: int = 256,
    rank: int = 0,
    world: int = 1,
) -> Answers:
    """What a model answers for each of some labeled photos.

    Args:
        model: pixel_values (batch, 3, height, width) to logits, or to an output with `logits`.
        images: the photos.
        image_processing: what is done to them.
        device: where the model is.
        batch_size: photos at a time; the result does not depend on it.
        rank, world: this process evaluates every world-th photo, and all get the result of all.

    Raises:
        ValueError: fewer photos than processes.
    """
    if len(images) < world:
        raise ValueError(f"{len(images)} photos cannot be divided among {world} processes: start fewer.")
    columns: dict[str, torch.Tensor] = {}

    def put(name: str, indices: list[int], values: torch.Tensor) -> None:
        column = columns.setdefault(name, torch.zeros(len(images), dtype=torch.float64))
        column[indices] = values.double().cpu()

    mine = range(rank, len(images), world)
    for indices, pixel_values in _batches(images, image_processing, mine, size=batch_size, device=device):
        labels = torch.from_numpy(images.labels[indices]).to(device)
        with torch.no_grad():
            output = model(pixel_values)
        logits = (output if isinstance(output, torch.Tensor) else output.logits).float()
        put("answers", indices, logits.argmax(dim=1))
        put("probabilities", indices, logits.softmax(dim=1).amax(dim=1))
        put("losses", indices, F.cross_entropy(logits, labels, reduction="none"))
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        put("in_top5", indices, (best == labels[:, None]).any(dim=1))
        if isinstance(output, TeacherOutput):
            put("cls_top1", indices, output.cls_logits.argmax(dim=1) == labels)
            put("distillation_top1", indices, output.distillation_logits.argmax(dim=1) == labels)
    if world > 1:
        for column in columns.values():  # zero where another process has answered
            torch.distributed.all_reduce(column)
    found = {name: column.numpy() for name, column in columns.items()}
    return Answers(
        labels=images.labels,
        answers=found["answers"].astype(np.int64),
        probabilities=found["probabilities"],
        losses=found["losses"],
        in_top5=found["in_top5"] > 0,
        head_is_right={name: found[name] > 0 for name in ("cls_top1", "distillation_top1") if name in found},
    )


def reconstruction_error(
    model: Callable[..., Any],
    images: ImageSet,
    image_processing: ImageProcessing,
    recipe: Recipe,
    config: DeiTConfig,
    *,
    device: torch.device,
    batch_size: int = 256,
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Masked L1 over photos, with the same masks at every call, beside that of two guesses without a model.

    Returns:
        "photos"; "masked_l1" of the model; "mean_color" of a guess by the mean of the photo's visible pixels, and
        "neighbors" by repeated averaging from the visible neighbors, all in units of normalized pixels.

    Raises:
        ValueError: no patch is hidden.
    """
    totals = torch.zeros(4, dtype=torch.float64)
    generator = np.random.default_rng(0)
    masks = random_masks(
        len(images), config.grid, ratio=recipe.mask_ratio, block=recipe.mask_block, generator=generator
    )
    if not masks.any():
        raise ValueError(
            f"mask_ratio {recipe.mask_ratio:g} hides no patch, so that no error can be measured: hide some."
        )
    mine = range(rank, len(images), world)
    for indices, pixel_values in _batches(images, image_processing, mine, size=batch_size, device=device):
        hidden = torch.from_numpy(masks[indices]).to(device)
        with torch.no_grad():
            drawn = model(pixel_values, bool_masked_pos=hidden).reconstruction.float()
        for i, guess in enumerate((drawn, *baselines(pixel_values, hidden, patch_shape=config.patch_shape)), start=1):
            error = masked_l1(guess, pixel_values, hidden, patch_shape=config.patch_shape)
            totals[i] += error.double().cpu() * hidden.sum().cpu()  # a mean over hidden pixels, of any batch size
        totals[0] += hidden.sum().cpu()
    if world > 1:
        torch.distributed.all_reduce(totals)
    _, ours, mean_color, neighbors = (totals / totals[0]).tolist()
    return {"photos": len(images), "masked_l1": ours, "mean_color": mean_color, "neighbors": neighbors}


def baselines(
    pixel_values: Float[Array, "batch channels height width"],
    bool_masked_pos: Bool[Array, "batch patches"],
    *,
    patch_shape: tuple[int, int],
) -> tuple[Float[Array, "batch channels height width"], Float[Array, "batch channels height width"]]:
    """Guesses for hidden pixels without a model: the mean color of what is visible, and smooth interpolation.

    The second solves Laplace's equation by relaxation: each hidden pixel becomes the mean of its four neighbors, until
    a 32 x 32 photo no longer changes.
    """
    batch, _, height, width = pixel_values.shape
    rows, columns = height // patch_shape[0], width // patch_shape[1]
    hidden = bool_masked_pos.reshape(batch, 1, rows, columns)
    hidden = hidden.repeat_interleave(patch_shape[0], dim=2).repeat_interleave(patch_shape[1], dim=3)
    visible = (~hidden).to(pixel_values.dtype)  # (batch, 1, height, width)
    count = visible.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean_color = ((pixel_values * visible).sum(dim=(2, 3), keepdim=True) / count).expand_as(pixel_values)
    smooth = torch.where(hidden, mean_color, pixel_values)
    for _ in range(200):
        framed = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
        near = framed[:, :, 2:, 1:-1] + framed[:, :, :-2, 1:-1] + framed[:, :, 1:-1, 2:] + framed[:, :, 1:-1, :-2]
        smooth = torch.where(hidden, near / 4, smooth)
    return mean_color, smooth


def _batches(
    images: ImageSet, processing: ImageProcessing, places: Sequence[int], *, size: int, device: torch.device
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Places and pixel_values, `size` at a time; photos are resized as they are read, or whole ones fill the memory."""
    photos, values = prepared(images, processing)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(places), size):
            indices = list(places[start : start + size])
            yield indices, preprocess(list(threads.map(photos.read, indices)), values, backend="torch", device=device)
