"""The main job: a folder written by transformers, through both backends, with the numbers of transformers.

The models are random, saved by `save_pretrained` and read by `load_weights`; every option of the documentation is
compared. Where transformers refuses or is wrong, the test says what is right and why.
"""

import dataclasses

import numpy as np
import pytest
import torch
import transformers
from both import BACKENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_mask
from tolerances import BOUNDS, assert_close, distance
from transformers.activations import ACT2FN

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.benchmark.fidelity import draw
from deit_ref.weights import named_arrays, weights_from_arrays

both_backends = pytest.mark.parametrize("backend", BACKENDS)

CLASSES = {
    "DeiTModel": ("DeiTConfig", {}),
    "DeiTModel with mask token": ("DeiTConfig", {"use_mask_token": True, "add_pooling_layer": False}),
    "DeiTForImageClassification": ("DeiTConfig", {}),
    "DeiTForImageClassificationWithTeacher": ("DeiTConfig", {}),
    "DeiTForMaskedImageModeling": ("DeiTConfig", {}),
    "ViTModel": ("ViTConfig", {}),
    "ViTForImageClassification": ("ViTConfig", {}),
    "ViTForMaskedImageModeling": ("ViTConfig", {}),
}
SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 32,
    "patch_size": 8,
    "encoder_stride": 8,
    "num_labels": 6,
}


def make_peer(name, folder, *, seed=0, gain=1.4, **sizes):
    """A transformers model with the weights of `fidelity.draw`, its folder, and our weights read from it."""
    config_class, options = CLASSES[name]
    config = getattr(transformers, config_class)(**{**SIZES, **sizes})
    peer = getattr(transformers, name.split()[0])(config, **options).eval()
    draw(peer, seed=seed, gain=gain)
    peer.set_attn_implementation("eager")  # the one that can return attentions
    peer.save_pretrained(folder)
    return peer, deit_ref.load_weights(folder)


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    return {name: make_peer(name, tmp_path_factory.mktemp("peer") / "model") for name in CLASSES}


@pytest.fixture(params=CLASSES)
def pair(request, peers):
    return peers[request.param]


def pixels(height=32, width=32, *, batch=2, seed=0, channels=3):
    return np.random.default_rng(seed).standard_normal((batch, channels, height, width)).astype(np.float32)


def assert_same_output(peer, weights, x, *, backends=BACKENDS, peer_options=None, **options):
    """Every field that transformers returns, and none that it does not."""
    peer_options = peer_options if peer_options is not None else options
    with torch.no_grad():
        expected = peer(
            torch.from_numpy(x),
            **{k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in peer_options.items()},
        )
    for backend in backends:
        actual = deit_ref.forward(weights, pixel_values=x, backend=backend, **options)
        for field, value in vars(actual).items():
            if field in ("class_names", "problem_type"):
                continue
            other = getattr(expected, field)
            if isinstance(value, tuple):
                assert len(value) == len(other)
                for a, b in zip(value, other, strict=True):
                    assert_close(a, b, "transformers", field)
            elif value is None:
                assert other is None, field
            else:
                assert_close(value, other, "transformers", field)


def test_plain(pair):
    assert_same_output(*pair, pixels())


def test_hidden_states_and_attentions(pair):
    peer, weights = pair
    assert_same_output(peer, weights, pixels(), output_hidden_states=True, output_attentions=True)


def test_against_sdpa_too(pair):
    peer, weights = pair
    peer.set_attn_implementation("sdpa")
    try:
        assert_same_output(peer, weights, pixels())
    finally:
        peer.set_attn_implementation("eager")


@pytest.mark.parametrize("size", [(64, 64), (16, 16)])
def test_interpolated_positions(pair, size):
    peer, weights = pair
    assert_same_output(peer, weights, pixels(*size), interpolate_pos_encoding=True)


@pytest.mark.parametrize("size", [(48, 24), (64, 16), (8, 40)])
@pytest.mark.parametrize("name", [name for name in CLASSES if "MaskedImage" not in name])
def test_interpolated_positions_of_other_shapes(peers, name, size):
    """For masked image modeling see test_masked_image_modeling_of_other_sizes."""
    assert_same_output(*peers[name], pixels(*size), interpolate_pos_encoding=True)


