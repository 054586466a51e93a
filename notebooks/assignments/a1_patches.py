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
# # Assignment 1: patches, positions and tokens
#
# 20 points for functions, 4 for the question at the end. Time: 2 to 3 hours.
#
# **You will learn**
#
# - how an image becomes a sequence that a transformer can read;
# - what `reshape` and `transpose` do to the order of numbers, which is the most common mistake of all;
# - how a model that was trained on images of one size reads images of another.
#
# **You are given** `patch_grid`, `linear`, `dropout`, the types of the weights, and the signatures and descriptions of
# eight functions. Arguments called `trace` and `generator` are for inspection and for training, and `bool_masked_pos`
# hides patches, which comes later: your functions may ignore all three, but must accept them.
#
# **Your goal**: `embed`, all that comes before the encoder: from pixels to tokens that know their place.

# %% [markdown]
# ## Background
#
# An image (channels, height, width) is cut into squares of $P \times P$ pixels. Each square, written as one long row of
# numbers $x_n$, goes through one linear map: $z_n = x_n E^\top + b$. This is the only place where DeiT sees pixels.
#
# Two learned tokens come in front: the class token and DeiT's distillation token. Then each token gets the vector of
# its place added, because attention does not know an order:
#
# $$z = [\, z_\text{cls}, \; z_\text{dist}, \; x_1 E^\top + b, \; \dots, \; x_N E^\top + b \,] + E_\text{pos}$$
#
# $E_\text{pos}$ was learned for one grid of patches, such as 14 × 14. For another grid it is interpolated: along the
# rows, then along the columns, with a cubic kernel, each by one matrix:
#
# $$G' = W_\text{rows} \, G \, W_\text{columns}^\top$$
#
# More in the chapters on [patches](../../docs/chapters/patches.md), [positions](../../docs/chapters/positions.md) and
# [tokens](../../docs/chapters/tokens.md).

# %% [markdown]
# ## Task 1: cut an image into patches (4 points)
#
# Write `patchify`: images (batch, channels, height, width) to rows of numbers (batch, patches, patch_values). Patches
# are counted as one reads, row by row from the top left. Inside a patch the order is channel, then pixel row, then
# pixel column. `patch_shape` is (height, width).
#
# ```
# >>> pixels = np.arange(8.0).reshape(1, 1, 2, 4)
# >>> patchify(pixels, patch_shape=(2, 2)).astype(int).tolist()
# [[[0, 1, 4, 5], [2, 3, 6, 7]]]
# ```
#
# <details><summary>Hint</summary>
#
# `reshape` can split an axis in two and join two that stand side by side; it never moves a number in memory.
# `transpose` exchanges axes. So: split height into (rows, patch_height) and width into (columns, patch_width), bring
# the six axes into the order of the result, and join. Two loops over rows and columns are right, too.
#
# </details>

# %% task="patches.patchify"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: and back (2 points)
#
# Write `unpatchify`, the inverse: rows of numbers back to images. `grid` is (rows, columns) of patches.
#
# ```
# >>> rows = np.array([[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]])
# >>> unpatchify(rows, patch_shape=(2, 2), grid=(1, 2)).astype(int).tolist()
# [[[[0, 1, 2, 3], [4, 5, 6, 7]]]]
# ```
#
# <details><summary>Hint</summary>
#
# The same three steps: split, exchange, join. Write the names of the axes beside each line. Six axes can be wrong in
# many ways that give the right shape; try images whose sides differ.
#
# </details>

# %% task="patches.unpatchify"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: from patches to tokens (2 points)
#
# Write `patch_embed`: every patch times the same matrix, plus a bias. `weights.proj.weight` has the shape (dim,
# channels, patch_height, patch_width): one small image per feature of the token.
#
# ```
# >>> from deit_ref.weights import Linear, PatchEmbed
# >>> ones = PatchEmbed(Linear(np.ones((1, 1, 2, 2)), np.array([0.5])))  # the sum of four pixels, plus 0.5
# >>> patch_embed(ones, np.arange(8.0).reshape(1, 1, 2, 4)).ravel().tolist()
# [10.5, 18.5]
# ```
#
# <details><summary>Hint</summary>
#
# `patchify` orders the numbers of a patch just as the weight does, so the weight needs only to be flattened to (dim,
# patch_values). `linear(Linear(matrix, bias), x)` computes $x W^\top + b$.
#
# </details>

