"""The U-Net with a residual encoder: its weights, its decoder, and how it starts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from pydantic import ValidationError
from torch import nn

from medgen.networks import ResidualEncoderUNet, ResidualEncoderUNetOptions

SMALL = ResidualEncoderUNetOptions(channels=(4, 6, 8), blocks=(1, 2, 1))


def build(options: ResidualEncoderUNetOptions = SMALL) -> ResidualEncoderUNet:
    torch.manual_seed(0)
    return options.build(source_channels=1, target_channels=1, activation="linear")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_defaults_have_the_weights_of_the_large_residual_encoder() -> None:
    with torch.device("meta"):
        net = build(ResidualEncoderUNetOptions())
    channels, blocks = (32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6)
    encoder = 27 * 1 * 32 + 2 * 32  # the stem and its norm
    before = 32
    for number, (width, count) in enumerate(zip(channels, blocks, strict=True)):
        for block in range(count):
            encoder += 27 * before * width + 27 * width * width + 2 * 2 * width
            if block == 0 and number > 0:  # the grid is halved: the bridge has weights
                encoder += before * width + 2 * width
            before = width
    decoder = 0
    for width, deeper in pairwise(channels):
        decoder += deeper * width + width
        decoder += 27 * 2 * width * width + 27 * width * width + 2 * 2 * width
    assert parameters(net.stem) + parameters(net.stages) == encoder == 90_387_360
    assert parameters(net.levels) == decoder
    assert parameters(net) == encoder + decoder + 32 + 1
    assert (net.divisor, net.minimum_patch) == (32, 64)


def test_the_decoders_features_are_those_under_the_head() -> None:
    net = build().eval()
    source = torch.randn(1, 1, 16, 8, 24)
    with torch.no_grad():
        features = net.decode(source)
        assert torch.equal(net.head(features[0]), net(source))
    assert tuple(f.shape[1] for f in features) == SMALL.decoder_channels == (4, 6)
    assert [tuple(f.shape[2:]) for f in features] == [(16, 8, 24), (8, 4, 12)]


def test_the_decoder_enlarges_as_interpolation_does() -> None:
    """A constant stays one: no grid of a transposed convolution lies over an answer."""
    enlarge = build().levels[0].enlarge
    with torch.no_grad():
        flat = enlarge(torch.ones(1, 8, 4, 4, 4))  # type: ignore[operator]
    assert flat.shape == (1, 6, 8, 8, 8)
    torch.testing.assert_close(flat, flat[:, :, :1, :1, :1].expand_as(flat))


def test_every_residual_block_starts_as_its_bridge() -> None:
    net = build(ResidualEncoderUNetOptions(channels=(4, 8), blocks=(3, 1))).eval()
    blocks = [module for module in net.modules() if isinstance(module, UnetResBlock)]
    assert len(blocks) == 4
    features = torch.randn(1, 4, 8, 8, 8)
    for block in blocks[:3]:
        torch.testing.assert_close(block(features), nn.functional.leaky_relu(features, 0.01))


def test_under_bf16_the_decoder_stays_in_bf16() -> None:
    """Interpolation answers in fp32 under autocast, which would double the largest maps."""
    net = build()
    with torch.autocast("cpu", torch.bfloat16):
        features = net.decode(torch.randn(1, 1, 16, 16, 16))
    assert {f.dtype for f in features} == {torch.bfloat16}


def test_depth_decides_divisor_and_smallest_patch() -> None:
    options = ResidualEncoderUNetOptions(channels=(2, 2, 2, 2), blocks=(1, 1, 1, 1))
    assert (options.divisor, options.minimum_patch) == (8, 16)
    assert build(options)(torch.randn(1, 1, 16, 16, 16)).shape[2:] == (16, 16, 16)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    options = ResidualEncoderUNetOptions(channels=(2, 4), blocks=(1, 1), decoder_convolutions=1)
    stage = ["conv1.conv", "conv2.conv", "norm1", "norm2"]
    halving = [*stage, "conv3.conv", "norm3"]
    assert list(dict.fromkeys(name.rpartition(".")[0] for name in build(options).state_dict())) == [
        *("stem.conv", "stem.adn.N"),
        *(f"stages.0.0.{name}" for name in stage),
        *(f"stages.1.0.{name}" for name in halving),
        *("levels.0.enlarge.preconv", "levels.0.convolutions.0.conv"),
        *("levels.0.convolutions.0.adn.N", "head.convolution"),
    ]


def test_as_many_blocks_as_channels() -> None:
    with pytest.raises(ValidationError, match="blocks has 6 stages and channels 2"):
        ResidualEncoderUNetOptions(channels=(4, 8))


@pytest.mark.parametrize(
    "options",
    [
        {"channels": [8], "blocks": [1]},
        {"channels": [8, 0], "blocks": [1, 1]},
        {"channels": [8, 8], "blocks": [1, 0]},
        {"decoder_convolutions": 0},
        {"name": "unet"},
        {"dropout": 0.5},
    ],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResidualEncoderUNetOptions.model_validate(options)


@pytest.mark.slow
def test_a_step_of_the_default_size() -> None:
    net = build(ResidualEncoderUNetOptions())
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        answer = net(torch.randn(1, 1, 64, 64, 64))
    assert answer.shape == (1, 1, 64, 64, 64)
    answer.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
