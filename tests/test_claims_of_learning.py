"""What Parts II and III of the book say about torch and transformers 5, under "Where implementations differ"."""

import math

import pytest
import torch
import torch.nn.functional as F
from transformers import DeiTConfig, DeiTForImageClassification, DeiTForMaskedImageModeling
from transformers.activations import ACT2FN
from transformers.optimization import get_cosine_schedule_with_warmup

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SIZES |= {"image_size": 32, "patch_size": 8, "encoder_stride": 8, "num_labels": 3}


def test_transformers_cosine_begins_at_the_end_of_the_warm_up():
    """Chapter 11."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=30)
    rates = []
    for _ in range(21):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[10] == 1.0  # counted from the start of the training it would be below
    assert rates[20] == pytest.approx(0.5 * (1 + math.cos(math.pi * 10 / 20)))


@pytest.mark.parametrize(("kind", "left"), [(torch.optim.AdamW, 1 - 0.01 * 0.1), (torch.optim.Adam, 1 - 0.01)])
def test_torch_adam_divides_the_decay_and_adamw_multiplies_it_by_the_rate(kind, left):
    """Chapter 11: with a gradient of 0, Adam makes a whole step of the decay alone."""
    weight = torch.ones(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    kind([weight], lr=0.01, weight_decay=0.1).step()
    assert weight.item() == pytest.approx(left, abs=1e-6)


def test_torch_refuses_int32_labels_and_rectangular_tiles():
    """Chapters 9 and 13."""
    with pytest.raises(RuntimeError, match="Long or Byte, but got Int"):
        F.cross_entropy(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int32))
    with pytest.raises(TypeError, match="upscale_factor"):
        F.pixel_shuffle(torch.zeros(1, 8, 2, 2), (2, 4))


def test_the_problem_type_is_written_into_the_config():
    """Chapter 9."""
    model = DeiTForImageClassification(DeiTConfig(**SIZES)).eval()
    pixels = torch.zeros(2, 3, 32, 32)
    model(pixels, labels=torch.tensor([0, 1]))
    assert model.config.problem_type == "single_label_classification"
    with pytest.raises((ValueError, RuntimeError)):
        model(pixels, labels=torch.zeros(2, 3))


def test_a_grid_of_another_shape_is_drawn_as_a_square():
    """Chapter 13."""
    model = DeiTForMaskedImageModeling(DeiTConfig(**SIZES)).eval()
    drawn = model(torch.zeros(1, 3, 64, 16), interpolate_pos_encoding=True).reconstruction
    assert drawn.shape == (1, 3, 32, 32)


def test_selu_is_not_in_the_table():
    """Chapter 17."""
    with pytest.raises(KeyError):
        ACT2FN["selu"]
