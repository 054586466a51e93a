"""Compiled forwards: on a CPU, one program for these weights and this shape, and nothing else.

`torch.export` records the operations of a pass, with the weights among them as constants; the compiler of torch writes
a program of them. As it knows the numbers, it lays out each matrix once as its product reads it, and as it knows the
shape, it joins what lies between two products into one loop. The price is the time to compile.

A file of the mirror without a chapter, as `graphs` is, which spares a GPU what this spares a CPU.

Source: `torch._inductor.compile`, `torch._inductor.aot_compile` and their option `freezing`, in PyTorch's own source.
"""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch

from deit_ref.outputs import Output
from deit_ref.weights import DeiTWeights

Run = Callable[[DeiTWeights, torch.Tensor], Output]
Tensors = dict[str, torch.Tensor]
Program = Callable[[torch.Tensor], Tensors]

AT_ONCE = 16  # threads that may run one program at the same time


class Pass(torch.nn.Module):
    """One forward pass as `torch.export` takes it: from a tensor to tensors by their names."""

    def __init__(self, run: Run, weights: DeiTWeights) -> None:
        super().__init__()
        self.run, self.weights = run, weights

    def forward(self, pixel_values: torch.Tensor) -> Tensors:
        output = self.run(self.weights, pixel_values)
        return {name: value for name, value in vars(output).items() if isinstance(value, torch.Tensor)}


def compiled(run: Run, weights: DeiTWeights, pixel_values: torch.Tensor) -> Program:
    """`run` for these weights and for pixel values of this shape, compiled.

    Args:
        run: a task of `model`.
        weights: tensors on the CPU, whose numbers become part of the program.
        pixel_values: (batch, channels, height, width), of which only shape and dtype count.

    Returns:
        A function from pixel values of that shape to the tensors of the output by name, without gradients.

    Raises:
        ValueError: there is no C++ compiler.
    """
    from torch._inductor.exc import InductorError

    with torch.inference_mode(False), torch.no_grad():
        graph = torch.export.export(Pass(run, weights), (pixel_values,)).module()
        try:
            program: Program = (_with_onednn if made_by_amd() else _with_mkl)(graph, pixel_values)
        except InductorError as error:
            if "InvalidCxxCompiler" not in str(error):
                raise
            raise ValueError(
                "Compiling needs a C++ compiler and torch found none: install one, such as g++ or clang++, or call "
                "forward, which needs none."
            ) from error

    def program_run(pixel_values: torch.Tensor) -> Tensors:
        with torch.no_grad():
            return program(pixel_values)

    return program_run


def made_by_amd() -> bool:
    """Whether the processor is one of AMD's: MKL, Intel's library, takes longer there than oneDNN."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # which older releases lack
    return "AMD" in capabilities.get("cpu_name", "")


def _with_mkl(graph: Any, pixel_values: torch.Tensor) -> Program:
    from torch._inductor import compile as compile_graph

    program: Program = compile_graph(graph, [pixel_values], options={"freezing": True})
    return program


def _with_onednn(graph: Any, pixel_values: torch.Tensor) -> Program:
    """Through a file, in which matrices that MKL has laid out could not stand: so torch has oneDNN do it."""
    from torch._inductor import aot_compile
    from torch._inductor.package.package import load_package, package_aoti

    with TemporaryDirectory() as folder:
        options = {"freezing": True, "aot_inductor.package": True, "aot_inductor.output_path": folder}
        files: Any = aot_compile(graph, (pixel_values,), options=options)
        program: Program = load_package(package_aoti(f"{folder}/pass.pt2", files), num_runners=AT_ONCE)
    return program
