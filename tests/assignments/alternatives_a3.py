"""Right solutions of assignment 3 that are written in other ways than the chapters."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special, stats

from deit_ref.config import DeiTConfig
from deit_ref.numpy_backend.activations import activate
from deit_ref.numpy_backend.attention import multi_head_attention
from deit_ref.numpy_backend.encoder import encoder, encoder_block, mlp
from deit_ref.numpy_backend.layers import layer_norm, linear
from deit_ref.numpy_backend.model import encode
from deit_ref.numpy_backend.tokens import embed
from deit_ref.outputs import TeacherOutput
from deit_ref.trace import Trace
from deit_ref.weights import Block, DeiTWeights, LayerNorm, Linear, Mlp

Array = np.ndarray[Any, Any]


def layer_norm_token_by_token(weights: LayerNorm, x: Array, *, eps: float) -> Array:
    result = np.zeros(x.shape)
    for token in np.ndindex(*x.shape[:-1]):
        features = [float(feature) for feature in x[token]]
        mean = math.fsum(features) / len(features)
        variance = math.fsum((feature - mean) ** 2 for feature in features) / len(features)
        for i, feature in enumerate(features):
            scaled = (feature - mean) / math.sqrt(variance + eps)
            result[(*token, i)] = scaled * weights.weight[i] + weights.bias[i]
    return result


def layer_norm_by_var(weights: LayerNorm, x: Array, *, eps: float) -> Array:
    """Folds the division into the weight; NumPy's variance."""
    scale = weights.weight * (x.var(axis=-1, keepdims=True) + eps) ** -0.5
    return (x - np.average(x, axis=-1)[..., None]) * scale + weights.bias


def gelu_by_the_normal_distribution(x: Array) -> Array:
    return x * stats.norm.cdf(x)


def gelu_one_by_one(x: Array) -> Array:
    """In float64, through erfc."""
    values = [float(v) * 0.5 * math.erfc(-float(v) / 2**0.5) for v in x.ravel()]
    return np.array(values).reshape(x.shape)


def gelu_in_the_dtype_that_came(x: Array) -> Array:
    half, root = x.dtype.type(0.5), x.dtype.type(2**0.5)
    return half * x * (1 + special.erf(x / root))


def mlp_in_one_line(weights: Mlp, x: Array, *, activation: str, trace: Any = None) -> Array:
    return linear(weights.fc2, activate(linear(weights.fc1, x), name=activation))


def mlp_by_einsum(weights: Mlp, x: Array, *, activation: str, trace: Any = None) -> Array:
    """Token by token."""
    result = np.zeros((*x.shape[:2], len(weights.fc2.weight)))
    for b, t in np.ndindex(*x.shape[:2]):
        hidden = np.einsum("wd,d->w", weights.fc1.weight, x[b, t])
        if weights.fc1.bias is not None:
            hidden = hidden + weights.fc1.bias
        result[b, t] = weights.fc2.weight @ activate(hidden, name=activation) + weights.fc2.bias
    return result


def encoder_block_without_training(
    weights: Block,
    x: Array,
    *,
    config: DeiTConfig,
    head_mask: Array | None = None,
    attention_mask: Array | None = None,
    **_: Any,
) -> Array:
    """No dropout, no trace."""
    masks = {"head_mask": head_mask, "attention_mask": attention_mask}
    normed = layer_norm(weights.norm1, x, eps=config.layer_norm_eps)
    x = x + multi_head_attention(weights.attn, normed, num_heads=config.num_attention_heads, **masks)
    return x + mlp(weights.mlp, layer_norm(weights.norm2, x, eps=config.layer_norm_eps), activation=config.hidden_act)


def encoder_block_image_by_image(
    weights: Block, x: Array, *, config: DeiTConfig, attention_mask: Array | None = None, **options: Any
) -> Array:
    """Both branches first, the sum of all three at the end."""
    results = []
    for b in range(len(x)):
        z = x[b : b + 1]
        mask = None if attention_mask is None else attention_mask[b : b + 1]
        first = multi_head_attention(
            weights.attn,
            layer_norm_token_by_token(weights.norm1, z, eps=config.layer_norm_eps),
            num_heads=config.num_attention_heads,
            head_mask=options.get("head_mask"),
            attention_mask=mask,
        )
        normed = layer_norm_token_by_token(weights.norm2, z + first, eps=config.layer_norm_eps)
        second = mlp_by_einsum(weights.mlp, normed, activation=config.hidden_act)
        results.append((z + first + second)[0])
    return np.array(results)


