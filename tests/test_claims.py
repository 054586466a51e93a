"""What Part I of the book says about transformers 5, under "Where implementations differ", on small random models."""

import inspect
import json
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.deit import modeling_deit

import deit_ref

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SIZES |= {"image_size": 32, "patch_size": 8, "num_labels": 3}


@pytest.fixture(scope="module")
def model():
    return transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**SIZES)).eval()


def pixels(height=32, width=32):
    return torch.linspace(-1, 1, 3 * height * width).reshape(1, 3, height, width)


def test_tokens_and_positions_start_at_zero(model):
    """Chapters 2 and 8."""
    embeddings = model.deit.embeddings
    for drawn in (embeddings.cls_token, embeddings.distillation_token, embeddings.position_embeddings):
        assert not drawn.any()


def test_a_mask_without_a_mask_token(model):
    """Chapter 2."""
    with pytest.raises(AttributeError):
        model.deit(pixels(), bool_masked_pos=torch.ones(1, 16, dtype=torch.bool))


def test_images_of_other_sizes(model):
    """Chapters 1 and 3: rows that do not fill a patch are left out; as many patches in a wrong order are refused."""
    odd = pixels(35, 35)
    cut = model(odd[:, :, :32, :32]).logits
    assert torch.equal(model(odd, interpolate_pos_encoding=True).logits, cut)
    with pytest.raises(ValueError, match="64"):
        model(pixels(64, 16))


def test_a_grid_that_is_not_square_runs_and_is_not_interpolated():
    """Chapter 3."""
    tall = transformers.DeiTModel(transformers.DeiTConfig(**{**SIZES, "image_size": (32, 16)})).eval()
    assert tall(pixels(32, 16)).last_hidden_state.shape == (1, 10, 16)
    with pytest.raises(RuntimeError, match="shape"):
        tall(pixels(64, 32), interpolate_pos_encoding=True)


def test_attentions_under_sdpa_are_empty_and_head_mask_does_nothing(model):
    """Chapters 5 and 8."""
    assert model(pixels(), output_attentions=True).attentions == ()
    assert torch.equal(model(pixels()).logits, model(pixels(), head_mask=torch.zeros(2, 2)).logits)


def test_heads_that_do_not_divide_dim_are_rounded():
    """Chapter 5."""
    sizes = {**SIZES, "hidden_size": 32, "num_attention_heads": 5}
    odd = transformers.DeiTModel(transformers.DeiTConfig(**sizes)).eval()
    assert odd.layers[0].attention.q_proj.weight.shape == (30, 32)
    assert odd(pixels()).last_hidden_state.shape == (1, 18, 32)
    with pytest.raises(ValueError, match="5"):
        deit_ref.DeiTConfig(**{name: size for name, size in sizes.items() if name != "num_labels"})


def test_labels_are_ignored_by_the_teacher_class(model):
    """Chapter 7."""
    assert "loss" not in model(pixels(), labels=torch.tensor([0]))


def test_what_a_wrong_eps_and_the_tanh_form_cost_is_as_measured():
    """Chapter 6 repeats two numbers of the table of fidelity."""
    docs = Path(__file__).parent.parent / "docs"
    text = (docs / "chapters" / "encoder.md").read_text(encoding="utf-8")
    rows = json.loads((docs / "data" / "fidelity.json").read_text(encoding="utf-8"))["rows"]
    measured = [value.replace("e-0", "e-") for what, value, _ in rows if what.startswith("for comparison")]
    assert len(measured) == 2
    assert all(number in text for number in measured)


def test_no_stochastic_depth_and_no_dropout_in_the_pooler():
    """Chapters 6 and 7."""
    assert "drop_path" not in inspect.getsource(modeling_deit).lower()
    assert "dropout" not in inspect.getsource(modeling_deit.DeiTPooler).lower()
