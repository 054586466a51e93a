# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. The layers that everything else is made of
#
# This photo is now 66 tokens of 128 numbers, some large, some small. What keeps them in a range in which the next layer
# can work? Four small layers do nearly all of a transformer's arithmetic. Each takes an array whose last axis holds the
# features of a token, and returns an array of the same leading shape: `(..., features)` in, `(..., features)` out.
#
# Chapter: [page](../docs/chapters/layers.md) · NumPy: [source](../deit_ref/numpy_backend/layers.py) · torch:
# [mirror](../deit_ref/torch_backend/layers.py)

# %% alt="A photo of a cat, and beside it the table of numbers that it has become: a row for each token."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import activations, layers
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import layers as mirror
from deit_ref.weights import LayerNorm, Linear

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

trace = deit_ref.Trace()
model = deit_ref.load_weights().to(backend)
deit_ref.forward(model, bundled_photo("chelsea"), backend=backend, trace=trace)
tokens = as_numpy(trace["embeddings"])[0]  # (tokens, dim)
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4), dpi=100, width_ratios=(1.1, 2), layout="constrained")
left.imshow(load_image(bundled_photo("chelsea")))
left.set_axis_off()
bound = np.percentile(np.abs(tokens), 99)
right.imshow(tokens, cmap="PuOr_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
right.set(xlabel="feature", ylabel="token")
plt.show()

# %% [markdown]
# ## The formula
#
# | layer | formula | why it is there |
# |---|---|---|
# | linear | $y = x W^\top + b$ | mixes features; all that is learned is in such matrices |
# | layer norm | $y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \odot \gamma + \beta$ | keeps numbers in range |
# | softmax | $y_i = e^{x_i} / \sum_j e^{x_j}$ | turns scores into shares: positive, with the sum 1 |
# | GELU | $x \, \Phi(x)$ | the bend; without it two linear maps would be one |
#
# $\mu$ and $\sigma^2$ are mean and variance of one token's own features. $\Phi(x)$ is the share of a standard normal
# distribution that lies below $x$. Two more, dropout and drop path, act only in training.

# %%
folded(layers.linear, layers.layer_norm, layers.softmax, activations.gelu)

# %% [markdown]
# ## By hand
#
# ### Linear
#
# Each row of the weight makes one output.
#
# **Before you run it:** the token $(1, 0, 2)$, the rows $(1, 2, 3)$ and $(0, -1, 1)$, the biases 10 and 20: what comes
# out?

# %%
weights = Linear(weight=np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]]), bias=np.array([10.0, 20.0]))
x = np.array([[1.0, 0.0, 2.0]])
y = layers.linear(weights, x)
print(x.shape, "->", y.shape, y)
assert y.tolist() == [[17.0, 22.0]]

# %% [markdown]
# $1 \cdot 1 + 2 \cdot 0 + 3 \cdot 2 + 10 = 17$ and $0 \cdot 1 - 1 \cdot 0 + 1 \cdot 2 + 20 = 22$.
#
# ### Layer norm
#
# The token $(1, 1, 3, 3)$ has mean 2 and variance 1, so it becomes $(-1, -1, 1, 1)$. Then $\gamma = 2$ doubles it and
# $\beta = 10$ shifts it.
#
# **Before you run it:** multiply the token by 100 and add 7 to it. What comes out now?

# %%
twice_plus_ten = LayerNorm(weight=np.full(4, 2.0), bias=np.full(4, 10.0))
token = np.array([1.0, 1.0, 3.0, 3.0])
y = layers.layer_norm(twice_plus_ten, token, eps=0.0)
print(y)
assert y.tolist() == [8.0, 8.0, 12.0, 12.0]
assert np.allclose(layers.layer_norm(twice_plus_ten, 100 * token + 7, eps=0.0), y)


# %% [markdown]
# The same. That is the purpose: whatever a block adds to a token, the next one reads numbers of the same size.

# %% [markdown]
# ## Your turn: layer norm
#
# One token per row, each normalized by its own mean and variance.


# %%
def my_layer_norm(x, scale, shift, eps):
    """Tokens (tokens, features), normalized, times scale (features,), plus shift (features,)."""
    ...  # your turn


