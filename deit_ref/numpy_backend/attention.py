"""Chapter 5: attention, the one place where tokens see each other.

Input -> output: tokens (batch, tokens, dim) -> tokens (batch, tokens, dim).

Each token asks a question (query), offers a label (key) and a content (value). A token's answer is the mean of all
contents, weighted by how well each label fits its question. Several heads do this side by side, each with its own
small part of the features.

Source: Vaswani et al. 2017, section 3.2, equation 1; Touvron et al. 2021, section 3; Attention in timm.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.numpy_backend.layers import dropout, linear, softmax
from deit_ref.trace import Trace, record, wants
from deit_ref.weights import Attention

Array: TypeAlias = np.ndarray[Any, Any]


def split_heads(
    qkv: Float[Array, "batch tokens qkv_features"], *, num_heads: int
) -> tuple[
    Float[Array, "batch heads tokens head_dim"],
    Float[Array, "batch heads tokens head_dim"],
    Float[Array, "batch heads tokens head_dim"],
]:
    """Queries, keys and values of every head, from features ordered (q, k, v), then head, then head_dim.

    Args:
        qkv: 3 * heads * head_dim features per token.
        num_heads: heads.
    """
    batch, tokens, features = qkv.shape
    x = qkv.reshape(batch, tokens, 3, num_heads, features // (3 * num_heads))
    q, k, v = x.transpose(2, 0, 3, 1, 4)  # (3, batch, heads, tokens, head_dim)
    return q, k, v


def merge_heads(x: Float[Array, "batch heads tokens head_dim"]) -> Float[Array, "batch tokens dim"]:
    """Write the heads' results side by side again: the inverse of `split_heads` for one of its three parts."""
    batch, _, tokens, _ = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)  # (batch, tokens, dim)


def scaled_dot_product_attention(
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch heads tokens head_dim"],
    v: Float[Array, "batch heads tokens head_dim"],
    *,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch heads tokens head_dim"]:
    r"""$$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$

    d = head_dim: without the root, scores would grow with it and softmax would see only the largest.

    Args:
        q, k, v: queries, keys and values.
        head_mask: each head's probabilities are multiplied by its number, 0 to silence it, 1 to leave it.
        attention_mask: False for tokens that nobody may look at; at least one True per image.
        dropout_probability: of single attention probabilities.
        generator: for dropout; None means none.
        trace: records scores and probabilities (the latter as they meet v).

    >>> q = k = np.array([[[[0.0], [np.log(3.0)]]]])  # two tokens, one head, head_dim 1
    >>> v = np.array([[[[4.0], [8.0]]]])
    >>> scaled_dot_product_attention(q, k * 0, v).ravel().tolist()  # all keys alike: the mean
    [6.0, 6.0]

    Source: Vaswani et al. 2017, equation 1. head_mask multiplies as transformers 4's eager attention does; its
    default attention adds it to the scores, where it does nothing, and transformers 5 ignores it.
    """
    # Scaling the queries is scaling the scores, on a shorter array.
    scores = (q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)  # (batch, heads, tokens, tokens)
    if attention_mask is not None:
        scores = np.where(attention_mask[:, None, None, :], scores, -np.inf)
    record(trace, "scores", scores)
    probabilities = softmax(scores)  # (batch, heads, tokens, tokens)
    probabilities = dropout(probabilities, probability=dropout_probability, generator=generator)
    if head_mask is not None:
        probabilities *= head_mask[:, None, None]
    record(trace, "probabilities", probabilities)
    return probabilities @ v  # (batch, heads, tokens, head_dim)


def multi_head_attention(
    weights: Attention,
    x: Float[Array, "batch tokens dim"],
    *,
    num_heads: int,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    r"""Attention in several heads: $\mathrm{Concat}(\text{head}_1, \dots, \text{head}_h) \, W_O^\top$.

    One product makes all queries, keys and values; each head works on its own head_dim = dim / heads features;
    one product mixes what the heads found.

    Args:
        weights: qkv (3 * dim, dim) and proj (dim, dim).
        x: tokens, normalized.
        num_heads: divides dim.
        head_mask, attention_mask, dropout_probability, generator: see `scaled_dot_product_attention`.
        trace: records q, k, v, scores, probabilities, context and proj.
    """
    q, k, v = split_heads(linear(weights.qkv, x), num_heads=num_heads)
    for name, value in (("q", q), ("k", k), ("v", v)):
        record(trace, name, value)
    # One head after the other needs the memory of one head's scores. Who watches, or draws, gets all at once.
    watched = wants(trace, "scores") or wants(trace, "probabilities") or generator is not None
    together = num_heads if watched else 1
    context = np.empty_like(q)  # (batch, heads, tokens, head_dim)
    for first in range(0, num_heads, together):
        heads = slice(first, first + together)
        context[:, heads] = scaled_dot_product_attention(
            q[:, heads],
            k[:, heads],
            v[:, heads],
            head_mask=None if head_mask is None else head_mask[heads],
            attention_mask=attention_mask,
            dropout_probability=dropout_probability,
            generator=generator,
            trace=trace,
        )
    merged = record(trace, "context", merge_heads(context))  # (batch, tokens, dim)
    return record(trace, "proj", linear(weights.proj, merged))


def attention_rollout(
    attentions: Sequence[Float[Array, "batch heads tokens tokens"]], *, residual: float = 0.5
) -> Float[Array, "batch tokens tokens"]:
    r"""How much each token of the last layer draws on each input token, followed through all layers.

    $$R_l = \left(\rho I + (1 - \rho) \bar A_l\right) R_{l-1}, \qquad R_0 = I$$

    with $\bar A_l$ the mean over the heads. The identity stands for the residual connection, which hands each
    token on beside the attention. Rows sum to 1 when those of the attentions do.

    Args:
        attentions: one array per layer, first layer first.
        residual: $\rho$, the share of the residual connection; 0.5 in the paper.

    Raises:
        ValueError: no attentions.

    Source: Abnar & Zuidema 2020, section 3 (attention rollout).
    """
    if len(attentions) == 0:
        raise ValueError("attention_rollout needs the attentions of at least one layer: use output_attentions=True.")
    identity = np.eye(attentions[0].shape[-1], dtype=attentions[0].dtype)  # (tokens, tokens)
    rollout = np.broadcast_to(identity, attentions[0][:, 0].shape)  # (batch, tokens, tokens)
    for attention in attentions:
        rollout = (residual * identity + (1 - residual) * attention.mean(axis=1)) @ rollout
    return rollout
