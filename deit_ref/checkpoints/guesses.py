"""What is guessed where no config says it, each guess said in a log line."""

import math
from collections.abc import Mapping
from typing import Any

from deit_ref.checkpoints import names
from deit_ref.checkpoints.files import logger
from deit_ref.checkpoints.relatives import patches_of
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import for_channels

# Heads of the published models: 64 numbers each, but for the widths of so400m, ViT-H, g and G, which have 16 heads.
HEAD_DIM = 64
WIDE_HEADS = {1152: 16, 1280: 16, 1408: 16, 1664: 16}


def guessed_config(
    source: Any, shapes: Mapping[str, tuple[int, ...]], layout: names.Layout, told: Mapping[str, Any]
) -> DeiTConfig:
    """The config of a file without config.json; what shapes do not tell is guessed, and said in a log line.

    Args:
        source: for the log.
        shapes: of the stored names.
        layout: of the file.
        told: fields that are known from elsewhere, and so not guessed.

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
    patch = patch_height if patch_height == patch_width else (patch_height, patch_width)
    sizes: dict[str, Any] = {}
    if "image_size" not in told:
        patches = patches_of(shape("pos_embed", 3)[1], distilled=distilled)
        side = _square_root(patches, "The position embeddings are for {} patches")
        rows, columns = side * patch_height, side * patch_width
        sizes["image_size"] = rows if patch_height == patch_width else (rows, columns)
    blocks = names.num_blocks(shapes)
    for name, task in layout.heads_of(shapes).items():
        if name.endswith(".weight"):
            if task == "features":
                sizes["pooler_output_size"] = shapes[name][0] if shapes[name] else 0
            elif task == "masked-image-modeling":
                pixels = (shapes[name] or (0,))[0] // max(channels, 1)
                sizes["encoder_stride"] = _square_root(pixels, "The decoder draws {} pixels per token")
            else:
                sizes["num_labels"] = shapes[name][0] if shapes[name] else 0
    if "num_attention_heads" not in told and dim % HEAD_DIM:
        raise ValueError(
            f"The number of heads stands in no tensor, and hidden_size {dim} is not a multiple of {HEAD_DIM} to guess "
            "it from: pass config=deit_ref.DeiTConfig(...)."
        )
    eps, origin = layout.layer_norm_eps, "original" if layout is names.ORIGINAL else "transformers'"
    if layout is names.HUGGINGFACE and any(name.endswith(".layer_scale1.lambda1") for name in shapes):
        eps, origin = names.ORIGINAL.layer_norm_eps, "transformers' DINOv2"
    fields: dict[str, Any] = {
        "hidden_size": dim,
        "num_hidden_layers": blocks,
        "num_attention_heads": WIDE_HEADS.get(dim, dim // HEAD_DIM),
        "intermediate_size": shape("blocks.0.mlp.fc1.weight", 2)[0] if blocks else 4 * dim,
        "layer_norm_eps": eps,
        "patch_size": patch,
        "num_channels": channels,
        "qkv_bias": not blocks or layout.stored_parts("blocks.0.attn.qkv.bias", "features")[0] in shapes,
        "distilled": distilled,
        **sizes,
    }
    config = DeiTConfig(**{**fields, **told})
    say = logger().warning
    say("%s has %s config; its shapes say %s.", source, "timm's" if told else "no", config)
    if told:
        say("Told by config.json: %s.", ", ".join(f"{name} = {value}" for name, value in told.items()))
    if "num_attention_heads" not in told:
        rule = f"hidden_size / {HEAD_DIM}" if dim not in WIDE_HEADS else f"as in ViTs of hidden_size {dim}"
        say("Guessed: num_attention_heads = %s = %d.", rule, config.num_attention_heads)
    say("Guessed: layer_norm_eps = %g, as for %s names.", config.layer_norm_eps, origin)
    if "hidden_act" not in told:
        classifies = any(task.startswith("classification") for task in layout.heads_of(shapes).values())
        reads = ", and the head reads the class token, not a mean of patches" if classifies else ""
        say("Guessed: hidden_act = %s, pooler_act = %s%s.", config.hidden_act, config.pooler_act, reads)
    return config


def guessed_processing(config: DeiTConfig) -> ImageProcessing | None:
    """How the original repository evaluates at this image size, said in a log line; None if it is not square."""
    height, width = config.image_shape
    if height != width:
        return None
    logger().warning("Guessed: images are processed by ImageProcessing.original(%d).", height)
    return for_channels(ImageProcessing.original(height), config)


def _square_root(number: int, what: str) -> int:
    side = math.isqrt(max(number, 0))
    if side < 1 or side * side != number:
        raise ValueError(f"{what.format(number)}, which is not a square: pass config=deit_ref.DeiTConfig(...).")
    return side
