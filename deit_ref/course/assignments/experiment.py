"""The experiment of assignment 5: training the two heads, and nothing else, on what a student and its teacher see.

The encoder is finished; its class tokens and distillation tokens are arrays that are given, and so are the teacher's
logits. What is left of training is short enough to be written out, in NumPy: two linear maps, their gradients, and
steps downhill.

The arrays are made once, from the bundled student and teacher:

    python -m deit_ref.course.assignments.experiment --data DIR

Source: Touvron et al. 2021, section 4, equations 2 and 3; the gradients follow from chapter 9's losses.
"""

import argparse
import io
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from deit_ref.numpy_backend.layers import softmax
from deit_ref.numpy_backend.losses import hard_distillation, soft_distillation

Array: TypeAlias = np.ndarray[Any, Any]

ARRAYS = "distillation.npz"  # beside this file
COMPONENTS = 64  # of each token's features, so that all arrays together stay small
MOST_BYTES = 600_000


def one_hot(labels: Integer[Array, "batch"], classes: int) -> Float[Array, "batch classes"]:
    """A row for each label: 1 at the label, 0 elsewhere."""
    return np.eye(classes)[labels]


def hard_gradients(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"],
    *,
    alpha: float = 0.5,
) -> tuple[Float[Array, "batch classes"], Float[Array, "batch classes"]]:
    r"""How `hard_distillation` changes with each logit: probabilities minus targets, shared among the batch.

    $$\frac{\partial \mathcal L}{\partial o_\text{cls}}
      = \frac{1 - \alpha}{B} (\mathrm{softmax}(o_\text{cls}) - t), \qquad
      \frac{\partial \mathcal L}{\partial o_\text{dist}}
      = \frac{\alpha}{B} (\mathrm{softmax}(o_\text{dist}) - p_\text{teacher})$$

    with $t$ and $p_\text{teacher}$ the one-hot rows of the labels and of the teacher's decisions.

    Args:
        cls_logits, distillation_logits: of the student's two heads.
        teacher_logits: of the same photos.
        labels: class numbers.
        alpha: the weight of the teacher's term.

    Returns:
        The gradients of the class token's and of the distillation token's logits.
    """
    batch, classes = cls_logits.shape
    decisions = one_hot(teacher_logits.argmax(axis=1), classes)
    cls_gradient = (1 - alpha) * (softmax(cls_logits) - one_hot(labels, classes)) / batch
    return cls_gradient, alpha * (softmax(distillation_logits) - decisions) / batch


def soft_gradients(
    cls_logits: Float[Array, "batch classes"],
    distillation_logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"],
    *,
    alpha: float = 0.5,
    tau: float = 1.0,
) -> tuple[Float[Array, "batch classes"], Float[Array, "batch classes"]]:
    r"""How `soft_distillation` changes with each logit.

    $$\frac{\partial \mathcal L}{\partial o_\text{cls}}
      = \frac{1 - \alpha}{B} (\mathrm{softmax}(o_\text{cls}) - t), \qquad
      \frac{\partial \mathcal L}{\partial o_\text{dist}} = \frac{\alpha \tau}{B C}
      (\mathrm{softmax}(o_\text{dist} / \tau) - \mathrm{softmax}(o_\text{teacher} / \tau))$$

    One of the two $\tau$ in front of the divergence is used up: the logits are divided by $\tau$ before softmax.

    Args:
        cls_logits, distillation_logits: of the student's two heads.
        teacher_logits: of the same photos.
        labels: class numbers.
        alpha: the weight of the teacher's term.
        tau: temperature, above 0.

    Returns:
        The gradients of the class token's and of the distillation token's logits.
    """
    batch, classes = cls_logits.shape
    gap = softmax(distillation_logits / tau) - softmax(teacher_logits / tau)
    cls_gradient = (1 - alpha) * (softmax(cls_logits) - one_hot(labels, classes)) / batch
    return cls_gradient, alpha * tau * gap / (batch * classes)


