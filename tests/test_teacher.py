"""The teacher: its whitening, its size, and its file."""

import json
import signal

import pytest
import torch
import torch.nn.functional as F
from strategies import TINY, random_weights
from tiny_data import PLAIN, metrics, send_at, write_photos

from deit_ref import save_weights
from deit_ref.torch_backend.losses import cross_entropy
from deit_ref.training.batches import Batch
from deit_ref.training.loop import step as take_step
from deit_ref.training.mixing import smooth_labels
from deit_ref.training.objectives import from_labels
from deit_ref.training.optimization import learning_rate, set_learning_rate
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.run import train
from deit_ref.training.state import State, load_state
from deit_ref.training.teacher import Convolution, is_teacher, load_teacher, new_teacher, save_teacher

NAMES = ("cat", "dog", "owl")
GOLDEN = [1.191602, 1.206431, 1.133871, 1.095786, 1.083202, 1.130584]  # float32 on a CPU


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
    assert float(first["stages.1.0.weight"][64:].std()) == pytest.approx((1 / (3 * 64 * 9)) ** 0.5, rel=0.02)


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
    """The head sees the largest value of each channel, wherever it stands; logits are a ninth of what it says."""
    teacher = small().eval()
    teacher.stages = torch.nn.Identity()
    teacher.head = torch.nn.Linear(24, 3)
    x = photos(2)
    with torch.no_grad():
        looks = [F.gelu(teacher.whiten(image)).amax(dim=(2, 3)) for image in (x, x.flip(3))]
        torch.testing.assert_close(teacher(x), teacher.head(sum(looks) / 2) / 9)


def test_new_kernels_hand_their_input_on():
    """As many as there are inputs; those after them are random, of variance 1 / (3 inputs), and so is the head."""
    state = new_teacher(500, seed=5).state_dict()
    assert float(state["head.weight"].std()) == pytest.approx((1 / (3 * 256)) ** 0.5, rel=0.02)
    for name, inputs in (("stages.0.0", 24), ("stages.0.4", 64), ("stages.1.0", 64), ("stages.2.4", 256)):
        weight = state[f"{name}.weight"]
        x = torch.randn(2, inputs, 5, 6)
        layer = Convolution(inputs, len(weight))
        layer.load_state_dict({"weight": weight})
        torch.testing.assert_close(layer(x)[:, :inputs], x, rtol=0, atol=0)
        if len(weight) > inputs:
            assert float(weight[inputs:].std()) == pytest.approx((1 / (27 * inputs)) ** 0.5, rel=0.02), name
    assert new_teacher(3, seed=0, widths=(4, 6)).stages[0][0].weight.shape == (
        4,
        216,
    )  # fewer channels than it is given


def test_the_gradient_reaches_all_that_learns_and_no_more():
    teacher = small().train()
    cross_entropy(teacher(photos()), torch.eye(3)[torch.arange(16) % 3]).backward()
    for name, parameter in teacher.named_parameters():
        learns = not name.startswith("whiten") and not (parameter.ndim == 1 and name.endswith("weight"))
        assert parameter.requires_grad == learns, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == learns, name


def test_teachers_of_earlier_versions_answer_as_they_did(tmp_path):
    """Their logits were not divided by nine."""
    teacher = small()
    save_teacher(teacher, tmp_path, class_names=NAMES)
    now, _ = load_teacher(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("version") == 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    before, _ = load_teacher(tmp_path)
    torch.testing.assert_close(before(photos()), 9 * now(photos()))


def test_losses_of_the_first_steps_are_known():
    """By the recipe's optimizer, schedule and average, on photos of three colors."""
    recipe = RECIPES["cifar10-teacher"].with_changes(batch_size=16, epochs=4, warmup_epochs=1, image_size=24)
    now = State(small(), recipe, seed=0)
    found = []
    for step in range(6):
        x = photos(seed=step)
        labels = x.mean(dim=(2, 3)).argmax(dim=1)
        set_learning_rate(now.optimizers, learning_rate(recipe, step / 2))
        goal = from_labels(now.module.train(), Batch(x, smooth_labels(labels, num_classes=3, smoothing=0.2)), None)
        take_step(now, goal.loss)
        found.append(float(goal.loss.detach()))
    assert found == pytest.approx(GOLDEN, rel=1e-4)


def test_a_resumed_teacher_is_the_one_that_was_not_stopped(tmp_path, monkeypatch):
    """Across the epoch in which photos grow, and mirror images alternate."""
    data = write_photos(tmp_path / "photos")
    changes = {**PLAIN, "task": "teacher", "optimizer": "sgd", "schedule": "line", "warmup_epochs": 1, "crop": "padded"}
    recipe = Recipe(**{**changes, "flip": 0.5, "alternate_flip": True, "shrunk_share": 0.5, "learning_rate": 0.2})
    train(recipe, data, tmp_path / "whole", device="cpu", bfloat16=False)
    with monkeypatch.context() as patch:
        send_at(patch, 1, [signal.SIGTERM])
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data, tmp_path / "stopped", device="cpu", bfloat16=False)
    train(recipe, data, tmp_path / "stopped", device="cpu", bfloat16=False, resume=True)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "stopped")
    one, other = (load_state(tmp_path / name, device=torch.device("cpu")) for name in ("whole", "stopped"))
    for part in ("module", "average"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part]), part


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
