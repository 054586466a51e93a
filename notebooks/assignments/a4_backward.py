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
# # Assignment 4: the way back
#
# 20 points for functions, 4 for the question at the end. Time: 3 to 4 hours.
#
# **You will learn**
#
# - how the gradient of a loss travels back through a layer, and why no Jacobian is ever built;
# - how to be sure of a gradient: measure it;
# - that training is a loop of a few lines: there, back, one step down.
#
# **You are given** the layers themselves (`linear`, `softmax`, `layer_norm`), two ways back that are written for you
# (`gelu_vjp` and `mean_squared_error_vjp`), and `map_weights`, which works on all arrays of some weights at once. Of
# the earlier assignments you need the ideas of softmax and attention (2) and of layer norm (3), not your own solutions.
#
# **Your goal**: four gradients of which DeiT is made, and a training loop that learns to tell drawn shapes apart.

# %% [markdown]
# ## Background
#
# A loss $\mathcal L$ is one number. For every other number in the model, training asks: if you grew a little, how much
# would $\mathcal L$ grow? The answer is that number's gradient. We write $dx$ for the gradient of $\mathcal L$ with
# respect to $x$, $\partial \mathcal L / \partial x$. It has the shape of $x$.
#
# A layer $y = f(x)$ does not know the loss. It only has to answer: *if you are told $dy$, what is $dx$?* By the chain
# rule
#
# $$dx_j = \sum_i dy_i \, \frac{\partial y_i}{\partial x_j}$$
#
# So each layer gets a partner whose name ends in `_vjp` (vector-Jacobian product). It takes the layer's arguments and
# returns two things: the value $y$, and a function `back`, which takes $dy$ and returns the gradient of each argument,
# in their order. What `back` needs of the forward pass, it simply mentions: a function inside a function sees its
# variables. Here is one for $y = x^2$, where $dx = 2 x \, dy$:
#
# ```
# >>> def square_vjp(x):
# ...     def back(dy):
# ...         return 2 * x * dy
# ...     return x * x, back
# >>> y, back = square_vjp(np.array([1.0, 3.0]))
# >>> y.tolist(), back(np.array([1.0, 10.0])).tolist()
# ([1.0, 9.0], [2.0, 60.0])
# ```
#
# A chain of layers is differentiated by calling their `back`s, the last layer's first. Two rules do most of the work.
# What is used several times gets the *sum* of the gradients of its uses. And of a product of matrices, $Y = A B$, each
# factor gets what the other one does: $dA = dY \, B^\top$, $dB = A^\top dY$.
#
# The tests call your function, then its `back`. Where they speak of arrays of the result, the first is the value, and
# the others are what `back` returns, a weight before its bias.
#
# More in the chapter on [the way back](../../docs/chapters/backward.md).

# %% [markdown]
# ## Task 1: a ruler (2 points)
#
# Before you write gradients you need something to measure them by. Write `differences`: the gradient of any function
# that makes one number of an array, by central differences,
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + \delta u) - f(x - \delta u)}{2 \delta}$$
#
# with $u$ an array that is 1 at the place $i$ and 0 elsewhere, and $\delta$ the argument `step`.
#
# ```
# >>> differences(np.sum, np.zeros((1, 3))).round(6).tolist()
# [[1.0, 1.0, 1.0]]
# >>> differences(lambda x: x[0] * x[1], np.array([2.0, 5.0])).round(6).tolist()
# [5.0, 2.0]
# ```
#
# <details><summary>Hint</summary>
#
# `for place in np.ndindex(*x.shape)` goes through all places of an array of any shape. Move copies, not `x` itself.
#
# To measure a layer, make a number of its result: `differences(lambda x: (dy * softmax(x)).sum(), x)` must be what
# `softmax_vjp(x)[1](dy)` returns. Draw `dy` at random: with ones, much that is wrong looks right.
#
# </details>

# %% task="course.gradients.differences"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: linear (4 points)
#
# Write `linear_vjp` for $y = x W^\top + b$. `back(dy)` returns the gradients of `weights` and of `x`; those of the
# weights come as weights, `Linear(dW, db)`. $x$ may have any number of axes before the features. All tokens use the
# same $W$ and $b$. If there is no bias (`weights.bias` is None), its gradient is None.
#
# ```
# >>> from deit_ref.weights import Linear
# >>> y, back = linear_vjp(Linear(np.array([[1.0, 2.0]]), np.zeros(1)), np.array([[3.0, 4.0], [1.0, 1.0]]))
# >>> dweights, dx = back(np.array([[10.0], [1.0]]))
# >>> dx.tolist(), dweights.weight.tolist(), dweights.bias.tolist()
# ([[10.0, 20.0], [1.0, 2.0]], [[31.0, 41.0]], [11.0])
# ```
#
# <details><summary>Hint</summary>
#
# Flatten the axes before the features: `rows = x.reshape(-1, x.shape[-1])`, and dy likewise. Then let the shapes lead
# you: dW is (out, in), the rows of dy are (rows, out), those of x are (rows, in). There is only one product that fits.
#
# </details>

