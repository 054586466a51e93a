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
# # 16. Resampling, byte for byte as Pillow
#
# A rocket on its pad, made small in two ways. In one of them the lattice of the towers breaks into dots. Why? A photo
# becomes one of a different size, and each new pixel is a weighted mean of old ones: bytes `(height, width, channels)`
# in, bytes `(new_height, new_width, channels)` out.
#
# Chapter: [page](../docs/chapters/resize.md) · NumPy: [source](../deit_ref/numpy_backend/resize.py) · torch:
# [mirror](../deit_ref/torch_backend/resize.py)

# %% alt="The towers beside a rocket, twice: broken into dots on the left, smooth on the right."
import matplotlib.pyplot as plt
import numpy as np
import PIL
import torch
from PIL import Image

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import resize as chapter
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.torch_backend import resize as mirror

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("rocket"))
figure, panels = plt.subplots(1, 2, figsize=(7, 2.4), dpi=100, layout="constrained")
for axes, name in zip(panels, ("nearest", "bicubic"), strict=True):
    axes.imshow(chapter.resize(photo, (64, 96), resample=name)[:32, :48], interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# $$y = W_\text{rows} \, x \, W_\text{columns}^\top$$
#
# for each channel $x$ of an image. The weights of a new pixel are those of its row times those of its column. So widths
# and heights are treated one after the other, and along one axis the weight of old pixel $j$ in new pixel $i$ is
#
# $$W_{ij} = \frac{\kappa((j + \frac12 - r_i) / \text{stretch})}
#   {\sum_j \kappa((j + \frac12 - r_i) / \text{stretch})}, \qquad
#   r_i = (i + \tfrac12) s, \quad s = \frac{\text{old size}}{\text{new size}}, \quad \text{stretch} = \max(s, 1)$$
#
# $r_i$ is the middle of the new pixel, measured in old pixels. $\kappa$ is a kernel: how much a pixel counts at a
# distance. It is stretched when the image shrinks, so that no old pixel is skipped. This is antialiasing.

# %%
folded(chapter.resample_coefficients, chapter.resample_lines)

# %% [markdown]
# ## By hand
#
# ### The kernels
#
# A wide kernel mixes many pixels. `bicubic` and `lanczos` have parts below 0: they make edges sharper than they were,
# and their results can leave the range 0..255, where they are cut.

# %% alt="The five kernels as curves: box, bilinear, hamming, bicubic and lanczos, the last two with parts below zero."
x = np.linspace(-3.2, 3.2, 641)
figure, panels = plt.subplots(1, 5, figsize=(10, 2), dpi=100, sharey=True, layout="constrained")
for axes, (name, (kernel, support)) in zip(panels, chapter.FILTERS.items(), strict=True):
    axes.axhline(0, color=OTHER, linewidth=0.8)
    axes.plot(x, kernel(x), color=PIXELS, linewidth=2)
    axes.set_title(f"{name}, support {support:g}", fontsize=9)
    axes.set_xticks([-3, -1, 0, 1, 3])
plt.show()

# %% [markdown]
# ### From 6 pixels to 3
#
# The scale is $s = 2$, so the kernel is stretched by 2 and the new pixels have their middles at 1, 3 and 5. Take
# `bilinear`, $\kappa(x) = 1 - |x|$. Around 3, the middles of old pixels lie at 1.5, 2.5, 3.5, 4.5. Their distances,
# divided by 2, are 0.75, 0.25, 0.25, 0.75; the kernel there is 0.25, 0.75, 0.75, 0.25; the sum is 2. So the weights are
# 1/8, 3/8, 3/8, 1/8.
#
# **Before you run it:** at the left border one pixel is missing. What are the weights of the first new pixel?

# %%
first, coefficients = chapter.resample_coefficients(6, 3, resample="bilinear")
for i in range(3):
    print(f"new pixel {i}: first old pixel {first[i]}, weights {coefficients[i].round(4)}")
assert np.allclose(coefficients[1], [1 / 8, 3 / 8, 3 / 8, 1 / 8])
assert np.allclose(coefficients[0], [3 / 7, 3 / 7, 1 / 7, 0])
assert np.allclose(coefficients.sum(axis=1), 1)

# %% [markdown]
# 0.75, 0.75 and 0.25, divided by their sum, 1.75.

# %% alt="Three stretched triangles over six old pixels; dots mark the weight of each old pixel in each new one."
figure, axes = plt.subplots(figsize=(8, 2.4), dpi=100, layout="constrained")
places = np.linspace(-1, 7, 400)
for i, color in enumerate((PIXELS, "black", OTHER)):
    middle = 2 * i + 1
    pixels = first[i] + np.arange(coefficients.shape[1])
    axes.plot(places, chapter.bilinear((places - middle) / 2), color=color, alpha=0.4)
    used = coefficients[i] > 0
    axes.plot(pixels[used] + 0.5, coefficients[i][used], "o", color=color, label=f"new pixel {i}")
axes.set_xticks(np.arange(6) + 0.5, [f"old {j}" for j in range(6)])
axes.set(xlim=(-0.2, 6.2), ylim=(0, 1.05))
axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()


# %% [markdown]
# ## Your turn: the weights of a line
#
# Write the matrix of weights for any two sizes with the bilinear kernel. Pixels outside of the image do not count.


# %%
def my_weights(old, new):
    """(new, old): how much of each old pixel is in each new one."""
    ...  # your turn


first_old, found = chapter.resample_coefficients(7, 4, resample="bilinear")
truth = np.zeros((4, 7 + found.shape[1]))
np.put_along_axis(truth, first_old[:, None] + np.arange(found.shape[1]), found, axis=1)
judge(my_weights(7, 4), truth[:, :7], "Each row sums to 1; beyond a distance of 1 the kernel is 0.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_weights(old, new):
#     scale = old / new
#     middles = (np.arange(new)[:, None] + 0.5) * scale
#     distances = (np.arange(old) + 0.5 - middles) / max(scale, 1)
#     weights = np.maximum(1 - np.abs(distances), 0)
#     return weights / weights.sum(axis=1, keepdims=True)
# ```
#
# </details>

# %% [markdown]
# The faint triangles are the stretched kernels, the dots the weights after division by their sum. With these weights
# the line 7, 0, 14, 10, 0, 6 becomes
#
# $$\frac{3 \cdot 7 + 3 \cdot 0 + 14}{7} = 5, \qquad \frac{0 + 3 \cdot 14 + 3 \cdot 10 + 0}{8} = 9, \qquad
#   \frac{10 + 3 \cdot 0 + 3 \cdot 6}{7} = 4.$$

# %%
line = np.array([[7, 0, 14, 10, 0, 6]], np.uint8)[:, :, None]  # (height, width, channels)
small = chapter.resize(line, (1, 3), resample="bilinear")
print(line.shape, "->", small.shape, small.ravel().tolist())
assert small.ravel().tolist() == [5, 9, 4]

# %% [markdown]
# `nearest` has no kernel: each new pixel copies the old one that its middle lies in, and all others are lost.
#
# **Before you run it:** from 6 pixels to 3, which three are kept?

# %%
kept = chapter.nearest_pixels(6, 3)
print("nearest keeps the pixels", kept.tolist())
assert kept.tolist() == [1, 3, 5]

# %% [markdown]
# ## On a photo
#
# ### With and without antialiasing
#
# The same photo at 64 pixels of height, made with three filters, and below it the upper left part.
#
# **Before you run it:** `nearest` takes one pixel of every five and drops those between. What will it make of the
# lattice of the towers?

# %% alt="The photo of a rocket on its pad at 64 pixels of height by nearest, bilinear, bicubic, and a detail of each."
only_resize = {"do_center_crop": False, "do_rescale": False, "do_normalize": False}
figure, panels = plt.subplots(2, 3, figsize=(9, 4.2), dpi=100, layout="constrained")
for (above, below), name in zip(panels.T, ("nearest", "bilinear", "bicubic"), strict=True):
    processing = deit_ref.ImageProcessing(size=(64, 96), resample=name, **only_resize)
    pixels = deit_ref.preprocess(photo, processing, backend=backend)
    picture = as_numpy(pixels)[0].transpose(1, 2, 0).astype(np.uint8)  # (height, width, channels)
    above.imshow(picture, interpolation="nearest")
    above.set_title(name, fontsize=10)
    below.imshow(picture[:32, :48], interpolation="nearest")
    above.set_axis_off()
    below.set_axis_off()
plt.show()

# %% [markdown]
# It breaks into dots. `bilinear` and `bicubic` are stretched and take the mean of all.

# %% [markdown]
# It is not a matter of taste.
#
# **Before you run it:** stripes that get finer to the right, from 480 pixels to 120. What should be seen where the
# stripes are finer than the new pixels?

# %% alt="Fine stripes of growing frequency; made small by nearest they turn into false patterns, by bicubic into gray."
places = np.arange(480)
stripes = 127.5 + 127.5 * np.cos(places**2 * np.pi / 960)  # from coarse to as fine as pixels can show
image = np.tile(stripes.round().astype(np.uint8), (160, 1))[:, :, None].repeat(3, axis=2)
figure, panels = plt.subplots(3, 1, figsize=(8, 4.2), dpi=100, layout="constrained")
panels[0].imshow(image, aspect="auto")
panels[0].set_title("480 pixels wide", fontsize=10)
for axes, name in zip(panels[1:], ("nearest", "bicubic"), strict=True):
    small = chapter.resize(image, (20, 120), resample=name)
    axes.imshow(small, interpolation="nearest", aspect="auto")
    axes.set_title(f"120 pixels wide, {name}", fontsize=10)
for axes in panels:
    axes.set_axis_off()
plt.show()

# %% [markdown]
# `nearest` invents coarse stripes that were never there. The stretched kernel gives the truth at this size: gray.

# %% [markdown]
# ### The same bytes as Pillow
#
# Models were trained on photos that Pillow resized, so equal to the eye is not enough. Three things decide the last
# bit: weights rounded to multiples of $2^{-22}$, bytes between the two passes, and which pass comes first.
#
# **Before you run it:** all photos of the package and all six filters, made smaller and larger. How many of the eight
# million bytes will differ?

# %%
order = "pillow-13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow-12"  # the rule of the installed Pillow
photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
compared = 0
for name in ("nearest", *chapter.FILTERS):
    for photo in photos:
        for height, width in ((32, 32), (256, 341), (331, 70)):
            ours = chapter.resize(photo, (height, width), resample=name, pass_order=order)
            pillow = Image.fromarray(photo).resize((width, height), Image.Resampling[name.upper()])
            assert np.array_equal(ours, np.asarray(pillow))
            compared += ours.size
print(f"Pillow {PIL.__version__}: {compared:,} bytes compared, none differs")

# %% [markdown]
# ### Which pass comes first
#
# In exact numbers the order would not matter. But between the passes the image is rounded to bytes, so it does. Pillow
# 13 begins with the height when that saves enough work; earlier versions began with the width. A tall cutout
# made into a square shows the difference.

# %%
tall = load_image(bundled_photo("chelsea"))[:, 100:200]  # (300, 100, 3)
results = {}
for pass_order in ("pillow-13", "pillow-12"):
    vertical = chapter.vertical_first(tall.shape[:2], (64, 64), pass_order=pass_order)
    results[pass_order] = chapter.resize(tall, (64, 64), pass_order=pass_order).astype(int)
    print(pass_order, "begins with the", "heights" if vertical else "widths")
difference = np.abs(results["pillow-13"] - results["pillow-12"])
print(f"{(difference > 0).mean():.1%} of the bytes differ, by at most {difference.max()}")
assert difference.max() > 0

# %% [markdown]
# ## Your turn: which pass first?
#
# Pillow 13 begins with the height when the height shrinks by more than twice what the width loses. Of these four, which
# begin with the height? Write 1 or 0 for each: 400 × 300 to 100 × 280, 400 × 300 to 100 × 100, 300 × 451 to 32 × 48,
# 900 × 300 to 256 × 256.

# %%
my_order = ...  # your turn: four numbers, 0 or 1
cases = [((400, 300), (100, 280)), ((400, 300), (100, 100)), ((300, 451), (32, 48)), ((900, 300), (256, 256))]
truth = [chapter.vertical_first(old, new, pass_order="pillow-13") for old, new in cases]
judge(my_order, truth, "Compare what the height loses with twice what the width loses.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_order = [1, 0, 0, 1]
# ```
#
# </details>

# %% [markdown]
# ## The torch twin
#
# The mirror gives the same bytes too. A byte times a weight is a multiple of $2^{-22}$, and float64 holds all sums of
# these exactly; so it does not matter in which order a library adds.

# %%
photo = load_image(bundled_photo("coffee"))
for name in ("nearest", *chapter.FILTERS):
    ours = chapter.resize(photo, (100, 90), resample=name).astype(int)
    theirs = mirror.resize(torch.from_numpy(photo), (100, 90), resample=name).numpy().astype(int)
    print(f"{name:9} largest difference {np.abs(ours - theirs).max()}")
    assert np.array_equal(ours, theirs)

# %% [markdown]
# torch's own `interpolate` works on floats and antialiases only when asked. Without it, `bilinear` looks at the four
# nearest pixels, however much the image shrinks. The printed differences from our bytes are in steps of 0..255: with
# antialiasing they are less than 1, the rounding to bytes.

# %%
planes = torch.from_numpy(photo).permute(2, 0, 1)[None].float()  # (batch, channels, height, width)
ours = chapter.resize(photo, (32, 48), resample="bilinear").astype(np.float32)
for antialias in (True, False):
    plane = torch.nn.functional.interpolate(planes, (32, 48), mode="bilinear", antialias=antialias)
    difference = np.abs(plane[0].permute(1, 2, 0).numpy() - ours)
    print(f"antialias={antialias!s:5} largest {difference.max():6.2f}, mean {difference.mean():.2f}")
    assert (difference.max() < 1) == antialias

# %% [markdown]
# ## Try
#
# 1. Work out by hand the weights for 3 to 6 pixels with `bilinear`. Now $s = \frac12$; how much is the kernel
#    stretched?
# 2. Make a photo 75 pixels high at once, and in two steps over 150. With which filter do the bytes differ most, and
#    with which least? Why might one expect `box` to be special here?
# 3. Find a size of the photo of the rocket at which the two pass orders give the same bytes although both passes run.
#
# <details><summary>Answers</summary>
#
# 1. Not at all, it stays 1: $\max(\frac12, 1)$. The middles lie at 0.25, 0.75, 1.25 and so on, so inside the image the
#    weights are 3/4 and 1/4 in turn, and at the two ends the single pixel that is near enough counts 1.
# 2. A mean of means over equal parts is the mean of all, so halving twice by `box` should be the same as quartering,
#    but for a rounding or two. It is, if every size is an exact half: cut the photo to 300 × 448 first. With a width
#    that cannot be halved, `box` jumps where it shares out its pixels unevenly, and then it differs *most*; the smooth
#    kernels hardly notice.
# 3. Any size at which the two rules agree, such as 32 × 48: `vertical_first` says which order is taken. With a photo
#    that is wider than high, the height seldom loses more than twice what the width loses.
#
# </details>
