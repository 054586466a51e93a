"""However photos come, they are read as `forward` reads them: turned, gray, from archives, in training and after it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from test_archives import write_tar
from test_data import write_folder, write_zip
from tiny_data import PLAIN
from tolerances import assert_close

import deit_ref
from deit_ref.data.opening import open_images
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.batches import Batches
from deit_ref.training.evaluate import evaluate
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import train
from deit_ref.training.teacher import Teacher, load_teacher, new_teacher, save_teacher

CLASSES = ("bottom", "top")
CPU = torch.device("cpu")
# In degrees, counterclockwise: what Pillow does to the stored photo for each EXIF orientation.
TURNS = {1: 0, 3: 180, 6: 270, 8: 90}


def photo(kind, seed, orientation, *, mode="RGB", format="JPEG"):
    """A file that is bright at its top or bottom once it is turned as it says, and stored so that it is not."""
    noise = np.random.default_rng(seed).integers(0, 60, (24, 24))
    noise[: 12 if kind == "top" else None][12 if kind == "bottom" else 0 :] += 180
    upright = Image.fromarray(noise.astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    upright.rotate(-TURNS[orientation]).save(file, format, quality=95, exif=exif)
    return file.getvalue()


def turned_photos(*, count=8, mode="RGB"):
    """As phones store them: name to JPEG."""
    return {
        f"{split}/{kind}/{i}.jpg": photo(kind, 100 * start + i, list(TURNS)[i % 4], mode=mode)
        for start, split in enumerate(("train", "test"))
        for kind in CLASSES
        for i in range(count)
    }


def seeded(*, channels=3, **processing):
    """Weights that no one has trained, of photos with so many channels."""
    config = deit_ref.DeiTConfig(
        16, 2, 2, 32, image_size=16, patch_size=4, num_channels=channels, num_labels=2, initializer_range=0.2
    )
    if channels == 1:
        processing |= {"do_convert_rgb": False, "image_mean": 0.4, "image_std": 0.2}
    chosen = ImageProcessing(size=16, crop_size=16, **processing)
    return deit_ref.init_weights(
        config, "classification-with-teacher", seed=0, image_processing=chosen, class_names=CLASSES
    )


def evaluated(weights, path):
    """The accuracy that `evaluate` finds, and the logits in the photos' order."""
    tree, seen = weights.to("torch"), []

    def model(pixel_values):
        seen.append(deit_ref.forward(tree, pixel_values=pixel_values, backend="torch").logits)
        return seen[-1]

    images = open_images(path, "test", weights.image_processing)
    return evaluate(model, images, weights.image_processing, device=CPU)["top1"], torch.cat(seen).numpy()


