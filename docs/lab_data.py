"""What pages on which the model runs fetch: its files as they are, and photos.

`files()` returns path below the site -> content. Of a photo there is the file itself, to be looked at, a small picture
to choose it by, and the few pixels that the model sees of it, as Pillow makes them: browsers decode JPEG a little
otherwise, and the numbers of a photo of this site are to be those of the NumPy book.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from inside_data import encoded, same_part
from PIL import Image

import deit_ref
from deit_ref.photos import bundled_photo, load_image

MODELS = ("cifar10-distilled", "cifar10-simmim")
MODEL_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
PHOTOS = Path(__file__).parent / "assets" / "photos"
PRETRAINED = bundled_photo().parent
SMALL = 128  # pixels a side of the pictures to choose by, twice what they take on the screen


def photos() -> list[dict[str, Any]]:
    """The entries of photos.json; `file` is a path, beside it or among those that come with the package.

    Raises:
        ValueError: an entry without its file.
    """
    entries: list[dict[str, Any]] = json.loads((PHOTOS / "photos.json").read_text(encoding="utf-8"))
    for entry in entries:
        found = [folder / entry["file"] for folder in (PHOTOS, PRETRAINED) if (folder / entry["file"]).is_file()]
        if not found:
            raise ValueError(f"photos.json names {entry['file']}, which is neither beside it nor in the package.")
        entry["file"] = found[0]
    return entries


def files() -> dict[str, bytes]:
    """Everything that these pages fetch.

    Raises:
        ValueError: an entry of photos.json without its file, or models that see photos differently.
    """
    made = {
        f"inside/models/{model}/{name}": (PRETRAINED / model / name).read_bytes()
        for model in MODELS
        for name in MODEL_FILES
    }
    processings = [deit_ref.load_weights(model).image_processing for model in MODELS]
    if processings[0] != processings[1]:
        raise ValueError(f"{' and '.join(MODELS)} must see a photo alike: one list of its pixels serves both.")
    entries = []
    for entry in photos():
        path, name = entry["file"], entry["name"]
        made[f"inside/photos/{path.name}"] = path.read_bytes()
        pixels = seen(path, processings[0])
        made[f"inside/photos/{name}-seen.png"] = encoded(pixels, "PNG")
        part = Image.fromarray(same_part(load_image(path), pixels, processings[0]))
        small = np.asarray(part.resize((SMALL, SMALL), Image.Resampling.LANCZOS))
        made[f"inside/photos/{name}-small.jpg"] = encoded(small, "JPEG", quality=80)
        shown = {
            **entry,
            "file": f"photos/{path.name}",
            "seen": f"photos/{name}-seen.png",
            "small": f"photos/{name}-small.jpg",
            "packaged": path.parent == PRETRAINED,
        }
        entries.append(shown)
    made["inside/lab.json"] = json.dumps({"models": MODELS, "photos": entries}, ensure_ascii=False).encode()
    return made


def seen(path: Path, processing: Any) -> np.ndarray:
    """The pixels that the model sees of a photo, as bytes: resized and cropped, not yet normalized."""
    trace = deit_ref.Trace(["images.0.*"])
    deit_ref.preprocess(load_image(path), processing, trace=trace)
    return next(value for value in reversed(list(trace.values())) if value.dtype == np.uint8)
