"""Photos: a path, a file, a PIL image, an array or a tensor becomes a (height, width, channels) array of bytes.

What cannot be read without a guess is refused: values that are neither 0..255 nor 0..1, an unclear channel axis, files
larger than Pillow's limit for decompression bombs. Only this file and photo_files.py import Pillow, inside functions.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from deit_ref import checks
from deit_ref.arrays import as_numpy, real
from deit_ref.image_processing import DATA_FORMATS
from deit_ref.photo_files import HEIF, identified, open_file, pillow_errors, refuse_bombs, shown

if TYPE_CHECKING:
    from PIL import Image

# uint8 (height, width, channels). Not a jaxtyping annotation: its import would double that of the package.
Array: TypeAlias = np.ndarray[Any, Any]

_ORIENTATION = 274  # the EXIF tag
_MODES = ("1", "L", "P", "LA", "La", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def load_image(
    image: Any,
    *,
    do_convert_rgb: bool = True,
    input_data_format: str | None = None,
    apply_exif: bool = False,
    keep_fractions: bool = False,
) -> Array:
    r"""One image as an array of bytes, channels last.

    Alpha is laid on white: $\text{rgb} \cdot a + 255 (1 - a)$ with $a = \text{alpha} / 255$.

    Arrays become bytes by their dtype and values; others than these are refused:

    - integers must lie in 0..255; bool is black and white, 0 and 255;
    - floats that are whole numbers in 0..255 (up to the tolerance of numpy.allclose) are cut to bytes;
    - other floats must lie in 0..1 and are multiplied by 255 and cut, as transformers' slow processor does before it
      resizes: 0.999 is 254. The image is then a photo like all others, and rescale stays on; `preprocess` also takes
      what transformers wants then, do_rescale=False. Floats of which the largest is exactly 1 and all are whole could
      be either, and are refused.

    Gray files of 16 bits (I;16) are divided by 257 and rounded, so that 65535 is 255. Files of 16 bits per color are
    cut to their upper 8 bits by Pillow. PIL images of modes I and F follow the rule for arrays.

    Args:
        image: a path; a file that was opened in binary, or an io.BytesIO, read from its beginning and left open; a PIL
            image; or an array or tensor of shape (height, width), (height, width, channels) or
            (channels, height, width). An animation gives its first frame. A uint8 array that needs no conversion is
            returned as it is, not copied.
        do_convert_rgb: whether to make three channels of every mode: gray is repeated, palettes are looked up,
            CMYK and the like are converted, alpha is laid on white. Otherwise channels stay as they are stored
            (palette indices too).
        input_data_format: of arrays, "channels_last", "channels_first" or "none" (height, width); None means the axis
            that has 1, 3 or 4 entries, if only one does. Two axes are (height, width), whatever it says, and files
            and PIL images are always channels last.
        apply_exif: whether to turn a file or PIL image as its EXIF orientation says. HEIC photos are always upright:
            their format says itself how to turn them, and their decoder does.
        keep_fractions: whether floats in 0..1 stay as they are, as float32, and are not made bytes; then 1 is white.

    Raises:
        ValueError: the file is missing, not an image, broken or too large, or the array is not an image.

    Source: convert_to_rgb and to_pil_image of transformers 5 (which takes the A of LAB for alpha; here LAB is a color
    space; and whose arrays of 0.0 and 1.0 only become bytes 0 and 1).
    """
    if isinstance(image, str | os.PathLike):
        with open_file(checks.path("image", image)) as file:
            return load_image(file, do_convert_rgb=do_convert_rgb, apply_exif=apply_exif, keep_fractions=keep_fractions)
    checks.boolean("do_convert_rgb", do_convert_rgb)
    checks.boolean("apply_exif", apply_exif)
    options: Any = {"do_convert_rgb": do_convert_rgb, "keep_fractions": keep_fractions}
    if hasattr(image, "read"):
        return _from_file(image, apply_exif=apply_exif, **options)
    if _is_pil(image):
        return _from_pil(image, "the PIL image", apply_exif=apply_exif, **options)
    if isinstance(image, np.ndarray) or checks.is_tensor(image):
        return _from_array(image, input_data_format=input_data_format, **options)
    raise ValueError(
        f"Expected an image: a path, a binary file, a PIL image, an array or a tensor; got {type(image).__name__}."
    )


def load_images(
    images: Any,
    *,
    do_convert_rgb: bool = True,
    input_data_format: str | None = None,
    apply_exif: bool = False,
    keep_fractions: bool = False,
) -> list[Array]:
    """One image, a list or tuple of images of any sizes, or a 4-D array or tensor, as a list of uint8 arrays.

    Args:
        images: what `load_image` takes, a list or tuple of those, or (batch, height, width, channels) or
            (batch, channels, height, width).
        do_convert_rgb, input_data_format, apply_exif, keep_fractions: as in `load_image`.

    Raises:
        ValueError: as `load_image`, with the position in the list; or there is no image at all.
    """
    of_arrays = isinstance(images, np.ndarray) or checks.is_tensor(images)
    many = isinstance(images, list | tuple) or (of_arrays and images.ndim == 4)
    if not many:
        images = [images]
    if len(images) == 0:
        raise ValueError("Expected at least one image, got none: pass a path, an image or a list of those.")
    loaded = []
    for i, image in enumerate(images):
        try:
            loaded.append(
                load_image(
                    image,
                    do_convert_rgb=do_convert_rgb,
                    input_data_format=input_data_format,
                    apply_exif=apply_exif,
                    keep_fractions=keep_fractions,
                )
            )
        except ValueError as error:
            raise ValueError(f"images[{i}]: {error}" if many else str(error)) from error
    return loaded


def exif_orientation(image: str | os.PathLike[str] | BinaryIO) -> int:
    """How a photo is stored: 1 is upright, 2 to 8 are mirrored or turned (EXIF tag 274).

    Raises:
        ValueError: the file is missing or not an image.
    """
    if isinstance(image, str | os.PathLike):
        with open_file(checks.path("image", image)) as file:
            return exif_orientation(file)
    opened = identified(image)
    with pillow_errors(shown(image)):
        orientation: Any = 1 if opened.format == HEIF else opened.getexif().get(_ORIENTATION)
    return orientation if orientation in range(2, 9) else 1


BUNDLED_PHOTOS = ("chelsea", "astronaut", "coffee", "rocket")


def bundled_photo(name: str = "chelsea") -> Path:
    """A photo that comes with the package, 300 pixels high: one of `BUNDLED_PHOTOS`. Credits lie beside them."""
    checks.choice("name", name, BUNDLED_PHOTOS)
    return Path(__file__).parent / "pretrained" / f"{name}.jpg"


def write_png(path: str | os.PathLike[str], image: Array) -> None:
    """Write an array of bytes (height, width, 3) as a PNG file, whatever the name's suffix."""
    from PIL import Image

    Image.fromarray(image).save(path, format="PNG")


