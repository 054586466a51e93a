"""Every way an image can come in, and every way it can be wrong."""

import errno
import io
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deit_ref import photos
from deit_ref.arrays import as_numpy

SMALL = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)  # (height, width, channels)


def drawn_bytes(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def photo(tmp_path):
    """A PNG of 5 x 7 pixels, and what it holds."""
    array = drawn_bytes((5, 7, 3), 0)
    Image.fromarray(array).save(tmp_path / "photo.png")
    return tmp_path / "photo.png", array


def test_path_pil_array_and_tensor_give_the_same(photo):
    path, array = photo
    channels_first = np.ascontiguousarray(array.transpose(2, 0, 1))
    with Image.open(path) as opened:
        for image in (path, str(path), opened, array, torch.from_numpy(array), channels_first):
            loaded = photos.load_image(image)
            assert loaded.dtype == np.uint8
            np.testing.assert_array_equal(loaded, array)
    np.testing.assert_array_equal(photos.load_image(torch.from_numpy(channels_first)), array)


@pytest.mark.parametrize("name", photos.BUNDLED_PHOTOS)
def test_every_bundled_photo_is_small_and_credited(name):
    assert photos.bundled_photo(name).stat().st_size < 40_000
    credits = (photos.bundled_photo(name).parent / "CREDITS.md").read_text(encoding="utf-8")
    (row,) = [line for line in credits.splitlines() if f"`{name}.jpg`" in line]
    height, width, _ = photos.load_image(photos.bundled_photo(name)).shape
    assert height == 300
    assert f"{width} x {height} pixels" in row
    assert "public domain" in row


def test_an_unknown_bundled_photo_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"chelsea.*astronaut"):
        photos.bundled_photo("cat")


def test_bundled_photo_is_the_credited_one():
    assert photos.bundled_photo().stat().st_size < 40_000
    assert "CC0" in (photos.bundled_photo().parent / "CREDITS.md").read_text()
    cat = photos.load_image(photos.bundled_photo())
    assert cat.shape == (300, 451, 3)
    # Her fur is ginger: red above green above blue.
    red, green, blue = cat.mean(axis=(0, 1))
    assert red > green + 20 > blue + 40


