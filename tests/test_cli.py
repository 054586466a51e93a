"""The commands as a user types them: what they print, where, and their exit codes."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
from PIL import Image

import deit_ref
from deit_ref import commands, onnx_export, photos, plots
from deit_ref.training.masking import random_masks
from deit_ref.weights import map_weights, named_arrays

NAMES = ("cat", "dog", "fish", "bird", "bee", "ant")
CONFIG = deit_ref.DeiTConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    image_size=32,
    patch_size=8,
    encoder_stride=8,
    num_labels=6,
    initializer_range=0.3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small checkpoint on disk."""
    path = tmp_path_factory.mktemp("checkpoint")
    weights = deit_ref.init_weights(CONFIG, "classification-with-teacher", seed=0, class_names=NAMES)
    deit_ref.save_weights(weights, path)
    return str(path)


@pytest.fixture(scope="module")
def simmim(tmp_path_factory):
    """A small checkpoint that reconstructs."""
    path = tmp_path_factory.mktemp("simmim")
    deit_ref.save_weights(deit_ref.init_weights(CONFIG, "masked-image-modeling", seed=0), path)
    return str(path)


@pytest.fixture
def images(tmp_path):
    """A folder with two photos, a broken one and a text."""
    inside = tmp_path / "photos"
    (inside / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "more/c.png")):
        noise = np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(inside / name)
    (inside / "b.jpg").write_bytes(b"no image")
    (inside / "notes.txt").write_text("no image either")
    return inside


def run(capsys, *argv):
    """Exit code, standard output and standard error of one command."""
    try:
        code = commands.main([str(word) for word in argv])
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def assert_one_line_error(result, *words):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("deit-ref: error: ")
    for word in words:
        assert word in err


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_classify_prints_what_forward_says(capsys, folder, images, backend):
    path = str(images / "a.png")
    expected = deit_ref.forward(deit_ref.load_weights(folder), path).top(3)[0]
    code, out, err = run(capsys, "classify", path, "--weights", folder, "--top", 3, "--backend", backend)
    assert (code, err) == (0, "")
    lines = [path, *(f"  {probability:7.2%}  {name}" for name, probability in expected)]
    assert out.splitlines() == lines
    code, out, err = run(capsys, "classify", path, "--weights", folder, "--top", 3, "--json", "--backend", backend)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["image"] == path
    assert [entry["class"] for entry in found["top"]] == [name for name, _ in expected]
    np.testing.assert_allclose(
        [entry["probability"] for entry in found["top"]], [probability for _, probability in expected], rtol=1e-4
    )


def test_a_broken_file_is_reported_and_the_rest_goes_on(capsys, folder, images):
    code, out, err = run(capsys, "classify", images, images / "absent.png", "--weights", folder, "--json")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    names = [str(images / name) for name in ("a.png", "b.jpg", "more/c.png", "absent.png")]
    assert [line["image"] for line in lines] == names
    assert [set(line) - {"image"} for line in lines] == [{"top"}, {"error"}, {"top"}, {"error"}]
    assert [len(line["top"]) for line in lines if "top" in line] == [5, 5]
    assert lines[0]["top"] != lines[2]["top"]
    left_out, first, second = err.splitlines()
    assert left_out == f"deit-ref: {images}: left out are 1 .txt."
    assert first.startswith("deit-ref: error: ")
    assert "b.jpg' is not an image" in first
    assert "There is no file" in second
    code, out, err = run(capsys, "classify", images, "--weights", folder)
    assert code == 1
    assert out.count("%") == 10
    assert "b.jpg" not in out
    assert "b.jpg" in err


def test_patterns_are_expanded(capsys, folder, images):
    code, out, _ = run(capsys, "classify", images / "**" / "*.png", "--weights", folder, "--json")
    assert code == 0
    assert [json.loads(line)["image"] for line in out.splitlines()] == [
        str(images / "a.png"),
        str(images / "more" / "c.png"),
    ]


def test_without_an_image_the_bundled_photo_is_taken_and_said(capsys, folder):
    code, out, err = run(capsys, "classify", "--weights", folder)
    assert code == 0
    assert out.startswith(str(photos.bundled_photo()))
    assert err == "deit-ref: no image was given: this is the bundled photo.\n"


