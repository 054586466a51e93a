"""timm's config.json: what it tells of a model that no tensor tells.

It names an architecture of timm and what was changed of it, and so has none of transformers' fields: the sizes still
come from the shapes.

Source: timm, models/_hub.py (`save_config_for_hf`), data/transforms_factory.py (`transforms_imagenet_eval`).
"""

import math
from collections.abc import Mapping
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints.files import logger
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import IMAGENET_MEAN, IMAGENET_STD, ImageProcessing

# timm's names of activations; None is what its ViTs use.
_ACTIVATIONS = {
    None: "gelu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "selu": "selu",
    "leaky_relu": "leaky_relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hard_swish": "hardswish",
    "hardswish": "hardswish",
    "identity": "linear",
}

# Of model_args: what is read here, what shapes tell as well, and what acts in training alone.
_KNOWN = frozenset(
    "act_layer num_heads global_pool img_size patch_size in_chans num_classes embed_dim depth mlp_ratio qkv_bias "
    "proj_bias class_token no_embed_class init_values reg_tokens drop_rate pos_drop_rate patch_drop_rate "
    "proj_drop_rate attn_drop_rate drop_path_rate weight_init dynamic_img_size dynamic_img_pad "
    "strict_img_size".split()
)


def is_timm(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is timm's, or transformers' of a model that timm computes."""
    return "architecture" in values and values.get("model_type", "timm_wrapper") == "timm_wrapper"


def told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of DeiTConfig that it tells and that shapes do not, or not always.

    Raises:
        ValueError: the activation is one that is not known here, or a value is not a number.
    """
    arguments = _part(values, "model_args")
    act = arguments.get("act_layer", values.get("act_layer"))
    if not isinstance(act, str | None) or act not in _ACTIVATIONS:
        raise ValueError(
            f"act_layer={_shown(act)} is an activation that is not known here: expected one of "
            f"{', '.join(name for name in _ACTIVATIONS if name)}."
        )
    if unknown := [f"{name}={value!r}" for name, value in arguments.items() if name not in _KNOWN]:
        logger().warning("timm's model_args %s are not known here and may change the answers.", checks.some(unknown))
    fields: dict[str, Any] = {"hidden_act": _ACTIVATIONS[act]}
    if "num_heads" in arguments:
        fields["num_attention_heads"] = checks.integer("num_heads", arguments["num_heads"])
    if arguments.get("img_size") is not None:
        size = arguments["img_size"]
        shape = checks.pair("img_size", tuple(size) if isinstance(size, list) else size)
        fields["image_size"] = shape if shape[0] != shape[1] else shape[0]
    return fields


def check_head(values: Mapping[str, Any], task: str, classes: int | None) -> None:
    """Refuse a head that reads something else than the class token, or is for another number of classes.

    Args:
        values: of config.json; empty if timm has written none.
        task: what is read.
        classes: rows of the head in the file; None if somebody asks for others.

    Raises:
        ValueError: as said.
    """
    if not values or not task.startswith("classification"):
        return
    pool = _part(values, "model_args").get("global_pool", values.get("global_pool", "token"))
    if pool != "token":
        raise ValueError(
            f"global_pool is {_shown(pool)}, so the head reads other tokens than the class token, which DeiT's reads: "
            "only task='features' can be read."
        )
    said = values.get("num_classes")
    if None not in (said, classes) and said != classes:
        raise ValueError(
            f"num_classes is {_shown(said)}, and the head beside it has {classes} classes, so these are files of two "
            "models: download or save both again."
        )


def processing_of(values: Mapping[str, Any], config: DeiTConfig) -> ImageProcessing | None:
    """How timm evaluates this model at its image size; None if that is not told, or not possible here.

    Raises:
        ValueError: a value is out of range.
    """
    settings = _part(values, "pretrained_cfg")
    height, width = config.image_shape
    if height != width or not settings:
        return None
    mode = settings.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        logger().warning("crop_mode=%s pads photos, which is not done here: they are cropped.", _shown(mode))
        mode = "center"
    share = checks.number("crop_pct", settings.get("crop_pct") or 0.875, low=0, high=math.inf, includes_low=False)
    edge = math.floor(height / share)
    return ImageProcessing(
        size={"shortest_edge": edge} if mode == "center" else edge,
        crop_size=height,
        crop_rounding="round",
        resample=settings.get("interpolation") or "bilinear",
        image_mean=_numbers(settings.get("mean"), IMAGENET_MEAN),
        image_std=_numbers(settings.get("std"), IMAGENET_STD),
    )


def class_names(values: Mapping[str, Any], config: DeiTConfig) -> tuple[str, ...] | None:
    """What timm calls the classes, by their descriptions where there are any; None if it does not say.

    Raises:
        ValueError: a name is not text.
    """
    settings = _part(values, "pretrained_cfg")
    labels = values.get("label_names", settings.get("label_names"))
    words = values.get("label_descriptions", settings.get("label_descriptions"))
    placeholders = [f"LABEL_{i}" for i in range(config.num_labels)]
    if not isinstance(labels, list) or len(labels) != config.num_labels or labels == placeholders:
        return None
    if not all(isinstance(label, str) for label in labels):
        raise ValueError("label_names must be strings: download or save the model again.")
    return tuple(str(words.get(label, label)) if isinstance(words, dict) else label for label in labels)


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One of the objects in it."""
    part = values.get(name) or {}
    if not isinstance(part, Mapping):
        raise ValueError(f'"{name}" must be a JSON object, got {_shown(part)}: download or save the model again.')
    return part


def _shown(value: Any) -> str:
    return checks.one_line(repr(value), most=80)


def _numbers(value: Any, default: tuple[float, ...]) -> Any:
    return default if value is None else tuple(value) if isinstance(value, list) else value
