"""Files of the original repository and of timm, files that stand alone, and names on the hub."""

import argparse
import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import deit_ref
from deit_ref.checkpoints import hub, names
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import draw_arrays, init_weights, named_arrays

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = np.load(GOLDEN / "numbers.npz")

CONFIG = DeiTConfig(
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    layer_norm_eps=1e-6,
    image_size=32,
    patch_size=8,
    num_labels=5,
)
PLAIN = dataclasses.replace(CONFIG, distilled=False)
TEACHER = "classification-with-teacher"


def arrays_of(config, task, seed=0):
    """Our names, which are the original ones, and values among which no two are alike."""
    return {name: array + np.float32(1e-3) for name, array in named_arrays(init_weights(config, task, seed=seed))}


def state_of(arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


def saved(path, value, **options):
    torch.save(value, path, **options)
    return path


def assert_holds(weights, arrays):
    found = dict(named_arrays(weights))
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# timm's own numbers


def within(found, expected):
    """As DESIGN's table says: 1e-5 of the largest."""
    difference = np.abs(np.asarray(found, np.float64) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max(), difference


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_timm(backend, dtype):
    """The files are what torch.save wrote, in the two containers, with fp16 weights."""
    output = deit_ref.forward(
        deit_ref.load_weights(GOLDEN / "plain.pth"),
        pixel_values=NUMBERS["plain_pixel_values"],
        backend=backend,
        dtype=dtype,
    )
    within(output.logits, NUMBERS["plain_logits"])
    output = deit_ref.forward(
        deit_ref.load_weights(GOLDEN / "distilled.pth"),
        pixel_values=NUMBERS["distilled_pixel_values"],
        backend=backend,
        dtype=dtype,
    )
    within(output.logits, NUMBERS["distilled_logits"])
    within(output.cls_logits, NUMBERS["distilled_cls_logits"])
    within(output.distillation_logits, NUMBERS["distilled_distillation_logits"])


def test_the_golden_files_say_where_they_come_from():
    assert json.loads((GOLDEN / "versions.json").read_text())["timm"] == "1.0.31"
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 200_000


# Names and containers


def test_number_of_tensors():
    """152 in a published plain model, 155 in a distilled one (parity with the original repository)."""
    for config, task, count in ((PLAIN, "classification", 152), (CONFIG, TEACHER, 155)):
        twelve = dataclasses.replace(config, num_hidden_layers=12)
        assert len(names.original_shapes({n: a.shape for n, a in arrays_of(twelve, task).items()}, task)) == count


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [dict, lambda state: {"model": state}, lambda state: {"state_dict": state, "epoch": 3}]
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".pth.tar"])
def test_a_file_alone(tmp_path, legacy, wrap, prefix, suffix):
    config, task = (CONFIG, TEACHER) if suffix == ".pth" else (PLAIN, "classification")
    arrays = arrays_of(config, task)
    state = {prefix + name: tensor for name, tensor in state_of(arrays).items()}
    file = saved(tmp_path / f"a{suffix}", wrap(state), _use_new_zipfile_serialization=not legacy)
    weights = deit_ref.load_weights(file)
    assert weights.task == task
    assert weights.config == config
    assert weights.image_processing == ImageProcessing.original(32)
    assert weights.class_names is None
    assert_holds(weights, arrays)


