"""The reading order. The site's navigation, the notebooks and the tests are held to it."""

from typing import NamedTuple


class Chapter(NamedTuple):
    """A part of the book: files that belong together, with a page, a notebook and tests.

    Attributes:
        number, name, title: as pages, notebooks and tests call it.
        part: of the book that it belongs to.
        numpy, torch: its files in `deit_ref.numpy_backend` and `deit_ref.torch_backend`, in reading order; a chapter
            about what others have built has none.
    """

    number: int
    name: str
    title: str
    part: str
    numpy: tuple[str, ...]
    torch: tuple[str, ...]


PARTS = ("From a photo to an answer", "Learning", "Exactness")

# The mirror of the way back is autograd and torch.optim; every other file has a twin of its name.
_BACKWARD = "layers activations patches positions tokens attention encoder heads simmim losses model tasks gradients"
_NUMPY = {
    "backward": tuple(f"backward.{file}" for file in _BACKWARD.split()),
    "learning": ("backward.optimizer", "backward.learning"),
    "distillation": (),
    "relevance": ("backward.relevance",),
    "resize": ("resize", "pixels"),
}
_TORCH = {"backward": ("gradients",), "learning": (), "relevance": ("relevance",)}

_ORDER = {
    PARTS[0]: {
        "patches": "An image becomes a sequence of patches",
        "tokens": "The tokens that are not patches",
        "positions": "Where a patch came from",
        "layers": "The layers that everything else is made of",
        "attention": "Attention, where tokens see each other",
        "encoder": "The encoder, twelve blocks of one shape",
        "heads": "From tokens to answers",
        "model": "The whole model",
    },
    PARTS[1]: {
        "losses": "Losses",
        "backward": "The way back",
        "learning": "Learning",
        "distillation": "Why distillation works",
        "simmim": "Masked image modeling",
        "relevance": "What a decision rests on",
    },
    PARTS[2]: {
        "image": "From a photo to what the model sees",
        "resize": "Resampling, byte for byte as Pillow",
        "activations": "Activations, and the fitted GELU",
    },
}

CHAPTERS = tuple(
    Chapter(number, name, title, part, numpy := _NUMPY.get(name, (name,)), _TORCH.get(name, numpy))
    for number, (part, name, title) in enumerate(
        ((part, name, title) for part, chapters in _ORDER.items() for name, title in chapters.items()), 1
    )
)
