"""Files of photos: opened, told apart by what is in them, and refused in one line where they cannot be read.

Nothing is decoded here. Pillow is imported inside functions, and pillow-heif once a HEIC photo comes.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from deit_ref import checks, photo_names
from deit_ref.file_kinds import START, as_text, what_else

if TYPE_CHECKING:
    from PIL import Image

# Formats that Pillow decodes in its own process. Left out are, among others, EPS and WMF, which it hands to other
# programs to be run.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")
# What pillow-heif adds, once a file of that kind has come; Pillow itself has no such decoder.
HEIF = "HEIF"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
# Their decoders hold several copies of the image, up to 25 bytes per pixel.
_COPYING = ("WEBP", "AVIF", "JPEG2000", HEIF)
# What Pillow's decoders raise for broken files: AVIF's is RuntimeError, and a wrong length may ask for all memory; a
# palette image without its palette fails an assertion.
_PILLOW_ERRORS: tuple[type[Exception], ...] = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError)
_PILLOW_ERRORS = (*_PILLOW_ERRORS, RuntimeError, MemoryError, AssertionError, struct.error, zlib.error)


def open_file(path: str) -> BinaryIO:
    """A file, opened to be read.

    Raises:
        ValueError: there is none, or it is a folder, a pipe, a device or not to be read.
    """
    name = checks.brief(path)
    if not os.path.exists(path):
        if path.startswith(("http://", "https://")):
            raise ValueError(f"{name} is an address, expected a file: download it and give the file's path.")
        raise ValueError(f"There is no file {name}: expected the path of an image, check its spelling.")
    if os.path.isdir(path):
        raise ValueError(f"{name} is a folder, expected an image file: {_what_to_name(path)}.")
    if not os.path.isfile(path):  # a pipe may wait for ever, a device may never end
        raise ValueError(f"{name} is a pipe or a device, expected an image file: save what comes from it first.")
    with pillow_errors(name):
        return open(path, "rb")


def _what_to_name(folder: str) -> str:
    photos, left_out = photo_names.contents(folder)
    if photos:
        return f"name one of the {len(photos)} in it, such as {photos[0]!r}"
    return f"in it are {photo_names.counted(left_out)}, none of them an image" if left_out else "it is empty"


def shown(file: Any) -> str:
    """What messages call an open file."""
    name = getattr(file, "name", None)
    return checks.brief(name) if isinstance(name, str | bytes) else "The file"


def identified(file: BinaryIO) -> "Image.Image":
    """A file as the first of the formats that knows it; only its header has been read.

    As PIL.Image.open, which warns of images above Pillow's limit: that warning can only be made an error by filters
    that belong to all threads.
    """
    from PIL import Image

    name = shown(file)
    if isinstance(file, io.TextIOBase):
        raise ValueError(f"{name} is opened as text, expected bytes: open it with open(path, 'rb').")
    with pillow_errors(name):
        if not (hasattr(file, "seekable") and file.seekable()):  # what comes over a network
            file = io.BytesIO(file.read())
        file.seek(0)
        start = file.read(START)
    Image.init()
    formats = [format for format in FORMATS if format in Image.OPEN]
    if _is_heic(start):
        _register_heic(name)
        formats.append(HEIF)
    for format in formats:
        factory, accepts = Image.OPEN[format]
        accepted = not accepts or accepts(start[:16])
        if not accepted or isinstance(accepted, str):  # a text says why this Pillow cannot read the format
            continue
        with pillow_errors(name):
            file.seek(0)
            try:
                image: Image.Image = factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # how a plugin says that it is another format's
                continue
            refuse_bombs(image)
            return image
    if known := what_else(start):
        what, remedy = known
        raise ValueError(f"{name} is {what}, not an image: {remedy}.")
    text = as_text(start)
    remedy = "Convert it first." if text is None else f"It is text, {text!r}: see where it comes from."
    raise ValueError(f"{name} is not an image that can be read: expected one of {', '.join(formats)}. {remedy}")


def _is_heic(start: bytes) -> bool:
    # AVIF shares the container, and may name itself only among the brands that it is compatible with.
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and b"avif" not in start[8:]


def _register_heic(name: str) -> None:
    """Let Pillow know the decoder of pillow-heif, if it is installed."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ValueError(
            f"{name} is a HEIC photo, which Pillow alone cannot read: pip install pillow-heif (the extra heic), or "
            "save it as JPEG."
        ) from error
    pillow_heif.register_heif_opener()


def refuse_bombs(image: "Image.Image") -> None:
    """Raise Pillow's own error for an image above its limit, or above what a decoder that copies can bear."""
    from PIL import Image

    limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if limit and pixels > (limit * 2 // 5 if image.format in _COPYING else limit):
        raise Image.DecompressionBombError


@contextmanager
def pillow_errors(name: str) -> Iterator[None]:
    """What Pillow raises for a bad file, as one ValueError that names the file."""
    from PIL import Image

    try:
        yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise ValueError(
            f"{name} is too large: expected at most {limit:,} pixels, or {limit * 2 // 5:,} as {', '.join(_COPYING)}. "
            "Make it smaller or, if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except _PILLOW_ERRORS as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> ValueError:
    """What to raise for what its system, its archive or Pillow does not give out."""
    if isinstance(error, PermissionError):
        return ValueError(f"{name} cannot be opened (permission denied): chmod u+rX allows it to its owner, else ask.")
    if isinstance(error, OSError) and error.errno is not None:  # of the system; Pillow's own have no number
        return ValueError(f"{name} cannot be read ({error.strerror}): look after the disk or network that it is on.")
    return ValueError(
        f"{name} is broken or cannot be read ({str(error) or type(error).__name__}): expected a whole image file. "
        "Get it again."
    )
