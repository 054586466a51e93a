"""Chapter 9, mirrored: losses, what a model is trained to make small."""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer

from deit_ref import checks
from deit_ref.config import PROBLEM_TYPES, SOFT_DIVISIONS
from deit_ref.torch_backend.patches import patch_grid

Array: TypeAlias = torch.Tensor
Number: TypeAlias = torch.Tensor


def log_softmax(x: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
    """Mirror of numpy_backend.losses.log_softmax."""
    return F.log_softmax(x, dim=-1)


def cross_entropy(
    logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    ignore_index: int = -100,
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.cross_entropy; any integer dtype will do."""
    return F.cross_entropy(logits, labels if labels.is_floating_point() else labels.long(), ignore_index=ignore_index)


def binary_cross_entropy(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch classes"]
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.binary_cross_entropy."""
    return F.binary_cross_entropy_with_logits(logits, labels)


def mean_squared_error(predictions: Float[Array, "*shape"], labels: Float[Array, "*shape"]) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.mean_squared_error."""
    return F.mse_loss(predictions, labels)


def classification_loss(
    logits: Float[Array, "batch num_labels"],
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"],
    *,
    problem_type: str | None = None,
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.classification_loss."""
    if problem_type is None:
        kind = "multi_label_classification" if labels.is_floating_point() else "single_label_classification"
        problem_type = "regression" if logits.shape[1] == 1 else kind
    checks.choice("problem_type", problem_type, PROBLEM_TYPES)
    if problem_type == "single_label_classification":
        return cross_entropy(logits, labels.reshape(-1))
    labels = labels.to(logits.dtype).reshape(logits.shape)  # (batch, num_labels)
    return (mean_squared_error if problem_type == "regression" else binary_cross_entropy)(logits, labels)


def masked_l1(
    reconstruction: Float[Array, "batch channels height width"],
    pixel_values: Float[Array, "batch channels height width"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
    *,
    patch_shape: tuple[int, int],
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.masked_l1."""
    batch, channels, height, width = pixel_values.shape
    grid = patch_grid(height, width, patch_shape=patch_shape)
    m = bool_masked_pos.reshape(batch, 1, *grid).to(pixel_values.dtype)  # (batch, 1, rows, columns)
    m = m.repeat_interleave(patch_shape[0], dim=2).repeat_interleave(patch_shape[1], dim=3)  # (batch, 1, height, width)
    return (torch.abs(pixel_values - reconstruction) * m).sum() / (m.sum() + 1e-5) / channels


def hard_distillation(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    alpha: float = 0.5,
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.hard_distillation."""
    base = cross_entropy(cls_logits, labels)
    return (1 - alpha) * base + alpha * cross_entropy(distillation_logits, teacher_logits.argmax(dim=1))


def soft_distillation(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
    divided_by: str = "entries",
) -> Float[Number, ""]:
    """Mirror of numpy_backend.losses.soft_distillation."""
    checks.choice("divided_by", divided_by, SOFT_DIVISIONS)
    teacher, student = log_softmax(teacher_logits / tau), log_softmax(distillation_logits / tau)
    divergence = (teacher.exp() * (teacher - student)).mean() * tau**2
    if divided_by == "images":
        divergence = divergence * teacher_logits.shape[1]
    return (1 - alpha) * cross_entropy(cls_logits, labels) + alpha * divergence
