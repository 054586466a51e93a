"""What `gradients` is asked for: of which number, with respect to what. As in `inputs`, a function per argument."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from deit_ref import checks, inputs
from deit_ref.arrays import all_finite, as_like, cast, kind
from deit_ref.weights import DeiTWeights

GRADIENTS = ("weights", "pixel_values", "attentions", "head_mask")


def with_respect_to(names: Any) -> tuple[str, ...]:
    """Some of `GRADIENTS`, at least one, none of them twice."""
    found = checks.texts("with_respect_to", names, each=f"of {', '.join(GRADIENTS)}")
    for name in found:
        checks.choice("with_respect_to", name, GRADIENTS)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"with_respect_to must name each of {', '.join(GRADIENTS)} at most once, and one at least.")
    return found


def number(weights: DeiTWeights, pixel_values: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is differentiated: a target, or a loss and what has a part in it.

    Args:
        weights, pixel_values: the model and its images.
        given: labels, teacher_logits, distillation, alpha, tau, target and bool_masked_pos as `gradients` got them.
    """
    task, target, labeled = weights.task, given["target"], given["labels"] is not None
    distillation = checks.choice("distillation", given["distillation"], ("none", "soft", "hard"))
    if distillation != "none" and (task != "classification-with-teacher" or target is not None):
        raise ValueError(
            f'distillation={distillation!r} is a loss of the task "classification-with-teacher", got '
            f"{'a target' if target is not None else f'the task {task!r}'}: leave it out."
        )
    parts = {"none": (), "hard": ("teacher_logits", "alpha"), "soft": ("teacher_logits", "alpha", "tau")}[distillation]
    for name in ("teacher_logits", "alpha", "tau"):
        if given[name] is not None and name not in parts:
            raise ValueError(f"{name} has no part in distillation={distillation!r}: leave it out, or choose another.")
    if task == "masked-image-modeling":
        if target is not None or labeled or given["bool_masked_pos"] is None:
            raise ValueError(
                "The loss of masked image modeling needs bool_masked_pos, and neither labels nor a target."
            )
        return {}
    if (target is None) != labeled:
        wanted = "a target" if task == "features" else "labels, for their loss, or a target, for its logit"
        raise ValueError(f"gradients needs {wanted}; got {'both' if labeled else 'neither'}.")
    if target is not None:
        return {"target": _target(target, weights, pixel_values)}
    if task != "classification-with-teacher":
        return {"labels": inputs.labels(given["labels"], weights, pixel_values)}
    found = {"labels": _shares(given["labels"], weights, pixel_values), "distillation": distillation}
    if distillation != "none":
        found["teacher_logits"] = _teacher_logits(given["teacher_logits"], weights, pixel_values)
    if given["alpha"] is not None:
        found["alpha"] = checks.fraction("alpha", given["alpha"])
    if given["tau"] is not None:
        found["tau"] = checks.number("tau", given["tau"], low=0, high=2**16, includes_low=False)
    return found


def _target(target: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """(batch,), a place in the answer for each image, from one for all."""
    config, like, batch = weights.config, weights.pos_embed, len(pixel_values)
    answers = config.num_labels or config.hidden_size  # without a head the token is the answer
    if weights.task == "features":
        answers = config.hidden_size if weights.pooler is None else len(weights.pooler.weight)
    found = as_like("target", target, like)
    if kind(found) != "i" or tuple(found.shape) not in ((), (batch,)):
        raise ValueError(
            f"target must be a class number, or ({batch},) of them, one per image; got {found.dtype} of shape "
            f"{tuple(found.shape)}."
        )
    if ((found < 0) | (found >= answers)).any():
        raise ValueError(f"target must lie in 0..{answers - 1}, got {checks.brief(target)}.")
    return np.broadcast_to(found, batch) if isinstance(like, np.ndarray) else found.long().expand(batch)


def _shares(labels: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """Labels of two heads: class numbers as in `labels`, or a share for each class."""
    like, shape = weights.pos_embed, (len(pixel_values), weights.config.num_labels)
    found = as_like("labels", labels, like)
    if weights.config.num_labels < 2:
        raise ValueError(
            f"Two heads learn from cross entropy, which needs at least 2 classes, and this model has num_labels="
            f"{weights.config.num_labels}: choose a target."
        )
    if weights.config.problem_type not in (None, "single_label_classification"):
        raise ValueError(
            f"Two heads learn from cross entropy, and config.problem_type is {weights.config.problem_type!r}: choose a "
            "target, or change the config."
        )
    if kind(found) != "f":
        return inputs.class_numbers(found, weights, pixel_values).reshape(-1)
    if tuple(found.shape) != shape or not all_finite(found):
        raise ValueError(
            f"labels of two heads must be class numbers ({shape[0]},), or finite shares of the classes {shape}; got "
            f"{found.dtype} of shape {tuple(found.shape)}."
        )
    if (abs(found.sum(1) - 1) > 1e-3).any() or (found < 0).any():
        raise ValueError("labels that are shares must be at least 0 and sum to 1 for each image.")
    return cast(found, like)


def _teacher_logits(logits: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """(batch, num_labels), of a teacher that knows the same classes."""
    if logits is None:
        raise ValueError("Distillation needs teacher_logits: what a teacher says of the same images.")
    found = as_like("teacher_logits", logits, weights.pos_embed)
    shape = (len(pixel_values), weights.config.num_labels)
    if kind(found) != "f" or tuple(found.shape) != shape or not all_finite(found):
        raise ValueError(
            f"teacher_logits must be finite floats of shape {shape}, one per image and class; got {found.dtype} of "
            f"shape {tuple(found.shape)}."
        )
    return cast(found, weights.pos_embed)
