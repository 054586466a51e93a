"""Right solutions of assignment 2 that are written in other ways than chapter 5."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import special

from deit_ref.numpy_backend.attention import merge_heads, scaled_dot_product_attention, split_heads
from deit_ref.weights import Attention

Array = np.ndarray[Any, Any]


def softmax_row_by_row(x: Array) -> Array:
    result = np.empty_like(x)
    for row in np.ndindex(*x.shape[:-1]):
        top = max(x[row])
        powers = [math.exp(score - top) for score in x[row]]
        result[row] = [power / sum(powers) for power in powers]
    return result


def softmax_by_logarithms(x: Array) -> Array:
    return np.exp(x - special.logsumexp(x, axis=-1, keepdims=True))


def split_heads_by_slices(qkv: Array, *, num_heads: int) -> tuple[Array, ...]:
    dim = qkv.shape[2] // 3
    head_dim = dim // num_heads
    parts = []
    for start in range(0, 3 * dim, dim):
        heads = [qkv[:, :, start + h * head_dim : start + (h + 1) * head_dim] for h in range(num_heads)]
        parts.append(np.stack(heads, axis=1))
    return tuple(parts)


def split_heads_by_einsum(qkv: Array, *, num_heads: int) -> list[Array]:
    batch, tokens, _ = qkv.shape
    return [
        np.einsum("bthd->bhtd", part.reshape(batch, tokens, num_heads, -1)) for part in np.array_split(qkv, 3, axis=2)
    ]


def merge_heads_side_by_side(x: Array) -> Array:
    return np.concatenate([x[:, head] for head in range(x.shape[1])], axis=-1)


def merge_heads_one_by_one(x: Array) -> Array:
    batch, heads, tokens, head_dim = x.shape
    result = np.zeros((batch, tokens, heads * head_dim))
    for b, h, t, d in np.ndindex(*x.shape):
        result[b, t, h * head_dim + d] = x[b, h, t, d]
    return result


def attention_by_einsum(
    q: Array, k: Array, v: Array, *, head_mask: Array | None = None, attention_mask: Array | None = None, **_: Any
) -> Array:
    """Divides the scores instead of the queries, adds the mask, and weighs the result instead of the shares."""
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    if attention_mask is not None:
        scores = scores + np.where(attention_mask, 0.0, -1e30)[:, None, None]
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result = np.einsum("bhqk,bhkd->bhqd", shares, v) / shares.sum(axis=-1)[..., None]
    return result if head_mask is None else result * head_mask.reshape(1, -1, 1, 1)


def attention_query_by_query(
    q: Array, k: Array, v: Array, *, head_mask: Array | None = None, attention_mask: Array | None = None, **_: Any
) -> Array:
    """Leaves hidden tokens out instead of masking their scores; in float64."""
    result = np.zeros(q.shape)
    for b, h, t in np.ndindex(*q.shape[:3]):
        seen = np.arange(k.shape[2]) if attention_mask is None else np.flatnonzero(attention_mask[b])
        scores = [float(np.dot(q[b, h, t], k[b, h, key])) / math.sqrt(q.shape[3]) for key in seen]
        shares = special.softmax(scores)
        for share, key in zip(shares, seen, strict=True):
            result[b, h, t] += share * v[b, h, key] * (1.0 if head_mask is None else head_mask[h])
    return result


def multi_head_all_at_once(
    weights: Attention, x: Array, *, num_heads: int, head_mask: Array | None = None,
    attention_mask: Array | None = None, **_: Any,
) -> Array:  # fmt: skip
    qkv = x @ weights.qkv.weight.T
    if weights.qkv.bias is not None:
        qkv += weights.qkv.bias
    q, k, v = split_heads(qkv, num_heads=num_heads)
    context = scaled_dot_product_attention(q, k, v, head_mask=head_mask, attention_mask=attention_mask)
    return merge_heads(context) @ weights.proj.weight.T + weights.proj.bias


def multi_head_as_a_sum_of_heads(
    weights: Attention, x: Array, *, num_heads: int, head_mask: Array | None = None,
    attention_mask: Array | None = None, **_: Any,
) -> Array:  # fmt: skip
    """Each head has its own rows of qkv and its own columns of proj; what they give is added up."""
    dim = x.shape[2]
    size = dim // num_heads
    result = np.zeros_like(x) + weights.proj.bias
    for head in range(num_heads):
        parts = []
        for start in (0, dim, 2 * dim):
            rows = slice(start + head * size, start + (head + 1) * size)
            bias = 0.0 if weights.qkv.bias is None else weights.qkv.bias[rows]
            parts.append((np.einsum("btj,ij->bti", x, weights.qkv.weight[rows]) + bias)[:, None])
        mask = None if head_mask is None else head_mask[head : head + 1]
        context = scaled_dot_product_attention(*parts, head_mask=mask, attention_mask=attention_mask)
        result += context[:, 0] @ weights.proj.weight[:, head * size : (head + 1) * size].T
    return result


def rollout_from_the_last_layer(attentions: Sequence[Array], *, residual: float = 0.5) -> Array:
    identity = np.identity(attentions[0].shape[-1])
    result = identity
    for attention in reversed(attentions):
        result = result @ (residual * identity + (1 - residual) * attention.mean(axis=1))
    return result


def rollout_image_by_image(attentions: Sequence[Array], *, residual: float = 0.5) -> Array:
    images = []
    for i in range(len(attentions[0])):
        layers = []
        for attention in attentions:
            layer = (1 - residual) * np.add.reduce(attention[i]) / len(attention[i])
            layer[np.diag_indices(len(layer))] += residual
            layers.append(layer)
        images.append(reduce(lambda below, layer: np.einsum("ij,jk->ik", layer, below), layers))
    return np.stack(images)


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "layers.softmax": (softmax_row_by_row, softmax_by_logarithms),
    "attention.split_heads": (split_heads_by_slices, split_heads_by_einsum),
    "attention.merge_heads": (merge_heads_side_by_side, merge_heads_one_by_one),
    "attention.scaled_dot_product_attention": (attention_by_einsum, attention_query_by_query),
    "attention.multi_head_attention": (multi_head_all_at_once, multi_head_as_a_sum_of_heads),
    "attention.attention_rollout": (rollout_from_the_last_layer, rollout_image_by_image),
}
