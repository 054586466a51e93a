"""Checkpoint folders: what transformers writes we read, what we write transformers reads, and nothing else passes."""

import dataclasses
import json
import logging
import os
import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from strategies import random_weights
from transformers.utils import logging as transformers_logging

from deit_ref.checkpoints import load_weights, names, save_weights
from deit_ref.config import TASKS, DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import array_shapes, draw_arrays, init_weights, map_weights, named_arrays

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
    "encoder_stride": 4,
    "pooler_output_size": 24,
    "layer_norm_eps": 1e-6,
}

# transformers' class, arguments besides the config, and the task that its tensors show.
MODELS = {
    "DeiTModel": ("DeiTModel", {}, "features"),
    "DeiTModel without pooler": ("DeiTModel", {"add_pooling_layer": False}, "features"),
    "DeiTModel with mask token": ("DeiTModel", {"use_mask_token": True}, "features"),
    "DeiTForImageClassification": ("DeiTForImageClassification", {}, "classification"),
    "DeiTForImageClassificationWithTeacher": (
        "DeiTForImageClassificationWithTeacher",
        {},
        "classification-with-teacher",
    ),
    "DeiTForMaskedImageModeling": ("DeiTForMaskedImageModeling", {}, "masked-image-modeling"),
    "ViTModel": ("ViTModel", {}, "features"),
    "ViTForImageClassification": ("ViTForImageClassification", {}, "classification"),
    "ViTForMaskedImageModeling": ("ViTForMaskedImageModeling", {}, "masked-image-modeling"),
}
TEACHER = "DeiTForImageClassificationWithTeacher"

# Ours and transformers' names, written out by hand and not taken from the code under test.
IN_MEMORY = {
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "pooler": "pooler.dense",
    "decoder": "decoder.0",
    "head_dist": "distillation_classifier",
}
TOKENS_IN_MEMORY = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
}
IN_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.o_proj",
    "norm2": "layernorm_after",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers():
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.set_verbosity(level)
    transformers_logging.enable_progress_bar()


def random_model(name, **changes):
    """A model of transformers in which no two numbers are alike, so that no two tensors can be mistaken."""
    architecture, arguments, _ = MODELS[name]
    config_class = transformers.DeiTConfig if architecture.startswith("DeiT") else transformers.ViTConfig
    model = getattr(transformers, architecture)(config_class(**(SIZES | changes)), **arguments)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def expected_arrays(model, blocks=2):
    """Our names and the values of the model's own state."""
    state = {re.sub(r"^(deit|vit)\.", "", name): tensor.numpy() for name, tensor in model.state_dict().items()}
    arrays = {ours: state.pop(theirs) for ours, theirs in TOKENS_IN_MEMORY.items() if theirs in state}
    for kind in ("weight", "bias"):
        for ours, theirs in IN_MEMORY.items():
            if f"{theirs}.{kind}" in state:
                arrays[f"{ours}.{kind}"] = state.pop(f"{theirs}.{kind}")
        for theirs in ("classifier", "cls_classifier"):
            if f"{theirs}.{kind}" in state:
                arrays[f"head.{kind}"] = state.pop(f"{theirs}.{kind}")
        for i in range(blocks):
            for ours, theirs in IN_BLOCK.items():
                arrays[f"blocks.{i}.{ours}.{kind}"] = state.pop(f"layers.{i}.{theirs}.{kind}")
            if f"layers.{i}.attention.q_proj.{kind}" in state:
                arrays[f"blocks.{i}.attn.qkv.{kind}"] = np.concatenate(
                    [state.pop(f"layers.{i}.attention.{letter}_proj.{kind}") for letter in "qkv"]
                )
    assert not state
    if "decoder.weight" in arrays:
        arrays["decoder.weight"] = arrays["decoder.weight"].reshape(arrays["decoder.weight"].shape[:2])
    return arrays


def assert_same_arrays(found, expected, dtype=np.float32):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, quiet_transformers):
    """A folder written by transformers for each model, and the model."""
    written = {}
    for name in MODELS:
        folder = tmp_path_factory.mktemp("checkpoint")
        model = random_model(name, **({"num_labels": 5} if "Classification" in name else {}))
        model.save_pretrained(folder)
        transformers.DeiTImageProcessorPil(size=40, crop_size=32, image_mean=[0.1, 0.2, 0.3]).save_pretrained(folder)
        written[name] = (folder, model)
    return written


