"""The files of the original repository and of timm: a bare state_dict, or one among what training needs to go on.

facebookresearch/deit publishes {"model": state_dict}; its training writes optimizer, lr_scheduler, epoch, model_ema,
scaler and args beside it. timm calls the two "state_dict" and "state_dict_ema".

Source: facebookresearch/deit, main.py; timm, utils/checkpoint_saver.py.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints import names
from deit_ref.checkpoints.files import StoredArray, logger
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import for_channels

# The part of a training file that each revision reads.
PARTS = {None: ("model", "state_dict"), "ema": ("model_ema", "state_dict_ema")}

# The length of a head in every published DeiT.
HEAD_DIM = 64


def read_headers(file: Path, revision: str | None) -> list[StoredArray]:
    """Every tensor of the file's state_dict, unread.

    Args:
        file: written by `torch.save`.
        revision: None, or "ema" for the averaged weights of a training file.

    Raises:
        ValueError: the file cannot be read, or holds no such state_dict.
    """
    from deit_ref.checkpoints.pickle_program import Tensor
    from deit_ref.checkpoints.pickle_reader import read_program, stored_array

    values = read_program(file)
    if not isinstance(values, dict):
        kind = "a single tensor" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{file} must hold a state_dict, got {kind}: save model.state_dict().")
    parts = {
        revision: values[name]
        for revision, listed in PARTS.items()
        for name in listed
        if isinstance(values.get(name), dict)
    }
    if revision not in parts and (parts or revision):
        has = " and ".join("the model's" if part is None else "averaged" for part in parts) or "only one set of"
        wanted = "no averaged weights (model_ema)" if revision else "no weights called model or state_dict"
        raise ValueError(f"{file} has {wanted}: it has {has} weights; choose with revision= (None or 'ema').")
    state = parts[revision] if parts else values
    if wrong := [str(name)[:80] for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{file}: a state_dict holds tensors alone, this one also {checks.some(wrong)}.")
    return [stored_array(file, str(name), tensor) for name, tensor in state.items()]


def guessed_config(source: Any, shapes: Mapping[str, tuple[int, ...]], layout: names.Layout) -> DeiTConfig:
    """The config of a file without config.json; what shapes do not tell is guessed, and said in a log line.

    Args:
        source: for the log.
        shapes: of the stored names.
        layout: of the file.

    Raises:
        ValueError: a tensor is missing that tells a size, or what should be square is not.
    """

    def shape(name: str, axes: int) -> tuple[int, ...]:
        stored = layout.stored_parts(name, "features")[0]
        found = shapes.get(stored, ())
        if len(found) != axes:
            raise ValueError(
                f"{stored} with {axes} axes would tell the model's sizes, there is {found or 'no such tensor'}: pass "
                "config=deit_ref.DeiTConfig(...)."
            )
        return found

    dim, channels, patch_height, patch_width = shape("patch_embed.proj.weight", 4)
    distilled = layout.stored_parts("dist_token", "features")[0] in shapes
    side = _square_root(
        shape("pos_embed", 3)[1] - (2 if distilled else 1), "The position embeddings are for {} patches"
    )
    blocks = names.num_blocks(shapes)
    sizes: dict[str, Any] = {}
    for name, task in layout.heads_of(shapes).items():
        if name.endswith(".weight"):
            if task == "features":
                sizes["pooler_output_size"] = shapes[name][0] if shapes[name] else 0
            elif task == "masked-image-modeling":
                pixels = (shapes[name] or (0,))[0] // max(channels, 1)
                sizes["encoder_stride"] = _square_root(pixels, "The decoder draws {} pixels per token")
            else:
                sizes["num_labels"] = shapes[name][0] if shapes[name] else 0
    if dim % HEAD_DIM:
        raise ValueError(
            f"The number of heads stands in no tensor, and hidden_size {dim} is no multiple of {HEAD_DIM} to guess it "
            "from: pass config=deit_ref.DeiTConfig(...)."
        )
    config = DeiTConfig(
        hidden_size=dim,
        num_hidden_layers=blocks,
        num_attention_heads=dim // HEAD_DIM,
        intermediate_size=shape("blocks.0.mlp.fc1.weight", 2)[0] if blocks else 4 * dim,
        layer_norm_eps=layout.layer_norm_eps,
        image_size=side * patch_height if patch_height == patch_width else (side * patch_height, side * patch_width),
        patch_size=patch_height if patch_height == patch_width else (patch_height, patch_width),
        num_channels=channels,
        qkv_bias=not blocks or layout.stored_parts("blocks.0.attn.qkv.bias", "features")[0] in shapes,
        distilled=distilled,
        **sizes,
    )
    logger().warning("%s has no config; its shapes say %s.", source, config)
    logger().warning("Guessed: num_attention_heads = hidden_size / %d = %d.", HEAD_DIM, config.num_attention_heads)
    origin = "original" if layout is names.ORIGINAL else "transformers'"
    logger().warning("Guessed: layer_norm_eps = %g, as for %s names.", config.layer_norm_eps, origin)
    logger().warning("Guessed: hidden_act = %s, pooler_act = %s.", config.hidden_act, config.pooler_act)
    return config


def guessed_processing(config: DeiTConfig) -> ImageProcessing | None:
    """How the original repository evaluates at this image size, said in a log line; None if it is not square."""
    height, width = config.image_shape
    if height != width:
        return None
    logger().warning("Guessed: images are processed by ImageProcessing.original(%d).", height)
    return for_channels(ImageProcessing.original(height), config)


def check_pre_logits(stored: Mapping[str, Any], task: str) -> None:
    """Refuse a classifier with a layer before its head: dropping that layer would silently change every answer.

    Raises:
        ValueError: there is such a layer and the task is not "features".
    """
    if task != "features" and any(name.startswith(f"{names.PRE_LOGITS}.") for name in stored):
        raise ValueError(
            f"There is a layer {names.PRE_LOGITS} before the head, which no DeiT has: only task='features' can be "
            "read, and then it is the pooler."
        )


def _square_root(number: int, what: str) -> int:
    side = math.isqrt(max(number, 0))
    if side < 1 or side * side != number:
        raise ValueError(f"{what.format(number)}, which is no square: pass config=deit_ref.DeiTConfig(...).")
    return side
