"""Imports run one way, by the syntax tree: shared files <- chapters <- api <- command line."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from both import BACKWARD_FILES, CHAPTER_FILES, TORCH_FILES

import deit_ref
from deit_ref.commands import COMMANDS

PACKAGE = Path(deit_ref.__file__).parent
CHAPTER_NAMES = CHAPTER_FILES
BACKENDS = ("numpy_backend", "torch_backend")


def house():
    """What each room may import, as CONTRIBUTING.md says: {room: rooms}."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## The house")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {room.strip(" `"): re.findall("`(.+?)`", below[0]) if below else [] for room, _, *below in rows}
    shared = list(named)[: list(named).index("numpy_backend")]
    return {room: [*below, *(shared if "shared" in below else [])] for room, below in named.items()}


HOUSE = house()
# In `commands`, what is not a command; all commands may import it, and none of them another command.
FOR_COMMANDS = {
    "__init__": ["arguments", "process", "terminal"],
    "process": [],
    "terminal": [],
    "arguments": ["terminal"],
    "shared": ["arguments", "terminal"],
    "pipeline": ["process", "threads"],
    "threads": [],
    "recipes": [],
    "survey": ["terminal"],
    "labeled": ["arguments", "survey"],
    "learned": [],
    "evaluation": ["terminal"],
    "training": ["arguments", "evaluation", "labeled", "recipes", "terminal"],
    "course_export": ["arguments", "terminal"],
    "course_report": ["arguments", "terminal"],
}

# Third parties at module level, and inside functions.
THIRD = {
    "numpy_backend": ({"numpy", "jaxtyping"}, {"scipy"}),
    "torch_backend": ({"torch", "jaxtyping"}, set()),
    "arrays": ({"numpy"}, {"torch"}),
    "photo_files": (set(), {"PIL", "pillow_heif"}),
    "photos": ({"numpy"}, {"PIL"}),
    "checkpoints": ({"numpy"}, {"safetensors", "huggingface_hub"}),
    "training": ({"torch", "numpy", "jaxtyping"}, {"PIL", "kornia", "safetensors", "tqdm"}),
    "training.masking": ({"numpy", "jaxtyping"}, set()),
    "benchmark": ({"numpy"}, {"torch", "transformers", "PIL", "timm"}),
    "benchmark.distillation": ({"torch"}, set()),
    "benchmark.experiment": ({"numpy", "torch"}, set()),
    "benchmark.gelu": ({"numpy", "scipy"}, set()),
    "benchmark.inside": ({"numpy", "torch", "jaxtyping"}, set()),
    "benchmark.resolution": ({"numpy", "torch", "jaxtyping"}, set()),
    "benchmark.many_photos": ({"numpy", "PIL"}, set()),
    "benchmark.teachers": ({"torch", "jaxtyping"}, set()),
    "benchmark.peers": ({"numpy"}, {"torch", "torchvision", "transformers", "timm", "onnxruntime"}),
    "benchmark.techniques": ({"numpy"}, {"torch", "scipy"}),
    "onnx_export": ({"numpy"}, {"torch", "onnx", "onnxruntime"}),
    "plots": ({"numpy"}, {"matplotlib"}),
    "commands.check": (set(), {"torch"}),
    "commands.evaluation": (set(), {"torch"}),
    "commands.terminal": (set(), {"tqdm"}),
    "commands.threads": (set(), {"threadpoolctl"}),
    "commands.training": (set(), {"tqdm"}),
    "course.assignments.experiment": ({"numpy", "jaxtyping"}, {"torch"}),
    "course.assignments.gradients": ({"numpy", "jaxtyping"}, set()),
    "course.report.similarity": ({"numpy"}, {"scipy"}),
    "course.release.earlier": (set(), {"PIL"}),
    "course.release.visible": ({"numpy", "pytest"}, set()),
    "course.release.gradebook": (set(), {"nbgrader"}),
}
PURE = ({"numpy"}, set())

FILES = sorted(path for path in PACKAGE.rglob("*.py"))
NAMES = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES]
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in zip(NAMES, FILES, strict=True)}


