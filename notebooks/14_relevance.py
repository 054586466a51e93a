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
# # 14. What a decision rests on
#
# The model says cat. Is it the eyes, the fur, or the corner of the photo? Attention says where a model looked, the
# gradient what would have changed its answer. Together: a number for each pixel, patch and head,
# `(batch, tokens, tokens)` or `(blocks, heads)`. And a test that none of them can do without.
#
# Chapter: [page](../docs/chapters/relevance.md) · NumPy:
# [source](../deit_ref/numpy_backend/backward/relevance.py) · torch: [mirror](../deit_ref/torch_backend/relevance.py)

# %% alt="A photo of a cat, and the same at 32 by 32 pixels."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward import relevance
from deit_ref.photos import bundled_photo, load_image

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

model = deit_ref.load_weights().to(backend)
config, prefix = model.config, model.config.num_prefix_tokens
photo = load_image(bundled_photo("chelsea"))
pixel_values = deit_ref.preprocess(photo, model.image_processing, backend=backend)
seen = plots.to_photos(pixel_values, model.image_processing)[0]
figure, panels = plt.subplots(1, 2, figsize=(6, 2.4), dpi=100, width_ratios=(1.5, 1), layout="constrained")
for axes, picture in zip(panels, (photo, seen), strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# $o_k$ is the logit of one class $k$. **Saliency** is how strongly it depends on each pixel,
# $\max_c |\partial o_k / \partial x_c|$, the largest of its channels. **Relevance** follows attention $A_l$ through the
# blocks, as rollout does, but counts each share by what the logit gains from it, its gradient $dA_l$:
#
# $$R_l = R_{l-1} + \bar A_l \, R_{l-1}, \qquad \bar A_l = \mathrm{mean} \big( \max(dA_l \odot A_l, 0) \big),
#   \qquad R_0 = I$$
#
# The maximum keeps what speaks for the class; the mean is that over the heads. The **importance** of a head is the size
# of $\sum dA \odot A$, the gradient of a number that all its shares would be multiplied by.

# %%
folded(relevance.attention_relevance, relevance.saliency, relevance.head_importance)

# %% [markdown]
# ## By hand
#
# One block, one head, two tokens. Token 0 looks at both alike, but only what it took from token 1 speaks for the class:
# the gradient is −2 at the first share, 4 at the second.
#
# **Before you run it:** rollout gives token 0 three quarters of itself and one quarter of token 1. What does relevance
# give it?

# %%
shares = [np.array([[[[0.5, 0.5], [0.0, 1.0]]]])]  # (1, 1, 2, 2)
gains = [np.array([[[[-2.0, 4.0], [0.0, 0.0]]]])]
print("relevance", relevance.attention_relevance(shares, gains).tolist())
print("rollout  ", attention_rollout(shares).tolist())
assert relevance.attention_relevance(shares, gains).tolist() == [[[1, 2], [0, 1]]]

# %% [markdown]
# The products are −1 and 2; what is negative counts nothing.

# %% [markdown]
# ## Your turn: the next block
#
# `R` is what the blocks below found, (tokens, tokens); `a` and `da` are this block's shares and their gradients,
# (heads, tokens, tokens). Return the new `R`.


# %%
def my_relevance(R, a, da):
    """Relevance after one more block."""
    ...  # your turn


draw = np.random.default_rng(0).standard_normal
a, da = np.abs(draw((2, 1, 3, 4, 4))), draw((2, 1, 3, 4, 4))  # (blocks, batch, heads, tokens, tokens)
first = relevance.attention_relevance([a[0]], [da[0]])[0]
truth = relevance.attention_relevance([*a], [*da])[0]
judge(my_relevance(first, a[1, 0], da[1, 0]), truth)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_relevance(R, a, da):
#     gained = np.maximum(a * da, 0).mean(axis=0)
#     return R + gained @ R
# ```
#
# The new block stands on the left: it reads what the blocks below made.
#
# </details>
#
# ## On a photo
#
# The bundled model says cat. Because of what? And if it had to say dog, what would it point at? The number that is
# differentiated is the logit of the class, not its probability: where the model is sure, the probability hardly moves.

# %%
output = deit_ref.forward(model, pixel_values=pixel_values, backend=backend, output_attentions=True)
print("the model says", output.top(3)[0])


def reasons(pixel_values, label):
    """Attentions and their gradients, and the gradient of the pixels, of one class's logit."""
    trace = deit_ref.Trace(["blocks.*.attention.probabilities"])
    found = deit_ref.gradients(
        model, pixel_values=pixel_values, target=label, with_respect_to=("attentions", "pixel_values"),
        backend=backend, trace=trace,
    )  # fmt: skip
    attentions = [as_numpy(array) for array in trace.matching("*")]
    return attentions, [as_numpy(array) for array in found.attentions], as_numpy(found.pixel_values)


sizes = {"grid": config.grid, "num_prefix_tokens": prefix}

# %% alt="The photo of a cat, and over it the rollout of the class and of the distillation token"
plots.rollout_overlay(seen, output.attentions, **sizes)

# %% [markdown]
# That was rollout: where the two tokens looked.
#
# **Before you run it:** will what speaks for *cat* lie at the same places? And what speaks for *dog*?

# %% alt="The photo, and over it what speaks for cat, of the class and of the distillation token"
attentions, gradients, _ = reasons(pixel_values, model.class_names.index("cat"))
plots.relevance_overlay(seen, attentions, gradients, class_name="cat", **sizes)

# %% alt="The photo, and over it what speaks for dog"
attentions, gradients, dpixels = reasons(pixel_values, model.class_names.index("dog"))
plots.relevance_overlay(seen, attentions, gradients, class_name="dog", **sizes)

# %% [markdown]
# Rollout is the same for every class. Relevance is not.
#
# **Before you run it:** of which class will the map be most like that of cat?

# %%
maps = []
for label in range(config.num_labels):
    attentions, gradients, _ = reasons(pixel_values, label)
    maps.append(relevance.attention_relevance(attentions, gradients)[0, :prefix, prefix:].sum(axis=0))
alike = np.corrcoef(maps)
cat = model.class_names.index("cat")
for name, value in zip(model.class_names, alike[cat], strict=True):
    print(f"cat and {name:<10} {value:5.2f}")
assert alike[cat].min() < 0.9

# %% [markdown]
# Saliency goes down to the pixels. It is noisy: the gradient at a single point of a rugged function.

# %% alt="The photo, and over it the strength of the gradient at each pixel, speckled"
_, _, dpixels = reasons(pixel_values, cat)
plots.saliency_overlay(seen, dpixels, class_name="cat")


# %% [markdown]
# ## Your turn: saliency
#
# Per pixel, the largest of its channels.


# %%
def my_saliency(dpixels):
    """The strength (height, width) of a gradient (channels, height, width)."""
    ...  # your turn


sample = np.random.default_rng(0).standard_normal((1, 3, 4, 4))
judge(my_saliency(sample[0]), relevance.saliency(sample)[0], "A strongly negative gradient is strong, too.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_saliency(dpixels):
#     return np.abs(dpixels).max(axis=0)
# ```
#
# </details>

# %% [markdown]
# ## The test: hide it
#
# A map is a claim: *this matters*. So take it away and ask again. `attention_mask` hides patches from every token. We
# hide more and more of the 64 patches, first those that a map puts first, and watch the logit of the class. Beside it:
# twenty random orders. A map that knows something must bring the logit down faster than a random order, and hiding what
# it puts *last* must hurt less.
#
# **Before you run it:** four photos, each with the model's own answer. Which map brings the logit down fastest:
# relevance, rollout or saliency?

# %%
names = ("chelsea", "coffee", "rocket", "astronaut")
counts = (0, 4, 8, 16, 24, 32, 48)
patches = config.grid[0] * config.grid[1]


def logits_without(pixel_values, label, hidden):
    """The logit when each of several sets of patches is hidden."""
    mask = np.ones((len(hidden), prefix + patches), bool)
    for row, places in zip(mask, hidden, strict=True):
        row[prefix + np.asarray(places, int)] = False
    batch = deit_ref.arrays.to_torch if backend == "torch" else np.asarray
    many = batch(np.repeat(as_numpy(pixel_values), len(hidden), axis=0))
    given = {"pixel_values": many, "attention_mask": batch(mask), "backend": backend}
    return as_numpy(deit_ref.forward(model, **given).logits)[:, label]


curves, generator = {}, np.random.default_rng(0)
for name in names:
    x = deit_ref.preprocess(bundled_photo(name), model.image_processing, backend=backend)
    logits = as_numpy(deit_ref.forward(model, pixel_values=x, backend=backend).logits)[0]
    label = int(logits.argmax())
    attentions, gradients, dpixels = reasons(x, label)
    block = config.patch_shape
    pulls = relevance.saliency(dpixels)[0].reshape(config.grid[0], block[0], config.grid[1], block[1]).sum(axis=(1, 3))
    ranked = {
        "relevance": relevance.attention_relevance(attentions, gradients)[0, :prefix, prefix:].sum(axis=0),
        "rollout": attention_rollout(attentions)[0, :prefix, prefix:].sum(axis=0),
        "saliency": pulls.ravel(),
    }
    orders = {way: [np.argsort(-values)] for way, values in ranked.items()}
    orders["relevance, last first"] = [np.argsort(ranked["relevance"])]
    orders["at random"] = [generator.permutation(patches) for _ in range(20)]
    for way, each in orders.items():
        hidden = [order[:count] for count in counts for order in each]
        values = logits_without(x, label, hidden).reshape(len(counts), len(each)).mean(axis=1)
        curves.setdefault(way, []).append(values / values[0])
    print(f"{name:<10} {model.class_names[label]:<11} logit {logits[label]:.2f}")

# %% alt="The share of the logit that is left against the number of hidden patches, by the order of hiding"
figure, axes = plt.subplots(figsize=(7.2, 3.2), dpi=100, layout="constrained")
styles = ((PIXELS, "o-"), (OTHER, "s-"), ("tab:cyan", "^-"), (PIXELS, "o--"), ("black", "k-"))
for (way, values), (color, style) in zip(curves.items(), styles, strict=True):
    axes.plot(counts, np.mean(values, axis=0), style.replace("k", ""), color=color, label=way)
axes.axhline(0, color="black", linewidth=0.8)
axes.set_xlabel("patches hidden, of 64")
axes.set_ylabel("share of the logit that is left")
axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
print(f"{'hidden first':<22}", *(f"{count:>7}" for count in counts))
for way, values in curves.items():
    print(f"{way:<22}", *(f"{share:7.0%}" for share in np.mean(values, axis=0)))
half = counts.index(32)
left = {way: np.mean(values, axis=0)[half] for way, values in curves.items()}
assert left["relevance"] < left["at random"] < left["relevance, last first"]

# %% [markdown]
# ## Which heads matter?
#
# The same question for heads, and the same test. On the left is the importance by one gradient, over four photos; on
# the right is what happens to the logit when the head is really silenced, one forward pass for each.
#
# **Before you run it:** one backward pass against twenty-four forward passes. Will the two pictures agree?

# %% alt="Two grids of 6 blocks by 4 heads: the importance of each head, and the change when it is silenced"
batch = [deit_ref.preprocess(bundled_photo(name), model.image_processing) for name in names]
batch = np.concatenate(batch)
batch = deit_ref.arrays.to_torch(batch) if backend == "torch" else batch
logits = as_numpy(deit_ref.forward(model, pixel_values=batch, backend=backend).logits)
labels = logits.argmax(axis=1)
attentions, gradients, _ = reasons(batch, labels)
importance = relevance.head_importance(attentions, gradients)  # (blocks, heads)


def change(silenced):
    """The mean change of the four logits when some heads are silenced."""
    mask = np.ones(importance.shape, np.float32)
    for place in silenced:
        mask[place] = 0
    mask = deit_ref.arrays.to_torch(mask) if backend == "torch" else mask
    after = as_numpy(deit_ref.forward(model, pixel_values=batch, head_mask=mask, backend=backend).logits)
    return np.abs(after - logits)[range(len(labels)), labels].mean()


heads = [*np.ndindex(*importance.shape)]
measured = np.array([change([place]) for place in heads]).reshape(importance.shape)
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), dpi=100, layout="constrained")
titles = ("importance by the gradient", "change when silenced")
for axes, values, title in zip(panels, (importance, measured), titles, strict=True):
    figure.colorbar(axes.imshow(values.T, cmap="inferno", vmin=0), ax=axes)
    axes.set_title(title, fontsize=10)
    axes.set_xticks(range(len(values)), range(1, len(values) + 1))
    axes.set_yticks(range(values.shape[1]), range(1, values.shape[1] + 1))
    axes.set_xlabel("block")
    axes.set_ylabel("head")
