"""Assignment 4: the way back. Inputs and known mistakes; the solution is chapter 10, and the course's gradients."""

from collections.abc import Iterator

import numpy as np

from deit_ref.course.task import Array, Assignment, Case, Mistake, Task
from deit_ref.weights import LayerNorm, Linear, Mlp


def _differences(rng: np.random.Generator) -> Iterator[Case]:
    one, rows, columns = (int(n) for n in rng.permutation([3, 4, 5]))
    yield Case("two numbers", (np.linalg.norm, rng.uniform(1, 2, 2)))
    yield Case("a product", (np.prod, rng.uniform(0.5, 2, one)))
    yield Case("a matrix", (np.std, rng.normal(size=(rows, columns))))
    yield Case("a long step", (np.prod, rng.uniform(0.5, 2, one)), {"step": 0.1})
    yield Case("a long step in a curve", (np.linalg.norm, rng.uniform(0.5, 1, (2, one))), {"step": 0.2})


def _linear(rng: np.random.Generator) -> Iterator[Case]:
    inputs, outputs, tokens = (int(n) for n in rng.permutation([3, 4, 5]))
    weights = Linear(rng.normal(size=(outputs, inputs)), rng.normal(size=outputs))
    for note, shape in (("one token", ()), ("several tokens", (tokens,)), ("tokens of two images", (2, tokens))):
        yield Case(note, (weights, rng.normal(size=(*shape, inputs))), back=(rng.normal(size=(*shape, outputs)),))
    x, dy = rng.normal(size=(2, tokens, inputs)), rng.normal(size=(2, tokens, outputs))
    yield Case("without a bias", (Linear(weights.weight), x), back=(dy,))


def _softmax(rng: np.random.Generator) -> Iterator[Case]:
    rows, scores = (int(n) for n in rng.permutation([3, 4, 5])[:2])

    def case(note: str, x: Array) -> Case:
        return Case(note, (x,), back=(rng.normal(size=x.shape),))

    yield case("one row", rng.normal(size=scores))
    yield case("scores of several heads", rng.normal(size=(2, 3, rows, scores)))
    yield case("scores in the thousands", 1000 + rng.normal(size=(rows, scores)))
    yield case("a masked score", np.where(np.arange(scores) == 1, -np.inf, rng.normal(size=(rows, scores))))


def _layer_norm(rng: np.random.Generator) -> Iterator[Case]:
    tokens, dim = (int(n) for n in rng.permutation([4, 5, 6])[:2])
    weights = LayerNorm(weight=rng.normal(1, 0.5, dim), bias=rng.normal(size=dim))

    def case(note: str, x: Array, eps: float) -> Case:
        return Case(note, (weights, x), {"eps": eps}, (rng.normal(size=x.shape),))

    yield case("one token", rng.normal(1, 2, dim), 1e-6)
    yield case("tokens of two images", rng.normal(-1, 3, (2, tokens, dim)), 1e-6)
    small = rng.normal(0, 1e-3, (2, tokens, dim))
    yield case("features that hardly differ", small, 1e-6)
    yield case("the same with a tiny eps", small, 1e-12)


def _attention(rng: np.random.Generator) -> Iterator[Case]:
    heads, head_dim, tokens = (int(n) for n in rng.permutation([3, 4, 5]))
    q, k, v, dy = rng.normal(size=(4, 2, heads, tokens, head_dim))
    yield Case("no masks", (q, k, v), back=(dy,))
    yield Case("large scores", (2 * q, 2 * k, v), back=(dy,))
    head_mask = np.where(np.arange(heads) == 1, 0.3, rng.uniform(1, 2, heads))
    yield Case("a head_mask, which gets a gradient, too", (q, k, v), {"head_mask": head_mask}, (dy,))
    keep = np.ones((2, tokens), bool)
    keep[0, 1] = keep[1, -1] = False
    yield Case("attention_mask hides a token of each image", (q, k, v), {"attention_mask": keep}, (dy,))
    yield Case("both masks", (q, k, v), {"head_mask": head_mask, "attention_mask": keep}, (dy,))


