"""Evaluation: how often the first guess is right, or one of five, in all and for each class."""

from collections.abc import Callable, Mapping
from dataclasses import replace
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
from deit_ref.training.masking import random_masks
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
    """Accuracy over labelled photos, processed as a user's photos are.

    Args:
        model: pixel_values (batch, 3, height, width) to logits, or to an output with `logits`.
        images: the photos.
        image_processing: what is done to them.
        device: where the model is.
        batch_size: photos at a time; the result does not depend on it.
        rank, world: this process evaluates every world-th photo, and all get the result of all.

    Returns:
        "photos", "top1", "top5" (shares in 0..1), "loss" (mean cross entropy), "per_class" (class name to share);
        for two heads also "cls_top1" and "distillation_top1".

    Raises:
        ValueError: fewer photos than processes.
    """
    if len(images) < world:
        raise ValueError(f"{len(images)} photos cannot be divided among {world} processes: start fewer.")
    classes = len(images.class_names)
    image_processing = replace(image_processing, input_data_format="channels_last")  # as they are read
    totals: dict[str, torch.Tensor] = {}

    def add(name: str, values: torch.Tensor) -> None:
        totals[name] = totals.get(name, 0) + values.double().cpu()

    mine = range(rank, len(images), world)
    for start in range(0, len(mine), batch_size):
        indices = list(mine[start : start + batch_size])
        photos = [images.read(i) for i in indices]
        pixel_values = preprocess(photos, image_processing, backend="torch", device=device)
        labels = torch.from_numpy(images.labels[indices]).to(device)
        with torch.no_grad():
            output = model(pixel_values)
        logits = (output if isinstance(output, torch.Tensor) else output.logits).float()
        right = logits.argmax(dim=1) == labels
        best = logits.topk(min(5, classes), dim=1).indices
        add("top5", (best == labels[:, None]).any(dim=1).sum())
        add("loss", F.cross_entropy(logits, labels, reduction="sum"))
        add("right", torch.bincount(labels[right], minlength=classes))
        add("count", torch.bincount(labels, minlength=classes))
        if isinstance(output, TeacherOutput):
            add("cls_top1", (output.cls_logits.argmax(dim=1) == labels).sum())
            add("distillation_top1", (output.distillation_logits.argmax(dim=1) == labels).sum())
    if world > 1:
        for value in totals.values():
            torch.distributed.all_reduce(value)
    return _result(totals, images.class_names)


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
    """
    image_processing = replace(image_processing, input_data_format="channels_last")  # as they are read
    totals = torch.zeros(4, dtype=torch.float64)
    generator = np.random.default_rng(0)
    masks = random_masks(
        len(images), config.grid, ratio=recipe.mask_ratio, block=recipe.mask_block, generator=generator
    )
    mine = range(rank, len(images), world)
    for start in range(0, len(mine), batch_size):
        indices = list(mine[start : start + batch_size])
        pixel_values = preprocess([images.read(i) for i in indices], image_processing, backend="torch", device=device)
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


def _result(totals: Mapping[str, torch.Tensor], class_names: tuple[str, ...]) -> dict[str, Any]:
    photos = float(totals["count"].sum())
    names = ("top5", "loss", "cls_top1", "distillation_top1")
    shares = {name: float(totals[name]) / photos for name in names if name in totals}
    per_class = (totals["right"] / totals["count"].clamp(min=1)).tolist()
    return {
        "photos": int(photos),
        "top1": float(totals["right"].sum()) / photos,
        **shares,
        "per_class": dict(zip(class_names, per_class, strict=True)),
    }
