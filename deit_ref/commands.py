"""What each command does; `cli` reads the words, and says what went wrong."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.config import TASKS
from deit_ref.photos import bundled_photo, exif_orientation, find_images, write_png
from deit_ref.pipeline import MANY, Answer, Pace, classify_files, default_workers
from deit_ref.trace import Trace
from deit_ref.training.masking import random_masks
from deit_ref.weights import DeiTWeights, named_arrays

Thing = TypeVar("Thing")


def classify(args: argparse.Namespace) -> int:
    """Print the most probable classes of each image."""
    names = find_images(args.images)
    if not names:
        names = [str(bundled_photo())]
        say("no image was given: this is the bundled photo.")
    if not any(os.path.isfile(name) for name in names):
        exif_orientation(names[0])  # raises the error that says what this name is, before weights are loaded
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 1 if _classify(args, names, args.out) else 0
    if args.out is None:
        raise ValueError("several processes need --out FILE.jsonl, into which their answers are merged.")
    from deit_ref.training.processes import gathered, processes

    with processes(args.device or "cpu") as (device, rank, world):
        if args.backend == "torch":
            args.device = device
        share = f"{args.out}.{rank}"
        _classify(args, names[rank::world], share)
        lines = gathered(Path(share).read_text(encoding="utf-8").splitlines(), rank=rank, world=world)
        if rank == 0:
            with _new_text(args.out) as file:
                file.writelines(f"{line}\n" for line in lines)
            failed = sum("error" in json.loads(line) for line in lines)
            say(f"{args.out}: {len(lines)} answers of {world} processes, {failed} of them errors.")
        os.remove(share)
    return 0  # to torchrun anything else is a crash


def _classify(args: argparse.Namespace, names: list[str], out: str | None) -> int:
    """Answer to standard output or to a file; how many images could not be read."""
    weights = _weights(args)
    if weights.head is None:
        raise ValueError(
            f"classify needs weights with a classification head, got the task {weights.task!r}: expected one of "
            f"{', '.join(task for task in TASKS if task.startswith('classification'))}. `inspect` takes any task."
        )
    workers = default_workers(len(names)) if args.workers is None else args.workers
    batch_size = args.batch_size or (64 if str(args.device).startswith("cuda") else 8)
    pace = Pace()
    answers = classify_files(
        weights, names, backend=args.backend, batch_size=batch_size, workers=workers, top=args.top, pace=pace
    )
    failed = 0
    with ExitStack() as stack:
        steps, write = stack.enter_context(_progress(answers, len(names)))
        file = None if out is None else stack.enter_context(_new_text(out))
        for answer in steps:
            if answer.turned:
                say(f"warning: {answer.name} is stored turned and is taken as stored: turn it upright first.")
            if answer.problem:
                failed += 1
                say(f"error: {answer.problem}")
            if file is not None:
                file.write(_json_line(answer) + "\n")
            elif args.json:
                write(_json_line(answer))
            elif not answer.problem:
                shown = (f"  {p:7.2%}  {_printable(label)}" for label, p in answer.top)
                write("\n".join([_printable(answer.name), *shown]))
    if len(names) >= MANY:
        say(pace)
    return failed


def _json_line(answer: Answer) -> str:
    if answer.problem:
        return json.dumps({"image": answer.name, "error": answer.problem})
    found = [{"class": label, "probability": _finite(probability)} for label, probability in answer.top]
    return json.dumps({"image": answer.name, "top": found})


@contextmanager
def _new_text(path: str) -> Iterator[TextIO]:
    """A file that takes its name when it is complete."""
    with open(f"{path}.unfinished", "w", encoding="utf-8") as file:
        yield file
    os.replace(f"{path}.unfinished", path)


def inspect(args: argparse.Namespace) -> int:
    """Print every traced step of one image: name, shape, dtype, min, mean, max."""
    weights = _weights(args)
    trace = Trace()
    deit_ref.forward(weights, args.image, backend=args.backend, trace=trace)
    width = max(len(name) for name in trace)
    if not args.json:
        print(f"{'step':<{width}}  {'shape':<18} {'dtype':<8} {'min':>11} {'mean':>11} {'max':>11}")
    for name, array in trace.items():
        shape, dtype = tuple(array.shape), str(array.dtype).removeprefix("torch.")
        values = as_numpy(array).astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity minus infinity: the table shows nan
            numbers = {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
        bad = int((~np.isfinite(values)).sum())
        if args.json:
            finite = {key: _finite(value) for key, value in numbers.items()}
            print(json.dumps({"name": name, "shape": shape, "dtype": dtype, **finite, "not_finite": bad}))
        else:
            columns = " ".join(f"{value:>11.5g}" for value in numbers.values())
            print(f"{name:<{width}}  {'x'.join(map(str, shape)):<18} {dtype:<8} {columns}")
        if bad:
            say(f"warning: {bad} of {values.size} values of {name} are NaN or infinite.")
    _warn_of_weights(weights)
    return 0


def compare(args: argparse.Namespace) -> int:
    """Print the largest difference between the backends, step by step."""
    weights = deit_ref.load_weights(args.weights)
    comparison = deit_ref.compare(weights, args.image, device=args.device, dtype=args.dtype)
    print(comparison)
    return 0 if comparison.agrees else 1


def attention(args: argparse.Namespace) -> int:
    """Draw where the class and the distillation token look, in every head and layer and followed through all layers."""
    weights, pixel_values, photo = _prepared(args)
    config = weights.config
    # Before the model runs: a layer that does not exist is no reason to wait.
    layers = _one_or_all("--layer", args.layer, config.num_hidden_layers)
    heads = _one_or_all("--head", args.head, config.num_attention_heads)
    output: Any = deit_ref.forward(
        weights,
        pixel_values=pixel_values,
        backend=args.backend,
        interpolate_pos_encoding=args.size is not None,
        output_attentions=True,
    )
    grid = photo.shape[0] // config.patch_shape[0], photo.shape[1] // config.patch_shape[1]
    prefix = config.num_prefix_tokens
    figures = [plots.rollout_overlay(photo, output.attentions, grid=grid, num_prefix_tokens=prefix)]
    figures += [
        plots.attention_maps(
            photo, output.attentions, grid=grid, num_prefix_tokens=prefix, token=token, layers=layers, heads=heads
        )
        for token in list(plots.TOKENS)[:prefix]
    ]
    _write_picture(args.out, plots.rendered(*figures))
    return 0


def reconstruct(args: argparse.Namespace) -> int:
    """Hide patches of an image, let the model guess them, draw both; print the masked L1."""
    weights, pixel_values, photo = _prepared(args, task="masked-image-modeling")
    patch_shape = weights.config.patch_shape
    grid = photo.shape[0] // patch_shape[0], photo.shape[1] // patch_shape[1]
    generator = np.random.default_rng(args.seed)
    mask = random_masks(1, grid, ratio=args.mask_ratio, block=args.block, generator=generator)[0]
    output: Any = deit_ref.forward(
        weights,
        pixel_values=pixel_values,
        backend=args.backend,
        interpolate_pos_encoding=args.size is not None,
        bool_masked_pos=mask[None],
    )
    loss = float(as_numpy(output.loss))
    guess = plots.to_photos(output.reconstruction, weights.image_processing)[0]
    figure = plots.reconstruction_panel(photo, guess, mask, patch_shape=patch_shape, loss=loss)
    print(f"masked L1 {loss:.6f} in normalized units, {mask.sum()} of {mask.size} patches hidden")
    _write_picture(args.out, plots.rendered(figure))
    return 0


def preprocess(args: argparse.Namespace) -> int:
    """Write what the model sees: as a picture, or as the numbers themselves."""
    names = find_images(args.images)
    for name in names:
        _refuse_to_replace(name, args.out)
    weights = deit_ref.load_weights(args.weights)
    prepared: dict[int, Any] = {}
    with _progress(names, len(names)) as (steps, write):
        for i, name in enumerate(steps):
            try:
                _warn_if_turned(name, weights)
                one = deit_ref.preprocess(name, weights.image_processing, backend=args.backend, device=args.device)
            except (ValueError, OSError) as error:
                if len(names) == 1:
                    raise
                say(f"error: {error}")
                continue
            prepared[i] = as_numpy(one)
            if len(names) > 1:
                write(f"{len(prepared) - 1:<4} {_printable(name)}")
    if not prepared:
        raise ValueError(f"none of the {len(names)} images can be read: {args.out} was not written.")
    shapes = {array.shape: names[i] for i, array in prepared.items()}
    if len(shapes) > 1:
        listed = " and ".join(f"{shape[2]}x{shape[3]} ({name})" for shape, name in list(shapes.items())[:2])
        raise ValueError(f"the prepared images must have one size, got {listed}: prepare them one by one.")
    batch = np.concatenate(list(prepared.values()))  # (batch, channels, height, width)
    if args.out.lower().endswith(".png"):
        _write_picture(args.out, plots.side_by_side(plots.to_photos(batch, weights.image_processing)))
    else:
        with open(args.out, "wb") as file:  # np.save would put .npy behind .NPY
            np.save(file, batch, allow_pickle=False)
        say(f"{args.out}: {batch.dtype} of shape {'x'.join(map(str, batch.shape))}.")
    return 1 if len(prepared) < len(names) else 0


def convert(args: argparse.Namespace) -> int:
    """Write a checkpoint as transformers does, read it back and compare."""
    folder = Path(args.folder)
    if folder.is_dir() and any(folder.iterdir()) and not args.force:
        raise ValueError(f"{folder} is not empty: choose another folder, or add --force to replace the files in it.")
    weights = deit_ref.load_weights(args.source, task=args.task, seed=args.seed, revision=args.revision)
    _warn_of_weights(weights)
    deit_ref.save_weights(weights, folder)
    if wrong := _differences(weights, deit_ref.load_weights(folder)):
        raise ValueError(f"{folder} does not read back as it was written, do not use it: {', '.join(wrong)} changed.")
    print(
        f"{_printable(str(folder))}: {len(list(named_arrays(weights)))} arrays of {weights.num_parameters:,} "
        f"{weights.pos_embed.dtype} numbers, task {weights.task}; read back, and every array is equal bit for bit."
    )
    return 0


def say(message: Any) -> None:
    """One line on standard error."""
    print(_printable(f"deit-ref: {' '.join(str(message).split())}"), file=sys.stderr)


def _prepared(args: argparse.Namespace, *, task: str | None = None) -> tuple[DeiTWeights, Any, Any]:
    """The weights, the image's pixel_values, and the same as a photo of bytes; --size is in the weights' processing."""
    _refuse_to_replace(args.image, args.out)
    exif_orientation(args.image)  # raises the error that says what this name is, before weights are loaded
    weights = _weights(args)
    if task not in (None, weights.task):
        raise ValueError(f"{args.command} needs weights of the task {task}, got {weights.task}: choose by --weights.")
    if args.size is not None:
        processing = replace(weights.image_processing, do_resize=True, size=args.size, do_center_crop=False)
        weights = replace(weights, image_processing=processing)
    _warn_if_turned(args.image, weights)
    pixel_values = deit_ref.preprocess(args.image, weights.image_processing, backend=args.backend, device=args.device)
    return weights, pixel_values, plots.to_photos(pixel_values, weights.image_processing)[0]


def _one_or_all(name: str, number: int | None, count: int) -> list[int] | None:
    if number is not None and number >= count:
        raise ValueError(f"{name} must be all or a number from 0 to {count - 1}, got {number}.")
    return None if number is None else [number]


def _refuse_to_replace(image: str | os.PathLike[str], out: str) -> None:
    if os.path.exists(out) and os.path.exists(image) and os.path.samefile(image, out):
        raise ValueError(f"--out {out} is the image itself, which would be lost: choose another name.")


def _write_picture(out: str, picture: Any) -> None:
    write_png(out, picture)
    say(f"{out}: a picture of {picture.shape[0]}x{picture.shape[1]} pixels.")


def _differences(ours: DeiTWeights, theirs: DeiTWeights) -> list[str]:
    """What is not the same in two models, NaN being equal to the same NaN."""
    travelling = ("config", "task", "image_processing", "class_names")
    wrong = [name for name in travelling if getattr(ours, name) != getattr(theirs, name)]
    a, b = ({name: as_numpy(array) for name, array in named_arrays(tree)} for tree in (ours, theirs))
    wrong += [name for name in dict.fromkeys([*a, *b]) if name not in a or name not in b]
    wrong += [
        name
        for name in a
        if name in b
        and (a[name].dtype, a[name].shape, a[name].tobytes()) != (b[name].dtype, b[name].shape, b[name].tobytes())
    ]
    return wrong


def _warn_if_turned(image: str | os.PathLike[str], weights: DeiTWeights) -> None:
    if exif_orientation(image) != 1 and not weights.image_processing.apply_exif:
        say(f"warning: {image} is stored turned and is taken as stored: turn it upright first.")


def _warn_of_weights(weights: DeiTWeights) -> None:
    for name, array in named_arrays(weights):
        bad = int((~np.isfinite(as_numpy(array))).sum())
        if bad:
            say(f"warning: {bad} of {as_numpy(array).size} values of the weights {name} are NaN or infinite.")


def _weights(args: argparse.Namespace) -> DeiTWeights:
    """The weights, converted before the first image: an unknown dtype or device is no image's fault."""
    return deit_ref.load_weights(args.weights).to(args.backend, device=args.device, dtype=args.dtype)


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if np.isfinite(value) else None


def _printable(text: str) -> str:
    """File names are bytes; those that are no text are shown by their codes."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _progress(things: Iterable[Thing], count: int) -> Iterator[tuple[Iterable[Thing], Callable[[str], object]]]:
    """The images, or what is made of them, with a progress display beside them, and how to print below it.

    A bar on a terminal if tqdm is installed; else a line after every hundred images.
    """
    if count > 1 and sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            with tqdm(things, total=count, unit="image", leave=False) as bar:
                yield bar, lambda text: tqdm.write(text, file=sys.stdout)
            return
    yield _counted(things, count), print


def _counted(things: Iterable[Thing], count: int) -> Iterator[Thing]:
    for i, thing in enumerate(things):
        if i and i % 100 == 0:
            say(f"{i} of {count} images")
        yield thing
