"""Weights: one tree for both backends, drawn by seed, converted without loss, refused when they do not fit."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from PIL import Image
from strategies import TINY, configs, random_weights, seeds

import deit_ref
from deit_ref.arrays import as_numpy, digest_of_arrays
from deit_ref.config import TASKS, DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.variants import VARIANTS
from deit_ref.weights import (
    Block,
    DeiTWeights,
    LayerNorm,
    Linear,
    array_shapes,
    draw_arrays,
    init_weights,
    map_weights,
    named_arrays,
    weights_from_arrays,
)

NAMES = ("a", "b", "c", "d", "e")


def arrays_of(weights):
    return dict(named_arrays(weights))


# --- the tree


def test_names_and_shapes_by_hand():
    config = DeiTConfig(
        8, 1, 2, 12, image_size=(8, 12), patch_size=(4, 6), num_labels=3, encoder_stride=(2, 3), pooler_output_size=5
    )
    expected = {
        "patch_embed.proj.weight": (8, 3, 4, 6),
        "patch_embed.proj.bias": (8,),
        "cls_token": (1, 1, 8),
        "dist_token": (1, 1, 8),
        "pos_embed": (1, 2 + 4, 8),
        "blocks.0.norm1.weight": (8,),
        "blocks.0.norm1.bias": (8,),
        "blocks.0.attn.qkv.weight": (24, 8),
        "blocks.0.attn.qkv.bias": (24,),
        "blocks.0.attn.proj.weight": (8, 8),
        "blocks.0.attn.proj.bias": (8,),
        "blocks.0.norm2.weight": (8,),
        "blocks.0.norm2.bias": (8,),
        "blocks.0.mlp.fc1.weight": (12, 8),
        "blocks.0.mlp.fc1.bias": (12,),
        "blocks.0.mlp.fc2.weight": (8, 12),
        "blocks.0.mlp.fc2.bias": (8,),
        "norm.weight": (8,),
        "norm.bias": (8,),
    }
    head = {"head.weight": (3, 8), "head.bias": (3,)}
    dist = {"head_dist.weight": (3, 8), "head_dist.bias": (3,)}
    mask = {"mask_token": (1, 1, 8)}
    assert array_shapes(config, "features", pooler=False) == expected
    assert array_shapes(config, "features") == expected | {"pooler.weight": (5, 8), "pooler.bias": (5,)}
    assert array_shapes(config, "classification") == expected | head
    assert array_shapes(config, "classification", mask_token=True) == expected | head | mask
    assert array_shapes(config, "classification-with-teacher") == expected | head | dist
    decoder = {"decoder.weight": (2 * 3 * 3, 8), "decoder.bias": (18,)}
    assert array_shapes(config, "masked-image-modeling") == expected | mask | decoder
    plain = dataclasses.replace(config, distilled=False, qkv_bias=False, num_labels=0)
    fewer = {name: shape for name, shape in expected.items() if name not in ("dist_token", "blocks.0.attn.qkv.bias")}
    assert array_shapes(plain, "classification") == fewer | {"pos_embed": (1, 5, 8)}


@given(configs(), seeds)
def test_every_array_has_its_place_in_the_tree(config, seed):
    for task in TASKS:
        if task == "classification-with-teacher" and not config.distilled:
            continue
        for mask_token in (False, True):
            shapes = array_shapes(config, task, mask_token=mask_token)
            weights = init_weights(config, task, seed=seed, mask_token=mask_token)
            found = {name: array.shape for name, array in named_arrays(weights)}
            assert list(found.items()) == list(shapes.items())
            assert weights.num_parameters == sum(int(np.prod(shape)) for shape in shapes.values())
            assert (weights.task, weights.config) == (task, config)


def test_names_lead_to_the_fields():
    """`weights.blocks[1].attn.qkv.weight` is the array of that name, for every name."""
    weights = random_weights(TINY, "classification-with-teacher", mask_token=True)
    for name, array in named_arrays(weights):
        found = weights
        for part in name.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        assert found is array, name
    assert len(weights.blocks) == 2
    assert isinstance(weights.blocks[0], Block)
    assert (weights.pooler, weights.decoder) == (None, None)


def test_repr_is_short():
    weights = init_weights(TINY, "classification", seed=0)
    text = "DeiTWeights(classification, 24,133 parameters, ndarray float32, 2 blocks of dim 32)"
    assert repr(weights) == text
    assert "Tensor torch.bfloat16" in repr(weights.to("torch", dtype="bfloat16"))


def test_trees_are_compared_by_identity_and_can_be_keys():
    weights = init_weights(TINY, "classification", seed=0)
    assert weights != init_weights(TINY, "classification", seed=0)
    assert {weights: 1}[weights] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        weights.head = None


# --- init_weights


def test_the_seed_decides():
    one, again, other = (
        arrays_of(init_weights(TINY, "classification-with-teacher", seed=seed, mask_token=True)) for seed in (3, 3, 4)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], again[name])
        drawn = not name.endswith("bias") and "norm" not in name
        assert (one[name] == other[name]).mean() == (0 if drawn else 1), name


def test_what_is_drawn_and_what_is_not():
    config = dataclasses.replace(TINY, hidden_size=64, intermediate_size=96, initializer_range=0.03)
    for task in TASKS:
        for name, array in named_arrays(init_weights(config, task, seed=7)):
            assert array.dtype == np.float32
            if name.endswith("bias"):
                assert (array == 0).all(), name
            elif "norm" in name:
                assert (array == 1).all(), name
            else:
                # transformers sets tokens and positions to 0, which makes cls and dist the same until trained
                assert (array != 0).all(), name
                assert len(np.unique(array)) > 0.95 * array.size, name
                spread = 5 / np.sqrt(2 * array.size)
                assert array.std() == pytest.approx(0.03, rel=spread), name
                assert abs(array.mean()) < 5 * 0.03 / np.sqrt(array.size), name


def test_no_two_arrays_are_alike():
    weights = init_weights(TINY, "classification-with-teacher", seed=0)
    assert not np.array_equal(weights.cls_token, weights.dist_token)
    assert not np.array_equal(weights.head.weight, weights.head_dist.weight)
    assert not np.array_equal(weights.blocks[0].attn.qkv.weight, weights.blocks[1].attn.qkv.weight)


def test_cut_at_two_and_not_at_two_standard_deviations():
    wide = init_weights(dataclasses.replace(TINY, initializer_range=3.0), "features", seed=0).pos_embed
    assert 1.9 < abs(wide).max() <= 2
    assert abs(wide[abs(wide) < 2]).size == wide.size  # drawn again, not set to the border
    assert wide.std() == pytest.approx(1.11, abs=0.1)  # nearly uniform between -2 and 2: 2/sqrt(3) = 1.15
    usual = init_weights(TINY, "features", seed=0).blocks[0].mlp.fc1.weight
    assert abs(usual).max() > 3 * 0.02
    assert (init_weights(dataclasses.replace(TINY, initializer_range=0), "features", seed=0).cls_token == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "classify"}, r"task must be one of features, .*got 'classify'\. Did you mean 'classification'\?"),
        ({"seed": -1}, r"seed must be at least 0, got -1"),
        ({"seed": 1.5}, r"seed must be an integer, got 1\.5"),
        ({"class_names": ("a", "b")}, r"class_names must hold 5 names, one per label; got 2"),
    ],
)
def test_bad_arguments_of_init(arguments, message):
    with pytest.raises(ValueError, match=message):
        init_weights(TINY, **({"task": "classification", "seed": 0} | arguments))


def test_the_teacher_needs_a_distillation_token():
    plain = dataclasses.replace(TINY, distilled=False)
    with pytest.raises(ValueError, match=r'"classification-with-teacher" needs a distillation token: .*distilled=True'):
        init_weights(plain, "classification-with-teacher", seed=0)


def test_processing_fits_the_image_size():
    assert init_weights(TINY, "features", seed=0).image_processing == ImageProcessing.huggingface(32)
    own = ImageProcessing(size=5)
    assert init_weights(TINY, "features", seed=0, image_processing=own).image_processing is own
    tall = init_weights(dataclasses.replace(TINY, image_size=(48, 32)), "features", seed=0).image_processing
    assert tall.size == {"height": 48, "width": 32}
    assert not tall.do_center_crop
    assert tall.image_mean == (0.485, 0.456, 0.406)
    gray = dataclasses.replace(TINY, num_channels=1)
    assert init_weights(gray, "features", seed=0).config.num_channels == 1


@pytest.mark.parametrize("size", [32, (48, 32)])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_model_of_one_channel_reads_a_gray_photo(tmp_path, backend, size):
    config = dataclasses.replace(TINY, num_channels=1, image_size=size)
    weights = init_weights(config, "classification", seed=0)
    values = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "gray.png")
    Image.fromarray(values).convert("RGB").save(tmp_path / "color.png")
    expected = None
    for photo in (tmp_path / "gray.png", Image.fromarray(values), values, values[None]):
        pixels = deit_ref.preprocess(photo, weights.image_processing, backend=backend)
        assert pixels.shape[1] == 1
        logits = np.asarray(deit_ref.forward(weights, photo, backend=backend).logits)
        assert expected is None or (logits == expected).all()
        expected = logits
    white = deit_ref.preprocess(np.full((9, 9), 255, np.uint8), weights.image_processing)
    np.testing.assert_allclose(white, (1 - 0.449) / 0.226, rtol=1e-6)
    with pytest.raises(ValueError, match=r"The model reads images of 1 channels, got 3"):
        deit_ref.forward(weights, tmp_path / "color.png", backend=backend)
    folder = tmp_path / "saved"
    deit_ref.save_weights(weights, folder)
    assert deit_ref.load_weights(folder).image_processing == weights.image_processing
    (folder / "preprocessor_config.json").unlink()
    assert deit_ref.load_weights(folder).image_processing == weights.image_processing
    lone = deit_ref.load_weights(folder / "model.safetensors", config=config).image_processing
    assert not lone.do_convert_rgb


def test_a_published_model_by_its_name():
    by_name = init_weights("deit-tiny-patch16-224", "features", seed=0)
    assert by_name.config == VARIANTS["deit-tiny-patch16-224"]
    with pytest.raises(
        ValueError, match=r"config must be one of deit-tiny-patch16-224, .*Did you mean 'deit-tiny-dist"
    ):
        init_weights("deit-tiny-distiled-patch16-224", "features", seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_processing": {"size": 3}}, r"image_processing must be an ImageProcessing, .*got \{'size': 3\}"),
        ({"pooler": 1}, r"pooler must be True or False, got 1"),
        ({"mask_token": "no"}, r"mask_token must be True or False, got 'no'"),
        ({"class_names": "cat"}, r"class_names must be a list of strings, one per label; got 'cat'"),
        ({"class_names": [1, 2, 3, 4, 5]}, r"class_names must be a list of strings"),
        ({"config": {"hidden_size": 32}}, r"config must be a DeiTConfig or the name of a published model; got"),
        ({"config": dataclasses.replace(TINY, num_hidden_layers=10**9)}, r"config must ask for at most 4,096 layers"),
        ({"config": dataclasses.replace(TINY, intermediate_size=10**12)}, r"and 68,719,476,736 parameters"),
    ],
)
def test_what_init_takes_is_checked_before_anything_is_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        init_weights(**({"config": TINY, "task": "features", "seed": 0} | arguments))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": "cat"}, r"class_names must be a list of strings"),
        ({"class_names": ("a",)}, r"class_names must hold 5 names, one per label; got 1"),
        ({"head": None}, r"missing: head\.weight\."),
        ({"norm": LayerNorm(np.ones(32, np.float32), None)}, r"missing: norm\.bias\."),
        ({"head": np.zeros((5, 32), np.float32)}, r"unexpected: head\b"),
        ({"pos_embed": None}, r"missing: pos_embed"),
        ({"pos_embed": [[[0.0]]]}, r"weights must be arrays or tensors, got \[\[\[0\.0\]\]\] as pos_embed"),
        ({"pos_embed": torch.zeros(1, 18, 32)}, r"one backend, .*; got NumPy in .*torch.float32 in pos_embed: convert"),
        ({"image_processing": {}}, r"image_processing must be an ImageProcessing"),
        ({"config": dataclasses.replace(TINY, num_labels=6)}, r"head\.weight has shape \(5, 32\), expected \(6, 32\)"),
        ({"blocks": 5}, r"blocks must be a tuple of Blocks; got 5"),
        ({"task": "classify"}, r"task must be one of features"),
    ],
)
def test_a_tree_checks_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(random_weights(), **changes)


def test_numpy_computes_with_several_dtypes_and_torch_does_not():
    mixed = dataclasses.replace(random_weights(), pos_embed=np.zeros((1, 18, 32)))
    pixels = np.zeros((1, 3, 32, 32), np.float32)
    assert deit_ref.forward(mixed, pixel_values=pixels).logits.dtype == np.float64
    with pytest.raises(ValueError, match=r"tensors of one dtype; got torch.float32 in .*, torch.float64 in pos_embed"):
        deit_ref.forward(mixed, pixel_values=pixels, backend="torch")
    for backend in ("numpy", "torch"):
        deit_ref.forward(mixed, pixel_values=pixels, backend=backend, dtype="float64")


def test_a_tree_may_lack_blocks_and_hold_the_names_as_a_list():
    weights = random_weights()
    shorter = dataclasses.replace(weights, blocks=list(weights.blocks[1:]), class_names=list(NAMES))
    bare = dataclasses.replace(weights, head=Linear(weights.head.weight))
    pixels = np.zeros((1, 3, 32, 32), np.float32)
    for backend in ("numpy", "torch"):
        assert deit_ref.forward(bare, pixel_values=pixels, backend=backend).logits.shape == (1, 5)
    assert (len(shorter.blocks), shorter.class_names) == (1, NAMES)
    assert len(dict(named_arrays(shorter))) == len(dict(named_arrays(weights))) - 12


# --- weights_from_arrays, map_weights


def wrong_arrays(change):
    arrays = draw_arrays(array_shapes(TINY, "classification"), std=0.02, seed=0)
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("blocks.1.attn.qkv.bias"), r"missing: blocks\.1\.attn\.qkv\.bias\. Check config"),
        (lambda arrays: arrays.pop("head.weight"), r"missing: head\.weight"),
        (lambda arrays: arrays.update(extra=np.zeros(3)), r"unexpected: extra\."),
        (lambda arrays: arrays.update({"blocks.2.norm1.bias": np.zeros(32)}), r"unexpected: blocks\.2\.norm1\.bias"),
        (
            lambda arrays: arrays.update(pos_embed=np.zeros((1, 17, 32))),
            r"pos_embed has shape \(1, 17, 32\), expected \(1, 18, 32\)",
        ),
        (
            lambda arrays: arrays.update({"blocks.0.mlp.fc1.weight": np.zeros((32, 64))}),
            r"blocks\.0\.mlp\.fc1\.weight has shape \(32, 64\), expected \(64, 32\)",
        ),
        (lambda arrays: arrays.update({"pooler.weight": np.zeros((32, 32))}), r"unexpected: pooler\.weight"),
        (lambda arrays: arrays.clear(), r"missing: patch_embed\.proj\.weight, .* and \d+ more"),
    ],
)
def test_arrays_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        weights_from_arrays(wrong_arrays(change), TINY, "classification", image_processing=ImageProcessing())
    assert str(caught.value).startswith("The weights do not fit the config; ")


def test_all_problems_are_named_at_once():
    def change(arrays):
        arrays["cls_tokens"] = arrays.pop("cls_token")
        arrays["norm.bias"] = np.zeros(31)

    with pytest.raises(ValueError, match=r"missing: cls_token; unexpected: cls_tokens; norm\.bias has shape \(31,\)"):
        weights_from_arrays(wrong_arrays(change), TINY, "classification", image_processing=ImageProcessing())


@pytest.mark.parametrize("task", TASKS)
def test_map_keeps_everything_but_the_arrays(task):
    processing = ImageProcessing(size=7)
    weights = init_weights(TINY, task, seed=0, mask_token=True, image_processing=processing, class_names=NAMES)
    doubled = map_weights(lambda array: array * 2, weights)
    assert isinstance(doubled, DeiTWeights)
    for field in ("config", "task", "image_processing", "class_names"):
        assert getattr(doubled, field) is getattr(weights, field)
    before, after = arrays_of(weights), arrays_of(doubled)
    assert list(before) == list(after)
    for name, array in before.items():
        np.testing.assert_array_equal(array * 2, after[name])


def test_map_keeps_a_model_without_pooler_and_bias():
    config = dataclasses.replace(TINY, qkv_bias=False, distilled=False)
    weights = map_weights(lambda array: array, init_weights(config, "features", seed=0, pooler=False))
    assert weights.pooler is None
    assert weights.dist_token is None
    assert weights.blocks[0].attn.qkv.bias is None


# --- to


@pytest.mark.parametrize("task", TASKS)
def test_to_torch_and_back(task):
    weights = random_weights(TINY, task, mask_token=True)
    tensors = weights.to("torch")
    for name, tensor in named_arrays(tensors):
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad
        np.testing.assert_array_equal(tensor.numpy(), arrays_of(weights)[name])
    back = arrays_of(tensors.to("numpy"))
    for name, array in named_arrays(weights):
        assert type(back[name]) is np.ndarray
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == np.float32


def test_to_other_dtypes():
    weights = random_weights()
    wide = weights.to("numpy", dtype="float64")
    assert {array.dtype for _, array in named_arrays(wide)} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(wide.pos_embed, weights.pos_embed)
    narrow = wide.to("numpy", dtype=np.float32)
    np.testing.assert_array_equal(narrow.pos_embed, weights.pos_embed)
    for name in ("float16", "bfloat16", "float32", "float64"):
        for dtype in (name, getattr(torch, name)):
            tensors = weights.to("torch", dtype=dtype)
            assert {tensor.dtype for _, tensor in named_arrays(tensors)} == {getattr(torch, name)}
    assert weights.to("torch", dtype=np.float64).pos_embed.dtype == torch.float64
    assert weights.to("torch", dtype=np.dtype("float16")).pos_embed.dtype == torch.float16
    half = weights.to("torch", dtype="bfloat16")
    assert half.to("torch").pos_embed.dtype == torch.bfloat16
    assert half.to("numpy").pos_embed.dtype == np.float32
    np.testing.assert_array_equal(half.to("numpy").pos_embed, half.pos_embed.float().numpy())


def test_gradients_do_not_follow_to_numpy():
    weights = map_weights(lambda tensor: tensor.requires_grad_(), random_weights().to("torch"))
    assert type(weights.to("numpy").head.bias) is np.ndarray
    assert weights.to("torch", dtype="float64").head.bias.grad_fn is not None


def test_read_only_arrays_are_copied():
    def read_only(array):
        array.flags.writeable = False
        return array

    weights = map_weights(read_only, random_weights())
    tensors = weights.to("torch")
    tensors.head.bias.add_(1)
    assert not np.array_equal(tensors.head.bias.numpy(), weights.head.bias)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "jax"}, r"backend must be one of numpy, torch; got 'jax'"),
        ({"backend": "pytorch"}, r"backend must be one of numpy, torch; got 'pytorch'\. Did you mean 'torch'\?"),
        (
            {"backend": "numpy", "dtype": "float16"},
            r"NumPy backend computes in float32 or float64, got dtype='float16'",
        ),
        (
            {"backend": "numpy", "dtype": torch.float32},
            r"NumPy backend computes in float32 or float64, got dtype=torch",
        ),
        ({"backend": "numpy", "device": "cpu"}, r"NumPy arrays have no device, got device='cpu': leave it out"),
        ({"backend": "torch", "dtype": "float8"}, r"dtype must be one of float16, bfloat16, float32, float64; got"),
        ({"backend": "torch", "dtype": torch.int8}, r"dtype must be one of .*got torch\.int8"),
        ({"backend": "torch", "dtype": 32}, r"dtype must be one of .*got 32"),
        ({"backend": "torch", "device": "gpu"}, r"device must name a device that torch finds .*got 'gpu'"),
        ({"backend": "torch", "device": "cuda:99"}, r"device must name a device that torch finds .*got 'cuda:99'"),
        ({"backend": "torch", "device": []}, r"device must name a device that torch finds .*got \[\]"),
    ],
)
def test_bad_arguments_of_to(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_weights().to(**arguments)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64", "bool", "float16", "float32", "float64"])
def test_tensors_become_arrays_of_their_own_dtype(kind):
    """But for float16, which is widened as bfloat16 is, so that NumPy computes with what it is good at."""
    found = as_numpy(torch.tensor([0, 1], dtype=getattr(torch, kind)))
    assert found.dtype == ("float32" if kind == "float16" else kind)
    assert as_numpy(torch.tensor([0.5], dtype=torch.bfloat16)).dtype == "float32"


def test_a_digest_tells_names_shapes_dtypes_and_values_apart():
    x = np.arange(6, dtype=np.float32)
    one = digest_of_arrays([("w", x)])
    others = [[("v", x)], [("w", x.reshape(2, 3))], [("w", x.reshape(3, 2))], [("w", x.astype(np.float64))],
              [("w", x + 1)], [("w", x), ("b", x)], [("w", x.view(np.int32))]]  # fmt: skip
    assert len({one, *map(digest_of_arrays, others)}) == 8
    assert digest_of_arrays([("w", torch.from_numpy(x))]) == one


def test_to_keeps_the_dtype_unless_another_is_asked_for():
    for dtype in (np.float32, np.float64):
        weights = random_weights(dtype=dtype)
        for there in ("numpy", "torch"):
            back = weights.to(there).to("numpy")
            assert {array.dtype for _, array in named_arrays(back)} == {np.dtype(dtype)}
            np.testing.assert_array_equal(back.head.weight, weights.head.weight)
            for asked in ("float32", "float64"):
                assert str(weights.to(there, dtype=asked).pos_embed.dtype).endswith(asked)
