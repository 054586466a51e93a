"""Optimization: the schedule and the average by hand, and which parameter is in which group."""

import itertools
import math

import pytest
import torch
from strategies import TINY, random_weights

from deit_ref.training.muon import Muon, equalized
from deit_ref.training.optimization import decays, learning_rate, optimizers, set_learning_rate, update_average
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.student import Student
from deit_ref.training.teacher import new_teacher

NEVER = ("cls_token", "dist_token", "mask_token", "pos_embed")


def named(module):
    return [(name.replace("/", "."), parameter) for name, parameter in module.named_parameters()]


def modules():
    return [
        Student(random_weights(TINY, "classification-with-teacher")),
        Student(random_weights(TINY, "masked-image-modeling")),
        new_teacher(3, seed=0, widths=(4, 6)),
    ]


def test_the_schedule_by_hand():
    recipe = RECIPES["deit-300"]
    assert learning_rate(recipe, 0) == 1e-6
    assert learning_rate(recipe, 2.5) == pytest.approx((1e-6 + 1e-3) / 2)
    # The cosine counts from the start: at the end of the warm-up it is already below the highest rate.
    assert learning_rate(recipe, 5) == pytest.approx(1e-5 + 0.5 * 9.9e-4 * (1 + math.cos(math.pi / 60)), rel=1e-12)
    assert learning_rate(recipe, 5) < 0.9994e-3
    assert learning_rate(recipe, 150) == pytest.approx((1e-5 + 1e-3) / 2)
    assert learning_rate(recipe, 300) == learning_rate(recipe, 301) == pytest.approx(1e-5)


def test_the_rate_rises_falls_and_never_jumps():
    recipe = RECIPES["deit-300"]
    rates = [learning_rate(recipe, step / 20) for step in range(6001)]
    steps = [after - before for before, after in itertools.pairwise(rates)]
    assert all(step > 0 for step in steps[:99])
    assert all(step < 0 for step in steps[100:])
    assert max(map(abs, steps)) < 1.1 * 1e-3 / 100
    assert learning_rate(Recipe(warmup_epochs=0), 0) == 1e-3


def test_a_line_falls_from_the_end_of_the_warm_up():
    recipe = Recipe(schedule="line", epochs=20, warmup_epochs=4, learning_rate=2.0, learning_rate_batch=None,
                    warmup_learning_rate=0.4, min_learning_rate=0.2)  # fmt: skip
    rates = {0: 0.4, 2: 1.2, 4: 2.0, 8: 1.55, 12: 1.1, 20: 0.2, 21: 0.2}
    for epoch, rate in rates.items():
        assert learning_rate(recipe, epoch) == pytest.approx(rate), epoch
    assert learning_rate(recipe.with_changes(warmup_epochs=20), 20) == pytest.approx(0.2)


def test_biases_of_a_teachers_norms_learn_64_times_as_fast_under_sgd():
    for module in modules():
        for optimizer in ("adamw", "muon", "sgd"):
            found = optimizers(named(module), Recipe(optimizer=optimizer))
            set_learning_rate(found, 0.5)
            rates = {id(p): group["lr"] for kind in found for group in kind.param_groups for p in group["params"]}
            for name, parameter in named(module):
                if parameter.requires_grad:
                    fast = optimizer == "sgd" and name.startswith("stages.") and name.endswith("bias")
                    assert rates[id(parameter)] == (32.0 if fast else 0.5), (optimizer, name)


