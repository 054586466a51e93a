"""Chapter 10, mirrored: the way back is autograd.

torch remembers every operation of the forward pass and differentiates it by itself. So the mirror of every `x_vjp` is
`vjp(x, ...)`, and nothing else is written twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Integer

from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, Gradients, Output, TeacherOutput
from deit_ref.torch_backend.losses import cross_entropy, hard_distillation, soft_distillation
from deit_ref.torch_backend.model import TASKS
from deit_ref.trace import Trace, record, wants
from deit_ref.weights import DeiTWeights

Array: TypeAlias = torch.Tensor
Back: TypeAlias = Callable[..., Any]


def objective(
    output: Output,
    *,
    labels: Integer[Array, "batch"] | Float[Array, "batch num_labels"] | None = None,
    teacher_logits: Float[Array, "batch num_labels"] | None = None,
    distillation: str = "none",
    alpha: float = 0.5,
    tau: float = 1.0,
    target: Integer[Array, "batch"] | None = None,
) -> Any:
    """Mirror of the value of numpy_backend.backward.gradients.objective_vjp."""
    if target is not None:
        if isinstance(output, FeaturesOutput):
            asked = output.last_hidden_state[:, 0] if output.pooler_output is None else output.pooler_output
        else:
            assert isinstance(output, ClassificationOutput | TeacherOutput)
            asked = output.logits
        return asked.gather(1, target[:, None]).sum()
    if not isinstance(output, TeacherOutput):
        assert not isinstance(output, FeaturesOutput)
        return output.loss
    assert labels is not None
    heads = output.cls_logits, output.distillation_logits
    if distillation == "none":
        return (cross_entropy(heads[0], labels) + cross_entropy(heads[1], labels)) / 2
    assert teacher_logits is not None
    if distillation == "hard":
        return hard_distillation(*heads, teacher_logits, labels, alpha=alpha)
    return soft_distillation(*heads, teacher_logits, labels, alpha=alpha, tau=tau)


@torch.inference_mode(False)
@torch.enable_grad()
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
    trace: Trace | None = None,
    head_mask: Float[Array, "layers heads"] | None = None,
    **options: Any,
) -> Gradients:
    """Mirror of numpy_backend.backward.gradients.gradients; autograd follows what was asked for alone.

    Where torch is told to follow nothing (no_grad, inference_mode), it does so here all the same.
    """
    weights, pixel_values, labels, teacher_logits, target, head_mask, options = _map(
        _followable, (weights, pixel_values, labels, teacher_logits, target, head_mask, options)
    )
    # Steps are followed if something before them is: attentions from the pixels on, the patches from the weights too.
    followed = {*with_respect_to}
    followed |= {"pixel_values"} if "attentions" in followed else set()
    followed |= {"weights", "pixel_values"} if gradient_trace is not None else set()
    if "weights" in followed:
        weights = _map(_leaf, weights)
    if "pixel_values" in followed:
        pixel_values = _leaf(pixel_values)
    if "head_mask" in followed:
        assert head_mask is not None
        head_mask = _leaf(head_mask)
    attentions = ["blocks.*.attention.probabilities"] if "attentions" in followed else []
    steps = Trace(None if gradient_trace is not None else attentions, also=trace)
    given = {"head_mask": head_mask, "labels": labels if weights.task == "classification" else None}
    options |= {name: value for name, value in given.items() if value is not None}
    output = TASKS[weights.task](weights, pixel_values, trace=steps, **options)
    value = objective(
        output,
        labels=labels,
        teacher_logits=teacher_logits,
        distillation=distillation,
        alpha=alpha,
        tau=tau,
        target=target,
    )
    inputs = {
        "weights": weights,
        "pixel_values": pixel_values,
        "attentions": steps.matching("blocks.*.attention.probabilities"),
        "head_mask": head_mask,
    }
    asked: dict[str, Any] = {name: inputs[name] for name in with_respect_to}
    found = _gradients(
        [value],
        [value.new_ones(())],
        {**asked, "steps": {name: step for name, step in steps.items() if wants(gradient_trace, name)}},
        once=True,
    )
    for name, gradient in reversed(found.pop("steps").items()):
        record(gradient_trace, name, gradient)
    return Gradients(value.detach(), **found)


def vjp(function: Callable[..., Any], *inputs: Any, **options: Any) -> tuple[Any, Back]:
    """A function's value and its `back`: the mirror of every `x_vjp` in numpy_backend.backward is `vjp(x, ...)`.

    Args:
        function: of any chapter.
        inputs: tensors, trees of weights or None, all of which get their gradient; whole numbers have none.
        options: passed on.

    Returns:
        The value, and `back(*gradients)`, one for each tensor in the value, which returns the gradient of each input;
        what holds no real numbers comes back as it is.
    """
    inputs = tuple(_map(_leaf, tree) for tree in inputs)
    value = function(*inputs, **options)
    results = _leaves(value)

    def back(*gradients: Array) -> tuple[Any, ...]:
        return _gradients(results, gradients, inputs)

    return value, back


def _gradients(values: Sequence[Array], dvalues: Sequence[Array], tree: Any, *, once: bool = False) -> Any:
    """A tree like the given one, whose tensors the values were made from, of their gradients; 0 where unused.

    What is asked once forgets the forward pass on its way back, which takes less memory.
    """
    leaves = _leaves(tree)
    found = iter(
        torch.autograd.grad(values, leaves, dvalues, retain_graph=not once, allow_unused=True, materialize_grads=True)
    )
    return _map(lambda tensor: next(found) if tensor.is_floating_point() else tensor, tree)


def _leaves(tree: Any) -> list[Array]:
    """The tensors of real numbers in a tree, in order."""
    found: list[Array] = []

    def kept(tensor: Array) -> Array:
        if tensor.is_floating_point():
            found.append(tensor)
        return tensor

    _map(kept, tree)
    return found


def _leaf(tensor: Array) -> Array:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def _followable(tensor: Array) -> Array:
    """Autograd cannot follow tensors that were made in inference_mode; it can follow their copies."""
    return tensor.clone() if tensor.is_inference() else tensor


def _map(function: Callable[[Array], Any], tree: Any) -> Any:
    """The same tree with `function` applied to every tensor."""
    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        return tuple(_map(function, entry) for entry in tree)
    if isinstance(tree, dict):
        return {name: _map(function, entry) for name, entry in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type | DeiTConfig | ImageProcessing):
        return replace(tree, **{field.name: _map(function, getattr(tree, field.name)) for field in fields(tree)})
    return tree
