"""Augmentation: values by hand, means over many draws, Pillow as oracle, and one generator that draws everything."""

import math
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from deit_ref.image_processing import IMAGENET_MEAN
from deit_ref.training import augmentation, mixing, randaugment
from deit_ref.training.augmentation import erase, padded_crop, random_flip, random_resized_crop
from deit_ref.training.mixing import mix, smooth_labels
from deit_ref.training.randaugment import OPERATIONS, rand_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(batch=6, height=24, width=32, seed=0):
    """Smooth photos, as bytes."""
    coarse = torch.rand(batch, 3, 4, 5, generator=seeded(seed))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return (fine * 255).round().to(torch.uint8)


TARGETS = torch.eye(6)
DRAWS = {
    "padded_crop": lambda g: padded_crop(photos(), generator=g),
    "random_flip": lambda g: random_flip(photos(), generator=g),
    "rand_augment": lambda g: rand_augment(photos(), generator=g),
    "erase": lambda g: erase(photos() / 255, probability=1.0, generator=g),
    "mixup": lambda g: mix(photos() / 255, TARGETS, cutmix=0, generator=g)[0],
    "cutmix": lambda g: mix(photos() / 255, TARGETS, mixup=0, generator=g)[0],
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_generator_alone_decides_and_no_other_is_touched(name):
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = DRAWS[name](seeded(3))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    torch.manual_seed(2)
    assert torch.equal(DRAWS[name](seeded(3)), first)
    assert not torch.equal(DRAWS[name](seeded(4)), first)


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("zeros", "constant")])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_padded_crop_takes_every_window_of_the_padded_image_equally_often(mode, numpy_mode, dtype):
    image = (torch.arange(2 * 5 * 7).reshape(1, 2, 5, 7) + 1).to(dtype)
    out = padded_crop(image.expand(9000, -1, -1, -1), padding=2, mode=mode, generator=seeded())
    assert out.dtype == dtype
    wide = np.pad(image[0].numpy(), ((0, 0), (2, 2), (2, 2)), mode=numpy_mode)
    windows = [torch.from_numpy(wide[:, y : y + 5, x : x + 7].copy()) for y in range(5) for x in range(5)]
    counts = [int((out == window).all(dim=(1, 2, 3)).sum()) for window in windows]
    assert sum(counts) == 9000
    assert 290 < min(counts) <= max(counts) < 430  # 360 +- 3.8 standard deviations


def test_padded_crop_without_padding_and_with_too_much():
    assert torch.equal(padded_crop(photos(), padding=0, generator=seeded()), photos())
    with pytest.raises(ValueError, match="padding < 24"):
        padded_crop(photos(), padding=24, generator=seeded())
    far = padded_crop(photos(batch=200) + 1, padding=40, mode="zeros", generator=seeded())
    assert any(not image.any() for image in far)


