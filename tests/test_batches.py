"""Which photos a step sees, and what becomes of them: from the seed and the step alone."""

import collections
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import EVERYTHING, PLAIN, write_photos

import deit_ref
from deit_ref.data.opening import open_images
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.augmentation import erase, padded_crop, random_flip, random_resized_crop
from deit_ref.training.batches import Batch, Batches, epoch_order, mean_and_std, step_seed
from deit_ref.training.mixing import mix, smooth_labels
from deit_ref.training.prepared import kept, of_channels, prepared
from deit_ref.training.randaugment import rand_augment
from deit_ref.training.recipe import Recipe
from deit_ref.training.surroundings import jitter, surround, to_gray

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Small ones, larger ones, and ones of all shapes."""
    root = tmp_path_factory.mktemp("photos")
    write_photos(root / "small", train=5)
    write_photos(root / "large", train=5, size=(29, 41), kind="jpg")
    write_photos(root / "mixed", train=3, size=(16, 23))
    write_photos(root / "mixed", train=2, size=(37, 16), seed=1)
    return {name: open_images(root / name, "train") for name in ("small", "large", "mixed")}


def batches(images, changes=EVERYTHING, *, seed=0, rank=0, world=1, **more):
    recipe = Recipe(**{**changes, **more})
    return Batches(images, recipe, recipe.image_processing, seed=seed, device=CPU, rank=rank, world=world)


def same(a, b):
    return torch.equal(a.pixel_values, b.pixel_values) and torch.equal(a.targets, b.targets)


@given(count=st.integers(1, 200), repeats=st.integers(1, 4), seed=st.integers(0, 2**40), epoch=st.integers(0, 400))
def test_epoch_order_is_a_permutation_in_rows_of_repeats(count, repeats, seed, epoch):
    order = epoch_order(count, repeats=repeats, seed=seed, epoch=epoch)
    assert order.shape == (count,)
    assert 0 <= order.min() <= order.max() < count
    firsts = order[::repeats]
    assert len(set(firsts.tolist())) == len(firsts) == -(-count // repeats)
    np.testing.assert_array_equal(order, np.repeat(firsts, repeats)[:count])


def test_epochs_and_seeds_differ():
    orders = [epoch_order(50, repeats=1, seed=seed, epoch=epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert sorted(orders[0]) == list(range(50)) != orders[0]
    assert len({tuple(order) for order in orders}) == 3


def test_step_seeds_differ_and_fit_in_63_bits():
    seeds = [step_seed(*numbers) for numbers in np.ndindex(6, 2, 6)]
    assert len(set(seeds)) == 72
    assert max(seeds) < 2**63
    assert step_seed(1, 2) != step_seed(2, 1)


@pytest.mark.parametrize("kind", ["small", "large", "mixed"])
@pytest.mark.parametrize("crop", ["padded", "resized"])
def test_a_step_is_always_the_same_and_no_other(photos, kind, crop):
    one = batches(photos[kind], crop=crop)
    first = one(3)
    assert first.pixel_values.shape == (6, 3, 16, 16)
    assert first.pixel_values.dtype == torch.float32
    torch.testing.assert_close(first.targets.sum(dim=1), torch.ones(6), rtol=0, atol=1e-6)
    one(4), one(2)
    torch.manual_seed(123)  # the global generator has no say
    state = torch.get_rng_state()
    assert same(one(3), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(batches(photos[kind], crop=crop)(3), first)
    assert not same(one(4), first)
    assert not same(batches(photos[kind], crop=crop, seed=1)(3), first)


@pytest.mark.parametrize("crop", ["padded", "resized"])
def test_the_same_photos_in_another_step_are_augmented_anew(photos, monkeypatch, crop):
    one = batches(photos["large"], PLAIN, crop=crop)
    monkeypatch.setattr(one, "indices", lambda step: np.arange(6))
    first, second = one(0), one(1)
    assert not torch.equal(first.pixel_values, second.pixel_values)
    assert torch.equal(first.targets, second.targets)


@pytest.mark.parametrize("kind", ["small", "large"])
def test_any_number_of_threads_makes_the_same_batch(photos, kind):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(batches(photos[kind], crop="resized" if kind == "large" else "padded")(1))
    finally:
        torch.set_num_threads(before)
    assert same(*results)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_whole_batch(photos, world):
    whole = batches(photos["small"], repeats=1)
    parts = [batches(photos["small"], repeats=1, rank=rank, world=world) for rank in range(world)]
    for step in range(5):
        mine = [set(part.indices(step).tolist()) for part in parts]
        assert [len(indices) for indices in mine] == [6 // world] * world
        assert set().union(*mine) == set(whole.indices(step).tolist())
    assert not torch.equal(parts[0](0).pixel_values, parts[1](0).pixel_values)


def test_repeated_photos_are_augmented_each_in_its_own_way(photos):
    one = batches(photos["small"], PLAIN, crop="padded", repeats=3)
    indices, batch = one.indices(0), one(0)
    assert indices[0] == indices[1] == indices[2] != indices[3]
    assert not torch.equal(batch.pixel_values[0], batch.pixel_values[1])


@pytest.mark.parametrize(
    ("more", "world", "message"),
    [
        ({"batch_size": 6}, 4, "batch_size 6 must be a multiple of the 4 processes"),
        ({"batch_size": 16}, 1, "batch_size 16 is more than the 15 photos"),
    ],
)
def test_batch_sizes_that_do_not_fit(photos, more, world, message):
    with pytest.raises(ValueError, match=message):
        batches(photos["small"], world=world, **more)


@pytest.mark.parametrize("kind", ["small", "large", "mixed"])
def test_without_augmentation_photos_are_those_of_evaluation(photos, kind):
    images = photos[kind]
    one = batches(images, PLAIN, label_smoothing=0.0)
    for step in range(3):
        indices = one.indices(step)
        batch = one(step)
        expected = deit_ref.preprocess([images.read(i) for i in indices], one.recipe.image_processing)
        np.testing.assert_allclose(batch.pixel_values, expected, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(batch.targets, np.eye(3)[images.labels[indices]])


def test_photos_are_read_once_for_all_epochs_unless_parts_of_them_are_cut_out(photos):
    for crop in ("padded", "none", "resized"):
        reads = collections.Counter()
        images = photos["large"]

        def read(i, reads=reads, images=images):
            reads[i] += 1
            return images.read(i)

        one = batches(dataclasses.replace(images, read=read), PLAIN, crop=crop)
        for step in range(3 * one.steps_per_epoch):
            one(step)
        reads[0] -= 2 * (crop != "resized")  # the first says how large they are
        assert (max(reads.values()) <= 1) == (crop != "resized")


def test_a_mean_and_std_may_be_a_number(photos):
    recipe = Recipe(**PLAIN)
    plain = deit_ref.ImageProcessing(size=16, crop_size=16, image_mean=0.25, image_std=2.0)
    batch = Batches(photos["small"], recipe, plain, seed=0, device=CPU)(0)
    usual = batches(photos["small"], PLAIN)
    mean, std = mean_and_std(recipe.image_processing, CPU)
    assert mean.shape == std.shape == (3, 1, 1)
    torch.testing.assert_close(batch.pixel_values * 2 + 0.25, usual(0).pixel_values * std + mean, rtol=0, atol=1e-6)


def test_parts_of_larger_photos_differ_within_a_batch(photos):
    one = batches(photos["large"], PLAIN, crop="resized", repeats=2)
    batch = one(0)
    assert one.indices(0)[0] == one.indices(0)[1]
    assert not torch.equal(batch.pixel_values[0], batch.pixel_values[1])


# No value is a default of a function or of a recipe, and no two are alike: what does not arrive shows.
UNUSUAL = {
    "padding": 3,
    "flip": 0.7,
    "rand_augment": 1,
    "magnitude": 3,
    "surround": 0.45,
    "jitter": 0.35,
    "gray": 0.15,
    "erasing": 0.6,
    "label_smoothing": 0.2,
    "mixup": 0.3,
    "cutmix": 2.5,
    "mix_probability": 0.8,
    "mix_switch": 0.7,
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", ["padded", "resized", "none"])
def test_a_batch_is_its_photos_after_all_that_the_recipe_says_and_nothing_else(photos, crop, channels):
    """Step by step, in the order of the original, from the run's seed, the step and the process alone."""
    images = photos["small"]
    images = dataclasses.replace(images, read=lambda i: photos["small"].read(i)[:, :, :channels])
    recipe, processing = (
        Recipe(**{**EVERYTHING, **UNUSUAL, "crop": crop}),
        ImageProcessing(image_mean=0.25, image_std=2.0),
    )
    one = Batches(images, recipe, processing, channels=channels, seed=5, device=CPU, rank=1, world=2)
    if crop != "resized":  # photos of 16 x 16 stay as they are
        one.images = images
    for step in range(8):
        order = np.repeat(np.random.default_rng([5, step // 2]).permutation(15), 2)[:15]
        indices = order[6 * (step % 2) : 6 * (step % 2) + 6][1::2]
        seed = step_seed(5, 1, step, 1)
        generator = torch.Generator().manual_seed(seed)
        found = [images.read(i) for i in indices]
        if crop == "resized":
            draws = [np.random.default_rng([seed, place]) for place in range(3)]
            found = [random_resized_crop(x, (16, 16), generator=draw) for x, draw in zip(found, draws, strict=True)]
        x = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
        if crop == "padded":
            x = padded_crop(x, padding=3, generator=generator)
        x = random_flip(x, probability=0.7, generator=generator)
        colors = x.expand(-1, 3, -1, -1).contiguous()
        x = rand_augment(colors, num_ops=1, magnitude=3, generator=generator)[:, :channels]
        x = plain = x.float() / 255
        x = surround(x, probability=0.45, generator=generator)
        x = jitter(x, probability=0.35, generator=generator)
        x = to_gray(x, probability=0.15, generator=generator)
        x = erase((x - 0.25) / 2.0, probability=0.6, generator=generator)
        targets = smooth_labels(torch.from_numpy(images.labels[indices]), num_classes=3, smoothing=0.2)
        how, state = {"mixup": 0.3, "cutmix": 2.5, "probability": 0.8, "switch": 0.7}, generator.get_state()
        expected, found = Batch(*mix(x, targets, **how, generator=generator)), one(step)
        assert same(found, expected), step
        generator.set_state(state)
        assert torch.equal(found.for_teacher, mix((plain - 0.25) / 2.0, targets, **how, generator=generator)[0]), step


@pytest.mark.parametrize("name", ["surround", "jitter", "gray"])
def test_a_teacher_sees_the_same_unless_something_is_varied(photos, name):
    one = batches(photos["small"], erasing=1.0)
    assert one(0).for_teacher is None
    varied = batches(photos["small"], **{name: 1.0, "erasing": 1.0, "mix_probability": 0.0})(0)
    usual = batches(photos["small"], erasing=0.0, mix_probability=0.0)(0)
    assert torch.equal(varied.for_teacher, usual.pixel_values)
    assert not torch.equal(varied.pixel_values, usual.pixel_values)


def test_mirror_images_alternate(photos):
    """In the first epoch by lot, from then on every other epoch: two epochs show both sides of every photo."""
    one = batches(photos["small"], PLAIN, batch_size=5, flip=0.4, alternate_flip=True, label_smoothing=0.0)
    straight = batches(photos["small"], PLAIN, batch_size=5, label_smoothing=0.0)
    seen = np.zeros((4, 15), dtype=bool)
    for step in range(4 * 3):
        seen_photos, known = one(step).pixel_values, straight(step).pixel_values
        for i, x, plain in zip(one.indices(step), seen_photos, known, strict=True):
            assert torch.equal(x, plain) != torch.equal(x, plain.flip(-1))
            seen[step // 3, i] = torch.equal(x, plain.flip(-1))
    assert 0 < seen[0].sum() < 15
    for epoch in range(3):
        np.testing.assert_array_equal(seen[epoch], ~seen[epoch + 1])
    at_first = [
        batches(photos["small"], PLAIN, flip=0.4, alternate_flip=True, seed=seed)._mirrored(0) for seed in range(60)
    ]
    assert 0.35 < np.mean(at_first) < 0.45
    assert len({tuple(mirrored) for mirrored in at_first}) == 60
    for flip in (0.0, 1.0):
        certain = batches(photos["small"], PLAIN, flip=flip, alternate_flip=True)
        assert {*certain._mirrored(2)} == {bool(flip)}


def test_photos_grow_in_the_epoch_that_the_share_names(photos):
    one = batches(photos["small"], PLAIN, task="teacher", epochs=8, shrunk_share=0.375)
    plain = batches(photos["small"], PLAIN, epochs=8)
    assert one.steps_per_epoch == 2
    assert [one(step).pixel_values.shape[2:] for step in (0, 5, 6, 15)] == [(12, 12)] * 2 + [(16, 16)] * 2
    assert same(one(6), plain(6))
    # Colors stay: a photo's mean is that of its larger self, as near as a border that weighs a little more allows.
    small, large = one(3).pixel_values, plain(3).pixel_values
    torch.testing.assert_close(small.mean(dim=(2, 3)), large.mean(dim=(2, 3)), rtol=0, atol=0.05)
    assert small.std() < large.std()  # noise is averaged, not left out


def test_a_teacher_sees_shrunk_photos_at_full_size(photos):
    recipe = {"epochs": 8, "shrunk_share": 0.5, "cutmix": 1.0}
    small, large = (
        batches(photos["small"], PLAIN, **recipe)(3),
        batches(photos["small"], PLAIN, cutmix=1.0, epochs=8)(3),
    )
    assert small.pixel_values.shape[2:] == (12, 12)
    assert torch.equal(small.for_teacher, large.pixel_values)  # mixed alike
    assert torch.equal(small.targets, large.targets)
    assert large.for_teacher is None
    varied = [
        batches(photos["small"], PLAIN, surround=1.0, **changes)(3)
        for changes in (recipe, {**recipe, "shrunk_share": 0.0})
    ]
    assert torch.equal(varied[0].for_teacher, varied[1].for_teacher)
    assert varied[0].pixel_values.shape[2:] == (12, 12)


def test_a_last_batch_that_is_not_full_is_left_out(photos):
    one = batches(photos["small"], PLAIN, batch_size=4)
    assert one.steps_per_epoch == 3
    assert [len(one.indices(step)) for step in range(6)] == [4] * 6


@pytest.mark.parametrize("size", [20, 24])
def test_photos_made_ready_beforehand_end_as_those_that_are_not(photos, size):
    """Bit for bit, where a crop takes something away and where it adds something; and cut once, not again."""
    images = photos["mixed"]
    processing = ImageProcessing(size=(size, 26), crop_size=22, image_mean=(0.1, 0.2, 0.3))
    ready, values = prepared(images, processing)
    expected = deit_ref.preprocess([images.read(i) for i in range(len(images))], processing)
    found = [ready.read(i) for i in range(len(images))]
    assert {(x.shape, x.dtype.name) for x in found} == {((22, 22, 3), "uint8")}
    np.testing.assert_array_equal(deit_ref.preprocess(found, values), expected)
    assert (values.do_resize, values.do_center_crop) == (False, False)


def test_photos_are_kept_as_long_as_all_of_them_fit(photos):
    images, size = photos["small"], 15 * 16 * 16 * 3
    for most, reads_again in ((size, False), (size - 1, True)):
        calls = []
        counted = dataclasses.replace(images, read=lambda i, calls=calls: calls.append(i) or images.read(i))
        ready = kept(counted, most=most)
        calls.clear()
        np.testing.assert_array_equal(ready.read(14), images.read(14))
        assert bool(calls) == reads_again
    np.testing.assert_array_equal(of_channels(images, 3).read(1), images.read(1))
    for channels in (1, 4):
        with pytest.raises(ValueError, match=f"has 3 channels, the weights want {channels}"):
            of_channels(images, channels).read(0)


def test_a_photo_of_other_channels_than_the_weights_want_is_named(photos):
    recipe = Recipe(**{**PLAIN, "crop": "resized"})
    one = Batches(
        photos["small"], recipe, ImageProcessing(image_mean=0.5, image_std=0.5), channels=1, seed=0, device=CPU
    )
    with pytest.raises(ValueError, match=r"\.png has 3 channels, the weights want 1: convert it"):
        one(0)