def test_training_file_and_its_average(tmp_path):
    model, average = arrays_of(CONFIG, TEACHER), arrays_of(CONFIG, TEACHER, seed=1)
    parameters = [torch.nn.Parameter(torch.ones(3))]
    optimizer = torch.optim.AdamW(parameters)
    parameters[0].sum().backward()
    optimizer.step()
    rest = {
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3).state_dict(),
        "epoch": 299,
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "args": argparse.Namespace(model="deit_tiny", lr=5e-4, distillation_type="hard", mixup=0.8, aa=None),
    }
    file = saved(tmp_path / "checkpoint.pth", {"model": state_of(model), "model_ema": state_of(average), **rest})
    assert_holds(deit_ref.load_weights(file), model)
    assert_holds(deit_ref.load_weights(file, revision="ema"), average)

    timm = saved(tmp_path / "last.pth.tar", {"state_dict": state_of(model), "state_dict_ema": state_of(average)})
    assert_holds(deit_ref.load_weights(timm, revision="ema"), average)
    with pytest.raises(ValueError, match=r"no weights called 'v1'; there is model, model_ema: choose with revision="):
        deit_ref.load_weights(file, revision="v1")
    assert_holds(deit_ref.load_weights(file, revision="model"), model)

    for state in ({"model": state_of(model)}, state_of(model)):
        saved(tmp_path / "without.pth", state)
        with pytest.raises(ValueError, match=r"has no averaged weights \(model_ema\); .* choose with revision="):
            deit_ref.load_weights(tmp_path / "without.pth", revision="ema")
    saved(tmp_path / "only.pth", {"model_ema": state_of(average)})
    with pytest.raises(
        ValueError, match=r"has no weights but averaged ones; there is model_ema: choose with revision="
    ):
        deit_ref.load_weights(tmp_path / "only.pth")


def test_safetensors_with_original_names(tmp_path):
    arrays = arrays_of(CONFIG, TEACHER)
    save_file(arrays, tmp_path / "a.safetensors")
    weights = deit_ref.load_weights(tmp_path / "a.safetensors")
    assert weights.config == CONFIG
    assert_holds(weights, arrays)


def test_the_same_model_in_both_layouts(tmp_path):
    """What `save_weights` writes for transformers holds the same arrays and is read by the same rules."""
    file = saved(tmp_path / "a.pth", state_of(arrays_of(CONFIG, TEACHER)))
    weights = deit_ref.load_weights(file)
    deit_ref.save_weights(weights, tmp_path / "folder")
    again = deit_ref.load_weights(tmp_path / "folder")
    assert again.config == CONFIG
    assert again.image_processing == ImageProcessing.original(32)
    assert_holds(again, dict(named_arrays(weights)))


def test_another_task(tmp_path):
    """The class head of a teacher model is not a classifier's, as in transformers' names."""
    arrays = arrays_of(CONFIG, TEACHER)
    file = saved(tmp_path / "a.pth", state_of(arrays))
    with pytest.warns(UserWarning, match=r"task='features' drops head, head_dist of") as caught:
        weights = deit_ref.load_weights(file, task="features")
    assert caught[0].filename == __file__
    body = {name: array for name, array in arrays.items() if not name.startswith("head")}
    assert_holds(weights, body)
    with (
        pytest.warns(UserWarning, match=r"drops head, head_dist of"),
        pytest.raises(ValueError, match=r"There is no head for task='classification': pass seed="),
    ):
        deit_ref.load_weights(file, task="classification")
    with pytest.warns(UserWarning, match=r"drops head, head_dist of"):
        weights = deit_ref.load_weights(file, task="classification", seed=3)
    drawn = draw_arrays({"head.weight": (5, 128), "head.bias": (5,)}, std=0.02, seed=3)
    assert_holds(weights, body | drawn)

    plain = saved(tmp_path / "b.pth", state_of(arrays_of(PLAIN, "classification")))
    assert deit_ref.load_weights(plain, task="classification").head.weight.shape == (5, 128)


