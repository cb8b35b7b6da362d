"""The residual generator: the paper's layers, its reach, and no grid in its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from medgen.metrics import grid_energy
from medgen.networks import (
    RESNET,
    Generator,
    GeneratorBlock,
    Pix2PixUNetOptions,
    ResNetGenerator,
    ResNetGeneratorOptions,
    UNetOptions,
)

SMALL = ResNetGeneratorOptions(channels=4, blocks=2)


def build(options: GeneratorBlock = SMALL, *, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return options.build(source_channels=1, target_channels=1, activation="tanh")


def resnet(options: ResNetGeneratorOptions = SMALL) -> ResNetGenerator:
    net = build(options)
    assert isinstance(net, ResNetGenerator)
    return net


def test_the_papers_network_has_the_papers_weights_in_3d() -> None:
    """c7s1-64, d128, d256, 9 x R256, u128, u64, c7s1-1; norms leave only the last bias."""
    with torch.device("meta"):
        net = build(ResNetGeneratorOptions(channels=64, blocks=9))
    outer = 7**3 * 64
    halvings = 27 * (64 * 128 + 128 * 256)
    blocks = 9 * 2 * 27 * 256 * 256
    assert sum(p.numel() for p in net.parameters()) == 2 * outer + 2 * halvings + blocks + 1


def test_it_computes_what_the_papers_write() -> None:
    """The same layers in words of their own."""
    net = resnet().eval()
    source = torch.randn(1, 1, 16, 12, 20)

    def convolved(layer: nn.Module, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = layer.get_submodule("convolution").weight
        assert isinstance(weight, torch.Tensor)
        half = weight.shape[-1] // 2
        padded = functional.pad(features, (half,) * 6, mode="reflect")
        found = functional.conv3d(padded, weight, stride=stride)
        mean = found.mean(dim=(2, 3, 4), keepdim=True)
        variance = found.var(dim=(2, 3, 4), keepdim=True, unbiased=False)
        return (found - mean) / (variance + 1e-5).sqrt()

    features = convolved(net.stem, source).relu()
    for layer in net.down:
        features = convolved(layer, features, stride=2).relu()
    for block in net.blocks:
        inner = convolved(block.get_submodule("first"), features).relu()
        features = features + convolved(block.get_submodule("second"), inner)
    for layer in net.up:
        features = functional.interpolate(features, scale_factor=2.0, mode="trilinear")
        features = convolved(layer, features).relu()
    padded = functional.pad(features, (3,) * 6, mode="reflect")
    last = net.head.convolution
    expected = functional.conv3d(padded, last.weight, last.bias).tanh()
    torch.testing.assert_close(net(source), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kernel", "blocks"), [(3, 1), (5, 1), (7, 1), (7, 2)])
def test_a_voxel_sees_what_is_said_and_nothing_else(kernel: Any, blocks: int) -> None:
    options = ResNetGeneratorOptions(channels=2, blocks=blocks, kernel=kernel)
    net = resnet(options)
    for module in list(net.modules()):
        if isinstance(module, nn.Module) and hasattr(module, "rectified"):
            module.rectified, module.norm = False, nn.Identity()
    reaches = []
    for place in range(60, 64):
        source = torch.randn(1, 1, 128, 8, 8, requires_grad=True)
        net(source)[0, 0, place].sum().backward()
        assert source.grad is not None
        seen = source.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten()
        reaches.append(int(seen[-1] - seen[0]) + 1)
    assert max(abs(reach - options.receptive_field) for reach in reaches) <= 2
    assert np.mean(reaches) == pytest.approx(options.receptive_field, abs=0.5)


@pytest.mark.parametrize(
    ("shortest", "blocks"),
    [(16, 3), (64, 3), (80, 3), (96, 4), (112, 5), (128, 6), (252, 6), (256, 9), (320, 9)],
)
def test_the_patch_decides_the_blocks(shortest: int, blocks: int) -> None:
    options = RESNET.for_patch((shortest + 64, shortest, shortest + 4))
    assert options == RESNET.model_copy(update={"blocks": blocks})
    assert blocks == 3 or options.receptive_field <= shortest


def test_a_given_number_of_blocks_stays() -> None:
    assert SMALL.for_patch((256, 256, 256)) == SMALL
    unet = UNetOptions()
    assert unet.for_patch((64, 64, 64)) is unet


def test_without_a_patch_the_blocks_are_the_papers() -> None:
    options = ResNetGeneratorOptions(channels=1)
    assert options.blocks is None
    assert len(resnet(options).blocks) == 6
    assert len(resnet(options.for_patch((64, 64, 64))).blocks) == 3


def test_nothing_is_padded_with_zeros() -> None:
    """A network without biases but the last answers a constant by a constant, borders included."""
    answer = resnet().eval()(torch.full((1, 1, 16, 16, 16), 0.7))
    assert answer.std().item() == pytest.approx(0, abs=1e-3)
    convolutions = [m for m in resnet().modules() if isinstance(m, nn.Conv3d)]
    assert all(m.padding == (0, 0, 0) for m in convolutions)
    assert sum(m.bias is not None for m in convolutions) == 1


def test_weights_start_as_in_the_paper() -> None:
    net = build(ResNetGeneratorOptions(channels=8, blocks=2))
    weights = torch.cat([p.detach().flatten() for p in net.parameters() if p.dim() == 5])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0.0, abs=2e-4)


@pytest.mark.parametrize("size", [(8, 8, 8), (8, 8, 12), (12, 8, 8), (16, 8, 20)])
def test_gradients_in_bf16_are_sound_down_to_the_smallest_patch(
    size: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    """No map is too small: convolutions padded beforehand are not those that oneDNN gets wrong."""
    net = build(ResNetGeneratorOptions(channels=8, blocks=2))
    source = torch.randn(2, 1, *size)
    repeats = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(source).square().mean()
        poison()
        repeats.append(torch.autograd.grad(loss, list(net.parameters())))
    for first, *others in zip(*repeats, strict=True):
        assert first.isfinite().all()
        assert all(torch.equal(first, other) for other in others)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    assert list(build().state_dict()) == [
        "stem.convolution.weight",
        *(f"down.{number}.convolution.weight" for number in range(2)),
        *(
            f"blocks.{n}.{which}.convolution.weight"
            for n in (0, 1)
            for which in ("first", "second")
        ),
        *(f"up.{number}.convolution.weight" for number in range(2)),
        *("head.convolution.weight", "head.convolution.bias"),
    ]


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"blocks": 0}, {"kernel": 4}, {"kernel": 9}, {"name": "unet"}]
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResNetGeneratorOptions.model_validate(options)


PIX2PIX = Pix2PixUNetOptions(channels=4, levels=4, norm="instance")
UNET = UNetOptions(channels=(8, 16, 32), features=4)


def head(size: int, seed: int) -> torch.Tensor:
    """Return a round head of two tissues and some texture, encoded."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 3, indexing="ij")
    centre = torch.linspace(-0.1, 0.1, 3)
    radius = sum((axis - shift) ** 2 for axis, shift in zip(axes, centre, strict=True)) ** 0.5
    assert isinstance(radius, torch.Tensor)
    texture = torch.randn(size, size, size, generator=torch.Generator().manual_seed(seed))
    values = torch.where(radius < 0.5, 0.6, torch.where(radius < 0.8, 0.1, -1.0))
    return (values + 0.05 * texture * (radius < 0.8))[None, None]


