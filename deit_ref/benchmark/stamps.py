"""How many cut-outs on white a model names, which it did not learn from.

python -m deit_ref.benchmark.stamps --stamps /usr/share/tuxpaint/stamps --weights cifar10-distilled
"""

import argparse
import sys
from pathlib import Path

from deit_ref.data.images import ImageSet
from deit_ref.data.stamps import stamps
from deit_ref.training.answers import Answers
from deit_ref.training.measures import answers_to, classifier


def report(found: Answers, pictures: ImageSet) -> str:
    """A line for each picture that is named wrongly, for each class, and for all."""
    wrong = [
        f"{pictures.names[i]}: {pictures.class_names[found.answers[i]]} ({found.probabilities[i]:.0%})"
        for i in range(len(pictures))
        if not found.is_right[i]
    ]
    classes = [
        f"{name}: {found.is_right[found.labels == label].sum()} of {(found.labels == label).sum()}"
        for label, name in enumerate(pictures.class_names)
    ]
    total = f"all: {found.is_right.sum()} of {len(pictures)}, {found.is_right.mean():.1%}"
    return "\n".join([*wrong, *classes, total])


def main(argv: list[str] | None = None) -> int:
    """Print what the weights name."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.stamps", description=__doc__)
    parser.add_argument("--stamps", type=Path, required=True, metavar="DIR", help="of Debian's tuxpaint-stamps-default")
    parser.add_argument("--weights", default="cifar10-distilled", metavar="SOURCE", help="or a teacher's folder")
    args = parser.parse_args(argv)
    pictures = stamps(args.stamps)
    print(report(answers_to(classifier(args.weights), pictures)[0], pictures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
