"""The two backends by name, so that one test serves both."""

from importlib import import_module

import numpy as np
import torch

BACKENDS = ("numpy", "torch")

# The files that both backends have, in the order in which they import each other: each sees those before it.
CHAPTER_FILES = (
    "layers activations resize pixels image patches positions tokens attention encoder heads simmim losses model"
).split()
# The same of the way back; each sees the chapters and the files before it. Its mirror is autograd.
BACKWARD_FILES = (
    "layers activations patches positions tokens attention encoder heads simmim losses model tasks gradients optimizer "
    "learning relevance"
).split()
# What torch has beside its chapters.
TORCH_FILES = ["graphs", "compiled", "gradients", "relevance"]


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
