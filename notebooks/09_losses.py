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
# # 9. Losses
#
# Four pieces of one photo, and the label says cat each time. How wrong is a model that says "dog" to the third? A loss
# turns predictions and targets into one number that training makes small: logits `(batch, classes)` and labels
# `(batch,)` in, a number out.
#
# Chapter: [page](../docs/chapters/losses.md) · NumPy: [source](../deit_ref/numpy_backend/losses.py) · torch:
# [mirror](../deit_ref/torch_backend/losses.py)

# %% alt="Four crops of a photo of a cat, from most of it to a corner of fur, each labeled cat."
from math import exp, log

import matplotlib.pyplot as plt
import numpy as np
import torch

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.exercises import OTHER, PIXELS, folded, judge
from deit_ref.numpy_backend import layers, losses
from deit_ref.photos import bundled_photo, load_image
from deit_ref.torch_backend import losses as torch_losses

# What runs on a photo runs in this backend; write "torch" to run it in the other one.
backend = "numpy"

photo = load_image(bundled_photo("chelsea"))  # (height, width, channels)
crops = [photo[:, 75:375], photo[75:175, 75:175], photo[25:125, 50:150], photo[0:100, 0:100]]
figure, panels = plt.subplots(1, 4, figsize=(7.5, 1.9), layout="constrained")
for axes, crop in zip(panels, crops, strict=True):
    axes.imshow(crop)
    axes.set_title("label: cat", fontsize=10)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The formula
#
# **Cross entropy** is the surprise at the right answer. Logits $o$ become probabilities $p$ by softmax, and only that
# of the right class $t$ counts:
#
# $$\mathrm{CE} = -\frac1B \sum_i \log p_i[t_i], \qquad \log p[k] = o[k] - \log \sum_j e^{o[j]}$$
#
# **Distillation** adds a second target: what a teacher, a trained convolutional network, says of the same image. DeiT
# gives it to a second token with a second head. Hard distillation takes the teacher's decision as a label:
#
# $$(1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t) + \alpha \, \mathrm{CE}(o_\text{dist}, \arg\max o_\text{teacher})$$
#
# Soft distillation takes its whole distribution, at a temperature $\tau$:
#
# $$(1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t)
#   + \alpha \, \frac{\tau^2}{B C} \sum_{i,k} p_\text{teacher} \, (\log p_\text{teacher} - \log p_\text{student})$$
#
# with $p_\text{teacher} = \mathrm{softmax}(o_\text{teacher} / \tau)$ and
# $p_\text{student} = \mathrm{softmax}(o_\text{dist} / \tau)$.

# %%
folded(losses.log_softmax, losses.cross_entropy, losses.hard_distillation, losses.soft_distillation)

# %% [markdown]
# ## By hand
#
# Two images, three classes. These logits and the five losses below were computed with the original repository's
# `DistillationLoss`; we derive every one of them.

# %%
cls_logits = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]])  # (batch 2, classes 3), the class token's head
distillation_logits = np.array([[3.0, 2.0, 1.0], [0.0, 1.0, -2.0]])  # the distillation token's head
teacher_logits = np.array([[0.0, 1.0, 0.5], [2.0, 0.0, 1.0]])
labels = np.array([2, 0])
golden = {"none": 0.505868285, "hard 0.5": 0.942088688, "hard 0.1": 0.593112365}
golden |= {"soft 0.5, tau 1": 0.371628292, "soft 0.1, tau 3": 0.486107475}

# %% [markdown]
# **Cross entropy.** The first image's label is class 2 with logit 3, the second's is class 0 with logit 0.5. The
# surprise is $\log \sum_j e^{o[j]} - o[t]$.
#
# **Before you run it:** for which of the two is it larger?

# %%
first = log(exp(1) + exp(2) + exp(3)) - 3
second = log(exp(0.5) + exp(-1) + exp(0)) - 0.5
print(f"({first:.6f} + {second:.6f}) / 2 = {(first + second) / 2:.6f}")
base = losses.cross_entropy(cls_logits, labels)
assert abs(base - (first + second) / 2) < 1e-12
assert abs(base - golden["none"]) < 1e-9


# %% [markdown]
# ## Your turn: cross entropy
#
# The mean surprise over the images.


# %%
def my_cross_entropy(logits, labels):
    """The loss, a number, of logits (images, classes) and labels (images,)."""
    ...  # your turn