def test_a_layer_before_the_head(tmp_path, caplog):
    """Old files of timm: a pooler to the features task, and to no other, because there the head would stand on it."""
    arrays = arrays_of(dataclasses.replace(PLAIN, pooler_output_size=24), "features")
    state = {name.replace("pooler.", "pre_logits.fc."): tensor for name, tensor in state_of(arrays).items()}
    assert_holds(deit_ref.load_weights(saved(tmp_path / "a.pth", state)), arrays)

    state |= {"head.weight": torch.ones(5, 24), "head.bias": torch.ones(5)}
    file = saved(tmp_path / "b.pth", state)
    for task in (None, "classification"):
        with pytest.raises(ValueError, match=r"a layer pre_logits.fc before the head, .* only task='features'"):
            deit_ref.load_weights(file, task=task)
    with pytest.warns(UserWarning, match="drops head of"):
        assert_holds(deit_ref.load_weights(file, task="features"), arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("norm.bias"), r"missing: norm.bias\."),
        (lambda state: state.pop("blocks.1.attn.qkv.bias"), r"missing: blocks.1.attn.qkv.bias\."),
        (lambda state: state.update({"blocks.0.ls1.gamma": torch.ones(128)}), r"no layer scale for blocks.0.mlp.f"),
        (
            lambda state: state.update({"module.norm.bias": state["norm.bias"]}),
            r"unexpected: module.norm.bias",
        ),
        (lambda state: state.update({"norm.bias": torch.ones(128).int()}), r"got norm.bias \(I32\)"),
        (lambda state: state.pop("pos_embed"), r"pos_embed with 3 axes would tell .* there is no such tensor: pass"),
        (lambda state: state.update({"pos_embed": torch.ones(18, 128)}), r"there is \(18, 128\): pass config="),
        (
            lambda state: state.update({"pos_embed": torch.ones(1, 17, 128)}),
            r"The position embeddings are for 15 patches, which is not a square: pass config=",
        ),
        (lambda state: state.update({"pos_embed": torch.ones(1, 1, 128)}), r"for -1 patches, which is not a square"),
        (
            lambda state: state.pop("patch_embed.proj.weight"),
            r"No tensor is called patch_embed.proj.weight or embeddings.patch_embeddings.projection.weight",
        ),
        (
            lambda state: state.update({"patch_embed.proj.weight": torch.ones(128, 3)}),
            r"patch_embed.proj.weight with 4 axes would tell",
        ),
        (
            lambda state: state.update({"patch_embed.proj.weight": torch.ones(100, 3, 8, 8)}),
            r"hidden_size 100 is not a mul",
        ),
        (lambda state: state.update({"patch_embed.proj.weight": torch.ones(128, 3, 0, 8)}), r"image_size\[0\] must be"),
        (lambda state: state.update({"head.weight": torch.tensor(1.0)}), r"head.weight has shape \(\), expected"),
        (lambda state: state.update({"blocks.7.norm1.bias": torch.ones(128)}), r"missing: blocks.2.norm1.weight"),
    ],
)
def test_files_that_do_not_fit(tmp_path, change, message):
    state = state_of(arrays_of(CONFIG, TEACHER))
    change(state)
    with pytest.raises(ValueError, match=message):
        deit_ref.load_weights(saved(tmp_path / "a.pth", {"model": state}))


# What is guessed when no config is there


