"""Chapter 9: losses, against hand computation, torch, the original's golden values, and their gradients."""

import math

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st

from deit_ref.arrays import as_numpy

both_backends = pytest.mark.parametrize("backend", BACKENDS)

# The golden case: two images, three classes. Computed with losses.py of facebookresearch/deit.
CLS = [[1, 2, 3], [0.5, -1, 0]]
DIST = [[3, 2, 1], [0, 1, -2]]
TEACHER = [[0, 1, 0.5], [2, 0, 1]]
LABELS = [2, 0]


def golden(backend, dtype="float64"):
    return [array(backend, x, dtype) for x in (CLS, DIST, TEACHER)] + [array(backend, LABELS, "int64")]


@both_backends
def test_distillation_equals_the_original(backend):
    losses = chapter(backend, "losses")
    cls_logits, _, _, labels = golden(backend)
    assert float(losses.cross_entropy(cls_logits, labels)) == pytest.approx(0.505868285, abs=5e-10)
    assert float(losses.hard_distillation(*golden(backend))) == pytest.approx(0.942088688, abs=5e-10)
    assert float(losses.hard_distillation(*golden(backend), alpha=0.1)) == pytest.approx(0.593112365, abs=5e-10)
    assert float(losses.soft_distillation(*golden(backend))) == pytest.approx(0.371628292, abs=5e-10)
    assert float(losses.soft_distillation(*golden(backend), alpha=0.1, tau=3.0)) == pytest.approx(
        0.486107475, abs=5e-10
    )


@both_backends
def test_divided_by_images_the_teacher_is_as_many_times_as_heavy_as_there_are_classes(backend):
    """Equation 2 against the released code, by hand: a student that says 1/4 and 3/4, a teacher that cannot decide."""
    soft_distillation = chapter(backend, "losses").soft_distillation
    student, teacher = (array(backend, [row, row], "float64") for row in ([0.0, math.log(3)], [0.0, 0.0]))
    labels = array(backend, [0, 0], "int64")
    for alpha in (1.0, 0.2):
        loss = soft_distillation(student, student, teacher, labels, alpha=alpha, divided_by="images")
        assert float(loss) == pytest.approx((1 - alpha) * math.log(4) + alpha * math.log(4 / 3) / 2)
    with pytest.raises(ValueError, match="divided_by must be one of entries, images; got 'classes'"):
        soft_distillation(student, student, teacher, labels, divided_by="classes")


def test_how_hard_each_teaching_pulls_at_a_student_that_knows_nothing():
    """The mean length of the gradient at an image's distillation logits, of ten equal classes, alpha a half.

    Hard: (1/10, ..) - (1, 0, ..) has the length sqrt(0.9), and half of it is 0.474, whoever teaches. Soft at the
    temperature 3, as equation 2 says: 3/2 times the distance of both shares; as released, a tenth of that.
    """
    losses = chapter("torch", "losses")
    teacher = torch.zeros(4, 10, dtype=torch.float64)
    teacher[range(4), [0, 3, 3, 9]] = 3 * math.log(11)  # at temperature 3: 11/20, and 1/20 for each other class
    labels = torch.tensor([1, 3, 5, 7])

    def pull(loss, **options):
        student = torch.zeros(4, 10, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(
            loss(torch.zeros(4, 10, dtype=torch.float64), student, teacher, labels, **options), student
        )
        return float(4 * gradient.norm(dim=1).mean())

    assert pull(losses.hard_distillation) == pytest.approx(0.5 * math.sqrt(0.9))
    distance = math.sqrt(0.45**2 + 9 * 0.05**2)
    assert pull(losses.soft_distillation, tau=3.0, divided_by="images") == pytest.approx(1.5 * distance)
    assert pull(losses.soft_distillation, tau=3.0) == pytest.approx(0.15 * distance)


@both_backends
def test_cross_entropy_by_hand(backend):
    cross_entropy = chapter(backend, "losses").cross_entropy
    logits = array(backend, [[0.0, math.log(3)], [0.0, 0.0], [1000.0, 0.0]], "float64")
    assert float(cross_entropy(logits, array(backend, [1, 0, 0], "int64"))) == pytest.approx(
        (math.log(4 / 3) + math.log(2)) / 3
    )
    # -100 leaves a row out of the sum and out of the mean
    assert float(cross_entropy(logits, array(backend, [1, -100, -100], "int64"))) == pytest.approx(math.log(4 / 3))


@both_backends
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_cross_entropy_takes_every_integer(backend, dtype):
    cls_logits = array(backend, CLS, "float64")
    loss = chapter(backend, "losses").cross_entropy(cls_logits, array(backend, LABELS, dtype))
    assert float(loss) == pytest.approx(0.505868285, abs=5e-10)


@both_backends
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 100))
def test_binary_cross_entropy_is_torchs(backend, seed, scale):
    logits, labels = normal(seed, 4, 5) * scale, np.random.default_rng(seed).random((4, 5))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(*map(torch.from_numpy, (logits, labels)))
    loss = chapter(backend, "losses").binary_cross_entropy(
        array(backend, logits, "float64"), array(backend, labels, "float64")
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-10)


