"""Objectives: the golden values of the original repository, and who learns from whom."""

import dataclasses

import pytest
import torch
from strategies import TINY, random_weights
from torch.nn.functional import one_hot

from deit_ref.outputs import ClassificationOutput, MaskedImageOutput, TeacherOutput
from deit_ref.training.batches import Batch
from deit_ref.training.objectives import classification, from_labels, masked_image_modeling
from deit_ref.training.recipe import Recipe
from deit_ref.training.student import Student

CLS = torch.tensor([[1.0, 2, 3], [0.5, -1, 0]])
DISTILLATION = torch.tensor([[3.0, 2, 1], [0, 1, -2]])
TAUGHT = torch.tensor([[0, 1, 0.5], [2, 0, 1]])
TARGETS = one_hot(torch.tensor([2, 0]), 3).float()


class Stub(torch.nn.Module):
    """Answers with what it was given, and keeps what it was asked."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, pixel_values, **options):
        self.asked, self.options = pixel_values, options
        return self.output


def two_heads(cls_logits=CLS, distillation_logits=DISTILLATION):
    return TeacherOutput((cls_logits + distillation_logits) / 2, cls_logits, distillation_logits)


def batch(targets=TARGETS, seed=0):
    return Batch(torch.randn(len(targets), 3, 32, 32, generator=torch.Generator().manual_seed(seed)), targets)


def value(recipe, output, targets=TARGETS, taught=TAUGHT):
    teach = None if recipe.distillation == "none" else lambda photos: taught
    return classification(recipe, teach=teach)(Stub(output), batch(targets), torch.Generator())


@pytest.mark.parametrize(
    ("distillation", "alpha", "tau", "expected"),
    [
        ("hard", 0.5, 1.0, 0.942088688),
        ("hard", 0.1, 1.0, 0.593112365),
        ("soft", 0.5, 1.0, 0.371628292),
        ("soft", 0.1, 3.0, 0.486107475),
    ],
)
def test_the_original_repositorys_losses(distillation, alpha, tau, expected):
    goal = value(Recipe(distillation=distillation, alpha=alpha, tau=tau), two_heads())
    assert float(goal.loss) == pytest.approx(expected, abs=2e-7)


def test_without_a_teacher_both_heads_learn_from_the_labels():
    assert float(value(Recipe(), ClassificationOutput(CLS)).loss) == pytest.approx(0.505868285, abs=2e-7)
    assert float(value(Recipe(), two_heads(CLS, CLS)).loss) == pytest.approx(0.505868285, abs=2e-7)
    expected = -(CLS.log_softmax(1) * TARGETS + DISTILLATION.log_softmax(1) * TARGETS).sum() / 4
    assert float(value(Recipe(), two_heads()).loss) == pytest.approx(float(expected), abs=2e-7)
    assert float(from_labels(Stub(CLS), batch(), torch.Generator()).loss) == pytest.approx(0.505868285)


def test_mixed_targets_and_hits_against_the_largest():
    mixed = torch.tensor([[0.3, 0.6, 0.1], [0.2, 0.1, 0.7]])
    base = -(CLS.log_softmax(1) * mixed).sum() / 2
    taught = torch.nn.functional.cross_entropy(DISTILLATION, torch.tensor([1, 0]))
    goal = value(Recipe(distillation="hard", alpha=0.25), two_heads(), mixed)
    assert float(goal.loss) == pytest.approx(float(0.75 * base + 0.25 * taught), abs=2e-7)
    logits = torch.tensor([[0.0, 5, 0], [5, 0, 0]])
    assert int(value(Recipe(), ClassificationOutput(logits), mixed).hits) == 1
    assert int(from_labels(Stub(logits), batch(mixed), torch.Generator()).hits) == 1
    # Of two heads it is the mean that hits; the class token alone would miss both.
    shifted = two_heads(torch.tensor([[0.0, 0, 4], [0, 0, 4]]), torch.tensor([[0.0, 9, 0], [0, 9, 0]]))
    assert int(value(Recipe(), shifted, one_hot(torch.tensor([1, 1]), 3).float()).hits) == 2


def test_soft_distillation_is_divided_as_the_recipe_says():
    released, equation = (
        float(value(Recipe(distillation="soft", alpha=1.0, tau=3.0, soft_division=by), two_heads()).loss)
        for by in ("entries", "images")
    )
    assert equation == pytest.approx(3 * released, rel=1e-6)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_shared_targets_teach_every_head_the_label_and_the_teachers_answer(kind):
    recipe = Recipe(distillation=kind, alpha=0.3, shared_targets=True)
    apart = dataclasses.replace(recipe, shared_targets=False)
    each = [float(value(apart, two_heads(head, head)).loss) for head in (CLS, DISTILLATION)]
    assert float(value(recipe, two_heads()).loss) == pytest.approx(sum(each) / 2, rel=1e-6)
    assert float(value(recipe, ClassificationOutput(CLS)).loss) == pytest.approx(each[0], rel=1e-6)
    assert float(value(recipe, ClassificationOutput(DISTILLATION)).loss) == pytest.approx(each[1], rel=1e-6)


def test_the_teacher_sees_the_students_photos_and_gets_no_gradient():
    gain = torch.nn.Parameter(torch.ones(()))
    seen = []

    def teach(photos):
        seen.append(photos)
        return TAUGHT * gain

    cls_logits, distillation_logits = (x.clone().requires_grad_() for x in (CLS, DISTILLATION))
    stub, given, generator = Stub(two_heads(cls_logits, distillation_logits)), batch(), torch.Generator()
    for kind in ("soft", "hard"):
        recipe = Recipe(distillation=kind, drop_path=0.3)
        classification(recipe, teach=teach)(stub, given, generator).loss.backward()
    assert all(photos is given.pixel_values for photos in (*seen, stub.asked))
    assert stub.options["drop_path"] == 0.3
    assert not stub.options["interpolate_pos_encoding"]
    assert stub.options["generator"] is generator
    shown = torch.ones(2, 3, 32, 32)
    classification(Recipe(distillation="hard"), teach=teach)(stub, given._replace(for_teacher=shown), generator)
    assert seen[-1] is shown
    assert stub.asked is given.pixel_values
    assert gain.grad is None
    assert cls_logits.grad.abs().sum() > 0 < distillation_logits.grad.abs().sum()


def test_photos_that_grow_reach_a_student_of_one_size():
    recipe = Recipe(shrunk_share=0.5, distillation="hard")
    config = dataclasses.replace(TINY, num_labels=3, distilled=True)
    student = Student(random_weights(config, "classification-with-teacher"))
    given = Batch(torch.randn(2, 3, 24, 24), TARGETS)

    def teach(photos):
        return TAUGHT

    classification(recipe, teach=teach)(student, given, torch.Generator()).loss.backward()
    assert student.get_parameter("pos_embed").grad.abs().sum() > 0
    plain = dataclasses.replace(recipe, shrunk_share=0.0)
    with pytest.raises(ValueError, match="made for 32x32 pixels, got 24x24"):
        classification(plain, teach=teach)(student, given, torch.Generator())


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="do not go together"):
        classification(Recipe(distillation="hard"), teach=None)
    with pytest.raises(ValueError, match="do not go together"):
        classification(Recipe(), teach=lambda photos: photos)
    with pytest.raises(ValueError, match=r"teacher's logits have shape \(2, 4\).*\(2, 3\).*same classes"):
        value(Recipe(distillation="hard"), two_heads(), taught=torch.zeros(2, 4))
    with pytest.raises(ValueError, match="needs a student with two heads"):
        value(Recipe(distillation="hard"), ClassificationOutput(CLS))


def test_losses_are_float32_under_autocast():
    student = Student(random_weights(TINY, "classification-with-teacher"))
    painter = Student(random_weights(TINY, "masked-image-modeling"))
    targets = torch.eye(5)[:2]
    with torch.autocast("cpu", torch.bfloat16):
        assert student(batch(targets).pixel_values).cls_logits.dtype == torch.bfloat16
        for recipe in (Recipe(), Recipe(distillation="soft")):
            teach = None if recipe.distillation == "none" else lambda photos: torch.zeros(2, 5)
            goal = classification(recipe, teach=teach)(student, batch(targets), torch.Generator())
            assert goal.loss.dtype == torch.float32
        masked = masked_image_modeling(Recipe(task="masked-image-modeling"), painter.config)
        assert masked(painter, batch(targets), torch.Generator()).loss.dtype == torch.float32


def test_masks_follow_from_the_generators_seed():
    recipe = Recipe(task="masked-image-modeling", mask_ratio=0.5, mask_block=2)
    stub = Stub(MaskedImageOutput(None, torch.tensor(1.5)))
    objective = masked_image_modeling(recipe, TINY)

    def masks(seed):
        goal = objective(stub, batch(torch.eye(5)), torch.Generator().manual_seed(seed))
        assert goal == (1.5, None)
        return stub.options["bool_masked_pos"]

    first = masks(3)
    assert torch.equal(first, masks(3))
    assert not torch.equal(first, masks(4))
    assert first.shape == (5, 16)
    assert first.sum(dim=1).tolist() == [8] * 5  # half of the four squares
    squares = first.reshape(5, 2, 2, 2, 2).permute(0, 1, 3, 2, 4).flatten(3)  # (batch, rows, columns, patches of one)
    assert torch.equal(squares.any(dim=3), squares.all(dim=3))
    one_hidden = dataclasses.replace(recipe, mask_ratio=0.25, mask_block=1)
    masked_image_modeling(one_hidden, TINY)(stub, batch(torch.eye(5)), torch.Generator())
    assert stub.options["bool_masked_pos"].sum(dim=1).tolist() == [4] * 5


def test_drop_path_and_the_generator_reach_the_painter():
    stub = Stub(MaskedImageOutput(None, torch.tensor(1.5)))
    generator = torch.Generator().manual_seed(5)
    masked_image_modeling(Recipe(task="masked-image-modeling", drop_path=0.3), TINY)(stub, batch(), generator)
    assert stub.options["drop_path"] == 0.3
    assert stub.options["generator"] is generator


def test_only_hidden_pixels_teach_the_painter():
    painter = Student(random_weights(TINY, "masked-image-modeling"))
    kept = []

    class Keeping(torch.nn.Module):
        def forward(self, pixel_values, **options):
            output = painter(pixel_values, **options)
            output.reconstruction.retain_grad()
            kept.append((output.reconstruction, options["bool_masked_pos"]))
            return output

    recipe = Recipe(task="masked-image-modeling", drop_path=0.0)
    masked_image_modeling(recipe, TINY)(Keeping(), batch(), torch.Generator().manual_seed(1)).loss.backward()
    drawn, hidden = kept[0]
    plane = hidden.reshape(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand_as(drawn)
    assert torch.equal(drawn.grad != 0, plane)
