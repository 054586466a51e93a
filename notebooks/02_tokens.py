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
# # 2. The tokens that are not patches
#
# Two photos are about to enter the encoder, and the answer to "what is this?" will be read from two rows that hold
# nothing of either. How can that work?
#
# `(batch, patches, dim)` -> `(batch, 2 + patches, dim)` -> `(batch, dim)`, `(batch, dim)`, `(batch, patches, dim)`: the
# class and the distillation token are put before the patches and taken off again. A third token, the mask token, takes
# the place of hidden patches.
#
# Chapter: [page](../docs/chapters/tokens.md) · NumPy: [source](../deit_ref/numpy_backend/tokens.py) · torch:
# [mirror](../deit_ref/torch_backend/tokens.py)

# %% alt="Two photos: a cat, and a cup of coffee."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy, to_torch
from deit_ref.exercises import CLS, DIST, PIXELS, folded, judge
from deit_ref.numpy_backend import tokens
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import tokens as torch_tokens

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photos = [load_image(bundled_photo(name)) for name in ("chelsea", "coffee")]
figure, panels = plt.subplots(1, 2, figsize=(6, 2.1), dpi=100, layout="constrained")
for axes, photo in zip(panels, photos, strict=True):
    axes.imshow(photo)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# The encoder returns one row per token, and the answer to "what is this?" needs one row for the whole image. No patch
# is a good place for it. So the model gets tokens of its own, which begin as learned vectors, the same for all
# images, and can collect from the patches what they need:
#
# $$z = [\, z_\text{cls}, \; z_\text{dist}, \; z_1, \dots, z_N \,] + E_\text{pos}$$
#
# The class token answers to the label. The distillation token answers to the decision of another network, the
# teacher. Its row is the second, before the patches.
#
# In masked image modeling ([chapter 13](13_simmim.ipynb)) some patches are hidden: where $M_n = 1$, the learned mask
# token stands in the patch's row.
#
# $$z_n' = z_n (1 - M_n) + z_\text{mask} \, M_n$$
#
# This comes before the positions are added. The model must know which place it has to guess.

# %%
folded(tokens.mask_tokens, tokens.prepend_tokens, tokens.split_tokens, tokens.embed)

# %% [markdown]
# ## By hand
#
# Three patches of dim 2, `[1, 2]`, `[3, 4]` and `[5, 6]`, and the mask token `[9, -2]`. The second is hidden, and the
# third is hidden by a quarter: the mask may hold numbers between 0 and 1, which blend.
#
# **Before you run it:** work out the third row.

# %%
x = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])  # (1, 3 patches, dim 2)
mask_token = np.array([[[9.0, -2.0]]])  # (1, 1, dim)
masked = tokens.mask_tokens(mask_token, x, np.array([[0.0, 1.0, 0.25]]))
print(masked.shape)
print(masked[0])

assert masked[0].tolist() == [[1, 2], [9, -2], [0.75 * 5 + 0.25 * 9, 0.75 * 6 - 0.25 * 2]]


# %% [markdown]
# ## Your turn: hide patches
#
# The same for a mask of zeros and ones, or of anything between. Mind the shapes: a mask has one number per patch, a
# token has `dim`.


# %%
def my_mask(mask_token, z, mask):
    """Tokens (batch, patches, dim), the mask token (1, 1, dim) in place of those where mask (batch, patches) is 1."""
    ...  # your turn