def sees_what_forward_sees(weights, folder, *others):
    """The logits of the test photos, which are those of `forward` for a folder and what was packed of it."""
    logits = deit_ref.forward(weights, sorted(map(str, (folder / "test").rglob("*.jpg")))).logits
    for path in (folder, *others):
        accuracy, found = evaluated(weights, path)
        assert_close(found, logits, "float32", str(path))
        assert accuracy == (logits.argmax(axis=1) == np.repeat([0, 1], len(logits) // 2)).mean()
    return logits


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluate_sees_what_forward_sees(channels, tmp_path):
    files = turned_photos(mode="L" if channels == 1 else "RGB")
    folder = write_folder(tmp_path / "d", files)
    packed = write_zip(tmp_path / "d.zip", files), write_tar(tmp_path / "d.tgz", files)
    stored = sees_what_forward_sees(seeded(channels=channels), folder, *packed)
    turned = sees_what_forward_sees(seeded(channels=channels, apply_exif=True), folder, *packed)
    upright = np.arange(16) % 4 == 0
    differs = np.abs(stored - turned).max(axis=1) > 1e-3 * np.abs(stored).max()
    assert differs.tolist() == (~upright).tolist()


def test_photos_whose_height_could_be_channels_are_judged_too(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (4, 20, 3), np.uint8)
    for split in ("train", "test"):
        for kind in CLASSES:
            (tmp_path / split / kind).mkdir(parents=True)
            Image.fromarray(photo).save(tmp_path / split / kind / "1.png")
    weights = seeded()
    logits = deit_ref.forward(weights, [tmp_path / "test" / kind / "1.png" for kind in CLASSES]).logits
    assert_close(evaluated(weights, tmp_path)[1], logits, "float32")


@pytest.mark.parametrize("changes", [{}, {"crop": "resized"}, {"crop": "padded", "padding": 2, "rand_augment": 2}])
def test_gray_weights_are_fine_tuned_and_evaluated(changes, tmp_path):
    folder = write_folder(tmp_path / "d", turned_photos(mode="L"))
    start = seeded(channels=1, apply_exif=True)
    recipe = Recipe(**{**PLAIN, "batch_size": 8, "epochs": 1, "learning_rate": 1e-4, **changes})
    train(recipe, folder, tmp_path / "out", start=start, device="cpu", bfloat16=False)
    tuned = deit_ref.load_weights(tmp_path / "out")
    assert tuned.config.num_channels == 1
    kept = tuned.image_processing
    assert (kept.do_convert_rgb, kept.apply_exif, kept.image_mean) == (False, True, 0.4)
    sees_what_forward_sees(tuned, folder)


def test_gray_weights_refuse_photos_in_color_by_name(tmp_path):
    files = turned_photos(mode="L")
    files["train/top/color.jpg"] = photo("top", 0, 1)
    folder, start = write_folder(tmp_path / "d", files), seeded(channels=1)
    recipe = Recipe(**{**PLAIN, "batch_size": 17, "epochs": 1})
    with pytest.raises(ValueError, match=r"train/top/color.jpg has 3 channels, the weights want 1: convert it"):
        train(recipe, folder, tmp_path / "out", start=start, device="cpu", bfloat16=False)
    with pytest.raises(ValueError, match=r"1 or 3 channels can be learned from, the weights want 2"):
        Batches(open_images(folder, "train"), recipe, ImageProcessing(), channels=2, seed=0, device=CPU)


@pytest.mark.parametrize(
    ("asked", "before", "kept"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
def test_fine_tuning_turns_photos_as_it_is_asked_and_keeps_that(asked, before, kept, tmp_path):
    folder = write_folder(tmp_path / "d", turned_photos(count=4))
    recipe = Recipe(**{**PLAIN, "batch_size": 8, "epochs": 1, "apply_exif": asked})
    train(recipe, folder, tmp_path / "out", start=seeded(apply_exif=before), device="cpu", bfloat16=False)
    assert deit_ref.load_weights(tmp_path / "out").image_processing.apply_exif is kept


def test_a_batch_holds_photos_turned_as_the_recipe_asks(tmp_path):
    folder = write_folder(tmp_path / "d", turned_photos())
    means = {}
    for apply_exif in (False, True):
        recipe = Recipe(**{**PLAIN, "batch_size": 16, "apply_exif": apply_exif})
        images = open_images(folder, "train", recipe.image_processing)
        x, targets, _ = Batches(images, recipe, recipe.image_processing, seed=0, device=CPU)(0)
        top = x[targets[:, 1] > 0.5]
        means[apply_exif] = float(top[:, :, :8].mean() - top[:, :, 8:].mean())
    assert means[True] > 2 > abs(means[False]) + 1


def test_a_teacher_keeps_whether_photos_are_turned(tmp_path):
    folder = write_folder(tmp_path / "d", turned_photos())
    recipe = Recipe(**{**PLAIN, "task": "teacher", "batch_size": 16, "epochs": 1, "apply_exif": True})
    train(recipe, folder, tmp_path / "out", device="cpu", bfloat16=False)
    assert load_teacher(tmp_path / "out")[0].image_processing.apply_exif
    assert not Teacher(2).image_processing.apply_exif


def test_a_gray_student_asks_a_teacher_that_sees_colors(tmp_path):
    folder = write_folder(tmp_path / "d", turned_photos(mode="L"))
    save_teacher(new_teacher(2, seed=0, image_size=16, widths=(8, 8, 8)), tmp_path / "teacher", class_names=CLASSES)
    recipe = Recipe(**{**PLAIN, "batch_size": 8, "epochs": 1, "distillation": "hard"})
    options = {"start": seeded(channels=1), "device": "cpu", "bfloat16": False}
    train(recipe, folder, tmp_path / "out", teacher=tmp_path / "teacher", **options)
    deit_ref.save_weights(seeded(channels=1), tmp_path / "gray")
    with pytest.raises(ValueError, match=r"The teacher .*gray must take 3 channels"):
        train(recipe, folder, tmp_path / "other", teacher=tmp_path / "gray", **options)
