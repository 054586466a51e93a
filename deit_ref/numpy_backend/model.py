"""Chapter 8: the whole model, and what it can be asked.

Input -> output: normalized pixels (batch, channels, height, width) -> one output type per task.

Everything is here already; this chapter only puts the parts in order. Read `encode` for the whole path, and the
four tasks for what each takes from it.

Source: Touvron et al. 2021, figure 2; DistilledVisionTransformer in facebookresearch/deit; DeiTModel and the three
DeiTFor... classes of transformers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from deit_ref.numpy_backend.encoder import encoder
from deit_ref.numpy_backend.heads import classify, classify_with_teacher, pooler
from deit_ref.numpy_backend.losses import classification_loss, masked_l1
from deit_ref.numpy_backend.patches import patch_grid
from deit_ref.numpy_backend.simmim import reconstruct
from deit_ref.numpy_backend.tokens import embed, split_tokens
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, MaskedImageOutput, Output, TeacherOutput
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


class Encoded(NamedTuple):
    """Tokens after the last norm (batch, tokens, dim), and what was kept on the way."""

    x: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None


def encode(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    head_mask: Float[Array, "layers heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    interpolate_pos_encoding: bool = False,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
    drop_path: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Encoded:
    """Pixels to tokens that have seen each other: what all four tasks begin with.

    Args:
        weights: of any task.
        pixel_values: normalized pixels.
        bool_masked_pos, interpolate_pos_encoding: see `tokens.embed`.
        head_mask, attention_mask: see `attention.scaled_dot_product_attention`; head_mask has one row per layer.
        output_hidden_states, output_attentions: what to keep; the others come back as None.
        drop_path: see `encoder.encoder`; for training loops, which call this or a task, so `api` does not offer it.
        generator: for dropout and drop_path; None means neither.
        trace: records every step.
    """
    # What is to be returned is what a trace keeps, so the chapters need no second way to hand it out.
    wanted = ["embeddings", "blocks.*.output"] if output_hidden_states else []
    wanted += ["blocks.*.attention.probabilities"] if output_attentions else []
    kept = Trace(wanted, also=trace)
    inner = kept if wanted else trace
    x = embed(
        weights,
        pixel_values,
        bool_masked_pos=bool_masked_pos,
        interpolate_pos_encoding=interpolate_pos_encoding,
        generator=generator,
        trace=inner,
    )
    x = encoder(
        weights,
        x,
        head_mask=head_mask,
        attention_mask=attention_mask,
        drop_path=drop_path,
        generator=generator,
        trace=inner,
    )
    return Encoded(
        x,
        hidden_states=kept.matching("embeddings") + kept.matching("blocks.*.output") if output_hidden_states else None,
        attentions=kept.matching("blocks.*.attention.probabilities") if output_attentions else None,
    )


def features(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], **options: Any
) -> FeaturesOutput:
    """The tokens themselves and, with pooler weights, the pooler's summary.

    Args:
        weights: of the task "features".
        pixel_values: normalized pixels.
        options: see `encode`.
    """
    encoded = encode(weights, pixel_values, **options)
    summary = None
    if weights.pooler is not None:
        cls_token, _, _ = split_tokens(encoded.x, distilled=weights.config.distilled)
        summary = pooler(weights.pooler, cls_token, activation=weights.config.pooler_act)
        record(options.get("trace"), "pooler", summary)
    return FeaturesOutput(encoded.x, summary, encoded.hidden_states, encoded.attentions)


def classification(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    labels: Integer[Array, "*label_shape"] | Float[Array, "*label_shape"] | None = None,
    **options: Any,
) -> ClassificationOutput:
    """Name the image from its class token.

    Args:
        weights: of the task "classification".
        pixel_values: normalized pixels.
        labels: see `losses.classification_loss`; None means no loss.
        options: see `encode`.
    """
    config = weights.config
    encoded = encode(weights, pixel_values, **options)
    cls_token, _, _ = split_tokens(encoded.x, distilled=config.distilled)
    logits = record(options.get("trace"), "logits", classify(weights.head, cls_token))
    return ClassificationOutput(
        logits=logits,
        loss=None if labels is None else classification_loss(logits, labels, problem_type=config.problem_type),
        hidden_states=encoded.hidden_states,
        attentions=encoded.attentions,
        class_names=weights.class_names,
        problem_type=config.problem_type,
    )


def classification_with_teacher(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], **options: Any
) -> TeacherOutput:
    """Name the image from its class token and its distillation token, and take the mean.

    Args:
        weights: of the task "classification-with-teacher".
        pixel_values: normalized pixels.
        options: see `encode`.
    """
    encoded = encode(weights, pixel_values, **options)
    cls_token, dist_token, _ = split_tokens(encoded.x, distilled=True)
    assert dist_token is not None
    logits, cls_logits, distillation_logits = classify_with_teacher(
        weights.head, weights.head_dist, cls_token, dist_token
    )
    trace = options.get("trace")
    return TeacherOutput(
        cls_logits=record(trace, "cls_logits", cls_logits),
        distillation_logits=record(trace, "distillation_logits", distillation_logits),
        logits=record(trace, "logits", logits),
        hidden_states=encoded.hidden_states,
        attentions=encoded.attentions,
        class_names=weights.class_names,
        problem_type=weights.config.problem_type,
    )


def masked_image_modeling(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    **options: Any,
) -> MaskedImageOutput:
    """Draw the image again, hidden patches included.

    Args:
        weights: of the task "masked-image-modeling".
        pixel_values: normalized pixels.
        bool_masked_pos: patches to hide; None hides nothing and gives no loss.
        options: see `encode`.
    """
    encoded = encode(weights, pixel_values, bool_masked_pos=bool_masked_pos, **options)
    grid = patch_grid(*pixel_values.shape[2:], patch_shape=weights.config.patch_shape)
    reconstruction = reconstruct(weights, encoded.x, grid=grid, trace=options.get("trace"))
    loss = None
    if bool_masked_pos is not None:
        loss = masked_l1(reconstruction, pixel_values, bool_masked_pos, patch_shape=weights.config.patch_shape)
    return MaskedImageOutput(reconstruction, loss, encoded.hidden_states, encoded.attentions)


TASKS: Mapping[str, Callable[..., Output]] = {
    "features": features,
    "classification": classification,
    "classification-with-teacher": classification_with_teacher,
    "masked-image-modeling": masked_image_modeling,
}
