"""The weights of a DeiT: one tree of frozen dataclasses, the same for both backends.

Field names and orientation are those of the original checkpoints (facebookresearch/deit, timm), so that
`weights.blocks[3].attn.qkv.weight` is the tensor called `blocks.3.attn.qkv.weight` there. Leaves are NumPy
arrays or torch tensors.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from deit_ref import checks
from deit_ref.arrays import BACKENDS, as_numpy, numpy_dtype, to_torch
from deit_ref.config import PUBLISHED, TASKS, DeiTConfig
from deit_ref.image_processing import AN_IMAGE_PROCESSING, IMAGENET_MEAN, IMAGENET_STD, ImageProcessing

Tree = TypeVar("Tree")  # weights of a whole model or of a part


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x W^T + b. weight: (out, in); for the patch embedding (dim, channels, patch_height, patch_width)."""

    weight: Any
    bias: Any = None


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """weight, bias: (dim,), the paper's gamma and beta."""

    weight: Any
    bias: Any


@dataclass(frozen=True, eq=False)
class PatchEmbed:
    """proj: one linear map from a patch's pixels to a token."""

    proj: Linear


@dataclass(frozen=True, eq=False)
class Attention:
    """qkv: weight (3 * dim, dim), rows q, then k, then v, and in each head by head. proj: (dim, dim)."""

    qkv: Linear
    proj: Linear


@dataclass(frozen=True, eq=False)
class Mlp:
    """fc1: (intermediate_size, dim). fc2: (dim, intermediate_size)."""

    fc1: Linear
    fc2: Linear


@dataclass(frozen=True, eq=False)
class Block:
    """One encoder block: norm, attention, norm, mlp."""

    norm1: LayerNorm
    attn: Attention
    norm2: LayerNorm
    mlp: Mlp


@dataclass(frozen=True, eq=False)
class DeiTWeights:
    """All weights of a model, and what is needed to use them.

    Attributes:
        config, image_processing, class_names: travel with the arrays; class_names may be None.
        task: one of "features", "classification", "classification-with-teacher", "masked-image-modeling".
        patch_embed: pixels to tokens.
        cls_token, dist_token, mask_token: (1, 1, dim); None where the model has none.
        pos_embed: (1, prefix tokens + patches, dim).
        blocks: one Block per layer.
        norm: the last layer norm.
        pooler: (pooler_output_size, dim), features only, or None.
        head, head_dist: (num_labels, dim), from the class and the distillation token, or None.
        decoder: (stride_height * stride_width * channels, dim), masked image modeling only.

    Raises:
        ValueError: the arrays are not those of the config and the task (blocks and biases may be left out), or not of
            one backend, or tensors not of one dtype, or there is not one class name per label.
    """

    config: DeiTConfig
    task: str
    image_processing: ImageProcessing
    class_names: tuple[str, ...] | None
    patch_embed: PatchEmbed
    cls_token: Any
    dist_token: Any
    mask_token: Any
    pos_embed: Any
    blocks: tuple[Block, ...]
    norm: LayerNorm
    pooler: Linear | None
    head: Linear | None
    head_dist: Linear | None
    decoder: Linear | None

    def __post_init__(self) -> None:
        checks.instance("config", self.config, DeiTConfig, "a DeiTConfig")
        checks.instance("image_processing", self.image_processing, ImageProcessing, AN_IMAGE_PROCESSING)
        if self.class_names is not None:
            names = checks.texts("class_names", self.class_names, each="one per label")
            if len(names) != self.config.num_labels:
                raise ValueError(
                    f"class_names must hold {self.config.num_labels} names, one per label; got {len(names)}."
                )
            if not isinstance(self.class_names, tuple):
                object.__setattr__(self, "class_names", names)
        checks.instance("blocks", self.blocks, list | tuple, "a tuple of Blocks")
        object.__setattr__(self, "blocks", tuple(self.blocks))
        arrays = dict(named_arrays(self))
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) and not checks.is_tensor(array):
                raise ValueError(f"weights must be arrays or tensors, got {checks.brief(array)} as {name}.")
        # NumPy computes with several dtypes, torch does not.
        kinds = {array.dtype if checks.is_tensor(array) else "NumPy": name for name, array in arrays.items()}
        if len(kinds) > 1:
            listed = ", ".join(f"{kind} in {name}" for kind, name in kinds.items())
            raise ValueError(f"weights must be of one backend, and tensors of one dtype; got {listed}: convert them.")
        config = self.config
        if len(self.blocks) != config.num_hidden_layers:  # a model may be tried without some
            config = replace(config, num_hidden_layers=len(self.blocks))
        optional = {"pooler": self.pooler is not None, "mask_token": self.mask_token is not None}
        shapes = array_shapes(config, self.task, **optional)
        # A linear map goes without its bias, a norm does not.
        needed = {
            name: shapes[name] for name in shapes if name in arrays or "norm" in name or not name.endswith("bias")
        }
        check_shapes(needed, {name: tuple(array.shape) for name, array in arrays.items()})

    def __repr__(self) -> str:
        return (
            f"DeiTWeights({self.task}, {self.num_parameters:,} parameters, {type(self.pos_embed).__name__} "
            f"{self.pos_embed.dtype}, {len(self.blocks)} blocks of dim {self.config.hidden_size})"
        )

    @property
    def num_parameters(self) -> int:
        """How many numbers the model has learned."""
        return sum(int(np.prod(array.shape)) for _, array in named_arrays(self))

    def to(self, backend: str, *, device: Any = None, dtype: Any = None) -> "DeiTWeights":
        """The same weights as arrays of the other backend, or of another dtype or on another device.

        Args:
            backend: "numpy" or "torch".
            device: of torch, such as "cuda"; None leaves tensors where they are and puts NumPy arrays on the CPU.
            dtype: "float32", "float64", and in torch also "float16" and "bfloat16", or the backend's own dtype
                object; None keeps the dtype.

        Raises:
            ValueError: unknown backend or dtype, a device for NumPy, or torch is not installed.
        """
        checks.choice("backend", backend, BACKENDS)
        if backend == "torch":
            return map_weights(lambda array: to_torch(array, device=device, dtype=dtype), self)
        if device is not None:
            raise ValueError(
                f"NumPy arrays have no device, got device={checks.brief(device)}: leave it out or use backend='torch'."
            )
        wanted = numpy_dtype(dtype)
        return map_weights(lambda array: as_numpy(array).astype(wanted or as_numpy(array).dtype), self)


