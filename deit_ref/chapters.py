"""The reading order. The site's navigation, the notebooks and the tests are held to it."""

from typing import NamedTuple


class Chapter(NamedTuple):
    """A part of the book: files that belong together, with a page, a notebook and tests.

    Attributes:
        number, name, title: as pages, notebooks and tests call it.
        part: of the book that it belongs to.
        numpy, torch: its files in `deit_ref.numpy_backend` and `deit_ref.torch_backend`, in reading order.
    """

    number: int
    name: str
    title: str
    part: str
    numpy: tuple[str, ...]
    torch: tuple[str, ...]


PARTS = ("The forward pass", "The way back")

# Both backends have the same files up to here; the mirror of what follows is autograd, and torch.optim.
_FORWARD = (
    ("layers", "The layers that everything else is made of"),
    ("resize", "Resampling, byte for byte as Pillow"),
    ("image", "From a photo to what the model sees"),
    ("patches", "An image becomes a sequence of patches"),
    ("positions", "Where a patch came from"),
    ("tokens", "The tokens that are not patches"),
    ("attention", "Attention, where tokens see each other"),
    ("encoder", "The encoder, the same block twelve times over"),
    ("heads", "From tokens to answers"),
    ("simmim", "Masked image modeling"),
    ("losses", "Losses"),
    ("model", "The whole model"),
)
_CONTINUED = {"resize": ("resize", "pixels")}
_BACKWARD = "layers activations patches positions tokens attention encoder heads simmim losses model tasks gradients"
_BACK = (
    ("backward", "The way back", tuple(f"backward.{file}" for file in _BACKWARD.split()), ("gradients",)),
    ("learning", "Learning", ("backward.optimizer", "backward.learning"), ()),
    ("relevance", "What a decision rests on", ("backward.relevance",), ("relevance",)),
)

CHAPTERS = (
    *(
        Chapter(number, name, title, PARTS[0], _CONTINUED.get(name, (name,)), _CONTINUED.get(name, (name,)))
        for number, (name, title) in enumerate(_FORWARD, 1)
    ),
    *(
        Chapter(number, name, title, PARTS[1], numpy, torch)
        for number, (name, title, numpy, torch) in enumerate(_BACK, len(_FORWARD) + 1)
    ),
)
