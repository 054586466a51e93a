"""A small part of tests/fuzz, and that its harness notices every way to fail."""

import io
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

import deit_ref
from deit_ref import checks
from deit_ref.checkpoints.files import MAX_JSON, read_json
from deit_ref.image_processing import MAX_PIXELS
from deit_ref.photos import load_image

RUN = Path(__file__).parent / "fuzz" / "run.py"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the workers are bounded by fork, rlimits and /proc")


def fuzz(*arguments):
    """Exit status and output of the harness, which forks and so runs in a process of its own."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}  # what a good seed warns of is not asked here
    command = [sys.executable, str(RUN), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stderr == "", result.stderr
    return result.returncode, result.stdout


@linux_only
def test_every_way_to_fail_is_noticed():
    _, output = fuzz("--traps")
    found = re.findall(r"^\d+ (\w+): (.*)$", output, re.MULTILINE)
    expected = [
        ("result", "fine"),
        ("refused", "a line"),
        ("died", "SIGSEGV"),
        ("died", "status 0"),
        ("hang", "seconds"),
        ("hang", "seconds"),
        ("memory", "MemoryError"),
        ("memory", "GiB"),
        ("executed", "the sentinel"),
        ("executed", "subprocess.Popen"),
        ("exception", "KeyError"),
        ("exception", "SystemExit"),
        ("exception", "UnicodeDecodeError"),
        ("warning", "DeprecationWarning"),
        ("result", "None"),
        ("message", "two"),
        ("message", "xxx"),
    ]
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, text), (_, part) in zip(found, expected, strict=True):
        assert part in text
    assert "trap: 17 cases" in output
    assert "2 results, 1 ValueErrors of 1 kinds, 14 failures" in output


@linux_only
@pytest.mark.parametrize(("kind", "count", "seed"), [("image", 300, 5), ("checkpoint", 200, 5)])
def test_broken_files_give_a_result_or_a_value_error(kind, count, seed):
    status, output = fuzz(f"--{kind}s", count, "--seed", seed, "--seconds", 300)
    assert status == 0, output
    cases, results, refused = map(
        int, re.search(rf"^{kind}: (\d+) cases .* (\d+) results, (\d+) ValueErrors", output, re.MULTILINE).groups()
    )
    assert cases == results + refused == count, output
    assert results > count // 20, "hardly any file was read to its end"
    assert refused > count // 3, "hardly any file was broken"


# What fuzzing has found


@linux_only
def test_pipes_and_devices_are_no_files(tmp_path):
    """Without the check these would wait for a writer, or read until the memory is full."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.json").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        load_image(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="is not a file"):
        read_json(tmp_path / "zeros.json")


