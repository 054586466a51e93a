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
# # Where implementations disagree
#
# One photo, one model, three careful programs, and three different inputs. Which one is right?
#
# Nine places where two careful programs give two answers for one photo and one set of weights, each shown by a running
# cell: a photo `(height, width, 3)` or tokens `(batch, tokens, dim)` in, two results of one shape and their difference
# out.
#
# Chapters: [layers](../docs/chapters/layers.md) · [resize](../docs/chapters/resize.md) ·
# [image](../docs/chapters/image.md) · [positions](../docs/chapters/positions.md) ·
# [attention](../docs/chapters/attention.md) · [simmim](../docs/chapters/simmim.md) · NumPy:
# [source](../deit_ref/numpy_backend/) · torch: [mirror](../deit_ref/torch_backend/)

# %% alt="The cat at 224 pixels, three times: narrow by the squash, undistorted by shortest edge 256 and 248"
from dataclasses import replace
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import PIL
import torch
from PIL import Image

import deit_ref
from deit_ref import ImageProcessing
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, judge
from deit_ref.numpy_backend import activations, layers, positions, resize
from deit_ref.photos import bundled_photo, load_image
from deit_ref.plots import hide_patches, to_photos

# Models run on this backend. With "torch" the disagreements stay, because they are not about backends.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))  # (height, width, channels)
squash, shortest = ImageProcessing.huggingface(224), ImageProcessing.original(224)
ways = {
    "squash, 256": squash,
    "shortest edge, 256": shortest,
    "shortest edge, 248": replace(shortest, size={"shortest_edge": 248}),
}
seen = {}
figure, panels = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axes, (name, processing) in zip(panels, ways.items(), strict=True):
    x = deit_ref.preprocess(photo, processing, backend=backend)  # (1, 3, 224, 224)
    seen[name] = to_photos(x, processing)[0].astype(int)  # bytes again
    axes.imshow(seen[name].astype(np.uint8))
    axes.set_axis_off()
    axes.set_title(name, fontsize=10)
plt.show()

# %% [markdown]
# None is wrong, but the weights were trained with one of the three. A program that computes a different one gets
# slightly wrong results, or a test that compares two libraries fails and nobody knows why.
#
# **How to read it.** Each part says who does what, shows it, measures what it costs, and names the argument of
# `deit_ref` that chooses. What is said of other libraries was measured or read in November 2026, in these versions:
# transformers 4.57.6 ("v4") and 5.23.0 ("v5"), timm 1.0.31, torch 2.13.0, torchvision 0.28, Pillow 11.3 to 13.0.0; and
# in the source of facebookresearch/deit ("the original"). This notebook imports neither transformers nor timm: both
# answers are computed here, and the tests of this project hold them to those libraries.

# %%
weights = deit_ref.load_weights()
config = weights.config
pixel_values = deit_ref.preprocess(photo, weights.image_processing, backend=backend)
costs = {}  # trap -> what it cost here; the table at the end


def logits_of(weights, **options):
    """The logits of one forward pass on the prepared photo, (batch, classes)."""
    options.setdefault("pixel_values", pixel_values)
    return as_numpy(deit_ref.forward(weights, backend=backend, **options).logits)


def relative(a, b):
    """The largest difference, divided by the largest value of a."""
    return float(np.abs(a - b).max() / np.abs(a).max())


right = logits_of(weights)
print("photo", photo.shape, "-> pixel_values", tuple(pixel_values.shape), "-> logits", right.shape)

# %% [markdown]
# ## 1. Squash against shortest edge
#
# A photo is rarely square, the model's input is. There are two ways to 224 × 224.
#
# | who | what |
# |---|---|
# | transformers v4 and v5, `DeiTImageProcessor`, default size | squashes to 256 × 256, then crops 224 |
# | the original's evaluation | makes the *shortest edge* 256, keeps the aspect, then crops 224 |
# | timm, DeiT at 224 pixels | the same with shortest edge 248 (crop share 0.9) |
#
# The pictures at the top of the page are these three. The cat's face is narrow in the first; the two others see less of
# the photo's sides.
#
# **Before you run it:** how many of 255 gray levels do two of these pictures differ, on average? And will the bundled
# model give the same answer to both?

# %%
for a, b in (("squash, 256", "shortest edge, 256"), ("shortest edge, 256", "shortest edge, 248")):
    print(f"{a} against {b}: {np.abs(seen[a] - seen[b]).mean():.1f} of 255 gray levels apart on average")