def test_a_turned_photo_is_warned_about(capsys, folder, images):
    exif = Image.Exif()
    exif[274] = 6
    path = images / "turned.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    code, _, err = run(capsys, "classify", path, "--weights", folder)
    assert code == 0
    assert err.startswith(f"deit-ref: warning: {path} is stored turned")
    assert err.count("\n") == 1


def test_progress_is_counted_where_there_is_no_terminal(capsys, folder, images):
    code, out, err = run(capsys, "classify", *[images / "a.png"] * 201, "--weights", folder, "--top", 1)
    assert code == 0
    assert out.count("%") == 201
    first, second, pace = err.splitlines()
    assert (first, second) == ("deit-ref: 100 of 201 images", "deit-ref: 200 of 201 images")
    assert re.match(
        r"deit-ref: 201 photos in [\d.]+ s, [\d.]+ photos/s; \d+% of the time the model was at work: ", pace
    )


def test_progress_bar_on_a_terminal_leaves_the_output_alone(capsys, folder, images, monkeypatch):
    words = ["classify", *[images / "a.png"] * 3, "--weights", folder]
    _, expected, _ = run(capsys, *words)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, out, err = run(capsys, *words)
    assert code == 0
    assert out == expected
    assert "/3 [" in err
    monkeypatch.setitem(sys.modules, "tqdm", None)  # not installed
    assert run(capsys, *words) == (0, expected, "")


@pytest.mark.parametrize(("backend", "dtype"), [("numpy", "float64"), ("torch", "bfloat16")])
def test_inspect_shows_every_traced_step(capsys, folder, images, backend, dtype):
    path = str(images / "a.png")
    options = ("--weights", folder, "--backend", backend, "--dtype", dtype)
    trace = deit_ref.Trace()
    deit_ref.forward(deit_ref.load_weights(folder), path, backend=backend, dtype=dtype, trace=trace)
    code, out, err = run(capsys, "inspect", path, *options)
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["step", "shape", "dtype", "min", "mean", "max"]
    assert [row.split()[0] for row in rows] == list(trace)
    assert rows[-1].split()[1:3] == ["1x6", dtype]
    code, out, _ = run(capsys, "inspect", path, *options, "--json")
    assert code == 0
    steps = {step["name"]: step for step in map(json.loads, out.splitlines())}
    assert list(steps) == list(trace)
    for name, array in trace.items():
        values = deit_ref.arrays.as_numpy(array).astype(np.float64)
        assert steps[name]["shape"] == list(values.shape)
        assert steps[name]["dtype"] == str(array.dtype).removeprefix("torch.")
        expected = [values.min(), values.mean(), values.max()]
        np.testing.assert_allclose([steps[name][key] for key in ("min", "mean", "max")], expected, rtol=1e-12)
        assert steps[name]["not_finite"] == 0


def test_inspect_finds_nan_in_steps_and_weights(capsys, images, tmp_path):
    weights = deit_ref.init_weights(CONFIG, "classification", seed=0)
    bad = map_weights(np.copy, weights)
    bad.blocks[1].mlp.fc1.bias[3] = np.nan
    deit_ref.save_weights(bad, tmp_path / "bad")
    code, out, err = run(capsys, "inspect", images / "a.png", "--weights", tmp_path / "bad", "--json")
    assert code == 0
    assert "NaN" not in out
    steps = [json.loads(line) for line in out.splitlines()]
    assert steps[-1]["mean"] is None
    assert steps[-1]["not_finite"] == 6
    assert steps[0]["not_finite"] == 0
    assert "deit-ref: warning: 1 of 64 values of the weights blocks.1.mlp.fc1.bias are NaN or infinite.\n" in err
    assert "deit-ref: warning: The result is not finite: the weights contain NaN" in err
    code, out, err = run(capsys, "classify", images / "a.png", "--weights", tmp_path / "bad", "--json")
    assert json.loads(out)["top"][0]["probability"] is None
    assert "not finite" in err


def test_inspect_takes_any_task_and_classify_does_not(capsys, images, tmp_path):
    deit_ref.save_weights(deit_ref.init_weights(CONFIG, "masked-image-modeling", seed=0), tmp_path / "simmim")
    options = ("--weights", tmp_path / "simmim")
    assert run(capsys, "inspect", images / "a.png", *options)[0] == 0
    result = run(capsys, "classify", images / "a.png", *options)
    assert_one_line_error(result, "classification head", "'masked-image-modeling'")
    unlabeled = deit_ref.init_weights(dataclasses.replace(CONFIG, num_labels=0), "classification", seed=0)
    deit_ref.save_weights(unlabeled, tmp_path / "unlabeled")
    result = run(capsys, "classify", images / "a.png", "--weights", tmp_path / "unlabeled")
    assert_one_line_error(result, "weights with classes, got a model without labels (num_labels=0): fine-tune it")


