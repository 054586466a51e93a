"""Assignment 3: the whole model. Inputs and known mistakes; the solution is chapters 6 to 8 and parts of 4 and 17."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deit_ref.config import DeiTConfig
from deit_ref.course.task import Array, Assignment, Case, Mistake, Task
from deit_ref.weights import Block, DeiTWeights, LayerNorm, Linear, Mlp, init_weights, map_weights


def _model(rng: np.random.Generator, *, layers: int, eps: float, activation: str = "gelu") -> DeiTWeights:
    """A model of a few features whose numbers are all drawn anew, so that nothing is 0 or 1 by chance."""
    heads, side = (int(n) for n in rng.permutation([2, 3]))
    config = DeiTConfig(
        hidden_size=heads * int(rng.integers(2, 4)), num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=int(rng.integers(5, 9)), image_size=(2 * side, 3 * side), patch_size=side,
        encoder_stride=side, layer_norm_eps=eps, hidden_act=activation, num_labels=int(rng.integers(3, 7)),
    )  # fmt: skip
    return map_weights(
        lambda array: rng.normal(0, 0.7, array.shape), init_weights(config, "classification-with-teacher", seed=0)
    )


def _tokens(rng: np.random.Generator, weights: DeiTWeights, batch: int, *, scale: float = 1.0) -> Array:
    return scale * rng.normal(size=(batch, int(rng.integers(4, 7)), weights.config.hidden_size))


def _attention_mask(x: Array) -> Array:
    """Hides another token of each image."""
    keep = np.ones(x.shape[:2], bool)
    keep[np.arange(len(x)), 1 + np.arange(len(x)) % (x.shape[1] - 1)] = False
    return keep


def _layer_norm(rng: np.random.Generator) -> Iterator[Case]:
    tokens, dim = (int(n) for n in rng.permutation([3, 4, 5])[:2])
    weights = LayerNorm(weight=rng.normal(1, 0.5, dim), bias=rng.normal(size=dim))
    yield Case("one token", (weights, rng.normal(1, 2, dim)), {"eps": 1e-6})
    yield Case("tokens of two images", (weights, rng.normal(-1, 3, (2, tokens, dim))), {"eps": 1e-6})
    small = rng.normal(0, 1e-3, (2, tokens, dim))
    yield Case("features that hardly differ", (weights, small), {"eps": 1e-6})
    yield Case("the same with a tiny eps", (weights, small), {"eps": 1e-12})
    alike = np.broadcast_to(rng.normal(size=(tokens, 1)), (tokens, dim)).copy()
    yield Case("features that are all alike", (weights, alike), {"eps": 1e-6})


def _gelu(rng: np.random.Generator) -> Iterator[Case]:
    def numbers() -> Array:
        return np.concatenate([rng.uniform(-4, 4, 40), [0.0, 2.0, -0.7]]).reshape(1, 43)

    yield Case("float64", (numbers(),))
    yield Case("float32", (numbers().astype(np.float32),))
    yield Case("far from 0", (rng.uniform(6, 30, (2, 3)) * np.array([[1], [-1]]),))


def _mlp(rng: np.random.Generator) -> Iterator[Case]:
    dim, wide = int(rng.integers(2, 5)), int(rng.integers(6, 10))
    weights = Mlp(
        fc1=Linear(weight=rng.normal(size=(wide, dim)), bias=rng.normal(size=wide)),
        fc2=Linear(weight=rng.normal(size=(dim, wide)), bias=rng.normal(size=dim)),
    )
    x = rng.normal(size=(2, int(rng.integers(3, 6)), dim))
    yield Case("GELU", (weights, x), {"activation": "gelu"})
    yield Case("another activation", (weights, x), {"activation": str(rng.choice(["relu", "relu6", "silu", "tanh"]))})
    plain = Mlp(fc1=Linear(weight=weights.fc1.weight), fc2=weights.fc2)
    yield Case("fc1 without a bias", (plain, x[:1]), {"activation": "gelu"})


def _encoder_block(rng: np.random.Generator) -> Iterator[Case]:
    def block(eps: float, scale: float = 1.0, activation: str = "gelu") -> tuple[Block, Array, dict[str, Any]]:
        weights = _model(rng, layers=1, eps=eps, activation=activation)
        return weights.blocks[0], _tokens(rng, weights, 2, scale=scale), {"config": weights.config}

    weights, x, options = block(1e-6)
    yield Case("two images", (weights, x), options)
    weights, x, options = block(1e-2, 0.1)
    yield Case("features that hardly differ", (weights, x), options)
    weights, x, options = block(1e-6)
    head_mask = np.linspace(0, 1, options["config"].num_attention_heads)
    yield Case("head_mask silences a head", (weights, x), {**options, "head_mask": head_mask})
    yield Case("attention_mask hides a token", (weights, x), {**options, "attention_mask": _attention_mask(x)})
    both = {"head_mask": head_mask[::-1].copy(), "attention_mask": _attention_mask(x)}
    yield Case("both masks", (weights, x), {**options, **both})
    weights, x, options = block(1e-6, activation="relu")
    yield Case("another activation", (weights, x), options)


def _encoder(rng: np.random.Generator) -> Iterator[Case]:
    weights = _model(rng, layers=1, eps=1e-6)
    yield Case("one block", (weights, _tokens(rng, weights, 1)))
    weights = _model(rng, layers=3, eps=1e-6)
    x = _tokens(rng, weights, 2)
    yield Case("three blocks", (weights, x))
    head_mask = rng.uniform(0, 1, (3, weights.config.num_attention_heads))
    yield Case("another head_mask for each block", (weights, x), {"head_mask": head_mask})
    yield Case("attention_mask hides a token in all blocks", (weights, x), {"attention_mask": _attention_mask(x)})
    both = {"head_mask": head_mask[::-1].copy(), "attention_mask": _attention_mask(x)}
    yield Case("both masks", (weights, x), both)
    weights = _model(rng, layers=2, eps=1e-2)
    yield Case("features that hardly differ", (weights, _tokens(rng, weights, 1, scale=0.05)))


def _classify(rng: np.random.Generator) -> Iterator[Case]:
    for note, batch in (("one image", 1), ("three images", 3)):
        dim, classes = (int(n) for n in rng.permutation([4, 5]))
        heads = [Linear(weight=rng.normal(size=(classes, dim)), bias=rng.normal(size=classes)) for _ in range(2)]
        yield Case(note, (*heads, *rng.normal(size=(2, batch, dim))))
    yield Case("no classes: the tokens themselves", (None, None, *rng.normal(size=(2, 2, dim))))


def _classification(rng: np.random.Generator) -> Iterator[Case]:
    def pixels(weights: DeiTWeights, rows: int, columns: int) -> Array:
        height, width = weights.config.patch_shape
        return rng.normal(size=(2, 3, rows * height, columns * width))

    weights = _model(rng, layers=2, eps=1e-6)
    yield Case("photos of the model's size", (weights, pixels(weights, 2, 3)))
    yield Case("larger photos", (weights, pixels(weights, 4, 3)), {"interpolate_pos_encoding": True})
    head_mask = rng.uniform(0, 1, (2, weights.config.num_attention_heads))
    yield Case("head_mask is handed on", (weights, pixels(weights, 2, 3)), {"head_mask": head_mask})
    keep = np.arange(8) != np.array([[2], [7]])  # two tokens and six patches
    yield Case("attention_mask is handed on", (weights, pixels(weights, 2, 3)), {"attention_mask": keep})
    kept = {"output_hidden_states": True, "output_attentions": True}
    yield Case("what was kept on the way is returned", (weights, pixels(weights, 2, 3)), kept)


_FIRST = "x = x + drop_path(branch, probability=drop_path_probability, generator=generator)\n    normed = "
_NORM_2 = 'record(trace, "norm2", layer_norm(weights.norm2, x, eps=config.layer_norm_eps))'

ASSIGNMENT = Assignment(
    number=3,
    slug="model",
    title="The whole model",
    tasks=(
        Task(
            function="layers.layer_norm",
            points=4,
            minutes=20,
            cases=_layer_norm,
            mistakes=(
                Mistake(
                    "another eps",
                    "variance + eps",
                    "variance + 1e-5",
                    "use the eps that is handed in: 1e-5 is only torch's default, and DeiT's checkpoints have others.",
                ),
                Mistake(
                    "no eps",
                    "variance + eps",
                    "variance",
                    "features that are all alike have the variance 0: eps, inside the root, keeps the division "
                    "possible.",
                ),
                Mistake(
                    "eps outside the root",
                    "np.sqrt(variance + eps)",
                    "(np.sqrt(variance) + eps)",
                    "eps is added to the variance, before the root is taken.",
                ),
                Mistake(
                    "divided by dim - 1",
                    "np.square(centered).mean(axis=-1, keepdims=True)",
                    "np.square(centered).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)",
                    "the variance is divided by dim: np.var's default, not the ddof=1 of statistics, and not torch's.",
                ),
                Mistake(
                    "divided by the variance",
                    "np.sqrt(variance + eps)",
                    "(variance + eps)",
                    "divide by the standard deviation, the square root of the variance.",
                ),
                Mistake(
                    "mean and variance of all tokens",
                    "centered = x - x.mean(axis=-1, keepdims=True)\n"
                    "    variance = np.square(centered).mean(axis=-1, keepdims=True)",
                    "centered = x - x.mean()\n    variance = np.square(centered).mean()",
                    "each token is normalized by itself: mean and variance over the last axis only, with "
                    "keepdims=True.",
                ),
                Mistake(
                    "mean and variance over the tokens",
                    "centered = x - x.mean(axis=-1, keepdims=True)\n"
                    "    variance = np.square(centered).mean(axis=-1, keepdims=True)",
                    "axis = max(-2, -x.ndim)\n    centered = x - x.mean(axis=axis, keepdims=True)\n"
                    "    variance = np.square(centered).mean(axis=axis, keepdims=True)",
                    "this compares a feature among the tokens. A layer norm compares a token's own features: the last "
                    "axis.",
                ),
                Mistake(
                    "neither scaled nor shifted",
                    "    centered *= weights.weight\n    centered += weights.bias\n",
                    "",
                    "after the division, each feature is multiplied by its weight, and its bias is added.",
                ),
                Mistake(
                    "shifted before it is scaled",
                    "    centered *= weights.weight\n    centered += weights.bias\n",
                    "    centered += weights.bias\n    centered *= weights.weight\n",
                    "first multiply by the weight, then add the bias.",
                ),
            ),
        ),
        Task(
            function="activations.gelu",
            points=2,
            minutes=10,
            cases=_gelu,
            bound=1e-12,
            mistakes=(
                Mistake(
                    "float32's way in float64",
                    "if x.dtype == np.float32:",
                    "if True:",
                    "_gelu_float32 has the digits of float32, about seven. float64 has sixteen: use erf, from "
                    "scipy.special.",
                ),
                Mistake(
                    "the tanh approximation",
                    "    if x.dtype == np.float32:\n        return _gelu_float32(x)\n",
                    "    return gelu_tanh(x)\n",
                    "the approximation with tanh is off by up to 4.7e-4. DeiT was trained with the definition: use "
                    "erf, from scipy.special.",
                ),
                Mistake(
                    "the sigmoid approximation",
                    "    if x.dtype == np.float32:\n        return _gelu_float32(x)\n",
                    "    return x / (1 + np.exp(-1.702 * x))\n",
                    "x * sigmoid(1.702 x) is off by up to 0.02. DeiT was trained with the definition: use erf, from "
                    "scipy.special.",
                ),
                Mistake(
                    "no square root of 2",
                    "erf(x / math.sqrt(2))",
                    "erf(x)",
                    "erf belongs to a normal distribution of variance 1/2: divide x by the square root of 2 inside.",
                ),
                Mistake(
                    "no half",
                    "0.5 * x * (1 + erf",
                    "x * (1 + erf",
                    "1 + erf runs from 0 to 2, a share from 0 to 1: take half.",
                ),
                Mistake(
                    "the share without x",
                    "0.5 * x * (1 + erf",
                    "0.5 * (1 + erf",
                    "the share of the distribution weighs x: multiply by x.",
                ),
                Mistake(
                    "ReLU",
                    "    if x.dtype == np.float32:\n        return _gelu_float32(x)\n",
                    "    return np.maximum(x, 0)\n",
                    "GELU bends smoothly and is a little below 0 for negative x; the maximum with 0 is ReLU.",
                ),
            ),
        ),
        Task(
            function="encoder.mlp",
            points=2,
            minutes=10,
            cases=_mlp,
            bound=3e-6,
            mistakes=(
                Mistake(
                    "no activation",
                    'record(trace, "activation", activate(hidden, name=activation))',
                    "hidden",
                    "without a bend between them, fc1 and fc2 are one matrix: apply the activation between the two.",
                ),
                Mistake(
                    "always GELU",
                    "activate(hidden, name=activation)",
                    'activate(hidden, name="gelu")',
                    "the activation is chosen by name: hand `activation` to `activate`.",
                ),
                Mistake(
                    "activation after fc2",
                    'return record(trace, "fc2", linear(weights.fc2, hidden))',
                    "return activate(linear(weights.fc2, hidden), name=activation)",
                    "fc2 is the last step. The result is added to the token and may be negative: no activation after "
                    "it.",
                ),
                Mistake(
                    "residual inside",
                    'return record(trace, "fc2", linear(weights.fc2, hidden))',
                    "return x + linear(weights.fc2, hidden)",
                    "the mlp returns its branch alone; it is encoder_block that adds the token.",
                ),
                Mistake(
                    "biases forgotten",
                    "linear(weights.fc2, hidden)",
                    "(hidden @ weights.fc2.weight.T)",
                    "fc2 has a bias, too: use `linear`, which adds it if there is one.",
                ),
            ),
        ),
        Task(
            function="encoder.encoder_block",
            points=4,
            minutes=30,
            cases=_encoder_block,
            bound=3e-6,
            mistakes=(
                Mistake(
                    "norms after the branches",
                    'normed = record(trace, "norm1", layer_norm(weights.norm1, x, eps=config.layer_norm_eps))',
                    "eps, heads = config.layer_norm_eps, config.num_attention_heads\n"
                    "    masks = {'head_mask': head_mask, 'attention_mask': attention_mask}\n"
                    "    x = x + multi_head_attention(weights.attn, x, num_heads=heads, **masks)\n"
                    "    x = layer_norm(weights.norm1, x, eps=eps)\n"
                    "    x = x + mlp(weights.mlp, x, activation=config.hidden_act)\n"
                    "    return layer_norm(weights.norm2, x, eps=eps)\n"
                    "    normed = x",
                    "this is the order of 2017. DeiT normalizes what a branch reads, not the sum: norm1, attention, "
                    "add; norm2, mlp, add.",
                ),
                Mistake(
                    "no residual around the attention",
                    _FIRST,
                    _FIRST.replace("x = x + ", "x = "),
                    "what attention finds is added to the token: x = x + ...",
                ),
                Mistake(
                    "the normalized copy as residual",
                    _FIRST,
                    _FIRST.replace("x = x + ", "x = normed + "),
                    "the straight path carries x itself; the normalized copy is only for the branch to read.",
                ),
                Mistake(
                    "branches side by side",
                    _FIRST + _NORM_2,
                    "before = x\n    " + _FIRST + _NORM_2.replace(" x,", " before,"),
                    "the mlp reads the token after attention has been added to it.",
                ),
                Mistake(
                    "norm1 twice",
                    "layer_norm(weights.norm2, x",
                    "layer_norm(weights.norm1, x",
                    "the two branches have norms of their own: norm2 belongs to the mlp.",
                ),
                Mistake(
                    "attention without norm",
                    "        normed,\n        num_heads",
                    "        x,\n        num_heads",
                    "attention reads the normalized copy.",
                ),
                Mistake(
                    "mlp without norm",
                    "mlp(weights.mlp, normed,",
                    "mlp(weights.mlp, x,",
                    "the mlp reads the normalized copy.",
                ),
                Mistake(
                    "another eps",
                    "eps=config.layer_norm_eps))\n    branch = multi_head",
                    "eps=1e-6))\n    branch = multi_head",
                    "eps stands in the config, as layer_norm_eps, and differs from checkpoint to checkpoint.",
                ),
                Mistake(
                    "head_mask forgotten",
                    "head_mask=head_mask",
                    "head_mask=None",
                    "hand head_mask on to multi_head_attention.",
                ),
                Mistake(
                    "attention_mask forgotten",
                    "attention_mask=attention_mask",
                    "attention_mask=None",
                    "hand attention_mask on to multi_head_attention.",
                ),
            ),
        ),
        Task(
            function="encoder.encoder",
            points=2,
            minutes=15,
            cases=_encoder,
            bound=3e-6,
            mistakes=(
                Mistake(
                    "no last norm",
                    'record(trace, "norm", layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps))',
                    "x",
                    "no block normalizes what it returns, so a last layer norm, weights.norm, stands after all blocks.",
                ),
                Mistake(
                    "the last norm after every block",
                    'scope(trace, f"blocks.{i}"),\n        )\n',
                    'scope(trace, f"blocks.{i}"),\n        )\n'
                    "        if i + 1 < len(weights.blocks):\n"
                    "            x = layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps)\n",
                    "weights.norm is applied once, after the loop.",
                ),
                Mistake(
                    "every block reads the embeddings",
                    "    for i, block in enumerate(weights.blocks):\n        x = encoder_block(\n            block,\n"
                    "            x,",
                    "    embeddings = x\n    for i, block in enumerate(weights.blocks):\n        x = encoder_block(\n"
                    "            block,\n            embeddings,",
                    "each block reads what the one before it returned: x = encoder_block(block, x, ...).",
                ),
                Mistake(
                    "blocks in reverse",
                    "in enumerate(weights.blocks)",
                    "in reversed(list(enumerate(weights.blocks)))",
                    "weights.blocks[0] comes first.",
                ),
                Mistake(
                    "one head_mask for all blocks",
                    "head_mask[i]",
                    "head_mask[0]",
                    "head_mask has a row for each block: hand on row i.",
                ),
                Mistake(
                    "attention_mask forgotten",
                    "attention_mask=attention_mask",
                    "attention_mask=None",
                    "hand attention_mask on to every block.",
                ),
                Mistake(
                    "another eps",
                    "eps=weights.config.layer_norm_eps",
                    "eps=1e-6",
                    "eps of the last norm stands in the config, too, as layer_norm_eps.",
                ),
            ),
        ),
        Task(
            function="heads.classify_with_teacher",
            points=2,
            minutes=10,
            cases=_classify,
            mistakes=(
                Mistake(
                    "the sum",
                    "(cls_logits + distillation_logits) / 2",
                    "cls_logits + distillation_logits",
                    "the model's logits are the mean of both heads': divide by 2.",
                ),
                Mistake(
                    "one token for both heads",
                    "classify(head_dist, dist_token)",
                    "classify(head_dist, cls_token)",
                    "the second head reads the distillation token.",
                ),
                Mistake(
                    "one head for both tokens",
                    "classify(head_dist, dist_token)",
                    "classify(head, dist_token)",
                    "the distillation token has a head of its own, head_dist.",
                ),
                Mistake(
                    "heads swapped",
                    "cls_logits = classify(head, cls_token)\n    distillation_logits = classify(head_dist, dist_token)",
                    "cls_logits = classify(head_dist, cls_token)\n    distillation_logits = classify(head, dist_token)",
                    "head reads the class token, head_dist the distillation token.",
                ),
                Mistake(
                    "the mean comes last",
                    "(cls_logits + distillation_logits) / 2, cls_logits, distillation_logits",
                    "cls_logits, distillation_logits, (cls_logits + distillation_logits) / 2",
                    "the mean is returned first: logits, cls_logits, distillation_logits.",
                ),
            ),
        ),
        Task(
            function="model.classification_with_teacher",
            points=4,
            minutes=30,
            cases=_classification,
            bound=3e-6,
            mistakes=(
                Mistake(
                    "tokens swapped",
                    "cls_token, dist_token, _ = split_tokens",
                    "dist_token, cls_token, _ = split_tokens",
                    "the class token is the first token, the distillation token the second.",
                ),
                Mistake(
                    "the last token",
                    "assert dist_token is not None",
                    "dist_token = encoded.x[:, -1]",
                    "the distillation token is the second one, before all patches. The last token is a patch.",
                ),
                Mistake(
                    "the mean of the patches",
                    "assert dist_token is not None",
                    "dist_token = encoded.x[:, 2:].mean(axis=1)",
                    "DeiT reads two tokens of their own, the first and the second, not the patches.",
                ),
                Mistake(
                    "heads swapped",
                    "weights.head, weights.head_dist,",
                    "weights.head_dist, weights.head,",
                    "weights.head belongs to the class token, weights.head_dist to the distillation token.",
                ),
                Mistake(
                    "options forgotten",
                    "encode(weights, pixel_values, **options)",
                    "encode(weights, pixel_values, interpolate_pos_encoding=True)",
                    "hand all options on to encode: **options.",
                ),
                Mistake(
                    "fields in another order",
                    "    logits, cls_logits, distillation_logits = classify",
                    "    distillation_logits, logits, cls_logits = classify",
                    "TeacherOutput takes logits, the mean, first; name its fields, and the order does not matter.",
                ),
            ),
        ),
    ),
)
