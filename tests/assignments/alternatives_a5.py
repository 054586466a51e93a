"""Right solutions of assignment 5 that are written in other ways than the chapters."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special, stats

from deit_ref.course.assignments.experiment import TrainedHeads, hard_gradients, soft_gradients
from deit_ref.numpy_backend.losses import cross_entropy, hard_distillation, soft_distillation

Array = np.ndarray[Any, Any]


def log_softmax_row_by_row(x: Array) -> Array:
    result = np.empty(x.shape)
    for row in np.ndindex(*x.shape[:-1]):
        top = max(x[row])
        total = math.fsum(math.exp(score - top) for score in x[row])
        result[row] = [score - top - math.log(total) for score in x[row]]
    return result


def log_softmax_by_logsumexp(x: Array) -> Array:
    return x - special.logsumexp(x, axis=-1, keepdims=True)


def cross_entropy_photo_by_photo(logits: Array, labels: Array, *, ignore_index: int = -100) -> float:
    surprises = []
    for row, label in zip(log_softmax_row_by_row(logits), labels, strict=True):
        if np.ndim(label):
            surprises.append(-float(np.dot(row, label)))
        elif label != ignore_index:
            surprises.append(-float(row[label]))
    return sum(surprises) / len(surprises)


def cross_entropy_by_shares(logits: Array, labels: Array, *, ignore_index: int = -100) -> Array:
    """Makes shares of class numbers; those of ignored rows are all 0."""
    if labels.dtype.kind != "f":
        labels = (labels[:, None] == np.arange(logits.shape[1])) * (labels != ignore_index)[:, None] * 1.0
    return -np.einsum("bk,bk->", labels, special.log_softmax(logits, axis=1)) / labels.sum(axis=1).round().sum()


def hard_distillation_by_shares(
    cls_logits: Array, distillation_logits: Array, teacher_logits: Array, labels: Array, *, alpha: float = 0.5
) -> Array:
    decisions = np.eye(teacher_logits.shape[1])[np.argmax(teacher_logits, axis=-1)]
    label, teacher = cross_entropy(cls_logits, labels), cross_entropy(distillation_logits, decisions)
    return label + alpha * (teacher - label)


def hard_distillation_photo_by_photo(
    cls_logits: Array, distillation_logits: Array, teacher_logits: Array, labels: Array, *, alpha: float = 0.5
) -> float:
    base = cross_entropy_photo_by_photo(cls_logits, labels)
    decisions = np.array([max(range(len(row)), key=lambda k: row[k]) for row in teacher_logits])
    return base * (1.0 - alpha) + alpha * cross_entropy_photo_by_photo(distillation_logits, decisions)


def soft_distillation_by_entropy(
    cls_logits: Array,
    distillation_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
    divided_by: str = "entries",
) -> Array:
    """SciPy's divergence, row by row."""
    pairs = zip(teacher_logits / tau, distillation_logits / tau, strict=True)
    rows = [stats.entropy(special.softmax(t), special.softmax(s)) for t, s in pairs]
    part = np.sum(rows) * tau * tau / {"entries": distillation_logits.size, "images": len(rows)}[divided_by]
    return cross_entropy(cls_logits, labels) * (1 - alpha) + alpha * part


def soft_distillation_by_cross_entropies(
    cls_logits: Array,
    distillation_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
    divided_by: str = "entries",
) -> Array:
    """The divergence is the cross entropy less the teacher's own entropy."""
    target = special.softmax(teacher_logits / tau, axis=1)
    part = cross_entropy(distillation_logits / tau, target) - cross_entropy(teacher_logits / tau, target)
    part = part * tau**2 / (cls_logits.shape[1] if divided_by == "entries" else 1)
    return (1 - alpha) * cross_entropy(cls_logits, labels) + alpha * part


def _numerical(loss: Callable[[Array, Array], Any], cls_logits: Array, distillation_logits: Array) -> list[Array]:
    """Central differences, with two steps, so that the error falls with the fourth power."""
    gradients = []
    for which, logits in enumerate((cls_logits, distillation_logits)):
        gradient = np.zeros(logits.shape)
        for place in np.ndindex(*logits.shape):

            def at(step: float, place: tuple[int, ...] = place, which: int = which) -> float:
                both = [cls_logits.copy(), distillation_logits.copy()]
                both[which][place] += step
                return float(loss(*both))

            near, far = at(1e-3) - at(-1e-3), at(2e-3) - at(-2e-3)
            gradient[place] = (8 * near - far) / 12e-3
        gradients.append(gradient)
    return gradients


def hard_gradients_by_differences(
    cls_logits: Array, distillation_logits: Array, teacher_logits: Array, labels: Array, *, alpha: float = 0.5
) -> list[Array]:
    def loss(one: Array, two: Array) -> Any:
        return hard_distillation(one, two, teacher_logits, labels, alpha=alpha)

    return _numerical(loss, cls_logits, distillation_logits)