def changed_copy(folder, target, config=None, tensors=None, **more):
    """The folder again, with another config.json or other tensors; `config` and `tensors` edit dictionaries."""
    target.mkdir(exist_ok=True)
    values = json.loads((folder / "config.json").read_text())
    arrays = load_file(folder / "model.safetensors")
    if config:
        config(values)
    if tensors:
        tensors(arrays)
    (target / "config.json").write_text(json.dumps(values))
    (target / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    save_file(arrays, target / "model.safetensors", **more)
    return target


# Reading what transformers writes


@pytest.mark.parametrize("name", MODELS)
def test_folder_of_every_model(folders, name):
    folder, model = folders[name]
    weights = load_weights(folder)
    assert weights.task == MODELS[name][2]
    assert weights.config.distilled == name.startswith("DeiT")
    assert weights.config.layer_norm_eps == 1e-6
    assert weights.config.num_labels == (5 if "Classification" in name else 2)
    assert weights.image_processing.size == {"height": 40, "width": 40}
    assert weights.image_processing.image_mean == (0.1, 0.2, 0.3)
    assert weights.class_names is None
    assert (weights.pooler is None) == (name not in ("DeiTModel", "DeiTModel with mask token", "ViTModel"))
    assert_same_arrays(dict(named_arrays(weights)), expected_arrays(model))


@pytest.mark.parametrize("name", ["DeiTModel", TEACHER, "ViTForMaskedImageModeling"])
def test_names_of_transformers_5_saved_by_hand(folders, tmp_path, name):
    folder, model = folders[name]
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    save_file(state, tmp_path / "by_hand.safetensors")
    weights = load_weights(tmp_path / "by_hand.safetensors")
    assert_same_arrays(dict(named_arrays(weights)), expected_arrays(model))


@pytest.mark.parametrize("prefix", ["", "deit.", "vit."])
def test_any_prefix(folders, tmp_path, prefix):
    folder, model = folders["DeiTForImageClassification"]
    arrays = {prefix + key.removeprefix("deit."): array for key, array in load_file(folder / WEIGHTS).items()}
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    save_file(arrays, tmp_path / WEIGHTS)
    assert_same_arrays(dict(named_arrays(load_weights(tmp_path))), expected_arrays(model))


def test_shards(folders, tmp_path):
    folder, model = folders[TEACHER]
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    assert not (tmp_path / WEIGHTS).exists()
    assert_same_arrays(dict(named_arrays(load_weights(tmp_path))), expected_arrays(model))


def as_pickles(folder, model, target, shards):
    """The folder again, with the weights as transformers 4 wrote them before safetensors, whole or in shards."""
    for file in ("config.json", "preprocessor_config.json"):
        (target / file).write_text((folder / file).read_text())
    arrays = load_file(folder / WEIGHTS)
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    if not shards:
        torch.save(state, target / "pytorch_model.bin")
        return target
    files = [f"pytorch_model-{i:05}-of-{shards:05}.bin" for i in range(1, shards + 1)]
    weight_map = {name: files[i % shards] for i, name in enumerate(state)}
    for i, file in enumerate(files):
        part = {name: tensor for name, tensor in state.items() if weight_map[name] == file}
        torch.save(part, target / file, _use_new_zipfile_serialization=bool(i))
    (target / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return target


@pytest.mark.parametrize("shards", [0, 3])
@pytest.mark.parametrize("name", ["DeiTModel", TEACHER, "ViTForMaskedImageModeling"])
def test_folder_with_pickles(folders, tmp_path, name, shards):
    folder, model = folders[name]
    weights = load_weights(as_pickles(folder, model, tmp_path, shards))
    assert weights.task == MODELS[name][2]
    assert weights.config == load_weights(folder).config
    assert_same_arrays(dict(named_arrays(weights)), expected_arrays(model))
    # transformers reads the very same files.
    architecture, arguments, _ = MODELS[name]
    again = getattr(transformers, architecture).from_pretrained(tmp_path, **arguments)
    assert_same_arrays(expected_arrays(again), expected_arrays(model))


def test_safetensors_win_over_pickles(folders, tmp_path):
    folder, model = folders["ViTModel"]
    as_pickles(folder, model, tmp_path, 0)
    as_pickles(folder, model, tmp_path, 2)
    changed_copy(folder, tmp_path, tensors=lambda arrays: arrays["layernorm.bias"].fill(7))
    assert (load_weights(tmp_path).norm.bias == 7).all()
    shard = (tmp_path / WEIGHTS).rename(tmp_path / "model-00001-of-00001.safetensors")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(load_file(shard), shard.name)}))
    assert (load_weights(tmp_path).norm.bias == 7).all()
    (tmp_path / INDEX).unlink()
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"")
    assert (load_weights(tmp_path).norm.bias != 7).all()
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(
        ValueError, match=r"pytorch_model-00001-of-00002.bin is not a file of torch.save but an empty file"
    ):
        load_weights(tmp_path)