def test_compare_prints_the_table_and_its_verdict(capsys, folder, images, monkeypatch):
    path = images / "a.png"
    code, out, err = run(capsys, "compare", path, "--weights", folder, "--dtype", "float64")
    assert (code, err) == (0, "")
    expected = deit_ref.compare(deit_ref.load_weights(folder), path, dtype="float64")
    assert out == f"{expected}\n"
    assert expected.agrees
    monkeypatch.setattr(type(expected), "agrees", False)
    assert run(capsys, "compare", path, "--weights", folder)[0] == 1


def read_png(path):
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


@pytest.mark.parametrize(
    ("options", "backend", "chosen"),
    [
        ((), "numpy", {}),
        (("--layer", "all", "--head", 3), "torch", {"heads": [3]}),
        (("--layer", 1, "--head", "all"), "numpy", {"layers": [1]}),
    ],
)
def test_attention_writes_the_figures_of_the_forward_pass(capsys, folder, images, tmp_path, options, backend, chosen):
    photo, out = images / "a.png", tmp_path / "attention.PNG"
    words = ("attention", photo, "--out", out, "--weights", folder, "--backend", backend, *options)
    code, printed, err = run(capsys, *words)
    picture = read_png(out)
    assert (code, printed) == (0, "")
    assert err == f"deit-ref: {out}: a picture of {picture.shape[1]}x{picture.shape[0]} pixels, width x height.\n"
    trace = deit_ref.Trace()
    deit_ref.forward(deit_ref.load_weights(folder), photo, trace=trace, backend=backend)
    seen = deit_ref.arrays.as_numpy(trace["images.0.cropped"])
    attentions = trace.matching("blocks.*.attention.probabilities")
    size = {"grid": (4, 4), "num_prefix_tokens": 2}
    expected = plots.rendered(
        plots.rollout_overlay(seen, attentions, **size),
        plots.attention_maps(seen, attentions, token="cls", **size, **chosen),
        plots.attention_maps(seen, attentions, token="dist", **size, **chosen),
    )
    assert np.array_equal(picture, expected)


@pytest.mark.parametrize(
    ("method", "backend", "named", "label"),
    [
        ("relevance", "numpy", None, None),
        ("relevance", "torch", "bee", 4),
        ("gradient", "torch", None, None),
        ("gradient", "numpy", "5", 5),
    ],
)
def test_attention_of_a_class(capsys, folder, images, tmp_path, method, backend, named, label):
    photo, out = images / "a.png", tmp_path / "why.png"
    words = ("attention", photo, "--out", out, "--weights", folder, "--backend", backend, "--method", method)
    code, printed, err = run(capsys, *words, *(() if named is None else ("--class", named)))
    assert (code, printed) == (0, "")
    assert err.startswith(f"deit-ref: {out}: a picture of")
    weights = deit_ref.load_weights(folder).to(backend)
    pixel_values = deit_ref.preprocess(photo, weights.image_processing, backend=backend)
    output = deit_ref.forward(weights, pixel_values=pixel_values, output_attentions=True, backend=backend)
    if label is None:
        label = NAMES.index(output.top(1)[0][0][0])
    asked = "attentions" if method == "relevance" else "pixel_values"
    found = deit_ref.gradients(
        weights, pixel_values=pixel_values, target=label, with_respect_to=(asked,), backend=backend
    )
    seen, size = plots.to_photos(pixel_values, weights.image_processing)[0], {"grid": (4, 4), "num_prefix_tokens": 2}
    if method == "relevance":
        options = {"class_name": NAMES[label], **size}
        first = plots.relevance_overlay(seen, output.attentions, found.attentions, **options)
    else:
        first = plots.saliency_overlay(seen, found.pixel_values, class_name=NAMES[label])
    expected = plots.rendered(
        first, *(plots.attention_maps(seen, output.attentions, token=token, **size) for token in ("cls", "dist"))
    )
    assert np.array_equal(read_png(out), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--class", "cat"), ("--class needs --method relevance or gradient",)),
        (("--method", "relevance", "--class", "zebra"), ("cat, dog, fish", "0 to 5", "'zebra'")),
        (("--method", "gradient", "--class", "6"), ("0 to 5", "'6'")),
        (("--method", "chance"), ("--method", "'chance'")),
    ],
)
def test_attention_asks_for_a_class_that_there_is(capsys, folder, images, tmp_path, options, words):
    out = tmp_path / "why.png"
    assert_one_line_error(
        run(capsys, "attention", images / "a.png", "--out", out, "--weights", folder, *options), *words
    )
    assert not out.exists()