def encoder_without_training(
    weights: DeiTWeights, x: Array, *, head_mask: Array | None = None, attention_mask: Array | None = None, **_: Any
) -> Array:
    rows = [None] * len(weights.blocks) if head_mask is None else head_mask
    for block, row in zip(weights.blocks, rows, strict=True):
        x = encoder_block(block, x, config=weights.config, head_mask=row, attention_mask=attention_mask)
    return layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps)


def encoder_by_recursion(weights: DeiTWeights, x: Array, **options: Any) -> Array:
    def after(count: int) -> Array:
        if count == 0:
            return x.astype(np.float64)
        row = options.get("head_mask")
        return encoder_block(
            weights.blocks[count - 1],
            after(count - 1),
            config=weights.config,
            head_mask=None if row is None else row[count - 1],
            attention_mask=options.get("attention_mask"),
        )

    return layer_norm_by_var(weights.norm, after(len(weights.blocks)), eps=weights.config.layer_norm_eps)


def classify_with_teacher_by_hand(
    head: Linear | None, head_dist: Linear | None, cls_token: Array, dist_token: Array
) -> tuple[Array, Array, Array]:
    one = cls_token if head is None else cls_token @ head.weight.T + head.bias
    two = dist_token if head_dist is None else dist_token @ head_dist.weight.T + head_dist.bias
    return 0.5 * one + 0.5 * two, one, two


def classify_with_teacher_as_a_list(
    head: Linear | None, head_dist: Linear | None, cls_token: Array, dist_token: Array
) -> list[Array]:
    def logits(weights: Linear | None, token: Array) -> Array:
        return token if weights is None else np.einsum("bd,kd->bk", token, weights.weight) + weights.bias

    both = np.stack([logits(head, cls_token), logits(head_dist, dist_token)])
    return [both.mean(axis=0), *both]


def classification_with_teacher_by_places(weights: DeiTWeights, pixel_values: Array, **options: Any) -> TeacherOutput:
    encoded = encode(weights, pixel_values, **options)
    x = encoded.x
    one, two = x[:, 0] @ weights.head.weight.T, x[:, 1] @ weights.head_dist.weight.T
    one, two = one + weights.head.bias, two + weights.head_dist.bias
    return TeacherOutput((one + two) / 2, one, two, encoded.hidden_states, encoded.attentions)


def classification_with_teacher_without_encode(
    weights: DeiTWeights, pixel_values: Array, *, interpolate_pos_encoding: bool = False,
    head_mask: Array | None = None, attention_mask: Array | None = None, output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> TeacherOutput:  # fmt: skip
    trace = Trace()
    x = embed(weights, pixel_values, interpolate_pos_encoding=interpolate_pos_encoding)
    states = [x]
    x = encoder(weights, x, head_mask=head_mask, attention_mask=attention_mask, trace=trace)
    blocks = range(len(weights.blocks))
    states += [trace[f"blocks.{i}.output"] for i in blocks]
    logits = classify_with_teacher_by_hand(weights.head, weights.head_dist, *x[:, :2].swapaxes(0, 1))
    return TeacherOutput(
        *logits,
        hidden_states=tuple(states) if output_hidden_states else None,
        attentions=tuple(trace[f"blocks.{i}.attention.probabilities"] for i in blocks) if output_attentions else None,
    )


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "layers.layer_norm": (layer_norm_token_by_token, layer_norm_by_var),
    "activations.gelu": (gelu_by_the_normal_distribution, gelu_one_by_one, gelu_in_the_dtype_that_came),
    "encoder.mlp": (mlp_in_one_line, mlp_by_einsum),
    "encoder.encoder_block": (encoder_block_without_training, encoder_block_image_by_image),
    "encoder.encoder": (encoder_without_training, encoder_by_recursion),
    "heads.classify_with_teacher": (classify_with_teacher_by_hand, classify_with_teacher_as_a_list),
    "model.classification_with_teacher": (
        classification_with_teacher_by_places,
        classification_with_teacher_without_encode,
    ),
}