def test_shards_of_pickles_and_their_index(folders, tmp_path):
    folder, model = folders["ViTModel"]
    as_pickles(folder, model, tmp_path, 2)
    index = json.loads((tmp_path / "pytorch_model.bin.index.json").read_text())
    index["weight_map"]["more"] = "pytorch_model-00002-of-00002.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"00002.bin and pytorch_model.bin.index.json disagree about more: download"):
        load_weights(tmp_path)
    index["weight_map"]["more"] = "../elsewhere.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"must name files in its own folder, got '../elsewhere.bin': do not trust"):
        load_weights(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_of_pickles(folders, tmp_path, dtype):
    model = random_model(TEACHER, num_labels=5).to(dtype)
    (tmp_path / "config.json").write_text((folders[TEACHER][0] / "config.json").read_text())
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    wide = np.float64 if dtype == torch.float64 else np.float32
    expected = expected_arrays(model.to(torch.float64))
    assert_same_arrays(dict(named_arrays(load_weights(tmp_path))), expected, wide)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(folders, tmp_path, dtype):
    folder, _ = folders[TEACHER]
    model = random_model(TEACHER, num_labels=5).to(dtype)
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    wide = np.float64 if dtype == torch.float64 else np.float32
    expected = expected_arrays(model.to(torch.float64))
    assert_same_arrays(dict(named_arrays(load_weights(tmp_path))), expected, wide)


def test_mixed_dtypes_become_the_widest(folders, tmp_path):
    folder, model = folders["ViTModel"]

    def widen(arrays):
        arrays["layernorm.weight"] = arrays["layernorm.weight"].astype(np.float64)

    weights = load_weights(changed_copy(folder, tmp_path, tensors=widen))
    assert_same_arrays(dict(named_arrays(weights)), expected_arrays(model), np.float64)


def test_no_qkv_bias(folders, tmp_path, caplog):
    model = random_model("DeiTModel", qkv_bias=False)
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = load_weights(tmp_path)
    assert weights.blocks[1].attn.qkv.bias is None
    assert_same_arrays(dict(named_arrays(weights)), expected_arrays(model))
    assert weights.image_processing == ImageProcessing.huggingface(32)
    assert "preprocessor_config.json is missing; images are processed by" in caplog.text


def test_classifier_without_labels_has_no_head(tmp_path):
    model = random_model("ViTForImageClassification", num_labels=0)
    model.save_pretrained(tmp_path)
    transformers.DeiTImageProcessorPil().save_pretrained(tmp_path)
    weights = load_weights(tmp_path)
    assert weights.task == "classification"
    assert weights.head is None
    assert load_weights(tmp_path, task="features").task == "features"


def test_the_tensors_tell_the_task_and_not_the_architecture(folders, tmp_path):
    def behead(arrays):
        del arrays["classifier.weight"], arrays["classifier.bias"]

    target = changed_copy(folders["DeiTForImageClassification"][0], tmp_path, tensors=behead)
    assert load_weights(target).task == "features"
    assert load_weights(target, task="classification", seed=0).head.weight.shape == (5, 32)


def test_class_names(folders, tmp_path):
    folder, _ = folders[TEACHER]
    # Ten and more names would come in the wrong order if the keys, which are strings on disk, were sorted as such.
    listed = [f"name {i}" for i in range(12)]

    def label(values):
        values["id2label"] = {str(i): listed[i] for i in sorted(range(12), key=str)}

    def grow(arrays):
        for head in ("cls_classifier", "distillation_classifier"):
            arrays[f"{head}.weight"], arrays[f"{head}.bias"] = np.ones((12, 32), np.float32), np.ones(12, np.float32)

    target = changed_copy(folder, tmp_path, label, grow)
    assert load_weights(target).class_names == tuple(listed)
    assert load_weights(target, class_names=listed[::-1]).class_names == tuple(listed[::-1])
    with pytest.raises(ValueError, match=r"class_names must hold 12 names, one per label; got 2"):
        load_weights(target, class_names=["cat", "dog"])
    with pytest.raises(ValueError, match=r"class_names must be a list of strings.*got 'cat'"):
        load_weights(target, class_names="cat")


def test_arguments_replace_what_the_files_say(folders, tmp_path, caplog):
    folder, _ = folders["DeiTForImageClassification"]
    config = dataclasses.replace(load_weights(folder).config, layer_norm_eps=0.25)
    processing = ImageProcessing.original(32)
    weights = load_weights(folder, config=config, image_processing=processing)
    assert weights.config == config
    assert weights.image_processing == processing

    target = changed_copy(
        folder, tmp_path, lambda values: values.update(id2label={str(i): "abcde"[i] for i in range(5)})
    )
    assert load_weights(target, config=config).class_names == tuple("abcde")
    (target / "config.json").unlink()
    assert load_weights(target, config=config).class_names is None
    with pytest.raises(ValueError, match=r"config.json is missing: put it there, or pass config="):
        load_weights(target)


# A few fields of an old file are all it says: the rest are the defaults of the processor that it names.
@pytest.mark.parametrize(
    ("values", "size", "resample", "crops"),
    [
        ({"size": 40, "crop_size": 32}, 40, "bicubic", True),
        ({"feature_extractor_type": "DeiTFeatureExtractor", "size": 40, "crop_size": 32}, 40, "bicubic", True),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 32}, 32, "bilinear", False),
        ({"image_processor_type": "ViTImageProcessorFast", "resample": 3}, 224, "bicubic", False),
    ],
)
def test_legacy_preprocessor_files(folders, tmp_path, values, size, resample, crops):
    target = changed_copy(folders["ViTModel"][0], tmp_path)
    (target / "preprocessor_config.json").write_text(json.dumps(values))
    processing = load_weights(target).image_processing
    assert processing.size == {"height": size, "width": size}
    assert processing.resample == resample
    assert processing.do_center_crop is crops