# %% task="patches.patch_embed"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: cubic weights for positions (4 points)
#
# Write `_bicubic_weights`: the matrix (new_size, size) that takes `size` values to `new_size` values along one axis.
# New place $i$ lies at $r = s (i + \frac12) - \frac12$ with $s = \text{old size} / \text{new size}$. Its value is a mix
# of the four values at $\lfloor r \rfloor - 1, \dots, \lfloor r \rfloor + 2$, with weights by their distance $x$ and
# $a = -0.75$:
#
# $$\kappa(x) = (a+2) x^3 - (a+3) x^2 + 1 \; (x \le 1), \qquad a (x^3 - 5 x^2 + 8 x - 4) \; (1 < x < 2)$$
#
# Three things follow torch's `interpolate`, with which DeiT was made: $a$ is $-\frac34$, where most programs that
# resize photos take $-\frac12$; nothing is stretched when the grid shrinks; and beyond the border the last value is
# repeated, so its weight grows. The matrix has the dtype that is asked for.
#
# ```
# >>> _bicubic_weights(2, 4, "float64").round(3).tolist()
# [[1.105, -0.105], [0.773, 0.227], [0.227, 0.773], [-0.105, 1.105]]
# ```
#
# <details><summary>Hint</summary>
#
# A loop over the offsets -1, 0, 1, 2 with arrays over all new places is short. At the border, `np.clip` gives the value
# that exists. Several offsets then fall on the same value: `weights[rows, columns] += ...` keeps only one of them,
# while `np.add.at` adds them all. Every row must sum to 1: check it.
#
# </details>

# %% task="positions._bicubic_weights"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: positions for another grid (3 points)
#
# Write `interpolate_pos_embed`: positions (1, prefix + rows * columns, dim) learned for `source_grid`, for
# `target_grid`. Class and distillation token have no place in the image: their vectors stay as they are. The rest is a
# grid of vectors, and each feature of it is interpolated along the rows and along the columns. Grids are (rows,
# columns).
#
# ```
# >>> pos_embed = np.array([[[9.0], [0.0], [1.0]]])  # cls, and a grid of 1 x 2
# >>> wider = interpolate_pos_embed(pos_embed, num_prefix_tokens=1, source_grid=(1, 2), target_grid=(1, 4))
# >>> wider.ravel().round(3).tolist()
# [9.0, -0.105, 0.227, 0.773, 1.105]
# ```
#
# <details><summary>Hint</summary>
#
# Reshape to (rows, columns, dim). `np.tensordot(W, plane, axes=1)` works on the first axis, `W @ plane` on the one
# before the last; or say it with `np.einsum`. Then flatten the grid and put the prefix back in front.
#
# </details>

# %% task="positions.interpolate_pos_embed"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: two tokens in front (2 points)
#
# Write `prepend_tokens`: the class token and, if there is one, the distillation token before the patches of every
# image. Both have the shape (1, 1, dim) and are the same for all images.
#
# ```
# >>> cls_token, dist_token = np.array([[[7.0]]]), np.array([[[8.0]]])
# >>> prepend_tokens(cls_token, dist_token, np.zeros((2, 1, 1))).tolist()
# [[[7.0], [8.0], [0.0]], [[7.0], [8.0], [0.0]]]
# ```
#
# <details><summary>Hint</summary>
#
# `np.concatenate` does not broadcast: `np.broadcast_to` or `np.repeat` first, to one prefix per image.
#
# </details>

# %% task="tokens.prepend_tokens"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 7: add the positions (1 point)
#
# Write `add_pos_embed`: every token plus the vector of its place.
#
# ```
# >>> add_pos_embed(np.array([[[1.0], [2.0]]]), np.array([[[10.0], [20.0]], [[30.0], [40.0]]])).tolist()
# [[[11.0], [22.0]], [[31.0], [42.0]]]
# ```
#
# <details><summary>Hint</summary>
#
# The first axis of `pos_embed` has length 1, so broadcasting does all the work.
#
# </details>

# %% task="positions.add_pos_embed"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 8: all together (2 points)
#
# Write `embed`: pixels to tokens, the two tokens in front, the positions added, interpolated if the image's grid is not
# the model's. `weights.config` knows `patch_shape`, `grid` and `num_prefix_tokens`. Dropout does nothing here, as
# `generator` is None.
#
# ```
# >>> from deit_ref import DeiTConfig, init_weights
# >>> tiny = DeiTConfig(hidden_size=4, num_attention_heads=2, image_size=8, patch_size=4, encoder_stride=4)
# >>> weights = init_weights(tiny, "classification-with-teacher", seed=0)
# >>> embed(weights, np.zeros((1, 3, 8, 8), np.float32)).shape  # 2 tokens and 4 patches
# (1, 6, 4)
# >>> embed(weights, np.zeros((1, 3, 12, 8), np.float32), interpolate_pos_encoding=True).shape  # 2 and 6
# (1, 8, 4)
# ```
#
# <details><summary>Hint</summary>
#
# Only calls of functions that you have: `patch_embed`, `prepend_tokens`, `patch_grid`, `interpolate_pos_embed`,
# `add_pos_embed`. The order matters: `pos_embed` has a vector for each token in front, too.
#
# </details>