class TrainedHeads(NamedTuple):
    """Two linear maps and the loss before each step that led to them.

    weight, weight_dist: (classes, features). bias, bias_dist: (classes,). losses: (steps,).
    """

    weight: Array
    bias: Array
    weight_dist: Array
    bias_dist: Array
    losses: Array


def train_heads(
    cls_features: Float[Array, "batch cls_features"],
    dist_features: Float[Array, "batch dist_features"],
    teacher_logits: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"],
    *,
    steps: int,
    learning_rate: float,
    alpha: float = 0.5,
    tau: float | None = None,
) -> TrainedHeads:
    r"""Gradient descent on both heads, all photos in every step, from zeros.

    $$W \leftarrow W - \eta \, do^\top x, \qquad b \leftarrow b - \eta \sum_i do_i$$

    with x a head's features, one row for each photo, and do the gradient of the loss with respect to its logits.

    Args:
        cls_features, dist_features: tokens after the last norm.
        teacher_logits: of the same photos.
        labels: class numbers.
        steps: how many.
        learning_rate: $\eta$.
        alpha: the weight of the teacher's term.
        tau: the temperature of soft distillation; None trains by hard distillation.

    Returns:
        Both heads after the last step, and the loss before each.
    """
    classes = teacher_logits.shape[1]
    weight, bias = np.zeros((classes, cls_features.shape[1])), np.zeros(classes)
    weight_dist, bias_dist = np.zeros((classes, dist_features.shape[1])), np.zeros(classes)
    losses = np.zeros(steps)
    for step in range(steps):
        logits = cls_features @ weight.T + bias, dist_features @ weight_dist.T + bias_dist
        if tau is None:
            losses[step] = hard_distillation(*logits, teacher_logits, labels, alpha=alpha)
            gradient, gradient_dist = hard_gradients(*logits, teacher_logits, labels, alpha=alpha)
        else:
            losses[step] = soft_distillation(*logits, teacher_logits, labels, alpha=alpha, tau=tau)
            gradient, gradient_dist = soft_gradients(*logits, teacher_logits, labels, alpha=alpha, tau=tau)
        weight = weight - learning_rate * gradient.T @ cls_features
        bias = bias - learning_rate * gradient.sum(axis=0)
        weight_dist = weight_dist - learning_rate * gradient_dist.T @ dist_features
        bias_dist = bias_dist - learning_rate * gradient_dist.sum(axis=0)
    return TrainedHeads(weight, bias, weight_dist, bias_dist, losses)


class Photos(NamedTuple):
    """What the experiment knows of a set of photos, one row for each; float64, and labels int64."""

    cls_features: Array
    dist_features: Array
    teacher_logits: Array
    labels: Array


def load_photos(path: str | Path | None = None) -> tuple[Photos, Photos, tuple[str, ...]]:
    """Photos to train on, photos to test on, and the names of the classes.

    Args:
        path: a file that `make` has written; None means the one beside this module.

    Raises:
        ValueError: there is no such file.
    """
    place = files("deit_ref.course.assignments") / ARRAYS if path is None else Path(path)
    if not place.is_file():
        raise ValueError(
            f"{place.name} is missing: it holds the features of the bundled student and the logits of its teacher, and "
            "is made by: python -m deit_ref.course.assignments.experiment --data DIR, with DIR a folder of CIFAR-10."
        )
    with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as arrays:
        train, test = (
            Photos(
                cls_features=arrays[f"{split}_cls_features"].astype(np.float64),
                dist_features=arrays[f"{split}_dist_features"].astype(np.float64),
                teacher_logits=arrays[f"{split}_teacher_logits"].astype(np.float64),
                labels=arrays[f"{split}_labels"].astype(np.int64),
            )
            for split in ("train", "test")
        )
        return train, test, tuple(str(name) for name in arrays["class_names"])


