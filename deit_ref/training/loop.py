"""The training loop: one step after the other, measured, averaged, saved.

Source: engine.py and main.py of facebookresearch/deit.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from deit_ref.checkpoints.files import logger
from deit_ref.training.batches import Batches, step_seed
from deit_ref.training.metrics import METRICS, add_metrics, epoch_line, kept_metrics, progress, write_metrics
from deit_ref.training.objectives import Goal, Objective
from deit_ref.training.optimization import learning_rate, set_learning_rate, update_average
from deit_ref.training.processes import interruptible
from deit_ref.training.recipe import Recipe
from deit_ref.training.state import NAME, State, save_state


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether the hardware multiplies matrices of bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def fit(
    module: torch.nn.Module,
    objective: Objective,
    batches: Batches,
    recipe: Recipe,
    *,
    folder: Path,
    seed: int,
    assess: Callable[[Mapping[str, torch.Tensor]], dict[str, Any]] | None = None,
    assess_every: int = 1,
    resume: bool = False,
    save_every: float = 120.0,
    autocast: bool = False,
    report: Callable[[dict[str, Any]], object] | None = None,
    runs_on: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """Train a module by a recipe.

    After each epoch the checkpoint is written, then the module is assessed, then the line of metrics follows: what goes
    wrong while it is assessed costs no step, and a resumed run makes up for it.

    Args:
        module: changed in place; it is on the batches' device.
        objective: what shall become small.
        batches: of the recipe's size.
        recipe: how.
        folder: gets checkpoint.pt and metrics.jsonl; made if it is not there.
        seed: of dropout and masks; that of the batches is theirs.
        assess: called after every `assess_every` epochs and after the last, with the averaged state (or the module's
            own, if the recipe keeps no average); its numbers stand in the metrics under "test".
        resume: go on from the folder's checkpoint. On a CPU the result is that of an uninterrupted run, bit for bit.
        save_every: seconds between checkpoints, besides one after each epoch.
        autocast: whether matrix products run in bfloat16.
        report: called in the first process with each line of the metrics, once it is written.
        runs_on: the `fingerprint` of photos, weights, teacher and numerics; a checkpoint of another is refused.

    Returns:
        The state that `assess` saw last, by the names of `module.state_dict()`.

    Raises:
        ValueError: the folder holds another run, a damaged one, or nothing to resume; the loss becomes NaN or infinite.
        KeyboardInterrupt: on Ctrl-C, once the step is finished and a checkpoint is written.
    """
    state, first = State(module, recipe, seed=seed, runs_on=runs_on), batches.rank == 0
    epoch_steps, total = batches.steps_per_epoch, recipe.epochs * batches.steps_per_epoch
    if resume:
        state.resume(folder, steps=total, device=batches.device)
    elif (folder / NAME).exists():
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    lines = kept_metrics(folder, state.step)
    if first:
        write_metrics(folder, lines)
    told = lines[-1]["step"] if lines else 0  # the last step of the last epoch that has its line
    if missing := max(state.step // epoch_steps - 1 - len(lines), 0):
        logger().warning("%s lacks the lines of %d epochs: what they were is not known again.", METRICS, missing)
    trained = torch.nn.parallel.DistributedDataParallel(module) if batches.world > 1 else module
    last_save = time.monotonic()

    with interruptible() as stop, progress(total, state.step, shown=first) as show:
        while True:
            if state.step % epoch_steps == 0:
                if state.step > told:
                    line = epoch_line(state, epoch_steps)
                    if assess is not None and (line["epoch"] % assess_every == 0 or state.step == total):
                        module.eval()
                        line["test"] = assess(state.learned)
                    if first:
                        add_metrics(folder, line)
                        if report is not None:
                            report(line)
                state.begin_epoch()
            if state.step == total:
                return state.learned
            began, epoch = time.monotonic(), state.step / epoch_steps
            set_learning_rate(state.optimizers, learning_rate(recipe, epoch))
            generator = torch.Generator(batches.device).manual_seed(step_seed(seed, 3, state.step, batches.rank))
            batch = batches(state.step)
            module.train()
            with torch.autocast(batches.device.type, torch.bfloat16, enabled=autocast):
                goal = objective(trained, batch, generator)
            loss, hits, stopping = _of_all_processes(goal, stop.is_set(), world=batches.world)
            if not math.isfinite(loss):
                raise ValueError(f"The loss became {loss} at step {state.step} (epoch {epoch:.2f}): {_advice(folder)}")
            step(state, goal.loss)
            state.sums += torch.tensor([loss * recipe.batch_size, hits, recipe.batch_size])
            state.took(time.monotonic() - began)
            show(state, epoch_steps)
            if stopping or state.step % epoch_steps == 0 or time.monotonic() - last_save > save_every:
                _check_weights(state, folder)
                if first:
                    save_state(folder, state.state_dict())
                last_save = time.monotonic()
            if stopping:
                raise KeyboardInterrupt


def step(state: State, loss: torch.Tensor) -> None:
    """One step down the gradient of the loss: of the weights, and of their average."""
    recipe = state.recipe
    for optimizer in state.optimizers:
        optimizer.zero_grad()
    torch.autograd.backward(loss)
    if recipe.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.module.parameters(), recipe.clip_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    if recipe.ema_decay is not None:
        update_average(state.average, state.module.state_dict(), step=state.step, recipe=recipe)
    state.step += 1


def _of_all_processes(goal: Goal, stop: bool, *, world: int) -> tuple[float, float, bool]:
    """Mean loss, number of hits, and whether to stop: one process may hear of Ctrl-C a step before the others."""
    counted = [0 if goal.hits is None else int(goal.hits), int(stop)]
    numbers = torch.stack([goal.loss.detach().double(), *goal.loss.new_tensor(counted, dtype=torch.float64)])
    if world > 1:
        torch.distributed.all_reduce(numbers)
    return float(numbers[0]) / world, float(numbers[1]), float(numbers[2]) > 0


def _check_weights(state: State, folder: Path) -> None:
    """A step is made if its loss is a number; what it makes of the weights is seen here, before they are saved."""
    if not all(bool(parameter.isfinite().all()) for parameter in state.module.parameters()):
        raise ValueError(f"Weights became NaN or infinite before step {state.step}: {_advice(folder)}")


def _advice(folder: Path) -> str:
    kept = f" The last good checkpoint is in {folder}." if (folder / NAME).exists() else ""
    return f"lower the learning rate.{kept}"
