"""What a card tells: calibration by hand, JPEG once more, cut-outs of a list."""

import dataclasses
import io
import json
import struct
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image
from strategies import TINY, random_weights
from tiny_data import write_photos

from deit_ref import save_weights
from deit_ref.benchmark import strangers as program
from deit_ref.data.opening import open_images
from deit_ref.data.qt_resources import resources
from deit_ref.data.strangers import photographs, squared, stamps
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.calibration import expected_calibration_error, fitted_temperature
from deit_ref.training.measures import Classifier, answers_to, classifier, measured, saved_again
from deit_ref.training.teacher import new_teacher, save_teacher

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return open_images(write_photos(tmp_path_factory.mktemp("photos"), test=4), "test")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """What the list names, as plain white pictures of 4 x 6 pixels with one pixel of the class's number."""
    folder = tmp_path_factory.mktemp("stamps")
    with open(files("deit_ref.data") / "stamps.json", encoding="utf-8") as file:
        listed = json.load(file)
    for label, names in enumerate(listed["classes"].values()):
        for name in names:
            pixels = np.full((4, 6, 4), 255, dtype=np.uint8)
            pixels[1, 1, :3], pixels[2] = label, 0  # a row that is transparent
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name)
    return folder


def logits_of(*answers):
    """Of two classes: (probability of class 0) for each photo."""
    p = torch.tensor(answers, dtype=torch.float64)
    return torch.stack([p, 1 - p], dim=1).log()


def error_of(logits, *labels, **options):
    return expected_calibration_error(logits, torch.tensor(labels), **options)


def test_the_calibration_error_by_hand():
    # Two photos of confidence 0.9, one right: together off by 0.8. One of 0.65, which is wrong: off by 0.65.
    assert error_of(logits_of(0.9, 0.1, 0.65), 0, 0, 1) == pytest.approx((0.8 + 0.65) / 3)
    # In two bins, what is not sure enough and what is too sure add up.
    assert error_of(logits_of(0.9, 0.65), 0, 1) == pytest.approx((0.1 + 0.65) / 2)
    # In one bin, what is too sure and what is not sure enough make up for each other.
    assert error_of(logits_of(0.9, 0.91, 0.9, 0.89), 0, 0, 0, 1) == pytest.approx(abs(3 - 0.9 - 0.91 - 0.9 - 0.89) / 4)
    # 0.75 is the upper end of the third of four bins, which 0.6 and 0.7 share with it.
    three = logits_of(0.75 - 1e-12, 0.6, 0.76)
    assert error_of(three, 0, 1, 1, bins=4) == pytest.approx((abs(1 - 0.75 - 0.6) + 0.76) / 3)
    assert error_of(three, 0, 1, 1, bins=2) == pytest.approx(abs(1 - 0.75 - 0.6 - 0.76) / 3)
    assert error_of(torch.tensor([[1e3, 0.0]]), 0) == 0


def test_a_temperature_makes_probabilities_what_they_are():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    for times in (0.5, 1.0, 3.0):
        assert fitted_temperature(times * logits, labels) == pytest.approx(times, rel=0.03)
    found = fitted_temperature(logits, labels)
    losses = [float(torch.nn.functional.cross_entropy(logits / (found * f), labels)) for f in (0.97, 1.0, 1.03)]
    assert losses[1] < min(losses[0], losses[2])
    assert expected_calibration_error(3 * logits, labels) > 0.1 > 0.03 > expected_calibration_error(logits, labels)
    assert fitted_temperature(logits, logits.argmax(dim=1)) == pytest.approx(1 / 20)  # always right: as sure as can be
    assert fitted_temperature(logits, logits.argmin(dim=1)) == pytest.approx(20)


