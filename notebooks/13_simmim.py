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
# What is behind the gray squares? You can guess; can a model learn to? Hide some patches, let the encoder see the rest,
# and draw the pixels of every patch from its token: patch tokens `(batch, patches, dim)` in, an image
# `(batch, channels, height, width)` out.
#
# Chapter: [page](../docs/chapters/simmim.md) · NumPy: [source](../deit_ref/numpy_backend/simmim.py) · torch:
# [mirror](../deit_ref/torch_backend/simmim.py)

# %% alt="Four small photos of which 60 percent are hidden by gray squares."
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.exercises import folded, judge
from deit_ref.numpy_backend import losses, patches, simmim, tokens
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo
from deit_ref.plots import hide_patches, to_photos
from deit_ref.torch_backend import simmim as torch_simmim
from deit_ref.training.masking import random_masks

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

weights = deit_ref.load_weights("cifar10-simmim")
config = weights.config
photos = [bundled_photo(name) for name in BUNDLED_PHOTOS]
pixel_values = deit_ref.preprocess(photos, weights.image_processing, backend=backend)
generator = np.random.default_rng(2)
bool_masked_pos = random_masks(len(photos), config.grid, ratio=0.6, block=2, generator=generator)
originals = to_photos(pixel_values, weights.image_processing)  # (batch, height, width, 3)
figure, panels = plt.subplots(1, len(photos), figsize=(7, 1.8), dpi=100, layout="constrained")
for axes, original, mask in zip(panels, originals, bool_masked_pos, strict=True):
    axes.imshow(hide_patches(original, mask, patch_shape=config.patch_shape), interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# Three small steps make a task that needs no labels.
#
# 1. **Hide.** A hidden patch's token is replaced by the mask token, one learned vector for all of them. With
#     $M_n = 1$ where a patch is hidden and 0 elsewhere:
#
#     $$z_n' = z_n \, (1 - M_n) + z_\text{mask} \, M_n$$
#
#     This happens before the positions are added, so a hidden patch still says *where* it is, only not *what* it is.
#
# 2. **Draw.** After the encoder one linear map, the decoder, gives each token $\text{channels} \cdot P^2$ numbers, and
#     `pixel_shuffle` lays them out as a tile of $P \times P$ pixels:
#
#     $$\begin{aligned} & \text{out}[c, \; \text{row} \, P + i, \; \text{column} \, P + j] \\
#       & = \text{in}[\text{row}, \; \text{column}, \; c P^2 + i P + j] \end{aligned}$$
#
# 3. **Compare.** The loss is the mean absolute error on hidden pixels, with $M$ enlarged from patches to pixels:
#
#     $$\frac{\sum M \, |x - \hat x|}{(\sum M + 10^{-5}) \cdot \text{channels}}$$
#
#     Visible pixels do not count: copying what one sees is not a task.

# %%
folded(tokens.mask_tokens, simmim.pixel_shuffle, simmim.reconstruct)

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
# **Draw.** A grid of 2 × 2 tokens, each with 4 features: one channel, tiles of 2 × 2 pixels. The features of token 0
# are 0, 1, 2, 3, those of token 1 are 10, 11, 12, 13, and so on: the tens say which token, the ones say which feature.
#
# **Before you run it:** write down the 4 × 4 image.

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

# %% alt="A 4 × 4 grid of numbers in four colored tiles: each token's four features fill one tile of 2 × 2 pixels"
figure, axes = plt.subplots(figsize=(2.6, 2.6))
axes.imshow(image[0, 0] // 10, cmap="Pastel1", vmin=0, vmax=8)  # one color per token
for row in range(4):
    for column in range(4):
        axes.text(column, row, image[0, 0, row, column], ha="center", va="center")
axes.set_xticks([]), axes.set_yticks([])
axes.set_title("one tile per token", fontsize=10)
plt.show()


# %% [markdown]
# ## Your turn: pixel shuffle
#
# For one channel: features `(rows, columns, side * side)` become an image.


# %%
def my_shuffle(features, side):
    """The image (rows * side, columns * side)."""
    ...  # your turn


drawn = np.random.default_rng(0).standard_normal((3, 5, 4))
truth = simmim.pixel_shuffle(drawn[None], stride_shape=(2, 2))[0, 0]
judge(my_shuffle(drawn, 2), truth, "Split the features in two axes, and bring rows to rows and columns to columns.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_shuffle(features, side):
#     rows, columns, _ = features.shape
#     tiles = features.reshape(rows, columns, side, side)
#     return tiles.transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
# ```
#
# </details>

# %% [markdown]
# With three channels a token has three times as many features: first all of the tile's red, then green, then blue.
# That is the order in which `patchify` of [chapter 1](01_patches.ipynb) writes a patch, so each undoes the other.

# %%
pixels = np.arange(3 * 4 * 6.0).reshape(1, 3, 4, 6)  # (batch, channels, height, width)
rows_of_patches = patches.patchify(pixels, patch_shape=(2, 2))  # (batch, 6 patches, 12 values)
again = simmim.pixel_shuffle(rows_of_patches.reshape(1, 2, 3, 12), stride_shape=(2, 2))
print(pixels.shape, "->", rows_of_patches.shape, "->", again.shape)
assert np.array_equal(again, pixels)

# %% [markdown]
# **Compare.** An image of 2 × 4 pixels, two patches of 2 × 2; the right one is hidden, and the guess is 0 everywhere.
# The left patch is off by 9 in every pixel, and that does not matter. On the right the errors are 1, 2, 3 and 4, so the
# mean is 10 / 4 = 2.5. The $10^{-5}$ only keeps the division possible when nothing is hidden.

# %%
pixels = np.array([[[[9.0, 9.0, 1.0, 2.0], [9.0, 9.0, 3.0, 4.0]]]])  # (1, 1, 2, 4)
guess = np.zeros_like(pixels)
loss = losses.masked_l1(guess, pixels, np.array([[False, True]]), patch_shape=(2, 2))
print(f"{loss:.6f}")
assert abs(loss - 10 / (4 + 1e-5)) < 1e-12
assert losses.masked_l1(guess, pixels, np.array([[False, False]]), patch_shape=(2, 2)) == 0


# %% [markdown]
# ## Your turn: the loss
#
# For a mask that has been enlarged to pixels already, and one channel.


# %%
def my_masked_l1(guess, pixels, hidden):
    """The mean absolute error where hidden is True; all three are (height, width)."""
    ...  # your turn


draw = np.random.default_rng(0)
guess, pixels, hidden = (
    draw.random((4, 6)),
    draw.random((4, 6)),
    np.kron(draw.random((2, 3)) > 0.5, np.ones((2, 2))) > 0,
)
truth = losses.masked_l1(
    guess[None, None], pixels[None, None], hidden[None, ::2, ::2].reshape(1, -1), patch_shape=(2, 2)
)
judge(
    my_masked_l1(guess, pixels, hidden),
    truth,
    "What is visible must not count, in the sum nor in the number.",
    within=1e-5,
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_masked_l1(guess, pixels, hidden):
#     return np.abs(guess - pixels)[hidden].mean()
# ```
#
# </details>

# %% [markdown]
# ## On a photo
#
# The bundled `cifar10-simmim` was trained with this task: 32 × 32 pixels, patches of 4 × 4. In the first picture at
# least 60% of the patches of each photo are hidden, in squares of 2 × 2 patches.

# %%
output = deit_ref.forward(weights, pixel_values=pixel_values, bool_masked_pos=bool_masked_pos, backend=backend)
print("pixel_values   ", tuple(pixel_values.shape), "(batch, channels, height, width)")
print("bool_masked_pos", bool_masked_pos.shape, "(batch, patches);", bool_masked_pos.sum(axis=1), "hidden")
print("reconstruction ", tuple(output.reconstruction.shape), "(batch, channels, height, width)")
print(f"loss            {float(output.loss):.4f}")

# %% [markdown]
# **Before you run it:** look at the gray squares at the top of the page again. Which of the four can be guessed best,
# and will the model draw the eye of the cat if it is hidden?
#
# The third column is all that the model drew, the last one puts its guess only where it could not see. The loss never
# asked for the visible patches, so nobody taught the model what the third column shows there.

# %% alt="Four photos in rows: whole, with 60% of the patches gray, as the model draws them, and joined"
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
# Is the guess any good? The cheapest guess paints every hidden pixel in the mean color of the visible ones. The loss is
# in units of normalized pixels: 1 is one standard deviation of a channel.
#
# **Before you run it:** on which photo is the model's advantage smallest?

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
# features on a different axis; it must agree exactly, since nothing is computed, only moved.

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
# ## Without positions
#
# A hidden patch still says *where* it is, because positions are added after the mask.
#
# **Before you run it:** take the positions away. What must all hidden patches of one photo look like now, and why?

# %%
without_positions = replace(weights, pos_embed=np.zeros_like(weights.pos_embed))
drawn = deit_ref.forward(
    without_positions, pixel_values=pixel_values, bool_masked_pos=bool_masked_pos, backend=backend
).reconstruction
tiles = patches.patchify(as_numpy(drawn), patch_shape=config.patch_shape)[0][bool_masked_pos[0]]
print(f"{len(tiles)} hidden tiles of the first photo; they differ by at most {np.ptp(tiles, axis=0).max():.1e}")

# %% [markdown]
# Two hidden patches without a position are the same vector. Attention treats tokens as a set, so they see the same and
# become the same.
#
# ## Try
#
# 1. Change `ratio` to 0.25 and to 0.9. Which of the two errors, the model's or that of the mean color, moves more?
#    Then set `block=1` at 0.6: is the task easier, and why?
# 2. Hide the right half: `bool_masked_pos = np.tile(np.arange(8) >= 4, (4, 8))`. Is the guess equally good
#    everywhere in the hidden half?
# 3. Give the model a photo with nothing hidden. What does the third column show, and is it a copy?
#
# <details><summary>Answers</summary>
#
# 1. The model's. The mean color hardly depends on how much is hidden; what the model can use does. With squares of one
#    patch the task is easier at the same ratio: almost every hidden patch has visible neighbors, and pixels resemble
#    their neighbors. That is why the squares are larger in training.
# 2. No. Beside the visible half it continues edges and colors, farther away it paints what is likely there in any
#    photo: something smooth, which is never wrong by much. (The errors of single columns need not show it: what is hard
#    to guess depends on the photo.)
# 3. Not a copy. The loss never counted a visible pixel, so nothing taught the model to repeat what it sees.
#
# </details>
