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
# # 10. The way back
#
# The model is sure that this is a cat. Which of its million numbers would you have to change, and in which direction,
# to make it surer still? The gradient answers for every weight, pixel and head at once: the gradient of the loss, 1,
# in; a tree of gradients like the weights, out.
#
# Chapter: [page](../docs/chapters/backward.md) · NumPy: [source](../deit_ref/numpy_backend/backward/layers.py) · torch:
# [autograd](../deit_ref/torch_backend/gradients.py)

# %% alt="A photo of a cat."
import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import layers as forward_layers
from deit_ref.numpy_backend import losses as forward_losses
from deit_ref.numpy_backend.backward import layers, losses
from deit_ref.photos import bundled_photo, load_image
from deit_ref.weights import LayerNorm, Linear, map_weights, named_arrays

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

figure, axes = plt.subplots(figsize=(4, 2.7), dpi=100, layout="constrained")
axes.imshow(load_image(bundled_photo("chelsea")))
axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# Of a layer $y = f(x)$ we are given $dy$, short for $\partial \mathcal L / \partial y$: how much the loss $\mathcal L$
# grows with each output. We want $dx$, how much it grows with each input. $x_j$ reaches the loss through all outputs,
# so
#
# $$dx_j = \sum_i dy_i \, \frac{\partial y_i}{\partial x_j}, \qquad\text{in short}\qquad dx = dy \, J$$
#
# with the Jacobian $J$ of the layer. `f_vjp(x)` returns $y$ and a function `back`, and `back(dy)` is this product,
# without building $J$. $dx$ has the shape of $x$. Always.

# %%
folded(layers.linear_vjp, layers.softmax_vjp, layers.layer_norm_vjp)

# %% [markdown]
# ## A ruler
#
# Before we write gradients we need something to measure them by. Move one number up and down by a small step, look how
# far $\sum dy \odot y$ moves, and divide. It is slow, but it knows no calculus, and so it makes no mistakes in
# calculus.


