"""ImageProcessing: what happens to a photo before the model sees it.

Source: transformers' DeiTImageProcessor (names, defaults), facebookresearch/deit (evaluation).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from deit_ref import checks

# Pillow's numbers, which preprocessor files use.
RESAMPLING = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

DATA_FORMATS = ("channels_last", "channels_first", "none")

# What it must be, for messages.
AN_IMAGE_PROCESSING = "an ImageProcessing, such as weights.image_processing or ImageProcessing.from_dict(...)"

# What preprocessor files call the two processors, in all versions of transformers.
PROCESSOR_TYPES = tuple(
    model + suffix
    for model in ("DeiT", "ViT", "Bit")  # Bit is DINOv2's
    for suffix in "ImageProcessor ImageProcessorFast ImageProcessorPil FeatureExtractor".split()
)

# Of an image that is made by a resize or a crop: what files ask for beyond it would only fill the memory.
MAX_PIXELS = 4096 * 4096

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# What the processors of other models take for fields that a file lacks, where it differs from DeiT's.
_DEFAULTS: Mapping[str, dict[str, Any]] = {
    "ViT": {"size": 224, "resample": "bilinear", "do_center_crop": False},
    "Bit": {
        "size": 224,
        "default_to_square": False,
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    },
}


@dataclass(frozen=True)
class ImageProcessing:
    """What happens to an image before the model sees it: resize, center crop, rescale, normalize.

    Parameters and defaults are those of transformers' DeiTImageProcessor. Published checkpoints carry their own
    values in preprocessor_config.json; `huggingface` and `original` give the two common ones.

    Args:
        do_resize: whether to resize.
        size: pixels after the resize. {"height": h, "width": w} or (h, w) squashes to that shape; the other forms keep
            the aspect, see `resized_shape`: {"shortest_edge": n}, {"shortest_edge": n, "longest_edge": m} and
            {"max_height": h, "max_width": w}. An int n means n x n, or the shortest edge when `default_to_square` is
            False.
        default_to_square: see size.
        resample: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos", or Pillow's number for it.
        do_center_crop: whether to cut out the middle; a smaller image is padded with zeros first.
        crop_size: pixels, an int, (h, w) or {"height": h, "width": w}.
        do_rescale: whether to multiply by rescale_factor. Without it, arrays of floats in 0..1 stay as they are, and
            bytes stay 0..255.
        rescale_factor: 1/255 takes 0..255 to 0..1.
        do_normalize: whether to subtract image_mean and divide by image_std, per channel.
        image_mean, image_std: a number for all channels, or one per channel.
        do_convert_rgb: whether images of other modes are turned to RGB (alpha is laid on white).
        input_data_format: "channels_last", "channels_first" or "none" (height, width) for arrays; None reads it from
            the shape.
        apply_exif: whether to turn a photo as its EXIF orientation says. transformers' `load_image`, and so its
            pipelines, always do; its processors do for paths, and not for open images and arrays.
        crop_rounding: where the crop starts when the margin is odd: "floor" as transformers, or "round" (half to
            even) as torchvision, and so the original repository.
        arithmetic: whose numbers to compute. "pillow": transformers' slow processor. "torchvision": its fast one, which
            resizes with weights of 16 bits (no box, no hamming), pads the smaller half first, rescales and normalizes
            in one step; bytes mostly differ by 1, but in images that shrink in height alone by far more.
        alpha: whether the last channel is alpha, by which Pillow multiplies the others while it resizes. It needs
            do_convert_rgb=False (which leaves RGBA as it is) and Pillow's arithmetic.
        pass_order: which of the two resize passes comes first: "pillow-13" decides by the sizes as Pillow 13 does,
            "pillow-12" is always horizontal first. Fixed here, never read from the installed Pillow. With torchvision's
            arithmetic it has no say: there it is always horizontal first.

    Raises:
        ValueError: a field is out of range.
    """

    do_resize: bool = True
    size: Any = 256
    default_to_square: bool = True
    resample: str = "bicubic"
    do_center_crop: bool = True
    crop_size: Any = 224
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] | float = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] | float = (0.5, 0.5, 0.5)
    do_convert_rgb: bool = True
    input_data_format: str | None = None
    apply_exif: bool = False
    crop_rounding: str = "floor"
    arithmetic: str = "pillow"
    alpha: bool = False
    pass_order: str = "pillow-13"

    def __post_init__(self) -> None:
        switches = "do_resize do_center_crop do_rescale do_normalize do_convert_rgb apply_exif default_to_square alpha"
        for name in switches.split():
            object.__setattr__(self, name, checks.boolean(name, getattr(self, name)))
        object.__setattr__(self, "size", _size("size", self.size, shortest_edge=not self.default_to_square))
        object.__setattr__(self, "crop_size", _size("crop_size", self.crop_size, shortest_edge=False))
        if "height" not in self.crop_size:
            raise ValueError(f"crop_size must be a height and a width, got {checks.brief(self.crop_size)}.")
        object.__setattr__(self, "resample", _resample(self.resample))
        supported_resample(self.resample, self.arithmetic)
        if self.alpha and (self.do_convert_rgb or self.arithmetic != "pillow"):
            raise ValueError(
                "alpha=True needs do_convert_rgb=False, because RGB has no alpha, and arithmetic='pillow', because "
                f"torchvision takes no account of it; got {self.do_convert_rgb} and {self.arithmetic!r}."
            )
        factor = checks.number("rescale_factor", self.rescale_factor, low=0, high=math.inf, includes_low=False)
        object.__setattr__(self, "rescale_factor", factor)
        object.__setattr__(self, "image_mean", _channel_values("image_mean", self.image_mean))
        object.__setattr__(self, "image_std", _channel_values("image_std", self.image_std))
        if self.image_std == 0 or (isinstance(self.image_std, tuple) and 0 in self.image_std):
            raise ValueError(
                f"image_std must not contain 0: the image is divided by it. Got {checks.brief(self.image_std)}."
            )
        if self.input_data_format is not None:
            checks.choice("input_data_format", self.input_data_format, DATA_FORMATS)
        checks.choice("crop_rounding", self.crop_rounding, ("floor", "round"))
        checks.choice("pass_order", self.pass_order, ("pillow-13", "pillow-12"))

    @property
    def crop_rule(self) -> str:
        """The rounding that `crop_start` of chapter 15 takes: the fast processor pads otherwise than the slow one."""
        fast = self.arithmetic == "torchvision" and self.crop_rounding == "floor"
        return "truncate" if fast else self.crop_rounding

    @classmethod
    def huggingface(cls, size: int = 224) -> "ImageProcessing":
        """As the published transformers checkpoints: squash to 256/224 of `size`, crop, ImageNet mean and std."""
        size = checks.integer("size", size)
        return cls(size=size * 256 // 224, crop_size=size, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD)

    @classmethod
    def original(cls, size: int = 224) -> "ImageProcessing":
        """As the original repository evaluates: shortest edge to 256/224 of `size`, crop, ImageNet mean and std."""
        size = checks.integer("size", size)
        return cls(
            size={"shortest_edge": size * 256 // 224},
            crop_size=size,
            crop_rounding="round",
            image_mean=IMAGENET_MEAN,
            image_std=IMAGENET_STD,
        )

    def resized_shape(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that an image of `height` x `width` pixels is resized to.

        - height and width: those.
        - shortest_edge n: the shorter edge is n, the longer one int(n * long / short).
        - shortest_edge n and longest_edge m: the same, but where the longer edge would exceed m, n becomes
          m * short / long, rounded for the shorter edge and cut to an integer after the product for the longer one.
        - max_height and max_width: the largest size inside both, of smaller images too; both edges cut to integers.

        Raises:
            ValueError: an edge would have no pixel, or the image more than `MAX_PIXELS`.

        Source: get_resize_output_image_size, get_size_with_aspect_ratio and get_image_size_for_max_height_width of
        transformers 5, with their roundings.
        """
        height, width = checks.integer("height", height), checks.integer("width", width)
        new_height, new_width = self._resized_shape(height, width)
        if min(new_height, new_width) < 1:
            raise ValueError(
                f"An image of {height} x {width} pixels would be resized to {new_height} x {new_width} by "
                f"size={self.size!r}, which leaves no pixel: crop it first, or give `size` a height and a width."
            )
        if new_height * new_width > MAX_PIXELS:
            raise ValueError(
                f"An image of {height} x {width} pixels would be resized to {new_height} x {new_width} by "
                f"size={self.size!r}, more than {MAX_PIXELS:,} pixels: crop it first, or choose a smaller `size`."
            )
        return new_height, new_width

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        if "height" in self.size:
            return self.size["height"], self.size["width"]
        if "max_height" in self.size:
            scale = min(self.size["max_height"] / height, self.size["max_width"] / width)
            return int(height * scale), int(width * scale)
        short, long = sorted((height, width))
        edge = exact = self.size["shortest_edge"]
        longest = self.size.get("longest_edge", math.inf)
        if long / short * edge > longest:
            exact = longest * short / long
            edge = round(exact)
        # An image whose shorter edge is right already is left alone, even where the longer one is a little too long.
        other = long if short == edge and "longest_edge" in self.size else int(exact * long / short)
        return (edge, other) if height <= width else (other, edge)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageProcessing":
        """Read a transformers preprocessor_config.json, also the old ones with plain numbers for sizes.

        Fields it lacks get the defaults of the processor it names, DeiT's, ViT's (224 pixels, bilinear, no crop) or
        Bit's, which DINOv2 takes (shortest edge 224, and its own mean and std);
        fields that say nothing about pixels are left out. The processor's name does not choose the arithmetic:
        "DeiTImageProcessor" is the slow processor in transformers 4 and the fast one in 5, so files of all names get
        "pillow" unless they hold `arithmetic`, which only this project writes.

        Raises:
            ValueError: the processor is another one, a field is out of range, or do_pad is on.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"A preprocessor config must be a JSON object, got {type(values).__name__}.")
        named = [values.get(name) for name in ("image_processor_type", "feature_extractor_type")]
        kind = next((name for name in named if name is not None), "DeiTImageProcessor")
        kind = checks.choice("image_processor_type", kind, PROCESSOR_TYPES)
        if checks.boolean("do_pad", values.get("do_pad") is not None and values["do_pad"]):
            raise ValueError("do_pad is on, but padding a batch to one size is not done here: remove it, and crop.")
        defaults = next((fields for model, fields in _DEFAULTS.items() if kind.startswith(model)), {})
        values = defaults | {name: value for name, value in values.items() if value is not None}
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """The fields as transformers writes them; those it does not know appear only when they are not the default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        ours = (
            "default_to_square do_convert_rgb apply_exif crop_rounding arithmetic alpha pass_order input_data_format"
        ).split()
        defaults = {field.name: field.default for field in fields(self)}
        kept = {name: value for name, value in values.items() if name not in ours or value != defaults[name]}
        kept["resample"] = RESAMPLING[self.resample]
        kept = {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
        return {"image_processor_type": "DeiTImageProcessor", **kept}


# The two arithmetics of a resize: transformers' slow processor takes Pillow, its fast one torchvision.
ARITHMETICS = ("pillow", "torchvision")


def supported_resample(resample: Any, arithmetic: Any) -> str:
    """The filter's name, which the arithmetic must know: torchvision has no box and no hamming."""
    checks.choice("resample", resample, RESAMPLING)
    if checks.choice("arithmetic", arithmetic, ARITHMETICS) == "torchvision" and resample in ("box", "hamming"):
        raise ValueError(
            f"resample={resample!r} is not known to arithmetic='torchvision', which has nearest, bilinear, bicubic and "
            "lanczos: choose one of those, or arithmetic='pillow'."
        )
    return str(resample)


# The sets of keys that `size` may have. transformers knows two more, and refuses both when it resizes.
SIZE_KEYS = (
    ("height", "width"),
    ("shortest_edge",),
    ("shortest_edge", "longest_edge"),
    ("max_height", "max_width"),
)


def _size(name: str, value: Any, *, shortest_edge: bool) -> dict[str, int]:
    if isinstance(value, Mapping):
        if set(value) not in map(set, SIZE_KEYS):
            sets = "; ".join(" and ".join(keys) for keys in SIZE_KEYS)
            raise ValueError(
                f"{name} must have one of these sets of keys: {sets}; got {checks.some(map(str, value)) or 'none'}."
            )
        size = {str(key): checks.integer(f"{name}[{key!r}]", pixels) for key, pixels in value.items()}
    elif shortest_edge and not isinstance(value, list | tuple):
        size = {"shortest_edge": checks.integer(name, value)}
    else:
        height, width = checks.pair(name, value)
        size = {"height": height, "width": width}
    if max(size.values()) > MAX_PIXELS or ("height" in size and math.prod(size.values()) > MAX_PIXELS):
        raise ValueError(f"{name} must ask for at most {MAX_PIXELS:,} pixels, got {checks.brief(size)}.")
    return size


def _resample(value: Any) -> str:
    filters = {pillow_number: name for name, pillow_number in RESAMPLING.items()}
    found = checks.plain(value)
    if isinstance(found, int) and not isinstance(found, bool) and found in filters:
        return filters[found]
    return checks.choice("resample", value, RESAMPLING)


def _channel_values(name: str, value: Any) -> tuple[float, ...] | float:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"{name} must be a number or one number per channel, got {checks.brief(value)}.")
        return tuple(
            checks.number(f"{name}[{i}]", entry, low=-math.inf, high=math.inf) for i, entry in enumerate(value)
        )
    return checks.number(name, value, low=-math.inf, high=math.inf)
