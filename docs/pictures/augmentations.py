"""What each augmentation does to a photo, by the training's own code; every draw has a seed, so builds are the same."""

import base64
import html
import io
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import deit_ref
from deit_ref import plots
from deit_ref.data.images import ImageSet
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.training.augmentation import erase, random_flip, random_resized_crop
from deit_ref.training.batches import Batches
from deit_ref.training.mixing import mix
from deit_ref.training.randaugment import OPERATIONS
from deit_ref.training.recipe import RECIPES

SIDE = 128  # pixels of a picture
RECIPE = RECIPES["deit-300"].with_changes(image_size=SIDE)
PROCESSING = RECIPE.image_processing
PHOTOS = {
    "chelsea": ("cat", "the face of a ginger tabby cat"),
    "coffee": ("cup", "a cup of coffee on a wooden table"),
}


class Tile(NamedTuple):
    """One photo of a row: bytes (height, width, 3), the words under it, and what a reader who cannot see it is told."""

    image: Any
    label: str
    alt: str


def tiles(row: Sequence[Tile], caption: str) -> str:
    """Photos side by side, as many in a row as there is room for."""
    shown = []
    for tile in row:
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(tile.image)).save(stream, "WEBP", quality=75)
        height, width = tile.image.shape[:2]
        shown.append(
            f'<div class="deit-tile"><img alt="{html.escape(tile.alt)}" width="{width}" height="{height}" '
            f'src="data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}">'
            f"<span>{html.escape(tile.label)}</span></div>"
        )
    return (
        f'<figure class="deit-figure deit-photos"><div class="deit-tiles">{"".join(shown)}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


@cache
def _photo(name: str) -> Any:
    return load_image(bundled_photo(name))


def _crops(name: str, count: int, seed: int, scale: tuple[float, float] = (0.08, 1.0)) -> torch.Tensor:
    """(count, 3, SIDE, SIDE) bytes: random parts of a photo, as the training cuts them."""
    generator = np.random.default_rng(seed)
    parts = [random_resized_crop(_photo(name), (SIDE, SIDE), scale=scale, generator=generator) for _ in range(count)]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).contiguous()


def _as_seen(name: str) -> torch.Tensor:
    """(1, 3, SIDE, SIDE) bytes: the whole photo, cropped to a square, as in evaluation."""
    pixel_values = deit_ref.preprocess(_photo(name), PROCESSING)
    return torch.from_numpy(plots.to_photos(pixel_values, PROCESSING)).permute(0, 3, 1, 2)


def _normalized(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(value).reshape(-1, 1, 1) for value in (PROCESSING.image_mean, PROCESSING.image_std))
    return (images.float() / 255 - mean) / std


def _shown(images: torch.Tensor) -> Any:
    """(batch, height, width, 3) bytes, of bytes or of normalized images."""
    if images.dtype == torch.uint8:
        return images.permute(0, 2, 3, 1).numpy()
    return plots.to_photos(images.numpy(), PROCESSING)


def crop_and_flip(weights: Any) -> str:
    """Four random parts of the photo, mirrored or not."""
    generator = torch.Generator().manual_seed(4)
    crops = _crops("chelsea", 5, seed=3)
    flipped = random_flip(crops, probability=RECIPE.flip, generator=generator)
    row = [Tile(_shown(_as_seen("chelsea"))[0], "as in evaluation", f"{PHOTOS['chelsea'][1]}, whole")]
    for before, after, image in zip(crops, flipped, _shown(flipped), strict=True):
        mirrored = not torch.equal(before, after)
        label = "cropped, mirrored" if mirrored else "cropped"
        row.append(Tile(image, label, f"a random part of the same photo{', mirrored' if mirrored else ''}"))
    low, high = 0.08, 1.0
    return tiles(
        row,
        f"Each crop covers between {low:.0%} and {high:.0%} of the photo, in a shape between 3:4 and 4:3; one in two "
        "is mirrored.",
    )


