"""Evaluation: shares by hand, whatever the batch; guesses for hidden pixels without a model."""

import numpy as np
import pytest
import torch
from strategies import TINY

from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import MaskedImageOutput, TeacherOutput
from deit_ref.training.evaluate import answered, baselines, evaluate, reconstruction_error
from deit_ref.training.recipe import Recipe

CPU = torch.device("cpu")
AS_IT_IS = ImageProcessing(size=8, crop_size=8, image_mean=0.0, image_std=1.0)
NAMES = tuple("abcdefgh")
# The brightness of a photo says which logits it gets.
LABELS = np.array([0, 1, 2, 3, 0], np.int64)
LOGITS = torch.tensor(
    [
        [9.0, 1, 2, 3, 4, 5, 6, 7],  # right
        [9.0, 8, 7, 6, 5, 4, 3, 2],  # second
        [9.0, 8, 0, 7, 6, 5, 4, 3],  # last
        [1.0, 2, 3, 9, 0, 0, 0, 0],  # right
        [1.0, 9, 8, 7, 6, 5, 4, 3],  # last
    ]
)


def images(count=5):
    return ImageSet(
        LABELS[:count], NAMES, [str(i) for i in range(count)], lambda i: np.full((8, 8, 3), 10 * i, np.uint8)
    )


def places(pixel_values):
    return (pixel_values[:, 0, 0, 0] * 25.5).round().long()


def two_heads(pixel_values):
    logits = LOGITS[places(pixel_values)]
    return TeacherOutput(logits, logits.roll(1, dims=1), -logits)


@pytest.mark.parametrize("batch_size", [1, 2, 256])
def test_shares_by_hand(batch_size):
    found = evaluate(lambda x: LOGITS[places(x)], images(), AS_IT_IS, device=CPU, batch_size=batch_size)
    losses = torch.nn.functional.cross_entropy(LOGITS, torch.from_numpy(LABELS), reduction="none")
    assert found["loss"] == pytest.approx(float(losses.mean()), rel=1e-6)
    assert (found["photos"], found["top1"], found["top5"]) == (5, 0.4, 0.6)
    assert found["per_class"] == {"a": 0.5, "b": 0.0, "c": 0.0, "d": 1.0}  # of e to h there are no photos
    assert not {"cls_top1", "distillation_top1"} & {*found}


def test_nothing_hidden_is_nothing_to_measure():
    recipe = Recipe(task="masked-image-modeling", mask_ratio=0)
    with pytest.raises(ValueError, match="mask_ratio 0 hides no patch"):
        reconstruction_error(lambda x: x, images(), AS_IT_IS, recipe, TINY, device=CPU)


def test_each_head_is_counted():
    found = evaluate(two_heads, images(), AS_IT_IS, device=CPU)
    # One place to the right, only the second photo's 9 stands where its label is; the least logits fit two.
    assert (found["top1"], found["cls_top1"], found["distillation_top1"]) == (0.4, 0.2, 0.4)


def test_what_is_answered_by_hand():
    found = answered(two_heads, images(), AS_IT_IS, device=CPU, batch_size=2)
    assert found.answers.tolist() == [0, 0, 0, 3, 1]
    assert found.probabilities.tolist() == pytest.approx(LOGITS.softmax(dim=1).amax(dim=1).tolist(), rel=1e-6)
    assert found.in_top5.tolist() == [True, True, False, True, False]
    assert {name: right.sum() for name, right in found.head_is_right.items()} == {
        "cls_top1": 1,
        "distillation_top1": 2,
    }


def test_processes_share_the_photos(monkeypatch):
    """Each fills its own places, and the sum has all of them."""
    parts = []
    for rank in (0, 1):
        sums = parts.append([]) or parts[-1]
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda value, sums=sums: sums.append(value.clone()))
        answered(two_heads, images(), AS_IT_IS, device=CPU, rank=rank, world=2)
    whole = answered(two_heads, images(), AS_IT_IS, device=CPU)
    sums = [(first + second).numpy() for first, second in zip(*parts, strict=True)]
    for one, other in zip(sums, (whole.answers, whole.probabilities, whole.losses, whole.in_top5), strict=False):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="1 photos cannot be divided among 2 processes"):
        evaluate(two_heads, images(1), AS_IT_IS, device=CPU, rank=0, world=2)