def test_attention_of_a_class_needs_classes(capsys, simmim, images, tmp_path):
    words = ("attention", images / "a.png", "--out", tmp_path / "why.png", "--weights", simmim)
    assert_one_line_error(run(capsys, *words, "--method", "gradient"), "--method gradient", "masked-image-modeling")


def test_relevance_of_a_plain_model_of_another_size(capsys, images, tmp_path):
    """One prefix token, a grid of 2 x 7, and classes without names."""
    config = deit_ref.DeiTConfig(
        32, 2, 4, 64, image_size=32, patch_size=8, distilled=False, initializer_range=0.3, num_labels=3
    )
    deit_ref.save_weights(deit_ref.init_weights(config, "classification", seed=0), tmp_path / "vit")
    words = ("attention", images / "a.png", "--weights", tmp_path / "vit", "--size", "16x56")
    for method in ("relevance", "gradient"):
        code, _, err = run(capsys, *words, "--out", tmp_path / f"{method}.png", "--method", method, "--class", "2")
        assert code == 0, err
    assert not np.array_equal(read_png(tmp_path / "relevance.png"), read_png(tmp_path / "gradient.png"))


def test_attention_of_a_plain_model_of_another_size(capsys, images, tmp_path):
    """One prefix token, and a grid of 2 x 7 that the positions are interpolated to."""
    config = deit_ref.DeiTConfig(32, 2, 4, 64, image_size=32, patch_size=8, distilled=False, initializer_range=0.3)
    deit_ref.save_weights(deit_ref.init_weights(config, "features", seed=0), tmp_path / "vit")
    out = tmp_path / "wide.png"
    words = ("attention", images / "a.png", "--out", out, "--weights", tmp_path / "vit")
    code, _, err = run(capsys, *words, "--size", "16x56")
    assert code == 0, err
    processing = deit_ref.ImageProcessing(
        size=(16, 56),
        do_center_crop=False,
        image_mean=deit_ref.image_processing.IMAGENET_MEAN,
        image_std=deit_ref.image_processing.IMAGENET_STD,
    )
    trace = deit_ref.Trace()
    weights = deit_ref.load_weights(tmp_path / "vit")
    deit_ref.forward(weights, images / "a.png", image_processing=processing, interpolate_pos_encoding=True, trace=trace)
    seen, attentions = trace["images.0.resized"], trace.matching("blocks.*.attention.probabilities")
    options = {"grid": (2, 7), "num_prefix_tokens": 1}
    expected = plots.rendered(
        plots.rollout_overlay(seen, attentions, **options), plots.attention_maps(seen, attentions, **options)
    )
    assert np.array_equal(read_png(out), expected)
    assert_one_line_error(run(capsys, *words, "--size", "20x56", "--force"), "20x56", "8x8")


@pytest.mark.parametrize("options", [(), ("--backend", "torch"), ("--size", "24x40")])
def test_reconstruct_prints_the_loss_and_draws_what_was_hidden(capsys, simmim, images, tmp_path, options):
    out = tmp_path / "guess.png"
    words = ("reconstruct", images / "a.png", "--out", out, "--weights", simmim, *options)
    code, printed, err = run(capsys, *words, "--mask-ratio", 0.4, "--seed", 5, "--block", 2)
    assert code == 0, err
    shape = (24, 40) if "--size" in options else (32, 32)
    grid = shape[0] // 8, shape[1] // 8
    mask = random_masks(1, grid, ratio=0.4, block=2, generator=np.random.default_rng(5))[0]
    weights = deit_ref.load_weights(simmim)
    processing = weights.image_processing
    if "--size" in options:
        mean, std = processing.image_mean, processing.image_std
        processing = deit_ref.ImageProcessing(size=shape, do_center_crop=False, image_mean=mean, image_std=std)
    trace = deit_ref.Trace()
    output = deit_ref.forward(
        weights,
        images / "a.png",
        image_processing=processing,
        bool_masked_pos=mask[None],
        interpolate_pos_encoding=True,
        trace=trace,
    )
    words_printed = printed.split()
    assert words_printed[:2] == ["masked", "L1"]
    assert float(words_printed[2]) == pytest.approx(float(output.loss), abs=2e-5)
    assert printed.endswith(f"{mask.sum()} of {mask.size} patches hidden\n")
    guess = plots.to_photos(output.reconstruction, processing)[0]
    seen = plots.to_photos(trace["pixel_values"], processing)[0]
    figure = plots.reconstruction_panel(seen, guess, mask, patch_shape=(8, 8), loss=float(output.loss))
    # A value on the edge between two bytes may fall to either side in the other backend.
    assert np.abs(read_png(out).astype(int) - plots.rendered(figure)).max() <= 1


