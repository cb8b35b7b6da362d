"""DeepMedic: the original's weights, what it computes, and what a voxel sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from medgen.networks import DEEP_MEDIC, DeepMedic, DeepMedicOptions
from medgen.problems import ConfigurationError

WIDTHS = (30, 30, 40, 40, 40, 40, 50, 50)
NARROW = (3, 3, 4, 4, 4, 4, 5, 5)


def small(**changes: Any) -> DeepMedicOptions:
    return DeepMedicOptions(**{"channels": NARROW, "hidden": (6, 7), **changes})


def build(options: DeepMedicOptions, *, sources: int = 1, classes: int = 2) -> DeepMedic:
    torch.manual_seed(0)
    return options.build(source_channels=sources, target_channels=classes, activation="linear")


def settled(options: DeepMedicOptions, **channels: int) -> DeepMedic:
    """Return a net in eval() whose norms have seen something and whose weights are not the first.

    Features then differ from one to the next in their level and spread.
    """
    net = build(options, **channels)
    with torch.no_grad():
        for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm3d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.momentum = 0.8
        length = net.minimum_patch + 2 * net.margin
        for _ in range(2):
            net(torch.randn(2, channels.get("sources", 1), length, length, length) * 2 + 0.5)
    return net.eval()


def reference(net: DeepMedic, source: Tensor, factors: tuple[int, ...], residual: bool) -> Tensor:
    """Compute an answer in eval() layer by layer, by slices and sums instead of modules."""
    weights = net.state_dict()

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, gain, bias = (
            weights[f"{name}.norm.{key}"].view(-1, 1, 1, 1)
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        y = (x - mean) / (variance + 1e-5).sqrt() * gain + bias
        slope = weights[f"{name}.activation.weight"].view(-1, 1, 1, 1)
        return torch.where(y > 0, y, slope * y)

    parts = []
    for path, factor in enumerate(factors):
        cut = net.margin - 8 * factor
        x = source[(..., *(slice(cut, length - cut) for length in source.shape[2:]))]
        x = sum(
            x[:, :, i::factor, j::factor, k::factor]
            for i in range(factor)
            for j in range(factor)
            for k in range(factor)
        ) / torch.tensor(float(factor**3))
        inputs = []  # of each convolution's block, before norm and rectifier
        for layer in range(8):
            layers = f"pathways.{path}.layers"
            inputs.append(x)
            given = norm(f"{layers}.{layer - 1}", x) if layer else x
            x = F.conv3d(given, weights[f"{layers}.{layer}.convolution.weight"])
            if residual and layer in (3, 5, 7):
                earlier = inputs[layer - 1][..., 2:-2, 2:-2, 2:-2]
                x[:, : earlier.shape[1]] += earlier
        x = norm(f"pathways.{path}.layers.7", x)
        for axis in (2, 3, 4):
            x = x.repeat_interleave(factor, dim=axis)
        parts.append(x)
    x = torch.cat(parts, dim=1)
    for layer in (0, 1):
        x = torch.einsum(
            "oi,bixyz->boxyz", weights[f"hidden.{layer}.convolution.weight"].flatten(1), x
        )
        x = norm(f"hidden.{layer}", x)
    x = torch.einsum("oi,bixyz->boxyz", weights["head.convolution.weight"].flatten(1), x)
    return x + weights["head.convolution.bias"].view(-1, 1, 1, 1)


@pytest.mark.parametrize(("subsampling", "paths"), [((3,), 2), ((3, 5), 3), ((), 1)])
@pytest.mark.parametrize("residual", [False, True])
def test_it_has_the_papers_weights(
    subsampling: tuple[int, ...], paths: int, residual: bool
) -> None:
    """The paper's layers; a residual connection has none, since it adds empty channels."""
    with torch.device("meta"):
        net = build(DeepMedicOptions(subsampling=subsampling, residual=residual), sources=2)
    convolutions = 27 * sum(before * width for before, width in pairwise((2, *WIDTHS)))
    normed = 3 * sum(WIDTHS)  # gain and centre of a norm, slope of a rectifier
    hidden = paths * 50 * 150 + 150 * 150 + 3 * 300
    expected = paths * (convolutions + normed) + hidden + (150 * 2 + 2)
    assert sum(p.numel() for p in net.parameters()) == expected
    if paths == 2:
        assert expected == 659_462