def make(
    data: str | Path,
    target: str | Path,
    *,
    student: Any,
    teacher: str | Path,
    counts: tuple[int, int] = (1000, 500),
    seed: int = 0,
) -> int:
    """Write the arrays of the experiment, in float16.

    Of each token's features the principal components are kept, at most `COMPONENTS`: a turned and cut copy, on which a
    linear head loses little. They are found on the training photos alone.

    Args:
        data: photos with a train and a test part.
        target: the file to write.
        student: DeiTWeights of a distilled model.
        teacher: a folder that train-teacher has written, or the name of a bundled teacher.
        counts: photos to train and to test on, drawn from each part.
        seed: of the draw.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: student, teacher and photos know different classes, there are too few photos, or the file would
            have more than `MOST_BYTES`.
    """
    from deit_ref.data.classes import check_same_classes
    from deit_ref.data.opening import open_images
    from deit_ref.training.teacher import load_teacher

    if student.dist_token is None:
        raise ValueError("The student has no distillation token: give a model that was distilled.")
    ask, names = load_teacher(teacher)
    parts = {split: open_images(data, split, student.image_processing) for split in ("train", "test")}
    check_same_classes(parts["train"], parts["test"])
    for who, known in (("student", student.class_names), ("teacher", names)):
        if known != parts["train"].class_names:
            raise ValueError(f"The {who} knows the classes {known}, the photos are of {parts['train'].class_names}.")
    arrays: dict[str, Array] = {"class_names": np.array(names)}
    turned: dict[str, tuple[Array, Array]] = {}
    for (split, images), count in zip(parts.items(), counts, strict=True):
        if len(images) < count:
            raise ValueError(f"{data} has {len(images)} photos of the split {split!r}, expected at least {count}.")
        chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
        found = _seen([images.read(int(i)) for i in chosen], student, ask)
        for name, values in zip(Photos._fields, (*found, images.labels[chosen]), strict=False):
            if name.endswith("features"):
                if split == "train":
                    mean = values.mean(axis=0)
                    turned[name] = mean, np.linalg.svd(values - mean, full_matrices=False)[2][:COMPONENTS]
                mean, components = turned[name]
                values = (values - mean) @ components.T
            arrays[f"{split}_{name}"] = values.astype(np.uint8 if name == "labels" else np.float16)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    size = stream.getbuffer().nbytes
    if size > MOST_BYTES:
        raise ValueError(
            f"The arrays have {size} bytes, at most {MOST_BYTES} can go with the package: take fewer photos."
        )
    Path(target).write_bytes(stream.getvalue())
    return size


def _seen(photos: list[Array], student: Any, ask: Any) -> tuple[Array, Array, Array]:
    """The student's class and distillation tokens and the teacher's logits, float64."""
    import torch

    from deit_ref.api import preprocess
    from deit_ref.numpy_backend.model import encode
    from deit_ref.numpy_backend.tokens import split_tokens

    found = []
    for start in range(0, len(photos), 100):
        batch = photos[start : start + 100]
        tokens = encode(student, preprocess(batch, student.image_processing)).x
        cls_token, dist_token, _ = split_tokens(tokens, distilled=True)
        with torch.no_grad():
            logits = ask(preprocess(batch, ask.image_processing, backend="torch")).numpy()
        found.append((cls_token, dist_token, logits))
    cls_tokens, dist_tokens, logits = (np.concatenate(rows).astype(np.float64) for rows in zip(*found, strict=True))
    return cls_tokens, dist_tokens, logits


def main(argv: list[str] | None = None) -> int:
    """Make the arrays and say how large they are."""
    from deit_ref.checkpoints import load_weights

    beside = Path(__file__).with_name(ARRAYS)
    prog = "python -m deit_ref.course.assignments.experiment"
    parser = argparse.ArgumentParser(prog=prog, description="Make the arrays of A5.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a train and a test part")
    parser.add_argument("--student", metavar="SOURCE", help="a distilled checkpoint (default: the bundled one)")
    parser.add_argument("--teacher", default="cifar10-teacher", help="a teacher's folder (default: the bundled one)")
    parser.add_argument("--out", type=Path, default=beside, metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--photos", type=int, nargs=2, default=(1000, 500), metavar=("TRAIN", "TEST"))
    args = parser.parse_args(argv)
    size = make(
        args.data, args.out, student=load_weights(args.student), teacher=args.teacher, counts=tuple(args.photos)
    )
    print(f"{args.out}: {size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
