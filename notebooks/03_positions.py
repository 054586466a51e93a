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
# # 3. Where a patch came from
#
# The same sixty-four patches twice, once shuffled. Attention cannot tell the two apart. How does the model know which
# is the cat?
#
# Each token gets the vector of its place, `(batch, tokens, dim)` -> `(batch, tokens, dim)`, and when the image has
# a different size, the position embeddings are made to fit its grid, `(1, tokens, dim)` -> `(1, new_tokens, dim)`.
#
# Chapter: [page](../docs/chapters/positions.md) · NumPy: [source](../deit_ref/numpy_backend/positions.py) · torch:
# [mirror](../deit_ref/torch_backend/positions.py)

# %% alt="A photo of a cat, and the same photo with its 8 by 8 patches in random order."
from dataclasses import replace
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import LEARNED, OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import patches, positions
from deit_ref.numpy_backend.resize import resample_coefficients
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import positions as torch_positions

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))
square = photo[:, 75:375]
cut = patches.patchify(square[:296, :296].transpose(2, 0, 1)[None] / 255, patch_shape=(37, 37))
shuffled = cut[:, np.random.default_rng(0).permutation(64)]
figure, panels = plt.subplots(1, 2, figsize=(5.4, 2.7), dpi=100, layout="constrained")
for axes, rows in zip(panels, (cut, shuffled), strict=True):
    axes.imshow(patches.unpatchify(rows, patch_shape=(37, 37), grid=(8, 8))[0].transpose(1, 2, 0))
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# Attention treats its tokens as a set: it cannot tell the patch at the top left from the one at the bottom right.
# So every place in the grid has a vector of its own, a learned row of the table $E_\text{pos}$, and it is added to the
# token:
#
# $$z = [\, z_\text{cls}, \; z_\text{dist}, \; x_1 E^\top + b, \; \dots, \; x_N E^\top + b \,] + E_\text{pos}$$
#
# The table is learned for one grid. An image of a different size has places in between, and their vectors are a mix of
# the learned ones around them. With $G$ the grid of values of one feature,
#
# $$G' = W_\text{rows} \, G \, W_\text{columns}^\top$$
#
# Each row of $W$ holds four weights, $\kappa(x)$ for the four rows at the distances $x$ from the new place, with
# $a = -0.75$:
#
# $$\kappa(x) = (a+2) x^3 - (a+3) x^2 + 1 \;\; (x \le 1), \qquad
#   \kappa(x) = a (x^3 - 5 x^2 + 8 x - 4) \;\; (1 < x < 2)$$

# %%
folded(positions.add_pos_embed, positions.interpolate_pos_embed, positions._bicubic_weights)

# %% [markdown]
# ## By hand
#
# A way to see the weights themselves: give each of eight places a feature of its own, which is 1 there and 0
# elsewhere. That table is the identity matrix. What comes back for a new place says how much of each old place is
# in it, so it is $W$.
#
# **Before you run it:** from eight places to four. Which old places should the second new place be made of, and can a
# weight be negative?

# %%
eight_places = np.eye(8)[None]  # (1, 8 places, 8 features), no prefix tokens
options = {"num_prefix_tokens": 0, "source_grid": (1, 8)}
W = positions.interpolate_pos_embed(eight_places, target_grid=(1, 4), **options)[0]
print("W", W.shape)
print(W.round(5))

# %% [markdown]
# From eight places to four, the step is $s = 2$, and new place $i$ lies at $2 (i + \frac12) - \frac12$: at 0.5, 2.5,
# 4.5 and 6.5. The four old places around 2.5 are 1, 2, 3 and 4, at the distances 1.5, 0.5, 0.5 and 1.5. With pencil
# and paper:
#
# - $\kappa(0.5) = 1.25 \cdot 0.125 - 2.25 \cdot 0.25 + 1 = 0.59375$
# - $\kappa(1.5) = -0.75 \, (3.375 - 11.25 + 12 - 4) = -0.75 \cdot 0.125 = -0.09375$
#
# Place 0.5 would need an old place -1. There is none, so place 0 stands in, and its two weights add up to 0.5.

# %%
assert W[1].tolist() == [0, -0.09375, 0.59375, 0.59375, -0.09375, 0, 0, 0]
assert W[0].tolist() == [0.5, 0.59375, -0.09375, 0, 0, 0, 0, 0]
assert np.allclose(W.sum(axis=1), 1)  # a table that is the same everywhere stays the same


