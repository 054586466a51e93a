"""An ONNX file computes what forward does, for any number of photos, and says all that is needed to use it."""

import dataclasses
import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from strategies import TINY, random_mask, random_pixels, random_weights
from tolerances import assert_close

import deit_ref
from deit_ref import onnx_export
from deit_ref.config import TASKS
from deit_ref.onnx_export import export_onnx
from deit_ref.photos import bundled_photo

DOCS = Path(__file__).parent.parent / "docs"
SMALL = dataclasses.replace(TINY, num_hidden_layers=1)
NAMES = ("bee", "cät", "the dog", "ant", "fish")


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def metadata(path):
    return {name: json.loads(text) for name, text in session(path).get_modelmeta().custom_metadata_map.items()}


def answers(path, **inputs):
    """Every output of the file by its name."""
    opened = session(path)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, inputs), strict=True))


@pytest.fixture(scope="module", params=TASKS)
def exported(request, tmp_path_factory):
    """Weights of each task and their file, attentions included."""
    weights = dataclasses.replace(random_weights(TINY, request.param), class_names=NAMES)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return weights, path, export_onnx(weights, path, attentions=True)


def test_outputs_are_those_of_forward(exported):
    weights, path, told = exported
    inputs = [value.name for value in session(path).get_inputs()]
    assert tuple(inputs) == told.inputs
    for batch in (1, 2, 5):
        given = {"pixel_values": random_pixels(batch=batch), "bool_masked_pos": random_mask((batch, TINY.num_patches))}
        given = {name: given[name] for name in inputs}
        found = answers(path, **given)
        output = deit_ref.forward(weights, **given, output_attentions=True)
        expected = {
            name: value
            for name, value in vars(output).items()
            if isinstance(value, np.ndarray) and name not in ("loss", "hidden_states")
        }
        expected |= {f"attentions.{i}": array for i, array in enumerate(output.attentions)}
        assert list(found) == list(told.differences)
        assert set(found) == set(expected)
        for name, array in found.items():
            assert_close(array, expected[name], "float32", name)


def test_the_batch_is_open_and_named(exported):
    _, path, told = exported
    opened = session(path)
    assert opened.get_inputs()[0].shape == ["batch", 3, 32, 32]
    assert {value.shape[0] for value in (*opened.get_inputs(), *opened.get_outputs())} == {"batch"}
    assert told.size == path.stat().st_size
    assert max(told.differences.values()) <= 1e-5
    assert min(told.differences.values()) > 0  # two ways to compute never round alike: nothing compares with itself


def test_the_metadata_tell_all(exported):
    weights, path, _ = exported
    found = metadata(path)
    assert found["task"] == weights.task
    assert found["deit_ref"] == deit_ref.__version__
    assert deit_ref.DeiTConfig.from_dict(found["config"]) == weights.config
    fields = {field.name for field in dataclasses.fields(deit_ref.ImageProcessing)}
    assert set(found["preprocessor_config"]) == fields | {"image_processor_type"}
    assert deit_ref.ImageProcessing.from_dict(found["preprocessor_config"]) == weights.image_processing
    if weights.head is None:
        assert "id2label" not in found
    else:
        assert found["id2label"] == {str(i): name for i, name in enumerate(NAMES)}
    assert found["provenance"]["opset"] == onnx_export.OPSET == onnx.load(path).opset_import[0].version
    assert re.fullmatch("[0-9a-f]{64}", found["provenance"]["weights"])
    assert "checkpoint" not in found["provenance"]


def test_masked_images_without_a_mask(tmp_path):
    """Nothing hidden is not a mask at all; where the loss cannot be, as in forward, there is nothing to hide."""
    weights = random_weights(SMALL, "masked-image-modeling")
    export_onnx(weights, tmp_path / "model.onnx")
    nothing = np.zeros((2, SMALL.num_patches), bool)
    found = answers(tmp_path / "model.onnx", pixel_values=random_pixels(), bool_masked_pos=nothing)
    whole = deit_ref.forward(weights, pixel_values=random_pixels()).reconstruction
    assert_close(found["reconstruction"], whole, "float32")
    coarse = random_weights(dataclasses.replace(SMALL, encoder_stride=4), "masked-image-modeling")
    assert export_onnx(coarse, tmp_path / "coarse.onnx").inputs == ("pixel_values",)


