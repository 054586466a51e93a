"""Enters the points of `deit-ref course grade` into nbgrader's gradebook, and what is wrong as comments.

python -m deit_ref.course.release.gradebook grades/details    (in the folder of nbgrader's course, after autograde)
"""

import argparse
import json
from pathlib import Path

from deit_ref.course.grading.cells import printable
from deit_ref.course.grading.feedback import block


def enter(details: Path, database: str = "sqlite:///gradebook.db") -> tuple[int, list[str]]:
    """Of every student whom the gradebook knows, the points of every task.

    Args:
        details: the folder that stands beside the table of points.
        database: the gradebook's address.

    Returns:
        How many notebooks got their points, and of whom nbgrader has no submission, as "student, assignment".

    Raises:
        ValueError: the folder holds no details.
    """
    from nbgrader.api import Gradebook, MissingEntry

    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(details.glob("*/*.json"))]
    if not results:
        raise ValueError(f"{details} holds no details: give the folder that `deit-ref course grade` wrote them to.")
    entered, missing = 0, []
    with Gradebook(database) as book:
        for result in results:
            place = (result["assignment"], result["assignment"], result["student"])
            try:
                for task in result["tasks"]:
                    grade, comment = book.find_grade(task["name"], *place), book.find_comment(task["name"], *place)
                    grade.manual_score, grade.needs_manual_grade = task["points"], False
                    comment.manual_comment = printable("\n\n".join(map(block, task["messages"])))
                entered += 1
            except MissingEntry:
                missing.append(f"{result['student']}, {result['assignment']}")
        book.db.commit()
    return entered, missing


def main() -> None:
    """Enter the points and say of whom."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.course.release.gradebook", description=enter.__doc__)
    parser.add_argument("details", type=Path, help="the folder `details` beside the table of points")
    parser.add_argument("--db", default="sqlite:///gradebook.db", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        entered, missing = enter(args.details, args.db)
    except ValueError as error:
        parser.error(str(error))
    print(f"{entered} notebooks have their points.")
    for who in missing:
        print(f"nbgrader has no submission of {printable(who)}: run `nbgrader autograde` first.")


if __name__ == "__main__":
    main()