def _train(rng: np.random.Generator) -> Iterator[Case]:
    features, hidden, classes, batch = (int(n) for n in rng.permutation([3, 4, 5, 6]))
    weights = Mlp(
        fc1=Linear(rng.normal(size=(hidden, features)), rng.normal(size=hidden)),
        fc2=Linear(rng.normal(size=(classes, hidden)), rng.normal(size=classes)),
    )
    given = weights, rng.normal(size=(batch, features)), np.eye(classes)[np.arange(batch) % classes]
    yield Case("one step", given, {"steps": 1, "learning_rate": 0.3})
    yield Case("several steps", given, {"steps": 3, "learning_rate": 0.1})
    yield Case("without momentum", given, {"steps": 2, "learning_rate": 0.2, "momentum": 0.0})


ASSIGNMENT = Assignment(
    number=4,
    slug="backward",
    title="The way back",
    tasks=(
        Task(
            function="course.gradients.differences",
            points=2,
            minutes=20,
            cases=_differences,
            mistakes=(
                Mistake(
                    "only forward",
                    "(function(up) - function(down)) / (2 * step)",
                    "(function(up) - function(x)) / step",
                    "look to both sides, f(x + step) - f(x - step): what is wrong on one side cancels what is wrong on "
                    "the other.",
                ),
                Mistake(
                    "divided by one step",
                    "/ (2 * step)",
                    "/ step",
                    "from x - step to x + step it is two steps: divide by both.",
                ),
                Mistake(
                    "the other way round",
                    "(function(up) - function(down))",
                    "(function(down) - function(up))",
                    "the slope is what f gains when x grows: f(x + step) - f(x - step).",
                ),
                Mistake(
                    "all numbers at once",
                    "up[place] += step\n        down[place] -= step",
                    "up += step\n        down -= step",
                    "move one number and leave the others: each has a slope of its own.",
                ),
                Mistake(
                    "always the same step",
                    "gradient = np.zeros_like(x)",
                    "gradient, step = np.zeros_like(x), 1e-5",
                    "the step is an argument: use it.",
                ),
                Mistake(
                    "not put back",
                    "up, down = x.copy(), x.copy()",
                    "up, down = x.copy(), x",
                    "move a copy: x must be what it was when the next number's turn comes.",
                ),
            ),
        ),
        Task(
            function="backward.layers.linear_vjp",
            points=4,
            minutes=30,
            cases=_linear,
            untold=("$$dx = dy", "Each entry of x"),
            mistakes=(
                Mistake(
                    "W's gradient lies on its side",
                    "Linear(drows.T @ rows, dbias)",
                    "Linear(rows.T @ drows, dbias)",
                    "the gradient of W has W's shape, (out_features, in_features): dy's features come first.",
                ),
                Mistake(
                    "the mean over tokens",
                    "Linear(drows.T @ rows, dbias)",
                    "Linear(drows.T @ rows / len(rows), dbias)",
                    "W is used by every token, and what is used several times gets the sum of its uses' gradients.",
                ),
                Mistake(
                    "the mean over tokens, of the bias",
                    "drows.sum(axis=0)",
                    "drows.mean(axis=0)",
                    "b is used by every token, and what is used several times gets the sum of its uses' gradients.",
                ),
                Mistake(
                    "the sum over features, too",
                    "drows.sum(axis=0)",
                    "drows.sum()",
                    "b has a gradient for each output feature: sum over all axes but the last.",
                ),
                Mistake(
                    "a gradient for a bias that is not there",
                    "None if weights.bias is None else drows.sum(axis=0)",
                    "drows.sum(axis=0)",
                    "if weights.bias is None, so is its gradient.",
                ),
                Mistake(
                    "x before the weights",
                    "return Linear(drows.T @ rows, dbias), linear(Linear(weights.weight.T), dy)",
                    "return linear(Linear(weights.weight.T), dy), Linear(drows.T @ rows, dbias)",
                    "back returns gradients in the order of the arguments: weights first, then x.",
                ),
                Mistake(
                    "the value without its bias",
                    "return linear(weights, x), back",
                    "return linear(Linear(weights.weight), x), back",
                    "the value is that of the layer, bias included: `linear` computes it.",
                ),
            ),
        ),
        Task(
            function="backward.layers.softmax_vjp",
            points=3,
            minutes=25,
            cases=_softmax,
            untold=("$$dx = p", "The Jacobian is"),
            mistakes=(
                Mistake(
                    "each score by itself",
                    "p * (dp - (dp * p).sum(axis=-1, keepdims=True))",
                    "p * (1 - p) * dp",
                    "that is only the diagonal of the Jacobian: a score changes the other shares, too.",
                ),
                Mistake(
                    "a sum without weights",
                    "(dp * p).sum(axis=-1, keepdims=True)",
                    "dp.sum(axis=-1, keepdims=True)",
                    "the mean that is taken off is weighted by the shares: the sum of dp times p.",
                ),
                Mistake(
                    "divided by the number of scores",
                    "(dp * p).sum(axis=-1, keepdims=True)",
                    "(dp * p).mean(axis=-1, keepdims=True)",
                    "the shares sum to 1 and are the weights already: sum, do not divide.",
                ),
                Mistake(
                    "the sum over all rows",
                    "(dp * p).sum(axis=-1, keepdims=True)",
                    "(dp * p).sum()",
                    "each row of scores is a softmax of its own: sum over the last axis only, with keepdims=True.",
                ),
                Mistake(
                    "p forgotten in front",
                    "return p * (dp",
                    "return (dp",
                    "a score moves its share by p: multiply by p in front.",
                ),
                Mistake(
                    "the scores instead of the shares",
                    "p * (dp - (dp * p).sum(axis=-1, keepdims=True))",
                    "x * (dp - (dp * x).sum(axis=-1, keepdims=True))",
                    "the formula is written with the shares p, the result of softmax.",
                ),
            ),
        ),
        Task(
            function="backward.layers.layer_norm_vjp",
            points=4,
            minutes=40,
            cases=_layer_norm,
            mistakes=(
                Mistake(
                    "the way through the mean",
                    "dx = dnormed - dnormed.mean(axis=-1, keepdims=True)",
                    "dx = dnormed.copy()",
                    "the mean depends on every feature, too: term 2 takes off the mean of dy times gamma.",
                ),
                Mistake(
                    "the way through the variance",
                    "dx -= normed * (dnormed * normed).mean(axis=-1, keepdims=True)",
                    "pass",
                    "the variance depends on every feature, too: term 3.",
                ),
                Mistake(
                    "not divided by sigma",
                    "dx /= std",
                    "pass",
                    "x was divided by sigma in the forward pass, so its gradient is, too.",
                ),
                Mistake(
                    "gamma forgotten",
                    "dnormed = dy * weights.weight",
                    "dnormed = dy.copy()",
                    "the normalized x is multiplied by gamma before it leaves: its gradient is dy times gamma.",
                ),
                Mistake(
                    "x instead of the normalized x",
                    "(dy * normed).sum(axis=every)",
                    "(dy * x).sum(axis=every)",
                    "gamma multiplies the normalized x: its gradient is the sum of dy times that.",
                ),
                Mistake(
                    "eps forgotten",
                    "x.var(axis=-1, keepdims=True) + eps",
                    "x.var(axis=-1, keepdims=True)",
                    "sigma is the root of the variance plus eps, on the way back as well.",
                ),
                Mistake(
                    "means instead of sums",
                    "LayerNorm((dy * normed).sum(axis=every), dy.sum(axis=every))",
                    "LayerNorm((dy * normed).mean(axis=every), dy.mean(axis=every))",
                    "gamma and beta are used by every token: sum over the tokens.",
                ),
            ),
        ),
        Task(
            function="backward.attention.scaled_dot_product_attention_vjp",
            points=4,
            minutes=45,
            cases=_attention,
            untold=("$$\\begin{gathered} dA", "The rows of dS sum to 0"),
            mistakes=(
                Mistake(
                    "values by A, not by its transpose",
                    "masked.swapaxes(-1, -2) @ dy",
                    "masked @ dy",
                    "a value hears from the queries that looked at it, which stand in a column of A: transpose it.",
                ),
                Mistake(
                    "keys by dS, not by its transpose",
                    "dscores.swapaxes(-1, -2) @ (q * scale)",
                    "dscores @ (q * scale)",
                    "a key's scores stand in a column of S: transpose dS.",
                ),
                Mistake(
                    "no scale for q",
                    "dq = scale * (dscores @ k)",
                    "dq = dscores @ k",
                    "the scores are divided by the root of head_dim, and so is what comes back to q.",
                ),
                Mistake(
                    "no scale for k",
                    "dscores.swapaxes(-1, -2) @ (q * scale)",
                    "dscores.swapaxes(-1, -2) @ q",
                    "the scores are divided by the root of head_dim, and so is what comes back to k.",
                ),
                Mistake(
                    "past the softmax",
                    "back_softmax(back_dropout(dkept))",
                    "back_dropout(dkept)",
                    "between shares and scores lies softmax: use its way back, from task 3.",
                ),
                Mistake(
                    "q and k swapped",
                    "return dq, dk, dv, dhead_mask",
                    "return dk, dq, dv, dhead_mask",
                    "back returns gradients in the order of the arguments: q, k, v.",
                ),
                Mistake(
                    "the head_mask forgotten on the way back",
                    "dkept = dmasked * head_mask[:, None, None]",
                    "dkept = dmasked",
                    "what was multiplied by head_mask in the forward pass is multiplied by it on the way back.",
                ),
                Mistake(
                    "the head_mask's gradient from masked shares",
                    "(dmasked * kept).sum(axis=(0, 2, 3))",
                    "(dmasked * masked).sum(axis=(0, 2, 3))",
                    "a head's mask multiplies its shares as they were before: sum dA times these.",
                ),
                Mistake(
                    "attention_mask forgotten",
                    "if attention_mask is not None:",
                    "if False:",
                    "a hidden token must be hidden before softmax, by a score of minus infinity.",
                ),
            ),
        ),
        Task(
            function="course.gradients.train",
            points=3,
            minutes=30,
            cases=_train,
            mistakes=(
                Mistake(
                    "past the GELU",
                    "back_fc1(back_gelu(dbent))",
                    "back_fc1(dbent)",
                    "between the two layers lies GELU: call its back, too.",
                ),
                Mistake(
                    "uphill",
                    "w - learning_rate * m",
                    "w + learning_rate * m",
                    "a gradient points uphill: go the other way.",
                ),
                Mistake(
                    "no momentum",
                    "momentum * m + g",
                    "g",
                    "a share of m, momentum, is kept from the step before: m = momentum * m + g.",
                ),
                Mistake(
                    "a mean of the gradients",
                    "momentum * m + g",
                    "momentum * m + (1 - momentum) * g",
                    "the whole gradient is added to m: m = momentum * m + g.",
                ),
                Mistake(
                    "only the second layer",
                    "Mlp(dfc1, dfc2)",
                    "Mlp(map_weights(np.zeros_like, dfc1), dfc2)",
                    "both layers learn: fc1, too, has a gradient.",
                ),
                Mistake(
                    "one step too few",
                    "        dfc2, dbent = back_fc2(back_loss())",
                    "        if step + 1 == steps:\n            break\n        dfc2, dbent = back_fc2(back_loss())",
                    "each step notes the loss, then goes downhill, the last one, too.",
                ),
            ),
        ),
    ),
)
