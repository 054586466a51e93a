"""The reading order. The site's navigation, the notebooks and the tests are held to it."""

from typing import NamedTuple


class Chapter(NamedTuple):
    """One file of both backends: `deit_ref.numpy_backend.<name>` and `deit_ref.torch_backend.<name>`."""

    number: int
    name: str
    title: str


CHAPTERS = (
    Chapter(1, "layers", "The layers that everything else is made of"),
    Chapter(2, "resize", "Resampling, byte for byte as Pillow"),
    Chapter(3, "image", "From a photo to what the model sees"),
    Chapter(4, "patches", "An image becomes a sequence of patches"),
    Chapter(5, "positions", "Where a patch came from"),
    Chapter(6, "tokens", "The tokens that are not patches"),
    Chapter(7, "attention", "Attention, where tokens see each other"),
    Chapter(8, "encoder", "The encoder, the same block twelve times over"),
    Chapter(9, "heads", "From tokens to answers"),
    Chapter(10, "simmim", "Masked image modeling"),
    Chapter(11, "losses", "Losses"),
    Chapter(12, "model", "The whole model"),
)
