"""Recipes: how a model is trained, as the columns of the paper's tables read.

Source: Touvron et al. 2021, table 9 and section 6; main.py of facebookresearch/deit, which decides where the paper is
silent; Xie et al. 2022 (SimMIM), section 4.1, for masked pre-training.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from deit_ref import checks
from deit_ref.config import SOFT_DIVISIONS, DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.variants import VARIANTS

TASKS = ("classification", "masked-image-modeling", "teacher")
DISTILLATIONS = ("none", "soft", "hard")
OPTIMIZERS = ("adamw", "muon", "sgd")
SCHEDULES = ("cosine", "line")
CROPS = ("resized", "padded", "none")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. The defaults are DeiT's own, for ImageNet; what the paper knows nothing of is off, and says so.

    Attributes:
        task: what is learned: "classification"; "masked-image-modeling" (SimMIM); or "teacher", the convolutional
            network, learned from labels.
        model: a name in `MODELS`; not used by the task "teacher".
        image_size: pixels of a side.
        apply_exif: whether photos are turned as their EXIF orientation says, while the weights learn and wherever they
            are used later; None means as the weights say that training begins with, and no for new ones.
        epochs: how often each photo is seen, on average.
        batch_size: photos per step, on all processes together.
        optimizer: "adamw"; "muon": Muon for the matrices of the blocks, AdamW for the rest; "sgd": with Nesterov's
            momentum of 0.85, where the biases of a teacher's norms learn 64 times as fast. The paper knows AdamW alone.
        learning_rate: the highest, for a batch of `learning_rate_batch`; it grows in proportion to the batch.
        learning_rate_batch: None takes `learning_rate` as it stands.
        warmup_epochs: until then the rate rises from `warmup_learning_rate` in a line, afterwards it falls to
            `min_learning_rate`. These two do not grow with the batch.
        schedule: how it falls, along half a "cosine" or in a "line".
        layer_decay: what each block gets of the learning rate of the block above it, from 0 to 1; heads get all of it.
            Below 1 what a checkpoint has learned is changed less, the nearer to the photo. 0 trains the heads alone.
        weight_decay: of matrices; biases, norms, tokens and positions have none.
        clip_norm: longest gradient, or None.
        label_smoothing: share of a label that is spread evenly over all classes.
        dropout, attention_dropout: probabilities, of hidden states and of attention.
        drop_path: probability that the last block's branch is left out (stochastic depth); earlier blocks less.
        ema_decay: of the averaged weights, the ones that are evaluated; None keeps no average. The paper has none;
            main.py keeps one of 0.99996 beside the model, and evaluates the model.
        ema_warmup: whether the average starts with a short memory, `min(ema_decay, (1 + step) / (10 + step))`.
        crop: "resized": a random part in a random shape, resized; "padded": shifted by up to `padding` pixels;
            "none": as in evaluation.
        padding: pixels.
        flip: probability of a mirror image.
        alternate_flip: whether that is drawn in the first epoch alone, and from then on each photo is mirrored in every
            other epoch: two epochs then show both sides of all photos.
        shrunk_share: share of the epochs, the first ones, in which photos have three quarters of `image_size` a side,
            so that a step takes about half as long; a DeiT's positions are interpolated for them, and its teacher sees
            them as they were.
        repeats: how often a photo stands in one epoch, each time augmented anew (repeated augmentation); an epoch
            keeps its length, and so sees fewer photos.
        rand_augment: number of operations of RandAugment; 0 is none.
        magnitude: their strength, 0 to 10.
        surround: probability that a photo is cut out, resized and put somewhere on another ground.
        jitter: probability that saturation, contrast and brightness change.
        gray: probability that a photo loses its colors. A teacher sees photos without these three and without erasing,
            if one of the three is on: it names what is shown, and need not know it on any ground.
        erasing: probability that a rectangle is replaced by noise.
        mixup, cutmix: parameters of the Beta distribution that draws the share of the other image; 0 turns one off.
        mix_probability: of a batch to be mixed at all.
        mix_switch: share of cutmix, where both are on.
        distillation: "none", "soft" or "hard".
        alpha: the weight of the teacher's term in the loss.
        tau: temperature of soft distillation.
        soft_division: what its divergence is divided by: "entries" as in the released code; "images" as in equation 2,
            which makes the teacher as many times as heavy as there are classes.
        shared_targets: whether every head learns from labels and teacher alike, instead of one from each; a model with
            one head can learn from a teacher in no other way. For comparison, as in the paper's table 3.
        mask_ratio: share of the patches that are hidden.
        mask_block: side of a hidden square, in patches.
    """

    task: str = "classification"
    model: str = "deit-small-patch16-224"
    image_size: int = 224
    apply_exif: bool | None = None
    epochs: int = 300
    batch_size: int = 1024
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    learning_rate_batch: int | None = 512
    warmup_epochs: float = 5
    warmup_learning_rate: float = 1e-6
    min_learning_rate: float = 1e-5
    schedule: str = "cosine"
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float | None = None
    label_smoothing: float = 0.1
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.1
    ema_decay: float | None = None
    ema_warmup: bool = False
    crop: str = "resized"
    padding: int = 4
    flip: float = 0.5
    alternate_flip: bool = False
    shrunk_share: float = 0.0
    repeats: int = 3
    rand_augment: int = 2
    magnitude: int = 9
    surround: float = 0.0
    jitter: float = 0.0
    gray: float = 0.0
    erasing: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0
    mix_probability: float = 1.0
    mix_switch: float = 0.5
    distillation: str = "none"
    alpha: float = 0.5
    tau: float = 1.0
    soft_division: str = "entries"
    shared_targets: bool = False
    mask_ratio: float = 0.6
    mask_block: int = 1

    def __post_init__(self) -> None:
        checks.choice("task", self.task, TASKS)
        checks.choice("model", self.model, MODELS)
        checks.choice("optimizer", self.optimizer, OPTIMIZERS)
        checks.choice("schedule", self.schedule, SCHEDULES)
        checks.choice("crop", self.crop, CROPS)
        checks.choice("distillation", self.distillation, DISTILLATIONS)
        checks.choice("soft_division", self.soft_division, SOFT_DIVISIONS)
        checks.boolean("shared_targets", self.shared_targets)
        for name in ("image_size", "epochs", "batch_size", "repeats", "mask_block"):
            checks.integer(name, getattr(self, name))
        for name in ("padding", "rand_augment", "magnitude"):
            checks.integer(name, getattr(self, name), minimum=0)
        for name in ("label_smoothing", "dropout", "attention_dropout", "drop_path"):
            checks.number(name, getattr(self, name), low=0, high=1)
        for name in ("flip", "shrunk_share", "surround", "jitter", "gray", "erasing", "mix_probability", "mix_switch"):
            checks.fraction(name, getattr(self, name))
        for name in ("alpha", "mask_ratio", "layer_decay"):
            checks.fraction(name, getattr(self, name))
        for name in ("learning_rate", "warmup_epochs", "warmup_learning_rate", "min_learning_rate", "weight_decay"):
            checks.number(name, getattr(self, name), low=0, high=math.inf)
        for name in ("mixup", "cutmix"):
            checks.number(name, getattr(self, name), low=0, high=math.inf)
        checks.number("tau", self.tau, low=0, high=math.inf, includes_low=False)
        if self.learning_rate_batch is not None:
            checks.integer("learning_rate_batch", self.learning_rate_batch)
        if self.clip_norm is not None:
            checks.number("clip_norm", self.clip_norm, low=0, high=math.inf, includes_low=False)
        if self.ema_decay is not None:
            checks.number("ema_decay", self.ema_decay, low=0, high=1)
        for name in ("ema_warmup", "alternate_flip"):
            checks.boolean(name, getattr(self, name))
        if self.apply_exif is not None:
            checks.boolean("apply_exif", self.apply_exif)
        if self.distillation != "none" and self.task != "classification":
            raise ValueError(
                f"distillation={self.distillation!r} needs task='classification', got {self.task!r}: use 'none'."
            )
        if self.shrunk_share and self.task == "masked-image-modeling":
            raise ValueError(
                f"shrunk_share={self.shrunk_share:g} needs task='teacher' or 'classification', got {self.task!r}, "
                "whose masks are of one size: use 0."
            )

    def with_changes(self, **changes: Any) -> "Recipe":
        """The same recipe with other values, which are checked."""
        unknown = [name for name in changes if name not in FIELDS]
        if unknown:
            close = checks.did_you_mean(unknown[0], FIELDS)
            raise ValueError(f"A recipe has no {checks.some(unknown)}: expected some of {', '.join(FIELDS)}.{close}")
        return dataclasses.replace(self, **changes)

    def of_size(self, image_size: int, given: Collection[str] = ()) -> "Recipe":
        """The same recipe for photos of another size, shifted by the same share of it; what was given stays."""
        padding = round(self.padding * image_size / self.image_size)
        sizes = {"image_size": image_size, "padding": padding}
        return (
            self if "image_size" in given else self.with_changes(**{k: v for k, v in sizes.items() if k not in given})
        )

    @property
    def scaled_learning_rate(self) -> float:
        """The highest learning rate of this batch size."""
        if self.learning_rate_batch is None:
            return self.learning_rate
        return self.learning_rate * self.batch_size / self.learning_rate_batch

    @property
    def shrunk_size(self) -> int:
        """Pixels of a side in the first `shrunk_share` of the epochs."""
        return self.image_size * 3 // 4

    @property
    def image_processing(self) -> ImageProcessing:
        """What evaluation does to a photo: the original repository's, without its margin on small images."""
        processing = ImageProcessing.original(self.image_size)
        if self.image_size < 224:
            processing = dataclasses.replace(processing, size={"shortest_edge": self.image_size}, crop_rounding="floor")
        return dataclasses.replace(processing, apply_exif=bool(self.apply_exif))


