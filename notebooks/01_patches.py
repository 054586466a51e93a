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
# # 1. An image becomes a sequence of patches
#
# How does an image become something like a sentence? It is cut into squares, and each square becomes one token by one
# linear map: pixels `(batch, channels, height, width)` in, tokens `(batch, patches, dim)` out.
#
# Chapter: [page](../docs/chapters/patches.md) · NumPy: [source](../deit_ref/numpy_backend/patches.py) · torch:
# [mirror](../deit_ref/torch_backend/patches.py)

# %% alt="A square photo of a cat, and beside it the same photo cut into 6 by 6 squares with white gaps."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import folded, judge
from deit_ref.numpy_backend import patches
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import patches as mirror

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))
square = photo[:288, 80:368] / 255  # 6 x 6 patches of 48 x 48 pixels
apart = np.pad(
    patches.patchify(square.transpose(2, 0, 1)[None], patch_shape=(48, 48)).reshape(36, 3, 48, 48),
    ((0, 0), (0, 0), (4, 4), (4, 4)),
    constant_values=1,
)
figure, panels = plt.subplots(1, 2, figsize=(6, 3), dpi=100, layout="constrained")
for axes, picture in zip(panels, (square, plots.side_by_side(apart.transpose(0, 2, 3, 1), columns=6)), strict=True):
    axes.imshow(picture)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# $$z_n = x_n E^\top + b$$
#
# $x_n$ is patch number $n$, all its numbers written in one row; $E$ is learned and the same for every patch; $z_n$ is
# the patch's token. Patches are counted row by row from the top left: the patch in a row and a column of the grid has
# the number $n = \text{row} \cdot \text{columns} + \text{column}$.

# %%
folded(patches.patchify, patches.patch_embed)

# %% [markdown]
# ## By hand
#
# ### Four patches of a 4 × 4 image
#
# The image holds the numbers 0 to 15, so that each pixel can be followed. The top left patch of 2 × 2 pixels is
# 0, 1, 4, 5: two numbers of the first row, then two of the second.
#
# **Before you run it:** write down the row of the patch at the bottom left.

# %%
image = np.arange(16.0).reshape(1, 1, 4, 4)  # (batch, channels, height, width)
sequence = patches.patchify(image, patch_shape=(2, 2))  # (batch, patches, patch_values)
print(image[0, 0].astype(int))
print(image.shape, "->", sequence.shape)
print(sequence[0].astype(int))
assert sequence[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]

# %% alt="A 4 × 4 image of the numbers 0 to 15 in four colored squares, and the four rows of numbers they become."
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.7), dpi=100, layout="constrained")
number = np.kron(np.array([[0, 1], [2, 3]]), np.ones((2, 2)))  # the patch that each pixel belongs to
shades = np.repeat(np.arange(4)[:, None], 4, axis=1)
for axes, values, colors in ((left, image[0, 0], number), (right, sequence[0], shades)):
    axes.imshow(colors, cmap="Pastel1", vmin=0, vmax=8)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.0f}", ha="center", va="center")
    axes.set_xticks([])
left.set(title="image", yticks=[])
right.set(title="one row per patch", ylabel="patch", yticks=range(4))
plt.show()

# %% [markdown]
# How does a reshape find squares? It splits both axes: row 0..3 becomes (patch row, row inside), column 0..3 becomes
# (patch column, column inside). In memory the order is patch row, row inside, patch column, column inside. The
# transpose exchanges the two in the middle, so that what belongs to one patch comes together.

# %%
split = image.reshape(2, 2, 2, 2)  # (patch row, row inside, patch column, column inside)
together = split.transpose(0, 2, 1, 3)  # (patch row, patch column, row inside, column inside)
print("pixel at patch row 0, patch column 1, row inside 1, column inside 0:", int(together[0, 1, 1, 0]))
assert together[0, 1, 1, 0] == image[0, 0, 1, 2] == 6
assert np.array_equal(together.reshape(4, 4), sequence[0])
print("without the transpose:", split.reshape(4, 4)[0].astype(int), "is the first row of pixels, not a patch")


# %% [markdown]
# ## Your turn: cut an image
#
# Now write it yourself, for an image of one channel and any size: two reshapes and a transpose.


# %%
def my_patches(image, side):
    """An image (height, width) as rows of pixels, one per patch: (patches, side * side)."""
    ...  # your turn


