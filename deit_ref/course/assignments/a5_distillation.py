"""Assignment 5: distillation. Inputs and known mistakes; the solution is chapter 9 and the course's experiment."""

from collections.abc import Iterator

import numpy as np

from deit_ref.course.task import Array, Assignment, Case, Mistake, Task


def _sizes(rng: np.random.Generator) -> tuple[int, int]:
    """Photos and classes: never as many of one as of the other."""
    batch, classes = (int(n) for n in rng.permutation([4, 5, 6])[:2])
    return batch, classes


def _log_softmax(rng: np.random.Generator) -> Iterator[Case]:
    rows, scores = _sizes(rng)
    yield Case("one row", (rng.normal(size=scores),))
    yield Case("several rows", (rng.normal(size=(2, rows, scores)),))
    yield Case("scores in the thousands", (1000 + 50 * rng.normal(size=(rows, scores)),))
    far = rng.normal(size=(rows, scores))
    far[:, int(rng.integers(scores))] -= 1000
    yield Case("a hopeless class", (far,))


def _shares(rng: np.random.Generator, batch: int, classes: int) -> Array:
    """Labels as label smoothing and mixup make them: rows that sum to 1, no two alike."""
    shares = rng.uniform(0.05, 1, (batch, classes)) ** 2
    return shares / shares.sum(axis=1, keepdims=True)


