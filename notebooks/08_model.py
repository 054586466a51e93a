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
# # 8. The whole model
#
# What does it take to say "cat"? A million numbers that were learned, and how many operations? All chapters in order:
# normalized pixels `(batch, channels, height, width)` in, and one output type for each of the four tasks out, such as
# logits `(batch, num_labels)`.
#
# Chapter: [page](../docs/chapters/model.md) · NumPy: [source](../deit_ref/numpy_backend/model.py) · torch:
# [mirror](../deit_ref/torch_backend/model.py)

# %% alt="A photo of a cat, and the same as the model sees it, 32 by 32 pixels."
import re
import tempfile
from math import prod
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.config import TASKS
from deit_ref.exercises import CLS, DIST, LEARNED, OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import encoder, heads, layers, model, patches, positions, tokens
from deit_ref.photos import bundled_photo, load_image
from deit_ref.plots import to_photos
from deit_ref.weights import array_shapes, named_arrays

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

weights = deit_ref.load_weights()
config = weights.config
pixel_values = as_numpy(deit_ref.preprocess(bundled_photo(), weights.image_processing, backend=backend))
figure, panels = plt.subplots(1, 2, figsize=(6, 2.4), dpi=100, width_ratios=(1.5, 1), layout="constrained")
for axes, picture in zip(
    panels, (load_image(bundled_photo()), to_photos(pixel_values, weights.image_processing)[0]), strict=True
):
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# With $E$ the patch embedding, $x_n$ the patches, $E_\text{pos}$ the positions and $L$ blocks:
#
# $$z_0 = [\, z_\text{cls}; \; z_\text{dist}; \; x_1 E^\top + b; \; \dots; \; x_N E^\top + b \,] + E_\text{pos}$$
#
# $$z'_l = z_{l-1} + \mathrm{MHA}(\mathrm{LN}(z_{l-1})), \qquad z_l = z'_l + \mathrm{MLP}(\mathrm{LN}(z'_l)),
#   \qquad l = 1 \dots L$$
#
# $$o = \tfrac12 \left(\mathrm{LN}(z_L)_\text{cls} W_\text{cls}^\top + b_\text{cls}
#   + \mathrm{LN}(z_L)_\text{dist} W_\text{dist}^\top + b_\text{dist}\right)$$
#
# The shape never changes between the first line and the last: `(batch, tokens, dim)`. In code, `encode` is what all
# tasks share; a task only decides which tokens are read, and by what.

# %%
folded(model.encode, model.classification_with_teacher)

# %% [markdown]
# ## By hand: how many parameters
#
# A model small enough to count: images of 4 × 4 pixels with one channel, patches of 2 × 2, dim 4, one block with an mlp
# of 8, three classes.
#
# **Before you run it:** write down how many learned numbers each part has: the patch embedding, the class and the
# distillation token, the positions, the two norms in the block, queries, keys and values, the heads' mix (`proj`), the
# mlp, the last norm, and two heads of three classes.

# %%
small = deit_ref.DeiTConfig(
    hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
    image_size=4, patch_size=2, num_channels=1, num_labels=3,
)  # fmt: skip
shapes = array_shapes(small, "classification-with-teacher")
for name, shape in shapes.items():
    print(f"{name:<26} {shape!s:<15} {prod(shape):>4}")
print(f"{'all':<42} {sum(map(prod, shapes.values())):>4}")

# %% [markdown]
# | part | count |
# |---|---|
# | patch embedding: 4 features from 1 · 2 · 2 values, and biases | 4 · 4 + 4 = 20 |
# | class token, distillation token | 4 + 4 = 8 |
# | positions: 2 prefix tokens and 4 patches | 6 · 4 = 24 |
# | two norms in the block | 2 · 8 = 16 |
# | queries, keys, values | 12 · 4 + 12 = 60 |
# | the heads' mix (`proj`) | 4 · 4 + 4 = 20 |
# | mlp, out and back | 8 · 4 + 8 + 4 · 8 + 4 = 76 |
# | last norm | 8 |
# | two heads of three classes | 2 · (3 · 4 + 3) = 30 |
# | all | 262 |
#
# The number of attention heads is not in the table: they share out the same dim.

