"""Imports run one way, by the syntax tree: shared files <- chapters <- api <- command line."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from both import CHAPTER_FILES

import deit_ref

PACKAGE = Path(deit_ref.__file__).parent
CHAPTER_NAMES = CHAPTER_FILES
BACKENDS = ("numpy_backend", "torch_backend")

# What stands below the chapters, and what each may import of the others; a new file must find its place here.
SHARED = {
    "checks": [],
    "chapters": [],
    "arrays": ["checks"],
    "config": ["checks"],
    "image_processing": ["checks"],
    "outputs": ["checks", "arrays"],
    "trace": ["checks"],
    "weights": ["checks", "arrays", "config", "image_processing"],
    "photos": ["checks", "arrays", "image_processing"],
    "inputs": ["checks", "arrays", "trace", "weights"],
}
ABOVE = {
    "api": list(SHARED),
    "checkpoints": ["checks", "arrays", "config", "image_processing", "weights", "checkpoints"],
    "__init__": [*SHARED, "api", "checkpoints"],
    "training": [*SHARED, *BACKENDS, "api", "checkpoints", "training"],
    "benchmark": [*SHARED, *BACKENDS, "api", "checkpoints", "training", "plots", "benchmark", ""],
    "plots": [*SHARED, "numpy_backend"],
    "course": [*SHARED, "numpy_backend", "api", "checkpoints", "training", "course", ""],
    "pipeline": [*SHARED, "api"],
    "commands": [*SHARED, "api", "checkpoints", "plots", "training", "pipeline", ""],
    "training_commands": [*SHARED, "checkpoints", "plots", "training", "commands", ""],
    "course_commands": ["commands", "course"],
    "benchmark_commands": ["commands", "benchmark"],
    "cli": [
        *(*SHARED, "checkpoints.files", "training.recipe", "commands"),
        *("training_commands", "course_commands", "benchmark_commands", ""),
    ],
    "__main__": ["cli"],
}
CHAPTERS_SEE = ["checks", "config", "image_processing", "outputs", "trace", "weights"]

# Third parties at module level, and inside functions.
THIRD = {
    "numpy_backend": ({"numpy", "jaxtyping"}, {"scipy"}),
    "torch_backend": ({"torch", "jaxtyping"}, set()),
    "arrays": ({"numpy"}, {"torch"}),
    "photos": ({"numpy"}, {"PIL"}),
    "checkpoints": ({"numpy"}, {"safetensors", "huggingface_hub"}),
    "training": ({"torch", "numpy", "jaxtyping"}, {"PIL", "kornia", "safetensors", "tqdm"}),
    "training.masking": ({"numpy", "jaxtyping"}, set()),
    "benchmark": ({"numpy"}, {"torch", "transformers", "PIL", "timm"}),
    "benchmark.peers": ({"numpy"}, {"torch", "torchvision", "transformers", "timm", "onnxruntime"}),
    "benchmark.techniques": ({"numpy"}, {"torch", "scipy"}),
    "plots": ({"numpy"}, {"matplotlib"}),
    "commands": ({"numpy"}, {"tqdm"}),
    "training_commands": (set(), {"torch", "tqdm"}),
    "course.experiment": ({"numpy", "jaxtyping"}, {"torch"}),
    "course.visible": ({"numpy", "pytest"}, set()),
    "course_commands": (set(), {"tqdm"}),
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
                # `from deit_ref import checks` imports a file, `from deit_ref.config import TASKS` a name of one.
                for alias in child.names:
                    yield (f"deit_ref.{alias.name}" if child.module == "deit_ref" else child.module), inside
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


def test_every_file_has_its_place():
    places = {*SHARED, *ABOVE, *BACKENDS}
    assert [name for name in NAMES if name.split(".")[0] not in places] == []
    assert {name.split(".")[0] for name in NAMES} == places
    for backend, extra in zip(BACKENDS, ([], ["graphs"]), strict=True):
        files = [name.removeprefix(f"{backend}.") for name in NAMES if name.startswith(f"{backend}.")]
        assert sorted(files) == sorted(["__init__", *CHAPTER_NAMES, *extra])


@pytest.mark.parametrize("name", [name for name in NAMES if name.split(".")[0] in {**SHARED, **ABOVE}])
def test_files_import_only_what_stands_below_them(name):
    allowed = {**SHARED, **ABOVE}[name.split(".")[0]]
    for module, _ in own(name):
        assert module.split(".")[0] in allowed or module in allowed, f"{name} imports deit_ref.{module}"


@pytest.mark.parametrize("name", [name for name in NAMES if name.split(".")[0] in BACKENDS])
def test_chapters_import_only_earlier_chapters(name):
    backend, _, chapter = name.partition(".")
    earlier = CHAPTER_NAMES[: CHAPTER_NAMES.index(chapter)] if chapter in CHAPTER_NAMES else []
    allowed = {*CHAPTERS_SEE, *(f"{backend}.{other}" for other in earlier)}
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


# The course finds chapters by the names of their functions; its worker imports what a student wrote.
DYNAMIC = {"api", "course.task", "course.check", "course.worker"}


def test_only_api_and_the_course_import_by_a_name_in_a_string():
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


@pytest.mark.parametrize("name", CHAPTER_NAMES)
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
    assert loaded_after("import deit_ref.cli") == []
    assert loaded_after("import torch")[:1] == ["torch"]  # the question can be answered with yes


def test_what_is_slow_to_import_waits_until_it_is_used():
    assert loaded_after("import deit_ref", SLOW, before="import numpy, PIL.Image") == []
    assert loaded_after("import numpy.random, json", ("json", "numpy"), before="import json") == ["numpy"]


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