def test_link_into_the_cache_of_the_hub(folders, tmp_path):
    snapshot, blobs = tmp_path / "snapshots" / "0123", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    folder, model = folders["ViTModel"]
    changed_copy(folder, snapshot)
    (snapshot / WEIGHTS).rename(blobs / "abcd")
    (snapshot / "shard.safetensors").symlink_to(blobs / "abcd")
    weight_map = dict.fromkeys(load_file(blobs / "abcd"), "shard.safetensors")
    (snapshot / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert_same_arrays(dict(named_arrays(load_weights(snapshot))), expected_arrays(model))


# Another task than the file's


def test_task_without_heads(folders):
    folder, model = folders[TEACHER]
    with pytest.warns(UserWarning, match=r"task='features' drops cls_classifier, distillation_classifier of") as caught:
        weights = load_weights(folder, task="features")
    assert caught[0].filename == __file__
    assert weights.task == "features"
    expected = {name: array for name, array in expected_arrays(model).items() if not name.startswith("head")}
    assert_same_arrays(dict(named_arrays(weights)), expected)


def test_task_with_a_new_head_needs_a_seed(folders, caplog):
    folder, model = folders[TEACHER]
    with (
        pytest.warns(UserWarning, match="drops cls_classifier, distillation_classifier"),
        pytest.raises(ValueError, match=r"There is no classifier for task='classification': pass seed="),
    ):
        load_weights(folder, task="classification")
    with (
        pytest.warns(UserWarning, match="drops cls_classifier, distillation_classifier"),
        caplog.at_level(logging.WARNING, "deit_ref"),
    ):
        weights = load_weights(folder, task="classification", seed=7)
    drawn = draw_arrays({"head.weight": (5, 32), "head.bias": (5,)}, std=0.02, seed=7)
    assert_same_arrays(
        dict(named_arrays(weights)),
        {name: array for name, array in expected_arrays(model).items() if not name.startswith("head")} | drawn,
    )
    assert "drawn from seed 7 and not yet trained: head.weight, head.bias." in caplog.text


def test_new_head_for_another_number_of_labels(folders, tmp_path, caplog):
    def label(values):
        values["id2label"] = {str(i): "abcde"[i] for i in range(5)}

    target = changed_copy(folders[TEACHER][0], tmp_path, label)
    config = dataclasses.replace(load_weights(target).config, num_labels=3)
    with (
        pytest.warns(UserWarning, match="drops cls_classifier, distillation_classifier"),
        caplog.at_level(logging.WARNING, "deit_ref"),
    ):
        weights = load_weights(target, task="classification", seed=0, config=config)
    assert weights.head.weight.shape == (3, 32)
    assert weights.class_names is None
    assert "names 5 classes, config= has 3: no names." in caplog.text


def test_task_drops_pooler_and_mask_token(folders):
    folder, _ = folders["DeiTModel with mask token"]
    with pytest.warns(UserWarning, match=r"drops embeddings.mask_token, pooler.dense of the checkpoint"):
        weights = load_weights(folder, task="classification", seed=0)
    assert weights.mask_token is None
    assert weights.pooler is None
    weights = load_weights(folder, task="features")
    assert weights.mask_token is not None
    assert weights.pooler is not None


def test_masked_image_modeling_from_features(folders):
    folder, model = folders["ViTModel"]
    with (
        pytest.warns(UserWarning, match=r"drops pooler.dense"),
        pytest.raises(
            ValueError, match=r"There is no embeddings.mask_token and no decoder.0 for task='masked-image-mod"
        ),
    ):
        load_weights(folder, task="masked-image-modeling")
    with pytest.warns(UserWarning, match=r"drops pooler.dense"):
        weights = load_weights(folder, task="masked-image-modeling", seed=1)
    assert weights.decoder.weight.shape == (4 * 4 * 3, 32)
    assert 0.01 < weights.mask_token.std() < 0.03
    np.testing.assert_array_equal(weights.pos_embed, expected_arrays(model)["pos_embed"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, r"weights must be DeiTWeights, from load_weights or init_weights; got None"),
        ({"weights": "mine"}, r"weights must be DeiTWeights"),
        ({"provenance": {"a": object()}}, r"provenance must hold what JSON has, got \{'a': <object"),
        ({"provenance": {(1, 2): 3}}, r"provenance must hold what JSON has, got .*keys must be"),
        ({"provenance": [1]}, r"provenance must be a dictionary, of what JSON has; got \[1\]"),
    ],
)
def test_what_cannot_be_saved_leaves_nothing_behind(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        save_weights(**({"weights": random_weights(), "folder": tmp_path / "new"} | changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["", b"folder", 3, None, "a\0b", "x" * 5000])
def test_what_is_no_folder_is_not_written_into(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"folder must be "):
        save_weights(random_weights(), folder)
    assert list(tmp_path.iterdir()) == []


def test_half_a_head_is_no_missing_head(folders, tmp_path):
    target = changed_copy(folders[TEACHER][0], tmp_path, tensors=lambda arrays: arrays.pop("cls_classifier.bias"))
    with pytest.raises(ValueError, match=r"missing: cls_classifier.bias\. Check config and task"):
        load_weights(target, seed=0)


def test_two_heads_need_a_choice(folders, tmp_path):
    def add(arrays):
        arrays["classifier.weight"], arrays["classifier.bias"] = np.ones((5, 32), np.float32), np.ones(5, np.float32)

    target = changed_copy(folders[TEACHER][0], tmp_path, tensors=add)
    with pytest.raises(ValueError, match=r"heads for classification and classification-with-teacher: choose one with"):
        load_weights(target)
    with pytest.warns(UserWarning, match="drops cls_classifier, distillation_classifier of"):
        weights = load_weights(target, task="classification")
    assert (weights.head.weight == 1).all()
    with pytest.warns(UserWarning, match="drops classifier of"):
        weights = load_weights(target, task="classification-with-teacher")
    assert (weights.head.weight != 1).all()


def test_teacher_needs_a_distillation_token(folders):
    with (
        pytest.warns(UserWarning, match="drops classifier of"),
        pytest.raises(ValueError, match="needs a distillation token"),
    ):
        load_weights(folders["ViTForImageClassification"][0], task="classification-with-teacher", seed=0)


def test_no_source_is_the_bundled_distilled_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours, config = load_weights(), DeiTConfig(**SIZES)
    assert ours.task == "classification-with-teacher"
    assert ours.class_names[3] == "cat"
    assert_same_arrays(dict(named_arrays(load_weights("cifar10-distilled"))), dict(named_arrays(ours)))
    # A folder of that name goes before, but for no source at all.
    save_weights(init_weights(config, "classification", seed=3), tmp_path / "cifar10-distilled")
    assert load_weights("cifar10-distilled").task == "classification"
    assert load_weights().task == "classification-with-teacher"


def test_the_bundled_masked_model_has_its_task():
    assert load_weights("cifar10-simmim").task == "masked-image-modeling"


def test_a_teacher_is_no_deit():
    with pytest.raises(ValueError, match=r"cifar10-teacher holds a convolutional teacher, no DeiT.*load_teacher"):
        load_weights("cifar10-teacher")


def test_a_bundled_name_in_the_message_for_what_is_not_there():
    with pytest.raises(ValueError, match="bundled: cifar10-distilled or cifar10-simmim"):
        load_weights("cifar10")


# Bad input


def _without(name):
    return lambda arrays: arrays.pop(name)


def _with(name, array):
    return lambda arrays: arrays.update({name: array})


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        (None, _without("deit.layernorm.bias"), r"missing: layernorm.bias\."),
        (
            None,
            _without("deit.encoder.layer.1.attention.attention.key.bias"),
            r"missing: encoder.layer.1.attention.attention.key.bias\.",
        ),
        (None, _with("deit.extra", np.ones(3, np.float32)), r"unexpected: extra\."),
        (None, _with("deit.pooler.dense.weight", np.ones((24, 32), np.float32)), r"unexpected: pooler.dense.weight"),
        (
            None,
            _with("deit.embeddings.cls_token", np.ones((1, 1, 31), np.float32)),
            r"embeddings.cls_token has shape \(1, 1, 31\), expected \(1, 1, 32\)",
        ),
        # The positions of a plain model, with one prefix token where DeiT has two.
        (
            None,
            _with("deit.embeddings.position_embeddings", np.ones((1, 17, 32), np.float32)),
            r"position_embeddings has shape \(1, 17, 32\), expected \(1, 18, 32\)",
        ),
        (
            None,
            _with("deit.layernorm.bias", np.ones(32, np.int64)),
            r"must be one of F16, BF16, F32, F64, got layernorm.bias \(I64\): save them as float32",
        ),
        (
            None,
            _with("layernorm.bias", np.ones(32, np.float32)),
            r"deit.layernorm.bias and layernorm.bias are two spellings of one tensor",
        ),
        (lambda values: values.update(model_type="vit"), None, r"unexpected: embeddings.distillation_token"),
        (lambda values: values.update(model_type="bert"), None, r"config.json: model_type must be one of deit, vit"),
        (lambda values: values.update(hidden_size="big"), None, r"config.json: hidden_size must be an integer"),
        (lambda values: values.update(num_hidden_layers=3), None, r"config has 3 encoder blocks, the weights have 2"),
        # Too large to be listed or allocated: refused because of the file's header alone.
        (lambda values: values.update(num_hidden_layers=10**15), None, r"has 1000000000000000 encoder blocks, the"),
        (
            lambda values: values.update(intermediate_size=10**12),
            None,
            r"intermediate.dense.weight has shape \(48, 32\), expected \(1000000000000, 32\)",
        ),
        (
            lambda values: values.update(id2label={"0": "cat", "1": "dog"}),
            None,
            r"classifier.weight has shape \(5, 32\), expected \(2, 32\)",
        ),
        (lambda values: values.update(id2label=["cat"]), None, r'"id2label" must have the keys "0", "1"'),
        (lambda values: values.update(id2label={"1": "cat"}), None, r'"id2label" must have the keys "0", "1"'),
        (lambda values: values.update(id2label={"0": 7}), None, r'the names in "id2label" must be strings'),
    ],
)
def test_files_that_do_not_fit(folders, tmp_path, config, tensors, message):
    target = changed_copy(folders["DeiTForImageClassification"][0], tmp_path, config, tensors)
    with pytest.raises(ValueError, match=message):
        load_weights(target)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{broken", r"config.json cannot be read as JSON \(.*\): download or save it again"),
        ("config.json", b'{"a": "\xff"}', r"config.json cannot be read as JSON \(.*utf-8"),
        ("config.json", b"[" * 100_000, r"config.json cannot be read as JSON"),
        ("config.json", b'{"a": 1, "b": {"c": 1, "c": 2}}', r"config.json cannot be read as JSON \(c stands twice\)"),
        ("config.json", b"[]", r"config.json must hold a JSON object, got list"),
        ("preprocessor_config.json", b"{", r"preprocessor_config.json cannot be read as JSON"),
        ("preprocessor_config.json", b'{"size": "x"}', r"preprocessor_config.json: size must be"),
        (
            "preprocessor_config.json",
            b'{"image_processor_type": "CLIPImageProcessor"}',
            r"preprocessor_config.json: image_processor_type must be one of DeiTImageProcessor,",
        ),
        (WEIGHTS, b"", r"model.safetensors is not a safetensors file but an empty file: download it again"),
        (
            WEIGHTS,
            b"\x09" + bytes(7),
            r"model.safetensors is not a whole safetensors file \(.*\): download or save it again",
        ),
        (WEIGHTS, b"\xff" * 100, r"model.safetensors is not a whole safetensors file"),
    ],
)
def test_damaged_files(folders, tmp_path, file, content, message):
    target = changed_copy(folders["ViTModel"][0], tmp_path)
    (target / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_weights(target)


def test_truncated_weights(folders, tmp_path):
    target = changed_copy(folders["ViTModel"][0], tmp_path)
    (target / WEIGHTS).write_bytes((target / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model.safetensors is not a whole safetensors file"):
        load_weights(target)


def test_header_that_claims_more_than_the_file_holds(folders, tmp_path):
    target = changed_copy(folders["ViTModel"][0], tmp_path)
    header = json.dumps({"layernorm.weight": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}})
    (target / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(ValueError, match=r"model.safetensors is not a whole safetensors file"):
        load_weights(target)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (["layernorm.weight"], r'must hold a "weight_map"'),
        ({"layernorm.weight": 3}, r'must hold a "weight_map"'),
        *[
            ({"layernorm.weight": shard}, r"must name files in its own folder, got '.*': do not trust")
            for shard in ("../a.safetensors", "/etc/passwd", "..", "", ".", "sub/a.safetensors", "..\\a", "C:a")
        ],
        ({"layernorm.weight": "part.bin"}, r"must name .safetensors files, got 'part.bin'"),
        ({"layernorm.weight": "gone.safetensors"}, r"'gone.safetensors' is missing, although .*.index.json"),
        ({"layernorm.weight": "linked.safetensors"}, r"linked.safetensors is a link that leaves its folder"),
        ({"layernorm.weight": "part.safetensors", "more": "part.safetensors"}, r"index.json disagree about more:"),
        ({}, r'must hold a "weight_map"'),
    ],
)
def test_hostile_index(folders, tmp_path, weight_map, message):
    target = changed_copy(folders["ViTModel"][0], tmp_path / "checkpoint")
    outside = tmp_path / "a.safetensors"
    save_file({"layernorm.weight": np.ones(32, np.float32)}, outside)
    (target / "linked.safetensors").symlink_to(outside)
    (target / "part.safetensors").write_bytes(outside.read_bytes())
    (target / WEIGHTS).unlink()
    (target / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=message):
        load_weights(target)


def test_shard_with_more_than_the_index_names(folders, tmp_path):
    target = changed_copy(folders["ViTModel"][0], tmp_path)
    (target / WEIGHTS).rename(target / "part.safetensors")
    (target / INDEX).write_text(json.dumps({"weight_map": {"layernorm.weight": "part.safetensors"}}))
    with pytest.raises(ValueError, match=r"part.safetensors and model.safetensors.index.json disagree about embed"):
        load_weights(target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "clasification"}, r"task must be one of .*Did you mean 'classification'\?"),
        ({"seed": -1}, r"seed must be at least 0, got -1"),
        (
            {"config": {"hidden_size": 32}},
            r"config must be a DeiTConfig, such as DeiTConfig.from_dict.*got .* of type dict",
        ),
        ({"image_processing": {"size": 3}}, r"image_processing must be an ImageProcessing, .*got .* of type dict"),
        ({"revision": "main"}, r"revision chooses a version of a hub id .* got revision='main'"),
    ],
)
def test_bad_arguments(folders, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_weights(folders["ViTModel"][0], **arguments)
    with pytest.raises(ValueError, match=message):
        load_weights(**arguments)


def test_sources_that_are_not_read(tmp_path):
    for source in ("no/such/folder", "missing.pth", "../owner/name", Path("owner/name")):
        with pytest.raises(
            ValueError, match=rf"no folder or file '{source}'; what is read is a folder with config.json"
        ):
            load_weights(source)
    with pytest.raises(ValueError, match=r"holds none of model.safetensors, .*: pass the weight file itself if it has"):
        load_weights(tmp_path)
    (tmp_path / "old.h5").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"old.h5 is not a weight file by its name; what is read is a folder"):
        load_weights(tmp_path / "old.h5")
    for revision in ("", 3):
        with pytest.raises(ValueError, match=r"revision must be text, got"):
            load_weights(tmp_path, revision=revision)
    for source in ("", 3, b"bytes"):
        with pytest.raises(ValueError, match=r"source must be a path \(a folder with config.json.*\); got "):
            load_weights(source)