# %%
assert sum(map(prod, shapes.values())) == 20 + 8 + 24 + 16 + 60 + 20 + 76 + 8 + 30 == 262

# %% [markdown]
# ## Your turn: count a block
#
# How many learned numbers does one block have, as a function of `dim` and `hidden`, the width of its mlp?


# %%
def my_count(dim, hidden):
    """Parameters of a block: two norms, attention, mlp."""
    ...  # your turn


tiny = array_shapes(deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"], "features")
truth = sum(prod(shape) for name, shape in tiny.items() if name.startswith("blocks.0."))
judge(my_count(192, 768), truth, "Every linear map has a bias too, and a norm has a scale and a shift.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_count(dim, hidden):
#     norms = 2 * 2 * dim
#     attention = 3 * dim * dim + 3 * dim + dim * dim + dim
#     return norms + attention + hidden * dim + hidden + dim * hidden + dim
# ```
#
# </details>

# %% [markdown]
# The eight published models, counted in the same way, and checked against timm's numbers, which count the same arrays.
#
# **Before you run it:** from tiny to base, dim grows by four. By how much do the parameters grow?

# %%
published = {}
for name, config in deit_ref.VARIANTS.items():
    task = "classification-with-teacher" if config.distilled else "classification"
    published[name] = sum(map(prod, array_shapes(config, task).values()))
    count = config.num_prefix_tokens + config.num_patches
    print(f"{name:<34} dim {config.hidden_size}  tokens {count}  parameters {published[name]:>10,}")
assert list(published.values()) == [
    5717416, 22050664, 86567656, 86859496,  # plain: tiny, small, base, base at 384 pixels
    5910800, 22436432, 87338192, 87630032,  # distilled
]  # fmt: skip

# %% [markdown]
# ## By hand: how much work
#
# A product of matrices `(a, b)` and `(b, c)` takes $a b c$ multiply-adds; all else is little beside the products. For
# one image with $T$ tokens of dim $D$, $N$ of them patches:
#
# | step | multiply-adds |
# |---|---|
# | patch embedding | $N \cdot 3 P^2 \cdot D$ |
# | queries, keys, values | $T \cdot D \cdot 3D$ |
# | scores, over all heads | $T \cdot T \cdot D$ |
# | probabilities times values | $T \cdot T \cdot D$ |
# | `proj` | $T \cdot D \cdot D$ |
# | mlp, with hidden = 4 D | $2 \cdot T \cdot D \cdot 4D$ |
#
# **Before you run it:** for DeiT-Ti distilled, $T = 198$, $N = 196$, $D = 192$ and $P = 16$, with twelve blocks: which
# is the larger part of a block, attention with all its products, or the mlp?

# %%
T, N, D = 198, 196, 192
block = {"qkv": 3 * T * D * D, "scores": T * T * D, "context": T * T * D, "proj": T * D * D, "mlp": 8 * T * D * D}
total = N * 3 * 16 * 16 * D + 12 * sum(block.values()) + 2 * D * 1000
print({step: f"{work:,}" for step, work in block.items()})
print(f"one block {sum(block.values()):,}, the whole model {total:,}: {2 * total / 1e9:.2f} billion operations")
assert total == 1_261_003_776

# %% [markdown]
# ## Your turn: where attention overtakes
#
# In DeiT-B ($D = 768$), with how many tokens do the scores and the context together take as much work as the mlp?

# %%
my_tokens = ...  # your turn
judge(my_tokens, 8 * 768**2 / (2 * 768), "Set 2 T T D equal to 8 T D D.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_tokens = 4 * 768
# ```
#
# $2 T^2 D = 8 T D^2$ gives $T = 4 D = 3072$. With patches of 16 × 16 pixels that is a square image of about $16
# \sqrt{3072}$, or 890, pixels a side.
#
# </details>

# %% [markdown]
# Only the scores and the context grow with the square of the tokens.
#
# **Before you run it:** in which of the four distilled models is their share, the black part, largest? It depends on
# $T / D$.

# %% alt="Shares of the multiply-adds as stacked bars, one for each of four published models"
sizes = [name for name in deit_ref.VARIANTS if "distilled" in name]
work = []
for name in sizes:
    config = deit_ref.VARIANTS[name]
    N, D = config.num_patches, config.hidden_size
    T = N + config.num_prefix_tokens
    work.append([12 * 8 * T * D * D, 12 * 4 * T * D * D, 12 * 2 * T * T * D, N * 768 * D])
shares = np.array(work) / np.sum(work, axis=1, keepdims=True)  # (models, parts)
figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
colors = {"mlp": LEARNED, "qkv, proj": "#6fae8a", "scores, context": "black", "patches": PIXELS}
for i, (part, color) in enumerate(colors.items()):
    axes.barh(sizes, shares[:, i], left=shares[:, :i].sum(axis=1), label=part, color=color)
axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()

# %% [markdown]
# ## On a photo
#
# First every step apart, with the shape at its end, in NumPy. Each line is one chapter.

# %%
config = weights.config
x = patches.patch_embed(weights.patch_embed, pixel_values)
print("patch_embed   ", x.shape)
x = tokens.prepend_tokens(weights.cls_token, weights.dist_token, x)
print("prepend_tokens", x.shape)
x = positions.add_pos_embed(weights.pos_embed, x)
for i, block in enumerate(weights.blocks):
    x = encoder.encoder_block(block, x, config=config)
    print(f"blocks.{i}      ", x.shape)
x = layers.layer_norm(weights.norm, x, eps=config.layer_norm_eps)
cls_token, dist_token, _ = tokens.split_tokens(x, distilled=True)
logits, cls_logits, distillation_logits = heads.classify_with_teacher(
    weights.head, weights.head_dist, cls_token, dist_token
)
print("logits        ", logits.shape)

# %% [markdown]
# `forward` does the same. With the NumPy backend the same functions run, so nothing should differ.

# %%
output = deit_ref.forward(weights, bundled_photo(), backend=backend)
gap = np.abs(as_numpy(output.logits) - logits).max()
print(f"largest difference to forward: {gap:.1e}, largest logit {np.abs(logits).max():.2f}")
assert gap <= 1e-5 * np.abs(logits).max()
for name, share in output.top(3)[0]:
    print(f"{name:<12} {share:.1%}")

# %% [markdown]
# The two heads read two tokens and were trained on two targets. Compare the orange and the violet bars, then the gray
# ones: the mean is taken of the logits, not of the probabilities.

# %% alt="The photo as the model sees it, and three bars per class: class head, distillation head, mean"
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), width_ratios=(1, 2.4), layout="constrained")
left.imshow(to_photos(pixel_values, weights.image_processing)[0])
left.set_axis_off()
left.set_title(f"{config.image_shape[0]} × {config.image_shape[1]} pixels", fontsize=10)
named = (
    ("class token", output.cls_logits),
    ("distillation token", output.distillation_logits),
    ("mean", output.logits),
)
for i, (name, z) in enumerate(named):
    p = layers.softmax(as_numpy(z))[0]  # (classes,)
    right.bar(np.arange(len(p)) + 0.27 * (i - 1), p, 0.27, label=name, color=(CLS, DIST, OTHER)[i])
right.set_xticks(range(len(p)), weights.class_names or range(len(p)), rotation=45, ha="right", fontsize=8)
right.set_ylabel("probability")
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# ### Every step by name
#
# A `Trace` keeps what happens on the way, under the same names in both backends. Blocks are alike, so the table has one
# line for all of them.

# %%
trace = deit_ref.Trace()
deit_ref.forward(weights, bundled_photo(), trace=trace, backend=backend)
table = {}
for name, value in trace.items():
    line = re.sub(r"^(blocks|images)\.\d+", r"\1.<i>", name)
    table.setdefault(line, []).append(tuple(value.shape))
for line, same in table.items():
    print(f"{line:<38} {same[0]!s:<18} x {len(same)}")
print(f"{len(trace)} steps")

# %% [markdown]
# ### Four tasks
#
# The same encoder with four endings. New weights are enough to see the shapes; what was not asked for is `None`.

# %%
for task in TASKS:
    fresh = deit_ref.init_weights(config, task, seed=0)
    options = {"bool_masked_pos": np.arange(config.num_patches)[None] % 2} if "masked" in task else {}
    options |= {"labels": np.array([3])} if task == "classification" else {}
    answer = deit_ref.forward(fresh, pixel_values=pixel_values, backend=backend, output_attentions=True, **options)
    print(f"{task}: {type(answer).__name__}")
    for field, value in vars(answer).items():
        if isinstance(value, tuple) and hasattr(value[0], "shape"):
            value = f"{len(value)} x {tuple(value[0].shape)}"
        print(f"    {field:<20} {tuple(value.shape) if hasattr(value, 'shape') else value}")

# %% [markdown]
# ## Save and load
#
# `save_weights` writes a folder that transformers reads too; `load_weights` takes such a folder, one file of the
# original repository or timm, or a name on the hub. What comes back is the same, bit for bit.

# %%
fresh = deit_ref.init_weights(config, "classification-with-teacher", seed=0, class_names=weights.class_names)
with tempfile.TemporaryDirectory() as folder:
    deit_ref.save_weights(fresh, folder)
    for file in sorted(Path(folder).iterdir()):
        print(f"{file.name:<26} {file.stat().st_size:>9,} bytes")
    again = deit_ref.load_weights(folder)
pairs = list(zip(named_arrays(fresh), named_arrays(again), strict=True))
assert all(a == b and np.array_equal(x, y) for (a, x), (b, y) in pairs)
assert (again.config, again.task) == (fresh.config, fresh.task)
print(f"{len(pairs)} arrays, all equal")

# %% [markdown]
# ## The torch twin
#
# `compare` runs both backends and puts every traced step side by side. Differences are relative to the step's largest
# value.
#
# **Before you run it:** both round after every operation. Will the difference at the end be near 1e-7, 1e-5 or 1e-3 in
# float32?

# %%
comparison = deit_ref.compare(weights, bundled_photo())
lines = str(comparison).splitlines()
print("\n".join(line for line in lines if re.match(r"step|pixel|patch|embed|blocks\.\d+\.output|norm|logits", line)))
print(lines[-1])
assert comparison.agrees
print(deit_ref.compare(weights, bundled_photo(), dtype="float64").worst)

# %% [markdown]
# ## Try
#
# 1. Repeat the steps of "On a photo" with `weights.blocks[:3]`, and with the blocks in reverse order. Each has the
#    right shapes. What do the logits say?
# 2. Leave `add_pos_embed` out. How far do the logits move? And with the patches in a different order, by
#    `x[:, np.random.default_rng(0).permutation(x.shape[1])]` before `prepend_tokens`?
# 3. A photo of twice the width and twice the height, at the same size of patches: how much more work is one pass
#    through DeiT-Ti?
#
# <details><summary>Answers</summary>
#
# 1. With three blocks the answer may already be there, less sure: the stream is on its way ([notebook
#    7](07_heads.ipynb) asks after every block). In reverse order the logits say nothing of use, although no shape
#    tells.
# 2. Without positions they move by a large part of their size. When they are left out *and* the patches are shuffled,
#    the logits are the same as without positions alone: what is left is a set. When the positions stay and the patches
#    are shuffled, each patch claims to be elsewhere, which is worse.
# 3. Four times the tokens, so four times the work of the products with weights and sixteen times that of scores and
#    context. For DeiT-Ti that is between five and six times in all: put $T = 786$ into the table.
#
# </details>
