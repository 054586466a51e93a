"""The command `course report`: a class at a glance."""

import argparse
import json
from pathlib import Path

from deit_ref.commands.arguments import add_force, new_file, refuse_to_replace
from deit_ref.commands.terminal import json_line, printable, say

EXAMPLES = """examples:
  deit-ref course report grades.csv --out report.html
  deit-ref course report a2/grades.csv --out a2/report.html --json a2.json

GRADES is the table that `grade` wrote, with details/ beside it. The page shows, for each assignment: how many points
the class has, by task; the most frequent mistakes; the messages that no known mistake explains, so that you can give
them a name; whose points the last run changed; and submissions that have more in common than chance would have it,
which is a list to look at and never a verdict. It is one file, which loads nothing. Beside it stands the same as
JSON."""


def add_arguments(report: argparse.ArgumentParser) -> None:
    report.add_argument("grades", metavar="GRADES", help="the table that grade wrote, with details/ beside it")
    report.add_argument("--out", type=new_file(".html"), required=True, metavar="FILE.html", help="the page to write")
    words = "the same for programs (default: beside the page)"
    report.add_argument("--json", type=new_file(".json"), metavar="FILE.json", help=words)
    add_force(report)


def run(args: argparse.Namespace) -> int:
    """Write the page and its JSON, and say in a few lines what is in it."""
    from deit_ref.course.assignments import find_assignment
    from deit_ref.course.grading.history import recall
    from deit_ref.course.grading.rows import read_details
    from deit_ref.course.report.page import page
    from deit_ref.course.report.summary import summary

    out, table = Path(args.out), Path(args.grades)
    data = out.with_suffix(".json") if args.json is None else Path(args.json)
    for path in (out, data):
        refuse_to_replace(str(path), force=args.force)
    results, history = read_details(table), recall(table)
    names = dict.fromkeys(result["assignment"] for result in results)
    summaries = [
        summary(find_assignment(name), [one for one in results if one["assignment"] == name], history.get(name, {}))
        for name in names
    ]
    out.write_text(page(table.name, summaries), encoding="utf-8")
    data.write_text(json.dumps(json.loads(json_line(summaries)), indent=1) + "\n", encoding="utf-8")
    for one in summaries:
        print(f"{one['assignment']}: {one['students']} students, {one['mean']:g} of {one['out_of']} points on average.")
        for task in one["tasks"]:
            says = [f"  {task['task']}: {task['mean']:g} of {task['out_of']}"]
            says += [f"{len(mistake['students'])} x {mistake['name']}" for mistake in task["mistakes"][:2]]
            strange = sum(len(group["students"]) for group in task["unnamed"])
            says += [f"{strange} x no known mistake"] if strange else []
            print(printable("; ".join(says)))
        if changed := one["changes"]["students"]:
            print(f"  changed since the last run: {len(changed)}")
        if pairs := one["similar"]:
            print(
                printable(
                    f"  to look at together: {len(pairs)} pairs, first {pairs[0]['first']} and {pairs[0]['second']}"
                )
            )
    say(f"{out}, and the same for programs in {data}.")
    return 0
