"""Batches: which photos a step sees, and how they are prepared.

Everything follows from the seed and the number of the step, so a run can go on at any step, bit for bit, without
having kept a random state.

Source: RASampler of facebookresearch/deit (repeated augmentation; Hoffer et al. 2020); the order of the augmentations
is that of timm's create_transform and engine.py. Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds on a single GPU") for
alternating mirror images; Hoffer et al. 2019 ("Mix & Match") for photos of several sizes.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.augmentation import erase, padded_crop, random_flip, random_resized_crop
from deit_ref.training.mixing import mix, smooth_labels
from deit_ref.training.prepared import kept, of_channels, prepared
from deit_ref.training.randaugment import rand_augment
from deit_ref.training.recipe import Recipe
from deit_ref.training.surroundings import jitter, surround, to_gray


class Batch(NamedTuple):
    """pixel_values: float32 (batch, channels, height, width), normalized. targets: (batch, classes), their sum is 1.

    for_teacher: what a teacher sees instead, the same photos mixed alike, at full size; None where it sees the same.
    """

    pixel_values: torch.Tensor
    targets: torch.Tensor
    for_teacher: torch.Tensor | None = None


def mean_and_std(processing: ImageProcessing, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers of the normalization, (channels or 1, 1, 1) each, for photos in 0..1."""
    mean, std = (torch.tensor(value, device=device) for value in (processing.image_mean, processing.image_std))
    return mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1)


def epoch_order(count: int, *, repeats: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """Which photo stands where in an epoch of `count` places: a permutation, each photo `repeats` times in a row."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.repeat(order, repeats)[:count]


def step_seed(*numbers: int) -> int:
    """One seed from several numbers, such as those of a run, a step and a process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class Batches:
    """The batches of a run: `batches(step)` is always the same for the same step.

    Args:
        images: the photos; unless parts of them are cut out, they are resized once and kept, see `prepared.kept`.
        recipe: batch size and augmentation.
        processing: its mean and std normalize the photos.
        channels: of the photos, as the model wants them.
        seed: of the run.
        device: where the batches are wanted.
        rank, world: of this process; a batch is divided among the processes.
    """

    def __init__(
        self,
        images: ImageSet,
        recipe: Recipe,
        processing: ImageProcessing,
        *,
        channels: int = 3,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if channels not in (1, 3):
            raise ValueError(f"Photos of 1 or 3 channels can be learned from, the weights want {channels}.")
        if recipe.batch_size % world:
            raise ValueError(f"batch_size {recipe.batch_size} must be a multiple of the {world} processes.")
        if len(images) < recipe.batch_size:
            raise ValueError(
                f"batch_size {recipe.batch_size} is more than the {len(images)} photos: choose a smaller one."
            )
        self.images, self.recipe, self.seed, self.device = of_channels(images, channels), recipe, seed, device
        self.mean, self.std = mean_and_std(processing, device)
        self.channels, self.rank, self.world = channels, rank, world
        self.steps_per_epoch = len(images) // recipe.batch_size
        self.labels = torch.from_numpy(images.labels)
        self.threads = ThreadPoolExecutor()
        if recipe.crop != "resized":  # parts of a photo are cut from the whole
            self.images = kept(prepared(self.images, processing)[0])

    def indices(self, step: int) -> np.ndarray[Any, Any]:
        """The photos of this process in a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = epoch_order(len(self.images), repeats=self.recipe.repeats, seed=self.seed, epoch=epoch)
        size = self.recipe.batch_size
        return order[place * size : (place + 1) * size][self.rank :: self.world]

    def __call__(self, step: int) -> Batch:
        recipe = self.recipe
        seed = step_seed(self.seed, 1, step, self.rank)
        generator = torch.Generator().manual_seed(seed)
        indices = self.indices(step)
        images = self._photos(indices, seed).to(self.device)  # (batch, channels, height, width), bytes
        labels = self.labels[torch.from_numpy(indices)]
        if recipe.crop == "padded":
            images = padded_crop(images, padding=recipe.padding, generator=generator)
        if recipe.alternate_flip:
            mirrored = torch.from_numpy(self._mirrored(step // self.steps_per_epoch)[indices]).to(self.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        else:
            images = random_flip(images, probability=recipe.flip, generator=generator)
        if recipe.rand_augment:
            colors = images.expand(-1, 3, -1, -1)  # what happens to gray happens to all three alike, but for the border
            colors = rand_augment(colors, num_ops=recipe.rand_augment, magnitude=recipe.magnitude, generator=generator)
            images = colors[:, : self.channels]
        x = images.float() / 255  # (batch, channels, height, width)
        varied = self._varied(x, generator)
        plain = [] if varied is x else [(x - self.mean) / self.std]
        x = erase((varied - self.mean) / self.std, probability=recipe.erasing, generator=generator)
        targets = smooth_labels(labels, num_classes=len(self.images.class_names), smoothing=recipe.label_smoothing)
        x, targets = mix(
            torch.cat([x, *plain], dim=1),  # mixed alike
            targets.to(self.device),
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            probability=recipe.mix_probability,
            switch=recipe.mix_switch,
            generator=generator,
        )
        x, for_teacher = x[:, : self.channels], x[:, self.channels :] if plain else None
        if step < recipe.shrunk_share * recipe.epochs * self.steps_per_epoch:
            for_teacher = x if for_teacher is None else for_teacher  # it knows photos of one size best
            x = F.interpolate(x, size=(recipe.shrunk_size,) * 2, mode="bilinear", antialias=True)
        return Batch(x, targets, for_teacher)

    def _varied(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Photos on other grounds, in other colors; these themselves, and nothing drawn, if the recipe wants none."""
        if self.recipe.surround:
            x = surround(x, probability=self.recipe.surround, generator=generator)
        if self.recipe.jitter:
            x = jitter(x, probability=self.recipe.jitter, generator=generator)
        if self.recipe.gray:
            x = to_gray(x, probability=self.recipe.gray, generator=generator)
        return x

    def _mirrored(self, epoch: int) -> np.ndarray[Any, Any]:
        """Which photos of all are mirrored in this epoch, where mirror images alternate."""
        at_first = np.random.default_rng(step_seed(self.seed, 4)).random(len(self.images)) < self.recipe.flip
        return at_first ^ (epoch % 2 == 1)

    def _photos(self, indices: np.ndarray[Any, Any], seed: int) -> torch.Tensor:
        size = (self.recipe.image_size, self.recipe.image_size)

        def photo(place: int) -> np.ndarray[Any, Any]:
            image = self.images.read(int(indices[place]))
            if self.recipe.crop != "resized":
                return image
            return random_resized_crop(image, size, generator=np.random.default_rng([seed, place]))

        photos = list(self.threads.map(photo, range(len(indices))))
        return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).contiguous()  # (batch, channels, height, width)
