"""What a run tells about itself: a line of metrics.jsonl for each epoch, and how it goes meanwhile."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints.files import logger, write
from deit_ref.training.optimization import learning_rate
from deit_ref.training.state import State

METRICS = "metrics.jsonl"
_EVERY = 60.0  # seconds between lines where no terminal is


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run, one for each epoch; none where there is no file yet.

    Raises:
        ValueError: the file holds anything else.
    """
    path = folder / METRICS
    content = path.read_bytes() if path.exists() else b""
    lines = []
    # A crash may have cut the last line off.
    for number, text in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict) or not all(type(line.get(name)) is int for name in ("epoch", "step")):
            shown = checks.one_line(ascii(text)[2:-1], most=80)
            raise ValueError(
                f"{path} is damaged, its line {number} is none of an epoch ({shown}): remove that line, or the file."
            )
        lines.append(line)
    return lines


def kept_metrics(folder: Path, step: int) -> list[dict[str, Any]]:
    """The lines up to the checkpoint after `step` steps; those after it will be made again."""
    return [line for line in read_metrics(folder) if line["step"] <= step]


def disagreements(
    lines: Sequence[Mapping[str, Any]], *, step: int, epochs: int, epoch_steps: int, ended: bool
) -> list[str]:
    """Where the lines of a run and its checkpoint do not tell the same, a sentence each.

    Args:
        lines: as `read_metrics` gives them.
        step: the checkpoint's.
        epochs, epoch_steps: of the whole run, and the steps of each.
        ended: whether the run has written its weights. Until then the line of the last epoch may be missing, which
            follows the checkpoint: a resumed run writes it.
    """
    complete, total = step // epoch_steps, epochs * epoch_steps
    if not 0 <= step <= total:
        return [f"the checkpoint is of step {step}, expected 0 to {total}: it is damaged."]
    told = [line["epoch"] for line in lines]
    strange = [line for line in lines if line["step"] != line["epoch"] * epoch_steps]
    if strange or told != sorted({*told}):
        first = f", such as epoch {strange[0]['epoch']} at step {strange[0]['step']}" if strange else ""
        return [f"{METRICS} holds lines twice, in another order or of another run{first}: expected one for each epoch."]
    found = []
    if ended and step < total:
        found.append(f"the weights are of a run that has ended, and the checkpoint is of step {step} of {total}.")
    if told and told[-1] > complete:
        found.append(
            f"{METRICS} tells of epoch {told[-1]}, and the checkpoint is older, of step {step}: a resumed run makes "
            "the epochs after it again."
        )
    if missing := sorted({*range(1, complete + ended)} - {*told}):
        found.append(f"{METRICS} lacks the lines of these epochs: {checks.some(map(str, missing))}.")
    return found


def write_metrics(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Put these lines in the place of the file, which is either the old or the new one."""
    write(folder / METRICS, b"".join(map(_encoded, lines)))


def add_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Write the line of an epoch after those of the epochs before."""
    with open(folder / METRICS, "ab") as file:
        file.write(_encoded(line))


def _encoded(line: Mapping[str, Any]) -> bytes:
    return (json.dumps(line) + "\n").encode()


def epoch_line(state: State, epoch_steps: int) -> dict[str, Any]:
    """What is told of the epoch that ended with the last step; its seconds are those of its steps."""
    return {
        "epoch": state.step // epoch_steps,
        "step": state.step,
        "learning_rate": learning_rate(state.recipe, (state.step - 1) / epoch_steps),
        **_means(state),
        "seconds": round(state.epoch_seconds, 1),
    }


def _means(state: State) -> dict[str, float]:
    """Mean loss and, where classes are learned, how many guesses were right."""
    loss, hits, photos = state.sums.tolist()
    return {
        "loss": loss / photos,
        **({} if state.recipe.task == "masked-image-modeling" else {"accuracy": hits / photos}),
    }


@contextmanager
def progress(total: int, start: int, *, shown: bool) -> Iterator[Callable[[State, int], None]]:
    """How to tell that a step was made: by a bar on a terminal, else by a line a minute."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    said = time.monotonic()

    def show(state: State, epoch_steps: int) -> None:
        nonlocal said
        bar.update(1)
        if terminal:
            bar.set_postfix_str(_summary(state, epoch_steps), refresh=False)
        elif shown and time.monotonic() - said > _EVERY:
            said = time.monotonic()
            logger().info("%s", _summary(state, epoch_steps))

    with tqdm(
        total=total, initial=start, unit="step", mininterval=1.0, dynamic_ncols=True, disable=not (shown and terminal)
    ) as bar:
        yield show


def _summary(state: State, epoch_steps: int) -> str:
    means, photos = _means(state), float(state.sums[2])
    accuracy = f", accuracy {means['accuracy']:.1%}" if "accuracy" in means else ""
    epochs = f"{state.step / epoch_steps:.2f}/{state.recipe.epochs}"
    # While photos are evaluated the clock stands still.
    return f"epoch {epochs}, loss {means['loss']:.4f}{accuracy}, {photos / state.epoch_seconds:.0f} photos/s"