# Writing


@pytest.mark.parametrize("name", MODELS)
def test_transformers_reads_what_we_write(folders, tmp_path, name):
    folder, model = folders[name]
    save_weights(load_weights(folder), tmp_path)
    stored = load_file(folder / WEIGHTS)
    written = load_file(tmp_path / WEIGHTS)
    assert_same_arrays(written, stored)
    with safe_open(tmp_path / WEIGHTS, "np") as opened:
        assert opened.metadata() == {"format": "pt"}

    architecture, arguments, _ = MODELS[name]
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == [architecture]
    again, info = getattr(transformers, architecture).from_pretrained(tmp_path, output_loading_info=True, **arguments)
    assert not any(info.values()), info
    assert again.config.num_labels == model.config.num_labels
    assert again.config.layer_norm_eps == 1e-6
    assert again.config.pooler_output_size == 24
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


@pytest.mark.parametrize(
    "processing", [ImageProcessing(), ImageProcessing.original(48), ImageProcessing(apply_exif=True)]
)
def test_transformers_reads_our_image_processing(folders, tmp_path, processing):
    save_weights(dataclasses.replace(load_weights(folders["ViTModel"][0]), image_processing=processing), tmp_path)
    for reader in (transformers.AutoImageProcessor, transformers.DeiTImageProcessorPil):
        theirs = reader.from_pretrained(tmp_path)
        assert dict(theirs.size) == processing.size
        assert dict(theirs.crop_size) == processing.crop_size
        assert tuple(theirs.image_mean) == processing.image_mean
        assert theirs.resample == 3
        assert theirs.rescale_factor == 1 / 255
        assert theirs(np.zeros((50, 60, 3), np.uint8))["pixel_values"][0].shape == (
            3,
            processing.crop_size["height"],
            processing.crop_size["width"],
        )
    assert load_weights(tmp_path).image_processing == processing


