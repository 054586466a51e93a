"""Which files are taken for photos, which are passed over, and which are counted."""

import os

import pytest

from deit_ref import photo_names
from deit_ref.data.opening import open_images

LEFT_BEHIND = [
    *("._1.jpg", ".DS_Store", ".hidden/1.jpg", "__MACOSX/._1.jpg", "__MACOSX/cat/1.jpg", "@eaDir/1.jpg/thumb.jpg"),
    *(".ipynb_checkpoints/1-checkpoint.jpg", "Thumbs.db", "thumbs.DB", "Desktop.ini", ".AppleDouble/1.jpg"),
]


def test_find_images_in_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("pets/cats")
    os.makedirs("empty")
    for name in ("pets/b.png", "pets/a.JPG", "pets/notes.txt", "pets/cats/c.jpeg", "one[1].png", "one1.png", "two.png"):
        (tmp_path / name).touch()
    below = [os.path.join("pets", "a.JPG"), os.path.join("pets", "b.png"), os.path.join("pets", "cats", "c.jpeg")]
    assert photo_names.find_images(["two.png", "pets"]) == ["two.png", *below]
    assert photo_names.find_images(["*.png"]) == ["one1.png", "one[1].png", "two.png"]
    assert photo_names.find_images(["one[1].png"]) == ["one[1].png"]
    assert photo_names.find_images(["p*"]) == below
    assert photo_names.find_images(["empty", "absent.png", "no*.png", ""]) == ["empty", "absent.png", "no*.png", ""]


def write(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_what_systems_leave_behind_is_passed_over_wherever_photos_are_looked_for(tmp_path, caplog):
    for kind in ("cat", "dog"):
        write(tmp_path / "d" / kind, ["1.jpg", *LEFT_BEHIND])
    write(tmp_path / "d", LEFT_BEHIND)
    expected = [str(tmp_path / "d" / kind / "1.jpg") for kind in ("cat", "dog")]
    with caplog.at_level("INFO", "deit_ref"):
        assert photo_names.find_images([str(tmp_path / "d")]) == expected
        assert photo_names.find_images([str(tmp_path / "d" / "*" / "*.jpg")]) == expected
        assert photo_names.find_images([str(tmp_path / "d" / "cat" / "*")]) == expected[:1]
    images = open_images(tmp_path / "d", "train")
    assert (list(images.names), images.class_names, images.skipped) == (expected, ("cat", "dog"), {})
    assert not caplog.records
    # Who names such a file means it.
    assert photo_names.find_images([str(tmp_path / "d/cat/._1.jpg")]) == [str(tmp_path / "d/cat/._1.jpg")]


def test_other_files_are_counted(tmp_path, caplog):
    write(tmp_path, ["1.JPG", "2.jfif", "3.jpe", "a.txt", "b.TXT", "c.mov", "LICENSE", "deep/d.mov", "deep/e.mov"])
    with caplog.at_level("INFO", "deit_ref"):
        assert len(photo_names.find_images([str(tmp_path)])) == 3
    assert caplog.messages == [f"{tmp_path}: left out are 3 .mov, 2 .txt, 1 without a suffix."]


@pytest.mark.parametrize("name", ["1.jpg", "a.JFIF", "b.jpe", "x.y.png"])
def test_photos_by_their_names(name):
    assert photo_names.why_left_out(name) is None


@pytest.mark.parametrize(("name", "reason"), [("a.txt", ".txt"), ("a.jpg.part", ".part"), ("jpg", "without a suffix")])
def test_why_others_are_none(name, reason):
    assert photo_names.why_left_out(name) == reason


def test_links_are_followed_once(tmp_path):
    write(tmp_path / "d", ["1.jpg", "deep/2.jpg"])
    (tmp_path / "d" / "deep" / "up").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "away").symlink_to(write(tmp_path / "e", ["3.jpg"]))
    found = photo_names.find_images([str(tmp_path / "d")])
    assert [os.path.basename(name) for name in found] == ["1.jpg", "3.jpg", "2.jpg"]


def test_photos_that_cannot_be_reached_are_counted(tmp_path, caplog):
    write(tmp_path, ["1.jpg"])
    (tmp_path / "2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with caplog.at_level("INFO", "deit_ref"):
        assert photo_names.find_images([str(tmp_path)]) == [str(tmp_path / "1.jpg")]
    assert caplog.messages == [
        f"{tmp_path}: left out are 1 that cannot be reached (no permission, or a link to nothing)."
    ]