draw = np.random.default_rng(0).standard_normal
x, scale, shift = 3 * draw((5, 8)) + 2, draw(8), draw(8)
truth = layers.layer_norm(LayerNorm(scale, shift), x, eps=1e-6)
judge(
    my_layer_norm(x, scale, shift, eps=1e-6), truth, "Mean and variance are taken over the last axis, `keepdims=True`."
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_layer_norm(x, scale, shift, eps):
#     mean = x.mean(axis=-1, keepdims=True)
#     variance = x.var(axis=-1, keepdims=True)
#     return (x - mean) / np.sqrt(variance + eps) * scale + shift
# ```
#
# </details>

# %% [markdown]
# ### Why eps: the constant token
#
# A token whose features are all alike has variance 0. Without $\epsilon$ that is 0 / 0; with it the result is $\beta$.
#
# And a token that is almost constant? Its features differ by $10^{-4}$ below, so its variance is $2.5 \cdot 10^{-9}$.
# That is far above $10^{-12}$, but far below $10^{-6}$.
#
# **Before you run it:** which $\epsilon$ blows the tiny difference up to full size, and which keeps it small?

# %%
plain = LayerNorm(weight=np.ones(4), bias=np.zeros(4))
constant, almost = np.full(4, 5.0), 5.0 + np.array([0.0, 1e-4, 0.0, 1e-4])
for eps in (1e-12, 1e-6):
    print(f"eps {eps:.0e}", " constant:", layers.layer_norm(plain, constant, eps=eps), end="  ")
    print("almost:", layers.layer_norm(plain, almost, eps=eps).round(4))
assert not layers.layer_norm(plain, constant, eps=1e-12).any()
assert np.allclose(layers.layer_norm(plain, almost, eps=1e-12), [-1, 1, -1, 1], atol=1e-3)
assert np.allclose(np.abs(layers.layer_norm(plain, almost, eps=1e-6)), 0.05, atol=1e-3)

# %% [markdown]
# Published checkpoints disagree on this number, so here it has no default.

# %% [markdown]
# ### Softmax
#
# Scores $\log 1, \log 2, \log 5$ have the powers 1, 2, 5 and the sum 8: shares $\frac18, \frac28, \frac58$. Adding the
# same number to all scores multiplies every power by the same factor, which cancels. That is why the function may
# subtract the largest score first, and why a score of 1000 does not overflow.

# %%
scores = np.log([1.0, 2.0, 5.0])
print(layers.softmax(scores))
assert np.allclose(layers.softmax(scores), [1 / 8, 2 / 8, 5 / 8])
assert np.allclose(layers.softmax(scores + 1000), layers.softmax(scores))

# %% [markdown]
# ## Your turn: a share of your choice
#
# Two scores, 0 and `x`. For which `x` is the second share exactly 0.9?

# %%
my_score = ...  # your turn
judge(
    None if my_score is ... else layers.softmax(np.array([0.0, my_score])), [0.1, 0.9], "The powers must be as 1 to 9."
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_score = np.log(9)
# ```
#
# The powers are 1 and $e^x$, so $e^x / (1 + e^x) = 0.9$ and $e^x = 9$.
#
# </details>

# %% [markdown]
# Multiplying the scores is a different matter. Below, five scores are divided by a temperature before the softmax.
#
# **Before you run it:** which of the temperatures 0.25, 1 and 4 gives the largest share to the largest score?

# %% alt="Bars of softmax shares of five scores at three temperatures: sharp at 0.25, level at 4."
scores = np.array([2.0, 1.0, 0.5, 0.0, -1.0])
figure, panels = plt.subplots(1, 3, figsize=(8, 2.4), dpi=100, sharey=True, layout="constrained")
for axes, temperature in zip(panels, (0.25, 1.0, 4.0), strict=True):
    axes.bar(range(5), layers.softmax(scores / temperature), color=PIXELS)
    axes.set_xticks(range(5), [f"{score:g}" for score in scores])
    axes.set_title(f"temperature {temperature:g}", fontsize=10)
    axes.set_xlabel("score")
panels[0].set_ylabel("share")
plt.show()

# %% [markdown]
# Below 1 the scores differ more, and the largest takes almost all; above 1 the shares come closer to each other. In
# attention ([chapter 5](05_attention.ipynb)) the scores are divided by $\sqrt d$ for this reason.

# %% [markdown]
# ### GELU
#
# What lies below $x$ and what lies above it make up the whole: $\Phi(x) + \Phi(-x) = 1$. So
# $\mathrm{GELU}(x) - \mathrm{GELU}(-x) = x$ for every $x$. About 0.8413 of a normal distribution lies below 1, so that
# is $\mathrm{GELU}(1)$. How it is computed is the subject of [chapter 17](17_activations.ipynb).
#
# **Before you run it:** what is $\mathrm{GELU}(-1)$?

# %% alt="GELU beside ReLU: far from 0 they are the same, near 0 GELU is smooth and dips below 0."
x = np.linspace(-3, 3, 601)
assert np.allclose(activations.gelu(x) - activations.gelu(-x), x)
print("GELU(-1), GELU(0), GELU(1):", activations.gelu(np.array([-1.0, 0.0, 1.0])).round(4))
assert abs(activations.gelu(np.array(1.0)) - 0.8413) < 1e-4
figure, axes = plt.subplots(figsize=(4.5, 3), dpi=100, layout="constrained")
axes.plot(x, activations.gelu(x), color=PIXELS, linewidth=2, label="GELU")
axes.plot(x, activations.ACTIVATIONS["relu"](x), color=OTHER, linestyle="--", label="ReLU")
axes.set(xlabel="x")
axes.legend()
plt.show()

# %% [markdown]
# ### Dropout and drop path
#
# In training, dropout sets randomly chosen numbers to 0 and scales the others up, here by $1 / (1 - 0.5) = 2$, so that
# the mean stays. Drop path does it to a whole sample: all of its rows at once. In inference there is no generator, and
# both return what they got.

# %%
ones = np.ones((4, 6))  # (batch, features)
generator = np.random.default_rng(0)
print("dropout", layers.dropout(ones, probability=0.5, generator=generator), sep="\n")
print("drop_path", layers.drop_path(ones, probability=0.5, generator=generator), sep="\n")
assert layers.dropout(ones, probability=0.5, generator=None) is ones
many = layers.dropout(np.ones(100_000), probability=0.5, generator=generator)
assert set(many) == {0.0, 2.0}
assert abs(many.mean() - 1) < 0.02

# %% [markdown]
# ## On a photo
#
# Now the same layers inside the model. The trace of the first cell holds what goes into the first block and what its
# layers make of it. Each recorded step is computed again with the function that made it.

# %%
chapter = import_module(f"deit_ref.{backend}_backend.layers")
block = model.blocks[0]
normed = chapter.layer_norm(block.norm1, trace["embeddings"], eps=model.config.layer_norm_eps)
probabilities = chapter.softmax(trace["blocks.0.attention.scores"])
hidden = chapter.linear(block.mlp.fc1, trace["blocks.0.norm2"])
activation = import_module(f"deit_ref.{backend}_backend.activations").gelu(hidden)
steps = {"norm1": normed, "attention.probabilities": probabilities, "mlp.fc1": hidden, "mlp.activation": activation}

# %%
for name, array in steps.items():
    recorded = as_numpy(trace[f"blocks.0.{name}"])
    difference = np.abs(as_numpy(array) - recorded).max()
    print(f"{name:24}", recorded.shape, f"difference {difference:.1e}")
    assert difference <= 1e-5 * np.abs(recorded).max()

# %% [markdown]
# First the layer norm. The lines are the mean and the standard deviation of each token's features, before and after
# the norm; $\gamma$ and $\beta$ are left out, so that the norm alone is seen.
#
# **Before you run it:** what will the two lines look like after the norm?

# %% alt="Mean and standard deviation of every token, uneven before the layer norm, 0 and 1 after it."
before = as_numpy(trace["embeddings"])[0]  # (tokens, dim)
only_norm = LayerNorm(np.ones(before.shape[1], np.float32), np.zeros(before.shape[1], np.float32))
after = layers.layer_norm(only_norm, before, eps=model.config.layer_norm_eps)
figure, panels = plt.subplots(1, 2, figsize=(8.5, 2.6), dpi=100, layout="constrained")
for axes, tokens, title in zip(panels, (before, after), ("embeddings", "after the norm"), strict=True):
    axes.plot(tokens.std(axis=1), color=PIXELS, label="standard deviation")
    axes.plot(tokens.mean(axis=1), color=OTHER, linestyle="--", label="mean")
    axes.set(title=title, xlabel="token (the first two: class, distillation)")
panels[1].legend(loc="center", fontsize=9)
plt.show()
assert np.abs(after.mean(axis=1)).max() < 1e-4

# %% [markdown]
# Now the numbers that go into the GELU, and what comes out. Below 0 almost nothing is let through, at most 0.17; above
# 0 nearly everything is.
#
# **Before you run it:** which share of the numbers is below 0: a tenth, half, or more?

# %% alt="Histogram of the numbers before GELU and after it; after it none is below minus 0.17."
going_in, coming_out = as_numpy(hidden).ravel(), as_numpy(activation).ravel()
figure, axes = plt.subplots(figsize=(7, 2.6), dpi=100, layout="constrained")
bins = np.linspace(going_in.min(), going_in.max(), 80)
axes.hist(going_in, bins, color=OTHER, alpha=0.35, label="before GELU")
axes.hist(coming_out, bins, histtype="step", color=PIXELS, linewidth=1.5, label="after GELU")
axes.set(yscale="log", xlabel="value", ylabel="count")
axes.legend(fontsize=9)
plt.show()
print(f"{(going_in < 0).mean():.0%} of the numbers are below 0; the lowest after GELU is {coming_out.min():.3f}")
assert coming_out.min() > -0.171

# %% [markdown]
# ## The torch twin
#
# The mirror has the same functions with the same arguments. It takes tensors and calls torch's own kernels. Dropout
# follows the same rule there, but draws other random numbers, so it is not compared.

# %%
generator = np.random.default_rng(0)
x, weight, bias = (generator.standard_normal(shape) for shape in ((3, 5, 64), (64, 64), 64))
calls = {
    "linear": lambda chapter, array: chapter.linear(Linear(array(weight), array(bias)), array(x)),
    "layer_norm": lambda chapter, array: chapter.layer_norm(LayerNorm(array(bias), array(bias)), array(x), eps=1e-6),
    "softmax": lambda chapter, array: chapter.softmax(array(x)),
}

# %%
for name, call in calls.items():
    line = f"{name:11}"
    for dtype, bound in ((np.float64, 1e-10), (np.float32, 1e-5)):
        ours = call(layers, lambda array, dtype=dtype: array.astype(dtype))
        theirs = call(mirror, lambda array, dtype=dtype: torch.from_numpy(array.astype(dtype)))
        difference = np.abs(ours - as_numpy(theirs)).max()
        line += f"  {np.dtype(dtype).name} {difference:.1e}"
        assert difference <= bound * np.abs(ours).max()
    print(line)

# %% [markdown]
# ## Try
#
# 1. Give layer norm a token of two features, such as $(3, 8)$. Which results are possible at all?
# 2. Softmax of `[0.0, x]` is the share of `x` and of 0. Which well-known function of `x` is its second entry?
# 3. Take two linear maps one after the other, without a GELU between. Build one `Linear` that does the same.
#
# <details><summary>Answers</summary>
#
# 1. Without scale and shift only $(-1, 1)$, $(1, -1)$ and, for two equal numbers, $(0, 0)$: the mean lies in the
#    middle, and both are one standard deviation away from it. Normalizing throws away the size and the mean of a token,
#    and of two numbers nothing else is left but their order.
# 2. The sigmoid, $1 / (1 + e^{-x})$.
# 3. $(x A^\top + a) B^\top + b = x (B A)^\top + (a B^\top + b)$, so the weight is $B A$ and the bias $a B^\top + b$:
#    `Linear(B @ A, a @ B.T + b)`.
#
# </details>
