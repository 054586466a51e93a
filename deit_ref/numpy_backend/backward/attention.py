"""Chapter 10, the way back: through attention.

Input -> output: the gradient of attention's result (batch, tokens, dim) -> of qkv and proj, and of the tokens.

Forward, three things come together: queries and keys make shares, shares and values make the result. Back, the path
forks in the same two places. A product has two factors, and the gradient of each is the other one's doing:

    y = p v            dp = dy v^T      dv = p^T dy
    s = q k^T          dq = ds k        dk = ds^T q

So a value hears from every token that looked at it, as much as it was looked at, and a token that nobody looks at does
not learn what to say.

Source: see `numpy_backend.attention`. Rollout is read, not trained, so it has no way back.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.numpy_backend.attention import merge_heads, split_heads
from deit_ref.numpy_backend.backward.layers import Back, dropout_vjp, linear_vjp, softmax_vjp
from deit_ref.trace import Trace, record
from deit_ref.weights import Attention

Array: TypeAlias = np.ndarray[Any, Any]


def split_heads_vjp(
    qkv: Float[Array, "batch tokens qkv_features"], *, num_heads: int
) -> tuple[
    tuple[
        Float[Array, "batch heads tokens head_dim"],
        Float[Array, "batch heads tokens head_dim"],
        Float[Array, "batch heads tokens head_dim"],
    ],
    Back,
]:
    """Numbers are moved, and back they are moved home.

    Args:
        qkv, num_heads: as in the forward function.
    """

    def back(
        dq: Float[Array, "batch heads tokens head_dim"],
        dk: Float[Array, "batch heads tokens head_dim"],
        dv: Float[Array, "batch heads tokens head_dim"],
    ) -> Float[Array, "batch tokens qkv_features"]:
        dqkv = np.empty_like(qkv)
        for part, dpart in zip(split_heads(dqkv, num_heads=num_heads), (dq, dk, dv), strict=True):
            part[...] = dpart  # a view of dqkv
        return dqkv

    return split_heads(qkv, num_heads=num_heads), back


def merge_heads_vjp(
    x: Float[Array, "batch heads tokens head_dim"],
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    """Cut apart again what was written side by side."""
    batch, heads, tokens, head_dim = x.shape

    def back(dy: Float[Array, "batch tokens dim"]) -> Float[Array, "batch heads tokens head_dim"]:
        return dy.reshape(batch, tokens, heads, head_dim).transpose(0, 2, 1, 3)

    return merge_heads(x), back


def scaled_dot_product_attention_vjp(
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch heads tokens head_dim"],
    v: Float[Array, "batch heads tokens head_dim"],
    *,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch heads tokens head_dim"], Back]:
    r"""$A = \mathrm{softmax}(S)$ of $S = Q K^\top / \sqrt d$, and $Y = A V$, and back.

    $$\begin{gathered} dA = dY \, V^\top, \qquad dV = A^\top dY \\
      dS = A \odot (dA - \textstyle\sum_j dA_{\cdot j} A_{\cdot j}) \\
      dQ = \tfrac{1}{\sqrt d} \, dS \, K, \qquad dK = \tfrac{1}{\sqrt d} \, dS^\top Q \end{gathered}$$

    The rows of dS sum to 0: the same number added to all keys' scores changes nothing. A bias of the keys adds just
    that, so it has gradient 0 and never learns. Where attention_mask forbids a token, its share is 0 and so is dS.

    Args:
        q, k, v, head_mask, attention_mask, dropout_probability, generator, trace: as in the forward function.

    Returns:
        Y, and `back(dy, trace=None)`, which returns dq, dk, dv and dhead_mask (heads,), None without a head_mask: how
        much more of each head the loss would like. It records the gradients of probabilities and scores.
    """
    scale = q.shape[-1] ** -0.5
    scores = (q * scale) @ k.swapaxes(-1, -2)  # (batch, heads, tokens, tokens)
    if attention_mask is not None:
        scores = np.where(attention_mask[:, None, None, :], scores, -np.inf)
    record(trace, "scores", scores)
    probabilities, back_softmax = softmax_vjp(scores)
    kept, back_dropout = dropout_vjp(probabilities, probability=dropout_probability, generator=generator)
    masked = kept if head_mask is None else kept * head_mask[:, None, None]
    record(trace, "probabilities", masked)

    def back(
        dy: Float[Array, "batch heads tokens head_dim"], trace: Trace | None = None
    ) -> tuple[
        Float[Array, "batch heads tokens head_dim"],
        Float[Array, "batch heads tokens head_dim"],
        Float[Array, "batch heads tokens head_dim"],
        Float[Array, "heads"] | None,
    ]:
        dmasked, dv = dy @ v.swapaxes(-1, -2), masked.swapaxes(-1, -2) @ dy
        record(trace, "probabilities", dmasked)
        dhead_mask, dkept = None, dmasked
        if head_mask is not None:
            dhead_mask = (dmasked * kept).sum(axis=(0, 2, 3))  # (heads,)
            dkept = dmasked * head_mask[:, None, None]
        dscores = record(trace, "scores", back_softmax(back_dropout(dkept)))
        dq = scale * (dscores @ k)
        dk = dscores.swapaxes(-1, -2) @ (q * scale)
        return dq, dk, dv, dhead_mask

    return masked @ v, back


def multi_head_attention_vjp(
    weights: Attention,
    x: Float[Array, "batch tokens dim"],
    *,
    num_heads: int,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    dropout_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    """The forward function's steps, each by its vjp, and back in reverse.

    Args:
        weights, x, num_heads, head_mask, attention_mask, dropout_probability, generator, trace: as in the forward
            function.

    Returns:
        The value, and `back(dy, trace=None)`, which returns the gradients of weights, x and head_mask (None without
        one), and records those of what the forward function records.
    """
    qkv, back_qkv = linear_vjp(weights.qkv, x)
    (q, k, v), back_split = split_heads_vjp(qkv, num_heads=num_heads)
    for name, value in (("q", q), ("k", k), ("v", v)):
        record(trace, name, value)
    context, back_attend = scaled_dot_product_attention_vjp(
        q,
        k,
        v,
        head_mask=head_mask,
        attention_mask=attention_mask,
        dropout_probability=dropout_probability,
        generator=generator,
        trace=trace,
    )
    merged, back_merge = merge_heads_vjp(context)
    record(trace, "context", merged)  # (batch, tokens, dim)
    y, back_proj = linear_vjp(weights.proj, merged)

    def back(
        dy: Float[Array, "batch tokens dim"], trace: Trace | None = None
    ) -> tuple[Attention, Float[Array, "batch tokens dim"], Float[Array, "heads"] | None]:
        dproj, dmerged = back_proj(record(trace, "proj", dy))
        record(trace, "context", dmerged)
        dq, dk, dv, dhead_mask = back_attend(back_merge(dmerged), trace)
        for name, gradient in (("v", dv), ("k", dk), ("q", dq)):
            record(trace, name, gradient)
        dqkv, dx = back_qkv(back_split(dq, dk, dv))
        return Attention(dqkv, dproj), dx, dhead_mask

    return record(trace, "proj", y), back
