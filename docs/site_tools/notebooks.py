"""Notebooks become pages: executed once, remembered while nothing that they use changes, written as Markdown."""

import ast
import asyncio
import base64
import hashlib
import json
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from deit_ref.course.release.links import setup_code
from site_tools.directives import site_path
from site_tools.sources import ROOT

PACKAGES = ("numpy", "scipy", "pillow", "torch", "matplotlib", "ipykernel", "nbclient")
SECONDS = 120  # for one cell
LIGHT, DARK = "image/webp", "image/x-dark+webp"  # kinds of output, made by site_tools.notebook_figures
# Kinds of pictures: how their files' names end, and which pages show them.
SUFFIXES = {
    LIGHT: (".webp", "#only-light"),
    DARK: ("-dark.webp", "#only-dark"),
    "image/png": (".png", ""),
    "image/jpeg": (".jpg", ""),
    "image/svg+xml": (".svg", ""),
}
WIDE = 560  # CSS pixels: a wider picture keeps so many on a phone, and is scrolled
# A page begins with a picture, and not with imports.
FIRST = '<details markdown="1"><summary>Imports, and the code of this picture</summary>\n\n{code}\n\n</details>'
FIGURES = ["from site_tools import notebook_figures as _figures", "_figures.install(get_ipython().display_formatter)"]


class NotebookError(Exception):
    """A notebook that fails or that cannot become a page; the message names notebook and cell."""


def paths(root: Path = ROOT) -> list[Path]:
    return sorted((root / "notebooks").glob("*.ipynb"))


def pages(root: Path = ROOT) -> Iterator[tuple[str, str | bytes]]:
    """Contents by path below docs: for each notebook its page, its pictures and the file to download."""
    package = _package_hash(root)
    with ThreadPoolExecutor(2) as pool:
        executed = pool.map(lambda path: execute(path, package, root / ".cache" / "notebooks"), paths(root))
        for path, notebook in zip(paths(root), executed, strict=True):
            text, pictures = convert(path.stem, notebook)
            yield f"notebooks/{path.stem}.md", text
            yield f"notebooks/{path.name}", downloadable(path, os.environ.get("REPOSITORY"))
            yield from pictures.items()


def downloadable(path: Path, repository: str | None) -> bytes:
    """A notebook to take along; if the project has an address, with a first cell for Colab, Binder and the like."""
    if not repository:
        return path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup_code(repository), id="setup"))
    return nbformat.writes(notebook).encode()


def _package_hash(root: Path) -> bytes:
    """Of all that a notebook's outputs depend on, beside itself."""
    digest = hashlib.sha256(json.dumps([sys.version, *((name, version(name)) for name in PACKAGES)]).encode())
    digest.update((ROOT / "docs/site_tools/notebook_figures.py").read_bytes())
    for path in sorted((root / "deit_ref").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.digest()


def execute(path: Path, package: bytes, cache: Path) -> Any:
    """The notebook with its outputs, from the cache if it is there."""
    source = path.read_bytes()
    stored = cache / f"{path.stem}-{hashlib.sha256(package + source).hexdigest()[:20]}.ipynb"
    if stored.exists():
        return nbformat.read(stored, as_version=4)
    notebook = nbformat.reads(source.decode(), as_version=4)
    # A notebook that reads an old output would not run for its reader.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        extra_arguments=[
            "--InlineBackend.figure_formats=set()",
            f"--IPKernelApp.exec_lines={FIGURES!r}",
            "--log-level=40",
        ],
        resources={"metadata": {"path": str(path.parent)}},
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(path.parents[1]), str(ROOT / "docs"), os.environ.get("PYTHONPATH")])
        ),
        "OMP_NUM_THREADS": "1",  # two notebooks run at a time
        "OPENBLAS_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    try:
        asyncio.run(client.async_execute(env=environment))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(f"notebooks/{path.name}: {_failed_cell(notebook)}\n{_plain(str(error))}") from error
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.glob(f"{path.stem}-*.ipynb"):
        old.unlink()
    nbformat.write(notebook, stored)
    return notebook


