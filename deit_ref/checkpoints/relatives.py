"""Relatives of DeiT: what some of them have that DeiT has not, multiplied into what it has, or refused with the reason.

DeiT III, DINO and DINOv2 (S, B, L, without registers) are a DeiT without distillation token but for three things:

- layer scale: a branch ends in x + gamma * (W a + b), which is a linear map again, of weight gamma W and bias gamma b;
- positions for the patches alone: the class token's position is then a row of zeros;
- a mask token (1, dim), of which pre-training alone has made use.

Source: facebookresearch/deit, models_v2.py (gamma_1, gamma_2); facebookresearch/dinov2, layers/block.py (ls1.gamma);
timm, vision_transformer.py (init_values, no_embed_class); transformers, models/dinov2/modeling_dinov2.py.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints import names
from deit_ref.checkpoints.names import Layout
from deit_ref.config import DeiTConfig

_SCALE = re.compile(
    r"(?:encoder\.layer|layers|blocks)\.(\d+)\.(?:gamma_([12])|ls([12])\.gamma|layer_scale([12])\.lambda1)"
)
_SCALED = {"1": "attn.proj", "2": "mlp.fc2"}

_GATED = (
    "the mlp is gated (SwiGLU, as in DINOv2's giant), where DeiT's is two linear maps with an activation between: take "
    "S, B or L"
)

# What no DeiT has, by a part of its names, and what would be wrong without it.
_FOREIGN = {
    r"(reg|register)_tokens?": "register tokens stand between the class token and the patches, and every token looks "
    "at them; neither the chapters nor the tree of weights has a place for them: take the variant without registers",
    r"mlp\.(w12|w3|weights_in|weights_out|gate_proj|up_proj|fc1_g)\.": _GATED,
    r"(^|\.)fc_norm\.": "the head reads the mean of the patch tokens (timm's global_pool='avg'), where DeiT's reads "
    "the class token: its logits would be others",
    r"(^|\.)attn_pool\.": "the head reads what a further attention pools, where DeiT's reads the class token",
    r"(^|\.)norm_pre\.": "there is a norm before the first block, as in CLIP, which no DeiT has",
    r"attn\.[qk]_norm\.": "queries and keys are normalized, which no DeiT does",
    r"relative_position_bias|rel_pos|attn\.[qv]_bias": "positions are relative, as in BEiT and Swin, where DeiT adds "
    "them to the tokens",
    r"lora_[AB]\.": "it holds an adapter beside the weights: merge the two first (merge_and_unload) and save the model",
}


class Extras(NamedTuple):
    """What is there besides a DeiT's own arrays, by stored names.

    Attributes:
        scales: of our modules, such as "blocks.3.attn.proj", the names of their layer scale.
        mask_token: the name of one that is not in our shape, and so DINOv2's; or None.
        no_class_position: whether the positions are those of the patches alone.
    """

    scales: Mapping[str, str]
    mask_token: str | None
    no_class_position: bool

    def scale_shapes(self, config: DeiTConfig) -> dict[str, tuple[int, ...]]:
        """Stored names and shapes of the layer scale."""
        return dict.fromkeys(self.scales.values(), (config.hidden_size,))

    def __str__(self) -> str:
        said = []
        if self.scales:
            said.append(f"layer scale is multiplied into {' and '.join(_SCALED.values())} of every block")
        if self.no_class_position:
            said.append("a row of zeros stands before pos_embed, where the class token has no position")
        if self.mask_token:
            said.append(f"{self.mask_token}, which pre-training alone uses, is left out")
        return "; ".join(said)


def check_relative(shapes: Mapping[str, tuple[int, ...]], layout: Layout) -> None:
    """Refuse a model that only looks like one of ours.

    Raises:
        ValueError: it has a part that changes every answer.
    """
    for name in shapes:
        for part, reason in _FOREIGN.items():
            if re.search(part, name):
                raise ValueError(f"{name} is not part of a DeiT: {reason}.")
    # timm gives the two halves of a gated mlp the name of the one linear map.
    first, second = (layout.stored_parts(f"blocks.0.mlp.{name}.weight", "features")[0] for name in ("fc1", "fc2"))
    if shapes.get(first, ())[:1] == tuple(2 * inputs for inputs in shapes.get(second, ())[1:2]) != ():
        raise ValueError(f"{first} has twice the rows that {second} has columns, so {_GATED}.")


def check_head(shapes: Mapping[str, tuple[int, ...]], layout: Layout, task: str) -> None:
    """Refuse a head that reads more than the class token.

    Raises:
        ValueError: there is a layer before the head, or the head reads the class token and the patches' mean, and the
            task is not "features".
    """
    if task == "features":
        return
    if any(name.startswith(f"{names.PRE_LOGITS}.") for name in shapes):
        raise ValueError(
            f"There is a layer {names.PRE_LOGITS} before the head, which no DeiT has: only task='features' can be "
            "read, and then it is the pooler."
        )
    if task != "classification":
        return
    head, norm = (layout.stored_parts(name, task)[0] for name in ("head.weight", "norm.weight"))
    if shapes.get(head, ())[1:] == tuple(2 * dim for dim in shapes.get(norm, ())) != ():
        raise ValueError(
            f"{head} reads the class token and the mean of the patch tokens, as in transformers' "
            "Dinov2ForImageClassification, where DeiT's head reads the class token alone: only task='features' can be "
            "read."
        )


def patches_of(positions: int, *, distilled: bool) -> int:
    """How many of so many positions belong to patches: all but those of the tokens before them, or all of them.

    >>> [patches_of(positions, distilled=False) for positions in (197, 196)], patches_of(198, distilled=True)
    ([196, 196], 196)
    """
    if distilled:
        return positions - 2
    no_class_position = _is_square(positions) and not _is_square(positions - 1)
    return positions if no_class_position else positions - 1


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def extras_of(shapes: Mapping[str, tuple[int, ...]], layout: Layout, config: DeiTConfig) -> Extras:
    """What these arrays hold besides a DeiT's of this config.

    Raises:
        ValueError: two arrays are the layer scale of one branch, or some branches have one and some have not.
    """
    scales: dict[str, str] = {}
    for name in shapes:
        if match := _SCALE.fullmatch(name):
            module = f"blocks.{match[1]}.{_SCALED[match[match.lastindex or 2]]}"
            if module in scales:
                raise ValueError(f"{scales[module]} and {name} are two spellings of one tensor: keep one of them.")
            scales[module] = name
    wanted = [f"blocks.{i}.{part}" for i in range(config.num_hidden_layers) for part in _SCALED.values()]
    if scales and (lacking := [module for module in wanted if module not in scales]):
        raise ValueError(f"There is no layer scale for {checks.some(lacking)}: download or save the model again.")
    mask, positions = (layout.stored_parts(name, "features")[0] for name in ("mask_token", "pos_embed"))
    return Extras(
        scales,
        mask if shapes.get(mask) == (1, config.hidden_size) else None,
        not config.distilled and shapes.get(positions, ())[1:2] == (config.num_patches,),
    )


def fold(arrays: dict[str, Any], scales: Mapping[str, Any], *, rows: int) -> None:
    """Multiply each module's layer scale into it, and put so many rows of zeros before the positions; in place."""
    for module, gamma in scales.items():
        arrays[f"{module}.weight"] = gamma[:, None] * arrays[f"{module}.weight"]  # (dim, inputs)
        arrays[f"{module}.bias"] = gamma * arrays[f"{module}.bias"]
    if rows:
        positions = arrays["pos_embed"]
        zeros = np.zeros((1, rows, positions.shape[2]), positions.dtype)
        arrays["pos_embed"] = np.concatenate([zeros, positions], axis=1)  # (1, rows + patches, dim)
