# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 7: resampling
#
# 20 points for functions, 4 for the question at the end. Time: 2 to 3 hours.
#
# **You will learn**
#
# - how a photo gets a different size: each new pixel is a weighted mean of old ones;
# - what antialiasing is, and why it is needed when an image shrinks;
# - why bytes, rounding and the order of two steps decide whether two programs give the same numbers.
#
# **You are given** the signatures and descriptions of six functions, and what they need: the kernels `box`, `bilinear`,
# `hamming` and `lanczos`, the table `FILTERS` (name -> kernel and how far it reaches), and `nearest_pixels`. Everything
# is NumPy. You need to know arrays, broadcasting and slices.
#
# **Your goal**: `resize` gives the same bytes as `Image.resize` of Pillow, the library that DeiT's photos go through.
# Not nearly the same: the same.

# %% [markdown]
# ## Background
#
# A line of `in_size` pixels becomes a line of `out_size` pixels. Pixel $j$ covers the stretch from $j$ to $j + 1$, so
# its center is $j + \frac12$. With $s = \text{old size} / \text{new size}$, new pixel $i$ has its center, in units of
# old pixels, at $r_i = (i + \frac12) s$. The weight of old pixel $j$ follows from a kernel $\kappa$ and the distance of
# the centers:
#
# $$W_{ij} = \frac{\kappa((j + \frac12 - r_i) / \text{stretch})}{\sum_k \kappa((k + \frac12 - r_i) / \text{stretch})},
#   \qquad \text{stretch} = \max(s, 1)$$
#
# The stretch is the antialiasing: if a new pixel covers five old ones, the kernel gets five times as wide and all five
# count.
#
# Positions were interpolated like that in assignment 1, on a grid of patches. Photos are different in three ways: most
# of them shrink, and the stretch takes care of that; at the border the weights that are left are divided by their sum;
# and the numbers are bytes.
#
# An image takes two passes: one along all rows and one along all columns, in either order. With exact numbers the order
# would not matter. Pillow rounds to bytes in between, so it does.
#
# More in the chapter on [resizing](../../docs/chapters/resize.md), with pictures.

# %% [markdown]
# ## Task 1: the cubic kernel (2 points)
#
# Write `bicubic`: the weight of a pixel at distance x, for an array of distances. With $a = -\frac12$:
#
# $$\kappa(x) = (a+2) |x|^3 - (a+3) |x|^2 + 1 \; (|x| < 1), \quad a (|x|^3 - 5 |x|^2 + 8 |x| - 4) \; (1 \le |x| < 2)$$
#
# and 0 further away. A new pixel right on an old one takes it as it is, and the weights below 0 keep edges sharp.
#
# ```
# >>> bicubic(np.array([0.0, 0.5, -0.5, 1.5, 2.5])).tolist()
# [1.0, 0.5625, 0.5625, -0.0625, 0.0]
# ```
#
# <details><summary>Hint</summary>
#
# Compute both polynomials for the whole array, then choose with `np.where(condition, this, that)`; one `np.where` may
# stand inside another.
#
# </details>

# %% task="resize.bicubic"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: which pixels, and how much of each (6 points)
#
# Write `resample_coefficients`: for one line, the first old pixel of each new pixel's window, and the weights of all
# pixels in the window, by the formula above. All windows are equally long: `weights` is an array (new_size, taps).
#
# 1. Kernel and support (how far it reaches) from `FILTERS`; the scale $s$ and the stretch.
# 2. The window of new pixel $i$ goes from `int(r - support * stretch + 0.5)`, at least 0, up to but without
#    `int(r + support * stretch + 0.5)`, at most `in_size`. The longest window gives `taps`. Windows that are shorter
#    get weights 0; they may begin earlier, so that `first + taps` never goes beyond the line.
# 3. The weights, divided by their sum. At the border, where pixels are missing, the sum must be 1, too.
#
# A wider window than needed is not a mistake, as long as weights are 0 there and all its pixels exist.
#
# ```
# >>> first, weights = resample_coefficients(4, 2, resample="bilinear")
# >>> first.tolist()
# [0, 1]
# >>> weights.round(3).tolist()
# [[0.429, 0.429, 0.143], [0.143, 0.429, 0.429]]
# ```
#
# <details><summary>Hint</summary>
#
# `pixels = first[:, None] + np.arange(taps)` has the shape (new_size, taps), and `pixels + 0.5 - centers[:, None]` are
# the distances. Try it with 4 -> 2 on paper: the centers are 1 and 3, the stretch is 2.
#
# If nothing seems to help, shrink a line of 0, 255, 0, 255, ... by half with your weights: it must become gray.
#
# </details>