def grids_of(net: Generator) -> list[float]:
    with torch.no_grad():
        answer = net.eval()(head(48, 0))[0, 0].numpy()
    return [grid_energy(answer, period) for period in (2, 4)]


def trained(net: Generator, steps: int) -> Generator:
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for step in range(steps):
        source = head(32, 100 + step)
        optimizer.zero_grad()
        (net(source) - 0.5 * (0.2 - source)).abs().mean().backward()
        optimizer.step()
    return net


def transposed(net: Generator, monkeypatch: pytest.MonkeyPatch) -> Generator:
    """Return the generator with the paper's fractional strides in place of the resizing."""
    assert isinstance(net, ResNetGenerator)
    monkeypatch.setattr("medgen.networks.resnet_generator._doubled", lambda features: features)
    for number, wide in enumerate((16, 8)):
        fractional = nn.ConvTranspose3d(
            wide, wide // 2, kernel_size=3, stride=2, padding=1, output_padding=1
        )
        nn.init.normal_(fractional.weight, std=0.02)
        net.up[number] = nn.Sequential(fractional, nn.InstanceNorm3d(wide // 2), nn.ReLU())
    return net


@pytest.mark.parametrize(("kernel", "steps"), [(3, 0), (7, 0), (7, 8)])
def test_its_answers_show_no_checkerboard(kernel: Any, steps: int) -> None:
    options = ResNetGeneratorOptions(channels=4, blocks=2, kernel=kernel)
    assert max(grids_of(trained(build(options), steps))) < 1.2


@pytest.mark.parametrize("steps", [0, 8])
@pytest.mark.parametrize("options", [SMALL, PIX2PIX, UNET], ids=lambda options: options.name)
def test_those_of_transposed_convolutions_do(
    options: GeneratorBlock, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for resizing, and the proof that the test above can fail."""
    net = build(options)
    net = trained(transposed(net, monkeypatch) if options is SMALL else net, steps)
    assert max(grids_of(net)) > 3
