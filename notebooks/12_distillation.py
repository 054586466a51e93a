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
# Eight crops of one photo. The label says cat eight times. What does a teacher say that looks at each of them? A photo,
# its label, and what a teacher says about the photo go in; a pull on the student's logits comes out.
#
# Chapter: [page](../docs/chapters/distillation.md) · the losses: [source](../deit_ref/numpy_backend/losses.py) · the
# experiments: [source](../deit_ref/benchmark/distillation.py)

# %% alt="Eight crops of a photo of a cat: eyes, fur, an ear, a nose."
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.checkpoints.files import bundled
from deit_ref.exercises import folded, judge
from deit_ref.numpy_backend import layers, losses
from deit_ref.photos import bundled_photo, load_image
from deit_ref.training.teacher import load_teacher

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))
generator, crops = np.random.default_rng(4), []
for _ in range(8):
    side = int(generator.integers(30, 150))
    top, left = (int(generator.integers(0, n - side)) for n in photo.shape[:2])
    crops.append(photo[top : top + side, left : left + side])
figure, panels = plt.subplots(2, 4, figsize=(6.5, 3.4), dpi=100, layout="constrained")
for axes, crop in zip(panels.flat, crops, strict=True):
    axes.imshow(crop)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# **Before you go on:** write down for each crop what you would say if you had not seen the whole photo. What the
# teacher says comes further down.

# %% [markdown]
# ## The formula
#
# | teaching | loss | what the teacher gives |
# |---|---|---|
# | hard | $\tfrac12 \mathrm{CE}(o_\text{cls}, t) + \tfrac12 \mathrm{CE}(o_\text{dist}, k)$ | its decision, class $k$ |
# | soft | $(1 - \alpha)\, \mathrm{CE}(o_\text{cls}, t) + \alpha \tau^2\, \mathrm{KL}$ | its flattened shares |
#
# $o_\text{cls}$ and $o_\text{dist}$ are the logits of the student's two heads, $o_\text{teacher}$ the teacher's, $t$ is
# the label; KL is the divergence of the shares at temperature $\tau$.

# %%
folded(losses.hard_distillation)

# %% [markdown]
# ## By hand: how loudly the teacher is heard
#
# A student that knows nothing gives ten classes a tenth each. The teacher is sure of class 0. By how much do the
# distillation logits want to move? The gradient of a cross entropy is the difference of the shares, so for hard
# distillation it is half of $(0.1 - 1, 0.1, \ldots)$, of length $\tfrac12 \sqrt{0.9} = 0.474$.
#
# **Before you run it:** is it more or less for soft distillation, as the original code computes it (with
# $\alpha = \tfrac12$, $\tau = 3$)? And as the paper's equation has it?

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
# So a comparison of hard with soft distillation, as the code has them, also compares a loud voice with a quiet one.

# %% [markdown]
# ## Your turn: the pull of a hard teacher
#
# Write the gradient of hard distillation, $\alpha = \frac12$, with respect to the distillation logits of several
# images. The gradient of a cross entropy is the difference of the shares, divided by the number of images.


# %%
def my_pull(distillation_logits, teacher_logits):
    """The gradient (images, classes) of half the cross entropy with the teacher's decision."""
    ...  # your turn


student_says, teacher_says = np.random.default_rng(1).standard_normal((2, 4, 10))
zeros = np.zeros(4, int)
truth = gradients.hard_distillation_vjp(student_says, student_says, teacher_says, zeros)[1](1.0)[1]
judge(my_pull(student_says, teacher_says), truth, "`np.eye(10)[numbers]` turns class numbers into shares of 0 and 1.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_pull(distillation_logits, teacher_logits):
#     decision = np.eye(distillation_logits.shape[1])[teacher_logits.argmax(axis=1)]
#     return (layers.softmax(distillation_logits) - decision) / (2 * len(decision))
# ```
#
# </details>

# %% [markdown]
# ## Your turn: how loud would it have to be?
#
# The pull of soft distillation, as the code has it, is 0.0712 at $\alpha = \frac12$ and grows in proportion to
# $\alpha$. Which $\alpha$ would make it as strong as the hard teacher's 0.474? Is that a possible weight?

# %%
my_alpha = ...  # your turn
judge(my_alpha, 0.5 * 0.474 / 0.0712, "How many times is 0.0712 contained in 0.474?", within=0.01)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_alpha = 3.33
# ```
#
# It is not: $\alpha$ is 1 at most, and at 1 the pull is 0.142. The division by the number of classes has to go:
# `divided_by="images"`.
#
# </details>

# %% [markdown]
# ## On a photo: the label does not look
#
# In training the photo is cropped differently each time, and the label stays. The teacher looks at what is left.
#
# **Before you run it:** here are the eight crops again, with the teacher's answer. On which does it hesitate, and on
# which will it be sure and wrong?

# %% alt="Eight crops of a photo of a cat, each with the class that the teacher names and its share."
teacher, names = load_teacher(bundled("cifar10-teacher"))
figure, panels = plt.subplots(2, 4, figsize=(7.5, 4.2), dpi=100, layout="constrained")
said = []
for axes, crop in zip(panels.flat, crops, strict=True):
    pixels = deit_ref.preprocess(crop, teacher.image_processing)
    with torch.no_grad():
        probabilities = as_numpy(teacher(torch.from_numpy(as_numpy(pixels))).softmax(dim=1))[0]
    said.append(names[probabilities.argmax()])
    axes.imshow(crop)
    axes.set_title(f"{said[-1]}, {probabilities.max():.0%}", fontsize=10)
    axes.set_axis_off()
plt.show()
print(f"the label says cat eight times, the teacher {said.count('cat')} times")

# %% [markdown]
# ## On a photo: what the two tokens have become
#
# One token learned the labels, the other the teacher's decisions. Both heads can be asked after every block, not only
# the last: what would they say if the network ended here?
#
# **Before you run it:** from which block on will the two heads say the same?

# %%
weights = deit_ref.load_weights(task="classification-with-teacher")
output = deit_ref.forward(weights.to(backend), bundled_photo("chelsea"), backend=backend, output_hidden_states=True)
for block, state in enumerate(output.hidden_states):
    row = layers.layer_norm(weights.norm, as_numpy(state), eps=weights.config.layer_norm_eps)[0, :2]
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
# 1. Why should a teacher help that learned from the same photos and the same labels as the student?
# 2. Other crops: change the seed in the first cell. Is there one where the teacher is sure and wrong?
# 3. Which of your own photos do the two heads disagree about?
#
# <details><summary>Answers</summary>
#
# 1. Because it looks at the very crop that the student gets, where the label was given for the whole photo; and because
#    it is built differently: a convolutional network takes for granted that what is near belongs together. A student
#    that answers as it does has taken over some of that.
# 2. Several: crops of fur alone become other animals. This is what the student hears, and what the label does not say.
# 3. `output.cls_logits` and `output.distillation_logits` of `deit_ref.forward` have both answers.
#
# </details>
