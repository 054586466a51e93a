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
# # Assignment 5: distillation
#
# 20 points for functions, 4 for the question at the end. Time: 2 to 3 hours.
#
# **You will learn**
#
# - how a small model learns from another model's answers, hard and soft;
# - what the temperature does, and why its square stands in front of the loss;
# - how a loss becomes a gradient, and a gradient a trained head, in plain NumPy.
#
# **You are given** `softmax` and `one_hot`, and `TrainedHeads` for a result. Of the earlier assignments you need
# softmax (2), the two heads of DeiT (3), and what a gradient is (4).

# %% [markdown]
# ## Background
#
# DeiT has two heads. One reads the class token and learns the labels $t$. The other reads the distillation token and
# learns what a teacher, a convolutional network, thinks of the same photo. *Hard* distillation takes the teacher's
# decision as a second label:
#
# $$\mathcal L = (1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t)
#   + \alpha \, \mathrm{CE}(o_\text{dist}, \arg\max o_\text{teacher})$$
#
# *Soft* distillation takes the teacher's whole distribution, made softer by a temperature $\tau$:
#
# $$\mathcal L = (1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t)
#   + \alpha \, \frac{\tau^2}{B C} \sum_{i,k} p_{\text{teacher},ik} \,
#   (\log p_{\text{teacher},ik} - \log p_{\text{student},ik})$$
#
# $$p_\text{teacher} = \mathrm{softmax}(o_\text{teacher} / \tau), \qquad
#   p_\text{student} = \mathrm{softmax}(o_\text{dist} / \tau)$$
#
# $B$ is the number of photos and $C$ that of the classes. The paper's divergence would be divided by $B$ alone; its
# code divides by both, and so do we. $\mathrm{CE}$ is the cross entropy, the mean surprise at the right answer:
#
# $$\mathrm{CE}(o, t) = -\frac1B \sum_i \log p_i[t_i], \qquad p_i = \mathrm{softmax}(o_i)$$
#
# Its gradient is as simple as it gets: $(p_i - \text{target}_i) / B$ for the logits of photo $i$, probabilities minus
# targets, where a class number stands for a row with 1 at this class and 0 elsewhere.
#
# More in the chapters on [losses](../../docs/chapters/losses.md) and [heads](../../docs/chapters/heads.md).

# %% [markdown]
# ## Task 1: logarithms of shares (2 points)
#
# Write `log_softmax` along the last axis: $\log p_k = o_k - \log \sum_j e^{o_j}$. It must stay finite for scores in the
# thousands, and for classes whose share is far too small for a number.
#
# ```
# >>> log_softmax(np.array([0.0, -1000.0])).tolist()
# [0.0, -1000.0]
# ```
#
# <details><summary>Hint</summary>
#
# Subtract the largest score first. Do not take the logarithm of softmax: what happens to a share of $e^{-1000}$?
#
# </details>

# %% task="losses.log_softmax"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 2: cross entropy (4 points)
#
# Write `cross_entropy`. Labels are either class numbers, as integers; rows whose number is `ignore_index` are left out,
# and the mean is taken over the others. Or they are shares of all classes, as floats; then
# $-\frac1B \sum_i \sum_k t_{ik} \log p_{ik}$.
#
# ```
# >>> logits = np.array([[0.0, np.log(3.0)], [7.0, 7.0]])  # 3/4 for class 1; the second row is left out
# >>> np.exp(-cross_entropy(logits, np.array([1, -100]))).round(6).item()
# 0.75
# ```
#
# <details><summary>Hint</summary>
#
# `np.issubdtype(labels.dtype, np.floating)` tells the two kinds apart. An array of rows and an array of columns pick
# one entry of each row: `x[rows, columns]`. Choose the rows first: -100 is not a column.
#
# </details>

# %% task="losses.cross_entropy"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 3: hard distillation (4 points)
#
# Write `hard_distillation` by the first formula. The labels may be shares; the teacher's decisions never are.
#
# ```
# >>> z, teacher = np.array([[0.0, np.log(3.0)]]), np.array([[-1.0, 5.0]])
# >>> loss = hard_distillation(z, z, teacher, np.array([0]), alpha=0.5)
# >>> (np.log([4, 4 / 3]).mean() - loss).round(6).item() == 0  # 1/4 for the label, 3/4 for the teacher's class
# True
# ```
#
# <details><summary>Hint</summary>
#
# Two calls of `cross_entropy`. Whose share is alpha?
#
# </details>

