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
# # 11. Learning
#
# Thirty pictures of ten kinds of shapes. A model that has never seen one answers at random. How many steps until it can
# tell them apart? A gradient says which way is up. Learning is a small step down, again and again: weights that know
# nothing and batches of pictures in, weights that know more out. Here a DeiT of three blocks learns before your eyes,
# in NumPy, from nothing.
#
# Chapter: [page](../docs/chapters/learning.md) · NumPy: [optimizer](../deit_ref/numpy_backend/backward/optimizer.py),
# [loop](../deit_ref/numpy_backend/backward/learning.py) · torch: torch.optim

# %% alt="Thirty noisy pictures of 32 by 32 pixels: three of each of the ten kinds of shapes, with their names above."
import json
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.benchmark.learning import CONFIG, accuracy, l2_in_adam, pictures
from deit_ref.data.shapes import SHAPES, draw_shapes
from deit_ref.exercises import LEARNED, OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend.backward import learning, optimizer
from deit_ref.numpy_backend.model import TASKS
from deit_ref.weights import map_weights, named_arrays

# The loop is written in NumPy alone. What it learned is tried in this backend: "torch" is the other one.
backend = "numpy"

shown, kinds = draw_shapes(200, seed=3)
figure, panels = plt.subplots(3, 10, figsize=(9, 3), dpi=100, layout="constrained")
for column, (label, name) in enumerate(zip(range(10), SHAPES, strict=True)):
    panels[0, column].set_title(name, fontsize=9)
    for row, place in enumerate(np.flatnonzero(kinds == label)[:3]):
        panels[row, column].imshow(shown[place])
        panels[row, column].set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# AdamW keeps two running means for each weight $w$: of its gradient $g$ and of the gradient's square.
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2$$
#
# $$w \leftarrow (1 - \eta \lambda) w
#   - \eta \, \frac{m / (1 - \beta_1^{\text{step}})}{\sqrt{v / (1 - \beta_2^{\text{step}})} + \epsilon}$$
#
# with the learning rate $\eta$ and the decay $\lambda$.

# %%
folded(optimizer.adamw, learning.fit)

# %% [markdown]
# ## By hand
#
# The first step. Both means start at 0 and the corrections undo it: $m / (1 - \beta_1) = g$, $v / (1 - \beta_2) = g^2$.
#
# **Before you run it:** one weight's gradient is 1000, that of a second one 0.001. How far does each of the two move?

# %%
tiny = deit_ref.init_weights(deit_ref.DeiTConfig(8, 0, 2, 16, image_size=8, patch_size=8), "classification", seed=0)
tiny = tiny.to("numpy", dtype="float64")
generator = np.random.default_rng(0)
steep = map_weights(lambda w: 10 ** generator.uniform(-3, 3, w.shape) * generator.choice([-1, 1], w.shape), tiny)
moved, state = optimizer.adamw(tiny, steep, optimizer.moments(tiny), learning_rate=0.01, weight_decay=0.0)
steps = np.concatenate(
    [(after - before).ravel() for (_, after), (_, before) in zip(named_arrays(moved), named_arrays(tiny), strict=True)]
)
print(f"gradients from 0.001 to 1000; steps from {np.abs(steps).min():.5f} to {np.abs(steps).max():.5f}")
assert np.allclose(np.abs(steps), 0.01, rtol=1e-4)

# %% [markdown]
# The first step is $g / |g|$ times the learning rate: every weight moves equally far. Plain gradient descent would move
# the first a million times as far.

# %% [markdown]
# From the second step on, agreement counts.
#
# **Before you run it:** one gradient is always 0.001, the other flips between 1000 and -1000. Which weight gets farther
# in 100 steps?


# %%
def walked(gradients, *, decay=0.0, start=1.0, way=optimizer.adamw, rate=0.01):
    """Where a single weight (the only one that decays) is after each gradient."""
    weights, path = map_weights(lambda w: np.full_like(w, start), tiny), []
    state = optimizer.moments(weights)
    for g in gradients:
        tree = map_weights(lambda w, g=g: np.full_like(w, g), weights)
        weights, state = way(weights, tree, state, learning_rate=rate, weight_decay=decay)
        path.append(float(weights.head.weight[0, 0]))
    return np.array(path)