@pytest.mark.parametrize(
    ("task", "fields", "options"),
    [
        ("classification-with-teacher", {"num_labels": 0}, {}),
        ("classification", {"num_hidden_layers": 0, "distilled": False}, {}),
        ("features", {"hidden_act": "laplace", "pooler_act": "mish", "qkv_bias": False}, {}),
        ("features", {"hidden_act": "selu", "image_size": (8, 24), "num_channels": 1}, {"pooler": False}),
    ],
)
def test_models_of_every_shape(task, fields, options, tmp_path):
    """The export compares with forward by itself, and raises."""
    weights = random_weights(dataclasses.replace(SMALL, **fields), task, **options)
    assert max(export_onnx(weights, tmp_path / "model.onnx", attentions=True).differences.values()) <= 1e-5


def test_the_same_weights_give_the_same_bytes_and_nothing_of_this_machine(tmp_path, capfd, caplog):
    weights = random_weights(SMALL, "classification")
    with caplog.at_level(logging.INFO):
        export_onnx(weights, tmp_path / "one.onnx")
    export_onnx(weights.to("torch"), tmp_path / "two.onnx")
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    content = (tmp_path / "one.onnx").read_bytes()
    assert content == (tmp_path / "two.onnx").read_bytes()
    for place in (onnx_export.__file__, torch.__file__, __file__):
        assert place.rpartition("/")[0].encode() not in content
    assert len(content) < 4 * weights.num_parameters + 40_000
    other = random_weights(SMALL, "classification", seed=1)
    export_onnx(other, tmp_path / "two.onnx")
    digests = [metadata(tmp_path / name)["provenance"]["weights"] for name in ("one.onnx", "two.onnx")]
    assert digests[0] != digests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.onnx", "two.onnx"]


def test_weights_in_training_are_exported_as_they_are(tmp_path):
    weights = random_weights(SMALL, "classification").to("torch")
    weights.pos_embed.requires_grad_()
    export_onnx(weights, tmp_path / "model.onnx")
    assert weights.pos_embed.requires_grad
    assert weights.pos_embed.grad is None