def hard_gradients_in_place(
    cls_logits: Array, distillation_logits: Array, teacher_logits: Array, labels: Array, *, alpha: float = 0.5
) -> tuple[Array, Array]:
    rows = np.arange(len(labels))
    one, two = special.softmax(cls_logits, axis=1), special.softmax(distillation_logits, axis=1)
    one[rows, labels] -= 1
    two[rows, teacher_logits.argmax(axis=1)] -= 1
    return one / len(labels) * (1 - alpha), two / len(labels) * alpha


def soft_gradients_by_differences(
    cls_logits: Array,
    distillation_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
) -> list[Array]:
    def loss(one: Array, two: Array) -> Any:
        return soft_distillation(one, two, teacher_logits, labels, alpha=alpha, tau=tau)

    return _numerical(loss, cls_logits, distillation_logits)


def soft_gradients_photo_by_photo(
    cls_logits: Array,
    distillation_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
) -> tuple[Array, Array]:
    one, two = np.zeros(cls_logits.shape), np.zeros(cls_logits.shape)
    for b, label in enumerate(labels):
        one[b] = special.softmax(cls_logits[b]) * (1 - alpha)
        one[b, label] -= 1 - alpha
        two[b] = special.softmax(distillation_logits[b] / tau) - special.softmax(teacher_logits[b] / tau)
    return one / len(labels), two / two.size * tau * alpha


def train_heads_with_a_column_of_ones(
    cls_features: Array,
    dist_features: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    steps: int,
    learning_rate: float,
    alpha: float = 0.5,
    tau: float | None = None,
) -> TrainedHeads:
    """Each bias is the weight of a feature that is 1; updates in place."""
    x = [np.pad(features, ((0, 0), (0, 1)), constant_values=1) for features in (cls_features, dist_features)]
    w = [np.zeros((one.shape[1], teacher_logits.shape[1])) for one in x]
    options = {"alpha": alpha} if tau is None else {"alpha": alpha, "tau": tau}
    loss, gradients = (hard_distillation, hard_gradients) if tau is None else (soft_distillation, soft_gradients)
    losses = []
    for _ in range(steps):
        logits = [one @ two for one, two in zip(x, w, strict=True)]
        losses.append(loss(*logits, teacher_logits, labels, **options))
        for one, two, gradient in zip(x, w, gradients(*logits, teacher_logits, labels, **options), strict=True):
            two -= learning_rate * (one.T @ gradient)
    return TrainedHeads(w[0][:-1].T, w[0][-1], w[1][:-1].T, w[1][-1], np.array(losses))


def train_heads_one_after_the_other(
    cls_features: Array,
    dist_features: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    steps: int,
    learning_rate: float,
    alpha: float = 0.5,
    tau: float | None = None,
) -> TrainedHeads:
    """The heads do not know of each other, so each is trained alone."""
    classes, batch = teacher_logits.shape[1], len(labels)
    temperature = 1.0 if tau is None else tau
    if tau is None:
        target, factor = np.eye(classes)[teacher_logits.argmax(axis=1)], alpha / batch
    else:
        target, factor = special.softmax(teacher_logits / tau, axis=1), alpha * tau / (batch * classes)
    trained: list[Array] = []
    seen: list[list[Array]] = []
    for x, y, share, t in (
        (cls_features, np.eye(classes)[labels], (1 - alpha) / batch, 1.0),
        (dist_features, target, factor, temperature),
    ):
        weight, bias = np.zeros((classes, x.shape[1])), np.zeros(classes)
        seen.append([])
        for _ in range(steps):
            logits = np.einsum("bf,kf->bk", x, weight) + bias
            seen[-1].append(logits)
            gradient = share * (special.softmax(logits / t, axis=1) - y)
            weight = weight - learning_rate * np.einsum("bk,bf->kf", gradient, x)
            bias = bias - learning_rate * gradient.sum(0)
        trained += [weight, bias]
    arguments = (teacher_logits, labels)
    if tau is None:
        losses = [hard_distillation(a, b, *arguments, alpha=alpha) for a, b in zip(*seen, strict=True)]
    else:
        losses = [soft_distillation(a, b, *arguments, alpha=alpha, tau=tau) for a, b in zip(*seen, strict=True)]
    return TrainedHeads(*trained, np.array(losses))


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "losses.log_softmax": (log_softmax_row_by_row, log_softmax_by_logsumexp),
    "losses.cross_entropy": (cross_entropy_photo_by_photo, cross_entropy_by_shares),
    "losses.hard_distillation": (hard_distillation_by_shares, hard_distillation_photo_by_photo),
    "losses.soft_distillation": (soft_distillation_by_entropy, soft_distillation_by_cross_entropies),
    "course.experiment.hard_gradients": (hard_gradients_by_differences, hard_gradients_in_place),
    "course.experiment.soft_gradients": (soft_gradients_by_differences, soft_gradients_photo_by_photo),
    "course.experiment.train_heads": (train_heads_with_a_column_of_ones, train_heads_one_after_the_other),
}
