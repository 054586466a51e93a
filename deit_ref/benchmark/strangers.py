"""How many cut-outs on white, or photographs of other cameras, a model names, which it did not learn from.

python -m deit_ref.benchmark.strangers --stamps /usr/share/tuxpaint/stamps --weights cifar10-distilled
python -m deit_ref.benchmark.strangers --photographs /usr/share/gcompris-qt/rcc --weights cifar10-distilled
"""

import argparse
import sys
from pathlib import Path

from deit_ref.data.images import ImageSet
from deit_ref.data.strangers import photographs, stamps
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
        if (found.labels == label).any()
    ]
    total = f"all: {found.is_right.sum()} of {len(pictures)}, {found.is_right.mean():.1%}"
    return "\n".join([*wrong, *classes, total])


def main(argv: list[str] | None = None) -> int:
    """Print what the weights name."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.strangers", description=__doc__)
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--stamps", type=Path, metavar="DIR", help="of Debian's tuxpaint-stamps-default")
    pictures.add_argument("--photographs", type=Path, metavar="DIR", help="of Debian's gcompris-qt-data")
    parser.add_argument("--weights", default="cifar10-distilled", metavar="SOURCE", help="or a teacher's folder")
    args = parser.parse_args(argv)
    asked = stamps(args.stamps) if args.stamps is not None else photographs(args.photographs)
    print(report(answers_to(classifier(args.weights), asked)[0], asked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
