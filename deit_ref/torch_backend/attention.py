"""Chapter 5, mirrored: attention, the one place where tokens see each other."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float

from deit_ref.torch_backend.layers import dropout, linear, softmax
from deit_ref.trace import Trace, record, wants
from deit_ref.weights import Attention

Array: TypeAlias = torch.Tensor


def split_heads(
    qkv: Float[Array, "batch tokens qkv_features"], *, num_heads: int
) -> tuple[
    Float[Array, "batch heads tokens head_dim"],
    Float[Array, "batch heads tokens head_dim"],
    Float[Array, "batch heads tokens head_dim"],
]:
    """Mirror of numpy_backend.attention.split_heads."""
    batch, tokens, features = qkv.shape
    x = qkv.reshape(batch, tokens, 3, num_heads, features // (3 * num_heads))
    q, k, v = x.permute(2, 0, 3, 1, 4)  # (3, batch, heads, tokens, head_dim)
    return q, k, v


def merge_heads(x: Float[Array, "batch heads tokens head_dim"]) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.attention.merge_heads."""
    return x.transpose(1, 2).flatten(2)  # (batch, tokens, dim)


def scaled_dot_product_attention(
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch heads tokens head_dim"],
    v: Float[Array, "batch heads tokens head_dim"],
    *,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch heads tokens head_dim"]:
    """Mirror of numpy_backend.attention.scaled_dot_product_attention.

    torch's fused kernel gives the result whenever it can. It can neither multiply probabilities by a head_mask nor
    draw dropout from a generator of ours, so these take the formula, and so does training in bfloat16 on a CPU. When
    somebody traces, the formula runs beside the kernel, for the record only, unless a gradient is wanted: then what is
    recorded must lie on the path to the result, and the formula gives both.
    """
    keep = None if attention_mask is None else attention_mask[:, None, None, :]  # (batch, 1, 1, tokens)
    watched = wants(trace, "scores") or wants(trace, "probabilities")
    fused = head_mask is None and (generator is None or dropout_probability == 0)
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        # On a CPU, the kernel's backward pass in bfloat16 takes up to four times as long as the formula's.
        fused = fused and not watched and not (q.dtype == torch.bfloat16 and q.device.type == "cpu")
    if fused and not watched:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (batch, heads, tokens, tokens)
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    record(trace, "scores", scores)
    probabilities = softmax(scores)  # (batch, heads, tokens, tokens)
    probabilities = dropout(probabilities, probability=dropout_probability, generator=generator)
    if head_mask is not None:
        probabilities = probabilities * head_mask[:, None, None]
    record(trace, "probabilities", probabilities)
    if fused:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
    return probabilities @ v  # (batch, heads, tokens, head_dim)


def multi_head_attention(
    weights: Attention,
    x: Float[Array, "batch tokens dim"],
    *,
    num_heads: int,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.attention.multi_head_attention; the heads run together."""
    q, k, v = split_heads(linear(weights.qkv, x), num_heads=num_heads)
    for name, value in (("q", q), ("k", k), ("v", v)):
        record(trace, name, value)
    context = scaled_dot_product_attention(
        q,
        k,
        v,
        head_mask=head_mask,
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
    """Mirror of numpy_backend.attention.attention_rollout."""
    if len(attentions) == 0:
        raise ValueError("attention_rollout needs the attentions of at least one layer: use output_attentions=True.")
    first = attentions[0]
    identity = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)  # (tokens, tokens)
    rollout = identity.expand(first.shape[0], -1, -1)  # (batch, tokens, tokens)
    for attention in attentions:
        rollout = (residual * identity + (1 - residual) * attention.mean(dim=1)) @ rollout
    return rollout