def _failed_cell(notebook: Any) -> str:
    for i, cell in enumerate(notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {i} failed: {cell.source.splitlines()[0] if cell.source else ''}"
    return f"a cell did not end within {SECONDS} s, or the kernel died"


def convert(name: str, notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Markdown, and pictures by path below docs."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    first = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), None)
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(_markdown(cell.source))
        elif cell.cell_type == "code" and cell.source.strip():
            where = f"notebooks/{name}.ipynb, cell {i}"
            shown = [_output(output, where, cell, name, pictures) for output in _joined(cell.outputs)]
            if cell.source.startswith("folded("):
                parts += shown
            elif pictures and i == first:
                parts += [*shown, FIRST.format(code=_fence(cell.source, "python"))]
            else:
                parts += [_fence(cell.source, "python"), *shown]
    return "\n\n".join(part for part in parts if part) + "\n", pictures


def _joined(outputs: list[Any]) -> Iterator[Any]:
    """Outputs, with neighboring pieces of one stream as one."""
    last: Any = None
    for output in outputs:
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last = nbformat.from_dict({**last, "text": last.text + output.text})
            continue
        if last is not None:
            yield last
        last = output
    if last is not None:
        yield last


def _output(output: Any, where: str, cell: Any, name: str, pictures: dict[str, bytes]) -> str:
    if output.output_type == "stream":
        if output.name == "stderr":
            return _fence(output.text, "{ .text .deit-output .deit-stderr }")
        return _fence(output.text, "{ .python .deit-output .deit-source }" if _is_source(output.text) else OUTPUT)
    data = output.get("data", {})
    shown = [kind for kind in SUFFIXES if kind in data]
    if shown:
        alt = " ".join(cell.metadata.get("alt", "").split())
        if not alt:
            raise NotebookError(f'{where} makes a picture and has no alt text: write it as `# %% alt="..."`')
        alt = re.sub(r"([\[\]*_`\\])", r"\\\1", alt)
        number = sum(path.startswith(f"notebooks/{name}/") and "-dark" not in path for path in pictures) + 1
        shown = [LIGHT, DARK] if {LIGHT, DARK} <= {*shown} else shown[:1]
        text = "\n".join(_picture(output, kind, alt, f"{name}/figure-{number}", pictures) for kind in shown)
        wide = output.metadata.get(shown[0], {}).get("width", 0) > WIDE
        return f'<div class="deit-html deit-wide" markdown="1">\n\n{text}\n\n</div>' if wide else text
    if "text/markdown" in data:
        return _markdown(data["text/markdown"])
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        return f'<div class="deit-html">{_unbroken(html)}</div>'
    return _fence(data["text/plain"], OUTPUT) if "text/plain" in data else ""


OUTPUT = "{ .text .deit-output }"


def _picture(output: Any, kind: str, alt: str, path: str, pictures: dict[str, bytes]) -> str:
    """Store a picture, and write the Markdown that shows it, on pages of one kind alone if there are two."""
    suffix, only = SUFFIXES[kind]
    content = output.data[kind]
    pictures[f"notebooks/{path}{suffix}"] = content.encode() if suffix == ".svg" else base64.b64decode(content)
    size = output.metadata.get(kind, {})
    width = f" width={size['width']} height={size['height']}" if {"width", "height"} <= size.keys() else ""
    return f"![{alt}]({path}{suffix}{only}){{ .deit-picture{width} loading=lazy }}"


def _is_source(text: str) -> bool:
    """Whether a cell has printed the source of a function or class."""
    if not re.match(r"(@|def |class )", text):
        return False
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _unbroken(html: str) -> str:
    """HTML without empty lines, which would end it for Markdown."""
    return re.sub(r"\n[ \t]*(?=\n)", "\n&#8203;", html.strip())


def _fence(text: str, kind: str) -> str:
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence} {kind}\n{_plain(text)}\n{fence}"


def _plain(text: str) -> str:
    """Without terminal colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip("\n")


def _markdown(text: str) -> str:
    """What a cell says, or what it shows as Markdown: formulas and code in its `<details>` are formulas and code."""
    return _links(text.replace("<details>", '<details markdown="1">'))


def _links(markdown: str) -> str:
    """Links to files of the repository become links in the site."""

    def link(match: re.Match[str]) -> str:
        target = match[1]
        if re.match(r"\d\d_\w+\.(ipynb|py)\b", target):
            target = f"../notebooks/{target}"
        if not target.startswith("../"):
            return match[0]
        return f"]({posixpath.relpath(site_path(target.removeprefix('../')), 'notebooks')})"

    return re.sub(r"\]\(([^)\s]+)\)", link, markdown)
