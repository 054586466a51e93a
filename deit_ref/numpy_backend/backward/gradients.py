"""Chapter 10, the way back: what is differentiated, and with respect to what.

Input -> output: weights, pixels and what one wants to know -> `Gradients`.

A gradient needs a single number. In training it is the loss. To ask what a decision rests on, it is the logit of a
class, before softmax, whose gradient would fade where the model is sure.

Source: training.objectives for the losses of each task; Simonyan et al. 2014 for the logit.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from deit_ref.numpy_backend.backward.layers import Back
from deit_ref.numpy_backend.backward.losses import cross_entropy_vjp, hard_distillation_vjp, soft_distillation_vjp
from deit_ref.numpy_backend.backward.tasks import TASK_VJPS
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, Gradients, Output, TeacherOutput
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def objective_vjp(
    output: Output,
    *,
    labels: Integer[Array, "batch"] | Float[Array, "batch num_labels"] | None = None,
    teacher_logits: Float[Array, "batch num_labels"] | None = None,
    distillation: str = "none",
    alpha: float = 0.5,
    tau: float = 1.0,
    target: Integer[Array, "batch"] | None = None,
) -> tuple[Any, Back]:
    """The number that is differentiated.

    Args:
        output: of a task; a loss in it is the number if nothing else is asked.
        labels: for an output of two heads; without a teacher both learn from them, each by half.
        teacher_logits: for the distillation token.
        distillation: "none", "soft" or "hard"; see `losses.soft_distillation` and `losses.hard_distillation`.
        alpha, tau: as there.
        target: a class for each image; the number is the sum of their logits, so that each image has its own gradient.
            Of features, an entry of the pooler's output or, without pooler, of the class token.

    Returns:
        The number, and `back()`, which returns the gradients of the output's parts, by the names that the task's `back`
        gives them.
    """
    if target is not None:
        name, part, at = _asked(output, target)

        def back_target() -> dict[str, Any]:
            dpart = np.zeros_like(part)
            dpart[at] = 1
            return {name: dpart}

        return part[at].sum(), back_target
    if not isinstance(output, TeacherOutput):
        assert not isinstance(output, FeaturesOutput)
        return output.loss, lambda: {"dloss": 1.0}
    assert labels is not None
    heads = output.cls_logits, output.distillation_logits
    if distillation == "none":
        (one, back_one), (other, back_other) = (cross_entropy_vjp(logits, labels) for logits in heads)
        return (one + other) / 2, lambda: {"dcls_logits": back_one(0.5), "ddistillation_logits": back_other(0.5)}
    assert teacher_logits is not None
    if distillation == "hard":
        value, back_heads = hard_distillation_vjp(*heads, teacher_logits, labels, alpha=alpha)
    else:
        value, back_heads = soft_distillation_vjp(*heads, teacher_logits, labels, alpha=alpha, tau=tau)
    return value, lambda: dict(zip(("dcls_logits", "ddistillation_logits"), back_heads(), strict=True))


def _asked(output: Output, target: Integer[Array, "batch"]) -> tuple[str, Any, tuple[Any, ...]]:
    """The part of the output in which the target stands, its name in the task's `back`, and the target's places."""
    images = np.arange(len(target))
    if not isinstance(output, FeaturesOutput):
        assert isinstance(output, ClassificationOutput | TeacherOutput)
        return "dlogits", output.logits, (images, target)
    if output.pooler_output is not None:
        return "dpooler_output", output.pooler_output, (images, target)
    return "dlast_hidden_state", output.last_hidden_state, (images, 0, target)


def gradients(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"] | None = None,
    teacher_logits: Float[Array, "batch num_labels"] | None = None,
    distillation: str = "none",
    alpha: float = 0.5,
    tau: float = 1.0,
    target: Integer[Array, "batch"] | None = None,
    with_respect_to: tuple[str, ...] = ("weights",),
    gradient_trace: Trace | None = None,
    **options: Any,
) -> Gradients:
    """One number of a model, and how much it grows with each of the model's inputs.

    Args:
        weights: of any task.
        pixel_values: normalized pixels.
        labels: as the task's loss takes them; see `objective_vjp` for two heads.
        teacher_logits, distillation, alpha, tau, target: see `objective_vjp`.
        with_respect_to: which of "weights", "pixel_values", "attentions" and "head_mask"; the others are None.
        gradient_trace: records the gradient of every step that `trace` would record, under the same name.
        options: see `model.encode`; a head_mask must be given for its gradient.
    """
    if labels is not None and weights.task == "classification":
        options["labels"] = labels
    output, back = TASK_VJPS[weights.task](weights, pixel_values, **options)
    value, back_objective = objective_vjp(
        output,
        labels=labels,
        teacher_logits=teacher_logits,
        distillation=distillation,
        alpha=alpha,
        tau=tau,
        target=target,
    )
    inputs = back(**back_objective(), trace=gradient_trace)
    return Gradients(value, **{name: getattr(inputs, name) for name in with_respect_to})
