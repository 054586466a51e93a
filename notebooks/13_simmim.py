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
# # 13. Masked image modeling
#
# Hide some patches, let the encoder see the rest, and draw the pixels of every patch from its token: patch tokens
# `(batch, patches, dim)` in, an image `(batch, channels, height, width)` out.
#
# Chapter: [page](../docs/chapters/simmim.md) · NumPy: [source](../deit_ref/numpy_backend/simmim.py) · torch:
# [mirror](../deit_ref/torch_backend/simmim.py)

# %%
import inspect
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.numpy_backend import losses, patches, simmim, tokens
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo
from deit_ref.plots import hide_patches, to_photos
from deit_ref.torch_backend import simmim as torch_simmim
from deit_ref.training.masking import random_masks

# %% [markdown]
# The photos below run on one backend. Write `"torch"` here, run all cells again, and the pictures stay the same.

# %%
backend = "numpy"

# %% [markdown]
# ## The formula
#
# Three small steps make a task that needs no labels.
#
# 1. **Hide.** A hidden patch's token is replaced by the mask token $t$, one learned vector for all of them. With
#    $m = 1$ where a patch is hidden and 0 elsewhere:
#
#    $$z_p' = z_p \, (1 - m_p) + t \, m_p$$
#
#    This happens before the positions are added, so a hidden patch still says *where* it is, only not *what* it is.
# 2. **Draw.** After the encoder one linear map, the decoder, gives each token $\text{channels} \cdot s^2$ numbers, and
#    `pixel_shuffle` lays them out as a tile of $s \times s$ pixels:
#
#    $$\text{out}[c, \; y s + i, \; x s + j] = \text{in}[y, \; x, \; c s^2 + i s + j]$$
# 3. **Compare.** The loss is the mean absolute error on hidden pixels. $M$ is $m$, enlarged from patches to pixels:
#
#    $$\frac{\sum M \, |x - \hat x|}{(\sum M + 10^{-5}) \cdot \text{channels}}$$
#
#    Visible pixels do not count: to copy what one sees is no task.

# %% [markdown]
# ## The source

# %%
print(inspect.getsource(tokens.mask_tokens))

# %%
print(inspect.getsource(simmim.pixel_shuffle))

# %%
print(inspect.getsource(simmim.reconstruct))

# %% [markdown]
# ## By hand
#
# **Hide.** Three tokens of dim 2; the middle one is hidden, and the mask token is `[9, 9]`.

# %%
x = np.array([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])  # (batch 1, patches 3, dim 2)
mask_token = np.array([[[9.0, 9.0]]])  # (1, 1, dim)
hidden = np.array([[False, True, False]])  # (batch, patches)
masked = tokens.mask_tokens(mask_token, x, hidden)
print(masked[0])
assert masked.tolist() == [[[1, 10], [9, 9], [3, 30]]]

half = tokens.mask_tokens(mask_token, x, np.array([[0.0, 0.5, 0.0]]))  # a fractional mask blends
assert half[0, 1].tolist() == [5.5, 14.5]  # the means of 2 and 9, and of 20 and 9

# %% [markdown]
# **Draw.** A grid of 2 x 2 tokens, each with 4 features: one channel, tiles of 2 x 2 pixels. The features of token 0
# are 0, 1, 2, 3, those of token 1 are 10, 11, 12, 13, and so on: the tens say which token, the ones say which feature.
# Write down the 4 x 4 image before you run the cell.

# %%
features = np.array([[[[0, 1, 2, 3], [10, 11, 12, 13]], [[20, 21, 22, 23], [30, 31, 32, 33]]]])
image = simmim.pixel_shuffle(features, stride_shape=(2, 2))
print(f"features {features.shape}: (batch, rows, columns, features)")
print(f"image    {image.shape}: (batch, channels, height, width)")
assert image[0, 0].tolist() == [
    [0, 1, 10, 11],
    [2, 3, 12, 13],
    [20, 21, 30, 31],
    [22, 23, 32, 33],
]

