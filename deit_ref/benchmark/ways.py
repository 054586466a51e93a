"""What the experiment compares: ways to train one small student, and which of them answer which question."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Way:
    """What a run changes.

    Attributes:
        changes: fields of the recipe.
        teachers: by the names that the command gives them; several answer together.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()


CONVNET, DEIT = "convnet", "deit"  # a teacher that is a convolutional network, and one that is a DeiT itself

_HARD = {"distillation": "hard"}
# The paper's temperature; and the code's weight of the teacher's term, as with 0.1, divided by ten classes as well,
# the teacher would hardly be heard.
_SOFT = {"distillation": "soft", "tau": 3.0}
_EQUATION = {**_SOFT, "soft_division": "images"}
_ONE_TOKEN = {"model": "cifar10-small-one-token"}
_SHARED = {"shared_targets": True}
_ALL = {"rand_augment": 2, "erasing": 0.25, "mixup": 0.8, "cutmix": 1.0, "drop_path": 0.1, "repeats": 3}

WAYS: Mapping[str, Way] = {
    "no teacher": Way(),
    "soft, as released": Way(_SOFT, (CONVNET,)),
    "soft, equation 2": Way(_EQUATION, (CONVNET,)),
    "soft, equation 2, weight 0.1": Way({**_EQUATION, "alpha": 0.1}, (CONVNET,)),
    "soft, equation 2, weight 0.9": Way({**_EQUATION, "alpha": 0.9}, (CONVNET,)),
    "hard": Way(_HARD, (CONVNET,)),
    "hard, weight 0.9": Way({**_HARD, "alpha": 0.9}, (CONVNET,)),
    "no teacher, one token": Way(_ONE_TOKEN),
    "hard, one token": Way({**_HARD, **_ONE_TOKEN, **_SHARED}, (CONVNET,)),
    "hard, two class tokens": Way({**_HARD, **_SHARED}, (CONVNET,)),
    "hard, from a DeiT": Way(_HARD, (DEIT,)),
    "hard, from both": Way(_HARD, (CONVNET, DEIT)),
    "all augmentation": Way(_ALL),
    "all but RandAugment": Way({**_ALL, "rand_augment": 0}),
    "all but mixup": Way({**_ALL, "mixup": 0.0}),
    "all but cutmix": Way({**_ALL, "cutmix": 0.0}),
    "all but mixup and cutmix": Way({**_ALL, "mixup": 0.0, "cutmix": 0.0}),
    "all but erasing": Way({**_ALL, "erasing": 0.0}),
    "all but stochastic depth": Way({**_ALL, "drop_path": 0.0}),
    "all but repeated augmentation": Way({**_ALL, "repeats": 1}),
    "crop and flip alone": Way(
        {"rand_augment": 0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0, "drop_path": 0.0, "repeats": 1}
    ),
}

# Without a teacher, a model of two tokens is one of two class tokens with the same target: the labels.
QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "teaching": (
        "no teacher",
        "soft, as released",
        "soft, equation 2",
        "soft, equation 2, weight 0.9",
        "hard",
        "hard, weight 0.9",
    ),
    "weight": ("soft, equation 2, weight 0.1", "soft, equation 2", "soft, equation 2, weight 0.9"),
    "token": ("no teacher, one token", "no teacher", "hard, one token", "hard, two class tokens", "hard"),
    "teacher": ("no teacher", "hard", "hard, from a DeiT", "hard, from both"),
    "augmentation": (*(way for way in WAYS if way.startswith("all ")), "crop and flip alone"),
}