@both_backends
def test_mean_squared_error_by_hand(backend):
    loss = chapter(backend, "losses").mean_squared_error(array(backend, [1.0, 2.0]), array(backend, [3.0, 2.0]))
    assert float(loss) == 2


@both_backends
def test_the_labels_decide_the_loss(backend):
    losses = chapter(backend, "losses")
    logits = array(backend, CLS, "float64")
    single, many = array(backend, LABELS, "int64"), array(backend, [[0.0, 0, 1], [1, 0, 0]], "float64")
    assert float(losses.classification_loss(logits, single)) == float(losses.cross_entropy(logits, single))
    assert float(losses.classification_loss(logits, many)) == float(losses.binary_cross_entropy(logits, many))
    one = logits[:, :1]
    targets = array(backend, [3.0, 0.5], "float64")
    assert float(losses.classification_loss(one, targets)) == pytest.approx((4 + 0) / 2)
    # named instead of guessed: real numbers for every label
    assert float(losses.classification_loss(logits, many, problem_type="regression")) == pytest.approx(
        np.square(np.array(CLS) - as_numpy(many)).mean()
    )
    with pytest.raises(ValueError, match=r"problem_type must be one of regression, .*got 'ranking'"):
        losses.classification_loss(logits, single, problem_type="ranking")


@both_backends
def test_masked_l1_by_hand(backend):
    masked_l1 = chapter(backend, "losses").masked_l1
    pixels = np.zeros((1, 2, 2, 4))
    drawn = np.zeros((1, 2, 2, 4))
    drawn[0, 0, :, :2] = 1  # off by 1 in one of two channels of the left patch
    drawn[0, :, :, 2:] = 50  # far off in the right patch
    args = array(backend, drawn, "float64"), array(backend, pixels, "float64")
    left = masked_l1(*args, array(backend, [[True, False]], "bool"), patch_shape=(2, 2))
    assert float(left) == pytest.approx(4 / (4 + 1e-5) / 2)
    none = masked_l1(*args, array(backend, [[False, False]], "bool"), patch_shape=(2, 2))
    assert float(none) == 0
    both = masked_l1(*args, array(backend, [[True, True]], "bool"), patch_shape=(2, 2))
    assert float(both) == pytest.approx((4 + 8 * 50) / (8 + 1e-5) / 2)


@both_backends
def test_masked_l1_knows_rows_from_columns(backend):
    """2 x 3 patches of 1 x 2 pixels: the mask's third entry is the upper right patch."""
    pixels, drawn = np.zeros((1, 1, 2, 6)), np.zeros((1, 1, 2, 6))
    drawn[0, 0, 0, 4:] = 1
    mask = array(backend, [[False, False, True, False, False, False]], "bool")
    args = array(backend, drawn, "float64"), array(backend, pixels, "float64")
    loss = chapter(backend, "losses").masked_l1(*args, mask, patch_shape=(1, 2))
    assert float(loss) == pytest.approx(2 / (2 + 1e-5))