NO_ARRAYS = ("config", "task", "image_processing", "class_names")


def named_arrays(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every array of the tree with its name, such as ("blocks.0.attn.qkv.weight", array), in a fixed order."""
    entries = enumerate(tree) if isinstance(tree, tuple) else vars(tree).items()
    for name, child in entries:
        if is_dataclass(child) or isinstance(child, tuple):
            if name not in NO_ARRAYS:
                yield from named_arrays(child, f"{prefix}{name}.")
        elif child is not None and name not in NO_ARRAYS:
            yield f"{prefix}{name}", child


def map_weights(function: Callable[..., Any], weights: Tree, *others: Tree) -> Tree:
    """The same tree with `function` applied to every array, and to those at its place in the others.

    Raises:
        ValueError: another tree holds other arrays.
    """
    shapes, *rest = ({name: tuple(a.shape) for name, a in named_arrays(tree)} for tree in (weights, *others))
    for others_shapes in rest:
        check_shapes(shapes, others_shapes)

    def mapped(tree: Any, *rest: Any) -> Any:
        if isinstance(tree, tuple):
            return tuple(map(mapped, tree, *rest))
        if not is_dataclass(tree):
            return tree if tree is None else function(tree, *rest)
        kind: Any = type(tree)
        parts = vars(tree).items()
        return kind(
            **{
                name: child if name in NO_ARRAYS else mapped(child, *(getattr(other, name) for other in rest))
                for name, child in parts
            }
        )

    found: Tree = mapped(weights, *others)
    return found


def array_shapes(
    config: DeiTConfig, task: str, *, pooler: bool = True, mask_token: bool = False
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that a model of this config and task has.

    Args:
        config: the sizes.
        task: one of `deit_ref.config.TASKS`.
        pooler: whether there is a pooler; only the features task can have one.
        mask_token: whether there is a mask token; masked image modeling always has one.
    """
    checks.choice("task", task, TASKS)
    if task == "classification-with-teacher" and not config.distilled:
        raise ValueError(
            'The task "classification-with-teacher" needs a distillation token: use a config with distilled=True, or '
            'the task "classification".'
        )
    dim, hidden = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (dim, config.num_channels, *config.patch_shape),
        "patch_embed.proj.bias": (dim,),
        "cls_token": (1, 1, dim),
    }
    if config.distilled:
        shapes["dist_token"] = (1, 1, dim)
    if mask_token or task == "masked-image-modeling":
        shapes["mask_token"] = (1, 1, dim)
    shapes["pos_embed"] = (1, config.num_prefix_tokens + config.num_patches, dim)

    def linear(name: str, out_features: int, in_features: int, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (out_features, in_features)
        if bias:
            shapes[f"{name}.bias"] = (out_features,)

    def layer_norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (dim,)

    for i in range(config.num_hidden_layers):
        layer_norm(f"blocks.{i}.norm1")
        linear(f"blocks.{i}.attn.qkv", 3 * dim, dim, bias=config.qkv_bias)
        linear(f"blocks.{i}.attn.proj", dim, dim)
        layer_norm(f"blocks.{i}.norm2")
        linear(f"blocks.{i}.mlp.fc1", hidden, dim)
        linear(f"blocks.{i}.mlp.fc2", dim, hidden)
    layer_norm("norm")
    if task == "features" and pooler:
        assert config.pooler_output_size is not None
        linear("pooler", config.pooler_output_size, dim)
    if task.startswith("classification") and config.num_labels:
        linear("head", config.num_labels, dim)
    if task == "classification-with-teacher" and config.num_labels:
        linear("head_dist", config.num_labels, dim)
    if task == "masked-image-modeling":
        linear("decoder", config.stride_shape[0] * config.stride_shape[1] * config.num_channels, dim)
    return shapes


def weights_from_arrays(
    arrays: Mapping[str, Any],
    config: DeiTConfig,
    task: str,
    *,
    image_processing: ImageProcessing,
    class_names: tuple[str, ...] | None = None,
) -> DeiTWeights:
    """The tree built from arrays under the names of `array_shapes`.

    Raises:
        ValueError: a name is missing or unknown, or a shape is wrong; the message lists them.
    """
    expected = array_shapes(config, task, pooler="pooler.weight" in arrays, mask_token="mask_token" in arrays)
    check_shapes(expected, {name: tuple(array.shape) for name, array in arrays.items()})

    def linear(name: str) -> Linear:
        return Linear(arrays[f"{name}.weight"], arrays.get(f"{name}.bias"))

    def layer_norm(name: str) -> LayerNorm:
        return LayerNorm(arrays[f"{name}.weight"], arrays[f"{name}.bias"])

    def block(name: str) -> Block:
        return Block(
            norm1=layer_norm(f"{name}.norm1"),
            attn=Attention(qkv=linear(f"{name}.attn.qkv"), proj=linear(f"{name}.attn.proj")),
            norm2=layer_norm(f"{name}.norm2"),
            mlp=Mlp(fc1=linear(f"{name}.mlp.fc1"), fc2=linear(f"{name}.mlp.fc2")),
        )

    optional = {
        name: linear(name) if f"{name}.weight" in arrays else None
        for name in ("pooler", "head", "head_dist", "decoder")
    }
    return DeiTWeights(
        config=config,
        task=task,
        image_processing=image_processing,
        class_names=class_names,
        patch_embed=PatchEmbed(proj=linear("patch_embed.proj")),
        cls_token=arrays["cls_token"],
        dist_token=arrays.get("dist_token"),
        mask_token=arrays.get("mask_token"),
        pos_embed=arrays["pos_embed"],
        blocks=tuple(block(f"blocks.{i}") for i in range(config.num_hidden_layers)),
        norm=layer_norm("norm"),
        **optional,
    )


def check_shapes(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """Compare names and shapes; raise a ValueError that lists every difference."""
    problems = []
    if missing := [name for name in expected if name not in found]:
        problems.append(f"missing: {checks.some(missing)}")
    if unexpected := [name for name in found if name not in expected]:
        problems.append(f"unexpected: {checks.some(unexpected)}")
    wrong = [
        f"{name} has shape {found[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if wrong:
        problems.append(checks.some(wrong, most=4))
    if problems:
        raise ValueError(f"The weights do not fit the config; {'; '.join(problems)}. Check config and task.")


# Of new models: far beyond any that was trained, and little enough to be refused before the memory is full.
MAX_LAYERS = 2**12
MAX_PARAMETERS = 2**36


def init_weights(
    config: DeiTConfig | str,
    task: str,
    *,
    seed: int,
    pooler: bool = True,
    mask_token: bool = False,
    image_processing: ImageProcessing | None = None,
    class_names: Iterable[str] | None = None,
) -> DeiTWeights:
    """New float32 weights for training, drawn as the original repository draws all but its patch embedding.

    (That is a convolution there, and keeps torch's own start.) Matrices, tokens and positions come from a normal
    distribution of standard deviation `initializer_range`, cut at +-2 (not at two standard deviations); biases are 0,
    norms 1 and 0. transformers sets tokens and positions to 0 instead, which makes the class and the distillation token
    identical until training tells them apart.

    Args:
        config: the sizes, or the name of a published model in `VARIANTS`.
        task: "features", "classification", "classification-with-teacher" or "masked-image-modeling".
        seed: of the generator; the same seed gives the same weights.
        pooler, mask_token: as in `array_shapes`.
        image_processing: None means `ImageProcessing.huggingface` of the config's image size.
        class_names: one per label.

    Raises:
        ValueError: an argument is of the wrong kind, or the model would be larger than any that there is.

    Source: trunc_normal_ and VisionTransformer.init_weights in timm, as used by facebookresearch/deit.
    """
    if isinstance(config, str):
        config = PUBLISHED[checks.choice("config", config, PUBLISHED)]
    checks.instance("config", config, DeiTConfig, "a DeiTConfig or the name of a published model")
    pooler, mask_token = checks.boolean("pooler", pooler), checks.boolean("mask_token", mask_token)
    if image_processing is not None:
        checks.instance("image_processing", image_processing, ImageProcessing, AN_IMAGE_PROCESSING)
    if class_names is not None:
        class_names = checks.texts("class_names", class_names, each="one per label")
    small = config.num_hidden_layers <= MAX_LAYERS
    shapes = array_shapes(config, task, pooler=pooler, mask_token=mask_token) if small else {}
    if not small or sum(map(math.prod, shapes.values())) > MAX_PARAMETERS:
        raise ValueError(
            f"config must ask for at most {MAX_LAYERS:,} layers and {MAX_PARAMETERS:,} parameters; got "
            f"{checks.brief(config)}: choose smaller sizes."
        )
    arrays = draw_arrays(shapes, std=config.initializer_range, seed=seed)
    if image_processing is None:
        image_processing = default_image_processing(config)
    return weights_from_arrays(arrays, config, task, image_processing=image_processing, class_names=class_names)


def draw_arrays(shapes: Mapping[str, tuple[int, ...]], *, std: float, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """New float32 arrays of these names and shapes, drawn as `init_weights` says."""
    generator = np.random.default_rng(checks.integer("seed", seed, minimum=0))
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            arrays[name] = np.zeros(shape, np.float32)
        elif "norm" in name:
            arrays[name] = np.ones(shape, np.float32)
        else:
            arrays[name] = _truncated_normal(generator, shape, std)
    return arrays


def default_image_processing(config: DeiTConfig) -> ImageProcessing:
    """`ImageProcessing.huggingface` of the image size and channels; what is not square is squashed, not cropped."""
    height, width = config.image_shape
    if height == width:
        return for_channels(ImageProcessing.huggingface(height), config)
    squashed = ImageProcessing(
        size=(height, width), do_center_crop=False, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD
    )
    return for_channels(squashed, config)


def for_channels(processing: ImageProcessing, config: DeiTConfig) -> ImageProcessing:
    """The same steps for a model of other channels than RGB: photos keep theirs, normalized by ImageNet's averages."""
    if config.num_channels == 3:
        return processing
    mean, std = (round(sum(values) / 3, 3) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return replace(processing, do_convert_rgb=False, image_mean=mean, image_std=std)


def _truncated_normal(
    # Quoted: NumPy imports numpy.random when somebody names it, which takes as long as the rest of this package.
    generator: "np.random.Generator",
    shape: tuple[int, ...],
    std: float,
    bound: float = 2.0,
) -> np.ndarray[Any, Any]:
    values = generator.standard_normal(shape, dtype=np.float32) * np.float32(std)
    while (outside := np.abs(values) > bound).any():
        values[outside] = generator.standard_normal(int(outside.sum()), dtype=np.float32) * np.float32(std)
    return values
