"""The student: the mirror's model as torch parameters, and what fine-tuning begins with."""

import dataclasses
import unicodedata

import numpy as np
import pytest
import torch
from strategies import TINY, random_mask, random_pixels, random_weights

import deit_ref
from deit_ref.torch_backend.positions import interpolate_pos_embed
from deit_ref.training.batches import Batch
from deit_ref.training.objectives import classification
from deit_ref.training.optimization import optimizers
from deit_ref.training.recipe import Recipe
from deit_ref.training.student import Student, adapted, new_weights, processing_of
from deit_ref.weights import array_shapes, named_arrays

TASKS = ("features", "classification", "classification-with-teacher", "masked-image-modeling")
NAMES = ("a", "b", "c", "d", "e")
RECIPE = Recipe(model="cifar10-small", image_size=32, drop_path=0.0, dropout=0.1, attention_dropout=0.2)


def named(task, **options):
    return dataclasses.replace(random_weights(task=task, **options), class_names=NAMES)


def arrays_of(weights):
    return dict(named_arrays(weights))


def assert_same(a, b, names):
    for name in names:
        np.testing.assert_array_equal(arrays_of(a)[name], arrays_of(b)[name], err_msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_the_student_is_the_mirrors_model(task):
    weights, pixels = random_weights(task=task), random_pixels()
    student = Student(weights)
    assert [name.replace("/", ".") for name, _ in student.named_parameters()] == list(arrays_of(weights))
    options = {"bool_masked_pos": random_mask((2, 16))} if task == "masked-image-modeling" else {}
    expected = deit_ref.forward(weights, pixel_values=pixels, backend="torch", **options)
    inside = {name: torch.from_numpy(value) for name, value in options.items()}
    found = student(torch.from_numpy(pixels), **inside)
    for field in dataclasses.fields(expected):
        value = getattr(expected, field.name)
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(getattr(found, field.name), value, rtol=0, atol=0)


def test_training_changes_the_student_and_not_the_weights_it_came_from():
    weights = random_weights()
    before = weights.head.weight.copy()
    student = Student(weights)
    with torch.no_grad():
        student.weights.head.weight.add_(1)
    assert float(student.get_parameter("head/weight").detach()[0, 0]) == pytest.approx(before[0, 0] + 1)
    np.testing.assert_array_equal(weights.head.weight, before)
    other = {name: value + 1 for name, value in student.state_dict().items()}
    assert torch.equal(student.tree(other).pos_embed, student.weights.pos_embed + 1)


def test_new_weights_follow_the_recipe():
    weights = new_weights(RECIPE, class_names=NAMES, seed=3)
    assert (weights.task, weights.class_names, weights.config.num_labels) == ("classification-with-teacher", NAMES, 5)
    assert weights.config.hidden_dropout_prob == 0.1
    assert weights.config.attention_probs_dropout_prob == 0.2
    assert (weights.cls_token != weights.dist_token).all()
    assert 0.015 < weights.pos_embed.std() < 0.025
    assert_same(weights, new_weights(RECIPE, class_names=NAMES, seed=3), ["head.weight"])
    assert (new_weights(RECIPE, class_names=NAMES, seed=4).head.weight != weights.head.weight).any()
    masked = new_weights(dataclasses.replace(RECIPE, task="masked-image-modeling"), class_names=NAMES, seed=3)
    assert masked.task == "masked-image-modeling"
    plain = dataclasses.replace(RECIPE, model="deit-tiny-patch16-224", image_size=224)
    assert new_weights(plain, class_names=NAMES, seed=3).task == "classification"


def test_photos_that_grow_need_a_whole_number_of_patches():
    with pytest.raises(ValueError, match=r"photos of 18 pixels a side, not a multiple of the patches' \(4, 4\)"):
        new_weights(dataclasses.replace(RECIPE, image_size=24, shrunk_share=0.5), class_names=NAMES, seed=0)


def test_the_same_classes_keep_everything(caplog):
    start = named("classification-with-teacher")
    result = adapted(start, RECIPE, task=start.task, class_names=NAMES, seed=0)
    assert_same(result, start, arrays_of(start))
    assert caplog.text == ""
    assert result.config.hidden_dropout_prob == 0.1
    mean = dataclasses.replace(start.image_processing, image_mean=(0.1, 0.2, 0.3))
    result = adapted(
        dataclasses.replace(start, image_processing=mean), RECIPE, task=start.task, class_names=NAMES, seed=0
    )
    assert tuple(result.image_processing.image_mean) == (0.1, 0.2, 0.3)
    assert result.image_processing.crop_size == {"height": 32, "width": 32}


def test_classes_of_another_form_of_unicode_are_the_same(caplog):
    composed, decomposed = (tuple(unicodedata.normalize(form, name) for name in "äbcde") for form in ("NFC", "NFD"))
    start = dataclasses.replace(random_weights(task="classification"), class_names=decomposed)
    result = adapted(start, RECIPE, task=start.task, class_names=composed, seed=0)
    assert_same(result, start, arrays_of(start))
    assert (result.class_names, caplog.text) == (composed, "")


@pytest.mark.parametrize("classes", [("a", "b", "c", "e", "d"), ("a", "b")])
def test_other_classes_get_new_heads_and_it_is_said(caplog, classes):
    start = named("classification-with-teacher")
    result = adapted(start, RECIPE, task=start.task, class_names=classes, seed=0)
    assert result.head.weight.shape == result.head_dist.weight.shape == (len(classes), 32)
    assert not result.head.bias.any()
    assert 0.01 < result.head.weight.std() < 0.03
    assert "their heads are made anew" in caplog.text
    assert "head.weight, head.bias, head_dist.weight, head_dist.bias" in caplog.text
    assert_same(result, start, [name for name in arrays_of(start) if not name.startswith("head")])


def test_the_classic_way_has_one_head(caplog):
    start = named("classification-with-teacher")
    result = adapted(start, RECIPE, task="classification", class_names=NAMES, seed=0)
    assert result.head_dist is None
    assert result.config.distilled
    assert "head_dist.weight, head_dist.bias: not needed" in caplog.text
    assert_same(result, start, arrays_of(result))


def test_after_masked_pre_training(caplog):
    start = random_weights(task="masked-image-modeling")
    result = adapted(start, RECIPE, task="classification-with-teacher", class_names=NAMES, seed=0)
    assert "mask_token, decoder.weight, decoder.bias: not needed" in caplog.text
    assert "made anew" not in caplog.text
    assert "drawn from seed 0" in caplog.text
    assert_same(result, start, [name for name in arrays_of(result) if not name.startswith("head")])


def test_another_resolution_interpolates_positions(caplog):
    start = named("classification-with-teacher")
    recipe = dataclasses.replace(RECIPE, image_size=48)
    result = adapted(start, recipe, task=start.task, class_names=NAMES, seed=0)
    assert "from a grid of (4, 4) to (6, 6)" in caplog.text
    expected = interpolate_pos_embed(
        torch.from_numpy(start.pos_embed), num_prefix_tokens=2, source_grid=(4, 4), target_grid=(6, 6)
    )
    np.testing.assert_array_equal(result.pos_embed, expected)
    np.testing.assert_array_equal(result.pos_embed[:, :2], start.pos_embed[:, :2])
    assert result.config.image_shape == (48, 48)
    assert result.image_processing.crop_size == {"height": 48, "width": 48}


@pytest.mark.parametrize("problem_type", ["regression", "multi_label_classification"])
def test_what_is_learned_is_one_class_of_several(caplog, problem_type):
    start = random_weights(config=dataclasses.replace(TINY, problem_type=problem_type))
    result = adapted(start, RECIPE, task=start.task, class_names=NAMES, seed=0)
    assert f"the problem_type {problem_type} of the checkpoint is given up" in caplog.text
    probabilities = deit_ref.forward(result, pixel_values=random_pixels()).probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_a_plain_checkpoint_gets_a_distillation_token(caplog):
    plain = dataclasses.replace(TINY, distilled=False)
    start = named("classification", config=plain)
    result = adapted(start, RECIPE, task="classification-with-teacher", class_names=NAMES, seed=0)
    assert "a distillation token is made anew" in caplog.text
    assert result.pos_embed.shape == (1, 18, 32)
    np.testing.assert_array_equal(result.pos_embed[:, :1], start.pos_embed[:, :1])
    np.testing.assert_array_equal(result.pos_embed[:, 2:], start.pos_embed[:, 1:])
    assert 0 < np.abs(result.pos_embed[:, 1]).max() < 0.2
    assert result.dist_token.any()
    assert_same(result, start, ["head.weight", "cls_token"])
    assert set(arrays_of(result)) == set(array_shapes(result.config, result.task))


def test_one_step_helps_and_two_hundred_learn_64_images_by_heart():
    generator = torch.Generator().manual_seed(0)
    targets = torch.nn.functional.one_hot(torch.randint(5, (64,), generator=generator), 5).float()
    batch = Batch(torch.randn(64, 3, 32, 32, generator=generator), targets)
    recipe = Recipe(learning_rate=2e-3, learning_rate_batch=None, weight_decay=0.0, drop_path=0.0)
    config = dataclasses.replace(TINY, initializer_range=0.05)
    student = Student(deit_ref.init_weights(config, "classification-with-teacher", seed=0))
    objective = classification(recipe, teach=None)
    (adamw,) = optimizers([(n.replace("/", "."), p) for n, p in student.named_parameters()], recipe)
    losses = []
    for _ in range(200):
        loss = objective(student, batch, generator).loss
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]
    assert losses[0] == pytest.approx(np.log(5), rel=0.2)
    assert losses[-1] < 0.05


