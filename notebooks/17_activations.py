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
# # 17. Activations, and the fitted GELU
#
# Two curves, both called GELU, that no eye can tell apart. Does a model notice which of them it gets? An array of any
# shape goes in, the same shape comes out, each number changed by itself.
#
# Chapter: [page](../docs/chapters/activations.md) · NumPy: [source](../deit_ref/numpy_backend/activations.py) · torch:
# [mirror](../deit_ref/torch_backend/activations.py)

# %% alt="The curve of GELU and of its tanh form, one exactly over the other."
from importlib import import_module
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_ndtr

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.benchmark.gelu import error, fitted
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import activations
from deit_ref.photos import bundled_photo

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

x = np.linspace(-4, 4, 801)
figure, axes = plt.subplots(figsize=(5, 2.8), dpi=100, layout="constrained")
axes.plot(x, activations.gelu(x), color=PIXELS, linewidth=2, label="GELU")
axes.plot(x, activations.gelu_tanh(x), "--", color="black", label="its tanh form")
axes.set(xlabel="x")
axes.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## The formula
#
# $$\mathrm{GELU}(x) = x \, \Phi(x), \qquad \Phi(x) = \frac{1}{1 + e^{-x \, \mathrm{poly}(x^2)}}, \qquad
# \mathrm{poly}(x^2) = \frac1x \log \frac{\Phi(x)}{\Phi(-x)}$$
#
# $\Phi(x)$ is the share of a normal distribution that lies below $x$. The middle form is exact, too: it only moves the
# question to $\mathrm{poly}$, which a polynomial can follow.
#
# **Before you run it:** at $x = 1$, 0.8413 of the distribution lies below and 0.1587 above. Is $\mathrm{poly}(1)$
# nearer to 1.6 or to 3.5?

# %% alt="poly over x from 0 to 6: it begins at 1.6 and rises evenly to 3.5."
x = np.linspace(0, 6, 601)[1:]
exponent = (log_ndtr(x) - log_ndtr(-x)) / x
figure, axes = plt.subplots(figsize=(5, 2.8), dpi=100, layout="constrained")
axes.plot(x, exponent, color=PIXELS, linewidth=2)
axes.set(xlabel="x", ylabel="poly", ylim=(0, 4))
plt.show()
print(f"poly begins at {exponent[0]:.4f} = 2 sqrt(2 / pi) = {2 * np.sqrt(2 / np.pi):.4f}")

# %%
folded(activations.gelu, activations._gelu_float32)

# %% [markdown]
# ## By hand: the fit
#
# **Before you run it:** the tanh form has two terms. How many does it take until the error is that of float32 itself,
# 6e-8? Each line is the error of a fit whose largest error is as small as it can be with so many terms; all its peaks
# are equally high.

# %% alt="Errors of fits of three, five and seven terms on a logarithmic scale, each a row of equally high peaks."
figure, axes = plt.subplots(figsize=(8, 3), dpi=100, layout="constrained")
for terms, color in ((3, "black"), (5, OTHER), (7, PIXELS)):
    off = np.abs(error(fitted(terms, points=300, rounds=300), x))
    axes.semilogy(x, off + 1e-12, color=color, label=f"{terms} terms: at most {off.max():.1e}")
axes.set(xlabel="x", ylabel="error of GELU", ylim=(1e-10, 1e-3))
axes.legend(fontsize=9, ncols=3, loc="upper center")
plt.show()

# %% [markdown]
# The numbers in the code are those of seven terms. `fitted` finds them again, to the digits that matter.

# %%
stored, found = np.array(activations._LOGIT_PHI), fitted(7, points=300, rounds=300)
for ours, again in zip(stored, found, strict=True):
    print(f"{ours:14.9g} {again:14.9g}")
largest = [np.abs(error(coefficients, x)).max() for coefficients in (stored, found)]
print(f"largest error: {largest[0]:.2e} and {largest[1]:.2e}")
assert max(largest) < 6.8e-8


# %% [markdown]
# ## Your turn: GELU from the coefficients
#
# Write GELU with the seven stored numbers, which are the coefficients of $1, x^2, x^4, \dots$


# %%
def my_gelu(x, coefficients):
    """x times the share below it, from the coefficients of poly."""
    ...  # your turn


