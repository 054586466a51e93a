"""The page of a report: one file of HTML without scripts, which loads nothing, for bright and dark screens."""

from collections.abc import Iterable, Sequence
from html import escape

from deit_ref.course.grading.cells import printable
from deit_ref.course.report.summary import STEPS, Summary

_STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --soft: #5c6370; --line: #d9dce1; --back: #fff; --bar: #2f6db3;
  --s0: #b3372f; --s1: #d9793a; --s2: #e3b341; --s3: #b5c46b; --s4: #6fae8b; --s5: #2e8b57 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6ea; --soft: #a2a9b4; --line: #3a3f47; --back: #16181c; --bar: #6aa5e3 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line) } h3 { margin: 2rem 0 .5rem }
p { max-width: 45rem } .soft { color: var(--soft); font-size: .9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; overflow-wrap: normal }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600; font-size: .85rem } .number { text-align: right; white-space: nowrap }
.chart { display: flex; gap: 3px; height: 9rem; max-width: 36rem; align-items: end; padding-top: 1.4rem }
.chart div { flex: 1; background: var(--bar); min-height: 1px; position: relative }
.chart b { position: absolute; bottom: 100%; width: 100%; text-align: center; font-size: .8rem; font-weight: 400 }
.axis { display: flex; max-width: 36rem; justify-content: space-between; color: var(--soft); font-size: .8rem }
.steps { display: flex; width: 14rem; height: 1.1rem; margin-top: .2rem } .steps i { display: block }
.key { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 .8rem }
.s0 { background: var(--s0) } .s1 { background: var(--s1) } .s2 { background: var(--s2) } .s3 { background: var(--s3) }
.s4 { background: var(--s4) } .s5 { background: var(--s5) }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font-size: .82rem }
@media (max-width: 44rem) {
  thead { display: none } tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0 }
  td, .number { display: grid; overflow-wrap: anywhere;
    grid-template-columns: 7rem minmax(0, 1fr); border: 0; padding: .1rem 0; text-align: left }
  td::before { content: attr(data-head); color: var(--soft); font-size: .85rem } .steps { width: 100% } }
code { font-size: .9em } summary { cursor: pointer; color: var(--soft); font-size: .9rem }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_LEAD = (
    "Names and points of students: this page is for whoever teaches them. It loads nothing and runs nothing. Points "
    "are those of the tests; what was typed into the table, such as for open questions, is not among them."
)

_NO_VERDICT = """This is a list to look at, <strong>not a verdict</strong>. It compares the shape of code, whatever its
names, numbers, comments and order. What was handed out and the reference's own text do not count, and what most of the
class wrote does not either. Innocent reasons are common: a short function has one natural form; two who worked from the
same lecture, page or answer write the same lines; who may work in pairs did. Read both files, then ask each of the two
to explain a function of their own."""

_MOST, _LETTERS = 30, 1500


def page(name: str, summaries: Sequence[Summary]) -> str:
    """The whole page.

    Args:
        name: of the table, for the title.
        summaries: of the assignments.
    """
    title = f"Report on {_text(name)}"
    parts = [f"<h1>{title}</h1>", f'<p class="soft">{_LEAD}</p>']
    parts += [part for one in summaries for part in _assignment(one)]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _assignment(one: Summary) -> Iterable[str]:
    yield f"<h2>{_text(one['assignment'])}: {_text(one['title'])}</h2>"
    yield (
        f"<p>{one['students']} students. On average {one['mean']:g} of {one['out_of']} points, half of them at least "
        f"{one['median']:g}.</p>"
    )
    yield from _points(one)
    yield "<h3>Tasks</h3>"
    keys = "".join(f'<span class="key s{i}"></span>{step}' for i, step in enumerate(STEPS))
    yield f'<p class="soft">Share of a task\'s points:{keys}</p>'
    head = ("task", "of", "mean", "students by points", "not solved", "not there")
    yield _table(head, ([*_task(task)] for task in one["tasks"]), numbers=(1, 2, 4, 5))
    yield "<h3>Most frequent mistakes</h3>"
    rows = [(len(m["students"]), t["task"], m["name"], m["students"]) for t in one["tasks"] for m in t["mistakes"]]
    rows.sort(key=lambda row: -row[0])
    named = ([str(n), _code(task), _text(name), _who(who)] for n, task, name, who in rows)
    yield _table(("students", "task", "mistake", "who"), named, numbers=(0,)) if rows else "<p>None has a name.</p>"
    yield "<h3>Messages that no known mistake explains</h3>"
    yield from _unnamed(one)
    yield "<h3>What has changed</h3>"
    yield from _changes(one)
    yield "<h3>Submissions to look at together</h3>"
    yield from _similar(one)
    if one["not_graded"]:
        yield f"<h3>Nothing to grade: {len(one['not_graded'])}</h3>"
        yield _table(("student", "why"), ([_text(who["student"]), _text(who["why"])] for who in one["not_graded"]))


