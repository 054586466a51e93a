"""The files of the original repository and of timm: a bare state_dict, or one among what training needs to go on.

facebookresearch/deit publishes {"model": state_dict}; its training writes optimizer, lr_scheduler, epoch, model_ema,
scaler and args beside it. timm calls the two "state_dict" and "state_dict_ema", others "net" or "model_state_dict",
DINO "student" and "teacher". So the state_dict is found by what is in it, and its name only tells averages.

Source: facebookresearch/deit, main.py; timm, utils/checkpoint_saver.py; facebookresearch/dino, main_dino.py.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints import names
from deit_ref.checkpoints.files import StoredArray

# How deep the state_dict of a training file lies: {"state_dict": ...}, {"ema": {"module": ...}}.
DEPTH = 2


def read_headers(file: Path, revision: str | None) -> list[StoredArray]:
    """Every tensor of the file's state_dict, unread.

    Args:
        file: written by `torch.save`.
        revision: None; "ema" for the averaged weights of a training file; or the name of the part that holds the
            weights, such as "teacher".

    Raises:
        ValueError: the file cannot be read, or holds no such state_dict.
    """
    from deit_ref.checkpoints.pickle_program import Tensor
    from deit_ref.checkpoints.pickle_reader import read_program, stored_array

    values = read_program(file)
    if not isinstance(values, dict):
        kind = "a single tensor" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{file} must hold a state_dict, got {kind}: save model.state_dict().")
    if {"recipe", "runs_on", "module", "average"} <= set(values):
        raise ValueError(f"{file} is what a training run goes on from, not its weights: {_of_run(file.parent)}.")
    inner = _dictionaries(values)
    parts = {place: part for place, part in inner.items() if _has_patch_embedding(part)}
    if parts or revision:
        state = _chosen(file, parts, revision)
    else:  # no ViT; what has the most tensors is what the error shall be about
        state = max(inner.values(), key=lambda part: sum(isinstance(value, Tensor) for value in part.values()))
    if wrong := [str(name)[:80] for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{file}: a state_dict holds tensors alone, this one also {checks.some(wrong)}.")
    return [stored_array(file, str(name), tensor) for name, tensor in state.items()]


def _of_run(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"pass its folder, {folder}/"
    return "the run has not ended; the command that began it goes on with --resume, and then its folder can be passed"


def _dictionaries(values: dict[Any, Any]) -> dict[str, dict[Any, Any]]:
    """The file's dictionary and those in it, by where they lie: "model", "ema.module"; "" is the file's own."""
    found: dict[str, dict[Any, Any]] = {}
    seen: set[int] = set()  # one dictionary can be named again and again
    level = {"": values}
    for _ in range(DEPTH + 1):
        below: dict[str, dict[Any, Any]] = {}
        for place, inner in level.items():
            if id(inner) not in seen:
                seen.add(id(inner))
                found[place] = inner
                below |= {f"{place}.{key}".lstrip("."): part for key, part in inner.items() if isinstance(part, dict)}
        level = below
    return found


def _has_patch_embedding(state: dict[Any, Any]) -> bool:
    return any(isinstance(name, str) and names.anchored(name) for name in state)


def _chosen(file: Path, parts: Mapping[str, dict[Any, Any]], revision: str | None) -> dict[Any, Any]:
    """The part that the revision means: what is averaged for "ema", what is not for None, or the one of that name."""
    averaged = [place for place in parts if "ema" in re.split(r"[^a-z]+", place.lower())]
    if revision is None:
        places = [place for place in parts if place not in averaged]
    else:
        places = averaged if revision == "ema" else [place for place in parts if place == revision]
    if len(places) == 1:
        return parts[places[0]]
    has = checks.some(place or "a bare state_dict" for place in parts) or "no weights of a ViT"
    if revision == "ema" and not averaged:
        wanted = "no averaged weights (model_ema)"
    elif revision is not None and not places:
        wanted = f"no weights called {checks.one_line(repr(revision), most=80)}"
    else:
        wanted = "several models" if places else "no weights but averaged ones"
    raise ValueError(f"{file} has {wanted}; there is {has}: choose with revision= (None, 'ema' or a name).")