def test_what_decays():
    for module in modules():
        for name, parameter in named(module):
            shape = tuple(parameter.shape)
            assert decays(name, shape) == (name not in NEVER and len(shape) >= 2), name
    student = dict(named(modules()[0]))
    pulled = {name for name, value in student.items() if decays(name, tuple(value.shape))}
    inner = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    blocks = {f"blocks.{i}.{part}.weight" for i in range(2) for part in inner}
    assert pulled == {"patch_embed.proj.weight", "head.weight", "head_dist.weight", *blocks}


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_every_trainable_parameter_is_in_one_group_and_frozen_ones_in_none(optimizer):
    for module in modules():
        found = optimizers(named(module), Recipe(optimizer=optimizer, weight_decay=0.25))
        assert len(found) == (2 if optimizer == "muon" else 1)
        groups = [(kind, group) for kind in found for group in kind.param_groups]
        placed = [id(parameter) for _, group in groups for parameter in group["params"]]
        assert sorted(placed) == sorted(id(p) for p in module.parameters() if p.requires_grad)
        home = {id(p): (type(kind).__name__, group["weight_decay"]) for kind, group in groups for p in group["params"]}
        for name, parameter in named(module):
            if not parameter.requires_grad:
                continue
            kind, decay = home[id(parameter)]
            assert decay == (0.25 if decays(name, tuple(parameter.shape)) else 0.0), name
            inside = name.startswith(("blocks.", "stages.")) and parameter.ndim == 2
            assert (kind == "Muon") == (optimizer == "muon" and inside), name
        set_learning_rate(found, 0.125)
        assert {group["lr"] / group["share"] for _, group in groups} == {0.125}


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_lower_layers_get_a_smaller_share_of_the_rate(optimizer):
    module = modules()[0]  # two blocks: the heads stand three layers above the tokens
    found = optimizers(named(module), Recipe(optimizer=optimizer, layer_decay=0.5, learning_rate=8.0))
    set_learning_rate(found, 0.8)
    rates = {id(p): group["lr"] for kind in found for group in kind.param_groups for p in group["params"]}
    first_parts = {"patch_embed", "cls_token", "dist_token", "pos_embed"}
    for name, parameter in named(module):
        part = name.split(".")[0]
        share = 0.125 if part in first_parts else {"blocks.0": 0.25, "blocks.1": 0.5}.get(name[:8], 1.0)
        assert rates[id(parameter)] == pytest.approx(0.8 * share), name
    heads_alone = optimizers(named(module), Recipe(optimizer=optimizer, layer_decay=0.0))
    moving = [p for kind in heads_alone for group in kind.param_groups if group["lr"] for p in group["params"]]
    assert {id(p) for p in moving} == {id(p) for name, p in named(module) if name.startswith(("norm.", "head"))}


def test_one_step_of_adamw_by_hand():
    matrix, bias = (torch.nn.Parameter(torch.full(shape, 2.0)) for shape in ((2, 2), (2,)))
    (adamw,) = optimizers([("head.weight", matrix), ("head.bias", bias)], Recipe(weight_decay=0.05))
    set_learning_rate([adamw], 0.1)
    matrix.grad, bias.grad = torch.full((2, 2), 0.3), torch.full((2,), -0.3)
    adamw.step()
    # The first step is lr * sign(gradient); the decay is apart from it, lr * weight_decay * weight.
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 2.0 - 0.1 * 0.05 * 2.0 - 0.1))
    torch.testing.assert_close(bias.detach(), torch.full((2,), 2.0 + 0.1))


def test_steps_of_adamw_by_hand():
    """Gradients as small as eps, and another one in the second step."""
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    (adamw,) = optimizers([("head.bias", weight)], Recipe())
    set_learning_rate([adamw], 0.1)
    value, mean, square = torch.ones(2, dtype=torch.float64), 0.0, 0.0
    gradients = [torch.tensor([1e-8, 0.5], dtype=torch.float64), torch.tensor([-3e-8, 0.1], dtype=torch.float64)]
    for step, gradient in enumerate(gradients, start=1):
        weight.grad = gradient
        adamw.step()
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        value = value - 0.1 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        torch.testing.assert_close(weight.detach(), value, rtol=1e-9, atol=0)


def test_steps_of_sgd_by_hand():
    """Nesterov's momentum of 0.85, and a decay that is part of the gradient."""
    weight = torch.nn.Parameter(torch.full((2, 2), 2.0))
    (sgd,) = optimizers([("head.weight", weight)], Recipe(optimizer="sgd", weight_decay=0.25))
    set_learning_rate([sgd], 0.1)
    value, momentum = torch.full((2, 2), 2.0), 0.0
    for gradient in (0.3, -0.1, 0.7):
        weight.grad = torch.full((2, 2), gradient)
        sgd.step()
        slope = gradient + 0.25 * value
        momentum = 0.85 * momentum + slope
        value = value - 0.1 * (slope + 0.85 * momentum)
        torch.testing.assert_close(weight.detach(), value)


