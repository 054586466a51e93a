"""Assignment 2: attention. Inputs and known mistakes; the solution is chapter 5, and softmax of chapter 4."""

from collections.abc import Iterator

import numpy as np

from deit_ref.course.task import Assignment, Case, Mistake, Task
from deit_ref.weights import Attention, Linear


def _softmax(rng: np.random.Generator) -> Iterator[Case]:
    rows, scores = (int(n) for n in rng.integers(3, 7, 2))
    yield Case("one row", (rng.normal(size=scores),))
    yield Case("scores of several heads", (rng.normal(size=(2, 3, rows, scores)),))
    yield Case("scores in the thousands", (1000 + 50 * rng.normal(size=(rows, scores)),))
    yield Case("a masked score", (np.where(np.arange(scores) == 1, -np.inf, rng.normal(size=(rows, scores))),))


def _qkv(rng: np.random.Generator) -> Iterator[Case]:
    for note, batch in (("one image", 1), ("two images", 2)):
        heads, head_dim, tokens = (int(n) for n in rng.permutation([2, 3, 5]))
        # The order in memory is no one's business.
        qkv = np.asfortranarray(rng.normal(size=(batch, tokens, 3 * heads * head_dim)))
        yield Case(note, (qkv,), {"num_heads": heads})


def _heads(rng: np.random.Generator) -> Iterator[Case]:
    for note, batch in (("one image", 1), ("two images", 2)):
        heads, head_dim, tokens = (int(n) for n in rng.permutation([2, 3, 5]))
        yield Case(note, (np.asfortranarray(rng.normal(size=(batch, heads, tokens, head_dim))),))


def _attention(rng: np.random.Generator) -> Iterator[Case]:
    heads, head_dim, tokens = (int(n) for n in rng.permutation([3, 4, 5]))
    q, k, v = rng.normal(size=(3, 2, heads, tokens, head_dim))
    yield Case("no masks", (q, k, v))
    yield Case("large scores", (40 * q, 40 * k, v))
    yield Case("head_mask silences a head", (q, k, v), {"head_mask": np.where(np.arange(heads) == 1, 0.0, 0.5)})
    keep = np.ones((2, tokens), bool)
    keep[0, 1] = keep[1, -1] = False
    yield Case("attention_mask hides a token of each image", (q, k, v), {"attention_mask": keep})
    far = k.copy()
    far[0, :, 1] *= 1000
    far[1, :, -1] *= 1000
    both = {"attention_mask": keep, "head_mask": np.linspace(0.2, 1, heads)}
    yield Case("both masks, hidden tokens with scores in the thousands", (q, far, v), both)


def _multi_head(rng: np.random.Generator) -> Iterator[Case]:
    heads, head_dim = (int(n) for n in rng.permutation([2, 3]))
    tokens, dim = int(rng.integers(4, 7)), heads * head_dim

    def linear(inputs: int, outputs: int, *, bias: bool) -> Linear:
        weight = rng.normal(0, 0.5, (outputs, inputs))
        return Linear(weight=weight, bias=rng.normal(size=outputs) if bias else None)

    for note, bias in (("with biases", True), ("qkv without a bias", False)):
        weights = Attention(qkv=linear(dim, 3 * dim, bias=bias), proj=linear(dim, dim, bias=True))
        yield Case(note, (weights, rng.normal(size=(2, tokens, dim))), {"num_heads": heads})
    head_mask = np.where(np.arange(heads) == 0, 0.0, 1.0)
    yield Case("head_mask is handed on", (weights, rng.normal(size=(1, tokens, dim))),
               {"num_heads": heads, "head_mask": head_mask})  # fmt: skip
    keep = np.arange(tokens) != np.array([[1], [tokens - 1]])  # another token of each image is hidden
    yield Case("attention_mask is handed on", (weights, rng.normal(size=(2, tokens, dim))),
               {"num_heads": heads, "attention_mask": keep})  # fmt: skip
    both = {"attention_mask": keep, "head_mask": np.linspace(0.2, 1, heads)}
    yield Case("both masks are handed on", (weights, rng.normal(size=(2, tokens, dim))), {"num_heads": heads, **both})


def _rollout(rng: np.random.Generator) -> Iterator[Case]:
    def attentions(layers: int) -> list[np.ndarray]:
        drawn = rng.random((layers, 2, 3, 4, 4)) ** 3
        return list(drawn / drawn.sum(axis=-1, keepdims=True))

    yield Case("one layer", (attentions(1),))
    yield Case("three layers", (attentions(3),))
    yield Case("another share of the residual", (attentions(2),), {"residual": 0.3})


