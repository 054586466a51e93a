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
# # Assignment 6: masked image modeling
#
# 20 points for functions, 4 for the question at the end. Time: 1 to 2 hours.
#
# **You will learn**
#
# - how a model learns from photos without labels: by drawing what it was not shown;
# - how features of a token become pixels of an image, without a loop;
# - why a loss that is divided by the wrong number still trains, and still is wrong.
#
# **You are given** `linear` and `patch_grid`. Of the earlier assignments you need patches and tokens (1); `reconstruct`
# undoes for features what `patchify` did for pixels.
#
# Where a function takes `trace`, you may leave it alone.

# %% [markdown]
# ## Background
#
# Some patches of a photo are hidden: their tokens $z$ are replaced by one learned mask token, before the positions are
# added, so that the model still knows *where* it must guess. With $M = 1$ for hidden patches,
#
# $$z' = z \odot (1 - M) + z_\text{mask} \odot M$$
#
# The encoder sees the rest. One linear map, the decoder, then makes all pixels of a patch from its token, $P \times P$
# pixels for each channel, channel first. `pixel_shuffle` lays them out:
#
# $$\text{out}[c, \; \text{row} \, P + i, \; \text{column} \, P + j]
#   = \text{in}[\text{row}, \; \text{column}, \; c P^2 + i P + j]$$
#
# The loss is the mean absolute error, on hidden pixels only, with $M$ enlarged from patches to pixels:
#
# $$\mathcal L = \frac{\sum M \, |x - \hat x|}{(\sum M + 10^{-5}) \cdot \text{channels}}$$
#
# More in the chapters on [tokens](../../docs/chapters/tokens.md), [masked image
# modeling](../../docs/chapters/simmim.md) and [losses](../../docs/chapters/losses.md).

# %% [markdown]
# ## Task 1: hide patches (4 points)
#
# Write `mask_tokens`. `bool_masked_pos` (batch, patches) is True where a patch is hidden; it may also hold numbers
# between 0 and 1, which blend.
#
# ```
# >>> x = np.array([[[1.0], [2.0], [3.0]]])  # one image, 3 patches, one feature
# >>> mask_tokens(np.array([[[9.0]]]), x, np.array([[False, True, False]])).tolist()
# [[[1.0], [9.0], [3.0]]]
# >>> mask_tokens(np.array([[[9.0]]]), x, np.array([[0.0, 0.5, 0.0]])).tolist()
# [[[1.0], [5.5], [3.0]]]
# ```
#
# <details><summary>Hint</summary>
#
# The mask needs a last axis of length 1, to broadcast over the features. NumPy does not subtract from True: make
# numbers of the mask first.
#
# </details>

# %% task="tokens.mask_tokens"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: from features to pixels (6 points)
#
# Write `pixel_shuffle` by the formula above, for tokens (batch, rows, columns, features) and tiles of
# `stride_shape` = (height, width), which need not be square. No loop is needed.
#
# ```
# >>> tokens = np.array([[[[0, 1, 2, 3], [4, 5, 6, 7]]]])  # one row of two tokens
# >>> pixel_shuffle(tokens, stride_shape=(2, 2)).tolist()  # two tiles side by side
# [[[[0, 1, 4, 5], [2, 3, 6, 7]]]]
# ```
#
# <details><summary>Hint</summary>
#
# Split the features into three axes (which is the slowest?), so that there are six. Write down the order that the
# result needs: which two axes make its height, and which of the two is the slower? Then transpose, then join. To find a
# mistake, shuffle features that are numbered with `np.arange`.
#
# </details>

# %% task="simmim.pixel_shuffle"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: the loss (5 points)
#
# Write `masked_l1` by the formula above. `patch_grid(height, width, patch_shape=patch_shape)` gives the rows and
# columns of patches, and `bool_masked_pos` counts patches row by row.
#
# ```
# >>> pixels, drawn = np.zeros((1, 3, 2, 4)), np.full((1, 3, 2, 4), 2.0)
# >>> drawn[..., 2:] = 7.0  # the second of two patches is far off, but it is visible
# >>> masked_l1(drawn, pixels, np.array([[True, False]]), patch_shape=(2, 2)).round(4).item()
# 2.0
# >>> masked_l1(drawn, pixels, np.array([[False, False]]), patch_shape=(2, 2)).item()
# 0.0
# ```
#
# <details><summary>Hint</summary>
#
# `repeat` makes each entry of an axis several entries, side by side. The mask has one channel and broadcasts over all:
# how often does its sum count a hidden pixel, and how often does the error?
#
# </details>

# %% task="losses.masked_l1"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: draw (5 points)
#
# Write `reconstruct`: leave out the tokens that are not patches, send the others through `weights.decoder`, arrange
# them as `grid` = (rows, columns) says, and lay out their pixels, `weights.config.stride_shape` for each.
#
# How many tokens stand before the patches is `weights.config.num_prefix_tokens`: 2 in DeiT, 1 in a plain ViT.
# transformers 4 forgot the second one: it took the tokens `[1:-1]`, so that the distillation token drew the first patch
# and each patch was drawn by its neighbor. With `shifted_slice=True`, DeiT models shall do as it did.
#
# ```
# >>> import deit_ref
# >>> config = deit_ref.DeiTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
# ...                              image_size=(4, 6), patch_size=2, encoder_stride=2)
# >>> weights = deit_ref.init_weights(config, "masked-image-modeling", seed=0)
# >>> reconstruct(weights, np.ones((1, 2 + 6, 8)), grid=(2, 3)).shape
# (1, 3, 4, 6)
# ```
#
# <details><summary>Hint</summary>
#
# Four lines: a slice, `linear`, a reshape to (batch, rows, columns, features), your `pixel_shuffle`.
#
# </details>

