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
# # A tour: from a photo to a label
#
# What is this, and how does a model find out? One photo goes through a whole vision transformer, one step per cell:
# bytes `(height, width, 3)` in, one score per class `(1, classes)` out.
#
# Chapter: [page](../docs/chapters/model.md) · NumPy: [source](../deit_ref/numpy_backend/model.py) · torch:
# [mirror](../deit_ref/torch_backend/model.py)

# %% alt="A photo of a cat that looks at you."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import CLS, DIST, OTHER, judge
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))
figure, axes = plt.subplots(figsize=(4, 2.7), dpi=100, layout="constrained")
axes.imshow(photo)
axes.set_axis_off()
plt.show()

# %% [markdown]
# Run the cells from top to bottom. Each step names the chapter that explains it and works on what the step before it
# returned. With `"torch"` in place of `"numpy"` the same steps run in the other backend. Where a line begins with
# **Before you run it**, make your guess first: a wrong guess teaches more than a printed number.

# %%
names = [chapter.name for chapter in deit_ref.CHAPTERS if chapter.name in chapter.numpy]
chapters = {name: import_module(f"deit_ref.{backend}_backend.{name}") for name in names}
weights = deit_ref.load_weights().to(backend)
config, processing = weights.config, weights.image_processing
print(weights)

# %% [markdown]
# ## Step 1: the photo becomes numbers
#
# The photo is made small, its middle is cut out, and its bytes become numbers around 0. Chapters
# [15](15_image.ipynb) and [16](16_resize.ipynb) do this; `preprocess` calls them.
#
# **Before you run it:** the bundled model sees a square of 32 × 32 pixels. Will you still
# recognize the cat in it? Will you see its whiskers? Whatever you cannot find in the right picture, the model cannot
# find either.

# %% alt="The photo of a cat in full on the left, and on the right the small square version that the model sees."
pixel_values = deit_ref.preprocess(photo, processing, backend=backend)
seen = plots.to_photos(pixel_values, processing)[0]  # back to bytes, to look at
print("photo        (height, width, 3)              ", photo.shape, photo.dtype)
print("pixel_values (batch, channels, height, width)", tuple(pixel_values.shape), pixel_values.dtype)
print(f"             values from {float(pixel_values.min()):.2f} to {float(pixel_values.max()):.2f}")
figure, panels = plt.subplots(1, 2, figsize=(7, 3), dpi=100, width_ratios=[1.5, 1], layout="constrained")
for axes, picture, title in zip(panels, (photo, seen), ("the photo", "what the model sees"), strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(f"{title}, {picture.shape[0]} × {picture.shape[1]}", fontsize=10)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## Step 2: the image becomes a sequence
#
# A transformer reads a sequence. So the image is cut into squares that do not overlap, the patches, and these are put
# in a row, line by line ([chapter 1](01_patches.ipynb)). From here on nothing tells which patches were neighbors,
# until step 3 does.
#
# Two tokens stand before the patches: the class token (orange) and the distillation token (violet). They see no
# pixels. They are learned, the same for every photo, and the answer will be read from them.
#
# **Before you run it:** an image of 32 × 32 pixels, cut into patches of 4 × 4. How many patches are there, and how many
# numbers does each hold? (A pixel has three: red, green and blue.)

# %% alt="The image cut into a grid of patches; below, the sequence begins with two colored tokens, then patches."
cut = chapters["patches"].patchify(pixel_values, patch_shape=config.patch_shape)
print("patches (batch, patches, patch_values)", tuple(cut.shape))
pictures = plots.to_photos(as_numpy(cut).reshape(-1, config.num_channels, *config.patch_shape), processing)
pictures = np.pad(pictures, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)  # a white edge
prefix = np.full_like(pictures[: config.num_prefix_tokens], 255)
prefix[:, :-1, :-1] = np.array([[168, 76, 6], [107, 51, 176]])[: len(prefix), None, None]
start = np.concatenate([prefix, pictures])[: 2 + 2 * config.grid[1]]
figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4), dpi=100, height_ratios=[6, 1], layout="constrained")
above.imshow(plots.side_by_side(pictures, columns=config.grid[1]), interpolation="nearest")
below.imshow(plots.side_by_side(start, columns=len(start)), interpolation="nearest")
below.set_title(f"the first {len(start)} of {config.num_prefix_tokens + cut.shape[1]} tokens", fontsize=10)
above.set_axis_off()
below.set_axis_off()
plt.show()