# %% task="losses.hard_distillation"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 4: soft distillation (5 points)
#
# Write `soft_distillation` by the second formula. With `divided_by="images"` the divergence is divided by $B$ alone.
#
# ```
# >>> z = np.array([[0.0, np.log(3.0)]])
# >>> soft_distillation(z, z, z, np.array([1]), alpha=1.0, tau=3.0).item()  # the student already agrees
# 0.0
# ```
#
# <details><summary>Hint</summary>
#
# `log_softmax` of both sides, each divided by tau; `np.exp` of a logarithm gives the share. The mean over both axes
# divides by $B C$.
#
# </details>

# %% task="losses.soft_distillation"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 5: the gradient of the hard loss (1 point)
#
# Write `hard_gradients`: how the loss changes with each logit of the class token's head, and with each of the
# distillation token's. `one_hot(labels, classes)` makes rows of targets. Labels are class numbers here, and none is
# ignored.
#
# ```
# >>> z, teacher = np.array([[0.0, np.log(3.0)]]), np.array([[-1.0, 5.0]])
# >>> [x.round(6).tolist() for x in hard_gradients(z, z, teacher, np.array([0]), alpha=0.5)]
# [[[-0.375, 0.375]], [[0.125, -0.125]]]
# ```
#
# <details><summary>Hint</summary>
#
# Check yourself: add 1e-6 to one logit, and look at how `hard_distillation` changes.
#
# </details>

# %% task="course.experiment.hard_gradients"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 6: the gradient of the soft loss (2 points)
#
# Write `soft_gradients`. Only the distillation token's part is new: $\frac{\alpha \tau}{B C}
# \left(\mathrm{softmax}(o_\text{dist} / \tau) - \mathrm{softmax}(o_\text{teacher} / \tau)\right)$.
#
# ```
# >>> z, teacher = np.array([[0.0, 0.0]]), np.array([[0.0, 2 * np.log(3.0)]])
# >>> soft_gradients(z, z, teacher, np.array([0]), alpha=1.0, tau=2.0)[1].round(6).tolist()
# [[0.25, -0.25]]
# ```
#
# <details><summary>Hint</summary>
#
# Where did one of the two $\tau$ go? The loss sees $o / \tau$, and the chain rule divides by $\tau$ once.
#
# </details>

# %% task="course.experiment.soft_gradients"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## Task 7: train (2 points)
#
# Write `train_heads`: two linear heads, from zeros, by gradient descent. In each step all photos are used: compute both
# heads' logits, note the loss, take the gradients $do$ of both heads' logits, and go downhill:
#
# $$W \leftarrow W - \eta \, do^\top x, \qquad b \leftarrow b - \eta \sum_i do_i$$
#
# Without `tau` the distillation is hard, with it soft. Return a `TrainedHeads`.
#
# ```
# >>> x, teacher, labels = np.array([[1.0], [-1.0]]), np.array([[4.0, 0.0], [0.0, 4.0]]), np.array([0, 1])
# >>> trained = train_heads(x, x, teacher, labels, steps=1, learning_rate=1.0, alpha=0.5)
# >>> trained.weight.tolist(), trained.losses.round(4).tolist()
# ([[0.25], [-0.25]], [0.6931])
# ```
#
# <details><summary>Hint</summary>
#
# $x$, the features, has a row for each photo, $do$ too: $do^\top x$ has the shape of $W$. The gradients hold 1 / batch
# already. Make new arrays instead of changing those that you were given.
#
# </details>

# %% task="course.experiment.train_heads"
# Your solution: the function stands here, and you write what is missing.

# %% [markdown]
# ## On photos: the experiment
#
# What a trained DeiT and its teacher see in 1,500 photos of CIFAR-10 comes with the course, in one small file: class
# tokens, distillation tokens (their main components), the teacher's logits, and labels. The encoder stays as it is;
# your functions train the two heads on 1,000 of them, once without a teacher, once hard and once soft, and test them on
# the other 500.
#
# Without a teacher the second head stays at zero and always names the first class. With 500 photos, the standard error
# of an accuracy of 85% is $\sqrt{0.85 \cdot 0.15 / 500} = 1.6$ points: what differs by less is not a result. Keep that
# in mind for the fourth question.

# %%
import numpy as np

from deit_ref.course.assignments.experiment import load_photos

ways = {
    "labels only": {"learning_rate": 0.1, "alpha": 0.0},
    "hard distillation": {"learning_rate": 0.1, "alpha": 0.5},
    "soft distillation": {"learning_rate": 0.1, "alpha": 0.5, "tau": 3.0},
}