def imports(tree):
    """(module, whether it is imported inside a function) of every import of a file; TYPE_CHECKING counts as inside."""

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            deeper = inside or typing_only or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "relative import"
                # `from deit_ref.course import cut` imports a file, `from deit_ref.config import TASKS` a name of one.
                for alias in child.names:
                    file = f"{child.module}.{alias.name}"
                    is_file = child.module == "deit_ref" or file.removeprefix("deit_ref.") in NAMES
                    yield (file if is_file else child.module), inside
            else:
                yield from walk(child, deeper)

    return list(walk(tree, False))


def own(name):
    """What a file imports of this package, without the leading `deit_ref.`; "" is the package itself."""
    return [
        (module.removeprefix("deit_ref").removeprefix("."), inside)
        for module, inside in imports(TREES[name])
        if module.split(".")[0] == "deit_ref"
    ]


def test_the_walk_sees_every_way_to_import():
    code = "import a.b, c\nfrom d.e import f\nfrom deit_ref import g\nif TYPE_CHECKING:\n    import h\n"
    code += "class C:\n    def m(self):\n        with x:\n            from i import j\n"
    expected = [("a.b", False), ("c", False), ("d.e", False), ("deit_ref.g", False), ("h", True), ("i", True)]
    assert imports(ast.parse(code)) == expected


def room(name):
    """The room of a file, or of what it imports: `course` has rooms within."""
    parts = (name or "__init__").split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in HOUSE else parts[0]


def test_every_file_has_its_place():
    assert {room(name) for name in NAMES} == {*HOUSE}
    back = [f"backward.{name}" for name in ("__init__", *BACKWARD_FILES)]
    for backend, extra in zip(BACKENDS, (back, TORCH_FILES), strict=True):
        files = [name.removeprefix(f"{backend}.") for name in NAMES if name.startswith(f"{backend}.")]
        assert sorted(files) == sorted(["__init__", *CHAPTER_NAMES, *extra])


def test_the_house_stands_in_the_order_of_its_imports():
    rooms = list(HOUSE)
    for place, name in enumerate(rooms):
        assert [below for below in HOUSE[name] if below != "shared" and below not in rooms[:place]] == [], name


@pytest.mark.parametrize("name", NAMES)
def test_files_import_only_what_stands_below_them(name):
    here = room(name)
    whole = name.split(".")[0]  # a room within another sees what the whole sees, but of the whole only what it says
    allowed = {here, *HOUSE[here], *HOUSE[whole]}
    for module, _ in own(name):
        found = room(module) if module.split(".")[0] == whole else room(module).split(".")[0]
        assert found in allowed, f"{name} imports deit_ref.{module}"


def test_a_command_is_a_file_and_a_line_and_imports_no_other_command():
    files = {name.removeprefix("commands."): name for name in NAMES if name.startswith("commands.")}
    expected = [command.replace("-", "_") for command in COMMANDS]
    assert sorted(files) == sorted([*expected, *FOR_COMMANDS])
    for file, name in files.items():
        allowed = FOR_COMMANDS.get(file, [other for other in FOR_COMMANDS if other != "__init__"])
        for module, _ in own(name):
            if module.split(".")[0] == "commands":
                assert module.removeprefix("commands.") in allowed, f"{name} imports deit_ref.{module}"


@pytest.mark.parametrize("name", [name for name in NAMES if name.split(".")[0] in BACKENDS])
def test_chapters_import_only_earlier_chapters(name):
    """On the way back a file sees its own chapter, those below it and their way back; no chapter sees the way back."""
    backend, _, chapter = name.partition(".")
    back = chapter.removeprefix("backward.") if chapter.startswith("backward.") else None
    earlier = CHAPTER_NAMES[: CHAPTER_NAMES.index(chapter)] if chapter in CHAPTER_NAMES else []
    if back in BACKWARD_FILES:
        of = {"tasks": "model"}.get(back, back)
        seen = CHAPTER_NAMES[: CHAPTER_NAMES.index(of) + 1] if of in CHAPTER_NAMES else CHAPTER_NAMES
        earlier = [*seen, *(f"backward.{other}" for other in BACKWARD_FILES[: BACKWARD_FILES.index(back)])]
    elif chapter in TORCH_FILES:
        earlier = CHAPTER_NAMES
    allowed = {*HOUSE[backend], *(f"{backend}.{other}" for other in earlier)}
    for module, inside in own(name):
        assert module in allowed, f"{name} imports deit_ref.{module}"
        assert not inside, f"{name} imports deit_ref.{module} inside a function"


