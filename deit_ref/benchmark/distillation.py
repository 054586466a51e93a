"""Why distillation works: the experiments of the paper that can be made small, a table for each question.

    python -m deit_ref.benchmark.distillation token teaching --data cifar10/ --teacher runs/teacher --out runs/ \\
        --json tables/ --png figures/

One student, one set of photos, one number of epochs, several seeds; what differs is named in `ways`. A run has a folder
of its own in `--out`, whichever question it belongs to, and is trained once: a finished one is taken as it is, one that
was cut off goes on, and one that another process is at work on is passed over. So the command may be given again, and
two may run beside each other. The tables are of all runs that are finished.

Source: Touvron et al. 2021, section 4 and tables 2, 3, 4 and 8.
"""

import argparse
import dataclasses
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from deit_ref import checks, plots
from deit_ref.benchmark import records
from deit_ref.benchmark.experiment import MEANS, Experiment
from deit_ref.benchmark.inside import COSINE, token_path
from deit_ref.benchmark.tables import TABLES, UNITS, Results, agreement, heads, in_training
from deit_ref.benchmark.ways import CONVNET, QUESTIONS, WAYS
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.data.opening import open_splits
from deit_ref.photos import write_png
from deit_ref.training.lock import InUseError
from deit_ref.training.prepared import kept
from deit_ref.training.recipe import RECIPES

logger = logging.getLogger("deit_ref")


def main(argv: list[str] | None = None) -> int:
    """Train all students that the questions need, print the tables, write the numbers."""
    args = _arguments(argv)
    recipe = RECIPES[args.recipe]
    if args.epochs is not None:
        recipe = recipe.with_changes(epochs=args.epochs)
    splits = {name: kept(images) for name, images in open_splits(args.data, recipe.image_processing).items()}
    experiment = Experiment(recipe, splits, args.out, args.teacher, torch.device(args.device))
    ways = dict.fromkeys(way for question in args.question for way in QUESTIONS[question])
    for seed in range(args.seeds):  # seed by seed, so that what is there can be compared at any time
        for way in ways if args.only is None else args.only:
            try:
                experiment.run(way, seed)
            except InUseError as error:
                logger.warning("%s, seed %d is passed over: %s", way, seed, error)
            else:
                _write(args, experiment)
    for question in args.question:
        print(*(records.markdown(*table) for table in _tables(experiment, question, args.seeds).values()), sep="\n\n")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deit_ref.benchmark.distillation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", nargs="+", choices=QUESTIONS, metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a train and a test part")
    parser.add_argument(
        "--teacher",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help=f"a teacher of the same classes; without a name it is called {CONVNET}; may be given again",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets a folder for each run")
    parser.add_argument("--json", type=Path, metavar="DIR", help="gets the numbers of each question, after each run")
    parser.add_argument("--png", type=Path, metavar="DIR", help="gets the charts of each question, after each run")
    parser.add_argument("--recipe", choices=RECIPES, default="cifar10-table", help="(default: cifar10-table)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument("--device", default="cpu", help="such as cuda (default: cpu)")
    parser.add_argument("--only", nargs="+", choices=WAYS, metavar="WAY", help="train these alone")
    args = parser.parse_args(argv)
    pairs = [text.rpartition("=") for text in args.teacher]
    args.teacher = {name or CONVNET: folder for name, _, folder in pairs}
    if len(args.teacher) < len(pairs):
        parser.error(f"expected a name for each teacher, got {', '.join(args.teacher)} twice: --teacher NAME=DIR")
    return args


def _tables(experiment: Experiment, question: str, seeds: int) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The tables of a question; none without a finished run."""
    results = experiment.results(QUESTIONS[question], seeds)
    if not results:
        return {}
    found = {name: table(results) for name, table in TABLES[question].items()}
    if question == "teacher":
        found |= {"agreement": agreement(experiment, results), "in_training": in_training(experiment)}
    return found


def _write(args: argparse.Namespace, experiment: Experiment) -> None:
    for folder in filter(None, (args.json, args.png)):
        folder.mkdir(parents=True, exist_ok=True)
    for question in args.question:
        results = experiment.results(QUESTIONS[question], args.seeds)
        for name, (columns, rows) in _tables(experiment, question, args.seeds).items() if args.json is not None else ():
            values = records.record(
                f"distillation {shlex.join(_words(args, question))}",
                columns,
                rows,
                notes=[*_notes(results, name), *_spread_elsewhere(experiment, question, args.seeds)],
                budget=_budget(results),
                recipe=dataclasses.asdict(experiment.recipe),
                ways={way: dataclasses.asdict(WAYS[way]) for way in results},
            )
            if name == question:  # once, beside the table that all others follow
                values["results"] = results
            write(args.json / f"distillation_{name}.json", json_bytes(values))
        for name, figure in _figures(question, results).items() if args.png is not None else ():
            write_png(args.png / f"distillation_{name}.png", plots.rendered(figure))


def _figures(question: str, results: Results) -> dict[str, Any]:
    found = {question: plots.distillation_chart(results)} if results else {}
    if question == "token":
        paths = {way: [token_path(run["cosines"]) for run in runs if "cosines" in run] for way, runs in results.items()}
        paths = {way: rows for way, rows in paths.items() if rows}
        if paths:
            places = [str(i + 1) for i in range(len(next(iter(paths.values()))[0]) - 2)]
            found["cosine"] = plots.by_block(paths, ["input", *places, "end"], title=COSINE)
    return found


def _budget(results: Results) -> dict[str, Any]:
    runs = [run for each in results.values() for run in each]
    return {
        "runs": len(runs),
        "photos": sum(run["photos"] for run in runs),
        "seconds": round(sum(run["seconds"] for run in runs)),
        "threads": sorted({run["threads"] for run in runs}),
    }


def _notes(results: Results, name: str) -> list[str]:
    """What stands below the table."""
    unit = UNITS.get(name, "In percent of the test photos")
    if name == "in_training":  # no student is in it
        return [f"{unit}."]
    budget, counts = _budget(results), {len(runs) for runs in results.values()}
    several = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    seeds = "of one seed" if counts == {1} else f"mean ± standard deviation of {several} seeds"
    photos = sorted({f"{run['photos']:,}" for runs in results.values() for run in runs})
    return [
        f"{unit}, {seeds}.",
        f"{checks.amount(budget['runs'], 'run')} that saw {' or '.join(photos)} photos each, in "
        f"{budget['seconds'] / 3600:.1f} hours, pauses included, threads: {' or '.join(map(str, budget['threads']))}.",
    ]


def _spread_elsewhere(experiment: Experiment, question: str, seeds: int) -> list[str]:
    """What the seeds of the student without a teacher say of differences in a table of few seeds, or of one."""
    runs = experiment.results(["no teacher"], max(seeds, 3)).get("no teacher", [])
    if question != "augmentation" or len(runs) < 2:
        return []
    return [f"The student without a teacher and with the table's usual augmentation: {heads(runs, MEANS[:1])[0]}."]


def _words(args: argparse.Namespace, question: str) -> list[str]:
    words = [question, "--data", args.data.name, "--seeds", str(args.seeds)]
    for name, folder in args.teacher.items():
        words += ["--teacher", f"{name}={Path(folder).name}"]
    return words + ([] if args.epochs is None else ["--epochs", str(args.epochs)])


if __name__ == "__main__":
    sys.exit(main())