def rand_augment(weights: Any) -> str:
    """Operations of RandAugment, one at a time, at the recipe's strength."""
    image = _as_seen("chelsea").float()
    level, sign = torch.full((1, 1, 1, 1), RECIPE.magnitude / 10), torch.ones(1, 1, 1, 1)
    row = []
    for name in ("rotate", "shear_x", "color", "posterize", "solarize", "equalize"):
        changed = OPERATIONS[name](image, level, sign).round().clamp(0, 255).to(torch.uint8)
        row.append(Tile(_shown(changed)[0], name.replace("_", " "), f"the cat after {name.replace('_', ' ')}"))
    return tiles(
        row,
        f"{len(row)} of the {len(OPERATIONS)} operations at strength {RECIPE.magnitude} of 10. A photo gets "
        f"{RECIPE.rand_augment} of them in turn, each with probability one half.",
    )


def mixing(weights: Any) -> str:
    """Two photos, and what mixup and cutmix make of them."""
    images = torch.cat([_as_seen("chelsea"), _as_seen("coffee")])
    row = [
        Tile(image, f"label: {PHOTOS[name][0]}", PHOTOS[name][1])
        for name, image in zip(PHOTOS, _shown(images), strict=True)
    ]
    for way, seed in (("mixup", 6), ("mixup", 2), ("cutmix", 5), ("cutmix", 12)):
        alphas = {"mixup": 0.0, "cutmix": 0.0, way: getattr(RECIPE, way)}
        generator = torch.Generator().manual_seed(seed)
        mixed, targets = mix(_normalized(images), torch.eye(2), **alphas, generator=generator)
        cat, cup = targets[0].tolist()
        alt = "both photos laid over each other" if way == "mixup" else "the cat with a rectangle of the other photo"
        row.append(Tile(_shown(mixed)[0], f"{way}: {cat:.2f} cat, {cup:.2f} cup", alt))
    return tiles(row, "The label is mixed in the same proportion as the pixels. A teacher sees the mixed photo, too.")


def erasing(weights: Any) -> str:
    """The photo with a rectangle of noise."""
    images = _normalized(_as_seen("chelsea").repeat(6, 1, 1, 1))
    erased = erase(images, probability=1.0, generator=torch.Generator().manual_seed(2))
    share = (erased != images).any(dim=1).float().mean(dim=(1, 2)).tolist()
    row = [
        Tile(image, f"{part:.0%} erased", f"the cat with noise in a rectangle of {part:.0%} of the photo")
        for image, part in zip(_shown(erased), share, strict=True)
    ]
    return tiles(row, f"One photo in {1 / RECIPE.erasing:.0f} loses a rectangle of 2% to 33% of its area to noise.")


def whole_batch(weights: Any) -> str:
    """Six places of a batch, as the training makes it."""
    names = sorted(BUNDLED_PHOTOS)
    count = 2 * len(names)
    images = ImageSet(
        labels=np.arange(count) % len(names),
        class_names=tuple(PHOTOS.get(name, (name,))[0] for name in names),
        names=[names[i % len(names)] for i in range(count)],
        read=lambda i: _photo(names[i % len(names)]),
    )
    recipe = RECIPE.with_changes(batch_size=2 * RECIPE.repeats)
    batches = Batches(images, recipe, PROCESSING, seed=4, device=torch.device("cpu"))
    batch = batches(0)
    row = []
    for image, target in zip(_shown(batch.pixel_values), batch.targets.tolist(), strict=True):
        first, second = sorted(zip(target, images.class_names, strict=True), reverse=True)[:2]
        label = f"{first[0]:.2f} {first[1]}, {second[0]:.2f} {second[1]}"
        row.append(Tile(image, label, f"a photo of {first[1]}, cropped, changed and mixed with {second[1]}"))
    return tiles(
        row,
        f"A batch of {len(row)} made by the recipe deit-300: two photos, {RECIPE.repeats} times each, every time drawn "
        "again, and then the batch is mixed. Under each place stand the two largest shares of its label; the smoothing "
        "has spread the rest over all classes, here four.",
    )
