"""Wrong solutions of assignment 5."""

import numpy as np
from wrong import TYPE, changed, given, retyped, spoiling

_EXPERIMENT = "course.experiment"

WRONG = (
    spoiling("losses.log_softmax"),
    given("losses.log_softmax", "the maximum alone", lambda right, x: x - x.max(axis=-1, keepdims=True)),
    given("losses.log_softmax", "minus", lambda right, x: -right(x), "the sign"),
    spoiling("losses.cross_entropy", 0),
    spoiling("losses.cross_entropy", 1),
    given(
        "losses.cross_entropy",
        "rows one by one",
        lambda right, z, y, **options: np.array(
            [right(a[None], b[None], **options) for a, b in zip(z, y, strict=True)]
        ),
    ),
    changed(
        "losses.cross_entropy",
        "integers of one kind only",
        "np.issubdtype(labels.dtype, np.floating)",
        "labels.ndim == 1",
    ),
    changed(
        "losses.cross_entropy",
        "ignored rows count as class 0",
        "rows = np.flatnonzero(labels != ignore_index)",
        "labels = np.where(labels == ignore_index, 0, labels)\n    rows = np.arange(len(labels))",
    ),
    spoiling("losses.hard_distillation", 0),
    spoiling("losses.hard_distillation", 2),
    given("losses.hard_distillation", "alpha ignored", lambda right, *args, **options: right(*args), "alpha ignored"),
    changed(
        "losses.hard_distillation",
        "decisions over the photos",
        "argmax(axis=1)",
        "argmax(axis=0)[:1].repeat(len(teacher_logits))",
    ),
    spoiling("losses.soft_distillation", 1),
    given("losses.soft_distillation", "tau ignored", lambda right, *args, tau=1.0, **options: right(*args, **options)),
    given(
        "losses.soft_distillation",
        "divided_by ignored",
        lambda right, *args, divided_by="entries", **options: right(*args, **options),
        "divided_by ignored",
    ),
    changed(
        "losses.soft_distillation",
        "tau for the label, too",
        "cross_entropy(cls_logits, labels)",
        "cross_entropy(cls_logits / tau, labels)",
    ),
    spoiling(f"{_EXPERIMENT}.hard_gradients"),
    retyped(f"{_EXPERIMENT}.hard_gradients", "one array", np.stack, None),
    given(
        f"{_EXPERIMENT}.hard_gradients",
        "minus",
        lambda right, *args, **options: tuple(-x for x in right(*args, **options)),
        "targets minus probabilities",
    ),
    spoiling(f"{_EXPERIMENT}.soft_gradients"),
    given(
        f"{_EXPERIMENT}.soft_gradients",
        "minus",
        lambda right, *args, **options: tuple(-x for x in right(*args, **options)),
        "the sign",
    ),
    retyped(f"{_EXPERIMENT}.train_heads", "a tuple", tuple, TYPE),
    spoiling(f"{_EXPERIMENT}.train_heads", 1),
    changed(
        f"{_EXPERIMENT}.train_heads",
        "one size for both heads",
        "np.zeros((classes, dist_features.shape[1]))",
        "np.zeros((classes, cls_features.shape[1]))",
        "shapes that do not fit",
    ),
    changed(
        f"{_EXPERIMENT}.train_heads",
        "the loss after the step",
        "return TrainedHeads(weight, bias, weight_dist, bias_dist, losses)",
        "return TrainedHeads(weight, bias, weight_dist, bias_dist, np.roll(losses, -1))",
    ),
    changed(
        f"{_EXPERIMENT}.train_heads", "random beginnings", "weight, bias = np.zeros(", "weight, bias = 0.1 + np.zeros("
    ),
)