steady, flipping = np.full(100, 0.001), 1000.0 * (-1) ** np.arange(100)
print(f"always 0.001:        moved by {1 - walked(steady)[-1]:.3f} in 100 steps of 0.01")
print(f"1000, -1000, 1000..: moved by {1 - walked(flipping)[-1]:.3f}")

# %% [markdown]
# ## Why the decay is decoupled
#
# Weight decay makes all weights a little smaller in each step, so that only those that are needed stay large. The older
# way adds $\lambda w$ to the gradient ("L2"). In Adam it is then divided by $\sqrt v$ too: where gradients are large,
# the decay fades. AdamW pulls directly at $w$.
#
# **Before you run it:** two weights, both 1 at the start, one with gradients of ±10, one with ±0.1, which flip and so
# say nothing. Which of them should decay? Which of them will, with L2?

# %% alt="Two weights over 1000 steps: decoupled, both fall alike; inside Adam, the one of small gradients falls faster"
flips = (-1.0) ** np.arange(1000)
ways = {"decoupled (AdamW)": optimizer.adamw, "inside Adam (L2)": l2_in_adam}
paths = {name: {size: walked(size * flips, decay=0.1, way=way) for size in (10.0, 0.1)} for name, way in ways.items()}
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), dpi=100, sharey=True, layout="constrained")
for axes, (name, of_size) in zip(panels, paths.items(), strict=True):
    for (size, path), color, line in zip(of_size.items(), (OTHER, PIXELS), ("-", "--"), strict=True):
        axes.plot(path, line, color=color, label=f"gradients of ±{size:g}")
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("step")
panels[0].set_ylabel("weight")
panels[0].legend(fontsize=9)
plt.show()
(large, small), (spared, gone) = (tuple(path[-1] for path in of_size.values()) for of_size in paths.values())
assert abs(large - small) < 0.02
assert spared > gone + 0.5

# %% [markdown]
# ## Your turn: one step
#
# Write AdamW's step for one array, without decay. $m$ and $v$ come in as they were; `step` is the number of this step,
# counted from 1. Return the new weight alone.


