"""What notebooks ask and what they judge; and all of them a second time, solved, with `backend = "torch"`.

Building the site runs them with NumPy and unsolved. With torch only in the thorough profile:
DEIT_REF_HYPOTHESIS_PROFILE=thorough pytest tests/test_notebooks.py
"""

import ast
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
    for cell, after in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code" and "# your turn" in cell.source:
            cell.source = cell.source.replace(STUB.search(cell.source)[0], SOLUTION.findall(after.source)[0])
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


# Each notebook opens with a picture, asks before it tells, and judges what its reader writes.

SCRIPTS = [path.with_suffix(".py") for path in NOTEBOOKS]
QUESTION, ANSWERS = (
    re.compile(r"^(\d)\. ", re.MULTILINE),
    re.compile(r"<details><summary>Answers</summary>(.*?)</details>", re.DOTALL),
)
SOLUTION = re.compile(r"<summary>Solution</summary>\s+```python\n(.*?)```", re.DOTALL)
STUB = re.compile(
    r"^(?:(\w+) = \.\.\.  # your turn[^\n]*|def (\w+)\(.*?^    \.\.\.  # your turn)\n", re.MULTILINE | re.DOTALL
)


def cells_of(path):
    return pytest.importorskip("jupytext").read(path).cells


def bound(code):
    """Names that a cell binds, and names that it takes from cells before it."""
    tree = ast.walk(ast.parse(code))
    stored, loaded = set(), set()
    for node in tree:
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        elif isinstance(node, ast.FunctionDef):
            stored.add(node.name)
        elif isinstance(node, ast.arg):
            stored.add(node.arg)
        elif isinstance(node, ast.alias):
            stored.add((node.asname or node.name).split(".")[0])
    return stored, loaded - stored


def exercises(path):
    """Of each cell that a reader writes in: its code, the solution, and the cells before it that it needs."""
    cells = cells_of(path)
    for i, cell in enumerate(cells):
        if cell.cell_type == "code" and "# your turn" in cell.source:
            (solution,) = SOLUTION.findall(cells[i + 1].source)
            before, wanted = [], bound(cell.source)[1]
            for j in reversed(range(i)):
                stored, loaded = bound(cells[j].source) if cells[j].cell_type == "code" else (set(), set())
                if stored & wanted:
                    before.insert(0, j)
                    wanted = wanted - stored | loaded
            yield cell.source, solution, {j: cells[j].source for j in before}