def test_json_is_no_larger_than_can_be_right(tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(b"{}".ljust(MAX_JSON))
    assert read_json(file) == {}
    file.write_bytes(b"{}".ljust(MAX_JSON + 1))
    with pytest.raises(ValueError, match="at most 16777216 can be right"):
        read_json(file)


def test_messages_stay_one_line():
    assert checks.one_line("a\nb\x1b[2J\ud800 é") == r"a\nb\x1b[2J\ud800 é"
    long = checks.one_line("a" * 900 + "b" * 10**6 + "c" * 200)
    assert len(long) < 1500
    assert long.startswith("a" * 900 + "b")
    assert long.endswith("b" + "c" * 200)
    assert checks.some(["a\nb", "c"]) == r"a\nb, c"


def test_integers_of_hundreds_of_digits_are_out_of_range():
    for sign in (1, -1):
        with pytest.raises(ValueError, match=r"image_std\[0\] must lie in"):
            deit_ref.ImageProcessing(image_std=(sign * 10**400, 1, 1))


def test_sizes_that_would_fill_the_memory():
    side = 4096
    assert side * side == MAX_PIXELS
    assert deit_ref.ImageProcessing(size=side, crop_size=side).size == {"height": side, "width": side}
    for wrong in ({"size": side + 1}, {"crop_size": (side, side + 1)}, {"size": {"shortest_edge": 10**400}}):
        with pytest.raises(ValueError, match="must ask for at most 16,777,216 pixels"):
            deit_ref.ImageProcessing(**wrong)
    processing = deit_ref.ImageProcessing(size={"shortest_edge": 256})
    assert processing.resized_shape(1, 256) == (256, 65536)
    with pytest.raises(ValueError, match="resized to 256 x 65792"):
        processing.resized_shape(1, 257)


@pytest.mark.parametrize("height", [1, 256, 257, 700])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "1"])
def test_strips_are_the_whole_image(height, mode):
    values = np.random.default_rng(height).integers(0, 256, (height, 7, 4), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    white = Image.new("RGBA", image.size, "white")
    expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    np.testing.assert_array_equal(load_image(image), expected)
    kept = np.asarray(image, np.uint8) * np.uint8(255 if mode == "1" else 1)
    np.testing.assert_array_equal(load_image(image, do_convert_rgb=False), kept.reshape(height, 7, -1))
    if mode == "RGBA":
        rows = [load_image(values[i : i + 1], input_data_format="channels_last") for i in range(height)]
        whole = load_image(values, input_data_format="channels_last")
        np.testing.assert_array_equal(whole, np.concatenate(rows))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_a_broken_avif_file(tmp_path):
    """Pillow's decoder raises RuntimeError."""
    stream = io.BytesIO()
    Image.effect_noise((40, 40), 50).convert("RGB").save(stream, "AVIF")
    content = bytearray(stream.getvalue())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    (tmp_path / "a.avif").write_bytes(content)
    with pytest.raises(ValueError, match="broken or cannot be read"):
        load_image(tmp_path / "a.avif")


def test_a_palette_image_without_its_palette(tmp_path):
    """Pillow opens it and later fails an assertion."""
    stream = io.BytesIO()
    Image.new("L", (5, 4)).save(stream, "PNG")
    content = stream.getvalue()
    header = content[12:25] + b"\x03" + content[26:29]  # the color type says that there is a palette
    content = content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match="broken or cannot be read"):
        load_image(tmp_path / "a.png")


def test_decoders_that_copy_read_fewer_pixels(tmp_path, monkeypatch):
    image = Image.new("RGB", (10, 5), "red")
    image.save(tmp_path / "a.webp")
    image.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 125)
    assert load_image(tmp_path / "a.webp").shape == (5, 10, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 124)
    assert load_image(tmp_path / "a.png").shape == (5, 10, 3)
    with pytest.raises(ValueError, match="at most 124 pixels, or 49 as WEBP, AVIF, JPEG2000"):
        load_image(tmp_path / "a.webp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(tmp_path / "a.webp").shape == (5, 10, 3)


@linux_only
def test_many_pixels_do_not_fill_the_memory():
    """89 million pixels to 24 x 24, where float64 of all of them would take more than 2 GB."""
    script = (
        "import re, numpy as np, deit_ref\n"
        "image = np.zeros(({}, {}, 3), np.uint8)\n"
        "processing = deit_ref.ImageProcessing(size=24, crop_size=24, input_data_format='channels_last')\n"
        "deit_ref.preprocess(image, processing, backend='{}')\n"
        # Not ru_maxrss: a child begins with its parent's, and the parent ran other tests.
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    for shape, backend in (((8000, 11000), "numpy"), ((80, 1100000), "numpy"), ((11000, 8000), "torch")):
        code = script.format(*shape, backend)
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(result.stdout) < 1024 + 512 * (backend == "torch"), (shape, backend)


@linux_only
def test_deep_gray_photos_do_not_fill_the_memory():
    """89 million pixels are 340 MiB in Pillow and 256 MiB as bytes of three channels; a copy of all of them is seen."""
    script = (
        "import re, numpy as np\n"
        "from PIL import Image\n"
        "from deit_ref.photos import load_image\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024\n"
        "before = peak()\n"
        "image = {}\n"
        "assert load_image(image)[-1, -1].tolist() == [{}] * 3\n"
        "print(peak() - before)\n"
    )
    for image, value, limit in (
        ("Image.new('I;16', (9459, 9459), 257)", 1, 550),
        ("Image.new('F', (1100000, 80), 0.5)", 127, 720),
        ("Image.new('RGBA', (1100000, 80), (9, 9, 9, 255))", 9, 720),
        ("np.full((3, 5000, 6000), 0.5, np.float32)", 127, 550),  # 343 MiB
    ):
        code = script.format(image, value)
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(result.stdout) < limit, (image, result.stdout)