# %% task="backward.layers.linear_vjp"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: softmax (3 points)
#
# Write `softmax_vjp` along the last axis. With $p = \mathrm{softmax}(x)$ the Jacobian is $\partial p_i / \partial x_j =
# p_i \, ([i = j] - p_j)$, where $[i = j]$ is 1 if $i = j$ and 0 otherwise. Multiply it out with $dp$: what remains
# needs no matrix. A score of minus infinity has share 0, and gets gradient 0.
#
# ```
# >>> p, back = softmax_vjp(np.array([0.0, np.log(3.0)]))
# >>> p.round(6).tolist(), back(np.array([4.0, 0.0])).round(6).tolist()
# ([0.25, 0.75], [0.75, -0.75])
# ```
#
# <details><summary>Hint</summary>
#
# $\sum_i dp_i \, p_i \, ([i = j] - p_j)$ has two parts. In the first only $i = j$ is left. In the second $p_j$ does not
# depend on $i$: put it in front of the sum. In words: a score's gradient is its share, times what the share is worth
# less what all shares are worth on average. So `back(dp)` sums to 0 in each row. Try it.
#
# </details>

# %% task="backward.layers.softmax_vjp"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: layer norm (4 points)
#
# Write `layer_norm_vjp` for $y = \tilde x \odot \gamma + \beta$ with $\tilde x = (x - \mu) / \sigma$, where $\sigma$
# is the root of the variance plus eps. With $d\tilde x = dy \odot \gamma$, and a bar for the mean over one token's
# features,
#
# $$dx = \frac1\sigma \left( d\tilde x - \overline{d\tilde x}
#   - \tilde x \; \overline{d\tilde x \odot \tilde x} \right)$$
#
# $\gamma$ and $\beta$ are used by every token; find their gradients by the two rules above. `back(dy)` returns
# `LayerNorm(dgamma, dbeta)` and dx.
#
# ```
# >>> from deit_ref.weights import LayerNorm
# >>> weights = LayerNorm(np.array([1.0, 1.0, 2.0]), np.zeros(3))
# >>> y, back = layer_norm_vjp(weights, np.array([[-1.0, 0.0, 1.0]]), eps=1e-12)
# >>> dweights, dx = back(np.array([[0.0, 3.0, 0.0]]))
# >>> dx.round(4).tolist(), dweights.bias.tolist()
# ([[-1.2247, 2.4495, -1.2247]], [0.0, 3.0, 0.0])
# ```
#
# <details><summary>Hint</summary>
#
# The three terms are three ways from x to y: straight, through the mean, through the variance. `layer_norm` with ones
# and zeros for weights gives $\tilde x$. dx has mean 0, because adding the same number to all features changes nothing.
#
# </details>

# %% task="backward.layers.layer_norm_vjp"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: attention (4 points)
#
# Write `scaled_dot_product_attention_vjp`: $A = \mathrm{softmax}(S)$ of $S = Q K^\top / \sqrt d$, and $Y = A V$.
# `back(dy)` returns dq, dk, dv and the gradient of `head_mask`, or None if there is no head_mask. `attention_mask` is
# True where a token may be looked at; the scores of other tokens become minus infinity. `head_mask` has one factor for
# each head, which multiplies its shares. `dropout_probability`, `generator` and `trace` are for training and
# inspection: your function may ignore them, but must accept them.
#
# ```
# >>> q = k = np.zeros((1, 1, 2, 1))  # one head, two tokens, one feature: all shares are 1/2
# >>> v, dy = np.array([[[[1.0], [5.0]]]]), np.array([[[[1.0], [0.0]]]])
# >>> y, back = scaled_dot_product_attention_vjp(q, k, v)
# >>> y.ravel().tolist(), back(dy)[2].ravel().tolist()
# ([3.0, 3.0], [0.5, 0.5])
# ```
#
# <details><summary>Hint</summary>
#
# Write the forward pass in single steps: scores, shares (by your `softmax_vjp`, which also gives you the way back),
# masked shares, result. Then go through the steps in reverse, and use the rule for products twice. `x.swapaxes(-1, -2)`
# transposes the last two axes. The factor $1 / \sqrt d$ comes back to both q and k.
#
# </details>