def test_reconstruct_hides_the_same_patches_for_the_same_seed(capsys, simmim, images, tmp_path):
    words = ("reconstruct", images / "a.png", "--out", tmp_path / "guess.png", "--weights", simmim, "--force")
    first = run(capsys, *words)
    assert "10 of 16 patches hidden" in first[1]  # 0.6 of 16, rounded up
    assert run(capsys, *words, "--seed", 0, "--mask-ratio", 0.6, "--block", 1) == first
    assert run(capsys, *words, "--seed", 1)[1] != first[1]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_preprocess_writes_the_numbers_and_the_picture(capsys, folder, images, tmp_path, backend):
    photos_in = [images / "a.png", images / "more" / "c.png"]
    expected = deit_ref.preprocess(photos_in, deit_ref.load_weights(folder).image_processing, backend=backend)
    words = ("preprocess", *photos_in, "--weights", folder, "--backend", backend, "--out")
    code, printed, err = run(capsys, *words, tmp_path / "batch.NPY")
    assert (code, printed) == (0, f"0    {photos_in[0]}\n1    {photos_in[1]}\n")
    assert err == f"deit-ref: {tmp_path / 'batch.NPY'}: float32 of shape 2x3x32x32.\n"
    batch = np.load(tmp_path / "batch.NPY")
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, deit_ref.arrays.as_numpy(expected))
    assert run(capsys, *words, tmp_path / "seen.PNG")[0] == 0
    trace = deit_ref.Trace()
    deit_ref.preprocess(photos_in, deit_ref.load_weights(folder).image_processing, trace=trace)
    sheet = np.concatenate([trace["images.0.cropped"], trace["images.1.cropped"]], axis=1)
    np.testing.assert_array_equal(read_png(tmp_path / "seen.PNG"), sheet)


def test_preprocess_leaves_out_what_cannot_be_read(capsys, folder, images, tmp_path):
    out = tmp_path / "batch.npy"
    code, printed, err = run(capsys, "preprocess", images, "--weights", folder, "--out", out)
    assert code == 1
    assert printed == f"0    {images / 'a.png'}\n1    {images / 'more' / 'c.png'}\n"
    assert "b.jpg' is not an image" in err
    processing = deit_ref.load_weights(folder).image_processing
    np.testing.assert_array_equal(
        np.load(out), deit_ref.preprocess([images / "a.png", images / "more" / "c.png"], processing)
    )
    out.unlink()
    broken = images / "b.jpg"
    assert_one_line_error(run(capsys, "preprocess", broken, "--weights", folder, "--out", out), "is not an image")
    code, _, err = run(capsys, "preprocess", broken, broken, "--weights", folder, "--out", out)
    assert code == 2
    assert err.splitlines()[2] == f"deit-ref: error: none of the 2 images can be read: {out} was not written."
    assert not out.exists()


def test_preprocess_of_images_that_stay_of_different_sizes(capsys, images, tmp_path):
    processing = deit_ref.ImageProcessing(size={"shortest_edge": 32}, do_center_crop=False)
    weights = deit_ref.init_weights(CONFIG, "features", seed=0, image_processing=processing)
    deit_ref.save_weights(weights, tmp_path / "any_aspect")
    Image.new("RGB", (30, 60)).save(images / "d.png")
    words = ("preprocess", images / "a.png", images / "d.png", "--out", tmp_path / "x.png")
    code, _, err = run(capsys, *words, "--weights", tmp_path / "any_aspect")
    assert code == 2
    assert f"got in width x height 40x32 ({images / 'a.png'}) and 32x64 ({images / 'd.png'})" in err
    assert not (tmp_path / "x.png").exists()