def test_the_originals_sizes() -> None:
    assert (DEEP_MEDIC.margin, DEEP_MEDIC.divisor, DEEP_MEDIC.phase) == (24, 3, 3)
    assert (DEEP_MEDIC.minimum_patch, DEEP_MEDIC.minimum_window) == (6, 3)
    three = DeepMedicOptions(subsampling=(3, 5))
    assert (three.margin, three.divisor, three.phase) == (40, 15, 15)
    assert (three.minimum_patch, three.minimum_window) == (15, 15)
    two = DeepMedicOptions(subsampling=(2, 4))
    assert (two.margin, two.divisor, two.minimum_patch) == (32, 4, 8)
    one = DeepMedicOptions(subsampling=())
    assert (one.margin, one.divisor, one.minimum_patch, one.minimum_window) == (8, 1, 2, 1)


@pytest.mark.parametrize("subsampling", [(3,), (3, 5), ()])
@pytest.mark.parametrize("residual", [False, True])
def test_it_computes_what_the_paper_says(subsampling: tuple[int, ...], residual: bool) -> None:
    options = small(subsampling=subsampling, residual=residual)
    net = settled(options, sources=2, classes=3)
    step = options.divisor
    size = [2 * options.margin + length for length in (step, 2 * step, step)]
    source = torch.randn(2, 2, *size)
    with torch.no_grad():
        expected = reference(net, source, (1, *subsampling), residual)
        found = net(source)
    assert found.shape == (2, 3, step, 2 * step, step)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def seen(net: DeepMedic, length: int, voxel: int, axis: int) -> tuple[int, int]:
    """Return the first and last voxel of the source, along an axis, that an answer rests on."""
    size = [2 * net.margin + net.divisor] * 3
    size[axis] = 2 * net.margin + length
    source = torch.randn(1, 1, *size, requires_grad=True)
    net(source)[0, 0].select(axis, voxel).sum().backward()
    assert source.grad is not None
    others = [d for d in range(5) if d != axis + 2]
    found = source.grad.abs().sum(dim=others).nonzero().flatten()
    assert len(found) == found[-1] - found[0] + 1, "a hole"
    return int(found[0]), int(found[-1])


@pytest.mark.parametrize("voxel", range(9))
def test_a_voxel_sees_17_blocks_and_the_margin_is_all_it_takes(voxel: int) -> None:
    """51 voxels around its block: the first answer from the first voxel on, the last to the last.

    A margin less would not do, and of one more a voxel would never be looked at.
    """
    block = voxel // 3
    assert seen(settled(small()), 9, voxel, voxel % 3) == (3 * block, 3 * block + 50)


@pytest.mark.parametrize("voxel", [0, 7, 14])
def test_with_a_third_pathway_it_sees_17_blocks_of_five(voxel: int) -> None:
    block = voxel // 5
    net = settled(small(subsampling=(3, 5), channels=(2,) * 8))
    assert seen(net, 15, voxel, 0) == (5 * block, 5 * block + 84)


def test_the_fine_pathway_sees_17_voxels() -> None:
    assert seen(settled(small(subsampling=())), 5, 3, 1) == (3, 19)
    net = settled(small())
    with torch.no_grad():
        net.hidden[0].convolution.weight[:, 5:] = 0  # type: ignore[union-attr,index]
    assert seen(net, 9, 4, 2) == (24 + 4 - 8, 24 + 4 + 8)


def test_the_coarse_pathway_sees_means_of_blocks() -> None:
    """Voxels that change places within a block change nothing; one more of anything does."""
    net = settled(small())
    with torch.no_grad():
        net.hidden[0].convolution.weight[:, :5] = 0  # type: ignore[union-attr,index]
        source = torch.randn(1, 1, 57, 57, 57)
        turned = source.clone()
        turned[:, :, 27:30] = source[:, :, 27:30].flip(2)
        across = source.clone()
        across[:, :, 26:29] = source[:, :, 26:29].flip(2)
        answer = net(source)
        torch.testing.assert_close(net(turned), answer, rtol=0, atol=1e-5)
        assert (net(across) - answer).abs().max() > 1e-3