def test_attention_mask(peers):
    for name, (peer, weights) in peers.items():
        tokens = weights.config.num_prefix_tokens + 16
        mask = random_mask((2, tokens)).astype(np.int64)
        assert_same_output(peer, weights, pixels(), attention_mask=mask, output_attentions=True)
        everything = deit_ref.forward(weights, pixel_values=pixels(), attention_mask=np.ones_like(mask))
        plain = deit_ref.forward(weights, pixel_values=pixels())
        assert_close(*(next(iter(vars(x).values())) for x in (everything, plain)), "float32", name)


@pytest.mark.parametrize(
    "name", ["DeiTModel with mask token", "DeiTForMaskedImageModeling", "ViTForMaskedImageModeling"]
)
@pytest.mark.parametrize("kind", ["drawn", "none", "all"])
def test_masked_positions(peers, name, kind):
    mask = {"drawn": random_mask((2, 16)), "none": np.zeros((2, 16), bool), "all": np.ones((2, 16), bool)}[kind]
    assert_same_output(*peers[name], pixels(), bool_masked_pos=mask)


def test_fractional_masks_blend(peers):
    mask = np.random.default_rng(0).random((2, 16)).astype(np.float32)
    assert_same_output(*peers["DeiTModel with mask token"], pixels(), bool_masked_pos=mask)


@pytest.mark.parametrize("name", ["DeiTForImageClassification", "ViTForImageClassification"])
def test_labels(peers, name, tmp_path):
    peer, weights = peers[name]
    labels = np.array([4, 0])
    assert_same_output(peer, weights, pixels(), labels=labels)
    assert_same_output(peer, weights, pixels(), labels=np.array([-100, 3]))
    # transformers has now written its guess into its config; ours decides anew with each call (trap 19)
    many = np.array([[0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]], np.float32)
    peer.config.problem_type = None
    assert_same_output(peer, weights, pixels(), labels=many)
    peer.config.problem_type = None
    one, our_one = make_peer(name, tmp_path / "one", num_labels=1)
    assert_same_output(one, our_one, pixels(), labels=np.array([0.5, -2.0], np.float32))
    many_real = dataclasses.replace(weights, config=dataclasses.replace(weights.config, problem_type="regression"))
    peer.config.problem_type = "regression"
    assert_same_output(peer, many_real, pixels(), labels=many)
    peer.config.problem_type = None


@both_backends
def test_int32_labels_which_transformers_refuses(peers, backend):
    _, weights = peers["DeiTForImageClassification"]
    long, short = (
        deit_ref.forward(weights, pixel_values=pixels(), backend=backend, labels=np.array([4, 0], dtype)).loss
        for dtype in (np.int64, np.int32)
    )
    assert float(long) == float(short)


@pytest.mark.parametrize("name", sorted(set(ACT2FN) - {"prelu", "xielu"}))
def test_activations(name, tmp_path):
    peer, weights = make_peer("DeiTModel", tmp_path / "model", hidden_act=name, pooler_act=name)
    assert weights.config.hidden_act == name
    assert_same_output(peer, weights, pixels())


@pytest.mark.parametrize(
    "sizes",
    [
        {"qkv_bias": False},
        {"layer_norm_eps": 1e-6},
        {"num_channels": 1},
        {"pooler_output_size": 10},
        {"num_hidden_layers": 0},
        {"patch_size": 4, "encoder_stride": 4},
        {"num_attention_heads": 1},
        {"image_size": [16, 40]},
        {"image_size": [24, 32], "patch_size": [6, 16], "encoder_stride": 6},
        {"output_hidden_states": True, "output_attentions": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["DeiTModel", "ViTModel"])
def test_configs(name, sizes, tmp_path):
    peer, weights = make_peer(name, tmp_path / "model", **sizes)
    height, width = weights.config.image_shape
    assert_same_output(peer, weights, pixels(height, width, channels=weights.config.num_channels))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6), gain=st.floats(0.2, 1.6), batch=st.integers(1, 4), name=st.sampled_from(list(CLASSES))
)
def test_drawn_weights(tmp_path_factory, seed, gain, batch, name):
    peer, weights = make_peer(name, tmp_path_factory.mktemp("drawn") / "model", seed=seed, gain=gain)
    assert_same_output(peer, weights, pixels(batch=batch, seed=seed))


@pytest.mark.parametrize("gain", [0.3, 1.4])
def test_the_published_size(gain, tmp_path):
    """DeiT-Ti at 224 pixels, 198 tokens, 12 layers: the shapes of facebook/deit-tiny-distilled-patch16-224."""
    config = deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"]
    sizes = {name: getattr(config, name) for name in [*SIZES, "layer_norm_eps"]}
    peer, weights = make_peer("DeiTForImageClassificationWithTeacher", tmp_path / "model", gain=gain, **sizes)
    assert weights.config == config
    assert weights.num_parameters == 5_910_800
    assert_same_output(peer, weights, pixels(224, 224, batch=1))