def _is_pil(image: Any) -> bool:
    # Whoever holds a PIL image has imported Pillow: arrays need not wait for that import.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _from_file(file: BinaryIO, *, do_convert_rgb: bool, apply_exif: bool, keep_fractions: bool) -> Array:
    from PIL import ImageOps

    image, name = identified(file), shown(file)
    with pillow_errors(name):
        image.load()
        refuse_bombs(image)  # an icon's header, for one, may say less than what lies in it
        if apply_exif and image.format != HEIF:
            # In place, because two copies of the largest image and its array would be more than 1 GB.
            ImageOps.exif_transpose(image, in_place=True)
    return _from_pil(image, name, do_convert_rgb=do_convert_rgb, apply_exif=False, keep_fractions=keep_fractions)


def _from_pil(
    image: "Image.Image", name: str, *, do_convert_rgb: bool, apply_exif: bool, keep_fractions: bool
) -> Array:
    from PIL import ImageOps

    if image.mode not in _MODES + _DEEP_MODES:
        raise ValueError(
            f"Expected an image of a mode that Pillow converts to RGB; {name} has mode {image.mode!r}. Convert it "
            "first, and pass its values as an array of uint8."
        )
    if 0 in image.size:
        raise ValueError(f"Expected an image with pixels; {name} has {image.width} x {image.height}.")
    with pillow_errors(name):
        image.load()
        if apply_exif and image.format != HEIF:
            image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP_MODES:
        channels = 3 if do_convert_rgb else 1
        return _from_deep(image, name, channels=channels, keep_fractions=keep_fractions)
    if image.mode == "La":
        image = image.convert("LA")  # the only mode that Pillow makes of it
    with pillow_errors(name):
        return _pixels(image, do_convert_rgb=do_convert_rgb)


