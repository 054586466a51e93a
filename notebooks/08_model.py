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
# All chapters in order: normalized pixels `(batch, channels, height, width)` in, and one output type for each of the
# four tasks out, such as logits `(batch, num_labels)`.
#
# Chapter: [page](../docs/chapters/model.md) · NumPy: [source](../deit_ref/numpy_backend/model.py) · torch:
# [mirror](../deit_ref/torch_backend/model.py)

# %%
import inspect
import re
import tempfile
from math import prod
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.config import TASKS
from deit_ref.numpy_backend import encoder, heads, layers, model, patches, positions, tokens
from deit_ref.photos import bundled_photo
from deit_ref.plots import to_photos
from deit_ref.weights import array_shapes, named_arrays

# %% [markdown]
# The photo below runs on one backend. Write `"torch"` here and run all cells again.

# %%
backend = "numpy"

# %% [markdown]
# ## The formula
#
# With $E$ the patch embedding, $x_p$ the patches, $P$ the positions and $L$ blocks:
#
# $$z_0 = [t_\text{cls}; \; t_\text{dist}; \; E x_1 + b; \; \dots; \; E x_N + b] + P$$
#
# $$z'_l = z_{l-1} + \mathrm{MHA}(\mathrm{LN}(z_{l-1})), \qquad z_l = z'_l + \mathrm{MLP}(\mathrm{LN}(z'_l)),
#   \qquad l = 1 \dots L$$
#
# $$\text{logits} = \tfrac12 \left(W_c \, \mathrm{LN}(z_L)_\text{cls} + b_c
#   + W_d \, \mathrm{LN}(z_L)_\text{dist} + b_d\right)$$
#
# The shape never changes between the first line and the last: `(batch, tokens, dim)`.

# %% [markdown]
# ## The source
#
# `encode` is what all tasks share. A task only decides which tokens are read, and by what.

# %%
print(inspect.getsource(model.encode))

# %%
print(inspect.getsource(model.classification_with_teacher))

# %% [markdown]
# ## By hand: how many parameters
#
# A model small enough to count: images of 4 x 4 pixels with one channel, patches of 2 x 2, dim 4, one block with an mlp
# of 8, three classes. Write each number down before you look.
#
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
small = deit_ref.DeiTConfig(
    hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
    image_size=4, patch_size=2, num_channels=1, num_labels=3,
)  # fmt: skip
shapes = array_shapes(small, "classification-with-teacher")
for name, shape in shapes.items():
    print(f"{name:<26} {shape!s:<15} {prod(shape):>4}")
assert sum(map(prod, shapes.values())) == 20 + 8 + 24 + 16 + 60 + 20 + 76 + 8 + 30 == 262

# %% [markdown]
# The eight published models, counted in the same way. The numbers on the right of the check are timm's, which count the
# same arrays.

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
# | patch embedding | $N \cdot 3 p^2 \cdot D$ |
# | queries, keys, values | $T \cdot D \cdot 3D$ |
# | scores, over all heads | $T \cdot T \cdot D$ |
# | probabilities times values | $T \cdot T \cdot D$ |
# | `proj` | $T \cdot D \cdot D$ |
# | mlp, with hidden = 4 D | $2 \cdot T \cdot D \cdot 4D$ |
#
# For DeiT-Ti distilled, $T = 198$, $N = 196$, $D = 192$, $p = 16$, twelve blocks:

# %%
T, N, D = 198, 196, 192
block = {"qkv": 3 * T * D * D, "scores": T * T * D, "context": T * T * D, "proj": T * D * D, "mlp": 8 * T * D * D}
total = N * 3 * 16 * 16 * D + 12 * sum(block.values()) + 2 * D * 1000
print({step: f"{work:,}" for step, work in block.items()})
print(f"one block {sum(block.values()):,}, the whole model {total:,}: {2 * total / 1e9:.2f} billion operations")
assert total == 1_261_003_776

# %% [markdown]
# Only the scores and the context grow with the square of the tokens. In which models do they matter? Look at the orange
# parts: their share depends on $T / D$, so it falls with the size of the model and grows with that of the image.

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
colors = {"mlp": "tab:blue", "qkv, proj": "tab:green", "scores, context": "tab:orange", "patches": "tab:gray"}
for i, (part, color) in enumerate(colors.items()):
    axes.barh(sizes, shares[:, i], left=shares[:, :i].sum(axis=1), label=part, color=color)
axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()

# %% [markdown]
# ## On a photo
#
# First every step apart, with the shape at its end, in NumPy. Each line is one chapter.

# %%
weights = deit_ref.load_weights()
config = weights.config
pixel_values = as_numpy(deit_ref.preprocess(bundled_photo(), weights.image_processing, backend=backend))
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
# `forward` does the same. With the NumPy backend the logits are the same to the last bit, as the same functions run.

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
left.set_title(f"{config.image_shape[0]} x {config.image_shape[1]} pixels", fontsize=10)
named = (
    ("class token", output.cls_logits),
    ("distillation token", output.distillation_logits),
    ("mean", output.logits),
)
for i, (name, z) in enumerate(named):
    p = layers.softmax(as_numpy(z))[0]  # (classes,)
    right.bar(np.arange(len(p)) + 0.27 * (i - 1), p, 0.27, label=name, color=("tab:orange", "tab:purple", "0.35")[i])
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
# value. Look at how they grow along the way, and how little.

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
# 2. Leave `add_pos_embed` out. How far do the logits move? And with the patches in another order, by
#    `x[:, np.random.default_rng(0).permutation(x.shape[1])]` before `prepend_tokens`?
# 3. At which image size do the scores and the context of DeiT-B take as much work as its mlp? Solve it on paper first:
#    $2 T^2 D = 8 T D^2$.
#
# <details><summary>A hint for 3</summary>
#
# $T = 4 D$: with patches of 16 x 16 pixels and $D = 768$ that is a square image of about $16 \sqrt{3072}$ pixels a
# side.
#
# </details>