def test_only_whole_blocks_are_answered() -> None:
    net = build(small())
    length = 2 * net.margin
    for size, message in (
        ((length + 7, length + 9, length + 9), "7 x 9 x 9 .* at least 6 and a multiple of 3"),
        ((length + 3, length + 6, length + 6), "3 x 6 x 6 .* at least 6"),
        ((length - 3, length + 6, length + 6), "-3 x 6 x 6"),
    ):
        with pytest.raises(ConfigurationError, match=message) as caught:
            net(torch.randn(1, 1, *size))
        assert caught.value.problems[0].code == "E_PATCH_SIZE"
    assert net.eval()(torch.randn(1, 1, *(length + 3,) * 3)).shape[2:] == (3, 3, 3)


def test_half_of_the_hidden_features_are_dropped_in_training_alone() -> None:
    """In front of the second hidden layer and of the classifier, and nowhere else."""
    net = build(small())
    shapes: list[tuple[int, ...]] = []
    shares: list[float] = []

    def watch(_: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        shapes.append(tuple(answer.shape))
        shares.append(float((answer == 0).float().mean()))

    net.dropout.register_forward_hook(watch)
    source = torch.randn(2, 1, 60, 60, 60)
    net(source)
    assert [shape[1] for shape in shapes] == [6, 7]
    assert all(share == pytest.approx(0.5, abs=0.03) for share in shares)
    shares.clear()
    net.eval()(source)
    assert max(shares) == 0
    assert sum(isinstance(module, nn.Dropout) for module in net.modules()) == 1
    assert build(small(dropout=0.0)).dropout.p == 0


def test_weights_start_as_he_et_al_have_it() -> None:
    net = build(DEEP_MEDIC)
    layer = net.pathways[1].layers[3]  # type: ignore[union-attr,index]
    expected = math.sqrt(2 / (1 + 0.25**2) / (27 * 40))
    assert float(layer.convolution.weight.detach().std()) == pytest.approx(expected, rel=0.03)
    assert float(layer.activation.weight.detach().unique()) == 0.25
    assert layer.activation.weight.shape == (40,)
    assert layer.convolution.bias is None


@pytest.mark.parametrize("subsampling", [(3,), (2,)])
@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_of_the_smallest_patch_in_bf16_hold_nothing_but_the_loss(
    subsampling: tuple[int, ...], batch: int, poison: Callable[[], None]
) -> None:
    """The coarse pathway ends with two voxels along each axis, and convolves without padding."""
    options = small(subsampling=subsampling, channels=(8, 8, 16, 32), dropout=0.0)
    net = build(options)
    source = torch.randn(batch, 1, *(options.minimum_patch + 2 * options.margin,) * 3)
    exact = torch.autograd.grad(net(source).square().mean(), list(net.parameters()))
    repeats = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(source).square().mean()
        poison()
        repeats.append(torch.autograd.grad(loss, list(net.parameters())))
    for right, first, *others in zip(exact, *repeats, strict=True):
        assert first.isfinite().all()
        assert all(torch.equal(first, other) for other in others)
        assert first.norm() < 3 * right.norm() + 1e-3


@pytest.mark.parametrize("residual", [False, True])
def test_in_bf16_the_answer_is_finite_and_float32(residual: bool) -> None:
    net = settled(small(residual=residual))
    source = torch.randn(1, 1, 57, 57, 57)
    with torch.no_grad():
        exact = net(source)
        with torch.autocast("cpu", torch.bfloat16):
            answer = net(source)
    assert answer.dtype == torch.float32
    assert answer.isfinite().all()
    assert (answer != answer.bfloat16().float()).float().mean() > 0.9
    assert (answer - exact).norm() < 0.05 * exact.norm()


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    net = build(small(channels=(2, 3), hidden=(4,)))
    assert list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict())) == [
        *(
            f"pathways.{path}.layers.{layer}.{part}"
            for path in (0, 1)
            for layer in (0, 1)
            for part in ("convolution", "norm", "activation")
        ),
        *(f"hidden.0.{part}" for part in ("convolution", "norm", "activation")),
        "head.convolution",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": [1]},
        {"subsampling": [3, 3]},
        {"subsampling": [2, 3, 4, 5]},
        {"subsampling": 3},
        {"channels": [8]},
        {"channels": [8, 0]},
        {"hidden": []},
        {"dropout": 1.0},
        {"name": "unet"},
        {"margin": 24},
    ],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeepMedicOptions.model_validate(options)