def gradient_cases(seed):
    """Name, arguments, which of them can be learned from, options: every loss, and both kinds of labels."""
    a, b, t, more = (normal(seed + i, 3, 4) * 2 for i in range(4))
    labels = np.random.default_rng(seed).integers(0, 4, 3)
    image, step = normal(seed, 2, 3, 4, 4), normal(seed + 1, 2, 3, 4, 4)
    drawn = image + np.sign(step) * (np.abs(step) + 0.01)  # |x - y| has no slope at 0
    mask = np.array([[True, False, True, True], [False, True, False, False]])
    yield "cross_entropy", [a, labels], [0], {}
    yield "cross_entropy", [a, np.array([-100, *labels[1:]])], [0], {}
    yield "cross_entropy", [a, shares(seed)], [0, 1], {}
    yield "binary_cross_entropy", [a, shares(seed)], [0, 1], {}
    yield "mean_squared_error", [a, more], [0, 1], {}
    yield "masked_l1", [drawn, image, mask], [0, 1], {"patch_shape": (2, 2)}
    for y in (labels, shares(seed)):
        yield "hard_distillation", [a, b, t, y], [0, 1], {"alpha": 0.3}
        yield "soft_distillation", [a, b, t, y], [0, 1, 2], {"alpha": 0.3, "tau": 2.0}
        yield "soft_distillation", [a, b, t, y], [0, 1, 2], {"alpha": 0.3, "tau": 2.0, "divided_by": "images"}


def shares(seed):
    """Labels as mixup and label smoothing make them: (3, 4), each row sums to 1."""
    return np.random.default_rng(seed).dirichlet(np.full(4, 0.5), 3)


@given(seed=st.integers(0, 10**6))
def test_gradients_are_the_slopes_of_the_book(seed):
    """Each entry of torch's gradient against NumPy's central difference, in float64, for every input."""
    for name, values, learned, options in gradient_cases(seed):
        theirs, ours = (getattr(chapter(backend, "losses"), name) for backend in ("torch", "numpy"))
        tensors = [torch.from_numpy(value) for value in values]
        for i in learned:
            tensors[i].requires_grad_()
        gradients = torch.autograd.grad(theirs(*tensors, **options), [tensors[i] for i in learned])
        for i, gradient in zip(learned, gradients, strict=True):
            numeric = np.zeros(values[i].shape)
            for place in np.ndindex(*values[i].shape):
                moved = []
                for sign in (1, -1):
                    there = values[i].copy()
                    there[place] += sign * 1e-5
                    moved.append(float(ours(*values[:i], there, *values[i + 1 :], **options)))
                numeric[place] = (moved[0] - moved[1]) / 2e-5
            assert np.abs(numeric).max() > 1e-5, name
            np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9, err_msg=f"{name}, input {i}")


def test_the_teachers_decision_has_no_slope():
    arguments = [x.requires_grad_() for x in golden("torch")[:3]]
    loss = chapter("torch", "losses").hard_distillation(*arguments, golden("torch")[3])
    gradients = torch.autograd.grad(loss, arguments, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False, False, True]


@both_backends
def test_shares_by_hand(backend):
    losses = chapter(backend, "losses")
    logits = array(backend, [[0.0, math.log(3)], [0.0, 0.0]], "float64")  # shares 1/4, 3/4 and 1/2, 1/2
    labels = array(backend, [[0.1, 0.9], [0.5, 0.5]], "float64")
    expected = (0.1 * math.log(4) + 0.9 * math.log(4 / 3) + math.log(2)) / 2
    assert float(losses.cross_entropy(logits, labels)) == pytest.approx(expected, rel=1e-12)
    # float32 shares, as mixup makes them, with float64 logits and the other way round
    for first, second in (("float32", "float64"), ("float64", "float32")):
        loss = losses.cross_entropy(array(backend, as_numpy(logits), first), array(backend, as_numpy(labels), second))
        assert float(loss) == pytest.approx(expected, rel=1e-6)


@both_backends
@given(seed=st.integers(0, 10**6))
def test_a_share_of_one_is_a_class_number(backend, seed):
    losses = chapter(backend, "losses")
    a, b, t = (array(backend, normal(seed + i, 5, 6) * 3, "float64") for i in range(3))
    numbers = np.random.default_rng(seed).integers(0, 6, 5)
    single, one_hot = array(backend, numbers, "int64"), array(backend, np.eye(6)[numbers], "float64")
    for loss in (
        losses.cross_entropy,
        lambda x, y: losses.hard_distillation(x, b, t, y, alpha=0.3),
        lambda x, y: losses.soft_distillation(x, b, t, y, alpha=0.3, tau=2.0),
    ):
        assert float(loss(a, one_hot)) == pytest.approx(float(loss(a, single)), rel=1e-12)