def accuracies(photos, trained):
    """How often each head, and the mean of both, is right."""
    both = [
        photos.cls_features @ trained.weight.T + trained.bias,
        photos.dist_features @ trained.weight_dist.T + trained.bias_dist,
    ]
    return [float((logits.argmax(axis=1) == photos.labels).mean()) for logits in (*both, both[0] + both[1])]


# A small trial with known numbers first: the loss must fall.
rng = np.random.default_rng(0)
features, teacher = rng.normal(size=(2, 40, 3)), rng.normal(size=(40, 4))
trial = train_heads(*features, teacher, np.arange(40) % 4, steps=50, learning_rate=0.5, tau=3.0)
print("the loss falls:", bool((np.diff(trial.losses) < 0).all()))
training, testing, class_names = load_photos()
for way, options in ways.items():
    trained = train_heads(*training, steps=300, **options)
    shown = [f"{share:.1%}" for share in accuracies(testing, trained)]
    print(f"{way}: class token {shown[0]}, distillation token {shown[1]}, both {shown[2]}")

# %% [markdown] question="a5" points=4
# ## Question: why does it help? (4 points)
#
# 1. A teacher is right on 95% of the photos. Hard distillation throws away how sure it was. What can a student still
#    learn from its decisions that the labels do not say? Give an example with a photo after random cropping.
# 2. What happens to $p_\text{teacher}$, and to the gradient of the soft loss, when $\tau$ goes to infinity, and when it
#    goes to 0? Is the second case the hard loss? Argue with your formulas, and say what $\tau^2$ is for.
# 3. Somebody divides the divergence by $B$ alone, with 100 classes and $\alpha = 0.2$, and leaves all else. By which
#    factor does the teacher's part grow, and to which $\alpha$ of the original loss does that correspond, up to one
#    factor in front of the whole loss?
# 4. In the experiment only the heads are trained. Which part of distillation's benefit can it not show?
#
# Answer in 8 to 12 sentences.

# %% [markdown] rubric="a5"
# ## Rubric (4 points)
#
# - **1 point**: the teacher judges the photo as it was augmented: a crop that shows only grass is still labeled
#   "horse", and the teacher may decide otherwise; also photos that are labeled wrongly, or show two things.
# - **1 point**: for large $\tau$ both distributions become uniform, their difference shrinks like $1 / \tau$, and with
#   $\tau$ in front the gradient tends to that of a squared error of centered logits: $\tau^2$ keeps it from vanishing.
#   For small $\tau$ both become one-hot: the target is the teacher's decision, as in the hard loss, but the student's
#   side is sharpened, too. The gradient is $\tau$ times the difference of two decisions: 0 where they agree, and
#   vanishing elsewhere. It is not the hard loss, whose student keeps its temperature of 1.
# - **1 point**: by 100. $0.8$ to $20$ is $1 : 25$, which is $\alpha = 25 / 26 \approx 0.96$: the label hardly counts
#   any more.
# - **1 point**: the features: in real training the encoder learns from the teacher, too, and that is where most of the
#   benefit arises; here features are given (and have already been trained with a teacher).
#
# Typical answers that miss: "soft labels hold more information, so soft is better" (the paper found hard better; no
# argument); for the third, "alpha becomes 20" (no share).

# %% [markdown] answer="a5"
# ## Model answer
#
# The teacher sees the photo as it was augmented, while the label was given to the whole photo. If random cropping
# leaves only grass of a photo of a horse, the label still says "horse", and the teacher may decide "deer" or "frog",
# which is what this crop looks like; its decision also corrects labels that are plainly wrong. When $\tau$ goes to
# infinity both distributions become uniform and $p_\text{teacher}$ tends to $1/C$. Their difference shrinks like
# $1 / \tau$, so that the gradient $\frac{\alpha \tau}{BC}(p_\text{student} - p_\text{teacher})$ tends to
# $\frac{\alpha}{B C^2}$ times the difference of the centered logits: that of a squared error. The factor $\tau^2$ in
# the loss is what keeps it from vanishing, since one $\tau$ is used up by the chain rule and the other one by the
# shrinking difference. When $\tau$ goes to 0 both distributions become one-hot. The gradient is then $\tau$ times a
# difference of two decisions: 0 where student and teacher agree, and vanishing where they do not. The hard loss is
# something else: its target is one-hot, too, but the student keeps its temperature of 1, and so it has a gradient until
# it is sure. Dividing by $B$ alone makes the teacher's part 100 times as large: with $\alpha = 0.2$ the parts stand as
# 0.8 to 20, which is the original loss with $\alpha = 25/26 \approx 0.96$, but for a factor in front. The experiment
# trains heads on features that are given, so it cannot show what the encoder learns from a teacher, and that is where
# most of the benefit arises.
