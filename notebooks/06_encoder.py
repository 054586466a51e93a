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
# # 6. The encoder, twelve blocks of one shape
#
# Four photos enter as patches of color. What is added to them, block by block, until one row says what is in the photo?
# The tokens pass through a stack of blocks with attention and an mlp in each:
# `(batch, tokens, dim)` -> `(batch, tokens, dim)`. The published models have twelve blocks, the bundled one has six.
#
# Chapter: [page](../docs/chapters/encoder.md) · NumPy: [source](../deit_ref/numpy_backend/encoder.py) · torch:
# [mirror](../deit_ref/torch_backend/encoder.py)

# %% alt="Four photos: a cat, an astronaut, a cup of coffee, a rocket."
import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import DeiTConfig, plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import encoder, layers
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.weights import Attention, Block, LayerNorm, Linear, Mlp

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
figure, panels = plt.subplots(1, len(photos), figsize=(7.5, 1.4), dpi=100, layout="constrained")
for axes, photo in zip(panels, photos, strict=True):
    axes.imshow(photo)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# A block has two branches. In the first, attention, tokens see each other. In the second, the mlp, each token is
# worked on by itself. Both read a normalized copy of the tokens and add what they find:
#
# $$z' = z + \mathrm{MHA}(\mathrm{LN}(z)), \qquad z'' = z' + \mathrm{MLP}(\mathrm{LN}(z'))$$
#
# $$\mathrm{MLP}(x) = \mathrm{act}(x W_1^\top + b_1) \, W_2^\top + b_2$$
#
# Why add, and not replace? The sum leaves a straight path from the first block to the last. A block that has nothing
# to say returns 0 and does no harm, and in training the gradient has a straight way to the first block. With the norm
# first ("pre-norm"), nothing on that path is normalized.

# %%
folded(encoder.mlp, encoder.encoder_block, encoder.encoder)

# %% [markdown]
# ## By hand
#
# The mlp alone: one token of dim 2, widened to 3, and relu instead of GELU, to make it easy.
# $W_1$ gives $(1, -1, 3)$, relu makes $(1, 0, 3)$ of it, and $W_2$ adds up: $(1 + 0, 0 + 3) + (0, 10)$.

# %%
fc1 = Linear(np.array([[1.0, 0.0], [0.0, -1.0], [1.0, 2.0]]), np.array([0.0, 0.0, 0.0]))  # (3, 2)
fc2 = Linear(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), np.array([0.0, 10.0]))  # (2, 3)
token = np.array([[[1.0, 1.0]]])  # (batch, tokens, dim)
result = encoder.mlp(Mlp(fc1, fc2), token, activation="relu")
print(token.shape, "->", result.shape, result.ravel())
assert result.ravel().tolist() == [1, 13]

# %% [markdown]
# A whole block: one token $(4, 2)$, one head, and the identity in place of every matrix. A single token gives all
# its attention to itself, so the attention branch returns its own normalized copy.
#
# - $\mathrm{LN}(4, 2) = (1, -1)$: mean 3, standard deviation 1. Attention returns $(1, -1)$, and $z' = (5, 1)$.
# - $\mathrm{LN}(5, 1) = (1, -1)$: mean 3, standard deviation 2. The mlp returns $\mathrm{relu}(1, -1) = (1, 0)$, and
#   $z'' = (6, 1)$.

# %%
two, eye = np.zeros(2), np.eye(2)
norm = LayerNorm(np.ones(2), two)
block = Block(
    norm1=norm,
    attn=Attention(qkv=Linear(np.concatenate([eye, eye, eye])), proj=Linear(eye, two)),
    norm2=norm,
    mlp=Mlp(Linear(eye, two), Linear(eye, two)),
)
tiny = DeiTConfig(hidden_size=2, num_attention_heads=1, hidden_act="relu", layer_norm_eps=1e-12)
z = np.array([[[4.0, 2.0]]])
print(encoder.encoder_block(block, z, config=tiny).round(6).tolist())
assert np.allclose(encoder.encoder_block(block, z, config=tiny), [6, 1])


# %% [markdown]
# ## Your turn: a block
#
# Two lines, given the two norms and the two branches as functions.


# %%
def my_block(z, norm1, attend, norm2, think):
    """Tokens after one block."""
    ...  # your turn


def norm1(z):
    return z - z.mean(axis=-1, keepdims=True)


def norm2(z):
    return z / np.abs(z).max()


def attend(x):
    return np.full_like(x, x.max())


z = np.array([[[4.0, 2.0], [1.0, -3.0]]])
after_attention = z + attend(norm1(z))
judge(my_block(z, norm1, attend, norm2, np.tanh), after_attention + np.tanh(norm2(after_attention)),
      "A branch reads a normalized copy; what it returns is added to what was there, unnormalized.")  # fmt: skip

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_block(z, norm1, attend, norm2, think):
#     z = z + attend(norm1(z))
#     return z + think(norm2(z))
# ```
#
# </details>

