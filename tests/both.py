"""The two backends by name, so that one test serves both."""

from importlib import import_module

import numpy as np
import torch

from deit_ref.chapters import CHAPTERS

BACKENDS = ("numpy", "torch")

# Chapters that go on in a second file, which stands right behind them in the reading order.
CONTINUED = {"resize": ["pixels"]}
CHAPTER_FILES = [file for chapter in CHAPTERS for file in (chapter.name, *CONTINUED.get(chapter.name, []))]


def chapter(backend: str, name: str):
    """A chapter's module, such as deit_ref.torch_backend.layers."""
    return import_module(f"deit_ref.{backend}_backend.{name}")


def array(backend: str, values, dtype="float32"):
    """Values as an array of the backend."""
    values = np.asarray(values) if dtype is None else np.asarray(values, dtype=dtype)
    return values if backend == "numpy" else torch.from_numpy(np.array(values))


def normal(seed: int, *shape: int, dtype="float64") -> np.ndarray:
    """Seeded normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
