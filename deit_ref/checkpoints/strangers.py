"""What a file is that is not a checkpoint, told by its first bytes, and what to do about it.

Source: the magic numbers in each format's documentation; git-lfs, docs/spec.md.
"""

import os
from pathlib import Path

from deit_ref import checks

_AGAIN = "download it again"
_PHOTO = "photos are classified, not loaded as weights"
_SAVE = "load it in the library that wrote it and save model.state_dict() by torch.save or safetensors"

# The first bytes, what they are the first of, and the remedy.
_STARTS = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer, which stands for a file that was not fetched",
        "run git lfs pull in the clone, or download the file itself (hf download)",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes", _SAVE),
    (b"\x93NUMPY", "a NumPy array (.npy)", _SAVE),
    (b"GGUF", "a GGUF file, as llama.cpp reads", "take the safetensors that it was made from"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it (gunzip, or tar xzf)"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it (unxz, or tar xJf)"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it (zstd -d)"),
    (b"BZh", "compressed by bzip2", "unpack it (bunzip2, or tar xjf)"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\xff\xd8\xff", "a photo (JPEG)", _PHOTO),
    (b"\x89PNG", "a picture (PNG)", _PHOTO),
    (b"GIF8", "a picture (GIF)", _PHOTO),
    (b"RIFF", "a picture (WebP) or a sound", _PHOTO),
    (b"II*\x00", "a picture (TIFF)", _PHOTO),
    (b"MM\x00*", "a picture (TIFF)", _PHOTO),
    (b"%PDF", "a PDF", _AGAIN),
)

# Files inside a zip archive, and what wrote it.
_INSIDE = (
    (".npy", "a NumPy archive (.npz), as JAX checkpoints are", _SAVE),
    ("model.weights.h5", "a Keras model", _SAVE),
    ("/constants.pkl", "a TorchScript model", "torch.jit.load it and torch.save its state_dict()"),
)


# How `_found` begins for what is read here under its own name.
_OWN = {".safetensors": "a file of safetensors", ".pth": "a file of torch.save", ".json": "a JSON file"}


def what_it_is(file: Path, *, expected: str = "") -> str | None:
    """The format of a file and the remedy, as the end of a sentence; None if nothing is known of it.

    Args:
        file: one that could not be read.
        expected: ".safetensors", ".pth" or ".json", the format that its name promises; a file that is of that format,
            and only damaged, gives None. Under another's name it needs another one.
    """
    found = _found(file)
    if expected:
        found = found or _text(file)
        return None if found and found.startswith(_OWN[expected]) else found
    return found


def _found(file: Path) -> str | None:
    try:
        size = os.path.getsize(file)
        with open(file, "rb") as opened:
            start = opened.read(512)
    except OSError:
        return None
    if size == 0:
        return f"an empty file: {_AGAIN}"
    for magic, what, remedy in _STARTS:
        if start.startswith(magic):
            return f"{what}: {remedy}"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body", b"<!--")):
        return "a web page (perhaps an error or a login): download the file itself, not the page about it (hf download)"
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite model: {_SAVE}"
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it (tar xf)"
    if start.startswith(b"PK"):
        return _zip(file)
    if start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= size - 8:
        return "a file of safetensors: rename it to end in .safetensors"
    if start.startswith(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"):
        return "a file of torch.save: rename it to end in .pth"
    if text.startswith((b"{", b"[")):
        return "a JSON file: the weights are in another one"
    if not any(start):
        return f"nothing but zeros at its start, as a download that was broken off leaves: {_AGAIN}"
    return None


def _text(file: Path) -> str | None:
    """What servers answer in place of a file: "Entry not found", "Access denied"."""
    try:
        with open(file, "rb") as opened:
            start = opened.read(512)
        words = " ".join(start.decode().split())
    except (OSError, UnicodeDecodeError):
        return None
    if not words.isprintable():
        return None
    return f"text that begins with {checks.brief(words[:60])}: {_AGAIN} (hf download)"


def _zip(file: Path) -> str | None:
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return None  # a file of torch.save without its end, perhaps; its reader says so
    for part, what, remedy in _INSIDE:
        if any(name.endswith(part) for name in entries):
            return f"{what}: {remedy}"
    if any(name.endswith("/data.pkl") for name in entries):
        return "a file of torch.save: rename it to end in .pth"
    return "a zip archive without weights of torch.save: unpack it and see what it holds"