def stretched_queries(weights):
    """As if scores were divided by a number that is 5% too small."""
    arrays, dim = dict(named_arrays(weights)), weights.config.hidden_size
    for name in arrays:
        if ".attn.qkv." in name:
            factors = np.where(np.arange(3 * dim) < dim, 1.05, 1).astype(np.float32)
            arrays[name] = arrays[name] * factors.reshape(-1, *[1] * (arrays[name].ndim - 1))
    return weights_from_arrays(arrays, weights.config, weights.task, image_processing=weights.image_processing)


MISTAKES = {
    "eps of 1e-6": lambda weights: with_config(weights, layer_norm_eps=1e-6),  # timm's
    "GELU's tanh form": lambda weights: with_config(weights, hidden_act="gelu_pytorch_tanh"),
    "another scale of scores": stretched_queries,
}


def with_config(weights, **changes):
    return dataclasses.replace(weights, config=dataclasses.replace(weights.config, **changes))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_seen(pair, mistake):
    """The weights that all of this is compared on show it, five times above the bound."""
    _, weights = pair
    right, wrong = (
        next(iter(vars(deit_ref.forward(one, pixel_values=pixels())).values()))
        for one in (weights, MISTAKES[mistake](weights))
    )
    assert distance(wrong, right) > 5 * BOUNDS["transformers"]


# Where transformers refuses or is wrong.


@both_backends
@pytest.mark.parametrize("name", ["DeiTModel", "DeiTForImageClassificationWithTeacher"])
def test_head_mask_multiplies_where_transformers_5_ignores_it(peers, name, backend):
    """A head of weight w is a head whose part of the output projection is multiplied by w: so we build it there."""
    peer, weights = peers[name]
    mask = np.array([[1, 0, 0.5, 1], [0, 0, 1, 1], [0.25, 1, 1, 0]], np.float32)
    x = torch.from_numpy(pixels())
    base = peer if name == "DeiTModel" else peer.deit
    with torch.no_grad():
        ignored, plain = (peer(x, **options)[0] for options in ({"head_mask": torch.from_numpy(mask)}, {}))
        assert (ignored == plain).all()
        for layer, row in zip(base.layers, mask, strict=True):
            layer.attention.o_proj.weight.mul_(torch.from_numpy(row).repeat_interleave(12))
        expected = peer(x)[0]
        for i, layer in enumerate(base.layers):  # the fixture is shared: put the weights back
            layer.attention.o_proj.weight.copy_(torch.from_numpy(weights.blocks[i].attn.proj.weight))
    assert distance(expected, plain) > 1e-3
    output = deit_ref.forward(weights, pixel_values=pixels(), backend=backend, head_mask=mask, output_attentions=True)
    assert_close(next(iter(vars(output).values())), expected, "transformers")
    sums = as_numpy(output.attentions[0]).sum(-1)
    np.testing.assert_allclose(sums, np.broadcast_to(mask[0][:, None], sums.shape), rtol=1e-5, atol=1e-7)
    one_row = deit_ref.forward(weights, pixel_values=pixels(), backend=backend, head_mask=mask[0])
    same_rows = deit_ref.forward(weights, pixel_values=pixels(), backend=backend, head_mask=np.tile(mask[0], (3, 1)))
    assert_close(next(iter(vars(one_row).values())), next(iter(vars(same_rows).values())), "float32")


def test_selu_which_transformers_documents_and_refuses(tmp_path):
    with pytest.raises(KeyError, match="selu"):
        make_peer("DeiTModel", tmp_path / "model", hidden_act="selu")
    peer, weights = make_peer("DeiTModel", tmp_path / "model", hidden_act="relu")
    for layer in peer.layers:
        layer.mlp.activation_fn = torch.nn.SELU()
    weights = dataclasses.replace(weights, config=dataclasses.replace(weights.config, hidden_act="selu"))
    assert_same_output(peer, weights, pixels())