# %% [markdown]
# **Before you run it:** give the block ten times the token, $(40, 20)$. What does it add now: ten times as much?

# %%
z = np.array([[[4.0, 2.0]]])
added = encoder.encoder_block(block, 10 * z, config=tiny) - 10 * z
print("added to (40, 20):", added.ravel().round(6))
assert np.allclose(added, [2, -1])

# %% [markdown]
# The same $(2, -1)$: the branches read a normalized copy and do not know how long the token is. So the longer a token
# has grown, the less one block turns it.

# %% [markdown]
# ## Stochastic depth by hand
#
# In training, `drop_path` leaves a branch out for some of the images, a different choice each time. Block $l$ of $L$
# does it with probability $p_l = p \, l / (L - 1)$, from 0 in the first block to $p$ in the last. What is kept is
# divided by $1 - p_l$, so that the mean stays. Of $2L$ branches, an image passes on average
#
# $$\sum_{l=0}^{L-1} 2 (1 - p_l) = 2L - 2p \, \frac{0 + 1 + \dots + (L-1)}{L-1} = 2L - pL$$
#
# **Before you run it:** for $L = 6$ and $p = 0.5$, how many of the 12 branches is that? The experiment: 4000 images,
# each branch a 1.

# %%
L, p, images = 6, 0.5, 4000
generator = np.random.default_rng(0)
kept = np.zeros(images)
for i in range(L):
    both = layers.drop_path(np.ones((2 * images, 1)), probability=p * i / (L - 1), generator=generator)
    print(f"block {i}: kept {np.mean(both > 0):.3f}, mean {both.mean():.3f}")
    kept += (both > 0).reshape(2, images).sum(axis=0)  # one row for attention, one for the mlp
print("branches passed, on average:", kept.mean())
assert abs(kept.mean() - 2 * L * (1 - p / 2)) < 0.1

# %% [markdown]
# ## Your turn: all twelve
#
# How likely is it that an image passes all 12 branches? The probabilities of the six blocks to drop a branch are
# 0, 0.1, 0.2, 0.3, 0.4 and 0.5.

# %%
my_chance = ...  # your turn
branches = 1 - np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]).repeat(2)
judge(my_chance, branches.prod(), "Two branches in each block, and the choices are independent.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_chance = (1 * 0.9 * 0.8 * 0.7 * 0.6 * 0.5) ** 2
# ```
#
# About 2.3%. Compare it with the bar at 12 below.
#
# </details>

# %% [markdown]
# The average hides that every image gets a network of its own depth. None passes fewer than the two branches of the
# first block, which is always there.

# %% alt="A histogram: how many of the 12 branches an image passes with stochastic depth, centered at 9."
plt.figure(figsize=(5.5, 2.6), dpi=100, layout="constrained")
plt.bar(np.arange(2 * L + 1), np.bincount(kept.astype(int), minlength=2 * L + 1) / images, color=OTHER)
plt.axvline(2 * L * (1 - p / 2), color="black", label="expected: 9")
plt.xlabel("branches passed, of 12")
plt.ylabel("share of the images")
plt.legend(fontsize=9)
plt.show()
assert kept.min() >= 2

# %% [markdown]
# ## On a photo
#
# The path that the branches add to is called the residual stream. The trace holds what each branch added:
# `attention.proj` and `mlp.fc2` are the last steps of the two.

# %%
weights = deit_ref.load_weights().to(backend)
config, prefix = weights.config, weights.config.num_prefix_tokens
pixel_values = deit_ref.preprocess(photos, weights.image_processing, backend=backend)
trace = deit_ref.Trace(["embeddings", "blocks.*.attention.proj", "blocks.*.mlp.fc2", "blocks.*.output"])
deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, trace=trace)

embeddings = as_numpy(trace["embeddings"])  # (batch, tokens, dim)
attention_added = np.stack([as_numpy(x) for x in trace.matching("blocks.*.attention.proj")])
mlp_added = np.stack([as_numpy(x) for x in trace.matching("blocks.*.mlp.fc2")])
outputs = np.stack([as_numpy(x) for x in trace.matching("blocks.*.output")])
print("outputs", outputs.shape, "= (blocks, batch, tokens, dim)")

# %% [markdown]
# **Before you run it:** can you compute the stream after the last block without running a block, from the embeddings
# and what the branches added?

# %%
total = embeddings + attention_added.sum(axis=0) + mlp_added.sum(axis=0)
print("largest difference:", np.abs(total - outputs[-1]).max())
assert np.allclose(total, outputs[-1], atol=1e-4 * np.abs(total).max())

# %% [markdown]
# It is a plain sum. Nothing is ever taken away; a later block can only add the opposite.