# %% task="backward.attention.scaled_dot_product_attention_vjp"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: train (3 points)
#
# Write `train`: an mlp of two layers, $\hat y = \mathrm{fc2}(\mathrm{GELU}(\mathrm{fc1}(x)))$, learns in `steps` steps,
# each on all pictures. In each step: the forward pass; note the loss, the mean squared error of $\hat y$ and `targets`;
# the way back; and for each number $w$ of the weights, with gradient $g$ and a velocity $m$ that begins at 0,
#
# $$m \leftarrow \beta_1 m + g, \qquad w \leftarrow w - \eta m$$
#
# $\beta_1$ is `momentum`, $\eta$ is `learning_rate`. Return the new weights and the losses.
#
# ```
# >>> from deit_ref.weights import Linear, Mlp
# >>> one = Mlp(Linear(np.array([[1.0]]), np.zeros(1)), Linear(np.array([[1.0]]), np.zeros(1)))
# >>> trained, losses = train(one, np.array([[10.0]]), np.array([[11.0]]), steps=1, learning_rate=0.01)
# >>> losses.tolist(), trained.fc2.weight.round(6).tolist(), trained.fc2.bias.round(6).tolist()
# ([1.0], [[1.2]], [0.02])
# ```
#
# <details><summary>Hint</summary>
#
# `hidden, back_fc1 = linear_vjp(weights.fc1, x)`, then `gelu_vjp(hidden)`, then fc2, then
# `loss, back_loss = mean_squared_error_vjp(predictions, targets)`. `back_loss()` is where the way back begins. The
# gradient of an `Mlp` is an `Mlp`. `map_weights(lambda w, m: w - learning_rate * m, weights, velocity)` makes a step.
#
# </details>

# %% task="course.gradients.train"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On pictures
#
# First your ruler measures your softmax. Then your loop learns to tell ten kinds of drawn shapes apart, in a few
# seconds: the picture shows what 32 of its 64 neurons look for, black for dark and white for bright. Last, your four
# gradients are put in the place of the reference's inside a whole DeiT, and must give what the reference gives.

# %%
import numpy as np
from PIL import Image

import deit_ref
from deit_ref.course.release.earlier import rebuilt
from deit_ref.data.shapes import draw_shapes
from deit_ref.weights import Linear, Mlp, named_arrays

rng = np.random.default_rng(0)
x, dy = rng.normal(size=(2, 3, 4))
measured = differences(lambda x: (dy * softmax_vjp(x)[0]).sum(), x)
print("softmax, as measured:", np.allclose(softmax_vjp(x)[1](dy), measured, atol=1e-8))

pictures, labels = draw_shapes(1500, seed=0)
pixels = (pictures.mean(axis=-1).reshape(1500, -1) - 80) / 64
start = Mlp(
    fc1=Linear(rng.normal(0, 1 / 32, (64, 1024)), np.zeros(64)),
    fc2=Linear(rng.normal(0, 1 / 8, (10, 64)), np.zeros(10)),
)
trained, losses = train(start, pixels[:1000], np.eye(10)[labels[:1000]], steps=100, learning_rate=0.2)


def right(weights):
    """The share of pictures that were not trained on and whose shape is named."""
    bent, _ = gelu_vjp(linear_vjp(weights.fc1, pixels[1000:])[0])
    predictions, _ = linear_vjp(weights.fc2, bent)
    return (predictions.argmax(axis=1) == labels[1000:]).mean()


print(f"loss: {losses[0]:.2f} before, {losses[-1]:.2f} at the end")
print(f"right: {right(start):.0%} before, {right(trained):.0%} after")

