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
# # Assignment 3: the whole model
#
# 20 points for functions, 4 for the question at the end. Time: 2 to 3 hours.
#
# **You will learn**
#
# - what one block of a transformer does, and in which order;
# - what a layer norm computes, and when its smallest number, eps, decides everything;
# - how two tokens and two heads name an image, and that the whole model is a loop of a few lines.
#
# **You are given** what assignments 1 and 2 were about (`embed`, `multi_head_attention` and what they need), and
# `linear`, `activate`, `classify` and `split_tokens`. You need the idea of attention, but not your own solution: only
# what follows the tasks uses it.
#
# Many functions take `generator`, `drop_path` or `trace`. They are for training and for looking inside, and the tests
# leave them out: so may you.

# %% [markdown]
# ## Background
#
# A block has two branches. Both read a normalized copy of the tokens and *add* what they find, so that a straight path
# leads from the first block to the last ("pre-norm"):
#
# $$z' = z + \mathrm{MHA}(\mathrm{LN}_1(z)), \qquad z'' = z' + \mathrm{MLP}(\mathrm{LN}_2(z'))$$
#
# - $\mathrm{MHA}$ is attention, the one place where tokens see each other.
# - $\mathrm{MLP}(z) = \mathrm{fc2}(\mathrm{GELU}(\mathrm{fc1}(z)))$ works on each token alone: it widens it, bends it
#   and narrows it again.
# - $\mathrm{LN}$ gives each token mean 0 and variance 1, then scales and shifts each feature.
#
# After the last block stands one more layer norm. Then the first token, the class token, goes through one linear head,
# the second, the distillation token, through another, and the model's answer is the mean of both.
#
# More in the chapters on [layers](../../docs/chapters/layers.md), the [encoder](../../docs/chapters/encoder.md), the
# [heads](../../docs/chapters/heads.md) and the [model](../../docs/chapters/model.md).

# %% [markdown]
# ## Task 1: layer norm (4 points)
#
# Write `layer_norm` along the last axis:
#
# $$y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \odot \gamma + \beta$$
#
# $\mu$ and $\sigma^2$ are the mean and the variance of *one token's own* features; the variance is divided by their
# number. $\gamma$ is `weights.weight`, $\beta$ is `weights.bias`. The input must stay as it is.
#
# ```
# >>> from deit_ref.weights import LayerNorm
# >>> weights = LayerNorm(weight=np.array([1.0, 10.0]), bias=np.array([0.0, 5.0]))
# >>> layer_norm(weights, np.array([[3.0, 7.0], [4.0, 4.0]]), eps=1e-12).round(6).tolist()
# [[-1.0, 15.0], [0.0, 5.0]]
# ```
#
# <details><summary>Hint</summary>
#
# `keepdims=True` keeps an axis of length 1, with which one mean for each token broadcasts over its features. Where
# does eps stand, inside the root or outside?
#
# </details>

# %% task="layers.layer_norm"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: GELU (2 points)
#
# Write `gelu` by its definition: $\mathrm{GELU}(x) = x \, \Phi(x)$ with
# $\Phi(x) = \frac12 \left(1 + \mathrm{erf}(x / \sqrt 2)\right)$. `erf` comes from `scipy.special`. It must be right in
# float64, to its last digits, and in float32. The solution takes a faster way for float32, `_gelu_float32`, which you
# may use there, or not.
#
# ```
# >>> gelu(np.array([-1.0, 0.0, 1.0, 10.0])).round(4).tolist()
# [-0.1587, 0.0, 0.8413, 10.0]
# ```
#
# <details><summary>Hint</summary>
#
# One line. The formula with tanh that is found in many places is an approximation, and not what DeiT was trained with.
#
# </details>

