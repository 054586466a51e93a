"""All notebooks a second time, with `backend = "torch"`; building the site runs them with NumPy.

Only in the thorough profile: DEIT_REF_HYPOTHESIS_PROFILE=thorough pytest tests/test_notebooks.py
"""

import asyncio
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("torch")


def with_torch(notebook):
    """Write the other backend into the one line that names it; how many lines that were."""
    replaced = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, here = re.subn(r'^backend = "numpy"$', 'backend = "torch"', cell.source, flags=re.MULTILINE)
            replaced += here
    return replaced


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_line_chooses_the_backend(path):
    assert with_torch(nbformat.read(path, as_version=4)) == 1


@pytest.mark.skipif(
    os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") != "thorough",
    reason="runs in the thorough profile (.ci/run --thorough)",
)
@pytest.mark.skipif(
    not (ROOT / "deit_ref/pretrained/cifar10-distilled/model.safetensors").exists(), reason="no bundled weights yet"
)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_with_torch(path):
    notebook = nbformat.read(path, as_version=4)
    assert with_torch(notebook) == 1
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        extra_arguments=["--log-level=40"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
    }
    asyncio.run(client.async_execute(env=environment))


SOLUTION = re.compile(r"<summary>Solution</summary>\s+```python\n(def (\w+)\(.*?)```", re.DOTALL)


def solved(path, change=lambda solution: solution):
    """The code of a notebook, its readers' functions replaced by the folded solutions; and those solutions' names.

    Up to the last function that is judged: what follows, which may take long, is run where the site is built.
    """
    jupytext = pytest.importorskip("jupytext")
    cells, names = jupytext.read(path).cells, []
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for cell in cells:
        for solution, name in SOLUTION.findall(cell.source) if cell.cell_type == "markdown" else []:
            (stub,) = re.findall(rf"^def {name}\(.*?# your turn\n", code, flags=re.MULTILINE | re.DOTALL)
            code = code.replace(stub, change(solution))
            names.append(name)
    end = code.index("\n", code.rindex("judge(my_"))
    return code[:end], names


WITH_SOLUTIONS = [
    path for path in sorted((ROOT / "notebooks").glob("*.py")) if "# your turn" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", WITH_SOLUTIONS, ids=lambda path: path.stem)
def test_folded_solutions_are_right(path, capsys, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(path.parent)
    code, names = solved(path)
    assert len(names) == code.count("judge(my_") == path.read_text("utf-8").count("# your turn") > 0
    exec(compile(code, path.name, "exec"), {})
    printed = capsys.readouterr().out
    assert "Your turn" not in printed
    assert printed.count("Right: ") >= len(names)
    pyplot.close("all")
    for i in range(len(names)):
        count = iter(range(99))
        wrong, _ = solved(
            path, lambda text, i=i, count=count: text.replace("return ", "return 1.1 * ") if next(count) == i else text
        )
        with pytest.raises(AssertionError, match="not yet: off by"):
            exec(compile(wrong, path.name, "exec"), {})
    pyplot.close("all")
