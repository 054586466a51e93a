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
# # 12. Why distillation works
#
# A photo, its label, and what a teacher says about the photo go in; out comes a pull on the student's logits.
#
# Chapter: [page](../docs/chapters/distillation.md) · the losses: [source](../deit_ref/numpy_backend/losses.py) · the
# experiments: [source](../deit_ref/benchmark/distillation.py)

# %%
import inspect
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.checkpoints.files import bundled
from deit_ref.numpy_backend import losses
from deit_ref.numpy_backend.layers import layer_norm
from deit_ref.photos import bundled_photo, load_image
from deit_ref.training.teacher import load_teacher

backend = "numpy"

# %% [markdown]
# ## The formula
#
# | teaching | loss | what the teacher gives |
# |---|---|---|
# | hard | $\tfrac12 \mathrm{CE}(y_c, \text{label}) + \tfrac12 \mathrm{CE}(y_d, \arg\max y_t)$ | its decision |
# | soft | $(1 - \alpha)\, \mathrm{CE}(y_c, \text{label}) + \alpha \tau^2\, \mathrm{KL}$ | its flattened shares |
#
# $y_c$ and $y_d$ are the logits of the student's two heads, $y_t$ the teacher's; KL is the divergence of the shares at
# temperature $\tau$.

# %% [markdown]
# ## The source

# %%
print(inspect.getsource(losses.hard_distillation))

# %% [markdown]
# ## By hand: how loudly the teacher is heard
#
# A student that knows nothing gives ten classes a tenth each. The teacher is sure of class 0. By how much do the
# distillation logits want to move? The gradient of a cross entropy is the difference of the shares, so for hard
# distillation it is half of $(0.1 - 1, 0.1, \ldots)$, of length $\tfrac12 \sqrt{0.9} = 0.474$.
#
# Predict: is it more or less for soft distillation, as the original code computes it (with $\alpha = \tfrac12$,
# $\tau = 3$)? And as the paper's equation has it?

# %%
gradients = import_module("deit_ref.numpy_backend.backward.losses")
nothing, label = np.zeros((1, 10)), np.array([0])
shares = np.full(10, 0.05)
shares[0] = 0.55
teacher_logits = 3 * np.log(shares)[None]  # these shares at temperature 3
ways = {
    "hard": gradients.hard_distillation_vjp(nothing, nothing, teacher_logits, label),
    "soft, as the code": gradients.soft_distillation_vjp(nothing, nothing, teacher_logits, label, tau=3.0),
    "soft, as equation 2": gradients.soft_distillation_vjp(
        nothing, nothing, teacher_logits, label, tau=3.0, divided_by="images"
    ),
}
expected = {"hard": 0.474, "soft, as the code": 0.071, "soft, as equation 2": 0.712}
for way, (_, back) in ways.items():
    pull = np.linalg.norm(back(1.0)[1])
    print(f"{way:20} {pull:.3f}")
    assert abs(pull - expected[way]) < 1e-3

# %% [markdown]
# So a comparison of hard with soft distillation, as the code has them, compares two volumes of one voice, too.

# %% [markdown]
# ## On a photo: the label does not look
#
# In training the photo is cropped anew each time, and the label stays. The teacher looks at what is left. Here are
# eight crops of one photo, with the teacher's answer. Cover the titles, and predict where it hesitates.

# %% alt="Eight crops of a photo of a cat, each with the class that the teacher names and its share."
teacher, names = load_teacher(bundled("cifar10-teacher"))
photo = load_image(bundled_photo("chelsea"))
generator = np.random.default_rng(4)
figure, panels = plt.subplots(2, 4, figsize=(8.5, 4.6), dpi=90, layout="constrained")
said = []
for axes in panels.flat:
    side = int(generator.integers(30, 150))
    top, left = (int(generator.integers(0, n - side)) for n in photo.shape[:2])
    crop = photo[top : top + side, left : left + side]
    pixels = deit_ref.preprocess(crop, teacher.image_processing)
    with torch.no_grad():
        probabilities = as_numpy(teacher(torch.from_numpy(as_numpy(pixels))).softmax(dim=1))[0]
    said.append(names[probabilities.argmax()])
    axes.imshow(crop)
    axes.set_title(f"{said[-1]}, {probabilities.max():.0%}", fontsize=10)
    axes.axis("off")
plt.show()
print(f"the label says cat eight times, the teacher {said.count('cat')} times")

# %% [markdown]
# ## On a photo: what the two tokens have become
#
# One token learned the labels, the other the teacher's decisions. Both heads can be asked after every block, not only
# the last: what would they say if the network ended here?

# %%
weights = deit_ref.load_weights(task="classification-with-teacher").to(backend)
output = deit_ref.forward(weights, bundled_photo("chelsea"), backend=backend, output_hidden_states=True)
for block, state in enumerate(output.hidden_states):
    row = layer_norm(weights.norm, as_numpy(state), eps=weights.config.layer_norm_eps)[0, :2]
    cosine = row[0] @ row[1] / (np.linalg.norm(row[0]) * np.linalg.norm(row[1]))
    heads = weights.head, weights.head_dist
    answers = [head.weight @ token + head.bias for head, token in zip(heads, row, strict=True)]
    words = [weights.class_names[answer.argmax()] for answer in answers]
    print(f"after {block} blocks: cosine {cosine:5.2f}, class head: {words[0]:11} distillation head: {words[1]}")

# %% [markdown]
# ## The torch twin
#
# The losses are the same numbers in torch, and their gradients come from autograd.

# %%
twin = import_module("deit_ref.torch_backend.losses")
generator = np.random.default_rng(0)
cls, dist, teacher_logits = generator.standard_normal((3, 4, 10))
labels = generator.integers(0, 10, 4)
for name in ("hard_distillation", "soft_distillation"):
    ours = getattr(losses, name)(cls, dist, teacher_logits, labels)
    theirs = getattr(twin, name)(*map(torch.from_numpy, (cls, dist, teacher_logits, labels)))
    print(f"{name:18} {float(ours):.9f} {float(theirs):.9f}")
    assert abs(float(ours) - float(theirs)) < 1e-10

# %% [markdown]
# ## Try
#
# 1. Choose `alpha` so that soft distillation, as the code has it, pulls as strongly as hard distillation.
# 2. Other crops: change the seed. Is there one where the teacher is sure and wrong?
# 3. Which of your own photos do the two heads disagree about?
#
# <details><summary>Answers</summary>
#
# 1. The pull grows in proportion to $\alpha$, from 0.071 at one half, so it would have to be 3.3; but it is a share,
#    and at 1 the pull is 0.142. The division by the number of classes has to go: `divided_by="images"`.
# 2. Several: crops of fur alone become other animals. This is what the student hears, and the label does not say.
# 3. `output.cls_logits` and `output.distillation_logits` of `deit_ref.forward` have both answers.
#
# </details>