# %% task="resize.resample_coefficients"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: weights that every machine adds up alike (2 points)
#
# Sums of floats depend on the order in which they are added; sums of integers do not. So Pillow rounds weights to
# multiples of $2^{-22}$. Write `fixed_point`: weights rounded to multiples of $2^{-\text{bits}}$, halves away from 0
# (1.5 becomes 2, -1.5 becomes -2). bits is 22. With `arithmetic="torchvision"`, integers have 16 bits: there bits is
# the largest number up to 22 for which $2^\text{bits}$ times the largest weight, rounded, is below $2^{15}$.
#
# ```
# >>> (fixed_point(np.array([1 / 3, -1 / 3])) * 2**22).tolist()
# [1398101.0, -1398101.0]
# >>> float(fixed_point(np.array([0.9, 0.1]), arithmetic="torchvision")[0] * 2**15)
# 29491.0
# ```
#
# <details><summary>Hint</summary>
#
# `np.trunc` cuts towards 0. What must you add to a positive number before that, and what to a negative one?
# `np.copysign` may help. `np.round` does something else with halves: try `np.round([0.5, 1.5, 2.5])`.
#
# </details>

# %% task="resize.fixed_point"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: one pass (5 points)
#
# Write `resample_lines`: `planes` holds lines of bytes (channels, lines, in_size); every line gets `out_size` pixels.
#
# $$\text{out}_i = \mathrm{clip}\left(\lfloor \tfrac12 + \sum_j W_{ij} \, \text{planes}_j \rfloor, 0, 255\right)$$
#
# with the weights of task 2, after `fixed_point`. The result is bytes (`uint8`). If the size stays, the lines come back
# unchanged. The solution works on 16 columns at a time to save memory; you need not.
#
# ```
# >>> edge = np.array([[[100, 100, 100, 200, 200, 200]]], np.uint8)
# >>> resample_lines(edge, 9, resample="bicubic").tolist()
# [[[100, 100, 99, 94, 150, 206, 201, 200, 200]]]
# ```
#
# <details><summary>Hint</summary>
#
# The shortest way is a matrix W (out_size, in_size), 0 outside the windows, and `planes.astype(np.float64) @ W.T`:
# float64 holds all these sums exactly. What does `np.array([-3.0, 260.0]).astype(np.uint8)` give? So clip first.
#
# </details>

# %% task="resize.resample_lines"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: rows or columns first? (1 point)
#
# Write `vertical_first`: whether the heights are resampled before the widths. Pillow 13 does so if the height shrinks,
# and loses more than twice as many pixels as the width; a width that grows loses a number below 0. Pillow 12 never
# does.
#
# ```
# >>> bool(vertical_first((480, 240), (256, 256), pass_order="pillow-13"))
# True
# >>> bool(vertical_first((480, 640), (224, 224), pass_order="pillow-13"))
# False
# ```
#
# <details><summary>Hint</summary>
#
# One line of `and` is enough. Shapes and sizes are (height, width).
#
# </details>

# %% task="resize.vertical_first"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: resize (4 points)
#
# Write `resize`: an image (height, width, channels) of bytes gets a different size, byte for byte as from Pillow. Two
# passes of task 4, one along each axis, in the order of task 5; with `arithmetic="torchvision"` the widths are always
# first. `resample="nearest"` is a different way: it copies the pixels that `nearest_pixels` names for rows and columns.
#
# ```
# >>> resize(np.array([[[0], [255]]], np.uint8), (1, 1)).tolist()
# [[[128]]]
# ```
#
# <details><summary>Hint</summary>
#
# `resample_lines` works along the last of three axes. `np.moveaxis(image, -1, 0)` gives (channels, height, width):
# ready for the widths. For the heights exchange the last two axes before and after. The solution's checks of wrong
# input are not asked for.
#
# </details>

# %% task="resize.resize"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On a photo
#
# When all six are solved, your `resize` makes of a cat what Pillow makes of it. Until then it stops with a
# NotImplementedError. Then it prepares the photo for a model, and if `a1_patches`, `a2_attention` and `a3_model` stand
# in the folder above this one, that model is yours as well: from the bytes of a file to a name, all of it is written by
# you. What is not found or not solved is taken from the reference.

