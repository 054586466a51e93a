"""Taking a model elsewhere: one ONNX file that holds the weights, the classes and every step before the model.

torch's exporter follows the torch chapters once and writes down what they compute, for a batch of any size. Nothing of
this is believed: onnxruntime runs the file, and the NumPy chapters say whether its answers are right, before it is
written.
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import deit_ref
from deit_ref import checks
from deit_ref.api import forward
from deit_ref.arrays import all_finite, digest_of_arrays
from deit_ref.checkpoints.files import write
from deit_ref.outputs import Output
from deit_ref.weights import DeiTWeights, named_arrays, weights_from_arrays

Array: TypeAlias = np.ndarray[Any, Any]

# The first that has GELU as one operator. onnxruntime reads what torch writes of it since 1.18.
OPSET = 20
# How far an output may be from that of `forward`, relative to the largest value: float32, as everywhere here.
BOUND = 1e-5
# Traced with two photos and tried with these numbers of them, because a batch size that is fixed would not show at two.
TRIED = (1, 3)
# Protocol buffers, which the file is made of, cannot be larger.
MOST_BYTES = 2**31

PACKAGES = ("torch", "onnx", "onnx_ir", "ml_dtypes", "onnxscript", "onnxruntime")
# The arrays that a task answers with, in the order in which a file returns them.
ANSWERS = "logits cls_logits distillation_logits last_hidden_state pooler_output reconstruction".split()


class Exported(NamedTuple):
    """What was written: its size in bytes, the names of its inputs, and each output's distance from `forward`'s."""

    size: int
    inputs: tuple[str, ...]
    differences: Mapping[str, float]


def export_onnx(
    weights: DeiTWeights,
    path: str | os.PathLike[str],
    *,
    attentions: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a model as one ONNX file, in float32, once onnxruntime has computed with it what `forward` computes.

    Inputs are pixel_values (batch, channels, height, width), of the model's own size, and for masked image modeling
    bool_masked_pos (batch, patches), unless its decoder draws other squares than the patches. Outputs have the names of
    `forward`'s: logits, and with a teacher cls_logits and distillation_logits; last_hidden_state and pooler_output;
    reconstruction.

    Every value of the file's metadata is JSON: task, config, preprocessor_config (with every step, those at their
    defaults too), id2label (of a classifier), deit_ref (the version) and provenance (a digest of the weights, what the
    file was made with, and what is handed in).

    Args:
        weights: float32, of either backend.
        path: the file; one that is there is replaced at once and as a whole.
        attentions: whether each block's attention probabilities are outputs too: attentions.0, attentions.1, ...
        provenance: where the weights come from, in values that JSON has, such as a training run's.

    Raises:
        ValueError: a package is missing; no file of that name can be made; the weights are not float32, not finite or
            too many; or the file does not compute what `forward` does.
        RuntimeError: torch cannot export the model, or onnxruntime cannot run the file.
    """
    _require_packages()
    checks.boolean("attentions", attentions)
    _require_place(Path(path))
    if (dtype := str(weights.pos_embed.dtype).removeprefix("torch.")) != "float32":
        raise ValueError(
            f"An ONNX file is written in float32, got weights of {dtype}: convert them first, "
            'weights.to("torch", dtype="float32").'
        )
    if bad := [name for name, array in named_arrays(weights) if not all_finite(array)]:
        raise ValueError(
            f"An ONNX file is written of finite weights, got NaN or infinity in {checks.some(bad)}: take weights from "
            "before training went wrong."
        )
    if (size := 4 * weights.num_parameters) > MOST_BYTES:
        raise ValueError(
            f"An ONNX file holds at most {MOST_BYTES:,} bytes, the weights have {size:,}: take a smaller model."
        )
    tried = [_inputs(weights, batch) for batch in TRIED]
    options: dict[str, Any] = {"output_attentions": attentions, "output_hidden_states": False}
    expected = [_answers(forward(weights, **inputs, **options)) for inputs in tried]
    content = _model_bytes(weights, tuple(expected[0]), options, _metadata(weights, provenance))
    differences = _differences(content, tried, expected)
    worst = max(differences, key=lambda name: differences[name])
    if differences[worst] > BOUND:
        raise ValueError(
            f"{path} was not written: {worst} in onnxruntime is {differences[worst]:.1e} of the largest value away "
            f"from forward's, allowed is {BOUND:.0e}. `deit-ref compare` shows whether the model itself magnifies "
            "rounding."
        )
    write(Path(path), content)
    return Exported(len(content), tuple(tried[0]), differences)