pixels = np.arange(48.0).reshape(6, 8)
truth = patches.patchify(pixels[None, None], patch_shape=(2, 2))[0]
judge(my_patches(pixels, 2), truth, "Split both axes in two, bring the two inner axes to the end, and merge.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_patches(image, side):
#     height, width = image.shape
#     split = image.reshape(height // side, side, width // side, side)
#     return split.transpose(0, 2, 1, 3).reshape(-1, side * side)
# ```
#
# </details>

# %% [markdown]
# ### And back
#
# `unpatchify` is the inverse. It has to be told the grid: 4 patches may be 2 × 2, or 1 × 4.

# %%
print(patches.unpatchify(sequence, patch_shape=(2, 2), grid=(1, 4))[0, 0].astype(int), "grid 1 x 4: a different image")
assert np.array_equal(patches.unpatchify(sequence, patch_shape=(2, 2), grid=(2, 2)), image)

# %% [markdown]
# ## On a photo
#
# ### The sequence of a real image

# %%
weights = deit_ref.load_weights().to(backend)
config, processing = weights.config, weights.image_processing
chapter = import_module(f"deit_ref.{backend}_backend.patches")
photo = load_image(bundled_photo("chelsea"))
pixel_values = deit_ref.preprocess(photo, processing, backend=backend)
height, width = config.patch_shape
cut = chapter.patchify(pixel_values, patch_shape=(height, width))
grid = chapter.patch_grid(*pixel_values.shape[2:], patch_shape=config.patch_shape)
print("pixel_values", tuple(pixel_values.shape), "-> patches", tuple(cut.shape), "grid", grid)
assert cut.shape[1] == grid[0] * grid[1]

# %% [markdown]
# Look at the numbers in the corners: the count goes to the right, and on the next line from the left again. In the
# sequence a patch's neighbor to the right is one step away, the one below it a whole line.
#
# **Before you run it:** the picture on the right puts the same 64 patches back as 4 rows of 16. Will you recognize the
# cat?

# %% alt="The image with its patches numbered; beside it the same patches laid out in a grid of the wrong width."
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.9), dpi=100, layout="constrained")
left.imshow(plots.to_photos(pixel_values, processing)[0], interpolation="nearest")
for n in range(cut.shape[1]):
    row, column = divmod(n, grid[1])
    left.text(column * width - 0.3, row * height + 0.9, n, fontsize=6, color="white")