@both_backends
def test_interpolation_from_a_grid_that_is_not_square(tmp_path, backend):
    """transformers takes the root of the number of positions for both sides; the right answer is torch's bicubic."""
    peer, weights = make_peer("DeiTModel", tmp_path / "model", image_size=[16, 40])
    x = pixels(32, 24)
    with pytest.raises(RuntimeError, match="shape"):
        peer(torch.from_numpy(x), interpolate_pos_encoding=True)
    grid = torch.from_numpy(weights.pos_embed[:, 2:]).reshape(1, 2, 5, 48).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(4, 3), mode="bicubic", align_corners=False)
    moved = np.concatenate([weights.pos_embed[:, :2], grid.permute(0, 2, 3, 1).reshape(1, -1, 48).numpy()], axis=1)
    with torch.no_grad():
        peer.embeddings.position_embeddings = torch.nn.Parameter(torch.from_numpy(moved))
        peer.embeddings.image_size = (32, 24)
        expected = peer(torch.from_numpy(x)).last_hidden_state
    actual = deit_ref.forward(weights, pixel_values=x, backend=backend, interpolate_pos_encoding=True)
    assert_close(actual.last_hidden_state, expected, "transformers")


@both_backends
@pytest.mark.parametrize("size", [(48, 24), (64, 16)])
def test_masked_image_modeling_of_other_sizes(peers, backend, size):
    """transformers refuses 48 x 24 and returns a 32 x 32 picture for 64 x 16; ours has the size of the input."""
    peer, weights = peers["DeiTForMaskedImageModeling"]
    x, rows, columns = pixels(*size), size[0] // 8, size[1] // 8
    mask = random_mask((2, rows * columns))
    options = {"bool_masked_pos": torch.from_numpy(mask), "interpolate_pos_encoding": True}
    with torch.no_grad():
        tokens = peer.deit(torch.from_numpy(x), **options).last_hidden_state[:, 2:]
        expected = peer.decoder(tokens.permute(0, 2, 1).reshape(2, 48, rows, columns))
    output = deit_ref.forward(
        weights, pixel_values=x, backend=backend, bool_masked_pos=mask, interpolate_pos_encoding=True
    )
    assert_close(output.reconstruction, expected, "transformers")
    assert tuple(output.reconstruction.shape) == x.shape
    hidden = np.kron(mask.reshape(2, 1, rows, columns), np.ones((1, 1, 8, 8)))
    loss = (np.abs(x - expected.numpy()) * hidden).sum() / (hidden.sum() + 1e-5) / 3
    assert float(output.loss) == pytest.approx(loss, rel=1e-5)


def test_the_shifted_slice_of_transformers_4(peers):
    """Version 4 took the tokens [1:-1] of DeiT models: reachable by name, and a different picture (trap 4)."""
    from deit_ref.numpy_backend.simmim import reconstruct

    peer, weights = peers["DeiTForMaskedImageModeling"]
    with torch.no_grad():
        tokens = peer.deit(torch.from_numpy(pixels())).last_hidden_state
        as_v4 = peer.decoder(tokens[:, 1:-1].permute(0, 2, 1).reshape(2, 48, 4, 4))
        right = peer(torch.from_numpy(pixels())).reconstruction
    assert_close(reconstruct(weights, tokens.numpy(), grid=(4, 4), shifted_slice=True), as_v4, "transformers")
    assert_close(reconstruct(weights, tokens.numpy(), grid=(4, 4)), right, "transformers")
    assert distance(as_v4, right) > 0.1


@both_backends
def test_sizes_that_would_be_cropped_are_refused(peers, backend):
    """transformers drops the last rows of a 35 x 35 image in silence (trap 7)."""
    peer, weights = peers["DeiTModel"]
    x = pixels(35, 35)
    with torch.no_grad():
        assert peer(torch.from_numpy(x), interpolate_pos_encoding=True).last_hidden_state.shape[1] == 18
    with pytest.raises(ValueError, match="35x35 pixels are not a multiple of 8x8"):
        deit_ref.forward(weights, pixel_values=x, backend=backend, interpolate_pos_encoding=True)


def test_our_folders_in_transformers(peers, tmp_path):
    """And back: what save_weights writes, transformers loads and computes alike."""
    for i, (name, (peer, weights)) in enumerate(peers.items()):
        deit_ref.save_weights(weights, tmp_path / str(i))
        _, options = CLASSES[name]
        again = type(peer).from_pretrained(tmp_path / str(i), **options).eval()
        with torch.no_grad():
            a, b = (next(iter(model(torch.from_numpy(pixels())).values())) for model in (again, peer))
        assert_close(a, b, "transformers", name)
