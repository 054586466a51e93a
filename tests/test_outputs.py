"""Outputs: what probabilities and top say about logits, and arrays of both backends as NumPy arrays."""

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


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
@pytest.mark.parametrize("problem_type", [None, "single_label_classification", "multi_label_classification"])
def test_probabilities_are_arrays_of_the_backend(kind, problem_type):
    logits = np.array([[0.0, np.log(3), -np.log(4)], [1e4, -1e4, 0]])
    several = problem_type == "multi_label_classification"
    expected = [[1 / 2, 3 / 4, 1 / 5], [1, 0, 1 / 2]] if several else [[4 / 17, 12 / 17, 1 / 17], [1, 0, 0]]
    of_torch = isinstance(kind, torch.dtype)
    logits = torch.tensor(logits, dtype=kind) if of_torch else logits.astype(kind)
    for output in (
        ClassificationOutput(logits, problem_type=problem_type),
        TeacherOutput(logits, -logits, -logits, problem_type=problem_type),
    ):
        assert type(output.probabilities) is type(logits)
        assert output.probabilities.dtype == kind
        np.testing.assert_allclose(as_numpy(output.probabilities), expected, rtol=1e-6)
        best = dict(output.top(3)[0])
        assert [best[f"LABEL_{i}"] for i in range(3)] == pytest.approx(expected[0], rel=1e-6)


def test_probabilities_carry_the_gradient():
    logits = torch.tensor([[0.0, np.log(3)]], dtype=torch.float64, requires_grad=True)
    ClassificationOutput(logits).probabilities[0, 1].backward()
    np.testing.assert_allclose(logits.grad, [[-3 / 16, 3 / 16]], rtol=1e-12)  # p (1 - p)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_probabilities_of_half_precision_are_float32(dtype):
    """In bfloat16 a thousand equal shares would add up to 0.9995."""
    probabilities = ClassificationOutput(torch.zeros(1, 1000, dtype=dtype)).probabilities
    assert probabilities.dtype == torch.float32
    np.testing.assert_allclose(probabilities, 1e-3, rtol=1e-6)


def test_the_teacher_takes_the_mean_before_the_softmax():
    cls_logits, distillation_logits = np.array([[0.0, np.log(9)]]), np.array([[0.0, 0.0]])
    output = TeacherOutput((cls_logits + distillation_logits) / 2, cls_logits, distillation_logits)
    np.testing.assert_allclose(output.probabilities, [[1 / 4, 3 / 4]], rtol=1e-12)  # mean of probabilities: 0.3, 0.7


@pytest.mark.parametrize(("labels", "problem_type"), [(1, "regression"), (4, "regression"), (1, None)])
@pytest.mark.parametrize("as_array", [np.zeros, torch.zeros])
def test_regression_has_no_classes(as_array, labels, problem_type):
    logits = as_array((2, labels))
    for output in (
        ClassificationOutput(logits, problem_type=problem_type),
        TeacherOutput(logits, logits, logits, problem_type=problem_type),
    ):
        for ask in (output.top, lambda output=output: output.probabilities):
            with pytest.raises(ValueError, match=r"no classes, so no probabilities and no top: read output\.logits\.$"):
                ask()


@pytest.mark.parametrize(
    ("problem_type", "expected"), [("single_label_classification", 1), ("multi_label_classification", 0.5)]
)
def test_a_single_label_with_a_problem_type_is_a_class(problem_type, expected):
    assert ClassificationOutput(np.zeros((1, 1)), problem_type=problem_type).top() == [[("LABEL_0", expected)]]


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
        TeacherOutput: "logits cls_logits distillation_logits hidden_states attentions class_names problem_type",
        MaskedImageOutput: "reconstruction loss hidden_states attentions",
    }
    for kind, names in fields.items():
        assert [field.name for field in dataclasses.fields(kind)] == names.split()
        required = [field for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
        output = kind(*range(len(required)))
        assert all(value is None for value in list(vars(output).values())[len(required) :])
        with pytest.raises(dataclasses.FrozenInstanceError):
            output.loss = 1