plt.show()
ranks = [values.ravel().argsort().argsort() for values in (importance, measured)]
print(f"rank correlation of the two: {np.corrcoef(*ranks)[0, 1]:.2f}")

# %%
order = [heads[i] for i in np.argsort(-importance.ravel())]
chance = [change([heads[i] for i in generator.permutation(len(heads))[:6]]) for _ in range(20)]
print(f"six most important silenced: {change(order[:6]):.2f}")
print(f"six at random:               {np.mean(chance):.2f} ({min(chance):.2f} to {max(chance):.2f})")
print(f"six least important:         {change(order[-6:]):.2f}")
assert change(order[-6:]) < np.mean(chance) < change(order[:6]) < max(chance)

# %% [markdown]
# ## The torch twin
#
# The mirror has the same three functions; what they are given comes from autograd.

# %%
for name in ("numpy", "torch"):
    chapter = import_module({"numpy": relevance.__name__, "torch": "deit_ref.torch_backend.relevance"}[name])
    trace = deit_ref.Trace(["blocks.*.attention.probabilities"])
    found = deit_ref.gradients(
        model.to(name), photo, target=cat, with_respect_to=("attentions",), backend=name, trace=trace
    )
    row = as_numpy(chapter.attention_relevance(trace.matching("*"), found.attentions))[0, 0, prefix:]
    print(f"{name:<6} largest relevance of a patch {row.max():.6f}, of patch {row.argmax()}")

# %% [markdown]
# ## Try
#
# 1. In "The test", hide by relevance *of a class other* than the model's answer. Does the logit of its answer fall as
#    fast?
# 2. Give hidden patches the mean color (0 in `pixel_values`) instead of an `attention_mask`. Which one hurts more, and
#    which of the two has the model seen in training?
# 3. Silence the most important head on one photo, then on another. Is it the same head?
#
# <details><summary>Answers</summary>
#
# 1. Usually not. If it does, the two maps are nearly the same, and then neither tells much about the class: it says
#    where *anything* is. The list of correlations above shows which classes are that close.
# 2. Neither has been seen in training. A patch of one color is at least something that photos contain; a missing token
#    is something that this model never met. So both tests ask the model a question that it was not trained for, and no
#    map escapes that.
# 3. Often not. Print `relevance.head_importance` of one photo at a time: some heads matter for all four, others for
#    one.
#
# </details>