draw = np.random.default_rng(0)
given = draw.standard_normal((1, 1, 4)), draw.standard_normal((2, 5, 4)), draw.random((2, 5))
judge(my_mask(*given), tokens.mask_tokens(*given), "`mask[:, :, None]` has an axis for the features.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_mask(mask_token, z, mask):
#     share = mask[:, :, None]
#     return z * (1 - share) + mask_token * share
# ```
#
# </details>

# %% [markdown]
# Two images now, with the class token (10, 10) and the distillation token (20, 20). Each image gets the same two rows
# in front: class, distillation, patches, in this order. Every checkpoint counts on it, as the first rows of the
# position table belong to these two.

# %%
two_images = np.concatenate([x, -x])  # (2, 3, 2)
cls_token, dist_token = np.full((1, 1, 2), 10.0), np.full((1, 1, 2), 20.0)
all_tokens = tokens.prepend_tokens(cls_token, dist_token, two_images)
print(two_images.shape, "->", all_tokens.shape)
print(all_tokens)

assert all_tokens[:, 0].tolist() == [[10, 10], [10, 10]]
assert all_tokens[:, 1].tolist() == [[20, 20], [20, 20]]
assert np.array_equal(all_tokens[:, 2:], two_images)

# %% [markdown]
# `split_tokens` is the way back. A plain ViT has no distillation token: then there is one row less, and the second
# result is `None`.

# %%
cls, dist, patches = tokens.split_tokens(all_tokens, distilled=True)
print("cls", cls.shape, " dist", dist.shape, " patches", patches.shape)
assert np.array_equal(patches, two_images)

plain = tokens.prepend_tokens(cls_token, None, two_images)
cls, dist, patches = tokens.split_tokens(plain, distilled=False)
print("plain:", plain.shape, " cls", cls.shape, " dist", dist, " patches", patches.shape)
assert dist is None
assert np.array_equal(patches, two_images)

# %% [markdown]
# ## On a photo
#
# Two photos go through `embed`, which does all that comes before the encoder. The trace keeps every step.

# %%
weights = deit_ref.load_weights().to(backend)
chapter = import_module(f"deit_ref.{backend}_backend.tokens")
pixel_values = deit_ref.preprocess(photos, weights.image_processing, backend=backend)

trace = deit_ref.Trace()
embeddings = chapter.embed(weights, pixel_values, trace=trace)
print(f"{'pixel_values':<13}", tuple(pixel_values.shape))
for name, array in trace.items():
    print(f"{name:<13}", tuple(array.shape))

# %% [markdown]
# **Before you run it:** both photos have gone through the same function. In which rows do the two results differ: in
# all, in the patches' rows only, or in all but one?

# %%
rows = as_numpy(embeddings)  # (2, tokens, dim)
difference = np.abs(rows[0] - rows[1]).max(axis=1)  # (tokens,)
print("class token:       ", difference[0])
print("distillation token:", difference[1])
print("patches, smallest: ", difference[2:].min())
assert np.array_equal(rows[0, :2], rows[1, :2])

# %% [markdown]
# The matrix that enters the encoder, one row per token. The first two rows hold no pixel of the photo yet.

# %% alt="The matrix of tokens by features as colored cells; the first two rows belong to class and distillation token."
values = rows[0]  # (tokens, dim)
bound = np.percentile(np.abs(values), 99)
figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4), dpi=100, layout="constrained", height_ratios=[1, 6])
for axes, part in ((top, values[:2]), (bottom, values[2:])):
    image = axes.imshow(part, cmap="PuOr_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
top.set_yticks([0, 1], ["class", "distillation"])
top.set_xticks([])
bottom.set_ylabel("patch")
bottom.set_xlabel("feature (dim)")
figure.colorbar(image, ax=[top, bottom], label="value")
top.set_title(f"embeddings of one photo, {values.shape[0]} × {values.shape[1]}", fontsize=10)
plt.show()

# %% [markdown]
# In the encoder the two rows begin to depend on the photo, because attention lets them read the patches.
#
# **Before you run it:** after how many blocks do the class tokens of the two photos differ? And will they end nearer to
# each other than the patches do, or farther apart?

# %%
output = deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, output_hidden_states=True)
states = np.stack([as_numpy(state) for state in output.hidden_states])  # (blocks + 1, 2, tokens, dim)
distance = np.linalg.norm(states[:, 0] - states[:, 1], axis=-1)  # (blocks + 1, tokens)
print("states", states.shape, " distance", distance.shape)
assert (distance[0, :2] == 0).all()
assert (distance[1, :2] > 0).all()

# %% alt="The distance between two photos' rows over the blocks, for class token, distillation token and patches."
figure, axes = plt.subplots(figsize=(6, 3), dpi=100, layout="constrained")
axes.plot(distance[:, 2:].mean(axis=1), "o-", color=PIXELS, label="patches, mean")
axes.plot(distance[:, 0], "s-", color=CLS, label="class token")
axes.plot(distance[:, 1], "^-", color=DIST, label="distillation token")
axes.set_xlabel("blocks passed")
axes.set_ylabel("distance between the photos")
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# Why two tokens, if both collect from the same patches? They are trained on different answers. Touvron et al. (2021,
# section 4) report for their model that the cosine of the two learned vectors is 0.06 on average, and that of the two
# rows after the last block 0.93: close in the end, as both name the same image, but not equal.
#
# **Before you run it:** this model is small and knows ten classes. Will its two tokens begin as far apart as theirs?
# Will they end alike? The cell prints class token against distillation token, for the first photo.

# %%
cls, dist, _ = chapter.split_tokens(trace["tokens"], distilled=True)
columns = [("learned tokens", as_numpy(cls)[0], as_numpy(dist)[0])]
columns += [(f"after {i} blocks", states[i, 0, 0], states[i, 0, 1]) for i in range(len(states))]
for name, a, b in columns:
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    print(f"{name:<16} cosine {cosine:6.3f}")


# %% [markdown]
# ## Your turn: how alike are two vectors?
#
# The cosine is the product of two vectors, divided by their lengths: 1 for the same direction, 0 for a right angle, -1
# for opposite directions.


# %%
def my_cosine(a, b):
    """The cosine of the angle between two vectors (dim,)."""
    ...  # your turn


