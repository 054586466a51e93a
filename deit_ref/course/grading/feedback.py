"""What students read: a report in Markdown for each submission, in which their own names and messages are text."""

import re

from deit_ref.course import cut
from deit_ref.course.grading.cells import printable
from deit_ref.course.grading.marks import Result
from deit_ref.course.grading.plan import Plan


def report(plan: Plan, result: Result) -> str:
    """What the student gets to read, in Markdown."""
    number, title = plan.assignment.number, plan.assignment.title
    lines = [f"# Assignment {number}, {title}: {result['total']:g} of {result['out_of']:g} points"]
    file = f", file {_plain(result['file'])}." if result["file"] else "."
    lines += ["", f"Of {_plain(result['student'])}{file}"]
    lines += [line for note in result["notes"] for line in ("", block(note))]
    lines += ["", "| task | points | of | right cases |", "|---|---|---|---|"]
    for task in result["tasks"]:
        lines.append(
            f"| {task['name']} | {task['points']:g} | {task['out_of']:g} | {task['right']} of {task['cases']} |"
        )
    wrong = {task["name"] for task in result["tasks"] if task["right"] < task["cases"]}
    for (task, _), found in zip(plan.cases, result["tasks"], strict=True):
        handed_in, better = (found[name]["right"] for name in ("as_handed_in", "with_reference"))
        if not found["messages"] and handed_in >= better:
            continue
        lines += ["", f"## {task.name}: {found['points']:g} of {found['out_of']:g}"]
        if found["wrong"] and all(case["mistake"] == "not solved" for case in found["wrong"]):
            lines += ["", "Not solved yet."]
            continue
        if handed_in < better:
            lines += [
                "",
                f"As handed in {handed_in} of {found['cases']} cases are right; with the reference for the other tasks "
                f"{better}, and these count.",
            ]
        missing = found["wrong"] and all(case["mistake"] == "no such function" for case in found["wrong"])
        used = wrong & {place.rpartition(".")[2] for place in cut.needs(task.function)}
        if used and not missing:
            lines += ["", f"It uses {' and '.join(sorted(used))}: mend what is wrong there first."]
        lines += [line for message in found["messages"] for line in ("", block(message))]
    return printable("\n".join(lines)) + "\n"


def block(message: str) -> str:
    """A message as Markdown: its first line as text, the others as they are."""
    first, *rest = message.split("\n")
    return "\n".join([_plain(first), *([""] if rest else []), *(f"    {line}" for line in rest)])


# What means something in Markdown wherever it stands, or only there: links, entities, emphasis.
_ACTIVE = re.compile(r"[\\`*~<|$]|\](?=[(\[:])|!(?=\[)|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])")
_ACTIVE_FIRST = re.compile(r"^(\d*)([-+=#>:.)\[])")


def _plain(line: str) -> str:
    """A line as Markdown that shows just this text: no emphasis, link, picture, heading, list, table or HTML."""
    text = _ACTIVE.sub(r"\\\g<0>", re.sub(r"\s", " ", line).strip())
    return _ACTIVE_FIRST.sub(r"\1\\\2", text)