places = np.linspace(-4, 4, 9)
judge(
    my_gelu(places, stored),
    activations.gelu(places),
    "np.polynomial.polynomial.polyval(x * x, coefficients)",
    within=1e-6,
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_gelu(x, coefficients):
#     poly = np.polynomial.polynomial.polyval(x * x, coefficients)
#     return x / (1 + np.exp(-x * poly))
# ```
#
# </details>

# %% [markdown]
# ## Three forms of one function
#
# float64 follows the definition, by `erf`; float32 takes the fitted form; the third is the approximation by `tanh`,
# known from other models. The picture shows their distance from the definition, on a logarithmic scale.
#
# **Before you run it:** by what factor do the two lie apart?

# %% alt="Distance from the definition: the float32 form stays below 1e-6, the tanh form reaches 5e-4."
x = np.linspace(-6, 6, 1201)
exact = activations.gelu(x)
in_float32 = np.abs(activations.gelu(x.astype(np.float32)) - exact)
by_tanh = np.abs(activations.gelu_tanh(x) - exact)
figure, axes = plt.subplots(figsize=(5, 2.8), dpi=100, layout="constrained")
axes.semilogy(x, by_tanh + 1e-12, color="black", label="tanh form")
axes.semilogy(x, in_float32 + 1e-12, color=PIXELS, label="float32 form")
axes.set(xlabel="x", ylim=(1e-11, 1))
axes.legend(loc="upper center", ncols=2, fontsize=9)
plt.show()
print(f"largest distance: float32 form {in_float32.max():.1e}, tanh form {by_tanh.max():.1e}")
assert in_float32.max() < 1e-6
assert 4e-4 < by_tanh.max() < 5e-4

# %% [markdown]
# The float32 form is as exact as float32 numbers are; the tanh form is a different function.

# %% [markdown]
# ## Your turn: below 0
#
# GELU(1) is 0.8413. What is GELU(-1)?

# %%
my_value = ...  # your turn
judge(
    my_value, activations.gelu(np.array([-1.0]))[0], "What lies below -1 is as much as what lies above 1.", within=1e-3
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_value = -(1 - 0.8413)
# ```
#
# The share below -1 is $1 - 0.8413$, and it is multiplied by -1.
#
# </details>

# %% [markdown]
# ## On a photo
#
# Does it matter which form the model uses? The same photo, the same weights, GELU and its tanh form in all blocks.
#
# **Before you run it:** in which digit will the logits differ, and will the answer be the same?

# %%
weights = deit_ref.load_weights().to(backend)
chapter = import_module(f"deit_ref.{backend}_backend.activations")
right = deit_ref.forward(weights, bundled_photo("chelsea"), backend=backend)
with patch.dict(chapter.ACTIVATIONS, {"gelu": chapter.gelu_tanh}):
    wrong = deit_ref.forward(weights, bundled_photo("chelsea"), backend=backend)
logits, others = as_numpy(right.logits), as_numpy(wrong.logits)
difference = np.abs(logits - others).max() / np.abs(logits).max()
print(f"difference {difference:.1e} of the largest logit; the same answer: {bool(logits.argmax() == others.argmax())}")
assert 1e-5 < difference < 1e-2

# %% [markdown]
# A test that allows a difference of 1e-3 might not see the wrong function; the tests here allow 1e-5.

# %% [markdown]
# ## The torch twin
#
# torch has GELU in one kernel, by `erf`. Every activation of the table, in both dtypes:

# %%
twin = import_module("deit_ref.torch_backend.activations")
torch = import_module("torch")
x = np.random.default_rng(0).standard_normal((3, 64))
for dtype, bound in ((np.float64, 1e-10), (np.float32, 1e-5)):
    largest = 0.0
    for name in activations.ACTIVATIONS:
        ours = activations.activate(x.astype(dtype), name=name)
        theirs = as_numpy(twin.activate(torch.from_numpy(x.astype(dtype)), name=name))
        largest = max(largest, float(np.abs(ours - theirs).max() / np.abs(ours).max()))
    print(f"{np.dtype(dtype).name}: {len(activations.ACTIVATIONS)} activations, difference at most {largest:.1e}")
    assert largest <= bound

# %% [markdown]
# ## Try
#
# 1. Fit with two terms. How far are they from the tanh form's 1.5958 and 0.0714, and how much smaller is the error?
# 2. Where is the slope of GELU 1 for the first time? Look at `np.gradient` of it.
# 3. Give the model `relu` instead of GELU, as above. Does it still name the cat?
#
# <details><summary>Answers</summary>
#
# 1. 1.6003 and 0.0694; the largest error is 2.7e-4 instead of 4.7e-4. The tanh form has the exact slope at 0 instead.
# 2. At x = 0.75; up to there the slope grows from one half, and beyond it is above 1, up to 1.13 at the root of 2.
# 3. Here it does; the answers to other photos change. ReLU and GELU differ by 0.17 at most, but most of the numbers
#    that the model has lie between −2 and 2, where they differ, and it was trained with the other curve.
#
# </details>