@pytest.mark.parametrize("shape", [(6, 6), (12, 4), (4, 12)])
def test_a_step_of_muon_by_hand(shape):
    """The gradient's own directions, all of nearly one length, which is that of AdamW's usual steps; decay is apart."""
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(shape, generator=generator)
    weight = torch.nn.Parameter(before.clone())
    _, muon = optimizers([("norm.bias", torch.nn.Parameter(torch.ones(2))), ("blocks.0.mlp.fc1.weight", weight)],
                         Recipe(optimizer="muon", weight_decay=0.5))  # fmt: skip
    set_learning_rate([muon], 0.1)
    weight.grad = torch.randn(shape, generator=generator)
    u, _, v = torch.linalg.svd(weight.grad, full_matrices=False)
    muon.step()
    moved = (before * (1 - 0.1 * 0.5) - weight.detach()) / (0.1 * 0.2 * max(shape) ** 0.5)
    lengths = u.T @ moved @ v.T
    assert ((lengths.diagonal() > 0.6) & (lengths.diagonal() < 1.3)).all()
    assert (lengths - lengths.diagonal().diag()).abs().max() < 1e-4


def test_muon_is_torchs_but_for_its_rounding_to_bfloat16():
    """Over some steps, with matrices of two shapes in one group, one of which has no gradient at first."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(shape, generator=generator) for shape in ((12, 4), (4, 12), (12, 4), (4, 12))]
    ours, theirs = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    group = {"lr": 0.1, "weight_decay": 0.5}
    both = (
        Muon([{"params": ours, **group}]),
        torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **group),
    )
    for step in range(4):
        for mine, other in zip(ours[step == 0 :], theirs[step == 0 :], strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in both:
            optimizer.step()
    for start, mine, other in zip(starts, ours, theirs, strict=True):
        assert (mine - other).detach().norm() < 0.02 * (other - start).detach().norm()
        mean, expected = (o.state[p]["momentum_buffer"] for o, p in zip(both, (mine, other), strict=True))
        torch.testing.assert_close(mean, expected)
    assert torch.equal(ours[0].grad, theirs[0].grad)
    both[0].load_state_dict(both[1].state_dict())  # a run begun with torch's goes on


def test_lengths_are_made_equal_in_each_matrix_by_itself():
    matrices = (
        torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1e-3, 1, 1e3])[:, None, None]
    )
    found = equalized(matrices)
    assert torch.equal(found[1:2], equalized(matrices[1:2]))
    sizes = torch.linalg.svdvals(found)
    assert ((sizes > 0.6) & (sizes < 1.3)).all()
    torch.testing.assert_close(equalized(matrices.mT), found.mT)
    assert not equalized(torch.zeros(1, 3, 4)).any()


def test_the_average_by_hand():
    average = {"w": torch.tensor([1.0]), "count": torch.tensor(3)}
    for step in range(5):
        update_average(
            average, {"w": torch.tensor([5.0]), "count": torch.tensor(step)}, step=step, recipe=Recipe(ema_decay=0.9)
        )
    torch.testing.assert_close(average["w"], torch.tensor([5.0 - 4.0 * 0.9**5]))
    assert int(average["count"]) == 4
    slow = Recipe(ema_decay=0.5, ema_warmup=True)
    for step, decay in ((0, 0.1), (1, 2 / 11), (100, 0.5)):
        average = {"w": torch.tensor([1.0])}
        update_average(average, {"w": torch.tensor([0.0])}, step=step, recipe=slow)
        assert float(average["w"]) == pytest.approx(decay)
    update_average(average, {"w": average["w"].clone()}, step=7, recipe=slow)
    assert float(average["w"]) == 0.5
