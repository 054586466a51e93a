"""Small checkpoints as projects write them, what a plain forward pass makes of them, and the table in docs/errors.md.

The table says what `load_weights` does with each: `test_layouts` holds it to that. After a change:

    python tests/layouts.py
"""

import argparse
import json
import logging
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import deit_ref

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
BEGIN, END = "<!-- made by tests/layouts.py -->\n", "<!-- end -->\n"

DIM, BLOCKS, PATCH, GRID, LABELS = 128, 2, 4, 3, 5
PIXELS = torch.randn((2, 3, GRID * PATCH, GRID * PATCH), generator=torch.Generator().manual_seed(0)).double()

State = dict[str, torch.Tensor]


class Case(NamedTuple):
    """One row: who writes it, how names begin, in what file, and what was written.

    write gets a folder, and gives the source, the options of `load_weights`, and the expected output, which is None
    where the file must be refused.
    """

    project: str
    wrapper: str
    container: str
    write: Callable[[Path], tuple[Any, dict[str, Any], torch.Tensor | None]]


# A ViT, and a forward pass of few lines


def vit(*, head: bool = True, scale: str = "", class_position: bool = True, seed: int = 0) -> State:
    """A state_dict in the names of timm and facebookresearch; scale is how the layer scale of branch {} is called."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * 0.2

    state = {"cls_token": draw(1, 1, DIM), "pos_embed": draw(1, GRID * GRID + class_position, DIM)}
    sizes = {"patch_embed.proj": (DIM, 3, PATCH, PATCH)}
    for i in range(BLOCKS):
        block = f"blocks.{i}."
        sizes |= {f"{block}norm1": (DIM,), f"{block}attn.qkv": (3 * DIM, DIM), f"{block}attn.proj": (DIM, DIM)}
        sizes |= {f"{block}norm2": (DIM,), f"{block}mlp.fc1": (96, DIM), f"{block}mlp.fc2": (DIM, 96)}
        if scale:
            state |= {block + scale.format(branch): 1.5 + draw(DIM) for branch in (1, 2)}
    sizes |= {"norm": (DIM,)} | ({"head": (LABELS, DIM)} if head else {})
    for name, shape in sizes.items():
        state |= {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}
    return state


def run(state: State, activation: Callable[[torch.Tensor], torch.Tensor] = F.gelu, eps: float = 1e-6) -> torch.Tensor:
    """Logits of a state_dict without prefix, or the normalized tokens where it has no head."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (DIM,), state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def scale(block: str, branch: int) -> torch.Tensor | float:
        return state.get(f"{block}gamma_{branch}", state.get(f"{block}ls{branch}.gamma", 1.0))

    x = F.conv2d(PIXELS, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    cls, positions = state["cls_token"].expand(len(x), 1, DIM), state["pos_embed"]
    x = torch.cat([cls, x], 1) + positions if positions.shape[1] > x.shape[1] else torch.cat([cls, x + positions], 1)
    for i in range(BLOCKS):
        block = f"blocks.{i}."
        q, k, v = linear(norm(x, f"{block}norm1"), f"{block}attn.qkv").unflatten(2, (3, 2, 64)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + scale(block, 1) * linear(y, f"{block}attn.proj")
        hidden = activation(linear(norm(x, f"{block}norm2"), f"{block}mlp.fc1"))
        x = x + scale(block, 2) * linear(hidden, f"{block}mlp.fc2")
    x = norm(x, "norm")
    return linear(x[:, 0], "head") if "head.weight" in state else x


def wrapped(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _saved(value: Any, name: str, expected: torch.Tensor | None, **options: Any) -> Any:
    """`Case.write` of a file of torch.save."""

    def write(folder: Path) -> Any:
        torch.save(value, folder / name)
        return folder / name, options, expected

    return write


def in_folder(state: State, config: dict[str, Any], expected: torch.Tensor | None, **options: Any) -> Any:
    """`Case.write` of a folder with safetensors and config.json."""

    def write(folder: Path) -> Any:
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
        return folder, options, expected

    return write


def _bytes(name: str, content: bytes) -> Any:
    """`Case.write` of a file that is not a checkpoint."""

    def write(folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return folder / name, {}, None

    return write


def _zip(name: str, *entries: str) -> Any:
    """`Case.write` of a zip archive."""

    def write(folder: Path) -> Any:
        with zipfile.ZipFile(folder / name, "w") as archive:
            for entry in entries:
                archive.writestr(entry, b"")
        return folder / name, {}, None

    return write


def of_transformers(architecture: str, *, refused: bool = False, **changes: Any) -> Any:
    """`Case.write` of a folder by `save_pretrained`, and what that model computes."""

    def write(folder: Path) -> Any:
        import transformers

        names = {"Dinov2WithRegisters": "Dinov2WithRegistersConfig", "Dinov2": "Dinov2Config", "ViT": "ViTConfig"}
        config = next(value for name, value in names.items() if architecture.startswith(name))
        sizes = {"hidden_size": DIM, "num_hidden_layers": BLOCKS, "num_attention_heads": 4, "patch_size": PATCH}
        sizes |= {"image_size": GRID * PATCH, "num_labels": LABELS}
        settings = getattr(transformers, config)(**(sizes | changes))
        model = getattr(transformers, architecture)(settings).double().eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                base = 1.5 if "lambda1" in name else 0
                parameter.copy_(base + 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            expected = None if refused else model(PIXELS).last_hidden_state
        model.save_pretrained(folder)
        return folder, {}, expected

    return write


def _run_of_training(folder: Path) -> Any:
    folder = folder / "run"
    folder.mkdir()
    state = {"module": {}, "average": {}, "recipe": {"epochs": 2}, "runs_on": None, "step": 4}
    torch.save(state, folder / "checkpoint.pt")
    (folder / "config.json").write_text("{}")
    return folder / "checkpoint.pt", {}, None


def _safetensors_as_pth(folder: Path) -> Any:
    save_file(vit(), folder / "model.pth")
    return folder / "model.pth", {}, None


def _pth_as_safetensors(folder: Path) -> Any:
    torch.save(vit(), folder / "model.safetensors")
    return folder / "model.safetensors", {}, None


def _chunked(state: State) -> State:
    """Each block in a chunk of its own, as DINOv2 is trained."""
    return {re.sub(r"^blocks\.(\d+)", r"blocks.\1.\1", name): tensor for name, tensor in state.items()}


def timm_values(**changes: Any) -> dict[str, Any]:
    settings = {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
    }
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": LABELS, "global_pool": "token"}
    return config | {"model_args": {}, "pretrained_cfg": settings} | changes


def cases() -> list[Case]:
    """All of them, in the order of the table."""
    plain, body = vit(), vit(head=False)
    deit3 = vit(scale="gamma_{}", class_position=False)
    deit3_timm = vit(scale="ls{}.gamma", class_position=False)
    dinov2 = vit(head=False, scale="ls{}.gamma")
    teacher = vit(head=False, seed=1)
    student = wrapped(body, "module.backbone.")
    logits, tokens, of_dinov2 = run(plain), run(body), run(dinov2)
    mask, projection = {"mask_token": torch.zeros(1, DIM)}, {"head.mlp.0.weight": torch.ones(4, DIM)}
    args = argparse.Namespace(model="deit_tiny_patch16_224", lr=5e-4)
    rest = {"epoch": 3, "args": args}
    return [
        Case("DeiT", "", '`{"model": ...}`', _saved({"model": plain, **rest}, "deit.pth", logits)),
        Case(
            "DeiT, its training",
            "`module.`",
            '`{"model": ..., "model_ema": ...}`, `revision="ema"`',
            _saved(
                {"model": wrapped(vit(seed=1), "module."), "model_ema": wrapped(plain, "module."), **rest},
                "checkpoint.pth",
                logits,
                revision="ema",
            ),
        ),
        Case("DeiT III", "", '`{"model": ...}`', _saved({"model": deit3}, "deit_3.pth", run(deit3))),
        Case(
            "DeiT III by timm",
            "",
            "folder with timm's config.json",
            in_folder(deit3_timm, timm_values(), run(deit3_timm)),
        ),
        Case("DINO", "", "a bare state_dict", _saved(body, "dino.pth", tokens)),
        Case(
            "DINO, its training",
            "`module.backbone.`, `backbone.`",
            '`{"student": ..., "teacher": ...}`',
            _saved(
                {"student": wrapped(body, "module.backbone."), "teacher": wrapped(teacher, "backbone.")}, "a.pth", None
            ),
        ),
        Case(
            "DINO, its training",
            "`backbone.`",
            'the same, `revision="teacher"`',
            _saved(
                {
                    "student": student,
                    "teacher": wrapped(teacher, "backbone.") | projection,
                    **rest,
                },
                "a.pth",
                run(teacher),
                revision="teacher",
            ),
        ),
        Case("DINOv2", "", "a bare state_dict", _saved(dinov2 | mask, "dinov2.pth", of_dinov2)),
        Case(
            "DINOv2, its training",
            "`backbone.`, blocks in chunks",
            '`{"teacher": ...}`',
            _saved({"teacher": wrapped(_chunked(dinov2), "backbone.")}, "teacher.pth", of_dinov2),
        ),
        Case("DINOv2 by transformers", "", "folder", of_transformers("Dinov2Model")),
        Case(
            "DINOv2 by transformers, with a head",
            "`dinov2.`",
            "folder",
            of_transformers("Dinov2ForImageClassification", refused=True),
        ),
        Case(
            "DINOv2 with registers",
            "",
            "a bare state_dict",
            _saved(dinov2 | {"register_tokens": torch.ones(1, 4, DIM)}, "reg4.pth", None),
        ),
        Case(
            "DINOv2 with registers, by timm",
            "",
            "a bare state_dict",
            _saved(dinov2 | {"reg_token": torch.ones(1, 4, DIM)}, "reg4.pth", None),
        ),
        Case(
            "DINOv2 with registers, by transformers",
            "",
            "folder",
            of_transformers("Dinov2WithRegistersModel", refused=True),
        ),
        Case(
            "DINOv2, giant",
            "",
            "a bare state_dict",
            _saved(dinov2 | {"blocks.0.mlp.w12.weight": torch.ones(8, DIM)}, "giant.pth", None),
        ),
        Case(
            "DINOv2, giant, by timm",
            "",
            "a bare state_dict",
            _saved(dinov2 | {f"blocks.{i}.mlp.fc2.weight": torch.ones(DIM, 48) for i in range(BLOCKS)}, "g.pth", None),
        ),
        Case(
            "DINOv2, giant, by transformers",
            "",
            "folder",
            of_transformers("Dinov2Model", refused=True, use_swiglu_ffn=True),
        ),
        Case("timm", "", "folder with timm's config.json", in_folder(plain, timm_values(), logits)),
        Case(
            "timm, another activation",
            "",
            "the same, act_layer in it",
            in_folder(
                plain,
                timm_values(model_args={"act_layer": "gelu_tanh"}),
                run(plain, lambda x: F.gelu(x, approximate="tanh")),
            ),
        ),
        Case(
            "timm, mean of patches",
            "",
            "the same, global_pool in it",
            in_folder(plain, timm_values(global_pool="avg"), None),
        ),
        Case(
            "timm, mean of patches",
            "",
            "a bare state_dict",
            _saved(plain | {"fc_norm.weight": torch.ones(DIM)}, "gap.pth", None),
        ),
        Case(
            "timm, its training",
            "`module.`",
            '.pth.tar, `{"state_dict": ..., "state_dict_ema": ...}`',
            _saved(
                {"state_dict": wrapped(plain, "module."), "state_dict_ema": vit(seed=1), **rest}, "last.pth.tar", logits
            ),
        ),
        Case(
            "timm in transformers",
            "`timm_model.`",
            "folder",
            in_folder(wrapped(plain, "timm_model."), timm_values(model_type="timm_wrapper"), logits),
        ),
        Case(
            "Lightning",
            "`model.`",
            '.ckpt, `{"state_dict": ...}`',
            _saved(
                {
                    "state_dict": wrapped(plain, "model.") | {"loss.weight": torch.ones(LABELS)},
                    "global_step": 7,
                    **rest,
                },
                "epoch=3.ckpt",
                logits,
            ),
        ),
        Case(
            "torch.compile and DDP",
            "`_orig_mod.module.`",
            '`{"model_state_dict": ...}`',
            _saved({"model_state_dict": wrapped(plain, "_orig_mod.module.")}, "a.pt", logits),
        ),
        Case(
            "torch's AveragedModel",
            "`module.`",
            "a bare state_dict",
            _saved(wrapped(plain, "module.") | {"n_averaged": torch.tensor(3)}, "swa.pt", logits),
        ),
        Case(
            "a script",
            "`net.`",
            '`{"net": ...}`',
            _saved({"net": wrapped(plain, "net.")}, "a.pth", logits),
        ),
        Case(
            "transformers, saved by hand",
            "`module.vit.`",
            "a bare state_dict",
            _by_hand,
        ),
        Case(
            "two models",
            "`student.`, `teacher.`",
            "a bare state_dict",
            _saved(wrapped(body, "student.") | wrapped(teacher, "teacher."), "a.pth", None),
        ),
        Case(
            "PEFT",
            "`base_model.model.`",
            "a bare state_dict",
            _saved(
                wrapped(plain | {"blocks.0.attn.qkv.lora_A.default.weight": torch.ones(4, DIM)}, "base_model.model."),
                "a.bin",
                None,
            ),
        ),
        Case(
            "CLIP by timm",
            "",
            "a bare state_dict",
            _saved(plain | {"norm_pre.weight": torch.ones(DIM)}, "clip.pth", None),
        ),
        Case("another network", "", "a bare state_dict", _saved({"conv1.weight": torch.ones(4)}, "resnet.pth", None)),
        Case("deit_ref, a run", "", "`run/checkpoint.pt`", _run_of_training),
        Case("deit_ref, the teacher", "", "`cifar10-teacher`", lambda _: ("cifar10-teacher", {}, None)),
        Case(
            "git",
            "",
            "pointer of git-lfs",
            _bytes("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        ),
        Case("a browser", "", "web page", _bytes("deit.pth", b"<!DOCTYPE html><html>Sign in</html>")),
        Case("a download", "", "empty file", _bytes("deit.pth", b"")),
        Case("safetensors", "", "called .pth", _safetensors_as_pth),
        Case("torch.save", "", "called .safetensors", _pth_as_safetensors),
        Case("torch.jit.save", "", ".pt", _zip("a.pt", "a/data.pkl", "a/constants.pkl", "a/code/a.py")),
        Case("JAX", "", ".npz", _zip("vit.npz", "cls.npy")),
        Case("Keras", "", ".h5", _bytes("vit.h5", b"\x89HDF\r\n\x1a\n")),
    ]


def _by_hand(folder: Path) -> Any:
    from safetensors.torch import load_file

    source, _, tokens = of_transformers("ViTModel")(folder)
    state = load_file(source / "model.safetensors")
    body = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
    head = {"classifier.weight": torch.ones(LABELS, DIM).double(), "classifier.bias": torch.ones(LABELS).double()}
    torch.save(wrapped(body, "module.vit.") | wrapped(head, "module."), folder / "a.bin")
    config = deit_ref.DeiTConfig.from_dict(json.loads((source / "config.json").read_text()))
    return folder / "a.bin", {"config": config}, F.linear(tokens[:, 0], *head.values())


# What load_weights does, and the table


def outcome(case: Case, folder: Path) -> tuple[str, deit_ref.DeiTWeights | None, torch.Tensor | None]:
    """The words of the table, the weights or None, and what they should compute."""
    source, options, expected = case.write(folder)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("deit_ref").addHandler(handler)
    try:
        weights = deit_ref.load_weights(source, **options)
    except ValueError as error:
        shown = str(error)
        for place in (f"{folder}/", f"{folder}: ", str(folder), f"{Path(deit_ref.__file__).parent}/"):
            shown = shown.replace(place, "")
        return f"refused: {shown}", None, expected
    finally:
        logging.getLogger("deit_ref").removeHandler(handler)
    lines = [line for line in said if re.match("Folded|Left out|Told", line)]
    return " ".join([f"read, {weights.task}.", *lines]), weights, expected


def table() -> str:
    """All rows in Markdown."""
    rows = ["| written by | names begin with | in | what happens |", "|---|---|---|---|"]
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            words, _, _ = outcome(case, Path(folder))
        happens = re.sub(r"; what is read is a folder.*", "; ...", words).replace("|", "\\|").replace("<", "&lt;")
        rows.append(f"| {case.project} | {case.wrapper} | {case.container} | {happens} |")
    return "\n".join(rows) + "\n"


def on_page() -> str:
    """The table as it stands in the documentation."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if not begin:
        sys.exit(f"{PAGE} has no line {BEGIN}")
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