def _small(dim: int, depth: int, *, patch: int = 4, distilled: bool = True) -> DeiTConfig:
    return DeiTConfig(
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=dim // 32,
        intermediate_size=4 * dim,
        image_size=32,
        patch_size=patch,
        encoder_stride=patch,
        layer_norm_eps=1e-6,
        num_labels=10,
        distilled=distilled,
    )


MODELS: Mapping[str, DeiTConfig] = {
    **VARIANTS,
    "cifar10": _small(128, 6),
    "cifar10-small": _small(64, 4),
    "cifar10-small-one-token": _small(64, 4, distilled=False),
}
FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))

# What all cifar10 recipes share. They are ours, not the paper's: chosen for what two cores learn in some hours. Unlike
# the paper's: Muon instead of AdamW, a gradient that is clipped, an average of the weights, half of the stochastic
# depth; photos that are shifted instead of cut and resized, each once an epoch, without RandAugment, and unless a
# recipe says otherwise without erasing.
_CIFAR10 = Recipe(
    model="cifar10",
    image_size=32,
    batch_size=128,
    optimizer="muon",
    learning_rate=2e-3,
    learning_rate_batch=None,
    warmup_learning_rate=0.0,
    min_learning_rate=0.0,
    clip_norm=1.0,
    drop_path=0.05,
    ema_decay=0.999,
    ema_warmup=True,
    crop="padded",
    repeats=1,
    rand_augment=0,
    erasing=0.0,
)