# %% [markdown]
# ## Your turn: count the tokens
#
# The published DeiT models see 224 × 224 pixels in patches of 16 × 16. How many tokens does a *distilled* one work
# with, the two extra tokens included?

# %%
my_tokens = ...  # your turn
published = deit_ref.VARIANTS["deit-base-distilled-patch16-224"]
judge(
    my_tokens, published.num_prefix_tokens + published.num_patches, "Patches in a row, times rows, and then two more."
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_tokens = 14 * 14 + 2
# ```
#
# 224 / 16 = 14 patches in a row and 14 rows make 196. With the class and the distillation token there are 198.
#
# </details>

# %% [markdown]
# ## Step 3: patches become tokens, and tokens get a place
#
# One linear map turns every patch into a vector of `dim` numbers, its token. Class and distillation token are put in
# front ([chapter 2](02_tokens.ipynb)). Then a learned vector is added to each token that says where it stands
# ([chapter 3](03_positions.ipynb)).

# %%
x = chapters["patches"].patch_embed(weights.patch_embed, pixel_values)
print("patch tokens          (batch, patches, dim)", tuple(x.shape))
x = chapters["tokens"].prepend_tokens(weights.cls_token, weights.dist_token, x)
print("with cls and dist     (batch, tokens, dim) ", tuple(x.shape))
embeddings = chapters["positions"].add_pos_embed(weights.pos_embed, x)
print("with their positions  (batch, tokens, dim) ", tuple(embeddings.shape))

# %% [markdown]
# ## Step 4: the blocks
#
# In each block every token first looks at all others and takes something from them (attention,
# [chapter 5](05_attention.ipynb)), then changes by itself (mlp, [chapter 6](06_encoder.ipynb)). Both results are added
# to the token, so the shape never changes. A `Trace` keeps what happens inside, under names.

# %%
trace = deit_ref.Trace()
encoded = chapters["encoder"].encoder(weights, embeddings, trace=trace)
print(f"{len(weights.blocks)} blocks, {len(trace)} recorded steps; those of the first block:\n")
for name, array in trace.items():
    if name.startswith("blocks.0."):
        print(f"{name:34}", tuple(array.shape))

# %% [markdown]
# A token has too many numbers to draw. But there are three directions in which the patch tokens of this photo differ
# most; the next picture shows each patch by its place along them, as amounts of red, green and blue. In one picture,
# patches of one color have similar tokens.
#
# **Before you run it:** at first a token holds little more than its own few pixels. After the last block, would you
# expect patches to be grouped by color, by place, or by what they belong to? Watch how the blocks regroup them.

# %% alt="One colored grid of patches for the embeddings and one for each block: equal colors mean similar tokens."
states = [embeddings, *trace.matching("blocks.*.output")]
figure, panels = plt.subplots(1, len(states), figsize=(10, 1.9), dpi=100, layout="constrained")
for i, (axes, state) in enumerate(zip(panels, states, strict=True)):
    patch_tokens = as_numpy(state)[0, config.num_prefix_tokens :]  # (patches, dim)
    directions, _, _ = np.linalg.svd(patch_tokens - patch_tokens.mean(axis=0), full_matrices=False)
    places = directions[:, :3]  # (patches, 3)
    if i > 0:
        places = places * np.where((places * last).sum(axis=0) < 0, -1, 1)  # directions have no sign of their own
    last = places
    low, high = np.percentile(places, [2, 98], axis=0)
    axes.imshow(np.clip((places - low) / (high - low), 0, 1).reshape(*config.grid, 3), interpolation="nearest")
    axes.set_title("embeddings" if i == 0 else f"block {i}", fontsize=9)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## Step 5: two heads give the answer
#
# After the last layer norm the patch tokens have done their work and are left out. One linear map reads the class
# token, a second one the distillation token; the model's answer is the mean of both ([chapter 7](07_heads.ipynb)).
# Softmax turns scores into probabilities.
#
# The heads were trained on different answers: the class head on the labels, the distillation head on what a teacher
# network said.
#
# **Before you run it:** which class comes second, after the one that you would name? And will the two heads agree on
# the first? Look for classes where the orange and the violet bar differ.

# %% alt="Bars of the probability of each class, by the class head, by the distillation head and by their mean."
cls_token, dist_token, _ = chapters["tokens"].split_tokens(encoded, distilled=config.distilled)
answers = chapters["heads"].classify_with_teacher(weights.head, weights.head_dist, cls_token, dist_token)
print("class token (batch, dim)", tuple(cls_token.shape), " logits (batch, classes)", tuple(answers[0].shape))
shares = [as_numpy(chapters["layers"].softmax(scores))[0] for scores in answers]  # each (classes,)
best = np.argsort(-shares[0])[:10]
figure, axes = plt.subplots(figsize=(8, 3), dpi=100, layout="constrained")
heads = {"class head": CLS, "distillation head": DIST, "mean": OTHER}
for i, (head, color) in enumerate(heads.items()):
    axes.bar(np.arange(len(best)) + 0.27 * (i - 1), shares[(i + 1) % 3][best], width=0.25, label=head, color=color)
axes.set_xticks(range(len(best)), np.array(weights.class_names or range(config.num_labels))[best], fontsize=8)
axes.set_ylabel("probability")
axes.legend(fontsize=9, frameon=False)
plt.show()


# %% [markdown]
# ## Your turn: from scores to shares
#
# Softmax turns scores into probabilities: each becomes a power of $e$, and the powers are divided by their sum. Write
# it for one row of scores.


# %%
def my_softmax(scores):
    """Shares of scores (classes,), which are positive and sum to 1."""
    ...  # your turn


scores = np.array([2.0, 1.0, -1.0, 0.5])
judge(my_softmax(scores), import_module("deit_ref.numpy_backend.layers").softmax(scores), "Do they sum to 1?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_softmax(scores):
#     powers = np.exp(scores)
#     return powers / powers.sum()
# ```
#
# The function of chapter 4 subtracts the largest score first, so that no power overflows; the shares are the same.
#
# </details>

# %% [markdown]
# ## Where do the two tokens look?
#
# Attention probabilities say how much each token takes from each other token, in each head of each block. The first
# picture shows the mean over the heads: how much each patch gives to the class token (above) and to the distillation
# token (below). Bright means much; each small picture has a scale of its own.
#
# **Before you run it:** you recognized the cat by its eyes, nose and ears. Does the model look there, and does it look
# there in every block?
#
# One block is only one step. Rollout, the second picture, follows the attention through all blocks back to the
# patches. `plots.attention_maps` draws every head by itself.

# %% alt="The photo once per block, in two rows: brighter where the class or the distillation token takes more from."
attentions = trace.matching("blocks.*.attention.probabilities")  # one (1, heads, tokens, tokens) per block
shape = (config.num_prefix_tokens, len(attentions))
figure, panels = plt.subplots(*shape, figsize=(10, 3.9), dpi=100, layout="constrained", squeeze=False)
for block, attention in enumerate(attentions):
    shares = as_numpy(attention)[0].mean(axis=0)  # (tokens, tokens)
    for row, axes in enumerate(panels[:, block]):
        from_patches = shares[row, config.num_prefix_tokens :].reshape(config.grid)
        axes.imshow(seen.mean(axis=2), cmap="gray")
        edges = (-0.5, seen.shape[1] - 0.5, seen.shape[0] - 0.5, -0.5)
        axes.imshow(from_patches, cmap="inferno", alpha=0.6, extent=edges, interpolation="bilinear")
        axes.set_title(f"{('class', 'distillation')[row]}, block {block + 1}", fontsize=9)
        axes.set_axis_off()
plt.show()

# %% alt="The photo as the model sees it, and over it the attention rollout of the class and the distillation token."
plots.rollout_overlay(seen, attentions, grid=config.grid, num_prefix_tokens=config.num_prefix_tokens)

# %% [markdown]
# ## All of it in one line
#
# `forward` runs the same functions in the same order. Its logits differ from those above by the rounding of float32 at
# most.

# %%
output = deit_ref.forward(weights, photo, backend=backend)
logits, by_hand = as_numpy(output.logits), as_numpy(answers[0])
print(f"largest difference from the steps above: {np.abs(logits - by_hand).max():.1e}\n")
assert np.abs(logits - by_hand).max() <= 1e-5 * np.abs(by_hand).max()
for name, probability in output.top(5)[0]:
    print(f"{probability:7.2%}  {name}")

# %% [markdown]
# ## NumPy against torch
#
# Everything here exists twice: in NumPy, to show the formula, and in torch, to be fast. `compare` runs both and
# compares every recorded step. A difference is printed as a share of the step's largest value.

# %%
comparison = deit_ref.compare(weights, photo)
lines = str(comparison).splitlines()
print("\n".join([*lines[:12], "...", *lines[-6:]]))
assert comparison.agrees

# %% [markdown]
# ## Try
#
# The model knows only the ten classes that it was trained on; a rocket, a cup of coffee and an astronaut are none of
# them.
#
# **Before you run it:** what will it answer to these three? Write down three guesses.

# %% alt="The four photos that come with the package, each as the model sees it, with its first answer above."
photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
tops = deit_ref.forward(weights, photos, backend=backend).top(1)
pictures = plots.to_photos(deit_ref.preprocess(photos, processing, backend=backend), processing)
figure, panels = plt.subplots(1, len(photos), figsize=(9, 2.7), dpi=100, layout="constrained")
for axes, picture, title, [(name, probability)] in zip(panels, pictures, BUNDLED_PHOTOS, tops, strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(f"{title}\n{name}, {probability:.0%}", fontsize=10)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# 1. Put in a photo of yours: `photo = load_image("my_photo.jpg")`, and run all cells again. Does a tighter crop change
#    the answer?
# 2. Mirror the photo: `photo = photo[:, ::-1]`. Up to which step are the numbers the same, only in a different order?
# 3. Take the positions away: add `0 * weights.pos_embed` in step 3. Do the colors of step 4 still follow the picture,
#    and does the answer stay?
#
# <details><summary>Answers</summary>
#
# 1. Often. The middle of the photo is all that is looked at, and of it only 32 × 32 pixels. A crop in which the animal
#    fills the square is nearer to the photos that the model learned from.
# 2. Up to the patches. `patchify` gives the same numbers, each row mirrored inside and the rows in a different order.
#    The linear map of step 3 multiplies each number with a weight of its own place in the patch, so from there on the
#    numbers are new. The answer usually stays: the model was trained with mirrored photos too.
# 3. Without positions a patch's token depends on its own pixels and on the *set* of all patches. Colors still follow
#    the picture, because pixels do, but patches of equal pixels now get exactly the same token wherever they lie. The
#    model is less sure, and may change its mind. To see that only the set is left, shuffle the patch tokens before the
#    blocks: the logits stay.
#
# </details>
#
# **Where to go next.** The chapters follow the data: [patches](01_patches.ipynb), [tokens](02_tokens.ipynb),
# [positions](03_positions.ipynb), [layers](04_layers.ipynb), [attention](05_attention.ipynb),
# [encoder](06_encoder.ipynb), [heads](07_heads.ipynb) and [the whole model](08_model.ipynb). The second part is about
# learning: [losses](09_losses.ipynb), [the way back](10_backward.ipynb), [learning](11_learning.ipynb),
# [distillation](12_distillation.ipynb), [masked images](13_simmim.ipynb) and
# [what a decision rests on](14_relevance.ipynb). The third is about exactness: [images](15_image.ipynb),
# [resampling](16_resize.ipynb), [activations](17_activations.ipynb), and
# [where implementations disagree](where_implementations_disagree.ipynb).