def test_each_guess_is_said(tmp_path, caplog):
    file = saved(tmp_path / "a.pth", state_of(arrays_of(CONFIG, TEACHER)))
    with caplog.at_level(logging.WARNING, "deit_ref"):
        deit_ref.load_weights(file)
    assert [line.split(" ")[0] for line in caplog.messages] == [str(file), *["Guessed:"] * 4]
    assert "Guessed: num_attention_heads = hidden_size / 64 = 2." in caplog.messages
    assert "Guessed: layer_norm_eps = 1e-06, as for original names." in caplog.messages
    assert "Guessed: images are processed by ImageProcessing.original(32)." in caplog.messages


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("task", ["features", "classification", TEACHER, "masked-image-modeling"])
def test_transformers_names_without_a_config(tmp_path, caplog, task, suffix):
    config = dataclasses.replace(CONFIG, encoder_stride=4, pooler_output_size=24, qkv_bias=task != "features")
    weights = init_weights(config, task, seed=0)
    deit_ref.save_weights(weights, tmp_path / "folder")
    file = tmp_path / f"alone{suffix}"
    if suffix == ".bin":
        from safetensors.torch import load_file

        torch.save(load_file(tmp_path / "folder" / "model.safetensors"), file)
    else:
        (tmp_path / "folder" / "model.safetensors").rename(file)
    with caplog.at_level(logging.WARNING, "deit_ref"):
        again = deit_ref.load_weights(file)
    assert "Guessed: layer_norm_eps = 1e-12, as for transformers' names." in caplog.messages
    # What no tensor tells has its default.
    untold = {"layer_norm_eps": 1e-12}
    if task != "features":
        untold["pooler_output_size"] = 128
    if task in ("features", "masked-image-modeling"):
        untold["num_labels"] = 2
    if task != "masked-image-modeling":
        untold["encoder_stride"] = 16
    assert again.config == dataclasses.replace(config, **untold)
    assert again.image_processing == ImageProcessing.original(32)
    assert_holds(again, dict(named_arrays(weights)))


def test_config_and_processing_beside_a_file(tmp_path, caplog):
    arrays = arrays_of(CONFIG, TEACHER)
    file = saved(tmp_path / "a.pth", state_of(arrays))
    config = dataclasses.replace(CONFIG, num_attention_heads=4, layer_norm_eps=1e-3)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 40, "crop_size": 32}))
    with caplog.at_level(logging.WARNING, "deit_ref"):
        weights = deit_ref.load_weights(file)
    assert caplog.messages == []
    assert weights.config == config
    assert weights.image_processing.size == {"height": 40, "width": 40}
    (tmp_path / "preprocessor_config.json").unlink()
    assert deit_ref.load_weights(file).image_processing == ImageProcessing.original(32)
    (tmp_path / "config.json").unlink()
    assert deit_ref.load_weights(file, config=config).config == config


def test_sizes_that_are_not_square(tmp_path):
    config = dataclasses.replace(CONFIG, image_size=(32, 48), patch_size=(8, 16))
    arrays = arrays_of(dataclasses.replace(CONFIG, image_size=(16, 32), patch_size=(8, 16)), TEACHER)
    weights = deit_ref.load_weights(saved(tmp_path / "a.pth", state_of(arrays)))
    assert weights.config.image_size == (16, 32)
    arrays = arrays_of(config, TEACHER)
    file = saved(tmp_path / "b.pth", state_of(arrays))
    with pytest.raises(ValueError, match=r"for 12 patches, which is not a square: pass config=deit_ref.DeiTConfig"):
        deit_ref.load_weights(file)
    assert deit_ref.load_weights(file, config=config).config == config


def test_the_decoder_must_draw_squares(tmp_path):
    arrays = arrays_of(dataclasses.replace(CONFIG, encoder_stride=(2, 4)), "masked-image-modeling")
    with pytest.raises(ValueError, match=r"The decoder draws 8 pixels per token, which is not a square: pass config="):
        deit_ref.load_weights(saved(tmp_path / "a.pth", state_of(arrays)))


# Names on the hub

READ = """
import json, sys, warnings
import deit_ref
for source, revision in json.loads(sys.argv[1]):
    try:
        weights = deit_ref.load_weights(source, revision=revision)
        print(json.dumps([weights.task, float(weights.norm.bias[0]), weights.config.num_labels]))
    except ValueError as error:
        print(json.dumps(str(error)))
"""


