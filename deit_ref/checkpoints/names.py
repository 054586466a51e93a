"""How files call the arrays of `deit_ref.weights`, and how they lay them out.

"Stored names" are the ones on disk, without prefix. There are two layouts:

- `ORIGINAL`, the original repository's and timm's, and so DINO's and DINOv2's. Our names are the same.
- `HUGGINGFACE`, transformers'. Versions 4 and 5 name the parts of a block differently in memory; on disk both write the
  names of version 4. A file saved by hand (`torch.save`, `safetensors.torch.save_file`) has those of version 5. Models
  with a head put "deit.", "vit." or "dinov2." before everything but the head.

The prefix is whatever stands before the patch embedding, of which every model has one: "module.", "_orig_mod.",
"model.", "teacher.backbone." and the like need no list. Behind it torch puts words of its own, where blocks alone are
compiled, say: `_WRAPPERS`.

Source: transformers, models/deit/modeling_deit.py of 4.57 and 5.23, models/dinov2/modeling_dinov2.py of 5.23;
facebookresearch/deit, models.py; facebookresearch/dinov2, models/vision_transformer.py; timm, vision_transformer.py.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from deit_ref import checks

EMBEDDINGS = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}

# Ours, the stored name, the name in memory of transformers 5. Names are looked up whole and never rewritten piece
# by piece: "attention.output.dense" (the projection after the heads) ends in "output.dense" (the mlp's second layer).
BLOCK = (
    ("norm1", "layernorm_before", "layernorm_before"),
    ("attn.q", "attention.attention.query", "attention.q_proj"),
    ("attn.k", "attention.attention.key", "attention.k_proj"),
    ("attn.v", "attention.attention.value", "attention.v_proj"),
    ("attn.proj", "attention.output.dense", "attention.o_proj"),
    ("norm2", "layernorm_after", "layernorm_after"),
    ("mlp.fc1", "intermediate.dense", "mlp.fc1"),
    ("mlp.fc2", "output.dense", "mlp.fc2"),
)
_STORED_PARTS = {ours: stored for ours, stored, _ in BLOCK}
_STORED_FROM_V5 = {v5: stored for _, stored, v5 in BLOCK} | {"norm1": "layernorm_before", "norm2": "layernorm_after"}

# What only one task has. The class head of a teacher model is not the head of a classification model: the first was
# trained beside a second head, and transformers, too, gives the two different names.
HEADS = {
    "features": {"pooler": "pooler.dense"},
    "classification": {"head": "classifier"},
    "classification-with-teacher": {"head": "cls_classifier", "head_dist": "distillation_classifier"},
    "masked-image-modeling": {"decoder": "decoder.0"},
}

_IN_BLOCK = re.compile(r"(?:encoder\.layer|layers|blocks)\.(\d+)\.(.+)\.(weight|bias)")

# DINOv2 trains its blocks in chunks: blocks.<chunk>.<block>, where the block's number counts through all chunks.
_CHUNK = re.compile(r"blocks\.\d+\.(\d+\.)")

# What torch.compile, FSDP and activation checkpointing call a part that they have wrapped.
_WRAPPERS = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
_WRAPPED = re.compile(rf"(?<![^.]){_WRAPPERS}")

# A linear map and tanh between the class token and the head, in old files of timm: what transformers calls a pooler.
# No DeiT has one before its head.
PRE_LOGITS = "pre_logits.fc"


class Layout(NamedTuple):
    """What readers need to know of a layout.

    Attributes:
        stored_name: from a name in a file to the stored name; an unknown name stays.
        stored_parts: (our name, task) to the stored names of what makes up that array.
        stored_shapes: (our names and shapes, task) to stored names and shapes.
        heads_of: stored names to those of heads, pooler and decoder, each with the task that it belongs to.
        layer_norm_eps: what files without a config were trained with.
    """

    stored_name: Callable[[str], str]
    stored_parts: Callable[[str, str], tuple[str, ...]]
    stored_shapes: Callable[[Mapping[str, tuple[int, ...]], str], dict[str, tuple[int, ...]]]
    heads_of: Callable[[Iterable[str]], dict[str, str]]
    layer_norm_eps: float


def layout_of(file_names: Iterable[str]) -> tuple[Layout, str]:
    """The layout of a file with these names in it, and the prefix, found by the one name of the patch embedding.

    Raises:
        ValueError: there is no such name, or more than one.
    """
    listed = list(file_names)
    found = [place for name in listed if (place := anchored(name))]
    if not found:
        raise ValueError(
            f"No tensor is called {' or '.join(ANCHORS)}, as in every ViT that is read here; there are "
            f"{checks.some(listed) or 'none at all'}: expected a DeiT or a plain ViT."
        )
    if len(found) > 1:
        prefixes = checks.some(repr(prefix) for _, prefix in found)
        raise ValueError(f"There are {len(found)} models, with the prefixes {prefixes}: save one of them alone.")
    return found[0]


def anchored(name: str) -> tuple[Layout, str] | None:
    """The layout and the prefix of a patch embedding; None for all other names.

    >>> anchored("model._orig_mod.patch_embed._orig_mod.proj.weight")[1]
    'model._orig_mod.'
    """
    bare = unwrapped(name)
    for anchor, layout in ANCHORS.items():
        if bare.endswith(anchor):
            pattern = rf"\.(?:{_WRAPPERS})*".join(map(re.escape, anchor.split(".")))
            if match := re.fullmatch(rf"(.*\.|){pattern}", name, re.DOTALL):
                return layout, match[1]
    return None


def unwrapped(name: str) -> str:
    """The name without what torch puts between its parts.

    >>> unwrapped("blocks.3._orig_mod.norm1.weight")
    'blocks.3.norm1.weight'
    """
    return _WRAPPED.sub("", name) if "_mod" in name else name  # a file may have a million names


def without_prefix(name: str, prefix: str, layout: Layout) -> str | None:
    """The name behind the prefix; of a head, which transformers puts beside the model. None belongs to neither.

    >>> without_prefix("module.cls_classifier.bias", "module.deit.", HUGGINGFACE)
    'cls_classifier.bias'
    >>> without_prefix("module.head.mlp.0.bias", "module.backbone.", ORIGINAL) is None
    True
    """
    if name.startswith(prefix):
        return unwrapped(name.removeprefix(prefix))
    outer = prefix[: prefix[:-1].rfind(".") + 1]
    beside = name.removeprefix(outer)
    return beside if layout is HUGGINGFACE and name.startswith(outer) and heads_of([beside]) else None


def stored_name(name: str) -> str:
    """The name of version 4, from either version's spelling or DINOv2's; an unknown name stays.

    >>> stored_name("layers.3.attention.o_proj.weight")
    'encoder.layer.3.attention.output.dense.weight'
    """
    if (match := _IN_BLOCK.fullmatch(name)) and not name.startswith("blocks."):
        i, part, kind = match.groups()
        return f"encoder.layer.{i}.{_STORED_FROM_V5.get(part, part)}.{kind}"
    return name


def stored_parts(name: str, task: str) -> tuple[str, ...]:
    """The stored names of what makes up our array `name`: query, key and value for qkv, else one.

    >>> stored_parts("blocks.3.attn.proj.weight", "features")
    ('encoder.layer.3.attention.output.dense.weight',)
    """
    if name in EMBEDDINGS:
        return (EMBEDDINGS[name],)
    module, kind = name.rsplit(".", 1)
    if module.startswith("blocks."):
        _, i, part = module.split(".", 2)
        parts = ("attn.q", "attn.k", "attn.v") if part == "attn.qkv" else (part,)
        return tuple(f"encoder.layer.{i}.{_STORED_PARTS[part]}.{kind}" for part in parts)
    return (f"{(EMBEDDINGS | HEADS[task])[module]}.{kind}",)


def stored_shapes(shapes: Mapping[str, tuple[int, ...]], task: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `array_shapes` as they are stored."""
    stored = {}
    for name, shape in shapes.items():
        parts = stored_parts(name, task)
        for part in parts:
            # A 1x1 convolution in transformers; to us the linear map that it is.
            stored[part] = (*shape, 1, 1) if name == "decoder.weight" else (shape[0] // len(parts), *shape[1:])
    return stored


def join_parts(name: str, parts: list[Any]) -> Any:
    """Our array `name` from what is stored: query, key and value become the rows of qkv, in this order."""
    if name == "decoder.weight" and parts[0].ndim == 4:
        return parts[0][:, :, 0, 0]  # (stride_height * stride_width * channels, dim)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def split_parts(name: str, array: Any, task: str) -> dict[str, Any]:
    """The inverse of `join_parts`, under stored names."""
    parts = stored_parts(name, task)
    if name == "decoder.weight":
        return {parts[0]: array[:, :, None, None]}  # (stride_height * stride_width * channels, dim, 1, 1)
    return dict(zip(parts, np.split(array, len(parts)), strict=True))


def prefixed(stored: str, task: str, *, distilled: bool) -> str:
    """The name on disk: models with a head put "deit." or "vit." before everything but the head."""
    is_head = any(stored.startswith(f"{head}.") for head in HEADS[task].values())
    if task == "features" or is_head:
        return stored
    return ("deit." if distilled else "vit.") + stored


def heads_of(stored: Iterable[str]) -> dict[str, str]:
    """The arrays of heads, poolers and decoders among these, each with the task that it belongs to."""
    owners = {
        f"{head}.{kind}": task
        for task, heads in HEADS.items()
        for head in heads.values()
        for kind in ("weight", "bias")
    }
    return {name: owners[name] for name in stored if name in owners}


def original_name(name: str) -> str:
    """The name without the chunk that a block was trained in.

    >>> original_name("blocks.1.7.attn.qkv.weight")
    'blocks.7.attn.qkv.weight'
    """
    return _CHUNK.sub(r"blocks.\1", name) if name.startswith("blocks.") else name


def original_parts(name: str, _: str) -> tuple[str, ...]:
    """The one stored name of our array `name`."""
    return (name.replace("pooler.", f"{PRE_LOGITS}.") if name.startswith("pooler.") else name,)


def original_shapes(shapes: Mapping[str, tuple[int, ...]], task: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `array_shapes` as they are stored."""
    return {original_parts(name, task)[0]: shape for name, shape in shapes.items()}


def original_heads_of(stored: Iterable[str]) -> dict[str, str]:
    """As `heads_of`; here a class head has one name, and a second head beside it makes it a teacher model's."""
    listed = list(stored)
    teacher = any(name.startswith("head_dist.") for name in listed)
    owners = {
        "head": "classification-with-teacher" if teacher else "classification",
        "head_dist": "classification-with-teacher",
        PRE_LOGITS: "features",
        "decoder": "masked-image-modeling",
    }
    owner = {name: owners.get(name.removesuffix(".weight").removesuffix(".bias")) for name in listed}
    return {name: task for name, task in owner.items() if task}


def tasks_of(owners: Iterable[str]) -> list[str]:
    """The tasks, in the order of `HEADS`, that heads of these tasks make possible; a pooler is not a head."""
    found = set(owners)
    return [task for task in HEADS if task in found and task != "features"]


def num_blocks(stored: Iterable[str]) -> int:
    """How many encoder blocks these arrays belong to."""
    return len({match.group(1) for name in stored if (match := _IN_BLOCK.fullmatch(name))})


HUGGINGFACE = Layout(stored_name, stored_parts, stored_shapes, heads_of, layer_norm_eps=1e-12)
ORIGINAL = Layout(original_name, original_parts, original_shapes, original_heads_of, layer_norm_eps=1e-6)

# By the name of the patch embedding a model is found in a file, whatever stands before it.
ANCHORS = {"patch_embed.proj.weight": ORIGINAL, f"{EMBEDDINGS['patch_embed.proj']}.weight": HUGGINGFACE}