def _labels(rng: np.random.Generator, batch: int, classes: int) -> Array:
    """Class numbers, of at least two classes."""
    return (np.arange(batch) % 2 + rng.integers(0, classes, batch) // 2 * 2) % classes


def _cross_entropy(rng: np.random.Generator) -> Iterator[Case]:
    batch, classes = _sizes(rng)
    logits, labels = 2 * rng.normal(size=(batch, classes)), _labels(rng, batch, classes)
    yield Case("class numbers", (logits, labels))
    yield Case("shares, as from mixup", (logits, _shares(rng, batch, classes)))
    ignored = labels.copy()
    ignored[int(rng.integers(batch))] = -100
    yield Case("a photo without a label", (logits, ignored))
    yield Case("a class that is ignored", (logits, labels), {"ignore_index": int(labels[0])})
    yield Case("scores in the thousands", (1000 * logits, labels))


class _Scores:
    """Logits of both heads and of the teacher, and labels on which they do not agree."""

    def __init__(self, rng: np.random.Generator) -> None:
        batch, classes = _sizes(rng)
        self.labels = _labels(rng, batch, classes)
        cls_logits, distillation_logits, teacher_logits = 2 * rng.normal(size=(3, batch, classes))
        teacher_logits[0, (self.labels[0] + 1) % classes] += 6  # the teacher decides otherwise
        self.logits = cls_logits, distillation_logits, teacher_logits
        self.shares = _shares(rng, batch, classes)


def _hard(rng: np.random.Generator) -> Iterator[Case]:
    scores = _Scores(rng)
    alpha = float(rng.uniform(0.1, 0.3))
    yield Case("equal shares", (*scores.logits, scores.labels))
    yield Case("the label counts more", (*scores.logits, scores.labels), {"alpha": alpha})
    yield Case("labels as shares", (*scores.logits, scores.shares), {"alpha": 1 - alpha})
    yield Case("the teacher alone", (*scores.logits, scores.labels), {"alpha": 1.0})


def _soft(rng: np.random.Generator) -> Iterator[Case]:
    scores = _Scores(rng)
    alpha, tau = float(rng.uniform(0.1, 0.3)), float(rng.uniform(2.5, 4))
    yield Case("equal shares, temperature 1", (*scores.logits, scores.labels))
    yield Case("the label counts more", (*scores.logits, scores.labels), {"alpha": alpha})
    yield Case("a temperature above 1", (*scores.logits, scores.labels), {"tau": tau})
    yield Case("the teacher alone", (*scores.logits, scores.labels), {"alpha": 1.0, "tau": tau})
    yield Case("labels as shares", (*scores.logits, scores.shares), {"alpha": 1 - alpha, "tau": 1 / tau})
    yield Case("divided by the images alone", (*scores.logits, scores.labels), {"tau": tau, "divided_by": "images"})


def _hard_gradients(rng: np.random.Generator) -> Iterator[Case]:
    scores = _Scores(rng)
    yield Case("equal shares", (*scores.logits, scores.labels))
    yield Case("the label counts more", (*scores.logits, scores.labels), {"alpha": float(rng.uniform(0.1, 0.3))})
    yield Case("the teacher alone", (*scores.logits, scores.labels), {"alpha": 1.0})


def _soft_gradients(rng: np.random.Generator) -> Iterator[Case]:
    scores = _Scores(rng)
    alpha, tau = float(rng.uniform(0.1, 0.3)), float(rng.uniform(2.5, 4))
    yield Case("equal shares, temperature 1", (*scores.logits, scores.labels))
    yield Case("a temperature above 1", (*scores.logits, scores.labels), {"tau": tau})
    yield Case("the label counts more", (*scores.logits, scores.labels), {"alpha": alpha, "tau": tau})


def _train_heads(rng: np.random.Generator) -> Iterator[Case]:
    scores = _Scores(rng)
    batch, dim = len(scores.labels), int(rng.integers(2, 4))
    features = rng.normal(0.5, 1, (2, batch, dim))
    arguments = (*features, scores.logits[2], scores.labels)
    alpha, tau = float(rng.uniform(0.1, 0.3)), float(rng.uniform(2.5, 4))
    yield Case("one step of hard distillation", arguments, {"steps": 1, "learning_rate": 0.5})
    yield Case("four steps of hard distillation", arguments, {"steps": 4, "learning_rate": 0.8, "alpha": alpha})
    longer = rng.normal(0.5, 1, (batch, dim + 1))
    yield Case("four steps of soft distillation, heads of two sizes", (features[0], longer, *arguments[2:]),
               {"steps": 4, "learning_rate": 0.8, "alpha": 1 - alpha, "tau": tau})  # fmt: skip


_SWAPPED = "cls_logits, distillation_logits = distillation_logits, cls_logits\n    "
_CLS_PART = "(1 - alpha) * (softmax(cls_logits) - one_hot(labels, classes)) / batch"

ASSIGNMENT = Assignment(
    number=5,
    slug="distillation",
    title="Distillation",
    tasks=(
        Task(
            function="losses.log_softmax",
            points=2,
            minutes=15,
            cases=_log_softmax,
            mistakes=(
                Mistake(
                    "no maximum subtracted",
                    "x - x.max(axis=-1, keepdims=True)",
                    "x * 1",
                    "exp of scores in the thousands is infinite, and so is its logarithm. Subtract the largest score "
                    "of each row first.",
                ),
                Mistake(
                    "the logarithm of shares that vanish",
                    "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
                    "return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))",
                    "the share of a hopeless class is rounded to 0, whose logarithm is minus infinity. Take the "
                    "logarithm in the formula: x_i - log(sum).",
                ),
                Mistake(
                    "the logarithm of shares that overflow",
                    "    shifted = x - x.max(axis=-1, keepdims=True)\n"
                    "    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
                    "    return np.log(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))",
                    "exp of scores in the thousands is infinite, and infinity over infinity is not a number. Subtract "
                    "the largest score of each row first.",
                ),
                Mistake(
                    "the sum over all rows",
                    "np.exp(shifted).sum(axis=-1, keepdims=True)",
                    "np.exp(shifted).sum()",
                    "each row is a choice of its own: sum over the last axis only, with keepdims=True.",
                ),
                Mistake(
                    "the wrong axis",
                    "np.exp(shifted).sum(axis=-1, keepdims=True)",
                    "np.exp(shifted).sum(axis=max(-2, -x.ndim), keepdims=True)",
                    "the classes stand on the last axis: sum over it.",
                ),
                Mistake(
                    "no logarithm",
                    "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
                    "return np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)",
                    "this is softmax; its logarithm is asked for.",
                ),
                Mistake(
                    "the logarithm to the base 2",
                    "np.log(",
                    "np.log2(",
                    "the base is e: np.log.",
                ),
            ),
        ),
        Task(
            function="losses.cross_entropy",
            points=4,
            minutes=25,
            cases=_cross_entropy,
            mistakes=(
                Mistake(
                    "the mean over the classes",
                    ".sum(axis=-1).mean()",
                    ".mean()",
                    "the surprise is summed over the classes; the mean is taken over the photos only.",
                ),
                Mistake(
                    "the sum over the photos",
                    "[rows, labels[rows]].mean()",
                    "[rows, labels[rows]].sum()",
                    "the loss is the mean over the photos, so that it does not grow with the batch.",
                ),
                Mistake(
                    "ignored photos counted",
                    "[rows, labels[rows]].mean()",
                    "[rows, labels[rows]].sum() / len(labels)",
                    "photos that are left out do not count in the mean, either: B is the number of the others.",
                ),
                Mistake(
                    "ignore_index forgotten",
                    "labels != ignore_index",
                    "labels != -100",
                    "rows whose label equals ignore_index are left out; -100 is only its default.",
                ),
                Mistake(
                    "shares rounded to a class",
                    "(labels * log_softmax(logits)).sum(axis=-1)",
                    "log_softmax(logits)[np.arange(len(labels)), labels.argmax(axis=1)]",
                    "labels of floats are shares of all classes: weigh each logarithm by its share.",
                ),
                Mistake(
                    "the sign",
                    "return -log_softmax(logits)[rows",
                    "return log_softmax(logits)[rows",
                    "logarithms of shares are below 0 and a loss is above: mind the minus.",
                ),
                Mistake(
                    "no logarithm",
                    "return -log_softmax(logits)[rows",
                    "return -np.exp(log_softmax(logits))[rows",
                    "the surprise is minus the logarithm of the probability, not minus the probability.",
                ),
                Mistake(
                    "logits taken for logarithms",
                    "return -log_softmax(logits)[rows",
                    "return -logits[rows",
                    "logits are scores of any size; log_softmax makes logarithms of probabilities of them.",
                ),
            ),
        ),
        Task(
            function="losses.hard_distillation",
            points=4,
            minutes=15,
            cases=_hard,
            mistakes=(
                Mistake(
                    "the teacher's softmax",
                    "teacher_logits.argmax(axis=1)",
                    "np.exp(log_softmax(teacher_logits))",
                    "hard distillation takes the teacher's decision, the argmax, as if it were a label; its whole "
                    "distribution is for the soft one.",
                ),
                Mistake(
                    "heads swapped",
                    "base = ",
                    _SWAPPED + "base = ",
                    "the class token's head learns the label, the distillation token's head the teacher's decision.",
                ),
                Mistake(
                    "one head for both",
                    "cross_entropy(distillation_logits,",
                    "cross_entropy(cls_logits,",
                    "each head has one target: the teacher's decision is learned by distillation_logits alone.",
                ),
                Mistake(
                    "alpha and 1 - alpha swapped",
                    "(1 - alpha) * base + alpha * cross_entropy",
                    "alpha * base + (1 - alpha) * cross_entropy",
                    "alpha is the weight of the teacher's term, 1 - alpha the label's.",
                ),
                Mistake(
                    "the sum of both",
                    "(1 - alpha) * base + alpha * cross_entropy",
                    "base + cross_entropy",
                    "the two losses are mixed, with shares that sum to 1.",
                ),
                Mistake(
                    "the label for both heads",
                    "teacher_logits.argmax(axis=1)",
                    "labels",
                    "the distillation token's head learns what the teacher decides, right or wrong, not the label.",
                ),
            ),
        ),
        Task(
            function="losses.soft_distillation",
            points=5,
            minutes=25,
            cases=_soft,
            mistakes=(
                Mistake(
                    "divided by the batch only",
                    ".mean() * tau**2",
                    ".sum() / len(teacher_logits) * tau**2",
                    "DeiT's code divides the divergence by the number of all entries, batch times classes: the mean "
                    "over both axes.",
                ),
                Mistake(
                    "not divided",
                    ".mean() * tau**2",
                    ".sum() * tau**2",
                    "DeiT's code divides the divergence by the number of all entries, batch times classes: the mean "
                    "over both axes.",
                ),
                Mistake(
                    "missing tau squared",
                    " * tau**2",
                    "",
                    "a temperature of tau makes gradients smaller by tau squared: multiply by it.",
                ),
                Mistake(
                    "tau instead of tau squared",
                    " * tau**2",
                    " * tau",
                    "the factor is tau squared.",
                ),
                Mistake(
                    "no temperature for the teacher",
                    "log_softmax(teacher_logits / tau)",
                    "log_softmax(teacher_logits)",
                    "both sides are softened: divide the teacher's logits by tau, too.",
                ),
                Mistake(
                    "no temperature for the student",
                    "log_softmax(distillation_logits / tau)",
                    "log_softmax(distillation_logits)",
                    "both sides are softened: divide the student's logits by tau, too.",
                ),
                Mistake(
                    "the divergence reversed",
                    "np.exp(teacher) * (teacher - student)",
                    "np.exp(student) * (student - teacher)",
                    "the teacher's distribution weighs: p_teacher (log p_teacher - log p_student).",
                ),
                Mistake(
                    "cross entropy instead of the divergence",
                    "np.exp(teacher) * (teacher - student)",
                    "np.exp(teacher) * -student",
                    "the divergence is 0 where both agree: take log p_teacher - log p_student, not "
                    "-log p_student alone.",
                ),
                Mistake(
                    "heads swapped",
                    "teacher, student = ",
                    _SWAPPED + "teacher, student = ",
                    "the class token's head learns the label, the distillation token's head the teacher's "
                    "distribution.",
                ),
                Mistake(
                    "alpha and 1 - alpha swapped",
                    "(1 - alpha) * cross_entropy(cls_logits, labels) + alpha * divergence",
                    "alpha * cross_entropy(cls_logits, labels) + (1 - alpha) * divergence",
                    "alpha is the weight of the teacher's term, 1 - alpha the label's.",
                ),
            ),
        ),
        Task(
            function="course.experiment.hard_gradients",
            points=1,
            minutes=15,
            cases=_hard_gradients,
            untold=("$$\\frac{\\partial", "with $t$ and"),
            mistakes=(
                Mistake(
                    "not divided by the batch",
                    "cls_gradient = " + _CLS_PART + "\n"
                    "    return cls_gradient, alpha * (softmax(distillation_logits) - decisions) / batch",
                    "cls_gradient = " + _CLS_PART.removesuffix(" / batch") + "\n"
                    "    return cls_gradient, alpha * (softmax(distillation_logits) - decisions)",
                    "the loss is the mean over the photos, so each photo's gradient is divided by their number.",
                ),
                Mistake(
                    "targets minus probabilities",
                    "cls_gradient = " + _CLS_PART + "\n    return cls_gradient, alpha",
                    "cls_gradient = -" + _CLS_PART + "\n    return cls_gradient, -alpha",
                    "a gradient points uphill: probabilities minus targets. Going downhill comes later.",
                ),
                Mistake(
                    "the teacher's softmax",
                    "one_hot(teacher_logits.argmax(axis=1), classes)",
                    "softmax(teacher_logits)",
                    "the target is the teacher's decision, as a one-hot row.",
                ),
                Mistake(
                    "alpha and 1 - alpha swapped",
                    "cls_gradient = ",
                    "alpha = 1 - alpha\n    cls_gradient = ",
                    "alpha is the weight of the teacher's term, 1 - alpha the label's.",
                ),
                Mistake(
                    "in another order",
                    "return cls_gradient, alpha * (softmax(distillation_logits) - decisions) / batch",
                    "return alpha * (softmax(distillation_logits) - decisions) / batch, cls_gradient",
                    "the class token's gradient is returned first.",
                ),
            ),
        ),
        Task(
            function="course.experiment.soft_gradients",
            points=2,
            minutes=15,
            cases=_soft_gradients,
            untold=("$$\\frac{\\partial",),
            mistakes=(
                Mistake(
                    "tau squared",
                    "alpha * tau * gap",
                    "alpha * tau**2 * gap",
                    "the loss has tau squared in front, and the chain rule divides by tau once: one tau remains.",
                ),
                Mistake(
                    "no tau",
                    "alpha * tau * gap",
                    "alpha * gap",
                    "the loss has tau squared in front, and the chain rule divides by tau once: one tau remains.",
                ),
                Mistake(
                    "no temperature for the teacher",
                    "softmax(teacher_logits / tau)",
                    "softmax(teacher_logits)",
                    "both sides are softened: divide the teacher's logits by tau, too.",
                ),
                Mistake(
                    "divided by the batch only",
                    "(batch * classes)",
                    "batch",
                    "the divergence is a mean over all entries: its gradient is divided by batch times classes.",
                ),
                Mistake(
                    "the label's part divided by the classes",
                    _CLS_PART,
                    _CLS_PART.replace("/ batch", "/ (batch * classes)"),
                    "the label's part is a cross entropy: its gradient is divided by the batch only.",
                ),
                Mistake(
                    "alpha and 1 - alpha swapped",
                    "cls_gradient = ",
                    "alpha = 1 - alpha\n    cls_gradient = ",
                    "alpha is the weight of the teacher's term, 1 - alpha the label's.",
                ),
            ),
        ),
        Task(
            function="course.experiment.train_heads",
            points=2,
            minutes=20,
            cases=_train_heads,
            mistakes=(
                Mistake(
                    "uphill",
                    "weight = weight - learning_rate * gradient.T @ cls_features\n"
                    "        bias = bias - learning_rate * gradient.sum(axis=0)\n"
                    "        weight_dist = weight_dist - learning_rate",
                    "weight = weight + learning_rate * gradient.T @ cls_features\n"
                    "        bias = bias + learning_rate * gradient.sum(axis=0)\n"
                    "        bias_dist = bias_dist + 2 * learning_rate * gradient_dist.sum(axis=0)\n"
                    "        weight_dist = weight_dist + learning_rate",
                    "gradients point uphill, and the loss shall become small: subtract.",
                ),
                Mistake(
                    "biases forgotten",
                    "        bias = bias - learning_rate * gradient.sum(axis=0)\n"
                    "        weight_dist = weight_dist - learning_rate * gradient_dist.T @ dist_features\n"
                    "        bias_dist = bias_dist - learning_rate * gradient_dist.sum(axis=0)",
                    "        weight_dist = weight_dist - learning_rate * gradient_dist.T @ dist_features",
                    "biases learn, too: their gradient is the sum over the photos.",
                ),
                Mistake(
                    "the mean again",
                    "bias = bias - learning_rate * gradient.sum(axis=0)\n"
                    "        weight_dist = weight_dist - learning_rate * gradient_dist.T @ dist_features\n"
                    "        bias_dist = bias_dist - learning_rate * gradient_dist.sum(axis=0)",
                    "bias = bias - learning_rate * gradient.mean(axis=0)\n"
                    "        weight_dist = weight_dist - learning_rate * gradient_dist.T @ dist_features\n"
                    "        bias_dist = bias_dist - learning_rate * gradient_dist.mean(axis=0)",
                    "the gradients are divided by the batch already: sum over the photos.",
                ),
                Mistake(
                    "one token for both heads",
                    "gradient_dist.T @ dist_features",
                    "gradient_dist.T @ cls_features",
                    "the second head reads the distillation tokens, so its gradient meets these.",
                ),
                Mistake(
                    "always hard",
                    "if tau is None:",
                    "if True:",
                    "with a temperature, the soft loss and its gradients are used.",
                ),
                Mistake(
                    "alpha forgotten",
                    "    losses = np.zeros(steps)",
                    "    losses, alpha = np.zeros(steps), 0.5",
                    "hand alpha on to losses and gradients.",
                ),
                Mistake(
                    "one step too few",
                    "        weight = weight - learning_rate * gradient.T @ cls_features",
                    "        if step + 1 == steps:\n            break\n"
                    "        weight = weight - learning_rate * gradient.T @ cls_features",
                    "each step computes the loss, then goes downhill, the last one, too.",
                ),
            ),
        ),
    ),
)
