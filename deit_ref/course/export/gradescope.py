"""An autograder for Gradescope: a zip that runs `deit-ref course grade` there, and results as Gradescope shows them.

    python -m deit_ref.course.export.gradescope DETAILS SAID VISIBILITY > results.json     (in run_autograder)

Source: Gradescope's documentation, "Autograder Specifications", "Base Images" and "Code Autograder Best Practices".
"""

import json
import shlex
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_ref.course.task import Assignment

VISIBILITIES = ("hidden", "after_due_date", "after_published", "visible")

_SETUP = """#!/usr/bin/env bash
# Runs once, as root, when the image is built.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
root=${{AUTOGRADER:-/autograder}}
apt-get update
apt-get install -y libseccomp2
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=python3
    apt-get install -y python3-venv
else
    python=python3.11
    apt-get install -y python3.11 python3.11-venv
fi
"$python" -m venv "$root/python"
"$root/python/bin/pip" install {constraints}"$root/source/"{wheel}
chmod -R o= "$root/source"  # the seed of the hidden tests stands there
"""

_RUN = """#!/usr/bin/env bash
# Runs for each submission. Whatever happens, results.json is written.
root=${{AUTOGRADER:-/autograder}}
work=$(mktemp -d)
mkdir -p "$root/results" "$work/class"
chmod o= "$root/results"
cp -r "$root/submission" "$work/class/student"
"$root/python/bin/python" -m deit_ref course grade "$work/class" --out "$work/grades.csv" --assignment {assignment} \\
    --seed {seed} --jobs 1{isolation} > "$work/said" 2>&1
"$root/python/bin/python" -m deit_ref.course.export.gradescope \\
    "$work/details/student/{assignment}.json" "$work/said" {visibility} > "$root/results/results.json"
rm -rf "$work"
"""


def write_autograder(
    out: Path,
    assignment: Assignment,
    *,
    seed: int,
    wheel: Path,
    constraints: Path | None = None,
    visibility: str = "after_due_date",
    isolated: bool = True,
) -> None:
    """Write the zip.

    Args:
        out: to write.
        assignment: to grade.
        seed: of the hidden tests.
        wheel: of deit_ref, from which the package is installed there.
        constraints: versions of what it needs, for pip.
        visibility: of tasks and messages, in Gradescope's words.
        isolated: False grades without isolation, which stands in the results.

    Raises:
        ValueError: the wheel is not a wheel of deit_ref.
    """
    if not (wheel.name.startswith("deit_ref-") and wheel.suffix == ".whl" and zipfile.is_zipfile(wheel)):
        raise ValueError(
            f"{wheel} is not a wheel of deit_ref: make one with `pip wheel --no-deps .` in its repository."
        )
    limits = "" if constraints is None else '-c "$root/source/constraints.txt" '
    setup = _SETUP.format(wheel=shlex.quote(wheel.name), constraints=limits)
    run = _RUN.format(
        assignment=assignment.name, seed=seed, visibility=visibility, isolation="" if isolated else " --no-isolation"
    )
    unfinished = out.with_name(f"{out.name}.unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", setup), ("run_autograder", run)):
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same file whenever it is made
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
        archive.write(wheel, wheel.name)
        if constraints is not None:
            archive.write(constraints, "constraints.txt")
    unfinished.replace(out)


def results(result: Mapping[str, Any] | None, said: str, visibility: str) -> dict[str, Any]:
    """results.json: a test for each task.

    Args:
        result: the details of the submission, None if there are none.
        said: what the grader said, which is for the student only if there are no details.
        visibility: see `write_autograder`.
    """
    if result is None or result.get("failed"):
        words = said.strip() or "it said nothing."
        return {"score": 0, "output": f"Nothing was graded. Tell your teacher: {words}", "visibility": "visible"}
    tests = [
        {
            "name": task["name"],
            "score": task["points"],
            "max_score": task["out_of"],
            "status": "passed" if task["right"] == task["cases"] else "failed",
            "output": "\n\n".join(task["messages"]) or f"{task['right']} of {task['cases']} cases are right.",
            "output_format": "text",
            "visibility": visibility,
        }
        for task in result["tasks"]
    ]
    file = f"Graded: {result['file']}." if result["file"] else ""
    output = "\n".join(text for text in (file, *result["notes"]) if text)
    return {"score": result["total"], "output": output, "output_format": "text", "visibility": visibility,
            "stdout_visibility": "hidden", "tests": tests}  # fmt: skip


def main() -> None:
    """Print the results of one submission."""
    details, said, visibility = sys.argv[1:]
    try:
        result = json.loads(Path(details).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = None
    print(json.dumps(results(result, Path(said).read_text(encoding="utf-8", errors="replace"), visibility), indent=1))


if __name__ == "__main__":
    main()