def test_convert_writes_what_reads_back_the_same(capsys, folder, tmp_path):
    target = tmp_path / "new" / "converted"
    deit_ref.save_weights(deit_ref.load_weights(folder), tmp_path / "trained", provenance={"seed": 7})
    code, printed, err = run(capsys, "convert", tmp_path / "trained", target)
    assert (code, err) == (0, "")
    ours, theirs = deit_ref.load_weights(folder), deit_ref.load_weights(target)
    arrays = dict(named_arrays(ours))
    assert printed == (
        f"{target}: {len(arrays)} arrays of {ours.num_parameters:,} float32 numbers, task classification-with-teacher; "
        "read back, and every array is equal bit for bit.\n"
    )
    assert theirs.config == ours.config
    assert theirs.class_names == NAMES
    assert json.loads((target / "config.json").read_text())["provenance"] == {"seed": 7}
    for name, array in named_arrays(theirs):
        np.testing.assert_array_equal(array, arrays.pop(name))
    assert arrays == {}


def test_convert_keeps_what_lies_in_the_folder_unless_forced(capsys, folder, simmim, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run(capsys, "convert", folder, tmp_path)
    assert_one_line_error(result, str(tmp_path), "not empty", "--force")
    assert os.listdir(tmp_path) == ["notes.txt"]
    assert run(capsys, "convert", folder, tmp_path, "--force")[0] == 0
    assert run(capsys, "convert", simmim, tmp_path, "--force")[0] == 0
    assert deit_ref.load_weights(tmp_path).task == "masked-image-modeling"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert_one_line_error(run(capsys, "convert", folder, tmp_path / "notes.txt"), "notes.txt")
    assert_one_line_error(run(capsys, "convert", tmp_path / "absent", tmp_path / "x"), "absent")
    assert_one_line_error(run(capsys, "convert", folder), "FOLDER")


def test_convert_warns_of_nan_by_name_and_keeps_it(capsys, folder, tmp_path):
    bad = map_weights(np.copy, deit_ref.load_weights(folder))
    bad.blocks[1].mlp.fc1.bias[3] = np.nan
    bad.head.weight[0, :2] = np.inf
    deit_ref.save_weights(bad, tmp_path / "bad")
    code, printed, err = run(capsys, "convert", tmp_path / "bad", tmp_path / "out")
    assert code == 0
    assert "equal bit for bit" in printed
    assert err.splitlines() == [
        "deit-ref: warning: 1 of 64 values of the weights blocks.1.mlp.fc1.bias are NaN or infinite.",
        "deit-ref: warning: 2 of 192 values of the weights head.weight are NaN or infinite.",
    ]


def test_convert_drops_heads_for_a_task(capsys, folder, tmp_path):
    code, printed, err = run(capsys, "convert", folder, tmp_path / "features", "--task", "features")
    assert code == 0
    assert "task features" in printed
    assert "drops" in err
    assert deit_ref.load_weights(tmp_path / "features").task == "features"
    words = ("convert", tmp_path / "features", tmp_path / "simmim", "--task", "masked-image-modeling")
    assert_one_line_error(run(capsys, *words), "decoder", "seed")
    assert run(capsys, *words, "--seed", 3)[0] == 0
    drawn = deit_ref.load_weights(tmp_path / "features", task="masked-image-modeling", seed=3)
    np.testing.assert_array_equal(deit_ref.load_weights(tmp_path / "simmim").decoder.weight, drawn.decoder.weight)


def test_convert_finds_a_bit_that_did_not_come_back(capsys, folder, tmp_path, monkeypatch):
    save = deit_ref.save_weights

    def save_badly(weights, path, **options):
        worse = map_weights(np.copy, weights)
        worse.blocks[0].norm1.bias[0] = -0.0  # equal, and yet another bit
        save(worse, path, **options)

    monkeypatch.setattr(deit_ref, "save_weights", save_badly)
    result = run(capsys, "convert", folder, tmp_path / "out")
    assert_one_line_error(result, "does not read back", "blocks.0.norm1.bias changed")


def test_convert_to_onnx_says_what_the_file_takes_and_gives(capsys, folder, tmp_path):
    wide = deit_ref.load_weights(folder).to("numpy", dtype="float64")
    deit_ref.save_weights(wide, tmp_path / "wide", provenance={"seed": 7})
    path = tmp_path / "model.onnx"
    path.write_bytes(b"mine")
    words = ("convert", tmp_path / "wide", path, "--attentions")
    assert_one_line_error(run(capsys, *words), f"{path} is there already", "--force")
    assert path.read_bytes() == b"mine"
    code, printed, err = run(capsys, *words, "--force")
    assert (code, err) == (0, "deit-ref: the weights are float64, the file will be float32.\n")
    assert re.fullmatch(
        rf"{re.escape(str(path))}: {path.stat().st_size:,} bytes, opset 20, task classification-with-teacher, from "
        r"pixel_values to logits, cls_logits, distillation_logits, attentions\.0 and 1 more; run in onnxruntime on 1 "
        r"and 3 photos, and the largest difference from forward is \S+e-0[67] of the largest value\.\n",
        printed,
    )
    stored = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert stored["provenance"]["checkpoint"] == {"seed": 7}
    assert stored["id2label"] == {str(i): name for i, name in enumerate(NAMES)}


def test_convert_to_onnx_refuses_in_one_line_and_writes_nothing(capsys, folder, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxruntime" else 1)
    assert_one_line_error(run(capsys, "convert", folder, path), "needs onnxruntime", "pip install", "[onnx]")
    assert_one_line_error(run(capsys, "convert", folder, tmp_path / "absent" / "a.onnx"), "a folder that exists")
    path.mkdir()
    assert_one_line_error(run(capsys, "convert", folder, path), "which is a folder", "choose another name")
    path.rmdir()
    assert_one_line_error(run(capsys, "convert", folder, tmp_path / "new", "--attentions"), "--attentions", "leave it")
    assert_one_line_error(run(capsys, "convert", "cifar10-teacher", path), "convolutional teacher, no DeiT")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_what_to_draw_are_one_line_and_leave_nothing(capsys, folder, simmim, images, tmp_path):
    photo, out = images / "a.png", tmp_path / "x.png"
    attention = ("attention", photo, "--weights", folder, "--out")
    for name, words in {
        "x.jpg": (".png", "x.jpg"),
        "": (".png", "''"),
        "absent/x.png": ("folder that exists", "absent/x.png"),
    }.items():
        assert_one_line_error(run(capsys, *attention, name), "--out", *words)
    (tmp_path / "folder.png").mkdir()
    assert_one_line_error(run(capsys, *attention, tmp_path / "folder.png"), "folder.png")
    assert_one_line_error(run(capsys, "attention", photo), "--out")
    assert_one_line_error(run(capsys, *attention, photo), "is the image itself")
    assert_one_line_error(run(capsys, "preprocess", photo, "--out", images / ".." / "photos" / "a.png"), "itself")
    assert_one_line_error(run(capsys, "preprocess", photo, "--out", tmp_path / "x.npz"), ".png or .npy", "x.npz")
    assert_one_line_error(run(capsys, *attention, out, "--layer", 2), "--layer must be all or a number from 0 to 1")
    assert_one_line_error(run(capsys, *attention, out, "--head", 4), "--head must be all or a number from 0 to 3")
    for words in (("--layer", "-1"), ("--head", "one"), ("--size", "16"), ("--size", "0x8"), ("--size", "8x8x8")):
        assert_one_line_error(run(capsys, *attention, out, *words), words[0], f"{words[1].rpartition('x8')[0]}")
    assert_one_line_error(run(capsys, "attention", images / "b.jpg", "--out", out), "is not an image")
    result = run(capsys, "reconstruct", photo, "--out", out, "--weights", folder)
    assert_one_line_error(result, "task masked-image-modeling", "got classification-with-teacher", "--weights")
    for words in (("--mask-ratio", "1.5"), ("--mask-ratio", "nan"), ("--seed", "-1"), ("--block", "0")):
        result = run(capsys, "reconstruct", photo, "--out", out, "--weights", simmim, *words)
        assert_one_line_error(result, words[0], words[1])
    assert not out.exists()


def test_a_turned_photo_is_warned_about_in_every_picture(capsys, folder, simmim, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    for command, weights in (("attention", folder), ("reconstruct", simmim), ("preprocess", folder)):
        code, _, err = run(capsys, command, path, "--out", tmp_path / f"{command}.png", "--weights", weights)
        assert code == 0
        assert err.startswith(f"deit-ref: warning: {path} is stored turned")


def test_figures_without_matplotlib_are_one_line(capsys, folder, images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "x.png"
    result = run(capsys, "attention", images / "a.png", "--out", out, "--weights", folder)
    assert_one_line_error(result, "pip install 'deit_ref[plots]'")
    assert run(capsys, "preprocess", images / "a.png", "--out", out, "--weights", folder)[0] == 0


def test_mistakes_are_one_line_and_exit_code_2(capsys, folder, images):
    photo = images / "a.png"
    assert_one_line_error(run(capsys, "classify", "absent.jpg", "--weights", folder), "no file 'absent.jpg'")
    assert_one_line_error(run(capsys, "classify", "no*.jpg", "--weights", folder), "no file 'no*.jpg'")
    (images / "empty").mkdir()
    assert_one_line_error(run(capsys, "classify", images / "empty"), "is a folder, expected an image file")
    assert_one_line_error(run(capsys, "inspect", images / "b.jpg", "--weights", folder), "is not an image")
    assert_one_line_error(run(capsys, "compare", "absent.jpg", "--weights", folder), "no file 'absent.jpg'")
    assert_one_line_error(run(capsys, "classify", photo, "--weights", images), str(images))
    assert_one_line_error(run(capsys, "classify", photo, "--weights", folder, "--dtype", "int8"), "int8")
    assert_one_line_error(run(capsys, "classify", photo, "--weights", folder, "--dtype", "float16"), "float16")
    assert_one_line_error(run(capsys, "classify", photo, "--weights", folder, "--device", "cuda"), "'cuda'", "torch")
    assert_one_line_error(
        run(capsys, "classify", photo, "--weights", folder, "--backend", "torch", "--device", "abacus"), "abacus"
    )
    assert_one_line_error(run(capsys, "classify", photo, "--backend", "jax"), "--backend", "'jax'", "classify --help")
    assert_one_line_error(
        run(capsys, "classify", photo, "--compile"), "--compile is a way of torch: add --backend torch"
    )
    assert_one_line_error(run(capsys, "classify", "--top", "0"), "--top", "at least 1, got '0'")
    assert_one_line_error(run(capsys, "classify", "--color", "red"), "--color")
    assert_one_line_error(run(capsys, "paint"), "'paint'")
    assert run(capsys) == run(capsys, "--help")


def test_torch_that_is_not_installed_is_one_line(capsys, folder, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("deit_ref.torch_backend")]:
        monkeypatch.delitem(sys.modules, name)
    words = ("classify", images / "a.png", "--weights", folder)
    assert_one_line_error(
        run(capsys, *words, "--backend", "torch"), "PyTorch", "pip install 'deit_ref[torch]'", "CPU build"
    )
    assert run(capsys, *words)[0] == 0


def test_help_of_every_command_shows_an_example(capsys):
    everything = run(capsys, "--help")[1]
    for command in ("classify", "inspect", "compare", "attention", "reconstruct", "preprocess", "convert"):
        code, out, err = run(capsys, command, "--help")
        assert (code, err) == (0, "")
        assert f"examples:\n  deit-ref {command} " in out
        assert re.search(rf"\n +{command}\s", everything)
    assert "examples:\n  deit-ref " in everything
    assert run(capsys, "--version") == (0, f"deit-ref {deit_ref.__version__}\n", "")


def test_warnings_are_plain_lines_and_python_is_left_as_it_was(capsys, monkeypatch):
    small = deit_ref.init_weights(CONFIG, "classification", seed=0)

    def load_with_warning(source):
        warnings.warn(f"these are\nrandom: {source}", UserWarning, stacklevel=2)
        return small

    monkeypatch.setattr(deit_ref, "load_weights", load_with_warning)
    before = warnings.showwarning, list(warnings.filters)
    code, _, err = run(capsys, "inspect")
    assert code == 0
    assert err == "deit-ref: warning: these are random: None\n"
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_interruption_is_quiet(capsys, monkeypatch):
    def interrupted(source):
        raise KeyboardInterrupt

    monkeypatch.setattr(deit_ref, "load_weights", interrupted)
    assert run(capsys, "classify") == (130, "", "deit-ref: no image was given: this is the bundled photo.\n")


def test_python_m_deit_ref_and_a_reader_that_leaves(folder, images):
    words = [sys.executable, "-m", "deit_ref", "classify", str(images / "a.png"), "--weights", folder]
    whole = subprocess.run(words, capture_output=True, text=True, check=True)
    assert whole.stderr == ""
    assert whole.stdout.count("%") == 5
    # The pipe is closed before the first line is written, which happens when the buffer is emptied at the end.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
