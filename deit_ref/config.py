"""The sizes of a model.

Source: transformers' DeiTConfig (names, defaults).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from deit_ref import checks

TASKS = ("features", "classification", "classification-with-teacher", "masked-image-modeling")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
SOFT_DIVISIONS = ("entries", "images")  # of soft distillation: see losses.soft_distillation

# The parameter-free names of transformers' ACT2FN, and "selu", which its documentation names and its code refuses.
ACTIVATION_NAMES = (
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh hardswish "
    "laplace leaky_relu linear mish quick_gelu relu relu2 relu6 selu sigmoid silu sqrtsoftplus swish tanh"
).split()

_WITH_REGISTERS = ("dinov2_with_registers", "dinov3_vit")


@dataclass(frozen=True)
class DeiTConfig:
    """Sizes and switches of one model; the defaults are those of transformers' DeiTConfig (DeiT-B, 224 pixels).

    Args:
        hidden_size: dim, the length of a token.
        num_hidden_layers: number of encoder blocks; 0 leaves the embeddings and the last norm.
        num_attention_heads: heads; divides hidden_size.
        intermediate_size: length of a token inside the mlp.
        hidden_act: one of `ACTIVATION_NAMES`.
        hidden_dropout_prob: after the embeddings and at the end of each branch, in [0, 1); acts with a generator.
        attention_probs_dropout_prob: on the attention probabilities, in [0, 1); acts with a generator.
        initializer_range: standard deviation of new weights.
        layer_norm_eps: 1e-12 in transformers' checkpoints, 1e-6 in the original ones: never mix them up.
        image_size: pixels, one number or (height, width); a multiple of patch_size.
        patch_size: pixels, one number or (height, width).
        num_channels: 3 for RGB.
        qkv_bias: whether queries, keys and values have a bias.
        encoder_stride: pixels per token that the masked-image decoder draws, one number or (height, width).
        pooler_output_size: None means hidden_size.
        pooler_act: one of `ACTIVATION_NAMES`.
        num_labels: number of classes.
        problem_type: one of `PROBLEM_TYPES`, or None: read from num_labels and the labels' dtype, each time.
        output_hidden_states, output_attentions: what `forward` returns when it is not told.
        distilled: True for DeiT (cls and dist token), False for plain ViT models (cls token only).

    Raises:
        ValueError: a field is out of range, or fields do not fit each other.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 16
    num_channels: int = 3
    qkv_bias: bool = True
    encoder_stride: int | tuple[int, int] = 16
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"
    num_labels: int = 2
    problem_type: str | None = None
    output_hidden_states: bool = False
    output_attentions: bool = False
    distilled: bool = True

    def __post_init__(self) -> None:
        def keep(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        if self.pooler_output_size is None:
            keep("pooler_output_size", self.hidden_size)
        for name in ("image_size", "patch_size", "encoder_stride"):
            shape = checks.pair(name, getattr(self, name))
            keep(name, shape if isinstance(getattr(self, name), list | tuple) else shape[0])
        for name in ("hidden_size", "num_attention_heads", "intermediate_size", "num_channels", "pooler_output_size"):
            keep(name, checks.integer(name, getattr(self, name)))
        for name in ("num_hidden_layers", "num_labels"):
            keep(name, checks.integer(name, getattr(self, name), minimum=0))
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps"):
            keep(name, checks.number(name, getattr(self, name), low=0, high=1))
        keep("initializer_range", checks.number("initializer_range", self.initializer_range, low=0, high=10))
        checks.choice("hidden_act", self.hidden_act, ACTIVATION_NAMES)
        checks.choice("pooler_act", self.pooler_act, ACTIVATION_NAMES)
        if self.problem_type is not None:
            checks.choice("problem_type", self.problem_type, PROBLEM_TYPES)
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            raise ValueError(
                "problem_type 'single_label_classification' needs at least 2 classes to choose from, got num_labels=1: "
                "take 2, or 'regression' for one number, or 'multi_label_classification' for yes or no."
            )
        for name in ("qkv_bias", "output_hidden_states", "output_attentions", "distilled"):
            keep(name, checks.boolean(name, getattr(self, name)))
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, got "
                f"{checks.brief(self.hidden_size)} and {checks.brief(self.num_attention_heads)}."
            )
        (height, width), (patch_height, patch_width) = self.image_shape, self.patch_shape
        if height % patch_height or width % patch_width:
            raise ValueError(
                f"image_size must be a multiple of patch_size, got {checks.size(height, width)} pixels and patches of "
                f"{checks.size(patch_height, patch_width)}: the last rows or columns would belong to no patch."
            )

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return checks.pair("image_size", self.image_size)

    @property
    def patch_shape(self) -> tuple[int, int]:
        """(height, width) of a patch in pixels."""
        return checks.pair("patch_size", self.patch_size)

    @property
    def stride_shape(self) -> tuple[int, int]:
        """(height, width) in pixels of what the masked-image decoder draws for one token."""
        return checks.pair("encoder_stride", self.encoder_stride)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches that the position embeddings were made for."""
        return self.image_shape[0] // self.patch_shape[0], self.image_shape[1] // self.patch_shape[1]

    @property
    def num_patches(self) -> int:
        """rows * columns."""
        return self.grid[0] * self.grid[1]

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches: cls and dist, or cls alone."""
        return 2 if self.distilled else 1

    @property
    def head_dim(self) -> int:
        """Length of one head's queries, keys and values."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DeiTConfig":
        """Read a transformers config.json; fields it lacks get their defaults, fields unknown here are left out.

        A DINOv2 is a plain ViT, once its layer scale is multiplied into its weights; `deit_ref.load_weights` does so.

        Raises:
            ValueError: model_type is none of "deit", "vit" and "dinov2", the mlp is gated, or a field is out of range.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"A config must be a JSON object, got {type(values).__name__}.")
        model_type = values.get("model_type", "deit")
        if model_type in _WITH_REGISTERS:
            raise ValueError(
                f"model_type {model_type!r} has register tokens between the class token and the patches, for which "
                "there is no place here: take a model without registers."
            )
        checks.choice("model_type", model_type, ("deit", "vit", "dinov2"))
        if model_type == "dinov2":
            values = _of_dinov2(values)
        known = {field.name for field in fields(cls)} - {"distilled"}
        chosen = {name: values[name] for name in known if values.get(name) is not None}
        # transformers derives the number of labels from their names, and so must we.
        if (names := values.get("id2label")) is not None:
            if not isinstance(names, Mapping):
                raise ValueError(f"id2label must map numbers to names, got {checks.brief(names)}.")
            chosen["num_labels"] = len(names)
        return cls(**chosen, distilled=model_type == "deit")

    def to_dict(self) -> dict[str, Any]:
        """The fields as transformers writes them; `from_dict` reads them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"model_type": "deit" if values.pop("distilled") else "vit", **values}


def _published(hidden_size: int, num_attention_heads: int, image_size: int, *, distilled: bool) -> DeiTConfig:
    return DeiTConfig(
        hidden_size=hidden_size,
        num_attention_heads=num_attention_heads,
        intermediate_size=4 * hidden_size,
        image_size=image_size,
        num_labels=1000,
        distilled=distilled,
    )


# The published models. Source: facebookresearch/deit, models.py and README_deit.md; eps as in transformers' files.
PUBLISHED: Mapping[str, DeiTConfig] = {
    "deit-tiny-patch16-224": _published(192, 3, 224, distilled=False),
    "deit-small-patch16-224": _published(384, 6, 224, distilled=False),
    "deit-base-patch16-224": _published(768, 12, 224, distilled=False),
    "deit-base-patch16-384": _published(768, 12, 384, distilled=False),
    "deit-tiny-distilled-patch16-224": _published(192, 3, 224, distilled=True),
    "deit-small-distilled-patch16-224": _published(384, 6, 224, distilled=True),
    "deit-base-distilled-patch16-224": _published(768, 12, 224, distilled=True),
    "deit-base-distilled-patch16-384": _published(768, 12, 384, distilled=True),
}


def _of_dinov2(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of transformers' Dinov2Config in the words of ViTConfig, with its defaults."""
    if values.get("use_swiglu_ffn"):
        raise ValueError(
            "use_swiglu_ffn is on, as in DINOv2's giant: its mlp is gated, where DeiT's is two linear maps with an "
            "activation between. Take S, B or L."
        )
    ratio = checks.number("mlp_ratio", values.get("mlp_ratio", 4), low=0, high=2**16, includes_low=False)
    width = checks.integer("hidden_size", values.get("hidden_size", 768))
    return {"layer_norm_eps": 1e-6, "patch_size": 14, **values, "intermediate_size": int(width * ratio)}
