"""Outputs: what top says about logits, and arrays of both backends as NumPy arrays."""

import dataclasses

import numpy as np
import pytest
import torch

from deit_ref.arrays import as_numpy
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, MaskedImageOutput, TeacherOutput

LOGITS = np.log(np.array([[1, 5, 2], [8, 1, 1]], np.float64))  # shares of 1/8, 5/8, 2/8 and 0.8, 0.1, 0.1


def test_top_by_hand():
    names = ("cat", "dog", "hen")
    for logits in (LOGITS, LOGITS.astype(np.float32), torch.from_numpy(LOGITS).requires_grad_()):
        for output in (
            ClassificationOutput(logits, class_names=names),
            TeacherOutput(logits, -logits, -logits, class_names=names),
        ):
            first, second = output.top(2)
            assert [name for name, _ in first] == ["dog", "hen"]
            assert [p for _, p in first] == pytest.approx([5 / 8, 2 / 8], rel=1e-6)
            assert second[0] == ("cat", pytest.approx(0.8, rel=1e-6))
            assert all(type(p) is float for _, p in first)


def test_ties_keep_the_order_of_the_classes():
    output = ClassificationOutput(np.array([[1.0, 2.0, 1.0, 2.0, 2.0]]))
    assert [name for name, _ in output.top(5)[0]] == ["LABEL_1", "LABEL_3", "LABEL_4", "LABEL_0", "LABEL_2"]
    many = ClassificationOutput(np.tile([0.0, 1.0], (1, 500)))  # so many that an unstable sort would show
    assert [name for name, _ in many.top(500)[0]] == [f"LABEL_{i}" for i in range(1, 1000, 2)]


def test_names_and_number_of_classes():
    output = ClassificationOutput(np.zeros((3, 4)))
    assert output.top(9) == [[(f"LABEL_{i}", 0.25) for i in range(4)]] * 3
    assert [len(row) for row in ClassificationOutput(np.zeros((1, 9))).top()] == [5]
    assert output.top(np.int64(1)) == [[("LABEL_0", 0.25)]] * 3


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3"])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match=r"k must be (an integer|at least 1), got "):
        ClassificationOutput(LOGITS).top(k)


def test_large_logits_do_not_overflow():
    assert ClassificationOutput(np.array([[1e4, 0.0]])).top(2)[0] == [("LABEL_0", 1.0), ("LABEL_1", 0.0)]


def test_several_labels_have_independent_probabilities():
    logits = np.array([[0.0, np.log(3), -np.log(4)]])
    output = ClassificationOutput(logits, problem_type="multi_label_classification")
    assert [name for name, _ in output.top(3)[0]] == ["LABEL_1", "LABEL_0", "LABEL_2"]
    assert [p for _, p in output.top(3)[0]] == pytest.approx([3 / 4, 1 / 2, 1 / 5], rel=1e-12)
    extreme = ClassificationOutput(np.array([[-1e4, 1e4]]), problem_type="multi_label_classification")
    assert extreme.top(2)[0] == [("LABEL_1", 1.0), ("LABEL_0", 0.0)]


def test_regression_has_no_classes():
    with pytest.raises(ValueError, match=r"no classes: read output\.logits instead of output\.top\(\)"):
        ClassificationOutput(np.zeros((1, 1)), problem_type="regression").top()


def test_half_precision_logits():
    for dtype in (torch.bfloat16, torch.float16):
        output = ClassificationOutput(torch.tensor([[0.0, 1.0]], dtype=dtype))
        assert output.top(1)[0][0] == ("LABEL_1", pytest.approx(1 / (1 + np.exp(-1)), rel=1e-12))


@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        (torch.tensor([1.5, -2]), np.float32),
        (torch.tensor([1.5, -2], dtype=torch.float64), np.float64),
        (torch.tensor([1.5, -2], dtype=torch.bfloat16), np.float32),
        (torch.tensor([1.5, -2], dtype=torch.float16), np.float32),
        (torch.tensor([1.5, -2], requires_grad=True), np.float32),
        (torch.tensor([1, -2], dtype=torch.int16), np.int16),
        (torch.tensor([1, 2], dtype=torch.uint8), np.uint8),
        (torch.tensor([True, False]), np.bool_),
        ([1.5, -2.0], np.float64),
    ],
)
def test_as_numpy(tensor, dtype):
    array = as_numpy(tensor)
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    assert array.tolist() == (tensor if isinstance(tensor, list) else tensor.tolist())


def test_as_numpy_leaves_arrays_alone():
    array = np.ones(2, np.float16)
    assert as_numpy(array) is array


def test_fields():
    """What transformers calls them, so that code moves over; what was not asked for is None."""
    fields = {
        FeaturesOutput: "last_hidden_state pooler_output hidden_states attentions",
        ClassificationOutput: "logits loss hidden_states attentions class_names problem_type",
        TeacherOutput: "logits cls_logits distillation_logits hidden_states attentions class_names",
        MaskedImageOutput: "reconstruction loss hidden_states attentions",
    }
    for kind, names in fields.items():
        assert [field.name for field in dataclasses.fields(kind)] == names.split()
        required = [field for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
        output = kind(*range(len(required)))
        assert all(value is None for value in list(vars(output).values())[len(required) :])
        with pytest.raises(dataclasses.FrozenInstanceError):
            output.loss = 1