RECIPES: Mapping[str, Recipe] = {
    "deit-300": Recipe(),
    "deit-300-distilled": Recipe(model="deit-small-distilled-patch16-224", distillation="hard"),
    "deit-384-finetune": Recipe(
        model="deit-base-distilled-patch16-384",
        image_size=384,
        epochs=30,
        batch_size=512,
        learning_rate=5e-6,
        warmup_learning_rate=1e-6,
        min_learning_rate=5e-6,
        weight_decay=1e-8,
    ),
    "cifar10-teacher": _CIFAR10.with_changes(
        task="teacher",
        epochs=28,
        batch_size=128,
        optimizer="sgd",
        learning_rate=1.5,
        learning_rate_batch=1024,
        schedule="line",
        warmup_epochs=6,
        warmup_learning_rate=0.04,
        weight_decay=1.3e-3,
        clip_norm=None,
        label_smoothing=0.2,
        drop_path=0.0,
        padding=2,
        alternate_flip=True,
        shrunk_share=0.6,
        mixup=0.0,
        cutmix=0.0,
    ),
    # Beside what all share: grounds and colors that vary, of which the paper has nothing, and a teacher who does not
    # see them (the paper's sees what the student sees); photos of 24 pixels in most epochs, which saves a quarter
    # of the time (the paper grows them once, after training); half of the batches are mixed, and the paper's are all.
    "cifar10-distilled": _CIFAR10.with_changes(
        epochs=60,
        warmup_epochs=3,
        shrunk_share=0.7,
        distillation="hard",
        surround=0.4,
        jitter=0.3,
        gray=0.05,
        erasing=0.25,
        mix_probability=0.5,
    ),
    "cifar10-simmim": _CIFAR10.with_changes(
        task="masked-image-modeling", epochs=20, warmup_epochs=2, mixup=0.0, cutmix=0.0, mask_block=2, drop_path=0.0
    ),
    "cifar10-finetune": _CIFAR10.with_changes(epochs=10, learning_rate=5e-4, warmup_epochs=1),
    "own-photos": _CIFAR10.with_changes(
        epochs=30,
        batch_size=16,
        optimizer="adamw",
        learning_rate=2e-3,
        warmup_epochs=3,
        layer_decay=0.5,
        ema_decay=0.99,
        mixup=0.0,
        cutmix=0.0,
    ),
    "cifar10-table": _CIFAR10.with_changes(model="cifar10-small", epochs=10, warmup_epochs=1),
}