def _pixels(image: "Image.Image", *, do_convert_rgb: bool) -> Array:
    """Bytes (height, width, channels) of a PIL image; if they are converted, 3 channels with alpha laid on white."""
    from PIL import Image

    channels = 3 if do_convert_rgb else len(image.getbands())
    wanted = "RGB" if do_convert_rgb else "L" if image.mode == "1" else image.mode
    array = np.empty((image.height, image.width, channels), np.uint8)
    for place, tile in _tiles(image):
        if do_convert_rgb and image.has_transparency_data:
            white = Image.new("RGBA", tile.size, (255, 255, 255, 255))
            tile = Image.alpha_composite(white, tile.convert("RGBA"))
        if tile.mode != wanted:
            tile = tile.convert(wanted)
        array[place] = np.asarray(tile).reshape(tile.height, tile.width, channels)
    return array


def _tiles(image: "Image.Image") -> Iterator[tuple[tuple[slice, slice], "Image.Image"]]:
    """Where each part of an image lies, and the part: each step of all of the largest takes hundreds of MB."""
    for top in range(0, image.height, 1024):
        for left in range(0, image.width, 1024):
            right, bottom = min(left + 1024, image.width), min(top + 1024, image.height)
            yield (slice(top, bottom), slice(left, right)), image.crop((left, top, right, bottom))


def _from_deep(image: "Image.Image", name: str, *, channels: int, keep_fractions: bool) -> Array:
    """Bytes, or fractions, (height, width, channels) of a gray PIL image with more than 8 bits."""

    def values() -> Iterator[Array]:
        return (np.asarray(tile) for _, tile in _tiles(image))

    deep = next(values()).dtype.itemsize == 2
    rule = Rule(np.uint8, _from_16_bits) if deep else _rule(values, name, keep_fractions)
    white = np.array(255 if rule.dtype == np.uint8 else 1, rule.dtype)
    transparent = image.info.get("transparency")
    array = np.empty((image.height, image.width, channels), rule.dtype)
    for place, tile in _tiles(image):
        gray = rule.convert(np.asarray(tile))
        # A PNG may name one gray as see-through; it lies on white, as alpha does.
        gray = gray if transparent is None else np.where(np.asarray(tile) == transparent, white, gray)
        array[place] = gray[:, :, None]
    return array


def _from_16_bits(values: Array) -> Array:
    return np.rint(values / 257.0).astype(np.uint8)


def _as_bytes(array: Array, name: str, keep_fractions: bool = False) -> Array:
    """Numbers as uint8, or fractions as float32, by the rule of `load_image`; or a ValueError that says what came."""
    if array.dtype == np.uint8:
        return array
    # Of all at once, float64 would take 8 times the memory.
    flags: Any = ("external_loop", "buffered")

    def values() -> Iterator[Array]:
        with np.nditer([array], flags, [["readonly"]], buffersize=2**20) as parts:
            yield from parts

    rule = _rule(values, name, keep_fractions)
    found = np.empty_like(array, rule.dtype, subok=False)
    with np.nditer((array, found), flags, [["readonly"], ["writeonly"]], buffersize=2**20) as both:
        for part, place in both:
            place[...] = rule.convert(part)
    return found


class Rule(NamedTuple):
    """How numbers become pixels, and of which dtype."""

    dtype: Any
    convert: Callable[[Array], Array]