def test_transformers_reads_a_square_stride(tmp_path):
    config = DeiTConfig(**(SIZES | {"encoder_stride": (4, 4)}))
    save_weights(init_weights(config, "masked-image-modeling", seed=0), tmp_path)
    assert transformers.DeiTConfig.from_pretrained(tmp_path).encoder_stride == 4


@st.composite
def drawn_weights(draw):
    heads = draw(st.integers(1, 3))
    patch = draw(st.sampled_from([2, (2, 3)]))
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    patch_height, patch_width = patch if isinstance(patch, tuple) else (patch, patch)
    task = draw(st.sampled_from(TASKS))
    config = DeiTConfig(
        hidden_size=heads * draw(st.integers(1, 5)),
        num_hidden_layers=draw(st.integers(0, 12)),
        num_attention_heads=heads,
        intermediate_size=draw(st.integers(1, 9)),
        hidden_act=draw(st.sampled_from(["gelu", "relu"])),
        hidden_dropout_prob=draw(st.floats(0, 0.9)),
        layer_norm_eps=draw(st.sampled_from([1e-12, 1e-6])),
        image_size=(rows * patch_height, columns * patch_width),
        patch_size=patch,
        num_channels=draw(st.integers(1, 4)),
        qkv_bias=draw(st.booleans()),
        encoder_stride=draw(st.sampled_from([1, 4, (2, 3)])),
        pooler_output_size=draw(st.sampled_from([None, 3])),
        num_labels=draw(st.integers(0, 11)) if task.startswith("classification") else 2,
        problem_type=draw(st.sampled_from([None, "regression"])),
        output_attentions=draw(st.booleans()),
        distilled=task == "classification-with-teacher" or draw(st.booleans()),
    )
    return init_weights(
        config,
        task,
        seed=draw(st.integers(0, 9)),
        pooler=draw(st.booleans()),
        mask_token=draw(st.booleans()),
        image_processing=draw(
            st.sampled_from(
                [
                    None,
                    ImageProcessing(),
                    ImageProcessing.original(30),
                    ImageProcessing(do_center_crop=False, resample="box", image_mean=0.25, do_convert_rgb=False),
                    ImageProcessing(size=9, default_to_square=False, pass_order="pillow-12", apply_exif=True),
                ]
            )
        ),
        class_names=draw(
            st.none() | st.lists(st.text(max_size=5), min_size=config.num_labels, max_size=config.num_labels).map(tuple)
        )
        if config.num_labels
        else None,
    )


