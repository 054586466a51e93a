"""Pictures of the second and the third part: masked images, what a decision rests on, and the way of the pixels."""

from typing import Any

import numpy as np
from inside_data import same_part

import deit_ref
from deit_ref.image_processing import ImageProcessing
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward.relevance import attention_relevance, saliency
from deit_ref.numpy_backend.image import center_crop
from deit_ref.numpy_backend.resize import resize as resized
from deit_ref.photos import bundled_photo
from deit_ref.plots import hide_patches, to_photos
from deit_ref.training.masking import random_masks
from pictures.parts import as_bytes, figure, lit, number, panel, percent, picture, stretched
from pictures.run import EYE, PHOTO, SHOWS, run, step, viewer

SEED = 1  # hides the nose and leaves an eye


def simmim(weights: Any) -> str:
    """A masked photo and the model's guess; the weights of the other bundled model, not those given."""
    del weights
    masked = deit_ref.load_weights("cifar10-simmim")
    config, processing = masked.config, masked.image_processing
    mask = random_masks(1, config.grid, ratio=0.6, block=2, generator=np.random.default_rng(SEED))
    trace = deit_ref.Trace()
    output = deit_ref.forward(masked, bundled_photo(PHOTO), bool_masked_pos=mask, trace=trace, backend="numpy")
    pixels = trace["pixel_values"]
    photo, guess = (to_photos(values, processing)[0] for values in (pixels, output.reconstruction))
    hidden = hide_patches(photo, mask[0], patch_shape=config.patch_shape)
    filled = hide_patches(photo, mask[0], patch_shape=config.patch_shape, behind=guess)
    where = hide_patches(np.zeros_like(photo), mask[0], patch_shape=config.patch_shape, behind=255)[:, :, 0] > 0
    plain = pixels[0][:, ~where].mean(axis=1)[:, None]  # the mean color of what is visible
    without = float(np.abs(pixels[0][:, where] - plain).mean())
    return figure(
        [
            panel("The photo", picture(photo, f"{SHOWS}, in few pixels")),
            panel("Its input", picture(hidden, "The same with most squares gray")),
            panel("Its guess in their place", picture(filled, "The gray squares filled with soft fur, eyes and nose")),
            panel("Its guess everywhere", picture(guess, "What the model draws for all patches, hidden or not")),
        ],
        f"{int(mask.sum())} of {mask.size} patches are hidden, in squares of 2 × 2, and the bundled "
        f"<code>cifar10-simmim</code> draws them. On the hidden pixels its masked L1 is {float(output.loss):.3f}; "
        f"guessing the mean color of what is visible would have cost {without:.3f}. What it draws for visible patches "
        "was never trained.",
        links={},
    )


def relevance(weights: Any) -> str:
    """Three answers to the question what the answer rests on."""
    r = run(weights)
    prefix, grid = weights.config.num_prefix_tokens, r.grid
    attentions = r.trace.matching("blocks.*.attention.probabilities")
    rollout = attention_rollout(attentions)[0, 0, prefix:].reshape(grid)
    (first, _), (second, _) = r.top(r.output.logits, 2)
    maps, slopes = [], []
    for name in (first, second):
        found = deit_ref.gradients(
            weights,
            bundled_photo(PHOTO),
            target=r.names.index(name),
            with_respect_to=("attentions", "pixel_values"),
            backend="numpy",
        )
        maps.append(attention_relevance(attentions, found.attentions)[0, 0, prefix:].reshape(grid))
        slopes.append(saliency(found.pixel_values)[0])
    alike = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]

    def glowing(values: Any, color: str, what: str) -> str:
        return picture(lit(r.seen, values, color), f"The photo, dark; {what} glows")

    block = len(r.attentions) - 1
    return figure(
        [
            panel("Rollout", glowing(rollout, "cls", "what rollout names"), "whatever the class"),
            panel(f"Relevance of {first}", glowing(maps[0], "cls", f"what speaks for {first}"), "its first answer"),
            panel(f"Relevance of {second}", glowing(maps[1], "cls", f"what speaks for {second}"), "its second answer"),
            panel(f"Saliency of {first}", glowing(slopes[0], "image", f"what pulls at {first}"), "pixel by pixel"),
        ],
        "Four maps of the same photo in the bundled model, each on a scale of its own; the first three are of the "
        f"class token. In rollout the brightest patch has {rollout.max() / rollout.min():.1f} times the share of the "
        f"darkest. The relevance of {first} and that of {second} have a correlation of {number(alike)}.",
        links={"rollout in the viewer": viewer(block, show="rollout")},
    )


