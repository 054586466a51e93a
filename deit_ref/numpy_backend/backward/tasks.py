"""Chapter 10, the way back: from what a task returns.

Input -> output: the gradients of the parts of a task's output -> `Inputs`.

Source: the four tasks of `numpy_backend.model`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from deit_ref.numpy_backend.backward.heads import classify_vjp, classify_with_teacher_vjp, pooler_vjp
from deit_ref.numpy_backend.backward.layers import Back
from deit_ref.numpy_backend.backward.losses import classification_loss_vjp, masked_l1_vjp
from deit_ref.numpy_backend.backward.model import Inputs, encode_vjp
from deit_ref.numpy_backend.backward.simmim import reconstruct_vjp
from deit_ref.numpy_backend.backward.tokens import split_tokens_vjp
from deit_ref.numpy_backend.patches import patch_grid
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, MaskedImageOutput, TeacherOutput
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def features_vjp(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], **options: Any
) -> tuple[FeaturesOutput, Back]:
    """Tokens and the pooler's summary, and back.

    Args:
        weights, pixel_values, options: as in the forward function.

    Returns:
        The output, and `back(dlast_hidden_state=None, dpooler_output=None, trace=None)`, which returns `Inputs`. None
        means that nothing depends on that part of the output, here and below.
    """
    encoded, back_encode = encode_vjp(weights, pixel_values, **options)
    (cls_token, _, _), back_split = split_tokens_vjp(encoded.x, distilled=weights.config.distilled)
    summary: Array | None = None
    if weights.pooler is not None:
        summary, back_pooler = pooler_vjp(weights.pooler, cls_token, activation=weights.config.pooler_act)
        record(options.get("trace"), "pooler", summary)

    def back(
        dlast_hidden_state: Float[Array, "batch tokens dim"] | None = None,
        dpooler_output: Float[Array, "batch pooler_features"] | None = None,
        trace: Trace | None = None,
    ) -> Inputs:
        dx = np.zeros_like(encoded.x) if dlast_hidden_state is None else dlast_hidden_state
        used = {}
        if dpooler_output is not None:
            used["pooler"], dcls_token = back_pooler(record(trace, "pooler", dpooler_output))
            dx = dx + back_split(dcls_token)
        return back_encode(dx, used, trace)

    return FeaturesOutput(encoded.x, summary, encoded.hidden_states, encoded.attentions), back


def classification_vjp(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"] | None = None,
    **options: Any,
) -> tuple[ClassificationOutput, Back]:
    """Logits and, with labels, their loss, and back.

    Args:
        weights, pixel_values, labels, options: as in the forward function.

    Returns:
        The output, and `back(dlogits=None, dloss=None, trace=None)`, which returns `Inputs`.
    """
    config = weights.config
    encoded, back_encode = encode_vjp(weights, pixel_values, **options)
    (cls_token, _, _), back_split = split_tokens_vjp(encoded.x, distilled=config.distilled)
    logits, back_head = classify_vjp(weights.head, cls_token)
    record(options.get("trace"), "logits", logits)
    loss = None
    if labels is not None:
        loss, back_loss = classification_loss_vjp(logits, labels, problem_type=config.problem_type)

    def back(
        dlogits: Float[Array, "batch num_labels"] | None = None,
        dloss: float | None = None,
        trace: Trace | None = None,
    ) -> Inputs:
        dlogits = np.zeros_like(logits) if dlogits is None else dlogits
        if dloss is not None:
            dlogits = dlogits + back_loss(dloss)
        dhead, dcls_token = back_head(record(trace, "logits", dlogits))
        return back_encode(back_split(dcls_token), {"head": dhead}, trace)

    output = ClassificationOutput(
        logits=logits,
        loss=loss,
        hidden_states=encoded.hidden_states,
        attentions=encoded.attentions,
        class_names=weights.class_names,
        problem_type=config.problem_type,
    )
    return output, back


def classification_with_teacher_vjp(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], **options: Any
) -> tuple[TeacherOutput, Back]:
    """Both heads and their mean, and back; the losses that a teacher has a part in are in `backward.losses`.

    Args:
        weights, pixel_values, options: as in the forward function.

    Returns:
        The output, and `back(dlogits=None, dcls_logits=None, ddistillation_logits=None, trace=None)`, which returns
        `Inputs`.
    """
    encoded, back_encode = encode_vjp(weights, pixel_values, **options)
    (cls_token, dist_token, _), back_split = split_tokens_vjp(encoded.x, distilled=True)
    assert dist_token is not None
    (logits, cls_logits, distillation_logits), back_heads = classify_with_teacher_vjp(
        weights.head, weights.head_dist, cls_token, dist_token
    )
    trace = options.get("trace")

    def back(
        dlogits: Float[Array, "batch num_labels"] | None = None,
        dcls_logits: Float[Array, "batch num_labels"] | None = None,
        ddistillation_logits: Float[Array, "batch num_labels"] | None = None,
        trace: Trace | None = None,
    ) -> Inputs:
        given = (dlogits, dcls_logits, ddistillation_logits)
        all_three = [np.zeros_like(logits) if gradient is None else gradient for gradient in given]
        dhead, dhead_dist, dcls_token, ddist_token = back_heads(*all_three, trace)
        return back_encode(back_split(dcls_token, ddist_token), {"head": dhead, "head_dist": dhead_dist}, trace)

    output = TeacherOutput(
        cls_logits=record(trace, "cls_logits", cls_logits),
        distillation_logits=record(trace, "distillation_logits", distillation_logits),
        logits=record(trace, "logits", logits),
        hidden_states=encoded.hidden_states,
        attentions=encoded.attentions,
        class_names=weights.class_names,
        problem_type=weights.config.problem_type,
    )
    return output, back


def masked_image_modeling_vjp(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    **options: Any,
) -> tuple[MaskedImageOutput, Back]:
    """The drawn image and, with a mask, its loss, and back. The loss sees the pixels twice: as what is read, and as
    what is to be drawn; their gradient is the sum.

    Args:
        weights, pixel_values, bool_masked_pos, options: as in the forward function.

    Returns:
        The output, and `back(dreconstruction=None, dloss=None, trace=None)`, which returns `Inputs`.
    """
    encoded, back_encode = encode_vjp(weights, pixel_values, bool_masked_pos=bool_masked_pos, **options)
    grid = patch_grid(*pixel_values.shape[2:], patch_shape=weights.config.patch_shape)
    reconstruction, back_decoder = reconstruct_vjp(weights, encoded.x, grid=grid, trace=options.get("trace"))
    loss = None
    if bool_masked_pos is not None:
        loss, back_loss = masked_l1_vjp(
            reconstruction, pixel_values, bool_masked_pos, patch_shape=weights.config.patch_shape
        )

    def back(
        dreconstruction: Float[Array, "batch channels height width"] | None = None,
        dloss: float | None = None,
        trace: Trace | None = None,
    ) -> Inputs:
        dimage = np.zeros_like(reconstruction) if dreconstruction is None else dreconstruction
        dtarget = np.zeros_like(pixel_values)
        if dloss is not None:
            from_loss, dtarget = back_loss(dloss)
            dimage = dimage + from_loss
        used, dx = back_decoder(dimage, trace)
        inputs: Inputs = back_encode(dx, used, trace)
        return inputs._replace(pixel_values=inputs.pixel_values + dtarget)

    return MaskedImageOutput(reconstruction, loss, encoded.hidden_states, encoded.attentions), back


TASK_VJPS: Mapping[str, Callable[..., Any]] = {
    "features": features_vjp,
    "classification": classification_vjp,
    "classification-with-teacher": classification_with_teacher_vjp,
    "masked-image-modeling": masked_image_modeling_vjp,
}
