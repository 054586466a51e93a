"""The teacher: its whitening, its size, and its file."""

import json

import pytest
import torch
import torch.nn.functional as F
from strategies import TINY, random_weights

from deit_ref import save_weights
from deit_ref.training.teacher import Convolution, is_teacher, load_teacher, new_teacher, save_teacher

NAMES = ("cat", "dog", "owl")


def photos(batch=16, side=32, seed=0):
    """Smooth colored photos in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 5, 5, generator=generator)
    smooth = F.interpolate(coarse, size=(side, side), mode="bilinear")
    return (smooth + 0.05 * torch.rand(batch, 3, side, side, generator=generator)).clamp(0, 1)


def small(seed=0):
    teacher = new_teacher(len(NAMES), seed=seed, image_size=24, widths=(4, 6))
    teacher.fit_whitening(photos())
    return teacher


def test_whitened_patches_are_uncorrelated_and_of_equal_strength():
    teacher = new_teacher(3, seed=0)
    teacher.fit_whitening(photos(), eps=1e-9)
    values = teacher.whiten(photos()).transpose(0, 1).flatten(1).double()  # (24, places)
    for half in (values[:12], values[12:]):
        torch.testing.assert_close(torch.cov(half), torch.eye(12).double(), atol=1e-3, rtol=0)
        torch.testing.assert_close(half.mean(dim=1), torch.zeros(12).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(values[:12], -values[12:], atol=1e-5, rtol=0)
    teacher.fit_whitening(photos(), eps=1e9)
    assert teacher.whiten(photos()).abs().max() < 1e-3
    assert not any(parameter.requires_grad for parameter in teacher.whiten.parameters())


def test_the_seed_alone_decides():
    first = new_teacher(3, seed=5).state_dict()
    torch.manual_seed(99)
    second = new_teacher(3, seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], new_teacher(3, seed=6).state_dict()["head.weight"])
    assert float(first["stages.1.0.weight"].std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_a_matrix_of_kernels_is_a_convolution():
    layer, kernels, x = Convolution(3, 4), torch.randn(4, 3, 3, 3), torch.randn(2, 3, 6, 7)
    with torch.no_grad():
        layer.weight.copy_(kernels.reshape(4, 27))
    torch.testing.assert_close(layer(x), F.conv2d(x, kernels, padding=1))


def test_size_in_memory_and_on_disk(tmp_path):
    teacher = new_teacher(10, seed=0).eval()
    assert sum(parameter.numel() for parameter in teacher.parameters()) < 2_000_000
    with torch.no_grad():
        assert teacher(photos(2)).shape == (2, 10)
        assert teacher(photos(1, side=16)).shape == (1, 10)
    save_teacher(teacher, tmp_path, class_names=tuple("abcdefghij"))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4_000_000


def test_saved_and_loaded_it_gives_the_same_answers(tmp_path):
    teacher = small()
    for _ in range(3):
        teacher.train()(photos())  # so that the batch norms have seen something
    save_teacher(teacher, tmp_path / "new" / "folder", class_names=NAMES)
    loaded, names = load_teacher(str(tmp_path / "new" / "folder"))
    assert names == NAMES
    assert loaded.image_size == 24
    assert loaded.image_processing.crop_size == {"height": 24, "width": 24}
    assert (loaded.image_processing.image_mean, loaded.image_processing.image_std) == (0.0, 1.0)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, value in loaded.state_dict().items():
        if not name.endswith("_tracked"):
            assert value.dtype == torch.float32
            assert torch.equal(value, teacher.state_dict()[name].half().float()), name
    answers = teacher.eval()(photos())
    torch.testing.assert_close(loaded(photos()), answers, atol=0.02 * float(answers.detach().abs().max()), rtol=0)
    # In eval mode a photo's answer does not depend on its neighbors.
    torch.testing.assert_close(loaded(photos())[:2], loaded(photos()[:2]), atol=1e-4, rtol=1e-4)


def test_asked_it_looks_at_the_mirror_image_too_and_in_training_it_does_not():
    teacher = small().eval()
    one, other = teacher(photos()), teacher(photos().flip(-1))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(one, teacher(photos().flip(-2)), atol=1e-3)
    teacher.train()
    for module in teacher.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # the same statistics for both, and as when asked
    straight, mirrored = teacher(photos()), teacher(photos().flip(-1))
    assert not torch.allclose(straight, mirrored, atol=1e-3)
    torch.testing.assert_close((straight + mirrored) / 2, one)


def test_what_is_no_teacher_is_refused(tmp_path):
    save_weights(random_weights(TINY), tmp_path / "deit")
    assert not is_teacher(tmp_path / "deit")
    assert not is_teacher(tmp_path / "nowhere")
    for folder in ("deit", "nowhere"):
        with pytest.raises(ValueError, match=f"{folder} holds no teacher"):
            load_teacher(tmp_path / folder)


def test_broken_files_are_named(tmp_path):
    save_teacher(small(), tmp_path, class_names=NAMES)
    config, tensors = tmp_path / "config.json", tmp_path / "model.safetensors"
    good, content = json.loads(config.read_text()), tensors.read_bytes()
    assert is_teacher(tmp_path)
    for wrong in (
        {"widths": None}, {"widths": []}, {"widths": [4, 0]}, {"widths": [4, True]}, {"widths": [4, 10**9]},
        {"class_names": None}, {"class_names": []},
    ):  # fmt: skip
        config.write_text(json.dumps({**good, **wrong}))
        with pytest.raises(ValueError, match=r"config\.json must hold class_names and widths"):
            load_teacher(tmp_path)
    for other in ({"widths": [4, 8]}, {"widths": [4]}, {"class_names": ["cat", "dog"]}):
        config.write_text(json.dumps({**good, **other}))
        with pytest.raises(ValueError, match=r"model\.safetensors does not fit its config"):
            load_teacher(tmp_path)
    config.write_text(json.dumps(good))
    tensors.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        load_teacher(tmp_path)
    tensors.unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        load_teacher(tmp_path)
    config.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json cannot be read as JSON"):
        load_teacher(tmp_path)


def test_the_bundled_teacher_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher, class_names = load_teacher("cifar10-teacher")
    assert is_teacher("cifar10-teacher")
    assert class_names[3] == "cat"
    assert teacher(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_every_channel_answers_with_its_brightest_place():
    """The head sees the largest value of each channel, wherever it stands."""
    teacher = small().eval()
    teacher.stages = torch.nn.Identity()
    teacher.head = torch.nn.Linear(24, 3)
    x = photos(2)
    with torch.no_grad():
        looks = [F.gelu(teacher.whiten(image)).amax(dim=(2, 3)) for image in (x, x.flip(3))]
        torch.testing.assert_close(teacher(x), teacher.head(sum(looks) / 2))


def test_new_weights_keep_the_size_of_signals():
    """Variance 2 / inputs before a GELU, which halves it, and 1 / inputs in the head, behind which there is none."""
    state = new_teacher(500, seed=5).state_dict()
    for name, inputs, gain in (
        ("head.weight", 256, 1),
        ("stages.2.0.weight", 256 * 9, 2),
        ("stages.0.4.weight", 576, 2),
    ):
        assert float(state[name].std()) == pytest.approx((gain / inputs) ** 0.5, rel=0.02), name


@pytest.mark.parametrize("apply_exif", [False, True])
def test_what_a_teacher_knows_of_photos_is_read_again(tmp_path, apply_exif):
    teacher = new_teacher(3, seed=0, image_size=40, widths=(4, 6), apply_exif=apply_exif)
    save_teacher(teacher, tmp_path, class_names=NAMES)
    loaded, _ = load_teacher(tmp_path)
    assert loaded.image_processing == teacher.image_processing
    assert (loaded.image_processing.apply_exif, loaded.image_size, loaded.widths) == (apply_exif, 40, (4, 6))


def test_new_biases_are_0_and_new_norms_leave_alone():
    for name, value in new_teacher(3, seed=0, widths=(4, 6)).state_dict().items():
        if name.endswith("bias"):
            assert not value.any(), name
        elif value.ndim == 1 and name.endswith("weight"):
            assert (value == 1).all(), name