@given(weights=drawn_weights(), dtype=st.sampled_from([np.float32, np.float64]))
def test_round_trip(weights, dtype):
    weights = map_weights(lambda array: array.astype(dtype), weights)
    with tempfile.TemporaryDirectory() as folder:
        save_weights(weights, folder)
        again = load_weights(folder)
    assert again.task == weights.task
    assert again.config == weights.config
    assert again.image_processing == weights.image_processing
    assert again.class_names == weights.class_names
    assert_same_arrays(dict(named_arrays(again)), dict(named_arrays(weights)), dtype)


@given(config_seed=st.integers(0, 3), task=st.sampled_from(TASKS))
def test_stored_names_and_shapes_agree_with_the_arrays(config_seed, task):
    config = DeiTConfig(**SIZES)
    weights = init_weights(config, task, seed=config_seed)
    parts = {}
    for name, array in named_arrays(weights):
        parts |= names.split_parts(name, array, task)
    assert {name: part.shape for name, part in parts.items()} == names.stored_shapes(array_shapes(config, task), task)
    on_disk = [names.prefixed(name, task, distilled=True) for name in parts]
    layout, prefix = names.layout_of(on_disk)
    assert layout is names.HUGGINGFACE
    assert [names.without_prefix(name, prefix, layout) for name in on_disk] == [*parts]
    assert all(names.stored_name(name) == name for name in parts)


