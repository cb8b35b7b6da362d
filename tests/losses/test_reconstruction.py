"""The masked mean: renormalised, blind outside the mask, and quiet where the mask is empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from medgen.losses import l1_loss, l2_loss

SHAPE = (2, 3, 4, 5, 6)


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction, target = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    mask = (torch.rand((2, 1, 4, 5, 6), generator=generator) < 0.3).float()
    return prediction, target, mask


def test_without_a_mask_it_is_the_mean_absolute_error() -> None:
    prediction, target, mask = images()
    torch.testing.assert_close(l1_loss(prediction, target), F.l1_loss(prediction, target))
    everywhere = l1_loss(prediction, target, torch.ones_like(mask))
    torch.testing.assert_close(everywhere, F.l1_loss(prediction, target))


@given(seed=st.integers(0, 2**31))
def test_it_equals_numpy_over_the_mask(seed: int) -> None:
    prediction, target, mask = images(seed)
    inside = np.broadcast_to(mask.numpy() > 0, SHAPE)
    expected = np.abs(prediction.numpy() - target.numpy())[inside].mean(dtype=np.float64)
    assert l1_loss(prediction, target, mask).item() == pytest.approx(expected, rel=1e-5)


@given(voxels=st.integers(1, 120), error=st.floats(-4, 4))
def test_a_constant_error_counts_in_full_however_small_the_mask(voxels: int, error: float) -> None:
    mask = torch.zeros(1, 1, 120, 1, 1)
    mask[:, :, :voxels] = 1
    loss = l1_loss(torch.full_like(mask, error), torch.zeros_like(mask), mask)
    assert loss.item() == pytest.approx(abs(error), rel=1e-5, abs=1e-7)


def test_what_lies_outside_the_mask_has_neither_value_nor_gradient() -> None:
    prediction, target, mask = images()
    wild = torch.where(mask > 0, target, 1e6)
    prediction.requires_grad_()
    torch.testing.assert_close(l1_loss(prediction, wild, mask), l1_loss(prediction, target, mask))
    (gradient,) = torch.autograd.grad(l1_loss(prediction, wild, mask), prediction)
    inside = mask.expand(SHAPE) > 0
    assert (gradient[~inside] == 0).all()
    expected = torch.sign(prediction - target)[inside] / inside.sum()
    torch.testing.assert_close(gradient[inside], expected.detach())


def test_an_empty_mask_gives_zero_and_no_gradient() -> None:
    prediction, target, mask = images()
    prediction.requires_grad_()
    loss = l1_loss(prediction, target, torch.zeros_like(mask))
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.item() == 0
    assert (gradient == 0).all()


def test_a_patch_without_mask_takes_no_weight_from_its_neighbour() -> None:
    prediction, target, mask = images()
    mask[1] = 0
    torch.testing.assert_close(
        l1_loss(prediction, target, mask), l1_loss(prediction[:1], target[:1], mask[:1])
    )


def test_it_is_computed_in_float32() -> None:
    prediction, target, mask = images()
    loss = l1_loss(prediction.bfloat16(), target, mask)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, l1_loss(prediction.bfloat16().float(), target, mask))


def test_the_squared_error_is_numpys_with_and_without_a_mask() -> None:
    prediction, target, mask = images(3)
    torch.testing.assert_close(l2_loss(prediction, target), F.mse_loss(prediction, target))
    inside = np.broadcast_to(mask.numpy() > 0, SHAPE)
    expected = np.square(prediction.numpy() - target.numpy())[inside].mean(dtype=np.float64)
    assert l2_loss(prediction, target, mask).item() == pytest.approx(expected, rel=1e-5)


def test_the_papers_sum_is_half_the_voxels_times_the_mean() -> None:
    prediction, target, _ = images(4)
    papers = (prediction - target).square().sum() / (2 * len(prediction))
    voxels = prediction[0].numel()
    torch.testing.assert_close(papers, l2_loss(prediction, target) * voxels / 2)


def test_the_squared_error_is_blind_outside_and_quiet_without_a_mask() -> None:
    prediction, target, mask = images(5)
    wild = torch.where(mask > 0, target, 1e3)
    prediction.requires_grad_()
    loss = l2_loss(prediction, wild, mask)
    torch.testing.assert_close(loss, l2_loss(prediction, target, mask))
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert (gradient[mask.expand(SHAPE) == 0] == 0).all()
    nothing = l2_loss(prediction, target, torch.zeros_like(mask))
    assert nothing == 0
    assert not torch.autograd.grad(nothing, prediction)[0].any()
    assert l2_loss(prediction.bfloat16(), target, mask).dtype == torch.float32