def test_what_is_new_is_drawn_from_the_seed():
    """Heads, and what a plain checkpoint lacks: a distillation token and its own position, not the class token's."""
    start = named("classification", config=dataclasses.replace(TINY, distilled=False))
    other = ("x", "y", "z")
    first, again, second = (
        arrays_of(adapted(start, RECIPE, task="classification-with-teacher", class_names=other, seed=seed))
        for seed in (1, 1, 2)
    )
    for name in ("head.weight", "head_dist.weight", "dist_token"):
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != second[name]).all()
    assert (first["pos_embed"][:, 1] != second["pos_embed"][:, 1]).all()
    assert np.abs(first["pos_embed"][:, 1] - start.pos_embed[:, 0]).max() > 0.01
    np.testing.assert_array_equal(first["pos_embed"][:, 2:], second["pos_embed"][:, 2:])


@pytest.mark.parametrize("asked", [None, False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_photos_are_seen_as_the_weights_have_learned_them_unless_a_recipe_says_otherwise(asked, learned):
    recipe = dataclasses.replace(RECIPE, apply_exif=asked)
    assert processing_of(recipe, None) == recipe.image_processing
    assert recipe.image_processing.apply_exif is bool(asked)
    old = deit_ref.ImageProcessing(
        image_mean=0.1, image_std=(0.2, 0.3, 0.4), do_convert_rgb=False, apply_exif=learned, resample="nearest", size=99
    )
    found = processing_of(recipe, dataclasses.replace(random_weights(), image_processing=old))
    expected = {"image_mean": 0.1, "image_std": (0.2, 0.3, 0.4), "do_convert_rgb": False}
    expected["apply_exif"] = learned if asked is None else asked
    assert found == dataclasses.replace(recipe.image_processing, **expected)
