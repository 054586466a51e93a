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
# # Assignment 2: attention
#
# 20 points for functions, 4 for the question at the end. Time: 2 to 3 hours.
#
# **You will learn**
#
# - how tokens exchange information: queries, keys and values;
# - why scores are scaled, and what softmax needs to stay finite;
# - how several heads share one matrix, and how to look into them.
#
# **You are given** `linear`, `dropout`, the type of the weights, and the signatures and descriptions of six functions.
# Arguments called `trace`, `generator` and `dropout_probability` are for inspection and for training: your functions
# may ignore them, but must accept them.
#
# **Your goal**: `multi_head_attention`, the heart of each of DeiT's twelve blocks, and `attention_rollout`, which shows
# what the class token looked at.

# %% [markdown]
# ## Background
#
# Each token asks a question (its query), offers a label (its key) and a content (its value). How well label $j$ fits
# question $i$ is the score $Q_i \cdot K_j$. Softmax turns the scores of one question into shares that sum to 1, and the
# answer is the mean of all contents, weighted by these shares:
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$
#
# $d$ is the number of features of a query, `head_dim`. If the entries of queries and keys have variance 1, the score
# has variance $d$: without the root, scores would grow with $d$, and softmax would see only the largest.
#
# Several heads do this side by side, each with its own `head_dim = dim / heads` features. One matrix `qkv` makes the
# queries, keys and values of all heads at once; one matrix `proj` mixes what they found.
#
# More in the chapter on [attention](../../docs/chapters/attention.md), with pictures of real heads, and for task 6 in
# the section on [rollout](../../docs/chapters/relevance.md#attention-rollout).

# %% [markdown]
# ## Task 1: softmax (3 points)
#
# Write `softmax` along the last axis: $p_i = e^{x_i} / \sum_j e^{x_j}$. It must stay finite for scores in the
# thousands, and give share 0 to a score of minus infinity. The input must stay as it is.
#
# ```
# >>> softmax(np.array([1000.0, 1000.0 + np.log(3.0)])).round(6).tolist()
# [0.25, 0.75]
# ```
#
# <details><summary>Hint</summary>
#
# What happens to $p_i$ when the same number is subtracted from all scores of a row? Which number makes the largest
# exponent 0? `keepdims=True` keeps an axis of length 1 for broadcasting.
#
# </details>

# %% task="layers.softmax"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: split the heads (3 points)
#
# Write `split_heads`: the features of `qkv` (batch, tokens, 3 * heads * head_dim) are ordered q, k, v; in each of them
# head by head; in each head feature by feature. The result is three arrays (batch, heads, tokens, head_dim).
#
# ```
# >>> qkv = np.arange(12.0).reshape(1, 1, 12)  # one token, 2 heads of 2 features
# >>> q, k, v = split_heads(qkv, num_heads=2)
# >>> q.shape, q[0, :, 0].tolist(), v[0, :, 0].tolist()
# ((1, 2, 1, 2), [[0.0, 1.0], [2.0, 3.0]], [[8.0, 9.0], [10.0, 11.0]])
# ```
#
# <details><summary>Hint</summary>
#
# Split the last axis into (3, heads, head_dim) with one `reshape`, in this order; then `transpose`. A `reshape`
# straight to the final shape gives the right shape and wrong numbers.
#
# </details>

# %% task="attention.split_heads"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: merge the heads (2 points)
#
# Write `merge_heads`, the way back for one of the three: (batch, heads, tokens, head_dim) to (batch, tokens, dim), the
# heads' features side by side.
#
# ```
# >>> x = np.array([[[[0.0, 1.0]], [[2.0, 3.0]]]])  # one image, 2 heads, one token
# >>> merge_heads(x).tolist()
# [[[0.0, 1.0, 2.0, 3.0]]]
# ```
#
# <details><summary>Hint</summary>
#
# Two axes can be joined by `reshape` only if they stand side by side: bring heads and head_dim together first.
#
# </details>

# %% task="attention.merge_heads"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: scaled dot-product attention (6 points)
#
# Write `scaled_dot_product_attention` by the formula above, for all images and heads at once. Two masks may come with
# it:
#
# - `attention_mask` (batch, tokens): tokens where it is False are hidden from all queries. Their scores become minus
#   infinity *before* softmax.
# - `head_mask` (heads,): each head's shares are multiplied by its number *after* softmax; 0 silences a head.
#
# ```
# >>> q = k = np.array([[[[0.0], [np.log(3.0)]]]])  # two tokens, one head, head_dim 1
# >>> v = np.array([[[[4.0], [8.0]]]])
# >>> scaled_dot_product_attention(q, k * 0, v).ravel().round(6).tolist()  # all keys alike: the mean
# [6.0, 6.0]
# >>> scaled_dot_product_attention(q, k, v, attention_mask=np.array([[True, False]])).ravel().tolist()
# [4.0, 4.0]
# ```
#
# <details><summary>Hint</summary>
#
# `@` multiplies the last two axes and broadcasts over the others; `k.swapaxes(-1, -2)` transposes each head's keys.
# Scores have the shape (batch, heads, queries, keys): along which axis lie the tokens that `attention_mask` hides? Give
# both masks axes of length 1 with `None`, until they fit.
#
# </details>