judge(my_cross_entropy(cls_logits, labels), base, "`logits[range(len(labels)), labels]` picks the right ones.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_cross_entropy(logits, labels):
#     log_sums = np.log(np.exp(logits).sum(axis=1))
#     return (log_sums - logits[range(len(labels)), labels]).mean()
# ```
#
# </details>

# %% [markdown]
# **Before you run it:** how does the surprise grow as the right class's probability falls from 1 to 0? Is there a
# largest loss?

# %% alt="The curve of minus log p against the probability p of the right class, with the two images as dots on it"
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
p = np.linspace(0.01, 1, 200)
axes.plot(p, -np.log(p), color=PIXELS)
for name, surprise, place in (("first image", first, (6, 6)), ("second image", second, (-20, 10))):
    axes.plot(exp(-surprise), surprise, "o", color=OTHER)
    axes.annotate(name, (exp(-surprise), surprise), xytext=place, textcoords="offset points", fontsize=9)
axes.set_xlabel("probability of the right class")
axes.set_ylabel("loss, -log p")
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# At a probability of 1 it is 0, at 1/2 it is $\log 2$, and a confident mistake has no upper bound. Two models that are
# right equally often can differ much in this loss: it also asks how sure they were.

# %% [markdown]
# **Soft labels.** Mixup and cutmix blend two images, and label smoothing gives every class a little: the target is then
# a share for each class. A picture that is 70% class 2 and 30% class 0 costs 70% of one surprise and 30% of the
# other.

# %%
shares = np.array([[0.3, 0.0, 0.7]])  # rows sum to 1
mixed = losses.cross_entropy(cls_logits[:1], shares)
as_class_0 = losses.cross_entropy(cls_logits[:1], np.array([0]))
as_class_2 = losses.cross_entropy(cls_logits[:1], np.array([2]))
print(f"0.3 * {as_class_0:.4f} + 0.7 * {as_class_2:.4f} = {mixed:.4f}")
assert abs(mixed - (0.3 * as_class_0 + 0.7 * as_class_2)) < 1e-12

# %% [markdown]
# **Yes-or-no questions.** With several labels per image each class is a question of its own: softmax gives way to a
# sigmoid. Logit 0 is probability 1/2, logit $\log 3$ is 3/4. The answers are yes and no, so the loss is the mean of
# $-\log \frac12$ and $-\log \frac14$.
#
# **Real numbers.** For regression the squared difference is used: off by 1 and by 3 gives (1 + 9) / 2.

# %%
loss = losses.binary_cross_entropy(np.array([[0.0, log(3)]]), np.array([[1.0, 0.0]]))
print(f"binary cross entropy ({log(2):.4f} + {log(4):.4f}) / 2 = {loss:.4f}")
assert abs(loss - (log(2) + log(4)) / 2) < 1e-12
assert losses.mean_squared_error(np.array([2.0, 5.0]), np.array([1.0, 2.0])) == 5.0

# classification_loss picks one of the three from the labels of this call, unless problem_type says which.
for kind, target in (("integers", labels), ("floats", np.eye(3)[labels])):
    print(f"labels as {kind:<8} {target.shape!s:<6} loss {losses.classification_loss(cls_logits, target):.6f}")

# %% [markdown]
# **Masked L1**, the loss of chapter 13, is a mean of absolute errors on hidden pixels alone. One row of four pixels in
# two patches, the second hidden: errors 1 and 2 count, 9 and 9 do not.

# %%
pixels, guess = np.array([[[[9.0, 9.0, 1.0, 2.0]]]]), np.zeros((1, 1, 1, 4))  # (batch, channels, height, width)
loss = losses.masked_l1(guess, pixels, np.array([[False, True]]), patch_shape=(1, 2))
print(f"(1 + 2) / 2 = {loss:.4f}")
assert abs(loss - 3 / (2 + 1e-5)) < 1e-12

# %% [markdown]
# **Hard distillation.** The teacher's largest logits are class 1 for the first image and class 0 for the second. The
# distillation token's head has logits 2 and 0 there.

# %%
assert teacher_logits.argmax(axis=1).tolist() == [1, 0]
first = log(exp(3) + exp(2) + exp(1)) - 2
second = log(exp(0) + exp(1) + exp(-2)) - 0
teacher_part = (first + second) / 2
for alpha in (0.5, 0.1):
    by_hand = (1 - alpha) * golden["none"] + alpha * teacher_part
    loss = losses.hard_distillation(cls_logits, distillation_logits, teacher_logits, labels, alpha=alpha)
    print(f"alpha {alpha}: {1 - alpha} * {base:.6f} + {alpha} * {teacher_part:.6f} = {loss:.9f}")
    assert abs(loss - by_hand) < 1e-8
    assert abs(loss - golden[f"hard {alpha}"]) < 1e-9

# %% [markdown]
# **Soft distillation.** Two distributions are compared, class by class. First the twelve probabilities, then the six
# terms $p_\text{teacher} (\log p_\text{teacher} - \log p_\text{student})$. A term may be negative, a row's sum never
# is: it is 0 only if both agree.

# %%
p_teacher, p_student = layers.softmax(teacher_logits), layers.softmax(distillation_logits)
terms = p_teacher * np.log(p_teacher / p_student)  # (batch, classes)
print("teacher\n", p_teacher.round(4), "\nstudent\n", p_student.round(4), "\nterms\n", terms.round(4))
print("divergence of each image", terms.sum(axis=1).round(6))
assert (terms.sum(axis=1) >= 0).all()
by_hand = 0.5 * base + 0.5 * terms.sum() / 6  # 2 images x 3 classes
loss = losses.soft_distillation(cls_logits, distillation_logits, teacher_logits, labels, alpha=0.5, tau=1.0)
print(f"0.5 * {base:.6f} + 0.5 * {terms.sum():.6f} / 6 = {loss:.9f}")
assert abs(loss - by_hand) < 1e-12
assert abs(loss - golden["soft 0.5, tau 1"]) < 1e-9

# %% [markdown]
# **Divided by all elements.** The sum is divided by 6, images times classes, not by the 2 images. The original code
# does the same (it calls `kl_div` with `reduction="sum"` and divides by `numel`), while the paper's equation 2 reads as
# the usual divergence, a mean over images. The two differ by the number of classes. With 1000 classes the teacher's
# part weighs a thousandth of what the equation suggests, and this is how the published soft-distillation code behaves.

# %%
log_teacher, log_student = torch.from_numpy(np.log(p_teacher)), torch.from_numpy(np.log(p_student))
per_image = torch.nn.functional.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean")
total = torch.nn.functional.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
per_element = total / log_student.numel()
print(f"mean over images {per_image:.6f}, over all elements {per_element:.6f}, ratio {per_image / per_element:.1f}")
assert abs(per_element - (loss - 0.5 * base) / 0.5) < 1e-12

# %% [markdown]
# **Temperature.** Dividing logits by $\tau > 1$ before softmax makes a distribution flatter. The order of the classes
# stays, and what the teacher thinks of the wrong ones becomes visible: that a cat is more like a dog than like a ship.
#
# **Before you run it:** at a temperature of 10, how far apart will the largest and the smallest of these six be?

# %% alt="Probabilities of six classes as bars at temperatures 0.5, 1, 3 and 10: from one tall bar to nearly level"
logits = np.array([6.0, 4.0, 3.0, 1.0, 0.0, -2.0])  # six classes
temperatures = (0.5, 1.0, 3.0, 10.0)
figure, panels = plt.subplots(1, 4, figsize=(8, 2.2), sharey=True, layout="constrained")
for axes, tau in zip(panels, temperatures, strict=True):
    axes.bar(range(6), layers.softmax(logits / tau), color=PIXELS)
    axes.set_title(f"tau = {tau:g}", fontsize=10)
    axes.set_xlabel("class")
panels[0].set_ylabel("probability")
plt.show()

# %% [markdown]
# Flatter distributions differ less, and their gradients shrink with $1 / \tau^2$. The factor $\tau^2$ makes up for
# this, so that $\alpha$ means the same at every temperature.

# %%
for tau in (1.0, 3.0, 10.0, 100.0):
    loss = losses.soft_distillation(cls_logits, distillation_logits, teacher_logits, labels, alpha=1.0, tau=tau)
    print(f"tau {tau:5g}: divergence {loss / tau**2:.2e}, times tau^2 {loss:.4f}")
loss = losses.soft_distillation(cls_logits, distillation_logits, teacher_logits, labels, alpha=0.1, tau=3.0)
assert abs(loss - golden["soft 0.1, tau 3"]) < 1e-9

# %% [markdown]
# ## Your turn: a divergence
#
# The teacher gives two classes 3/4 and 1/4, the student 1/2 and 1/2. How large is
# $\sum_k p_\text{teacher} (\log p_\text{teacher} - \log p_\text{student})$?

# %%
my_divergence = ...  # your turn
sure, unsure = np.array([[log(3), 0.0]]), np.zeros((1, 2))
truth = 2 * losses.soft_distillation(unsure, unsure, sure, np.array([0]), alpha=1.0)  # the mean over two classes
judge(my_divergence, truth, "It is the sum of two terms, of which one is negative.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# my_divergence = 3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)
# ```
#
# $0.75 \cdot 0.405 - 0.25 \cdot 0.693 = 0.131$.
#
# </details>

# %% [markdown]
# ## On a photo
#
# Why the teacher's decision, when there is a label already? Training sees random crops. The label belongs to the whole
# photo and stays, whatever the crop shows; the teacher looks at the very crop that the student gets. Nothing about its
# decision needs tuning either: there is no temperature. It can be wrong, of course, as labels can.
#
# We take the bundled model as a teacher, and the four pieces from the top of the page.
#
# **Before you run it:** for which of them will it not say cat?

# %%
weights = deit_ref.load_weights()
output = deit_ref.forward(weights, crops, backend=backend)
crop_logits = as_numpy(output.logits).astype(np.float64)  # (batch 4, classes)
label = np.full(len(crops), weights.class_names.index("cat"))
print("photo", photo.shape, "-> crops", [crop.shape for crop in crops], "-> logits", crop_logits.shape)

# %% alt="Four crops of a photo of a cat, from most of it to a corner, each with the model's decision and its loss"
figure, panels = plt.subplots(1, 4, figsize=(8, 2.6), layout="constrained")
for axes, crop, [(name, share)], z, y in zip(panels, crops, output.top(1), crop_logits, label, strict=True):
    surprise = losses.cross_entropy(z[None], y[None])
    axes.imshow(crop)
    axes.set_axis_off()
    axes.set_title(f"says {name}, {share:.0%}\nloss for cat {surprise:.2f}", fontsize=10)
plt.show()

# %% [markdown]
# The same crops, with this model as the teacher and three students: one that agrees with the teacher's logits, one that
# knows nothing (all logits 0), and one that is sure of the label. The class token's head is the same for all three.
#
# **Before you run it:** whose soft loss is 0? Is its hard loss 0, too?

# %%
students = {
    "agrees with the teacher": crop_logits,
    "knows nothing": np.zeros_like(crop_logits),
    "is sure of the label": 10 * np.eye(crop_logits.shape[1])[label],
}
for name, student in students.items():
    hard = losses.hard_distillation(crop_logits, student, crop_logits, label, alpha=1.0)
    soft = losses.soft_distillation(crop_logits, student, crop_logits, label, alpha=1.0)
    print(f"{name:<24} hard {hard:.4f}   soft {soft:.4f}")
assert abs(losses.soft_distillation(crop_logits, crop_logits, crop_logits, label, alpha=1.0)) < 1e-12

# %% [markdown]
# The student that agrees has soft loss 0. Its hard loss is above 0, because the decision asks for all of the
# probability: it is the teacher's own surprise at its decision. The student that knows nothing pays $\log 10$ for any
# decision among ten classes.

# %% [markdown]
# ## The torch twin

# %%
three = (cls_logits, distillation_logits, teacher_logits, labels)
tensors = tuple(torch.from_numpy(array) for array in three)
pairs = {
    "cross_entropy": (losses.cross_entropy(three[0], labels), torch_losses.cross_entropy(tensors[0], tensors[3])),
    "hard_distillation": (losses.hard_distillation(*three), torch_losses.hard_distillation(*tensors)),
    "soft_distillation": (losses.soft_distillation(*three), torch_losses.soft_distillation(*tensors)),
}
for name, (ours, twin) in pairs.items():
    print(f"{name:<18} NumPy {ours:.9f}   torch {float(twin):.9f}   difference {abs(ours - float(twin)):.1e}")

# %% [markdown]
# torch also knows the gradient. That of the cross entropy is worth remembering: probabilities minus targets, divided by
# the batch. Training pushes each logit up or down by how far its probability is off.

# %%
z = torch.from_numpy(cls_logits).requires_grad_()
torch_losses.cross_entropy(z, tensors[3]).backward()
by_hand = (layers.softmax(cls_logits) - np.eye(3)[labels]) / len(labels)
print(by_hand.round(4))
print(f"largest difference {np.abs(as_numpy(z.grad) - by_hand).max():.1e}")

# %% [markdown]
# ## Try
#
# 1. Add 100 to all of `cls_logits`. Which of the losses change? Then multiply `cls_logits` by 100 instead.
# 2. In "Hard distillation" the teacher errs on the first image (its label is 2). Change `teacher_logits` so that it is
#    right. Does the loss fall? Whose head must change to bring it down: that of the class token or that of
#    the distillation token?
# 3. Set a label to -100 and compute the cross entropy again. What is it the mean of now?
#
# <details><summary>Answers</summary>
#
# 1. Only the yes-or-no questions, where each logit is looked at by itself. All others stay: $\log p[k] = o[k] - \log
#    \sum_j e^{o[j]}$, and what is added to all logits cancels. Multiplying by 100 is a temperature of 1/100. The
#    probabilities become 0 and 1, and the loss goes to 0 if the label has the largest logit, as here in both images.
# 2. No, with a decision for class 2 it *rises*: the distillation head gives its logit 1 to that class and 2 to the
#    class that the teacher named before, so the surprise grows by 1 for this image. The teacher's part is brought down
#    by the distillation head alone; the class head answers to the label.
# 3. Of the other image alone. The label -100 says "do not count this one", as in torch (`ignore_index`).
#
# </details>
