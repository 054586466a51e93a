"""Wrong solutions of assignment 2."""

import numpy as np
from wrong import changed, given, retyped, spoiling

_SDPA = "attention.scaled_dot_product_attention"

WRONG = (
    spoiling("layers.softmax"),
    changed(
        "layers.softmax",
        "in place",
        "powers = x - x.max(axis=-1, keepdims=True)",
        "powers = x\n    powers -= x.max(axis=-1, keepdims=True)",
        "changes its input",
    ),
    given("layers.softmax", "no return", lambda right, x: None, "no return"),
    given("layers.softmax", "twice the shares", lambda right, x: 2 * right(x), "a constant factor"),
    given("layers.softmax", "minus the scores", lambda right, x: right(-x)),
    retyped("layers.softmax", "two axes exchanged", lambda x: x.swapaxes(0, -1), "axes exchanged"),
    spoiling("attention.split_heads"),
    retyped("attention.split_heads", "one array", np.stack, None),
    retyped("attention.split_heads", "v, k, q", lambda x: x[::-1], "results in another order"),
    retyped(
        "attention.split_heads", "tokens before heads", lambda x: tuple(y.swapaxes(1, 2) for y in x), "axes exchanged"
    ),
    changed(
        "attention.split_heads",
        "in the order of memory",
        "features // (3 * num_heads))",
        "features // (3 * num_heads), order='A')",
    ),
    spoiling("attention.merge_heads"),
    retyped("attention.merge_heads", "tokens last", lambda x: x.swapaxes(1, 2), "axes exchanged"),
    *map(spoiling, (_SDPA,) * 3, range(3)),
    changed(
        _SDPA,
        "scaled in place",
        "scores = (q * q.shape[-1] ** -0.5)",
        "q *= q.shape[-1] ** -0.5\n    scores = (q)",
        "changes its input",
    ),
    changed(
        _SDPA,
        "one mask or the other",
        "    if head_mask is not None:",
        "    if head_mask is not None and attention_mask is None:",
    ),
    changed(_SDPA, "hidden by -10", "scores, -np.inf)", "scores, -10.0)"),
    changed(
        _SDPA, "the first image's mask for all", "attention_mask[:, None, None, :]", "attention_mask[:1, None, None, :]"
    ),
    changed(
        _SDPA,
        "the mask as it is",
        "attention_mask[:, None, None, :], scores",
        "~attention_mask[:, None, None, :], scores",
        "attention_mask inverted",
    ),
    changed(_SDPA, "no head_mask", "if head_mask is not None:", "if False:"),
    retyped(_SDPA, "with its shares", lambda x: (x, x), None),
    spoiling("attention.multi_head_attention"),
    changed(
        "attention.multi_head_attention",
        "attention_mask dropped",
        "attention_mask=attention_mask",
        "attention_mask=None",
        "attention_mask forgotten",
    ),
    changed(
        "attention.multi_head_attention",
        "head_mask dropped",
        "else head_mask[heads]",
        "else None",
        "head_mask forgotten",
    ),
    changed(
        "attention.multi_head_attention",
        "the bias of proj forgotten",
        "linear(weights.proj, merged))",
        "merged @ weights.proj.weight.T)",
    ),
    given(
        "attention.attention_rollout",
        "takes from the list",
        lambda right, layers, **options: right([layers.pop(0) for _ in range(len(layers))], **options),
        "changes its input",
    ),
    given(
        "attention.attention_rollout",
        "residual ignored",
        lambda right, layers, **options: right(layers),
        "residual ignored",
    ),
    given(
        "attention.attention_rollout",
        "the other share",
        lambda right, layers, *, residual=0.5: right(layers, residual=1 - residual),
    ),
    retyped("attention.attention_rollout", "transposed", lambda x: x.swapaxes(1, 2), "axes exchanged"),
)
