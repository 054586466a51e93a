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
# # 5. Attention, where tokens see each other
#
# To say "cat" somebody must put the two ears, the eyes and the nose together, and they lie in different patches. Which
# patch looks at which? Attention gives every token a mix of what all tokens hold, weighted by how well they fit its
# question: `(batch, tokens, dim)` -> `(batch, tokens, dim)`.
#
# Chapter: [page](../docs/chapters/attention.md) · NumPy: [source](../deit_ref/numpy_backend/attention.py) · torch:
# [mirror](../deit_ref/torch_backend/attention.py)

# %% alt="A photo of a cat, and the same as the model sees it, 32 by 32 pixels."
from importlib import import_module
from math import log

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy, to_torch
from deit_ref.exercises import CLS, DIST, OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import attention
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import attention as torch_attention
from deit_ref.weights import Attention, Linear

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

weights = deit_ref.load_weights().to(backend)
config, prefix = weights.config, weights.config.num_prefix_tokens
photo = load_image(bundled_photo("chelsea"))
pixel_values = deit_ref.preprocess(photo, weights.image_processing, backend=backend)
output = deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, output_attentions=True)
attentions = [as_numpy(array) for array in output.attentions]
seen = plots.to_photos(pixel_values, weights.image_processing)[0]
shapes = {"grid": config.grid, "num_prefix_tokens": prefix}
figure, panels = plt.subplots(1, 2, figsize=(6, 2.4), dpi=100, width_ratios=(1.5, 1), layout="constrained")
for axes, picture in zip(panels, (photo, seen), strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% alt="Where the class token looks in every second block, in two of the heads, as bright spots on a photo of a cat."
plots.attention_maps(seen, attentions, token="cls", layers=range(0, len(attentions), 2), heads=range(2), **shapes)

# %% [markdown]
# Each small picture is one head of one block: bright where the class token takes much. They differ. How such a picture
# comes about is the subject of this notebook; at its end you will switch heads off.

# %% [markdown]
# ## The formula
#
# Each token asks a question, its query, a row of $Q$. Each token also offers a label, its key, and a content, its
# value, the rows of $K$ and $V$. The product of a query and a key says how well the label fits the question. Softmax
# turns the scores of one question into shares that sum to 1, and the answer is the mean of the contents with these
# shares as weights:
#
# $$A = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right), \qquad \text{answer} = A V$$
#
# with $d$ = head_dim, the length of a query. Several heads do this side by side. Head $i$ has its own
# $Q_i, K_i, V_i$, and one more product mixes what the heads found:
#
# $$\mathrm{MHA}(x) = \mathrm{concat}(A_1 V_1, \dots, A_h V_h) \, W_O^\top + b$$

# %%
folded(attention.scaled_dot_product_attention, attention.split_heads, attention.multi_head_attention)

# %% [markdown]
# ## By hand
#
# Three tokens, one head, head_dim 4, so that the root is 2. Token 0 asks nothing: its query is 0. Token 1 asks for
# what token 1 offers, token 2 for what token 2 offers. The values are chosen so that the shares can be read off.
#
# **Before you run it:** what does a token get that asks nothing?

# %%
q = np.array([[[[0, 0, 0, 0], [2, 0, 0, 0], [0, 2, 0, 0]]]], float)  # (batch, heads, tokens, head_dim)
k = np.array([[[[0, 0, 0, 0], [log(2), 0, 0, 0], [0, log(3), 0, 0]]]], float)
v = np.array([[[[60, 0, 0, 0], [0, 60, 0, 0], [0, 0, 60, 0]]]], float)

trace = deit_ref.Trace()
context = attention.scaled_dot_product_attention(q, k, v, trace=trace)
print("q, k, v", q.shape)
print("scores", trace["scores"].shape)
print(trace["scores"][0, 0].round(4))

# %% [markdown]
# Row by row, with pencil and paper. A score is the product of a query and a key, divided by 2.
#
# | query of | scores | powers $e^s$ | shares | answer |
# |---|---|---|---|---|
# | token 0 | 0, 0, 0 | 1, 1, 1 | 1/3, 1/3, 1/3 | 20, 20, 20, 0 |
# | token 1 | 0, log 2, 0 | 1, 2, 1 | 1/4, 1/2, 1/4 | 15, 30, 15, 0 |
# | token 2 | 0, 0, log 3 | 1, 1, 3 | 1/5, 1/5, 3/5 | 12, 12, 36, 0 |
#
# A query of 0 is not an error. It takes the mean of everything.

# %%
print(context[0, 0].round(6))
assert np.allclose(trace["probabilities"][0, 0], [[1 / 3, 1 / 3, 1 / 3], [1 / 4, 1 / 2, 1 / 4], [0.2, 0.2, 0.6]])
assert np.allclose(context[0, 0], [[20, 20, 20, 0], [15, 30, 15, 0], [12, 12, 36, 0]])


# %% [markdown]
# ## Your turn: attention in three lines
#
# One head, no masks: scores, shares, answers.


# %%
def my_attention(q, k, v):
    """Answers (tokens, head_dim) to queries, keys and values of this shape."""
    ...  # your turn


draw = np.random.default_rng(0).standard_normal
qkv = draw((3, 5, 4))
truth = attention.scaled_dot_product_attention(*qkv[:, None, None])[0, 0]
judge(my_attention(*qkv), truth, "A row of shares belongs to a query and sums to 1; the root is that of head_dim.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_attention(q, k, v):
#     scores = q @ k.T / np.sqrt(q.shape[1])
#     powers = np.exp(scores - scores.max(axis=1, keepdims=True))
#     return powers / powers.sum(axis=1, keepdims=True) @ v
# ```
#
# </details>

# %% [markdown]
# Two masks. `attention_mask` hides a token from all: its score becomes minus infinity, its share 0, and the rest is
# shared out again. `head_mask` multiplies all shares of a head: 0.5 halves its answer, 0 silences it, and nothing is
# shared out again.
#
# **Before you run it:** hide token 2. What does token 0, which asks nothing, get now?

# %%
hidden = attention.scaled_dot_product_attention(q, k, v, attention_mask=np.array([[True, True, False]]))
halved = attention.scaled_dot_product_attention(q, k, v, head_mask=np.array([0.5]))
print("token 2 hidden:\n", hidden[0, 0].round(6))
print("head at one half:\n", halved[0, 0].round(6))
assert np.allclose(hidden[0, 0], [[30, 30, 0, 0], [20, 40, 0, 0], [30, 30, 0, 0]])
assert np.allclose(halved, context / 2)

# %% [markdown]
# ## Why the root
#
# A score is a sum of head_dim products. If queries and keys have entries of mean 0 and variance 1, each product has
# variance 1 too, and the sum has variance head_dim: the scores grow with $\sqrt{d}$. Divided by the root, they keep
# the same spread for every head_dim. To see what would happen without it, the queries are multiplied by
# $\sqrt{d}$, which cancels the root.
#
# **Before you run it:** without the root, how large is the spread of the scores at head_dim 64?

# %%
generator = np.random.default_rng(0)
head_dims, spread, peaks = [4, 16, 64, 256, 1024], {}, {}
for head_dim in head_dims:
    queries, keys = generator.standard_normal((2, 1, 1, 66, head_dim))  # 66 tokens
    for name, factor in (("with the root", 1), ("without", head_dim**0.5)):
        trace = deit_ref.Trace()
        attention.scaled_dot_product_attention(queries * factor, keys, keys, trace=trace)
        spread.setdefault(name, []).append(trace["scores"].std())
        peaks.setdefault(name, []).append(trace["probabilities"].max(axis=-1).mean())
for name in spread:
    print(f"{name:<14} standard deviation of the scores:", np.round(spread[name], 2))

# %% [markdown]
# What this does to the shares: the largest of the 66, on average over the queries. Without the root, one token takes
# nearly everything. The answer is then a copy of one value instead of a mix, and because softmax is flat there, hardly
# any gradient comes through.

# %% alt="The largest share against head_dim: nearly constant with the root, rising towards 1 without it."
figure, axes = plt.subplots(figsize=(5.5, 2.8), dpi=100, layout="constrained")
axes.semilogx(head_dims, peaks["without"], "s--", base=2, color=OTHER, label="without the root")
axes.semilogx(head_dims, peaks["with the root"], "o-", base=2, color=PIXELS, label="with the root")
axes.set_xlabel("head_dim")
axes.set_ylabel("largest share")
axes.set_ylim(0, 1)
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## Heads are slices
#
# One matrix product makes queries, keys and values of all heads at once. Its features are ordered: first all of q,
# then k, then v, and in each, head by head. Here with the features numbered from 0 to 11, for 2 heads of head_dim 2.

# %%
numbers = np.arange(12.0).reshape(1, 1, 12)  # (batch, tokens, 3 * heads * head_dim)
for name, part in zip("qkv", attention.split_heads(numbers, num_heads=2), strict=True):
    print(name, part.shape, " first head:", part[0, 0, 0], " second:", part[0, 1, 0])
q, k, v = attention.split_heads(numbers, num_heads=2)
assert q[0, 1, 0].tolist() == [2, 3]
assert attention.merge_heads(v).ravel().tolist() == [8, 9, 10, 11]  # merge_heads writes them side by side again

# %% [markdown]
# So a head is nothing but a few rows of the matrix. Cut out the rows of the second head, run them as a model of one
# head, and the answer is that head's part of the whole.

# %%
tokens, dim, heads = 5, 8, 2
head_dim = dim // heads
draw = np.random.default_rng(1).standard_normal
small = Attention(qkv=Linear(draw((3 * dim, dim)), draw(3 * dim)), proj=Linear(np.eye(dim), np.zeros(dim)))
x = draw((1, tokens, dim))
whole = attention.multi_head_attention(small, x, num_heads=heads)  # (1, tokens, dim); proj changes nothing here

rows = np.concatenate([part * dim + np.arange(head_dim, dim) for part in range(3)])  # the second head of q, of k, of v
print("rows of the second head:", rows)
one = Attention(qkv=Linear(small.qkv.weight[rows], small.qkv.bias[rows]), proj=Linear(np.eye(head_dim)))
alone = attention.multi_head_attention(one, x, num_heads=1)  # (1, tokens, head_dim)
assert np.allclose(alone, whole[:, :, head_dim:])

# %% [markdown]
# ## A set, not a sequence
#
# **Before you run it:** shuffle the tokens. What happens to the answers?

# %%
order = np.array([3, 0, 4, 1, 2])
shuffled = attention.multi_head_attention(small, x[:, order], num_heads=heads)
print("largest difference:", np.abs(shuffled - whole[:, order]).max())
assert np.allclose(shuffled, whole[:, order])

# %% [markdown]
# They are the same, shuffled alike: nothing in the formula knows the order of the tokens. This is why the
# [positions](03_positions.ipynb) are added.

# %% [markdown]
# ## On a photo
#
# Now the whole model of the first picture. `output_attentions` hands out the shares of every block and head.

# %%
print(len(attentions), "blocks of", attentions[0].shape, "= (batch, heads, tokens, tokens)")
print("the model says", output.top(2)[0])
assert all(np.allclose(array.sum(axis=-1), 1, atol=1e-5) for array in attentions)  # every row is a share-out

# %% [markdown]
# Where the class token looks: a row for each head, a column for each block. Each picture has its own scale; its largest
# share stands in its corner.
#
# **Before you run it:** 64 patches and two more tokens. How large is a share, in percent, for a head that looks
# everywhere alike? Look for heads near that number, for heads that look at one spot, and whether that changes from the
# first block to the last.

# %% alt="The class token's attention over the photo: one small map for each head (rows) and each block (columns)."
plots.attention_maps(seen, attentions, token="cls", **shapes)

# %% [markdown]
# The same for the distillation token, which was trained to say what the teacher says. Compare the two pictures tile
# by tile.

# %% alt="The distillation token's attention over the photo: one small map for each head (rows) and block (columns)."
plots.attention_maps(seen, attentions, token="dist", **shapes)

# %% [markdown]
# The maps leave out the two tokens that are not patches. Here is all of it: how the class
# token's attention is divided in each block, on average over the heads. A bar is 1 high.
#
# **Before you run it:** the token itself and the distillation token are two of 66. Will they get more than 2/66?

# %% alt="One bar per block: the class token's attention divided into itself, the distillation token and the patches."
row = np.stack([array[0, :, 0].mean(axis=0) for array in attentions])  # (blocks, tokens)
parts = {"itself": (row[:, 0], CLS), "distillation token": (row[:, 1], DIST), "patches": (row[:, 2:].sum(1), PIXELS)}
figure, axes = plt.subplots(figsize=(6, 2.6), dpi=100, layout="constrained")
bottom = np.zeros(len(row))
for name, (share, color) in parts.items():
    axes.bar(1 + np.arange(len(row)), share, bottom=bottom, color=color, label=name)
    bottom += share
axes.set_xlabel("block")
axes.set_ylabel("share of attention")
axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# A map of the last block says which rows the class token reads there, not which part of the photo arrives: by then
# the row of a patch holds something of all other patches. Rollout ([chapter 14](14_relevance.ipynb)) follows the
# shares back through all blocks,
#
# $$R_l = \left(\rho I + (1 - \rho) \bar A_l\right) R_{l-1}, \qquad R_0 = I,$$
#
# where $\bar A_l$ is the mean over the heads, $I$ stands for the token itself, to which the answer is added, and
# $\rho = \frac12$.

# %%
folded(attention.attention_rollout)

# %%
chapter = import_module(f"deit_ref.{backend}_backend.attention")
rollout = as_numpy(chapter.attention_rollout(output.attentions))  # (batch, tokens, tokens)
print("rollout", rollout.shape, " class token:", rollout[0, 0, prefix:].sum().round(3), "of it from the patches")
assert np.allclose(rollout.sum(axis=-1), 1, atol=1e-5)


# %% [markdown]
# ## Your turn: rollout
#
# Write it for a list of mean attentions, one (tokens, tokens) per block, the first block first.


# %%
def my_rollout(blocks):
    """How much of each token (columns) has arrived in each token (rows) after all blocks."""
    ...  # your turn


averaged = [array[0].mean(axis=0) for array in attentions]
judge(
    my_rollout(averaged), attention.attention_rollout(attentions)[0], "A later block stands on the left.", within=1e-5
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_rollout(blocks):
#     R = np.eye(len(blocks[0]))
#     for A in blocks:
#         R = (R + A @ R) / 2
#     return R
# ```
#
# </details>

# %% [markdown]
# Each map has a scale of its own. Mind the numbers at the color bars: a rollout that looks sharp may range
# over a small interval only.

# %% alt="The photo, and over it the rollout of the class token and of the distillation token."
gray = seen.mean(axis=2)
figure, panels = plt.subplots(1, 3, figsize=(9, 2.7), dpi=100, layout="constrained")
panels[0].imshow(seen, interpolation="nearest")
panels[0].set_title(f"photo, {seen.shape[0]} × {seen.shape[1]} pixels", fontsize=10)
for token, (axes, name) in enumerate(zip(panels[1:], ("class token", "distillation token"), strict=True)):
    values = rollout[0, token, prefix:].reshape(config.grid)
    axes.imshow(gray, cmap="gray")
    edges = (-0.5, seen.shape[1] - 0.5, seen.shape[0] - 0.5, -0.5)
    image = axes.imshow(values, cmap="inferno", alpha=0.6, extent=edges, interpolation="bilinear")
    axes.set_title(f"rollout of the {name}", fontsize=10)
    figure.colorbar(image, ax=axes, format="{x:.2%}")
for axes in panels:
    axes.set_axis_off()
plt.show()

# %% [markdown]
# Does a head matter? Silence one at a time with `head_mask` and look how far the logits move. This asks the model
# itself; a map only shows where it looked.
#
# **Before you run it:** choose the head of the maps above that you would miss most. Is it the one with the brightest
# cell?

# %% alt="One cell per block and head: how far the logits move when this head is silenced."
change = np.zeros((len(attentions), config.num_attention_heads))
for block, head in np.ndindex(*change.shape):
    head_mask = np.ones(change.shape, np.float32)
    head_mask[block, head] = 0
    silenced = deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, head_mask=head_mask)
    change[block, head] = np.abs(as_numpy(silenced.logits - output.logits)).max()
plt.figure(figsize=(5, 2.8), dpi=100, layout="constrained")
plt.imshow(change.T, cmap="inferno", vmin=0)
plt.colorbar(label="largest change of a logit")
plt.xticks(range(len(change)), range(1, len(change) + 1))
plt.yticks(range(change.shape[1]), range(1, change.shape[1] + 1))
plt.xlabel("block")
plt.ylabel("head")
plt.show()

# %% [markdown]
# ## The torch twin
#
# torch has a fused kernel for the whole formula, `F.scaled_dot_product_attention`. It need not hold the scores of all
# tokens at once: it can go over the keys block by block and correct the sums when a larger score turns up. The result
# is the same up to rounding. Here are one block's queries, keys and values, three ways: NumPy, torch's kernel, and
# torch by the formula (a head_mask of ones takes that way, because the kernel knows no head_mask).

# %%
trace = deit_ref.Trace(["blocks.0.attention.*"])
numpy_weights, numpy_pixels = weights.to("numpy"), as_numpy(pixel_values)
deit_ref.forward(numpy_weights, pixel_values=numpy_pixels, trace=trace)
qkv = [trace[f"blocks.0.attention.{name}"] for name in "qkv"]
for dtype in ("float32", "float64"):
    ours = attention.scaled_dot_product_attention(*(array.astype(dtype) for array in qkv))
    tensors = [to_torch(array, dtype=dtype) for array in qkv]
    kernel = torch_attention.scaled_dot_product_attention(*tensors)
    formula = torch_attention.scaled_dot_product_attention(*tensors, head_mask=torch.ones(qkv[0].shape[1]))
    for name, theirs in (("kernel", kernel), ("formula", formula)):
        print(f"{dtype} NumPy against torch's {name:<8} {np.abs(ours - as_numpy(theirs)).max():.1e}")
    assert np.abs(ours - as_numpy(kernel)).max() <= {"float32": 1e-5, "float64": 1e-10}[dtype] * np.abs(ours).max()

# %% [markdown]
# ## Try
#
# 1. In "By hand", give token 0 the query `[100, 100, 0, 0]`. What is its answer now, and what would a tiny change of a
#    key do to it? Then try `[-100, -100, 0, 0]`.
# 2. Hide all patches of the upper half of the photo: an `attention_mask` of ones with the shape `(1, tokens)`, zeros
#    for the first half of what comes after the first `prefix` ones. Do the logits change as much as when the upper half
#    of `pixel_values` is set to 0?
# 3. Call `attention_rollout(attentions, residual=0)`, then with `residual=0.9`. In which of them do the two prefix
#    tokens keep more for themselves, and why?
#
# <details><summary>Answers</summary>
#
# 1. Its scores are 0, $50 \log 2$ and $50 \log 3$. The last share is almost 1, so the answer is the value of token 2
#    alone. A tiny change of a key changes nothing: softmax is flat there, and so no gradient comes through. With the
#    sign turned, the zero score of token 0 is the largest, and it answers itself.
# 2. No. A pixel value of 0 is not "no pixel": it is a patch of the mean color, with a position, keys and values like
#    any other, and it may speak against the cat. A token that is hidden by the mask is not there for anybody. Which of
#    the two moves the logits more depends on the photo.
# 3. With 0.9. The residual says how much of a token stays where it is in every block, and $0.9^6 = 0.53$, so more than
#    half of the class token's row is still the class token itself. With 0 nothing is kept but what attention gives
#    back.
#
# </details>