def _require_packages() -> None:
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ValueError(f"An ONNX file needs {', '.join(missing)}, not installed here: {checks.install('onnx')}.")


def _require_place(path: Path) -> None:
    """Try to make a file beside it: what a folder's permissions say is not all that can forbid it."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, an ONNX model is one file: choose another name.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}): choose a folder that exists and can be written."
        ) from error


def _inputs(weights: DeiTWeights, batch: int) -> dict[str, Any]:
    """What the model takes, drawn for so many photos."""
    config, generator = weights.config, np.random.default_rng(batch)
    shape = (batch, config.num_channels, *config.image_shape)
    inputs: dict[str, Any] = {"pixel_values": generator.standard_normal(shape, dtype=np.float32)}
    if weights.task == "masked-image-modeling" and config.stride_shape == config.patch_shape:
        inputs["bool_masked_pos"] = generator.random((batch, config.num_patches)) < 0.5
    return inputs


def _answers(output: Output) -> dict[str, Any]:
    """The arrays that a file returns, by name."""
    found = {name: value for name in ANSWERS if (value := getattr(output, name, None)) is not None}
    return found | {f"attentions.{i}": array for i, array in enumerate(output.attentions or ())}


def _model_bytes(
    weights: DeiTWeights, answers: tuple[str, ...], options: Mapping[str, Any], metadata: dict[str, str]
) -> bytes:
    """The file: what the task's torch chapter computes of its inputs, and the metadata."""
    import torch
    from onnx.helper import set_model_props

    from deit_ref.torch_backend.model import TASKS

    arrays = dict(named_arrays(weights.to("torch", device="cpu")))
    inputs = {name: torch.from_numpy(value) for name, value in _inputs(weights, 2).items()}

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in arrays.items():  # what the exporter does not transpose keeps its name in the file
                self.register_buffer(name.replace(".", "__"), array)

        def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            tree = weights_from_arrays(
                {name: self.get_buffer(name.replace(".", "__")) for name in arrays},
                weights.config,
                weights.task,
                image_processing=weights.image_processing,
            )
            found = _answers(TASKS[weights.task](tree, **dict(zip(inputs, values, strict=True)), **options))
            return tuple(found[name] for name in answers)

    with _quiet(), _said_in_one_line(f"torch {version('torch')} cannot export this model"):
        program = torch.onnx.export(
            Model().eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(answers),
            dynamic_shapes={"values": ({0: torch.export.Dim("batch")},) * len(inputs)},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        # torch notes the lines of code, with the folders of this machine, that each step comes from.
        for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
            del part.metadata_props[:]
        set_model_props(model, metadata)
        return model.SerializeToString(deterministic=True)


def _metadata(weights: DeiTWeights, provenance: Mapping[str, Any] | None = None) -> dict[str, str]:
    processing = weights.image_processing
    origin = {} if provenance is None else {"checkpoint": provenance}
    facts: dict[str, Any] = {
        "task": weights.task,
        "config": weights.config.to_dict(),
        "preprocessor_config": asdict(processing) | processing.to_dict(),
        "deit_ref": deit_ref.__version__,
        "provenance": {"weights": digest_of_arrays(named_arrays(weights)), "torch": version("torch"), "opset": OPSET}
        | origin,
    }
    if weights.head is not None:
        names = weights.class_names or tuple(f"LABEL_{i}" for i in range(weights.config.num_labels))
        facts["id2label"] = {str(i): name for i, name in enumerate(names)}
    return {name: json.dumps(value) for name, value in facts.items()}


def _differences(
    content: bytes, tried: Sequence[Mapping[str, Array]], expected: Sequence[Mapping[str, Array]]
) -> dict[str, float]:
    """Of each output, how far onnxruntime is from what was expected at worst, relative to the largest value."""
    import onnxruntime

    worst = dict.fromkeys(expected[0], 0.0)
    with _said_in_one_line(f"onnxruntime {onnxruntime.__version__} cannot run what torch has written"):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = [session.run(list(worst), dict(inputs)) for inputs in tried]
    for answers, arrays in zip(expected, found, strict=True):
        for (name, answer), array in zip(answers.items(), arrays, strict=True):
            gap = float(np.abs(array - answer).max() / (np.abs(answer).max() or 1))
            worst[name] = max(worst[name], gap if np.isfinite(gap) else np.inf)
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says while all is well: that torchvision is missing, and of its own old code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _said_in_one_line(what: str) -> Iterator[None]:
    """The two packages raise errors of many types of their own, some a page long: the first cause is what helps."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise RuntimeError(f"{what}: {checks.one_line(str(cause).strip(), most=300)}") from error