# What a reader may well write instead.
WRONG = {
    "my_tokens": "my_tokens = 14 * 14",
    "my_softmax": "def my_softmax(scores):\n    return np.exp(scores)\n",
    "my_patches": "def my_patches(image, side):\n    return image.reshape(-1, side * side)\n",
    "my_count": "my_count = 192 * 768",
    "my_mask": "def my_mask(mask_token, z, mask):\n    return np.where(mask[:, :, None] > 0, mask_token, z)\n",
    "my_cosine": "def my_cosine(a, b):\n    return a @ b\n",
    "my_kernel": "def my_kernel(x, a=-0.75):\n    return (a + 2) * x**3 - (a + 3) * x**2 + 1\n",
    "my_place": "my_place = [5, 0]",
    "my_layer_norm": "def my_layer_norm(x, scale, shift, eps):\n    return (x - x.mean()) / x.std() * scale + shift\n",
    "my_score": "my_score = 0.9",
    "my_attention": (
        "def my_attention(q, k, v):\n    powers = np.exp(q @ k.T / 2)\n    return powers / powers.sum(axis=0) @ v\n"
    ),
    "my_rollout": "def my_rollout(blocks):\n    return sum(blocks) / len(blocks)\n",
    "my_block": "def my_block(z, norm1, attend, norm2, think):\n    return z + attend(norm1(z)) + think(norm2(z))\n",
    "my_chance": "my_chance = 0.9 * 0.8 * 0.7 * 0.6 * 0.5",
    "my_answers": (
        "def my_answers(W_cls, b_cls, W_dist, b_dist, z_cls, z_dist):\n"
        "    return np.stack([W_cls @ z_cls, W_dist @ z_dist, (W_cls @ z_cls + W_dist @ z_dist) / 2])\n"
    ),
    "my_probability": "my_probability = (16 / 17 + 1 / 2) / 2",
    "my_cross_entropy": "def my_cross_entropy(logits, labels):\n    return -logits.max(axis=1).mean()\n",
    "my_divergence": "my_divergence = 3 / 4 * log(3 / 2)",
    "my_product_back": "def my_product_back(a, v, dy):\n    return v @ dy.T\n",
    "my_softmax_back": "def my_softmax_back(p, dp):\n    return p * dp\n",
    "my_norm_back": "def my_norm_back(normed, std, dn):\n    return dn / std\n",
    "my_loss_back": "def my_loss_back(logits, shares):\n    return forward_layers.softmax(logits) - shares\n",
    "my_adam_step": "def my_adam_step(w, g, m, v, step, rate):\n    return w - rate * m / np.sqrt(v)\n",
    "my_first_loss": "my_first_loss = 0.9",
    "my_pull": (
        "def my_pull(distillation_logits, teacher_logits):\n"
        "    return layers.softmax(distillation_logits) - layers.softmax(teacher_logits)\n"
    ),
    "my_alpha": "my_alpha = 1.0",
    "my_shuffle": "def my_shuffle(features, side):\n    return features.reshape(side * 3, side * 5)\n",
    "my_masked_l1": "def my_masked_l1(guess, pixels, hidden):\n    return np.abs(guess - pixels).mean()\n",
    "my_relevance": "def my_relevance(R, a, da):\n    return R + R @ np.maximum(a * da, 0).mean(axis=0)\n",
    "my_saliency": "def my_saliency(dpixels):\n    return dpixels.max(axis=0)\n",
    "my_bytes": "def my_bytes(pixel_values, mean, std):\n    return (pixel_values * std + mean).astype(np.uint8)\n",
    "my_share": "my_share = 224 * 224 / (480 * 640)",
    "my_weights": (
        "def my_weights(old, new):\n"
        "    middles = (np.arange(new)[:, None] + 0.5) * old / new\n"
        "    return np.maximum(1 - np.abs(np.arange(old) + 0.5 - middles), 0)\n"
    ),
    "my_order": "my_order = [1, 1, 1, 1]",
    "my_gelu": "def my_gelu(x, coefficients):\n    return x / (1 + np.exp(-x))\n",
    "my_value": "my_value = -0.8413",
    "my_eps": "my_eps = 0.01",
    "my_masked": "def my_masked(shares, head_mask):\n    return shares + head_mask[:, None, None]\n",
}
# Names that stand for something else in another notebook.
WRONG_THERE = {
    ("08_model", "my_tokens"): "my_tokens = 768",
    ("08_model", "my_count"): "def my_count(dim, hidden):\n    return 4 * dim * dim + 2 * dim * hidden\n",
}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_answer_is_judged(path, capsys, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(path.parent)
    namespace, done, found = {}, set(), list(exercises(path))
    assert len(found) >= 2
    for code, solution, before in found:
        for j, source in before.items():
            if j not in done:
                exec(compile(source, f"{path.name}, cell {j}", "exec"), namespace)
                done.add(j)
        pyplot.close("all")
        stub = STUB.search(code)
        name = stub[1] or stub[2]
        for written, said in ((stub[0], "Your turn"), (solution, "Right")):
            capsys.readouterr()
            exec(compile(code.replace(stub[0], written), path.name, "exec"), namespace)
            assert said in capsys.readouterr().out, name
        wrong = WRONG_THERE.get((path.stem, name), WRONG[name]) + "\n"
        with pytest.raises(AssertionError, match="not yet"):
            exec(compile(code.replace(stub[0], wrong), path.name, "exec"), namespace)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_picture_comes_first_and_questions_before_answers(path):
    cells = cells_of(path)
    title, first = cells[:2]
    assert "?" in title.source
    assert first.metadata.get("alt"), "the first code cell makes the picture that the notebook is about"
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert text.count("**Before you run it:**") >= 3
    (answers,) = ANSWERS.findall(text)
    questions = text[text.index("## Try") :].split("<details>")[0]
    assert QUESTION.findall(questions) == QUESTION.findall(answers) == ["1", "2", "3"]
    assert "A hint" not in text
    assert not any("getsource" in cell.source for cell in cells), "use deit_ref.exercises.folded"