def test_random_flip():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    out = random_flip(image.expand(4000, -1, -1, -1), probability=0.3, generator=seeded())
    mirrored = (out == torch.tensor([[2.0, 1, 0], [5, 4, 3]])).all(dim=(1, 2, 3))
    assert ((out == image).all(dim=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.3) < 0.025
    assert torch.equal(random_flip(photos(), probability=1.0, generator=seeded()), photos().flip(-1))


class Fixed:
    """A NumPy generator that returns what it is told: uniform numbers as shares of their range."""

    def __init__(self, *shares):
        self.shares = list(shares)

    def uniform(self, low, high):
        return low + self.shares.pop(0) * (high - low)

    def integers(self, count):
        return min(int(self.shares.pop(0) * count), count - 1)


@pytest.mark.parametrize(
    ("shares", "box"),
    [
        # area 0.5 * 6000 at 1 : 1 is 55 x 55; of 6 and 46 places the middle ones.
        ((0.5, 0.5, 0.5, 0.5), (3, 23, 55, 55)),
        # the whole area does not fit at 4 : 3 (h = 67); then 0.25 of it at 3 : 4 does: h = 45, w = 34.
        ((1.0, 1.0, 0.25, 0.0, 0.0, 0.999), (0, 66, 45, 34)),
        # ten times the whole area at 3 : 4 (h = 89): the largest central part, 60 x 80.
        ((1.0, 0.0) * 10, (0, 10, 60, 80)),
    ],
)
def test_the_box_of_a_resized_crop_by_hand(shares, box):
    generator = Fixed(*shares)
    assert augmentation._random_box(60, 100, (1e-9, 1.0), (3 / 4, 4 / 3), generator) == box
    assert generator.shares == []


def test_the_fallback_of_a_tall_image_and_of_a_thin_one():
    assert augmentation._random_box(90, 30, (1, 1), (3 / 4, 4 / 3), Fixed(*(0, 0) * 10)) == (25, 0, 40, 30)
    assert augmentation._random_box(1, 9, (1e-3, 1e-3), (3 / 4, 4 / 3), Fixed(*(0, 0) * 10)) == (0, 4, 1, 1)


def test_resized_crops_cover_the_ranges_of_area_and_shape():
    rng = np.random.default_rng(0)
    boxes = np.array([augmentation._random_box(400, 400, (0.08, 0.5), (3 / 4, 4 / 3), rng) for _ in range(3000)])
    top, left, height, width = boxes.T
    area, shape = height * width / 160000, np.log(width / height)
    assert 0.078 < area.min() < 0.085
    assert 0.495 < area.max() < 0.503
    assert abs(area.mean() - 0.29) < 0.01
    assert abs(shape.mean()) < 0.015  # 0.03 if width / height itself were uniform
    assert np.abs(shape).max() < math.log(4 / 3) + 0.02
    assert abs(shape.var() / (math.log(4 / 3) ** 2 / 3) - 1) < 0.08
    assert (top + height).max() <= 400
    assert (left + width).max() <= 400


def test_random_resized_crop_cuts_first_and_resizes_then():
    image = photos(1, 60, 100)[0].permute(1, 2, 0).numpy()
    out = random_resized_crop(image, (20, 30), generator=np.random.default_rng(5))
    top, left, height, width = augmentation._random_box(60, 100, (0.08, 1), (3 / 4, 4 / 3), np.random.default_rng(5))
    part = Image.fromarray(image).crop((left, top, left + width, top + height))
    assert np.array_equal(out, np.asarray(part.resize((30, 20), Image.Resampling.BICUBIC)))
    nearest = random_resized_crop(image, (20, 30), resample="nearest", generator=np.random.default_rng(5))
    assert np.array_equal(nearest, np.asarray(part.resize((30, 20), Image.Resampling.NEAREST)))


FILL = tuple(round(255 * value) for value in IMAGENET_MEAN)


def pillow(name, photo, sign):
    """What Pillow makes of it at level 0.9, with timm's arguments."""

    def moved(*matrix):
        return photo.transform(photo.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=FILL)

    factor = 1 + sign * 0.81
    return {
        "auto_contrast": lambda: ImageOps.autocontrast(photo),
        "equalize": lambda: ImageOps.equalize(photo),
        "invert": lambda: ImageOps.invert(photo),
        "rotate": lambda: photo.rotate(sign * 27, Image.Resampling.BICUBIC, fillcolor=FILL),
        "posterize": lambda: ImageOps.posterize(photo, 1),
        "solarize": lambda: ImageOps.solarize(photo, 26),
        "solarize_add": lambda: photo.point([min(255, i + 99) if i < 128 else i for i in range(256)] * 3),
        "color": lambda: ImageEnhance.Color(photo).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(photo).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(photo).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(photo).enhance(factor),
        "shear_x": lambda: moved(1, sign * 0.27, 0, 0, 1, 0),
        "shear_y": lambda: moved(1, 0, 0, sign * 0.27, 1, 0),
        "translate_x": lambda: moved(1, 0, sign * 0.405 * photo.width, 0, 1, 0),
        "translate_y": lambda: moved(1, 0, 0, 0, 1, sign * 0.405 * photo.height),
    }[name]()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(name, sign):
    batch = photos(3, 28, 40)
    batch[0, 0] = 77  # a channel of one value
    level, signs = torch.full((3, 1, 1, 1), 0.9), torch.full((3, 1, 1, 1), float(sign))
    out = OPERATIONS[name](batch.float(), level, signs).round().clamp(0, 255)
    for image, ours in zip(batch, out, strict=True):
        theirs = pillow(name, Image.fromarray(image.permute(1, 2, 0).numpy()), sign)
        distance = (ours - torch.from_numpy(np.array(theirs)).permute(2, 0, 1)).abs()
        if name.startswith(("rotate", "shear", "translate")):  # another kernel, and another border
            assert distance.median() <= 1
            assert distance.mean() < 3
        else:
            assert distance.max() <= 1


def test_strengths_and_directions_belong_to_each_image():
    batch = torch.full((3, 3, 4, 4), 100.0)
    level, sign = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 1.0, -1.0])
    out = OPERATIONS["brightness"](batch, level.reshape(3, 1, 1, 1), sign.reshape(3, 1, 1, 1))
    assert out[:, 0, 0, 0].tolist() == pytest.approx([100, 145, 10])
    for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y", "sharpness", "color", "contrast"):
        still = OPERATIONS[name](photos(2).float(), torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
        assert torch.allclose(still, photos(2).float(), atol=0.02), name


def test_rand_augment_draws_each_operation_for_each_image_in_half_of_the_cases(monkeypatch):
    seen = {name: [] for name in OPERATIONS}

    def record(name):
        def operation(images, level, sign):
            seen[name].extend(zip(level.flatten().tolist(), sign.flatten().tolist(), strict=True))
            return images + 1

        return operation

    monkeypatch.setattr(randaugment, "OPERATIONS", {name: record(name) for name in OPERATIONS})
    out = rand_augment(torch.zeros(6000, 3, 3, 3, dtype=torch.uint8), num_ops=2, magnitude=7, generator=seeded())
    times = torch.bincount(out[:, 0, 0, 0].long(), minlength=3) / 6000
    assert times.tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.025)  # independent, with replacement
    counts = [len(draws) for draws in seen.values()]
    assert 320 < min(counts) <= max(counts) < 480  # 400 each
    level, sign = np.array([draw for draws in seen.values() for draw in draws]).T
    assert level.mean() == pytest.approx(0.7, abs=0.003)
    assert level.std() == pytest.approx(0.05, abs=0.003)
    assert sign.mean() == pytest.approx(0, abs=0.05)
    assert set(sign) == {-1, 1}
    for draws in seen.values():
        draws.clear()
    rand_augment(torch.zeros(500, 3, 3, 3, dtype=torch.uint8), magnitude=10, generator=seeded())
    assert max(level for draws in seen.values() for level, _ in draws) == 1


