"""The held-out part: every class on both sides, the same for the same seed, nothing on both sides."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import write_photos

from deit_ref.data.held_out import divided, held_out
from deit_ref.data.opening import open_images


def test_by_hand():
    labels = np.repeat([0, 1, 2, 3], [10, 3, 1, 2])
    train, test = held_out(labels, share=0.2, seed=0)
    assert np.bincount(labels[test], minlength=4).tolist() == [2, 1, 0, 1]
    assert np.bincount(labels[train], minlength=4).tolist() == [8, 2, 1, 1]
    # However large the share, one of each stays to be learned from.
    train, _ = held_out(labels, share=0.99, seed=0)
    assert np.bincount(labels[train], minlength=4).tolist() == [1, 1, 1, 1]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6).filter(lambda counts: max(counts) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_each_class_is_divided_by_itself(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, test = held_out(labels, share=share, seed=seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert [*train] == sorted(train)
    assert [*test] == sorted(test)
    for label, count in enumerate(counts):
        held = int((labels[test] == label).sum())
        assert held == 0 if count == 1 else 1 <= held < count
        assert count == 1 or abs(held - share * count) <= max(0.5, 1 - share * count, share * count - count + 1)
    again = held_out(labels, share=share, seed=seed)
    np.testing.assert_array_equal(test, again[1])


def test_the_seed_chooses_and_photos_of_one_class_do_not_move_those_of_another():
    labels = np.repeat([0, 1], [40, 40])
    chosen = [held_out(labels, share=0.25, seed=seed)[1] for seed in (0, 1)]
    assert not np.array_equal(*chosen)
    assert not np.array_equal(chosen[0][:10], chosen[0][10:] - 40)  # each class has its own draw
    more = held_out(np.repeat([0, 1], [40, 41]), share=0.25, seed=0)[1]
    np.testing.assert_array_equal(chosen[0][:10], more[:10])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=2, max_size=40), st.floats(0.1, 0.9))
def test_copies_of_a_photo_stay_on_one_side(photos, share):
    labels, contents = (np.array(column) for column in zip(*photos, strict=True))
    different = {label: len(set(contents[labels == label])) for label in set(labels.tolist())}
    if max(different.values()) == 1:
        with pytest.raises(ValueError, match="No class has two photos"):
            held_out(labels, share=share, seed=0, contents=contents.tolist())
        return
    train, test = held_out(labels, share=share, seed=0, contents=contents.tolist())
    sides = [{(labels[i], contents[i]) for i in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    for label, count in different.items():
        assert sum(one == label for one, _ in sides[1]) == min(max(round(share * count), 1), count - 1)


@pytest.mark.parametrize("packed", [False, True])
def test_copies_are_known_by_what_is_in_the_files(tmp_path, packed):
    write_photos(tmp_path / "data", train=4, test=0)
    for i in range(4, 9):
        shutil.copy(tmp_path / "data/train/red/0.png", tmp_path / f"data/train/red/{i}.png")
    path = shutil.make_archive(str(tmp_path / "train"), "zip", tmp_path / "data") if packed else tmp_path / "data"
    images = open_images(path, "train")
    train, test = divided(images, share=0.25, seed=0)
    assert len(train) + len(test) == len(images) == 17
    assert test.labels.tolist().count(0) == 1
    copied = {0, *range(4, 9)}
    for side in (train, test):
        numbers = {int(name.rpartition("/")[2][:-4]) for name in side.names if "/red/" in name}
        assert copied <= numbers or not copied & numbers


def test_what_cannot_be_divided():
    with pytest.raises(ValueError, match="No class has two photos, so none of the 3 can be held out"):
        held_out(np.arange(3), share=0.2, seed=0)
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"share must lie in \(0, 1\)"):
            held_out(np.zeros(4, int), share=share, seed=0)