def _rule(parts: Callable[[], Iterable[Array]], name: str, keep_fractions: bool) -> Rule:
    """The rule of `load_image` for the numbers of an array, whose parts come as often as asked."""
    dtype = next(iter(parts())).dtype
    if dtype == np.bool_:
        return Rule(np.uint8, lambda values: values * np.uint8(255))
    low, high = np.min([values.min() for values in parts()]), np.max([values.max() for values in parts()])
    expected = f"Expected {name} to hold whole numbers in 0..255, or floats in 0..1; got {dtype} in {low}..{high}"
    if not (low >= 0 and high <= 255):
        remedy = "Scale them first (16 bits: divide by 257 and round), or pass what is normalized as pixel_values."
        raise ValueError(f"{expected}. {remedy}")
    if dtype.kind != "f":
        return Rule(np.uint8, lambda values: values.astype(np.uint8))
    if keep_fractions and high <= 1:
        return Rule(np.float32, lambda values: values.astype(np.float32))
    if all(np.allclose(values, np.trunc(values)) for values in parts()):
        if high == 1:
            raise ValueError(
                f"{expected}, which could be white or 1 of 255. Pass booleans or multiply by 255 if 1 is white, and "
                "convert to uint8 if not."
            )
        return Rule(np.uint8, lambda values: values.astype(np.uint8))
    if high > 1:
        raise ValueError(f"{expected}, not all whole. Round them and convert to uint8, or divide by 255.")
    return Rule(np.uint8, bytes_of)


def bytes_of(fractions: Array) -> Array:
    """Floats in 0..1 as bytes: transformers multiplies in float64 and rounds to float32 before it cuts."""
    return (fractions.astype(np.float64) * 255).astype(np.float32).astype(np.uint8)


def _from_array(image: Any, *, do_convert_rgb: bool, input_data_format: str | None, keep_fractions: bool) -> Array:
    array = as_numpy(real("the image", image))
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"Expected an image of shape (height, width), (height, width, channels) or (channels, height, width); "
            f"got {array.shape}."
        )
    array = _as_bytes(array, "the image", keep_fractions)
    if array.ndim == 2:
        array = array[:, :, None]  # (height, width, 1)
    elif _channels_first(array.shape, input_data_format):
        array = array.transpose(1, 2, 0)  # (height, width, channels)
    channels = array.shape[2]
    if not do_convert_rgb or channels == 3:
        return array
    if channels == 1:
        return array.repeat(3, axis=2)  # (height, width, 3)
    if channels == 4:
        rgb = np.empty((*array.shape[:2], 3), array.dtype)
        for top in range(0, array.shape[0], 256):  # in strips, because float64 takes 8 times the memory
            rgb[top : top + 256] = _on_white(array[top : top + 256])
        return rgb
    raise ValueError(
        f"Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, got {channels} in shape {tuple(image.shape)}. Choose the "
        "channels, or set do_convert_rgb=False to keep them as they are."
    )


def _on_white(array: Array) -> Array:
    white = 255.0 if array.dtype == np.uint8 else 1.0
    alpha = array[:, :, 3:] / white  # (height, width, 1)
    mixed = array[:, :, :3] * alpha + white * (1.0 - alpha)  # (height, width, 3)
    return np.rint(mixed).astype(np.uint8) if array.dtype == np.uint8 else mixed


def _channels_first(shape: tuple[int, ...], input_data_format: str | None) -> bool:
    if input_data_format is not None:
        if checks.choice("input_data_format", input_data_format, DATA_FORMATS) == "none":
            raise ValueError(
                f"input_data_format='none' means (height, width), got an array of shape {shape}. Say 'channels_last' "
                "or 'channels_first', or take one channel."
            )
        return input_data_format == "channels_first"
    first, last = shape[0] in (1, 3, 4), shape[2] in (1, 3, 4)
    if first == last:
        raise ValueError(
            f"Cannot tell the channel axis of shape {shape}: {'both' if first else 'neither'} the first "
            f"{'and' if first else 'nor'} the last axis has 1, 3 or 4 entries. Say it with "
            "input_data_format='channels_last' or 'channels_first'."
        )
    return first