@both_backends
@given(seed=st.integers(0, 10**6), smoothing=st.floats(0.01, 0.9))
def test_smoothed_labels_are_torchs_label_smoothing(backend, seed, smoothing):
    """And distillation smooths the label alone: the teacher's part stays as it is."""
    losses = chapter(backend, "losses")
    values = [normal(seed + i, 5, 6) * 3 for i in range(3)]
    numbers = np.random.default_rng(seed).integers(0, 6, 5)
    smooth = np.eye(6)[numbers] * (1 - smoothing) + smoothing / 6
    (a, b, t), y = (array(backend, x, "float64") for x in values), array(backend, smooth, "float64")
    base = float(
        torch.nn.functional.cross_entropy(
            torch.from_numpy(values[0]), torch.from_numpy(numbers), label_smoothing=smoothing
        )
    )
    assert float(losses.cross_entropy(a, y)) == pytest.approx(base, rel=1e-12)
    for name, options in (("hard_distillation", {}), ("soft_distillation", {"tau": 2.0})):
        loss = getattr(losses, name)
        of_teacher = float(loss(a, b, t, array(backend, numbers, "int64"), alpha=1.0, **options))
        mixed = float(loss(a, b, t, y, alpha=0.3, **options))
        assert mixed == pytest.approx(0.7 * base + 0.3 * of_teacher, rel=1e-12), name


@both_backends
def test_floats_stay_multi_label_for_classification_loss(backend):
    losses = chapter(backend, "losses")
    logits, labels = array(backend, CLS, "float64"), array(backend, [[0.2, 0.3, 0.5], [1, 0, 0]], "float64")
    loss = float(losses.classification_loss(logits, labels))
    assert loss == float(losses.binary_cross_entropy(logits, labels))
    assert loss != pytest.approx(float(losses.cross_entropy(logits, labels)), rel=0.1)


def test_half_precision_logits_and_float32_shares():
    """What autocast hands to the loss: the result is float32, and close to the exact one."""
    losses, labels = chapter("torch", "losses"), torch.tensor([[0.2, 0.3, 0.5], [1.0, 0, 0]])
    logits = torch.tensor(CLS, dtype=torch.bfloat16)
    loss = losses.cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(losses.cross_entropy(logits.double(), labels.double())), rel=1e-2)


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]), tau=st.floats(0.5, 5))
def test_numpy_equals_torch(seed, dtype, tau):
    logits = [normal(seed + i, 4, 6) * 3 for i in range(3)]
    labels = np.random.default_rng(seed).integers(0, 6, 4)
    values = []
    for backend in BACKENDS:
        losses = chapter(backend, "losses")
        a, b, t = (array(backend, x, dtype) for x in logits)
        smooth = array(backend, np.eye(6)[labels] * 0.9 + 0.1 / 6, dtype)
        values.append(
            [
                loss
                for y in (array(backend, labels, "int64"), smooth)
                for loss in (
                    losses.cross_entropy(a, y),
                    losses.hard_distillation(a, b, t, y),
                    losses.soft_distillation(a, b, t, y, tau=tau),
                )
            ]
        )
    np.testing.assert_allclose(
        *(np.array([float(x) for x in v]) for v in values), rtol=1e-5 if dtype == "float32" else 1e-10
    )


@both_backends
def test_one_logit_is_a_regression_also_for_whole_numbers(backend):
    losses = chapter(backend, "losses")
    logits = array(backend, [[1.0], [4.0]], "float64")
    for labels in (array(backend, [3, 4], "int64"), array(backend, [[3], [4]], "int64")):
        assert float(losses.classification_loss(logits, labels)) == 2.0
    yes_or_no = array(backend, [0, 1], "int64")
    expected = np.mean([np.log1p(np.exp(1.0)), np.log1p(np.exp(-4.0))])
    found = losses.classification_loss(logits, yes_or_no, problem_type="multi_label_classification")
    assert float(found) == pytest.approx(expected, rel=1e-12)
