"""HEIC photos: read where pillow-heif is installed, told what to install where it is not, and never turned twice."""

import io
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from deit_ref import photo_names, photos
from deit_ref.data.opening import open_images

# Four quarters of plain color, which a lossy codec keeps: (height, width, channels), wider than high.
QUARTERS = np.zeros((32, 64, 3), np.uint8)
QUARTERS[:16, :32], QUARTERS[:16, 32:], QUARTERS[16:, :32] = [250, 0, 0], [0, 250, 0], [0, 0, 250]


@pytest.fixture(autouse=True)
def unregistered(monkeypatch):
    """Pillow as it is before the first HEIC photo came."""
    Image.init()
    monkeypatch.setattr(Image, "OPEN", {kind: known for kind, known in Image.OPEN.items() if kind != "HEIF"})


@pytest.fixture
def not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def write(path, array=QUARTERS, *, orientation=None, xmp=None):
    image = pillow_heif.from_pillow(Image.fromarray(array))
    if orientation is not None:
        exif = Image.Exif()
        exif[274] = orientation
        image.info["exif"] = exif.tobytes()
    if xmp is not None:
        image.info["xmp"] = xmp
    image.save(path, quality=95)
    return path


def close(loaded, expected):
    """Equal but for what the codec loses, inside the quarters: at their borders its colors run into each other."""
    if loaded.shape != expected.shape:
        return False
    rows, columns = (np.r_[side // 8 : side * 3 // 8, side * 5 // 8 : side * 7 // 8] for side in loaded.shape[:2])
    return np.abs(loaded.astype(int) - expected)[np.ix_(rows, columns)].max() < 12


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.hif", "mistaken.jpg"])
def test_read_by_what_it_is_and_not_by_its_name(name, tmp_path):
    path = write(tmp_path / "a.heic").rename(tmp_path / name)
    assert "HEIF" not in Image.OPEN
    assert close(photos.load_image(path), QUARTERS)
    assert close(photos.load_image(io.BytesIO(path.read_bytes())), QUARTERS)
    assert photos.exif_orientation(path) == 1
    # JPEGs are still told apart by their first bytes.
    Image.fromarray(QUARTERS).save(tmp_path / "b.jpg", quality=95)
    assert close(photos.load_image(tmp_path / "b.jpg"), QUARTERS)


@pytest.mark.parametrize("apply_exif", [False, True])
@pytest.mark.parametrize(("orientation", "turns"), [(None, 0), (1, 0), (3, 2), (6, -1), (8, 1)])
def test_upright_whether_exif_is_applied_or_not(orientation, turns, apply_exif, tmp_path):
    """pillow-heif writes the orientation as a transformation of the format, as phones do, which its decoder applies."""
    path = write(tmp_path / "a.heic", orientation=orientation)
    upright = np.rot90(QUARTERS, turns)
    assert close(photos.load_image(path, apply_exif=apply_exif), upright)
    assert photos.exif_orientation(path) == 1


def test_an_orientation_that_is_left_in_the_metadata_turns_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.heic", orientation=6)
    monkeypatch.setattr(pillow_heif.as_plugin, "set_orientation", lambda info: None)  # a version that leaves it in
    assert close(photos.load_image(path, apply_exif=True), np.rot90(QUARTERS, -1))
    pillow_heif.register_heif_opener()
    with Image.open(path) as opened:
        assert opened.getexif().get(274) == 6
        assert close(photos.load_image(opened, apply_exif=True), np.rot90(QUARTERS, -1))
    assert photos.exif_orientation(path) == 1


def test_without_pillow_heif_the_message_says_what_to_install(tmp_path, not_installed):
    path = write(tmp_path / "a.heic")
    for image in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match=r"is a HEIC photo, .*: pip install pillow-heif"):
            photos.load_image(image)
    # AVIF lies in the same container, may name it alone at first, and Pillow reads it.
    Image.fromarray(QUARTERS).save(tmp_path / "a.avif")
    avif = (tmp_path / "a.avif").read_bytes()
    assert avif[8:12] == b"avif"
    for content in (avif, avif[:8] + b"mif1" + avif[12:]):
        assert close(photos.load_image(io.BytesIO(content)), QUARTERS)


def test_a_broken_one_is_named(tmp_path):
    path = write(tmp_path / "a.heic", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a.heic' is (broken or cannot be read|not an image that can be read)"):
        photos.load_image(path)


def test_too_many_pixels(tmp_path, monkeypatch):
    path = write(tmp_path / "a.heic")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 64 * 2)  # its decoder copies: two fifths are allowed
    with pytest.raises(ValueError, match="is too large"):
        photos.load_image(path)


def write_classes(folder):
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        write(folder / kind / "1.heic")
        Image.fromarray(QUARTERS).save(folder / kind / "2.jfif", "JPEG")
        Image.fromarray(QUARTERS).save(folder / kind / "3.jpe", "JPEG")
    return folder


def test_class_folders_take_them(tmp_path):
    folder = write_classes(tmp_path / "d")
    images = open_images(folder, "train")
    assert len(images) == 6
    assert images.skipped == {}
    assert close(images.read(0), QUARTERS)
    assert len(photo_names.find_images([str(folder)])) == 6


def test_without_pillow_heif_they_are_left_out_and_counted(tmp_path, not_installed, caplog):
    folder = write_classes(tmp_path / "d")
    images = open_images(folder, "train")
    assert len(images) == 4
    reason = ".heic (pip install pillow-heif to read them)"
    assert images.skipped == {reason: (2, "cat/1.heic")} or images.skipped == {reason: (2, "dog/1.heic")}
    with caplog.at_level("INFO", "deit_ref"):
        assert len(photo_names.find_images([str(folder)])) == 4
    assert f"left out are 2 {reason}" in caplog.text
    for name in ("cat/2.jfif", "cat/3.jpe"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"d/cat holds no images, only 1 \.heic \(pip install pillow-heif"):
        open_images(folder, "train")
    with pytest.raises(ValueError, match=r"is a folder, .*in it are 1 \.heic \(pip install pillow-heif"):
        photos.load_image(folder / "cat")