def test_gray_is_repeated_and_palettes_are_looked_up():
    gray = np.array([[0, 128], [255, 7]], np.uint8)
    expected = np.array([[[0] * 3, [128] * 3], [[255] * 3, [7] * 3]], np.uint8)
    for image in (gray, gray[:, :, None], gray[None], Image.fromarray(gray)):
        np.testing.assert_array_equal(photos.load_image(image), expected)
        np.testing.assert_array_equal(photos.load_image(image, do_convert_rgb=False), gray[:, :, None])
    one_bit = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    np.testing.assert_array_equal(photos.load_image(one_bit), [[[0] * 3, [255] * 3]])
    np.testing.assert_array_equal(photos.load_image(one_bit, do_convert_rgb=False), [[[0], [255]]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(photos.load_image(palette), [[[0, 0, 0], [9, 8, 7]]])
    np.testing.assert_array_equal(photos.load_image(palette, do_convert_rgb=False), [[[0], [1]]])


def test_alpha_is_laid_on_white():
    # Opaque, see-through and half: 100 * 128/255 + 255 * 127/255 = 177.2.
    rgba = np.full((2, 6, 4), 100, np.uint8)
    rgba[:, :, 3] = [255, 0, 128] * 2
    expected = np.tile([[[100], [255], [177]]], (2, 2, 3))
    for image in (rgba, torch.from_numpy(rgba), rgba.transpose(2, 0, 1), Image.fromarray(rgba)):
        np.testing.assert_array_equal(photos.load_image(image), expected)
        np.testing.assert_array_equal(photos.load_image(image, do_convert_rgb=False), rgba)
    gray_alpha = Image.fromarray(rgba).convert("LA")
    np.testing.assert_array_equal(photos.load_image(gray_alpha), expected)
    np.testing.assert_array_equal(photos.load_image(gray_alpha, do_convert_rgb=False), rgba[:, :, 2:])


def test_premultiplied_gray_is_laid_on_white():
    """A gray of 100 with half of its light, stored as 50: what is missing is white."""
    image = Image.frombytes("La", (1, 1), bytes([50, 128]))
    gray = round(50 * 255 / 128 * (128 / 255) + 255 * (1 - 128 / 255))
    np.testing.assert_allclose(photos.load_image(image), np.full((1, 1, 3), gray, np.uint8), atol=1)


def test_alpha_of_arrays_of_more_rows_than_one_strip():
    array = drawn_bytes((257, 2, 4), 0)
    expected = [photos.load_image(row[None], input_data_format="channels_last")[0] for row in array]
    np.testing.assert_array_equal(photos.load_image(array), expected)


def test_only_one_of_several_images_has_a_number():
    wrong = np.full((2, 2, 3), 300)
    with pytest.raises(ValueError, match=r"^Expected"):
        photos.load_images(wrong)
    with pytest.raises(ValueError, match=r"^images\[1\]: Expected"):
        photos.load_images([drawn_bytes((2, 2, 3), 0), wrong])


def test_a_transparent_color_of_a_png_becomes_white(tmp_path):
    Image.fromarray(SMALL).save(tmp_path / "key.png", transparency=(3, 4, 5))
    expected = SMALL.copy()
    expected[0, 1] = 255
    np.testing.assert_array_equal(photos.load_image(tmp_path / "key.png"), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"])
@given(seed=st.integers(0, 99))
def test_every_mode_is_converted_as_transformers_does(mode, seed):
    from transformers.image_transforms import convert_to_rgb

    rgba = Image.fromarray(drawn_bytes((7, 5, 4), seed))
    image = rgba.convert(mode) if mode in ("LA", "PA", "RGBA", "RGBa") else rgba.convert("RGB").convert(mode)
    # transformers 5.23 knows only a band called "A", and so drops that of RGBa.
    peer = image.convert("RGBA") if mode == "RGBa" else image
    np.testing.assert_array_equal(photos.load_image(image), convert_to_rgb(peer, return_numpy=True))
    np.testing.assert_array_equal(photos.load_image(np.asarray(rgba)), convert_to_rgb(np.asarray(rgba), True))


def test_lab_has_a_color_axis_not_an_alpha():
    # transformers 5.23 takes the A for alpha, which Pillow leaves undefined here.
    lab = Image.new("LAB", (1, 1), (136, 208, 195))  # CIELAB (53, 80, 67): red
    red, green, blue = photos.load_image(lab)[0, 0]
    assert red > 240
    assert green < 40
    assert blue < 40


def test_channel_axis_is_read_from_the_shape_or_refused():
    assert photos.load_image(drawn_bytes((3, 8, 9), 1)).shape == (8, 9, 3)
    assert photos.load_image(drawn_bytes((8, 9, 3), 1)).shape == (8, 9, 3)
    both = drawn_bytes((3, 8, 3), 1)
    with pytest.raises(ValueError, match=r"channel axis of shape \(3, 8, 3\): both .* input_data_format="):
        photos.load_image(both)
    np.testing.assert_array_equal(photos.load_image(both, input_data_format="channels_last"), both)
    np.testing.assert_array_equal(photos.load_image(both, input_data_format="channels_first"), both.transpose(1, 2, 0))
    with pytest.raises(ValueError, match=r"shape \(5, 8, 9\): neither"):
        photos.load_image(drawn_bytes((5, 8, 9), 1))
    five = photos.load_image(drawn_bytes((5, 8, 9), 1), input_data_format="channels_first", do_convert_rgb=False)
    assert five.shape == (8, 9, 5)
    with pytest.raises(ValueError, match=r"1 \(gray\), 3 \(RGB\) or 4 \(RGBA\) channels, got 5"):
        photos.load_image(drawn_bytes((5, 8, 9), 1), input_data_format="channels_first")
    with pytest.raises(ValueError, match="must be one of channels_last, channels_first, none; got 'HWC'"):
        photos.load_image(both, input_data_format="HWC")
    with pytest.raises(ValueError, match=r"'none' means \(height, width\), got an array of shape \(3, 8, 3\)"):
        photos.load_image(both, input_data_format="none")
    for data_format in (None, "none"):
        gray = photos.load_image(both[0], input_data_format=data_format, do_convert_rgb=False)
        np.testing.assert_array_equal(gray, both[0][:, :, None])


def test_numbers_become_bytes_by_their_dtype():
    def loaded(values):
        return photos.load_image(values, do_convert_rgb=False)[..., 0].tolist()

    assert loaded(np.array([[0, 255, 7]], np.int64)) == [[0, 255, 7]]
    assert loaded(torch.tensor([[0, 200]], dtype=torch.int16)) == [[0, 200]]
    assert loaded(np.array([[0, 255, 7]], np.uint16)) == [[0, 255, 7]]
    assert loaded(np.array([[True, False]])) == [[255, 0]]
    assert loaded(np.array([[0.0, 255.0, 7.0]])) == [[0, 255, 7]]
    assert loaded(np.array([[0.0, 100.0000001]])) == [[0, 100]]
    # 0.999 * 255 = 254.7 is cut, not rounded; so is the half.
    assert loaded(np.array([[0.0, 0.5, 0.999, 1.0]])) == [[0, 127, 254, 255]]
    # The product is rounded to float32 first, which makes whole what is whole but for rounding.
    assert loaded(np.array([[0.5, 0.99999999]])) == [[127, 255]]
    assert loaded(torch.tensor([[0.25, 0.75]], dtype=torch.bfloat16)) == [[63, 191]]
    assert loaded(np.zeros((1, 2), np.float32)) == [[0, 0]]


@given(
    seed=st.integers(0, 999),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    kind=st.sampled_from(["whole", "fraction", "bytes / 255"]),
)
def test_floats_become_the_bytes_that_transformers_resizes(seed, dtype, kind):
    from transformers.image_transforms import to_pil_image

    generator = np.random.default_rng(seed)
    values = generator.integers(0, 256, (5, 7, 3)) if kind != "fraction" else generator.random((5, 7, 3))
    image = (values / 255 if kind == "bytes / 255" else values).astype(dtype)
    expected = np.asarray(to_pil_image(image, input_data_format="channels_last"))
    np.testing.assert_array_equal(photos.load_image(image), expected)


def test_floats_in_0_to_1_are_what_transformers_makes_of_them_without_rescale():
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

    import deit_ref

    image = np.random.default_rng(8).random((40, 30, 3))
    theirs = DeiTImageProcessorPil(do_rescale=False, size=24, crop_size=20)
    theirs = theirs(image, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    order = "pillow-13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow-12"
    processing = deit_ref.ImageProcessing(size=24, crop_size=20, pass_order=order)
    np.testing.assert_allclose(deit_ref.preprocess(image, processing), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("steps", ["all", "no resize", "crop alone", "nothing"])
def test_floats_in_0_to_1_stay_without_rescale(backend, steps, channels):
    """As transformers' documentation recommends for such photos: ImageNet's mean and std, do_rescale=False."""
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

    import deit_ref

    image = np.random.default_rng(8).random((40, 30, 3)).astype(np.float32)
    image = image if channels == 3 else np.repeat(image[:, :, :1], 3, axis=2)
    switches = {
        "all": "",
        "no resize": "resize",
        "crop alone": "resize normalize",
        "nothing": "resize center_crop normalize",
    }
    off = {f"do_{name}": False for name in switches[steps].split()}
    values = {"size": 24, "crop_size": 20, "do_rescale": False, "image_mean": [0.485, 0.456, 0.406], **off}
    values["image_std"] = [0.229, 0.224, 0.225]
    theirs = DeiTImageProcessorPil(**values)(image, return_tensors="np", input_data_format="channels_last")
    order = "pillow-13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow-12"
    processing = deit_ref.ImageProcessing(**values, pass_order=order)
    gray = image[:, :, 0] if channels == 1 else image  # what is gray becomes RGB, as bytes do
    for handed in (gray, [gray], torch.from_numpy(gray), gray.astype(np.float64)):
        ours = as_numpy(deit_ref.preprocess(handed, processing, backend=backend))
        np.testing.assert_allclose(ours, theirs["pixel_values"], rtol=0, atol=1e-6)
    if steps == "nothing":
        np.testing.assert_array_equal(ours[0], image.transpose(2, 0, 1))  # to the last bit


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("do_resize", [True, False])
def test_white_and_black_are_fractions_too_without_rescale(backend, do_resize):
    """1 is white there, also where a photo holds nothing else; alone and among others it is the same."""
    import deit_ref

    processing = deit_ref.ImageProcessing(
        size=9, crop_size=9, do_rescale=False, do_normalize=False, do_resize=do_resize
    )
    some = np.random.default_rng(0).random((9, 9, 3))
    photos = [some, np.zeros((9, 9, 3)), np.ones((9, 9, 3)), (some > 0.5).astype(np.float32)]
    together = as_numpy(deit_ref.preprocess(photos, processing, backend=backend))
    for photo, prepared in zip(photos, together, strict=True):
        (alone,) = as_numpy(deit_ref.preprocess(photo, processing, backend=backend))
        np.testing.assert_array_equal(alone, prepared)
        np.testing.assert_allclose(alone, photo.transpose(2, 0, 1), rtol=0, atol=1 / 255 if do_resize else 1e-7)
    # Black is black among photos of 0..255 as well.
    whole = drawn_bytes((9, 9, 3), 0)
    _, kept = as_numpy(deit_ref.preprocess([np.zeros((9, 9, 3)), whole], processing, backend=backend))
    np.testing.assert_array_equal(kept, whole.transpose(2, 0, 1))


def test_bytes_without_rescale_stay_bytes_and_are_not_mixed_with_fractions():
    import deit_ref

    processing = deit_ref.ImageProcessing(do_rescale=False, do_normalize=False, do_resize=False, do_center_crop=False)
    whole, fractions = drawn_bytes((8, 9, 3), 0), np.random.default_rng(0).random((8, 9, 3))
    kept = deit_ref.preprocess(whole, processing)
    np.testing.assert_array_equal(kept[0], whole.transpose(2, 0, 1))
    with pytest.raises(
        ValueError, match=r"images must be floats in 0\.\.1 or values in 0\.\.255 where do_rescale=False"
    ):
        deit_ref.preprocess([whole, fractions], processing)
    white = deit_ref.preprocess(np.dstack([fractions, np.zeros((8, 9))]), processing)
    assert (white == 1).all()  # see-through lies on white, which is 1 here
    as_file = Image.fromarray(fractions[:, :, 0].astype(np.float32))
    gray = deit_ref.preprocess(as_file, processing)
    np.testing.assert_array_equal(gray[0, 1], fractions[:, :, 0].astype(np.float32))


def test_deep_gray_images(tmp_path):
    values = np.array([[0, 128, 129, 257, 65535, 32896]], np.uint16)
    expected = [[[0], [0], [1], [1], [255], [128]]]  # 128/257 is below a half, 129/257 above
    big_endian = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    Image.fromarray(values).save(tmp_path / "deep.png")
    Image.fromarray(values).save(tmp_path / "deep.tif")
    for image in (Image.fromarray(values), big_endian, tmp_path / "deep.png", tmp_path / "deep.tif"):
        assert photos.load_image(image, do_convert_rgb=False).tolist() == expected
        np.testing.assert_array_equal(photos.load_image(image), np.repeat(expected, 3, axis=2))
    assert photos.load_image(Image.fromarray(np.array([[0, 255]], np.int32)), do_convert_rgb=False).tolist() == [
        [[0], [255]]
    ]
    for floats, found in (([[0.0, 254.0]], [[[0], [254]]]), ([[0.25, 1.0]], [[[63], [255]]])):
        image = Image.fromarray(np.array(floats, np.float32))
        assert photos.load_image(image, do_convert_rgb=False).tolist() == found
    Image.fromarray(values).save(tmp_path / "key.png", transparency=257)
    expected[0][3] = [255]
    np.testing.assert_array_equal(photos.load_image(tmp_path / "key.png"), np.repeat(expected, 3, axis=2))


def test_large_photos_are_converted_in_parts_without_a_seam():
    """1030 x 1050 pixels are four tiles; each pixel is what a formula says, and the rule is found in all of them."""
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (1030, 1050)).astype(np.uint16)
    whole = rng.integers(0, 256, (1030, 1050))
    shares = rng.uniform(0, 1, (1030, 1050)).astype(np.float32)
    for values, expected in (
        (deep, np.rint(deep / 257)),
        (whole.astype(np.int32), whole),
        (whole.astype(np.float32), whole),
        (shares, np.trunc((shares.astype(np.float64) * 255).astype(np.float32))),
    ):
        for image in (Image.fromarray(values), *([] if values.dtype == np.uint16 else [values, values.T.copy().T])):
            loaded = photos.load_image(image, do_convert_rgb=False)
            np.testing.assert_array_equal(loaded[:, :, 0], expected)
    color = rng.integers(0, 256, (1030, 1050, 3), np.uint8)
    np.testing.assert_array_equal(photos.load_image(Image.fromarray(color)), color)
    whole[-1, -1] = 256
    with pytest.raises(ValueError, match=r"got int32 in 0\.\.256"):
        photos.load_image(Image.fromarray(whole.astype(np.int32)))
    whole[-1, -1], floats = 255, whole.astype(np.float32)
    floats[-1, -1] = 0.5
    for image in (floats, Image.fromarray(floats)):
        with pytest.raises(ValueError, match="not all whole"):
            photos.load_image(image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.full((4, 4, 3), -0.5),
            r"whole numbers in 0\.\.255, or floats in 0\.\.1; got float64 in -0\.5\.\.-0\.5\. Scale",
        ),
        (np.linspace(0.7, 255, 48).reshape(4, 4, 3), r"got float64 in 0\.7\.\.255\.0, not all whole\. Round them"),
        (np.full((4, 4), 256.0), r"got float64 in 256\.0\.\.256\.0\. Scale them first \(16 bits: divide by 257"),
        (np.full((4, 4), np.nan), r"got float64 in nan\.\.nan\. .*pixel_values"),
        (
            np.eye(4, dtype=np.float32),
            r"got float32 in 0\.0\.\.1\.0, which could be white or 1 of 255\. Pass booleans or",
        ),
        (np.full((4, 4), 256, np.uint16), r"got uint16 in 256\.\.256"),
        (np.full((4, 4), -1), r"got int64 in -1\.\.-1"),
        (torch.full((3, 4, 4), 2.5, dtype=torch.bfloat16), r"got float32 in 2\.5\.\.2\.5, not all whole"),
        (np.zeros((4, 4), complex), "the image must hold real numbers.*got an array of complex128"),
        (np.full((4, 4), "a"), "the image must hold real numbers.*got an array of <U1"),
        (np.zeros(4, np.uint8), r"shape \(height, width\).*got \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
        (None, "a path, a binary file, a PIL image, an array or a tensor; got NoneType"),
        (b"photo.png", "got bytes"),
        (Image.new("I", (2, 2), 256), r"the PIL image to hold whole numbers in 0\.\.255, .*got int32 in 256\.\.256"),
        (Image.new("F", (2, 2), -1), r"the PIL image to hold .*got float32 in -1\.0\.\.-1\.0"),
    ],
)
def test_what_is_no_uint8_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        photos.load_image(image)


def bomb(width, height):
    """The smallest PNG that claims a size: a header and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_bad_files_are_named_with_a_remedy(tmp_path, photo):
    whole = io.BytesIO()
    Image.fromarray(drawn_bytes((64, 64, 3), 2)).save(whole, "JPEG")
    files = {
        "empty.jpg": b"",
        "zeros.jpg": bytes(1000),
        "page.jpg": b"\xef\xbb\xbf\r\n<!DOCTYPE html><title>Not found</title>",
        "lfs.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "drawing.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "clip.jpg": b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
        "packed.jpg": b"PK\x03\x04\x14\0",
        "text.png": b"this is no image",
        "utf8.png": "nöt found\r\n".encode() + b"x" * 499 + "ö".encode(),  # cut within a character
        "noise.png": b"\xff\x00\x80\x81 no text",
        "cut.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "cut.png": photo[0].read_bytes()[:-30],
        "large.png": bomb(10_000, 10_000),
        "vast.png": bomb(60_000, 60_000),
        # Pillow would hand this to Ghostscript, which runs it as a program.
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n%%EndComments\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    messages = {
        "empty.jpg": r"is empty \(0 bytes\), not an image: get it again",
        "zeros.jpg": "is zeros alone at its start, not an image: get it again",
        "page.jpg": r"is a web page \(HTML\), not an image: download the file itself, by its direct link",
        "lfs.jpg": "is a pointer of Git LFS .*git lfs pull",
        "drawing.png": r"is a drawing \(SVG\), not an image: save what it shows as PNG",
        "clip.jpg": "is a video, not an image",
        "packed.jpg": "is a zip, not an image: unpack it",
        "text.png": "is not an image that can be read: expected one of JPEG, .* It is text, 'this is no image': see",
        "utf8.png": "It is text, 'nöt found': see where it comes from",
        "noise.png": "is not an image that can be read: .* Convert it first",
        "cut.jpg": "is broken or cannot be read .*truncated.* Get it again",
        "cut.png": "is broken or cannot be read",
        "large.png": "is too large: expected at most 89,478,485 pixels",
        "vast.png": "is too large: expected at most 89,478,485 pixels",
        "program.eps": "is not an image that can be read",
        "absent.jpg": "There is no file .*absent.jpg.*spelling",
        ".": "is a folder, expected an image file",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message) as caught:
            photos.load_image(os.path.join(tmp_path, name))
        assert name in str(caught.value)
        assert ("Get it again" in str(caught.value)) == name.startswith("cut.")
    with pytest.raises(ValueError, match="is an address, expected a file: download it"):
        photos.load_image("https://example.org/cat.jpg")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            errno.EACCES,
            r"photo\.png' cannot be opened \(permission denied\): chmod u\+rX allows it to its owner, else ask",
        ),
        (errno.EIO, r"photo\.png' cannot be read \(Input/output error\): look after the disk"),
    ],
)
def test_what_the_system_does_not_give_out_is_not_broken(photo, monkeypatch, number, words):
    def refused(path, *_, **__):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(ValueError, match=words):
        photos.load_image(photo[0])


def test_a_lazily_opened_broken_pil_image_is_refused(tmp_path, photo):
    (tmp_path / "cut.png").write_bytes(photo[0].read_bytes()[:-30])
    with Image.open(tmp_path / "cut.png") as opened, pytest.raises(ValueError, match="the PIL image is broken"):
        photos.load_image(opened)


def test_exif_turns_only_when_asked(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(SMALL).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(SMALL).save(tmp_path / "upright.png")
    assert photos.exif_orientation(tmp_path / "turned.png") == 6
    assert photos.exif_orientation(tmp_path / "upright.png") == 1
    np.testing.assert_array_equal(photos.load_image(tmp_path / "turned.png"), SMALL)
    turned = photos.load_image(tmp_path / "turned.png", apply_exif=True)
    np.testing.assert_array_equal(turned, np.rot90(SMALL, -1))
    np.testing.assert_array_equal(photos.load_image(tmp_path / "upright.png", apply_exif=True), SMALL)


def test_what_transformers_turns_and_what_it_takes_as_it_is_stored(tmp_path):
    """Said of `apply_exif`, in chapter 15 and in notebook 13."""
    from transformers.image_utils import load_image
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

    exif = Image.Exif()
    exif[274] = 6
    path = str(tmp_path / "turned.png")
    Image.fromarray(SMALL).save(path, exif=exif)
    upright = photos.load_image(path, apply_exif=True)
    with Image.open(path) as opened:
        for image in (path, opened):  # a pipeline hands it both
            np.testing.assert_array_equal(np.asarray(load_image(image)), upright)
        processor = DeiTImageProcessorPil(do_resize=False, do_center_crop=False, do_rescale=False, do_normalize=False)
        for image, expected in ((path, upright), (opened, SMALL), (SMALL, SMALL)):
            pixel_values = processor(image, return_tensors="np")["pixel_values"]
            np.testing.assert_array_equal(pixel_values[0].transpose(1, 2, 0), expected)


def test_lists_and_batches(photo):
    path, array = photo
    np.testing.assert_array_equal(photos.load_images(path)[0], array)
    mixed = photos.load_images([path, SMALL, Image.fromarray(SMALL)])
    assert [image.shape for image in mixed] == [(5, 7, 3), (2, 5, 3), (2, 5, 3)]
    batch = drawn_bytes((2, 3, 5, 7), 3)
    for images in (batch, torch.from_numpy(batch)):
        loaded = photos.load_images(images)
        assert len(loaded) == 2
        np.testing.assert_array_equal(loaded[1], batch[1].transpose(1, 2, 0))
    assert photos.load_images((SMALL,), do_convert_rgb=False, input_data_format="channels_first")[0].shape == (5, 3, 2)
    for none in ([], (), np.zeros((0, 4, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="at least one image, got none"):
            photos.load_images(none)
    with pytest.raises(ValueError, match=r"images\[1\]: There is no file"):
        photos.load_images([path, "absent.png"])


def test_pillow_waits_until_a_file_is_read():
    code = (
        "import sys, numpy\n"
        "from deit_ref import photos\n"
        "photos.load_image(numpy.zeros((2, 2, 3), 'uint8'))\n"
        "assert 'PIL' not in sys.modules and 'torch' not in sys.modules\n"
        "photos.load_image(photos.bundled_photo())\n"
        "assert 'PIL' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Stream(io.RawIOBase):
    """What comes over a network: it is read once, from its beginning to its end."""

    def __init__(self, data):
        self.rest = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.rest.readinto(buffer)


def test_open_files_are_read_from_their_beginning_and_left_open(photo, tmp_path):
    path, array = photo
    with open(path, "rb") as file, zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.png")
        for image in (file, io.BytesIO(path.read_bytes()), archive.open("a.png"), Stream(path.read_bytes())):
            np.testing.assert_array_equal(photos.load_image(image), array)
            assert not image.closed
        np.testing.assert_array_equal(photos.load_image(file), array)  # again
        np.testing.assert_array_equal(photos.load_images([file, path])[0], array)
        assert photos.exif_orientation(file) == 1
    with pytest.raises(ValueError, match=r"photo.png' is broken or cannot be read .*closed file"):
        photos.load_image(file)
    with open(path, encoding="latin-1") as text, pytest.raises(ValueError, match=r"photo.png' is opened as text.*'rb'"):
        photos.load_image(text)
    with pytest.raises(ValueError, match=r"^The file is not an image that can be read"):
        photos.load_image(io.BytesIO(b"no image"))


def test_threads_refuse_large_files_and_no_filter_of_warnings_is_touched(tmp_path, monkeypatch):
    for size in (10_000, 12_000):  # Pillow warns of the first, which is above its limit but not twice
        (tmp_path / f"{size}.png").write_bytes(bomb(size, 9_000))
    filters = list(warnings.filters)

    def touched(*arguments, **options):
        raise AssertionError("the filters of warnings belong to all threads")

    monkeypatch.setattr(warnings, "catch_warnings", touched)
    monkeypatch.setattr(warnings, "simplefilter", touched)

    def refused(i):
        with pytest.raises(ValueError, match="is too large: expected at most"):
            photos.load_image(tmp_path / f"{(10_000, 12_000)[i % 2]}.png")
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(refused, range(32)))
    assert warnings.filters == filters


def test_a_folder_is_told_by_what_is_in_it(tmp_path, photo):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' is a folder, expected an image file: it is empty"):
        photos.load_image(tmp_path / "empty")
    for name in ("a.txt", "b.TXT", "c.pdf", "plain", ".DS_Store"):
        (tmp_path / "empty" / name).touch()
    with pytest.raises(ValueError, match=r"in it are 2 \.txt, 1 \.pdf, 1 without a suffix, none of them an image"):
        photos.load_image(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"name one of the 1 in it, such as .*photo.png"):
        photos.load_image(tmp_path)


@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_every_orientation_by_hand(tmp_path, orientation):
    """What a camera means by each number, of a file and of a PIL image; numbers that mean nothing leave it alone."""
    turned = {
        2: SMALL[:, ::-1],
        3: SMALL[::-1, ::-1],
        4: SMALL[::-1],
        5: SMALL.transpose(1, 0, 2),
        6: np.rot90(SMALL, -1),
        7: SMALL.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(SMALL),
    }
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(SMALL).save(path, exif=exif)
    assert photos.exif_orientation(path) == (orientation if orientation in turned else 1)
    upright = turned.get(orientation, SMALL)
    np.testing.assert_array_equal(photos.load_image(path, apply_exif=True), upright)
    np.testing.assert_array_equal(photos.load_image(path), SMALL)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(photos.load_image(opened, apply_exif=True), upright)
        np.testing.assert_array_equal(photos.load_image(opened), SMALL)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("height", [255, 256, 257, 600])
def test_photos_that_are_taken_in_strips_are_whole(tmp_path, channels, height):
    pixels = np.random.default_rng(height).integers(0, 256, (height, 3, channels), np.uint8)
    expected = pixels.repeat(3, axis=2) if channels == 1 else pixels[:, :, :3]
    if channels == 4:
        pixels[:, :, 3] = 255
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(tmp_path / "photo.png")
    np.testing.assert_array_equal(photos.load_image(tmp_path / "photo.png"), expected)
    np.testing.assert_array_equal(photos.load_image(pixels), expected)


@pytest.mark.parametrize(("suffix", "share"), [("png", 1), ("webp", 2 / 5)])
def test_an_image_of_exactly_the_limit_is_read(tmp_path, monkeypatch, suffix, share):
    """10 x 20 pixels, by a decoder and by one that holds several copies."""
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (20, 10)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", round(200 / share))
    assert photos.load_image(path).shape == (10, 20, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", round(200 / share) - 3)
    with pytest.raises(ValueError, match="is too large: expected at most"):
        photos.load_image(path)


def test_a_format_that_this_pillow_cannot_read_is_passed_over(tmp_path, monkeypatch):
    """Its plugin accepts the file with a text that says why not, as that of AVIF does without its library."""
    Image.fromarray(SMALL).save(tmp_path / "photo.png")
    Image.init()
    for name in ("JPEG", "PNG"):
        monkeypatch.setitem(Image.OPEN, name, (Image.OPEN[name][0], lambda start: "this is not supported here"))
    with pytest.raises(ValueError, match="is not an image that can be read"):
        photos.load_image(tmp_path / "photo.png")


def test_a_device_is_no_file():
    with pytest.raises(ValueError, match="'/dev/null' is a pipe or a device, expected an image file"):
        photos.load_image("/dev/null")