names = ["linear_vjp", "softmax_vjp", "layer_norm_vjp", "scaled_dot_product_attention_vjp"]
gradients = rebuilt("backward.gradients.gradients", {name: globals()[name] for name in names})
config = deit_ref.DeiTConfig(48, 3, 4, 96, image_size=32, patch_size=8, num_labels=10)
model = deit_ref.init_weights(config, "classification", seed=0)
pixel_values = (pictures[:8].transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
mine = gradients(model, pixel_values, labels=labels[:8]).weights
reference = deit_ref.gradients(model, pixel_values=pixel_values, labels=labels[:8], backend="numpy").weights
pairs = zip(named_arrays(mine), named_arrays(reference), strict=True)
same = all(np.allclose(one, other, atol=1e-6) for (_, one), (_, other) in pairs)
print("a whole DeiT's gradients, the same as the reference's:", same)

neurons = trained.fc1.weight[:32].reshape(4, 8, 32, 32).transpose(0, 2, 1, 3).reshape(128, 256)
picture = Image.fromarray((neurons / np.abs(neurons).max() * 127 + 128).astype(np.uint8))
picture.resize((768, 384), Image.Resampling.NEAREST)

# %% [markdown] question="a4" points=4
# ## Question: what can be read off a gradient? (4 points)
#
# 1. Somebody starts `train` with all weights and biases 0. Which of the four arrays of the mlp change in the first
#    step, which ever? Argue with your formulas, and say why small random numbers help.
# 2. A bias is added to all values: each row of $V$ grows by the same row $b$. Show from your formulas that the gradient
#    of $b$ is the sum of the rows of $dY$, whatever the scores are (without head_mask). After attention stands a linear
#    layer, `proj`. Could the model do without $b$?
# 3. The weights of a linear layer, bias included, are multiplied by 10, and a layer norm follows it. What happens to
#    the norm's result, and to the gradient of the layer's weights (forget eps)? What does one step of plain descent at
#    the same learning rate then do, compared with before?
# 4. A friend checks a gradient with `differences`, $\delta = 10^{-5}$, in float32, and finds only one or two digits
#    that agree. Where do the digits go? Give a better way, and one mistake in a gradient that no such check on one
#    random input finds.
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a4"
# ## Rubric (4 points)
#
# - **1 point**: only fc2's bias, and ever only this one. The hidden numbers are GELU(0) = 0, so dW of fc2 is 0; fc2's
#   weights are 0, so nothing comes back through it to fc1. In the next step all is as before. Random numbers make the
#   hidden numbers differ from 0 and from each other.
# - **1 point**: $b$ is used by all values, so its gradient is the sum of the rows of $dV = A^\top dY$: row $i$ of $dY$
#   comes as often as the shares of query $i$ sum to, which is 1. It could: every row of the result grows by $b$, and
#   `proj` turns that into a constant, which its own bias can be. Full point only with both.
# - **1 point**: the norm's result stays. The gradient becomes a tenth. A step moves weights that are ten times as large
#   by a tenth: relative to their size it is a hundredth of what it was. Full point only with the hundredth.
# - **1 point**: float32 has seven digits; $f(x + \delta u) - f(x - \delta u)$ is a difference of nearly equal numbers,
#   and what rounding leaves of it, about $10^{-7} f$, is divided by $2 \delta = 2 \cdot 10^{-5}$. Better: float64, or a
#   longer step (near $10^{-2}$ in float32). A mistake that is not found: one in a branch that this input does not take
#   (a mask, no bias, a bend such as ReLU's, a batch of one), or anything, if dy is all ones behind a softmax.
#
# Typical answers that miss: "with zeros nothing learns" (fc2's bias does); for the third, "the norm removes it, so
# nothing changes"; for the fourth, "the step is too large" (it is too small for float32).

# %% [markdown] answer="a4"
# ## Model answer
#
# With zeros everywhere the hidden numbers are GELU(0) = 0. The gradient of fc2's weights is $dy^\top$ times these
# numbers, so it is 0. What comes back through fc2 is $dy \, W_2 = 0$, so fc1 gets nothing, neither weights nor bias.
# Only fc2's bias, whose gradient is the sum of dy, moves in the first step, and since all else is then as before, it is
# the only one that ever does. Small random numbers make the hidden numbers differ from 0 and from each other, so that
# each neuron gets a gradient of its own. The bias b is used by all values, so its gradient is the sum of the rows of
# $dV = A^\top dY$, that is $\sum_j \sum_i A_{ij} \, dY_i$, and as the shares $A_{ij}$ of each query sum to 1, this is
# $\sum_i dY_i$. Every result grows by b, and `proj` makes a constant of it, which its own bias can be, so the model
# could do without b. Multiplying the layer by 10 multiplies its result by 10, and mean and deviation with it, so the
# norm's result stays the same. On the way back the norm divides by a deviation that is ten times as large, so the
# gradient of the weights is a tenth; one step moves them by a tenth of what it was, and as they are ten times as large,
# by a hundredth of it in proportion. In float32 a number has about seven digits, and of the difference of two nearly
# equal numbers, some $10^{-5}$, only one or two are left, and dividing by $2 \delta$ brings none of them back. Better
# is float64, or a step near $10^{-2}$. A mistake in a branch that the input does not take, such as the sum over images
# when there is one image, is not found.
