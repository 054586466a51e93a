"""What was measured of the experiment's runs, as the columns and rows of a table for each question."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from deit_ref.benchmark.experiment import MEANS, Experiment, differing
from deit_ref.benchmark.inside import HEADS
from deit_ref.benchmark.ways import WAYS
from deit_ref.training.recipe import Recipe

# A way -> its runs, as `experiment.Experiment.results` gives them.
Results: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
Table: TypeAlias = tuple[list[str], list[list[str]]]


def spread(values: Sequence[float], form: str = ".2f", *, scale: float = 100.0) -> str:
    """The mean, and behind ± the standard deviation of the seeds where there are several; by default in percent."""
    scaled = [scale * value for value in values]
    beside = f" ± {statistics.stdev(scaled):{form}}" if len(scaled) > 1 else ""
    return f"{statistics.mean(scaled):{form}}{beside}"


def _cell(runs: Sequence[Mapping[str, Any]], get: Callable[[Mapping[str, Any]], float], **how: Any) -> str:
    """Nothing, where a student has one head."""
    found = [get(run) for run in runs if "cosines" in run]
    return spread(found, **how) if found else ""


def by_heads(results: Results) -> Table:
    """Columns and rows: the accuracy of both heads, and of both ways to take their mean."""
    return ["teaching", *HEADS, *MEANS], [[way, *heads(runs)] for way, runs in results.items()]


def by_pull(results: Results) -> Table:
    """Columns and rows: how heavy the teacher is, by itself and beside the label, and how often the two means differ.

    The label's pull is that of the student without a teacher, whose two heads share it evenly, times its weight.
    """
    columns = ["teaching", "pull at the first step", "times the label's", "answers in which the means differ"]
    lone = {run["seed"]: run["pull"] for run in results.get("no teacher", ())}
    rows = []
    for way, runs in results.items():
        label = 2 * (1 - WAYS[way].changes.get("alpha", Recipe.alpha))
        beside = [
            run["pull"] / (label * lone[run["seed"]]) for run in runs if WAYS[way].teachers and run["seed"] in lone
        ]
        rows.append(
            [
                way,
                _cell(runs, lambda run: run["pull"], form=".3f", scale=1.0),
                spread(beside, scale=1.0) if beside else "",
                _cell(runs, lambda run: run["differ"]),
            ]
        )
    return columns, rows


def heads(runs: Sequence[Mapping[str, Any]], names: Sequence[str] = (*HEADS, *MEANS)) -> list[str]:
    """The accuracy of each head that a student has."""
    return [spread([run[name] for run in runs]) if name in runs[0] else "" for name in names]


def by_cosine(results: Results) -> Table:
    """Columns and rows: the cosine of the two tokens of students who have two, from the input to the end."""
    steps: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "as learned": lambda run: run["cosines"]["learned"],
        "with positions": lambda run: run["cosines"]["with positions"],
        "after the first block": lambda run: run["cosines"]["blocks"][0],
        "after the last": lambda run: run["cosines"]["blocks"][-1],
        "at the end": lambda run: run["cosines"]["end"],
    }
    rows = [
        [way, *(_cell(runs, get, form=".3f", scale=1.0) for get in steps.values())]
        for way, runs in results.items()
        if any("cosines" in run for run in runs)
    ]
    return ["teaching", *steps], rows


def by_augmentation(results: Results) -> Table:
    """Columns and rows: the mean of both heads' logits, and what is lost against all augmentation."""
    means = {way: statistics.mean(run[MEANS[0]] for run in runs) for way, runs in results.items()}
    whole = means.get("all augmentation")
    rows = [
        [way, spread([run[MEANS[0]] for run in runs]), "" if whole is None else f"{100 * (means[way] - whole):+.2f}"]
        for way, runs in results.items()
    ]
    return ["augmentation", MEANS[0], "against all"], rows


# A question -> its tables by their names.
TABLES: Mapping[str, Mapping[str, Callable[[Results], Table]]] = {
    "teaching": {"teaching": by_heads, "pull": by_pull},
    "weight": {"weight": by_heads, "pull_of_weights": by_pull},
    "token": {"token": by_heads, "cosine": by_cosine},
    "teacher": {"teacher": by_heads},
    "augmentation": {"augmentation": by_augmentation},
}


# What the numbers of a table are, where they are no accuracies.
UNITS: Mapping[str, str] = {
    "pull": "Mean length of the gradient at an image's distillation logits before the first step, how many times it is "
    "that of the label at the class logits, and percent of the test photos",
    "cosine": "Mean of the test photos",
    "in_training": "In percent of the photos in the first batches of seed 0: as they are, and as training mixes them",
}


def in_training(experiment: Experiment) -> Table:
    """What each teacher says of training photos, in percent."""
    said = {name: experiment.said_in_training(name) for name in experiment.sources}
    columns = ["teacher", *next(iter(said.values()))]
    return columns, [[name, *(spread([share]) for share in shares.values())] for name, shares in said.items()]


def agreement(experiment: Experiment, results: Results) -> Table:
    """The share of test photos with different answers, in percent: of labels, teachers and students, as in table 4.

    Of a student it is the mean over its seeds; against the student without a teacher, that of the same seed.
    """
    labels = {"labels": experiment.splits["test"].labels}
    teachers = {name: experiment.answers_of(name) for name in experiment.sources}
    lone = "no teacher"
    columns = ["different answers", *labels, *teachers, lone, "its own other head"]
    rows = []
    for name, given in teachers.items():
        rows.append([name, *(spread([differing(given, other)]) for other in (labels | teachers).values()), "", ""])
    for way, runs in results.items():
        for head in (*HEADS, MEANS[0]) if WAYS[way].teachers else MEANS[:1]:
            cells: list[list[float]] = [[] for _ in columns[1:]]
            for run in runs:
                mine = experiment.answers(way, run["seed"])
                others = [*labels.values(), *teachers.values()]
                for cell, other in zip(cells, others, strict=False):
                    cell.append(differing(mine[head], other))
                if way != lone and any(run["seed"] == there["seed"] for there in results.get(lone, ())):
                    cells[-2].append(differing(mine[head], experiment.answers(lone, run["seed"])[MEANS[0]]))
                if head in HEADS:
                    cells[-1].append(differing(*(mine[name] for name in HEADS)))
            name = f"{way}: {'both' if head in MEANS else head}" if WAYS[way].teachers else way
            rows.append([name, *(spread(cell) if cell else "" for cell in cells)])
    return columns, rows