# %% task="tokens.embed"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On a photo
#
# A photo is cut and put back together. Then a part of it, larger than the model's images, goes through your `embed`,
# which must give what the encoder of the real model reads. Last, the patches are shuffled: without positions, attention
# could not tell this picture from the photo.

# %%
import numpy as np
from PIL import Image

import deit_ref
from deit_ref.photos import bundled_photo, load_image

photo = load_image(bundled_photo("chelsea"))[:288, :448]  # 18 x 28 patches of 16 x 16 pixels
pixels = photo.transpose(2, 0, 1)[None] / 255.0
patches = patchify(pixels, patch_shape=(16, 16))
again = unpatchify(patches, patch_shape=(16, 16), grid=(18, 28))
print("put back together:", np.array_equal(again, pixels))
model = deit_ref.load_weights(task="classification-with-teacher")
height, width = model.config.patch_shape
rows, columns = model.config.grid
larger = pixels[:, :, : (rows + 1) * height, : (columns + 2) * width].astype(np.float32)
trace = deit_ref.Trace(["embeddings"])
deit_ref.forward(model, pixel_values=larger, interpolate_pos_encoding=True, trace=trace)
mine = embed(model, larger, interpolate_pos_encoding=True)
print("the same as inside the model:", np.allclose(mine, trace["embeddings"], atol=1e-5))
shuffled = patches[:, np.random.default_rng(0).permutation(18 * 28)]
mosaic = unpatchify(shuffled, patch_shape=(16, 16), grid=(18, 28))[0].transpose(1, 2, 0)
Image.fromarray((mosaic * 255 + 0.5).astype(np.uint8))

# %% [markdown] question="a1" points=4
# ## Question: what does the model know of places? (4 points)
#
# Two models are the same but for one thing: the first was trained with $E_\text{pos}$, the second without any
# positions. Both see the photo above, once as it is and once with its patches shuffled.
#
# 1. For each model: does the class token's result change when the patches are shuffled? Argue with what attention
#    computes.
# 2. The second model still reaches a fair accuracy on photos. Which information can it use, and which not? Give a pair
#    of classes that it should tell apart easily and a pair that it should confuse.
# 3. Why can positions for 14 × 14 patches be interpolated to 24 × 24 at all? What must be true of them, and when would
#    interpolation fail?
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a1"
# ## Rubric (4 points)
#
# - **1 point**: without positions the class token's result does not change: softmax weighs a set, sums do not depend on
#   the order, and the mlp works on each token alone. With positions it does, as each patch then meets a different
#   vector.
# - **1 point**: the model without positions still knows what is inside each patch (color, texture, edges of up to 16
#   pixels) and how often, but not how patches are arranged; a sensible pair for each (zebra and tiger against, say, two
#   objects made of the same parts).
# - **1 point**: interpolation assumes that neighboring places have similar vectors, so that values in between make
#   sense; training on photos makes them smooth, because neighboring patches play similar roles.
# - **1 point**: a case where it fails: vectors that are random or not trained, learned with too little data, very large
#   changes of the grid, or a prefix token's vector taken for a place.
#
# Typical answers that miss: "the model without positions sees nothing" (no second point); "bicubic is smooth, so it
# works" (the method is smooth, but are the values? no third point).

# %% [markdown] answer="a1"
# ## Model answer
#
# The class token's result of the second model, without positions, does not change when the patches are shuffled. A
# query weighs a set of keys, and the weighted sum of the values does not depend on the order in which they are added;
# norms and mlp work on each token alone. The first model's result does change, because each patch is added to the
# vector of the place where it lies now, so that the tokens themselves are different. The second model still knows what
# is inside each patch, such as colors, textures and edges of up to 16 pixels, and how often each kind of patch occurs.
# It does not know how the patches are arranged. So it should easily tell a zebra from a strawberry, and confuse "="
# with "||", if both are drawn with the same black and white squares. Interpolation takes a mixture of the vectors of
# neighboring places for the vector of a place between them. This makes sense only if the vectors change smoothly from
# place to place, which training on photos brings about: neighboring patches look alike and play similar roles. It fails
# where neighbors have nothing to do with each other, as in a model whose positions are still random, and for the class
# token's vector, which has no place between others. It also gets worse the further the new grid is from the old one,
# since the model has never seen so many patches.