# %% [markdown]
# ## Your turn: the kernel
#
# Write $\kappa$ for distances of 0 and more, an array of any shape; beyond 2 it is 0.


# %%
def my_kernel(x, a=-0.75):
    """The weight of an old place at the distance x."""
    ...  # your turn


distances = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3])
truth = [1, 0.87890625, 0.59375, 0.26171875, 0, -0.10546875, -0.09375, -0.03515625, 0, 0]
judge(my_kernel(distances), truth, "It has three parts: up to 1, up to 2, and beyond.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_kernel(x, a=-0.75):
#     near = (a + 2) * x**3 - (a + 3) * x**2 + 1
#     far = a * (x**3 - 5 * x**2 + 8 * x - 4)
#     return np.where(x <= 1, near, np.where(x < 2, far, 0))
# ```
#
# </details>

# %% [markdown]
# In 1 × 2 places with the values 0 and 1, what lies at a quarter of the way? The distances to the places -1, 0, 1, 2
# are 1.25, 0.25, 0.75 and 1.75. Place -1 counts as 0 and place 2 as 1, so the value is $\kappa(0.75) + \kappa(1.75) =
# 0.26171875 - 0.03515625 = 0.2265625$. The first new place lies outside, at -0.25, and the cubic overshoots there: its
# value is below 0. The class token, 9 here, has no place and stays as it is.

# %%
table = np.array([[[9.0], [0.0], [1.0]]])  # (1, 3 tokens, dim 1): cls, then two places
wider = positions.interpolate_pos_embed(table, num_prefix_tokens=1, source_grid=(1, 2), target_grid=(1, 4))
print(wider.shape, wider.ravel().tolist())
assert wider.ravel().tolist() == [9, 1 - 1.10546875, 0.2265625, 0.7734375, 1.10546875]

# %% [markdown]
# The same trick with many new places draws the curve $\kappa(x)$ itself: the feature of one old place, seen from
# everywhere. The four dots are the weights of the place a quarter of the way from one old place to the next.

# %% alt="The cubic kernel: 1 at distance 0, 0 at 1 and 2, slightly negative between 1 and 2, with four dots on it."
fine = positions.interpolate_pos_embed(eight_places, target_grid=(1, 8 * 40), **options)[0]  # (320, 8)
places = (np.arange(8 * 40) + 0.5) / 40 - 0.5
plt.figure(figsize=(6, 2.6), dpi=100, layout="constrained")
plt.axhline(0, color=OTHER, linewidth=0.8)
plt.plot(places - 4, fine[:, 4], color=LEARNED)
taps = np.array([-1.25, -0.25, 0.75, 1.75])
plt.plot(taps, [-0.10546875, 0.87890625, 0.26171875, -0.03515625], "o", color=PIXELS)
plt.xlim(-3, 3)
plt.xlabel("distance, in old places")
plt.ylabel("weight")
plt.show()

# %% [markdown]
# Two more things to hold on to. At the size it was learned for, every new place is an old one, with the weights
# 0, 1, 0, 0, and the table comes back exactly. And $a$ has a price: $a = -0.5$, which Pillow uses, keeps a straight
# ramp straight; $a = -0.75$, with which DeiT's tables are interpolated, bends it a little.

# %%
same = positions.interpolate_pos_embed(eight_places, target_grid=(1, 8), **options)
assert np.array_equal(same, eight_places)

ramp = np.arange(8.0)[None, :, None]  # (1, 8 places, dim 1): 0, 1, ..., 7
between = positions.interpolate_pos_embed(ramp, target_grid=(1, 16), **options).ravel()
print("at 3.25 the ramp has the value", between[7])
assert between[7] == 3.296875  # 2, 3, 4 and 5, weighted by the kernel at 1.25, 0.25, 0.75 and 1.75

first, four_weights = resample_coefficients(8, 16, resample="bicubic")  # Pillow's
pillow = four_weights[7] @ np.arange(first[7], first[7] + 4)
print("with Pillow's weights", pillow)
assert np.isclose(pillow, 3.25)

# %% [markdown]
# ## On a photo
#
# First the learned table itself. It began as random numbers, and nobody told the model which places are neighbors.
#
# **Before you run it:** if you compare the vector of the place in the middle with all others, what pattern do you
# expect: none, a spot, or a cross?

# %%
chapter = import_module(f"deit_ref.{backend}_backend.positions")
weights = deit_ref.load_weights().to(backend)
config = weights.config
prefix, (rows, columns) = config.num_prefix_tokens, config.grid
print("pos_embed", tuple(weights.pos_embed.shape), "=", prefix, "prefix tokens and a grid of", config.grid)

patch_rows = as_numpy(weights.pos_embed)[0, prefix:]  # (patches, dim)
unit = patch_rows / np.linalg.norm(patch_rows, axis=1, keepdims=True)
similarity = (unit @ unit.T).reshape(rows, columns, rows, columns)
print("similarity", similarity.shape, ": of each place to each place")

# %% [markdown]
# One small square for each place: its similarity (the cosine of the angle) to all places of the grid. Each
# has its darkest cell at the place itself, with a similarity of 1. Look whether the cells around it, or the rest of
# its row and of its column, stand out too. If they do, the table has learned that the patches lie in two dimensions.

# %% alt="A grid of small squares, one per place: the cosine similarity of its position vector to that of every place."
largest = np.abs(similarity[similarity < 0.999]).max()
tiles = np.full((rows, columns, rows + 1, columns + 1), np.nan)
tiles[:, :, :rows, :columns] = similarity
tiles = tiles.transpose(0, 2, 1, 3).reshape(rows * (rows + 1), columns * (columns + 1))
plt.figure(figsize=(6.2, 5.4), dpi=100, layout="constrained")
plt.imshow(tiles, cmap="PuOr_r", vmin=-largest, vmax=largest)
plt.colorbar(label="cosine similarity", extend="max")
plt.xticks(np.arange(columns) * (columns + 1) + columns / 2, np.arange(columns))
plt.yticks(np.arange(rows) * (rows + 1) + rows / 2, np.arange(rows))
plt.xlabel("column of the place")
plt.ylabel("row of the place")
plt.show()

# %% [markdown]
# The same in numbers: the mean similarity of places by how far apart they are. For random numbers it would be about 0
# at every distance but the first.

# %%
row, column = np.divmod(np.arange(rows * columns), columns)
distance = np.hypot(row[:, None] - row, column[:, None] - column)
pairs = similarity.reshape(rows * columns, -1)
for low in range(max(rows, columns)):
    near = (distance >= low) & (distance < low + 1)
    print(f"{low} to {low + 1} places apart: {pairs[near].mean():6.3f}  ({near.sum()} pairs)")

# %% [markdown]
# ## Your turn: which place is it?
#
# A token of the sequence has the number 40. The first two tokens are not patches, and the grid is 8 × 8. In which row
# and which column of the grid does its patch lie? All are counted from 0.

# %%
my_place = ...  # your turn: row and column, as [row, column]
judge(my_place, np.argwhere(np.arange(2, 66).reshape(8, 8) == 40)[0], "First take off the two that are not patches.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_place = np.array(divmod(40 - 2, 8))
# ```
#
# Patch 38 is in row 4, since $38 = 4 \cdot 8 + 6$, and in column 6.
#
# </details>

# %% [markdown]
# Now a different grid. One feature of the table, the one that varies most, as a picture: as it was learned, for a
# larger image, and for one that is wider than high. The pattern stays; there are only more places in it.

# %% alt="One feature of the position table as three grids: as learned, for 12 by 12 patches and for 8 by 12 patches."
feature = patch_rows.var(axis=0).argmax()
learned = {"num_prefix_tokens": prefix, "source_grid": config.grid}
grids = [config.grid, (12, 12), (8, 12)]
figure, panels = plt.subplots(1, 3, figsize=(7.5, 2.8), dpi=100, layout="constrained")
bound = np.abs(patch_rows[:, feature]).max()
for axes, grid in zip(panels, grids, strict=True):
    table = as_numpy(chapter.interpolate_pos_embed(weights.pos_embed, target_grid=grid, **learned))
    image = axes.imshow(table[0, prefix:, feature].reshape(grid), cmap="PuOr_r", vmin=-bound, vmax=bound)
    axes.set_title(f"{grid[0]} × {grid[1]}: {table.shape[1]} tokens", fontsize=10)
figure.colorbar(image, ax=panels, label=f"feature {feature}")
plt.show()

# %% [markdown]
# Finally the model at these sizes: the middle of the photo in two sizes, and the whole photo, which is half as wide
# again as it is high. The weights stay the same. Without `interpolate_pos_encoding`, an image of any other size is an
# error, not a silent guess.

# %%
patch_height, patch_width = config.patch_shape
print("photo", photo.shape, " square", square.shape)
prepared = []
for picture, grid in zip([square, square, photo], grids, strict=True):
    size = {"height": grid[0] * patch_height, "width": grid[1] * patch_width}
    processing = replace(weights.image_processing, size=size, do_center_crop=False)
    prepared.append(deit_ref.preprocess(picture, processing, backend=backend))

try:
    deit_ref.forward(weights, pixel_values=prepared[1], backend=backend)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# **Before you run it:** the model was trained on 8 × 8 patches only. With 12 × 12, each patch shows a smaller piece of
# the cat, in finer detail. Will it be more sure, or less?

# %% alt="The photo as the model sees it in three sizes, cut into patches, and its answer to each."
figure, panels = plt.subplots(1, 3, figsize=(8.5, 3.2), dpi=100, layout="constrained")
for axes, grid, pixel_values in zip(panels, grids, prepared, strict=True):
    output = deit_ref.forward(
        weights, pixel_values=pixel_values, backend=backend, interpolate_pos_encoding=True, output_hidden_states=True
    )
    (name, probability), tokens = output.top(1)[0][0], output.hidden_states[0].shape[1]
    axes.imshow(plots.to_photos(pixel_values, weights.image_processing)[0], interpolation="nearest")
    axes.set_xticks(np.arange(grid[1]) * patch_width - 0.5, [])
    axes.set_yticks(np.arange(grid[0]) * patch_height - 0.5, [])
    axes.tick_params(length=0)
    axes.grid(color="white", linewidth=0.6)
    axes.set_title(f"{grid[0]} × {grid[1]}: {tokens} tokens\n{name} {probability:.0%}", fontsize=10)
plt.show()

# %% [markdown]
# Above each picture stands what the model says about it. A grid that it was not trained on may change the answer: the
# patches show the same photo at a different scale.

# %% [markdown]
# ## The torch twin
#
# `F.interpolate(mode="bicubic")` does the same, with the same $a$. The places are computed in the dtype of the table,
# so the two agree to the last digits of float32.

# %%
numpy_weights, torch_weights = weights.to("numpy"), weights.to("torch")
for grid in [config.grid, (12, 12), (8, 12), (5, 31)]:
    ours = positions.interpolate_pos_embed(numpy_weights.pos_embed, target_grid=grid, **learned)
    theirs = torch_positions.interpolate_pos_embed(torch_weights.pos_embed, target_grid=grid, **learned)
    difference = np.abs(ours - as_numpy(theirs)).max()
    print(f"{grid}: {ours.shape}, largest difference {difference:.1e}")
    assert difference <= 2e-5 * np.abs(ours).max()

# %% [markdown]
# ## Try
#
# 1. What does the model say if it does not know where the patches are? Run
#    `deit_ref.forward(replace(weights, pos_embed=weights.pos_embed * 0), square, backend=backend).top(3)`.
# 2. Interpolate the table to 16 × 16 and back to its own grid. Is it the same again? And after 1 × 1?
# 3. Change `(12, 12)` in `grids` to `(24, 24)` and then to `(4, 4)`. Where does the answer change?
#
# <details><summary>Answers</summary>
#
# 1. It is less sure, and often still right: what the patches look like says much, even if the place is unknown. This is
#    a model that was trained *with* positions, so it is also given something that it has never met.
# 2. Nearly, after 16 × 16: the new places lie halfway between old ones, and on the way back the row of $W$ is the one
#    that was worked out by hand above, which brings back most, but not all. After 1 × 1 all places have the same
#    vector, the one in the middle of the table, and what was learned is lost. Nothing smooths the table before places
#    are left out.
# 3. Above the trained size the answer is patient: the same things are seen, larger. At 4 × 4 the whole photo is 16 × 16
#    pixels, each patch shows a quarter of the face, and nothing looks as it did in training. Run it to see what the
#    model makes of it.
#
# </details>