def test_saving_twice_gives_the_same_bytes(folders, tmp_path):
    weights = load_weights(folders[TEACHER][0])
    save_weights(weights, tmp_path / "a" / "b")
    save_weights(weights, tmp_path / "c")
    save_weights(load_weights(tmp_path / "c"), tmp_path / "c")
    files = ["config.json", WEIGHTS, "preprocessor_config.json"]
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(files)
    for file in files:
        assert (tmp_path / "a" / "b" / file).read_bytes() == (tmp_path / "c" / file).read_bytes()
    # Whoever may read the config may read the weights: safetensors' own writer would make them private.
    assert (tmp_path / "c" / WEIGHTS).stat().st_mode == (tmp_path / "c" / "config.json").stat().st_mode


@pytest.mark.parametrize(("dtype", "stored"), [("float16", "F16"), ("bfloat16", "F32"), ("float64", "F64")])
def test_saving_torch_weights(folders, tmp_path, dtype, stored):
    weights = load_weights(folders[TEACHER][0]).to("torch", dtype=dtype)
    save_weights(weights, tmp_path)
    with safe_open(tmp_path / WEIGHTS, "np") as opened:
        stored_names = list(opened.keys())
        assert {opened.get_slice(name).get_dtype() for name in stored_names} == {stored}
    again = load_weights(tmp_path)
    expected = {name: tensor.double().numpy() for name, tensor in named_arrays(weights)}
    assert_same_arrays(dict(named_arrays(again)), expected, np.float64 if dtype == "float64" else np.float32)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(folders, tmp_path, monkeypatch, step):
    weights = load_weights(folders["ViTModel"][0])
    save_weights(weights, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="no space left"):
        save_weights(map_weights(np.zeros_like, weights), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folder_that_is_a_file(folders, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(
        ValueError, match=r"folder must be a folder to write into, got the file .*taken: choose another"
    ):
        save_weights(load_weights(folders["ViTModel"][0]), tmp_path / "taken")