# %%
def my_adam_step(w, g, m, v, step, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """The weight after one step."""
    ...  # your turn


gradients = [map_weights(lambda w: generator.standard_normal(w.shape), tiny) for _ in range(3)]
before, state = tiny, optimizer.moments(tiny)
for tree in gradients:
    earlier, before = (before, state), optimizer.adamw(before, tree, state, learning_rate=0.01, weight_decay=0.0)[0]
    state = optimizer.adamw(*earlier[:1], tree, state, learning_rate=0.01, weight_decay=0.0)[1]
(last, remembered), tree = earlier, gradients[-1]
inputs = last.head.weight, tree.head.weight, remembered.mean.head.weight, remembered.square.head.weight
judge(my_adam_step(*inputs, step=3, rate=0.01), before.head.weight, "Both means first, then their corrections.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_adam_step(w, g, m, v, step, rate, beta1=0.9, beta2=0.999, eps=1e-8):
#     m = beta1 * m + (1 - beta1) * g
#     v = beta2 * v + (1 - beta2) * g * g
#     ratio = (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)
#     return w - rate * ratio
# ```
#
# </details>

# %% [markdown]
# ## Your turn: the first loss
#
# New weights know nothing: all ten classes get about the same probability. What is the loss of the first step?

# %%
my_first_loss = ...  # your turn
guess = np.full((1, 10), 0.1)
judge(my_first_loss, -np.log(guess[0, 3]), "Cross entropy is minus the logarithm of the right class's probability.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_first_loss = np.log(10)
# ```
#
# A loss far above 2.3 in the first step says that something is wrong with the new weights.
#
# </details>

# %% [markdown]
# ## What there is to learn
#
# Ten kinds of shapes under noise: the pictures at the top of the page. They are drawn by code, so there is nothing to
# download: any bright color, 16 to 24 pixels, near the middle of a dark gray square.

# %% [markdown]
# How hard is that? A linear map from pixels to classes, the best one by least squares (with some decay), needs no
# training at all. This is what a transformer must beat.
#
# **Before you run it:** a tenth is right by chance. How often is the linear map right?

# %%
train, unseen = pictures(3200, seed=0), pictures(1000, seed=1)
rows, new = (pixels.reshape(len(pixels), -1) for pixels, _ in (train, unseen))
matrix = np.linalg.solve(rows.T @ rows + 1000 * np.eye(rows.shape[1]), rows.T @ np.eye(10)[train[1]])
linear = ((new @ matrix).argmax(axis=1) == unseen[1]).mean()
print(f"a linear map is right on {linear:.1%} of 1000 unseen pictures")

# %% [markdown]
# ## From nothing
#
# A DeiT of three blocks: 48 features, 4 heads, patches of 8 × 8, about 67 thousand weights. New weights are drawn with
# a standard deviation of 0.08: the usual 0.02 is meant for up to 768 features. What comes out of a matrix grows with
# the root of the features it sums, so 48 features need $0.02 \cdot \sqrt{768 / 48} = 0.08$ for the same effect.
#
# **Before you run it:** 300 steps of 64 pictures, which shows it each of 3200 pictures six times. How many of 1000 new
# pictures will be right?

# %%
config = replace(CONFIG, initializer_range=0.08)


def learned(weights, given, *, steps, **options):
    """Every step of a run, and the seconds of CPU time that it took."""
    start = time.process_time()
    found = list(learning.fit(weights, islice(given, steps), steps=steps, learning_rate=3e-3, warmup=40, **options))
    return found, time.process_time() - start


given = learning.batches(*train, batch_size=64, epochs=6, seed=0)
run, seconds = learned(deit_ref.init_weights(config, "classification", seed=0), given, steps=300)
print(f"first loss {run[0].loss:.2f}, log 10 is {np.log(10):.2f}; last loss {run[-1].loss:.3f}; {seconds:.0f} s of CPU")
right = accuracy(run[-1].average, *unseen)
print(f"{right:.1%} of 1000 pictures that it never saw are right")
assert abs(run[0].loss - np.log(10)) < 0.5
assert right >= 0.95 > linear

# %% [markdown]
# The loss of every step, the rate, and the length of the gradient before it is clipped at 1. And how often the model
# is right on unseen pictures: by the weights of that step, and by their moving average.
#
# **Before you run it:** the moving average forgets slowly. Will it be ahead of the weights or behind them, in the first
# steps and in the last?

# %% alt="Four curves over 300 steps: the loss falls, the rate rises and falls, the gradient's length, the accuracy"
marks = range(0, 300, 25)
figure, panels = plt.subplots(2, 2, figsize=(8, 5), dpi=100, sharex=True, layout="constrained")
panels[0, 0].plot([step.loss for step in run], color=PIXELS)
panels[0, 0].set_title("loss of the batch", fontsize=10)
panels[0, 1].plot([step.learning_rate for step in run], color=LEARNED)
panels[0, 1].set_title("learning rate", fontsize=10)
panels[1, 0].plot([step.norm for step in run], color="black")
panels[1, 0].axhline(1, color=OTHER, linestyle="--")
panels[1, 0].set_title("length of the gradient (dashed: clipped)", fontsize=10)
some = tuple(array[:300] for array in unseen)
for name, color, line in (("weights", OTHER, "--"), ("average", LEARNED, "-")):
    shares = [accuracy(getattr(run[i], name), *some) for i in marks]
    panels[1, 1].plot(marks, shares, line, color=color, label=name)
panels[1, 1].set_title("accuracy, 300 unseen pictures", fontsize=10)
panels[1, 1].legend(fontsize=9)
for axes in panels[1]:
    axes.set_xlabel("step")
plt.show()

# %% [markdown]
# Where the class token looks while it learns: its attention over the 4 × 4 patches in the last block, mean over the
# heads. At the start it is even, since nothing is known that would favor one patch.
#
# **Before you run it:** where will it look after 300 steps: at the shape, at its border, or at the background?

# %% alt="Four pictures of shapes, and beside each the class token's attention after 1, 50, 100, 150 and 300 steps"
chosen = [int(np.flatnonzero(unseen[1] == label)[0]) for label in (2, 3, 6, 9)]
moments = (0, 49, 99, 149, 299)
figure, panels = plt.subplots(4, 6, figsize=(8, 5.6), dpi=100, layout="constrained")
for row, place in enumerate(chosen):
    panels[row, 0].imshow((unseen[0][place].transpose(1, 2, 0) + 1) / 2)
    panels[row, 0].set_ylabel([*SHAPES][unseen[1][place]], fontsize=9)
for column, moment in enumerate(moments, 1):
    looks = TASKS["classification"](run[moment].weights, unseen[0][chosen], output_attentions=True)
    panels[0, column].set_title(f"step {moment + 1}", fontsize=9)
    for row in range(4):
        share = looks.attentions[-1][row, :, 0, config.num_prefix_tokens :].mean(axis=0).reshape(4, 4)
        panels[row, column].imshow(share, cmap="inferno", vmin=0, vmax=0.25)
for axes in panels.ravel():
    axes.set_xticks([])
    axes.set_yticks([])
plt.show()

# %%
output = deit_ref.forward(run[-1].average.to(backend), pixel_values=unseen[0][:200], backend=backend)
answers = as_numpy(output.logits).argmax(axis=1)
print(f"in {backend}: {(answers == unseen[1][:200]).mean():.1%} of 200 right")
for truth, answer in zip(unseen[1][:200], answers, strict=True):
    if truth != answer:
        print(f"a {[*SHAPES][truth]} was taken for a {[*SHAPES][answer]}")

# %% [markdown]
# ## With a teacher
#
# Distillation needs a teacher that knows something that the labels do not say. So let a third of the labels be wrong.
# The teacher is a wider DeiT that was trained by the same `fit` on right labels; we keep its logits. The student's
# class token learns from the labels, its distillation token from the teacher.
#
# **Before you run it:** the class token is told wrong labels in every run. Will it be right more often when the token
# beside it has a good teacher?

# %%
wide = replace(CONFIG, hidden_size=64, intermediate_size=128, initializer_range=0.07)
given = learning.batches(*train, batch_size=64, epochs=4, seed=1)
teacher, seconds = learned(deit_ref.init_weights(wide, "classification", seed=1), given, steps=200)
teacher_logits = TASKS["classification"](teacher[-1].average, train[0]).logits  # (3200, 10)
print(f"the teacher is right on {accuracy(teacher[-1].average, *unseen):.1%} of unseen pictures; {seconds:.0f} s")

# %%
generator = np.random.default_rng(2)
spoiled = np.where(generator.random(3200) < 1 / 3, generator.integers(0, 10, 3200), train[1])
print(f"{(spoiled != train[1]).mean():.0%} of the labels are wrong now (some were drawn right again)")
results = {}
for distillation in ("none", "hard", "soft"):
    told = None if distillation == "none" else teacher_logits
    given = learning.batches(train[0], spoiled, told, batch_size=64, epochs=3, seed=0)
    start = deit_ref.init_weights(config, "classification-with-teacher", seed=0)
    student, _ = learned(start, given, steps=150, distillation=distillation)
    output = TASKS["classification-with-teacher"](student[-1].average, unseen[0])
    heads = {"class": output.cls_logits, "distillation": output.distillation_logits, "both": output.logits}
    results[distillation] = {name: (logits.argmax(axis=1) == unseen[1]).mean() for name, logits in heads.items()}
    print(f"{distillation:<5}", "  ".join(f"{name} head {share:.1%}" for name, share in results[distillation].items()))
assert results["hard"]["distillation"] > results["none"]["distillation"]

# %% [markdown]
# "none" means that both tokens learn from the labels. Compare the rows: does the second head gain by its teacher, and
# does the first, told the same wrong labels, gain through the body that they share? A soft teacher has less to
# say here: its term is divided by images *times classes*, so with ten classes it pulls a tenth as hard, and 150 steps
# are few.
#
# With right labels there is nothing to see at this size: the teacher then says what the labels say. What a hard teacher
# adds elsewhere is an answer about *this* crop of *this* picture, where the label is about the whole photo
# ([chapter 12](12_distillation.ipynb)).
#
# ## What each part does
#
# Thirteen changes of a run of 400 steps take longer than a notebook may. They were made by
# `python -m deit_ref.benchmark.learning`, which keeps every curve in a file; here they are replayed.

# %% alt="Four panels of loss curves: new weights of five sizes; warm-up; clipping and rate; the optimizer"
stored = json.loads(Path("../docs/data/learning.json").read_text(encoding="utf-8"))
base = "the base run"
groups = {
    "std of new weights": [base, *(f"new weights of std {std}" for std in ("0.8", "0.2", "0.08", "0.0002"))],
    "warm-up": [base, "no warm-up", "learning rate 0.01", "0.01, no warm-up"],
    "clipping and cosine": [base, "no clipping", "0.01, no clipping", "no cosine: the rate stays"],
    "the optimizer": [base, "no decay", "decay inside Adam (L2)", "SGD with momentum, rate 0.1"],
}
figure, panels = plt.subplots(2, 2, figsize=(9, 6.4), dpi=100, sharex=True, sharey=True, layout="constrained")
for axes, (title, ways) in zip(panels.ravel(), groups.items(), strict=True):
    for way, color in zip(ways, ("black", PIXELS, LEARNED, OTHER, "tab:cyan"), strict=False):
        losses = np.mean([run["loss"] for run in stored["results"].get(way, [])] or [[np.nan] * 40], axis=0)
        axes.semilogy(np.arange(5, 400, 10), losses, color=color, linewidth=2 if way == base else 1.3, label=way)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
for axes in panels[1]:
    axes.set_xlabel("step")
for axes in panels[:, 0]:
    axes.set_ylabel("loss, mean of ten steps")
plt.show()
print(stored["command"], stored["date"], *stored["notes"])

# %%
for row in (stored["columns"], *stored["rows"]):
    print(f"{row[0]:<30} {row[1]:>21} {row[2]:>16} {row[3]:>22} {row[4]:>24}")

# %% [markdown]
# The page of the chapter reads this table line by line, also where it does not say what textbooks say.
#
# ## The torch twin
#
# The mirror of the optimizers is torch.optim, and that of the loop is `deit_ref.training.loop`, which trains on a GPU.
# Here AdamW, three steps side by side:

# %%
parameters = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in named_arrays(tiny)}
pulled = [p for name, p in parameters.items() if optimizer.decays(name, as_numpy(p))]
free = [p for name, p in parameters.items() if not optimizer.decays(name, as_numpy(p))]
theirs = torch.optim.AdamW([{"params": pulled, "weight_decay": 0.3}, {"params": free, "weight_decay": 0.0}], lr=0.01)
ours, state = tiny, optimizer.moments(tiny)
for tree in gradients:
    ours, state = optimizer.adamw(ours, tree, state, learning_rate=0.01, weight_decay=0.3)
    for name, array in named_arrays(tree):
        parameters[name].grad = torch.from_numpy(array)
    theirs.step()
apart = max(np.abs(array - as_numpy(parameters[name])).max() for name, array in named_arrays(ours))
print(f"{len(pulled)} arrays decay, {len(free)} do not; largest difference after three steps {apart:.0e}")
assert apart < 1e-12

# %% [markdown]
# ## Try
#
# 1. Run "From nothing" with `initializer_range=0.0002`. What is the loss after 300 steps? Look at the attention maps.
# 2. Run it with `clip_norm=0.01`. AdamW divides by the size of the gradients: does a shorter gradient make a shorter
#    step?
# 3. Draw pictures with less noise, or train on 320 pictures instead of 3200. How far apart are now the accuracies on
#    what was learned from and on unseen pictures?
#
# <details><summary>Answers</summary>
#
# 1. The table above has a row for it, after 400 steps. With weights so near 0 all tokens are nearly alike and every
#    gradient is tiny, so the beginning of the run goes into growing: AdamW's steps do not depend on the size of a
#    gradient, and the weights do grow.
# 2. No. If every gradient is made shorter by the same factor, $m$ and $\sqrt v$ both shrink by it, and the quotient
#    stays. Only when some are clipped more than others does AdamW notice.
# 3. With less noise both rise. With 320 pictures the gap opens: the model has seen each of them sixty times and knows
#    nearly all of them, the new ones far less often.
#
# </details>