def test_photos_saved_again_lose_the_more_the_lower_the_quality(photos):
    whole = dataclasses.replace(photos, read=lambda i: np.arange(3072, dtype=np.uint8).reshape(32, 32, 3) * (i + 1))
    errors = [np.abs(saved_again(whole, q).read(0).astype(int) - whole.read(0)).mean() for q in (10, 75, 95)]
    assert errors[0] > errors[1] > errors[2] > 0
    # Stripes of one pixel: of colors at half the resolution nothing is left, in whatever is not cut off at 0.
    stripes = np.full((16, 16, 3), 100, dtype=np.uint8)
    stripes[:, ::2, 0] = 150
    seen = saved_again(dataclasses.replace(photos, read=lambda i: stripes), 95).read(0).astype(int)
    assert np.abs(np.diff(seen[..., 0] - seen[..., 1], axis=1)).max() <= 4


def teacher_of(class_names, folder):
    save_teacher(new_teacher(len(class_names), seed=0, widths=(4, 6)), folder, class_names=class_names)
    return classifier(folder)


def test_what_is_measured_of_photos(photos, tmp_path):
    asked = teacher_of(photos.class_names, tmp_path)
    found, logits = answers_to(asked, photos)
    labels = torch.from_numpy(photos.labels)
    np.testing.assert_array_equal(logits.argmax(dim=1), found.answers)
    told = measured(asked, photos)
    assert told["photos"] == 12
    assert told["top1"] == found.is_right.mean()
    assert {*told["jpeg"]} == {75, 95}
    calibration = told["calibration"]
    assert calibration["photos"] == 6
    assert calibration["temperature"] == fitted_temperature(logits[::2], labels[::2])
    assert calibration["error"] == expected_calibration_error(logits[1::2], labels[1::2])
    cooled = logits[1::2] / calibration["temperature"]
    assert calibration["error_with_it"] == expected_calibration_error(cooled, labels[1::2])
    assert told["strangers"] == {}
    assert measured(asked, photos, strangers={"x": photos})["strangers"]["x"]["photos"] == 12


def test_jpeg_is_what_the_net_is_shown(photos):
    shown = []
    processing = ImageProcessing(size=16, crop_size=16)
    asked = Classifier(lambda x: shown.append(x) or x.mean(dim=(2, 3)), processing, photos.class_names, 0)
    measured(asked, photos)
    plain, q75, q95 = shown
    assert 0 < float((q95 - plain).abs().mean()) < float((q75 - plain).abs().mean())


def test_cut_outs_are_listed_white_and_square(pictures, tmp_path):
    found = stamps(pictures)
    assert found.class_names == CIFAR10
    assert np.bincount(found.labels).tolist() == [3, 4, 35, 1, 4, 2, 2, 1, 3, 7]
    assert len({*found.names}) == len(found) == 62
    for i in (0, 10, 61):
        image, expected = found.read(i), np.full((6, 6, 3), 255)
        expected[2, 1] = found.labels[i]
        np.testing.assert_array_equal(image, expected)
    with pytest.raises(ValueError, match=r"f22_raptor\.png is not there: give the folder of tuxpaint"):
        stamps(tmp_path)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_a_square_of_the_longer_side(shape):
    image = np.random.default_rng(0).integers(0, 200, (*shape, 3)).astype(np.uint8)
    found = squared(image)
    side = max(shape)
    assert found.shape == (side, side, 3)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    np.testing.assert_array_equal(found[top : top + shape[0], left : left + shape[1]], image)
    assert (found == 255).sum() == 3 * (side * side - shape[0] * shape[1])


def qt_resources(files, *, version=3, flags=None):
    """Files by path as Qt compiles them: a tree whose folders have their children side by side, contents, and names."""
    tree = {}
    for path, content in files.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = content
    nodes, contents, names, level = [], b"", b"", [("", tree)]
    while level:
        following, count = [], len(nodes) + len(level)
        for name, child in level:
            place = len(names)
            names += len(name).to_bytes(2, "big") + b"hash" + name.encode("utf-16-be")
            if isinstance(child, dict):
                nodes.append(struct.pack(">IHIIQ", place, 2, len(child), count + len(following), 0))
                following += child.items()
            else:
                nodes.append(struct.pack(">IHHHIQ", place, (flags or {}).get(name, 0), 0, 0, len(contents), 0))
                contents += len(child).to_bytes(4, "big") + child
        level = following
    start, table = 24, b"".join(nodes)
    places = start, start + len(table), start + len(table) + len(contents)
    return b"qres" + struct.pack(">5I", version, *places, 0) + table + contents + names


