"""The one photo that goes through the book, and what the model made of it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import lab_data
import numpy as np

import deit_ref
from deit_ref.numpy_backend.heads import classify
from deit_ref.numpy_backend.layers import layer_norm, softmax
from deit_ref.photos import bundled_photo, load_image
from pictures.parts import Array, picture, tiled

PHOTO = "chelsea"
SHOWS = next(entry["alt"] for entry in lab_data.photos() if entry["name"] == PHOTO)
EYE = 3, 2  # row and column, from 0, of the patch with the cat's left eye, on a grid of 8 x 8


@dataclass(frozen=True)
class Run:
    """One forward pass of a distilled classifier.

    Attributes:
        seen: the photo as the model sees it, bytes (height, width, 3).
        attentions: float64 (blocks, heads, tokens, tokens).
        stream: (1 + blocks, tokens, dim), the embeddings and the output of each block.
        names: of the classes.
    """

    weights: Any
    photo: Array
    trace: deit_ref.Trace
    output: Any
    seen: Array
    attentions: Array
    stream: Array
    names: tuple[str, ...]

    @property
    def grid(self) -> tuple[int, int]:
        return self.weights.config.grid

    def look(self, block: int, token: int, head: int | None = None) -> Array:
        """(rows, columns): what a token takes from each patch, in one head or in the mean of all."""
        shares = self.attentions[block, :, token] if head is None else self.attentions[block, head, token][None]
        return shares.mean(axis=0)[self.weights.config.num_prefix_tokens :].reshape(self.grid)

    def spread(self, token: int) -> Array:
        """(blocks, heads): over how many tokens a token spreads its look, from 1 to all; e to the entropy."""
        shares = self.attentions[:, :, token]
        return np.exp(-(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=-1))

    def sharpest(self, token: int) -> tuple[int, int]:
        """(block, head) in which the token gives a single patch the largest share."""
        patches = self.attentions[:, :, token, self.weights.config.num_prefix_tokens :]
        return _place(patches.max(axis=-1).argmax(), self.attentions.shape[1])

    def evenest(self, token: int) -> tuple[int, int]:
        return _place(self.spread(token).argmax(), self.attentions.shape[1])

    def patch_token(self, place: tuple[int, int]) -> int:
        """The token of the patch in that row and column."""
        return self.weights.config.num_prefix_tokens + place[0] * self.grid[1] + place[1]

    def square(self, place: tuple[int, int]) -> tuple[int, int, int, int]:
        """The patch's pixels: x, y, width, height."""
        height, width = self.weights.config.patch_shape
        return place[1] * width, place[0] * height, width, height

    def lens(self) -> Array:
        """(1 + blocks, 2, classes): what both heads would say if the model ended there, after the last norm."""
        normed = layer_norm(self.weights.norm, self.stream, eps=self.weights.config.layer_norm_eps)
        heads = self.weights.head, self.weights.head_dist
        return np.stack([softmax(classify(head, normed[:, token])) for token, head in enumerate(heads)], axis=1)

    def top(self, logits: Array, count: int = 3) -> list[tuple[str, float]]:
        """The likeliest classes of (1, classes), with their probabilities."""
        shares = softmax(logits[0].astype(np.float64))
        return [(self.names[i], float(shares[i])) for i in np.argsort(-shares)[:count]]


@lru_cache(maxsize=1)
def run(weights: Any) -> Run:
    """The photo goes through; weights of another task are a ValueError."""
    if weights.task != "classification-with-teacher":
        raise ValueError(f"The pictures show both heads, so the weights must have them; got the task {weights.task!r}.")
    trace = deit_ref.Trace()
    photo = load_image(bundled_photo(PHOTO))
    output = deit_ref.forward(weights, photo, trace=trace, backend="numpy")
    attentions = np.concatenate(trace.matching("blocks.*.attention.probabilities")).astype(np.float64)
    return Run(
        weights=weights,
        photo=photo,
        trace=trace,
        output=output,
        seen=[value for value in trace.values() if value.dtype == np.uint8][-1],
        attentions=attentions,
        stream=np.concatenate([trace["embeddings"], *trace.matching("blocks.*.output")]),
        names=tuple(weights.class_names or (f"class {i}" for i in range(weights.config.num_labels))),
    )


def cut(r: Run) -> str:
    """The photo's patches, apart."""
    (rows, columns), (height, width) = r.grid, r.weights.config.patch_shape
    tiles = r.seen.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    return picture(tiled(tiles), f"The photo cut into {rows} x {columns} squares, apart")


def _place(index: Any, heads: int) -> tuple[int, int]:
    return int(index) // heads, int(index) % heads


def viewer(block: int, head: int | None = None, left: str = "class", right: str = "distillation", **more: str) -> str:
    """The attention viewer's address; blocks and heads are counted from 1 there."""
    chosen = {"photo": PHOTO, "layer": block + 1, "head": "mean" if head is None else head + 1}
    return "viewer.md?" + "&".join(
        f"{name}={value}" for name, value in {**chosen, "left": left, "right": right, **more}.items()
    )


def step(name: str) -> str:
    """The stepper's address."""
    return f"steps.md?step={name}&photo={PHOTO}"