def _points(one: Summary) -> Iterable[str]:
    most, counts = max(one["points"]), one["points"]
    bars = "".join(f'<div style="height:{100 * n / most:.1f}%"><b>{n or ""}</b></div>' for n in counts)
    label = f"Students by points, from 0 to {one['out_of']} in {len(counts)} steps: {', '.join(map(str, counts))}"
    yield f'<div class="chart" role="img" aria-label="{label}">{bars}</div>'
    ends = (f"<span>{one['out_of'] * i / 4:g}</span>" for i in range(5))
    yield f'<div class="axis">{"".join(ends)}</div><p class="soft">Points, and how many students have them.</p>'


def _task(task: Summary) -> Iterable[str]:
    yield _code(task["task"])
    yield str(task["out_of"])
    yield f"{task['mean']:g}"
    steps, students = task["steps"], max(1, sum(task["steps"].values()))
    label = ", ".join(f"{step}: {n}" for step, n in steps.items())
    parts = "".join(
        f'<i class="s{i}" style="width:{100 * n / students:.2f}%"></i>' for i, n in enumerate(steps.values())
    )
    yield f'<div class="steps" role="img" aria-label="{label}" title="{label}">{parts}</div>'
    yield str(task["unsolved"])
    yield str(task["missing"])


def _unnamed(one: Summary) -> Iterable[str]:
    groups = [(len(group["students"]), task["task"], group) for task in one["tasks"] for group in task["unnamed"]]
    groups.sort(key=lambda row: -row[0])
    if not groups:
        yield "<p>None: every wrong answer looks like a mistake that has a name.</p>"
        return
    yield (
        '<p class="soft">Students whose first such message in a task is the same, or was raised by the same error, '
        "stand together. What several of them did is worth a name: add it to the assignment's mistakes.</p>"
    )
    rows = (
        [str(n), str(group["messages"]), _code(task), _message(group), _who(group["students"])]
        for n, task, group in groups[:_MOST]
    )
    yield _table(("students", "messages", "task", "what is said", "who"), rows, numbers=(0, 1))
    if len(groups) > _MOST:
        yield f"<p>{len(groups) - _MOST} more stand in the JSON.</p>"


def _message(group: Summary) -> str:
    whole = f"<pre>{_text(group['example'][:_LETTERS])}</pre>"
    return f"{_text(group['kind'][:_LETTERS])}<details><summary>the first of them</summary>{whole}</details>"


def _changes(one: Summary) -> Iterable[str]:
    changes = one["changes"]
    if not changes["since"]:
        yield "<p>Nothing is known of an earlier run.</p>"
        return
    when, since = (_text(changes[name]).replace("T", " ") for name in ("when", "since"))
    yield f"<p>Points that the run of {when} changed, since that of {since}.</p>"
    rows = (
        [_text(one["student"]), "new" if one["before"] is None else f"{one['before']:g}", f"{one['now']:g}",
         ", ".join(map(_code, one["tasks"]))]
        for one in changes["students"]
    )  # fmt: skip
    yield _table(("student", "before", "now", "tasks"), rows, numbers=(1, 2))


def _similar(one: Summary) -> Iterable[str]:
    yield f"<p>{_NO_VERDICT}</p>"
    rows = (
        [f"{_text(pair['first'])}<br>{_text(pair['second'])}", f"{100 * pair['share']:.0f}%", str(pair["common"]),
         ", ".join(f"{_code(name)} {100 * share:.0f}%" for name, share in pair["functions"].items())]
        for pair in one["similar"]
    )  # fmt: skip
    if one["similar"]:
        yield (
            '<p class="soft">The share is of the rare pieces of whoever has fewer of them; a piece is two or three '
            "lines, and pieces overlap. The functions are those of the first.</p>"
        )
        yield _table(("students", "share", "pieces", "functions"), rows, numbers=(1, 2))
    else:
        yield "<p>No two have much in common that others do not have.</p>"
    if one["not_compared"]:
        yield f'<div class="soft">Without code to compare: {_who(one["not_compared"])}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    classes = [' class="number"' if i in numbers else "" for i in range(len(head))]
    heads = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(classes, head, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td{kind} data-head="{name}"><div>{value}</div></td>'
            for kind, name, value in zip(classes, head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _who(students: Sequence[str]) -> str:
    if len(students) <= 3:
        return ", ".join(map(_text, students))
    return f"<details><summary>{len(students)} students</summary>{', '.join(map(_text, students))}</details>"


def _code(name: str) -> str:
    return f"<code>{_text(name)}</code>"


def _text(value: object) -> str:
    return escape(printable(str(value)))