# %%
import numpy as np
from PIL import Image

import deit_ref
from deit_ref.course.release.earlier import rebuilt, together
from deit_ref.photos import bundled_photo, load_image

cat = load_image(bundled_photo("chelsea"))  # (300, 451, 3)
small = resize(cat, (224, 224))
with Image.open(bundled_photo("chelsea")) as file:
    expected = np.asarray(file.resize((224, 224), Image.Resampling.BICUBIC))
print(f"{(small != expected).sum()} of {small.size} bytes differ from Pillow's")

own, _ = together(globals(), number=7, folder="..")
print("of earlier assignments:", ", ".join(name for name in own if name not in globals()) or "none")
prepare, name_it = (rebuilt(place, own) for place in ("image.preprocess", "model.classification_with_teacher"))
model = deit_ref.load_weights(task="classification-with-teacher")
output = name_it(model, prepare([cat], model.image_processing))
reference = deit_ref.forward(model, cat)
gap = np.abs(output.logits - reference.logits).max() / np.abs(reference.logits).max()
print(f"the model's answer is the reference's: {gap < 1e-5}; it says {output.top(1)[0][0][0]}")
Image.fromarray(small)

# %% [markdown] question="a7" points=4
# ## Question: where do the differences come from? (4 points)
#
# A friend computes both passes in float64 and rounds once, at the end. "This is more exact," they say, "so the bytes
# must be the same or better." They shrink a photo of black text on white paper from 2000 x 1500 to 224 x 224 with the
# cubic kernel.
#
# 1. Where in the picture do their bytes differ from Pillow's, and by how much, roughly: by 1, or can it be more?
# 2. Are theirs better? Say what "better" means to you, and for whom: for one who looks at the picture, and for one who
#    runs a model that was trained on Pillow's pictures.
#
# Answer in 8 to 12 sentences. Trying it counts as an argument.

# %% [markdown] rubric="a7"
# ## Rubric (4 points)
#
# - **1 point**: two sources of difference are named: rounding of the first pass (up to half a unit per pixel,
#   smooth areas too) and clipping (at edges, where the cubic overshoots).
# - **1 point**: their sizes are told apart. Rounding alone changes the result by 1 at most: half a unit of error, times
#   weights whose absolute values sum to 1.17. Clipping can change it by many units, near corners and curves, where an
#   overshoot that was cut off is missing in the second pass. Measured on such a page: 15% of the bytes differ, by up to
#   19; on smooth shades 4%, all by 1. Full point also for a student's own measurement.
# - **1 point**: "better" is given a meaning: closeness to the exact sum (float64 wins), or what is seen (hardly any
#   difference), or agreement with what the model saw in training (Pillow wins).
# - **1 point**: a conclusion that follows from it: a reference must fix the arithmetic, because a model's input is part
#   of the model; whoever retrains may choose.
#
# Typical answers that miss: "float64 has more digits, so it is right" without saying with respect to what (at most 1
# point); "only rounding by 1" (no second point).

# %% [markdown] answer="a7"
# ## Model answer
#
# Their bytes differ for two reasons. Pillow rounds to bytes after the first pass: each number in between is off by up
# to half a unit, and the second pass adds these errors with weights whose absolute values sum to little more than 1.
# Rounding at the end adds half a unit, so this makes a byte differ by 1 at most, and it happens everywhere, on smooth
# areas as well. The other reason is clipping. Beside an edge the cubic overshoots, below 0 in black and above 255 in
# white, and Pillow cuts this off after the first pass, while my friend keeps it for the second. Where an edge bends, at
# the corners and curves of letters, the part that was cut off is missing in the second pass, and bytes differ by much
# more than 1. I tried it on such a page: 15% of the bytes differ, by up to 19, and on a picture of smooth shades 4%,
# all by 1. Whether theirs are better depends on what it means. Measured against the sum with exact numbers, theirs are
# closer. For somebody who looks at the picture there is hardly a difference. For a model that was trained on Pillow's
# pictures, Pillow's bytes are better, because they are what its weights were fitted to, and whoever wants its published
# accuracy must reproduce them. So a reference has to fix the arithmetic, and whoever retrains is free to choose.