def read_offline(cache, *sources):
    """What `load_weights` gives in a new process, whose hub is a folder and which never goes to the network."""
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "error"}
    environment = {name: value for name, value in environment.items() if name != "HF_HUB_CACHE"}
    result = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(sources)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(deit_ref.__file__).parents[1],
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def cached(cache, name, commit, weights, *, pickled=False, branch=None):
    """Weights as huggingface_hub caches them: blobs, links to them by commit, and the commit of each branch."""
    home = cache / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    deit_ref.save_weights(weights, snapshot)
    if pickled:
        from safetensors.torch import load_file

        torch.save(load_file(snapshot / "model.safetensors"), snapshot / "pytorch_model.bin")
        (snapshot / "model.safetensors").unlink()
    (home / "blobs").mkdir(exist_ok=True)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        blob = home / "blobs" / f"{commit}{number}"
        file.rename(blob)
        file.symlink_to(Path("..", "..", "blobs", blob.name))
    if branch:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / branch).write_text(commit)


def test_names_on_the_hub(tmp_path):
    def weights(number, task="classification"):
        drawn = init_weights(PLAIN, task, seed=0)
        drawn.norm.bias[:] = number
        return drawn

    first, second, third = "a" * 40, "b" * 40, "c" * 40
    cached(tmp_path, "owner/deit-tiny", first, weights(1), branch="main")
    cached(tmp_path, "owner/deit-tiny", second, weights(2, "features"), branch="v2")
    cached(tmp_path, "owner/old.model", third, weights(3), pickled=True, branch="main")
    (tmp_path / "hub" / "models--owner--empty" / "snapshots" / first).mkdir(parents=True)
    (tmp_path / "hub" / "models--owner--empty" / "refs").mkdir()
    (tmp_path / "hub" / "models--owner--empty" / "refs" / "main").write_text(first)
    found = read_offline(
        tmp_path,
        ("owner/deit-tiny", None),
        ("owner/deit-tiny", "main"),
        ("owner/deit-tiny", "v2"),
        ("owner/deit-tiny", second),
        ("owner/old.model", None),
        ("owner/deit-tiny", "v3"),
        ("owner/gone", None),
        ("owner/empty", None),
    )
    assert found[:5] == [
        ["classification", 1.0, 5],
        ["classification", 1.0, 5],
        ["features", 2.0, 5],
        ["features", 2.0, 5],
        ["classification", 3.0, 5],
    ]
    assert "no such checkpoint could be had from the hub in revision 'v3' (LocalEntryNotFoundError" in found[5]
    assert found[6].startswith("There is no folder or file 'owner/gone', and no such checkpoint could be had from the")
    assert "with HF_HUB_OFFLINE, download it first (hf download owner/gone) or pass a folder" in found[6]
    assert "holds none of model.safetensors, model.safetensors.index.json, pytorch_model.bin" in found[7]


def test_only_what_is_needed_is_fetched(monkeypatch, tmp_path):
    """safetensors where there are any, else pickles of the same version; and nothing else of the repository."""
    import huggingface_hub

    calls = []
    repository = (
        "config.json preprocessor_config.json README.md tf_model.h5 flax_model.msgpack pytorch_model.bin".split()
    )

    def snapshot_download(name, *, revision, allow_patterns):
        from fnmatch import fnmatch

        calls.append((name, revision))
        folder = tmp_path / "commit"
        folder.mkdir(exist_ok=True)
        for file in repository:
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                (folder / file).touch()
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub.download("owner/name", "v1") == tmp_path / "commit"
    assert calls == [("owner/name", "v1"), ("owner/name", "commit")]
    assert sorted(file.name for file in (tmp_path / "commit").iterdir()) == [
        "config.json",
        "preprocessor_config.json",
        "pytorch_model.bin",
    ]
    for file in (tmp_path / "commit").iterdir():
        file.unlink()
    calls.clear()
    repository += ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model.fp16.safetensors"]
    hub.download("owner/name", None)
    assert calls == [("owner/name", None)]
    assert sorted(file.name for file in (tmp_path / "commit").iterdir()) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "preprocessor_config.json",
    ]


def test_without_huggingface_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ValueError, match=r"no folder or file 'owner/name', and .* missing: pip install 'deit_ref\[hub\]'"
    ):
        deit_ref.load_weights("owner/name")
