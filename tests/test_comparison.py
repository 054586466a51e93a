"""compare on weights whose attention is sharp: both backends agree, in every dtype, and mistakes still show."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, configs, random_mask, random_pixels, random_weights, seeds, sharpened, tasks

import deit_ref
from deit_ref.comparison import BOUNDS, compared
from deit_ref.torch_backend import activations, attention, encoder, layers, positions, tokens
from deit_ref.trace import Trace

# Deep enough for a difference to pass through several softmaxes.
DEEP = dataclasses.replace(TINY, num_hidden_layers=4)


def largest_score(comparison):
    return max(row.largest for row in comparison.rows if row.name.endswith("attention.scores"))


def sharp(seed=0, std=0.08, config=DEEP, task="classification", **options):
    return sharpened(random_weights(config, task, seed=seed, std=std, **options))


@pytest.mark.parametrize("dtype", BOUNDS)
def test_sharp_attention_agrees(dtype):
    for seed in range(5):
        comparison = deit_ref.compare(sharp(seed), pixel_values=random_pixels(seed=seed), dtype=dtype)
        assert largest_score(comparison) > 50
        assert comparison.agrees, str(comparison)


def test_what_rounding_leaves_unproven_is_said():
    pixels = random_pixels()
    narrow, wide = (deit_ref.compare(sharp(), pixel_values=pixels, dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert narrow.unproven[0] == "blocks.0.attention.probabilities"
    said = str(narrow).splitlines()[-1]
    assert said.startswith(
        f"Nothing is proven of {len(narrow.unproven)} of {len(narrow.rows)} steps, from blocks.0.atten"
    )
    assert wide.unproven == ()
    assert str(wide).splitlines()[-1].startswith("NumPy and torch agree: ")


def test_the_old_bound_is_too_small_for_it():
    """In float32 some step after a softmax differs by more than 1e-5, and by less than its own bound."""
    rows = [
        row
        for seed in range(40)
        for row in deit_ref.compare(sharp(seed, std=0.1), pixel_values=random_pixels(seed=seed)).rows
    ]
    beyond = [row for row in rows if row.difference > BOUNDS["float32"]]
    assert beyond
    assert all(row.difference <= row.bound for row in rows)
    assert all(row.name != "blocks.0.norm1" and not row.name.startswith("blocks.0.attention.s") for row in beyond)


@given(data=st.data(), seed=seeds, dtype=st.sampled_from(["float32", "float64"]))
def test_every_step_of_sharp_weights(data, seed, dtype):
    config = data.draw(configs() if dtype == "float64" else configs(num_labels=5), label="config")
    config = dataclasses.replace(config, hidden_act="gelu", pooler_act="tanh")
    std = data.draw(st.sampled_from([0.02, 0.05, 0.1]), label="std")
    weights = sharp(seed, std, config, data.draw(tasks(config), label="task"), dtype=np.dtype(dtype).type)
    pixels = random_pixels(config, seed=seed, dtype=np.dtype(dtype).type)
    options = {}
    if data.draw(st.booleans(), label="mask"):
        options["attention_mask"] = random_mask((2, config.num_prefix_tokens + config.num_patches))
    comparison = deit_ref.compare(weights, pixel_values=pixels, **options)
    assert comparison.bound == BOUNDS[dtype]
    assert comparison.agrees, str(comparison)


def test_the_bound_grows_by_what_softmax_lets_in():
    """By hand: two scores that differ by 0.001 make shares that differ by up to e^0.002 - 1 of the largest."""
    book, mirror = Trace(), Trace()
    steps = {
        "q": (np.ones(2), np.ones(2)),
        "attention.scores": (np.array([0.0, 300.0]), np.array([0.0, 300.001])),
        "attention.probabilities": (np.array([0.0, 1.0]), np.array([0.0, 1.0])),
        "attention.context": (np.array([0.0, 2.0]), np.array([0.0, 2.0002])),
        "attention.proj": (np.array([0.0, 2.0]), np.array([0.0, 2.0004])),
        "output": (np.ones(2), np.ones(2)),
    }
    for name, (one, other) in steps.items():
        book._record(name, one)
        mirror._record(name, other)
    rows = compared(book, mirror, dtype="float32").rows
    grown = 1e-5 + np.expm1(0.002)
    expected = [1e-5, 1e-5, grown, grown, 1e-5 + 4 * 1e-4, 1e-5 + 4 * 2e-4]
    assert [row.bound for row in rows] == pytest.approx(expected, rel=1e-6)
    assert [row.difference for row in rows] == pytest.approx([0, 0.001 / 300, 0, 1e-4, 2e-4, 0], rel=1e-6)


def wrong_scale(q, k, v, **options):
    return right["scaled_dot_product_attention"](q * 1.0001, k, v, **options)


def swapped_heads(x):
    return x.transpose(1, 2).flip(2).flatten(2)


def another_eps(weights, x, *, eps):
    return right["layer_norm"](weights, x, eps=1e-3)


def no_bias(weights, x):
    return torch.nn.functional.linear(x, weights.weight)


def shifted(pos_embed, x, **options):
    return right["add_pos_embed"](pos_embed.roll(1, 1), x, **options)


def half(x):
    return right["softmax"](x.to(torch.bfloat16)).float()


def swapped_tokens(cls_token, dist_token, x):
    return right["prepend_tokens"](dist_token, cls_token, x)


def without_residual(weights, x, **options):
    return right["encoder_block"](weights, x, **options) - (x - 1) * 1e-3


right = {
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    "layer_norm": layers.layer_norm,
    "add_pos_embed": positions.add_pos_embed,
    "softmax": layers.softmax,
    "prepend_tokens": tokens.prepend_tokens,
    "encoder_block": encoder.encoder_block,
}
MISTAKES = {
    "tanh GELU": (activations.ACTIVATIONS, "gelu", activations.gelu_tanh, "blocks.0.mlp.activation"),
    "scale": (attention, "scaled_dot_product_attention", wrong_scale, "blocks.0.attention.scores"),
    "order of heads": (attention, "merge_heads", swapped_heads, "blocks.0.attention.context"),
    "eps": (encoder, "layer_norm", another_eps, "blocks.0.norm1"),
    "bias": (attention, "linear", no_bias, "blocks.0.attention.q"),
    "positions": (tokens, "add_pos_embed", shifted, "pos_embed"),
    "half a softmax": (attention, "softmax", half, "blocks.0.attention.probabilities"),
    "order of tokens": (tokens, "prepend_tokens", swapped_tokens, "tokens"),
    "residual": (encoder, "encoder_block", without_residual, "blocks.1.norm1"),
}  # fmt: skip


@pytest.mark.parametrize(("place", "name", "wrong", "shows"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_show_where_they_enter(monkeypatch, place, name, wrong, shows):
    weights, pixels = sharp(), random_pixels()
    assert deit_ref.compare(weights, pixel_values=pixels).agrees
    (monkeypatch.setitem if isinstance(place, dict) else monkeypatch.setattr)(place, name, wrong)
    comparison = deit_ref.compare(weights, pixel_values=pixels)
    beyond = [row.name for row in comparison.rows if not row.difference <= row.bound]
    assert not comparison.agrees
    assert beyond[0] == shows
