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
# # 7. From tokens to answers
#
# A cat, an astronaut, a cup of coffee and a rocket, as the model sees them. It has two heads, and they were taught by
# two teachers. When do they disagree? They turn the class and the distillation token into one score per class:
# `(batch, dim)`, `(batch, dim)` -> `(batch, num_labels)`.
#
# Chapter: [page](../docs/chapters/heads.md) · NumPy: [source](../deit_ref/numpy_backend/heads.py) · torch:
# [mirror](../deit_ref/torch_backend/heads.py)

# %% alt="Four photos of 32 by 32 pixels: a cat, an astronaut, a cup of coffee and a rocket."
from importlib import import_module
from math import log

import matplotlib.pyplot as plt
import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy, to_torch
from deit_ref.exercises import CLS, DIST, folded, judge
from deit_ref.numpy_backend import heads
from deit_ref.numpy_backend.layers import softmax
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.torch_backend import heads as torch_heads
from deit_ref.weights import Linear

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

weights = deit_ref.load_weights().to(backend)
config = weights.config
photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
pixel_values = deit_ref.preprocess(photos, weights.image_processing, backend=backend)
seen = plots.to_photos(pixel_values, weights.image_processing)
figure, panels = plt.subplots(1, len(photos), figsize=(7, 1.8), dpi=100, layout="constrained")
for axes, picture in zip(panels, seen, strict=True):
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# After the last norm, a head is one linear map from a token to one score per class, the logits. DeiT has two: one
# reads the class token and was trained on the labels, the other reads the distillation token and was trained on what
# a teacher network said. The answer is their mean:
#
# $$o = \tfrac12 \left( o_\text{cls} + o_\text{dist} \right), \qquad
#   o_\text{cls} = z_\text{cls} W_\text{cls}^\top + b_\text{cls}, \quad
#   o_\text{dist} = z_\text{dist} W_\text{dist}^\top + b_\text{dist}$$
#
# Softmax turns logits into probabilities. The pooler is a different ending, for models that are trained further: a
# summary of the image instead of scores, $\tanh(z_\text{cls} W^\top + b)$.

# %%
folded(heads.classify, heads.classify_with_teacher, heads.pooler)

# %% [markdown]
# ## By hand
#
# A token of dim 2, $z = (1, 2)$, and three classes. The rows of $W$ are the directions that the classes look for:
# the first feature, the second, and their sum, less 1.
#
# **Before you run it:** which classes come first?

# %%
head = Linear(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 0.0, -1.0]))  # (3 classes, dim 2)
logits = heads.classify(head, np.array([[1.0, 2.0]]))
print("logits", logits.shape, logits[0])
print("probabilities", softmax(logits)[0].round(3))
assert logits.tolist() == [[1, 2, 2]]

# %% [markdown]
# The mean is that of the logits, not of the probabilities. Two classes: the class head gives logits $(\log 9, 0)$,
# which is 90% to 10%, and the distillation head $(0, 0)$, 50% to 50%. The mean of the logits is
# $(\tfrac12 \log 9, 0) = (\log 3, 0)$, and that is 75% to 25%. The mean of the probabilities would be 70% to 30%:
# with logits, the head that is sure has more to say.

# %%
identity = Linear(np.eye(2))
mean, by_cls, by_dist = heads.classify_with_teacher(
    identity, identity, np.array([[log(9), 0.0]]), np.array([[0.0, 0.0]])
)
print("class head  ", softmax(by_cls)[0].round(3))
print("distillation", softmax(by_dist)[0].round(3))
print("mean        ", softmax(mean)[0].round(3))
assert np.allclose(softmax(mean), [[0.75, 0.25]])


# %% [markdown]
# ## Your turn: two heads
#
# Write the answer of the model: logits of the class head, of the distillation head, and their mean as three rows.


# %%
def my_answers(W_cls, b_cls, W_dist, b_dist, z_cls, z_dist):
    """Logits (3, classes) of two tokens (dim,): class head, distillation head, mean."""
    ...  # your turn


