"""The README's Python runs, its files exist, and its commands are the ones that CI runs."""

import re
import shutil
from pathlib import Path

import pytest
from strategies import random_weights

import deit_ref
from deit_ref.photos import bundled_photo

ROOT = Path(__file__).parent.parent
SMALL = deit_ref.DeiTConfig(
    hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=4, num_labels=7
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 1
    monkeypatch.chdir(tmp_path)
    shutil.copy(bundled_photo(), "cat.jpg")
    deit_ref.save_weights(random_weights(SMALL, "classification-with-teacher"), "path/to/checkpoint")
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert len(names["output"].top(5)[0]) == 5
    assert "NumPy and torch agree" in capsys.readouterr().out


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_chapter_is_listed_with_its_files():
    for chapter in deit_ref.CHAPTERS:
        assert f"| {chapter.number} " in README
        for backend, files in (("numpy", chapter.numpy), ("torch", chapter.torch)):
            if len(files) > 2:
                files = (files[0].rpartition(".")[0],)  # a folder
            for file in files[:1]:
                assert f"deit_ref/{backend}_backend/{file.replace('.', '/')}" in README


def test_ci_runs_the_set_up_commands():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install -c constraints.txt -e ".[dev]" && pytest' in README
    assert 'pip install -c constraints.txt -e ".[dev]"' in script
    assert "pip install . && python -m deit_ref classify" in README
    assert "python -m deit_ref classify" in script


def test_versions_agree():
    for file in ("pyproject.toml", "CITATION.cff"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf'^version: "?{deit_ref.__version__}"?$|^version = "{deit_ref.__version__}"$', text, re.M), (
            file
        )
