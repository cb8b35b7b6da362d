"""The U-Net of pix2pix in 3D: the papers' layers, to the last weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medgen.networks import Pix2PixUNet, Pix2PixUNetOptions
from medgen.problems import ConfigurationError

SMALL = Pix2PixUNetOptions(channels=4, levels=3)


def build(options: Pix2PixUNetOptions = SMALL) -> Pix2PixUNet:
    torch.manual_seed(0)
    return options.build(source_channels=1, target_channels=1, activation="tanh")


def test_the_papers_network_has_the_papers_weights() -> None:
    """Ea-GAN's unet_128: 128 voxels to one, 64 ... 512 features, kernels of four."""
    with torch.device("meta"):
        net = build(Pix2PixUNetOptions(levels=7))
    down = 1 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 3 * 512 * 512
    up = 512 * 512 + 2 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 1
    norms_down = 128 + 256 + 3 * 512  # none after the first convolution and the innermost
    norms_up = 3 * 512 + 256 + 128 + 64
    expected = 4**3 * (down + up) + 2 * (norms_down + norms_up) + 1
    assert expected == 167_267_969
    assert sum(p.numel() for p in net.parameters()) == expected


def test_the_patch_decides_the_depth() -> None:
    """Wang et al. train on 64 voxels with six levels, Yu et al. on 128 with seven."""
    six, seven = Pix2PixUNetOptions(), Pix2PixUNetOptions(levels=7)
    assert six.features == (64, 128, 256, 512, 512, 512)
    assert six.divisor == six.minimum_patch == 64
    assert seven.features == (64, 128, 256, 512, 512, 512, 512)
    assert seven.divisor == seven.minimum_patch == 128


def test_the_bottom_is_one_voxel_without_a_norm() -> None:
    net = build()
    seen: list[torch.Tensor] = []
    net.down[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    net(torch.randn(1, 1, 8, 8, 8))
    assert seen[0].shape == (1, 16, 1, 1, 1)
    norms = [
        any(isinstance(layer, nn.BatchNorm3d) for layer in level.children()) for level in net.down
    ]
    assert norms == [False, True, False]
    assert all(isinstance(level[2], nn.BatchNorm3d) for level in net.up)  # type: ignore[index]


def test_it_computes_what_the_papers_write() -> None:
    """The same layers in words of their own: no layer overwrites what another still reads."""
    net = build().eval()
    source = torch.randn(1, 1, 16, 16, 8)
    leaky, relu = nn.LeakyReLU(0.2), nn.ReLU()

    def run(level: nn.Module, features: torch.Tensor) -> torch.Tensor:
        for layer in level.children():
            if not isinstance(layer, nn.ReLU | nn.LeakyReLU):
                features = layer(features)
        return features

    first = run(net.down[0], source)
    second = run(net.down[1], leaky(first))
    third = run(net.down[2], leaky(second))
    up = run(net.up[0], relu(third))
    up = run(net.up[1], relu(torch.cat([second, up], dim=1)))
    expected = net.head.convolution(relu(torch.cat([first, up], dim=1))).tanh()
    torch.testing.assert_close(net(source), expected)


def test_larger_inputs_than_the_patch_are_legal_and_odd_ones_are_not() -> None:
    net = build().eval()
    assert net(torch.randn(1, 1, 24, 16, 8)).shape == (1, 1, 24, 16, 8)
    with pytest.raises(ConfigurationError, match="at least 8 and a multiple of 8"):
        net(torch.randn(1, 1, 24, 16, 12))


def test_dropout_lies_between_the_widest_levels() -> None:
    def dropped(levels: int) -> list[int]:
        net = build(Pix2PixUNetOptions(channels=1, levels=levels, dropout=0.5))
        return [
            number
            for number, level in enumerate(net.up)
            if any(isinstance(layer, nn.Dropout) for layer in level.children())
        ]

    assert dropped(7) == [1, 2]  # of the six, from the bottom up
    assert dropped(6) == [1]
    assert dropped(3) == []


def test_dropout_acts_in_training_only() -> None:
    net = build(Pix2PixUNetOptions(channels=1, levels=6, dropout=0.5))
    source = torch.randn(1, 1, 64, 64, 64)
    torch.manual_seed(1)
    first = net(source)
    assert not torch.equal(net(source), first)
    net.eval()
    assert torch.equal(net(source), net(source))


def test_weights_start_as_in_the_paper() -> None:
    net = build(Pix2PixUNetOptions(channels=16, levels=3))
    weights = torch.cat([p.detach().flatten() for p in net.parameters() if p.dim() == 5])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert net.head.convolution.bias is not None
    assert not net.head.convolution.bias.any()


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    weights = [name for name in build().state_dict() if "running" not in name]
    assert [name for name in weights if not name.endswith("tracked")] == [
        *("down.0.0.weight", "down.1.1.weight", "down.1.2.weight", "down.1.2.bias"),
        *("down.2.1.weight", "up.0.1.weight", "up.0.2.weight", "up.0.2.bias"),
        *("up.1.1.weight", "up.1.2.weight", "up.1.2.bias"),
        *("head.convolution.weight", "head.convolution.bias"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 0},
        {"channels": [4, 8]},
        {"levels": 1},
        {"levels": 10},
        {"dropout": 1.0},
        {"norm": "group"},
        {"name": "unet"},
        {"features": 8},
    ],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pix2PixUNetOptions.model_validate(options)


@pytest.mark.slow
def test_a_step_of_the_papers_size() -> None:
    net = build(Pix2PixUNetOptions(levels=7, dropout=0.5))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        answer = net(torch.randn(1, 1, 128, 128, 128))
    assert answer.shape == (1, 1, 128, 128, 128)
    answer.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
