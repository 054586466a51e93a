r"""Chapter 10, the way back: where it begins, at the loss.

Input -> output: how much one cares about the loss (a number, 1 as a rule) -> the gradient of the predictions.

For cross entropy the answer is as simple as it could be: what the model says less what is true, $(p - t) / B$. A right
and sure answer sends nothing back. A wrong one pushes its own class down by the share it was given, and the right class
up by the share it lacks. A hard teacher changes only t, for its own token; a soft one puts all of its shares there.

Source: see `numpy_backend.losses`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from deit_ref import checks
from deit_ref.config import PROBLEM_TYPES
from deit_ref.numpy_backend.activations import sigmoid
from deit_ref.numpy_backend.backward.layers import Back
from deit_ref.numpy_backend.layers import softmax
from deit_ref.numpy_backend.losses import (
    Number,
    binary_cross_entropy,
    cross_entropy,
    log_softmax,
    masked_l1,
    mean_squared_error,
    soft_distillation,
)
from deit_ref.numpy_backend.patches import patch_grid

Array: TypeAlias = np.ndarray[Any, Any]


def log_softmax_vjp(x: Float[Array, "*batch classes"]) -> tuple[Float[Array, "*batch classes"], Back]:
    r"""$y_i = x_i - \log \sum_j e^{x_j}$, and back: $dx = dy - p \sum_j dy_j$."""

    def back(dy: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
        return dy - softmax(x) * dy.sum(axis=-1, keepdims=True)

    return log_softmax(x), back


def cross_entropy_vjp(
    logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    ignore_index: int = -100,
) -> tuple[Float[Number, ""], Back]:
    r"""$-\frac1B \sum_i \log p_i[t_i]$, and back: $(p_i - t_i) / B$ with $t_i$ as shares; 0 for a row left out.

    Args:
        logits, labels, ignore_index: as in the forward function. If shares do not sum to 1: $(p \sum_k t_k - t) / B$.
    """

    def back(dloss: float = 1.0) -> Float[Array, "batch classes"]:
        if np.issubdtype(labels.dtype, np.floating):
            shares, n = labels, len(labels)
        else:
            rows = np.flatnonzero(labels != ignore_index)
            shares, n = np.zeros_like(logits), len(rows)
            shares[rows, labels[rows]] = 1
        dlogits: Array = softmax(logits) * shares.sum(axis=-1, keepdims=True) - shares
        return dlogits * (dloss / n)

    return cross_entropy(logits, labels, ignore_index=ignore_index), back


def binary_cross_entropy_vjp(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch classes"]
) -> tuple[Float[Number, ""], Back]:
    r"""Yes or no for each class, and back: $(p - t) / \text{answers}$. The same form again."""

    def back(dloss: float = 1.0) -> Float[Array, "batch classes"]:
        return (sigmoid(logits) - labels) * (dloss / logits.size)

    return binary_cross_entropy(logits, labels), back


def mean_squared_error_vjp(
    predictions: Float[Array, "*shape"], labels: Float[Array, "*shape"]
) -> tuple[Float[Number, ""], Back]:
    r"""$\mathrm{mean}((o - t)^2)$, and back: $2 (o - t) / \text{answers}$."""

    def back(dloss: float = 1.0) -> Float[Array, "*shape"]:
        return (predictions - labels) * (2 * dloss / predictions.size)

    return mean_squared_error(predictions, labels), back


def classification_loss_vjp(
    logits: Float[Array, "batch num_labels"],
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"],
    *,
    problem_type: str | None = None,
) -> tuple[Float[Number, ""], Back]:
    """The loss that fits the labels, and back by its own rule.

    Args:
        logits, labels, problem_type: as in the forward function.
    """
    if problem_type is None:
        kind = "single" if np.issubdtype(labels.dtype, np.integer) else "multi"
        problem_type = "regression" if logits.shape[1] == 1 else f"{kind}_label_classification"
    checks.choice("problem_type", problem_type, PROBLEM_TYPES)
    if problem_type == "single_label_classification":
        return cross_entropy_vjp(logits, labels.reshape(-1))
    labels = labels.astype(logits.dtype).reshape(logits.shape)  # (batch, num_labels)
    return (mean_squared_error_vjp if problem_type == "regression" else binary_cross_entropy_vjp)(logits, labels)


def masked_l1_vjp(
    reconstruction: Float[Array, "batch channels height width"],
    pixel_values: Float[Array, "batch channels height width"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
    *,
    patch_shape: tuple[int, int],
) -> tuple[Float[Number, ""], Back]:
    r"""$\sum M |x - \hat x|$ over its weight, and back: the sign of $\hat x - x$ where hidden, over the same weight.

    Every wrong pixel pulls equally hard, however wrong it is.

    Args:
        reconstruction, pixel_values, bool_masked_pos, patch_shape: as in the forward function.

    Returns:
        The loss, and `back(dloss=1)`, which returns the gradients of reconstruction and of pixel_values.
    """
    batch, channels, height, width = pixel_values.shape
    grid = patch_grid(height, width, patch_shape=patch_shape)

    def back(
        dloss: float = 1.0,
    ) -> tuple[Float[Array, "batch channels height width"], Float[Array, "batch channels height width"]]:
        m = bool_masked_pos.reshape(batch, 1, *grid).astype(pixel_values.dtype)  # (batch, 1, rows, columns)
        m = m.repeat(patch_shape[0], axis=2).repeat(patch_shape[1], axis=3)  # (batch, 1, height, width)
        dreconstruction = np.sign(reconstruction - pixel_values) * m * (dloss / (m.sum() + 1e-5) / channels)
        return dreconstruction, -dreconstruction

    return masked_l1(reconstruction, pixel_values, bool_masked_pos, patch_shape=patch_shape), back


def hard_distillation_vjp(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    alpha: float = 0.5,
) -> tuple[Float[Number, ""], Back]:
    r"""Two cross entropies; $(1 - \alpha) (p_\text{cls} - t) / B$ and $\alpha (p_\text{dist} - p_\text{teacher}) / B$.

    $p_\text{teacher}$ is 1 where its logit is largest. That is a step, without a slope: the teacher gets nothing.

    Args:
        cls_logits, distillation_logits, teacher_logits, labels, alpha: as in the forward function.

    Returns:
        The loss, and `back(dloss=1)`, which returns the gradients of cls_logits and distillation_logits.
    """
    from_label, back_label = cross_entropy_vjp(cls_logits, labels)
    from_teacher, back_teacher = cross_entropy_vjp(distillation_logits, teacher_logits.argmax(axis=1))

    def back(dloss: float = 1.0) -> tuple[Float[Array, "batch classes"], Float[Array, "batch classes"]]:
        return back_label((1 - alpha) * dloss), back_teacher(alpha * dloss)

    return (1 - alpha) * from_label + alpha * from_teacher, back


def soft_distillation_vjp(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
    divided_by: str = "entries",
) -> tuple[Float[Number, ""], Back]:
    r"""Cross entropy and a divergence; back $\alpha \tau (p_\text{student} - p_\text{teacher}) / (B C)$ for one token.

    The slope of $o / \tau$ uses up one $\tau$ of $\tau^2$. A high temperature makes the difference small, as
    $1 / \tau$, and the other $\tau$ makes up for that: this is what the factor $\tau^2$ in the loss is for.

    Args:
        cls_logits, distillation_logits, teacher_logits, labels, alpha, tau, divided_by: as in the forward function.

    Returns:
        The loss, and `back(dloss=1)`, which returns the gradients of cls_logits and distillation_logits alone.
    """
    _, back_label = cross_entropy_vjp(cls_logits, labels)

    def back(dloss: float = 1.0) -> tuple[Float[Array, "batch classes"], Float[Array, "batch classes"]]:
        student, teacher = softmax(distillation_logits / tau), softmax(teacher_logits / tau)
        count = student.size if divided_by == "entries" else len(student)
        return back_label((1 - alpha) * dloss), (student - teacher) * (alpha * tau * dloss / count)

    given = cls_logits, distillation_logits, teacher_logits, labels
    return soft_distillation(*given, alpha=alpha, tau=tau, divided_by=divided_by), back
