"""Small maps leave autocast on a CPU, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from medgen.networks.small_maps import run_soundly


@pytest.mark.parametrize(
    ("length", "sound_from", "dtype"),
    [(4, 5, torch.float32), (5, 5, torch.bfloat16), (2, 3, torch.float32), (3, 3, torch.bfloat16)],
)
def test_short_maps_are_computed_in_float32(
    length: int, sound_from: int, dtype: torch.dtype
) -> None:
    layer, features = nn.Conv3d(2, 2, 3, padding=1), torch.randn(1, 2, length, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        answer = run_soundly(layer, features.bfloat16(), length=length, sound_from=sound_from)
        assert torch.is_autocast_enabled("cpu")
    assert answer.dtype == dtype


def test_without_autocast_nothing_is_cast() -> None:
    layer, features = nn.Conv3d(2, 2, 3, padding=1).double(), torch.randn(1, 2, 2, 2, 2).double()
    assert torch.equal(run_soundly(layer, features, length=2), layer(features))


@pytest.mark.parametrize("length", range(1, 7))
@pytest.mark.parametrize(
    ("kernel", "padding", "sound_from"), [(3, 1, 3), (5, 2, 5)], ids=["three", "five"]
)
def test_from_there_on_a_convolutions_gradient_is_sound(
    kernel: int, padding: int, sound_from: int, length: int, poison: Callable[[], None]
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 16, kernel, padding=padding)
    features = torch.randn(2, 16, length, length, length)
    (exact,) = torch.autograd.grad(layer(features).square().sum(), [layer.weight])
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            answer = run_soundly(layer, features, length=length, sound_from=sound_from)
        loss = answer.float().square().sum()
        poison()
        (gradient,) = torch.autograd.grad(loss, [layer.weight])
        assert (gradient - exact).norm() < 0.02 * exact.norm()