def test_the_mean_color_is_that_of_what_is_visible():
    x = torch.zeros(1, 2, 4, 4)
    x[0, 0, :, 2:], x[0, 1, :2] = 1.0, 5.0
    mean_color, smooth = baselines(x, torch.tensor([[True, False, False, False]]), patch_shape=(2, 2))
    assert mean_color[0, :, 0, 0].tolist() == pytest.approx([8 / 12, 20 / 12])
    torch.testing.assert_close(smooth[..., 2:], x[..., 2:], rtol=0, atol=0)
    hidden_everything, _ = baselines(x, torch.ones(1, 4, dtype=torch.bool), patch_shape=(2, 2))
    assert hidden_everything.abs().max() == 0


def test_neighbors_continue_a_ramp():
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[0, [5, 6, 9]] = True
    mean_color, smooth = baselines(ramp, mask, patch_shape=(4, 4))
    assert (smooth - ramp).abs().max() < 1e-2
    assert (mean_color - ramp).abs().max() > 0.3


def test_reconstruction_error_is_a_mean_over_hidden_pixels():
    def model(pixel_values, *, bool_masked_pos):
        return MaskedImageOutput(pixel_values + 0.25)

    recipe = Recipe(task="masked-image-modeling", mask_ratio=0.5, mask_block=3)
    processing = ImageProcessing(size=32, crop_size=32, image_mean=0.0, image_std=1.0)
    draw = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    photos = ImageSet(LABELS, NAMES, list("01234"), lambda i: draw[i])
    found = [
        reconstruction_error(model, photos, processing, recipe, TINY, device=CPU, batch_size=batch_size)
        for batch_size in (1, 3, 256)
    ]
    assert found[0]["photos"] == 5
    assert found[0]["masked_l1"] == pytest.approx(0.25, rel=1e-5)
    assert 0.2 < found[0]["mean_color"] < 0.3  # a uniform number and its mean differ by a quarter
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_at_the_border_the_photo_goes_on_as_it_ends():
    """A photo of one color is guessed, also where a corner is hidden, and beyond the border there is no black."""
    x = torch.full((1, 1, 8, 8), 4.0)
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[0, [0, 1, 7, 15]] = True
    for guess in baselines(x, mask, patch_shape=(2, 2)):
        torch.testing.assert_close(guess, x)


def test_what_is_hidden_for_an_error_is_what_the_recipe_says():
    seen = []

    def model(pixel_values, *, bool_masked_pos):
        seen.append(bool_masked_pos)
        return MaskedImageOutput(pixel_values)

    processing = ImageProcessing(size=32, crop_size=32)
    for block, ratio, hidden in ((1, 0.25, 4), (2, 0.5, 8), (4, 0.1, 16)):
        seen.clear()
        recipe = Recipe(task="masked-image-modeling", mask_ratio=ratio, mask_block=block)
        reconstruction_error(model, images(2), processing, recipe, TINY, device=CPU, batch_size=2)
        masks = torch.cat(seen)
        assert masks.sum(dim=1).tolist() == [hidden] * 2
        squares = masks.reshape(2, 4 // block, block, 4 // block, block)
        assert torch.equal(squares.any(dim=4).any(dim=2), squares.all(dim=4).all(dim=2))
        assert len({tuple(mask.tolist()) for mask in masks}) > 1 or block > 1  # each photo has its own


def test_each_of_the_four_neighbors_has_a_quarter():
    """One hidden pixel between four that differ; and a ramp in either direction goes on."""
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 0, 1], x[0, 0, 2, 1], x[0, 0, 1, 0], x[0, 0, 1, 2] = 1.0, 10.0, 100.0, 1000.0
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, 4] = True
    _, smooth = baselines(x, mask, patch_shape=(1, 1))
    assert float(smooth[0, 0, 1, 1]) == pytest.approx(1111 / 4)
    for ramp in (
        torch.linspace(-1, 1, 16).expand(1, 1, 16, 16),
        torch.linspace(-1, 1, 16)[:, None].expand(1, 1, 16, 16),
    ):
        hidden = torch.zeros(1, 16, dtype=torch.bool)
        hidden[0, 5] = True
        assert (baselines(ramp, hidden, patch_shape=(4, 4))[1] - ramp).abs().max() < 1e-2
