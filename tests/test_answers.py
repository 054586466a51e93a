"""What follows from a model's answers: by hand, and properties of the confusion matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from deit_ref.training.answers import Answers, confusion, details, interval, shares, worst_mistakes

NAMES = ("ant", "bee", "cat", "dog")


def answers(labels, given_answers, probabilities=None):
    labels, given_answers = np.array(labels, np.int64), np.array(given_answers, np.int64)
    sure = np.linspace(0.5, 0.9, len(labels)) if probabilities is None else np.array(probabilities)
    return Answers(labels, given_answers, sure, -np.log(sure), labels >= 0, {"cls_top1": labels == given_answers})


def test_by_hand():
    found = answers([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 3, 2], [0.9, 0.6, 0.8, 0.7, 0.8, 0.5])
    table = confusion(found, len(NAMES))
    assert table.tolist() == [[1, 2, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    # Of two mistakes that are equally sure the first comes first.
    assert worst_mistakes(found, most=9).tolist() == [2, 4, 1]
    assert worst_mistakes(found, most=1).tolist() == [2]
    numbers = shares(found, NAMES)
    assert numbers["per_class"] == pytest.approx({"ant": 1 / 3, "bee": 0.5, "cat": 1.0})  # there is no dog
    assert (numbers["photos"], numbers["top1"], numbers["top5"], numbers["cls_top1"]) == (6, 0.5, 1.0, 0.5)
    assert numbers["loss"] == pytest.approx(float(found.losses.mean()))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_matrix_counts_every_photo_once(pairs):
    found = answers(*zip(*pairs, strict=True))
    table = confusion(found, len(NAMES))
    assert table.sum() == len(pairs)
    assert table.sum(axis=1).tolist() == np.bincount(found.labels, minlength=4).tolist()
    assert table.trace() / len(pairs) == pytest.approx(shares(found, NAMES)["top1"])
    assert len(worst_mistakes(found, most=99)) == table.sum() - table.trace()


@given(st.integers(1, 2000), st.floats(0, 1))
def test_the_interval_is_wilsons(photos, share):
    right = round(share * photos)
    expected = binomtest(right, photos).proportion_ci(0.95, method="wilson")
    # 1.96 is the rounded quantile
    assert interval(right, photos) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_details_by_hand():
    """Most photos are of one class, most answers are another, and one class is answered and never photographed."""
    found = answers([0, 0, 0, 1, 2], [1, 1, 0, 1, 3], [0.9, 0.6, 0.8, 0.7, 0.95])
    told = details(found, NAMES, [f"{i}.jpg" for i in range(5)], mistakes=2)
    assert told["right"] == 2
    assert told["interval"] == list(interval(2, 5))
    assert told["most_frequent"] == {"class": NAMES[0], "share": 0.6}
    assert told["confusion"] == {
        "classes": list(NAMES[:4]),
        "counts": [[1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
    }
    assert told["mistakes"] == [
        {"photo": "4.jpg", "class": NAMES[2], "answer": NAMES[3], "probability": 0.95},
        {"photo": "0.jpg", "class": NAMES[0], "answer": NAMES[1], "probability": 0.9},
    ]
    alone = details(answers([1], [1]), NAMES, ["a.jpg"])
    assert alone["confusion"] == {"classes": [NAMES[1]], "counts": [[1]]}
    assert alone["mistakes"] == []