# %%
def measured(function, x, dy, step=1e-6):
    """The gradient of sum(dy * function(x)), by central differences, number by number."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (dy * (function(up) - function(down))).sum() / (2 * step)
    return gradient


draw = np.random.default_rng(0).standard_normal
x, dy = draw((3, 4)), draw((3, 2))
weights = Linear(draw((2, 4)), draw(2))
y, back = layers.linear_vjp(weights, x)
dweights, dx = back(dy)
print("x", x.shape, "y", y.shape, "dx", dx.shape, "dW", dweights.weight.shape, "db", dweights.bias.shape)
judge(dx, measured(lambda x: forward_layers.linear(weights, x), x, dy))
judge(dweights.weight, measured(lambda w: forward_layers.linear(Linear(w, weights.bias), x), weights.weight, dy))
judge(dweights.bias, measured(lambda b: forward_layers.linear(Linear(weights.weight, b), x), weights.bias, dy))

# %% [markdown]
# `dy` is random, on purpose. With ones, softmax below would have gradient 0 (its shares sum to 1 whatever happens), and
# any code that returns 0 would pass.
#
# ## By hand
#
# One token $(3, 4)$, one output with the weights $(1, 2)$: $y = 3 + 8 = 11$. The loss grows by 10 with $y$. Then it
# grows by $10 \cdot 1$ and $10 \cdot 2$ with the two inputs, by $10 \cdot 3$ and $10 \cdot 4$ with the two weights, and
# by 10 with the bias.
#
# **Before you run it:** the weights were $(1, 2)$. Along which direction do they move to lower the loss?

# %%
y, back = layers.linear_vjp(Linear(np.array([[1.0, 2.0]]), np.zeros(1)), np.array([[3.0, 4.0]]))
dweights, dx = back(np.array([[10.0]]))
print("y", y, "dx", dx, "dW", dweights.weight, "db", dweights.bias)
assert dx.tolist() == [[10, 20]]
assert dweights.weight.tolist() == [[30, 40]]

# %% [markdown]
# ## Your turn: a product
#
# Two matrices are multiplied, as shares and values are in attention: $y = A V$ with $A$ (2, 3) and $V$ (3, 4). From
# $dy$ (2, 4), what is $dA$? Only one product of what you have has the shape (2, 3).


# %%
def my_product_back(a, v, dy):
    """The gradient of a, where y = a @ v."""
    ...  # your turn


a, v, dy = draw((2, 3)), draw((3, 4)), draw((2, 4))
truth = measured(lambda a: a @ v, a, dy)
judge(my_product_back(a, v, dy), truth)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_product_back(a, v, dy):
#     return dy @ v.T
# ```
#
# A share $A_{ij}$ carries $V_j$ into $y_i$, so it is worth the dot product of $dy_i$ and $V_j$.
#
# </details>
#
# ## Your turn: softmax
#
# The Jacobian of a row is $\partial p_i / \partial x_j = p_i ([i = j] - p_j)$. Here it is, for one row of five scores,
# as a picture.
#
# **Before you run it:** raise one score a little. What do the five shares do, and what do their changes sum to?

# %% alt="The Jacobian of softmax, a 5 by 5 grid: positive on the diagonal, negative beside it"
scores = np.array([[0.0, 1.0, 2.0, 0.5, -1.0]])
p = forward_layers.softmax(scores)
jacobian = np.diag(p[0]) - np.outer(p[0], p[0])
assert np.allclose(jacobian.sum(axis=0), 0)
figure, axes = plt.subplots(figsize=(4, 3.2), dpi=100, layout="constrained")
image = axes.imshow(jacobian, cmap="RdBu_r", vmin=-0.25, vmax=0.25)
for place, value in np.ndenumerate(jacobian):
    axes.text(*place[::-1], f"{value:.2f}", ha="center", va="center", fontsize=8)
axes.set_xticks(range(5), [f"{score:g}" for score in scores[0]])
axes.set_yticks(range(5), [f"{share:.2f}" for share in p[0]])
axes.set_xlabel("score that grows")
axes.set_ylabel("share that answers")
figure.colorbar(image, ax=axes)
plt.show()

# %% [markdown]
# Each score lifts its own share, on the diagonal, and lowers all others; rows and columns sum to 0. Write $dx = dp \,
# J$ without building $J$: multiply out, and one sum per row is left.


# %%
def my_softmax_back(p, dp):
    """The gradient of the scores, from the shares p and their gradient dp, both (rows, scores)."""
    ...  # your turn


scores, dp = draw((4, 5)), draw((4, 5))
truth = measured(forward_layers.softmax, scores, dp)
judge(my_softmax_back(forward_layers.softmax(scores), dp), truth)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_softmax_back(p, dp):
#     worth = (dp * p).sum(axis=-1, keepdims=True)  # what the shares are worth on average
#     return p * (dp - worth)
# ```
#
# </details>
#
# ## Your turn: layer norm
#
# $\tilde x = (x - \mu) / \sigma$, without scale and shift. Each feature reaches the result in three ways: directly,
# through the mean and through the standard deviation $\sigma$. The first alone would be `dn / std`. What do the other
# two take away?


# %%
def my_norm_back(normed, std, dn):
    """The gradient of x, from normed (rows, features), std (rows, 1) and the gradient dn of normed."""
    ...  # your turn


def norm(x):
    return forward_layers.layer_norm(LayerNorm(np.ones(6), np.zeros(6)), x, eps=0.0)


x, dn = draw((3, 6)), draw((3, 6))
truth = measured(norm, x, dn)
judge(my_norm_back(norm(x), x.std(axis=-1, keepdims=True), dn.copy()), truth)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_norm_back(normed, std, dn):
#     through_mean = dn.mean(axis=-1, keepdims=True)
#     through_std = normed * (dn * normed).mean(axis=-1, keepdims=True)
#     return (dn - through_mean - through_std) / std
# ```
#
# </details>
#
# What if one is forgotten? The shape is right, the code runs, and a model may even learn with it.
#
# **Before you run it:** which of the two, if it is left out, does more harm?

# %%
normed, std, truth = norm(x), x.std(axis=-1, keepdims=True), measured(norm, x, dn)
for name, wrong in {
    "term 1 alone": dn / std,
    "without the mean (2)": (dn - normed * (dn * normed).mean(axis=-1, keepdims=True)) / std,
    "without the variance (3)": (dn - dn.mean(axis=-1, keepdims=True)) / std,
}.items():
    print(f"{name:<26} off by {np.abs(wrong - truth).max() / np.abs(truth).max():5.0%} of the largest entry")
    assert np.abs(wrong - truth).max() > 1e-3

# %% [markdown]
# ## Your turn: the beginning
#
# The way back begins at the loss. For cross entropy with the labels $t$ as shares, the gradient of the logits is the
# simplest of all. Mind that the loss is a mean over the images.


# %%
def my_loss_back(logits, shares):
    """The gradient of cross entropy with respect to logits (images, classes)."""
    ...  # your turn


logits, shares = draw((3, 4)), np.eye(4)[[2, 0, 1]]
truth = measured(lambda z: forward_losses.cross_entropy(z, shares), logits, 1.0)
judge(my_loss_back(logits, shares), truth)
print("each row sums to", truth.sum(axis=1).round(8) + 0.0)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_loss_back(logits, shares):
#     return (forward_layers.softmax(logits) - shares) / len(logits)
# ```
#
# </details>
#
# A teacher changes only what is subtracted. The student's second head says 1/4 and 3/4; the teacher's logits are 0 and
# a number that grows from -4 to 4.
#
# **Before you run it:** where does a hard teacher's pull change, and where is a soft teacher's pull 0?

# %% alt="The gradient of the student's logit against the teacher's: a step for hard, a smooth curve for soft"
student, label = np.array([[0.0, np.log(3)]]), np.array([0])
z = np.linspace(-4, 4, 161)
pull = {"hard": [], "soft, tau = 1": [], "soft, tau = 3": []}
for teacher in (np.array([[0.0, value]]) for value in z):
    pull["hard"].append(losses.hard_distillation_vjp(student, student, teacher, label, alpha=1.0)[1]()[1][0, 1])
    for tau in (1, 3):
        _, back = losses.soft_distillation_vjp(student, student, teacher, label, alpha=1.0, tau=float(tau))
        pull[f"soft, tau = {tau}"].append(back()[1][0, 1])
figure, axes = plt.subplots(figsize=(5.5, 3), dpi=100, layout="constrained")
for (name, values), color, line in zip(pull.items(), ("black", PIXELS, OTHER), ("-", "-", "--"), strict=True):
    axes.plot(z, values, line, color=color, label=name)
axes.axvline(np.log(3), color=OTHER, linewidth=0.8)
axes.axhline(0, color=OTHER, linewidth=0.8)
axes.set_xlabel("teacher's logit of class 1 (line: the student's)")
axes.set_ylabel("gradient of the student's")
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# A hard teacher's pull jumps where the teacher changes its mind; a soft one's turns smoothly, and is 0 where both
# agree.

# %% [markdown]
# ## On a photo
#
# Now the whole bundled model. `deit_ref.gradients` returns a tree like the weights.
#
# **Before you run it:** the list goes from the positions to the heads. Where will the gradient be longest: at the
# beginning, in the middle or at the end?

# %%
model = deit_ref.load_weights().to(backend)
pixel_values = deit_ref.preprocess(bundled_photo("chelsea"), model.image_processing, backend=backend)
label = np.array([model.class_names.index("cat")])
steps = deit_ref.Trace()
found = deit_ref.gradients(model, pixel_values=pixel_values, labels=label, backend=backend, gradient_trace=steps)
print(f"loss {float(found.value):.4f}")
gradient = {name: as_numpy(array) for name, array in named_arrays(found.weights)}
parts = ["pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.5.attn.qkv.weight"]
parts += ["blocks.5.mlp.fc1.weight", "norm.weight", "head.weight", "head_dist.weight"]
for name, array in named_arrays(model):
    if name in parts:
        print(f"{name:<26} {tuple(array.shape)!s:<16} weights {np.linalg.norm(as_numpy(array)):7.2f}", end="")
        print(f"   gradient {np.linalg.norm(gradient[name]):8.4f}")

# %% [markdown]
# What is the bias of the keys good for? It adds the same number to all scores of a row, and softmax ignores that.
#
# **Before you run it:** so how large must its gradient be?

# %%
for i in range(model.config.num_hidden_layers):
    q, k, v = np.abs(gradient[f"blocks.{i}.attn.qkv.bias"].reshape(3, -1)).max(axis=1)
    print(f"block {i + 1}: largest gradient of the bias of queries {q:.1e}, keys {k:.1e}, values {v:.1e}")
    assert k < 1e-4 * max(q, v)

# %% [markdown]
# And the residual path. `gradient_trace` holds the gradient of every step: of the stream after each block, and of what
# each branch reads.
#
# **Before you run it:** read it from right to left. How much of what the last block gets is still there at the first: a
# thousandth, half, or more than at the end?

# %% alt="The size of the gradient along the stream and in the branches, block by block, on a logarithmic scale"
blocks = range(model.config.num_hidden_layers)
stream = [np.linalg.norm(as_numpy(steps[f"blocks.{i}.output"])) for i in blocks]
through = {
    "before attention (norm1)": [np.linalg.norm(as_numpy(steps[f"blocks.{i}.norm1"])) for i in blocks],
    "before the mlp (norm2)": [np.linalg.norm(as_numpy(steps[f"blocks.{i}.norm2"])) for i in blocks],
}
figure, axes = plt.subplots(figsize=(5.5, 3), dpi=100, layout="constrained")
axes.semilogy(blocks, stream, "o-", color=PIXELS, linewidth=3, label="stream, after the block")
for (name, sizes), color in zip(through.items(), (OTHER, "black"), strict=True):
    axes.semilogy(blocks, sizes, "s--", color=color, label=name)
axes.set_xlabel("block")
axes.set_ylabel("length of the gradient")
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## All weights at once
#
# Every weight of a model, tested by one number: take a random direction through all of them, walk a step $\delta$ up
# and down, and compare with what the gradient predicts. Too long a step measures the curve, too short a step the
# rounding.
#
# **Before you run it:** where do you expect the best step in float64, and where in float32?

# %% alt="The error of central differences against the step: falling, then rising; float32 far above float64"
config = deit_ref.DeiTConfig(16, 2, 2, 32, image_size=32, patch_size=8, num_labels=10)
small = deit_ref.init_weights(config, "classification", seed=0)
pixels, labels = draw((4, 3, 32, 32)), np.arange(4)
sizes, errors = 10.0 ** np.arange(-12, 0.1, 0.5), {}
for dtype in ("float64", "float32"):
    these = small.to("numpy", dtype=dtype)
    given = {"pixel_values": pixels.astype(dtype), "labels": labels}
    direction = map_weights(lambda w: np.random.default_rng(w.size).standard_normal(w.shape).astype(w.dtype), these)
    tree = deit_ref.gradients(these, **given).weights
    predicted = sum(
        float((g * d).sum()) for (_, g), (_, d) in zip(named_arrays(tree), named_arrays(direction), strict=True)
    )

    def loss(step, these=these, direction=direction, given=given):
        moved = map_weights(lambda w, u: w + w.dtype.type(step) * u, these, direction)
        return float(deit_ref.forward(moved, **given).loss)

    errors[dtype] = [abs((loss(step) - loss(-step)) / (2 * step) / predicted - 1) for step in sizes]
    print(f"{dtype}: best {min(errors[dtype]):.0e} at a step of {sizes[np.argmin(errors[dtype])]:.0e}")
assert min(errors["float64"]) < 1e-7
figure, axes = plt.subplots(figsize=(5.5, 3), dpi=100, layout="constrained")
for (dtype, values), color in zip(errors.items(), (PIXELS, OTHER), strict=True):
    axes.loglog(sizes, np.maximum(values, 1e-12), "o-", color=color, label=dtype)
axes.set_xlabel("step")
axes.set_ylabel("relative error")
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## The torch twin
#
# torch finds the same gradients by itself, from the forward pass alone. Two ways that share no line of code agree over
# every parameter of the bundled model:

# %%
for dtype in ("float32", "float64"):
    given = {"pixel_values": as_numpy(pixel_values).astype(dtype), "labels": label}
    trees = [
        dict(named_arrays(deit_ref.gradients(model.to(name, dtype=dtype), backend=name, **given).weights))
        for name in ("numpy", "torch")
    ]
    apart = [
        np.abs(a - as_numpy(b)).max() / max(np.abs(a).max(), 1e-6)
        for a, b in zip(*(t.values() for t in trees), strict=True)
    ]
    print(f"{dtype}: {sum(a.size for a in trees[0].values()):,} gradients, largest difference {max(apart):.1e}")

# %% [markdown]
# ## Try
#
# 1. In "Your turn: softmax", set `dp` to ones. What comes out, and what would you have learned of a wrong solution?
# 2. Make `scores` there ten times as large. How large is the gradient now? This is what the root in attention is for.
# 3. In "On a photo", take a label other than cat. What grows in the table, and why?
#
# <details><summary>Answers</summary>
#
# 1. Zeros: the shares sum to 1 whatever the scores are, so nothing that moves all of them alike can be gained. A wrong
#    solution that returns 0, or that forgets the sum, might have passed. Random numbers find it out.
# 2. Far smaller: nearly all of the share lies on one score, and $p_i (1 - p_i)$ is close to 0 for every $i$. A score
#    that dominates no longer learns.
# 3. Everything. The gradient begins as $p - t$. The model is fairly sure of the cat; with that label there is little
#    left to say, with any other the first number of the way back is nearly as large as it can be.
#
# </details>
