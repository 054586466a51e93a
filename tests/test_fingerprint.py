"""The fingerprint of a run: each part of what it runs on, changed alone, makes another and is named."""

import dataclasses
import io
import re

import numpy as np
import pytest

from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.fingerprint import differences, fingerprint

FILES = [bytes([i]) * 9 for i in range(200)]


def photos(files, *, digest="d" * 64, names=("a", "b")):
    labels = np.arange(len(files)) % 2
    return ImageSet(labels, names, [""] * len(files), lambda i: i, digest, open=lambda i: io.BytesIO(files[i]))


WHOLE = {
    "train": photos(FILES),
    "test": photos(FILES[:3]),
    "image_processing": ImageProcessing(),
    "start": [("w", np.ones(2))],
    "teacher": [("w", np.zeros(2))],
    "numerics": {"bfloat16": False, "device": "cpu"},
    "held_out": 0.2,
}


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("train", photos([*FILES[:-1], b"another"]), r"^other train photos \(as many"),
        ("train", photos([b"another", *FILES[1:]]), r"^other train photos"),
        ("train", photos(FILES, digest="e" * 64), r"^other train photos"),
        ("train", photos(FILES[:-1]), "^200 train photos, now 199"),
        ("train", photos(FILES, names=("a", "c")), "^the classes a, b, now a, c"),
        ("test", photos([FILES[1], *FILES[1:3]]), "^other test photos"),
        ("test", None, "^3 test photos, now none"),
        ("image_processing", ImageProcessing(apply_exif=True), "^apply_exif None, now True"),
        ("start", None, r"^other weights to begin with \([0-9a-f]{8}, now none\)"),
        ("start", [("w", np.full(2, 1.5))], "^other weights to begin with"),
        ("teacher", None, "^another teacher"),
        ("teacher", "a function", r"^another teacher \([0-9a-f]{8}, now a function\)"),
        ("numerics", {"bfloat16": True, "device": "cpu"}, "^bfloat16 False, now True$"),
        ("held_out", 0.25, "^0.2 of the photos held out, now 0.25"),
    ],
)
def test_each_part_is_told_apart_and_named(part, value, words):
    then, now = (fingerprint(**parts) for parts in (WHOLE, {**WHOLE, part: value}))
    assert differences(then, fingerprint(**WHOLE)) == []
    (said,) = differences(then, now)
    assert re.search(words, said)


def test_photos_without_files_of_their_own_have_a_digest_alone():
    bare = dataclasses.replace(WHOLE["train"], open=None)
    found = fingerprint(**{**WHOLE, "train": bare})["photos"]["train"]
    assert (found["count"], found["digest"]) == (200, "d" * 64)
    assert fingerprint(**WHOLE)["photos"]["train"]["contents"] != found["contents"]
