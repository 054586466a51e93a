r"""Chapter 10, the way back: the whole model.

Input -> output: the gradient of what a task returns -> of all weights, of the pixels, of every attention and head.

Forward, one line after the other; back, their `back` in reverse. A weight that the value does not depend on has
gradient 0, such as the second head when only the first is asked.

Source: see `numpy_backend.model`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.numpy_backend.backward.encoder import encoder_vjp
from deit_ref.numpy_backend.backward.layers import Back
from deit_ref.numpy_backend.backward.tokens import embed_vjp
from deit_ref.numpy_backend.model import Encoded
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights, map_weights

Array: TypeAlias = np.ndarray[Any, Any]


class Inputs(NamedTuple):
    """The gradients of all that goes into a model.

    Attributes:
        weights: a tree like the weights.
        pixel_values: (batch, channels, height, width).
        attentions: (batch, heads, tokens, tokens) for each layer.
        head_mask: (blocks, heads), or None without one.
    """

    weights: DeiTWeights
    pixel_values: Array
    attentions: tuple[Array, ...]
    head_mask: Array | None


def encode_vjp(
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
) -> tuple[Encoded, Back]:
    """Pixels to tokens that have seen each other, and back.

    Args:
        weights, pixel_values, bool_masked_pos, head_mask, attention_mask: as in the forward function.
        interpolate_pos_encoding, output_hidden_states, output_attentions: as there.
        drop_path, generator, trace: as there.

    Returns:
        The encoded tokens, and `back(dx, used, trace=None)`, which returns `Inputs`. `used` are the gradients of the
        weights that were used behind the encoder, by their field in `DeiTWeights`.
    """
    wanted = ["embeddings", "blocks.*.output"] if output_hidden_states else []
    wanted += ["blocks.*.attention.probabilities"] if output_attentions else []
    kept = Trace(wanted, also=trace)
    inner = kept if wanted else trace
    x, back_embed = embed_vjp(
        weights,
        pixel_values,
        bool_masked_pos=bool_masked_pos,
        interpolate_pos_encoding=interpolate_pos_encoding,
        generator=generator,
        trace=inner,
    )
    x, back_encoder = encoder_vjp(
        weights,
        x,
        head_mask=head_mask,
        attention_mask=attention_mask,
        drop_path=drop_path,
        generator=generator,
        trace=inner,
    )

    def back(dx: Float[Array, "batch tokens dim"], used: Mapping[str, Any], trace: Trace | None = None) -> Inputs:
        kept = Trace(["blocks.*.attention.probabilities"], also=trace)
        in_encoder, dx, dhead_mask = back_encoder(dx, kept)
        in_embed, dpixel_values = back_embed(dx, trace)
        zeros = map_weights(np.zeros_like, weights)
        dweights = replace(zeros, **used, **in_encoder, **in_embed)
        return Inputs(dweights, dpixel_values, kept.matching("*")[::-1], dhead_mask)  # the last layer came first

    encoded = Encoded(
        x,
        hidden_states=kept.matching("embeddings") + kept.matching("blocks.*.output") if output_hidden_states else None,
        attentions=kept.matching("blocks.*.attention.probabilities") if output_attentions else None,
    )
    return encoded, back
