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
# # 15. From a photo to what the model sees
#
# Here is a photo of 300 × 451 pixels, and a model that takes squares of 224 × 224. What is lost on the way, and who
# decides? Photos of any sizes become one batch of numbers around 0: bytes `(height, width, channels)` in, float32
# `(batch, channels, height, width)` out.
#
# Chapter: [page](../docs/chapters/image.md) · NumPy: [source](../deit_ref/numpy_backend/image.py) · torch:
# [mirror](../deit_ref/torch_backend/image.py)

# %% alt="A photo of a cat, half as wide again as it is high."
import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, folded, judge
from deit_ref.numpy_backend import image as chapter
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))
figure, axes = plt.subplots(figsize=(4, 2.7), dpi=100, layout="constrained")
axes.imshow(photo)
axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# Four steps, in this order: resize ([chapter 16](16_resize.ipynb)), center crop, rescale, normalize. The last two are
#
# $$\tilde x = \frac{\tfrac{1}{255} x - \mu}{\sigma}$$
#
# with a mean $\mu$ and a standard deviation $\sigma$ for each channel. DeiT takes those of ImageNet's photos, so that a
# typical photo becomes numbers of mean 0 and standard deviation 1, more or less. They belong to the model: with others,
# every number that it gets differs from what it was trained on.

# %%
folded(chapter.center_crop, chapter.rescale, chapter.normalize)

# %% [markdown]
# ## By hand
#
# ### Center crop
#
# The middle 2 of 5 pixels begin at $(5 - 2) / 2 = 1.5$, rounded down to 1. The middle 7 of 5 begin at $-1$: zeros stand
# around the image. Implementations round such halves differently, which shifts the image by one pixel.

# %%
line = np.array([[[10], [20], [30], [40], [50]]], np.uint8)  # (height 1, width 5, channels 1)
print("crop to 2:", chapter.center_crop(line, (1, 2)).ravel())
print("crop to 7:", chapter.center_crop(line, (1, 7)).ravel())
assert chapter.center_crop(line, (1, 2)).ravel().tolist() == [20, 30]
assert chapter.center_crop(line, (1, 7)).ravel().tolist() == [0, 10, 20, 30, 40, 50, 0]
print({rule: chapter.crop_start(5, 2, rounding=rule) for rule in ("floor", "truncate", "round")})

# %% [markdown]
# ### Rescale and normalize
#
# **Before you run it:** the byte 204 is $204 / 255 = 0.8$. With $\mu = 0.5$ and $\sigma = 0.25$, what does it become,
# and what do black and white become?

# %%
gray = np.array([[[0], [204], [255]]], np.uint8)
between_0_and_1 = chapter.rescale(gray, 1 / 255)
normalized = chapter.normalize(between_0_and_1, 0.5, 0.25)
print(gray.ravel(), "->", between_0_and_1.ravel(), "->", normalized.ravel())
assert np.allclose(normalized.ravel(), [-2.0, 1.2, 2.0])


# %% [markdown]
# $(0.8 - 0.5) / 0.25 = 1.2$; black becomes $-2$ and white $2$. The zeros around a small image are bytes, so they become
# $-2$ as well, and not 0.

# %% [markdown]
# ## Your turn: and back
#
# To show a picture, one has to undo this. Write the inverse, as bytes: rounded, and cut to 0..255.


# %%
def my_bytes(pixel_values, mean, std):
    """uint8 (height, width, channels) from normalized (height, width, channels); mean and std have one per channel."""
    ...  # your turn


mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
some = photo[100:104, 200:206]
judge(
    my_bytes((some / 255 - mean) / std, mean, std),
    some,
    "First times the deviation, then plus the mean; round at the end.",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_bytes(pixel_values, mean, std):
#     between_0_and_1 = pixel_values * std + mean
#     return np.clip(np.rint(between_0_and_1 * 255), 0, 255).astype(np.uint8)
# ```
#
# </details>

# %% [markdown]
# ### Two ways to resize
#
# A photo of 300 × 451 pixels is not square, and the model needs a square. Either it is squashed, and everything is
# seen, but narrower; or its shortest edge gets the required length, and the crop cuts off the rest.
#
# **Before you run it:** the second way, for a model of 32 × 32 pixels: how wide is the photo before the crop, and how
# many columns are lost?

# %%
squash = deit_ref.ImageProcessing(size=(32, 32), do_center_crop=False)
shortest = deit_ref.ImageProcessing(size={"shortest_edge": 32}, crop_size=32)
print("squash:       ", squash.resized_shape(300, 451))
print("shortest edge:", shortest.resized_shape(300, 451), "then cropped to 32 x 32")
assert shortest.resized_shape(300, 451) == (32, 48)

# %% [markdown]
# $32 \cdot 451 / 300 = 48.1$, so it becomes 32 × 48 pixels, of which 16 columns are lost.

# %% [markdown]
# ## Your turn: what is lost
#
# A photo of 480 × 640 pixels, its shortest edge made 256, then the middle 224 × 224 cut out. Which share of the photo's
# area does the model see?

# %%
my_share = ...  # your turn
rows, columns = deit_ref.ImageProcessing.original(224).resized_shape(480, 640)
judge(my_share, 224 * 224 / (rows * columns), "What are the height and the width just before the crop?", within=1e-2)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_share = 224 * 224 / (256 * 341)
# ```
#
# The photo becomes 256 × 341, so 57% are seen.
#
# </details>

# %% [markdown]
# ## On a photo
#
# ### Squash against shortest edge
#
# Implementations of the same model disagree here. `ImageProcessing.huggingface` squashes, as transformers does;
# `ImageProcessing.original` keeps the aspect ratio, as the paper's authors do.
#
# **Before you run it:** in which of the two pictures will the cat's face be narrower, and in which will its ears be
# nearer to the edge?

# %% alt="The photo of a cat, the same squashed to a square, and the same with its middle cut out."
presets = {"squash": deit_ref.ImageProcessing.huggingface(224), "shortest edge": deit_ref.ImageProcessing.original(224)}
figure, panels = plt.subplots(1, 3, figsize=(9, 2.9), dpi=100, width_ratios=[1.5, 1, 1], layout="constrained")
panels[0].imshow(photo)
panels[0].set_title(f"photo, {photo.shape[0]} × {photo.shape[1]}", fontsize=10)
for axes, (name, preset) in zip(panels[1:], presets.items(), strict=True):
    pixel_values = deit_ref.preprocess(photo, preset, backend=backend)
    axes.imshow(plots.to_photos(pixel_values, preset)[0])
    axes.set_title(f"{name}: {' x '.join(map(str, preset.resized_shape(*photo.shape[:2])))}, cropped", fontsize=10)
for axes in panels:
    axes.set_axis_off()
plt.show()

# %% [markdown]
# Both results have 224 × 224 pixels.
#
# **Before you run it:** how far apart are they for a model, on average, in units of the standard deviation: 0.01, 0.1
# or 1?

# %%
seen = [as_numpy(deit_ref.preprocess(photo, preset, backend=backend)) for preset in presets.values()]
difference = np.abs(seen[0] - seen[1])
print("both", seen[0].shape, f": mean difference {difference.mean():.2f}, largest {difference.max():.2f}")
assert seen[0].shape == seen[1].shape == (1, 3, 224, 224)

# %% [markdown]
# ### What the bundled model sees
#
# Its photos are small. Each square below is all that reaches the model.
#
# **Before you run it:** of the cat, the astronaut, the coffee and the rocket, which will be hardest to recognize?

# %% alt="The four photos that come with the package, as the model sees them, each large pixel visible."
weights = deit_ref.load_weights()
processing = weights.image_processing
trace = deit_ref.Trace()
photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
pixel_values = deit_ref.preprocess(photos, processing, backend=backend, trace=trace)
print("pixel_values", tuple(pixel_values.shape), pixel_values.dtype)
figure, panels = plt.subplots(1, 4, figsize=(9, 2.5), dpi=100, layout="constrained")
for axes, picture, name in zip(panels, plots.to_photos(pixel_values, processing), BUNDLED_PHOTOS, strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# Every step was recorded. The shape changes with the resize and the crop; bytes become float32 with `rescaled`, whose
# values lie between 0 and 1; after `normalized` they lie around 0.

# %%
for name, array in trace.items():
    if name.startswith("images.0.") or name == "pixel_values":
        values = as_numpy(array)
        print(f"{name:20} {values.shape!s:18} {values.dtype!s:8} {values.min():6.2f} to {values.max():.2f}")

# %% [markdown]
# ### What normalization does, and how to undo it
#
# On the left are the values of the four photos after `rescaled`, on the right after `normalized`: the same shapes,
# moved to the middle and stretched, each channel by its own amount.

# %% alt="Histograms of red, green and blue, between 0 and 1 before normalization and around 0 after it."
before = np.concatenate([as_numpy(x).reshape(-1, 3) for x in trace.matching("images.*.rescaled")])
after = as_numpy(pixel_values).transpose(0, 2, 3, 1).reshape(-1, 3)  # (pixels, channels)
figure, panels = plt.subplots(1, 2, figsize=(8, 2.5), dpi=100, sharey=True, layout="constrained")
for axes, values, title in zip(panels, (before, after), ("rescaled", "normalized"), strict=True):
    for channel, color in enumerate(("#d1483a", "#3f9a55", "#4a8fd6")):
        axes.hist(values[:, channel], 40, histtype="step", color=color, label=("red", "green", "blue")[channel])
    axes.axvline(0, color=OTHER, linewidth=0.8)
    axes.set(title=title, xlabel="value")
panels[0].set_ylabel("pixels")
panels[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# Nothing is lost by it: multiplied by $\sigma$, shifted by $\mu$, times 255 and rounded, the numbers are the very
# bytes that came out of the crop. `plots.to_photos` does this for every picture here.

# %%
back = plots.to_photos(pixel_values, processing)
cropped = np.stack([as_numpy(x) for x in trace.matching("images.*.cropped")])
print("bytes again:", back.shape, back.dtype, "largest difference", np.abs(back.astype(int) - cropped).max())
assert np.array_equal(back, cropped)

# %% [markdown]
# ## The torch twin
#
# The same photos, the same bits: not a small difference, but none.

# %%
ours = deit_ref.preprocess(photos, processing, backend="numpy")
theirs = deit_ref.preprocess(photos, processing, backend="torch")
print(type(theirs).__name__, tuple(theirs.shape), "largest difference", np.abs(ours - as_numpy(theirs)).max())
assert np.array_equal(ours, as_numpy(theirs))

# %% [markdown]
# transformers has two processors, and they do not agree with each other: the slow one resizes with Pillow, the fast one
# with torchvision. `arithmetic` chooses whose numbers are computed, in both backends.

# %%
for size in (32, 224):
    slow = deit_ref.ImageProcessing.huggingface(size)
    fast = deit_ref.ImageProcessing(
        size=slow.size, crop_size=size, image_mean=slow.image_mean, image_std=slow.image_std, arithmetic="torchvision"
    )
    pair = [plots.to_photos(deit_ref.preprocess(photos, p, backend=backend), p).astype(int) for p in (slow, fast)]
    difference = np.abs(pair[0] - pair[1])
    print(f"{size} pixels: {(difference > 0).mean():.2%} of the bytes differ, by at most {difference.max()}")

# %% [markdown]
# ## Try
#
# 1. Give the bundled model the photo squashed: `deit_ref.forward(weights, photo, image_processing=...)` with
#    `size=(32, 32)` and the model's own mean and standard deviation. Does its answer change?
# 2. Leave out `normalize` (`do_normalize=False`) and look at the logits. Then do the same with the mean 0.5 and the
#    standard deviation 0.5, the defaults of `ImageProcessing`.
# 3. Which byte comes nearest to 0 in each channel? Work it out from `processing.image_mean`.
#
# <details><summary>Answers</summary>
#
# 1. `dataclasses.replace(processing, size=(32, 32), do_center_crop=False)` changes two fields and keeps the others. The
#    answer usually stays, with a different probability: a narrower cat is still a cat, and its ears are in the picture
#    now.
# 2. Without it all numbers lie between 0 and 1, so the photo is bright and of low contrast for the model. With 0.5 and
#    0.5 the contrast is about half of what the model is used to. In both cases the logits are different, the answers to
#    some photos change, and there is no error message. This is why mean and deviation belong to the checkpoint.
# 3. 255 times the mean: 124 in red, 116 in green, 104 in blue.
#
# </details>
