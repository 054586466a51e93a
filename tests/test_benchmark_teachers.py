"""Teachers who answer together, and teachers who remember."""

import numpy as np
import pytest
import torch
from tiny_data import CLASSES, PLAIN

from deit_ref.benchmark.teachers import Asked, opened, remembered, together
from deit_ref.training.recipe import Recipe
from deit_ref.training.teacher import load_teacher, new_teacher, save_teacher

RECIPE = Recipe(**PLAIN)
CPU = torch.device("cpu")


def photos(seed=0, batch=4):
    return torch.rand(batch, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_one_teacher_is_asked_as_it_is(tmp_path):
    for seed in (0, 1):
        teacher = new_teacher(3, seed=seed, image_size=16, widths=(4, 4, 4))
        save_teacher(teacher, tmp_path / str(seed), class_names=CLASSES)
    asked, other = (opened(str(tmp_path / name), CLASSES, RECIPE, device=CPU) for name in ("0", "1"))
    even = photos() + photos().flip(3)  # their mirror images are themselves, so that one look is as good as two
    torch.testing.assert_close(asked(even), load_teacher(tmp_path / "0")[0](even))
    assert len(asked.digest) == 64
    assert asked.digest != other.digest
    with pytest.raises(ValueError, match="both must be the same"):
        opened(str(tmp_path / "0"), ("a", "b", "c"), RECIPE, device=CPU)


def test_several_answer_with_the_mean_of_their_probabilities():
    alone = [Asked(lambda x: 9 * x.mean(dim=(2, 3)), "one"), Asked(lambda x: -5 * x.amin(dim=(2, 3)), "two")]
    both = together(alone)
    expected = sum(each(photos()).softmax(1) for each in alone) / 2
    torch.testing.assert_close(both(photos()).softmax(1), expected)
    assert both.digest == together(alone).digest != together(alone[::-1]).digest


class Counting:
    """Answers with the mean color, and counts how often it is asked."""

    def __init__(self):
        self.times = 0

    def __call__(self, photos):
        self.times += 1
        return photos.mean(dim=(2, 3))


def test_what_was_answered_is_not_asked_again_and_no_other_batch_gets_it(tmp_path):
    counting = Counting()
    teacher = Asked(counting, "one")
    asked = remembered(teacher, tmp_path / "answers")
    assert asked.digest == "one"
    first = asked(photos())
    assert torch.equal(first, photos().mean(dim=(2, 3)))
    assert torch.equal(asked(photos()), first)
    again = remembered(teacher, tmp_path / "answers")  # another process later
    assert torch.equal(again(photos().clone()), first)
    assert counting.times == 1
    changed = photos()
    changed[3, 2, 15, 15] += 1e-3
    for other in (photos(1), photos().flip(0), changed):
        assert torch.equal(asked(other), other.mean(dim=(2, 3)))
    assert counting.times == 4
    with torch.autocast("cpu", torch.bfloat16):
        asked(photos())
    assert counting.times == 5
    assert torch.equal(remembered(Asked(counting, "another"), tmp_path / "answers")(photos()), first)
    assert counting.times == 6


def test_an_answer_in_bfloat16_is_kept_in_full_and_may_be_changed(tmp_path):
    asked = remembered(Asked(lambda x: x.mean(dim=(2, 3)).bfloat16(), "one"), tmp_path / "answers")
    first = asked(photos())
    assert first.dtype == torch.float32
    second = asked(photos())
    second += 1  # of its own memory, and no warning that it is read-only
    np.testing.assert_array_equal(asked(photos()).numpy(), first.numpy())