def test_rand_augment_leaves_its_input_alone():
    images = photos(32)
    out = rand_augment(images, generator=seeded())
    assert torch.equal(images, photos(32))
    assert out.dtype == torch.uint8
    assert torch.equal(rand_augment(images, num_ops=0, generator=seeded()), images)
    assert len(rand_augment(images[:0], generator=seeded())) == 0


def test_erase_by_the_shapes_of_its_rectangles():
    images = torch.full((4000, 3, 32, 40), 9.0)
    out = erase(images, probability=0.4, generator=seeded())
    gone = out != 9
    assert torch.equal(gone[:, 0], gone[:, 1])
    gone = gone[:, 0]
    rows, columns = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    assert torch.equal(gone.sum(dim=(1, 2)), rows * columns)  # full rectangles
    erased = rows > 0
    assert abs(erased.float().mean() - 0.4) < 0.03
    share = (rows * columns)[erased] / (32 * 40)
    assert 0.015 < share.min() < 0.03
    assert 0.3 < share.max() < 0.35
    shape = (rows[erased] / columns[erased]).log()
    assert shape.abs().max() < math.log(1 / 0.3) + 0.3
    assert gone[:, 0].any()
    assert gone[:, :, 0].any()
    assert gone[:, -1].any()
    assert gone[:, :, -1].any()
    assert 0.45 < gone.float().mean(dim=0)[:, :20].sum() / gone.float().mean(dim=0).sum() < 0.55
    noise = out[(out != 9)]
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert torch.equal(images, torch.full_like(images, 9))


def test_erase_finds_room_by_drawing_again_or_leaves_the_image():
    images = torch.zeros(300, 1, 8, 8)
    long = erase(images, probability=1.0, area=(0.3, 0.3), ratio=(0.2, 5.0), generator=seeded())
    assert (long != 0).flatten(1).any(dim=1).all()  # about a fifth of single draws are too long
    never = erase(images, probability=1.0, area=(1.0, 1.0), ratio=(1.0, 1.0), generator=seeded())
    assert torch.equal(never, images)


def test_smooth_labels():
    out = smooth_labels(torch.tensor([2, 0]), num_classes=4, smoothing=0.2)
    assert torch.allclose(out, torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]))
    plain = smooth_labels(torch.tensor([1]), num_classes=2, smoothing=0)
    assert plain.tolist() == [[0, 1]]


