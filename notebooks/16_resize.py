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
# A photo becomes one of another size, and each new pixel is a weighted mean of old ones: bytes
# `(height, width, channels)` in, bytes `(new_height, new_width, channels)` out.
#
# Chapter: [page](../docs/chapters/resize.md) · NumPy: [source](../deit_ref/numpy_backend/resize.py) · torch:
# [mirror](../deit_ref/torch_backend/resize.py)

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import PIL
import torch
from PIL import Image

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.numpy_backend import resize as chapter
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.torch_backend import resize as mirror

backend = "numpy"

# %% [markdown]
# ## The formula
#
# $$\text{out}[y, x] = \sum_i \sum_j \text{rows}[y, i] \; \text{columns}[x, j] \; \text{image}[i, j]$$
#
# The weights of a new pixel are those of its row times those of its column. So widths and heights are treated one
# after the other, and along one axis the weight of old pixel $j$ in new pixel $i$ is
#
# $$w_{ij} = \frac{f((j + \frac12 - c_i) / t)}{\sum_k f((k + \frac12 - c_i) / t)}, \qquad
#   c_i = (i + \tfrac12) s, \quad s = \frac{\text{in\_size}}{\text{out\_size}}, \quad t = \max(s, 1)$$
#
# $c_i$ is the middle of the new pixel, measured in old pixels. $f$ is a kernel: how much a pixel counts at a distance.
# $t$ stretches the kernel when the image shrinks, so that no old pixel is skipped. This is antialiasing.

# %% [markdown]
# ## The source

# %%
print(inspect.getsource(chapter.resample_coefficients))

# %%
print(inspect.getsource(chapter.resample_lines))

# %% [markdown]
# ## By hand
#
# ### The kernels
#
# A wide kernel mixes many pixels. `bicubic` and `lanczos` have parts below 0: they make edges sharper than they were,
# and can leave the range 0..255, where the result is cut.

# %% alt="The five kernels as curves: box, bilinear, hamming, bicubic and lanczos, the last two with parts below zero."
x = np.linspace(-3.2, 3.2, 641)
figure, panels = plt.subplots(1, 5, figsize=(10, 2), dpi=100, sharey=True, layout="constrained")
for axes, (name, (kernel, support)) in zip(panels, chapter.FILTERS.items(), strict=True):
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.plot(x, kernel(x), color="#3f7fc1", linewidth=2)
    axes.set_title(f"{name}, support {support:g}", fontsize=9)
    axes.set_xticks([-3, -1, 0, 1, 3])
plt.show()

# %% [markdown]
# ### From 6 pixels to 3
#
# The scale is $s = 2$, so the kernel is stretched by 2 and the new pixels have their middles at 1, 3 and 5. Take
# `bilinear`, $f(x) = 1 - |x|$. Around 3, the middles of old pixels lie at 1.5, 2.5, 3.5, 4.5. Their distances, divided
# by 2, are 0.75, 0.25, 0.25, 0.75; the kernel there is 0.25, 0.75, 0.75, 0.25; the sum is 2. So the weights are
# 1/8, 3/8, 3/8, 1/8. At the left border one pixel is missing, and 0.75, 0.75, 0.25 are divided by 1.75.

# %%
first, coefficients = chapter.resample_coefficients(6, 3, resample="bilinear")
for i in range(3):
    print(f"new pixel {i}: first old pixel {first[i]}, weights {coefficients[i].round(4)}")
assert np.allclose(coefficients[1], [1 / 8, 3 / 8, 3 / 8, 1 / 8])
assert np.allclose(coefficients[0], [3 / 7, 3 / 7, 1 / 7, 0])
assert np.allclose(coefficients.sum(axis=1), 1)

# %% alt="Three stretched triangles over six old pixels; dots mark the weight of each old pixel in each new one."
figure, axes = plt.subplots(figsize=(8, 2.4), dpi=100, layout="constrained")
places = np.linspace(-1, 7, 400)
for i, color in enumerate(("#3f7fc1", "#b4530a", "#3f9a55")):
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

# %%
kept = chapter.nearest_pixels(6, 3)
print("nearest keeps the pixels", kept.tolist())
assert kept.tolist() == [1, 3, 5]

# %% [markdown]
# ## On a photo
#
# ### With and without antialiasing
#
# The same photo at 64 pixels of height, made with three filters, and below it the upper left part. `nearest` takes one
# pixel and drops those between: the lattice of the towers breaks into dots. `bilinear` and `bicubic` are stretched and
# take the mean of all.

# %% alt="The photo of a rocket on its pad at 64 pixels of height by nearest, bilinear, bicubic, and a detail of each."
photo = load_image(bundled_photo("rocket"))
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
# It is not a matter of taste. On stripes that are finer than the new pixels, `nearest` invents coarse stripes which
# were never there. The stretched kernel gives the truth at this size: gray.

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
# ### The same bytes as Pillow
#
# Models were trained on photos that Pillow resized, so equal to the eye is not enough. Three things decide the last
# bit: weights rounded to multiples of $2^{-22}$, bytes between the two passes, and which pass comes first. Below are
# all photos of the package and all six filters, made smaller and larger.

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
# 13 begins with the height when that saves enough work; earlier versions always began with the width. A tall cutout
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
# 1. Work out by hand the weights for 3 to 6 pixels with `bilinear`. Now $s = \frac12$; what is $t$?
# 2. Make a photo 75 pixels high at once, and in two steps over 150. With which filter do the bytes differ most, and
#    with which least? Why should `box` be special here?
# 3. Find a size of the photo of the rocket at which the two pass orders give the same bytes although both passes run.
#
# <details><summary>A hint for 3</summary>
#
# `vertical_first` says which order is taken. When do the two rules agree?
#
# </details>