# %% task="activations.gelu"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: the mlp (2 points)
#
# Write `mlp`: `weights.fc1`, the activation, `weights.fc2`. The activation comes by its name:
# `activate(x, name=activation)`, which calls your `gelu` for "gelu".
#
# ```
# >>> from deit_ref.weights import Linear, Mlp
# >>> weights = Mlp(fc1=Linear(np.array([[1.0], [-1.0]])), fc2=Linear(np.array([[1.0, 1.0]]), np.array([0.5])))
# >>> mlp(weights, np.array([[[-3.0], [2.0]]]), activation="relu").tolist()  # |x| + 0.5
# [[[3.5], [2.5]]]
# ```
#
# <details><summary>Hint</summary>
#
# `linear(weights.fc1, x)` works on tokens of any batch. The token itself is added later, in the block.
#
# </details>

# %% task="encoder.mlp"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: one block (4 points)
#
# Write `encoder_block` by the two formulas above. `config` holds `num_attention_heads`, `layer_norm_eps` and
# `hidden_act`, the name of the activation. Hand `head_mask` and `attention_mask` on to `multi_head_attention`.
#
# If attention and mlp return zeros, the block returns its input: that is a quick test of your own.
#
# <details><summary>Hint</summary>
#
# Four steps: norm1, attention, add; norm2, mlp, add. What is the second norm applied to? `z` or `z'`?
#
# </details>

# %% task="encoder.encoder_block"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: the encoder (2 points)
#
# Write `encoder`: all of `weights.blocks`, one after the other, then the last layer norm, `weights.norm`. `head_mask`
# has one row for each block; `attention_mask` is the same for all. `weights.config` is what `encoder_block` calls
# `config`.
#
# ```
# >>> import dataclasses, deit_ref
# >>> weights = deit_ref.init_weights(deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"], "features", seed=0)
# >>> none = dataclasses.replace(weights, blocks=())
# >>> x = np.random.default_rng(0).normal(size=(1, 3, 192)).astype(np.float32)
# >>> np.allclose(encoder(none, x), layer_norm(weights.norm, x, eps=1e-12))  # without blocks only the norm is left
# True
# ```
#
# <details><summary>Hint</summary>
#
# `x = encoder_block(block, x, ...)` in a loop. head_mask may be None: then there is no row to take.
#
# </details>

# %% task="encoder.encoder"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: two heads (2 points)
#
# Write `classify_with_teacher`: `classify(head, cls_token)`, `classify(head_dist, dist_token)` and their mean. The
# result is three arrays: mean, class token's, distillation token's.
#
# ```
# >>> from deit_ref.weights import Linear
# >>> one, ten = Linear(np.array([[1.0]])), Linear(np.array([[10.0]]))
# >>> [x.item() for x in classify_with_teacher(one, ten, np.array([[2.0]]), np.array([[3.0]]))]
# [16.0, 2.0, 30.0]
# ```
#
# <details><summary>Hint</summary>
#
# Use `classify`: it also knows what to do when there is no head.
#
# </details>

# %% task="heads.classify_with_teacher"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 7: the whole model (4 points)
#
# Write `classification_with_teacher`. `encode`, which stands above it, is the path from pixels to tokens: `embed`, then
# your `encoder`. Its result has the tokens as `.x`, and what was kept on the way as `.hidden_states` and `.attentions`.
# `split_tokens(x, distilled=True)` gives the class tokens, the distillation tokens and the patches. Return a
# `TeacherOutput` with the logits and with what was kept; read its fields in `deit_ref.outputs`.
#
# ```
# >>> import deit_ref
# >>> config = deit_ref.DeiTConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
# ...                              image_size=32, num_labels=3)
# >>> weights = deit_ref.init_weights(config, "classification-with-teacher", seed=0)
# >>> output = classification_with_teacher(weights, np.ones((1, 3, 32, 32), np.float32))
# >>> output.logits.shape, np.allclose(output.logits, (output.cls_logits + output.distillation_logits) / 2)
# ((1, 3), True)
# ```
#
# <details><summary>Hint</summary>
#
# `options` are for `encode`: hand them all on with `**options`. `weights.head` and `weights.head_dist` are the two
# heads. Name the fields when you make the `TeacherOutput`.
#
# </details>