# %% task="attention.scaled_dot_product_attention"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: several heads (4 points)
#
# Write `multi_head_attention`: `weights.qkv` makes queries, keys and values, every head attends for itself, the results
# are merged, and `weights.proj` mixes them. Both are linear maps, `linear(weights.qkv, x)`; qkv may be without a bias.
# The solution takes one head after the other to save memory; you may take all at once.
#
# ```
# >>> from deit_ref.weights import Attention, Linear
# >>> weights = Attention(qkv=Linear(np.zeros((6, 2))), proj=Linear(np.eye(2), np.array([1.0, 2.0])))
# >>> multi_head_attention(weights, np.ones((1, 3, 2)), num_heads=2).tolist()  # all values are 0: the bias is left
# [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]]
# ```
#
# <details><summary>Hint</summary>
#
# Four calls of functions that you have. Hand both masks on by their names.
#
# </details>

# %% task="attention.multi_head_attention"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: attention rollout (2 points)
#
# Write `attention_rollout`: how much each token after the last block draws on each input token, followed through all
# blocks:
#
# $$R_l = \left(\rho I + (1 - \rho) \bar A_l\right) R_{l-1}, \qquad R_0 = I$$
#
# $\bar A_l$ is the mean over the heads of block $l$. In a block, what attention finds does not replace a token: it is
# added to the token as it was, by what is called a residual connection. So part of each token comes straight from
# itself. How large a part is not known; rollout assumes the share $\rho$ (`residual`) in every block.
#
# ```
# >>> uniform = np.full((1, 2, 2, 2), 0.5)  # one image, 2 heads, 2 tokens
# >>> attention_rollout([uniform]).tolist()
# [[[0.75, 0.25], [0.25, 0.75]]]
# ```
#
# <details><summary>Hint</summary>
#
# A loop over the blocks, first block first. A product of matrices is read from the right: where must the new block
# stand?
#
# </details>

# %% task="attention.attention_rollout"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On a photo
#
# Your attention inside the real model: the model's own trace gives what goes into the first block's attention and what
# comes out. Then your rollout, over all blocks: which patches did the class token draw on? The brighter, the more.

# %%
import numpy as np
from PIL import Image

import deit_ref
from deit_ref.photos import bundled_photo

model = deit_ref.load_weights(task="classification-with-teacher")
trace = deit_ref.Trace()
output = deit_ref.forward(model, bundled_photo("chelsea"), output_attentions=True, trace=trace)
mine = multi_head_attention(model.blocks[0].attn, trace["blocks.0.norm1"], num_heads=model.config.num_attention_heads)
print("the same as inside the model:", np.allclose(mine, trace["blocks.0.attention.proj"], atol=1e-5))
rollout = attention_rollout(output.attentions)[0, 0]  # what the class token draws on
print("sums to 1:", bool(abs(rollout.sum() - 1) < 1e-5))
seen = rollout[model.config.num_prefix_tokens :].reshape(model.config.grid)
Image.fromarray((255 * seen / seen.max()).astype(np.uint8)).resize((224, 224), Image.Resampling.NEAREST)

# %% [markdown] question="a2" points=4
# ## Question: what does a map of attention show? (4 points)
#
# Somebody shows the rollout from above and says: "The bright patches are why the model said cat."
#
# 1. What exactly does an entry of the rollout say? Choose two things that it leaves out, and say of each how it can
#    make a bright patch matter little.
# 2. Two tokens have the same key. Their shares in every query are then equal, whatever their values. Construct from
#    this, in words, a model whose attention is spread evenly over all patches although one patch decides the answer.
# 3. Propose an experiment that would support or refute the claim for a given patch, with `attention_mask` or by
#    changing the photo, and say which result would convince you.
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a2"
# ## Rubric (4 points)
#
# - **1 point**: an entry says how much of an input token's content would reach a token of the last block if each block
#   only mixed tokens by the mean of its heads and a fixed share of the residual connection.
# - **1 point**: two things that are left out, each with what it can do: the values and proj (a large share of a small
#   value does nothing), differences between heads (the mean hides that one looks elsewhere, or that the bright one's
#   result is not used), the size of what attention adds beside the token itself. Full credit also for later weeks'
#   answers: the mlp, layer norms, the classifier.
# - **1 point**: a construction that works: equal keys (or queries of 0) make all shares equal; one patch has a value
#   that is large or points where the classifier looks, all others have a value of 0.
# - **1 point**: an experiment with a measure: hide the patch (`attention_mask`, gray or blurred pixels), compare the
#   class's logit before and after, against hiding other patches of equal brightness or at random; a result that would
#   count for and one that would count against. Full credit also for noting that a hidden patch is itself an unusual
#   input.
#
# Typical answers that miss: "attention is importance" (no first point); an experiment without something to compare with
# (half of the last point).

# %% [markdown] answer="a2"
# ## Model answer
#
# An entry of the rollout says how much of an input token's content would arrive in a token of the last block, if each
# block did nothing but mix tokens, by the mean of its heads and with a fixed share for the residual connection. It
# leaves out what is mixed: a large share of a value that is nearly 0, or that proj maps to nearly 0, does nothing. It
# also takes the mean of the heads, so that a patch is bright, too, if one head alone looks at it, whose result proj
# hardly passes on. For the model in the second point, let all keys be equal, so that all scores of a query are equal
# and each of N patches has the share 1/N. Let the value be 0 for every patch but those that show an eye, and for these
# a long vector that points where the classifier looks for "cat". The result is then this vector divided by N, and one
# patch decides, although the map is flat. To test the claim for a bright patch, I hide it with `attention_mask` and
# note how far the logit of "cat" falls. I do the same with 20 other patches, drawn at random among those of similar
# brightness, because a hidden patch is an unusual input by itself. If the bright patch lowers the logit more than 19 of
# the 20 do, the claim is supported for this patch. If its fall lies in the middle of theirs, the claim is refuted for
# it.
