"""DeepMedic by windows over a volume and at once: one answer, where windows start on blocks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medgen.conversion.blending import blend, pad
from medgen.conversion.tiling import plan_tiling
from medgen.networks import DeepMedic, DeepMedicOptions

NARROW = (3, 3, 4, 4, 4, 4, 5, 5)


def small(**changes: Any) -> DeepMedicOptions:
    return DeepMedicOptions(**{"channels": NARROW, "hidden": (6, 7), **changes})


def settled(options: DeepMedicOptions) -> DeepMedic:
    """Return a net in eval() whose norms have seen something and have weights of their own."""
    torch.manual_seed(0)
    net = options.build(source_channels=1, target_channels=2, activation="linear")
    with torch.no_grad():
        for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm3d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.momentum = 0.8
        length = net.minimum_patch + 2 * net.margin
        for _ in range(2):
            net(torch.randn(2, 1, length, length, length) * 2 + 0.5)
    return net.eval()


def two_ways(
    net: DeepMedic, shape: tuple[int, ...], *, window: int, phase: int
) -> tuple[Tensor, Tensor, bool]:
    """Answer a volume by blended windows and at once; tell whether all windows start on blocks."""
    source = torch.randn(1, *shape)
    tiling = plan_tiling(
        shape,
        patch=[window] * 3,
        overlap=window // 3 + 1,
        margin=net.margin,
        divisor=net.divisor,
        phase=phase,
    )
    assert len(tiling) > 1
    with torch.no_grad():
        windows, _ = blend(source, tiling, net, background=torch.zeros(2))
        whole = net(pad(source, tiling, "edge")[None])[0]
    inner = [slice(axis.before, axis.before + axis.length) for axis in tiling.axes]
    on_blocks = all(start % net.divisor == 0 for axis in tiling.axes for start in axis.starts)
    return windows, whole[(slice(None), *inner)], on_blocks


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("options", "shape", "window"),
    [
        (small(), (21, 14, 10), 9),
        (small(subsampling=(3, 5), channels=(3, 3, 4, 5)), (50, 20, 31), 15),
        (small(subsampling=(2,), channels=(3, 4, 4, 5, 5, 6)), (17, 13, 9), 8),
    ],
    ids=["original", "three pathways", "blocks of two"],
)
def test_windows_on_the_grid_equal_the_whole(
    options: DeepMedicOptions, shape: tuple[int, int, int], window: int, residual: bool
) -> None:
    net = settled(options.model_copy(update={"residual": residual}))
    windows, whole, on_blocks = two_ways(net, shape, window=window, phase=options.phase)
    assert on_blocks
    assert whole.std() > 0.05
    torch.testing.assert_close(windows, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape", "window"),
    [
        (small(), (21, 9, 9), 9),
        (small(subsampling=(3, 5), channels=(3, 3, 4, 5)), (45, 15, 15), 15),
    ],
)
def test_windows_off_the_grid_do_not(
    options: DeepMedicOptions, shape: tuple[int, int, int], window: int
) -> None:
    """So the law above can fail, and the phase is no ornament."""
    windows, whole, on_blocks = two_ways(settled(options), shape, window=window, phase=1)
    assert not on_blocks
    assert (windows - whole).abs().max() > 1e-2