# %% task="model.classification_with_teacher"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On a photo
#
# All that you wrote in assignments 1 to 3, put together: your patches and positions make tokens of the photo, your
# attention and your blocks work on them, and your heads name it. The files of the earlier assignments are looked for in
# the folder above this one, in folders that are called `a1_patches` and `a2_attention`; what is not found there, or not
# solved, is taken from the reference, and is listed.

# %%
import numpy as np

import deit_ref
from deit_ref.course.release.earlier import together
from deit_ref.photos import bundled_photo

own, missing = together(globals(), number=3, folder="..")
print("yours:", ", ".join(own))
print("the reference's:", ", ".join(missing) or "none")
model = deit_ref.load_weights(task="classification-with-teacher")
photo = bundled_photo("chelsea")
output = classification_with_teacher(model, deit_ref.preprocess(photo, model.image_processing))
reference = deit_ref.forward(model, photo)
gap = np.abs(output.logits - reference.logits).max() / np.abs(reference.logits).max()
print("the same as the reference:", bool(gap < 1e-5))
output.top(3)

# %% [markdown] question="a3" points=4
# ## Question: what would break? (4 points)
#
# Imagine four changes to the trained model, without training it again:
#
# 1. All patches' tokens exchange their places at random *after* `embed`, before the first block.
# 2. The residual connections of one block in the middle are removed: $z' = \mathrm{MHA}(\mathrm{LN}_1(z))$,
#    $z'' = \mathrm{MLP}(\mathrm{LN}_2(z'))$.
# 3. eps of all layer norms becomes 1e-5 instead of 1e-6.
# 4. Only the class token's head is used, not the mean of both.
#
# Order them by how much the logits would change, and give a reason for each, from what the functions above compute. For
# one of them there is an exact answer: which, and why?
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a3"
# ## Rubric (4 points)
#
# - **1 point**: the exchange changes nothing, exactly (up to rounding): positions were added before, attention sums
#   over a set of keys, norms and mlp work on each token alone, and the heads read only the first two tokens, which
#   stay.
# - **1 point**: without residuals the block's input is lost but for what attention and mlp pass on; all later blocks
#   were trained on a sum: the logits change completely.
# - **1 point**: eps matters where the variance of a token is not far above it; variances in the model are far larger
#   than 1e-5, so that the change is tiny, but not 0. Full credit for an estimate: the relative change is about
#   $\delta / (2 \sigma^2)$ per norm, with $\delta$ the change of eps.
# - **1 point**: the two heads were trained on different targets and differ moderately: more than the change of eps,
#   less than the lost residuals; the order is 1 (nothing), 3, 4, 2.
#
# Typical answers that miss: "the exchange destroys the picture" (confuses it with an exchange before the positions are
# added); "eps changes nothing" (it does, just little).

# %% [markdown] answer="a3"
# ## Model answer
#
# The exchange changes nothing, and this is the exact answer: up to rounding the logits stay. Each patch carries its
# position with it, because positions were added before. Attention sums over a set of keys and does not see their order,
# the norms and the mlp work on each token alone, and the heads read only the first two tokens, which stay in their
# places. The next in the order is eps. A norm divides by $\sqrt{\sigma^2 + \epsilon}$, so going from 1e-6 to 1e-5
# changes a normalized token by about $9 \cdot 10^{-6} / (2 \sigma^2)$ of its size. The variances of tokens are far
# above 1e-5 in a trained model, some hundredths at least, so this is 1e-4 or less: the logits change in a late digit,
# but they change. Then comes the class token's head alone. It was trained on labels and the other head on a teacher's
# decisions, so the two agree on most photos but not in their numbers, and taking one instead of the mean moves logits
# by a good part of their size. Most of all changes without the residual connections: what the earlier blocks have
# collected reaches the later ones only as far as this block's attention and mlp pass it on, and these were trained to
# add a correction, not to carry the whole.
