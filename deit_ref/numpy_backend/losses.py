"""Chapter 9: losses, what a model is trained to make small.

Input -> output: predictions and targets -> one number.

Source: Touvron et al. 2021, section 4, equations 2 and 3; losses.py of facebookresearch/deit; Xie et al. 2022,
section 3.4; ForImageClassificationLoss in transformers.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from deit_ref import checks
from deit_ref.config import PROBLEM_TYPES, SOFT_DIVISIONS
from deit_ref.numpy_backend.activations import softplus
from deit_ref.numpy_backend.patches import patch_grid

Array: TypeAlias = np.ndarray[Any, Any]
Number: TypeAlias = Array | np.floating[Any]


def log_softmax(x: Float[Array, "*batch classes"]) -> Float[Array, "*batch classes"]:
    r"""$\log p_k = x_k - \log \sum_j e^{x_j}$, without overflow."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(
    logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    ignore_index: int = -100,
) -> Float[Number, ""]:
    r"""The surprise at the right answer: $-\frac1B \sum_i \log p_i[t_i]$.

    Label smoothing, mixup and cutmix give shares instead: $-\frac1B \sum_i \sum_k t_{ik} \log p_{ik}$.

    Args:
        logits: scores.
        labels: class numbers as integers, or as floats the shares of all classes, which sum to 1 in each row.
        ignore_index: rows of this class number are left out, and B counts the others, as in torch.

    >>> logits = np.array([[0.0, np.log(3.0)], [7.0, 7.0]])  # 3/4 for class 1; the second row is left out
    >>> round(float(np.exp(-cross_entropy(logits, np.array([1, -100])))), 6)
    0.75
    """
    if np.issubdtype(labels.dtype, np.floating):
        return -(labels * log_softmax(logits)).sum(axis=-1).mean()
    rows = np.flatnonzero(labels != ignore_index)
    return -log_softmax(logits)[rows, labels[rows]].mean()


def binary_cross_entropy(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch classes"]
) -> Float[Number, ""]:
    r"""Each class a yes-or-no question: $-\mathrm{mean}(t \log p + (1 - t) \log(1 - p))$, $p = \mathrm{sigmoid}(o)$.

    Args:
        logits: scores.
        labels: 0 or 1, or a probability.
    """
    return (softplus(logits) - labels * logits).mean()


def mean_squared_error(predictions: Float[Array, "*shape"], labels: Float[Array, "*shape"]) -> Float[Number, ""]:
    r"""$\mathrm{mean}((o - t)^2)$."""
    return np.square(predictions - labels).mean()


def classification_loss(
    logits: Float[Array, "batch num_labels"],
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"],
    *,
    problem_type: str | None = None,
) -> Float[Number, ""]:
    """The loss that fits the labels.

    Args:
        logits: scores.
        labels: class numbers (batch,) as integers; one 0 or 1 per class (batch, num_labels) as floats; or for
            regression real numbers, (batch,) if num_labels is 1.
        problem_type: None decides from this call's labels alone: regression if num_labels is 1, else single-label
            for integers and multi-label for floats. transformers writes its first decision into the config, and a
            later call with other labels then fails.

    Raises:
        ValueError: unknown problem_type.
    """
    if problem_type is None:
        integers = np.issubdtype(labels.dtype, np.integer)
        kind = "single_label_classification" if integers else "multi_label_classification"
        problem_type = "regression" if logits.shape[1] == 1 else kind
    checks.choice("problem_type", problem_type, PROBLEM_TYPES)
    if problem_type == "single_label_classification":
        return cross_entropy(logits, labels.reshape(-1))
    labels = labels.astype(logits.dtype).reshape(logits.shape)  # (batch, num_labels)
    return (mean_squared_error if problem_type == "regression" else binary_cross_entropy)(logits, labels)


def masked_l1(
    reconstruction: Float[Array, "batch channels height width"],
    pixel_values: Float[Array, "batch channels height width"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
    *,
    patch_shape: tuple[int, int],
) -> Float[Number, ""]:
    r"""Mean absolute error on hidden pixels: $\sum M |x - \hat x| \; / \; ((\sum M + 10^{-5}) \cdot \text{channels})$.

    Args:
        reconstruction: $\hat x$, what the model drew.
        pixel_values: x, normalized.
        bool_masked_pos: True where a patch was hidden; M is this, enlarged to pixels. Nothing hidden gives 0.
        patch_shape: (height, width) of a patch in pixels.
    """
    batch, channels, height, width = pixel_values.shape
    grid = patch_grid(height, width, patch_shape=patch_shape)
    m = bool_masked_pos.reshape(batch, 1, *grid).astype(pixel_values.dtype)  # (batch, 1, rows, columns)
    m = m.repeat(patch_shape[0], axis=2).repeat(patch_shape[1], axis=3)  # (batch, 1, height, width)
    return (np.abs(pixel_values - reconstruction) * m).sum() / (m.sum() + 1e-5) / channels


def hard_distillation(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"] | Float[Array, "batch classes"],
    *,
    alpha: float = 0.5,
) -> Float[Number, ""]:
    r"""Learn the label with one token and the teacher's decision with the other.

    $$(1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t) + \alpha \, \mathrm{CE}(o_\text{dist}, \arg\max o_\text{teacher})$$

    Args:
        cls_logits, distillation_logits: the student's two heads.
        teacher_logits: of the same, equally augmented, images.
        labels: see `cross_entropy`; for the class token's head alone, the teacher's part is never smoothed.
        alpha: the weight of the teacher's term.

    Source: Touvron et al. 2021, equation 3.
    """
    base = cross_entropy(cls_logits, labels)
    return (1 - alpha) * base + alpha * cross_entropy(distillation_logits, teacher_logits.argmax(axis=1))


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
    r"""Learn the label with one token and the teacher's whole distribution with the other.

    $$\begin{aligned} & (1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t) \\
      & + \alpha \, \frac{\tau^2}{B C} \sum_{i,k} p_{\text{teacher},ik} \,
      (\log p_{\text{teacher},ik} - \log p_{\text{student},ik}) \end{aligned}$$

    $$p_\text{teacher} = \mathrm{softmax}(o_\text{teacher} / \tau), \qquad
      p_\text{student} = \mathrm{softmax}(o_\text{dist} / \tau)$$

    Args:
        cls_logits, distillation_logits: the student's two heads.
        teacher_logits: of the same, equally augmented, images.
        labels: see `cross_entropy`; for the class token's head alone, the teacher's part is never smoothed.
        alpha: the weight of the teacher's term; 0.1 in the paper's text, 0.5 in the code's default.
        tau: temperature, above 0; 3 in the paper's text, 1 in the code's default.
        divided_by: what the sum is divided by: "entries" (B C), or "images" (B), which makes it C times as large.

    Raises:
        ValueError: unknown divided_by.

    Source: Touvron et al. 2021, equation 2, whose divergence is one per image; losses.py of facebookresearch/deit,
    which divides by entries. Issue 61 there: divided by images it was "slightly lower/similar".
    """
    checks.choice("divided_by", divided_by, SOFT_DIVISIONS)
    teacher, student = log_softmax(teacher_logits / tau), log_softmax(distillation_logits / tau)
    divergence = (np.exp(teacher) * (teacher - student)).mean() * tau**2
    if divided_by == "images":
        divergence = divergence * teacher_logits.shape[1]
    return (1 - alpha) * cross_entropy(cls_logits, labels) + alpha * divergence
