"""Checkpoints of other projects, in their names and containers: the right answer, or one line that says why not."""

import dataclasses
import json
import logging

import layouts
import numpy as np
import pytest
import torch
from layouts import PIXELS, vit, wrapped
from safetensors.torch import load_file
from tolerances import assert_close

import deit_ref
from deit_ref.checkpoints.original import _dictionaries

CASES = {f"{case.project}, {case.container}": case for case in layouts.cases()}


@pytest.fixture(autouse=True)
def quiet_transformers():
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def answer(weights, backend):
    output = deit_ref.forward(weights, pixel_values=PIXELS.numpy(), backend=backend, dtype="float64")
    return output.last_hidden_state if weights.task == "features" else output.logits


@pytest.mark.parametrize("name", CASES)
def test_every_layout(tmp_path, name):
    words, weights, expected = layouts.outcome(CASES[name], tmp_path)
    assert "\n" not in words
    assert len(words) < 1500
    if expected is None:
        assert weights is None, words
    else:
        assert weights is not None, words
        for backend in ("numpy", "torch"):
            assert_close(answer(weights, backend), expected, "float64", backend)


def test_the_table_says_what_happens():
    """After a change: python tests/layouts.py"""
    assert layouts.on_page() == layouts.table()


PREFIXES = (
    "module. _orig_mod. _orig_mod.module. module.module. model. net. backbone. encoder. student. base_model.model. "
    "timm_model. x.y.z."
).split()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_any_prefix(tmp_path, prefix, suffix):
    state, file = vit(), tmp_path / f"a{suffix}"
    save = torch.save if suffix == ".pth" else layouts.save_file
    save(wrapped(state, prefix), file)
    assert_close(answer(deit_ref.load_weights(file), "numpy"), layouts.run(state), "float64")


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "_checkpoint_wrapped_module._orig_mod.", "_fsdp_wrapped_module."])
@pytest.mark.parametrize("where", ["blocks.0.", "patch_embed.", "blocks.1.mlp.", "head."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_parts_that_torch_has_wrapped(tmp_path, wrapper, where, suffix):
    """torch.compile, FSDP and activation checkpointing of parts put their own word into the middle of names."""
    state, file = vit(), tmp_path / f"a{suffix}"
    save = torch.save if suffix == ".pth" else layouts.save_file
    inside = {name.replace(where, where + wrapper): tensor for name, tensor in state.items()}
    save(wrapped(inside, "module.") | {"module.blocks.1.norm1.bias": state["blocks.1.norm1.bias"]}, file)
    assert_close(answer(deit_ref.load_weights(file), "numpy"), layouts.run(state), "float64")
    torch.save(inside | state, tmp_path / "both.pth")
    with pytest.raises(ValueError, match=r"two spellings of one tensor|There are 2 models"):
        deit_ref.load_weights(tmp_path / "both.pth")


def test_transformers_blocks_that_torch_has_wrapped(tmp_path):
    source, _, expected = layouts.of_transformers("ViTModel", num_attention_heads=2)(tmp_path)
    state = load_file(source / "model.safetensors")
    torch.save({name.replace("layer.0.", "layer.0._orig_mod."): state[name] for name in state}, tmp_path / "a.pth")
    weights = deit_ref.load_weights(tmp_path / "a.pth")
    assert_close(answer(weights, "numpy"), expected, "float64")


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "net", "module", "ema", "weights.inner"])
def test_any_container(tmp_path, key):
    state, value = vit(), {"epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    outer, _, inner = key.partition(".")
    value[outer] = {inner: state} if inner else state
    torch.save(value, tmp_path / "a.ckpt")
    revision = "ema" if key == "ema" else None
    weights = deit_ref.load_weights(tmp_path / "a.ckpt", revision=revision)
    assert_close(answer(weights, "numpy"), layouts.run(state), "float64")
    assert deit_ref.load_weights(tmp_path / "a.ckpt", revision=key).task == "classification"


def test_a_dictionary_that_is_named_again_and_again_is_looked_at_once():
    inner = {str(i): {} for i in range(9)}
    middle = dict.fromkeys("abcdefg", inner)
    assert sorted(_dictionaries({"x": middle, "y": middle})) == ["", "x", "x.a"]


def test_a_lone_dinov2_of_transformers_has_its_own_eps(tmp_path, caplog):
    folder, _, expected = layouts.of_transformers("Dinov2Model", num_attention_heads=2)(tmp_path)
    (folder / "config.json").unlink()
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = deit_ref.load_weights(folder / "model.safetensors")
    assert "Guessed: layer_norm_eps = 1e-06, as for transformers' DINOv2 names." in caplog.messages
    assert_close(answer(weights, "numpy"), expected, "float64")


def test_what_was_folded_is_said_in_one_line(tmp_path, caplog):
    torch.save(vit(scale="gamma_{}", class_position=False), tmp_path / "a.pth")
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = deit_ref.load_weights(tmp_path / "a.pth")
    (line,) = [line for line in caplog.messages if line.startswith("Folded")]
    assert line == (
        "Folded: layer scale is multiplied into attn.proj and mlp.fc2 of every block; a row of zeros stands before "
        "pos_embed, where the class token has no position."
    )
    assert (weights.pos_embed[:, 0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_widened_before_it_is_folded(tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in vit(scale="ls{}.gamma").items()}
    torch.save(state, tmp_path / "a.pth")
    weights = deit_ref.load_weights(tmp_path / "a.pth")
    gamma, proj = (state[f"blocks.1.{name}"].float() for name in ("ls1.gamma", "attn.proj.weight"))
    np.testing.assert_array_equal(weights.blocks[1].attn.proj.weight, (gamma[:, None] * proj).numpy())


def test_a_folded_model_is_saved_as_a_plain_one(tmp_path):
    torch.save(vit(head=False, scale="ls{}.gamma"), tmp_path / "a.pth")
    weights = deit_ref.load_weights(tmp_path / "a.pth")
    deit_ref.save_weights(weights, tmp_path / "saved")
    np.testing.assert_array_equal(answer(deit_ref.load_weights(tmp_path / "saved"), "numpy"), answer(weights, "numpy"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.ls2.gamma"), r"There is no layer scale for blocks.1.mlp.fc2"),
        (
            lambda s: s.update({"blocks.1.gamma_2": torch.ones(128)}),
            r"blocks.1.gamma_2 are two spellings",
        ),
        (
            lambda s: s.update({"blocks.1.ls2.gamma": torch.ones(5)}),
            r"blocks.1.ls2.gamma has shape \(5,\), exp",
        ),
        (
            lambda s: s.update({"mask_token": torch.ones(1, 5)}),
            r"mask_token has shape \(1, 5\), expected \(",
        ),
    ],
)
def test_damaged_layer_scale(tmp_path, change, message):
    state = vit(scale="ls{}.gamma")
    change(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        deit_ref.load_weights(tmp_path / "a.pth")


@pytest.mark.parametrize(("width", "heads"), [(128, 2), (1280, 16), (1408, 16), (1152, 16), (1664, 16)])
def test_heads_of_wide_models_are_not_64_long(tmp_path, width, heads):
    """A wrong number of heads gives other logits, and no tensor tells it."""
    config = deit_ref.DeiTConfig(width, 0, heads, 8, image_size=4, patch_size=4, num_labels=2, distilled=False)
    weights = deit_ref.init_weights(config, "classification", seed=0)
    torch.save({n: torch.tensor(a) for n, a in deit_ref.weights.named_arrays(weights)}, tmp_path / "a.pth")
    assert deit_ref.load_weights(tmp_path / "a.pth").config.num_attention_heads == heads


# A head of another class count


@pytest.mark.parametrize("layout", ["original", "transformers"])
def test_a_head_for_other_classes(tmp_path, caplog, layout):
    state = vit()
    torch.save(state, tmp_path / "a.pth")
    source = tmp_path / "a.pth"
    if layout == "transformers":
        source = tmp_path / "folder"
        deit_ref.save_weights(deit_ref.load_weights(tmp_path / "a.pth"), source)
    config = dataclasses.replace(deit_ref.load_weights(source).config, num_labels=42)
    head = "classifier" if layout == "transformers" else "head"
    with pytest.raises(ValueError, match=rf"{head}.weight has shape .* Or pass seed= to draw a new {head}\.$"):
        deit_ref.load_weights(source, config=config)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = deit_ref.load_weights(source, config=config, seed=0)
    assert f"Replaced, because the config asks for another size: {head}." in caplog.messages
    assert "New weights, drawn from seed 0 and not yet trained: head.weight, head.bias." in caplog.messages
    expected = deit_ref.init_weights(config, "classification", seed=0)
    assert weights.head.weight.shape == expected.head.weight.shape == (42, 128)
    assert 0.01 < weights.head.weight.std() < 0.03
    np.testing.assert_array_equal(weights.norm.bias, state["norm.bias"])
    # The head that fits stays, seed or not.
    kept = deit_ref.load_weights(source, seed=0)
    np.testing.assert_array_equal(kept.head.weight, state["head.weight"])


# timm's config.json


def with_timm(folder, state=None, **changes):
    layouts.in_folder(vit() if state is None else state, layouts.timm_values(**changes), None)(folder)
    return folder / "model.safetensors"


def test_timm_config_beside_a_file(tmp_path, caplog):
    settings = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "lanczos", "crop_pct": 0.8}
    names = {"label_names": list("abcde"), "label_descriptions": {"b": "bee"}}
    arguments = {"num_heads": 4, "act_layer": "quick_gelu", "img_size": [12, 12]}
    file = with_timm(tmp_path, pretrained_cfg=settings, model_args=arguments, **names)
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = deit_ref.load_weights(file)
    steps = weights.image_processing
    assert (steps.size, steps.crop_size) == ({"shortest_edge": 15}, {"height": 12, "width": 12})
    assert (steps.image_mean, steps.image_std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (steps.resample, steps.crop_rounding) == ("lanczos", "round")
    assert (weights.config.num_attention_heads, weights.config.hidden_act) == (4, "quick_gelu")
    assert weights.class_names == ("a", "bee", "c", "d", "e")
    assert not any("Guessed: num_attention_heads" in line or "hidden_act" in line[:9] for line in caplog.messages)
    squash = with_timm(tmp_path, pretrained_cfg=settings | {"crop_mode": "squash"})
    assert deit_ref.load_weights(squash).image_processing.size == {"height": 15, "width": 15}
    # timm's defaults, and a crop that is not a whole number of pixels.
    steps = deit_ref.load_weights(with_timm(tmp_path, pretrained_cfg={"tag": "x"})).image_processing
    assert (steps.size, steps.resample) == ({"shortest_edge": 13}, "bilinear")
    steps = deit_ref.load_weights(with_timm(tmp_path, pretrained_cfg={"crop_pct": 0.95})).image_processing
    assert steps.size == {"shortest_edge": 12}
    config = dataclasses.replace(weights.config, num_labels=3)
    assert deit_ref.load_weights(file, config=config, seed=0).head.weight.shape == (3, 128)


def test_timm_config_that_does_not_fit(tmp_path):
    for changes, message in {
        "avg": ({"global_pool": "avg"}, r"config.json: global_pool is 'avg', so the head reads other tokens"),
        "in arguments": ({"model_args": {"global_pool": "map"}}, r"global_pool is 'map'"),
        "classes": ({"num_classes": 7}, r"num_classes is 7, and the head beside it has 5 classes"),
        "activation": ({"model_args": {"act_layer": "prelu"}}, r"act_layer='prelu' is an activation that is not known"),
        "at the top": ({"act_layer": "elu"}, r"act_layer='elu'"),
        "kind": ({"model_args": [1]}, r'"model_args" must be a JSON object, got \[1\]'),
        "names": ({"label_names": ["a", ["b"], "c", "d", "e"]}, r"config.json: label_names must be strings"),
        "heads": ({"model_args": {"num_heads": "2"}}, r"num_heads must be an integer"),
        "mean": ({"pretrained_cfg": {"mean": ["x"]}}, r"config.json: image_mean\[0\] must be a number"),
        "crop": ({"pretrained_cfg": {"crop_pct": -1}}, r"config.json: crop_pct must lie in"),
    }.values():
        with pytest.raises(ValueError, match=message):
            deit_ref.load_weights(with_timm(tmp_path, **changes))
    with pytest.warns(UserWarning, match="drops head"):
        weights = deit_ref.load_weights(with_timm(tmp_path, global_pool="avg"), task="features")
    assert weights.head is None


def test_unknown_arguments_of_timm_are_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "deit_ref"):
        deit_ref.load_weights(with_timm(tmp_path, model_args={"norm_layer": "rmsnorm"}))
    assert "timm's model_args norm_layer='rmsnorm' are not known here and may change the answers." in caplog.messages


def test_without_a_config_the_assumptions_are_said(tmp_path, caplog):
    torch.save(vit(), tmp_path / "a.pth")
    with caplog.at_level(logging.WARNING, "deit_ref"):
        deit_ref.load_weights(tmp_path / "a.pth")
    assert (
        "Guessed: hidden_act = gelu, pooler_act = tanh, and the head reads the class token, not a mean of patches."
        in caplog.messages
    )
    caplog.clear()
    torch.save(vit(head=False), tmp_path / "a.pth")
    with caplog.at_level(logging.WARNING, "deit_ref"):
        deit_ref.load_weights(tmp_path / "a.pth")
    assert "Guessed: hidden_act = gelu, pooler_act = tanh." in caplog.messages


# What is not a checkpoint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.safetensors",
            b"<html>\n",
            r"is not a safetensors file but a web page \(perhaps an error or a lo",
        ),
        (
            "a.bin",
            b"version https://git-lfs.github.com/spec/v1\noid",
            r"is not a file of torch.save but a git-lfs po",
        ),
        ("a.pt", b"{}", r"but a JSON file: the weights are in another one"),
        ("a.tar", b"\x1f\x8b\x08", r"but compressed by gzip: unpack it"),
        ("a.tar", b"x" * 257 + b"ustar" + bytes(300), r"but a tar archive: unpack it"),
        ("a.ckpt", bytes(4096), r"but nothing but zeros at its start, as a download that was broken off"),
        (
            "a.pth",
            b"Entry not found",
            r"not a file of torch.save but text that begins with 'Entry not found': download it ag",
        ),
        (
            "a.safetensors",
            b"Access\r\nto model is\trestricted",
            r"but text that begins with 'Access to model is restric",
        ),
        ("config.md", b"# A model", r"config.md is not a weight file by its name; what is read is a folder"),
        ("a.ckpt", b"BZh91AY&SY", r"but compressed by bzip2: unpack it"),
        ("a.bin", b"<!-- a page --><html>", r"but a web page \("),
        (
            "a.pth",
            b"RIFF\x24\x00\x00\x00WEBPVP8 ",
            r"not a file of torch.save but a picture \(WebP\) or a sound: photos are",
        ),
        ("a.pth", b"II*\x00", r"not a file of torch.save but a picture \(TIFF\)"),
        ("a.pth", b"MM\x00*", r"not a file of torch.save but a picture \(TIFF\)"),
        ("a.onnx", b"\x08\x0a", r"a.onnx is not a weight file by its name; what is read is a folder"),
        ("a.gguf", b"GGUF\x03", r"a.gguf is not a weight file by its name, but a GGUF file"),
        ("a.tflite", bytes(4) + b"TFL3", r"a.tflite is not a weight file by its name, but a TensorFlow Lite model"),
        ("a", b"", r"a is not a weight file by its name, but an empty file: download it again"),
        ("a.pth", b"\x80\x02}.", r"this is a pickle that torch.save has not written; nothing of it was run"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        deit_ref.load_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_pointers_in_place_of_json(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "x.safetensors"}}')
    layouts.save_file(vit(), tmp_path / "x.safetensors")
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(
        ValueError, match=rf"{name} is not JSON but a git-lfs pointer, .* run git lfs pull in the clone"
    ):
        deit_ref.load_weights(tmp_path)


def test_damaged_files_are_not_taken_for_others(tmp_path):
    torch.save(vit(), tmp_path / "a.pth")
    layouts.save_file(vit(), tmp_path / "a.safetensors")
    for name, message in {"a.pth": "not a whole file of torch.save", "a.safetensors": "not a whole safetens"}.items():
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(ValueError, match=rf"{name} is {message}.*: download"):
            deit_ref.load_weights(file)


def test_a_run_that_has_not_ended(tmp_path):
    torch.save({"module": {}, "average": {}, "recipe": {}, "runs_on": None}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"is a training run that has not ended, .* goes on with --resume"):
        deit_ref.load_weights(tmp_path)
    with pytest.raises(ValueError, match=r"is what a training run goes on from, .*: the run has not ended"):
        deit_ref.load_weights(tmp_path / "checkpoint.pt")


# DINOv2's config and processor in transformers


def test_config_and_processor_of_dinov2(tmp_path):
    from transformers import BitImageProcessorPil, Dinov2Config

    Dinov2Config(hidden_size=128, mlp_ratio=3, num_attention_heads=4, layer_norm_eps=1e-5).save_pretrained(tmp_path)
    config = deit_ref.DeiTConfig.from_dict(json.loads((tmp_path / "config.json").read_text()))
    assert (config.intermediate_size, config.layer_norm_eps, config.patch_size) == (384, 1e-5, 14)
    assert not config.distilled
    config = deit_ref.DeiTConfig.from_dict({"model_type": "dinov2"})
    assert (config.layer_norm_eps, config.patch_size, config.intermediate_size) == (1e-6, 14, 3072)

    photo = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    for options in ({}, {"size": {"shortest_edge": 64}, "crop_size": 56, "image_mean": [0.5] * 3}):
        processor = BitImageProcessorPil(**options)
        processor.save_pretrained(tmp_path)
        values = json.loads((tmp_path / "preprocessor_config.json").read_text())
        for kept in (values, {"image_processor_type": "BitImageProcessor", **options}):
            ours = deit_ref.preprocess(photo, deit_ref.ImageProcessing.from_dict(kept))
            np.testing.assert_array_equal(ours, processor(photo, return_tensors="np")["pixel_values"])


def test_positions_of_dinov2_at_another_size_are_those_of_transformers(tmp_path):
    """facebookresearch's own code adds 0.1 to the size, timm smooths; transformers' rule is followed."""
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 4, "image_size": 20}
    model = Dinov2Model(Dinov2Config(**sizes)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        expected = model(PIXELS.float()).last_hidden_state
    model.save_pretrained(tmp_path)
    weights = deit_ref.load_weights(tmp_path)
    for backend in ("numpy", "torch"):
        found = deit_ref.forward(
            weights, pixel_values=PIXELS.numpy(), backend=backend, dtype="float32", interpolate_pos_encoding=True
        )
        assert_close(found.last_hidden_state, expected, "transformers", backend)


# Time


@pytest.mark.parametrize("kilobytes", [5, 20, 80])
def test_a_list_that_is_gathered_again_and_again(tmp_path, kilobytes):
    """An OrderedDict of one long list of pairs, made over and over: work that grows as the square of the file."""
    from test_pickles import zipped

    half = kilobytes * 512
    pair = b"(K\x01K\x02t"
    pairs = b"]q\x00(" + b"h\x01" * (half // 2) + b"e"
    again = b"(" + b"ccollections\nOrderedDict\nq\x02" + b"0h\x02h\x00\x85R" * (half // 6) + b"l."
    program = b"\x80\x02" + pair + b"q\x010" + pairs + b"0" + again
    (tmp_path / "a.pth").write_bytes(zipped(program))
    with pytest.raises(ValueError, match=r"a.pth: it gathers the same items again and again: do not trust this file"):
        deit_ref.load_weights(tmp_path / "a.pth")


def test_a_header_of_a_million_empty_tensors(tmp_path):
    """The library takes ten seconds for it; it is refused by its length alone."""
    entry = '"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    header = "{" + ",".join(entry.format(i) for i in range(150_000)) + "}"
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"x")
    with pytest.raises(ValueError, match=r"has a header of \d+ bytes, at most 8388608 can be right for a ViT"):
        deit_ref.load_weights(tmp_path / "a.safetensors")