@pytest.mark.parametrize(("factor", "written"), [(1 + 5e-6, True), (1 + 3e-5, False), (np.nan, False)])
def test_a_file_that_computes_something_else_is_not_written(factor, written, tmp_path, monkeypatch):
    """Pretend that forward says otherwise: the old file stays, and nothing lies beside it."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def elsewhere(*arguments, **options):
        output = deit_ref.forward(*arguments, **options)
        return dataclasses.replace(output, logits=output.logits * np.float32(factor))

    monkeypatch.setattr(onnx_export, "forward", elsewhere)
    weights = random_weights(SMALL, "classification")
    if written:
        export_onnx(weights, path)
        assert path.read_bytes() != b"old"
        return
    with pytest.raises(ValueError, match=r"model.onnx was not written: logits in onnxruntime is .* allowed is 1e-05"):
        export_onnx(weights, path)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("model.onnx", b"old")]


def test_what_cannot_be_written_is_said_at_once(tmp_path, monkeypatch):
    weights, path = random_weights(SMALL, "classification"), tmp_path / "model.onnx"
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("nothing was to be exported"))
    for dtype in ("float64", "float16", "bfloat16"):
        with pytest.raises(ValueError, match=rf"written in float32, got weights of {dtype}: convert them first"):
            export_onnx(weights.to("torch", dtype=dtype), path)
    monkeypatch.setattr(onnx_export, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"at most 10,000 bytes, the weights have [\d,]+: take a smaller model"):
        export_onnx(weights, path)
    with pytest.raises(ValueError, match="attentions must be True or False, got 1"):
        export_onnx(weights, path, attentions=1)
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name.startswith("onnx") else 1)
    with pytest.raises(
        ValueError, match=r"needs onnx, onnx_ir, onnxscript, onnxruntime, not installed here: .*\[onnx\]"
    ):
        export_onnx(weights, path)
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "ml_dtypes" else 1)
    with pytest.raises(ValueError, match=r"needs ml_dtypes, not installed here: .*\[onnx\]"):
        export_onnx(weights, path)
    assert not path.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named_before_the_export(value, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("nothing was to be exported"))
    weights = random_weights(SMALL, "classification")
    for chosen in (weights, weights.to("torch")):
        chosen.blocks[0].norm1.bias[2] = value
        with pytest.raises(ValueError, match=r"finite weights, got NaN or infinity in blocks\.0\.norm1\.bias: take"):
            export_onnx(chosen, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_before_the_export(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("nothing was to be exported"))
    weights = random_weights(SMALL, "classification")
    (tmp_path / "dir.onnx").mkdir()
    (tmp_path / "file").touch()
    for place, words in (
        (tmp_path / "dir.onnx", "is a folder, an ONNX model is one file: choose another name."),
        (tmp_path / "absent" / "a.onnx", "cannot be written (No such file or directory): choose"),
        (tmp_path / "file" / "a.onnx", "cannot be written (Not a directory): choose"),
        (Path("/proc/a.onnx"), "cannot be written ("),  # whatever the user may do elsewhere, root included
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{place} {words}')}"):
            export_onnx(weights, place)


def test_a_failure_of_torch_is_one_line(tmp_path, monkeypatch):
    def fails(*_, **__):
        try:
            raise TypeError("no such\noperator")
        except TypeError as error:
            raise torch.onnx.OnnxExporterError("a page\nof advice") from error

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(RuntimeError, match=r"^torch \S+ cannot export this model: no such\\noperator$"):
        export_onnx(random_weights(SMALL, "classification"), tmp_path / "model.onnx")


def test_a_file_of_one_batch_size_is_one_line_and_not_written(tmp_path, monkeypatch):
    def for_two(*arguments, dynamic_shapes, export=torch.onnx.export, **options):
        return export(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", for_two)
    with pytest.raises(RuntimeError, match=r"^onnxruntime \S+ cannot run what torch has written: .*Expected: 2[^\n]*$"):
        export_onnx(random_weights(SMALL, "classification"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_page_uses_the_file_without_this_package(tmp_path, monkeypatch, capsys):
    """Its program, run on the bundled model and photos, prepares them to the same bits and gives the same answers."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "elsewhere.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    packages = set(re.findall(r"^(?:import|from) (\w+)", code, flags=re.MULTILINE))
    assert packages - sys.stdlib_module_names == {"numpy", "onnxruntime", "PIL"}
    photos = [str(bundled_photo(name)) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["elsewhere.py", *photos])
    export_onnx(deit_ref.load_weights(), "mine.onnx")
    names = {}
    exec(compile(code, "elsewhere.md", "exec"), names)
    printed = re.findall(r"^(.+): (\w+) ([\d.]+)%$", capsys.readouterr().out, flags=re.MULTILINE)
    expected = [top[0] for top in deit_ref.forward(deit_ref.load_weights(), photos).top(1)]
    assert [(photo, label) for photo, label, _ in printed] == [
        (photo, label) for photo, (label, _) in zip(photos, expected, strict=True)
    ]
    assert [float(share) for *_, share in printed] == pytest.approx([100 * share for _, share in expected], abs=0.01)
    for processing in (
        deit_ref.load_weights().image_processing,
        deit_ref.ImageProcessing.huggingface(64),
        deit_ref.ImageProcessing.original(65),
        deit_ref.ImageProcessing(
            size=(30, 50), do_center_crop=False, resample="lanczos", image_mean=0.4, image_std=0.2
        ),
        deit_ref.ImageProcessing(do_resize=False, crop_size=(201, 900), do_normalize=False),
        deit_ref.ImageProcessing(do_resize=False, crop_size=99, crop_rounding="round", do_rescale=False),
    ):
        weights = dataclasses.replace(deit_ref.load_weights(), image_processing=processing)
        names["steps"] = json.loads(onnx_export._metadata(weights)["preprocessor_config"])
        for photo in photos:
            np.testing.assert_array_equal(names["prepared"](photo)[None], deit_ref.preprocess(photo, processing))
    Image.new("I;16", (40, 40)).save("deep.png")
    Image.new("RGBA", (40, 40)).save("clear.png")
    for photo in ("deep.png", "clear.png"):
        with pytest.raises(AssertionError, match=rf"{photo}: mode .*, 16 bits or transparency, is not treated here"):
            names["prepared"](photo)
    whole = deit_ref.load_weights()
    several, real = (
        dataclasses.replace(whole, config=dataclasses.replace(whole.config, problem_type=kind))
        for kind in ("multi_label_classification", "regression")
    )
    export_onnx(several, "mine.onnx")
    exec(compile(code, "elsewhere.md", "exec"), names)
    np.testing.assert_allclose(names["shares"], deit_ref.forward(several, photos).probabilities, atol=1e-5)
    told = onnx.load("mine.onnx")
    onnx.helper.set_model_props(told, onnx_export._metadata(real))
    onnx.save(told, "mine.onnx")
    with pytest.raises(AssertionError, match="the model has no classes"):
        exec(compile(code, "elsewhere.md", "exec"), names)