@pytest.mark.parametrize("name", NAMES)
def test_third_parties(name):
    top, inner = THIRD.get(name) or THIRD.get(name.split(".")[0]) or PURE
    for module, inside in imports(TREES[name]):
        package = module.split(".")[0]
        if package in sys.stdlib_module_names or package == "deit_ref":
            continue
        assert package in (inner | top if inside else top), f"{name} imports {module}"


# The course finds chapters by the names of their functions; its worker imports what a student wrote; what takes files
# apart calls the function that it is asked for, of one of two files. Of all commands the one that was asked for is
# imported.
DYNAMIC = {
    "api",
    "commands.__init__",
    "course.task",
    "course.grading.known",
    "course.grading.reading",
    "course.grading.worker",
}


def test_few_import_by_a_name_in_a_string():
    for name, tree in TREES.items():
        called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        dynamic = [call for call in called if ast.unparse(call.func).endswith(("import_module", "__import__"))]
        assert name in DYNAMIC or not dynamic, name
    functions = [node for node in ast.walk(TREES["api"]) if isinstance(node, ast.FunctionDef)]
    with_import = [f.name for f in functions if "import_module" in ast.unparse(f)]
    assert with_import == ["_chapter"]


def test_annotations_stay_objects():
    """With `from __future__ import annotations` they would be strings, and nothing would check the shapes."""
    for name in NAMES:
        assert "__future__" not in [module for module, _ in imports(TREES[name])], name


@pytest.mark.parametrize("name", [*CHAPTER_NAMES, *(f"backward/{name}" for name in BACKWARD_FILES)])
def test_chapters_are_short_enough_to_read(name):
    lines = len((PACKAGE / "numpy_backend" / f"{name}.py").read_text(encoding="utf-8").splitlines())
    assert 60 <= lines <= 200, f"{name}.py has {lines} lines"


HEAVY = ("torch", "scipy", "matplotlib", "transformers", "safetensors", "PIL", "tqdm", "huggingface_hub")
# Together they would more than double the time of `import deit_ref`.
SLOW = ("numpy.random", "logging", "json", "difflib", "jaxtyping", "deit_ref.checkpoints.pickle_reader")


def loaded_after(code, among=HEAVY, before=""):
    """Which modules a new interpreter has loaded after the code that it had not loaded before."""
    code = f"import sys\n{before}\nbefore = set(sys.modules)\n{code}"
    code += f"\nprint(*[name for name in {among} if name in sys.modules and name not in before])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_is_light():
    assert loaded_after("import deit_ref") == []
    assert loaded_after("import torch")[:1] == ["torch"]  # the question can be answered with yes


def test_what_is_slow_to_import_waits_until_it_is_used():
    assert loaded_after("import deit_ref", SLOW, before="import numpy, PIL.Image") == []
    assert loaded_after("import numpy.random, json", ("json", "numpy"), before="import json") == ["numpy"]


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_loads_the_file_of_its_command_and_nothing_heavy(words):
    files = {command: f"deit_ref.commands.{command.replace('-', '_')}" for command in COMMANDS}
    code = f"""
import contextlib, io, deit_ref.commands
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    deit_ref.commands.main({words})
assert said.getvalue().startswith("usage: deit-ref ")"""
    found = loaded_after(code, [*HEAVY, "kornia", "jaxtyping", *files.values()])
    # The commands that make pictures import chapters, whose shapes are jaxtyping's.
    expected = ["jaxtyping"] if words[0] in ("attention", "reconstruct", "preprocess") else []
    assert found == [*expected, *(files[word] for word in words if word in files)]


def test_numpy_forward_needs_no_torch():
    code = """
        import numpy as np, deit_ref
        config = deit_ref.DeiTConfig(8, 1, 2, 16, image_size=8, patch_size=4)
        weights = deit_ref.init_weights(config, "classification", seed=0)
        deit_ref.forward(weights, np.zeros((9, 9, 3), np.uint8)).top()
        assert "deit_ref.torch_backend" not in sys.modules
    """
    assert loaded_after("\n".join(line.strip() for line in code.splitlines())) == []


def test_each_public_name_is_there_once():
    assert len(set(deit_ref.__all__)) == len(deit_ref.__all__)
    assert all(hasattr(deit_ref, name) for name in deit_ref.__all__)
    expected = "forward preprocess compare load_weights save_weights init_weights Trace DeiTConfig ImageProcessing"
    assert set(expected.split()) < set(deit_ref.__all__)
