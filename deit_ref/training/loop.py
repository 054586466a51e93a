"""The training loop: one step after the other, measured, averaged, saved.

Source: engine.py and main.py of facebookresearch/deit.
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from deit_ref.training.batches import Batches, step_seed
from deit_ref.training.objectives import Objective
from deit_ref.training.optimization import learning_rate, optimizers, set_learning_rate, update_average
from deit_ref.training.recipe import Recipe
from deit_ref.training.state import NAME, interruptible, load_state, save_state

METRICS = "metrics.jsonl"
# What is evaluated: the module's state under its names, usually averaged, to numbers for the metrics file.
Assess = Callable[[Mapping[str, torch.Tensor]], dict[str, Any]]


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
    assess: Assess | None = None,
    assess_every: int = 1,
    resume: bool = False,
    save_every: float = 120.0,
    autocast: bool = False,
    report: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, torch.Tensor]:
    """Train a module by a recipe.

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

    Returns:
        The state that `assess` saw last, by the names of `module.state_dict()`.

    Raises:
        ValueError: the folder holds another run, or nothing to resume; the loss becomes NaN or infinite.
        KeyboardInterrupt: on Ctrl-C, once the step is finished and a checkpoint is written.
    """
    device, rank, world = batches.device, batches.rank, batches.world
    found = optimizers(named_parameters(module), recipe)
    average = {name: value.detach().clone() for name, value in module.state_dict().items()}
    sums = torch.zeros(3, dtype=torch.float64)  # loss, hits, photos since the epoch began
    step, seconds = 0, 0.0
    if resume:
        state = load_state(folder, device=device)
        _check_same_run(state, recipe, seed, folder)
        module.load_state_dict(state["module"])
        average.update(state["average"])
        for optimizer, values in zip(found, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        sums, step, seconds = state["sums"].cpu(), state["step"], state["seconds"]
    elif (folder / NAME).exists():
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if rank == 0:
        _cut_metrics(folder / METRICS, step)
    trained = torch.nn.parallel.DistributedDataParallel(module) if world > 1 else module
    total, began = recipe.epochs * batches.steps_per_epoch, time.monotonic() - seconds
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if not all(bool(parameter.isfinite().all()) for parameter in module.parameters()):
            raise ValueError(f"Weights became NaN or infinite before step {step}: {_advice(folder)}")
        if rank == 0:
            save_state(
                folder,
                {
                    "recipe": dataclasses.asdict(recipe),
                    "seed": seed,
                    "step": step,
                    "seconds": time.monotonic() - began,
                    "module": module.state_dict(),
                    "average": average,
                    "optimizers": [optimizer.state_dict() for optimizer in found],
                    "sums": sums,
                },
            )
        saved = time.monotonic()

    with interruptible() as stop, _progress(total, step, shown=rank == 0) as bar:
        while step < total:
            epoch = step / batches.steps_per_epoch
            set_learning_rate(found, learning_rate(recipe, epoch))
            generator = torch.Generator(device).manual_seed(step_seed(seed, 3, step, rank))
            batch = batches(step)
            module.train()
            with torch.autocast(device.type, torch.bfloat16) if autocast else nullcontext():
                loss, hits = objective(trained, batch, generator)
            loss_now, hits_now, stopping = _of_all_processes(loss, hits, stop.is_set(), world=world)
            if not math.isfinite(loss_now):
                raise ValueError(f"The loss became {loss_now} at step {step} (epoch {epoch:.2f}): {_advice(folder)}")
            for optimizer in found:
                optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if recipe.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            for optimizer in found:
                optimizer.step()
            if recipe.ema_decay is not None:
                update_average(average, module.state_dict(), step=step, recipe=recipe)
            step += 1
            sums += torch.tensor([loss_now * recipe.batch_size, hits_now, recipe.batch_size])
            if bar is not None:
                bar.update(1)
                accuracy = "" if hits is None else f", accuracy {float(sums[1] / sums[2]):.1%}"
                bar.set_postfix_str(
                    f"epoch {step / batches.steps_per_epoch:.2f}/{recipe.epochs}, loss {float(sums[0] / sums[2]):.4f}"
                    f"{accuracy}, {(bar.format_dict['rate'] or 0) * recipe.batch_size:.0f} photos/s",
                    refresh=False,
                )
            if step % batches.steps_per_epoch == 0:
                done = step // batches.steps_per_epoch
                line: dict[str, Any] = {
                    "epoch": done,
                    "step": step,
                    "learning_rate": learning_rate(recipe, epoch),
                    "loss": float(sums[0] / sums[2]),
                    **({} if hits is None else {"accuracy": float(sums[1] / sums[2])}),
                    "seconds": round(time.monotonic() - began, 1),
                }
                if assess is not None and (done % assess_every == 0 or step == total):
                    module.eval()
                    line["test"] = assess(average if recipe.ema_decay is not None else module.state_dict())
                if rank == 0:
                    with open(folder / METRICS, "a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                    if report is not None:
                        report(line)
                sums = torch.zeros_like(sums)
            if stopping or step % batches.steps_per_epoch == 0 or time.monotonic() - saved > save_every:
                save()
            if stopping:
                raise KeyboardInterrupt
    return dict(average) if recipe.ema_decay is not None else module.state_dict()


def named_parameters(module: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Parameters by the names of checkpoints, with dots."""
    return [(name.replace("/", "."), parameter) for name, parameter in module.named_parameters()]


def _of_all_processes(
    loss: torch.Tensor, hits: torch.Tensor | None, stop: bool, *, world: int
) -> tuple[float, float, bool]:
    """Mean loss, number of hits, and whether to stop: one process may hear of Ctrl-C a step before the others."""
    counted = [0 if hits is None else int(hits), int(stop)]
    numbers = torch.stack([loss.detach().double(), *loss.new_tensor(counted).double()])
    if world > 1:
        torch.distributed.all_reduce(numbers)
    return float(numbers[0]) / world, float(numbers[1]), float(numbers[2]) > 0


def _advice(folder: Path) -> str:
    kept = f" The last good checkpoint is in {folder}." if (folder / NAME).exists() else ""
    return f"lower the learning rate.{kept}"


def _check_same_run(state: dict[str, Any], recipe: Recipe, seed: int, folder: Path) -> None:
    now, then = {**dataclasses.asdict(recipe), "seed": seed}, {**state["recipe"], "seed": state["seed"]}
    if different := [f"{name} {then.get(name)!r}, now {now[name]!r}" for name in now if now[name] != then.get(name)]:
        raise ValueError(
            f"The run in {folder} was begun with another recipe: {'; '.join(different)}. Resume it with the same "
            "recipe, or choose another folder."
        )


def _cut_metrics(path: Path, step: int) -> None:
    """Drop the lines of steps after the checkpoint, which will be made again."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # a crash may have cut the last one off
    path.write_text("".join(line for line in whole if json.loads(line)["step"] <= step), encoding="utf-8")


def _progress(total: int, start: int, *, shown: bool) -> Any:
    if not shown:
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=total, initial=start, unit="step", file=sys.stderr, mininterval=1.0, dynamic_ncols=True)