def test_files_are_read_from_qts_resources():
    files = {"a/one.txt": b"1", "a/b/two.png": b"two" * 50, "a/b/\u00e9.webp": b"", "last": b"end"}
    assert resources(qt_resources(files)) == resources(qt_resources(files, version=2)) == files
    packed = {**files, "a/x": b"packed", "a/y": b"packed otherwise"}
    assert resources(qt_resources(packed, flags={"x": 1, "y": 4})) == files
    with pytest.raises(ValueError, match="version 2 or 3, got version 1"):
        resources(qt_resources(files, version=1))
    with pytest.raises(ValueError, match="begin with the letters qres, got another file"):
        resources(b"RIFF" + bytes(40))


def test_photographs_are_listed_and_read_from_their_packages_files(tmp_path):
    with open(files("deit_ref.data") / "photographs.json", encoding="utf-8") as file:
        listed = json.load(file)["classes"]
    contents, expected = {}, []
    for label, names in enumerate(listed.values()):
        for name in names:
            program, _, place = name.partition("/")
            picture = io.BytesIO()
            Image.new("RGB", (5, 3), (label, len(expected), 9)).save(picture, "WEBP", lossless=True)
            contents.setdefault(program, {})[place] = picture.getvalue()
            expected.append((label, len(expected)))
    for program, pictures in contents.items():
        tmp_path.joinpath(program).write_bytes(qt_resources(pictures))
    found = photographs(tmp_path)
    assert found.class_names == CIFAR10
    assert np.bincount(found.labels, minlength=10).tolist() == [0, 0, 12, 2, 0, 1, 0, 2, 0, 0]
    for i, (label, number) in enumerate(expected):
        assert (found.read(i) == (label, number, 9)).all()
        assert found.read(i).shape == (3, 5, 3)
    tmp_path.joinpath("erase.rcc").write_bytes(qt_resources({"a": b""}))
    with pytest.raises(
        ValueError, match=r"gosling\.webp is not there: give the folder of gcompris-qt-data 3\.1-2, such"
    ):
        photographs(tmp_path)


def test_the_program_tells_what_was_named(pictures, tmp_path, capsys):
    teacher_of(CIFAR10, tmp_path)
    assert program.main(["--stamps", str(pictures), "--weights", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    found, _ = answers_to(classifier(tmp_path), stamps(pictures))
    right = int(found.is_right.sum())
    assert lines[-1] == f"all: {right} of 62, {right / 62:.1%}"
    assert lines[-9] == f"bird: {found.is_right[found.labels == 2].sum()} of 35"
    assert len(lines) == 62 - right + 10 + 1
    first = int(np.flatnonzero(~found.is_right)[0])
    assert lines[0].startswith(f"{stamps(pictures).names[first]}: {CIFAR10[found.answers[first]]} (")


def test_what_cannot_be_asked_is_refused(pictures, photos, tmp_path):
    other = teacher_of(("cat", "dog", "owl"), tmp_path / "other")
    with pytest.raises(ValueError, match="The weights know cat, dog, owl, the pictures are of airplane"):
        answers_to(other, stamps(pictures))
    save_weights(random_weights(TINY, "masked-image-modeling"), tmp_path / "masked")
    with pytest.raises(ValueError, match="must classify, it is of the task 'masked-image-modeling'"):
        classifier(tmp_path / "masked")
    assert torch.is_tensor(other.model(torch.zeros(1, 3, 32, 32)))
