"""The context-aware generator: the authors' layers, their context, and how windows agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medgen.networks import ContextFCN, ContextFCNOptions

SMALL = ContextFCNOptions(channels=3)


def build(options: ContextFCNOptions = SMALL) -> ContextFCN:
    torch.manual_seed(0)
    return options.build(source_channels=1, target_channels=1, activation="linear")


def settled() -> ContextFCN:
    """Return a net in eval() whose batch norms have seen something."""
    net = build()
    with torch.no_grad():
        net(torch.randn(2, 1, 22, 22, 22) + 0.5)
    return net.eval()


def test_the_papers_network_has_the_papers_weights() -> None:
    """The table of the authors' 3D code, less the biases that its norms take away."""
    with torch.device("meta"):
        net = build(ContextFCNOptions())
    expected = (
        9**3 * 1 * 32
        + 3 * 3**3 * 32 * 32
        + 9**3 * 32 * 64
        + 2 * 3**3 * 64 * 64
        + 3**3 * 64 * 32
        + (3**3 * 32 * 1 + 1)
    )
    assert expected == 1_876_609
    assert sum(p.numel() for p in net.parameters()) == expected


def test_32_voxels_become_16() -> None:
    options = ContextFCNOptions(channels=1)
    assert (options.margin, options.divisor) == (8, 1)
    assert build(options)(torch.randn(1, 1, 32, 32, 32)).shape == (1, 1, 16, 16, 16)
    assert build(options)(torch.randn(1, 1, 19, 22, 31)).shape == (1, 1, 3, 6, 15)


def test_a_voxel_sees_its_context_and_nothing_else() -> None:
    """Kernels 9, 3, 3, 3, 9, 3, 3, 3, 3 reach 4 + 3 + 4 + 4 = 15 voxels to each side."""
    net = settled()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):  # so that nothing hides behind a zero
                setattr(module, name, nn.Identity())
    source = torch.randn(1, 1, 60, 20, 20, requires_grad=True)
    net(source)[0, 0, 22].sum().backward()
    assert source.grad is not None
    seen = source.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (30 - 15, 30 + 15)


def test_two_overlapping_windows_agree_with_the_whole() -> None:
    """But for the seven voxels next to a window's border, whose kernels of three meet padding."""
    net = settled()
    source = torch.randn(1, 1, 16 + 44, 16 + 6, 16 + 6)
    with torch.no_grad():
        whole = net(source)
        left, right = net(source[:, :, : 16 + 26]), net(source[:, :, 18:])
    torch.testing.assert_close(left[:, :, : 26 - 7], whole[:, :, : 26 - 7], rtol=0, atol=1e-5)
    torch.testing.assert_close(right[:, :, 7:], whole[:, :, 18 + 7 :], rtol=0, atol=1e-5)
    assert (left[:, :, 26 - 7] - whole[:, :, 26 - 7]).abs().max() > 0


def test_its_norms_have_no_weights_of_their_own() -> None:
    norms = [module for module in build().modules() if isinstance(module, nn.BatchNorm3d)]
    assert len(norms) == 8
    assert not any(norm.affine for norm in norms)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    assert [name for name, _ in build().named_parameters()] == [
        *(f"body.{number}.0.weight" for number in range(8)),
        *("head.convolution.weight", "head.convolution.bias"),
    ]


@pytest.mark.parametrize("options", [{"channels": 0}, {"margin": 4}, {"name": "unet"}])
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ContextFCNOptions.model_validate(options)


@pytest.mark.slow
def test_a_step_of_the_papers_size() -> None:
    net = build(ContextFCNOptions())
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        answer = net(torch.randn(4, 1, 32, 32, 32))
    assert answer.shape == (4, 1, 16, 16, 16)
    answer.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
