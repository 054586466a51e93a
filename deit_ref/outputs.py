"""What `forward` returns: one type per task, always with the same fields; what was not asked for is None.

Arrays belong to the backend that ran: numpy.ndarray or torch.Tensor.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.arrays import as_numpy


@dataclass(frozen=True, eq=False)
class FeaturesOutput:
    """Task "features" (transformers: DeiTModel, ViTModel).

    Attributes:
        last_hidden_state: (batch, tokens, dim), after the last norm; cls, dist (if any), then patches row by row.
        pooler_output: (batch, pooler_output_size), or None without pooler weights.
        hidden_states: the embeddings and each block's output, (batch, tokens, dim) each; the last is before the norm.
        attentions: each block's attention probabilities, (batch, heads, tokens, tokens) each.
    """

    last_hidden_state: Any
    pooler_output: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(frozen=True, eq=False)
class ClassificationOutput:
    """Task "classification" (transformers: DeiTForImageClassification, ViTForImageClassification).

    Attributes:
        logits: (batch, num_labels).
        loss: a number when labels were given.
        hidden_states, attentions: as in FeaturesOutput.
        class_names: one name per label, or None; () without labels, where logits are the token that a head would see.
        problem_type: the config's; what it makes of logits, see `probabilities`.
    """

    logits: Any
    loss: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None
    class_names: tuple[str, ...] | None = None
    problem_type: str | None = None

    @property
    def probabilities(self) -> Any:
        """(batch, num_labels), as an array of the backend; with torch on the path of the gradient.

        softmax over the classes, each row sums to 1; a sigmoid for each label if the problem_type is
        "multi_label_classification". Half precision is widened to float32 first.

        Raises:
            ValueError: it is a regression, by its problem_type or, without one, by its single label; or it has no
                labels.
        """
        return _probabilities(self.logits, self.problem_type, self.class_names)

    def top(self, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each image the k most probable classes, best first, as (name, probability)."""
        return _top(self.logits, self.problem_type, self.class_names, k)


@dataclass(frozen=True, eq=False)
class TeacherOutput:
    """Task "classification-with-teacher" (transformers: DeiTForImageClassificationWithTeacher).

    Attributes:
        logits: (batch, num_labels), the mean of the two heads.
        cls_logits: (batch, num_labels), from the class token, trained on labels.
        distillation_logits: (batch, num_labels), from the distillation token, trained on the teacher.
        hidden_states, attentions: as in FeaturesOutput.
        class_names: one name per label, or None; () without labels, where logits are the token that a head would see.
        problem_type: the config's; what it makes of logits, see `probabilities`.
    """

    logits: Any
    cls_logits: Any
    distillation_logits: Any
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None
    class_names: tuple[str, ...] | None = None
    problem_type: str | None = None

    @property
    def probabilities(self) -> Any:
        """As in `ClassificationOutput`, of the mean of the two heads' logits: not the mean of their probabilities."""
        return _probabilities(self.logits, self.problem_type, self.class_names)

    def top(self, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each image the k most probable classes, best first, as (name, probability)."""
        return _top(self.logits, self.problem_type, self.class_names, k)


@dataclass(frozen=True, eq=False)
class MaskedImageOutput:
    """Task "masked-image-modeling" (transformers: DeiTForMaskedImageModeling, ViTForMaskedImageModeling).

    Attributes:
        reconstruction: (batch, channels, height, width), in normalized units.
        loss: mean absolute error on the masked pixels, when bool_masked_pos was given.
        hidden_states, attentions: as in FeaturesOutput.
    """

    reconstruction: Any
    loss: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(frozen=True, eq=False)
class Gradients:
    """What `gradients` returns: how much a number grows with each input of the model; None where it was not asked.

    Attributes:
        value: the number: the loss, or the sum of the targets' logits.
        weights: a `DeiTWeights` of gradients.
        pixel_values: (batch, channels, height, width).
        attentions: of each block's attention probabilities, (batch, heads, tokens, tokens) each.
        head_mask: (blocks, heads), of the numbers that the heads are multiplied by.
    """

    value: Any
    weights: Any = None
    pixel_values: Any = None
    attentions: tuple[Any, ...] | None = None
    head_mask: Any = None


Output = FeaturesOutput | ClassificationOutput | TeacherOutput | MaskedImageOutput


def _probabilities(logits: Any, problem_type: str | None, class_names: tuple[str, ...] | None) -> Any:
    """Shares of one class among all, or of each label by itself, as an array of the logits' backend."""
    if class_names == ():
        raise ValueError(
            "A model without labels (num_labels=0) has no classes, so no probabilities and no top: read output.logits."
        )
    if problem_type == "regression" or (problem_type is None and logits.shape[-1] == 1):
        raise ValueError("A regression model has no classes, so no probabilities and no top: read output.logits.")
    several = problem_type == "multi_label_classification"
    if not isinstance(logits, np.ndarray):  # a torch tensor, without importing torch
        logits = logits.float() if logits.dtype.itemsize == 2 else logits
        return logits.sigmoid() if several else logits.softmax(-1)
    if several:
        return np.exp(-np.logaddexp(0, -logits))  # a sigmoid that cannot overflow
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _top(
    logits: Any, problem_type: str | None, class_names: tuple[str, ...] | None, k: int
) -> list[list[tuple[str, float]]]:
    k = checks.integer("k", k)
    # In float64, in which classes that differ in their logits differ in their probabilities.
    probabilities = _probabilities(as_numpy(logits).astype(np.float64), problem_type, class_names)
    names = class_names or tuple(f"LABEL_{i}" for i in range(probabilities.shape[1]))
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return [[(names[i], float(row[i])) for i in order] for row, order in zip(probabilities, best, strict=True)]