def image(weights: Any) -> str:
    """What each step of preprocessing makes of the photo."""
    r = run(weights)
    steps = {name.removeprefix("images.0."): value for name, value in r.trace.items() if name.startswith("images.0.")}
    titles = {
        "resized": "1. Resized",
        "cropped": "2. Cropped",
        "rescaled": "3. Rescaled",
        "normalized": "4. Normalized",
    }
    panels = [
        panel(
            "The file",
            picture(r.photo, SHOWS, photo=True),
            f"{r.photo.shape[0]} × {r.photo.shape[1]}, {_range(r.photo)}",
        )
    ]
    for name, title in titles.items():
        value = steps[name]
        shown = {"rescaled": as_bytes(255 * value), "normalized": stretched(value)}.get(name, value)
        panels.append(
            panel(
                title,
                picture(shown, f"The photo, {name}"),
                f"{value.shape[0]} × {value.shape[1]}, {_range(value)}",
            )
        )
    normalized = steps["normalized"]
    return figure(
        panels,
        "The photo on its way into the bundled model: height × width, and the smallest and the largest number after "
        "each step. The last picture is drawn with the smallest number black and the largest white; these numbers have "
        f"a mean of {number(normalized.mean(dtype=np.float64))} and a standard deviation of "
        f"{number(normalized.std(dtype=np.float64))}.",
        links={name: step(f"images.0.{name}") for name in titles},
        narrow=True,
    )


def squash(weights: Any) -> str:
    """The two ways of making a photo square, at DeiT-B's size."""
    photo = run(weights).photo
    panels = []
    for title, processing in (
        ("transformers", ImageProcessing.huggingface(224)),
        ("the original repository", ImageProcessing.original(224)),
    ):
        shape = processing.resized_shape(*photo.shape[:2])
        seen = center_crop(resized(photo, shape, resample=processing.resample), (224, 224))
        kept = f"resized to {shape[0]} × {shape[1]}, cropped to 224 × 224"
        panels.append(panel(f"As in {title}", picture(seen, f"{SHOWS}: {kept}", photo=True), kept))
    whole = picture(photo, SHOWS, photo=True)
    return figure(
        [panel("The photo", whole, f"{photo.shape[0]} × {photo.shape[1]}"), *panels],
        "The same photo as two programs prepare it for DeiT-B, rows × columns. Squashed, the cat’s face becomes "
        "narrow; cropped, more of its sides is lost.",
        links={},
    )


def resize(weights: Any) -> str:
    """One detail of the photo, made small by each filter."""
    r = run(weights)
    square = same_part(r.photo, r.seen, weights.image_processing)
    shape = 2 * r.seen.shape[0], 2 * r.seen.shape[1]
    small = {
        name: resized(square, shape, resample=name)
        for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
    }
    y, x = EYE[0] * shape[0] // r.grid[0] - shape[0] // 8, EYE[1] * shape[1] // r.grid[1] - shape[1] // 8
    part = slice(y, y + shape[0] // 2), slice(x, x + shape[1] // 2)
    apart = {name: np.abs(value.astype(int) - small["bicubic"]) for name, value in small.items()}
    panels = [
        panel(
            name,
            picture(value[part], f"The cat’s eye, resampled with {name}"),
            "the reference" if name == "bicubic" else f"differs by {apart[name].mean():.1f} on average",
        )
        for name, value in small.items()
    ]
    changed = {name: (difference > 0).mean() for name, difference in apart.items() if name != "bicubic"}
    closest = min(changed, key=lambda name: apart[name].mean())
    return figure(
        panels,
        f"The middle of the photo, {square.shape[0]} × {square.shape[1]} pixels, resampled to {shape[0]} × {shape[1]} "
        f"with each filter; the part around one eye. Below, how far the bytes are from those of <code>bicubic</code>, "
        f"of 255. <code>nearest</code> differs in {percent(changed['nearest'])} of the bytes, by up to "
        f"{apart['nearest'].max()}, and <code>{closest}</code>, on average the closest, in "
        f"{percent(changed[closest])}.",
        links={"the photo as the bundled model resizes it": step("images.0.resized")},
        narrow=True,
    )


def _range(value: Any) -> str:
    low, high = value.min(), value.max()
    return f"{low} to {high}" if value.dtype == np.uint8 else f"{number(low)} to {number(high)}"
