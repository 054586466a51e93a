"""The commands as a user types them: what they print, where, and their exit codes."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import deit_ref
from deit_ref import cli, photos
from deit_ref.weights import map_weights

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
        code = cli.main([str(word) for word in argv])
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
    first, second = err.splitlines()
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
    assert err == "deit-ref: 100 of 201 images\ndeit-ref: 200 of 201 images\n"


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
        values = deit_ref.outputs.as_numpy(array).astype(np.float64)
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


def test_compare_prints_the_table_and_its_verdict(capsys, folder, images, monkeypatch):
    path = images / "a.png"
    code, out, err = run(capsys, "compare", path, "--weights", folder, "--dtype", "float64")
    assert (code, err) == (0, "")
    expected = deit_ref.compare(deit_ref.load_weights(folder), path, dtype="float64")
    assert out == f"{expected}\n"
    assert expected.agrees
    monkeypatch.setattr(type(expected), "agrees", False)
    assert run(capsys, "compare", path, "--weights", folder)[0] == 1


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
    assert_one_line_error(run(capsys, "classify", "--top", "0"), "--top", "at least 1, got '0'")
    assert_one_line_error(run(capsys, "classify", "--colour", "red"), "--colour")
    assert_one_line_error(run(capsys, "paint"), "'paint'")
    assert_one_line_error(run(capsys), "COMMAND")


def test_torch_that_is_not_installed_is_one_line(capsys, folder, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("deit_ref.torch_backend")]:
        monkeypatch.delitem(sys.modules, name)
    words = ("classify", images / "a.png", "--weights", folder)
    assert_one_line_error(run(capsys, *words, "--backend", "torch"), "PyTorch", "pip install torch")
    assert run(capsys, *words)[0] == 0


def test_help_of_every_command_shows_an_example(capsys):
    for words in ([], ["classify"], ["inspect"], ["compare"]):
        code, out, err = run(capsys, *words, "--help")
        assert (code, err) == (0, "")
        assert "examples:\n  deit-ref " in out
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
