"""A hundred fixed crops of the bundled photos, and what the bundled weights make of them: tests/golden/pretrained.npz.

Run by hand, when a bundled checkpoint is replaced:

    python tests/pretrained_crops.py
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import deit_ref
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image

GOLDEN = Path(__file__).parent / "golden" / "pretrained.npz"


def crops() -> Iterator[np.ndarray]:
    """25 squares of each photo, of 32 to 300 pixels a side, at places that a seed has drawn."""
    generator = np.random.default_rng(20261124)
    for name in BUNDLED_PHOTOS:
        photo = load_image(bundled_photo(name))
        for _ in range(25):
            side = int(generator.integers(32, 301))
            top, left = (int(generator.integers(0, size - side + 1)) for size in photo.shape[:2])
            yield photo[top : top + side, left : left + side]


def hidden_patches() -> np.ndarray:
    """Which of the 64 patches of each crop are hidden."""
    return np.random.default_rng(7).random((100, 64)) < 0.6


def main() -> None:
    """Ask the bundled weights and write down what they say."""
    output = deit_ref.forward(deit_ref.load_weights(), list(crops()), dtype="float64")
    masked = deit_ref.forward(
        deit_ref.load_weights("cifar10-simmim"), list(crops()), dtype="float64", bool_masked_pos=hidden_patches()
    )
    np.savez_compressed(
        GOLDEN,
        cls_logits=output.cls_logits.astype(np.float32),
        distillation_logits=output.distillation_logits.astype(np.float32),
        reconstruction_mean=masked.reconstruction.mean((1, 2, 3)).astype(np.float32),
        masked_l1=np.float32(masked.loss),
    )


if __name__ == "__main__":
    main()