def lambdas(count, **options):
    """(lambda in the images, lambda in the targets) of many batches of a white image and a black one."""
    generator = seeded()
    images = torch.stack([torch.ones(1, 12, 20), torch.zeros(1, 12, 20)])
    drawn = [mix(images, torch.eye(2), generator=generator, **options) for _ in range(count)]
    for mixed, targets in drawn:
        assert torch.allclose(mixed[0] + mixed[1], torch.ones(1, 12, 20))
        assert torch.allclose(targets.sum(dim=1), torch.ones(2))
    mixed = torch.stack([mixed for mixed, _ in drawn])
    return mixed, torch.stack([targets[0, 0] for _, targets in drawn])


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_mixup(alpha):
    mixed, share = lambdas(2000, mixup=alpha, cutmix=0)
    assert torch.allclose(mixed[:, 0], share[:, None, None, None].expand(-1, 1, 12, 20))
    assert abs(share.mean() - 0.5) < 0.03
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_cutmix():
    mixed, share = lambdas(2000, mixup=0, cutmix=1.0)
    white = mixed[:, 0, 0]  # (draws, height, width)
    assert set(white.unique().tolist()) == {0, 1}
    assert torch.allclose(white.mean(dim=(1, 2)), share)  # lambda is what is left, not what was drawn
    black = 1 - white
    assert torch.equal(black.sum(dim=(1, 2)), black.amax(dim=2).sum(dim=1) * black.amax(dim=1).sum(dim=1))
    # Sides cut at the border: a side s = sqrt(1 - lambda) about a uniform center keeps s - s^2 / 4 of itself, and the
    # mean over lambda of its square is 1/2 - 2/5 * 1/2 + 1/16 * 1/3 = 0.3208; whole pixels take a little.
    assert 0.26 < black.mean() < 0.33
    assert black[:, 0].any()
    assert black[:, -1].any()
    assert black[:, :, 0].any()
    assert black[:, :, -1].any()


def test_one_box_of_cutmix_by_hand():
    class Half:
        def integers(self, side):
            return 1

    # half of 12 * sqrt(1 - 0.75) = 6 is 3 on both sides of 1, cut at 0.
    assert mixing._cut(12, 0.75, Half()) == (0, 4)
    assert mixing._cut(3, 0.0, Half()) == (0, 2)


def test_how_often_which_mixing():
    def kinds(**options):
        mixed, _ = lambdas(1500, mixup=1.0, **options)
        flat = mixed[:, 0].flatten(1)
        untouched = (flat == 1).all(dim=1)
        mixup = ((flat > 0) & (flat < 1)).all(dim=1)
        return untouched.float().mean(), mixup.float().mean()

    untouched, mixup = kinds(cutmix=1.0, switch=0.3)
    assert untouched < 0.02  # a box of no pixels
    assert abs(mixup - 0.7) < 0.04
    untouched, mixup = kinds(cutmix=0, probability=0.6)
    assert abs(untouched - 0.4) < 0.04
    assert abs(mixup - 0.6) < 0.04


def test_the_partner_is_the_batch_in_reverse():
    images = torch.arange(5.0).reshape(5, 1, 1, 1)
    mixed, targets = mix(images, torch.eye(5), cutmix=0, generator=seeded())
    share = float(targets[0, 0])
    assert 0 < share < 1
    assert targets[0, 4] == pytest.approx(1 - share)
    assert targets[2].tolist() == [0, 0, 1, 0, 0]
    expected = [share * i + (1 - share) * (4 - i) for i in range(5)]
    assert mixed.flatten().tolist() == pytest.approx(expected)