# %% task="simmim.reconstruct"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On a photo
#
# Half of a photo is hidden, in blocks of 2 x 2 patches, and your functions draw it again, with the encoder between
# them. The picture shows the photo, what the model saw, and what it drew, hidden patches only.

# %%
import numpy as np
from PIL import Image

import deit_ref
from deit_ref.numpy_backend.encoder import encoder
from deit_ref.numpy_backend.patches import patch_embed
from deit_ref.numpy_backend.positions import add_pos_embed
from deit_ref.numpy_backend.tokens import prepend_tokens
from deit_ref.photos import bundled_photo

model = deit_ref.load_weights("cifar10-simmim")
pixel_values = deit_ref.preprocess(bundled_photo("chelsea"), model.image_processing)
rows, columns = grid = model.config.grid
blocks = np.random.default_rng(0).permutation(rows * columns // 4) % 2 == 0
hidden = blocks.reshape(rows // 2, columns // 2).repeat(2, axis=0).repeat(2, axis=1).reshape(1, -1)

x = mask_tokens(model.mask_token, patch_embed(model.patch_embed, pixel_values), hidden)
x = add_pos_embed(model.pos_embed, prepend_tokens(model.cls_token, model.dist_token, x))
drawn = reconstruct(model, encoder(model, x), grid=grid)
loss = masked_l1(drawn, pixel_values, hidden, patch_shape=model.config.patch_shape)

reference = deit_ref.forward(model, pixel_values=pixel_values, bool_masked_pos=hidden)
print("the same picture as the reference:", np.allclose(drawn, reference.reconstruction, atol=1e-5))
print("the same loss as the reference:", np.allclose(loss, reference.loss, rtol=1e-5))
mask = hidden.reshape(1, 1, rows, columns).repeat(model.config.patch_shape[0], axis=2)
mask = mask.repeat(model.config.patch_shape[1], axis=3)
pictures = [pixel_values, np.where(mask, 0, pixel_values), np.where(mask, drawn, pixel_values)]
side_by_side = np.concatenate(pictures, axis=3)[0].transpose(1, 2, 0)
processing = model.image_processing
colors = side_by_side * np.asarray(processing.image_std) + np.asarray(processing.image_mean)
picture = Image.fromarray((colors.clip(0, 1) * 255).astype(np.uint8))
picture.resize((672, 224), Image.Resampling.NEAREST)

# %% [markdown] question="a6" points=4
# ## Question: what does a model learn by drawing? (4 points)
#
# Four people train a model on the same photos, each with one change:
#
# 1. A hides 5% of the patches instead of half, at random, one at a time.
# 2. B takes the loss of all pixels instead of the hidden ones.
# 3. C has no mask token: before the model sees a photo, hidden patches are painted in the gray that normalized pixels
#    of 0 are.
# 4. D uses patches of 2 x 2 pixels instead of 4 x 4 and hides half of them, one at a time.
#
# For each: is the task easier or harder than before, what is the best that a model can do without understanding what is
# in the picture, and would you expect a lower or a higher loss? Whose loss can be compared with the original one, and
# whose cannot?
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a6"
# ## Rubric (4 points)
#
# - **1 point**: A and D become easier: almost every hidden pixel has visible neighbors close by, and blending their
#   colors goes far; the loss falls, and what is learned is smoothing rather than content.
# - **1 point**: B: visible pixels are there to be copied, so the loss falls although hidden ones are drawn no better;
#   part of the model's strength goes into copying.
# - **1 point**: C: nearly as before. Pixels of 0 make the token $b$ of the patch embedding, the same for all hidden
#   patches, before the positions are added: it does what the mask token did. What is lost: a patch that is really of
#   this gray looks hidden. Blending goes as far as before; the loss stays nearly the same, or rises a little.
# - **1 point**: losses compare only on the same pixels: A and D are means over other hidden pixels (fewer, or in other
#   places), B over all; only C's can be compared directly. Full credit for a way to compare all of them: the same
#   hidden pixels for all in an evaluation.
#
# Typical answers that miss: "a lower loss means a better model" (the question is what it costs to be low); for C, "the
# model does not know where it has to guess" (it does: positions are added after that).

# %% [markdown] answer="a6"
# ## Model answer
#
# A's task is easier. Almost every hidden patch has visible neighbors on all sides, and blending their colors goes far,
# so the best guess without understanding is a smooth filling, and the loss falls. B's is easier, too: half of the
# pixels that count are visible and need only be copied, so the loss falls although hidden patches are drawn no better,
# and a part of the model's strength goes into copying. C's is nearly the same. A patch of zeros has the bias of the
# patch embedding for its token, wherever it is, and then gets its position: that is a mask token by another name, and
# only a patch that is really of this gray can be taken for a hidden one. So blending goes as far as before, and the
# loss stays, or rises a little. D's is easier: with patches of 2 x 2 pixels something visible is nearly always a pixel
# or two away, so blending goes far, as in A. Losses can be compared only as means over the same pixels. C hides the
# same patches as the original, so its loss can be compared with it directly. A and D are means over other hidden
# pixels, fewer or in other places, and B is a mean over all pixels, so a lower number there says nothing. To compare
# all four I would hide the same half of the patches of test photos from each of them, and take the loss on these pixels
# alone.