draw = np.random.default_rng(0).standard_normal
given = draw((5, 4)), draw(5), draw((5, 4)), draw(5), draw(4), draw(4)
one, other = Linear(*given[:2]), Linear(*given[2:4])
in_order = heads.classify_with_teacher(one, other, given[4][None], given[5][None])
judge(my_answers(*given), np.concatenate([in_order[1], in_order[2], in_order[0]]), "One product and one sum per head.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_answers(W_cls, b_cls, W_dist, b_dist, z_cls, z_dist):
#     by_cls = W_cls @ z_cls + b_cls
#     by_dist = W_dist @ z_dist + b_dist
#     return np.stack([by_cls, by_dist, (by_cls + by_dist) / 2])
# ```
#
# </details>

# %% [markdown]
# ## Your turn: a sure head and an unsure one
#
# The class head gives two classes the logits $(\log 16, 0)$, the distillation head $(0, 0)$. What probability does the
# model give to the first class?

# %%
my_probability = ...  # your turn
judge(my_probability, softmax(np.array([log(16) / 2, 0.0]))[0], "Take the mean of the logits first.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_probability = 4 / 5
# ```
#
# Half of $\log 16$ is $\log 4$, so the shares are as 4 to 1. The mean of the probabilities would be $(16/17 + 1/2) /
# 2$, about 72%.
#
# </details>

# %% [markdown]
# The pooler, with the identity as its matrix: $\tanh(\log 2) = (2 - \frac12) / (2 + \frac12) = 0.6$.

# %%
summary = heads.pooler(Linear(np.eye(3)), np.array([[log(2), 0.0, -log(2)]]), activation="tanh")
print("summary", summary.shape, summary[0])
assert np.allclose(summary, [[0.6, 0, -0.6]])

# %% [markdown]
# ## On a photo
#
# Back to the four photos.

# %%
output = deit_ref.forward(weights, pixel_values=pixel_values, backend=backend, output_hidden_states=True)

names = np.array(weights.class_names or [f"class {i}" for i in range(config.num_labels)])
print("logits", tuple(output.logits.shape), "for", len(names), "classes:", ", ".join(names[:10]))

# %% [markdown]
# A model can only choose among the classes it has. Whatever is in the photo, its probabilities sum to 1; there is no
# class for "something else", unless somebody put it there. So read the table with the list of classes beside it.
#
# **Before you run it:** on which of the four photos will the two heads be most at odds?

# %%
probabilities = {
    "class head": softmax(as_numpy(output.cls_logits)),  # (4, classes) each
    "distillation head": softmax(as_numpy(output.distillation_logits)),
    "mean": softmax(as_numpy(output.logits)),
}
for i, photo in enumerate(BUNDLED_PHOTOS):
    answers = {who: names[shares[i].argmax()] for who, shares in probabilities.items()}
    apart = np.abs(probabilities["class head"][i] - probabilities["distillation head"][i]).sum() / 2
    told = ", ".join(f"{who}: {answer} {probabilities[who][i].max():.0%}" for who, answer in answers.items())
    agree = "agree" if answers["class head"] == answers["distillation head"] else "DISAGREE"
    print(f"{photo:<10} {told}\n{'':<10} the heads {agree}, {apart:.0%} of their probability lies apart")

# %% [markdown]
# The same as a picture: for each photo and class what the class head says (orange), what the distillation head says
# (violet) and what follows from the mean of their logits (black line).

# %% alt="For each of four photos, bars of both heads' probabilities for each class, and a black line for their mean."
shown = np.sort(np.argsort(-probabilities["mean"].max(axis=0))[:10])  # ten classes at most
figure, panels = plt.subplots(2, 4, figsize=(9, 4.8), dpi=100, layout="constrained", height_ratios=[1, 2.2])
y, widest = np.arange(len(shown)), max(shares.max() for shares in probabilities.values())
for i, (top, axes) in enumerate(panels.T):
    top.imshow(seen[i], interpolation="nearest")
    top.set_axis_off()
    axes.barh(y - 0.2, probabilities["class head"][i, shown], 0.4, color=CLS, label="class head")
    axes.barh(y + 0.2, probabilities["distillation head"][i, shown], 0.4, color=DIST, label="distillation head")
    axes.vlines(probabilities["mean"][i, shown], y - 0.4, y + 0.4, color="black", label="mean")
    axes.set_yticks(y, names[shown] if i == 0 else [])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.05 * widest), xlabel="probability")