# %% alt="A 4 x 4 grid of numbers in four colored tiles: each token's four features fill one tile of 2 x 2 pixels"
figure, axes = plt.subplots(figsize=(2.6, 2.6))
axes.imshow(image[0, 0] // 10, cmap="Pastel1", vmin=0, vmax=8)  # one color per token
for row in range(4):
    for column in range(4):
        axes.text(column, row, image[0, 0, row, column], ha="center", va="center")
axes.set_xticks([]), axes.set_yticks([])
axes.set_title("one tile per token", fontsize=10)
plt.show()

# %% [markdown]
# With three channels a token has three times as many features: first all of the tile's red, then green, then blue.
# That is the order in which `patchify` of chapter 1 writes a patch, so the two are inverse to each other.

# %%
pixels = np.arange(3 * 4 * 6.0).reshape(1, 3, 4, 6)  # (batch, channels, height, width)
rows_of_patches = patches.patchify(pixels, patch_shape=(2, 2))  # (batch, 6 patches, 12 values)
again = simmim.pixel_shuffle(rows_of_patches.reshape(1, 2, 3, 12), stride_shape=(2, 2))
print(pixels.shape, "->", rows_of_patches.shape, "->", again.shape)
assert np.array_equal(again, pixels)

# %% [markdown]
# **Compare.** An image of 2 x 4 pixels, two patches of 2 x 2; the right one is hidden, and the guess is 0 everywhere.
# The left patch is off by 9 in every pixel, and it does not matter. On the right the errors are 1, 2, 3 and 4, so the
# mean is 10 / 4 = 2.5. The $10^{-5}$ only keeps the division possible when nothing is hidden.

# %%
pixels = np.array([[[[9.0, 9.0, 1.0, 2.0], [9.0, 9.0, 3.0, 4.0]]]])  # (1, 1, 2, 4)
guess = np.zeros_like(pixels)
loss = losses.masked_l1(guess, pixels, np.array([[False, True]]), patch_shape=(2, 2))
print(f"{loss:.6f}")
assert abs(loss - 10 / (4 + 1e-5)) < 1e-12
assert losses.masked_l1(guess, pixels, np.array([[False, False]]), patch_shape=(2, 2)) == 0

# %% [markdown]
# ## On a photo
#
# The bundled `cifar10-simmim` was trained with this task: 32 x 32 pixels, patches of 4 x 4. We hide at least 60 % of
# the patches of four photos, in squares of 2 x 2 patches, each photo with squares of its own.

# %%
weights = deit_ref.load_weights("cifar10-simmim")
config = weights.config
photos = [bundled_photo(name) for name in BUNDLED_PHOTOS]
pixel_values = deit_ref.preprocess(photos, weights.image_processing, backend=backend)
generator = np.random.default_rng(2)
bool_masked_pos = random_masks(len(photos), config.grid, ratio=0.6, block=2, generator=generator)
output = deit_ref.forward(weights, pixel_values=pixel_values, bool_masked_pos=bool_masked_pos, backend=backend)
print("pixel_values   ", tuple(pixel_values.shape), "(batch, channels, height, width)")
print("bool_masked_pos", bool_masked_pos.shape, "(batch, patches);", bool_masked_pos.sum(axis=1), "hidden")
print("reconstruction ", tuple(output.reconstruction.shape), "(batch, channels, height, width)")
print(f"loss            {float(output.loss):.4f}")

# %% [markdown]
# Look first at the second column: how much of the motif could you guess yourself? Then at the third, all that the
# model drew. The last column puts its guess only where it could not see. The loss never asked for the visible patches,
# so what the third column shows there is nobody's aim.

# %% alt="Four photos in rows: whole, with 60 % of the patches gray, as the model draws them, and joined"
originals = to_photos(pixel_values, weights.image_processing)  # (batch, height, width, 3)
guesses = to_photos(output.reconstruction, weights.image_processing)
figure, panels = plt.subplots(len(photos), 4, figsize=(6, 6.2), layout="constrained")
for row, original, guess, mask in zip(panels, originals, guesses, bool_masked_pos, strict=True):
    hidden = hide_patches(original, mask, patch_shape=config.patch_shape)
    holes = hide_patches(np.zeros_like(original), mask, patch_shape=config.patch_shape) > 0
    for axes, picture in zip(row, (original, hidden, guess, np.where(holes, guess, original)), strict=True):
        axes.imshow(picture)
        axes.set_axis_off()
for axes, title in zip(panels[0], ("original", "hidden", "guess", "joined"), strict=True):
    axes.set_title(title, fontsize=10)
plt.show()

# %% [markdown]
# Is the guess any good? The cheapest guess paints every hidden pixel in the mean color of the visible ones. A model
# that has learned something must be below it. The loss is in units of normalized pixels: 1 is one standard deviation
# of a channel.

# %%
values = as_numpy(pixel_values)
rows_of_patches = patches.patchify(values, patch_shape=config.patch_shape)  # (batch, patches, patch_values)
for i, name in enumerate(BUNDLED_PHOTOS):
    mask, one = bool_masked_pos[i : i + 1], values[i : i + 1]
    visible = rows_of_patches[i][~mask[0]].reshape((~mask).sum(), config.num_channels, -1)
    mean_color = visible.mean(axis=(0, 2))[None, :, None, None]  # (1, channels, 1, 1)
    by_color = losses.masked_l1(mean_color, one, mask, patch_shape=config.patch_shape)
    drawn = as_numpy(output.reconstruction)[i : i + 1]
    by_model = losses.masked_l1(drawn, one, mask, patch_shape=config.patch_shape)
    print(f"{name:<10} model {by_model:.3f}, mean color {by_color:.3f}, model / mean color {by_model / by_color:.2f}")

# %% [markdown]
# ## The torch twin
#
# The same tokens through both `reconstruct`. torch has a pixel shuffle of its own, for square tiles only and with the
# features on another axis; it must agree exactly, since nothing is computed, only moved.

# %%
trace = deit_ref.Trace(["norm"])
deit_ref.forward(weights, pixel_values=values, bool_masked_pos=bool_masked_pos, trace=trace)
x = trace["norm"]  # (batch, tokens, dim), cls and dist in front
ours = simmim.reconstruct(weights, x, grid=config.grid)
twin = torch_simmim.reconstruct(weights.to("torch"), torch.from_numpy(x), grid=config.grid)
print(f"tokens {x.shape} -> image {ours.shape}")
print(f"largest difference {np.abs(ours - as_numpy(twin)).max():.1e}, largest value {np.abs(ours).max():.2f}")

shuffled = torch.nn.functional.pixel_shuffle(torch.from_numpy(features).permute(0, 3, 1, 2), 2)
assert np.array_equal(as_numpy(shuffled), image)

# %% [markdown]
# ## Try
#
# 1. Change `ratio` to 0.25 and to 0.9. Which of the two errors, the model's or that of the mean color, moves more?
#    Then set `block=1` at 0.6: is the task easier, and why?
# 2. Hide the right half: `bool_masked_pos = np.tile(np.arange(8) >= 4, (4, 8))`. Is the guess equally good
#    everywhere in the hidden half?
# 3. Take the positions away, as in the cell below, and run the pictures with `without_positions`. What must all hidden
#    patches of one photo look like now, and why?
#
# <details><summary>A hint for 3</summary>
#
# Attention treats tokens as a set. Two hidden patches without a position are the same vector, so they see the same and
# become the same. The positions are added after the mask for this reason.
#
# </details>

# %%
without_positions = replace(weights, pos_embed=np.zeros_like(weights.pos_embed))
drawn = deit_ref.forward(
    without_positions, pixel_values=pixel_values, bool_masked_pos=bool_masked_pos, backend=backend
).reconstruction
tiles = patches.patchify(as_numpy(drawn), patch_shape=config.patch_shape)[0][bool_masked_pos[0]]
print(f"{len(tiles)} hidden tiles of the first photo; they differ by at most {np.ptp(tiles, axis=0).max():.1e}")
