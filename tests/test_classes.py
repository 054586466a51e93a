"""Photos get the labels of weights by name, whatever the order, and never by a guess."""

import unicodedata

import numpy as np
import pytest

from deit_ref.data.classes import alike_among, check_same_classes, labelled_as, spelled_alike
from deit_ref.data.images import ImageSet

KNOWN = ("cat", "dog", "frog")


def photos(*names, labels=(1, 0)):
    return ImageSet(np.array(labels, np.int64), names, list("ab"), lambda i: np.zeros((1, 1, 3), np.uint8))


def test_the_weights_own_classes_stay():
    images = photos(*KNOWN)
    assert labelled_as(images, KNOWN, 3) == (images, "")


def test_some_of_the_classes_get_the_weights_labels():
    found, said = labelled_as(photos("dog", "frog"), KNOWN, 3)
    assert (found.labels.tolist(), found.class_names) == ([2, 1], KNOWN)
    assert said == "the photos are of 2 of the 3 classes that the weights know: dog, frog."


def test_another_order_is_no_matter():
    found, said = labelled_as(photos("frog", "dog", "cat"), KNOWN, 3)
    assert (found.labels.tolist(), found.class_names, said) == ([1, 2], KNOWN, "")


def test_no_shared_name_is_taken_in_order_and_said():
    for names, first in ((KNOWN, "'cat'"), (None, "the weights' first class")):
        found, said = labelled_as(photos("x", "y", "z"), names, 3)
        assert found.labels.tolist() == [1, 0]
        assert found.class_names == (names or ("x", "y", "z"))
        assert said == f"warning: classes are compared by their order, not by name: 'x' is taken for {first}."


def test_unknown_classes_are_named_with_a_hint():
    with pytest.raises(ValueError, match=r"know 3 classes \(cat, dog, frog\), and not toad: expected .* names\.$"):
        labelled_as(photos("cat", "toad"), KNOWN, 3)
    with pytest.raises(
        ValueError,
        match=r"know 5 classes by their places alone, .* are x, y: call each by its place, LABEL_0 to LABEL_4, or",
    ):
        labelled_as(photos("x", "y"), None, 5)
    found, said = labelled_as(photos("LABEL_1", "LABEL_4"), None, 5)
    assert [found.class_names[label] for label in found.labels] == ["LABEL_4", "LABEL_1"]
    assert found.labels.tolist() == [4, 1]
    assert "2 of the 5 classes" in said
    # Sorted names of another spelling need not stand in the same order.
    with pytest.raises(ValueError, match="Only the spelling differs of 'Dog' and 'dog', 'FROG' and 'frog': rename"):
        labelled_as(photos("Dog", "FROG", "cat"), KNOWN, 3)
    with pytest.raises(ValueError, match="Only the spelling differs of 'C_at' and 'cat'"):
        labelled_as(photos("C_at", "x", "y"), KNOWN, 3)


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "K\u00e4se") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("ours", "theirs"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_either_form_of_unicode_is_the_same_name(ours, theirs):
    found, said = labelled_as(photos("x", ours), (theirs, "x", "y"), 3)
    assert (found.labels.tolist(), said) == (
        [0, 1],
        f"the photos are of 2 of the 3 classes that the weights know: x, {COMPOSED}.",
    )
    check_same_classes(photos("x", ours), photos("x", theirs))


def test_spelling():
    for seen in ("gold\u00a0fish", "gold\u200bfish", "goldfish ", "gold\u00adfish", "\uff47oldfish"):
        assert "Only the spelling differs of" in spelled_alike((seen,), ("goldfish",))
        assert repr(seen) in spelled_alike((seen,), ("goldfish",))
    assert spelled_alike(("Golden Retriever",), ("golden_retriever", "cat")) == (
        " Only the spelling differs of 'Golden Retriever' and 'golden_retriever': rename the folders."
    )
    assert spelled_alike(("cat", "dog"), ("cat", "frog")) == ""


def test_spelling_within_one_list():
    assert alike_among(("Cat", "cat", "dog", "C-at")) == (
        "only the spelling differs of the classes 'Cat' and 'cat', 'Cat' and 'C-at': join those that are one."
    )
    assert alike_among(("cat", "dog")) == ""


def test_classes_that_differ():
    check_same_classes(photos("a", "b"), photos("a", "b"))
    with pytest.raises(ValueError, match=r"only in train: a, c; only in test: z. Rename"):
        check_same_classes(photos("a", "b", "c"), photos("b", "z"))
    with pytest.raises(ValueError, match="their order differs"):
        check_same_classes(photos("a", "b"), photos("b", "a"))
    with pytest.raises(ValueError, match="Only the spelling differs of 'Red fox' and 'red_fox': rename"):
        check_same_classes(photos("cat", "red_fox"), photos("Red fox", "cat"))


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("ｃａｔ", "cat"), ("tabby-cat", "Tabby cat"), ("tabby_cat", "tabbycat")]
)
def test_names_of_one_spelling_are_told(one, other):
    assert (
        spelled_alike((one,), (other,)) == f" Only the spelling differs of {one!r} and {other!r}: rename the folders."
    )
    assert alike_among((one, "dog", other)).startswith(
        f"only the spelling differs of the classes {one!r} and {other!r}"
    )
    assert spelled_alike((one,), (one, other)) == alike_among((one, "dog")) == ""