a, b = np.array([3.0, 4.0]), np.array([4.0, 3.0])
judge(my_cosine(a, b), 24 / 25, "Both of these have the length 5.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_cosine(a, b):
#     return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
# ```
#
# </details>

# %% [markdown]
# ## Hidden patches
#
# Masked image modeling ([chapter 13](13_simmim.ipynb)) needs a model with a mask token. Half of the patches are hidden,
# drawn at random.

# %%
simmim_weights = deit_ref.load_weights("cifar10-simmim").to(backend)
config = simmim_weights.config
pixels = deit_ref.preprocess(photos[:1], simmim_weights.image_processing, backend=backend)
mask = np.random.default_rng(0).permutation(config.num_patches) < config.num_patches // 2  # (patches,)

trace = deit_ref.Trace()
deit_ref.forward(simmim_weights, pixel_values=pixels, backend=backend, bool_masked_pos=mask[None], trace=trace)
before, after = as_numpy(trace["patch_embed"])[0], as_numpy(trace["masked"])[0]  # (patches, dim) each
print(mask.sum(), "of", len(mask), "patches hidden; rows", after.shape)
assert np.array_equal(before[~mask], after[~mask])  # what is not hidden stays
assert np.array_equal(after[mask], np.repeat(as_numpy(simmim_weights.mask_token)[0], mask.sum(), axis=0))

# %% [markdown]
# **Before you run it:** on the left is the photo with its hidden patches, on the right are the rows of the patches,
# before and after. What will the rows of hidden patches look like?

# %% alt="A photo with half its patches gray, and beside it the patch rows before and after: hidden rows are all alike."
seen = plots.to_photos(pixels, simmim_weights.image_processing)[0]
figure, panels = plt.subplots(1, 3, figsize=(8.5, 3.2), dpi=100, layout="constrained", width_ratios=[1, 1.1, 1.1])
panels[0].imshow(plots.hide_patches(seen, mask, patch_shape=config.patch_shape))
panels[0].set_axis_off()
bound = np.percentile(np.abs(before), 99)
for axes, matrix, title in ((panels[1], before, "patch_embed"), (panels[2], after, "masked")):
    axes.imshow(matrix, cmap="PuOr_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    axes.set_title(f"{title}, {matrix.shape[0]} × {matrix.shape[1]}", fontsize=10)
    axes.set_xlabel("feature (dim)")
panels[1].set_ylabel("patch")
plt.show()

# %% [markdown]
# They are all the same: nothing of their pixels reaches the encoder. The positions are added afterwards, so that in the
# embeddings the rows of two hidden patches differ by exactly the difference of their places.

# %%
pos_embed = as_numpy(simmim_weights.pos_embed)[0, config.num_prefix_tokens :]  # (patches, dim)
patch_rows = as_numpy(trace["embeddings"])[0, config.num_prefix_tokens :]
first, second = np.flatnonzero(mask)[:2]
print("hidden patches", first, "and", second)
assert not np.array_equal(patch_rows[first], patch_rows[second])
assert np.allclose(patch_rows[first] - patch_rows[second], pos_embed[first] - pos_embed[second], atol=1e-5)

# %% [markdown]
# ## The torch twin
#
# The same functions on tensors. Only patch embedding computes anything here; the rest moves rows and adds.

# %%
numpy_pixels = as_numpy(pixel_values)
ours = tokens.embed(weights.to("numpy"), numpy_pixels)
theirs = as_numpy(torch_tokens.embed(weights.to("torch"), to_torch(numpy_pixels)))
difference = np.abs(ours - theirs).max()
print(f"{ours.shape}, largest difference {difference:.1e}")
assert difference <= 1e-5 * np.abs(ours).max()

# %% [markdown]
# ## Try
#
# 1. Exchange the two tokens: `from dataclasses import replace`, then
#    `replace(weights, cls_token=weights.dist_token, dist_token=weights.cls_token)`. Do the two heads' answers change
#    places? Would they if the first two rows of `pos_embed` were exchanged as well?
# 2. Hide nothing, and everything: `mask[:] = False`, then `True`. In which of the two is the reconstruction the same
#    for every photo?
# 3. Give `mask_tokens` a mask of 0.5 everywhere. What does each row become?
#
# <details><summary>Answers</summary>
#
# 1. Not by the tokens alone. A head reads a row by its number, and what enters the encoder in row 0 is the class token
#    *plus the first row of the position table*; part of what makes the two differ may stand there. With both exchanged,
#    the encoder, which treats all rows alike, returns the same rows exchanged. But the heads stay where they are: the
#    class head now reads what was the distillation token. Exchange `head` and `head_dist` too, and the answers come
#    back with their names exchanged.
# 2. When everything is hidden. Then all patches are mask tokens with positions, nothing of the photo is left, and every
#    photo gives the same guess.
# 3. Halfway between the token and the mask token: $(z_n + z_\text{mask}) / 2$.
#
# </details>