own = weights.image_processing  # the bundled model's own mean and std, at its own size
side = config.image_shape[0]
answers = {}
for name, size in (("squash", side * 8 // 7), ("shortest edge", {"shortest_edge": side * 8 // 7})):
    processing = replace(own, size=size, do_center_crop=True, crop_size=side)
    output = deit_ref.forward(weights, photo, image_processing=processing, backend=backend)
    answers[name] = as_numpy(output.logits)
    print(f"{name:<14} the bundled model says {output.top(1)[0][0][0]}, {output.top(1)[0][0][1]:.1%}")
costs["1 squash, not shortest edge"] = relative(answers["shortest edge"], answers["squash"])
print(f"logits move by {costs['1 squash, not shortest edge']:.1%} of the largest")

# %% [markdown]
# **In deit_ref**: `ImageProcessing.huggingface(224)` squashes, `ImageProcessing.original(224)` keeps the aspect, and a
# checkpoint's own file decides when there is one. Mean and std are part of the same trap: the *class default* of
# transformers is 0.5 for both, the original uses ImageNet's. Read them from the checkpoint's file.

# %% [markdown]
# ## 2. Pillow's pass order
#
# A resize is done in two passes, one along the rows and one along the columns, and between them the pixels are rounded
# and cut to bytes. So the order shows in the result.
#
# | who | which pass comes first |
# |---|---|
# | Pillow 11.3 to 12.1 | always the horizontal one |
# | Pillow 12.2 and 12.3 | the same, except for images more than 100 times as high as wide that lose height |
# | Pillow 13.0 | the vertical one when the height shrinks, and by more than twice what the width loses |
# | torchvision 0.28 on bytes | always the horizontal one |
#
# An upgrade to Pillow 13 thus changes the pixels of some *portrait* photos. Landscape photos made into a smaller square
# stay as they were: they lose no more height than width. Here is a portrait, cut out of a different photo: 300 pixels
# high and 150 wide, made 256 × 256.
#
# **Before you run it:** which share of its bytes will differ: one in a thousand, or one in five?

# %%
portrait = load_image(bundled_photo("astronaut"))[:, 50:200]  # (300, 150, 3)
twelve = resize.resize(portrait, (256, 256), pass_order="pillow-12").astype(int)
thirteen = resize.resize(portrait, (256, 256), pass_order="pillow-13").astype(int)
gap = np.abs(twelve - thirteen)  # (256, 256, 3)
costs["2 Pillow 13, not 12: portrait, gray levels"] = int(gap.max())
print(f"portrait  {portrait.shape}: {(gap > 0).mean():.1%} of the bytes differ, by at most {gap.max()}")
same = [resize.resize(photo, (256, 256), pass_order=order) for order in ("pillow-12", "pillow-13")]
print(f"landscape {photo.shape}: {(same[0] != same[1]).sum()} bytes differ")
yours = np.asarray(Image.fromarray(portrait).resize((256, 256), Image.Resampling.BICUBIC))
for order, pixels in (("pillow-12", twelve), ("pillow-13", thirteen)):
    print(f"Pillow {PIL.__version__}, installed here, equals pass_order={order!r}: {np.array_equal(yours, pixels)}")

# %% [markdown]
# Where do the two differ? By a rounding nearly everywhere, and by more where the cubic overshoots at sharp edges and
# the cut to 0..255 between the passes takes something away.

# %% alt="The portrait resized to a square, and a map of how many gray levels the two pass orders differ"
figure, (left, middle) = plt.subplots(1, 2, figsize=(6.4, 2.9), layout="constrained")
left.imshow(thirteen.astype(np.uint8))
left.set_title("portrait, made 256 × 256", fontsize=10)
image = middle.imshow(gap.max(axis=2), cmap="inferno", vmax=3)
middle.set_title("pillow-13 against pillow-12", fontsize=10)
figure.colorbar(image, ax=middle, label="gray levels", extend="max", ticks=range(4))
left.set_axis_off(), middle.set_axis_off()
plt.show()

# %% [markdown]
# **In deit_ref**: `ImageProcessing(pass_order="pillow-13")` or `"pillow-12"` (without its special case). It is fixed
# and never read from the installed Pillow, so results do not change with an upgrade of something else.

# %% [markdown]
# ## 3. The slow and the fast processor
#
# transformers has two image processors for one model. The slow one uses Pillow; the fast one uses torchvision, whose
# resize has weights of 16 bits, and which rescales and normalizes in one step.
#
# | who | which |
# |---|---|
# | v4, `AutoImageProcessor` | the slow one, unless told otherwise |
# | v5, `AutoImageProcessor` | the fast one |
#
# **Before you run it:** on the landscape photo they differ by one gray level, in a few bytes of a thousand; on other
# photos single bytes by two. What will happen on the portrait, which the fast processor still begins with the width?

# %%
slow = ImageProcessing.huggingface(224)
fast = replace(slow, arithmetic="torchvision")
gaps = {}
for name, picture in (("landscape", photo), ("portrait", portrait)):
    pair = [deit_ref.preprocess(picture, processing, backend=backend) for processing in (slow, fast)]
    bytes_of = [to_photos(x, slow)[0].astype(int) for x in pair]
    gaps[name] = np.abs(bytes_of[0] - bytes_of[1]).max(axis=2)  # (224, 224)
    share = (bytes_of[0] != bytes_of[1]).mean()
    print(f"{name:<10} {share:.2%} of the bytes differ, by at most {gaps[name].max()};"
          f" normalized values by {relative(*map(as_numpy, pair)):.1e} of the largest")  # fmt: skip
costs["3 fast, not slow: landscape, gray levels"] = int(gaps["landscape"].max())
costs["3 fast, not slow: portrait, gray levels"] = int(gaps["portrait"].max())

# %% [markdown]
# Trap 2 comes back: Pillow 13 turns the passes round, torchvision does not.

# %% alt="Two maps of where slow and fast processor differ: few dots in the landscape photo, many in the portrait"
figure, panels = plt.subplots(1, 2, figsize=(6.4, 2.9), layout="constrained")
for axes, (name, gap) in zip(panels, gaps.items(), strict=True):
    image = axes.imshow(gap, cmap="inferno", vmin=0, vmax=3)
    axes.set_title(f"{name}: slow against fast", fontsize=10)
    axes.set_axis_off()
figure.colorbar(image, ax=panels, label="gray levels", extend="max", ticks=range(4))
plt.show()

# %% [markdown]
# **In deit_ref**: `ImageProcessing(arithmetic="pillow")` is the slow processor bit for bit, `arithmetic="torchvision"`
# the fast one. The name in a checkpoint's file cannot choose: "DeiTImageProcessor" is the slow one in v4 and the fast
# one in v5. The fast one has no box and no hamming filter, so these are a `ValueError` there.

# %% [markdown]
# ## 4. Position embeddings on a different grid
#
# A model trained on one grid of patches needs positions for a different one when the image grows. All interpolate with
# a cubic, and mean different cubics.
#
# | who | what |
# |---|---|
# | transformers v4 and v5, and the original | torch's bicubic: slope $a = -0.75$, no antialias |
# | timm, `resample_abs_pos_embed` | torch's bicubic with `antialias=True`, which also means $a = -0.5$ |
#
# With antialias, shrinking averages over more positions.
#
# **Before you run it:** when the grid *grows*, there is nothing to smooth. Will the two agree there?


# %%
def with_antialias(pos_embed, grid):
    """The patches' positions as timm resamples them, by torch; the prefix tokens stay."""
    prefix = config.num_prefix_tokens
    plane = torch.from_numpy(pos_embed[:, prefix:]).reshape(1, *config.grid, -1).permute(0, 3, 1, 2)
    plane = torch.nn.functional.interpolate(plane, size=grid, mode="bicubic", antialias=True)
    return np.concatenate([pos_embed[:, :prefix], plane.flatten(2).transpose(1, 2).numpy()], axis=1)


rows, columns = config.grid
results = {}
for grid in ((rows * 3 // 2, columns * 3 // 2), (rows * 5 // 8, columns * 5 // 8)):
    options = {"num_prefix_tokens": config.num_prefix_tokens, "source_grid": config.grid, "target_grid": grid}
    ours = positions.interpolate_pos_embed(weights.pos_embed, **options)
    timms = with_antialias(weights.pos_embed, grid)
    results[grid] = ours, timms
    rms = np.sqrt(np.square(ours - timms)[:, 2:].mean()) / weights.pos_embed[:, 2:].std()
    print(f"{config.grid} -> {grid}: positions {ours.shape} differ by {rms:.1%} of their spread (root mean square)")

# %% [markdown]
# They do not: the different slope stays, so growing differs as well. One feature of the positions as a picture. Compare
# the middle column with the right one, first when growing, then when shrinking.

# %% alt="One feature of the positions as colored grids: as learned, without and with antialias, larger and smaller"
figure, panels = plt.subplots(2, 3, figsize=(6.4, 4.2), layout="constrained")
feature = int(weights.pos_embed[0, config.num_prefix_tokens :].std(axis=0).argmax())
for row, (grid, pair) in zip(panels, results.items(), strict=True):
    named = {
        "as learned": (weights.pos_embed, config.grid),
        "no antialias": (pair[0], grid),
        "antialias": (pair[1], grid),
    }
    for axes, (name, (pos_embed, shape)) in zip(row, named.items(), strict=True):
        plane = pos_embed[0, config.num_prefix_tokens :, feature].reshape(shape)
        spread = np.abs(weights.pos_embed[0, config.num_prefix_tokens :, feature]).max()
        axes.imshow(plane, cmap="RdBu", vmin=-spread, vmax=spread)
        axes.set_title(f"{name}, {shape[0]} × {shape[1]}", fontsize=9)
        axes.set_axis_off()
plt.show()

# %%
for grid, (_, timms) in results.items():
    shape = (grid[0] * config.patch_shape[0], grid[1] * config.patch_shape[1])
    x = deit_ref.preprocess(photo, replace(own, size=shape, crop_size=shape), backend=backend)
    ours = logits_of(weights, pixel_values=x, interpolate_pos_encoding=True)
    resampled = replace(weights, config=replace(config, image_size=shape), pos_embed=timms)
    cost = costs[f"4 antialiased positions, {config.grid} to {grid}"] = relative(
        ours, logits_of(resampled, pixel_values=x)
    )
    print(f"pixel_values {tuple(x.shape)}: logits move by {cost:.1%} of the largest")

# %% [markdown]
# **In deit_ref**: `forward(..., interpolate_pos_encoding=True)` is transformers' and the original's formula, on any
# grid, also one that is not square, where transformers' own code fails. For a checkpoint that timm resampled, resample
# it once and store the result with its new `image_size`, as the cell above does.

# %% [markdown]
# ## 5. The epsilon in layer norm
#
# $$y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \odot \gamma + \beta$$
#
# | who | $\epsilon$ |
# |---|---|
# | timm and the original | 1e-6 |
# | transformers v4 and v5, `DeiTConfig` and the script that converted the published weights | 1e-12 |
#
# The published weights were trained with 1e-6, and their conversion never set it. With equal $\epsilon$ and the same
# weights, timm and transformers give the same logits: both are within 1e-5 of this project's, which tests hold.
#
# Where does it matter? Where a token's variance is small beside $\epsilon$. In the picture $\gamma = 1$ and $\beta =
# 0$: a norm should return the spread 1, the dotted line.
#
# **Before you run it:** at which spread will the curve of 1e-6 leave it?

# %% alt="Spread after the norm against spread before: it falls from 1 below 1e-3 with eps 1e-6, below 1e-6 with 1e-12"
token = np.random.default_rng(0).standard_normal((1, 192))  # float64, so that only eps shows
token = (token - token.mean()) / token.std()
spreads = np.logspace(-8, 1, 60)
plain = replace(weights.norm, weight=np.ones(192), bias=np.zeros(192))
figure, axes = plt.subplots(figsize=(5.4, 3), layout="constrained")
for eps, color in ((1e-6, PIXELS), (1e-12, OTHER)):
    after = [layers.layer_norm(plain, token * spread, eps=eps).std() for spread in spreads]
    axes.loglog(spreads, after, color=color, label=f"eps {eps:.0e}")
axes.axhline(1, color="0.5", linestyle=":")
axes.set_xlabel("spread of the token before the norm")
axes.set_ylabel("after it")
axes.legend()
plt.show()

# %% [markdown]
# ## Your turn: how small is small?
#
# A token has the spread 0.01. For which $\epsilon$ does layer norm return the spread 0.99 instead of 1? Solve
# $\sigma / \sqrt{\sigma^2 + \epsilon} = 0.99$.

# %%
my_eps = ...  # your turn
spread = 0.01
judge(my_eps, spread**2 * (1 / 0.99**2 - 1), "Square both sides first.", within=0.02)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_eps = 0.02 * 0.01**2
# ```
#
# $\epsilon = \sigma^2 (1 / 0.99^2 - 1) \approx 0.02 \, \sigma^2 = 2 \cdot 10^{-6}$: twice the original's.
#
# </details>

# %%
new = deit_ref.init_weights(replace(config, initializer_range=0.02), weights.task, seed=0)
for name, model in (("bundled", weights), ("new", new)):
    pair = [logits_of(replace(model, config=replace(config, layer_norm_eps=eps))) for eps in (1e-6, 1e-12)]
    costs[f"5 eps 1e-12, not 1e-6: {name} weights"] = relative(*pair)
    print(f"{name:<8} weights: logits move by {relative(*pair):.1e} of the largest")

# %% [markdown]
# **In deit_ref**: `DeiTConfig.layer_norm_eps`, and no default in `layers.layer_norm`. A config file's value is taken;
# a lone file gets 1e-6 if its tensors have the original's or timm's names, 1e-12 if they have transformers'; the log
# says so.

# %% [markdown]
# ## 6. Two functions called GELU
#
# $$x \, \Phi(x) \qquad \text{and} \qquad
#   \tfrac12 x \left(1 + \tanh\!\left(\sqrt{2 / \pi} \, (x + 0.044715 \, x^3)\right)\right)$$
#
# | who | which |
# |---|---|
# | transformers v4 and v5 with `hidden_act="gelu"`, DeiT's; timm; the original | the first, exact |
# | transformers with `"gelu_new"`, `"gelu_pytorch_tanh"`, `"gelu_fast"` | the second, an approximation |
#
# **Before you run it:** the two curves cannot be told apart. How large is their difference, in units of 0.0001, and
# where?

# %% alt="Above, exact and tanh GELU, on one another; below, their difference, which stays within 0.0005"
x = np.linspace(-5, 5, 2001)
exact, tanh = activations.gelu(x), activations.gelu_tanh(x)
figure, (above, below) = plt.subplots(2, 1, figsize=(5.4, 3.6), sharex=True, layout="constrained")
above.plot(x, exact, color=PIXELS, label="exact")
above.plot(x, tanh, "--", color="black", label="tanh")
above.legend()
below.plot(x, 1e4 * (tanh - exact), color="black")
below.set_ylabel("difference, 1e-4")
below.set_xlabel("x")
plt.show()

# %%
print(f"largest difference of the two functions: {np.abs(tanh - exact).max():.2e}")
assert 4.6e-4 < np.abs(tanh - exact).max() < 4.8e-4
cost = costs["6 tanh GELU"] = relative(
    right, logits_of(replace(weights, config=replace(config, hidden_act="gelu_new")))
)
print(f"logits move by {cost:.1e} of the largest")
float32 = activations.gelu(x.astype(np.float32))
print(f"the float32 form of activations.gelu is within {np.abs(float32 - exact).max():.1e} of the exact one")

# %% [markdown]
# **In deit_ref**: `DeiTConfig.hidden_act`, with every name of transformers that has no weights of its own (`prelu` and
# `xielu` do). Here `"gelu"` in float32 is a fitted form too, for speed, but one whose error is that of float32 itself;
# the last line shows it.

# %% [markdown]
# ## 7. The patch that the distillation token draws
#
# In masked image modeling each patch token draws its patch. DeiT has *two* tokens before the patches, ViT has one.
#
# | who | which tokens draw |
# |---|---|
# | transformers v4, `DeiTForMaskedImageModeling` | `[1:-1]`: the distillation token and all patches but the last |
# | transformers v5, the same class | `[2:]`: each token its own patch |
#
# With `[1:-1]` the distillation token draws patch 0, each token the patch after its own, and the last token nothing.
#
# A test of shapes cannot find this: both slices have the same length. Below the same tokens are drawn by both; the
# bundled model was trained with the second.
#
# **Before you run it:** what will the picture of the first look like: noise, or something that you know?

# %%
drawer = deit_ref.load_weights("cifar10-simmim")
grid, patch_shape = drawer.config.grid, drawer.config.patch_shape
prepared = deit_ref.preprocess(photo, drawer.image_processing, backend=backend)
hidden = np.random.default_rng(0).permutation(drawer.config.num_patches)[None] < drawer.config.num_patches // 2
trace = deit_ref.Trace(["norm"])
deit_ref.forward(drawer, pixel_values=prepared, bool_masked_pos=hidden, backend=backend, trace=trace)
reconstruct = import_module(f"deit_ref.{backend}_backend.simmim").reconstruct
masked_l1 = import_module("deit_ref.numpy_backend.losses").masked_l1
drawn = {}
for name, shifted in (("each token its own patch", False), ("shifted by one", True)):
    drawn[name] = as_numpy(reconstruct(drawer.to(backend), trace["norm"], grid=grid, shifted_slice=shifted))
    loss = masked_l1(drawn[name], as_numpy(prepared), hidden, patch_shape=patch_shape)
    print(f"{name:<25} {drawn[name].shape}, masked L1 {loss:.4f}")
costs["7 shifted slice"] = relative(*drawn.values())

# %% alt="The photo, the photo with half of its patches hidden, the guess, and the guess moved one patch to the right"
original = to_photos(prepared, drawer.image_processing)[0]
pictures = {"original": original, "hidden": hide_patches(original, hidden, patch_shape=patch_shape)}
pictures |= {name: to_photos(x, drawer.image_processing)[0] for name, x in drawn.items()}
figure, panels = plt.subplots(1, 4, figsize=(8, 2.4), layout="constrained")
for axes, (name, picture) in zip(panels, pictures.items(), strict=True):
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(name, fontsize=9)
plt.show()

# %% [markdown]
# The last picture is the third one, moved one patch to the right; what leaves a row on the right enters the next one on
# the left. Only patch 0, drawn by the distillation token, is new. The cell checks it.

# %%
patchify = import_module("deit_ref.numpy_backend.patches").patchify
own_place, moved = (patchify(x, patch_shape=patch_shape)[0] for x in drawn.values())  # (patches, patch_values)
print(f"patch p of one against patch p - 1 of the other: {np.abs(moved[1:] - own_place[:-1]).max():.1e}")
assert np.allclose(moved[1:], own_place[:-1], rtol=0, atol=1e-5 * np.abs(moved).max())

# %% [markdown]
# **In deit_ref**: `simmim.reconstruct(..., shifted_slice=False)`. Weights that were trained with v4 learned the shift;
# give `shifted_slice=True` for those, and only for those.

# %% [markdown]
# ## 8. A head mask that does nothing
#
# `head_mask` switches single attention heads off: their probabilities are multiplied by 0.
#
# | who | what `head_mask` does |
# |---|---|
# | transformers v4, `attn_implementation="eager"` | multiplies the probabilities after softmax: removes the head |
# | transformers v4, `"sdpa"`, the default | is added to the *scores*, one number for all keys of a head: no effect |
# | transformers v5 | is accepted and ignored: no effect |
#
# Why an added number has no effect: softmax does not see what is added to all of its scores.
#
# $$\frac{e^{s_i + c}}{\sum_j e^{s_j + c}} = \frac{e^c \, e^{s_i}}{e^c \sum_j e^{s_j}}
#   = \frac{e^{s_i}}{\sum_j e^{s_j}}$$
#
# There is no error and no warning, and a study that switches off one head after another finds that none matters.
# Below, the first head is switched off in both ways.

# %%
head_mask = np.ones(config.num_attention_heads, np.float32)
head_mask[0] = 0
trace = deit_ref.Trace(["blocks.0.attention.*"])
deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, trace=trace)
scores = as_numpy(trace["blocks.0.attention.scores"])  # (batch, heads, tokens, tokens)
probabilities = as_numpy(trace["blocks.0.attention.probabilities"])
added = layers.softmax(scores + head_mask[:, None, None])
multiplied = layers.softmax(scores) * head_mask[:, None, None]
print(f"scores {scores.shape}; largest probability of head 0: {probabilities[:, 0].max():.3f}")
print(f"added to the scores:              {np.abs(added - probabilities).max():.1e} is the largest change of all heads")
print(
    f"multiplied with probabilities:    {np.abs(multiplied - probabilities).max():.3f} is the largest change, in head 0"
)

# %% alt="Where the class token looks in head 0: the same without a mask and with it added, nowhere with it multiplied"
figure, panels = plt.subplots(1, 3, figsize=(6.6, 2.4), layout="constrained")
named = {"no mask": probabilities, "added to the scores": added, "multiplied": multiplied}
for axes, (name, p) in zip(panels, named.items(), strict=True):
    looks = p[0, 0, 0, config.num_prefix_tokens :].reshape(config.grid)  # class token -> patches
    image = axes.imshow(looks, cmap="inferno", vmin=0, vmax=probabilities[0, 0, 0, config.num_prefix_tokens :].max())
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
figure.colorbar(image, ax=panels, label="attention")
plt.show()

# %%
masked = logits_of(weights, head_mask=head_mask)
costs["8 head_mask that does nothing"] = relative(right, masked)
print(f"without head 0 the logits move by {relative(right, masked):.1%} of the largest; added, they would not move")


# %% [markdown]
# ## Your turn: switch a head off
#
# Given the shares of all heads, return what they are when some are switched off by a mask of one number per head.


# %%
def my_masked(shares, head_mask):
    """Shares (batch, heads, tokens, tokens), those of a head of mask 0 all 0."""
    ...  # your turn


random_shares = layers.softmax(np.random.default_rng(0).standard_normal((1, 4, 5, 5)))
some_mask = np.linspace(0, 1, random_shares.shape[1])
truth = np.einsum("bhij,h->bhij", random_shares, some_mask)
judge(my_masked(random_shares, some_mask), truth, "The mask needs two more axes behind it.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_masked(shares, head_mask):
#     return shares * head_mask[:, None, None]
# ```
#
# </details>

# %% [markdown]
# **In deit_ref**: `forward(..., head_mask=...)` multiplies always, in both backends, and a mask of a wrong shape is a
# `ValueError`. To hide *tokens* rather than heads, there is `attention_mask`.

# %% [markdown]
# ## 9. Layer norm of a constant token, in float32
#
# The last one is nobody's mistake. A token whose features are all alike has variance 0, and layer norm gives exactly 0
# for it, by any formula, on paper. In float32 the mean of 192 times 0.1 need not be the float32 nearest to 0.1. If it
# is off by $10^{-8}$, that much is left of every feature, and layer norm divides it by $\sqrt{\sigma^2 + \epsilon}$,
# which is as small.
#
# | who, in float32 | a token of 192 equal values |
# |---|---|
# | NumPy, as in chapter 4: a mean by summing | noise, up to size 1 with eps 1e-12 |
# | torch's `layer_norm` on a CPU (timm and transformers call it): a running mean | exactly 0 |
#
# **Before you run it:** on paper the whole table is 0. Which column will be?

# %%
torch_layer_norm = import_module("deit_ref.torch_backend.layers").layer_norm
norm32 = replace(plain, weight=plain.weight.astype(np.float32), bias=plain.bias.astype(np.float32))
twin = replace(plain, weight=torch.ones(192), bias=torch.zeros(192))


def three_norms(token32, eps):
    """The largest |layer norm| of float32 tokens: NumPy float32, torch float32, NumPy float64."""
    ours = layers.layer_norm(norm32, token32, eps=eps)
    torchs = as_numpy(torch_layer_norm(twin, torch.from_numpy(token32), eps=eps))
    exact = layers.layer_norm(plain, token32.astype(np.float64), eps=eps)
    return [float(np.abs(y).max()) for y in (ours, torchs, exact)]


print(f"{'eps':>6} {'constant':>9} {'NumPy float32':>14} {'torch float32':>14} {'NumPy float64':>14}")
for eps in (1e-12, 1e-6):
    for constant in (0.1, 3.3, 100.3, 1000.7):
        found = three_norms(np.full((1, 192), constant, np.float32), eps)
        print(f"{eps:>6.0e} {constant:>9}" + "".join(f"{y:>15.1e}" for y in found))

# %% [markdown]
# So is torch's way the remedy? Only for values that are equal to the last bit, and in a model a token is a sum. Here
# two float32 tokens are added whose sum is constant on paper; after rounding, its features differ in their last bits.
# Now no column is 0, the one of float64 neither: it norms the same rounded tokens. The norm makes full-size tokens of
# such rounding, unless $\epsilon$ is large enough to stop it.

# %%
part = np.random.default_rng(0).standard_normal((1, 192))
for eps in (1e-12, 1e-6):
    for constant in (0.1, 3.3, 100.3, 1000.7):
        token32 = part.astype(np.float32) + (constant - part).astype(np.float32)  # constant, but for rounding
        found = three_norms(token32, eps)
        print(f"{eps:>6.0e} {constant:>9}" + "".join(f"{y:>15.1e}" for y in found))
in_float64 = layers.layer_norm(plain, part + (1000.7 - part), eps=1e-12)
print(f"the same sum in float64, constant 1000.7, eps 1e-12: {np.abs(in_float64).max():.1e}")

# %% [markdown]
# The constants of a whole range, by the NumPy chapter in float32: each dot should lie at 0.

# %% alt="Layer norm of constant tokens against the constant: dots between 0 and 1 with eps 1e-12, near 0 with 1e-6"
constants = np.logspace(-2, 3, 60)
tokens32 = np.broadcast_to(constants.astype(np.float32)[:, None], (60, 192))
figure, axes = plt.subplots(figsize=(5.4, 3), layout="constrained")
for eps, color in ((1e-12, OTHER), (1e-6, PIXELS)):
    after = np.abs(layers.layer_norm(norm32, tokens32, eps=eps)[:, 0])
    axes.semilogx(constants, after, "o", markersize=4, color=color, label=f"eps {eps:.0e}")
    costs[f"9 constant token in float32, eps {eps:.0e}: truly 0"] = float(after.max())
axes.set_xlabel("the constant")
axes.set_ylabel("|layer norm|")
axes.legend()
plt.show()

# %% [markdown]
# So two correct programs may differ by 1 on such a token, and a test that feeds constant tokens in float32 tests the
# order of a sum.
#
# **In deit_ref**: `forward(..., dtype="float64")`. The project's tests compare constant tokens in float64 only, and
# tokens that vary in both.

# %% [markdown]
# ## What each of them cost here
#
# On this photo with these weights. Shares are the largest change of a result, divided by its largest value; the rest is
# in gray levels of 255. For comparison: two right programs in float32 differ by about 1e-6.

# %%
for name, cost in costs.items():
    print(f"{name:<50} {cost if isinstance(cost, int) else format(cost, '.1e')}")

# %% [markdown]
# ## More of them
#
# Not shown here, but measured in the same versions, and with an argument or a test in this project:
#
# | where | what differs | in deit_ref |
# |---|---|---|
# | padding before a crop | odd margin: the larger half first (slow processor) or last (fast) | `arithmetic` |
# | gray photos | refused, or broadcast by v4's fast processor | `do_convert_rgb=True` repeats them |
# | RGBA, `do_convert_rgb` | alpha is dropped (v4, fast) or laid on white (v5) | laid on white |
# | floats in 0..1 | the slow processor multiplies by 255 and *cuts* to bytes | the same rule, said in `load_image` |
# | EXIF orientation | `load_image` and pipelines apply it, a processor to paths only | `apply_exif=False`; `--exif` |
# | `hidden_states[-1]` | is *before* the last norm in transformers | the same |
# | two heads | a mean always (transformers), two results in training (the original) | one type with all three |
# | their mean | of the probabilities, says the paper; of the logits, by all three programs | of the logits |
# | new tokens, positions | 0 in transformers, so that cls and dist are twins; drawn in the original, timm | drawn |
# | `hidden_act="selu"` | documented, and a `KeyError` in v4 and v5 | works |
# | soft distillation | the original divides by images *times classes* | the same, see [notebook 9](09_losses.ipynb) |
# | `problem_type` | v4 and v5 write their first guess into the config; other labels then fail | decided in each call |
#
# ## Try
#
# 1. In trap 2, resize to `(32, 32)` portraits of 150 and of 200 pixels width. When do the two orders agree? Predict it
#    from the rule before you run.
# 2. In trap 5, would an $\epsilon$ of 1e-5 matter for this photo? Change `layer_norm_eps` and look at the logits.
# 3. In trap 8, add a mask with a different number for every *key* instead of one for all. Is it still invisible?
#
# <details><summary>Answers</summary>
#
# 1. At 150 pixels the width loses 118 and the height 268, which is more than twice as much: the orders differ. At 200
#    the width loses 168, and 268 is less than 336: both begin with the width, and the bytes are the same.
# 2. Hardly: tokens inside a model have a spread that is large beside the root of 1e-5, so the logits move in their last
#    digits. Print `relative(right, logits_of(replace(weights, config=replace(config, layer_norm_eps=1e-5))))`.
# 3. No. Then every score of a row is changed by a number of its own, and softmax sees the differences. This is how an
#    attention mask hides *tokens*: the number of a hidden key is minus infinity.
#
# </details>
