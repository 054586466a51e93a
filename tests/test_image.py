"""Chapter 15: crop, rescale, normalize and preprocess, against hand-made numbers, transformers, and the mirror."""

import dataclasses
import inspect

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

from deit_ref.image_processing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLING, ImageProcessing
from deit_ref.numpy_backend import image as book
from deit_ref.torch_backend import image as mirror
from deit_ref.trace import Trace

# transformers resizes with the installed Pillow, whose order of passes changed with version 13.
PILLOW_ORDER = "pillow-13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow-12"

sides = st.integers(1, 50)
seeds = st.integers(0, 2**32 - 1)


def photo(seed, height, width, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def with_torch(images, processing, **options):
    return mirror.preprocess([torch.from_numpy(image) for image in images], processing, **options).numpy()


def with_transformers(images, processing):
    """What transformers' Pillow processor makes of the images, parameter by parameter."""
    processor = DeiTImageProcessorPil(
        do_resize=processing.do_resize,
        size=processing.size,
        resample=RESAMPLING[processing.resample],
        do_center_crop=processing.do_center_crop,
        crop_size=processing.crop_size,
        do_rescale=processing.do_rescale,
        rescale_factor=processing.rescale_factor,
        do_normalize=processing.do_normalize,
        image_mean=processing.image_mean,
        image_std=processing.image_std,
        do_convert_rgb=False,
    )
    return processor(images, return_tensors="np", input_data_format="channels_last")["pixel_values"]


# --- center crop


@pytest.mark.parametrize(
    ("in_size", "out_size", "floor", "rounded"),
    [
        (8, 4, 2, 2),
        (7, 4, 1, 2),  # 1.5: the even number is 2
        (5, 4, 0, 0),  # 0.5: the even number is 0
        (9, 4, 2, 2),  # 2.5: the even number is 2
        (11, 4, 3, 4),  # 3.5: the even number is 4
        (4, 4, 0, 0),
        (4, 5, -1, 0),  # padding: transformers puts the larger half before, torchvision after
        (4, 7, -2, -1),
        (4, 9, -3, -2),
        (4, 8, -2, -2),
    ],
)
def test_where_a_crop_starts(in_size, out_size, floor, rounded):
    for backend in (book, mirror):
        assert backend.crop_start(in_size, out_size, rounding="floor") == floor
        assert backend.crop_start(in_size, out_size, rounding="round") == rounded
        assert backend.crop_start(in_size, out_size, rounding="truncate") == int((in_size - out_size) / 2)


@pytest.mark.parametrize(
    ("size", "rounding", "expected"),
    [
        ((2, 1), "floor", [[2], [5]]),
        ((1, 2), "floor", [[4, 5]]),
        ((1, 2), "round", [[4, 5]]),
        ((4, 3), "floor", [[0, 0, 0], [1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ((4, 3), "round", [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        ((2, 6), "floor", [[0, 0, 1, 2, 3, 0], [0, 0, 4, 5, 6, 0]]),
        ((2, 6), "round", [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 0, 0]]),
        ((3, 5), "floor", [[0, 1, 2, 3, 0], [0, 4, 5, 6, 0], [0, 7, 8, 9, 0]]),
    ],
)
def test_center_crop_by_hand(size, rounding, expected):
    image = np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1)
    cropped = book.center_crop(image, size, rounding=rounding)
    assert cropped[..., 0].tolist() == expected
    assert mirror.center_crop(torch.from_numpy(image), size, rounding=rounding)[..., 0].tolist() == expected


def test_padding_that_parity_with_transformers_names():
    # 9x12 to 14x15: transformers' Pillow processor has the image from row 3 and column 2 on, torchvision from 2 and 1.
    image = np.ones((9, 12, 1), np.uint8)
    for rounding, row, column in (("floor", 3, 2), ("round", 2, 1), ("truncate", 2, 1)):
        cropped = book.center_crop(image, (14, 15), rounding=rounding)[..., 0]
        assert cropped.sum() == 9 * 12
        assert cropped[row : row + 9, column : column + 12].all()


@given(seed=seeds, shape=st.tuples(sides, sides), size=st.tuples(sides, sides))
@pytest.mark.parametrize("rounding", ["floor", "truncate", "round"])
def test_center_crop_keeps_the_middle_and_fills_with_zeros(seed, shape, size, rounding):
    image = photo(seed, *shape) // 2 + 1  # no zeros
    cropped = book.center_crop(image, size, rounding=rounding)
    assert cropped.shape == (*size, 3)
    assert not np.shares_memory(cropped, image)
    assert np.count_nonzero(cropped) == 3 * min(shape[0], size[0]) * min(shape[1], size[1])
    mirrored = mirror.center_crop(torch.from_numpy(image), size, rounding=rounding)
    np.testing.assert_array_equal(cropped, mirrored.numpy())


# --- rescale and normalize


def test_rescale_rounds_once():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    rescaled = book.rescale(image, 1 / 255)
    assert rescaled.dtype == np.float32
    exact = np.array([np.float32(value / 255) for value in range(256)])
    np.testing.assert_allclose(rescaled.ravel(), exact, rtol=1e-7)
    in_float32 = image.astype(np.float32) * np.float32(1 / 255)
    assert (rescaled != in_float32).any()
    np.testing.assert_array_equal(rescaled.ravel(), [np.float32(value * (1 / 255)) for value in range(256)])
    np.testing.assert_array_equal(rescaled, mirror.rescale(torch.from_numpy(image), 1 / 255).numpy())


def test_normalize_by_hand_and_per_channel():
    image = np.array([[[0.5, 0.5, 1.0], [0.0, 1.0, 0.25]]], np.float32)
    expected = [[[0.0, 1.0, 2.0], [-1.0, 3.0, -1.0]]]
    mean, std = (0.5, 0.25, 0.5), (0.5, 0.25, 0.25)
    assert book.normalize(image, mean, std).tolist() == expected
    assert mirror.normalize(torch.from_numpy(image), mean, std).tolist() == expected
    assert book.normalize(image, 0.5, 0.25).tolist() == [[[0.0, 0.0, 2.0], [-2.0, 2.0, -1.0]]]
    assert mirror.normalize(torch.from_numpy(image), 0.5, [0.25] * 3).tolist() == [[[0.0, 0.0, 2.0], [-2.0, 2.0, -1.0]]]


@pytest.mark.parametrize(("backend", "wrap"), [(book, np.asarray), (mirror, torch.from_numpy)])
def test_normalize_refuses_a_mean_or_std_of_other_length(backend, wrap):
    image = wrap(np.zeros((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match=r"mean must be a number, or one .* image's 3 channels; got \(0\.5, 0\.5\)"):
        backend.normalize(image, (0.5, 0.5), 0.5)
    with pytest.raises(ValueError, match=r"std must be a number, or one .* image's 3 channels; got \(1\.0,\)"):
        backend.normalize(image, 0.5, (1.0,))


# --- preprocess against transformers


def same_as_transformers(images, processing):
    expected = with_transformers(images, processing)
    pixel_values = book.preprocess(images, processing)
    assert pixel_values.dtype == np.float32
    assert pixel_values.flags.c_contiguous
    np.testing.assert_array_equal(pixel_values, expected)
    np.testing.assert_array_equal(with_torch(images, processing), expected)


# Three rows or columns of pixels could be channels to transformers, so sides start at 5.
wide = st.integers(5, 60)


@given(
    seed=seeds,
    shapes=st.lists(st.tuples(wide, wide), min_size=1, max_size=3),
    size=st.tuples(wide, wide),
    crop_size=st.tuples(wide, wide),
    resample=st.sampled_from(sorted(RESAMPLING)),
    mean_std=st.sampled_from([(IMAGENET_MEAN, IMAGENET_STD), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), (0.3, 0.7)]),
    do_normalize=st.booleans(),
)
def test_same_bits_as_transformers(seed, shapes, size, crop_size, resample, mean_std, do_normalize):
    images = [photo(seed + i, *shape) for i, shape in enumerate(shapes)]
    processing = ImageProcessing(
        size=size,
        crop_size=crop_size,
        resample=resample,
        image_mean=mean_std[0],
        image_std=mean_std[1],
        do_normalize=do_normalize,
        pass_order=PILLOW_ORDER,
    )
    same_as_transformers(images, processing)


@given(seed=seeds, shape=st.tuples(wide, wide), edge=wide, crop_size=st.tuples(wide, wide))
def test_same_bits_as_transformers_by_the_shortest_edge(seed, shape, edge, crop_size):
    processing = ImageProcessing(size={"shortest_edge": edge}, crop_size=crop_size, pass_order=PILLOW_ORDER)
    same_as_transformers([photo(seed, *shape)], processing)


@pytest.mark.parametrize("do_resize", [False, True])
@pytest.mark.parametrize("do_center_crop", [False, True])
@pytest.mark.parametrize("do_rescale", [False, True])
@pytest.mark.parametrize("do_normalize", [False, True])
def test_each_switch_against_transformers(do_resize, do_center_crop, do_rescale, do_normalize):
    processing = ImageProcessing(
        do_resize=do_resize,
        size=(20, 31),
        do_center_crop=do_center_crop,
        crop_size=(25, 18),
        do_rescale=do_rescale,
        rescale_factor=1 / 127.5,
        do_normalize=do_normalize,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        pass_order=PILLOW_ORDER,
    )
    images = [photo(1, 33, 24), photo(2, 33, 24)]
    same_as_transformers(images, processing)
    height, width = (25, 18) if do_center_crop else (20, 31) if do_resize else (33, 24)
    assert book.preprocess(images, processing).shape == (2, 3, height, width)


def test_the_huggingface_preset_at_full_size_and_with_one_channel():
    preset = ImageProcessing.huggingface()
    assert preset.pass_order == "pillow-13"
    if PILLOW_ORDER == "pillow-13":  # the preset names this order; an older Pillow has none to compare with
        same_as_transformers([photo(1, 480, 640), photo(2, 500, 240)], preset)
    gray = ImageProcessing(size=20, crop_size=16, image_mean=(0.4,), image_std=(0.3,), pass_order=PILLOW_ORDER)
    same_as_transformers([photo(3, 40, 30, 1)], gray)


# --- preprocess by hand


def test_the_original_preset_keeps_the_aspect_and_rounds_the_crop():
    # 300x480 -> shortest edge 256, int(256 * 480 / 300) = 409 columns; (409 - 224)/2 = 92.5 -> 92, (256 - 224)/2 = 16.
    image = photo(4, 300, 480)
    trace = Trace()
    pixel_values = book.preprocess([image], ImageProcessing.original(), trace=trace)
    resized = trace["images.0.resized"]
    assert resized.shape == (256, 409, 3)
    np.testing.assert_array_equal(trace["images.0.cropped"], resized[16:240, 92:316])
    first = (resized[16, 92, 2] / 255 - IMAGENET_MEAN[2]) / IMAGENET_STD[2]
    assert float(pixel_values[0, 2, 0, 0]) == pytest.approx(first, rel=1e-5)
    # 300x482 -> 411 columns; (411 - 224)/2 = 93.5 -> 94, where flooring says 93.
    trace = Trace()
    book.preprocess([photo(4, 300, 482)], ImageProcessing.original(), trace=trace)
    np.testing.assert_array_equal(trace["images.0.cropped"], trace["images.0.resized"][16:240, 94:318])


def test_the_pass_order_is_handed_on():
    image = photo(8, 60, 20)
    orders = [ImageProcessing(size=(20, 30), crop_size=16, pass_order=order) for order in ("pillow-13", "pillow-12")]
    new, old = (book.preprocess([image], processing) for processing in orders)
    assert (new != old).any()
    for processing, expected in zip(orders, (new, old), strict=True):
        np.testing.assert_array_equal(with_torch([image], processing), expected)


def test_padding_is_black_before_normalize():
    processing = ImageProcessing(do_resize=False, crop_size=4, image_mean=0.5, image_std=0.25)
    white = np.full((2, 2, 3), 255, np.uint8)
    corner_to_corner = book.preprocess([white], processing)[0, 0].diagonal()
    assert corner_to_corner.tolist() == [-2.0, 2.0, 2.0, -2.0]


def test_without_rescale_and_normalize_the_result_is_still_float32():
    processing = ImageProcessing(do_resize=False, do_center_crop=False, do_rescale=False, do_normalize=False)
    image = photo(5, 3, 4, 2)
    for pixel_values in (book.preprocess([image], processing), with_torch([image], processing)):
        assert pixel_values.dtype == np.float32
        np.testing.assert_array_equal(pixel_values[0], image.transpose(2, 0, 1))


@given(seed=seeds, shapes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3), channels=st.integers(1, 5))
def test_a_batch_is_its_images_one_by_one_and_the_mirror_has_the_same_bits(seed, shapes, channels):
    images = [photo(seed + i, *shape, channels) for i, shape in enumerate(shapes)]
    before = [image.copy() for image in images]
    processing = ImageProcessing(size=(13, 8), crop_size=(10, 11), image_mean=0.4, image_std=0.3, crop_rounding="round")
    batch = book.preprocess(images, processing)
    np.testing.assert_array_equal(batch, np.concatenate([book.preprocess([image], processing) for image in images]))
    np.testing.assert_array_equal(batch, with_torch(images, processing))
    assert all((image == kept).all() for image, kept in zip(images, before, strict=True))


STEPS = ["image", "resized", "cropped", "rescaled", "normalized"]


@pytest.mark.parametrize("left_out", [None, "resized", "cropped", "rescaled", "normalized"])
def test_the_trace_names_the_steps_that_run(left_out):
    switches = {"resized": "do_resize", "cropped": "do_center_crop", "rescaled": "do_rescale"}
    switch = {} if left_out is None else {switches.get(left_out, "do_normalize"): False}
    processing = ImageProcessing(size=12, crop_size=8, **switch)
    images = [photo(6, 16, 16), photo(7, 16, 16)]
    trace, mirrored = Trace(), Trace()
    pixel_values = book.preprocess(images, processing, trace=trace)
    with_torch(images, processing, trace=mirrored)
    names = [f"images.{i}.{step}" for i in range(2) for step in STEPS if step != left_out]
    assert list(trace) == list(mirrored) == [*names, "pixel_values"]
    for name in trace:
        np.testing.assert_array_equal(trace[name], mirrored[name].numpy())
    np.testing.assert_array_equal(trace["images.1.image"], images[1])
    np.testing.assert_array_equal(trace["pixel_values"], pixel_values)
    if left_out != "normalized":
        np.testing.assert_array_equal(trace["images.1.normalized"].transpose(2, 0, 1), pixel_values[1])


# --- torchvision's arithmetic, the original repository's transform, alpha, and groups


def fast_processor(image, processing):
    """The fast processor's steps in torch's own words; torchvision itself resizes with this interpolate."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    size = processing.resized_shape(*image.shape[:2])
    if processing.do_resize:
        planes = torch.nn.functional.interpolate(planes, size=size, mode=processing.resample, antialias=True)
    if processing.do_center_crop:
        height, width = processing.crop_size["height"], processing.crop_size["width"]
        down, right = max(height - planes.shape[2], 0), max(width - planes.shape[3], 0)
        padding = (right // 2, right - right // 2, down // 2, down - down // 2)
        planes = torch.nn.functional.pad(planes, padding)
        top, left = int((planes.shape[2] - height) / 2.0), int((planes.shape[3] - width) / 2.0)
        planes = planes[:, :, top : top + height, left : left + width]
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (processing.image_mean, processing.image_std))
    if processing.do_rescale and processing.do_normalize:
        inverse = 1.0 / processing.rescale_factor
        return planes.float().sub(mean * inverse).div_(std * inverse).numpy()
    if processing.do_normalize:
        return planes.float().sub(mean).div_(std).numpy()
    return (planes * processing.rescale_factor if processing.do_rescale else planes.float()).numpy()


@given(
    seed=seeds,
    shape=st.tuples(wide, wide),
    size=st.one_of(st.tuples(wide, wide), st.builds(lambda edge: {"shortest_edge": edge}, wide)),
    crop_size=st.tuples(wide, wide),
    resample=st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    factor=st.sampled_from([1 / 255, 1 / 127.5, 0.0173]),
    switches=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_torchvision_arithmetic_is_that_of_the_fast_processor(seed, shape, size, crop_size, resample, factor, switches):
    names = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    processing = ImageProcessing(
        size=size,
        crop_size=crop_size,
        resample=resample,
        rescale_factor=factor,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        arithmetic="torchvision",
        **dict(zip(names, switches, strict=True)),
    )
    image = photo(seed, *shape)
    expected = fast_processor(image, processing)
    np.testing.assert_array_equal(book.preprocess([image], processing), expected)
    np.testing.assert_array_equal(with_torch([image], processing), expected)


def test_the_two_arithmetics_differ_in_bytes_and_in_last_bits():
    image = photo(9, 90, 70)
    whole = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD, "size": 50, "crop_size": 40}
    slow, fast = (
        book.preprocess([image], ImageProcessing(**whole, arithmetic=name)) for name in ("pillow", "torchvision")
    )
    assert 0 < abs(slow - fast).max() < 0.1
    kept = {**whole, "do_resize": False}
    slow, fast = (
        book.preprocess([image], ImageProcessing(**kept, arithmetic=name)) for name in ("pillow", "torchvision")
    )
    assert 0 < abs(slow - fast).max() < 1e-6
    # One step in torchvision's arithmetic, so there is no rescaled image to record.
    trace, mirrored = Trace(), Trace()
    book.preprocess([image], ImageProcessing(**whole, arithmetic="torchvision"), trace=trace)
    with_torch([image], ImageProcessing(**whole, arithmetic="torchvision"), trace=mirrored)
    steps = [f"images.0.{step}" for step in STEPS if step != "rescaled"]
    assert list(trace) == list(mirrored) == [*steps, "pixel_values"]


def original_transform(image, size):
    """The evaluation of the original repository: Resize(int(256/224 * size)), CenterCrop, ToTensor, Normalize."""
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    edge = int((256 / 224) * size)
    new_short, new_long = edge, int(edge * long / short)
    new_width, new_height = (new_short, new_long) if width <= height else (new_long, new_short)
    resized = np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC))
    top, left = round((new_height - size) / 2.0), round((new_width - size) / 2.0)
    cropped = resized[top : top + size, left : left + size]
    tensor = torch.from_numpy(cropped.transpose(2, 0, 1).copy()).float().div(255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((tensor - mean) / std).numpy(), cropped


@pytest.mark.parametrize("size", [224, 384, 96, 33])
def test_the_original_preset_is_the_original_transform(size):
    shapes = [(480, 640), (640, 480), (300, 482), (482, 300), (77, 91), (501, 333), (256, 256), (224, 225), (40, 39)]
    preset = dataclasses.replace(ImageProcessing.original(size), pass_order=PILLOW_ORDER)
    images = [photo(i, *shape) for i, shape in enumerate(shapes if size != 384 else shapes[:3])]
    trace = Trace()
    pixel_values = book.preprocess(images, preset, trace=trace)
    for i, image in enumerate(images):
        expected, cropped = original_transform(image, size)
        np.testing.assert_array_equal(trace[f"images.{i}.cropped"], cropped, err_msg=str(image.shape))
        # ToTensor divides in float32 where rescale multiplies in float64: the last bit may differ.
        np.testing.assert_allclose(pixel_values[i], expected, rtol=0, atol=1e-6)
        assert int((256 / 224) * size) == preset.size["shortest_edge"]


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_multiplied_in_as_transformers_does(channels):
    # transformers makes a PIL image of modes LA and RGBA of two and four channels.
    processing = ImageProcessing(
        size=(21, 14),
        crop_size=(16, 17),
        image_mean=(0.4,) * channels,
        image_std=(0.3,) * channels,
        do_convert_rgb=False,
        alpha=True,
        pass_order=PILLOW_ORDER,
    )
    images = [photo(1, 40, 30, channels), photo(2, 40, 30, channels)]
    expected = []
    for image in images:
        resized = np.asarray(Image.fromarray(image).resize((14, 21), Image.Resampling.BICUBIC))
        options = dataclasses.replace(processing, do_resize=False, alpha=False)
        expected.append(book.preprocess([resized], options)[0])
    np.testing.assert_array_equal(book.preprocess(images, processing), expected)
    np.testing.assert_array_equal(with_torch(images, processing), expected)
    if channels == 4:
        same_as_transformers(images, processing)
    apart = book.preprocess(images, dataclasses.replace(processing, alpha=False))
    assert abs(apart - expected).max() > 0.1


def test_the_mirror_resizes_images_of_one_size_together(monkeypatch):
    calls = []
    resize = mirror.resize
    monkeypatch.setattr(
        mirror, "resize", lambda image, *rest, **options: calls.append(image.shape) or resize(image, *rest, **options)
    )
    images = [photo(i, *shape) for i, shape in enumerate([(30, 20), (25, 40), (30, 20), (20, 30), (30, 20)])]
    processing = ImageProcessing(size=16, crop_size=(18, 12))
    trace = Trace()
    batch = with_torch(images, processing, trace=trace)
    assert sorted(map(tuple, calls)) == [(20, 30, 3), (25, 40, 3), (30, 20, 9)]
    np.testing.assert_array_equal(batch, book.preprocess(images, processing))
    for i in range(5):
        np.testing.assert_array_equal(trace[f"images.{i}.image"].numpy(), images[i])


# --- bad input. Unwrapped, because in tests the shape check of the signature would speak first.


@pytest.mark.parametrize(("backend", "wrap"), [(book, np.asarray), (mirror, torch.from_numpy)])
def test_bad_input_is_refused_with_the_reason(backend, wrap):
    preprocess, crop = inspect.unwrap(backend.preprocess), inspect.unwrap(backend.center_crop)
    image = wrap(photo(0, 6, 7))
    keeps_sizes = ImageProcessing(do_resize=False, do_center_crop=False)
    with pytest.raises(ValueError, match="needs at least one image, got an empty list"):
        preprocess([], ImageProcessing())
    for kind, processing in (("float64", keeps_sizes), ("float32", ImageProcessing())):  # only bytes are resized
        with pytest.raises(ValueError, match=rf"must be uint8 .* got {kind} \(6, 7, 3\)"):
            preprocess([wrap(np.zeros((6, 7, 3), kind))], processing)
    with pytest.raises(ValueError, match=r"one shape after processing, got .*\(5, 7, 3\), \(6, 7, 3\): give `size`"):
        preprocess([image, image[1:]], keeps_sizes)
    shortest = ImageProcessing(size={"shortest_edge": 12}, do_center_crop=False)
    with pytest.raises(ValueError, match=r"one shape after processing, got .*\(12, 14, 3\), \(12, 16, 3\)"):
        preprocess([image, image[:5, :7]], shortest)
    with pytest.raises(ValueError, match=r"mean must be .* image's 3 channels"):
        preprocess([image], ImageProcessing(image_mean=(0.1, 0.2)))
    with pytest.raises(ValueError, match=r"must be uint8 .* got .*uint8 \(6, 7\)"):
        crop(image[..., 0], (2, 2))
    with pytest.raises(ValueError, match=r"size\[1\] must be at least 1, got 0"):
        crop(image, (2, 0))
    with pytest.raises(ValueError, match=r"rounding must be one of floor, truncate, round; got 'ceil'"):
        crop(image, (2, 2), rounding="ceil")


@pytest.mark.parametrize(("arithmetic", "row", "column"), [("pillow", 3, 2), ("torchvision", 2, 1)])
def test_the_two_processors_pad_the_two_halves_of_an_odd_rest(arithmetic, row, column):
    """9 x 12 pixels become 14 x 15: the slow processor begins with the larger half, the fast one with the smaller."""
    photo = np.full((9, 12, 3), 255, np.uint8)
    plain = {"do_resize": False, "do_normalize": False, "crop_size": (14, 15), "arithmetic": arithmetic}
    processing = ImageProcessing(**plain)
    for images, preprocess in (([photo], book.preprocess), ([torch.from_numpy(photo)], mirror.preprocess)):
        seen = np.asarray(preprocess(images, processing))[0, 0] > 0
        assert (seen.any(axis=1).argmax(), seen.any(axis=0).argmax()) == (row, column)
        assert (seen.any(axis=1).sum(), seen.any(axis=0).sum()) == (9, 12)
    larger = ImageProcessing(**{**plain, "crop_size": (4, 5)})  # of what is cut away both begin with the smaller half
    rows = np.arange(9, dtype=np.uint8)[:, None, None] * np.ones((1, 12, 3), np.uint8)
    columns = np.arange(12, dtype=np.uint8)[None, :, None] * np.ones((9, 1, 3), np.uint8)
    places = [round(float(np.asarray(book.preprocess([x], larger))[0, 0, 0, 0]) * 255) for x in (rows, columns)]
    assert places == [2, 3]