# %% [markdown]
# How long is the stream, and how much does each branch add? The mean length of a token's vector, by block, for all
# tokens on the left and for the class token on the right.
#
# **Before you run it:** does the stream get longer or shorter? And which branch adds more to the class token?

# %% alt="The mean length of the residual stream and of what attention and mlp add, by block: all tokens, class token."
figure, panels = plt.subplots(1, 2, figsize=(8.5, 3), dpi=100, layout="constrained", sharey=True)
steps = 1 + np.arange(len(outputs))
for axes, rows, title in ((panels[0], slice(None), "all tokens"), (panels[1], slice(1), "class token")):
    for name, arrays, style, color in (
        ("stream after the block", outputs, "o-", "black"),
        ("added by attention", attention_added, "s--", PIXELS),
        ("added by the mlp", mlp_added, "^:", OTHER),
    ):
        length = np.linalg.norm(arrays[:, :, rows], axis=-1).mean(axis=(1, 2))  # (blocks,)
        axes.plot(steps, length, style, color=color, label=name)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("block")
panels[0].set_ylabel("length of the vector")
panels[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## What the patches become
#
# A token has too many features to look at. Principal components find the three directions in which the patches of
# all four photos differ most, and these become red, green and blue. Each block has its own three directions, so
# colors can be compared within a column, between photos, but not from column to column.

# %%
states = np.concatenate([embeddings[None], outputs])[:, :, prefix:]  # (blocks + 1, batch, patches, dim)
pictures, explained = [], []
for state in states:
    rows = state.reshape(-1, state.shape[-1])  # (batch * patches, dim)
    centered = rows - rows.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centered, full_matrices=False)
    scores = left[:, :3]  # (batch * patches, 3)
    scores = scores * np.sign(scores[np.abs(scores).argmax(axis=0), range(3)])  # a direction has no sign: choose one
    low, high = np.percentile(scores, [2, 98], axis=0)
    pictures.append(np.clip((scores - low) / (high - low), 0, 1).reshape(len(photos), *config.grid, 3))
    explained.append((strengths[:3] ** 2).sum() / (strengths**2).sum())
print("share of the variance in three directions:", np.round(explained, 2))

# %% [markdown]
# **Before you run it:** from left to right come the photo, its patches before the first block, and after each block.
# Will you still recognize the photo at the right end?

# %% alt="Four photos in rows; beside each, its patches colored by their three main components, block by block."
seen = plots.to_photos(pixel_values, weights.image_processing)
figure, grid_of_axes = plt.subplots(len(seen), 1 + len(states), figsize=(9, 4.9), dpi=100, layout="constrained")
for i, row in enumerate(grid_of_axes):
    row[0].imshow(seen[i])
    for state, axes in zip(pictures, row[1:], strict=True):
        axes.imshow(state[i], interpolation="nearest")
    for axes in row:
        axes.set_axis_off()
for count, axes in enumerate(grid_of_axes[0, 1:]):
    axes.set_title(f"block {count}" if count else "embedded", fontsize=9)
grid_of_axes[0, 0].set_title("photo", fontsize=9)
plt.show()

# %% [markdown]
# ## The torch twin
#
# The same blocks in torch. Rounding differs in each product, and what is added stays in the stream. Look at how
# small the difference is after each block, relative to the largest value.

# %%
comparison = deit_ref.compare(weights, pixel_values=as_numpy(pixel_values))
for step in comparison.rows:
    if step.name.endswith((".output", "norm")):
        print(f"{step.name:<16} {step.shape}  {step.difference:.1e}")
print("the worst of all", len(comparison.rows), "steps:", comparison.worst.name, f"{comparison.worst.difference:.1e}")
assert comparison.agrees

# %% [markdown]
# ## Try
#
# 1. Leave the blocks out one at a time: `from dataclasses import replace`, then `weights.blocks[:i]` and
#    `weights.blocks[i + 1:]` joined, as `blocks=` of `replace(weights, ...)`, with a `config` of one block fewer. Which
#    block is missed most? Is it the one that adds most?
# 2. Run the blocks in the reverse order. And each block twice?
# 3. In "Stochastic depth by hand", what is the least that an image can pass, and how likely is it?
#
# <details><summary>Answers</summary>
#
# 1. The first, for nearly every photo. All others were trained to read what it writes, and without it they read
#    something that they have never met. How much a block adds does not say how much it is missed: compare your list
#    with the lengths in the picture above.
# 2. In the reverse order the answers are worthless: the shapes fit, but each block reads a stream that it has never
#    seen. Each block twice is kinder, because a second pass adds nearly the same once more to a stream that is still of
#    the right kind; the cat survives.
# 3. Two branches: those of the first block, which is never left out. All ten others must be dropped: $(0.1 \cdot 0.2
#    \cdot 0.3 \cdot 0.4 \cdot 0.5)^2 = 1.44 \cdot 10^{-6}$.
#
# </details>