ASSIGNMENT = Assignment(
    number=2,
    slug="attention",
    title="Attention",
    tasks=(
        Task(
            function="layers.softmax",
            points=3,
            minutes=15,
            cases=_softmax,
            untold=("Subtracting the largest score",),
            mistakes=(
                Mistake(
                    "no maximum subtracted",
                    "x - x.max(axis=-1, keepdims=True)",
                    "x * 1",
                    "exp of scores in the thousands is infinite, and infinity over infinity is not a number. Subtract "
                    "the largest score of each row first.",
                ),
                Mistake(
                    "the sum over all rows",
                    "powers /= powers.sum(axis=-1, keepdims=True)",
                    "powers /= powers.sum()",
                    "each row of scores must sum to 1 by itself: sum over the last axis only, with keepdims=True.",
                ),
                Mistake(
                    "the wrong axis",
                    "powers /= powers.sum(axis=-1, keepdims=True)",
                    "powers /= powers.sum(axis=max(-2, -powers.ndim), keepdims=True)",
                    "the shares of one query must sum to 1: normalize along the last axis, the keys.",
                ),
                Mistake(
                    "powers of two",
                    "np.exp(powers, out=powers)",
                    "np.exp2(powers, out=powers)",
                    "the base is e: np.exp.",
                ),
            ),
        ),
        Task(
            function="attention.split_heads",
            points=3,
            minutes=20,
            cases=_qkv,
            mistakes=(
                Mistake(
                    "k and v swapped",
                    "return q, k, v",
                    "return q, v, k",
                    "the features are ordered q, k, v.",
                ),
                Mistake(
                    "heads before q, k, v",
                    "x = qkv.reshape(batch, tokens, 3, num_heads, features // (3 * num_heads))\n"
                    "    q, k, v = x.transpose(2, 0, 3, 1, 4)",
                    "x = qkv.reshape(batch, tokens, num_heads, 3, features // (3 * num_heads))\n"
                    "    q, k, v = x.transpose(3, 0, 2, 1, 4)",
                    "the slowest of the features is q, k or v, then comes the head, then head_dim: split them in this "
                    "order.",
                ),
                Mistake(
                    "head_dim before heads",
                    "x = qkv.reshape(batch, tokens, 3, num_heads, features // (3 * num_heads))\n"
                    "    q, k, v = x.transpose(2, 0, 3, 1, 4)",
                    "x = qkv.reshape(batch, tokens, 3, features // (3 * num_heads), num_heads)\n"
                    "    q, k, v = x.transpose(2, 0, 4, 1, 3)",
                    "a head's features lie side by side: head comes before head_dim when the features are split.",
                ),
                Mistake(
                    "reshape instead of transpose",
                    "q, k, v = x.transpose(2, 0, 3, 1, 4)",
                    "q, k, v = x.reshape(3, batch, num_heads, tokens, -1)",
                    "reshape keeps the order of the numbers in memory; to exchange axes, use transpose.",
                ),
            ),
        ),
        Task(
            function="attention.merge_heads",
            points=2,
            minutes=10,
            cases=_heads,
            mistakes=(
                Mistake(
                    "reshape without transpose",
                    "x.transpose(0, 2, 1, 3).reshape",
                    "x.reshape",
                    "the tokens' axis must come before the heads' before both can be joined: transpose first.",
                ),
                Mistake(
                    "heads interleaved",
                    "x.transpose(0, 2, 1, 3).reshape",
                    "x.transpose(0, 2, 3, 1).reshape",
                    "a head's features stay side by side: heads come before head_dim.",
                ),
                Mistake(
                    "heads added",
                    "x.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)",
                    "x.sum(axis=1)",
                    "heads are written side by side, not added.",
                ),
                Mistake(
                    "heads averaged",
                    "x.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)",
                    "x.mean(axis=1)",
                    "heads are written side by side, not averaged.",
                ),
                Mistake(
                    "heads below one another",
                    "x.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)",
                    "x.reshape(batch, -1, x.shape[-1])",
                    "the heads of a token are written side by side: join them along the last axis, not the tokens'.",
                ),
            ),
        ),
        Task(
            function="attention.scaled_dot_product_attention",
            points=6,
            minutes=40,
            cases=_attention,
            mistakes=(
                Mistake(
                    "missing scale",
                    "(q * q.shape[-1] ** -0.5)",
                    "q",
                    "divide the scores by the square root of head_dim, or softmax sees only the largest.",
                ),
                Mistake(
                    "scaled by head_dim",
                    "q.shape[-1] ** -0.5",
                    "q.shape[-1] ** -1.0",
                    "divide by the square root of head_dim, not by head_dim.",
                ),
                Mistake(
                    "softmax over the queries",
                    "probabilities = softmax(scores)",
                    "probabilities = softmax(scores.swapaxes(-1, -2)).swapaxes(-1, -2)",
                    "each query's shares sum to 1: softmax runs over the keys, the last axis.",
                ),
                Mistake(
                    "mask after softmax",
                    "scores = np.where(attention_mask[:, None, None, :], scores, -np.inf)\n"
                    '    record(trace, "scores", scores)\n'
                    "    probabilities = softmax(scores)",
                    "pass\n"
                    '    record(trace, "scores", scores)\n'
                    "    probabilities = softmax(scores)\n"
                    "    if attention_mask is not None:\n"
                    "        probabilities = probabilities * attention_mask[:, None, None, :]",
                    "a hidden token must be hidden before softmax, by a score of minus infinity; afterwards the rest "
                    "no longer sums to 1.",
                ),
                Mistake(
                    "attention_mask inverted",
                    "attention_mask[:, None, None, :]",
                    "~attention_mask[:, None, None, :]",
                    "True stands for tokens that may be looked at, False for hidden ones.",
                ),
                Mistake(
                    "hidden queries instead of hidden keys",
                    "attention_mask[:, None, None, :]",
                    "attention_mask[:, None, :, None]",
                    "nobody may look at a hidden token: mask the last axis of the scores, the keys.",
                ),
                Mistake(
                    "hidden by a score of 0",
                    "scores, -np.inf)",
                    "scores, 0.0)",
                    "a score of 0 still has a share, as e^0 is 1: hide by minus infinity.",
                ),
                Mistake(
                    "hidden by a score that is not low enough",
                    "scores = np.where(attention_mask[:, None, None, :], scores, -np.inf)",
                    "scores = scores - 100.0 * ~attention_mask[:, None, None, :]",
                    "scores may be larger than what is subtracted: hide by minus infinity.",
                ),
                Mistake(
                    "head_mask added to the scores",
                    "probabilities *= head_mask[:, None, None]",
                    "pass",
                    "head_mask multiplies the probabilities. Added to the scores of all keys, it changes nothing.",
                ),
                Mistake(
                    "k and v swapped",
                    "return probabilities @ v",
                    "return probabilities @ k",
                    "the shares weigh the values: probabilities @ v.",
                ),
            ),
        ),
        Task(
            function="attention.multi_head_attention",
            points=4,
            minutes=25,
            cases=_multi_head,
            mistakes=(
                Mistake(
                    "no output projection",
                    'record(trace, "proj", linear(weights.proj, merged))',
                    "merged",
                    "after the heads are merged, proj mixes what they found.",
                ),
                Mistake(
                    "one head",
                    "split_heads(linear(weights.qkv, x), num_heads=num_heads)",
                    "split_heads(linear(weights.qkv, x), num_heads=1)",
                    "split the features into num_heads heads; each has scores of its own.",
                ),
                Mistake(
                    "k and v swapped",
                    "            k[:, heads],\n            v[:, heads],",
                    "            v[:, heads],\n            k[:, heads],",
                    "scaled_dot_product_attention takes queries, keys, values, in this order.",
                ),
                Mistake(
                    "head_mask forgotten",
                    "head_mask=None if head_mask is None else head_mask[heads]",
                    "head_mask=None",
                    "hand head_mask on to scaled_dot_product_attention.",
                ),
                Mistake(
                    "attention_mask forgotten",
                    "attention_mask=attention_mask",
                    "attention_mask=None",
                    "hand attention_mask on to scaled_dot_product_attention.",
                ),
            ),
        ),
        Task(
            function="attention.attention_rollout",
            points=2,
            minutes=20,
            cases=_rollout,
            mistakes=(
                Mistake(
                    "layers in the wrong order",
                    "(residual * identity + (1 - residual) * attention.mean(axis=1)) @ rollout",
                    "rollout @ (residual * identity + (1 - residual) * attention.mean(axis=1))",
                    "what a later layer draws on is what earlier layers made: multiply each new layer from the left.",
                ),
                Mistake(
                    "no residual",
                    "residual * identity + (1 - residual) * attention.mean(axis=1)",
                    "attention.mean(axis=1)",
                    "the residual connection hands each token on beside the attention: add the identity's share.",
                ),
                Mistake(
                    "residual added, not mixed",
                    "residual * identity + (1 - residual) * attention.mean(axis=1)",
                    "identity + attention.mean(axis=1)",
                    "identity and attention are mixed, with shares that sum to 1, so that rows still sum to 1.",
                ),
                Mistake(
                    "the strongest head",
                    "attention.mean(axis=1)",
                    "attention.max(axis=1)",
                    "take the mean over the heads.",
                ),
            ),
        ),
    ),
)