left.set_xticks(np.arange(grid[1]) * width - 0.5, [])
left.set_yticks(np.arange(grid[0]) * height - 0.5, [])
left.grid(color="white", linewidth=0.8)
left.tick_params(length=0)
wrong = chapter.unpatchify(cut, patch_shape=config.patch_shape, grid=(grid[0] // 2, grid[1] * 2))
right.imshow(plots.to_photos(wrong, processing)[0], interpolation="nearest")
left.set_title(f"grid {grid[0]} × {grid[1]}", fontsize=10)
right.set_axis_off()
right.set_title(f"put back as {grid[0] // 2} × {grid[1] * 2}", fontsize=10)
plt.show()

# %% [markdown]
# Every patch is intact, but the image is lost. The sequence does not say how wide the grid was; `unpatchify` has to be
# told.

# %% [markdown]
# ### A patch sees nothing but itself
#
# We change the pixels of one patch alone, and look at which tokens change.
#
# **Before you run it:** the patch in row 2 and column 3, both counted from 0, in a grid that is 8 wide: which token
# will it be, and will its neighbors change?

# %%
row, column = 2, 3
n = row * grid[1] + column
changed = pixel_values + 0  # a copy
changed[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width] += 1
before, after = (as_numpy(chapter.patch_embed(weights.patch_embed, x)) for x in (pixel_values, changed))
moved = np.flatnonzero(np.abs(before - after).max(axis=2)[0] > 1e-4)
print(f"changed the patch in row {row}, column {column}, number {n}; tokens that changed: {moved}")
print(f"with {config.num_prefix_tokens} tokens before the patches it becomes token {config.num_prefix_tokens + n}")
assert moved.tolist() == [n]

# %% [markdown]
# Only its own. Up to here no patch knows of any other. All that follows in the model is about changing this.

# %% [markdown]
# ### What the linear map looks for
#
# Each row of $E$ has as many numbers as a patch, so it can be drawn as one: a filter. The number that it gives a patch
# is large where the patch resembles it.
#
# **Before you run it:** nobody told the model what to look for in 4 × 4 pixels. What would *you* look for? The picture
# shows the rows with the largest weights. In a model with random weights they would be noise.

# %% alt="The filters of the patch embedding with the largest weights, drawn as small color pictures."
filters = as_numpy(weights.patch_embed.proj.weight)  # (dim, channels, patch_height, patch_width)
print("patch_embed.proj.weight", filters.shape, "as one matrix", filters.reshape(len(filters), -1).shape)
strongest = np.argsort(-np.linalg.norm(filters.reshape(len(filters), -1), axis=1))
shown = filters[strongest[:64]]
scaled = shown / np.abs(shown).max(axis=(1, 2, 3), keepdims=True)  # -1..1, 0 is gray
pictures = ((scaled + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)  # (filters, height, width, channels)
framed = np.pad(pictures, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
figure, axes = plt.subplots(figsize=(8, 2.3), dpi=100, layout="constrained")
axes.imshow(plots.side_by_side(framed, columns=16), interpolation="nearest")
axes.set_axis_off()
plt.show()

# %% [markdown]
# And this is what the four strongest answer to the photo: one number per patch, blue below 0, red above. A filter for
# an edge answers where there is such an edge, a filter for a color where there is such a color.

# %% alt="Four filters, and below each the grid of its answers to the patches of the photo."
z = as_numpy(chapter.patch_embed(weights.patch_embed, pixel_values))  # (batch, patches, dim)
figure, panels = plt.subplots(2, 4, figsize=(8, 3.6), dpi=100, height_ratios=[1, 2], layout="constrained")
for (above, below), picture, feature in zip(panels.T, pictures, strongest, strict=False):
    above.imshow(picture, interpolation="nearest")
    above.set_title(f"feature {feature}", fontsize=10)
    answers = z[0, :, feature].reshape(grid)
    largest = np.abs(answers).max()
    below.imshow(answers, cmap="coolwarm", vmin=-largest, vmax=largest)
    above.set_axis_off()
    below.set_axis_off()
plt.show()

# %% [markdown]
# ## Your turn: count the weights
#
# The patch embedding of the tiny published model maps patches of 16 × 16 pixels with three channels to 192 features.
# How many learned numbers does it have, with its biases?

# %%
my_count = ...  # your turn
shapes = deit_ref.weights.array_shapes(deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"], "features")
truth = sum(int(np.prod(shape)) for name, shape in shapes.items() if name.startswith("patch_embed"))
judge(my_count, truth, "Each feature has one weight for every number of a patch, and one bias.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_count = 192 * (16 * 16 * 3) + 192
# ```
#
# 768 numbers in a patch, 192 features: 147,456 weights and 192 biases.
#
# </details>

# %% [markdown]
# ## The torch twin
#
# Other code calls this layer a convolution, with a kernel as large as a patch and the same stride. That is the same
# sum of products. The mirror uses a matrix product too; below, both are compared with torch's convolution.

# %%
numpy_weights, torch_weights = weights.to("numpy"), weights.to("torch")
pixels = as_numpy(pixel_values)
ours = patches.patch_embed(numpy_weights.patch_embed, pixels)
theirs = mirror.patch_embed(torch_weights.patch_embed, torch.from_numpy(pixels))
proj = torch_weights.patch_embed.proj
planes = torch.nn.functional.conv2d(torch.from_numpy(pixels), proj.weight, proj.bias, stride=config.patch_shape)
convolved = planes.flatten(2).transpose(1, 2)  # (batch, dim, rows, columns) -> (batch, patches, dim)
print("conv2d", tuple(planes.shape), "->", tuple(convolved.shape))
for name, other in (("mirror", theirs), ("conv2d", convolved)):
    difference = np.abs(ours - as_numpy(other)).max()
    print(f"largest difference from the {name}: {difference:.1e}")
    assert difference <= 1e-5 * np.abs(ours).max()

# %% [markdown]
# ## Try
#
# 1. The same patches of 16 × 16, but photos of 384 × 384 pixels: how many patches are there, and which weights of the
#    patch embedding have to change?
# 2. Shift the photo by one pixel to the right (`np.roll`). How much do the tokens change? And by a whole patch?
# 3. Exchange two rows of the matrix `cut[0]` and look at `unpatchify` of it. Does anything in `patch_embed` notice?
#
# <details><summary>Answers</summary>
#
# 1. 24 × 24 = 576 patches. None: every patch goes through the same map, however many there are. What has to change is
#    the table of positions ([chapter 3](03_positions.ipynb)).
# 2. By one pixel, nearly all change, wherever the photo is not flat: each weight now meets the pixel beside its own. By
#    one patch the same tokens are there again, one place further in the sequence; only the column at the border is new.
#    What a convolution does at every pixel, the patch embedding does in steps of a patch.
# 3. Two squares of the image have changed places. `patch_embed` treats each row alone, so its tokens are the same two,
#    exchanged. It cannot notice.
#
# </details>