def test_no_mixing_returns_what_came():
    images, targets = photos(2) / 255, torch.eye(2)
    same = mix(images, targets, mixup=0, cutmix=0, generator=seeded())
    assert same[0] is images
    assert same[1] is targets


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: padded_crop(photos(), padding=-1, generator=g), "padding must be at least 0"),
        (lambda g: padded_crop(photos(), mode="edge", generator=g), "mode must be one of reflect, zeros"),
        (lambda g: random_flip(photos(), probability=1.5, generator=g), "probability must lie in"),
        (lambda g: rand_augment(photos(), num_ops=-1, generator=g), "num_ops must be at least 0"),
        (lambda g: rand_augment(photos(), magnitude=27, generator=g), "magnitude must lie in"),
        (lambda g: rand_augment(photos() / 255, generator=g), "uint8 images.*got torch.float32"),
        (lambda g: rand_augment(photos()[:, :1], generator=g), r"got torch.uint8 \(6, 1, 24, 32\)"),
        (lambda g: erase(photos() / 255, probability=-0.1, generator=g), "probability must lie in"),
        (lambda g: erase(photos() / 255, area=(0.5, 0.1), generator=g), "area must be two rising numbers"),
        (lambda g: erase(photos() / 255, ratio=(0.0, 1.0), generator=g), "ratio must be two rising numbers"),
        (lambda g: smooth_labels(torch.tensor([3]), num_classes=3, smoothing=0.1), r"0\.\.2, got 3\.\.3"),
        (lambda g: smooth_labels(torch.tensor([-1]), num_classes=3, smoothing=0.1), r"got -1\.\.-1"),
        (lambda g: smooth_labels(torch.tensor([0.5]), num_classes=3, smoothing=0), "must be integers"),
        (lambda g: smooth_labels(torch.tensor([1]), num_classes=3, smoothing=2), "smoothing must lie in"),
        (lambda g: mix(photos() / 255, TARGETS[:2], generator=g), "6 images and 2 targets"),
        (lambda g: mix(photos() / 255, TARGETS, mixup=-1, generator=g), "mixup must lie in"),
        (lambda g: mix(photos() / 255, TARGETS, switch=1.1, generator=g), "switch must lie in"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(seeded())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.5, 2.0)}, "scale must be two rising numbers"),
        ({"ratio": (2.0, 1.0)}, "ratio must be two rising numbers"),
        ({"resample": "cubic"}, "resample must be one of"),
        ({"size": (0, 4)}, "size"),
    ],
)
def test_what_a_resized_crop_refuses(options, message):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=message):
        random_resized_crop(image, options.pop("size", (4, 4)), generator=np.random.default_rng(0), **options)


def test_each_operation_hands_bytes_to_the_next():
    """As Pillow's do: what is between two bytes, or beyond them, is rounded or cut before the next one sees it."""
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    together, one_by_one = (torch.Generator().manual_seed(3) for _ in range(2))
    expected = images
    for _ in range(3):
        expected = rand_augment(expected, num_ops=1, magnitude=9, generator=one_by_one)
    assert torch.equal(rand_augment(images, num_ops=3, magnitude=9, generator=together), expected)


def test_of_two_mixings_each_draws_by_its_own_alpha():
    """Mixup by shares that hardly leave 0 and 1, cutmix by half of the photo, but for what the border cuts off."""
    images, targets = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]), torch.eye(2)
    for switch in (0.0, 1.0):
        for seed in range(20):
            draw = torch.Generator().manual_seed(seed)
            _, mixed = mix(images, targets, mixup=1e-3, cutmix=1e5, switch=switch, generator=draw)
            share = float(mixed[0, 0])
            assert 0.45 < share < 0.9 if switch else min(share, 1 - share) < 0.02


def test_a_rectangle_is_smaller_than_a_photo_that_is_not_square():
    """Of a wide photo and of a tall one; where none of ten fits, the photo stays."""
    for shape in ((8, 64), (64, 8)):
        gone = (erase(torch.zeros(400, 1, *shape), probability=1.0, generator=seeded()) != 0)[:, 0]
        assert gone.any(dim=2).sum(dim=1).max() < shape[0]
        assert gone.any(dim=1).sum(dim=1).max() < shape[1]
        assert gone.flatten(1).any(dim=1).float().mean() > 0.9


def test_contrast_moves_from_a_whole_mean():
    """Pillow's degenerate image is of one byte: 100 here, where the mean is 100.25."""
    gray = torch.tensor([100.0, 100, 100, 101]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    out = OPERATIONS["contrast"](gray, torch.ones(1, 1, 1, 1), -torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(out, 0.9 * 100 + 0.1 * gray)


def test_between_two_pixels_four_have_a_say():
    """torch's cubic kernel half way between two pixels, along a line that is bright in one place."""
    photo = torch.zeros(1, 3, 5, 20)
    photo[:, :, :, 10] = 64.0
    half = torch.full((1, 1, 1, 1), 0.5 / (0.45 * 20))
    out = OPERATIONS["translate_x"](photo, half, torch.ones(1, 1, 1, 1))[0, 0, 2]
    assert out[8:12].tolist() == pytest.approx([-6, 38, 38, -6], abs=1e-3)
    assert out[3:8].abs().max() < 1e-3