figure.legend(*panels[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
plt.show()

# %% [markdown]
# ## The answer after each block
#
# A head can read any row of length dim, so it can also be put on the stream after an earlier block. Nobody asked for an
# answer there in training. That there is one is a consequence of the residual path: the last block only adds to what is
# there already. This view is known as the logit lens (nostalgebraist 2020).

# %%
chapters = {name: import_module(f"deit_ref.{backend}_backend.{name}") for name in ("layers", "tokens", "heads")}
answers = []
for state in output.hidden_states:  # the embeddings, then the stream after each block
    rows = chapters["layers"].layer_norm(weights.norm, state, eps=config.layer_norm_eps)
    cls, dist, _ = chapters["tokens"].split_tokens(rows, distilled=True)
    logits = chapters["heads"].classify_with_teacher(weights.head, weights.head_dist, cls, dist)
    answers.append([softmax(as_numpy(array)) for array in logits])
answers = np.array(answers)  # (blocks + 1, 3: mean, class head, distillation head; photos, classes)
print("answers", answers.shape)
assert np.allclose(answers[-1, 0], probabilities["mean"], atol=1e-5)  # after the last block: the model's answer

# %% [markdown]
# **Before you run it:** before the first block, the two rows know nothing of the photo. What will the answers to the
# four photos have in common there? And from which block on will each answer stay?

# %%
assert np.allclose(answers[0, 0], answers[0, 0, :1], atol=1e-6)
for i, photo in enumerate(BUNDLED_PHOTOS):
    print(f"{photo:<10}", " -> ".join(names[answers[count, 0, i].argmax()] for count in range(len(answers))))

# %% [markdown]
# The probability of what is the final answer, block by block, for both heads.

# %% alt="For each photo, the probability of the final answer after each block, by both heads and their mean."
figure, panels = plt.subplots(1, 4, figsize=(9, 2.7), dpi=100, layout="constrained", sharey=True)
for i, axes in enumerate(panels):
    final = answers[-1, 0, i].argmax()
    for which, (style, color, label) in enumerate(
        (("-", "black", "mean"), ("s--", CLS, "class head"), ("^:", DIST, "distillation head"))
    ):
        axes.plot(answers[:, which, i, final], style, color=color, label=label, markersize=4)
    axes.set_title(f"{BUNDLED_PHOTOS[i]}: {names[final]}", fontsize=10)
    axes.set_xlabel("blocks passed")
panels[0].set_ylabel("probability")
panels[0].set_ylim(0, 1)
panels[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## The torch twin
#
# The same tokens through the heads of both backends.

# %%
cls, dist = as_numpy(cls), as_numpy(dist)
in_numpy, in_torch = weights.to("numpy"), weights.to("torch")
ours = heads.classify_with_teacher(in_numpy.head, in_numpy.head_dist, cls, dist)
theirs = torch_heads.classify_with_teacher(in_torch.head, in_torch.head_dist, to_torch(cls), to_torch(dist))
for name, a, b in zip(("logits", "cls_logits", "distillation_logits"), ours, theirs, strict=True):
    difference = np.abs(a - as_numpy(b)).max()
    print(f"{name:<20} {a.shape}, largest difference {difference:.1e}")
    assert difference <= 1e-5 * np.abs(a).max()

# %% [markdown]
# ## Try
#
# 1. Let the distillation head read the class token, and the class head the distillation token: exchange `cls` and
#    `dist` in the loop of the logit lens. The `assert` will fail; by how much do the probabilities change?
# 2. Take the mean of the probabilities instead of that of the logits. Does any of the four answers change?
# 3. Divide the logits by a temperature of 3 before the softmax, then by 0.3. What changes, and what cannot change?
#
# <details><summary>Answers</summary>
#
# 1. Less than one might fear, if the two tokens have become alike on their way ([notebook 2](02_tokens.ipynb) prints
#    their cosine): two similar rows, read by two similar heads. Print the
#    largest of `np.abs(answers[-1, 0] - probabilities["mean"])`.
# 2. `(probabilities["class head"] + probabilities["distillation head"]) / 2` has its maximum at a different class only
#    if the heads disagree and the one that is sure has lost against the one that is not. That is rare: over many photos
#    fewer than one answer in a hundred changes. The paper describes this way, the released code takes the mean of the
#    logits.
# 3. The probabilities become more equal, or more extreme. Their order stays, and so does the answer: division by a
#    positive number keeps the order of the logits. [Chapter 9](09_losses.ipynb) uses a temperature for soft
#    distillation.
#
# </details>
